//! `EndQuorumEpoch`: a leader takes leave and says who should follow. Source: KIP-595, KIP-853 (directories).

use bytes::Bytes;
use kafka_protocol::messages::end_quorum_epoch_request::PartitionData as Asked;
use kafka_protocol::messages::end_quorum_epoch_response::{NodeEndpoint, PartitionData, TopicData};
use kafka_protocol::messages::{EndQuorumEpochRequest, EndQuorumEpochResponse, TopicName};
use uuid::Uuid;

use super::context::RequestContext;
use super::quorum_words::{
    Words, cluster, epoch, key, leader_endpoint, leader_id, metadata_partition, plain_answer, put,
    with_leader,
};
use super::reply::Outcome;
use super::wire::text;
use crate::environment::Runtime;
use crate::model::{ErrorCode, NodeId};
use crate::raft::{self, Endpoint, METADATA_TOPIC, Request, Response};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: EndQuorumEpochRequest,
) -> Outcome<EndQuorumEpochResponse> {
    let cluster_id = cluster(request.cluster_id.as_ref());
    let partition = metadata_partition(
        &request.topics,
        |topic| &topic.topic_name,
        |topic| &topic.partitions,
        |partition| partition.partition_index,
    );
    let asked = partition.and_then(|partition| understood(&request, partition));
    let asked =
        asked.map(|asked| raft::EndQuorumEpochRequest { cluster_id: cluster_id.clone(), ..asked });
    put(
        context,
        cluster_id.as_ref(),
        asked.map(Request::EndQuorumEpoch),
        0,
        Words { refused, answered },
    )
}

fn understood(
    request: &EndQuorumEpochRequest,
    partition: &Asked,
) -> Option<raft::EndQuorumEpochRequest> {
    let endpoints = request.leader_endpoints.iter().map(|endpoint| Endpoint {
        name: endpoint.name.to_string(),
        host: endpoint.host.to_string(),
        port: endpoint.port,
    });
    let by_id = partition.preferred_successors.iter().map(|id| key(*id, Uuid::nil()));
    let by_key = partition.preferred_candidates.iter();
    let by_key = by_key.map(|one| key(one.candidate_id.0, one.candidate_directory_id));
    Some(raft::EndQuorumEpochRequest {
        cluster_id: None,
        leader: NodeId(partition.leader_id.0),
        epoch: epoch(partition.leader_epoch)?,
        successors: by_id.chain(by_key).collect(),
        leader_endpoints: endpoints.collect(),
    })
}

fn refused(error: ErrorCode) -> EndQuorumEpochResponse {
    EndQuorumEpochResponse::default().with_error_code(error.code())
}

fn answered(
    response: Response,
    _: Bytes,
    listener: &str,
    version: i16,
) -> Option<EndQuorumEpochResponse> {
    let Response::EndQuorumEpoch(answer) = response else { return None };
    Some(plain_answer!(EndQuorumEpochResponse, &answer, listener, version))
}
