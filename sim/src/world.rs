//! A simulated world: machines, their network and disks, and what can be done to them.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use madsim::runtime::Handle;
use tokio::sync::oneshot;

use crate::disk::SimDisk;
use crate::events::{Event, MachineChange, Recorded, Recorder};
use crate::machine::{Clock, Machine, MachineId, MachineState, Program};
use crate::network::Network;
use crate::random::Random;
use crate::runtime::SimRuntime;
use crate::sites::Sites;
use crate::timeline::{SCALE, SimTime, Timeline};

/// What a world is made from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Everything random in the world comes from it.
    pub seed: u64,
    /// Whether events are kept.
    pub keeps_trace: bool,
    /// Which part of the sites that ask [`buggify`](ottla::environment::Runtime::buggify) are sometimes told to take the
    /// rare way.
    pub armed_sites: f64,
    /// The simulation fails when it takes longer, in world time.
    pub time_limit: Duration,
}

impl Settings {
    /// A world without armed sites that may last for a day.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let time_limit = Duration::from_secs(24 * 3600);
        Self { seed, keeps_trace: false, armed_sites: 0.0, time_limit }
    }
}

/// How a simulation has ended.
#[derive(Debug)]
pub struct Outcome<T> {
    /// What the main task gave, or the text of the panic that ended the world.
    pub result: Result<T, String>,
    /// The digest of everything that has happened.
    pub digest: u64,
    /// How many events there were.
    pub event_count: u64,
    /// When it ended.
    pub ended_at: SimTime,
    /// How often rare things have happened.
    pub counters: BTreeMap<&'static str, u64>,
    /// The events, when they were to be kept.
    pub trace: Vec<Recorded>,
}

impl<T> Outcome<T> {
    /// The same outcome with another result.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        Outcome {
            result: self.result.map(change),
            digest: self.digest,
            event_count: self.event_count,
            ended_at: self.ended_at,
            counters: self.counters,
            trace: self.trace,
        }
    }
}

/// Makes a world and runs `main` in it, outside of all machines, on a thread of its own.
///
/// The world ends when `main` does. When nothing can ever happen again before that, the world fails.
///
/// # Panics
///
/// When the system gives no thread.
pub fn simulate<T, F>(
    settings: Settings,
    main: impl FnOnce(Arc<World>) -> F + Send + 'static,
) -> Outcome<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let events = Arc::new(Recorder::new(settings.keeps_trace));
    let recorder = Arc::clone(&events);
    let ended_at = Arc::new(Mutex::new(SimTime::default()));
    let ended = Arc::clone(&ended_at);
    // A fresh thread has fresh keys for the standard library's hash maps, which madsim fills from the seed.
    let thread =
        std::thread::Builder::new().name(format!("seed {}", settings.seed)).spawn(move || {
            let run = || {
                let config = madsim::Config::default();
                let mut runtime =
                    madsim::runtime::Runtime::with_seed_and_config(settings.seed, config);
                runtime.set_time_limit(settings.time_limit * SCALE);
                runtime.block_on(async {
                    let world = World::new(&settings, recorder);
                    let timeline = Arc::clone(world.timeline());
                    let _end = AtEnd(|| {
                        *ended.lock().unwrap_or_else(PoisonError::into_inner) = timeline.now();
                        timeline.clear();
                    });
                    main(world).await
                })
            };
            catch_unwind(AssertUnwindSafe(run)).map_err(|panic| panic_text(&*panic))
        });
    let joined = thread.expect("the system gives a thread").join();
    let result = joined.unwrap_or_else(|panic| Err(panic_text(&*panic)));
    let ended_at = *ended_at.lock().unwrap_or_else(PoisonError::into_inner);
    Outcome {
        result,
        digest: events.digest(),
        event_count: events.event_count(),
        ended_at,
        counters: events.counters(),
        trace: events.trace(),
    }
}

/// A simulated world.
pub struct World {
    seed: u64,
    timeline: Arc<Timeline>,
    events: Arc<Recorder>,
    network: Arc<Network>,
    handle: Handle,
    machines: Mutex<BTreeMap<MachineId, Machine>>,
    sites: Sites,
    wall_base_ms: i64,
}

impl World {
    fn new(settings: &Settings, events: Arc<Recorder>) -> Arc<Self> {
        let seed = settings.seed;
        let handle = Handle::current();
        let timeline = Arc::new(Timeline::new());
        // The world's own tasks belong to a node that nobody kills.
        let wire = handle.create_node().name("wire").build();
        drop(wire.spawn(Arc::clone(&timeline).drive()));
        let random = Random::new(seed, "network");
        let network = Network::new(Arc::clone(&timeline), Arc::clone(&events), random);
        let spread = Random::new(seed, "wall clock").below(365 * 24 * 3600 * 1000);
        Arc::new(Self {
            seed,
            timeline,
            events,
            network,
            handle,
            machines: Mutex::default(),
            sites: Sites::new(seed, settings.armed_sites),
            wall_base_ms: FIRST_WALL_MS + i64::try_from(spread).unwrap_or(0),
        })
    }

    /// A stream of random numbers for the concern called `name`: nemesis, workload…
    #[must_use]
    pub fn random(&self, name: &str) -> Random {
        Random::new(self.seed, name)
    }

    /// What happens when.
    #[must_use]
    pub fn timeline(&self) -> &Arc<Timeline> {
        &self.timeline
    }

    /// World time.
    #[must_use]
    pub fn now(&self) -> SimTime {
        self.timeline.now()
    }

    /// Waits in world time.
    pub async fn sleep(&self, duration: Duration) {
        self.timeline.sleep(duration).await;
    }

    /// Everything that happens.
    #[must_use]
    pub fn events(&self) -> &Recorder {
        &self.events
    }

    /// Writes a word into the events.
    pub fn note(&self, machine: Option<MachineId>, text: impl Into<String>) {
        self.events.record(self.now(), Event::Note { machine, text: text.into() });
    }

    /// The network between the machines.
    #[must_use]
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Sets a machine up: with power and a disk, without a process. Others find it by its name.
    ///
    /// # Panics
    ///
    /// When a world has four thousand million machines.
    pub fn add_machine(&self, name: &str) -> MachineId {
        let mut machines = self.machines();
        let number = u32::try_from(machines.len() + 1).expect("a world has few machines");
        let machine = MachineId(number);
        let [_, high, middle, low] = number.to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(10, high, middle, low));
        let stream = |what: &str| Random::new(self.seed, &format!("{what} of {name}"));
        let (timeline, events) = (Arc::clone(&self.timeline), Arc::clone(&self.events));
        let disk = SimDisk::new(machine, timeline, events, stream("disk"));
        let entry = Machine {
            name: name.to_owned(),
            address,
            node: self.handle.create_node().name(name).build(),
            disk,
            clock: Clock::new(self.wall_base_ms),
            random: stream("process"),
            state: MachineState::Idle,
            program: None,
            process: 0,
        };
        machines.insert(machine, entry);
        self.network.add_host(machine, name, address);
        self.events.record(self.now(), Event::Added { machine, name: name.to_owned() });
        machine
    }

    /// The address of a machine.
    #[must_use]
    pub fn address(&self, machine: MachineId) -> IpAddr {
        self.with_machine(machine, |entry| entry.address)
    }

    /// The name of a machine.
    #[must_use]
    pub fn name(&self, machine: MachineId) -> String {
        self.with_machine(machine, |entry| entry.name.clone())
    }

    /// The disk of a machine; also while nothing runs on it, for whoever wants to look.
    #[must_use]
    pub fn disk(&self, machine: MachineId) -> SimDisk {
        self.with_machine(machine, |entry| entry.disk.clone())
    }

    /// How a machine is.
    #[must_use]
    pub fn state(&self, machine: MachineId) -> MachineState {
        self.with_machine(machine, |entry| entry.state)
    }

    /// Starts a process, after killing one that runs and giving the machine power. The same program runs again after
    /// each [`restart`](Self::restart). The process ends, with all its tasks, when the future does.
    pub fn start<F>(
        self: &Arc<Self>,
        machine: MachineId,
        program: impl Fn(SimRuntime) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let program: Program = Arc::new(move |runtime| Box::pin(program(runtime)));
        self.with_machine(machine, |entry| entry.program = Some(program));
        self.restart(machine);
    }

    /// Runs a process once, and waits for what it gives: `None` when it was killed before.
    pub async fn run<T, F>(
        self: &Arc<Self>,
        machine: MachineId,
        program: impl FnOnce(SimRuntime) -> F + Send + 'static,
    ) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let once = Mutex::new(Some((program, sender)));
        self.start(machine, move |runtime| {
            let once = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            async move {
                if let Some((program, sender)) = once {
                    // Fails only when nobody waits any more.
                    let _ = sender.send(program(runtime).await);
                }
            }
        });
        receiver.await.ok()
    }

    /// Starts a process that does nothing by itself, and lends its door to whoever asks: a test that wants to say
    /// step by step what happens.
    ///
    /// # Panics
    ///
    /// Never: a machine has its node from the beginning.
    pub fn puppet(self: &Arc<Self>, machine: MachineId) -> SimRuntime {
        self.start(machine, |_| std::future::pending());
        let node = self.with_machine(machine, |entry| entry.node.id());
        let node = self.handle.get_node(node).expect("the node was made with the machine");
        SimRuntime::new(Arc::clone(self), machine, node)
    }

    /// Kills the process, if one runs, gives the machine power, and runs its program anew.
    ///
    /// # Panics
    ///
    /// When the machine has never been given a program.
    pub fn restart(self: &Arc<Self>, machine: MachineId) {
        match self.state(machine) {
            MachineState::Running | MachineState::Paused => self.crash(machine),
            MachineState::Unpowered => {
                self.network.power_back(machine);
                self.changed(machine, MachineChange::PowerBack);
            }
            MachineState::Idle => {}
        }
        let (program, id, process) = self.with_machine(machine, |entry| {
            entry.state = MachineState::Running;
            entry.process += 1;
            let program = entry.program.clone().expect("the machine has been given a program");
            (program, entry.node.id(), entry.process)
        });
        self.changed(machine, MachineChange::Started);
        // Gives the node a new life; what is spawned on the old one never runs.
        self.handle.restart(id);
        let node = self.handle.get_node(id).expect("the node was made with the machine");
        let runtime = SimRuntime::new(Arc::clone(self), machine, node.clone());
        let world = Arc::clone(self);
        drop(node.spawn(async move {
            program(runtime).await;
            world.process_ended(machine, process);
        }));
    }

    /// Kills the process as `kill -9` does. The machine lives on: its kernel closes the connections, and what was
    /// written to files stays in the page cache.
    pub fn crash(&self, machine: MachineId) {
        if !matches!(self.state(machine), MachineState::Running | MachineState::Paused) {
            return;
        }
        self.changed(machine, MachineChange::Crashed);
        self.events.count("process crash", 1);
        self.end_process(machine);
    }

    /// Takes the power from a machine: the process dies, nobody is told, and of what was not synced anything may be
    /// left. It is back with the next [`restart`](Self::restart).
    pub fn power_loss(&self, machine: MachineId) {
        if self.state(machine) == MachineState::Unpowered {
            return;
        }
        self.changed(machine, MachineChange::PowerLost);
        self.events.count("power loss", 1);
        self.network.power_lost(machine);
        self.disk(machine).power_lost();
        let id = self.with_machine(machine, |entry| {
            entry.state = MachineState::Unpowered;
            entry.node.id()
        });
        self.handle.kill(id);
    }

    /// Stops all tasks of the process, as a long collection of garbage or a frozen virtual machine does. Its kernel
    /// goes on.
    pub fn pause(&self, machine: MachineId) {
        if self.state(machine) == MachineState::Running {
            self.changed(machine, MachineChange::Paused);
            self.handle.pause(self.set_state(machine, MachineState::Paused));
        }
    }

    /// Lets a paused process go on.
    pub fn resume(&self, machine: MachineId) {
        if self.state(machine) == MachineState::Paused {
            self.changed(machine, MachineChange::Resumed);
            self.handle.resume(self.set_state(machine, MachineState::Running));
        }
    }

    /// Moves the wall clock of a machine; backwards when negative.
    pub fn move_wall_clock(&self, machine: MachineId, millis: i64) {
        self.changed(machine, MachineChange::WallClockMoved(millis));
        self.with_machine(machine, |entry| entry.clock.move_wall(millis));
    }

    /// Lets the clocks of a machine run faster by so many millionths from now on; slower when negative.
    pub fn set_drift(&self, machine: MachineId, millionths: i64) {
        self.changed(machine, MachineChange::DriftSet(millionths));
        let now = self.now();
        self.with_machine(machine, |entry| entry.clock.set_drift(now, millionths));
    }

    pub(crate) fn local_nanos(&self, machine: MachineId) -> u64 {
        let now = self.now();
        self.with_machine(machine, |entry| entry.clock.nanos(now))
    }

    pub(crate) fn when(&self, machine: MachineId, nanos: u64) -> SimTime {
        self.with_machine(machine, |entry| entry.clock.when(nanos))
    }

    pub(crate) fn wall_ms(&self, machine: MachineId) -> i64 {
        let now = self.now();
        self.with_machine(machine, |entry| entry.clock.wall_ms(now))
    }

    pub(crate) fn with_random<T>(
        &self,
        machine: MachineId,
        draw: impl FnOnce(&mut Random) -> T,
    ) -> T {
        self.with_machine(machine, |entry| draw(&mut entry.random))
    }

    pub(crate) fn buggify(&self, site: &'static str) -> bool {
        let fires = self.sites.fires(site);
        if fires {
            self.events.count(site, 1);
        }
        fires
    }

    /// From now on no site in the code takes the rare way.
    pub fn disarm_sites(&self) {
        self.sites.disarm();
    }

    fn process_ended(&self, machine: MachineId, process: u64) {
        if self.with_machine(machine, |entry| entry.process) == process {
            self.changed(machine, MachineChange::Ended);
            self.end_process(machine);
        }
    }

    fn end_process(&self, machine: MachineId) {
        self.network.process_died(machine);
        self.disk(machine).process_died();
        self.handle.kill(self.set_state(machine, MachineState::Idle));
    }

    fn set_state(&self, machine: MachineId, state: MachineState) -> madsim::task::NodeId {
        self.with_machine(machine, |entry| {
            entry.state = state;
            entry.node.id()
        })
    }

    fn changed(&self, machine: MachineId, change: MachineChange) {
        self.events.record(self.now(), Event::Machine { machine, change });
    }

    fn with_machine<T>(&self, machine: MachineId, act: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machines = self.machines();
        act(machines.get_mut(&machine).expect("machines are never taken away"))
    }

    fn machines(&self) -> MutexGuard<'_, BTreeMap<MachineId, Machine>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a closure when it is dropped, also by a panic.
struct AtEnd<F: FnMut()>(F);

impl<F: FnMut()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

/// 2025-01-01, in milliseconds since 1970; the world begins some day in the year after it.
const FIRST_WALL_MS: i64 = 1_735_689_600_000;
