//! `AddRaftVoter`: let this controller vote. Source: KIP-853.

use bytes::Bytes;
use kafka_protocol::messages::{AddRaftVoterRequest, AddRaftVoterResponse};

use super::context::RequestContext;
use super::quorum_words::{Words, cluster, key, put};
use super::reply::Outcome;
use super::wire::text;
use crate::environment::Runtime;
use crate::model::ErrorCode;
use crate::raft::{AddVoterRequest, Endpoint, Request, Response};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: AddRaftVoterRequest,
) -> Outcome<AddRaftVoterResponse> {
    let cluster_id = cluster(request.cluster_id.as_ref());
    let endpoints = request.listeners.iter().map(|listener| Endpoint {
        name: listener.name.to_string(),
        host: listener.host.to_string(),
        port: listener.port,
    });
    let asked = Request::AddVoter(AddVoterRequest {
        cluster_id: cluster_id.clone(),
        voter: key(request.voter_id, request.voter_directory_id),
        endpoints: endpoints.collect(),
        // Only version 1 can say otherwise, which is beyond the codec.
        acknowledge_when_committed: true,
    });
    put(context, cluster_id.as_ref(), Some(asked), 0, Words { refused, answered })
}

fn refused(error: ErrorCode) -> AddRaftVoterResponse {
    AddRaftVoterResponse::default().with_error_code(error.code()).with_error_message(None)
}

fn answered(response: Response, _: Bytes, _: &str, _: i16) -> Option<AddRaftVoterResponse> {
    let Response::AddVoter(answer) = response else { return None };
    Some(refused(answer.error).with_error_message(answer.message.as_deref().map(text)))
}
