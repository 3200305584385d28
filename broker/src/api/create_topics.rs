//! CreateTopics. Source: KIP-4, KIP-464 (defaults), KIP-525 (what was made), KIP-516 (ids).

use std::collections::BTreeMap;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse, TopicName as WireTopicName,
};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::text;
use crate::config::NodeLayers;
use crate::controller::{CreateTopics, CreatedTopic, NewTopic, Refusal};
use crate::environment::Runtime;
use crate::model::{NodeId, PartitionIndex};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: CreateTopicsRequest,
) -> Outcome<CreateTopicsResponse> {
    let version = context.version();
    let asked = CreateTopics {
        topics: request.topics.iter().map(translate).collect(),
        is_validate_only: request.validate_only,
    };
    let services = std::sync::Arc::clone(&context.services);
    Outcome::Later(Box::pin(async move {
        let topics = match services.ask_controller(asked, request.timeout_ms).await {
            Ok(outcomes) => {
                let image = services.image.load();
                let dynamic = image.configurations().of_node(services.node);
                let layers = NodeLayers { settings: services.config.settings(), dynamic };
                outcomes
                    .into_iter()
                    .map(|(name, outcome)| answer(&name, outcome, version, layers))
                    .collect()
            }
            Err(refusal) => {
                let each = request.topics.iter();
                each.map(|topic| {
                    refused(
                        CreatableTopicResult::default().with_name(topic.name.clone()),
                        &refusal,
                        version,
                    )
                })
                .collect()
            }
        };
        CreateTopicsResponse::default().with_topics(topics)
    }))
}

fn translate(topic: &CreatableTopic) -> NewTopic {
    NewTopic {
        name: topic.name.to_string(),
        partition_count: Some(topic.num_partitions).filter(|count| *count != -1),
        replication_factor: Some(topic.replication_factor).filter(|factor| *factor != -1),
        assignments: topic
            .assignments
            .iter()
            .map(|one| {
                (
                    PartitionIndex(one.partition_index),
                    one.broker_ids.iter().map(|id| NodeId(id.0)).collect(),
                )
            })
            .collect(),
        configs: topic
            .configs
            .iter()
            .map(|config| (config.name.to_string(), config.value.as_ref().map(ToString::to_string)))
            .collect(),
    }
}

fn answer(
    name: &str,
    outcome: Result<CreatedTopic, Refusal>,
    version: i16,
    layers: NodeLayers<'_>,
) -> CreatableTopicResult {
    let result = CreatableTopicResult::default().with_name(WireTopicName(text(name)));
    match outcome {
        Err(refusal) => refused(result, &refusal, version),
        Ok(created) => {
            let result = result.with_error_message(None).with_configs(None);
            if version < 5 {
                return result;
            }
            let result = result
                .with_num_partitions(i32::try_from(created.partition_count).unwrap_or(i32::MAX))
                .with_replication_factor(
                    i16::try_from(created.replication_factor).unwrap_or(i16::MAX),
                )
                .with_configs(Some(configs(&created.configs, layers)));
            if version >= 7 { result.with_topic_id(created.id.0) } else { result }
        }
    }
}

fn configs(
    overrides: &BTreeMap<String, String>,
    layers: NodeLayers<'_>,
) -> Vec<CreatableTopicConfigs> {
    layers
        .describe_topic(overrides)
        .into_iter()
        .map(|config| {
            CreatableTopicConfigs::default()
                .with_name(text(&config.name))
                .with_value(config.value.as_deref().map(text))
                .with_read_only(config.is_read_only)
                .with_config_source(config.source.id())
                .with_is_sensitive(config.is_sensitive)
        })
        .collect()
}

fn refused(result: CreatableTopicResult, refusal: &Refusal, version: i16) -> CreatableTopicResult {
    let result = result
        .with_error_code(refusal.code.code())
        .with_error_message(refusal.message.as_deref().map(text))
        .with_configs(None);
    if version >= 5 {
        result.with_num_partitions(-1).with_replication_factor(-1).with_configs(Some(Vec::new()))
    } else {
        result
    }
}
