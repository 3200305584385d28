//! The power goes, and comes back some time later: what was not synced may be lost, kept or torn.

use super::{Fault, How, Scene, short};
use crate::random::Random;

/// What most worlds are about: hence the weight.
pub(super) const FAULT: Fault = Fault {
    name: "power_cut",
    share: 0.9,
    how: How::Blow { weight: 3, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["power loss"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    scene.broker.cut_power();
    scene.world.sleep(short(random)).await;
    scene.broker.supervise();
    Ok(())
}
