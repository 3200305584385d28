//! IncrementalAlterConfigs: changes single settings. Source: KIP-339.

use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::text;
use crate::controller::{ConfigChange, ConfigOperation, IncrementalAlterConfigs, Refusal};
use crate::environment::Runtime;
use crate::metadata::{ConfigResource, ConfigResourceType};
use crate::model::ErrorCode;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: IncrementalAlterConfigsRequest,
) -> Outcome<IncrementalAlterConfigsResponse> {
    let mut resources = Vec::new();
    let mut refused = Vec::new();
    for resource in &request.resources {
        let kind = ConfigResourceType::from_id(resource.resource_type);
        let name = ConfigResource::new(kind, &*resource.resource_name);
        let changes: Option<Vec<ConfigChange>> = resource
            .configs
            .iter()
            .map(|config| {
                Some(ConfigChange {
                    name: config.name.to_string(),
                    operation: operation(config.config_operation)?,
                    value: config.value.as_ref().map(ToString::to_string),
                })
            })
            .collect();
        match changes {
            Some(changes) => resources.push((name, changes)),
            None => {
                let refusal = Refusal::new(ErrorCode::InvalidRequest, "Unknown operation type");
                refused.push(answer(&name, Err(refusal)));
            }
        }
    }
    let controller = context.controller.clone();
    Outcome::Later(Box::pin(async move {
        let names: Vec<ConfigResource> =
            resources.iter().map(|(resource, _)| resource.clone()).collect();
        let asked = IncrementalAlterConfigs { resources, is_validate_only: request.validate_only };
        let mut responses = refused;
        match controller.ask(asked).await {
            Ok(outcomes) => responses
                .extend(outcomes.into_iter().map(|(resource, outcome)| answer(&resource, outcome))),
            Err(refusal) => responses
                .extend(names.iter().map(|resource| answer(resource, Err(refusal.clone())))),
        }
        IncrementalAlterConfigsResponse::default().with_responses(responses)
    }))
}

const fn operation(id: i8) -> Option<ConfigOperation> {
    match id {
        0 => Some(ConfigOperation::Set),
        1 => Some(ConfigOperation::Delete),
        2 => Some(ConfigOperation::Append),
        3 => Some(ConfigOperation::Subtract),
        _ => None,
    }
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
