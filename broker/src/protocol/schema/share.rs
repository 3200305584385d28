//! Share groups (KIP-932).

use super::{
    INT32, INT8, STRING, Schema, array, array_of, boolean, int16, int32, int64, int8, records,
    string, structure, uuid,
};

// 76 ShareGroupHeartbeat
pub(super) static SHARE_GROUP_HEARTBEAT_REQUEST: Schema = Schema::versions(1, 1).flexible_from(0).fields(&[
    string("group_id"),
    string("member_id"),
    int32("member_epoch"),
    string("rack_id").nullable(),
    array_of("subscribed_topic_names", STRING).nullable(),
]);

pub(super) static SHARE_GROUP_HEARTBEAT_RESPONSE: Schema = Schema::versions(1, 1).flexible_from(0).fields(&[
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

// 77 ShareGroupDescribe
pub(super) static SHARE_GROUP_DESCRIBE_REQUEST: Schema = Schema::versions(1, 1).flexible_from(0).fields(&[
    array_of("group_ids", STRING),
    boolean("include_authorized_operations"),
]);

pub(super) static SHARE_GROUP_DESCRIBE_RESPONSE: Schema = Schema::versions(1, 1).flexible_from(0).fields(&[
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
            string("rack_id").nullable(),
            int32("member_epoch"),
            string("client_id"),
            string("client_host"),
            array_of("subscribed_topic_names", STRING),
            structure("assignment", &[
                array("topic_partitions", &[
                    uuid("topic_id"),
                    string("topic_name"),
                    array_of("partitions", INT32),
                ]),
            ]),
        ]),
        int32("authorized_operations"),
    ]),
]);

// 78 ShareFetch
pub(super) static SHARE_FETCH_REQUEST: Schema = Schema::versions(1, 1).flexible_from(0).fields(&[
    string("group_id").nullable(),
    string("member_id").nullable(),
    int32("share_session_epoch"),
    int32("max_wait_ms"),
    int32("min_bytes"),
    int32("max_bytes"),
    int32("max_records"),
    int32("batch_size"),
    array("topics", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition_index"),
            array("acknowledgement_batches", &[
                int64("first_offset"),
                int64("last_offset"),
                array_of("acknowledge_types", INT8),
            ]),
        ]),
    ]),
    array("forgotten_topics_data", &[
        uuid("topic_id"),
        array_of("partitions", INT32),
    ]),
]);

pub(super) static SHARE_FETCH_RESPONSE: Schema = Schema::versions(1, 1).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    int32("acquisition_lock_timeout_ms"),
    array("responses", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition_index"),
            int16("error_code"),
            string("error_message").nullable(),
            int16("acknowledge_error_code"),
            string("acknowledge_error_message").nullable(),
            structure("current_leader", &[
                int32("leader_id"),
                int32("leader_epoch"),
            ]),
            records("records"),
            array("acquired_records", &[
                int64("first_offset"),
                int64("last_offset"),
                int16("delivery_count"),
            ]),
        ]),
    ]),
    array("node_endpoints", &[
        int32("node_id"),
        string("host"),
        int32("port"),
        string("rack").nullable(),
    ]),
]);

// 79 ShareAcknowledge
pub(super) static SHARE_ACKNOWLEDGE_REQUEST: Schema = Schema::versions(1, 1).flexible_from(0).fields(&[
    string("group_id").nullable(),
    string("member_id").nullable(),
    int32("share_session_epoch"),
    array("topics", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition_index"),
            array("acknowledgement_batches", &[
                int64("first_offset"),
                int64("last_offset"),
                array_of("acknowledge_types", INT8),
            ]),
        ]),
    ]),
]);

pub(super) static SHARE_ACKNOWLEDGE_RESPONSE: Schema = Schema::versions(1, 1).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    array("responses", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition_index"),
            int16("error_code"),
            string("error_message").nullable(),
            structure("current_leader", &[
                int32("leader_id"),
                int32("leader_epoch"),
            ]),
        ]),
    ]),
    array("node_endpoints", &[
        int32("node_id"),
        string("host"),
        int32("port"),
        string("rack").nullable(),
    ]),
]);

// 83 InitializeShareGroupState
pub(super) static INITIALIZE_SHARE_GROUP_STATE_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    string("group_id"),
    array("topics", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition"),
            int32("state_epoch"),
            int64("start_offset"),
        ]),
    ]),
]);

pub(super) static INITIALIZE_SHARE_GROUP_STATE_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    array("results", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition"),
            int16("error_code"),
            string("error_message").nullable(),
        ]),
    ]),
]);

// 84 ReadShareGroupState
pub(super) static READ_SHARE_GROUP_STATE_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    string("group_id"),
    array("topics", &[
        uuid("topic_id"),
        array("partitions", &[int32("partition"), int32("leader_epoch")]),
    ]),
]);

pub(super) static READ_SHARE_GROUP_STATE_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    array("results", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition"),
            int16("error_code"),
            string("error_message").nullable(),
            int32("state_epoch"),
            int64("start_offset"),
            array("state_batches", &[
                int64("first_offset"),
                int64("last_offset"),
                int8("delivery_state"),
                int16("delivery_count"),
            ]),
        ]),
    ]),
]);

// 85 WriteShareGroupState
pub(super) static WRITE_SHARE_GROUP_STATE_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    string("group_id"),
    array("topics", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition"),
            int32("state_epoch"),
            int32("leader_epoch"),
            int64("start_offset"),
            array("state_batches", &[
                int64("first_offset"),
                int64("last_offset"),
                int8("delivery_state"),
                int16("delivery_count"),
            ]),
        ]),
    ]),
]);

pub(super) static WRITE_SHARE_GROUP_STATE_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    array("results", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition"),
            int16("error_code"),
            string("error_message").nullable(),
        ]),
    ]),
]);

// 86 DeleteShareGroupState
pub(super) static DELETE_SHARE_GROUP_STATE_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    string("group_id"),
    array("topics", &[uuid("topic_id"), array("partitions", &[int32("partition")])]),
]);

pub(super) static DELETE_SHARE_GROUP_STATE_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    array("results", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition"),
            int16("error_code"),
            string("error_message").nullable(),
        ]),
    ]),
]);

// 87 ReadShareGroupStateSummary
pub(super) static READ_SHARE_GROUP_STATE_SUMMARY_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    string("group_id"),
    array("topics", &[
        uuid("topic_id"),
        array("partitions", &[int32("partition"), int32("leader_epoch")]),
    ]),
]);

pub(super) static READ_SHARE_GROUP_STATE_SUMMARY_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    array("results", &[
        uuid("topic_id"),
        array("partitions", &[
            int32("partition"),
            int16("error_code"),
            string("error_message").nullable(),
            int32("state_epoch"),
            int32("leader_epoch"),
            int64("start_offset"),
        ]),
    ]),
]);

// 90 DescribeShareGroupOffsets
pub(super) static DESCRIBE_SHARE_GROUP_OFFSETS_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    array("groups", &[
        string("group_id"),
        array("topics", &[string("topic_name"), array_of("partitions", INT32)]).nullable(),
    ]),
]);

pub(super) static DESCRIBE_SHARE_GROUP_OFFSETS_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    array("groups", &[
        string("group_id"),
        array("topics", &[
            string("topic_name"),
            uuid("topic_id"),
            array("partitions", &[
                int32("partition_index"),
                int64("start_offset"),
                int32("leader_epoch"),
                int16("error_code"),
                string("error_message").nullable(),
            ]),
        ]),
        int16("error_code"),
        string("error_message").nullable(),
    ]),
]);

// 91 AlterShareGroupOffsets
pub(super) static ALTER_SHARE_GROUP_OFFSETS_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    string("group_id"),
    array("topics", &[
        string("topic_name"),
        array("partitions", &[int32("partition_index"), int64("start_offset")]),
    ]),
]);

pub(super) static ALTER_SHARE_GROUP_OFFSETS_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    array("responses", &[
        string("topic_name"),
        uuid("topic_id"),
        array("partitions", &[
            int32("partition_index"),
            int16("error_code"),
            string("error_message").nullable(),
        ]),
    ]),
]);

// 92 DeleteShareGroupOffsets
pub(super) static DELETE_SHARE_GROUP_OFFSETS_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    string("group_id"),
    array("topics", &[string("topic_name")]),
]);

pub(super) static DELETE_SHARE_GROUP_OFFSETS_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    array("responses", &[
        string("topic_name"),
        uuid("topic_id"),
        int16("error_code"),
        string("error_message").nullable(),
    ]),
]);
