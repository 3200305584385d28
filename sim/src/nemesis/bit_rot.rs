//! Single bits of segments turn on the device, for good. What was in that batch is lost, and perhaps the rest of that log,
//! but nobody is ever given other bytes than were written.

use std::path::Path;

use ottla::environment::{Disk as _, EntryKind};
use ottla::model::TopicPartition;

use super::{Fault, How, Scene};
use crate::broker::DATA_DIRECTORY;
use crate::random::Random;

pub(super) const FAULT: Fault = Fault {
    name: "bit_rot",
    share: 0.15,
    how: How::Blow { weight: 1, strike: |scene, random| Box::pin(strike(scene, random)) },
    counters: &["bit rotten"],
};

async fn strike(scene: &Scene, random: &mut Random) -> Result<(), String> {
    let disk = scene.world.disk(scene.one(random).machine());
    let data = Path::new(DATA_DIRECTORY);
    let Ok(logs) = disk.list(data).await else { return Ok(()) };
    let logs: Vec<_> = logs.into_iter().filter_map(|entry| partition_of(&entry.name)).collect();
    if logs.is_empty() {
        return Ok(());
    }
    let partition = random.pick(&logs).clone();
    let directory = data.join(format!("{}-{}", partition.topic, partition.partition));
    let Ok(files) = disk.list(&directory).await else { return Ok(()) };
    let is_segment = |name: &str| name.ends_with(".log");
    let segments: Vec<_> = files
        .into_iter()
        .filter(|file| file.kind == EntryKind::File && is_segment(&file.name) && file.length > 0)
        .collect();
    if segments.is_empty() {
        return Ok(());
    }
    let segment = random.pick(&segments);
    let bit = u32::try_from(random.below(8)).unwrap_or(0);
    let position = random.below(segment.length);
    scene.world.note(None, format!("bit {bit} at {position} of {partition:?} {}", segment.name));
    scene.damage().rotten.insert(partition);
    // The file may have gone meanwhile.
    let _ = disk.rot(&directory.join(&segment.name), position, bit);
    Ok(())
}

/// Of a directory with the log of a partition that clients use.
fn partition_of(name: &str) -> Option<TopicPartition> {
    let (topic, index) = name.rsplit_once('-')?;
    let index = index.parse().ok()?;
    (!topic.starts_with("__")).then(|| TopicPartition::new(topic, index))
}
