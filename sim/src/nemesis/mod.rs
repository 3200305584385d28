//! What goes wrong in a world: one file for each fault, one line in [`FAULTS`].
//!
//! With all faults at once each run is much like the next, and one fault hides another; so each is there in some worlds
//! only, drawn from a stream of its own: a fault that is left out, or added, moves no other. A world without any must be
//! among them.

mod bit_rot;
mod buggify;
mod client_crash;
mod clock_drift;
mod clock_jump;
mod connection_reset;
mod cut_at_work;
mod disk_full;
mod disk_stall;
mod first_moments;
mod heavy_loss;
mod io_error;
mod late_message;
mod latency;
mod link_cut;
mod lone_reset;
mod orderly_stop;
mod packet_loss;
mod pause;
mod power_cut;
mod process_crash;
mod restart_storm;
mod short_write;
mod slow_sync;
mod small_pieces;
mod sync_error;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla::model::TopicPartition;

use crate::broker::SimBroker;
use crate::disk::DiskFaults;
use crate::machine::{MachineId, MachineState};
use crate::network::NetworkFaults;
use crate::random::Random;
use crate::timeline::SimTime;
use crate::world::World;

/// All faults there are.
pub const FAULTS: &[&Fault] = &[
    &power_cut::FAULT,
    &cut_at_work::FAULT,
    &process_crash::FAULT,
    &orderly_stop::FAULT,
    &first_moments::FAULT,
    &restart_storm::FAULT,
    &pause::FAULT,
    &client_crash::FAULT,
    &link_cut::FAULT,
    &connection_reset::FAULT,
    &lone_reset::FAULT,
    &late_message::FAULT,
    &heavy_loss::FAULT,
    &latency::FAULT,
    &packet_loss::FAULT,
    &small_pieces::FAULT,
    &clock_jump::FAULT,
    &clock_drift::FAULT,
    &slow_sync::FAULT,
    &disk_stall::FAULT,
    &short_write::FAULT,
    &disk_full::FAULT,
    &io_error::FAULT,
    &sync_error::FAULT,
    &bit_rot::FAULT,
    &buggify::FAULT,
];

/// One kind of thing that goes wrong.
#[derive(Debug)]
pub struct Fault {
    /// What it is called, on the command line too.
    pub name: &'static str,
    /// In which part of the worlds it is there.
    pub share: f64,
    /// How it comes.
    pub how: How,
    /// What counts how often it has really happened.
    pub counters: &'static [&'static str],
}

/// How a fault comes.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// At some moments, and goes by.
    Blow {
        /// How likely it is among the blows of a world.
        weight: usize,
        /// Does it; ends when it has gone by.
        strike: for<'a> fn(&'a Scene, &'a mut Random) -> Striking<'a>,
    },
    /// Once, before anything else: the broker's machine is there, and what runs on it has only begun.
    First(for<'a> fn(&'a Scene, &'a mut Random) -> Striking<'a>),
    /// It is there until all is healed.
    Weather(fn(&mut Weather, &mut Random)),
}

/// A blow that falls; its error is something that must not have happened meanwhile.
pub type Striking<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// How healthy network and disk are all the time.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// The network between all machines.
    pub network: NetworkFaults,
    /// The broker's disk.
    pub disk: DiskFaults,
    /// Which part of the sites in the code is armed to take the rare way.
    pub armed_sites: f64,
    /// What of it nobody can count while it happens: counted once for each world.
    pub marks: Vec<&'static str>,
}

/// The dangers of one world.
#[derive(Clone, Debug)]
pub struct Dangers {
    /// What strikes before anything else.
    pub first: Vec<&'static Fault>,
    /// What may strike, as often as it is likely.
    pub blows: Vec<&'static Fault>,
    /// How many times something strikes.
    pub blow_count: u64,
    /// What is bad all the time.
    pub weather: Weather,
}

impl Dangers {
    /// A world in which nothing bad happens.
    #[must_use]
    pub fn none() -> Self {
        Self { first: Vec::new(), blows: Vec::new(), blow_count: 0, weather: Weather::default() }
    }

    /// The dangers of this seed, without those whose names are given; none in one world of sixteen.
    #[must_use]
    pub fn draw(seed: u64, without: &BTreeSet<String>) -> Self {
        let mut dangers = Self::none();
        let mut random = Random::new(seed, "dangers");
        if random.chance(1.0 / 16.0) {
            return dangers;
        }
        dangers.blow_count = random.between(&(2..12));
        for fault in FAULTS {
            let mut random = Random::new(seed, fault.name);
            if !random.chance(fault.share) || without.contains(fault.name) {
                continue;
            }
            match fault.how {
                How::Blow { weight, .. } => {
                    dangers.blows.extend(std::iter::repeat_n(*fault, weight));
                }
                How::First(_) => dangers.first.push(fault),
                How::Weather(draw) => draw(&mut dangers.weather, &mut random),
            }
        }
        dangers
    }
}

/// What a nemesis can reach.
pub struct Scene {
    /// The world.
    pub world: Arc<World>,
    /// The broker.
    pub broker: SimBroker,
    /// The machines of the clients.
    pub clients: Vec<MachineId>,
    /// What is to be found at the end otherwise than clients were promised.
    pub damage: Arc<Mutex<Damage>>,
}

/// What a fault has done that no broker could hide.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    /// Until when (some seconds are added) a broker may end by itself: its disk fails.
    pub excused_until: Option<SimTime>,
    /// Partitions with bytes on the disk that are not those that were written.
    pub rotten: BTreeSet<TopicPartition>,
}

impl Scene {
    /// The broker's machine.
    #[must_use]
    pub const fn machine(&self) -> MachineId {
        self.broker.machine()
    }

    /// One of the clients, or the broker where there are none.
    fn client(&self, random: &mut Random) -> MachineId {
        if self.clients.is_empty() { self.machine() } else { *random.pick(&self.clients) }
    }

    /// Mostly the broker, else one of the clients.
    fn broker_or_client(&self, random: &mut Random) -> MachineId {
        if random.chance(0.7) { self.machine() } else { self.client(random) }
    }

    /// What has been damaged for good.
    pub fn damage(&self) -> MutexGuard<'_, Damage> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts that something has struck.
    pub fn count(&self, what: &'static str) {
        self.world.events().count(what, 1);
    }

    /// Changes the broker's disk for some time; what it did not bear meanwhile is excused.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub async fn with_bad_disk(
        &self,
        duration: Duration,
        worsen: impl FnOnce(&mut DiskFaults) + Send,
    ) -> Result<(), String> {
        let disk = self.world.disk(self.machine());
        let mut before = None;
        disk.set_faults(|faults| {
            before = Some(faults.clone());
            worsen(faults);
        });
        self.damage().excused_until = Some(SimTime::FAR);
        let waited = self.wait(duration).await;
        if let Some(before) = before {
            disk.set_faults(|faults| *faults = before);
        }
        self.damage().excused_until = Some(self.world.now() + EXCUSED_AFTER);
        waited
    }

    /// Lets time pass, and starts the broker again where it has ended.
    ///
    /// # Errors
    ///
    /// What it said when it has ended without a reason.
    pub async fn wait(&self, duration: Duration) -> Result<(), String> {
        let end = self.world.now() + duration;
        while self.world.now() < end {
            self.world.sleep(SUPERVISED_EVERY.min(end.since(self.world.now()))).await;
            self.expect_no_failures()?;
            if self.world.state(self.machine()) == MachineState::Idle {
                self.broker.supervise();
            }
        }
        Ok(())
    }

    /// With a disk that only loses power there is no reason for a broker to end by itself.
    ///
    /// # Errors
    ///
    /// When it has.
    pub fn expect_no_failures(&self) -> Result<(), String> {
        let failures = self.broker.take_failures();
        let Some((began, failure)) = failures.into_iter().next() else { return Ok(()) };
        let now = self.world.now();
        let excused_until = self.damage().excused_until;
        // What began on a bad disk may take its time to give up.
        let is_excused = excused_until
            .is_some_and(|until| now <= until || (began <= until && now.since(until) <= GIVING_UP));
        if is_excused {
            self.count("broker ended because of its disk");
            return Ok(());
        }
        Err(failure)
    }
}

/// The end of a blow that takes no time.
fn done<'a>() -> Striking<'a> {
    Box::pin(std::future::ready(Ok(())))
}

/// A time between `low` and `high`, each power of ten equally likely: what matters may take microseconds or minutes.
pub fn some_time(random: &mut Random, low: Duration, high: Duration) -> Duration {
    Duration::from_secs_f64(random.log_uniform(low.as_secs_f64(), high.as_secs_f64()))
}

/// How long most blows last.
fn short(random: &mut Random) -> Duration {
    some_time(random, Duration::from_millis(1), Duration::from_secs(20))
}

const SUPERVISED_EVERY: Duration = Duration::from_millis(200);

/// How long after an error of its disk a broker may still fall over it.
const EXCUSED_AFTER: Duration = Duration::from_secs(10);

/// How long a broker waits for its own controller, at most.
const GIVING_UP: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_in_some_worlds_and_not_in_all() {
        for fault in FAULTS {
            assert!((0.05..1.0).contains(&fault.share), "{}", fault.name);
            assert!(!fault.counters.is_empty(), "{} cannot be seen to have happened", fault.name);
        }
        let names: BTreeSet<_> = FAULTS.iter().map(|fault| fault.name).collect();
        assert_eq!(names.len(), FAULTS.len());
        let calm = (0..1600).filter(|seed| {
            let dangers = Dangers::draw(*seed, &BTreeSet::new());
            dangers.blow_count == 0 && dangers.blows.is_empty()
        });
        assert!((60..150).contains(&calm.count()));
    }

    #[test]
    fn fault_that_is_left_out_moves_no_other() {
        let names = |dangers: &Dangers| -> Vec<_> {
            dangers.blows.iter().map(|fault| fault.name).collect()
        };
        for seed in 0..100 {
            let all = Dangers::draw(seed, &BTreeSet::new());
            let fewer = Dangers::draw(seed, &BTreeSet::from(["pause".to_owned()]));
            let expected: Vec<_> =
                names(&all).into_iter().filter(|name| *name != "pause").collect();
            assert_eq!(names(&fewer), expected);
            assert_eq!(all.blow_count, fewer.blow_count);
        }
    }
}
