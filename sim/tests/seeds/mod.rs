//! Runs seeds of the scenario `power_cut` as `cargo sim --seed` does: each in a process of its own.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sim::Report;

/// What became of each of these seeds, in their order; two run at a time.
pub(crate) fn run(seeds: &[u64], options: &[&str]) -> Vec<Report> {
    let (next, reports) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = run_one(*seed, options);
                    reports.lock().expect("nobody panics with it").push(report);
                }
            });
        }
    });
    let mut reports = reports.into_inner().expect("nobody panics with it");
    reports.sort_by_key(|report| seeds.iter().position(|seed| *seed == report.seed));
    reports
}

fn run_one(seed: u64, options: &[&str]) -> Report {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(["--json", "--seed"]).arg(seed.to_string()).args(options);
    let output = command.env_remove("RUST_LOG").output().expect("the program of this package runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let report = text.lines().last().and_then(|line| serde_json::from_str::<Report>(line).ok());
    report.unwrap_or_else(|| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        panic!("seed {seed} ended with {}: {complaint}", output.status)
    })
}

/// Fails the test with each seed that did not hold, and how to see it again.
pub(crate) fn expect_all_hold(reports: &[Report], options: &[&str]) {
    let tell = |report: &Report| {
        let problem = report.result.as_ref().err()?;
        let (seed, options) = (report.seed, options.join(" "));
        Some(format!("{problem}\n    cargo sim {options} --seed {seed}"))
    };
    let failed: Vec<_> = reports.iter().filter_map(tell).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
