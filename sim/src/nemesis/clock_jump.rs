//! A machine's wall clock is set forward or back, by up to half an hour: the broker's or a client's.

use super::{Fault, How, Scene, Striking, done, short};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "clock_jump",
    share: 0.5,
    how: How::Blow { weight: 1, strike },
    counters: &["clock jump"],
};

fn strike<'a>(scene: &'a Scene, random: &'a mut Random) -> Striking<'a> {
    let machine = scene.broker_or_client(random);
    let millis = i64::try_from(short(random).as_millis()).unwrap_or(0) * 100;
    let sign = if random.chance(0.5) { -1 } else { 1 };
    scene.count("clock jump");
    scene.world.move_wall_clock(machine, sign * millis);
    done()
}
