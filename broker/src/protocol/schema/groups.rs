//! Consumer groups, classic and KIP-848, and their offsets.

use super::{
    INT32, STRING, Schema, array, array_of, boolean, bytes, int16, int32, int64, int8, string,
    structure, uuid,
};

// 8 OffsetCommit
pub(super) static OFFSET_COMMIT_REQUEST: Schema = Schema::versions(2, 9).flexible_from(8).fields(&[
    string("group_id"),
    int32("generation_id_or_member_epoch"),
    string("member_id"),
    string("group_instance_id").since(7).nullable(),
    int64("retention_time_ms").until(4),
    array("topics", &[
        string("name").until(9),
        uuid("topic_id").since(10),
        array("partitions", &[
            int32("partition_index"),
            int64("committed_offset"),
            int32("committed_leader_epoch").since(6),
            string("committed_metadata").nullable(),
        ]),
    ]),
]);

pub(super) static OFFSET_COMMIT_RESPONSE: Schema = Schema::versions(2, 10).flexible_from(8).fields(&[
    int32("throttle_time_ms").since(3),
    array("topics", &[
        string("name").until(9),
        uuid("topic_id").since(10),
        array("partitions", &[int32("partition_index"), int16("error_code")]),
    ]),
]);

// 9 OffsetFetch
pub(super) static OFFSET_FETCH_REQUEST: Schema = Schema::versions(1, 9).flexible_from(6).fields(&[
    string("group_id").until(7),
    array("topics", &[string("name"), array_of("partition_indexes", INT32)]).until(7).nullable_since(2),
    array("groups", &[
        string("group_id"),
        string("member_id").since(9).nullable(),
        int32("member_epoch").since(9),
        array("topics", &[
            string("name").until(9),
            uuid("topic_id").since(10),
            array_of("partition_indexes", INT32),
        ]).nullable(),
    ]).since(8),
    boolean("require_stable").since(7),
]);

pub(super) static OFFSET_FETCH_RESPONSE: Schema = Schema::versions(1, 10).flexible_from(6).fields(&[
    int32("throttle_time_ms").since(3),
    array("topics", &[
        string("name"),
        array("partitions", &[
            int32("partition_index"),
            int64("committed_offset"),
            int32("committed_leader_epoch").since(5),
            string("metadata").nullable(),
            int16("error_code"),
        ]),
    ]).until(7),
    int16("error_code").since(2).until(7),
    array("groups", &[
        string("group_id"),
        array("topics", &[
            string("name").until(9),
            uuid("topic_id").since(10),
            array("partitions", &[
                int32("partition_index"),
                int64("committed_offset"),
                int32("committed_leader_epoch"),
                string("metadata").nullable(),
                int16("error_code"),
            ]),
        ]),
        int16("error_code"),
    ]).since(8),
]);

// 10 FindCoordinator
pub(super) static FIND_COORDINATOR_REQUEST: Schema = Schema::versions(0, 6).flexible_from(3).fields(&[
    string("key").until(3),
    int8("key_type").since(1),
    array_of("coordinator_keys", STRING).since(4),
]);

pub(super) static FIND_COORDINATOR_RESPONSE: Schema = Schema::versions(0, 6).flexible_from(3).fields(&[
    int32("throttle_time_ms").since(1),
    int16("error_code").until(3),
    string("error_message").since(1).until(3).nullable(),
    int32("node_id").until(3),
    string("host").until(3),
    int32("port").until(3),
    array("coordinators", &[
        string("key"),
        int32("node_id"),
        string("host"),
        int32("port"),
        int16("error_code"),
        string("error_message").nullable(),
    ]).since(4),
]);

// 11 JoinGroup
pub(super) static JOIN_GROUP_REQUEST: Schema = Schema::versions(0, 9).flexible_from(6).fields(&[
    string("group_id"),
    int32("session_timeout_ms"),
    int32("rebalance_timeout_ms").since(1),
    string("member_id"),
    string("group_instance_id").since(5).nullable(),
    string("protocol_type"),
    array("protocols", &[string("name"), bytes("metadata")]),
    string("reason").since(8).nullable(),
]);

pub(super) static JOIN_GROUP_RESPONSE: Schema = Schema::versions(0, 9).flexible_from(6).fields(&[
    int32("throttle_time_ms").since(2),
    int16("error_code"),
    int32("generation_id"),
    string("protocol_type").since(7).nullable(),
    string("protocol_name").nullable_since(7),
    string("leader"),
    boolean("skip_assignment").since(9),
    string("member_id"),
    array("members", &[
        string("member_id"),
        string("group_instance_id").since(5).nullable(),
        bytes("metadata"),
    ]),
]);

// 12 Heartbeat
pub(super) static HEARTBEAT_REQUEST: Schema = Schema::versions(0, 4).flexible_from(4).fields(&[
    string("group_id"),
    int32("generation_id"),
    string("member_id"),
    string("group_instance_id").since(3).nullable(),
]);

pub(super) static HEARTBEAT_RESPONSE: Schema = Schema::versions(0, 4).flexible_from(4).fields(&[
    int32("throttle_time_ms").since(1),
    int16("error_code"),
]);

// 13 LeaveGroup
pub(super) static LEAVE_GROUP_REQUEST: Schema = Schema::versions(0, 5).flexible_from(4).fields(&[
    string("group_id"),
    string("member_id").until(2),
    array("members", &[
        string("member_id"),
        string("group_instance_id").nullable(),
        string("reason").since(5).nullable(),
    ]).since(3),
]);

pub(super) static LEAVE_GROUP_RESPONSE: Schema = Schema::versions(0, 5).flexible_from(4).fields(&[
    int32("throttle_time_ms").since(1),
    int16("error_code"),
    array("members", &[
        string("member_id"),
        string("group_instance_id").nullable(),
        int16("error_code"),
    ]).since(3),
]);

// 14 SyncGroup
pub(super) static SYNC_GROUP_REQUEST: Schema = Schema::versions(0, 5).flexible_from(4).fields(&[
    string("group_id"),
    int32("generation_id"),
    string("member_id"),
    string("group_instance_id").since(3).nullable(),
    string("protocol_type").since(5).nullable(),
    string("protocol_name").since(5).nullable(),
    array("assignments", &[string("member_id"), bytes("assignment")]),
]);

pub(super) static SYNC_GROUP_RESPONSE: Schema = Schema::versions(0, 5).flexible_from(4).fields(&[
    int32("throttle_time_ms").since(1),
    int16("error_code"),
    string("protocol_type").since(5).nullable(),
    string("protocol_name").since(5).nullable(),
    bytes("assignment"),
]);

// 15 DescribeGroups
pub(super) static DESCRIBE_GROUPS_REQUEST: Schema = Schema::versions(0, 6).flexible_from(5).fields(&[
    array_of("groups", STRING),
    boolean("include_authorized_operations").since(3),
]);

pub(super) static DESCRIBE_GROUPS_RESPONSE: Schema = Schema::versions(0, 6).flexible_from(5).fields(&[
    int32("throttle_time_ms").since(1),
    array("groups", &[
        int16("error_code"),
        string("error_message").since(6).nullable(),
        string("group_id"),
        string("group_state"),
        string("protocol_type"),
        string("protocol_data"),
        array("members", &[
            string("member_id"),
            string("group_instance_id").since(4).nullable(),
            string("client_id"),
            string("client_host"),
            bytes("member_metadata"),
            bytes("member_assignment"),
        ]),
        int32("authorized_operations").since(3),
    ]),
]);

// 16 ListGroups
pub(super) static LIST_GROUPS_REQUEST: Schema = Schema::versions(0, 5).flexible_from(3).fields(&[
    array_of("states_filter", STRING).since(4),
    array_of("types_filter", STRING).since(5),
]);

pub(super) static LIST_GROUPS_RESPONSE: Schema = Schema::versions(0, 5).flexible_from(3).fields(&[
    int32("throttle_time_ms").since(1),
    int16("error_code"),
    array("groups", &[
        string("group_id"),
        string("protocol_type"),
        string("group_state").since(4),
        string("group_type").since(5),
    ]),
]);

// 42 DeleteGroups
pub(super) static DELETE_GROUPS_REQUEST: Schema = Schema::versions(0, 2).flexible_from(2).fields(&[
    array_of("groups_names", STRING),
]);

pub(super) static DELETE_GROUPS_RESPONSE: Schema = Schema::versions(0, 2).flexible_from(2).fields(&[
    int32("throttle_time_ms"),
    array("results", &[string("group_id"), int16("error_code")]),
]);

// 47 OffsetDelete
pub(super) static OFFSET_DELETE_REQUEST: Schema = Schema::versions(0, 0).fields(&[
    string("group_id"),
    array("topics", &[
        string("name"),
        array("partitions", &[int32("partition_index")]),
    ]),
]);

pub(super) static OFFSET_DELETE_RESPONSE: Schema = Schema::versions(0, 0).fields(&[
    int16("error_code"),
    int32("throttle_time_ms"),
    array("topics", &[
        string("name"),
        array("partitions", &[int32("partition_index"), int16("error_code")]),
    ]),
]);

// 68 ConsumerGroupHeartbeat
pub(super) static CONSUMER_GROUP_HEARTBEAT_REQUEST: Schema = Schema::versions(0, 1).flexible_from(0).fields(&[
    string("group_id"),
    string("member_id"),
    int32("member_epoch"),
    string("instance_id").nullable(),
    string("rack_id").nullable(),
    int32("rebalance_timeout_ms"),
    array_of("subscribed_topic_names", STRING).nullable(),
    string("subscribed_topic_regex").since(1).nullable(),
    string("server_assignor").nullable(),
    array("topic_partitions", &[uuid("topic_id"), array_of("partitions", INT32)]).nullable(),
]);

pub(super) static CONSUMER_GROUP_HEARTBEAT_RESPONSE: Schema = Schema::versions(0, 1).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    string("member_id").nullable(),
    int32("member_epoch"),
    int32("heartbeat_interval_ms"),
    structure("assignment", &[
        array("topic_partitions", &[
            uuid("topic_id"),
            array_of("partitions", INT32),
        ]),
    ]).nullable(),
]);

// 69 ConsumerGroupDescribe
pub(super) static CONSUMER_GROUP_DESCRIBE_REQUEST: Schema = Schema::versions(0, 1).flexible_from(0).fields(&[
    array_of("group_ids", STRING),
    boolean("include_authorized_operations"),
]);

pub(super) static CONSUMER_GROUP_DESCRIBE_RESPONSE: Schema = Schema::versions(0, 1).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    array("groups", &[
        int16("error_code"),
        string("error_message").nullable(),
        string("group_id"),
        string("group_state"),
        int32("group_epoch"),
        int32("assignment_epoch"),
        string("assignor_name"),
        array("members", &[
            string("member_id"),
            string("instance_id").nullable(),
            string("rack_id").nullable(),
            int32("member_epoch"),
            string("client_id"),
            string("client_host"),
            array_of("subscribed_topic_names", STRING),
            string("subscribed_topic_regex").nullable(),
            structure("assignment", &[
                array("topic_partitions", &[
                    uuid("topic_id"),
                    string("topic_name"),
                    array_of("partitions", INT32),
                ]),
            ]),
            structure("target_assignment", &[
                array("topic_partitions", &[
                    uuid("topic_id"),
                    string("topic_name"),
                    array_of("partitions", INT32),
                ]),
            ]),
            int8("member_type").since(1),
        ]),
        int32("authorized_operations"),
    ]),
]);

/// The metadata of a classic group member with protocol type `consumer` (KIP-429).
pub static CONSUMER_PROTOCOL_SUBSCRIPTION: Schema = Schema::versions(0, 3).fields(&[
    array_of("topics", STRING),
    bytes("user_data").nullable(),
    array("owned_partitions", &[string("topic"), array_of("partitions", INT32)]).since(1),
    int32("generation_id").since(2),
    string("rack_id").since(3).nullable(),
]);

/// The assignment of a classic group member with protocol type `consumer`.
pub static CONSUMER_PROTOCOL_ASSIGNMENT: Schema = Schema::versions(0, 3).fields(&[
    array("assigned_partitions", &[string("topic"), array_of("partitions", INT32)]),
    bytes("user_data").nullable(),
]);
