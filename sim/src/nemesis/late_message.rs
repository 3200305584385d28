//! What is said on one connection, by a client or by a broker, is held back for a while, and arrives after all. A client
//! that gives up waiting asks again on another connection: so one request comes twice, the older one late.

use super::{Fault, How, Scene, short};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "late_message",
    share: 0.4,
    how: How::Blow { weight: 2, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["requests held back", "answers held back"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let network = scene.world.network();
    let duration = short(random) * 2;
    let machine = scene.one(random).machine();
    for connection in network.connections_of(machine) {
        if random.chance(0.5) {
            continue;
        }
        let is_request = random.chance(0.5);
        scene.count(if is_request { "requests held back" } else { "answers held back" });
        network.hold_back(connection, machine, is_request, duration);
    }
    scene.wait(duration).await
}
