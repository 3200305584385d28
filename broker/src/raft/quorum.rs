use std::time::Duration;

use super::describe::{self, Description};
use super::election_state::ElectionState;
use super::log_state::LogState;
use super::ready::{EpochStart, Message, Ready, Request, RequestId, Response};
use super::requests::Requests;
use super::role::{Role, RoleState};
use super::unattached::Unattached;
use super::voters::{Endpoint, ReplicaKey, VoterChange, VoterHistory, VoterSet};
use crate::environment::Instant;
use crate::model::{ClusterId, LeaderEpoch, NodeId, Offset, OffsetAndEpoch, Timestamp};

/// The quorum's times and the names of this replica.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster; requests of others are refused.
    pub cluster_id: ClusterId,
    /// This replica.
    pub local: ReplicaKey,
    /// Nodes that an observer, or a voter without a leader, may ask besides the voters. The driver knows their addresses.
    pub bootstrap: Vec<NodeId>,
    /// `controller.quorum.election.timeout.ms`; each wait is drawn from once to twice this.
    pub election_timeout: Duration,
    /// `controller.quorum.election.backoff.max.ms`.
    pub election_backoff_max: Duration,
    /// `controller.quorum.fetch.timeout.ms`.
    pub fetch_timeout: Duration,
    /// `controller.quorum.request.timeout.ms`.
    pub request_timeout: Duration,
    /// `controller.quorum.retry.backoff.ms`.
    pub retry_backoff: Duration,
    /// How long a leader may hold a fetch back when there is nothing to say; see [`fetch_wait`](Self::fetch_wait).
    pub fetch_wait_max: Duration,
    /// The first of `controller.listener.names`: every voter must be reached by it.
    pub listener_name: String,
    /// Where this replica is reached by other controllers; empty when it is none and will never vote.
    pub endpoints: Vec<Endpoint>,
    /// `controller.quorum.auto.join.enable`: a controller that does not vote asks to.
    pub joins_by_itself: bool,
}

impl Settings {
    /// Kafka's defaults.
    #[must_use]
    pub const fn new(cluster_id: ClusterId, local: ReplicaKey) -> Self {
        Self {
            cluster_id,
            local,
            bootstrap: Vec::new(),
            election_timeout: Duration::from_secs(1),
            election_backoff_max: Duration::from_secs(1),
            fetch_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(2),
            retry_backoff: Duration::from_millis(20),
            fetch_wait_max: Duration::from_millis(500),
            listener_name: String::new(),
            endpoints: Vec::new(),
            joins_by_itself: false,
        }
    }

    /// How long a leader believes in its majority without hearing from it.
    pub(super) fn check_quorum_timeout(&self) -> Duration {
        self.fetch_timeout + self.fetch_timeout / 2
    }

    /// How long the leader is asked to wait when there is nothing to say: an answer at the end of that time must still be in
    /// time, or a quiet leader would be taken for a dead one again and again.
    pub(super) fn fetch_wait(&self) -> Duration {
        self.fetch_wait_max.min(self.fetch_timeout / 4)
    }

    /// How often silent voters are told who leads.
    pub(super) fn begin_interval(&self) -> Duration {
        self.fetch_timeout / 2
    }

    /// How long the successor at `place` (0: the first) of `count` waits before it stands for election.
    pub(super) fn succession_backoff(&self, place: usize, count: usize) -> Duration {
        let (Ok(place), Ok(count)) = (u32::try_from(place), u32::try_from(count)) else {
            return self.election_backoff_max;
        };
        if place == 0 {
            return Duration::ZERO;
        }
        let base = self.election_backoff_max / 2_u32.saturating_pow(count.saturating_sub(1));
        base.saturating_mul(2_u32.saturating_pow(place - 1)).min(self.election_backoff_max)
    }
}

/// We do not lead; the one who does, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node does not lead the metadata quorum")]
pub struct NotLeader(pub Option<NodeId>);

/// One replica of the metadata quorum, without clock, disk or network: see the module's essay.
///
/// Every method that takes `now` returns what the driver must do, in order.
///
/// Invariants: the epoch never goes back; the durable state is told before anything that relies on it; the high watermark
/// never goes back.
#[derive(Clone, Debug)]
pub struct Quorum {
    settings: Settings,
    epoch: LeaderEpoch,
    role: RoleState,
    log: LogState,
    history: VoterHistory,
    high_watermark: Option<Offset>,
    requests: Requests,
    random: u64,
    persisted: ElectionState,
    told_leader: (LeaderEpoch, Option<NodeId>),
    wake: Instant,
    ready: Vec<Ready>,
}

impl Quorum {
    /// A replica as it starts from what its disk says; `seed` is where its random numbers come from and must differ from
    /// one start to the next.
    ///
    /// A replica that led stays resigned in that epoch: it may have told others of records that it lost. A single voter
    /// elects itself at once.
    #[must_use]
    pub fn new(
        settings: Settings,
        election: ElectionState,
        history: VoterHistory,
        log: LogState,
        seed: u64,
        now: Instant,
    ) -> (Self, Vec<Ready>) {
        let requests =
            Requests::new(settings.request_timeout, settings.retry_backoff, seed ^ 0x5DEE_CE66);
        let unattached =
            RoleState::Unattached(Unattached { leader: None, voted: None, deadline: None });
        let mut quorum = Self {
            settings,
            epoch: election.epoch,
            role: unattached,
            log,
            history,
            high_watermark: None,
            requests,
            random: seed,
            persisted: election,
            told_leader: (election.epoch, None),
            wake: Instant::FAR,
            ready: Vec::new(),
        };
        quorum.start(now, election);
        let ready = quorum.finish(now);
        (quorum, ready)
    }

    fn start(&mut self, now: Instant, election: ElectionState) {
        let local = self.settings.local;
        let epoch = election.epoch.max(self.log.last_epoch());
        let deadline = self.may_stand().then(|| now + self.random_election_timeout());
        let unattached =
            |leader, voted| RoleState::Unattached(Unattached { leader, voted, deadline });
        let was_voted_for = election.voted.is_some_and(|voted| voted == local);
        let role = if epoch > election.epoch {
            unattached(None, None)
        } else if election.leader == Some(local.id) {
            RoleState::Resigned(self.fresh_resigned(now, Vec::new()))
        } else if was_voted_for && election.leader.is_none() && self.may_stand() {
            RoleState::Candidate(self.fresh_candidate(now))
        } else if let Some(leader) = election.leader
            && !self.voters().endpoints(leader).is_empty()
        {
            let endpoints = self.voters().endpoints(leader).to_vec();
            RoleState::Follower(self.fresh_follower(now, leader, endpoints, election.voted))
        } else {
            unattached(election.leader, election.voted)
        };
        self.enter(epoch, role);
        let may_elect_itself = match self.role.role() {
            Role::Unattached | Role::Follower | Role::Resigned => true,
            Role::Prospective | Role::Candidate | Role::Leader => false,
        };
        if may_elect_itself && self.voters().is_only_voter(&local) {
            self.become_prospective(now);
        }
    }

    /// A message has come.
    #[must_use]
    pub fn step(&mut self, now: Instant, message: Message) -> Vec<Ready> {
        match message {
            Message::Request(token, request) => self.on_request(now, token, request),
            Message::Response(id, response) => self.on_response(now, id, response),
            Message::Failed(id) => {
                if let Some(from) = self.requests.finish(id, now) {
                    self.requests.back_off(from, now);
                }
            }
            Message::Refused(id) => {
                if let Some(from) = self.requests.finish(id, now) {
                    self.requests.back_off(from, now);
                    self.on_refused(now, from);
                }
            }
        }
        self.finish(now)
    }

    fn on_response(&mut self, now: Instant, id: RequestId, response: Response) {
        let Some(from) = self.requests.finish(id, now) else { return };
        let is_useful = match response {
            Response::Vote(response) => self.on_vote_response(now, from, &response),
            Response::BeginQuorumEpoch(answer) => self.on_begin_response(now, &answer),
            Response::EndQuorumEpoch(answer) => self.on_end_response(now, from, &answer),
            Response::Fetch(response) => self.on_fetch_response(now, id, response),
            Response::FetchSnapshot(response) => {
                self.on_fetch_snapshot_response(now, id, &response)
            }
            Response::AddVoter(answer) | Response::RemoveVoter(answer) => {
                self.on_change_response(&answer)
            }
            Response::UpdateVoter(answer) => self.on_update_voter_response(now, &answer),
            Response::Versions(versions) => self.on_versions_response(now, from, versions),
        };
        if !is_useful {
            self.requests.back_off(from, now);
        }
    }

    /// Time has passed; due at [`deadline`](Self::deadline), harmless before.
    #[must_use]
    pub fn tick(&mut self, now: Instant) -> Vec<Ready> {
        self.finish(now)
    }

    /// Makes room for `count` records at the end of the leader's log; they must be written there, in the present epoch, before
    /// anything else is done with this machine. Says where the first goes.
    ///
    /// # Errors
    ///
    /// [`NotLeader`].
    ///
    /// # Panics
    ///
    /// When `count` is 0.
    pub fn append(&mut self, count: u32) -> Result<OffsetAndEpoch, NotLeader> {
        if !matches!(self.role, RoleState::Leader(_)) {
            return Err(NotLeader(self.leader()));
        }
        let offset = self.log.append(self.epoch, i64::from(count));
        Ok(OffsetAndEpoch { offset, epoch: self.epoch })
    }

    /// Our log is durable below `end`.
    #[must_use]
    pub fn flushed(&mut self, now: Instant, end: Offset) -> Vec<Ready> {
        self.note_flushed(end);
        self.finish(now)
    }

    /// A snapshot that [`Ready::InstallSnapshot`] asked for is in place, and says who votes.
    #[must_use]
    pub fn snapshot_installed(&mut self, now: Instant, history: VoterHistory) -> Vec<Ready> {
        self.history = history;
        self.finish(now)
    }

    /// The driver wrote a snapshot of committed records.
    pub fn snapshot_written(&mut self, id: OffsetAndEpoch) {
        self.log.add_snapshot(id);
    }

    /// The driver removed all below `start`, where a snapshot stands.
    ///
    /// # Panics
    ///
    /// When no snapshot stands there.
    pub fn log_cleaned(&mut self, start: OffsetAndEpoch) {
        self.log.clean(start);
    }

    /// Gives leadership up, if it is ours: the best successors are told to take over.
    #[must_use]
    pub fn resign(&mut self, now: Instant) -> Vec<Ready> {
        if let RoleState::Leader(leader) = &self.role {
            let successors = leader.successors(self.settings.local.id);
            self.become_resigned(now, successors);
        }
        self.finish(now)
    }

    /// When [`tick`](Self::tick) is due.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.wake
    }

    /// What this replica is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role.role()
    }

    /// The epoch it is in.
    #[must_use]
    pub const fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Who leads that epoch, as far as is known. After resigning that is still us.
    #[must_use]
    pub const fn leader(&self) -> Option<NodeId> {
        self.role.leader(self.settings.local.id)
    }

    /// Where the leader can be reached, as far as is known.
    #[must_use]
    pub fn leader_endpoints(&self) -> &[Endpoint] {
        let heard = self.role.leader_endpoints();
        match self.leader() {
            Some(leader) if heard.is_empty() => {
                let known = self.voters().endpoints(leader);
                let is_us = leader == self.settings.local.id;
                if known.is_empty() && is_us { &self.settings.endpoints } else { known }
            }
            Some(_) | None => heard,
        }
    }

    /// All below this offset is committed, as far as this process knows.
    #[must_use]
    pub const fn high_watermark(&self) -> Option<Offset> {
        self.high_watermark
    }

    /// What it knows of its log.
    #[must_use]
    pub const fn log(&self) -> &LogState {
        &self.log
    }

    /// Who votes.
    #[must_use]
    pub fn voters(&self) -> &VoterSet {
        self.history.last()
    }

    /// Who voted when.
    #[must_use]
    pub const fn history(&self) -> &VoterHistory {
        &self.history
    }

    /// Whether this replica votes.
    #[must_use]
    pub fn is_voter(&self) -> bool {
        self.voters().contains(&self.settings.local)
    }

    /// Where the quorum stands, as `DescribeQuorum` tells it; `None` unless we lead.
    #[must_use]
    pub fn describe(&self, now: Instant, wall_clock: Timestamp) -> Option<Description> {
        let RoleState::Leader(leader) = &self.role else { return None };
        Some(describe::describe(
            (now, wall_clock),
            self.settings.local,
            self.epoch,
            leader,
            &self.log,
        ))
    }
}

/// What the roles use.
impl Quorum {
    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) const fn local(&self) -> ReplicaKey {
        self.settings.local
    }

    pub(super) fn cluster_id(&self) -> ClusterId {
        self.settings.cluster_id.clone()
    }

    pub(super) const fn role_state(&self) -> &RoleState {
        &self.role
    }

    pub(super) const fn role_state_mut(&mut self) -> &mut RoleState {
        &mut self.role
    }

    pub(super) const fn log_mut(&mut self) -> &mut LogState {
        &mut self.log
    }

    pub(super) const fn history_mut(&mut self) -> &mut VoterHistory {
        &mut self.history
    }

    pub(super) const fn voted(&self) -> Option<ReplicaKey> {
        self.role.voted(self.settings.local)
    }

    pub(super) fn own_endpoints(&self) -> Vec<Endpoint> {
        let known = self.voters().endpoints(self.settings.local.id);
        if known.is_empty() { self.settings.endpoints.clone() } else { known.to_vec() }
    }

    pub(super) const fn requests(&self) -> &Requests {
        &self.requests
    }

    pub(super) fn reset_requests(&mut self) {
        self.requests.reset();
    }

    pub(super) fn push(&mut self, ready: Ready) {
        self.ready.push(ready);
    }

    /// Makes the log durable before we tell others how long it is.
    pub(super) fn flush_log(&mut self) {
        let end = self.log.end();
        if self.log.flushed() < end {
            self.push(Ready::Flush);
            self.log.flush(end);
        }
    }

    /// Asks to be ticked at `at`, at the latest.
    pub(super) fn wake_at(&mut self, at: Instant) {
        self.wake = self.wake.min(at);
    }

    /// Sends when nothing is in flight to that node; else asks to be woken when that ends.
    pub(super) fn send_when_ready(&mut self, now: Instant, to: NodeId, request: Request) {
        let ready_at = self.requests.ready_at(to);
        if ready_at > now {
            self.wake_at(ready_at);
            return;
        }
        let id = self.requests.send(to, now);
        self.wake_at(self.requests.ready_at(to));
        self.push(Ready::Send(to, id, request));
    }

    /// Whom to ask who leads.
    pub(super) fn nodes_to_ask(&self) -> Vec<NodeId> {
        let local = self.settings.local.id;
        let voters = self.voters().ids().filter(|id| *id != local);
        voters.chain(self.settings.bootstrap.iter().copied()).collect()
    }

    /// A wait between once and twice the election time-out, so that two candidates seldom meet twice.
    pub(super) fn random_election_timeout(&mut self) -> Duration {
        let base = self.settings.election_timeout;
        let span = u64::try_from(base.as_millis()).unwrap_or(u64::MAX).max(1);
        base + Duration::from_millis(self.random() % span)
    }

    /// The next of our random numbers (`SplitMix64`).
    pub(super) const fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Whom we follow.
    pub(super) const fn following(&self) -> Option<NodeId> {
        match &self.role {
            RoleState::Follower(state) => Some(state.leader),
            RoleState::Unattached(_)
            | RoleState::Prospective(_)
            | RoleState::Candidate(_)
            | RoleState::Leader(_)
            | RoleState::Resigned(_) => None,
        }
    }

    /// The records that begin our epoch may also say who votes.
    pub(super) fn note_bootstrap(&mut self, start: &EpochStart) {
        if let Some((version, voters)) = &start.bootstrap {
            self.history.add(start.base_offset.plus(1), VoterChange::KRaftVersion(*version));
            self.history.add(start.base_offset.plus(2), VoterChange::Voters(voters.clone()));
        }
    }

    pub(super) fn advance_high_watermark(&mut self, committed: Offset) {
        if self.high_watermark.is_none_or(|old| committed > old) {
            assert!(committed <= self.log.end(), "only what is in the log is committed");
            self.high_watermark = Some(committed);
            self.ready.push(Ready::HighWatermark(committed));
        }
    }

    /// Takes on a role, perhaps in a higher epoch: first what must be durable, then what others must know.
    pub(super) fn enter(&mut self, epoch: LeaderEpoch, role: RoleState) {
        assert!(epoch >= self.epoch, "an epoch is never left for an older one");
        let old_epoch = self.epoch;
        let old = std::mem::replace(&mut self.role, role);
        self.epoch = epoch;
        self.persist();
        tracing::info!(
            epoch = epoch.value(),
            from = ?old.role(),
            to = ?self.role.role(),
            leader = self.leader().map(|id| id.0),
            "the role changed"
        );
        if let RoleState::Leader(mut leader) = old {
            self.ready.push(Ready::LostLeadership(old_epoch));
            let change = leader.change.take();
            self.abandon_change(change);
            for (token, _) in leader.take_waiting() {
                self.refuse_fetch(token, crate::model::ErrorCode::NotLeaderOrFollower);
            }
        }
        let known = (self.epoch, self.leader());
        if known != self.told_leader {
            self.told_leader = known;
            self.ready.push(Ready::Leader(known.0, known.1));
        }
    }

    /// Stays in role and epoch, with something new to remember.
    pub(super) fn replace(&mut self, role: RoleState) {
        self.role = role;
        self.persist();
    }

    fn persist(&mut self) {
        let state = self.role.election_state(self.epoch, self.settings.local);
        if state != self.persisted {
            self.persisted = state;
            // What nobody has relied on yet need not be durable by itself.
            let is_news = |ready: &&mut Ready| !matches!(ready, Ready::Leader(..));
            if let Some(Ready::Persist(last)) = self.ready.iter_mut().rev().find(is_news) {
                *last = state;
            } else {
                self.ready.push(Ready::Persist(state));
            }
        }
    }

    /// Lets the role act until it waits for something, then hands out what is to be done.
    fn finish(&mut self, now: Instant) -> Vec<Ready> {
        loop {
            self.wake = Instant::FAR;
            let has_changed = match self.role.role() {
                Role::Unattached => self.poll_unattached(now),
                Role::Prospective => self.poll_prospective(now),
                Role::Candidate => self.poll_candidate(now),
                Role::Follower => self.poll_follower(now),
                Role::Leader => self.poll_leader(now),
                Role::Resigned => self.poll_resigned(now),
            };
            if !has_changed {
                break;
            }
        }
        self.assert_invariants();
        std::mem::take(&mut self.ready)
    }

    /// All that decides what this machine does next, for those who count its states.
    #[cfg(test)]
    pub(super) fn write_state(&self, to: &mut impl std::fmt::Write) -> std::fmt::Result {
        let Self { epoch, role, log, history, high_watermark, requests, .. } = self;
        write!(to, "{epoch:?}{role:?}{log:?}{history:?}{high_watermark:?}{requests:?}")?;
        write!(to, "{:?}{:?}{:?}", self.persisted, self.random, self.wake)
    }

    fn assert_invariants(&self) {
        assert!(self.log.last_epoch() <= self.epoch, "no record is newer than our epoch");
        if let Some(committed) = self.high_watermark {
            assert!(committed <= self.log.end(), "only what is in the log is committed");
        }
        if let RoleState::Leader(leader) = &self.role {
            assert!(leader.epoch_start < self.log.end(), "a leader's epoch has its first record");
        }
    }
}
