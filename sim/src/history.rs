//! Writes down what clients of a world did and were told. What is written, and how it is judged, is the business of the crate
//! `history`; here are the clock, the names of machines, and the values that records have.
//!
//! Each record has a number of its own, which is also in its value, so that a record read anywhere tells who sent it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
pub use history::{Awaited, Event, Facts, Limit, Polled, RecordId, Verdict, show};
use ottla::client::{Delivered, Error};
use ottla::model::TopicPartition;

use crate::machine::MachineId;
use crate::random::Random;
use crate::world::World;

/// Writes down what happens; clones of the handle write into the same book.
#[derive(Clone)]
pub struct History {
    world: Arc<World>,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    events: Vec<Event>,
    /// What the events add up to.
    facts: Facts,
    lives: u64,
}

impl History {
    /// An empty one.
    #[must_use]
    pub fn new(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world), book: Arc::default() }
    }

    /// What is known now.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.lock().facts.clone()
    }

    /// Everything that was written down.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// Writes an event down.
    pub fn note(&self, event: Event) {
        self.lock().note(event);
    }

    /// A number for one life of one client.
    #[must_use]
    pub fn new_life(&self) -> u64 {
        let mut book = self.lock();
        book.lives += 1;
        book.lives
    }

    /// A record is about to be sent: gives it its number.
    #[must_use]
    pub fn sending(&self, producer: u64, partition: TopicPartition) -> RecordId {
        let mut book = self.lock();
        let record = RecordId(book.facts.sends.len() as u64 + 1);
        book.note(Event::Send { record, producer, partition });
        record
    }

    /// The producer says what became of a record.
    pub fn sent(&self, machine: MachineId, record: RecordId, outcome: &Result<Delivered, Error>) {
        match outcome {
            Ok(delivered) => {
                let offset = delivered.offset.map(ottla::model::Offset::value);
                // Who repeats an old batch is told that it is there, and not where.
                let place = offset.map_or("some offset".to_owned(), |offset| offset.to_string());
                self.world.note(Some(machine), format!("{record} is acknowledged at {place}"));
                self.note(Event::Acknowledged { record, offset });
            }
            Err(error) => {
                self.world.note(Some(machine), format!("{record} is given up: {error}"));
                self.world.events().count("record given up", 1);
                if !error.is_outcome_unknown() {
                    self.note(Event::Refused { record });
                }
            }
        }
    }

    /// A record was never handed to a connection.
    pub fn never_sent(&self, record: RecordId) {
        self.note(Event::Refused { record });
    }

    /// A consumer was given a record.
    pub fn polled(&self, polled: Polled) {
        self.note(Event::Poll(polled));
    }

    /// A commit is about to be tried.
    pub fn committing(&self, group: &str, partition: &TopicPartition, offset: i64) {
        let (group, partition) = (group.to_owned(), partition.clone());
        self.note(Event::Commit { group, partition, offset });
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
        let (group, partition) = (group.to_owned(), partition.clone());
        self.note(Event::Committed { group, partition, offset });
    }

    /// What a group has certainly committed in a partition.
    #[must_use]
    pub fn committed_at_least(&self, group: &str, partition: &TopicPartition) -> i64 {
        let book = self.lock();
        let commits = book.facts.commits.get(&(group.to_owned(), partition.clone()));
        commits.and_then(|commits| commits.acknowledged).unwrap_or(0)
    }

    /// All groups that somebody has tried to commit for.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<String> {
        self.lock().facts.commits.keys().map(|(group, _)| group.clone()).collect()
    }

    /// Records before `offset` are about to be deleted.
    pub fn trimming(&self, partition: &TopicPartition, offset: i64) {
        self.note(Event::Trim { partition: partition.clone(), before: offset });
    }

    /// They have been: the partition begins at `offset`.
    pub fn trimmed(&self, machine: MachineId, partition: &TopicPartition, offset: i64) {
        let text = format!("{} begins at {offset}", show(partition));
        self.world.note(Some(machine), text);
        self.world.events().count("records deleted", 1);
        self.note(Event::Trimmed { partition: partition.clone(), start: offset });
    }

    /// Retention may cut this partition.
    pub fn limited(&self, partition: &TopicPartition, limit: Limit) {
        let Limit { bytes, record_bytes_max } = limit;
        self.note(Event::Limit { partition: partition.clone(), bytes, record_bytes_max });
    }

    /// Where a partition begins at least.
    #[must_use]
    pub fn trimmed_at_least(&self, partition: &TopicPartition) -> i64 {
        self.lock().facts.trims.get(partition).map_or(0, |trims| trims.acknowledged)
    }

    /// All partitions that somebody has sent to.
    #[must_use]
    pub fn partitions(&self) -> BTreeSet<TopicPartition> {
        self.lock().facts.sends.values().map(|sent| sent.partition.clone()).collect()
    }

    /// A topic is about to be made or deleted.
    pub fn changing_topic(&self, name: &str) {
        self.note(Event::ChangeTopic { topic: name.to_owned() });
    }

    /// A topic was made, deleted (no partitions) or grown.
    pub fn changed_topic(&self, machine: MachineId, name: &str, partitions: Option<i32>) {
        let count = partitions.unwrap_or(0);
        self.world.note(Some(machine), format!("topic {name} has {count} partitions"));
        self.note(Event::TopicChanged { topic: name.to_owned(), partitions });
    }

    /// A client has seen something that must never happen.
    pub fn surprise(&self, verdict: Verdict, partition: Option<&TopicPartition>, what: String) {
        self.world.note(None, format!("{verdict}: {what}"));
        self.note(Event::Noticed { verdict, partition: partition.cloned(), what });
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn note(&mut self, event: Event) {
        self.facts.take(&event);
        self.events.push(event);
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
