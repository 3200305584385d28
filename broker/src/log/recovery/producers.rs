//! Producer state at start: the newest snapshot that can be read, and the batches since then.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::super::file_names::{self, SNAPSHOT, TRANSACTION_INDEX};
use super::super::producer_state::ProducerState;
use super::super::scan::{self, Found, Scanner};
use super::super::segment::{Lookup, Segment, SegmentPlace};
use super::super::transaction_index::{self, AbortedTransaction};
use crate::environment::{Disk, File, FileExt, OpenMode, Runtime};
use crate::model::Offset;

/// Larger snapshots are not ours: more than a million producers.
const SNAPSHOT_BYTES_MAX: u64 = 64 << 20;

/// Producer state up to the log end.
pub(in super::super) struct LoadedProducers {
    pub(in super::super) producers: ProducerState,
    /// The snapshot it began with.
    pub(in super::super) snapshot: Option<Offset>,
    /// Aborted transactions that were met, by base offset of the segment with the marker.
    aborted: BTreeMap<Offset, Vec<AbortedTransaction>>,
}

/// Offsets of the snapshots in a directory, in order.
async fn snapshots<D: Disk>(disk: &D, path: &Path) -> io::Result<Vec<Offset>> {
    let entries = disk.list(path).await?;
    Ok(entries.iter().filter_map(|entry| file_names::offset_of(&entry.name, SNAPSHOT)).collect())
}

/// Removes the snapshots whose offset `is_wrong`.
pub(in super::super) async fn remove_snapshots<R: Runtime>(
    runtime: &R,
    path: &Path,
    is_wrong: impl Fn(Offset) -> bool + Send + Sync,
) -> io::Result<()> {
    let disk = runtime.disk();
    for at in snapshots(disk, path).await?.into_iter().filter(|at| is_wrong(*at)) {
        disk.remove_file(&path.join(file_names::at(at, SNAPSHOT))).await?;
    }
    Ok(())
}

/// Removes snapshots above `limit`, and below it those that no segment begins at, but for the newest: a truncation replays
/// from the start of a segment, a start from the newest.
pub(in super::super) async fn tidy_snapshots<R: Runtime>(
    at: &SegmentPlace<R>,
    segments: &[Arc<Segment<R>>],
    limit: Offset,
) -> io::Result<()> {
    let path = at.place.path();
    let found = snapshots(at.runtime.disk(), &path).await?;
    let newest = found.into_iter().rfind(|at| *at <= limit);
    let is_start = |at| segments.binary_search_by_key(&at, |segment| segment.base()).is_ok();
    let is_wrong = |at| at > limit || (Some(at) != newest && !is_start(at));
    remove_snapshots(&at.runtime, &path, is_wrong).await
}

/// Loads the newest snapshot at or below `end` and replays what follows it. Snapshots that cannot be read are removed.
pub(in super::super) async fn load<R: Runtime>(
    at: &SegmentPlace<R>,
    segments: &[Arc<Segment<R>>],
    end: Offset,
) -> io::Result<LoadedProducers> {
    let path = at.place.path();
    let disk = at.runtime.disk();
    let mut loaded = LoadedProducers {
        producers: ProducerState::default(),
        snapshot: None,
        aborted: BTreeMap::new(),
    };
    for offset in snapshots(disk, &path).await?.into_iter().rev().filter(|offset| *offset <= end) {
        let file_path = path.join(file_names::at(offset, SNAPSHOT));
        let file = disk.open(&file_path, OpenMode::Read).await?;
        let bytes = match file.read_all(SNAPSHOT_BYTES_MAX).await {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Vec::new(),
            bytes => bytes?,
        };
        if let Some(mut state) = ProducerState::decode_snapshot(&bytes) {
            // Batches tell the time of their producers, which may be long ago: as in Kafka, only what comes from a
            // snapshot is judged by it.
            state.expire(at.runtime.wall_clock(), &at.settings);
            loaded.producers = state;
            loaded.snapshot = Some(offset);
            Box::pin(loaded.recall(segments, offset)).await?;
            break;
        }
        disk.remove_file(&file_path).await?;
    }
    loaded.replay(at, segments).await?;
    Ok(loaded)
}

/// How much of the log before a snapshot is looked at for the batches that it does not tell of.
const RECALLED_BYTES: u64 = 256 << 10;

/// Segments at the end of the log that get a snapshot at their start when there was none to load.
const SNAPSHOTS_MADE: usize = 2;

/// Writes producer state. Not synced: it has a checksum and can be rebuilt.
pub(in super::super) async fn write_snapshot<D: Disk>(
    disk: &D,
    path: &Path,
    producers: &ProducerState,
) -> io::Result<()> {
    let file = disk.open(path, OpenMode::Create).await?;
    file.set_length(0).await?;
    file.write_all_at(&[IoSlice::new(&producers.encode_snapshot())], 0).await
}

impl LoadedProducers {
    /// Remembers more than the last batch of each producer, as long as they stand close before the snapshot.
    async fn recall<R: Runtime>(
        &mut self,
        segments: &[Arc<Segment<R>>],
        snapshot: Offset,
    ) -> io::Result<()> {
        let mut left = RECALLED_BYTES;
        for segment in segments.iter().rev().filter(|segment| segment.base() < snapshot) {
            if left == 0 || !self.producers.could_recall() {
                break;
            }
            let end = match segment.find(snapshot).await? {
                Lookup::Batch(batch) => batch.position,
                Lookup::End => segment.size(),
                Lookup::Bad(_) => break,
            };
            let (entries, _) = segment.index_entries().await?;
            let from = end.saturating_sub(left);
            let start = entries.iter().map(|entry| entry.position()).rfind(|at| *at <= from);
            let start = start.unwrap_or(0);
            let mut batches = Vec::new();
            let mut scanner = Scanner::new(segment.file(), start, end);
            loop {
                let position = scanner.position();
                let Found::Batch(header) = scanner.next().await? else { break };
                batches.extend(scan::producer_batch(segment.file(), position, &header).await?);
            }
            self.producers.recall(&batches);
            left = left.saturating_sub(end - start);
        }
        Ok(())
    }

    async fn replay<R: Runtime>(
        &mut self,
        at: &SegmentPlace<R>,
        segments: &[Arc<Segment<R>>],
    ) -> io::Result<()> {
        let from = self.snapshot.unwrap_or(Offset::ZERO);
        let made_from = segments.len().saturating_sub(SNAPSHOTS_MADE).max(1);
        for (position, segment) in segments.iter().enumerate() {
            if segment.base() > from && position >= made_from {
                let path = at.at(segment.base()).file(SNAPSHOT);
                match write_snapshot(at.runtime.disk(), &path, &self.producers).await {
                    // It would have saved time, once.
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
                    result => result?,
                }
            }
            if segment.end() <= from {
                continue;
            }
            let start = match segment.find(from).await? {
                Lookup::Batch(batch) => batch.position,
                Lookup::End | Lookup::Bad(_) => continue,
            };
            let mut scanner = Scanner::new(segment.file(), start, segment.size());
            loop {
                let position = scanner.position();
                // A bad batch below the recovery point is found by whoever reads it.
                let Found::Batch(header) = scanner.next().await? else { break };
                if header.first_offset() < from {
                    continue;
                }
                let produced = scan::producer_batch(segment.file(), position, &header).await?;
                let ended = produced.and_then(|batch| self.producers.append(&batch));
                if let Some(ended) = ended.filter(|ended| ended.is_abort) {
                    let aborted = AbortedTransaction::of(&ended);
                    self.aborted.entry(segment.base()).or_default().push(aborted);
                }
            }
        }
        Ok(())
    }

    /// Writes the transaction indexes of the segments from `recovered_from` on anew.
    pub(in super::super) async fn write_aborted<R: Runtime>(
        &self,
        at: &SegmentPlace<R>,
        segments: &[Arc<Segment<R>>],
        recovered_from: Option<Offset>,
    ) -> io::Result<()> {
        let Some(from) = recovered_from else { return Ok(()) };
        let disk = at.runtime.disk();
        for segment in segments.iter().filter(|segment| segment.base() >= from) {
            let path = segment.path(TRANSACTION_INDEX);
            match disk.remove_file(&path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            if let Some(aborted) = self.aborted.get(&segment.base()) {
                transaction_index::append(disk, &path, aborted).await?;
            }
        }
        Ok(())
    }
}
