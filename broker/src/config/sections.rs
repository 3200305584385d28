//! The settings of a node by the part of it that reads them. Each field says its key.

use std::path::PathBuf;
use std::time::Duration;

use super::listener::{HostPort, StaticVoter};
use super::settings::Settings;

/// Sockets, connections and requests.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketConfig {
    /// `socket.request.max.bytes`
    pub request_max_bytes: usize,
    /// `socket.receive.buffer.bytes`; `None` for the system's.
    pub receive_buffer_bytes: Option<u64>,
    /// `socket.send.buffer.bytes`; `None` for the system's.
    pub send_buffer_bytes: Option<u64>,
    /// `socket.listen.backlog.size`
    pub listen_backlog: usize,
    /// `connections.max.idle.ms`
    pub connections_max_idle: Duration,
    /// `connections.max.reauth.ms`; zero for no limit.
    pub connections_max_reauth: Duration,
    /// `connection.failed.authentication.delay.ms`
    pub failed_authentication_delay: Duration,
    /// `max.connections`
    pub max_connections: usize,
    /// `max.connections.per.ip`
    pub max_connections_per_ip: usize,
    /// `max.connections.per.ip.overrides`: host and count.
    pub max_connections_per_ip_overrides: Vec<(String, usize)>,
    /// `max.connection.creation.rate`: connections a second.
    pub max_connection_creation_rate: usize,
    /// `queued.max.requests`
    pub queued_max_requests: usize,
    /// `queued.max.request.bytes`; `None` for no limit.
    pub queued_max_request_bytes: Option<u64>,
    /// `request.timeout.ms`
    pub request_timeout: Duration,
    /// `socket.connection.setup.timeout.ms`
    pub connection_setup_timeout: Duration,
    /// `max.request.partition.size.limit`
    pub max_request_partitions: usize,
}

impl SocketConfig {
    pub(super) fn read(settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            request_max_bytes: settings.size("socket.request.max.bytes"),
            receive_buffer_bytes: settings.limit("socket.receive.buffer.bytes"),
            send_buffer_bytes: settings.limit("socket.send.buffer.bytes"),
            listen_backlog: settings.size("socket.listen.backlog.size"),
            connections_max_idle: settings.millis("connections.max.idle.ms"),
            connections_max_reauth: settings.millis("connections.max.reauth.ms"),
            failed_authentication_delay: settings
                .millis("connection.failed.authentication.delay.ms"),
            max_connections: settings.size("max.connections"),
            max_connections_per_ip: settings.size("max.connections.per.ip"),
            max_connections_per_ip_overrides: per_ip_overrides(
                settings.text("max.connections.per.ip.overrides"),
            )?,
            max_connection_creation_rate: settings.size("max.connection.creation.rate"),
            queued_max_requests: settings.size("queued.max.requests"),
            queued_max_request_bytes: settings
                .limit("queued.max.request.bytes")
                .filter(|bytes| *bytes > 0),
            request_timeout: settings.millis("request.timeout.ms"),
            connection_setup_timeout: settings.millis("socket.connection.setup.timeout.ms"),
            max_request_partitions: settings.size("max.request.partition.size.limit"),
        })
    }
}

fn per_ip_overrides(text: &str) -> Result<Vec<(String, usize)>, String> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let parsed = entries.map(|entry| {
        let (host, count) = entry.rsplit_once(':')?;
        Some((host.to_owned(), count.parse().ok()?))
    });
    let overrides: Option<Vec<_>> = parsed.collect();
    overrides.ok_or_else(|| format!("Invalid entry in max.connections.per.ip.overrides: {text}"))
}

/// The metadata quorum. Source: KIP-595, KIP-853.
#[derive(Clone, Debug, PartialEq)]
pub struct QuorumConfig {
    /// `controller.quorum.voters`: a static quorum; empty for a dynamic one.
    pub voters: Vec<StaticVoter>,
    /// `controller.quorum.bootstrap.servers`
    pub bootstrap_servers: Vec<HostPort>,
    /// `controller.quorum.election.timeout.ms`
    pub election_timeout: Duration,
    /// `controller.quorum.election.backoff.max.ms`
    pub election_backoff_max: Duration,
    /// `controller.quorum.fetch.timeout.ms`
    pub fetch_timeout: Duration,
    /// `controller.quorum.request.timeout.ms`
    pub request_timeout: Duration,
    /// `controller.quorum.retry.backoff.ms`
    pub retry_backoff: Duration,
    /// `controller.quorum.append.linger.ms`
    pub append_linger: Duration,
    /// `controller.quorum.fetch.max.bytes`
    pub fetch_max_bytes: usize,
    /// `controller.quorum.fetch.snapshot.max.bytes`
    pub fetch_snapshot_max_bytes: usize,
    /// `controller.quorum.auto.join.enable`
    pub is_auto_join_enabled: bool,
}

impl QuorumConfig {
    pub(super) fn read(
        settings: &Settings,
        voters: Vec<StaticVoter>,
        bootstrap_servers: Vec<HostPort>,
    ) -> Self {
        Self {
            voters,
            bootstrap_servers,
            election_timeout: settings.millis("controller.quorum.election.timeout.ms"),
            election_backoff_max: settings.millis("controller.quorum.election.backoff.max.ms"),
            fetch_timeout: settings.millis("controller.quorum.fetch.timeout.ms"),
            request_timeout: settings.millis("controller.quorum.request.timeout.ms"),
            retry_backoff: settings.millis("controller.quorum.retry.backoff.ms"),
            append_linger: settings.millis("controller.quorum.append.linger.ms"),
            fetch_max_bytes: settings.size("controller.quorum.fetch.max.bytes"),
            fetch_snapshot_max_bytes: settings.size("controller.quorum.fetch.snapshot.max.bytes"),
            is_auto_join_enabled: settings.boolean("controller.quorum.auto.join.enable"),
        }
    }
}

/// The metadata log and its snapshots.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataLogConfig {
    /// `metadata.log.dir`, or the first of `log.dirs`.
    pub directory: PathBuf,
    /// `metadata.log.segment.bytes`
    pub segment_bytes: usize,
    /// `metadata.log.segment.ms`
    pub segment_age: Duration,
    /// `metadata.log.max.record.bytes.between.snapshots`
    pub max_bytes_between_snapshots: usize,
    /// `metadata.log.max.snapshot.interval.ms`; zero for never.
    pub max_snapshot_interval: Duration,
    /// `metadata.max.retention.bytes`; `None` for no limit.
    pub retention_bytes: Option<u64>,
    /// `metadata.max.retention.ms`; `None` for no limit.
    pub retention: Option<Duration>,
    /// `metadata.max.idle.interval.ms`; zero for never.
    pub max_idle_interval: Duration,
}

impl MetadataLogConfig {
    pub(super) fn read(settings: &Settings, first_log_dir: &str) -> Self {
        let limit = |key: &str| settings.limit(key);
        Self {
            directory: PathBuf::from(
                settings.text_if_set("metadata.log.dir").unwrap_or(first_log_dir),
            ),
            segment_bytes: settings.size("metadata.log.segment.bytes"),
            segment_age: settings.millis("metadata.log.segment.ms"),
            max_bytes_between_snapshots: settings
                .size("metadata.log.max.record.bytes.between.snapshots"),
            max_snapshot_interval: settings.millis("metadata.log.max.snapshot.interval.ms"),
            retention_bytes: limit("metadata.max.retention.bytes"),
            retention: limit("metadata.max.retention.ms").map(Duration::from_millis),
            max_idle_interval: settings.millis("metadata.max.idle.interval.ms"),
        }
    }
}

/// How brokers and the controller find each other alive.
#[derive(Clone, Debug, PartialEq)]
pub struct LifecycleConfig {
    /// `broker.heartbeat.interval.ms`
    pub heartbeat_interval: Duration,
    /// `broker.session.timeout.ms`
    pub session_timeout: Duration,
    /// `initial.broker.registration.timeout.ms`
    pub initial_registration_timeout: Duration,
    /// `controller.socket.timeout.ms`
    pub controller_socket_timeout: Duration,
    /// `controlled.shutdown.enable`
    pub is_controlled_shutdown_enabled: bool,
    /// `server.max.startup.time.ms`
    pub max_startup_time: Duration,
    /// `auto.leader.rebalance.enable`
    pub is_auto_leader_rebalance_enabled: bool,
    /// `leader.imbalance.check.interval.seconds`
    pub leader_imbalance_check_interval: Duration,
    /// `unclean.leader.election.interval.ms`
    pub unclean_leader_election_interval: Duration,
}

impl LifecycleConfig {
    pub(super) fn read(settings: &Settings) -> Self {
        Self {
            heartbeat_interval: settings.millis("broker.heartbeat.interval.ms"),
            session_timeout: settings.millis("broker.session.timeout.ms"),
            initial_registration_timeout: settings.millis("initial.broker.registration.timeout.ms"),
            controller_socket_timeout: settings.millis("controller.socket.timeout.ms"),
            is_controlled_shutdown_enabled: settings.boolean("controlled.shutdown.enable"),
            max_startup_time: settings.millis("server.max.startup.time.ms"),
            is_auto_leader_rebalance_enabled: settings.boolean("auto.leader.rebalance.enable"),
            leader_imbalance_check_interval: settings
                .seconds("leader.imbalance.check.interval.seconds"),
            unclean_leader_election_interval: settings
                .millis("unclean.leader.election.interval.ms"),
        }
    }
}

/// How topics come and go.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicCreationConfig {
    /// `auto.create.topics.enable`
    pub is_auto_create_enabled: bool,
    /// `delete.topic.enable`
    pub is_delete_enabled: bool,
    /// `num.partitions`
    pub num_partitions: i32,
    /// `default.replication.factor`
    pub default_replication_factor: i32,
}

impl TopicCreationConfig {
    pub(super) fn read(settings: &Settings) -> Self {
        Self {
            is_auto_create_enabled: settings.boolean("auto.create.topics.enable"),
            is_delete_enabled: settings.boolean("delete.topic.enable"),
            num_partitions: settings.int("num.partitions"),
            default_replication_factor: settings.int("default.replication.factor"),
        }
    }
}

/// All logs of a node; what each log does is its topic's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct LogManagerConfig {
    /// `num.recovery.threads.per.data.dir`
    pub recovery_parallelism: usize,
    /// `log.retention.check.interval.ms`
    pub retention_check_interval: Duration,
    /// `log.flush.scheduler.interval.ms`
    pub flush_check_interval: Duration,
    /// `log.flush.offset.checkpoint.interval.ms`
    pub recovery_point_checkpoint_interval: Duration,
    /// `log.flush.start.offset.checkpoint.interval.ms`
    pub start_offset_checkpoint_interval: Duration,
    /// `log.initial.task.delay.ms`
    pub initial_task_delay: Duration,
    /// `log.dir.failure.timeout.ms`
    pub directory_failure_timeout: Duration,
    /// `producer.id.expiration.check.interval.ms`
    pub producer_id_expiration_check_interval: Duration,
    /// `cordoned.log.dirs`
    pub cordoned_directories: Vec<String>,
}

impl LogManagerConfig {
    pub(super) fn read(settings: &Settings) -> Self {
        Self {
            recovery_parallelism: settings.size("num.recovery.threads.per.data.dir"),
            retention_check_interval: settings.millis("log.retention.check.interval.ms"),
            flush_check_interval: settings.millis("log.flush.scheduler.interval.ms"),
            recovery_point_checkpoint_interval: settings
                .millis("log.flush.offset.checkpoint.interval.ms"),
            start_offset_checkpoint_interval: settings
                .millis("log.flush.start.offset.checkpoint.interval.ms"),
            initial_task_delay: settings.millis("log.initial.task.delay.ms"),
            directory_failure_timeout: settings.millis("log.dir.failure.timeout.ms"),
            producer_id_expiration_check_interval: settings
                .millis("producer.id.expiration.check.interval.ms"),
            cordoned_directories: settings.list("cordoned.log.dirs").to_vec(),
        }
    }
}

/// Compaction.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`
    pub is_enabled: bool,
    /// `log.cleaner.threads`
    pub parallelism: usize,
    /// `log.cleaner.backoff.ms`
    pub backoff: Duration,
    /// `log.cleaner.dedupe.buffer.size`
    pub dedupe_buffer_bytes: usize,
    /// `log.cleaner.io.buffer.size`
    pub io_buffer_bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`
    pub load_factor: f64,
    /// `log.cleaner.io.max.bytes.per.second`
    pub max_bytes_per_second: f64,
}

impl CleanerConfig {
    pub(super) fn read(settings: &Settings) -> Self {
        Self {
            is_enabled: settings.boolean("log.cleaner.enable"),
            parallelism: settings.size("log.cleaner.threads"),
            backoff: settings.millis("log.cleaner.backoff.ms"),
            dedupe_buffer_bytes: settings.size("log.cleaner.dedupe.buffer.size"),
            io_buffer_bytes: settings.size("log.cleaner.io.buffer.size"),
            load_factor: settings.double("log.cleaner.io.buffer.load.factor"),
            max_bytes_per_second: settings.double("log.cleaner.io.max.bytes.per.second"),
        }
    }
}

/// Followers and in-sync replicas, and fetching.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicationConfig {
    /// `replica.lag.time.max.ms`
    pub lag_time_max: Duration,
    /// `replica.fetch.max.bytes`
    pub fetch_max_bytes: usize,
    /// `replica.fetch.response.max.bytes`
    pub fetch_response_max_bytes: usize,
    /// `replica.fetch.min.bytes`
    pub fetch_min_bytes: usize,
    /// `replica.fetch.wait.max.ms`
    pub fetch_wait_max: Duration,
    /// `replica.fetch.backoff.ms`
    pub fetch_backoff: Duration,
    /// `replica.socket.timeout.ms`
    pub socket_timeout: Duration,
    /// `replica.socket.receive.buffer.bytes`; `None` for the system's.
    pub socket_receive_buffer_bytes: Option<u64>,
    /// `num.replica.fetchers`
    pub fetchers_per_leader: usize,
    /// `replica.high.watermark.checkpoint.interval.ms`
    pub high_watermark_checkpoint_interval: Duration,
    /// `replica.selector.class`
    pub selector_class: Option<String>,
    /// `fetch.max.bytes`
    pub client_fetch_max_bytes: usize,
    /// `max.incremental.fetch.session.cache.slots`
    pub fetch_session_slots: usize,
}

impl ReplicationConfig {
    pub(super) fn read(settings: &Settings) -> Self {
        Self {
            lag_time_max: settings.millis("replica.lag.time.max.ms"),
            fetch_max_bytes: settings.size("replica.fetch.max.bytes"),
            fetch_response_max_bytes: settings.size("replica.fetch.response.max.bytes"),
            fetch_min_bytes: settings.size("replica.fetch.min.bytes"),
            fetch_wait_max: settings.millis("replica.fetch.wait.max.ms"),
            fetch_backoff: settings.millis("replica.fetch.backoff.ms"),
            socket_timeout: settings.millis("replica.socket.timeout.ms"),
            socket_receive_buffer_bytes: settings.limit("replica.socket.receive.buffer.bytes"),
            fetchers_per_leader: settings.size("num.replica.fetchers"),
            high_watermark_checkpoint_interval: settings
                .millis("replica.high.watermark.checkpoint.interval.ms"),
            selector_class: settings.text_if_set("replica.selector.class").map(str::to_owned),
            client_fetch_max_bytes: settings.size("fetch.max.bytes"),
            fetch_session_slots: settings.size("max.incremental.fetch.session.cache.slots"),
        }
    }
}
