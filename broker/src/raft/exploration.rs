//! Random lives of three to five machines: messages are lost, repeated, delayed and reordered, nodes crash between any two
//! steps and lose what was not durable, links are cut. After every step the promises of the algorithm are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use super::{
    ElectionState, FetchOutcome, FetchSnapshotResponse, FetchedBatch, LogState, Message, Quorum,
    Ready, ReplicaKey, Request, RequestId, Response, Role, Settings, Token, VoteRequest, VoterSet,
};
use crate::environment::Instant;
use crate::model::{
    ClusterId, DirectoryId, ErrorCode, LeaderEpoch, NodeId, Offset, OffsetAndEpoch,
};

mod bounded;
mod voters;

/// An entry of a log: its epoch and what it says.
type Entry = (LeaderEpoch, u64);

const SNAPSHOT_BYTES: u64 = 100;
const SNAPSHOT_PART: u64 = 60;

#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// What a message knows of where its answer must go: the life of the process that asked.
#[derive(Clone, Copy, Debug)]
struct Sender {
    node: usize,
    life: u64,
    id: RequestId,
}

#[derive(Clone, Debug)]
enum Envelope {
    Request { sender: Sender, to: usize, request: Request },
    Response { from: usize, to: Sender, response: Response, entries: Vec<Entry> },
}

#[derive(Clone, Default)]
struct Node {
    machine: Option<Quorum>,
    life: u64,
    election: ElectionState,
    log: Vec<Entry>,
    flushed: usize,
    start: usize,
    snapshots: Vec<OffsetAndEpoch>,
    tokens: BTreeMap<Token, (Sender, Option<VoteRequest>)>,
    /// Entries that came with a response.
    fetched: Option<(RequestId, Vec<Entry>)>,
    next_token: u64,
    /// Changes of the voters that it was asked for.
    asked: BTreeSet<Token>,
    /// What it has said to others, in all its lives.
    votes: BTreeMap<LeaderEpoch, ReplicaKey>,
    /// When it began to lead, or was asked by another as their leader, or answered that.
    heard: Instant,
}

#[derive(Clone, Copy)]
struct Faults {
    loss: usize,
    repetition: usize,
    crash: usize,
    cut: usize,
    /// How many milliseconds pass at once, at most: how slow messages are.
    haste: u64,
    /// One turn in so many somebody asks for a change of the voters.
    change: usize,
}

const HEALTHY: Faults = Faults {
    loss: usize::MAX,
    repetition: usize::MAX,
    crash: usize::MAX,
    cut: usize::MAX,
    haste: 10,
    change: usize::MAX,
};

#[derive(Clone)]
struct World {
    random: Random,
    now: Instant,
    nodes: Vec<Node>,
    net: Vec<Envelope>,
    cuts: BTreeSet<(usize, usize)>,
    committed: Vec<Entry>,
    leaders: BTreeMap<LeaderEpoch, usize>,
    next_value: u64,
    faults: Faults,
    election_timeout: Duration,
    /// Those the quorum is formatted with.
    initial: VoterSet,
    /// Whether the voters stand in the log.
    is_dynamic: bool,
    /// What the entries say that change the voters.
    changes: BTreeMap<u64, VoterSet>,
    /// How many changes were told of as done.
    changes_made: usize,
    /// The time of each node, where nothing is left to chance.
    clocks: Option<Vec<Instant>>,
}

fn id_of(node: usize) -> NodeId {
    NodeId(i32::try_from(node).unwrap() + 1)
}

fn key_of(node: usize) -> ReplicaKey {
    let bits = u128::try_from(node).unwrap() + 100;
    ReplicaKey::new(id_of(node), DirectoryId(Uuid::from_u128(bits)))
}

fn at(offset: usize, epoch: LeaderEpoch) -> OffsetAndEpoch {
    OffsetAndEpoch { offset: offset_of(offset), epoch }
}

fn offset_of(index: usize) -> Offset {
    Offset::new(i64::try_from(index).unwrap())
}

fn index_of(offset: Offset) -> usize {
    usize::try_from(offset.value()).unwrap()
}

/// A fetch that waited counts once more when it is answered.
fn is_leaders_answer(response: &Response) -> bool {
    match response {
        Response::Fetch(fetch) => fetch.answer.error == ErrorCode::None,
        Response::FetchSnapshot(fetch) => fetch.answer.error == ErrorCode::None,
        Response::Vote(_)
        | Response::BeginQuorumEpoch(_)
        | Response::EndQuorumEpoch(_)
        | Response::AddVoter(_)
        | Response::RemoveVoter(_)
        | Response::UpdateVoter(_)
        | Response::Versions(_) => false,
    }
}

/// The epoch that a request tells of.
const fn epoch_of(request: &Request) -> Option<LeaderEpoch> {
    match request {
        Request::Vote(vote) => Some(vote.epoch),
        Request::BeginQuorumEpoch(begin) => Some(begin.epoch),
        Request::EndQuorumEpoch(end) => Some(end.epoch),
        Request::Fetch(_)
        | Request::FetchSnapshot(_)
        | Request::AddVoter(_)
        | Request::RemoveVoter(_)
        | Request::UpdateVoter(_)
        | Request::Versions(_) => None,
    }
}

impl Node {
    /// Everything that is said of a log holds after a crash too.
    fn check_request(&mut self, request: &Request) {
        match request {
            Request::Vote(vote) => {
                assert!(index_of(vote.last.offset) <= self.flushed, "a candidate boasts");
                if !vote.is_pre_vote {
                    self.vote(vote.epoch, vote.candidate);
                }
            }
            Request::Fetch(fetch) => {
                assert!(index_of(fetch.fetch_offset) <= self.flushed, "a follower boasts");
            }
            Request::BeginQuorumEpoch(_)
            | Request::EndQuorumEpoch(_)
            | Request::FetchSnapshot(_)
            | Request::AddVoter(_)
            | Request::RemoveVoter(_)
            | Request::UpdateVoter(_)
            | Request::Versions(_) => {}
        }
    }

    fn vote(&mut self, epoch: LeaderEpoch, candidate: ReplicaKey) {
        let before = self.votes.insert(epoch, candidate);
        assert!(before.is_none_or(|before| before == candidate), "two votes in epoch {epoch}");
    }
}

impl World {
    fn new(seed: u64, count: usize, faults: Faults) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let index = random.below(3);
        let mut world = Self {
            random,
            now: Instant(0),
            nodes: (0..count).map(|_| Node::default()).collect(),
            net: Vec::new(),
            cuts: BTreeSet::new(),
            committed: Vec::new(),
            leaders: BTreeMap::new(),
            next_value: 1,
            faults,
            election_timeout: Duration::from_millis([1000, 300, 100][index]),
            initial: VoterSet::new((0..count).map(voters::voter_of)),
            is_dynamic: faults.change != usize::MAX,
            changes: BTreeMap::new(),
            changes_made: 0,
            clocks: None,
        };
        if world.is_dynamic {
            world.format_some(count);
        }
        for node in 0..count {
            world.start(node);
        }
        world
    }

    fn start(&mut self, node: usize) {
        let (history, count) = (self.history_of(node), self.nodes.len());
        let now = self.now_of(node);
        // Where nothing is left to chance a node is the same whatever befell others before.
        let seed = match self.clocks {
            Some(_) => (self.nodes[node].life * 3 + u64::try_from(node).unwrap()) << 32,
            None => self.random.next(),
        };
        let state = &mut self.nodes[node];
        state.life += 1;
        let mut epochs: Vec<OffsetAndEpoch> = Vec::new();
        for (index, (epoch, _)) in state.log.iter().enumerate().skip(state.start) {
            if epochs.last().is_none_or(|last| last.epoch < *epoch) {
                epochs.push(at(index, *epoch));
            }
        }
        let log = LogState::new(
            offset_of(state.start),
            offset_of(state.log.len()),
            epochs,
            state.snapshots.clone(),
        );
        let settings = Settings {
            election_timeout: self.election_timeout,
            fetch_timeout: self.election_timeout * 2,
            ..if self.is_dynamic {
                voters::settings_of(node, count)
            } else {
                Settings::new(ClusterId::from("explored"), key_of(node))
            }
        };
        let (machine, ready) = Quorum::new(settings, state.election, history, log, seed, now);
        state.machine = Some(machine);
        self.carry_out(node, ready);
    }

    /// The process ends; of what was not durable, some part from the front may be kept all the same.
    fn crash(&mut self, node: usize) {
        let lost = self.nodes[node].log.len() - self.nodes[node].flushed;
        let is_chance = lost > 0 && self.clocks.is_none();
        let kept = if is_chance { self.random.below(lost + 1) } else { 0 };
        let state = &mut self.nodes[node];
        state.machine = None;
        state.log.truncate(state.flushed + kept);
        state.flushed = state.log.len();
        state.tokens.clear();
        state.asked.clear();
        state.fetched = None;
    }

    fn carry_out(&mut self, node: usize, ready: Vec<Ready>) {
        for step in ready {
            if self.clocks.is_none() && self.random.one_in(self.faults.crash.saturating_mul(3)) {
                self.crash(node);
                return;
            }
            self.carry_out_one(node, step);
        }
    }

    fn carry_out_one(&mut self, node: usize, step: Ready) {
        let state = &mut self.nodes[node];
        match step {
            Ready::Persist(election) => self.persist(node, election),
            Ready::Truncate(end) => self.truncate(node, index_of(end)),
            Ready::AppendEpochStart(start) => {
                assert_eq!(index_of(start.base_offset), state.log.len());
                for _ in 0..start.record_count() {
                    state.log.push((start.epoch, 0));
                }
                if let Some((_, voters)) = start.bootstrap {
                    state.log.pop();
                    self.append_voters(node, start.epoch, voters);
                }
            }
            Ready::AppendVoters(written) => {
                assert_eq!(index_of(written.place.offset), state.log.len());
                self.append_voters(node, written.place.epoch, written.voters);
            }
            Ready::AppendFetched(id, count) => {
                let (fetched, entries) = state.fetched.take().unwrap();
                assert_eq!(fetched, id);
                state.log.extend(&entries[..count]);
                self.check_changes(node);
            }
            Ready::Flush => state.flushed = state.log.len(),
            Ready::Send(to, id, request) => {
                state.check_request(&request);
                let to = usize::try_from(to.0 - 1).unwrap();
                let sender = Sender { node, life: state.life, id };
                self.net.push(Envelope::Request { sender, to, request });
            }
            Ready::Respond(token, response, _) if state.asked.remove(&token) => {
                self.check_answer(node, &response);
            }
            Ready::Respond(token, response, from) => self.respond(node, token, response, from),
            Ready::ReadSnapshot(token, snapshot, position) => {
                self.read_snapshot(node, token, snapshot, position);
            }
            Ready::WriteSnapshot(..) => {}
            Ready::InstallSnapshot(id) => {
                state.log = self.committed[..index_of(id.offset)].to_vec();
                state.start = state.log.len();
                state.flushed = state.log.len();
                state.snapshots = vec![id];
                let history = self.history_of(node);
                let now = self.now_of(node);
                let machine = self.nodes[node].machine.as_mut().unwrap();
                let more = machine.snapshot_installed(now, history);
                self.carry_out(node, more);
            }
            Ready::HighWatermark(offset) => self.commit(node, index_of(offset)),
            Ready::BecameLeader(epoch, _) => self.lead(node, epoch),
            Ready::LostLeadership(_) | Ready::Leader(..) => {}
        }
    }

    fn respond(&mut self, node: usize, token: Token, response: Response, from: Option<Offset>) {
        let now = self.now_of(node);
        let state = &mut self.nodes[node];
        let Some((to, vote)) = state.tokens.remove(&token) else { panic!("answered twice") };
        if let (Some(vote), Response::Vote(response)) = (vote, &response)
            && response.is_granted
            && !vote.is_pre_vote
        {
            state.vote(vote.epoch, vote.candidate);
        }
        if is_leaders_answer(&response) {
            state.heard = now;
        }
        let entries = from.map_or(Vec::new(), |from| {
            let is_chance = self.clocks.is_none();
            let most = if is_chance { 1 + self.random.below(3) } else { usize::MAX };
            state.log[index_of(from)..].iter().take(most).copied().collect()
        });
        self.net.push(Envelope::Response { from: node, to, response, entries });
    }

    fn persist(&mut self, node: usize, election: ElectionState) {
        let state = &mut self.nodes[node];
        assert!(election.epoch >= state.election.epoch, "an epoch was left for an older one");
        if let Some(leader) = election.leader {
            let leader = usize::try_from(leader.0 - 1).unwrap();
            let known = self.leaders.entry(election.epoch).or_insert(leader);
            assert_eq!(*known, leader, "two leaders in epoch {}", election.epoch);
        }
        state.election = election;
    }

    fn truncate(&mut self, node: usize, end: usize) {
        let state = &mut self.nodes[node];
        for (index, entry) in state.log.iter().enumerate().skip(end) {
            assert!(
                self.committed.get(index) != Some(entry),
                "node {node} cuts the committed entry {index}"
            );
        }
        state.log.truncate(end);
        state.flushed = state.flushed.min(end);
    }

    fn lead(&mut self, node: usize, epoch: LeaderEpoch) {
        let known = self.leaders.entry(epoch).or_insert(node);
        assert_eq!(*known, node, "two leaders in epoch {epoch}");
        let log = &self.nodes[node].log;
        assert!(
            log.len() >= self.committed.len() && log[..self.committed.len()] == self.committed,
            "the leader of epoch {epoch} lacks committed entries"
        );
        self.nodes[node].heard = self.now_of(node);
        // One that is alone does not ask anybody.
        self.nodes[node].vote(epoch, key_of(node));
        let is_for_us = |voter: &usize| self.nodes[*voter].votes.get(&epoch) == Some(&key_of(node));
        let (votes, voters) = self.count_voters(node, is_for_us);
        assert!(votes > voters / 2, "{votes} votes for the leader of epoch {epoch}");
    }

    fn commit(&mut self, node: usize, end: usize) {
        let log = &self.nodes[node].log;
        if let Some(machine) = &self.nodes[node].machine
            && machine.role() == Role::Leader
        {
            assert_eq!(log[end - 1].0, machine.epoch(), "committed by counting copies only");
        }
        let shared = end.min(self.committed.len());
        assert!(log[..shared] == self.committed[..shared], "two truths below the high watermark");
        if end > self.committed.len() {
            self.committed.extend(&log[shared..end]);
            let committed = &self.committed;
            let holds = |voter: &usize| {
                let voter = &self.nodes[*voter];
                voter.flushed >= end && voter.log[..end] == committed[..end]
            };
            let (holders, voters) = self.count_voters(node, holds);
            assert!(holders > voters / 2, "committed without a durable majority");
        }
    }

    fn read_snapshot(
        &mut self,
        node: usize,
        token: Token,
        snapshot: OffsetAndEpoch,
        position: u64,
    ) {
        let state = &mut self.nodes[node];
        let (to, _) = state.tokens.remove(&token).unwrap();
        let machine = state.machine.as_ref().unwrap();
        let response = Response::FetchSnapshot(FetchSnapshotResponse {
            answer: machine.answer(ErrorCode::None),
            snapshot,
            size_bytes: SNAPSHOT_BYTES,
            position,
            length_bytes: (SNAPSHOT_BYTES - position).min(SNAPSHOT_PART),
        });
        self.net.push(Envelope::Response { from: node, to, response, entries: Vec::new() });
    }

    fn deliver(&mut self, envelope: Envelope) {
        match envelope {
            Envelope::Request { sender, to, request } => {
                if self.cuts.contains(&(sender.node, to)) || self.nodes[to].machine.is_none() {
                    self.fail(sender);
                    return;
                }
                let token = self.next_token(to);
                let vote = match &request {
                    Request::Vote(vote) => Some(vote.clone()),
                    Request::BeginQuorumEpoch(_)
                    | Request::EndQuorumEpoch(_)
                    | Request::Fetch(_)
                    | Request::FetchSnapshot(_)
                    | Request::AddVoter(_)
                    | Request::RemoveVoter(_)
                    | Request::UpdateVoter(_)
                    | Request::Versions(_) => None,
                };
                self.nodes[to].tokens.insert(token, (sender, vote));
                self.note_heard(to, &request);
                let epoch = epoch_of(&request);
                self.step(to, Message::Request(token, request));
                if let (Some(epoch), Some(machine)) = (epoch, &self.nodes[to].machine) {
                    assert!(
                        machine.epoch() >= epoch,
                        "node {to} does not believe in a newer epoch"
                    );
                }
            }
            Envelope::Response { from, to, mut response, entries } => {
                let state = &self.nodes[to.node];
                if self.cuts.contains(&(from, to.node))
                    || state.machine.is_none()
                    || state.life != to.life
                {
                    return;
                }
                if let Response::Fetch(fetch) = &mut response
                    && let FetchOutcome::Records(batches) = &mut fetch.outcome
                {
                    let end = state.machine.as_ref().unwrap().log().end();
                    *batches = self.batches_of(end, &entries);
                    self.nodes[to.node].fetched = Some((to.id, entries));
                }
                self.step(to.node, Message::Response(to.id, response));
            }
        }
    }

    fn batches_of(&self, end: Offset, entries: &[Entry]) -> Vec<FetchedBatch> {
        let batch = |((epoch, value), index): (&Entry, i64)| {
            let offset = end.plus(index);
            let changes = self.changes_at(offset, *value);
            FetchedBatch { base_offset: offset, last_offset: offset, epoch: *epoch, changes }
        };
        entries.iter().zip(0..).map(batch).collect()
    }

    /// Sometimes the sender hears that its connection failed, or was refused; sometimes it hears nothing.
    fn fail(&mut self, sender: Sender) {
        let state = &self.nodes[sender.node];
        let is_told = state.machine.is_some() && state.life == sender.life;
        if is_told && self.clocks.is_none() && self.random.one_in(2) {
            // Nothing that is promised may rest on it being true.
            let is_refused = self.random.one_in(3);
            let refused = Message::Refused(sender.id);
            let failed = if is_refused { refused } else { Message::Failed(sender.id) };
            self.step(sender.node, failed);
        }
    }

    fn step(&mut self, node: usize, message: Message) {
        let now = self.now_of(node);
        let ready = self.nodes[node].machine.as_mut().unwrap().step(now, message);
        self.carry_out(node, ready);
    }

    fn tick(&mut self, node: usize) {
        let now = self.now_of(node);
        if let Some(machine) = &mut self.nodes[node].machine {
            let ready = machine.tick(now);
            self.carry_out(node, ready);
            self.check_majority(node);
        }
    }

    /// Somebody asks a node as their leader.
    fn note_heard(&mut self, node: usize, request: &Request) {
        let asked = match request {
            Request::Fetch(fetch) => fetch.leader_epoch,
            Request::FetchSnapshot(fetch) => fetch.leader_epoch,
            Request::Vote(_)
            | Request::BeginQuorumEpoch(_)
            | Request::EndQuorumEpoch(_)
            | Request::AddVoter(_)
            | Request::RemoveVoter(_)
            | Request::UpdateVoter(_)
            | Request::Versions(_) => return,
        };
        let now = self.now_of(node);
        let state = &mut self.nodes[node];
        if state.machine.as_ref().is_some_and(|machine| machine.epoch() == asked) {
            state.heard = now;
        }
    }

    /// Whoever leads others is asked by them, or soon leads no more.
    fn check_majority(&self, node: usize) {
        let (state, now) = (&self.nodes[node], self.now_of(node));
        let Some(machine) = state.machine.as_ref().filter(|it| it.role() == Role::Leader) else {
            return;
        };
        let has_others = !machine.voters().is_only_voter(&key_of(node));
        let patience = self.election_timeout * 3;
        assert!(!has_others || now < state.heard + patience, "node {node} leads without followers");
    }

    fn now_of(&self, node: usize) -> Instant {
        self.clocks.as_ref().map_or(self.now, |clocks| clocks[node])
    }

    fn next_token(&mut self, node: usize) -> Token {
        let state = &mut self.nodes[node];
        state.next_token += 1;
        Token(state.next_token)
    }

    fn append(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        if let Some(machine) = &mut state.machine
            && let Ok(place) = machine.append(1)
        {
            assert_eq!(index_of(place.offset), state.log.len());
            state.log.push((place.epoch, self.next_value));
            self.next_value += 1;
        }
    }

    fn flush(&mut self, node: usize) {
        let now = self.now_of(node);
        let state = &mut self.nodes[node];
        state.flushed = state.log.len();
        let end = offset_of(state.log.len());
        if let Some(machine) = &mut state.machine {
            let ready = machine.flushed(now, end);
            self.carry_out(node, ready);
        }
    }

    fn snapshot(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        let Some(machine) = &mut state.machine else { return };
        let Some(end) = machine.high_watermark().filter(|end| *end > machine.log().start()) else {
            return;
        };
        let id = at(index_of(end), state.log[index_of(end) - 1].0);
        machine.snapshot_written(id);
        machine.log_cleaned(id);
        state.start = index_of(end);
        state.flushed = state.flushed.max(state.start);
        state.snapshots = vec![id];
    }

    fn turn(&mut self) {
        let node = self.random.below(self.nodes.len());
        if self.nodes[node].machine.is_none() {
            if self.random.one_in(8) {
                self.start(node);
            }
        } else if self.random.one_in(self.faults.crash) {
            self.crash(node);
        } else if self.random.one_in(self.faults.cut) {
            let other = self.random.below(self.nodes.len());
            if !self.cuts.remove(&(node, other)) {
                self.cuts.insert((node, other));
            }
        }
        if self.random.one_in(self.faults.change) {
            self.change_voters(node);
        }
        match self.random.below(100) {
            0..70 if !self.net.is_empty() => {
                let index = self.random.below(self.net.len());
                let envelope = if self.random.one_in(self.faults.repetition) {
                    self.net[index].clone()
                } else {
                    self.net.swap_remove(index)
                };
                if !self.random.one_in(self.faults.loss) {
                    self.deliver(envelope);
                }
            }
            0..85 => {
                self.now = self.now + Duration::from_millis(self.random.next() % self.faults.haste);
                self.tick(node);
            }
            85..90 => self.append(node),
            90..99 => self.flush(node),
            _ if self.random.one_in(20) => {
                let now = self.now_of(node);
                if let Some(machine) = &mut self.nodes[node].machine {
                    let ready = machine.resign(now);
                    self.carry_out(node, ready);
                }
            }
            _ if self.random.one_in(5) => self.snapshot(node),
            _ => {}
        }
    }

    /// Without faults there must soon be one leader, whose next entry reaches everybody.
    fn heal(&mut self, seed: u64) {
        self.faults = HEALTHY;
        self.cuts.clear();
        for node in 0..self.nodes.len() {
            if self.nodes[node].machine.is_none() {
                self.start(node);
            }
        }
        let before = self.committed.len();
        for _ in 0..20_000 {
            self.turn();
            let ends = self.nodes.iter().map(|node| {
                node.machine.as_ref().and_then(Quorum::high_watermark).map_or(0, index_of)
            });
            if ends.min().unwrap_or(0) > before + 3 {
                return;
            }
        }
        let roles: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                let machine = node.machine.as_ref()?;
                let voters: Vec<i32> = machine.voters().ids().map(|id| id.0).collect();
                Some((machine.role(), machine.epoch(), voters, machine.log().last()))
            })
            .collect();
        panic!("seed {seed}: nothing is committed any more: {roles:?}");
    }
}

/// Lives through some seeds; `EXPLORE=100 cargo test` through a hundred times as many.
fn explore(first: u64, steps: usize, faults: Faults) {
    let factor = std::env::var("EXPLORE").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let (mut committed, mut epochs, mut changes) = (0, 0, 0);
    for seed in first..first + 12 * factor {
        let is_dynamic = faults.change != usize::MAX;
        let count = if seed % 3 == 0 { 5 } else { 3 + usize::from(is_dynamic) };
        let mut world = World::new(seed + 1, count, faults);
        for _ in 0..steps {
            world.turn();
        }
        world.heal(seed);
        committed += world.committed.len();
        epochs += world.leaders.len();
        changes += world.changes_made;
    }
    assert!(committed > 0 && epochs > 1, "nothing happened: {committed} entries, {epochs} epochs");
    assert!(changes > 0 || faults.change == usize::MAX, "the voters never changed");
}

#[test]
fn promises_hold_when_messages_are_lost_and_reordered() {
    explore(
        0,
        10_000,
        Faults {
            loss: 20,
            repetition: 15,
            crash: usize::MAX,
            cut: 400,
            haste: 60,
            change: usize::MAX,
        },
    );
}

#[test]
fn promises_hold_when_nodes_crash_and_forget_what_was_not_durable() {
    explore(
        1_000_000,
        10_000,
        Faults { loss: 50, repetition: 30, crash: 250, cut: 1_000, haste: 60, change: usize::MAX },
    );
}

#[test]
fn promises_hold_while_voters_change() {
    let faults = Faults { loss: 30, repetition: 30, crash: 400, cut: 600, haste: 60, change: 60 };
    explore(3_000_000, 10_000, faults);
}

#[test]
fn promises_hold_when_everything_goes_wrong_at_once() {
    explore(
        2_000_000,
        10_000,
        Faults { loss: 8, repetition: 8, crash: 60, cut: 150, haste: 60, change: usize::MAX },
    );
}
