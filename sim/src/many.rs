//! Many worlds, each in a process of its own, and what they come to.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use clap::ValueEnum as _;
use sim::Report;
use sim::nemesis::FAULTS;
use sim::scenario::Summary;
use sim::weave::VARIABLE;

use crate::progress::{Goal, Progress};
use crate::{Arguments, options};

/// What has come together so far.
#[derive(Default)]
struct Totals {
    done: u64,
    failed: BTreeMap<u64, String>,
    counters: BTreeMap<String, u64>,
    nanos: u128,
    events: u64,
    summary: Summary,
}

/// Runs worlds from [`Arguments::from`] on until the goal is reached.
pub(crate) fn run(arguments: &Arguments, goal: Goal) -> ExitCode {
    let next = AtomicU64::new(arguments.from);
    let end = match goal {
        Goal::Count(count) => arguments.from.saturating_add(count),
        Goal::Time(_) => u64::MAX,
    };
    let state = Mutex::new((Totals::default(), Progress::new(goal)));
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_late = match goal {
                        Goal::Count(_) => false,
                        Goal::Time(limit) => {
                            state.lock().unwrap_or_else(PoisonError::into_inner).1.elapsed()
                                >= limit
                        }
                    };
                    if seed >= end || is_late {
                        return;
                    }
                    let program = std::env::current_exe().map_err(|error| error.to_string());
                    let outcome = program.and_then(|program| run_one(arguments, &program, seed));
                    let outcome =
                        if arguments.twice { again(arguments, seed, outcome) } else { outcome };
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    let (totals, progress) = &mut *state;
                    if outcome.as_ref().map_or(true, |report| report.result.is_err()) {
                        progress.clear();
                    }
                    totals.take(arguments, seed, outcome);
                    progress.show(totals.done, totals.failed.len(), totals.hours());
                }
            });
        }
    });
    let (totals, progress) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    progress.clear();
    totals.tell(arguments, progress.elapsed());
    if totals.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the seed once more; two worlds from one seed that are not the same are a failure.
fn again(
    arguments: &Arguments,
    seed: u64,
    first: Result<Report, String>,
) -> Result<Report, String> {
    let mut first = first?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let second = run_one(arguments, &program, seed)?;
    if first.digest != second.digest {
        let digests = (first.digest, second.digest);
        first.result =
            Err(format!("two-worlds: digests {:016x} and {:016x}", digests.0, digests.1));
    }
    Ok(first)
}

/// Runs one seed in a process of its own; the error is what to tell when it could not even say how it went.
pub(crate) fn run_one(arguments: &Arguments, program: &Path, seed: u64) -> Result<Report, String> {
    run_with(&options(arguments), program, seed, None)
}

/// The same with these options, and with a planted bug where the program has some.
pub(crate) fn run_with(
    options: &[String],
    program: &Path,
    seed: u64,
    bug: Option<&str>,
) -> Result<Report, String> {
    let mut command = Command::new(program);
    command.envs(bug.map(|bug| (VARIABLE, bug)));
    command.args(options).args(["--json", "--seed"]).arg(seed.to_string());
    let ran = output_of(command).map_err(|error| error.to_string())?;
    let Some(Output { status, stdout, stderr }) = ran else {
        return Err(format!("endless: the process was killed after {PATIENCE:?}"));
    };
    let text = String::from_utf8_lossy(&stdout);
    text.lines().last().and_then(|line| serde_json::from_str(line).ok()).ok_or_else(|| {
        let complaint = String::from_utf8_lossy(&stderr);
        let last = complaint.lines().last().unwrap_or_default().to_owned();
        format!("the process ended with {status}: {last}")
    })
}

/// Runs a command to its end; none when it takes too long: a world without an end must not hold up all others.
fn output_of(mut command: Command) -> io::Result<Option<Output>> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (ended, end) = mpsc::channel();
    std::thread::scope(|scope| {
        let heard = scope.spawn(move || {
            let heard = read_all(stdout.as_mut());
            // Nobody listens any more when it was killed.
            let _ = ended.send(());
            heard
        });
        let complaints = scope.spawn(move || read_all(stderr.as_mut()));
        let is_late = end.recv_timeout(PATIENCE).is_err();
        if is_late {
            child.kill()?;
        }
        let status = child.wait()?;
        let (stdout, stderr) =
            (heard.join().unwrap_or_default(), complaints.join().unwrap_or_default());
        Ok((!is_late).then_some(Output { status, stdout, stderr }))
    })
}

/// What could be read.
fn read_all(from: Option<&mut impl io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.map(|from| from.read_to_end(&mut bytes));
    bytes
}

/// Worlds take tenths of a second, on a busy machine some seconds.
const PATIENCE: Duration = Duration::from_secs(300);

/// What makes this run what it is, apart from the seed.
pub(crate) fn options(arguments: &Arguments) -> Vec<String> {
    [scenario_option(arguments), options::of_plan(&arguments.leaving.plan())].concat()
}

/// The first of them.
pub(crate) fn scenario_option(arguments: &Arguments) -> Vec<String> {
    let value = arguments.scenario.to_possible_value();
    let name = value.map_or_else(String::new, |value| value.get_name().to_owned());
    vec!["--scenario".to_owned(), name]
}

/// The line that shows a failure again, and the code it belongs to: on other code the seed is another world.
pub(crate) fn replay(options: &[String], seed: u64) -> String {
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = commit.ok().filter(|output| output.status.success());
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    format!("    cargo sim {} --seed {seed}    # at commit {commit}", options.join(" "))
}

impl Totals {
    #[expect(clippy::print_stdout, reason = "failures are told when they are found")]
    fn take(&mut self, arguments: &Arguments, seed: u64, outcome: Result<Report, String>) {
        self.done += 1;
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
                println!("{}", replay(&options(arguments), seed));
                self.failed.insert(seed, problem);
            }
        }
    }

    fn hours(&self) -> f64 {
        self.nanos as f64 / 3.6e12
    }

    #[expect(clippy::print_stdout, reason = "the report of a run is what this program is for")]
    fn tell(&self, arguments: &Arguments, elapsed: Duration) {
        println!("faults injected:");
        let mut rest = self.counters.clone();
        for fault in FAULTS {
            let times = fault.counters.iter().map(|what| rest.remove(*what).unwrap_or(0));
            println!("{:>12} × {}", times.sum::<u64>(), fault.name);
        }
        println!("seen on the way:");
        for (what, times) in &rest {
            println!("{times:>12} × {what}");
        }
        let seconds = elapsed.as_secs_f64().max(0.001);
        let last = arguments.from.saturating_add(self.done).saturating_sub(1);
        println!("seeds {}..={last}: {} events", arguments.from, self.events);
        println!("simulated: {:.1} hours in {seconds:.0} s", self.hours());
        if let Some(processor) = seconds_of_children() {
            let worlds = if arguments.twice { 2.0 } else { 1.0 };
            let rate = worlds * self.hours() * 3600.0 / processor.max(0.001);
            println!(
                "processor: {processor:.0} s, {rate:.0} simulated seconds per processor second"
            );
        }
        println!(
            "rates: {:.1} seeds/s, {:.0} simulated seconds per second, {:.0} events/s",
            self.done as f64 / seconds,
            self.hours() * 3600.0 / seconds,
            self.events as f64 / seconds,
        );
        println!("in the seeds that held: {:?}", self.summary);
        println!("failed: {} of {}", self.failed.len(), self.done);
        for (seed, problem) in &self.failed {
            println!("{}: {problem}", replay(&options(arguments), *seed));
        }
    }
}

/// Processor seconds of all processes that this one started and that have ended, where the system tells.
fn seconds_of_children() -> Option<f64> {
    /// Linux counts these times in hundredths of a second on every machine that Rust runs on.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, which may hold blanks; fields are counted behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(13).take(2).map(str::parse::<f64>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some((user + system) / TICKS)
}
