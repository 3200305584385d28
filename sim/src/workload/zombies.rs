//! Idempotent producers that do what the project's client never does, or seldom, and speak for themselves, one request at a
//! time. One has two lives: the newer has bumped its epoch (KIP-360) and was acknowledged; the older does not know, and goes on
//! sending. It sends a batch again that was acknowledged some batches ago, or one that leaves a sequence out.
//!
//! What the older life sends, and what leaves a sequence out, may never be taken, whatever happened to the broker in between;
//! what is sent again must be known, at its old offset.

use std::collections::VecDeque;
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
use crate::history::{RecordId, Verdict, value_of};
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
            let said =
                timeout(&runtime, habits.request_timeout, producer.speak(&runtime, &shared)).await;
            if !matches!(said, Ok(Ok(true))) {
                break;
            }
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
    /// The next of the newer one.
    sequence: i32,
    /// Its last batches, and where they were written.
    known: VecDeque<(Bytes, i64)>,
}

impl Producer {
    fn new(shared: &Shared) -> Self {
        let (newer, older) = (shared.history.new_life(), shared.history.new_life());
        // Far from those that the broker gives away.
        let id = ProducerId(i64::try_from(newer).unwrap_or(0) + (1 << 40));
        Self { id, newer, older, sequence: 0, known: VecDeque::new() }
    }

    /// The newer one writes, and once that is acknowledged the others try. True when it can go on.
    async fn speak(&mut self, runtime: &SimRuntime, shared: &Shared) -> io::Result<bool> {
        let Shared { habits, history, .. } = shared;
        let leader = habits.leader_of(runtime, &fenced()).await;
        let leader = leader.ok_or_else(|| io::Error::other("nobody leads"))?;
        let mut line = Line::open(runtime, &leader, "zombie").await?;
        // After a start a snapshot tells of the last batch only, as Kafka's does: what counts is what this connection wrote.
        self.known.clear();
        for _ in 0..3 {
            let record = history.sending(self.newer, fenced());
            let batch = batch(runtime, self.id, 1, self.sequence, record)?;
            let (code, offset) = ask(shared, &mut line, batch.clone()).await?;
            if code != ErrorCode::None.code() {
                return Ok(false);
            }
            let delivered = Delivered {
                partition: fenced(),
                offset: Offset::from_wire(offset),
                append_time: None,
                at: runtime.now(),
            };
            history.sent(runtime.machine(), record, &Ok(delivered));
            self.sequence += 1;
            self.known.push_back((batch, offset));
            if self.known.len() > KNOWN_BATCHES {
                self.known.pop_front();
            }
        }
        self.send_again(runtime, shared, &mut line).await?;
        let gap = self.sequence + 3;
        self.intrude(runtime, shared, &mut line, self.newer, (1, gap)).await?;
        let sequence = if runtime.random().is_multiple_of(2) { 0 } else { self.sequence };
        self.intrude(runtime, shared, &mut line, self.older, (0, sequence)).await?;
        Ok(true)
    }

    /// Kafka knows the last five batches of a producer.
    async fn send_again(
        &self,
        runtime: &SimRuntime,
        shared: &Shared,
        line: &mut Line,
    ) -> io::Result<()> {
        let which = usize::try_from(runtime.random()).unwrap_or(0) % self.known.len().max(1);
        let Some((batch, written)) = self.known.get(which) else { return Ok(()) };
        let (code, offset) = ask(shared, line, batch.clone()).await?;
        let is_known = code == ErrorCode::None.code() && offset == *written;
        let unknown = [ErrorCode::None, ErrorCode::OutOfOrderSequenceNumber];
        if !is_known && unknown.iter().any(|unknown| unknown.code() == code) {
            let what = format!("what was written at {written} is answered {code}, at {offset}");
            shared.history.surprise(Verdict::UnknownRetry, Some(&fenced()), what);
        }
        Ok(())
    }

    /// Sends what must be refused, whenever it arrives.
    async fn intrude(
        &self,
        runtime: &SimRuntime,
        shared: &Shared,
        line: &mut Line,
        life: u64,
        (epoch, sequence): (i16, i32),
    ) -> io::Result<()> {
        let history = &shared.history;
        let record = history.sending(life, fenced());
        history.never_sent(record);
        let batch = batch(runtime, self.id, epoch, sequence, record)?;
        let (code, offset) = ask(shared, line, batch).await?;
        if code == ErrorCode::None.code() {
            let verdict = if epoch == 0 { Verdict::ZombieWrite } else { Verdict::SequenceGap };
            let next = self.sequence;
            let what = format!(
                "{record} of epoch {epoch}, sequence {sequence} is taken at {offset}; epoch 1, {next} is next"
            );
            history.surprise(verdict, Some(&fenced()), what);
        } else if code == ErrorCode::InvalidProducerEpoch.code() {
            runtime.world().events().count("zombie refused", 1);
        } else if code == ErrorCode::OutOfOrderSequenceNumber.code() {
            runtime.world().events().count("sequence gap refused", 1);
        }
        Ok(())
    }
}

fn fenced() -> TopicPartition {
    TopicPartition::new(FENCED, 0)
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
async fn ask(shared: &Shared, line: &mut Line, batch: Bytes) -> io::Result<(i16, i64)> {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(WireTopicName(StrBytes::from_static_str(FENCED)))
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic]);
    let (response, is_in_order) = line.ask_two(VERSION, &request).await?;
    if !is_in_order {
        let what = "a response has overtaken the one to the request before".to_owned();
        shared.history.surprise(Verdict::ResponseOrder, Some(&fenced()), what);
    }
    let answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    let found = answers.map(|answer| (answer.error_code, answer.base_offset)).next();
    found.ok_or_else(|| io::Error::other("an answer without a partition"))
}

/// Where they write; nobody else does.
const FENCED: &str = "fenced";

/// As many as Kafka knows of a producer.
const KNOWN_BATCHES: usize = 5;

/// Of Produce: the first without an id for the topic that is new enough for everything else.
const VERSION: i16 = 9;
