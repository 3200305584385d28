//! Every story of three nodes up to a bound: at each step any message under way may arrive, any node's time may be up, a leader
//! may append or be asked for other voters, a log may become durable, a node may crash and come back without what was not.
//! Messages that are lost are those that stay under way for ever. Each node has a clock of its own, so that time-outs come in
//! any order; two ways to the same state are followed once.
//!
//! A story that breaks a promise is printed step by step.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher as _};

use super::{Envelope, World};
use crate::environment::Instant;
use crate::raft::Role;

mod beginnings;

/// How much may still happen: steps in all, and among them those that are not messages or flushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Budget {
    steps: u8,
    timeouts: u8,
    appends: u8,
    crashes: u8,
    changes: u8,
}

impl Budget {
    /// True when all that `other` allows is allowed here too.
    const fn covers(&self, other: &Self) -> bool {
        self.steps >= other.steps
            && self.timeouts >= other.timeouts
            && self.appends >= other.appends
            && self.crashes >= other.crashes
            && self.changes >= other.changes
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The message at this place of those under way arrives.
    Deliver(usize),
    /// The node's clock reaches what it waits for.
    Timeout(usize),
    Append(usize),
    Flush(usize),
    /// The process ends and begins anew.
    Crash(usize),
    /// The first is asked to let the second vote, or not to.
    Change(usize, usize),
}

struct Search {
    /// Where the stories begin.
    beginning: World,
    /// The story that is being told.
    story: Vec<Step>,
    /// The states that were met, and with what left to happen.
    known: BTreeMap<u64, Vec<Budget>>,
    steps: u64,
}

/// Hashes what is written.
struct Digest(DefaultHasher);

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

fn digest(write: impl FnOnce(&mut Digest) -> fmt::Result) -> u64 {
    let mut digest = Digest(DefaultHasher::new());
    write(&mut digest).unwrap();
    digest.0.finish()
}

impl World {
    /// What all that can happen depends on, and what the promises are judged by.
    fn state(&self) -> u64 {
        let mut net: Vec<u64> =
            self.net.iter().map(|envelope| digest(|to| write!(to, "{envelope:?}"))).collect();
        net.sort_unstable();
        digest(|to| {
            for node in &self.nodes {
                let machine = node.machine.as_ref().unwrap();
                write!(to, "{:?}{:?}{:?}{:?}", node.life, node.log, node.flushed, node.election)?;
                write!(to, "{:?}{:?}{:?}{:?}", node.tokens, node.asked, node.votes, node.heard)?;
                machine.write_state(to)?;
            }
            write!(to, "{net:?}{:?}{:?}", self.committed, self.leaders)?;
            write!(to, "{:?}{:?}", self.changes, self.clocks)
        })
    }

    fn steps(&self, left: Budget) -> Vec<Step> {
        let mut steps: Vec<Step> = (0..self.net.len()).map(Step::Deliver).collect();
        for (node, state) in self.nodes.iter().enumerate() {
            let machine = state.machine.as_ref().unwrap();
            if left.timeouts > 0 && machine.deadline() != Instant::FAR {
                steps.push(Step::Timeout(node));
            }
            if state.flushed < state.log.len() {
                steps.push(Step::Flush(node));
            }
            if left.crashes > 0 {
                steps.push(Step::Crash(node));
            }
            if machine.role() == Role::Leader {
                if left.appends > 0 {
                    steps.push(Step::Append(node));
                }
                if left.changes > 0 {
                    steps.extend((0..self.nodes.len()).map(|who| Step::Change(node, who)));
                }
            }
        }
        steps
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Deliver(index) => {
                let envelope = self.net.remove(index);
                self.deliver(envelope);
            }
            Step::Timeout(node) => {
                let deadline = self.nodes[node].machine.as_ref().unwrap().deadline();
                let clocks = self.clocks.as_mut().unwrap();
                clocks[node] = clocks[node].max(deadline);
                self.tick(node);
            }
            Step::Append(node) => {
                self.append(node);
                self.tick(node);
            }
            Step::Flush(node) => self.flush(node),
            Step::Crash(node) => {
                self.crash(node);
                self.forget(node);
                self.start(node);
            }
            Step::Change(node, who) => self.change_voter(node, who),
        }
        self.check_logs();
    }

    /// What a dead process had asked is answered to nobody.
    fn forget(&mut self, node: usize) {
        self.net.retain(|envelope| match envelope {
            Envelope::Request { .. } => true,
            Envelope::Response { to, .. } => to.node != node,
        });
    }

    /// The same epoch at the same place means the same log up to there.
    fn check_logs(&self) {
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let (one, other) = (&self.nodes[one].log, &self.nodes[other].log);
            let last = one.iter().zip(other).rposition(|(one, other)| one.0 == other.0);
            let same = last.map_or(0, |last| last + 1);
            assert!(one[..same] == other[..same], "two logs differ below an epoch they share");
        }
    }
}

impl Search {
    fn explore(&mut self, world: &World, left: Budget) {
        if left.steps == 0 || self.is_known(world, left) {
            return;
        }
        for step in world.steps(left) {
            let (mut next, mut left) = (world.clone(), left);
            left.steps -= 1;
            match step {
                Step::Deliver(_) | Step::Flush(_) => {}
                Step::Timeout(_) => left.timeouts -= 1,
                Step::Append(_) => left.appends -= 1,
                Step::Crash(_) => left.crashes -= 1,
                Step::Change(..) => left.changes -= 1,
            }
            self.steps += 1;
            self.story.push(step);
            next.take(step);
            self.explore(&next, left);
            self.story.pop();
        }
    }

    /// Whether all that can come of it has been looked at; else it is going to be.
    fn is_known(&mut self, world: &World, left: Budget) -> bool {
        let known = self.known.entry(world.state()).or_default();
        if known.iter().any(|before| before.covers(&left)) {
            return true;
        }
        known.retain(|before| !left.covers(before));
        known.push(left);
        false
    }
}

impl Drop for Search {
    #[expect(clippy::print_stderr, reason = "the story belongs to the failure of a test")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut world = self.beginning.clone();
        for (place, step) in self.story.iter().enumerate() {
            if let Step::Deliver(index) = step {
                eprintln!("{place}: {:?}", world.net[*index]);
            } else {
                eprintln!("{place}: {step:?}");
            }
            // The last one breaks the promise.
            if place + 1 < self.story.len() {
                world.take(*step);
            }
        }
    }
}

/// Explores all that can come of `beginning`; `EXPLORE_STEPS=3 cargo test` up to three steps further.
#[expect(clippy::print_stdout, reason = "how much was looked at is asked for with --nocapture")]
fn explore(beginning: World, mut left: Budget) {
    let further = std::env::var("EXPLORE_STEPS").ok().and_then(|text| text.parse::<u8>().ok());
    left.steps += further.unwrap_or(0);
    let mut search = Search { beginning, story: Vec::new(), known: BTreeMap::new(), steps: 0 };
    let world = search.beginning.clone();
    search.explore(&world, left);
    assert!(search.steps > 1_000, "nothing happened: {} steps", search.steps);
    println!("{left:?}: {} steps, {} states", search.steps, search.known.len());
}

#[test]
fn every_short_story_of_an_election_keeps_the_promises() {
    let left = Budget { steps: 6, timeouts: 2, appends: 0, crashes: 1, changes: 0 };
    explore(World::fresh(3), left);
}

#[test]
fn every_short_story_of_a_candidate_keeps_the_promises() {
    let left = Budget { steps: 6, timeouts: 1, appends: 0, crashes: 1, changes: 0 };
    explore(World::with_candidate(), left);
}

#[test]
fn every_short_story_of_a_leader_keeps_the_promises() {
    let left = Budget { steps: 5, timeouts: 5, appends: 1, crashes: 1, changes: 0 };
    explore(World::settled(3), left);
}

#[test]
fn every_short_story_of_a_follower_that_is_behind_keeps_the_promises() {
    let left = Budget { steps: 6, timeouts: 2, appends: 0, crashes: 1, changes: 0 };
    explore(World::with_one_behind(), left);
}

#[test]
fn every_short_story_of_two_leaders_keeps_the_promises() {
    let left = Budget { steps: 6, timeouts: 1, appends: 1, crashes: 1, changes: 0 };
    explore(World::with_two_leaders(), left);
}

#[test]
fn every_short_story_of_voters_that_change_keeps_the_promises() {
    for voting in 1..=3 {
        let left = Budget { steps: 5, timeouts: 1, appends: 1, crashes: 1, changes: 2 };
        explore(World::settled(voting), left);
    }
}
