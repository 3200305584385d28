use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use super::Settings;
use super::deciding::{Random, Refusal, Request};
use super::machine::{Due, Machine};
use crate::environment::{Instant, Runtime, select};
use crate::metadata::MetadataImage;
use crate::model::{ErrorCode, LeaderEpoch, Offset};
use crate::protocol::internal_records::metadata::MetadataRecord;
use crate::raft;
use crate::state_machine::{Decision, Deferred};

/// How many requests may wait for the controller before those who ask have to wait.
const QUEUE_LENGTH: usize = 1_000;

/// The log that decisions are appended to.
pub trait MetadataLog: Send + Sync + 'static {
    /// Appends the values of records, in one batch when they are atomic; says the offset of the last.
    ///
    /// # Errors
    ///
    /// [`NotAppended`]; nothing has been appended, or this node must stop.
    fn append(
        &self,
        epoch: LeaderEpoch,
        records: Vec<Bytes>,
        is_atomic: bool,
    ) -> impl Future<Output = Result<Offset, NotAppended>> + Send;
}

/// Why records are not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAppended {
    /// This node does not lead that epoch, or does not lead any more.
    #[error("this node does not lead the metadata quorum")]
    NotLeader,
    /// The records do not fit into one batch.
    #[error("the records do not fit into one batch")]
    TooLarge,
}

impl<R: Runtime> MetadataLog for raft::Handle<R> {
    async fn append(
        &self,
        epoch: LeaderEpoch,
        records: Vec<Bytes>,
        is_atomic: bool,
    ) -> Result<Offset, NotAppended> {
        match Self::append(self, epoch, records, is_atomic).await {
            Ok(last) => Ok(last.offset),
            Err(raft::Error::TooLarge { .. }) => Err(NotAppended::TooLarge),
            Err(error) => {
                debug!(%error, "the metadata log did not take records");
                Err(NotAppended::NotLeader)
            }
        }
    }
}

/// Why a request got no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// This node is not the active controller, or stopped being it: what was asked may have happened or not.
    #[error("this node is not the active controller")]
    NotController,
    /// The controller refuses the whole request; nothing has happened.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Error {
    /// The code and the words for the one who asked.
    #[must_use]
    pub fn into_refusal(self) -> Refusal {
        match self {
            Self::NotController => ErrorCode::NotController.into(),
            Self::Refused(refusal) => refusal,
        }
    }
}

enum Command {
    Ask(Box<dyn Asked>),
    Committed { image: MetadataImage, end: Offset, is_in_transaction: bool },
    Leader(LeaderEpoch),
    Resigned(LeaderEpoch),
}

/// The way to this node's controller, active or not. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Asks; answers when what follows from it is committed.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn ask<Q: Request>(&self, request: Q) -> Result<Q::Outcome, Error> {
        let (reply, answer) = oneshot::channel();
        let asked = Box::new(Question { request, outcome: None, reply });
        self.commands.send(Command::Ask(asked)).await.map_err(|_| Error::NotController)?;
        answer.await.unwrap_or(Err(Error::NotController))
    }

    /// Tells that everything below `end` is committed and adds up to `image`, apart from a metadata transaction that is
    /// still open. To be told in order, and before [`leader`](Self::leader) of what lies before the epoch.
    pub async fn committed(&self, image: MetadataImage, end: Offset, is_in_transaction: bool) {
        self.tell(Command::Committed { image, end, is_in_transaction }).await;
    }

    /// Tells that this node leads the quorum in `epoch`, all that was written before being committed and told.
    pub async fn leader(&self, epoch: LeaderEpoch) {
        self.tell(Command::Leader(epoch)).await;
    }

    /// Tells that this node does not lead `epoch` any more.
    pub async fn resigned(&self, epoch: LeaderEpoch) {
        self.tell(Command::Resigned(epoch)).await;
    }

    async fn tell(&self, command: Command) {
        // A controller that is gone does not need to know.
        let _ = self.commands.send(command).await;
    }
}

/// A question with the one who waits for its answer, whatever its type.
trait Asked: Send {
    /// Decides; keeps the outcome and gives the records, or answers at once and gives `None`.
    fn decide(
        &mut self,
        machine: &Machine,
        now: Duration,
        random: &mut Random<'_>,
    ) -> Option<(Vec<MetadataRecord>, bool)>;

    /// Notes what is not for the log.
    fn note(&self, machine: &mut Machine, now: Duration);

    /// Gives the kept outcome, or the error.
    fn answer(self: Box<Self>, result: Result<(), Error>);
}

struct Question<Q: Request> {
    request: Q,
    outcome: Option<Result<Q::Outcome, Error>>,
    reply: oneshot::Sender<Result<Q::Outcome, Error>>,
}

impl<Q: Request> Asked for Question<Q> {
    fn decide(
        &mut self,
        machine: &Machine,
        now: Duration,
        random: &mut Random<'_>,
    ) -> Option<(Vec<MetadataRecord>, bool)> {
        match machine.decide(&self.request, now, random) {
            None => self.outcome = Some(Err(Error::NotController)),
            Some(Err(refusal)) => {
                debug!(%refusal, "refused");
                self.outcome = Some(Err(refusal.into()));
            }
            Some(Ok(Decision { records, response })) => {
                self.outcome = Some(Ok(response));
                return Some((records, Q::IS_ATOMIC));
            }
        }
        None
    }

    fn note(&self, machine: &mut Machine, now: Duration) {
        if let Some(Ok(outcome)) = &self.outcome {
            machine.note(&self.request, outcome, now);
        }
    }

    fn answer(self: Box<Self>, result: Result<(), Error>) {
        let answer = match result {
            Ok(()) => self.outcome.unwrap_or(Err(Error::NotController)),
            Err(error) => Err(error),
        };
        // Who asked may have gone; what was decided stands all the same.
        let _ = self.reply.send(answer);
    }
}

/// The controller of a node: one task with one queue.
pub struct QuorumController<R: Runtime, L: MetadataLog> {
    runtime: R,
    log: L,
    machine: Machine,
    parked: Deferred<Box<dyn Asked>>,
    commands: mpsc::Receiver<Command>,
}

impl<R: Runtime, L: MetadataLog> QuorumController<R, L> {
    /// Starts the controller, standing by. It ends when every handle is gone.
    pub fn start(runtime: &R, settings: Settings, log: L) -> Handle {
        let (sender, commands) = mpsc::channel(QUEUE_LENGTH);
        let machine = Machine::new(settings);
        let controller =
            Self { runtime: runtime.clone(), log, machine, parked: Deferred::default(), commands };
        runtime.spawn("controller", controller.run());
        Handle { commands: sender }
    }

    async fn run(mut self) {
        loop {
            let deadline = self.machine.next_deadline().map_or(Instant::FAR, |due| {
                Instant(u64::try_from(due.as_nanos()).unwrap_or(u64::MAX))
            });
            let sleep = self.runtime.sleep_until(deadline);
            // Time comes first: a full queue must not keep the dead in.
            let command = select! {
                () = sleep => None,
                command = self.commands.recv() => match command {
                    Some(command) => Some(command),
                    None => return,
                },
            };
            match command {
                Some(command) => self.handle(command).await,
                None => self.tick().await,
            }
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.runtime.now().0)
    }

    async fn handle(&mut self, command: Command) {
        match command {
            Command::Ask(asked) => self.ask(asked).await,
            Command::Committed { image, end, is_in_transaction } => {
                self.machine.commit(image, end, is_in_transaction);
                for asked in self.parked.release(self.machine.committed_end()) {
                    asked.answer(Ok(()));
                }
            }
            Command::Leader(epoch) => {
                self.resign();
                self.machine.activate(epoch, self.now());
                let records = self.machine.first_records();
                info!(epoch = epoch.value(), records = records.len(), "active controller");
                self.append(&records, true).await.ok();
            }
            Command::Resigned(epoch) => {
                if self.machine.epoch() == Some(epoch) {
                    self.resign();
                }
            }
        }
    }

    fn resign(&mut self) {
        if let Some(epoch) = self.machine.epoch() {
            info!(epoch = epoch.value(), "no longer the active controller");
        }
        self.machine.resign();
        for asked in self.parked.abandon() {
            asked.answer(Err(Error::NotController));
        }
    }

    async fn ask(&mut self, mut asked: Box<dyn Asked>) {
        let now = self.now();
        let runtime = self.runtime.clone();
        let decided = asked.decide(&self.machine, now, &mut || runtime.random());
        let Some((records, is_atomic)) = decided else {
            asked.answer(Ok(()));
            return;
        };
        if let Err(error) = self.append(&records, is_atomic).await {
            asked.answer(Err(error));
            return;
        }
        asked.note(&mut self.machine, now);
        match self.machine.last_written() {
            Some(last) if last >= self.machine.committed_end() => self.parked.park(last, asked),
            Some(_) | None => asked.answer(Ok(())),
        }
    }

    async fn tick(&mut self) {
        let now = self.now();
        let Some(due) = self.machine.due(now) else { return };
        let records = self.machine.records_for(due, now);
        if let Due::Fence(id) = due {
            warn!(broker = id.0, "fencing a broker that was not heard of");
        }
        if due == Due::Rebalance && !records.is_empty() {
            info!(partitions = records.len(), "leaderships go back to preferred replicas");
        }
        if self.append(&records, false).await.is_ok() {
            self.machine.done(due, records.len(), now);
        }
    }

    /// Appends records, if there are any, and replays them.
    async fn append(&mut self, records: &[MetadataRecord], is_atomic: bool) -> Result<(), Error> {
        let Some(epoch) = self.machine.epoch() else { return Err(Error::NotController) };
        if records.is_empty() {
            return Ok(());
        }
        let level = self.machine.metadata_version().unwrap_or(super::features::FIRST_VERSION);
        let encoded: Result<Vec<Bytes>, _> =
            records.iter().map(|record| record.encode_at(level.level())).collect();
        let values = match encoded {
            Ok(values) => values,
            Err(error) => {
                // Text that is too long for a record came through; no batch holds it.
                error!(%error, "a decision cannot be written");
                return Err(Refusal::new(ErrorCode::InvalidRequest, error.to_string()).into());
            }
        };
        match self.log.append(epoch, values, is_atomic).await {
            Ok(last) => {
                self.machine.appended(records, last, self.now());
                Ok(())
            }
            Err(NotAppended::TooLarge) => {
                let message = "Unable to perform excessively large batch operation.";
                Err(Refusal::new(ErrorCode::PolicyViolation, message).into())
            }
            Err(NotAppended::NotLeader) => {
                self.resign();
                Err(Error::NotController)
            }
        }
    }
}

#[cfg(test)]
mod tests;
