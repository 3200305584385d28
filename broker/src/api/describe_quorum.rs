//! DescribeQuorum: where the metadata quorum stands. Source: KIP-595, KIP-836 (times), KIP-853 (directories, endpoints).

use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{
    DescribeQuorumRequest, DescribeQuorumResponse, TopicName as WireTopicName,
};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::{text, wire_node};
use crate::environment::Runtime;
use crate::model::{ErrorCode, Offset, Timestamp};
use crate::raft::{Description, METADATA_TOPIC, ReplicaDescription};

pub(super) async fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: DescribeQuorumRequest,
) -> Outcome<DescribeQuorumResponse> {
    let version = context.version();
    let response = DescribeQuorumResponse::default().with_error_message(None);
    let is_known = request.topics.len() == 1
        && request.topics[0].topic_name.as_str() == METADATA_TOPIC
        && request.topics[0].partitions.len() == 1
        && request.topics[0].partitions[0].partition_index == 0;
    if !is_known {
        return Outcome::Now(refused(response, ErrorCode::UnknownTopicOrPartition, version));
    }
    let description = match context.services.quorum.describe().await {
        Ok(Some(description)) => description,
        Ok(None) => {
            return Outcome::Now(refused(response, ErrorCode::NotLeaderOrFollower, version));
        }
        Err(_) => return Outcome::Now(refused(response, ErrorCode::BrokerNotAvailable, version)),
    };
    let partition = describe(&description, version);
    let topic = TopicData::default()
        .with_topic_name(WireTopicName(text(METADATA_TOPIC)))
        .with_partitions(vec![partition]);
    let response = response.with_topics(vec![topic]);
    Outcome::Now(if version >= 2 { response.with_nodes(nodes(context)) } else { response })
}

fn refused(
    response: DescribeQuorumResponse,
    code: ErrorCode,
    version: i16,
) -> DescribeQuorumResponse {
    let response = response.with_error_code(code.code());
    if version >= 2 { response.with_error_message(Some(text(code.name()))) } else { response }
}

fn describe(description: &Description, version: i16) -> PartitionData {
    let replicas =
        |all: &[ReplicaDescription]| all.iter().map(|one| replica(one, version)).collect();
    PartitionData::default()
        .with_partition_index(0)
        .with_error_message(None)
        .with_leader_id(wire_node(description.leader))
        .with_leader_epoch(description.epoch.value())
        .with_high_watermark(description.high_watermark.map_or(-1, Offset::value))
        .with_current_voters(replicas(&description.voters))
        .with_observers(replicas(&description.observers))
}

fn replica(one: &ReplicaDescription, version: i16) -> ReplicaState {
    let state = ReplicaState::default()
        .with_replica_id(wire_node(one.key.id))
        .with_log_end_offset(one.log_end_offset.map_or(-1, Offset::value));
    let state = if version >= 1 {
        state
            .with_last_fetch_timestamp(one.last_fetch.map_or(-1, Timestamp::millis))
            .with_last_caught_up_timestamp(one.last_caught_up.map_or(-1, Timestamp::millis))
    } else {
        state
    };
    match one.key.directory_id {
        Some(directory) if version >= 2 => state.with_replica_directory_id(directory.0),
        _ => state,
    }
}

fn nodes<R: Runtime>(context: &RequestContext<R>) -> Vec<Node> {
    let image = context.image();
    image
        .cluster()
        .controllers()
        .map(|controller| {
            let listeners = controller
                .endpoints
                .iter()
                .map(|endpoint| {
                    Listener::default()
                        .with_name(text(&endpoint.listener_name))
                        .with_host(text(&endpoint.host))
                        .with_port(endpoint.port)
                })
                .collect();
            Node::default().with_node_id(wire_node(controller.id)).with_listeners(listeners)
        })
        .collect()
}
