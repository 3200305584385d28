//! Producing, fetching and what else names offsets of partitions.

use super::{
    INT32, Schema, array, array_of, boolean, int16, int32, int64, int8, records, string, structure,
    uuid,
};

// 0 Produce
pub(super) static PRODUCE_REQUEST: Schema = Schema::versions(3, 13).flexible_from(9).fields(&[
    string("transactional_id").nullable(),
    int16("acks"),
    int32("timeout_ms"),
    array("topic_data", &[
        string("name").until(12),
        uuid("topic_id").since(13),
        array("partition_data", &[int32("index"), records("records").nullable()]),
    ]),
]);

pub(super) static PRODUCE_RESPONSE: Schema = Schema::versions(3, 13).flexible_from(9).fields(&[
    array("responses", &[
        string("name").until(12),
        uuid("topic_id").since(13),
        array("partition_responses", &[
            int32("index"),
            int16("error_code"),
            int64("base_offset"),
            int64("log_append_time_ms"),
            int64("log_start_offset").since(5),
            array("record_errors", &[
                int32("batch_index"),
                string("batch_index_error_message").nullable(),
            ]).since(8),
            string("error_message").since(8).nullable(),
            structure("current_leader", &[
                int32("leader_id"),
                int32("leader_epoch"),
            ]).since(10).tagged(0),
        ]),
    ]),
    int32("throttle_time_ms"),
    array("node_endpoints", &[
        int32("node_id"),
        string("host"),
        int32("port"),
        string("rack").nullable(),
    ]).since(10).tagged(0),
]);

// 1 Fetch
pub(super) static FETCH_REQUEST: Schema = Schema::versions(4, 18).flexible_from(12).fields(&[
    string("cluster_id").since(12).nullable().tagged(0),
    int32("replica_id").until(14),
    structure("replica_state", &[int32("replica_id"), int64("replica_epoch")]).since(15).tagged(1),
    int32("max_wait_ms"),
    int32("min_bytes"),
    int32("max_bytes"),
    int8("isolation_level"),
    int32("session_id").since(7),
    int32("session_epoch").since(7),
    array("topics", &[
        string("topic").until(12),
        uuid("topic_id").since(13),
        array("partitions", &[
            int32("partition"),
            int32("current_leader_epoch").since(9),
            int64("fetch_offset"),
            int32("last_fetched_epoch").since(12),
            int64("log_start_offset").since(5),
            int32("partition_max_bytes"),
            uuid("replica_directory_id").since(17).tagged(0),
            int64("high_watermark").since(18).tagged(1),
        ]),
    ]),
    array("forgotten_topics_data", &[
        string("topic").until(12),
        uuid("topic_id").since(13),
        array_of("partitions", INT32),
    ]).since(7),
    string("rack_id").since(11),
]);

pub(super) static FETCH_RESPONSE: Schema = Schema::versions(4, 18).flexible_from(12).fields(&[
    int32("throttle_time_ms"),
    int16("error_code").since(7),
    int32("session_id").since(7),
    array("responses", &[
        string("topic").until(12),
        uuid("topic_id").since(13),
        array("partitions", &[
            int32("partition_index"),
            int16("error_code"),
            int64("high_watermark"),
            int64("last_stable_offset"),
            int64("log_start_offset").since(5),
            structure("diverging_epoch", &[int32("epoch"), int64("end_offset")]).since(12).tagged(0),
            structure("current_leader", &[
                int32("leader_id"),
                int32("leader_epoch"),
            ]).since(12).tagged(1),
            structure("snapshot_id", &[int64("end_offset"), int32("epoch")]).since(12).tagged(2),
            array("aborted_transactions", &[
                int64("producer_id"),
                int64("first_offset"),
            ]).nullable(),
            int32("preferred_read_replica").since(11),
            records("records").nullable(),
        ]),
    ]),
    array("node_endpoints", &[
        int32("node_id"),
        string("host"),
        int32("port"),
        string("rack").nullable(),
    ]).since(16).tagged(0),
]);

// 2 ListOffsets
pub(super) static LIST_OFFSETS_REQUEST: Schema = Schema::versions(1, 10).flexible_from(6).fields(&[
    int32("replica_id"),
    int8("isolation_level").since(2),
    array("topics", &[
        string("name"),
        array("partitions", &[
            int32("partition_index"),
            int32("current_leader_epoch").since(4),
            int64("timestamp"),
        ]),
    ]),
    int32("timeout_ms").since(10),
]);

pub(super) static LIST_OFFSETS_RESPONSE: Schema = Schema::versions(1, 10).flexible_from(6).fields(&[
    int32("throttle_time_ms").since(2),
    array("topics", &[
        string("name"),
        array("partitions", &[
            int32("partition_index"),
            int16("error_code"),
            int64("timestamp"),
            int64("offset"),
            int32("leader_epoch").since(4),
        ]),
    ]),
]);

// 21 DeleteRecords
pub(super) static DELETE_RECORDS_REQUEST: Schema = Schema::versions(0, 2).flexible_from(2).fields(&[
    array("topics", &[
        string("name"),
        array("partitions", &[int32("partition_index"), int64("offset")]),
    ]),
    int32("timeout_ms"),
]);

pub(super) static DELETE_RECORDS_RESPONSE: Schema = Schema::versions(0, 2).flexible_from(2).fields(&[
    int32("throttle_time_ms"),
    array("topics", &[
        string("name"),
        array("partitions", &[
            int32("partition_index"),
            int64("low_watermark"),
            int16("error_code"),
        ]),
    ]),
]);

// 23 OffsetForLeaderEpoch
pub(super) static OFFSET_FOR_LEADER_EPOCH_REQUEST: Schema = Schema::versions(2, 4).flexible_from(4).fields(&[
    int32("replica_id").since(3),
    array("topics", &[
        string("topic"),
        array("partitions", &[
            int32("partition"),
            int32("current_leader_epoch"),
            int32("leader_epoch"),
        ]),
    ]),
]);

pub(super) static OFFSET_FOR_LEADER_EPOCH_RESPONSE: Schema = Schema::versions(2, 4).flexible_from(4).fields(&[
    int32("throttle_time_ms"),
    array("topics", &[
        string("topic"),
        array("partitions", &[
            int16("error_code"),
            int32("partition"),
            int32("leader_epoch"),
            int64("end_offset"),
        ]),
    ]),
]);

// 34 AlterReplicaLogDirs
pub(super) static ALTER_REPLICA_LOG_DIRS_REQUEST: Schema = Schema::versions(1, 2).flexible_from(2).fields(&[
    array("dirs", &[
        string("path"),
        array("topics", &[string("name"), array_of("partitions", INT32)]),
    ]),
]);

pub(super) static ALTER_REPLICA_LOG_DIRS_RESPONSE: Schema = Schema::versions(1, 2).flexible_from(2).fields(&[
    int32("throttle_time_ms"),
    array("results", &[
        string("topic_name"),
        array("partitions", &[int32("partition_index"), int16("error_code")]),
    ]),
]);

// 35 DescribeLogDirs
pub(super) static DESCRIBE_LOG_DIRS_REQUEST: Schema = Schema::versions(1, 4).flexible_from(2).fields(&[
    array("topics", &[string("topic"), array_of("partitions", INT32)]).nullable(),
]);

pub(super) static DESCRIBE_LOG_DIRS_RESPONSE: Schema = Schema::versions(1, 4).flexible_from(2).fields(&[
    int32("throttle_time_ms"),
    int16("error_code").since(3),
    array("results", &[
        int16("error_code"),
        string("log_dir"),
        array("topics", &[
            string("name"),
            array("partitions", &[
                int32("partition_index"),
                int64("partition_size"),
                int64("offset_lag"),
                boolean("is_future_key"),
            ]),
        ]),
        int64("total_bytes").since(4),
        int64("usable_bytes").since(4),
    ]),
]);
