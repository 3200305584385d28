//! The disk fills up, and has room again some time later.

use super::{Fault, How, Scene, short};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "disk_full",
    share: 0.2,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["disk full"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let left = random.below(200_000);
    let broker = scene.one(random);
    let used = scene.world.disk(broker.machine()).allocated();
    scene.with_bad_disk(broker, short(random), |faults| faults.capacity = used + left).await
}
