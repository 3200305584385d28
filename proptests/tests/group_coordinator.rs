//! Random clients against the group machine: they join, sync, commit, leave and crash, writes fail or are committed
//! late, the coordinator moves.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ottla::coordinator::{
    CommitPartition, CommitRequest, CommitTopic, Decoded, FetchRequest, Generation, GroupEffects,
    GroupMachine, GroupRecord, GroupReply, GroupRequest, GroupSettings, GroupState, GroupToken,
    InstanceId, JoinOutcome, JoinRequest, Joined, Leaving, Machine as _, MemberIdentity, Now,
    Position, Protocol, RequestId, SyncRequest, Then,
};
use ottla::environment::Instant;
use ottla::model::{ErrorCode, GroupId, MemberId, Offset, PartitionIndex, Timestamp};
use proptest::prelude::{ProptestConfig, any, proptest};

const CLIENT_COUNT: usize = 5;
const PARTITION_COUNT: u8 = 7;

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_group_survives_its_members_and_its_coordinators(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
        }
        world.settle_down();
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Phase {
    #[default]
    Idle,
    Joining,
    Joined(Box<Joined>),
    Syncing(Generation),
    Working(Generation, BTreeSet<u8>),
}

#[derive(Clone, Debug, Default)]
struct Client {
    is_static: bool,
    member_id: Option<MemberId>,
    phase: Phase,
    is_alive: bool,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Join(usize),
    Sync(usize, Generation),
    Heartbeat(usize),
    Leave,
    Commit(u8, i64),
    Fetch,
}

struct World {
    random: u64,
    machine: GroupMachine,
    log: Vec<(Bytes, Option<Bytes>)>,
    now_ms: i64,
    request_count: u64,
    asked: BTreeMap<RequestId, Asked>,
    clients: Vec<Client>,
    held: Option<Vec<Then<GroupReply, GroupToken>>>,
    is_next_append_failing: bool,
    /// By generation, who was told to work on what.
    owners: BTreeMap<(Generation, u8), MemberId>,
    /// By generation and member, what leaders decided; a generation that was never stored may be decided again.
    plans: BTreeMap<(Generation, String), BTreeSet<BTreeSet<u8>>>,
    /// By partition: what was acknowledged, and what may have been written after.
    committed: BTreeMap<u8, (Option<i64>, BTreeSet<i64>)>,
    stored_generation: Generation,
    commit_count: i64,
}

fn settings() -> GroupSettings {
    GroupSettings { initial_rebalance_delay_ms: 1_000, ..GroupSettings::default() }
}

fn group() -> GroupId {
    GroupId::from("g")
}

impl World {
    fn new(seed: u64) -> Self {
        let mut machine = GroupMachine::new(settings());
        let _ = machine.loaded(Now { instant: Instant(0), wall: Timestamp(0) });
        let clients = (0..CLIENT_COUNT).map(|index| Client {
            is_static: index % 2 == 0,
            is_alive: true,
            ..Client::default()
        });
        Self {
            random: seed,
            machine,
            log: Vec::new(),
            now_ms: 0,
            request_count: 0,
            asked: BTreeMap::new(),
            clients: clients.collect(),
            held: None,
            is_next_append_failing: false,
            owners: BTreeMap::new(),
            plans: BTreeMap::new(),
            committed: BTreeMap::new(),
            stored_generation: Generation(0),
            commit_count: 0,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn now(&self) -> Now {
        Now { instant: Instant(0).plus_millis(self.now_ms), wall: Timestamp(self.now_ms) }
    }

    fn step(&mut self) {
        let who = usize::try_from(self.random(CLIENT_COUNT as u64)).expect("small in this model");
        match self.random(100) {
            0..60 => self.act(who),
            60..75 => self.commit(who),
            75..85 => {
                let by_ms = [100, 1_000, 5_000, 20_000]
                    [usize::try_from(self.random(4)).expect("small in this model")];
                self.advance(by_ms);
            }
            85..88 => self.crash(who),
            88..90 => self.leave(who),
            90..92 => self.is_next_append_failing = true,
            92..94 => self.held = Some(self.held.take().unwrap_or_default()),
            94..97 => self.release(),
            97 => self.move_coordinator(),
            _ => self.check_fetch(),
        }
        self.machine.assert_invariants();
    }

    /// What a client would do next.
    fn act(&mut self, who: usize) {
        let client = self.clients[who].clone();
        if !client.is_alive {
            self.clients[who].is_alive = self.random(3) == 0;
            return;
        }
        match client.phase {
            Phase::Idle => self.join(who),
            Phase::Joining | Phase::Syncing(_) => {}
            Phase::Joined(joined) => self.sync(who, &joined),
            Phase::Working(generation, _) => {
                let request =
                    GroupRequest::Heartbeat(group(), self.identity(who), Some(generation));
                self.ask(Asked::Heartbeat(who), request);
            }
        }
    }

    fn identity(&self, who: usize) -> MemberIdentity {
        let client = &self.clients[who];
        let instance_id = client.is_static.then(|| InstanceId::new(format!("i{who}")));
        MemberIdentity { member_id: client.member_id.clone(), instance_id }
    }

    fn join(&mut self, who: usize) {
        let identity = self.identity(who);
        self.clients[who].phase = Phase::Joining;
        let mut names = ["range", "sticky"];
        if self.random(2) == 0 {
            names.reverse();
        }
        let protocol = |name: &&str| Protocol { name: (*name).to_owned(), metadata: Bytes::new() };
        let join = JoinRequest {
            client_id: format!("c{who}"),
            client_host: "/h".into(),
            member_id: identity.member_id,
            instance_id: identity.instance_id,
            protocol_type: "consumer".into(),
            protocols: names.iter().map(protocol).collect(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 15_000,
            must_know_member_id: true,
            can_skip_assignment: self.random(2) == 0,
            reason: None,
        };
        let bytes = u128::from(self.random(u64::MAX)).to_be_bytes();
        let fresh = uuid::Uuid::from_bytes(bytes);
        self.ask(Asked::Join(who), GroupRequest::Join(group(), Box::new(join), fresh));
    }

    fn sync(&mut self, who: usize, joined: &Joined) {
        let mut assignments = Vec::new();
        if !joined.members.is_empty() && !joined.skip_assignment {
            let mut work: Vec<Vec<u8>> = vec![Vec::new(); joined.members.len()];
            let first = usize::try_from(self.random(100)).expect("small in this model");
            for partition in 0..PARTITION_COUNT {
                work[(first + usize::from(partition)) % joined.members.len()].push(partition);
            }
            let members = joined.members.iter().map(|member| member.member_id.clone());
            assignments = members.zip(work.into_iter().map(Bytes::from)).collect();
        }
        for (member, work) in &assignments {
            let plans = self.plans.entry((joined.generation, place(member))).or_default();
            plans.insert(work.iter().copied().collect());
        }
        self.clients[who].phase = Phase::Syncing(joined.generation);
        let sync = SyncRequest {
            member: self.identity(who),
            generation: Some(joined.generation),
            protocol_type: joined.protocol_type.clone(),
            protocol_name: joined.protocol_name.clone(),
            assignments,
        };
        self.ask(Asked::Sync(who, joined.generation), GroupRequest::Sync(group(), Box::new(sync)));
    }

    fn commit(&mut self, who: usize) {
        let Phase::Working(generation, work) = self.clients[who].phase.clone() else { return };
        let Some(partition) = work.first().copied() else { return };
        self.commit_count += 1;
        let value = self.commit_count;
        let commit = CommitRequest {
            member: self.identity(who),
            generation: Some(generation),
            retention_ms: None,
            knows_group_id_not_found: true,
            topics: vec![CommitTopic {
                topic: "t".into(),
                topic_id: None,
                partitions: vec![CommitPartition {
                    partition: PartitionIndex(i32::from(partition)),
                    offset: value,
                    leader_epoch: None,
                    metadata: String::new(),
                }],
            }],
        };
        self.ask(Asked::Commit(partition, value), GroupRequest::Commit(group(), commit));
    }

    fn crash(&mut self, who: usize) {
        self.clients[who] = Client { is_static: self.clients[who].is_static, ..Client::default() };
    }

    fn leave(&mut self, who: usize) {
        let leaving = Leaving { member: self.identity(who), reason: None };
        self.crash(who);
        self.ask(Asked::Leave, GroupRequest::Leave(group(), vec![leaving]));
    }

    fn advance(&mut self, by_ms: i64) {
        let end_ms = self.now_ms + by_ms;
        let end = Instant(0).plus_millis(end_ms);
        while let Some(deadline) = self.machine.next_deadline().filter(|deadline| *deadline <= end)
        {
            self.now_ms = self
                .now_ms
                .max(i64::try_from(deadline.0 / 1_000_000).expect("small in this model"));
            let effects = self.machine.tick(self.now());
            self.absorb(effects);
        }
        self.now_ms = end_ms;
    }

    fn release(&mut self) {
        for then in self.held.take().unwrap_or_default() {
            self.settle(then, Ok(()));
        }
    }

    /// Another broker loads the log; whoever waits is told to look for it. What was written stays.
    fn move_coordinator(&mut self) {
        let stored = self.machine.stored();
        self.machine = self.loaded();
        assert_eq!(self.machine.stored(), stored, "a load gives what was stored");
        self.held = None;
        for (_, asked) in std::mem::take(&mut self.asked) {
            self.refused(asked);
        }
        let effects = self.machine.loaded(self.now());
        self.absorb(effects);
    }

    fn loaded(&self) -> GroupMachine {
        let mut machine = GroupMachine::new(settings());
        for (offset, (key, value)) in self.log.iter().enumerate() {
            let Decoded::Known(record) = GroupMachine::decode(key, value.as_ref()) else {
                panic!("our own record cannot be read")
            };
            let offset = Offset::new(i64::try_from(offset).expect("small in this model"));
            machine.replay(Position { offset, producer: None }, &record);
        }
        machine
    }

    fn refused(&mut self, asked: Asked) {
        match asked {
            Asked::Join(who) | Asked::Sync(who, _) => {
                if matches!(self.clients[who].phase, Phase::Joining | Phase::Syncing(_)) {
                    self.clients[who].phase = Phase::Idle;
                }
            }
            Asked::Heartbeat(_) | Asked::Leave | Asked::Commit(..) | Asked::Fetch => {}
        }
    }

    fn ask(&mut self, asked: Asked, request: GroupRequest) {
        self.request_count += 1;
        let id = RequestId(self.request_count);
        self.asked.insert(id, asked);
        let effects = self.machine.handle(self.now(), id, request);
        self.absorb(effects);
    }

    fn absorb(&mut self, effects: GroupEffects) {
        for (id, result) in effects.answers.into_iter().chain(effects.reads) {
            self.answer(id, result);
        }
        for write in effects.writes {
            if std::mem::take(&mut self.is_next_append_failing) {
                self.settle(write.then, Err(ErrorCode::NotEnoughReplicas));
                continue;
            }
            for record in write.records {
                self.append(&record);
            }
            match &mut self.held {
                Some(held) => held.push(write.then),
                None => self.settle(write.then, Ok(())),
            }
        }
    }

    fn append(&mut self, record: &GroupRecord) {
        let offset = Offset::new(i64::try_from(self.log.len()).expect("small in this model"));
        self.log.push(GroupMachine::encode(record).expect("a record of ours can be written"));
        self.machine.replay(Position { offset, producer: None }, record);
        match record {
            GroupRecord::Group { value: Some(stored), .. } => {
                assert!(stored.generation >= self.stored_generation, "generations only grow");
                self.stored_generation = stored.generation;
            }
            GroupRecord::Group { value: None, .. } => {
                panic!("the group is never unused for a week")
            }
            GroupRecord::Offset { partition, value, .. } => {
                let partition = u8::try_from(partition.0).expect("small in this model");
                let value =
                    value.as_ref().expect("offsets do not expire while the group is in use").offset;
                self.committed.entry(partition).or_default().1.insert(value);
            }
        }
    }

    fn settle(&mut self, then: Then<GroupReply, GroupToken>, result: Result<(), ErrorCode>) {
        match then {
            Then::Answer(id, reply) => self.answer(id, result.map(|()| reply)),
            Then::Tell(token) => {
                let effects = self.machine.settled(self.now(), token, result);
                self.absorb(effects);
            }
            Then::Nothing => {}
        }
    }

    fn answer(&mut self, id: RequestId, result: Result<GroupReply, ErrorCode>) {
        let asked = self.asked.remove(&id).expect("an answer is given once, and to a request");
        match (asked, result) {
            (Asked::Join(who), Ok(GroupReply::Join(outcome))) => {
                if self.clients[who].phase != Phase::Joining {
                    return;
                }
                match outcome {
                    JoinOutcome::MemberIdRequired(id) => {
                        self.clients[who].member_id = Some(id);
                        self.clients[who].phase = Phase::Idle;
                    }
                    JoinOutcome::Joined(joined) => {
                        self.clients[who].member_id = Some(joined.member_id.clone());
                        self.clients[who].phase = Phase::Joined(Box::new(joined));
                    }
                }
            }
            (Asked::Sync(who, generation), Ok(GroupReply::Synced(synced))) => {
                if self.clients[who].phase != Phase::Syncing(generation) {
                    return;
                }
                self.assigned(who, generation, synced.assignment.iter().copied().collect());
            }
            (Asked::Commit(partition, value), Ok(GroupReply::Partitions(_))) => {
                let (acknowledged, written) = self.committed.entry(partition).or_default();
                *acknowledged = Some(value);
                written.retain(|other| *other > value);
            }
            (Asked::Fetch, Ok(GroupReply::Fetched(topics))) => self.check_fetched(&topics),
            (_, Ok(_)) => {}
            (asked, Err(error)) => self.client_error(asked, error),
        }
    }

    fn client_error(&mut self, asked: Asked, error: ErrorCode) {
        let (Asked::Join(who) | Asked::Sync(who, _) | Asked::Heartbeat(who)) = asked else {
            return;
        };
        if matches!(
            (asked, &self.clients[who].phase),
            (Asked::Heartbeat(_), Phase::Joining | Phase::Idle)
        ) {
            return;
        }
        self.clients[who].phase = Phase::Idle;
        if error == ErrorCode::UnknownMemberId {
            self.clients[who].member_id = None;
        } else if error == ErrorCode::FencedInstanceId {
            // A second process with our instance id took our place: this one ends.
            self.crash(who);
        }
    }

    fn assigned(&mut self, who: usize, generation: Generation, work: BTreeSet<u8>) {
        let me = self.clients[who].member_id.clone().expect("a member has an id");
        let is_planned =
            self.plans.get(&(generation, place(&me))).is_some_and(|plans| plans.contains(&work));
        assert!(
            is_planned,
            "{me} is given {work:?} in generation {generation}, which no leader decided"
        );
        for partition in &work {
            let owner = self.owners.entry((generation, *partition)).or_insert_with(|| me.clone());
            let is_same = place(owner) == place(&me);
            assert!(
                is_same,
                "{partition} of generation {generation} is given to {owner} and to {me}"
            );
            *owner = me.clone();
        }
        self.clients[who].phase = Phase::Working(generation, work);
    }

    fn check_fetch(&mut self) {
        self.ask(
            Asked::Fetch,
            GroupRequest::Fetch(group(), FetchRequest { topics: None, require_stable: true }),
        );
        assert_eq!(
            self.loaded().stored(),
            self.machine.stored(),
            "what was decided is what was written"
        );
    }

    fn check_fetched(&self, topics: &[ottla::coordinator::FetchedTopic]) {
        let mut found: BTreeMap<u8, i64> = BTreeMap::new();
        for partition in topics.iter().flat_map(|topic| &topic.partitions) {
            found.insert(
                u8::try_from(partition.partition.0).expect("small in this model"),
                partition.offset.expect("a stored offset"),
            );
        }
        for (partition, (acknowledged, written)) in &self.committed {
            let offset = found.get(partition).copied();
            let newest = written.last().copied().max(*acknowledged);
            assert_eq!(offset, newest, "the offset of {partition} is what was committed last");
        }
    }

    /// Without faults the group comes to rest with each partition in one living member's hands.
    fn settle_down(&mut self) {
        self.release();
        self.is_next_append_failing = false;
        for client in &mut self.clients {
            client.is_alive = true;
        }
        for _ in 0..200 {
            for who in 0..CLIENT_COUNT {
                self.act(who);
            }
            self.advance(1_000);
            self.machine.assert_invariants();
        }
        self.check_fetch();
        let listed = self.machine.handle(self.now(), RequestId(0), GroupRequest::Describe(group()));
        let Some((_, Ok(GroupReply::Described(Some(described))))) = listed.reads.into_iter().next()
        else {
            panic!("the group is described")
        };
        assert_eq!(described.state, GroupState::Stable, "{:?}", self.clients);
        let mut owned = Vec::new();
        for client in &self.clients {
            let Phase::Working(_, work) = &client.phase else { panic!("{client:?} does not work") };
            owned.extend(work.iter().copied());
        }
        owned.sort_unstable();
        assert_eq!(owned, (0..PARTITION_COUNT).collect::<Vec<_>>(), "each partition has one owner");
    }
}

/// Who a member is for its group: a static member's place passes to whoever comes back under another id.
fn place(id: &MemberId) -> String {
    let text = id.as_str();
    let name = text.split('-').next().unwrap_or_default();
    if name.starts_with('i') { name.to_owned() } else { text.to_owned() }
}
