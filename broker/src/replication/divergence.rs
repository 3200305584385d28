//! Where two logs part: the leader's side and the follower's side of the same question.
//!
//! Source: KIP-101, KIP-279 (the follower may know other epochs than the leader), KIP-595 (asked with each fetch).

use crate::model::{LeaderEpoch, Offset, OffsetAndEpoch};

/// What a leader finds when a follower tells where its log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// The follower's log is the beginning of ours, as far as can be told.
    Agrees,
    /// We have no records of that epoch where the follower has some: this epoch of ours is the last in common at most, and
    /// ends here.
    Parts(OffsetAndEpoch),
    /// Nothing is known of that epoch.
    Unknown,
}

/// Compares a follower whose last record has `epoch` and whose log ends at `from` with `found`, what we know of that epoch:
/// the largest one not above it, and its end.
pub(super) fn compare(
    epoch: LeaderEpoch,
    from: Offset,
    found: Option<OffsetAndEpoch>,
) -> Comparison {
    match found {
        None => Comparison::Unknown,
        Some(end) if end.epoch < epoch || end.offset < from => Comparison::Parts(end),
        Some(_) => Comparison::Agrees,
    }
}

/// Where a follower cuts its log when the leader's epoch `told.epoch` ends at `told.offset`: `own` is what the follower itself
/// knows of that epoch. It may have to be told again, from there.
pub(super) fn truncation_point(
    told: OffsetAndEpoch,
    own: Option<OffsetAndEpoch>,
    log_end: Offset,
) -> Offset {
    let point = match own {
        // The leader's epoch is none of ours: what we have of older ones is compared next.
        Some(own) if own.epoch != told.epoch => own.offset,
        Some(own) => own.offset.min(told.offset),
        None => told.offset,
    };
    point.min(log_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(epoch: i32, offset: i64) -> OffsetAndEpoch {
        OffsetAndEpoch { offset: Offset::new(offset), epoch: LeaderEpoch::new(epoch) }
    }

    #[test]
    fn a_log_that_is_no_beginning_of_the_leaders_parts_from_it() {
        let check = |epoch, from, found, expected| {
            assert_eq!(compare(LeaderEpoch::new(epoch), Offset::new(from), found), expected);
        };
        check(3, 10, Some(at(3, 10)), Comparison::Agrees);
        check(3, 10, Some(at(3, 12)), Comparison::Agrees);
        check(3, 10, Some(at(3, 9)), Comparison::Parts(at(3, 9)));
        check(3, 10, Some(at(2, 12)), Comparison::Parts(at(2, 12)));
        check(3, 10, None, Comparison::Unknown);
    }

    #[test]
    fn a_follower_keeps_what_both_have() {
        let check = |told, own, end, expected| {
            assert_eq!(truncation_point(told, own, Offset::new(end)), Offset::new(expected));
        };
        // Both know the epoch; the shorter of the two ends.
        check(at(3, 9), Some(at(3, 12)), 12, 9);
        check(at(3, 9), Some(at(3, 7)), 12, 7);
        // The follower has no such epoch: it goes back to the end of its own older one, and asks again.
        check(at(3, 9), Some(at(2, 6)), 12, 6);
        // It knows no epochs at all.
        check(at(3, 9), None, 12, 9);
        check(at(3, 19), None, 12, 12);
    }
}
