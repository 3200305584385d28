use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many connections there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// `max.connections`.
    pub connections_max: usize,
    /// `max.connections.per.ip`.
    pub connections_per_ip_max: usize,
    /// `max.connections.per.ip.overrides`: addresses and their own limits.
    pub connections_per_ip_overrides: BTreeMap<IpAddr, usize>,
}

/// Who may connect, by number: over all, and from one address. The limits may change while connections stand.
///
/// Like Kafka: when all places are taken who comes next waits until one is free, and who comes from an address that has
/// its share is refused. Limits made smaller refuse newcomers and close nobody.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limits: AdmissionLimits,
    taken: usize,
    by_ip: BTreeMap<IpAddr, usize>,
}

/// A place among the connections; given back on drop.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    ip: IpAddr,
}

impl Admission {
    /// All places free.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Self {
        let state = State { limits, taken: 0, by_ip: BTreeMap::new() };
        Self(Arc::new(Shared { state: Mutex::new(state), freed: Notify::new() }))
    }

    /// From now on these limits hold; says whether they are others than before.
    pub fn set_limits(&self, limits: AdmissionLimits) -> bool {
        let is_change = {
            let mut state = self.0.lock();
            std::mem::replace(&mut state.limits, limits) != state.limits
        };
        self.0.freed.notify_waiters();
        is_change
    }

    /// Waits until no place is taken.
    pub async fn emptied(&self) {
        loop {
            let mut freed = std::pin::pin!(self.0.freed.notified());
            freed.as_mut().enable();
            if self.0.lock().taken == 0 {
                return;
            }
            freed.await;
        }
    }

    /// Waits until there is a place; `None` when this address has all that it may have.
    pub(super) async fn place(&self, ip: IpAddr) -> Option<Place> {
        loop {
            let mut freed = std::pin::pin!(self.0.freed.notified());
            freed.as_mut().enable();
            if let Some(taken) = self.try_take(ip) {
                return taken;
            }
            freed.await;
        }
    }

    /// `None` when all places are taken, `Some(None)` when those of this address are.
    fn try_take(&self, ip: IpAddr) -> Option<Option<Place>> {
        let mut state = self.0.lock();
        if state.taken >= state.limits.connections_max {
            return None;
        }
        let overrides = &state.limits.connections_per_ip_overrides;
        let max = overrides.get(&ip).copied().unwrap_or(state.limits.connections_per_ip_max);
        let of_ip = state.by_ip.get(&ip).copied().unwrap_or(0);
        if of_ip >= max {
            return Some(None);
        }
        state.by_ip.insert(ip, of_ip + 1);
        state.taken += 1;
        Some(Some(Place { shared: Arc::clone(&self.0), ip }))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.taken -= 1;
            if let Some(count) = state.by_ip.get_mut(&self.ip) {
                *count -= 1;
                if *count == 0 {
                    state.by_ip.remove(&self.ip);
                }
            }
        }
        self.shared.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt as _;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn limits(all: usize, per_ip: usize, overrides: &[(u8, usize)]) -> AdmissionLimits {
        AdmissionLimits {
            connections_max: all,
            connections_per_ip_max: per_ip,
            connections_per_ip_overrides: overrides
                .iter()
                .map(|(last, max)| (ip(*last), *max))
                .collect(),
        }
    }

    /// What becomes of one that comes now: a place, a refusal, or it waits.
    fn come(admission: &Admission, last: u8) -> Option<Option<Place>> {
        admission.place(ip(last)).now_or_never()
    }

    #[test]
    fn who_comes_when_all_places_are_taken_waits_until_one_is_free() {
        let admission = Admission::new(limits(2, 9, &[]));
        let first = come(&admission, 1).unwrap().unwrap();
        let _second = come(&admission, 2).unwrap().unwrap();
        let mut third = Box::pin(admission.place(ip(3)));
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(third.now_or_never().unwrap().is_some());
    }

    #[test]
    fn an_address_that_has_its_share_is_refused_and_others_are_not() {
        let admission = Admission::new(limits(100, 1, &[(2, 2), (3, 0)]));
        let held = come(&admission, 1).unwrap().unwrap();
        assert!(come(&admission, 1).unwrap().is_none());
        let of_override = [come(&admission, 2).unwrap(), come(&admission, 2).unwrap()];
        assert!(of_override.iter().all(Option::is_some));
        assert!(come(&admission, 2).unwrap().is_none());
        assert!(come(&admission, 3).unwrap().is_none());
        drop(held);
        assert!(come(&admission, 1).unwrap().is_some());
    }

    #[test]
    fn who_waits_for_the_last_to_leave_is_told() {
        let admission = Admission::new(limits(2, 9, &[]));
        let places = [come(&admission, 1), come(&admission, 2)];
        let mut emptied = Box::pin(admission.emptied());
        assert!(emptied.as_mut().now_or_never().is_none());
        drop(places);
        assert!(emptied.now_or_never().is_some());
    }

    #[test]
    fn a_refusal_takes_no_place() {
        let admission = Admission::new(limits(1, 1, &[(2, 0)]));
        for _ in 0..3 {
            assert!(come(&admission, 2).unwrap().is_none());
        }
        assert!(come(&admission, 1).unwrap().is_some());
        assert!(admission.0.lock().by_ip.is_empty());
    }

    #[test]
    fn new_limits_hold_for_those_who_wait_and_close_nobody() {
        let admission = Admission::new(limits(0, 9, &[]));
        let mut first = Box::pin(admission.place(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(admission.set_limits(limits(2, 9, &[])));
        assert!(!admission.set_limits(limits(2, 9, &[])));
        let _first = first.now_or_never().unwrap().unwrap();
        let _second = come(&admission, 1).unwrap().unwrap();
        assert!(admission.set_limits(limits(1, 9, &[])));
        assert!(come(&admission, 2).is_none());
        assert_eq!(admission.0.lock().taken, 2);
    }
}
