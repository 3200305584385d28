//! A machine's clocks run faster or slower than the others', by up to a twentieth: the broker's or a client's.

use super::{Fault, How, Scene, Striking, done};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "clock_drift",
    share: 0.5,
    how: How::Blow { weight: 1, strike },
    counters: &["clock drift"],
};

fn strike<'a>(scene: &'a Scene, random: &'a mut Random) -> Striking<'a> {
    let machine = scene.broker_or_client(random);
    let drift = i64::try_from(random.below(100_000)).unwrap_or(0) - 50_000;
    scene.count("clock drift");
    scene.world.set_drift(machine, drift);
    done()
}
