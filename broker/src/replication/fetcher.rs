//! Followers' fetchers: for each leader's broker a few tasks, each with its share of the partitions that follow it.
//!
//! A task asks for all of its partitions at once, in one request at a time, from where their logs end: an offset that is
//! asked for says that everything below is here, and durable where each message is flushed. What comes is appended, or the
//! log is cut where it parts from the leader's; each change names the leader epoch it was decided in, and the log refuses it
//! in a newer one. A partition that cannot go on pauses alone (`replica.fetch.backoff.ms`).
//!
//! Memory is bounded by one answer for each task; every wait for the leader has a deadline.
//!
//! Source: KIP-101, KIP-227, KIP-595, KIP-903; Kafka's `AbstractFetcherThread`.

mod session;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tracing::{debug, info, warn};

pub(super) use self::session::Asked;
use self::session::{Session, Unbelievable};
use self::wire::{Answer, PartitionAnswer, Place, Replica};
use super::surroundings::Surroundings;
use super::{Partition, divergence};
use crate::client::{Connection, ConnectionSettings, Endpoint, Error};
use crate::environment::{Instant, Runtime, Stop, Stopper, select};
use crate::log::{AppendError, Fault, LogManager};
use crate::model::{
    ErrorCode, LeaderEpoch, NodeId, Offset, OffsetAndEpoch, PartitionIndex, TopicId,
};

/// A partition, as it is named between brokers.
pub(super) type Key = (TopicId, PartitionIndex);

/// How followers fetch; the names in parentheses are Kafka's.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Tasks for each leader's broker (`num.replica.fetchers`).
    pub fetchers_per_leader: usize,
    /// The most of one partition in an answer (`replica.fetch.max.bytes`).
    pub max_bytes: usize,
    /// The most in an answer (`replica.fetch.response.max.bytes`); the first batch comes whole.
    pub response_max_bytes: usize,
    /// The leader waits for so much (`replica.fetch.min.bytes`).
    pub min_bytes: usize,
    /// But not longer than this (`replica.fetch.wait.max.ms`).
    pub wait_max: Duration,
    /// The pause after a failure (`replica.fetch.backoff.ms`).
    pub backoff: Duration,
    /// The longest wait for an answer, or for a connection (`replica.socket.timeout.ms`).
    pub socket_timeout: Duration,
    /// The listener of brokers for brokers (`inter.broker.listener.name`).
    pub listener: String,
}

/// An answer's records may be one batch larger than asked for: larger answers than this, or twice what was asked for, are
/// refused.
const RESPONSE_BYTES: usize = 128 << 20;

/// A partition and the leader it follows.
pub(super) struct Following<R: Runtime> {
    pub(super) partition: Arc<Partition<R>>,
    pub(super) leader: NodeId,
    pub(super) epoch: LeaderEpoch,
}

impl<R: Runtime> Clone for Following<R> {
    fn clone(&self) -> Self {
        let partition = Arc::clone(&self.partition);
        Self { partition, leader: self.leader, epoch: self.epoch }
    }
}

/// All fetchers of a node.
pub(super) struct Fetchers<R: Runtime> {
    surroundings: Arc<Surroundings<R>>,
    logs: Arc<LogManager<R>>,
    options: Arc<FetchOptions>,
    tasks: Mutex<Tasks<R>>,
    stopper: Stopper,
}

/// A leader's broker, and which of the tasks for it.
type Lane = (NodeId, usize);

struct Tasks<R: Runtime> {
    by_lane: BTreeMap<Lane, Arc<Share<R>>>,
    lanes: BTreeMap<Key, Lane>,
}

/// The partitions of one task.
struct Share<R: Runtime> {
    partitions: Mutex<BTreeMap<Key, Member<R>>>,
    changed: Notify,
}

struct Member<R: Runtime> {
    following: Following<R>,
    /// It pauses until then.
    pauses_until: Option<Instant>,
}

impl<R: Runtime> Fetchers<R> {
    pub(super) fn new(
        surroundings: Arc<Surroundings<R>>,
        logs: Arc<LogManager<R>>,
        options: FetchOptions,
    ) -> Self {
        let tasks = Mutex::new(Tasks { by_lane: BTreeMap::new(), lanes: BTreeMap::new() });
        Self { surroundings, logs, options: Arc::new(options), tasks, stopper: Stopper::new() }
    }

    /// Takes over whom partitions follow now; `None` for those that follow nobody any more.
    pub(super) fn follow(&self, changes: Vec<(Key, Option<Following<R>>)>) {
        let mut touched = BTreeSet::new();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, following) in changes {
            let lane = following.as_ref().map(|following| self.lane(key, following.leader));
            let before = match lane {
                Some(lane) => tasks.lanes.insert(key, lane),
                None => tasks.lanes.remove(&key),
            };
            if let Some(share) = before.and_then(|before| tasks.by_lane.get(&before)) {
                share.lock().remove(&key);
            }
            if let (Some(lane), Some(following)) = (lane, following) {
                let share = tasks.by_lane.entry(lane).or_insert_with(|| self.start(lane));
                share.lock().insert(key, Member { following, pauses_until: None });
                touched.insert(lane);
            }
        }
        for share in touched.iter().filter_map(|lane| tasks.by_lane.get(lane)) {
            share.changed.notify_one();
        }
    }

    /// Lets all look again: this broker has been registered.
    pub(super) fn wake(&self) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for share in tasks.by_lane.values() {
            share.changed.notify_one();
        }
    }

    /// Ends all tasks.
    pub(super) fn stop(&self) {
        self.stopper.pull();
    }

    fn lane(&self, (topic, partition): Key, leader: NodeId) -> Lane {
        let spread = topic.0.as_u128().wrapping_add(u128::from(partition.0.unsigned_abs()));
        let count = self.options.fetchers_per_leader.max(1);
        (leader, usize::try_from(spread % count as u128).unwrap_or(0))
    }

    fn start(&self, (leader, number): Lane) -> Arc<Share<R>> {
        let share = Arc::new(Share { partitions: Mutex::default(), changed: Notify::new() });
        let fetcher = Fetcher {
            surroundings: Arc::clone(&self.surroundings),
            logs: Arc::clone(&self.logs),
            options: Arc::clone(&self.options),
            share: Arc::clone(&share),
            leader,
            connection: None,
            session: Session::default(),
            is_session_refused: false,
        };
        info!(%leader, number, "a fetcher starts");
        self.surroundings.runtime.spawn("replica fetcher", fetcher.run(self.stopper.stop()));
        share
    }
}

impl<R: Runtime> Share<R> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Member<R>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What can be asked at once, and when the next pause ends. Who does not follow any more is left out.
    fn ready(&self, now: Instant) -> (BTreeMap<Key, Asked>, Vec<Following<R>>, Instant) {
        let mut next = Instant::FAR;
        let (mut asked, mut following) = (BTreeMap::new(), Vec::new());
        for (key, member) in self.lock().iter_mut() {
            if let Some(until) = member.pauses_until.filter(|until| *until > now) {
                next = next.min(until);
                continue;
            }
            member.pauses_until = None;
            if let Some(position) = member.following.partition.position(member.following.epoch) {
                asked.insert(*key, position);
                following.push(member.following.clone());
            }
        }
        (asked, following, next)
    }

    /// Lets a partition pause, unless it follows somebody else by now.
    fn pause(&self, key: Key, epoch: LeaderEpoch, until: Instant) {
        if let Some(member) = self.lock().get_mut(&key)
            && member.following.epoch == epoch
        {
            member.pauses_until = Some(until);
        }
    }
}

/// How a partition goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// At once: the log is a beginning of the leader's.
    GoOn,
    /// At once, but the log has been cut and must be compared again.
    Compare,
    /// What was appended must be durable first.
    Flush,
    /// After a pause.
    Pause,
}

/// One task.
struct Fetcher<R: Runtime> {
    surroundings: Arc<Surroundings<R>>,
    logs: Arc<LogManager<R>>,
    options: Arc<FetchOptions>,
    share: Arc<Share<R>>,
    leader: NodeId,
    connection: Option<Connection<R>>,
    session: Session,
    /// The last answer refused the session.
    is_session_refused: bool,
}

impl<R: Runtime> Fetcher<R> {
    async fn run(mut self, stop: Stop) {
        loop {
            let runtime = self.surroundings.runtime.clone();
            let (asked, following, next) = self.share.ready(runtime.now());
            let Some(epoch) = self.surroundings.broker_epoch().filter(|_| !asked.is_empty()) else {
                select! {
                    () = stop.stopped() => return,
                    () = self.share.changed.notified() => {}
                    () = runtime.sleep_until(next) => {}
                }
                continue;
            };
            let replica = Replica { id: self.surroundings.node, epoch };
            let fetched = select! {
                () = stop.stopped() => return,
                fetched = self.fetch(replica, &asked) => fetched,
            };
            match fetched {
                Ok(answer) => self.take(replica, &asked, &following, answer).await,
                Err(error) => {
                    debug!(leader = %self.leader, %error, "nothing was fetched");
                    select! {
                        () = stop.stopped() => return,
                        () = runtime.sleep(self.options.backoff) => {}
                    }
                }
            }
        }
    }

    async fn fetch(
        &mut self,
        replica: Replica,
        asked: &BTreeMap<Key, Asked>,
    ) -> Result<Answer, String> {
        let request = self.session.request(asked);
        let answered = match self.connect().await {
            Ok(connection) => wire::fetch(&connection, replica, &request, &self.options).await,
            Err(error) => Err(error),
        };
        match answered {
            Err(error) => {
                self.session.lost();
                self.connection = None;
                Err(error.to_string())
            }
            Ok(answer) => {
                let keys: Vec<Key> = answer.partitions.iter().map(|(key, _)| *key).collect();
                let judged = self.session.answered(answer.error, answer.session_id, &keys);
                let was_refused = self.is_session_refused;
                self.is_session_refused = matches!(judged, Err(Unbelievable::Refused(_)));
                match judged {
                    // The leader has forgotten the session: the next request begins another, at once.
                    Err(Unbelievable::Refused(_)) if !was_refused => {
                        Ok(Answer { partitions: Vec::new(), ..answer })
                    }
                    judged => judged.map(|()| answer).map_err(|error| error.to_string()),
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<Connection<R>, Error> {
        if let Some(open) = self.connection.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let image = self.surroundings.image();
        let broker = image.cluster().broker(self.leader);
        let endpoint = broker.and_then(|broker| broker.endpoint(&self.options.listener));
        let Some(endpoint) = endpoint else {
            let why = format!("broker {} has no listener {}", self.leader, self.options.listener);
            return Err(Error::Invalid { why });
        };
        let settings = ConnectionSettings {
            client_id: format!("broker-{}-fetcher", self.surroundings.node).into(),
            request_timeout: self.options.socket_timeout,
            connect_timeout: self.options.socket_timeout,
            response_bytes_max: RESPONSE_BYTES.max(self.options.response_max_bytes * 2),
        };
        let endpoint = Endpoint::new(endpoint.host.as_str(), endpoint.port);
        let opened =
            Connection::open(self.surroundings.runtime.clone(), endpoint, settings).await?;
        self.connection = Some(opened.clone());
        Ok(opened)
    }

    /// Brings what was answered into the logs.
    async fn take(
        &self,
        replica: Replica,
        asked: &BTreeMap<Key, Asked>,
        following: &[Following<R>],
        answer: Answer,
    ) {
        let by_key: BTreeMap<Key, (&Asked, &Following<R>)> =
            asked.iter().zip(following).map(|((key, asked), of)| (*key, (asked, of))).collect();
        let mut unflushed = Vec::new();
        let mut has_begun_later = false;
        for (key, answer) in answer.partitions {
            let Some((asked, following)) = by_key.get(&key) else { continue };
            let outcome = (answer.high_watermark, answer.log_start);
            match self.take_one(replica, asked, following, answer).await {
                Next::GoOn => {
                    has_begun_later |= following.partition.learn(asked.epoch, outcome).await;
                }
                // How far the leader has committed says nothing about a log that may still part from it.
                Next::Compare => {}
                Next::Flush => unflushed.push((*following, outcome)),
                Next::Pause => self.pause(key, asked.epoch),
            }
        }
        // The next request says that all this is here: whoever counts on that must not lose it with the power.
        let flushes = unflushed.into_iter().map(async |(following, outcome)| {
            let partition = &following.partition;
            match partition.flush(partition.log().log_end_offset()).await {
                Ok(()) => partition.learn(following.epoch, outcome).await,
                Err(fault) => {
                    self.fail(partition, &fault);
                    false
                }
            }
        });
        has_begun_later |= join_all(flushes).await.contains(&true);
        // It says, too, where logs begin here: what was deleted must not come back with this replica after a power loss.
        if has_begun_later {
            self.logs.checkpoint_log_starts().await;
        }
    }

    async fn take_one(
        &self,
        replica: Replica,
        asked: &Asked,
        following: &Following<R>,
        answer: PartitionAnswer,
    ) -> Next {
        let partition = &following.partition;
        #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else it is, it may pass")]
        match answer.error {
            ErrorCode::None => match answer.diverging {
                Some(told) => self.part(asked, following, told).await,
                None => {
                    let appended =
                        partition.append_fetched(&self.logs, asked, answer.records).await;
                    match appended {
                        Ok(true) => Next::Flush,
                        Ok(false) => Next::GoOn,
                        Err(error) => {
                            warn!(partition = %partition.topic_partition(), %error, "what the leader sent was not appended");
                            if let AppendError::Fault(fault) = &error {
                                self.fail(partition, fault);
                            }
                            Next::Pause
                        }
                    }
                }
            },
            ErrorCode::OffsetOutOfRange => {
                self.find_range(replica, asked, following, Place::Start).await
            }
            ErrorCode::OffsetMovedToTieredStorage => {
                self.find_range(replica, asked, following, Place::LocalStart).await
            }
            // Metadata are late here or there, or the leader's disk has failed.
            code => {
                debug!(partition = %partition.topic_partition(), %code, "the leader has no records for us");
                Next::Pause
            }
        }
    }

    /// The log parts from the leader's: it is cut, and compared again.
    async fn part(&self, asked: &Asked, following: &Following<R>, told: OffsetAndEpoch) -> Next {
        let (partition, log) = (&following.partition, following.partition.log());
        let own = log.end_offset_for_epoch(told.epoch);
        let to = divergence::truncation_point(told, own, log.log_end_offset());
        self.cut(asked, partition, to).await;
        if partition.is_at(asked) {
            // It would be told the same again and again.
            warn!(partition = %partition.topic_partition(), epoch = %told.epoch, end = %told.offset, "the leader's log cannot be compared with ours");
            return Next::Pause;
        }
        Next::Compare
    }

    async fn cut(&self, asked: &Asked, partition: &Partition<R>, to: Offset) {
        if !partition.is_at(asked) {
            return;
        }
        let high_watermark = partition.log().high_watermark();
        if to < high_watermark {
            warn!(partition = %partition.topic_partition(), %to, %high_watermark, "committed records are cut off: the leader was elected without them");
        }
        let name = partition.topic_partition();
        if let Err(fault) = self.logs.truncate_as_follower(name, to, asked.epoch).await {
            self.fail(partition, &fault);
        }
    }

    /// The leader has nothing at our log's end: its log ends before ours, or begins after.
    async fn find_range(
        &self,
        replica: Replica,
        asked: &Asked,
        following: &Following<R>,
        start: Place,
    ) -> Next {
        let partition = &following.partition;
        let found = async {
            let end = self.ask_offset(replica, asked, partition, Place::End).await?;
            if end < asked.offset {
                self.cut(asked, partition, end).await;
                return Some(());
            }
            let start = self.ask_offset(replica, asked, partition, start).await?;
            if start <= asked.offset {
                return None;
            }
            info!(partition = %partition.topic_partition(), %start, end = %asked.offset, "the leader's log begins after ours ends");
            let name = partition.topic_partition();
            let over = self.logs.start_over_as_follower(name, start, asked.epoch).await;
            over.inspect_err(|fault| self.fail(partition, fault)).ok()
        };
        if found.await.is_some() { Next::Compare } else { Next::Pause }
    }

    async fn ask_offset(
        &self,
        replica: Replica,
        asked: &Asked,
        partition: &Partition<R>,
        place: Place,
    ) -> Option<Offset> {
        let connection = self.connection.as_ref()?;
        let of = (partition.topic_partition(), asked.epoch);
        let limit = self.options.socket_timeout;
        match wire::list_offset(connection, replica, of, place, limit).await {
            Ok(Ok(offset)) => Some(offset),
            Ok(Err(code)) => {
                debug!(partition = %partition.topic_partition(), %code, ?place, "the leader does not say");
                None
            }
            Err(error) => {
                debug!(partition = %partition.topic_partition(), %error, ?place, "the leader does not say");
                None
            }
        }
    }

    fn pause(&self, key: Key, epoch: LeaderEpoch) {
        self.share.pause(key, epoch, self.surroundings.runtime.now() + self.options.backoff);
    }

    fn fail(&self, partition: &Partition<R>, fault: &Fault) {
        self.logs.log_failed(partition.topic_partition(), fault);
        if !fault.is_out_of_files() {
            partition.go_offline();
        }
    }
}
