use super::quorum::Quorum;
use super::role::RoleState;
use super::voters::{Endpoint, ReplicaKey};
use super::votes::Votes;
use crate::environment::Instant;
use crate::model::NodeId;

/// Asks whether it would win an election, without disturbing anybody: the epoch stays, nothing is promised.
/// Source: KIP-996.
#[derive(Clone, Debug)]
pub(super) struct Prospective {
    /// The leader it lost touch with, if any.
    pub(super) leader: Option<NodeId>,
    /// Where that leader was reached.
    pub(super) leader_endpoints: Vec<Endpoint>,
    /// Whom we voted for in this epoch.
    pub(super) voted: Option<ReplicaKey>,
    /// The answers.
    pub(super) election: Votes,
    /// When it gives up.
    pub(super) deadline: Instant,
}

impl Quorum {
    /// Begins to ask for pre-votes, in the same epoch.
    pub(super) fn become_prospective(&mut self, now: Instant) {
        assert!(self.may_stand(), "only voters stand for election");
        let state = Prospective {
            leader: self.leader(),
            leader_endpoints: self.leader_endpoints().to_vec(),
            voted: self.voted(),
            election: Votes::new(self.voters(), self.local().id),
            deadline: now + self.random_election_timeout(),
        };
        self.enter(self.epoch(), RoleState::Prospective(state));
        self.reset_requests();
    }

    /// Collects pre-votes: won, lost, late, or asks on.
    pub(super) fn poll_prospective(&mut self, now: Instant) -> bool {
        let RoleState::Prospective(state) = self.role_state() else { return false };
        if state.election.is_won() {
            self.become_candidate(now);
            return true;
        }
        if state.election.is_lost() || state.deadline <= now {
            let (leader, endpoints) = (state.leader, state.leader_endpoints.clone());
            match leader {
                Some(leader) if !endpoints.is_empty() && leader != self.local().id => {
                    self.become_follower(now, self.epoch(), leader, endpoints);
                }
                Some(_) | None => self.become_unattached(now, self.epoch(), leader),
            }
            return true;
        }
        let deadline = state.deadline;
        self.wake_at(deadline);
        self.ask_for_votes(now, true);
        false
    }

    /// A voter does not know pre-votes (Vote before v2): the election is held without.
    pub(super) fn skip_pre_vote(&mut self, now: Instant) {
        if matches!(self.role_state(), RoleState::Prospective(_)) {
            self.become_candidate(now);
        }
    }
}
