//! Machines: an address, a disk, clocks, and at most one process.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use madsim::runtime::NodeHandle;

use crate::disk::SimDisk;
use crate::random::Random;
use crate::runtime::SimRuntime;
use crate::timeline::SimTime;

/// Names a machine of a world; counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(pub u32);

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "machine {}", self.0)
    }
}

/// What a machine runs, anew after each restart.
pub(crate) type Program =
    Arc<dyn Fn(SimRuntime) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// One machine.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) node: NodeHandle,
    pub(crate) disk: SimDisk,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) state: MachineState,
    pub(crate) program: Option<Program>,
    /// Counts the processes this machine has had.
    pub(crate) process: u64,
}

/// How a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineState {
    /// It has power, but no process.
    Idle,
    /// Its process runs.
    Running,
    /// Its process stands still.
    Paused,
    /// It has no power.
    Unpowered,
}

/// The clocks of one machine, which run a little faster or slower than the world's, and whose wall clock may be wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Millionths by which the clocks run faster than the world's.
    drift: i64,
    /// Since when they do so.
    anchor: SimTime,
    /// Local nanoseconds at that time.
    anchor_nanos: u64,
    /// Milliseconds since 1970 at local zero.
    wall_base_ms: i64,
}

impl Clock {
    pub(crate) fn new(wall_base_ms: i64) -> Self {
        Self { drift: 0, anchor: SimTime::default(), anchor_nanos: 0, wall_base_ms }
    }

    /// Nanoseconds on the monotonic clock.
    pub(crate) fn nanos(&self, now: SimTime) -> u64 {
        let passed = i128::from(now.0.saturating_sub(self.anchor.0));
        let local = passed * i128::from(MILLION + self.drift) / i128::from(MILLION);
        self.anchor_nanos.saturating_add(u64::try_from(local).unwrap_or(0))
    }

    /// When the monotonic clock shows `nanos`, as things stand.
    pub(crate) fn when(&self, nanos: u64) -> SimTime {
        let left = i128::from(nanos.saturating_sub(self.anchor_nanos));
        let world = left * i128::from(MILLION) / i128::from(MILLION + self.drift) + 1;
        self.anchor + Duration::from_nanos(u64::try_from(world).unwrap_or(u64::MAX))
    }

    /// Milliseconds since 1970.
    pub(crate) fn wall_ms(&self, now: SimTime) -> i64 {
        let millis = i64::try_from(self.nanos(now) / 1_000_000).unwrap_or(i64::MAX);
        self.wall_base_ms.saturating_add(millis)
    }

    pub(crate) fn set_drift(&mut self, now: SimTime, drift: i64) {
        *self = Self {
            anchor_nanos: self.nanos(now),
            anchor: now,
            drift: drift.max(1 - MILLION),
            ..*self
        };
    }

    pub(crate) fn move_wall(&mut self, millis: i64) {
        self.wall_base_ms = self.wall_base_ms.saturating_add(millis);
    }
}

const MILLION: i64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drifting_clock_never_jumps_and_finds_its_deadlines() {
        let mut clock = Clock::new(1_000);
        let at = |seconds: u64| SimTime(seconds * 1_000_000_000);
        assert_eq!(clock.nanos(at(10)), at(10).0);
        clock.set_drift(at(10), 100_000);
        assert_eq!(clock.nanos(at(10)), at(10).0, "a new drift moves nothing at once");
        assert_eq!(clock.nanos(at(20)), at(21).0);
        clock.set_drift(at(20), -100_000);
        assert_eq!(clock.nanos(at(30)), at(30).0);
        for deadline in [at(31).0, at(99).0 + 1] {
            let when = clock.when(deadline);
            assert!(clock.nanos(when) >= deadline && when.0 < deadline * 2);
        }
        assert_eq!(clock.wall_ms(at(30)), 31_000);
        clock.move_wall(-40_000);
        assert_eq!(clock.wall_ms(at(30)), -9_000);
    }
}
