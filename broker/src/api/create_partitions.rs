//! CreatePartitions: more partitions for topics. Source: KIP-195.

use std::sync::Arc;

use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, TopicName as WireTopicName,
};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::text;
use crate::controller::{CreatePartitions, GrownTopic, Refusal};
use crate::environment::Runtime;
use crate::model::{ErrorCode, NodeId};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: CreatePartitionsRequest,
) -> Outcome<CreatePartitionsResponse> {
    let topics: Vec<GrownTopic> = request
        .topics
        .iter()
        .map(|topic| GrownTopic {
            name: topic.name.to_string(),
            partition_count: topic.count,
            assignments: topic.assignments.as_ref().map(|assignments| {
                assignments
                    .iter()
                    .map(|one| one.broker_ids.iter().map(|id| NodeId(id.0)).collect())
                    .collect()
            }),
        })
        .collect();
    let services = Arc::clone(&context.services);
    let controller = context.controller.clone();
    Outcome::Later(Box::pin(async move {
        let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        let asked = CreatePartitions { topics, is_validate_only: request.validate_only };
        let results = match controller
            .ask_within(&services.runtime, asked, request.timeout_ms)
            .await
        {
            Ok(outcomes) => {
                outcomes.into_iter().map(|(name, outcome)| answer(&name, outcome)).collect()
            }
            Err(refusal) => names.iter().map(|name| answer(name, Err(refusal.clone()))).collect(),
        };
        CreatePartitionsResponse::default().with_results(results)
    }))
}

fn answer(name: &str, outcome: Result<(), Refusal>) -> CreatePartitionsTopicResult {
    let (code, message) = match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err(refusal) => (refusal.code, refusal.message),
    };
    CreatePartitionsTopicResult::default()
        .with_name(WireTopicName(text(name)))
        .with_error_code(code.code())
        .with_error_message(message.as_deref().map(text))
}
