use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::flush::FlushState;
use super::leader_epochs::LeaderEpochs;
use super::producer_state::{ActiveProducer, ProducerState};
use super::recovery;
use super::segment::{Place, Segment};
use super::transaction_index::AbortedTransaction;
use super::{Settings, partition_metadata};
use crate::environment::{Disk, Instant, OUT_OF_FILES, Runtime, is_out_of_files};
use crate::model::{LeaderEpoch, Offset, OffsetAndEpoch, Timestamp, TopicId, TopicPartition};

/// The disk failed under a log. Sticky: the log takes no more writes.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{action} {}: {source}", path.display())]
pub struct Fault {
    /// What was tried.
    pub action: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: Arc<io::Error>,
}

impl Fault {
    /// Makes the fault of an action on a path out of the system's error.
    pub(crate) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source: Arc::new(source) }
    }

    /// True when there was no file descriptor left, which is no fault of the disk.
    #[must_use]
    pub fn is_out_of_files(&self) -> bool {
        is_out_of_files(&self.source)
    }
}

/// What is known about a log before it is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The log was closed properly: its segments can be trusted.
    pub clean: bool,
    /// Everything below was synced (`recovery-point-offset-checkpoint`). `None` when nobody says: recovery then begins at the
    /// start, and must not take a hole between two segments for a loss.
    pub recovery_point: Option<Offset>,
    /// From `log-start-offset-checkpoint`.
    pub log_start_offset: Offset,
    /// From `replication-offset-checkpoint`.
    pub high_watermark: Offset,
    /// The topic's id, written to `partition.metadata` when that is missing.
    pub topic_id: Option<TopicId>,
}

/// What opening a log did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments scanned batch by batch.
    pub segments_recovered: usize,
    /// Bytes cut from the end of the log.
    pub bytes_truncated: u64,
    /// Segments dropped because they lay behind a bad batch or did not fit.
    pub segments_deleted: usize,
    /// Indexes that were missing or wrong and were built again.
    pub indexes_rebuilt: usize,
    /// Offset of the producer snapshot that was loaded.
    pub producer_snapshot: Option<Offset>,
}

/// A timestamp and the offset of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// The record's offset.
    pub offset: Offset,
    /// Epoch of the leader that wrote it, where known.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// One segment, as tools show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The offset in its name.
    pub base_offset: Offset,
    /// The offset after its last record.
    pub end_offset: Offset,
    /// Size of its `.log` file.
    pub size_bytes: u64,
}

/// One partition's log. Shared as `Arc`; methods take `&self`, or `&Arc<Self>` where the work must end even when nobody
/// waits for it any more.
///
/// What is in here is in four parts: the segments and offsets that readers see (atomics), the small states behind
/// short mutexes that are never held across an await, the writer's turn (an async mutex), and the flusher's book.
pub struct PartitionLog<R: Runtime> {
    pub(super) runtime: R,
    pub(super) partition: TopicPartition,
    pub(super) place: Arc<Place>,
    settings: ArcSwap<Settings>,
    topic_id: Mutex<Option<TopicId>>,
    pub(super) segments: ArcSwap<Vec<Arc<Segment<R>>>>,
    log_start: AtomicI64,
    log_end: AtomicI64,
    high_watermark: AtomicI64,
    /// The newest leader epoch this replica has entered, as leader or as follower; -1 before the first. Changes in the
    /// writer's turn only: what was decided in an older one is refused then.
    entered: AtomicI32,
    pub(super) producers: Mutex<ProducerState>,
    pub(super) epochs: Mutex<Epochs>,
    pub(super) writer: tokio::sync::Mutex<Writer>,
    /// Held by the one who renames segments away. Taken after the writer's turn, which need not be held so long.
    pub(super) disposal: tokio::sync::Mutex<()>,
    pub(super) flusher: FlushState,
    fault: Mutex<Option<Fault>>,
    pub(super) deleted_files: Mutex<Vec<(Instant, PathBuf)>>,
}

/// The leader epochs, and whether the file knows them as they are.
#[derive(Default)]
pub(super) struct Epochs {
    pub(super) epochs: LeaderEpochs,
    /// Counts changes.
    pub(super) version: u64,
    /// The version that is in the file.
    pub(super) stored: u64,
}

/// What only the one who has the writer's turn may touch.
#[derive(Default)]
pub(super) struct Writer {
    /// There may be bytes behind the last batch: a write failed, or its future was dropped.
    pub(super) is_tail_dirty: bool,
    pub(super) is_closed: bool,
    /// A segment that was being made at this offset, and may be there in part.
    pub(super) half_made: Option<Offset>,
    /// Aborted transactions that are not in the transaction index yet.
    pub(super) aborted: Vec<AbortedTransaction>,
}

impl<R: Runtime> PartitionLog<R> {
    /// Opens the log in `path` (its directory `<topic>-<partition>`, made when missing) and recovers it.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails, or the directory belongs to another topic id.
    pub async fn open(
        runtime: R,
        path: PathBuf,
        partition: TopicPartition,
        settings: Settings,
        options: OpenOptions,
    ) -> Result<(Arc<Self>, RecoveryReport), Fault> {
        let fault = |action| Fault::of(action, &path);
        let disk = runtime.disk();
        disk.create_directory(&path).await.map_err(fault("create the directory"))?;
        // Before anything is changed: what belongs to another topic is not ours to mend.
        partition_metadata::check(&runtime, &path, options.topic_id).await?;
        let loaded = recovery::load(&runtime, &path, &settings, &options)
            .await
            .map_err(fault("recover the log in"))?;
        let topic_id = partition_metadata::agree(&runtime, &path, options.topic_id).await?;
        if loaded.is_new && loaded.log_start > Offset::ZERO {
            // Where it starts must not be forgotten.
            disk.sync_directory(&path).await.map_err(fault("sync"))?;
        }
        let end = loaded.end;
        let start = loaded.log_start;
        let high_watermark = options.high_watermark.clamp(start, end);
        let mut producers = loaded.producers;
        producers.high_watermark_moved(high_watermark);
        let known = options.recovery_point;
        let recovery_point = if options.clean { end } else { known.unwrap_or_default().min(end) };
        let are_names_dirty = !options.clean || loaded.is_new;
        let now = runtime.wall_clock();
        let log = Self {
            runtime,
            partition,
            place: loaded.place,
            settings: ArcSwap::from_pointee(settings),
            topic_id: Mutex::new(topic_id),
            segments: ArcSwap::from_pointee(loaded.segments),
            log_start: AtomicI64::new(start.value()),
            log_end: AtomicI64::new(end.value()),
            high_watermark: AtomicI64::new(high_watermark.value()),
            entered: AtomicI32::new(-1),
            producers: Mutex::new(producers),
            epochs: Mutex::new(Epochs {
                epochs: loaded.epochs,
                version: 1,
                stored: u64::from(loaded.are_epochs_stored),
            }),
            writer: tokio::sync::Mutex::new(Writer::default()),
            disposal: tokio::sync::Mutex::new(()),
            flusher: FlushState::new(recovery_point, known.is_some(), now, are_names_dirty),
            fault: Mutex::new(None),
            deleted_files: Mutex::new(Vec::new()),
        };
        Ok((Arc::new(log), loaded.report))
    }

    /// Whose log this is.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The topic's id, once known.
    #[must_use]
    pub fn topic_id(&self) -> Option<TopicId> {
        *lock(&self.topic_id)
    }

    /// Remembers the topic's id in `partition.metadata`.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails or another id is already there.
    pub async fn assign_topic_id(&self, topic_id: TopicId) -> Result<(), Fault> {
        let agreed = partition_metadata::agree(&self.runtime, &self.path(), Some(topic_id)).await?;
        self.flusher.names_changed();
        *lock(&self.topic_id) = agreed;
        Ok(())
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.place.path()
    }

    /// What the topic's configuration says now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Takes a changed configuration; holds from the next append on. One that begins to be compacted is synced, for a start
    /// will from now on take any hole between its segments for compaction's.
    pub fn set_settings(self: &Arc<Self>, settings: Settings) {
        let compacts = settings.compacts;
        let before = self.settings.swap(Arc::new(settings));
        if compacts && !before.compacts {
            let log = Arc::clone(self);
            // A failure is sticky, and whoever writes next is told.
            self.runtime.spawn("log settle", async move { drop(log.settle().await) });
        }
    }

    /// The sticky fault, once the disk has failed under this log.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        lock(&self.fault).clone()
    }

    /// Makes a failure sticky; the first one stays.
    pub(super) fn failed(&self, action: &'static str, path: &Path, error: io::Error) -> Fault {
        let fault = Fault::of(action, path)(error);
        let fault = lock(&self.fault).get_or_insert(fault).clone();
        tracing::error!(partition = %self.partition, %fault, "the disk failed under a log");
        fault
    }

    /// What could not be done this time because no file descriptor was left; nothing is sticky about that.
    pub(super) fn out_of_files(
        &self,
        action: &'static str,
        path: &Path,
        error: io::Error,
    ) -> Fault {
        let fault = Fault::of(action, path)(error);
        tracing::error!(partition = %self.partition, %fault, advice = OUT_OF_FILES, "no file descriptor is left");
        fault
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        load(&self.log_start)
    }

    /// The offset the next record gets.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        load(&self.log_end)
    }

    /// The first offset that is not committed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        load(&self.high_watermark)
    }

    /// Sets the high watermark, kept within log start and log end; says what it is now.
    pub fn set_high_watermark(&self, offset: Offset) -> Offset {
        let kept = offset.max(self.log_start_offset()).min(self.log_end_offset());
        self.high_watermark.store(kept.value(), Ordering::Release);
        let mut producers = lock(&self.producers);
        if !producers.is_stable() {
            producers.high_watermark_moved(kept);
        }
        kept
    }

    /// The high watermark, or the first offset of the oldest transaction that is open or not yet replicated.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        let high_watermark = self.high_watermark();
        let unstable = lock(&self.producers).first_unstable_offset();
        unstable.map_or(high_watermark, |unstable| unstable.min(high_watermark))
    }

    /// The epoch of the last record, or of the leader that began after it.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        lock(&self.epochs).epochs.latest()
    }

    /// Remembers that `epoch` begins at `offset`: before a new leader's first append.
    pub fn assign_epoch_start(&self, epoch: LeaderEpoch, offset: Offset) {
        self.change_epochs(|epochs| epochs.assign(epoch, offset));
    }

    /// Begins `epoch` at the log end, once an append under way has ended, and says where that is: nothing of an older epoch
    /// follows. The cluster says so, and knows better than the log: epochs above it are of nobody.
    pub async fn begin_epoch(&self, epoch: LeaderEpoch) -> Offset {
        let _turn = self.writer.lock().await;
        self.entered.fetch_max(epoch.value(), Ordering::AcqRel);
        if let Some(latest) = self.latest_epoch().filter(|latest| *latest > epoch) {
            tracing::warn!(partition = %self.partition, %latest, %epoch, "the log speaks of a leader epoch that has not been: a batch is damaged");
        }
        let end = self.log_end_offset();
        self.change_epochs(|epochs| epochs.begin(epoch, end));
        end
    }

    /// Follows a leader of `epoch`, once an append under way has ended: nothing that was decided in an older epoch follows,
    /// neither of this node's own leadership nor out of an older leader's answer.
    pub async fn follow_epoch(&self, epoch: LeaderEpoch) {
        let _turn = self.writer.lock().await;
        self.entered.fetch_max(epoch.value(), Ordering::AcqRel);
    }

    /// True when the replica has entered an epoch newer than `epoch`.
    pub(super) fn is_over(&self, epoch: LeaderEpoch) -> bool {
        self.entered.load(Ordering::Acquire) > epoch.value()
    }

    /// Changes the epochs; the file follows with the next flush.
    pub(super) fn change_epochs(&self, change: impl FnOnce(&mut LeaderEpochs) -> bool) {
        let mut epochs = lock(&self.epochs);
        if change(&mut epochs.epochs) {
            epochs.version += 1;
        }
    }

    /// The largest epoch at or below `epoch`, and where it ends. `None` when `epoch` is newer than all, or nothing is known.
    ///
    /// Source: KIP-101, KIP-279.
    #[must_use]
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<OffsetAndEpoch> {
        let epochs = lock(&self.epochs);
        epochs.epochs.end_offset(epoch, self.log_end_offset())
    }

    /// The epoch of the record at `offset`.
    #[must_use]
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        lock(&self.epochs).epochs.epoch_at(offset)
    }

    /// Bytes in all `.log` files.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.load().iter().map(|segment| segment.size()).sum()
    }

    /// The segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let describe = |segment: &Arc<Segment<R>>| {
            let (size_bytes, end_offset) = segment.extent();
            SegmentInfo { base_offset: segment.base(), end_offset, size_bytes }
        };
        self.segments.load().iter().map(describe).collect()
    }

    /// Where the first segment begins.
    pub(super) fn first_base(&self) -> Offset {
        let segments = self.segments.load();
        segments.first().map_or(Offset::ZERO, |segment| segment.base())
    }

    /// The producers the log remembers.
    #[must_use]
    pub fn producers(&self) -> Vec<ActiveProducer> {
        lock(&self.producers).producers()
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`.
    pub fn expire_producers(&self, now: Timestamp) {
        lock(&self.producers).expire(now, &self.settings.load());
    }

    /// The newest segment.
    pub(super) fn active(&self) -> Arc<Segment<R>> {
        let segments = self.segments.load();
        Arc::clone(
            segments
                .last()
                .expect("a log always has a segment: they are replaced, never all removed"),
        )
    }

    pub(super) fn set_log_start(&self, offset: Offset) {
        self.log_start.store(offset.value(), Ordering::Release);
    }

    pub(super) fn set_log_end(&self, offset: Offset) {
        self.log_end.store(offset.value(), Ordering::Release);
    }

    /// Runs `work` to its end even when the caller is dropped.
    pub(super) async fn detached<T, F>(
        self: &Arc<Self>,
        name: &'static str,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let work = work(Arc::clone(self));
        self.runtime.spawn(name, async move {
            // Nobody may be waiting any more: the work is done all the same.
            let _ = sender.send(work.await);
        });
        match receiver.await {
            Ok(result) => result,
            Err(_) => {
                let error = io::Error::other("the task has died");
                Err(self.failed(name, &self.path(), error))
            }
        }
    }
}

/// Locks a small state. A panic under it is a broken invariant elsewhere; the state itself is changed in one go.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load(offset: &AtomicI64) -> Offset {
    Offset::new(offset.load(Ordering::Acquire))
}

#[cfg(test)]
mod tests;
