//! BrokerRegistration: a broker has started. Source: KIP-631, KIP-858 (directories), KIP-966 (previous epoch).

use std::collections::BTreeMap;

use kafka_protocol::messages::broker_registration_request::{Feature, Listener};
use kafka_protocol::messages::{BrokerRegistrationRequest, BrokerRegistrationResponse};

use super::active_controller::{Remote, check};
use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::{text, wire_node};
use crate::controller::{Refusal, RegisterBroker};
use crate::environment::Runtime;
use crate::metadata::{Endpoint, VersionRange};
use crate::model::{BrokerEpoch, ClusterId, DirectoryId, NodeId};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: BrokerRegistrationRequest,
) -> Outcome<BrokerRegistrationResponse> {
    let controller = context.controller.clone();
    Outcome::Later(Box::pin(async move {
        let response = BrokerRegistrationResponse::default();
        match controller.ask(translate(request)).await {
            Ok(epoch) => response.with_broker_epoch(epoch.0),
            Err(refusal) => response.with_error_code(refusal.code.code()),
        }
    }))
}

fn translate(request: BrokerRegistrationRequest) -> RegisterBroker {
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
    RegisterBroker {
        cluster_id: ClusterId::new(request.cluster_id.as_str()),
        broker_id: NodeId(request.broker_id.0),
        incarnation_id: request.incarnation_id,
        endpoints: endpoints.collect(),
        features: features.collect::<BTreeMap<_, _>>(),
        rack: request.rack.map(|rack| rack.to_string()),
        directories: request.log_dirs.into_iter().map(DirectoryId).collect(),
        previous_epoch: (request.previous_broker_epoch >= 0)
            .then_some(BrokerEpoch(request.previous_broker_epoch)),
        is_migrating_zk_broker: request.is_migrating_zk_broker,
    }
}

impl Remote for RegisterBroker {
    type Wire = BrokerRegistrationRequest;

    fn to_wire(&self) -> BrokerRegistrationRequest {
        let listeners = self.endpoints.iter().map(|endpoint| {
            Listener::default()
                .with_name(text(&endpoint.listener_name))
                .with_host(text(&endpoint.host))
                .with_port(endpoint.port)
                .with_security_protocol(endpoint.security_protocol)
        });
        let features = self.features.iter().map(|(name, range)| {
            Feature::default()
                .with_name(text(name))
                .with_min_supported_version(range.min)
                .with_max_supported_version(range.max)
        });
        BrokerRegistrationRequest::default()
            .with_broker_id(wire_node(self.broker_id))
            .with_cluster_id(text(self.cluster_id.as_str()))
            .with_incarnation_id(self.incarnation_id)
            .with_listeners(listeners.collect())
            .with_features(features.collect())
            .with_rack(self.rack.as_deref().map(text))
            .with_is_migrating_zk_broker(self.is_migrating_zk_broker)
            .with_log_dirs(self.directories.iter().map(|directory| directory.0).collect())
            .with_previous_broker_epoch(self.previous_epoch.map_or(-1, |epoch| epoch.0))
    }

    fn outcome_of(&self, response: BrokerRegistrationResponse) -> Result<BrokerEpoch, Refusal> {
        check(response.error_code, None)?;
        Ok(BrokerEpoch(response.broker_epoch))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::ErrorCode;

    #[test]
    fn what_a_broker_says_of_itself_survives_the_way() {
        let asked = RegisterBroker {
            cluster_id: ClusterId::from("cluster"),
            broker_id: NodeId(7),
            incarnation_id: Uuid::from_u128(8),
            endpoints: vec![Endpoint {
                listener_name: "PLAINTEXT".to_owned(),
                host: "host".to_owned(),
                port: 9092,
                security_protocol: 3,
            }],
            features: BTreeMap::from([("f".to_owned(), VersionRange { min: 1, max: 9 })]),
            rack: Some("r".to_owned()),
            directories: vec![DirectoryId(Uuid::from_u128(9))],
            previous_epoch: Some(BrokerEpoch(0)),
            is_migrating_zk_broker: true,
        };
        assert_eq!(translate(asked.to_wire()), asked);
        let first = RegisterBroker { rack: None, previous_epoch: None, ..asked };
        assert_eq!(translate(first.to_wire()), first);
        let refused = BrokerRegistrationResponse::default().with_error_code(101);
        let code = first.outcome_of(refused).map_err(|refusal| refusal.code);
        assert_eq!(code, Err(ErrorCode::DuplicateBrokerRegistration));
    }
}
