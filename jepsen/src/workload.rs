//! What clients do while the broker dies under them: producers, a committer of offsets, and at the end a reader.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ottla::client::{
    Admin, Client, Consumer, ConsumerSettings, Endpoint, IsolationLevel, Message, OffsetSpec,
    Producer, ProducerSettings, Receipt, Settings, Start,
};
use ottla::environment::tokio::TokioRuntime;
use ottla::model::{GroupId, Offset, TopicPartition};
use ottla::record::Compression;

use crate::Failure;
use crate::checks::{CommitEvent, Fate, Seen, Sent, Tag};
use crate::random::Random;

/// Where records go.
pub(crate) const TOPIC: &str = "kill9";
/// Whose offsets are committed.
const GROUP: &str = "committer";
/// Keys in use; several share a partition.
const KEYS: u64 = 64;
/// Records of one producer without an answer.
const WINDOW: usize = 2000;

/// What all clients share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    is_over: AtomicBool,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) committed: AtomicU64,
    commits: Mutex<Vec<CommitEvent>>,
    failures: Mutex<BTreeMap<String, u64>>,
}

impl Shared {
    /// Tells clients to come to an end.
    pub(crate) fn finish(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// What happened to the group's offsets.
    pub(crate) fn commits(&self) -> MutexGuard<'_, Vec<CommitEvent>> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What clients complained about, and how often.
    pub(crate) fn failures(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, what: &str, error: &ottla::client::Error) {
        *self.failures().entry(format!("{what}: {error}")).or_insert(0) += 1;
    }
}

/// A client that survives every restart.
pub(crate) fn client(endpoint: &Endpoint) -> Client<TokioRuntime> {
    let mut settings = Settings::new(vec![endpoint.clone()]);
    settings.request_timeout = Duration::from_secs(10);
    settings.connect_timeout = Duration::from_secs(2);
    settings.retry_backoff = Duration::from_millis(10);
    settings.retry_backoff_max = Duration::from_millis(100);
    settings.task_timeout = Duration::from_secs(60);
    Client::new(TokioRuntime::new(), settings)
}

fn mixed(tag: Tag) -> u64 {
    Random::new(u64::from(tag.producer), u64::from(tag.sequence)).bits()
}

/// The key of a record: its tag decides.
pub(crate) fn key_of(tag: Tag) -> Bytes {
    Bytes::from(format!("key {}", mixed(tag) % KEYS))
}

/// The value of a record: its tag, and as many bytes more as the tag decides.
pub(crate) fn value_of(tag: Tag) -> Bytes {
    let mut value = format!("{}/{}/", tag.producer, tag.sequence).into_bytes();
    let mut random = Random::new(u64::from(tag.sequence), u64::from(tag.producer));
    let length = value.len() + random.index(200);
    value.resize_with(length, || random.byte());
    value.into()
}

/// Whose record this is; `None` when it is not exactly what was sent.
pub(crate) fn tag_of(key: Option<&Bytes>, value: Option<&Bytes>) -> Option<Tag> {
    let value = value?;
    let mut parts = value.splitn(3, |byte| *byte == b'/');
    let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse().ok();
    let tag = Tag { producer: number()?, sequence: number()? };
    (value_of(tag) == *value && key.is_some_and(|key| key_of(tag) == *key)).then_some(tag)
}

/// An idempotent producer that writes until it is over, and tells what it was told.
pub(crate) async fn produce(
    number: u32,
    endpoint: Endpoint,
    shared: Arc<Shared>,
    seed: u64,
) -> Vec<Sent> {
    let mut random = Random::new(seed, 1000 + u64::from(number));
    let codecs = [Compression::None, Compression::Lz4, Compression::Zstd, Compression::Snappy];
    let settings = ProducerSettings {
        compression: codecs[usize::try_from(number).unwrap_or(0) % codecs.len()],
        // Small, so that several batches of a partition are under way when the broker dies.
        batch_bytes: 1000,
        linger: Duration::from_millis(2),
        delivery_timeout: Duration::from_secs(600),
        ..ProducerSettings::default()
    };
    let producer = Producer::new(client(&endpoint), settings);
    let mut sent: Vec<Sent> = Vec::new();
    let mut waiting: VecDeque<(usize, Receipt)> = VecDeque::new();
    while !shared.is_over() {
        for _ in 0..random.below(30) {
            let sequence = u32::try_from(sent.len()).unwrap_or(u32::MAX);
            let tag = Tag { producer: number, sequence };
            let message = Message::new(TOPIC, Some(key_of(tag)), Some(value_of(tag)));
            match producer.send(message).await {
                Ok(receipt) => {
                    let partition = receipt.partition().partition.0;
                    waiting.push_back((sent.len(), receipt));
                    sent.push(Sent { partition, fate: Fate::Unknown });
                }
                Err(error) => {
                    shared.failed("send", &error);
                    sent.push(Sent { partition: -1, fate: Fate::Refused });
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(random.below(20))).await;
        while waiting.len() > WINDOW
            && let Some((index, receipt)) = waiting.pop_front()
        {
            sent[index].fate = settle(&receipt, &shared).await;
        }
    }
    for (index, receipt) in waiting {
        sent[index].fate = settle(&receipt, &shared).await;
    }
    sent
}

async fn settle(receipt: &Receipt, shared: &Shared) -> Fate {
    match receipt.wait().await {
        Ok(delivered) => {
            shared.acknowledged.fetch_add(1, Ordering::SeqCst);
            Fate::Acknowledged(delivered.offset.map(Offset::value))
        }
        Err(error) => {
            shared.failed("record", &error);
            if error.is_outcome_unknown() { Fate::Unknown } else { Fate::Refused }
        }
    }
}

/// Commits growing offsets for all partitions until it is over.
pub(crate) async fn commit(endpoint: Endpoint, partitions: i32, shared: Arc<Shared>) {
    let admin = Admin::new(client(&endpoint));
    let group = GroupId::new(GROUP);
    for number in 1_i64.. {
        if shared.is_over() {
            return;
        }
        let offset = Offset::new(number);
        let offsets = (0..partitions).map(|index| (TopicPartition::new(TOPIC, index), offset));
        shared.commits().push(CommitEvent::Attempted(number));
        match admin.set_group_offsets(&group, &offsets.collect()).await {
            Ok(()) => {
                shared.commits().push(CommitEvent::Acknowledged(number));
                shared.committed.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => shared.failed("commit", &error),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Asks where the group stands; the judge compares.
pub(crate) async fn ask_commits(
    endpoint: &Endpoint,
    partitions: i32,
    shared: &Shared,
) -> Result<(), Failure> {
    let admin = Admin::new(client(endpoint));
    shared.commits().push(CommitEvent::Asked);
    let answer = admin.group_offsets(&GroupId::new(GROUP)).await;
    let answer = answer.map_err(|error| Failure(format!("offsets of the group: {error}")))?;
    for partition in 0..partitions {
        let found = answer.get(&TopicPartition::new(TOPIC, partition));
        let offset = found.map(|found| found.offset.value());
        shared.commits().push(CommitEvent::Answered { partition, offset });
    }
    Ok(())
}

/// Reads every partition from offset 0 to its end.
pub(crate) async fn read_all(
    endpoint: &Endpoint,
    partitions: i32,
) -> Result<BTreeMap<i32, Vec<Seen>>, Failure> {
    let client = client(endpoint);
    let wanted: Vec<_> = (0..partitions)
        .map(|index| (TopicPartition::new(TOPIC, index), OffsetSpec::Latest))
        .collect();
    let mut ends = BTreeMap::new();
    for (partition, answer) in
        Admin::new(client.clone()).list_offsets(&wanted, IsolationLevel::ReadUncommitted).await
    {
        let failed = |error| Failure(format!("the end of {partition}: {error}"));
        let end = answer.map_err(failed)?.offset.map_or(0, Offset::value);
        ends.insert(partition.partition.0, end);
    }
    let mut consumer = Consumer::new(client, ConsumerSettings::default());
    consumer.assign(wanted.into_iter().map(|(partition, _)| (partition, Start::At(Offset::ZERO))));
    let mut seen: BTreeMap<i32, Vec<Seen>> = (0..partitions).map(|index| (index, vec![])).collect();
    ends.retain(|_, end| *end > 0);
    while !ends.is_empty() {
        let fetched = consumer.poll(Duration::from_secs(20)).await;
        let fetched = fetched.map_err(|error| Failure(format!("reading back: {error}")))?;
        let Some(fetched) = fetched else {
            return Err(Failure(format!(
                "reading back: nothing came for 20 s, still to read: {ends:?}"
            )));
        };
        let partition = fetched.partition.partition.0;
        let records = fetched.records.into_iter().map(|record| Seen {
            offset: record.offset.value(),
            tag: tag_of(record.key.as_ref(), record.value.as_ref()),
        });
        seen.entry(partition).or_default().extend(records);
        if ends.get(&partition).is_some_and(|end| fetched.next.value() >= *end) {
            ends.remove(&partition);
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_recognised_only_when_it_is_whole() {
        let tag = Tag { producer: 3, sequence: 4711 };
        let (key, value) = (key_of(tag), value_of(tag));
        assert_eq!(tag_of(Some(&key), Some(&value)), Some(tag));
        assert_eq!(tag_of(None, Some(&value)), None);
        assert_eq!(tag_of(Some(&key), None), None);
        let mut damaged = value.to_vec();
        damaged.push(0);
        assert_eq!(tag_of(Some(&key), Some(&damaged.into())), None);
    }

    #[test]
    fn values_are_unique() {
        let values = (0..4).flat_map(|producer| {
            (0..100).map(move |sequence| value_of(Tag { producer, sequence }))
        });
        let all: Vec<_> = values.collect();
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    }
}
