//! Many worlds, each in a process of its own, and what they come to.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum as _;
use sim::Report;
use sim::scenario::Summary;

use crate::Arguments;

/// What has come together so far.
#[derive(Default)]
struct Totals {
    failed: BTreeMap<u64, String>,
    counters: BTreeMap<String, u64>,
    nanos: u128,
    events: u64,
    summary: Summary,
}

pub(crate) fn run(arguments: &Arguments, count: u64) -> ExitCode {
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(count);
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let program = std::env::current_exe().map_err(|error| error.to_string());
                    let outcome = program.and_then(|program| run_one(arguments, &program, seed));
                    totals
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .take(arguments, seed, outcome);
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    totals.tell(arguments, count);
    if totals.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one seed in a process of its own; the error is what to tell when it could not even say how it went.
pub(crate) fn run_one(arguments: &Arguments, program: &Path, seed: u64) -> Result<Report, String> {
    let mut command = Command::new(program);
    command.args(options(arguments)).args(["--json", "--seed"]).arg(seed.to_string());
    let Output { status, stdout, stderr } = command.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&stdout);
    text.lines().last().and_then(|line| serde_json::from_str(line).ok()).ok_or_else(|| {
        let complaint = String::from_utf8_lossy(&stderr);
        let last = complaint.lines().last().unwrap_or_default().to_owned();
        format!("the process ended with {status}: {last}")
    })
}

/// What makes this run what it is, apart from the seed.
pub(crate) fn options(arguments: &Arguments) -> Vec<String> {
    let mut options = Vec::new();
    if let Some(value) = arguments.scenario.to_possible_value() {
        options.extend(["--scenario".to_owned(), value.get_name().to_owned()]);
    }
    if arguments.acknowledge_early {
        options.push("--acknowledge-early".to_owned());
    }
    if arguments.calm {
        options.push("--calm".to_owned());
    }
    options
}

impl Totals {
    #[expect(clippy::print_stdout, reason = "failures are told when they are found")]
    fn take(&mut self, arguments: &Arguments, seed: u64, outcome: Result<Report, String>) {
        let result = outcome.and_then(|report| {
            self.nanos += u128::from(report.nanos);
            self.events += report.events;
            for (what, times) in report.counters {
                *self.counters.entry(what).or_default() += times;
            }
            report.result
        });
        match result {
            Ok(summary) => self.summary.add(&summary),
            Err(problem) => {
                println!("seed {seed}: FAILED: {problem}");
                println!("    cargo sim {} --seed {seed}", options(arguments).join(" "));
                self.failed.insert(seed, problem);
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "the report of a run is what this program is for")]
    fn tell(&self, arguments: &Arguments, count: u64) {
        for (what, times) in &self.counters {
            println!("{times:>12} × {what}");
        }
        let last = arguments.from.saturating_add(count).saturating_sub(1);
        let hours = self.nanos / 1_000_000 * 10 / 3_600_000;
        println!("seeds {}..={last}: {} events", arguments.from, self.events);
        println!("simulated: {}.{} hours", hours / 10, hours % 10);
        println!("in the seeds that held: {:?}", self.summary);
        println!("failed: {} of {count}", self.failed.len());
        for (seed, problem) in &self.failed {
            println!("    cargo sim {} --seed {seed}    # {problem}", options(arguments).join(" "));
        }
    }
}
