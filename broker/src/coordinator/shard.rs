//! One shard: a partition of the internal topic with the machine built from it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::batches;
use super::machine::{EffectsOf, KeyValue, Machine, Position, RequestId, Then, Write};
use super::runtime::client_error;
use super::timer::{Instant, Now};
use crate::model::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId};
use crate::record::{Compression, EndTransactionMarker, HEADER_BYTES};

/// Where an answer goes.
pub(super) type Answer<M> = oneshot::Sender<Result<<M as Machine>::Reply, ErrorCode>>;

/// Says whether a marker was written and committed.
pub(super) type MarkerAnswer = oneshot::Sender<Result<(), ErrorCode>>;

/// The end of a producer's transaction, to be written.
#[derive(Debug)]
pub(super) struct Marker {
    pub(super) producer: (ProducerId, ProducerEpoch),
    pub(super) marker: EndTransactionMarker,
    pub(super) answer: MarkerAnswer,
}

/// What waits for its turn.
enum Input<M: Machine> {
    Request(RequestId, M::Request),
    Settled(M::Token, Result<(), ErrorCode>),
    Marker(Marker),
    Tick,
}

/// What waits for an offset to be committed.
enum Waiting<M: Machine> {
    Write(Then<M::Reply, M::Token>),
    Read(RequestId, Result<M::Reply, ErrorCode>),
    Marker(MarkerAnswer),
}

struct Parked<M: Machine> {
    offset: Offset,
    deadline: Instant,
    waiting: Waiting<M>,
}

/// What is being appended.
pub(super) enum InFlight<M: Machine> {
    Writes(Vec<Write<M::Record, M::Reply, M::Token>>),
    Marker(Marker),
}

/// A batch that should be appended now.
pub(super) struct ToAppend<M: Machine> {
    pub(super) batch: Bytes,
    pub(super) what: InFlight<M>,
}

/// A write with its records as bytes.
struct Encoded<M: Machine> {
    write: Write<M::Record, M::Reply, M::Token>,
    entries: Vec<KeyValue>,
    size_bytes: usize,
}

/// Limits of a shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) commit_timeout: std::time::Duration,
    pub(super) batch_bytes_max: usize,
    pub(super) compression: Compression,
    pub(super) queue_length: usize,
}

/// An active shard.
///
/// Inputs are taken in order. While records are decided but not appended and replayed, only requests that may join
/// their batch are taken; so a decision always sees what earlier ones led to.
pub(super) struct Shard<M: Machine> {
    partition: PartitionIndex,
    pub(super) epoch: LeaderEpoch,
    machine: M,
    limits: Limits,
    inputs: VecDeque<Input<M>>,
    is_tick_queued: bool,
    /// Decided, not appended.
    decided: VecDeque<Encoded<M>>,
    decided_bytes: usize,
    is_appending: bool,
    /// The last record of the log as far as the machine has replayed it.
    last_appended: Option<Offset>,
    /// All before this is known to be committed.
    high_watermark: Offset,
    /// Offsets never decrease from front to back, nor do deadlines.
    parked: VecDeque<Parked<M>>,
    pub(super) is_watching: bool,
    unanswered: BTreeMap<RequestId, Answer<M>>,
}

impl<M: Machine> Shard<M> {
    pub(super) fn new(
        (partition, epoch): (PartitionIndex, LeaderEpoch),
        machine: M,
        last_appended: Option<Offset>,
        limits: Limits,
    ) -> Self {
        Self {
            partition,
            epoch,
            machine,
            limits,
            inputs: VecDeque::new(),
            is_tick_queued: false,
            decided: VecDeque::new(),
            decided_bytes: 0,
            is_appending: false,
            last_appended,
            high_watermark: Offset::ZERO,
            parked: VecDeque::new(),
            is_watching: false,
            unanswered: BTreeMap::new(),
        }
    }

    /// The machine may act for the first time.
    pub(super) fn start(&mut self, now: Now) {
        let effects = self.machine.loaded(now);
        self.absorb(now, effects);
    }

    /// Queues a request, or refuses it when too many wait already.
    pub(super) fn push_request(&mut self, id: RequestId, request: M::Request, answer: Answer<M>) {
        if self.inputs.len() >= self.limits.queue_length {
            let _ = answer.send(Err(ErrorCode::CoordinatorNotAvailable));
            return;
        }
        self.unanswered.insert(id, answer);
        self.inputs.push_back(Input::Request(id, request));
    }

    pub(super) fn push_marker(&mut self, marker: Marker) {
        if self.inputs.len() >= self.limits.queue_length {
            let _ = marker.answer.send(Err(ErrorCode::CoordinatorNotAvailable));
            return;
        }
        self.inputs.push_back(Input::Marker(marker));
    }

    /// Takes inputs until a batch has to be appended or none is left.
    pub(super) fn advance(&mut self, now: Now) -> Option<ToAppend<M>> {
        if !self.is_tick_queued
            && self.machine.next_deadline().is_some_and(|deadline| deadline <= now.instant)
        {
            self.is_tick_queued = true;
            self.inputs.push_back(Input::Tick);
        }
        while !self.is_appending {
            let may_take = match self.inputs.front() {
                None => false,
                Some(_) if self.decided.is_empty() => true,
                Some(Input::Request(_, request)) => {
                    M::may_join_batch(request) && !self.is_batch_full()
                }
                Some(Input::Settled(..) | Input::Marker(_) | Input::Tick) => false,
            };
            let input = if may_take { self.inputs.pop_front() } else { None };
            match input {
                Some(Input::Marker(marker)) => {
                    if let Some(append) = self.append_marker(now, marker) {
                        return Some(append);
                    }
                }
                Some(input) => self.take(now, input),
                None if self.decided.is_empty() => return None,
                None => {
                    if let Some(append) = self.append_decided(now) {
                        return Some(append);
                    }
                }
            }
        }
        None
    }

    fn take(&mut self, now: Now, input: Input<M>) {
        let effects = match input {
            Input::Request(id, request) => self.machine.handle(now, id, request),
            Input::Settled(token, result) => self.machine.settled(now, token, result),
            Input::Tick => {
                let effects = self.machine.tick(now);
                self.is_tick_queued =
                    self.machine.next_deadline().is_some_and(|deadline| deadline <= now.instant);
                if self.is_tick_queued {
                    self.inputs.push_back(Input::Tick);
                }
                effects
            }
            Input::Marker(_) => return,
        };
        self.absorb(now, effects);
    }

    fn absorb(&mut self, now: Now, effects: EffectsOf<M>) {
        for (id, result) in effects.answers {
            self.answer(id, result);
        }
        for (id, result) in effects.reads {
            self.park_read(now, id, result);
        }
        for write in effects.writes {
            if write.records.is_empty() {
                if let Then::Answer(id, reply) = write.then {
                    self.park_read(now, id, Ok(reply));
                }
                continue;
            }
            let entries: Vec<_> = match write.records.iter().map(M::encode).collect() {
                Ok(entries) => entries,
                Err(error) => {
                    self.fail_write(write.then, error);
                    continue;
                }
            };
            let size_bytes =
                entries.iter().map(|(key, value)| batches::size_of(key, value.as_ref())).sum();
            self.decided_bytes += size_bytes;
            self.decided.push_back(Encoded { write, entries, size_bytes });
        }
    }

    fn answer(&mut self, id: RequestId, result: Result<M::Reply, ErrorCode>) {
        if let Some(answer) = self.unanswered.remove(&id) {
            // Whoever asked may be gone.
            let _ = answer.send(result);
        }
    }

    fn park_read(&mut self, now: Now, id: RequestId, result: Result<M::Reply, ErrorCode>) {
        match self.last_appended {
            Some(offset) if offset >= self.high_watermark => {
                self.park(now, offset, Waiting::Read(id, result));
            }
            Some(_) | None => self.answer(id, result),
        }
    }

    fn park(&mut self, now: Now, offset: Offset, waiting: Waiting<M>) {
        let deadline = now.instant + self.limits.commit_timeout;
        self.parked.push_back(Parked { offset, deadline, waiting });
    }

    fn is_batch_full(&self) -> bool {
        self.decided_bytes + HEADER_BYTES >= self.limits.batch_bytes_max / 2
    }

    /// Takes as many decided writes as fit one batch: all records of a write or none, one producer only.
    fn append_decided(&mut self, now: Now) -> Option<ToAppend<M>> {
        let mut writes = Vec::new();
        let mut entries = Vec::new();
        let mut size = HEADER_BYTES;
        let producer = self.decided.front()?.write.producer;
        while let Some(encoded) = self.decided.front() {
            let fits = size + encoded.size_bytes <= self.limits.batch_bytes_max;
            if encoded.write.producer != producer || !(fits || writes.is_empty()) {
                break;
            }
            let Some(encoded) = self.decided.pop_front() else { break };
            self.decided_bytes -= encoded.size_bytes;
            if !fits {
                self.fail_write(encoded.write.then, ErrorCode::RecordListTooLarge);
                return None;
            }
            size += encoded.size_bytes;
            entries.extend(encoded.entries);
            writes.push(encoded.write);
        }
        match batches::build(&entries, producer, self.limits.compression, now.wall) {
            Ok(batch) => {
                self.is_appending = true;
                Some(ToAppend { batch, what: InFlight::Writes(writes) })
            }
            Err(error) => {
                for write in writes {
                    self.fail_write(write.then, error);
                }
                None
            }
        }
    }

    fn append_marker(&mut self, now: Now, marker: Marker) -> Option<ToAppend<M>> {
        match batches::build_marker(marker.producer, marker.marker, now.wall) {
            Ok(batch) => {
                self.is_appending = true;
                Some(ToAppend { batch, what: InFlight::Marker(marker) })
            }
            Err(error) => {
                let _ = marker.answer.send(Err(error));
                None
            }
        }
    }

    /// An append ended: what was written is replayed and its answers wait for the commit; what was not never was.
    pub(super) fn appended(
        &mut self,
        now: Now,
        what: InFlight<M>,
        result: Result<(Offset, Offset), ErrorCode>,
    ) {
        self.is_appending = false;
        match (what, result) {
            (InFlight::Writes(writes), Ok((first, last))) => {
                let mut offset = first;
                for write in writes {
                    let producer = write.producer.map(|(id, _)| id);
                    for record in &write.records {
                        self.machine.replay(Position { offset, producer }, record);
                        offset = offset.plus(1);
                    }
                    self.park(now, last, Waiting::Write(write.then));
                }
                self.last_appended = Some(last);
            }
            (InFlight::Marker(marker), Ok((_, last))) => {
                self.machine.end_transaction(marker.producer.0, marker.marker.is_commit);
                self.last_appended = Some(last);
                self.park(now, last, Waiting::Marker(marker.answer));
            }
            (InFlight::Writes(writes), Err(error)) => {
                tracing::debug!(partition = self.partition.0, %error, "append refused");
                for write in writes {
                    self.fail_write(write.then, error);
                }
            }
            (InFlight::Marker(marker), Err(error)) => {
                let _ = marker.answer.send(Err(client_error(error)));
            }
        }
    }

    fn fail_write(&mut self, then: Then<M::Reply, M::Token>, error: ErrorCode) {
        match then {
            Then::Answer(id, _) => self.answer(id, Err(client_error(error))),
            Then::Tell(token) => self.inputs.push_front(Input::Settled(token, Err(error))),
            Then::Nothing => {}
        }
    }

    /// The offset that must be committed for the next answer to go.
    pub(super) fn awaited(&self) -> Option<Offset> {
        self.parked.front().map(|parked| parked.offset)
    }

    /// Everything before `high_watermark` is committed.
    pub(super) fn committed(&mut self, high_watermark: Offset) {
        self.high_watermark = self.high_watermark.max(high_watermark);
        while self.parked.front().is_some_and(|parked| parked.offset < self.high_watermark) {
            let Some(parked) = self.parked.pop_front() else { break };
            match parked.waiting {
                Waiting::Write(Then::Answer(id, reply)) => self.answer(id, Ok(reply)),
                Waiting::Write(Then::Tell(token)) => {
                    self.inputs.push_back(Input::Settled(token, Ok(())));
                }
                Waiting::Write(Then::Nothing) => {}
                Waiting::Read(id, result) => self.answer(id, result),
                Waiting::Marker(answer) => {
                    let _ = answer.send(Ok(()));
                }
            }
        }
    }

    /// Gives up on answers whose records were not committed in time. The records may be committed all the same.
    pub(super) fn expire_parked(&mut self, now: Now) {
        while self.parked.front().is_some_and(|parked| parked.deadline <= now.instant) {
            let Some(parked) = self.parked.pop_front() else { break };
            let error = ErrorCode::RequestTimedOut;
            match parked.waiting {
                Waiting::Write(then) => self.fail_write(then, error),
                Waiting::Read(id, _) => self.answer(id, Err(client_error(error))),
                Waiting::Marker(answer) => {
                    let _ = answer.send(Err(client_error(error)));
                }
            }
        }
    }

    /// When this shard wants to be looked at, if nothing happens before.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let machine = if self.is_appending || self.is_tick_queued {
            None
        } else {
            self.machine.next_deadline()
        };
        let parked = self.parked.front().map(|parked| parked.deadline);
        machine.into_iter().chain(parked).min()
    }

    /// The partition is another broker's now: all who wait have to look for it.
    pub(super) fn unload(self, error: ErrorCode) {
        for answer in self.unanswered.into_values() {
            let _ = answer.send(Err(error));
        }
        for input in self.inputs {
            if let Input::Marker(marker) = input {
                let _ = marker.answer.send(Err(error));
            }
        }
        for parked in self.parked {
            if let Waiting::Marker(answer) = parked.waiting {
                let _ = answer.send(Err(error));
            }
        }
    }
}
