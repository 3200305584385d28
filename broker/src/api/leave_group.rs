//! LeaveGroup: members leave, or are removed by an administrator. Source: KIP-345 (several at once), KIP-800 (reasons).

use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::context::RequestContext;
use super::group_words::{group, identity};
use super::reply::Outcome;
use crate::coordinator::Leaving;
use crate::environment::Runtime;
use crate::model::ErrorCode;

/// Several members in one request from here on.
const BATCHED: i16 = 3;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: LeaveGroupRequest,
) -> Outcome<LeaveGroupResponse> {
    let is_batched = context.version() >= BATCHED;
    let named: Vec<_> = if is_batched {
        request
            .members
            .into_iter()
            .map(|one| (one.member_id, one.group_instance_id, one.reason))
            .collect()
    } else {
        vec![(request.member_id, None, None)]
    };
    let leaving = named
        .iter()
        .map(|(member_id, instance_id, reason)| Leaving {
            member: identity(member_id, instance_id.as_ref()),
            reason: reason.as_ref().map(ToString::to_string),
        })
        .collect();
    let group = group(&request.group_id);
    let groups = context.services.groups.clone();
    Outcome::Later(Box::pin(async move {
        let response = LeaveGroupResponse::default();
        match groups.leave(group, leaving).await {
            Err(code) => response.with_error_code(code.code()),
            Ok(outcomes) if is_batched => {
                let members = named
                    .into_iter()
                    .zip(outcomes)
                    .map(|((member_id, instance_id, _), (_, code))| {
                        MemberResponse::default()
                            .with_member_id(member_id)
                            .with_group_instance_id(instance_id)
                            .with_error_code(code.code())
                    })
                    .collect();
                response.with_members(members)
            }
            Ok(outcomes) => response.with_error_code(
                outcomes.first().map_or(ErrorCode::None, |(_, code)| *code).code(),
            ),
        }
    }))
}
