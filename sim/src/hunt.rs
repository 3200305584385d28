//! Plants bugs, one at a time, in a copy of the workspace, and looks how many worlds it takes until a checker finds them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use std::{fs, io};

use sim::planted::{self, Bug};

use crate::Arguments;
use crate::{many, shrink};

/// What of the workspace is copied: what cargo wants to see before it builds `sim`.
const COPIED: [&str; 7] =
    ["Cargo.toml", "Cargo.lock", ".cargo", "broker", "sim", "proptests", "jepsen"];

/// What became of one bug.
enum Fate {
    /// In which world, and what was said.
    Found(u64, String),
    /// In none of so many.
    Hidden(u64),
    /// It does not fit the code, or does not build.
    Broken(String),
}

/// Hunts all bugs, or the one of this name.
#[expect(clippy::print_stdout, reason = "the table is what this is for")]
pub(crate) fn run(arguments: &Arguments, name: &str, seeds: u64) -> ExitCode {
    let bugs = match planted::all() {
        Ok(bugs) => bugs,
        Err(error) => {
            println!("the planted bugs cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    let chosen: Vec<&Bug> = bugs.iter().filter(|bug| name.is_empty() || bug.name == name).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = bugs.iter().map(|bug| bug.name.as_str()).collect();
        println!("no bug is named '{name}'; there are: {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    println!("{:<40} {:>6} {:>7}  found by", "bug", "seed", "seconds");
    let mut is_all_found = true;
    for bug in chosen {
        let started = Instant::now();
        let fate =
            hunt(arguments, bug, seeds).unwrap_or_else(|error| Fate::Broken(error.to_string()));
        let seconds = started.elapsed().as_secs();
        let (seed, verdict) = match &fate {
            Fate::Found(seed, said) => (seed.to_string(), said.as_str()),
            Fate::Hidden(seeds) => (format!(">{seeds}"), "NOT FOUND"),
            Fate::Broken(why) => ("-".to_owned(), why.as_str()),
        };
        is_all_found &= matches!(fate, Fate::Found(..));
        println!("{:<40} {seed:>6} {seconds:>7}  {verdict}", bug.name);
    }
    if is_all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn hunt(arguments: &Arguments, bug: &Bug, seeds: u64) -> io::Result<Fate> {
    let root = planted::workspace();
    let home = root.join("target/planted");
    let tree = home.join("tree");
    copy(&root, &tree, &bug.plant(&root)?)?;
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", "planted", "-p", "sim", "--bin", "sim"])
        .arg("--target-dir")
        .arg(home.join("build"))
        .current_dir(&tree)
        .stderr(Stdio::piped())
        .output()?;
    if !built.status.success() {
        let complaint = String::from_utf8_lossy(&built.stderr).into_owned();
        let error = complaint.lines().find(|line| line.starts_with("error")).unwrap_or("error");
        return Ok(Fate::Broken(format!("does not build: {error}")));
    }
    let program = home.join("build/planted/sim");
    Ok(first_failure(arguments, &program, seeds))
}

/// The first world, in order, in which something is wrong.
fn first_failure(arguments: &Arguments, program: &Path, seeds: u64) -> Fate {
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(seeds);
    let found: Mutex<BTreeMap<u64, String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_over = seed >= end
                        || !found.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
                    if is_over {
                        return;
                    }
                    let result =
                        many::run_one(arguments, program, seed).and_then(|line| line.result);
                    if let Err(problem) = result {
                        found.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, problem);
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    match found.into_iter().next() {
        Some((seed, problem)) => Fate::Found(seed, shrink::kind(&problem).to_owned()),
        None => Fate::Hidden(seeds),
    }
}

/// Brings the copy up to date. Only what differs is written, so that only that is built again.
fn copy(root: &Path, tree: &Path, planted: &BTreeMap<PathBuf, String>) -> io::Result<()> {
    fs::create_dir_all(tree)?;
    for name in COPIED {
        copy_one(root, tree, Path::new(name), planted)?;
    }
    Ok(())
}

fn copy_one(
    root: &Path,
    tree: &Path,
    path: &Path,
    planted: &BTreeMap<PathBuf, String>,
) -> io::Result<()> {
    let (from, to) = (root.join(path), tree.join(path));
    if from.is_dir() {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&to)? {
            let name = entry?.file_name();
            if !from.join(&name).exists() {
                let stale = to.join(&name);
                if stale.is_dir() { fs::remove_dir_all(stale)? } else { fs::remove_file(stale)? }
            }
        }
        for entry in fs::read_dir(&from)? {
            copy_one(root, tree, &path.join(entry?.file_name()), planted)?;
        }
        return Ok(());
    }
    let content = match planted.get(path) {
        Some(text) => text.clone().into_bytes(),
        None => fs::read(&from)?,
    };
    if fs::read(&to).ok().as_ref() != Some(&content) {
        fs::write(&to, content)?;
    }
    Ok(())
}
