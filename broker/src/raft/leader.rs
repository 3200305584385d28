use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::log_state::{LogState, Position};
use super::quorum::Quorum;
use super::ready::{
    Answer, BeginQuorumEpochRequest, EpochStart, FetchOutcome, FetchRequest, FetchResponse,
    FetchSnapshotRequest, FetchSnapshotResponse, Ready, Request, Response, Token,
};
use super::reconfiguration::Change;
use super::role::RoleState;
use super::voters::{ReplicaKey, VoterSet};
use crate::environment::Instant;
use crate::model::{ErrorCode, NodeId, Offset};

/// How long an observer that stopped fetching is remembered.
const OBSERVER_SESSION: Duration = Duration::from_mins(5);

/// How many fetches may wait at once; more are answered at once, empty.
const WAITING_MAX: usize = 10_000;

/// Was elected: appends, answers fetches, and derives from them what is committed.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    /// Where its epoch begins.
    pub(super) epoch_start: Offset,
    /// Told to followers; `None` until a record of this epoch is committed.
    pub(super) high_watermark: Option<Offset>,
    /// How far each voter is; we are among them when we vote.
    pub(super) voters: BTreeMap<NodeId, Progress>,
    /// How far the others are.
    pub(super) observers: BTreeMap<ReplicaKey, Progress>,
    /// Voters that fetched since the last renewal of the check-quorum deadline.
    fetched: BTreeSet<NodeId>,
    /// When we are no longer sure to have a majority, unless we are one alone.
    check_quorum: Instant,
    /// When silent voters are told (again) who leads.
    begin_at: Instant,
    /// Fetches without an answer yet.
    waiting: Vec<Waiting>,
    /// The change of the voters that is under way.
    pub(super) change: Option<Change>,
}

/// How far a replica is, by its fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Node and directory.
    pub(super) key: ReplicaKey,
    /// The end of its log; `None` before its first fetch.
    pub(super) end: Option<Offset>,
    /// When it fetched last.
    pub(super) last_fetch: Option<Instant>,
    /// When it last had all that we had.
    pub(super) last_caught_up: Option<Instant>,
    end_at_last_fetch: Offset,
}

impl Progress {
    pub(super) const fn unknown(key: ReplicaKey) -> Self {
        Self {
            key,
            end: None,
            last_fetch: None,
            last_caught_up: None,
            end_at_last_fetch: Offset::ZERO,
        }
    }

    /// It is caught up when it asks for what comes after our end, or after what our end was when it asked before: then it
    /// was caught up at that time.
    fn update(&mut self, now: Instant, key: ReplicaKey, end: Offset, our_end: Offset) {
        self.key = key;
        if end >= our_end {
            self.last_caught_up = Some(now);
        } else if self.end_at_last_fetch > Offset::ZERO && end >= self.end_at_last_fetch {
            self.last_caught_up = self.last_caught_up.max(self.last_fetch);
        }
        self.last_fetch = Some(now);
        self.end_at_last_fetch = self.end_at_last_fetch.max(our_end);
        self.end = Some(end);
    }
}

#[derive(Clone, Debug)]
struct Waiting {
    token: Token,
    request: FetchRequest,
    deadline: Instant,
}

impl Leader {
    fn new(
        now: Instant,
        voters: &VoterSet,
        local: ReplicaKey,
        log: &LogState,
        check_quorum: Instant,
    ) -> Self {
        let mut progress: BTreeMap<NodeId, Progress> =
            voters.iter().map(|voter| (voter.key.id, Progress::unknown(voter.key))).collect();
        if voters.contains(&local)
            && let Some(own) = progress.get_mut(&local.id)
        {
            own.end = Some(log.flushed());
        }
        Self {
            epoch_start: log.end(),
            high_watermark: None,
            voters: progress,
            observers: BTreeMap::new(),
            fetched: BTreeSet::new(),
            check_quorum,
            begin_at: now,
            waiting: Vec::new(),
            change: None,
        }
    }

    /// Other voters from here on: what is known of a replica goes with it.
    pub(super) fn adopt(
        &mut self,
        voters: &VoterSet,
        local: ReplicaKey,
        flushed: Offset,
        check_quorum: Instant,
    ) {
        let mut before = std::mem::take(&mut self.voters);
        for voter in voters.iter() {
            let key = voter.key;
            let known = match before.remove(&key.id) {
                Some(known) if known.key == key || known.key.directory_id.is_none() => Some(known),
                Some(other) => {
                    self.observers.insert(other.key, other);
                    self.observers.remove(&key)
                }
                None => self.observers.remove(&key),
            };
            let mut progress = known.unwrap_or_else(|| Progress::unknown(key));
            progress.key = key;
            if voters.contains(&local) && key.id == local.id {
                progress.end = Some(flushed);
            }
            self.voters.insert(key.id, progress);
        }
        let left = before.into_values().filter(|progress| progress.key.id != local.id);
        self.observers.extend(left.map(|progress| (progress.key, progress)));
        self.fetched.retain(|id| voters.voter(*id).is_some());
        self.check_quorum = check_quorum;
    }

    /// The offset that a majority of the voters has, unless a record of an older epoch would be the last below it: such a
    /// record may still be overwritten. Source: KIP-595; Raft §5.4.2.
    fn committed(&self) -> Option<Offset> {
        let mut ends: Vec<Option<Offset>> = self.voters.values().map(|voter| voter.end).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let end = ends.get(ends.len() / 2).copied().flatten()?;
        (end > self.epoch_start && self.high_watermark.is_none_or(|old| end > old)).then_some(end)
    }

    /// The other voters, those that are furthest first.
    pub(super) fn successors(&self, local: NodeId) -> Vec<ReplicaKey> {
        let mut voters: Vec<&Progress> =
            self.voters.values().filter(|voter| voter.key.id != local).collect();
        voters.sort_by_key(|voter| std::cmp::Reverse(voter.end));
        voters.into_iter().map(|voter| voter.key).collect()
    }

    /// Fetches that wait; whoever ends this leadership answers them.
    pub(super) fn take_waiting(&mut self) -> Vec<(Token, FetchRequest)> {
        std::mem::take(&mut self.waiting).into_iter().map(|w| (w.token, w.request)).collect()
    }
}

impl Quorum {
    /// Begins to lead the epoch it was elected for: the first record of it is written at once, since only with it anything
    /// can be committed.
    pub(super) fn become_leader(&mut self, now: Instant, granting_voters: Vec<NodeId>) {
        let (local, epoch) = (self.local(), self.epoch());
        let epoch_start = self.log().end();
        let check_quorum = now + self.settings().check_quorum_timeout();
        let state = Leader::new(now, self.voters(), local, self.log(), check_quorum);
        let is_formatted = self.log().latest_snapshot().is_some_and(|id| id.offset == Offset::ZERO);
        let has_bootstrap =
            is_formatted && self.history().kraft_version() > 0 && !self.history().is_in_log();
        let start = EpochStart {
            base_offset: epoch_start,
            epoch,
            leader: local.id,
            voters: self.voters().ids().collect(),
            granting_voters,
            bootstrap: has_bootstrap
                .then(|| (self.history().kraft_version(), self.voters().clone())),
        };
        self.enter(epoch, RoleState::Leader(state));
        self.reset_requests();
        self.log_mut().append(epoch, start.record_count());
        self.note_bootstrap(&start);
        self.push(Ready::BecameLeader(epoch, epoch_start));
        self.push(Ready::AppendEpochStart(start));
    }

    /// Watches its majority, tells silent voters who leads, answers what waited.
    pub(super) fn poll_leader(&mut self, now: Instant) -> bool {
        if self.poll_change(now) {
            return true;
        }
        let silence = self.settings().begin_interval();
        let local = self.local().id;
        let is_alone = self.voters().is_only_voter(&self.local());
        let RoleState::Leader(leader) = self.role_state_mut() else { return false };
        if !is_alone {
            let deadline = leader.check_quorum;
            if deadline <= now {
                let successors = leader.successors(local);
                self.become_resigned(now, successors);
                return true;
            }
            self.wake_at(deadline);
        }
        let RoleState::Leader(leader) = self.role_state_mut() else { return false };
        if leader.begin_at <= now {
            leader.begin_at = now + silence;
            let is_silent = |voter: &&Progress| {
                voter.key.id != local && voter.last_fetch.is_none_or(|last| last + silence <= now)
            };
            let silent: Vec<ReplicaKey> =
                leader.voters.values().filter(is_silent).map(|voter| voter.key).collect();
            for key in silent {
                self.send_begin(now, key);
            }
        }
        let RoleState::Leader(leader) = self.role_state() else { return false };
        if !is_alone {
            let begin_at = leader.begin_at;
            self.wake_at(begin_at);
        }
        self.answer_waiting(now);
        false
    }

    fn send_begin(&mut self, now: Instant, to: ReplicaKey) {
        let request = Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
            cluster_id: Some(self.cluster_id()),
            voter: Some(to),
            leader: self.local().id,
            epoch: self.epoch(),
            leader_endpoints: self.own_endpoints(),
        });
        self.send_when_ready(now, to.id, request);
    }

    /// Answers a fetch now, or lets it wait for something to say.
    pub(super) fn on_fetch_request(&mut self, now: Instant, token: Token, request: FetchRequest) {
        if let Some(error) =
            self.refuses_as_leader(request.cluster_id.as_ref(), request.leader_epoch)
        {
            self.refuse_fetch(token, error);
            return;
        }
        if request.replica.id == self.local().id {
            self.refuse_fetch(token, ErrorCode::InvalidRequest);
            return;
        }
        let outcome = self.judge_fetch(now, &request);
        let has_records = request.fetch_offset < self.log().end();
        let is_news = self.has_newer_high_watermark(&request);
        let must_wait = outcome == FetchOutcome::Records(Vec::new())
            && !has_records
            && !is_news
            && !request.wait_max.is_zero();
        if must_wait
            && let RoleState::Leader(leader) = self.role_state_mut()
            && leader.waiting.len() < WAITING_MAX
        {
            let deadline = now + request.wait_max;
            leader.waiting.push(Waiting { token, request, deadline });
            return;
        }
        self.respond_fetch(token, request.fetch_offset, outcome);
    }

    /// Compares positions, and learns from a matching one how far the replica is. Readers without an id are just answered.
    fn judge_fetch(&mut self, now: Instant, request: &FetchRequest) -> FetchOutcome {
        match self.log().validate(request.fetch_offset, request.last_fetched_epoch) {
            Position::Valid => {
                if request.replica.id.0 >= 0 {
                    self.note_progress(now, request.replica, Some(request.fetch_offset));
                }
                FetchOutcome::Records(Vec::new())
            }
            Position::Diverging(end) => FetchOutcome::Diverging(end),
            Position::Snapshot(id) => FetchOutcome::Snapshot(id),
        }
    }

    /// A replica showed itself, with this much of our log (`None`: it is fetching a snapshot).
    fn note_progress(&mut self, now: Instant, replica: ReplicaKey, end: Option<Offset>) {
        let our_end = self.log().end();
        let is_voter = self.voters().contains(&replica);
        let check_quorum = now + self.settings().check_quorum_timeout();
        let local_is_voter = self.is_voter();
        let RoleState::Leader(leader) = self.role_state_mut() else { return };
        leader.observers.retain(|_, observer| {
            observer.last_fetch.is_some_and(|last| now < last + OBSERVER_SESSION)
        });
        if let Some(end) = end {
            let progress = if is_voter {
                leader.voters.entry(replica.id).or_insert_with(|| Progress::unknown(replica))
            } else {
                leader.observers.entry(replica).or_insert_with(|| Progress::unknown(replica))
            };
            progress.update(now, replica, end, our_end);
        }
        if is_voter {
            leader.fetched.insert(replica.id);
            let others = leader.voters.len() / 2 + usize::from(!local_is_voter);
            if leader.fetched.len() >= others {
                leader.fetched.clear();
                leader.check_quorum = check_quorum;
            }
            self.commit();
        }
    }

    /// Our own log is durable up to there.
    pub(super) fn note_flushed(&mut self, end: Offset) {
        self.log_mut().flush(end);
        let flushed = self.log().flushed();
        let local = self.local();
        let is_voter = self.is_voter();
        if let RoleState::Leader(leader) = self.role_state_mut()
            && is_voter
            && let Some(own) = leader.voters.get_mut(&local.id)
        {
            own.end = Some(flushed);
            self.commit();
        }
    }

    /// Moves the high watermark to what a majority has.
    fn commit(&mut self) {
        if let RoleState::Leader(leader) = self.role_state_mut()
            && let Some(committed) = leader.committed()
        {
            leader.high_watermark = Some(committed);
            self.advance_high_watermark(committed);
            self.settle_change(committed);
        }
    }

    fn has_newer_high_watermark(&self, request: &FetchRequest) -> bool {
        let RoleState::Leader(leader) = self.role_state() else { return false };
        request
            .high_watermark
            .is_some_and(|known| leader.high_watermark.is_some_and(|ours| ours > known))
    }

    /// Answers the waiting fetches for which there is news, or no time left.
    fn answer_waiting(&mut self, now: Instant) {
        let end = self.log().end();
        let RoleState::Leader(leader) = self.role_state_mut() else { return };
        let high_watermark = leader.high_watermark;
        let is_due = |waiting: &Waiting| {
            let request = &waiting.request;
            waiting.deadline <= now
                || request.fetch_offset < end
                || request.high_watermark.is_some_and(|known| high_watermark > Some(known))
        };
        let (due, rest) = std::mem::take(&mut leader.waiting).into_iter().partition(is_due);
        leader.waiting = rest;
        let next = leader.waiting.iter().map(|waiting| waiting.deadline).min();
        if let Some(next) = next {
            self.wake_at(next);
        }
        for waiting in due {
            let outcome = self.judge_fetch(now, &waiting.request);
            self.respond_fetch(waiting.token, waiting.request.fetch_offset, outcome);
        }
    }

    fn respond_fetch(&mut self, token: Token, from: Offset, outcome: FetchOutcome) {
        let RoleState::Leader(leader) = self.role_state() else { return };
        let has_records = outcome == FetchOutcome::Records(Vec::new()) && from < self.log().end();
        let response = Response::Fetch(FetchResponse {
            answer: self.answer(ErrorCode::None),
            outcome,
            high_watermark: leader.high_watermark,
            log_start_offset: self.log().start(),
        });
        self.push(Ready::Respond(token, response, has_records.then_some(from)));
    }

    pub(super) fn refuse_fetch(&mut self, token: Token, error: ErrorCode) {
        let response = Response::Fetch(FetchResponse {
            answer: self.answer(error),
            outcome: FetchOutcome::Records(Vec::new()),
            high_watermark: None,
            log_start_offset: self.log().start(),
        });
        self.push(Ready::Respond(token, response, None));
    }

    /// Answers with a part of a snapshot; this counts as a sign of life.
    pub(super) fn on_fetch_snapshot_request(
        &mut self,
        now: Instant,
        token: Token,
        request: &FetchSnapshotRequest,
    ) {
        let refusal = self
            .refuses_as_leader(request.cluster_id.as_ref(), request.leader_epoch)
            .or_else(|| {
                (!self.log().has_snapshot(request.snapshot)).then_some(ErrorCode::SnapshotNotFound)
            });
        if let Some(error) = refusal {
            let answer = self.answer(error);
            self.push(Ready::Respond(token, refused_snapshot(answer, request), None));
            return;
        }
        if request.replica.id != self.local().id {
            self.note_progress(now, request.replica, None);
        }
        self.push(Ready::ReadSnapshot(token, request.snapshot, request.position));
    }
}

fn refused_snapshot(answer: Answer, request: &FetchSnapshotRequest) -> Response {
    Response::FetchSnapshot(FetchSnapshotResponse {
        answer,
        snapshot: request.snapshot,
        size_bytes: 0,
        position: request.position,
        length_bytes: 0,
    })
}
