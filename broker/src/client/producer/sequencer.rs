//! The order of one partition: what may be sent next, and what follows from an answer. No I/O, no clock.
//!
//! Batches of a partition are numbered when they are first sent and may be under way several at a time; but the first of a
//! producer's epoch goes alone. A broker takes any number from a producer that it does not know: were the second on its way to a
//! new leader while the first is still with the old one, it would be written before the first. After a failure
//! nothing new is sent until all that is under way has been answered (the broker refuses whatever follows a gap);
//! then the failed ones go again, in order and with the same numbers, so that the broker recognises what it has
//! already. When a number can never be filled, because its batch was refused or ran out of time, the rest is numbered
//! anew from 0 under a new producer epoch.
//!
//! Sources: KIP-98, KIP-360.

use std::collections::BTreeMap;
use std::time::Duration;

use super::accumulator::{Content, Parcel};
use crate::client::Error;
use crate::environment::Instant;
use crate::model::{ErrorCode, ProducerEpoch, ProducerId};

/// Who this producer is to brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
}

/// How long attempts go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first record of a batch on (`delivery.timeout.ms`).
    pub(super) delivery_timeout: Duration,
    /// Between attempts.
    pub(super) backoff: Duration,
}

/// The state of one partition.
#[derive(Debug, Default)]
pub(super) struct Sequencer {
    /// Under which its numbers count; `None` before the first and after a gap.
    identity: Option<Identity>,
    next_sequence: i32,
    /// A batch with such a number has been acknowledged, so that the partition knows the producer.
    is_known: bool,
    /// Failed and to be sent again, by the parcel's number.
    retries: BTreeMap<u64, Parcel>,
    under_way: usize,
    is_draining: bool,
    /// A sequence number was given away that will never be filled.
    has_gap: bool,
    not_before: Instant,
}

impl Sequencer {
    /// From when on a batch may be sent; `None` while answers must come first.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        let goes_alone = self.is_draining || (self.identity.is_some() && !self.is_known);
        (!goes_alone || self.under_way == 0).then_some(self.not_before)
    }

    /// Goes back to sending once all answers are in. After a gap the numbers begin anew under a newer epoch, which
    /// becomes the producer's; it needs a new identity when its epochs are used up. Gives back what can
    /// not be numbered anew, because it may be written already and would be written twice.
    pub(super) fn settle(&mut self, producer: &mut Option<Identity>) -> Vec<(Parcel, Error)> {
        if !self.is_draining || self.under_way > 0 {
            return Vec::new();
        }
        self.is_draining = false;
        if !std::mem::take(&mut self.has_gap) {
            return Vec::new();
        }
        if self.identity.take() == *producer {
            *producer = producer.and_then(|used| {
                let epoch = ProducerEpoch(used.epoch.0.checked_add(1)?);
                Some(Identity { epoch, ..used })
            });
        }
        self.next_sequence = 0;
        self.is_known = false;
        let mut lost = Vec::new();
        for (number, mut parcel) in std::mem::take(&mut self.retries) {
            if let Some(doubt) = parcel.doubt.take() {
                lost.push((parcel, doubt));
            } else {
                parcel.is_numbered = false;
                self.retries.insert(number, parcel);
            }
        }
        lost
    }

    /// The size of the batch that must go before any new one, in bytes.
    pub(super) fn retry_bytes(&self) -> Option<usize> {
        self.retries.first_key_value().map(|(_, parcel)| parcel.request_bytes())
    }

    /// The batch that must go before any new one.
    pub(super) fn take_retry(&mut self) -> Option<Parcel> {
        self.retries.pop_first().map(|(_, parcel)| parcel)
    }

    /// Makes a batch ready for an attempt: closed, and numbered when the producer is idempotent.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then it is not under way.
    pub(super) fn begin(
        &mut self,
        parcel: &mut Parcel,
        producer: Option<Identity>,
    ) -> Result<(), Error> {
        match producer {
            Some(producer) if !parcel.is_numbered => {
                let used = *self.identity.get_or_insert(producer);
                parcel.seal(Some((used.id, used.epoch, self.next_sequence)))?;
                self.next_sequence = sequence_after(self.next_sequence, parcel.record_count);
            }
            None if matches!(parcel.content, Content::Open(_)) => parcel.seal(None)?,
            Some(_) | None => {}
        }
        self.under_way += 1;
        Ok(())
    }

    /// An attempt was answered. Gives the batch back when its fate is known.
    pub(super) fn answered(
        &mut self,
        mut parcel: Parcel,
        failure: Option<Error>,
        now: Instant,
        patience: Patience,
    ) -> Option<(Parcel, Result<(), Error>)> {
        self.under_way = self.under_way.checked_sub(1).expect("an answer follows an attempt");
        let Some(error) = failure else {
            self.is_known = true;
            return Some((parcel, Ok(())));
        };
        self.is_draining = true;
        self.not_before = now + patience.backoff;
        let follows_a_failure =
            self.has_gap || self.retries.range(..parcel.number).next().is_some();
        let is_again = if parcel.is_numbered && is_about_numbers(&error) {
            // The first of its line can be numbered anew, unless it may be written already.
            self.has_gap |= !follows_a_failure;
            follows_a_failure || parcel.doubt.is_none()
        } else {
            error.is_retriable()
        };
        if error.is_outcome_unknown() {
            parcel.doubt = Some(error.clone());
        }
        if is_again && now < parcel.created + patience.delivery_timeout {
            self.retries.insert(parcel.number, parcel);
            return None;
        }
        self.has_gap |= parcel.is_numbered;
        let error = parcel.doubt.take().unwrap_or(error);
        Some((parcel, Err(error)))
    }

    /// Gives up what has waited for too long, once nothing is under way.
    pub(super) fn expire(&mut self, now: Instant, patience: Patience) -> Vec<(Parcel, Error)> {
        let mut expired = Vec::new();
        if self.under_way > 0 {
            return expired;
        }
        for (number, mut parcel) in std::mem::take(&mut self.retries) {
            if now < parcel.created + patience.delivery_timeout {
                self.retries.insert(number, parcel);
                continue;
            }
            self.has_gap |= parcel.is_numbered;
            self.is_draining = true;
            let error = parcel.doubt.take().unwrap_or_else(|| gave_up(&parcel, patience));
            expired.push((parcel, error));
        }
        expired
    }
}

/// Time was up before any attempt could tell more.
pub(super) fn gave_up(parcel: &Parcel, patience: Patience) -> Error {
    let what = format!("partition {}", parcel.fate.partition);
    let last = Box::new(Error::NoLeader { what });
    Error::GaveUp { after: patience.delivery_timeout, last }
}

/// The broker does not take this number of this producer.
fn is_about_numbers(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::OutOfOrderSequenceNumber
                | ErrorCode::UnknownProducerId
                | ErrorCode::InvalidProducerEpoch
                | ErrorCode::InvalidProducerIdMapping
                | ErrorCode::ProducerFenced
        )
    )
}

/// The number `count` records on; after the largest comes 0.
fn sequence_after(sequence: i32, count: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(count);
    i32::try_from(sum % (i64::from(i32::MAX) + 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::client::producer::accumulator::Accumulator;
    use crate::client::producer::{Message, ProducerSettings};
    use crate::model::{Timestamp, TopicPartition};

    const PATIENCE: Patience = Patience {
        delivery_timeout: Duration::from_secs(100),
        backoff: Duration::from_millis(100),
    };
    const NOW: Instant = Instant(1_000_000_000);

    fn identity(epoch: i16) -> Option<Identity> {
        Some(Identity { id: ProducerId(7), epoch: ProducerEpoch(epoch) })
    }

    fn parcels(count: usize) -> Vec<Parcel> {
        let settings = ProducerSettings { batch_bytes: 1, ..ProducerSettings::default() };
        let mut accumulator = Accumulator::new();
        let partition = TopicPartition::new("a", 0);
        for _ in 0..count {
            let message = Message::new("a", None, Some("value".into()));
            accumulator.append(partition.clone(), &message, Timestamp(1), NOW, &settings);
        }
        accumulator.close_batches();
        accumulator.piles.remove(&partition).unwrap().full.into()
    }

    fn refused(code: ErrorCode) -> Option<Error> {
        Some(Error::Refused { what: String::new(), code, message: None })
    }

    fn numbers(parcel: &Parcel) -> (i16, i32) {
        let Content::Closed(batch) = &parcel.content else { panic!("not closed") };
        batch.verify_crc().unwrap();
        (batch.header().producer_epoch, batch.header().base_sequence)
    }

    /// Sends all parcels at once, and gives them back with their numbers set.
    fn all_under_way(sequencer: &mut Sequencer, count: usize) -> Vec<Parcel> {
        let mut parcels = parcels(count);
        for parcel in &mut parcels {
            sequencer.begin(parcel, identity(0)).unwrap();
        }
        parcels
    }

    fn again(sequencer: &mut Sequencer, producer: Option<Identity>) -> Vec<(i16, i32)> {
        let mut sent = Vec::new();
        while let Some(mut parcel) = sequencer.take_retry() {
            sequencer.begin(&mut parcel, producer).unwrap();
            sent.push(numbers(&parcel));
        }
        sent
    }

    #[test]
    fn batches_are_numbered_in_a_row() {
        let mut sequencer = Sequencer::default();
        let parcels = all_under_way(&mut sequencer, 3);
        let numbered: Vec<_> = parcels.iter().map(numbers).collect();
        assert_eq!(numbered, [(0, 0), (0, 1), (0, 2)]);
    }

    #[test]
    fn first_batch_of_an_epoch_goes_alone_until_the_partition_knows_the_producer() {
        let mut sequencer = Sequencer::default();
        assert!(sequencer.ready_at().is_some());
        let mut parcels = parcels(2).into_iter();
        let mut first = parcels.next().unwrap();
        sequencer.begin(&mut first, identity(0)).unwrap();
        assert_eq!(sequencer.ready_at(), None, "a leader that never heard of it takes any number");
        assert!(sequencer.answered(first, None, NOW, PATIENCE).is_some());
        let mut second = parcels.next().unwrap();
        sequencer.begin(&mut second, identity(0)).unwrap();
        assert!(sequencer.ready_at().is_some());
        let plain = Sequencer { under_way: 1, ..Sequencer::default() };
        assert!(plain.ready_at().is_some(), "without numbers there is no order to keep");
    }

    #[test]
    fn failed_batches_go_again_in_order_with_their_numbers_once_all_is_answered() {
        let mut sequencer = Sequencer::default();
        let mut parcels = all_under_way(&mut sequencer, 3).into_iter();
        let mut fail = |sequencer: &mut Sequencer, code| {
            let given_back =
                sequencer.answered(parcels.next().unwrap(), refused(code), NOW, PATIENCE);
            assert!(given_back.is_none());
        };
        fail(&mut sequencer, ErrorCode::NotEnoughReplicas);
        assert_eq!(sequencer.ready_at(), None, "answers are still to come");
        fail(&mut sequencer, ErrorCode::OutOfOrderSequenceNumber);
        fail(&mut sequencer, ErrorCode::OutOfOrderSequenceNumber);
        assert_eq!(sequencer.ready_at(), Some(NOW + PATIENCE.backoff));
        let mut producer = identity(0);
        assert!(sequencer.settle(&mut producer).is_empty());
        assert_eq!(producer, identity(0), "no number was lost");
        assert_eq!(again(&mut sequencer, producer), [(0, 0), (0, 1), (0, 2)]);
    }

    #[test]
    fn a_refused_batch_lets_the_rest_begin_anew_under_a_newer_epoch() {
        let mut sequencer = Sequencer::default();
        let mut parcels = all_under_way(&mut sequencer, 3).into_iter();
        let error = refused(ErrorCode::MessageTooLarge);
        let (_, fate) = sequencer.answered(parcels.next().unwrap(), error, NOW, PATIENCE).unwrap();
        assert_eq!(fate.unwrap_err().code(), Some(ErrorCode::MessageTooLarge));
        for parcel in parcels {
            let error = refused(ErrorCode::OutOfOrderSequenceNumber);
            assert!(sequencer.answered(parcel, error, NOW, PATIENCE).is_none());
        }
        let mut producer = identity(0);
        assert!(sequencer.settle(&mut producer).is_empty());
        assert_eq!(producer, identity(1));
        assert_eq!(again(&mut sequencer, producer), [(1, 0), (1, 1)]);
    }

    #[test]
    fn a_batch_that_may_be_written_is_never_numbered_anew() {
        let mut sequencer = Sequencer::default();
        let mut parcels = all_under_way(&mut sequencer, 2).into_iter();
        let error = refused(ErrorCode::MessageTooLarge);
        assert!(sequencer.answered(parcels.next().unwrap(), error, NOW, PATIENCE).is_some());
        let lost =
            Error::Disconnected { broker: crate::client::Endpoint::new("b", 1), cause: None };
        let second = parcels.next().unwrap();
        let fate = Arc::clone(&second.fate);
        assert!(sequencer.answered(second, Some(lost), NOW, PATIENCE).is_none());
        let given_up = sequencer.settle(&mut identity(0));
        assert_eq!(given_up.len(), 1);
        assert!(Arc::ptr_eq(&given_up[0].0.fate, &fate));
        assert!(given_up[0].1.is_outcome_unknown());
    }

    #[test]
    fn the_first_of_a_line_that_the_broker_does_not_know_is_numbered_anew() {
        let mut sequencer = Sequencer::default();
        let parcel = all_under_way(&mut sequencer, 1).remove(0);
        let error = refused(ErrorCode::OutOfOrderSequenceNumber);
        assert!(sequencer.answered(parcel, error, NOW, PATIENCE).is_none());
        let mut producer = identity(0);
        assert!(sequencer.settle(&mut producer).is_empty());
        assert_eq!(again(&mut sequencer, producer), [(1, 0)]);
    }

    #[test]
    fn time_is_up_for_good_and_leaves_a_gap() {
        let mut sequencer = Sequencer::default();
        let mut parcels = all_under_way(&mut sequencer, 2).into_iter();
        let error = refused(ErrorCode::NotEnoughReplicas);
        assert!(sequencer.answered(parcels.next().unwrap(), error, NOW, PATIENCE).is_none());
        let late = NOW + PATIENCE.delivery_timeout;
        assert!(sequencer.expire(late, PATIENCE).is_empty(), "one is still under way");
        assert!(sequencer.answered(parcels.next().unwrap(), None, late, PATIENCE).is_some());
        assert_eq!(sequencer.expire(late, PATIENCE).len(), 1);
        let mut producer = identity(0);
        sequencer.settle(&mut producer);
        assert_eq!(producer, identity(1));
    }

    #[test]
    fn used_up_epochs_need_a_new_producer_id() {
        let mut sequencer = Sequencer::default();
        let mut parcel = parcels(1).remove(0);
        let mut producer = identity(i16::MAX);
        sequencer.begin(&mut parcel, producer).unwrap();
        let error = refused(ErrorCode::MessageTooLarge);
        assert!(sequencer.answered(parcel, error, NOW, PATIENCE).is_some());
        sequencer.settle(&mut producer);
        assert_eq!(producer, None);
    }

    #[test]
    fn sequence_numbers_begin_again_after_the_largest() {
        assert_eq!(sequence_after(5, 3), 8);
        assert_eq!(sequence_after(i32::MAX, 1), 0);
        assert_eq!(sequence_after(i32::MAX - 1, 3), 1);
    }
}
