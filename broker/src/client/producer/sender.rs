//! The task that sends: it alone knows what is under way.

mod exchange;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use self::exchange::{Answers, Started, ask_identity, by_partition, outcome_of};
use super::accumulator::{Parcel, Pile};
use super::fate::Outcome;
use super::sequencer::{Identity, Patience, Sequencer, gave_up};
use super::{ProducerSettings, Shared};
use crate::client::connection::Connection;
use crate::client::router::Lane;
use crate::client::{Client, Cluster, Error, MissingTopic};
use crate::environment::{Instant, Runtime, select};
use crate::model::{NodeId, TopicName, TopicPartition};

pub(super) struct Sender<R: Runtime> {
    client: Client<R>,
    settings: ProducerSettings,
    shared: Arc<Shared>,
    patience: Patience,
    identity: Option<Identity>,
    identity_state: Asking,
    metadata_state: Asking,
    metadata_due: Instant,
    nodes: BTreeMap<NodeId, Node<R>>,
    sequencers: BTreeMap<TopicPartition, Sequencer>,
    tasks: FuturesUnordered<Pin<Box<dyn Future<Output = Event<R>> + Send>>>,
    /// Where the next round begins, so that no partition is always last.
    turn: usize,
}

/// Whether a question to the cluster is under way, and from when on it may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Now,
    From(Instant),
}

/// One broker.
struct Node<R: Runtime> {
    connection: Option<Connection<R>>,
    is_connecting: bool,
    not_before: Instant,
    in_flight: usize,
}

/// What the sender waits for.
enum Event<R: Runtime> {
    Connected(NodeId, Result<Connection<R>, Error>),
    Answered(NodeId, Vec<Parcel>, Result<(Answers, Instant), Error>),
    Looked(Result<(), Error>),
    Identified(Result<Identity, Error>),
}

/// A request under construction.
#[derive(Default)]
struct Load {
    parcels: Vec<Parcel>,
    bytes: usize,
}

impl<R: Runtime> Sender<R> {
    pub(super) fn new(client: Client<R>, settings: ProducerSettings, shared: Arc<Shared>) -> Self {
        let patience = Patience {
            delivery_timeout: settings.delivery_timeout,
            backoff: client.settings().retry_backoff,
        };
        let metadata_due = client.runtime().now() + METADATA_AGE_MAX;
        Self {
            client,
            settings,
            shared,
            patience,
            identity: None,
            identity_state: Asking::From(Instant::default()),
            metadata_state: Asking::From(Instant::default()),
            metadata_due,
            nodes: BTreeMap::new(),
            sequencers: BTreeMap::new(),
            tasks: FuturesUnordered::new(),
            turn: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let now = self.client.runtime().now();
            let wake = self.round(now);
            if self.is_done() {
                return;
            }
            let clock = self.client.runtime().clone();
            select! {
                Some(event) = self.tasks.next() => self.take(event),
                () = shared.work.notified() => {}
                () = clock.sleep_until(wake) => {}
            }
            // All that is ready at once is taken before the next round.
            while let Some(Some(event)) = futures_util::FutureExt::now_or_never(self.tasks.next()) {
                self.take(event);
            }
        }
    }

    fn is_done(&self) -> bool {
        let accumulator = self.shared.lock();
        accumulator.is_closed && accumulator.undecided.is_empty()
    }

    /// Sends all that may be sent, and says when to look again.
    fn round(&mut self, now: Instant) -> Instant {
        self.expire(now);
        if now >= self.metadata_due {
            let topics = self.shared.lock().partition_counts.keys().cloned().collect();
            self.look(topics, now);
        }
        loop {
            let mut loads = BTreeMap::new();
            let wake = self.load(now, &mut loads);
            loads.retain(|_, load: &mut Load| !load.parcels.is_empty());
            if loads.is_empty() {
                return wake.min(self.metadata_due.max(now + self.patience.backoff));
            }
            for (node, load) in loads {
                self.send(node, load, now);
            }
        }
    }

    /// Gives up what has waited for too long.
    fn expire(&mut self, now: Instant) {
        let mut lost = Vec::new();
        for sequencer in self.sequencers.values_mut() {
            lost.append(&mut sequencer.expire(now, self.patience));
        }
        let is_old = |parcel: &Parcel| now >= parcel.created + self.patience.delivery_timeout;
        for pile in self.shared.lock().piles.values_mut() {
            let full = std::mem::take(&mut pile.full);
            let (old, kept) = full.into_iter().partition::<Vec<_>, _>(is_old);
            pile.full = kept.into();
            let old = old.into_iter().chain(pile.open.take_if(|open| is_old(open)));
            lost.extend(old.map(|parcel| {
                let error = gave_up(&parcel, self.patience);
                (parcel, error)
            }));
        }
        for (parcel, error) in lost {
            self.decide(&parcel, Err(error));
        }
    }

    /// Takes at most one batch of each partition for its leader. Says when there may be more.
    fn load(&mut self, now: Instant, loads: &mut BTreeMap<NodeId, Load>) -> Instant {
        let shared = Arc::clone(&self.shared);
        let mut accumulator = shared.lock();
        let is_short_of_memory = accumulator.buffered_bytes * 2 > self.settings.buffer_bytes;
        let mut round = Round {
            now,
            linger: if is_short_of_memory { Duration::ZERO } else { self.settings.linger },
            cluster: self.client.cluster(),
            leaderless: BTreeSet::new(),
            lost: Vec::new(),
            wake: Instant::FAR,
        };
        let first = self.turn.checked_rem(accumulator.piles.len()).unwrap_or(0);
        self.turn = self.turn.wrapping_add(1);
        for (partition, pile) in accumulator.piles.iter_mut().skip(first) {
            self.load_partition(&mut round, partition, pile, loads);
        }
        for (partition, pile) in accumulator.piles.iter_mut().take(first) {
            self.load_partition(&mut round, partition, pile, loads);
        }
        drop(accumulator);
        for (parcel, error) in round.lost {
            self.decide(&parcel, Err(error));
        }
        if !round.leaderless.is_empty() {
            round.wake = round.wake.min(self.look(round.leaderless, now));
        }
        round.wake
    }

    fn load_partition(
        &mut self,
        round: &mut Round,
        partition: &TopicPartition,
        pile: &mut Pile,
        loads: &mut BTreeMap<NodeId, Load>,
    ) {
        let sequencer = self.sequencers.entry(partition.clone()).or_default();
        let Some(due) = due_at(pile, sequencer, round.linger) else { return };
        // An answer will wake us.
        let Some(ready) = sequencer.ready_at() else { return };
        if due.max(ready) > round.now {
            round.wake = round.wake.min(due.max(ready));
            return;
        }
        round.lost.extend(sequencer.settle(&mut self.identity));
        let Some(leader) = round.cluster.leader(partition) else {
            round.leaderless.insert(partition.topic.clone());
            return;
        };
        if self.settings.is_idempotent && self.identity.is_none() {
            round.wake = round.wake.min(self.ask_identity(round.now));
            return;
        }
        match self.node_ready_at(leader, round) {
            None => return,
            Some(at) if at > round.now => {
                round.wake = round.wake.min(at);
                return;
            }
            Some(_) => {}
        }
        let load = loads.entry(leader).or_default();
        let sequencer = self.sequencers.entry(partition.clone()).or_default();
        load.take_from(pile, sequencer, self.settings.request_bytes_max);
    }

    /// From when on a broker takes a request; `None` while something that will wake us is under way.
    fn node_ready_at(&mut self, id: NodeId, round: &Round) -> Option<Instant> {
        let node = self.nodes.entry(id).or_default();
        if node.is_connecting || node.in_flight >= self.settings.in_flight_max {
            return None;
        }
        if node.connection.as_ref().is_some_and(|connection| !connection.is_closed()) {
            return Some(round.now);
        }
        if node.not_before > round.now {
            return Some(node.not_before);
        }
        node.is_connecting = true;
        let client = self.client.clone();
        self.tasks.push(Box::pin(async move {
            Event::Connected(id, client.node(id, Lane::Produce).await)
        }));
        None
    }

    fn send(&mut self, id: NodeId, load: Load, now: Instant) {
        let mut parcels = Vec::with_capacity(load.parcels.len());
        let producer = self.identity.filter(|_| self.settings.is_idempotent);
        for mut parcel in load.parcels {
            let sequencer = self.sequencers.entry(parcel.fate.partition.clone()).or_default();
            match sequencer.begin(&mut parcel, producer) {
                Ok(()) => parcels.push(parcel),
                Err(error) => self.decide(&parcel, Err(error)),
            }
        }
        if parcels.is_empty() {
            return;
        }
        let Some(connection) = self.nodes.get(&id).and_then(|node| node.connection.clone()) else {
            return;
        };
        match self.start(&connection, &parcels) {
            Ok(Started::Unanswered) => {
                let outcome = Outcome { base_offset: None, append_time: None, at: now };
                for parcel in parcels {
                    self.answered(parcel, Ok(outcome.clone()), now);
                }
            }
            Ok(Started::Pending(pending, names)) => {
                self.nodes.entry(id).or_default().in_flight += 1;
                self.tasks.push(Box::pin(async move {
                    let answer = pending.wait().await;
                    let answer = answer.map(|(response, at)| (by_partition(response, &names), at));
                    Event::Answered(id, parcels, answer)
                }));
            }
            Err(error) => {
                for parcel in parcels {
                    self.answered(parcel, Err(error.clone()), now);
                }
            }
        }
    }

    fn take(&mut self, event: Event<R>) {
        let now = self.client.runtime().now();
        let backoff = self.patience.backoff;
        match event {
            Event::Connected(id, connection) => {
                let node = self.nodes.entry(id).or_default();
                node.is_connecting = false;
                match connection {
                    Ok(connection) => node.connection = Some(connection),
                    Err(_) => {
                        node.not_before = now + backoff;
                        self.client.forget_leaders_at(id);
                    }
                }
            }
            Event::Answered(id, parcels, answer) => {
                let node = self.nodes.entry(id).or_default();
                node.in_flight = node.in_flight.saturating_sub(1);
                match answer {
                    Ok((mut answers, at)) => {
                        for parcel in parcels {
                            let outcome = outcome_of(&parcel, &mut answers, at);
                            self.answered(parcel, outcome, now);
                        }
                    }
                    Err(error) => {
                        self.client.forget_leaders_at(id);
                        for parcel in parcels {
                            self.answered(parcel, Err(error.clone()), now);
                        }
                    }
                }
            }
            Event::Looked(looked) => {
                self.metadata_state = Asking::From(now + backoff);
                if looked.is_ok() {
                    self.count_partitions();
                    self.metadata_due = now + METADATA_AGE_MAX;
                }
            }
            Event::Identified(identity) => {
                self.identity_state = Asking::From(now + backoff);
                if let Ok(identity) = identity {
                    self.identity = Some(identity);
                }
            }
        }
    }

    fn answered(&mut self, parcel: Parcel, result: Result<Outcome, Error>, now: Instant) {
        let partition = parcel.fate.partition.clone();
        let (outcome, failure) = match result {
            Ok(outcome) => (Some(outcome), None),
            Err(error) => (None, Some(error)),
        };
        if failure.as_ref().is_some_and(Error::is_retriable) {
            self.client.forget_leader(&partition);
        }
        let sequencer = self.sequencers.entry(partition).or_default();
        let Some((parcel, fate)) = sequencer.answered(parcel, failure, now, self.patience) else {
            return;
        };
        match (fate, outcome) {
            (Ok(()), Some(outcome)) => self.decide(&parcel, Ok(outcome)),
            (Ok(()), None) => unreachable!("a parcel without a failure has an outcome"),
            (Err(error), _) => self.decide(&parcel, Err(error)),
        }
    }

    fn decide(&self, parcel: &Parcel, outcome: Result<Outcome, Error>) {
        self.shared.lock().release(parcel);
        parcel.fate.decide(outcome);
        self.shared.room.notify_waiters();
    }

    /// Asks about topics unless an answer is under way; says when it may be asked again.
    fn look(&mut self, topics: BTreeSet<TopicName>, now: Instant) -> Instant {
        match self.metadata_state {
            Asking::Now => return Instant::FAR,
            Asking::From(from) if from > now => return from,
            Asking::From(_) => {}
        }
        self.metadata_state = Asking::Now;
        let client = self.client.clone();
        let topics: Vec<TopicName> = topics.into_iter().collect();
        self.tasks.push(Box::pin(async move {
            let looked = client.refresh_once(Some(&topics), MissingTopic::Leave).await;
            Event::Looked(looked.map(drop))
        }));
        Instant::FAR
    }

    fn count_partitions(&self) {
        let cluster = self.client.cluster();
        let mut accumulator = self.shared.lock();
        for (name, count) in &mut accumulator.partition_counts {
            let known = cluster.topics.get(name).map_or(0, |topic| topic.partitions.len());
            *count = i32::try_from(known).unwrap_or(i32::MAX).max(*count);
        }
    }

    /// Asks for a producer id unless that is under way; says when it may be asked again.
    fn ask_identity(&mut self, now: Instant) -> Instant {
        match self.identity_state {
            Asking::Now => return Instant::FAR,
            Asking::From(from) if from > now => return from,
            Asking::From(_) => {}
        }
        self.identity_state = Asking::Now;
        let client = self.client.clone();
        self.tasks.push(Box::pin(async move { Event::Identified(ask_identity(&client).await) }));
        Instant::FAR
    }
}

/// What one look at all partitions sees and finds.
struct Round {
    now: Instant,
    linger: Duration,
    cluster: Arc<Cluster>,
    leaderless: BTreeSet<TopicName>,
    lost: Vec<(Parcel, Error)>,
    wake: Instant,
}

impl Load {
    /// Takes the oldest batch of a partition, unless the request is full.
    fn take_from(&mut self, pile: &mut Pile, sequencer: &mut Sequencer, bytes_max: usize) {
        let first = pile.full.front().or(pile.open.as_ref());
        let Some(bytes) = sequencer.retry_bytes().or(first.map(Parcel::request_bytes)) else {
            return;
        };
        if !self.parcels.is_empty() && self.bytes + bytes > bytes_max {
            return;
        }
        self.bytes += bytes;
        let parcel =
            sequencer.take_retry().or_else(|| pile.full.pop_front()).or_else(|| pile.open.take());
        self.parcels.extend(parcel);
    }
}

impl<R: Runtime> Default for Node<R> {
    fn default() -> Self {
        Self {
            connection: None,
            is_connecting: false,
            not_before: Instant::default(),
            in_flight: 0,
        }
    }
}

/// When a partition has something to send; `None` when it has nothing.
fn due_at(pile: &Pile, sequencer: &Sequencer, linger: Duration) -> Option<Instant> {
    if sequencer.retry_bytes().is_some() || !pile.full.is_empty() {
        return Some(Instant::default());
    }
    pile.open.as_ref().map(|open| open.created + linger)
}

/// Partitions may be added: known topics are looked at again after this time (`metadata.max.age.ms`).
const METADATA_AGE_MAX: Duration = Duration::from_secs(300);
