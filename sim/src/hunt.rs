//! Plants bugs in a copy of the workspace, and looks how many worlds it takes until a checker finds each.
//!
//! All bugs are in one program (see [`sim::weave`]), which is kept: the next hunt, be it one that leaves out a fault or a
//! checker, builds nothing unless something has changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use std::{fs, io};

use clap::Args;
use sim::planted::{self, Bug};
use sim::scenario::kind;

use crate::sources::Sources;
use crate::{Arguments, many};

/// Which bugs are hunted, and for how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct Hunting {
    /// Plants these bugs, or all of `sim/planted/`, in a copy of the workspace, and looks how many worlds it takes until each
    /// is found; `--seeds` says after how many to give up.
    #[arg(long, num_args = 0.., value_delimiter = ',', value_name = "NAMES")]
    pub(crate) planted: Option<Vec<String>>,
    /// Goes on when a planted bug is found, and counts who finds it in how many worlds.
    #[arg(long, requires = "planted")]
    every_seed: bool,
}

/// How worlds with a bug went: by seed, what was wrong.
type Failures = BTreeMap<u64, Failure>;

struct Failure {
    /// The breach that is told first.
    kind: String,
    /// The checkers that say so.
    checkers: Vec<String>,
}

/// Hunts all bugs, or those of these names.
#[expect(clippy::print_stdout, reason = "the table is what this is for")]
pub(crate) fn run(arguments: &Arguments, names: &[String], seeds: u64) -> ExitCode {
    let root = planted::workspace();
    let read = planted::all().and_then(|bugs| Ok((bugs, Sources::read(&root)?)));
    let (bugs, sources) = match read {
        Ok(read) => read,
        Err(error) => {
            println!("the planted bugs cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    let is_there = |name: &&String| bugs.iter().any(|bug| bug.name == **name);
    if let Some(name) = names.iter().find(|name| !is_there(name)) {
        let names: Vec<&str> = bugs.iter().map(|bug| bug.name.as_str()).collect();
        println!("no bug is named '{name}'; there are: {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let started = Instant::now();
    let home = root.join("target/planted");
    let hunt = Hunt { arguments, sources, program: home.join("sim"), home, seeds };
    let built = hunt.build(&bugs).unwrap_or_else(|error| Err(error.to_string()));
    if let Err(complaint) = built {
        println!("the program with the planted bugs does not build: {complaint}");
        return ExitCode::FAILURE;
    }
    println!("built in {} s", started.elapsed().as_secs());
    println!("{:<40} {:>6} {:>7}  found by", "bug", "seed", "seconds");
    let mut hidden = Vec::new();
    for bug in bugs.iter().filter(|bug| names.is_empty() || names.contains(&bug.name)) {
        let started = Instant::now();
        let failures = hunt.failures(&bug.name);
        let seconds = started.elapsed().as_secs();
        let (seed, verdict) = match failures.first_key_value() {
            Some((seed, first)) if !arguments.hunting.every_seed => {
                (seed.to_string(), first.to_string())
            }
            Some((seed, _)) => (seed.to_string(), census(&failures, seeds)),
            None => {
                hidden.push(bug.name.as_str());
                (format!(">{seeds}"), "NOT FOUND".to_owned())
            }
        };
        println!("{:<40} {seed:>6} {seconds:>7}  {verdict}", bug.name);
    }
    if hidden.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("not found: {}", hidden.join(", "));
    ExitCode::FAILURE
}

struct Hunt<'a> {
    arguments: &'a Arguments,
    sources: Sources,
    /// Where everything is built, and what is built there.
    home: PathBuf,
    program: PathBuf,
    seeds: u64,
}

impl Hunt<'_> {
    /// The simulator whose broker can have each of the bugs, or what the compiler has against it.
    fn build(&self, bugs: &[Bug]) -> io::Result<Result<(), String>> {
        let sources = self.sources.with(bugs)?;
        let print = format!("{:016x}", sources.fingerprint());
        let note = self.home.join("sources");
        if self.program.exists() && fs::read_to_string(&note).is_ok_and(|note| note == print) {
            return Ok(Ok(()));
        }
        let _ = fs::remove_file(&note);
        let tree = self.home.join("tree");
        sources.write(&tree)?;
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "-p", "sim", "--bin", "sim", "--profile", "sim"])
            .args(["--config", "sim/planted/profile.toml", "--target-dir"])
            .arg(self.home.join("build"))
            .current_dir(&tree)
            .stderr(Stdio::piped())
            .output()?;
        if !built.status.success() {
            return Ok(Err(String::from_utf8_lossy(&built.stderr).into_owned()));
        }
        // Another hunt may still run the old one, which stays its own.
        let _ = fs::remove_file(&self.program);
        fs::copy(self.home.join("build/sim/sim"), &self.program)?;
        fs::write(&note, print)?;
        Ok(Ok(()))
    }

    /// The worlds, in order, in which something is wrong with this bug: the first of them, or all.
    fn failures(&self, bug: &str) -> Failures {
        let next = AtomicU64::new(self.arguments.from);
        let end = self.arguments.from.saturating_add(self.seeds);
        let found: Mutex<Failures> = Mutex::default();
        let found_now = || found.lock().unwrap_or_else(PoisonError::into_inner);
        std::thread::scope(|scope| {
            for _ in 0..self.arguments.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let is_enough =
                            || !self.arguments.hunting.every_seed && !found_now().is_empty();
                        if seed >= end || is_enough() {
                            return;
                        }
                        if let Some(failure) = self.failure(bug, seed) {
                            found_now().insert(seed, failure);
                        }
                    }
                });
            }
        });
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self, bug: &str, seed: u64) -> Option<Failure> {
        let options = many::options(self.arguments);
        let (problem, mut checkers) = match many::run_with(&options, &self.program, seed, Some(bug))
        {
            Ok(report) => {
                let checkers: Vec<_> = report.found_by().map(str::to_owned).collect();
                (report.result.err()?, checkers)
            }
            Err(problem) => (problem, Vec::new()),
        };
        let kind = kind(&problem).to_owned();
        if checkers.is_empty() {
            // Found while the world ran.
            checkers.push(kind.clone());
        }
        Some(Failure { kind, checkers })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.checkers.iter().eq([&self.kind]) {
            return f.write_str(&self.kind);
        }
        write!(f, "{} ({})", self.kind, self.checkers.join(", "))
    }
}

/// In how many worlds each checker has found it, and in how many nobody else.
fn census(failures: &Failures, seeds: u64) -> String {
    let mut tally: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for failure in failures.values() {
        for checker in &failure.checkers {
            let (times, alone) = tally.entry(checker).or_default();
            *times += 1;
            *alone += u64::from(failure.checkers.len() == 1);
        }
    }
    let mut tally: Vec<_> = tally.into_iter().collect();
    tally.sort_by_key(|(name, (times, _))| (u64::MAX - times, *name));
    let each = tally.iter().map(|(name, (times, alone))| match alone {
        0 => format!("{name} {times}"),
        alone => format!("{name} {times} (alone {alone})"),
    });
    format!("{} of {seeds}: {}", failures.len(), each.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn census_says_who_found_it_and_who_alone() {
        let failure = |checkers: &[&str]| Failure {
            kind: String::new(),
            checkers: checkers.iter().map(|name| (*name).to_owned()).collect(),
        };
        let failures =
            BTreeMap::from([(1, failure(&["a", "b"])), (5, failure(&["b"])), (9, failure(&["c"]))]);
        assert_eq!(census(&failures, 10), "3 of 10: b 2 (alone 1), a 1, c 1 (alone 1)");
    }
}
