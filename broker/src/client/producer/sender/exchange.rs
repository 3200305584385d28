//! What is said to brokers, and what their answers mean.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse};

use super::Sender;
use crate::client::connection::{Connection, Pending};
use crate::client::producer::Acks;
use crate::client::producer::accumulator::{Content, Parcel};
use crate::client::producer::fate::Outcome;
use crate::client::producer::sequencer::Identity;
use crate::client::wire::text;
use crate::client::{Client, Error};
use crate::environment::{Instant, Runtime};
use crate::model::{
    ErrorCode, Offset, ProducerEpoch, ProducerId, Timestamp, TopicId, TopicName, TopicPartition,
};

/// A request on its way.
pub(super) enum Started<R: Runtime> {
    Unanswered,
    Pending(Pending<R, ProduceRequest>, BTreeMap<TopicId, TopicName>),
}

/// What was answered for each partition.
pub(super) type Answers = BTreeMap<TopicPartition, PartitionProduceResponse>;

impl<R: Runtime> Sender<R> {
    /// Sends a request with these batches.
    pub(super) fn start(
        &self,
        connection: &Connection<R>,
        parcels: &[Parcel],
    ) -> Result<Started<R>, Error> {
        let cluster = self.client.cluster();
        let mut ids = BTreeMap::new();
        let mut newest = BY_TOPIC_ID;
        for parcel in parcels {
            let name = &parcel.fate.partition.topic;
            match cluster.topics.get(name).and_then(|topic| topic.id) {
                Some(id) => drop(ids.insert(name.clone(), id)),
                None => newest = BY_TOPIC_ID - 1,
            }
        }
        let version = connection.version_of::<ProduceRequest>(newest)?;
        let mut topics: BTreeMap<&TopicName, Vec<PartitionProduceData>> = BTreeMap::new();
        for parcel in parcels {
            let TopicPartition { topic, partition } = &parcel.fate.partition;
            let Content::Closed(batch) = &parcel.content else { continue };
            let data = PartitionProduceData::default()
                .with_index(partition.0)
                .with_records(Some(batch.bytes().clone()));
            topics.entry(topic).or_default().push(data);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            let topic = TopicProduceData::default().with_partition_data(partitions);
            match ids.get(name) {
                Some(id) if version >= BY_TOPIC_ID => topic.with_topic_id(id.0),
                Some(_) | None => topic.with_name(text(name.as_str()).into()),
            }
        });
        let timeout = self.client.settings().request_timeout;
        let request = ProduceRequest::default()
            .with_transactional_id(None)
            .with_acks(self.settings.acks.number())
            .with_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
            .with_topic_data(topics.collect());
        if self.settings.acks == Acks::None {
            connection.try_send_only(&request, version)?;
            return Ok(Started::Unanswered);
        }
        let names = ids.into_iter().map(|(name, id)| (id, name)).collect();
        // The broker itself waits for replicas up to the time-out: ours must be longer.
        let after = timeout + Duration::from_secs(2);
        Ok(Started::Pending(connection.try_start(&request, version, after)?, names))
    }
}

pub(super) async fn ask_identity<R: Runtime>(client: &Client<R>) -> Result<Identity, Error> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let response = client.call_any(&request, 5).await?;
    Error::check(|| "ask for a producer id".to_owned(), response.error_code, None)?;
    Ok(Identity {
        id: ProducerId(response.producer_id.0),
        epoch: ProducerEpoch(response.producer_epoch),
    })
}

pub(super) fn by_partition(
    response: ProduceResponse,
    names: &BTreeMap<TopicId, TopicName>,
) -> Answers {
    let mut answers = BTreeMap::new();
    for topic in response.responses {
        let named = (!topic.name.is_empty()).then(|| TopicName::new(topic.name.as_str()));
        let Some(name) = named.or_else(|| names.get(&TopicId(topic.topic_id)).cloned()) else {
            continue;
        };
        for partition in topic.partition_responses {
            answers.insert(TopicPartition::new(name.clone(), partition.index), partition);
        }
    }
    answers
}

pub(super) fn outcome_of(
    parcel: &Parcel,
    answers: &mut Answers,
    at: Instant,
) -> Result<Outcome, Error> {
    let partition = &parcel.fate.partition;
    let what = || format!("write to {partition}");
    let Some(answer) = answers.remove(partition) else {
        // The broker has answered and left this out: it may have done anything.
        let message = Some("the broker's answer leaves this partition out".to_owned());
        return Err(Error::Refused { what: what(), code: ErrorCode::UnknownServerError, message });
    };
    let is_duplicate = answer.error_code == ErrorCode::DuplicateSequenceNumber.code();
    if !is_duplicate {
        let of_record = answer.record_errors.first();
        let of_record = of_record.and_then(|error| error.batch_index_error_message.as_deref());
        Error::check(what, answer.error_code, answer.error_message.as_deref().or(of_record))?;
    }
    Ok(Outcome {
        base_offset: Offset::from_wire(answer.base_offset),
        append_time: (answer.log_append_time_ms >= 0)
            .then_some(Timestamp(answer.log_append_time_ms)),
        at,
    })
}

/// From this version on, Produce names topics by their id.
const BY_TOPIC_ID: i16 = 13;
