//! Opening all logs at start.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::super::checkpoint::{self, HIGH_WATERMARKS, LOG_STARTS, Offsets, RECOVERY_POINTS};
use super::super::file_names::{self, DirectoryName};
use super::super::partition_log::lock;
use super::super::{Fault, LogDirectory, OpenOptions, PartitionLog, Settings};
use super::{Held, Logs};
use crate::environment::{Disk, EntryKind, Instant, Runtime};
use crate::model::{BrokerEpoch, DirectoryId, TopicName, TopicPartition};

/// The metadata log is raft's, not ours.
const METADATA_TOPIC: &str = "__cluster_metadata";

pub(super) type SettingsOf = Arc<dyn Fn(&TopicName) -> Settings + Send + Sync>;

/// What was found in all directories.
pub(super) struct Loaded<R: Runtime> {
    pub(super) logs: Logs<R>,
    pub(super) doomed: Vec<(Instant, PathBuf)>,
    pub(super) failures: Vec<(DirectoryId, String)>,
    pub(super) previous_broker_epoch: Option<BrokerEpoch>,
    /// A checkpointed recovery point is above what its log has, or of a log that is not there.
    pub(super) is_checkpoint_ahead: bool,
}

/// What a directory holds, before its logs are opened.
struct Survey {
    /// `Some` when it was stopped properly, with the broker epoch of that time.
    clean: Option<Option<BrokerEpoch>>,
    recovery_points: Offsets,
    log_starts: Offsets,
    high_watermarks: Offsets,
    partitions: Vec<TopicPartition>,
    deleted: Vec<PathBuf>,
}

pub(super) async fn all<R: Runtime>(
    runtime: &R,
    directories: &[Arc<LogDirectory<R>>],
    threads: usize,
    settings: SettingsOf,
) -> Loaded<R> {
    let mut loaded = Loaded {
        logs: BTreeMap::new(),
        doomed: Vec::new(),
        failures: Vec::new(),
        previous_broker_epoch: None,
        is_checkpoint_ahead: false,
    };
    let mut epochs = Vec::new();
    for directory in directories {
        let survey = match survey(runtime, directory).await {
            Ok(survey) => survey,
            Err(error) => {
                epochs.push(None);
                loaded.failures.push((directory.id(), error.to_string()));
                continue;
            }
        };
        epochs.push(survey.clean.flatten());
        let now = runtime.now();
        loaded.doomed.extend(survey.deleted.iter().map(|path| (now, path.clone())));
        let survey = Arc::new(survey);
        for result in open_logs(runtime, directory, &survey, threads, &settings).await {
            loaded.take(directory, result);
        }
        loaded.is_checkpoint_ahead |= survey.recovery_points.iter().any(|(partition, point)| {
            let held = loaded.logs.get(partition);
            held.is_none_or(|held| held.log.recovery_point() < *point)
        });
    }
    // One directory that was not stopped properly is enough to have lost something.
    let first = epochs.first().copied().flatten();
    loaded.previous_broker_epoch = first.filter(|_| epochs.iter().all(|epoch| *epoch == first));
    loaded
}

impl<R: Runtime> Loaded<R> {
    fn take(
        &mut self,
        directory: &Arc<LogDirectory<R>>,
        result: Result<Arc<PartitionLog<R>>, Fault>,
    ) {
        let reason = match result {
            Ok(log) if !self.logs.contains_key(log.topic_partition()) => {
                let partition = log.topic_partition().clone();
                self.logs.insert(partition, Held { log, directory: Arc::clone(directory) });
                return;
            }
            Ok(log) => format!("{} is in two log directories", log.topic_partition()),
            Err(fault) => fault.to_string(),
        };
        self.failures.push((directory.id(), reason));
    }
}

async fn survey<R: Runtime>(runtime: &R, directory: &LogDirectory<R>) -> io::Result<Survey> {
    let clean = directory.take_clean_shutdown(runtime).await?;
    let read = |name| {
        let path = directory.path().join(name);
        async move { checkpoint::read_offsets(runtime, &path).await }
    };
    let mut survey = Survey {
        clean,
        recovery_points: read(RECOVERY_POINTS).await?,
        log_starts: read(LOG_STARTS).await?,
        high_watermarks: read(HIGH_WATERMARKS).await?,
        partitions: Vec::new(),
        deleted: Vec::new(),
    };
    for entry in runtime.disk().list(directory.path()).await? {
        if entry.kind != EntryKind::Directory {
            continue;
        }
        match file_names::directory(&entry.name) {
            DirectoryName::Partition(partition) if partition.topic.as_str() != METADATA_TOPIC => {
                survey.partitions.push(partition);
            }
            DirectoryName::Deleted => survey.deleted.push(directory.path().join(entry.name)),
            DirectoryName::Partition(_) | DirectoryName::Aside | DirectoryName::Unknown => {}
        }
    }
    Ok(survey)
}

/// Opens the logs of a directory, `threads` at a time.
async fn open_logs<R: Runtime>(
    runtime: &R,
    directory: &Arc<LogDirectory<R>>,
    survey: &Arc<Survey>,
    threads: usize,
    settings: &SettingsOf,
) -> Vec<Result<Arc<PartitionLog<R>>, Fault>> {
    let partitions: VecDeque<TopicPartition> = survey.partitions.iter().cloned().collect();
    let queue = Arc::new(Mutex::new(partitions));
    let mut workers = Vec::new();
    for _ in 0..threads.max(1) {
        let (sender, receiver) = oneshot::channel();
        let worker = Worker {
            runtime: runtime.clone(),
            directory: Arc::clone(directory),
            queue: Arc::clone(&queue),
            survey: Arc::clone(survey),
            settings: Arc::clone(settings),
        };
        runtime.spawn("log recovery", async move {
            // Nobody listens when the node is being stopped: then nothing is lost.
            let _ = sender.send(worker.run().await);
        });
        workers.push(receiver);
    }
    let mut results = Vec::new();
    for worker in join_all(workers).await {
        results.extend(worker.unwrap_or_else(|_| {
            let died = io::Error::other("the task has died");
            vec![Err(Fault::of("recover the logs in", directory.path())(died))]
        }));
    }
    results
}

struct Worker<R: Runtime> {
    runtime: R,
    directory: Arc<LogDirectory<R>>,
    queue: Arc<Mutex<VecDeque<TopicPartition>>>,
    survey: Arc<Survey>,
    settings: SettingsOf,
}

impl<R: Runtime> Worker<R> {
    async fn run(self) -> Vec<Result<Arc<PartitionLog<R>>, Fault>> {
        let mut results = Vec::new();
        loop {
            let next = lock(&self.queue).pop_front();
            let Some(partition) = next else { return results };
            results.push(self.open(partition).await);
        }
    }

    async fn open(&self, partition: TopicPartition) -> Result<Arc<PartitionLog<R>>, Fault> {
        let known = |offsets: &Offsets| offsets.get(&partition).copied();
        let options = OpenOptions {
            clean: self.survey.clean.is_some(),
            recovery_point: known(&self.survey.recovery_points),
            log_start_offset: known(&self.survey.log_starts).unwrap_or_default(),
            high_watermark: known(&self.survey.high_watermarks).unwrap_or_default(),
            topic_id: None,
        };
        let path = self.directory.path().join(partition.to_string());
        let settings = (self.settings)(&partition.topic);
        let runtime = self.runtime.clone();
        let (log, report) = PartitionLog::open(runtime, path, partition, settings, options).await?;
        if report.bytes_truncated > 0 || report.segments_deleted > 0 {
            tracing::warn!(partition = %log.topic_partition(), ?report, "a log was mended");
        }
        Ok(log)
    }
}
