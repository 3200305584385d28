use crate::model::{ErrorCode, Offset, ProducerEpoch, ProducerId};

use super::timer::{Instant, Now};

/// Names a request somebody awaits the answer of. Given by the runtime, kept by the machine while it cannot answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Where a record was found or written, and on whose behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The record's offset.
    pub offset: Offset,
    /// Set when the record counts only once this producer's transaction is committed.
    pub producer: Option<ProducerId>,
}

/// Records that are written together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write<Record, Reply, Token> {
    /// In this order.
    pub records: Vec<Record>,
    /// Set when they are part of a producer's transaction.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
    /// What happens once they are committed, or cannot be.
    pub then: Then<Reply, Token>,
}

/// What follows a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then<Reply, Token> {
    /// This answer when committed, an error code otherwise.
    Answer(RequestId, Reply),
    /// [`Machine::settled`] is called with this.
    Tell(Token),
    /// Nobody waits.
    Nothing,
}

/// What a machine wants done after one input.
#[must_use = "a machine's effects are its only way to answer and to write"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects<Record, Reply, Token> {
    /// Given at once: these say nothing of what is stored.
    pub answers: Vec<(RequestId, Result<Reply, ErrorCode>)>,
    /// Given once all that had been written when they were read is committed, so that nothing is seen that could vanish.
    pub reads: Vec<(RequestId, Result<Reply, ErrorCode>)>,
    /// To be appended, in this order.
    pub writes: Vec<Write<Record, Reply, Token>>,
}

impl<Record, Reply, Token> Default for Effects<Record, Reply, Token> {
    fn default() -> Self {
        Self { answers: Vec::new(), reads: Vec::new(), writes: Vec::new() }
    }
}

impl<Record, Reply, Token> Effects<Record, Reply, Token> {
    /// Answers `request` at once.
    pub fn answer(&mut self, request: RequestId, result: Result<Reply, ErrorCode>) {
        self.answers.push((request, result));
    }

    /// Answers `request` once what it was read from is committed.
    pub fn read(&mut self, request: RequestId, result: Result<Reply, ErrorCode>) {
        self.reads.push((request, result));
    }

    /// Appends `records`, then does `then`.
    pub fn write(&mut self, records: Vec<Record>, then: Then<Reply, Token>) {
        self.writes.push(Write { records, producer: None, then });
    }
}

/// The effects of `M`.
pub type EffectsOf<M> =
    Effects<<M as Machine>::Record, <M as Machine>::Reply, <M as Machine>::Token>;

/// A stored key and value; no value is a tombstone.
pub type KeyValue = (bytes::Bytes, Option<bytes::Bytes>);

/// What a stored key and value turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<Record> {
    /// A record of this machine.
    Known(Record),
    /// A record of a kind this machine does not keep; its type number.
    Unknown(i16),
    /// Bytes that are no record; why, for a person.
    Corrupt(String),
}

/// One shard's state machine: no clock, no I/O, no waiting.
///
/// Stored state (what [`replay`](Self::replay) moves) changes only by records that are in the log. What is not stored
/// (who waits for whom, timeouts) changes with each input and is gone when the shard moves to another broker, as in
/// Kafka. Between an input and the replay of the records it wrote, the machine gets no other input, except requests
/// that [`may_join_batch`](Self::may_join_batch).
pub trait Machine: Send + Sized + 'static {
    /// What may be asked.
    type Request: Send + 'static;
    /// What may be answered.
    type Reply: Send + 'static;
    /// What is stored.
    type Record: Send + Sync + 'static;
    /// What the machine wants to remember of a write until it is settled.
    type Token: Send + 'static;

    /// Applies a record that is in the log.
    fn replay(&mut self, position: Position, record: &Self::Record);

    /// Applies the end of a producer's transaction in this partition.
    fn end_transaction(&mut self, producer: ProducerId, is_committed: bool);

    /// All of the log has been replayed; requests follow.
    fn loaded(&mut self, now: Now) -> EffectsOf<Self>;

    /// Takes a request.
    fn handle(&mut self, now: Now, id: RequestId, request: Self::Request) -> EffectsOf<Self>;

    /// True when what `request` decides does not depend on records that are decided but not replayed yet, so that
    /// several may share one batch.
    fn may_join_batch(request: &Self::Request) -> bool;

    /// A write with a token was committed, or failed.
    fn settled(
        &mut self,
        now: Now,
        token: Self::Token,
        result: Result<(), ErrorCode>,
    ) -> EffectsOf<Self>;

    /// When [`tick`](Self::tick) is wanted next.
    fn next_deadline(&self) -> Option<Instant>;

    /// Fires one timeout that is due, if any; called until [`next_deadline`](Self::next_deadline) lies ahead.
    fn tick(&mut self, now: Now) -> EffectsOf<Self>;

    /// The stored key and value (none: a tombstone).
    ///
    /// # Errors
    ///
    /// When the record does not fit its format; nothing is written then.
    fn encode(record: &Self::Record) -> Result<KeyValue, ErrorCode>;

    /// Reads a stored key and value.
    fn decode(key: &bytes::Bytes, value: Option<&bytes::Bytes>) -> Decoded<Self::Record>;
}
