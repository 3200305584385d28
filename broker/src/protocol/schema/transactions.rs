//! Idempotence and transactions.

use super::{
    INT32, INT64, STRING, Schema, array, array_of, boolean, int16, int32, int64, string,
};

// 22 InitProducerId
pub(super) static INIT_PRODUCER_ID_REQUEST: Schema = Schema::versions(0, 5).flexible_from(2).fields(&[
    string("transactional_id").nullable(),
    int32("transaction_timeout_ms"),
    int64("producer_id").since(3),
    int16("producer_epoch").since(3),
    boolean("enable2_pc").since(6),
    boolean("keep_prepared_txn").since(6),
]);

pub(super) static INIT_PRODUCER_ID_RESPONSE: Schema = Schema::versions(0, 6).flexible_from(2).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    int64("producer_id"),
    int16("producer_epoch"),
    int64("ongoing_txn_producer_id").since(6),
    int16("ongoing_txn_producer_epoch").since(6),
]);

// 24 AddPartitionsToTxn
pub(super) static ADD_PARTITIONS_TO_TXN_REQUEST: Schema = Schema::versions(0, 5).flexible_from(3).fields(&[
    array("transactions", &[
        string("transactional_id"),
        int64("producer_id"),
        int16("producer_epoch"),
        boolean("verify_only"),
        array("topics", &[string("name"), array_of("partitions", INT32)]),
    ]).since(4),
    string("v3_and_below_transactional_id").until(3),
    int64("v3_and_below_producer_id").until(3),
    int16("v3_and_below_producer_epoch").until(3),
    array("v3_and_below_topics", &[string("name"), array_of("partitions", INT32)]).until(3),
]);

pub(super) static ADD_PARTITIONS_TO_TXN_RESPONSE: Schema = Schema::versions(0, 5).flexible_from(3).fields(&[
    int32("throttle_time_ms"),
    int16("error_code").since(4),
    array("results_by_transaction", &[
        string("transactional_id"),
        array("topic_results", &[
            string("name"),
            array("results_by_partition", &[
                int32("partition_index"),
                int16("partition_error_code"),
            ]),
        ]),
    ]).since(4),
    array("results_by_topic_v3_and_below", &[
        string("name"),
        array("results_by_partition", &[
            int32("partition_index"),
            int16("partition_error_code"),
        ]),
    ]).until(3),
]);

// 25 AddOffsetsToTxn
pub(super) static ADD_OFFSETS_TO_TXN_REQUEST: Schema = Schema::versions(0, 4).flexible_from(3).fields(&[
    string("transactional_id"),
    int64("producer_id"),
    int16("producer_epoch"),
    string("group_id"),
]);

pub(super) static ADD_OFFSETS_TO_TXN_RESPONSE: Schema = Schema::versions(0, 4).flexible_from(3).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
]);

// 26 EndTxn
pub(super) static END_TXN_REQUEST: Schema = Schema::versions(0, 5).flexible_from(3).fields(&[
    string("transactional_id"),
    int64("producer_id"),
    int16("producer_epoch"),
    boolean("committed"),
]);

pub(super) static END_TXN_RESPONSE: Schema = Schema::versions(0, 5).flexible_from(3).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    int64("producer_id").since(5),
    int16("producer_epoch").since(5),
]);

// 27 WriteTxnMarkers
pub(super) static WRITE_TXN_MARKERS_REQUEST: Schema = Schema::versions(1, 1).flexible_from(1).fields(&[
    array("markers", &[
        int64("producer_id"),
        int16("producer_epoch"),
        boolean("transaction_result"),
        array("topics", &[string("name"), array_of("partition_indexes", INT32)]),
        int32("coordinator_epoch"),
    ]),
]);

pub(super) static WRITE_TXN_MARKERS_RESPONSE: Schema = Schema::versions(1, 1).flexible_from(1).fields(&[
    array("markers", &[
        int64("producer_id"),
        array("topics", &[
            string("name"),
            array("partitions", &[int32("partition_index"), int16("error_code")]),
        ]),
    ]),
]);

// 28 TxnOffsetCommit
pub(super) static TXN_OFFSET_COMMIT_REQUEST: Schema = Schema::versions(0, 5).flexible_from(3).fields(&[
    string("transactional_id"),
    string("group_id"),
    int64("producer_id"),
    int16("producer_epoch"),
    int32("generation_id").since(3),
    string("member_id").since(3),
    string("group_instance_id").since(3).nullable(),
    array("topics", &[
        string("name"),
        array("partitions", &[
            int32("partition_index"),
            int64("committed_offset"),
            int32("committed_leader_epoch").since(2),
            string("committed_metadata").nullable(),
        ]),
    ]),
]);

pub(super) static TXN_OFFSET_COMMIT_RESPONSE: Schema = Schema::versions(0, 5).flexible_from(3).fields(&[
    int32("throttle_time_ms"),
    array("topics", &[
        string("name"),
        array("partitions", &[int32("partition_index"), int16("error_code")]),
    ]),
]);

// 61 DescribeProducers
pub(super) static DESCRIBE_PRODUCERS_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    array("topics", &[string("name"), array_of("partition_indexes", INT32)]),
]);

pub(super) static DESCRIBE_PRODUCERS_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    array("topics", &[
        string("name"),
        array("partitions", &[
            int32("partition_index"),
            int16("error_code"),
            string("error_message").nullable(),
            array("active_producers", &[
                int64("producer_id"),
                int32("producer_epoch"),
                int32("last_sequence"),
                int64("last_timestamp"),
                int32("coordinator_epoch"),
                int64("current_txn_start_offset"),
            ]),
        ]),
    ]),
]);

// 65 DescribeTransactions
pub(super) static DESCRIBE_TRANSACTIONS_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    array_of("transactional_ids", STRING),
]);

pub(super) static DESCRIBE_TRANSACTIONS_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    array("transaction_states", &[
        int16("error_code"),
        string("transactional_id"),
        string("transaction_state"),
        int32("transaction_timeout_ms"),
        int64("transaction_start_time_ms"),
        int64("producer_id"),
        int16("producer_epoch"),
        array("topics", &[string("topic"), array_of("partitions", INT32)]),
    ]),
]);

// 66 ListTransactions
pub(super) static LIST_TRANSACTIONS_REQUEST: Schema = Schema::versions(0, 2).flexible_from(0).fields(&[
    array_of("state_filters", STRING),
    array_of("producer_id_filters", INT64),
    int64("duration_filter").since(1),
    string("transactional_id_pattern").since(2).nullable(),
]);

pub(super) static LIST_TRANSACTIONS_RESPONSE: Schema = Schema::versions(0, 2).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    array_of("unknown_state_filters", STRING),
    array("transaction_states", &[
        string("transactional_id"),
        int64("producer_id"),
        string("transaction_state"),
    ]),
]);
