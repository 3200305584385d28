//! A broker is killed while it starts for the first time, on an empty disk: what it has made so far is there and not durable,
//! and the next process finds it. Or the power goes, and it finds some of it.

use std::time::Duration;

use ottla::environment::select;

use super::{Fault, How, Scene, some_time};
use crate::events::DiskOperation;
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "first_moments",
    share: 0.5,
    how: How::First(|scene, random| Box::pin(strike(scene, random))),
    counters: &["killed in its first moments"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let broker = scene.one(random);
    for _ in 0..random.between(&(1..4)) {
        // Any operation of its disk, or one of those that make things durable or visible; the first is as likely as all others.
        let operation = *random.pick(&[
            None,
            Some(DiskOperation::SyncData),
            Some(DiskOperation::Rename),
            Some(DiskOperation::SyncDirectory),
        ]);
        let most = *random.pick(&[2, 8, 40]);
        let nth = random.between(&(1..most));
        let later = some_time(random, Duration::from_nanos(100), Duration::from_millis(1));
        let disk = scene.world.disk(broker.machine());
        select! {
            () = disk.nth(operation, nth) => {}
            () = scene.world.sleep(PATIENCE) => {}
        }
        scene.world.sleep(later).await;
        scene.count("killed in its first moments");
        if random.chance(0.2) && scene.may_lose_anytime() {
            broker.cut_power();
        } else {
            broker.crash();
        }
        broker.supervise();
        scene.expect_no_failures()?;
    }
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(1);
