//! Judges a history in a file, whoever wrote it.

use std::path::{Path, PathBuf};

use clap::Args;
use history::checkers::{Found, judge};
use history::{Event, Facts};

use crate::{Failure, say};

/// A history to be judged.
#[derive(Debug, Args)]
pub(crate) struct JudgeArguments {
    /// Lines of JSON, as `kill9 --history` and `cargo sim --history` write them
    history: PathBuf,
}

/// A history to be written in another form.
#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// Lines of JSON, as `--history` writes them
    history: PathBuf,
    /// Where the EDN goes
    edn: PathBuf,
}

pub(crate) fn export(arguments: &ExportArguments) -> Result<bool, Failure> {
    history::edn::write(&arguments.edn, &events_of(&arguments.history)?)?;
    Ok(true)
}

fn events_of(path: &Path) -> Result<Vec<Event>, Failure> {
    let bad = |bad| Failure(format!("{} is no history: {bad}", path.display()));
    history::read(path).map_err(bad)
}

pub(crate) fn run(arguments: &JudgeArguments) -> Result<bool, Failure> {
    let events = events_of(&arguments.history)?;
    let (facts, anomalies) = judged(&events);
    say!("{} events", events.len());
    say!("records sent            {}", facts.sends.len());
    say!("  acknowledged          {}", facts.acknowledged_count());
    say!("  read back             {}", facts.read.records.values().map(Vec::len).sum::<usize>());
    say!("commits acknowledged    {}", facts.commit_count);
    if !facts.is_read_to_the_end {
        say!("not read to its end: what is missing is not judged");
    }
    tell(&anomalies);
    Ok(anomalies.is_empty())
}

/// What a history adds up to, and what was wrong.
pub(crate) fn judged(events: &[Event]) -> (Facts, Vec<Found>) {
    let facts = Facts::of(events);
    let anomalies = judge(&facts);
    (facts, anomalies)
}

/// The first of them, and how many there are of each kind.
pub(crate) fn tell(anomalies: &[Found]) {
    for (_, anomaly) in anomalies.iter().take(SHOWN) {
        say!("  {anomaly}");
    }
    for verdict in history::Verdict::ALL {
        let count = anomalies.iter().filter(|(_, anomaly)| anomaly.verdict == *verdict).count();
        if count > 0 {
            say!("{verdict:<24}{count}");
        }
    }
}

const SHOWN: usize = 20;
