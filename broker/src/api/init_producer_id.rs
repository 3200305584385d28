//! InitProducerId: an identity for an idempotent producer. Source: KIP-98, KIP-730 (blocks).

use std::ops::Range;
use std::time::Duration;

use kafka_protocol::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProducerId as WireProducerId,
};
use tokio::sync::Mutex;

use super::active_controller::ActiveController;
use super::context::RequestContext;
use super::reply::Outcome;
use crate::controller::AllocateProducerIds;
use crate::environment::Runtime;
use crate::model::{BrokerEpoch, ErrorCode, NodeId, ProducerId};

/// How long a client waits here for a block, at most.
const LIMIT: Duration = Duration::from_secs(5);

/// Producer ids this broker may give away: a block at a time from the controller.
#[derive(Debug, Default)]
pub struct ProducerIds(Mutex<Range<i64>>);

impl ProducerIds {
    /// The next id; nobody else in the cluster ever gets the same.
    async fn next<R: Runtime>(
        &self,
        controller: &ActiveController<R>,
        broker: NodeId,
        epoch: BrokerEpoch,
    ) -> Result<ProducerId, ErrorCode> {
        let mut block = self.0.lock().await;
        if block.is_empty() {
            let asked = AllocateProducerIds { broker_id: broker, broker_epoch: epoch };
            let answer = controller.ask(&asked, LIMIT).await;
            let allocated = answer.map_err(|refusal| refusal.code)?;
            let first = allocated.first.0;
            *block = first..first.saturating_add(i64::from(allocated.length));
        }
        // A crash loses the rest of a block; ids are not scarce.
        block.next().map(ProducerId).ok_or(ErrorCode::CoordinatorLoadInProgress)
    }
}

pub(super) async fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: InitProducerIdRequest,
) -> Outcome<InitProducerIdResponse> {
    let services = &context.services;
    let (id, epoch) = (request.producer_id.0, request.producer_epoch);
    let made = match request.transactional_id {
        // Half an identity is none. A whole one means nothing without a transactional id.
        _ if (id == -1) != (epoch == -1) => Err(ErrorCode::InvalidRequest),
        // An empty id is never right; others need a transaction coordinator, which FindCoordinator has refused before.
        Some(_) => Err(ErrorCode::InvalidRequest),
        None => {
            match services.image.load().cluster().broker(services.node).map(|broker| broker.epoch) {
                None => Err(ErrorCode::CoordinatorLoadInProgress),
                Some(epoch) => {
                    services
                        .producer_ids
                        .next(&services.active_controller, services.node, epoch)
                        .await
                }
            }
        }
    };
    let nobody = WireProducerId(-1);
    let response = InitProducerIdResponse::default()
        .with_ongoing_txn_producer_id(nobody)
        .with_ongoing_txn_producer_epoch(-1);
    Outcome::Now(match made {
        Ok(id) => response.with_producer_id(WireProducerId(id.0)).with_producer_epoch(0),
        // There is no controller at the moment, or it does not know us yet: clients come again.
        Err(ErrorCode::RequestTimedOut | ErrorCode::StaleBrokerEpoch) => {
            failed(response, ErrorCode::CoordinatorLoadInProgress)
        }
        Err(code) => failed(response, code),
    })
}

fn failed(response: InitProducerIdResponse, code: ErrorCode) -> InitProducerIdResponse {
    response
        .with_error_code(code.code())
        .with_producer_id(WireProducerId(-1))
        .with_producer_epoch(-1)
}
