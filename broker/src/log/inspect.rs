//! What the small files beside a log say, for tools that look at a directory nobody writes to.

use std::io;
use std::path::Path;

use super::index::{Entry, read_entries};
use super::leader_epochs::LeaderEpochs;
use super::offset_index::OffsetEntry;
use super::producer_state::{ActiveProducer, ProducerState};
use super::time_index::TimeEntry;
use super::{AbortedTransaction, file_names, transaction_index};
use crate::environment::{Disk, OpenMode};
use crate::model::{Offset, Timestamp};

/// More entries than an index file of 2 GiB holds.
const ENTRIES_MAX: usize = 1 << 28;

/// An offset index: offsets and positions in the `.log` file, up to the first entry that makes no sense (the active
/// segment's file ends in zeros).
///
/// # Errors
///
/// When the file cannot be read.
pub async fn offset_index<D: Disk>(disk: &D, path: &Path) -> io::Result<Vec<(Offset, u64)>> {
    let base = base_of(path, file_names::OFFSET_INDEX);
    let entries = entries::<D, OffsetEntry>(disk, path).await?;
    let read = |entry: OffsetEntry| (base.plus(i64::from(entry.relative)), entry.position());
    Ok(entries.into_iter().map(read).collect())
}

/// A time index: the largest timestamp so far, and the offset that has it.
///
/// # Errors
///
/// When the file cannot be read.
pub async fn time_index<D: Disk>(disk: &D, path: &Path) -> io::Result<Vec<(Timestamp, Offset)>> {
    let base = base_of(path, file_names::TIME_INDEX);
    let entries = entries::<D, TimeEntry>(disk, path).await?;
    let read = |entry: TimeEntry| {
        let largest = entry.largest(base);
        (largest.timestamp, largest.offset)
    };
    // Where the active segment's file goes on in zeros.
    let is_written = |entry: &TimeEntry| entry.timestamp > 0 || entry.relative > 0;
    Ok(entries.into_iter().filter(is_written).map(read).collect())
}

/// A transaction index.
///
/// # Errors
///
/// When the file cannot be read.
pub async fn aborted_transactions<D: Disk>(
    disk: &D,
    path: &Path,
) -> io::Result<Vec<AbortedTransaction>> {
    transaction_index::read(disk, path).await
}

/// The producers of a `.snapshot` file; `None` when it was not written whole.
#[must_use]
pub fn producers(bytes: &[u8]) -> Option<Vec<ActiveProducer>> {
    ProducerState::decode_snapshot(bytes).map(|state| state.producers())
}

/// True when these are the leader epochs of a log, in order.
#[must_use]
pub fn is_leader_epochs(text: &str) -> bool {
    LeaderEpochs::parse(text).is_some()
}

async fn entries<D: Disk, E: Entry>(disk: &D, path: &Path) -> io::Result<Vec<E>> {
    let file = disk.open(path, OpenMode::Read).await?;
    Ok(read_entries(&file, ENTRIES_MAX).await?.0)
}

/// The base offset in the file's name; 0 in a name that has none.
fn base_of(path: &Path, suffix: &str) -> Offset {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| file_names::offset_of(name, suffix)).unwrap_or_default()
}
