use std::collections::BTreeMap;

use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_protocol::protocol::Request;

use super::{Admin, Each};
use crate::client::wire::text;
use crate::client::{Error, MissingTopic, Topic};
use crate::environment::Runtime;
use crate::model::TopicName;

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions; `None` for the broker's default.
    pub partition_count: Option<i32>,
    /// How many replicas of each; `None` for the broker's default.
    pub replication_factor: Option<i16>,
    /// Configuration that differs from the broker's.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with this many partitions and otherwise the broker's defaults.
    #[must_use]
    pub fn new(name: impl Into<TopicName>, partition_count: i32) -> Self {
        Self {
            name: name.into(),
            partition_count: Some(partition_count),
            replication_factor: None,
            configs: BTreeMap::new(),
        }
    }
}

impl<R: Runtime> Admin<R> {
    /// Makes topics.
    ///
    /// # Errors
    ///
    /// When no broker answers in time; for each topic, the broker's refusal.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<Each<TopicName, ()>, Error> {
        let config = |(name, value): (&String, &String)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let wanted = topics.iter().map(|topic| {
            CreatableTopic::default()
                .with_name(text(topic.name.as_str()).into())
                .with_num_partitions(topic.partition_count.unwrap_or(-1))
                .with_replication_factor(topic.replication_factor.unwrap_or(-1))
                .with_configs(topic.configs.iter().map(config).collect())
        });
        let request = CreateTopicsRequest::default()
            .with_topics(wanted.collect())
            .with_timeout_ms(self.request_timeout_ms());
        let response = self.ask(&request, 7).await?;
        let outcome =
            |topic: kafka_protocol::messages::create_topics_response::CreatableTopicResult| {
                let name = TopicName::new(topic.name.as_str());
                let what = || format!("create topic {name}");
                let outcome = Error::check(what, topic.error_code, topic.error_message.as_deref());
                (name, outcome)
            };
        Ok(response.topics.into_iter().map(outcome).collect())
    }

    /// Deletes topics with all their records.
    ///
    /// # Errors
    ///
    /// When no broker answers in time; for each topic, the broker's refusal.
    pub async fn delete_topics(&self, names: &[TopicName]) -> Result<Each<TopicName, ()>, Error> {
        let by_state = |name: &TopicName| {
            DeleteTopicState::default().with_name(Some(text(name.as_str()).into()))
        };
        let by_name = |name: &TopicName| text(name.as_str()).into();
        let connection = self.client.any(crate::client::router::Lane::Admin).await?;
        let request = DeleteTopicsRequest::default().with_timeout_ms(self.request_timeout_ms());
        let request = if connection.version_of::<DeleteTopicsRequest>(6)? >= 6 {
            request.with_topics(names.iter().map(by_state).collect())
        } else {
            request.with_topic_names(names.iter().map(by_name).collect())
        };
        let response = self.ask(&request, 6).await?;
        let outcomes = response.responses.into_iter().filter_map(|topic| {
            let name = TopicName::new(topic.name?.as_str());
            let what = || format!("delete topic {name}");
            let outcome = Error::check(what, topic.error_code, topic.error_message.as_deref());
            Some((name, outcome))
        });
        Ok(outcomes.collect())
    }

    /// Gives a topic more partitions: `count` in all.
    ///
    /// # Errors
    ///
    /// The broker's refusal, or that none answers in time.
    pub async fn create_partitions(&self, name: &TopicName, count: i32) -> Result<(), Error> {
        let topic = CreatePartitionsTopic::default()
            .with_name(text(name.as_str()).into())
            .with_count(count)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(self.request_timeout_ms());
        let response = self.ask(&request, 3).await?;
        for result in response.results {
            let what = || format!("add partitions to topic {name}");
            Error::check(what, result.error_code, result.error_message.as_deref())?;
        }
        Ok(())
    }

    /// Waits until every partition of a topic has a leader that clients can see.
    ///
    /// # Errors
    ///
    /// When that takes too long.
    pub async fn wait_for_leaders(&self, name: &TopicName) -> Result<(), Error> {
        let has_leaders =
            |topic: &Topic| topic.partitions.values().all(|partition| partition.leader.is_some());
        self.wait_until(name, |topic| topic.is_some_and(has_leaders)).await
    }

    /// Waits until a broker shows a topic as it should be: what was ordered is decided before brokers have heard of it.
    ///
    /// # Errors
    ///
    /// When that takes too long.
    pub async fn wait_until(
        &self,
        name: &TopicName,
        is_as_it_should_be: impl Fn(Option<&Topic>) -> bool,
    ) -> Result<(), Error> {
        let mut retry = self.client.retry();
        loop {
            let names = std::slice::from_ref(name);
            let cluster = self.client.refresh(Some(names), MissingTopic::Leave).await?;
            if is_as_it_should_be(cluster.topics.get(name)) {
                return Ok(());
            }
            retry.after(Error::NoLeader { what: format!("topic {name}") }).await?;
        }
    }

    /// Asks some broker, again while it cannot be reached.
    pub(super) async fn ask<Q: Request>(
        &self,
        request: &Q,
        newest: i16,
    ) -> Result<Q::Response, Error> {
        let mut retry = self.client.retry();
        loop {
            match self.client.call_any(request, newest).await {
                Ok(response) => return Ok(response),
                // It may have been done: a second attempt would answer for the first.
                Err(error) if error.is_outcome_unknown() => return Err(error),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    pub(super) fn request_timeout_ms(&self) -> i32 {
        i32::try_from(self.client.settings().request_timeout.as_millis()).unwrap_or(i32::MAX)
    }
}
