//! What requests within the metadata quorum have in common: they are about one partition, and name nodes and directories.

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::context::RequestContext;
use crate::environment::Runtime;
use crate::model::{ClusterId, DirectoryId, ErrorCode, LeaderEpoch, NodeId};
use crate::raft::{self, Answer, Endpoint, METADATA_TOPIC, ReplicaKey, Request, Response};

/// What a peer is answered when the quorum of this node has ended.
pub(super) const QUORUM_ENDED: ErrorCode = ErrorCode::BrokerNotAvailable;

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

/// Puts a request to the quorum. What cannot be answered, because the quorum has ended, is [`QUORUM_ENDED`].
pub(super) async fn ask<R: Runtime>(
    quorum: &raft::Handle<R>,
    request: Request,
    bytes_max: usize,
) -> Option<(Response, bytes::Bytes)> {
    match quorum.ask(request, bytes_max).await {
        Ok(answered) => Some((answered.response, answered.bytes)),
        Err(error) => {
            tracing::debug!(%error, "the metadata quorum does not answer");
            None
        }
    }
}

impl<R: Runtime> RequestContext<R> {
    /// What an answer of the quorum needs once it comes, without holding on to the request.
    pub(super) fn quorum_context(&self) -> (raft::Handle<R>, String, i16) {
        (self.services.quorum.clone(), self.peer.listener.clone(), self.version())
    }
}
