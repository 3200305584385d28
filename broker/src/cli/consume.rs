use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::base64;
use super::context::{Context, interrupted};
use super::failure::{Failure, INTERRUPTED, NOT_FOUND};
use super::format::Format;
use super::offset_argument::OffsetArgument;
use super::topic::{Ends, bases};
use crate::client::{
    Consumer, ConsumerSettings, Fetched, GroupConsumer, GroupEvent, GroupSettings, IsolationLevel,
    Start,
};
use crate::environment::tokio::TokioRuntime;
use crate::environment::{Runtime as _, select};
use crate::model::{Offset, PartitionIndex, TopicName, TopicPartition};
use crate::record::Record;

#[derive(Debug, Args)]
pub(super) struct ConsumeArguments {
    /// What to read
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Partitions to read, separated by commas; all without
    #[arg(short, long, value_name = "PARTITION", value_delimiter = ',', conflicts_with = "group")]
    partitions: Vec<i32>,
    /// Where to begin: start, end, N, +N, -N, @TIME (@-1h, @2026-11-20T10:00Z, @milliseconds)
    #[arg(short, long, value_name = "OFFSET", default_value = "start", allow_hyphen_values = true)]
    offset: String,
    /// End after this many records
    #[arg(short, long, value_name = "COUNT")]
    num: Option<u64>,
    /// End at the end, as it was when reading began
    #[arg(short, long)]
    exit_at_end: bool,
    /// Read as a member of a group, and commit; --offset is for partitions without a committed offset
    #[arg(short, long)]
    group: Option<String>,
    /// How to write records, such as '%t %p %o: %k %v\n'; without, one JSON object per line
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Leave out records of transactions that are open or aborted
    #[arg(long)]
    read_committed: bool,
}

pub(super) async fn run(context: &mut Context, arguments: ConsumeArguments) -> Result<(), Failure> {
    let format = match &arguments.format {
        None => None,
        Some(text) => {
            let parsed = Format::parse(text);
            Some(parsed.map_err(|why| Failure::usage(format!("--format {text:?}: {why}")))?)
        }
    };
    let now = context.runtime.wall_clock();
    let start = OffsetArgument::parse(&arguments.offset, now);
    let start = start.map_err(|why| Failure::usage(format!("--offset: {why}")))?;
    let settings = ConsumerSettings {
        isolation: if arguments.read_committed {
            IsolationLevel::ReadCommitted
        } else {
            IsolationLevel::ReadUncommitted
        },
        ..ConsumerSettings::default()
    };
    let printer = Printer { format, left: arguments.num.unwrap_or(u64::MAX) };
    if printer.left == 0 {
        return Ok(());
    }
    match &arguments.group {
        Some(group) => as_member(context, &arguments, group, start, settings, printer).await,
        None => by_assignment(context, &arguments, start, settings, printer).await,
    }
}

async fn by_assignment(
    context: &mut Context,
    arguments: &ConsumeArguments,
    start: OffsetArgument,
    settings: ConsumerSettings,
    mut printer: Printer,
) -> Result<(), Failure> {
    let client = context.client();
    let admin = crate::client::Admin::new(client.clone());
    let partitions = partitions(&admin, arguments).await?;
    let ends = Ends::of(&admin, &partitions, settings.isolation).await?;
    let found = bases(&admin, &partitions, start).await?;
    let mut consumer = Consumer::new(client, settings);
    let mut goals = BTreeMap::new();
    let mut starts = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let (first, end) = ends.of_partition(&partition);
        let from = start.resolve(found.get(&partition).copied().flatten(), first, end);
        if from < end {
            goals.insert(partition.clone(), end);
        }
        starts.push((partition, Start::At(from)));
    }
    consumer.assign(starts);
    while !(arguments.exit_at_end && goals.is_empty()) {
        let Some(fetched) = consumer.poll(IDLE).await? else { continue };
        printer.print(
            context,
            &fetched,
            goals.get(&fetched.partition).copied().filter(|_| arguments.exit_at_end),
        )?;
        if printer.left == 0 {
            return Ok(());
        }
        goals.retain(|partition, goal| *partition != fetched.partition || fetched.next < *goal);
    }
    Ok(())
}

/// The partitions that the arguments name, all of which exist.
async fn partitions(
    admin: &crate::client::Admin<TokioRuntime>,
    arguments: &ConsumeArguments,
) -> Result<Vec<TopicPartition>, Failure> {
    let names: Vec<TopicName> =
        arguments.topics.iter().map(|name| TopicName::from(name.as_str())).collect();
    let mut partitions = Vec::new();
    for (name, topic) in admin.describe_topics(&names).await? {
        let topic = topic?;
        if arguments.partitions.is_empty() {
            partitions.extend(
                topic
                    .partitions
                    .keys()
                    .map(|index| TopicPartition { topic: name.clone(), partition: *index }),
            );
            continue;
        }
        for index in &arguments.partitions {
            if !topic.partitions.contains_key(&PartitionIndex(*index)) {
                let count = topic.partitions.len();
                let what = format!(
                    "topic {name} has no partition {index}: it has {count}, counted from 0"
                );
                return Err(Failure::new(NOT_FOUND, what));
            }
            partitions.push(TopicPartition::new(name.clone(), *index));
        }
    }
    Ok(partitions)
}

async fn as_member(
    context: &mut Context,
    arguments: &ConsumeArguments,
    group: &str,
    start: OffsetArgument,
    consumer: ConsumerSettings,
    mut printer: Printer,
) -> Result<(), Failure> {
    let OffsetArgument::Find(reset) = start else {
        let what = "with --group, --offset is start, end or @TIME";
        return Err(Failure::usage(what).advise("move the group first: ottla group seek"));
    };
    let topics = arguments.topics.iter().map(|name| TopicName::from(name.as_str())).collect();
    let isolation = consumer.isolation;
    let settings =
        GroupSettings { reset: Some(reset), consumer, ..GroupSettings::new(group, topics) };
    let client = context.client();
    let admin = crate::client::Admin::new(client.clone());
    // A group waits for a topic until somebody makes it; a person has mistyped its name.
    for (_, topic) in admin.describe_topics(&settings.topics).await? {
        topic?;
    }
    let mut member = GroupConsumer::new(client, settings);
    let mut goals: Option<BTreeMap<TopicPartition, Offset>> = None;
    let outcome = loop {
        let event = select! {
            event = member.poll(IDLE) => event,
            () = interrupted() => break Err(Failure::new(INTERRUPTED, "")),
        };
        match event {
            Err(error) => break Err(error.into()),
            Ok(Some(GroupEvent::Assigned { partitions, .. })) if arguments.exit_at_end => {
                let ends = Ends::of(&admin, &partitions, isolation).await?;
                goals = Some(
                    partitions.into_iter().map(|p| (p.clone(), ends.of_partition(&p).1)).collect(),
                );
            }
            Ok(Some(GroupEvent::Records(fetched))) => {
                let until = goals.as_ref().and_then(|goals| goals.get(&fetched.partition)).copied();
                if let Some(next) = printer.print(context, &fetched, until)? {
                    member.processed_until(&fetched.partition, next);
                }
            }
            Ok(Some(GroupEvent::Assigned { .. } | GroupEvent::Revoked { .. }) | None) => {}
        }
        let is_at_end = |(partition, goal): (&TopicPartition, &Offset)| {
            member.position(partition).is_some_and(|position| position >= *goal)
        };
        if printer.left == 0 || goals.as_ref().is_some_and(|goals| goals.iter().all(is_at_end)) {
            break Ok(());
        }
    };
    let left = member.leave().await;
    outcome?;
    Ok(left?)
}

/// How often a loop without records looks at its other business.
const IDLE: Duration = Duration::from_millis(500);

struct Printer {
    format: Option<Format>,
    /// How many records are still to be printed.
    left: u64,
}

#[derive(Debug, Serialize)]
struct PrintedRecord<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<&'static str>,
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_encoding: Option<&'static str>,
    headers: Vec<PrintedHeader>,
}

#[derive(Debug, Serialize)]
struct PrintedHeader {
    key: String,
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_encoding: Option<&'static str>,
}

impl Printer {
    /// Prints the records before `until`. When it stops before the last, it says where to go on.
    fn print(
        &mut self,
        context: &mut Context,
        fetched: &Fetched,
        until: Option<Offset>,
    ) -> io::Result<Option<Offset>> {
        let mut line = Vec::new();
        for record in &fetched.records {
            if self.left == 0 || until.is_some_and(|until| record.offset >= until) {
                context.out.flush()?;
                return Ok(Some(record.offset));
            }
            line.clear();
            let TopicPartition { topic, partition } = &fetched.partition;
            match &self.format {
                Some(format) => format.write(topic.as_str(), *partition, record, &mut line),
                None => write_json(topic.as_str(), *partition, record, &mut line)?,
            }
            context.out.write_all(&line)?;
            context.out.end_record()?;
            self.left -= 1;
        }
        context.out.flush()?;
        Ok(None)
    }
}

fn write_json(
    topic: &str,
    partition: PartitionIndex,
    record: &Record,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let (key, key_encoding) = text(record.key.as_deref());
    let (value, value_encoding) = text(record.value.as_deref());
    let header = |(key, value): &(bytes::Bytes, Option<bytes::Bytes>)| {
        let (value, value_encoding) = text(value.as_deref());
        PrintedHeader { key: String::from_utf8_lossy(key).into_owned(), value, value_encoding }
    };
    let printed = PrintedRecord {
        topic,
        partition: partition.0,
        offset: record.offset.value(),
        timestamp: record.timestamp.millis(),
        key,
        key_encoding,
        value,
        value_encoding,
        headers: record.headers.iter().map(header).collect(),
    };
    serde_json::to_writer(&mut *out, &printed)?;
    out.push(b'\n');
    Ok(())
}

/// Text as it is; anything else as base64, and then the encoding is named.
fn text(bytes: Option<&[u8]>) -> (Option<String>, Option<&'static str>) {
    match bytes.map(std::str::from_utf8) {
        None => (None, None),
        Some(Ok(text)) => (Some(text.to_owned()), None),
        Some(Err(_)) => (bytes.map(base64::encode), Some("base64")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn check(record: &Record, expected: &str) {
        let mut out = Vec::new();
        write_json("a", PartitionIndex(1), record, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_record_is_one_line_of_json() {
        let record = Record {
            offset: Offset::new(7),
            timestamp: Timestamp(5),
            key: None,
            value: Some("say \"hi\"\n".into()),
            headers: vec![("h".into(), None), ("h".into(), Some("1".into()))],
        };
        check(
            &record,
            "{\"topic\":\"a\",\"partition\":1,\"offset\":7,\"timestamp\":5,\"key\":null,\
             \"value\":\"say \\\"hi\\\"\\n\",\
             \"headers\":[{\"key\":\"h\",\"value\":null},{\"key\":\"h\",\"value\":\"1\"}]}\n",
        );
    }

    #[test]
    fn bytes_that_are_no_text_survive_as_base64() {
        let record = Record {
            offset: Offset::new(0),
            timestamp: Timestamp(0),
            key: Some(vec![0xff, 0xfe].into()),
            value: None,
            headers: Vec::new(),
        };
        check(
            &record,
            "{\"topic\":\"a\",\"partition\":1,\"offset\":0,\"timestamp\":0,\"key\":\"//4=\",\
             \"key_encoding\":\"base64\",\"value\":null,\"headers\":[]}\n",
        );
    }
}
