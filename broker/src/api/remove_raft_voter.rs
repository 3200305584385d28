//! `RemoveRaftVoter`: let this controller vote no more. Source: KIP-853.

use bytes::Bytes;
use kafka_protocol::messages::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};

use super::context::RequestContext;
use super::quorum_words::{Words, cluster, key, put};
use super::reply::Outcome;
use super::wire::text;
use crate::environment::Runtime;
use crate::model::ErrorCode;
use crate::raft::{RemoveVoterRequest, Request, Response};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: RemoveRaftVoterRequest,
) -> Outcome<RemoveRaftVoterResponse> {
    let cluster_id = cluster(request.cluster_id.as_ref());
    let asked = Request::RemoveVoter(RemoveVoterRequest {
        cluster_id: cluster_id.clone(),
        voter: key(request.voter_id, request.voter_directory_id),
    });
    put(context, cluster_id.as_ref(), Some(asked), 0, Words { refused, answered })
}

fn refused(error: ErrorCode) -> RemoveRaftVoterResponse {
    RemoveRaftVoterResponse::default().with_error_code(error.code()).with_error_message(None)
}

fn answered(response: Response, _: Bytes, _: &str, _: i16) -> Option<RemoveRaftVoterResponse> {
    let Response::RemoveVoter(answer) = response else { return None };
    Some(refused(answer.error).with_error_message(answer.message.as_deref().map(text)))
}
