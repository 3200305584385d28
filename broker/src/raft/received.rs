//! What a replica does with requests about elections, and with the answers to its own.

use super::log_state::is_up_to_date;
use super::quorum::Quorum;
use super::ready::{
    Answer, BeginQuorumEpochRequest, EndQuorumEpochRequest, Ready, Request, Response, Token,
    VoteRequest, VoteResponse,
};
use super::role::RoleState;
use super::voters::{Endpoint, KRAFT_VERSIONS, ReplicaKey};
use crate::environment::Instant;
use crate::model::{ClusterId, ErrorCode, LeaderEpoch, NodeId};

impl Quorum {
    pub(super) fn on_request(&mut self, now: Instant, token: Token, request: Request) {
        match request {
            Request::Vote(request) => {
                let verdict = self.on_vote_request(now, &request);
                let response = Response::Vote(VoteResponse {
                    answer: self.answer(verdict.err().unwrap_or(ErrorCode::None)),
                    is_granted: verdict == Ok(true),
                    is_pre_vote: request.is_pre_vote,
                });
                self.push(Ready::Respond(token, response, None));
            }
            Request::BeginQuorumEpoch(request) => {
                let error = self.on_begin_request(now, request).err().unwrap_or(ErrorCode::None);
                let response = Response::BeginQuorumEpoch(self.answer(error));
                self.push(Ready::Respond(token, response, None));
            }
            Request::EndQuorumEpoch(request) => {
                let error = self.on_end_request(now, request).err().unwrap_or(ErrorCode::None);
                let response = Response::EndQuorumEpoch(self.answer(error));
                self.push(Ready::Respond(token, response, None));
            }
            Request::Fetch(request) => self.on_fetch_request(now, token, request),
            Request::FetchSnapshot(request) => {
                self.on_fetch_snapshot_request(now, token, &request);
            }
            Request::AddVoter(request) => self.on_add_voter_request(now, token, request),
            Request::RemoveVoter(request) => self.on_remove_voter_request(now, token, &request),
            Request::UpdateVoter(request) => self.on_update_voter_request(now, token, request),
            Request::Versions(_) => {
                let response = Response::Versions(Some(KRAFT_VERSIONS));
                self.push(Ready::Respond(token, response, None));
            }
        }
    }

    /// What we say of ourselves in every answer. A resigned leader names itself: its epoch had no other.
    pub(super) fn answer(&self, error: ErrorCode) -> Answer {
        Answer {
            error,
            epoch: self.epoch(),
            leader: self.leader(),
            leader_endpoints: self.leader_endpoints().to_vec(),
        }
    }

    /// Judges a vote request: the order of the checks is Kafka's.
    fn on_vote_request(&mut self, now: Instant, request: &VoteRequest) -> Result<bool, ErrorCode> {
        self.check_cluster(request.cluster_id.as_ref())?;
        let is_impossible = if request.is_pre_vote {
            request.last.epoch > request.epoch
        } else {
            request.last.epoch >= request.epoch
        };
        if is_impossible {
            return Err(ErrorCode::InvalidRequest);
        }
        self.check_sender(request.candidate.id, request.epoch)?;
        if request.epoch > self.epoch() {
            self.become_unattached(now, request.epoch, None);
        }
        self.check_addressee(request.voter)?;
        let is_up_to_date = is_up_to_date(request.last, self.log().last());
        let is_granted =
            self.role_state().grants(&request.candidate, is_up_to_date, request.is_pre_vote);
        if is_granted && !request.is_pre_vote && self.voted().is_none() {
            self.record_vote(request.candidate);
        }
        Ok(is_granted)
    }

    fn on_begin_request(
        &mut self,
        now: Instant,
        request: BeginQuorumEpochRequest,
    ) -> Result<(), ErrorCode> {
        self.check_cluster(request.cluster_id.as_ref())?;
        self.check_sender(request.leader, request.epoch)?;
        self.hear_of(now, request.epoch, Some(request.leader), request.leader_endpoints)?;
        self.check_addressee(request.voter)
    }

    fn on_end_request(
        &mut self,
        now: Instant,
        request: EndQuorumEpochRequest,
    ) -> Result<(), ErrorCode> {
        self.check_cluster(request.cluster_id.as_ref())?;
        self.check_sender(request.leader, request.epoch)?;
        self.hear_of(now, request.epoch, Some(request.leader), request.leader_endpoints)?;
        if self.following() == Some(request.leader) && self.may_stand() {
            self.on_leader_resigned(now, &request.successors);
        }
        Ok(())
    }

    fn check_cluster(&self, cluster_id: Option<&ClusterId>) -> Result<(), ErrorCode> {
        match cluster_id {
            Some(theirs) if *theirs != self.settings().cluster_id => {
                Err(ErrorCode::InconsistentClusterId)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_sender(&self, sender: NodeId, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        if epoch < self.epoch() {
            Err(ErrorCode::FencedLeaderEpoch)
        } else if sender.0 < 0 {
            Err(ErrorCode::InvalidRequest)
        } else {
            Ok(())
        }
    }

    fn check_addressee(&self, voter: Option<ReplicaKey>) -> Result<(), ErrorCode> {
        let local = self.local();
        let is_us = voter.is_none_or(|key| {
            key.id == local.id
                && (key.directory_id.is_none() || key.directory_id == local.directory_id)
        });
        if is_us { Ok(()) } else { Err(ErrorCode::InvalidVoterKey) }
    }

    /// Why a request that only a leader answers is refused, if it is.
    pub(super) fn refuses_as_leader(
        &self,
        cluster_id: Option<&ClusterId>,
        epoch: LeaderEpoch,
    ) -> Option<ErrorCode> {
        if let Err(error) = self.check_cluster(cluster_id) {
            return Some(error);
        }
        if epoch < self.epoch() {
            return Some(ErrorCode::FencedLeaderEpoch);
        }
        if epoch > self.epoch() {
            return Some(ErrorCode::UnknownLeaderEpoch);
        }
        let is_leader = matches!(self.role_state(), RoleState::Leader(_));
        (!is_leader).then_some(ErrorCode::NotLeaderOrFollower)
    }

    /// Somebody says which epoch it is and who leads it; moves there when that is news.
    ///
    /// # Errors
    ///
    /// `INVALID_REQUEST` when it contradicts what we know of our own epoch: two leaders, or us where we are not.
    fn hear_of(
        &mut self,
        now: Instant,
        epoch: LeaderEpoch,
        leader: Option<NodeId>,
        endpoints: Vec<Endpoint>,
    ) -> Result<(), ErrorCode> {
        let local = self.local().id;
        let is_consistent = match leader {
            Some(leader) if leader == local => {
                epoch == self.epoch() && self.leader() == Some(local)
            }
            Some(leader) => {
                epoch != self.epoch() || self.leader().is_none_or(|known| known == leader)
            }
            None => true,
        };
        if !is_consistent {
            tracing::error!(
                epoch = epoch.value(),
                leader = leader.map(|id| id.0),
                known = self.leader().map(|id| id.0),
                "two leaders in one epoch; not believed"
            );
            return Err(ErrorCode::InvalidRequest);
        }
        let endpoints = match leader {
            Some(leader) if endpoints.is_empty() => self.voters().endpoints(leader).to_vec(),
            Some(_) | None => endpoints,
        };
        match leader {
            None if epoch > self.epoch() => self.become_unattached(now, epoch, None),
            Some(leader) if leader != local && epoch > self.epoch() => {
                if endpoints.is_empty() {
                    self.become_unattached(now, epoch, Some(leader));
                } else {
                    self.become_follower(now, epoch, leader, endpoints);
                }
            }
            Some(leader) if leader != local && epoch == self.epoch() => {
                let is_news = self.following().is_none()
                    || endpoints.len() > self.role_state().leader_endpoints().len();
                if is_news && !endpoints.is_empty() {
                    self.become_follower(now, epoch, leader, endpoints);
                }
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// What every answer tells about epochs. `Some` when the answer is dealt with (and whether it was a good one), `None` when
    /// what it says besides should be looked at.
    pub(super) fn on_answer(&mut self, now: Instant, answer: &Answer) -> Option<bool> {
        if answer.error == ErrorCode::InconsistentClusterId {
            tracing::error!("a peer of the metadata quorum belongs to another cluster");
            return Some(false);
        }
        if answer.epoch < self.epoch() || answer.error == ErrorCode::UnknownLeaderEpoch {
            return Some(false);
        }
        let is_stale = answer.epoch > self.epoch()
            || answer.error == ErrorCode::FencedLeaderEpoch
            || answer.error == ErrorCode::NotLeaderOrFollower;
        let is_news = self.leader().is_none() && answer.leader.is_some();
        let epoch_before = self.epoch();
        if is_stale || is_news {
            let endpoints = answer.leader_endpoints.clone();
            if self.hear_of(now, answer.epoch, answer.leader, endpoints).is_err() {
                return Some(false);
            }
        }
        if is_stale {
            return Some(self.epoch() > epoch_before);
        }
        (is_news && answer.error != ErrorCode::None).then_some(true)
    }

    pub(super) fn on_vote_response(
        &mut self,
        now: Instant,
        from: NodeId,
        response: &VoteResponse,
    ) -> bool {
        if response.answer.error == ErrorCode::UnsupportedVersion && response.is_pre_vote {
            self.skip_pre_vote(now);
            return true;
        }
        if let Some(is_handled) = self.on_answer(now, &response.answer) {
            return is_handled;
        }
        if response.answer.error != ErrorCode::None {
            return false;
        }
        match self.role_state_mut() {
            RoleState::Prospective(state) if response.is_pre_vote => {
                state.election.record(from, response.is_granted)
            }
            RoleState::Candidate(state) if !response.is_pre_vote => {
                state.election.record(from, response.is_granted)
            }
            RoleState::Unattached(_)
            | RoleState::Prospective(_)
            | RoleState::Candidate(_)
            | RoleState::Follower(_)
            | RoleState::Leader(_)
            | RoleState::Resigned(_) => true,
        }
    }

    pub(super) fn on_begin_response(&mut self, now: Instant, answer: &Answer) -> bool {
        self.on_answer(now, answer).unwrap_or(answer.error == ErrorCode::None)
    }

    pub(super) fn on_end_response(&mut self, now: Instant, from: NodeId, answer: &Answer) -> bool {
        if let Some(is_handled) = self.on_answer(now, answer) {
            return is_handled;
        }
        if answer.error == ErrorCode::None {
            self.on_end_acknowledged(from);
        }
        answer.error == ErrorCode::None
    }
}
