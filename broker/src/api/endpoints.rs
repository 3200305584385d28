//! Under which address a client finds a broker, and what it may do there.

use crate::api::context::{RequestContext, Services};
use crate::environment::Runtime;
use crate::metadata::{BrokerRegistration, MetadataImage, PartitionRegistration};
use crate::model::{ErrorCode, NodeId};

/// Host and port of a broker, as told to a client of this connection.
///
/// `None` when the broker has no listener of that name. With one broker and no `advertised.listeners` a client is told the
/// address by which it reached us: the commonest cause of clients that connect and then get lost.
pub(super) fn address_of<R: Runtime>(
    context: &RequestContext<R>,
    image: &MetadataImage,
    broker: &BrokerRegistration,
) -> Option<(String, u16)> {
    let services: &Services<R> = &context.services;
    let is_alone = image.cluster().brokers().count() == 1;
    if is_alone && broker.id == services.node && !services.config.is_advertised() {
        return Some((
            context.peer.local.ip().to_canonical().to_string(),
            context.peer.local.port(),
        ));
    }
    let endpoint = broker.endpoint(&context.peer.listener)?;
    Some((endpoint.host.clone(), endpoint.port))
}

/// The leader of a partition, if a client of this connection can find it.
///
/// # Errors
///
/// `LEADER_NOT_AVAILABLE` when there is none; `LISTENER_NOT_FOUND` when it has no listener of this name.
pub(super) fn leader_of<R: Runtime>(
    context: &RequestContext<R>,
    image: &MetadataImage,
    partition: &PartitionRegistration,
) -> Result<NodeId, ErrorCode> {
    let leader = partition.leader.and_then(|leader| image.cluster().broker(leader));
    match leader {
        None => Err(ErrorCode::LeaderNotAvailable),
        Some(broker) if address_of(context, image, broker).is_none() => {
            Err(ErrorCode::ListenerNotFound)
        }
        Some(broker) => Ok(broker.id),
    }
}

/// True when a client of this connection can find a broker that is alive.
pub(super) fn is_alive<R: Runtime>(
    context: &RequestContext<R>,
    image: &MetadataImage,
    id: NodeId,
) -> bool {
    image
        .cluster()
        .broker(id)
        .is_some_and(|broker| !broker.is_fenced && address_of(context, image, broker).is_some())
}

/// Replicas that cannot be reached: their brokers are gone, fenced or out of sight, or the directory they lie in is offline.
pub(super) fn offline_replicas<R: Runtime>(
    context: &RequestContext<R>,
    image: &MetadataImage,
    partition: &PartitionRegistration,
) -> Vec<NodeId> {
    let is_online = |id: &NodeId| {
        let broker = image.cluster().broker(*id);
        let has_directory = broker.is_some_and(|broker| {
            partition.directory(*id).is_none_or(|lies| broker.has_online_directory(lies))
        });
        has_directory && is_alive(context, image, *id)
    };
    partition.replicas.iter().copied().filter(|id| !is_online(id)).collect()
}

/// Whom clients take for the controller: any broker that is alive, as each hands on what it does not decide.
pub(super) fn any_of<R: Runtime>(context: &RequestContext<R>, alive: &[NodeId]) -> Option<NodeId> {
    let count = u64::try_from(alive.len()).unwrap_or(u64::MAX);
    let place = if count > 1 { context.services.runtime.random() % count } else { 0 };
    alive.get(usize::try_from(place).unwrap_or(0)).copied()
}

/// What a client may do with a topic when nothing is forbidden: the bits of Kafka's `AclOperation`.
pub(super) const TOPIC_OPERATIONS: i32 =
    READ | WRITE | CREATE | DELETE | ALTER | DESCRIBE | DESCRIBE_CONFIGS | ALTER_CONFIGS;

/// What a client may do with the cluster when nothing is forbidden.
pub(super) const CLUSTER_OPERATIONS: i32 = CREATE
    | CLUSTER_ACTION
    | DESCRIBE_CONFIGS
    | ALTER_CONFIGS
    | IDEMPOTENT_WRITE
    | ALTER
    | DESCRIBE;

/// What a client may do with a group when nothing is forbidden.
pub(super) const GROUP_OPERATIONS: i32 =
    READ | DESCRIBE | DELETE | DESCRIBE_CONFIGS | ALTER_CONFIGS;

/// Operations that were not asked for.
pub(super) const OPERATIONS_OMITTED: i32 = i32::MIN;

const READ: i32 = 1 << 3;
const WRITE: i32 = 1 << 4;
const CREATE: i32 = 1 << 5;
const DELETE: i32 = 1 << 6;
const ALTER: i32 = 1 << 7;
const DESCRIBE: i32 = 1 << 8;
const CLUSTER_ACTION: i32 = 1 << 9;
const DESCRIBE_CONFIGS: i32 = 1 << 10;
const ALTER_CONFIGS: i32 = 1 << 11;
const IDEMPOTENT_WRITE: i32 = 1 << 12;
