//! ListGroups: all groups this broker coordinates. Source: KIP-518 (by state), KIP-848 (by type).

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::text;
use crate::environment::Runtime;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: ListGroupsRequest,
) -> Outcome<ListGroupsResponse> {
    let groups = context.services.groups.clone();
    let version = context.version();
    Outcome::Later(Box::pin(async move {
        let strings = |filter: &[StrBytes]| -> Vec<String> {
            filter.iter().map(ToString::to_string).collect()
        };
        match groups.list(&strings(&request.states_filter), &strings(&request.types_filter)).await {
            Err(code) => ListGroupsResponse::default().with_error_code(code.code()),
            Ok(listed) => {
                let groups = listed
                    .into_iter()
                    .map(|group| {
                        let answer = ListedGroup::default()
                            .with_group_id(GroupId(text(group.group.as_str())))
                            .with_protocol_type(text(&group.protocol_type));
                        let answer = if version >= 4 {
                            answer.with_group_state(text(group.state.name()))
                        } else {
                            answer
                        };
                        if version >= 5 {
                            answer.with_group_type(text(group.group_type))
                        } else {
                            answer
                        }
                    })
                    .collect();
                ListGroupsResponse::default().with_groups(groups)
            }
        }
    }))
}
