use std::time::Duration;

use super::report::Tally;
use super::{Drain, prepare};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::topic::Ends;
use crate::client::{Consumer, ConsumerSettings, IsolationLevel, OffsetSpec, Start};
use crate::environment::Runtime as _;
use crate::model::TopicPartition;

pub(super) async fn run(context: &mut Context, drain: &Drain) -> Result<(), Failure> {
    let topic = prepare(context, &drain.target).await?;
    let partitions: Vec<TopicPartition> = topic
        .partitions
        .keys()
        .map(|index| TopicPartition { topic: topic.name.clone(), partition: *index })
        .collect();
    let ends = Ends::of(&context.admin(), &partitions, IsolationLevel::ReadUncommitted).await?;
    let is_empty = |partition: &TopicPartition| {
        let (first, end) = ends.of_partition(partition);
        first >= end
    };
    let mut unfinished: Vec<TopicPartition> =
        partitions.iter().filter(|p| !is_empty(p)).cloned().collect();
    let settings = ConsumerSettings {
        bytes_max: drain.fetch_bytes,
        partition_bytes_max: drain.partition_bytes,
        ..ConsumerSettings::default()
    };
    let mut consumer = Consumer::new(context.client(), settings);
    consumer.assign(unfinished.iter().cloned().map(|p| (p, Start::Find(OffsetSpec::Earliest))));
    let start = context.runtime.now();
    let deadline = start + Duration::from_secs(drain.seconds);
    let limit = drain.records.unwrap_or(u64::MAX);
    let mut tally = Tally::new(start)?;
    while tally.records < limit && !unfinished.is_empty() && context.runtime.now() < deadline {
        let Some(fetched) = consumer.poll(Duration::from_millis(100)).await? else { continue };
        let bytes = |record: &crate::record::Record| {
            let length = |field: &Option<bytes::Bytes>| field.as_ref().map_or(0, bytes::Bytes::len);
            (length(&record.key) + length(&record.value)) as u64
        };
        let count = fetched.records.len() as u64;
        tally.count(count, fetched.records.iter().map(bytes).sum(), fetched.at);
        let (_, end) = ends.of_partition(&fetched.partition);
        unfinished.retain(|partition| *partition != fetched.partition || fetched.next < end);
    }
    let result = tally.result("consume");
    result.write(drain.target.output, &mut context.out)?;
    result.judge()
}
