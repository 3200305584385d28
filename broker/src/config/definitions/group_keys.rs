//! Keys of a group.

use super::rows;

rows! {
    /// By name.
    pub(super) static GROUP;
    "consumer.assignment.interval.ms" Int "1000", AtLeast(0), ClusterWide Accepted Shown,
        "Shortest time between two assignments.";
    "consumer.assignor.offload.enable" Boolean "true", Any, ClusterWide Accepted Shown,
        "Whether assignments are computed beside the coordinator.";
    "consumer.heartbeat.interval.ms" Int "5000", AtLeast(1), ClusterWide Accepted Shown,
        "Heartbeat interval given to members.";
    "consumer.session.timeout.ms" Int "45000", AtLeast(1), ClusterWide Accepted Shown,
        "Time without heartbeat after which a member is removed.";
    "errors.deadletterqueue.copy.record.enable" Boolean "false", Any, ClusterWide Accepted Shown,
        "Whether undeliverable records are copied whole.";
    "errors.deadletterqueue.topic.name" String "", Any, ClusterWide Accepted Shown,
        "Topic for undeliverable records.";
    "share.assignment.interval.ms" Int "1000", AtLeast(0), ClusterWide Accepted Shown,
        "Shortest time between two assignments of a share group.";
    "share.auto.offset.reset" String "latest", OffsetReset, ClusterWide Accepted Shown,
        "Where a share group begins: latest, earliest or by_duration:<ISO 8601 duration>.";
    "share.delivery.count.limit" Int "5", AtLeast(2), ClusterWide Accepted Shown,
        "Most deliveries of one record.";
    "share.heartbeat.interval.ms" Int "5000", AtLeast(1), ClusterWide Accepted Shown,
        "Heartbeat interval given to members of the share group.";
    "share.isolation.level" String "read_uncommitted", OneOf(&["read_committed", "read_uncommitted"]), ClusterWide Accepted Shown,
        "Whether records of open transactions are delivered.";
    "share.partition.max.record.locks" Int "2000", AtLeast(100), ClusterWide Accepted Shown,
        "Most records locked at a time in one share partition.";
    "share.record.lock.duration.ms" Int "30000", AtLeast(1000), ClusterWide Accepted Shown,
        "Time a record is locked for the member that got it.";
    "share.renew.acknowledge.enable" Boolean "true", Any, ClusterWide Accepted Shown,
        "Whether members may renew their record locks.";
    "share.session.timeout.ms" Int "45000", AtLeast(1), ClusterWide Accepted Shown,
        "Time without heartbeat after which a member of the share group is removed.";
    "streams.acceptable.recovery.lag" Long "10000", AtLeast(0), ClusterWide Accepted Shown,
        "How many records behind a task still counts as caught up.";
    "streams.assignment.interval.ms" Int "1000", AtLeast(0), ClusterWide Accepted Shown,
        "Shortest time between two assignments of a streams group.";
    "streams.heartbeat.interval.ms" Int "5000", AtLeast(1), ClusterWide Accepted Shown,
        "Heartbeat interval given to members of the streams group.";
    "streams.initial.rebalance.delay.ms" Int "3000", AtLeast(0), ClusterWide Accepted Shown,
        "Time the first assignment waits for more members.";
    "streams.num.standby.replicas" Int "0", AtLeast(0), ClusterWide Accepted Shown,
        "Standby replicas of each task.";
    "streams.num.warmup.replicas" Int "2", AtLeast(0), ClusterWide Accepted Shown,
        "Most warm-up replicas at a time.";
    "streams.session.timeout.ms" Int "45000", AtLeast(1), ClusterWide Accepted Shown,
        "Time without heartbeat after which a member of the streams group is removed.";
    "streams.task.offset.interval.ms" Int "60000", AtLeast(1), ClusterWide Accepted Shown,
        "How often members tell the offsets of their tasks.";
}
