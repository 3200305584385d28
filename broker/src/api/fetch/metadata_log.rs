//! Fetch on a controller's listener: replicas of the metadata log read on, and acknowledge what they have. Source: KIP-595,
//! KIP-630 (snapshots), KIP-853 (directories), KIP-1166 (high watermark).

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{
    EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
    SnapshotId,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse};

use crate::api::context::RequestContext;
use crate::api::quorum_words::{
    Words, cluster, epoch, key, leader_endpoint, leader_id, put, with_leader,
};
use crate::api::reply::Outcome;
use crate::api::wire::{text, wire_node};
use crate::environment::Runtime;
use crate::model::{ErrorCode, NodeId, Offset};
use crate::raft::{self, FetchOutcome, METADATA_TOPIC_ID, Request, Response};

/// No fetch waits longer, whatever it asks for: it may be answered with nothing at any time.
const WAIT_MAX: Duration = Duration::from_secs(5);

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: &FetchRequest,
) -> Outcome<FetchResponse> {
    let cluster_id = cluster(request.cluster_id.as_ref());
    let version = context.version();
    let partition = partition_of(request);
    let asked = partition
        .and_then(|partition| understood(request, partition, version))
        .map(|asked| raft::FetchRequest { cluster_id: cluster_id.clone(), ..asked });
    let ours = context.services.config.quorum.fetch_max_bytes;
    let theirs = partition.map_or(0, |partition| partition.partition_max_bytes);
    let bytes_max = usize::try_from(theirs).unwrap_or(0).min(ours);
    let words = Words { refused, answered };
    put(context, cluster_id.as_ref(), asked.map(Request::Fetch), bytes_max, words)
}

/// The metadata log, which is known by its id only: fetches of versions that name topics do not reach it.
fn partition_of(request: &FetchRequest) -> Option<&FetchPartition> {
    let [topic] = request.topics.as_slice() else { return None };
    let [partition] = topic.partitions.as_slice() else { return None };
    (topic.topic_id == METADATA_TOPIC_ID.0 && partition.partition == 0).then_some(partition)
}

fn understood(
    request: &FetchRequest,
    partition: &FetchPartition,
    version: i16,
) -> Option<raft::FetchRequest> {
    let replica =
        if version >= 15 { request.replica_state.replica_id.0 } else { request.replica_id.0 };
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).ok()?);
    let high_watermark = match partition.high_watermark {
        // The field's default: the sender does not want to be told.
        i64::MAX => None,
        known => Some(Offset::from_wire(known).unwrap_or(Offset::ZERO)),
    };
    Some(raft::FetchRequest {
        cluster_id: None,
        replica: key(replica, partition.replica_directory_id),
        leader_epoch: epoch(partition.current_leader_epoch)?,
        fetch_offset: Offset::from_wire(partition.fetch_offset)?,
        last_fetched_epoch: epoch(partition.last_fetched_epoch)?,
        high_watermark,
        wait_max: wait.min(WAIT_MAX),
    })
}

fn refused(error: ErrorCode) -> FetchResponse {
    FetchResponse::default().with_error_code(error.code())
}

fn answered(
    response: Response,
    bytes: Bytes,
    listener: &str,
    version: i16,
) -> Option<FetchResponse> {
    let Response::Fetch(response) = response else { return None };
    let answer = &response.answer;
    let leader = LeaderIdAndEpoch::default()
        .with_leader_id(wire_node(NodeId(leader_id(answer))))
        .with_leader_epoch(answer.epoch.value());
    let partition = PartitionData::default()
        .with_error_code(answer.error.code())
        .with_high_watermark(response.high_watermark.map_or(-1, Offset::value))
        .with_last_stable_offset(-1)
        .with_log_start_offset(response.log_start_offset.value())
        .with_current_leader(leader)
        .with_aborted_transactions(None)
        .with_records(Some(bytes));
    let partition = match response.outcome {
        FetchOutcome::Records(_) => partition,
        FetchOutcome::Diverging(end) => partition.with_diverging_epoch(
            EpochEndOffset::default()
                .with_epoch(end.epoch.value())
                .with_end_offset(end.offset.value()),
        ),
        FetchOutcome::Snapshot(id) => partition.with_snapshot_id(
            SnapshotId::default().with_end_offset(id.offset.value()).with_epoch(id.epoch.value()),
        ),
    };
    let topic = FetchableTopicResponse::default()
        .with_topic_id(METADATA_TOPIC_ID.0)
        .with_partitions(vec![partition]);
    let wire = FetchResponse::default().with_responses(vec![topic]);
    Some(if version >= 16 { with_leader!(wire, NodeEndpoint, answer, listener) } else { wire })
}
