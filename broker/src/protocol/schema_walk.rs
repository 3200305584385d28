//! Walks a message against its table before it is decoded: no count, length or depth is believed.
//!
//! The codec package allocates what a count says before it has seen one element; a request of 12 bytes can ask for
//! hundreds of gigabytes and abort the process. After a walk that succeeded, the codec neither panics nor allocates
//! beyond the bound below.
//!
//! What the walk checks: every count and length against the bytes that remain (each element takes at least one
//! byte), null only where it is allowed, varints of at most five bytes, text of at most 32767 bytes (Kafka's limit),
//! the number and sizes of tagged fields. UTF-8 is left to the codec: judging it allocates nothing.
//!
//! **The bound.** An element of one byte on the wire can be a structure of over a hundred bytes in memory, and arrays
//! nest. So the walk adds up what the codec will allocate (`memory_bytes` per element, and the nodes of maps of
//! unknown tagged fields) and refuses a message whose sum exceeds [`MEMORY_FREE`] + [`MEMORY_FACTOR`] times its own
//! length. Messages of real clients stay below ten times their length, for names and numbers take their own room on
//! the wire; only thousands of empty strings or of unknown tags get near the bound.
//!
//! The walk allocates nothing; its cost grows with the number of fields and elements, not with bytes: a Produce
//! request with one large batch costs well under a microsecond.

#![warn(clippy::indexing_slicing)]

use thiserror::Error;

use super::schema::{Field, Kind, Scalar, Schema};

/// Memory that any message may take when decoded, whatever its length, in bytes.
pub const MEMORY_FREE: u64 = 1 << 20;

/// Memory that a message may take beyond [`MEMORY_FREE`], per byte of its encoded form.
pub const MEMORY_FACTOR: u64 = 16;

/// A message that its table does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed message at {field}: {reason}")]
pub struct Malformed {
    /// The field where it shows.
    pub field: &'static str,
    /// What is wrong there.
    pub reason: Reason,
}

/// What can be wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// Fewer bytes remain than the field takes.
    #[error("it ends early")]
    EndsEarly,
    /// More elements than bytes remain.
    #[error("count {0} exceeds the bytes that remain")]
    Count(u32),
    /// A length or count below -1.
    #[error("negative length {0}")]
    NegativeLength(i32),
    /// Null where this version does not allow it.
    #[error("null is not allowed")]
    Null,
    /// A varint of more than five bytes or 32 bits.
    #[error("varint is too long")]
    Varint,
    /// Text of more than 32767 bytes.
    #[error("text of {0} bytes is too long")]
    TextTooLong(u32),
    /// A tagged field that this version does not have.
    #[error("tag {0} does not belong to this version")]
    Tag(u32),
    /// A tagged field longer or shorter than it claims.
    #[error("tag {0} does not have the size it claims")]
    TagSize(u32),
    /// Decoding would take more memory than a message of this length deserves.
    #[error("decoding would take too much memory")]
    Memory,
    /// Text that is not UTF-8, where we read it without the codec.
    #[error("text is not utf-8")]
    NotUtf8,
    /// The codec does not know the version.
    #[error("version {0} is unknown")]
    Version(i16),
}

/// Walks the message at the head of `bytes` and returns its length; what follows it is not looked at.
///
/// # Errors
///
/// Where and why the message is malformed.
pub fn walk(schema: &Schema, version: i16, bytes: &[u8]) -> Result<usize, Malformed> {
    if version < schema.min_version || version > schema.max_version {
        return Err(Malformed { field: "version", reason: Reason::Version(version) });
    }
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let allowance = MEMORY_FREE.saturating_add(length.saturating_mul(MEMORY_FACTOR));
    let mut walker =
        Walker { rest: bytes, version, is_flexible: schema.is_flexible(version), allowance };
    walker.structure(schema.fields)?;
    Ok(bytes.len() - walker.rest.len())
}

/// Walks the tagged fields of a header, of which none is known, and returns their length.
///
/// # Errors
///
/// Where and why they are malformed.
pub fn walk_tagged_fields(bytes: &[u8]) -> Result<usize, Malformed> {
    let mut walker = Walker { rest: bytes, version: 0, is_flexible: true, allowance: u64::MAX };
    walker.tags(&[])?;
    Ok(bytes.len() - walker.rest.len())
}

struct Walker<'a> {
    rest: &'a [u8],
    version: i16,
    is_flexible: bool,
    /// Memory the rest of the message may still take.
    allowance: u64,
}

type Step<T = ()> = Result<T, Reason>;

impl Walker<'_> {
    fn structure(&mut self, fields: &[Field]) -> Result<(), Malformed> {
        for field in fields {
            // A tagged field is an ordinary one in versions before tags, if it has any: none does today.
            if field.is_in(self.version) && field.tag.is_none() {
                self.field(field)?;
            }
        }
        if self.is_flexible { self.tags(fields) } else { Ok(()) }
    }

    fn field(&mut self, field: &Field) -> Result<(), Malformed> {
        let at = |reason| Malformed { field: field.name, reason };
        let may_be_null = field.may_be_null(self.version);
        match field.kind {
            Kind::Fixed(bytes) => self.skip(usize::from(bytes)).map_err(at),
            Kind::Text => self.text(may_be_null).map_err(at),
            Kind::Bytes => self.bytes(may_be_null).map_err(at),
            Kind::Structure(fields) => {
                if may_be_null && self.is_null_structure().map_err(at)? {
                    return Ok(());
                }
                self.structure(fields)
            }
            Kind::Scalars(scalar) => self.scalars(scalar, may_be_null).map_err(at),
            Kind::Structures { fields, memory_bytes } => {
                let count = self.count(may_be_null).map_err(at)?;
                self.pay(u64::from(count) * u64::from(memory_bytes)).map_err(at)?;
                for _ in 0..count {
                    self.structure(fields)?;
                }
                Ok(())
            }
        }
    }

    fn scalars(&mut self, scalar: Scalar, may_be_null: bool) -> Step {
        let count = self.count(may_be_null)?;
        self.pay(u64::from(count) * u64::from(scalar.memory_bytes()))?;
        match scalar {
            Scalar::Fixed(bytes) => {
                let total = u64::from(count) * u64::from(bytes);
                self.skip(usize::try_from(total).map_err(|_| Reason::EndsEarly)?)
            }
            Scalar::Text => (0..count).try_for_each(|_| self.text(false)),
        }
    }

    fn tags(&mut self, fields: &[Field]) -> Result<(), Malformed> {
        let at = |reason| Malformed { field: "tagged fields", reason };
        let count = self.varint().map_err(at)?;
        let mut price = FIRST_TAG_BYTES;
        for _ in 0..count {
            let tag = self.varint().map_err(at)?;
            // The codec keeps tags as signed numbers, and counts negative ones that it does not write.
            if i32::try_from(tag).is_err() {
                return Err(at(Reason::Tag(tag)));
            }
            let size = self.varint().map_err(at)?;
            let size = usize::try_from(size).map_err(|_| at(Reason::EndsEarly))?;
            let Some(field) = fields.iter().find(|field| field.tag == Some(tag)) else {
                self.skip(size).map_err(at)?;
                self.pay(price).map_err(at)?;
                price = NEXT_TAG_BYTES;
                continue;
            };
            let named = |reason| Malformed { field: field.name, reason };
            if !field.is_in(self.version) {
                return Err(named(Reason::Tag(tag)));
            }
            let before = self.rest.len();
            if size > before {
                return Err(named(Reason::EndsEarly));
            }
            self.field(field)?;
            if before - self.rest.len() != size {
                return Err(named(Reason::TagSize(tag)));
            }
        }
        Ok(())
    }

    fn text(&mut self, may_be_null: bool) -> Step {
        let length = if self.is_flexible {
            self.compact_length()?
        } else {
            match i16::from_be_bytes(self.take()?) {
                -1 => None,
                length => Some(
                    u32::try_from(length).map_err(|_| Reason::NegativeLength(i32::from(length)))?,
                ),
            }
        };
        match length {
            Some(length) if length > TEXT_MAX_BYTES => Err(Reason::TextTooLong(length)),
            length => self.skip_or_null(length, may_be_null),
        }
    }

    fn bytes(&mut self, may_be_null: bool) -> Step {
        let length = self.length()?;
        self.skip_or_null(length, may_be_null)
    }

    fn skip_or_null(&mut self, length: Option<u32>, may_be_null: bool) -> Step {
        match length {
            Some(length) => self.skip(usize::try_from(length).map_err(|_| Reason::EndsEarly)?),
            None if may_be_null => Ok(()),
            None => Err(Reason::Null),
        }
    }

    /// The count of an array, never above the bytes that remain; null counts zero.
    fn count(&mut self, may_be_null: bool) -> Step<u32> {
        match self.length()? {
            Some(count) if usize::try_from(count).is_ok_and(|count| count <= self.rest.len()) => {
                Ok(count)
            }
            Some(count) => Err(Reason::Count(count)),
            None if may_be_null => Ok(0),
            None => Err(Reason::Null),
        }
    }

    fn length(&mut self) -> Step<Option<u32>> {
        if self.is_flexible {
            return self.compact_length();
        }
        match i32::from_be_bytes(self.take()?) {
            -1 => Ok(None),
            length => Ok(Some(u32::try_from(length).map_err(|_| Reason::NegativeLength(length))?)),
        }
    }

    fn compact_length(&mut self) -> Step<Option<u32>> {
        Ok(self.varint()?.checked_sub(1))
    }

    fn is_null_structure(&mut self) -> Step<bool> {
        let [marker] = self.take()?;
        match i8::from_be_bytes([marker]) {
            -1 => Ok(true),
            1 => Ok(false),
            other => Err(Reason::NegativeLength(i32::from(other))),
        }
    }

    fn varint(&mut self) -> Step<u32> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && byte > 0x0f {
                return Err(Reason::Varint);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Reason::Varint)
    }

    fn pay(&mut self, memory_bytes: u64) -> Step {
        self.allowance = self.allowance.checked_sub(memory_bytes).ok_or(Reason::Memory)?;
        Ok(())
    }

    fn skip(&mut self, bytes: usize) -> Step {
        self.rest = self.rest.get(bytes..).ok_or(Reason::EndsEarly)?;
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Step<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Reason::EndsEarly)?;
        self.rest = rest;
        Ok(*head)
    }
}

/// Kafka's limit of any text.
const TEXT_MAX_BYTES: u32 = 32_767;

/// What the first unknown tagged field of a structure allocates: a node of the map, with room for eleven.
const FIRST_TAG_BYTES: u64 = 448;

/// What each further one adds: nodes are at least half full.
const NEXT_TAG_BYTES: u64 = 112;

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiKey;

    use super::*;
    use crate::protocol::schema::request_schema;

    fn check(
        key: ApiKey,
        version: i16,
        bytes: &[u8],
        expected: Result<usize, (&'static str, Reason)>,
    ) {
        let expected = expected.map_err(|(field, reason)| Malformed { field, reason });
        assert_eq!(
            walk(request_schema(key), version, bytes),
            expected,
            "{key:?} {version} {bytes:?}"
        );
    }

    #[test]
    fn counts_are_held_against_the_bytes_that_remain() {
        let key = ApiKey::Metadata;
        check(key, 1, &[0x7f, 0xff, 0xff, 0xff], Err(("topics", Reason::Count(0x7fff_ffff))));
        check(key, 1, &[0, 0, 0, 2, 0], Err(("topics", Reason::Count(2))));
        check(key, 1, &[0, 0, 0, 1, 0, 1, b'a'], Ok(7));
        check(key, 1, &[0xff, 0xff, 0xff, 0xfe], Err(("topics", Reason::NegativeLength(-2))));
        check(
            key,
            12,
            &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0],
            Err(("topics", Reason::Count(0xffff_fffe))),
        );
        check(key, 1, &[0, 0, 0], Err(("topics", Reason::EndsEarly)));
    }

    #[test]
    fn null_is_taken_only_from_the_version_that_allows_it() {
        check(ApiKey::Metadata, 0, &[0xff; 4], Err(("topics", Reason::Null)));
        check(ApiKey::Metadata, 1, &[0xff; 4], Ok(4));
        check(ApiKey::Heartbeat, 0, &[0xff, 0xff], Err(("group_id", Reason::Null)));
    }

    #[test]
    fn varints_end_within_five_bytes_and_32_bits() {
        let key = ApiKey::DescribeCluster;
        check(
            key,
            0,
            &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
            Err(("tagged fields", Reason::Varint)),
        );
        check(key, 0, &[1, 0x80, 0x80, 0x80, 0x80, 0x10], Err(("tagged fields", Reason::Varint)));
        // Longer than needed and yet a zero: decoders of all Kafkas take it.
        check(key, 0, &[1, 0x80, 0x80, 0x00], Ok(4));
    }

    #[test]
    fn tagged_fields_are_counted_skipped_and_measured() {
        let key = ApiKey::DescribeCluster;
        check(key, 0, &[1, 1, 9, 2, 0xaa, 0xbb], Ok(6));
        check(key, 0, &[1, 1, 9, 3, 0xaa, 0xbb], Err(("tagged fields", Reason::EndsEarly)));
        check(key, 0, &[1, 2, 9, 0], Err(("tagged fields", Reason::EndsEarly)));
    }

    #[test]
    fn tags_beyond_31_bits_are_refused() {
        let key = ApiKey::DescribeCluster;
        check(key, 0, &[1, 1, 0xff, 0xff, 0xff, 0xff, 0x07, 0], Ok(8));
        check(
            key,
            0,
            &[1, 1, 0x80, 0x80, 0x80, 0x80, 0x08, 0],
            Err(("tagged fields", Reason::Tag(1 << 31))),
        );
    }

    #[test]
    fn a_known_tag_has_to_have_the_size_it_claims() {
        // Replica, wait, two sizes, isolation, session and its epoch; no topics, nothing forgotten, no rack.
        let body = [&[0_u8; 25][..], &[1, 1, 1]].concat();
        let with = |tags: &[u8]| [&body[..], tags].concat();
        check(ApiKey::Fetch, 12, &with(&[1, 0, 2, 2, b'c']), Ok(33));
        check(
            ApiKey::Fetch,
            12,
            &with(&[1, 0, 1, 2, b'c']),
            Err(("cluster_id", Reason::TagSize(0))),
        );
        check(
            ApiKey::Fetch,
            12,
            &with(&[1, 0, 3, 2, b'c', 0]),
            Err(("cluster_id", Reason::TagSize(0))),
        );
        check(ApiKey::Fetch, 12, &with(&[1, 1, 1, 0]), Err(("replica_state", Reason::Tag(1))));
    }

    #[test]
    fn text_is_limited_as_in_kafka() {
        let mut bytes = vec![0x81, 0x80, 0x02];
        bytes.resize(40_000, b'x');
        check(ApiKey::Heartbeat, 4, &bytes, Err(("group_id", Reason::TextTooLong(32_768))));
    }

    #[test]
    fn memory_is_refused_to_messages_too_short_for_it() {
        // Topics of three bytes each, whose structure takes 72 in memory.
        let message = |count: u32| {
            let mut bytes = count.to_be_bytes().to_vec();
            bytes.extend((0..count).flat_map(|_| [0, 0]));
            bytes
        };
        check(ApiKey::Metadata, 1, &message(10_000), Ok(20_004));
        check(ApiKey::Metadata, 1, &message(100_000), Err(("topics", Reason::Memory)));
    }

    #[test]
    fn versions_that_the_codec_does_not_know_are_refused() {
        check(ApiKey::Metadata, -1, &[0xff; 4], Err(("version", Reason::Version(-1))));
        check(ApiKey::Metadata, 99, &[0xff; 4], Err(("version", Reason::Version(99))));
    }

    #[test]
    fn what_follows_a_message_is_left_alone() {
        check(ApiKey::Metadata, 1, &[0xff, 0xff, 0xff, 0xff, 1, 2, 3], Ok(4));
    }
}
