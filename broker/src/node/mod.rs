//! Putting a node together: the order of start and of stop is the content of this file.
//!
//! Start: log directories, metadata quorum, controller; the metadata log is read to its end; then the logs are opened and
//! recovered, replicas and coordinators follow the image, the broker registers and waits until it is unfenced; only then
//! are connections served. Stop is the reverse; a killed process needs none of it.

mod controllers;
mod coordinator_writer;
mod dynamic_settings;
mod housekeeping;
mod lifecycle;
mod publisher;
mod storage;
mod topic_settings;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future;
use tracing::{error, info, warn};

use crate::api::{ProducerIds, Services, TopicCreation};
use crate::config::{ListenerAddress, NodeConfig};
use crate::controller::{self, QuorumController, Refusal, supported_features};
use crate::coordinator::{GroupCoordinator, GroupSettings};
use crate::environment::{Listener, Runtime, Stop, Stopper, select, timeout};
use crate::log::{DirectoryError, LogManager};
use crate::metadata::{ControllerRegistration, Endpoint, MetadataChanges, MetadataImage};
use crate::model::{BrokerEpoch, ByteCount, ClusterId, TopicName};
use crate::protocol::ListenerRole;
use crate::raft;
use crate::record::Compression;
use crate::replication::{FetchSessions, ReplicaManager, SettingsOf as _};
use crate::server::{Admission, Bound, ConnectionLimits, DRAIN_MAX, Server};
use controllers::Controllers;
use coordinator_writer::CoordinatorWriter;
use dynamic_settings::{DynamicSettings, admission_limits};
use lifecycle::{Departure, Identity, Lifecycle};
use publisher::{Follower, OFFSETS_TOPIC, Publisher};
use storage::Storage;
use topic_settings::TopicSettings;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A log directory is locked, foreign or damaged.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// An unformatted directory that is not empty is not taken over.
    #[error(
        "{} is not empty and was not formatted by Kafka or Ottla (found {found})",
        path.display()
    )]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// Something in it.
        found: String,
    },
    /// The system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A listener could not be opened.
    #[error("cannot listen on {listener}: {source}")]
    Listen {
        /// As configured.
        listener: String,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration asks for what this node cannot be.
    #[error("{0}")]
    Unsupported(String),
    /// The metadata quorum.
    #[error("metadata quorum: {0}")]
    Quorum(#[from] raft::Error),
    /// The metadata log cannot be understood.
    #[error("metadata log: {0}")]
    Metadata(String),
    /// The controller did not let this broker in.
    #[error("the controller refused this broker: {0}")]
    Registration(#[from] Refusal),
}

/// A running node: broker and controller in one.
pub struct Node<R: Runtime> {
    runtime: R,
    addresses: BTreeMap<String, SocketAddr>,
    cluster_id: ClusterId,
    config: Arc<NodeConfig>,
    image: Arc<ArcSwap<MetadataImage>>,
    departure: Departure,
    epoch: BrokerEpoch,
    logs: Arc<LogManager<R>>,
    replicas: Arc<ReplicaManager<R>>,
    groups: GroupCoordinator<R>,
    admissions: [Admission; 2],
    connections: Stopper,
    background: Stopper,
    quorum: raft::Handle<R>,
    quorum_stop: Stopper,
    halt: Stopper,
}

/// How often `flush.ms` is looked at, unless the configuration says more often.
const FLUSH_CHECK_MAX: Duration = Duration::from_millis(500);

/// How often deleted files are removed.
const REMOVAL_CHECK: Duration = Duration::from_secs(1);

/// How long a stop waits for the controller to move leaderships away. What cannot be moved by then waits for this node.
const DEPARTURE_MAX: Duration = Duration::from_secs(30);

/// Bytes of requests a node holds at a time when `queued.max.request.bytes` says nothing.
const REQUEST_MEMORY_BYTES: u64 = 512 << 20;

impl<R: Runtime> Node<R> {
    /// Starts everything; when this returns, clients are served.
    ///
    /// # Errors
    ///
    /// See [`Error`]; nothing is left running then but what ends with the process.
    #[expect(clippy::too_many_lines, reason = "the order of start is the content of this file")]
    pub async fn start(runtime: R, config: NodeConfig) -> Result<Self, Error> {
        let config = Arc::new(config);
        check_supported(&config)?;
        let storage = storage::open(&runtime, &config).await?;
        let admitted = admission_limits(&runtime, &config.sockets).await;
        let admitted = admitted.map_err(Error::Unsupported)?;
        let admissions = [Admission::new(admitted.clone()), Admission::new(admitted)];
        let (bound, addresses) = bind(&runtime, &config).await?;
        let (connections, background, quorum_stop, halt) =
            (Stopper::new(), Stopper::new(), Stopper::new(), Stopper::new());

        let quorum = start_quorum(&runtime, &config, &storage, &addresses, &quorum_stop).await?;
        let settings = controller::Settings {
            cluster_id: storage.cluster_id.clone(),
            config: Arc::clone(&config),
        };
        let controller = QuorumController::start(&runtime, settings, quorum.clone());
        let mut follower =
            Follower::new(runtime.clone(), quorum.clone(), controller.clone(), &config);
        let first = follower
            .catch_up(quorum.high_watermark())
            .await
            .map_err(|error| Error::Metadata(error.to_string()))?;

        let topic_settings = TopicSettings(Arc::clone(&config));
        let known = first.clone();
        let settings_of =
            move |topic: &TopicName| topic_settings.settings_of(&known, topic.as_str());
        let logs = LogManager::open(
            runtime.clone(),
            storage.directories.clone(),
            config.logs.recovery_parallelism,
            settings_of,
        )
        .await;
        let image = Arc::new(ArcSwap::from_pointee(MetadataImage::default()));
        let replicas = Arc::new(ReplicaManager::new(
            config.node_id,
            Arc::clone(&logs),
            Box::new(TopicSettings(Arc::clone(&config))),
        ));
        let writer = CoordinatorWriter::new(
            runtime.clone(),
            Arc::clone(&replicas),
            TopicName::from(OFFSETS_TOPIC),
        );
        let groups = GroupCoordinator::start(runtime.clone(), writer, group_settings(&config));
        let publisher = Publisher {
            node: config.node_id,
            image: Arc::clone(&image),
            replicas: Arc::clone(&replicas),
            groups: groups.clone(),
            dynamic: DynamicSettings::new(runtime.clone(), Arc::clone(&config), admissions.clone()),
        };
        publisher
            .publish(&first, &MetadataChanges::between(&MetadataImage::default(), &first))
            .await;
        replicas.set_strays_aside(&first).await;
        runtime
            .spawn("metadata publisher", publisher.run(follower, background.stop(), halt.clone()));

        let controllers = Controllers::new(&runtime, &config, &quorum, controller.clone());
        let lifecycle = Lifecycle {
            runtime: runtime.clone(),
            controller: controllers.for_lifecycle.clone(),
            image: Arc::clone(&image),
            identity: identity(&runtime, &config, &storage, &logs, &addresses),
            heartbeat_interval: config.lifecycle.heartbeat_interval,
        };
        let limit = config.lifecycle.initial_registration_timeout;
        let own = controller_registration(&config, &lifecycle.identity, &addresses);
        // Side by side: both records are made durable with one sync.
        let controller_registered = lifecycle.register_controller(own, limit);
        let (registered, epoch) =
            future::join(controller_registered, lifecycle.register(limit)).await;
        registered?;
        let epoch = epoch?;
        let epoch = lifecycle.until_unfenced(epoch, limit).await?;
        let departure = Departure::default();
        let beating = lifecycle.run(epoch, departure.clone(), background.stop());
        runtime.spawn("broker heartbeats", beating);
        spawn_housekeeping(&runtime, &config, &logs, &replicas, &background, &halt);

        let services = Arc::new(Services {
            runtime: runtime.clone(),
            node: config.node_id,
            cluster_id: storage.cluster_id.clone(),
            config: Arc::clone(&config),
            image: Arc::clone(&image),
            replicas: Arc::clone(&replicas),
            fetch_sessions: FetchSessions::new(config.replication.fetch_session_slots),
            controller,
            active_controller: controllers.for_broker,
            forwarding: controllers.for_clients,
            quorum: quorum.clone(),
            groups: groups.clone(),
            producer_ids: ProducerIds::default(),
            topic_creation: TopicCreation::default(),
        });
        let server = Arc::new(Server::new(runtime.clone(), services, limits(&config)));
        for listener in bound {
            let [of_broker, of_controller] = &admissions;
            let admission = match listener.role {
                ListenerRole::Broker => of_broker.clone(),
                ListenerRole::Controller => of_controller.clone(),
            };
            let accepting = Arc::clone(&server).accept(listener, admission, connections.stop());
            runtime.spawn("listener", accepting);
        }
        let cluster_id = storage.cluster_id;
        info!(node = %config.node_id, %cluster_id, %epoch, "started");
        Ok(Self {
            runtime,
            addresses,
            cluster_id,
            config,
            image,
            departure,
            epoch,
            logs,
            replicas,
            groups,
            admissions,
            connections,
            background,
            quorum,
            quorum_stop,
            halt,
        })
    }

    /// Where each listener is bound, by name.
    #[must_use]
    pub const fn addresses(&self) -> &BTreeMap<String, SocketAddr> {
        &self.addresses
    }

    /// The cluster this node belongs to.
    #[must_use]
    pub const fn cluster_id(&self) -> &ClusterId {
        &self.cluster_id
    }

    /// The partitions that have a replica here.
    #[must_use]
    pub const fn replicas(&self) -> &Arc<ReplicaManager<R>> {
        &self.replicas
    }

    /// Ends when the node cannot go on: its disks or its metadata log are gone.
    pub async fn halted(&self) {
        self.halt.stop().stopped().await;
    }

    /// Stops in good order, so that the next start can trust what it finds.
    pub async fn shutdown(self) {
        self.depart().await;
        self.connections.pull();
        for admission in &self.admissions {
            // Each connection ends by itself in that time; one that does not has no say over the stop.
            let _ = timeout(&self.runtime, DRAIN_MAX, admission.emptied()).await;
        }
        self.groups.shutdown().await;
        self.background.pull();
        // It may have registered again since the start.
        let registered =
            self.image.load().cluster().broker(self.config.node_id).map(|own| own.epoch);
        self.logs.shutdown(Some(registered.unwrap_or(self.epoch))).await;
        self.quorum_stop.pull();
        self.quorum.ended().await;
        info!("stopped");
    }
}

impl<R: Runtime> Node<R> {
    /// Has the controller move leaderships elsewhere, while everything still runs. Nothing to do when there is no elsewhere.
    async fn depart(&self) {
        let image = self.image.load_full();
        let own = self.config.node_id;
        let is_alone = !image.cluster().brokers().any(|other| other.id != own && other.is_active());
        if is_alone || !self.config.lifecycle.is_controlled_shutdown_enabled {
            return;
        }
        self.departure.wanted.pull();
        let granted = self.departure.granted.stop();
        if timeout(&self.runtime, DEPARTURE_MAX, granted.stopped()).await.is_err() {
            warn!("the controller has not moved all leaderships away: stopping all the same");
        }
    }
}

/// Refuses roles and quorums that this program does not have yet, saying so.
fn check_supported(config: &NodeConfig) -> Result<(), Error> {
    if !(config.roles.broker && config.roles.controller) {
        let message =
            "process.roles must be broker,controller: nodes with one role are not supported yet";
        return Err(Error::Unsupported(message.to_owned()));
    }
    if config.quorum.voters.iter().any(|voter| voter.id != config.node_id) {
        let message = "controller.quorum.voters names other nodes: quorums of several voters are not supported yet";
        return Err(Error::Unsupported(message.to_owned()));
    }
    let foreign = config
        .listeners
        .iter()
        .find(|listener| listener.protocol != crate::config::SecurityProtocol::Plaintext);
    match foreign {
        Some(listener) => Err(Error::Unsupported(format!(
            "listener {listener} uses {}: only PLAINTEXT is supported yet",
            listener.protocol.name()
        ))),
        None => Ok(()),
    }
}

type Listening<R> = (Vec<Bound<<R as Runtime>::Listener>>, BTreeMap<String, SocketAddr>);

async fn bind<R: Runtime>(runtime: &R, config: &NodeConfig) -> Result<Listening<R>, Error> {
    let mut bound = Vec::new();
    let mut addresses = BTreeMap::new();
    for listener in &config.listeners {
        let failed = |source| Error::Listen { listener: listener.to_string(), source };
        let host = listener.host.as_deref().unwrap_or("0.0.0.0");
        let resolved = runtime.resolve(host, listener.port).await.map_err(failed)?;
        let address = resolved
            .first()
            .copied()
            .ok_or_else(|| failed(io::ErrorKind::AddrNotAvailable.into()))?;
        let socket = runtime.listen(address).await.map_err(failed)?;
        addresses.insert(listener.name.clone(), socket.local_address());
        let is_controller = config.controller_listener_names.contains(&listener.name);
        let role = if is_controller { ListenerRole::Controller } else { ListenerRole::Broker };
        bound.push(Bound { name: listener.name.clone(), role, listener: socket });
    }
    Ok((bound, addresses))
}

async fn start_quorum<R: Runtime>(
    runtime: &R,
    config: &NodeConfig,
    storage: &Storage<R>,
    addresses: &BTreeMap<String, SocketAddr>,
    stop: &Stopper,
) -> Result<raft::Handle<R>, Error> {
    let endpoints = endpoints(config, addresses, ListenerRole::Controller)
        .into_iter()
        .map(|endpoint| raft::Endpoint {
            name: endpoint.listener_name,
            host: endpoint.host,
            port: endpoint.port,
        })
        .collect();
    let local = storage::format_metadata(runtime, config, storage, endpoints).await?;
    let settings = raft::Settings {
        election_timeout: config.quorum.election_timeout,
        election_backoff_max: config.quorum.election_backoff_max,
        fetch_timeout: config.quorum.fetch_timeout,
        request_timeout: config.quorum.request_timeout,
        retry_backoff: config.quorum.retry_backoff,
        ..raft::Settings::new(storage.cluster_id.clone(), local)
    };
    let options = raft::Options {
        log_directory: config.metadata_log.directory.clone(),
        settings,
        static_voters: None,
        segment_bytes: u64::try_from(config.metadata_log.segment_bytes).unwrap_or(u64::MAX),
        segment_ms: i64::try_from(config.metadata_log.segment_age.as_millis()).unwrap_or(i64::MAX),
    };
    Ok(raft::start(runtime.clone(), options, stop.stop()).await?)
}

/// The advertised listeners of one role, with the ports and addresses that were really bound where none were given.
fn endpoints(
    config: &NodeConfig,
    addresses: &BTreeMap<String, SocketAddr>,
    role: ListenerRole,
) -> Vec<Endpoint> {
    let is_wanted = |listener: &&ListenerAddress| {
        let is_controller = config.controller_listener_names.contains(&listener.name);
        is_controller == (role == ListenerRole::Controller)
    };
    config
        .advertised_listeners
        .iter()
        .filter(is_wanted)
        .map(|listener| {
            let bound = addresses.get(&listener.name);
            let own_host = || match bound.map(SocketAddr::ip) {
                Some(ip) if !ip.is_unspecified() => ip.to_string(),
                Some(_) | None => "localhost".to_owned(),
            };
            let host = listener.host.clone().filter(|host| host != "0.0.0.0" && host != "::");
            Endpoint {
                listener_name: listener.name.clone(),
                host: host.unwrap_or_else(own_host),
                port: if listener.port == 0 {
                    bound.map_or(0, SocketAddr::port)
                } else {
                    listener.port
                },
                security_protocol: listener.protocol.id(),
            }
        })
        .collect()
}

fn identity<R: Runtime>(
    runtime: &R,
    config: &NodeConfig,
    storage: &Storage<R>,
    logs: &LogManager<R>,
    addresses: &BTreeMap<String, SocketAddr>,
) -> Identity {
    Identity {
        cluster_id: storage.cluster_id.clone(),
        node: config.node_id,
        incarnation: storage::random_uuid(runtime),
        endpoints: endpoints(config, addresses, ListenerRole::Broker),
        rack: config.rack.clone(),
        directories: storage.directories.iter().map(|directory| directory.id()).collect(),
        previous_epoch: logs.previous_broker_epoch(),
    }
}

fn controller_registration(
    config: &NodeConfig,
    identity: &Identity,
    addresses: &BTreeMap<String, SocketAddr>,
) -> ControllerRegistration {
    ControllerRegistration {
        id: config.node_id,
        incarnation_id: identity.incarnation,
        is_zk_migration_ready: false,
        endpoints: endpoints(config, addresses, ListenerRole::Controller),
        supported_features: supported_features(),
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

fn spawn_housekeeping<R: Runtime>(
    runtime: &R,
    config: &NodeConfig,
    logs: &Arc<LogManager<R>>,
    replicas: &Arc<ReplicaManager<R>>,
    background: &Stopper,
    halt: &Stopper,
) {
    let intervals = housekeeping::Intervals {
        flush: config.logs.flush_check_interval.min(FLUSH_CHECK_MAX),
        recovery_point_checkpoint: config.logs.recovery_point_checkpoint_interval,
        log_start_checkpoint: config.logs.start_offset_checkpoint_interval,
        high_watermark_checkpoint: config.replication.high_watermark_checkpoint_interval,
        retention: config.logs.retention_check_interval,
        removal: REMOVAL_CHECK,
        producer_expiration: config.logs.producer_id_expiration_check_interval,
    };
    let work = housekeeping::run(runtime.clone(), Arc::clone(logs), intervals, background.stop());
    runtime.spawn("housekeeping", work);
    let recovered = Arc::clone(logs);
    runtime.spawn("recovered logs", async move { recovered.settle_recovered().await });
    let watch =
        watch_disks(Arc::clone(logs), Arc::clone(replicas), background.stop(), halt.clone());
    runtime.spawn("disk watch", watch);
}

/// Takes the partitions of failed directories offline; a broker without any log directory is none.
async fn watch_disks<R: Runtime>(
    logs: Arc<LogManager<R>>,
    replicas: Arc<ReplicaManager<R>>,
    stop: Stop,
    halt: Stopper,
) {
    loop {
        let failure = select! {
            () = stop.stopped() => return,
            failure = logs.next_failure() => failure,
        };
        error!(
            directory = %failure.directory,
            partitions = failure.partitions.len(),
            reason = failure.reason,
            "log directory is offline; mend the disk and start the broker again"
        );
        replicas.take_offline(&failure.partitions);
        if logs.directories().iter().all(|directory| !directory.is_online()) {
            error!("all log directories are offline: stopping");
            halt.pull();
            return;
        }
    }
}
