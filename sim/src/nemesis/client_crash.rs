//! A client is killed, and started again.

use super::{Fault, How, Scene, short};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "client_crash",
    share: 0.5,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["client crash"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    if scene.clients.is_empty() {
        return Ok(());
    }
    let client = scene.client(random);
    scene.count("client crash");
    scene.world.crash(client);
    scene.world.sleep(short(random) / 10).await;
    scene.world.restart(client);
    Ok(())
}
