//! `LogManager`: all logs of a node, over all its log directories.

mod load;
mod truncation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::checkpoint::{self, HIGH_WATERMARKS, LOG_STARTS, Offsets, RECOVERY_POINTS};
use super::partition_log::lock;
use super::{Fault, LogDirectory, OpenOptions, PartitionLog, Settings, directory, file_names};
use crate::environment::{Disk, Instant, OUT_OF_FILES, Runtime};
use crate::model::{
    BrokerEpoch, DirectoryId, Offset, Timestamp, TopicId, TopicName, TopicPartition,
};

/// Why a log could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ManagerError {
    /// No directory of `log.dirs` is online, or the asked one is not ours or offline.
    #[error("no log directory is online")]
    NoDirectory,
    /// The partition has a log with another topic id.
    #[error("{partition} exists with topic id {found}")]
    OtherTopicId {
        /// The partition.
        partition: TopicPartition,
        /// The id in its `partition.metadata`.
        found: TopicId,
    },
    /// The disk failed; the directory is offline now.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A log directory went offline.
#[derive(Clone, Debug)]
pub struct DirectoryFailure {
    /// Which one.
    pub directory: DirectoryId,
    /// What happened.
    pub reason: String,
    /// The partitions whose logs went with it.
    pub partitions: Vec<TopicPartition>,
}

type Logs<R> = BTreeMap<TopicPartition, Held<R>>;

struct Held<R: Runtime> {
    log: Arc<PartitionLog<R>>,
    directory: Arc<LogDirectory<R>>,
}

/// All logs of a node, over all its log directories.
///
/// The periodic jobs are methods that the node's loops call at the intervals of its configuration. A fault that one of them
/// meets takes the directory offline; [`next_failure`](Self::next_failure) tells the node.
pub struct LogManager<R: Runtime> {
    runtime: R,
    directories: Vec<Arc<LogDirectory<R>>>,
    logs: Mutex<Logs<R>>,
    /// Logs come and go one at a time.
    changing: tokio::sync::Mutex<()>,
    /// Directories that wait for their removal.
    doomed: Mutex<Vec<(Instant, PathBuf)>>,
    failures: Mutex<VecDeque<DirectoryFailure>>,
    failed: Notify,
    previous_broker_epoch: Option<BrokerEpoch>,
}

/// Logs that are closed at the same time: each waits for the disk mostly.
const CLOSING: usize = 16;

/// What becomes of a log's directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Deleted,
    Stray,
}

impl<R: Runtime> LogManager<R> {
    /// Opens every log in every directory, `threads` at a time in each, with `settings` telling what each topic's
    /// configuration is. A directory that fails goes offline; the others go on.
    pub async fn open(
        runtime: R,
        directories: Vec<Arc<LogDirectory<R>>>,
        threads: usize,
        settings: impl Fn(&TopicName) -> Settings + Send + Sync + 'static,
    ) -> Arc<Self> {
        let loaded = load::all(&runtime, &directories, threads, Arc::new(settings)).await;
        let manager = Self {
            runtime,
            directories,
            logs: Mutex::new(loaded.logs),
            changing: tokio::sync::Mutex::new(()),
            doomed: Mutex::new(loaded.doomed),
            failures: Mutex::new(VecDeque::new()),
            failed: Notify::new(),
            previous_broker_epoch: loaded.previous_broker_epoch,
        };
        for (directory, reason) in loaded.failures {
            manager.directory_failed(directory, &reason);
        }
        if loaded.is_checkpoint_ahead {
            // Before anything is appended: it would be said to be durable.
            manager.checkpoint_recovery_points().await;
        }
        Arc::new(manager)
    }

    /// The broker epoch in the clean-shutdown files, when all directories were stopped properly: what goes into
    /// the registration as the previous broker epoch.
    #[must_use]
    pub fn previous_broker_epoch(&self) -> Option<BrokerEpoch> {
        self.previous_broker_epoch
    }

    /// The log directories.
    #[must_use]
    pub fn directories(&self) -> &[Arc<LogDirectory<R>>] {
        &self.directories
    }

    /// The log of a partition, when there is one in an online directory.
    #[must_use]
    pub fn log(&self, partition: &TopicPartition) -> Option<Arc<PartitionLog<R>>> {
        lock(&self.logs).get(partition).map(|held| Arc::clone(&held.log))
    }

    /// All logs, by partition, with their directory.
    #[must_use]
    pub fn logs(&self) -> Vec<(Arc<PartitionLog<R>>, DirectoryId)> {
        let logs = lock(&self.logs);
        logs.values().map(|held| (Arc::clone(&held.log), held.directory.id())).collect()
    }

    /// The log of a partition, made when missing: in `directory` when given, else where the fewest logs are.
    ///
    /// # Errors
    ///
    /// See [`ManagerError`].
    pub async fn get_or_create(
        &self,
        partition: &TopicPartition,
        topic_id: Option<TopicId>,
        directory: Option<DirectoryId>,
        settings: Settings,
    ) -> Result<Arc<PartitionLog<R>>, ManagerError> {
        let _turn = self.changing.lock().await;
        if let Some(log) = self.log(partition) {
            return match (log.topic_id(), topic_id) {
                (Some(found), Some(wanted)) if found != wanted => {
                    Err(ManagerError::OtherTopicId { partition: partition.clone(), found })
                }
                (None, Some(wanted)) => {
                    let assigned = log.assign_topic_id(wanted).await;
                    assigned.inspect_err(|fault| self.log_failed(partition, fault))?;
                    Ok(log)
                }
                _ => Ok(log),
            };
        }
        let home = self.choose(directory).ok_or(ManagerError::NoDirectory)?;
        let path = home.path().join(partition.to_string());
        let options = OpenOptions { topic_id, ..OpenOptions::default() };
        let opened =
            PartitionLog::open(self.runtime.clone(), path, partition.clone(), settings, options);
        let (log, _) = opened.await.inspect_err(|fault| {
            self.home_failed(home.id(), fault);
        })?;
        let held = Held { log: Arc::clone(&log), directory: home };
        lock(&self.logs).insert(partition.clone(), held);
        Ok(log)
    }

    fn choose(&self, wanted: Option<DirectoryId>) -> Option<Arc<LogDirectory<R>>> {
        let logs = lock(&self.logs);
        let count = |directory: &&Arc<LogDirectory<R>>| {
            logs.values().filter(|held| held.directory.id() == directory.id()).count()
        };
        let online = self.directories.iter().filter(|directory| directory.is_online());
        let wanted = online.filter(|directory| wanted.is_none_or(|id| id == directory.id()));
        wanted.min_by_key(count).map(Arc::clone)
    }

    /// Renames the partitions' directories to `...-delete`; they are removed after `file.delete.delay.ms`. Partitions
    /// without a log are passed over.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails.
    pub async fn delete(&self, partitions: &[TopicPartition]) -> Result<(), Fault> {
        self.put_away(partitions, Fate::Deleted).await
    }

    /// Renames the directories of replicas that are not ours any more to `...-stray`; they are kept for people.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails.
    pub async fn make_stray(&self, partitions: &[TopicPartition]) -> Result<(), Fault> {
        self.put_away(partitions, Fate::Stray).await
    }

    async fn put_away(&self, partitions: &[TopicPartition], fate: Fate) -> Result<(), Fault> {
        let _turn = self.changing.lock().await;
        for partition in partitions {
            let held = lock(&self.logs).remove(partition);
            let Some(Held { log, directory }) = held else { continue };
            let result = self.rename(partition, &log, fate).await;
            result.inspect_err(|fault| self.home_failed(directory.id(), fault))?;
        }
        // What the checkpoints say of a log that is gone would be believed of one made again under its name.
        for name in [RECOVERY_POINTS, LOG_STARTS, HIGH_WATERMARKS] {
            self.checkpoint(name).await;
        }
        Ok(())
    }

    async fn rename(
        &self,
        partition: &TopicPartition,
        log: &PartitionLog<R>,
        fate: Fate,
    ) -> Result<(), Fault> {
        log.retire().await;
        let from = log.path();
        let unique = directory::unique(&self.runtime).as_u128();
        let to = from.with_file_name(file_names::put_away(partition, unique, fate == Fate::Stray));
        let disk = self.runtime.disk();
        disk.rename(&from, &to).await.map_err(Fault::of("rename", &from))?;
        log.place.moved_to(to.clone());
        if fate == Fate::Deleted {
            let when = self.runtime.now().plus_millis(log.settings().file_delete_delay_ms);
            lock(&self.doomed).push((when, to));
        }
        let home = checkpoint::parent(&from);
        disk.sync_directory(&home).await.map_err(Fault::of("sync", &home))
    }

    /// Takes the directory of a partition's log out of use, because of what happened to that log: unless it was only that
    /// no file descriptor was left.
    pub fn log_failed(&self, partition: &TopicPartition, fault: &Fault) {
        let directory = lock(&self.logs).get(partition).map(|held| held.directory.id());
        if let Some(directory) = directory {
            self.home_failed(directory, fault);
        }
    }

    fn home_failed(&self, directory: DirectoryId, fault: &Fault) {
        if fault.is_out_of_files() {
            tracing::error!(%fault, advice = OUT_OF_FILES, "no file descriptor is left");
        } else {
            self.directory_failed(directory, &fault.to_string());
        }
    }

    /// Takes a log directory out of use, with all logs in it.
    pub fn directory_failed(&self, directory: DirectoryId, reason: &str) {
        let Some(home) = self.directories.iter().find(|home| home.id() == directory) else {
            return;
        };
        home.go_offline(reason);
        let gone: Vec<TopicPartition> = {
            let mut logs = lock(&self.logs);
            let (gone, kept) = std::mem::take(&mut *logs)
                .into_iter()
                .partition(|(_, held)| held.directory.id() == directory);
            *logs = kept;
            BTreeMap::into_keys(gone).collect()
        };
        let mut failures = lock(&self.failures);
        let is_known = failures.iter().any(|failure| failure.directory == directory);
        if gone.is_empty() && is_known {
            return;
        }
        failures.push_back(DirectoryFailure {
            directory,
            reason: reason.to_owned(),
            partitions: gone,
        });
        drop(failures);
        self.failed.notify_one();
    }

    /// The next directory that failed; waits for one.
    pub async fn next_failure(&self) -> DirectoryFailure {
        loop {
            let notified = self.failed.notified();
            if let Some(failure) = lock(&self.failures).pop_front() {
                return failure;
            }
            notified.await;
        }
    }

    /// Begins to flush logs whose `flush.ms` has passed, and segments that were rolled.
    pub fn flush_due(&self, now: Timestamp) {
        for (log, _) in self.logs() {
            if log.flush_due(now) {
                log.start_flush();
            } else if log.has_unsynced_segments() {
                log.flush_sealed();
            }
            if let Some(fault) = log.fault() {
                self.log_failed(log.topic_partition(), &fault);
            }
        }
    }

    /// Writes `recovery-point-offset-checkpoint` in each directory.
    pub async fn checkpoint_recovery_points(&self) {
        self.checkpoint(RECOVERY_POINTS).await;
    }

    /// The same, when a log is there that has no entry yet: until it has, its rolls wait for syncs.
    pub async fn checkpoint_new_recovery_points(&self) {
        if self.logs().iter().any(|(log, _)| !log.has_stored_recovery_point()) {
            self.checkpoint_recovery_points().await;
        }
    }

    /// After a start that had to recover: makes durable what was recovered and writes it down, so that the next start after
    /// the next crash does not read the same again.
    pub async fn settle_recovered(&self) {
        let logs = self.logs();
        let unsettled: Vec<_> =
            logs.iter().filter(|(log, _)| log.recovery_point() < log.log_end_offset()).collect();
        for some in unsettled.chunks(CLOSING) {
            let settled = join_all(some.iter().map(|(log, _)| log.settle())).await;
            for ((log, _), settled) in some.iter().zip(settled) {
                if let Err(fault) = settled {
                    self.log_failed(log.topic_partition(), &fault);
                }
            }
        }
        if !unsettled.is_empty() {
            self.checkpoint_recovery_points().await;
        }
    }

    /// Writes `log-start-offset-checkpoint` in each directory. False when one could not be written.
    pub async fn checkpoint_log_starts(&self) -> bool {
        self.checkpoint(LOG_STARTS).await
    }

    /// Writes `replication-offset-checkpoint` in each directory.
    pub async fn checkpoint_high_watermarks(&self) {
        self.checkpoint(HIGH_WATERMARKS).await;
    }

    async fn checkpoint(&self, name: &'static str) -> bool {
        let mut is_written = true;
        for directory in self.directories.iter().filter(|directory| directory.is_online()) {
            let _turn = directory.checkpoints.lock().await;
            let offsets = self.offsets(directory, name);
            let path = directory.path().join(name);
            match checkpoint::write_offsets(&self.runtime, &path, &offsets).await {
                Ok(()) if name == RECOVERY_POINTS => self.recovery_points_stored(&offsets),
                Ok(()) => {}
                // It stays as it was, which is safe: the next one is written later.
                Err(error) if super::append::passes_by(&error) => {
                    is_written = false;
                    tracing::warn!(path = %path.display(), %error, "a checkpoint is not written");
                }
                Err(error) => {
                    is_written = false;
                    self.home_failed(directory.id(), &Fault::of("write", &path)(error));
                }
            }
        }
        is_written
    }

    fn recovery_points_stored(&self, offsets: &Offsets) {
        let logs = lock(&self.logs);
        for held in offsets.keys().filter_map(|partition| logs.get(partition)) {
            held.log.recovery_point_stored();
        }
    }

    fn offsets(&self, directory: &LogDirectory<R>, name: &'static str) -> Offsets {
        let logs = lock(&self.logs);
        let here = logs.iter().filter(|(_, held)| held.directory.id() == directory.id());
        let offset = |log: &PartitionLog<R>| match name {
            RECOVERY_POINTS => Some(log.recovery_point()),
            HIGH_WATERMARKS => Some(log.high_watermark()),
            // Also where the first segment begins just there: one before it that was removed may be back after a power loss.
            _ => Some(log.log_start_offset()).filter(|start| *start > Offset::ZERO),
        };
        here.filter_map(|(partition, held)| Some((partition.clone(), offset(&held.log)?))).collect()
    }

    /// Deletes old segments everywhere (`log.retention.check.interval.ms`); says how many.
    pub async fn apply_retention(&self, now: Timestamp) -> usize {
        let mut deleted = 0;
        for (log, _) in self.logs() {
            match log.delete_old_segments(now).await {
                Ok(count) => deleted += count,
                Err(fault) => self.log_failed(log.topic_partition(), &fault),
            }
        }
        deleted
    }

    /// Removes files and directories whose `file.delete.delay.ms` has passed.
    pub async fn remove_deleted(&self) {
        for (log, _) in self.logs() {
            if let Err(fault) = log.remove_deleted().await {
                self.log_failed(log.topic_partition(), &fault);
            }
        }
        let now = self.runtime.now();
        let due: Vec<PathBuf> = {
            let mut doomed = lock(&self.doomed);
            let (due, later) =
                std::mem::take(&mut *doomed).into_iter().partition(|(when, _)| *when <= now);
            *doomed = later;
            Vec::into_iter(due).map(|(_, path)| path).collect()
        };
        for path in due {
            match self.runtime.disk().remove_directory(&path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    // It is not in anybody's way; the next start tries again.
                    tracing::warn!(path = %path.display(), %error, "a deleted log cannot be removed");
                }
                _ => {}
            }
        }
    }

    /// Forgets producers that were silent for too long, everywhere.
    pub fn expire_producers(&self, now: Timestamp) {
        for (log, _) in self.logs() {
            log.expire_producers(now);
        }
    }

    /// Closes all logs, writes all checkpoints, and the clean-shutdown file in each directory where all went well.
    pub async fn shutdown(&self, broker_epoch: Option<BrokerEpoch>) {
        for some in self.logs().chunks(CLOSING) {
            let closed = join_all(some.iter().map(|(log, _)| log.close())).await;
            for ((log, _), closed) in some.iter().zip(closed) {
                if let Err(fault) = closed {
                    self.log_failed(log.topic_partition(), &fault);
                }
            }
        }
        for name in [RECOVERY_POINTS, LOG_STARTS, HIGH_WATERMARKS] {
            self.checkpoint(name).await;
        }
        for directory in self.directories.iter().filter(|directory| directory.is_online()) {
            let written = directory.write_clean_shutdown(&self.runtime, broker_epoch).await;
            if let Err(error) = written {
                directory.go_offline(&error.to_string());
            }
        }
    }
}
