use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::metadata_request::MetadataRequest;
use kafka_protocol::protocol::Request;
use tokio::sync::oneshot;

use super::cluster::{Cluster, MissingTopic, Topic, node, request};
use super::connection::{Connection, ConnectionSettings};
use super::error::{Endpoint, Error};
use super::wire::text;
use crate::environment::{Instant, Runtime};
use crate::model::{ErrorCode, GroupId, NodeId, TopicName, TopicPartition};

/// How a client behaves; the names in parentheses are Kafka's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to ask first (`bootstrap.servers`).
    pub bootstrap: Vec<Endpoint>,
    /// Sent with every request (`client.id`).
    pub client_id: Arc<str>,
    /// The longest wait for one answer (`request.timeout.ms`).
    pub request_timeout: Duration,
    /// The longest wait for a connection (`socket.connection.setup.timeout.ms`).
    pub connect_timeout: Duration,
    /// The longest time for one task with all its attempts (`default.api.timeout.ms`).
    pub task_timeout: Duration,
    /// The longest time until some broker of the bootstrap list answers for the first time.
    pub bootstrap_timeout: Duration,
    /// The first pause between attempts; it doubles up to [`retry_backoff_max`](Self::retry_backoff_max)
    /// (`retry.backoff.ms`).
    pub retry_backoff: Duration,
    /// The longest pause between attempts (`retry.backoff.max.ms`).
    pub retry_backoff_max: Duration,
    /// The largest answer taken, in bytes.
    pub response_bytes_max: usize,
}

impl Settings {
    /// Kafka's defaults, with brokers to ask first.
    #[must_use]
    pub fn new(bootstrap: Vec<Endpoint>) -> Self {
        Self {
            bootstrap,
            client_id: "ottla".into(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            task_timeout: Duration::from_secs(60),
            bootstrap_timeout: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            response_bytes_max: 128 << 20,
        }
    }

    fn connection(&self) -> ConnectionSettings {
        ConnectionSettings {
            client_id: Arc::clone(&self.client_id),
            request_timeout: self.request_timeout,
            connect_timeout: self.connect_timeout,
            response_bytes_max: self.response_bytes_max,
        }
    }
}

/// A way into the cluster; clones share connections and knowledge. Nothing is connected before it is needed.
#[derive(Clone, Debug)]
pub struct Client<R: Runtime>(Arc<Inner<R>>);

#[derive(Debug)]
struct Inner<R: Runtime> {
    runtime: R,
    settings: Settings,
    connections: Mutex<BTreeMap<(Lane, Endpoint), Slot<R>>>,
    cluster: Mutex<Arc<Cluster>>,
    coordinators: Mutex<BTreeMap<GroupId, NodeId>>,
    created: Instant,
}

/// One connection, dialled by one at a time.
type Slot<R> = Arc<tokio::sync::Mutex<Option<Connection<R>>>>;

/// A broker works on one request of a connection at a time: what it may hold back (`Fetch`, `JoinGroup`) travels apart from
/// what must not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Admin,
    Produce,
    Fetch,
    Coordinator,
}

/// Pauses between attempts, and their end.
#[derive(Debug)]
pub struct Retry<R: Runtime> {
    runtime: R,
    started: Instant,
    limit: Duration,
    pause: Duration,
    pause_max: Duration,
}

impl<R: Runtime> Retry<R> {
    /// Pauses of one task that begins now and may take `limit`; the first and the longest of them.
    #[must_use]
    pub fn new(runtime: R, limit: Duration, (pause, pause_max): (Duration, Duration)) -> Self {
        let started = runtime.now();
        Self { runtime, started, limit, pause, pause_max }
    }

    /// Waits before another attempt.
    ///
    /// # Errors
    ///
    /// `error` itself when another attempt is of no use; [`Error::GaveUp`] when time is up.
    pub async fn after(&mut self, error: Error) -> Result<(), Error> {
        if !error.is_retriable() {
            return Err(error);
        }
        let spent = self.runtime.now().since(self.started);
        if spent + self.pause > self.limit {
            return Err(Error::GaveUp { after: spent, last: Box::new(error) });
        }
        // Between 80 % and 120 %, so that clients that failed together do not come back together.
        let jitter = 80 + u32::try_from(self.runtime.random() % 41).unwrap_or(0);
        self.runtime.sleep(self.pause * jitter / 100).await;
        self.pause = (self.pause * 2).min(self.pause_max);
        Ok(())
    }
}

impl<R: Runtime> Client<R> {
    /// A client that has not connected yet.
    #[must_use]
    pub fn new(runtime: R, settings: Settings) -> Self {
        let created = runtime.now();
        Self(Arc::new(Inner {
            created,
            runtime,
            settings,
            connections: Mutex::default(),
            cluster: Mutex::default(),
            coordinators: Mutex::default(),
        }))
    }

    /// The world this client lives in.
    #[must_use]
    pub fn runtime(&self) -> &R {
        &self.0.runtime
    }

    /// How it behaves.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What is known of the cluster, without asking.
    #[must_use]
    pub fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&lock(&self.0.cluster))
    }

    /// Asks a broker about these topics, or about all, and answers with the whole of what is known then.
    ///
    /// # Errors
    ///
    /// When no broker answers in time. A topic that does not exist is no error: it is not in the answer.
    pub async fn refresh(
        &self,
        topics: Option<&[TopicName]>,
        missing: MissingTopic,
    ) -> Result<Arc<Cluster>, Error> {
        let mut retry = self.retry();
        loop {
            match self.refresh_once(topics, missing).await {
                Ok((cluster, _)) => return Ok(cluster),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// One topic, asked for until it exists or time is up when it may be created.
    ///
    /// # Errors
    ///
    /// The broker's refusal, such as `UNKNOWN_TOPIC_OR_PARTITION`; or when no broker answers in time.
    pub async fn topic(&self, name: &TopicName, missing: MissingTopic) -> Result<Topic, Error> {
        if let Some(topic) = self.cluster().topics.get(name) {
            return Ok(topic.clone());
        }
        let mut retry = self.retry();
        loop {
            let error = match self.refresh_once(Some(std::slice::from_ref(name)), missing).await {
                Ok((cluster, refused)) => match cluster.topics.get(name) {
                    Some(topic) => return Ok(topic.clone()),
                    None => refusal(name, &refused),
                },
                Err(error) => error,
            };
            if missing == MissingTopic::Leave && error.code().is_some() {
                return Err(error);
            }
            retry.after(error).await?;
        }
    }

    /// One attempt at [`refresh`](Self::refresh), which also names the topics that were refused.
    pub(super) async fn refresh_once(
        &self,
        topics: Option<&[TopicName]>,
        missing: MissingTopic,
    ) -> Result<(Arc<Cluster>, Vec<(TopicName, ErrorCode)>), Error> {
        let connection = self.any(Lane::Admin).await?;
        let version = connection.version_of::<MetadataRequest>(12)?;
        let response = connection.call(&request(topics, missing), version).await?;
        let mut known = lock(&self.0.cluster);
        let mut cluster = Cluster::clone(&known);
        if topics.is_none() {
            cluster.topics.retain(|name, _| {
                response
                    .topics
                    .iter()
                    .any(|t| t.name.as_ref().is_some_and(|n| n.as_str() == name.as_str()))
            });
        }
        let refused = cluster.learn(response);
        *known = Arc::new(cluster);
        Ok((Arc::clone(&known), refused))
    }

    /// Who leads a partition; one look at the cluster when that is not known.
    pub(super) async fn leader(&self, partition: &TopicPartition) -> Result<NodeId, Error> {
        if let Some(known) = self.cluster().leader(partition) {
            return Ok(known);
        }
        let name = std::slice::from_ref(&partition.topic);
        let (cluster, refused) = self.refresh_once(Some(name), MissingTopic::Leave).await?;
        if let Some(known) = self.cluster().leader(partition) {
            return Ok(known);
        }
        let topic = cluster.topics.get(&partition.topic);
        match topic.and_then(|topic| topic.partitions.get(&partition.partition)) {
            Some(_) => Err(Error::NoLeader { what: format!("partition {partition}") }),
            None if topic.is_some() => Err(Error::Refused {
                what: format!("partition {partition}"),
                code: ErrorCode::UnknownTopicOrPartition,
                message: None,
            }),
            None => Err(refusal(&partition.topic, &refused)),
        }
    }

    /// A broker has shown that what we know of a partition is old.
    pub(super) fn forget_leader(&self, partition: &TopicPartition) {
        let mut known = lock(&self.0.cluster);
        let mut cluster = Cluster::clone(&known);
        cluster.forget_leader(&partition.topic, partition.partition);
        *known = Arc::new(cluster);
    }

    /// A broker does not answer: others may lead what it led.
    pub(super) fn forget_leaders_at(&self, node: NodeId) {
        let mut known = lock(&self.0.cluster);
        let mut cluster = Cluster::clone(&known);
        cluster.forget_leaders_at(node);
        *known = Arc::new(cluster);
    }

    /// The broker that coordinates a group; asked once and kept until [`forget_coordinator`](Self::forget_coordinator).
    pub(super) async fn coordinator(&self, group: &GroupId) -> Result<Connection<R>, Error> {
        let known = lock(&self.0.coordinators).get(group).copied();
        let id = match known {
            Some(id) if self.cluster().brokers.contains_key(&id) => id,
            Some(_) | None => self.find_coordinator(group).await?,
        };
        let connection = self.node(id, Lane::Coordinator).await;
        if connection.is_err() {
            self.forget_coordinator(group);
        }
        connection
    }

    async fn find_coordinator(&self, group: &GroupId) -> Result<NodeId, Error> {
        let connection = self.any(Lane::Admin).await?;
        let version = connection.version_of::<FindCoordinatorRequest>(4)?;
        let key = text(group.as_str());
        let request = if version >= 4 {
            FindCoordinatorRequest::default().with_coordinator_keys(vec![key])
        } else {
            FindCoordinatorRequest::default().with_key(key)
        };
        let response = connection.call(&request, version).await?;
        let what = || format!("find the coordinator of group {group}");
        let (id, host, port) = if version >= 4 {
            let Some(found) = response.coordinators.into_iter().next() else {
                let broker = connection.broker().clone();
                let why = "no coordinator and no error".to_owned();
                return Err(Error::Malformed { broker, what: what(), why });
            };
            Error::check(what, found.error_code, found.error_message.as_deref())?;
            (found.node_id.0, found.host, found.port)
        } else {
            Error::check(what, response.error_code, response.error_message.as_deref())?;
            (response.node_id.0, response.host, response.port)
        };
        let endpoint = u16::try_from(port).ok().map(|port| Endpoint::new(host.as_str(), port));
        let (Some(id), Some(endpoint)) = (node(id), endpoint) else {
            return Err(Error::Refused {
                what: what(),
                code: ErrorCode::CoordinatorNotAvailable,
                message: None,
            });
        };
        let mut known = lock(&self.0.cluster);
        if !known.brokers.contains_key(&id) {
            let mut cluster = Cluster::clone(&known);
            cluster.brokers.insert(id, super::Broker { id, endpoint, rack: None });
            *known = Arc::new(cluster);
        }
        drop(known);
        lock(&self.0.coordinators).insert(group.clone(), id);
        Ok(id)
    }

    /// A broker has said that it does not coordinate this group, or cannot be reached.
    pub(super) fn forget_coordinator(&self, group: &GroupId) {
        lock(&self.0.coordinators).remove(group);
    }

    /// Asks the coordinator of a group, looking for it again when it has moved.
    pub(super) async fn call_coordinator<Q: Request>(
        &self,
        group: &GroupId,
        request: &Q,
        newest: i16,
        after: Duration,
    ) -> Result<(Q::Response, i16), Error> {
        let connection = self.coordinator(group).await?;
        let version = connection.version_of::<Q>(newest)?;
        let response = connection.call_within(request, version, after).await;
        if response.is_err() {
            self.forget_coordinator(group);
        }
        Ok((response?, version))
    }

    /// Asks some broker.
    pub(super) async fn call_any<Q: Request>(
        &self,
        request: &Q,
        newest: i16,
    ) -> Result<Q::Response, Error> {
        let connection = self.any(Lane::Admin).await?;
        let version = connection.version_of::<Q>(newest)?;
        connection.call(request, version).await
    }

    /// A connection to a broker by its id.
    pub(super) async fn node(&self, id: NodeId, lane: Lane) -> Result<Connection<R>, Error> {
        let Some(broker) = self.cluster().brokers.get(&id).cloned() else {
            return Err(Error::Refused {
                what: format!("broker {id}"),
                code: ErrorCode::BrokerNotAvailable,
                message: Some("it is not alive".to_owned()),
            });
        };
        self.connect(broker.endpoint, lane).await
    }

    /// A connection to some broker: mostly an open one before a new one, known brokers before the bootstrap list.
    pub(super) async fn any(&self, lane: Lane) -> Result<Connection<R>, Error> {
        let mut candidates: Vec<Endpoint> =
            self.cluster().brokers.values().map(|broker| broker.endpoint.clone()).collect();
        if candidates.len() > 1 {
            let first =
                usize::try_from(self.0.runtime.random() >> 33).unwrap_or(0) % candidates.len();
            candidates.rotate_left(first);
        }
        for endpoint in &self.0.settings.bootstrap {
            if !candidates.contains(endpoint) {
                candidates.push(endpoint.clone());
            }
        }
        // A broker that has lost the others tells for ever what it last heard, perhaps that there is no other: now and then any
        // one is asked.
        let draw = if candidates.len() < 2 { 1 } else { self.0.runtime.random() };
        let is_open_enough = !draw.is_multiple_of(OTHERS_EVERY);
        if !is_open_enough {
            let first = usize::try_from(draw >> 33).unwrap_or(0) % candidates.len();
            candidates.rotate_left(first);
        }
        for endpoint in candidates.iter().filter(|_| is_open_enough) {
            if let Some(open) = self.open_already(endpoint, lane) {
                return Ok(open);
            }
        }
        let mut last = Error::Invalid { why: "no bootstrap address was given".to_owned() };
        for endpoint in candidates {
            match self.connect(endpoint, lane).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        if matches!(last, Error::Invalid { .. }) {
            return Err(last);
        }
        let last = Box::new(Error::NoBroker { last: Box::new(last) });
        let after = self.0.runtime.now().since(self.0.created);
        let was_there = !self.cluster().brokers.is_empty();
        if was_there || after < self.0.settings.bootstrap_timeout {
            Err(*last)
        } else {
            Err(Error::GaveUp { after, last })
        }
    }

    fn open_already(&self, endpoint: &Endpoint, lane: Lane) -> Option<Connection<R>> {
        let slot = lock(&self.0.connections).get(&(lane, endpoint.clone())).cloned()?;
        let connection = slot.try_lock().ok()?.clone()?;
        (!connection.is_closed()).then_some(connection)
    }

    /// Dials in a task of its own: a caller that is not polled any more for a while, such as a fetch of a consumer that joins
    /// its group, must not keep the slot from others, who may be what it waits for.
    async fn connect(&self, endpoint: Endpoint, lane: Lane) -> Result<Connection<R>, Error> {
        if let Some(open) = self.open_already(&endpoint, lane) {
            return Ok(open);
        }
        let (sender, receiver) = oneshot::channel();
        let client = self.clone();
        self.0.runtime.spawn("client-connect", async move {
            // Fails only when the caller has gone; the connection is there for the next one.
            let _ = sender.send(client.dial(endpoint, lane).await);
        });
        receiver.await.unwrap_or(Err(Error::Closed))
    }

    async fn dial(&self, endpoint: Endpoint, lane: Lane) -> Result<Connection<R>, Error> {
        let slot = {
            let mut connections = lock(&self.0.connections);
            Arc::clone(connections.entry((lane, endpoint.clone())).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        *slot = None;
        let settings = self.0.settings.connection();
        let connection = Connection::open(self.0.runtime.clone(), endpoint, settings).await?;
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// The pauses of one task.
    pub(super) fn retry(&self) -> Retry<R> {
        self.retry_for(self.0.settings.task_timeout)
    }

    /// The pauses of one task that may take this long.
    pub(super) fn retry_for(&self, limit: Duration) -> Retry<R> {
        let pauses = (self.0.settings.retry_backoff, self.0.settings.retry_backoff_max);
        Retry::new(self.0.runtime.clone(), limit, pauses)
    }
}

/// Of so many questions to just any broker one goes to whichever chance picks.
const OTHERS_EVERY: u64 = 4;

pub(super) fn refusal(name: &TopicName, refused: &[(TopicName, ErrorCode)]) -> Error {
    let code = refused.iter().find(|(refused, _)| refused == name).map(|(_, code)| *code);
    Error::Refused {
        what: format!("topic {name}"),
        code: code.unwrap_or(ErrorCode::UnknownTopicOrPartition),
        message: None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::environment::tokio::TokioRuntime;
    use crate::environment::{Listener as _, timeout};

    #[tokio::test]
    async fn caller_that_is_not_polled_keeps_nobody_from_connecting() {
        let runtime = TokioRuntime::new();
        let listener = runtime.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let broker = Endpoint::new("127.0.0.1", listener.local_address().port());
        // It accepts, and never says a word.
        let settings =
            Settings { request_timeout: Duration::from_millis(50), ..Settings::new(vec![broker]) };
        let client = Client::new(runtime.clone(), settings);
        let mut forgotten = pin!(client.any(Lane::Admin));
        let first = forgotten.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(first.is_pending());
        let other = timeout(&runtime, Duration::from_secs(20), client.any(Lane::Admin)).await;
        assert!(matches!(other, Ok(Err(Error::NoBroker { .. }))), "{other:?}");
        drop(listener);
    }
}
