use std::collections::BTreeMap;

use crate::model::Offset;

/// Things (responses, mostly) that wait for an offset to be committed, let go in order.
#[derive(Debug)]
pub struct Deferred<T> {
    waiting: BTreeMap<(Offset, u64), T>,
    sequence: u64,
}

impl<T> Default for Deferred<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), sequence: 0 }
    }
}

impl<T> Deferred<T> {
    /// Holds `item` until the record at `offset` is committed.
    pub fn park(&mut self, offset: Offset, item: T) {
        self.sequence += 1;
        self.waiting.insert((offset, self.sequence), item);
    }

    /// Lets go, oldest first, all that waited for offsets below `high_watermark` (the first uncommitted offset).
    pub fn release(&mut self, high_watermark: Offset) -> Vec<T> {
        let rest = self.waiting.split_off(&(high_watermark, 0));
        std::mem::replace(&mut self.waiting, rest).into_values().collect()
    }

    /// Lets go everything, to be failed: the log that would have committed it is not ours any more.
    pub fn abandon(&mut self) -> Vec<T> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// The largest offset anything waits for.
    #[must_use]
    pub fn last(&self) -> Option<Offset> {
        self.waiting.last_key_value().map(|((offset, _), _)| *offset)
    }

    /// True when nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Deferred;
    use crate::model::Offset;

    #[test]
    fn only_what_lies_below_the_high_watermark_is_let_go() {
        let mut deferred = Deferred::default();
        deferred.park(Offset::new(5), "b");
        deferred.park(Offset::new(4), "a");
        deferred.park(Offset::new(5), "c");
        deferred.park(Offset::new(6), "d");
        assert_eq!(deferred.release(Offset::new(4)), Vec::<&str>::new());
        assert_eq!(deferred.release(Offset::new(6)), ["a", "b", "c"]);
        assert_eq!(deferred.last(), Some(Offset::new(6)));
        assert_eq!(deferred.abandon(), ["d"]);
        assert!(deferred.is_empty());
    }
}
