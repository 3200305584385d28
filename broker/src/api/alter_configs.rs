//! AlterConfigs: replaces all settings of things. Superseded by IncrementalAlterConfigs. Source: KIP-133.

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::text;
use crate::controller::{AlterConfigs, Refusal};
use crate::environment::Runtime;
use crate::metadata::{ConfigResource, ConfigResourceType};
use crate::model::ErrorCode;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: AlterConfigsRequest,
) -> Outcome<AlterConfigsResponse> {
    let resources: Vec<_> = request
        .resources
        .iter()
        .map(|resource| {
            let kind = ConfigResourceType::from_id(resource.resource_type);
            let values = resource
                .configs
                .iter()
                .map(|config| {
                    (config.name.to_string(), config.value.as_ref().map(ToString::to_string))
                })
                .collect();
            (ConfigResource::new(kind, &*resource.resource_name), values)
        })
        .collect();
    let controller = context.controller.clone();
    Outcome::Later(Box::pin(async move {
        let names: Vec<ConfigResource> =
            resources.iter().map(|(resource, _)| resource.clone()).collect();
        let asked = AlterConfigs { resources, is_validate_only: request.validate_only };
        let responses = match controller.ask(asked).await {
            Ok(outcomes) => {
                outcomes.into_iter().map(|(resource, outcome)| answer(&resource, outcome)).collect()
            }
            Err(refusal) => {
                names.iter().map(|resource| answer(resource, Err(refusal.clone()))).collect()
            }
        };
        AlterConfigsResponse::default().with_responses(responses)
    }))
}

fn answer(resource: &ConfigResource, outcome: Result<(), Refusal>) -> AlterConfigsResourceResponse {
    let (code, message) = match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err(refusal) => (refusal.code, refusal.message),
    };
    AlterConfigsResourceResponse::default()
        .with_resource_type(resource.resource_type.id())
        .with_resource_name(text(&resource.name))
        .with_error_code(code.code())
        .with_error_message(message.as_deref().map(text))
}
