//! The power goes, and comes back some time later: what was not synced may be lost, kept or torn.

use super::{Fault, How, Scene, short};
use crate::random::Random;

/// What most worlds are about: hence the weight.
pub(super) const FAULT: Fault = Fault {
    name: "power_cut",
    share: 0.9,
    how: How::Blow { weight: 3, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["power loss"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let mut victims = vec![scene.one(random)];
    if scene.is_cluster() && scene.may_lose_anytime() && random.chance(0.3) {
        // One feed for several machines, or for all of them.
        let first = victims[0].machine();
        let others = scene.brokers.iter().filter(|other| other.machine() != first);
        let chance = random.unit();
        victims.extend(others.filter(|_| random.chance(chance)));
    }
    victims.iter().for_each(|broker| broker.cut_power());
    victims.iter().for_each(|broker| scene.keep_down(broker));
    let duration = short(random);
    for broker in victims {
        scene.away(broker, duration).await;
        broker.supervise();
    }
    Ok(())
}
