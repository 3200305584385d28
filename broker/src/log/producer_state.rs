//! What a log remembers of its producers: their last batches (idempotence) and their open transactions.
//!
//! Kept by replaying every batch of the log; `.snapshot` files only shorten that. Source: KIP-98, KIP-360, KIP-890.

use std::collections::{BTreeMap, VecDeque};

use super::append::Refusal;
use super::{Origin, Settings};
use crate::model::{ErrorCode, Offset, ProducerEpoch, ProducerId, Timestamp};

/// Batches remembered per producer: as many as a client may have in flight.
const BATCHES_MAX: usize = 5;

/// What the producer state must know of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerBatch {
    pub(crate) producer: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    /// -1 in control batches.
    pub(crate) base_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) is_transactional: bool,
    /// Set for the marker that ends a transaction.
    pub(crate) marker: Option<EndMarker>,
}

/// A transaction's end as it stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndMarker {
    pub(crate) is_abort: bool,
    pub(crate) coordinator_epoch: i32,
}

/// A transaction that ended, to be remembered in the transaction index if it was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndedTransaction {
    pub(crate) producer: ProducerId,
    pub(crate) first_offset: Offset,
    /// Of the marker.
    pub(crate) last_offset: Offset,
    /// Everything below is decided, this transaction included.
    pub(crate) last_stable_offset: Offset,
    pub(crate) is_abort: bool,
}

/// Where a batch that came twice lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Duplicate {
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) timestamp: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BatchEntry {
    last_sequence: i32,
    last_offset: i64,
    offset_delta: i32,
    timestamp: i64,
}

impl BatchEntry {
    fn of(batch: &ProducerBatch) -> Self {
        Self {
            last_sequence: batch.last_sequence,
            last_offset: batch.last_offset.value(),
            offset_delta: delta(batch.first_offset, batch.last_offset),
            timestamp: batch.max_timestamp.0,
        }
    }

    fn first_sequence(self) -> i32 {
        sequence_before(self.last_sequence, self.offset_delta)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    epoch: i16,
    batches: VecDeque<BatchEntry>,
    last_timestamp: i64,
    coordinator_epoch: i32,
    transaction_start: Option<i64>,
}

/// All producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerState {
    producers: BTreeMap<i64, Entry>,
    /// First offsets of open transactions.
    open: BTreeMap<i64, i64>,
    /// First and last offsets of ended transactions whose marker is not yet below the high watermark.
    unreplicated: BTreeMap<i64, i64>,
}

impl ProducerState {
    /// Judges a batch that a leader is about to append: `Some` when it is already in the log.
    pub(crate) fn check(
        &self,
        batch: &ProducerBatch,
        origin: Origin,
    ) -> Result<Option<Duplicate>, Refusal> {
        let Some(entry) = self.producers.get(&batch.producer.0) else { return Ok(None) };
        if matches!(origin, Origin::Client { .. })
            && let Some(found) = entry.duplicate_of(batch)
        {
            return Ok(Some(found));
        }
        if batch.epoch.0 < entry.epoch {
            return Err(Refusal::new(
                ErrorCode::InvalidProducerEpoch,
                format!(
                    "Epoch of producer {} at offset {} is {}, which is smaller than the last seen epoch {}",
                    batch.producer, batch.first_offset, batch.epoch, entry.epoch
                ),
            ));
        }
        if let Some(marker) = batch.marker {
            return check_coordinator_epoch(entry, batch, marker).map(|()| None);
        }
        if matches!(origin, Origin::Client { .. }) {
            entry.check_sequence(batch)?;
        }
        if entry.transaction_start.is_some() && !batch.is_transactional {
            return Err(Refusal::new(
                ErrorCode::InvalidTxnState,
                format!("Expected transactional write from producer {}", batch.producer),
            ));
        }
        Ok(None)
    }

    /// Takes a batch that is in the log. Gives back the transaction that it ended, if any.
    pub(crate) fn append(&mut self, batch: &ProducerBatch) -> Option<EndedTransaction> {
        let entry = self.producers.entry(batch.producer.0).or_insert_with(|| Entry {
            epoch: batch.epoch.0,
            batches: VecDeque::new(),
            last_timestamp: batch.max_timestamp.0,
            coordinator_epoch: -1,
            transaction_start: None,
        });
        if entry.epoch != batch.epoch.0 {
            entry.epoch = batch.epoch.0;
            entry.batches.clear();
        }
        entry.last_timestamp = batch.max_timestamp.0;
        if let Some(marker) = batch.marker {
            entry.coordinator_epoch = marker.coordinator_epoch;
            let start = entry.transaction_start.take()?;
            return Some(self.end_transaction(start, batch, marker));
        }
        entry.batches.push_back(BatchEntry::of(batch));
        while entry.batches.len() > BATCHES_MAX {
            entry.batches.pop_front();
        }
        if batch.is_transactional && entry.transaction_start.is_none() {
            entry.transaction_start = Some(batch.first_offset.value());
            self.open.insert(batch.first_offset.value(), batch.producer.0);
        }
        None
    }

    /// Remembers batches from before a snapshot, which tells of the last one of each producer: given in the order of the log.
    ///
    /// A client may send again any of those it had in flight when the broker ended. One that is not known any more would be
    /// out of order, and many clients then take a new epoch and write everything again.
    pub(crate) fn recall(&mut self, earlier: &[ProducerBatch]) {
        for batch in earlier.iter().rev().filter(|batch| batch.marker.is_none()) {
            let Some(entry) = self.producers.get_mut(&batch.producer.0) else { continue };
            let Some(next) = entry.batches.front() else { continue };
            let is_before = entry.epoch == batch.epoch.0
                && batch.last_offset.value() < next.last_offset
                && sequence_after(batch.last_sequence) == next.first_sequence();
            if is_before && entry.batches.len() < BATCHES_MAX {
                entry.batches.push_front(BatchEntry::of(batch));
            }
        }
    }

    /// True when there is somebody of whom more could be remembered.
    pub(crate) fn could_recall(&self) -> bool {
        self.producers.values().any(|entry| !entry.batches.is_empty())
    }

    fn end_transaction(
        &mut self,
        start: i64,
        batch: &ProducerBatch,
        marker: EndMarker,
    ) -> EndedTransaction {
        self.open.remove(&start);
        self.unreplicated.insert(start, batch.last_offset.value());
        let next_open = self.open.first_key_value().map(|(first, _)| *first);
        EndedTransaction {
            producer: batch.producer,
            first_offset: stored(start),
            last_offset: batch.last_offset,
            last_stable_offset: next_open.map_or(batch.last_offset.plus(1), stored),
            is_abort: marker.is_abort,
        }
    }

    /// The first offset that is not decided: of an open transaction, or of one whose marker may still be lost.
    pub(crate) fn first_unstable_offset(&self) -> Option<Offset> {
        let open = self.open.first_key_value().map(|(first, _)| *first);
        let unreplicated = self.unreplicated.first_key_value().map(|(first, _)| *first);
        open.into_iter().chain(unreplicated).min().map(stored)
    }

    /// Lets go the ended transactions whose markers are committed.
    pub(crate) fn high_watermark_moved(&mut self, high_watermark: Offset) {
        self.unreplicated.retain(|_, last| *last >= high_watermark.value());
    }

    /// True when no transaction is open or undecided.
    pub(crate) fn is_stable(&self) -> bool {
        self.open.is_empty() && self.unreplicated.is_empty()
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms` and have no open transaction.
    pub(crate) fn expire(&mut self, now: Timestamp, settings: &Settings) {
        self.producers.retain(|_, entry| !entry.is_expired(now, settings));
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The producers, for tools: id, epoch, last sequence, last timestamp, coordinator epoch, start of the open transaction.
    pub(crate) fn producers(&self) -> Vec<ActiveProducer> {
        let describe = |(id, entry): (&i64, &Entry)| ActiveProducer {
            producer: ProducerId(*id),
            epoch: ProducerEpoch(entry.epoch),
            last_sequence: entry.batches.back().map(|batch| batch.last_sequence),
            last_timestamp: Timestamp(entry.last_timestamp),
            coordinator_epoch: (entry.coordinator_epoch >= 0).then_some(entry.coordinator_epoch),
            transaction_start: entry.transaction_start.map(stored),
        };
        self.producers.iter().map(describe).collect()
    }
}

/// One producer as `DescribeProducers` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of its last record.
    pub last_sequence: Option<i32>,
    /// When it last wrote.
    pub last_timestamp: Timestamp,
    /// Epoch of the coordinator that last ended a transaction of it.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction begins.
    pub transaction_start: Option<Offset>,
}

impl Entry {
    fn duplicate_of(&self, batch: &ProducerBatch) -> Option<Duplicate> {
        if batch.epoch.0 != self.epoch || batch.marker.is_some() {
            return None;
        }
        let found = self.batches.iter().find(|known| {
            known.first_sequence() == batch.base_sequence
                && known.last_sequence == batch.last_sequence
        })?;
        Some(Duplicate {
            first_offset: stored(found.last_offset - i64::from(found.offset_delta)),
            last_offset: stored(found.last_offset),
            timestamp: Timestamp(found.timestamp),
        })
    }

    fn check_sequence(&self, batch: &ProducerBatch) -> Result<(), Refusal> {
        let refuse =
            |message: String| Err(Refusal::new(ErrorCode::OutOfOrderSequenceNumber, message));
        if batch.epoch.0 != self.epoch {
            if batch.base_sequence == 0 {
                return Ok(());
            }
            return refuse(format!(
                "Invalid sequence number for new epoch of producer {} at offset {}: {} (request epoch), {} (seq. number), {} (current producer epoch)",
                batch.producer, batch.first_offset, batch.epoch, batch.base_sequence, self.epoch
            ));
        }
        let last = self.batches.back().map_or(-1, |known| known.last_sequence);
        let follows = i64::from(batch.base_sequence) == i64::from(last) + 1
            || (batch.base_sequence == 0 && last == i32::MAX);
        if follows {
            return Ok(());
        }
        refuse(format!(
            "Out of order sequence number for producer {} at offset {}: {} (incoming seq. number), {last} (current end sequence number)",
            batch.producer, batch.first_offset, batch.base_sequence
        ))
    }

    fn is_expired(&self, now: Timestamp, settings: &Settings) -> bool {
        self.transaction_start.is_none()
            && now.millis_since(Timestamp(self.last_timestamp))
                >= settings.producer_id_expiration_ms
    }
}

fn check_coordinator_epoch(
    entry: &Entry,
    batch: &ProducerBatch,
    marker: EndMarker,
) -> Result<(), Refusal> {
    if marker.coordinator_epoch >= entry.coordinator_epoch {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::TransactionCoordinatorFenced,
        format!(
            "Invalid coordinator epoch for producerId {} at offset {}: {} (zombie), {} (current)",
            batch.producer, batch.first_offset, marker.coordinator_epoch, entry.coordinator_epoch
        ),
    ))
}

const fn sequence_before(sequence: i32, count: i32) -> i32 {
    if sequence < count { i32::MAX - (count - sequence) + 1 } else { sequence - count }
}

const fn sequence_after(sequence: i32) -> i32 {
    if sequence == i32::MAX { 0 } else { sequence + 1 }
}

fn delta(first: Offset, last: Offset) -> i32 {
    i32::try_from(last.distance_from(first)).unwrap_or(i32::MAX)
}

/// An offset that was checked when it was taken in.
const fn stored(offset: i64) -> Offset {
    Offset::new(offset)
}

const SNAPSHOT_VERSION: i16 = 1;
const HEADER_BYTES: usize = 10;
const ENTRY_BYTES: usize = 46;

impl ProducerState {
    /// As Kafka's `.snapshot` file has it: only the last batch of each producer survives.
    pub(crate) fn encode_snapshot(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(4 + self.producers.len() * ENTRY_BYTES);
        let count = i32::try_from(self.producers.len()).unwrap_or(i32::MAX);
        body.extend_from_slice(&count.to_be_bytes());
        let none =
            BatchEntry { last_sequence: -1, last_offset: -1, offset_delta: 0, timestamp: -1 };
        for (id, entry) in &self.producers {
            let last = entry.batches.back().copied().unwrap_or(none);
            body.extend_from_slice(&id.to_be_bytes());
            body.extend_from_slice(&entry.epoch.to_be_bytes());
            body.extend_from_slice(&last.last_sequence.to_be_bytes());
            body.extend_from_slice(&last.last_offset.to_be_bytes());
            body.extend_from_slice(&last.offset_delta.to_be_bytes());
            body.extend_from_slice(&entry.last_timestamp.to_be_bytes());
            body.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
            body.extend_from_slice(&entry.transaction_start.unwrap_or(-1).to_be_bytes());
        }
        let mut bytes = Vec::with_capacity(6 + body.len());
        bytes.extend_from_slice(&SNAPSHOT_VERSION.to_be_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads a `.snapshot` file; `None` when it was not written whole or makes no sense.
    pub(crate) fn decode_snapshot(bytes: &[u8]) -> Option<Self> {
        let (header, entries) = bytes.split_at_checked(HEADER_BYTES)?;
        let version = i16::from_be_bytes(header[..2].try_into().ok()?);
        let crc = u32::from_be_bytes(header[2..6].try_into().ok()?);
        let count = usize::try_from(i32::from_be_bytes(header[6..10].try_into().ok()?)).ok()?;
        if version != SNAPSHOT_VERSION
            || crc != crc32c::crc32c(&bytes[6..])
            || entries.len() != count.checked_mul(ENTRY_BYTES)?
        {
            return None;
        }
        let mut state = Self::default();
        for entry in entries.chunks_exact(ENTRY_BYTES) {
            state.load(entry)?;
        }
        Some(state)
    }

    fn load(&mut self, bytes: &[u8]) -> Option<()> {
        let long = |at: usize| Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let int = |at: usize| Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let id = long(0)?;
        let epoch = i16::from_be_bytes(bytes.get(8..10)?.try_into().ok()?);
        let batch = BatchEntry {
            last_sequence: int(10)?,
            last_offset: long(14)?,
            offset_delta: int(22)?,
            timestamp: long(26)?,
        };
        let transaction_start = Some(long(38)?).filter(|start| *start >= 0);
        let has_batch = batch.last_offset >= 0 && batch.last_sequence >= 0;
        if has_batch && !(0..=batch.last_offset).contains(&i64::from(batch.offset_delta)) {
            return None;
        }
        let entry = Entry {
            epoch,
            batches: if has_batch { VecDeque::from([batch]) } else { VecDeque::new() },
            last_timestamp: batch.timestamp,
            coordinator_epoch: int(34)?,
            transaction_start,
        };
        if let Some(start) = transaction_start {
            self.open.insert(start, id);
        }
        self.producers.insert(id, entry);
        Some(())
    }
}

#[cfg(test)]
mod tests;
