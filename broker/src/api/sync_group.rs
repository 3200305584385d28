//! SyncGroup: a member asks what it is to work on; the leader says it for all. Source: KIP-559 (protocol checks).

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::context::RequestContext;
use super::group_words::{group, identity};
use super::reply::Outcome;
use super::wire::text;
use crate::coordinator::{Generation, SyncRequest};
use crate::environment::Runtime;
use crate::model::MemberId;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: SyncGroupRequest,
) -> Outcome<SyncGroupResponse> {
    let version = context.version();
    let asked = SyncRequest {
        member: identity(&request.member_id, request.group_instance_id.as_ref()),
        generation: Generation::from_wire(request.generation_id),
        protocol_type: request.protocol_type.filter(|_| version >= 5).map(|text| text.to_string()),
        protocol_name: request.protocol_name.filter(|_| version >= 5).map(|text| text.to_string()),
        assignments: request
            .assignments
            .into_iter()
            .map(|one| (MemberId::new(one.member_id.as_str()), one.assignment))
            .collect(),
    };
    let group = group(&request.group_id);
    let groups = context.services.groups.clone();
    Outcome::Later(Box::pin(async move {
        let response = SyncGroupResponse::default();
        let response = if version >= 5 {
            response.with_protocol_type(None).with_protocol_name(None)
        } else {
            response
        };
        match groups.sync(group, asked).await {
            Ok(synced) if version >= 5 => response
                .with_protocol_type(synced.protocol_type.as_deref().map(text))
                .with_protocol_name(synced.protocol_name.as_deref().map(text))
                .with_assignment(synced.assignment),
            Ok(synced) => response.with_assignment(synced.assignment),
            Err(code) => response.with_error_code(code.code()),
        }
    }))
}
