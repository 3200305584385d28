//! The broker's process is killed, as by `kill -9`: connections end, the page cache stays.

use super::{Fault, How, Scene, short};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "process_crash",
    share: 0.5,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["broker killed"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    scene.count("broker killed");
    let broker = scene.one(random);
    broker.crash();
    let pause = short(random);
    scene.away(broker, if scene.is_cluster() { pause } else { pause / 10 }).await;
    // The power may go before the process is back, while the page cache is all there is.
    if random.chance(0.2) && scene.may_lose_anytime() {
        broker.cut_power();
    }
    broker.supervise();
    Ok(())
}
