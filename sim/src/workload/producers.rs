//! Clients that write records with values of their own: idempotent, `acks=all`, several batches under way, over retries and
//! restarts of the broker. One that was killed begins anew, as another producer.

use std::sync::Arc;

use ottla::client::{Message, Producer, ProducerSettings};
use ottla::environment::Runtime as _;
use ottla::model::{PartitionIndex, TopicPartition};
use tokio::sync::Semaphore;

use super::{Clients, Shared, TOPIC, Workload, pause};
use crate::history::value_of;
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "producers", start };

fn start(clients: &mut Clients, random: &mut Random) {
    for number in 1..=random.between(&(1..4)) {
        clients.add_with_end(&format!("producer-{number}"), produce);
    }
}

async fn produce(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    shared.has_begun(&runtime);
    let (machine, life) = (runtime.machine(), history.new_life());
    let settings = ProducerSettings {
        compression: habits.compression,
        delivery_timeout: habits.delivery_timeout,
        ..ProducerSettings::default()
    };
    let producer = Producer::new(habits.client(runtime.clone()), settings);
    let window = Arc::new(Semaphore::new(habits.window));
    let mut left = habits.records;
    while left > 0 && !shared.is_over() {
        let Ok(permit) = Arc::clone(&window).acquire_owned().await else { break };
        let count = u64::try_from(habits.partition_count).unwrap_or(1);
        let index = i32::try_from(runtime.random() % count).unwrap_or(0);
        let id = history.sending(life, TopicPartition::new(TOPIC, index));
        let padding = usize::try_from(runtime.random() % habits.value_bytes.max(1)).unwrap_or(0);
        let message = Message {
            partition: Some(PartitionIndex(index)),
            ..Message::new(TOPIC, None, Some(value_of(id, padding)))
        };
        match producer.send(message).await {
            Ok(receipt) => {
                left -= 1;
                let history = history.clone();
                runtime.spawn("receipt", async move {
                    let outcome = receipt.wait().await;
                    history.sent(machine, id, &outcome);
                    drop(permit);
                });
            }
            Err(_) => history.never_sent(id),
        }
        if runtime.random().is_multiple_of(4) {
            pause(&runtime, habits.pause_ms).await;
        }
    }
    let all = u32::try_from(habits.window).unwrap_or(u32::MAX);
    drop(window.acquire_many(all).await);
    shared.has_ended(&runtime);
    std::future::pending::<()>().await;
}
