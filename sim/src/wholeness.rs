//! Whether a cluster is as whole as it can be: everybody registered, every partition led, every living replica in sync.

use std::collections::BTreeSet;

use ottla::metadata::{MetadataImage, PartitionRegistration};
use ottla::model::{NodeId, TopicPartition};

use crate::broker::{SimBroker, View};
use crate::machine::MachineId;

/// What is not whole yet; none when all is. Brokers that are `dead` must have been noticed to be. Past damage a follower cannot
/// read, so of a `rotten` partition only a leader is expected.
#[must_use]
pub(crate) fn flaw(
    brokers: &[SimBroker],
    dead: &BTreeSet<MachineId>,
    rotten: &BTreeSet<TopicPartition>,
) -> Option<String> {
    let mut views: Vec<(NodeId, View)> = Vec::new();
    for (id, broker) in (1..).zip(brokers) {
        if dead.contains(&broker.machine()) {
            continue;
        }
        let Some(view) = broker.view() else { return Some(format!("node {id} does not serve")) };
        views.push((NodeId(id), view));
    }
    let (_, newest) = views.iter().max_by_key(|(_, view)| view.image.provenance().last)?;
    let image = &newest.image;
    let living: BTreeSet<NodeId> = views.iter().map(|(id, _)| *id).collect();
    views
        .iter()
        .find_map(|(id, view)| flaw_of_broker(*id, view, image))
        .or_else(|| flaw_of_partitions(image, &living, rotten))
}

fn flaw_of_broker(id: NodeId, view: &View, image: &MetadataImage) -> Option<String> {
    let Some(registration) = image.cluster().broker(id) else {
        return Some(format!("{id} is not registered"));
    };
    if Some(registration.epoch) != view.replicas.broker_epoch() {
        return Some(format!("{id} is registered as it was before"));
    }
    if registration.is_fenced {
        return Some(format!("{id} is fenced"));
    }
    let is_behind = view.image.provenance().last < image.provenance().last;
    (is_behind && !view.image.says_the_same_as(image)).then(|| format!("{id} has an older image"))
}

fn flaw_of_partitions(
    image: &MetadataImage,
    living: &BTreeSet<NodeId>,
    rotten: &BTreeSet<TopicPartition>,
) -> Option<String> {
    image.topics().iter().find_map(|topic| {
        topic.partitions.iter().find_map(|(index, partition)| {
            let name = TopicPartition::new(topic.name.as_str(), index.0);
            let flaw = flaw_of_partition(partition, living, rotten.contains(&name))?;
            Some(format!("{}-{index}: {flaw}", topic.name))
        })
    })
}

fn flaw_of_partition(
    partition: &PartitionRegistration,
    living: &BTreeSet<NodeId>,
    is_rotten: bool,
) -> Option<String> {
    let expected: BTreeSet<NodeId> =
        partition.replicas.iter().copied().filter(|id| living.contains(id)).collect();
    let in_sync: BTreeSet<NodeId> = partition.isr.iter().copied().collect();
    if partition.leader.is_none_or(|leader| !living.contains(&leader)) {
        return Some(format!("its leader is {:?}", partition.leader));
    }
    (in_sync != expected && !is_rotten)
        .then(|| format!("{in_sync:?} are in sync, not {expected:?}"))
}
