use std::time::Duration;

use crate::environment::Instant;

/// When each record should be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    start: Instant,
    /// Records per second over all producers; `None` for as many as possible.
    rate: Option<u64>,
    /// This producer, and how many there are: they take turns.
    turn: (u64, u64),
}

impl Schedule {
    pub(super) fn new(start: Instant, rate: u64, turn: (u64, u64)) -> Self {
        Self { start, rate: (rate > 0).then_some(rate), turn }
    }

    /// When this producer's record number `index` is due; `None` when it is due as soon as it can be sent.
    pub(super) fn due(&self, index: u64) -> Option<Instant> {
        let rate = u128::from(self.rate?);
        let (place, count) = self.turn;
        let number = u128::from(index) * u128::from(count) + u128::from(place);
        let nanos = number * 1_000_000_000 / rate;
        Some(self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_take_turns_at_an_even_rate() {
        let start = Instant(1_000);
        let due = |place, index| Schedule::new(start, 1000, (place, 2)).due(index).unwrap();
        assert_eq!(due(0, 0), start);
        assert_eq!(due(1, 0), start + Duration::from_millis(1));
        assert_eq!(due(0, 1), start + Duration::from_millis(2));
        assert_eq!(due(1, 499), start + Duration::from_millis(999));
    }

    #[test]
    fn odd_rates_do_not_drift() {
        let schedule = Schedule::new(Instant(0), 3, (0, 1));
        assert_eq!(schedule.due(3_000_000), Some(Instant(0) + Duration::from_secs(1_000_000)));
    }

    #[test]
    fn without_a_rate_nothing_is_due_at_a_time() {
        assert_eq!(Schedule::new(Instant(0), 0, (0, 1)).due(5), None);
    }
}
