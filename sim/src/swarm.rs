//! Which dangers a world has: each seed draws a set of its own.
//!
//! With all faults at once each run is much like the next, and one fault hides another; so each is on in some worlds only,
//! with a rate that may be any power of ten. A world without any must be among them.

use std::time::Duration;

use crate::disk::DiskFaults;
use crate::network::NetworkFaults;
use crate::random::Random;

/// The dangers of one world.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// How many times the nemesis does something.
    pub blows: u64,
    /// What it may do, most likely several times.
    pub kinds: Vec<Blow>,
    /// How healthy the network is all the time.
    pub network: NetworkFaults,
    /// How healthy the broker's disk is all the time.
    pub disk: DiskFaults,
    /// Whether some sites in the code take the rare way.
    pub is_buggified: bool,
}

/// What a nemesis does to a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// Takes the power from the broker's machine.
    PowerCut,
    /// Kills the broker.
    Crash,
    /// Stops the broker in good order.
    OrderlyStop,
    /// The broker stands still for a while.
    Pause,
    /// Cuts a client off, in one direction or both.
    Cut,
    /// Kills a client that is started again.
    ClientCrash,
    /// Moves the broker's wall clock.
    ClockJump,
    /// Lets the broker's clocks run faster or slower.
    Drift,
}

impl Swarm {
    /// A world in which nothing bad happens.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            blows: 0,
            kinds: Vec::new(),
            network: NetworkFaults::default(),
            disk: DiskFaults::default(),
            is_buggified: false,
        }
    }

    /// The dangers of this seed; none in one world of sixteen.
    #[must_use]
    pub fn draw(random: &mut Random) -> Self {
        if random.chance(1.0 / 16.0) {
            return Self::calm();
        }
        let mut swarm = Self::calm();
        swarm.blows = random.between(&(2..12));
        // The power is cut in nearly every world: that is what the scenario is about.
        if random.chance(0.9) {
            swarm.kinds.extend([Blow::PowerCut; 3]);
        }
        for kind in [
            Blow::Crash,
            Blow::OrderlyStop,
            Blow::Pause,
            Blow::Cut,
            Blow::ClientCrash,
            Blow::ClockJump,
            Blow::Drift,
        ] {
            if random.chance(0.5) {
                swarm.kinds.push(kind);
            }
        }
        swarm.draw_network(random);
        let disk = &mut swarm.disk;
        if random.chance(0.3) {
            disk.stall = random.log_uniform(0.001, 0.1);
        }
        if random.chance(0.3) {
            disk.sync_us = 1_000..50_000;
        }
        if random.chance(0.3) {
            disk.short_write = random.log_uniform(0.01, 0.5);
        }
        swarm.is_buggified = random.chance(0.5);
        swarm
    }

    fn draw_network(&mut self, random: &mut Random) {
        let network = &mut self.network;
        if random.chance(0.3) {
            network.latency_us = 1_000..random.between(&(2_000..100_000));
        }
        if random.chance(0.3) {
            network.loss = random.log_uniform(0.000_1, 0.1);
        }
        if random.chance(0.3) {
            network.reset = random.log_uniform(0.000_1, 0.02);
        }
        if random.chance(0.3) {
            network.spike = random.log_uniform(0.001, 0.1);
        }
        if random.chance(0.2) {
            network.window = 2 << 10;
        }
        if random.chance(0.2) {
            network.short_segment = 0.5;
            network.short_read = 0.5;
        }
    }

    /// Whether anything bad can happen.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.blows == 0
    }
}

/// A time between `low` and `high`, each power of ten equally likely: what matters may take microseconds or minutes.
pub fn some_time(random: &mut Random, low: Duration, high: Duration) -> Duration {
    Duration::from_secs_f64(random.log_uniform(low.as_secs_f64(), high.as_secs_f64()))
}
