//! Vote: a candidate asks this voter. Source: KIP-595, KIP-853 (directories), KIP-996 (pre-votes).

use bytes::Bytes;
use kafka_protocol::messages::vote_request::PartitionData as Asked;
use kafka_protocol::messages::vote_response::{NodeEndpoint, PartitionData, TopicData};
use kafka_protocol::messages::{TopicName, VoteRequest, VoteResponse};

use super::context::RequestContext;
use super::quorum_words::{
    Words, addressee, cluster, epoch, key, leader_endpoint, leader_id, metadata_partition,
    plain_answer, put, with_leader,
};
use super::reply::Outcome;
use super::wire::text;
use crate::environment::Runtime;
use crate::model::{ErrorCode, Offset, OffsetAndEpoch};
use crate::raft::{self, METADATA_TOPIC, Request, Response};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: VoteRequest,
) -> Outcome<VoteResponse> {
    let partition = metadata_partition(
        &request.topics,
        |topic| &topic.topic_name,
        |topic| &topic.partitions,
        |partition| partition.partition_index,
    );
    let cluster_id = cluster(request.cluster_id.as_ref());
    let asked = partition.and_then(|partition| understood(request.voter_id.0, partition));
    let asked = asked.map(|asked| raft::VoteRequest { cluster_id: cluster_id.clone(), ..asked });
    put(context, cluster_id.as_ref(), asked.map(Request::Vote), 0, Words { refused, answered })
}

fn understood(voter: i32, partition: &Asked) -> Option<raft::VoteRequest> {
    Some(raft::VoteRequest {
        cluster_id: None,
        voter: addressee(voter, partition.voter_directory_id),
        candidate: key(partition.replica_id.0, partition.replica_directory_id),
        epoch: epoch(partition.replica_epoch)?,
        last: OffsetAndEpoch {
            offset: Offset::from_wire(partition.last_offset)?,
            epoch: epoch(partition.last_offset_epoch)?,
        },
        is_pre_vote: partition.pre_vote,
    })
}

fn refused(error: ErrorCode) -> VoteResponse {
    VoteResponse::default().with_error_code(error.code())
}

fn answered(response: Response, _: Bytes, listener: &str, version: i16) -> Option<VoteResponse> {
    let Response::Vote(response) = response else { return None };
    let mut wire = plain_answer!(VoteResponse, &response.answer, listener, version);
    for partition in wire.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        partition.vote_granted = response.is_granted;
    }
    Some(wire)
}
