//! Keys of `__consumer_offsets`: a type, then what the record is about.
//!
//! Source: `common/message/*Key.json` of Kafka's group coordinator. Types from 3 on belong to newer group protocols.

use bytes::Bytes;

use super::wire::{Error, Reader, Writer};
use crate::model::{GroupId, PartitionIndex, TopicName};

/// What a record of `__consumer_offsets` is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupRecordKey {
    /// Where a group is in a partition. Types 0 and 1: the type of the key says nothing about the value's version.
    OffsetCommit(OffsetCommitKey),
    /// What a classic group is. Type 2.
    GroupMetadata(GroupId),
    /// A type that this broker does not keep: to be skipped.
    Unknown(i16),
}

/// A partition as seen by a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetCommitKey {
    /// The group.
    pub group: GroupId,
    /// The topic.
    pub topic: TopicName,
    /// The partition in it.
    pub partition: PartitionIndex,
}

impl GroupRecordKey {
    /// Decodes a key.
    ///
    /// # Errors
    ///
    /// When the bytes end early or the text is not UTF-8.
    pub fn decode(key: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(key);
        match i16::from_be_bytes(reader.array()?) {
            LEGACY_OFFSET_COMMIT | OFFSET_COMMIT => Ok(Self::OffsetCommit(OffsetCommitKey {
                group: GroupId::from(reader.plain_text()?.ok_or(Error::Null)?),
                topic: TopicName::from(reader.plain_text()?.ok_or(Error::Null)?),
                partition: reader.value()?,
            })),
            GROUP_METADATA => {
                Ok(Self::GroupMetadata(GroupId::from(reader.plain_text()?.ok_or(Error::Null)?)))
            }
            other => Ok(Self::Unknown(other)),
        }
    }
}

impl OffsetCommitKey {
    /// Encodes the key, as type 1.
    ///
    /// # Errors
    ///
    /// When a name is longer than 32767 bytes.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut writer = Writer::new();
        writer
            .value(&OFFSET_COMMIT)
            .plain_text(Some(self.group.as_str()))
            .plain_text(Some(self.topic.as_str()));
        writer.value(&self.partition);
        writer.finish()
    }
}

/// Encodes the key of a classic group's metadata.
///
/// # Errors
///
/// When the name is longer than 32767 bytes.
pub fn encode_group_metadata_key(group: &GroupId) -> Result<Bytes, Error> {
    let mut writer = Writer::new();
    writer.value(&GROUP_METADATA).plain_text(Some(group.as_str()));
    writer.finish()
}

const LEGACY_OFFSET_COMMIT: i16 = 0;
const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_kafkas_bytes() {
        let key =
            OffsetCommitKey { group: "g".into(), topic: "tt".into(), partition: PartitionIndex(7) };
        let bytes = key.encode().unwrap();
        assert_eq!(&bytes[..], b"\x00\x01\x00\x01g\x00\x02tt\x00\x00\x00\x07");
        assert_eq!(GroupRecordKey::decode(&bytes), Ok(GroupRecordKey::OffsetCommit(key.clone())));
        let mut legacy = bytes.to_vec();
        legacy[1] = 0;
        assert_eq!(GroupRecordKey::decode(&legacy), Ok(GroupRecordKey::OffsetCommit(key)));

        let bytes = encode_group_metadata_key(&"group".into()).unwrap();
        assert_eq!(&bytes[..], b"\x00\x02\x00\x05group");
        assert_eq!(
            GroupRecordKey::decode(&bytes),
            Ok(GroupRecordKey::GroupMetadata("group".into()))
        );
    }

    #[test]
    fn types_of_newer_protocols_are_left_to_be_skipped() {
        let check = |bytes: &[u8], expected| assert_eq!(GroupRecordKey::decode(bytes), expected);
        check(b"\x00\x03\x01", Ok(GroupRecordKey::Unknown(3)));
        check(b"\xff\xff", Ok(GroupRecordKey::Unknown(-1)));
        check(b"\x00", Err(Error::EndsEarly));
        check(b"\x00\x02\xff\xff", Err(Error::Null));
        check(b"\x00\x02\xff\xfe", Err(Error::NegativeLength(-2)));
        check(b"\x00\x02\x00\x01\xff", Err(Error::NotUtf8));
        check(b"\x00\x02\x7f\xffabc", Err(Error::EndsEarly));
    }

    #[test]
    fn names_that_no_length_can_carry_are_refused() {
        let long = "x".repeat(32_768);
        assert_eq!(
            encode_group_metadata_key(&GroupId::from(&*long)),
            Err(Error::TextTooLong(32_768))
        );
    }
}
