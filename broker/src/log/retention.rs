//! Segments come and go: rolling, retention, and the log start offset.

use std::io;
use std::sync::Arc;

use tokio::sync::MutexGuard;

use super::append::passes_by;
use super::partition_log::{Writer, lock};
use super::segment::Segment;
use super::{Fault, PartitionLog, ReadError, file_names, recovery};
use crate::environment::{Disk, Runtime};
use crate::model::{Offset, Timestamp};

/// The segments at the front that may go, for one reason.
struct Breach {
    count: usize,
    reason: &'static str,
}

impl<R: Runtime> PartitionLog<R> {
    /// Seals the active segment and begins a new one at the log end; at `first` when that is too far away for one
    /// segment. Kafka always takes `first`, but then a start could not tell a hole from a loss.
    pub(super) async fn roll(&self, writer: &mut Writer, first: Offset) -> io::Result<()> {
        let end = self.log_end_offset();
        let is_far = first.distance_from(end) > i64::from(i32::MAX) / 2;
        let base = if is_far { first } else { end };
        let active = self.active();
        active.seal().await?;
        self.flush_before_roll().await?;
        // Kafka keeps the state at each segment's start: that is where a truncation or a start begins to replay.
        self.write_snapshot(base).await?;
        writer.half_made = Some(base).filter(|base| *base != active.base());
        let segment = match Segment::create(&self.segment_place(base)).await {
            Ok(segment) => segment,
            Err(error) => {
                self.remove_half_made(writer).await?;
                return Err(error);
            }
        };
        let mut segments = self.segments.load().to_vec();
        if active.base() == base {
            // An empty segment was replaced by itself.
            segments.pop();
        }
        segments.push(Arc::new(segment));
        self.segments.store(Arc::new(segments));
        writer.half_made = None;
        self.flusher.names_changed();
        tracing::debug!(partition = %self.partition, %base, "the log is rolled");
        Ok(())
    }

    /// A segment that was not made whole must not be found by a later start: the log may go on below its base.
    pub(super) async fn remove_half_made(&self, writer: &mut Writer) -> io::Result<()> {
        let Some(base) = writer.half_made else { return Ok(()) };
        for suffix in file_names::OF_SEGMENT {
            match self.runtime.disk().remove_file(&self.place.file(base, suffix)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.runtime.disk().sync_directory(&self.path()).await?;
        writer.half_made = None;
        Ok(())
    }

    /// Deletes segments by `retention.ms`, `retention.bytes` and log start offset; says how many.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails.
    pub async fn delete_old_segments(self: &Arc<Self>, now: Timestamp) -> Result<usize, Fault> {
        self.detached("log retention", move |log| async move {
            let Some(mut writer) = log.turn_unless_closed().await? else { return Ok(0) };
            let fail = |error| log.failed("delete segments in", &log.path(), error);
            let mut gone = Vec::new();
            match log.apply_retention(&mut writer, now, &mut gone).await {
                // Nothing could be rolled; the next round tries again.
                Err(error) if passes_by(&error) => {}
                result => result.map_err(fail)?,
            }
            log.dispose(writer, &gone).await.map_err(fail)?;
            Ok(gone.len())
        })
        .await
    }

    async fn apply_retention(
        &self,
        writer: &mut Writer,
        now: Timestamp,
        gone: &mut Vec<Arc<Segment<R>>>,
    ) -> io::Result<()> {
        let settings = self.settings();
        let breach = self.below_log_start();
        self.take_front(writer, breach, gone).await?;
        if !settings.deletes {
            return Ok(());
        }
        if let Some(limit) = settings.retention_bytes {
            let breach = self.above_size(limit);
            self.take_front(writer, breach, gone).await?;
        }
        if let Some(limit) = settings.retention_ms {
            let breach = self.older_than(limit, now).await?;
            self.take_front(writer, breach, gone).await?;
        }
        Ok(())
    }

    fn below_log_start(&self) -> Breach {
        let segments = self.segments.load();
        let start = self.log_start_offset();
        let count = segments.iter().skip(1).take_while(|next| next.base() <= start).count();
        Breach { count, reason: "below the log start offset" }
    }

    fn above_size(&self, limit: u64) -> Breach {
        let mut excess = self.size_bytes().saturating_sub(limit);
        let segments = self.segments.load();
        let fits = |segment: &&Arc<Segment<R>>| match excess.checked_sub(segment.size()) {
            Some(left) if segment.size() > 0 => {
                excess = left;
                true
            }
            _ => false,
        };
        let count = segments.iter().take_while(fits).count();
        Breach { count: count.min(self.committed_segments()), reason: "retention.bytes" }
    }

    async fn older_than(&self, limit_ms: i64, now: Timestamp) -> io::Result<Breach> {
        let segments = self.segments.load_full();
        let mut count = 0;
        for segment in segments.iter().take(self.committed_segments()) {
            if now.millis_since(segment.age_counts_from().await?) <= limit_ms {
                break;
            }
            count += 1;
        }
        Ok(Breach { count, reason: "retention.ms" })
    }

    /// How many segments lie below the high watermark whole; an active one only with records.
    fn committed_segments(&self) -> usize {
        let high_watermark = self.high_watermark();
        let segments = self.segments.load();
        let is_committed = |segment: &&Arc<Segment<R>>| segment.end() <= high_watermark;
        let count = segments.iter().take_while(is_committed).count();
        let is_last_empty = segments.last().is_some_and(|last| last.size() == 0);
        if count == segments.len() && is_last_empty { count - 1 } else { count }
    }

    /// Takes segments off the front of the log; their files are still there.
    async fn take_front(
        &self,
        writer: &mut Writer,
        breach: Breach,
        taken: &mut Vec<Arc<Segment<R>>>,
    ) -> io::Result<()> {
        let Breach { count, reason } = breach;
        if count == 0 {
            return Ok(());
        }
        if count >= self.segments.load().len() {
            self.roll(writer, self.log_end_offset()).await?;
        }
        let segments = self.segments.load_full();
        let (gone, kept) = segments.split_at(count.min(segments.len() - 1));
        let Some(first) = kept.first() else { return Ok(()) };
        tracing::info!(partition = %self.partition, count, reason, "segments are deleted");
        // Readers that see the old list may go on reading its files; those who look again are refused.
        self.move_log_start(first.base().max(self.log_start_offset()));
        self.segments.store(Arc::new(kept.to_vec()));
        taken.extend_from_slice(gone);
        Ok(())
    }

    /// Puts the files of segments aside that were taken off the front, while others append.
    async fn dispose(
        &self,
        writer: MutexGuard<'_, Writer>,
        gone: &[Arc<Segment<R>>],
    ) -> io::Result<()> {
        let _turn = self.disposal.lock().await;
        let oldest = self.first_base();
        drop(writer);
        if gone.is_empty() {
            return Ok(());
        }
        // What is kept must be found again before what lies before it goes: the name of an empty segment is all that says how far
        // the log went. Without it the next start would begin where the old ones began, and give their offsets to others.
        self.make_names_durable().await?;
        let path = self.path();
        self.put_aside(gone.iter(), &path).await?;
        recovery::remove_snapshots(&self.runtime, &path, |at| at < oldest).await
    }

    fn move_log_start(&self, offset: Offset) {
        self.set_log_start(offset);
        if self.high_watermark() < offset {
            self.set_high_watermark(offset);
        }
        self.change_epochs(|epochs| epochs.truncate_from_start(offset));
    }

    /// Moves the log start offset up (`DeleteRecords`, or the leader's). Says whether it moved.
    ///
    /// # Errors
    ///
    /// [`ReadError::OffsetOutOfRange`] above the high watermark.
    pub async fn advance_log_start(self: &Arc<Self>, offset: Offset) -> Result<bool, ReadError> {
        let high_watermark = self.high_watermark();
        if offset > high_watermark {
            let start = self.log_start_offset();
            return Err(ReadError::OffsetOutOfRange { offset, start, end: high_watermark });
        }
        let moved = self.detached("log start", move |log| async move {
            let Some(mut writer) = log.turn_unless_closed().await? else { return Ok(false) };
            if offset <= log.log_start_offset() {
                return Ok(false);
            }
            log.move_log_start(offset);
            let fail = |error| log.failed("delete segments in", &log.path(), error);
            let (breach, mut gone) = (log.below_log_start(), Vec::new());
            log.take_front(&mut writer, breach, &mut gone).await.map_err(fail)?;
            log.dispose(writer, &gone).await.map_err(fail)?;
            Ok(true)
        });
        Ok(moved.await?)
    }

    /// Closes the log without a trace, and tells it where its directory went.
    pub(super) async fn retire(&self) {
        let mut writer = self.writer.lock().await;
        writer.is_closed = true;
        let _turn = self.disposal.lock().await;
        lock(&self.deleted_files).clear();
    }
}
