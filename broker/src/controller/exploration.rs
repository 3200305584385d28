//! Random lives of clusters: whatever is asked in whatever order, what was appended loads to what the controller works
//! with (the world checks that after every append, through the bytes of the log and of a snapshot), and partitions are
//! sound.
//!
//! Where replicas may be eligible to lead, more holds: whoever crashes may lose all that it had, and still nobody leads who
//! lacks a committed record, unless the partition says that it must recover.

use std::collections::BTreeMap;
use std::mem;

use super::features::{ELIGIBLE_LEADER_REPLICAS, MIN_INSYNC_REPLICAS};
use super::scenarios::World;
use crate::metadata::{
    ConfigResource, LeaderRecoveryState, MetadataImage, PartitionRegistration, TopicImage,
};
use crate::model::{BrokerEpoch, NodeId, PartitionIndex, TopicId};

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
            let clean = dice.pick(&["", " clean"]);
            format!(
                "register {broker} incarnation={}{rack}{clean} directories={}",
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
                " min.insync.replicas=2",
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
            dice.pick(&[
                "retention.ms=7",
                "!retention.ms",
                "+cleanup.policy=compact",
                "min.insync.replicas=1",
                "min.insync.replicas=2",
                "min.insync.replicas=3",
            ])
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
            let eligible = &partition.eligible_leader_replicas;
            if image.features().level(ELIGIBLE_LEADER_REPLICAS) == 0 {
                assert!(!partition.isr.is_empty(), "somebody has everything: {what}");
                assert!(eligible.is_empty(), "nobody is eligible besides: {what}");
            }
            let is_apart = |id| replicas.contains(id) && !partition.isr.contains(id);
            assert!(eligible.iter().all(is_apart), "who is eligible is not in sync: {what}");
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
                    let is_active = |id: &NodeId| cluster.is_active(*id);
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

/// What is committed, and who has it: by numbers that grow with every commit.
#[derive(Default)]
struct Records {
    partitions: BTreeMap<(TopicId, PartitionIndex), Holders>,
    epochs: BTreeMap<NodeId, BrokerEpoch>,
    commits: usize,
}

#[derive(Default)]
struct Holders {
    committed: u64,
    held: BTreeMap<NodeId, u64>,
    in_sync: Vec<NodeId>,
}

impl Holders {
    fn of(&self, replica: NodeId) -> u64 {
        self.held.get(&replica).copied().unwrap_or(0)
    }

    fn give(&mut self, replicas: &[NodeId]) {
        self.held.extend(replicas.iter().map(|id| (*id, self.committed)));
    }
}

impl Records {
    /// Follows what `command` has done, and commits here and there.
    fn follow(&mut self, dice: &mut Dice, image: &MetadataImage, command: &str, context: &str) {
        self.lose(image, command);
        for topic in image.topics().iter() {
            for (index, partition) in topic.partitions.iter() {
                let holders = self.partitions.entry((topic.id, *index)).or_default();
                let before = mem::replace(&mut holders.in_sync, partition.isr.clone());
                if command.starts_with("isr") {
                    // Who joins has caught up.
                    let joining = partition.isr.iter().filter(|id| !before.contains(id));
                    holders.give(&joining.copied().collect::<Vec<_>>());
                }
                if let Some(leader) = partition.leader
                    && partition.leader_recovery_state == LeaderRecoveryState::Recovering
                {
                    // It says that records may be gone.
                    let left = holders.committed.min(holders.of(leader));
                    holders.committed = left;
                    holders.held.values_mut().for_each(|held| *held = left.min(*held));
                }
                let trusted = partition.isr.iter().chain(&partition.eligible_leader_replicas);
                let lacking = trusted.copied().find(|id| holders.of(*id) < holders.committed);
                let name = &topic.name;
                assert!(lacking.is_none(), "{name}-{index}: {lacking:?} lacks records: {context}");
                let is_enough = partition.isr.len() >= minimum(image, topic, partition);
                if partition.leader.is_some() && is_enough && dice.roll(2) == 0 {
                    holders.committed += 1;
                    self.commits += 1;
                    holders.give(&partition.isr);
                }
            }
        }
    }

    /// A broker that comes anew without having stopped in order has lost everything.
    fn lose(&mut self, image: &MetadataImage, command: &str) {
        for broker in image.cluster().brokers() {
            let before = self.epochs.insert(broker.id, broker.epoch);
            if before != Some(broker.epoch) && !command.contains(" clean ") {
                for holders in self.partitions.values_mut() {
                    holders.held.remove(&broker.id);
                }
            }
        }
    }
}

/// How many in sync are enough for a broker to commit.
fn minimum(image: &MetadataImage, topic: &TopicImage, partition: &PartitionRegistration) -> usize {
    let resource = ConfigResource::topic(topic.name.as_str());
    let set = image.configurations().value(&resource, MIN_INSYNC_REPLICAS);
    set.map_or(1, |text| text.parse().expect("a number")).min(partition.replicas.len())
}

/// Says how many records brokers have committed meanwhile.
fn live(seed: u64) -> usize {
    let mut dice = Dice(seed);
    let has_eligible_leaders = seed % 2 == 1;
    let mut world = World::new();
    if has_eligible_leaders {
        world.run("found eligible.leader.replicas.version=1");
    }
    let mut records = Records::default();
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
        if has_eligible_leaders {
            // Brokers go by what is committed.
            world.run("commit");
            records.follow(&mut dice, world.image(), &command, &history);
        }
        let now = epochs(world.image());
        for (key, old) in &before {
            if let Some(new) = now.get(key) {
                assert!(new.0 >= old.0 && new.1 >= old.1, "epochs go back after {history}");
            }
        }
        before = now;
    }
    assert!(world.output().len() > 500, "something happened under seed {seed}");
    records.commits
}

#[test]
fn random_lives_of_clusters_load_as_they_were_lived() {
    let commits: usize = (0..60).map(live).sum();
    assert!(commits > 500, "only {commits} records were committed");
}
