//! Runs the scripts in `scenarios/`: each block of commands is followed by `---` and all that came of it.
//!
//! `UPDATE_SCENARIOS=1 cargo test` writes the outputs anew; people review them. Members go by the name of their
//! client; a member id is printed as that name, `~` and the number of the request that made it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use uuid::Uuid;

use super::{
    CommitPartition, CommitRequest, CommitTopic, CommittedOffset, FetchRequest, FetchedPartition,
    Generation, GroupEffects, GroupMachine, GroupRecord, GroupReply, GroupRequest, GroupSettings,
    InstanceId, JoinOutcome, JoinRequest, Leaving, MemberIdentity, PartitionOutcomes, Protocol,
    StoredGroup, SyncRequest, TransactionalCommitRequest,
};
use crate::coordinator::client_error;
use crate::coordinator::machine::{Machine as _, Position, RequestId, Then};
use crate::coordinator::timer::{Instant, Now};
use crate::model::{
    ErrorCode, GroupId, LeaderEpoch, MemberId, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    Timestamp, TopicName,
};

macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        $(#[test] fn $name() { check(stringify!($name)); })+

        #[test]
        fn every_script_is_run() {
            let names = [$(concat!(stringify!($name), ".txt")),+];
            #[expect(clippy::disallowed_methods, reason = "a test looks for its scripts")]
            let entries = std::fs::read_dir(directory()).unwrap();
            for entry in entries {
                let file = entry.unwrap().file_name();
                assert!(names.contains(&file.to_str().unwrap()), "{file:?} is run by nobody");
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

fn directory() -> String {
    format!("{}/src/coordinator/group/scenarios", env!("CARGO_MANIFEST_DIR"))
}

fn check(name: &str) {
    let path = format!("{}/{name}.txt", directory());
    #[expect(clippy::disallowed_methods, reason = "a test reads its script")]
    let script = std::fs::read_to_string(&path).unwrap();
    let mut world = World::new();
    let mut actual = String::new();
    let mut is_output = false;
    for line in script.lines() {
        match line {
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
            comment if comment.starts_with('#') => writeln!(actual, "{comment}").unwrap(),
            command => {
                writeln!(actual, "{command}").unwrap();
                world.run(command);
            }
        }
    }
    if is_output || !world.output.is_empty() {
        actual.push_str("---\n");
        actual.push_str(&world.output);
    }
    if std::env::var_os("UPDATE_SCENARIOS").is_some() {
        #[expect(clippy::disallowed_methods, reason = "a test writes its script")]
        std::fs::write(&path, &actual).unwrap();
    } else {
        assert_eq!(actual, script, "{name}: run with UPDATE_SCENARIOS=1 and review");
    }
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
        writeln!(self.output, "{line}").unwrap();
    }

    fn run(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap();
        let arguments = Arguments(words.collect());
        match verb {
            "settings" => self.configure(&arguments),
            "advance" => self.advance(millis(arguments.word(0))),
            "fail" => self.failure = Some(code(arguments.word(0))),
            "hold" => self.held = Some(Vec::new()),
            "commit-held" => self.release(Ok(())),
            "fail-held" => self.release(Err(code(arguments.word(0)))),
            "reload" => self.reload(),
            "end-transaction" => {
                let producer = ProducerId(arguments.word(0).parse().unwrap());
                self.machine.end_transaction(producer, arguments.word(1) == "commit");
            }
            _ => {
                let who = match verb {
                    "join" | "sync" | "heartbeat" | "leave" | "commit" => {
                        arguments.word(1).to_owned()
                    }
                    _ => verb.to_owned(),
                };
                self.request_count += 1;
                let request = self.request(verb, &arguments);
                self.asked.insert(RequestId(self.request_count), who);
                let effects =
                    self.machine.handle(self.now(), RequestId(self.request_count), request);
                self.absorb(effects);
            }
        }
        self.machine.assert_invariants();
    }

    fn configure(&mut self, arguments: &Arguments<'_>) {
        let number =
            |key, default| arguments.value(key).map_or(default, |text| text.parse().unwrap());
        self.settings.initial_rebalance_delay_ms =
            i32::try_from(millis(arguments.value("delay").unwrap_or("3s"))).unwrap();
        self.settings.max_size = number("max_size", i32::MAX);
        self.settings.offset_metadata_max = number("metadata_max", 4096);
        self.settings.offsets_retention_ms =
            millis(arguments.value("retention").unwrap_or("604800s"));
        self.settings.retention_check_interval_ms =
            millis(arguments.value("check_interval").unwrap_or("600s"));
        self.reload();
    }

    fn request(&mut self, verb: &str, arguments: &Arguments<'_>) -> GroupRequest {
        let group = GroupId::from(if verb == "list" || verb == "topics-deleted" {
            ""
        } else {
            arguments.word(0)
        });
        match verb {
            "join" => self.join(group, arguments),
            "sync" => self.sync(group, arguments),
            "heartbeat" => {
                let name = arguments.word(1);
                let (member, generation) =
                    (self.identity(name, arguments), self.generation(name, arguments));
                GroupRequest::Heartbeat(group, member, generation)
            }
            "leave" => {
                let leave = |name: &&str| Leaving {
                    member: self.identity(name, &Arguments(vec![])),
                    reason: None,
                };
                GroupRequest::Leave(group, arguments.0[1..].iter().map(leave).collect())
            }
            "commit" => {
                let name = arguments.word(1);
                GroupRequest::Commit(
                    group,
                    CommitRequest {
                        member: self.identity(name, arguments),
                        generation: self.generation(name, arguments),
                        retention_ms: arguments.value("retention").map(millis),
                        knows_group_id_not_found: arguments.value("v") == Some("9"),
                        topics: arguments.topics(2),
                    },
                )
            }
            "transactional-commit" => GroupRequest::CommitTransactional(
                group,
                TransactionalCommitRequest {
                    producer_id: ProducerId(arguments.value("producer").unwrap().parse().unwrap()),
                    producer_epoch: ProducerEpoch(0),
                    member: MemberIdentity::default(),
                    generation: None,
                    topics: arguments.topics(1),
                },
            ),
            "fetch" => {
                let topics = arguments.partitions(1);
                GroupRequest::Fetch(
                    group,
                    FetchRequest {
                        topics: Some(topics).filter(|topics| !topics.is_empty()),
                        require_stable: arguments.0.contains(&"stable"),
                    },
                )
            }
            "delete-offsets" => GroupRequest::DeleteOffsets(group, arguments.partitions(1)),
            "describe" => GroupRequest::Describe(group),
            "delete" => GroupRequest::Delete(group),
            "list" => GroupRequest::List(arguments.list("states"), arguments.list("types")),
            "topics-deleted" => GroupRequest::TopicsDeleted(
                arguments.0.iter().map(|name| TopicName::from(*name)).collect(),
            ),
            other => panic!("no such command: {other}"),
        }
    }

    fn join(&self, group: GroupId, arguments: &Arguments<'_>) -> GroupRequest {
        let name = arguments.word(1);
        let version: i32 = arguments.value("v").map_or(9, |text| text.parse().unwrap());
        let offers = arguments.value("protocols").unwrap_or("range:t");
        let protocols = offers.split(',').filter(|offer| !offer.is_empty()).map(protocol).collect();
        let time = |key| arguments.value(key).map(|text| i32::try_from(millis(text)).unwrap());
        let is_new = arguments.0.contains(&"new");
        let identity = self.identity(name, arguments);
        let join = JoinRequest {
            client_id: name.to_owned(),
            client_host: "/host".to_owned(),
            member_id: identity.member_id.filter(|_| !is_new),
            instance_id: identity.instance_id,
            protocol_type: arguments.value("type").unwrap_or("consumer").to_owned(),
            protocols,
            session_timeout_ms: time("session").unwrap_or(10_000),
            rebalance_timeout_ms: time("rebalance").unwrap_or(60_000),
            must_know_member_id: version >= 4,
            can_skip_assignment: version >= 9,
            reason: None,
        };
        GroupRequest::Join(group, Box::new(join), Uuid::from_u128(u128::from(self.request_count)))
    }

    fn sync(&self, group: GroupId, arguments: &Arguments<'_>) -> GroupRequest {
        let name = arguments.word(1);
        let assignments = arguments
            .list("assign")
            .iter()
            .map(|pair| {
                let (member, work) = pair.split_once(':').unwrap();
                let known = self.members.get(member).map(|(id, _)| id.clone());
                (
                    known.unwrap_or_else(|| MemberId::new(member)),
                    Bytes::copy_from_slice(work.as_bytes()),
                )
            })
            .collect();
        let sync = SyncRequest {
            member: self.identity(name, arguments),
            generation: self.generation(name, arguments),
            protocol_type: arguments.value("type").map(str::to_owned),
            protocol_name: arguments.value("protocol").map(str::to_owned),
            assignments,
        };
        GroupRequest::Sync(group, Box::new(sync))
    }

    /// `a` is a client by its last member id, `a/i` with an instance id too, `/i` only with that, `-` nobody; `a~1` is
    /// a member id as it is printed.
    fn identity(&self, name: &str, arguments: &Arguments<'_>) -> MemberIdentity {
        let (name, instance) = name.split_once('/').unwrap_or((name, ""));
        let instance = arguments.value("instance").unwrap_or(instance);
        let given = name
            .contains('~')
            .then_some(name)
            .or(arguments.value("id"))
            .map(|id| MemberId::new(long(id)));
        MemberIdentity {
            member_id: given.or_else(|| self.members.get(name).map(|(id, _)| id.clone())),
            instance_id: Some(instance).filter(|text| !text.is_empty()).map(InstanceId::new),
        }
    }

    fn generation(&self, name: &str, arguments: &Arguments<'_>) -> Option<Generation> {
        let name = name.split('/').next().unwrap();
        match arguments.value("generation") {
            Some(text) => Generation::from_wire(text.parse().unwrap()),
            None => self.members.get(name).map(|(_, generation)| *generation),
        }
    }

    fn advance(&mut self, by_ms: i64) {
        let end_ms = self.now_ms + by_ms;
        let end = Instant(0).plus_millis(end_ms);
        while let Some(deadline) = self.machine.next_deadline().filter(|deadline| *deadline <= end)
        {
            let at_ms = i64::try_from(deadline.0 / 1_000_000).unwrap();
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
                let (key, value) = GroupMachine::encode(&record).unwrap();
                assert_eq!(
                    GroupMachine::decode(&key, value.as_ref()),
                    crate::coordinator::machine::Decoded::Known(record.clone()),
                    "a record survives its bytes"
                );
                let offset = Offset::new(i64::try_from(self.log.len()).unwrap());
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
        for then in self.held.take().unwrap() {
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
            let offset = Offset::new(i64::try_from(offset).unwrap());
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
        let name = who.split('/').next().unwrap().to_owned();
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

struct Arguments<'a>(Vec<&'a str>);

impl<'a> Arguments<'a> {
    fn word(&self, index: usize) -> &'a str {
        self.0[index]
    }

    fn value(&self, key: &str) -> Option<&'a str> {
        self.0
            .iter()
            .filter_map(|word| word.split_once('='))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    fn list(&self, key: &str) -> Vec<String> {
        self.value(key).into_iter().flat_map(|text| text.split(',')).map(str::to_owned).collect()
    }

    /// `t:0=5` or `t:0=5@2` (leader epoch) or `t:0=5!note` (metadata).
    fn topics(&self, from: usize) -> Vec<CommitTopic> {
        let words = self.0[from..].iter().filter(|word| word.contains(':'));
        words
            .map(|word| {
                let (place, what) = word.split_once('=').unwrap();
                let (topic, partition) = place.split_once(':').unwrap();
                let (what, metadata) = what.split_once('!').unwrap_or((what, ""));
                let (offset, epoch) = what.split_once('@').unwrap_or((what, "-1"));
                CommitTopic {
                    topic: topic.into(),
                    topic_id: None,
                    partitions: vec![CommitPartition {
                        partition: PartitionIndex(partition.parse().unwrap()),
                        offset: offset.parse().unwrap(),
                        leader_epoch: LeaderEpoch::from_wire(epoch.parse().unwrap()),
                        metadata: metadata.to_owned(),
                    }],
                }
            })
            .collect()
    }

    fn partitions(&self, from: usize) -> Vec<(TopicName, Vec<PartitionIndex>)> {
        let places = self.0[from..].iter().filter_map(|word| word.split_once(':'));
        places
            .map(|(topic, index)| (topic.into(), vec![PartitionIndex(index.parse().unwrap())]))
            .collect()
    }
}

/// `range:t+u` offers `range` with a subscription to `t` and `u`; `range:?` has one that cannot be read.
fn protocol(offer: &str) -> Protocol {
    let (name, topics) = offer.split_once(':').unwrap_or((offer, ""));
    let topics: Vec<&str> = topics.split('+').filter(|topic| !topic.is_empty()).collect();
    let mut metadata = BytesMut::new();
    if topics != ["?"] {
        metadata.put_i16(0);
        metadata.put_i32(i32::try_from(topics.len()).unwrap());
        for topic in topics {
            metadata.put_i16(i16::try_from(topic.len()).unwrap());
            metadata.put_slice(topic.as_bytes());
        }
        metadata.put_i32(-1);
    }
    Protocol { name: name.to_owned(), metadata: metadata.freeze() }
}

fn millis(text: &str) -> i64 {
    match text.strip_suffix("ms") {
        Some(number) => number.parse().unwrap(),
        None => text.strip_suffix('s').unwrap().parse::<i64>().unwrap() * 1_000,
    }
}

fn code(name: &str) -> ErrorCode {
    *ErrorCode::ALL.iter().find(|code| code.name() == name).unwrap()
}

/// `a~7` for `a-00000000-0000-0000-0000-000000000007`.
fn short(id: &MemberId) -> String {
    let text = id.as_str();
    match text.len().checked_sub(37).and_then(|at| text.split_at_checked(at)) {
        Some((name, tail)) => match Uuid::parse_str(tail.trim_start_matches('-')) {
            Ok(uuid) => format!("{name}~{}", uuid.as_u128()),
            Err(_) => text.to_owned(),
        },
        None => text.to_owned(),
    }
}

fn long(id: &str) -> String {
    match id.split_once('~') {
        Some((name, number)) => format!("{name}-{}", Uuid::from_u128(number.parse().unwrap())),
        None => id.to_owned(),
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown_record(record: &GroupRecord) -> String {
    match record {
        GroupRecord::Offset { group, topic, partition, value } => {
            format!(
                "offset {group} {topic}:{partition} {}",
                value.as_ref().map_or("deleted".into(), shown_offset)
            )
        }
        GroupRecord::Group { group, value } => {
            format!("group {group} {}", value.as_ref().map_or("deleted".into(), shown_group))
        }
    }
}

fn shown_offset(value: &CommittedOffset) -> String {
    let mut shown = value.offset.to_string();
    if let Some(epoch) = value.leader_epoch {
        write!(shown, "@{epoch}").unwrap();
    }
    if !value.metadata.is_empty() {
        write!(shown, "!{}", value.metadata).unwrap();
    }
    write!(shown, " at={}", value.commit_timestamp).unwrap();
    if let Some(expires) = value.expire_timestamp {
        write!(shown, " expires={expires}").unwrap();
    }
    shown
}

fn shown_group(value: &StoredGroup) -> String {
    let members: Vec<String> = value
        .members
        .iter()
        .map(|member| {
            let instance = member.instance_id.as_ref().map_or(String::new(), |id| format!("/{id}"));
            format!("{}{instance}={}", short(&member.member_id), text(&member.assignment))
        })
        .collect();
    format!(
        "generation={} type={:?} protocol={} leader={} since={} members=[{}]",
        value.generation,
        value.protocol_type,
        value.protocol_name.as_deref().unwrap_or("none"),
        value.leader.as_ref().map_or("none".into(), short),
        value.state_since.map_or("none".into(), |at| at.to_string()),
        members.join(" ")
    )
}

fn shown_outcomes(outcomes: &PartitionOutcomes) -> String {
    let shown = outcomes.iter().flat_map(|(topic, partitions)| {
        partitions.iter().map(move |(partition, error)| format!("{topic}:{partition}={error}"))
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn shown_fetched(topic: &TopicName, fetched: &FetchedPartition) -> String {
    let offset = fetched.offset.map_or("none".into(), |offset| offset.to_string());
    let epoch = fetched.leader_epoch.map_or(String::new(), |epoch| format!("@{epoch}"));
    let note =
        if fetched.metadata.is_empty() { String::new() } else { format!("!{}", fetched.metadata) };
    let error = if fetched.error == ErrorCode::None {
        String::new()
    } else {
        format!(" ({})", fetched.error)
    };
    format!("{topic}:{}={offset}{epoch}{note}{error}", fetched.partition)
}

fn shown_reply(reply: &GroupReply) -> String {
    match reply {
        GroupReply::Join(JoinOutcome::MemberIdRequired(id)) => {
            format!("come again as {}", short(id))
        }
        GroupReply::Join(JoinOutcome::Joined(joined)) => {
            let members: Vec<String> =
                joined.members.iter().map(|member| short(&member.member_id)).collect();
            format!(
                "joined generation={} as={} leader={} protocol={}{}{}",
                joined.generation,
                short(&joined.member_id),
                short(&joined.leader),
                joined.protocol_name.as_deref().unwrap_or("none"),
                if members.is_empty() {
                    String::new()
                } else {
                    format!(" members=[{}]", members.join(" "))
                },
                if joined.skip_assignment { " skip-assignment" } else { "" },
            )
        }
        GroupReply::Synced(synced) => format!("assigned {:?}", text(&synced.assignment)),
        GroupReply::Left(members) => {
            let shown = members.iter().map(|(member, error)| {
                let id = member.member_id.as_ref().map_or(String::new(), short);
                let instance =
                    member.instance_id.as_ref().map_or(String::new(), |id| format!("/{id}"));
                format!("{id}{instance}={error}")
            });
            format!("left {}", shown.collect::<Vec<_>>().join(" "))
        }
        GroupReply::Partitions(outcomes) => shown_outcomes(outcomes),
        GroupReply::Fetched(topics) => {
            let shown = topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|fetched| shown_fetched(&topic.topic, fetched))
            });
            format!("fetched {}", shown.collect::<Vec<_>>().join(" "))
        }
        GroupReply::Described(None) => "no such group".into(),
        GroupReply::Described(Some(group)) => {
            let members = group.members.iter().map(|member| {
                let subscription =
                    if member.metadata.is_empty() { "" } else { " with subscription" };
                format!("{}={}{subscription}", short(&member.member_id), text(&member.assignment))
            });
            let members: Vec<String> = members.collect();
            format!(
                "{} type={:?} protocol={:?} members=[{}]",
                group.state,
                group.protocol_type,
                group.protocol_name,
                members.join(", ")
            )
        }
        GroupReply::Listed(groups) => {
            let shown = groups
                .iter()
                .map(|group| format!("{}({}, {})", group.group, group.state, group.group_type));
            format!("listed {}", shown.collect::<Vec<_>>().join(" "))
        }
        GroupReply::Done => "done".into(),
    }
}
