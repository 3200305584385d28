//! What is done at start: half-done renames are finished, the log is cut at the first bad batch, and what is derived from the
//! batches is built again.
//!
//! After a clean stop everything is believed that looks whole. Otherwise, from the segment on that holds the last record
//! below the recovery point, every batch is looked at, and at or above that point its checksum is compared. The log ends before the first batch that is cut,
//! damaged, out of order, or of an older epoch than the one before: bytes that were cut off once may be back after a
//! power loss.
//!
//! # Holes between segments
//!
//! A segment of ours begins where the one before it ends ([`PartitionLog::roll`](super::PartitionLog)). So when the second
//! begins further on, there are three stories. *Compaction* took the last records of the first, and all that is there was
//! acknowledged: the topic need not be a compacted one any more, and another broker may have been the cleaner. Or a
//! *power loss* took the tail of the first, whole batches of it, but not the name of the second, which the file system wrote
//! earlier: what stands behind the hole is not the log that was written, and with `flush.messages=1` nobody was told that it
//! is there, because whoever waits for a sync waits for all segments before. Kept, it would be a lie that nothing mends: a
//! follower's offsets would say that it has all, a producer's sequences would go on behind records it must send again. Or
//! there was *damage*. The files do not tell the stories apart, and what compaction left must never be deleted. The recovery
//! point does:
//!
//! | the second segment begins | the hole |
//! |---|---|
//! | at or below the recovery point | stays: all below it was synced, and this is how it was |
//! | above it, topic compacted | stays: cleaning does not wait for the recovery point |
//! | above it, topic not compacted | is a loss: the log ends there |
//! | anywhere, and no recovery point is known | stays |
//!
//! To keep is Kafka's rule for all (it deletes only behind a segment that it had to cut, and so do we, besides). It is
//! safe for records of others whose checkpoint is lost or was never copied. For our own it must not meet a power loss: where
//! the topic is compacted, and as long as the checkpoint has no entry for a log, which is for a moment after its creation, each
//! roll first syncs all that it leaves behind ([`flush_before_roll`](super::PartitionLog)), so that no tail can be lost. Any
//! other roll waits for nothing. A topic that becomes a compacted one is synced when its broker hears of it; a power loss
//! before that may make a hole that stays.

mod files;
mod producers;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

use files::Inventory;
use producers::tidy_snapshots;
pub(super) use producers::{load as load_producers, remove_snapshots, write_snapshot};

use super::file_names::{LOG, OFFSET_INDEX, TIME_INDEX};
use super::index::{self, Entry as _};
use super::leader_epochs::{self, LeaderEpochs};
use super::offset_index::OffsetEntry;
use super::producer_state::ProducerState;
use super::scan::{self, Found, Scanner};
use super::segment::{Contents, Place, Segment, SegmentPlace};
use super::time_index::TimeEntry;
use super::{OpenOptions, RecoveryReport, Settings, checkpoint};
use crate::environment::{Disk, File, OpenMode, Runtime};
use crate::model::{LeaderEpoch, Offset};
use crate::record::Header;

/// A log as it was found and mended.
pub(super) struct Loaded<R: Runtime> {
    pub(super) place: Arc<Place>,
    /// In order, the last one active.
    pub(super) segments: Vec<Arc<Segment<R>>>,
    pub(super) log_start: Offset,
    pub(super) end: Offset,
    pub(super) epochs: LeaderEpochs,
    /// The file says just that of the epochs.
    pub(super) are_epochs_stored: bool,
    pub(super) producers: ProducerState,
    /// Its first segment was made just now.
    pub(super) is_new: bool,
    pub(super) report: RecoveryReport,
}

/// Opens the log in `path`.
pub(super) async fn load<R: Runtime>(
    runtime: &R,
    path: &Path,
    settings: &Settings,
    options: &OpenOptions,
) -> io::Result<Loaded<R>> {
    let place = Arc::new(Place::new(path.to_owned()));
    let at = SegmentPlace {
        runtime: runtime.clone(),
        place: Arc::clone(&place),
        base: Offset::ZERO,
        settings: Arc::new(settings.clone()),
    };
    let inventory = files::take(runtime.disk(), path).await?;
    let (epochs, are_epochs_known) = read_epochs(runtime, path, &inventory).await?;
    let stored_epochs = epochs.clone();
    let mut load = Load {
        at,
        recover_from: recover_from(&inventory, options),
        recovery_point: options.recovery_point,
        inventory,
        epochs: epochs.unwrap_or_default(),
        stored_epochs,
        are_epochs_known,
        epoch: None,
        segments: Vec::new(),
        report: RecoveryReport::default(),
    };
    load.segments().await?;
    load.finish(options).await
}

/// The first base offset whose segment is not believed: of the segment with the last record below the recovery point, for
/// that one's index files were synced only after its records.
fn recover_from(inventory: &Inventory, options: &OpenOptions) -> Option<Offset> {
    if options.clean {
        return None;
    }
    let last = options.recovery_point.unwrap_or_default().value().saturating_sub(1).max(0);
    let floor = inventory.bases().rev().find(|base| base.value() <= last);
    floor.or_else(|| inventory.bases().next())
}

struct Load<R: Runtime> {
    at: SegmentPlace<R>,
    inventory: Inventory,
    /// Segments from here on are read through.
    recover_from: Option<Offset>,
    /// As the checkpoint says it.
    recovery_point: Option<Offset>,
    epochs: LeaderEpochs,
    stored_epochs: Option<LeaderEpochs>,
    are_epochs_known: bool,
    /// Of the last batch that was read through.
    epoch: Option<LeaderEpoch>,
    segments: Vec<Arc<Segment<R>>>,
    report: RecoveryReport,
}

impl<R: Runtime> Load<R> {
    /// Opens all segments in order; the last one becomes active.
    async fn segments(&mut self) -> io::Result<()> {
        if let Some(from) = self.recover_from {
            self.epochs.truncate_from_end(from);
        }
        let bases: Vec<Offset> = self.inventory.bases().collect();
        let mut end = Offset::ZERO;
        for (position, base) in bases.iter().enumerate() {
            let next = bases.get(position + 1).copied();
            let is_dirty = self.recover_from.is_some_and(|from| *base >= from);
            if *base < end {
                // Left by a roll that failed, or back after a power loss: the log went on without it.
                return self.drop_segments(bases.get(position..).unwrap_or_default()).await;
            }
            let file = self.open(*base).await?;
            match next {
                Some(next) if !is_dirty && self.looks_whole(*base) => {
                    self.believe(*base, next, file).await?;
                    end = next;
                }
                _ => {
                    let later = bases.get(position + 1..).unwrap_or_default();
                    end = self.read_through(*base, later, file, is_dirty).await?;
                    if self.segments.last().is_some_and(|last| !last.is_sealed()) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    async fn open(&self, base: Offset) -> io::Result<R::File> {
        self.at.runtime.disk().open(&self.at.at(base).file(LOG), OpenMode::ReadWrite).await
    }

    /// True when both index files are there and may be what they should be.
    fn looks_whole(&self, base: Offset) -> bool {
        let length = |suffix| self.inventory.length(base, suffix);
        let fits = |length: Option<u64>, entry: usize| {
            length.is_some_and(|length| length % entry as u64 == 0)
        };
        fits(length(OFFSET_INDEX), OffsetEntry::BYTES) && fits(length(TIME_INDEX), TimeEntry::BYTES)
    }

    /// Takes a sealed segment as it is.
    async fn believe(&mut self, base: Offset, next: Offset, file: R::File) -> io::Result<()> {
        let length = |suffix| self.inventory.length(base, suffix).unwrap_or(0);
        let lengths = [length(LOG), length(OFFSET_INDEX), length(TIME_INDEX)];
        if !self.are_epochs_known {
            self.scan_epochs(&file, lengths[0]).await?;
        }
        let segment = Segment::sealed(&self.at.at(base), file, next, lengths);
        self.segments.push(Arc::new(segment));
        Ok(())
    }

    async fn scan_epochs(&mut self, file: &R::File, size: u64) -> io::Result<()> {
        let mut scanner = Scanner::new(file, 0, size);
        while let Found::Batch(header) = scanner.next().await? {
            assign_epoch(&mut self.epochs, &header);
        }
        Ok(())
    }

    /// Opens the last segment, or one that is not believed. Says where it ends. It is active when the log ends there, and
    /// later ones are gone.
    async fn read_through(
        &mut self,
        base: Offset,
        later: &[Offset],
        file: R::File,
        is_dirty: bool,
    ) -> io::Result<Offset> {
        let next = later.first().copied();
        let at = self.at.at(base);
        let length = file.length().await?;
        let believed = if is_dirty || !self.looks_whole(base) {
            None
        } else {
            self.believe_tail(&at, &file, length).await?
        };
        let is_believed = believed.is_some();
        let contents = match believed {
            Some(contents) => contents,
            None => self.check_batches(&at, &file, length, is_dirty, next).await?,
        };
        let size = contents.size;
        let end = contents.end.unwrap_or(base);
        let is_lost =
            |next: Offset| end > next || (end < next && !self.is_hole_believed(&at, next));
        // What lies behind damage to the durable part is not given up for it.
        let is_last = next.is_none_or(|next| is_dirty && (size < length || is_lost(next)));
        if is_last {
            // Before the cut: a crash in between must not leave a hole.
            self.drop_segments(later).await?;
        }
        if size < length {
            tracing::warn!(path = %at.file(LOG).display(), size, length, "the end of a segment is cut off");
            self.report.bytes_truncated += length - size;
            file.set_length(size).await?;
            file.sync_data().await?;
        }
        let segment = Segment::active(&at, file, contents).await?;
        if !is_last {
            segment.seal().await?;
        }
        if !is_believed {
            self.report.segments_recovered += usize::from(is_dirty);
            self.report.indexes_rebuilt += usize::from(!is_dirty);
        }
        self.segments.push(Arc::new(segment));
        Ok(end)
    }

    /// True when a hole before the segment at `next` may be of compaction: see the essay above.
    fn is_hole_believed(&self, at: &SegmentPlace<R>, next: Offset) -> bool {
        at.settings.compacts || self.recovery_point.is_none_or(|point| next <= point)
    }

    /// The end of the last segment of a log that was closed; `None` when its indexes do not agree with it.
    async fn believe_tail(
        &mut self,
        at: &SegmentPlace<R>,
        file: &R::File,
        length: u64,
    ) -> io::Result<Option<Contents>> {
        let disk = at.runtime.disk();
        let offset_index = disk.open(&at.file(OFFSET_INDEX), OpenMode::Read).await?;
        let time_index = disk.open(&at.file(TIME_INDEX), OpenMode::Read).await?;
        let (offsets, is_offset_index_whole) =
            index::read_entries(&offset_index, usize::MAX).await?;
        let (times, is_time_index_whole) = index::read_entries(&time_index, usize::MAX).await?;
        if !is_offset_index_whole || !is_time_index_whole {
            return Ok(None);
        }
        let found = Contents { size: length, offsets, times, ..Contents::default() };
        match look_at_tail(at, file, found, None).await {
            Ok(contents) if contents.size == length => {
                if !self.are_epochs_known {
                    self.scan_epochs(file, length).await?;
                }
                Ok(Some(contents))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads every batch up to the first bad one, and writes those again that may not be on the disk; in what was synced, also up to the first that reaches into the segment at
    /// `next`, which was synced too and stands. Only the epochs of segments that are not believed are learned from them: what the file
    /// says of the others stands.
    async fn check_batches(
        &mut self,
        at: &SegmentPlace<R>,
        file: &R::File,
        length: u64,
        is_dirty: bool,
        next: Option<Offset>,
    ) -> io::Result<Contents> {
        let learns_epochs = is_dirty || !self.are_epochs_known;
        let mut contents = Contents::default();
        let mut scanner = Scanner::new(file, 0, length);
        let mut buffer = Vec::new();
        loop {
            let position = scanner.position();
            let header = match scanner.next().await? {
                Found::Batch(header) => header,
                Found::End => break,
                Found::Bad(what) => {
                    tracing::warn!(path = %at.file(LOG).display(), what, "recovery stops");
                    break;
                }
            };
            let expected = contents.end.unwrap_or(at.base);
            let batch_epoch = LeaderEpoch::from_wire(header.leader_epoch);
            let is_in_order = header.first_offset() >= expected
                && header.last_offset().distance_from(at.base) <= i64::from(i32::MAX)
                && (is_dirty || next.is_none_or(|next| header.last_offset() < next))
                && batch_epoch.is_none_or(|new| self.epoch.is_none_or(|old| old <= new));
            // What was synced is what was written. If the disk has spoiled it since, that is for whoever reads it, as in every
            // other segment: nothing behind it is cut for that.
            let was_synced =
                self.recovery_point.is_some_and(|point| header.last_offset() < point) && is_dirty;
            if !is_in_order
                || !(was_synced
                    || scan::has_right_checksum(file, position, &header, &mut buffer).await?)
            {
                tracing::warn!(path = %at.file(LOG).display(), position, is_in_order, "recovery stops at a bad batch");
                break;
            }
            if is_dirty && !was_synced {
                scan::write_again(file, position, &header, &mut buffer).await?;
            }
            self.epoch = batch_epoch.or(self.epoch);
            if learns_epochs {
                assign_epoch(&mut self.epochs, &header);
            }
            contents.add(at.base, &header, at.settings.index_interval_bytes);
        }
        contents.finish(at.base);
        Ok(contents)
    }

    /// Removes segments that cannot belong to the log any more.
    async fn drop_segments(&mut self, bases: &[Offset]) -> io::Result<()> {
        for base in bases.iter().rev() {
            tracing::warn!(path = %self.at.at(*base).file(LOG).display(), "a segment is dropped");
            let disk = self.at.runtime.disk();
            self.inventory.remove(disk, *base).await?;
            disk.sync_directory(&self.at.place.path()).await?;
        }
        self.report.segments_deleted += bases.len();
        Ok(())
    }

    async fn finish(mut self, options: &OpenOptions) -> io::Result<Loaded<R>> {
        self.choose_active().await?;
        let first = self.segments.first().map(|segment| segment.base());
        let end = self.segments.last().map(|segment| segment.end());
        let log_start = options.log_start_offset.max(first.unwrap_or(options.log_start_offset));
        let is_new = end.is_none_or(|end| end < log_start);
        if is_new {
            // What is left lies below the log start: the log begins there, empty.
            let bases: Vec<Offset> = self.segments.iter().map(|segment| segment.base()).collect();
            self.drop_segments(&bases).await?;
            let segment = Segment::create(&self.at.at(log_start)).await?;
            self.segments = vec![Arc::new(segment)];
        }
        let end = self.segments.last().map_or(log_start, |segment| segment.end());
        self.epochs.truncate_from_end(end);
        self.learn_first_epochs(log_start).await?;
        self.epochs.truncate_from_start(log_start);
        // A snapshot of a part that is not believed may tell of records that were cut off.
        let limit = self.recover_from.map_or(end, |from| from.min(end));
        tidy_snapshots(&self.at, &self.segments, limit).await?;
        let loaded = load_producers(&self.at, &self.segments, end).await?;
        loaded.write_aborted(&self.at, &self.segments, self.recover_from).await?;
        self.report.producer_snapshot = loaded.snapshot;
        Ok(Loaded {
            place: self.at.place,
            segments: self.segments,
            log_start,
            end,
            are_epochs_stored: self.stored_epochs.as_ref() == Some(&self.epochs),
            epochs: self.epochs,
            producers: loaded.producers,
            is_new,
            report: self.report,
        })
    }

    /// Learns the epochs at the front anew when the log starts lower than it did: the log start offset had moved up, but a
    /// crash came before its checkpoint.
    async fn learn_first_epochs(&mut self, log_start: Offset) -> io::Result<()> {
        let Some(known_from) = self.epochs.first_start() else { return Ok(()) };
        let mut older = LeaderEpochs::default();
        if known_from > log_start {
            let below = self.segments.iter().filter(|segment| segment.base() < known_from);
            for segment in below {
                let mut scanner = Scanner::new(segment.file(), 0, segment.size());
                while let Found::Batch(header) = scanner.next().await? {
                    if header.first_offset() >= known_from {
                        break;
                    }
                    assign_epoch(&mut older, &header);
                }
            }
        }
        self.epochs.extend_front(older);
        Ok(())
    }

    /// Makes the last segment the active one. An empty one that begins below the end of the one before it was left by a roll
    /// that failed and goes.
    async fn choose_active(&mut self) -> io::Result<()> {
        while let Some(last) = self.segments.last() {
            if !last.is_sealed() {
                return Ok(());
            }
            // Everything behind it was dropped: it is read again, to be written to.
            let base = last.base();
            self.segments.pop();
            let file = self.open(base).await?;
            self.read_through(base, &[], file, true).await?;
        }
        Ok(())
    }
}

/// What appending must know of a segment whose batches up to `found.size` are believed: entries that fit, and what the batches
/// behind the last entry add to them. With `bound`, time entries at or above it go.
///
/// # Errors
///
/// `InvalidData` when the batches are not what the entries say.
pub(super) async fn look_at_tail<R: Runtime>(
    at: &SegmentPlace<R>,
    file: &R::File,
    found: Contents,
    bound: Option<Offset>,
) -> io::Result<Contents> {
    let size = found.size;
    let mut contents = Contents { size: 0, ..found };
    contents.offsets.retain(|entry| entry.position() < size);
    if let Some(bound) = bound {
        contents.times.retain(|entry| entry.largest(at.base).offset < bound);
    }
    contents.largest = contents.times.last().map(|entry| entry.largest(at.base));
    let mut scanner = Scanner::new(file, 0, size);
    if let Found::Batch(header) = scanner.peek().await? {
        contents.first_timestamp =
            Some(header.max_timestamp).filter(|time| *time >= 0).map(crate::model::Timestamp);
    }
    let first_timestamp = contents.first_timestamp;
    let start = contents.offsets.last().copied();
    contents.size = start.map_or(0, OffsetEntry::position);
    scanner = Scanner::new(file, contents.size, size);
    let mut is_first = start.is_some();
    loop {
        match scanner.next().await? {
            Found::Batch(header) => {
                let named = start.map(|entry| at.base.plus(i64::from(entry.relative)));
                if is_first && named != Some(header.last_offset()) {
                    return Err(invalid("the offset index names another batch"));
                }
                is_first = false;
                if header.first_offset() < contents.end.unwrap_or(at.base) {
                    return Err(invalid("offsets are out of order"));
                }
                contents.add(at.base, &header, at.settings.index_interval_bytes);
            }
            Found::End => break,
            Found::Bad(_) => return Err(invalid("no batch where one should be")),
        }
    }
    contents.first_timestamp = first_timestamp;
    let end = contents.end.unwrap_or(at.base);
    if contents.largest.is_some_and(|largest| largest.offset >= end) {
        return Err(invalid("the time index names a record that is not there"));
    }
    Ok(contents)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn assign_epoch(epochs: &mut LeaderEpochs, header: &Header) {
    if let Some(epoch) = LeaderEpoch::from_wire(header.leader_epoch) {
        epochs.assign(epoch, header.first_offset());
    }
}

/// The epochs in the file, and whether they can be believed. Without a file there is nothing to know about an empty log.
async fn read_epochs<R: Runtime>(
    runtime: &R,
    path: &Path,
    inventory: &Inventory,
) -> io::Result<(Option<LeaderEpochs>, bool)> {
    let text = match checkpoint::read_text(runtime, &path.join(leader_epochs::FILE_NAME)).await {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        text => text?,
    };
    let epochs = text.as_deref().and_then(LeaderEpochs::parse);
    let is_empty = inventory.bases().all(|base| inventory.length(base, LOG) == Some(0));
    let is_known = epochs.is_some() || is_empty;
    Ok((epochs, is_known))
}
