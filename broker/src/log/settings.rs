use crate::record::TimestampType;

/// `compression.type` of a topic, with the level where the codec has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// Batches stay as the producer made them.
    Producer,
    /// No compression.
    Uncompressed,
    /// gzip with `compression.gzip.level` (-1: the codec's default).
    Gzip(i32),
    /// snappy.
    Snappy,
    /// lz4 with `compression.lz4.level`.
    Lz4(i32),
    /// zstd with `compression.zstd.level`.
    Zstd(i32),
}

/// What a topic's configuration says about its logs; names and defaults are Kafka's.
///
/// "No limit" is `None` where Kafka writes -1 or 2^63-1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: i64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u64,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u64,
    /// `flush.messages`.
    pub flush_messages: Option<u64>,
    /// `flush.ms`.
    pub flush_ms: Option<i64>,
    /// `retention.ms`.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
    /// `cleanup.policy` contains `delete`.
    pub deletes: bool,
    /// `cleanup.policy` contains `compact`.
    pub compacts: bool,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: Option<i64>,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: Ratio,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
    /// `min.insync.replicas`: how many must be in sync for a producer that wants all of them to have its records.
    pub min_insync_replicas: usize,
    /// `max.message.bytes`.
    pub max_message_bytes: u64,
    /// `max.decompressed.message.bytes`.
    pub max_decompressed_message_bytes: u64,
    /// `compression.type` and the levels.
    pub compression_type: CompressionType,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `preallocate`.
    pub preallocate: bool,
    /// `producer.id.expiration.ms` of the broker.
    pub producer_id_expiration_ms: i64,
}

/// A fraction in parts per million, so that settings can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio {
    /// Parts of a million.
    pub parts_per_million: u32,
}

impl Default for Settings {
    fn default() -> Self {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            flush_messages: None,
            flush_ms: None,
            retention_ms: Some(7 * DAY_MS),
            retention_bytes: None,
            deletes: true,
            compacts: false,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: None,
            min_cleanable_dirty_ratio: Ratio { parts_per_million: 500_000 },
            file_delete_delay_ms: 60_000,
            min_insync_replicas: 1,
            max_message_bytes: 1_048_588,
            max_decompressed_message_bytes: 2_147_483_639,
            compression_type: CompressionType::Producer,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            preallocate: false,
            producer_id_expiration_ms: DAY_MS,
        }
    }
}
