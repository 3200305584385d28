//! What a group coordinator stores, as values. The bytes are `protocol::internal_records`.

use bytes::Bytes;

use super::requests::{CommittedOffset, Generation, InstanceId};
use crate::model::{GroupId, MemberId, PartitionIndex, Timestamp, TopicName};

/// One entry of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// A committed offset, or its end.
    Offset {
        /// Whose.
        group: GroupId,
        /// Of which topic.
        topic: TopicName,
        /// Of which partition.
        partition: PartitionIndex,
        /// None: deleted.
        value: Option<CommittedOffset>,
    },
    /// A classic group, or its end.
    Group {
        /// Which.
        group: GroupId,
        /// None: deleted.
        value: Option<StoredGroup>,
    },
}

/// A classic group as it is stored: when it became stable, or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGroup {
    /// Empty when no member ever joined.
    pub protocol_type: String,
    /// The generation.
    pub generation: Generation,
    /// The assignor; none without members.
    pub protocol_name: Option<String>,
    /// The leader; none without members.
    pub leader: Option<MemberId>,
    /// When the state before the write was entered.
    pub state_since: Option<Timestamp>,
    /// The members with their assignments.
    pub members: Vec<StoredMember>,
}

impl StoredGroup {
    /// The first record of a group nobody has joined yet.
    pub(super) const fn created(now: Timestamp) -> Self {
        Self {
            protocol_type: String::new(),
            generation: Generation(0),
            protocol_name: None,
            leader: None,
            state_since: Some(now),
            members: Vec::new(),
        }
    }
}

/// A member as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMember {
    /// The member.
    pub member_id: MemberId,
    /// Set for static members.
    pub instance_id: Option<InstanceId>,
    /// From the member's request header.
    pub client_id: String,
    /// From the member's connection.
    pub client_host: String,
    /// Milliseconds.
    pub rebalance_timeout_ms: i32,
    /// Milliseconds.
    pub session_timeout_ms: i32,
    /// What it offered for the chosen protocol.
    pub subscription: Bytes,
    /// What the leader gave it.
    pub assignment: Bytes,
}
