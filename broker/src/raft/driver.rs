use std::future::{Future, pending};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use uuid::Uuid;

use super::batches;
use super::election_state::ElectionState;
use super::error::Error;
use super::handle::{Append, Command, EndGuard, Handle, Shared, View};
use super::log_state::LogState;
use super::quorum::{NotLeader, Quorum, Settings};
use super::ready::{EpochStart, Ready};
use super::snapshots::{self, METADATA_LOG, Snapshot};
use super::voters::{VoterHistory, VoterSet};
use crate::environment::{Disk, OUT_OF_FILES, Runtime, Stop, is_out_of_files, select};
use crate::log::{self, AppendError, Fault, OpenOptions, Origin, PartitionLog};
use crate::model::{LeaderEpoch, Offset, OffsetAndEpoch, TopicId, TopicPartition};
use crate::record::{HEADER_BYTES, split_all};

/// Commands that may wait before their senders do.
const QUEUE: usize = 1024;

/// Commands taken in before the clock and the disk are looked at again.
const COMMANDS_AT_ONCE: usize = 256;

/// How many bytes the start reads from the log at once, at least.
const LOAD_BYTES: u64 = 4 << 20;

/// How long what must be written waits when no file descriptor is left, before it tries again.
const DESCRIPTOR_WAIT: Duration = Duration::from_millis(100);

/// What a node says about its part in the metadata quorum.
#[derive(Clone, Debug)]
pub struct Options {
    /// The log directory that holds the metadata log: `metadata.log.dir`, or the first of `log.dirs`.
    pub log_directory: PathBuf,
    /// Names and times.
    pub settings: Settings,
    /// `controller.quorum.voters`, in a static quorum. What log and snapshots say goes first.
    pub static_voters: Option<VoterSet>,
    /// `metadata.log.segment.bytes`.
    pub segment_bytes: u64,
    /// `metadata.log.segment.ms`.
    pub segment_ms: i64,
}

/// Opens the metadata log, and takes part in its quorum until `stop` is pulled. When this returns, a single voter leads.
///
/// Quorums of one voter only: this node has no way yet to speak with others.
///
/// # Errors
///
/// [`Error::Voters`] when there are other voters, or this node is none; [`Error::NoSnapshot`]; the disk's.
pub async fn start<R: Runtime>(
    runtime: R,
    options: Options,
    stop: Stop,
) -> Result<Handle<R>, Error> {
    let loaded = load(&runtime, &options).await?;
    let voters = loaded.history.last();
    if !voters.is_only_voter(&options.settings.local) {
        return Err(Error::Voters {
            local: options.settings.local.id.0,
            voters: voters.ids().map(|id| id.0).collect(),
        });
    }
    let directory = options.log_directory.join(METADATA_LOG);
    let (log, snapshot) = (loaded.log, loaded.snapshot);
    let seed = runtime.random();
    let (quorum, ready) = Quorum::new(
        options.settings,
        loaded.election,
        loaded.history,
        loaded.state,
        seed,
        runtime.now(),
    );
    let view = View {
        epoch: quorum.epoch(),
        leader: quorum.leader(),
        high_watermark: snapshot.map_or(Offset::ZERO, |id| id.offset),
        snapshot,
        voters: quorum.voters().clone(),
        kraft_version: quorum.history().kraft_version(),
        ..View::default()
    };
    let shared = Arc::new(Shared::new(runtime.clone(), log, directory, view));
    let (commands, queue) = mpsc::channel(QUEUE);
    let mut driver = Driver { runtime: runtime.clone(), quorum, shared: Arc::clone(&shared) };
    driver.carry_out(ready).await?;
    driver.flush().await?;
    runtime.spawn("metadata quorum", async move { driver.run(queue, stop).await });
    Ok(Handle { commands, shared })
}

/// What the disk said.
struct Loaded<R: Runtime> {
    log: Arc<PartitionLog<R>>,
    election: ElectionState,
    history: VoterHistory,
    state: LogState,
    snapshot: Option<OffsetAndEpoch>,
}

async fn load<R: Runtime>(runtime: &R, options: &Options) -> Result<Loaded<R>, Error> {
    let disk = runtime.disk();
    let directory = options.log_directory.join(METADATA_LOG);
    if !snapshots::is_formatted(disk, &options.log_directory).await? {
        disk.create_directory(&directory).await?;
        disk.sync_directory(&options.log_directory).await?;
    }
    snapshots::remove_leftovers(disk, &directory).await?;
    let newest = snapshots::read_newest(disk, &directory).await?;
    let ids = snapshots::list_snapshots(disk, &directory).await?;
    let log = open_log(runtime, options, ids.first().copied()).await?;
    let base = newest.as_ref().map(|snapshot| snapshot.id);
    let base_offset = base.map_or(Offset::ZERO, |id| id.offset);
    if log.log_start_offset() > base_offset {
        return Err(Error::NoSnapshot { log_start: log.log_start_offset().value() });
    }
    if log.log_end_offset() < base_offset {
        // The crash came between the snapshot's installation and the cut of the log.
        log.truncate_fully_and_start_at(base_offset).await?;
    }
    let history = history(options, newest.as_ref());
    let (epochs, history) = scan(&log, base_offset, history).await?;
    let readable = ids.into_iter().filter(|id| Some(*id) <= base).collect();
    let state = LogState::new(log.log_start_offset(), log.log_end_offset(), epochs, readable);
    let election = ElectionState::load(disk, &directory).await?;
    Ok(Loaded { log, election, history, state, snapshot: base })
}

fn history(options: &Options, newest: Option<&Snapshot>) -> VoterHistory {
    let static_voters = options.static_voters.clone().unwrap_or_default();
    match newest {
        Some(Snapshot { voters: Some(voters), kraft_version, .. }) => {
            VoterHistory::new(voters.clone(), *kraft_version)
        }
        Some(_) | None => VoterHistory::new(static_voters, 0),
    }
}

async fn open_log<R: Runtime>(
    runtime: &R,
    options: &Options,
    earliest: Option<OffsetAndEpoch>,
) -> Result<Arc<PartitionLog<R>>, Error> {
    let settings = log::Settings {
        segment_bytes: options.segment_bytes,
        segment_ms: options.segment_ms,
        max_message_bytes: batches::BATCH_BYTES_MAX as u64,
        retention_ms: None,
        retention_bytes: None,
        ..log::Settings::default()
    };
    let open = OpenOptions {
        // Read through at every start; nobody compacts it, so a hole in it can only be a loss.
        recovery_point: Some(Offset::ZERO),
        log_start_offset: earliest.map_or(Offset::ZERO, |id| id.offset),
        topic_id: Some(TopicId(Uuid::from_u128(1))),
        ..OpenOptions::default()
    };
    let (log, report) = PartitionLog::open(
        runtime.clone(),
        options.log_directory.join(METADATA_LOG),
        TopicPartition::new("__cluster_metadata", 0),
        settings,
        open,
    )
    .await?;
    tracing::info!(
        start = log.log_start_offset().value(),
        end = log.log_end_offset().value(),
        truncated_bytes = report.bytes_truncated,
        "the metadata log is open"
    );
    Ok(log)
}

/// Reads the whole log once: where each epoch began, and, from `base` on, who votes.
async fn scan<R: Runtime>(
    log: &PartitionLog<R>,
    base: Offset,
    mut history: VoterHistory,
) -> Result<(Vec<OffsetAndEpoch>, VoterHistory), Error> {
    let mut epochs: Vec<OffsetAndEpoch> = Vec::new();
    let (mut position, end) = (log.log_start_offset(), log.log_end_offset());
    while position < end {
        let mut bytes = log.read_bytes(position, LOAD_BYTES).await?;
        let before = position;
        for batch in split_all(&mut bytes)? {
            batch.verify_crc()?;
            let summary = batches::summary(&batch)?;
            if epochs.last().is_none_or(|last| last.epoch < summary.epoch) {
                let offset = summary.base_offset.max(log.log_start_offset());
                epochs.push(OffsetAndEpoch { offset, epoch: summary.epoch });
            }
            position = summary.last_offset.plus(1);
            for (offset, change) in summary.changes {
                if offset >= base {
                    history.add(offset, change);
                }
            }
        }
        if position == before {
            return Err(Error::Read(format!("nothing can be read at offset {position}")));
        }
    }
    Ok((epochs, history))
}

type Flushing = Pin<Box<dyn Future<Output = Result<Offset, Fault>> + Send>>;

/// Does what the machine says, with a log and a disk. One task; nothing else writes to the log.
struct Driver<R: Runtime> {
    runtime: R,
    quorum: Quorum,
    shared: Arc<Shared<R>>,
}

impl<R: Runtime> Driver<R> {
    async fn run(mut self, queue: mpsc::Receiver<Command>, stop: Stop) {
        let guard = EndGuard(Arc::clone(&self.shared));
        if let Err(error) = self.serve(queue, stop).await {
            tracing::error!(%error, "the metadata quorum has failed on this node");
            self.shared.change(|view| view.end = Some(error));
        }
        drop(guard);
    }

    /// Appends while a flush is under way are made durable by the next one, all together.
    async fn serve(&mut self, mut queue: mpsc::Receiver<Command>, stop: Stop) -> Result<(), Error> {
        let mut flushing: Option<Flushing> = None;
        loop {
            if flushing.is_none() && self.quorum.log().flushed() < self.quorum.log().end() {
                flushing = Some(self.begin_flush());
            }
            select! {
                () = stop.stopped() => return self.finish(flushing).await,
                flushed = wait_for(&mut flushing) => {
                    flushing = None;
                    let ready = self.quorum.flushed(self.runtime.now(), flushed?);
                    self.carry_out(ready).await?;
                }
                command = queue.recv() => {
                    let Some(command) = command else { return self.finish(flushing).await };
                    self.obey(command).await?;
                    for _ in 1..COMMANDS_AT_ONCE {
                        let Ok(command) = queue.try_recv() else { break };
                        self.obey(command).await?;
                    }
                }
                () = self.runtime.sleep_until(self.quorum.deadline()) => {
                    let ready = self.quorum.tick(self.runtime.now());
                    self.carry_out(ready).await?;
                }
            }
        }
    }

    /// What was appended is made durable, so that the next start finds it, and the log is closed as any other, so that
    /// its indexes can be read; nobody waits for a commit any more.
    async fn finish(&self, flushing: Option<Flushing>) -> Result<(), Error> {
        if let Some(flushing) = flushing {
            flushing.await?;
        }
        Ok(self.shared.log.close().await?)
    }

    fn begin_flush(&self) -> Flushing {
        let (log, end) = (Arc::clone(&self.shared.log), self.quorum.log().end());
        Box::pin(async move { log.flush(end).await.map(|()| end) })
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let end = self.quorum.log().end();
        self.shared.log.flush(end).await?;
        let ready = self.quorum.flushed(self.runtime.now(), end);
        self.carry_out(ready).await
    }

    async fn obey(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Append(append) => {
                let Append { epoch, records, is_atomic, reply } = append;
                match self.append(epoch, &records, is_atomic).await {
                    Err(error) if is_fatal(&error) => {
                        let _ = reply.send(Err(error.clone()));
                        return Err(error);
                    }
                    answer => {
                        let _ = reply.send(answer);
                    }
                }
            }
            Command::Describe(reply) => {
                let (now, wall_clock) = (self.runtime.now(), self.runtime.wall_clock());
                let _ = reply.send(self.quorum.describe(now, wall_clock));
            }
            Command::VotersAt(offset, reply) => {
                let (voters, kraft_version) = self.quorum.history().at(offset);
                let _ = reply.send((voters.clone(), kraft_version));
            }
            Command::SnapshotWritten(id, reply) => {
                let answer = self.clean(id).await;
                let _ = reply.send(answer.clone());
                answer?;
            }
            Command::Resign => {
                let ready = self.quorum.resign(self.runtime.now());
                self.carry_out(ready).await?;
            }
        }
        Ok(())
    }

    async fn append(
        &mut self,
        epoch: LeaderEpoch,
        records: &[bytes::Bytes],
        is_atomic: bool,
    ) -> Result<OffsetAndEpoch, Error> {
        if self.quorum.epoch() != epoch {
            return Err(NotLeader(self.quorum.leader()).into());
        }
        let runs = batches::runs(records);
        let too_large = |run: &[bytes::Bytes]| {
            let bytes: usize = run.iter().map(|record| record.len() + HEADER_BYTES).sum();
            Error::TooLarge { bytes }
        };
        if is_atomic && runs.len() > 1 {
            return Err(too_large(records));
        }
        if let Some(run) = runs.iter().find(|run| batches::is_too_large(run)) {
            return Err(too_large(run));
        }
        let mut last = None;
        for run in runs {
            let count = u32::try_from(run.len()).map_err(|_| too_large(run))?;
            let place = self.quorum.append(count)?;
            let batch = batches::data(place, self.runtime.wall_clock(), run)?;
            self.write(batch, place).await?;
            let offset = place.offset.plus(i64::from(count) - 1);
            last = Some(OffsetAndEpoch { offset, epoch });
        }
        Ok(last.expect("an append has records"))
    }

    /// Writes a batch where the machine made room for it.
    async fn write(&self, batch: bytes::Bytes, place: OffsetAndEpoch) -> Result<(), Error> {
        let appended = loop {
            let (batch, now) = (batch.clone(), self.runtime.wall_clock());
            match self.shared.log.append_as_leader(batch, Origin::Raft, place.epoch, now).await {
                // The machine has made room for it already: it must be written, later then.
                Err(AppendError::OutOfFiles(_)) => self.runtime.sleep(DESCRIPTOR_WAIT).await,
                appended => break appended?,
            }
        };
        assert!(
            appended.first == place.offset,
            "the metadata log appended at {} instead of {}",
            appended.first,
            place.offset
        );
        Ok(())
    }

    async fn carry_out(&mut self, ready: Vec<Ready>) -> Result<(), Error> {
        for step in ready {
            match step {
                Ready::Persist(state) => {
                    let (disk, directory) = (self.runtime.disk(), &self.shared.directory);
                    let version = self.quorum.history().kraft_version();
                    while let Err(error) =
                        state.store(disk, directory, version, self.quorum.voters()).await
                    {
                        if !is_out_of_files(&error) {
                            return Err(error.into());
                        }
                        tracing::error!(%error, advice = OUT_OF_FILES, "quorum-state must wait");
                        self.runtime.sleep(DESCRIPTOR_WAIT).await;
                    }
                }
                Ready::AppendEpochStart(start) => self.append_epoch_start(&start).await?,
                Ready::Truncate(end) => {
                    self.shared.log.truncate_to(end).await?;
                }
                Ready::Flush => {
                    let log = &self.shared.log;
                    log.flush(log.log_end_offset()).await?;
                }
                Ready::HighWatermark(offset) => {
                    self.shared.log.set_high_watermark(offset);
                    self.shared.change(|view| view.high_watermark = offset);
                }
                Ready::BecameLeader(epoch, start) => {
                    self.shared.change(|view| view.leading = Some((epoch, start)));
                }
                Ready::LostLeadership(_) => self.shared.change(|view| view.leading = None),
                Ready::Leader(epoch, leader) => self.shared.change(|view| {
                    view.epoch = epoch;
                    view.leader = leader;
                }),
                Ready::Send(..)
                | Ready::Respond(..)
                | Ready::AppendFetched(..)
                | Ready::ReadSnapshot(..)
                | Ready::WriteSnapshot(..)
                | Ready::InstallSnapshot(_) => {
                    unreachable!("a quorum of one voter talks to nobody")
                }
            }
        }
        Ok(())
    }

    async fn append_epoch_start(&self, start: &EpochStart) -> Result<(), Error> {
        let batch = batches::epoch_start(start, self.runtime.wall_clock())?;
        self.shared.log.assign_epoch_start(start.epoch, start.base_offset);
        self.write(batch, OffsetAndEpoch { offset: start.base_offset, epoch: start.epoch }).await
    }

    /// A snapshot is in place: what it stands for may go.
    async fn clean(&mut self, id: OffsetAndEpoch) -> Result<(), Error> {
        self.quorum.snapshot_written(id);
        self.shared.change(|view| view.snapshot = view.snapshot.max(Some(id)));
        self.shared.log.advance_log_start(id.offset).await?;
        self.shared.log.delete_old_segments(self.runtime.wall_clock()).await?;
        snapshots::remove_before(self.runtime.disk(), &self.shared.directory, id).await?;
        self.quorum.log_cleaned(id);
        Ok(())
    }
}

async fn wait_for(flushing: &mut Option<Flushing>) -> Result<Offset, Fault> {
    match flushing {
        Some(flushing) => flushing.await,
        None => pending().await,
    }
}

/// After such an error log and machine may disagree: there is no way on but a new start.
const fn is_fatal(error: &Error) -> bool {
    match error {
        Error::NotLeader(_) | Error::TooLarge { .. } | Error::Read(_) => false,
        Error::Voters { .. }
        | Error::NoSnapshot { .. }
        | Error::Snapshot { .. }
        | Error::Record(_)
        | Error::Append(_)
        | Error::Fault(_)
        | Error::Disk(_)
        | Error::Stopped => true,
    }
}
