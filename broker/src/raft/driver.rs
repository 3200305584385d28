use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, pending};
use std::io::IoSlice;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::batches;
use super::error::Error;
use super::handle::{Answered, Append, Command, EndGuard, Handle, Shared, View};
use super::load::{Loaded, load};
use super::network::{Heard, Line, Peers};
use super::quorum::{NotLeader, Quorum, Settings};
use super::ready::{
    EpochStart, FetchSnapshotResponse, Message, Ready, Request, RequestId, Response, Token,
};
use super::snapshots::{self, METADATA_LOG, Snapshot};
use super::voters::{Endpoint, VoterHistory, VoterSet};
use super::wire::Limits;
use crate::environment::{
    Disk, File, FileExt, OUT_OF_FILES, OpenMode, Runtime, Stop, is_out_of_files, select,
};
use crate::log::{AppendError, Fault, Origin};
use crate::model::{ErrorCode, LeaderEpoch, NodeId, Offset, OffsetAndEpoch};
use crate::record::{HEADER_BYTES, split_all};

/// Commands that may wait before their senders do.
const QUEUE: usize = 1024;

/// Commands taken in before the clock and the disk are looked at again.
const COMMANDS_AT_ONCE: usize = 256;

/// What may wait that peers said; more, and they are read later.
const INBOX: usize = 64;

/// How long a leader that stops waits until others know.
const LEAVE_MAX: Duration = Duration::from_millis(500);

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
    /// `controller.quorum.bootstrap.servers`: whom to ask who leads, besides the voters.
    pub bootstrap: Vec<Endpoint>,
    /// The first of `controller.listener.names`, by which controllers are reached.
    pub listener_name: String,
    /// `controller.quorum.fetch.max.bytes`.
    pub fetch_bytes_max: usize,
    /// `controller.quorum.fetch.snapshot.max.bytes`.
    pub snapshot_bytes_max: usize,
}

/// Opens the metadata log, and takes part in its quorum until `stop` is pulled. When this returns, a single voter leads;
/// several have yet to elect one of them, for which others must be able to [ask](Handle::ask) this node.
///
/// # Errors
///
/// [`Error::NoSnapshot`]; the disk's.
pub async fn start<R: Runtime>(
    runtime: R,
    options: Options,
    stop: Stop,
) -> Result<Handle<R>, Error> {
    let loaded = load(&runtime, &options).await?;
    let directory = options.log_directory.join(METADATA_LOG);
    let Loaded { log, election, history, state, snapshot } = loaded;
    let seed = runtime.random();
    let mut settings = options.settings;
    // As in Kafka, nodes that are known by address only have negative ids.
    let bootstrap: BTreeMap<NodeId, Endpoint> =
        (2..).map(|number: i32| NodeId(-number)).zip(options.bootstrap).collect();
    settings.bootstrap = bootstrap.keys().copied().collect();
    let line = Line {
        listener: Arc::from(options.listener_name),
        limits: Limits {
            fetch_bytes: options.fetch_bytes_max,
            snapshot_bytes: options.snapshot_bytes_max,
        },
        request_timeout: settings.request_timeout,
    };
    let now = runtime.now();
    let (quorum, ready) = Quorum::new(settings, election, history, state, seed, now);
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
    let (inbox, heard) = mpsc::channel(INBOX);
    let mut driver = Driver {
        runtime: runtime.clone(),
        quorum,
        shared: Arc::clone(&shared),
        flushing: None,
        peers: Peers::new(runtime.clone(), line.clone(), inbox),
        line,
        bootstrap,
        waiting: BTreeMap::new(),
        next_token: 0,
    };
    driver.carry_out(ready, None).await?;
    if driver.quorum.voters().is_only_voter(&driver.quorum.local()) {
        driver.flush().await?;
    }
    runtime.spawn("metadata quorum", async move { driver.run(queue, heard, stop).await });
    Ok(Handle { commands, shared })
}

type Flushing = Pin<Box<dyn Future<Output = Result<Offset, Fault>> + Send>>;

/// Does what the machine says, with a log, a disk and peers. One task; nothing else writes to the log.
struct Driver<R: Runtime> {
    runtime: R,
    quorum: Quorum,
    shared: Arc<Shared<R>>,
    flushing: Option<Flushing>,
    peers: Peers<R>,
    line: Line,
    /// Nodes that are known by address only.
    bootstrap: BTreeMap<NodeId, Endpoint>,
    /// Those who asked and were not answered yet.
    waiting: BTreeMap<Token, Asked>,
    next_token: u64,
}

/// Somebody who waits for an answer, and how many bytes may come with it.
struct Asked {
    reply: oneshot::Sender<Answered>,
    bytes_max: usize,
}

/// The bytes that came with the response that is being dealt with.
type Came = Option<(RequestId, Bytes)>;

impl<R: Runtime> Driver<R> {
    async fn run(
        mut self,
        queue: mpsc::Receiver<Command>,
        heard: mpsc::Receiver<Heard>,
        stop: Stop,
    ) {
        let guard = EndGuard(Arc::clone(&self.shared));
        if let Err(error) = self.serve(queue, heard, stop).await {
            tracing::error!(%error, "the metadata quorum has failed on this node");
            self.shared.change(|view| view.end = Some(error));
        }
        drop(guard);
    }

    /// Appends while a flush is under way are made durable by the next one, all together.
    async fn serve(
        &mut self,
        mut queue: mpsc::Receiver<Command>,
        mut heard: mpsc::Receiver<Heard>,
        stop: Stop,
    ) -> Result<(), Error> {
        loop {
            if self.flushing.is_none() && self.quorum.log().flushed() < self.quorum.log().end() {
                self.flushing = Some(self.begin_flush());
            }
            select! {
                () = stop.stopped() => {
                    self.take_leave(&mut heard).await?;
                    return self.finish().await;
                }
                flushed = wait_for(&mut self.flushing) => {
                    self.flushing = None;
                    let ready = self.quorum.flushed(self.runtime.now(), flushed?);
                    self.carry_out(ready, None).await?;
                }
                Some(heard) = heard.recv() => self.hear(heard).await?,
                command = queue.recv() => {
                    let Some(command) = command else { return self.finish().await };
                    self.obey(command).await?;
                    for _ in 1..COMMANDS_AT_ONCE {
                        let Ok(command) = queue.try_recv() else { break };
                        self.obey(command).await?;
                    }
                    // Followers are told of what was appended while we make it durable ourselves.
                    self.tick().await?;
                }
                () = self.runtime.sleep_until(self.quorum.deadline()) => self.tick().await?,
            }
        }
    }

    async fn tick(&mut self) -> Result<(), Error> {
        let ready = self.quorum.tick(self.runtime.now());
        self.carry_out(ready, None).await
    }

    /// A leader that stops says so, and waits a little until the others know: they elect the next one at once then.
    async fn take_leave(&mut self, heard: &mut mpsc::Receiver<Heard>) -> Result<(), Error> {
        if self.quorum.voters().is_only_voter(&self.quorum.local()) {
            return Ok(());
        }
        let ready = self.quorum.resign(self.runtime.now());
        self.carry_out(ready, None).await?;
        let deadline = self.runtime.now() + LEAVE_MAX;
        while self.quorum.has_unheard_leave() && self.runtime.now() < deadline {
            let next = deadline.min(self.quorum.deadline());
            select! {
                Some(heard) = heard.recv() => self.hear(heard).await?,
                () = self.runtime.sleep_until(next) => self.tick().await?,
            }
        }
        Ok(())
    }

    /// What was appended is made durable, so that the next start finds it, and the log is closed as any other, so that
    /// its indexes can be read; nobody waits for a commit any more.
    async fn finish(&mut self) -> Result<(), Error> {
        if let Some(flushing) = self.flushing.take() {
            flushing.await?;
        }
        Ok(self.shared.log.close().await?)
    }

    fn begin_flush(&self) -> Flushing {
        let (log, end) = (Arc::clone(&self.shared.log), self.quorum.log().end());
        Box::pin(async move { log.flush(end).await.map(|()| end) })
    }

    /// A peer has answered, or will not.
    async fn hear(&mut self, heard: Heard) -> Result<(), Error> {
        let Heard { message, bytes } = heard;
        let came = match &message {
            Message::Response(id, response) => {
                self.note_leader(response);
                Some((*id, bytes))
            }
            Message::Request(..) | Message::Failed(_) | Message::Refused(_) => None,
        };
        let ready = self.quorum.step(self.runtime.now(), message);
        self.carry_out(ready, came).await
    }

    /// A leader lives; and those who wait until this node has caught up learn with what.
    fn note_leader(&self, response: &Response) {
        let Response::Fetch(fetched) = response else { return };
        if fetched.answer.error != ErrorCode::None {
            return;
        }
        let is_news = {
            let mut view = self.shared.view();
            // Nobody waits for that.
            view.heard = fetched.answer.leader.map(|leader| (leader, self.runtime.now()));
            view.leaders_high_watermark.is_none()
        };
        if let Some(offset) = fetched.high_watermark
            && is_news
        {
            self.shared.change(|view| view.leaders_high_watermark = Some(offset));
        }
    }

    async fn ask(&mut self, request: Request, asked: Asked) -> Result<(), Error> {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.waiting.insert(token, asked);
        let ready = self.quorum.step(self.runtime.now(), Message::Request(token, request));
        self.carry_out(ready, None).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let end = self.quorum.log().end();
        self.shared.log.flush(end).await?;
        let ready = self.quorum.flushed(self.runtime.now(), end);
        self.carry_out(ready, None).await
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
                self.carry_out(ready, None).await?;
            }
            Command::Ask(request, bytes_max, reply) => {
                self.ask(request, Asked { reply, bytes_max }).await?;
            }
        }
        Ok(())
    }

    async fn append(
        &mut self,
        epoch: LeaderEpoch,
        records: &[Bytes],
        is_atomic: bool,
    ) -> Result<OffsetAndEpoch, Error> {
        if self.quorum.epoch() != epoch {
            return Err(NotLeader(self.quorum.leader()).into());
        }
        let runs = batches::runs(records);
        let too_large = |run: &[Bytes]| {
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
    async fn write(&mut self, batch: Bytes, place: OffsetAndEpoch) -> Result<(), Error> {
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

    async fn carry_out(&mut self, ready: Vec<Ready>, came: Came) -> Result<(), Error> {
        let mut steps = VecDeque::from(ready);
        while let Some(step) = steps.pop_front() {
            match step {
                Ready::Persist(state) => self.persist(state).await?,
                Ready::AppendEpochStart(start) => self.append_epoch_start(&start).await?,
                Ready::AppendFetched(id, count) => {
                    self.append_fetched(bytes_of(&came, id), count).await?;
                }
                Ready::Truncate(end) => {
                    // What is written in the place of what is cut is not durable with it.
                    self.flushing = None;
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
                Ready::Send(to, id, request) => {
                    if !self.send(to, id, request) {
                        let failed = Message::Failed(id);
                        steps.extend(self.quorum.step(self.runtime.now(), failed));
                    }
                }
                Ready::Respond(token, response, from) => self.respond(token, response, from).await,
                Ready::ReadSnapshot(token, id, position) => {
                    self.respond_with_snapshot(token, id, position).await;
                }
                Ready::WriteSnapshot(request, id, position) => {
                    self.write_snapshot(id, position, bytes_of(&came, request)).await?;
                }
                Ready::InstallSnapshot(id) => {
                    let history = self.install_snapshot(id).await?;
                    let now = self.runtime.now();
                    steps.extend(self.quorum.snapshot_installed(now, history));
                }
            }
        }
        self.show();
        Ok(())
    }

    /// Shows what has no step of its own.
    fn show(&self) {
        let (voters, kraft_version) = (self.quorum.voters(), self.quorum.history().kraft_version());
        let endpoints = self.quorum.leader_endpoints();
        let is_shown = {
            let view = self.shared.view();
            view.voters == *voters
                && view.kraft_version == kraft_version
                && view.leader_endpoints == endpoints
        };
        if !is_shown {
            self.shared.change(|view| {
                view.voters = voters.clone();
                view.kraft_version = kraft_version;
                view.leader_endpoints = endpoints.to_vec();
            });
        }
    }

    async fn persist(&mut self, state: super::ElectionState) -> Result<(), Error> {
        let (disk, directory) = (self.runtime.disk(), &self.shared.directory);
        let version = self.quorum.history().kraft_version();
        while let Err(error) = state.store(disk, directory, version, self.quorum.voters()).await {
            if !is_out_of_files(&error) {
                return Err(error.into());
            }
            tracing::error!(%error, advice = OUT_OF_FILES, "quorum-state must wait");
            self.runtime.sleep(DESCRIPTOR_WAIT).await;
        }
        Ok(())
    }

    /// Hands a request to its peer; false when nobody knows where that is.
    fn send(&mut self, to: NodeId, id: RequestId, request: Request) -> bool {
        let (quorum, bootstrap) = (&self.quorum, &self.bootstrap);
        let known = match bootstrap.get(&to) {
            Some(endpoint) => std::slice::from_ref(endpoint),
            None if quorum.leader() == Some(to) => quorum.leader_endpoints(),
            None => quorum.voters().endpoints(to),
        };
        let by_name = known.iter().find(|endpoint| *endpoint.name == *self.line.listener);
        let Some(endpoint) = by_name.or_else(|| known.first()) else { return false };
        self.peers.send(to, endpoint, id, request);
        self.peers.retain(|node| {
            let is_voter = quorum.voters().voter(node).is_some();
            node == to || is_voter || bootstrap.contains_key(&node) || quorum.leader() == Some(node)
        });
        true
    }

    /// Appends what the leader sent, as it is.
    async fn append_fetched(&mut self, bytes: Bytes, count: usize) -> Result<(), Error> {
        let batches = split_all(&mut bytes.clone())?;
        let length: usize = batches.iter().take(count).map(|batch| batch.bytes().len()).sum();
        let bytes = bytes.slice(..length);
        loop {
            match self.shared.log.append_as_follower(bytes.clone(), self.quorum.epoch()).await {
                // The machine counts on it already: it must be written, later then.
                Err(AppendError::OutOfFiles(_)) => self.runtime.sleep(DESCRIPTOR_WAIT).await,
                appended => {
                    appended?;
                    break;
                }
            }
        }
        let (end, expected) = (self.shared.log.log_end_offset(), self.quorum.log().end());
        assert!(end == expected, "the metadata log ends at {end} instead of {expected}");
        Ok(())
    }

    /// Answers with the records from `from` on. They are read here and now: a moment later they may be others'.
    async fn respond(&mut self, token: Token, response: Response, from: Option<Offset>) {
        // Who asked may be gone.
        let Some(asked) = self.waiting.remove(&token) else { return };
        let bytes = match from {
            None => Ok(Bytes::new()),
            Some(from) => self.shared.log.read_bytes(from, asked.bytes_max as u64).await,
        };
        match bytes {
            Ok(bytes) => drop(asked.reply.send(Answered { response, bytes })),
            Err(error) => tracing::error!(%error, "the metadata log could not be read for a peer"),
        }
    }

    async fn respond_with_snapshot(&mut self, token: Token, id: OffsetAndEpoch, position: u64) {
        let Some(asked) = self.waiting.remove(&token) else { return };
        let bytes_max = asked.bytes_max.min(self.line.limits.snapshot_bytes);
        let path = self.shared.directory.join(snapshots::snapshot_file_name(id));
        let read = async {
            let file = self.runtime.disk().open(&path, OpenMode::Read).await?;
            let size = file.length().await?;
            let left = usize::try_from(size.saturating_sub(position)).unwrap_or(usize::MAX);
            let mut bytes = vec![0; left.min(bytes_max)];
            let read = file.read_full_at(&mut bytes, position).await?;
            bytes.truncate(read);
            Ok::<_, std::io::Error>((size, Bytes::from(bytes)))
        };
        let (error, size_bytes, bytes) = match read.await {
            Ok((size, bytes)) if position < size => (ErrorCode::None, size, bytes),
            Ok((size, _)) => (ErrorCode::PositionOutOfRange, size, Bytes::new()),
            Err(error) => {
                tracing::error!(%error, "a metadata snapshot could not be read for a peer");
                (ErrorCode::SnapshotNotFound, 0, Bytes::new())
            }
        };
        let response = Response::FetchSnapshot(FetchSnapshotResponse {
            answer: self.quorum.answer(error),
            snapshot: id,
            size_bytes,
            position,
            length_bytes: bytes.len() as u64,
        });
        drop(asked.reply.send(Answered { response, bytes }));
    }

    async fn write_snapshot(
        &mut self,
        id: OffsetAndEpoch,
        position: u64,
        bytes: Bytes,
    ) -> Result<(), Error> {
        let path = self.shared.directory.join(snapshots::part_file_name(id));
        let file = self.runtime.disk().open(&path, OpenMode::Create).await?;
        if position == 0 {
            // An earlier attempt may have left more.
            file.set_length(0).await?;
        }
        file.write_all_at(&[IoSlice::new(&bytes)], position).await?;
        Ok(())
    }

    /// Makes a fetched snapshot the beginning of the log. After a crash in between the snapshot counts, not the log.
    async fn install_snapshot(&mut self, id: OffsetAndEpoch) -> Result<VoterHistory, Error> {
        let (disk, directory) = (self.runtime.disk(), &self.shared.directory);
        let snapshot = Snapshot::adopt(disk, directory, id).await?;
        self.flushing = None;
        self.shared.log.truncate_fully_and_start_at(id.offset).await?;
        snapshots::remove_before(disk, directory, id).await?;
        self.shared.change(|view| view.snapshot = view.snapshot.max(Some(id)));
        tracing::info!(offset = id.offset.value(), epoch = id.epoch.value(), "snapshot installed");
        Ok(match snapshot.voters {
            Some(voters) => VoterHistory::new(voters, snapshot.kraft_version),
            None => VoterHistory::new(self.quorum.history().base().clone(), 0),
        })
    }

    async fn append_epoch_start(&mut self, start: &EpochStart) -> Result<(), Error> {
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

fn bytes_of(came: &Came, id: RequestId) -> Bytes {
    let of_it = came.as_ref().filter(|(from, _)| *from == id);
    of_it.map(|(_, bytes)| bytes.clone()).unwrap_or_default()
}

/// After such an error log and machine may disagree: there is no way on but a new start.
const fn is_fatal(error: &Error) -> bool {
    match error {
        Error::NotLeader(_) | Error::TooLarge { .. } | Error::Read(_) => false,
        Error::NoSnapshot { .. }
        | Error::Snapshot { .. }
        | Error::Record(_)
        | Error::Append(_)
        | Error::Fault(_)
        | Error::Disk(_)
        | Error::Stopped => true,
    }
}
