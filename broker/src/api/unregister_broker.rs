//! UnregisterBroker: a broker is gone for good. Source: KIP-631.

use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::text;
use crate::controller::UnregisterBroker;
use crate::environment::Runtime;
use crate::model::NodeId;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: UnregisterBrokerRequest,
) -> Outcome<UnregisterBrokerResponse> {
    let controller = context.controller.clone();
    Outcome::Later(Box::pin(async move {
        let response = UnregisterBrokerResponse::default().with_error_message(None);
        match controller.ask(UnregisterBroker(NodeId(request.broker_id.0))).await {
            Ok(()) => response,
            Err(refusal) => response
                .with_error_code(refusal.code.code())
                .with_error_message(refusal.message.as_deref().map(text)),
        }
    }))
}
