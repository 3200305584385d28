//! What must be true in a cluster at every moment, whatever goes wrong: one file for each, one line in [`Watch::look`].
//!
//! Clients see a breach of these late or never: two leaders harm nobody until both are written to. So somebody outside looks
//! into all processes that serve, some times in each second, and at what stands on their disks. Looking changes nothing: no
//! message, no file operation, no random number.
//!
//! | file | what is true |
//! | --- | --- |
//! | `one_leader_per_epoch` | a partition has at most one leader in each leader epoch |
//! | `leaders_are_complete` | who leads in the newest epoch has everything that anybody took for committed |
//! | `high_watermarks` | no process takes a high watermark back, none is past the end of its log |
//! | `in_sync_have_it` | every replica that the controller has in the ISR has what its leader takes for committed |
//! | `minimum_in_sync` | nothing is committed while fewer than `min.insync.replicas` are in sync |
//! | `logs_agree` | what is below a high watermark is the same on all disks, byte for byte; of the metadata log too |
//! | `images_agree` | brokers that have heard equally much of the cluster believe the same |
//! | `quorum_elects_one` | the metadata quorum has at most one leader in each epoch, who has all that was committed before it, and its high watermark never goes back |

mod high_watermarks;
mod images_agree;
mod in_sync_have_it;
mod leaders_are_complete;
mod logs_agree;
mod minimum_in_sync;
mod one_leader_per_epoch;
mod quorum_elects_one;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla::model::{LeaderEpoch, NodeId, TopicId, TopicPartition};

use crate::broker::{SimBroker, View};
use crate::history::{Event, History, Verdict};
use crate::machine::MachineId;
use crate::nemesis::Scene;
use crate::world::World;

/// Names a partition also after its topic was deleted and made again.
type Key = (TopicId, i32);

/// Something that is not true.
struct Breach {
    verdict: Verdict,
    partition: Option<TopicPartition>,
    what: String,
}

/// One replica at one moment.
struct Replica {
    key: Key,
    partition: TopicPartition,
    /// The epoch it leads in, if it does.
    leading: Option<LeaderEpoch>,
    /// The leader epoch it knows.
    epoch: LeaderEpoch,
    log_start: i64,
    log_end: i64,
    high_watermark: i64,
    /// How many are in sync, as far as it reckons.
    in_sync: usize,
    /// `min.insync.replicas`.
    minimum: usize,
}

impl Replica {
    /// Something that is not true of its partition.
    fn breach(&self, verdict: Verdict, what: String) -> Breach {
        Breach { verdict, partition: Some(self.partition.clone()), what }
    }
}

/// One process at one moment.
struct Process {
    id: NodeId,
    machine: MachineId,
    /// Which of the lives of this broker.
    life: usize,
    view: View,
    replicas: Vec<Replica>,
}

/// All processes that serve, at one moment.
struct Look<'a> {
    world: &'a World,
    processes: Vec<Process>,
}

impl<'a> Look<'a> {
    fn at(world: &'a World, brokers: &[SimBroker]) -> Self {
        let process = |(id, broker): (i32, &SimBroker)| {
            let view = broker.view()?;
            let replicas = replicas(&view);
            let life = broker.start_count();
            Some(Process { id: NodeId(id), machine: broker.machine(), life, view, replicas })
        };
        let processes = (1..).zip(brokers).filter_map(process).collect();
        Self { world, processes }
    }

    fn replicas(&self) -> impl Iterator<Item = (&Process, &Replica)> {
        self.processes
            .iter()
            .flat_map(|process| process.replicas.iter().map(move |replica| (process, replica)))
    }
}

fn replicas(view: &View) -> Vec<Replica> {
    let partitions = view.replicas.partitions();
    let replicas = partitions.iter().map(|partition| Replica {
        key: (partition.topic_id(), partition.topic_partition().partition.0),
        partition: partition.topic_partition().clone(),
        leading: partition.leading_epoch().ok(),
        epoch: partition.leader_and_epoch().1,
        // In this order: the log only grows while nothing else runs.
        high_watermark: partition.log().high_watermark().value(),
        log_end: partition.log().log_end_offset().value(),
        log_start: partition.log().log_start_offset().value(),
        in_sync: partition.in_sync_replicas().len(),
        minimum: partition.log().settings().min_insync_replicas,
    });
    replicas.collect()
}

/// Looks at a cluster as long as it lives.
#[derive(Default)]
pub struct Watch {
    one_leader_per_epoch: one_leader_per_epoch::Leaders,
    leaders_are_complete: leaders_are_complete::Committed,
    high_watermarks: high_watermarks::Marks,
    minimum_in_sync: minimum_in_sync::TooFew,
    logs_agree: logs_agree::Logs,
    images_agree: images_agree::Images,
    quorum_elects_one: quorum_elects_one::Quorum,
    /// Breaches that have been told.
    told: BTreeSet<(Verdict, Option<TopicPartition>)>,
    looks: u64,
}

impl Watch {
    /// Looks again and again, and writes down what is not true; never ends.
    pub async fn keep_looking(&mut self, scene: &Scene, history: &History) {
        loop {
            scene.world.sleep(EVERY).await;
            self.look(scene, history);
        }
    }

    /// Looks once.
    pub fn look(&mut self, scene: &Scene, history: &History) {
        self.looks += 1;
        let look = Look::at(&scene.world, &scene.brokers);
        let mut breaches = Vec::new();
        breaches.extend(self.one_leader_per_epoch.check(&look));
        breaches.extend(self.leaders_are_complete.check(&look));
        breaches.extend(self.high_watermarks.check(&look));
        breaches.extend(in_sync_have_it::check(&look));
        breaches.extend(self.minimum_in_sync.check(&look));
        breaches.extend(self.images_agree.check(&look));
        breaches.extend(self.quorum_elects_one.check(&look));
        if self.looks.is_multiple_of(LOGS_EVERY) {
            let rotten = scene.damage().rotten.clone();
            breaches.extend(self.logs_agree.check(&look, &rotten));
        }
        for Breach { verdict, partition, what } in breaches {
            let is_rotten =
                partition.as_ref().is_some_and(|one| scene.damage().rotten.contains(one));
            // What is wrong once is wrong again at the next look.
            if !is_rotten && self.told.insert((verdict, partition.clone())) {
                scene.world.note(None, format!("{verdict}: {what}"));
                history.note(Event::Noticed { verdict, partition, what });
            }
        }
        scene.world.events().count("look at all brokers", 1);
    }
}

/// What several of them remember of each partition.
type Of<T> = BTreeMap<Key, T>;

/// Shorter than an election, and than most leaderships.
const EVERY: Duration = Duration::from_millis(50);

/// Logs are read at every so-manieth look.
const LOGS_EVERY: u64 = 8;
