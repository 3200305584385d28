//! What members of classic groups with protocol type `consumer` tell each other: subscriptions and assignments.
//!
//! To the coordinator these are bytes, except where it must know which topics a group reads: to let offsets of
//! others expire, and to refuse the deletion of offsets in use.
//!
//! Source: `ConsumerProtocol` of Kafka. Versions above the known ones are read as the highest known: later versions
//! only add fields at the end.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use kafka_protocol::protocol::Decodable;

use crate::model::TopicName;
use crate::protocol::envelope::{DecodeError, decode_walked};
use crate::protocol::schema::{
    CONSUMER_PROTOCOL_ASSIGNMENT, CONSUMER_PROTOCOL_SUBSCRIPTION, Schema,
};
use crate::protocol::schema_walk::{Malformed, Reason};

/// Decodes the metadata a member joined with.
///
/// # Errors
///
/// When the bytes are not a subscription.
pub fn decode_subscription(metadata: &Bytes) -> Result<ConsumerProtocolSubscription, DecodeError> {
    decode(&CONSUMER_PROTOCOL_SUBSCRIPTION, metadata)
}

/// Decodes what a member was assigned.
///
/// # Errors
///
/// When the bytes are not an assignment.
pub fn decode_assignment(assignment: &Bytes) -> Result<ConsumerProtocolAssignment, DecodeError> {
    decode(&CONSUMER_PROTOCOL_ASSIGNMENT, assignment)
}

/// The topics that a member with this metadata reads.
///
/// # Errors
///
/// When the bytes are not a subscription.
pub fn subscribed_topics(metadata: &Bytes) -> Result<Vec<TopicName>, DecodeError> {
    let subscription = decode_subscription(metadata)?;
    Ok(subscription.topics.iter().map(|topic| TopicName::from(topic.as_str())).collect())
}

fn decode<T: Decodable>(schema: &Schema, bytes: &Bytes) -> Result<T, DecodeError> {
    let mut bytes = bytes.clone();
    let at = |reason| Malformed { field: "version", reason };
    let version = bytes.try_get_i16().map_err(|_| at(Reason::EndsEarly))?;
    decode_walked(schema, &mut bytes, version.min(schema.max_version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_name_their_topics() {
        let check = |bytes: &'static [u8], expected: &[&str]| {
            let topics = subscribed_topics(&Bytes::from_static(bytes)).unwrap();
            assert_eq!(
                topics,
                expected.iter().map(|topic| TopicName::from(*topic)).collect::<Vec<_>>()
            );
        };
        check(b"\x00\x00\0\0\0\x02\x00\x01a\x00\x02bb\xff\xff\xff\xff", &["a", "bb"]);
        check(b"\x00\x01\0\0\0\x01\x00\x01a\0\0\0\x01u\0\0\0\0", &["a"]);
        // A version of the future, with something after what version 3 has.
        check(
            b"\x00\x63\0\0\0\x01\x00\x01a\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\x01\x02",
            &["a"],
        );
    }

    #[test]
    fn assignments_are_decoded() {
        let bytes = b"\x00\x00\0\0\0\x01\x00\x01a\0\0\0\x02\0\0\0\x00\0\0\0\x01\xff\xff\xff\xff";
        let assignment = decode_assignment(&Bytes::from_static(bytes)).unwrap();
        assert_eq!(assignment.assigned_partitions[0].partitions, [0, 1]);
    }

    #[test]
    fn hostile_metadata_is_refused() {
        let check = |bytes: &'static [u8]| {
            assert!(decode_subscription(&Bytes::from_static(bytes)).is_err());
        };
        check(b"");
        check(b"\xff\xff\0\0\0\0\xff\xff\xff\xff");
        check(b"\x00\x00\x7f\xff\xff\xff");
        check(b"\x00\x00\0\0\0\x01\x00\x01\xff\xff\xff\xff\xff");
    }
}
