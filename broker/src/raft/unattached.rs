use super::quorum::Quorum;
use super::role::RoleState;
use super::voters::ReplicaKey;
use crate::environment::Instant;
use crate::model::{LeaderEpoch, NodeId};

/// Follows nobody: no leader of this epoch is known, or none that could be reached.
#[derive(Clone, Debug)]
pub(super) struct Unattached {
    /// Known by name only, without an address.
    pub(super) leader: Option<NodeId>,
    /// Whom we voted for in this epoch.
    pub(super) voted: Option<ReplicaKey>,
    /// When a voter stands for election itself; `None` for observers.
    pub(super) deadline: Option<Instant>,
}

impl Quorum {
    /// Enters an epoch whose leader we cannot follow (yet).
    pub(super) fn become_unattached(
        &mut self,
        now: Instant,
        epoch: LeaderEpoch,
        leader: Option<NodeId>,
    ) {
        let is_same = epoch == self.epoch();
        assert!(epoch > self.epoch() || is_same, "an epoch is never left for an older one");
        let deadline = self
            .may_stand()
            .then(|| self.role_state().election_deadline())
            .map(|left| left.unwrap_or_else(|| now + self.random_election_timeout()));
        let voted = if is_same { self.voted() } else { None };
        self.enter(epoch, RoleState::Unattached(Unattached { leader, voted, deadline }));
    }

    /// Notes the vote for `candidate` in the present epoch.
    pub(super) fn record_vote(&mut self, candidate: ReplicaKey) {
        let mut role = self.role_state().clone();
        match &mut role {
            RoleState::Unattached(state) => state.voted = Some(candidate),
            RoleState::Prospective(state) => state.voted = Some(candidate),
            RoleState::Candidate(_)
            | RoleState::Follower(_)
            | RoleState::Leader(_)
            | RoleState::Resigned(_) => unreachable!("such a role grants no vote"),
        }
        self.replace(role);
    }

    /// Waits for the election time-out, asking around for a leader meanwhile.
    pub(super) fn poll_unattached(&mut self, now: Instant) -> bool {
        let RoleState::Unattached(state) = self.role_state() else { return false };
        if state.deadline.is_none() && self.may_stand() {
            // We have become a voter since.
            let deadline = now + self.random_election_timeout();
            if let RoleState::Unattached(state) = self.role_state_mut() {
                state.deadline = Some(deadline);
            }
        }
        let RoleState::Unattached(state) = self.role_state() else { return false };
        if let Some(deadline) = state.deadline {
            if self.may_stand() && deadline <= now {
                self.become_prospective(now);
                return true;
            }
            self.wake_at(deadline);
        }
        self.fetch_from_anyone(now);
        false
    }
}
