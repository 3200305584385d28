//! Compact field tables of every message, by version: what [`schema_walk`](super::schema_walk) walks along.
//!
//! A table says no more than the walk needs: the order of fields, their encoded form, the versions that have them,
//! where null is allowed, and which are tagged. Names are there for error messages only. `since` and `until` are
//! left out where the range of the message itself says it.
//!
//! Source: the message definitions of Apache Kafka; the property test `schema_walk` compares every table with the
//! codec package, version by version.

use kafka_protocol::messages::ApiKey;

// Tables are set by hand: one line per field, or per structure where it fits.
#[rustfmt::skip]
mod cluster;
#[rustfmt::skip]
mod data;
#[rustfmt::skip]
mod groups;
#[rustfmt::skip]
mod quorum;
#[rustfmt::skip]
mod security;
#[rustfmt::skip]
mod share;
#[rustfmt::skip]
mod topics;
#[rustfmt::skip]
mod transactions;

pub use groups::{CONSUMER_PROTOCOL_ASSIGNMENT, CONSUMER_PROTOCOL_SUBSCRIPTION};
pub use quorum::DEFAULT_PRINCIPAL_DATA;

/// The fields of one message in all its versions.
#[derive(Debug)]
pub struct Schema {
    /// Lowest version the codec knows.
    pub min_version: i16,
    /// Highest version the codec knows.
    pub max_version: i16,
    /// From here on lengths are compact and structures end in tagged fields (KIP-482).
    pub flexible_from: i16,
    /// The fields, in the order of the wire; tagged ones anywhere.
    pub fields: &'static [Field],
}

/// One field of a message or of a structure in it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As Kafka's definition has it, in our spelling.
    pub name: &'static str,
    /// Its encoded form.
    pub kind: Kind,
    /// First version that has it.
    pub since: i16,
    /// Last version that has it.
    pub until: i16,
    /// First version in which it may be null.
    pub nullable_since: i16,
    /// Its number, when it is tagged.
    pub tag: Option<u32>,
}

/// The encoded form of a field.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Always the same number of bytes.
    Fixed(u8),
    /// Text with its length, of at most 32767 bytes.
    Text,
    /// Bytes with their length.
    Bytes,
    /// A nested structure.
    Structure(&'static [Field]),
    /// A count and as many scalars.
    Scalars(Scalar),
    /// A count and as many structures.
    Structures {
        /// The fields of each.
        fields: &'static [Field],
        /// What the codec allocates for each, without what it points at.
        memory_bytes: u32,
    },
}

/// An element that is not a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Always the same number of bytes.
    Fixed(u8),
    /// Text with its length.
    Text,
}

impl Schema {
    const fn versions(min_version: i16, max_version: i16) -> Self {
        Self { min_version, max_version, flexible_from: NEVER, fields: &[] }
    }

    const fn flexible_from(self, version: i16) -> Self {
        Self { flexible_from: version, ..self }
    }

    const fn fields(self, fields: &'static [Field]) -> Self {
        Self { fields, ..self }
    }

    /// True when this version has compact lengths and tagged fields.
    #[must_use]
    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }
}

impl Field {
    /// True when this version has the field.
    #[must_use]
    pub const fn is_in(&self, version: i16) -> bool {
        self.since <= version && version <= self.until
    }

    /// True when the field may be null in this version.
    #[must_use]
    pub const fn may_be_null(&self, version: i16) -> bool {
        self.nullable_since <= version
    }

    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, since: 0, until: NEVER, nullable_since: NEVER, tag: None }
    }

    const fn since(self, version: i16) -> Self {
        Self { since: version, ..self }
    }

    const fn until(self, version: i16) -> Self {
        Self { until: version, ..self }
    }

    const fn nullable(self) -> Self {
        Self { nullable_since: 0, ..self }
    }

    const fn nullable_since(self, version: i16) -> Self {
        Self { nullable_since: version, ..self }
    }

    const fn tagged(self, tag: u32) -> Self {
        Self { tag: Some(tag), ..self }
    }
}

/// No version is this high.
const NEVER: i16 = i16::MAX;

macro_rules! fixed {
    ($($name:ident $bytes:literal),+ $(,)?) => {$(
        const fn $name(name: &'static str) -> Field {
            Field::new(name, Kind::Fixed($bytes))
        }
    )+};
}

fixed! {
    boolean 1,
    int8 1,
    int16 2,
    uint16 2,
    int32 4,
    int64 8,
    float64 8,
    uuid 16,
}

const INT8: Scalar = Scalar::Fixed(1);
const INT32: Scalar = Scalar::Fixed(4);
const INT64: Scalar = Scalar::Fixed(8);
const UUID: Scalar = Scalar::Fixed(16);
const STRING: Scalar = Scalar::Text;

const fn string(name: &'static str) -> Field {
    Field::new(name, Kind::Text)
}

const fn bytes(name: &'static str) -> Field {
    Field::new(name, Kind::Bytes)
}

/// Record batches: bytes that are judged elsewhere.
const fn records(name: &'static str) -> Field {
    Field::new(name, Kind::Bytes)
}

const fn structure(name: &'static str, fields: &'static [Field]) -> Field {
    Field::new(name, Kind::Structure(fields))
}

const fn array_of(name: &'static str, scalar: Scalar) -> Field {
    Field::new(name, Kind::Scalars(scalar))
}

const fn array(name: &'static str, fields: &'static [Field]) -> Field {
    Field::new(name, Kind::Structures { fields, memory_bytes: memory_of(fields) })
}

/// In memory the codec keeps text and bytes as `Bytes`, arrays as `Vec`.
const REFERENCE_BYTES: u32 = 32;
const VECTOR_BYTES: u32 = 24;
/// The map of unknown tagged fields in each structure.
const TAG_MAP_BYTES: u32 = 24;

impl Scalar {
    /// What the codec allocates for one element.
    #[must_use]
    pub const fn memory_bytes(self) -> u32 {
        match self {
            Self::Fixed(bytes) => bytes as u32,
            Self::Text => REFERENCE_BYTES,
        }
    }
}

/// The size of the codec's structure, which has the fields of all versions.
const fn memory_of(fields: &[Field]) -> u32 {
    let mut sum = TAG_MAP_BYTES;
    let mut index = 0;
    while index < fields.len() {
        sum += match fields[index].kind {
            Kind::Fixed(bytes) => bytes as u32,
            Kind::Text | Kind::Bytes => REFERENCE_BYTES,
            Kind::Structure(nested) => memory_of(nested),
            Kind::Scalars(_) | Kind::Structures { .. } => VECTOR_BYTES,
        };
        index += 1;
    }
    sum.next_multiple_of(8)
}

/// The tables of one API.
struct Pair {
    request: &'static Schema,
    response: &'static Schema,
}

/// The table of an API's request.
#[must_use]
pub const fn request_schema(key: ApiKey) -> &'static Schema {
    pair(key).request
}

/// The table of an API's response.
#[must_use]
pub const fn response_schema(key: ApiKey) -> &'static Schema {
    pair(key).response
}

#[expect(clippy::too_many_lines, reason = "one line per API")]
const fn pair(key: ApiKey) -> Pair {
    macro_rules! of {
        ($module:ident $request:ident $response:ident) => {
            Pair { request: &$module::$request, response: &$module::$response }
        };
    }
    match key {
        ApiKey::Produce => of!(data PRODUCE_REQUEST PRODUCE_RESPONSE),
        ApiKey::Fetch => of!(data FETCH_REQUEST FETCH_RESPONSE),
        ApiKey::ListOffsets => of!(data LIST_OFFSETS_REQUEST LIST_OFFSETS_RESPONSE),
        ApiKey::Metadata => of!(cluster METADATA_REQUEST METADATA_RESPONSE),
        ApiKey::OffsetCommit => of!(groups OFFSET_COMMIT_REQUEST OFFSET_COMMIT_RESPONSE),
        ApiKey::OffsetFetch => of!(groups OFFSET_FETCH_REQUEST OFFSET_FETCH_RESPONSE),
        ApiKey::FindCoordinator => of!(groups FIND_COORDINATOR_REQUEST FIND_COORDINATOR_RESPONSE),
        ApiKey::JoinGroup => of!(groups JOIN_GROUP_REQUEST JOIN_GROUP_RESPONSE),
        ApiKey::Heartbeat => of!(groups HEARTBEAT_REQUEST HEARTBEAT_RESPONSE),
        ApiKey::LeaveGroup => of!(groups LEAVE_GROUP_REQUEST LEAVE_GROUP_RESPONSE),
        ApiKey::SyncGroup => of!(groups SYNC_GROUP_REQUEST SYNC_GROUP_RESPONSE),
        ApiKey::DescribeGroups => of!(groups DESCRIBE_GROUPS_REQUEST DESCRIBE_GROUPS_RESPONSE),
        ApiKey::ListGroups => of!(groups LIST_GROUPS_REQUEST LIST_GROUPS_RESPONSE),
        ApiKey::SaslHandshake => of!(cluster SASL_HANDSHAKE_REQUEST SASL_HANDSHAKE_RESPONSE),
        ApiKey::ApiVersions => of!(cluster API_VERSIONS_REQUEST API_VERSIONS_RESPONSE),
        ApiKey::CreateTopics => of!(topics CREATE_TOPICS_REQUEST CREATE_TOPICS_RESPONSE),
        ApiKey::DeleteTopics => of!(topics DELETE_TOPICS_REQUEST DELETE_TOPICS_RESPONSE),
        ApiKey::DeleteRecords => of!(data DELETE_RECORDS_REQUEST DELETE_RECORDS_RESPONSE),
        ApiKey::InitProducerId => {
            of!(transactions INIT_PRODUCER_ID_REQUEST INIT_PRODUCER_ID_RESPONSE)
        }
        ApiKey::OffsetForLeaderEpoch => {
            of!(data OFFSET_FOR_LEADER_EPOCH_REQUEST OFFSET_FOR_LEADER_EPOCH_RESPONSE)
        }
        ApiKey::AddPartitionsToTxn => {
            of!(transactions ADD_PARTITIONS_TO_TXN_REQUEST ADD_PARTITIONS_TO_TXN_RESPONSE)
        }
        ApiKey::AddOffsetsToTxn => {
            of!(transactions ADD_OFFSETS_TO_TXN_REQUEST ADD_OFFSETS_TO_TXN_RESPONSE)
        }
        ApiKey::EndTxn => of!(transactions END_TXN_REQUEST END_TXN_RESPONSE),
        ApiKey::WriteTxnMarkers => {
            of!(transactions WRITE_TXN_MARKERS_REQUEST WRITE_TXN_MARKERS_RESPONSE)
        }
        ApiKey::TxnOffsetCommit => {
            of!(transactions TXN_OFFSET_COMMIT_REQUEST TXN_OFFSET_COMMIT_RESPONSE)
        }
        ApiKey::DescribeAcls => of!(security DESCRIBE_ACLS_REQUEST DESCRIBE_ACLS_RESPONSE),
        ApiKey::CreateAcls => of!(security CREATE_ACLS_REQUEST CREATE_ACLS_RESPONSE),
        ApiKey::DeleteAcls => of!(security DELETE_ACLS_REQUEST DELETE_ACLS_RESPONSE),
        ApiKey::DescribeConfigs => of!(topics DESCRIBE_CONFIGS_REQUEST DESCRIBE_CONFIGS_RESPONSE),
        ApiKey::AlterConfigs => of!(topics ALTER_CONFIGS_REQUEST ALTER_CONFIGS_RESPONSE),
        ApiKey::AlterReplicaLogDirs => {
            of!(data ALTER_REPLICA_LOG_DIRS_REQUEST ALTER_REPLICA_LOG_DIRS_RESPONSE)
        }
        ApiKey::DescribeLogDirs => of!(data DESCRIBE_LOG_DIRS_REQUEST DESCRIBE_LOG_DIRS_RESPONSE),
        ApiKey::SaslAuthenticate => {
            of!(cluster SASL_AUTHENTICATE_REQUEST SASL_AUTHENTICATE_RESPONSE)
        }
        ApiKey::CreatePartitions => {
            of!(topics CREATE_PARTITIONS_REQUEST CREATE_PARTITIONS_RESPONSE)
        }
        ApiKey::CreateDelegationToken => {
            of!(security CREATE_DELEGATION_TOKEN_REQUEST CREATE_DELEGATION_TOKEN_RESPONSE)
        }
        ApiKey::RenewDelegationToken => {
            of!(security RENEW_DELEGATION_TOKEN_REQUEST RENEW_DELEGATION_TOKEN_RESPONSE)
        }
        ApiKey::ExpireDelegationToken => {
            of!(security EXPIRE_DELEGATION_TOKEN_REQUEST EXPIRE_DELEGATION_TOKEN_RESPONSE)
        }
        ApiKey::DescribeDelegationToken => {
            of!(security DESCRIBE_DELEGATION_TOKEN_REQUEST DESCRIBE_DELEGATION_TOKEN_RESPONSE)
        }
        ApiKey::DeleteGroups => of!(groups DELETE_GROUPS_REQUEST DELETE_GROUPS_RESPONSE),
        ApiKey::ElectLeaders => of!(topics ELECT_LEADERS_REQUEST ELECT_LEADERS_RESPONSE),
        ApiKey::IncrementalAlterConfigs => {
            of!(topics INCREMENTAL_ALTER_CONFIGS_REQUEST INCREMENTAL_ALTER_CONFIGS_RESPONSE)
        }
        ApiKey::AlterPartitionReassignments => {
            of!(topics ALTER_PARTITION_REASSIGNMENTS_REQUEST ALTER_PARTITION_REASSIGNMENTS_RESPONSE)
        }
        ApiKey::ListPartitionReassignments => {
            of!(topics LIST_PARTITION_REASSIGNMENTS_REQUEST LIST_PARTITION_REASSIGNMENTS_RESPONSE)
        }
        ApiKey::OffsetDelete => of!(groups OFFSET_DELETE_REQUEST OFFSET_DELETE_RESPONSE),
        ApiKey::DescribeClientQuotas => {
            of!(security DESCRIBE_CLIENT_QUOTAS_REQUEST DESCRIBE_CLIENT_QUOTAS_RESPONSE)
        }
        ApiKey::AlterClientQuotas => {
            of!(security ALTER_CLIENT_QUOTAS_REQUEST ALTER_CLIENT_QUOTAS_RESPONSE)
        }
        ApiKey::DescribeUserScramCredentials => {
            of!(security DESCRIBE_USER_SCRAM_CREDENTIALS_REQUEST DESCRIBE_USER_SCRAM_CREDENTIALS_RESPONSE)
        }
        ApiKey::AlterUserScramCredentials => {
            of!(security ALTER_USER_SCRAM_CREDENTIALS_REQUEST ALTER_USER_SCRAM_CREDENTIALS_RESPONSE)
        }
        ApiKey::Vote => of!(quorum VOTE_REQUEST VOTE_RESPONSE),
        ApiKey::BeginQuorumEpoch => {
            of!(quorum BEGIN_QUORUM_EPOCH_REQUEST BEGIN_QUORUM_EPOCH_RESPONSE)
        }
        ApiKey::EndQuorumEpoch => of!(quorum END_QUORUM_EPOCH_REQUEST END_QUORUM_EPOCH_RESPONSE),
        ApiKey::DescribeQuorum => of!(quorum DESCRIBE_QUORUM_REQUEST DESCRIBE_QUORUM_RESPONSE),
        ApiKey::AlterPartition => of!(quorum ALTER_PARTITION_REQUEST ALTER_PARTITION_RESPONSE),
        ApiKey::UpdateFeatures => of!(topics UPDATE_FEATURES_REQUEST UPDATE_FEATURES_RESPONSE),
        ApiKey::Envelope => of!(quorum ENVELOPE_REQUEST ENVELOPE_RESPONSE),
        ApiKey::FetchSnapshot => of!(quorum FETCH_SNAPSHOT_REQUEST FETCH_SNAPSHOT_RESPONSE),
        ApiKey::DescribeCluster => of!(cluster DESCRIBE_CLUSTER_REQUEST DESCRIBE_CLUSTER_RESPONSE),
        ApiKey::DescribeProducers => {
            of!(transactions DESCRIBE_PRODUCERS_REQUEST DESCRIBE_PRODUCERS_RESPONSE)
        }
        ApiKey::BrokerRegistration => {
            of!(quorum BROKER_REGISTRATION_REQUEST BROKER_REGISTRATION_RESPONSE)
        }
        ApiKey::BrokerHeartbeat => of!(quorum BROKER_HEARTBEAT_REQUEST BROKER_HEARTBEAT_RESPONSE),
        ApiKey::UnregisterBroker => {
            of!(topics UNREGISTER_BROKER_REQUEST UNREGISTER_BROKER_RESPONSE)
        }
        ApiKey::DescribeTransactions => {
            of!(transactions DESCRIBE_TRANSACTIONS_REQUEST DESCRIBE_TRANSACTIONS_RESPONSE)
        }
        ApiKey::ListTransactions => {
            of!(transactions LIST_TRANSACTIONS_REQUEST LIST_TRANSACTIONS_RESPONSE)
        }
        ApiKey::AllocateProducerIds => {
            of!(quorum ALLOCATE_PRODUCER_IDS_REQUEST ALLOCATE_PRODUCER_IDS_RESPONSE)
        }
        ApiKey::ConsumerGroupHeartbeat => {
            of!(groups CONSUMER_GROUP_HEARTBEAT_REQUEST CONSUMER_GROUP_HEARTBEAT_RESPONSE)
        }
        ApiKey::ConsumerGroupDescribe => {
            of!(groups CONSUMER_GROUP_DESCRIBE_REQUEST CONSUMER_GROUP_DESCRIBE_RESPONSE)
        }
        ApiKey::ControllerRegistration => {
            of!(quorum CONTROLLER_REGISTRATION_REQUEST CONTROLLER_REGISTRATION_RESPONSE)
        }
        ApiKey::GetTelemetrySubscriptions => {
            of!(cluster GET_TELEMETRY_SUBSCRIPTIONS_REQUEST GET_TELEMETRY_SUBSCRIPTIONS_RESPONSE)
        }
        ApiKey::PushTelemetry => of!(cluster PUSH_TELEMETRY_REQUEST PUSH_TELEMETRY_RESPONSE),
        ApiKey::AssignReplicasToDirs => {
            of!(quorum ASSIGN_REPLICAS_TO_DIRS_REQUEST ASSIGN_REPLICAS_TO_DIRS_RESPONSE)
        }
        ApiKey::ListConfigResources => {
            of!(topics LIST_CONFIG_RESOURCES_REQUEST LIST_CONFIG_RESOURCES_RESPONSE)
        }
        ApiKey::DescribeTopicPartitions => {
            of!(cluster DESCRIBE_TOPIC_PARTITIONS_REQUEST DESCRIBE_TOPIC_PARTITIONS_RESPONSE)
        }
        ApiKey::ShareGroupHeartbeat => {
            of!(share SHARE_GROUP_HEARTBEAT_REQUEST SHARE_GROUP_HEARTBEAT_RESPONSE)
        }
        ApiKey::ShareGroupDescribe => {
            of!(share SHARE_GROUP_DESCRIBE_REQUEST SHARE_GROUP_DESCRIBE_RESPONSE)
        }
        ApiKey::ShareFetch => of!(share SHARE_FETCH_REQUEST SHARE_FETCH_RESPONSE),
        ApiKey::ShareAcknowledge => of!(share SHARE_ACKNOWLEDGE_REQUEST SHARE_ACKNOWLEDGE_RESPONSE),
        ApiKey::AddRaftVoter => of!(quorum ADD_RAFT_VOTER_REQUEST ADD_RAFT_VOTER_RESPONSE),
        ApiKey::RemoveRaftVoter => of!(quorum REMOVE_RAFT_VOTER_REQUEST REMOVE_RAFT_VOTER_RESPONSE),
        ApiKey::UpdateRaftVoter => of!(quorum UPDATE_RAFT_VOTER_REQUEST UPDATE_RAFT_VOTER_RESPONSE),
        ApiKey::InitializeShareGroupState => {
            of!(share INITIALIZE_SHARE_GROUP_STATE_REQUEST INITIALIZE_SHARE_GROUP_STATE_RESPONSE)
        }
        ApiKey::ReadShareGroupState => {
            of!(share READ_SHARE_GROUP_STATE_REQUEST READ_SHARE_GROUP_STATE_RESPONSE)
        }
        ApiKey::WriteShareGroupState => {
            of!(share WRITE_SHARE_GROUP_STATE_REQUEST WRITE_SHARE_GROUP_STATE_RESPONSE)
        }
        ApiKey::DeleteShareGroupState => {
            of!(share DELETE_SHARE_GROUP_STATE_REQUEST DELETE_SHARE_GROUP_STATE_RESPONSE)
        }
        ApiKey::ReadShareGroupStateSummary => {
            of!(share READ_SHARE_GROUP_STATE_SUMMARY_REQUEST READ_SHARE_GROUP_STATE_SUMMARY_RESPONSE)
        }
        ApiKey::DescribeShareGroupOffsets => {
            of!(share DESCRIBE_SHARE_GROUP_OFFSETS_REQUEST DESCRIBE_SHARE_GROUP_OFFSETS_RESPONSE)
        }
        ApiKey::AlterShareGroupOffsets => {
            of!(share ALTER_SHARE_GROUP_OFFSETS_REQUEST ALTER_SHARE_GROUP_OFFSETS_RESPONSE)
        }
        ApiKey::DeleteShareGroupOffsets => {
            of!(share DELETE_SHARE_GROUP_OFFSETS_REQUEST DELETE_SHARE_GROUP_OFFSETS_RESPONSE)
        }
    }
}
