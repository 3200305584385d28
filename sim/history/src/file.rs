//! A history as a file: one line of JSON for each event.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use crate::Event;

/// Why a file is no history.
#[derive(Debug)]
pub enum BadFile {
    /// It cannot be read.
    Io(io::Error),
    /// A line, counted from 1, is no event.
    Line(usize, serde_json::Error),
}

impl std::fmt::Display for BadFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "it cannot be read: {error}"),
            Self::Line(number, error) => write!(f, "line {number} is no event: {error}"),
        }
    }
}

impl std::error::Error for BadFile {}

/// Writes a history.
///
/// # Errors
///
/// The disk's.
pub fn write(path: &Path, events: &[Event]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for event in events {
        serde_json::to_writer(&mut file, event)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

/// Reads a history. Empty lines, and those that begin with `#`, say nothing.
///
/// # Errors
///
/// See [`BadFile`].
pub fn read(path: &Path) -> Result<Vec<Event>, BadFile> {
    let mut events = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(File::open(path).map_err(BadFile::Io)?).lines())
    {
        let line = line.map_err(BadFile::Io)?;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        events.push(serde_json::from_str(&line).map_err(|error| BadFile::Line(number, error))?);
    }
    Ok(events)
}
