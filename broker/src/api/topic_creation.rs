//! Topics made because a client named them, or because a coordinator needs them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::warn;

use super::context::Services;
use crate::controller::{CreateTopics, Error, NewTopic};
use crate::environment::Runtime;
use crate::model::{ErrorCode, TopicName};

/// The log of group state and offsets.
pub(super) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The log of transaction state.
pub(super) const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// The log of share-group state.
pub(super) const SHARE_STATE_TOPIC: &str = "__share_group_state";

/// True for topics that belong to the brokers.
pub(super) fn is_internal(topic: &str) -> bool {
    matches!(topic, OFFSETS_TOPIC | TRANSACTIONS_TOPIC | SHARE_STATE_TOPIC)
}

/// Creations under way: however many clients name a topic, it is asked for once.
#[derive(Clone, Debug, Default)]
pub struct TopicCreation(Arc<Mutex<BTreeSet<TopicName>>>);

impl TopicCreation {
    /// Asks the controller for `topic` in the background; the client finds it when it asks again.
    pub(super) fn start<R: Runtime>(&self, services: &Arc<Services<R>>, topic: TopicName) {
        if !self.lock().insert(topic.clone()) {
            return;
        }
        let creation = self.clone();
        let controller = services.controller.clone();
        let request =
            CreateTopics { topics: vec![describe(services, &topic)], is_validate_only: false };
        services.runtime.spawn("topic creation", async move {
            let refusal = match controller.ask(request).await.map_err(Error::into_refusal) {
                Ok(outcomes) => outcomes.into_iter().find_map(|(_, outcome)| outcome.err()),
                Err(refusal) => Some(refusal),
            };
            if let Some(refusal) =
                refusal.filter(|refusal| refusal.code != ErrorCode::TopicAlreadyExists)
            {
                warn!(%topic, %refusal, "a topic could not be created automatically");
            }
            creation.lock().remove(&topic);
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<TopicName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an automatic topic looks like: the broker's defaults, or what the offsets topic needs.
fn describe<R: Runtime>(services: &Services<R>, topic: &TopicName) -> NewTopic {
    let name = topic.to_string();
    if topic.as_str() != OFFSETS_TOPIC {
        return NewTopic { name, ..NewTopic::default() };
    }
    let offsets = &services.config.offsets;
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("segment.bytes", offsets.topic_segment_bytes.to_string()),
        ("compression.type", "producer".to_owned()),
    ];
    NewTopic {
        name,
        partition_count: Some(offsets.topic_num_partitions),
        replication_factor: Some(
            i16::try_from(offsets.topic_replication_factor).unwrap_or(i16::MAX),
        ),
        assignments: Vec::new(),
        configs: configs.into_iter().map(|(key, value)| (key.to_owned(), Some(value))).collect(),
    }
}
