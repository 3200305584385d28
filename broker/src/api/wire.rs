//! Our words as the codec's words, and back.

use kafka_protocol::messages::{BrokerId, TopicName as WireTopicName};
use kafka_protocol::protocol::StrBytes;

use crate::model::{NodeId, TopicName};

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) fn wire_topic(name: &TopicName) -> WireTopicName {
    WireTopicName(text(name.as_str()))
}

pub(super) fn topic(name: &WireTopicName) -> TopicName {
    TopicName::new(name.as_str())
}

pub(super) fn wire_node(node: NodeId) -> BrokerId {
    BrokerId(node.0)
}

pub(super) fn wire_nodes(nodes: &[NodeId]) -> Vec<BrokerId> {
    nodes.iter().map(|node| BrokerId(node.0)).collect()
}

/// -1 for nobody.
pub(super) fn wire_leader(leader: Option<NodeId>) -> BrokerId {
    BrokerId(leader.map_or(-1, |node| node.0))
}
