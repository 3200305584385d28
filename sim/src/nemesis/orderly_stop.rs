//! The broker is asked to stop, does so in good order, and is started again.

use super::{Fault, How, Scene, short};
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "orderly_stop",
    share: 0.5,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["orderly stop"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let broker = scene.one(random);
    broker.ask_to_stop();
    scene.away(broker, short(random)).await;
    Ok(())
}
