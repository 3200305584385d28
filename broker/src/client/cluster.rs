//! What a client knows of the cluster: brokers, topics, leaders. A view may be old; who acts on it hears so from the broker.

use std::collections::BTreeMap;

use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::{MetadataResponse, MetadataResponsePartition};

use super::error::Endpoint;
use super::wire::text;
use crate::model::{
    ClusterId, ErrorCode, LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicName, TopicPartition,
};

/// The cluster as some broker described it.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// The cluster's id.
    pub id: Option<ClusterId>,
    /// The broker that stands for the controller towards clients.
    pub controller: Option<NodeId>,
    /// The brokers alive.
    pub brokers: BTreeMap<NodeId, Broker>,
    /// The topics that were asked for and exist.
    pub topics: BTreeMap<TopicName, Topic>,
}

/// One broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: NodeId,
    /// Where it says that clients reach it.
    pub endpoint: Endpoint,
    /// Where it stands (`broker.rack`).
    pub rack: Option<String>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its identity; `None` from a broker too old to tell.
    pub id: Option<TopicId>,
    /// True for Kafka's own topics.
    pub is_internal: bool,
    /// Its partitions, by index.
    pub partitions: BTreeMap<PartitionIndex, Partition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its leader, when there is one alive.
    pub leader: Option<NodeId>,
    /// The leader's epoch.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Who holds it, preferred leader first.
    pub replicas: Vec<NodeId>,
    /// Who is in sync.
    pub in_sync: Vec<NodeId>,
    /// Who holds it and is not alive.
    pub offline: Vec<NodeId>,
}

/// What a look at a topic that does not exist does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingTopic {
    /// The broker may create it, if it is configured to (`auto.create.topics.enable`).
    Create,
    /// Nothing happens.
    Leave,
}

impl Cluster {
    /// Takes over what a broker answered. A partition's leader is not replaced by one of an older epoch.
    pub(super) fn learn(&mut self, response: MetadataResponse) -> Vec<(TopicName, ErrorCode)> {
        if let Some(id) = response.cluster_id {
            self.id = Some(ClusterId::new(id.as_str()));
        }
        self.controller = node(response.controller_id.0);
        self.brokers =
            response.brokers.into_iter().filter_map(broker_of).map(|b| (b.id, b)).collect();
        let mut refused = Vec::new();
        for topic in response.topics {
            let Some(name) = topic.name else { continue };
            let name = TopicName::new(name.as_str());
            let code =
                ErrorCode::from_code(topic.error_code).unwrap_or(ErrorCode::UnknownServerError);
            // LEADER_NOT_AVAILABLE comes with the partitions that have one.
            if code != ErrorCode::None && topic.partitions.is_empty() {
                self.topics.remove(&name);
                refused.push((name, code));
                continue;
            }
            let id = Some(TopicId(topic.topic_id)).filter(|id| *id != TopicId::ZERO);
            let known = self.topics.remove(&name).filter(|known| known.id == id);
            let mut partitions = BTreeMap::new();
            for partition in topic.partitions {
                let index = PartitionIndex(partition.partition_index);
                let known = known.as_ref().and_then(|topic| topic.partitions.get(&index));
                partitions.insert(index, newer(known, partition_of(partition)));
            }
            let is_internal = topic.is_internal;
            self.topics.insert(name.clone(), Topic { name, id, is_internal, partitions });
        }
        refused
    }

    /// Who leads a partition, if that is known and it is alive.
    #[must_use]
    pub fn leader(&self, partition: &TopicPartition) -> Option<NodeId> {
        let topic = self.topics.get(&partition.topic)?;
        let leader = topic.partitions.get(&partition.partition)?.leader?;
        self.brokers.contains_key(&leader).then_some(leader)
    }

    /// Forgets whom a broker leads, so that the next look asks.
    pub(super) fn forget_leaders_at(&mut self, node: NodeId) {
        let partitions = self.topics.values_mut().flat_map(|topic| topic.partitions.values_mut());
        for partition in partitions.filter(|partition| partition.leader == Some(node)) {
            partition.leader = None;
        }
    }

    /// Forgets who leads a partition, so that the next look asks.
    pub(super) fn forget_leader(&mut self, topic: &TopicName, partition: PartitionIndex) {
        let topic = self.topics.get_mut(topic);
        if let Some(known) = topic.and_then(|topic| topic.partitions.get_mut(&partition)) {
            known.leader = None;
        }
    }
}

fn newer(known: Option<&Partition>, told: Partition) -> Partition {
    match known {
        Some(known) if told.leader_epoch.is_some() && told.leader_epoch < known.leader_epoch => {
            known.clone()
        }
        Some(_) | None => told,
    }
}

fn broker_of(
    broker: kafka_protocol::messages::metadata_response::MetadataResponseBroker,
) -> Option<Broker> {
    let port = u16::try_from(broker.port).ok()?;
    let endpoint = Endpoint::new(broker.host.as_str(), port);
    let rack = broker.rack.map(|rack| rack.to_string());
    Some(Broker { id: node(broker.node_id.0)?, endpoint, rack })
}

fn partition_of(partition: MetadataResponsePartition) -> Partition {
    let nodes = |nodes: Vec<kafka_protocol::messages::BrokerId>| {
        nodes.into_iter().map(|id| NodeId(id.0)).collect()
    };
    Partition {
        leader: node(partition.leader_id.0),
        leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch),
        replicas: nodes(partition.replica_nodes),
        in_sync: nodes(partition.isr_nodes),
        offline: nodes(partition.offline_replicas),
    }
}

/// A node id off the wire; negative numbers are "none".
pub(super) fn node(id: i32) -> Option<NodeId> {
    (id >= 0).then_some(NodeId(id))
}

/// Asks for these topics, or for all.
pub(super) fn request(topics: Option<&[TopicName]>, missing: MissingTopic) -> MetadataRequest {
    let topic = |name: &TopicName| {
        MetadataRequestTopic::default().with_name(Some(text(name.as_str()).into()))
    };
    MetadataRequest::default()
        .with_topics(topics.map(|topics| topics.iter().map(topic).collect()))
        .with_allow_auto_topic_creation(missing == MissingTopic::Create)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
    use uuid::Uuid;

    use super::*;

    fn told(id: u128, leader: i32, epoch: i32) -> MetadataResponse {
        let partition = MetadataResponsePartition::default()
            .with_leader_id(leader.into())
            .with_leader_epoch(epoch);
        let topic = MetadataResponseTopic::default()
            .with_name(Some(text("a").into()))
            .with_topic_id(Uuid::from_u128(id))
            .with_partitions(vec![partition]);
        MetadataResponse::default().with_topics(vec![topic])
    }

    fn leader(cluster: &Cluster) -> Option<NodeId> {
        cluster.topics["a"].partitions[&PartitionIndex(0)].leader
    }

    #[test]
    fn a_leader_of_an_older_epoch_does_not_replace_a_newer_one() {
        let mut cluster = Cluster::default();
        cluster.learn(told(1, 1, 5));
        cluster.learn(told(1, 2, 4));
        assert_eq!(leader(&cluster), Some(NodeId(1)));
        cluster.learn(told(1, 3, 6));
        assert_eq!(leader(&cluster), Some(NodeId(3)));
    }

    #[test]
    fn a_topic_made_again_starts_afresh() {
        let mut cluster = Cluster::default();
        cluster.learn(told(1, 1, 5));
        cluster.learn(told(2, 2, 0));
        assert_eq!(leader(&cluster), Some(NodeId(2)));
    }

    #[test]
    fn a_partition_without_a_leader_has_none() {
        let mut cluster = Cluster::default();
        cluster.learn(told(1, -1, 7));
        assert_eq!(leader(&cluster), None);
    }
}
