//! What happens to a packet between two machines.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use crate::events::Fate;
use crate::machine::MachineId;
use crate::random::Random;
use crate::timeline::SimTime;

/// How healthy the network is. The default is a healthy one.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkFaults {
    /// How long a packet travels, in microseconds.
    pub latency_us: Range<u64>,
    /// How often a packet is late by [`spike_us`](Self::spike_us) more.
    pub spike: f64,
    /// By how much, in microseconds.
    pub spike_us: Range<u64>,
    /// How often a packet gets lost.
    pub loss: f64,
    /// How often a packet with bytes makes something on the way reset its connection.
    pub reset: f64,
    /// Bytes per second that a link carries in one direction; unlimited without.
    pub bandwidth: Option<u64>,
    /// How often a read gives less than there is.
    pub short_read: f64,
    /// How often a segment is cut shorter than it could be.
    pub short_segment: f64,
    /// Most bytes in a segment.
    pub segment_max: usize,
    /// Bytes the receiving kernel keeps for a program that does not read.
    pub window: usize,
    /// Bytes the sending kernel keeps until they are acknowledged.
    pub send_buffer: usize,
    /// Connections that wait to be accepted, at most.
    pub backlog: usize,
    /// How long a kernel repeats itself without an answer before the connection fails with `TimedOut`.
    pub give_up: Duration,
    /// The same for a connection that is being made.
    pub connect_give_up: Duration,
}

impl Default for NetworkFaults {
    fn default() -> Self {
        Self {
            latency_us: 100..500,
            spike: 0.0,
            spike_us: 1_000..100_000,
            loss: 0.0,
            reset: 0.0,
            bandwidth: None,
            short_read: 0.05,
            short_segment: 0.05,
            segment_max: 64 << 10,
            window: 64 << 10,
            send_buffer: 64 << 10,
            backlog: 128,
            // What Linux comes to with `tcp_retries2` = 15 and `tcp_syn_retries` = 6.
            give_up: Duration::from_secs(924),
            connect_give_up: Duration::from_secs(127),
        }
    }
}

/// The ways between machines.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Directed: (from, to).
    cut: BTreeSet<(MachineId, MachineId)>,
    /// Links in a state of their own.
    slow: BTreeMap<(MachineId, MachineId), LinkFaults>,
    /// When the last bit of what has been sent will have left, where bandwidth is limited.
    busy_until: BTreeMap<(MachineId, MachineId), SimTime>,
}

/// What is worse on one link than elsewhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkFaults {
    /// Added to every packet's way, in microseconds.
    pub latency_us: u64,
    /// How often a packet gets lost, besides what gets lost anywhere.
    pub loss: f64,
    /// Bytes per second, instead of what holds elsewhere.
    pub bandwidth: Option<u64>,
}

impl Links {
    pub(super) fn set_cut(&mut self, from: MachineId, to: MachineId, is_cut: bool) -> bool {
        if is_cut { self.cut.insert((from, to)) } else { self.cut.remove(&(from, to)) }
    }

    pub(super) fn is_cut(&self, from: MachineId, to: MachineId) -> bool {
        from != to && self.cut.contains(&(from, to))
    }

    pub(super) fn cuts(&self) -> Vec<(MachineId, MachineId)> {
        self.cut.iter().copied().collect()
    }

    pub(super) fn set_faults(
        &mut self,
        from: MachineId,
        to: MachineId,
        faults: Option<LinkFaults>,
    ) {
        match faults {
            Some(faults) => drop(self.slow.insert((from, to), faults)),
            None => drop(self.slow.remove(&(from, to))),
        }
    }

    pub(super) fn clear_faults(&mut self) {
        self.slow.clear();
        self.busy_until.clear();
    }

    /// When a packet that leaves now arrives, or how it gets lost.
    pub(super) fn send(
        &mut self,
        (from, to): (MachineId, MachineId),
        length: usize,
        now: SimTime,
        faults: &NetworkFaults,
        random: &mut Random,
    ) -> Result<SimTime, Fate> {
        if from == to {
            return Ok(now + Duration::from_micros(random.between(&LOOPBACK_US)));
        }
        if self.is_cut(from, to) {
            return Err(Fate::Cut);
        }
        let own = self.slow.get(&(from, to));
        if random.chance(faults.loss) || own.is_some_and(|own| random.chance(own.loss)) {
            return Err(Fate::Lost);
        }
        let mut micros = random.between(&faults.latency_us);
        if random.chance(faults.spike) {
            micros += random.between(&faults.spike_us);
        }
        micros += own.map_or(0, |own| own.latency_us);
        let mut leaves = now;
        if let Some(bandwidth) = own.and_then(|own| own.bandwidth).or(faults.bandwidth) {
            let busy_until = self.busy_until.entry((from, to)).or_default();
            let nanos = (length + HEADER_BYTES) as u64 * 1_000_000_000 / bandwidth.max(1);
            leaves = (*busy_until).max(now) + Duration::from_nanos(nanos);
            *busy_until = leaves;
        }
        Ok(leaves + Duration::from_micros(micros))
    }
}

/// How long a packet to the own machine travels, in microseconds.
const LOOPBACK_US: Range<u64> = 5..50;
/// What a packet weighs besides its bytes: Ethernet, IP and TCP.
const HEADER_BYTES: usize = 78;
