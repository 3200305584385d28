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
mod scene;
mod several;
mod short_write;
mod slow_sync;
mod small_pieces;
mod sync_error;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use scene::Changeable;
pub use scene::{Damage, Losses, Scene};
pub use several::Strikes;

use crate::disk::DiskFaults;
use crate::network::NetworkFaults;
use crate::random::Random;

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
    /// The disks of the brokers.
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
