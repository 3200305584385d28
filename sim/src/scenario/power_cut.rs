//! One whole broker with clients around it, whose power is cut at any moment, several times: what was acknowledged under
//! `flush.messages=1` is there at the end, once, at its offset, in order.
//!
//! Two phases. While the nemesis is at work only safety counts: clients may wait and fail, but must not be told anything
//! wrong. Then all faults end, and within bounded time everything must work: the broker serves, producers get rid of what
//! they hold, all partitions can be written, and everything can be read.

use std::sync::Arc;
use std::time::Duration;

use ottla::record::Compression;

use super::Summary;
use super::audit::audit;
use crate::broker::SimBroker;
use crate::checkers::{self, FinalRead};
use crate::disk::DiskFaults;
use crate::history::History;
use crate::machine::{MachineId, MachineState};
use crate::network::NetworkFaults;
use crate::random::Random;
use crate::swarm::{Blow, Swarm, some_time};
use crate::workload::{Clients, Habits, produce_consume};
use crate::world::{Outcome, Settings, World, simulate};

/// What may be left out of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Acknowledges records before they are durable, as Kafka does by default: acknowledged records get lost then, and the
    /// checkers must say so.
    pub acknowledges_early: bool,
    /// Leaves out all faults.
    pub is_calm: bool,
}

/// Runs the scenario. It fails with the anomalies that the checkers found, or when something did not happen in time.
///
/// # Panics
///
/// When the system gives no thread.
#[must_use]
pub fn power_cut(settings: &Settings, plan: Plan) -> Outcome<Result<Summary, String>> {
    let mut random = Random::new(settings.seed, "swarm");
    let drawn = Swarm::draw(&mut random);
    let swarm = if plan.is_calm { Swarm::calm() } else { drawn };
    let settings = Settings { is_buggified: swarm.is_buggified, ..settings.clone() };
    simulate(settings, move |world| async move {
        let run = Run::new(&world, swarm, plan);
        run.all(&world).await
    })
}

struct Run {
    swarm: Swarm,
    habits: Arc<Habits>,
    overrides: Vec<(&'static str, String)>,
}

impl Run {
    fn new(world: &Arc<World>, swarm: Swarm, plan: Plan) -> Self {
        let mut random = world.random("workload");
        let habits = draw_habits(&mut random);
        let mut overrides = draw_overrides(&mut random);
        if !plan.acknowledges_early {
            overrides.push(("log.flush.interval.messages", "1".to_owned()));
        }
        world.note(None, format!("{swarm:?} {habits:?} {overrides:?}"));
        Self { swarm, habits: Arc::new(habits), overrides }
    }

    async fn all(self, world: &Arc<World>) -> Result<Summary, String> {
        let history = History::new(world);
        world.network().set_faults(|faults| *faults = self.swarm.network.clone());
        let broker = SimBroker::start(world, BROKER, &self.overrides);
        world.disk(broker.machine()).set_faults(|faults| *faults = self.swarm.disk.clone());
        let maker = world.add_machine("maker");
        let habits = Arc::clone(&self.habits);
        world
            .start(maker, move |runtime| produce_consume::make_topic(runtime, Arc::clone(&habits)));
        let clients = Clients::start(world, &self.habits, &history);
        self.nemesis(world, &broker, &clients).await?;
        heal(world, &broker, &clients);
        let read = self.liveness(world, &broker, &clients, &history).await?;
        let facts = history.facts();
        let anomalies = checkers::check(&facts, &read);
        if !anomalies.is_empty() {
            return Err(tell(&anomalies));
        }
        Ok(Summary {
            sent: facts.sends.len(),
            acknowledged: history.acknowledged_count(),
            stored: read.records.values().map(Vec::len).sum(),
            commits: facts.commit_count,
            topic_changes: facts.topic_change_count,
            broker_starts: broker.start_count(),
        })
    }

    /// The safety phase.
    async fn nemesis(
        &self,
        world: &Arc<World>,
        broker: &SimBroker,
        clients: &Clients,
    ) -> Result<(), String> {
        let mut random = world.random("nemesis");
        for _ in 0..self.swarm.blows {
            let pause = if random.chance(0.3) {
                // While it starts, recovers or answers the first requests.
                some_time(&mut random, Duration::from_micros(100), Duration::from_secs(1))
            } else {
                some_time(&mut random, Duration::from_millis(100), Duration::from_secs(15))
            };
            wait(world, broker, pause).await?;
            if !self.swarm.kinds.is_empty() {
                let kind = *random.pick(&self.swarm.kinds);
                strike(world, broker, clients, kind, &mut random).await?;
            }
        }
        wait(world, broker, Duration::from_secs(random.between(&(1..60)))).await
    }

    /// The liveness phase; gives everything there is to read.
    async fn liveness(
        &self,
        world: &Arc<World>,
        broker: &SimBroker,
        clients: &Clients,
        history: &History,
    ) -> Result<FinalRead, String> {
        if !broker.until_ready(READY_BOUND).await {
            return Err(format!(
                "stuck: the broker does not serve {READY_BOUND:?} after the last fault"
            ));
        }
        wait(world, broker, Duration::from_secs(5)).await?;
        clients.finish();
        let deadline = world.now() + self.habits.delivery_timeout + DRAIN_BOUND;
        while !clients.are_producers_idle() {
            if world.now() >= deadline {
                return Err("stuck: producers do not get rid of their records".to_owned());
            }
            wait(world, broker, Duration::from_millis(100)).await?;
        }
        let auditor = world.add_machine("auditor");
        let (habits, facts) = (Arc::clone(&self.habits), history.clone());
        let read = world.run(auditor, move |runtime| audit(runtime, habits, facts)).await;
        expect_no_failures(broker)?;
        read.ok_or("the auditor was killed")?
    }
}

async fn strike(
    world: &Arc<World>,
    broker: &SimBroker,
    clients: &Clients,
    kind: Blow,
    random: &mut Random,
) -> Result<(), String> {
    let machine = broker.machine();
    let short = some_time(random, Duration::from_millis(1), Duration::from_secs(20));
    match kind {
        Blow::PowerCut => {
            broker.cut_power();
            world.sleep(short).await;
            broker.supervise();
        }
        Blow::Crash => {
            broker.crash();
            world.sleep(short / 10).await;
            // The power may go before the process is back, while the page cache is all there is.
            if random.chance(0.2) {
                broker.cut_power();
            }
            broker.supervise();
        }
        Blow::OrderlyStop => {
            broker.ask_to_stop();
            world.sleep(short).await;
        }
        Blow::Pause => {
            world.pause(machine);
            world.sleep(short).await;
            world.resume(machine);
        }
        Blow::Cut => {
            let client = *random.pick(clients.machines());
            match random.below(3) {
                0 => world.network().cut(client, machine),
                1 => world.network().cut(machine, client),
                _ => world.network().partition(&[&[client], &[machine]]),
            }
            wait(world, broker, short).await?;
            world.network().heal_all();
        }
        Blow::ClientCrash => {
            let client = *random.pick(clients.machines());
            crash_client(world, client, short).await;
        }
        Blow::ClockJump => {
            let millis = i64::try_from(short.as_millis()).unwrap_or(0) * 100;
            let sign = if random.chance(0.5) { -1 } else { 1 };
            world.events().count("clock jump", 1);
            world.move_wall_clock(machine, sign * millis);
        }
        Blow::Drift => {
            let drift = i64::try_from(random.below(100_000)).unwrap_or(0) - 50_000;
            world.set_drift(machine, drift);
        }
    }
    Ok(())
}

async fn crash_client(world: &Arc<World>, client: MachineId, pause: Duration) {
    world.events().count("client crash", 1);
    world.crash(client);
    world.sleep(pause / 10).await;
    world.restart(client);
}

/// Lets time pass, and starts the broker again where it has ended.
async fn wait(world: &Arc<World>, broker: &SimBroker, duration: Duration) -> Result<(), String> {
    let end = world.now() + duration;
    while world.now() < end {
        world.sleep(SUPERVISED_EVERY.min(end.since(world.now()))).await;
        expect_no_failures(broker)?;
        if world.state(broker.machine()) == MachineState::Idle {
            broker.supervise();
        }
    }
    Ok(())
}

/// With a disk that only loses power there is no reason for a broker not to start.
fn expect_no_failures(broker: &SimBroker) -> Result<(), String> {
    match broker.take_failures().first() {
        Some(failure) => Err(format!("broker-failed: {failure}")),
        None => Ok(()),
    }
}

/// Ends all faults.
fn heal(world: &Arc<World>, broker: &SimBroker, clients: &Clients) {
    world.note(None, "all faults end");
    world.network().heal_all();
    world.network().set_faults(|faults| *faults = NetworkFaults::default());
    world.disk(broker.machine()).set_faults(|faults| *faults = DiskFaults::default());
    for machine in clients.machines().iter().chain([&broker.machine()]) {
        world.resume(*machine);
    }
}

fn tell(anomalies: &[checkers::Anomaly]) -> String {
    let shown = anomalies.iter().take(8).map(ToString::to_string);
    let mut text = shown.collect::<Vec<_>>().join("; ");
    if anomalies.len() > 8 {
        text.push_str(&format!("; and {} more", anomalies.len() - 8));
    }
    text
}

fn draw_habits(random: &mut Random) -> Habits {
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Habits {
        broker: BROKER.to_owned(),
        partition_count: i32::try_from(random.between(&(1..5))).unwrap_or(1),
        producers: random.between(&(1..4)),
        records: count(random.between(&(50..400))),
        pause_ms: *random.pick(&[5, 100, 1_000]),
        window: count(*random.pick(&[1, 5, 50])),
        value_bytes: *random.pick(&[1, 200, 3_000, 20_000]),
        compression: if random.chance(0.5) { Compression::None } else { *random.pick(&codecs) },
        request_timeout: Duration::from_secs(*random.pick(&[2, 5, 30])),
        delivery_timeout: Duration::from_secs(*random.pick(&[15, 120, 120])),
        tails: random.below(3),
        members: random.below(3),
        has_bookmark: random.chance(0.5),
        has_clerk: random.chance(0.5),
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
    overrides
}

/// The machine, and the name, of the broker.
const BROKER: &str = "broker";

const SUPERVISED_EVERY: Duration = Duration::from_millis(200);

/// How long a broker may take to serve on a healthy machine.
const READY_BOUND: Duration = Duration::from_secs(60);

/// How long producers may take on top of their delivery timeout.
const DRAIN_BOUND: Duration = Duration::from_secs(90);
