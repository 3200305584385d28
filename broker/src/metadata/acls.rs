use uuid::Uuid;

use super::OrderedMap;
use crate::protocol::internal_records::metadata::{
    AccessControlEntryRecord, RemoveAccessControlEntryRecord,
};

/// One access control entry, kept as its record has it.
///
/// The numbers are Kafka's own; nothing here reads them yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessControlEntry {
    /// What kind of resource it is about.
    pub resource_type: i8,
    /// The resource's name, a prefix of it, or `*`.
    pub resource_name: String,
    /// How the name is to be matched.
    pub pattern_type: i8,
    /// Whom it is about, as `User:name`.
    pub principal: String,
    /// From which host, or `*`.
    pub host: String,
    /// Which operation.
    pub operation: i8,
    /// Allowed or denied.
    pub permission_type: i8,
}

/// All access control entries, by their identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclsImage {
    pub(super) entries: OrderedMap<Uuid, AccessControlEntry>,
}

impl AclsImage {
    /// All entries, by identity.
    pub fn iter(&self) -> impl Iterator<Item = (&Uuid, &AccessControlEntry)> {
        self.entries.iter()
    }

    pub(super) fn add(&mut self, record: &AccessControlEntryRecord) {
        let entry = AccessControlEntry {
            resource_type: record.resource_type,
            resource_name: record.resource_name.clone(),
            pattern_type: record.pattern_type,
            principal: record.principal.clone(),
            host: record.host.clone(),
            operation: record.operation,
            permission_type: record.permission_type,
        };
        self.entries.insert(record.id, entry);
    }

    pub(super) fn remove(&mut self, record: &RemoveAccessControlEntryRecord) -> Result<(), String> {
        match self.entries.remove(&record.id) {
            Some(_) => Ok(()),
            None => Err(format!("there is no access control entry {}", record.id)),
        }
    }
}
