use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::protocol::internal_records::metadata::{
    RemoveUserScramCredentialRecord, UserScramCredentialRecord,
};

/// What a broker keeps of a user's password for SCRAM. Source: KIP-554, RFC 5802.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    /// The salt.
    pub salt: Bytes,
    /// `StoredKey` of the RFC.
    pub stored_key: Bytes,
    /// `ServerKey` of the RFC.
    pub server_key: Bytes,
    /// How often the hash was iterated.
    pub iterations: i32,
}

/// Never shows the keys.
impl fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredential")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// All SCRAM credentials, by mechanism (Kafka's number) and user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScramImage {
    pub(super) credentials: BTreeMap<(i8, String), ScramCredential>,
}

impl ScramImage {
    /// The credential of a user for a mechanism.
    #[must_use]
    pub fn credential(&self, mechanism: i8, user: &str) -> Option<&ScramCredential> {
        self.credentials.get(&(mechanism, user.to_owned()))
    }

    pub(super) fn set(&mut self, record: &UserScramCredentialRecord) {
        let credential = ScramCredential {
            salt: record.salt.clone(),
            stored_key: record.stored_key.clone(),
            server_key: record.server_key.clone(),
            iterations: record.iterations,
        };
        self.credentials.insert((record.mechanism, record.name.clone()), credential);
    }

    pub(super) fn remove(
        &mut self,
        record: &RemoveUserScramCredentialRecord,
    ) -> Result<(), String> {
        match self.credentials.remove(&(record.mechanism, record.name.clone())) {
            Some(_) => Ok(()),
            None => Err(format!("user {} has no such credential", record.name)),
        }
    }
}
