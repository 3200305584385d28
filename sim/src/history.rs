//! What clients did and were told, in the order in which they noticed it: what checkers judge.
//!
//! Each record has a number of its own, which is also in its value, so that a record read anywhere tells who sent it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ottla::client::{Delivered, Error};
use ottla::model::TopicPartition;

use crate::machine::MachineId;
use crate::random::Random;
use crate::world::World;

/// Names one record of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub u64);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}", self.0)
    }
}

/// What became of something a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate<T> {
    /// Nobody has said, perhaps because the client died: it may have happened or not.
    Unknown,
    /// It was acknowledged.
    Acknowledged(T),
    /// It was refused before anything was done.
    Failed,
}

impl<T> Fate<T> {
    /// What was acknowledged.
    #[must_use]
    pub const fn acknowledged(&self) -> Option<&T> {
        match self {
            Self::Acknowledged(value) => Some(value),
            Self::Unknown | Self::Failed => None,
        }
    }
}

/// A record that was handed to a producer.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Where to.
    pub partition: TopicPartition,
    /// One life of one producer; what it sends to a partition must be stored in the order of record numbers.
    pub producer: u64,
    /// What became of it: the offset, when the broker knew it.
    pub fate: Fate<Option<i64>>,
}

/// A record that a consumer was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// One life of one consumer.
    pub consumer: u64,
    /// From where.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: i64,
    /// Which; `None` for bytes that nobody sent.
    pub record: Option<RecordId>,
    /// Which of this consumer's polls gave it.
    pub poll: u64,
    /// Whether this consumer reads the partition from one end to the other: a member of a group begins anew whenever it
    /// is assigned.
    pub is_in_one_run: bool,
}

/// Commits of one group in one partition, whose offsets only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    /// The largest that was acknowledged.
    pub acknowledged: Option<i64>,
    /// The largest that was tried.
    pub tried: i64,
}

/// Deletions of records at the beginning of one partition, further each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trims {
    /// The furthest start that was acknowledged.
    pub acknowledged: i64,
    /// The furthest that was tried.
    pub tried: i64,
}

/// How much a partition keeps at least, once it had as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// `retention.bytes`.
    pub bytes: u64,
    /// What one record takes in the log at most, with all that is around it.
    pub record_bytes_max: u64,
}

/// What became of changes of one topic, made one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicFate {
    /// Whether the last change that was acknowledged made it (or deleted it).
    pub exists: bool,
    /// How many partitions it was last said to have.
    pub partition_count: i32,
    /// Whether a later one may have happened.
    pub is_unsure: bool,
}

/// Something that must never happen, noticed by a client while it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surprise {
    /// The anomaly's name.
    pub anomaly: &'static str,
    /// Where, when it was in one partition.
    pub partition: Option<TopicPartition>,
    /// What was seen.
    pub what: String,
}

/// All that clients did and were told.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Records, by number.
    pub sends: BTreeMap<RecordId, Sent>,
    /// What consumers were given, in order.
    pub polls: Vec<Polled>,
    /// Commits by group and partition.
    pub commits: BTreeMap<(String, TopicPartition), Commits>,
    /// How many commits were acknowledged.
    pub commit_count: usize,
    /// Where records were deleted, by partition.
    pub trims: BTreeMap<TopicPartition, Trims>,
    /// Partitions that retention cuts, and what it must leave.
    pub limits: BTreeMap<TopicPartition, Limit>,
    /// Topics that were made and deleted during the run.
    pub topics: BTreeMap<String, TopicFate>,
    /// How many changes of topics were acknowledged.
    pub topic_change_count: usize,
    /// What clients noticed themselves.
    pub surprises: Vec<Surprise>,
    lives: u64,
}

/// Writes down what happens; clones of the handle write into the same book.
#[derive(Clone)]
pub struct History {
    world: Arc<World>,
    facts: Arc<Mutex<Facts>>,
}

impl History {
    /// An empty one.
    #[must_use]
    pub fn new(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world), facts: Arc::default() }
    }

    /// What is known now.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// A number for one life of one client.
    #[must_use]
    pub fn new_life(&self) -> u64 {
        let mut facts = self.lock();
        facts.lives += 1;
        facts.lives
    }

    /// A record is about to be sent: gives it its number.
    #[must_use]
    pub fn sending(&self, producer: u64, partition: TopicPartition) -> RecordId {
        let mut facts = self.lock();
        let id = RecordId(facts.sends.len() as u64 + 1);
        facts.sends.insert(id, Sent { partition, producer, fate: Fate::Unknown });
        id
    }

    /// The producer says what became of a record.
    pub fn sent(&self, machine: MachineId, id: RecordId, outcome: &Result<Delivered, Error>) {
        let fate = match outcome {
            Ok(delivered) => {
                let offset = delivered.offset.map(ottla::model::Offset::value);
                self.world.note(Some(machine), format!("{id} is acknowledged at {offset:?}"));
                Fate::Acknowledged(offset)
            }
            Err(error) => {
                self.world.note(Some(machine), format!("{id} is given up: {error}"));
                self.world.events().count("record given up", 1);
                if error.is_outcome_unknown() { Fate::Unknown } else { Fate::Failed }
            }
        };
        if let Some(sent) = self.lock().sends.get_mut(&id) {
            sent.fate = fate;
        }
    }

    /// A record was never handed to a connection.
    pub fn never_sent(&self, id: RecordId) {
        if let Some(sent) = self.lock().sends.get_mut(&id) {
            sent.fate = Fate::Failed;
        }
    }

    /// How many records were acknowledged.
    #[must_use]
    pub fn acknowledged_count(&self) -> usize {
        self.lock().sends.values().filter(|sent| sent.fate.acknowledged().is_some()).count()
    }

    /// A consumer was given a record.
    pub fn polled(&self, polled: Polled) {
        self.lock().polls.push(polled);
    }

    /// A commit is about to be tried.
    pub fn committing(&self, group: &str, partition: &TopicPartition, offset: i64) {
        let mut facts = self.lock();
        let commits = facts.commits.entry((group.to_owned(), partition.clone())).or_default();
        commits.tried = commits.tried.max(offset);
    }

    /// A commit was acknowledged.
    pub fn committed(
        &self,
        machine: MachineId,
        group: &str,
        partition: &TopicPartition,
        offset: i64,
    ) {
        self.world.note(
            Some(machine),
            format!("group {group} has committed {offset} in {}", show(partition)),
        );
        let mut facts = self.lock();
        facts.commit_count += 1;
        let commits = facts.commits.entry((group.to_owned(), partition.clone())).or_default();
        commits.acknowledged = commits.acknowledged.max(Some(offset));
    }

    /// What a group has certainly committed in a partition.
    #[must_use]
    pub fn committed_at_least(&self, group: &str, partition: &TopicPartition) -> i64 {
        let facts = self.lock();
        let commits = facts.commits.get(&(group.to_owned(), partition.clone()));
        commits.and_then(|commits| commits.acknowledged).unwrap_or(0)
    }

    /// All groups that somebody has tried to commit for.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<String> {
        self.lock().commits.keys().map(|(group, _)| group.clone()).collect()
    }

    /// Records before `offset` are about to be deleted.
    pub fn trimming(&self, partition: &TopicPartition, offset: i64) {
        let mut facts = self.lock();
        let trims = facts.trims.entry(partition.clone()).or_default();
        trims.tried = trims.tried.max(offset);
    }

    /// They have been: the partition begins at `offset`.
    pub fn trimmed(&self, machine: MachineId, partition: &TopicPartition, offset: i64) {
        let text = format!("{} begins at {offset}", show(partition));
        self.world.note(Some(machine), text);
        self.world.events().count("records deleted", 1);
        let mut facts = self.lock();
        let trims = facts.trims.entry(partition.clone()).or_default();
        trims.acknowledged = trims.acknowledged.max(offset);
    }

    /// Retention may cut this partition.
    pub fn limited(&self, partition: &TopicPartition, limit: Limit) {
        self.lock().limits.insert(partition.clone(), limit);
    }

    /// Where a partition begins at least.
    #[must_use]
    pub fn trimmed_at_least(&self, partition: &TopicPartition) -> i64 {
        self.lock().trims.get(partition).map_or(0, |trims| trims.acknowledged)
    }

    /// All partitions that somebody has sent to.
    #[must_use]
    pub fn partitions(&self) -> BTreeSet<TopicPartition> {
        self.lock().sends.values().map(|sent| sent.partition.clone()).collect()
    }

    /// A topic is about to be made or deleted.
    pub fn changing_topic(&self, name: &str) {
        self.lock().topics.entry(name.to_owned()).or_default().is_unsure = true;
    }

    /// A topic was made, deleted (no partitions) or grown.
    pub fn changed_topic(&self, machine: MachineId, name: &str, partition_count: Option<i32>) {
        let exists = partition_count.is_some();
        let partition_count = partition_count.unwrap_or(0);
        self.world.note(Some(machine), format!("topic {name} has {partition_count} partitions"));
        let mut facts = self.lock();
        facts.topic_change_count += 1;
        facts
            .topics
            .insert(name.to_owned(), TopicFate { exists, partition_count, is_unsure: false });
    }

    /// A client has seen something that must never happen.
    pub fn surprise(
        &self,
        anomaly: &'static str,
        partition: Option<&TopicPartition>,
        what: String,
    ) {
        self.world.note(None, format!("{anomaly}: {what}"));
        self.lock().surprises.push(Surprise { anomaly, partition: partition.cloned(), what });
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of a record: its number and as many bytes as asked for, which follow from the number.
#[must_use]
pub fn value_of(id: RecordId, padding: usize) -> Bytes {
    let mut random = Random::new(id.0, "value");
    let mut value = Vec::with_capacity(NUMBER_BYTES + padding);
    value.extend_from_slice(&id.0.to_be_bytes());
    while value.len() < NUMBER_BYTES + padding {
        let word = random.bits().to_be_bytes();
        let wanted = (NUMBER_BYTES + padding - value.len()).min(word.len());
        value.extend_from_slice(&word[..wanted]);
    }
    value.into()
}

/// Which record has this value; `None` when it is not, to the last byte, one that [`value_of`] gives.
#[must_use]
pub fn record_of(value: Option<&Bytes>) -> Option<RecordId> {
    let value = value?;
    let (number, _) = value.split_first_chunk::<NUMBER_BYTES>()?;
    let id = RecordId(u64::from_be_bytes(*number));
    (value_of(id, value.len() - NUMBER_BYTES) == *value).then_some(id)
}

/// As Kafka's tools print it.
#[must_use]
pub fn show(partition: &TopicPartition) -> String {
    format!("{}-{}", partition.topic, partition.partition)
}

const NUMBER_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_tells_its_record_and_any_other_byte_does_not() {
        for padding in [0, 1, 8, 100] {
            let value = value_of(RecordId(77), padding);
            assert_eq!(value.len(), padding + 8);
            assert_eq!(record_of(Some(&value)), Some(RecordId(77)));
            if padding > 0 {
                let mut other = value.to_vec();
                other[padding + 7] ^= 1;
                assert_eq!(record_of(Some(&other.into())), None);
            }
        }
        assert_eq!(record_of(None), None);
        assert_eq!(record_of(Some(&Bytes::from_static(b"short"))), None);
    }
}
