//! Records accepted and not yet sent, by partition.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::fate::{Fate, Receipt};
use super::{Message, ProducerSettings};
use crate::client::Error;
use crate::environment::Instant;
use crate::model::{
    Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicName, TopicPartition,
};
use crate::record::{Batch, Builder, HeaderSlice, record_size_bytes};

/// One batch on its way, with what is known of its attempts.
#[derive(Debug)]
pub(super) struct Parcel {
    /// Grows over all parcels: the order of a partition.
    pub(super) number: u64,
    pub(super) content: Content,
    pub(super) record_count: i32,
    /// What it takes of the producer's memory.
    pub(super) buffered_bytes: usize,
    pub(super) created: Instant,
    pub(super) fate: Arc<Fate>,
    /// Set with its sequence number, at the first attempt.
    pub(super) is_numbered: bool,
    /// How an attempt ended after which the broker may have written it.
    pub(super) doubt: Option<Error>,
}

/// A batch, before and after it has been closed.
#[derive(Debug)]
pub(super) enum Content {
    Open(Builder),
    Closed(Batch),
}

/// What a partition holds back.
#[derive(Debug, Default)]
pub(super) struct Pile {
    pub(super) full: VecDeque<Parcel>,
    pub(super) open: Option<Parcel>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Accumulator {
    pub(super) piles: BTreeMap<TopicPartition, Pile>,
    pub(super) partition_counts: BTreeMap<TopicName, i32>,
    /// Those not decided, by number.
    pub(super) undecided: BTreeMap<u64, Arc<Fate>>,
    pub(super) buffered_bytes: usize,
    pub(super) is_closed: bool,
    sticky: BTreeMap<TopicName, Sticky>,
    next_number: u64,
}

/// Where records without a key go at present, and how much went there. Source: KIP-794.
#[derive(Debug)]
struct Sticky {
    partition: PartitionIndex,
    bytes: usize,
}

/// Whether the sender has something new to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Sender,
    Nobody,
}

impl Accumulator {
    pub(super) fn new() -> Self {
        Self {
            piles: BTreeMap::new(),
            partition_counts: BTreeMap::new(),
            undecided: BTreeMap::new(),
            buffered_bytes: 0,
            is_closed: false,
            sticky: BTreeMap::new(),
            next_number: 0,
        }
    }

    /// The partition of a record that names none and has no key: one partition until it has had a batch's worth.
    pub(super) fn sticky_partition(
        &mut self,
        topic: &TopicName,
        count: i32,
        batch_bytes: usize,
        random: impl Fn() -> u64,
    ) -> PartitionIndex {
        let choose = || {
            let count = u64::try_from(count.max(1)).unwrap_or(1);
            PartitionIndex(i32::try_from(random() % count).unwrap_or(0))
        };
        let sticky = self
            .sticky
            .entry(topic.clone())
            .or_insert_with(|| Sticky { partition: choose(), bytes: 0 });
        if sticky.bytes >= batch_bytes || sticky.partition.0 >= count {
            *sticky = Sticky { partition: choose(), bytes: 0 };
        }
        sticky.partition
    }

    /// Takes a record in. The caller has seen to memory.
    pub(super) fn append(
        &mut self,
        partition: TopicPartition,
        message: &Message,
        timestamp: Timestamp,
        now: Instant,
        settings: &ProducerSettings,
    ) -> (Receipt, Wake) {
        let headers: Vec<HeaderSlice<'_>> =
            message.headers.iter().map(|(key, value)| (key.as_ref(), value.as_deref())).collect();
        let (key, value) = (message.key.as_deref(), message.value.as_deref());
        let bytes = record_size_bytes(0, i32::from(u8::MAX), key, value, &headers);
        if message.partition.is_none()
            && key.is_none()
            && let Some(sticky) = self.sticky.get_mut(&partition.topic)
        {
            sticky.bytes += bytes;
        }
        let pile = self.piles.entry(partition.clone()).or_default();
        let mut wake = Wake::Nobody;
        if let Some(open) =
            pile.open.take_if(|open| open.size_bytes() + bytes > settings.batch_bytes)
        {
            pile.full.push_back(open);
            wake = Wake::Sender;
        }
        let open = pile.open.get_or_insert_with(|| {
            wake = Wake::Sender;
            let number = self.next_number;
            self.next_number += 1;
            let fate = Arc::new(Fate::new(partition));
            self.undecided.insert(number, Arc::clone(&fate));
            Parcel::new(number, fate, now, settings)
        });
        let index = open.record_count;
        if let Content::Open(builder) = &mut open.content {
            builder.append(timestamp, key, value, &headers);
        }
        open.record_count += 1;
        open.buffered_bytes += bytes;
        self.buffered_bytes += bytes;
        let receipt = Receipt { fate: Arc::clone(&open.fate), index };
        if open.size_bytes() >= settings.batch_bytes
            && let Some(open) = pile.open.take()
        {
            pile.full.push_back(open);
            wake = Wake::Sender;
        }
        (receipt, wake)
    }

    /// Lets nothing wait for company any longer, and names all that is under way.
    pub(super) fn close_batches(&mut self) -> Vec<Arc<Fate>> {
        for pile in self.piles.values_mut() {
            pile.full.extend(pile.open.take());
        }
        self.undecided.values().cloned().collect()
    }

    /// A parcel has met its fate: its memory is free.
    pub(super) fn release(&mut self, parcel: &Parcel) {
        self.undecided.remove(&parcel.number);
        self.buffered_bytes = self.buffered_bytes.saturating_sub(parcel.buffered_bytes);
    }
}

impl Parcel {
    fn new(number: u64, fate: Arc<Fate>, now: Instant, settings: &ProducerSettings) -> Self {
        let mut builder = Builder::new(Offset::ZERO, None, settings.compression);
        if let Some(level) = settings.compression_level {
            builder = builder.level(level);
        }
        Self {
            number,
            content: Content::Open(builder),
            record_count: 0,
            buffered_bytes: 0,
            created: now,
            fate,
            is_numbered: false,
            doubt: None,
        }
    }

    fn size_bytes(&self) -> usize {
        match &self.content {
            Content::Open(builder) => builder.size_bytes(),
            Content::Closed(batch) => batch.bytes().len(),
        }
    }

    /// What it takes in a request, before compression.
    pub(super) fn request_bytes(&self) -> usize {
        self.size_bytes()
    }

    /// Closes the batch, and names its producer and first sequence number (again).
    ///
    /// # Errors
    ///
    /// When the batch cannot be written, for its size or its codec.
    pub(super) fn seal(
        &mut self,
        producer: Option<(ProducerId, ProducerEpoch, i32)>,
    ) -> Result<(), Error> {
        let empty = Builder::new(Offset::ZERO, None, crate::record::Compression::None);
        let content = std::mem::replace(&mut self.content, Content::Open(empty));
        let batch = match (content, producer) {
            (Content::Open(builder), Some((id, epoch, sequence))) => {
                builder.producer(id, epoch, Some(sequence)).finish()
            }
            (Content::Open(builder), None) => builder.finish(),
            (Content::Closed(batch), Some((id, epoch, sequence))) => {
                Ok(batch.with_producer(id, epoch, sequence))
            }
            (Content::Closed(batch), None) => Ok(batch),
        };
        let batch = batch.map_err(|error| Error::Invalid {
            why: format!("a batch cannot be written: {error}"),
        })?;
        self.is_numbered = producer.is_some();
        self.content = Content::Closed(batch);
        Ok(())
    }
}
