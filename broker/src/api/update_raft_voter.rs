//! `UpdateRaftVoter`: a voter says where it is reached and what it knows. Source: KIP-853.

use bytes::Bytes;
use kafka_protocol::messages::update_raft_voter_response::CurrentLeader;
use kafka_protocol::messages::{UpdateRaftVoterRequest, UpdateRaftVoterResponse};

use super::context::RequestContext;
use super::quorum_words::{Words, cluster, epoch, key, leader_endpoint, leader_id, put};
use super::reply::Outcome;
use super::wire::text;
use crate::environment::Runtime;
use crate::model::ErrorCode;
use crate::raft::{Endpoint, Request, Response, UpdateVoterRequest, Voter};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: UpdateRaftVoterRequest,
) -> Outcome<UpdateRaftVoterResponse> {
    let cluster_id = cluster(request.cluster_id.as_ref());
    let endpoints = request.listeners.iter().map(|listener| Endpoint {
        name: listener.name.to_string(),
        host: listener.host.to_string(),
        port: listener.port,
    });
    let range = &request.k_raft_version_feature;
    let voter = Voter {
        key: key(request.voter_id, request.voter_directory_id),
        endpoints: endpoints.collect(),
        kraft_version_min: range.min_supported_version,
        kraft_version_max: range.max_supported_version,
    };
    let asked = epoch(request.current_leader_epoch).map(|leader_epoch| {
        let cluster_id = cluster_id.clone();
        Request::UpdateVoter(UpdateVoterRequest { cluster_id, leader_epoch, voter })
    });
    put(context, cluster_id.as_ref(), asked, 0, Words { refused, answered })
}

fn refused(error: ErrorCode) -> UpdateRaftVoterResponse {
    UpdateRaftVoterResponse::default().with_error_code(error.code())
}

fn answered(
    response: Response,
    _: Bytes,
    listener: &str,
    _: i16,
) -> Option<UpdateRaftVoterResponse> {
    let Response::UpdateVoter(answer) = response else { return None };
    let leader = CurrentLeader::default()
        .with_leader_id(leader_id(&answer).into())
        .with_leader_epoch(answer.epoch.value());
    let leader = match leader_endpoint(&answer, listener) {
        Some((_, endpoint)) => {
            leader.with_host(text(&endpoint.host)).with_port(endpoint.port.into())
        }
        None => leader,
    };
    Some(refused(answer.error).with_current_leader(leader))
}
