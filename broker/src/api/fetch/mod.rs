//! Fetch: records from the leaders of partitions. Source: KIP-74 (limits), KIP-227 (sessions), KIP-516 (ids), KIP-951;
//! KIP-392 (replicas near a consumer), KIP-903 (followers name their registration).
//!
//! Records are found as pieces of files and leave as such. A fetch that finds less than `min_bytes` waits for any of its
//! partitions to move, or for its time; then everything is looked at once more.

mod metadata_log;
mod response;

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::fetch_request::FetchTopic;
use kafka_protocol::messages::{ApiKey, FetchRequest};
use kafka_protocol::protocol::StrBytes;

use super::context::{RequestContext, Services};
use super::endpoints::address_of;
use super::reply::{Reply, Response, Verdict};
use super::wire::topic as topic_name;
use crate::environment::{Instant, Runtime, select};
use crate::model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId};
use crate::protocol::ListenerRole;
use crate::replication::{
    Claim, FetchContext, FollowerFetch, Isolation, Limit, Outcome, Partition, PartitionFetch,
    PartitionRead, Source, Told, TopicKey, Waiter,
};
use response::{Endpoint, FetchAnswer, PartitionAnswer, encode};

/// Fetch names topics by id from here on.
const BY_ID: i16 = 13;

/// Sessions exist from here on.
const SESSIONS: i16 = 7;

/// Consumers say where they are, and may fetch from followers, from here on. Source: KIP-392.
const ANY_REPLICA: i16 = 11;

/// Followers name their registration from here on. Source: KIP-903.
const FOLLOWERS_TELL_EPOCH: i16 = 15;

/// The one `replica.selector.class` there is besides none.
const RACK_AWARE_SELECTOR: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

/// A fetch under way.
struct Fetching<R: Runtime> {
    context: RequestContext<R>,
    session: FetchContext,
    max_bytes: u64,
    min_bytes: u64,
    reader: Reader,
}

/// Who fetches.
enum Reader {
    Consumer {
        isolation: Isolation,
        from: Source,
        /// Where it is (`client.rack`), when the node looks for replicas near it.
        rack: Option<StrBytes>,
    },
    Follower(FollowerFetch),
}

pub(super) async fn handle<R: Runtime>(
    context: RequestContext<R>,
    request: FetchRequest,
) -> Reply<R::File> {
    if context.peer.role == ListenerRole::Controller {
        let outcome = metadata_log::handle(&context, &request);
        return context.reply_context().encode(ApiKey::Fetch, outcome);
    }
    let version = context.version();
    let by_id = version >= BY_ID;
    let reader = reader_of(&context, &request);
    let is_follower = matches!(reader, Reader::Follower(_));
    let correlation_id = context.header.correlation_id;
    let claim = if version >= SESSIONS {
        Claim { session_id: request.session_id, epoch: request.session_epoch }
    } else {
        Claim { session_id: 0, epoch: -1 }
    };
    let asked = request.topics.iter().flat_map(|topic| partitions_of(topic, by_id)).collect();
    let forgotten: Vec<_> = request
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| {
            let key = key_of(by_id, TopicId(topic.topic_id), &topic.topic);
            topic.partitions.iter().map(move |partition| (key.clone(), PartitionIndex(*partition)))
        })
        .collect();
    let now = context.services.runtime.now();
    let begun =
        context.services.fetch_sessions.begin(now, claim, by_id, is_follower, (asked, &forgotten));
    let session = match begun {
        Ok(session) => session,
        Err(error) => {
            let answer =
                FetchAnswer { error, session_id: 0, topics: Vec::new(), endpoints: Vec::new() };
            return Reply::Now(encode(answer, version, correlation_id));
        }
    };
    let broker_max = u64::try_from(context.services.config.replication.client_fetch_max_bytes)
        .unwrap_or(u64::MAX);
    let asked_max = u64::try_from(request.max_bytes).unwrap_or(0);
    let max_bytes = if is_follower { asked_max } else { asked_max.min(broker_max) };
    let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0).min(max_bytes);
    let deadline = now.plus_millis(i64::from(request.max_wait_ms));
    let fetching = Fetching { context, session, max_bytes, min_bytes, reader };
    let reads = fetching.read_all().await;
    if request.max_wait_ms <= 0 || fetching.is_enough(&reads) {
        return Reply::Now(fetching.answer(reads));
    }
    Reply::Later(Box::pin(async move { Verdict::Answer(fetching.wait(deadline).await) }))
}

/// A replica id in the request says that a broker fetches for its copy.
fn reader_of<R: Runtime>(context: &RequestContext<R>, request: &FetchRequest) -> Reader {
    let version = context.version();
    let (replica, epoch) = if version >= FOLLOWERS_TELL_EPOCH {
        (request.replica_state.replica_id.0, request.replica_state.replica_epoch)
    } else {
        (request.replica_id.0, -1)
    };
    if replica >= 0 {
        let broker_epoch = Some(epoch).filter(|epoch| *epoch >= 0).map(BrokerEpoch);
        return Reader::Follower(FollowerFetch { id: NodeId(replica), broker_epoch });
    }
    let isolation = if request.isolation_level == 1 {
        Isolation::ReadCommitted
    } else {
        Isolation::ReadUncommitted
    };
    let from = if version >= ANY_REPLICA { Source::AnyReplica } else { Source::Leader };
    let selector = context.services.config.replication.selector_class.as_deref();
    let looks_for_near = selector.is_some_and(|class| class == RACK_AWARE_SELECTOR);
    let is_told = looks_for_near && version >= ANY_REPLICA && !request.rack_id.is_empty();
    Reader::Consumer { isolation, from, rack: is_told.then(|| request.rack_id.clone()) }
}

fn key_of(by_id: bool, id: TopicId, name: &kafka_protocol::messages::TopicName) -> TopicKey {
    if by_id { TopicKey::Id(id) } else { TopicKey::Name(topic_name(name)) }
}

fn partitions_of(topic: &FetchTopic, by_id: bool) -> impl Iterator<Item = PartitionFetch> {
    let key = key_of(by_id, TopicId(topic.topic_id), &topic.topic);
    topic.partitions.iter().map(move |partition| PartitionFetch {
        topic: key.clone(),
        partition: PartitionIndex(partition.partition),
        offset: partition.fetch_offset,
        max_bytes: partition.partition_max_bytes,
        current_leader_epoch: LeaderEpoch::from_wire(partition.current_leader_epoch),
        last_fetched_epoch: LeaderEpoch::from_wire(partition.last_fetched_epoch),
        log_start_offset: partition.log_start_offset,
    })
}

impl<R: Runtime> Fetching<R> {
    fn services(&self) -> &Arc<Services<R>> {
        &self.context.services
    }

    /// Looks at every partition once, in the session's order, within the limits: the first that has something gives at least
    /// one whole batch, whatever the limits.
    async fn read_all(&self) -> Vec<PartitionRead<R::File>> {
        let mut left = self.max_bytes;
        let mut is_first = true;
        let mut reads = Vec::with_capacity(self.session.partitions.len());
        let runtime = &self.services().runtime;
        for fetch in &self.session.partitions {
            let read = match self.services().replicas.partition(&fetch.topic, fetch.partition) {
                Err(ErrorCode::NotLeaderOrFollower) => {
                    let replicas = &self.services().replicas;
                    PartitionRead {
                        current_leader: replicas.leader_of(&fetch.topic, fetch.partition),
                        ..PartitionRead::refused(ErrorCode::NotLeaderOrFollower)
                    }
                }
                Err(code) => PartitionRead::refused(code),
                Ok(_) if runtime.buggify("fetch.spurious_error") => {
                    PartitionRead::refused(ErrorCode::NotLeaderOrFollower)
                }
                Ok(partition) => {
                    let bytes = left.min(u64::try_from(fetch.max_bytes).unwrap_or(0));
                    self.read(&partition, fetch, Limit { bytes, minimum_one_batch: is_first }).await
                }
            };
            left = left.saturating_sub(read.bytes());
            is_first &= read.bytes() == 0;
            reads.push(read);
        }
        reads
    }

    async fn read(
        &self,
        partition: &Partition<R>,
        fetch: &PartitionFetch,
        limit: Limit,
    ) -> PartitionRead<R::File> {
        match &self.reader {
            Reader::Follower(follower) => {
                partition.read_for_follower(*follower, fetch, limit).await
            }
            Reader::Consumer { isolation, from, rack: None } => {
                partition.read(fetch, limit, (*isolation, *from)).await
            }
            Reader::Consumer { isolation, from, rack: Some(rack) } => {
                let read = partition.read(fetch, limit, (*isolation, *from)).await;
                let preferred = if read.error == ErrorCode::None && read.diverging.is_none() {
                    self.nearer_replica(partition, fetch, rack)
                } else {
                    None
                };
                if preferred.is_none() {
                    return read;
                }
                PartitionRead { preferred_replica: preferred, records: None, ..read }
            }
        }
    }

    /// A replica in the consumer's rack, when we lead in another one.
    fn nearer_replica(
        &self,
        partition: &Partition<R>,
        fetch: &PartitionFetch,
        rack: &str,
    ) -> Option<NodeId> {
        let image = self.context.image();
        let is_near = |id| {
            let broker = image.cluster().broker(id).filter(|broker| !broker.is_fenced);
            broker.is_some_and(|broker| broker.rack.as_deref() == Some(rack))
        };
        partition.nearest_replica(Offset::from_wire(fetch.offset)?, is_near)
    }

    fn is_enough(&self, reads: &[PartitionRead<R::File>]) -> bool {
        let bytes: u64 = reads.iter().map(PartitionRead::bytes).sum();
        bytes >= self.min_bytes
            || reads.is_empty()
            || reads.iter().any(|read| {
                read.error != ErrorCode::None
                    || read.diverging.is_some()
                    || read.preferred_replica.is_some()
                    || read.is_news
            })
    }

    /// Remembers the high watermarks that a follower is told with these reads.
    fn note_what_is_told(&self, reads: &[PartitionRead<R::File>]) {
        let Reader::Follower(follower) = &self.reader else { return };
        let told = self.session.partitions.iter().zip(reads).filter(|(_, read)| read.is_news);
        for (fetch, read) in told {
            let found = self.services().replicas.partition(&fetch.topic, fetch.partition);
            if let (Ok(partition), Some(to)) = (found, Offset::from_wire(read.high_watermark)) {
                partition.follower_told(follower.id, to);
            }
        }
    }

    async fn wait(self, deadline: Instant) -> Response<R::File> {
        let runtime = self.services().runtime.clone();
        let waiter = Waiter::new();
        let mut time_is_up = Box::pin(runtime.sleep_until(deadline));
        loop {
            for fetch in &self.session.partitions {
                if let Ok(partition) =
                    self.services().replicas.partition(&fetch.topic, fetch.partition)
                {
                    partition.register(&waiter);
                }
            }
            let reads = self.read_all().await;
            if self.is_enough(&reads) {
                return self.answer(reads);
            }
            drop(reads);
            select! {
                () = waiter.woken() => {}
                () = &mut time_is_up => break,
            }
            if runtime.buggify("fetch.early_timeout") {
                break;
            }
            // Many small appends in a row wake once: what comes within a moment is seen together.
            if runtime.buggify("fetch.slow_wake") {
                runtime.sleep(Duration::from_millis(50)).await;
            }
        }
        let reads = self.read_all().await;
        self.answer(reads)
    }

    fn answer(&self, reads: Vec<PartitionRead<R::File>>) -> Response<R::File> {
        self.note_what_is_told(&reads);
        let outcomes: Vec<Outcome> = reads
            .iter()
            .map(|read| Outcome {
                told: Told {
                    high_watermark: read.high_watermark,
                    log_start_offset: read.log_start_offset,
                },
                has_records: read.records.is_some(),
                has_news: read.error != ErrorCode::None
                    || read.diverging.is_some()
                    || read.preferred_replica.is_some(),
            })
            .collect();
        let services = self.services();
        let (session_id, told) = services.fetch_sessions.finish(
            services.runtime.now(),
            &self.session,
            &outcomes,
            || services.runtime.random(),
        );
        let endpoints = self.endpoints_named_in(&reads);
        let mut topics: Vec<(TopicKey, Vec<PartitionAnswer<R::File>>)> = Vec::new();
        for ((fetch, read), is_told) in self.session.partitions.iter().zip(reads).zip(told) {
            if !is_told {
                continue;
            }
            let answer = PartitionAnswer {
                partition: fetch.partition,
                error: read.error,
                high_watermark: read.high_watermark,
                last_stable_offset: read.last_stable_offset,
                log_start_offset: read.log_start_offset,
                diverging: read.diverging.map(|end| (end.epoch.value(), end.offset.value())),
                current_leader: read
                    .current_leader
                    .map(|(leader, epoch)| (leader.map_or(-1, |id| id.0), epoch.value())),
                preferred_replica: read.preferred_replica.map(|id| id.0),
                records: read.records.into_iter().collect(),
            };
            match topics.last_mut() {
                Some((topic, partitions)) if *topic == fetch.topic => partitions.push(answer),
                _ => topics.push((fetch.topic.clone(), vec![answer])),
            }
        }
        let answer = FetchAnswer { error: ErrorCode::None, session_id, topics, endpoints };
        encode(answer, self.context.version(), self.context.header.correlation_id)
    }

    /// Addresses of the leaders that errors point to.
    fn endpoints_named_in(&self, reads: &[PartitionRead<R::File>]) -> Vec<Endpoint> {
        let mut leaders: Vec<_> = reads.iter().filter_map(|read| read.current_leader?.0).collect();
        if leaders.is_empty() {
            return Vec::new();
        }
        leaders.sort_unstable();
        leaders.dedup();
        let image = self.context.image();
        leaders
            .into_iter()
            .filter_map(|id| {
                let (host, port) = address_of(&self.context, &image, image.cluster().broker(id)?)?;
                Some(Endpoint { node: id.0, host, port: i32::from(port) })
            })
            .collect()
    }
}
