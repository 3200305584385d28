//! What is asked of a group and what it answers: plain values, translated from and to the wire by `api`.
//!
//! The wire's "" for a member id and -1 for a generation are `None` here.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::model::{
    ErrorCode, GroupId, LeaderEpoch, MemberId, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    TopicId, TopicName,
};

/// What may be asked of a group machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRequest {
    /// `JoinGroup`; the id is the fresh part of a new member's id.
    Join(GroupId, Box<JoinRequest>, Uuid),
    /// `SyncGroup`.
    Sync(GroupId, Box<SyncRequest>),
    /// Heartbeat.
    Heartbeat(GroupId, MemberIdentity, Option<Generation>),
    /// `LeaveGroup`.
    Leave(GroupId, Vec<Leaving>),
    /// `OffsetCommit`.
    Commit(GroupId, CommitRequest),
    /// `TxnOffsetCommit`.
    CommitTransactional(GroupId, TransactionalCommitRequest),
    /// `OffsetFetch`.
    Fetch(GroupId, FetchRequest),
    /// `OffsetDelete`.
    DeleteOffsets(GroupId, Vec<(TopicName, Vec<PartitionIndex>)>),
    /// `DescribeGroups`.
    Describe(GroupId),
    /// `ListGroups`: states, types.
    List(Vec<String>, Vec<String>),
    /// `DeleteGroups`.
    Delete(GroupId),
    /// These topics are gone.
    TopicsDeleted(BTreeSet<TopicName>),
}

/// What a group machine answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupReply {
    /// To `JoinGroup`.
    Join(JoinOutcome),
    /// To `SyncGroup`.
    Synced(Synced),
    /// To `LeaveGroup`, in the order asked.
    Left(Vec<(MemberIdentity, ErrorCode)>),
    /// To `OffsetCommit`, `TxnOffsetCommit`, `OffsetDelete`.
    Partitions(PartitionOutcomes),
    /// To `OffsetFetch`.
    Fetched(Vec<FetchedTopic>),
    /// To `DescribeGroups`.
    Described(Option<GroupDescription>),
    /// To `ListGroups`.
    Listed(Vec<ListedGroup>),
    /// To all that need no more words.
    Done,
}

impl GroupReply {
    pub(super) const fn join(joined: Joined) -> Self {
        Self::Join(JoinOutcome::Joined(joined))
    }
}

/// How often a group has been rebalanced; each completed join phase counts one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub i32);

impl Generation {
    /// Makes a generation from the wire; negative numbers are "none".
    #[must_use]
    pub const fn from_wire(value: i32) -> Option<Self> {
        if value >= 0 { Some(Self(value)) } else { None }
    }
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A static member's own name for itself (`group.instance.id`). Source: KIP-345.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// Takes the text as it is.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for InstanceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A way of assigning that a member offers, with what it wants the assigning leader to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The assignor's name, such as `range`.
    pub name: String,
    /// The member's subscription in the protocol type's own format.
    pub metadata: Bytes,
}

/// `JoinGroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    /// From the request header; begins a new dynamic member's id.
    pub client_id: String,
    /// The peer as Kafka shows it: `/` and the address.
    pub client_host: String,
    /// None when the member has no id yet.
    pub member_id: Option<MemberId>,
    /// Set for static members.
    pub instance_id: Option<InstanceId>,
    /// `consumer`, `connect`, or any other.
    pub protocol_type: String,
    /// Most wanted first.
    pub protocols: Vec<Protocol>,
    /// Milliseconds without a sign of life after which the member is removed.
    pub session_timeout_ms: i32,
    /// Milliseconds the member may take to rejoin; negative means the session timeout (version 0 has no such field).
    pub rebalance_timeout_ms: i32,
    /// True from version 4 on: a member without id is told its id first and must come again. Source: KIP-394.
    pub must_know_member_id: bool,
    /// True from version 9 on: the answer can tell a leader not to assign. Source: KIP-814.
    pub can_skip_assignment: bool,
    /// Why the member joins, for the log.
    pub reason: Option<String>,
}

impl JoinRequest {
    /// Stored texts have lengths of 16 bits; a member id adds a dash and a uuid to what the client gave.
    pub(super) fn fits_its_record(&self) -> bool {
        const TEXT_BYTES_MAX: usize = 32_767 - 37;
        let instance = self.instance_id.as_ref().map_or("", InstanceId::as_str);
        let names = self.protocols.iter().map(|protocol| protocol.name.as_str());
        [self.client_id.as_str(), &self.client_host, &self.protocol_type, instance]
            .into_iter()
            .chain(names)
            .all(|text| text.len() <= TEXT_BYTES_MAX)
    }
}

/// What `JoinGroup` leads to when it is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinOutcome {
    /// The member is in this generation.
    Joined(Joined),
    /// Error 79 on the wire: come again with this id.
    MemberIdRequired(MemberId),
}

/// A completed join phase, as one member sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The generation that begins.
    pub generation: Generation,
    /// The protocol type of the group.
    pub protocol_type: Option<String>,
    /// The assignor the members agreed on.
    pub protocol_name: Option<String>,
    /// The member that assigns.
    pub leader: MemberId,
    /// The member this answer is for.
    pub member_id: MemberId,
    /// For the leader: all members. Empty for the others.
    pub members: Vec<JoinedMember>,
    /// True when the leader must not assign again.
    pub skip_assignment: bool,
}

/// A member as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// The member.
    pub member_id: MemberId,
    /// Set for static members.
    pub instance_id: Option<InstanceId>,
    /// What it offered for the chosen protocol.
    pub metadata: Bytes,
}

/// `SyncGroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    /// Who asks.
    pub member: MemberIdentity,
    /// The generation the member joined.
    pub generation: Option<Generation>,
    /// Checked when given (version 5).
    pub protocol_type: Option<String>,
    /// Checked when given (version 5).
    pub protocol_name: Option<String>,
    /// From the leader: who is given what.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// What a member is to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The protocol type of the group.
    pub protocol_type: Option<String>,
    /// The assignor the members agreed on.
    pub protocol_name: Option<String>,
    /// In the protocol type's own format; empty when the leader gave nothing.
    pub assignment: Bytes,
}

/// A member by its id, its instance id, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberIdentity {
    /// The id the coordinator gave.
    pub member_id: Option<MemberId>,
    /// The id the member gave itself.
    pub instance_id: Option<InstanceId>,
}

/// One member of a `LeaveGroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Who leaves. Only an instance id when an administrator removes a static member.
    pub member: MemberIdentity,
    /// Why, for the log.
    pub reason: Option<String>,
}

/// `OffsetCommit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRequest {
    /// Empty for a consumer that does not use group management.
    pub member: MemberIdentity,
    /// None for a consumer that does not use group management.
    pub generation: Option<Generation>,
    /// Versions 2 to 4: milliseconds to keep the offsets, instead of the broker's rule.
    pub retention_ms: Option<i64>,
    /// True from version 9 on: an unknown group is `GROUP_ID_NOT_FOUND` instead of `ILLEGAL_GENERATION`.
    pub knows_group_id_not_found: bool,
    /// What to commit.
    pub topics: Vec<CommitTopic>,
}

/// `TxnOffsetCommit`: offsets that count once the producer's transaction is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionalCommitRequest {
    /// The producer whose transaction it is.
    pub producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// Empty in versions below 3.
    pub member: MemberIdentity,
    /// None in versions below 3.
    pub generation: Option<Generation>,
    /// What to commit.
    pub topics: Vec<CommitTopic>,
}

/// The partitions of one topic to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitTopic {
    /// The topic.
    pub topic: TopicName,
    /// Its id, kept with the offset when known.
    pub topic_id: Option<TopicId>,
    /// Its partitions.
    pub partitions: Vec<CommitPartition>,
}

/// One offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPartition {
    /// The partition.
    pub partition: PartitionIndex,
    /// The next offset the consumer would read. As the client sent it: Kafka does not check it.
    pub offset: i64,
    /// The leader epoch of the last record consumed.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Anything the client wants to find again.
    pub metadata: String,
}

/// The outcome of a commit or deletion, partition by partition, in the order of the request.
pub type PartitionOutcomes = Vec<(TopicName, Vec<(PartitionIndex, ErrorCode)>)>;

/// `OffsetFetch`, for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// None asks for all that the group has committed.
    pub topics: Option<Vec<(TopicName, Vec<PartitionIndex>)>>,
    /// Refuse (88) partitions with an open transactional commit. Source: KIP-447.
    pub require_stable: bool,
}

/// The committed offsets of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    /// The topic.
    pub topic: TopicName,
    /// In the order of the request.
    pub partitions: Vec<FetchedPartition>,
}

/// What is known of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// The partition.
    pub partition: PartitionIndex,
    /// None: nothing committed (-1 on the wire). Otherwise what the client sent.
    pub offset: Option<i64>,
    /// Of the last record consumed.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the client sent.
    pub metadata: String,
    /// The topic id at the time of the commit, when it was known.
    pub topic_id: Option<TopicId>,
    /// [`ErrorCode::UnstableOffsetCommit`] or none.
    pub error: ErrorCode,
}

/// `DescribeGroups`, one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// The state, by Kafka's name; `Dead` for a group that does not exist.
    pub state: GroupState,
    /// Empty for a group that only stores offsets.
    pub protocol_type: String,
    /// The chosen assignor, when stable.
    pub protocol_name: String,
    /// The members.
    pub members: Vec<MemberDescription>,
}

/// One member of a described group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// The member.
    pub member_id: MemberId,
    /// Set for static members.
    pub instance_id: Option<InstanceId>,
    /// From the member's request header.
    pub client_id: String,
    /// From the member's connection.
    pub client_host: String,
    /// The subscription; empty unless the group is stable.
    pub metadata: Bytes,
    /// The assignment.
    pub assignment: Bytes,
}

/// `ListGroups`, one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group: GroupId,
    /// Empty for a group that only stores offsets.
    pub protocol_type: String,
    /// Its state.
    pub state: GroupState,
    /// `classic`.
    pub group_type: &'static str,
}

/// The states of a classic group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// No members; perhaps committed offsets.
    Empty,
    /// Members are expected to join again.
    PreparingRebalance,
    /// All have joined; the leader is assigning.
    CompletingRebalance,
    /// Members know their assignments.
    Stable,
    /// Does not exist.
    Dead,
}

impl GroupState {
    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

impl std::fmt::Display for GroupState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// An offset as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// What the client sent.
    pub offset: i64,
    /// Of the last record consumed.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the client sent.
    pub metadata: String,
    /// Wall clock of the commit, in milliseconds.
    pub commit_timestamp: crate::model::Timestamp,
    /// When the client chose a retention.
    pub expire_timestamp: Option<crate::model::Timestamp>,
    /// The topic's id at the time, when known.
    pub topic_id: Option<TopicId>,
    /// Where the record lies in the partition of the offsets topic.
    pub record_offset: Offset,
}
