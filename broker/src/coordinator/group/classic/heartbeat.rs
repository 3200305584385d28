use super::{ClassicGroup, Step};
use crate::coordinator::group::TimerKey;
use crate::coordinator::group::requests::{Generation, GroupState, MemberIdentity};
use crate::model::{ErrorCode, MemberId};

impl ClassicGroup {
    /// A member says it is alive, and is told when it has to join again.
    pub(crate) fn heartbeat(
        &self,
        step: &mut Step<'_>,
        member: &MemberIdentity,
        generation: Option<Generation>,
    ) -> Result<(), ErrorCode> {
        let id = self.validate(member)?;
        if generation != Some(self.generation) {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.state() {
            GroupState::Empty | GroupState::Dead => Err(ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => {
                self.extend_session(step, &id);
                Err(ErrorCode::RebalanceInProgress)
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.extend_session(step, &id);
                Ok(())
            }
        }
    }

    /// Gives a member its whole session timeout again.
    pub(crate) fn extend_session(&self, step: &mut Step<'_>, id: &MemberId) {
        if let Some(member) = self.member(id) {
            self.schedule_session(step, id, member.session_timeout_ms);
        }
    }

    pub(super) fn schedule_session(&self, step: &mut Step<'_>, id: &MemberId, timeout_ms: i32) {
        let at = step.now.instant.plus_millis(i64::from(timeout_ms));
        step.timers.schedule(TimerKey::Session(self.id.clone(), id.clone()), at);
    }

    /// A member was silent for its session timeout.
    pub(crate) fn session_timed_out(&mut self, step: &mut Step<'_>, id: &MemberId) {
        if self.pending_joins.contains(id) {
            tracing::info!(group = %self.id, member = %id, "did not come back with its new id, forgotten");
            self.remove(id);
            if self.state() == GroupState::PreparingRebalance && self.have_all_joined() {
                self.complete_join(step);
            }
            return;
        }
        // A member that waits for us gets its session back when it is answered.
        if self.member(id).is_some_and(|member| !member.waits_for_us()) {
            tracing::info!(group = %self.id, member = %id, "session expired, removed");
            self.remove_and_rebalance(step, id, "a member's session expired");
        }
    }
}
