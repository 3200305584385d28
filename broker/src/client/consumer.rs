//! Reading partitions that the caller names.
//!
//! One request per leader is under way; the next goes out before the records of the last are handed to the caller, so that
//! broker and caller work at the same time. What of a transaction was aborted is left out here, as in every Kafka client:
//! the broker only says which producers' batches those are (KIP-98).

mod batches;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};

use self::batches::read_batches;
use super::admin::{Each, IsolationLevel, OffsetSpec, PartitionOffset, list_offsets};
use super::router::Lane;
use super::wire::text;
use super::{Client, Error, MissingTopic};
use crate::environment::{Instant, Runtime, select};
use crate::model::{ErrorCode, LeaderEpoch, NodeId, Offset, TopicId, TopicName, TopicPartition};
use crate::record::Record;

/// How a consumer behaves; the names in parentheses are Kafka's.
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// What of transactions is seen.
    pub isolation: IsolationLevel,
    /// How long a broker waits for records (`fetch.max.wait.ms`).
    pub wait_max: Duration,
    /// How much it waits for (`fetch.min.bytes`).
    pub bytes_min: i32,
    /// The most in one answer (`fetch.max.bytes`).
    pub bytes_max: i32,
    /// The most of one partition in one answer (`max.partition.fetch.bytes`).
    pub partition_bytes_max: i32,
    /// Where to go on when an offset is not there any more (`auto.offset.reset`); `None` makes it an error.
    pub reset: Option<OffsetSpec>,
    /// The most a batch may take when decompressed, in bytes.
    pub decompressed_bytes_max: usize,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            isolation: IsolationLevel::ReadUncommitted,
            wait_max: Duration::from_millis(500),
            bytes_min: 1,
            bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            reset: None,
            decompressed_bytes_max: 256 << 20,
        }
    }
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this offset.
    At(Offset),
    /// Where the leader says.
    Find(OffsetSpec),
}

/// Records of one partition, in order.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The partition.
    pub partition: TopicPartition,
    /// The records; none when only offsets moved (aborted or compacted away).
    pub records: Vec<Record>,
    /// Where reading was.
    pub from: Offset,
    /// Where reading goes on.
    pub next: Offset,
    /// The end of what consumers may see: of all records, or of the committed ones.
    pub end: Option<Offset>,
    /// The first offset there is.
    pub log_start: Option<Offset>,
    /// When the answer had arrived here.
    pub at: Instant,
}

/// Reads partitions; made for one caller. Dropping it ends its requests.
pub struct Consumer<R: Runtime> {
    client: Client<R>,
    settings: ConsumerSettings,
    partitions: BTreeMap<TopicPartition, Reading>,
    busy: BTreeSet<NodeId>,
    tasks: FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>,
    ready: Vec<Result<Fetched, Error>>,
    is_looking: bool,
    turn: usize,
}

/// The state of one partition.
#[derive(Debug)]
struct Reading {
    position: Position,
    not_before: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Known(Offset),
    Wanted(OffsetSpec),
    /// Being asked for.
    Asked(OffsetSpec),
    /// A refusal was told; nothing more until the caller seeks.
    Failed,
}

/// One line of a request.
#[derive(Clone, Debug)]
struct Row {
    partition: TopicPartition,
    offset: Offset,
    epoch: Option<LeaderEpoch>,
    topic_id: Option<TopicId>,
}

enum Event {
    Fetched(NodeId, Vec<Row>, Result<(FetchResponse, Instant), Error>),
    Found(Vec<(TopicPartition, OffsetSpec)>, Each<TopicPartition, PartitionOffset>),
    Looked,
}

impl<R: Runtime> Consumer<R> {
    /// A consumer that reads nothing yet.
    #[must_use]
    pub fn new(client: Client<R>, settings: ConsumerSettings) -> Self {
        Self {
            client,
            settings,
            partitions: BTreeMap::new(),
            busy: BTreeSet::new(),
            tasks: FuturesUnordered::new(),
            ready: Vec::new(),
            is_looking: false,
            turn: 0,
        }
    }

    /// Reads these partitions and no others from now on. Those that were read already go on where they are.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = (TopicPartition, Start)>) {
        let mut old = std::mem::take(&mut self.partitions);
        for (partition, start) in partitions {
            let reading = old.remove(&partition).unwrap_or_else(|| Reading::new(start));
            self.partitions.insert(partition, reading);
        }
        let partitions = &self.partitions;
        self.ready.retain(|ready| {
            ready.as_ref().is_ok_and(|fetched| partitions.contains_key(&fetched.partition))
        });
    }

    /// Goes on elsewhere in a partition; what was fetched from it and not handed out is dropped.
    pub fn seek(&mut self, partition: &TopicPartition, start: Start) {
        if let Some(reading) = self.partitions.get_mut(partition) {
            *reading = Reading::new(start);
            self.ready.retain(|ready| !ready.as_ref().is_ok_and(|f| f.partition == *partition));
        }
    }

    /// The next offset to be handed out, once it is known.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        let waiting = self.ready.iter().filter_map(|ready| ready.as_ref().ok());
        let first = waiting
            .filter(|fetched| fetched.partition == *partition)
            .map(|fetched| fetched.from)
            .next();
        first.or(match self.partitions.get(partition)?.position {
            Position::Known(offset) => Some(offset),
            Position::Wanted(_) | Position::Asked(_) | Position::Failed => None,
        })
    }

    /// What is read.
    pub fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.keys()
    }

    /// The next records of some partition; `None` when there were none for `wait`.
    ///
    /// # Errors
    ///
    /// A leader's refusal that does not pass by itself, such as `OFFSET_OUT_OF_RANGE` without a reset, or a batch that
    /// cannot be read. The partition rests until [`seek`](Self::seek); others go on.
    pub async fn poll(&mut self, wait: Duration) -> Result<Option<Fetched>, Error> {
        let runtime = self.client.runtime().clone();
        let deadline = runtime.now() + wait;
        loop {
            let wake = self.start(runtime.now());
            // What is ready is taken, and what was just started is sent, before the caller goes to work.
            while let Some(Some(event)) = self.tasks.next().now_or_never() {
                self.take(event);
            }
            if !self.ready.is_empty() {
                return self.ready.remove(0).map(Some);
            }
            if runtime.now() >= deadline {
                return Ok(None);
            }
            select! {
                Some(event) = self.tasks.next() => self.take(event),
                () = runtime.sleep_until(deadline.min(wake)) => {}
            }
        }
    }

    /// Asks every leader that is not busy; says when there may be more to ask.
    fn start(&mut self, now: Instant) -> Instant {
        let mut wake = Instant::FAR;
        let mut wanted = Vec::new();
        let mut leaderless = BTreeSet::new();
        let mut rows: BTreeMap<NodeId, Vec<Row>> = BTreeMap::new();
        let cluster = self.client.cluster();
        // What was fetched is handed out first: memory stays within one answer per broker.
        if !self.ready.is_empty() {
            return wake;
        }
        for (partition, reading) in &mut self.partitions {
            if reading.not_before > now {
                wake = wake.min(reading.not_before);
                continue;
            }
            match reading.position {
                Position::Known(offset) => {
                    let Some(leader) = cluster.leader(partition) else {
                        leaderless.insert(partition.topic.clone());
                        continue;
                    };
                    let topic = &cluster.topics[&partition.topic];
                    let epoch = topic.partitions[&partition.partition].leader_epoch;
                    let row =
                        Row { partition: partition.clone(), offset, epoch, topic_id: topic.id };
                    rows.entry(leader).or_default().push(row);
                }
                Position::Wanted(spec) => {
                    reading.position = Position::Asked(spec);
                    wanted.push((partition.clone(), spec));
                }
                Position::Asked(_) | Position::Failed => {}
            }
        }
        if !wanted.is_empty() {
            let (client, isolation) = (self.client.clone(), self.settings.isolation);
            self.tasks.push(Box::pin(async move {
                let found = list_offsets(&client, &wanted, isolation).await;
                Event::Found(wanted, found)
            }));
        }
        self.look(leaderless);
        for (leader, rows) in rows {
            if self.busy.insert(leader) {
                self.fetch(leader, rows);
            }
        }
        wake
    }

    fn fetch(&mut self, leader: NodeId, mut rows: Vec<Row>) {
        // The broker serves in this order until an answer is full: everyone is first at times.
        self.turn = self.turn.wrapping_add(1);
        let length = rows.len();
        rows.rotate_left(self.turn % length);
        let (client, settings) = (self.client.clone(), self.settings.clone());
        self.tasks.push(Box::pin(async move {
            let answer = fetch(&client, &settings, leader, &rows).await;
            Event::Fetched(leader, rows, answer)
        }));
    }

    /// Asks about topics unless an answer is under way.
    fn look(&mut self, topics: BTreeSet<TopicName>) {
        if topics.is_empty() || self.is_looking {
            return;
        }
        self.is_looking = true;
        let client = self.client.clone();
        let topics: Vec<TopicName> = topics.into_iter().collect();
        self.tasks.push(Box::pin(async move {
            // A failure shows as a topic still unknown: it is asked for again.
            let looked = client.refresh_once(Some(&topics), MissingTopic::Leave).await;
            if looked.is_err() || topics.iter().any(|topic| !has_leaders(&client, topic)) {
                client.runtime().sleep(client.settings().retry_backoff).await;
            }
            Event::Looked
        }));
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Looked => self.is_looking = false,
            Event::Found(wanted, found) => self.found(&wanted, found),
            Event::Fetched(leader, rows, answer) => {
                self.busy.remove(&leader);
                match answer {
                    Ok((response, at)) => self.fetched(&rows, response, at),
                    Err(error) => {
                        self.client.forget_leaders_at(leader);
                        for row in &rows {
                            self.failed(row, error.clone());
                        }
                    }
                }
            }
        }
    }

    fn found(
        &mut self,
        wanted: &[(TopicPartition, OffsetSpec)],
        found: Each<TopicPartition, PartitionOffset>,
    ) {
        let now = self.client.runtime().now();
        for (partition, outcome) in found {
            let Some(reading) = self.partitions.get_mut(&partition) else { continue };
            let Some((_, spec)) = wanted.iter().find(|(asked, _)| *asked == partition) else {
                continue;
            };
            if reading.position != Position::Asked(*spec) {
                continue;
            }
            reading.position = match outcome {
                Ok(PartitionOffset { offset: Some(offset), .. }) => Position::Known(offset),
                // No record at or after this time: whatever comes next.
                Ok(PartitionOffset { offset: None, .. }) => Position::Wanted(OffsetSpec::Latest),
                Err(error) if error.is_retriable() => {
                    reading.not_before = now + self.client.settings().retry_backoff;
                    Position::Wanted(*spec)
                }
                Err(error) => {
                    self.ready.push(Err(error));
                    Position::Failed
                }
            };
        }
    }

    fn fetched(&mut self, rows: &[Row], response: FetchResponse, at: Instant) {
        if let Err(error) = Error::check(|| "fetch".to_owned(), response.error_code, None) {
            for row in rows {
                self.failed(row, error.clone());
            }
            return;
        }
        for topic in response.responses {
            let id = TopicId(topic.topic_id);
            for data in topic.partitions {
                let row = rows.iter().find(|row| {
                    row.partition.partition.0 == data.partition_index
                        && (row.partition.topic.as_str() == topic.topic.as_str()
                            || (topic.topic.is_empty() && row.topic_id == Some(id)))
                });
                if let Some(row) = row {
                    self.fetched_partition(row, data, at);
                }
            }
        }
    }

    fn fetched_partition(&mut self, row: &Row, data: PartitionData, at: Instant) {
        let what = || format!("read {}", row.partition);
        if let Err(error) = Error::check(what, data.error_code, None) {
            self.failed(row, error);
            return;
        }
        let Some(reading) = self.partitions.get_mut(&row.partition) else { return };
        // The caller went elsewhere meanwhile.
        if reading.position != Position::Known(row.offset) {
            return;
        }
        let end = match self.settings.isolation {
            IsolationLevel::ReadUncommitted => Offset::from_wire(data.high_watermark),
            IsolationLevel::ReadCommitted => Offset::from_wire(data.last_stable_offset),
        };
        let log_start = Offset::from_wire(data.log_start_offset);
        match read_batches(row, data, &self.settings) {
            Ok((records, next)) => {
                if next == row.offset {
                    return;
                }
                reading.position = Position::Known(next);
                let partition = row.partition.clone();
                self.ready.push(Ok(Fetched {
                    partition,
                    records,
                    from: row.offset,
                    next,
                    end,
                    log_start,
                    at,
                }));
            }
            Err(error) => {
                reading.position = Position::Failed;
                self.ready.push(Err(error));
            }
        }
    }

    fn failed(&mut self, row: &Row, error: Error) {
        let now = self.client.runtime().now();
        let Some(reading) = self.partitions.get_mut(&row.partition) else { return };
        if reading.position != Position::Known(row.offset) {
            return;
        }
        if error.code() == Some(ErrorCode::OffsetOutOfRange)
            && let Some(spec) = self.settings.reset
        {
            reading.position = Position::Wanted(spec);
        } else if error.is_retriable() {
            reading.not_before = now + self.client.settings().retry_backoff;
            self.client.forget_leader(&row.partition);
        } else {
            reading.position = Position::Failed;
            self.ready.push(Err(error));
        }
    }
}

impl Reading {
    fn new(start: Start) -> Self {
        let position = match start {
            Start::At(offset) => Position::Known(offset),
            Start::Find(spec) => Position::Wanted(spec),
        };
        Self { position, not_before: Instant::default() }
    }
}

fn has_leaders<R: Runtime>(client: &Client<R>, topic: &TopicName) -> bool {
    let cluster = client.cluster();
    cluster
        .topics
        .get(topic)
        .is_some_and(|topic| topic.partitions.values().all(|p| p.leader.is_some()))
}

async fn fetch<R: Runtime>(
    client: &Client<R>,
    settings: &ConsumerSettings,
    leader: NodeId,
    rows: &[Row],
) -> Result<(FetchResponse, Instant), Error> {
    let connection = client.node(leader, Lane::Fetch).await?;
    let newest = if rows.iter().all(|row| row.topic_id.is_some()) { 16 } else { BY_TOPIC_ID - 1 };
    let version = connection.version_of::<FetchRequest>(newest)?;
    let mut topics: Vec<(&Row, Vec<FetchPartition>)> = Vec::new();
    for row in rows {
        let partition = FetchPartition::default()
            .with_partition(row.partition.partition.0)
            .with_current_leader_epoch(row.epoch.map_or(-1, LeaderEpoch::value))
            .with_fetch_offset(row.offset.value())
            .with_partition_max_bytes(settings.partition_bytes_max);
        match topics.iter_mut().find(|(first, _)| first.partition.topic == row.partition.topic) {
            Some((_, partitions)) => partitions.push(partition),
            None => topics.push((row, vec![partition])),
        }
    }
    let topics = topics.into_iter().map(|(row, partitions)| {
        let topic = FetchTopic::default().with_partitions(partitions);
        match row.topic_id {
            Some(id) if version >= BY_TOPIC_ID => topic.with_topic_id(id.0),
            Some(_) | None => topic.with_topic(text(row.partition.topic.as_str()).into()),
        }
    });
    let request = FetchRequest::default()
        .with_cluster_id(None)
        .with_replica_id((-1).into())
        .with_max_wait_ms(i32::try_from(settings.wait_max.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(settings.bytes_min)
        .with_max_bytes(settings.bytes_max)
        .with_isolation_level(settings.isolation.number())
        // No session: each request says all. Source: KIP-227.
        .with_session_epoch(-1)
        .with_topics(topics.collect());
    let after = client.settings().request_timeout + settings.wait_max;
    connection.start(&request, version, after).await?.wait().await
}

/// From this version on, Fetch names topics by their id.
const BY_TOPIC_ID: i16 = 13;
