//! State rebuilt from a log; shared by the controller and the coordinators.
//!
//! A request *decides* (`&self`) records and a response; the records are appended; only [`StateMachine::replay`]
//! (`&mut self`) moves state; the response is parked ([`Deferred`]) until the records are committed. A machine whose
//! append failed has not moved; one whose leadership was lost is dropped and loaded again from its log.

mod deferred;

pub use deferred::Deferred;

use crate::model::Offset;

/// What a state machine decided: the records to make durable, and the answer that may be given once they are.
#[must_use = "a decision does nothing until its records are appended and replayed"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<Record, Response> {
    /// Written in this order, all or none. Empty when the request turned out to be a read.
    pub records: Vec<Record>,
    /// Held back until the last record is committed.
    pub response: Response,
}

impl<Record, Response> Decision<Record, Response> {
    /// Nothing to write.
    pub const fn answer(response: Response) -> Self {
        Self { records: Vec::new(), response }
    }

    /// These records, then this answer.
    pub const fn new(records: Vec<Record>, response: Response) -> Self {
        Self { records, response }
    }
}

/// State that changes only by replaying records.
///
/// Requests are methods taking `&self` and returning a [`Decision`], so the compiler keeps the promise that nothing but
/// [`replay`](Self::replay) moves the state: a leader that has just decided and a follower that has just loaded the log
/// hold the same value.
pub trait StateMachine {
    /// One entry of the log this machine is built from.
    type Record;

    /// Applies one record. A record in the log is a fact, so this cannot refuse it: a record that does not fit is a
    /// broken invariant and panics.
    fn replay(&mut self, offset: Offset, record: &Self::Record);
}
