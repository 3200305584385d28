//! One connection of the broker is reset, at any moment of what is said on it; all others go on.

use super::{Fault, How, Scene, Striking, done};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "lone_reset",
    share: 0.4,
    how: How::Blow { weight: 2, strike },
    counters: &["one connection reset"],
};

fn strike<'a>(scene: &'a Scene, random: &'a mut Random) -> Striking<'a> {
    let network = scene.world.network();
    let connections = network.connections_of(scene.one(random).machine());
    if !connections.is_empty() {
        scene.count("one connection reset");
        network.reset(*random.pick(&connections));
    }
    done()
}
