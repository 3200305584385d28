//! Something keeps killing the broker while it starts, some times in a row, as a supervisor with a short patience does.

use std::time::Duration;

use super::{Fault, How, Scene, some_time};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "restart_storm",
    share: 0.2,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["restart storm"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    scene.count("restart storm");
    let broker = scene.one(random);
    for _ in 0..random.between(&(3..12)) {
        if random.chance(0.3) && scene.may_lose_anytime() {
            broker.cut_power();
        } else {
            broker.crash();
        }
        broker.supervise();
        let patience = some_time(random, Duration::from_micros(100), Duration::from_millis(500));
        scene.world.sleep(patience).await;
        scene.expect_no_failures()?;
    }
    Ok(())
}
