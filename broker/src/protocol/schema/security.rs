//! Access control, delegation tokens, SCRAM credentials and quotas.

use super::{
    Schema, array, boolean, bytes, float64, int16, int32, int64, int8, string,
};

// 29 DescribeAcls
pub(super) static DESCRIBE_ACLS_REQUEST: Schema = Schema::versions(1, 3).flexible_from(2).fields(&[
    int8("resource_type_filter"),
    string("resource_name_filter").nullable(),
    int8("pattern_type_filter"),
    string("principal_filter").nullable(),
    string("host_filter").nullable(),
    int8("operation"),
    int8("permission_type"),
]);

pub(super) static DESCRIBE_ACLS_RESPONSE: Schema = Schema::versions(1, 3).flexible_from(2).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    array("resources", &[
        int8("resource_type"),
        string("resource_name"),
        int8("pattern_type"),
        array("acls", &[
            string("principal"),
            string("host"),
            int8("operation"),
            int8("permission_type"),
        ]),
    ]),
]);

// 30 CreateAcls
pub(super) static CREATE_ACLS_REQUEST: Schema = Schema::versions(1, 3).flexible_from(2).fields(&[
    array("creations", &[
        int8("resource_type"),
        string("resource_name"),
        int8("resource_pattern_type"),
        string("principal"),
        string("host"),
        int8("operation"),
        int8("permission_type"),
    ]),
]);

pub(super) static CREATE_ACLS_RESPONSE: Schema = Schema::versions(1, 3).flexible_from(2).fields(&[
    int32("throttle_time_ms"),
    array("results", &[int16("error_code"), string("error_message").nullable()]),
]);

// 31 DeleteAcls
pub(super) static DELETE_ACLS_REQUEST: Schema = Schema::versions(1, 3).flexible_from(2).fields(&[
    array("filters", &[
        int8("resource_type_filter"),
        string("resource_name_filter").nullable(),
        int8("pattern_type_filter"),
        string("principal_filter").nullable(),
        string("host_filter").nullable(),
        int8("operation"),
        int8("permission_type"),
    ]),
]);

pub(super) static DELETE_ACLS_RESPONSE: Schema = Schema::versions(1, 3).flexible_from(2).fields(&[
    int32("throttle_time_ms"),
    array("filter_results", &[
        int16("error_code"),
        string("error_message").nullable(),
        array("matching_acls", &[
            int16("error_code"),
            string("error_message").nullable(),
            int8("resource_type"),
            string("resource_name"),
            int8("pattern_type"),
            string("principal"),
            string("host"),
            int8("operation"),
            int8("permission_type"),
        ]),
    ]),
]);

// 38 CreateDelegationToken
pub(super) static CREATE_DELEGATION_TOKEN_REQUEST: Schema = Schema::versions(1, 3).flexible_from(2).fields(&[
    string("owner_principal_type").since(3).nullable(),
    string("owner_principal_name").since(3).nullable(),
    array("renewers", &[string("principal_type"), string("principal_name")]),
    int64("max_lifetime_ms"),
]);

pub(super) static CREATE_DELEGATION_TOKEN_RESPONSE: Schema = Schema::versions(1, 3).flexible_from(2).fields(&[
    int16("error_code"),
    string("principal_type"),
    string("principal_name"),
    string("token_requester_principal_type").since(3),
    string("token_requester_principal_name").since(3),
    int64("issue_timestamp_ms"),
    int64("expiry_timestamp_ms"),
    int64("max_timestamp_ms"),
    string("token_id"),
    bytes("hmac"),
    int32("throttle_time_ms"),
]);

// 39 RenewDelegationToken
pub(super) static RENEW_DELEGATION_TOKEN_REQUEST: Schema = Schema::versions(1, 2).flexible_from(2).fields(&[
    bytes("hmac"),
    int64("renew_period_ms"),
]);

pub(super) static RENEW_DELEGATION_TOKEN_RESPONSE: Schema = Schema::versions(1, 2).flexible_from(2).fields(&[
    int16("error_code"),
    int64("expiry_timestamp_ms"),
    int32("throttle_time_ms"),
]);

// 40 ExpireDelegationToken
pub(super) static EXPIRE_DELEGATION_TOKEN_REQUEST: Schema = Schema::versions(1, 2).flexible_from(2).fields(&[
    bytes("hmac"),
    int64("expiry_time_period_ms"),
]);

pub(super) static EXPIRE_DELEGATION_TOKEN_RESPONSE: Schema = Schema::versions(1, 2).flexible_from(2).fields(&[
    int16("error_code"),
    int64("expiry_timestamp_ms"),
    int32("throttle_time_ms"),
]);

// 41 DescribeDelegationToken
pub(super) static DESCRIBE_DELEGATION_TOKEN_REQUEST: Schema = Schema::versions(1, 3).flexible_from(2).fields(&[
    array("owners", &[string("principal_type"), string("principal_name")]).nullable(),
]);

pub(super) static DESCRIBE_DELEGATION_TOKEN_RESPONSE: Schema = Schema::versions(1, 3).flexible_from(2).fields(&[
    int16("error_code"),
    array("tokens", &[
        string("principal_type"),
        string("principal_name"),
        string("token_requester_principal_type").since(3),
        string("token_requester_principal_name").since(3),
        int64("issue_timestamp"),
        int64("expiry_timestamp"),
        int64("max_timestamp"),
        string("token_id"),
        bytes("hmac"),
        array("renewers", &[string("principal_type"), string("principal_name")]),
    ]),
    int32("throttle_time_ms"),
]);

// 48 DescribeClientQuotas
pub(super) static DESCRIBE_CLIENT_QUOTAS_REQUEST: Schema = Schema::versions(0, 1).flexible_from(1).fields(&[
    array("components", &[
        string("entity_type"),
        int8("match_type"),
        string("match").nullable(),
    ]),
    boolean("strict"),
]);

pub(super) static DESCRIBE_CLIENT_QUOTAS_RESPONSE: Schema = Schema::versions(0, 1).flexible_from(1).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    array("entries", &[
        array("entity", &[string("entity_type"), string("entity_name").nullable()]),
        array("values", &[string("key"), float64("value")]),
    ]).nullable(),
]);

// 49 AlterClientQuotas
pub(super) static ALTER_CLIENT_QUOTAS_REQUEST: Schema = Schema::versions(0, 1).flexible_from(1).fields(&[
    array("entries", &[
        array("entity", &[string("entity_type"), string("entity_name").nullable()]),
        array("ops", &[string("key"), float64("value"), boolean("remove")]),
    ]),
    boolean("validate_only"),
]);

pub(super) static ALTER_CLIENT_QUOTAS_RESPONSE: Schema = Schema::versions(0, 1).flexible_from(1).fields(&[
    int32("throttle_time_ms"),
    array("entries", &[
        int16("error_code"),
        string("error_message").nullable(),
        array("entity", &[string("entity_type"), string("entity_name").nullable()]),
    ]),
]);

// 50 DescribeUserScramCredentials
pub(super) static DESCRIBE_USER_SCRAM_CREDENTIALS_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    array("users", &[string("name")]).nullable(),
]);

pub(super) static DESCRIBE_USER_SCRAM_CREDENTIALS_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    array("results", &[
        string("user"),
        int16("error_code"),
        string("error_message").nullable(),
        array("credential_infos", &[int8("mechanism"), int32("iterations")]),
    ]),
]);

// 51 AlterUserScramCredentials
pub(super) static ALTER_USER_SCRAM_CREDENTIALS_REQUEST: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    array("deletions", &[string("name"), int8("mechanism")]),
    array("upsertions", &[
        string("name"),
        int8("mechanism"),
        int32("iterations"),
        bytes("salt"),
        bytes("salted_password"),
    ]),
]);

pub(super) static ALTER_USER_SCRAM_CREDENTIALS_RESPONSE: Schema = Schema::versions(0, 0).flexible_from(0).fields(&[
    int32("throttle_time_ms"),
    array("results", &[
        string("user"),
        int16("error_code"),
        string("error_message").nullable(),
    ]),
]);
