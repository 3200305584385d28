//! Records inside a batch: taken apart whole, or only measured.
#![warn(clippy::indexing_slicing)]

use std::io::Read as _;

use bytes::{Buf as _, Bytes};

use crate::model::{Offset, Timestamp};
use crate::record::compression::Decoder;
use crate::record::{Compression, Error, Header, TimestampType, varint};

/// One record, its parts sliced out of the batch or of its decompressed form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands in the log.
    pub offset: Offset,
    /// Its time: its own, or that of the append when the batch says so.
    pub timestamp: Timestamp,
    /// The key, if any.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers in their order, repeated keys included.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// What validation must know of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSummary {
    /// Offset of the record minus the base offset; not checked against anything.
    pub offset_delta: i32,
    /// The time, as in [`Record::timestamp`].
    pub timestamp: Timestamp,
    /// False when the key is null.
    pub has_key: bool,
    /// Bytes of the record when not compressed, its length field included.
    pub size_bytes: usize,
}

/// The records of one batch, in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records {
    header: Header,
    payload: Bytes,
    left: i32,
    is_finished: bool,
}

impl Records {
    pub(super) const fn new(header: Header, payload: Bytes) -> Self {
        Self { header, payload, left: header.record_count, is_finished: false }
    }

    fn read(&mut self) -> Result<Record, Error> {
        let mut source = Slice(&self.payload);
        let length = read_length(&mut source)?;
        let prefix = self.payload.len() - source.0.len();
        self.payload.advance(prefix);
        if length > self.payload.len() {
            return Err(Error::MalformedRecord);
        }
        let mut parts = Parts { bytes: self.payload.split_to(length), position: 0 };
        parts.byte()?;
        let timestamp_delta = varint::read_i64(|| parts.byte())?;
        let offset_delta = varint::read_i32(|| parts.byte())?;
        let key = parts.field()?;
        let value = parts.field()?;
        let header_count = varint::read_i32(|| parts.byte())?;
        if header_count < 0 {
            return Err(Error::MalformedRecord);
        }
        // No capacity from a claimed count: a header takes two bytes at least, so the loop ends by itself.
        let mut headers = Vec::new();
        for _ in 0..header_count {
            let key = parts.field()?.ok_or(Error::MalformedRecord)?;
            headers.push((key, parts.field()?));
        }
        if parts.position != length {
            return Err(Error::MalformedRecord);
        }
        let offset = self
            .header
            .base_offset
            .checked_add(i64::from(offset_delta))
            .and_then(Offset::from_wire);
        Ok(Record {
            offset: offset.ok_or(Error::MalformedRecord)?,
            timestamp: timestamp_of(&self.header, timestamp_delta),
            key,
            value,
            headers,
        })
    }
}

impl Iterator for Records {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_finished {
            return None;
        }
        if self.left == 0 {
            self.is_finished = true;
            return if self.payload.is_empty() { None } else { Some(Err(Error::WrongRecordCount)) };
        }
        self.left -= 1;
        let record =
            if self.payload.is_empty() { Err(Error::WrongRecordCount) } else { self.read() };
        self.is_finished = record.is_err();
        Some(record)
    }
}

/// The inside of one record.
struct Parts {
    bytes: Bytes,
    position: usize,
}

impl Parts {
    fn byte(&mut self) -> Result<u8, Error> {
        let byte = *self.bytes.get(self.position).ok_or(Error::MalformedRecord)?;
        self.position += 1;
        Ok(byte)
    }

    /// Bytes behind their length. Kafka takes every negative length for null.
    fn field(&mut self) -> Result<Option<Bytes>, Error> {
        let Ok(length) = usize::try_from(varint::read_i32(|| self.byte())?) else {
            return Ok(None);
        };
        let end = self.position.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(Error::MalformedRecord)?;
        let field = self.bytes.slice(self.position..end);
        self.position = end;
        Ok(Some(field))
    }
}

fn timestamp_of(header: &Header, delta: i64) -> Timestamp {
    match header.timestamp_type() {
        // Producers may send any time and Kafka's arithmetic wraps: so do we, and nothing is lost.
        TimestampType::CreateTime => Timestamp(header.base_timestamp.wrapping_add(delta)),
        TimestampType::LogAppendTime => Timestamp(header.max_timestamp),
    }
}

/// Goes through all records of `payload` without building them, and checks that lengths and count are exact.
/// Compressed records pass through one small buffer. Returns the size of the records when not compressed.
pub(super) fn scan(
    header: &Header,
    payload: &[u8],
    limit_bytes: usize,
    see: impl FnMut(RecordSummary),
) -> Result<usize, Error> {
    let codec = header.compression()?;
    match Decoder::open(codec, payload)? {
        None => scan_source(header, Slice(payload), see).map(|()| payload.len()),
        Some(decoder) => {
            let mut inflated = Inflated::new(decoder, codec, limit_bytes);
            scan_source(header, &mut inflated, see).map(|()| inflated.produced_bytes)
        }
    }
}

fn scan_source(
    header: &Header,
    mut source: impl Source,
    mut see: impl FnMut(RecordSummary),
) -> Result<(), Error> {
    for _ in 0..header.record_count {
        if source.available()?.is_empty() {
            return Err(Error::WrongRecordCount);
        }
        see(scan_record(header, &mut source)?);
    }
    if source.available()?.is_empty() { Ok(()) } else { Err(Error::WrongRecordCount) }
}

fn scan_record(header: &Header, source: &mut impl Source) -> Result<RecordSummary, Error> {
    let length = read_length(source)?;
    let mut inside = Inside { source, left: length };
    inside.byte()?;
    let timestamp_delta = varint::read_i64(|| inside.byte())?;
    let offset_delta = varint::read_i32(|| inside.byte())?;
    let has_key = inside.skip_field()?;
    inside.skip_field()?;
    let header_count = varint::read_i32(|| inside.byte())?;
    if header_count < 0 {
        return Err(Error::MalformedRecord);
    }
    for _ in 0..header_count {
        if !inside.skip_field()? {
            return Err(Error::MalformedRecord);
        }
        inside.skip_field()?;
    }
    if inside.left != 0 {
        return Err(Error::MalformedRecord);
    }
    let prefix = i32::try_from(length).map_or(0, varint::length_of_i32);
    let timestamp = timestamp_of(header, timestamp_delta);
    Ok(RecordSummary { offset_delta, timestamp, has_key, size_bytes: prefix + length })
}

fn read_length(source: &mut impl Source) -> Result<usize, Error> {
    let length = varint::read_i32(|| source.byte())?;
    usize::try_from(length).map_err(|_| Error::MalformedRecord)
}

/// Bytes that come piece by piece.
trait Source {
    /// What can be read now; empty only at the end.
    fn available(&mut self) -> Result<&[u8], Error>;

    /// Takes `count` bytes off what is available.
    fn consume(&mut self, count: usize);

    fn byte(&mut self) -> Result<u8, Error> {
        let byte = *self.available()?.first().ok_or(Error::MalformedRecord)?;
        self.consume(1);
        Ok(byte)
    }

    fn skip(&mut self, mut count: usize) -> Result<(), Error> {
        while count > 0 {
            let step = self.available()?.len().min(count);
            if step == 0 {
                return Err(Error::MalformedRecord);
            }
            self.consume(step);
            count -= step;
        }
        Ok(())
    }
}

impl<S: Source> Source for &mut S {
    fn available(&mut self) -> Result<&[u8], Error> {
        (**self).available()
    }

    fn consume(&mut self, count: usize) {
        (**self).consume(count);
    }
}

/// All of it is there.
struct Slice<'a>(&'a [u8]);

impl Source for Slice<'_> {
    fn available(&mut self) -> Result<&[u8], Error> {
        Ok(self.0)
    }

    fn consume(&mut self, count: usize) {
        self.0 = self.0.get(count..).unwrap_or_default();
    }
}

/// How much is decompressed at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// Comes out of a codec, and not more than a limit.
struct Inflated<'a> {
    decoder: Decoder<'a>,
    codec: Compression,
    limit_bytes: usize,
    produced_bytes: usize,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<'a> Inflated<'a> {
    fn new(decoder: Decoder<'a>, codec: Compression, limit_bytes: usize) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self { decoder, codec, limit_bytes, produced_bytes: 0, buffer, start: 0, end: 0 }
    }
}

impl Source for Inflated<'_> {
    fn available(&mut self) -> Result<&[u8], Error> {
        if self.start == self.end {
            self.start = 0;
            self.end = self
                .decoder
                .read(&mut self.buffer)
                .map_err(|_| Error::CorruptCompression(self.codec))?;
            self.produced_bytes = self.produced_bytes.saturating_add(self.end);
            if self.produced_bytes > self.limit_bytes {
                return Err(Error::TooLarge { limit: self.limit_bytes });
            }
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }
}

/// One record of a source: nothing beyond its length can be read.
struct Inside<'a, S> {
    source: &'a mut S,
    left: usize,
}

impl<S: Source> Inside<'_, S> {
    fn byte(&mut self) -> Result<u8, Error> {
        self.left = self.left.checked_sub(1).ok_or(Error::MalformedRecord)?;
        self.source.byte()
    }

    /// Skips bytes behind their length. False when they are null.
    fn skip_field(&mut self) -> Result<bool, Error> {
        let Ok(length) = usize::try_from(varint::read_i32(|| self.byte())?) else {
            return Ok(false);
        };
        self.left = self.left.checked_sub(length).ok_or(Error::MalformedRecord)?;
        self.source.skip(length)?;
        Ok(true)
    }
}
