use super::quorum::Quorum;
use super::ready::{Request, VoteRequest};
use super::role::RoleState;
use super::votes::Votes;
use crate::environment::Instant;
use crate::model::{LeaderEpoch, NodeId};

/// Has opened an epoch, voted for itself, and asks the others.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The answers.
    pub(super) election: Votes,
    /// When it gives up.
    pub(super) deadline: Instant,
}

impl Quorum {
    /// Opens the next epoch and votes for itself.
    pub(super) fn become_candidate(&mut self, now: Instant) {
        assert!(self.may_stand(), "only voters stand for election");
        let Some(epoch) = self.epoch().value().checked_add(1).map(LeaderEpoch::new) else {
            // Only a peer that lies about epochs can bring us here: there is none left to be elected in.
            self.become_unattached(now, self.epoch(), None);
            return;
        };
        let state = self.fresh_candidate(now);
        self.enter(epoch, RoleState::Candidate(state));
        self.reset_requests();
    }

    pub(super) fn fresh_candidate(&mut self, now: Instant) -> Candidate {
        Candidate {
            election: Votes::new(self.voters(), self.local().id),
            deadline: now + self.random_election_timeout(),
        }
    }

    /// Collects votes: won, late, or asks on. A lost election is sat out, so that the next does not follow at once.
    pub(super) fn poll_candidate(&mut self, now: Instant) -> bool {
        let RoleState::Candidate(state) = self.role_state() else { return false };
        if state.election.is_won() {
            let granting = state.election.granting();
            self.become_leader(now, granting);
            return true;
        }
        let (deadline, is_lost) = (state.deadline, state.election.is_lost());
        if deadline <= now {
            self.become_prospective(now);
            return true;
        }
        self.wake_at(deadline);
        if !is_lost {
            self.ask_for_votes(now, false);
        }
        false
    }

    /// Asks all voters that have not answered and may be asked now. What we say of our log must hold after a crash too: a
    /// vote once given is given again without another look.
    pub(super) fn ask_for_votes(&mut self, now: Instant, is_pre_vote: bool) {
        let open: Vec<NodeId> = match self.role_state() {
            RoleState::Prospective(state) => state.election.open().collect(),
            RoleState::Candidate(state) => state.election.open().collect(),
            RoleState::Unattached(_)
            | RoleState::Follower(_)
            | RoleState::Leader(_)
            | RoleState::Resigned(_) => return,
        };
        self.flush_log();
        for to in open {
            let request = Request::Vote(VoteRequest {
                cluster_id: Some(self.cluster_id()),
                voter: self.voters().voter(to).map(|voter| voter.key),
                candidate: self.local(),
                epoch: self.epoch(),
                last: self.log().last(),
                is_pre_vote,
            });
            self.send_when_ready(now, to, request);
        }
    }
}
