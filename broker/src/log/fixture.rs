//! What the tests of this module share: a directory that goes away, and batches.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::{AppendError, Appended, OpenOptions, Origin, PartitionLog, RecoveryReport, Settings};
use crate::environment::Runtime;
use crate::environment::tokio::TokioRuntime;
use crate::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use crate::record::{Batch, Builder, Compression};

pub(crate) const CLIENT: Origin = Origin::Client { produce_version: 13 };

/// A directory of its own, removed with all that is in it.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new(runtime: &TokioRuntime) -> Self {
        Self(std::env::temp_dir().join(format!("ottla-log-{:016x}", runtime.random())))
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("t-0")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) type Log = Arc<PartitionLog<TokioRuntime>>;

pub(crate) async fn open(
    runtime: &TokioRuntime,
    directory: &Directory,
    settings: Settings,
    options: OpenOptions,
) -> (Log, RecoveryReport) {
    let partition = TopicPartition::new("t", 0);
    PartitionLog::open(runtime.clone(), directory.log(), partition, settings, options)
        .await
        .unwrap()
}

/// Small enough that every few batches something happens.
pub(crate) fn small() -> Settings {
    Settings {
        segment_bytes: 1000,
        index_interval_bytes: 100,
        segment_index_bytes: 240,
        retention_ms: None,
        ..Settings::default()
    }
}

/// Records with these timestamps, as a producer sends them.
pub(crate) fn batch(timestamps: &[i64]) -> Bytes {
    let mut builder = Builder::new(Offset::ZERO, None, Compression::None);
    for timestamp in timestamps {
        builder.append(Timestamp(*timestamp), Some(b"key"), Some(b"value-value-value"), &[]);
    }
    builder.build().unwrap()
}

pub(crate) fn idempotent(producer: i64, sequence: i32, count: i64) -> Bytes {
    let mut builder = Builder::new(Offset::ZERO, None, Compression::None).producer(
        ProducerId(producer),
        ProducerEpoch(0),
        Some(sequence),
    );
    for number in 0..count {
        builder.append(Timestamp(1000 + number), None, Some(b"value"), &[]);
    }
    builder.build().unwrap()
}

pub(crate) async fn append(log: &Log, bytes: Bytes) -> Result<Appended, AppendError> {
    log.append_as_leader(bytes, CLIENT, LeaderEpoch::new(1), Timestamp(2000)).await
}

/// Every batch of the log, by reading one after the other.
pub(crate) async fn batches(log: &Log) -> Vec<Batch> {
    let mut found = Vec::new();
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        let bytes = log.read_bytes(next, 1).await.unwrap();
        let batch = Batch::parse(bytes).unwrap();
        batch.verify_crc().unwrap();
        next = batch.header().next_offset();
        found.push(batch);
    }
    found
}

pub(crate) async fn offsets(log: &Log) -> Vec<(i64, i64)> {
    let of = |batch: &Batch| (batch.header().base_offset, batch.header().last_offset().value());
    batches(log).await.iter().map(of).collect()
}
