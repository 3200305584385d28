//! FindCoordinator: which broker looks after a group. Source: KIP-699 (several keys).

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::context::RequestContext;
use super::endpoints::address_of;
use super::reply::Outcome;
use super::topic_creation::OFFSETS_TOPIC;
use super::wire::{text, wire_node};
use crate::coordinator::partition_for_key;
use crate::environment::Runtime;
use crate::model::{ErrorCode, NodeId, TopicName};

/// Key types.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// Several keys in one request from here on.
const BATCHED: i16 = 4;

type Found = Result<(NodeId, String, u16), (ErrorCode, Option<&'static str>)>;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: FindCoordinatorRequest,
) -> Outcome<FindCoordinatorResponse> {
    let version = context.version();
    let key_type = if version == 0 { GROUP } else { request.key_type };
    if version >= BATCHED {
        let coordinators = request
            .coordinator_keys
            .into_iter()
            .map(|key| {
                let (node, host, port, code, message) = flatten(find(context, &key, key_type));
                Coordinator::default()
                    .with_key(key)
                    .with_node_id(wire_node(node))
                    .with_host(host)
                    .with_port(port)
                    .with_error_code(code.code())
                    .with_error_message(message)
            })
            .collect();
        return Outcome::Now(FindCoordinatorResponse::default().with_coordinators(coordinators));
    }
    let (node, host, port, code, message) = flatten(find(context, &request.key, key_type));
    let response = FindCoordinatorResponse::default()
        .with_node_id(wire_node(node))
        .with_host(host)
        .with_port(port)
        .with_error_code(code.code());
    Outcome::Now(if version >= 1 { response.with_error_message(message) } else { response })
}

fn flatten(found: Found) -> (NodeId, StrBytes, i32, ErrorCode, Option<StrBytes>) {
    match found {
        Ok((node, host, port)) => (node, text(&host), i32::from(port), ErrorCode::None, None),
        Err((code, message)) => (NodeId(-1), StrBytes::default(), -1, code, message.map(text)),
    }
}

fn find<R: Runtime>(context: &RequestContext<R>, key: &str, key_type: i8) -> Found {
    match key_type {
        GROUP => {}
        TRANSACTION => {
            return Err((
                ErrorCode::InvalidRequest,
                Some("Transactions are not served by this broker."),
            ));
        }
        _ => return Err((ErrorCode::InvalidRequest, None)),
    }
    let image = context.image();
    let Some(topic) = image.topics().by_name(OFFSETS_TOPIC) else {
        let topic = [TopicName::from(OFFSETS_TOPIC)];
        context.services.topic_creation.start(&context.services, topic);
        return Err((ErrorCode::CoordinatorNotAvailable, None));
    };
    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let partition = partition_for_key(key, count);
    let leader = topic.partition(partition).and_then(|partition| partition.leader);
    let broker = leader.and_then(|leader| image.cluster().broker(leader));
    let found = broker.and_then(|broker| {
        address_of(context, &image, broker).map(|(host, port)| (broker.id, host, port))
    });
    found.ok_or((ErrorCode::CoordinatorNotAvailable, None))
}
