//! Topics made because a client named them, or because a coordinator needs them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::warn;

use super::context::Services;
use crate::controller::{CreateTopics, NewTopic, Refusal};
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

/// Creations under way: however many clients name a topic, it is asked for once, and however many topics they name, one
/// question at a time goes to the controller.
#[derive(Clone, Debug, Default)]
pub struct TopicCreation(Arc<Mutex<UnderWay>>);

#[derive(Debug, Default)]
struct UnderWay {
    /// To be asked for.
    waiting: BTreeSet<TopicName>,
    /// Asked for.
    asked: BTreeSet<TopicName>,
    is_running: bool,
}

/// Topics in one question; the controller refuses a question for too many partitions as a whole.
const TOPICS_AT_ONCE: usize = 100;

/// How long one question is tried; clients ask again by themselves.
const LIMIT: Duration = Duration::from_secs(30);

/// Names that wait at most. Who names more has to ask again, which clients do.
const WAITING_MAX: usize = 10_000;

impl TopicCreation {
    /// Asks the controller for `topics` in the background; the client finds them when it asks again.
    pub(super) fn start<R: Runtime>(
        &self,
        services: &Arc<Services<R>>,
        topics: impl IntoIterator<Item = TopicName>,
    ) {
        if !self.note(topics) {
            return;
        }
        let (creation, services) = (self.clone(), Arc::clone(services));
        services.runtime.clone().spawn("topic creation", async move {
            while let Some(names) = creation.next() {
                ask(&services, names).await;
            }
        });
    }

    /// Remembers what is to be made; true when somebody has to begin with it.
    fn note(&self, topics: impl IntoIterator<Item = TopicName>) -> bool {
        let mut under_way = self.lock();
        for topic in topics {
            if under_way.waiting.len() < WAITING_MAX && !under_way.asked.contains(&topic) {
                under_way.waiting.insert(topic);
            }
        }
        let begins = !under_way.is_running && !under_way.waiting.is_empty();
        under_way.is_running |= begins;
        begins
    }

    /// What is asked for next, what was asked for before being done; `None` when nothing is left.
    fn next(&self) -> Option<BTreeSet<TopicName>> {
        let mut under_way = self.lock();
        let mut next = std::mem::take(&mut under_way.waiting);
        let later = next.iter().nth(TOPICS_AT_ONCE).cloned();
        if let Some(later) = later {
            under_way.waiting = next.split_off(&later);
        }
        under_way.asked.clone_from(&next);
        under_way.is_running = !next.is_empty();
        Some(next).filter(|next| !next.is_empty())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask<R: Runtime>(services: &Services<R>, names: BTreeSet<TopicName>) {
    let topics = names.iter().map(|name| describe(services, name)).collect();
    let request = CreateTopics { topics, is_validate_only: false };
    let refused: Vec<(String, Refusal)> =
        match services.active_controller.ask(&request, LIMIT).await {
            Ok(outcomes) => outcomes
                .into_iter()
                .filter_map(|(name, outcome)| Some((name, outcome.err()?)))
                .filter(|(_, refusal)| refusal.code != ErrorCode::TopicAlreadyExists)
                .collect(),
            Err(refusal) => names.iter().map(|name| (name.to_string(), refusal.clone())).collect(),
        };
    if let Some((topic, refusal)) = refused.first() {
        let count = refused.len();
        warn!(%topic, %refusal, count, "topics could not be created automatically");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(range: std::ops::Range<usize>) -> impl Iterator<Item = TopicName> {
        range.map(|number| TopicName::from(format!("t{number:05}").as_str()))
    }

    #[test]
    fn a_topic_is_asked_for_once_however_often_it_is_named_meanwhile() {
        let creation = TopicCreation::default();
        assert!(creation.note(names(0..2)));
        assert!(!creation.note(names(0..1)), "one is at it");
        assert_eq!(creation.next(), Some(names(0..2).collect()));
        assert!(!creation.note(names(0..3)));
        assert_eq!(creation.next(), Some(names(2..3).collect()), "two are asked for");
        assert_eq!(creation.next(), None);
        // Made or refused, it may be named again.
        assert!(creation.note(names(0..1)));
    }

    #[test]
    fn nothing_to_be_made_begins_nothing() {
        assert!(!TopicCreation::default().note(names(0..0)));
    }

    #[test]
    fn many_topics_are_asked_for_in_pieces_and_too_many_not_at_all() {
        let creation = TopicCreation::default();
        assert!(creation.note(names(0..WAITING_MAX + 500)));
        let mut asked = 0;
        while let Some(next) = creation.next() {
            assert!(next.len() <= TOPICS_AT_ONCE);
            asked += next.len();
        }
        assert_eq!(asked, WAITING_MAX);
    }
}
