//! A topic that keeps a few kilobytes, in small segments, so that retention has to judge how much may go.
//!
//! By size and not by age: no clock that was set makes what it takes right.

use ottla::client::{Admin, Message, NewTopic, OffsetSpec, Producer, ProducerSettings};
use ottla::environment::Runtime as _;
use ottla::model::{PartitionIndex, TopicPartition};

use super::{Clients, Shared, Workload, make_topic, pause, place};
use crate::history::{Limit, value_of};
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "limited", start };

fn start(clients: &mut Clients, random: &mut Random) {
    if random.chance(0.3) {
        clients.add_with_end("limited-producer", produce);
    }
}

const LIMITED: &str = "limited";

/// `retention.bytes`.
const LIMIT_BYTES: u64 = 4_000;

/// What a value has behind its number; with it and the header of its batch a record stays below
/// [`RECORD_BYTES_MAX`].
const PADDING: usize = 192;

const RECORD_BYTES_MAX: u64 = 300;

async fn produce(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    shared.has_begun(&runtime);
    let admin = Admin::new(habits.client(runtime.clone()));
    let partition = TopicPartition::new(LIMITED, 0);
    history.limited(&partition, Limit { bytes: LIMIT_BYTES, record_bytes_max: RECORD_BYTES_MAX });
    let mut topic = NewTopic::new(LIMITED, 1);
    for (name, value) in
        [("segment.ms", 500), ("retention.bytes", LIMIT_BYTES.cast_signed()), ("retention.ms", -1)]
    {
        topic.configs.insert(name.to_owned(), value.to_string());
    }
    make_topic(&runtime, &admin, &topic).await;
    let settings =
        ProducerSettings { delivery_timeout: habits.delivery_timeout, ..Default::default() };
    let producer = Producer::new(habits.client(runtime.clone()), settings);
    let life = history.new_life();
    while !shared.is_over() {
        let id = history.sending(life, partition.clone());
        let message = Message {
            partition: Some(PartitionIndex(0)),
            ..Message::new(LIMITED, None, Some(value_of(id, PADDING)))
        };
        // One at a time: each is a batch of its own.
        let outcome = producer.send_and_wait(message).await;
        history.sent(runtime.machine(), id, &outcome);
        if runtime.random().is_multiple_of(16)
            && place(&admin, &partition, OffsetSpec::Earliest).await.is_some_and(|start| start > 0)
        {
            runtime.world().events().count("retention has taken records", 1);
        }
        pause(&runtime, 200).await;
    }
    shared.has_ended(&runtime);
    std::future::pending::<()>().await;
}
