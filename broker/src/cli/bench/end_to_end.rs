use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::report::Tally;
use super::{Load, prepare, produce};
use crate::cli::context::Context;
use crate::cli::failure::{FAILED, Failure};
use crate::cli::topic::Ends;
use crate::client::{Consumer, ConsumerSettings, IsolationLevel, Start};
use crate::environment::{Instant, Runtime as _};
use crate::model::TopicPartition;

/// Every record carries the time at which it was due, by the monotonic clock of this process.
fn stamp(value: &Bytes, due: Instant) -> Bytes {
    let mut stamped = BytesMut::with_capacity(value.len().max(STAMP_BYTES));
    stamped.put_u64(due.0);
    stamped.extend_from_slice(value.get(STAMP_BYTES..).unwrap_or_default());
    stamped.freeze()
}

const STAMP_BYTES: usize = 8;

pub(super) async fn run(context: &mut Context, load: &Load) -> Result<(), Failure> {
    let topic = prepare(context, &load.target).await?;
    let partitions: Vec<TopicPartition> = topic
        .partitions
        .keys()
        .map(|index| TopicPartition { topic: topic.name.clone(), partition: *index })
        .collect();
    let ends = Ends::of(&context.admin(), &partitions, IsolationLevel::ReadUncommitted).await?;
    let mut consumer = Consumer::new(context.client(), ConsumerSettings::default());
    consumer.assign(partitions.into_iter().map(|partition| {
        let (_, end) = ends.of_partition(&partition);
        (partition, Start::At(end))
    }));
    let start = context.runtime.now();
    let measure_from = start + Duration::from_secs(load.warmup);
    let mut producers = produce::spawn(context, load, start, Some(stamp))?;
    let mut produced = Tally::new(measure_from)?;
    let mut read = Tally::new(measure_from)?;
    let mut idle_since = start;
    loop {
        if let Some(fetched) = consumer.poll(Duration::from_millis(100)).await? {
            idle_since = context.runtime.now();
            for record in &fetched.records {
                let value = record.value.as_deref().unwrap_or_default();
                let Some(due) = value.first_chunk::<STAMP_BYTES>() else { continue };
                read.record(Instant(u64::from_be_bytes(*due)), fetched.at, value.len());
            }
        }
        if let Some(last) = producers.last_mut()
            && let Ok(tally) = last.try_recv()
        {
            producers.pop();
            produced.add(tally?)?;
            idle_since = context.runtime.now();
        }
        if producers.is_empty() && read.records >= produced.records {
            break;
        }
        if producers.is_empty() && context.runtime.now().since(idle_since) > LOST_AFTER {
            let missing = produced.records - read.records;
            let what = format!("{missing} acknowledged records did not come back within 10 s");
            return Err(Failure::new(FAILED, what));
        }
    }
    let result = read.result("e2e");
    result.write(load.target.output, &mut context.out)?;
    produced.result("produce").judge()
}

/// Acknowledged records that have not come back by then are lost.
const LOST_AFTER: Duration = Duration::from_secs(10);
