//! Random lives of clusters: whatever is asked in whatever order, what was appended loads to what the controller works
//! with (the world checks that after every append, through the bytes of the log and of a snapshot), and partitions are
//! sound.

use std::collections::BTreeMap;

use super::scenarios::World;
use crate::metadata::{MetadataImage, PartitionRegistration};
use crate::model::{PartitionIndex, TopicId};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let place = self.roll(choices.len() as u64);
        choices[usize::try_from(place).expect("a small number")]
    }
}

/// One command of a script, drawn.
fn command(dice: &mut Dice) -> String {
    let broker = 1 + dice.roll(4);
    let topic = ["a", "b", "c", "d.e", "d_e"][usize::try_from(dice.roll(5)).expect("small")];
    match dice.roll(24) {
        0 | 1 => {
            let rack = dice.pick(&["", " rack=x", " rack=y"]);
            format!(
                "register {broker} incarnation={}{rack} directories={}",
                dice.roll(3),
                1 + dice.roll(2)
            )
        }
        2..=7 => {
            let wish = dice.pick(&["", "", "", "", " fence", " shutdown", " at=3"]);
            let offline = dice.pick(&["", "", "", " offline=1001", " offline=2000"]);
            format!("heartbeat {broker}{wish}{offline}")
        }
        8 => format!("unregister {broker}"),
        9 | 10 => {
            let config = dice.pick(&[
                "",
                " unclean.leader.election.enable=true",
                " retention.ms=9",
                " x.y=1",
            ]);
            format!("create {topic} partitions={} replicas={}{config}", dice.roll(5), dice.roll(4))
        }
        11 => format!(
            "create {topic} assign={}",
            dice.pick(&["1,2", "2,3/3,4", "4", "1,2,3,4", "3,3"])
        ),
        12 => format!("grow {topic} to={}", dice.roll(7)),
        13 => format!("delete {}{topic}", dice.pick(&["", "#"])),
        14 | 15 => {
            let isr = dice.pick(&["1", "1,2", "2,1", "3", "2,3", "1,2,3,4", "4,3"]);
            format!("isr {topic} {} to={isr}{}", dice.roll(3), dice.pick(&["", "", " recovering"]))
        }
        16 => format!(
            "alter topic {topic} {}",
            dice.pick(&["retention.ms=7", "!retention.ms", "+cleanup.policy=compact"])
        ),
        17 => format!("producer-ids {broker}"),
        19 | 20 => {
            let to = dice.pick(&["to=1,2", "to=4,3", "to=2", "to=3,1,4", "cancel"]);
            format!("reassign {topic} {} {to}{}", dice.roll(3), dice.pick(&["", " same-factor"]))
        }
        21 => match dice.pick(&["preferred", "unclean", "one"]) {
            "one" => format!("elect unclean {topic} {}", dice.roll(3)),
            all => format!("elect {all}"),
        },
        22 => format!("assign {broker} {topic} {} to={broker}00{}", dice.roll(3), dice.roll(2)),
        18 => format!("advance {}", dice.pick(&["100", "3000", "9500"])),
        _ => dice.pick(&["commit", "commit", "resign-and-lead"]).to_owned(),
    }
}

fn assert_sound(image: &MetadataImage, context: &str) {
    for topic in image.topics().iter() {
        let indexes = (0..).map(PartitionIndex);
        assert!(
            topic.partitions.keys().copied().eq(indexes.take(topic.partitions.len())),
            "{context}"
        );
        for (index, partition) in topic.partitions.iter() {
            let what = format!("{}-{index} {partition:?} after {context}", topic.name);
            let mut replicas = partition.replicas.clone();
            replicas.sort_unstable();
            replicas.dedup();
            assert_eq!(replicas.len(), partition.replicas.len(), "replicas are distinct: {what}");
            assert_eq!(partition.directories.len(), replicas.len(), "one directory each: {what}");
            assert!(!partition.isr.is_empty(), "somebody has everything: {what}");
            assert!(
                partition.isr.iter().all(|id| replicas.contains(id)),
                "ISR of replicas: {what}"
            );
            let cluster = image.cluster();
            let can_lead = |id| {
                cluster.broker(id).is_some_and(|broker| {
                    let directory = partition.directory(id);
                    broker.is_active()
                        && directory.is_some_and(|id| broker.has_online_directory(id))
                })
            };
            match partition.leader {
                Some(leader) => {
                    assert!(partition.isr.contains(&leader), "the leader is in sync: {what}");
                    assert!(cluster.is_active(leader), "the leader is active: {what}");
                    let is_active = |id: &crate::model::NodeId| cluster.is_active(*id);
                    assert!(
                        partition.isr.iter().all(is_active),
                        "who is out is not in sync: {what}"
                    );
                }
                None => {
                    assert!(!partition.isr.iter().any(|id| can_lead(*id)), "nobody could: {what}");
                }
            }
        }
    }
}

type Epochs = BTreeMap<(TopicId, PartitionIndex), (i32, i32)>;

/// The epochs of every partition, none of which may ever go back while the log does not.
fn epochs(image: &MetadataImage) -> Epochs {
    let pair = |partition: &PartitionRegistration| {
        (partition.leader_epoch.value(), partition.partition_epoch.0)
    };
    let topics = image.topics().iter();
    topics
        .flat_map(|topic| {
            topic.partitions.iter().map(|(index, partition)| ((topic.id, *index), pair(partition)))
        })
        .collect()
}

fn live(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = World::new();
    let mut before = Epochs::new();
    let mut history = format!("seed {seed}:");
    let mut epoch = 1;
    for _ in 0..120 {
        let command = command(&mut dice);
        history = format!("{history}\n{command}");
        if command == "resign-and-lead" {
            epoch += 1;
            world.run("resign");
            world.run(&format!("lead {epoch}"));
            before = epochs(world.image());
        } else {
            world.run(&command);
        }
        assert_sound(world.image(), &history);
        let now = epochs(world.image());
        for (key, old) in &before {
            if let Some(new) = now.get(key) {
                assert!(new.0 >= old.0 && new.1 >= old.1, "epochs go back after {history}");
            }
        }
        before = now;
    }
    assert!(world.output().len() > 500, "something happened under seed {seed}");
}

#[test]
fn random_lives_of_clusters_load_as_they_were_lived() {
    (0..60).for_each(live);
}
