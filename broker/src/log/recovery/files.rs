//! Which files a start finds, after what an interrupted cleaner or deletion left is sorted out.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::super::file_names::{self, CLEANED, DELETED, LOG, OF_SEGMENT, SWAP};
use crate::environment::{Disk, EntryKind};
use crate::model::Offset;

/// The segments of a directory: base offsets, kinds of files, lengths.
pub(super) struct Inventory {
    directory: PathBuf,
    segments: BTreeMap<Offset, BTreeMap<&'static str, u64>>,
}

impl Inventory {
    /// Base offsets of all `.log` files, in order.
    pub(super) fn bases(&self) -> impl DoubleEndedIterator<Item = Offset> {
        self.segments.keys().copied()
    }

    /// Length of a file of the segment at `base`.
    pub(super) fn length(&self, base: Offset, suffix: &str) -> Option<u64> {
        self.segments.get(&base)?.get(suffix).copied()
    }

    /// Removes all files of a segment.
    pub(super) async fn remove<D: Disk>(&mut self, disk: &D, base: Offset) -> io::Result<()> {
        for suffix in OF_SEGMENT {
            remove(disk, &self.directory.join(file_names::at(base, suffix))).await?;
        }
        self.segments.remove(&base);
        Ok(())
    }
}

/// Sorts out names that end in `.deleted`, `.cleaned` and `.swap`, drops indexes without a log, and lists the rest.
///
/// A cleaner writes `.cleaned` files, renames all of them to `.swap`, the old ones to `.deleted`, and then strips `.swap`.
/// So while there are `.cleaned` files their replacement was not complete and everything of it goes; without them, `.swap`
/// files are complete and replace the segments that they cover.
pub(super) async fn take<D: Disk>(disk: &D, directory: &Path) -> io::Result<Inventory> {
    let names = names(disk, directory).await?;
    let mut smallest_cleaned: Option<Offset> = None;
    for name in names.keys() {
        if let Some(base) = base_with(name, CLEANED) {
            smallest_cleaned = Some(smallest_cleaned.map_or(base, |smallest| smallest.min(base)));
        }
        let is_snapshot_of_raft = name.ends_with(".checkpoint.deleted");
        if (name.ends_with(DELETED) && !is_snapshot_of_raft) || name.ends_with(CLEANED) {
            remove(disk, &directory.join(name)).await?;
        }
    }
    for name in names.keys().filter(|name| name.ends_with(SWAP)) {
        let is_unfinished = base_with(name, SWAP)
            .is_none_or(|base| smallest_cleaned.is_some_and(|smallest| base >= smallest));
        if is_unfinished {
            remove(disk, &directory.join(name)).await?;
        }
    }
    finish_swap(disk, directory).await?;
    let mut segments: BTreeMap<Offset, BTreeMap<&'static str, u64>> = BTreeMap::new();
    for (name, length) in self::names(disk, directory).await? {
        for suffix in OF_SEGMENT {
            if let Some(base) = file_names::offset_of(&name, suffix) {
                segments.entry(base).or_default().insert(suffix, length);
            }
        }
    }
    let mut inventory = Inventory { directory: directory.to_owned(), segments };
    let orphans: Vec<Offset> = inventory
        .segments
        .iter()
        .filter(|(_, files)| !files.contains_key(LOG))
        .map(|(base, _)| *base)
        .collect();
    for base in orphans {
        inventory.remove(disk, base).await?;
    }
    Ok(inventory)
}

/// Completes a replacement: segments that `.swap` files cover go, the `.swap` files take their place.
async fn finish_swap<D: Disk>(disk: &D, directory: &Path) -> io::Result<()> {
    let names = names(disk, directory).await?;
    let swapped: Vec<Offset> =
        names.keys().filter_map(|name| offset_of_kind(name, LOG, SWAP)).collect();
    let (Some(first), Some(last)) = (swapped.first(), swapped.last()) else {
        // Indexes without their log are of no use.
        for name in names.keys().filter(|name| name.ends_with(SWAP)) {
            remove(disk, &directory.join(name)).await?;
        }
        return Ok(());
    };
    let end = end_of(disk, &directory.join(file_names::at(*last, LOG) + SWAP), *last).await?;
    for name in names.keys() {
        for suffix in OF_SEGMENT {
            if file_names::offset_of(name, suffix).is_some_and(|base| base >= *first && base < end)
            {
                remove(disk, &directory.join(name)).await?;
            }
        }
    }
    for name in names.keys() {
        if let Some(name_after) = name.strip_suffix(SWAP) {
            disk.rename(&directory.join(name), &directory.join(name_after)).await?;
        }
    }
    disk.sync_directory(directory).await
}

/// The offset after the last whole batch of a file; at least one above its base, so that it replaces its namesake.
async fn end_of<D: Disk>(disk: &D, path: &Path, base: Offset) -> io::Result<Offset> {
    use super::super::scan::{Found, Scanner};
    use crate::environment::{File, OpenMode};
    let file = disk.open(path, OpenMode::Read).await?;
    let mut scanner = Scanner::new(&file, 0, file.length().await?);
    let mut end = base.plus(1);
    while let Found::Batch(header) = scanner.next().await? {
        end = end.max(header.next_offset());
    }
    Ok(end)
}

/// The base offset in a name such as `00000000000000000042.index.swap`.
fn base_with(name: &str, kind: &str) -> Option<Offset> {
    OF_SEGMENT.iter().find_map(|suffix| offset_of_kind(name, suffix, kind))
}

fn offset_of_kind(name: &str, suffix: &str, kind: &str) -> Option<Offset> {
    file_names::offset_of(name.strip_suffix(kind)?, suffix)
}

/// Files by name, with their lengths.
async fn names<D: Disk>(disk: &D, directory: &Path) -> io::Result<BTreeMap<String, u64>> {
    let entries = disk.list(directory).await?.into_iter();
    let files = entries.filter(|entry| entry.kind == EntryKind::File);
    Ok(files.map(|entry| (entry.name, entry.length)).collect())
}

async fn remove<D: Disk>(disk: &D, path: &Path) -> io::Result<()> {
    match disk.remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
