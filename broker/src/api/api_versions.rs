//! ApiVersions: what this broker serves. Source: KIP-35, KIP-511, KIP-584.

use kafka_protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::text;
use crate::controller::{KRAFT_VERSION, supported_features};
use crate::environment::Runtime;
use crate::model::ErrorCode;
use crate::protocol::API_TABLE;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: ApiVersionsRequest,
) -> Outcome<ApiVersionsResponse> {
    let version = context.version();
    if version >= 3
        && !(is_valid(&request.client_software_name) && is_valid(&request.client_software_version))
    {
        return Outcome::Now(
            ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code()),
        );
    }
    context.peer.acquaintance.introduce(&request.client_software_name);
    let api_keys = API_TABLE
        .iter()
        .filter(|row| row.listeners.include(context.peer.role))
        .map(|row| {
            ApiVersion::default()
                .with_api_key(row.key as i16)
                .with_min_version(row.advertised_min_version)
                .with_max_version(row.max_version)
        })
        .collect();
    let response = ApiVersionsResponse::default().with_api_keys(api_keys);
    if version < 3 {
        return Outcome::Now(response);
    }
    let image = context.image();
    let supported = supported_features()
        .into_iter()
        // Clients of version 3 cannot read a range that begins at 0.
        .filter(|(_, range)| version >= 4 || range.min > 0)
        .map(|(name, range)| {
            SupportedFeatureKey::default()
                .with_name(text(&name))
                .with_min_version(range.min)
                .with_max_version(range.max)
        })
        .collect();
    // The quorum's own feature stands in its control records, not in the image.
    let (_, level) = context.services.quorum.voters();
    let kraft_version = std::iter::once((KRAFT_VERSION, level));
    let in_image = image.features().finalized().iter().map(|(name, level)| (name.as_str(), *level));
    let finalized = in_image
        .chain(kraft_version)
        .filter(|(_, level)| *level > 0)
        .map(|(name, level)| {
            FinalizedFeatureKey::default()
                .with_name(text(name))
                .with_min_version_level(level)
                .with_max_version_level(level)
        })
        .collect();
    let epoch = image.provenance().last.map_or(-1, |last| last.offset.value());
    Outcome::Now(
        response
            .with_supported_features(supported)
            .with_finalized_features(finalized)
            .with_finalized_features_epoch(epoch),
    )
}

/// Letters, digits, dots and dashes, neither first nor last a dot or dash: KIP-511.
fn is_valid(text: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(is_edge)
        && text.ends_with(is_edge)
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
}
