use std::collections::BTreeMap;

use bytes::Bytes;

use super::{ClassicGroup, Step, error_of_failed_write, supersede};
use crate::coordinator::group::records::GroupRecord;
use crate::coordinator::group::requests::{Generation, GroupState, SyncRequest, Synced};
use crate::coordinator::group::{GroupReply, GroupToken, TimerKey, Written};
use crate::coordinator::machine::{RequestId, Then};
use crate::model::{ErrorCode, GroupId, MemberId};

/// The leader's assignments, waiting to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) group: GroupId,
    generation: Generation,
    assignments: BTreeMap<MemberId, Bytes>,
}

impl ClassicGroup {
    /// Takes a `SyncGroup`: the leader's is stored before anybody learns its assignment, the others wait for it.
    pub(crate) fn sync(&mut self, step: &mut Step<'_>, request: RequestId, sync: SyncRequest) {
        let id = match self.validate_sync(&sync) {
            Ok(id) => id,
            Err(error) => return step.effects.answer(request, Err(error)),
        };
        match self.state() {
            GroupState::Empty | GroupState::Dead => {
                step.effects.answer(request, Err(ErrorCode::UnknownMemberId));
            }
            GroupState::PreparingRebalance => {
                step.effects.answer(request, Err(ErrorCode::RebalanceInProgress));
            }
            GroupState::CompletingRebalance => {
                let earlier =
                    self.member_mut(&id).and_then(|member| member.awaiting_sync.replace(request));
                self.note_sync(step, &id);
                if self.is_leader(&id) && earlier.is_none() {
                    self.store_assignments(step, sync.assignments);
                }
                supersede(step, earlier);
            }
            GroupState::Stable => {
                self.note_sync(step, &id);
                step.effects.answer(request, Ok(GroupReply::Synced(self.synced(&id))));
            }
        }
    }

    fn validate_sync(&self, sync: &SyncRequest) -> Result<MemberId, ErrorCode> {
        let differs =
            |asked: &Option<String>, ours: &Option<String>| asked.is_some() && asked != ours;
        let id = self.validate(&sync.member)?;
        if sync.generation != Some(self.generation) {
            return Err(ErrorCode::IllegalGeneration);
        }
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol_name, &self.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(id)
    }

    /// Notes that a member has come for its assignment; nobody is waited for once all have.
    fn note_sync(&mut self, step: &mut Step<'_>, id: &MemberId) {
        self.pending_syncs.remove(id);
        if self.pending_syncs.is_empty() {
            step.timers.cancel(&TimerKey::Sync(self.id.clone()));
        }
    }

    fn store_assignments(&mut self, step: &mut Step<'_>, given: Vec<(MemberId, Bytes)>) {
        let mut given: BTreeMap<MemberId, Bytes> = given.into_iter().collect();
        let assignments: BTreeMap<MemberId, Bytes> = self
            .member_ids()
            .into_iter()
            .map(|id| {
                let assignment = given.remove(&id).unwrap_or_default();
                (id, assignment)
            })
            .collect();
        let value =
            self.to_stored(|member| assignments.get(&member.id).cloned().unwrap_or_default());
        let assigned =
            Assigned { group: self.id.clone(), generation: self.generation, assignments };
        let record = GroupRecord::Group { group: self.id.clone(), value: Some(value) };
        step.effects.write(vec![record], Then::Tell(GroupToken(Written::Assigned(assigned))));
    }

    /// The leader's assignments are committed, or could not be. Nothing happens when a rebalance has begun since.
    pub(crate) fn assigned(
        &mut self,
        step: &mut Step<'_>,
        assigned: Assigned,
        result: Result<(), ErrorCode>,
    ) {
        if self.state() != GroupState::CompletingRebalance || self.generation != assigned.generation
        {
            return;
        }
        if let Err(error) = result {
            tracing::warn!(group = %self.id, %error, "assignments could not be stored");
            self.fail_syncs(step, error_of_failed_write(error));
            self.prepare_rebalance(step, "assignments could not be stored");
            return;
        }
        for (id, assignment) in assigned.assignments {
            if let Some(member) = self.member_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.transition_to(GroupState::Stable, step.now.wall);
        for id in self.member_ids() {
            let Some(request) = self.member_mut(&id).and_then(|member| member.awaiting_sync.take())
            else {
                continue;
            };
            step.effects.answer(request, Ok(GroupReply::Synced(self.synced(&id))));
            self.extend_session(step, &id);
        }
    }

    /// Refuses all held back `SyncGroup`s and forgets assignments: they were of a generation that is over.
    pub(super) fn fail_syncs(&mut self, step: &mut Step<'_>, error: ErrorCode) {
        for id in self.member_ids() {
            let Some(member) = self.member_mut(&id) else { continue };
            member.assignment = Bytes::new();
            let Some(request) = member.awaiting_sync.take() else { continue };
            step.effects.answer(request, Err(error));
            self.extend_session(step, &id);
        }
    }

    /// The time for syncing is up: who has not come is removed and the others join again.
    pub(crate) fn sync_timed_out(&mut self, step: &mut Step<'_>) {
        let is_syncing =
            matches!(self.state(), GroupState::CompletingRebalance | GroupState::Stable);
        if !is_syncing || self.pending_syncs.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.pending_syncs) {
            tracing::info!(group = %self.id, member = %id, "did not sync in time, removed");
            self.dismiss(step, &id);
        }
        self.prepare_rebalance(step, "members did not sync in time");
    }

    fn synced(&self, id: &MemberId) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: self.member(id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }
}
