//! The simulated implementation of the door, judged by the contract that the production one is judged by too.

use std::path::Path;

use ottla::environment::contract::{FileStep, replay};
use ottla::environment::{Disk, Runtime, contract};
use sim::{Settings, simulate};

/// In a healthy world; under several seeds, since each draws other latencies, short reads and orders.
#[test]
fn simulation_keeps_the_contract() {
    for seed in 1..=20 {
        let outcome = simulate(Settings::new(seed), |world| async move {
            let machine = world.add_machine("a");
            let judged = world.run(machine, |runtime| async move {
                let directory = Path::new("/contract");
                runtime.disk().create_directory(directory).await.expect("made");
                contract::all(&runtime, directory).await;
            });
            judged.await.expect("nobody kills it");
            world.sleep(std::time::Duration::from_secs(300)).await;
            assert_eq!(world.network().endpoint_count(), 0, "connections that nobody has are kept");
        });
        outcome.result.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}

#[test]
fn simulated_file_is_a_row_of_bytes() {
    for seed in 1..=60 {
        let outcome = simulate(Settings::new(seed), |world| async move {
            let mut random = world.random("steps");
            let steps: Vec<_> = (0..40)
                .map(|_| {
                    let (position, length) = (random.below(10_000), random.below(3_000));
                    let position = u16::try_from(position).expect("small");
                    let length = u16::try_from(length).expect("small");
                    match random.below(11) {
                        0..4 => {
                            let bytes =
                                (0..length).map(|_| random.bits().to_le_bytes()[0]).collect();
                            FileStep::Write { position, bytes }
                        }
                        4..6 => FileStep::SetLength(position),
                        6..9 => FileStep::Read { position, length },
                        9 => FileStep::Sync,
                        _ => FileStep::Rename,
                    }
                })
                .collect();
            let disk = world.disk(world.add_machine("a"));
            replay(&disk, Path::new("/"), &steps).await;
        });
        outcome.result.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}
