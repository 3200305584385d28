//! Kafka's variable-length numbers: zigzag, seven bits a byte, lowest first.
#![warn(clippy::indexing_slicing)]

use crate::record::Error;

/// The longest encoding of an `i32`, in bytes.
const I32_BYTES_MAX: u32 = 5;

/// The longest encoding of an `i64`, in bytes.
const I64_BYTES_MAX: u32 = 10;

/// Reads an `i32` from bytes given one by one. Bits that do not fit are dropped, as Kafka drops them.
pub(super) fn read_i32(next: impl FnMut() -> Result<u8, Error>) -> Result<i32, Error> {
    let value = low_half(read_unsigned(I32_BYTES_MAX, next)?);
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// Reads an `i64` from bytes given one by one.
pub(super) fn read_i64(next: impl FnMut() -> Result<u8, Error>) -> Result<i64, Error> {
    let value = read_unsigned(I64_BYTES_MAX, next)?;
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// Reads an unsigned `u32`, as flexible messages use for lengths and tags.
pub(super) fn read_u32(next: impl FnMut() -> Result<u8, Error>) -> Result<u32, Error> {
    Ok(low_half(read_unsigned(I32_BYTES_MAX, next)?))
}

#[inline]
fn read_unsigned(
    bytes_max: u32,
    mut next: impl FnMut() -> Result<u8, Error>,
) -> Result<u64, Error> {
    let mut value = 0_u64;
    for index in 0..bytes_max {
        let byte = next()?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Error::MalformedRecord)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper half is dropped on purpose, as Kafka does"
)]
const fn low_half(value: u64) -> u32 {
    value as u32
}

/// Appends an `i32`.
pub(super) fn write_i32(value: i32, out: &mut Vec<u8>) {
    write_u32(((value << 1) ^ (value >> 31)).cast_unsigned(), out);
}

/// Appends an `i64`.
pub(super) fn write_i64(value: i64, out: &mut Vec<u8>) {
    write_unsigned(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
}

/// Appends an unsigned `u32`.
pub(super) fn write_u32(value: u32, out: &mut Vec<u8>) {
    write_unsigned(u64::from(value), out);
}

fn write_unsigned(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

const fn low_byte(value: u64) -> u8 {
    (value & 0x7f) as u8
}

/// How many bytes [`write_i32`] appends.
pub(super) const fn length_of_i32(value: i32) -> usize {
    length_of(((value << 1) ^ (value >> 31)).cast_unsigned() as u64)
}

/// How many bytes [`write_i64`] appends.
pub(super) const fn length_of_i64(value: i64) -> usize {
    length_of(((value << 1) ^ (value >> 63)).cast_unsigned())
}

const fn length_of(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(bytes: &[u8]) -> impl FnMut() -> Result<u8, Error> {
        let mut bytes = bytes.iter().copied();
        move || bytes.next().ok_or(Error::MalformedRecord)
    }

    #[test]
    fn numbers_are_written_as_kafka_writes_them() {
        let check = |value: i32, expected: &[u8]| {
            let mut bytes = Vec::new();
            write_i32(value, &mut bytes);
            assert_eq!(bytes, expected);
            assert_eq!(length_of_i32(value), expected.len());
            assert_eq!(read_i32(source(expected)), Ok(value));
        };
        check(0, &[0x00]);
        check(-1, &[0x01]);
        check(1, &[0x02]);
        check(63, &[0x7e]);
        check(-64, &[0x7f]);
        check(64, &[0x80, 0x01]);
        check(8191, &[0xfe, 0x7f]);
        check(8192, &[0x80, 0x80, 0x01]);
        check(i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]);
        check(i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]);
    }

    #[test]
    fn long_numbers_survive_the_round_trip() {
        for value in [0, 1, -1, 63, -64, 1 << 34, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            write_i64(value, &mut bytes);
            assert_eq!(length_of_i64(value), bytes.len());
            assert_eq!(read_i64(source(&bytes)), Ok(value));
        }
    }

    #[test]
    fn numbers_longer_than_their_type_are_refused() {
        assert_eq!(
            read_i32(source(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00])),
            Err(Error::MalformedRecord)
        );
        assert_eq!(read_i64(source(&[0x80; 11])), Err(Error::MalformedRecord));
        assert_eq!(read_i32(source(&[0x80])), Err(Error::MalformedRecord));
    }
}
