use std::time::Duration;

use crate::record::Compression;

/// Broker settings the group coordinator reads, under Kafka's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `offsets.topic.num.partitions`.
    pub partition_count: i32,
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`.
    pub max_size: i32,
    /// `offset.metadata.max.bytes`; counted in UTF-16 units, as Kafka does.
    pub offset_metadata_max: i32,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub retention_check_interval_ms: i64,
    /// `offsets.commit.timeout.ms`: how long an answer waits for its records to be committed.
    pub commit_timeout: Duration,
    /// `offsets.load.buffer.size`, in bytes.
    pub load_buffer_bytes: usize,
    /// Batches above this many bytes are not written: `max.message.bytes` of the offsets topic.
    pub batch_bytes_max: usize,
    /// `offsets.topic.compression.codec`.
    pub compression: Compression,
    /// Requests that may wait for this coordinator before callers have to wait themselves.
    pub queue_length: usize,
}

impl Default for GroupSettings {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            partition_count: 50,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX,
            offset_metadata_max: 4_096,
            offsets_retention_ms: 10_080 * 60_000,
            retention_check_interval_ms: 600_000,
            commit_timeout: Duration::from_secs(5),
            load_buffer_bytes: 5_242_880,
            batch_bytes_max: 1_048_588,
            compression: Compression::None,
            queue_length: 4_096,
        }
    }
}
