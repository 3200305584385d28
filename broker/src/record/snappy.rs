//! Snappy as Java's library frames it: a header, then blocks, each behind its length. Source: xerial snappy-java.
#![warn(clippy::indexing_slicing)]

use std::io::{self, Read};

/// Magic, version 1, compatible with version 1.
const STREAM_HEADER: [u8; 16] =
    [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];

/// The magic is what makes a stream; versions may differ.
const MAGIC_BYTES: usize = 8;

/// How much Java's library puts into one block.
const BLOCK_BYTES: usize = 32 * 1024;

/// A snappy copy element writes at most 64 bytes and takes 3; a literal never grows. Anything that claims to be
/// larger than this many times its size is a lie, found before memory is taken for it.
const EXPANSION_MAX: usize = 22;

pub(super) fn compress(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = STREAM_HEADER.to_vec();
    let mut encoder = snap::raw::Encoder::new();
    for block in data.chunks(BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block)?;
        let length = i32::try_from(compressed.len()).map_err(io::Error::other)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&compressed);
    }
    Ok(out)
}

/// Reads framed blocks, or the one bare block that some clients send.
pub(super) struct SnappyReader<'a> {
    rest: &'a [u8],
    is_bare: bool,
    block: Vec<u8>,
    position: usize,
}

impl<'a> SnappyReader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        let is_bare = !starts_with_magic(data) || data.len() < STREAM_HEADER.len();
        let rest = if is_bare { data } else { data.get(STREAM_HEADER.len()..).unwrap_or_default() };
        Self { rest, is_bare, block: Vec::new(), position: 0 }
    }

    /// Takes the next block. `None` at the end.
    fn next_block(&mut self) -> io::Result<Option<&'a [u8]>> {
        if self.is_bare {
            let block = std::mem::take(&mut self.rest);
            return Ok(Some(block).filter(|block| !block.is_empty()));
        }
        // Java's library also reads streams put one after the other.
        while starts_with_magic(self.rest) {
            self.rest = self.rest.get(STREAM_HEADER.len()..).ok_or_else(corrupt)?;
        }
        let Some((length, rest)) = self.rest.split_first_chunk::<4>() else {
            return if self.rest.is_empty() { Ok(None) } else { Err(corrupt()) };
        };
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(io::Error::other)?;
        let (block, rest) = rest.split_at_checked(length).ok_or_else(corrupt)?;
        self.rest = rest;
        Ok(Some(block))
    }

    fn decompress(&mut self, block: &[u8]) -> io::Result<()> {
        let claimed = snap::raw::decompress_len(block)?;
        if claimed > block.len().saturating_mul(EXPANSION_MAX) {
            return Err(corrupt());
        }
        self.block.resize(claimed, 0);
        let written = snap::raw::Decoder::new().decompress(block, &mut self.block)?;
        self.block.truncate(written);
        self.position = 0;
        Ok(())
    }
}

impl Read for SnappyReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position >= self.block.len() {
            let Some(block) = self.next_block()? else { return Ok(0) };
            self.decompress(block)?;
        }
        let available = self.block.get(self.position..).unwrap_or_default();
        let count = available.len().min(buffer.len());
        let (Some(from), Some(to)) = (available.get(..count), buffer.get_mut(..count)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        self.position += count;
        Ok(count)
    }
}

fn starts_with_magic(data: &[u8]) -> bool {
    data.first_chunk::<MAGIC_BYTES>() == STREAM_HEADER.first_chunk::<MAGIC_BYTES>()
}

fn corrupt() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
