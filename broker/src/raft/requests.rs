use std::collections::BTreeMap;
use std::time::Duration;

use super::ready::RequestId;
use super::reconfiguration::LEADER_FOR_CHANGES;
use crate::environment::Instant;
use crate::model::NodeId;

/// At most one request in flight to each node, given up after the request time-out, and not repeated before the retry
/// back-off after a failure.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    timeout: Duration,
    backoff: Duration,
    next: u64,
    lines: BTreeMap<NodeId, Line>,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    InFlight(RequestId, Instant),
    BackingOff(Instant),
}

impl Requests {
    /// Nothing in flight. Ids count up from `first`, which differs from one life of the process to the next.
    pub(super) const fn new(timeout: Duration, backoff: Duration, first: u64) -> Self {
        Self { timeout, backoff, next: first, lines: BTreeMap::new() }
    }

    /// Forgets what was asked; answers to it will be ignored.
    pub(super) fn reset(&mut self) {
        self.lines.clear();
    }

    /// When `to` may be asked (again): at or before `now` means at once.
    pub(super) fn ready_at(&self, to: NodeId) -> Instant {
        match self.lines.get(&to) {
            None => Instant(0),
            Some(Line::InFlight(_, deadline)) => *deadline,
            Some(Line::BackingOff(until)) => *until,
        }
    }

    /// True while an answer of `to` may come.
    pub(super) fn is_in_flight(&self, to: NodeId) -> bool {
        matches!(self.lines.get(&to), Some(Line::InFlight(..)))
    }

    /// When nothing at all is in flight any more that is said to nodes as such.
    pub(super) fn all_ready_at(&self, now: Instant) -> Instant {
        let in_flight = self.lines.iter().filter_map(|(to, line)| match line {
            Line::InFlight(_, deadline) if *to != LEADER_FOR_CHANGES => Some(*deadline),
            Line::InFlight(..) | Line::BackingOff(_) => None,
        });
        in_flight.max().unwrap_or(now)
    }

    /// Notes a request to `to` and names it.
    pub(super) fn send(&mut self, to: NodeId, now: Instant) -> RequestId {
        let id = RequestId(self.next);
        self.next = self.next.wrapping_add(1);
        self.lines.insert(to, Line::InFlight(id, now + self.timeout));
        id
    }

    /// Ends a request; says whom it was for when its answer is still wanted.
    pub(super) fn finish(&mut self, id: RequestId, now: Instant) -> Option<NodeId> {
        let (to, deadline) = self.lines.iter().find_map(|(to, line)| match line {
            Line::InFlight(in_flight, deadline) if *in_flight == id => Some((*to, *deadline)),
            Line::InFlight(..) | Line::BackingOff(_) => None,
        })?;
        self.lines.remove(&to);
        (now < deadline).then_some(to)
    }

    /// Holds the next request to `to` back for the retry back-off.
    pub(super) fn back_off(&mut self, to: NodeId, now: Instant) {
        self.lines.entry(to).or_insert(Line::BackingOff(now + self.backoff));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_wanted_once_and_in_time() {
        let mut requests = Requests::new(Duration::from_secs(2), Duration::from_millis(20), 7);
        let start = Instant(0);
        let id = requests.send(NodeId(1), start);
        assert_eq!(requests.ready_at(NodeId(1)), start.plus_millis(2000));
        assert_eq!(requests.finish(id, start.plus_millis(1)), Some(NodeId(1)));
        assert_eq!(requests.finish(id, start.plus_millis(1)), None);
        let late = requests.send(NodeId(1), start);
        assert_eq!(requests.finish(late, start.plus_millis(2000)), None);
        requests.back_off(NodeId(1), start);
        assert_eq!(requests.ready_at(NodeId(1)), start.plus_millis(20));
    }
}
