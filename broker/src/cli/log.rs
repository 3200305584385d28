use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use clap::{Args, Subcommand};

use super::context::{Context, cannot_read};
use super::failure::{FAILED, Failure};
use super::log_records::{Decoder, show_batch, show_record};
use crate::environment::tokio::TokioRuntime;
use crate::environment::{Disk, EntryKind, File as _, FileExt as _, OpenMode, Runtime};
use crate::log::inspect;
use crate::record::{Batch, Error, HEADER_BYTES};

#[derive(Debug, Args)]
pub(super) struct LogArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what log files say: batches, indexes, producers, checkpoints; written by Kafka or by us
    Dump(Dump),
}

#[derive(Debug, Args)]
struct Dump {
    /// A file, the directory of a partition, or a data directory
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Show the records of batches too
    #[arg(short, long)]
    records: bool,
    /// Show records as bytes also where they could be understood (`__cluster_metadata`, `__consumer_offsets`)
    #[arg(long)]
    raw: bool,
    /// End after this many batches of each file
    #[arg(short = 'n', long, value_name = "COUNT")]
    batches: Option<u64>,
}

type ProductionDisk = <TokioRuntime as Runtime>::Disk;

pub(super) async fn run(context: &mut Context, arguments: LogArguments) -> Result<(), Failure> {
    let Verb::Dump(dump) = arguments.verb;
    let disk = *context.runtime.disk();
    let mut failures = Vec::new();
    let mut done = 0;
    for path in &dump.paths {
        for file in files(&disk, path).await? {
            match dump_file(context, &disk, &file, &dump).await? {
                Ok(()) => done += 1,
                Err(failure) => failures.push(failure),
            }
        }
    }
    Failure::of_several(failures, done)
}

/// The files to be shown at a path: itself, those of a partition's directory, those of all partitions' directories.
async fn files(disk: &ProductionDisk, path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = match disk.list(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Ok(vec![path.to_owned()]);
        }
        listed => listed.map_err(|error| cannot_read(path, &error))?,
    };
    let mut files = Vec::new();
    let mut directories = vec![(path.to_owned(), listed)];
    let is_top = directories
        .iter()
        .all(|(_, entries)| entries.iter().any(|e| e.kind == EntryKind::Directory));
    if is_top {
        let (_, top) = directories.remove(0);
        for entry in top {
            let path = path.join(&entry.name);
            match entry.kind {
                EntryKind::File if Kind::of(&entry.name).is_some() => files.push(path),
                EntryKind::File => {}
                EntryKind::Directory => {
                    let entries =
                        disk.list(&path).await.map_err(|error| cannot_read(&path, &error))?;
                    directories.push((path, entries));
                }
            }
        }
    }
    for (directory, entries) in directories {
        for entry in entries {
            if entry.kind == EntryKind::File && Kind::of(&entry.name).is_some() {
                files.push(directory.join(entry.name));
            }
        }
    }
    Ok(files)
}

/// What a file's name says about its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Log,
    OffsetIndex,
    TimeIndex,
    Producers,
    AbortedTransactions,
    LeaderEpochs,
    Text,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        const TEXTS: [&str; 8] = [
            "meta.properties",
            "partition.metadata",
            "quorum-state",
            "recovery-point-offset-checkpoint",
            "log-start-offset-checkpoint",
            "replication-offset-checkpoint",
            "cleaner-offset-checkpoint",
            "bootstrap.checkpoint.properties",
        ];
        if TEXTS.contains(&name) {
            return Some(Self::Text);
        }
        if name == "leader-epoch-checkpoint" {
            return Some(Self::LeaderEpochs);
        }
        // Whatever waits for its removal or its place is still what it was.
        let name = [".deleted", ".cleaned", ".swap"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        let (_, extension) = name.rsplit_once('.')?;
        match extension {
            // A snapshot of the metadata is a log of its own.
            "log" | "checkpoint" => Some(Self::Log),
            "index" => Some(Self::OffsetIndex),
            "timeindex" => Some(Self::TimeIndex),
            "snapshot" => Some(Self::Producers),
            "txnindex" => Some(Self::AbortedTransactions),
            _ => None,
        }
    }
}

/// The inner result says whether the file is sound; the outer one, whether our output could be written.
async fn dump_file(
    context: &mut Context,
    disk: &ProductionDisk,
    path: &Path,
    dump: &Dump,
) -> Result<Result<(), Failure>, Failure> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(kind) = Kind::of(name) else {
        let failure = Failure::new(FAILED, format!("{} is no file of a log", path.display()));
        return Ok(Err(failure
            .advise("name a .log, .index, .timeindex, .txnindex, .snapshot or .checkpoint file")));
    };
    writeln!(context.out, "{}", path.display())?;
    let unreadable = |error: io::Error| cannot_read(path, &error);
    match kind {
        Kind::Log => return dump_log(context, disk, path, dump).await,
        Kind::OffsetIndex => {
            for (offset, position) in inspect::offset_index(disk, path).await.map_err(unreadable)? {
                writeln!(context.out, "offset: {offset} position: {position}")?;
            }
        }
        Kind::TimeIndex => {
            for (timestamp, offset) in inspect::time_index(disk, path).await.map_err(unreadable)? {
                writeln!(context.out, "timestamp: {timestamp} offset: {offset}")?;
            }
        }
        Kind::AbortedTransactions => {
            for aborted in inspect::aborted_transactions(disk, path).await.map_err(unreadable)? {
                writeln!(
                    context.out,
                    "producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
                    aborted.producer,
                    aborted.first_offset,
                    aborted.last_offset,
                    aborted.last_stable_offset
                )?;
            }
        }
        Kind::Producers => return dump_producers(context, disk, path).await,
        Kind::LeaderEpochs | Kind::Text => {
            let bytes = read(disk, path).await?;
            let text = String::from_utf8_lossy(&bytes);
            writeln!(context.out, "{}", text.trim_end())?;
            if kind == Kind::LeaderEpochs && !inspect::is_leader_epochs(&text) {
                return Ok(Err(broken(path, "it is not a list of leader epochs in order")));
            }
        }
    }
    Ok(Ok(()))
}

fn broken(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(FAILED, format!("{} is damaged: {why}", path.display()))
}

/// Small files only.
async fn read(disk: &ProductionDisk, path: &Path) -> Result<Vec<u8>, Failure> {
    const SMALL_BYTES_MAX: u64 = 256 << 20;
    let file = disk.open(path, OpenMode::Read).await.map_err(|error| cannot_read(path, &error))?;
    file.read_all(SMALL_BYTES_MAX).await.map_err(|error| cannot_read(path, &error))
}

async fn dump_producers(
    context: &mut Context,
    disk: &ProductionDisk,
    path: &Path,
) -> Result<Result<(), Failure>, Failure> {
    let Some(producers) = inspect::producers(&read(disk, path).await?) else {
        return Ok(Err(broken(path, "it is not a whole producer snapshot")));
    };
    for producer in producers {
        let or_none = |number: Option<i64>| number.unwrap_or(-1);
        writeln!(
            context.out,
            "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {} \
             lastSequence: {} lastTimestamp: {}",
            producer.producer,
            producer.epoch,
            or_none(producer.coordinator_epoch.map(i64::from)),
            or_none(producer.transaction_start.map(crate::model::Offset::value)),
            or_none(producer.last_sequence.map(i64::from)),
            producer.last_timestamp,
        )?;
    }
    Ok(Ok(()))
}

async fn dump_log(
    context: &mut Context,
    disk: &ProductionDisk,
    path: &Path,
    dump: &Dump,
) -> Result<Result<(), Failure>, Failure> {
    let unreadable = |error: io::Error| cannot_read(path, &error);
    let file = disk.open(path, OpenMode::Read).await.map_err(unreadable)?;
    let mut batches = Batches {
        length: file.length().await.map_err(unreadable)?,
        file,
        read: 0,
        bytes: Bytes::new(),
    };
    let decoder = if dump.raw { Decoder::Bytes } else { Decoder::of(path) };
    let mut left = dump.batches.unwrap_or(u64::MAX);
    while left > 0 {
        let position = batches.position();
        let batch = match batches.next().await.map_err(unreadable)? {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(Ok(())),
            Err(error) => {
                context.out.flush()?;
                return Ok(Err(broken(path, format!("at position {position}: {error}"))));
            }
        };
        writeln!(context.out, "{}", show_batch(&batch, position))?;
        if dump.records
            && let Err(error) = dump_records(context, &batch, decoder)?
        {
            context.out.flush()?;
            return Ok(Err(broken(path, format!("at position {position}: {error}"))));
        }
        left -= 1;
    }
    Ok(Ok(()))
}

fn dump_records(
    context: &mut Context,
    batch: &Batch,
    decoder: Decoder,
) -> io::Result<Result<(), Error>> {
    const DECOMPRESSED_BYTES_MAX: usize = 1 << 30;
    let records = match batch.records(DECOMPRESSED_BYTES_MAX) {
        Ok(records) => records,
        Err(error) => return Ok(Err(error)),
    };
    for record in records {
        match record {
            Ok(record) => writeln!(context.out, "| {}", show_record(&record, batch, decoder))?,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(()))
}

/// The batches of a file, one after the other, with a window of it in memory.
struct Batches {
    file: <TokioRuntime as Runtime>::File,
    length: u64,
    /// How much of the file was read.
    read: u64,
    /// Read, and not yet given out.
    bytes: Bytes,
}

impl Batches {
    fn position(&self) -> u64 {
        self.read - self.bytes.len() as u64
    }

    async fn next(&mut self) -> io::Result<Result<Option<Batch>, Error>> {
        loop {
            let needed = match Batch::split_first(&mut self.bytes) {
                Ok(Some(batch)) => return Ok(Ok(Some(batch))),
                Ok(None) => HEADER_BYTES,
                Err(Error::Incomplete { needed, available }) => {
                    let missing = (needed - available) as u64;
                    if missing > self.length - self.read {
                        return Ok(Err(Error::Incomplete { needed, available }));
                    }
                    needed
                }
                Err(error) => return Ok(Err(error)),
            };
            if self.read == self.length {
                return Ok(Ok(None));
            }
            self.fill(needed).await?;
        }
    }

    async fn fill(&mut self, needed: usize) -> io::Result<()> {
        const WINDOW_BYTES: usize = 4 << 20;
        let left = usize::try_from(self.length - self.read).unwrap_or(usize::MAX);
        let more = WINDOW_BYTES.max(needed - self.bytes.len().min(needed)).min(left);
        let mut window = BytesMut::with_capacity(self.bytes.len() + more);
        window.extend_from_slice(&self.bytes);
        let start = window.len();
        window.resize(start + more, 0);
        let read =
            self.file.read_full_at(window.get_mut(start..).unwrap_or_default(), self.read).await?;
        window.truncate(start + read);
        self.read += read as u64;
        // The file has become shorter under our hands.
        if read < more {
            self.length = self.read;
        }
        self.bytes = window.freeze();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        let check = |name: &str, kind| assert_eq!(Kind::of(name), kind, "{name}");
        check("00000000000000000000.log", Some(Kind::Log));
        check("00000000000000000000.log.deleted", Some(Kind::Log));
        check("00000000000000000004-0000000001.checkpoint", Some(Kind::Log));
        check("00000000000000000000.index", Some(Kind::OffsetIndex));
        check("00000000000000000000.timeindex", Some(Kind::TimeIndex));
        check("00000000000000000012.snapshot", Some(Kind::Producers));
        check("00000000000000000000.txnindex", Some(Kind::AbortedTransactions));
        check("leader-epoch-checkpoint", Some(Kind::LeaderEpochs));
        check("quorum-state", Some(Kind::Text));
        check(".lock", None);
        check("notes.txt", None);
    }
}
