//! The last client of a run: writes to all partitions once more, and reads everything there is.

use std::sync::Arc;
use std::time::Duration;

use ottla::client::{
    Acks, Admin, Consumer, ConsumerSettings, IsolationLevel, Message, OffsetSpec, Producer,
    ProducerSettings, Start,
};
use ottla::environment::timeout;
use ottla::model::{GroupId, Offset, TopicPartition};

use crate::checkers::FinalRead;
use crate::history::{History, record_of, show, value_of};
use crate::runtime::SimRuntime;
use crate::workload::Habits;
use crate::workload::produce_consume::TOPIC;

/// Gives what it has read, or why it could not within [`BOUND`].
pub(super) async fn audit(
    runtime: SimRuntime,
    habits: Arc<Habits>,
    history: History,
) -> Result<FinalRead, String> {
    write_once_more(&runtime, &habits, &history).await?;
    let mut read = FinalRead::default();
    for partition in habits.partitions() {
        let records =
            timeout(&runtime, BOUND, read_all(&runtime, &habits, partition.clone())).await;
        let late = |_| format!("unseen: {} cannot be read to its end", show(&partition));
        read.records.insert(partition.clone(), records.map_err(late)??);
    }
    let admin = Admin::new(habits.client(runtime.clone()));
    for group in history.groups() {
        let found = admin.group_offsets(&GroupId::from(group.as_str())).await;
        let found = found.map_err(|error| format!("stuck: offsets of {group}: {error}"))?;
        for (partition, offset) in found {
            read.commits.insert((group.clone(), partition), offset.offset.value());
        }
    }
    let cluster = admin.list_topics().await.map_err(|error| format!("stuck: topics: {error}"))?;
    read.topics = cluster.topics.keys().map(ToString::to_string).collect();
    Ok(read)
}

async fn write_once_more(
    runtime: &SimRuntime,
    habits: &Habits,
    history: &History,
) -> Result<(), String> {
    let settings = ProducerSettings {
        acks: Acks::All,
        delivery_timeout: BOUND,
        ..ProducerSettings::default()
    };
    let producer = Producer::new(habits.client(runtime.clone()), settings);
    let life = history.new_life();
    for partition in habits.partitions() {
        let id = history.sending(life, partition.clone());
        let message = Message {
            partition: Some(partition.partition),
            ..Message::new(TOPIC, None, Some(value_of(id, 10)))
        };
        let outcome = producer.send_and_wait(message).await;
        history.sent(runtime.machine(), id, &outcome);
        outcome.map_err(|error| format!("stuck: {} takes no record: {error}", show(&partition)))?;
    }
    Ok(())
}

/// Reads a partition from its beginning to its end.
async fn read_all(
    runtime: &SimRuntime,
    habits: &Habits,
    partition: TopicPartition,
) -> Result<Vec<(i64, Option<crate::history::RecordId>)>, String> {
    let client = habits.client(runtime.clone());
    let admin = Admin::new(client.clone());
    let ask = [(partition.clone(), OffsetSpec::Latest)];
    let found = admin.list_offsets(&ask, IsolationLevel::ReadUncommitted).await.pop();
    let end = match found {
        Some((_, Ok(found))) => found.offset.map_or(0, Offset::value),
        Some((_, Err(error))) => {
            return Err(format!("stuck: the end of {}: {error}", show(&partition)));
        }
        None => return Err(format!("stuck: no answer about the end of {}", show(&partition))),
    };
    let mut consumer = Consumer::new(client, ConsumerSettings::default());
    consumer.assign([(partition.clone(), Start::At(Offset::new(0)))]);
    let (mut records, mut next) = (Vec::new(), 0);
    while next < end {
        let fetched = consumer.poll(Duration::from_secs(1)).await;
        let fetched = fetched.map_err(|error| format!("unseen: {}: {error}", show(&partition)))?;
        let Some(fetched) = fetched else { continue };
        next = fetched.next.value();
        let read = fetched.records.iter();
        records.extend(read.map(|r| (r.offset.value(), record_of(r.value.as_ref()))));
    }
    Ok(records)
}

/// The longest time for one thing that must work on a healthy cluster.
const BOUND: Duration = Duration::from_secs(60);
