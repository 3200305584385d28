use uuid::Uuid;

use super::{ClassicGroup, Member, Step, error_of_failed_write, supersede};
use crate::coordinator::group::requests::{
    GroupState, InstanceId, JoinOutcome, JoinRequest, Joined, MemberIdentity, Protocol,
};
use crate::coordinator::group::{GroupReply, GroupToken, TimerKey, Written};
use crate::coordinator::machine::RequestId;
use crate::model::{ErrorCode, GroupId, MemberId};

/// A new member may be silent for as long: until its first `JoinGroup` is answered it has no id to send heartbeats with.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1_000;

/// A static member's new id, waiting to be stored; what it takes to undo it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StaticReplacement {
    pub(crate) group: GroupId,
    pub(crate) instance: InstanceId,
    pub(crate) old: Box<Member>,
    pub(crate) new: MemberId,
    /// What the member is told when the write succeeds.
    answer: Box<Joined>,
    request: RequestId,
}

impl ClassicGroup {
    /// Takes a `JoinGroup`, and says whether it may stay in the group.
    pub(crate) fn join(
        &mut self,
        step: &mut Step<'_>,
        request: RequestId,
        mut join: JoinRequest,
        fresh: Uuid,
    ) {
        if join.rebalance_timeout_ms < 0 {
            join.rebalance_timeout_ms = join.session_timeout_ms;
        }
        if !self.has_room_for(join.member_id.as_ref(), step.settings.max_size) {
            if let Some(id) = &join.member_id {
                let member = self.remove(id);
                step.timers.cancel(&TimerKey::Session(self.id.clone(), id.clone()));
                supersede(step, member.and_then(|member| member.awaiting_sync));
            }
            step.effects.answer(request, Err(ErrorCode::GroupMaxSizeReached));
            self.complete_join_if_all_joined(step);
        } else if !self.supports(&join.protocol_type, &join.protocols) {
            step.effects.answer(request, Err(ErrorCode::InconsistentGroupProtocol));
        } else if let Some(id) = join.member_id.clone() {
            self.join_known(step, request, join, &id);
        } else {
            self.join_new(step, request, join, fresh);
        }
    }

    /// A group that shrank its limit keeps whom it has until the next rebalance; then the last to rejoin stay out.
    fn has_room_for(&self, member: Option<&MemberId>, max_size: i32) -> bool {
        let max_size = usize::try_from(max_size).unwrap_or(0);
        let known = member.and_then(|id| self.member(id));
        match self.state() {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                known.is_some_and(|member| member.awaiting_join.is_some())
                    || self.awaiting_join_count() < max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                known.is_some() || self.member_count() < max_size
            }
        }
    }

    fn join_new(
        &mut self,
        step: &mut Step<'_>,
        request: RequestId,
        join: JoinRequest,
        fresh: Uuid,
    ) {
        let Some(instance) = join.instance_id.clone() else {
            let id = MemberId::new(format!("{}-{fresh}", join.client_id));
            if join.must_know_member_id {
                self.pending_joins.insert(id.clone());
                self.schedule_session(step, &id, join.session_timeout_ms);
                step.effects
                    .answer(request, Ok(GroupReply::Join(JoinOutcome::MemberIdRequired(id))));
            } else {
                self.add_and_rebalance(step, request, join, &id);
            }
            return;
        };
        let id = MemberId::new(format!("{instance}-{fresh}"));
        match self.static_member(&instance).cloned() {
            Some(old) => self.replace_and_rebalance(step, request, join, instance, (old, id)),
            None => self.add_and_rebalance(step, request, join, &id),
        }
    }

    fn join_known(
        &mut self,
        step: &mut Step<'_>,
        request: RequestId,
        join: JoinRequest,
        id: &MemberId,
    ) {
        if self.pending_joins.contains(id) {
            if join.instance_id.is_some() {
                // Ids are only given out first to members without an instance id.
                step.effects.answer(request, Err(ErrorCode::UnknownMemberId));
            } else {
                self.add_and_rebalance(step, request, join, id);
            }
            return;
        }
        let identity =
            MemberIdentity { member_id: Some(id.clone()), instance_id: join.instance_id.clone() };
        if let Err(error) = self.validate(&identity) {
            step.effects.answer(request, Err(error));
            return;
        }
        let is_unchanged = self.member(id).is_some_and(|member| member.protocols == join.protocols);
        match self.state() {
            GroupState::PreparingRebalance => self.update_and_rebalance(step, request, join, id),
            GroupState::CompletingRebalance | GroupState::Stable => {
                // A leader that joins a stable group again asks for a rebalance: it saw something we cannot see.
                let wants_rebalance = self.state() == GroupState::Stable && self.is_leader(id);
                if is_unchanged && !wants_rebalance {
                    step.effects.answer(request, Ok(GroupReply::join(self.joined(id))));
                } else {
                    self.update_and_rebalance(step, request, join, id);
                }
            }
            GroupState::Empty | GroupState::Dead => {
                step.effects.answer(request, Err(ErrorCode::UnknownMemberId));
            }
        }
    }

    fn add_and_rebalance(
        &mut self,
        step: &mut Step<'_>,
        request: RequestId,
        join: JoinRequest,
        id: &MemberId,
    ) {
        if self.state() == GroupState::PreparingRebalance
            && self.previous_state() == GroupState::Empty
        {
            self.is_member_added = true;
        }
        if self.member_count() == 0 {
            self.protocol_type = Some(join.protocol_type);
        }
        let reason = join.reason.unwrap_or_else(|| "not provided".to_owned());
        tracing::info!(group = %self.id, member = %id, instance = ?join.instance_id, reason, "member joins");
        self.insert(Member {
            id: id.clone(),
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            protocols: join.protocols,
            assignment: bytes::Bytes::new(),
            awaiting_join: Some(request),
            awaiting_sync: None,
            is_new: true,
        });
        self.schedule_session(step, id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance_or_complete_join(step, "a member joined");
    }

    fn update_and_rebalance(
        &mut self,
        step: &mut Step<'_>,
        request: RequestId,
        join: JoinRequest,
        id: &MemberId,
    ) {
        let earlier = self.member(id).and_then(|member| member.awaiting_join);
        supersede(step, earlier);
        let timeouts = (join.session_timeout_ms, join.rebalance_timeout_ms);
        self.update(id, join.protocols, timeouts, Some(request));
        self.rebalance_or_complete_join(step, "a member joined again");
    }

    /// A static member came back without its id: it gets a new one and whoever used the old one is fenced.
    fn replace_and_rebalance(
        &mut self,
        step: &mut Step<'_>,
        request: RequestId,
        join: JoinRequest,
        instance: InstanceId,
        (old, new): (MemberId, MemberId),
    ) {
        let leader_before = self.leader().cloned();
        tracing::info!(group = %self.id, old = %old, new = %new, instance = %instance, "static member replaced");
        step.timers.cancel(&TimerKey::Session(self.id.clone(), old.clone()));
        let Some(before) = self.replace_static(&old, &new) else { return };
        for fenced in [before.awaiting_join, before.awaiting_sync].into_iter().flatten() {
            step.effects.answer(fenced, Err(ErrorCode::FencedInstanceId));
        }
        let can_skip_assignment = join.can_skip_assignment;
        let timeouts = (join.session_timeout_ms, join.rebalance_timeout_ms);
        self.update(&new, join.protocols, timeouts, Some(request));
        self.extend_session(step, &new);
        match self.state() {
            GroupState::Stable if self.select_protocol() == self.protocol_name => {
                let mut answer = self.joined(&new);
                if can_skip_assignment {
                    answer.skip_assignment = self.is_leader(&new);
                } else {
                    // An old client that found itself the leader would assign; so it is told the leader's old id.
                    answer.members = Vec::new();
                    answer.leader = leader_before.unwrap_or(answer.leader);
                }
                let replacement = StaticReplacement {
                    group: self.id.clone(),
                    instance,
                    old: Box::new(Member { awaiting_join: None, awaiting_sync: None, ..before }),
                    new,
                    answer: Box::new(answer),
                    request,
                };
                self.write(step, GroupToken(Written::StaticReplaced(replacement)));
            }
            // In CompletingRebalance the leader may be assigning to the old id already: the new one would get nothing.
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.prepare_rebalance(step, "a static member was replaced");
            }
            GroupState::PreparingRebalance => self.complete_join_if_all_joined(step),
            GroupState::Empty | GroupState::Dead => {}
        }
    }

    /// The record with a static member's new id is committed, or could not be: then the old id is valid again.
    pub(crate) fn static_replaced(
        &mut self,
        step: &mut Step<'_>,
        replacement: StaticReplacement,
        result: Result<(), ErrorCode>,
    ) {
        let StaticReplacement { group: _, instance, old, new, answer, request } = replacement;
        let still_waits =
            self.member(&new).is_some_and(|member| member.awaiting_join == Some(request));
        if !still_waits {
            return;
        }
        match result {
            Ok(()) if self.state() == GroupState::Stable => {
                self.take_awaiting_join(&new);
                step.effects.answer(request, Ok(GroupReply::join(*answer)));
                self.extend_session(step, &new);
            }
            // A rebalance has begun in the meantime: its end will answer.
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(group = %self.id, member = %new, instance = %instance, %error, "static member not stored");
                self.refuse_join(step, &new, error_of_failed_write(error));
                step.timers.cancel(&TimerKey::Session(self.id.clone(), new.clone()));
                if self.replace_static(&new, &old.id).is_some() {
                    let protocols: Vec<Protocol> = old.protocols.clone();
                    self.update(
                        &old.id,
                        protocols,
                        (old.session_timeout_ms, old.rebalance_timeout_ms),
                        None,
                    );
                    self.extend_session(step, &old.id);
                }
            }
        }
    }
}
