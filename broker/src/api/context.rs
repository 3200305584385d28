use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Encodable, HeaderVersion};

use super::active_controller::{ActiveController, LocalController};
use super::init_producer_id::ProducerIds;
use super::reply::{Outcome, Reply, Response, Verdict};
use super::topic_creation::TopicCreation;
use crate::config::NodeConfig;
use crate::controller::{self, BrokerDisconnected, ConnectionId};
use crate::coordinator::GroupCoordinator;
use crate::environment::Runtime;
use crate::metadata::MetadataImage;
use crate::model::{ClusterId, NodeId};
use crate::protocol::{ListenerRole, RequestHeader, encode_response};
use crate::raft;
use crate::replication::{FetchSessions, ReplicaManager};

/// Everything requests are answered from: one for a node, shared by all connections.
pub struct Services<R: Runtime> {
    /// The world.
    pub runtime: R,
    /// This node.
    pub node: NodeId,
    /// The cluster it belongs to.
    pub cluster_id: ClusterId,
    /// The node's configuration, as started.
    pub config: Arc<NodeConfig>,
    /// What the cluster is, as far as this node has heard.
    pub image: Arc<ArcSwap<MetadataImage>>,
    /// The partitions on this node.
    pub replicas: Arc<ReplicaManager<R>>,
    /// Incremental fetches.
    pub fetch_sessions: FetchSessions,
    /// The controller of this process, active or not.
    pub controller: controller::Handle,
    /// The active controller, for what this broker itself asks.
    pub active_controller: ActiveController<R>,
    /// The active controller, for what clients ask.
    pub forwarding: ActiveController<R>,
    /// The metadata quorum.
    pub quorum: raft::Handle<R>,
    /// Classic groups and their offsets.
    pub groups: GroupCoordinator<R>,
    /// Ids for idempotent producers.
    pub producer_ids: ProducerIds,
    /// Topics that are made because somebody named them.
    pub topic_creation: TopicCreation,
}

impl<R: Runtime> Services<R> {
    /// A connection has ended. If a broker heartbeats over it the controller should know: the process may have died.
    pub fn connection_ended(&self, peer: &Peer) {
        let Acquaintance { connection, broker, is_ottla } = &*peer.acquaintance;
        let broker = *broker.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(broker_id) = broker else { return };
        // Others come with their next heartbeat.
        let interval = self.config.lifecycle.heartbeat_interval;
        let grace = if is_ottla.load(Ordering::Relaxed) { GRACE } else { interval + GRACE };
        let gone = BrokerDisconnected { broker_id, connection: *connection, grace };
        let controller = self.controller.clone();
        self.runtime.spawn("broker disconnected", async move {
            // Who is not the active controller has nobody to wait for.
            let _ = controller.ask(gone).await;
        });
    }
}

/// Where a connection comes from and leads to.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's end.
    pub address: SocketAddr,
    /// Our end: the address by which the client reached us.
    pub local: SocketAddr,
    /// The listener's name in the configuration.
    pub listener: String,
    /// Which APIs are served on it.
    pub role: ListenerRole,
    /// What has become known of who is at the other end.
    pub acquaintance: Arc<Acquaintance>,
}

/// What a connection has told of who is at its other end.
#[derive(Debug)]
pub struct Acquaintance {
    pub(super) connection: ConnectionId,
    broker: Mutex<Option<NodeId>>,
    is_ottla: AtomicBool,
}

impl Acquaintance {
    /// A stranger's, on the connection with this number.
    #[must_use]
    pub fn new(connection: u64) -> Self {
        let connection = ConnectionId(connection);
        Self { connection, broker: Mutex::default(), is_ottla: AtomicBool::default() }
    }

    /// Its software has said its name (KIP-511).
    pub(super) fn introduce(&self, software: &str) {
        self.is_ottla.store(software == OWN_NAME, Ordering::Relaxed);
    }

    /// It heartbeats as this broker.
    pub(super) fn heartbeats_as(&self, broker: NodeId) {
        *self.broker.lock().unwrap_or_else(PoisonError::into_inner) = Some(broker);
    }
}

/// What we call ourselves in `ApiVersions`.
const OWN_NAME: &str = "ottla";

/// How long a broker has to come back after its connection was lost, if it notices that and comes at once, as ours do.
const GRACE: Duration = Duration::from_millis(500);

/// Who asks, over which listener, in which version.
#[derive(Clone)]
pub struct RequestContext<R: Runtime> {
    /// What answers.
    pub services: Arc<Services<R>>,
    /// The connection.
    pub peer: Arc<Peer>,
    /// The request's header.
    pub header: RequestHeader,
    /// Who decides what only the controller decides.
    pub(super) controller: LocalController,
}

impl<R: Runtime> RequestContext<R> {
    /// A request that came over this connection.
    #[must_use]
    pub fn new(services: Arc<Services<R>>, peer: Arc<Peer>, header: RequestHeader) -> Self {
        let controller = LocalController::new(services.controller.clone());
        Self { services, peer, header, controller }
    }

    /// The version of the request, and of its response.
    pub(super) const fn version(&self) -> i16 {
        self.header.version
    }

    /// What the client calls itself; empty when it does not.
    pub(super) fn client_id(&self) -> &str {
        self.header.client_id.as_deref().unwrap_or_default()
    }

    /// The newest image.
    pub(super) fn image(&self) -> Arc<MetadataImage> {
        self.services.image.load_full()
    }

    /// What encoding the answer needs, without holding on to the request.
    pub(super) const fn reply_context(&self) -> ReplyContext {
        ReplyContext { version: self.header.version, correlation_id: self.header.correlation_id }
    }
}

/// How an answer is encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyContext {
    version: i16,
    correlation_id: i32,
}

impl ReplyContext {
    /// Turns what a handler says into what the connection does.
    pub(super) fn encode<F, T>(self, key: ApiKey, outcome: Outcome<T>) -> Reply<F>
    where
        F: Send + 'static,
        T: Encodable + HeaderVersion + Send + 'static,
    {
        match outcome {
            Outcome::Now(body) => match self.verdict(key, &body) {
                Verdict::Answer(response) => Reply::Now(response),
                Verdict::Close(reason) => Reply::Close(reason),
            },
            Outcome::Later(waiting) => {
                Reply::Later(Box::pin(async move { self.verdict(key, &waiting.await) }))
            }
            Outcome::Nothing => Reply::Nothing,
            Outcome::Close(reason) => Reply::Close(reason),
        }
    }

    fn verdict<F, T: Encodable + HeaderVersion>(self, key: ApiKey, body: &T) -> Verdict<F> {
        match encode_response(self.version, self.correlation_id, body) {
            Ok(frame) => Verdict::Answer(Response::of(frame.freeze())),
            Err(error) => {
                tracing::error!(?key, version = self.version, %error, "a response could not be encoded");
                Verdict::Close(format!(
                    "the answer to {key:?} of version {} could not be encoded",
                    self.version
                ))
            }
        }
    }
}
