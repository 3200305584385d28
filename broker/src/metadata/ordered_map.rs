use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Above this many entries a chunk is cut in two.
const CHUNK_ENTRIES_MAX: usize = 64;

/// An ordered map whose clone is one pointer and whose clones share everything they have in common.
///
/// Entries lie in sorted chunks of at most 64 behind shared pointers. Changing one entry of a map that is shared copies
/// one chunk and the list of chunks (10,000 entries: about 64 entries and 300 pointers); changing a map that is not
/// shared copies nothing.
///
/// Invariants: no chunk is empty; keys ascend strictly within a chunk and from chunk to chunk.
pub struct OrderedMap<K, V> {
    chunks: Arc<Vec<Chunk<K, V>>>,
    entry_count: usize,
}

type Chunk<K, V> = Arc<Vec<(K, V)>>;

impl<K, V> OrderedMap<K, V> {
    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entry_count
    }

    /// True when there are no entries.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entry_count == 0
    }

    /// All entries, by ascending key.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
    }

    /// All keys, ascending.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values, by ascending key.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The chunk that holds `key` or would take it; `None` only when the map is empty.
    fn chunk_index<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let after = self
            .chunks
            .partition_point(|chunk| chunk.first().is_some_and(|(first, _)| first.borrow() <= key));
        if self.chunks.is_empty() { None } else { Some(after.saturating_sub(1)) }
    }

    /// Where `key` is, as chunk and place in it.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(usize, usize)>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunk_index(key)?;
        let place = self.chunks.get(chunk)?.binary_search_by(|(k, _)| k.borrow().cmp(key)).ok()?;
        Some((chunk, place))
    }

    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (chunk, place) = self.find(key)?;
        self.chunks.get(chunk)?.get(place).map(|(_, value)| value)
    }

    /// True when `key` has a value.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_some()
    }

    /// The entries from `key` (included) on, by ascending key.
    pub fn range_from<Q: Ord + ?Sized>(&self, key: &Q) -> impl Iterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        let from = self.chunk_index(key).unwrap_or(0);
        let skipped = self
            .chunks
            .get(from)
            .map_or(0, |chunk| chunk.partition_point(|(candidate, _)| candidate.borrow() < key));
        self.chunks
            .iter()
            .skip(from)
            .flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
            .skip(skipped)
    }
}

impl<K: Ord, V: PartialEq> OrderedMap<K, V> {
    /// Tells of every key whose value here differs from the one in `other`: key, value here, value there.
    ///
    /// Chunks the two share are passed over, so comparing a map with what a small change made of it is cheap.
    pub fn for_each_difference<'a>(
        &'a self,
        other: &'a Self,
        mut tell: impl FnMut(&'a K, Option<&'a V>, Option<&'a V>),
    ) {
        let (mut left, mut right) = (Cursor::new(self), Cursor::new(other));
        loop {
            while left.skip_shared(&mut right) {}
            match (left.entry(), right.entry()) {
                (None, None) => return,
                (Some((key, value)), None) => {
                    tell(key, Some(value), None);
                    left.advance();
                }
                (None, Some((key, value))) => {
                    tell(key, None, Some(value));
                    right.advance();
                }
                (Some((left_key, old)), Some((right_key, new))) => match left_key.cmp(right_key) {
                    Ordering::Less => {
                        tell(left_key, Some(old), None);
                        left.advance();
                    }
                    Ordering::Greater => {
                        tell(right_key, None, Some(new));
                        right.advance();
                    }
                    Ordering::Equal => {
                        if old != new {
                            tell(left_key, Some(old), Some(new));
                        }
                        left.advance();
                        right.advance();
                    }
                },
            }
        }
    }
}

/// A place in a map: which chunk, which entry in it.
struct Cursor<'a, K, V> {
    chunks: &'a [Chunk<K, V>],
    chunk: usize,
    place: usize,
}

impl<'a, K, V> Cursor<'a, K, V> {
    fn new(map: &'a OrderedMap<K, V>) -> Self {
        Self { chunks: &map.chunks, chunk: 0, place: 0 }
    }

    fn entry(&self) -> Option<(&'a K, &'a V)> {
        self.chunks.get(self.chunk)?.get(self.place).map(|(key, value)| (key, value))
    }

    fn advance(&mut self) {
        self.place += 1;
        if self.chunks.get(self.chunk).is_some_and(|chunk| self.place >= chunk.len()) {
            self.chunk += 1;
            self.place = 0;
        }
    }

    /// Steps both over one chunk when both stand at the start of the same one; says whether they did.
    fn skip_shared(&mut self, other: &mut Self) -> bool {
        let (Some(ours), Some(theirs)) =
            (self.chunks.get(self.chunk), other.chunks.get(other.chunk))
        else {
            return false;
        };
        let same = self.place == 0 && other.place == 0 && Arc::ptr_eq(ours, theirs);
        if same {
            self.chunk += 1;
            other.chunk += 1;
        }
        same
    }
}

impl<K: Ord + Clone, V: Clone> OrderedMap<K, V> {
    /// A way to change the value of `key`; what is shared is copied first.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (chunk, place) = self.find(key)?;
        let chunk = Arc::make_mut(Arc::make_mut(&mut self.chunks).get_mut(chunk)?);
        chunk.get_mut(place).map(|(_, value)| value)
    }

    /// Sets the value of `key` and gives back the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some(index) = self.chunk_index(&key) else {
            Arc::make_mut(&mut self.chunks).push(Arc::new(vec![(key, value)]));
            self.entry_count = 1;
            return None;
        };
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(chunks.get_mut(index)?);
        match chunk.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(place) => chunk.get_mut(place).map(|entry| std::mem::replace(&mut entry.1, value)),
            Err(place) => {
                chunk.insert(place, (key, value));
                self.entry_count += 1;
                if chunk.len() > CHUNK_ENTRIES_MAX {
                    // Keys often come in order: cutting near the end then leaves full chunks behind.
                    let cut =
                        if place + 1 == chunk.len() { chunk.len() - 1 } else { chunk.len() / 2 };
                    let upper = chunk.split_off(cut);
                    chunks.insert(index + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    /// Takes `key` out and gives back the value it had.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (index, place) = self.find(key)?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(chunks.get_mut(index)?);
        let (_, value) = chunk.remove(place);
        self.entry_count -= 1;
        let left = chunk.len();
        if left == 0 {
            chunks.remove(index);
        } else if let Some(next_len) = chunks.get(index + 1).map(|next| next.len())
            && left + next_len <= CHUNK_ENTRIES_MAX / 2
        {
            let next = chunks.remove(index + 1);
            if let Some(chunk) = chunks.get_mut(index) {
                Arc::make_mut(chunk).extend(next.iter().cloned());
            }
        }
        Some(value)
    }
}

impl<K, V> Default for OrderedMap<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::default(), entry_count: 0 }
    }
}

impl<K, V> Clone for OrderedMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), entry_count: self.entry_count }
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for OrderedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunks, &other.chunks)
            || (self.entry_count == other.entry_count && self.iter().eq(other.iter()))
    }
}

impl<K: Eq, V: Eq> Eq for OrderedMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for OrderedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for OrderedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::OrderedMap;

    /// A small generator, so that the test needs no randomness from outside.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *state >> 33
    }

    #[test]
    fn it_agrees_with_a_btree_map_after_every_change() {
        let mut state = 7;
        let (mut map, mut model) = (OrderedMap::default(), BTreeMap::new());
        for step in 0..6_000 {
            let key = next(&mut state) % 700;
            if next(&mut state).is_multiple_of(3)
                || (step > 4_000 && !next(&mut state).is_multiple_of(4))
            {
                assert_eq!(map.remove(&key), model.remove(&key));
            } else {
                assert_eq!(map.insert(key, step), model.insert(key, step));
            }
            assert_eq!(map.len(), model.len());
            assert_eq!(map.get(&key), model.get(&key));
            let probe = next(&mut state) % 700;
            assert_eq!(
                map.range_from(&probe).next(),
                model.range(probe..).next(),
                "first entry from {probe}"
            );
        }
        assert!(map.iter().eq(model.iter()));
        assert!(map.chunks.iter().all(|chunk| !chunk.is_empty()));
    }

    #[test]
    fn a_changed_clone_shares_all_chunks_but_one_with_the_original() {
        let map: OrderedMap<u32, u32> = (0..10_000).map(|key| (key, key)).collect();
        let mut changed = map.clone();
        *changed.get_mut(&5_000).unwrap() = 1;
        let shared =
            map.chunks.iter().zip(changed.chunks.iter()).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, map.chunks.len() - 1);
        assert_eq!(map.get(&5_000), Some(&5_000));
        assert_ne!(map, changed);
        assert!(map.chunks.len() < 200, "keys that come in order fill their chunks");
    }

    #[test]
    fn differences_are_those_of_the_entries_however_they_are_chunked() {
        let mut state = 11;
        let base: OrderedMap<u64, u64> = (0..2_000).map(|key| (key * 2, 0)).collect();
        for _ in 0..50 {
            let mut changed = base.clone();
            let mut expected = BTreeMap::new();
            for _ in 0..next(&mut state) % 90 {
                let key = next(&mut state) % 4_100;
                if next(&mut state).is_multiple_of(2) {
                    changed.insert(key, 1);
                } else {
                    changed.remove(&key);
                }
                let pair = (base.get(&key).copied(), changed.get(&key).copied());
                if pair.0 == pair.1 {
                    expected.remove(&key);
                } else {
                    expected.insert(key, pair);
                }
            }
            let mut found = BTreeMap::new();
            base.for_each_difference(&changed, |key, old, new| {
                found.insert(*key, (old.copied(), new.copied()));
            });
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn equality_looks_at_entries_and_not_at_chunks() {
        let up: OrderedMap<u32, ()> = (0..500).map(|key| (key, ())).collect();
        let down: OrderedMap<u32, ()> = (0..500).rev().map(|key| (key, ())).collect();
        assert_ne!(up.chunks.len(), down.chunks.len());
        assert_eq!(up, down);
    }
}
