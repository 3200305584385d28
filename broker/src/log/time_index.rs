//! Timestamp to offset: twelve bytes per entry, beside the entries of the offset index.

use super::{index, offset_index};
use crate::model::{Offset, Timestamp};

/// The largest timestamp so far, and the last offset of the batch that has it, relative to the segment's base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    pub(crate) relative: i32,
}

impl TimeEntry {
    /// An entry of the segment at `base`; `None` when the offset is too far for one.
    pub(crate) fn new(base: Offset, largest: Largest) -> Option<Self> {
        let relative = offset_index::relative(base, largest.offset)?;
        Some(Self { timestamp: largest.timestamp.0, relative })
    }

    /// What the entry says, in the segment at `base`.
    pub(crate) fn largest(self, base: Offset) -> Largest {
        Largest {
            timestamp: Timestamp(self.timestamp),
            offset: base.plus(i64::from(self.relative)),
        }
    }
}

/// The largest timestamp of a segment and the last offset of the first batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Largest {
    pub(crate) timestamp: Timestamp,
    pub(crate) offset: Offset,
}

impl index::Entry for TimeEntry {
    const BYTES: usize = 12;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.relative.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (timestamp, relative) = bytes.split_at_checked(8)?;
        let timestamp = i64::from_be_bytes(timestamp.try_into().ok()?);
        let relative = i32::from_be_bytes(relative.try_into().ok()?);
        (timestamp >= 0 && relative >= 0).then_some(Self { timestamp, relative })
    }

    fn precedes(&self, next: &Self) -> bool {
        self.timestamp < next.timestamp && self.relative <= next.relative
    }
}
