//! Offset to position: eight bytes per entry, about one entry for every `index.interval.bytes` of log.

use super::index;
use crate::model::Offset;

/// The last offset of a batch, relative to the segment's base, and the position where the batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) relative: i32,
    pub(crate) position: i32,
}

impl OffsetEntry {
    /// An entry of the segment at `base`; `None` when the offset or the position is too far for one.
    pub(crate) fn new(base: Offset, last: Offset, position: u64) -> Option<Self> {
        let relative = relative(base, last)?;
        Some(Self { relative, position: i32::try_from(position).ok()? })
    }

    /// Where to begin reading.
    pub(crate) fn position(self) -> u64 {
        u64::from(self.position.unsigned_abs())
    }
}

/// `offset` as an index entry of the segment at `base` holds it.
pub(crate) fn relative(base: Offset, offset: Offset) -> Option<i32> {
    i32::try_from(offset.distance_from(base)).ok().filter(|relative| *relative >= 0)
}

impl index::Entry for OffsetEntry {
    const BYTES: usize = 8;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.relative.to_be_bytes());
        bytes.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (relative, position) = bytes.split_at_checked(4)?;
        let relative = i32::from_be_bytes(relative.try_into().ok()?);
        let position = i32::from_be_bytes(position.try_into().ok()?);
        // No entry points to the first batch: zeros are pre-allocated space.
        (relative >= 0 && position > 0).then_some(Self { relative, position })
    }

    fn precedes(&self, next: &Self) -> bool {
        self.relative < next.relative && self.position < next.position
    }
}
