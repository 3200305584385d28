use std::fmt;

/// Position of one record in a partition, counted from zero.
///
/// Offsets are dense when written and may have holes after compaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

impl Offset {
    /// Where every log begins.
    pub const ZERO: Self = Self(0);

    /// Makes an offset from a number that did not come from outside.
    ///
    /// # Panics
    ///
    /// When `value` is negative: the protocol's -1 means "none" and is an `Option` on our side, never an `Offset`.
    #[must_use]
    pub const fn new(value: i64) -> Self {
        assert!(value >= 0, "an offset is never negative");
        Self(value)
    }

    /// Makes an offset from a number off the wire or the disk; negative numbers are "none".
    #[must_use]
    pub const fn from_wire(value: i64) -> Option<Self> {
        if value >= 0 { Some(Self(value)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> i64 {
        self.0
    }

    /// The offset `count` records further, saturating at the largest.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        let sum = self.0.saturating_add(count);
        Self(if sum < 0 { 0 } else { sum })
    }

    /// How many offsets lie from `earlier` to here; negative when `earlier` is later.
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Grows with every new leader of a partition. Source: KIP-101.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderEpoch(i32);

impl LeaderEpoch {
    /// The first epoch of a partition.
    pub const ZERO: Self = Self(0);

    /// Makes an epoch from a number that did not come from outside.
    ///
    /// # Panics
    ///
    /// When `value` is negative: -1 on the wire is "none".
    #[must_use]
    pub const fn new(value: i32) -> Self {
        assert!(value >= 0, "a leader epoch is never negative");
        Self(value)
    }

    /// Makes an epoch from a number off the wire or the disk; negative numbers are "none".
    #[must_use]
    pub const fn from_wire(value: i32) -> Option<Self> {
        if value >= 0 { Some(Self(value)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> i32 {
        self.0
    }
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An offset and the epoch of the leader that wrote there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetAndEpoch {
    /// The position.
    pub offset: Offset,
    /// The writer's epoch.
    pub epoch: LeaderEpoch,
}
