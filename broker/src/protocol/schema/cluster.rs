//! What a client asks first: versions, authentication, the shape of the cluster; and telemetry.

use super::{
    INT32, INT8, STRING, Schema, array, array_of, boolean, bytes, int16, int32, int64, int8,
    string, structure, uuid,
};

// 3 Metadata
pub(super) static METADATA_REQUEST: Schema = Schema::versions(0, 13).flexible_from(9).fields(&[
    array("topics", &[
        uuid("topic_id").since(10),
        string("name").nullable_since(10),
    ]).nullable_since(1),
    boolean("allow_auto_topic_creation").since(4),
    boolean("include_cluster_authorized_operations").since(8).until(10),
    boolean("include_topic_authorized_operations").since(8),
]);

pub(super) static METADATA_RESPONSE: Schema = Schema::versions(0, 13).flexible_from(9).fields(&[
    int32("throttle_time_ms").since(3),
    array("brokers", &[
        int32("node_id"),
        string("host"),
        int32("port"),
        string("rack").since(1).nullable(),
    ]),
    string("cluster_id").since(2).nullable(),
    int32("controller_id").since(1),
    array("topics", &[
        int16("error_code"),
        string("name").nullable_since(12),
        uuid("topic_id").since(10),
        boolean("is_internal").since(1),
        array("partitions", &[
            int16("error_code"),
            int32("partition_index"),
            int32("leader_id"),
            int32("leader_epoch").since(7),
            array_of("replica_nodes", INT32),
            array_of("isr_nodes", INT32),
            array_of("offline_replicas", INT32).since(5),
        ]),
        int32("topic_authorized_operations").since(8),
    ]),
    int32("cluster_authorized_operations").since(8).until(10),
    int16("error_code").since(13),
]);

// 17 SaslHandshake
pub(super) static SASL_HANDSHAKE_REQUEST: Schema = Schema::versions(0, 1).fields(&[string("mechanism")]);

pub(super) static SASL_HANDSHAKE_RESPONSE: Schema = Schema::versions(0, 1).fields(&[
    int16("error_code"),
    array_of("mechanisms", STRING),
]);

// 18 ApiVersions
pub(super) static API_VERSIONS_REQUEST: Schema = Schema::versions(0, 4).flexible_from(3).fields(&[
    string("client_software_name").since(3),
    string("client_software_version").since(3),
]);

pub(super) static API_VERSIONS_RESPONSE: Schema = Schema::versions(0, 4).flexible_from(3).fields(&[
    int16("error_code"),
    array("api_keys", &[
        int16("api_key"),
        int16("min_version"),
        int16("max_version"),
    ]),
    int32("throttle_time_ms").since(1),
    array("supported_features", &[
        string("name"),
        int16("min_version"),
        int16("max_version"),
    ]).since(3).tagged(0),
    int64("finalized_features_epoch").since(3).tagged(1),
    array("finalized_features", &[
        string("name"),
        int16("max_version_level"),
        int16("min_version_level"),
    ]).since(3).tagged(2),
    boolean("zk_migration_ready").since(3).tagged(3),
]);

// 36 SaslAuthenticate
pub(super) static SASL_AUTHENTICATE_REQUEST: Schema = Schema::versions(0, 2).flexible_from(2).fields(&[bytes("auth_bytes")]);

pub(super) static SASL_AUTHENTICATE_RESPONSE: Schema = Schema::versions(0, 2).flexible_from(2).fields(&[
    int16("error_code"),
    string("error_message").nullable(),
    bytes("auth_bytes"),
    int64("session_lifetime_ms").since(1),
]);

// 60 DescribeCluster
pub(super) static DESCRIBE_CLUSTER_REQUEST: Schema = Schema::versions(0, 2).flexible_from(0).fields(&[
    boolean("include_cluster_authorized_operations"),
    int8("endpoint_type").since(1),
    boolean("include_fenced_brokers").since(2),
]);

pub(super) static DESCRIBE_CLUSTER_RESPONSE: Schema = Schema::versions(0, 2).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    int8("endpoint_type").since(1),
    string("cluster_id"),
    int32("controller_id"),
    array("brokers", &[
        int32("broker_id"),
        string("host"),
        int32("port"),
        string("rack").nullable(),
        boolean("is_fenced").since(2),
    ]),
    int32("cluster_authorized_operations"),
]);

// 71 GetTelemetrySubscriptions
pub(super) static GET_TELEMETRY_SUBSCRIPTIONS_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    uuid("client_instance_id"),
]);

pub(super) static GET_TELEMETRY_SUBSCRIPTIONS_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    uuid("client_instance_id"),
    int32("subscription_id"),
    array_of("accepted_compression_types", INT8),
    int32("push_interval_ms"),
    int32("telemetry_max_bytes"),
    boolean("delta_temporality"),
    array_of("requested_metrics", STRING),
]);

// 72 PushTelemetry
pub(super) static PUSH_TELEMETRY_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    uuid("client_instance_id"),
    int32("subscription_id"),
    boolean("terminating"),
    int8("compression_type"),
    bytes("metrics"),
]);

pub(super) static PUSH_TELEMETRY_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
]);

// 75 DescribeTopicPartitions
pub(super) static DESCRIBE_TOPIC_PARTITIONS_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    array("topics", &[string("name")]),
    int32("response_partition_limit"),
    structure("cursor", &[string("topic_name"), int32("partition_index")]).nullable(),
]);

pub(super) static DESCRIBE_TOPIC_PARTITIONS_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    array("topics", &[
        int16("error_code"),
        string("name").nullable(),
        uuid("topic_id"),
        boolean("is_internal"),
        array("partitions", &[
            int16("error_code"),
            int32("partition_index"),
            int32("leader_id"),
            int32("leader_epoch"),
            array_of("replica_nodes", INT32),
            array_of("isr_nodes", INT32),
            array_of("eligible_leader_replicas", INT32).nullable(),
            array_of("last_known_elr", INT32).nullable(),
            array_of("offline_replicas", INT32),
        ]),
        int32("topic_authorized_operations"),
    ]),
    structure("next_cursor", &[string("topic_name"), int32("partition_index")]).nullable(),
]);
