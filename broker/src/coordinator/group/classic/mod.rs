//! The classic group protocol: members join, one of them assigns, all sync, all send heartbeats.
//!
//! ```text
//!            join                     all joined, or time is up
//!   Empty ─────────► PreparingRebalance ──────────────────────► CompletingRebalance
//!     ▲                │   ▲      ▲                                │          │
//!     └── all are gone ┘   │      └── join, leave, expiry, ────────┘          │ leader synced
//!                          │          leader's write failed                   ▼ and it is committed
//!                          └───────────── join, leave, expiry ───────────── Stable
//! ```
//!
//! Sources: KIP-62 (rebalance timeout), KIP-134 (initial delay), KIP-345 (static members), KIP-394 (member ids first),
//! KIP-814 (static leaders skip the assignment).

mod state;
mod join;
mod sync;
mod heartbeat;
mod leave;

pub(crate) use join::StaticReplacement;
pub(crate) use state::{ClassicGroup, Member};
pub(crate) use sync::Assigned;

use crate::coordinator::group::records::GroupRecord;
use crate::coordinator::group::requests::GroupState;
use crate::coordinator::group::{GroupEffects, GroupReply, GroupSettings, GroupToken, TimerKey};
use crate::coordinator::machine::{RequestId, Then};
use crate::coordinator::timer::{Now, Timers};
use crate::model::{ErrorCode, MemberId};

/// What every step of a group may use beside the group.
pub(crate) struct Step<'a> {
    pub(crate) now: Now,
    pub(crate) settings: &'a GroupSettings,
    pub(crate) timers: &'a mut Timers<TimerKey>,
    pub(crate) effects: &'a mut GroupEffects,
}

impl ClassicGroup {
    /// Begins a rebalance if the state allows, else looks whether the one under way is complete.
    fn rebalance_or_complete_join(&mut self, step: &mut Step<'_>, reason: &str) {
        if self.can_rebalance() {
            self.prepare_rebalance(step, reason);
        } else {
            self.complete_join_if_all_joined(step);
        }
    }

    /// Begins a rebalance: all members have to join again.
    pub(crate) fn prepare_rebalance(&mut self, step: &mut Step<'_>, reason: &str) {
        if self.state() == GroupState::CompletingRebalance {
            self.fail_syncs(step, ErrorCode::RebalanceInProgress);
        }
        step.timers.cancel(&TimerKey::Sync(self.id.clone()));
        let is_initial = self.state() == GroupState::Empty;
        tracing::info!(group = %self.id, generation = self.generation.0, reason, "rebalance begins");
        self.transition_to(GroupState::PreparingRebalance, step.now.wall);
        if is_initial {
            let delay_ms = step.settings.initial_rebalance_delay_ms;
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            self.is_member_added = false;
            self.initial_delay = Some((delay_ms, remaining_ms));
            self.schedule_join(step, delay_ms);
        } else {
            self.initial_delay = None;
            if self.have_all_joined() {
                self.complete_join(step);
            } else {
                self.schedule_join(step, self.rebalance_timeout_ms());
            }
        }
    }

    fn schedule_join(&self, step: &mut Step<'_>, after_ms: i32) {
        step.timers.schedule(
            TimerKey::Join(self.id.clone()),
            step.now.instant.plus_millis(i64::from(after_ms)),
        );
    }

    /// Ends the join phase when everybody is there; an initial rebalance always waits for its delay.
    fn complete_join_if_all_joined(&mut self, step: &mut Step<'_>) {
        let is_initial = self.previous_state() == GroupState::Empty;
        if self.state() == GroupState::PreparingRebalance && !is_initial && self.have_all_joined() {
            self.complete_join(step);
        }
    }

    /// The time for joining is up, or a piece of the initial delay.
    pub(crate) fn join_timed_out(&mut self, step: &mut Step<'_>) {
        if self.state() != GroupState::PreparingRebalance {
            return;
        }
        match self.initial_delay {
            Some((delay_ms, remaining_ms)) if self.is_member_added && remaining_ms > 0 => {
                self.is_member_added = false;
                let next_ms = step.settings.initial_rebalance_delay_ms.min(remaining_ms);
                self.initial_delay = Some((next_ms, remaining_ms.saturating_sub(delay_ms).max(0)));
                self.schedule_join(step, next_ms);
            }
            Some(_) | None => self.complete_join(step),
        }
    }

    /// Ends the join phase with those who are there.
    pub(crate) fn complete_join(&mut self, step: &mut Step<'_>) {
        step.timers.cancel(&TimerKey::Join(self.id.clone()));
        for id in self.not_yet_rejoined() {
            tracing::info!(group = %self.id, member = %id, "did not rejoin in time, removed");
            self.remove(&id);
            step.timers.cancel(&TimerKey::Session(self.id.clone(), id));
        }
        if !self.elect_joined_leader() && self.member_count() > 0 {
            // Only static members are left and none of them has come back: wait on, until their sessions end.
            // A time-out of nothing would come round and round without end.
            self.schedule_join(step, self.rebalance_timeout_ms().max(STATIC_WAIT_MIN_MS));
            return;
        }
        self.initial_delay = None;
        self.begin_next_generation(step.now.wall);
        if self.state() == GroupState::Empty {
            tracing::info!(group = %self.id, generation = self.generation.0, "group is empty");
            let value = Some(self.to_stored(|member| member.assignment.clone()));
            step.effects
                .write(vec![GroupRecord::Group { group: self.id.clone(), value }], Then::Nothing);
            return;
        }
        tracing::info!(
            group = %self.id, generation = self.generation.0, members = self.member_count(), "members have joined"
        );
        for id in self.member_ids() {
            self.answer_join(step, &id);
            self.extend_session(step, &id);
            if let Some(member) = self.member_mut(&id) {
                member.is_new = false;
            }
            self.pending_syncs.insert(id);
        }
        let after = step.now.instant.plus_millis(i64::from(self.rebalance_timeout_ms()));
        step.timers.schedule(TimerKey::Sync(self.id.clone()), after);
    }

    /// Answers a held back `JoinGroup` with the present generation.
    fn answer_join(&mut self, step: &mut Step<'_>, id: &MemberId) {
        if let Some(request) = self.take_awaiting_join(id) {
            step.effects.answer(request, Ok(GroupReply::join(self.joined(id))));
        }
    }

    /// Refuses a held back `JoinGroup`.
    fn refuse_join(&mut self, step: &mut Step<'_>, id: &MemberId, error: ErrorCode) {
        if let Some(request) = self.take_awaiting_join(id) {
            step.effects.answer(request, Err(error));
        }
    }

    /// Removes a member and lets the others know.
    fn remove_and_rebalance(&mut self, step: &mut Step<'_>, id: &MemberId, reason: &str) {
        self.dismiss(step, id);
        match self.state() {
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.prepare_rebalance(step, reason);
            }
            GroupState::PreparingRebalance if self.have_all_joined() => self.complete_join(step),
            GroupState::PreparingRebalance | GroupState::Empty | GroupState::Dead => {}
        }
    }

    /// Removes a member and answers what it waits for: `UNKNOWN_MEMBER_ID` makes a living client join anew.
    fn dismiss(&mut self, step: &mut Step<'_>, id: &MemberId) {
        step.timers.cancel(&TimerKey::Session(self.id.clone(), id.clone()));
        let Some(member) = self.remove(id) else { return };
        for request in [member.awaiting_join, member.awaiting_sync].into_iter().flatten() {
            step.effects.answer(request, Err(ErrorCode::UnknownMemberId));
        }
    }

    /// Gives up a group whose first record could not be written: all that wait are told.
    pub(crate) fn abandon(&mut self, step: &mut Step<'_>, error: ErrorCode) {
        for id in self.member_ids() {
            step.timers.cancel(&TimerKey::Session(self.id.clone(), id.clone()));
            let Some(member) = self.remove(&id) else { continue };
            for request in [member.awaiting_join, member.awaiting_sync].into_iter().flatten() {
                step.effects.answer(request, Err(error));
            }
        }
        for id in std::mem::take(&mut self.pending_joins) {
            step.timers.cancel(&TimerKey::Session(self.id.clone(), id));
        }
        step.timers.cancel(&TimerKey::Join(self.id.clone()));
        step.timers.cancel(&TimerKey::Sync(self.id.clone()));
    }

    /// Writes the group as it is, with the assignments it has.
    fn write(&self, step: &mut Step<'_>, token: GroupToken) {
        let value = Some(self.to_stored(|member| member.assignment.clone()));
        step.effects
            .write(vec![GroupRecord::Group { group: self.id.clone(), value }], Then::Tell(token));
    }
}

/// How long a group waits at least before it looks again for static members that have not come back.
const STATIC_WAIT_MIN_MS: i32 = 1000;

/// The code a client is given when a group's record could not be written.
pub(crate) fn error_of_failed_write(error: ErrorCode) -> ErrorCode {
    crate::coordinator::runtime::client_error(error)
}

/// A request that a newer one of the same member takes the place of.
fn supersede(step: &mut Step<'_>, earlier: Option<RequestId>) {
    if let Some(request) = earlier {
        step.effects.answer(request, Err(ErrorCode::RebalanceInProgress));
    }
}
