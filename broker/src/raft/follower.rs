use std::time::Duration;

use super::quorum::Quorum;
use super::ready::{
    FetchOutcome, FetchRequest, FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse,
    FetchedBatch, Ready, Request, RequestId,
};
use super::reconfiguration::LEADER_FOR_CHANGES;
use super::role::RoleState;
use super::voters::{Endpoint, ReplicaKey};
use crate::environment::Instant;
use crate::model::{ErrorCode, LeaderEpoch, NodeId, Offset, OffsetAndEpoch};

/// Fetches from the leader of its epoch.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    /// Whom it follows.
    pub(super) leader: NodeId,
    /// Where the leader can be reached; never empty.
    pub(super) leader_endpoints: Vec<Endpoint>,
    /// Whom we voted for in this epoch.
    pub(super) voted: Option<ReplicaKey>,
    /// When the leader counts as lost.
    pub(super) fetch_deadline: Instant,
    /// Whether this leader has answered a fetch yet. Until then pre-votes are granted: the leader may be long dead.
    pub(super) has_fetched: bool,
    /// How often the leader's connections were refused since it answered last.
    pub(super) refusals: u8,
    /// When the leader may be asked for a change of the voters that we want.
    pub(super) change_at: Instant,
    /// The snapshot being fetched, and how many bytes of it are here.
    pub(super) snapshot: Option<(OffsetAndEpoch, u64)>,
}

/// So often the leader's connections are refused before its followers believe that it is gone. After the first time they
/// let others stand for election: whoever stands has been refused again and finds them ready.
const REFUSALS_BELIEVED: u8 = 2;

impl Quorum {
    /// Begins to follow `leader`.
    pub(super) fn become_follower(
        &mut self,
        now: Instant,
        epoch: LeaderEpoch,
        leader: NodeId,
        leader_endpoints: Vec<Endpoint>,
    ) {
        assert!(epoch >= self.epoch(), "an epoch is never left for an older one");
        assert!(leader != self.local().id, "nobody follows itself");
        let voted = if epoch == self.epoch() { self.voted() } else { None };
        let state = self.fresh_follower(now, leader, leader_endpoints, voted);
        self.enter(epoch, RoleState::Follower(state));
        self.reset_requests();
    }

    pub(super) fn fresh_follower(
        &self,
        now: Instant,
        leader: NodeId,
        leader_endpoints: Vec<Endpoint>,
        voted: Option<ReplicaKey>,
    ) -> Follower {
        Follower {
            leader,
            leader_endpoints,
            voted,
            fetch_deadline: now + self.settings().fetch_timeout,
            has_fetched: false,
            refusals: 0,
            change_at: now + self.settings().fetch_timeout,
            snapshot: None,
        }
    }

    /// Fetches; a voter that cannot for too long wonders whether there should be an election, an observer asks around.
    pub(super) fn poll_follower(&mut self, now: Instant) -> bool {
        let RoleState::Follower(state) = self.role_state() else { return false };
        let (leader, deadline, snapshot) = (state.leader, state.fetch_deadline, state.snapshot);
        if deadline <= now {
            if self.may_stand() {
                self.become_prospective(now);
                return true;
            }
            self.fetch_from_anyone(now);
            return false;
        }
        self.wake_at(deadline);
        self.ask_for_change(now);
        match snapshot {
            Some((id, position)) => {
                let request = Request::FetchSnapshot(FetchSnapshotRequest {
                    cluster_id: Some(self.cluster_id()),
                    replica: self.local(),
                    leader_epoch: self.epoch(),
                    snapshot: id,
                    position,
                });
                self.send_when_ready(now, leader, request);
            }
            None => self.fetch_from(now, leader),
        }
        false
    }

    /// Says to the leader, now and then, what should be changed about us as a voter.
    fn ask_for_change(&mut self, now: Instant) {
        let Some(request) = self.wanted_change() else { return };
        let next = now + self.settings().fetch_timeout;
        let RoleState::Follower(state) = self.role_state_mut() else { return };
        if state.change_at <= now {
            state.change_at = next;
            self.send_when_ready(now, LEADER_FOR_CHANGES, request);
        }
        let RoleState::Follower(state) = self.role_state_mut() else { return };
        let at = state.change_at;
        self.wake_at(at);
    }

    /// Asks any node we know an address of; its answer tells who leads.
    pub(super) fn fetch_from_anyone(&mut self, now: Instant) {
        let known = self.nodes_to_ask();
        let Some(count) = u64::try_from(known.len()).ok().filter(|count| *count > 0) else {
            return;
        };
        let pick = usize::try_from(self.random() % count).unwrap_or(0);
        self.fetch_from(now, known[pick]);
    }

    /// Fetches from `to`, unless some fetch is on its way. Asking for what comes after the end of the log says that all below
    /// is safe here, so who votes, or may, makes it so first.
    fn fetch_from(&mut self, now: Instant, to: NodeId) {
        let ready_at = self.requests().all_ready_at(now).max(self.requests().ready_at(to));
        if ready_at > now {
            self.wake_at(ready_at);
            return;
        }
        // A controller may have been made a voter without having read of it.
        if self.is_voter() || !self.settings().endpoints.is_empty() {
            self.flush_log();
        }
        let last = self.log().last();
        let request = Request::Fetch(FetchRequest {
            cluster_id: Some(self.cluster_id()),
            replica: self.local(),
            leader_epoch: self.epoch(),
            fetch_offset: last.offset,
            last_fetched_epoch: last.epoch,
            high_watermark: Some(self.high_watermark().unwrap_or(Offset::ZERO)),
            wait_max: self.settings().fetch_wait(),
        });
        self.send_when_ready(now, to, request);
    }

    /// Takes in what the leader answered; false when it could not be used.
    pub(super) fn on_fetch_response(
        &mut self,
        now: Instant,
        id: RequestId,
        response: FetchResponse,
    ) -> bool {
        if let Some(is_handled) = self.on_answer(now, &response.answer) {
            return is_handled;
        }
        if response.answer.error != ErrorCode::None || self.following().is_none() {
            return false;
        }
        // Only where the logs agree does the leader's high watermark say something about ours.
        let agreed = matches!(response.outcome, FetchOutcome::Records(_));
        let is_useful = match response.outcome {
            FetchOutcome::Records(batches) => self.take_in(id, batches),
            FetchOutcome::Diverging(diverging) => self.truncate_to(diverging),
            FetchOutcome::Snapshot(snapshot) => self.begin_snapshot(snapshot),
        };
        if !is_useful {
            return false;
        }
        if let Some(leaders) = response.high_watermark
            && agreed
        {
            self.advance_high_watermark(leaders.min(self.log().end()));
        }
        self.on_leader_alive(now);
        true
    }

    /// Appends the batches that continue our log, as many as do.
    fn take_in(&mut self, id: RequestId, batches: Vec<FetchedBatch>) -> bool {
        let (mut count, offered) = (0, batches.len());
        for batch in batches {
            let is_next = batch.base_offset == self.log().end()
                && batch.last_offset >= batch.base_offset
                && (self.log().last_epoch()..=self.epoch()).contains(&batch.epoch);
            if !is_next {
                break;
            }
            let records = batch.last_offset.distance_from(batch.base_offset).saturating_add(1);
            self.log_mut().append(batch.epoch, records);
            for (offset, change) in batch.changes {
                self.history_mut().add(offset, change);
            }
            count += 1;
        }
        if count > 0 {
            self.push(Ready::AppendFetched(id, count));
        }
        count > 0 || offered == 0
    }

    /// Cuts what the leader does not have. What is committed it must have: a leader that says otherwise is not believed.
    fn truncate_to(&mut self, diverging: OffsetAndEpoch) -> bool {
        let end = self.log().truncation_point(diverging);
        if self.high_watermark().is_some_and(|committed| end < committed) {
            tracing::error!(
                end = end.value(),
                high_watermark = self.high_watermark().map(Offset::value),
                "the leader asks to cut committed records; refused"
            );
            return false;
        }
        self.log_mut().truncate(end);
        let end = self.log().end();
        self.history_mut().truncate(end);
        self.push(Ready::Truncate(end));
        true
    }

    fn begin_snapshot(&mut self, snapshot: OffsetAndEpoch) -> bool {
        let is_ahead = snapshot.offset > self.log().start()
            && self.high_watermark().is_none_or(|committed| snapshot.offset > committed);
        if let RoleState::Follower(state) = self.role_state_mut()
            && is_ahead
        {
            state.snapshot = Some((snapshot, 0));
            return true;
        }
        false
    }

    /// Takes in a part of a snapshot; false when it could not be used.
    pub(super) fn on_fetch_snapshot_response(
        &mut self,
        now: Instant,
        id: RequestId,
        response: &FetchSnapshotResponse,
    ) -> bool {
        if let Some(is_handled) = self.on_answer(now, &response.answer) {
            return is_handled;
        }
        let RoleState::Follower(state) = self.role_state_mut() else { return false };
        let Some((snapshot, position)) = state.snapshot else { return false };
        let end = response.position.saturating_add(response.length_bytes);
        let is_next = response.answer.error == ErrorCode::None
            && response.snapshot == snapshot
            && response.position == position
            && end <= response.size_bytes
            && (response.length_bytes > 0 || end == response.size_bytes);
        if !is_next {
            // The snapshot is gone, or something else came: begin anew with a fetch, which names the newest one.
            state.snapshot = None;
            return false;
        }
        state.snapshot = Some((snapshot, end));
        self.push(Ready::WriteSnapshot(id, snapshot, position));
        if end == response.size_bytes {
            self.push(Ready::InstallSnapshot(snapshot));
            self.log_mut().reset(snapshot);
            if let RoleState::Follower(state) = self.role_state_mut() {
                state.snapshot = None;
            }
            self.advance_high_watermark(snapshot.offset);
        }
        self.on_leader_alive(now);
        true
    }

    /// The leader has resigned: shortens the wait by our place among its successors (the first does not wait, one that is not
    /// among them waits longest). It will not answer again in this epoch, so there is nobody to protect from pre-votes.
    pub(super) fn on_leader_resigned(&mut self, now: Instant, successors: &[ReplicaKey]) {
        let local = self.local();
        let is_us = |key: &ReplicaKey| {
            key.id == local.id
                && (key.directory_id.is_none() || key.directory_id == local.directory_id)
        };
        let place = successors.iter().position(is_us).unwrap_or(successors.len());
        let wait = self.settings().succession_backoff(place, successors.len());
        if let RoleState::Follower(state) = self.role_state_mut() {
            state.fetch_deadline = now + wait;
            state.has_fetched = false;
        }
    }

    /// Nobody listens where `node` should be. If that is our leader nobody need wait out the fetch time-out: an observer asks
    /// around, and voters stand for election one after the other, so that they do not split the vote. A leader that lives
    /// is not disturbed: those who hear it refuse their pre-votes.
    pub(super) fn on_refused(&mut self, now: Instant, node: NodeId) {
        let wait = self.place_after(node).map_or(Duration::ZERO, |(place, count)| {
            self.settings().succession_backoff(place, count)
        });
        if let RoleState::Follower(state) = self.role_state_mut()
            && state.leader == node
        {
            state.refusals = state.refusals.saturating_add(1);
            state.has_fetched = false;
            if state.refusals == REFUSALS_BELIEVED {
                state.fetch_deadline = state.fetch_deadline.min(now + wait);
            }
        }
    }

    /// Our place among the voters that are left without `leader`, and how many those are: whoever comes after it in the
    /// order of ids is the first.
    fn place_after(&self, leader: NodeId) -> Option<(usize, usize)> {
        let local = self.local().id;
        let (before, after): (Vec<_>, Vec<_>) =
            self.voters().ids().filter(|id| *id != leader).partition(|id| *id < leader);
        let place = after.iter().chain(&before).position(|id| *id == local)?;
        Some((place, before.len() + after.len()))
    }

    fn on_leader_alive(&mut self, now: Instant) {
        let deadline = now + self.settings().fetch_timeout;
        if let RoleState::Follower(state) = self.role_state_mut() {
            state.fetch_deadline = deadline;
            state.has_fetched = true;
            state.refusals = 0;
        }
    }
}
