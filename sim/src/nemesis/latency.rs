//! Packets travel for long, and some for longer.

use super::{Fault, How, Weather};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "latency",
    share: 0.5,
    how: How::Weather(draw),
    counters: &["world with late packets"],
};

fn draw(weather: &mut Weather, random: &mut Random) {
    weather.marks.push("world with late packets");
    if random.chance(0.6) {
        weather.network.latency_us = 1_000..random.between(&(2_000..100_000));
    }
    weather.network.spike = random.log_uniform(0.001, 0.1);
}
