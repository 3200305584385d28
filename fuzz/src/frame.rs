//! Frames out of whatever pieces a connection delivers.

use bytes::{BufMut as _, Bytes};
use ottla::model::ByteCount;
use ottla::protocol::{FrameReader, LENGTH_PREFIX_BYTES, ReadTarget, frame_length};

use crate::input::Input;
use crate::memory::live_bytes;

/// What a reader may hold of a frame: eight times what has arrived, or what every connection gets.
const HELD_FREE: usize = 64 * 1024 + 4096;
const HELD_FACTOR: usize = 9;

/// Limits of `socket.request.max.bytes`, from tiny to all that a length can say.
const MAXIMA: [u64; 4] = [8, 1 << 10, 100 << 20, 1 << 40];

/// The frames that `stream` holds, read all at once.
fn expected(mut stream: &[u8], max: ByteCount) -> (Vec<&[u8]>, bool) {
    let mut frames = Vec::new();
    while let Some((prefix, rest)) = stream.split_first_chunk::<LENGTH_PREFIX_BYTES>() {
        let Ok(length) = frame_length(*prefix, max) else { return (frames, true) };
        let Some((frame, rest)) = rest.split_at_checked(length) else { break };
        frames.push(frame);
        stream = rest;
    }
    (frames, false)
}

/// Judges one input: a limit, the sizes of pieces, the stream.
///
/// # Panics
///
/// When frames come out otherwise than they went in, or a length that is only claimed costs memory.
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let max = ByteCount(MAXIMA[usize::from(input.below(4))]);
    let mut pieces = input.bytes(4).iter().map(|size| usize::from(*size).max(1)).cycle();
    let mut rest = input.0;
    let (frames, is_refused) = expected(rest, max);
    let mut reader = FrameReader::new(max);
    let mut found: Vec<Bytes> = Vec::new();
    let before = live_bytes();
    let mut arrived = 0;
    let outcome = loop {
        if rest.is_empty() {
            break Ok(());
        }
        let piece = pieces.next().map_or(1, |size| if size > 250 { usize::MAX } else { size });
        let count = match reader.target() {
            ReadTarget::Prefix(room) => {
                let count = room.len().min(piece).min(rest.len());
                room[..count].copy_from_slice(&rest[..count]);
                count
            }
            ReadTarget::Body(mut room) => {
                let count = room.remaining_mut().min(piece).min(rest.len());
                room.put_slice(&rest[..count]);
                count
            }
        };
        assert!(count > 0, "a target always has room");
        rest = &rest[count..];
        arrived += count;
        let held = usize::try_from(live_bytes() - before).unwrap_or(0);
        let pointers = found.capacity() * size_of::<Bytes>() + found.len() * 64;
        assert!(held <= HELD_FREE + HELD_FACTOR * arrived + pointers, "{held} for {arrived}");
        match reader.advance(count) {
            Ok(frame) => found.extend(frame),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(found, frames);
    assert_eq!(outcome.is_err(), is_refused);
}

/// Inputs to begin with.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let stream =
        [&[0, 0, 0, 3][..], b"abc", &[0, 0, 0, 1], b"d", &[0, 0, 1, 0], &[7; 256]].concat();
    let with = |head: [u8; 5], stream: &[u8]| [&head[..], stream].concat();
    vec![
        with([1, 255, 255, 255, 255], &stream),
        with([2, 1, 2, 3, 4], &stream),
        with([0, 5, 1, 1, 200], &stream),
        with([2, 255, 255, 255, 255], b"GET / HTTP/1.1\r\n\r\n"),
        with([2, 255, 255, 255, 255], &[0x16, 3, 1, 2, 0]),
        with([3, 255, 255, 255, 255], &[0x7f, 0xff, 0xff, 0xff, 1, 2, 3]),
        with([3, 255, 255, 255, 255], &[0xff, 0xff, 0xff, 0xff]),
    ]
}
