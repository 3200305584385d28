//! What members tell each other inside of what they tell the coordinator: who wants to read what, and who is to.

use std::collections::BTreeMap;

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition as AssignedTopic,
};
use kafka_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use kafka_protocol::protocol::Encodable;

use crate::client::Error;
use crate::client::wire::text;
use crate::model::{TopicName, TopicPartition};

/// The version that all clients have read since there are groups.
const EMBEDDED_VERSION: i16 = 0;

fn encode_embedded(message: &impl Encodable) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    bytes.put_i16(EMBEDDED_VERSION);
    let encoded = message.encode(&mut bytes, EMBEDDED_VERSION);
    encoded.map_err(|error| Error::Invalid { why: error.to_string() })?;
    Ok(bytes.freeze())
}

pub(super) fn encode_subscription(topics: &[TopicName]) -> Result<Bytes, Error> {
    let topics = topics.iter().map(|topic| text(topic.as_str())).collect();
    encode_embedded(
        &ConsumerProtocolSubscription::default().with_topics(topics).with_user_data(None),
    )
}

pub(super) fn encode_assignment(partitions: &[TopicPartition]) -> Result<Bytes, Error> {
    let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
    for TopicPartition { topic, partition } in partitions {
        topics.entry(topic).or_default().push(partition.0);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        AssignedTopic::default().with_topic(text(name.as_str()).into()).with_partitions(partitions)
    });
    let assignment = ConsumerProtocolAssignment::default()
        .with_assigned_partitions(topics.collect())
        .with_user_data(None);
    encode_embedded(&assignment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::admin::assigned_partitions;
    use crate::protocol::internal_records::consumer_protocol::subscribed_topics;

    #[test]
    fn what_members_tell_each_other_survives_the_way() {
        let topics = vec![TopicName::from("b"), TopicName::from("a")];
        let read = subscribed_topics(&encode_subscription(&topics).unwrap()).unwrap();
        assert_eq!(read, topics);
        let partitions = vec![
            TopicPartition::new("a", 0),
            TopicPartition::new("a", 2),
            TopicPartition::new("b", 1),
        ];
        let read = assigned_partitions(&encode_assignment(&partitions).unwrap()).unwrap();
        assert_eq!(read, partitions);
    }

    #[test]
    fn bytes_that_are_no_assignment_are_nothing() {
        assert_eq!(assigned_partitions(&Bytes::from_static(&[0])), None);
        assert_eq!(assigned_partitions(&Bytes::from_static(&[0, 1, 0x7f, 0xff, 0xff, 0xff])), None);
    }
}
