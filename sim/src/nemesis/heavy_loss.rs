//! On the ways between one client, or broker, and a broker nearly everything gets lost, and kernels are short of patience: what they
//! repeat in vain for some seconds they give up, and the connection with it.

use std::time::Duration;

use super::{Changeable, Fault, How, Scene, short, some_time};
use crate::network::LinkFaults;
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "heavy_loss",
    share: 0.3,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["link with heavy loss", "connection given up"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    if scene.clients.is_empty() {
        return Ok(());
    }
    let broker = scene.one(random).machine();
    // Brokers are each other's clients.
    let client = if scene.is_cluster() && random.chance(0.5) {
        scene.one(random).machine()
    } else {
        scene.client(random)
    };
    let Some(_claim) = scene.claim(Changeable::Patience) else { return Ok(()) };
    let network = scene.world.network();
    let patience = some_time(random, Duration::from_millis(500), Duration::from_secs(20));
    let mut before = None;
    network.set_faults(|faults| before = Some(std::mem::replace(&mut faults.give_up, patience)));
    for (from, to) in [(broker, client), (client, broker)] {
        let loss = random.log_uniform(0.2, 1.0);
        network.set_link_faults(from, to, Some(LinkFaults { loss, ..LinkFaults::default() }));
    }
    scene.count("link with heavy loss");
    let waited = scene.wait(short(random) * 2).await;
    network.set_faults(|faults| faults.give_up = before.unwrap_or(faults.give_up));
    for (from, to) in [(broker, client), (client, broker)] {
        network.set_link_faults(from, to, None);
    }
    waited
}
