//! Cutting the log: at its end (a follower that has parted from its leader), or altogether.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::partition_log::{Writer, lock};
use super::segment::{Contents, Lookup, Segment, SegmentPlace};
use super::{AppendError, Fault, PartitionLog, file_names, recovery, transaction_index};
use crate::environment::{Disk, File, Runtime};
use crate::model::{LeaderEpoch, Offset};

impl<R: Runtime> PartitionLog<R> {
    /// Removes all records from `offset` on; nothing to do at or above the log end. Says whether anything was removed.
    ///
    /// When it reaches below the checkpointed recovery point the checkpoint must follow at once:
    /// [`LogManager::truncate_to`](super::LogManager::truncate_to) does both.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails.
    pub async fn truncate_to(self: &Arc<Self>, offset: Offset) -> Result<bool, Fault> {
        self.truncate(offset, None).await
    }

    /// [`truncate_to`](Self::truncate_to), unless the replica has entered a newer leader epoch than `decided_in`.
    pub(super) async fn truncate(
        self: &Arc<Self>,
        offset: Offset,
        decided_in: Option<LeaderEpoch>,
    ) -> Result<bool, Fault> {
        self.detached("log truncate", move |log| async move {
            let Some(mut writer) = log.turn_unless_closed().await? else { return Ok(false) };
            if decided_in.is_some_and(|epoch| log.is_over(epoch)) {
                return Ok(false);
            }
            if offset >= log.log_end_offset() {
                // An epoch that began here and has no record is not the leader's: it would be told of it for ever.
                log.change_epochs(|epochs| epochs.truncate_from_end(offset));
                return Ok(false);
            }
            tracing::info!(partition = %log.partition, %offset, end = %log.log_end_offset(), "the log is truncated");
            let first = log.segments.load().first().map(|segment| segment.base());
            let result = if first.is_some_and(|first| offset < first) {
                log.restart(&mut writer, offset).await
            } else {
                log.cut(&mut writer, offset).await
            };
            result.map_err(|error| log.failed("truncate the log in", &log.path(), error))?;
            Ok(true)
        })
        .await
    }

    /// Removes everything; the log is empty and starts at `offset`.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails.
    pub async fn truncate_fully_and_start_at(
        self: &Arc<Self>,
        offset: Offset,
    ) -> Result<(), Fault> {
        self.start_over(offset, None).await
    }

    /// [`truncate_fully_and_start_at`](Self::truncate_fully_and_start_at), unless the replica has entered a newer leader
    /// epoch than `decided_in`.
    pub(super) async fn start_over(
        self: &Arc<Self>,
        offset: Offset,
        decided_in: Option<LeaderEpoch>,
    ) -> Result<(), Fault> {
        self.detached("log restart", move |log| async move {
            let Some(mut writer) = log.turn_unless_closed().await? else { return Ok(()) };
            if decided_in.is_some_and(|epoch| log.is_over(epoch)) {
                return Ok(());
            }
            tracing::info!(partition = %log.partition, %offset, "the log starts over");
            let result = log.restart(&mut writer, offset).await;
            result.map_err(|error| log.failed("restart the log in", &log.path(), error))
        })
        .await
    }

    /// The turn to write; `None` when the log is closed.
    pub(super) async fn turn_unless_closed(
        &self,
    ) -> Result<Option<tokio::sync::MutexGuard<'_, Writer>>, Fault> {
        match self.turn_to_write().await {
            Ok(writer) => Ok(Some(writer)),
            Err(AppendError::Fault(fault)) => Err(fault),
            Err(_) => Ok(None),
        }
    }

    async fn restart(&self, writer: &mut Writer, offset: Offset) -> io::Result<()> {
        let _turn = self.disposal.lock().await;
        let path = self.path();
        let old = self.segments.load_full();
        // The file of the new segment may have the name of an old one: the old ones go first, from the end, so that
        // what a power loss leaves is a beginning of the log.
        self.put_aside(old.iter().rev(), &path).await?;
        let segment = Segment::create(&self.segment_place(offset)).await?;
        self.segments.store(Arc::new(vec![Arc::new(segment)]));
        self.set_log_start(offset);
        self.set_log_end(offset);
        self.set_high_watermark(offset);
        self.flusher.restarted_at(offset);
        self.change_epochs(|epochs| {
            epochs.clear();
            true
        });
        writer.aborted.clear();
        lock(&self.producers).clear();
        recovery::remove_snapshots(&self.runtime, &path, |_| true).await?;
        self.runtime.disk().sync_directory(&path).await
    }

    async fn cut(&self, writer: &mut Writer, offset: Offset) -> io::Result<()> {
        let turn = self.disposal.lock().await;
        let path = self.path();
        let old = self.segments.load_full();
        let keep = old.partition_point(|segment| segment.base() <= offset);
        let (kept, dropped) = old.split_at(keep);
        let Some((last, kept)) = kept.split_last() else {
            drop(turn);
            return self.restart(writer, offset).await;
        };
        // A batch that holds the offset goes whole.
        let (size, end) = match last.find(offset).await? {
            Lookup::Batch(batch) => (batch.position, batch.first.min(offset)),
            Lookup::End => (last.size(), offset),
            Lookup::Bad(what) => return Err(io::Error::new(io::ErrorKind::InvalidData, what)),
        };
        let (offsets, times) = last.index_entries().await?;
        let found = Contents { size, offsets, times, ..Contents::default() };
        let at = self.segment_place(last.base());
        let contents = recovery::look_at_tail(&at, last.file(), found, Some(end)).await?;
        let contents = Contents { end: Some(end), ..contents };
        self.flusher.cut_to(offset);
        // From the end, so that what a power loss leaves is a beginning of the log.
        self.put_aside(dropped.iter().rev(), &path).await?;
        last.file().set_length(size).await?;
        // What was cut must not come back after a power loss behind what is appended now.
        last.file().sync_data().await?;
        transaction_index::truncate(
            self.runtime.disk(),
            &last.path(file_names::TRANSACTION_INDEX),
            offset,
        )
        .await?;
        let active = Segment::active(&at, last.file().clone(), contents).await?;

        let mut segments = kept.to_vec();
        segments.push(Arc::new(active));
        self.segments.store(Arc::new(segments));
        self.set_log_end(end);
        self.set_log_start(self.log_start_offset().min(end));
        self.set_high_watermark(self.high_watermark().min(end));
        self.flusher.cut_to(end);
        self.change_epochs(|epochs| epochs.truncate_from_end(end));
        writer.aborted.clear();
        recovery::remove_snapshots(&self.runtime, &path, |at| at > end).await?;
        self.reload_producers(end).await
    }

    async fn reload_producers(&self, end: Offset) -> io::Result<()> {
        let segments = self.segments.load_full();
        let place = self.segment_place(Offset::ZERO);
        let loaded = recovery::load_producers(&place, &segments, end).await?;
        let mut producers = loaded.producers;
        producers.high_watermark_moved(self.high_watermark());
        *lock(&self.producers) = producers;
        Ok(())
    }

    /// Renames segments, one durably after the other, so that nothing finds them any more; their files are removed after
    /// `file.delete.delay.ms`.
    ///
    /// One after the other, because a power loss that kept a segment and lost its neighbours would leave a hole, which
    /// recovery could not tell from lost records.
    pub(super) async fn put_aside(
        &self,
        segments: impl Iterator<Item = &Arc<Segment<R>>>,
        path: &Path,
    ) -> io::Result<()> {
        let delay = self.settings().file_delete_delay_ms;
        let when = self.runtime.now().plus_millis(delay);
        for segment in segments {
            let renamed = segment.rename_to_deleted(path).await?;
            lock(&self.deleted_files).extend(renamed.into_iter().map(|file| (when, file)));
            self.runtime.disk().sync_directory(path).await?;
        }
        Ok(())
    }

    /// Removes files whose `file.delete.delay.ms` has passed.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails.
    pub async fn remove_deleted(&self) -> Result<(), Fault> {
        let now = self.runtime.now();
        let due: Vec<PathBuf> = {
            let mut files = lock(&self.deleted_files);
            let (due, later) =
                std::mem::take(&mut *files).into_iter().partition(|(when, _)| *when <= now);
            *files = later;
            Vec::into_iter(due).map(|(_, file)| file).collect()
        };
        for file in due {
            match self.runtime.disk().remove_file(&file).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("remove", &file, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What a segment at `base` is made with.
    pub(super) fn segment_place(&self, base: Offset) -> SegmentPlace<R> {
        SegmentPlace {
            runtime: self.runtime.clone(),
            place: Arc::clone(&self.place),
            base,
            settings: self.settings(),
        }
    }
}
