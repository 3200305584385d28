//! Sending records: gathered into batches, kept in order over retries, written once when idempotent.
//!
//! [`Producer::send`] puts a record into the open batch of its partition and returns at once with a [`Receipt`]. One task,
//! the sender, takes batches that are full or have waited for `linger`, sends them to the leaders and sorts out the
//! answers; the rules of order are in `sequencer`.

mod partitioner;
mod fate;
mod accumulator;
mod sequencer;
mod sender;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

pub use fate::{Delivered, Receipt};
pub use partitioner::{murmur2, partition_of_key};

use super::{Client, Error, MissingTopic};
use crate::environment::{Runtime, timeout};
use crate::model::{ErrorCode, PartitionIndex, Timestamp, TopicName, TopicPartition};
use crate::record::Compression;
use accumulator::{Accumulator, Wake};

/// Who must have a record before it counts as written (`acks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nobody: the broker does not answer.
    None,
    /// The leader.
    Leader,
    /// All replicas in sync.
    All,
}

impl Acks {
    pub(super) const fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How a producer behaves; the names in parentheses are Kafka's.
#[derive(Clone, Debug)]
pub struct ProducerSettings {
    /// Who must have a record.
    pub acks: Acks,
    /// Writes each record once over retries; only with [`Acks::All`] (`enable.idempotence`).
    pub is_idempotent: bool,
    /// How batches are compressed.
    pub compression: Compression,
    /// The codec's level; `None` for Kafka's default.
    pub compression_level: Option<i32>,
    /// A batch is full at this size before compression (`batch.size`).
    pub batch_bytes: usize,
    /// How long a batch waits for company (`linger.ms`).
    pub linger: Duration,
    /// Requests under way to one broker (`max.in.flight.requests.per.connection`).
    pub in_flight_max: usize,
    /// Memory for records not yet written (`buffer.memory`).
    pub buffer_bytes: usize,
    /// The largest request (`max.request.size`).
    pub request_bytes_max: usize,
    /// A record is given up after this time (`delivery.timeout.ms`).
    pub delivery_timeout: Duration,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            is_idempotent: true,
            compression: Compression::None,
            compression_level: None,
            batch_bytes: 16_384,
            linger: Duration::from_millis(5),
            in_flight_max: 5,
            buffer_bytes: 32 << 20,
            request_bytes_max: 1 << 20,
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

/// One record to be written.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where to.
    pub topic: TopicName,
    /// The partition; `None` lets the key decide, or chance.
    pub partition: Option<PartitionIndex>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers in their order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// The record's time; `None`: when it is handed over.
    pub timestamp: Option<Timestamp>,
}

impl Message {
    /// A record without headers, for whichever partition.
    #[must_use]
    pub fn new(topic: impl Into<TopicName>, key: Option<Bytes>, value: Option<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key,
            value,
            headers: Vec::new(),
            timestamp: None,
        }
    }
}

/// A way to write records; clones share one buffer and one order. What was accepted is still sent after the last clone is
/// dropped, as long as the runtime lives; [`flush`](Self::flush) waits for it.
#[derive(Clone, Debug)]
pub struct Producer<R: Runtime>(Arc<Handle<R>>);

#[derive(Debug)]
struct Handle<R: Runtime> {
    client: Client<R>,
    settings: ProducerSettings,
    shared: Arc<Shared>,
}

/// What the handle and the sender share.
#[derive(Debug)]
struct Shared {
    accumulator: Mutex<Accumulator>,
    /// Wakes the sender.
    work: Notify,
    /// Wakes those who wait for memory.
    room: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Accumulator> {
        self.accumulator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Runtime> Producer<R> {
    /// Starts a producer; it connects when the first record is sent.
    #[must_use]
    pub fn new(client: Client<R>, mut settings: ProducerSettings) -> Self {
        settings.is_idempotent &= settings.acks == Acks::All;
        // Brokers remember five batches of a producer. Source: KIP-98.
        let most = if settings.is_idempotent { 5 } else { IN_FLIGHT_MOST };
        settings.in_flight_max = settings.in_flight_max.clamp(1, most);
        let accumulator = Mutex::new(Accumulator::new());
        let shared = Arc::new(Shared { accumulator, work: Notify::new(), room: Notify::new() });
        let sender = sender::Sender::new(client.clone(), settings.clone(), Arc::clone(&shared));
        client.runtime().spawn("producer", sender.run());
        Self(Arc::new(Handle { client, settings, shared }))
    }

    /// Accepts a record; waits only for memory and for the first look at a topic.
    ///
    /// # Errors
    ///
    /// When the topic does not exist, the record is too large, or there was no memory for it in time.
    pub async fn send(&self, message: Message) -> Result<Receipt, Error> {
        let Handle { client, settings, shared } = &*self.0;
        let bytes = size_of(&message);
        if bytes > settings.request_bytes_max {
            let why = format!(
                "a record of {bytes} bytes passes the limit of {}",
                settings.request_bytes_max
            );
            return Err(Error::Invalid { why });
        }
        let known = shared.lock().partition_counts.get(&message.topic).copied();
        let count = match known {
            Some(count) => count,
            None => self.look_at(&message.topic).await?,
        };
        self.check_partition(&message, count).await?;
        loop {
            let mut room = std::pin::pin!(shared.room.notified());
            room.as_mut().enable();
            if let Some(receipt) = self.try_append(&message, bytes, count)? {
                return Ok(receipt);
            }
            shared.work.notify_one();
            timeout(client.runtime(), client.settings().task_timeout, room).await.map_err(
                |_| Error::Invalid { why: "no memory was free for the record in time".to_owned() },
            )?;
        }
    }

    fn try_append(
        &self,
        message: &Message,
        bytes: usize,
        count: i32,
    ) -> Result<Option<Receipt>, Error> {
        let Handle { client, settings, shared } = &*self.0;
        let runtime = client.runtime();
        let mut accumulator = shared.lock();
        if accumulator.is_closed {
            return Err(Error::Closed);
        }
        if accumulator.buffered_bytes > 0
            && accumulator.buffered_bytes + bytes > settings.buffer_bytes
        {
            return Ok(None);
        }
        let partition = match (message.partition, &message.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of_key(key, count),
            (None, None) => {
                let random = || runtime.random();
                accumulator.sticky_partition(&message.topic, count, settings.batch_bytes, random)
            }
        };
        let partition = TopicPartition { topic: message.topic.clone(), partition };
        let timestamp = message.timestamp.unwrap_or_else(|| runtime.wall_clock());
        let (receipt, wake) =
            accumulator.append(partition, message, timestamp, runtime.now(), settings);
        drop(accumulator);
        if wake == Wake::Sender {
            shared.work.notify_one();
        }
        Ok(Some(receipt))
    }

    /// A partition that was named must exist, at least after a second look.
    async fn check_partition(&self, message: &Message, count: i32) -> Result<(), Error> {
        let Some(partition) = message.partition else { return Ok(()) };
        if (0..count).contains(&partition.0) {
            return Ok(());
        }
        let topic = std::slice::from_ref(&message.topic);
        let cluster = self.0.client.refresh(Some(topic), MissingTopic::Leave).await?;
        let known = cluster.topics.get(&message.topic);
        if known.is_some_and(|topic| topic.partitions.contains_key(&partition)) {
            return Ok(());
        }
        Err(Error::Refused {
            what: format!("partition {}-{partition}", message.topic),
            code: ErrorCode::UnknownTopicOrPartition,
            message: Some(format!("the topic has {count} partitions")),
        })
    }

    async fn look_at(&self, name: &TopicName) -> Result<i32, Error> {
        let topic = self.0.client.topic(name, MissingTopic::Create).await?;
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        if count == 0 {
            return Err(Error::NoLeader { what: format!("topic {name}") });
        }
        self.0.shared.lock().partition_counts.insert(name.clone(), count);
        Ok(count)
    }

    /// Sends a record and waits until it is written.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send) and [`Receipt::wait`].
    pub async fn send_and_wait(&self, message: Message) -> Result<Delivered, Error> {
        self.send(message).await?.wait().await
    }

    /// Waits until everything accepted so far is written or given up.
    pub async fn flush(&self) {
        let under_way = self.0.shared.lock().close_batches();
        self.0.shared.work.notify_one();
        for fate in under_way {
            // Whoever holds the receipt hears of failures.
            let _ = fate.decided().await;
        }
    }
}

impl<R: Runtime> Drop for Handle<R> {
    fn drop(&mut self) {
        let mut accumulator = self.shared.lock();
        accumulator.is_closed = true;
        accumulator.close_batches();
        drop(accumulator);
        self.shared.work.notify_one();
    }
}

fn size_of(message: &Message) -> usize {
    let length = |field: &Option<Bytes>| field.as_ref().map_or(0, Bytes::len);
    let headers: usize = message.headers.iter().map(|(key, value)| key.len() + length(value)).sum();
    length(&message.key) + length(&message.value) + headers
}

/// Stays below what a connection queues, so that a request never waits to be handed over.
const IN_FLIGHT_MOST: usize = 32;
