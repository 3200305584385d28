//! ListConfigResources: things that can be configured. Source: KIP-714, KIP-1142.

use kafka_protocol::messages::list_config_resources_response::ConfigResource as WireConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::text;
use crate::environment::Runtime;
use crate::metadata::{ConfigResourceType, MetadataImage};
use crate::model::ErrorCode;

/// All that version 1 can list; version 0 lists client metrics subscriptions only.
const LISTED: [ConfigResourceType; 5] = [
    ConfigResourceType::Topic,
    ConfigResourceType::Broker,
    ConfigResourceType::BrokerLogger,
    ConfigResourceType::ClientMetrics,
    ConfigResourceType::Group,
];

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: ListConfigResourcesRequest,
) -> Outcome<ListConfigResourcesResponse> {
    let wanted: Vec<ConfigResourceType> =
        match (context.version(), request.resource_types.is_empty()) {
            (0, _) => vec![ConfigResourceType::ClientMetrics],
            (_, true) => LISTED.to_vec(),
            (_, false) => {
                request.resource_types.iter().map(|id| ConfigResourceType::from_id(*id)).collect()
            }
        };
    if wanted.iter().any(|kind| !LISTED.contains(kind)) {
        return Outcome::Now(
            ListConfigResourcesResponse::default()
                .with_error_code(ErrorCode::UnsupportedVersion.code()),
        );
    }
    let image = context.image();
    let mut resources = Vec::new();
    for kind in wanted {
        resources.extend(names(&image, kind).into_iter().map(|name| {
            let resource = WireConfigResource::default().with_resource_name(text(&name));
            if context.version() >= 1 { resource.with_resource_type(kind.id()) } else { resource }
        }));
    }
    Outcome::Now(ListConfigResourcesResponse::default().with_config_resources(resources))
}

fn names(image: &MetadataImage, kind: ConfigResourceType) -> Vec<String> {
    match kind {
        ConfigResourceType::Topic => {
            image.topics().iter().map(|topic| topic.name.to_string()).collect()
        }
        ConfigResourceType::Broker | ConfigResourceType::BrokerLogger => {
            image.cluster().brokers().map(|broker| broker.id.to_string()).collect()
        }
        ConfigResourceType::ClientMetrics | ConfigResourceType::Group => image
            .configurations()
            .iter()
            .filter(|(resource, _)| resource.resource_type == kind)
            .map(|(resource, _)| resource.name.clone())
            .collect(),
        ConfigResourceType::Unknown(_) => Vec::new(),
    }
}
