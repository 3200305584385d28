//! The power goes at a chosen operation of a broker's disk, or right behind it: between the writing of a record and its
//! sync, in the middle of a roll, between a new file and its name. A cut at any time seldom comes there.

use std::time::Duration;

use ottla::environment::select;

use super::{Fault, How, Scene, short, some_time};
use crate::events::DiskOperation;
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "cut_at_work",
    share: 0.5,
    how: How::Blow { weight: 2, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["power loss at work"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let operation = *random.pick(&[
        DiskOperation::Write,
        DiskOperation::Write,
        DiskOperation::Open,
        DiskOperation::SyncData,
        DiskOperation::SyncDirectory,
        DiskOperation::Rename,
        DiskOperation::RemoveFile,
        DiskOperation::SetLength,
    ]);
    let broker = scene.one(random);
    let disk = scene.world.disk(broker.machine());
    // Few are as likely as many.
    let most = *random.pick(&[3, 30, 300]);
    let nth = random.between(&(1..most));
    let later = some_time(random, Duration::from_nanos(100), Duration::from_millis(3));
    select! {
        () = disk.nth(Some(operation), nth) => {
            scene.world.sleep(later).await;
            scene.count("power loss at work");
        }
        // It has less to do.
        waited = scene.wait(PATIENCE) => waited?,
    }
    broker.cut_power();
    scene.away(broker, short(random)).await;
    broker.supervise();
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(10);
