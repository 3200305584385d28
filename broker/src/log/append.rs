//! Appending, as a leader and as a follower.

use std::fmt;
use std::io::IoSlice;

use bytes::Bytes;
use tokio::sync::MutexGuard;

use super::partition_log::{Writer, lock};
use super::producer_state::{Duplicate, ProducerBatch};
use super::transaction_index::{self, AbortedTransaction};
use super::validator::{self, Judge, Validated};
use super::{Fault, PartitionLog, Settings, file_names, scan};
use crate::environment::{File, FileExt, Runtime, is_out_of_files};
use crate::model::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use crate::record::{self, Batch, Header};

/// Who made the batch that is appended; decides what it must satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A producer, with the version of its Produce request: everything is checked.
    Client {
        /// Version of the Produce request.
        produce_version: i16,
    },
    /// A coordinator of ours, which may also write control batches.
    Coordinator,
    /// The raft leader: the batch is ours and stands as it is.
    Raft,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub first: Offset,
    /// Offset of the last record.
    pub last: Offset,
    /// The time given by the broker under LogAppendTime, and the stored batch's timestamp for a duplicate; else `None`.
    pub log_append_time: Option<Timestamp>,
    /// The log start offset at that moment.
    pub log_start_offset: Offset,
    /// The leader epoch of the append; not that of the records when they are a duplicate.
    pub leader_epoch: LeaderEpoch,
    /// Nothing was written: the producer had sent this batch before, at these offsets.
    pub duplicate: bool,
    /// `flush.messages` was reached: [`flush`](super::PartitionLog::flush) before answering.
    pub must_flush: bool,
}

/// One record that a batch was refused for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Index of the record in its batch.
    pub batch_index: i32,
    /// What is wrong with it.
    pub message: String,
}

/// A batch the client must not send, or not now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// Kafka's words for people.
    pub message: String,
    /// The records to blame, where single records are.
    pub record_errors: Vec<RecordError>,
}

impl Refusal {
    /// A refusal that blames no single record.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), record_errors: Vec::new() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Why nothing was appended. The log is as it was before.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The batch is not acceptable.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// A follower got bytes from its leader that are no batches, or fail their checksum.
    #[error("corrupt batch: {0}")]
    Corrupt(String),
    /// A follower got offsets below its log end offset.
    #[error("offset {found} from the leader is below the log end offset {end}")]
    UnexpectedOffset {
        /// What came.
        found: i64,
        /// Where the log ends.
        end: Offset,
    },
    /// The file system is full. The log stays online; reads go on.
    #[error("the disk is full")]
    DiskFull,
    /// A segment could not be begun because no file descriptor was left. The log stays online; the next append tries again.
    #[error("{0}")]
    OutOfFiles(Fault),
    /// The log was closed or deleted.
    #[error("the log is closed")]
    Closed,
    /// A newer leader epoch has begun since the one who appends looked.
    #[error("leader epoch {0} is over")]
    EpochOver(LeaderEpoch),
    /// The disk failed: the log directory must go offline.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl AppendError {
    /// The code a producer is answered with.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Corrupt(_) => ErrorCode::CorruptMessage,
            Self::UnexpectedOffset { .. } => ErrorCode::UnknownServerError,
            Self::Closed | Self::EpochOver(_) => ErrorCode::NotLeaderOrFollower,
            Self::DiskFull | Self::OutOfFiles(_) | Self::Fault(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl<R: Runtime> PartitionLog<R> {
    /// Appends exactly one batch as the leader: validates, deduplicates, assigns offsets and epoch.
    ///
    /// Dropping the future half-way leaves the log as it was, or with the batch appended whole.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]; nothing was appended then.
    pub async fn append_as_leader(
        &self,
        batch: Bytes,
        origin: Origin,
        leader_epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let settings = self.settings();
        let judge = Judge { partition: &self.partition, settings: &settings, origin, now };
        let Validated { batch, log_append_time } =
            validator::validate(&self.runtime, judge, batch).await?;
        let mut writer = self.turn_to_write().await?;
        // Validating takes time, and so does waiting for the turn.
        if self.is_over(leader_epoch)
            || self.latest_epoch().is_some_and(|latest| latest > leader_epoch)
        {
            return Err(AppendError::EpochOver(leader_epoch));
        }
        let first = self.log_end_offset();
        let header = Header {
            base_offset: first.value(),
            leader_epoch: leader_epoch.value(),
            ..*batch.header()
        };
        if first.value().checked_add(i64::from(header.last_offset_delta) + 1).is_none() {
            return Err(AppendError::Refused(Refusal::new(
                ErrorCode::InvalidRecord,
                "the log has no offsets left",
            )));
        }
        let produced = scan::producer_batch_of(&header, Some(&batch));
        if let Some(produced) = &produced {
            let known = lock(&self.producers).check(produced, origin);
            if let Some(duplicate) = known.map_err(AppendError::Refused)? {
                return Ok(self.answer_duplicate(duplicate, leader_epoch, &settings));
            }
        }
        let place = Incoming {
            bytes: batch.bytes().len() as u64,
            first,
            last: header.last_offset(),
            timestamp: Timestamp(header.max_timestamp),
            now,
        };
        self.roll_if_due(&mut writer, &settings, place).await?;
        let prefix = batch.patched_prefix(first, leader_epoch);
        let rest = batch.bytes().get(prefix.len()..).unwrap_or_default();
        let parts = [IoSlice::new(&prefix), IoSlice::new(rest)];
        let produced: Vec<_> = produced.into_iter().collect();
        self.write(&mut writer, &parts, &[header], &produced, &settings).await?;
        Ok(Appended {
            first,
            last: header.last_offset(),
            log_append_time,
            log_start_offset: self.log_start_offset(),
            leader_epoch,
            duplicate: false,
            must_flush: self.must_flush(&settings),
        })
    }

    fn answer_duplicate(
        &self,
        duplicate: Duplicate,
        leader_epoch: LeaderEpoch,
        settings: &Settings,
    ) -> Appended {
        Appended {
            first: duplicate.first_offset,
            last: duplicate.last_offset,
            log_append_time: Some(duplicate.timestamp),
            log_start_offset: self.log_start_offset(),
            leader_epoch,
            duplicate: true,
            // The first attempt may still wait for its flush, or have died with the process that waited for it.
            must_flush: duplicate.last_offset >= self.durable_end() && self.must_flush(settings),
        }
    }

    fn must_flush(&self, settings: &Settings) -> bool {
        settings.flush_messages.is_some_and(|limit| self.unflushed_messages() >= limit)
    }

    /// Appends what a leader sent: whole batches with their offsets and epochs; a last batch that was cut is dropped, and so
    /// are batches of epochs above `leader_epoch`. `None` when no whole batch was there.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]; nothing was appended then, except when the batches lie too far apart for one segment.
    pub async fn append_as_follower(
        &self,
        batches: Bytes,
        leader_epoch: LeaderEpoch,
    ) -> Result<Option<Appended>, AppendError> {
        let settings = self.settings();
        let mut rest = batches.clone();
        let split = record::split_all(&mut rest).map_err(corrupt)?;
        let count = split
            .iter()
            .position(|batch| batch.header().leader_epoch > leader_epoch.value())
            .unwrap_or(split.len());
        let split = split.get(..count).unwrap_or_default();
        split.iter().try_for_each(Batch::verify_crc).map_err(corrupt)?;
        let mut writer = self.turn_to_write().await?;
        if self.is_over(leader_epoch) {
            return Err(AppendError::EpochOver(leader_epoch));
        }
        let mut end = self.log_end_offset();
        for batch in split {
            let header = batch.header();
            if header.first_offset() < end {
                return Err(AppendError::UnexpectedOffset { found: header.base_offset, end });
            }
            end = header.next_offset();
        }
        let mut done: Option<Appended> = None;
        let mut left = batches;
        for run in runs(split) {
            let appended =
                self.append_run(&mut writer, run, &mut left, (leader_epoch, &settings)).await?;
            done = Some(Appended {
                first: done.map_or(appended.first, |done| done.first),
                ..appended
            });
        }
        Ok(done)
    }

    /// Writes batches that lie behind each other in `left` with one call.
    async fn append_run(
        &self,
        writer: &mut Writer,
        run: &[Batch],
        left: &mut Bytes,
        (leader_epoch, settings): (LeaderEpoch, &Settings),
    ) -> Result<Appended, AppendError> {
        let headers: Vec<Header> = run.iter().map(|batch| *batch.header()).collect();
        let (Some(first), Some(last)) = (headers.first(), headers.last()) else {
            return Err(AppendError::Corrupt("no batches".into()));
        };
        let bytes = left.split_to(headers.iter().map(Header::size_bytes).sum());
        let produced: Vec<_> = run
            .iter()
            .filter_map(|batch| scan::producer_batch_of(batch.header(), Some(batch)))
            .collect();
        let largest = headers.iter().map(|header| header.max_timestamp).max().unwrap_or(-1);
        let place = Incoming {
            bytes: bytes.len() as u64,
            first: first.first_offset(),
            last: last.last_offset(),
            timestamp: Timestamp(largest),
            now: self.runtime.wall_clock(),
        };
        self.roll_if_due(writer, settings, place).await?;
        self.write(writer, &[IoSlice::new(&bytes)], &headers, &produced, settings).await?;
        Ok(Appended {
            first: first.first_offset(),
            last: last.last_offset(),
            log_append_time: None,
            log_start_offset: self.log_start_offset(),
            leader_epoch,
            duplicate: false,
            must_flush: self.must_flush(settings),
        })
    }

    /// Waits for the turn to write, and mends what the writer before left undone.
    pub(super) async fn turn_to_write(&self) -> Result<MutexGuard<'_, Writer>, AppendError> {
        let mut writer = self.writer.lock().await;
        if writer.is_closed {
            return Err(AppendError::Closed);
        }
        if let Some(fault) = self.fault() {
            return Err(AppendError::Fault(fault));
        }
        if writer.is_tail_dirty {
            self.cut_dirty_tail(&mut writer).await?;
        }
        self.remove_half_made(&mut writer).await.map_err(|error| self.roll_failed(error))?;
        self.write_aborted(&mut writer).await?;
        Ok(writer)
    }

    /// Removes what is behind the last batch. Synced, so that no power loss brings it back behind other batches.
    async fn cut_dirty_tail(&self, writer: &mut Writer) -> Result<(), Fault> {
        let active = self.active();
        let settings = self.settings();
        let cut = async {
            active.file().set_length(active.size()).await?;
            if settings.preallocate && !active.is_sealed() {
                active.file().set_length(settings.segment_bytes.max(active.size())).await?;
            }
            active.file().sync_data().await
        };
        cut.await.map_err(|error| self.failed("cut", &active.path(file_names::LOG), error))?;
        writer.is_tail_dirty = false;
        Ok(())
    }

    async fn write_aborted(&self, writer: &mut Writer) -> Result<(), Fault> {
        if writer.aborted.is_empty() {
            return Ok(());
        }
        let path = self.active().path(file_names::TRANSACTION_INDEX);
        match transaction_index::append(self.runtime.disk(), &path, &writer.aborted).await {
            // They stay in memory, and can be found again in the log.
            Err(error) if passes_by(&error) => return Ok(()),
            result => result.map_err(|error| self.failed("write", &path, error))?,
        }
        writer.aborted.clear();
        self.flusher.names_changed();
        Ok(())
    }

    /// The one write of an append, and then everything that follows from it.
    async fn write(
        &self,
        writer: &mut Writer,
        parts: &[IoSlice<'_>],
        headers: &[Header],
        produced: &[ProducerBatch],
        settings: &Settings,
    ) -> Result<(), AppendError> {
        let active = self.active();
        writer.is_tail_dirty = true;
        if let Err(error) = active.file().write_all_at(parts, active.size()).await {
            return Err(self.write_failed(writer, error).await);
        }
        writer.is_tail_dirty = false;
        // From here to the end of this block nothing waits: all of it happens, or none.
        for header in headers {
            if let Some(epoch) = LeaderEpoch::from_wire(header.leader_epoch) {
                self.change_epochs(|epochs| epochs.assign(epoch, header.first_offset()));
            }
        }
        if !produced.is_empty() {
            let mut producers = lock(&self.producers);
            let ended = produced.iter().filter_map(|batch| producers.append(batch));
            let aborted = ended.filter(|ended| ended.is_abort);
            writer.aborted.extend(aborted.map(|ended| AbortedTransaction::of(&ended)));
        }
        let is_tiny = self.runtime.buggify("log.tiny_index_interval");
        active.publish(headers, if is_tiny { 0 } else { settings.index_interval_bytes });
        self.set_log_end(active.end());
        match active.write_index_entries().await {
            // The entries stay in memory and are written with the next ones.
            Err(error) if is_full(&error) => {}
            result => result.map_err(|error| {
                self.failed("write", &active.path(file_names::OFFSET_INDEX), error)
            })?,
        }
        self.write_aborted(writer).await?;
        Ok(())
    }

    /// What a failed write means; a full disk is survived.
    async fn write_failed(&self, writer: &mut Writer, error: std::io::Error) -> AppendError {
        let path = self.active().path(file_names::LOG);
        if !is_full(&error) {
            return AppendError::Fault(self.failed("write", &path, error));
        }
        match self.cut_dirty_tail(writer).await {
            Ok(()) => AppendError::DiskFull,
            Err(fault) => AppendError::Fault(fault),
        }
    }

    /// Begins a new segment when what comes does not belong into the active one.
    async fn roll_if_due(
        &self,
        writer: &mut Writer,
        settings: &Settings,
        incoming: Incoming,
    ) -> Result<(), AppendError> {
        let active = self.active();
        let Incoming { bytes, first, last, timestamp, now } = incoming;
        // One after an empty segment would have its name.
        let is_tiny = active.size() > 0 && self.runtime.buggify("log.tiny_segment");
        if !is_tiny && !active.must_roll(bytes, last, timestamp, now, settings) {
            return Ok(());
        }
        self.roll(writer, first).await.map_err(|error| self.roll_failed(error))
    }

    fn roll_failed(&self, error: std::io::Error) -> AppendError {
        if is_full(&error) {
            AppendError::DiskFull
        } else if is_out_of_files(&error) {
            AppendError::OutOfFiles(self.out_of_files("roll the log in", &self.path(), error))
        } else {
            AppendError::Fault(self.failed("roll the log in", &self.path(), error))
        }
    }
}

/// What decides whether the active segment takes an append.
struct Incoming {
    bytes: u64,
    first: Offset,
    last: Offset,
    timestamp: Timestamp,
    now: Timestamp,
}

/// Batches in order, parted where offsets lie too far apart for one segment.
fn runs(batches: &[Batch]) -> impl Iterator<Item = &[Batch]> {
    let mut rest = batches;
    std::iter::from_fn(move || {
        let base = rest.first()?.header().first_offset();
        let reaches =
            |batch: &&Batch| batch.header().last_offset().distance_from(base) > i64::from(i32::MAX);
        let count = rest.iter().position(|batch| reaches(&batch)).unwrap_or(rest.len());
        let (run, later) = rest.split_at(count.max(1));
        rest = later;
        Some(run)
    })
}

fn corrupt(error: record::Error) -> AppendError {
    AppendError::Corrupt(error.to_string())
}

/// True when an error says nothing against the disk: later the same may succeed.
pub(super) fn passes_by(error: &std::io::Error) -> bool {
    is_full(error) || is_out_of_files(error)
}

/// True when an error says that there is no room left.
pub(super) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}
