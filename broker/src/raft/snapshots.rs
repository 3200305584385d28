use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::future;

use super::batches;
use super::error::Error;
use super::voters::VoterSet;
use crate::environment::{Disk, EntryKind, File, FileExt, OpenMode};
use crate::model::{LeaderEpoch, Offset, OffsetAndEpoch, Timestamp};
use crate::record::{Batch, ControlRecord, split_all};

/// The directory of the metadata log in its log directory.
pub const METADATA_LOG: &str = "__cluster_metadata-0";

const SUFFIX: &str = ".checkpoint";
const PART_SUFFIX: &str = ".checkpoint.part";
const DELETED_SUFFIX: &str = ".checkpoint.deleted";

/// More than this is not read: no cluster's metadata comes near.
const SNAPSHOT_BYTES_MAX: u64 = 4 << 30;

/// How much is gathered before it is written.
const WRITE_BYTES: usize = 1 << 20;

/// A snapshot: what the log says up to an offset, said shorter. Source: KIP-630.
///
/// Its file is named by end offset (exclusive) and epoch; first comes a control batch with header, `kraft.version` and
/// voters, then the records, last a control batch with the footer, which proves that it is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Where the log goes on, and the epoch of the last record it stands for.
    pub id: OffsetAndEpoch,
    /// The time of the last batch it stands for.
    pub last_contained_log_timestamp: Timestamp,
    /// The `kraft.version`; 0 when it does not say.
    pub kraft_version: i16,
    /// The voters, in a dynamic quorum.
    pub voters: Option<VoterSet>,
    /// The values of its records.
    pub records: Vec<Bytes>,
}

/// The name of a snapshot's file.
#[must_use]
pub fn snapshot_file_name(id: OffsetAndEpoch) -> String {
    format!("{:020}-{:010}{SUFFIX}", id.offset.value(), id.epoch.value())
}

/// The name of a snapshot's file while it is fetched or written.
pub(super) fn part_file_name(id: OffsetAndEpoch) -> String {
    format!("{}.part", snapshot_file_name(id))
}

/// What a file name says, if it is that of a snapshot.
fn id_of(name: &str, suffix: &str) -> Option<OffsetAndEpoch> {
    let (offset, epoch) = name.strip_suffix(suffix)?.split_once('-')?;
    let is_number =
        |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(offset, 20) || !is_number(epoch, 10) {
        return None;
    }
    Some(OffsetAndEpoch {
        offset: Offset::from_wire(offset.parse().ok()?)?,
        epoch: LeaderEpoch::from_wire(epoch.parse().ok()?)?,
    })
}

impl Snapshot {
    /// Writes it into `directory`; durable, and there only when whole, when this returns.
    ///
    /// # Errors
    ///
    /// The disk's; [`Error::Record`] when a record is too large for a batch.
    pub async fn write<D: Disk>(
        &self,
        disk: &D,
        directory: &Path,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write_as(disk, directory, &snapshot_file_name(self.id), now).await
    }

    async fn write_as<D: Disk>(
        &self,
        disk: &D,
        directory: &Path,
        name: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let part = directory.join(format!("{name}.part"));
        let file = disk.open(&part, OpenMode::Create).await?;
        file.set_length(0).await?;
        let mut writer =
            Writer { file, position: 0, buffer: Vec::new(), next: Offset::ZERO, id: self.id };
        let last_contained_log_timestamp = self.last_contained_log_timestamp;
        let mut head = vec![ControlRecord::SnapshotHeader { last_contained_log_timestamp }];
        if let Some(voters) = &self.voters
            && self.kraft_version > 0
        {
            head.push(ControlRecord::KRaftVersion(self.kraft_version));
            head.push(ControlRecord::KRaftVoters(batches::to_record(voters)));
        }
        writer.add(batches::control(writer.place(), now, &head)?, head.len()).await?;
        for run in batches::runs(&self.records) {
            writer.add(batches::data(writer.place(), now, run)?, run.len()).await?;
        }
        let foot = [ControlRecord::SnapshotFooter];
        writer.add(batches::control(writer.place(), now, &foot)?, foot.len()).await?;
        writer.write_out().await?;
        writer.file.sync_data().await?;
        disk.rename(&part, &directory.join(name)).await?;
        disk.sync_directory(directory).await?;
        Ok(())
    }

    /// Reads the snapshot `id` in `directory`.
    ///
    /// # Errors
    ///
    /// The disk's; [`Error::Snapshot`] when it is damaged or not whole.
    pub async fn read<D: Disk>(
        disk: &D,
        directory: &Path,
        id: OffsetAndEpoch,
    ) -> Result<Self, Error> {
        Self::read_file(disk, &directory.join(snapshot_file_name(id)), id).await
    }

    /// Gives a fetched snapshot its name; durable when this returns.
    ///
    /// # Errors
    ///
    /// The disk's; [`Error::Snapshot`] when what was fetched is damaged, and then it is nowhere.
    pub(super) async fn adopt<D: Disk>(
        disk: &D,
        directory: &Path,
        id: OffsetAndEpoch,
    ) -> Result<Self, Error> {
        let part = directory.join(part_file_name(id));
        let snapshot = Self::read_file(disk, &part, id).await?;
        disk.open(&part, OpenMode::ReadWrite).await?.sync_data().await?;
        disk.rename(&part, &directory.join(snapshot_file_name(id))).await?;
        disk.sync_directory(directory).await?;
        Ok(snapshot)
    }

    async fn read_file<D: Disk>(disk: &D, path: &Path, id: OffsetAndEpoch) -> Result<Self, Error> {
        let file = disk.open(path, OpenMode::Read).await?;
        let bytes = Bytes::from(file.read_all(SNAPSHOT_BYTES_MAX).await?);
        Self::decode(bytes, id)
            .map_err(|what| Error::Snapshot { path: path.to_path_buf(), what: what.to_string() })
    }

    fn decode(mut bytes: Bytes, id: OffsetAndEpoch) -> Result<Self, Damage> {
        let mut snapshot = Self {
            id,
            last_contained_log_timestamp: Timestamp(0),
            kraft_version: 0,
            voters: None,
            records: Vec::new(),
        };
        let (mut has_header, mut has_footer) = (false, false);
        for batch in split_all(&mut bytes)? {
            batch.verify_crc()?;
            if has_footer {
                return Err(Damage::AfterFooter);
            }
            if !batch.header().is_control() {
                snapshot.records.extend(batches::values(&batch)?);
            } else {
                (has_header, has_footer) = snapshot.control(&batch, has_header)?;
            }
            if !has_header {
                return Err(Damage::NoHeader);
            }
        }
        if !bytes.is_empty() || !has_footer {
            return Err(Damage::NotWhole);
        }
        Ok(snapshot)
    }

    /// Takes in a control batch; says whether the header and the footer have been seen.
    fn control(&mut self, batch: &Batch, has_header: bool) -> Result<(bool, bool), Damage> {
        let (mut has_header, mut has_footer) = (has_header, false);
        for (_, record) in batches::control_records(batch)? {
            match record {
                ControlRecord::SnapshotHeader { last_contained_log_timestamp } => {
                    self.last_contained_log_timestamp = last_contained_log_timestamp;
                    has_header = true;
                }
                ControlRecord::SnapshotFooter => has_footer = true,
                ControlRecord::KRaftVersion(version) => self.kraft_version = version,
                ControlRecord::KRaftVoters(voters) => {
                    self.voters = Some(batches::from_record(voters));
                }
                ControlRecord::EndTransaction(_)
                | ControlRecord::LeaderChange(_)
                | ControlRecord::Unknown(_) => {}
            }
        }
        Ok((has_header, has_footer))
    }
}

/// What can be wrong with a snapshot's bytes.
#[derive(Debug, thiserror::Error)]
enum Damage {
    #[error("{0}")]
    Record(#[from] crate::record::Error),
    #[error("it does not begin with a header")]
    NoHeader,
    #[error("something follows its footer")]
    AfterFooter,
    #[error("it ends before its footer")]
    NotWhole,
}

struct Writer<F> {
    file: F,
    position: u64,
    buffer: Vec<u8>,
    next: Offset,
    id: OffsetAndEpoch,
}

impl<F: File> Writer<F> {
    /// Offsets in a snapshot count its own records; the epoch is that of its name.
    const fn place(&self) -> OffsetAndEpoch {
        OffsetAndEpoch { offset: self.next, epoch: self.id.epoch }
    }

    async fn add(&mut self, batch: Bytes, record_count: usize) -> io::Result<()> {
        self.next = self.next.plus(i64::try_from(record_count).map_err(io::Error::other)?);
        self.buffer.extend_from_slice(&batch);
        if self.buffer.len() >= WRITE_BYTES { self.write_out().await } else { Ok(()) }
    }

    async fn write_out(&mut self) -> io::Result<()> {
        self.file.write_all_at(&[IoSlice::new(&self.buffer)], self.position).await?;
        self.position += u64::try_from(self.buffer.len()).map_err(io::Error::other)?;
        self.buffer.clear();
        Ok(())
    }
}

/// The snapshots in `directory`, oldest first.
///
/// # Errors
///
/// The disk's.
pub async fn list_snapshots<D: Disk>(
    disk: &D,
    directory: &Path,
) -> io::Result<Vec<OffsetAndEpoch>> {
    let entries = disk.list(directory).await?;
    let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
    let mut ids: Vec<OffsetAndEpoch> =
        files.filter_map(|entry| id_of(&entry.name, SUFFIX)).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Removes what an earlier life left unfinished: parts of snapshots, and snapshots on their way out.
pub(super) async fn remove_leftovers<D: Disk>(disk: &D, directory: &Path) -> io::Result<()> {
    for entry in disk.list(directory).await? {
        if is_leftover(&entry.name) {
            disk.remove_file(&directory.join(&entry.name)).await?;
        }
    }
    Ok(())
}

fn is_leftover(name: &str) -> bool {
    [PART_SUFFIX, DELETED_SUFFIX].iter().any(|suffix| id_of(name, suffix).is_some())
}

/// Removes the snapshots before `first`.
pub(super) async fn remove_before<D: Disk>(
    disk: &D,
    directory: &Path,
    first: OffsetAndEpoch,
) -> io::Result<()> {
    for id in list_snapshots(disk, directory).await? {
        if id < first {
            disk.remove_file(&directory.join(snapshot_file_name(id))).await?;
        }
    }
    disk.sync_directory(directory).await
}

/// The newest snapshot that can be read. A damaged one is passed over: the log may still reach back to the one before.
pub(super) async fn read_newest<D: Disk>(
    disk: &D,
    directory: &Path,
) -> Result<Option<Snapshot>, Error> {
    for id in list_snapshots(disk, directory).await?.into_iter().rev() {
        match Snapshot::read(disk, directory, id).await {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(error @ Error::Snapshot { .. }) => {
                tracing::error!(%error, "a damaged metadata snapshot is passed over");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// True when `log_directory` holds a metadata log, or the snapshot that one begins with. A snapshot that was not finished is
/// none: whoever was formatting had lost power.
///
/// # Errors
///
/// The disk's.
pub async fn is_formatted<D: Disk>(disk: &D, log_directory: &Path) -> io::Result<bool> {
    match disk.list(&log_directory.join(METADATA_LOG)).await {
        Ok(entries) => Ok(!entries.iter().all(|entry| is_leftover(&entry.name))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Formats `log_directory` for a quorum that begins with these voters (`kafka-storage format --standalone`): the bootstrap
/// records and the voters stand in a snapshot with end offset 0.
///
/// # Errors
///
/// The disk's; `AlreadyExists` when there is a metadata log.
pub async fn format<D: Disk>(
    disk: &D,
    log_directory: &Path,
    voters: VoterSet,
    records: Vec<Bytes>,
    now: Timestamp,
) -> Result<(), Error> {
    if is_formatted(disk, log_directory).await? {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
    }
    let directory = log_directory.join(METADATA_LOG);
    disk.create_directory(&directory).await?;
    let snapshot = Snapshot {
        id: OffsetAndEpoch::default(),
        last_contained_log_timestamp: now,
        kraft_version: 1,
        voters: Some(voters),
        records,
    };
    let written = snapshot.write(disk, &directory, now);
    let (written, synced) = future::join(written, disk.sync_directory(log_directory)).await;
    synced?;
    written
}

/// The file that says what a cluster begins with.
const BOOTSTRAP_CHECKPOINT: &str = "bootstrap.checkpoint";

/// Writes what a cluster begins with into `bootstrap.checkpoint` in `log_directory`, as `kafka-storage format` did. Without
/// records there is none afterwards.
///
/// # Errors
///
/// The disk's.
pub async fn write_bootstrap<D: Disk>(
    disk: &D,
    log_directory: &Path,
    records: Vec<Bytes>,
    now: Timestamp,
) -> Result<(), Error> {
    if records.is_empty() {
        return match disk.remove_file(&log_directory.join(BOOTSTRAP_CHECKPOINT)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        };
    }
    let snapshot = Snapshot {
        id: OffsetAndEpoch::default(),
        last_contained_log_timestamp: now,
        kraft_version: 0,
        voters: None,
        records,
    };
    snapshot.write_as(disk, log_directory, BOOTSTRAP_CHECKPOINT, now).await
}

/// The records of `bootstrap.checkpoint` in `log_directory`, where older Kafkas leave what a cluster begins with.
///
/// # Errors
///
/// The disk's; [`Error::Snapshot`] when the file is damaged.
pub async fn read_bootstrap<D: Disk>(
    disk: &D,
    log_directory: &Path,
) -> Result<Option<Vec<Bytes>>, Error> {
    let path: PathBuf = log_directory.join(BOOTSTRAP_CHECKPOINT);
    match Snapshot::read_file(disk, &path, OffsetAndEpoch::default()).await {
        Ok(snapshot) => Ok(Some(snapshot.records)),
        Err(Error::Disk(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
