//! Runs the scripts in `scenarios/` and compares what happens with what they say.
//!
//! A line that begins in the first column is a command, or a comment; the indented lines after it are what came of it.
//! How they are read and compared is in `scenario.rs`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::in_sync_replicas::{IsrChange, IsrState};
use super::leader::{FetchRefusal, FollowerFetch, Leadership, View};
use super::replica_state::{Entry, ReplicaState};
use crate::environment::Instant;
use crate::metadata::{PartitionEpoch, PartitionRegistration};
use crate::model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset};
use crate::scenario::{self, Words, list, nodes};

/// Node 1 and its replica, with what a script says of the world.
struct World {
    state: ReplicaState,
    now: Instant,
    log_end: i64,
    durable: Option<i64>,
    high_watermark: i64,
    min: usize,
    brokers: BTreeMap<NodeId, BrokerEpoch>,
    asked: Option<IsrChange>,
    output: String,
}

const OURS: NodeId = NodeId(1);

impl World {
    fn new() -> Self {
        let registration = PartitionRegistration {
            replicas: (1..=3).map(NodeId).collect(),
            isr: (1..=3).map(NodeId).collect(),
            ..PartitionRegistration::default()
        };
        Self {
            state: ReplicaState::new(OURS, Arc::new(registration)),
            now: Instant(0) + Duration::from_secs(1_000),
            log_end: 0,
            durable: None,
            high_watermark: 0,
            min: 1,
            brokers: (1..=4).map(|id| (NodeId(id), BrokerEpoch(i64::from(id)))).collect(),
            asked: None,
            output: String::new(),
        }
    }

    fn say(&mut self, text: impl AsRef<str>) {
        writeln!(self.output, "  {}", text.as_ref()).expect("a string takes everything");
    }

    /// Asks the leadership something, with the world as it is.
    fn ask<T>(&mut self, question: impl FnOnce(&mut Leadership, &View<'_>) -> T) -> Option<T> {
        let brokers = self.brokers.clone();
        let active = |id| brokers.get(&id).copied();
        let view = View {
            now: self.now,
            log_end: Offset::new(self.log_end),
            own_end: Offset::new(self.durable.unwrap_or(self.log_end)),
            high_watermark: Offset::new(self.high_watermark),
            min_insync_replicas: self.min,
            lag_time_max: Duration::from_secs(30),
            active: &active,
            own_epoch: brokers.get(&OURS).copied(),
        };
        match self.state.leadership_mut() {
            Ok(leadership) => Some(question(leadership, &view)),
            Err(code) => {
                self.say(code.to_string());
                None
            }
        }
    }

    fn advance_high_watermark(&mut self) {
        if self.state.leadership().is_err() {
            return;
        }
        if let Some(Some(to)) = self.ask(|leadership, view| leadership.high_watermark(view)) {
            assert!(to.value() <= self.log_end, "no record is committed that is not there");
            self.high_watermark = to.value();
            self.say(format!("high watermark {to}"));
        }
    }

    fn wish(&mut self, change: Option<IsrChange>) {
        let Some(change) = change else { return };
        let of = |(id, epoch): &(NodeId, Option<BrokerEpoch>)| {
            format!("{id}@{}", epoch.map_or("?".to_owned(), |epoch| epoch.to_string()))
        };
        let wanted: Vec<String> = change.isr.iter().map(of).collect();
        let version = change.partition_epoch.0;
        self.say(format!("asks for isr={} since v{version}", wanted.join(",")));
        self.asked = Some(change);
    }

    fn metadata(&mut self, words: &Words<'_>) {
        let before = self.state.registration();
        let registration = Arc::new(PartitionRegistration {
            replicas: words.get("replicas").map_or_else(|| before.replicas.clone(), nodes),
            isr: words.get("isr").map_or_else(|| before.isr.clone(), nodes),
            leader: match words.get("leader") {
                None => before.leader,
                Some(id) => id.parse().ok().map(NodeId),
            },
            leader_epoch: LeaderEpoch::new(
                words.number("epoch").unwrap_or(before.leader_epoch.value()),
            ),
            partition_epoch: PartitionEpoch(words.number("v").unwrap_or(before.partition_epoch.0)),
            ..PartitionRegistration::default()
        });
        match self.state.entry(&registration, !words.has("unregistered")) {
            Entry::Lead(epoch) => {
                let start = Offset::new(self.log_end);
                self.state.lead(registration, start, self.now);
                self.say(format!("leads in {epoch} from {start}"));
            }
            Entry::Follow(epoch) => {
                self.state.follow(registration);
                self.say(format!("follows in {epoch}"));
            }
            Entry::Stay => self.state.stay(registration),
        }
        self.advance_high_watermark();
    }

    fn fetch(&mut self, words: &Words<'_>) {
        let id = words.node(1);
        let registered = self.brokers.get(&id).copied();
        let epoch = words.number("epoch").map(BrokerEpoch).or(registered);
        let epoch = if words.has("silent") { None } else { epoch };
        let fetch = FollowerFetch { id, broker_epoch: epoch };
        let at = Offset::new(words.needed("at"));
        let counted = self.ask(|leadership, view| leadership.fetched(fetch, at, None, view));
        match counted {
            None => return,
            Some(Err(FetchRefusal::NoReplica)) => return self.say("refused: no replica"),
            Some(Err(FetchRefusal::StaleBroker)) => return self.say("refused: an earlier life"),
            Some(Ok(())) => {}
        }
        let change = self.ask(|leadership, view| leadership.expand(id, view)).flatten();
        self.wish(change);
        self.advance_high_watermark();
    }

    fn answer(&mut self, words: &Words<'_>) {
        let change = self.asked.clone().expect("something was asked");
        let answer = match words.word(1) {
            "ok" => Ok(IsrState {
                leader_epoch: LeaderEpoch::new(
                    words.number("epoch").unwrap_or(change.leader_epoch.value()),
                ),
                partition_epoch: PartitionEpoch(
                    words.number("v").unwrap_or(change.partition_epoch.0 + 1),
                ),
                isr: words
                    .get("isr")
                    .map_or_else(|| change.isr.iter().map(|(id, _)| *id).collect(), nodes),
            }),
            name => Err(code(name)),
        };
        let settled = self.ask(|leadership, view| leadership.answered(&change, &answer, view));
        if let Some(settled) = settled {
            self.say(format!("{settled:?}"));
        }
        self.advance_high_watermark();
    }

    fn run(&mut self, line: &str) {
        let words = Words::new(line);
        match words.word(0) {
            "metadata" => self.metadata(&words),
            "append" => {
                self.log_end += words.parsed::<i64>(1);
                self.advance_high_watermark();
            }
            "durable" => {
                self.durable = Some(words.parsed(1));
                self.advance_high_watermark();
            }
            "min" => self.min = words.parsed(1),
            "fetch" => self.fetch(&words),
            "advance" => {
                self.now = self.now + Duration::from_secs(words.parsed(1));
            }
            "broker" if words.has("out") => {
                self.brokers.remove(&words.node(1));
            }
            "broker" => {
                let epoch = BrokerEpoch(words.needed("epoch"));
                self.brokers.insert(words.node(1), epoch);
            }
            "check" => {
                let change = self.ask(Leadership::shrink).flatten();
                self.wish(change);
                self.advance_high_watermark();
            }
            "answer" => self.answer(&words),
            "produce" => {
                let min = self.min;
                if let Some(false) = self.ask(|leadership, _| leadership.has_enough_in_sync(min)) {
                    self.say(ErrorCode::NotEnoughReplicas.to_string());
                }
            }
            "show" => self.show(),
            other => panic!("no command {other}"),
        }
    }

    fn show(&mut self) {
        let told = format!("end={} high watermark={}", self.log_end, self.high_watermark);
        let isr = self.ask(|leadership, view| {
            let may: Vec<NodeId> = leadership.waited_for(view.now);
            (list(leadership.isr()), list(&may), leadership.partition_epoch().0)
        });
        if let Some((isr, may, version)) = isr {
            self.say(format!("{told} isr={isr} v{version} waits for {may}"));
        }
    }
}

fn code(name: &str) -> ErrorCode {
    let known = [
        ErrorCode::IneligibleReplica,
        ErrorCode::OperationNotAttempted,
        ErrorCode::InvalidUpdateVersion,
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::InvalidRequest,
        ErrorCode::NewLeaderElected,
        ErrorCode::UnknownTopicId,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::NotController,
        ErrorCode::RequestTimedOut,
        ErrorCode::UnknownServerError,
    ];
    let found = known.into_iter().find(|code| code.to_string() == name);
    found.unwrap_or_else(|| panic!("no error {name}"))
}

#[test]
fn scenarios_come_out_as_written() {
    scenario::check_all("src/replication/scenarios", |scenario| {
        let mut world = World::new();
        scenario.with_indented_output(|line| {
            world.run(line);
            std::mem::take(&mut world.output)
        })
    });
}
