//! The KRaft quorum, and between brokers and controllers.

use super::{
    INT32, Schema, UUID, array, array_of, boolean, bytes, int16, int32, int64, int8, records,
    string, structure, uint16, uuid,
};

// 52 Vote
pub(super) static VOTE_REQUEST: Schema = Schema::versions(0, 2).flexible_from(0).fields(&[
    string("cluster_id").nullable(),
    int32("voter_id").since(1),
    array("topics", &[
        string("topic_name"),
        array("partitions", &[
            int32("partition_index"),
            int32("replica_epoch"),
            int32("replica_id"),
            uuid("replica_directory_id").since(1),
            uuid("voter_directory_id").since(1),
            int32("last_offset_epoch"),
            int64("last_offset"),
            boolean("pre_vote").since(2),
        ]),
    ]),
]);

pub(super) static VOTE_RESPONSE: Schema = Schema::versions(0, 2).flexible_from(0).fields(&[
    int16("error_code"),
    array("topics", &[
        string("topic_name"),
        array("partitions", &[
            int32("partition_index"),
            int16("error_code"),
            int32("leader_id"),
            int32("leader_epoch"),
            boolean("vote_granted"),
        ]),
    ]),
    array("node_endpoints", &[int32("node_id"), string("host"), uint16("port")]).since(1).tagged(0),
]);

// 53 BeginQuorumEpoch
pub(super) static BEGIN_QUORUM_EPOCH_REQUEST: Schema = Schema::versions(0, 1).flexible_from(1).fields(&[
    string("cluster_id").nullable(),
    int32("voter_id").since(1),
    array("topics", &[
        string("topic_name"),
        array("partitions", &[
            int32("partition_index"),
            uuid("voter_directory_id").since(1),
            int32("leader_id"),
            int32("leader_epoch"),
        ]),
    ]),
    array("leader_endpoints", &[string("name"), string("host"), uint16("port")]).since(1),
]);

pub(super) static BEGIN_QUORUM_EPOCH_RESPONSE: Schema = Schema::versions(0, 1).flexible_from(1).fields(&[
    int16("error_code"),
    array("topics", &[
        string("topic_name"),
        array("partitions", &[
            int32("partition_index"),
            int16("error_code"),
            int32("leader_id"),
            int32("leader_epoch"),
        ]),
    ]),
    array("node_endpoints", &[int32("node_id"), string("host"), uint16("port")]).since(1).tagged(0),
]);

// 54 EndQuorumEpoch
pub(super) static END_QUORUM_EPOCH_REQUEST: Schema = Schema::versions(0, 1).flexible_from(1).fields(&[
    string("cluster_id").nullable(),
    array("topics", &[
        string("topic_name"),
        array("partitions", &[
            int32("partition_index"),
            int32("leader_id"),
            int32("leader_epoch"),
            array_of("preferred_successors", INT32).until(0),
            array("preferred_candidates", &[
                int32("candidate_id"),
                uuid("candidate_directory_id"),
            ]).since(1),
        ]),
    ]),
    array("leader_endpoints", &[string("name"), string("host"), uint16("port")]).since(1),
]);

pub(super) static END_QUORUM_EPOCH_RESPONSE: Schema = Schema::versions(0, 1).flexible_from(1).fields(&[
    int16("error_code"),
    array("topics", &[
        string("topic_name"),
        array("partitions", &[
            int32("partition_index"),
            int16("error_code"),
            int32("leader_id"),
            int32("leader_epoch"),
        ]),
    ]),
    array("node_endpoints", &[int32("node_id"), string("host"), uint16("port")]).since(1).tagged(0),
]);

// 55 DescribeQuorum
pub(super) static DESCRIBE_QUORUM_REQUEST: Schema = Schema::versions(0, 2).flexible_from(0).fields(&[
    array("topics", &[
        string("topic_name"),
        array("partitions", &[int32("partition_index")]),
    ]),
]);

pub(super) static DESCRIBE_QUORUM_RESPONSE: Schema = Schema::versions(0, 2).flexible_from(0).fields(&[
    int16("error_code"),
    string("error_message").since(2).nullable(),
    array("topics", &[
        string("topic_name"),
        array("partitions", &[
            int32("partition_index"),
            int16("error_code"),
            string("error_message").since(2).nullable(),
            int32("leader_id"),
            int32("leader_epoch"),
            int64("high_watermark"),
            array("current_voters", &[
                int32("replica_id"),
                uuid("replica_directory_id").since(2),
                int64("log_end_offset"),
                int64("last_fetch_timestamp").since(1),
                int64("last_caught_up_timestamp").since(1),
            ]),
            array("observers", &[
                int32("replica_id"),
                uuid("replica_directory_id").since(2),
                int64("log_end_offset"),
                int64("last_fetch_timestamp").since(1),
                int64("last_caught_up_timestamp").since(1),
            ]),
        ]),
    ]),
    array("nodes", &[
        int32("node_id"),
        array("listeners", &[string("name"), string("host"), uint16("port")]),
    ]).since(2),
]);

// 56 AlterPartition
pub(super) static ALTER_PARTITION_REQUEST: Schema = Schema::versions(2, 3).flexible_from(0).fields(&[
    int32("broker_id"),
    int64("broker_epoch"),
    array("topics", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition_index"),
            int32("leader_epoch"),
            array_of("new_isr", INT32).until(2),
            array("new_isr_with_epochs", &[
                int32("broker_id"),
                int64("broker_epoch"),
            ]).since(3),
            int8("leader_recovery_state"),
            int32("partition_epoch"),
        ]),
    ]),
]);

pub(super) static ALTER_PARTITION_RESPONSE: Schema = Schema::versions(2, 3).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    array("topics", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition_index"),
            int16("error_code"),
            int32("leader_id"),
            int32("leader_epoch"),
            array_of("isr", INT32),
            int8("leader_recovery_state"),
            int32("partition_epoch"),
        ]),
    ]),
]);

// 58 Envelope
pub(super) static ENVELOPE_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    bytes("request_data"),
    bytes("request_principal").nullable(),
    bytes("client_host_address"),
]);

pub(super) static ENVELOPE_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    bytes("response_data").nullable(),
    int16("error_code"),
]);

// 59 FetchSnapshot
pub(super) static FETCH_SNAPSHOT_REQUEST: Schema = Schema::versions(0, 1).flexible_from(0).fields(&[
    string("cluster_id").nullable().tagged(0),
    int32("replica_id"),
    int32("max_bytes"),
    array("topics", &[
        string("name"),
        array("partitions", &[
            int32("partition"),
            int32("current_leader_epoch"),
            structure("snapshot_id", &[int64("end_offset"), int32("epoch")]),
            int64("position"),
            uuid("replica_directory_id").since(1).tagged(0),
        ]),
    ]),
]);

pub(super) static FETCH_SNAPSHOT_RESPONSE: Schema = Schema::versions(0, 1).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    array("topics", &[
        string("name"),
        array("partitions", &[
            int32("index"),
            int16("error_code"),
            structure("snapshot_id", &[int64("end_offset"), int32("epoch")]),
            structure("current_leader", &[
                int32("leader_id"),
                int32("leader_epoch"),
            ]).tagged(0),
            int64("size"),
            int64("position"),
            records("unaligned_records"),
        ]),
    ]),
    array("node_endpoints", &[int32("node_id"), string("host"), uint16("port")]).since(1).tagged(0),
]);

// 62 BrokerRegistration
pub(super) static BROKER_REGISTRATION_REQUEST: Schema = Schema::versions(0, 4).flexible_from(0).fields(&[
    int32("broker_id"),
    string("cluster_id"),
    uuid("incarnation_id"),
    array("listeners", &[
        string("name"),
        string("host"),
        uint16("port"),
        int16("security_protocol"),
    ]),
    array("features", &[
        string("name"),
        int16("min_supported_version"),
        int16("max_supported_version"),
    ]),
    string("rack").nullable(),
    boolean("is_migrating_zk_broker").since(1),
    array_of("log_dirs", UUID).since(2),
    int64("previous_broker_epoch").since(3),
]);

pub(super) static BROKER_REGISTRATION_RESPONSE: Schema = Schema::versions(0, 4).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    int64("broker_epoch"),
]);

// 63 BrokerHeartbeat
pub(super) static BROKER_HEARTBEAT_REQUEST: Schema = Schema::versions(0, 1).flexible_from(0).fields(&[
    int32("broker_id"),
    int64("broker_epoch"),
    int64("current_metadata_offset"),
    boolean("want_fence"),
    boolean("want_shut_down"),
    array_of("offline_log_dirs", UUID).since(1).tagged(0),
]);

pub(super) static BROKER_HEARTBEAT_RESPONSE: Schema = Schema::versions(0, 1).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    boolean("is_caught_up"),
    boolean("is_fenced"),
    boolean("should_shut_down"),
]);

// 67 AllocateProducerIds
pub(super) static ALLOCATE_PRODUCER_IDS_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("broker_id"),
    int64("broker_epoch"),
]);

pub(super) static ALLOCATE_PRODUCER_IDS_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    int64("producer_id_start"),
    int32("producer_id_len"),
]);

// 70 ControllerRegistration
pub(super) static CONTROLLER_REGISTRATION_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("controller_id"),
    uuid("incarnation_id"),
    boolean("zk_migration_ready"),
    array("listeners", &[
        string("name"),
        string("host"),
        uint16("port"),
        int16("security_protocol"),
    ]),
    array("features", &[
        string("name"),
        int16("min_supported_version"),
        int16("max_supported_version"),
    ]),
]);

pub(super) static CONTROLLER_REGISTRATION_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
]);

// 73 AssignReplicasToDirs
pub(super) static ASSIGN_REPLICAS_TO_DIRS_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("broker_id"),
    int64("broker_epoch"),
    array("directories", &[
        uuid("id"),
        array("topics", &[
            uuid("topic_id"),
            array("partitions", &[int32("partition_index")]),
        ]),
    ]),
]);

pub(super) static ASSIGN_REPLICAS_TO_DIRS_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    array("directories", &[
        uuid("id"),
        array("topics", &[
            uuid("topic_id"),
            array("partitions", &[int32("partition_index"), int16("error_code")]),
        ]),
    ]),
]);

// 80 AddRaftVoter
pub(super) static ADD_RAFT_VOTER_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    string("cluster_id").nullable(),
    int32("timeout_ms"),
    int32("voter_id"),
    uuid("voter_directory_id"),
    array("listeners", &[string("name"), string("host"), uint16("port")]),
]);

pub(super) static ADD_RAFT_VOTER_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
]);

// 81 RemoveRaftVoter
pub(super) static REMOVE_RAFT_VOTER_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    string("cluster_id").nullable(),
    int32("voter_id"),
    uuid("voter_directory_id"),
]);

pub(super) static REMOVE_RAFT_VOTER_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
]);

// 82 UpdateRaftVoter
pub(super) static UPDATE_RAFT_VOTER_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    string("cluster_id").nullable(),
    int32("current_leader_epoch"),
    int32("voter_id"),
    uuid("voter_directory_id"),
    array("listeners", &[string("name"), string("host"), uint16("port")]),
    structure("k_raft_version_feature", &[
        int16("min_supported_version"),
        int16("max_supported_version"),
    ]),
]);

pub(super) static UPDATE_RAFT_VOTER_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    structure("current_leader", &[
        int32("leader_id"),
        int32("leader_epoch"),
        string("host"),
        int32("port"),
    ]).tagged(0),
]);

/// The principal inside an Envelope (KIP-590).
pub static DEFAULT_PRINCIPAL_DATA: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    string("type"),
    string("name"),
    boolean("token_authenticated"),
]);
