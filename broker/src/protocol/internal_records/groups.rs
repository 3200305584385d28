//! Values of classic groups in `__consumer_offsets`.
//!
//! Versions 0 to 4 are read; Kafka 4.4 writes version 3. Version 1 adds rebalance timeouts, 2 the time of the last
//! change, 3 static members, 4 is flexible.

use bytes::Bytes;

use super::wire::{Compact, Error, Reader, Writer};
use crate::model::{MemberId, Timestamp};

/// A classic group: its members and what they agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadataValue {
    /// What the group is for; `consumer` for consumers.
    pub protocol_type: String,
    /// Grows with each rebalance.
    pub generation: i32,
    /// The assignment strategy that was chosen.
    pub protocol: Option<String>,
    /// Who assigns.
    pub leader: Option<MemberId>,
    /// When the group last changed its state.
    pub current_state_timestamp: Option<Timestamp>,
    /// The members.
    pub members: Vec<MemberMetadata>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMetadata {
    /// The member.
    pub member_id: MemberId,
    /// What it calls itself across restarts (`group.instance.id`).
    pub group_instance_id: Option<String>,
    /// What its client calls itself (`client.id`).
    pub client_id: String,
    /// Where it connected from.
    pub client_host: String,
    /// How long it may take to rejoin, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// What it sent along when it joined.
    pub subscription: Bytes,
    /// What it was assigned.
    pub assignment: Bytes,
}

impl GroupMetadataValue {
    /// The version that is written.
    pub const WRITTEN_VERSION: i16 = 3;

    /// Encodes the value in version 3.
    ///
    /// # Errors
    ///
    /// When a text is longer than 32767 bytes, such as a member id made from too long a client id.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut writer = Writer::new();
        writer
            .value(&Self::WRITTEN_VERSION)
            .plain_text(Some(&self.protocol_type))
            .value(&self.generation);
        writer
            .plain_text(self.protocol.as_deref())
            .plain_text(self.leader.as_ref().map(MemberId::as_str));
        writer.value(&self.current_state_timestamp.map_or(NO_TIMESTAMP, Timestamp::millis));
        writer.plain_length(self.members.len());
        for member in &self.members {
            writer
                .plain_text(Some(member.member_id.as_str()))
                .plain_text(member.group_instance_id.as_deref());
            writer.plain_text(Some(&member.client_id)).plain_text(Some(&member.client_host));
            writer.value(&member.rebalance_timeout_ms).value(&member.session_timeout_ms);
            writer.plain_length(member.subscription.len()).raw(&member.subscription);
            writer.plain_length(member.assignment.len()).raw(&member.assignment);
        }
        writer.finish()
    }

    /// Decodes a value of any version.
    ///
    /// # Errors
    ///
    /// When the bytes end early, text is not UTF-8 or the version is unknown.
    pub fn decode(value: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(value);
        let version: i16 = reader.value()?;
        if !(0..=FLEXIBLE_FROM).contains(&version) {
            let version = u32::try_from(version).unwrap_or(u32::MAX);
            return Err(Error::UnknownVersion { record_type: 2, version });
        }
        let mut fields = Fields { reader, version };
        let decoded = Self {
            protocol_type: fields.text()?.ok_or(Error::Null)?,
            generation: fields.reader.value()?,
            protocol: fields.text()?,
            leader: fields.text()?.map(MemberId::new),
            current_state_timestamp: if version >= 2 {
                fields.reader.value().map(|millis| (millis >= 0).then_some(Timestamp(millis)))?
            } else {
                None
            },
            members: fields.members()?,
        };
        fields.end()?;
        Ok(decoded)
    }
}

/// Fields whose encoded form depends on the version.
struct Fields<'a> {
    reader: Reader<'a>,
    version: i16,
}

impl Fields<'_> {
    const fn is_flexible(&self) -> bool {
        self.version >= FLEXIBLE_FROM
    }

    fn text(&mut self) -> Result<Option<String>, Error> {
        if self.is_flexible() {
            self.reader.value()
        } else {
            Ok(self.reader.plain_text()?.map(str::to_owned))
        }
    }

    fn bytes(&mut self) -> Result<Bytes, Error> {
        if self.is_flexible() {
            return self.reader.value();
        }
        let length = self.reader.plain_length()?.ok_or(Error::Null)?;
        self.reader.take(length).map(Bytes::copy_from_slice)
    }

    fn members(&mut self) -> Result<Vec<MemberMetadata>, Error> {
        let count =
            if self.is_flexible() { self.reader.length()? } else { self.reader.plain_length()? };
        let count = count.ok_or(Error::Null)?;
        if count > self.reader.remaining() / MEMBER_MIN_BYTES {
            return Err(Error::EndsEarly);
        }
        (0..count).map(|_| self.member()).collect()
    }

    fn member(&mut self) -> Result<MemberMetadata, Error> {
        let member_id = self.text()?.map(MemberId::new).ok_or(Error::Null)?;
        let group_instance_id = if self.version >= 3 { self.text()? } else { None };
        let client_id = self.text()?.ok_or(Error::Null)?;
        let client_host = self.text()?.ok_or(Error::Null)?;
        // Before version 1 a member had one timeout for both.
        let rebalance_timeout_ms =
            if self.version >= 1 { Some(i32::read(&mut self.reader)?) } else { None };
        let session_timeout_ms = self.reader.value()?;
        let member = MemberMetadata {
            member_id,
            group_instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms: rebalance_timeout_ms.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription: self.bytes()?,
            assignment: self.bytes()?,
        };
        self.end()?;
        Ok(member)
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.is_flexible() { self.reader.skip_tags() } else { Ok(()) }
    }
}

const FLEXIBLE_FROM: i16 = 4;
const NO_TIMESTAMP: i64 = -1;

/// Flexible, with everything empty: five lengths of text and bytes, an instance id, two timeouts, no tags.
const MEMBER_MIN_BYTES: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn value() -> GroupMetadataValue {
        GroupMetadataValue {
            protocol_type: "consumer".to_owned(),
            generation: 3,
            protocol: Some("range".to_owned()),
            leader: Some("a".into()),
            current_state_timestamp: Some(Timestamp(7)),
            members: vec![
                MemberMetadata {
                    member_id: "a".into(),
                    group_instance_id: Some("i".to_owned()),
                    client_id: "c".to_owned(),
                    client_host: "/h".to_owned(),
                    rebalance_timeout_ms: 10,
                    session_timeout_ms: 20,
                    subscription: Bytes::from_static(b"sub"),
                    assignment: Bytes::from_static(b"as"),
                },
                MemberMetadata {
                    member_id: "b".into(),
                    group_instance_id: None,
                    client_id: String::new(),
                    client_host: String::new(),
                    rebalance_timeout_ms: 1,
                    session_timeout_ms: 2,
                    subscription: Bytes::new(),
                    assignment: Bytes::new(),
                },
            ],
        }
    }

    #[test]
    fn version_3_is_written_and_read() {
        let bytes = value().encode().unwrap();
        assert_eq!(&bytes[..12], b"\x00\x03\x00\x08consumer");
        assert_eq!(GroupMetadataValue::decode(&bytes), Ok(value()));
        let empty = GroupMetadataValue {
            protocol: None,
            leader: None,
            current_state_timestamp: None,
            members: Vec::new(),
            ..value()
        };
        assert_eq!(GroupMetadataValue::decode(&empty.encode().unwrap()), Ok(empty));
    }

    #[test]
    fn the_oldest_version_gives_members_one_timeout() {
        let bytes = b"\x00\x00\x00\x01p\0\0\0\x01\xff\xff\x00\x01m\0\0\0\x01\
                      \x00\x01m\x00\x01c\x00\x01h\0\0\0\x09\0\0\0\x01s\0\0\0\x01a";
        let decoded = GroupMetadataValue::decode(bytes).unwrap();
        assert_eq!((decoded.protocol.as_deref(), decoded.current_state_timestamp), (None, None));
        let member = &decoded.members[0];
        assert_eq!((member.rebalance_timeout_ms, member.session_timeout_ms), (9, 9));
        assert_eq!((&member.subscription[..], &member.assignment[..]), (&b"s"[..], &b"a"[..]));
    }

    #[test]
    fn the_flexible_version_is_read() {
        let bytes = b"\x00\x04\x02p\0\0\0\x01\x02r\x02m\0\0\0\0\0\0\0\x05\x02\
                      \x02m\x00\x02c\x02h\0\0\0\x08\0\0\0\x09\x02s\x02a\x00\x01\x09\x02zz";
        let decoded = GroupMetadataValue::decode(bytes).unwrap();
        assert_eq!(decoded.leader, Some("m".into()));
        assert_eq!(decoded.members[0].group_instance_id, None);
        assert_eq!(decoded.members[0].rebalance_timeout_ms, 8);
    }

    #[test]
    fn broken_values_are_refused_at_every_length() {
        let bytes = value().encode().unwrap();
        for length in 0..bytes.len() {
            assert!(GroupMetadataValue::decode(&bytes[..length]).is_err(), "{length}");
        }
        let claimed =
            b"\x00\x03\x00\x01p\0\0\0\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\x05\x7f\xff\xff\xff";
        assert_eq!(GroupMetadataValue::decode(claimed), Err(Error::EndsEarly));
    }

    #[test]
    fn text_that_no_length_can_carry_is_refused() {
        let mut long = value();
        long.members[0].member_id = MemberId::new("x".repeat(32_768));
        assert_eq!(long.encode(), Err(Error::TextTooLong(32_768)));
    }
}
