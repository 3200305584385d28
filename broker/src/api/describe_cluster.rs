//! DescribeCluster: the nodes of the cluster. Source: KIP-700, KIP-919 (controllers), KIP-1073 (fenced brokers).

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::context::RequestContext;
use super::endpoints::{CLUSTER_OPERATIONS, OPERATIONS_OMITTED, address_of, any_of};
use super::reply::Outcome;
use super::wire::{text, wire_leader, wire_node};
use crate::environment::Runtime;
use crate::model::{ErrorCode, NodeId};
use crate::protocol::ListenerRole;

/// `endpoint_type` of brokers.
const BROKERS: i8 = 1;

/// `endpoint_type` of controllers.
const CONTROLLERS: i8 = 2;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: DescribeClusterRequest,
) -> Outcome<DescribeClusterResponse> {
    let wanted = if context.version() == 0 { BROKERS } else { request.endpoint_type };
    let served = match context.peer.role {
        ListenerRole::Broker => BROKERS,
        ListenerRole::Controller => CONTROLLERS,
    };
    let response = DescribeClusterResponse::default().with_endpoint_type(served);
    if wanted != served {
        let code = if matches!(wanted, BROKERS | CONTROLLERS) {
            ErrorCode::MismatchedEndpointType
        } else {
            ErrorCode::UnsupportedEndpointType
        };
        let message = format!(
            "The request was sent to an endpoint of type {}, but we wanted an endpoint of type {}",
            name(served),
            name(wanted)
        );
        return Outcome::Now(
            response.with_error_code(code.code()).with_error_message(Some(text(&message))),
        );
    }
    let image = context.image();
    let nodes = if served == BROKERS {
        let with_fenced = context.version() >= 2 && request.include_fenced_brokers;
        image
            .cluster()
            .brokers()
            .filter(|broker| with_fenced || !broker.is_fenced)
            .filter_map(|broker| {
                let (host, port) = address_of(context, &image, broker)?;
                Some(
                    entry(broker.id, &host, port, broker.rack.as_deref())
                        .with_is_fenced(broker.is_fenced),
                )
            })
            .collect::<Vec<_>>()
    } else {
        image
            .cluster()
            .controllers()
            .filter_map(|controller| {
                let endpoint = controller
                    .endpoints
                    .iter()
                    .find(|endpoint| endpoint.listener_name == context.peer.listener)?;
                Some(entry(controller.id, &endpoint.host, endpoint.port, None))
            })
            .collect()
    };
    let controller = if served == BROKERS {
        let alive = nodes.iter().filter(|node| !node.is_fenced);
        let alive: Vec<NodeId> = alive.map(|node| NodeId(node.broker_id.0)).collect();
        any_of(context, &alive)
    } else {
        context.services.quorum.leader_and_epoch().0
    };
    let operations = if request.include_cluster_authorized_operations {
        CLUSTER_OPERATIONS
    } else {
        OPERATIONS_OMITTED
    };
    Outcome::Now(
        response
            .with_error_message(None)
            .with_cluster_id(text(&context.services.cluster_id.to_string()))
            .with_controller_id(wire_leader(controller))
            .with_brokers(nodes)
            .with_cluster_authorized_operations(operations),
    )
}

fn entry(node: NodeId, host: &str, port: u16, rack: Option<&str>) -> DescribeClusterBroker {
    DescribeClusterBroker::default()
        .with_broker_id(wire_node(node))
        .with_host(text(host))
        .with_port(i32::from(port))
        .with_rack(rack.map(text))
}

const fn name(endpoint_type: i8) -> &'static str {
    match endpoint_type {
        BROKERS => "BROKER",
        CONTROLLERS => "CONTROLLER",
        _ => "UNKNOWN",
    }
}
