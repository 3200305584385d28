use bytes::Bytes;

use crate::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::record::batch::{Batch, length_field};
use crate::record::header::{
    CONTROL_BIT, DELETE_HORIZON_BIT, LOG_APPEND_TIME_BIT, TRANSACTIONAL_BIT,
};
use crate::record::{Compression, Error, HEADER_BYTES, Header, varint};

/// A header on its way into a record: its key, and its value or null.
pub type HeaderSlice<'a> = (&'a [u8], Option<&'a [u8]>);

/// Writes a batch that this program authors.
///
/// Offsets follow each other from the base offset unless given; the base timestamp is that of the first record.
#[derive(Clone, Debug)]
pub struct Builder {
    header: Header,
    compression: Compression,
    level: i32,
    payload: Vec<u8>,
    next_delta: i32,
    base_timestamp: Option<i64>,
    append_time: Option<i64>,
    last_offset: Option<Offset>,
}

impl Builder {
    /// Begins a batch. The leader epoch is `None` where the leader will write it.
    #[must_use]
    pub fn new(
        base_offset: Offset,
        leader_epoch: impl Into<Option<LeaderEpoch>>,
        compression: Compression,
    ) -> Self {
        let header = Header {
            base_offset: base_offset.value(),
            batch_length: 0,
            leader_epoch: leader_epoch.into().map_or(-1, LeaderEpoch::value),
            magic: 2,
            crc: 0,
            attributes: i16::from(compression.id()),
            last_offset_delta: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        };
        Self {
            header,
            compression,
            level: compression.default_level(),
            payload: Vec::new(),
            next_delta: 0,
            base_timestamp: None,
            append_time: None,
            last_offset: None,
        }
    }

    /// Begins a batch to hold what compaction leaves of `original`: its offsets, epoch, producer, sequence, codec
    /// and flags stay, also when records are missing, and its timestamp type.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCodec`] as the original has it.
    pub fn rewriting(original: &Header) -> Result<Self, Error> {
        let compression = original.compression()?;
        let mut builder = Self::new(
            original.first_offset(),
            LeaderEpoch::from_wire(original.leader_epoch),
            compression,
        );
        builder.header = Header { record_count: 0, ..*original };
        // A horizon would take the place of the base timestamp: it is set anew or not at all.
        builder.header.attributes &= !DELETE_HORIZON_BIT;
        builder.header.base_timestamp = -1;
        builder.append_time =
            (original.attributes & LOG_APPEND_TIME_BIT != 0).then_some(original.max_timestamp);
        builder.last_offset = Some(original.last_offset());
        Ok(builder)
    }

    /// Compresses at this level instead of Kafka's default.
    #[must_use]
    pub const fn level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// Marks the records as being for brokers.
    #[must_use]
    pub const fn control(mut self) -> Self {
        self.header.attributes |= CONTROL_BIT;
        self
    }

    /// Makes the batch part of its producer's transaction.
    #[must_use]
    pub const fn transactional(mut self) -> Self {
        self.header.attributes |= TRANSACTIONAL_BIT;
        self
    }

    /// Names the producer, and the sequence number of the first record; `None` in markers.
    #[must_use]
    pub fn producer(
        mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        base_sequence: Option<i32>,
    ) -> Self {
        self.header.producer_id = id.0;
        self.header.producer_epoch = epoch.0;
        self.header.base_sequence = base_sequence.unwrap_or(-1);
        self
    }

    /// Gives all records the time of the append.
    #[must_use]
    pub const fn log_append_time(mut self, time: Timestamp) -> Self {
        self.append_time = Some(time.millis());
        self.header.attributes |= LOG_APPEND_TIME_BIT;
        self
    }

    /// Says when tombstones and markers of this batch may go. Before the first record. Source: KIP-534.
    #[must_use]
    pub const fn delete_horizon(mut self, horizon: Timestamp) -> Self {
        self.base_timestamp = Some(horizon.millis());
        self.header.attributes |= DELETE_HORIZON_BIT;
        self
    }

    /// Makes the batch account for offsets up to this one, whether or not a record stands there.
    #[must_use]
    pub const fn last_offset(mut self, offset: Offset) -> Self {
        self.last_offset = Some(offset);
        self
    }

    /// Adds a record at the next offset.
    ///
    /// # Panics
    ///
    /// When a key or value passes 2 GiB, or the batch 2^31 records: nothing that writes batches here comes near.
    pub fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderSlice<'_>],
    ) {
        let offset = self.header.first_offset().plus(i64::from(self.next_delta));
        self.append_at(offset, timestamp, key, value, headers);
    }

    /// Adds a record at `offset`, which may leave a gap.
    ///
    /// # Panics
    ///
    /// As [`append`](Self::append), and when `offset` is not after the record before, or 2^31 past the base offset.
    pub fn append_at(
        &mut self,
        offset: Offset,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderSlice<'_>],
    ) {
        let delta = i32::try_from(offset.distance_from(self.header.first_offset()))
            .expect("the offsets of one batch lie within 2^31 of each other");
        assert!(delta >= self.next_delta, "the offsets of one batch grow");
        let base = *self.base_timestamp.get_or_insert(timestamp.millis());
        let timestamp_delta = timestamp.millis().wrapping_sub(base);
        let is_first = self.header.record_count == 0;
        self.header.max_timestamp = if is_first {
            timestamp.millis()
        } else {
            self.header.max_timestamp.max(timestamp.millis())
        };
        write_record(timestamp_delta, delta, key, value, headers, &mut self.payload);
        self.header.record_count += 1;
        self.header.last_offset_delta = delta;
        self.next_delta = delta.checked_add(1).expect("a batch has fewer than 2^31 records");
    }

    /// Records so far.
    #[must_use]
    pub const fn record_count(&self) -> i32 {
        self.header.record_count
    }

    /// True when nothing was appended.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    /// The size of the batch if it is not compressed, in bytes.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// Finishes the batch. One without records is what compaction leaves of a producer's last batch.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] when the batch leaves its length field, [`Error::CorruptCompression`] when the codec fails.
    ///
    /// # Panics
    ///
    /// When the last offset given is before a record, or 2^31 past the base offset.
    pub fn finish(self) -> Result<Batch, Error> {
        let mut header = self.header;
        // An empty batch keeps no codec, as in Kafka: nothing is compressed.
        let payload = match self.compression {
            _ if header.record_count == 0 => {
                header.attributes &= !i16::from(self.compression.id());
                Vec::new()
            }
            Compression::None => self.payload,
            codec @ (Compression::Gzip
            | Compression::Snappy
            | Compression::Lz4
            | Compression::Zstd) => codec.compress(&self.payload, self.level)?,
        };
        header.batch_length = length_field(payload.len())?;
        header.base_timestamp = self.base_timestamp.unwrap_or(-1);
        if let Some(time) = self.append_time {
            header.max_timestamp = time;
        }
        if let Some(last) = self.last_offset {
            let delta = i32::try_from(last.distance_from(header.first_offset()))
                .expect("the offsets of one batch lie within 2^31 of each other");
            assert!(
                delta >= header.last_offset_delta || header.record_count == 0,
                "a batch accounts for its records"
            );
            header.last_offset_delta = delta;
        }
        Ok(Batch::sealed(header, &payload))
    }

    /// Finishes the batch for its bytes.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish).
    ///
    /// # Panics
    ///
    /// As [`finish`](Self::finish).
    pub fn build(self) -> Result<Bytes, Error> {
        self.finish().map(Batch::into_bytes)
    }
}

/// The bytes one record takes in a batch that is not compressed.
#[must_use]
pub fn record_size_bytes(
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[HeaderSlice<'_>],
) -> usize {
    let body = body_bytes(timestamp_delta, offset_delta, key, value, headers);
    varint::length_of_i32(length_of(body)) + body
}

fn write_record(
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[HeaderSlice<'_>],
    out: &mut Vec<u8>,
) {
    let body = body_bytes(timestamp_delta, offset_delta, key, value, headers);
    varint::write_i32(length_of(body), out);
    out.push(0);
    varint::write_i64(timestamp_delta, out);
    varint::write_i32(offset_delta, out);
    write_field(key, out);
    write_field(value, out);
    varint::write_i32(length_of(headers.len()), out);
    for (key, value) in headers {
        write_field(Some(key), out);
        write_field(*value, out);
    }
}

fn body_bytes(
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[HeaderSlice<'_>],
) -> usize {
    let headers_bytes: usize =
        headers.iter().map(|(key, value)| field_bytes(Some(key)) + field_bytes(*value)).sum();
    1 + varint::length_of_i64(timestamp_delta)
        + varint::length_of_i32(offset_delta)
        + field_bytes(key)
        + field_bytes(value)
        + varint::length_of_i32(length_of(headers.len()))
        + headers_bytes
}

fn field_bytes(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varint::length_of_i32(length_of(bytes.len())) + bytes.len())
}

fn write_field(field: Option<&[u8]>, out: &mut Vec<u8>) {
    match field {
        None => varint::write_i32(-1, out),
        Some(bytes) => {
            varint::write_i32(length_of(bytes.len()), out);
            out.extend_from_slice(bytes);
        }
    }
}

fn length_of(length: usize) -> i32 {
    i32::try_from(length).expect("nothing in a record reaches 2 GiB")
}
