//! Frames: four bytes of length, then as many bytes.
//!
//! A length is a claim of a stranger. It is judged before a byte of the body is read, and the body's buffer grows
//! with the bytes that arrive: ten thousand connections that claim 100 MiB each and send nothing cost nothing.
//!
//! Source: `NetworkReceive` of Apache Kafka, for what is refused.

use bytes::buf::Limit;
use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::model::ByteCount;

/// Bytes before each frame: its length, big endian.
pub const LENGTH_PREFIX_BYTES: usize = 4;

/// A protocol that is not Kafka's, recognised by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Foreign {
    /// A web browser, a health check or a scraper.
    Http,
    /// A client configured for TLS on a listener that has none.
    Tls,
}

impl Foreign {
    /// Recognises what the first four bytes of a connection belong to.
    #[must_use]
    fn sniff(first: [u8; LENGTH_PREFIX_BYTES]) -> Option<Self> {
        const METHODS: [&[u8; 4]; 9] =
            [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC"];
        // A TLS record of type handshake, of any protocol version from SSL 3.0 to TLS 1.3.
        if matches!(first, [0x16, 0x03, 0x00..=0x04, _]) {
            return Some(Self::Tls);
        }
        METHODS.iter().any(|method| **method == first).then_some(Self::Http)
    }
}

/// Why a length prefix is refused. The connection has to be closed: where the next frame starts is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// No Kafka message is empty, let alone shorter.
    #[error("frame length {0} is not positive")]
    NotPositive(i32),
    /// Longer than `socket.request.max.bytes`.
    #[error("frame of {length} exceeds the maximum of {max}")]
    TooLong {
        /// What the prefix says.
        length: ByteCount,
        /// What is allowed.
        max: ByteCount,
    },
    /// HTTP where Kafka was expected.
    #[error("the peer speaks HTTP: this is a Kafka listener, not a web server")]
    Http,
    /// TLS where plain text was expected.
    #[error(
        "the peer speaks TLS: this listener is plain text, the client's security.protocol does not fit"
    )]
    Tls,
}

/// Judges a length prefix: the length of the frame that follows.
///
/// Foreign protocols are looked for only in prefixes that would be refused anyway, so a maximum above 1 GiB cannot
/// make a Kafka frame look like one.
///
/// # Errors
///
/// When the length is not positive or above `max`.
pub fn frame_length(
    prefix: [u8; LENGTH_PREFIX_BYTES],
    max: ByteCount,
) -> Result<usize, FrameError> {
    let length = i32::from_be_bytes(prefix);
    let claimed = match u64::try_from(length) {
        Ok(claimed) if claimed > 0 => claimed,
        Ok(_) | Err(_) => return Err(FrameError::NotPositive(length)),
    };
    match usize::try_from(claimed) {
        Ok(fits) if claimed <= max.0 => Ok(fits),
        Ok(_) | Err(_) => Err(match Foreign::sniff(prefix) {
            Some(Foreign::Http) => FrameError::Http,
            Some(Foreign::Tls) => FrameError::Tls,
            None => FrameError::TooLong { length: ByteCount(claimed), max },
        }),
    }
}

/// Where the next bytes of a connection belong; both sides are `BufMut`, so a socket reads straight into them.
#[derive(Debug)]
pub enum ReadTarget<'a> {
    /// What is missing of the length prefix.
    Prefix(&'a mut [u8]),
    /// Room in the body; reading through `BufMut` appends.
    Body(Limit<&'a mut BytesMut>),
}

/// Assembles frames from whatever pieces a connection delivers, without doing the reading.
///
/// Call [`target`](Self::target), read into it once, tell [`advance`](Self::advance) how many bytes came. Between
/// the two nothing is lost when the read is given up: bytes that were not read are still in the socket.
///
/// Invariants: between frames no buffer is held; the body's buffer is at most [`GROWTH`] times what has arrived, or
/// [`FIRST_BODY_BYTES`], never past the frame's end.
#[derive(Debug)]
pub struct FrameReader {
    max: ByteCount,
    prefix: [u8; LENGTH_PREFIX_BYTES],
    prefix_bytes: usize,
    /// Length of the frame under way; zero while the prefix is read.
    body_bytes: usize,
    body: BytesMut,
}

/// What a length prefix alone is worth: a frame up to this size gets its buffer at once.
const FIRST_BODY_BYTES: usize = 64 * 1024;

/// How many times what has arrived a body's buffer may be.
const GROWTH: usize = 8;

impl FrameReader {
    /// Makes a reader for frames of up to `max` (`socket.request.max.bytes`).
    #[must_use]
    pub fn new(max: ByteCount) -> Self {
        Self {
            max,
            prefix: [0; LENGTH_PREFIX_BYTES],
            prefix_bytes: 0,
            body_bytes: 0,
            body: BytesMut::new(),
        }
    }

    /// True when nothing of a frame has arrived: the connection may be closed without loss.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.prefix_bytes == 0 && self.body_bytes == 0
    }

    /// Where the next bytes belong; never without room.
    pub fn target(&mut self) -> ReadTarget<'_> {
        if self.body_bytes == 0 {
            return ReadTarget::Prefix(&mut self.prefix[self.prefix_bytes..]);
        }
        if self.body.len() == self.body.capacity() {
            self.grow();
        }
        let room = self.body_bytes.min(self.body.capacity()) - self.body.len();
        ReadTarget::Body((&mut self.body).limit(room))
    }

    /// Takes note that `count` bytes were read into the target; the whole frame when they completed one.
    ///
    /// # Errors
    ///
    /// When the prefix is complete and refused.
    ///
    /// # Panics
    ///
    /// When `count` is more than the target had room for.
    pub fn advance(&mut self, count: usize) -> Result<Option<Bytes>, FrameError> {
        if self.body_bytes == 0 {
            self.prefix_bytes += count;
            assert!(
                self.prefix_bytes <= LENGTH_PREFIX_BYTES,
                "more was read than there was room for"
            );
            if self.prefix_bytes < LENGTH_PREFIX_BYTES {
                return Ok(None);
            }
            self.prefix_bytes = 0;
            self.body_bytes = frame_length(self.prefix, self.max)?;
            return Ok(None);
        }
        assert!(self.body.len() <= self.body_bytes, "more was read than there was room for");
        if self.body.len() < self.body_bytes {
            return Ok(None);
        }
        self.body_bytes = 0;
        Ok(Some(std::mem::take(&mut self.body).freeze()))
    }

    /// Makes room for what bytes that did arrive have earned; exactly, where `reserve` would round up.
    fn grow(&mut self) {
        let earned = FIRST_BODY_BYTES.max(self.body.len().saturating_mul(GROWTH));
        let mut larger = BytesMut::with_capacity(self.body_bytes.min(earned));
        larger.extend_from_slice(&self.body);
        self.body = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: ByteCount = ByteCount(1 << 20);

    /// Feeds `input` in pieces of at most `piece` bytes; the frames that came out and the largest buffer held.
    fn feed(
        reader: &mut FrameReader,
        mut input: &[u8],
        piece: usize,
    ) -> Result<(Vec<Bytes>, usize), FrameError> {
        let mut frames = Vec::new();
        let mut largest = 0;
        while !input.is_empty() {
            let count = match reader.target() {
                ReadTarget::Prefix(room) => {
                    let count = room.len().min(piece).min(input.len());
                    room[..count].copy_from_slice(&input[..count]);
                    count
                }
                ReadTarget::Body(mut room) => {
                    let count = room.remaining_mut().min(piece).min(input.len());
                    assert!(count > 0, "a target always has room");
                    room.put_slice(&input[..count]);
                    count
                }
            };
            input = &input[count..];
            largest = largest.max(reader.body.capacity());
            frames.extend(reader.advance(count)?);
        }
        Ok((frames, largest))
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut bytes = i32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let bodies: Vec<Vec<u8>> =
            vec![vec![7], vec![1; 200_000], vec![2; 65_536], (0..=255).collect()];
        let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
        for piece in [1, 3, 4, 5, 1000, usize::MAX] {
            let mut reader = FrameReader::new(MAX);
            let (frames, _) = feed(&mut reader, &stream, piece).unwrap();
            assert_eq!(frames, bodies);
            assert!(reader.is_idle());
            assert_eq!(reader.body.capacity(), 0, "an idle connection holds no buffer");
        }
    }

    #[test]
    fn a_claimed_length_alone_costs_little_memory() {
        let mut reader = FrameReader::new(MAX);
        let mut stream = 1_000_000_i32.to_be_bytes().to_vec();
        let (_, largest) = feed(&mut reader, &stream, usize::MAX).unwrap();
        assert_eq!(largest, 0);
        stream = vec![0; 10];
        let (_, largest) = feed(&mut reader, &stream, usize::MAX).unwrap();
        assert_eq!(largest, FIRST_BODY_BYTES);
        let (_, largest) = feed(&mut reader, &vec![0; FIRST_BODY_BYTES], usize::MAX).unwrap();
        assert_eq!(largest, FIRST_BODY_BYTES * GROWTH);
        assert!(!reader.is_idle());
    }

    #[test]
    fn lengths_are_judged_before_a_byte_of_the_body_is_read() {
        let check =
            |length: i32, expected| assert_eq!(frame_length(length.to_be_bytes(), MAX), expected);
        check(1, Ok(1));
        check(1 << 20, Ok(1 << 20));
        check(0, Err(FrameError::NotPositive(0)));
        check(-1, Err(FrameError::NotPositive(-1)));
        check(
            (1 << 20) + 1,
            Err(FrameError::TooLong { length: ByteCount((1 << 20) + 1), max: MAX }),
        );
        check(i32::MAX, Err(FrameError::TooLong { length: ByteCount(0x7fff_ffff), max: MAX }));
        let mut reader = FrameReader::new(MAX);
        assert_eq!(feed(&mut reader, &[0, 0, 0, 0], 4).unwrap_err(), FrameError::NotPositive(0));
    }

    #[test]
    fn foreign_protocols_are_called_by_their_name() {
        let check = |first: &[u8; 4], expected| assert_eq!(frame_length(*first, MAX), expected);
        check(b"GET ", Err(FrameError::Http));
        check(b"POST", Err(FrameError::Http));
        check(&[0x16, 3, 1, 2], Err(FrameError::Tls));
        check(
            &[0x16, 3, 9, 2],
            Err(FrameError::TooLong { length: ByteCount(0x1603_0902), max: MAX }),
        );
        // With a maximum this large the same bytes are a length.
        assert_eq!(frame_length(*b"GET ", ByteCount(2 << 30)), Ok(0x4745_5420));
    }
}
