//! The border: what followers say and hear, in the structs of the codec package. Nothing of these leaves this file.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{
    FetchPartition, FetchTopic, ForgottenTopic, ReplicaState,
};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, ListOffsetsRequest, TopicName as WireTopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::session::{Asked, Request};
use super::{FetchOptions, Key};
use crate::client::{Connection, Error};
use crate::environment::Runtime;
use crate::model::{
    BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, OffsetAndEpoch, PartitionIndex, TopicId,
    TopicPartition,
};

/// Topics by id from 13 on; we speak no older version to brokers.
const OLDEST: i16 = 13;

/// The newest version we speak.
const NEWEST: i16 = 18;

/// Followers name their registration from here on. Source: KIP-903.
const REPLICA_STATE: i16 = 15;

/// `ListOffsets` by a broker: 8 knows where a log begins locally.
const LIST_OFFSETS: i16 = 10;

/// A leader's answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) error: ErrorCode,
    pub(super) session_id: i32,
    pub(super) partitions: Vec<(Key, PartitionAnswer)>,
}

/// A leader's answer for one partition.
#[derive(Clone, Debug)]
pub(super) struct PartitionAnswer {
    pub(super) error: ErrorCode,
    pub(super) high_watermark: Option<Offset>,
    pub(super) log_start: Option<Offset>,
    /// Where our log parts from the leader's.
    pub(super) diverging: Option<OffsetAndEpoch>,
    /// Whole batches, the last one perhaps cut; not judged yet.
    pub(super) records: Bytes,
}

/// Who fetches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replica {
    pub(super) id: NodeId,
    pub(super) epoch: BrokerEpoch,
}

/// Where the leader's log is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    End,
    Start,
    /// As `Start`, of what is not in tiered storage.
    LocalStart,
}

/// Fetches once; the leader may hold the request back for `options.wait_max`.
///
/// # Errors
///
/// When no answer came in time, or it cannot be read.
pub(super) async fn fetch<R: Runtime>(
    connection: &Connection<R>,
    replica: Replica,
    request: &Request,
    options: &FetchOptions,
) -> Result<Answer, Error> {
    let version = connection.version_of::<FetchRequest>(NEWEST)?;
    if version < OLDEST {
        let why = format!("the leader speaks Fetch {version} at most, by names of topics");
        return Err(Error::Invalid { why });
    }
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let millis = |wait: Duration| i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    let asked = FetchRequest::default()
        .with_cluster_id(None)
        .with_max_wait_ms(millis(options.wait_max))
        .with_min_bytes(number(options.min_bytes))
        .with_max_bytes(number(options.response_max_bytes))
        .with_session_id(request.claim.session_id)
        .with_session_epoch(request.claim.epoch)
        .with_topics(topics(&request.ask, number(options.max_bytes)))
        .with_forgotten_topics_data(forgotten(&request.forget));
    let asked = if version >= REPLICA_STATE {
        let state = ReplicaState::default()
            .with_replica_id(BrokerId(replica.id.0))
            .with_replica_epoch(replica.epoch.0);
        asked.with_replica_state(state)
    } else {
        asked.with_replica_id(BrokerId(replica.id.0))
    };
    let pending = connection.start(&asked, version, options.socket_timeout).await?;
    let (response, _) = pending.wait().await?;
    let mut partitions = Vec::new();
    for topic in response.responses {
        let id = TopicId(topic.topic_id);
        let of_topic = topic.partitions.into_iter();
        partitions.extend(
            of_topic
                .map(|data| ((id, PartitionIndex(data.partition_index)), partition_answer(data))),
        );
    }
    Ok(Answer { error: error_of(response.error_code), session_id: response.session_id, partitions })
}

fn topics(ask: &[(Key, Asked)], max_bytes: i32) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for ((topic, index), asked) in ask {
        let epoch = |epoch: Option<LeaderEpoch>| epoch.map_or(-1, LeaderEpoch::value);
        let partition = FetchPartition::default()
            .with_partition(index.0)
            .with_current_leader_epoch(asked.epoch.value())
            .with_fetch_offset(asked.offset.value())
            .with_last_fetched_epoch(epoch(asked.last_epoch))
            .with_log_start_offset(asked.log_start.value())
            .with_partition_max_bytes(max_bytes);
        match topics.last_mut() {
            Some(last) if last.topic_id == topic.0 => last.partitions.push(partition),
            _ => {
                let named = FetchTopic::default().with_topic_id(topic.0);
                topics.push(named.with_partitions(vec![partition]));
            }
        }
    }
    topics
}

fn forgotten(forget: &[Key]) -> Vec<ForgottenTopic> {
    let mut topics: Vec<ForgottenTopic> = Vec::new();
    for (topic, index) in forget {
        match topics.last_mut() {
            Some(last) if last.topic_id == topic.0 => last.partitions.push(index.0),
            _ => {
                let named = ForgottenTopic::default().with_topic_id(topic.0);
                topics.push(named.with_partitions(vec![index.0]));
            }
        }
    }
    topics
}

fn partition_answer(data: PartitionData) -> PartitionAnswer {
    let diverging = &data.diverging_epoch;
    let end = Offset::from_wire(diverging.end_offset).zip(LeaderEpoch::from_wire(diverging.epoch));
    PartitionAnswer {
        error: error_of(data.error_code),
        high_watermark: Offset::from_wire(data.high_watermark),
        log_start: Offset::from_wire(data.log_start_offset),
        diverging: end.map(|(offset, epoch)| OffsetAndEpoch { offset, epoch }),
        records: data.records.unwrap_or_default(),
    }
}

/// A code that nobody knows is some failure of the leader's.
fn error_of(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

/// Asks the leader where its log begins or ends.
///
/// # Errors
///
/// When no answer came in time, or it cannot be read; the inner error is the leader's.
pub(super) async fn list_offset<R: Runtime>(
    connection: &Connection<R>,
    replica: Replica,
    (partition, epoch): (&TopicPartition, LeaderEpoch),
    place: Place,
    limit: Duration,
) -> Result<Result<Offset, ErrorCode>, Error> {
    let version = connection.version_of::<ListOffsetsRequest>(LIST_OFFSETS)?;
    let timestamp = match place {
        Place::End => -1,
        Place::Start => -2,
        Place::LocalStart => -4,
    };
    let asked = ListOffsetsPartition::default()
        .with_partition_index(partition.partition.0)
        .with_current_leader_epoch(epoch.value())
        .with_timestamp(timestamp);
    let name = StrBytes::from_string(partition.topic.as_str().to_owned());
    let topic =
        ListOffsetsTopic::default().with_name(WireTopicName(name)).with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(replica.id.0))
        .with_topics(vec![topic]);
    let (response, _) = connection.start(&request, version, limit).await?.wait().await?;
    let mut answers = response.topics.iter().flat_map(|topic| &topic.partitions);
    let answer = answers.find(|answer| answer.partition_index == partition.partition.0);
    Ok(match answer {
        None => Err(ErrorCode::UnknownServerError),
        Some(answer) if answer.error_code == ErrorCode::None.code() => {
            Offset::from_wire(answer.offset).ok_or(ErrorCode::UnknownServerError)
        }
        Some(answer) => Err(error_of(answer.error_code)),
    })
}
