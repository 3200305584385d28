//! Keys of a topic.

use super::rows;

rows! {
    /// By name.
    pub(super) static TOPIC;
    "cleanup.policy" List "delete", OneOf(&["compact", "delete"]), ClusterWide Honoured Shown,
        "What becomes of old segments: delete, compact or both.";
    "compression.gzip.level" Int "-1", GzipLevel, ClusterWide Honoured Shown,
        "Level when the broker compresses with gzip.";
    "compression.lz4.level" Int "9", Between(1, 17), ClusterWide Accepted Shown,
        "Level when the broker compresses with lz4.";
    "compression.type" String "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), ClusterWide Honoured Shown,
        "Codec in which batches are stored; producer keeps what came.";
    "compression.zstd.level" Int "3", Between(-131_072, 22), ClusterWide Honoured Shown,
        "Level when the broker compresses with zstd.";
    "delete.retention.ms" Long "86400000", AtLeast(0), ClusterWide Accepted Shown,
        "Time a tombstone can still be read.";
    "errors.deadletterqueue.group.enable" Boolean "false", Any, ClusterWide Accepted Shown,
        "Whether groups may send undeliverable records to this topic.";
    "file.delete.delay.ms" Long "60000", AtLeast(0), ClusterWide Honoured Shown,
        "Time between the end of a segment and the removal of its files.";
    "flush.messages" Long "9223372036854775807", AtLeast(1), ClusterWide Honoured Shown,
        "Records after which the log is flushed.";
    "flush.ms" Long "9223372036854775807", AtLeast(0), ClusterWide Honoured Shown,
        "Time after which the log is flushed.";
    "follower.replication.throttled.replicas" List "", ThrottledReplicas, ClusterWide Accepted Shown,
        "Replicas throttled as followers, as partition:broker, or * for all.";
    "index.interval.bytes" Int "4096", AtLeast(0), ClusterWide Honoured Shown,
        "Bytes of the log between two entries of its index.";
    "internal.segment.bytes" Int null, Any, ClusterWide Accepted Hidden,
        "Segment size below the usual minimum, for tests.";
    "leader.replication.throttled.replicas" List "", ThrottledReplicas, ClusterWide Accepted Shown,
        "Replicas throttled as leaders, as partition:broker, or * for all.";
    "local.retention.bytes" Long "-2", AtLeast(-2), ClusterWide Accepted Shown,
        "Bytes kept locally of a partition in remote storage.";
    "local.retention.ms" Long "-2", AtLeast(-2), ClusterWide Accepted Shown,
        "Time kept locally of a partition in remote storage.";
    "max.compaction.lag.ms" Long "9223372036854775807", AtLeast(1), ClusterWide Accepted Shown,
        "Longest time a record stays uncompacted.";
    "max.decompressed.message.bytes" Int "2147483639", AtLeast(0), ClusterWide Honoured Shown,
        "Most bytes a compressed batch may take when decompressed.";
    "max.message.bytes" Int "1048588", AtLeast(0), ClusterWide Honoured Shown,
        "Largest batch accepted.";
    "message.timestamp.after.max.ms" Long "3600000", AtLeast(0), ClusterWide Honoured Shown,
        "How far a record's time may be after the broker's.";
    "message.timestamp.before.max.ms" Long "9223372036854775807", AtLeast(0), ClusterWide Honoured Shown,
        "How far a record's time may be before the broker's.";
    "message.timestamp.type" String "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), ClusterWide Honoured Shown,
        "Whether records keep their producer's time or get the time of their append.";
    "min.cleanable.dirty.ratio" Double "0.5", Share(0.0, 1.0), ClusterWide Accepted Shown,
        "Share of the log that must be dirty before it is cleaned.";
    "min.compaction.lag.ms" Long "0", AtLeast(0), ClusterWide Accepted Shown,
        "Shortest time a record stays uncompacted.";
    "min.insync.replicas" Int "1", AtLeast(1), ClusterWide Honoured Shown,
        "In-sync replicas that must have a record before a producer asking for all is answered.";
    "preallocate" Boolean "false", Any, ClusterWide Honoured Shown,
        "Whether a segment takes its whole size when it is created.";
    "remote.copy.lag.bytes" Long "-1", AtLeast(-1), ClusterWide Accepted Shown,
        "How far copies to remote storage may lag in bytes.";
    "remote.copy.lag.ms" Long "0", AtLeast(-1), ClusterWide Accepted Shown,
        "How far copies to remote storage may lag in time.";
    "remote.log.copy.disable" Boolean "false", Any, ClusterWide Accepted Shown,
        "Whether remote storage is only read.";
    "remote.log.delete.on.disable" Boolean "false", Any, ClusterWide Accepted Shown,
        "Whether remote segments go when remote storage is turned off.";
    "remote.storage.enable" Boolean "false", Any, ClusterWide Accepted Shown,
        "Whether the topic is in remote storage.";
    "retention.bytes" Long "-1", Any, ClusterWide Honoured Shown,
        "Size of a partition above which old segments are deleted; -1 for no limit.";
    "retention.ms" Long "604800000", AtLeast(-1), ClusterWide Honoured Shown,
        "Age after which segments are deleted; -1 for no limit.";
    "segment.bytes" Int "1073741824", AtLeast(1_048_576), ClusterWide Honoured Shown,
        "Size after which a new segment is begun.";
    "segment.index.bytes" Int "10485760", AtLeast(4), ClusterWide Honoured Shown,
        "Largest offset or time index.";
    "segment.jitter.ms" Long "0", AtLeast(0), ClusterWide Honoured Shown,
        "Most time taken off the age of segments at random.";
    "segment.ms" Long "604800000", AtLeast(1), ClusterWide Honoured Shown,
        "Age after which a new segment is begun.";
    "unclean.leader.election.enable" Boolean "false", Any, ClusterWide Honoured Shown,
        "Whether a replica that is not in sync may lead when no other can.";
}
