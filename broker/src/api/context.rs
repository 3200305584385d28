use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Encodable, HeaderVersion};

use super::init_producer_id::ProducerIds;
use super::reply::{Outcome, Reply, Response, Verdict};
use super::topic_creation::TopicCreation;
use crate::config::NodeConfig;
use crate::controller::{self, Refusal};
use crate::coordinator::GroupCoordinator;
use crate::environment::{Elapsed, Runtime, timeout};
use crate::metadata::MetadataImage;
use crate::model::{ClusterId, ErrorCode, NodeId};
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
    /// The controller of this process.
    pub controller: controller::Handle,
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
    /// Asks the controller, and waits as long as the client wants to. What was asked may come true later all the same.
    pub(super) async fn ask_controller<Q: controller::Request>(
        &self,
        request: Q,
        timeout_ms: i32,
    ) -> Result<Q::Outcome, Refusal> {
        let limit = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        match timeout(&self.runtime, limit, self.controller.ask(request)).await {
            Ok(answer) => answer.map_err(controller::Error::into_refusal),
            Err(Elapsed) => Err(ErrorCode::RequestTimedOut.into()),
        }
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
}

/// Who asks, over which listener, in which version.
pub struct RequestContext<R: Runtime> {
    /// What answers.
    pub services: Arc<Services<R>>,
    /// The connection.
    pub peer: Arc<Peer>,
    /// The request's header.
    pub header: RequestHeader,
}

impl<R: Runtime> RequestContext<R> {
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
