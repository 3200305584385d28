use std::time::Duration;

use super::election_state::ElectionState;
use super::voters::{Endpoint, ReplicaKey, Voter, VoterChange, VoterSet};
use crate::model::{ClusterId, ErrorCode, LeaderEpoch, NodeId, Offset, OffsetAndEpoch};

/// Names a request that a peer sent us, until it is answered; chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Names a request that we sent, until it is answered or given up; chosen by the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What reaches the machine from other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A peer asks. Answered by exactly one [`Ready::Respond`] or [`Ready::ReadSnapshot`] with this token, now or later.
    Request(Token, Request),
    /// A node answered our request.
    Response(RequestId, Response),
    /// Our request will not be answered: the connection failed.
    Failed(RequestId),
    /// Our request has not been sent: where that node should listen, nobody does. Its process is gone.
    Refused(RequestId),
}

/// What nodes ask one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// May I lead?
    Vote(VoteRequest),
    /// I lead.
    BeginQuorumEpoch(BeginQuorumEpochRequest),
    /// I lead no more.
    EndQuorumEpoch(EndQuorumEpochRequest),
    /// What comes after what I have?
    Fetch(FetchRequest),
    /// A part of a snapshot.
    FetchSnapshot(FetchSnapshotRequest),
    /// Let this replica vote.
    AddVoter(AddVoterRequest),
    /// Let this replica vote no more.
    RemoveVoter(RemoveVoterRequest),
    /// This is where I am reached, and what I know.
    UpdateVoter(UpdateVoterRequest),
    /// Which versions of the quorum do you know?
    Versions(VersionsRequest),
}

/// The answers, one for each [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// To a vote request.
    Vote(VoteResponse),
    /// To the news of a leader.
    BeginQuorumEpoch(Answer),
    /// To the news of a leader's end.
    EndQuorumEpoch(Answer),
    /// To a fetch.
    Fetch(FetchResponse),
    /// To a fetch of a part of a snapshot.
    FetchSnapshot(FetchSnapshotResponse),
    /// To who wants a replica to vote.
    AddVoter(VoterAnswer),
    /// To who wants a replica to vote no more.
    RemoveVoter(VoterAnswer),
    /// To a voter that told of itself.
    UpdateVoter(Answer),
    /// The lowest and the highest `kraft.version` of the sender; `None` when it does not say.
    Versions(Option<(i16, i16)>),
}

/// A candidate asks for a vote, or (pre-vote) whether it would get one. Source: KIP-595, KIP-996.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteRequest {
    /// The sender's cluster, if it says.
    pub cluster_id: Option<ClusterId>,
    /// Whom it takes us for, if it says.
    pub voter: Option<ReplicaKey>,
    /// Who wants to lead.
    pub candidate: ReplicaKey,
    /// In which epoch; a pre-vote names the epoch the candidate is in.
    pub epoch: LeaderEpoch,
    /// The end of the candidate's log and the epoch of its last record.
    pub last: OffsetAndEpoch,
    /// Nothing is promised yet.
    pub is_pre_vote: bool,
}

/// A leader introduces itself. Source: KIP-595.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginQuorumEpochRequest {
    /// The sender's cluster, if it says.
    pub cluster_id: Option<ClusterId>,
    /// Whom it takes us for, if it says.
    pub voter: Option<ReplicaKey>,
    /// The leader.
    pub leader: NodeId,
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// Where it can be reached; may be empty.
    pub leader_endpoints: Vec<Endpoint>,
}

/// A leader takes leave. Source: KIP-595.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndQuorumEpochRequest {
    /// The sender's cluster, if it says.
    pub cluster_id: Option<ClusterId>,
    /// Who led.
    pub leader: NodeId,
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// Who should follow it, the best first.
    pub successors: Vec<ReplicaKey>,
    /// Where it can be reached; may be empty.
    pub leader_endpoints: Vec<Endpoint>,
}

/// A replica reads on; what it asks for is also what it has. Source: KIP-595.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// The sender's cluster, if it says.
    pub cluster_id: Option<ClusterId>,
    /// The sender.
    pub replica: ReplicaKey,
    /// The epoch the sender takes the leader to be in.
    pub leader_epoch: LeaderEpoch,
    /// The end of the sender's log.
    pub fetch_offset: Offset,
    /// The epoch of the last record before it.
    pub last_fetched_epoch: LeaderEpoch,
    /// The high watermark the sender knows ([`Offset::ZERO`]: none yet), so that a newer one is told at once; `None` when it
    /// cannot say (Fetch before v18).
    pub high_watermark: Option<Offset>,
    /// How long the answer may wait for something to say.
    pub wait_max: Duration,
}

/// A replica reads a snapshot. Source: KIP-630.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSnapshotRequest {
    /// The sender's cluster, if it says.
    pub cluster_id: Option<ClusterId>,
    /// The sender.
    pub replica: ReplicaKey,
    /// The epoch the sender takes the leader to be in.
    pub leader_epoch: LeaderEpoch,
    /// Which snapshot.
    pub snapshot: OffsetAndEpoch,
    /// From which byte on.
    pub position: u64,
}

/// Somebody wants a replica to vote. Source: KIP-853.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddVoterRequest {
    /// The sender's cluster, if it says.
    pub cluster_id: Option<ClusterId>,
    /// Who is to vote.
    pub voter: ReplicaKey,
    /// Where it can be reached.
    pub endpoints: Vec<Endpoint>,
    /// Whether the answer waits until the change is committed, or comes once it is begun.
    pub acknowledge_when_committed: bool,
}

/// Somebody wants a replica to vote no more. Source: KIP-853.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveVoterRequest {
    /// The sender's cluster, if it says.
    pub cluster_id: Option<ClusterId>,
    /// Who votes no more.
    pub voter: ReplicaKey,
}

/// A voter says what the voters' record should say of it. Source: KIP-853.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateVoterRequest {
    /// The sender's cluster, if it says.
    pub cluster_id: Option<ClusterId>,
    /// The epoch the sender takes the leader to be in.
    pub leader_epoch: LeaderEpoch,
    /// The sender as it is now.
    pub voter: Voter,
}

/// A leader asks a replica that is to vote what it knows; nothing of this is on the wire but `ApiVersions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionsRequest {
    /// Where it can be reached: it is no voter yet.
    pub endpoints: Vec<Endpoint>,
}

/// The answer to who wants a change of the voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterAnswer {
    /// Kafka's number for what was wrong.
    pub error: ErrorCode,
    /// The same for people.
    pub message: Option<String>,
}

/// What every answer says about its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Kafka's number for what was wrong.
    pub error: ErrorCode,
    /// The epoch the sender is in.
    pub epoch: LeaderEpoch,
    /// Who leads that epoch, if it knows.
    pub leader: Option<NodeId>,
    /// Where that leader can be reached; may be empty.
    pub leader_endpoints: Vec<Endpoint>,
}

/// The answer to a [`VoteRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteResponse {
    /// About the sender.
    pub answer: Answer,
    /// The vote.
    pub is_granted: bool,
    /// Whether a pre-vote was asked for; on the wire the request that it answers says so.
    pub is_pre_vote: bool,
}

/// The answer to a [`FetchRequest`]; record bytes travel beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchResponse {
    /// About the sender.
    pub answer: Answer,
    /// What there is to read.
    pub outcome: FetchOutcome,
    /// The sender's high watermark, once it has one.
    pub high_watermark: Option<Offset>,
    /// Where its log begins.
    pub log_start_offset: Offset,
}

/// What a leader says to a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// The logs agree. The batches that came along, as the receiving driver found them; the leader's machine leaves this empty
    /// and says in [`Ready::Respond`] from where to read.
    Records(Vec<FetchedBatch>),
    /// The logs disagree: the leader has nothing of the asked epoch, or less; this is where it ended for the leader.
    Diverging(OffsetAndEpoch),
    /// What was asked for is no longer in the log: fetch this snapshot.
    Snapshot(OffsetAndEpoch),
}

/// What the machine must know of a fetched batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedBatch {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The epoch it was written in.
    pub epoch: LeaderEpoch,
    /// Changes of the voters in it.
    pub changes: Vec<(Offset, VoterChange)>,
}

/// The answer to a [`FetchSnapshotRequest`]; the bytes travel beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSnapshotResponse {
    /// About the sender.
    pub answer: Answer,
    /// Which snapshot.
    pub snapshot: OffsetAndEpoch,
    /// Bytes of the whole snapshot.
    pub size_bytes: u64,
    /// From which byte on.
    pub position: u64,
    /// How many bytes came along.
    pub length_bytes: u64,
}

/// The control batch that begins an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// Where it stands.
    pub base_offset: Offset,
    /// The new epoch.
    pub epoch: LeaderEpoch,
    /// We.
    pub leader: NodeId,
    /// The voters.
    pub voters: Vec<NodeId>,
    /// Those who voted for us.
    pub granting_voters: Vec<NodeId>,
    /// `kraft.version` and voters to write along: in the first epoch of a quorum that was formatted with them.
    pub bootstrap: Option<(i16, VoterSet)>,
}

impl EpochStart {
    /// How many records the batch has.
    #[must_use]
    pub const fn record_count(&self) -> i64 {
        if self.bootstrap.is_some() { 3 } else { 1 }
    }
}

/// The control batch that changes the voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VotersWritten {
    /// Where it stands, and our epoch.
    pub place: OffsetAndEpoch,
    /// All voters from here on.
    pub voters: VoterSet,
}

/// What the driver must do, in this order, each thing completed before the next is begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Make this durable (`quorum-state`). Always comes before what is said on the strength of it.
    Persist(ElectionState),
    /// Cut the log.
    Truncate(Offset),
    /// Append the batch that begins our epoch, then report durability with `flushed`.
    AppendEpochStart(EpochStart),
    /// Append the batch that changes the voters, then report durability with `flushed`.
    AppendVoters(VotersWritten),
    /// Append the first so many batches that came with this response.
    AppendFetched(RequestId, usize),
    /// Make the log durable up to its end.
    Flush,
    /// Ask a node; report the response or the failure under this id.
    Send(NodeId, RequestId, Request),
    /// Answer a peer. With `Some(offset)`, add the records of the log from there on.
    Respond(Token, Response, Option<Offset>),
    /// Answer a peer with a part of this snapshot from this byte on (or `POSITION_OUT_OF_RANGE`).
    ReadSnapshot(Token, OffsetAndEpoch, u64),
    /// Write the bytes that came with this response into the unfinished snapshot, at this position.
    WriteSnapshot(RequestId, OffsetAndEpoch, u64),
    /// The snapshot is whole: make it durable, empty the log, then report what it says with `snapshot_installed`.
    InstallSnapshot(OffsetAndEpoch),
    /// All below this offset is committed; only grows within the life of a process.
    HighWatermark(Offset),
    /// We lead this epoch, whose first record stands at this offset.
    BecameLeader(LeaderEpoch, Offset),
    /// We lead this epoch no more.
    LostLeadership(LeaderEpoch),
    /// This epoch is led by that node, as far as is known.
    Leader(LeaderEpoch, Option<NodeId>),
}
