//! Random lives of three replicas of one partition under a controller: messages are late, lost and repeated, nodes die and
//! come back without what was not durable, in-sync replicas come and go, leaders change.
//!
//! The decisions are the broker's own (`replica_state`, `leader`, `in_sync_replicas`, `divergence`, the log's leader
//! epochs); logs, network and controller are of this file. After every step:
//!
//! - whoever leads in the newest epoch has every acknowledged record;
//! - below both high watermarks any two logs are the same;
//! - no replica's high watermark goes back while its process lives.

mod controller;
mod replicas;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::in_sync_replicas::{IsrChange, IsrState};
use super::leader::{FollowerFetch, Leadership, View};
use super::replica_state::ReplicaState;
use crate::environment::Instant;
use crate::log::LeaderEpochs;
use crate::metadata::PartitionRegistration;
use crate::model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, OffsetAndEpoch};

/// `replica.lag.time.max.ms`
const LAG: Duration = Duration::from_secs(30);

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides as u64).expect("a small number")
    }

    fn is_one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

/// A record: the epoch of its leader, and its value.
type Record = (LeaderEpoch, u32);

fn at(count: usize) -> Offset {
    Offset::new(i64::try_from(count).expect("a short log"))
}

fn index(offset: Offset) -> usize {
    usize::try_from(offset.value()).expect("a short log")
}

/// What the cluster is at some point of the metadata log.
#[derive(Clone)]
struct Image {
    partition: Arc<PartitionRegistration>,
    /// Each broker's registration, and whether it is neither fenced nor shutting down.
    brokers: BTreeMap<NodeId, (BrokerEpoch, bool)>,
}

impl Image {
    fn active(&self, id: NodeId) -> Option<BrokerEpoch> {
        self.brokers.get(&id).filter(|(_, is_active)| *is_active).map(|(epoch, _)| *epoch)
    }
}

/// A replica, and what its process knows.
struct Node {
    id: NodeId,
    is_up: bool,
    state: ReplicaState,
    /// How many images of the metadata log it has applied.
    applied: usize,
    registered: BrokerEpoch,
    log: Vec<Record>,
    epochs: LeaderEpochs,
    durable: usize,
    high_watermark: Offset,
    /// The newest leader epoch the log has entered.
    entered: Option<LeaderEpoch>,
    /// Records it has taken from producers: epoch, offset, value.
    unanswered: Vec<(LeaderEpoch, usize, u32)>,
    /// The fetch whose answer it takes: the last one it has sent.
    fetch: u32,
}

#[derive(Clone, Debug)]
enum Message {
    Fetch {
        from: FollowerFetch,
        to: NodeId,
        epoch: LeaderEpoch,
        number: u32,
        at: Offset,
        last: Option<LeaderEpoch>,
    },
    Fetched {
        to: NodeId,
        number: u32,
        epoch: LeaderEpoch,
        at: Offset,
        answer: Fetched,
    },
    Alter {
        from: NodeId,
        sent: Instant,
        change: IsrChange,
    },
    Altered {
        to: NodeId,
        change: IsrChange,
        answer: Result<IsrState, ErrorCode>,
    },
}

#[derive(Clone, Debug)]
enum Fetched {
    Records { records: Vec<Record>, high_watermark: Offset },
    Parts(OffsetAndEpoch),
    OutOfRange { end: Offset },
}

struct World {
    dice: Dice,
    /// Whether what is not durable counts and is lost by dying: `flush.messages=1` and power failures. Otherwise processes
    /// only are killed, and lose nothing.
    is_strict: bool,
    /// Whether the controller may get a wish twice. What is late by more than `replica.lag.time.max.ms` then is lost, and
    /// so it is with metadata: a leader that has been refused relies on that.
    are_wishes_repeated: bool,
    min: usize,
    now: Instant,
    images: Vec<Image>,
    nodes: Vec<Node>,
    network: Vec<Message>,
    acknowledged: BTreeMap<usize, u32>,
    next_value: u32,
    next_broker_epoch: i64,
    history: String,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let ids: Vec<NodeId> = (1..=3).map(NodeId).collect();
        let registration = Arc::new(PartitionRegistration {
            replicas: ids.clone(),
            isr: ids.clone(),
            leader: Some(NodeId(1)),
            ..PartitionRegistration::default()
        });
        let brokers = ids.iter().map(|id| (*id, (BrokerEpoch(0), true))).collect();
        let node = |id: &NodeId| Node {
            id: *id,
            is_up: true,
            state: ReplicaState::new(*id, Arc::clone(&registration)),
            applied: 0,
            registered: BrokerEpoch(0),
            log: Vec::new(),
            epochs: LeaderEpochs::default(),
            durable: 0,
            high_watermark: Offset::ZERO,
            entered: None,
            unanswered: Vec::new(),
            fetch: 0,
        };
        let nodes = ids.iter().map(node).collect();
        Self {
            is_strict: dice.is_one_in(2),
            are_wishes_repeated: dice.is_one_in(2),
            min: 1 + dice.roll(2),
            dice,
            now: Instant(0) + Duration::from_secs(100),
            images: vec![Image { partition: registration, brokers }],
            nodes,
            network: Vec::new(),
            acknowledged: BTreeMap::new(),
            next_value: 0,
            next_broker_epoch: 1,
            history: format!("seed {seed}"),
        }
    }

    fn note(&mut self, what: &str) {
        self.history.push('\n');
        self.history.push_str(what);
    }

    fn newest(&self) -> &Image {
        self.images.last().expect("there is a first image")
    }

    /// Asks a node's leadership something, with the world as the node sees it.
    fn ask<T>(
        &mut self,
        place: usize,
        question: impl FnOnce(&mut Leadership, &View<'_>) -> T,
    ) -> Option<T> {
        let node = &mut self.nodes[place];
        let image = &self.images[node.applied.checked_sub(1)?];
        let active = |id| image.active(id);
        let view = View {
            now: self.now,
            log_end: at(node.log.len()),
            own_end: at(if self.is_strict { node.durable } else { node.log.len() }),
            high_watermark: node.high_watermark,
            min_insync_replicas: self.min,
            lag_time_max: LAG,
            active: &active,
            own_epoch: Some(node.registered),
        };
        let leadership = node.state.leadership_mut().ok()?;
        Some(question(leadership, &view))
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let which = self.dice.roll(self.network.len());
        let is_wish = matches!(self.network[which], Message::Alter { .. });
        let may_repeat = self.are_wishes_repeated || !is_wish;
        let message = if self.dice.is_one_in(8) && may_repeat {
            self.network[which].clone()
        } else {
            self.network.swap_remove(which)
        };
        if self.dice.is_one_in(10) {
            return;
        }
        self.note(&format!("{message:?}"));
        match message {
            Message::Fetch { to, .. } => {
                if let Some(place) = self.place(to) {
                    self.serve(place, &message);
                }
            }
            Message::Fetched { to, number, epoch, at, answer } => {
                let place = self.place(to);
                if let Some(place) = place.filter(|place| self.nodes[*place].fetch == number) {
                    // It is taken once.
                    self.nodes[place].fetch += 1;
                    self.take(place, epoch, at, answer);
                }
            }
            // A copy of a request that was given up is not carried out much later.
            Message::Alter { sent, .. }
                if self.are_wishes_repeated && self.now.since(sent) >= LAG => {}
            Message::Alter { from, change, .. } => {
                let answer = self.alter(from, &change);
                self.network.push(Message::Altered { to: from, change, answer });
            }
            Message::Altered { to, change, answer } => {
                let Some(place) = self.place(to) else { return };
                self.ask(place, |leadership, view| leadership.answered(&change, &answer, view));
                self.advance(place);
            }
        }
    }

    /// Where a node is that lives.
    fn place(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id && node.is_up)
    }
}

/// What happens.
impl World {
    fn die(&mut self, place: usize) {
        let is_strict = self.is_strict;
        let lost = self.dice.roll(4);
        let node = &mut self.nodes[place];
        if !node.is_up {
            return;
        }
        node.is_up = false;
        node.unanswered.clear();
        if is_strict {
            // Of what is not durable some may be there all the same, but always a beginning.
            let kept = node.log.len().saturating_sub(lost).max(node.durable);
            node.log.truncate(kept);
            node.durable = kept;
            let end = at(node.log.len());
            node.epochs.truncate_from_end(end);
        }
        // The checkpoint of high watermarks is behind.
        let back = i64::try_from(lost).expect("small");
        let checkpoint = Offset::from_wire(node.high_watermark.value() - back).unwrap_or_default();
        node.high_watermark = checkpoint.min(at(node.log.len()));
    }

    /// A process starts: it is registered anew, which takes what it led away from it.
    fn start(&mut self, place: usize) {
        if self.nodes[place].is_up {
            return;
        }
        let id = self.nodes[place].id;
        let epoch = BrokerEpoch(self.next_broker_epoch);
        self.next_broker_epoch += 1;
        // It reads the metadata log from some point on, and applies what it finds before it hears of itself.
        let back = self.dice.roll(4);
        self.out(id);
        self.commit(|_, image| {
            image.brokers.insert(id, (epoch, false));
        });
        let applied = self.images.len().saturating_sub(2 + back);
        let registration = Arc::clone(&self.images[applied].partition);
        let node = &mut self.nodes[place];
        node.is_up = true;
        node.registered = epoch;
        node.entered = None;
        node.applied = applied;
        node.state = ReplicaState::new(id, registration);
    }

    fn step(&mut self) {
        let place = self.dice.roll(3);
        let choice = self.dice.roll(100);
        let name = format!("{choice} at {}", place + 1);
        self.note(&name);
        match choice {
            0..=19 => self.apply(place),
            20..=39 => self.deliver(),
            40..=54 if self.nodes[place].is_up => self.fetch(place),
            55..=66 if self.nodes[place].is_up => self.produce(place),
            67..=72 if self.nodes[place].is_up => self.flush(place),
            73..=74 => self.die(place),
            75..=79 => self.start(place),
            80..=81 => self.out(NodeId(1 + i32::try_from(place).expect("small"))),
            82..=87 if self.nodes[place].is_up => self.unfence(self.nodes[place].id),
            88..=89 => self.elect(),
            90..=93 => {
                let behind = if self.are_wishes_repeated { self.images.len() } else { 0 };
                for node in 0..3 * behind {
                    self.apply(node % 3);
                }
                self.now = self.now + Duration::from_secs(20);
                if self.nodes[place].is_up {
                    let change = self.ask(place, Leadership::shrink).flatten();
                    self.wish(place, change);
                }
            }
            _ => {
                self.apply(place);
                if self.nodes[place].is_up {
                    self.fetch(place);
                }
                self.deliver();
            }
        }
    }

    fn check(&self, before: &[(bool, Offset)]) {
        let history = &self.history;
        let newest = &self.newest().partition;
        for (node, (was_up, high_watermark)) in self.nodes.iter().zip(before) {
            assert!(
                !(*was_up && node.is_up) || node.high_watermark >= *high_watermark,
                "the high watermark of {} goes back: {history}",
                node.id
            );
            assert!(at(node.log.len()) >= node.high_watermark, "{history}");
            let leads = node.state.leadership().map(Leadership::epoch);
            if node.is_up && leads == Ok(newest.leader_epoch) {
                for (offset, value) in &self.acknowledged {
                    let found = node.log.get(*offset).map(|(_, value)| value);
                    assert_eq!(found, Some(value), "{} leads without {offset}: {history}", node.id);
                }
            }
            for other in &self.nodes {
                let common = index(node.high_watermark.min(other.high_watermark));
                assert_eq!(
                    node.log.get(..common),
                    other.log.get(..common),
                    "{} and {} differ: {history}",
                    node.id,
                    other.id
                );
            }
        }
    }
}

/// Lives one life; gives back how many records were acknowledged and how many epochs there were.
fn live(seed: u64) -> (usize, i32) {
    let mut world = World::new(seed);
    for place in 0..3 {
        world.apply(place);
    }
    for _ in 0..1_500 {
        let before: Vec<_> =
            world.nodes.iter().map(|node| (node.is_up, node.high_watermark)).collect();
        world.step();
        world.check(&before);
    }
    (world.acknowledged.len(), world.newest().partition.leader_epoch.value())
}

#[test]
fn acknowledged_records_survive_whatever_happens_to_three_replicas() {
    let (mut acknowledged, mut epochs) = (0, 0);
    for seed in 0..400 {
        let (records, elections) = live(seed);
        acknowledged += records;
        epochs += elections;
    }
    assert!(acknowledged > 2_000, "{acknowledged} records were acknowledged");
    assert!(epochs > 2_000, "{epochs} leaders were elected");
}
