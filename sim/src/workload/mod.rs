//! What clients do: one file for each kind of them, one line in [`WORKLOADS`].
//!
//! Each client runs on a machine of its own, with the project's own client, and writes down in the history what it did and
//! was told. How many there are of each kind each seed draws for itself, each kind from a stream of its own.

mod almanac;
mod assortment;
mod bookmarks;
mod clerk;
mod deserters;
mod limited;
mod members;
mod producers;
mod sessions;
mod spoken;
mod stragglers;
mod tails;
mod trimming;
mod visitors;
mod zombies;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla::client::{
    Admin, Client, ConsumerSettings, Endpoint, Error, Fetched, IsolationLevel, NewTopic,
    OffsetSpec, Settings,
};
use ottla::environment::Runtime as _;
use ottla::model::{ErrorCode, TopicPartition};
use ottla::record::Compression;

use crate::history::{History, Polled, Verdict, record_of, show};
use crate::machine::MachineId;
use crate::random::Random;
use crate::runtime::SimRuntime;
use crate::world::World;

/// All kinds of clients there are.
pub const WORKLOADS: &[&Workload] = &[
    &producers::WORKLOAD,
    &tails::WORKLOAD,
    &members::WORKLOAD,
    &bookmarks::WORKLOAD,
    &clerk::WORKLOAD,
    &trimming::WORKLOAD,
    &assortment::WORKLOAD,
    &visitors::WORKLOAD,
    &limited::WORKLOAD,
    &zombies::WORKLOAD,
    &sessions::WORKLOAD,
    &stragglers::WORKLOAD,
    &deserters::WORKLOAD,
    &almanac::WORKLOAD,
];

/// One kind of clients.
#[derive(Debug)]
pub struct Workload {
    /// What it is called, on the command line too.
    pub name: &'static str,
    /// Draws how many there are, perhaps none, and starts them.
    pub start: fn(&mut Clients, &mut Random),
}

/// The topic that most of them write and read.
pub const TOPIC: &str = "orders";

/// How the clients of a run behave.
#[derive(Clone, Debug)]
pub struct Habits {
    /// The machines of the brokers.
    pub brokers: Vec<String>,
    /// Partitions of the topic.
    pub partition_count: i32,
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
}

impl Habits {
    /// A client with these habits.
    #[must_use]
    pub fn client(&self, runtime: SimRuntime) -> Client<SimRuntime> {
        let brokers = self.brokers.iter().map(|name| Endpoint::new(name.as_str(), 9092)).collect();
        Client::new(
            runtime,
            Settings {
                request_timeout: self.request_timeout,
                connect_timeout: self.request_timeout.min(Duration::from_secs(10)),
                ..Settings::new(brokers)
            },
        )
    }

    /// Any of the brokers.
    #[must_use]
    pub fn some_broker(&self, runtime: &SimRuntime) -> &str {
        match &self.brokers[..] {
            [one] => one,
            several => {
                let which = usize::try_from(runtime.random()).unwrap_or(0) % several.len();
                &several[which]
            }
        }
    }

    /// The broker that leads a partition, as far as a broker tells.
    pub(crate) async fn leader_of(
        &self,
        runtime: &SimRuntime,
        partition: &TopicPartition,
    ) -> Option<String> {
        if let [one] = &self.brokers[..] {
            return Some(one.clone());
        }
        let cluster = Admin::new(self.client(runtime.clone())).list_topics().await.ok()?;
        let topic = cluster.topics.get(&partition.topic)?;
        let leader = topic.partitions.get(&partition.partition)?.leader?;
        Some(cluster.brokers.get(&leader)?.endpoint.host.to_string())
    }

    /// The partitions of the topic.
    pub fn partitions(&self) -> impl Iterator<Item = TopicPartition> + use<> {
        (0..self.partition_count).map(|index| TopicPartition::new(TOPIC, index))
    }
}

/// All clients of a run.
pub struct Clients {
    world: Arc<World>,
    machines: Vec<MachineId>,
    /// Those that come to an end by themselves.
    with_end: BTreeSet<MachineId>,
    groups: BTreeMap<&'static str, u64>,
    shared: Shared,
}

/// What all clients know.
#[derive(Clone)]
pub(crate) struct Shared {
    habits: Arc<Habits>,
    history: History,
    /// Nothing new is begun any more.
    is_over: Arc<AtomicBool>,
    /// Those that have nothing under way and begin nothing new.
    ended: Arc<Mutex<BTreeSet<MachineId>>>,
}

impl Clients {
    /// Starts all of them but the kinds that are named; topics they need must be there, or come.
    #[must_use]
    pub fn start(
        world: &Arc<World>,
        habits: &Arc<Habits>,
        history: &History,
        without: &BTreeSet<String>,
    ) -> Self {
        let shared = Shared {
            habits: Arc::clone(habits),
            history: history.clone(),
            is_over: Arc::default(),
            ended: Arc::default(),
        };
        let mut clients = Self {
            world: Arc::clone(world),
            machines: Vec::new(),
            with_end: BTreeSet::new(),
            groups: BTreeMap::new(),
            shared,
        };
        for workload in WORKLOADS.iter().filter(|workload| !without.contains(workload.name)) {
            (workload.start)(&mut clients, &mut world.random(workload.name));
        }
        clients
    }

    fn add<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        name: &str,
        program: fn(SimRuntime, Shared) -> F,
    ) -> MachineId {
        let machine = self.world.add_machine(name);
        let shared = self.shared.clone();
        self.world.start(machine, move |runtime| program(runtime, shared.clone()));
        self.machines.push(machine);
        machine
    }

    /// The same for one that [ends](Shared::has_ended).
    fn add_with_end<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        name: &str,
        program: fn(SimRuntime, Shared) -> F,
    ) {
        let machine = self.add(name, program);
        self.with_end.insert(machine);
    }

    /// This group has so many members when it is left alone, and they read all partitions of the topic.
    fn expect_group(&mut self, name: &'static str, member_count: u64) {
        self.groups.insert(name, member_count);
    }

    /// Their machines.
    #[must_use]
    pub fn machines(&self) -> &[MachineId] {
        &self.machines
    }

    /// How many members groups have when they are left alone.
    #[must_use]
    pub const fn groups(&self) -> &BTreeMap<&'static str, u64> {
        &self.groups
    }

    /// Nobody begins anything new any more; what is under way goes on.
    pub fn finish(&self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }

    /// Those that should come to an end and have not: a producer with a record whose fate is open.
    #[must_use]
    pub fn busy(&self) -> Vec<MachineId> {
        let ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        self.with_end.difference(&ended).copied().collect()
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// The client has nothing under way and begins nothing new.
    fn has_ended(&self, runtime: &SimRuntime) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(runtime.machine());
    }

    /// The client has begun anew.
    fn has_begun(&self, runtime: &SimRuntime) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).remove(&runtime.machine());
    }
}

async fn pause(runtime: &SimRuntime, millis: u64) {
    runtime.sleep(Duration::from_millis(runtime.random() % millis.max(1))).await;
}

fn note_records(history: &History, consumer: u64, is_in_one_run: bool, fetched: &Fetched) {
    let poll = history.new_life();
    // Nothing here compacts, and records before the start are refused: the first record is the one that was asked for.
    if let Some(first) = fetched.records.first().filter(|first| first.offset != fetched.from) {
        let (partition, from) = (show(&fetched.partition), fetched.from);
        let what = format!("{partition} was asked for {from}, and gave {} first", first.offset);
        history.surprise(Verdict::PollSkip, Some(&fetched.partition), what);
    }
    for record in &fetched.records {
        history.polled(Polled {
            consumer,
            poll,
            partition: fetched.partition.clone(),
            offset: record.offset.value(),
            record: record_of(record.value.as_ref()),
            is_in_one_run,
        });
    }
}

/// Where nothing is ever deleted no offset that a reader has reached can be out of range, and no batch is unreadable.
fn judge_poll_error(history: &History, who: &str, error: &Error) {
    if error.code() == Some(ErrorCode::OffsetOutOfRange) {
        history.surprise(Verdict::LostWrite, None, format!("{who} stands behind the end: {error}"));
    } else if matches!(error, Error::Corrupt { .. } | Error::Malformed { .. }) {
        history.surprise(Verdict::Corrupt, None, format!("{who} was given {error}"));
    }
}

/// A consumer that asks for little at a time, in some lives.
fn reader_settings(runtime: &SimRuntime) -> ConsumerSettings {
    let mut settings = ConsumerSettings::default();
    if runtime.random().is_multiple_of(2) {
        settings.partition_bytes_max = 700;
        settings.bytes_max = 2_000;
    }
    settings
}

/// What became of each of several things.
type Outcomes<K> = Vec<(K, Result<(), Error>)>;

fn is_done<K>(outcome: Result<Outcomes<K>, Error>) -> bool {
    outcome.is_ok_and(|each| !each.is_empty() && each.iter().all(|(_, outcome)| outcome.is_ok()))
}

/// Makes a topic, over and over until it is there.
async fn make_topic(runtime: &SimRuntime, admin: &Admin<SimRuntime>, topic: &NewTopic) {
    loop {
        let outcome = admin.create_topics(std::slice::from_ref(topic)).await;
        let is_there = |outcome: &Result<(), Error>| match outcome {
            Ok(()) => true,
            Err(error) => error.code() == Some(ErrorCode::TopicAlreadyExists),
        };
        if outcome.is_ok_and(|each| each.iter().any(|(_, outcome)| is_there(outcome))) {
            return;
        }
        pause(runtime, 1_000).await;
    }
}

/// An offset of a partition; none where nobody says it.
async fn place(
    admin: &Admin<SimRuntime>,
    partition: &TopicPartition,
    what: OffsetSpec,
) -> Option<i64> {
    let ask = [(partition.clone(), what)];
    let (_, found) = admin.list_offsets(&ask, IsolationLevel::ReadUncommitted).await.pop()?;
    Some(found.ok()?.offset?.value())
}

/// Makes the topic that most clients use.
pub async fn make_main_topic(runtime: SimRuntime, habits: Arc<Habits>) {
    let admin = Admin::new(habits.client(runtime.clone()));
    make_topic(&runtime, &admin, &NewTopic::new(TOPIC, habits.partition_count)).await;
}
