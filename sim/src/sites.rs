//! Places in the code that ask whether to take the rare way: [`buggify`](ottla::environment::Runtime::buggify).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::random::Random;

/// All of them in one world, as far as they have asked.
#[derive(Debug)]
pub(crate) struct Sites {
    seed: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Which part of the sites is armed.
    armed: f64,
    sites: BTreeMap<&'static str, Site>,
}

#[derive(Debug)]
struct Site {
    random: Random,
    probability: f64,
}

impl Sites {
    pub(crate) fn new(seed: u64, armed: f64) -> Self {
        Self { seed, state: Mutex::new(State { armed, sites: BTreeMap::new() }) }
    }

    /// Whether to take the rare way here. Each site is armed in some worlds only, and then fires with a
    /// probability of its own: a site that always fires hides what comes after it.
    pub(crate) fn fires(&self, site: &'static str) -> bool {
        let state = &mut *self.lock();
        if state.armed <= 0.0 {
            return false;
        }
        let entry = state.sites.entry(site).or_insert_with(|| {
            let mut random = Random::new(self.seed, &format!("buggify {site}"));
            let is_armed = random.chance(state.armed);
            let probability = if is_armed { random.log_uniform(0.001, 0.5) } else { 0.0 };
            Site { random, probability }
        });
        entry.random.chance(entry.probability)
    }

    /// No site fires any more.
    pub(crate) fn disarm(&self) {
        self.lock().armed = 0.0;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
