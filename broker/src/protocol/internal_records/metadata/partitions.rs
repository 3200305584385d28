//! Records about topics, partitions and configurations.

use super::level::{IBP_3_7_IV2, IBP_4_0_IV1};
use super::{Compact, Error, Reader, Tags, Versioned, Writer};
use crate::model::{DirectoryId, LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicName};

record! {
    /// A topic was created.
    TopicRecord {
        /// Its name.
        name: TopicName,
        /// Its identity.
        topic_id: TopicId,
    }
}

record! {
    /// A topic and its partitions were removed.
    RemoveTopicRecord {
        /// Its identity.
        topic_id: TopicId,
    }
}

record! {
    /// One configuration was set or removed.
    ConfigRecord {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8,
        /// The resource; empty is the default of all brokers.
        resource_name: String,
        /// The configuration.
        name: String,
        /// Its value; `None` removes it.
        value: Option<String>,
    }
}

record! {
    /// The eligible leader replicas of a topic are forgotten.
    ClearElrRecord {
        /// The topic; empty is all of them.
        topic_name: String,
    }
}

/// Whether a partition's leader may have lost records that were acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaderRecoveryState {
    /// It was elected from the in-sync set, or has recovered since.
    #[default]
    Recovered,
    /// It was elected uncleanly and has not recovered yet.
    Recovering,
}

impl LeaderRecoveryState {
    /// The number on the wire and in records.
    #[must_use]
    pub const fn number(self) -> i8 {
        match self {
            Self::Recovered => 0,
            Self::Recovering => 1,
        }
    }

    /// The state with this number.
    #[must_use]
    pub const fn from_number(number: i8) -> Option<Self> {
        match number {
            0 => Some(Self::Recovered),
            1 => Some(Self::Recovering),
            _ => None,
        }
    }
}

fn read_recovery(number: i8) -> Result<LeaderRecoveryState, Error> {
    LeaderRecoveryState::from_number(number)
        .ok_or(Error::Value { field: "leader recovery state", value: i64::from(number) })
}

/// -1 where there is no leader.
const NO_LEADER: i32 = -1;

/// A partition with all it has: at its creation, and in snapshots.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionRecord {
    /// The partition.
    pub partition_id: PartitionIndex,
    /// Of this topic.
    pub topic_id: TopicId,
    /// Where it is to be, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The in-sync replicas.
    pub isr: Vec<NodeId>,
    /// Replicas on their way out, in a reassignment.
    pub removing_replicas: Vec<NodeId>,
    /// Replicas on their way in, in a reassignment.
    pub adding_replicas: Vec<NodeId>,
    /// The leader.
    pub leader: Option<NodeId>,
    /// Whether the leader may have lost records.
    pub leader_recovery_state: LeaderRecoveryState,
    /// Grows with each leader.
    pub leader_epoch: LeaderEpoch,
    /// Grows with each change.
    pub partition_epoch: i32,
    /// The log directory of each replica, in their order (KIP-858).
    pub directories: Vec<DirectoryId>,
    /// Replicas outside the in-sync set that have all below the high watermark (KIP-966).
    pub eligible_leader_replicas: Vec<NodeId>,
    /// The last of them to go.
    pub last_known_elr: Vec<NodeId>,
}

impl Versioned for PartitionRecord {
    const MAX_VERSION: i16 = 2;

    fn version_at(&self, metadata_version: i16) -> i16 {
        partition_version_at(metadata_version)
    }

    fn read_version(reader: &mut Reader<'_>, version: i16) -> Result<Self, Error> {
        let mut record = Self {
            partition_id: reader.value()?,
            topic_id: reader.value()?,
            replicas: reader.value()?,
            isr: reader.value()?,
            removing_replicas: reader.value()?,
            adding_replicas: reader.value()?,
            leader: match reader.value()? {
                NO_LEADER => None,
                leader => Some(NodeId(leader)),
            },
            leader_recovery_state: LeaderRecoveryState::default(),
            leader_epoch: reader.value()?,
            partition_epoch: reader.value()?,
            directories: if version >= 1 { reader.value()? } else { Vec::new() },
            eligible_leader_replicas: Vec::new(),
            last_known_elr: Vec::new(),
        };
        reader.tags_since(version, &[0, 2, 2], |tag, field| {
            match tag {
                0 => record.leader_recovery_state = read_recovery(field.value()?)?,
                1 => {
                    record.eligible_leader_replicas =
                        field.value::<Option<Vec<_>>>()?.unwrap_or_default();
                }
                2 => record.last_known_elr = field.value::<Option<Vec<_>>>()?.unwrap_or_default(),
                _ => {}
            }
            Ok(())
        })?;
        Ok(record)
    }

    fn write_version(&self, writer: &mut Writer, version: i16) {
        writer
            .value(&self.partition_id)
            .value(&self.topic_id)
            .value(&self.replicas)
            .value(&self.isr);
        writer.value(&self.removing_replicas).value(&self.adding_replicas);
        writer.value(&self.leader.map_or(NO_LEADER, |leader| leader.0));
        writer.value(&self.leader_epoch).value(&self.partition_epoch);
        if version >= 1 {
            writer.value(&self.directories);
        } else {
            writer.lacks("Directories", version, !self.directories.is_empty());
        }
        let mut tags = Tags::new();
        if self.leader_recovery_state != LeaderRecoveryState::Recovered {
            tags.add(0, &self.leader_recovery_state.number());
        }
        for (tag, name, nodes) in [
            (1, "EligibleLeaderReplicas", &self.eligible_leader_replicas),
            (2, "LastKnownElr", &self.last_known_elr),
        ] {
            if !nodes.is_empty() {
                writer.lacks(name, version, version < 2);
                tags.add(tag, nodes);
            }
        }
        writer.tags(tags);
    }
}

fn partition_version_at(metadata_version: i16) -> i16 {
    match metadata_version {
        IBP_4_0_IV1.. => 2,
        IBP_3_7_IV2.. => 1,
        _ => 0,
    }
}

/// What a change says about the leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaderChange {
    /// Nothing.
    #[default]
    Unchanged,
    /// There is none any more.
    Nobody,
    /// This node leads.
    Leader(NodeId),
}

impl LeaderChange {
    const UNCHANGED: i32 = -2;

    const fn from_wire(number: i32) -> Self {
        match number {
            Self::UNCHANGED => Self::Unchanged,
            NO_LEADER => Self::Nobody,
            leader => Self::Leader(NodeId(leader)),
        }
    }

    const fn to_wire(self) -> i32 {
        match self {
            Self::Unchanged => Self::UNCHANGED,
            Self::Nobody => NO_LEADER,
            Self::Leader(leader) => leader.0,
        }
    }
}

/// Something of a partition changed; what is `None` did not. The partition epoch grows by one with each.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionChangeRecord {
    /// The partition.
    pub partition_id: PartitionIndex,
    /// Of this topic.
    pub topic_id: TopicId,
    /// The in-sync replicas.
    pub isr: Option<Vec<NodeId>>,
    /// The leader; a change of it moves the leader epoch.
    pub leader: LeaderChange,
    /// Where it is to be.
    pub replicas: Option<Vec<NodeId>>,
    /// Replicas on their way out.
    pub removing_replicas: Option<Vec<NodeId>>,
    /// Replicas on their way in.
    pub adding_replicas: Option<Vec<NodeId>>,
    /// Whether the leader may have lost records.
    pub leader_recovery_state: Option<LeaderRecoveryState>,
    /// The log directory of each replica.
    pub directories: Option<Vec<DirectoryId>>,
    /// Replicas outside the in-sync set that have all below the high watermark.
    pub eligible_leader_replicas: Option<Vec<NodeId>>,
    /// The last of them to go.
    pub last_known_elr: Option<Vec<NodeId>>,
}

impl PartitionChangeRecord {
    /// A change of nothing, to be filled in.
    #[must_use]
    pub const fn new(topic_id: TopicId, partition_id: PartitionIndex) -> Self {
        Self {
            partition_id,
            topic_id,
            isr: None,
            leader: LeaderChange::Unchanged,
            replicas: None,
            removing_replicas: None,
            adding_replicas: None,
            leader_recovery_state: None,
            directories: None,
            eligible_leader_replicas: None,
            last_known_elr: None,
        }
    }
}

impl Versioned for PartitionChangeRecord {
    const MAX_VERSION: i16 = 2;

    fn version_at(&self, metadata_version: i16) -> i16 {
        partition_version_at(metadata_version)
    }

    fn read_version(reader: &mut Reader<'_>, version: i16) -> Result<Self, Error> {
        let partition_id = reader.value()?;
        let mut record = Self::new(reader.value()?, partition_id);
        reader.tags_since(version, &[0, 0, 0, 0, 0, 0, 2, 2, 1], |tag, field| {
            match tag {
                0 => record.isr = field.value()?,
                1 => record.leader = LeaderChange::from_wire(field.value()?),
                2 => record.replicas = field.value()?,
                3 => record.removing_replicas = field.value()?,
                4 => record.adding_replicas = field.value()?,
                5 => {
                    record.leader_recovery_state = match field.value()? {
                        RECOVERY_UNCHANGED => None,
                        number => Some(read_recovery(number)?),
                    }
                }
                6 => record.eligible_leader_replicas = field.value()?,
                7 => record.last_known_elr = field.value()?,
                8 => record.directories = field.value()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(record)
    }

    fn write_version(&self, writer: &mut Writer, version: i16) {
        writer.value(&self.partition_id).value(&self.topic_id);
        let mut tags = Tags::new();
        add_some(&mut tags, 0, self.isr.as_ref());
        if self.leader != LeaderChange::Unchanged {
            tags.add(1, &self.leader.to_wire());
        }
        add_some(&mut tags, 2, self.replicas.as_ref());
        add_some(&mut tags, 3, self.removing_replicas.as_ref());
        add_some(&mut tags, 4, self.adding_replicas.as_ref());
        add_some(
            &mut tags,
            5,
            self.leader_recovery_state.map(LeaderRecoveryState::number).as_ref(),
        );
        writer.lacks(
            "EligibleLeaderReplicas",
            version,
            version < 2 && self.eligible_leader_replicas.is_some(),
        );
        add_some(&mut tags, 6, self.eligible_leader_replicas.as_ref());
        writer.lacks("LastKnownElr", version, version < 2 && self.last_known_elr.is_some());
        add_some(&mut tags, 7, self.last_known_elr.as_ref());
        writer.lacks("Directories", version, version < 1 && self.directories.is_some());
        add_some(&mut tags, 8, self.directories.as_ref());
        writer.tags(tags);
    }
}

/// -1 where a change says nothing about the recovery.
const RECOVERY_UNCHANGED: i8 = -1;

fn add_some<T: Compact>(tags: &mut Tags, tag: u32, value: Option<&T>) {
    if let Some(value) = value {
        tags.add(tag, value);
    }
}
