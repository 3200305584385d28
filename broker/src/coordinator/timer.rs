//! Timeouts as values: held by a machine, fired by the runtime. Nothing here waits.

use std::collections::BTreeMap;

pub(crate) use crate::environment::Instant;
use crate::model::Timestamp;

/// Both clocks, read once per input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock, for timeouts.
    pub instant: Instant,
    /// The wall clock, for timestamps that are stored.
    pub wall: Timestamp,
}

/// A set of timeouts by key; each key has at most one.
#[derive(Clone, Debug)]
pub(crate) struct Timers<K> {
    by_key: BTreeMap<K, (Instant, u64)>,
    by_time: BTreeMap<(Instant, u64), K>,
    sequence: u64,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeMap::new(), sequence: 0 }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets the timeout of `key`, in place of an earlier one.
    pub(crate) fn schedule(&mut self, key: K, at: Instant) {
        self.sequence += 1;
        let place = (at, self.sequence);
        if let Some(earlier) = self.by_key.insert(key.clone(), place) {
            self.by_time.remove(&earlier);
        }
        self.by_time.insert(place, key);
    }

    /// Forgets the timeout of `key`.
    pub(crate) fn cancel(&mut self, key: &K) {
        if let Some(place) = self.by_key.remove(key) {
            self.by_time.remove(&place);
        }
    }

    /// The earliest timeout.
    #[must_use]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the earliest timeout that is due at `now`; among equals the one set first.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let entry = self.by_time.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        let key = entry.remove();
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::{Instant, Timers};

    #[test]
    fn a_timeout_set_again_fires_once_and_at_its_new_time() {
        let mut timers = Timers::default();
        timers.schedule("a", Instant(10));
        timers.schedule("b", Instant(12));
        timers.schedule("a", Instant(15));
        assert_eq!(timers.next_deadline(), Some(Instant(12)));
        assert_eq!(timers.pop_due(Instant(11)), None);
        assert_eq!(timers.pop_due(Instant(20)), Some("b"));
        assert_eq!(timers.pop_due(Instant(20)), Some("a"));
        assert_eq!(timers.pop_due(Instant(20)), None);
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn a_cancelled_timeout_never_fires_and_equals_fire_in_order() {
        let mut timers = Timers::default();
        timers.schedule(3, Instant(5));
        timers.schedule(1, Instant(5));
        timers.schedule(2, Instant(5));
        timers.cancel(&1);
        assert_eq!(timers.pop_due(Instant(5)), Some(3));
        assert_eq!(timers.pop_due(Instant(5)), Some(2));
        assert_eq!(timers.pop_due(Instant::FAR), None);
    }
}
