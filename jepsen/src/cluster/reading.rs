//! What is read: by the project's own consumer while faults go on, and the files of all replicas when they are over.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use history::{Event, Polled, Verdict};
use ottla::client::{Consumer, ConsumerSettings, OffsetSpec, Start};
use ottla::model::{Offset, TopicPartition};
use tokio::sync::watch::Receiver;

use crate::Failure;
use crate::workload::{Shared, Tag, Target, client, tag_of};

/// The number of the own consumer: foreign ones count from 0.
const OWN: u64 = 1 << 32;

/// Reads all partitions until `ends` is told and reached.
pub(super) async fn consume(target: Target, shared: Arc<Shared>, ends: Receiver<Option<Vec<i64>>>) {
    // Small, so that polls end within batches and segments.
    let partition_bytes_max = 20_000;
    // An offset that was there and is not any more shows as going back; the run goes on.
    let reset = Some(OffsetSpec::Earliest);
    let settings = ConsumerSettings { partition_bytes_max, reset, ..ConsumerSettings::default() };
    let mut consumer = Consumer::new(client(&target), settings);
    let from_zero = |partition| (partition, Start::At(Offset::ZERO));
    consumer.assign(target.all().into_iter().map(from_zero));
    for poll in 0_u64.. {
        let fetched = match consumer.poll(Duration::from_millis(500)).await {
            Ok(fetched) => fetched,
            Err(error) => {
                // The partition rests after an error that does not pass by itself; go on where we were.
                shared.failed("own consumer", &error);
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
        };
        if let Some(fetched) = fetched {
            for record in fetched.records {
                let offset = record.offset.value();
                let tag = tag_of(record.key.as_ref(), record.value.as_ref());
                let (partition, record) = (fetched.partition.clone(), tag.map(Tag::id));
                let (consumer, is_in_one_run) = (OWN, true);
                let polled = Polled { consumer, partition, offset, record, poll, is_in_one_run };
                shared.note(Event::Poll(polled));
            }
        }
        let is_at = |(partition, end): (TopicPartition, &i64)| {
            consumer.position(&partition).is_some_and(|position| position.value() >= *end)
        };
        if ends.borrow().as_ref().is_some_and(|ends| target.all().into_iter().zip(ends).all(is_at))
        {
            return;
        }
    }
}

/// Compares the logs of all replicas, whose brokers have ended: byte for byte, wherever each has cut its segments.
pub(super) fn compare(target: &Target, data: &[PathBuf], shared: &Shared) -> Result<u64, Failure> {
    let mut bytes = 0;
    for partition in target.all() {
        let mut first: Option<Vec<u8>> = None;
        for (directory, node) in data.iter().zip(1..) {
            let log = whole_log(&directory.join(partition.to_string()))?;
            bytes += u64::try_from(log.len()).unwrap_or(0);
            let Some(first) = &first else {
                first = Some(log);
                continue;
            };
            if let Some(what) = difference(first, &log) {
                let what =
                    format!("{partition}: the log of node {node} {what} than that of node 1");
                let (verdict, partition) = (Verdict::InconsistentOffsets, Some(partition.clone()));
                shared.note(Event::Noticed { verdict, partition, what });
            }
        }
    }
    Ok(bytes)
}

fn whole_log(directory: &Path) -> Result<Vec<u8>, Failure> {
    let entries = fs::read_dir(directory);
    let entries = entries.map_err(|error| Failure(format!("{}: {error}", directory.display())))?;
    let mut segments: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    segments.sort();
    let mut whole = Vec::new();
    for segment in segments {
        whole.extend(fs::read(segment)?);
    }
    Ok(whole)
}

fn difference(first: &[u8], other: &[u8]) -> Option<String> {
    let at = first.iter().zip(other).position(|(one, another)| one != another);
    match at {
        Some(at) => Some(format!("has another byte at {at}")),
        None if first.len() != other.len() => {
            Some(format!("has {} bytes instead of {}", other.len(), first.len()))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn logs_differ_in_a_byte_or_in_length() {
        assert_eq!(difference(b"abc", b"abc"), None);
        assert_eq!(difference(b"abc", b"abd"), Some("has another byte at 2".to_owned()));
        assert_eq!(difference(b"abc", b"ab"), Some("has 2 bytes instead of 3".to_owned()));
    }
}
