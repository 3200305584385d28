//! Ways are cut, in one direction or in both: between a client and a broker, between two brokers, or around some brokers.

use super::{Fault, How, Scene, short};
use crate::machine::MachineId;
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "link_cut",
    share: 0.5,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["link cut", "brokers apart"],
};

/// Cuts from one machine to another.
type Cuts = Vec<(MachineId, MachineId)>;

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let cuts = if scene.is_cluster() && random.chance(0.75) {
        scene.count("brokers apart");
        between_brokers(scene, random)
    } else if scene.clients.is_empty() {
        return Ok(());
    } else {
        scene.count("link cut");
        let (broker, client) = (scene.one(random).machine(), scene.client(random));
        between(&[client], &[broker], random)
    };
    let network = scene.world.network();
    for (from, to) in &cuts {
        network.cut(*from, *to);
    }
    let waited = scene.wait(short(random)).await;
    for (from, to) in &cuts {
        network.heal(*from, *to);
    }
    waited
}

/// One link, one broker, or some of them; and mostly not for their clients.
fn between_brokers(scene: &Scene, random: &mut Random) -> Cuts {
    let one = scene.one(random).machine();
    let (here, mut there): (Vec<_>, Vec<_>) = match random.below(3) {
        0 => {
            let others: Vec<_> = scene.machines().into_iter().filter(|it| *it != one).collect();
            (vec![one], vec![*random.pick(&others)])
        }
        1 => scene.machines().into_iter().partition(|it| *it == one),
        _ => scene.machines().into_iter().partition(|_| random.chance(0.5)),
    };
    if random.chance(0.2) {
        there.extend(&scene.clients);
    }
    between(&here, &there, random)
}

fn between(here: &[MachineId], there: &[MachineId], random: &mut Random) -> Cuts {
    let pairs = here.iter().flat_map(|one| there.iter().map(move |other| (*one, *other)));
    let which = random.below(3);
    let mut cuts: Cuts = pairs
        .flat_map(|(one, other)| {
            [(which != 1).then_some((one, other)), (which != 0).then_some((other, one))]
        })
        .flatten()
        .collect();
    cuts.sort_unstable();
    cuts
}
