//! DescribeConfigs: values, where they come from, what they mean. Source: KIP-133, KIP-226 (synonyms), KIP-569 (types).

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::text;
use crate::config::{ConfigSource, DescribedConfig, Kind, NodeLayers};
use crate::controller::check_topic_name;
use crate::environment::Runtime;
use crate::metadata::{ConfigResource, ConfigResourceType, MetadataImage};
use crate::model::ErrorCode;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: DescribeConfigsRequest,
) -> Outcome<DescribeConfigsResponse> {
    let image = context.image();
    let results = request
        .resources
        .into_iter()
        .map(|resource| {
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match describe(context, &image, &resource) {
                Ok(mut configs) => {
                    if let Some(keys) = &resource.configuration_keys {
                        let wanted: BTreeSet<&str> = keys.iter().map(|key| &**key).collect();
                        configs.retain(|config| wanted.contains(config.name.as_str()));
                    }
                    let configs = configs
                        .into_iter()
                        .map(|config| {
                            answer(
                                &config,
                                context.version(),
                                request.include_synonyms,
                                request.include_documentation,
                            )
                        })
                        .collect();
                    result.with_error_message(None).with_configs(configs)
                }
                Err((code, message)) => result
                    .with_error_code(code.code())
                    .with_error_message(message.as_deref().map(text)),
            }
        })
        .collect();
    Outcome::Now(DescribeConfigsResponse::default().with_results(results))
}

type Refused = (ErrorCode, Option<String>);

fn describe<R: Runtime>(
    context: &RequestContext<R>,
    image: &MetadataImage,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribedConfig>, Refused> {
    let services = &context.services;
    let layers = NodeLayers {
        settings: services.config.settings(),
        dynamic: image.configurations().of_node(services.node),
    };
    let name: &str = &resource.resource_name;
    let kind = ConfigResourceType::from_id(resource.resource_type);
    let nothing = BTreeMap::new();
    let own = image
        .configurations()
        .entries(&ConfigResource::new(kind, name))
        .map_or(&nothing, |entries| entries);
    let invalid = |message: String| (ErrorCode::InvalidRequest, Some(message));
    match kind {
        ConfigResourceType::Topic => {
            if check_topic_name(name).is_err() {
                return Err((ErrorCode::InvalidTopicException, None));
            }
            if image.topics().by_name(name).is_none() {
                return Err((ErrorCode::UnknownTopicOrPartition, None));
            }
            Ok(layers.describe_topic(own))
        }
        ConfigResourceType::Broker if name.is_empty() => Ok(layers.describe_cluster_default()),
        ConfigResourceType::Broker => match name.parse::<i32>() {
            Ok(id) if id == services.node.0 => Ok(layers.describe_node()),
            Ok(_) => Err(invalid(format!(
                "Unexpected broker id, expected {} or empty string, but received {name}",
                services.node
            ))),
            Err(_) => Err(invalid(format!("Broker id must be an integer, but it is: {name}"))),
        },
        ConfigResourceType::Group if name.is_empty() => {
            Err(invalid("Group name must not be empty".to_owned()))
        }
        ConfigResourceType::Group => Ok(layers.describe_group(own)),
        ConfigResourceType::ClientMetrics if name.is_empty() => {
            Err(invalid("Client metrics subscription name must not be empty".to_owned()))
        }
        ConfigResourceType::ClientMetrics => {
            Ok(own.iter().map(|(key, value)| subscription(key, value)).collect())
        }
        // Log levels are set with the process here.
        ConfigResourceType::BrokerLogger | ConfigResourceType::Unknown(_) => {
            Err(invalid(format!("Unsupported resource type: {}", kind.name())))
        }
    }
}

/// A setting of a client metrics subscription: known to the cluster only.
fn subscription(key: &str, value: &str) -> DescribedConfig {
    DescribedConfig {
        name: key.to_owned(),
        value: Some(value.to_owned()),
        source: ConfigSource::ClientMetrics,
        is_read_only: false,
        is_sensitive: false,
        synonyms: Vec::new(),
        kind: if key == "interval.ms" { Kind::Int } else { Kind::List },
        doc: "",
    }
}

fn answer(
    config: &DescribedConfig,
    version: i16,
    with_synonyms: bool,
    with_documentation: bool,
) -> DescribeConfigsResourceResult {
    let synonyms = config
        .synonyms
        .iter()
        .filter(|_| with_synonyms)
        .map(|synonym| {
            DescribeConfigsSynonym::default()
                .with_name(text(&synonym.name))
                .with_value(synonym.value.as_deref().map(text))
                .with_source(synonym.source.id())
        })
        .collect();
    let result = DescribeConfigsResourceResult::default()
        .with_name(text(&config.name))
        .with_value(config.value.as_deref().map(text))
        .with_read_only(config.is_read_only)
        .with_config_source(config.source.id())
        .with_is_sensitive(config.is_sensitive)
        .with_synonyms(synonyms);
    if version < 3 {
        return result;
    }
    let documentation = if with_documentation { Some(text(config.doc)) } else { None };
    result.with_config_type(config.kind.id()).with_documentation(documentation)
}
