//! Where each leader epoch began: what followers and leaders compare to find where their logs parted.
//!
//! Source: KIP-101, KIP-279.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::checkpoint;
use crate::model::{LeaderEpoch, Offset, OffsetAndEpoch};

/// `leader-epoch-checkpoint` in a partition's directory.
pub(crate) const FILE_NAME: &str = "leader-epoch-checkpoint";

/// Start offsets by epoch; both grow strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaderEpochs {
    starts: BTreeMap<LeaderEpoch, Offset>,
}

impl LeaderEpochs {
    /// Remembers that `epoch` begins at `offset`; says whether anything changed.
    ///
    /// An epoch that is already the latest keeps its start. Entries that would not be older in both numbers go: they
    /// belong to records that were cut off, or to leaders that never wrote.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, offset: Offset) -> bool {
        if let Some((last_epoch, last_start)) = self.starts.last_key_value()
            && epoch <= *last_epoch
            && offset >= *last_start
        {
            return false;
        }
        while let Some(last) = self.starts.last_entry()
            && (*last.key() >= epoch || *last.get() >= offset)
        {
            last.remove();
        }
        self.starts.insert(epoch, offset);
        true
    }

    /// Begins to lead in `epoch` at `end`, on the cluster's word; says whether anything changed.
    ///
    /// Epochs above go: no leader had them. They come from a batch whose header has rotted, for the checksum does not cover its
    /// epoch, and would make every append look late.
    pub(crate) fn begin(&mut self, epoch: LeaderEpoch, end: Offset) -> bool {
        let before = self.starts.len();
        self.starts.retain(|known, _| *known <= epoch);
        let were_wrong = self.starts.len() != before;
        self.assign(epoch, end) || were_wrong
    }

    /// The latest epoch.
    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.starts.last_key_value().map(|(epoch, _)| *epoch)
    }

    /// The largest epoch at or below `epoch`, with the offset where it ends; `None` when `epoch` is newer than all.
    ///
    /// An epoch older than all known ones ends where the oldest known one begins.
    pub(crate) fn end_offset(
        &self,
        epoch: LeaderEpoch,
        log_end_offset: Offset,
    ) -> Option<OffsetAndEpoch> {
        if self.latest()? == epoch {
            return Some(OffsetAndEpoch { offset: log_end_offset, epoch });
        }
        let after = (std::ops::Bound::Excluded(epoch), std::ops::Bound::Unbounded);
        let (_, end) = self.starts.range(after).next()?;
        let floor = self.starts.range(..=epoch).next_back().map_or(epoch, |(floor, _)| *floor);
        Some(OffsetAndEpoch { offset: *end, epoch: floor })
    }

    /// The epoch of the record at `offset`.
    pub(crate) fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.starts.iter().rev().find(|(_, start)| **start <= offset).map(|(epoch, _)| *epoch)
    }

    /// Forgets epochs that begin at `end` or later; says whether anything changed.
    pub(crate) fn truncate_from_end(&mut self, end: Offset) -> bool {
        let before = self.starts.len();
        self.starts.retain(|_, start| *start < end);
        self.starts.len() != before
    }

    /// Forgets epochs that end at or before `log_start`; the one that holds it begins there. Says whether anything changed.
    pub(crate) fn truncate_from_start(&mut self, log_start: Offset) -> bool {
        let Some(epoch) = self.epoch_at(log_start) else { return false };
        let before = self.starts.len();
        self.starts.retain(|other, _| *other >= epoch);
        let moved = self.starts.insert(epoch, log_start) != Some(log_start);
        moved || self.starts.len() != before
    }

    /// Where the oldest known epoch begins.
    pub(crate) fn first_start(&self) -> Option<Offset> {
        self.starts.first_key_value().map(|(_, start)| *start)
    }

    /// Takes over what `older` knows of the time before the oldest known epoch.
    pub(crate) fn extend_front(&mut self, older: Self) {
        let first = self.starts.first_key_value().map(|(epoch, start)| (*epoch, *start));
        let fits = |(epoch, start): &(LeaderEpoch, Offset)| {
            first.is_none_or(|first| *epoch <= first.0 && *start < first.1)
        };
        self.starts.extend(older.starts.into_iter().filter(fits));
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.starts.clear();
    }

    /// As Kafka's file has it.
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("0\n{}\n", self.starts.len());
        for (epoch, start) in &self.starts {
            let _ = writeln!(text, "{epoch} {start}");
        }
        text
    }

    /// Reads Kafka's file; `None` when it cannot be understood or is not in order.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut starts = BTreeMap::new();
        for line in checkpoint::entries(text)? {
            let mut words = line.split_ascii_whitespace();
            let epoch = LeaderEpoch::from_wire(words.next()?.parse().ok()?)?;
            let start = Offset::from_wire(words.next()?.parse().ok()?)?;
            let in_order = starts
                .last_key_value()
                .is_none_or(|(last_epoch, last_start)| *last_epoch < epoch && *last_start < start);
            if words.next().is_some() || !in_order {
                return None;
            }
            starts.insert(epoch, start);
        }
        Some(Self { starts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for (epoch, start) in entries {
            epochs.assign(LeaderEpoch::new(*epoch), Offset::new(*start));
        }
        epochs
    }

    fn end(epochs: &LeaderEpochs, epoch: i32, log_end: i64) -> Option<(i32, i64)> {
        epochs
            .end_offset(LeaderEpoch::new(epoch), Offset::new(log_end))
            .map(|found| (found.epoch.value(), found.offset.value()))
    }

    #[test]
    fn epochs_that_no_leader_had_go_when_a_leader_begins() {
        let mut rotten = epochs(&[(2, 0), (7, 10), (7 | 1 << 20, 15)]);
        assert!(rotten.begin(LeaderEpoch::new(7), Offset::new(30)));
        assert_eq!(rotten, epochs(&[(2, 0), (7, 10)]));
        assert!(!rotten.begin(LeaderEpoch::new(7), Offset::new(30)));
        assert!(rotten.begin(LeaderEpoch::new(8), Offset::new(30)));
        assert_eq!(rotten, epochs(&[(2, 0), (7, 10), (8, 30)]));
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let epochs = epochs(&[(2, 6), (3, 8), (7, 20)]);
        assert_eq!(end(&epochs, 7, 30), Some((7, 30)));
        assert_eq!(end(&epochs, 3, 30), Some((3, 20)));
        assert_eq!(end(&epochs, 5, 30), Some((3, 20)));
        assert_eq!(end(&epochs, 1, 30), Some((1, 6)));
        assert_eq!(end(&epochs, 8, 30), None);
        assert_eq!(end(&LeaderEpochs::default(), 0, 30), None);
    }

    #[test]
    fn a_leader_that_never_wrote_leaves_no_entry() {
        let mut epochs = epochs(&[(1, 0), (2, 10)]);
        assert!(epochs.assign(LeaderEpoch::new(3), Offset::new(10)));
        assert_eq!(epochs.encode(), "0\n2\n1 0\n3 10\n");
        assert!(!epochs.assign(LeaderEpoch::new(3), Offset::new(12)));
    }

    #[test]
    fn cutting_both_ends_keeps_what_is_between() {
        let mut epochs = epochs(&[(1, 0), (2, 10), (4, 20)]);
        assert!(epochs.truncate_from_end(Offset::new(20)));
        assert!(!epochs.truncate_from_end(Offset::new(20)));
        assert!(epochs.truncate_from_start(Offset::new(15)));
        assert_eq!(epochs.encode(), "0\n1\n2 15\n");
        assert_eq!(epochs.epoch_at(Offset::new(14)), None);
        assert_eq!(epochs.epoch_at(Offset::new(15)), Some(LeaderEpoch::new(2)));
    }

    #[test]
    fn the_front_can_be_learned_again() {
        let mut moved = epochs(&[(1, 5), (2, 10)]);
        moved.extend_front(epochs(&[(0, 0), (1, 3), (3, 4)]));
        assert_eq!(moved, epochs(&[(0, 0), (1, 3), (2, 10)]));
    }

    #[test]
    fn a_file_out_of_order_is_refused() {
        assert_eq!(LeaderEpochs::parse("0\n2\n1 0\n3 10\n"), Some(epochs(&[(1, 0), (3, 10)])));
        for text in ["0\n2\n3 10\n1 0\n", "0\n2\n1 5\n2 5\n", "0\n1\n-1 0\n", "0\n1\n1\n", "x"] {
            assert_eq!(LeaderEpochs::parse(text), None, "{text:?}");
        }
    }
}
