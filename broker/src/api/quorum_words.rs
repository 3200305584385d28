//! What requests within the metadata quorum have in common: they are about one partition, and name nodes and directories.

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::context::RequestContext;
use super::reply::Outcome;
use crate::environment::Runtime;
use crate::model::{ClusterId, DirectoryId, ErrorCode, LeaderEpoch, NodeId};
use crate::raft::{Answer, Endpoint, METADATA_TOPIC, ReplicaKey, Request, Response};

/// What a peer is answered when the quorum of this node has ended.
const QUORUM_ENDED: ErrorCode = ErrorCode::BrokerNotAvailable;

/// The only partition of a request, when it is that of the metadata log.
pub(super) fn metadata_partition<'a, T, P>(
    topics: &'a [T],
    name: impl Fn(&T) -> &TopicName,
    partitions: impl Fn(&'a T) -> &'a Vec<P>,
    index: impl Fn(&P) -> i32,
) -> Option<&'a P> {
    let [topic] = topics else { return None };
    let [partition] = partitions(topic).as_slice() else { return None };
    (name(topic).as_str() == METADATA_TOPIC && index(partition) == 0).then_some(partition)
}

pub(super) fn cluster(id: Option<&StrBytes>) -> Option<ClusterId> {
    id.map(|id| ClusterId::new(id.as_str()))
}

pub(super) fn key(id: i32, directory: Uuid) -> ReplicaKey {
    ReplicaKey::new(NodeId(id), DirectoryId(directory))
}

/// Whom the sender takes us for; -1 when it does not say.
pub(super) fn addressee(id: i32, directory: Uuid) -> Option<ReplicaKey> {
    (id >= 0).then(|| key(id, directory))
}

/// -1 for nobody.
pub(super) fn leader_id(answer: &Answer) -> i32 {
    answer.leader.map_or(-1, |leader| leader.0)
}

/// Who leads, and where it is reached over the listener on which was asked.
pub(super) fn leader_endpoint(answer: &Answer, listener: &str) -> Option<(i32, Endpoint)> {
    let endpoints = &answer.leader_endpoints;
    let by_name = endpoints.iter().find(|endpoint| endpoint.name == listener);
    Some((answer.leader?.0, by_name.or_else(|| endpoints.first())?.clone()))
}

/// A negative epoch is none.
pub(super) fn epoch(epoch: i32) -> Option<LeaderEpoch> {
    LeaderEpoch::from_wire(epoch)
}

/// How an API answers, in its own structures.
pub(super) struct Words<W> {
    /// With nothing but an error.
    pub(super) refused: fn(ErrorCode) -> W,
    /// With what the quorum said, and the bytes that go with it, to a request of this version that came over that listener;
    /// `None` when that is no answer to it.
    pub(super) answered: fn(Response, Bytes, &str, i16) -> Option<W>,
}

/// Puts a request to the quorum, unless it comes from another cluster or was not understood (`None`).
pub(super) fn put<R: Runtime, W: Send + 'static>(
    context: &RequestContext<R>,
    cluster_id: Option<&ClusterId>,
    asked: Option<Request>,
    bytes_max: usize,
    words: Words<W>,
) -> Outcome<W> {
    if is_foreign(context, cluster_id) {
        return Outcome::Now((words.refused)(ErrorCode::InconsistentClusterId));
    }
    let Some(request) = asked else {
        return Outcome::Now((words.refused)(ErrorCode::InvalidRequest));
    };
    let (quorum, listener) = (context.services.quorum.clone(), context.peer.listener.clone());
    let version = context.version();
    Outcome::Later(Box::pin(async move {
        let answer = match quorum.ask(request, bytes_max).await {
            Ok(answer) => (words.answered)(answer.response, answer.bytes, &listener, version),
            Err(error) => {
                tracing::debug!(%error, "the metadata quorum does not answer");
                None
            }
        };
        answer.unwrap_or_else(|| (words.refused)(QUORUM_ENDED))
    }))
}

/// True when the sender says that it belongs to another cluster.
pub(super) fn is_foreign<R: Runtime>(
    context: &RequestContext<R>,
    cluster_id: Option<&ClusterId>,
) -> bool {
    cluster_id.is_some_and(|theirs| *theirs != context.services.cluster_id)
}

/// Adds to an answer where its sender's leader is reached. The codec has a type of its own for this in each API.
macro_rules! with_leader {
    ($wire:expr, $endpoint:ident, $answer:expr, $listener:expr) => {
        match leader_endpoint($answer, $listener) {
            Some((leader, endpoint)) => $wire.with_node_endpoints(vec![
                $endpoint::default()
                    .with_node_id(leader.into())
                    .with_host(text(&endpoint.host))
                    .with_port(endpoint.port.into()),
            ]),
            None => $wire,
        }
    };
}
pub(super) use with_leader;

/// The answer that is nothing but what its sender says of itself.
macro_rules! plain_answer {
    ($response:ident, $answer:expr, $listener:expr, $version:expr) => {{
        let answer = $answer;
        let partition = PartitionData::default()
            .with_error_code(answer.error.code())
            .with_leader_id(leader_id(answer).into())
            .with_leader_epoch(answer.epoch.value());
        let topic = TopicData::default()
            .with_topic_name(TopicName(text(METADATA_TOPIC)))
            .with_partitions(vec![partition]);
        let wire = $response::default().with_topics(vec![topic]);
        if $version >= 1 { with_leader!(wire, NodeEndpoint, answer, $listener) } else { wire }
    }};
}
pub(super) use plain_answer;
