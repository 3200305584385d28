//! The driver of all shards of one broker: loads them, feeds their machines, appends what they decide, holds answers
//! back until it is committed.
//!
//! One task owns all shards and never waits for one of them: appends, loads and waits for commits are futures it
//! polls together. A shard whose append is slow takes no input meanwhile; the others go on.

mod loading;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};

use self::loading::{Source, load_machine};
use super::machine::{Machine, RequestId};
use super::shard::{Answer, InFlight, Limits, Marker, MarkerAnswer, Shard};
use super::timer::{Instant, Now};
use crate::environment::{Runtime, Stopper, select};
use crate::model::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId};
use crate::record::{Compression, EndTransactionMarker};

/// Commands taken from the queue before shards get to work: they share batches then.
const COMMANDS_AT_ONCE: usize = 256;

/// What a coordinator is lent of the partitions of its internal topic.
pub trait PartitionWriter: Clone + Send + Sync + 'static {
    /// Appends one batch as leader in `epoch`, and says which offsets its first and last record got. Offsets and
    /// epoch in the batch are written over. Only local: does not wait for followers.
    ///
    /// # Errors
    ///
    /// What a producer with acks=all would be told. Nothing has been written then.
    fn append(
        &self,
        partition: PartitionIndex,
        epoch: LeaderEpoch,
        batch: Bytes,
    ) -> impl Future<Output = Result<(Offset, Offset), ErrorCode>> + Send;

    /// Waits until the record at `offset` is committed; gives the high watermark, which lies after it.
    ///
    /// # Errors
    ///
    /// When this broker does not lead in `epoch` any more: nothing more can be said of the record.
    fn committed(
        &self,
        partition: PartitionIndex,
        epoch: LeaderEpoch,
        offset: Offset,
    ) -> impl Future<Output = Result<Offset, ErrorCode>> + Send;

    /// Reads whole batches, the first of which holds `from` or lies after it, up to about `max_bytes` but at least one.
    ///
    /// Reads to the end of the log, not to the high watermark: a new leader's high watermark may still lie before
    /// what its predecessor has acknowledged. What is read too early is not shown before it is committed.
    ///
    /// # Errors
    ///
    /// When this broker does not lead in `epoch`, or cannot read.
    fn read(
        &self,
        partition: PartitionIndex,
        epoch: LeaderEpoch,
        from: Offset,
        max_bytes: usize,
    ) -> impl Future<Output = Result<ReadBatches, ErrorCode>> + Send;
}

/// A piece of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBatches {
    /// Whole batches, one after the other. Empty only at the end.
    pub batches: Bytes,
    /// True when the log ends after them.
    pub is_end: bool,
}

/// The code a client is given for an error of an append, as Kafka maps them.
#[must_use]
pub fn client_error(error: ErrorCode) -> ErrorCode {
    const ASK_AGAIN: [ErrorCode; 4] = [
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::NotEnoughReplicas,
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::RequestTimedOut,
    ];
    const ASK_ANOTHER: [ErrorCode; 4] = [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::UnknownLeaderEpoch,
        ErrorCode::KafkaStorageError,
    ];
    const TOO_LARGE: [ErrorCode; 3] =
        [ErrorCode::MessageTooLarge, ErrorCode::RecordListTooLarge, ErrorCode::InvalidFetchSize];
    if ASK_AGAIN.contains(&error) {
        ErrorCode::CoordinatorNotAvailable
    } else if ASK_ANOTHER.contains(&error) {
        ErrorCode::NotCoordinator
    } else if TOO_LARGE.contains(&error) {
        ErrorCode::UnknownServerError
    } else if error == ErrorCode::NetworkException {
        ErrorCode::CoordinatorLoadInProgress
    } else {
        error
    }
}

/// Settings of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RuntimeSettings {
    pub(super) commit_timeout: Duration,
    pub(super) load_buffer_bytes: usize,
    pub(super) batch_bytes_max: usize,
    pub(super) compression: Compression,
    pub(super) queue_length: usize,
}

enum Command<M: Machine> {
    Elected(PartitionIndex, LeaderEpoch),
    Resigned(PartitionIndex, Option<LeaderEpoch>),
    Request(PartitionIndex, M::Request, Answer<M>),
    EndTransaction(PartitionIndex, Marker),
    Partitions(oneshot::Sender<Vec<PartitionIndex>>),
    Stop,
}

/// The way to a coordinator's task. Cheap to clone; the task ends when all handles are gone or one says so.
pub(super) struct Handle<M: Machine>(mpsc::Sender<Command<M>>);

impl<M: Machine> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Machine> Handle<M> {
    /// This broker leads `partition` now: its log is loaded, then requests are answered.
    pub(super) async fn elected(&self, partition: PartitionIndex, epoch: LeaderEpoch) {
        let _ = self.0.send(Command::Elected(partition, epoch)).await;
    }

    /// Another broker leads `partition`, in `epoch` if known.
    pub(super) async fn resigned(&self, partition: PartitionIndex, epoch: Option<LeaderEpoch>) {
        let _ = self.0.send(Command::Resigned(partition, epoch)).await;
    }

    /// Asks a shard.
    pub(super) async fn request(
        &self,
        partition: PartitionIndex,
        request: M::Request,
    ) -> Result<M::Reply, ErrorCode> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(Command::Request(partition, request, answer)).await;
        sent.map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
        answered.await.unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))
    }

    /// Ends a producer's transaction in a shard.
    pub(super) async fn end_transaction(
        &self,
        partition: PartitionIndex,
        producer: (ProducerId, ProducerEpoch),
        marker: EndTransactionMarker,
    ) -> Result<(), ErrorCode> {
        let (answer, answered): (MarkerAnswer, _) = oneshot::channel();
        let command = Command::EndTransaction(partition, Marker { producer, marker, answer });
        self.0.send(command).await.map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
        answered.await.unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))
    }

    /// The shards this broker has or is loading.
    pub(super) async fn partitions(&self) -> Result<Vec<PartitionIndex>, ErrorCode> {
        let (answer, answered) = oneshot::channel();
        self.0
            .send(Command::Partitions(answer))
            .await
            .map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
        answered.await.map_err(|_| ErrorCode::CoordinatorNotAvailable)
    }

    /// Ends the task; all who wait are told to look for another coordinator.
    pub(super) async fn stop(&self) {
        let _ = self.0.send(Command::Stop).await;
    }
}

/// Starts the task.
pub(super) fn start<R: Runtime, W: PartitionWriter, M: Machine>(
    runtime: &R,
    writer: W,
    settings: RuntimeSettings,
    name: &'static str,
    new_machine: impl Fn() -> M + Send + Sync + 'static,
) -> Handle<M> {
    let (sender, receiver) = mpsc::channel(settings.queue_length.max(1));
    let driver = Driver {
        runtime: runtime.clone(),
        writer,
        settings,
        new_machine: Arc::new(new_machine),
        receiver,
        shards: BTreeMap::new(),
        futures: FuturesUnordered::new(),
        load_count: 0,
        request_count: 0,
    };
    runtime.spawn(name, driver.run());
    Handle(sender)
}

/// Which load of which partition: futures of an earlier one are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Load {
    partition: PartitionIndex,
    number: u64,
}

/// What a future of the driver came to.
enum Event<M: Machine> {
    Loaded(Load, M, Option<Offset>),
    /// A load nobody waits for any more.
    Abandoned,
    Appended(Load, InFlight<M>, Result<(Offset, Offset), ErrorCode>),
    Committed(Load, Result<Offset, ErrorCode>),
}

enum Role<M: Machine> {
    Loading(LeaderEpoch, Stopper),
    Active(Box<Shard<M>>),
}

struct Slot<M: Machine> {
    load: Load,
    role: Role<M>,
}

struct Driver<R, W, M: Machine> {
    runtime: R,
    writer: W,
    settings: RuntimeSettings,
    new_machine: Arc<dyn Fn() -> M + Send + Sync>,
    receiver: mpsc::Receiver<Command<M>>,
    shards: BTreeMap<PartitionIndex, Slot<M>>,
    futures: FuturesUnordered<BoxFuture<'static, Event<M>>>,
    load_count: u64,
    request_count: u64,
}

impl<R: Runtime, W: PartitionWriter, M: Machine> Driver<R, W, M> {
    async fn run(mut self) {
        loop {
            let deadline = self.next_deadline();
            let timer = self.runtime.sleep_until(deadline.unwrap_or(Instant::FAR));
            select! {
                Some(event) = self.futures.next(), if !self.futures.is_empty() => self.handle_event(event),
                command = self.receiver.recv() => {
                    if self.handle_commands(command).is_break() {
                        break;
                    }
                }
                () = timer, if deadline.is_some() => self.advance_all(),
            }
        }
        for slot in std::mem::take(&mut self.shards).into_values() {
            unload(slot);
        }
    }

    fn now(&self) -> Now {
        Now { instant: self.runtime.now(), wall: self.runtime.wall_clock() }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.shards
            .values()
            .filter_map(|slot| match &slot.role {
                Role::Loading(..) => None,
                Role::Active(shard) => shard.next_deadline(),
            })
            .min()
    }

    fn handle_commands(&mut self, first: Option<Command<M>>) -> std::ops::ControlFlow<()> {
        let mut touched = Vec::new();
        let mut next = first;
        for _ in 0..COMMANDS_AT_ONCE {
            let Some(command) = next else {
                return std::ops::ControlFlow::Break(());
            };
            match command {
                Command::Stop => return std::ops::ControlFlow::Break(()),
                Command::Elected(partition, epoch) => self.elected(partition, epoch),
                Command::Resigned(partition, epoch) => self.resigned(partition, epoch),
                Command::Request(partition, request, answer) => {
                    self.request(partition, request, answer);
                    touched.push(partition);
                }
                Command::EndTransaction(partition, marker) => {
                    self.end_transaction(partition, marker);
                    touched.push(partition);
                }
                Command::Partitions(answer) => {
                    let _ = answer.send(self.shards.keys().copied().collect());
                }
            }
            next = match self.receiver.try_recv() {
                Ok(command) => Some(command),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => None,
            };
        }
        touched.sort_unstable();
        touched.dedup();
        for partition in touched {
            self.advance(partition);
        }
        std::ops::ControlFlow::Continue(())
    }

    fn elected(&mut self, partition: PartitionIndex, epoch: LeaderEpoch) {
        if let Some(slot) = self.shards.remove(&partition) {
            if epoch <= slot.epoch() {
                self.shards.insert(partition, slot);
                return;
            }
            // Between two epochs of ours another leader may have written: what we know may be old.
            unload(slot);
        }
        tracing::info!(partition = partition.0, epoch = epoch.value(), "coordinator loads");
        self.load_count += 1;
        let load = Load { partition, number: self.load_count };
        let stopper = Stopper::new();
        let stop = stopper.stop();
        self.shards.insert(partition, Slot { load, role: Role::Loading(epoch, stopper) });
        let machine = (self.new_machine)();
        let source = Source {
            runtime: self.runtime.clone(),
            writer: self.writer.clone(),
            load,
            epoch,
            buffer_bytes: self.settings.load_buffer_bytes,
            stop,
        };
        self.futures.push(Box::pin(load_machine(source, machine)));
    }

    fn resigned(&mut self, partition: PartitionIndex, epoch: Option<LeaderEpoch>) {
        let is_ours = self
            .shards
            .get(&partition)
            .is_some_and(|slot| epoch.is_none_or(|epoch| slot.epoch() <= epoch));
        if !is_ours {
            return;
        }
        if let Some(slot) = self.shards.remove(&partition) {
            tracing::info!(partition = partition.0, "coordinator unloads");
            unload(slot);
        }
    }

    fn request(&mut self, partition: PartitionIndex, request: M::Request, answer: Answer<M>) {
        let error = match self.shards.get_mut(&partition) {
            Some(Slot { role: Role::Active(shard), .. }) => {
                self.request_count += 1;
                return shard.push_request(RequestId(self.request_count), request, answer);
            }
            Some(Slot { role: Role::Loading(..), .. }) => ErrorCode::CoordinatorLoadInProgress,
            None => ErrorCode::NotCoordinator,
        };
        let _ = answer.send(Err(error));
    }

    fn end_transaction(&mut self, partition: PartitionIndex, marker: Marker) {
        let error = match self.shards.get_mut(&partition) {
            Some(Slot { role: Role::Active(shard), .. }) => return shard.push_marker(marker),
            Some(Slot { role: Role::Loading(..), .. }) => ErrorCode::CoordinatorLoadInProgress,
            None => ErrorCode::NotCoordinator,
        };
        let _ = marker.answer.send(Err(error));
    }

    fn handle_event(&mut self, event: Event<M>) {
        let now = self.now();
        let (load, committed) = match event {
            Event::Abandoned => return,
            Event::Loaded(load, machine, last_offset) => {
                self.loaded(now, load, machine, last_offset);
                (load, None)
            }
            Event::Appended(load, what, result) => {
                if let Some(shard) = self.active(load) {
                    shard.appended(now, what, result);
                }
                (load, None)
            }
            Event::Committed(load, result) => (load, Some(result)),
        };
        match (committed, self.active(load)) {
            (Some(Ok(high_watermark)), Some(shard)) => {
                shard.is_watching = false;
                shard.committed(high_watermark);
            }
            (Some(Err(error)), Some(_)) => {
                tracing::info!(partition = load.partition.0, %error, "leadership lost, coordinator unloads");
                if let Some(slot) = self.shards.remove(&load.partition) {
                    unload(slot);
                }
            }
            (None, _) | (Some(_), None) => {}
        }
        if self.active(load).is_some() {
            self.advance(load.partition);
        }
    }

    fn active(&mut self, load: Load) -> Option<&mut Shard<M>> {
        match self.shards.get_mut(&load.partition) {
            Some(Slot { load: current, role: Role::Active(shard) }) if *current == load => {
                Some(shard)
            }
            Some(_) | None => None,
        }
    }

    fn loaded(&mut self, now: Now, load: Load, machine: M, last_offset: Option<Offset>) {
        let Some(slot) = self.shards.get_mut(&load.partition).filter(|slot| slot.load == load)
        else {
            return;
        };
        let Role::Loading(epoch, _) = slot.role else { return };
        let limits = Limits {
            commit_timeout: self.settings.commit_timeout,
            batch_bytes_max: self.settings.batch_bytes_max,
            compression: self.settings.compression,
            queue_length: self.settings.queue_length,
        };
        let mut shard = Box::new(Shard::new((load.partition, epoch), machine, last_offset, limits));
        shard.start(now);
        slot.role = Role::Active(shard);
        tracing::info!(
            partition = load.partition.0,
            epoch = epoch.value(),
            ?last_offset,
            "coordinator has loaded"
        );
    }

    fn advance_all(&mut self) {
        let partitions: Vec<_> = self.shards.keys().copied().collect();
        for partition in partitions {
            self.advance(partition);
        }
    }

    /// Lets a shard work until it waits for an append, a commit or input.
    fn advance(&mut self, partition: PartitionIndex) {
        let now = self.now();
        let Some(Slot { load, role: Role::Active(shard) }) = self.shards.get_mut(&partition) else {
            return;
        };
        let (load, epoch) = (*load, shard.epoch);
        let is_early = self.runtime.buggify("coordinator.early_timeout");
        shard.expire_parked(if is_early { Now { instant: Instant::FAR, ..now } } else { now });
        if let Some(append) = shard.advance(now) {
            let writer = self.writer.clone();
            self.futures.push(Box::pin(async move {
                let result = writer.append(partition, epoch, append.batch).await;
                Event::Appended(load, append.what, result)
            }));
        }
        let awaited = shard.awaited().filter(|_| !shard.is_watching);
        if let Some(offset) = awaited {
            shard.is_watching = true;
            let writer = self.writer.clone();
            self.futures.push(Box::pin(async move {
                Event::Committed(load, writer.committed(partition, epoch, offset).await)
            }));
        }
    }
}

impl<M: Machine> Slot<M> {
    fn epoch(&self) -> LeaderEpoch {
        match &self.role {
            Role::Loading(epoch, _) => *epoch,
            Role::Active(shard) => shard.epoch,
        }
    }
}

fn unload<M: Machine>(slot: Slot<M>) {
    match slot.role {
        Role::Loading(_, stopper) => stopper.pull(),
        Role::Active(shard) => shard.unload(ErrorCode::NotCoordinator),
    }
}
