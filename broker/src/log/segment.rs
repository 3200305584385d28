//! A `.log` file and its indexes, rolled together.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Settings;
use super::file_names::{self, LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX};
use super::index::Index;
use super::offset_index::OffsetEntry;
use super::scan::{BatchPosition, Found, Scanner};
use super::time_index::{Largest, TimeEntry};
use crate::environment::{Disk, File, OpenMode, Runtime};
use crate::model::{Offset, Timestamp};
use crate::record::Header;

/// Batches at the end of the log whose places are known without reading: consumers at the tail need no scan.
const TAIL_BATCHES: usize = 64;

/// Where a log lies; changes when its directory is renamed.
#[derive(Debug)]
pub(crate) struct Place(Mutex<PathBuf>);

impl Place {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(Mutex::new(path))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn moved_to(&self, path: PathBuf) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }

    /// A file of the segment at `base`.
    pub(crate) fn file(&self, base: Offset, suffix: &str) -> PathBuf {
        self.path().join(file_names::at(base, suffix))
    }
}

/// One segment. Only the newest is active: it alone grows, and its index entries are in memory.
pub(crate) struct Segment<R: Runtime> {
    disk: R::Disk,
    place: Arc<Place>,
    base: Offset,
    file: R::File,
    created: Timestamp,
    jitter_ms: i64,
    /// Bytes that are batches, whole and indexed.
    size: AtomicU64,
    /// The offset after the last record.
    end: AtomicI64,
    offsets: Index<R::File, OffsetEntry>,
    times: Index<R::File, TimeEntry>,
    are_indexes_synced: AtomicBool,
    is_sealed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes appended since the last index entry.
    unindexed_bytes: u64,
    /// The largest timestamp; the outer `None` means it was not looked up yet.
    largest: Option<Option<Largest>>,
    /// The first batch's timestamp: what `segment.ms` counts from.
    first_timestamp: Option<Timestamp>,
    /// The last batches, in order.
    tail: VecDeque<BatchPosition>,
}

/// What recovery or a look at the tail found out about a segment.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) size: u64,
    pub(crate) end: Option<Offset>,
    pub(crate) offsets: Vec<OffsetEntry>,
    pub(crate) times: Vec<TimeEntry>,
    pub(crate) unindexed_bytes: u64,
    pub(crate) largest: Option<Largest>,
    pub(crate) first_timestamp: Option<Timestamp>,
    pub(crate) tail: VecDeque<BatchPosition>,
}

impl Contents {
    /// Takes the next batch: Kafka's rule of index entries, in one place for appending and recovering.
    ///
    /// An entry is due when more than `index.interval.bytes` came since the last one; it names the last offset of this
    /// batch and where it begins.
    pub(crate) fn add(&mut self, base: Offset, header: &Header, interval_bytes: u64) {
        let batch = BatchPosition::of(header, self.size);
        if self.largest.is_none_or(|largest| header.max_timestamp > largest.timestamp.0)
            && header.max_timestamp >= 0
        {
            self.largest =
                Some(Largest { timestamp: Timestamp(header.max_timestamp), offset: batch.last });
        }
        if self.unindexed_bytes > interval_bytes {
            self.offsets.extend(OffsetEntry::new(base, batch.last, batch.position));
            self.times.extend(self.time_entry(base));
            self.unindexed_bytes = 0;
        }
        self.unindexed_bytes += batch.size;
        if self.size == 0 {
            self.first_timestamp = Some(Timestamp(header.max_timestamp)).filter(|time| time.0 >= 0);
        }
        self.size = batch.end();
        self.end = Some(batch.last.plus(1));
        self.tail.push_back(batch);
        if self.tail.len() > TAIL_BATCHES {
            self.tail.pop_front();
        }
    }

    fn time_entry(&self, base: Offset) -> Option<TimeEntry> {
        let largest = self.largest?;
        let is_news = self.times.last().is_none_or(|last| largest.timestamp.0 > last.timestamp);
        TimeEntry::new(base, largest).filter(|_| is_news)
    }

    /// The last time entry, due when a segment is recovered or closed.
    pub(crate) fn finish(&mut self, base: Offset) {
        self.times.extend(self.time_entry(base));
    }
}

/// What a segment is opened with.
#[derive(Clone)]
pub(crate) struct SegmentPlace<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) place: Arc<Place>,
    pub(crate) base: Offset,
    pub(crate) settings: Arc<Settings>,
}

impl<R: Runtime> SegmentPlace<R> {
    /// The same for another segment.
    pub(crate) fn at(&self, base: Offset) -> Self {
        Self { base, ..self.clone() }
    }

    /// The path of one of its files.
    pub(crate) fn file(&self, suffix: &str) -> PathBuf {
        self.place.file(self.base, suffix)
    }
}

/// Index entries that are written together.
const INDEX_ENTRIES_AT_ONCE: usize = 64;

impl<R: Runtime> Segment<R> {
    /// Makes an empty active segment. Whatever a crash left under its names goes.
    pub(crate) async fn create(at: &SegmentPlace<R>) -> io::Result<Self> {
        let file = at.runtime.disk().open(&at.file(LOG), OpenMode::Create).await?;
        file.set_length(0).await?;
        if at.settings.preallocate {
            file.set_length(at.settings.segment_bytes).await?;
        }
        match at.runtime.disk().remove_file(&at.file(TRANSACTION_INDEX)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Self::active(at, file, Contents::default()).await
    }

    /// An active segment over a file whose contents are known; the index files are written anew.
    pub(crate) async fn active(
        at: &SegmentPlace<R>,
        file: R::File,
        contents: Contents,
    ) -> io::Result<Self> {
        let disk = at.runtime.disk();
        let index_bytes = at.settings.segment_index_bytes;
        let path = at.file(OFFSET_INDEX);
        let offsets = Index::active(disk, &path, index_bytes, contents.offsets).await?;
        let path = at.file(TIME_INDEX);
        let times = Index::active(disk, &path, index_bytes, contents.times).await?;
        let state = State {
            unindexed_bytes: contents.unindexed_bytes,
            largest: Some(contents.largest),
            first_timestamp: contents.first_timestamp,
            tail: contents.tail,
        };
        Ok(Self {
            disk: disk.clone(),
            place: Arc::clone(&at.place),
            base: at.base,
            file,
            created: at.runtime.wall_clock(),
            jitter_ms: jitter(&at.runtime, &at.settings),
            size: AtomicU64::new(contents.size),
            end: AtomicI64::new(contents.end.unwrap_or(at.base).value()),
            offsets,
            times,
            are_indexes_synced: AtomicBool::new(false),
            is_sealed: AtomicBool::new(false),
            state: Mutex::new(state),
        })
    }

    /// A sealed segment as it is found: index files of these lengths, records up to `end`.
    pub(crate) fn sealed(
        at: &SegmentPlace<R>,
        file: R::File,
        end: Offset,
        lengths: [u64; 3],
    ) -> Self {
        let [size, offset_index, time_index] = lengths;
        Self {
            disk: at.runtime.disk().clone(),
            place: Arc::clone(&at.place),
            base: at.base,
            file,
            created: at.runtime.wall_clock(),
            jitter_ms: 0,
            size: AtomicU64::new(size),
            end: AtomicI64::new(end.value()),
            offsets: Index::sealed(offset_index),
            times: Index::sealed(time_index),
            are_indexes_synced: AtomicBool::new(true),
            is_sealed: AtomicBool::new(true),
            state: Mutex::new(State::default()),
        }
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    pub(crate) fn file(&self) -> &R::File {
        &self.file
    }

    /// Bytes of whole batches.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// The offset after the last record.
    pub(crate) fn end(&self) -> Offset {
        Offset::new(self.end.load(Ordering::Acquire))
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed.load(Ordering::Acquire)
    }

    pub(crate) fn are_indexes_synced(&self) -> bool {
        self.are_indexes_synced.load(Ordering::Acquire)
    }

    pub(crate) fn path(&self, suffix: &str) -> PathBuf {
        self.place.file(self.base, suffix)
    }

    /// True when `bytes` more, ending at `last` with this timestamp, belong into a new segment.
    pub(crate) fn must_roll(
        &self,
        bytes: u64,
        last: Offset,
        timestamp: Timestamp,
        now: Timestamp,
        settings: &Settings,
    ) -> bool {
        let size = self.size();
        if self.is_sealed() || last.distance_from(self.base) > i64::from(i32::MAX) {
            return true;
        }
        if size == 0 {
            return false;
        }
        let waited_ms = match self.lock().first_timestamp {
            Some(first) => timestamp.millis_since(first),
            None => now.millis_since(self.created),
        };
        size.saturating_add(bytes) > settings.segment_bytes
            || waited_ms > settings.segment_ms - self.jitter_ms
            || self.offsets.is_full(0)
            || self.times.is_full(1)
    }

    /// Takes batches that were written at the end of the file, and then shows them to readers.
    pub(crate) fn publish(&self, headers: &[Header], index_interval_bytes: u64) {
        let mut state = self.lock();
        let mut contents = Contents {
            size: self.size(),
            end: Some(self.end()),
            offsets: Vec::new(),
            times: self.times.last_in_memory().into_iter().collect(),
            unindexed_bytes: state.unindexed_bytes,
            largest: state.largest.flatten(),
            first_timestamp: state.first_timestamp,
            tail: std::mem::take(&mut state.tail),
        };
        let times_before = contents.times.len();
        for header in headers {
            contents.add(self.base, header, index_interval_bytes);
        }
        contents.offsets.into_iter().for_each(|entry| self.offsets.push(entry));
        contents.times.into_iter().skip(times_before).for_each(|entry| self.times.push(entry));
        *state = State {
            unindexed_bytes: contents.unindexed_bytes,
            largest: Some(contents.largest),
            first_timestamp: contents.first_timestamp,
            tail: contents.tail,
        };
        let end = contents.end.unwrap_or(self.base);
        self.size.store(contents.size, Ordering::Release);
        self.end.store(end.value(), Ordering::Release);
    }

    /// Size and end that belong together.
    pub(crate) fn extent(&self) -> (u64, Offset) {
        let _state = self.lock();
        (self.size(), self.end())
    }

    /// All index entries, from memory or from the files as far as they make sense.
    pub(crate) async fn index_entries(&self) -> io::Result<(Vec<OffsetEntry>, Vec<TimeEntry>)> {
        let offsets = self.offsets.entries(&self.disk, &self.path(OFFSET_INDEX)).await?;
        let times = self.times.entries(&self.disk, &self.path(TIME_INDEX)).await?;
        Ok((offsets, times))
    }

    /// Writes index entries into their files once enough have come together: two system calls for each batch would cost
    /// as much as writing the batch. Until then they are in memory only, where readers look; a process that dies loses
    /// them, and recovery builds the index of an active segment from the batches anyway.
    pub(crate) async fn write_index_entries(&self) -> io::Result<()> {
        if self.offsets.pending_count() >= INDEX_ENTRIES_AT_ONCE {
            self.offsets.write_pending().await?;
        }
        if self.times.pending_count() >= INDEX_ENTRIES_AT_ONCE {
            self.times.write_pending().await?;
        }
        Ok(())
    }

    /// Ends the segment: the last time entry, index files cut to size, space behind the last batch given back.
    pub(crate) async fn seal(&self) -> io::Result<()> {
        if self.is_sealed() {
            return Ok(());
        }
        let largest = self.lock().largest.flatten();
        let entry = largest.and_then(|largest| TimeEntry::new(self.base, largest));
        if let Some(entry) = entry
            && self.times.last_in_memory().is_none_or(|last| entry.timestamp > last.timestamp)
        {
            self.times.push(entry);
        }
        self.offsets.seal().await?;
        self.times.seal().await?;
        let size = self.size();
        if self.file.length().await? != size {
            self.file.set_length(size).await?;
        }
        self.is_sealed.store(true, Ordering::Release);
        Ok(())
    }

    /// Syncs the index files of a sealed segment.
    pub(crate) async fn sync_indexes(&self) -> io::Result<()> {
        self.offsets.sync(&self.disk, &self.path(OFFSET_INDEX)).await?;
        self.times.sync(&self.disk, &self.path(TIME_INDEX)).await?;
        match self.disk.open(&self.path(TRANSACTION_INDEX), OpenMode::ReadWrite).await {
            Ok(file) => file.sync_data().await?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.are_indexes_synced.store(true, Ordering::Release);
        Ok(())
    }

    /// The first batch whose last offset is at or above `offset`.
    pub(crate) async fn find(&self, offset: Offset) -> io::Result<Lookup> {
        if offset >= self.end() {
            return Ok(Lookup::End);
        }
        if let Some(batch) = self.find_in_tail(offset) {
            return Ok(Lookup::Batch(batch));
        }
        let relative = i32::try_from(offset.distance_from(self.base)).unwrap_or(i32::MAX);
        let path = self.path(OFFSET_INDEX);
        let entry = self.offsets.floor(&self.disk, &path, |entry| entry.relative <= relative);
        let position = entry.await?.map_or(0, OffsetEntry::position);
        let position = if position < self.size() { position } else { 0 };
        self.scan_for(position, |header| header.last_offset() >= offset).await
    }

    /// The first batch from `position` on that `wanted` is true for.
    async fn scan_for(
        &self,
        position: u64,
        wanted: impl Fn(&Header) -> bool,
    ) -> io::Result<Lookup> {
        let mut scanner = Scanner::new(&self.file, position, self.size());
        loop {
            let position = scanner.position();
            match scanner.next().await? {
                Found::Batch(header) if wanted(&header) => {
                    return Ok(Lookup::Batch(BatchPosition::of(&header, position)));
                }
                Found::Batch(_) => {}
                Found::End => return Ok(Lookup::End),
                Found::Bad(what) => return Ok(Lookup::Bad(what)),
            }
        }
    }

    /// The first batch that has a timestamp of at least `timestamp` and ends at or above `from`.
    pub(crate) async fn find_timestamp(
        &self,
        timestamp: Timestamp,
        from: Offset,
    ) -> io::Result<Lookup> {
        let path = self.path(TIME_INDEX);
        // Up to the last entry below the timestamp, nothing is as late as that.
        let below = |entry: &TimeEntry| entry.timestamp < timestamp.0;
        let hint = self.times.floor(&self.disk, &path, below).await?;
        let start = hint.map_or(self.base, |entry| entry.largest(self.base).offset).max(from);
        let position = match self.find(start).await? {
            Lookup::Batch(batch) => batch.position,
            other @ (Lookup::End | Lookup::Bad(_)) => return Ok(other),
        };
        self.scan_for(position, |header| header.max_timestamp >= timestamp.0).await
    }

    fn find_in_tail(&self, offset: Offset) -> Option<BatchPosition> {
        let state = self.lock();
        let first = state.tail.front()?;
        if offset < first.first && first.position > 0 {
            return None;
        }
        let at = state.tail.partition_point(|batch| batch.last < offset);
        state.tail.get(at).copied()
    }

    /// The largest timestamp; read from the time index of a sealed segment, and remembered.
    pub(crate) async fn largest(&self) -> io::Result<Option<Largest>> {
        if let Some(known) = self.lock().largest {
            return Ok(known);
        }
        let entry = self.times.last(&self.disk, &self.path(TIME_INDEX)).await?;
        let largest = entry.map(|entry| entry.largest(self.base));
        self.lock().largest = Some(largest);
        Ok(largest)
    }

    /// The largest timestamp, or when the segment was made where no record has one.
    pub(crate) async fn age_counts_from(&self) -> io::Result<Timestamp> {
        Ok(self.largest().await?.map_or(self.created, |largest| largest.timestamp))
    }

    /// Gives the files of the segment another suffix, so that a start drops what was not removed until then.
    pub(crate) async fn rename_to_deleted(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut renamed = Vec::new();
        for suffix in file_names::OF_SEGMENT {
            let from = path.join(file_names::at(self.base, suffix));
            let mut to = from.clone().into_os_string();
            to.push(file_names::DELETED);
            let to = PathBuf::from(to);
            match self.disk.rename(&from, &to).await {
                Ok(()) => renamed.push(to),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(renamed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What looking for a batch found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// This one.
    Batch(BatchPosition),
    /// None in this segment.
    End,
    /// Bytes that are no batch stand in the way.
    Bad(String),
}

fn jitter<R: Runtime>(runtime: &R, settings: &Settings) -> i64 {
    let bound = settings.segment_jitter_ms.min(settings.segment_ms);
    match u64::try_from(bound) {
        Ok(bound) if bound > 0 => i64::try_from(runtime.random() % bound).unwrap_or(0),
        _ => 0,
    }
}
