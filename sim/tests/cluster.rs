//! A few seeds of clusters: what was acknowledged survives its leaders, and leaders agree while it does.

mod eventful;
mod seeds;

#[test]
fn what_a_cluster_acknowledges_survives_its_brokers() {
    let options = ["--nodes", "3"];
    let reports = seeds::run(&[1, 2, 3, 5, 7], &options);
    seeds::expect_all_hold(&reports, &options);
    eventful::expect_done(&reports, "acknowledged records", |done| done.acknowledged, 1_000);
    eventful::expect_done(&reports, "starts of brokers", |done| done.broker_starts, 20);
    let rare = [("power loss", 5), ("process crash", 3), ("look at all brokers", 3_000)];
    eventful::expect_happened(&reports, &rare);
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
