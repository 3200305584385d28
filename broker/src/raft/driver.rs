use std::collections::BTreeMap;
use std::future::{Future, pending};
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
use super::ready::{Message, Request, RequestId, Response, Token};
use super::snapshots::METADATA_LOG;
use super::voters::{Endpoint, VoterSet};
use super::wire::Limits;
use crate::environment::{Runtime, Stop, select};
use crate::log::{AppendError, Fault, Origin};
use crate::model::{ErrorCode, LeaderEpoch, NodeId, Offset, OffsetAndEpoch};
use crate::record::HEADER_BYTES;

/// Commands that may wait before their senders do.
const QUEUE: usize = 1024;

/// Commands taken in before the clock and the disk are looked at again.
const COMMANDS_AT_ONCE: usize = 256;

/// What may wait that peers said; more, and they are read later.
const INBOX: usize = 64;

/// How long a leader that stops waits until others know.
const LEAVE_MAX: Duration = Duration::from_millis(500);

/// How long what must be written waits when no file descriptor is left, before it tries again.
pub(super) const DESCRIPTOR_WAIT: Duration = Duration::from_millis(100);

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

pub(super) type Flushing = Pin<Box<dyn Future<Output = Result<Offset, Fault>> + Send>>;

/// Does what the machine says, with a log, a disk and peers. One task; nothing else writes to the log.
pub(super) struct Driver<R: Runtime> {
    pub(super) runtime: R,
    pub(super) quorum: Quorum,
    pub(super) shared: Arc<Shared<R>>,
    pub(super) flushing: Option<Flushing>,
    pub(super) peers: Peers<R>,
    pub(super) line: Line,
    /// Nodes that are known by address only.
    pub(super) bootstrap: BTreeMap<NodeId, Endpoint>,
    /// Those who asked and were not answered yet.
    pub(super) waiting: BTreeMap<Token, Asked>,
    next_token: u64,
}

/// Somebody who waits for an answer, and how many bytes may come with it.
pub(super) struct Asked {
    pub(super) reply: oneshot::Sender<Answered>,
    pub(super) bytes_max: usize,
}

/// The bytes that came with the response that is being dealt with.
pub(super) type Came = Option<(RequestId, Bytes)>;

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
    pub(super) async fn write(&mut self, batch: Bytes, place: OffsetAndEpoch) -> Result<(), Error> {
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
        Error::NoSnapshot { .. }
        | Error::Snapshot { .. }
        | Error::Record(_)
        | Error::Append(_)
        | Error::Fault(_)
        | Error::Disk(_)
        | Error::Stopped => true,
    }
}
