//! A machine that runs a whole Ottla node from its disk, again after each crash and power loss.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla::config::NodeConfig;
use ottla::environment::{Runtime, Stop, Stopper, select};
use ottla::metadata::MetadataImage;
use ottla::model::ClusterId;
use ottla::node::{InitialVoters, Node, format_storage};
use ottla::protocol::internal_records::metadata::MetadataRecord;
use ottla::raft;
use ottla::replication::ReplicaManager;

use crate::events::{Probe, ReplicaStatus};
use crate::machine::{MachineId, MachineState};
use crate::runtime::SimRuntime;
use crate::timeline::SimTime;
use crate::world::World;

/// A broker and its machine. Whoever holds it also watches over it: a process that ended is started again by
/// [`supervise`](Self::supervise), as an operating system's supervisor does.
pub struct SimBroker {
    world: Arc<World>,
    machine: MachineId,
    life: Arc<Mutex<Life>>,
}

/// What is known of the processes of one broker.
#[derive(Debug, Default)]
struct Life {
    /// Whether the process that runs now serves clients.
    is_ready: bool,
    starts: usize,
    /// When the process that runs now was started.
    began: SimTime,
    /// Why processes have ended by themselves, and when they were started.
    failures: Vec<(SimTime, String)>,
    /// Asks the process that runs now to stop in good order.
    stopper: Option<Stopper>,
    /// Looks into the process that runs now.
    window: Option<Window>,
    quorum: QuorumView,
}

/// Looks into a process without keeping it alive; none when it has ended.
struct Window(Box<dyn Fn() -> Option<View> + Send>);

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Window")
    }
}

/// A process that serves, from inside. Whoever looks changes nothing.
pub struct View {
    /// The partitions that have a replica here.
    pub replicas: Arc<ReplicaManager<SimRuntime>>,
    /// What the cluster is, as far as it has heard.
    pub image: Arc<MetadataImage>,
    /// The metadata quorum as it sees it.
    pub quorum: raft::Handle<SimRuntime>,
}

/// What the processes of a node have been in the metadata quorum, as far as they were looked at.
#[derive(Clone, Debug, Default)]
pub struct QuorumView {
    /// The epochs that it led.
    pub led: BTreeSet<i32>,
    /// The highest high watermark it knew.
    pub high_watermark: i64,
}

/// How the disks of a node that is one of several are formatted before it starts.
#[derive(Clone, Debug)]
pub struct Formatting {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// Who votes at first.
    pub voters: InitialVoters,
    /// What the cluster begins with, where it is not what the broker begins with by itself.
    pub founding: Vec<MetadataRecord>,
}

impl Life {
    fn failed(&mut self, why: String) {
        self.failures.push((self.began, why));
    }
}

impl SimBroker {
    /// Sets up a machine called `name` and starts a broker on it, which clients find at `name:9092`. It has the settings
    /// of `ottla dev`, and `overrides` on top.
    ///
    /// # Panics
    ///
    /// When the settings do not go together.
    #[must_use]
    pub fn start(world: &Arc<World>, name: &str, overrides: &[(&str, String)]) -> Self {
        Self::start_node(world, name, config(name, overrides), None)
    }

    /// Sets up a machine called `name` and starts a node on it, with these settings, on disks that are formatted so.
    #[must_use]
    pub fn start_node(
        world: &Arc<World>,
        name: &str,
        config: NodeConfig,
        formatting: Option<Formatting>,
    ) -> Self {
        let machine = world.add_machine(name);
        let life = Arc::new(Mutex::new(Life::default()));
        let lives = Arc::clone(&life);
        world.start(machine, move |runtime| {
            run(runtime, config.clone(), formatting.clone(), Arc::clone(&lives))
        });
        Self { world: Arc::clone(world), machine, life }
    }

    /// What it has been in the metadata quorum.
    #[must_use]
    pub fn quorum(&self) -> QuorumView {
        self.life().quorum.clone()
    }

    /// Looks into the process, while it serves: also while it stands still.
    #[must_use]
    pub fn view(&self) -> Option<View> {
        match self.world.state(self.machine) {
            MachineState::Running | MachineState::Paused => {}
            MachineState::Idle | MachineState::Unpowered => return None,
        }
        let life = self.life();
        life.window.as_ref().filter(|_| life.is_ready).and_then(|window| (window.0)())
    }

    /// Its machine.
    #[must_use]
    pub const fn machine(&self) -> MachineId {
        self.machine
    }

    /// How often it has begun to serve.
    #[must_use]
    pub fn start_count(&self) -> usize {
        self.life().starts
    }

    /// Why processes have ended by themselves since this was last asked, and when they were started.
    #[must_use]
    pub fn take_failures(&self) -> Vec<(SimTime, String)> {
        std::mem::take(&mut self.life().failures)
    }

    /// Kills the process.
    pub fn crash(&self) {
        self.count_early_death();
        self.world.crash(self.machine);
        self.life().is_ready = false;
    }

    /// Takes the power from the machine.
    pub fn cut_power(&self) {
        self.count_early_death();
        self.world.power_loss(self.machine);
        self.life().is_ready = false;
    }

    /// Asks the process to stop in good order; it ends some time later.
    pub fn ask_to_stop(&self) {
        if let Some(stopper) = &self.life().stopper {
            stopper.pull();
        }
    }

    /// Starts it where it does not run.
    pub fn supervise(&self) {
        match self.world.state(self.machine) {
            MachineState::Running | MachineState::Paused => {}
            MachineState::Idle | MachineState::Unpowered => {
                {
                    let mut life = self.life();
                    life.stopper = None;
                    life.is_ready = false;
                }
                self.world.restart(self.machine);
            }
        }
    }

    /// Waits until it serves, starting it where it has ended; false when `limit` has passed before.
    pub async fn until_ready(&self, limit: Duration) -> bool {
        let deadline = self.world.now() + limit;
        while !self.is_ready() {
            if self.world.now() >= deadline {
                return false;
            }
            self.supervise();
            self.world.sleep(Duration::from_millis(10)).await;
        }
        true
    }

    /// Whether it runs and serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.world.state(self.machine) == MachineState::Running && self.life().is_ready
    }

    /// Worth counting: starting, with all that it repairs, must itself bear being ended at any moment.
    fn count_early_death(&self) {
        if self.world.state(self.machine) == MachineState::Running && !self.life().is_ready {
            self.world.events().count("killed while it started", 1);
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        lock(&self.life)
    }
}

/// One process.
async fn run(
    runtime: SimRuntime,
    config: NodeConfig,
    formatting: Option<Formatting>,
    life: Arc<Mutex<Life>>,
) {
    let stopper = Stopper::new();
    {
        let mut life = lock(&life);
        life.is_ready = false;
        life.window = None;
        life.began = runtime.world().now();
        life.stopper = Some(stopper.clone());
    }
    let world = Arc::clone(runtime.world());
    let this_machine = runtime.machine();
    let machine = Some(this_machine);
    if let Some(Formatting { cluster_id, voters, founding }) = formatting {
        let founding = Some(founding.as_slice()).filter(|records| !records.is_empty());
        let formatted = format_storage(&runtime, &config, &cluster_id, &voters, founding).await;
        if let Err(error) = formatted {
            world.note(machine, format!("the disk was not formatted: {error}"));
            lock(&life).failed(format!("was not formatted: {error}"));
            return;
        }
    }
    let node = match Box::pin(Node::start(runtime.clone(), config)).await {
        Ok(node) => node,
        Err(error) => {
            world.note(machine, format!("the broker did not start: {error}"));
            lock(&life).failed(format!("did not start: {error}"));
            return;
        }
    };
    world.note(machine, "the broker serves");
    world.events().watch(this_machine, probe(node.replicas()));
    {
        let mut life = lock(&life);
        life.is_ready = true;
        life.starts += 1;
        life.window = Some(window(&node));
    }
    let (stop, ended) = (stopper.stop(), Stopper::new());
    let watching = watch(runtime.clone(), node.quorum().clone(), ended.stop(), Arc::clone(&life));
    runtime.spawn("watch the quorum", watching);
    select! {
        () = node.halted() => {
            world.note(machine, "the broker halted");
            lock(&life).failed("halted".to_owned());
        }
        () = stop.stopped() => {
            lock(&life).is_ready = false;
            ended.pull();
            node.shutdown().await;
            world.note(machine, "the broker stopped in good order");
            world.events().count("orderly stop", 1);
        }
    }
}

/// Looks at the quorum again and again.
async fn watch(
    runtime: SimRuntime,
    quorum: raft::Handle<SimRuntime>,
    stop: Stop,
    life: Arc<Mutex<Life>>,
) {
    while !stop.is_stopped() {
        {
            let view = &mut lock(&life).quorum;
            view.led.extend(quorum.leading_epoch().map(|epoch| epoch.value()));
            view.high_watermark = view.high_watermark.max(quorum.high_watermark().value());
        }
        runtime.sleep(LOOKED_AT_EVERY).await;
    }
}

fn window(node: &Node<SimRuntime>) -> Window {
    let (replicas, quorum) = (Arc::downgrade(node.replicas()), node.quorum().clone());
    let image = node.images();
    Window(Box::new(move || {
        let replicas = replicas.upgrade()?;
        Some(View { replicas, image: image(), quorum: quorum.clone() })
    }))
}

/// Lets others look at the replicas of a process as long as it lives, without keeping it alive.
fn probe(replicas: &Arc<ReplicaManager<SimRuntime>>) -> Probe {
    let replicas = Arc::downgrade(replicas);
    Box::new(move || {
        let partitions = replicas.upgrade()?.partitions();
        let statuses = partitions.iter().map(|partition| {
            let name = partition.topic_partition();
            ReplicaStatus {
                topic: name.topic.to_string(),
                topic_id: partition.topic_id().to_string(),
                partition: name.partition.0,
                is_leader: partition.leading_epoch().is_ok(),
                epoch: partition.leader_and_epoch().1.value(),
                log_end: partition.log().log_end_offset().value(),
                high_watermark: partition.log().high_watermark().value(),
            }
        });
        Some(statuses.collect())
    })
}

fn config(name: &str, overrides: &[(&str, String)]) -> NodeConfig {
    let listeners = |host: &str| format!("PLAINTEXT://{host}:9092,CONTROLLER://{host}:9093");
    let own = [
        ("listeners", listeners("0.0.0.0")),
        ("advertised.listeners", listeners(name)),
        ("controller.quorum.bootstrap.servers", format!("{name}:9093")),
    ];
    let all: Vec<_> = own
        .iter()
        .chain(overrides)
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    match NodeConfig::dev(DATA_DIRECTORY, &all) {
        Ok(config) => config,
        Err(error) => panic!("the broker's settings do not go together: {error}"),
    }
}

fn lock(life: &Mutex<Life>) -> MutexGuard<'_, Life> {
    life.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shorter than an election.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(20);

/// Where a broker keeps everything.
pub const DATA_DIRECTORY: &str = "/data";
