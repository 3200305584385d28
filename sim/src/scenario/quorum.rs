//! Three nodes, each broker and controller, whose machines and links fail in every way: there is one leader of the metadata
//! quorum in each epoch, what it has committed is never lost, and when all is healed everybody has it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ottla::client::{Admin, Client, Endpoint, NewTopic, Settings as ClientSettings};
use ottla::environment::{Disk, FileExt, OpenMode, Runtime};
use ottla::model::{ErrorCode, TopicName};
use ottla::record::split_all;

use super::{Plan, Summary};
use crate::broker::{DATA_DIRECTORY, SimBroker};
use crate::cluster::{Layout, draw_quorum_overrides, name};
use crate::machine::{MachineId, MachineState};
use crate::nemesis::some_time;
use crate::network::NetworkFaults;
use crate::random::Random;
use crate::runtime::SimRuntime;
use crate::timeline::SimTime;
use crate::world::{Outcome, Settings, World, simulate};

/// Runs the scenario. It fails with what was lost or is inconsistent, or when something did not happen in time.
///
/// # Panics
///
/// When the system gives no thread.
#[must_use]
pub fn quorum(settings: &Settings, plan: &Plan) -> Outcome<Result<Summary, String>> {
    let plan = plan.clone();
    simulate(settings.clone(), move |world| async move { run(&world, &plan).await })
}

/// Topics that were acknowledged to be there.
type Made = Arc<Mutex<BTreeSet<String>>>;

async fn run(world: &Arc<World>, plan: &Plan) -> Result<Summary, String> {
    let mut random = world.random("quorum options");
    let layout = draw_layout(&mut random);
    world.note(None, format!("{layout:?}"));
    if !plan.is_calm && random.chance(0.3) {
        let faults = NetworkFaults { loss: random.log_uniform(0.001, 0.05), ..Default::default() };
        world.network().set_faults(|now| *now = faults);
    }
    let nodes = layout.start(world);
    let made = Made::default();
    let clerk = world.add_machine("clerk");
    let topics = Arc::clone(&made);
    world.start(clerk, move |runtime| make_topics(runtime, Arc::clone(&topics)));

    if !plan.is_calm {
        nemesis(world, &nodes, plan, &mut random).await?;
    }
    world.note(None, "all faults end");
    world.network().heal_all();
    world.network().set_faults(|faults| *faults = NetworkFaults::default());
    for node in &nodes {
        world.resume(node.machine());
        node.supervise();
    }
    // One that was asked to stop just now may not have heard it yet.
    wait(world, &nodes, Duration::from_secs(1)).await?;
    for node in &nodes {
        if !node.until_ready(READY_BOUND).await {
            let name = world.name(node.machine());
            return Err(format!(
                "stuck: {name} does not serve {READY_BOUND:?} after the last fault"
            ));
        }
    }
    let before = lock(&made).len();
    let deadline = world.now() + PROGRESS_BOUND;
    while lock(&made).len() < before + 2 {
        if world.now() >= deadline {
            return Err(format!("stuck: no topic is made {PROGRESS_BOUND:?} after the last fault"));
        }
        wait(world, &nodes, Duration::from_millis(100)).await?;
    }
    world.crash(clerk);
    one_leader_in_each_epoch(world, &nodes)?;
    all_have_all(world, &nodes, &made).await?;
    logs_agree(world, &nodes).await?;
    let topic_changes = lock(&made).len();
    let broker_starts = nodes.iter().map(SimBroker::start_count).sum();
    Ok(Summary { topic_changes, broker_starts, ..Summary::default() })
}

/// How the cluster of a world is set up.
fn draw_layout(random: &mut Random) -> Layout {
    let is_static = random.chance(0.5);
    let mut overrides = vec![("auto.create.topics.enable", "false".to_owned())];
    overrides.extend(draw_quorum_overrides(random));
    Layout { count: NODES, is_static, features: Vec::new(), overrides }
}

/// Makes one topic after the other; those whose answer was lost are asked for again.
async fn make_topics(runtime: SimRuntime, made: Made) {
    let brokers = (1..=NODES).map(|id| Endpoint::new(name(id), 9092)).collect();
    let mut settings = ClientSettings::new(brokers);
    settings.task_timeout = Duration::from_secs(20);
    settings.request_timeout = Duration::from_secs(5);
    settings.connect_timeout = Duration::from_secs(2);
    let admin = Admin::new(Client::new(runtime.clone(), settings));
    for number in 0_u64.. {
        let name = TopicName::from(format!("topic-{number}").as_str());
        loop {
            let answer = admin.create_topics(&[NewTopic::new(name.clone(), 1)]).await;
            let outcome = answer.and_then(|each| each.into_iter().try_for_each(|(_, one)| one));
            let is_there = match &outcome {
                Ok(()) => true,
                Err(error) => error.code() == Some(ErrorCode::TopicAlreadyExists),
            };
            if is_there {
                lock(&made).insert(name.as_str().to_owned());
                break;
            }
            runtime.sleep(Duration::from_millis(100)).await;
        }
        runtime.sleep(Duration::from_millis(runtime.random() % 500)).await;
    }
}

/// The safety phase.
async fn nemesis(
    world: &Arc<World>,
    nodes: &[SimBroker],
    plan: &Plan,
    random: &mut Random,
) -> Result<(), String> {
    let end = plan.horizon.map_or(SimTime::FAR, |horizon| world.now() + horizon);
    for number in 0..random.between(&(4..16)) {
        let pause = some_time(random, Duration::from_millis(20), Duration::from_secs(10));
        wait(world, nodes, pause).await?;
        if world.now() >= end {
            break;
        }
        let lasts = some_time(random, Duration::from_millis(10), Duration::from_secs(15));
        let blow = random.below(8);
        let victim = pick(nodes, random);
        let other = random.pick(nodes);
        if plan.skip.contains(&number) {
            continue;
        }
        world.note(None, format!("blow {number}: {blow} on {}", world.name(victim.machine())));
        match blow {
            0 => victim.crash(),
            1 | 2 => {
                victim.cut_power();
                world.sleep(lasts).await;
            }
            3 => {
                nodes.iter().for_each(SimBroker::cut_power);
                world.sleep(lasts).await;
            }
            4 => {
                world.events().count("node isolated", 1);
                world.network().isolate(victim.machine());
                wait(world, nodes, lasts).await?;
            }
            5 => {
                world.events().count("link cut", 1);
                world.network().cut(victim.machine(), other.machine());
                wait(world, nodes, lasts).await?;
            }
            6 => {
                world.events().count("pause", 1);
                world.pause(victim.machine());
                wait(world, nodes, lasts).await?;
                world.resume(victim.machine());
            }
            _ => victim.ask_to_stop(),
        }
        world.network().heal_all();
        one_leader_in_each_epoch(world, nodes)?;
    }
    Ok(())
}

/// Mostly the one that leads: others are missed less.
fn pick<'a>(nodes: &'a [SimBroker], random: &mut Random) -> &'a SimBroker {
    let newest = nodes.iter().max_by_key(|node| node.quorum().led.last().copied());
    match newest {
        Some(leader) if random.chance(0.5) => leader,
        Some(_) | None => random.pick(nodes),
    }
}

/// Lets time pass, and starts nodes again where they have ended. Without bad disks none has a reason to end by itself.
async fn wait(world: &Arc<World>, nodes: &[SimBroker], duration: Duration) -> Result<(), String> {
    let end = world.now() + duration;
    while world.now() < end {
        world.sleep(Duration::from_millis(100).min(end.since(world.now()))).await;
        for node in nodes {
            if let Some((_, failure)) = node.take_failures().into_iter().next() {
                return Err(format!("node-failed: {}: {failure}", world.name(node.machine())));
            }
            match world.state(node.machine()) {
                MachineState::Idle | MachineState::Unpowered => node.supervise(),
                MachineState::Running | MachineState::Paused => {}
            }
        }
    }
    Ok(())
}

fn one_leader_in_each_epoch(world: &World, nodes: &[SimBroker]) -> Result<(), String> {
    let mut leaders: BTreeMap<i32, MachineId> = BTreeMap::new();
    for node in nodes {
        for epoch in node.quorum().led {
            let other = *leaders.entry(epoch).or_insert(node.machine());
            if other != node.machine() {
                let (one, other) = (world.name(node.machine()), world.name(other));
                return Err(format!("two-leaders: {one} and {other} in epoch {epoch}"));
            }
        }
    }
    Ok(())
}

/// Every broker knows every topic that was acknowledged, at the latest some time after the last fault.
async fn all_have_all(world: &Arc<World>, nodes: &[SimBroker], made: &Made) -> Result<(), String> {
    for id in 1..=u32::try_from(nodes.len()).unwrap_or(0) {
        let made = lock(made).clone();
        let auditor = world.add_machine(&format!("auditor-{id}"));
        let missing = world.run(auditor, move |runtime| missing(runtime, id, made)).await;
        let missing = missing.ok_or("the auditor was killed")?;
        if !missing.is_empty() {
            let (count, first) = (missing.len(), &missing[0]);
            return Err(format!("lost-topic: {} does not know {first}, one of {count}", name(id)));
        }
    }
    Ok(())
}

async fn missing(runtime: SimRuntime, id: u32, made: BTreeSet<String>) -> Vec<String> {
    let mut missing: Vec<String> = made.iter().cloned().collect();
    for _ in 0..20 {
        // A client of its own each time: one that has learnt of the others asks any of them.
        let mut settings = ClientSettings::new(vec![Endpoint::new(name(id), 9092)]);
        settings.task_timeout = Duration::from_secs(5);
        settings.bootstrap_timeout = Duration::from_secs(5);
        let admin = Admin::new(Client::new(runtime.clone(), settings));
        if let Ok(cluster) = admin.list_topics().await {
            let known: BTreeSet<&str> = cluster.topics.keys().map(TopicName::as_str).collect();
            missing = made.iter().filter(|one| !known.contains(one.as_str())).cloned().collect();
            if missing.is_empty() {
                break;
            }
        }
        runtime.sleep(Duration::from_millis(200)).await;
    }
    missing
}

/// What is committed is the same on all disks, batch for batch.
async fn logs_agree(world: &World, nodes: &[SimBroker]) -> Result<(), String> {
    let mut found: BTreeMap<i64, (Bytes, MachineId)> = BTreeMap::new();
    for node in nodes {
        let committed = node.quorum().high_watermark;
        for (offset, batch) in batches(world, node.machine()).await? {
            if offset >= committed {
                break;
            }
            let (known, other) = found.entry(offset).or_insert((batch.clone(), node.machine()));
            if *known != batch {
                let (one, other) = (world.name(node.machine()), world.name(*other));
                return Err(format!("logs-differ: {one} and {other} at offset {offset}"));
            }
        }
    }
    Ok(())
}

async fn batches(world: &World, machine: MachineId) -> Result<Vec<(i64, Bytes)>, String> {
    let disk = world.disk(machine);
    let directory = Path::new(DATA_DIRECTORY).join("__cluster_metadata-0");
    let mut found = Vec::new();
    let entries = disk.list(&directory).await.map_err(|error| error.to_string())?;
    let mut names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
    names.sort();
    for name in names.iter().filter(|name| name.ends_with(".log")) {
        let read = async {
            let file = disk.open(&directory.join(name), OpenMode::Read).await?;
            file.read_all(1 << 30).await
        };
        let mut bytes = Bytes::from(read.await.map_err(|error| error.to_string())?);
        for batch in split_all(&mut bytes).map_err(|error| error.to_string())? {
            found.push((batch.header().base_offset, batch.bytes().clone()));
        }
    }
    Ok(found)
}

fn lock(made: &Made) -> MutexGuard<'_, BTreeSet<String>> {
    made.lock().unwrap_or_else(PoisonError::into_inner)
}

const NODES: u32 = 3;

/// How long a cluster may take until all nodes serve on healthy machines.
const READY_BOUND: Duration = Duration::from_secs(90);

/// How long it may take until something can be done again.
const PROGRESS_BOUND: Duration = Duration::from_secs(60);
