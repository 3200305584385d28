//! AllocateProducerIds: a broker needs ids to give out. Source: KIP-730.

use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, ProducerId as WireProducerId,
};

use super::active_controller::{Remote, check};
use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::wire_node;
use crate::controller::{AllocateProducerIds, ProducerIdBlock, Refusal};
use crate::environment::Runtime;
use crate::model::{BrokerEpoch, NodeId, ProducerId};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: AllocateProducerIdsRequest,
) -> Outcome<AllocateProducerIdsResponse> {
    let controller = context.controller.clone();
    let asked = AllocateProducerIds {
        broker_id: NodeId(request.broker_id.0),
        broker_epoch: BrokerEpoch(request.broker_epoch),
    };
    Outcome::Later(Box::pin(async move {
        let response = AllocateProducerIdsResponse::default();
        match controller.ask(asked).await {
            Ok(block) => response
                .with_producer_id_start(WireProducerId(block.first.0))
                .with_producer_id_len(block.length),
            Err(refusal) => response.with_error_code(refusal.code.code()),
        }
    }))
}

impl Remote for AllocateProducerIds {
    type Wire = AllocateProducerIdsRequest;

    fn to_wire(&self) -> AllocateProducerIdsRequest {
        AllocateProducerIdsRequest::default()
            .with_broker_id(wire_node(self.broker_id))
            .with_broker_epoch(self.broker_epoch.0)
    }

    fn outcome_of(
        &self,
        response: AllocateProducerIdsResponse,
    ) -> Result<ProducerIdBlock, Refusal> {
        check(response.error_code, None)?;
        let first = ProducerId(response.producer_id_start.0);
        Ok(ProducerIdBlock { first, length: response.producer_id_len })
    }
}
