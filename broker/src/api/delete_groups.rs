//! DeleteGroups: removes empty groups with their offsets. Source: KIP-229.

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::context::RequestContext;
use super::group_words::group;
use super::reply::Outcome;
use crate::environment::Runtime;
use crate::model::ErrorCode;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: DeleteGroupsRequest,
) -> Outcome<DeleteGroupsResponse> {
    let groups = context.services.groups.clone();
    Outcome::Later(Box::pin(async move {
        let mut results = Vec::with_capacity(request.groups_names.len());
        for id in request.groups_names {
            let code = groups.delete(group(&id)).await.err().unwrap_or(ErrorCode::None);
            results.push(
                DeletableGroupResult::default().with_group_id(id).with_error_code(code.code()),
            );
        }
        DeleteGroupsResponse::default().with_results(results)
    }))
}
