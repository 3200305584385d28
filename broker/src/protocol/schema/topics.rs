//! Administration of topics, partitions and configurations.

use super::{
    INT32, INT8, STRING, Schema, array, array_of, boolean, int16, int32, int8, string, uuid,
};

// 19 CreateTopics
pub(super) static CREATE_TOPICS_REQUEST: Schema = Schema::versions(2, 7).flexible_from(5).fields(&[
    array("topics", &[
        string("name"),
        int32("num_partitions"),
        int16("replication_factor"),
        array("assignments", &[
            int32("partition_index"),
            array_of("broker_ids", INT32),
        ]),
        array("configs", &[string("name"), string("value").nullable()]),
    ]),
    int32("timeout_ms"),
    boolean("validate_only"),
]);

pub(super) static CREATE_TOPICS_RESPONSE: Schema = Schema::versions(2, 7).flexible_from(5).fields(&[
    int32("throttle_time_ms"),
    array("topics", &[
        string("name"),
        uuid("topic_id").since(7),
        int16("error_code"),
        string("error_message").nullable(),
        int16("topic_config_error_code").since(5).tagged(0),
        int32("num_partitions").since(5),
        int16("replication_factor").since(5),
        array("configs", &[
            string("name"),
            string("value").nullable(),
            boolean("read_only"),
            int8("config_source"),
            boolean("is_sensitive"),
        ]).since(5).nullable(),
    ]),
]);

// 20 DeleteTopics
pub(super) static DELETE_TOPICS_REQUEST: Schema = Schema::versions(1, 6).flexible_from(4).fields(&[
    array("topics", &[string("name").nullable(), uuid("topic_id")]).since(6),
    array_of("topic_names", STRING).until(5),
    int32("timeout_ms"),
]);

pub(super) static DELETE_TOPICS_RESPONSE: Schema = Schema::versions(1, 6).flexible_from(4).fields(&[
    int32("throttle_time_ms"),
    array("responses", &[
        string("name").nullable_since(6),
        uuid("topic_id").since(6),
        int16("error_code"),
        string("error_message").since(5).nullable(),
    ]),
]);

// 32 DescribeConfigs
pub(super) static DESCRIBE_CONFIGS_REQUEST: Schema = Schema::versions(1, 4).flexible_from(4).fields(&[
    array("resources", &[
        int8("resource_type"),
        string("resource_name"),
        array_of("configuration_keys", STRING).nullable(),
    ]),
    boolean("include_synonyms"),
    boolean("include_documentation").since(3),
]);

pub(super) static DESCRIBE_CONFIGS_RESPONSE: Schema = Schema::versions(1, 4).flexible_from(4).fields(&[
    int32("throttle_time_ms"),
    array("results", &[
        int16("error_code"),
        string("error_message").nullable(),
        int8("resource_type"),
        string("resource_name"),
        array("configs", &[
            string("name"),
            string("value").nullable(),
            boolean("read_only"),
            int8("config_source"),
            boolean("is_sensitive"),
            array("synonyms", &[
                string("name"),
                string("value").nullable(),
                int8("source"),
            ]),
            int8("config_type").since(3),
            string("documentation").since(3).nullable(),
        ]),
    ]),
]);

// 33 AlterConfigs
pub(super) static ALTER_CONFIGS_REQUEST: Schema = Schema::versions(0, 2).flexible_from(2).fields(&[
    array("resources", &[
        int8("resource_type"),
        string("resource_name"),
        array("configs", &[string("name"), string("value").nullable()]),
    ]),
    boolean("validate_only"),
]);

pub(super) static ALTER_CONFIGS_RESPONSE: Schema = Schema::versions(0, 2).flexible_from(2).fields(&[
    int32("throttle_time_ms"),
    array("responses", &[
        int16("error_code"),
        string("error_message").nullable(),
        int8("resource_type"),
        string("resource_name"),
    ]),
]);

// 37 CreatePartitions
pub(super) static CREATE_PARTITIONS_REQUEST: Schema = Schema::versions(0, 3).flexible_from(2).fields(&[
    array("topics", &[
        string("name"),
        int32("count"),
        array("assignments", &[array_of("broker_ids", INT32)]).nullable(),
    ]),
    int32("timeout_ms"),
    boolean("validate_only"),
]);

pub(super) static CREATE_PARTITIONS_RESPONSE: Schema = Schema::versions(0, 3).flexible_from(2).fields(&[
    int32("throttle_time_ms"),
    array("results", &[
        string("name"),
        int16("error_code"),
        string("error_message").nullable(),
    ]),
]);

// 43 ElectLeaders
pub(super) static ELECT_LEADERS_REQUEST: Schema = Schema::versions(0, 2).flexible_from(2).fields(&[
    int8("election_type").since(1),
    array("topic_partitions", &[string("topic"), array_of("partitions", INT32)]).nullable(),
    int32("timeout_ms"),
]);

pub(super) static ELECT_LEADERS_RESPONSE: Schema = Schema::versions(0, 2).flexible_from(2).fields(&[
    int32("throttle_time_ms"),
    int16("error_code").since(1),
    array("replica_election_results", &[
        string("topic"),
        array("partition_result", &[
            int32("partition_id"),
            int16("error_code"),
            string("error_message").nullable(),
        ]),
    ]),
]);

// 44 IncrementalAlterConfigs
pub(super) static INCREMENTAL_ALTER_CONFIGS_REQUEST: Schema = Schema::versions(0, 1).flexible_from(1).fields(&[
    array("resources", &[
        int8("resource_type"),
        string("resource_name"),
        array("configs", &[
            string("name"),
            int8("config_operation"),
            string("value").nullable(),
        ]),
    ]),
    boolean("validate_only"),
]);

pub(super) static INCREMENTAL_ALTER_CONFIGS_RESPONSE: Schema = Schema::versions(0, 1).flexible_from(1).fields(&[
    int32("throttle_time_ms"),
    array("responses", &[
        int16("error_code"),
        string("error_message").nullable(),
        int8("resource_type"),
        string("resource_name"),
    ]),
]);

// 45 AlterPartitionReassignments
pub(super) static ALTER_PARTITION_REASSIGNMENTS_REQUEST: Schema = Schema::versions(0, 1).flexible_from(0).fields(&[
    int32("timeout_ms"),
    boolean("allow_replication_factor_change").since(1),
    array("topics", &[
        string("name"),
        array("partitions", &[
            int32("partition_index"),
            array_of("replicas", INT32).nullable(),
        ]),
    ]),
]);

pub(super) static ALTER_PARTITION_REASSIGNMENTS_RESPONSE: Schema = Schema::versions(0, 1).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    boolean("allow_replication_factor_change").since(1),
    int16("error_code"),
    string("error_message").nullable(),
    array("responses", &[
        string("name"),
        array("partitions", &[
            int32("partition_index"),
            int16("error_code"),
            string("error_message").nullable(),
        ]),
    ]),
]);

// 46 ListPartitionReassignments
pub(super) static LIST_PARTITION_REASSIGNMENTS_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("timeout_ms"),
    array("topics", &[string("name"), array_of("partition_indexes", INT32)]).nullable(),
]);

pub(super) static LIST_PARTITION_REASSIGNMENTS_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    array("topics", &[
        string("name"),
        array("partitions", &[
            int32("partition_index"),
            array_of("replicas", INT32),
            array_of("adding_replicas", INT32),
            array_of("removing_replicas", INT32),
        ]),
    ]),
]);

// 57 UpdateFeatures
pub(super) static UPDATE_FEATURES_REQUEST: Schema = Schema::versions(0, 2).flexible_from(0).fields(&[
    int32("timeout_ms"),
    array("feature_updates", &[
        string("feature"),
        int16("max_version_level"),
        boolean("allow_downgrade").until(0),
        int8("upgrade_type").since(1),
    ]),
    boolean("validate_only").since(1),
]);

pub(super) static UPDATE_FEATURES_RESPONSE: Schema = Schema::versions(0, 2).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    array("results", &[
        string("feature"),
        int16("error_code"),
        string("error_message").nullable(),
    ]).until(1),
]);

// 64 UnregisterBroker
pub(super) static UNREGISTER_BROKER_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[int32("broker_id")]);

pub(super) static UNREGISTER_BROKER_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
]);

// 74 ListConfigResources
pub(super) static LIST_CONFIG_RESOURCES_REQUEST: Schema = Schema::versions(0, 1).flexible_from(0).fields(&[
    array_of("resource_types", INT8).since(1),
]);

pub(super) static LIST_CONFIG_RESOURCES_RESPONSE: Schema = Schema::versions(0, 1).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    array("config_resources", &[
        string("resource_name"),
        int8("resource_type").since(1),
    ]),
]);
