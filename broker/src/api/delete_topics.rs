//! DeleteTopics, by name or by id. Source: KIP-4, KIP-516.

use std::sync::Arc;

use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    DeleteTopicsRequest, DeleteTopicsResponse, TopicName as WireTopicName,
};
use uuid::Uuid;

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::{text, wire_topic};
use crate::controller::{DeleteTopics, DeletedTopic, Refusal, TopicReference};
use crate::environment::Runtime;
use crate::model::{ErrorCode, TopicId};

/// Topics may be named by id from here on.
const BY_ID: i16 = 6;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: DeleteTopicsRequest,
) -> Outcome<DeleteTopicsResponse> {
    let version = context.version();
    let mut unclear = Vec::new();
    let topics: Vec<TopicReference> = if version >= BY_ID {
        request
            .topics
            .into_iter()
            .filter_map(|topic| match (topic.name, topic.topic_id) {
                (Some(name), id) if id.is_nil() => Some(TopicReference::Name(name.to_string())),
                (None, id) if !id.is_nil() => Some(TopicReference::Id(TopicId(id))),
                (name, id) => {
                    let message = if name.is_some() {
                        "You may not specify both topic name and topic id."
                    } else {
                        "Neither topic name nor id were specified."
                    };
                    unclear.push(
                        DeletableTopicResult::default()
                            .with_name(name)
                            .with_topic_id(id)
                            .with_error_code(ErrorCode::InvalidRequest.code())
                            .with_error_message(Some(text(message))),
                    );
                    None
                }
            })
            .collect()
    } else {
        request.topic_names.iter().map(|name| TopicReference::Name(name.to_string())).collect()
    };
    let services = Arc::clone(&context.services);
    let controller = context.controller.clone();
    Outcome::Later(Box::pin(async move {
        let mut responses = unclear;
        let asked = DeleteTopics { topics: topics.clone() };
        match controller.ask_within(&services.runtime, asked, request.timeout_ms).await {
            Ok(outcomes) => responses.extend(
                outcomes
                    .into_iter()
                    .map(|(reference, outcome)| answer(&reference, outcome, version)),
            ),
            Err(refusal) => {
                responses.extend(
                    topics.iter().map(|reference| answer(reference, Err(refusal.clone()), version)),
                );
            }
        }
        DeleteTopicsResponse::default().with_responses(responses)
    }))
}

fn answer(
    reference: &TopicReference,
    outcome: Result<DeletedTopic, Refusal>,
    version: i16,
) -> DeletableTopicResult {
    let (name, id, code, message) = match (outcome, reference) {
        (Ok(deleted), _) => (Some(wire_topic(&deleted.name)), deleted.id.0, ErrorCode::None, None),
        (Err(refusal), TopicReference::Name(name)) => {
            (Some(WireTopicName(text(name))), Uuid::nil(), refusal.code, refusal.message)
        }
        (Err(refusal), TopicReference::Id(id)) => (None, id.0, refusal.code, refusal.message),
    };
    // Clients below version 3 do not know that deletion can be switched off.
    let code = if code == ErrorCode::TopicDeletionDisabled && version < 3 {
        ErrorCode::InvalidRequest
    } else {
        code
    };
    let result = DeletableTopicResult::default().with_name(name).with_error_code(code.code());
    let result =
        if version >= 5 { result.with_error_message(message.as_deref().map(text)) } else { result };
    if version >= BY_ID { result.with_topic_id(id) } else { result }
}
