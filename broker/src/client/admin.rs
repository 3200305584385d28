//! What an operator asks of a cluster, in our own words.

mod topics;
mod configs;
mod groups;
mod offsets;

use super::{Client, Cluster, Error, MissingTopic};
use crate::environment::Runtime;
use crate::model::{ClusterId, NodeId, TopicName};

pub use configs::{ConfigChange, ConfigEntry, ConfigSource, Resource};
pub(super) use groups::{Commit, assigned_partitions, commit_offsets, fetch_offsets};
pub use groups::{GroupDescription, GroupListing, GroupMember, GroupOffset};
pub(super) use offsets::list_offsets;
pub use offsets::{IsolationLevel, OffsetSpec, PartitionOffset};
pub use topics::NewTopic;

/// Questions and orders of an operator. Each tries again on what passes by itself, until the client's task time-out.
#[derive(Clone, Debug)]
pub struct Admin<R: Runtime> {
    client: Client<R>,
}

/// The outcome for one of several things asked for together.
pub type Each<K, V> = Vec<(K, Result<V, Error>)>;

/// A cluster, without its topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub id: Option<ClusterId>,
    /// The broker that stands for the controller.
    pub controller: Option<NodeId>,
    /// The brokers alive.
    pub brokers: Vec<super::Broker>,
}

impl<R: Runtime> Admin<R> {
    /// Asks through this client.
    #[must_use]
    pub fn new(client: Client<R>) -> Self {
        Self { client }
    }

    /// The cluster's id and brokers.
    ///
    /// # Errors
    ///
    /// When no broker answers in time.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, Error> {
        let cluster = self.client.refresh(Some(&[]), MissingTopic::Leave).await?;
        Ok(ClusterDescription {
            id: cluster.id.clone(),
            controller: cluster.controller,
            brokers: cluster.brokers.values().cloned().collect(),
        })
    }

    /// All topics with their partitions, as they are now.
    ///
    /// # Errors
    ///
    /// When no broker answers in time.
    pub async fn list_topics(&self) -> Result<std::sync::Arc<Cluster>, Error> {
        self.client.refresh(None, MissingTopic::Leave).await
    }

    /// These topics as they are now.
    ///
    /// # Errors
    ///
    /// When no broker answers in time; for each topic, that it does not exist.
    pub async fn describe_topics(
        &self,
        names: &[TopicName],
    ) -> Result<Each<TopicName, super::Topic>, Error> {
        let mut retry = self.client.retry();
        loop {
            match self.client.refresh_once(Some(names), MissingTopic::Leave).await {
                Ok((cluster, refused)) => {
                    let describe = |name: &TopicName| {
                        let is_refused = refused.iter().any(|(refused, _)| refused == name);
                        let topic = cluster.topics.get(name).filter(|_| !is_refused).cloned();
                        let topic = topic.ok_or_else(|| super::router::refusal(name, &refused));
                        (name.clone(), topic)
                    };
                    return Ok(names.iter().map(describe).collect());
                }
                Err(error) => retry.after(error).await?,
            }
        }
    }
}
