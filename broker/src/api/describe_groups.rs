//! DescribeGroups: state and members of classic groups. Source: KIP-430 (operations), KIP-1043 (errors).

use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

use super::context::RequestContext;
use super::endpoints::{GROUP_OPERATIONS, OPERATIONS_OMITTED};
use super::group_words::group;
use super::reply::Outcome;
use super::wire::text;
use crate::coordinator::{GroupDescription, GroupState};
use crate::environment::Runtime;
use crate::model::ErrorCode;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: DescribeGroupsRequest,
) -> Outcome<DescribeGroupsResponse> {
    let groups = context.services.groups.clone();
    let version = context.version();
    let operations = if version >= 3 && request.include_authorized_operations {
        GROUP_OPERATIONS
    } else {
        OPERATIONS_OMITTED
    };
    Outcome::Later(Box::pin(async move {
        let mut described = Vec::with_capacity(request.groups.len());
        for id in request.groups {
            let answer = DescribedGroup::default()
                .with_group_id(id.clone())
                .with_authorized_operations(operations);
            described.push(match groups.describe(group(&id)).await {
                Err(code) => answer.with_error_code(code.code()).with_error_message(None),
                Ok(Some(description)) => describe(answer, description),
                Ok(None) => missing(answer, &id, version),
            });
        }
        DescribeGroupsResponse::default().with_groups(described)
    }))
}

fn describe(answer: DescribedGroup, description: GroupDescription) -> DescribedGroup {
    let members = description
        .members
        .into_iter()
        .map(|member| {
            let answer = DescribedGroupMember::default()
                .with_member_id(text(member.member_id.as_str()))
                .with_client_id(text(&member.client_id))
                .with_client_host(text(&member.client_host))
                .with_member_metadata(member.metadata)
                .with_member_assignment(member.assignment);
            answer.with_group_instance_id(member.instance_id.map(|id| text(id.as_str())))
        })
        .collect();
    answer
        .with_error_message(None)
        .with_group_state(text(description.state.name()))
        .with_protocol_type(text(&description.protocol_type))
        .with_protocol_data(text(&description.protocol_name))
        .with_members(members)
}

/// A group that does not exist: dead, and from version 6 on an error as well.
fn missing(answer: DescribedGroup, id: &GroupId, version: i16) -> DescribedGroup {
    let answer = answer.with_error_message(None).with_group_state(text(GroupState::Dead.name()));
    if version < 6 {
        return answer;
    }
    let message = format!("Group {} not found.", id.as_str());
    answer
        .with_error_code(ErrorCode::GroupIdNotFound.code())
        .with_error_message(Some(text(&message)))
}
