//! Keys of a node, without those of security, tiered storage, share and streams groups.

use super::rows;

rows! {
    /// By name.
    pub(super) static NODE;
    "add.partitions.to.txn.retry.backoff.max.ms" Int "100", AtLeast(0), ReadOnly Accepted Shown,
        "Longest time the server retries adding a partition to a transaction while the one before it completes.";
    "add.partitions.to.txn.retry.backoff.ms" Int "20", AtLeast(1), ReadOnly Accepted Shown,
        "Pause between two such tries.";
    "advertised.listeners" List null, Any, ReadOnly Honoured Shown,
        "Where clients and other brokers are told to connect; as listeners when not set.";
    "allow.everyone.if.no.acl.found" Boolean "false", Any, ReadOnly Accepted Shown,
        "Whether a resource without any access rule is open to all.";
    "alter.config.policy.class.name" Class null, Any, ReadOnly Accepted Shown,
        "A Java class that judges configuration changes.";
    "alter.log.dirs.replication.quota.window.num" Int "11", AtLeast(1), ReadOnly Accepted Shown,
        "Samples kept for the quota on moves between log directories.";
    "alter.log.dirs.replication.quota.window.size.seconds" Int "1", AtLeast(1), ReadOnly Accepted Shown,
        "Length of one such sample.";
    "authorizer.class.name" String "", Any, ReadOnly Accepted Shown,
        "Name of the authorizer; empty for none, Kafka's standard one by its class name.";
    "auto.create.topics.enable" Boolean "true", Any, ReadOnly Honoured Shown,
        "Whether asking for an unknown topic creates it.";
    "auto.leader.rebalance.enable" Boolean "true", Any, ReadOnly Honoured Shown,
        "Whether leadership is moved back to preferred replicas.";
    "background.threads" Int "10", AtLeast(1), ClusterWide Accepted Shown,
        "Threads for background work; here tasks, not threads.";
    "broker.heartbeat.interval.ms" Int "2000", Any, ReadOnly Honoured Shown,
        "Time between two heartbeats of a broker to the controller.";
    "broker.id" Int "-1", Any, ReadOnly Honoured Shown,
        "Old name of node.id.";
    "broker.rack" String null, Any, ReadOnly Honoured Shown,
        "Rack of the broker, for replica placement and closest-replica fetching.";
    "broker.session.timeout.ms" Int "9000", Any, ReadOnly Honoured Shown,
        "Time without heartbeat after which the controller fences a broker.";
    "client.quota.callback.class" Class null, Any, ReadOnly Accepted Shown,
        "A Java class that computes client quotas.";
    "compression.gzip.level" Int "-1", GzipLevel, ClusterWide Honoured Shown,
        "Level when the broker compresses with gzip.";
    "compression.lz4.level" Int "9", Between(1, 17), ClusterWide Accepted Shown,
        "Level when the broker compresses with lz4.";
    "compression.type" String "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), ClusterWide Honoured Shown,
        "Codec in which batches are stored; producer keeps what came.";
    "compression.zstd.level" Int "3", Between(-131_072, 22), ClusterWide Honoured Shown,
        "Level when the broker compresses with zstd.";
    "config.providers" List "", Any, ClusterWide Accepted Shown,
        "Java classes that supply configuration values.";
    "connection.failed.authentication.delay.ms" Int "100", AtLeast(0), ReadOnly Accepted Shown,
        "Time a connection stays open after failed authentication, before it is closed.";
    "connections.max.idle.ms" Long "600000", Any, ReadOnly Honoured Shown,
        "Idle time after which a connection is closed.";
    "connections.max.reauth.ms" Long "0", Any, ReadOnly Accepted Shown,
        "Longest life of an authenticated session before it must authenticate again; 0 for no limit.";
    "controlled.shutdown.enable" Boolean "true", Any, ReadOnly Honoured Shown,
        "Whether a stopping broker first hands over its leaderships.";
    "controller.listener.names" List required, Any, ReadOnly Honoured Shown,
        "Names of the listeners that controllers use.";
    "controller.performance.always.log.threshold.ms" Long "2000", AtLeast(0), ReadOnly Accepted Hidden,
        "Controller events slower than this are always logged.";
    "controller.performance.sample.period.ms" Long "60000", AtLeast(100), ReadOnly Accepted Hidden,
        "How often the controller logs how it performs.";
    "controller.quorum.append.linger.ms" Int "25", AtLeast(0), ReadOnly Accepted Shown,
        "Time the leader of the metadata quorum gathers records before it writes them.";
    "controller.quorum.auto.join.enable" Boolean "false", Any, ReadOnly Honoured Shown,
        "Whether a new controller adds itself to the voters.";
    "controller.quorum.bootstrap.servers" List "", Any, ReadOnly Honoured Shown,
        "Where to look for the metadata quorum, as host:port.";
    "controller.quorum.election.backoff.max.ms" Int "1000", AtLeast(0), ReadOnly Honoured Shown,
        "Longest random pause after a lost election.";
    "controller.quorum.election.timeout.ms" Int "1000", AtLeast(0), ReadOnly Honoured Shown,
        "Time without a decision after which an election is tried again.";
    "controller.quorum.fetch.max.bytes" Int "1048576", AtLeast(1), ReadOnly Honoured Shown,
        "Most bytes of metadata records asked for in one fetch.";
    "controller.quorum.fetch.snapshot.max.bytes" Int "1048576", AtLeast(1), ReadOnly Honoured Shown,
        "Most bytes of a metadata snapshot asked for in one fetch.";
    "controller.quorum.fetch.timeout.ms" Int "2000", AtLeast(0), ReadOnly Honoured Shown,
        "Time without a successful fetch after which a voter stands for election.";
    "controller.quorum.request.timeout.ms" Int "2000", AtLeast(0), ReadOnly Honoured Shown,
        "Time a quorum member waits for an answer.";
    "controller.quorum.retry.backoff.ms" Int "20", AtLeast(0), ReadOnly Honoured Shown,
        "Pause before a failed quorum request is sent again.";
    "controller.quorum.voters" List "", Any, ReadOnly Honoured Shown,
        "The voters of a static quorum, as id@host:port.";
    "controller.quota.window.num" Int "11", AtLeast(1), ReadOnly Accepted Shown,
        "Samples kept for controller mutation quotas.";
    "controller.quota.window.size.seconds" Int "1", AtLeast(1), ReadOnly Accepted Shown,
        "Length of one such sample.";
    "controller.socket.timeout.ms" Int "30000", Any, ReadOnly Honoured Shown,
        "Time a broker waits for an answer of the controller.";
    "cordoned.log.dirs" List "", Any, PerBroker Accepted Shown,
        "Log directories that get no new partitions.";
    "create.topic.policy.class.name" Class null, Any, ReadOnly Accepted Shown,
        "A Java class that judges topic creations.";
    "default.replication.factor" Int "1", Any, ReadOnly Honoured Shown,
        "Replicas of a topic that is created without saying how many.";
    "delete.records.purgatory.purge.interval.requests" Int "1", Any, ReadOnly Accepted Shown,
        "How often finished waiting deletions are swept; none linger here.";
    "delete.topic.enable" Boolean "true", Any, ReadOnly Honoured Shown,
        "Whether topics may be deleted.";
    "early.start.listeners" List null, Any, ReadOnly Accepted Shown,
        "Listeners that open before the authorizer is ready; the controller's when not set.";
    "fetch.max.bytes" Int "57671680", AtLeast(1024), ReadOnly Honoured Shown,
        "Most bytes answered to one fetch.";
    "fetch.purgatory.purge.interval.requests" Int "1000", Any, ReadOnly Accepted Shown,
        "How often finished waiting fetches are swept; none linger here.";
    "group.consumer.assignment.interval.ms" Int "1000", AtLeast(0), ClusterWide Accepted Shown,
        "Shortest time between two assignments of a consumer group.";
    "group.consumer.assignors" List "uniform,range", Any, ReadOnly Accepted Shown,
        "Server-side assignors; the first is the default.";
    "group.consumer.heartbeat.interval.ms" Int "5000", AtLeast(1), ReadOnly Accepted Shown,
        "Heartbeat interval given to members of consumer groups.";
    "group.consumer.max.assignment.interval.ms" Int "15000", AtLeast(0), ReadOnly Accepted Shown,
        "Largest assignment interval a group may configure.";
    "group.consumer.max.heartbeat.interval.ms" Int "15000", AtLeast(1), ReadOnly Accepted Shown,
        "Largest heartbeat interval a group may configure.";
    "group.consumer.max.session.timeout.ms" Int "60000", AtLeast(1), ReadOnly Accepted Shown,
        "Largest session timeout a group may configure.";
    "group.consumer.max.size" Int "2147483647", AtLeast(1), ReadOnly Accepted Shown,
        "Most members of one consumer group.";
    "group.consumer.migration.policy" String "bidirectional", OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]), ReadOnly Accepted Shown,
        "Whether groups may change between the classic and the consumer protocol.";
    "group.consumer.min.assignment.interval.ms" Int "0", AtLeast(0), ReadOnly Accepted Shown,
        "Smallest assignment interval a group may configure.";
    "group.consumer.min.heartbeat.interval.ms" Int "5000", AtLeast(1), ReadOnly Accepted Shown,
        "Smallest heartbeat interval a group may configure.";
    "group.consumer.min.session.timeout.ms" Int "45000", AtLeast(1), ReadOnly Accepted Shown,
        "Smallest session timeout a group may configure.";
    "group.consumer.regex.refresh.interval.ms" Int "600000", AtLeast(10_000), ReadOnly Accepted Hidden,
        "How often subscriptions by pattern are resolved anew.";
    "group.consumer.session.timeout.ms" Int "45000", AtLeast(1), ReadOnly Accepted Shown,
        "Time without heartbeat after which a member of a consumer group is removed.";
    "group.coordinator.append.linger.ms" Int "-1", AtLeast(-1), ReadOnly Accepted Shown,
        "Time the group coordinator gathers records before it writes them; -1 adapts.";
    "group.coordinator.background.threads" Int "2", AtLeast(1), ReadOnly Accepted Shown,
        "Threads for expensive group work; here tasks, not threads.";
    "group.coordinator.cached.buffer.max.bytes" Int "1048588", AtLeast(524_288), ClusterWide Accepted Shown,
        "Largest write buffer the group coordinator keeps.";
    "group.coordinator.rebalance.protocols" List "classic,consumer,streams", OneOf(&["consumer", "classic", "share", "streams"]), ReadOnly Accepted Shown,
        "Group protocols that are served.";
    "group.coordinator.threads" Int "4", AtLeast(1), ReadOnly Accepted Shown,
        "Threads of the group coordinator; here tasks, not threads.";
    "group.initial.rebalance.delay.ms" Int "3000", Any, ReadOnly Honoured Shown,
        "Time the first rebalance of an empty classic group waits for more members.";
    "group.max.session.timeout.ms" Int "1800000", Any, ReadOnly Honoured Shown,
        "Largest session timeout a classic member may ask for.";
    "group.max.size" Int "2147483647", AtLeast(1), ReadOnly Honoured Shown,
        "Most members of one classic group.";
    "group.min.session.timeout.ms" Int "6000", Any, ReadOnly Honoured Shown,
        "Smallest session timeout a classic member may ask for.";
    "initial.broker.registration.timeout.ms" Int "60000", Any, ReadOnly Honoured Shown,
        "Time a starting broker tries to register before it gives up.";
    "inter.broker.listener.name" String null, Any, ReadOnly Honoured Shown,
        "Listener that brokers use among each other.";
    "internal.metadata.delete.delay.millis" Long "60000", Any, ReadOnly Accepted Hidden,
        "Time before a deleted metadata segment is removed.";
    "internal.metadata.log.segment.bytes" Int null, Any, ReadOnly Accepted Hidden,
        "Segment size of the metadata log below the usual minimum, for tests.";
    "internal.metadata.max.batch.size.in.bytes" Int "8388608", Any, ReadOnly Accepted Hidden,
        "Largest batch of the metadata log.";
    "kafka.metrics.polling.interval.secs" Int "10", AtLeast(1), ReadOnly Accepted Shown,
        "How often Java metric reporters poll.";
    "kafka.metrics.reporters" List "", Any, ReadOnly Accepted Shown,
        "Java classes that report metrics.";
    "leader.imbalance.check.interval.seconds" Long "300", AtLeast(1), ReadOnly Honoured Shown,
        "How often the controller looks for leaderships to move back.";
    "listener.security.protocol.map" String "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Any, PerBroker Honoured Shown,
        "Security protocol of each listener name.";
    "listeners" List "PLAINTEXT://:9092", Any, PerBroker Honoured Shown,
        "Where this node listens, as name://host:port.";
    "log.cleaner.backoff.ms" Long "15000", AtLeast(0), ClusterWide Accepted Shown,
        "Pause of the cleaner when nothing is to be cleaned.";
    "log.cleaner.dedupe.buffer.size" Long "134217728", Any, ClusterWide Accepted Shown,
        "Memory of all cleaners together for the keys of the logs they clean.";
    "log.cleaner.delete.retention.ms" Long "86400000", AtLeast(0), ClusterWide Accepted Shown,
        "Time a tombstone of a compacted topic can still be read.";
    "log.cleaner.enable" Boolean "true", Any, ReadOnly Accepted Shown,
        "Whether compacted logs are cleaned.";
    "log.cleaner.io.buffer.load.factor" Double "0.9", Any, ClusterWide Accepted Shown,
        "How full the cleaner's key table may get.";
    "log.cleaner.io.buffer.size" Int "524288", AtLeast(0), ClusterWide Accepted Shown,
        "Memory of all cleaners together for reading and writing.";
    "log.cleaner.io.max.bytes.per.second" Double "1.7976931348623157E308", Any, ClusterWide Accepted Shown,
        "Most bytes cleaners read and write in a second.";
    "log.cleaner.max.compaction.lag.ms" Long "9223372036854775807", AtLeast(1), ClusterWide Accepted Shown,
        "Longest time a record stays uncompacted.";
    "log.cleaner.min.cleanable.ratio" Double "0.5", Share(0.0, 1.0), ClusterWide Accepted Shown,
        "Share of a log that must be dirty before it is cleaned.";
    "log.cleaner.min.compaction.lag.ms" Long "0", AtLeast(0), ClusterWide Accepted Shown,
        "Shortest time a record stays uncompacted.";
    "log.cleaner.threads" Int "1", AtLeast(0), ClusterWide Accepted Shown,
        "Logs cleaned at the same time.";
    "log.cleanup.policy" List "delete", OneOf(&["compact", "delete"]), ClusterWide Honoured Shown,
        "What becomes of old segments: delete, compact or both.";
    "log.dir" List "/tmp/kafka-logs", Any, ReadOnly Honoured Shown,
        "Log directories, when log.dirs is not set.";
    "log.dir.failure.timeout.ms" Long "30000", AtLeast(1), ReadOnly Accepted Shown,
        "Time to tell the controller of a failed log directory before the broker stops.";
    "log.dirs" List null, Any, ReadOnly Honoured Shown,
        "Log directories.";
    "log.flush.interval.messages" Long "9223372036854775807", AtLeast(1), ClusterWide Honoured Shown,
        "Records after which a log is flushed.";
    "log.flush.interval.ms" Long null, Any, ClusterWide Honoured Shown,
        "Time after which a log is flushed; that of the scheduler when not set.";
    "log.flush.offset.checkpoint.interval.ms" Int "60000", AtLeast(0), ReadOnly Honoured Shown,
        "How often recovery points are written.";
    "log.flush.scheduler.interval.ms" Long "9223372036854775807", Any, ReadOnly Honoured Shown,
        "How often logs are looked at for flushing.";
    "log.flush.start.offset.checkpoint.interval.ms" Int "60000", AtLeast(0), ReadOnly Honoured Shown,
        "How often log start offsets are written.";
    "log.index.interval.bytes" Int "4096", AtLeast(0), ClusterWide Honoured Shown,
        "Bytes of a log between two entries of its index.";
    "log.index.size.max.bytes" Int "10485760", AtLeast(4), ClusterWide Honoured Shown,
        "Largest offset or time index.";
    "log.initial.task.delay.ms" Long "30000", AtLeast(0), ReadOnly Accepted Hidden,
        "Time after start before retention, flushing and cleaning begin.";
    "log.local.retention.bytes" Long "-2", AtLeast(-2), ClusterWide Accepted Shown,
        "Bytes kept locally of a partition in remote storage.";
    "log.local.retention.ms" Long "-2", AtLeast(-2), ClusterWide Accepted Shown,
        "Time kept locally of a partition in remote storage.";
    "log.message.timestamp.after.max.ms" Long "3600000", AtLeast(0), ClusterWide Honoured Shown,
        "How far a record's time may be after the broker's.";
    "log.message.timestamp.before.max.ms" Long "9223372036854775807", AtLeast(0), ClusterWide Honoured Shown,
        "How far a record's time may be before the broker's.";
    "log.message.timestamp.type" String "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), ClusterWide Honoured Shown,
        "Whether records keep their producer's time or get the time of their append.";
    "log.preallocate" Boolean "false", Any, ClusterWide Honoured Shown,
        "Whether a segment takes its whole size when it is created.";
    "log.retention.bytes" Long "-1", Any, ClusterWide Honoured Shown,
        "Size of a partition above which old segments are deleted; -1 for no limit.";
    "log.retention.check.interval.ms" Long "300000", AtLeast(1), ReadOnly Honoured Shown,
        "How often logs are looked at for retention.";
    "log.retention.hours" Int "168", Any, ReadOnly Honoured Shown,
        "Age after which segments are deleted, in hours.";
    "log.retention.minutes" Int null, Any, ReadOnly Honoured Shown,
        "The same in minutes, before hours.";
    "log.retention.ms" Long null, Any, ClusterWide Honoured Shown,
        "The same in milliseconds, before minutes; -1 for no limit.";
    "log.roll.hours" Int "168", AtLeast(1), ReadOnly Honoured Shown,
        "Age after which a new segment is begun, in hours.";
    "log.roll.jitter.hours" Int "0", AtLeast(0), ReadOnly Honoured Shown,
        "Most hours taken off that age at random.";
    "log.roll.jitter.ms" Long null, Any, ClusterWide Honoured Shown,
        "The same in milliseconds, before hours.";
    "log.roll.ms" Long null, Any, ClusterWide Honoured Shown,
        "Age after which a new segment is begun, in milliseconds, before hours.";
    "log.segment.bytes" Int "1073741824", AtLeast(1_048_576), ClusterWide Honoured Shown,
        "Size after which a new segment is begun.";
    "log.segment.delete.delay.ms" Long "60000", AtLeast(0), ClusterWide Honoured Shown,
        "Time between the end of a segment and the removal of its files.";
    "max.connection.creation.rate" Int "2147483647", AtLeast(0), ClusterWide Accepted Shown,
        "Most connections accepted in a second.";
    "max.connections" Int "2147483647", AtLeast(0), ClusterWide Honoured Shown,
        "Most connections of the broker.";
    "max.connections.per.ip" Int "2147483647", AtLeast(0), ClusterWide Honoured Shown,
        "Most connections from one address.";
    "max.connections.per.ip.overrides" String "", Any, ClusterWide Honoured Shown,
        "Other limits for some addresses, as host:count.";
    "max.decompressed.message.bytes" Int "2147483639", AtLeast(0), ClusterWide Honoured Shown,
        "Most bytes a compressed batch may take when decompressed.";
    "max.incremental.fetch.session.cache.slots" Int "1000", AtLeast(0), ReadOnly Honoured Shown,
        "Most fetch sessions kept.";
    "max.request.partition.size.limit" Int "2000", AtLeast(1), ReadOnly Honoured Shown,
        "Most partitions described in one answer.";
    "message.max.bytes" Int "1048588", AtLeast(0), ClusterWide Honoured Shown,
        "Largest batch accepted.";
    "metadata.log.dir" String null, Any, ReadOnly Honoured Shown,
        "Directory of the metadata log; the first log directory when not set.";
    "metadata.log.max.record.bytes.between.snapshots" Long "20971520", AtLeast(1), ReadOnly Honoured Shown,
        "Bytes of metadata records after which a snapshot is made.";
    "metadata.log.max.snapshot.interval.ms" Long "3600000", AtLeast(0), ReadOnly Honoured Shown,
        "Time after which a snapshot is made; 0 for never.";
    "metadata.log.segment.bytes" Int "1073741824", AtLeast(8_388_608), ReadOnly Honoured Shown,
        "Segment size of the metadata log.";
    "metadata.log.segment.ms" Long "604800000", Any, ReadOnly Honoured Shown,
        "Age after which the metadata log begins a new segment.";
    "metadata.max.idle.interval.ms" Int "500", AtLeast(0), ReadOnly Honoured Shown,
        "How often the active controller writes a record when there is nothing to write; 0 for never.";
    "metadata.max.retention.bytes" Long "104857600", Any, ReadOnly Accepted Shown,
        "Size of metadata log and snapshots above which old ones are deleted.";
    "metadata.max.retention.ms" Long "604800000", Any, ReadOnly Accepted Shown,
        "Age after which metadata segments and snapshots are deleted.";
    "metric.reporters" List "org.apache.kafka.common.metrics.JmxReporter", Any, ClusterWide Accepted Shown,
        "Java classes that report metrics.";
    "metrics.num.samples" Int "2", AtLeast(1), ReadOnly Accepted Shown,
        "Samples kept for a metric.";
    "metrics.recording.level" String "INFO", Any, ReadOnly Accepted Shown,
        "How detailed metrics are.";
    "metrics.sample.window.ms" Long "30000", AtLeast(1), ReadOnly Accepted Shown,
        "Length of one such sample.";
    "min.insync.replicas" Int "1", AtLeast(1), ClusterWide Honoured Shown,
        "In-sync replicas that must have a record before a producer asking for all is answered.";
    "node.id" Int required, AtLeast(0), ReadOnly Honoured Shown,
        "Number of this node in the cluster.";
    "num.io.threads" Int "8", AtLeast(1), ClusterWide Accepted Shown,
        "Threads that handle requests; here tasks, not threads.";
    "num.network.threads" Int "3", AtLeast(1), ClusterWide Accepted Shown,
        "Threads that read and write sockets; here tasks, not threads.";
    "num.partitions" Int "1", AtLeast(1), ReadOnly Honoured Shown,
        "Partitions of a topic that is created without saying how many.";
    "num.recovery.threads.per.data.dir" Int "2", AtLeast(1), ClusterWide Honoured Shown,
        "Logs loaded and recovered at the same time in each log directory.";
    "num.replica.alter.log.dirs.threads" Int null, Any, ReadOnly Accepted Shown,
        "Threads that move replicas between log directories.";
    "num.replica.fetchers" Int "1", AtLeast(1), ClusterWide Honoured Shown,
        "Fetchers to each broker that is followed.";
    "offset.metadata.max.bytes" Int "4096", Any, ReadOnly Honoured Shown,
        "Longest metadata text of a committed offset.";
    "offsets.commit.timeout.ms" Int "5000", AtLeast(1), ReadOnly Honoured Shown,
        "Time a commit waits to be replicated.";
    "offsets.load.buffer.size" Int "5242880", AtLeast(1), ReadOnly Honoured Shown,
        "Bytes read at a time when offsets are loaded.";
    "offsets.retention.check.interval.ms" Long "600000", AtLeast(1), ReadOnly Honoured Shown,
        "How often expired offsets are looked for.";
    "offsets.retention.minutes" Int "10080", AtLeast(1), ReadOnly Honoured Shown,
        "Time the offsets of an empty group are kept.";
    "offsets.topic.compression.codec" Int "0", Between(0, 4), ReadOnly Honoured Shown,
        "Codec of the offsets topic, by number.";
    "offsets.topic.num.partitions" Int "50", AtLeast(1), ReadOnly Honoured Shown,
        "Partitions of the offsets topic.";
    "offsets.topic.replication.factor" Short "3", AtLeast(1), ReadOnly Honoured Shown,
        "Replicas of the offsets topic.";
    "offsets.topic.segment.bytes" Int "104857600", AtLeast(1), ReadOnly Honoured Shown,
        "Segment size of the offsets topic.";
    "principal.builder.class" Class "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", Any, PerBroker Accepted Shown,
        "A Java class that names who is behind a connection.";
    "process.roles" List required, OneOf(&["broker", "controller"]), ReadOnly Honoured Shown,
        "Whether this node is a broker, a controller or both.";
    "producer.id.expiration.check.interval.ms" Int "600000", AtLeast(1), ReadOnly Honoured Hidden,
        "How often idle producers are looked for.";
    "producer.id.expiration.ms" Int "86400000", AtLeast(1), ClusterWide Honoured Shown,
        "Time after which a partition forgets an idle producer.";
    "producer.purgatory.purge.interval.requests" Int "1000", Any, ReadOnly Accepted Shown,
        "How often finished waiting produces are swept; none linger here.";
    "queued.max.request.bytes" Long "-1", Any, ReadOnly Honoured Shown,
        "Most bytes of requests waiting; -1 for no limit.";
    "queued.max.requests" Int "500", AtLeast(1), ReadOnly Accepted Shown,
        "Most requests waiting.";
    "quota.window.num" Int "11", AtLeast(1), ReadOnly Accepted Shown,
        "Samples kept for client quotas.";
    "quota.window.size.seconds" Int "1", AtLeast(1), ReadOnly Accepted Shown,
        "Length of one such sample.";
    "replica.fetch.backoff.ms" Int "1000", AtLeast(0), ReadOnly Honoured Shown,
        "Pause of a follower after a failed fetch.";
    "replica.fetch.max.bytes" Int "1048576", AtLeast(0), ReadOnly Honoured Shown,
        "Most bytes a follower asks for of one partition.";
    "replica.fetch.min.bytes" Int "1", Any, ReadOnly Honoured Shown,
        "Fewest bytes a follower waits for.";
    "replica.fetch.response.max.bytes" Int "10485760", AtLeast(0), ReadOnly Honoured Shown,
        "Most bytes a follower asks for in one fetch.";
    "replica.fetch.wait.max.ms" Int "500", Any, ReadOnly Honoured Shown,
        "Longest time a follower's fetch waits.";
    "replica.high.watermark.checkpoint.interval.ms" Long "5000", Any, ReadOnly Honoured Shown,
        "How often high watermarks are written.";
    "replica.lag.time.max.ms" Long "30000", Any, ReadOnly Honoured Shown,
        "Time a follower may be behind before it leaves the in-sync replicas.";
    "replica.selector.class" String null, Any, ReadOnly Honoured Shown,
        "Name of the replica selector; Kafka's rack-aware one by its class name.";
    "replica.socket.receive.buffer.bytes" Int "65536", Any, ReadOnly Accepted Shown,
        "Receive buffer of connections to leaders.";
    "replica.socket.timeout.ms" Int "30000", Any, ReadOnly Honoured Shown,
        "Time a follower waits for an answer of a leader.";
    "replication.quota.window.num" Int "11", AtLeast(1), ReadOnly Accepted Shown,
        "Samples kept for replication quotas.";
    "replication.quota.window.size.seconds" Int "1", AtLeast(1), ReadOnly Accepted Shown,
        "Length of one such sample.";
    "request.timeout.ms" Int "30000", Any, ReadOnly Accepted Shown,
        "Time to wait for the answer to a request.";
    "server.max.startup.time.ms" Long "9223372036854775807", AtLeast(0), ReadOnly Accepted Hidden,
        "Time a node may take to start.";
    "socket.connection.setup.timeout.max.ms" Long "30000", Any, ReadOnly Accepted Shown,
        "Longest time to set up a connection to another node, after failures.";
    "socket.connection.setup.timeout.ms" Long "10000", Any, ReadOnly Honoured Shown,
        "Time to set up a connection to another node.";
    "socket.listen.backlog.size" Int "50", AtLeast(1), ReadOnly Accepted Shown,
        "Connections that may wait to be accepted.";
    "socket.receive.buffer.bytes" Int "102400", Any, ReadOnly Accepted Shown,
        "Receive buffer of accepted sockets; -1 for the system's.";
    "socket.request.max.bytes" Int "104857600", AtLeast(1), ReadOnly Honoured Shown,
        "Largest request.";
    "socket.send.buffer.bytes" Int "102400", Any, ReadOnly Accepted Shown,
        "Send buffer of accepted sockets; -1 for the system's.";
    "super.users" String null, Any, ReadOnly Accepted Shown,
        "Principals that may do anything, separated by semicolons.";
    "telemetry.max.bytes" Int "1048576", AtLeast(1), ReadOnly Accepted Shown,
        "Largest telemetry a client may push.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms" Int "10000", AtLeast(1), ReadOnly Accepted Shown,
        "How often transactions past their timeout are aborted.";
    "transaction.max.timeout.ms" Int "900000", AtLeast(1), ReadOnly Accepted Shown,
        "Longest transaction timeout a producer may ask for.";
    "transaction.partition.verification.enable" Boolean "true", Any, ClusterWide Accepted Shown,
        "Whether a leader asks the coordinator before the first write of a transaction.";
    "transaction.remove.expired.transaction.cleanup.interval.ms" Int "3600000", AtLeast(1), ReadOnly Accepted Shown,
        "How often expired transactional ids are looked for.";
    "transaction.state.log.load.buffer.size" Int "5242880", AtLeast(1), ReadOnly Accepted Shown,
        "Bytes read at a time when transactions are loaded.";
    "transaction.state.log.min.isr" Int "2", AtLeast(1), ReadOnly Accepted Shown,
        "In-sync replicas a write to the transaction topic needs.";
    "transaction.state.log.num.partitions" Int "50", AtLeast(1), ReadOnly Accepted Shown,
        "Partitions of the transaction topic.";
    "transaction.state.log.replication.factor" Short "3", AtLeast(1), ReadOnly Accepted Shown,
        "Replicas of the transaction topic.";
    "transaction.state.log.segment.bytes" Int "104857600", AtLeast(1), ReadOnly Accepted Shown,
        "Segment size of the transaction topic.";
    "transaction.two.phase.commit.enable" Boolean "false", Any, ReadOnly Accepted Shown,
        "Whether producers may take part in an external two-phase commit.";
    "transactional.id.expiration.ms" Int "604800000", AtLeast(1), ReadOnly Accepted Shown,
        "Time after which an unused transactional id is forgotten.";
    "unclean.leader.election.enable" Boolean "false", Any, ClusterWide Honoured Shown,
        "Whether a replica that is not in sync may lead when no other can.";
    "unclean.leader.election.interval.ms" Long "300000", AtLeast(1), ReadOnly Accepted Hidden,
        "How often the controller looks for partitions to elect uncleanly.";
    "unstable.api.versions.enable" Boolean "false", Any, ReadOnly Accepted Hidden,
        "Whether API versions still in work are offered.";
    "unstable.feature.versions.enable" Boolean "false", Any, ReadOnly Accepted Hidden,
        "Whether feature levels still in work are offered.";
}
