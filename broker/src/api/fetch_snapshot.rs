//! `FetchSnapshot`: a replica of the metadata log reads a snapshot, piece by piece. Source: KIP-630, KIP-853.

use bytes::Bytes;
use kafka_protocol::messages::fetch_snapshot_request::{
    PartitionSnapshot as Asked, TopicSnapshot as AskedTopic,
};
use kafka_protocol::messages::fetch_snapshot_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionSnapshot, SnapshotId, TopicSnapshot,
};
use kafka_protocol::messages::{FetchSnapshotRequest, FetchSnapshotResponse, TopicName};

use super::context::RequestContext;
use super::quorum_words::{
    Words, cluster, epoch, is_foreign, key, leader_endpoint, leader_id, put, with_leader,
};
use super::reply::Outcome;
use super::wire::{text, wire_node};
use crate::environment::Runtime;
use crate::model::{ErrorCode, NodeId, Offset, OffsetAndEpoch};
use crate::raft::{self, METADATA_TOPIC, Request, Response};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: FetchSnapshotRequest,
) -> Outcome<FetchSnapshotResponse> {
    let cluster_id = cluster(request.cluster_id.as_ref());
    if is_foreign(context, cluster_id.as_ref()) {
        return Outcome::Now(refused(ErrorCode::InconsistentClusterId));
    }
    let [topic] = request.topics.as_slice() else {
        return Outcome::Now(refused(ErrorCode::InvalidRequest));
    };
    let [partition] = topic.partitions.as_slice() else {
        return Outcome::Now(refused(ErrorCode::InvalidRequest));
    };
    if topic.name.as_str() != METADATA_TOPIC || partition.partition != 0 {
        return Outcome::Now(unknown(topic, partition));
    }
    let asked = understood(request.replica_id.0, partition)
        .map(|asked| raft::FetchSnapshotRequest { cluster_id: cluster_id.clone(), ..asked });
    let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0);
    let asked = asked.map(Request::FetchSnapshot);
    put(context, cluster_id.as_ref(), asked, bytes_max, Words { refused, answered })
}

fn understood(replica: i32, partition: &Asked) -> Option<raft::FetchSnapshotRequest> {
    Some(raft::FetchSnapshotRequest {
        cluster_id: None,
        replica: key(replica, partition.replica_directory_id),
        leader_epoch: epoch(partition.current_leader_epoch)?,
        snapshot: OffsetAndEpoch {
            offset: Offset::from_wire(partition.snapshot_id.end_offset)?,
            epoch: epoch(partition.snapshot_id.epoch)?,
        },
        // No snapshot is as long: the answer is that the position is out of range.
        position: u64::try_from(partition.position).unwrap_or(u64::MAX),
    })
}

fn refused(error: ErrorCode) -> FetchSnapshotResponse {
    FetchSnapshotResponse::default().with_error_code(error.code())
}

/// Another topic, by the name under which it was asked for.
fn unknown(topic: &AskedTopic, partition: &Asked) -> FetchSnapshotResponse {
    let answer = PartitionSnapshot::default()
        .with_index(partition.partition)
        .with_error_code(ErrorCode::UnknownTopicOrPartition.code());
    let topic =
        TopicSnapshot::default().with_name(topic.name.clone()).with_partitions(vec![answer]);
    FetchSnapshotResponse::default().with_topics(vec![topic])
}

fn answered(
    response: Response,
    bytes: Bytes,
    listener: &str,
    version: i16,
) -> Option<FetchSnapshotResponse> {
    let Response::FetchSnapshot(response) = response else { return None };
    let answer = &response.answer;
    let leader = LeaderIdAndEpoch::default()
        .with_leader_id(wire_node(NodeId(leader_id(answer))))
        .with_leader_epoch(answer.epoch.value());
    let id = SnapshotId::default()
        .with_end_offset(response.snapshot.offset.value())
        .with_epoch(response.snapshot.epoch.value());
    let partition = PartitionSnapshot::default()
        .with_error_code(answer.error.code())
        .with_snapshot_id(id)
        .with_current_leader(leader)
        .with_size(i64::try_from(response.size_bytes).unwrap_or(i64::MAX))
        .with_position(i64::try_from(response.position).unwrap_or(i64::MAX))
        .with_unaligned_records(bytes);
    let topic = TopicSnapshot::default()
        .with_name(TopicName(text(METADATA_TOPIC)))
        .with_partitions(vec![partition]);
    let wire = FetchSnapshotResponse::default().with_topics(vec![topic]);
    Some(if version >= 1 { with_leader!(wire, NodeEndpoint, answer, listener) } else { wire })
}
