//! The last client of a run: writes to all partitions once more, and reads everything there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ottla::client::{
    Acks, Admin, Consumer, ConsumerSettings, IsolationLevel, Message, OffsetSpec, Producer,
    ProducerSettings, Start,
};
use ottla::environment::{Runtime as _, timeout};
use ottla::model::{ErrorCode, GroupId, Offset, TopicPartition};

use crate::history::{Awaited, Event, History, RecordId, Verdict, record_of, show, value_of};
use crate::runtime::SimRuntime;
use crate::workload::{Habits, TOPIC};

/// Writes down all that there is, or gives what could not be done within [`BOUND`].
pub(super) async fn audit(
    runtime: SimRuntime,
    habits: Arc<Habits>,
    history: History,
    groups: BTreeMap<&'static str, u64>,
    rotten: BTreeSet<TopicPartition>,
) -> Result<(), Event> {
    write_once_more(&runtime, &habits, &history).await?;
    let used: BTreeSet<_> = history.partitions().into_iter().chain(habits.partitions()).collect();
    for partition in used {
        let is_rotten = rotten.contains(&partition);
        let reading = read_all(&runtime, &habits, partition.clone(), is_rotten);
        let late = |_| unseen(&partition, "it cannot be read to its end");
        let (start, records) = timeout(&runtime, BOUND, reading).await.map_err(late)??;
        history.note(Event::Read { partition, start, records });
    }
    for (name, member_count) in groups {
        until_group_is_stable(&runtime, &habits, &history, name, member_count).await?;
        let is_readable = rotten.is_empty() && member_count > 0 && history.groups().contains(name);
        if habits.brokers.len() > 1 && is_readable {
            until_lag_is_zero(&runtime, &habits, name).await?;
        }
    }
    let admin = Admin::new(habits.client(runtime.clone()));
    for group in history.groups() {
        let found = admin.group_offsets(&GroupId::from(group.as_str())).await;
        let found = found.map_err(|error| stuck(format!("offsets of {group}: {error}")))?;
        for (partition, offset) in found {
            let (group, offset) = (group.clone(), offset.offset.value());
            history.note(Event::ReadCommit { group, partition, offset });
        }
    }
    let cluster = admin.list_topics().await;
    let cluster = cluster.map_err(|error| stuck(format!("topics: {error}")))?;
    for (name, topic) in &cluster.topics {
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        history.note(Event::ReadTopic { topic: name.to_string(), partitions });
    }
    history.note(Event::End);
    Ok(())
}

/// The cluster does not do what it must.
pub(super) fn stuck(seen: String) -> Event {
    Event::Await { what: Awaited::Service, is_done: false, seen }
}

fn unseen(partition: &TopicPartition, what: &str) -> Event {
    let (verdict, what) = (Verdict::Unseen, format!("{}: {what}", show(partition)));
    Event::Noticed { verdict, partition: Some(partition.clone()), what }
}

async fn write_once_more(
    runtime: &SimRuntime,
    habits: &Habits,
    history: &History,
) -> Result<(), Event> {
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
        outcome.map_err(|error| {
            let seen = format!("{} takes no record: {error}", show(&partition));
            Event::Await { what: Awaited::Producer, is_done: false, seen }
        })?;
    }
    Ok(())
}

/// Where a partition begins, and its records, read from there to its end.
///
/// In a rotten one what cannot be read is left out, offset by offset. What retention takes away meanwhile is left out, too.
async fn read_all(
    runtime: &SimRuntime,
    habits: &Habits,
    partition: TopicPartition,
    is_rotten: bool,
) -> Result<(i64, Vec<(i64, Option<RecordId>)>), Event> {
    let client = habits.client(runtime.clone());
    let admin = Admin::new(client.clone());
    let mut start = place(&admin, &partition, OffsetSpec::Earliest).await?;
    let end = place(&admin, &partition, OffsetSpec::Latest).await?;
    let mut consumer = Consumer::new(client, ConsumerSettings::default());
    consumer.assign([(partition.clone(), Start::At(Offset::new(start)))]);
    let (mut records, mut next) = (Vec::new(), start);
    while next < end {
        match consumer.poll(Duration::from_secs(1)).await {
            Ok(Some(fetched)) => {
                next = fetched.next.value();
                let read = fetched.records.iter();
                records.extend(read.map(|r| (r.offset.value(), record_of(r.value.as_ref()))));
            }
            Ok(None) => {}
            Err(_) if is_rotten => {
                next += 1;
                consumer.seek(&partition, Start::At(Offset::new(next)));
            }
            Err(error) => {
                let begins = place(&admin, &partition, OffsetSpec::Earliest).await?;
                let is_past = error.code() == Some(ErrorCode::OffsetOutOfRange) && begins > next;
                if !is_past {
                    return Err(unseen(&partition, &error.to_string()));
                }
                (start, next) = (begins, begins);
                records.clear();
                consumer.seek(&partition, Start::At(Offset::new(next)));
            }
        }
    }
    Ok((start, records))
}

async fn place(
    admin: &Admin<SimRuntime>,
    partition: &TopicPartition,
    what: OffsetSpec,
) -> Result<i64, Event> {
    let ask = [(partition.clone(), what)];
    match admin.list_offsets(&ask, IsolationLevel::ReadUncommitted).await.pop() {
        Some((_, Ok(found))) => Ok(found.offset.map_or(0, Offset::value)),
        Some((_, Err(error))) => Err(stuck(format!("{what:?} of {}: {error}", show(partition)))),
        None => Err(stuck(format!("no answer about {what:?} of {}", show(partition)))),
    }
}

/// `stuck-group`: a group that is left alone comes to rest, and gives each partition to one member.
async fn until_group_is_stable(
    runtime: &SimRuntime,
    habits: &Habits,
    history: &History,
    name: &str,
    member_count: u64,
) -> Result<(), Event> {
    if member_count == 0 {
        return Ok(());
    }
    let admin = Admin::new(habits.client(runtime.clone()));
    let deadline = runtime.now() + GROUP_BOUND;
    loop {
        let found = admin.describe_group(&GroupId::from(name)).await;
        let is_at_rest = found.as_ref().is_ok_and(|group| {
            let mut given: Vec<_> =
                group.members.iter().flat_map(|m| m.assignment.iter()).collect();
            given.sort_unstable();
            group.state == "Stable"
                && group.members.len() as u64 == member_count
                && given.into_iter().eq(habits.partitions().collect::<Vec<_>>().iter())
        });
        let what = Awaited::Group;
        if is_at_rest {
            history.note(Event::Await { what, is_done: true, seen: name.to_owned() });
            return Ok(());
        }
        if runtime.now() >= deadline {
            let seen = format!("{member_count} members of {name}, but {found:?}");
            return Err(Event::Await { what, is_done: false, seen });
        }
        runtime.sleep(Duration::from_secs(1)).await;
    }
}

/// `stuck-group`: its members read to the end, and commit that they have.
async fn until_lag_is_zero(runtime: &SimRuntime, habits: &Habits, name: &str) -> Result<(), Event> {
    let admin = Admin::new(habits.client(runtime.clone()));
    let deadline = runtime.now() + GROUP_BOUND;
    loop {
        let found = admin.group_offsets(&GroupId::from(name)).await;
        let mut behind = Vec::new();
        for partition in habits.partitions() {
            let end = place(&admin, &partition, OffsetSpec::Latest).await?;
            let offsets = found.as_ref().ok();
            let committed = offsets.and_then(|offsets| offsets.get(&partition));
            let committed = committed.map_or(0, |found| found.offset.value());
            if committed != end {
                behind.push(format!("{committed} of {end} in {}", show(&partition)));
            }
        }
        if behind.is_empty() {
            return Ok(());
        }
        if runtime.now() >= deadline {
            let seen = format!("{name} has committed {}", behind.join(", "));
            return Err(Event::Await { what: Awaited::Group, is_done: false, seen });
        }
        runtime.sleep(Duration::from_secs(1)).await;
    }
}

/// How long a group may take to come to rest: sessions of dead members end, and the living are waited for.
const GROUP_BOUND: Duration = Duration::from_secs(120);

/// The longest time for one thing that must work on a healthy cluster.
const BOUND: Duration = Duration::from_secs(60);
