//! The door to the outer world, as a process on a simulated machine finds it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use madsim::runtime::NodeHandle;
use ottla::environment::{Instant, Runtime};
use ottla::model::Timestamp;

use crate::disk::{SimDisk, SimFile};
use crate::machine::MachineId;
use crate::network::{SimListener, SimStream};
use crate::world::World;

/// The runtime of one process.
#[derive(Clone)]
pub struct SimRuntime {
    world: Arc<World>,
    machine: MachineId,
    /// What the process spawns dies with this one, not with a later process of the machine.
    node: NodeHandle,
    disk: SimDisk,
    /// What the machine's clock showed when the process began.
    started_nanos: u64,
}

impl SimRuntime {
    pub(crate) fn new(world: Arc<World>, machine: MachineId, node: NodeHandle) -> Self {
        let disk = world.disk(machine);
        let started_nanos = world.local_nanos(machine);
        Self { world, machine, node, disk, started_nanos }
    }

    /// The machine it runs on.
    #[must_use]
    pub fn machine(&self) -> MachineId {
        self.machine
    }

    /// The world it runs in. Nothing a real process could know; for workloads and tests.
    #[must_use]
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }
}

impl Runtime for SimRuntime {
    type File = SimFile;
    type Disk = SimDisk;
    type Stream = SimStream;
    type Listener = SimListener;

    fn now(&self) -> Instant {
        Instant(self.world.local_nanos(self.machine) - self.started_nanos)
    }

    fn wall_clock(&self) -> Timestamp {
        Timestamp(self.world.wall_ms(self.machine))
    }

    fn random(&self) -> u64 {
        self.world.with_random(self.machine, |random| random.bits())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        let runtime = self.clone();
        async move {
            // Again when the clock has been slowed down meanwhile.
            while runtime.now() < deadline {
                let nanos = runtime.started_nanos.saturating_add(deadline.0);
                let when = runtime.world.when(runtime.machine, nanos);
                runtime.world.timeline().sleep_until(when).await;
            }
        }
    }

    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        // A panic in it ends the simulation, as it ends a process in production.
        drop(self.node.spawn(task));
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        // Another thread does it, and others may run in between.
        let micros = self.world.with_random(self.machine, |random| random.between(&(1..100)));
        self.world.timeline().sleep(Duration::from_micros(micros)).await;
        work()
    }

    async fn listen(&self, address: SocketAddr) -> io::Result<SimListener> {
        self.world.network().listen(self.machine, address)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<SimStream> {
        self.world.network().connect(self.machine, address).await
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.world.network().resolve(host, port)
    }

    fn disk(&self) -> &SimDisk {
        &self.disk
    }

    fn buggify(&self, site: &'static str) -> bool {
        self.world.buggify(site)
    }
}
