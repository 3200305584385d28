//! Batches of every size in every codec: single bytes and half a megabyte, one record and hundreds, each burst from a new
//! idempotent producer, which asks for an id of its own.

use std::time::Duration;

use ottla::client::{Admin, Message, NewTopic, Producer, ProducerSettings};
use ottla::environment::Runtime as _;
use ottla::model::{PartitionIndex, TopicPartition};
use ottla::record::Compression;

use super::{Clients, Shared, Workload, make_topic, pause};
use crate::history::value_of;
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "assortment", start };

fn start(clients: &mut Clients, random: &mut Random) {
    if random.chance(0.3) {
        clients.add_with_end("assortment", produce);
    }
}

const ASSORTED: &str = "assorted";

async fn produce(runtime: SimRuntime, shared: Shared) {
    let habits = &shared.habits;
    shared.has_begun(&runtime);
    let admin = Admin::new(habits.client(runtime.clone()));
    make_topic(&runtime, &admin, &NewTopic::new(ASSORTED, 2)).await;
    for round in 0..12 {
        if shared.is_over() {
            break;
        }
        burst(&runtime, &shared, round).await;
        pause(&runtime, 2_000).await;
    }
    shared.has_ended(&runtime);
    std::future::pending::<()>().await;
}

/// The records of one producer, which waits for all of them.
async fn burst(runtime: &SimRuntime, shared: &Shared, round: usize) {
    let Shared { habits, history, .. } = shared;
    let draw = |bound: u64| usize::try_from(runtime.random() % bound).unwrap_or(0);
    let settings = ProducerSettings {
        compression: Compression::ALL[round % Compression::ALL.len()],
        batch_bytes: [1, 16_384, 900_000][draw(3)],
        linger: Duration::from_millis([0, 5, 200][draw(3)]),
        delivery_timeout: habits.delivery_timeout,
        ..ProducerSettings::default()
    };
    let producer = Producer::new(habits.client(runtime.clone()), settings);
    let (count, bytes) = [(200, 1), (20, 500), (3, 300_000)][draw(3)];
    let partition = TopicPartition::new(ASSORTED, i32::try_from(draw(2)).unwrap_or(0));
    let (life, mut receipts) = (history.new_life(), Vec::new());
    for _ in 0..count {
        let id = history.sending(life, partition.clone());
        let message = Message {
            partition: Some(PartitionIndex(partition.partition.0)),
            ..Message::new(ASSORTED, None, Some(value_of(id, draw(bytes))))
        };
        match producer.send(message).await {
            Ok(receipt) => receipts.push((id, receipt)),
            Err(_) => history.never_sent(id),
        }
    }
    for (id, receipt) in receipts {
        history.sent(runtime.machine(), id, &receipt.wait().await);
    }
}
