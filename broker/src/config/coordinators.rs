//! The settings of a node that its coordinators read. Each field says its key.

use std::time::Duration;

use super::group::GroupConfig;
use super::settings::Settings;

/// Which groups may change between the classic and the consumer protocol. Source: KIP-848.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// None.
    Disabled,
    /// From classic to consumer.
    Upgrade,
    /// From consumer to classic.
    Downgrade,
    /// Both ways.
    Bidirectional,
}

/// Group protocols that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set of four")]
pub struct RebalanceProtocols {
    /// `JoinGroup` and `SyncGroup`.
    pub classic: bool,
    /// KIP-848.
    pub consumer: bool,
    /// KIP-932.
    pub share: bool,
    /// KIP-1071.
    pub streams: bool,
}

/// The group coordinator.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupCoordinatorConfig {
    /// `group.coordinator.rebalance.protocols`
    pub protocols: RebalanceProtocols,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`
    pub classic_min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`
    pub classic_max_session_timeout: Duration,
    /// `group.max.size`
    pub classic_max_size: usize,
    /// `group.consumer.assignors`: names, the default first.
    pub consumer_assignors: Vec<String>,
    /// `group.consumer.max.size`
    pub consumer_max_size: usize,
    /// `group.consumer.migration.policy`
    pub migration_policy: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`
    pub regex_refresh_interval: Duration,
    /// What a consumer group has when it sets nothing.
    pub consumer_defaults: GroupConfig,
}

impl GroupCoordinatorConfig {
    pub(super) fn read(settings: &Settings) -> Self {
        let protocols = settings.list("group.coordinator.rebalance.protocols");
        let serves =
            |name: &str| protocols.iter().any(|protocol| protocol.eq_ignore_ascii_case(name));
        Self {
            protocols: RebalanceProtocols {
                classic: serves("classic"),
                consumer: serves("consumer"),
                share: serves("share"),
                streams: serves("streams"),
            },
            initial_rebalance_delay: settings.millis("group.initial.rebalance.delay.ms"),
            classic_min_session_timeout: settings.millis("group.min.session.timeout.ms"),
            classic_max_session_timeout: settings.millis("group.max.session.timeout.ms"),
            classic_max_size: settings.size("group.max.size"),
            consumer_assignors: settings.list("group.consumer.assignors").to_vec(),
            consumer_max_size: settings.size("group.consumer.max.size"),
            migration_policy: match settings
                .text("group.consumer.migration.policy")
                .to_lowercase()
                .as_str()
            {
                "disabled" => MigrationPolicy::Disabled,
                "upgrade" => MigrationPolicy::Upgrade,
                "downgrade" => MigrationPolicy::Downgrade,
                _ => MigrationPolicy::Bidirectional,
            },
            regex_refresh_interval: settings.millis("group.consumer.regex.refresh.interval.ms"),
            consumer_defaults: GroupConfig::resolve(&std::collections::BTreeMap::new(), settings),
        }
    }
}

/// Committed offsets and their topic.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetsConfig {
    /// `offset.metadata.max.bytes`
    pub metadata_max_bytes: usize,
    /// `offsets.commit.timeout.ms`
    pub commit_timeout: Duration,
    /// `offsets.retention.minutes`
    pub retention: Duration,
    /// `offsets.retention.check.interval.ms`
    pub retention_check_interval: Duration,
    /// `offsets.load.buffer.size`
    pub load_buffer_bytes: usize,
    /// `offsets.topic.num.partitions`
    pub topic_num_partitions: i32,
    /// `offsets.topic.replication.factor`
    pub topic_replication_factor: i32,
    /// `offsets.topic.segment.bytes`
    pub topic_segment_bytes: usize,
    /// `offsets.topic.compression.codec`: the codec's number.
    pub topic_compression_codec: i32,
}

impl OffsetsConfig {
    pub(super) fn read(settings: &Settings) -> Self {
        Self {
            metadata_max_bytes: settings.size("offset.metadata.max.bytes"),
            commit_timeout: settings.millis("offsets.commit.timeout.ms"),
            retention: settings.seconds("offsets.retention.minutes").saturating_mul(60),
            retention_check_interval: settings.millis("offsets.retention.check.interval.ms"),
            load_buffer_bytes: settings.size("offsets.load.buffer.size"),
            topic_num_partitions: settings.int("offsets.topic.num.partitions"),
            topic_replication_factor: settings.int("offsets.topic.replication.factor"),
            topic_segment_bytes: settings.size("offsets.topic.segment.bytes"),
            topic_compression_codec: settings.int("offsets.topic.compression.codec"),
        }
    }
}

/// The transaction coordinator and its topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionConfig {
    /// `transaction.max.timeout.ms`
    pub max_timeout: Duration,
    /// `transactional.id.expiration.ms`
    pub id_expiration: Duration,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub timed_out_check_interval: Duration,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub expired_check_interval: Duration,
    /// `transaction.partition.verification.enable`
    pub is_partition_verification_enabled: bool,
    /// `add.partitions.to.txn.retry.backoff.ms`
    pub add_partitions_retry_backoff: Duration,
    /// `add.partitions.to.txn.retry.backoff.max.ms`
    pub add_partitions_retry_backoff_max: Duration,
    /// `transaction.state.log.load.buffer.size`
    pub load_buffer_bytes: usize,
    /// `transaction.state.log.num.partitions`
    pub topic_num_partitions: i32,
    /// `transaction.state.log.replication.factor`
    pub topic_replication_factor: i32,
    /// `transaction.state.log.min.isr`
    pub topic_min_insync_replicas: i32,
    /// `transaction.state.log.segment.bytes`
    pub topic_segment_bytes: usize,
}

impl TransactionConfig {
    pub(super) fn read(settings: &Settings) -> Self {
        Self {
            max_timeout: settings.millis("transaction.max.timeout.ms"),
            id_expiration: settings.millis("transactional.id.expiration.ms"),
            timed_out_check_interval: settings
                .millis("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
            expired_check_interval: settings
                .millis("transaction.remove.expired.transaction.cleanup.interval.ms"),
            is_partition_verification_enabled: settings
                .boolean("transaction.partition.verification.enable"),
            add_partitions_retry_backoff: settings.millis("add.partitions.to.txn.retry.backoff.ms"),
            add_partitions_retry_backoff_max: settings
                .millis("add.partitions.to.txn.retry.backoff.max.ms"),
            load_buffer_bytes: settings.size("transaction.state.log.load.buffer.size"),
            topic_num_partitions: settings.int("transaction.state.log.num.partitions"),
            topic_replication_factor: settings.int("transaction.state.log.replication.factor"),
            topic_min_insync_replicas: settings.int("transaction.state.log.min.isr"),
            topic_segment_bytes: settings.size("transaction.state.log.segment.bytes"),
        }
    }
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityConfig {
    /// `authorizer.class.name`; `None` when everything is allowed.
    pub authorizer_class: Option<String>,
    /// `super.users`: principals such as `User:admin`.
    pub super_users: Vec<String>,
    /// `allow.everyone.if.no.acl.found`
    pub is_allowed_without_acl: bool,
    /// `sasl.mechanism.inter.broker.protocol`
    pub inter_broker_mechanism: String,
    /// `sasl.mechanism.controller.protocol`
    pub controller_mechanism: String,
    /// `sasl.server.max.receive.size`
    pub sasl_max_receive_bytes: usize,
    /// `quota.window.num`
    pub quota_window_num: usize,
    /// `quota.window.size.seconds`
    pub quota_window: Duration,
}

impl SecurityConfig {
    pub(super) fn read(settings: &Settings) -> Self {
        let super_users = settings.text("super.users").split(';').map(str::trim);
        Self {
            authorizer_class: settings.text_if_set("authorizer.class.name").map(str::to_owned),
            super_users: super_users.filter(|user| !user.is_empty()).map(str::to_owned).collect(),
            is_allowed_without_acl: settings.boolean("allow.everyone.if.no.acl.found"),
            inter_broker_mechanism: settings
                .text("sasl.mechanism.inter.broker.protocol")
                .to_owned(),
            controller_mechanism: settings.text("sasl.mechanism.controller.protocol").to_owned(),
            sasl_max_receive_bytes: settings.size("sasl.server.max.receive.size"),
            quota_window_num: settings.size("quota.window.num"),
            quota_window: settings.seconds("quota.window.size.seconds"),
        }
    }
}
