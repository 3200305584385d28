//! For some seconds the disk does next to nothing: every operation waits.

use super::{Changeable, Fault, How, Scene, short};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "disk_stall",
    share: 0.3,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["disk stalled"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let machine = scene.one(random).machine();
    let Some(_claim) = scene.claim(Changeable::Disk(machine)) else { return Ok(()) };
    let disk = scene.world.disk(machine);
    let mut before = None;
    let millis = random.between(&(10..2_000));
    scene.count("disk stalled");
    disk.set_faults(|faults| {
        before = Some(faults.clone());
        faults.delay = 0.5;
        faults.delay_us = millis * 100..millis * 1_000;
        faults.stall = 0.5;
        faults.stall_ms = millis..millis * 4;
    });
    let waited = scene.wait(short(random)).await;
    if let Some(before) = before {
        disk.set_faults(|faults| *faults = before);
    }
    waited
}
