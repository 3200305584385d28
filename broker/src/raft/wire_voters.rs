//! Requests about voters, in the codec's structures, and their answers in our own words. Source: KIP-853.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::add_raft_voter_request::Listener as AddedListener;
use kafka_protocol::messages::update_raft_voter_request::{
    KRaftVersionFeature, Listener as UpdatedListener,
};
use kafka_protocol::messages::{
    AddRaftVoterRequest, ApiVersionsRequest, ApiVersionsResponse, BrokerId, RemoveRaftVoterRequest,
    UpdateRaftVoterRequest, UpdateRaftVoterResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::ready::{
    AddVoterRequest, Answer, RemoveVoterRequest, Response, UpdateVoterRequest, VoterAnswer,
};
use super::voters::Endpoint;
use super::wire::{Answering, AskError, directory, text};
use crate::client::Connection;
use crate::environment::Runtime;
use crate::model::{ErrorCode, LeaderEpoch, NodeId};

/// The feature whose levels a voter must know.
const KRAFT_VERSION: &str = "kraft.version";

/// The first version of `ApiVersions` that tells of features that may be absent.
const TELLS_OF_ABSENCE: i16 = 4;

pub(super) async fn add<R: Runtime>(
    connection: &Connection<R>,
    request: &AddVoterRequest,
    after: Duration,
) -> Result<Answering, AskError> {
    // Version 0 has no word for impatience: its answer comes once the change is committed.
    let version = connection.version_of::<AddRaftVoterRequest>(0)?;
    let listener = |one: &Endpoint| {
        AddedListener::default()
            .with_name(text(&one.name))
            .with_host(text(&one.host))
            .with_port(one.port)
    };
    let wire = AddRaftVoterRequest::default()
        .with_cluster_id(request.cluster_id.as_ref().map(|id| text(id.as_str())))
        .with_timeout_ms(i32::try_from(after.as_millis()).unwrap_or(i32::MAX))
        .with_voter_id(request.voter.id.0)
        .with_voter_directory_id(directory(Some(request.voter)))
        .with_listeners(request.endpoints.iter().map(listener).collect());
    let pending = connection.start(&wire, version, after).await?;
    Ok(Box::pin(async move {
        let (response, _) = pending.wait().await?;
        let answer = voter_answer(response.error_code, response.error_message)?;
        Ok((Response::AddVoter(answer), Bytes::new()))
    }))
}

pub(super) async fn remove<R: Runtime>(
    connection: &Connection<R>,
    request: &RemoveVoterRequest,
    after: Duration,
) -> Result<Answering, AskError> {
    let version = connection.version_of::<RemoveRaftVoterRequest>(0)?;
    let wire = RemoveRaftVoterRequest::default()
        .with_cluster_id(request.cluster_id.as_ref().map(|id| text(id.as_str())))
        .with_voter_id(request.voter.id.0)
        .with_voter_directory_id(directory(Some(request.voter)));
    let pending = connection.start(&wire, version, after).await?;
    Ok(Box::pin(async move {
        let (response, _) = pending.wait().await?;
        let answer = voter_answer(response.error_code, response.error_message)?;
        Ok((Response::RemoveVoter(answer), Bytes::new()))
    }))
}

pub(super) async fn update<R: Runtime>(
    connection: &Connection<R>,
    request: &UpdateVoterRequest,
    listener: String,
    after: Duration,
) -> Result<Answering, AskError> {
    let version = connection.version_of::<UpdateRaftVoterRequest>(0)?;
    let voter = &request.voter;
    let named = |one: &Endpoint| {
        UpdatedListener::default()
            .with_name(text(&one.name))
            .with_host(text(&one.host))
            .with_port(one.port)
    };
    let range = KRaftVersionFeature::default()
        .with_min_supported_version(voter.kraft_version_min)
        .with_max_supported_version(voter.kraft_version_max);
    let wire = UpdateRaftVoterRequest::default()
        .with_cluster_id(request.cluster_id.as_ref().map(|id| text(id.as_str())))
        .with_current_leader_epoch(request.leader_epoch.value())
        .with_voter_id(voter.key.id.0)
        .with_voter_directory_id(directory(Some(voter.key)))
        .with_listeners(voter.endpoints.iter().map(named).collect())
        .with_k_raft_version_feature(range);
    let pending = connection.start(&wire, version, after).await?;
    Ok(Box::pin(async move {
        let (response, _) = pending.wait().await?;
        Ok((Response::UpdateVoter(updated(&response, listener)?), Bytes::new()))
    }))
}

pub(super) async fn versions<R: Runtime>(
    connection: &Connection<R>,
    after: Duration,
) -> Result<Answering, AskError> {
    let version = connection.version_of::<ApiVersionsRequest>(TELLS_OF_ABSENCE)?;
    let wire = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("ottla"))
        .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
    let pending = connection.start(&wire, version, after).await?;
    Ok(Box::pin(async move {
        let (response, _) = pending.wait().await?;
        Ok((Response::Versions(kraft_versions(&response)), Bytes::new()))
    }))
}

fn kraft_versions(response: &ApiVersionsResponse) -> Option<(i16, i16)> {
    let features = &response.supported_features;
    let found = features.iter().find(|feature| feature.name.as_str() == KRAFT_VERSION);
    found.map(|feature| (feature.min_version, feature.max_version))
}

fn voter_answer(error: i16, message: Option<StrBytes>) -> Result<VoterAnswer, AskError> {
    let odd = || AskError::Odd(format!("error {error}"));
    let error = ErrorCode::from_code(error).ok_or_else(odd)?;
    Ok(VoterAnswer { error, message: message.map(|message| message.to_string()) })
}

fn updated(response: &UpdateRaftVoterResponse, listener: String) -> Result<Answer, AskError> {
    let odd = || AskError::Odd(format!("error {}", response.error_code));
    let error = ErrorCode::from_code(response.error_code).ok_or_else(odd)?;
    let current = &response.current_leader;
    let leader = (current.leader_id != BrokerId(-1)).then_some(NodeId(current.leader_id.0));
    let port = u16::try_from(current.port).ok().filter(|port| *port > 0);
    let endpoint = port.filter(|_| !current.host.is_empty()).map(|port| Endpoint {
        name: listener,
        host: current.host.to_string(),
        port,
    });
    Ok(Answer {
        error,
        epoch: LeaderEpoch::from_wire(current.leader_epoch).unwrap_or(LeaderEpoch::ZERO),
        leader: leader.filter(|_| endpoint.is_some()),
        leader_endpoints: endpoint.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::api_versions_response::SupportedFeatureKey;

    use super::*;

    #[test]
    fn a_node_that_says_nothing_of_the_quorum_knows_nothing_of_it() {
        let mut response = ApiVersionsResponse::default();
        assert_eq!(kraft_versions(&response), None);
        let feature =
            SupportedFeatureKey::default().with_name(text(KRAFT_VERSION)).with_max_version(1);
        response.supported_features.push(feature);
        assert_eq!(kraft_versions(&response), Some((0, 1)));
    }
}
