//! Runs worlds: `cargo sim --seed 42` one, `cargo sim --seeds 1000 --jobs 2` many, `cargo sim --shrink 42` a smaller one.
//!
//! Each seed has a process of its own, since tokio draws from process-wide state.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use sim::events::Recorded;
use sim::scenario::{Summary, Told};
use sim::timeline::SimTime;
use sim::{Outcome, Report, Settings, scenario};
use tracing_subscriber::EnvFilter;

mod hunt;
mod many;
mod options;
mod picture;
mod progress;
mod shrink;
mod sources;

use progress::Goal;

/// A planted bug that so many worlds do not show is a hole in the faults, the workloads or the checkers.
const SEEDS_PER_BUG: u64 = 2_000;

/// Simulates worlds.
#[derive(Parser)]
struct Arguments {
    /// What happens in it.
    #[arg(long, value_enum, default_value_t = Scenario::PowerCut)]
    scenario: Scenario,
    /// The world: everything random comes from this number.
    #[arg(long, required_unless_present_any = ["seeds", "planted", "minutes", "shrink"], conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Runs this many worlds, one process each.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many run at a time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Runs each world in two processes, and takes different digests for a failure.
    #[arg(long)]
    twice: bool,
    #[command(flatten)]
    hunting: hunt::Hunting,
    /// Runs worlds for this many minutes.
    #[arg(long, value_name = "MINUTES", conflicts_with_all = ["seed", "seeds"])]
    minutes: Option<f64>,
    /// Makes the failure of this seed smaller.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seed", "seeds", "minutes"])]
    shrink: Option<u64>,
    #[command(flatten)]
    leaving: options::Leaving,
    /// Writes what clients did and were told into this file, for `jepsen judge`.
    #[arg(long, value_name = "FILE", requires = "seed")]
    history: Option<PathBuf>,
    /// Writes every event into this file.
    #[arg(long, value_name = "FILE", requires = "seed")]
    trace: Option<PathBuf>,
    /// Prints every event.
    #[arg(long)]
    verbose: bool,
    /// Prints the outcome as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pictures: picture::Pictures,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Lines through a small server; a trial of the simulated world itself.
    Echo,
    /// A whole broker whose power is cut.
    #[value(name = "power_cut")]
    PowerCut,
    /// Three nodes whose metadata quorum is disturbed.
    Quorum,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Ok(filter) = EnvFilter::try_from_default_env() {
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
        log.without_time().init();
    }
    if let Some(names) = &arguments.hunting.planted {
        return hunt::run(&arguments, names, arguments.seeds.unwrap_or(SEEDS_PER_BUG));
    }
    if let Some(seed) = arguments.shrink {
        return shrink::run(&arguments, seed);
    }
    if let Some(minutes) = arguments.minutes {
        let time = Duration::try_from_secs_f64(minutes * 60.0).unwrap_or_default();
        return many::run(&arguments, Goal::Time(time));
    }
    match (arguments.seeds, arguments.seed) {
        (Some(count), _) => many::run(&arguments, Goal::Count(count)),
        (None, seed) => one(&arguments, seed.unwrap_or_default()),
    }
}

fn one(arguments: &Arguments, seed: u64) -> ExitCode {
    let keeps_trace =
        arguments.verbose || arguments.trace.is_some() || arguments.pictures.are_wanted();
    let settings = Settings { keeps_trace, ..Settings::new(seed) };
    match arguments.scenario {
        Scenario::Echo => {
            let outcome = scenario::echo(settings);
            tell(
                arguments,
                seed,
                outcome.map(|report| {
                    Ok(Summary {
                        acknowledged: report.answered,
                        stored: report.stored,
                        ..Summary::default()
                    })
                }),
            )
        }
        Scenario::PowerCut => {
            let plan = arguments.leaving.plan();
            tell_history(arguments, seed, scenario::power_cut(&settings, &plan))
        }
        Scenario::Quorum => {
            let plan = arguments.leaving.plan();
            tell(arguments, seed, scenario::quorum(&settings, &plan))
        }
    }
}

/// Writes the history where it is wanted, and tells the rest.
fn tell_history(arguments: &Arguments, seed: u64, mut outcome: Outcome<Told>) -> ExitCode {
    if let (Some(path), Ok(told)) = (&arguments.history, &outcome.result)
        && let Err(error) = history::write(path, &told.history)
    {
        outcome.result = Err(format!("{} could not be written: {error}", path.display()));
    }
    tell(arguments, seed, outcome.map(|told| told.result))
}

#[expect(clippy::print_stdout, reason = "the report of a run is what this program is for")]
fn tell(
    arguments: &Arguments,
    seed: u64,
    mut outcome: Outcome<Result<Summary, String>>,
) -> ExitCode {
    let trace = std::mem::take(&mut outcome.trace);
    if arguments.verbose {
        for event in &trace {
            println!("{event}");
        }
    }
    if let Some(path) = &arguments.trace
        && let Err(error) = write_trace(path, &trace)
    {
        println!("{} could not be written: {error}", path.display());
        return ExitCode::FAILURE;
    }
    let report = Report::new(seed, outcome);
    let drawn = arguments.pictures.draw(&many::options(arguments), &report, &trace);
    if let Err(problem) = drawn {
        println!("the picture could not be written: {problem}");
        return ExitCode::FAILURE;
    }
    let code = if report.result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if arguments.json {
        match serde_json::to_string(&report) {
            Ok(text) => println!("{text}"),
            Err(error) => println!("{error}"),
        }
        return code;
    }
    for (what, count) in &report.counters {
        println!("{count:>9} × {what}");
    }
    println!("{} events in {}", report.events, SimTime(report.nanos));
    match report.result {
        Ok(summary) => println!("seed {seed}: ok, {summary:?}"),
        Err(problem) => {
            println!("seed {seed}: FAILED: {problem}");
            println!("{}", many::replay(&many::options(arguments), seed));
        }
    }
    println!("digest: {:016x}", report.digest);
    code
}

fn write_trace(path: &Path, trace: &[Recorded]) -> io::Result<()> {
    let mut file = io::BufWriter::new(std::fs::File::create(path)?);
    for event in trace {
        writeln!(file, "{event}")?;
    }
    file.flush()
}
