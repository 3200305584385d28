//! Syncs take long, and some stall for seconds.

use super::{Fault, How, Weather};
use crate::random::Random;

pub(super) const FAULT: Fault =
    Fault { name: "slow_sync", share: 0.4, how: How::Weather(draw), counters: &["sync stalled"] };

fn draw(weather: &mut Weather, random: &mut Random) {
    if random.chance(0.6) {
        weather.disk.sync_us = 1_000..50_000;
    }
    weather.disk.stall = random.log_uniform(0.001, 0.1);
}
