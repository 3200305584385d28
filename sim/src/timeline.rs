//! The order of things to come: one queue of actions for the whole world, on top of madsim's clock.
//!
//! Packets arrive, disks answer and sleepers wake through this queue, which belongs to no machine, so that nothing a
//! nemesis does to a machine stops the world. Actions can be cancelled, which madsim's own timers cannot.
//!
//! madsim lets nobody sleep for less than a millisecond and ages the clock with every task it runs. Both are
//! too coarse for disks and networks of microseconds, so one of our nanoseconds is [`SCALE`] of madsim's: the
//! shortest sleep is a microsecond, and running a task takes no time.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::Add;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use madsim::time::TimeHandle;

/// Nanoseconds since the world began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(pub u64);

impl SimTime {
    /// Later than everything.
    pub const FAR: Self = Self(u64::MAX);

    /// Time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for SimTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5}.{:06}s", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

/// Names one action in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey(SimTime, u64);

/// What is done when its time has come.
enum Action {
    Wake(Waker),
    Run(Box<dyn FnOnce() + Send>),
}

/// The queue.
pub struct Timeline {
    clock: TimeHandle,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    queue: BTreeMap<TimerKey, Action>,
    next_number: u64,
    driver: Option<Waker>,
    /// The earliest time at which madsim wakes the driver, as far as it has been asked to.
    armed: Option<SimTime>,
}

impl Timeline {
    /// An empty queue on the clock of the madsim runtime we are in.
    pub(crate) fn new() -> Self {
        Self { clock: TimeHandle::current(), inner: Mutex::default() }
    }

    /// World time.
    #[must_use]
    pub fn now(&self) -> SimTime {
        let nanos = self.clock.elapsed().as_nanos() / u128::from(SCALE);
        SimTime(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Runs `action` at `deadline`, or as soon as may be when it has passed.
    pub fn at(&self, deadline: SimTime, action: impl FnOnce() + Send + 'static) -> TimerKey {
        self.add(deadline, Action::Run(Box::new(action)))
    }

    /// Takes an action back; nothing happens when it has run.
    pub fn cancel(&self, key: TimerKey) {
        // Dropped outside the lock: it may own things that come back here.
        let action = self.inner().queue.remove(&key);
        drop(action);
    }

    /// Ends at `deadline`.
    pub fn sleep_until(self: &Arc<Self>, deadline: SimTime) -> Sleep {
        Sleep { timeline: Arc::clone(self), deadline, key: None }
    }

    /// Ends after `duration`.
    pub fn sleep(self: &Arc<Self>, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }

    /// Does what is due, for ever.
    pub(crate) async fn drive(self: Arc<Self>) {
        std::future::poll_fn(|context| {
            self.poll_drive(context);
            Poll::<()>::Pending
        })
        .await;
    }

    /// Forgets everything to come, and with it whatever the actions own.
    pub(crate) fn clear(&self) {
        let queue = std::mem::take(&mut self.inner().queue);
        drop(queue);
    }

    fn poll_drive(&self, context: &mut Context<'_>) {
        self.inner().driver = Some(context.waker().clone());
        while let Some(action) = self.next_due() {
            match action {
                Action::Wake(waker) => waker.wake(),
                Action::Run(action) => action(),
            }
        }
        let now = self.now();
        let mut inner = self.inner();
        if inner.armed.is_some_and(|armed| armed <= now) {
            inner.armed = None;
        }
        let first = inner.queue.first_key_value().map(|(key, _)| key.0);
        self.arm(&mut inner, first);
    }

    fn next_due(&self) -> Option<Action> {
        let now = self.now();
        let mut inner = self.inner();
        let first = inner.queue.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn add(&self, deadline: SimTime, action: Action) -> TimerKey {
        let mut inner = self.inner();
        let key = TimerKey(deadline, inner.next_number);
        inner.next_number += 1;
        inner.queue.insert(key, action);
        self.arm(&mut inner, Some(deadline));
        key
    }

    /// Sees to it that madsim wakes the driver at `deadline`.
    fn arm(&self, inner: &mut Inner, deadline: Option<SimTime>) {
        let Some(deadline) = deadline.filter(|deadline| *deadline < SimTime::FAR) else { return };
        if inner.armed.is_some_and(|armed| armed <= deadline) {
            return;
        }
        let Some(driver) = &inner.driver else { return };
        let target = Duration::from_nanos(deadline.0).saturating_mul(SCALE);
        let wait = target.saturating_sub(self.clock.elapsed());
        let mut sleep = self.clock.sleep_until(self.clock.now_instant() + wait);
        // madsim keeps the waker of a sleep that has been polled once, also after the sleep is dropped.
        if Pin::new(&mut sleep).poll(&mut Context::from_waker(driver)).is_ready() {
            driver.wake_by_ref();
        }
        inner.armed = Some(deadline);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline").field("now", &self.now()).finish_non_exhaustive()
    }
}

/// Ends at a point in world time.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    timeline: Arc<Timeline>,
    deadline: SimTime,
    key: Option<TimerKey>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(key) = self.key.take() {
            self.timeline.cancel(key);
        }
        if self.timeline.now() >= self.deadline {
            return Poll::Ready(());
        }
        if self.deadline < SimTime::FAR {
            let wake = Action::Wake(context.waker().clone());
            self.key = Some(self.timeline.add(self.deadline, wake));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.timeline.cancel(key);
        }
    }
}

/// How many of madsim's nanoseconds are one of ours.
pub(crate) const SCALE: u32 = 1000;
