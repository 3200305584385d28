use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{CompressionType, NodeConfig, TopicConfig};
use crate::log::{self, Ratio, TimestampType};
use crate::metadata::MetadataImage;
use crate::replication::SettingsOf;

/// What logs are told, from the node's configuration and what the cluster says.
pub(super) struct TopicSettings(pub(super) Arc<NodeConfig>);

impl SettingsOf for TopicSettings {
    fn settings_of(&self, image: &MetadataImage, topic: &str) -> log::Settings {
        let dynamic = image.configurations().of_node(self.0.node_id);
        // This is asked for each of thousands of topics, and the table of settings is large.
        let node = if dynamic.is_empty() {
            Cow::Borrowed(self.0.settings())
        } else {
            Cow::Owned(self.0.settings().overlaid(dynamic))
        };
        let nothing = BTreeMap::new();
        let overrides = image.configurations().topic(topic).map_or(&nothing, |entries| entries);
        let producer_expiration = node.producer_id_expiration();
        translate(&TopicConfig::resolve(overrides, &node), producer_expiration)
    }
}

fn translate(topic: &TopicConfig, producer_expiration: Duration) -> log::Settings {
    let bytes = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let compression_type = match topic.compression {
        CompressionType::Producer => log::CompressionType::Producer,
        CompressionType::Uncompressed => log::CompressionType::Uncompressed,
        CompressionType::Gzip => log::CompressionType::Gzip(topic.gzip_level),
        CompressionType::Snappy => log::CompressionType::Snappy,
        CompressionType::Lz4 => log::CompressionType::Lz4(topic.lz4_level),
        CompressionType::Zstd => log::CompressionType::Zstd(topic.zstd_level),
    };
    log::Settings {
        segment_bytes: bytes(topic.segment_bytes),
        segment_ms: millis(topic.segment_age),
        segment_jitter_ms: millis(topic.segment_jitter),
        index_interval_bytes: bytes(topic.index_interval_bytes),
        segment_index_bytes: bytes(topic.segment_index_bytes),
        flush_messages: topic.flush_messages,
        flush_ms: topic.flush_interval.map(millis),
        retention_ms: topic.retention.map(millis),
        retention_bytes: topic.retention_bytes,
        deletes: topic.cleanup_policy.delete,
        compacts: topic.cleanup_policy.compact,
        delete_retention_ms: millis(topic.delete_retention),
        min_compaction_lag_ms: millis(topic.min_compaction_lag),
        max_compaction_lag_ms: topic.max_compaction_lag.map(millis),
        min_cleanable_dirty_ratio: ratio(topic.min_cleanable_dirty_ratio),
        file_delete_delay_ms: millis(topic.file_delete_delay),
        min_insync_replicas: topic.min_insync_replicas,
        max_message_bytes: bytes(topic.max_message_bytes),
        max_decompressed_message_bytes: bytes(topic.max_decompressed_message_bytes),
        compression_type,
        timestamp_type: if topic.is_log_append_time {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        },
        timestamp_before_max_ms: topic.message_timestamp_before_max.map_or(i64::MAX, millis),
        timestamp_after_max_ms: topic.message_timestamp_after_max.map_or(i64::MAX, millis),
        preallocate: topic.is_preallocated,
        producer_id_expiration_ms: millis(producer_expiration),
    }
}

fn ratio(fraction: f64) -> Ratio {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the configuration allows 0 to 1 only, and the cast saturates"
    )]
    let parts_per_million = (fraction * 1_000_000.0).round() as u32;
    Ratio { parts_per_million }
}
