//! Clients that write records with values of their own, read them while they come, commit offsets and change topics;
//! each on a machine of its own, with the project's own client, and each writing down what it was told.
//!
//! - producers: idempotent, `acks=all`, several batches under way, over retries and restarts of the broker;
//! - tails: each reads all partitions from the beginning, and again from the beginning when its process was killed;
//! - members: two consumers of one group that commit what they were given;
//! - a bookmark: a group without members whose offsets one client sets, larger each time, and reads back;
//! - a clerk: makes and deletes topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ottla::client::{
    Admin, Client, Consumer, ConsumerSettings, Endpoint, Error, Fetched, GroupConsumer, GroupEvent,
    GroupSettings, Message, NewTopic, OffsetSpec, Producer, ProducerSettings, Settings, Start,
};
use ottla::environment::Runtime;
use ottla::model::{ErrorCode, GroupId, Offset, PartitionIndex, TopicName, TopicPartition};
use ottla::record::Compression;
use tokio::sync::Semaphore;

use crate::history::{History, Polled, record_of, show, value_of};
use crate::machine::MachineId;
use crate::runtime::SimRuntime;
use crate::world::World;

/// The topic that everyone writes and reads.
pub const TOPIC: &str = "orders";

/// The group of the members.
pub const MEMBERS: &str = "members";

/// Groups without members, which nobody else commits for: their names begin so.
const BOOKMARK: &str = "bookmark";

/// How the clients of a run behave.
#[derive(Clone, Debug)]
pub struct Habits {
    /// The broker's machine.
    pub broker: String,
    /// Partitions of the topic.
    pub partition_count: i32,
    /// How many producers there are.
    pub producers: u64,
    /// Records of each producer.
    pub records: usize,
    /// The longest pause of a producer between two records, in milliseconds.
    pub pause_ms: u64,
    /// Records of one producer that wait for their acknowledgement, at most.
    pub window: usize,
    /// The largest value, in bytes.
    pub value_bytes: u64,
    /// How batches are compressed.
    pub compression: Compression,
    /// The longest wait for an answer.
    pub request_timeout: Duration,
    /// How long a producer tries.
    pub delivery_timeout: Duration,
    /// How many tails there are.
    pub tails: u64,
    /// How many members the group has.
    pub members: u64,
    /// Whether there is somebody who sets a bookmark.
    pub has_bookmark: bool,
    /// Whether there is somebody who changes topics.
    pub has_clerk: bool,
}

impl Habits {
    /// A client with these habits.
    #[must_use]
    pub fn client(&self, runtime: SimRuntime) -> Client<SimRuntime> {
        let broker = Endpoint::new(self.broker.as_str(), 9092);
        Client::new(
            runtime,
            Settings {
                request_timeout: self.request_timeout,
                connect_timeout: self.request_timeout.min(Duration::from_secs(10)),
                ..Settings::new(vec![broker])
            },
        )
    }

    /// The partitions of the topic.
    pub fn partitions(&self) -> impl Iterator<Item = TopicPartition> + use<> {
        (0..self.partition_count).map(|index| TopicPartition::new(TOPIC, index))
    }
}

/// All clients of a run.
pub struct Clients {
    machines: Vec<MachineId>,
    shared: Shared,
}

#[derive(Clone)]
struct Shared {
    habits: Arc<Habits>,
    history: History,
    /// Nothing new is begun any more.
    is_over: Arc<AtomicBool>,
    /// Producers that have nothing under way and begin nothing new.
    idle_producers: Arc<AtomicUsize>,
}

impl Clients {
    /// Starts all of them; the topic must be there, or come.
    #[must_use]
    pub fn start(world: &Arc<World>, habits: &Arc<Habits>, history: &History) -> Self {
        let shared = Shared {
            habits: Arc::clone(habits),
            history: history.clone(),
            is_over: Arc::default(),
            idle_producers: Arc::default(),
        };
        let mut clients = Self { machines: Vec::new(), shared };
        for number in 1..=habits.producers {
            clients.add(world, &format!("producer-{number}"), produce);
        }
        for number in 1..=habits.tails {
            clients.add(world, &format!("tail-{number}"), follow);
        }
        for number in 1..=habits.members {
            clients.add(world, &format!("member-{number}"), take_part);
        }
        if habits.has_bookmark {
            clients.add(world, "bookmark", set_bookmarks);
        }
        if habits.has_clerk {
            clients.add(world, "clerk", change_topics);
        }
        clients
    }

    fn add<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        world: &Arc<World>,
        name: &str,
        program: fn(SimRuntime, Shared) -> F,
    ) {
        let machine = world.add_machine(name);
        let shared = self.shared.clone();
        world.start(machine, move |runtime| program(runtime, shared.clone()));
        self.machines.push(machine);
    }

    /// Their machines.
    #[must_use]
    pub fn machines(&self) -> &[MachineId] {
        &self.machines
    }

    /// Nobody begins anything new any more; what is under way goes on.
    pub fn finish(&self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether every record of a producer that lives has found its fate, and no new one comes.
    #[must_use]
    pub fn are_producers_idle(&self) -> bool {
        let idle = self.shared.idle_producers.load(Ordering::Relaxed);
        idle as u64 >= self.shared.habits.producers
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

async fn pause(runtime: &SimRuntime, millis: u64) {
    runtime.sleep(Duration::from_millis(runtime.random() % millis.max(1))).await;
}

/// A producer. Killed producers are not started again: each has one life.
async fn produce(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    let (machine, life) = (runtime.machine(), history.new_life());
    let settings = ProducerSettings {
        compression: habits.compression,
        delivery_timeout: habits.delivery_timeout,
        ..ProducerSettings::default()
    };
    let producer = Producer::new(habits.client(runtime.clone()), settings);
    let window = Arc::new(Semaphore::new(habits.window));
    let mut left = habits.records;
    while left > 0 && !shared.is_over() {
        let Ok(permit) = Arc::clone(&window).acquire_owned().await else { break };
        let count = u64::try_from(habits.partition_count).unwrap_or(1);
        let index = i32::try_from(runtime.random() % count).unwrap_or(0);
        let id = history.sending(life, TopicPartition::new(TOPIC, index));
        let padding = usize::try_from(runtime.random() % habits.value_bytes.max(1)).unwrap_or(0);
        let message = Message {
            partition: Some(PartitionIndex(index)),
            ..Message::new(TOPIC, None, Some(value_of(id, padding)))
        };
        match producer.send(message).await {
            Ok(receipt) => {
                left -= 1;
                let history = history.clone();
                runtime.spawn("receipt", async move {
                    let outcome = receipt.wait().await;
                    history.sent(machine, id, &outcome);
                    drop(permit);
                });
            }
            Err(_) => history.never_sent(id),
        }
        if runtime.random().is_multiple_of(4) {
            pause(&runtime, habits.pause_ms).await;
        }
    }
    let all = u32::try_from(habits.window).unwrap_or(u32::MAX);
    drop(window.acquire_many(all).await);
    shared.idle_producers.fetch_add(1, Ordering::Relaxed);
    std::future::pending::<()>().await;
}

/// A tail.
async fn follow(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    let mut life = history.new_life();
    let mut consumer = Consumer::new(habits.client(runtime.clone()), ConsumerSettings::default());
    consumer.assign(habits.partitions().map(|partition| (partition, Start::At(Offset::new(0)))));
    loop {
        match consumer.poll(Duration::from_secs(1)).await {
            Ok(Some(fetched)) => note_records(history, life, true, &fetched),
            Ok(None) => {}
            Err(error) => {
                judge_poll_error(history, "a tail", &error);
                pause(&runtime, 2_000).await;
                life = history.new_life();
                for partition in habits.partitions() {
                    consumer.seek(&partition, Start::At(Offset::new(0)));
                }
            }
        }
    }
}

fn note_records(history: &History, consumer: u64, is_in_one_run: bool, fetched: &Fetched) {
    for record in &fetched.records {
        history.polled(Polled {
            consumer,
            partition: fetched.partition.clone(),
            offset: record.offset.value(),
            record: record_of(record.value.as_ref()),
            is_in_one_run,
        });
    }
}

/// Nothing is ever deleted, so no offset that a reader has reached can be out of range, and no batch unreadable.
fn judge_poll_error(history: &History, who: &str, error: &Error) {
    if error.code() == Some(ErrorCode::OffsetOutOfRange) {
        history.surprise("lost-write", format!("{who} stands behind the end: {error}"));
    } else if matches!(error, Error::Corrupt { .. } | Error::Malformed { .. }) {
        history.surprise("corrupt", format!("{who} was given {error}"));
    }
}

/// A member of the group.
async fn take_part(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    let settings = GroupSettings {
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(20),
        heartbeat_interval: Duration::from_secs(1),
        auto_commit: None,
        reset: Some(OffsetSpec::Earliest),
        ..GroupSettings::new(GroupId::from(MEMBERS), vec![TopicName::from(TOPIC)])
    };
    let life = history.new_life();
    let mut member = GroupConsumer::new(habits.client(runtime.clone()), settings);
    let mut floors: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let mut handed_out: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    loop {
        match member.poll(Duration::from_millis(500)).await {
            Ok(Some(GroupEvent::Assigned { partitions, .. })) => {
                let floor = |p: TopicPartition| (history.committed_at_least(MEMBERS, &p), p);
                floors = partitions.into_iter().map(floor).map(|(floor, p)| (p, floor)).collect();
                handed_out.clear();
            }
            Ok(Some(GroupEvent::Revoked { .. })) => handed_out.clear(),
            Ok(Some(GroupEvent::Records(fetched))) => {
                check_start(history, floors.remove(&fetched.partition), &fetched);
                note_records(history, life, false, &fetched);
                handed_out.insert(fetched.partition.clone(), fetched.next.value());
            }
            Ok(None) => {}
            Err(error) => {
                judge_poll_error(history, "a member", &error);
                pause(&runtime, 1_000).await;
            }
        }
        if !handed_out.is_empty() && runtime.random().is_multiple_of(3) {
            for (partition, offset) in &handed_out {
                history.committing(MEMBERS, partition, *offset);
            }
            let outcome = member.commit().await;
            for (partition, offset) in std::mem::take(&mut handed_out) {
                match outcome {
                    Ok(()) => history.committed(runtime.machine(), MEMBERS, &partition, offset),
                    // It goes along with the next commit, unless the partition is taken away before.
                    Err(_) => drop(handed_out.insert(partition, offset)),
                }
            }
        }
    }
}

/// The first records after an assignment stand where the group has committed, or later.
fn check_start(history: &History, floor: Option<i64>, fetched: &Fetched) {
    if let Some(floor) = floor.filter(|floor| fetched.from.value() < *floor) {
        let what = format!(
            "a member begins {} at {}, but {floor} was committed",
            show(&fetched.partition),
            fetched.from.value()
        );
        history.surprise("lost-commit", what);
    }
}

/// Sets the bookmark, larger each time.
///
/// A commit without an answer, of this life or of an earlier one, may still be on its way and arrive after later ones. So
/// after each of them another group is the bookmark, and nobody commits for the old one any more.
async fn set_bookmarks(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    let admin = Admin::new(habits.client(runtime.clone()));
    while !shared.is_over() {
        let name = format!("{BOOKMARK}-{}", history.new_life());
        let mut next = 0;
        while !shared.is_over() {
            next += 1;
            if !set_bookmark(&runtime, &shared, &admin, &name, next).await {
                break;
            }
            pause(&runtime, 1_000).await;
            if runtime.random().is_multiple_of(4) {
                check_bookmark(&shared, &admin, &name).await;
            }
        }
    }
    std::future::pending::<()>().await;
}

/// True when it has certainly been set.
async fn set_bookmark(
    runtime: &SimRuntime,
    shared: &Shared,
    admin: &Admin<SimRuntime>,
    name: &str,
    next: i64,
) -> bool {
    let Shared { habits, history, .. } = shared;
    let chosen: BTreeSet<_> =
        habits.partitions().filter(|_| !runtime.random().is_multiple_of(3)).collect();
    for partition in &chosen {
        history.committing(name, partition, next);
    }
    let offsets = chosen.iter().map(|partition| (partition.clone(), Offset::new(next)));
    let outcome = admin.set_group_offsets(&GroupId::from(name), &offsets.collect()).await;
    if outcome.is_ok() {
        for partition in &chosen {
            history.committed(runtime.machine(), name, partition, next);
        }
    }
    outcome.is_ok()
}

async fn check_bookmark(shared: &Shared, admin: &Admin<SimRuntime>, name: &str) {
    let Shared { habits, history, .. } = shared;
    let Ok(found) = admin.group_offsets(&GroupId::from(name)).await else { return };
    for partition in habits.partitions() {
        let committed = history.committed_at_least(name, &partition);
        let found = found.get(&partition).map_or(0, |found| found.offset.value());
        if found < committed {
            let partition = show(&partition);
            let what = format!("{name} in {partition}: {committed} set, {found} found");
            history.surprise("lost-commit", what);
        }
    }
}

/// Makes and deletes topics, each name in turn.
async fn change_topics(runtime: SimRuntime, shared: Shared) {
    let Shared { habits, history, .. } = &shared;
    let admin = Admin::new(habits.client(runtime.clone()));
    let mut number = 0;
    while !shared.is_over() {
        number += 1;
        let name = format!("extra-{number}");
        history.changing_topic(&name);
        let made = admin.create_topics(&[NewTopic::new(name.as_str(), 2)]).await;
        if is_done(made) {
            history.changed_topic(runtime.machine(), &name, true);
        }
        pause(&runtime, 3_000).await;
        if runtime.random().is_multiple_of(2) {
            history.changing_topic(&name);
            let deleted = admin.delete_topics(&[TopicName::from(name.as_str())]).await;
            if is_done(deleted) {
                history.changed_topic(runtime.machine(), &name, false);
            }
            pause(&runtime, 3_000).await;
        }
    }
    std::future::pending::<()>().await;
}

/// What became of each of several things.
type Outcomes<K> = Vec<(K, Result<(), Error>)>;

fn is_done<K>(outcome: Result<Outcomes<K>, Error>) -> bool {
    outcome.is_ok_and(|each| !each.is_empty() && each.iter().all(|(_, outcome)| outcome.is_ok()))
}

/// Makes the topic, over and over until it is there.
pub async fn make_topic(runtime: SimRuntime, habits: Arc<Habits>) {
    let admin = Admin::new(habits.client(runtime.clone()));
    loop {
        let outcome = admin.create_topics(&[NewTopic::new(TOPIC, habits.partition_count)]).await;
        let is_there = |outcome: &Result<(), Error>| match outcome {
            Ok(()) => true,
            Err(error) => error.code() == Some(ErrorCode::TopicAlreadyExists),
        };
        if outcome.is_ok_and(|each| each.iter().any(|(_, outcome)| is_there(outcome))) {
            return;
        }
        pause(&runtime, 1_000).await;
    }
}
