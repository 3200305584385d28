//! A few seeds of the scenario `power_cut`: a whole broker that loses power, and keeps what it acknowledged.

mod eventful;
mod seeds;

#[test]
fn acknowledged_records_survive_power_cuts_at_any_moment() {
    let options = ["--nodes", "1"];
    let reports = seeds::run(&[1, 2, 3, 4, 5, 6, 7, 9, 10, 12], &options);
    seeds::expect_all_hold(&reports, &options);
    eventful::expect_done(&reports, "acknowledged records", |done| done.acknowledged, 1_000);
    let rare = [
        ("power loss", 10),
        ("process crash", 3),
        ("killed while it started", 2),
        ("sector lost", 100),
        ("sector torn", 10),
        ("change of name lost", 5),
    ];
    eventful::expect_happened(&reports, &rare);
}

#[test]
fn world_without_faults_gives_up_nothing() {
    // Those are left out whose records are to be refused or deleted.
    let options = ["--nodes", "1", "--calm", "--without", "limited,trimming,zombies"];
    let reports = seeds::run(&[1], &options);
    seeds::expect_all_hold(&reports, &options);
    let done = reports[0].result.as_ref().expect("it held");
    assert_eq!((done.acknowledged, done.stored), (done.sent, done.sent));
    assert!(done.sent > 100, "{done:?}");
    assert_eq!(reports[0].counter("power loss") + reports[0].counter("process crash"), 0);
}

/// The checkers are worth something: with Kafka's default flushing, power cuts lose what was acknowledged, and they say so.
#[test]
fn broker_that_acknowledges_before_it_syncs_is_caught() {
    let reports = seeds::run(&[1, 2, 3, 4], &["--nodes", "1", "--acknowledge-early"]);
    let problems: Vec<_> =
        reports.iter().filter_map(|report| report.result.as_ref().err()).collect();
    let is_loss = |problem: &&&String| problem.contains("lost-write") || problem.contains("unseen");
    assert!(problems.iter().any(|problem| is_loss(&problem)), "{problems:?}");
}
