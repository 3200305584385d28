#![warn(clippy::indexing_slicing)]

use crate::model::Offset;
use crate::record::cursor::Cursor;
use crate::record::{Compression, Error};

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;

/// Bytes of a batch that its length field does not count: base offset and the length itself.
pub const PREFIX_BYTES: usize = 12;

/// Where the bytes begin that the checksum covers.
pub(super) const CHECKSUMMED_FROM: usize = 21;

/// The smallest length field: a header and no records.
const LENGTH_MIN: i32 = 49;

pub(super) const CODEC_MASK: i16 = 0b0000_0111;
pub(super) const LOG_APPEND_TIME_BIT: i16 = 0b0000_1000;
pub(super) const TRANSACTIONAL_BIT: i16 = 0b0001_0000;
pub(super) const CONTROL_BIT: i16 = 0b0010_0000;
pub(super) const DELETE_HORIZON_BIT: i16 = 0b0100_0000;

/// Who set the timestamps of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// Each record has the time its producer gave it.
    #[default]
    CreateTime,
    /// All records have the time the leader appended the batch: the maximum timestamp.
    LogAppendTime,
}

/// The first 61 bytes of a record batch, format 2.
///
/// A decoded header keeps: `batch_length >= 49`, and `base_offset`, `last_offset_delta` and `record_count` are not
/// negative, and the offset after the last one exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Offset of the first record when it was written. The checksum does not cover it.
    pub base_offset: i64,
    /// Bytes after this field.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch; -1 before it is appended. The checksum does not cover it.
    pub leader_epoch: i32,
    /// The format: 2.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type and flags.
    pub attributes: i16,
    /// Last offset minus base offset. Stays when compaction removes the last record.
    pub last_offset_delta: i32,
    /// Milliseconds that the records' timestamps count from; the delete horizon when its flag is set.
    pub base_timestamp: i64,
    /// The largest timestamp of the records, in milliseconds.
    pub max_timestamp: i64,
    /// Producer that numbers its batches; -1 if it does not.
    pub producer_id: i64,
    /// The producer's epoch; -1 without producer.
    pub producer_epoch: i16,
    /// Sequence number of the first record; -1 without producer and in control batches.
    pub base_sequence: i32,
    /// Records in the batch; 0 when compaction removed all.
    pub record_count: i32,
}

impl Header {
    /// Reads a header from the front of `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] below 61 bytes, and what is wrong with format, length, offsets or count.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let cut = Error::Incomplete { needed: HEADER_BYTES, available: bytes.len() };
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else { return Err(cut) };
        let mut cursor = Cursor(bytes);
        let header = Self {
            base_offset: cursor.i64()?,
            batch_length: cursor.i32()?,
            leader_epoch: cursor.i32()?,
            magic: cursor.i8()?,
            crc: cursor.u32()?,
            attributes: cursor.i16()?,
            last_offset_delta: cursor.i32()?,
            base_timestamp: cursor.i64()?,
            max_timestamp: cursor.i64()?,
            producer_id: cursor.i64()?,
            producer_epoch: cursor.i16()?,
            base_sequence: cursor.i32()?,
            record_count: cursor.i32()?,
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), Error> {
        if self.magic != 2 {
            return Err(Error::UnsupportedMagic(self.magic));
        }
        if self.batch_length < LENGTH_MIN {
            return Err(Error::InvalidLength(self.batch_length));
        }
        let next = self
            .base_offset
            .checked_add(i64::from(self.last_offset_delta))
            .and_then(|last| last.checked_add(1));
        if self.base_offset < 0
            || self.last_offset_delta < 0
            || self.record_count < 0
            || next.is_none()
        {
            return Err(Error::InvalidHeader);
        }
        Ok(())
    }

    /// The header as it is written.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = bytes.as_mut_slice();
        let mut put = |field: &[u8]| {
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(field.len());
            head.copy_from_slice(field);
            rest = tail;
        };
        put(&self.base_offset.to_be_bytes());
        put(&self.batch_length.to_be_bytes());
        put(&self.leader_epoch.to_be_bytes());
        put(&self.magic.to_be_bytes());
        put(&self.crc.to_be_bytes());
        put(&self.attributes.to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&self.base_timestamp.to_be_bytes());
        put(&self.max_timestamp.to_be_bytes());
        put(&self.producer_id.to_be_bytes());
        put(&self.producer_epoch.to_be_bytes());
        put(&self.base_sequence.to_be_bytes());
        put(&self.record_count.to_be_bytes());
        bytes
    }

    /// The size of the whole batch, header included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        PREFIX_BYTES + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// The base offset as an offset.
    #[must_use]
    pub fn first_offset(&self) -> Offset {
        Offset::new(self.base_offset)
    }

    /// The last offset the batch accounts for; the record there may have been compacted away.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.first_offset().plus(i64::from(self.last_offset_delta))
    }

    /// Where the next batch may begin.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// The sequence number of the last record, going on from the largest with 0; -1 when there is no first.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        // Kafka goes from i32::MAX to 0, not to the negative numbers: 31 bits, wrapping.
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }

    /// The codec of the records.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCodec`] for the three numbers that Kafka leaves free.
    pub fn compression(&self) -> Result<Compression, Error> {
        Compression::from_id((self.attributes & CODEC_MASK).to_be_bytes()[1])
    }

    /// Who set the timestamps.
    #[must_use]
    pub const fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// True when the batch belongs to a transaction.
    #[must_use]
    pub const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// True when the records are for brokers, not for clients.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// True when the base timestamp is the time at which tombstones and markers may go. Source: KIP-534.
    #[must_use]
    pub const fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_BIT != 0
    }

    /// True when a producer numbers its batches. Source: KIP-98.
    #[must_use]
    pub const fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }
}
