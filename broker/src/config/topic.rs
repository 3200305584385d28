use std::collections::BTreeMap;
use std::time::Duration;

use super::definitions;
use super::settings::{Settings, wrong_type};
use super::value::Value;

/// What becomes of old segments. Neither keeps everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted.
    pub delete: bool,
    /// Only the last record of each key is kept.
    pub compact: bool,
}

/// The codec in which batches are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// That in which they came.
    Producer,
    /// None.
    Uncompressed,
    /// Gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl CompressionType {
    /// The codec's number in the attributes of a batch; `None` when the producer decides.
    #[must_use]
    pub const fn codec_id(self) -> Option<u8> {
        match self {
            Self::Producer => None,
            Self::Uncompressed => Some(0),
            Self::Gzip => Some(1),
            Self::Snappy => Some(2),
            Self::Lz4 => Some(3),
            Self::Zstd => Some(4),
        }
    }
}

/// The settings of one topic, each from the topic, the node or the default.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`
    pub compression: CompressionType,
    /// `compression.gzip.level`
    pub gzip_level: i32,
    /// `compression.lz4.level`
    pub lz4_level: i32,
    /// `compression.zstd.level`
    pub zstd_level: i32,
    /// `delete.retention.ms`
    pub delete_retention: Duration,
    /// `file.delete.delay.ms`
    pub file_delete_delay: Duration,
    /// `flush.messages`; `None` for never.
    pub flush_messages: Option<u64>,
    /// `flush.ms`; `None` for never.
    pub flush_interval: Option<Duration>,
    /// `index.interval.bytes`
    pub index_interval_bytes: usize,
    /// `max.compaction.lag.ms`; `None` for no limit.
    pub max_compaction_lag: Option<Duration>,
    /// `max.decompressed.message.bytes`
    pub max_decompressed_message_bytes: usize,
    /// `max.message.bytes`
    pub max_message_bytes: usize,
    /// `message.timestamp.after.max.ms`; `None` for no limit.
    pub message_timestamp_after_max: Option<Duration>,
    /// `message.timestamp.before.max.ms`; `None` for no limit.
    pub message_timestamp_before_max: Option<Duration>,
    /// `message.timestamp.type` is `LogAppendTime`.
    pub is_log_append_time: bool,
    /// `min.cleanable.dirty.ratio`
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag: Duration,
    /// `min.insync.replicas`
    pub min_insync_replicas: usize,
    /// `preallocate`
    pub is_preallocated: bool,
    /// `retention.bytes`; `None` for no limit.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`; `None` for no limit.
    pub retention: Option<Duration>,
    /// `segment.bytes`
    pub segment_bytes: usize,
    /// `segment.index.bytes`
    pub segment_index_bytes: usize,
    /// `segment.jitter.ms`
    pub segment_jitter: Duration,
    /// `segment.ms`
    pub segment_age: Duration,
    /// `unclean.leader.election.enable`
    pub is_unclean_leader_election_enabled: bool,
}

impl TopicConfig {
    /// Puts a topic's own settings over those of the node. Settings that are unknown or not allowed have no effect:
    /// they were refused when they came.
    #[must_use]
    pub fn resolve(overrides: &BTreeMap<String, String>, node: &Settings) -> Self {
        let values = Values { overrides, node };
        let policy = values.list("cleanup.policy");
        let has = |name: &str| policy.iter().any(|policy| policy == name);
        Self {
            cleanup_policy: CleanupPolicy { delete: has("delete"), compact: has("compact") },
            compression: compression_of(&values.text("compression.type")),
            gzip_level: values.int("compression.gzip.level"),
            lz4_level: values.int("compression.lz4.level"),
            zstd_level: values.int("compression.zstd.level"),
            delete_retention: values.millis("delete.retention.ms"),
            file_delete_delay: values.millis("file.delete.delay.ms"),
            flush_messages: values.unless_max("flush.messages"),
            flush_interval: values.unless_max("flush.ms").map(Duration::from_millis),
            index_interval_bytes: values.size("index.interval.bytes"),
            max_compaction_lag: values
                .unless_max("max.compaction.lag.ms")
                .map(Duration::from_millis),
            max_decompressed_message_bytes: values.size("max.decompressed.message.bytes"),
            max_message_bytes: values.size("max.message.bytes"),
            message_timestamp_after_max: values
                .unless_max("message.timestamp.after.max.ms")
                .map(Duration::from_millis),
            message_timestamp_before_max: values
                .unless_max("message.timestamp.before.max.ms")
                .map(Duration::from_millis),
            is_log_append_time: values.text("message.timestamp.type") == "LogAppendTime",
            min_cleanable_dirty_ratio: values.double("min.cleanable.dirty.ratio"),
            min_compaction_lag: values.millis("min.compaction.lag.ms"),
            min_insync_replicas: values.size("min.insync.replicas"),
            is_preallocated: values.boolean("preallocate"),
            retention_bytes: u64::try_from(values.number("retention.bytes")).ok(),
            retention: u64::try_from(values.number("retention.ms")).ok().map(Duration::from_millis),
            segment_bytes: values.segment_bytes(),
            segment_index_bytes: values.size("segment.index.bytes"),
            segment_jitter: values.millis("segment.jitter.ms"),
            segment_age: values.millis("segment.ms"),
            is_unclean_leader_election_enabled: values.boolean("unclean.leader.election.enable"),
        }
    }

    /// Judges one setting of a topic.
    ///
    /// # Errors
    ///
    /// Kafka's sentence about what is wrong, to go with `INVALID_CONFIG`.
    pub fn validate(name: &str, value: &str) -> Result<(), String> {
        let key = definitions::topic_key(name)
            .ok_or_else(|| format!("Unknown topic config name: {name}"))?;
        key.parse(value).map(drop)
    }

    /// Judges all settings of a topic together, over those of the node.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate), and when two settings do not go together.
    pub fn validate_all(
        overrides: &BTreeMap<String, String>,
        node: &Settings,
    ) -> Result<(), String> {
        if let Some(name) = overrides.keys().find(|name| definitions::topic_key(name).is_none()) {
            return Err(format!("Unknown topic config name: {name}"));
        }
        for (name, value) in overrides {
            Self::validate(name, value)?;
        }
        let values = Values { overrides, node };
        let (min, max) =
            (values.number("min.compaction.lag.ms"), values.number("max.compaction.lag.ms"));
        if min > max {
            return Err(format!(
                "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
            ));
        }
        Ok(())
    }
}

/// The key of a node that gives a topic's key its value when the topic does not, if there is one. Where several do,
/// this is the one that wins.
#[must_use]
pub fn node_synonym_of_topic_key(name: &str) -> Option<&'static str> {
    Some(match name {
        "cleanup.policy" => "log.cleanup.policy",
        "compression.gzip.level" => "compression.gzip.level",
        "compression.lz4.level" => "compression.lz4.level",
        "compression.type" => "compression.type",
        "compression.zstd.level" => "compression.zstd.level",
        "delete.retention.ms" => "log.cleaner.delete.retention.ms",
        "file.delete.delay.ms" => "log.segment.delete.delay.ms",
        "flush.messages" => "log.flush.interval.messages",
        "flush.ms" => "log.flush.interval.ms",
        "index.interval.bytes" => "log.index.interval.bytes",
        "local.retention.bytes" => "log.local.retention.bytes",
        "local.retention.ms" => "log.local.retention.ms",
        "max.compaction.lag.ms" => "log.cleaner.max.compaction.lag.ms",
        "max.decompressed.message.bytes" => "max.decompressed.message.bytes",
        "max.message.bytes" => "message.max.bytes",
        "message.timestamp.after.max.ms" => "log.message.timestamp.after.max.ms",
        "message.timestamp.before.max.ms" => "log.message.timestamp.before.max.ms",
        "message.timestamp.type" => "log.message.timestamp.type",
        "min.cleanable.dirty.ratio" => "log.cleaner.min.cleanable.ratio",
        "min.compaction.lag.ms" => "log.cleaner.min.compaction.lag.ms",
        "min.insync.replicas" => "min.insync.replicas",
        "preallocate" => "log.preallocate",
        "retention.bytes" => "log.retention.bytes",
        "retention.ms" => "log.retention.ms",
        "segment.bytes" => "log.segment.bytes",
        "segment.index.bytes" => "log.index.size.max.bytes",
        "segment.jitter.ms" => "log.roll.jitter.ms",
        "segment.ms" => "log.roll.ms",
        "unclean.leader.election.enable" => "unclean.leader.election.enable",
        _ => return None,
    })
}

/// The value of a topic's key on this node when the topic does not set it.
pub(super) fn node_value_of_topic_key(name: &str, node: &Settings) -> Value {
    const MINUTE_MS: i64 = 60_000;
    const HOUR_MS: i64 = 60 * MINUTE_MS;
    let hours = |key: &str| node.number(key).saturating_mul(HOUR_MS);
    let number = match name {
        "retention.ms" => {
            let minutes = || {
                node.number_if_set("log.retention.minutes")
                    .map(|value| value.saturating_mul(MINUTE_MS))
            };
            let time = node.number_if_set("log.retention.ms").or_else(minutes);
            // Any negative time is no limit.
            time.unwrap_or_else(|| hours("log.retention.hours")).max(-1)
        }
        "segment.ms" => {
            node.number_if_set("log.roll.ms").unwrap_or_else(|| hours("log.roll.hours"))
        }
        "segment.jitter.ms" => node
            .number_if_set("log.roll.jitter.ms")
            .unwrap_or_else(|| hours("log.roll.jitter.hours")),
        "flush.ms" => {
            let scheduler = || node.number("log.flush.scheduler.interval.ms");
            node.number_if_set("log.flush.interval.ms").unwrap_or_else(scheduler)
        }
        _ => {
            let default = || {
                definitions::topic_key(name)
                    .map_or(Value::Null, definitions::Definition::default_value)
            };
            return node_synonym_of_topic_key(name)
                .map_or_else(default, |synonym| node.value(synonym).clone());
        }
    };
    Value::Number(number)
}

/// The layers of one topic.
pub(super) struct Values<'a> {
    pub(super) overrides: &'a BTreeMap<String, String>,
    pub(super) node: &'a Settings,
}

impl Values<'_> {
    pub(super) fn value(&self, name: &str) -> Value {
        let set = || definitions::topic_key(name)?.parse(self.overrides.get(name)?).ok();
        set().unwrap_or_else(|| node_value_of_topic_key(name, self.node))
    }

    fn number(&self, name: &str) -> i64 {
        self.value(name).as_number().unwrap_or_else(|| wrong_type(name))
    }

    fn int(&self, name: &str) -> i32 {
        i32::try_from(self.number(name)).expect("the table types this key as int")
    }

    fn size(&self, name: &str) -> usize {
        usize::try_from(self.number(name).max(0)).unwrap_or(usize::MAX)
    }

    fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.number(name)).unwrap_or(0))
    }

    /// The largest number means that there is no limit.
    fn unless_max(&self, name: &str) -> Option<u64> {
        Some(self.number(name))
            .filter(|value| *value != i64::MAX)
            .map(|value| u64::try_from(value).unwrap_or(0))
    }

    fn double(&self, name: &str) -> f64 {
        self.value(name).as_double().unwrap_or_else(|| wrong_type(name))
    }

    fn boolean(&self, name: &str) -> bool {
        self.value(name).as_boolean().unwrap_or_else(|| wrong_type(name))
    }

    fn text(&self, name: &str) -> String {
        self.value(name).to_text().unwrap_or_default()
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.value(name).as_list().unwrap_or_default().to_vec()
    }

    /// Tests may go below the smallest segment.
    fn segment_bytes(&self) -> usize {
        let internal =
            self.overrides.get("internal.segment.bytes").and_then(|text| text.trim().parse().ok());
        internal.unwrap_or_else(|| self.size("segment.bytes"))
    }
}

fn compression_of(name: &str) -> CompressionType {
    match name {
        "uncompressed" => CompressionType::Uncompressed,
        "gzip" => CompressionType::Gzip,
        "snappy" => CompressionType::Snappy,
        "lz4" => CompressionType::Lz4,
        "zstd" => CompressionType::Zstd,
        _ => CompressionType::Producer,
    }
}
