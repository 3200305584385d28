//! `logs-differ`: of two disks, both with something below a high watermark at one offset of a partition, each has another batch there.
//!
//! Batches are compared as they stand in the page cache, with leader epochs, producers and checksums. The metadata log is one more
//! partition here. Partitions with rotten bits are left out, and so is what lies before a log's start: nobody can read it, and a
//! follower that fetches from the start on never looks whether it is the leader's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ottla::model::{NodeId, TopicPartition};

use super::{Breach, Key, Look, Of};
use crate::broker::DATA_DIRECTORY;
use crate::disk::SimDisk;
use crate::events::Digest;
use crate::history::Verdict;

/// What was read so far.
#[derive(Default)]
pub(super) struct Logs {
    /// Batches by their first offset: the digest, and who had it first.
    known: Of<BTreeMap<i64, (u64, NodeId)>>,
    cursors: BTreeMap<(NodeId, Key), Cursor>,
}

/// How far one replica has been read.
#[derive(Default)]
struct Cursor {
    /// In which life of its broker: a later one may have lost something.
    life: usize,
    /// The next offset.
    next: i64,
    /// The first offset in the name of the segment, and where to go on in it.
    place: Option<(i64, u64)>,
}

/// One replica to be read.
struct Reading<'a> {
    id: NodeId,
    life: usize,
    disk: &'a SimDisk,
    directory: PathBuf,
    key: Key,
    start: i64,
    committed: i64,
}

impl Logs {
    pub(super) fn check(
        &mut self,
        look: &Look<'_>,
        rotten: &BTreeSet<TopicPartition>,
    ) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for process in &look.processes {
            let disk = look.world.disk(process.machine);
            let reading = |name: &str, key: Key, (start, committed): (i64, i64)| Reading {
                id: process.id,
                life: process.life,
                disk: &disk,
                directory: Path::new(DATA_DIRECTORY).join(name),
                key,
                start,
                committed,
            };
            for replica in &process.replicas {
                if rotten.contains(&replica.partition) {
                    continue;
                }
                let name = replica.partition.to_string();
                let reading =
                    reading(&name, replica.key, (replica.log_start, replica.high_watermark));
                if let Some(what) = self.read(&reading) {
                    let what = format!("{name}: {what}");
                    breaches.push(replica.breach(Verdict::LogsDiffer, what));
                }
            }
            let committed = process.view.quorum.high_watermark().value();
            let reading = reading(METADATA, (ottla::model::TopicId::ZERO, 0), (0, committed));
            if let Some(what) = self.read(&reading) {
                let what = format!("{METADATA}: {what}");
                breaches.push(Breach { verdict: Verdict::LogsDiffer, partition: None, what });
            }
        }
        breaches
    }

    /// Reads on in one replica, and says where it is not like another.
    fn read(&mut self, reading: &Reading<'_>) -> Option<String> {
        let Self { known, cursors } = self;
        let cursor = cursors.entry((reading.id, reading.key)).or_default();
        if cursor.life != reading.life {
            *cursor = Cursor { life: reading.life, ..Cursor::default() };
        }
        cursor.next = cursor.next.max(reading.start);
        let known = known.entry(reading.key).or_default();
        while cursor.next < reading.committed {
            let (base, batch) = cursor.next_batch(reading)?;
            let digest = Digest::of(&batch);
            let (expected, other) = *known.entry(base).or_insert((digest, reading.id));
            if expected != digest {
                let (id, committed) = (reading.id, reading.committed);
                return Some(format!("{id} and {other} differ at {base}, before {committed}"));
            }
        }
        None
    }
}

impl Cursor {
    /// The next batch below the high watermark and its first offset; none where it cannot be had just now.
    fn next_batch(&mut self, reading: &Reading<'_>) -> Option<(i64, Vec<u8>)> {
        loop {
            let (segment, position) = match self.place {
                Some(place) => place,
                None => (segment_for(reading, self.next)?, 0),
            };
            let path = reading.directory.join(format!("{segment:020}.log"));
            let Some(head) = reading.disk.peek(&path, position, HEAD_BYTES) else {
                // It was deleted: the log begins later by now.
                self.place.take()?;
                continue;
            };
            let Some((base, length, last)) = head_of(&head) else {
                // The end of this segment; the next one begins at the next offset.
                let later = segment_for(reading, self.next)?;
                if later == segment {
                    return None;
                }
                self.place = Some((later, 0));
                continue;
            };
            if last >= reading.committed {
                return None;
            }
            let batch = reading.disk.peek(&path, position, length)?;
            if batch.len() < length {
                return None;
            }
            self.place = Some((segment, position + length as u64));
            let is_new = last >= self.next;
            self.next = self.next.max(last + 1);
            if is_new {
                return Some((base, batch));
            }
        }
    }
}

/// The last segment that begins at `offset` or before, or the first one there is.
fn segment_for(reading: &Reading<'_>, offset: i64) -> Option<i64> {
    let names = reading.disk.peek_names(&reading.directory)?;
    let segments = names.iter().filter_map(|name| name.strip_suffix(".log")?.parse::<i64>().ok());
    let segments: BTreeSet<i64> = segments.collect();
    segments.range(..=offset).next_back().or_else(|| segments.first()).copied()
}

/// First offset, length and last offset of a batch, if all of it can be there.
fn head_of(head: &[u8]) -> Option<(i64, usize, i64)> {
    let base = i64::from_be_bytes(*head.first_chunk()?);
    let length = i32::from_be_bytes(*head.get(8..12)?.first_chunk()?);
    let last = i32::from_be_bytes(*head.get(23..27)?.first_chunk()?);
    let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
    Some((base, length + 12, base + i64::from(last)))
}

const METADATA: &str = "__cluster_metadata-0";

/// As much of a batch as says how long it is and how many records it has.
const HEAD_BYTES: usize = 27;
