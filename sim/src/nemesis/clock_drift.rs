//! A machine's clocks run faster or slower than the others', by up to a twentieth: the broker's or a client's.

use std::future::ready;

use super::{Fault, How, Scene};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "clock_drift",
    share: 0.5,
    how: How::Blow {
        weight: 1,
        strike: |scene, random| {
            strike(scene, random);
            Box::pin(ready(Ok(())))
        },
    },
    counters: &["clock drift"],
};

fn strike(scene: &Scene, random: &mut Random) {
    let machine = if random.chance(0.7) { scene.machine() } else { scene.client(random) };
    let drift = i64::try_from(random.below(100_000)).unwrap_or(0) - 50_000;
    scene.count("clock drift");
    scene.world.set_drift(machine, drift);
}
