//! A few seeds of clusters: what was acknowledged survives its leaders, and leaders agree while it does.

mod seeds;

use sim::Report;

#[test]
fn what_a_cluster_acknowledges_survives_its_brokers() {
    let options = ["--nodes", "3"];
    let reports = seeds::run(&[1, 2, 3, 5, 7], &options);
    seeds::expect_all_hold(&reports, &options);
    // A run in which little happens proves little.
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let acknowledged =
        sum(|report| report.result.as_ref().map_or(0, |done| done.acknowledged as u64));
    assert!(acknowledged > 1_000, "only {acknowledged} records were acknowledged");
    let starts = sum(|report| report.result.as_ref().map_or(0, |done| done.broker_starts as u64));
    assert!(starts > 20, "brokers began to serve only {starts} times");
    for (what, least) in [("power loss", 5), ("process crash", 3), ("look at all brokers", 3_000)] {
        let times: u64 = reports.iter().map(|report| report.counter(what)).sum();
        assert!(times >= least, "{what}: {times} times in all seeds, {least} expected");
    }
}

#[test]
fn cluster_without_faults_gives_up_nothing() {
    // Those are left out whose records are to be refused or deleted.
    let options = ["--nodes", "3", "--calm", "--without", "limited,trimming,zombies"];
    let reports = seeds::run(&[2], &options);
    seeds::expect_all_hold(&reports, &options);
    let done = reports[0].result.as_ref().expect("it held");
    assert_eq!((done.acknowledged, done.stored), (done.sent, done.sent));
    assert!(done.sent > 100, "{done:?}");
}
