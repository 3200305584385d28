//! Putting a node together: the order of start and of stop is the content of this file.
//!
//! Start: log directories, metadata quorum, controller; the controller's listeners are served, so that a quorum of several
//! can elect its leader; the metadata log is read as far as it was committed; then the logs are opened and recovered,
//! replicas and coordinators follow the image, the broker registers and waits until it is unfenced; only then are clients
//! served. A node with one role leaves out what belongs to the other. Stop is the reverse; a killed process needs none of
//! it.

mod controllers;
mod coordinator_writer;
mod directories;
mod disk_watch;
mod dynamic_settings;
mod formatting;
mod housekeeping;
mod lifecycle;
mod listeners;
mod parts;
mod publisher;
mod quorum;
mod replication;
mod roll_call;
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
use tracing::{info, warn};

use crate::config::NodeConfig;
use crate::controller::{self, QuorumController, Refusal, supported_features};
use crate::coordinator::GroupCoordinator;
use crate::environment::{Runtime, Stopper, select, timeout};
use crate::log::{DirectoryError, LogDirectory, LogManager};
use crate::metadata::{ControllerRegistration, MetadataChanges, MetadataImage};
use crate::model::{BrokerEpoch, ClusterId, DirectoryId};
use crate::protocol::ListenerRole;
use crate::raft;
use crate::replication::ReplicaManager;
use crate::server::{Admission, DRAIN_MAX};
pub use formatting::{
    InitialController, InitialVoters, StorageInfo, format_storage, founding_features,
    random_uuid_text, storage_info,
};

use controllers::Controllers;
use directories::Assignments;
use dynamic_settings::{DynamicSettings, admission_limits};
use lifecycle::{Departure, Identity, Lifecycle};
use listeners::{bind, endpoints};
use parts::{Common, Parts};
use publisher::{Follower, Publisher};
use storage::Storage;

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
    /// Every log directory failed while the logs were opened.
    #[error("no log directory works: {0}")]
    NoLogDirectory(String),
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
    /// A voter among several, or a broker alone, begins with a directory that somebody has formatted.
    #[error(
        "{} is not formatted: a node of a cluster with others must be told which cluster that is, and a voter that lost its disk \
         must not vote as if it remembered",
        .0.display()
    )]
    NotFormatted(PathBuf),
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

/// A running node: broker, controller or both.
pub struct Node<R: Runtime> {
    runtime: R,
    addresses: BTreeMap<String, SocketAddr>,
    cluster_id: ClusterId,
    config: Arc<NodeConfig>,
    image: Arc<ArcSwap<MetadataImage>>,
    departure: Departure,
    /// Of the broker; `None` when this node is only a controller.
    epoch: Option<BrokerEpoch>,
    logs: Arc<LogManager<R>>,
    replicas: Arc<ReplicaManager<R>>,
    groups: GroupCoordinator<R>,
    admissions: [Admission; 2],
    connections: Stopper,
    background: Stopper,
    quorum: raft::Handle<R>,
    quorum_stop: Stopper,
    halt: Stopper,
    /// Locked as long as the node runs, also where it has no partitions.
    _directories: Vec<Arc<LogDirectory<R>>>,
}

/// How often `flush.ms` is looked at, unless the configuration says more often.
const FLUSH_CHECK_MAX: Duration = Duration::from_millis(500);

/// How often deleted files are removed.
const REMOVAL_CHECK: Duration = Duration::from_secs(1);

/// How long a stop waits for the controller to move leaderships away. What cannot be moved by then waits for this node.
const DEPARTURE_MAX: Duration = Duration::from_secs(30);

impl<R: Runtime> Node<R> {
    /// Starts everything; when this returns, clients are served.
    ///
    /// # Errors
    ///
    /// See [`Error`]; nothing is left running then but what ends with the process.
    #[expect(clippy::too_many_lines, reason = "the order of start is the content of this file")]
    pub async fn start(runtime: R, config: NodeConfig) -> Result<Self, Error> {
        let config = Arc::new(config);
        quorum::check_supported(&config)?;
        let storage = storage::open(&runtime, &config).await?;
        let admitted = admission_limits(&runtime, &config.sockets).await;
        let admitted = admitted.map_err(Error::Unsupported)?;
        let admissions = [Admission::new(admitted.clone()), Admission::new(admitted)];
        let (bound, addresses) = bind(&runtime, &config).await?;
        let (connections, background, quorum_stop, halt) =
            (Stopper::new(), Stopper::new(), Stopper::new(), Stopper::new());

        let quorum = quorum::start(&runtime, &config, &storage, &addresses, &quorum_stop).await?;
        let settings = controller::Settings {
            cluster_id: storage.cluster_id.clone(),
            config: Arc::clone(&config),
            bootstrap: quorum::bootstrap(&runtime, &config).await?,
        };
        let controller = QuorumController::start(&runtime, settings, quorum.clone());
        let mut follower =
            Follower::new(runtime.clone(), quorum.clone(), controller.clone(), &config);
        let common = Common {
            runtime: runtime.clone(),
            config: Arc::clone(&config),
            cluster_id: storage.cluster_id.clone(),
            image: Arc::new(ArcSwap::from_pointee(MetadataImage::default())),
            controllers: Controllers::new(&runtime, &config, &quorum, controller.clone()),
            controller,
            quorum: quorum.clone(),
        };
        let (of_controller, of_broker): (Vec<_>, Vec<_>) =
            bound.into_iter().partition(|listener| listener.role == ListenerRole::Controller);
        // Other voters must be heard before there can be a leader, and so before anything else can be known here.
        let none = Parts::open(&common, Vec::new(), &MetadataImage::default()).await;
        let [for_clients, for_controllers] = &admissions;
        common.serve(&none, of_controller, for_controllers, &connections);

        let end = quorum::caught_up(&runtime, &quorum).await?;
        let first =
            follower.catch_up(end).await.map_err(|error| Error::Metadata(error.to_string()))?;
        // A controller alone has no partitions: its log directories hold the metadata log only.
        let parts = if config.roles.broker {
            Parts::open(&common, storage.directories.clone(), &first).await
        } else {
            none
        };
        let Parts { logs, replicas, groups } = parts.clone();
        // Before anything waits: a disk that failed while the logs were opened must end the start, not stall it.
        let watch = disk_watch::run(
            Arc::clone(&logs),
            Arc::clone(&replicas),
            background.stop(),
            halt.clone(),
        );
        runtime.spawn("disk watch", watch);
        let publisher = Publisher {
            image: Arc::clone(&common.image),
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

        let lifecycle = Lifecycle {
            runtime: runtime.clone(),
            controller: common.controllers.for_lifecycle.clone(),
            image: Arc::clone(&common.image),
            identity: identity(&runtime, &config, &storage, &logs, &addresses),
            heartbeat_interval: config.lifecycle.heartbeat_interval,
            offline: {
                let logs = Arc::clone(&logs);
                Box::new(move || offline_directories(&logs))
            },
            registered: {
                let replicas = Arc::clone(&replicas);
                Box::new(move |epoch| replicas.registered(epoch))
            },
        };
        let limit = config.lifecycle.initial_registration_timeout;
        let own = controller_registration(&config, &lifecycle.identity, &addresses);
        let departure = Departure::default();
        let epoch = if config.roles.broker {
            // Side by side: both records are made durable with one sync.
            let is_controller = config.roles.controller;
            let controller_registered = async {
                if is_controller { lifecycle.register_controller(own, limit).await } else { Ok(()) }
            };
            let entered = async {
                let (registered, epoch) =
                    future::join(controller_registered, lifecycle.register(limit)).await;
                registered?;
                let epoch = epoch?;
                replication::start(&common, &replicas, &background);
                lifecycle.until_unfenced(epoch, limit).await
            };
            let halted = halt.stop();
            let epoch = select! {
                epoch = entered => epoch?,
                // Nothing that a controller answers would ever be heard of here.
                () = halted.stopped() => return Err(why_halted(&logs)),
            };
            let beating = lifecycle.run(epoch, departure.clone(), background.stop());
            runtime.spawn("broker heartbeats", beating);
            Assignments {
                runtime: runtime.clone(),
                node: config.node_id,
                controller: common.controllers.for_broker.clone(),
                image: Arc::clone(&common.image),
                replicas: Arc::clone(&replicas),
            }
            .start(background.stop());
            Some(epoch)
        } else {
            let stop = background.stop();
            runtime.spawn("controller registration", async move {
                lifecycle.keep_controller_registered(own, stop).await;
            });
            None
        };
        spawn_housekeeping(&runtime, &config, &logs, &background);
        common.serve(&parts, of_broker, for_clients, &connections);
        let cluster_id = storage.cluster_id;
        info!(node = %config.node_id, %cluster_id, epoch = epoch.map(|epoch| epoch.0), "started");
        Ok(Self {
            runtime,
            addresses,
            cluster_id,
            config,
            image: common.image,
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
            _directories: storage.directories,
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

    /// What the cluster is, as far as this node has heard.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        self.image.load_full()
    }

    /// Gives what [`image`](Self::image) would, also while others stop the node.
    pub fn images(&self) -> impl Fn() -> Arc<MetadataImage> + Send + Sync + use<R> {
        let image = Arc::clone(&self.image);
        move || image.load_full()
    }

    /// The metadata quorum as this node sees it.
    #[must_use]
    pub const fn quorum(&self) -> &raft::Handle<R> {
        &self.quorum
    }

    /// Ends when the node cannot go on: its disks or its metadata log are gone.
    pub async fn halted(&self) {
        self.halt.stop().stopped().await;
    }

    /// Stops in good order, so that the next start can trust what it finds.
    pub async fn shutdown(self) {
        self.depart().await;
        if self.quorum.voters().0.len() > 1 {
            // The others must not wait for our answers in vain: they elect the next leader while we stop.
            let _ = self.quorum.resign().await;
        }
        self.connections.pull();
        for admission in &self.admissions {
            // Each connection ends by itself in that time; one that does not has no say over the stop.
            let _ = timeout(&self.runtime, DRAIN_MAX, admission.emptied()).await;
        }
        self.groups.shutdown().await;
        self.background.pull();
        self.replicas.stop_fetching();
        // It may have registered again since the start.
        let registered =
            self.image.load().cluster().broker(self.config.node_id).map(|own| own.epoch);
        self.logs.shutdown(self.epoch.map(|epoch| registered.unwrap_or(epoch))).await;
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
        let is_enabled = self.config.lifecycle.is_controlled_shutdown_enabled;
        if self.epoch.is_none() || is_alone || !is_enabled {
            return;
        }
        self.departure.wanted.pull();
        let granted = self.departure.granted.stop();
        if timeout(&self.runtime, DEPARTURE_MAX, granted.stopped()).await.is_err() {
            warn!("the controller has not moved all leaderships away: stopping all the same");
        }
    }
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

/// Why a node that starts was told to halt.
fn why_halted<R: Runtime>(logs: &LogManager<R>) -> Error {
    match disk_watch::all_that_failed(logs) {
        Some(failures) => Error::NoLogDirectory(failures),
        None => Error::Metadata("it cannot be followed any more".to_owned()),
    }
}

fn offline_directories<R: Runtime>(logs: &LogManager<R>) -> Vec<DirectoryId> {
    let offline = logs.directories().iter().filter(|directory| !directory.is_online());
    offline.map(|directory| directory.id()).collect()
}

fn spawn_housekeeping<R: Runtime>(
    runtime: &R,
    config: &NodeConfig,
    logs: &Arc<LogManager<R>>,
    background: &Stopper,
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
}
