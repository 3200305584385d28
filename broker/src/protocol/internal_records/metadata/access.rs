//! Records about who may do what, and how much of it.

use bytes::Bytes;
use uuid::Uuid;

use super::{Compact, Error, Reader, Versioned, Writer};
use crate::model::Timestamp;

record! {
    /// An access control entry was added. Numbers are those of `CreateAcls`.
    AccessControlEntryRecord {
        /// Its identity, by which it is removed.
        id: Uuid,
        /// What kind of resource.
        resource_type: i8,
        /// Which.
        resource_name: String,
        /// Whether the name is meant literally or as a prefix.
        pattern_type: i8,
        /// Who, such as `User:alice`.
        principal: String,
        /// From where.
        host: String,
        /// Doing what.
        operation: i8,
        /// Denied or allowed.
        permission_type: i8,
    }
}

record! {
    /// An access control entry was removed.
    RemoveAccessControlEntryRecord {
        /// Its identity.
        id: Uuid,
    }
}

record! {
    /// A SCRAM credential was set.
    UserScramCredentialRecord {
        /// The user.
        name: String,
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8,
        /// Random.
        salt: Bytes,
        /// Proves the client.
        stored_key: Bytes,
        /// Proves the server.
        server_key: Bytes,
        /// How often the password was hashed.
        iterations: i32,
    }
}

record! {
    /// A SCRAM credential was removed.
    RemoveUserScramCredentialRecord {
        /// The user.
        name: String,
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8,
    }
}

record! {
    /// A delegation token was made or renewed.
    DelegationTokenRecord {
        /// Whose it is.
        owner: String,
        /// Who asked for it.
        requester: String,
        /// Who may renew it.
        renewers: Vec<String>,
        /// When it was made.
        issue_timestamp: Timestamp,
        /// When it ends whatever happens.
        max_timestamp: Timestamp,
        /// When it ends unless renewed.
        expiration_timestamp: Timestamp,
        /// Its identity.
        token_id: String,
    }
}

record! {
    /// A delegation token was removed.
    RemoveDelegationTokenRecord {
        /// Its identity.
        token_id: String,
    }
}

structure! {
    /// One part of whom a quota concerns.
    QuotaEntity {
        /// `user`, `client-id` or `ip`.
        entity_type: String,
        /// Which; `None` is the default of all.
        entity_name: Option<String>,
    }
}

record! {
    /// A quota was set or removed.
    ClientQuotaRecord {
        /// Whom it concerns.
        entity: Vec<QuotaEntity>,
        /// What is limited.
        key: String,
        /// The limit.
        value: f64,
        /// True when the quota is removed.
        remove: bool,
    }
}
