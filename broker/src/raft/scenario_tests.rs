//! Runs `scenarios/*.txt`: a line that begins with `>` is a command, what follows it is all that came of it. With
//! `UPDATE_SCENARIOS=1` the files are written anew, to be read by people before they are committed.
//!
//! | command | effect |
//! |---|---|
//! | `quorum voters=1,2,3 [observers=4] [kraft=0]` | nodes with empty logs, formatted with these voters, started at time 0 |
//! | `quorum … fetch_timeout=400` | with this time-out of theirs, in milliseconds |
//! | `quorum … newcomers=5 [join]` | and controllers that know no voters, but whom to ask; they may ask to vote |
//! | `add 1 voter=4 [directory=9] [at_once]`, `remove 1 voter=4 [directory=9]` | somebody asks for a change of the voters |
//! | `voters` | who votes, as everybody knows it |
//! | `wipe 1 directory=9` | a node loses its disk and gets another |
//! | `start 1 host=elsewhere` | a node comes back at another address |
//! | `run 500ms` | time passes; messages arrive at once, ticks come when due |
//! | `wait 500ms` | time passes; ticks come when due, messages stay under way |
//! | `deliver` | messages arrive, and those that they cause, until there are none |
//! | `drop` | messages under way are lost |
//! | `cut 1`, `join 1` | a node loses, or has again, all its links |
//! | `append 1 3`, `flush 1` | a leader appends so many records; what is written becomes durable |
//! | `crash 1`, `start 1` | a node loses what is not durable; comes back |
//! | `kill 1` | the same, and until it is back its machine refuses connections |
//! | `refuse 1 by=2` | a node's own machine lives, and refuses the connections of another; `accept 1 by=2` ends that |
//! | `resign 1` | a leader gives up |
//! | `snapshot 1` | a node writes a snapshot at its high watermark and cuts its log there |
//! | `vote 2 by=1 epoch=3 last=5@2 [pre] [directory=9] [to=3]` | a vote request out of the blue |
//! | `status` | where everybody stands |
//!
//! Fetches are not told, and of their answers only those that say something: there are too many of the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use uuid::Uuid;

use super::reconfiguration::LEADER_FOR_CHANGES;
use super::voters::Voter;
use super::{
    Answer, ElectionState, Endpoint, EpochStart, FetchOutcome, FetchSnapshotResponse, FetchedBatch,
    LogState, Message, Quorum, Ready, ReplicaKey, Request, RequestId, Response, Settings, Token,
    VoteRequest, VoterChange, VoterHistory, VoterSet,
};
use crate::environment::Instant;
use crate::model::{
    ClusterId, DirectoryId, ErrorCode, LeaderEpoch, NodeId, Offset, OffsetAndEpoch,
};

mod voters;

#[derive(Clone)]
enum Envelope {
    Request(i32, RequestId, i32, Request),
    Response(i32, RequestId, i32, Response, Vec<LeaderEpoch>),
}

struct Node {
    machine: Option<Quorum>,
    key: ReplicaKey,
    /// Where it is reached; empty for observers that are no controllers.
    endpoints: Vec<Endpoint>,
    /// Was told nothing of the voters.
    is_newcomer: bool,
    joins: bool,
    election: ElectionState,
    log: Vec<LeaderEpoch>,
    flushed: usize,
    start: usize,
    snapshots: Vec<OffsetAndEpoch>,
    starts: u64,
}

#[derive(Default)]
struct Cluster {
    now: Instant,
    voters: VoterSet,
    kraft_version: i16,
    fetch_timeout: Option<Duration>,
    nodes: BTreeMap<i32, Node>,
    cut: BTreeSet<i32>,
    /// Those who are refused, and by whom.
    refused: BTreeSet<(i32, i32)>,
    net: VecDeque<Envelope>,
    /// Requests to be answered: who asked whom.
    tokens: BTreeMap<Token, Option<(i32, i32, RequestId)>>,
    fetched: BTreeMap<i32, Vec<LeaderEpoch>>,
    /// The records that say who votes.
    changes: BTreeMap<OffsetAndEpoch, VoterSet>,
    snapshot_voters: BTreeMap<OffsetAndEpoch, VoterSet>,
    output: String,
}

fn key_of(id: i32) -> ReplicaKey {
    let bits = u128::try_from(id).unwrap() + 100;
    ReplicaKey::new(NodeId(id), DirectoryId(Uuid::from_u128(bits)))
}

fn offset_of(index: usize) -> Offset {
    Offset::new(i64::try_from(index).unwrap())
}

fn index_of(offset: Offset) -> usize {
    usize::try_from(offset.value()).unwrap()
}

fn place(place: OffsetAndEpoch) -> String {
    format!("{}@{}", place.offset, place.epoch)
}

fn id_text(id: Option<NodeId>) -> String {
    id.map_or("-".to_owned(), |id| id.to_string())
}

/// The value after `name=`, if the command has it.
fn argument<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn numbers(text: &str) -> Vec<i32> {
    text.split(',').map(|number| number.parse().unwrap()).collect()
}

fn millis(text: &str) -> u64 {
    text.strip_suffix("ms").unwrap().parse().unwrap()
}

impl Cluster {
    fn quorum(&mut self, words: &[&str]) {
        let ids = numbers(argument(words, "voters").unwrap());
        let observers = argument(words, "observers").map_or(Vec::new(), numbers);
        self.kraft_version = argument(words, "kraft").map_or(1, |text| text.parse().unwrap());
        let fetch_timeout = argument(words, "fetch_timeout");
        self.fetch_timeout = fetch_timeout.map(|text| Duration::from_millis(text.parse().unwrap()));
        let newcomers = argument(words, "newcomers").map_or(Vec::new(), numbers);
        self.voters = VoterSet::new(ids.iter().map(|id| voters::voter_of(*id)));
        for id in ids.into_iter().chain(observers.clone()).chain(newcomers.clone()) {
            let node = Node {
                machine: None,
                key: key_of(id),
                endpoints: if observers.contains(&id) {
                    Vec::new()
                } else {
                    voters::endpoints_of(&format!("node{id}"))
                },
                is_newcomer: newcomers.contains(&id),
                joins: words.contains(&"join"),
                election: ElectionState::default(),
                log: Vec::new(),
                flushed: 0,
                start: 0,
                snapshots: vec![OffsetAndEpoch::default()],
                starts: 0,
            };
            self.nodes.insert(id, node);
            self.start(id);
        }
    }

    fn start(&mut self, id: i32) {
        let history = self.history_of(id);
        let node = self.nodes.get_mut(&id).unwrap();
        node.starts += 1;
        let mut epochs: Vec<OffsetAndEpoch> = Vec::new();
        for (index, epoch) in node.log.iter().enumerate().skip(node.start) {
            if epochs.last().is_none_or(|last| last.epoch < *epoch) {
                epochs.push(OffsetAndEpoch { offset: offset_of(index), epoch: *epoch });
            }
        }
        let (start, end) = (offset_of(node.start), offset_of(node.log.len()));
        let log = LogState::new(start, end, epochs, node.snapshots.clone());
        let defaults = Settings::new(ClusterId::from("scenario"), node.key);
        let settings = Settings {
            fetch_timeout: self.fetch_timeout.unwrap_or(defaults.fetch_timeout),
            bootstrap: if node.is_newcomer { self.voters.ids().collect() } else { Vec::new() },
            listener_name: "CONTROLLER".to_owned(),
            endpoints: node.endpoints.clone(),
            joins_by_itself: node.joins,
            ..defaults
        };
        let seed = node.starts * 1000 + u64::try_from(id).unwrap();
        let (machine, ready) = Quorum::new(settings, node.election, history, log, seed, self.now);
        self.nodes.get_mut(&id).unwrap().machine = Some(machine);
        self.line(&format!("{id} starts as {}", self.title(id)));
        self.carry_out(id, ready);
    }

    fn crash(&mut self, id: i32) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.machine = None;
        node.log.truncate(node.flushed);
        self.net.retain(|envelope| match envelope {
            Envelope::Request(from, ..) => *from != id,
            Envelope::Response(_, _, to, ..) => *to != id,
        });
        self.tokens.retain(|_, asker| asker.is_none_or(|(from, ..)| from != id));
    }

    /// A dead process closes its connections, and whoever waits for it hears of that.
    fn kill(&mut self, id: i32) {
        self.crash(id);
        let others: Vec<i32> = self.nodes.keys().copied().filter(|other| *other != id).collect();
        for other in others {
            self.refuse(other, id);
        }
    }

    /// `by` closes its connections to `id` and takes no new ones.
    fn refuse(&mut self, id: i32, by: i32) {
        self.refused.insert((id, by));
        let of_both = |asker: &Option<(i32, i32, RequestId)>| {
            asker.is_some_and(|(from, to, _)| (from, to) == (id, by))
        };
        let waiting = self.tokens.extract_if(.., |_, asker| of_both(asker));
        let failed: Vec<RequestId> =
            waiting.filter_map(|(_, asker)| asker.map(|(.., request)| request)).collect();
        for request in failed {
            self.act(id, |machine, now| machine.step(now, Message::Failed(request)));
        }
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.output, "{:>6} {text}", self.now.0 / 1_000_000);
    }

    fn machine(&mut self, id: i32) -> &mut Quorum {
        self.nodes.get_mut(&id).unwrap().machine.as_mut().unwrap()
    }

    fn is_up(&self, id: i32) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.machine.is_some())
    }

    fn title(&self, id: i32) -> String {
        match &self.nodes[&id].machine {
            None => "down".to_owned(),
            Some(machine) => {
                let role = format!("{:?}", machine.role()).to_lowercase();
                format!("{role}@{} leader={}", machine.epoch(), id_text(machine.leader()))
            }
        }
    }

    /// Lets a machine act, and tells when its role changed.
    fn act(&mut self, id: i32, act: impl FnOnce(&mut Quorum, Instant) -> Vec<Ready>) {
        let (before, now) = (self.title(id), self.now);
        let ready = act(self.machine(id), now);
        let after = self.title(id);
        if before != after {
            self.line(&format!("{id} {before} → {after}"));
        }
        self.carry_out(id, ready);
    }

    fn carry_out(&mut self, id: i32, ready: Vec<Ready>) {
        for step in ready {
            self.carry_out_one(id, step);
        }
    }

    fn carry_out_one(&mut self, id: i32, step: Ready) {
        let node = self.nodes.get_mut(&id).unwrap();
        match step {
            Ready::Persist(state) => {
                node.election = state;
                let voted = id_text(state.voted.map(|key| key.id));
                let leader = id_text(state.leader);
                self.line(&format!(
                    "{id} persists epoch={} leader={leader} voted={voted}",
                    state.epoch
                ));
            }
            Ready::Truncate(end) => {
                node.log.truncate(index_of(end));
                node.flushed = node.flushed.min(index_of(end));
                self.line(&format!("{id} truncates to {end}"));
            }
            Ready::AppendVoters(written) => self.append_voters(id, written),
            Ready::AppendEpochStart(start) => self.append_epoch_start(id, &start),
            Ready::AppendFetched(_, count) => {
                let fetched = self.fetched.remove(&id).unwrap();
                node.log.extend(&fetched[..count]);
                let end = node.log.len();
                self.line(&format!("{id} appends {count}, end={end}"));
            }
            Ready::Flush => {
                node.flushed = node.log.len();
                let end = node.flushed;
                self.line(&format!("{id} flushes to {end}"));
            }
            Ready::Send(to, request_id, request) => {
                if !matches!(request, Request::Fetch(_)) {
                    self.line(&format!("{id} ⇢ {to} {}", describe_request(&request)));
                }
                let leader = self.machine(id).leader();
                let to = if to == LEADER_FOR_CHANGES { leader.unwrap_or(to) } else { to };
                self.net.push_back(Envelope::Request(id, request_id, to.0, request));
            }
            Ready::Respond(token, response, from) => self.respond(id, token, response, from),
            Ready::ReadSnapshot(token, snapshot, position) => {
                let answer = self.machine(id).answer(ErrorCode::None);
                let response = Response::FetchSnapshot(FetchSnapshotResponse {
                    answer,
                    snapshot,
                    size_bytes: 100,
                    position,
                    length_bytes: (100 - position).min(60),
                });
                self.respond(id, token, response, None);
            }
            Ready::WriteSnapshot(_, snapshot, position) => {
                self.line(&format!(
                    "{id} writes snapshot {} from byte {position}",
                    place(snapshot)
                ));
            }
            Ready::InstallSnapshot(snapshot) => self.install(id, snapshot),
            Ready::HighWatermark(offset) => self.line(&format!("{id} high watermark {offset}")),
            Ready::BecameLeader(epoch, start) => {
                self.line(&format!("{id} leads epoch {epoch} from offset {start}"));
            }
            Ready::LostLeadership(epoch) => self.line(&format!("{id} lost epoch {epoch}")),
            Ready::Leader(..) => {}
        }
    }

    fn append_epoch_start(&mut self, id: i32, start: &EpochStart) {
        if let Some((_, voters)) = &start.bootstrap {
            let place = OffsetAndEpoch { offset: start.base_offset.plus(2), epoch: start.epoch };
            self.changes.insert(place, voters.clone());
        }
        let count = usize::try_from(start.record_count()).unwrap();
        self.nodes.get_mut(&id).unwrap().log.extend(std::iter::repeat_n(start.epoch, count));
        self.line(&format!(
            "{id} appends {count} at {} for epoch {} voters={:?} granted by={:?}",
            start.base_offset,
            start.epoch,
            start.voters.iter().map(|id| id.0).collect::<Vec<_>>(),
            start.granting_voters.iter().map(|id| id.0).collect::<Vec<_>>(),
        ));
    }

    fn install(&mut self, id: i32, snapshot: OffsetAndEpoch) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.log = vec![snapshot.epoch; index_of(snapshot.offset)];
        (node.start, node.flushed) = (node.log.len(), node.log.len());
        node.snapshots = vec![snapshot];
        self.line(&format!("{id} installs snapshot {}", place(snapshot)));
        let history = self.history_of(id);
        self.act(id, |machine, now| machine.snapshot_installed(now, history));
    }

    fn respond(&mut self, id: i32, token: Token, response: Response, from: Option<Offset>) {
        let asker = self.tokens.remove(&token);
        let entries =
            from.map_or(Vec::new(), |from| self.nodes[&id].log[index_of(from)..].to_vec());
        let to = asker.flatten().map_or("?".to_owned(), |(to, ..)| to.to_string());
        if is_news(&response, entries.len()) {
            self.line(&format!("{id} ⇠ {to} {}", describe_response(&response, entries.len())));
        }
        if let Some((to, _, request_id)) = asker.flatten() {
            self.net.push_back(Envelope::Response(id, request_id, to, response, entries));
        }
    }

    fn deliver_one(&mut self, envelope: Envelope) {
        match envelope {
            Envelope::Request(from, request_id, to, _) if self.refused.contains(&(from, to)) => {
                self.act(from, |machine, now| machine.step(now, Message::Refused(request_id)));
            }
            Envelope::Request(from, request_id, to, request) => {
                if self.cut.contains(&from) || self.cut.contains(&to) || !self.is_up(to) {
                    return;
                }
                let token = self.next_token(Some((from, to, request_id)));
                self.act(to, |machine, now| machine.step(now, Message::Request(token, request)));
            }
            Envelope::Response(from, request_id, to, mut response, entries) => {
                if self.cut.contains(&from) || self.cut.contains(&to) || !self.is_up(to) {
                    return;
                }
                if let Response::Fetch(fetch) = &mut response
                    && let FetchOutcome::Records(batches) = &mut fetch.outcome
                {
                    let end = self.machine(to).log().end();
                    *batches = self.batches_of(end, &entries);
                    self.fetched.insert(to, entries);
                }
                self.act(to, |machine, now| {
                    machine.step(now, Message::Response(request_id, response))
                });
            }
        }
    }

    fn next_token(&mut self, asker: Option<(i32, i32, RequestId)>) -> Token {
        let token = Token(self.tokens.last_key_value().map_or(0, |(token, _)| token.0 + 1));
        self.tokens.insert(token, asker);
        token
    }

    fn deliver(&mut self) {
        while let Some(envelope) = self.net.pop_front() {
            self.deliver_one(envelope);
        }
    }

    fn pass(&mut self, duration: u64, has_network: bool) {
        let end = self.now + Duration::from_millis(duration);
        loop {
            if has_network {
                self.deliver();
            }
            let machines =
                self.nodes.iter().filter_map(|(id, node)| Some((id, node.machine.as_ref()?)));
            let next = machines.map(|(id, machine)| (machine.deadline(), *id)).min();
            let Some((at, id)) = next.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.act(id, Quorum::tick);
        }
        self.now = end;
    }

    fn vote(&mut self, words: &[&str]) {
        let to: i32 = words[1].parse().unwrap();
        let number = |name| argument(words, name).map(|text| text.parse::<i32>().unwrap());
        let (offset, epoch) = argument(words, "last").unwrap().split_once('@').unwrap();
        let by = key_of(number("by").unwrap());
        let directory_id =
            number("directory").map_or(by.directory_id, |id| key_of(id).directory_id);
        let request = VoteRequest {
            cluster_id: Some(ClusterId::from(argument(words, "cluster").unwrap_or("scenario"))),
            voter: Some(key_of(number("to").unwrap_or(to))),
            candidate: ReplicaKey { directory_id, ..by },
            epoch: LeaderEpoch::new(number("epoch").unwrap()),
            last: OffsetAndEpoch {
                offset: Offset::new(offset.parse().unwrap()),
                epoch: LeaderEpoch::new(epoch.parse().unwrap()),
            },
            is_pre_vote: words.contains(&"pre"),
        };
        let token = self.next_token(None);
        self.act(to, |machine, now| {
            machine.step(now, Message::Request(token, Request::Vote(request)))
        });
    }

    fn append(&mut self, id: i32, count: u32) {
        match self.machine(id).append(count) {
            Ok(first) => {
                let node = self.nodes.get_mut(&id).unwrap();
                node.log.extend(std::iter::repeat_n(first.epoch, usize::try_from(count).unwrap()));
                self.line(&format!("{id} appends {count} at {}", place(first)));
                self.act(id, Quorum::tick);
            }
            Err(error) => self.line(&format!("{id} refuses: {error}, leader={}", id_text(error.0))),
        }
    }

    fn flush(&mut self, id: i32) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.flushed = node.log.len();
        let end = offset_of(node.flushed);
        self.act(id, |machine, now| machine.flushed(now, end));
    }

    fn snapshot(&mut self, id: i32) {
        let node = self.nodes.get_mut(&id).unwrap();
        let machine = node.machine.as_mut().unwrap();
        let end = index_of(machine.high_watermark().unwrap());
        let (voters, version) = machine.history().at(offset_of(end));
        let voters = (version > 0).then(|| voters.clone());
        let snapshot = OffsetAndEpoch { offset: offset_of(end), epoch: node.log[end - 1] };
        machine.snapshot_written(snapshot);
        machine.log_cleaned(snapshot);
        if let Some(voters) = voters {
            self.snapshot_voters.insert(snapshot, voters);
        }
        node.start = end;
        node.snapshots = vec![snapshot];
        self.line(&format!("{id} has snapshot {}", place(snapshot)));
    }

    fn status(&mut self) {
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        for id in ids {
            let title = self.title(id);
            let node = &self.nodes[&id];
            let mut text = format!("{id} {title} log=");
            for (index, epoch) in node.log.iter().enumerate().skip(node.start) {
                if index == node.start || node.log[index - 1] != *epoch {
                    let _ = write!(text, "[{index}@{epoch}]");
                }
            }
            let _ = write!(text, "{} flushed={}", node.log.len(), node.flushed);
            if let Some(committed) = node.machine.as_ref().and_then(Quorum::high_watermark) {
                let _ = write!(text, " high_watermark={committed}");
            }
            self.line(&text);
        }
    }

    fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let id = || words[1].parse::<i32>().unwrap();
        match words[0] {
            "quorum" => self.quorum(&words),
            "run" => self.pass(millis(words[1]), true),
            "wait" => self.pass(millis(words[1]), false),
            "deliver" => self.deliver(),
            "drop" => self.net.clear(),
            "cut" => drop(self.cut.insert(id())),
            "join" => drop(self.cut.remove(&id())),
            "append" => self.append(id(), words[2].parse().unwrap()),
            "flush" => self.flush(id()),
            "crash" => self.crash(id()),
            "kill" => self.kill(id()),
            "refuse" | "accept" => {
                let by = argument(&words, "by").unwrap().parse().unwrap();
                match words[0] {
                    "refuse" => self.refuse(id(), by),
                    _ => drop(self.refused.remove(&(id(), by))),
                }
            }
            "start" => {
                self.refused.retain(|(_, by)| *by != id());
                if let Some(host) = argument(&words, "host") {
                    self.nodes.get_mut(&id()).unwrap().endpoints = voters::endpoints_of(host);
                }
                self.start(id());
            }
            "resign" => self.act(id(), Quorum::resign),
            "snapshot" => self.snapshot(id()),
            "vote" => self.vote(&words),
            "add" | "remove" => self.ask_for_change(&words),
            "voters" => self.tell_voters(),
            "wipe" => self.wipe(&words),
            "status" => self.status(),
            other => panic!("no such command: {other}"),
        }
    }
}

impl Cluster {
    /// One batch for each entry.
    fn batches_of(&self, end: Offset, entries: &[LeaderEpoch]) -> Vec<FetchedBatch> {
        let batch = |(epoch, index): (&LeaderEpoch, i64)| {
            let offset = end.plus(index);
            let changes =
                self.changes_at(offset, *epoch).into_iter().map(|change| (offset, change));
            let changes = changes.collect();
            FetchedBatch { base_offset: offset, last_offset: offset, epoch: *epoch, changes }
        };
        entries.iter().zip(0..).map(batch).collect()
    }
}

fn is_news(response: &Response, records: usize) -> bool {
    match response {
        Response::Fetch(fetch) => {
            let is_empty = fetch.outcome == FetchOutcome::Records(Vec::new()) && records == 0;
            !is_empty
                || !matches!(fetch.answer.error, ErrorCode::None | ErrorCode::NotLeaderOrFollower)
        }
        Response::Vote(_)
        | Response::BeginQuorumEpoch(_)
        | Response::EndQuorumEpoch(_)
        | Response::FetchSnapshot(_)
        | Response::AddVoter(_)
        | Response::RemoveVoter(_)
        | Response::UpdateVoter(_) => true,
        Response::Versions(_) => false,
    }
}

fn describe_request(request: &Request) -> String {
    if let Some(text) = voters::describe_voter_request(request) {
        return text;
    }
    match request {
        Request::Vote(vote) => {
            let kind = if vote.is_pre_vote { "pre-vote" } else { "vote" };
            format!("{kind} epoch={} last={}", vote.epoch, place(vote.last))
        }
        Request::BeginQuorumEpoch(begin) => format!("begin epoch={}", begin.epoch),
        Request::EndQuorumEpoch(end) => {
            let successors: Vec<i32> = end.successors.iter().map(|key| key.id.0).collect();
            format!("end epoch={} successors={successors:?}", end.epoch)
        }
        Request::Fetch(fetch) => format!("fetch from={}", fetch.fetch_offset),
        Request::FetchSnapshot(fetch) => {
            format!("fetch snapshot {} from byte {}", place(fetch.snapshot), fetch.position)
        }
        Request::AddVoter(_)
        | Request::RemoveVoter(_)
        | Request::UpdateVoter(_)
        | Request::Versions(_) => unreachable!("described above"),
    }
}

fn describe_answer(answer: &Answer) -> String {
    let about = format!("epoch={} leader={}", answer.epoch, id_text(answer.leader));
    if answer.error == ErrorCode::None { about } else { format!("{} {about}", answer.error.name()) }
}

fn describe_response(response: &Response, records: usize) -> String {
    match response {
        Response::Vote(vote) => {
            let verdict = if vote.is_granted { "granted" } else { "refused" };
            format!("{verdict} {}", describe_answer(&vote.answer))
        }
        Response::BeginQuorumEpoch(answer) | Response::EndQuorumEpoch(answer) => {
            format!("noted {}", describe_answer(answer))
        }
        Response::AddVoter(answer) | Response::RemoveVoter(answer) => {
            voters::describe_voter_answer(answer)
        }
        Response::UpdateVoter(answer) => format!("update {}", describe_answer(answer)),
        Response::Versions(versions) => format!("versions {versions:?}"),
        Response::Fetch(fetch) => {
            let outcome = match &fetch.outcome {
                FetchOutcome::Records(_) => format!("{records} records"),
                FetchOutcome::Diverging(end) => format!("diverging {}", place(*end)),
                FetchOutcome::Snapshot(id) => format!("snapshot {}", place(*id)),
            };
            let committed = fetch.high_watermark.map_or("-".to_owned(), |end| end.to_string());
            format!("{outcome} high_watermark={committed} {}", describe_answer(&fetch.answer))
        }
        Response::FetchSnapshot(fetch) => format!(
            "bytes {}+{} of {} {}",
            fetch.position,
            fetch.length_bytes,
            fetch.size_bytes,
            describe_answer(&fetch.answer)
        ),
    }
}

/// Runs a script; gives it back with what came of it.
fn run(script: &str) -> String {
    let mut cluster = Cluster::default();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            cluster.output.push_str(line);
            cluster.output.push('\n');
            cluster.command(command);
        } else if line.is_empty() || line.starts_with('#') {
            cluster.output.push_str(line);
            cluster.output.push('\n');
        }
    }
    cluster.output
}

fn check(name: &str) {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/raft/scenarios").join(name);
    let expected = read(&path);
    let found = run(&expected);
    if std::env::var_os("UPDATE_SCENARIOS").is_some() {
        write(&path, &found);
    } else {
        assert!(
            found == expected,
            "{name} went another way (UPDATE_SCENARIOS=1 writes it down):\n{found}"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a test reads its script beside the source")]
fn read(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test rewrites its script on demand")]
fn write(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            check(concat!(stringify!($name), ".txt"));
        })+
    };
}

scenarios! {
    single_voter,
    three_voters_elect,
    pre_vote_protects,
    votes_are_kept,
    up_to_date_log_wins,
    check_quorum,
    fetch_timeout,
    quiet_leader_is_not_missed,
    leader_refuses_connections,
    leader_refuses_one,
    leader_refuses_two_die,
    divergence,
    high_watermark_needs_own_epoch,
    begin_and_end_epoch,
    vote_request_checks,
    observer,
    snapshot,
    static_quorum,
    static_voters_stay,
    voter_is_added,
    voter_is_removed,
    removed_voter_is_still_needed,
    one_voter_change_at_a_time,
    voter_must_catch_up,
    voter_change_is_taken_back,
    voter_requests_are_checked,
    voter_with_another_disk,
    voter_has_moved,
    voters_stand_in_snapshots,
}
