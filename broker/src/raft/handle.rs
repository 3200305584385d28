use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

use super::batches::{self, CommittedBatch};
use super::describe::Description;
use super::error::Error;
use super::ready::{Request, Response};
use super::snapshots::Snapshot;
use super::voters::{Endpoint, VoterSet};
use crate::environment::{Instant, Runtime};
use crate::log::PartitionLog;
use crate::model::{LeaderEpoch, NodeId, Offset, OffsetAndEpoch};
use crate::record::split_all;

/// How many bytes a subscription reads from the log at once, at least.
const READ_BYTES: u64 = 1 << 20;

/// What the driver is asked.
pub(super) enum Command {
    Append(Append),
    Describe(oneshot::Sender<Option<Description>>),
    /// Who votes once the log is read up to there, and with which `kraft.version`.
    VotersAt(Offset, oneshot::Sender<(VoterSet, i16)>),
    SnapshotWritten(OffsetAndEpoch, oneshot::Sender<Result<(), Error>>),
    Resign,
    /// A peer asks, and takes so many bytes of records or of a snapshot with the answer.
    Ask(Request, usize, oneshot::Sender<Answered>),
}

/// What a peer is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The answer.
    pub response: Response,
    /// Records, or a part of a snapshot, that go with it.
    pub bytes: Bytes,
}

pub(super) struct Append {
    pub(super) epoch: LeaderEpoch,
    pub(super) records: Vec<Bytes>,
    pub(super) is_atomic: bool,
    pub(super) reply: oneshot::Sender<Result<OffsetAndEpoch, Error>>,
}

/// What the driver shows to everybody.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) epoch: LeaderEpoch,
    pub(super) leader: Option<NodeId>,
    /// The epoch we lead, and where it begins.
    pub(super) leading: Option<(LeaderEpoch, Offset)>,
    /// Where that leader can be reached.
    pub(super) leader_endpoints: Vec<Endpoint>,
    pub(super) high_watermark: Offset,
    /// The leader that answered us last, and when.
    pub(super) heard: Option<(NodeId, Instant)>,
    /// The first high watermark that a leader told us in this life.
    pub(super) leaders_high_watermark: Option<Offset>,
    /// The newest snapshot that can be read.
    pub(super) snapshot: Option<OffsetAndEpoch>,
    pub(super) voters: VoterSet,
    pub(super) kraft_version: i16,
    /// Why the driver ended.
    pub(super) end: Option<Error>,
}

pub(super) struct Shared<R: Runtime> {
    pub(super) runtime: R,
    pub(super) log: Arc<PartitionLog<R>>,
    pub(super) directory: PathBuf,
    view: Mutex<View>,
    changed: Notify,
}

impl<R: Runtime> Shared<R> {
    pub(super) fn new(
        runtime: R,
        log: Arc<PartitionLog<R>>,
        directory: PathBuf,
        view: View,
    ) -> Self {
        Self { runtime, log, directory, view: Mutex::new(view), changed: Notify::new() }
    }

    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what everybody sees, and wakes those who wait for a change.
    pub(super) fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view());
        self.changed.notify_waiters();
    }
}

/// The way to the metadata quorum of this node. Cheap to clone.
pub struct Handle<R: Runtime> {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) shared: Arc<Shared<R>>,
}

impl<R: Runtime> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<R: Runtime> fmt::Debug for Handle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("view", &*self.shared.view()).finish_non_exhaustive()
    }
}

impl<R: Runtime> Handle<R> {
    /// Appends records (the value bytes of metadata records) as the leader of `epoch`; says offset and epoch of the last.
    ///
    /// They are in the log then but not yet committed: that is so once [`high_watermark`](Self::high_watermark) has passed
    /// the offset. Appends take effect in the order in which they are called here. `is_atomic`: all in one batch, so that a
    /// crash keeps all or none.
    ///
    /// # Errors
    ///
    /// [`Error::NotLeader`] when this node does not lead `epoch`; [`Error::TooLarge`]; [`Error::Stopped`] or what ended the
    /// driver: whether the records are in the log is not known then.
    ///
    /// # Panics
    ///
    /// When there are no records.
    pub async fn append(
        &self,
        epoch: LeaderEpoch,
        records: Vec<Bytes>,
        is_atomic: bool,
    ) -> Result<OffsetAndEpoch, Error> {
        assert!(!records.is_empty(), "an append has records");
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Append(Append { epoch, records, is_atomic, reply })).await?;
        answer.await.map_err(|_| self.end())?
    }

    /// The first offset that is not known to be committed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.shared.view().high_watermark
    }

    /// Ends once `offset` is committed.
    ///
    /// # Errors
    ///
    /// What ended the driver.
    pub async fn committed(&self, offset: Offset) -> Result<(), Error> {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            {
                let view = self.shared.view();
                if view.high_watermark > offset {
                    return Ok(());
                }
                if let Some(end) = &view.end {
                    return Err(end.clone());
                }
            }
            changed.await;
        }
    }

    /// Ends once this node has all that was committed when it first heard from a leader, or led itself; says up to where.
    ///
    /// # Errors
    ///
    /// What ended the driver.
    pub async fn caught_up(&self) -> Result<Offset, Error> {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            {
                let view = self.shared.view();
                let known = view.high_watermark;
                let has_led = view.leading.is_some_and(|(_, start)| known > start);
                if has_led || view.leaders_high_watermark.is_some_and(|leaders| known >= leaders) {
                    return Ok(known);
                }
                if let Some(end) = &view.end {
                    return Err(end.clone());
                }
            }
            changed.await;
        }
    }

    /// Puts a peer's request to the machine. `bytes_max`: how many bytes of records or of a snapshot the peer takes; a
    /// whole batch, or a byte, it gets in any case. A fetch may be answered much later.
    ///
    /// # Errors
    ///
    /// What ended the driver; [`Error::Read`] when the log could not be read for the answer.
    pub async fn ask(&self, request: Request, bytes_max: usize) -> Result<Answered, Error> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Ask(request, bytes_max.max(1), reply)).await?;
        let unread = || Error::Read("an answer could not be read".to_owned());
        let why = || self.shared.view().end.clone().unwrap_or_else(unread);
        answer.await.map_err(|_| why())
    }

    /// Ends once the driver has: the log is closed then, or has failed.
    pub async fn ended(&self) {
        // No offset is as large, so only the end is waited for.
        let _ = self.committed(Offset::new(i64::MAX)).await;
    }

    /// The epoch this node is in, and who leads it as far as is known.
    #[must_use]
    pub fn leader_and_epoch(&self) -> (Option<NodeId>, LeaderEpoch) {
        let view = self.shared.view();
        (view.leader, view.epoch)
    }

    /// Who leads, and where it can be reached, as far as both are known: an address of ourselves when it is this node.
    #[must_use]
    pub fn leader_endpoints(&self) -> Option<(NodeId, Vec<Endpoint>)> {
        let view = self.shared.view();
        let leader = view.leader?;
        (!view.leader_endpoints.is_empty()).then(|| (leader, view.leader_endpoints.clone()))
    }

    /// Which leader of the quorum was heard of last in this life, and when. To a leader: its predecessor.
    #[must_use]
    pub fn last_heard(&self) -> Option<(NodeId, Instant)> {
        self.shared.view().heard
    }

    /// The epoch this node leads, if it does.
    #[must_use]
    pub fn leading_epoch(&self) -> Option<LeaderEpoch> {
        self.shared.view().leading.map(|(epoch, _)| epoch)
    }

    /// The epoch this node leads, if it does, and where its log ended when that began.
    #[must_use]
    pub fn leading_since(&self) -> Option<(LeaderEpoch, Offset)> {
        self.shared.view().leading
    }

    /// The voters, and the `kraft.version`.
    #[must_use]
    pub fn voters(&self) -> (VoterSet, i16) {
        let view = self.shared.view();
        (view.voters.clone(), view.kraft_version)
    }

    /// The id of the newest snapshot.
    #[must_use]
    pub fn latest_snapshot(&self) -> Option<OffsetAndEpoch> {
        self.shared.view().snapshot
    }

    /// Where the quorum stands; `None` when this node does not lead it.
    ///
    /// # Errors
    ///
    /// What ended the driver.
    pub async fn describe(&self) -> Result<Option<Description>, Error> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Describe(reply)).await?;
        answer.await.map_err(|_| self.end())
    }

    /// Gives leadership up, if this node has it; a single voter leads again, in a higher epoch, after an election time-out.
    ///
    /// # Errors
    ///
    /// What ended the driver.
    pub async fn resign(&self) -> Result<(), Error> {
        self.tell(Command::Resign).await
    }

    /// Writes a snapshot of what is committed below `snapshot.id`, then removes what it stands for: older snapshots and
    /// segments. Nothing happens when there is one as new. Its voters are filled in here.
    ///
    /// # Errors
    ///
    /// The disk's; what ended the driver.
    ///
    /// # Panics
    ///
    /// When `snapshot.id` lies above the high watermark.
    pub async fn write_snapshot(&self, mut snapshot: Snapshot) -> Result<(), Error> {
        {
            let view = self.shared.view();
            assert!(
                snapshot.id.offset <= view.high_watermark,
                "a snapshot holds committed records only"
            );
            if view.snapshot.is_some_and(|newest| newest >= snapshot.id) {
                return Ok(());
            }
        }
        let (reply, answer) = oneshot::channel();
        self.tell(Command::VotersAt(snapshot.id.offset, reply)).await?;
        let (voters, kraft_version) = answer.await.map_err(|_| self.end())?;
        snapshot.voters = Some(voters);
        snapshot.kraft_version = kraft_version;
        let shared = &self.shared;
        snapshot
            .write(shared.runtime.disk(), &shared.directory, shared.runtime.wall_clock())
            .await?;
        let (reply, answer) = oneshot::channel();
        self.tell(Command::SnapshotWritten(snapshot.id, reply)).await?;
        answer.await.map_err(|_| self.end())?
    }

    /// All that is committed, from the beginning, and changes of our leadership.
    #[must_use]
    pub fn subscribe(&self) -> Subscription<R> {
        Subscription {
            shared: Arc::clone(&self.shared),
            position: None,
            told: None,
            batches: VecDeque::new(),
        }
    }

    async fn tell(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| self.end())
    }

    fn end(&self) -> Error {
        self.shared.view().end.clone().unwrap_or(Error::Stopped)
    }
}

/// What a [`Subscription`] yields.
#[derive(Clone, Debug)]
pub enum Event {
    /// Everything below this snapshot's id is replaced by what it says. Comes first, where there is one; again only when a
    /// reader fell so far behind that the log no longer reaches back to it.
    Snapshot(Snapshot),
    /// The next committed batch.
    Committed(CommittedBatch),
    /// This node leads `epoch`; all that was written before `start`, where the epoch begins, has been yielded.
    Leader {
        /// The epoch.
        epoch: LeaderEpoch,
        /// The offset of its first record.
        start: Offset,
    },
    /// This node leads that epoch no more: what it appended and has not seen committed may never be.
    Resigned {
        /// The epoch.
        epoch: LeaderEpoch,
    },
}

/// Reads the metadata log at its own pace, in order, without gaps.
pub struct Subscription<R: Runtime> {
    shared: Arc<Shared<R>>,
    /// The next offset to read; `None` before the beginning.
    position: Option<Offset>,
    /// The leadership we told of last.
    told: Option<LeaderEpoch>,
    batches: VecDeque<CommittedBatch>,
}

impl<R: Runtime> fmt::Debug for Subscription<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("position", &self.position).finish_non_exhaustive()
    }
}

impl<R: Runtime> Subscription<R> {
    /// The next event; waits for one. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// What ended the driver, after everything that was committed; [`Error::Read`] or [`Error::Record`] when the log cannot
    /// be read.
    pub async fn next(&mut self) -> Result<Event, Error> {
        let shared = Arc::clone(&self.shared);
        loop {
            let mut changed = std::pin::pin!(shared.changed.notified());
            changed.as_mut().enable();
            let view = shared.view().clone();
            if let Some(told) = self.told
                && view.leading.map(|(epoch, _)| epoch) != Some(told)
            {
                self.told = None;
                return Ok(Event::Resigned { epoch: told });
            }
            match self.next_data(&view).await? {
                Found::Event(event) => return Ok(event),
                Found::Moved => continue,
                Found::Nothing => {}
            }
            if let Some((epoch, start)) = view.leading
                && self.told.is_none()
                && self.position.is_some_and(|position| position > start)
            {
                self.told = Some(epoch);
                return Ok(Event::Leader { epoch, start });
            }
            if let Some(end) = view.end {
                return Err(end);
            }
            changed.await;
        }
    }

    /// The next offset that will be read; `None` before the beginning.
    #[must_use]
    pub const fn position(&self) -> Option<Offset> {
        self.position
    }

    async fn next_data(&mut self, view: &View) -> Result<Found, Error> {
        let position = match (self.position, view.snapshot) {
            (Some(position), _) if !self.batches.is_empty() || !self.is_behind(position) => {
                position
            }
            // The log was cut after `view` was taken, and we hear of the snapshot that leads on. Nobody is led back.
            (Some(position), Some(id)) if id.offset <= position => return Ok(Found::Nothing),
            (Some(_) | None, Some(id)) => return self.read_snapshot(id).await,
            (Some(_) | None, None) => Offset::ZERO,
        };
        self.position = Some(position);
        if self.batches.is_empty() && position < view.high_watermark {
            match self.read_batches(position, view.high_watermark).await {
                Err(_) if self.is_behind(position) => return Ok(Found::Moved),
                result => result?,
            }
        }
        let Some(batch) = self.batches.pop_front() else { return Ok(Found::Nothing) };
        self.position = Some(batch.last_offset.plus(1));
        Ok(Found::Event(Event::Committed(batch)))
    }

    /// True when the log no longer reaches back to `position`.
    fn is_behind(&self, position: Offset) -> bool {
        position < self.shared.log.log_start_offset()
    }

    async fn read_snapshot(&mut self, id: OffsetAndEpoch) -> Result<Found, Error> {
        let disk = self.shared.runtime.disk();
        match Snapshot::read(disk, &self.shared.directory, id).await {
            Ok(snapshot) => {
                self.position = Some(id.offset);
                Ok(Found::Event(Event::Snapshot(snapshot)))
            }
            // A newer one has replaced it just now.
            Err(_) if self.shared.view().snapshot > Some(id) => Ok(Found::Moved),
            Err(error) => Err(error),
        }
    }

    async fn read_batches(&mut self, from: Offset, end: Offset) -> Result<(), Error> {
        let mut bytes = self.shared.log.read_bytes(from, READ_BYTES).await?;
        for batch in split_all(&mut bytes)? {
            if batch.header().last_offset() < from {
                continue;
            }
            if batch.header().last_offset() >= end {
                break;
            }
            batch.verify_crc()?;
            self.batches.push_back(batches::committed(&batch)?);
        }
        Ok(())
    }
}

/// What a look at log and snapshots brought.
enum Found {
    Event(Event),
    /// The log was cut while we looked: look again.
    Moved,
    /// All that is committed has been read.
    Nothing,
}

/// Kept by the driver's task: however it ends, those who wait hear of it.
pub(super) struct EndGuard<R: Runtime>(pub(super) Arc<Shared<R>>);

impl<R: Runtime> Drop for EndGuard<R> {
    fn drop(&mut self) {
        self.0.change(|view| {
            view.leading = None;
            view.end.get_or_insert(Error::Stopped);
        });
    }
}
