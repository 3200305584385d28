//! All tasks of a process stand still for a while: the broker's mostly, sometimes a client's.

use super::{Fault, How, Scene, short};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "pause",
    share: 0.5,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["process paused"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let machine = scene.broker_or_client(random);
    scene.count("process paused");
    scene.world.pause(machine);
    scene.world.sleep(short(random)).await;
    scene.world.resume(machine);
    Ok(())
}
