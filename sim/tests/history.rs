//! The history that a run writes is read and judged by others as it was here.

use std::path::PathBuf;
use std::process::Command;

use history::{Event, Facts, Verdict, checkers, read};

/// The history of a seed, and whether the run held.
fn history_of(seed: u64, options: &[&str]) -> (Vec<Event>, bool) {
    let path: PathBuf =
        std::env::temp_dir().join(format!("history-{}-{seed}.jsonl", std::process::id()));
    let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
    sim.args(options).args(["--seed", &seed.to_string(), "--history"]).arg(&path);
    let output = sim.env_remove("RUST_LOG").output().expect("the program of this package runs");
    let events = read(&path).expect("a history");
    std::fs::remove_file(&path).expect("it is there");
    (events, output.status.success())
}

#[test]
fn histories_of_runs_that_held_are_let_pass() {
    for options in [&["--calm"][..], &[]] {
        let (events, holds) = history_of(3, options);
        let facts = Facts::of(&events);
        assert!(holds && facts.acknowledged_count() > 50, "{}", facts.acknowledged_count());
        assert_eq!(checkers::judge(&facts), []);
        assert!(events.contains(&Event::End), "it was read to its end");
    }
}

#[test]
fn history_of_a_broker_that_acknowledges_too_early_tells_what_is_lost() {
    let mut lost = 0;
    for seed in 1..=4 {
        let (events, holds) = history_of(seed, &["--acknowledge-early"]);
        let anomalies = checkers::judge(&Facts::of(&events));
        assert_eq!(anomalies.is_empty(), holds, "seed {seed}: {anomalies:?}");
        let is_loss = |verdict| matches!(verdict, Verdict::LostWrite | Verdict::Unseen);
        lost += anomalies.iter().filter(|(_, anomaly)| is_loss(anomaly.verdict)).count();
    }
    assert!(lost > 0);
}
