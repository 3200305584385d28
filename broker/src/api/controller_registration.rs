//! ControllerRegistration: a controller has started. Source: KIP-919.

use kafka_protocol::messages::controller_registration_request::{Feature, Listener};
use kafka_protocol::messages::{ControllerRegistrationRequest, ControllerRegistrationResponse};

use super::active_controller::{Remote, check};
use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::text;
use crate::controller::{Refusal, RegisterController};
use crate::environment::Runtime;
use crate::metadata::{ControllerRegistration, Endpoint, VersionRange};
use crate::model::NodeId;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: ControllerRegistrationRequest,
) -> Outcome<ControllerRegistrationResponse> {
    let controller = context.controller.clone();
    Outcome::Later(Box::pin(async move {
        let response = ControllerRegistrationResponse::default().with_error_message(None);
        match controller.ask(translate(request)).await {
            Ok(()) => response,
            Err(refusal) => response
                .with_error_code(refusal.code.code())
                .with_error_message(refusal.message.as_deref().map(text)),
        }
    }))
}

fn translate(request: ControllerRegistrationRequest) -> RegisterController {
    let endpoints = request.listeners.into_iter().map(|listener| Endpoint {
        listener_name: listener.name.to_string(),
        host: listener.host.to_string(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    });
    let features = request.features.into_iter().map(|feature| {
        let (min, max) = (feature.min_supported_version, feature.max_supported_version);
        (feature.name.to_string(), VersionRange { min, max })
    });
    RegisterController(ControllerRegistration {
        id: NodeId(request.controller_id),
        incarnation_id: request.incarnation_id,
        is_zk_migration_ready: request.zk_migration_ready,
        endpoints: endpoints.collect(),
        supported_features: features.collect(),
    })
}

impl Remote for RegisterController {
    type Wire = ControllerRegistrationRequest;

    fn to_wire(&self) -> ControllerRegistrationRequest {
        let Self(own) = self;
        let listeners = own.endpoints.iter().map(|endpoint| {
            Listener::default()
                .with_name(text(&endpoint.listener_name))
                .with_host(text(&endpoint.host))
                .with_port(endpoint.port)
                .with_security_protocol(endpoint.security_protocol)
        });
        let features = own.supported_features.iter().map(|(name, range)| {
            Feature::default()
                .with_name(text(name))
                .with_min_supported_version(range.min)
                .with_max_supported_version(range.max)
        });
        ControllerRegistrationRequest::default()
            .with_controller_id(own.id.0)
            .with_incarnation_id(own.incarnation_id)
            .with_zk_migration_ready(own.is_zk_migration_ready)
            .with_listeners(listeners.collect())
            .with_features(features.collect())
    }

    fn outcome_of(&self, response: ControllerRegistrationResponse) -> Result<(), Refusal> {
        check(response.error_code, response.error_message.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_a_controller_says_of_itself_survives_the_way() {
        let asked = RegisterController(ControllerRegistration {
            id: NodeId(7),
            incarnation_id: Uuid::from_u128(8),
            is_zk_migration_ready: true,
            endpoints: vec![Endpoint {
                listener_name: "CONTROLLER".to_owned(),
                host: "host".to_owned(),
                port: 9093,
                security_protocol: 1,
            }],
            supported_features: BTreeMap::from([("f".to_owned(), VersionRange { min: 0, max: 9 })]),
        });
        assert_eq!(translate(asked.to_wire()), asked);
        assert_eq!(asked.outcome_of(ControllerRegistrationResponse::default()), Ok(()));
    }
}
