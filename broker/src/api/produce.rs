//! Produce: records to the leaders of partitions. Source: KIP-98 (idempotence), KIP-516 (ids), KIP-951 (leader hints).
//!
//! Each partition stands for itself: one bad batch does not stop the others. Everything is in the logs before this returns;
//! what is left to wait for (a flush, the high watermark) is waited for while the connection reads on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use kafka_protocol::messages::{BrokerId, ProduceRequest, ProduceResponse};

use super::context::{RequestContext, Services};
use super::endpoints::address_of;
use super::reply::Outcome;
use super::topic_creation::is_internal;
use super::wire::{text, topic as topic_name, wire_leader, wire_node};
use crate::environment::{Runtime, timeout};
use crate::log::{AppendError, Appended, Origin};
use crate::model::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId};
use crate::replication::{Acks, AppendFailure, Partition, ReplicaManager, TopicKey};

/// Produce names topics by id from here on.
const BY_ID: i16 = 13;

/// Clients understand who leads instead from here on.
const LEADER_HINTS: i16 = 10;

/// The one client that may write to internal topics, as in Kafka.
const ADMIN_CLIENT: &str = "__admin_client";

/// An append whose answer has to wait.
struct Unsettled<R: Runtime> {
    topic: usize,
    partition: usize,
    replica: Arc<Partition<R>>,
    last: Offset,
    epoch: LeaderEpoch,
    must_flush: bool,
}

pub(super) async fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: ProduceRequest,
) -> Outcome<ProduceResponse> {
    let acks = request.acks;
    let mut unsettled = Vec::new();
    let mut has_error = false;
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for data in request.topic_data {
        let (key, refusal) = judge(context, &data, acks);
        let mut partitions = Vec::with_capacity(data.partition_data.len());
        for partition in data.partition_data {
            let index = partition.index;
            let appended = match refusal {
                Some(code) => Err(Refused::of(code)),
                None => append(context, &key, partition, acks).await,
            };
            partitions.push(match appended {
                Ok((replica, appended)) => {
                    if acks == -1 || appended.must_flush {
                        let Appended { last, leader_epoch: epoch, must_flush, .. } = appended;
                        let (topic, partition) = (responses.len(), partitions.len());
                        let one = Unsettled { topic, partition, replica, last, epoch, must_flush };
                        unsettled.push(one);
                    }
                    accepted(index, &appended)
                }
                Err(refused) => {
                    has_error = true;
                    refused.answer(index)
                }
            });
        }
        responses.push(
            TopicProduceResponse::default()
                .with_name(data.name)
                .with_topic_id(data.topic_id)
                .with_partition_responses(partitions),
        );
    }
    let mut response = ProduceResponse::default().with_responses(responses);
    if has_error && context.version() >= LEADER_HINTS {
        name_leaders(context, &mut response);
    }
    unsettled.retain(|one| one.must_flush || !one.replica.is_committed(one.last, one.epoch));
    if acks == 0 {
        return without_answer(context, has_error, unsettled);
    }
    if unsettled.is_empty() {
        return Outcome::Now(response);
    }
    let limit = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    answer_later(&context.services, unsettled, limit, acks, response)
}

/// Says, with errors about leadership, who leads and where that is. Source: KIP-951.
fn name_leaders<R: Runtime>(context: &RequestContext<R>, response: &mut ProduceResponse) {
    let mut leaders = BTreeSet::new();
    for topic in &mut response.responses {
        let key = if context.version() >= BY_ID {
            TopicKey::Id(TopicId(topic.topic_id))
        } else {
            TopicKey::Name(topic_name(&topic.name))
        };
        let is_about_leaders = |answer: &&mut PartitionProduceResponse| {
            answer.error_code == ErrorCode::NotLeaderOrFollower.code()
        };
        for answer in topic.partition_responses.iter_mut().filter(is_about_leaders) {
            let index = PartitionIndex(answer.index);
            if let Some((leader, epoch)) = context.services.replicas.leader_of(&key, index) {
                answer.current_leader.leader_id = wire_leader(leader);
                answer.current_leader.leader_epoch = epoch.value();
                leaders.extend(leader);
            }
        }
    }
    let image = context.image();
    let endpoint = |id| {
        let broker = image.cluster().broker(id)?;
        let (host, port) = address_of(context, &image, broker)?;
        Some(
            NodeEndpoint::default()
                .with_node_id(wire_node(id))
                .with_host(text(&host))
                .with_port(i32::from(port))
                .with_rack(broker.rack.as_deref().map(text)),
        )
    };
    response.node_endpoints = leaders.into_iter().filter_map(endpoint).collect();
}

/// Waits while the connection reads on.
fn answer_later<R: Runtime>(
    services: &Services<R>,
    unsettled: Vec<Unsettled<R>>,
    limit: Duration,
    acks: i16,
    response: ProduceResponse,
) -> Outcome<ProduceResponse> {
    let (runtime, replicas) = (services.runtime.clone(), Arc::clone(&services.replicas));
    if unsettled.iter().all(|one| !one.must_flush) {
        return Outcome::Later(Box::pin(settle(
            runtime, replicas, unsettled, limit, acks, response,
        )));
    }
    // A task of its own: what is appended must become durable, and visible, although the client may hang up meanwhile.
    let (settled, waiting) = tokio::sync::oneshot::channel();
    let failed = response.clone();
    runtime.clone().spawn("produce flush", async move {
        let response = settle(runtime, replicas, unsettled, limit, acks, response).await;
        // Nobody waits for it when the connection is gone.
        let _ = settled.send(response);
    });
    Outcome::Later(Box::pin(async move { waiting.await.unwrap_or_else(|_| unsure(failed)) }))
}

/// What is said when the task that flushes ended without a word.
fn unsure(mut response: ProduceResponse) -> ProduceResponse {
    for topic in &mut response.responses {
        for answer in &mut topic.partition_responses {
            if answer.error_code == ErrorCode::None.code() {
                *answer = Refused::of(ErrorCode::UnknownServerError).answer(answer.index);
            }
        }
    }
    response
}

/// How the topic is named, and why nothing can be written to it, whatever is sent.
fn judge<R: Runtime>(
    context: &RequestContext<R>,
    data: &TopicProduceData,
    acks: i16,
) -> (TopicKey, Option<ErrorCode>) {
    let (key, is_forbidden) = if context.version() >= BY_ID {
        let id = TopicId(data.topic_id);
        let image = context.services.image.load();
        let name = image.topics().by_id(id).map(|topic| topic.name.clone());
        (TopicKey::Id(id), name.is_some_and(|name| is_internal(name.as_str())))
    } else {
        (TopicKey::Name(topic_name(&data.name)), is_internal(data.name.as_str()))
    };
    let refusal = if !matches!(acks, -1..=1) {
        Some(ErrorCode::InvalidRequiredAcks)
    } else if is_forbidden && context.client_id() != ADMIN_CLIENT {
        Some(ErrorCode::InvalidTopicException)
    } else {
        None
    };
    (key, refusal)
}

/// With `acks=0` nobody waits for an answer; the only way to tell of an error is to hang up.
fn without_answer<R: Runtime>(
    context: &RequestContext<R>,
    has_error: bool,
    unsettled: Vec<Unsettled<R>>,
) -> Outcome<ProduceResponse> {
    for one in unsettled.into_iter().filter(|one| one.must_flush) {
        let replicas = Arc::clone(&context.services.replicas);
        context.services.runtime.spawn("flush", async move {
            // A failure takes the directory offline; there is nobody else to tell.
            let _ = replicas.flush(&one.replica, one.last.plus(1)).await;
        });
    }
    if has_error {
        return Outcome::Close(
            "a produce with acks=0 failed: closing is the only way to say so".to_owned(),
        );
    }
    Outcome::Nothing
}

async fn settle<R: Runtime>(
    runtime: R,
    replicas: Arc<ReplicaManager<R>>,
    unsettled: Vec<Unsettled<R>>,
    limit: Duration,
    acks: i16,
    mut response: ProduceResponse,
) -> ProduceResponse {
    // As in Kafka, flushing is part of the append: the client's time limit concerns replicas only.
    let flushes = unsettled.iter().map(async |one| {
        if one.must_flush { replicas.flush(&one.replica, one.last.plus(1)).await } else { Ok(()) }
    });
    let flushed = join_all(flushes).await;
    let deadline = runtime.now() + limit;
    for (one, flushed) in unsettled.into_iter().zip(flushed) {
        let settled = match flushed {
            Ok(()) if acks == -1 && runtime.buggify("produce.early_timeout") => {
                Err(ErrorCode::RequestTimedOut)
            }
            Ok(()) if acks == -1 && !one.replica.is_committed(one.last, one.epoch) => {
                let left = deadline.since(runtime.now());
                let waiting = one.replica.acknowledged(one.last, one.epoch);
                timeout(&runtime, left, waiting).await.unwrap_or(Err(ErrorCode::RequestTimedOut))
            }
            flushed => flushed,
        };
        if let Err(code) = settled
            && let Some(topic) = response.responses.get_mut(one.topic)
            && let Some(answer) = topic.partition_responses.get_mut(one.partition)
        {
            *answer = Refused::of(code).answer(answer.index);
        }
    }
    response
}

async fn append<R: Runtime>(
    context: &RequestContext<R>,
    topic: &TopicKey,
    data: PartitionProduceData,
    acks: i16,
) -> Result<(Arc<Partition<R>>, Appended), Refused> {
    let services: &Services<R> = &context.services;
    if services.runtime.buggify("produce.spurious_error") {
        return Err(Refused::of(ErrorCode::NotLeaderOrFollower));
    }
    let replica =
        services.replicas.partition(topic, PartitionIndex(data.index)).map_err(Refused::of)?;
    let records = data.records.unwrap_or_default();
    let origin = Origin::Client { produce_version: context.version() };
    let now = services.runtime.wall_clock();
    let acks = if acks == -1 { Acks::All } else { Acks::Fewer };
    match replica.append_as_leader(records, origin, acks, None, now).await {
        Ok(appended) => Ok((replica, appended)),
        Err(failure) => {
            if let AppendFailure::Log(AppendError::Fault(fault)) = &failure {
                services.replicas.handle_fault(replica.topic_partition(), fault);
            }
            Err(Refused::by(failure))
        }
    }
}

fn accepted(index: i32, appended: &Appended) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_base_offset(appended.first.value())
        .with_log_append_time_ms(appended.log_append_time.map_or(-1, |time| time.millis()))
        .with_log_start_offset(appended.log_start_offset.value())
        .with_error_message(None)
}

/// Why a partition got nothing.
struct Refused {
    code: ErrorCode,
    message: Option<String>,
    record_errors: Vec<BatchIndexAndErrorMessage>,
}

impl Refused {
    const fn of(code: ErrorCode) -> Self {
        Self { code, message: None, record_errors: Vec::new() }
    }

    fn by(failure: AppendFailure) -> Self {
        let code = failure.code();
        match failure {
            AppendFailure::Log(AppendError::Refused(refusal)) => {
                let record_errors = refusal
                    .record_errors
                    .iter()
                    .map(|error| {
                        BatchIndexAndErrorMessage::default()
                            .with_batch_index(error.batch_index)
                            .with_batch_index_error_message(Some(text(&error.message)))
                    })
                    .collect();
                Self { code, message: Some(refusal.message), record_errors }
            }
            AppendFailure::Log(error) => {
                Self { message: Some(error.to_string()), ..Self::of(code) }
            }
            AppendFailure::NotLeader(_) => Self::of(code),
        }
    }

    fn answer(self, index: i32) -> PartitionProduceResponse {
        let nobody =
            || LeaderIdAndEpoch::default().with_leader_id(BrokerId(-1)).with_leader_epoch(-1);
        PartitionProduceResponse::default()
            .with_index(index)
            .with_error_code(self.code.code())
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_log_start_offset(-1)
            .with_record_errors(self.record_errors)
            .with_error_message(self.message.as_deref().map(text))
            .with_current_leader(nobody())
    }
}
