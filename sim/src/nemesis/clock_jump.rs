//! The broker's wall clock is set forward or back, by up to half an hour.

use std::future::ready;

use super::{Fault, How, Scene, short};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "clock_jump",
    share: 0.5,
    how: How::Blow {
        weight: 1,
        strike: |scene, random| {
            strike(scene, random);
            Box::pin(ready(Ok(())))
        },
    },
    counters: &["clock jump"],
};

fn strike(scene: &Scene, random: &mut Random) {
    let millis = i64::try_from(short(random).as_millis()).unwrap_or(0) * 100;
    let sign = if random.chance(0.5) { -1 } else { 1 };
    scene.count("clock jump");
    scene.world.move_wall_clock(scene.machine(), sign * millis);
}
