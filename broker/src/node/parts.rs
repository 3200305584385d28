//! What a node consists of, apart from the order in which it comes to be.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::controllers::Controllers;
use super::coordinator_writer::CoordinatorWriter;
use super::publisher::OFFSETS_TOPIC;
use super::replication;
use super::topic_settings::TopicSettings;
use crate::api::{ProducerIds, Services, TopicCreation};
use crate::config::NodeConfig;
use crate::controller;
use crate::coordinator::{GroupCoordinator, GroupSettings};
use crate::environment::{Runtime, Stopper};
use crate::log::{LogDirectory, LogManager};
use crate::metadata::MetadataImage;
use crate::model::{ByteCount, ClusterId, TopicName};
use crate::raft;
use crate::record::Compression;
use crate::replication::{FetchSessions, ReplicaManager, SettingsOf as _};
use crate::server::{Admission, Bound, ConnectionLimits, Server};

/// What all that a node does has in common.
pub(super) struct Common<R: Runtime> {
    pub(super) runtime: R,
    pub(super) config: Arc<NodeConfig>,
    pub(super) cluster_id: ClusterId,
    pub(super) image: Arc<ArcSwap<MetadataImage>>,
    pub(super) controller: controller::Handle,
    pub(super) controllers: Controllers<R>,
    pub(super) quorum: raft::Handle<R>,
}

/// What a broker has besides: logs, and what lives on them. A controller's are empty.
pub(super) struct Parts<R: Runtime> {
    pub(super) logs: Arc<LogManager<R>>,
    pub(super) replicas: Arc<ReplicaManager<R>>,
    pub(super) groups: GroupCoordinator<R>,
}

impl<R: Runtime> Clone for Parts<R> {
    fn clone(&self) -> Self {
        Self {
            logs: Arc::clone(&self.logs),
            replicas: Arc::clone(&self.replicas),
            groups: self.groups.clone(),
        }
    }
}

impl<R: Runtime> Parts<R> {
    /// Opens and recovers the logs in `directories`, with the settings that `known` has for them.
    pub(super) async fn open(
        common: &Common<R>,
        directories: Vec<Arc<LogDirectory<R>>>,
        known: &MetadataImage,
    ) -> Self {
        let (runtime, config) = (&common.runtime, &common.config);
        let topic_settings = TopicSettings(Arc::clone(config));
        let known = known.clone();
        let settings_of =
            move |topic: &TopicName| topic_settings.settings_of(&known, topic.as_str());
        let threads = config.logs.recovery_parallelism;
        let logs = LogManager::open(runtime.clone(), directories, threads, settings_of).await;
        let replicas = Arc::new(ReplicaManager::new(
            runtime.clone(),
            replication::options(config),
            Arc::clone(&logs),
            Box::new(TopicSettings(Arc::clone(config))),
        ));
        let topic = TopicName::from(OFFSETS_TOPIC);
        let writer = CoordinatorWriter::new(runtime.clone(), Arc::clone(&replicas), topic);
        let groups = GroupCoordinator::start(runtime.clone(), writer, group_settings(config));
        Self { logs, replicas, groups }
    }
}

impl<R: Runtime> Common<R> {
    /// Serves these listeners from now on. Those of the controller have memory of their own: no flood of records keeps the
    /// quorum's votes out.
    pub(super) fn serve(
        &self,
        parts: &Parts<R>,
        bound: Vec<Bound<R::Listener>>,
        admission: &Admission,
        connections: &Stopper,
    ) {
        let services = Arc::new(Services {
            runtime: self.runtime.clone(),
            node: self.config.node_id,
            cluster_id: self.cluster_id.clone(),
            config: Arc::clone(&self.config),
            image: Arc::clone(&self.image),
            replicas: Arc::clone(&parts.replicas),
            fetch_sessions: FetchSessions::new(self.config.replication.fetch_session_slots),
            controller: self.controller.clone(),
            active_controller: self.controllers.for_broker.clone(),
            forwarding: self.controllers.for_clients.clone(),
            quorum: self.quorum.clone(),
            groups: parts.groups.clone(),
            producer_ids: ProducerIds::default(),
            topic_creation: TopicCreation::default(),
        });
        let server = Arc::new(Server::new(self.runtime.clone(), services, limits(&self.config)));
        for listener in bound {
            let accepting =
                Arc::clone(&server).accept(listener, admission.clone(), connections.stop());
            self.runtime.spawn("listener", accepting);
        }
    }
}

fn group_settings(config: &NodeConfig) -> GroupSettings {
    let millis = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
    let long_millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    GroupSettings {
        partition_count: config.offsets.topic_num_partitions,
        min_session_timeout_ms: millis(config.groups.classic_min_session_timeout),
        max_session_timeout_ms: millis(config.groups.classic_max_session_timeout),
        initial_rebalance_delay_ms: millis(config.groups.initial_rebalance_delay),
        max_size: i32::try_from(config.groups.classic_max_size).unwrap_or(i32::MAX),
        offset_metadata_max: i32::try_from(config.offsets.metadata_max_bytes).unwrap_or(i32::MAX),
        offsets_retention_ms: long_millis(config.offsets.retention),
        retention_check_interval_ms: long_millis(config.offsets.retention_check_interval),
        commit_timeout: config.offsets.commit_timeout,
        load_buffer_bytes: config.offsets.load_buffer_bytes,
        batch_bytes_max: config.topic_defaults.max_message_bytes,
        compression: u8::try_from(config.offsets.topic_compression_codec)
            .ok()
            .and_then(|codec| Compression::from_id(codec).ok())
            .unwrap_or_default(),
        ..GroupSettings::default()
    }
}

fn limits(config: &NodeConfig) -> ConnectionLimits {
    let sockets = &config.sockets;
    let memory = sockets.queued_max_request_bytes.unwrap_or(REQUEST_MEMORY_BYTES);
    ConnectionLimits {
        request_bytes_max: ByteCount(u64::try_from(sockets.request_max_bytes).unwrap_or(u64::MAX)),
        idle_ms_max: i64::try_from(sockets.connections_max_idle.as_millis()).unwrap_or(i64::MAX),
        request_memory_bytes: usize::try_from(memory).unwrap_or(usize::MAX),
    }
}

/// Bytes of requests a node holds at a time when `queued.max.request.bytes` says nothing.
const REQUEST_MEMORY_BYTES: u64 = 512 << 20;
