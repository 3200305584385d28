//! Reading and writing the few encoded forms that stored records use.

#![warn(clippy::indexing_slicing)]

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use uuid::Uuid;

use crate::model::{
    BrokerEpoch, DirectoryId, GroupId, LeaderEpoch, MemberId, NodeId, PartitionIndex, ProducerId,
    Timestamp, TopicId, TopicName,
};

/// Why bytes are not a record, or a record cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// Fewer bytes than a field takes.
    #[error("record ends early")]
    EndsEarly,
    /// Bytes after the last field of a record that has to end there.
    #[error("{0} bytes follow the record")]
    Trailing(usize),
    /// A varint of more than 32 bits.
    #[error("varint is too long")]
    Varint,
    /// A length below -1.
    #[error("negative length {0}")]
    NegativeLength(i32),
    /// Null in a field that must have a value.
    #[error("null is not allowed")]
    Null,
    /// Text that is not UTF-8.
    #[error("text is not utf-8")]
    NotUtf8,
    /// Text above Kafka's limit of 32767 bytes, read or to be written.
    #[error("text of {0} bytes is too long")]
    TextTooLong(usize),
    /// A number that means nothing in its field.
    #[error("{value} is no {field}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it had.
        value: i64,
    },
    /// The frame around metadata records has another version than 1.
    #[error("unknown frame version {0}")]
    FrameVersion(u32),
    /// No record has this type.
    #[error("unknown record type {0}")]
    UnknownType(u32),
    /// The record exists, this version of it does not.
    #[error("unknown version {version} of record type {record_type}")]
    UnknownVersion {
        /// The record's type.
        record_type: u32,
        /// The version.
        version: u32,
    },
    /// A field has a value and the version to be written has no room for it.
    #[error("version {version} has no {field}")]
    NotInVersion {
        /// The field.
        field: &'static str,
        /// The version to be written.
        version: i16,
    },
    /// A tagged field that the record has in later versions only.
    #[error("version {version} has no tag {tag}")]
    TagNotInVersion {
        /// The field's number.
        tag: u32,
        /// The version that was read.
        version: i16,
    },
}

/// Kafka's limit of any text.
const TEXT_MAX_BYTES: usize = 32_767;

/// What is left of the bytes of a record.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Error::EndsEarly)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Error::EndsEarly)?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn value<T: Compact>(&mut self) -> Result<T, Error> {
        T::read(self)
    }

    pub(super) fn varint(&mut self) -> Result<u32, Error> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            if shift == 28 && byte > 0x0f {
                return Err(Error::Varint);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::Varint)
    }

    /// A compact length; `None` is null.
    pub(super) fn length(&mut self) -> Result<Option<usize>, Error> {
        self.varint()?
            .checked_sub(1)
            .map(|length| usize::try_from(length).map_err(|_| Error::EndsEarly))
            .transpose()
    }

    /// Reads the tagged fields that end a structure: `known` takes those it knows, others are skipped.
    pub(super) fn tags(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = usize::try_from(self.varint()?).map_err(|_| Error::EndsEarly)?;
            known(tag, &mut Reader::new(self.take(size)?))?;
        }
        Ok(())
    }

    /// As [`tags`](Self::tags), refusing those that `version` does not have yet: `since` has the first version of each
    /// known tag, by number. Unknown ones are handed on.
    pub(super) fn tags_since(
        &mut self,
        version: i16,
        since: &[i16],
        mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.tags(|tag, field| {
            let first = usize::try_from(tag).ok().and_then(|tag| since.get(tag));
            match first {
                Some(first) if *first > version => Err(Error::TagNotInVersion { tag, version }),
                Some(_) | None => known(tag, field),
            }
        })
    }

    pub(super) fn skip_tags(&mut self) -> Result<(), Error> {
        self.tags(|_, _| Ok(()))
    }

    /// Text with a length of two bytes, as in versions before KIP-482; `None` is null.
    pub(super) fn plain_text(&mut self) -> Result<Option<&'a str>, Error> {
        let length = i16::from_be_bytes(self.array()?);
        if length == -1 {
            return Ok(None);
        }
        let length =
            usize::try_from(length).map_err(|_| Error::NegativeLength(i32::from(length)))?;
        text_of(self.take(length)?).map(Some)
    }

    /// A length or count of four bytes; `None` is null.
    pub(super) fn plain_length(&mut self) -> Result<Option<usize>, Error> {
        let length = i32::from_be_bytes(self.array()?);
        if length == -1 {
            return Ok(None);
        }
        usize::try_from(length).map(Some).map_err(|_| Error::NegativeLength(length))
    }
}

fn text_of(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::NotUtf8)
}

/// The bytes of a record under way. Faults are kept and come out at the end, so that writing reads like a list.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: BytesMut,
    fault: Option<Error>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { bytes: BytesMut::with_capacity(128), fault: None }
    }

    /// The record, unless something in it could not be written.
    pub(super) fn finish(self) -> Result<Bytes, Error> {
        match self.fault {
            None => Ok(self.bytes.freeze()),
            Some(fault) => Err(fault),
        }
    }

    pub(super) fn fail(&mut self, fault: Error) {
        self.fault.get_or_insert(fault);
    }

    /// Takes note that `field` has a value (`is_set`) although `version` has no room for it.
    pub(super) fn lacks(&mut self, field: &'static str, version: i16, is_set: bool) {
        if is_set {
            self.fail(Error::NotInVersion { field, version });
        }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.put_slice(bytes);
        self
    }

    pub(super) fn value<T: Compact>(&mut self, value: &T) -> &mut Self {
        value.write(self);
        self
    }

    pub(super) fn varint(&mut self, mut value: u32) -> &mut Self {
        loop {
            let [.., low] = value.to_be_bytes();
            value >>= 7;
            if value == 0 {
                self.bytes.put_u8(low & 0x7f);
                return self;
            }
            self.bytes.put_u8(low | 0x80);
        }
    }

    fn length(&mut self, length: usize) -> &mut Self {
        match u32::try_from(length.saturating_add(1)) {
            Ok(length) => self.varint(length),
            Err(_) => {
                self.fail(Error::TextTooLong(length));
                self
            }
        }
    }

    /// Writes a list whose elements are made on the way.
    pub(super) fn list<T: Compact>(&mut self, elements: &[T]) -> &mut Self {
        self.length(elements.len());
        elements.iter().for_each(|element| element.write(self));
        self
    }

    /// Text with a length of two bytes, as in versions before KIP-482.
    pub(super) fn plain_text(&mut self, text: Option<&str>) -> &mut Self {
        let Some(text) = text else {
            return self.raw(&(-1_i16).to_be_bytes());
        };
        match i16::try_from(text.len()) {
            Ok(length) => self.raw(&length.to_be_bytes()).raw(text.as_bytes()),
            Err(_) => {
                self.fail(Error::TextTooLong(text.len()));
                self
            }
        }
    }

    /// A length or count of four bytes.
    pub(super) fn plain_length(&mut self, length: usize) -> &mut Self {
        match i32::try_from(length) {
            Ok(length) => self.raw(&length.to_be_bytes()),
            Err(_) => {
                self.fail(Error::TextTooLong(length));
                self
            }
        }
    }

    pub(super) fn no_tags(&mut self) -> &mut Self {
        self.varint(0)
    }

    pub(super) fn tags(&mut self, tags: Tags) -> &mut Self {
        let Tags { count, writer } = tags;
        self.varint(count).raw(&writer.bytes);
        if let Some(fault) = writer.fault {
            self.fail(fault);
        }
        self
    }
}

/// Tagged fields to be written: only those that are not at their default, in ascending order.
#[derive(Debug)]
pub(super) struct Tags {
    count: u32,
    writer: Writer,
}

impl Tags {
    pub(super) fn new() -> Self {
        Self { count: 0, writer: Writer::new() }
    }

    pub(super) fn add<T: Compact>(&mut self, tag: u32, value: &T) {
        let mut field = Writer::new();
        field.value(value);
        self.count += 1;
        let size = u32::try_from(field.bytes.len()).unwrap_or(u32::MAX);
        self.writer.varint(tag).varint(size).raw(&field.bytes);
        if let Some(fault) = field.fault {
            self.writer.fail(fault);
        }
    }
}

/// A value in the encoded form of flexible versions.
pub(super) trait Compact: Sized {
    /// The fewest bytes a value takes, at least one: what bounds a claimed count.
    const MIN_BYTES: usize;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error>;

    fn write(&self, writer: &mut Writer);
}

macro_rules! number {
    ($($number:ty),+) => {$(
        impl Compact for $number {
            const MIN_BYTES: usize = size_of::<Self>();

            fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
                reader.array().map(Self::from_be_bytes)
            }

            fn write(&self, writer: &mut Writer) {
                writer.raw(&self.to_be_bytes());
            }
        }
    )+};
}

number!(i8, i16, u16, i32, i64, f64);

macro_rules! newtype {
    ($($name:ident($inner:ty)),+ $(,)?) => {$(
        impl Compact for $name {
            const MIN_BYTES: usize = <$inner as Compact>::MIN_BYTES;

            fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
                <$inner as Compact>::read(reader).map(Self)
            }

            fn write(&self, writer: &mut Writer) {
                self.0.write(writer);
            }
        }
    )+};
}

newtype!(
    NodeId(i32),
    PartitionIndex(i32),
    BrokerEpoch(i64),
    ProducerId(i64),
    Timestamp(i64),
    TopicId(Uuid),
    DirectoryId(Uuid),
);

impl Compact for LeaderEpoch {
    const MIN_BYTES: usize = 4;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let value = i32::read(reader)?;
        Self::from_wire(value)
            .ok_or(Error::Value { field: "leader epoch", value: i64::from(value) })
    }

    fn write(&self, writer: &mut Writer) {
        self.value().write(writer);
    }
}

impl Compact for bool {
    const MIN_BYTES: usize = 1;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(i8::read(reader)? != 0)
    }

    fn write(&self, writer: &mut Writer) {
        i8::from(*self).write(writer);
    }
}

impl Compact for Uuid {
    const MIN_BYTES: usize = 16;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        reader.array().map(Self::from_bytes)
    }

    fn write(&self, writer: &mut Writer) {
        writer.raw(self.as_bytes());
    }
}

fn read_text<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, Error> {
    match reader.length()? {
        None => Ok(None),
        Some(length) if length > TEXT_MAX_BYTES => Err(Error::TextTooLong(length)),
        Some(length) => text_of(reader.take(length)?).map(Some),
    }
}

fn write_text(text: &str, writer: &mut Writer) {
    if text.len() > TEXT_MAX_BYTES {
        writer.fail(Error::TextTooLong(text.len()));
    }
    writer.length(text.len()).raw(text.as_bytes());
}

impl Compact for String {
    const MIN_BYTES: usize = 1;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        read_text(reader)?.map(str::to_owned).ok_or(Error::Null)
    }

    fn write(&self, writer: &mut Writer) {
        write_text(self.as_str(), writer);
    }
}

impl Compact for Option<String> {
    const MIN_BYTES: usize = 1;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(read_text(reader)?.map(str::to_owned))
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Some(text) => write_text(text, writer),
            None => {
                writer.varint(0);
            }
        }
    }
}

macro_rules! text {
    ($($name:ident),+) => {$(
        impl Compact for $name {
            const MIN_BYTES: usize = 1;

            fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
                read_text(reader)?.map(|text| Self::new(Arc::<str>::from(text))).ok_or(Error::Null)
            }

            fn write(&self, writer: &mut Writer) {
                write_text(self.as_str(), writer);
            }
        }
    )+};
}

text!(TopicName, GroupId, MemberId);

/// Bytes with their length, in memory of their own.
impl Compact for Bytes {
    const MIN_BYTES: usize = 1;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let length = reader.length()?.ok_or(Error::Null)?;
        reader.take(length).map(Self::copy_from_slice)
    }

    fn write(&self, writer: &mut Writer) {
        writer.length(self.len()).raw(self);
    }
}

impl<T: Compact> Compact for Vec<T> {
    const MIN_BYTES: usize = 1;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Option::<Self>::read(reader)?.ok_or(Error::Null)
    }

    fn write(&self, writer: &mut Writer) {
        writer.list(self);
    }
}

impl<T: Compact> Compact for Option<Vec<T>> {
    const MIN_BYTES: usize = 1;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let Some(count) = reader.length()? else {
            return Ok(None);
        };
        if count > reader.remaining() / T::MIN_BYTES {
            return Err(Error::EndsEarly);
        }
        (0..count).map(|_| T::read(reader)).collect::<Result<Vec<_>, _>>().map(Some)
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Some(elements) => elements.write(writer),
            None => {
                writer.varint(0);
            }
        }
    }
}
