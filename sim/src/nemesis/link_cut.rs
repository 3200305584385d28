//! The way between a client and the broker is cut, in one direction or in both.

use super::{Fault, How, Scene, short};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "link_cut",
    share: 0.5,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["link cut"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    if scene.clients.is_empty() {
        return Ok(());
    }
    let (broker, client) = (scene.machine(), scene.client(random));
    let network = scene.world.network();
    scene.count("link cut");
    match random.below(3) {
        0 => network.cut(client, broker),
        1 => network.cut(broker, client),
        _ => network.partition(&[&[client], &[broker]]),
    }
    let waited = scene.wait(short(random)).await;
    network.heal_all();
    waited
}
