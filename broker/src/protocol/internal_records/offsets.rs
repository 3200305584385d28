//! Values of committed offsets in `__consumer_offsets`.
//!
//! Versions 0 to 4 are read. Kafka 4.4 writes version 4, and version 1 when an old client asked for a retention of
//! its own, for only that version has an expiry. Version 2 differs from 1 by having none, 3 adds the leader epoch,
//! 4 is flexible and has the topic's id.

use bytes::Bytes;

use super::wire::{Compact, Error, Reader, Tags, Writer};
use crate::model::{LeaderEpoch, Timestamp, TopicId};

/// Where a group is in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitValue {
    /// The next record to read. Whatever the client sent: nothing in Kafka keeps it from being negative.
    pub offset: i64,
    /// The epoch of the last record that was read.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the client wants to find again.
    pub metadata: String,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// When it ends, if the client said so (`OffsetCommit` before version 5).
    pub expire_timestamp: Option<Timestamp>,
    /// The topic, by identity.
    pub topic_id: Option<TopicId>,
}

impl OffsetCommitValue {
    /// The version that Kafka writes this value in.
    #[must_use]
    pub const fn version(&self) -> i16 {
        if self.expire_timestamp.is_some() { 1 } else { FLEXIBLE_FROM }
    }

    /// Encodes the value in the version that Kafka would write.
    ///
    /// # Errors
    ///
    /// When the metadata is longer than 32767 bytes.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut writer = Writer::new();
        let version = self.version();
        writer.value(&version).value(&self.offset);
        if version < FLEXIBLE_FROM {
            writer.plain_text(Some(&self.metadata)).value(&self.commit_timestamp);
            writer.value(&self.expire_timestamp.map_or(NONE_I64, Timestamp::millis));
            return writer.finish();
        }
        writer.value(&self.leader_epoch.map_or(NONE_I32, LeaderEpoch::value));
        writer.value(&self.metadata).value(&self.commit_timestamp);
        let mut tags = Tags::new();
        if let Some(topic_id) = self.topic_id.filter(|id| *id != TopicId::ZERO) {
            tags.add(0, &topic_id);
        }
        writer.tags(tags);
        writer.finish()
    }

    /// Decodes a value of any version.
    ///
    /// # Errors
    ///
    /// When the bytes end early or the version is unknown.
    pub fn decode(value: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(value);
        let version: i16 = reader.value()?;
        if !(0..=FLEXIBLE_FROM).contains(&version) {
            let version = u32::try_from(version).unwrap_or(u32::MAX);
            return Err(Error::UnknownVersion { record_type: 1, version });
        }
        let offset = reader.value()?;
        let leader_epoch =
            if version >= 3 { LeaderEpoch::from_wire(i32::read(&mut reader)?) } else { None };
        let metadata = if version >= FLEXIBLE_FROM {
            reader.value()?
        } else {
            reader.plain_text()?.ok_or(Error::Null)?.to_owned()
        };
        let mut decoded = Self {
            offset,
            leader_epoch,
            metadata,
            commit_timestamp: reader.value()?,
            expire_timestamp: None,
            topic_id: None,
        };
        if version == 1 {
            decoded.expire_timestamp =
                reader.value().map(|millis| (millis >= 0).then_some(Timestamp(millis)))?;
        }
        if version >= FLEXIBLE_FROM {
            reader.tags(|tag, field| {
                if tag == 0 {
                    decoded.topic_id = Some(field.value()?).filter(|id| *id != TopicId::ZERO);
                }
                Ok(())
            })?;
        }
        Ok(decoded)
    }
}

const FLEXIBLE_FROM: i16 = 4;
const NONE_I32: i32 = -1;
const NONE_I64: i64 = -1;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn value() -> OffsetCommitValue {
        OffsetCommitValue {
            offset: 5,
            leader_epoch: Some(LeaderEpoch::new(2)),
            metadata: "m".to_owned(),
            commit_timestamp: Timestamp(9),
            expire_timestamp: None,
            topic_id: None,
        }
    }

    #[test]
    fn version_4_is_written_and_read() {
        let bytes = value().encode().unwrap();
        assert_eq!(&bytes[..], b"\x00\x04\0\0\0\0\0\0\0\x05\0\0\0\x02\x02m\0\0\0\0\0\0\0\x09\x00");
        assert_eq!(OffsetCommitValue::decode(&bytes), Ok(value()));

        // As Kafka 4.3 wrote it.
        let kafka =
            b"\x00\x04\0\0\0\0\0\0\0\x03\0\0\0\0\x01\0\0\x01\xa1\xfc\x9b\xe5\xd1\x01\x00\x10\
                      \x81\x6a\xe8\x4b\x8c\x07\x46\x2c\x93\x66\x5c\xd5\xf9\x09\xa5\xfd";
        let decoded = OffsetCommitValue::decode(kafka).unwrap();
        assert_eq!(
            (decoded.offset, decoded.topic_id),
            (3, TopicId::from_text("gWroS4wHRiyTZlzV-Qml_Q"))
        );
        assert_eq!(&decoded.encode().unwrap()[..], kafka);

        let named = OffsetCommitValue {
            topic_id: Some(TopicId(Uuid::from_u128(77))),
            leader_epoch: None,
            ..value()
        };
        assert_eq!(OffsetCommitValue::decode(&named.encode().unwrap()), Ok(named));
    }

    #[test]
    fn an_expiry_is_kept_by_writing_version_1() {
        let expiring = OffsetCommitValue { expire_timestamp: Some(Timestamp(11)), ..value() };
        let bytes = expiring.encode().unwrap();
        assert_eq!(
            &bytes[..],
            b"\x00\x01\0\0\0\0\0\0\0\x05\x00\x01m\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x0b"
        );
        let kept = OffsetCommitValue { leader_epoch: None, ..expiring };
        assert_eq!(OffsetCommitValue::decode(&bytes), Ok(kept));
    }

    #[test]
    fn older_versions_are_read() {
        let check =
            |bytes: &[u8], expected| assert_eq!(OffsetCommitValue::decode(bytes), Ok(expected));
        let plain = OffsetCommitValue { leader_epoch: None, ..value() };
        check(b"\x00\x00\0\0\0\0\0\0\0\x05\x00\x01m\0\0\0\0\0\0\0\x09", plain.clone());
        check(b"\x00\x02\0\0\0\0\0\0\0\x05\x00\x01m\0\0\0\0\0\0\0\x09", plain);
        check(b"\x00\x03\0\0\0\0\0\0\0\x05\0\0\0\x02\x00\x01m\0\0\0\0\0\0\0\x09", value());
    }

    #[test]
    fn broken_values_are_refused_at_every_length() {
        let bytes = value().encode().unwrap();
        for length in 0..bytes.len() {
            assert!(OffsetCommitValue::decode(&bytes[..length]).is_err(), "{length}");
        }
        let error = Error::UnknownVersion { record_type: 1, version: 5 };
        assert_eq!(OffsetCommitValue::decode(b"\x00\x05"), Err(error));
        assert!(OffsetCommitValue::decode(b"\xff\xff").is_err());
    }
}
