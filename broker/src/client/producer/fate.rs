use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::client::Error;
use crate::environment::Instant;
use crate::model::{Offset, Timestamp, TopicPartition};

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Where it was written.
    pub partition: TopicPartition,
    /// Its offset; `None` when the broker did not say (acks=0, or a duplicate it has forgotten the place of).
    pub offset: Option<Offset>,
    /// The time the broker gave it, when it gave one.
    pub append_time: Option<Timestamp>,
    /// When the answer had arrived here.
    pub at: Instant,
}

/// What becomes of one batch; its records share it.
#[derive(Debug)]
pub(super) struct Fate {
    pub(super) partition: TopicPartition,
    outcome: OnceLock<Result<Outcome, Error>>,
    changed: Notify,
}

/// How a batch was taken.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) base_offset: Option<Offset>,
    pub(super) append_time: Option<Timestamp>,
    pub(super) at: Instant,
}

impl Fate {
    pub(super) fn new(partition: TopicPartition) -> Self {
        Self { partition, outcome: OnceLock::new(), changed: Notify::new() }
    }

    /// Says it, once.
    pub(super) fn decide(&self, outcome: Result<Outcome, Error>) {
        if self.outcome.set(outcome).is_ok() {
            self.changed.notify_waiters();
        }
    }

    pub(super) async fn decided(&self) -> &Result<Outcome, Error> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            changed.await;
        }
    }
}

/// A record on its way.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub(super) fate: Arc<Fate>,
    /// The record's place in its batch.
    pub(super) index: i32,
}

impl Receipt {
    /// Where the record goes.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.fate.partition
    }

    /// Waits until the record is written or given up.
    ///
    /// # Errors
    ///
    /// Why it was not written; [`Error::is_outcome_unknown`] tells whether that is certain.
    pub async fn wait(&self) -> Result<Delivered, Error> {
        let outcome = self.fate.decided().await.clone()?;
        Ok(Delivered {
            partition: self.fate.partition.clone(),
            offset: outcome.base_offset.map(|base| base.plus(i64::from(self.index))),
            append_time: outcome.append_time,
            at: outcome.at,
        })
    }
}
