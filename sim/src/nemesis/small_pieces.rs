//! Bytes arrive in small pieces, and little fits on the way: every frame is cut somewhere, and writers wait.

use super::{Fault, How, Weather};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "small_pieces",
    share: 0.3,
    how: How::Weather(draw),
    counters: &["world with small pieces"],
};

fn draw(weather: &mut Weather, random: &mut Random) {
    weather.marks.push("world with small pieces");
    if random.chance(0.5) {
        weather.network.window = 2 << 10;
    }
    weather.network.short_segment = 0.5;
    weather.network.short_read = 0.5;
}
