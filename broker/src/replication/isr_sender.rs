//! Wishes for other in-sync replicas, sent to the controller: one request at a time, with all that are wanted by then.
//!
//! Source: KIP-497.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::debug;

use super::{IsrChange, IsrState, ReplicaManager, TopicKey};
use crate::environment::{Runtime, Stop, select};
use crate::model::{ErrorCode, PartitionIndex, TopicId};

/// The pause before what could not be sent, or must be asked again, is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Partitions of one request: what the controller works off in one go.
const BATCH: usize = 1_000;

/// A leader's wish for one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionIsrChange {
    /// The topic.
    pub topic: TopicId,
    /// The partition in it.
    pub partition: PartitionIndex,
    /// What it asks for.
    pub change: IsrChange,
}

/// The way to the active controller, lent by whoever puts the node together.
pub trait IsrChannel: Send + Sync + 'static {
    /// Asks for these changes; answers in the order asked. It ends in bounded time.
    ///
    /// An error concerns all of them, and they are asked again: no controller was found, or it does not know this broker.
    fn alter(
        &self,
        changes: &[PartitionIsrChange],
    ) -> impl Future<Output = Result<Vec<Result<IsrState, ErrorCode>>, ErrorCode>> + Send;
}

/// What is to be sent: at most one wish of a partition, the newest.
#[derive(Debug, Default)]
pub(super) struct IsrWishes {
    waiting: Mutex<BTreeMap<(TopicId, PartitionIndex), IsrChange>>,
    added: Notify,
}

impl IsrWishes {
    pub(super) fn add(&self, topic: TopicId, partition: PartitionIndex, change: IsrChange) {
        self.lock().insert((topic, partition), change);
        self.added.notify_one();
    }

    fn take(&self) -> Vec<PartitionIsrChange> {
        let mut waiting = self.lock();
        let rest = match waiting.keys().nth(BATCH).copied() {
            Some(first) => waiting.split_off(&first),
            None => BTreeMap::new(),
        };
        let taken = std::mem::replace(&mut *waiting, rest);
        let all = taken.into_iter();
        all.map(|((topic, partition), change)| PartitionIsrChange { topic, partition, change })
            .collect()
    }

    /// Puts back what was not answered, unless something newer is wanted by now.
    fn put_back(&self, changes: impl IntoIterator<Item = PartitionIsrChange>) {
        let mut waiting = self.lock();
        for wish in changes {
            waiting.entry((wish.topic, wish.partition)).or_insert(wish.change);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(TopicId, PartitionIndex), IsrChange>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Runtime> ReplicaManager<R> {
    /// Sends wishes until `stop`.
    pub async fn send_isr_changes(self: Arc<Self>, channel: impl IsrChannel, stop: Stop) {
        let wishes = &self.surroundings().wishes;
        loop {
            let changes = wishes.take();
            if changes.is_empty() {
                select! {
                    () = stop.stopped() => return,
                    () = wishes.added.notified() => {}
                }
                continue;
            }
            let answered = select! {
                () = stop.stopped() => return,
                answered = channel.alter(&changes) => answered,
            };
            let again = self.take_isr_answers(changes, answered);
            if again.is_empty() {
                continue;
            }
            wishes.put_back(again);
            select! {
                () = stop.stopped() => return,
                () = self.surroundings().runtime.sleep(RETRY) => {}
            }
        }
    }

    /// Tells the partitions; gives back what is to be asked again.
    fn take_isr_answers(
        &self,
        changes: Vec<PartitionIsrChange>,
        answered: Result<Vec<Result<IsrState, ErrorCode>>, ErrorCode>,
    ) -> Vec<PartitionIsrChange> {
        let answers = match answered {
            Ok(answers) => answers,
            Err(code) => {
                debug!(%code, wishes = changes.len(), "the controller did not take changes of in-sync replicas");
                return changes;
            }
        };
        // A partition without an answer was not understood by the controller: it is asked again.
        let silent = std::iter::repeat(Err(ErrorCode::UnknownServerError));
        let is_asked_again = |wish: &PartitionIsrChange, answer: &Result<IsrState, ErrorCode>| {
            let replica = self.partition(&TopicKey::Id(wish.topic), wish.partition);
            replica.is_ok_and(|replica| replica.isr_answered(&wish.change, answer))
        };
        let told = changes.into_iter().zip(answers.into_iter().chain(silent));
        told.filter(|(wish, answer)| is_asked_again(wish, answer)).map(|(wish, _)| wish).collect()
    }
}
