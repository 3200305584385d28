//! A topic that is cut off at its beginning while it is written and read: by `DeleteRecords` here, and by retention, since its
//! segments are small and its records are old soon.
//!
//! What retention takes has no acknowledgement, so only the topic without it is judged by where it begins.

use std::time::Duration;

use bytes::Bytes;
use ottla::client::{
    Admin, Consumer, Message, NewTopic, OffsetSpec, Producer, ProducerSettings, Start,
};
use ottla::environment::Runtime as _;
use ottla::model::{Offset, PartitionIndex, TopicPartition};

use super::{Clients, Shared, Workload, make_topic, note_records, pause, place, reader_settings};
use crate::history::{Verdict, value_of};
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "trimming", start };

fn start(clients: &mut Clients, random: &mut Random) {
    if random.chance(0.4) {
        clients.add_with_end("trimmed-producer", produce);
        clients.add_with_end("trimmer", trim);
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

async fn make_topics(runtime: &SimRuntime, admin: &Admin<SimRuntime>) {
    let mut topic = NewTopic::new(TRIMMED, 1);
    topic.configs.insert("segment.ms".to_owned(), "1000".to_owned());
    make_topic(runtime, admin, &topic).await;
    topic = NewTopic::new(FADING, 1);
    topic.configs.insert("segment.ms".to_owned(), "1000".to_owned());
    topic.configs.insert("retention.ms".to_owned(), "3000".to_owned());
    make_topic(runtime, admin, &topic).await;
}

async fn produce(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    shared.has_begun(&runtime);
    let admin = Admin::new(habits.client(runtime.clone()));
    make_topics(&runtime, &admin).await;
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
        let old = Message::new(FADING, None, Some(Bytes::from_static(b"soon gone")));
        // Whatever becomes of it: it is there so that retention has work.
        drop(producer.send(old).await);
        pause(&runtime, habits.pause_ms).await;
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
