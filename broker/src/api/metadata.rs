//! Metadata: brokers, topics, leaders. Source: KIP-4, KIP-516 (ids).

use std::collections::BTreeSet;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use uuid::Uuid;

use super::context::RequestContext;
use super::endpoints::{
    CLUSTER_OPERATIONS, OPERATIONS_OMITTED, TOPIC_OPERATIONS, address_of, any_of, is_alive,
    leader_of, offline_replicas,
};
use super::reply::Outcome;
use super::topic_creation::is_internal;
use super::wire::{text, topic as topic_name, wire_leader, wire_node, wire_nodes, wire_topic};
use crate::controller::check_topic_name;
use crate::environment::Runtime;
use crate::metadata::{MetadataImage, PartitionRegistration, TopicImage};
use crate::model::{ErrorCode, NodeId, PartitionIndex, TopicId, TopicName};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: MetadataRequest,
) -> Outcome<MetadataResponse> {
    let image = context.image();
    let version = context.version();
    if let Some(refusal) = refuse_ids(version, &request) {
        return Outcome::Now(refusal);
    }
    let operations = if version >= 8 && request.include_topic_authorized_operations {
        TOPIC_OPERATIONS
    } else {
        OPERATIONS_OMITTED
    };
    // Version 0 cannot say null: empty means all there.
    let names_all = request.topics.as_ref().is_none_or(|topics| version == 0 && topics.is_empty());
    let topics = if names_all {
        image.topics().iter().map(|topic| describe(context, &image, topic, operations)).collect()
    } else {
        let may_create = (version < 4 || request.allow_auto_topic_creation)
            && context.services.config.topics.is_auto_create_enabled;
        match Wanted::of(request.topics.unwrap_or_default()) {
            Wanted::Ids(ids) => {
                ids.into_iter().map(|id| by_id(context, &image, id, operations)).collect()
            }
            Wanted::Names(names) => {
                if may_create {
                    create_missing(context, &image, &names);
                }
                names.iter().map(|name| by_name(context, &image, name, operations)).collect()
            }
        }
    };
    let cluster_operations =
        if (8..=10).contains(&version) && request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            OPERATIONS_OMITTED
        };
    let brokers: Vec<_> = image
        .cluster()
        .brokers()
        .filter(|broker| !broker.is_fenced)
        .filter_map(|broker| {
            let (host, port) = address_of(context, &image, broker)?;
            let broker = MetadataResponseBroker::default()
                .with_node_id(wire_node(broker.id))
                .with_host(text(&host))
                .with_port(i32::from(port))
                .with_rack(broker.rack.as_deref().map(text));
            Some(broker)
        })
        .collect();
    let alive: Vec<NodeId> = brokers.iter().map(|broker| NodeId(broker.node_id.0)).collect();
    let controller = any_of(context, &alive);
    Outcome::Now(
        MetadataResponse::default()
            .with_brokers(brokers)
            .with_cluster_id(Some(text(&context.services.cluster_id.to_string())))
            .with_controller_id(wire_leader(controller))
            .with_topics(topics)
            .with_cluster_authorized_operations(cluster_operations),
    )
}

/// What a request names, each once: an answer must not grow by repetition.
enum Wanted {
    /// By id. One id makes it so: names beside ids do not count, and clients that ask by id send an empty name.
    Ids(BTreeSet<TopicId>),
    /// By name.
    Names(BTreeSet<TopicName>),
}

impl Wanted {
    fn of(topics: Vec<MetadataRequestTopic>) -> Self {
        let ids: BTreeSet<TopicId> = topics
            .iter()
            .map(|topic| TopicId(topic.topic_id))
            .filter(|id| !id.0.is_nil())
            .collect();
        // Neither name nor id: the id that nothing has.
        if !ids.is_empty() || topics.iter().any(|topic| topic.name.is_none()) {
            return Self::Ids(ids);
        }
        let names = topics.into_iter().filter_map(|topic| topic.name);
        Self::Names(names.map(|name| topic_name(&name)).collect())
    }
}

/// Versions 10 and 11 have room for ids and for names that are null, and support neither: the whole request is refused,
/// topic by topic. Their answers cannot say null.
fn refuse_ids(version: i16, request: &MetadataRequest) -> Option<MetadataResponse> {
    let topics = request.topics.as_deref().filter(|_| version < 12)?;
    let is_unsupported =
        |topic: &MetadataRequestTopic| topic.name.is_none() || !topic.topic_id.is_nil();
    if !topics.iter().any(is_unsupported) {
        return None;
    }
    let refuse = |topic: &MetadataRequestTopic| {
        MetadataResponseTopic::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_name(Some(topic.name.clone().unwrap_or_default()))
            .with_topic_id(topic.topic_id)
            .with_topic_authorized_operations(OPERATIONS_OMITTED)
    };
    Some(MetadataResponse::default().with_topics(topics.iter().map(refuse).collect()))
}

fn by_id<R: Runtime>(
    context: &RequestContext<R>,
    image: &MetadataImage,
    id: TopicId,
    operations: i32,
) -> MetadataResponseTopic {
    match image.topics().by_id(id) {
        Some(topic) => describe(context, image, topic, operations),
        None => refused(None, id.0, ErrorCode::UnknownTopicId),
    }
}

/// Has the topics made that are not there and may be.
fn create_missing<R: Runtime>(
    context: &RequestContext<R>,
    image: &MetadataImage,
    names: &BTreeSet<TopicName>,
) {
    let is_missing = |name: &&TopicName| {
        image.topics().by_name(name.as_str()).is_none() && check_topic_name(name.as_str()).is_ok()
    };
    let missing = names.iter().filter(is_missing).cloned();
    context.services.topic_creation.start(&context.services, missing);
}

fn by_name<R: Runtime>(
    context: &RequestContext<R>,
    image: &MetadataImage,
    name: &TopicName,
    operations: i32,
) -> MetadataResponseTopic {
    if let Some(topic) = image.topics().by_name(name.as_str()) {
        return describe(context, image, topic, operations);
    }
    if check_topic_name(name.as_str()).is_err() {
        return refused(Some(name), Uuid::nil(), ErrorCode::InvalidTopicException);
    }
    refused(Some(name), Uuid::nil(), ErrorCode::UnknownTopicOrPartition)
}

fn refused(name: Option<&TopicName>, id: Uuid, error: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_error_code(error.code())
        .with_name(name.map(wire_topic))
        .with_topic_id(id)
        .with_is_internal(name.is_some_and(|name| is_internal(name.as_str())))
        .with_topic_authorized_operations(OPERATIONS_OMITTED)
}

fn describe<R: Runtime>(
    context: &RequestContext<R>,
    image: &MetadataImage,
    topic: &TopicImage,
    operations: i32,
) -> MetadataResponseTopic {
    let partitions = topic
        .partitions
        .iter()
        .map(|(index, partition)| describe_partition(context, image, *index, partition))
        .collect();
    MetadataResponseTopic::default()
        .with_name(Some(wire_topic(&topic.name)))
        .with_topic_id(topic.id.0)
        .with_is_internal(is_internal(topic.name.as_str()))
        .with_partitions(partitions)
        .with_topic_authorized_operations(operations)
}

fn describe_partition<R: Runtime>(
    context: &RequestContext<R>,
    image: &MetadataImage,
    index: PartitionIndex,
    partition: &PartitionRegistration,
) -> MetadataResponsePartition {
    let version = context.version();
    // Clients of version 0 cannot be told of brokers that they cannot reach.
    let shown = |ids: &[NodeId]| -> Vec<NodeId> {
        let is_shown = |id: &NodeId| version > 0 || is_alive(context, image, *id);
        ids.iter().copied().filter(is_shown).collect()
    };
    let (replicas, isr) = (shown(&partition.replicas), shown(&partition.isr));
    let is_whole = replicas.len() == partition.replicas.len() && isr.len() == partition.isr.len();
    let (leader, error) = match leader_of(context, image, partition) {
        Ok(leader) if is_whole => (Some(leader), ErrorCode::None),
        Ok(leader) => (Some(leader), ErrorCode::ReplicaNotAvailable),
        // Older clients do not know of listeners.
        Err(_) if version < 6 => (None, ErrorCode::LeaderNotAvailable),
        Err(error) => (None, error),
    };
    MetadataResponsePartition::default()
        .with_error_code(error.code())
        .with_partition_index(index.0)
        .with_leader_id(wire_leader(leader))
        .with_leader_epoch(partition.leader_epoch.value())
        .with_replica_nodes(wire_nodes(&replicas))
        .with_isr_nodes(wire_nodes(&isr))
        .with_offline_replicas(wire_nodes(&offline_replicas(context, image, partition)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: Option<&str>, id: u128) -> MetadataRequestTopic {
        let name = name.map(|name| wire_topic(&TopicName::new(name)));
        MetadataRequestTopic::default().with_name(name).with_topic_id(Uuid::from_u128(id))
    }

    #[test]
    fn an_id_counts_although_the_name_is_not_null() {
        // The admin client of Apache Kafka sends an empty name beside the id.
        let wanted = Wanted::of(vec![topic(Some(""), 7), topic(Some("name"), 0)]);
        assert!(
            matches!(wanted, Wanted::Ids(ids) if ids == BTreeSet::from([TopicId(Uuid::from_u128(7))]))
        );
    }

    #[test]
    fn what_is_named_twice_is_answered_once() {
        let wanted =
            Wanted::of(vec![topic(Some("b"), 0), topic(Some("a"), 0), topic(Some("b"), 0)]);
        assert!(matches!(wanted, Wanted::Names(names) if names.len() == 2));
    }

    #[test]
    fn ids_and_null_names_are_refused_before_version_12_in_words_the_version_has() {
        let request = |topics| MetadataRequest::default().with_topics(Some(topics));
        let with_id = request(vec![topic(Some("a"), 0), topic(None, 7)]);
        for version in [10, 11] {
            let refusal = refuse_ids(version, &with_id).unwrap();
            let codes: Vec<_> = refusal.topics.iter().map(|topic| topic.error_code).collect();
            assert_eq!(codes, [ErrorCode::InvalidRequest.code(); 2]);
            assert!(refusal.topics.iter().all(|topic| topic.name.is_some()));
            assert!(refuse_ids(version, &request(vec![topic(Some("a"), 0)])).is_none());
            assert!(refuse_ids(version, &request(vec![topic(None, 0)])).is_some());
        }
        assert!(refuse_ids(12, &with_id).is_none());
        assert!(refuse_ids(11, &MetadataRequest::default().with_topics(None)).is_none());
    }

    #[test]
    fn a_null_name_without_an_id_names_nothing() {
        let wanted = Wanted::of(vec![topic(None, 0)]);
        assert!(matches!(wanted, Wanted::Ids(ids) if ids.is_empty()));
    }
}
