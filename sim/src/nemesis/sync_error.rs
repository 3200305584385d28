//! Syncs fail for some time. Some of what they were to write is on the device and some is not, and the kernel takes all of
//! it for written: a second sync says that all is well. Later the kernel may forget those pages and read the device again.

use super::{Fault, How, Scene, short};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "sync_error",
    share: 0.2,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["sync failed", "directory sync failed"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let rate = random.log_uniform(0.01, 1.0);
    let broker = scene.one(random);
    scene.with_bad_disk(broker, short(random), |faults| faults.sync_error = rate).await?;
    if !scene.may_lose_anytime() {
        return Ok(());
    }
    if random.chance(0.3) {
        // Pages are forgotten while nobody has the file open: a process that runs keeps its own for busy ones.
        broker.crash();
        scene.world.disk(broker.machine()).drop_clean_pages();
        broker.supervise();
    } else if random.chance(0.5) {
        // Soon enough that what a broker came back with is nowhere else yet.
        scene.wait(short(random)).await?;
        broker.cut_power();
        broker.supervise();
    }
    Ok(())
}
