use crate::model::{LeaderEpoch, Offset, OffsetAndEpoch};

/// What the machine knows of the metadata log: its ends, where each epoch began, which snapshots there are.
///
/// The machine moves it ahead of the driver, which does what `Ready` says before anything else is said outside.
///
/// Invariants: start <= flushed <= end; epochs and their offsets both grow; no epoch begins above the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    start: Offset,
    end: Offset,
    flushed: Offset,
    epochs: Vec<OffsetAndEpoch>,
    snapshots: Vec<OffsetAndEpoch>,
}

/// What a leader finds when it looks at a follower's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// The logs agree up to there.
    Valid,
    /// They do not; ours ended its part of the largest epoch they may share here.
    Diverging(OffsetAndEpoch),
    /// Ours begins later.
    Snapshot(OffsetAndEpoch),
}

/// Compares as elections do: the later epoch wins, then the longer log.
pub(super) fn is_up_to_date(candidate: OffsetAndEpoch, ours: OffsetAndEpoch) -> bool {
    (candidate.epoch, candidate.offset) >= (ours.epoch, ours.offset)
}

impl LogState {
    /// A log found on disk: all of it is taken as durable. `epochs` is where each epoch began, `snapshots` the ids of the
    /// snapshots, both ascending.
    ///
    /// # Panics
    ///
    /// When the invariants do not hold.
    #[must_use]
    pub fn new(
        start: Offset,
        end: Offset,
        epochs: Vec<OffsetAndEpoch>,
        snapshots: Vec<OffsetAndEpoch>,
    ) -> Self {
        let log = Self { start, end, flushed: end, epochs, snapshots };
        log.assert_invariants();
        log
    }

    /// Where the log begins.
    #[must_use]
    pub const fn start(&self) -> Offset {
        self.start
    }

    /// Where the next record goes.
    #[must_use]
    pub const fn end(&self) -> Offset {
        self.end
    }

    /// Up to where the log is durable.
    #[must_use]
    pub const fn flushed(&self) -> Offset {
        self.flushed
    }

    /// The epoch of the last record; that of the newest snapshot when there is none.
    #[must_use]
    pub fn last_epoch(&self) -> LeaderEpoch {
        let last = self.epochs.last().or_else(|| self.snapshots.last());
        last.map_or(LeaderEpoch::ZERO, |last| last.epoch)
    }

    /// The end and the last epoch, as a vote request carries them.
    #[must_use]
    pub fn last(&self) -> OffsetAndEpoch {
        OffsetAndEpoch { offset: self.end, epoch: self.last_epoch() }
    }

    /// The newest snapshot.
    #[must_use]
    pub fn latest_snapshot(&self) -> Option<OffsetAndEpoch> {
        self.snapshots.last().copied()
    }

    /// True when this snapshot is there.
    #[must_use]
    pub fn has_snapshot(&self, id: OffsetAndEpoch) -> bool {
        self.snapshots.contains(&id)
    }

    /// Where `epoch`, or the largest epoch below it that has records, ended here.
    pub(super) fn end_of_epoch(&self, epoch: LeaderEpoch) -> OffsetAndEpoch {
        let next = self.epochs.partition_point(|start| start.epoch <= epoch);
        match (next.checked_sub(1).map(|i| self.epochs[i]), self.epochs.get(next)) {
            (_, None) => self.last(),
            (Some(found), Some(after)) => {
                OffsetAndEpoch { offset: after.offset, epoch: found.epoch }
            }
            (None, Some(first)) => {
                let earliest = self.snapshots.first();
                match earliest.filter(|snapshot| snapshot.offset == first.offset) {
                    Some(snapshot) => *snapshot,
                    None => OffsetAndEpoch { offset: first.offset, epoch },
                }
            }
        }
    }

    /// Judges a follower's position. Source: KIP-595, KIP-630.
    pub(super) fn validate(&self, offset: Offset, epoch: LeaderEpoch) -> Position {
        let latest = self.latest_snapshot();
        if let Some(id) = latest
            && offset == Offset::ZERO
            && id != OffsetAndEpoch::default()
        {
            return Position::Snapshot(id);
        }
        if self.start == Offset::ZERO && offset == Offset::ZERO && epoch == LeaderEpoch::ZERO {
            return Position::Valid;
        }
        if let (Some(earliest), Some(latest)) = (self.snapshots.first(), latest) {
            let is_at_start = offset == self.start && self.start > Offset::ZERO;
            if offset < self.start
                || (is_at_start && epoch != earliest.epoch)
                || epoch < earliest.epoch
            {
                return Position::Snapshot(latest);
            }
        }
        let end = self.end_of_epoch(epoch);
        if end.epoch != epoch || end.offset < offset {
            Position::Diverging(end)
        } else {
            Position::Valid
        }
    }

    /// Up to where a follower keeps its log when the leader's part of `diverging.epoch` ended at `diverging.offset`.
    pub(super) fn truncation_point(&self, diverging: OffsetAndEpoch) -> Offset {
        let ours = self.end_of_epoch(diverging.epoch);
        if ours.epoch == diverging.epoch { ours.offset.min(diverging.offset) } else { ours.offset }
    }

    /// Adds `count` records of `epoch`; says where the first one goes.
    pub(super) fn append(&mut self, epoch: LeaderEpoch, count: i64) -> Offset {
        assert!(count > 0, "an append has records");
        assert!(
            self.epochs.last().is_none_or(|last| last.epoch <= epoch),
            "epochs grow along the log"
        );
        let base = self.end;
        if self.epochs.last().is_none_or(|last| last.epoch < epoch) {
            self.epochs.push(OffsetAndEpoch { offset: base, epoch });
        }
        self.end = base.plus(count);
        base
    }

    /// Cuts the log; nothing below `end` is lost.
    pub(super) fn truncate(&mut self, end: Offset) {
        self.end = self.end.min(end).max(self.start);
        self.flushed = self.flushed.min(self.end);
        let kept = self.epochs.partition_point(|start| start.offset < self.end);
        self.epochs.truncate(kept);
        self.assert_invariants();
    }

    /// Notes that the log is durable up to `offset`.
    pub(super) fn flush(&mut self, offset: Offset) {
        self.flushed = self.flushed.max(offset.min(self.end));
    }

    /// Takes in a snapshot that lies within the log.
    pub(super) fn add_snapshot(&mut self, id: OffsetAndEpoch) {
        if !self.snapshots.contains(&id) {
            self.snapshots.push(id);
            self.snapshots.sort_unstable();
        }
    }

    /// Forgets what lies below `start`, where a snapshot must stand; older snapshots go too.
    pub(super) fn clean(&mut self, start: OffsetAndEpoch) {
        assert!(self.has_snapshot(start), "the log is cut only where a snapshot stands");
        self.snapshots.retain(|id| id >= &start);
        self.start = self.start.max(start.offset.min(self.end));
        self.flushed = self.flushed.max(self.start);
        let first = self.epochs.partition_point(|epoch| epoch.offset <= self.start);
        if let Some(current) = first.checked_sub(1) {
            self.epochs.drain(..current);
            self.epochs[0].offset = self.start;
            if self.start == self.end {
                self.epochs.clear();
            }
        }
        self.assert_invariants();
    }

    /// Becomes the empty log after a snapshot.
    pub(super) fn reset(&mut self, id: OffsetAndEpoch) {
        *self = Self {
            start: id.offset,
            end: id.offset,
            flushed: id.offset,
            epochs: Vec::new(),
            snapshots: vec![id],
        };
    }

    fn assert_invariants(&self) {
        assert!(self.start <= self.flushed && self.flushed <= self.end, "the ends are in order");
        assert!(
            self.epochs.is_sorted_by(|a, b| a.epoch < b.epoch && a.offset < b.offset),
            "epochs and their offsets grow"
        );
        assert!(
            self.epochs.last().is_none_or(|last| last.offset < self.end),
            "no epoch begins above the end"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64, epoch: i32) -> OffsetAndEpoch {
        OffsetAndEpoch { offset: Offset::new(offset), epoch: LeaderEpoch::new(epoch) }
    }

    /// Epoch 1 at 0..5, epoch 3 at 5..8, epoch 4 at 8..10.
    fn log() -> LogState {
        LogState::new(Offset::ZERO, Offset::new(10), vec![at(0, 1), at(5, 3), at(8, 4)], Vec::new())
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let check = |epoch, expected| {
            assert_eq!(log().end_of_epoch(LeaderEpoch::new(epoch)), expected, "epoch {epoch}");
        };
        check(0, at(0, 0));
        check(1, at(5, 1));
        check(2, at(5, 1));
        check(3, at(8, 3));
        check(4, at(10, 4));
        check(9, at(10, 4));
    }

    #[test]
    fn a_position_is_valid_only_inside_its_own_epoch() {
        let check = |offset, epoch, expected| {
            let found = log().validate(Offset::new(offset), LeaderEpoch::new(epoch));
            assert_eq!(found, expected, "{offset}@{epoch}");
        };
        check(0, 0, Position::Valid);
        check(5, 1, Position::Valid);
        check(6, 1, Position::Diverging(at(5, 1)));
        check(6, 2, Position::Diverging(at(5, 1)));
        check(10, 4, Position::Valid);
        check(11, 4, Position::Diverging(at(10, 4)));
        check(11, 7, Position::Diverging(at(10, 4)));
    }

    #[test]
    fn truncation_keeps_what_both_may_share() {
        let mut log = log();
        assert_eq!(log.truncation_point(at(9, 4)), Offset::new(9));
        assert_eq!(log.truncation_point(at(7, 2)), Offset::new(5));
        assert_eq!(log.truncation_point(at(0, 0)), Offset::ZERO);
        log.truncate(Offset::new(8));
        assert_eq!(log.last(), at(8, 3));
        log.truncate(Offset::ZERO);
        assert_eq!(log.last(), at(0, 0));
    }

    #[test]
    fn what_lies_below_the_start_is_answered_with_a_snapshot() {
        let mut log = log();
        log.add_snapshot(at(6, 3));
        log.clean(at(6, 3));
        assert_eq!((log.start(), log.last()), (Offset::new(6), at(10, 4)));
        let check = |offset, epoch, expected| {
            let found = log.validate(Offset::new(offset), LeaderEpoch::new(epoch));
            assert_eq!(found, expected, "{offset}@{epoch}");
        };
        check(0, 0, Position::Snapshot(at(6, 3)));
        check(5, 3, Position::Snapshot(at(6, 3)));
        check(6, 1, Position::Snapshot(at(6, 3)));
        check(6, 3, Position::Valid);
        check(8, 3, Position::Valid);
        check(9, 3, Position::Diverging(at(8, 3)));
    }

    #[test]
    fn the_snapshot_a_log_was_formatted_with_is_never_sent() {
        let log = LogState::new(Offset::ZERO, Offset::new(3), vec![at(0, 1)], vec![at(0, 0)]);
        assert_eq!(log.validate(Offset::ZERO, LeaderEpoch::ZERO), Position::Valid);
    }

    #[test]
    fn an_installed_snapshot_is_the_end_of_the_log() {
        let mut log = log();
        log.reset(at(20, 6));
        assert_eq!(log.last(), at(20, 6));
        assert_eq!(log.append(LeaderEpoch::new(7), 2), Offset::new(20));
        assert_eq!(log.last(), at(22, 7));
        assert_eq!(log.end_of_epoch(LeaderEpoch::new(6)), at(20, 6));
    }
}
