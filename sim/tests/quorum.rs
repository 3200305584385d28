//! A few seeds of the scenario `quorum`: three nodes whose metadata quorum loses leaders, links and power.

mod seeds;

use sim::Report;

#[test]
fn what_a_quorum_commits_survives_its_leaders() {
    let options = ["--scenario", "quorum"];
    let reports = seeds::run(&[1, 2, 3, 5, 8, 19, 21, 25], &options);
    seeds::expect_all_hold(&reports, &options);
    // A run in which little happens proves little.
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let made = sum(|report| report.result.as_ref().map_or(0, |done| done.topic_changes as u64));
    assert!(made > 300, "only {made} topics were made");
    let starts = sum(|report| report.result.as_ref().map_or(0, |done| done.broker_starts as u64));
    assert!(starts > 40, "nodes began to serve only {starts} times");
    for (what, least) in
        [("power loss", 20), ("process crash", 3), ("node isolated", 2), ("orderly stop", 3)]
    {
        let times: u64 = reports.iter().map(|report| report.counter(what)).sum();
        assert!(times >= least, "{what}: {times} times in all seeds, {least} expected");
    }
}
