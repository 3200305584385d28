//! Who votes changes while the quorum runs: one change at a time, each a record of the log. Source: KIP-853; Ongaro's
//! dissertation, §4 (changes of a single server), and its correction of 2015 (a leader changes nothing before a record of
//! its own epoch is committed).
//!
//! A set of voters counts from the moment its record is appended. Two sets that differ in one voter have no two majorities
//! without a common member; so the next change waits until the record of the last is committed. A replica is made a voter
//! only once it has had all that the leader had: a voter that lags would hold up every commit. A replica that its own log
//! removes still stands for election until that is committed (§4.2.2 there; Kafka's does not, and of two voters the one
//! that stays can wait for ever then).

use super::quorum::Quorum;
use super::ready::{
    AddVoterRequest, Answer, Ready, RemoveVoterRequest, Request, Response, Token,
    UpdateVoterRequest, VersionsRequest, VoterAnswer, VotersWritten,
};
use super::role::RoleState;
use super::voters::{Endpoint, KRAFT_VERSIONS, ReplicaKey, Voter, VoterChange, VoterSet};
use crate::environment::Instant;
use crate::model::{ClusterId, ErrorCode, NodeId, Offset, OffsetAndEpoch};

/// The leader, when it is asked for a change of the voters. That has a line of its own: its answer may need fetches to be
/// answered first.
pub(super) const LEADER_FOR_CHANGES: NodeId = NodeId(-1);

/// A change under way.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// Who waits for it; `None` once that is answered.
    asker: Option<Asker>,
    stage: Stage,
    /// When whoever waits is told that it takes too long.
    deadline: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Asker {
    ToAdd(Token),
    ToRemove(Token),
}

#[derive(Clone, Debug)]
enum Stage {
    /// The new voter is asked which versions of the quorum it knows.
    Asking { voter: ReplicaKey, endpoints: Vec<Endpoint>, is_asked: bool, is_patient: bool },
    /// The new voters stand in the log at this offset.
    Written(Offset),
}

/// Why a change is refused.
type Refusal = (ErrorCode, String);

impl Quorum {
    /// Begins to add a voter: the last question goes to the voter itself.
    pub(super) fn on_add_voter_request(
        &mut self,
        now: Instant,
        token: Token,
        request: AddVoterRequest,
    ) {
        let verdict = self.judge_addition(&request);
        let deadline = now + self.settings().request_timeout;
        match (verdict, self.role_state_mut()) {
            (Ok(()), RoleState::Leader(leader)) => {
                leader.change = Some(Change {
                    asker: Some(Asker::ToAdd(token)),
                    stage: Stage::Asking {
                        voter: request.voter,
                        endpoints: request.endpoints,
                        is_asked: false,
                        is_patient: request.acknowledge_when_committed,
                    },
                    deadline,
                });
            }
            (Err((error, message)), _) => {
                self.answer_asker(Asker::ToAdd(token), error, Some(message));
            }
            (Ok(()), _) => unreachable!("only a leader gets so far"),
        }
    }

    fn judge_addition(&self, request: &AddVoterRequest) -> Result<(), Refusal> {
        self.check_leads(request.cluster_id.as_ref())?;
        let has_endpoint =
            request.endpoints.iter().any(|one| one.name == self.settings().listener_name);
        if request.voter.id.0 < 0 || request.voter.directory_id.is_none() {
            return Err(invalid("the new voter needs an id and a directory id"));
        }
        if !has_endpoint {
            let listener = &self.settings().listener_name;
            return Err(invalid(&format!("the new voter names no endpoint of {listener}")));
        }
        self.check_may_change()?;
        if self.voters().voter(request.voter.id).is_some() {
            let id = request.voter.id;
            return Err((ErrorCode::DuplicateVoter, format!("node {id} is a voter already")));
        }
        Ok(())
    }

    /// The new voter has said which versions of the quorum it knows (`None`: it could not).
    pub(super) fn on_versions_response(
        &mut self,
        now: Instant,
        from: NodeId,
        versions: Option<(i16, i16)>,
    ) -> bool {
        let RoleState::Leader(leader) = self.role_state_mut() else { return false };
        let is_expected = |change: &mut Change| matches!(&change.stage, Stage::Asking { voter, .. } if voter.id == from);
        let Some(change) = leader.change.take_if(is_expected) else { return false };
        let Change { asker, stage: Stage::Asking { voter, endpoints, is_patient, .. }, deadline } =
            change
        else {
            return false;
        };
        if let Err((error, message)) = self.judge_newcomer(&voter, versions) {
            if let Some(asker) = asker {
                self.answer_asker(asker, error, Some(message));
            }
            return true;
        }
        let (kraft_version_min, kraft_version_max) = versions.unwrap_or(KRAFT_VERSIONS);
        let voter = Voter { key: voter, endpoints, kraft_version_min, kraft_version_max };
        let voters = self.voters().with(voter);
        let (waiting, impatient) = if is_patient { (asker, None) } else { (None, asker) };
        self.write_voters(now, voters, waiting, deadline);
        if let Some(asker) = impatient {
            self.answer_asker(asker, ErrorCode::None, None);
        }
        true
    }

    fn judge_newcomer(
        &self,
        voter: &ReplicaKey,
        versions: Option<(i16, i16)>,
    ) -> Result<(), Refusal> {
        let needed = self.history().kraft_version();
        if !versions.is_some_and(|(min, max)| (min..=max).contains(&needed)) {
            return Err(invalid(&format!(
                "node {} does not know kraft.version {needed}",
                voter.id
            )));
        }
        let RoleState::Leader(leader) = self.role_state() else { return Ok(()) };
        let progress = leader.observers.get(voter);
        if progress.is_none_or(|progress| progress.last_caught_up.is_none()) {
            let message = format!("node {} has not caught up with the metadata log", voter.id);
            return Err((ErrorCode::RequestTimedOut, message));
        }
        Ok(())
    }

    /// Removes a voter, perhaps ourselves.
    pub(super) fn on_remove_voter_request(
        &mut self,
        now: Instant,
        token: Token,
        request: &RemoveVoterRequest,
    ) {
        match self.judge_removal(request) {
            Ok(voters) => {
                let deadline = now + self.settings().request_timeout;
                self.write_voters(now, voters, Some(Asker::ToRemove(token)), deadline);
            }
            Err((error, message)) => {
                self.answer_asker(Asker::ToRemove(token), error, Some(message));
            }
        }
    }

    fn judge_removal(&self, request: &RemoveVoterRequest) -> Result<VoterSet, Refusal> {
        self.check_leads(request.cluster_id.as_ref())?;
        if request.voter.id.0 < 0 || request.voter.directory_id.is_none() {
            return Err(invalid("the voter to be removed needs an id and a directory id"));
        }
        self.check_may_change()?;
        let known = self.voters().voter(request.voter.id);
        if known.is_none_or(|known| known.key != request.voter) {
            let id = request.voter.id;
            let message = format!("node {id} with that directory is no voter");
            return Err((ErrorCode::VoterNotFound, message));
        }
        if self.voters().len() == 1 {
            let message = "the only voter cannot be removed".to_owned();
            return Err((ErrorCode::VoterNotFound, message));
        }
        Ok(self.voters().without(request.voter.id))
    }

    /// A voter says where it is reached and what it knows. Answered at once: nobody waits for the commit.
    pub(super) fn on_update_voter_request(
        &mut self,
        now: Instant,
        token: Token,
        request: UpdateVoterRequest,
    ) {
        let verdict = self.judge_update(&request);
        if verdict.is_ok() {
            let deadline = now + self.settings().request_timeout;
            let voters = self.voters().with(request.voter);
            self.write_voters(now, voters, None, deadline);
        }
        let answer = self.answer(verdict.err().unwrap_or(ErrorCode::None));
        self.push(Ready::Respond(token, Response::UpdateVoter(answer), None));
    }

    fn judge_update(&self, request: &UpdateVoterRequest) -> Result<(), ErrorCode> {
        if let Some(error) =
            self.refuses_as_leader(request.cluster_id.as_ref(), request.leader_epoch)
        {
            return Err(error);
        }
        let voter = &request.voter;
        let has_endpoint =
            voter.endpoints.iter().any(|one| one.name == self.settings().listener_name);
        let range = voter.kraft_version_min..=voter.kraft_version_max;
        if voter.key.directory_id.is_none() || !has_endpoint || range.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        self.check_may_change().map_err(|(error, _)| error)?;
        if !range.contains(&self.history().kraft_version()) {
            return Err(ErrorCode::InvalidRequest);
        }
        if self.voters().voter(voter.key.id).is_none_or(|known| known.key != voter.key) {
            return Err(ErrorCode::VoterNotFound);
        }
        Ok(())
    }

    fn check_leads(&self, cluster_id: Option<&ClusterId>) -> Result<(), Refusal> {
        match self.refuses_as_leader(cluster_id, self.epoch()) {
            None => Ok(()),
            Some(ErrorCode::InconsistentClusterId) => {
                let message = "this is another cluster".to_owned();
                Err((ErrorCode::InconsistentClusterId, message))
            }
            Some(error) => Err((error, "this node does not lead the quorum".to_owned())),
        }
    }

    /// The rules that keep any two majorities in touch.
    fn check_may_change(&self) -> Result<(), Refusal> {
        let busy = |message: &str| Err((ErrorCode::RequestTimedOut, message.to_owned()));
        let RoleState::Leader(leader) = self.role_state() else {
            return Err((ErrorCode::NotLeaderOrFollower, String::new()));
        };
        if leader.change.is_some() {
            return busy("another change of the voters is under way");
        }
        let Some(committed) = leader.high_watermark else {
            return busy("the leader has not committed a record of its epoch yet");
        };
        if self.history().kraft_version() == 0 {
            let message = "the voters of a static quorum (kraft.version 0) cannot be changed";
            return Err((ErrorCode::UnsupportedVersion, message.to_owned()));
        }
        if self.history().last_offset().is_some_and(|offset| offset >= committed) {
            return busy("the last change of the voters is not committed yet");
        }
        Ok(())
    }

    /// Appends the new voters, who count from here on.
    fn write_voters(
        &mut self,
        now: Instant,
        voters: VoterSet,
        asker: Option<Asker>,
        deadline: Instant,
    ) {
        let epoch = self.epoch();
        let offset = self.log_mut().append(epoch, 1);
        self.history_mut().add(offset, VoterChange::Voters(voters.clone()));
        let (local, flushed) = (self.local(), self.log().flushed());
        let check_quorum = now + self.settings().check_quorum_timeout();
        if let RoleState::Leader(leader) = self.role_state_mut() {
            leader.adopt(&voters, local, flushed, check_quorum);
            leader.change = Some(Change { asker, stage: Stage::Written(offset), deadline });
        }
        tracing::info!(
            voters = ?voters.ids().map(|id| id.0).collect::<Vec<_>>(),
            offset = offset.value(),
            "the voters of the metadata quorum change"
        );
        let place = OffsetAndEpoch { offset, epoch };
        self.push(Ready::AppendVoters(VotersWritten { place, voters }));
    }

    /// Whether this replica stands for election: it votes, or it did until a change that may not be committed yet. Then its
    /// log may be the only one with that change, which those who are left cannot do without: they would not be elected
    /// by it, and it must bring the change to them. It counts itself no more.
    pub(super) fn may_stand(&self) -> bool {
        let (local, history) = (self.local(), self.history());
        let is_open = history.last_offset().is_some_and(|offset| {
            self.high_watermark().is_none_or(|committed| offset >= committed)
        });
        let voted = history.before_last().is_some_and(|voters| voters.contains(&local));
        self.is_voter() || (is_open && voted && self.voters().voter(local.id).is_none())
    }

    /// Tells who waits for a change that it is committed.
    pub(super) fn settle_change(&mut self, committed: Offset) {
        let RoleState::Leader(leader) = self.role_state_mut() else { return };
        let is_committed = |change: &mut Change| matches!(change.stage, Stage::Written(offset) if offset < committed);
        let done = leader.change.take_if(is_committed);
        if let Some(asker) = done.and_then(|change| change.asker) {
            self.answer_asker(asker, ErrorCode::None, None);
        }
    }

    /// Pursues the change under way; true when we resign because we vote no more.
    pub(super) fn poll_change(&mut self, now: Instant) -> bool {
        let local = self.local();
        let is_committed = |committed: Offset| {
            self.history().last_offset().is_none_or(|offset| offset < committed)
        };
        let RoleState::Leader(leader) = self.role_state() else { return false };
        if !self.is_voter() && leader.high_watermark.is_some_and(is_committed) {
            let successors = leader.successors(local.id);
            self.become_resigned(now, successors);
            return true;
        }
        let is_gone = match &leader.change {
            None => return false,
            Some(change) => change.deadline <= now || self.is_unanswered(change),
        };
        let RoleState::Leader(leader) = self.role_state_mut() else { return false };
        if is_gone {
            if let Some(asker) = leader.change.take().and_then(|change| change.asker) {
                let message = "the change of the voters takes too long".to_owned();
                self.answer_asker(asker, ErrorCode::RequestTimedOut, Some(message));
            }
            return false;
        }
        let Some(change) = &mut leader.change else { return false };
        let deadline = change.deadline;
        if let Stage::Asking { voter, endpoints, is_asked, .. } = &mut change.stage
            && !*is_asked
        {
            let (to, endpoints) = (voter.id, endpoints.clone());
            if self.requests().ready_at(to) <= now {
                self.note_asked();
            }
            self.send_when_ready(now, to, Request::Versions(VersionsRequest { endpoints }));
        }
        self.wake_at(deadline);
        false
    }

    fn note_asked(&mut self) {
        if let RoleState::Leader(leader) = self.role_state_mut()
            && let Some(Change { stage: Stage::Asking { is_asked, .. }, .. }) = &mut leader.change
        {
            *is_asked = true;
        }
    }

    /// The new voter was asked, and will not answer.
    fn is_unanswered(&self, change: &Change) -> bool {
        match &change.stage {
            Stage::Asking { voter, is_asked, .. } => {
                *is_asked && !self.requests().is_in_flight(voter.id)
            }
            Stage::Written(_) => false,
        }
    }

    /// Our leadership ends: what becomes of the change, the next leader decides.
    pub(super) fn abandon_change(&mut self, change: Option<Change>) {
        if let Some(asker) = change.and_then(|change| change.asker) {
            self.answer_asker(asker, ErrorCode::NotLeaderOrFollower, None);
        }
    }

    fn answer_asker(&mut self, asker: Asker, error: ErrorCode, message: Option<String>) {
        let answer = VoterAnswer { error, message };
        let (token, response) = match asker {
            Asker::ToAdd(token) => (token, Response::AddVoter(answer)),
            Asker::ToRemove(token) => (token, Response::RemoveVoter(answer)),
        };
        self.push(Ready::Respond(token, response, None));
    }

    /// What a follower wants changed about itself: the voters' record of it is old, or it would like to vote.
    pub(super) fn wanted_change(&self) -> Option<Request> {
        let settings = self.settings();
        if self.history().kraft_version() == 0 || settings.endpoints.is_empty() {
            return None;
        }
        let (cluster_id, local) = (Some(self.cluster_id()), self.local());
        let known = self.voters().voter(local.id);
        if self.is_voter() {
            let (kraft_version_min, kraft_version_max) = KRAFT_VERSIONS;
            let endpoints = settings.endpoints.clone();
            let voter = Voter { key: local, endpoints, kraft_version_min, kraft_version_max };
            return (known != Some(&voter)).then(|| {
                let leader_epoch = self.epoch();
                Request::UpdateVoter(UpdateVoterRequest { cluster_id, leader_epoch, voter })
            });
        }
        if !settings.joins_by_itself || local.directory_id.is_none() {
            return None;
        }
        Some(match known {
            // We had another disk once.
            Some(former) => {
                Request::RemoveVoter(RemoveVoterRequest { cluster_id, voter: former.key })
            }
            None => Request::AddVoter(AddVoterRequest {
                cluster_id,
                voter: local,
                endpoints: settings.endpoints.clone(),
                acknowledge_when_committed: false,
            }),
        })
    }

    /// The leader's word about a change that we wanted; when it is not yet so we ask again later.
    pub(super) fn on_change_response(&mut self, answer: &VoterAnswer) -> bool {
        let VoterAnswer { error, message } = answer;
        tracing::info!(?error, message, "the leader was asked for a change of the voters");
        *error == ErrorCode::None
    }

    /// The leader's word about the update that we wanted.
    pub(super) fn on_update_voter_response(&mut self, now: Instant, answer: &Answer) -> bool {
        tracing::info!(error = ?answer.error, "the leader was asked for an update of this voter");
        self.on_answer(now, answer).unwrap_or(answer.error == ErrorCode::None)
    }

    /// True for nodes we have something to do with: others need no connection.
    pub(super) fn speaks_with(&self, node: NodeId) -> bool {
        let is_newcomer = matches!(
            self.role_state(),
            RoleState::Leader(leader)
                if matches!(&leader.change, Some(Change { stage: Stage::Asking { voter, .. }, .. }) if voter.id == node)
        );
        is_newcomer
            || self.voters().voter(node).is_some()
            || self.leader() == Some(node)
            || self.settings().bootstrap.contains(&node)
            || (node == LEADER_FOR_CHANGES && self.requests().is_in_flight(node))
    }
}

fn invalid(message: &str) -> Refusal {
    (ErrorCode::InvalidRequest, message.to_owned())
}
