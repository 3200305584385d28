//! A few seeds of the scenario `quorum`: three nodes whose metadata quorum loses leaders, links and power.

mod eventful;
mod seeds;

#[test]
fn what_a_quorum_commits_survives_its_leaders() {
    let options = ["--scenario", "quorum"];
    let reports = seeds::run(&[1, 2, 3, 5, 8, 19, 21, 25], &options);
    seeds::expect_all_hold(&reports, &options);
    eventful::expect_done(&reports, "topics made", |done| done.topic_changes, 300);
    eventful::expect_done(&reports, "starts of nodes", |done| done.broker_starts, 40);
    let rare =
        [("power loss", 20), ("process crash", 3), ("node isolated", 2), ("orderly stop", 3)];
    eventful::expect_happened(&reports, &rare);
}
