//! Producers with two lives: the newer one has bumped its epoch (KIP-360) and was acknowledged; the older one does not know,
//! and goes on sending. None of its records may ever be taken, whatever happened to the broker in between.
//!
//! The project's client is no zombie, so these speak for themselves, one request at a time.

use std::io;

use bytes::Bytes;
use kafka_protocol::messages::TopicName as WireTopicName;
use kafka_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use kafka_protocol::protocol::StrBytes;
use ottla::client::{Admin, Delivered, NewTopic};
use ottla::environment::{Runtime as _, timeout};
use ottla::model::{ErrorCode, Offset, ProducerEpoch, ProducerId, TopicPartition};
use ottla::record::{Builder, Compression};

use super::spoken::Line;
use super::{Clients, Shared, Workload, make_topic, pause};
use crate::history::{RecordId, value_of};
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "zombies", start };

fn start(clients: &mut Clients, random: &mut Random) {
    if random.chance(0.3) {
        clients.add("zombie", haunt);
    }
}

async fn haunt(runtime: SimRuntime, shared: Shared) {
    let habits = &shared.habits;
    let admin = Admin::new(habits.client(runtime.clone()));
    make_topic(&runtime, &admin, &NewTopic::new(FENCED, 1)).await;
    while !shared.is_over() {
        let mut producer = Producer::new(&shared);
        while !shared.is_over() {
            // What had no answer may have been written, or not: its sequence is lost, and the producer with it.
            let lives =
                timeout(&runtime, habits.request_timeout, both(&runtime, &shared, &producer));
            if !matches!(lives.await, Ok(Ok(true))) {
                break;
            }
            producer.sequence += 1;
            pause(&runtime, 3_000).await;
        }
        pause(&runtime, 1_000).await;
    }
    std::future::pending::<()>().await;
}

/// One identity for two.
struct Producer {
    id: ProducerId,
    newer: u64,
    older: u64,
    /// Of the newer one.
    sequence: i32,
}

impl Producer {
    fn new(shared: &Shared) -> Self {
        let (newer, older) = (shared.history.new_life(), shared.history.new_life());
        // Far from those that the broker gives away.
        let id = i64::try_from(newer).unwrap_or(0) + (1 << 40);
        Self { id: ProducerId(id), newer, older, sequence: 0 }
    }
}

/// The newer one writes, and once that is acknowledged the older one tries. True when the newer one can go on.
async fn both(runtime: &SimRuntime, shared: &Shared, producer: &Producer) -> io::Result<bool> {
    let Shared { habits, history, .. } = shared;
    let partition = TopicPartition::new(FENCED, 0);
    let mut line = Line::open(runtime, &habits.broker, "zombie").await?;

    let record = history.sending(producer.newer, partition.clone());
    let batch = batch(runtime, producer.id, 1, producer.sequence, record)?;
    let (code, offset) = ask(&mut line, batch).await?;
    if code != ErrorCode::None.code() {
        return Ok(false);
    }
    let delivered = Delivered {
        partition: partition.clone(),
        offset: Offset::from_wire(offset),
        append_time: None,
        at: runtime.now(),
    };
    history.sent(runtime.machine(), record, &Ok(delivered));

    // From here on it is late, whenever it arrives.
    let record = history.sending(producer.older, partition.clone());
    history.never_sent(record);
    let sequence = if runtime.random().is_multiple_of(2) { 0 } else { producer.sequence + 1 };
    let batch = self::batch(runtime, producer.id, 0, sequence, record)?;
    let (code, offset) = ask(&mut line, batch).await?;
    if code == ErrorCode::None.code() {
        let what = format!("{record} of epoch 0 is taken at {offset}, but epoch 1 has begun");
        history.surprise("zombie-write", Some(&partition), what);
    } else if code == ErrorCode::InvalidProducerEpoch.code() {
        runtime.world().events().count("zombie refused", 1);
    }
    Ok(true)
}

fn batch(
    runtime: &SimRuntime,
    id: ProducerId,
    epoch: i16,
    sequence: i32,
    record: RecordId,
) -> io::Result<Bytes> {
    let builder = Builder::new(Offset::ZERO, None, Compression::None);
    let mut builder = builder.producer(id, ProducerEpoch(epoch), Some(sequence));
    builder.append(runtime.wall_clock(), None, Some(&value_of(record, 20)), &[]);
    builder.build().map_err(io::Error::other)
}

/// Sends a batch, and gives the code and the offset that it is answered with.
async fn ask(line: &mut Line, batch: Bytes) -> io::Result<(i16, i64)> {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(WireTopicName(StrBytes::from_static_str(FENCED)))
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic]);
    let response = line.ask(VERSION, &request).await?;
    let answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    let found = answers.map(|answer| (answer.error_code, answer.base_offset)).next();
    found.ok_or_else(|| io::Error::other("an answer without a partition"))
}

/// Where they write; nobody else does.
const FENCED: &str = "fenced";

/// Of Produce: the first without an id for the topic that is new enough for everything else.
const VERSION: i16 = 9;
