//! What clients do while the broker dies under them: producers, a committer of offsets, and at the end a reader.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use history::{Awaited, Event, RecordId, Verdict};
use ottla::client::{
    Admin, Client, Consumer, ConsumerSettings, Endpoint, IsolationLevel, Message, OffsetSpec,
    Producer, ProducerSettings, Receipt, Settings, Start,
};
use ottla::environment::tokio::TokioRuntime;
use ottla::model::{GroupId, Offset, TopicPartition};
use ottla::record::Compression;

use crate::Failure;
use crate::random::Random;

/// Where records go, and whom to ask for it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Brokers to ask first.
    pub(crate) bootstrap: Vec<Endpoint>,
    /// The topic.
    pub(crate) topic: String,
    /// How many partitions it has.
    pub(crate) partitions: i32,
}

impl Target {
    /// Its partitions.
    pub(crate) fn all(&self) -> Vec<TopicPartition> {
        (0..self.partitions).map(|index| TopicPartition::new(&*self.topic, index)).collect()
    }
}

/// Whose offsets are committed.
const GROUP: &str = "committer";
/// Keys in use; several share a partition.
const KEYS: u64 = 64;
/// Records of one producer without an answer.
const WINDOW: usize = 2000;

/// Which record: the producer that wrote it, and its number among that producer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) producer: u32,
    pub(crate) sequence: u32,
}

impl Tag {
    /// Its number in the history.
    pub(crate) fn id(self) -> RecordId {
        RecordId(u64::from(self.producer) << 32 | u64::from(self.sequence))
    }
}

/// What all clients share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    is_over: AtomicBool,
    pub(crate) acknowledged: AtomicU64,
    history: Mutex<Vec<Event>>,
    failures: Mutex<BTreeMap<String, u64>>,
}

impl Shared {
    /// Tells clients to come to an end.
    pub(crate) fn finish(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Whether clients were told to.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Writes into the history.
    pub(crate) fn note(&self, event: Event) {
        self.history().push(event);
    }

    /// All that was done and told so far.
    pub(crate) fn history(&self) -> MutexGuard<'_, Vec<Event>> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something had to happen in time; `outcome` says whether it did.
    pub(crate) fn awaited<T>(
        &self,
        what: Awaited,
        outcome: Result<T, Failure>,
    ) -> Result<T, Failure> {
        let seen = outcome.as_ref().err().map_or_else(String::new, |Failure(why)| why.clone());
        self.note(Event::Await { what, is_done: outcome.is_ok(), seen });
        outcome
    }

    /// Somebody saw at once what must never happen.
    pub(crate) fn noticed(&self, verdict: Verdict, what: String) {
        self.note(Event::Noticed { verdict, partition: None, what });
    }

    /// What clients complained about, and how often.
    pub(crate) fn failures(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody complained, which is no anomaly.
    pub(crate) fn failed(&self, what: &str, error: &impl std::fmt::Display) {
        *self.failures().entry(format!("{what}: {error}")).or_insert(0) += 1;
    }
}

/// A client that survives every restart.
pub(crate) fn client(target: &Target) -> Client<TokioRuntime> {
    let mut settings = Settings::new(target.bootstrap.clone());
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

/// How much a producer sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The most records at once.
    pub(crate) records_max: u64,
    /// The longest pause in between.
    pub(crate) pause_ms_max: u64,
}

/// An idempotent producer that writes until it is over.
pub(crate) async fn produce(
    number: u32,
    target: Target,
    shared: Arc<Shared>,
    seed: u64,
    pace: Pace,
) {
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
    let producer = Producer::new(client(&target), settings);
    let mut waiting: VecDeque<(Tag, Receipt)> = VecDeque::new();
    let mut sequence = 0;
    while !shared.is_over() {
        for _ in 0..random.below(pace.records_max) {
            let tag = Tag { producer: number, sequence };
            sequence = sequence.saturating_add(1);
            let message = Message::new(&*target.topic, Some(key_of(tag)), Some(value_of(tag)));
            match producer.send(message).await {
                Ok(receipt) => {
                    let (producer, partition) = (u64::from(number), receipt.partition().clone());
                    shared.note(Event::Send { record: tag.id(), producer, partition });
                    waiting.push_back((tag, receipt));
                }
                // It was never handed to a connection.
                Err(error) => shared.failed("send", &error),
            }
        }
        tokio::time::sleep(Duration::from_millis(random.below(pace.pause_ms_max))).await;
        while waiting.len() > WINDOW
            && let Some((tag, receipt)) = waiting.pop_front()
        {
            settle(tag, &receipt, &shared).await;
        }
    }
    for (tag, receipt) in waiting {
        settle(tag, &receipt, &shared).await;
    }
}

async fn settle(tag: Tag, receipt: &Receipt, shared: &Shared) {
    let record = tag.id();
    match receipt.wait().await {
        Ok(delivered) => {
            shared.acknowledged.fetch_add(1, Ordering::SeqCst);
            let offset = delivered.offset.map(Offset::value);
            shared.note(Event::Acknowledged { record, offset });
        }
        Err(error) => {
            shared.failed("record", &error);
            if !error.is_outcome_unknown() {
                shared.note(Event::Refused { record });
            }
        }
    }
}

/// Commits growing offsets for all partitions until it is over.
pub(crate) async fn commit(target: Target, shared: Arc<Shared>, pause: Duration) {
    let admin = Admin::new(client(&target));
    let group = GroupId::new(GROUP);
    let all = target.all();
    for offset in 1_i64.. {
        if shared.is_over() {
            return;
        }
        let group_name = || GROUP.to_owned();
        for partition in all.iter().cloned() {
            shared.note(Event::Commit { group: group_name(), partition, offset });
        }
        let offsets = all.iter().map(|partition| (partition.clone(), Offset::new(offset)));
        match admin.set_group_offsets(&group, &offsets.collect()).await {
            Ok(()) => {
                for partition in all.iter().cloned() {
                    shared.note(Event::Committed { group: group_name(), partition, offset });
                }
            }
            Err(error) => shared.failed("commit", &error),
        }
        tokio::time::sleep(pause).await;
    }
}

/// Asks where the group stands; the judge compares. `is_last` when all is over.
pub(crate) async fn ask_commits(
    target: &Target,
    shared: &Shared,
    is_last: bool,
) -> Result<(), Failure> {
    let admin = Admin::new(client(target));
    let group = || GROUP.to_owned();
    shared.note(Event::Ask { group: group() });
    let answer = admin.group_offsets(&GroupId::new(GROUP)).await;
    let answer = answer.map_err(|error| Failure(format!("offsets of the group: {error}")));
    let answer = shared.awaited(Awaited::Service, answer)?;
    for partition in target.all() {
        let offset = answer.get(&partition).map(|found| found.offset.value());
        if let Some(offset) = offset.filter(|_| is_last) {
            let (group, partition) = (group(), partition.clone());
            shared.note(Event::ReadCommit { group, partition, offset });
        }
        shared.note(Event::Found { group: group(), partition, offset });
    }
    Ok(())
}

/// Where every partition ends for those who read it.
pub(crate) async fn ends(target: &Target) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let wanted: Vec<_> =
        target.all().into_iter().map(|partition| (partition, OffsetSpec::Latest)).collect();
    let admin = Admin::new(client(target));
    let mut ends = BTreeMap::new();
    for (partition, answer) in admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await {
        let failed = |error| Failure(format!("the end of {partition}: {error}"));
        let end = answer.map_err(failed)?.offset.map_or(0, Offset::value);
        ends.insert(partition, end);
    }
    Ok(ends)
}

/// Reads every partition from offset 0 to its end, and writes it down.
pub(crate) async fn read_all(target: &Target, shared: &Shared) -> Result<(), Failure> {
    let mut ends = ends(target).await?;
    let mut consumer = Consumer::new(client(target), ConsumerSettings::default());
    let mut seen: BTreeMap<TopicPartition, Vec<(i64, Option<RecordId>)>> =
        target.all().into_iter().map(|partition| (partition, vec![])).collect();
    let from_zero = |partition| (partition, Start::At(Offset::ZERO));
    consumer.assign(target.all().into_iter().map(from_zero));
    ends.retain(|_, end| *end > 0);
    while !ends.is_empty() {
        let fetched = consumer.poll(Duration::from_secs(20)).await;
        let fetched = fetched.map_err(|error| Failure(format!("reading back: {error}")))?;
        let Some(fetched) = fetched else {
            return Err(Failure(format!(
                "reading back: nothing came for 20 s, still to read: {ends:?}"
            )));
        };
        let records = fetched.records.into_iter().map(|record| {
            let tag = tag_of(record.key.as_ref(), record.value.as_ref());
            (record.offset.value(), tag.map(Tag::id))
        });
        seen.entry(fetched.partition.clone()).or_default().extend(records);
        if ends.get(&fetched.partition).is_some_and(|end| fetched.next.value() >= *end) {
            ends.remove(&fetched.partition);
        }
    }
    for (partition, records) in seen {
        shared.note(Event::Read { partition, start: 0, records });
    }
    shared.note(Event::End);
    Ok(())
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
