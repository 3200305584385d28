//! JoinGroup: a member wants to be in the next generation of a classic group.
//! Source: KIP-62, KIP-345 (static members), KIP-394 (member id required), KIP-814 (skip assignment).

use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::context::RequestContext;
use super::group_words::{group, instance, member};
use super::reply::Outcome;
use super::wire::text;
use crate::coordinator::{JoinOutcome, JoinRequest, Joined, Protocol};
use crate::environment::Runtime;
use crate::model::ErrorCode;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: JoinGroupRequest,
) -> Outcome<JoinGroupResponse> {
    let version = context.version();
    let asked = JoinRequest {
        client_id: context.client_id().to_owned(),
        client_host: format!("/{}", context.peer.address.ip().to_canonical()),
        member_id: member(&request.member_id),
        instance_id: instance(request.group_instance_id.as_ref()),
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| Protocol {
                name: protocol.name.to_string(),
                metadata: protocol.metadata,
            })
            .collect(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: if version == 0 { -1 } else { request.rebalance_timeout_ms },
        must_know_member_id: version >= 4,
        can_skip_assignment: version >= 9,
        reason: request.reason.map(|reason| reason.to_string()),
    };
    let group = group(&request.group_id);
    let groups = context.services.groups.clone();
    let sent_member_id = request.member_id;
    Outcome::Later(Box::pin(async move {
        match groups.join(group, asked).await {
            Ok(JoinOutcome::Joined(joined)) => joined_response(joined, version),
            Ok(JoinOutcome::MemberIdRequired(id)) => {
                refusal(ErrorCode::MemberIdRequired, version).with_member_id(text(id.as_str()))
            }
            Err(code) => refusal(code, version).with_member_id(sent_member_id),
        }
    }))
}

fn joined_response(joined: Joined, version: i16) -> JoinGroupResponse {
    let members = joined
        .members
        .into_iter()
        .map(|member| {
            JoinGroupResponseMember::default()
                .with_member_id(text(member.member_id.as_str()))
                .with_group_instance_id(member.instance_id.map(|id| text(id.as_str())))
                .with_metadata(member.metadata)
        })
        .collect();
    // Before version 7 the name cannot be null, and the type cannot be said.
    let name = joined.protocol_name.as_deref().map(text);
    let response = JoinGroupResponse::default()
        .with_generation_id(joined.generation.0)
        .with_protocol_name(if version >= 7 { name } else { Some(name.unwrap_or_default()) })
        .with_leader(text(joined.leader.as_str()))
        .with_member_id(text(joined.member_id.as_str()))
        .with_members(members);
    let response = if version >= 7 {
        response.with_protocol_type(joined.protocol_type.as_deref().map(text))
    } else {
        response
    };
    if version >= 9 { response.with_skip_assignment(joined.skip_assignment) } else { response }
}

fn refusal(code: ErrorCode, version: i16) -> JoinGroupResponse {
    let response = JoinGroupResponse::default().with_error_code(code.code()).with_generation_id(-1);
    if version >= 7 { response.with_protocol_type(None).with_protocol_name(None) } else { response }
}
