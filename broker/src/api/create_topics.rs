//! CreateTopics. Source: KIP-4, KIP-464 (defaults), KIP-525 (what was made), KIP-516 (ids).

use std::collections::BTreeMap;

use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse, TopicName as WireTopicName,
};

use super::active_controller::{Remote, check};
use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::{text, wire_nodes};
use crate::config::NodeLayers;
use crate::controller::{CreateTopics, CreatedTopic, NewTopic, Refusal};
use crate::environment::Runtime;
use crate::model::{NodeId, PartitionIndex, TopicId};

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
    let controller = context.controller.clone();
    Outcome::Later(Box::pin(async move {
        let topics = match controller.ask_within(&services.runtime, asked, request.timeout_ms).await
        {
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

/// How a broker has topics made by itself.
impl Remote for CreateTopics {
    type Wire = CreateTopicsRequest;

    fn to_wire(&self) -> CreateTopicsRequest {
        let topics = self.topics.iter().map(|topic| {
            let assignments = topic.assignments.iter().map(|(index, replicas)| {
                CreatableReplicaAssignment::default()
                    .with_partition_index(index.0)
                    .with_broker_ids(wire_nodes(replicas))
            });
            let configs = topic.configs.iter().map(|(name, value)| {
                CreatableTopicConfig::default()
                    .with_name(text(name))
                    .with_value(value.as_deref().map(text))
            });
            CreatableTopic::default()
                .with_name(WireTopicName(text(&topic.name)))
                .with_num_partitions(topic.partition_count.unwrap_or(-1))
                .with_replication_factor(topic.replication_factor.unwrap_or(-1))
                .with_assignments(assignments.collect())
                .with_configs(configs.collect())
        });
        CreateTopicsRequest::default()
            .with_topics(topics.collect())
            .with_timeout_ms(OWN_TIMEOUT_MS)
            .with_validate_only(self.is_validate_only)
    }

    /// Leaves out the configuration, which nobody asks for here.
    fn outcome_of(&self, response: CreateTopicsResponse) -> Result<Self::Outcome, Refusal> {
        let topics = response.topics.into_iter().map(|topic| {
            let refused = check(topic.error_code, topic.error_message.as_deref());
            let created = refused.map(|()| CreatedTopic {
                id: TopicId(topic.topic_id),
                partition_count: usize::try_from(topic.num_partitions).unwrap_or(0),
                replication_factor: usize::try_from(topic.replication_factor).unwrap_or(0),
                configs: BTreeMap::new(),
            });
            (topic.name.to_string(), created)
        });
        Ok(topics.collect())
    }
}

/// What a broker's own question says of its patience.
const OWN_TIMEOUT_MS: i32 = 30_000;

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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::ErrorCode;

    #[test]
    fn what_a_broker_has_made_survives_the_way() {
        let topic = NewTopic {
            name: "a".to_owned(),
            partition_count: Some(3),
            replication_factor: None,
            assignments: vec![(PartitionIndex(0), vec![NodeId(1), NodeId(2)])],
            configs: vec![("k".to_owned(), Some("v".to_owned())), ("n".to_owned(), None)],
        };
        let asked = CreateTopics { topics: vec![topic.clone()], is_validate_only: false };
        let wire = asked.to_wire();
        assert_eq!(wire.topics.iter().map(translate).collect::<Vec<_>>(), [topic]);
        let made = CreatableTopicResult::default()
            .with_name(WireTopicName(text("a")))
            .with_topic_id(Uuid::from_u128(7))
            .with_num_partitions(3)
            .with_replication_factor(2);
        let refused = CreatableTopicResult::default().with_error_code(36);
        let response = CreateTopicsResponse::default().with_topics(vec![made, refused]);
        let outcome = asked.outcome_of(response).unwrap();
        let created = outcome[0].1.as_ref().unwrap();
        assert_eq!((created.partition_count, created.replication_factor), (3, 2));
        let code = outcome[1].1.as_ref().map_err(|refusal| refusal.code);
        assert_eq!(code, Err(ErrorCode::TopicAlreadyExists));
    }
}
