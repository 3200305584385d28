//! Topics that are cut off at their beginning while they are written and read: one by `DeleteRecords`, one by retention, since
//! its segments are small and its records are old soon; now and then so soon that nothing is left of it.
//!
//! What retention takes has no acknowledgement, so only the topic without it is judged by where it begins. But no offset is
//! ever given twice.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use ottla::client::{
    Admin, Consumer, Message, NewTopic, OffsetSpec, Producer, ProducerSettings, Start,
};
use ottla::environment::Runtime as _;
use ottla::model::{Offset, PartitionIndex, TopicPartition};

use super::{
    Clients, Habits, Shared, Workload, make_topic, note_records, pause, place, reader_settings,
};
use crate::history::{Verdict, value_of};
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "trimming", start };

fn start(clients: &mut Clients, random: &mut Random) {
    if random.chance(0.4) {
        clients.add_with_end("trimmed-producer", produce);
        clients.add_with_end("trimmer", trim);
        clients.add_with_end("fading-producer", fade);
        clients.add("trimmed-reader", read);
    }
}

/// Where `DeleteRecords` cuts.
const TRIMMED: &str = "trimmed";

/// Where retention does.
const FADING: &str = "fading";

fn trimmed() -> TopicPartition {
    TopicPartition::new(TRIMMED, 0)
}

async fn make_topic_with(
    runtime: &SimRuntime,
    habits: &Habits,
    name: &str,
    configs: &[(&str, &str)],
) {
    let admin = Admin::new(habits.client(runtime.clone()));
    let mut topic = NewTopic::new(name, 1);
    for (name, value) in configs {
        topic.configs.insert((*name).to_owned(), (*value).to_owned());
    }
    make_topic(runtime, &admin, &topic).await;
}

async fn produce(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    shared.has_begun(&runtime);
    make_topic_with(&runtime, habits, TRIMMED, &[("segment.ms", "1000")]).await;
    let settings =
        ProducerSettings { delivery_timeout: habits.delivery_timeout, ..Default::default() };
    let producer = Producer::new(habits.client(runtime.clone()), settings);
    let life = history.new_life();
    for _ in 0..habits.records {
        if shared.is_over() {
            break;
        }
        let id = history.sending(life, trimmed());
        let padding = usize::try_from(runtime.random() % 300).unwrap_or(0);
        let message = Message {
            partition: Some(PartitionIndex(0)),
            ..Message::new(TRIMMED, None, Some(value_of(id, padding)))
        };
        let outcome = producer.send_and_wait(message).await;
        history.sent(runtime.machine(), id, &outcome);
        pause(&runtime, habits.pause_ms).await;
    }
    shared.has_ended(&runtime);
    std::future::pending::<()>().await;
}

/// Writes now and then, so that retention has work.
async fn fade(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    shared.has_begun(&runtime);
    let configs = [("segment.ms", "1000"), ("retention.ms", "3000")];
    make_topic_with(&runtime, habits, FADING, &configs).await;
    let settings =
        ProducerSettings { delivery_timeout: habits.delivery_timeout, ..Default::default() };
    let producer = Producer::new(habits.client(runtime.clone()), settings);
    let mut given = BTreeSet::new();
    while !shared.is_over() {
        let message = Message::new(FADING, None, Some(Bytes::from_static(b"soon gone")));
        let delivered = producer.send_and_wait(message).await.ok();
        if let Some(offset) = delivered.and_then(|delivered| delivered.offset)
            && !given.insert(offset)
        {
            let what = format!("two records were acknowledged at {offset} of {FADING}");
            let partition = TopicPartition::new(FADING, 0);
            history.surprise(Verdict::InconsistentOffsets, Some(&partition), what);
        }
        // In some pauses everything there is grows old.
        let pauses = [50, 500, 10_000];
        let chosen = usize::try_from(runtime.random() % 3).unwrap_or(0);
        pause(&runtime, pauses[chosen]).await;
    }
    shared.has_ended(&runtime);
    std::future::pending::<()>().await;
}

async fn trim(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    shared.has_begun(&runtime);
    let admin = Admin::new(habits.client(runtime.clone()));
    let partition = trimmed();
    while !shared.is_over() {
        pause(&runtime, 4_000).await;
        let (Some(start), Some(end)) = (
            place(&admin, &partition, OffsetSpec::Earliest).await,
            place(&admin, &partition, OffsetSpec::Latest).await,
        ) else {
            continue;
        };
        check_start(&shared, &partition, start);
        let room = u64::try_from(end - start).unwrap_or(0);
        if room == 0 {
            continue;
        }
        let before = start + 1 + i64::try_from(runtime.random() % room).unwrap_or(0);
        history.trimming(&partition, before);
        let ask = [(partition.clone(), Some(Offset::new(before)))];
        if let Some((_, Ok(start))) = admin.delete_records(&ask).await.pop() {
            history.trimmed(runtime.machine(), &partition, start.value());
        }
    }
    shared.has_ended(&runtime);
    std::future::pending::<()>().await;
}

fn check_start(shared: &Shared, partition: &TopicPartition, start: i64) {
    let cut = shared.history.trimmed_at_least(partition);
    if start < cut {
        let what = format!("it was cut at {cut}, and begins at {start} now");
        shared.history.surprise(Verdict::LogStartBack, Some(partition), what);
    }
}

/// Reads what is there, asks where times stand, and begins again at the start whenever that has moved past it.
async fn read(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    let client = habits.client(runtime.clone());
    let admin = Admin::new(client.clone());
    let mut consumer = Consumer::new(client, reader_settings(&runtime));
    let partition = trimmed();
    let mut life = history.new_life();
    consumer.assign([(partition.clone(), Start::Find(OffsetSpec::Earliest))]);
    loop {
        let cut = history.trimmed_at_least(&partition);
        if runtime.random().is_multiple_of(8) {
            let an_hour_ago = runtime.wall_clock().millis() - 3_600_000;
            let time = OffsetSpec::At(ottla::model::Timestamp(an_hour_ago));
            if let Some(found) = place(&admin, &partition, time).await.filter(|found| *found < cut)
            {
                let what = format!("it was cut at {cut}, but a time stands at {found}");
                history.surprise(Verdict::LogStartBack, Some(&partition), what);
            }
        }
        match consumer.poll(Duration::from_millis(500)).await {
            Ok(Some(fetched)) => note_records(history, life, true, &fetched),
            Ok(None) => {}
            Err(_) => {
                pause(&runtime, 1_000).await;
                life = history.new_life();
                consumer.seek(&partition, Start::Find(OffsetSpec::Earliest));
            }
        }
    }
}
