use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Waiter;
use super::leader::Leadership;
use super::replica_state::{Entry, ReplicaState};
use super::surroundings::Surroundings;
use super::waiters::Waiters;
use crate::environment::Runtime;
use crate::log::{AppendError, Appended, Fault, Origin, PartitionLog};
use crate::metadata::PartitionRegistration;
use crate::model::{
    ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, Timestamp, TopicId, TopicPartition,
};

/// One replica of a partition on this node.
pub struct Partition<R: Runtime> {
    topic_partition: TopicPartition,
    topic_id: TopicId,
    log: Arc<PartitionLog<R>>,
    state: Mutex<ReplicaState>,
    /// The epoch of the leadership in `state`, -1 without one: withdrawn before anything of the log changes in another role,
    /// so that who sees it after having seen the log has seen the leader's log.
    leading: AtomicI32,
    waiters: Waiters,
    surroundings: Arc<Surroundings<R>>,
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
    /// Neither leads nor follows before it [begins](Self::begin).
    pub(super) fn new(
        topic_partition: TopicPartition,
        topic_id: TopicId,
        log: Arc<PartitionLog<R>>,
        registration: Arc<PartitionRegistration>,
        surroundings: Arc<Surroundings<R>>,
    ) -> Self {
        let state = Mutex::new(ReplicaState::new(surroundings.node, registration));
        let (leading, waiters) = (AtomicI32::new(-1), Waiters::new());
        Self { topic_partition, topic_id, log, state, leading, waiters, surroundings }
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

    /// Its name between brokers.
    pub(super) fn key(&self) -> (TopicId, PartitionIndex) {
        (self.topic_id, self.topic_partition.partition)
    }

    /// Its log.
    #[must_use]
    pub const fn log(&self) -> &Arc<PartitionLog<R>> {
        &self.log
    }

    /// What all replicas of the node share.
    pub(super) fn surroundings(&self) -> &Surroundings<R> {
        &self.surroundings
    }

    /// The leader this node knows of, and its epoch.
    #[must_use]
    pub fn leader_and_epoch(&self) -> (Option<NodeId>, LeaderEpoch) {
        let state = self.lock();
        let registration = state.registration();
        (registration.leader, registration.leader_epoch)
    }

    /// The in-sync replicas this leader reckons with; without a leadership those that the cluster knows.
    #[must_use]
    pub fn in_sync_replicas(&self) -> Vec<NodeId> {
        let state = self.lock();
        match state.leadership() {
            Ok(leadership) => leadership.isr().to_vec(),
            Err(_) => state.registration().isr.clone(),
        }
    }

    /// The epoch this node leads in.
    ///
    /// # Errors
    ///
    /// `NOT_LEADER_OR_FOLLOWER` when it does not lead, `KAFKA_STORAGE_ERROR` when the log directory is offline,
    /// `UNKNOWN_TOPIC_OR_PARTITION` once it is deleted.
    pub fn leading_epoch(&self) -> Result<LeaderEpoch, ErrorCode> {
        self.lock().leadership().map(Leadership::epoch)
    }

    /// Checks the epoch a client believes in against ours, on a leader or a follower.
    ///
    /// # Errors
    ///
    /// `FENCED_LEADER_EPOCH` when the client is behind, `UNKNOWN_LEADER_EPOCH` when it is ahead; else why nothing can be asked
    /// of this replica.
    pub fn check_epoch_here(
        &self,
        believed: Option<LeaderEpoch>,
    ) -> Result<LeaderEpoch, ErrorCode> {
        let state = self.lock();
        state.check_here()?;
        let ours = state.registration().leader_epoch;
        match believed {
            Some(epoch) if epoch < ours => Err(ErrorCode::FencedLeaderEpoch),
            Some(epoch) if epoch > ours => Err(ErrorCode::UnknownLeaderEpoch),
            Some(_) | None => Ok(ours),
        }
    }

    /// Checks the epoch a client believes in against ours, then that we lead.
    ///
    /// # Errors
    ///
    /// `FENCED_LEADER_EPOCH` when the client is behind, `UNKNOWN_LEADER_EPOCH` when it is ahead; else as
    /// [`leading_epoch`](Self::leading_epoch). Source: KIP-320.
    pub fn check_epoch(&self, believed: Option<LeaderEpoch>) -> Result<LeaderEpoch, ErrorCode> {
        // A replica that is gone says so, whatever the epoch: it does not know what became of it.
        self.check_epoch_here(believed)?;
        self.leading_epoch()
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
        let epoch = self.may_append(acks).map_err(AppendFailure::NotLeader)?;
        if expected_epoch.is_some_and(|expected| expected != epoch) {
            return Err(AppendFailure::NotLeader(ErrorCode::NotLeaderOrFollower));
        }
        let appended = self.log.append_as_leader(batch, origin, epoch, now).await?;
        self.advance_high_watermark();
        Ok(appended)
    }

    /// The epoch to append in.
    fn may_append(&self, acks: Acks) -> Result<LeaderEpoch, ErrorCode> {
        let min = self.log.settings().min_insync_replicas;
        let state = self.lock();
        let leadership = state.leadership()?;
        if acks == Acks::All && !leadership.has_enough_in_sync(min) {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        Ok(leadership.epoch())
    }

    /// True when everything up to and with `last`, which was appended in `epoch`, is committed, and this node leads in that
    /// epoch still: what is there later may be somebody else's.
    #[must_use]
    pub fn is_committed(&self, last: Offset, epoch: LeaderEpoch) -> bool {
        self.log.high_watermark() > last && self.leading.load(Ordering::Acquire) == epoch.value()
    }

    /// Waits until everything up to and with `last`, which was appended in `epoch`, is committed.
    ///
    /// # Errors
    ///
    /// `NOT_LEADER_OR_FOLLOWER` when that epoch is over, `KAFKA_STORAGE_ERROR` when the disk failed.
    pub async fn committed(&self, last: Offset, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        if self.is_committed(last, epoch) {
            return Ok(());
        }
        let waiter = Waiter::new();
        loop {
            self.waiters.register(&waiter);
            if self.is_committed(last, epoch) {
                return Ok(());
            }
            if self.leading_epoch()? != epoch {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            waiter.woken().await;
        }
    }

    /// [`committed`](Self::committed) for a producer that was promised enough replicas.
    ///
    /// # Errors
    ///
    /// As there, and `NOT_ENOUGH_REPLICAS_AFTER_APPEND` when those in sync have become too few meanwhile.
    pub async fn acknowledged(&self, last: Offset, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        self.committed(last, epoch).await?;
        let min = self.log.settings().min_insync_replicas;
        if self.lock().leadership()?.has_enough_in_sync(min) {
            Ok(())
        } else {
            Err(ErrorCode::NotEnoughReplicasAfterAppend)
        }
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

    /// Moves the log start up to `offset` (`None`: to the high watermark); says where it is now, and in which epoch we lead.
    ///
    /// # Errors
    ///
    /// `OFFSET_OUT_OF_RANGE` outside of log start and high watermark; as [`leading_epoch`](Self::leading_epoch).
    pub async fn delete_records(
        &self,
        offset: Option<Offset>,
    ) -> Result<(Offset, LeaderEpoch), ErrorCode> {
        let epoch = self.leading_epoch()?;
        let high_watermark = self.log.high_watermark();
        let offset = offset.unwrap_or(high_watermark);
        if offset > high_watermark || offset < self.log.log_start_offset() {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        self.log.advance_log_start(offset).await.map_err(|error| error.code())?;
        Ok((self.log.log_start_offset(), epoch))
    }

    /// Takes over what the cluster says now; gives back the role it took with that.
    pub(super) async fn update(&self, registration: Arc<PartitionRegistration>) -> Entry {
        let may_lead = self.surroundings.may_lead();
        let entry = self.lock().entry(&registration, may_lead);
        match entry {
            Entry::Lead(epoch) => {
                let start = self.log.begin_epoch(epoch).await;
                let now = self.surroundings.runtime.now();
                let mut state = self.lock();
                state.lead(registration, start, now);
                if state.check_here().is_ok() {
                    self.leading.store(epoch.value(), Ordering::Release);
                }
            }
            Entry::Follow(epoch) => {
                {
                    let mut state = self.lock();
                    state.follow(registration);
                    self.leading.store(-1, Ordering::Release);
                }
                self.log.follow_epoch(epoch).await;
            }
            Entry::Stay => self.lock().stay(registration),
        }
        self.advance_high_watermark();
        self.waiters.wake();
        entry
    }

    /// Takes the role that the registration said at creation.
    pub(super) async fn begin(&self) -> Entry {
        let registration = Arc::clone(self.lock().registration());
        self.update(registration).await
    }

    pub(super) fn go_offline(&self) {
        self.end(|state| state.is_offline = true);
    }

    pub(super) fn mark_deleted(&self) {
        self.end(|state| state.is_deleted = true);
    }

    fn end(&self, how: impl FnOnce(&mut ReplicaState)) {
        {
            let mut state = self.lock();
            how(&mut state);
            self.leading.store(-1, Ordering::Release);
        }
        self.waiters.wake();
    }

    /// Moves a leader's high watermark as far as it can go, and wakes those who wait for that or for records.
    pub(super) fn advance_high_watermark(&self) {
        {
            // Held until it is set: of two that advance at once the slower must not take it back.
            let state = self.lock();
            let Ok(leadership) = state.leadership() else { return };
            if leadership.is_alone() {
                let end = self.own_end();
                if end > self.log.high_watermark() {
                    self.log.set_high_watermark(end);
                }
            } else {
                self.advance_over_followers(leadership);
            }
        }
        self.waiters.wake();
    }

    /// How much of the log this node vouches for: what is durable when each message is flushed.
    pub(super) fn own_end(&self) -> Offset {
        if self.is_strict() { self.log.durable_end() } else { self.log.log_end_offset() }
    }

    /// Whether each message is to be durable before it counts (`flush.messages=1`).
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.log.settings().flush_messages == Some(1)
    }

    pub(super) fn wake(&self) {
        self.waiters.wake();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ReplicaState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
