//! Random numbers of the simulated world.
//!
//! Each concern (network, one machine's disk, nemesis, workload) draws from a stream of its own, derived from the
//! seed and the concern's name. So a fault that is left out while a failure is made smaller does not shift the
//! numbers of all others. Only the order in which ready tasks run comes from madsim's own generator.

use std::hash::Hasher;
use std::ops::Range;

use crate::events::Digest;

/// One stream of random numbers (xoshiro256++, filled by splitmix64).
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream called `name` under `seed`.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        let mut digest = Digest::default();
        digest.write_u64(seed);
        digest.write(name.as_bytes());
        let mut word = digest.finish();
        let state = [(); 4].map(|()| {
            word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = word;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        });
        Self { state }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let output = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        output
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(u64::MAX)
    }

    /// An index below `length`; 0 when `length` is 0.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    /// A number in `range`; its start when it is empty.
    pub fn between(&mut self, range: &Range<u64>) -> u64 {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// A number in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability. Draws nothing when it can only be false, so that a fault that is off costs nothing.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// A number from `low` to `high`, each power of ten equally likely: how rates of faults are drawn.
    pub fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        (low.ln() + self.unit() * (high.ln() - low.ln())).exp()
    }

    /// One of them.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_replay_and_differ() {
        let draw = |seed, name| {
            let mut random = Random::new(seed, name);
            (0..8).map(|_| random.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, "network"), draw(1, "network"));
        assert_ne!(draw(1, "network"), draw(2, "network"));
        assert_ne!(draw(1, "network"), draw(1, "disk"));
    }

    #[test]
    fn numbers_stay_in_their_ranges_and_reach_all_of_them() {
        let mut random = Random::new(7, "test");
        let mut seen = [0_u32; 5];
        for _ in 0..1000 {
            seen[random.index(5)] += 1;
            assert!((3..9).contains(&random.between(&(3..9))));
            assert!((0.0..1.0).contains(&random.unit()));
            let rate = random.log_uniform(0.001, 0.1);
            assert!((0.000_999..0.100_1).contains(&rate));
        }
        assert!(seen.iter().all(|count| (140..260).contains(count)), "{seen:?}");
        assert_eq!((random.below(0), random.between(&(4..4))), (0, 4));
        assert!(!random.chance(0.0) && random.chance(1.0));
    }
}
