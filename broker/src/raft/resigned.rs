use std::collections::BTreeSet;

use super::quorum::Quorum;
use super::ready::{EndQuorumEpochRequest, Request};
use super::role::RoleState;
use super::voters::ReplicaKey;
use crate::environment::Instant;
use crate::model::{LeaderEpoch, NodeId};

/// Was the leader of this epoch and will never act as such again: what it had not made durable may be gone, and what it
/// said may be remembered by others. Votes for nobody in this epoch.
#[derive(Clone, Debug)]
pub(super) struct Resigned {
    /// Who has not confirmed to know.
    pub(super) unacknowledged: BTreeSet<NodeId>,
    /// Who should lead next, the best first.
    pub(super) successors: Vec<ReplicaKey>,
    /// When it moves on to the next epoch.
    pub(super) deadline: Instant,
}

impl Quorum {
    /// Gives leadership of the present epoch up, and says so to the other voters.
    pub(super) fn become_resigned(&mut self, now: Instant, successors: Vec<ReplicaKey>) {
        let state = self.fresh_resigned(now, successors);
        self.enter(self.epoch(), RoleState::Resigned(state));
        self.reset_requests();
    }

    pub(super) fn fresh_resigned(&mut self, now: Instant, successors: Vec<ReplicaKey>) -> Resigned {
        let local = self.local().id;
        Resigned {
            unacknowledged: self.voters().ids().filter(|id| *id != local).collect(),
            successors,
            deadline: now + self.random_election_timeout(),
        }
    }

    /// Tells those who do not know yet, until the time-out ends the epoch.
    pub(super) fn poll_resigned(&mut self, now: Instant) -> bool {
        let RoleState::Resigned(state) = self.role_state() else { return false };
        if state.deadline <= now {
            let epoch = LeaderEpoch::new(self.epoch().value().saturating_add(1));
            self.become_unattached(now, epoch, None);
            return true;
        }
        let (deadline, successors) = (state.deadline, state.successors.clone());
        let unacknowledged: Vec<NodeId> = state.unacknowledged.iter().copied().collect();
        self.wake_at(deadline);
        for to in unacknowledged {
            let request = Request::EndQuorumEpoch(EndQuorumEpochRequest {
                cluster_id: Some(self.cluster_id()),
                leader: self.local().id,
                epoch: self.epoch(),
                successors: successors.clone(),
                leader_endpoints: self.own_endpoints(),
            });
            self.send_when_ready(now, to, request);
        }
        false
    }

    /// True while we say that we resigned and some voter has not confirmed to know.
    pub(super) fn has_unheard_leave(&self) -> bool {
        matches!(self.role_state(), RoleState::Resigned(state) if !state.unacknowledged.is_empty())
    }

    /// A voter knows that we resigned.
    pub(super) fn on_end_acknowledged(&mut self, from: NodeId) {
        if let RoleState::Resigned(state) = self.role_state_mut() {
            state.unacknowledged.remove(&from);
        }
    }
}
