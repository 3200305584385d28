use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// One request that waits until any of several partitions moves.
#[derive(Debug, Default)]
pub struct Waiter(Notify);

impl Waiter {
    /// A waiter not yet known to any partition.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Ends when a partition it is registered with has moved since the last call (a move in between counts).
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}

/// Those who wait for one partition. Waking takes everybody off the list; who wants more registers again.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    is_empty: AtomicBool,
    list: Mutex<Vec<Weak<Waiter>>>,
}

impl Waiters {
    pub(super) fn new() -> Self {
        Self { is_empty: AtomicBool::new(true), list: Mutex::new(Vec::new()) }
    }

    /// To be followed by a look at the partition, so that a move before the registration is not missed.
    pub(super) fn register(&self, waiter: &Arc<Waiter>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        // Those who have given up leave empty places, and one that is woken by other partitions registers here again and
        // again: a list of mostly such places is swept.
        if list.len() >= 16 && list.len().is_power_of_two() {
            let mut seen = BTreeSet::new();
            list.retain(|waiter| waiter.strong_count() > 0 && seen.insert(waiter.as_ptr()));
        }
        list.push(Arc::downgrade(waiter));
        self.is_empty.store(false, Ordering::SeqCst);
    }

    pub(super) fn wake(&self) {
        if self.is_empty.load(Ordering::SeqCst) {
            return;
        }
        let woken = {
            let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
            self.is_empty.store(true, Ordering::SeqCst);
            std::mem::take(&mut *list)
        };
        for waiter in woken.iter().filter_map(Weak::upgrade) {
            waiter.0.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Waiter, Waiters};

    #[tokio::test]
    async fn a_move_between_registration_and_wait_is_not_missed() {
        let (left, right) = (Waiters::new(), Waiters::new());
        let waiter = Waiter::new();
        left.register(&waiter);
        right.register(&waiter);
        right.wake();
        waiter.woken().await;
        left.wake();
        waiter.woken().await;
    }

    #[test]
    fn those_who_gave_up_do_not_pile_up() {
        let waiters = Waiters::new();
        for _ in 0..10_000 {
            waiters.register(&Waiter::new());
        }
        assert!(waiters.list.lock().expect("not poisoned").len() <= 64);
    }

    #[test]
    fn one_that_registers_again_and_again_does_not_pile_up() {
        let (waiters, waiter) = (Waiters::new(), Waiter::new());
        for _ in 0..10_000 {
            waiters.register(&waiter);
        }
        assert!(waiters.list.lock().expect("not poisoned").len() <= 64);
    }
}
