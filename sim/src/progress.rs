//! How far many worlds have come, in one line that is written over and over; nothing where nobody looks.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

/// The line.
pub(crate) struct Progress {
    started: Instant,
    shown: Option<Instant>,
    is_seen: bool,
    /// How many worlds there will be, or for how long.
    goal: Goal,
}

/// When the worlds end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// After so many.
    Count(u64),
    /// After this time.
    Time(Duration),
}

impl Progress {
    pub(crate) fn new(goal: Goal) -> Self {
        Self { started: Instant::now(), shown: None, is_seen: stderr().is_terminal(), goal }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Tells it, not too often.
    pub(crate) fn show(&mut self, done: u64, failed: usize, hours: f64) {
        let is_fresh = self.shown.is_some_and(|shown| shown.elapsed() < EVERY);
        if !self.is_seen || is_fresh {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(self.goal, self.elapsed(), done, failed, hours);
        // Nobody misses it when it cannot be written.
        let _ = write!(stderr(), "\r{line}\x1b[K");
    }

    /// Takes it away.
    pub(crate) fn clear(&self) {
        if self.is_seen {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn line(goal: Goal, elapsed: Duration, done: u64, failed: usize, hours: f64) -> String {
    let (part, end) = match goal {
        Goal::Count(count) => (done as f64 / count.max(1) as f64, format!("{done}/{count}")),
        Goal::Time(time) => {
            let part = elapsed.as_secs_f64() / time.as_secs_f64().max(1.0);
            (part, format!("{done} in {}/{} s", elapsed.as_secs(), time.as_secs()))
        }
    };
    let filled = (0..WIDTH).take_while(|step| f64::from(*step) < part * f64::from(WIDTH)).count();
    let bar: String =
        (0..WIDTH as usize).map(|step| if step < filled { '█' } else { '·' }).collect();
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    format!("{bar} {end} seeds, {failed} failed, {rate:.1} seeds/s, {hours:.1} simulated hours")
}

const WIDTH: u32 = 30;

const EVERY: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_fills_as_worlds_end_or_time_goes_by() {
        let ten = Duration::from_secs(10);
        let half = line(Goal::Count(100), ten, 50, 1, 2.0);
        assert_eq!(half.matches('█').count(), 15);
        assert!(
            half.ends_with("50/100 seeds, 1 failed, 5.0 seeds/s, 2.0 simulated hours"),
            "{half}"
        );
        let late = line(Goal::Time(Duration::from_secs(5)), ten, 0, 0, 0.0);
        assert_eq!(late.matches('█').count(), 30);
        assert_eq!(line(Goal::Count(0), ten, 0, 0, 0.0).matches('·').count(), 30);
    }
}
