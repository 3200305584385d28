//! Runs the scripts in `scenarios/`: each block of commands is followed by `---` and all that came of it.
//!
//! How they are read and compared is in `scenario.rs`. Members go by the name of their client; a member id is printed as
//! that name, `~` and the number of the request that made it.

mod shown;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use uuid::Uuid;

use self::shown::{shown_record, shown_reply};
use super::{
    CommitPartition, CommitRequest, CommitTopic, FetchRequest, Generation, GroupEffects,
    GroupMachine, GroupRecord, GroupReply, GroupRequest, GroupSettings, InstanceId, JoinOutcome,
    JoinRequest, Leaving, MemberIdentity, Protocol, SyncRequest, TransactionalCommitRequest,
};
use crate::coordinator::client_error;
use crate::coordinator::machine::{Machine as _, Position, RequestId, Then};
use crate::coordinator::timer::{Instant, Now};
use crate::model::{
    ErrorCode, GroupId, LeaderEpoch, MemberId, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    Timestamp, TopicName,
};
use crate::scenario::{self, Scenario, Words, parse};

macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        $(#[test] fn $name() { check(stringify!($name)); })+

        #[test]
        fn every_script_is_run() {
            let run = [$(stringify!($name)),+];
            for name in scenario::names(DIRECTORY) {
                assert!(run.contains(&name.as_str()), "{name} is run by nobody");
            }
        }
    };
}

scenarios! {
    two_members_share_a_topic, initial_delay, member_ids_first, joining_again, rebalance_timeout, session_expiry,
    leaving, protocols, limits, static_members, static_member_changes_protocols,
    static_member_not_stored, syncing, failed_writes, commits, fetching,
    transactions, expiration, deleting, describing, loading,
}

const DIRECTORY: &str = "src/coordinator/group/scenarios";

fn check(name: &str) {
    scenario::check(DIRECTORY, name, played);
}

/// The script with what comes of each block.
fn played(scenario: &Scenario) -> String {
    let mut world = World::new();
    let mut actual = String::new();
    let mut is_output = false;
    for line in scenario.lines() {
        match line.text {
            "---" => is_output = true,
            "" => {
                if is_output {
                    actual.push_str("---\n");
                    actual.push_str(&std::mem::take(&mut world.output));
                }
                actual.push('\n');
                is_output = false;
            }
            _ if is_output => {}
            text => {
                actual.push_str(text);
                actual.push('\n');
                if !text.starts_with('#') {
                    world.run(text);
                }
            }
        }
    }
    if is_output || !world.output.is_empty() {
        actual.push_str("---\n");
        actual.push_str(&world.output);
    }
    actual
}

/// A machine, the log it writes, and the clients that talk to it.
struct World {
    settings: GroupSettings,
    machine: GroupMachine,
    log: Vec<(Option<ProducerId>, GroupRecord)>,
    now_ms: i64,
    request_count: u64,
    /// Whose request it is.
    asked: BTreeMap<RequestId, String>,
    members: BTreeMap<String, (MemberId, Generation)>,
    /// The next write fails with this.
    failure: Option<ErrorCode>,
    /// Writes that are not committed yet, while they are held.
    held: Option<Vec<Then<GroupReply, super::GroupToken>>>,
    output: String,
}

impl World {
    fn new() -> Self {
        let settings = GroupSettings::default();
        let mut machine = GroupMachine::new(settings.clone());
        let now = Now { instant: Instant(0), wall: Timestamp(0) };
        let _ = machine.loaded(now);
        Self {
            settings,
            machine,
            log: Vec::new(),
            now_ms: 0,
            request_count: 0,
            asked: BTreeMap::new(),
            members: BTreeMap::new(),
            failure: None,
            held: None,
            output: String::new(),
        }
    }

    fn now(&self) -> Now {
        Now { instant: Instant(0).plus_millis(self.now_ms), wall: Timestamp(self.now_ms) }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.output, "{line}").expect("a string takes everything");
    }

    fn run(&mut self, line: &str) {
        let words = Words::new(line);
        let verb = words.word(0);
        match verb {
            "settings" => self.configure(&words),
            "advance" => self.advance(millis(words.word(1))),
            "fail" => self.failure = Some(code(words.word(1))),
            "hold" => self.held = Some(Vec::new()),
            "commit-held" => self.release(Ok(())),
            "fail-held" => self.release(Err(code(words.word(1)))),
            "reload" => self.reload(),
            "end-transaction" => {
                let producer = ProducerId(words.parsed(1));
                self.machine.end_transaction(producer, words.word(2) == "commit");
            }
            _ => {
                let who = match verb {
                    "join" | "sync" | "heartbeat" | "leave" | "commit" => words.word(2).to_owned(),
                    _ => verb.to_owned(),
                };
                self.request_count += 1;
                let request = self.request(verb, &words);
                self.asked.insert(RequestId(self.request_count), who);
                let effects =
                    self.machine.handle(self.now(), RequestId(self.request_count), request);
                self.absorb(effects);
            }
        }
        self.machine.assert_invariants();
    }

    fn configure(&mut self, words: &Words<'_>) {
        let number = |key, default| words.number(key).unwrap_or(default);
        self.settings.initial_rebalance_delay_ms =
            i32::try_from(millis(words.get("delay").unwrap_or("3s"))).expect("a short delay");
        self.settings.max_size = number("max_size", i32::MAX);
        self.settings.offset_metadata_max = number("metadata_max", 4096);
        self.settings.offsets_retention_ms = millis(words.get("retention").unwrap_or("604800s"));
        self.settings.retention_check_interval_ms =
            millis(words.get("check_interval").unwrap_or("600s"));
        self.reload();
    }

    fn request(&mut self, verb: &str, words: &Words<'_>) -> GroupRequest {
        let group = GroupId::from(if verb == "list" || verb == "topics-deleted" {
            ""
        } else {
            words.word(1)
        });
        match verb {
            "join" => self.join(group, words),
            "sync" => self.sync(group, words),
            "heartbeat" => {
                let name = words.word(2);
                let (member, generation) =
                    (self.identity(name, words), self.generation(name, words));
                GroupRequest::Heartbeat(group, member, generation)
            }
            "leave" => {
                let leave = |name: &&str| Leaving {
                    member: self.identity(name, &Words::new(verb)),
                    reason: None,
                };
                GroupRequest::Leave(group, words.plain[2..].iter().map(leave).collect())
            }
            "commit" => {
                let name = words.word(2);
                GroupRequest::Commit(
                    group,
                    CommitRequest {
                        member: self.identity(name, words),
                        generation: self.generation(name, words),
                        retention_ms: words.get("retention").map(millis),
                        knows_group_id_not_found: words.get("v") == Some("9"),
                        topics: topics(words),
                    },
                )
            }
            "transactional-commit" => GroupRequest::CommitTransactional(
                group,
                TransactionalCommitRequest {
                    producer_id: ProducerId(words.needed("producer")),
                    producer_epoch: ProducerEpoch(0),
                    member: MemberIdentity::default(),
                    generation: None,
                    topics: topics(words),
                },
            ),
            "fetch" => {
                let topics = partitions(words);
                GroupRequest::Fetch(
                    group,
                    FetchRequest {
                        topics: Some(topics).filter(|topics| !topics.is_empty()),
                        require_stable: words.has("stable"),
                    },
                )
            }
            "delete-offsets" => GroupRequest::DeleteOffsets(group, partitions(words)),
            "describe" => GroupRequest::Describe(group),
            "delete" => GroupRequest::Delete(group),
            "list" => GroupRequest::List(texts(words, "states"), texts(words, "types")),
            "topics-deleted" => GroupRequest::TopicsDeleted(
                words.plain.iter().skip(1).map(|name| TopicName::from(*name)).collect(),
            ),
            other => panic!("no such command: {other}"),
        }
    }

    fn join(&self, group: GroupId, words: &Words<'_>) -> GroupRequest {
        let name = words.word(2);
        let version: i32 = words.number("v").unwrap_or(9);
        let offers = words.get("protocols").unwrap_or("range:t");
        let protocols = offers.split(',').filter(|offer| !offer.is_empty()).map(protocol).collect();
        let time =
            |key| words.get(key).map(|text| i32::try_from(millis(text)).expect("a short time"));
        let is_new = words.has("new");
        let identity = self.identity(name, words);
        let join = JoinRequest {
            client_id: name.to_owned(),
            client_host: "/host".to_owned(),
            member_id: identity.member_id.filter(|_| !is_new),
            instance_id: identity.instance_id,
            protocol_type: words.get("type").unwrap_or("consumer").to_owned(),
            protocols,
            session_timeout_ms: time("session").unwrap_or(10_000),
            rebalance_timeout_ms: time("rebalance").unwrap_or(60_000),
            must_know_member_id: version >= 4,
            can_skip_assignment: version >= 9,
            reason: None,
        };
        GroupRequest::Join(group, Box::new(join), Uuid::from_u128(u128::from(self.request_count)))
    }

    fn sync(&self, group: GroupId, words: &Words<'_>) -> GroupRequest {
        let name = words.word(2);
        let assignments = texts(words, "assign")
            .iter()
            .map(|pair| {
                let (member, work) = pair.split_once(':').expect("assign=MEMBER:WORK");
                let known = self.members.get(member).map(|(id, _)| id.clone());
                (
                    known.unwrap_or_else(|| MemberId::new(member)),
                    Bytes::copy_from_slice(work.as_bytes()),
                )
            })
            .collect();
        let sync = SyncRequest {
            member: self.identity(name, words),
            generation: self.generation(name, words),
            protocol_type: words.get("type").map(str::to_owned),
            protocol_name: words.get("protocol").map(str::to_owned),
            assignments,
        };
        GroupRequest::Sync(group, Box::new(sync))
    }

    /// `a` is a client by its last member id, `a/i` with an instance id too, `/i` only with that, `-` nobody; `a~1` is
    /// a member id as it is printed.
    fn identity(&self, name: &str, words: &Words<'_>) -> MemberIdentity {
        let (name, instance) = name.split_once('/').unwrap_or((name, ""));
        let instance = words.get("instance").unwrap_or(instance);
        let given = name
            .contains('~')
            .then_some(name)
            .or(words.get("id"))
            .map(|id| MemberId::new(long(id)));
        MemberIdentity {
            member_id: given.or_else(|| self.members.get(name).map(|(id, _)| id.clone())),
            instance_id: Some(instance).filter(|text| !text.is_empty()).map(InstanceId::new),
        }
    }

    fn generation(&self, name: &str, words: &Words<'_>) -> Option<Generation> {
        let (name, _) = name.split_once('/').unwrap_or((name, ""));
        match words.get("generation") {
            Some(text) => Generation::from_wire(parse(text)),
            None => self.members.get(name).map(|(_, generation)| *generation),
        }
    }

    fn advance(&mut self, by_ms: i64) {
        let end_ms = self.now_ms + by_ms;
        let end = Instant(0).plus_millis(end_ms);
        while let Some(deadline) = self.machine.next_deadline().filter(|deadline| *deadline <= end)
        {
            let at_ms = i64::try_from(deadline.0 / 1_000_000).expect("not that late");
            self.now_ms = self.now_ms.max(at_ms);
            let before = self.output.len();
            let effects = self.machine.tick(self.now());
            self.absorb(effects);
            self.machine.assert_invariants();
            if self.output.len() > before {
                let line = format!("@{}ms\n", self.now_ms);
                self.output.insert_str(before, &line);
            }
        }
        self.now_ms = end_ms;
    }

    fn absorb(&mut self, effects: GroupEffects) {
        for (id, result) in effects.answers.into_iter().chain(effects.reads) {
            self.answer(id, result);
        }
        for write in effects.writes {
            if let Some(error) = self.failure.take() {
                self.say(&format!("append fails: {error}"));
                self.settle(write.then, Err(error));
                continue;
            }
            let producer = write.producer.map(|(id, _)| id);
            for record in write.records {
                // What is stored is what the bytes say.
                let (key, value) = GroupMachine::encode(&record).expect("it has bytes");
                assert_eq!(
                    GroupMachine::decode(&key, value.as_ref()),
                    crate::coordinator::machine::Decoded::Known(record.clone()),
                    "a record survives its bytes"
                );
                let offset = Offset::new(i64::try_from(self.log.len()).expect("a short log"));
                let marker = producer.map_or(String::new(), |id| format!(" producer={id}"));
                self.say(&format!("log {offset}{marker}: {}", shown_record(&record)));
                self.machine.replay(Position { offset, producer }, &record);
                self.log.push((producer, record));
            }
            match &mut self.held {
                Some(held) => held.push(write.then),
                None => self.settle(write.then, Ok(())),
            }
        }
    }

    fn release(&mut self, result: Result<(), ErrorCode>) {
        for then in self.held.take().expect("writes are held") {
            self.settle(then, result);
        }
    }

    fn settle(&mut self, then: Then<GroupReply, super::GroupToken>, result: Result<(), ErrorCode>) {
        match then {
            Then::Answer(id, reply) => {
                self.answer(id, result.map(|()| reply).map_err(client_error));
            }
            Then::Tell(token) => {
                let effects = self.machine.settled(self.now(), token, result);
                self.absorb(effects);
            }
            Then::Nothing => {}
        }
    }

    fn reload(&mut self) {
        let before = self.machine.stored();
        self.machine = GroupMachine::new(self.settings.clone());
        for (offset, (producer, record)) in self.log.iter().enumerate() {
            let offset = Offset::new(i64::try_from(offset).expect("a short log"));
            self.machine.replay(Position { offset, producer: *producer }, record);
        }
        if !self.log.iter().any(|(producer, _)| producer.is_some()) {
            assert_eq!(self.machine.stored(), before, "a load gives what was stored");
        }
        self.asked.clear();
        let effects = self.machine.loaded(self.now());
        self.absorb(effects);
    }

    fn answer(&mut self, id: RequestId, result: Result<GroupReply, ErrorCode>) {
        let who = self.asked.remove(&id).expect("an answer is given once");
        let name = who.split_once('/').map_or(who.as_str(), |(name, _)| name).to_owned();
        if let Ok(GroupReply::Join(outcome)) = &result {
            let known = match outcome {
                JoinOutcome::MemberIdRequired(id) => (id.clone(), Generation(-1)),
                JoinOutcome::Joined(joined) => (joined.member_id.clone(), joined.generation),
            };
            self.members.insert(name, known);
        }
        let text = match result {
            Ok(reply) => shown_reply(&reply),
            Err(error) => format!("error {error}"),
        };
        self.say(&format!("{who} <- {text}"));
    }
}

fn texts(words: &Words<'_>, key: &str) -> Vec<String> {
    words.get(key).into_iter().flat_map(|text| text.split(',')).map(str::to_owned).collect()
}

/// `t:0=5` or `t:0=5@2` (leader epoch) or `t:0=5!note` (metadata).
fn topics(words: &Words<'_>) -> Vec<CommitTopic> {
    let commit = |(place, what): &(&str, &str)| {
        let (topic, partition) = place.split_once(':')?;
        let (what, metadata) = what.split_once('!').unwrap_or((what, ""));
        let (offset, epoch) = what.split_once('@').unwrap_or((what, "-1"));
        Some(CommitTopic {
            topic: topic.into(),
            topic_id: None,
            partitions: vec![CommitPartition {
                partition: PartitionIndex(parse(partition)),
                offset: parse(offset),
                leader_epoch: LeaderEpoch::from_wire(parse(epoch)),
                metadata: metadata.to_owned(),
            }],
        })
    };
    words.named.iter().filter_map(commit).collect()
}

/// `t:0`
fn partitions(words: &Words<'_>) -> Vec<(TopicName, Vec<PartitionIndex>)> {
    let places = words.plain.iter().filter_map(|word| word.split_once(':'));
    places.map(|(topic, index)| (topic.into(), vec![PartitionIndex(parse(index))])).collect()
}

/// `range:t+u` offers `range` with a subscription to `t` and `u`; `range:?` has one that cannot be read.
fn protocol(offer: &str) -> Protocol {
    let (name, topics) = offer.split_once(':').unwrap_or((offer, ""));
    let topics: Vec<&str> = topics.split('+').filter(|topic| !topic.is_empty()).collect();
    let mut metadata = BytesMut::new();
    if topics != ["?"] {
        metadata.put_i16(0);
        metadata.put_i32(i32::try_from(topics.len()).expect("few topics"));
        for topic in topics {
            metadata.put_i16(i16::try_from(topic.len()).expect("a short name"));
            metadata.put_slice(topic.as_bytes());
        }
        metadata.put_i32(-1);
    }
    Protocol { name: name.to_owned(), metadata: metadata.freeze() }
}

fn millis(text: &str) -> i64 {
    match text.strip_suffix("ms") {
        Some(number) => parse(number),
        None => parse::<i64>(text.strip_suffix('s').expect("a time: 5s or 5ms")) * 1_000,
    }
}

fn code(name: &str) -> ErrorCode {
    let found = ErrorCode::ALL.iter().find(|code| code.name() == name);
    *found.unwrap_or_else(|| panic!("no error {name}"))
}

fn long(id: &str) -> String {
    match id.split_once('~') {
        Some((name, number)) => format!("{name}-{}", Uuid::from_u128(parse(number))),
        None => id.to_owned(),
    }
}
