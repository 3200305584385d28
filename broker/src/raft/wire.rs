//! What we ask other nodes, in the codec's structures, and what they answered, in our own words.
//!
//! A peer is not believed: an answer that does not say what its request asked for counts as no answer, and record batches
//! are whole and pass their checksums before anybody hears of them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use kafka_protocol::messages::begin_quorum_epoch_request as begin;
use kafka_protocol::messages::end_quorum_epoch_request as end;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use kafka_protocol::messages::fetch_response::PartitionData as FetchedPartition;
use kafka_protocol::messages::fetch_snapshot_request as snapshot;
use kafka_protocol::messages::vote_request as vote;
use kafka_protocol::messages::{
    self, BrokerId, FetchSnapshotResponse as WireFetchSnapshotResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::batches;
use super::ready::{
    Answer, BeginQuorumEpochRequest, EndQuorumEpochRequest, FetchOutcome, FetchRequest,
    FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, FetchedBatch, Request, Response,
    VoteRequest, VoteResponse,
};
use super::voters::{Endpoint, ReplicaKey};
use super::wire_voters;
use crate::client::{self, Connection};
use crate::environment::Runtime;
use crate::model::{ErrorCode, LeaderEpoch, NodeId, Offset, OffsetAndEpoch, TopicId};
use crate::record::split_all;

/// The name of the one topic with a quorum.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Its id.
pub const METADATA_TOPIC_ID: TopicId = TopicId(Uuid::from_u128(1));

/// The first version of Vote that knows pre-votes.
const PRE_VOTE: i16 = 2;

/// The first version of Fetch that names topics by id.
const FETCH_BY_ID: i16 = 13;

/// How much is asked for at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of records (`controller.quorum.fetch.max.bytes`).
    pub(super) fetch_bytes: usize,
    /// Bytes of a snapshot (`controller.quorum.fetch.snapshot.max.bytes`).
    pub(super) snapshot_bytes: usize,
}

/// An answer, and the record or snapshot bytes that came with it.
pub(super) type Answered = (Response, Bytes);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The connection.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The peer answered something else.
    #[error("the answer cannot be used: {0}")]
    Odd(String),
    /// There was no connection in time.
    #[error("no connection in time")]
    Late,
}

impl AskError {
    /// True when nobody listens at the peer's address, although its machine answers.
    pub(super) fn is_refused(&self) -> bool {
        match self {
            Self::Client(error) => error.is_refused(),
            Self::Odd(_) | Self::Late => false,
        }
    }
}

/// Endpoints as the codec has them, one type for each response.
macro_rules! endpoints {
    ($endpoints:expr) => {
        $endpoints.iter().map(|node| (node.node_id.0, node.host.as_str(), i32::from(node.port)))
    };
}
/// What a partition of such an answer says of its sender.
macro_rules! spoken {
    () => {
        |partition| Spoken {
            error: partition.error_code,
            leader: partition.leader_id.0,
            epoch: partition.leader_epoch,
        }
    };
}

/// An answer that is still to come.
pub(super) type Answering = BoxFuture<'static, Result<Answered, AskError>>;

/// Hands a request to the connection; the future is its answer.
pub(super) async fn begin<R: Runtime>(
    connection: &Connection<R>,
    request: Request,
    limits: Limits,
    listener: &str,
    after: Duration,
) -> Result<Answering, AskError> {
    let listener = listener.to_owned();
    match request {
        Request::Vote(request) => ask_for_vote(connection, &request, listener, after).await,
        Request::BeginQuorumEpoch(request) => {
            let version = connection.version_of::<messages::BeginQuorumEpochRequest>(1)?;
            let wire = begin_request(&request, version);
            let pending = connection.start(&wire, version, after).await?;
            Ok(Box::pin(async move {
                let (response, _) = pending.wait().await?;
                let spoken = one(&response.topics, |topic| &topic.partitions).map(spoken!());
                let endpoints = endpoints!(response.node_endpoints);
                let answer = answer_of(response.error_code, spoken, endpoints, &listener)?;
                Ok((Response::BeginQuorumEpoch(answer), Bytes::new()))
            }))
        }
        Request::EndQuorumEpoch(request) => {
            let version = connection.version_of::<messages::EndQuorumEpochRequest>(1)?;
            let pending = connection.start(&end_request(&request, version), version, after).await?;
            Ok(Box::pin(async move {
                let (response, _) = pending.wait().await?;
                let spoken = one(&response.topics, |topic| &topic.partitions).map(spoken!());
                let endpoints = endpoints!(response.node_endpoints);
                let answer = answer_of(response.error_code, spoken, endpoints, &listener)?;
                Ok((Response::EndQuorumEpoch(answer), Bytes::new()))
            }))
        }
        Request::Fetch(request) => {
            let version = connection.version_of::<messages::FetchRequest>(18)?;
            if version < FETCH_BY_ID {
                return Err(AskError::Odd(format!("it knows Fetch up to version {version} only")));
            }
            let wire = fetch_request(&request, version, limits);
            let pending = connection.start(&wire, version, after).await?;
            Ok(Box::pin(async move {
                let (response, _) = pending.wait().await?;
                fetch_response(&response, &listener)
            }))
        }
        Request::FetchSnapshot(request) => {
            let version = connection.version_of::<messages::FetchSnapshotRequest>(1)?;
            let wire = snapshot_request(&request, version, limits);
            let pending = connection.start(&wire, version, after).await?;
            Ok(Box::pin(async move {
                let (response, _) = pending.wait().await?;
                snapshot_response(&response, &request, &listener)
            }))
        }
        Request::AddVoter(request) => wire_voters::add(connection, &request, after).await,
        Request::RemoveVoter(request) => wire_voters::remove(connection, &request, after).await,
        Request::UpdateVoter(request) => {
            wire_voters::update(connection, &request, listener, after).await
        }
        Request::Versions(_) => wire_voters::versions(connection, after).await,
    }
}

async fn ask_for_vote<R: Runtime>(
    connection: &Connection<R>,
    request: &VoteRequest,
    listener: String,
    after: Duration,
) -> Result<Answering, AskError> {
    let version = connection.version_of::<messages::VoteRequest>(PRE_VOTE)?;
    let is_pre_vote = request.is_pre_vote;
    if is_pre_vote && version < PRE_VOTE {
        let answer = about(ErrorCode::UnsupportedVersion);
        let response = VoteResponse { answer, is_granted: false, is_pre_vote };
        return Ok(Box::pin(async { Ok((Response::Vote(response), Bytes::new())) }));
    }
    let pending = connection.start(&vote_request(request, version), version, after).await?;
    Ok(Box::pin(async move {
        let (response, _) = pending.wait().await?;
        Ok((vote_response(&response, is_pre_vote, &listener)?, Bytes::new()))
    }))
}

fn vote_request(request: &VoteRequest, version: i16) -> messages::VoteRequest {
    let mut partition = vote::PartitionData::default()
        .with_replica_epoch(request.epoch.value())
        .with_replica_id(BrokerId(request.candidate.id.0))
        .with_last_offset_epoch(request.last.epoch.value())
        .with_last_offset(request.last.offset.value());
    if version >= 1 {
        partition.replica_directory_id = directory(Some(request.candidate));
        partition.voter_directory_id = directory(request.voter);
    }
    if version >= PRE_VOTE {
        partition.pre_vote = request.is_pre_vote;
    }
    let topic =
        vote::TopicData::default().with_topic_name(topic_name()).with_partitions(vec![partition]);
    let mut wire = messages::VoteRequest::default()
        .with_cluster_id(request.cluster_id.as_ref().map(|id| text(id.as_str())))
        .with_topics(vec![topic]);
    if version >= 1 {
        wire.voter_id = BrokerId(request.voter.map_or(-1, |key| key.id.0));
    }
    wire
}

fn begin_request(
    request: &BeginQuorumEpochRequest,
    version: i16,
) -> messages::BeginQuorumEpochRequest {
    let mut partition = begin::PartitionData::default()
        .with_leader_id(BrokerId(request.leader.0))
        .with_leader_epoch(request.epoch.value());
    if version >= 1 {
        partition.voter_directory_id = directory(request.voter);
    }
    let topic =
        begin::TopicData::default().with_topic_name(topic_name()).with_partitions(vec![partition]);
    let mut wire = messages::BeginQuorumEpochRequest::default()
        .with_cluster_id(request.cluster_id.as_ref().map(|id| text(id.as_str())))
        .with_topics(vec![topic]);
    if version >= 1 {
        wire.voter_id = BrokerId(request.voter.map_or(-1, |key| key.id.0));
        wire.leader_endpoints = request
            .leader_endpoints
            .iter()
            .map(|endpoint| {
                begin::LeaderEndpoint::default()
                    .with_name(text(&endpoint.name))
                    .with_host(text(&endpoint.host))
                    .with_port(endpoint.port)
            })
            .collect();
    }
    wire
}

fn end_request(request: &EndQuorumEpochRequest, version: i16) -> messages::EndQuorumEpochRequest {
    let mut partition = end::PartitionData::default()
        .with_leader_id(BrokerId(request.leader.0))
        .with_leader_epoch(request.epoch.value());
    if version >= 1 {
        partition.preferred_candidates = request
            .successors
            .iter()
            .map(|key| {
                end::ReplicaInfo::default()
                    .with_candidate_id(BrokerId(key.id.0))
                    .with_candidate_directory_id(directory(Some(*key)))
            })
            .collect();
    } else {
        partition.preferred_successors = request.successors.iter().map(|key| key.id.0).collect();
    }
    let topic =
        end::TopicData::default().with_topic_name(topic_name()).with_partitions(vec![partition]);
    let mut wire = messages::EndQuorumEpochRequest::default()
        .with_cluster_id(request.cluster_id.as_ref().map(|id| text(id.as_str())))
        .with_topics(vec![topic]);
    if version >= 1 {
        wire.leader_endpoints = request
            .leader_endpoints
            .iter()
            .map(|endpoint| {
                end::LeaderEndpoint::default()
                    .with_name(text(&endpoint.name))
                    .with_host(text(&endpoint.host))
                    .with_port(endpoint.port)
            })
            .collect();
    }
    wire
}

fn fetch_request(request: &FetchRequest, version: i16, limits: Limits) -> messages::FetchRequest {
    let mut partition = FetchPartition::default()
        .with_current_leader_epoch(request.leader_epoch.value())
        .with_fetch_offset(request.fetch_offset.value())
        .with_last_fetched_epoch(request.last_fetched_epoch.value())
        .with_partition_max_bytes(wire_size(limits.fetch_bytes));
    if version >= 17 {
        partition.replica_directory_id = directory(Some(request.replica));
    }
    if version >= 18 {
        let known = request.high_watermark.filter(|offset| *offset > Offset::ZERO);
        partition.high_watermark = known.map_or(-1, Offset::value);
    }
    let topic =
        FetchTopic::default().with_topic_id(METADATA_TOPIC_ID.0).with_partitions(vec![partition]);
    let mut wire = messages::FetchRequest::default()
        .with_cluster_id(request.cluster_id.as_ref().map(|id| text(id.as_str())))
        .with_max_wait_ms(i32::try_from(request.wait_max.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(0)
        .with_max_bytes(wire_size(limits.fetch_bytes))
        .with_topics(vec![topic]);
    let replica = BrokerId(request.replica.id.0);
    if version >= 15 {
        wire.replica_state = ReplicaState::default().with_replica_id(replica);
    } else {
        wire.replica_id = replica;
    }
    wire
}

fn snapshot_request(
    request: &FetchSnapshotRequest,
    version: i16,
    limits: Limits,
) -> messages::FetchSnapshotRequest {
    let id = snapshot::SnapshotId::default()
        .with_end_offset(request.snapshot.offset.value())
        .with_epoch(request.snapshot.epoch.value());
    let mut partition = snapshot::PartitionSnapshot::default()
        .with_current_leader_epoch(request.leader_epoch.value())
        .with_snapshot_id(id)
        .with_position(i64::try_from(request.position).unwrap_or(i64::MAX));
    if version >= 1 {
        partition.replica_directory_id = directory(Some(request.replica));
    }
    let topic =
        snapshot::TopicSnapshot::default().with_name(topic_name()).with_partitions(vec![partition]);
    messages::FetchSnapshotRequest::default()
        .with_cluster_id(request.cluster_id.as_ref().map(|id| text(id.as_str())))
        .with_replica_id(BrokerId(request.replica.id.0))
        .with_max_bytes(wire_size(limits.snapshot_bytes))
        .with_topics(vec![topic])
}

fn vote_response(
    response: &messages::VoteResponse,
    is_pre_vote: bool,
    listener: &str,
) -> Result<Response, AskError> {
    let partition = one(&response.topics, |topic| &topic.partitions);
    let is_granted = partition.is_some_and(|partition| partition.vote_granted);
    let endpoints = endpoints!(response.node_endpoints);
    let spoken = partition.map(spoken!());
    let answer = answer_of(response.error_code, spoken, endpoints, listener)?;
    Ok(Response::Vote(VoteResponse { answer, is_granted, is_pre_vote }))
}

fn fetch_response(
    response: &messages::FetchResponse,
    listener: &str,
) -> Result<Answered, AskError> {
    let Some(partition) = one(&response.responses, |topic| &topic.partitions) else {
        let refused = FetchResponse {
            answer: refused(response.error_code)?,
            outcome: FetchOutcome::Records(Vec::new()),
            high_watermark: None,
            log_start_offset: Offset::ZERO,
        };
        return Ok((Response::Fetch(refused), Bytes::new()));
    };
    let spoken = Spoken {
        error: partition.error_code,
        leader: partition.current_leader.leader_id.0,
        epoch: partition.current_leader.leader_epoch,
    };
    let endpoints =
        response.node_endpoints.iter().map(|node| (node.node_id.0, node.host.as_str(), node.port));
    let answer = spoken.answer(endpoints, listener);
    let (outcome, bytes) = match outcome_without_records(partition) {
        Some(outcome) => (outcome, Bytes::new()),
        None => {
            let bytes = partition.records.clone().unwrap_or_default();
            (FetchOutcome::Records(judged(bytes.clone())?), bytes)
        }
    };
    let response = FetchResponse {
        answer,
        outcome,
        high_watermark: Offset::from_wire(partition.high_watermark),
        log_start_offset: Offset::from_wire(partition.log_start_offset).unwrap_or(Offset::ZERO),
    };
    Ok((Response::Fetch(response), bytes))
}

fn outcome_without_records(partition: &FetchedPartition) -> Option<FetchOutcome> {
    let place = |offset, epoch| {
        Some(OffsetAndEpoch {
            offset: Offset::from_wire(offset)?,
            epoch: LeaderEpoch::from_wire(epoch)?,
        })
    };
    let (diverging, snapshot) = (&partition.diverging_epoch, &partition.snapshot_id);
    place(diverging.end_offset, diverging.epoch)
        .map(FetchOutcome::Diverging)
        .or_else(|| place(snapshot.end_offset, snapshot.epoch).map(FetchOutcome::Snapshot))
}

/// What the machine must know of fetched batches, all of which are as they were written.
fn judged(mut bytes: Bytes) -> Result<Vec<FetchedBatch>, AskError> {
    let odd = |error: crate::record::Error| AskError::Odd(error.to_string());
    let mut batches = Vec::new();
    for batch in split_all(&mut bytes).map_err(odd)? {
        batch.verify_crc().map_err(odd)?;
        batches.push(batches::summary(&batch).map_err(odd)?);
    }
    Ok(batches)
}

fn snapshot_response(
    response: &WireFetchSnapshotResponse,
    request: &FetchSnapshotRequest,
    listener: &str,
) -> Result<Answered, AskError> {
    let Some(partition) = one(&response.topics, |topic| &topic.partitions) else {
        let refused = FetchSnapshotResponse {
            answer: refused(response.error_code)?,
            snapshot: request.snapshot,
            size_bytes: 0,
            position: request.position,
            length_bytes: 0,
        };
        return Ok((Response::FetchSnapshot(refused), Bytes::new()));
    };
    let spoken = Spoken {
        error: partition.error_code,
        leader: partition.current_leader.leader_id.0,
        epoch: partition.current_leader.leader_epoch,
    };
    let answer = spoken.answer(endpoints!(response.node_endpoints), listener);
    let bytes = partition.unaligned_records.clone();
    let response = FetchSnapshotResponse {
        answer,
        snapshot: OffsetAndEpoch {
            offset: Offset::from_wire(partition.snapshot_id.end_offset).unwrap_or(Offset::ZERO),
            epoch: LeaderEpoch::from_wire(partition.snapshot_id.epoch).unwrap_or(LeaderEpoch::ZERO),
        },
        size_bytes: u64::try_from(partition.size).unwrap_or(0),
        position: u64::try_from(partition.position).unwrap_or(u64::MAX),
        length_bytes: bytes.len() as u64,
    };
    Ok((Response::FetchSnapshot(response), bytes))
}

/// What a peer says of itself in every answer.
struct Spoken {
    error: i16,
    leader: i32,
    epoch: i32,
}

impl Spoken {
    fn answer<'a>(
        &self,
        endpoints: impl Iterator<Item = (i32, &'a str, i32)>,
        listener: &str,
    ) -> Answer {
        let of_leader = endpoints.filter(|(id, _, _)| *id == self.leader && self.leader >= 0);
        let endpoint = |(_, host, port): (i32, &str, i32)| {
            let port = u16::try_from(port).ok()?;
            Some(Endpoint { name: listener.to_owned(), host: host.to_owned(), port })
        };
        Answer {
            error: ErrorCode::from_code(self.error).unwrap_or(ErrorCode::UnknownServerError),
            epoch: LeaderEpoch::from_wire(self.epoch).unwrap_or(LeaderEpoch::ZERO),
            leader: (self.leader >= 0).then_some(NodeId(self.leader)),
            leader_endpoints: of_leader.filter_map(endpoint).collect(),
        }
    }
}

/// An answer that says nothing but what was wrong.
const fn about(error: ErrorCode) -> Answer {
    Answer { error, epoch: LeaderEpoch::ZERO, leader: None, leader_endpoints: Vec::new() }
}

/// An answer without its partition says what was wrong with the whole request.
fn refused(code: i16) -> Result<Answer, AskError> {
    let error = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
    if error == ErrorCode::None {
        return Err(AskError::Odd("it is not about the metadata log".to_owned()));
    }
    Ok(about(error))
}

fn answer_of<'a>(
    code: i16,
    spoken: Option<Spoken>,
    endpoints: impl Iterator<Item = (i32, &'a str, i32)>,
    listener: &str,
) -> Result<Answer, AskError> {
    match spoken {
        None => refused(code),
        Some(spoken) => Ok(spoken.answer(endpoints, listener)),
    }
}

/// The only partition of an answer.
fn one<T, P>(topics: &[T], partitions: impl Fn(&T) -> &Vec<P>) -> Option<&P> {
    partitions(topics.first()?).first()
}

pub(super) fn directory(key: Option<ReplicaKey>) -> Uuid {
    key.and_then(|key| key.directory_id).map_or(Uuid::nil(), |id| id.0)
}

fn topic_name() -> TopicName {
    TopicName(StrBytes::from_static_str(METADATA_TOPIC))
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn wire_size(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}
