//! Making appended records durable: one sync in flight, shared by all who wait.
//!
//! Whoever asks while a sync runs is covered by the next one, together with everyone else who came meanwhile. The sync runs in
//! its own task: a waiter that is dropped cannot take the outcome with it, for a failed sync must never go unnoticed.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future;
use tokio::sync::Notify;

use super::append::passes_by;
use super::partition_log::lock;
use super::segment::Segment;
use super::{AppendError, Fault, PartitionLog, checkpoint, file_names, leader_epochs, recovery};
use crate::environment::{Disk, File, OpenMode, Runtime, is_out_of_files};
use crate::model::{Offset, Timestamp};

/// What is durable, and who is at work on it.
pub(super) struct FlushState {
    book: Mutex<Book>,
    is_running: AtomicBool,
    /// Held by the one who syncs: the flusher, or the one who closes the log.
    turn: tokio::sync::Mutex<()>,
    done: Notify,
    /// Names in the directory that may be lost.
    are_names_dirty: AtomicBool,
    /// The log's own name in its log directory may be lost.
    is_home_dirty: AtomicBool,
    /// The checkpoint of recovery points has an entry for this log: see [`recovery`] for what a roll owes until then.
    is_recovery_point_stored: AtomicBool,
    last_flush: AtomicI64,
}

/// How far a sync goes.
#[derive(Clone, Copy)]
enum Extent {
    All,
    /// What will not grow any more.
    Sealed,
}

struct Book {
    /// Records below are durable.
    flushed: Offset,
    /// Records below are durable with all that belongs to them.
    recovery_point: Offset,
    /// Grows when the log is cut: a sync that began before says nothing about what came after.
    generation: u64,
}

impl FlushState {
    pub(super) fn new(
        recovery_point: Offset,
        is_recovery_point_stored: bool,
        now: Timestamp,
        are_names_dirty: bool,
    ) -> Self {
        Self {
            book: Mutex::new(Book { flushed: recovery_point, recovery_point, generation: 0 }),
            is_running: AtomicBool::new(false),
            turn: tokio::sync::Mutex::new(()),
            done: Notify::new(),
            are_names_dirty: AtomicBool::new(are_names_dirty),
            is_home_dirty: AtomicBool::new(are_names_dirty),
            is_recovery_point_stored: AtomicBool::new(is_recovery_point_stored),
            last_flush: AtomicI64::new(now.0),
        }
    }

    /// A file was made or renamed: the next flush syncs the directory.
    pub(super) fn names_changed(&self) {
        self.are_names_dirty.store(true, Ordering::SeqCst);
    }

    /// The log ends at `end` now, or lower than before.
    pub(super) fn cut_to(&self, end: Offset) {
        let mut book = lock(&self.book);
        book.generation += 1;
        book.flushed = book.flushed.min(end);
        book.recovery_point = book.recovery_point.min(end);
        drop(book);
        self.done.notify_waiters();
    }

    /// The log is empty and starts at `offset`, with nothing to sync.
    pub(super) fn restarted_at(&self, offset: Offset) {
        let mut book = lock(&self.book);
        book.generation += 1;
        book.flushed = offset;
        book.recovery_point = offset;
        drop(book);
        self.done.notify_waiters();
    }
}

impl<R: Runtime> PartitionLog<R> {
    /// Ends once everything below `up_to` is durable. All who wait share one `fdatasync`.
    ///
    /// # Errors
    ///
    /// [`Fault`] when syncing failed, now or before.
    pub async fn flush(self: &Arc<Self>, up_to: Offset) -> Result<(), Fault> {
        loop {
            let mut notified = std::pin::pin!(self.flusher.done.notified());
            notified.as_mut().enable();
            if let Some(fault) = self.fault() {
                return Err(fault);
            }
            if lock(&self.flusher.book).flushed >= up_to.min(self.log_end_offset()) {
                return Ok(());
            }
            self.start_flusher(Extent::All);
            notified.await;
        }
    }

    /// Begins to sync segments that were rolled, and does not wait for it.
    pub(super) fn flush_sealed(self: &Arc<Self>) {
        self.start_flusher(Extent::Sealed);
    }

    /// Begins to sync everything, and does not wait for it.
    pub(super) fn start_flush(self: &Arc<Self>) {
        self.start_flusher(Extent::All);
    }

    fn start_flusher(self: &Arc<Self>, extent: Extent) {
        if self.flusher.is_running.swap(true, Ordering::SeqCst) {
            return;
        }
        let log = Arc::clone(self);
        self.runtime.spawn("log flush", async move {
            let result = log.flush_once(extent).await;
            log.flusher.is_running.store(false, Ordering::SeqCst);
            if let Err(error) = result {
                log.failed("sync", &log.path(), error);
            }
            // Those who came meanwhile look again, and the first of them starts the next sync.
            log.flusher.done.notify_waiters();
        });
    }

    /// Syncs what is appended at this moment.
    async fn flush_once(&self, extent: Extent) -> io::Result<()> {
        let _turn = self.flusher.turn.lock().await;
        let (flushed, generation) = {
            let book = lock(&self.flusher.book);
            (book.flushed, book.generation)
        };
        let log_end = self.log_end_offset();
        let segments = self.segments.load_full();
        let target = match extent {
            Extent::All => log_end,
            Extent::Sealed => segments.last().map_or(log_end, |active| active.base()).min(log_end),
        };
        if self.runtime.buggify("log.slow_flush") {
            self.runtime.sleep(Duration::from_millis(20)).await;
        }
        let is_due =
            |segment: &&Arc<Segment<R>>| segment.base() < target && segment.end() > flushed;
        let sync_records = async {
            for segment in segments.iter().filter(is_due) {
                segment.file().sync_data().await?;
            }
            self.sync_names().await
        };
        // Side by side: the file system takes both into one commit. Epochs of records that are lost are cut off by a start.
        let (synced, epochs_stored) = future::join(sync_records, self.store_epochs()).await;
        synced?;
        let publish = |change: &dyn Fn(&mut Book)| {
            let mut book = lock(&self.flusher.book);
            if book.generation == generation {
                change(&mut book);
            }
        };
        publish(&|book| book.flushed = book.flushed.max(target));
        self.flusher.last_flush.store(self.runtime.wall_clock().0, Ordering::SeqCst);
        self.flusher.done.notify_waiters();

        let unsynced =
            |segment: &&Arc<Segment<R>>| segment.is_sealed() && !segment.are_indexes_synced();
        for segment in segments.iter().filter(unsynced) {
            match segment.sync_indexes().await {
                // Deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // The records are durable all the same; recovery begins where it would have begun.
                Err(error) if is_out_of_files(&error) => return Ok(()),
                result => result?,
            }
        }
        match epochs_stored {
            Err(error) if passes_by(&error) => return Ok(()),
            stored => stored?,
        }
        publish(&|book| book.recovery_point = book.recovery_point.max(target));
        Ok(())
    }

    /// Makes all durable without which a new segment must not be found, called before it is made: the records before it,
    /// unless a start would know the hole, and the name of a first segment, for a log without it would seem to begin with the
    /// second. A failure is sticky, as that of any sync.
    pub(super) async fn flush_before_roll(&self) -> io::Result<()> {
        let would_not_be_known = !self.has_stored_recovery_point() || self.settings().compacts;
        let flushed = if would_not_be_known {
            self.flush_once(Extent::All).await
        } else if self.segments.load().len() == 1 {
            self.make_names_durable().await
        } else {
            Ok(())
        };
        match flushed {
            Err(error) if !is_out_of_files(&error) => {
                Err(io::Error::other(self.failed("sync", &self.path(), error)))
            }
            flushed => flushed,
        }
    }

    /// Brings the recovery point to the log end, with all that it speaks for: after a start that had to recover.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails.
    pub(super) async fn settle(self: &Arc<Self>) -> Result<(), Fault> {
        self.detached("log settle", |log| async move {
            let flushed = log.flush_once(Extent::All).await;
            flushed.map_err(|error| log.failed("sync", &log.path(), error))
        })
        .await
    }

    /// Makes the names of all files durable that were made so far.
    pub(super) async fn make_names_durable(&self) -> io::Result<()> {
        // One at a time: who finds no dirty name believes that all are durable, not that somebody is about it.
        let _turn = self.flusher.turn.lock().await;
        self.sync_names().await
    }

    /// For whoever has the flusher's turn.
    async fn sync_names(&self) -> io::Result<()> {
        let path = self.path();
        let sync = async |is_dirty: &AtomicBool, path: &Path| {
            if is_dirty.swap(false, Ordering::SeqCst) {
                self.runtime.disk().sync_directory(path).await?;
            }
            io::Result::Ok(())
        };
        let home = checkpoint::parent(&path);
        let own = sync(&self.flusher.are_names_dirty, &path);
        let (own, home) = future::join(own, sync(&self.flusher.is_home_dirty, &home)).await;
        own.and(home)
    }

    /// Brings `leader-epoch-checkpoint` up to date: epochs that begin below the recovery point are never looked for again.
    async fn store_epochs(&self) -> io::Result<()> {
        let (text, version) = {
            let epochs = lock(&self.epochs);
            if epochs.stored == epochs.version {
                return Ok(());
            }
            (epochs.epochs.encode(), epochs.version)
        };
        let path = self.path().join(leader_epochs::FILE_NAME);
        checkpoint::replace_file(&self.runtime, &path, text.as_bytes()).await?;
        lock(&self.epochs).stored = version;
        Ok(())
    }

    /// Records that were appended but not synced.
    #[must_use]
    pub fn unflushed_messages(&self) -> u64 {
        let flushed = lock(&self.flusher.book).flushed;
        u64::try_from(self.log_end_offset().distance_from(flushed)).unwrap_or(0)
    }

    /// True when `flush.ms` has passed since the last sync and something waits for one.
    #[must_use]
    pub fn flush_due(&self, now: Timestamp) -> bool {
        let last = Timestamp(self.flusher.last_flush.load(Ordering::SeqCst));
        let limit = self.settings().flush_ms;
        limit.is_some_and(|limit| now.millis_since(last) >= limit) && self.unflushed_messages() > 0
    }

    /// True when a segment was rolled whose indexes are not durable: until they are, the recovery point stays behind.
    #[must_use]
    pub fn has_unsynced_segments(&self) -> bool {
        let segments = self.segments.load();
        segments.iter().any(|segment| segment.is_sealed() && !segment.are_indexes_synced())
    }

    /// Everything below is durable, with indexes and names: where recovery would begin.
    #[must_use]
    pub fn recovery_point(&self) -> Offset {
        lock(&self.flusher.book).recovery_point
    }

    /// True when the checkpoint of recovery points has an entry for this log.
    #[must_use]
    pub fn has_stored_recovery_point(&self) -> bool {
        self.flusher.is_recovery_point_stored.load(Ordering::SeqCst)
    }

    /// The checkpoint of recovery points has an entry for this log now.
    pub(super) fn recovery_point_stored(&self) {
        self.flusher.is_recovery_point_stored.store(true, Ordering::SeqCst);
    }

    /// Below this everything is on disk. The recovery point follows a little later, with indexes and epochs.
    #[must_use]
    pub fn durable_end(&self) -> Offset {
        lock(&self.flusher.book).flushed
    }

    /// Writes the producer state as it is at the log end. Not synced: it has a checksum and can be rebuilt.
    pub(super) async fn write_snapshot(&self, at: Offset) -> io::Result<()> {
        let producers = lock(&self.producers).clone();
        let path = self.place.file(at, file_names::SNAPSHOT);
        recovery::write_snapshot(self.runtime.disk(), &path, &producers).await?;
        self.flusher.names_changed();
        Ok(())
    }

    /// Closes the log so that the next start can trust it: producer snapshot, trimmed indexes, everything synced.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails.
    pub async fn close(self: &Arc<Self>) -> Result<(), Fault> {
        self.detached("log close", |log| async move { log.close_now().await }).await
    }

    async fn close_now(self: Arc<Self>) -> Result<(), Fault> {
        let mut writer = match self.turn_to_write().await {
            Ok(writer) => writer,
            Err(AppendError::Fault(fault)) => return Err(fault),
            Err(_) => return Ok(()),
        };
        writer.is_closed = true;
        let fail = |error| self.failed("close the log in", &self.path(), error);
        let active = self.active();
        let end = self.log_end_offset();
        active.seal().await.map_err(fail)?;
        self.write_snapshot(end).await.map_err(fail)?;
        let snapshot = self.place.file(end, file_names::SNAPSHOT);
        sync_file(&self.runtime, &snapshot).await.map_err(fail)?;
        drop(writer);
        // A flush that is under way may have begun before the seal: what counts is one that begins now.
        self.flush_once(Extent::All).await.map_err(fail)
    }
}

async fn sync_file<R: Runtime>(runtime: &R, path: &Path) -> io::Result<()> {
    runtime.disk().open(path, OpenMode::ReadWrite).await?.sync_data().await
}
