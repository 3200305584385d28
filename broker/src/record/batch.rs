#![warn(clippy::indexing_slicing)]

use bytes::{Buf as _, Bytes, BytesMut};

use crate::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::record::cursor::Cursor;
use crate::record::header::{CHECKSUMMED_FROM, CODEC_MASK, LOG_APPEND_TIME_BIT};
use crate::record::iterator::{self, RecordSummary, Records};
use crate::record::{Compression, Error, HEADER_BYTES, Header, PREFIX_BYTES};

/// Bytes of a batch that an append replaces: base offset, length, leader epoch.
const PATCHED_BYTES: usize = 16;

/// One whole record batch: its bytes as they came, and its header.
///
/// The header belongs to the bytes and the bytes are exactly as long as it says. The checksum is not verified and
/// the records are not looked at until asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    header: Header,
    bytes: Bytes,
}

impl Batch {
    /// Takes the first batch off `bytes` without copying it; `None` when there are no more bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] when the batch is cut off and more bytes may make it whole; anything else means that
    /// no batch begins here. `bytes` are then as they were.
    pub fn split_first(bytes: &mut Bytes) -> Result<Option<Self>, Error> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let size = size_of_first(bytes)?;
        let header = Header::decode(bytes)?;
        Ok(Some(Self { header, bytes: bytes.split_to(size) }))
    }

    /// Takes `bytes` as exactly one batch.
    ///
    /// # Errors
    ///
    /// As [`split_first`](Self::split_first), and [`Error::TrailingBytes`] when there is more.
    pub fn parse(mut bytes: Bytes) -> Result<Self, Error> {
        let batch = Self::split_first(&mut bytes)?;
        let batch = batch.ok_or(Error::Incomplete { needed: HEADER_BYTES, available: 0 })?;
        if bytes.is_empty() { Ok(batch) } else { Err(Error::TrailingBytes(bytes.len())) }
    }

    /// The first 61 bytes, taken apart.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// All bytes, header included.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Consumes the batch for its bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The records as they are stored, compressed or not.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(HEADER_BYTES..)
    }

    /// Compares the checksum with the bytes.
    ///
    /// # Errors
    ///
    /// [`Error::ChecksumMismatch`] when they do not belong together.
    pub fn verify_crc(&self) -> Result<(), Error> {
        let covered = self.bytes.get(CHECKSUMMED_FROM..).unwrap_or_default();
        let computed = crc32c::crc32c(covered);
        let stored = self.header.crc;
        if computed == stored { Ok(()) } else { Err(Error::ChecksumMismatch { stored, computed }) }
    }

    /// The first 16 bytes as they must be written to give the batch its place in the log; the rest of
    /// [`bytes`](Self::bytes), from 16 on, follows as it is, for the checksum does not cover these.
    #[must_use]
    pub fn patched_prefix(
        &self,
        base_offset: Offset,
        leader_epoch: LeaderEpoch,
    ) -> [u8; PATCHED_BYTES] {
        let mut prefix = [0; PATCHED_BYTES];
        prefix[..8].copy_from_slice(&base_offset.value().to_be_bytes());
        prefix[8..12].copy_from_slice(&self.header.batch_length.to_be_bytes());
        prefix[12..].copy_from_slice(&leader_epoch.value().to_be_bytes());
        prefix
    }

    /// The same batch at its place in the log. Copies; [`patched_prefix`](Self::patched_prefix) does not.
    #[must_use]
    pub fn placed(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        let header = Header {
            base_offset: base_offset.value(),
            leader_epoch: leader_epoch.value(),
            ..self.header
        };
        Self::assemble(header, &self.payload())
    }

    /// The same batch with the time of its append as the time of all its records, and a new checksum.
    #[must_use]
    pub fn with_log_append_time(&self, time: Timestamp) -> Self {
        let attributes = self.header.attributes | LOG_APPEND_TIME_BIT;
        self.changed(Header { attributes, max_timestamp: time.millis(), ..self.header })
    }

    /// The same batch with another maximum timestamp under create time, and a new checksum: a leader writes what
    /// the records say, not what the producer claims.
    #[must_use]
    pub fn with_max_timestamp(&self, time: Timestamp) -> Self {
        let attributes = self.header.attributes & !LOG_APPEND_TIME_BIT;
        self.changed(Header { attributes, max_timestamp: time.millis(), ..self.header })
    }

    /// The same batch from another producer or with other sequence numbers, and a new checksum: an idempotent producer
    /// that must number its batches anew. Source: KIP-360.
    #[must_use]
    pub fn with_producer(&self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Self {
        self.changed(Header {
            producer_id: id.0,
            producer_epoch: epoch.0,
            base_sequence,
            ..self.header
        })
    }

    fn changed(&self, header: Header) -> Self {
        Self::sealed(header, &self.payload())
    }

    /// The records, each taken apart, decompressed to at most `limit_bytes` in all.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCodec`], [`Error::CorruptCompression`], [`Error::TooLarge`]. The iterator itself gives
    /// [`Error::MalformedRecord`] and [`Error::WrongRecordCount`] where it meets them, and ends there.
    pub fn records(&self, limit_bytes: usize) -> Result<Records, Error> {
        let payload = self.header.compression()?.decompress(&self.payload(), limit_bytes)?;
        Ok(Records::new(self.header, payload))
    }

    /// Shows each record to `see` without building it, checks that lengths and record count are exact, and returns
    /// how many bytes the records take when not compressed. Memory stays small whatever comes out of the codec.
    ///
    /// # Errors
    ///
    /// As [`records`](Self::records) and its iterator. `see` may have seen records before.
    pub fn scan(&self, limit_bytes: usize, see: impl FnMut(RecordSummary)) -> Result<usize, Error> {
        iterator::scan(
            &self.header,
            self.bytes.get(HEADER_BYTES..).unwrap_or_default(),
            limit_bytes,
            see,
        )
    }

    /// Header over payload, the header taken as it is.
    fn assemble(header: Header, payload: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + payload.len());
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(payload);
        Self { header, bytes: bytes.freeze() }
    }

    /// Header over payload, with the checksum that belongs to them. The length must be right already.
    pub(super) fn sealed(mut header: Header, payload: &[u8]) -> Self {
        let encoded = header.encode();
        let covered = encoded.get(CHECKSUMMED_FROM..).unwrap_or_default();
        header.crc = crc32c::crc32c_append(crc32c::crc32c(covered), payload);
        Self::assemble(header, payload)
    }
}

/// Compresses the records of `batch` anew. Offsets, timestamps, producer fields, keys, values and headers stay byte
/// for byte, for the records are not taken apart.
///
/// # Errors
///
/// What decompressing to at most `limit_bytes` gives, and [`Error::TooLarge`] when the batch leaves its length field.
pub fn recompress(
    batch: &Batch,
    codec: Compression,
    level: i32,
    limit_bytes: usize,
) -> Result<Batch, Error> {
    let header = batch.header;
    let payload = header.compression()?.decompress(&batch.payload(), limit_bytes)?;
    let payload = match codec {
        Compression::None => payload,
        Compression::Gzip | Compression::Snappy | Compression::Lz4 | Compression::Zstd => {
            Bytes::from(codec.compress(&payload, level)?)
        }
    };
    let batch_length = length_field(payload.len())?;
    let attributes = header.attributes & !CODEC_MASK | i16::from(codec.id());
    Ok(Batch::sealed(Header { batch_length, attributes, ..header }, &payload))
}

/// The length field of a batch with this many bytes of records.
pub(super) fn length_field(payload_bytes: usize) -> Result<i32, Error> {
    const LIMIT: i32 = i32::MAX - 61;
    let payload = i32::try_from(payload_bytes).ok().filter(|bytes| *bytes <= LIMIT);
    let payload =
        payload.ok_or(Error::TooLarge { limit: usize::try_from(LIMIT).unwrap_or(usize::MAX) })?;
    Ok(payload + 49)
}

/// Size of the batch that `bytes` begin with, once all of it is there.
fn size_of_first(bytes: &[u8]) -> Result<usize, Error> {
    let mut cursor = Cursor(bytes);
    let cut = |needed| Error::Incomplete { needed, available: bytes.len() };
    let Ok(_) = cursor.i64() else { return Err(cut(PREFIX_BYTES)) };
    let Ok(length) = cursor.i32() else { return Err(cut(PREFIX_BYTES)) };
    // An older format has shorter headers: say that, not that the length is wrong.
    if let Some(magic) = bytes.get(16).map(|magic| magic.cast_signed()).filter(|magic| *magic != 2)
    {
        return Err(Error::UnsupportedMagic(magic));
    }
    let size = usize::try_from(length)
        .map_err(|_| Error::InvalidLength(length))?
        .saturating_add(PREFIX_BYTES);
    if size < HEADER_BYTES {
        return Err(Error::InvalidLength(length));
    }
    if bytes.len() < size { Err(cut(size)) } else { Ok(size) }
}

/// Takes the first batches off `bytes` that are whole, and says where they end.
///
/// # Errors
///
/// As [`Batch::split_first`], except that a batch cut off at the end is left in `bytes` without error.
pub fn split_all(bytes: &mut Bytes) -> Result<Vec<Batch>, Error> {
    let mut batches = Vec::new();
    while bytes.has_remaining() {
        match Batch::split_first(bytes) {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) | Err(Error::Incomplete { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(batches)
}
