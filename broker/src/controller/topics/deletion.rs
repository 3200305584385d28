use std::collections::BTreeSet;

use super::{check_record_count, duplicate_name, occurrences};
use crate::controller::deciding::{Deciding, Random, Refusal, Request};
use crate::model::{ErrorCode, TopicId, TopicName};
use crate::protocol::internal_records::metadata::{MetadataRecord, RemoveTopicRecord};
use crate::state_machine::Decision;

/// Deletes topics. Source: KIP-4, KIP-516.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTopics {
    /// The topics, in the order asked.
    pub topics: Vec<TopicReference>,
}

/// A topic, by name or by identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicReference {
    /// Whatever topic has this name.
    Name(String),
    /// This very topic.
    Id(TopicId),
}

/// One topic that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name.
    pub name: TopicName,
    /// Its identity.
    pub id: TopicId,
}

/// Answers for each reference once, in the order asked.
impl Request for DeleteTopics {
    type Outcome = Vec<(TopicReference, Result<DeletedTopic, Refusal>)>;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, Self::Outcome>, Refusal> {
        if !deciding.settings.config.topics.is_delete_enabled {
            return Err(ErrorCode::TopicDeletionDisabled.into());
        }
        let mut outcome: Self::Outcome = Vec::new();
        let mut records = Vec::new();
        let mut counts = occurrences(&self.topics);
        let by_id: BTreeSet<TopicId> = self.topics.iter().filter_map(TopicReference::id).collect();
        for reference in &self.topics {
            let result = match counts.remove(reference) {
                None => continue,
                Some(1) => reference.resolve(deciding, &by_id),
                Some(_) => Err(reference.duplicate()),
            };
            if let Ok(topic) = &result {
                records.push(RemoveTopicRecord { topic_id: topic.id }.into());
            }
            outcome.push((reference.clone(), result));
        }
        check_record_count(&records)?;
        Ok(Decision::new(records, outcome))
    }
}

impl TopicReference {
    const fn id(&self) -> Option<TopicId> {
        match self {
            Self::Name(_) => None,
            Self::Id(id) => Some(*id),
        }
    }

    fn duplicate(&self) -> Refusal {
        match self {
            Self::Name(_) => duplicate_name(),
            Self::Id(_) => Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic id."),
        }
    }

    fn resolve(
        &self,
        deciding: &Deciding<'_>,
        by_id: &BTreeSet<TopicId>,
    ) -> Result<DeletedTopic, Refusal> {
        let topics = deciding.image.topics();
        let topic = match self {
            Self::Name(name) => {
                let topic = topics.by_name(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
                if by_id.contains(&topic.id) {
                    let message =
                        "The provided topic name maps to an ID that was already supplied.";
                    return Err(Refusal::new(ErrorCode::InvalidRequest, message));
                }
                topic
            }
            Self::Id(id) => topics.by_id(*id).ok_or(ErrorCode::UnknownTopicId)?,
        };
        Ok(DeletedTopic { name: topic.name.clone(), id: topic.id })
    }
}
