//! What a leader knows of its followers, and what follows from it: the high watermark, and who is in sync.
//!
//! A sans-IO machine: time, the ends of the log and the standing of brokers are arguments. A leader without followers asks
//! nobody.
//!
//! # Invariants
//!
//! - The high watermark passes a record only when every replica that any outcome of a change under way has in sync has it.
//! - A follower is in sync no earlier than it has everything committed and everything before this leader's epoch.
//!
//! Source: KIP-101, KIP-497 (changes under way), KIP-841 and KIP-903 (who may join), KIP-966 (no commit below the minimum).

use std::collections::BTreeMap;
use std::time::Duration;

use super::in_sync_replicas::{InSyncReplicas, IsrChange, IsrState, Settled};
use crate::environment::Instant;
#[cfg(test)]
use crate::metadata::PartitionEpoch;
use crate::metadata::PartitionRegistration;
use crate::model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset};

/// What of the world a leader's decision depends on.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// Now.
    pub(super) now: Instant,
    /// Where the log ends.
    pub(super) log_end: Offset,
    /// How much of it counts as this node's own: the whole log, or what is durable when each message is flushed.
    pub(super) own_end: Offset,
    /// What is committed.
    pub(super) high_watermark: Offset,
    /// `min.insync.replicas`.
    pub(super) min_insync_replicas: usize,
    /// `replica.lag.time.max.ms`.
    pub(super) lag_time_max: Duration,
    /// The epoch of a broker that may be in sync: registered, neither fenced nor shutting down.
    pub(super) active: &'a dyn Fn(NodeId) -> Option<BrokerEpoch>,
    /// This broker's own epoch.
    pub(super) own_epoch: Option<BrokerEpoch>,
}

/// What a follower says of itself with each fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerFetch {
    /// The follower.
    pub id: NodeId,
    /// Its registration; `None` from followers that do not say.
    pub broker_epoch: Option<BrokerEpoch>,
}

/// Why a follower's fetch does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FetchRefusal {
    /// The node is no replica as far as we have heard.
    NoReplica,
    /// The broker has been registered anew since.
    StaleBroker,
}

/// How far a follower is.
#[derive(Clone, Copy, Debug, Default)]
struct Follower {
    /// Where its log ends; `None` before its first fetch of this epoch.
    log_end: Option<Offset>,
    log_start: Option<Offset>,
    /// The registration of its last fetch.
    broker_epoch: Option<BrokerEpoch>,
    /// When it fetched last, and where our log ended then.
    last_fetch: Option<(Instant, Offset)>,
    /// The latest moment at which it had all that we had.
    caught_up: Option<Instant>,
    /// The high watermark it was told last.
    told: Option<Offset>,
}

/// One leadership: from an election to the next.
#[derive(Clone, Debug)]
pub(super) struct Leadership {
    node: NodeId,
    epoch: LeaderEpoch,
    /// Where the log ended when the epoch began.
    start: Offset,
    replica_count: usize,
    followers: BTreeMap<NodeId, Follower>,
    in_sync: InSyncReplicas,
}

impl Leadership {
    /// Begins to lead at `start`, knowing nothing of the followers but who of them is in sync.
    pub(super) fn new(
        node: NodeId,
        registration: &PartitionRegistration,
        start: Offset,
        now: Instant,
    ) -> Self {
        let isr = registration.isr.clone();
        let mut leadership = Self {
            node,
            epoch: registration.leader_epoch,
            start,
            replica_count: registration.replicas.len(),
            followers: BTreeMap::new(),
            in_sync: InSyncReplicas::new(registration.partition_epoch, isr),
        };
        leadership.assign(registration);
        for id in &registration.isr {
            if let Some(follower) = leadership.followers.get_mut(id) {
                follower.caught_up = Some(now);
            }
        }
        leadership
    }

    /// The epoch it leads in.
    pub(super) const fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Who has to have a record before it is committed: in sync in some outcome of what is under way.
    #[cfg(test)]
    pub(super) fn waited_for(&self, now: Instant) -> Vec<NodeId> {
        let followers = self.followers.keys().copied();
        let all = std::iter::once(self.node).chain(followers);
        all.filter(|id| self.in_sync.may_be_in_sync(*id, now)).collect()
    }

    /// Where the epoch began: nothing of it is committed before the high watermark has reached this.
    pub(super) const fn start(&self) -> Offset {
        self.start
    }

    /// True when there is nobody to wait for.
    pub(super) fn is_alone(&self) -> bool {
        self.followers.is_empty()
    }

    /// The partition epoch that is known.
    #[cfg(test)]
    pub(super) const fn partition_epoch(&self) -> PartitionEpoch {
        self.in_sync.partition_epoch()
    }

    /// In sync, as confirmed.
    pub(super) fn isr(&self) -> &[NodeId] {
        self.in_sync.confirmed()
    }

    /// Takes what the metadata say in the same epoch: other replicas, other in-sync replicas.
    pub(super) fn learn(&mut self, registration: &PartitionRegistration) {
        assert_eq!(registration.leader_epoch, self.epoch, "one leadership is one epoch");
        self.assign(registration);
        self.in_sync.learn(registration.partition_epoch, &registration.isr);
    }

    fn assign(&mut self, registration: &PartitionRegistration) {
        self.replica_count = registration.replicas.len();
        self.followers.retain(|id, _| registration.replicas.contains(id));
        for id in registration.replicas.iter().filter(|id| **id != self.node) {
            self.followers.entry(*id).or_default();
        }
    }

    /// True when `min.insync.replicas` are in sync; a topic with fewer replicas needs no more than it has.
    pub(super) fn has_enough_in_sync(&self, min: usize) -> bool {
        self.in_sync.confirmed().len() >= min.min(self.replica_count)
    }

    /// A follower fetches from `offset`: it has everything below.
    pub(super) fn fetched(
        &mut self,
        fetch: FollowerFetch,
        offset: Offset,
        log_start: Option<Offset>,
        view: &View<'_>,
    ) -> Result<(), FetchRefusal> {
        let follower = self.followers.get_mut(&fetch.id).ok_or(FetchRefusal::NoReplica)?;
        let known = follower.broker_epoch.max((view.active)(fetch.id));
        if fetch.broker_epoch.is_some_and(|told| known.is_some_and(|known| told < known)) {
            return Err(FetchRefusal::StaleBroker);
        }
        let had_all_before = follower.last_fetch.filter(|(_, end)| offset >= *end);
        let since = if offset >= view.log_end {
            Some(view.now)
        } else {
            // What it has now is all that we had at its last fetch.
            had_all_before.map(|(at, _)| at)
        };
        follower.caught_up = follower.caught_up.max(since);
        follower.log_end = Some(offset);
        follower.log_start = log_start.or(follower.log_start);
        follower.broker_epoch = fetch.broker_epoch;
        follower.last_fetch = Some((view.now, view.log_end));
        Ok(())
    }

    /// The high watermark told to a follower with the answer under way; says whether that is news to it.
    pub(super) fn tells(&self, id: NodeId, high_watermark: Offset) -> bool {
        self.followers.get(&id).is_some_and(|follower| follower.told < Some(high_watermark))
    }

    /// An answer with this high watermark goes to a follower.
    pub(super) fn told(&mut self, id: NodeId, high_watermark: Offset) {
        if let Some(follower) = self.followers.get_mut(&id) {
            follower.told = Some(high_watermark);
        }
    }

    /// Where the high watermark can go; `None` when it stays.
    pub(super) fn high_watermark(&self, view: &View<'_>) -> Option<Offset> {
        if !self.has_enough_in_sync(view.min_insync_replicas) {
            return None;
        }
        let mut lowest = view.own_end;
        for (id, follower) in &self.followers {
            let is_waited_for = self.in_sync.may_be_in_sync(*id, view.now)
                || (self.is_eligible(*id, follower, view) && Self::keeps_up(follower, view));
            if is_waited_for {
                // One that has not fetched yet has nothing that we know of.
                lowest = lowest.min(follower.log_end?);
            }
        }
        (lowest > view.high_watermark).then_some(lowest)
    }

    /// Asks for `id` to be in sync when it has caught up and may be.
    pub(super) fn expand(&mut self, id: NodeId, view: &View<'_>) -> Option<IsrChange> {
        let follower = self.followers.get(&id)?;
        let end = follower.log_end?;
        let may_join = !self.in_sync.is_changing()
            && !self.in_sync.confirmed().contains(&id)
            && end >= view.high_watermark
            && end >= self.start
            && self.is_eligible(id, follower, view);
        if !may_join {
            return None;
        }
        let (ticket, wanted) = self.in_sync.ask_to_join(id);
        Some(self.change(ticket, wanted, view))
    }

    /// Asks for those to leave who have not caught up for too long.
    pub(super) fn shrink(&mut self, view: &View<'_>) -> Option<IsrChange> {
        if self.in_sync.is_changing() {
            return None;
        }
        let lags = |id: &NodeId| {
            let follower = self.followers.get(id);
            follower.is_some_and(|follower| !Self::keeps_up(follower, view))
        };
        let leaving: Vec<NodeId> = self.in_sync.confirmed().iter().copied().filter(lags).collect();
        if leaving.is_empty() {
            return None;
        }
        let (ticket, wanted) = self.in_sync.ask_to_leave(&leaving);
        Some(self.change(ticket, wanted, view))
    }

    /// Takes the controller's answer to a change.
    pub(super) fn answered(
        &mut self,
        change: &IsrChange,
        answer: &Result<IsrState, ErrorCode>,
        view: &View<'_>,
    ) -> Settled {
        let until = view.now + view.lag_time_max;
        if change.leader_epoch != self.epoch {
            return Settled::Stale;
        }
        match answer {
            Ok(state) if state.leader_epoch != self.epoch => Settled::Stale,
            Ok(state) => {
                let told = (state.partition_epoch, state.isr.as_slice());
                self.in_sync.answered(change.ticket, Ok(told), until)
            }
            Err(code) => self.in_sync.answered(change.ticket, Err(*code), until),
        }
    }

    /// The in-sync follower with the most records of those `near` a reader, when it has `offset`. Source: KIP-392.
    pub(super) fn nearest(&self, offset: Offset, near: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let reaches = |follower: &Follower| {
            follower.log_start.is_none_or(|start| start <= offset)
                && follower.log_end.is_some_and(|end| offset <= end)
        };
        let candidates = self.followers.iter().filter(|(id, follower)| {
            self.in_sync.confirmed().contains(id) && reaches(follower) && near(**id)
        });
        candidates.max_by_key(|(id, follower)| (follower.log_end, -id.0)).map(|(id, _)| *id)
    }

    /// Where a follower's log begins, as far as it has said.
    pub(super) fn log_start_of(&self, id: NodeId) -> Option<Offset> {
        self.followers.get(&id).and_then(|follower| follower.log_start)
    }

    /// The lowest log start of the live replicas, with `own`: what is below is gone everywhere. Source: KIP-107.
    pub(super) fn low_watermark(&self, own: Offset, is_alive: impl Fn(NodeId) -> bool) -> Offset {
        let alive = self.followers.iter().filter(|(id, _)| is_alive(**id));
        alive.fold(own, |lowest, (_, follower)| lowest.min(follower.log_start.unwrap_or_default()))
    }

    /// True when the broker may be in sync, and the one that fetched is the one that is registered now.
    #[expect(clippy::unused_self, reason = "a question about this leadership's follower")]
    fn is_eligible(&self, id: NodeId, follower: &Follower, view: &View<'_>) -> bool {
        let Some(registered) = (view.active)(id) else { return false };
        follower.last_fetch.is_some()
            && follower.broker_epoch.is_none_or(|fetched| fetched == registered)
    }

    /// True when the follower has all, or had all that there was not long ago.
    fn keeps_up(follower: &Follower, view: &View<'_>) -> bool {
        follower.log_end == Some(view.log_end)
            || follower.caught_up.is_some_and(|at| view.now.since(at) <= view.lag_time_max)
    }

    fn change(&self, ticket: u64, wanted: Vec<NodeId>, view: &View<'_>) -> IsrChange {
        let epoch_of = |id: NodeId| {
            if id == self.node {
                view.own_epoch
            } else {
                self.followers.get(&id).and_then(|follower| follower.broker_epoch)
            }
        };
        IsrChange {
            leader_epoch: self.epoch,
            partition_epoch: self.in_sync.partition_epoch(),
            isr: wanted.into_iter().map(|id| (id, epoch_of(id))).collect(),
            ticket,
        }
    }
}
