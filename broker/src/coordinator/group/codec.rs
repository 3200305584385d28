//! Between what the machine stores and Kafka's bytes.

use bytes::Bytes;

use super::records::{GroupRecord, StoredGroup, StoredMember};
use super::requests::{CommittedOffset, Generation, InstanceId};
use crate::coordinator::machine::Decoded;
use crate::model::{ErrorCode, Offset};
use crate::protocol::internal_records::Error;
use crate::protocol::internal_records::groups::{GroupMetadataValue, MemberMetadata};
use crate::protocol::internal_records::keys::{
    GroupRecordKey, OffsetCommitKey, encode_group_metadata_key,
};
use crate::protocol::internal_records::offsets::OffsetCommitValue;

/// The stored key and value of a record.
pub(super) fn encode(record: &GroupRecord) -> Result<(Bytes, Option<Bytes>), ErrorCode> {
    encode_both(record).map_err(|error| {
        tracing::warn!(%error, "a group's record cannot be written");
        ErrorCode::UnknownServerError
    })
}

fn encode_both(record: &GroupRecord) -> Result<(Bytes, Option<Bytes>), Error> {
    match record {
        GroupRecord::Offset { group, topic, partition, value } => {
            let key = OffsetCommitKey {
                group: group.clone(),
                topic: topic.clone(),
                partition: *partition,
            };
            let value = value.as_ref().map(|value| offset_value(value).encode()).transpose()?;
            Ok((key.encode()?, value))
        }
        GroupRecord::Group { group, value } => {
            let value = value.as_ref().map(|value| group_value(value).encode()).transpose()?;
            Ok((encode_group_metadata_key(group)?, value))
        }
    }
}

/// The record that a key and a value are.
pub(super) fn decode(key: &Bytes, value: Option<&Bytes>) -> Decoded<GroupRecord> {
    match decode_both(key, value) {
        Ok(decoded) => decoded,
        Err(error) => Decoded::Corrupt(error.to_string()),
    }
}

fn decode_both(key: &Bytes, value: Option<&Bytes>) -> Result<Decoded<GroupRecord>, Error> {
    Ok(match GroupRecordKey::decode(key)? {
        GroupRecordKey::OffsetCommit(OffsetCommitKey { group, topic, partition }) => {
            let value = value
                .map(|value| OffsetCommitValue::decode(value))
                .transpose()?
                .map(committed_offset);
            Decoded::Known(GroupRecord::Offset { group, topic, partition, value })
        }
        GroupRecordKey::GroupMetadata(group) => {
            let value =
                value.map(|value| GroupMetadataValue::decode(value)).transpose()?.map(stored_group);
            Decoded::Known(GroupRecord::Group { group, value })
        }
        GroupRecordKey::Unknown(kind) => Decoded::Unknown(kind),
    })
}

fn offset_value(value: &CommittedOffset) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.clone(),
        commit_timestamp: value.commit_timestamp,
        expire_timestamp: value.expire_timestamp,
        topic_id: value.topic_id,
    }
}

fn committed_offset(value: OffsetCommitValue) -> CommittedOffset {
    CommittedOffset {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata,
        commit_timestamp: value.commit_timestamp,
        expire_timestamp: value.expire_timestamp,
        topic_id: value.topic_id,
        record_offset: Offset::ZERO,
    }
}

fn group_value(value: &StoredGroup) -> GroupMetadataValue {
    GroupMetadataValue {
        protocol_type: value.protocol_type.clone(),
        generation: value.generation.0,
        protocol: value.protocol_name.clone(),
        leader: value.leader.clone(),
        current_state_timestamp: value.state_since,
        members: value
            .members
            .iter()
            .map(|member| MemberMetadata {
                member_id: member.member_id.clone(),
                group_instance_id: member.instance_id.as_ref().map(|id| id.as_str().to_owned()),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout_ms,
                subscription: member.subscription.clone(),
                assignment: member.assignment.clone(),
            })
            .collect(),
    }
}

fn stored_group(value: GroupMetadataValue) -> StoredGroup {
    StoredGroup {
        protocol_type: value.protocol_type,
        generation: Generation(value.generation),
        protocol_name: value.protocol,
        leader: value.leader,
        state_since: value.current_state_timestamp,
        members: value
            .members
            .into_iter()
            .map(|member| StoredMember {
                member_id: member.member_id,
                instance_id: member.group_instance_id.map(InstanceId::new),
                client_id: member.client_id,
                client_host: member.client_host,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout_ms,
                subscription: member.subscription,
                assignment: member.assignment,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::coordinator::group::records::{GroupRecord, StoredGroup, StoredMember};
    use crate::coordinator::group::requests::{CommittedOffset, Generation, InstanceId};
    use crate::coordinator::machine::Decoded;
    use crate::model::{LeaderEpoch, Offset, PartitionIndex, Timestamp};
    use bytes::Bytes;

    #[test]
    fn what_is_stored_is_read_back() {
        let member = StoredMember {
            member_id: "m".into(),
            instance_id: Some(InstanceId::new("i")),
            client_id: "c".into(),
            client_host: "/h".into(),
            rebalance_timeout_ms: 1,
            session_timeout_ms: 2,
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::from_static(b"a"),
        };
        let group = StoredGroup {
            protocol_type: "consumer".into(),
            generation: Generation(4),
            protocol_name: Some("range".into()),
            leader: Some("m".into()),
            state_since: Some(Timestamp(9)),
            members: vec![member],
        };
        let offset = |value| GroupRecord::Offset {
            group: "g".into(),
            topic: "t".into(),
            partition: PartitionIndex(1),
            value,
        };
        let check = |record: GroupRecord| {
            let (key, value) = encode(&record).unwrap();
            assert_eq!(decode(&key, value.as_ref()), Decoded::Known(record));
        };
        check(offset(Some(CommittedOffset {
            offset: 12,
            leader_epoch: Some(LeaderEpoch::new(3)),
            metadata: "note".into(),
            commit_timestamp: Timestamp(5),
            expire_timestamp: None,
            topic_id: None,
            record_offset: Offset::ZERO,
        })));
        check(offset(None));
        check(GroupRecord::Group { group: "g".into(), value: Some(group) });
        check(GroupRecord::Group { group: "g".into(), value: None });
    }

    #[test]
    fn records_of_newer_protocols_and_garbage_are_told_apart() {
        assert_eq!(decode(&Bytes::from_static(b"\x00\x03\x01"), None), Decoded::Unknown(3));
        assert!(matches!(decode(&Bytes::from_static(b"\x00"), None), Decoded::Corrupt(_)));
        let key = Bytes::from_static(b"\x00\x02\x00\x01g");
        assert!(matches!(
            decode(&key, Some(&Bytes::from_static(b"\x00\x63"))),
            Decoded::Corrupt(_)
        ));
    }
}
