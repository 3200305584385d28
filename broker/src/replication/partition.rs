use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::Waiter;
use super::waiters::Waiters;
use crate::environment::Runtime;
use crate::log::{AppendError, Appended, Fault, Origin, PartitionLog};
use crate::metadata::PartitionRegistration;
use crate::model::{ErrorCode, LeaderEpoch, NodeId, Offset, Timestamp, TopicId, TopicPartition};

/// One replica of a partition on this node.
pub struct Partition<R: Runtime> {
    topic_partition: TopicPartition,
    topic_id: TopicId,
    node: NodeId,
    log: Arc<PartitionLog<R>>,
    state: Mutex<State>,
    waiters: Waiters,
}

/// What the cluster says of this partition, as far as this node has heard.
#[derive(Clone, Debug)]
struct State {
    registration: Arc<PartitionRegistration>,
    is_offline: bool,
    is_deleted: bool,
}

/// Whom a writer wants to have its records before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// All in-sync replicas, and enough of these.
    All,
    /// The leader, or nobody.
    Fewer,
}

/// Why a leader did not append.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendFailure {
    /// This node does not lead the partition, or not in the epoch asked for, or too few replicas are in sync.
    #[error("{0}")]
    NotLeader(ErrorCode),
    /// The log said no.
    #[error(transparent)]
    Log(#[from] AppendError),
}

impl AppendFailure {
    /// The code a producer is answered with.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader(code) => *code,
            Self::Log(error) => error.code(),
        }
    }
}

impl<R: Runtime> Partition<R> {
    pub(super) fn new(
        topic_partition: TopicPartition,
        topic_id: TopicId,
        node: NodeId,
        log: Arc<PartitionLog<R>>,
        registration: Arc<PartitionRegistration>,
    ) -> Self {
        let state = State { registration, is_offline: false, is_deleted: false };
        let waiters = Waiters::new();
        Self { topic_partition, topic_id, node, log, state: Mutex::new(state), waiters }
    }

    /// Which partition this is.
    #[must_use]
    pub const fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The topic's id.
    #[must_use]
    pub const fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// Its log.
    #[must_use]
    pub const fn log(&self) -> &Arc<PartitionLog<R>> {
        &self.log
    }

    /// The leader this node knows of, and its epoch.
    #[must_use]
    pub fn leader_and_epoch(&self) -> (Option<NodeId>, LeaderEpoch) {
        let state = self.lock();
        (state.registration.leader, state.registration.leader_epoch)
    }

    /// The epoch this node leads in.
    ///
    /// # Errors
    ///
    /// `NOT_LEADER_OR_FOLLOWER` when it does not lead, `KAFKA_STORAGE_ERROR` when the log directory is offline,
    /// `UNKNOWN_TOPIC_OR_PARTITION` once it is deleted.
    pub fn leading_epoch(&self) -> Result<LeaderEpoch, ErrorCode> {
        let state = self.lock();
        if state.is_deleted {
            Err(ErrorCode::UnknownTopicOrPartition)
        } else if state.is_offline {
            Err(ErrorCode::KafkaStorageError)
        } else if state.registration.leader != Some(self.node) {
            Err(ErrorCode::NotLeaderOrFollower)
        } else {
            Ok(state.registration.leader_epoch)
        }
    }

    /// Checks the epoch a client believes in against ours, then that we lead.
    ///
    /// # Errors
    ///
    /// `FENCED_LEADER_EPOCH` when the client is behind, `UNKNOWN_LEADER_EPOCH` when it is ahead; else as
    /// [`leading_epoch`](Self::leading_epoch). Source: KIP-320.
    pub fn check_epoch(&self, believed: Option<LeaderEpoch>) -> Result<LeaderEpoch, ErrorCode> {
        let ours = match self.leading_epoch() {
            // A replica that is gone says so, whatever the epoch: it does not know what became of it.
            Err(gone) if gone != ErrorCode::NotLeaderOrFollower => return Err(gone),
            Ok(_) | Err(_) => self.leader_and_epoch().1,
        };
        match believed {
            Some(epoch) if epoch < ours => Err(ErrorCode::FencedLeaderEpoch),
            Some(epoch) if epoch > ours => Err(ErrorCode::UnknownLeaderEpoch),
            Some(_) | None => self.leading_epoch(),
        }
    }

    /// Appends one batch as the leader; the high watermark follows when nothing else has to be waited for.
    ///
    /// `expected_epoch` refuses the append when leadership has passed on since the caller decided.
    ///
    /// # Errors
    ///
    /// See [`AppendFailure`]; nothing was appended then.
    pub async fn append_as_leader(
        &self,
        batch: Bytes,
        origin: Origin,
        acks: Acks,
        expected_epoch: Option<LeaderEpoch>,
        now: Timestamp,
    ) -> Result<Appended, AppendFailure> {
        let epoch = self.leading_epoch().map_err(AppendFailure::NotLeader)?;
        if expected_epoch.is_some_and(|expected| expected != epoch) {
            return Err(AppendFailure::NotLeader(ErrorCode::NotLeaderOrFollower));
        }
        if acks == Acks::All && !self.has_enough_in_sync() {
            return Err(AppendFailure::NotLeader(ErrorCode::NotEnoughReplicas));
        }
        let appended = self.log.append_as_leader(batch, origin, epoch, now).await?;
        self.advance_high_watermark();
        Ok(appended)
    }

    /// Waits until everything up to and with `last` is committed.
    ///
    /// # Errors
    ///
    /// The error of whoever lost leadership, or `KAFKA_STORAGE_ERROR` when the disk failed.
    pub async fn committed(&self, last: Offset) -> Result<(), ErrorCode> {
        if self.log.high_watermark() > last {
            return Ok(());
        }
        let waiter = Waiter::new();
        loop {
            self.waiters.register(&waiter);
            if self.log.high_watermark() > last {
                return Ok(());
            }
            self.leading_epoch()?;
            waiter.woken().await;
        }
    }

    /// [`committed`](Self::committed) for a producer that was promised enough replicas.
    ///
    /// # Errors
    ///
    /// As there, and `NOT_ENOUGH_REPLICAS_AFTER_APPEND` when those in sync have become too few meanwhile.
    pub async fn acknowledged(&self, last: Offset) -> Result<(), ErrorCode> {
        self.committed(last).await?;
        if self.has_enough_in_sync() {
            Ok(())
        } else {
            Err(ErrorCode::NotEnoughReplicasAfterAppend)
        }
    }

    /// True when `min.insync.replicas` are in sync; a topic with fewer replicas needs no more than it has.
    fn has_enough_in_sync(&self) -> bool {
        let min = self.log.settings().min_insync_replicas;
        let state = self.lock();
        state.registration.isr.len() >= min.min(state.registration.replicas.len())
    }

    /// Makes everything below `up_to` durable, sharing the sync with all who ask meanwhile.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk failed.
    pub async fn flush(&self, up_to: Offset) -> Result<(), Fault> {
        self.log.flush(up_to).await?;
        self.advance_high_watermark();
        Ok(())
    }

    /// Woken when the partition moves: records, high watermark, leadership. Look at it after registering.
    pub fn register(&self, waiter: &Arc<Waiter>) {
        self.waiters.register(waiter);
    }

    /// Moves the log start up to `offset` (`None`: to the high watermark); says where it is now.
    ///
    /// # Errors
    ///
    /// `OFFSET_OUT_OF_RANGE` outside of log start and high watermark; as [`leading_epoch`](Self::leading_epoch).
    pub async fn delete_records(&self, offset: Option<Offset>) -> Result<Offset, ErrorCode> {
        self.leading_epoch()?;
        let high_watermark = self.log.high_watermark();
        let offset = offset.unwrap_or(high_watermark);
        if offset > high_watermark || offset < self.log.log_start_offset() {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        self.log.advance_log_start(offset).await.map_err(|error| error.code())?;
        Ok(self.log.log_start_offset())
    }

    /// Takes over what the cluster says now.
    pub(super) async fn update(&self, registration: Arc<PartitionRegistration>) {
        let epoch = registration.leader_epoch;
        let begins = {
            let mut state = self.lock();
            let begins =
                registration.leader == Some(self.node) && epoch > state.registration.leader_epoch;
            state.registration = registration;
            begins
        };
        if begins {
            self.log.begin_epoch(epoch).await;
        }
        self.advance_high_watermark();
        self.waiters.wake();
    }

    /// Begins to lead with what the registration said at creation.
    pub(super) async fn begin(&self) {
        let (is_leader, epoch) = {
            let state = self.lock();
            (state.registration.leader == Some(self.node), state.registration.leader_epoch)
        };
        if is_leader {
            self.log.begin_epoch(epoch).await;
        }
        self.advance_high_watermark();
    }

    pub(super) fn go_offline(&self) {
        self.lock().is_offline = true;
        self.waiters.wake();
    }

    pub(super) fn mark_deleted(&self) {
        self.lock().is_deleted = true;
        self.waiters.wake();
    }

    /// The smallest end offset of the in-sync replicas, as far as it can be known here: followers do not exist yet, so a
    /// partition with other in-sync replicas does not advance. Our own end is what is durable when each message is flushed.
    fn advance_high_watermark(&self) {
        {
            // Held until it is set: of two that advance at once the slower must not take it back.
            let state = self.lock();
            let is_alone = state.registration.leader == Some(self.node)
                && state.registration.isr.iter().all(|id| *id == self.node);
            if !is_alone {
                return;
            }
            let is_strict = self.log.settings().flush_messages == Some(1);
            let end = if is_strict { self.log.durable_end() } else { self.log.log_end_offset() };
            if end > self.log.high_watermark() {
                self.log.set_high_watermark(end);
            }
        }
        self.waiters.wake();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
