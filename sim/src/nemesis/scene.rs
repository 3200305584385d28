//! What a nemesis can reach, and what it must leave alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla::model::TopicPartition;

use crate::broker::SimBroker;
use crate::disk::DiskFaults;
use crate::machine::{MachineId, MachineState};
use crate::random::Random;
use crate::timeline::SimTime;
use crate::wholeness::flaw;
use crate::world::World;

/// What a nemesis can reach.
pub struct Scene {
    /// The world.
    pub world: Arc<World>,
    /// The brokers: one, or a cluster.
    pub brokers: Vec<SimBroker>,
    /// The machines of the clients.
    pub clients: Vec<MachineId>,
    /// What is to be found at the end otherwise than clients were promised.
    pub damage: Arc<Mutex<Damage>>,
    /// What machines may lose.
    pub losses: Losses,
    /// Brokers that are not to be started again, whoever finds them ended.
    kept_down: Mutex<BTreeSet<MachineId>>,
    /// What some blow has changed and will put back.
    claimed: Mutex<BTreeSet<Changeable>>,
}

/// What a blow puts back at its end as it found it: two that overlap would leave behind what the first has made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Changeable {
    /// What the disk of this machine does wrong.
    Disk(MachineId),
    /// How long the network tries to bring something through.
    Patience,
}

/// As long as it lives nobody else changes this.
pub(super) struct Claim<'a> {
    scene: &'a Scene,
    what: Changeable,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.scene.claimed().remove(&self.what);
    }
}

/// How many machines may lose what was not synced before the cluster is whole again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Losses {
    /// All of them at once: every acknowledged record is durable on every in-sync replica (`flush.messages=1`), or there is
    /// one broker only.
    Any,
    /// One, with everything else at rest: records are acknowledged while they are in page caches.
    OneAtATime,
}

/// What a fault has done that no broker could hide.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    /// Until when (some seconds are added) a broker may end by itself: its disk fails.
    pub excused_until: BTreeMap<MachineId, SimTime>,
    /// Partitions with bytes on a disk that are not those that were written.
    pub rotten: BTreeSet<TopicPartition>,
}

impl Scene {
    /// What there is to reach.
    #[must_use]
    pub fn new(
        world: &Arc<World>,
        brokers: Vec<SimBroker>,
        clients: Vec<MachineId>,
        losses: Losses,
    ) -> Self {
        Self {
            world: Arc::clone(world),
            brokers,
            clients,
            damage: Arc::default(),
            losses,
            kept_down: Mutex::default(),
            claimed: Mutex::default(),
        }
    }

    /// Whether there are several brokers.
    #[must_use]
    pub const fn is_cluster(&self) -> bool {
        self.brokers.len() > 1
    }

    /// One of the brokers; often the one that leads the metadata quorum.
    pub(super) fn one(&self, random: &mut Random) -> &SimBroker {
        if !self.is_cluster() {
            return &self.brokers[0];
        }
        let leads = |broker: &&SimBroker| {
            broker.view().is_some_and(|view| view.quorum.leading_epoch().is_some())
        };
        let leader = if random.chance(0.3) { self.brokers.iter().find(leads) } else { None };
        leader.unwrap_or_else(|| random.pick(&self.brokers))
    }

    /// One of the clients, or a broker where there are none.
    pub(super) fn client(&self, random: &mut Random) -> MachineId {
        if self.clients.is_empty() {
            self.one(random).machine()
        } else {
            *random.pick(&self.clients)
        }
    }

    /// Mostly a broker, else one of the clients.
    pub(super) fn broker_or_client(&self, random: &mut Random) -> MachineId {
        if random.chance(0.7) { self.one(random).machine() } else { self.client(random) }
    }

    /// The machines of the brokers.
    #[must_use]
    pub fn machines(&self) -> Vec<MachineId> {
        self.brokers.iter().map(SimBroker::machine).collect()
    }

    /// Whether a machine may lose at any moment what was not synced.
    pub(super) const fn may_lose_anytime(&self) -> bool {
        matches!(self.losses, Losses::Any)
    }

    /// What has been damaged for good.
    pub fn damage(&self) -> MutexGuard<'_, Damage> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts that something has struck.
    pub fn count(&self, what: &'static str) {
        self.world.events().count(what, 1);
    }

    /// From now on nobody starts this broker again.
    pub fn keep_down(&self, broker: &SimBroker) {
        self.kept_down().insert(broker.machine());
    }

    /// Cuts a machine that is new off from brokers that run and are kept down: they are cut off from all others, and would tell it
    /// what they last heard.
    pub fn isolate_gone(&self, machine: MachineId) {
        let network = self.world.network();
        for gone in self.kept_down().iter() {
            if self.world.state(*gone) == MachineState::Running {
                network.cut(machine, *gone);
                network.cut(*gone, machine);
            }
        }
    }

    /// Lets a broker, which was ended, be away for some time, and starts it again.
    pub(super) async fn away(&self, broker: &SimBroker, duration: Duration) {
        self.keep_down(broker);
        self.world.sleep(duration).await;
        self.kept_down().remove(&broker.machine());
    }

    fn kept_down(&self) -> MutexGuard<'_, BTreeSet<MachineId>> {
        self.kept_down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claimed(&self) -> MutexGuard<'_, BTreeSet<Changeable>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to change this; `None` while another blow has it.
    pub(super) fn claim(&self, what: Changeable) -> Option<Claim<'_>> {
        self.claimed().insert(what).then(|| Claim { scene: self, what })
    }

    /// Changes a broker's disk for some time; what it did not bear meanwhile is excused.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub(super) async fn with_bad_disk(
        &self,
        broker: &SimBroker,
        duration: Duration,
        worsen: impl FnOnce(&mut DiskFaults) + Send,
    ) -> Result<(), String> {
        let Some(_claim) = self.claim(Changeable::Disk(broker.machine())) else {
            return self.wait(duration).await;
        };
        let disk = self.world.disk(broker.machine());
        let mut before = None;
        disk.set_faults(|faults| {
            before = Some(faults.clone());
            worsen(faults);
        });
        self.damage().excused_until.insert(broker.machine(), SimTime::FAR);
        let waited = self.wait(duration).await;
        if let Some(before) = before {
            disk.set_faults(|faults| *faults = before);
        }
        let until = self.world.now() + EXCUSED_AFTER;
        self.damage().excused_until.insert(broker.machine(), until);
        waited
    }

    /// Lets time pass, and starts brokers again where they have ended.
    ///
    /// # Errors
    ///
    /// What one said when it has ended without a reason.
    pub async fn wait(&self, duration: Duration) -> Result<(), String> {
        let end = self.world.now() + duration;
        while self.world.now() < end {
            self.world.sleep(SUPERVISED_EVERY.min(end.since(self.world.now()))).await;
            self.expect_no_failures()?;
            for broker in &self.brokers {
                let is_kept_down = self.kept_down().contains(&broker.machine());
                match self.world.state(broker.machine()) {
                    MachineState::Idle if !is_kept_down => broker.supervise(),
                    MachineState::Unpowered if self.is_cluster() && !is_kept_down => {
                        broker.supervise();
                    }
                    MachineState::Idle
                    | MachineState::Unpowered
                    | MachineState::Running
                    | MachineState::Paused => {}
                }
            }
        }
        Ok(())
    }

    /// Waits until the cluster without those that are kept down is whole; gives what still is not when `limit` has passed.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub async fn until_whole(&self, limit: Duration) -> Result<Option<String>, String> {
        let deadline = self.world.now() + limit;
        loop {
            let dead = self.kept_down().clone();
            let Some(flaw) = flaw(&self.brokers, &dead, &self.damage().rotten) else {
                return Ok(None);
            };
            if self.world.now() >= deadline {
                return Ok(Some(flaw));
            }
            self.wait(SUPERVISED_EVERY).await?;
        }
    }

    /// With a disk that only loses power there is no reason for a broker to end by itself.
    ///
    /// # Errors
    ///
    /// When one has.
    pub fn expect_no_failures(&self) -> Result<(), String> {
        for broker in &self.brokers {
            let failures = broker.take_failures();
            let Some((began, failure)) = failures.into_iter().next() else { continue };
            let now = self.world.now();
            let excused_until = self.damage().excused_until.get(&broker.machine()).copied();
            // What began on a bad disk may take its time to give up.
            let is_excused = excused_until.is_some_and(|until| {
                now <= until || (began <= until && now.since(until) <= GIVING_UP)
            });
            if !is_excused {
                return Err(failure);
            }
            self.count("broker ended because of its disk");
        }
        Ok(())
    }
}

const SUPERVISED_EVERY: Duration = Duration::from_millis(200);

/// How long after an error of its disk a broker may still fall over it.
const EXCUSED_AFTER: Duration = Duration::from_secs(10);

/// How long a broker waits for its own controller, at most.
const GIVING_UP: Duration = Duration::from_secs(90);
