//! A broker is killed while it starts for the first time, on an empty disk: what it has made so far is there and not durable,
//! and the next process finds it.

use std::time::Duration;

use ottla::environment::select;

use super::{Fault, How, Scene, some_time};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "first_moments",
    share: 0.3,
    how: How::First(|scene, random| Box::pin(strike(scene, random))),
    counters: &["killed in its first moments"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let broker = scene.one(random);
    for _ in 0..random.between(&(1..4)) {
        // One operation of its disk is as good a moment as another.
        let nth = random.between(&(1..40));
        let later = some_time(random, Duration::from_nanos(100), Duration::from_millis(1));
        let disk = scene.world.disk(broker.machine());
        select! {
            () = disk.nth(None, nth) => {}
            () = scene.world.sleep(PATIENCE) => {}
        }
        scene.world.sleep(later).await;
        scene.count("killed in its first moments");
        broker.crash();
        broker.supervise();
        scene.expect_no_failures()?;
    }
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(1);
