//! Heartbeat: a classic group member says it is alive. Source: KIP-62.

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::context::RequestContext;
use super::group_words::{group, identity};
use super::reply::Outcome;
use crate::coordinator::Generation;
use crate::environment::Runtime;
use crate::model::ErrorCode;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: HeartbeatRequest,
) -> Outcome<HeartbeatResponse> {
    let member = identity(&request.member_id, request.group_instance_id.as_ref());
    let generation = Generation::from_wire(request.generation_id);
    let group = group(&request.group_id);
    let groups = context.services.groups.clone();
    Outcome::Later(Box::pin(async move {
        let code =
            groups.heartbeat(group, member, generation).await.err().unwrap_or(ErrorCode::None);
        HeartbeatResponse::default().with_error_code(code.code())
    }))
}
