use bytes::Bytes;
use clap::ValueEnum;

/// What values are made of: it decides what compression can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Payload {
    /// Bytes without any pattern
    Random,
    /// Text that compresses as events do
    Json,
    /// Nothing but zeros
    Zeros,
}

/// Values made before the run, so that making them costs the run nothing.
#[derive(Clone, Debug)]
pub(super) struct Values(Vec<Bytes>);

/// Values that are cut out of one pool: more than fit a batch, so that compression does not meet them again.
const POOL_COUNT: usize = 256;

impl Values {
    pub(super) fn new(kind: Payload, size: usize, seed: u64) -> Self {
        let mut random = Random(seed | 1);
        let make = |_| match kind {
            Payload::Zeros => Bytes::from(vec![0; size]),
            Payload::Random => {
                let mut value = Vec::with_capacity(size + 8);
                while value.len() < size {
                    value.extend_from_slice(&random.next().to_le_bytes());
                }
                value.truncate(size);
                Bytes::from(value)
            }
            Payload::Json => Bytes::from(json(size, &mut random)),
        };
        let count = if kind == Payload::Zeros { 1 } else { POOL_COUNT };
        Self((0..count).map(make).collect())
    }

    /// The value of record `index`.
    pub(super) fn get(&self, index: u64) -> Bytes {
        let place = usize::try_from(index % self.0.len() as u64).unwrap_or(0);
        self.0.get(place).cloned().unwrap_or_default()
    }
}

/// An event as services write them, cut or filled up to `size` bytes.
fn json(size: usize, random: &mut Random) -> Vec<u8> {
    const ACTIONS: [&str; 5] = ["view", "search", "add_to_cart", "checkout", "refund"];
    const COUNTRIES: [&str; 6] = ["DE", "FR", "IN", "JP", "US", "BR"];
    let mut text = String::with_capacity(size + 256);
    while text.len() < size {
        let action = ACTIONS[random.below(ACTIONS.len())];
        let country = COUNTRIES[random.below(COUNTRIES.len())];
        let (user, amount) = (random.next() % 1_000_000, random.next() % 100_000);
        let (session, time) = (random.next(), 1_700_000_000_000 + random.next() % 86_400_000);
        let event = format!(
            "{{\"user_id\":{user},\"action\":\"{action}\",\"country\":\"{country}\",\"amount\":{}.{:02},\
             \"session\":\"{session:016x}\",\"timestamp\":{time}}}",
            amount / 100,
            amount % 100
        );
        text.push_str(&event);
    }
    let mut bytes = text.into_bytes();
    bytes.truncate(size);
    bytes
}

/// A small generator (xorshift): fast, and the same for the same seed.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Compression;

    #[test]
    fn values_have_the_size_that_was_asked_for_and_differ() {
        for kind in [Payload::Random, Payload::Json, Payload::Zeros] {
            let values = Values::new(kind, 1000, 7);
            assert!((0..POOL_COUNT as u64).all(|index| values.get(index).len() == 1000));
            assert_eq!(values.get(0) == values.get(1), kind == Payload::Zeros);
        }
    }

    #[test]
    fn payloads_compress_as_they_say() {
        let ratio = |kind| {
            let values = Values::new(kind, 1000, 7);
            let all: Vec<u8> = (0..64).flat_map(|index| values.get(index).to_vec()).collect();
            all.len() / Compression::Zstd.compress(&all, 3).unwrap().len()
        };
        assert_eq!(ratio(Payload::Random), 0, "random bytes grow");
        assert!((2..10).contains(&ratio(Payload::Json)));
        assert!(ratio(Payload::Zeros) > 100);
    }
}
