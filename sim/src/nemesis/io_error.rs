//! Reads or writes fail for some time with `EIO`.

use super::{Fault, How, Scene, short};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "io_error",
    share: 0.2,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["read failed", "write failed"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let rate = random.log_uniform(0.001, 0.5);
    let (reads, writes) = (random.chance(0.6), random.chance(0.6));
    let worsen = |faults: &mut crate::disk::DiskFaults| {
        faults.read_error = if reads { rate } else { 0.0 };
        faults.write_error = if writes || !reads { rate } else { 0.0 };
    };
    let broker = scene.one(random);
    scene.with_bad_disk(broker, short(random), worsen).await
}
