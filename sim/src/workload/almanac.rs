//! Records with times of their own, each later than the one before, that are looked for by their times. A segment is full after
//! a few of them, so there are many, and who closes one has little time until the next.
//!
//! Nobody else writes there, what an earlier life of the client has sent neither, and nothing is deleted: the first record of a
//! time or later is the one that was given it. Times begin at the client's: of a producer whose last record is a day old nothing
//! is remembered, with Kafka, too.

use std::time::Duration;

use ottla::client::{
    Admin, IsolationLevel, Message, NewTopic, OffsetSpec, Producer, ProducerSettings,
};
use ottla::environment::Runtime as _;
use ottla::model::{PartitionIndex, Timestamp, TopicPartition};

use super::{Clients, Shared, Workload, make_topic, pause};
use crate::history::{Verdict, value_of};
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "almanac", start };

fn start(clients: &mut Clients, random: &mut Random) {
    if random.chance(0.4) {
        clients.add_with_end("almanac", keep);
    }
}

/// `segment.ms`, so that a segment has so many records and one more.
const SEGMENT: u8 = 8;

async fn keep(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    shared.has_begun(&runtime);
    let admin = Admin::new(habits.client(runtime.clone()));
    let life = history.new_life();
    let partition = TopicPartition::new(format!("almanac-{life}").as_str(), 0);
    let mut topic = NewTopic::new(partition.topic.clone(), 1);
    for (name, value) in [("segment.ms", i64::from(SEGMENT)), ("retention.ms", -1)] {
        topic.configs.insert(name.to_owned(), value.to_string());
    }
    make_topic(&runtime, &admin, &topic).await;
    let settings =
        ProducerSettings { delivery_timeout: habits.delivery_timeout, ..Default::default() };
    let producer = Producer::new(habits.client(runtime.clone()), settings);
    let mut time = runtime.wall_clock().millis();
    let mut known: Vec<(i64, i64)> = Vec::new();
    for _ in 0..habits.records {
        if shared.is_over() {
            break;
        }
        time += 1;
        let id = history.sending(life, partition.clone());
        let message = Message {
            partition: Some(PartitionIndex(0)),
            timestamp: Some(Timestamp(time)),
            ..Message::new(partition.topic.clone(), None, Some(value_of(id, 20)))
        };
        let outcome = producer.send_and_wait(message).await;
        history.sent(runtime.machine(), id, &outcome);
        if let Some(offset) = outcome.ok().and_then(|delivered| delivered.offset) {
            known.push((time, offset.value()));
        }
        look_one_up(&runtime, &shared, &admin, &partition, &known).await;
        pause(&runtime, habits.pause_ms).await;
    }
    while !shared.is_over() {
        look_one_up(&runtime, &shared, &admin, &partition, &known).await;
        runtime.sleep(Duration::from_millis(300)).await;
    }
    // What the last accident has done is seen only now.
    for chosen in known.chunks(usize::from(SEGMENT)) {
        look_one_up(&runtime, &shared, &admin, &partition, chosen).await;
    }
    shared.has_ended(&runtime);
    std::future::pending::<()>().await;
}

/// Asks where one of these times stands.
async fn look_one_up(
    runtime: &SimRuntime,
    shared: &Shared,
    admin: &Admin<SimRuntime>,
    partition: &TopicPartition,
    known: &[(i64, i64)],
) {
    let chosen = usize::try_from(runtime.random()).unwrap_or(0) % known.len().max(1);
    let Some((time, offset)) = known.get(chosen).copied() else { return };
    let ask = [(partition.clone(), OffsetSpec::At(Timestamp(time)))];
    let answer = admin.list_offsets(&ask, IsolationLevel::ReadUncommitted).await.pop();
    let Some((_, Ok(answer))) = answer else { return };
    runtime.world().events().count("time looked up", 1);
    let found = answer.offset.map(ottla::model::Offset::value);
    // One of several brokers that is cut off from the others may not have heard of it.
    if found == Some(offset) || (found.is_none() && shared.habits.brokers.len() > 1) {
        return;
    }
    let found = found.map_or("nowhere".to_owned(), |found| format!("at {found}"));
    let what = format!("the record of time {time} stands at {offset}, and is found {found}");
    shared.history.surprise(Verdict::TimeSkip, Some(partition), what);
}
