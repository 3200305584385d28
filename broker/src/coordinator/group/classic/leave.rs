use super::{ClassicGroup, Step};
use crate::coordinator::group::TimerKey;
use crate::coordinator::group::requests::{GroupState, Leaving, MemberIdentity};
use crate::model::ErrorCode;

impl ClassicGroup {
    /// Members leave, or are removed by an administrator who names their instance ids. Answers in the order asked.
    pub(crate) fn leave(
        &mut self,
        step: &mut Step<'_>,
        members: Vec<Leaving>,
    ) -> Vec<(MemberIdentity, ErrorCode)> {
        let mut outcomes = Vec::with_capacity(members.len());
        for leaving in members {
            let error = self.leave_one(step, &leaving).err().unwrap_or(ErrorCode::None);
            outcomes.push((leaving.member, error));
        }
        if outcomes.iter().any(|(_, error)| *error == ErrorCode::None) {
            match self.state() {
                GroupState::Stable | GroupState::CompletingRebalance => {
                    self.prepare_rebalance(step, "members left");
                }
                GroupState::PreparingRebalance => self.complete_join_if_all_joined(step),
                GroupState::Empty | GroupState::Dead => {}
            }
        }
        outcomes
    }

    fn leave_one(&mut self, step: &mut Step<'_>, leaving: &Leaving) -> Result<(), ErrorCode> {
        let id = match (&leaving.member.member_id, &leaving.member.instance_id) {
            (None, Some(instance)) => {
                self.static_member(instance).cloned().ok_or(ErrorCode::UnknownMemberId)?
            }
            (Some(id), _) if self.pending_joins.remove(id) => {
                step.timers.cancel(&TimerKey::Session(self.id.clone(), id.clone()));
                return Ok(());
            }
            (Some(_), _) | (None, None) => self.validate(&leaving.member)?,
        };
        let reason = leaving.reason.as_deref().unwrap_or("not provided");
        tracing::info!(group = %self.id, member = %id, reason, "member leaves");
        self.dismiss(step, &id);
        Ok(())
    }
}
