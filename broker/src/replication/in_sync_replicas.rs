//! The in-sync replicas of a partition that this node leads, and the change to them that the controller is asked for.
//!
//! One change is under way at a time. Who joins counts as in sync from the moment it is asked for, and who leaves until the
//! controller has confirmed it: whatever the controller has decided, every committed record is on every replica that it
//! could make leader.
//!
//! A refusal does not end that at once: a copy of the same wish may still be on its way, from an attempt that was given up,
//! and be granted later. Until the partition's epoch has moved on, or for `replica.lag.time.max.ms`, who was refused is
//! waited for. (Apache Kafka does not wait; random lives of three replicas show the record that is lost then.)
//!
//! Source: KIP-497 (the maximal ISR), KIP-903 (epochs of brokers).

use crate::environment::Instant;
use crate::metadata::PartitionEpoch;
use crate::model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId};

/// What a leader asks the controller for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrChange {
    /// The epoch it leads in.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch the wish is based on.
    pub partition_epoch: PartitionEpoch,
    /// The in-sync replicas wanted, each with the broker epoch it fetches with; `None` when it has not said.
    pub isr: Vec<(NodeId, Option<BrokerEpoch>)>,
    /// Tells this wish from others of the same leadership.
    pub(super) ticket: u64,
}

/// What the controller has made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrState {
    /// The leader's epoch there.
    pub leader_epoch: LeaderEpoch,
    /// The partition's epoch there.
    pub partition_epoch: PartitionEpoch,
    /// The in-sync replicas.
    pub isr: Vec<NodeId>,
}

/// What an answer of the controller means for who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// The in-sync replicas are known again.
    Known,
    /// The wish stands, and new metadata will say what became of it.
    AwaitsMetadata,
    /// The same is to be asked again.
    AskAgain,
    /// The answer belongs to nothing that is under way.
    Stale,
}

/// In sync as the controller has confirmed it, and as it may have decided meanwhile.
///
/// Invariant: `wanted` is the confirmed set with one replica more, or with some less, never both.
#[derive(Clone, Debug)]
pub(super) struct InSyncReplicas {
    partition_epoch: PartitionEpoch,
    confirmed: Vec<NodeId>,
    pending: Option<Pending>,
    /// Those who were refused since the partition's epoch last moved, and until when they are waited for all the same.
    refused: Vec<(NodeId, Instant)>,
    next_ticket: u64,
}

#[derive(Clone, Debug)]
struct Pending {
    ticket: u64,
    joining: Option<NodeId>,
}

impl InSyncReplicas {
    pub(super) const fn new(partition_epoch: PartitionEpoch, confirmed: Vec<NodeId>) -> Self {
        Self { partition_epoch, confirmed, pending: None, refused: Vec::new(), next_ticket: 0 }
    }

    /// As the controller has confirmed it.
    pub(super) fn confirmed(&self) -> &[NodeId] {
        &self.confirmed
    }

    /// The partition epoch of that.
    pub(super) const fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    /// True for every replica that is in sync in some outcome of what is under way: a commit waits for all of them.
    pub(super) fn may_be_in_sync(&self, id: NodeId, now: Instant) -> bool {
        self.confirmed.contains(&id)
            || self.pending.as_ref().is_some_and(|pending| pending.joining == Some(id))
            || self.refused.iter().any(|(refused, until)| *refused == id && now < *until)
    }

    /// True while the controller is asked for a change.
    pub(super) const fn is_changing(&self) -> bool {
        self.pending.is_some()
    }

    /// Wants one more; the change still lacks the epochs of brokers.
    pub(super) fn ask_to_join(&mut self, id: NodeId) -> (u64, Vec<NodeId>) {
        assert!(!self.confirmed.contains(&id), "{id} is in sync already");
        let mut wanted = self.confirmed.clone();
        wanted.push(id);
        (self.ask(Some(id)), wanted)
    }

    /// Wants some less.
    pub(super) fn ask_to_leave(&mut self, leaving: &[NodeId]) -> (u64, Vec<NodeId>) {
        let stays = |id: &NodeId| !leaving.contains(id);
        let wanted = self.confirmed.iter().copied().filter(stays).collect();
        (self.ask(None), wanted)
    }

    fn ask(&mut self, joining: Option<NodeId>) -> u64 {
        assert!(self.pending.is_none(), "one change at a time");
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.pending = Some(Pending { ticket, joining });
        ticket
    }

    /// Takes what the metadata say; older than what is known already, it changes nothing.
    pub(super) fn learn(&mut self, partition_epoch: PartitionEpoch, isr: &[NodeId]) {
        if partition_epoch > self.partition_epoch {
            self.confirm(partition_epoch, isr);
        }
    }

    fn confirm(&mut self, partition_epoch: PartitionEpoch, isr: &[NodeId]) {
        self.partition_epoch = partition_epoch;
        self.confirmed = isr.to_vec();
        self.pending = None;
        // A wish from before this is refused from now on.
        self.refused.clear();
    }

    /// Takes the controller's answer to the wish with this ticket, in the same leader epoch. One that is refused is waited for
    /// until `refused_until`.
    pub(super) fn answered(
        &mut self,
        ticket: u64,
        answer: Result<(PartitionEpoch, &[NodeId]), ErrorCode>,
        refused_until: Instant,
    ) -> Settled {
        let is_awaited = self.pending.as_ref().is_some_and(|pending| pending.ticket == ticket);
        match answer {
            // Whatever it answers, it is newer than what is known.
            Ok((partition_epoch, isr)) if partition_epoch > self.partition_epoch => {
                self.confirm(partition_epoch, isr);
                Settled::Known
            }
            // Just what the controller had, which makes no new epoch.
            Ok((partition_epoch, isr)) if is_awaited && partition_epoch == self.partition_epoch => {
                self.confirmed = isr.to_vec();
                self.pending = None;
                Settled::Known
            }
            Err(code) if is_awaited => self.refused(code, refused_until),
            Ok(_) | Err(_) => Settled::Stale,
        }
    }

    fn refused(&mut self, code: ErrorCode, until: Instant) -> Settled {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "Kafka's rule: any other code is tried again"
        )]
        match code {
            // This wish was not granted.
            ErrorCode::OperationNotAttempted | ErrorCode::IneligibleReplica => {
                let joining = self.pending.take().and_then(|pending| pending.joining);
                if let Some(id) = joining {
                    self.refused.retain(|(refused, _)| *refused != id);
                    self.refused.push((id, until));
                }
                Settled::Known
            }
            // Something else has happened to the partition, or this very change has: the metadata will tell. Until then
            // those who would join count as in sync.
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::InvalidUpdateVersion
            | ErrorCode::InvalidRequest
            | ErrorCode::NewLeaderElected => Settled::AwaitsMetadata,
            _ => Settled::AskAgain,
        }
    }
}
