//! The LZ4 frame format, exactly as far as Kafka's Java client reads it: one frame of independent blocks.
//!
//! Reading is our own: what Kafka refuses (linked blocks, a cut frame, a wrong header checksum) must be refused
//! before it is stored, and memory must follow the data. Source: LZ4 frame format 1.6; KIP-57.
#![warn(clippy::indexing_slicing)]

use std::io::{self, Read, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

const MAGIC: u32 = 0x184d_2204;
const END_MARK: u32 = 0;
const STORED_BIT: u32 = 1 << 31;

const VERSION_MASK: u8 = 0b1100_0000;
const VERSION_1: u8 = 0b0100_0000;
const INDEPENDENT_BIT: u8 = 0b0010_0000;
const BLOCK_CHECKSUM_BIT: u8 = 0b0001_0000;
const CONTENT_SIZE_BIT: u8 = 0b0000_1000;
const CONTENT_CHECKSUM_BIT: u8 = 0b0000_0100;
const FLAGS_RESERVED: u8 = 0b0000_0011;
const BLOCK_SIZE_RESERVED: u8 = 0b1000_1111;

/// One byte of a block gives at most this many.
const EXPANSION_MAX: usize = 255;

/// Writes 64 KiB blocks without checksums: Kafka's clients read nothing but independent blocks.
pub(super) fn compress(data: &[u8]) -> io::Result<Vec<u8>> {
    let frame = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
    encoder.write_all(data)?;
    encoder.finish().map_err(io::Error::other)
}

/// Reads the blocks of one frame; what follows its end mark is not looked at, as in Kafka.
pub(super) struct Lz4Reader<'a> {
    rest: &'a [u8],
    frame: Option<Frame>,
    is_finished: bool,
    block: Vec<u8>,
    block_bytes: usize,
    position: usize,
}

/// What a frame's header says.
#[derive(Clone, Copy)]
struct Frame {
    block_bytes_max: usize,
    has_block_checksums: bool,
    has_content_checksum: bool,
}

impl<'a> Lz4Reader<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self {
            rest: data,
            frame: None,
            is_finished: false,
            block: Vec::new(),
            block_bytes: 0,
            position: 0,
        }
    }

    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or_else(corrupt)?;
        self.rest = rest;
        Ok(head)
    }

    fn take_u32(&mut self) -> io::Result<u32> {
        let (head, rest) = self.rest.split_first_chunk::<4>().ok_or_else(corrupt)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*head))
    }

    fn read_frame_header(&mut self) -> io::Result<Frame> {
        if self.take_u32()? != MAGIC {
            return Err(corrupt());
        }
        let descriptor = self.rest;
        let &[flags, block_size, ..] = descriptor else { return Err(corrupt()) };
        let is_readable = flags & VERSION_MASK == VERSION_1
            && flags & INDEPENDENT_BIT != 0
            && flags & FLAGS_RESERVED == 0
            && block_size & BLOCK_SIZE_RESERVED == 0;
        if !is_readable {
            return Err(corrupt());
        }
        let block_bytes_max = match block_size >> 4 {
            4 => 64 << 10,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            _ => return Err(corrupt()),
        };
        let descriptor = self.take(if flags & CONTENT_SIZE_BIT == 0 { 2 } else { 10 })?;
        let checksum = self.take(1)?;
        if checksum != [xxh32(descriptor).to_be_bytes()[2]] {
            return Err(corrupt());
        }
        Ok(Frame {
            block_bytes_max,
            has_block_checksums: flags & BLOCK_CHECKSUM_BIT != 0,
            has_content_checksum: flags & CONTENT_CHECKSUM_BIT != 0,
        })
    }

    fn next_block(&mut self) -> io::Result<()> {
        let frame = match self.frame {
            Some(frame) => frame,
            None => self.read_frame_header()?,
        };
        self.frame = Some(frame);
        self.position = 0;
        self.block_bytes = 0;
        let size = self.take_u32()?;
        if size == END_MARK {
            self.is_finished = true;
            // Kafka's client skips the checksum of the content without looking at it.
            return if frame.has_content_checksum { self.take_u32().map(drop) } else { Ok(()) };
        }
        let length = usize::try_from(size & !STORED_BIT).map_err(|_| corrupt())?;
        if length > frame.block_bytes_max {
            return Err(corrupt());
        }
        let stored = self.take(length)?;
        if frame.has_block_checksums && self.take_u32()? != xxh32(stored) {
            return Err(corrupt());
        }
        if size & STORED_BIT != 0 {
            self.block.clear();
            self.block.extend_from_slice(stored);
            self.block_bytes = length;
            return Ok(());
        }
        let needed = length.saturating_mul(EXPANSION_MAX).min(frame.block_bytes_max);
        if self.block.len() < needed {
            self.block.resize(needed, 0);
        }
        let room = self.block.get_mut(..needed).ok_or_else(corrupt)?;
        self.block_bytes = lz4_flex::block::decompress_into(stored, room).map_err(|_| corrupt())?;
        Ok(())
    }
}

impl Read for Lz4Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position >= self.block_bytes {
            if self.is_finished {
                return Ok(0);
            }
            self.next_block()?;
        }
        let available = self.block.get(self.position..self.block_bytes).unwrap_or_default();
        let count = available.len().min(buffer.len());
        let (Some(from), Some(to)) = (available.get(..count), buffer.get_mut(..count)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        self.position += count;
        Ok(count)
    }
}

const PRIME_1: u32 = 0x9e37_79b1;
const PRIME_2: u32 = 0x85eb_ca77;
const PRIME_3: u32 = 0xc2b2_ae3d;
const PRIME_4: u32 = 0x27d4_eb2f;
const PRIME_5: u32 = 0x1656_67b1;

/// The checksum of LZ4 frames, seed 0. Source: xxHash specification, XXH32.
fn xxh32(data: &[u8]) -> u32 {
    let (stripes, tail) = data.as_chunks::<16>();
    let mut hash = if stripes.is_empty() {
        PRIME_5
    } else {
        let mut lanes = [PRIME_1.wrapping_add(PRIME_2), PRIME_2, 0, 0_u32.wrapping_sub(PRIME_1)];
        for stripe in stripes {
            let (words, _) = stripe.as_chunks::<4>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                let mixed = lane.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIME_2));
                *lane = mixed.rotate_left(13).wrapping_mul(PRIME_1);
            }
        }
        let [first, second, third, fourth] = lanes;
        first
            .rotate_left(1)
            .wrapping_add(second.rotate_left(7))
            .wrapping_add(third.rotate_left(12))
            .wrapping_add(fourth.rotate_left(18))
    };
    // The specification adds the length modulo 2^32; no frame part reaches that.
    hash = hash.wrapping_add(u32::try_from(data.len()).unwrap_or(u32::MAX));
    let (words, bytes) = tail.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIME_3));
        hash = hash.rotate_left(17).wrapping_mul(PRIME_4);
    }
    for byte in bytes {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIME_5));
        hash = hash.rotate_left(11).wrapping_mul(PRIME_1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(PRIME_2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIME_3);
    hash ^ (hash >> 16)
}

fn corrupt() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    fn decompress(data: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Lz4Reader::new(data).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn the_checksum_is_xxh32() {
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"a"), 0x550d_7456);
        assert_eq!(xxh32(b"abc"), 0x32d1_53ff);
        assert_eq!(xxh32(b"Nobody inspects the spammish repetition"), 0xe229_3b2f);
    }

    #[test]
    fn frames_with_checksums_and_content_size_are_read() {
        let data = b"a record and a record and a record".repeat(5000);
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB]
        {
            let frame = FrameInfo::new()
                .block_mode(BlockMode::Independent)
                .block_size(size)
                .block_checksums(true)
                .content_checksum(true)
                .content_size(Some(data.len() as u64));
            let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
            encoder.write_all(&data).unwrap();
            let framed = encoder.finish().unwrap();
            assert_eq!(decompress(&framed).unwrap(), data);
            for cut in 0..framed.len() {
                assert!(decompress(&framed[..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn linked_blocks_are_refused_as_kafka_refuses_them() {
        let frame = FrameInfo::new().block_mode(BlockMode::Linked).block_size(BlockSize::Max64KB);
        let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
        encoder.write_all(b"text").unwrap();
        assert!(decompress(&encoder.finish().unwrap()).is_err());
    }

    #[test]
    fn our_frames_have_the_header_that_javas_client_writes() {
        let framed = compress(b"text").unwrap();
        assert_eq!(framed[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
        assert_eq!(decompress(&framed).unwrap(), b"text");
        assert_eq!(decompress(&compress(b"").unwrap()).unwrap(), b"");
    }
}
