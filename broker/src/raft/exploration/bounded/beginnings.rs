//! Where stories begin.

use std::time::Duration;

use super::super::{HEALTHY, World, index_of};
use crate::environment::Instant;
use crate::raft::Role;

/// Shorter than what a request may take: whoever misses a leader does not wait for an answer first.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(300);

impl World {
    /// Nodes that have just begun, of which so many vote. Nothing is left to chance.
    pub(super) fn fresh(voting: usize) -> Self {
        let mut world = Self::new(1, 3, HEALTHY);
        world.election_timeout = ELECTION_TIMEOUT;
        world.is_dynamic = true;
        world.format(voting);
        world.net.clear();
        world.clocks = Some(vec![Instant(0); 3]);
        for node in 0..3 {
            world.start(node);
        }
        world
    }

    /// The first node has opened an epoch, with the consent of the second; nobody has been asked to vote yet.
    pub(super) fn with_candidate() -> Self {
        let mut world = Self::fresh(3);
        world.net.clear();
        let deadline = world.nodes[0].machine.as_ref().unwrap().deadline();
        world.clocks.as_mut().unwrap()[0] = deadline;
        world.tick(0);
        world.cut_off(2);
        while world.role(0) == Role::Prospective {
            let envelope = world.net.remove(0);
            world.deliver(envelope);
        }
        assert_eq!(world.role(0), Role::Candidate);
        world.cuts.clear();
        world
    }

    /// They have a leader, who has committed some entries that all have.
    pub(super) fn settled(voting: usize) -> Self {
        let mut world = Self::fresh(voting);
        world.settle(|world| world.newest_leader().is_some());
        let leader = world.newest_leader().unwrap();
        world.append(leader);
        world.tick(leader);
        let end = world.nodes[leader].log.len();
        world.settle(|world| (0..3).all(|node| world.knows_committed(node) == end));
        world
    }

    /// One of three lacks the last entry, which is committed.
    pub(super) fn with_one_behind() -> Self {
        let mut world = Self::settled(3);
        let leader = world.newest_leader().unwrap();
        world.cut_off((leader + 1) % 3);
        world.append(leader);
        world.tick(leader);
        let end = world.nodes[leader].log.len();
        world.settle(|world| world.knows_committed((leader + 2) % 3) == end);
        world.cuts.clear();
        world
    }

    /// One has not heard that the others have elected another, and has an entry that nobody else has.
    pub(super) fn with_two_leaders() -> Self {
        let mut world = Self::settled(3);
        let former = world.newest_leader().unwrap();
        world.cut_off(former);
        world.append(former);
        world.tick(former);
        world.settle(|world| world.newest_leader() != Some(former));
        let end = world.nodes[world.newest_leader().unwrap()].log.len();
        world.settle(|world| {
            (0..3).all(|node| node == former || world.knows_committed(node) == end)
        });
        assert_eq!(world.role(former), Role::Leader);
        world.cuts.clear();
        world
    }

    fn role(&self, node: usize) -> Role {
        self.nodes[node].machine.as_ref().unwrap().role()
    }

    fn newest_leader(&self) -> Option<usize> {
        let leaders = (0..3).filter(|node| self.role(*node) == Role::Leader);
        leaders.max_by_key(|node| self.nodes[*node].machine.as_ref().unwrap().epoch())
    }

    fn knows_committed(&self, node: usize) -> usize {
        let machine = self.nodes[node].machine.as_ref().unwrap();
        machine.high_watermark().map_or(0, index_of)
    }

    fn cut_off(&mut self, node: usize) {
        let others = (0..3).filter(|other| *other != node);
        self.cuts = others.flat_map(|other| [(node, other), (other, node)]).collect();
    }

    /// Lets all messages arrive and a little time pass, again and again. A node that is cut off stands still meanwhile.
    fn settle(&mut self, is_settled: impl Fn(&Self) -> bool) {
        let is_cut_off =
            |node: usize| (0..3).all(|other| other == node || self.cuts.contains(&(node, other)));
        let running: Vec<usize> = (0..3).filter(|node| !is_cut_off(*node)).collect();
        for _ in 0..200 {
            while !self.net.is_empty() {
                let envelope = self.net.remove(0);
                self.deliver(envelope);
                for node in &running {
                    self.flush(*node);
                }
            }
            if is_settled(self) {
                return;
            }
            for node in &running {
                let clocks = self.clocks.as_mut().unwrap();
                clocks[*node] = clocks[*node] + Duration::from_millis(10);
                self.tick(*node);
                self.flush(*node);
            }
        }
        panic!("nothing settles");
    }
}
