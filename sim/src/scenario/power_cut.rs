//! One whole broker, or a cluster of them, with clients around, whose power is cut at any moment, several times: what was
//! acknowledged is there at the end, once, at its offset, in order.
//!
//! One broker flushes each message (`flush.messages=1`). Of clusters some do; others trust, as Kafka does by default, that
//! not all page caches are lost at once, and there the nemesis keeps to that ([`Losses`]).
//!
//! Two phases. While the nemesis is at work only safety counts: clients may wait and fail, but must not be told anything
//! wrong. Then all faults end, and within bounded time everything must work: the broker serves, producers get rid of what
//! they hold, all partitions can be written, and everything can be read.

use std::sync::Arc;
use std::time::Duration;

use ottla::environment::select;
use ottla::record::Compression;

use super::audit::{audit, stuck};
use super::{Plan, Told};
use crate::broker::SimBroker;
use crate::cluster::{Layout, draw_quorum_overrides, name};
use crate::disk::DiskFaults;
use crate::history::{Awaited, Event, History};
use crate::invariants::Watch;
use crate::nemesis::{Dangers, How, Losses, Scene, Strikes, some_time};
use crate::network::NetworkFaults;
use crate::random::Random;
use crate::timeline::SimTime;
use crate::workload::{Clients, Habits, make_main_topic};
use crate::world::{Outcome, Settings, World, simulate};

/// Runs the scenario. It fails with the anomalies that the checkers found, or when something did not happen in time.
///
/// # Panics
///
/// When the system gives no thread.
#[must_use]
pub fn power_cut(settings: &Settings, plan: &Plan) -> Outcome<Told> {
    let dangers =
        if plan.is_calm { Dangers::none() } else { Dangers::draw(settings.seed, &plan.without) };
    let settings = Settings { armed_sites: dangers.weather.armed_sites, ..settings.clone() };
    let plan = plan.clone();
    simulate(settings, move |world| async move {
        let run = Run::new(&world, dangers, plan);
        run.all(&world).await
    })
}

struct Run {
    dangers: Dangers,
    plan: Plan,
    habits: Arc<Habits>,
    /// How many nodes there are, and their settings.
    layout: Layout,
    losses: Losses,
}

impl Run {
    fn new(world: &Arc<World>, dangers: Dangers, plan: Plan) -> Self {
        let mut random = world.random("workload");
        let mut habits = draw_habits(&mut random);
        if let Some(records) = plan.records {
            habits.records = habits.records.min(records);
        }
        let mut overrides = draw_overrides(&mut random);
        let count = plan.nodes.unwrap_or_else(|| draw_node_count(world));
        let (mut is_static, mut losses) = (false, Losses::Any);
        if count > 1 {
            let mut random = world.random("cluster");
            is_static = random.chance(0.5);
            if random.chance(0.5) {
                losses = Losses::OneAtATime;
            }
            overrides.extend(draw_cluster_overrides(count, &mut random));
            habits.brokers = (1..=count).map(name).collect();
        }
        if losses == Losses::Any && !plan.acknowledges_early {
            overrides.push(("log.flush.interval.messages", "1".to_owned()));
        }
        let names: Vec<_> =
            dangers.first.iter().chain(&dangers.blows).map(|fault| fault.name).collect();
        let weather = &dangers.weather;
        let layout = Layout { count, is_static, features: Vec::new(), overrides };
        world.note(None, format!("{names:?} {weather:?} {habits:?} {losses:?} {layout:?}"));
        Self { dangers, plan, habits: Arc::new(habits), layout, losses }
    }

    fn start_brokers(&self, world: &Arc<World>) -> Vec<SimBroker> {
        let brokers = if self.layout.count == 1 {
            vec![SimBroker::start(world, BROKER, &self.layout.overrides)]
        } else {
            world.events().count("world with a cluster", 1);
            self.layout.start(world)
        };
        for broker in &brokers {
            let faults = &self.dangers.weather.disk;
            world.disk(broker.machine()).set_faults(|now| *now = faults.clone());
        }
        brokers
    }

    async fn all(self, world: &Arc<World>) -> Told {
        let history = History::new(world);
        let weather = &self.dangers.weather;
        world.network().set_faults(|faults| *faults = weather.network.clone());
        weather.marks.iter().for_each(|mark| world.events().count(mark, 1));
        let brokers = self.start_brokers(world);
        let maker = world.add_machine("maker");
        let habits = Arc::clone(&self.habits);
        world.start(maker, move |runtime| make_main_topic(runtime, Arc::clone(&habits)));
        let clients = Clients::start(world, &self.habits, &history, &self.plan.without);
        let scene = Scene::new(world, brokers, clients.machines().to_vec(), self.losses);
        let mut watch = Watch::default();
        let outcome = if scene.is_cluster() {
            select! {
                outcome = self.until_the_end(&scene, &clients, &history) => outcome,
                () = watch.keep_looking(&scene, &history) => Ok(()),
            }
        } else {
            self.until_the_end(&scene, &clients, &history).await
        };
        if let Err(breach) = outcome {
            history.note(breach);
        }
        for partition in std::mem::take(&mut scene.damage().rotten) {
            history.note(Event::Rotten { partition });
        }
        let late = ["requests held back", "link with heavy loss"];
        if late.iter().any(|what| world.events().counter(what) > 0) {
            history.note(Event::RequestsCameLate);
        }
        let broker_starts = scene.brokers.iter().map(SimBroker::start_count).sum();
        Told::of(world, &history, &self.plan.without, broker_starts)
    }

    /// Gives what must not have happened where something kept it from coming to its end.
    async fn until_the_end(
        &self,
        scene: &Scene,
        clients: &Clients,
        history: &History,
    ) -> Result<(), Event> {
        self.nemesis(scene).await.map_err(broker_ended)?;
        heal(scene).await.map_err(broker_ended)?;
        if scene.is_cluster() {
            self.heal_cluster(scene).await?;
        }
        self.liveness(scene, clients, history).await
    }

    /// The safety phase. Each blow draws from a stream of its own, so that one that is left out moves no other.
    async fn nemesis(&self, scene: &Scene) -> Result<(), String> {
        let world = &scene.world;
        let end = self.plan.horizon.map_or(SimTime::FAR, |horizon| world.now() + horizon);
        for fault in &self.dangers.first {
            world.note(None, fault.name);
            if let How::First(strike) = fault.how {
                strike(scene, &mut world.random(&format!("first {}", fault.name))).await?;
            }
        }
        let mut strikes = Strikes::default();
        for number in 0..self.dangers.blow_count {
            let mut random = world.random(&format!("blow {number}"));
            let pause = if random.chance(0.3) {
                // While it starts, recovers or answers the first requests.
                some_time(&mut random, Duration::from_micros(100), Duration::from_secs(1))
            } else {
                some_time(&mut random, Duration::from_millis(100), Duration::from_secs(15))
            };
            strikes.during(scene.wait(pause.min(end.since(world.now())))).await?;
            if world.now() >= end {
                return strikes.until_over(scene).await;
            }
            if self.dangers.blows.is_empty() || self.plan.skip.contains(&number) {
                continue;
            }
            let fault = *random.pick(&self.dangers.blows);
            world.note(None, format!("blow {number}: {}", fault.name));
            // In a cluster the next may fall while this one lasts, unless nothing else may go wrong meanwhile.
            let loses = ["power_cut", "cut_at_work"].contains(&fault.name);
            let is_alone = loses && self.losses == Losses::OneAtATime;
            if is_alone {
                strikes.until_over(scene).await?;
                if let Some(flaw) = scene.until_whole(WHOLE_BOUND).await? {
                    world.note(None, format!("no power cut: {flaw}"));
                    continue;
                }
            }
            if !scene.is_cluster() || is_alone {
                if let How::Blow { strike, .. } = fault.how {
                    strike(scene, &mut random).await?;
                }
            } else {
                let goes_on = random.chance(0.5);
                strikes.begin(scene, fault, random);
                if !goes_on {
                    strikes.until_over(scene).await?;
                }
            }
            if is_alone {
                scene.until_whole(WHOLE_BOUND).await?;
            }
        }
        strikes.until_over(scene).await?;
        let rest = Duration::from_secs(world.random("rest").between(&(1..60)));
        scene.wait(rest.min(end.since(world.now()))).await
    }

    /// Waits until the cluster is whole; then one broker may go for good, and the others must come to rest without it.
    async fn heal_cluster(&self, scene: &Scene) -> Result<(), Event> {
        let world = &scene.world;
        until_whole(scene).await?;
        let mut random = world.random("minority");
        if self.dangers.blow_count == 0 || random.chance(0.7) {
            return Ok(());
        }
        let broker = random.pick(&scene.brokers);
        scene.keep_down(broker);
        world.note(None, format!("{} is gone for good", world.name(broker.machine())));
        world.events().count("broker gone for good", 1);
        match random.below(4) {
            0 => broker.crash(),
            1 => broker.cut_power(),
            2 => world.pause(broker.machine()),
            _ => world.network().isolate(broker.machine()),
        }
        until_whole(scene).await
    }

    /// The liveness phase; writes down everything there is to read.
    async fn liveness(
        &self,
        scene: &Scene,
        clients: &Clients,
        history: &History,
    ) -> Result<(), Event> {
        let world = &scene.world;
        if !scene.is_cluster() && !scene.brokers[0].until_ready(READY_BOUND).await {
            let seen = format!("the broker does not serve {READY_BOUND:?} after the last fault");
            return Err(stuck(seen));
        }
        let (what, seen) = (Awaited::Service, BROKER.to_owned());
        history.note(Event::Await { what, is_done: true, seen });
        scene.wait(Duration::from_secs(5)).await.map_err(broker_ended)?;
        clients.finish();
        let deadline = world.now() + self.habits.delivery_timeout + DRAIN_BOUND;
        let what = Awaited::Producer;
        loop {
            let busy = clients.busy();
            let Some(first) = busy.first() else { break };
            if world.now() >= deadline {
                let seen = format!("{} does not get rid of its records", world.name(*first));
                return Err(Event::Await { what, is_done: false, seen });
            }
            scene.wait(Duration::from_millis(100)).await.map_err(broker_ended)?;
        }
        history.note(Event::Await { what, is_done: true, seen: "all of them".to_owned() });
        let auditor = world.add_machine("auditor");
        scene.isolate_gone(auditor);
        let (habits, history) = (Arc::clone(&self.habits), history.clone());
        let (groups, rotten) = (clients.groups().clone(), scene.damage().rotten.clone());
        let audited = world
            .run(auditor, move |runtime| audit(runtime, habits, history, groups, rotten))
            .await;
        scene.expect_no_failures().map_err(broker_ended)?;
        audited.unwrap_or_else(|| Err(stuck("the auditor was killed".to_owned())))
    }
}

/// One world in so many has a cluster.
fn draw_node_count(world: &World) -> u32 {
    let mut random = world.random("nodes");
    if random.chance(1.0 / 8.0) { *random.pick(&[3, 3, 3, 5]) } else { 1 }
}

fn broker_ended(why: String) -> Event {
    Event::BrokerEnded { why }
}

async fn until_whole(scene: &Scene) -> Result<(), Event> {
    match scene.until_whole(WHOLE_BOUND).await.map_err(broker_ended)? {
        None => Ok(()),
        Some(flaw) => Err(stuck(format!("{flaw}, {WHOLE_BOUND:?} after the last fault"))),
    }
}

/// Ends all faults. What a bad disk has done to a broker that runs may yet end it, once.
async fn heal(scene: &Scene) -> Result<(), String> {
    let world = &scene.world;
    world.note(None, "all faults end");
    world.disarm_sites();
    world.network().heal_all();
    world.network().set_faults(|faults| *faults = NetworkFaults::default());
    for broker in &scene.brokers {
        world.disk(broker.machine()).set_faults(|faults| *faults = DiskFaults::default());
    }
    for machine in scene.clients.iter().copied().chain(scene.machines()) {
        world.resume(machine);
    }
    let excused_until = scene.damage().excused_until.values().copied().max();
    match excused_until {
        Some(until) => scene.wait(until.since(world.now()).min(Duration::from_secs(60))).await,
        None => Ok(()),
    }
}

fn draw_habits(random: &mut Random) -> Habits {
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Habits {
        brokers: vec![BROKER.to_owned()],
        partition_count: i32::try_from(random.between(&(1..5))).unwrap_or(1),
        records: count(random.between(&(50..400))),
        pause_ms: *random.pick(&[5, 100, 1_000]),
        window: count(*random.pick(&[1, 5, 50])),
        value_bytes: *random.pick(&[1, 200, 3_000, 20_000]),
        compression: if random.chance(0.5) {
            Compression::None
        } else {
            *random.pick(&Compression::ALL)
        },
        request_timeout: Duration::from_secs(*random.pick(&[2, 5, 30])),
        delivery_timeout: Duration::from_secs(*random.pick(&[15, 120, 120])),
    }
}

/// Settings of the broker that make rare things happen in a short run.
fn draw_overrides(random: &mut Random) -> Vec<(&'static str, String)> {
    let mut overrides = vec![
        ("auto.create.topics.enable", "false".to_owned()),
        ("offsets.topic.num.partitions", random.between(&(1..5)).to_string()),
    ];
    let mut maybe = |name, choices: &[u64]| {
        if random.chance(0.5) {
            overrides.push((name, random.pick(choices).to_string()));
        }
    };
    maybe("log.roll.ms", &[1_000, 5_000]);
    maybe("log.index.interval.bytes", &[100]);
    maybe("log.flush.offset.checkpoint.interval.ms", &[500, 3_000]);
    maybe("replica.high.watermark.checkpoint.interval.ms", &[300, 1_000]);
    maybe("metadata.log.max.record.bytes.between.snapshots", &[200, 2_000]);
    maybe("metadata.max.idle.interval.ms", &[50, 5_000]);
    maybe("metadata.log.segment.ms", &[1_000]);
    maybe("log.segment.delete.delay.ms", &[0, 500]);
    maybe("log.retention.check.interval.ms", &[500, 3_000]);
    overrides
}

/// The same for clusters.
fn draw_cluster_overrides(count: u32, random: &mut Random) -> Vec<(&'static str, String)> {
    let replicas = count.min(3).to_string();
    let mut overrides = vec![
        ("default.replication.factor", replicas.clone()),
        ("offsets.topic.replication.factor", replicas),
        ("min.insync.replicas", "2".to_owned()),
    ];
    overrides.extend(draw_quorum_overrides(random));
    let mut maybe = |name, choices: &[u64]| {
        if random.chance(0.5) {
            overrides.push((name, random.pick(choices).to_string()));
        }
    };
    maybe("replica.lag.time.max.ms", &[1_500, 5_000, 10_000]);
    maybe("replica.fetch.wait.max.ms", &[50, 1_000]);
    maybe("replica.fetch.max.bytes", &[300, 10_000]);
    maybe("num.replica.fetchers", &[2, 4]);
    maybe("leader.imbalance.check.interval.seconds", &[1, 5]);
    overrides
}

/// The machine, and the name, of the one broker.
const BROKER: &str = "broker";

/// How long a broker may take to serve on a healthy machine.
const READY_BOUND: Duration = Duration::from_secs(60);

/// How long a cluster may take to be whole on healthy machines.
const WHOLE_BOUND: Duration = Duration::from_secs(120);

/// How long producers may take on top of their delivery timeout.
const DRAIN_BOUND: Duration = Duration::from_secs(90);
