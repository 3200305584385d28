//! One seed, one outcome: in every process, to the last event.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use sim::{Settings, scenario};

fn sim(arguments: &[&str]) -> Output {
    let outcome = Command::new(env!("CARGO_BIN_EXE_sim")).args(ECHO).args(arguments).output();
    outcome.expect("the program of this package runs")
}

fn digest(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let line = text.lines().find(|line| line.starts_with("digest: "));
    line.expect("a run tells its digest").to_owned()
}

#[test]
fn same_seed_gives_the_same_events_in_two_processes() {
    let mut digests = BTreeSet::new();
    for seed in 1..=4 {
        let seed = seed.to_string();
        let first = sim(&["--seed", &seed]);
        let second = sim(&["--seed", &seed]);
        assert_eq!(digest(&first), digest(&second), "seed {seed} does not replay");
        assert_eq!(first.stdout, second.stdout);
        digests.insert(digest(&first));
    }
    assert_eq!(digests.len(), 4, "other seeds, other worlds");
}

#[test]
fn watching_changes_nothing() {
    let (quiet, verbose) = (sim(&["--seed", "7"]), sim(&["--seed", "7", "--verbose"]));
    assert_eq!(digest(&quiet), digest(&verbose));
    assert!(verbose.stdout.len() > quiet.stdout.len() * 10);
    let mut logged = Command::new(env!("CARGO_BIN_EXE_sim"));
    let logged = logged.args(ECHO).args(["--seed", "7"]).env("RUST_LOG", "trace").output();
    let logged = logged.expect("the program of this package runs");
    assert_eq!(digest(&quiet), digest(&logged));
    assert!(!logged.stderr.is_empty());
}

#[test]
fn answered_lines_survive_crashes_power_losses_and_partitions() {
    let mut power_losses = 0;
    for seed in 1..=15 {
        let outcome = scenario::echo(Settings::new(seed));
        power_losses += outcome.counters.get("power loss").copied().unwrap_or(0);
        let report = outcome.result.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
        assert!(report.answered > 100, "seed {seed} has done little: {report:?}");
    }
    assert!(power_losses > 15);
}

const ECHO: [&str; 2] = ["--scenario", "echo"];
