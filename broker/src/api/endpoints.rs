//! Under which address a client finds a broker, and what it may do there.

use crate::api::context::{RequestContext, Services};
use crate::environment::Runtime;
use crate::metadata::{BrokerRegistration, MetadataImage};

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
