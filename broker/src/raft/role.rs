use super::candidate::Candidate;
use super::election_state::ElectionState;
use super::follower::Follower;
use super::leader::Leader;
use super::prospective::Prospective;
use super::resigned::Resigned;
use super::unattached::Unattached;
use super::voters::{Endpoint, ReplicaKey};
use crate::environment::Instant;
use crate::model::{LeaderEpoch, NodeId};

/// What a replica is in its epoch.
///
/// | from | to | when |
/// |---|---|---|
/// | unattached | prospective | the election time-out passed (voters only) |
/// | | follower | a leader was heard of |
/// | prospective | candidate | a majority would vote for us, or one of them does not know pre-votes |
/// | | follower | a leader was heard of; or lost, and the last leader is known |
/// | | unattached | lost, and no leader is known |
/// | candidate | leader | a majority voted for us |
/// | | follower | a leader was heard of |
/// | | prospective | the election time-out passed |
/// | follower | prospective | the fetch time-out passed, or the leader's connections are refused (voters only) |
/// | leader | resigned | a majority stopped fetching, or we shut down |
/// | resigned | unattached | the election time-out passed: in the next epoch |
/// | any | unattached, follower | a higher epoch was heard of |
///
/// Source: KIP-595, KIP-996.
#[derive(Clone, Debug)]
pub(super) enum RoleState {
    Unattached(Unattached),
    Prospective(Prospective),
    Candidate(Candidate),
    Follower(Follower),
    Leader(Leader),
    Resigned(Resigned),
}

/// The name of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Knows no leader it could follow.
    Unattached,
    /// Asks whether it would be elected.
    Prospective,
    /// Asks to be elected.
    Candidate,
    /// Fetches from the leader.
    Follower,
    /// Was elected.
    Leader,
    /// Was leader of this epoch and will not act as such again.
    Resigned,
}

impl RoleState {
    pub(super) const fn role(&self) -> Role {
        match self {
            Self::Unattached(_) => Role::Unattached,
            Self::Prospective(_) => Role::Prospective,
            Self::Candidate(_) => Role::Candidate,
            Self::Follower(_) => Role::Follower,
            Self::Leader(_) => Role::Leader,
            Self::Resigned(_) => Role::Resigned,
        }
    }

    /// The leader of this epoch, as far as this role knows one; `local` where it is ourselves.
    pub(super) const fn leader(&self, local: NodeId) -> Option<NodeId> {
        match self {
            Self::Unattached(state) => state.leader,
            Self::Prospective(state) => state.leader,
            Self::Candidate(_) => None,
            Self::Follower(state) => Some(state.leader),
            Self::Leader(_) | Self::Resigned(_) => Some(local),
        }
    }

    /// Where that leader can be reached, as far as this role knows.
    pub(super) fn leader_endpoints(&self) -> &[Endpoint] {
        match self {
            Self::Prospective(state) => &state.leader_endpoints,
            Self::Follower(state) => &state.leader_endpoints,
            Self::Unattached(_) | Self::Candidate(_) | Self::Leader(_) | Self::Resigned(_) => &[],
        }
    }

    /// Whom we voted for in this epoch. A leader's vote for itself is not kept: it can never be asked again.
    pub(super) const fn voted(&self, local: ReplicaKey) -> Option<ReplicaKey> {
        match self {
            Self::Unattached(state) => state.voted,
            Self::Prospective(state) => state.voted,
            Self::Candidate(_) => Some(local),
            Self::Follower(state) => state.voted,
            Self::Leader(_) | Self::Resigned(_) => None,
        }
    }

    /// What must be durable in this role.
    pub(super) const fn election_state(
        &self,
        epoch: LeaderEpoch,
        local: ReplicaKey,
    ) -> ElectionState {
        ElectionState { epoch, leader: self.leader(local.id), voted: self.voted(local) }
    }

    /// When the election under way, or the wait for one, ends: a replica that hears of a new epoch keeps what was left of it.
    pub(super) fn election_deadline(&self) -> Option<Instant> {
        match self {
            Self::Unattached(state) => state.deadline,
            Self::Prospective(state) => (!state.election.is_lost()).then_some(state.deadline),
            Self::Candidate(state) => Some(state.deadline),
            Self::Resigned(state) => Some(state.deadline),
            Self::Follower(_) | Self::Leader(_) => None,
        }
    }

    /// Whether `candidate` gets our vote in this epoch. Source: KIP-595 "Vote Request Handling", KIP-996.
    pub(super) fn grants(
        &self,
        candidate: &ReplicaKey,
        is_up_to_date: bool,
        is_pre_vote: bool,
    ) -> bool {
        match self {
            Self::Unattached(state) => grants_without_leader(
                state.leader,
                state.voted,
                candidate,
                is_up_to_date,
                is_pre_vote,
            ),
            Self::Prospective(state) => grants_without_leader(
                state.leader,
                state.voted,
                candidate,
                is_up_to_date,
                is_pre_vote,
            ),
            Self::Candidate(_) => is_pre_vote && is_up_to_date,
            Self::Follower(state) => is_pre_vote && is_up_to_date && !state.has_fetched,
            Self::Leader(_) | Self::Resigned(_) => false,
        }
    }
}

fn grants_without_leader(
    leader: Option<NodeId>,
    voted: Option<ReplicaKey>,
    candidate: &ReplicaKey,
    is_up_to_date: bool,
    is_pre_vote: bool,
) -> bool {
    if is_pre_vote {
        return is_up_to_date;
    }
    match voted {
        Some(voted) => {
            voted.id == candidate.id
                && (voted.directory_id.is_none() || voted.directory_id == candidate.directory_id)
        }
        None => leader.is_none() && is_up_to_date,
    }
}
