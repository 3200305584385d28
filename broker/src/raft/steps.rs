//! What each step of [`Ready`] means: to the log, the disk, the peers and those who wait for an answer.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use super::batches;
use super::driver::{Came, DESCRIPTOR_WAIT, Driver};
use super::error::Error;
use super::handle::Answered;
use super::ready::{
    EpochStart, FetchSnapshotResponse, Message, Ready, Request, RequestId, Response, Token,
    VotersWritten,
};
use super::reconfiguration::LEADER_FOR_CHANGES;
use super::snapshots::{self, Snapshot};
use super::voters::VoterHistory;
use crate::environment::{Disk, File, FileExt, OUT_OF_FILES, OpenMode, Runtime, is_out_of_files};
use crate::log::AppendError;
use crate::model::{ErrorCode, NodeId, Offset, OffsetAndEpoch};
use crate::record::{ControlRecord, split_all};

impl<R: Runtime> Driver<R> {
    pub(super) async fn carry_out(&mut self, ready: Vec<Ready>, came: Came) -> Result<(), Error> {
        let mut steps = VecDeque::from(ready);
        while let Some(step) = steps.pop_front() {
            match step {
                Ready::Persist(state) => self.persist(state).await?,
                Ready::AppendEpochStart(start) => self.append_epoch_start(&start).await?,
                Ready::AppendVoters(written) => self.append_voters(&written).await?,
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
        let known = match (&request, bootstrap.get(&to)) {
            (Request::Versions(asked), _) => asked.endpoints.clone(),
            (_, Some(endpoint)) => vec![endpoint.clone()],
            _ if to == LEADER_FOR_CHANGES || quorum.leader() == Some(to) => {
                quorum.leader_endpoints().to_vec()
            }
            _ => quorum.voters().endpoints(to).to_vec(),
        };
        let by_name = known.iter().find(|endpoint| *endpoint.name == *self.line.listener);
        let Some(endpoint) = by_name.or_else(|| known.first()) else { return false };
        self.peers.send(to, endpoint, id, request);
        self.peers.retain(|node| node == to || quorum.speaks_with(node));
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
        // Before the log lets go of anything: who then finds itself behind the log's start must find this one.
        self.shared.change(|view| view.snapshot = view.snapshot.max(Some(id)));
        self.shared.log.truncate_fully_and_start_at(id.offset).await?;
        snapshots::remove_before(disk, directory, id).await?;
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

    async fn append_voters(&mut self, written: &VotersWritten) -> Result<(), Error> {
        let record = ControlRecord::KRaftVoters(batches::to_record(&written.voters));
        let batch = batches::control(written.place, self.runtime.wall_clock(), &[record])?;
        self.write(batch, written.place).await
    }

    /// A snapshot is in place: what it stands for may go.
    pub(super) async fn clean(&mut self, id: OffsetAndEpoch) -> Result<(), Error> {
        self.quorum.snapshot_written(id);
        self.shared.change(|view| view.snapshot = view.snapshot.max(Some(id)));
        self.shared.log.advance_log_start(id.offset).await?;
        self.shared.log.delete_old_segments(self.runtime.wall_clock()).await?;
        snapshots::remove_before(self.runtime.disk(), &self.shared.directory, id).await?;
        self.quorum.log_cleaned(id);
        Ok(())
    }
}

fn bytes_of(came: &Came, id: RequestId) -> Bytes {
    let of_it = came.as_ref().filter(|(from, _)| *from == id);
    of_it.map(|(_, bytes)| bytes.clone()).unwrap_or_default()
}
