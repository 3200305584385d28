use std::collections::BTreeMap;

use crate::protocol::internal_records::metadata::ClientQuotaRecord;

/// Whom a quota is for: entity types (`user`, `client-id`, `ip`) with a name each; `None` is the default of that type.
/// Source: KIP-546.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntity(pub BTreeMap<String, Option<String>>);

/// All client quotas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuotasImage {
    pub(super) by_entity: BTreeMap<QuotaEntity, BTreeMap<String, f64>>,
}

impl QuotasImage {
    /// All quotas: for each entity its limits by name (`producer_byte_rate`, ...).
    pub fn iter(&self) -> impl Iterator<Item = (&QuotaEntity, &BTreeMap<String, f64>)> {
        self.by_entity.iter()
    }

    pub(super) fn set(&mut self, record: &ClientQuotaRecord) {
        let parts = record.entity.iter();
        let entity = QuotaEntity(
            parts.map(|part| (part.entity_type.clone(), part.entity_name.clone())).collect(),
        );
        if !record.remove {
            self.by_entity.entry(entity).or_default().insert(record.key.clone(), record.value);
        } else if let Some(limits) = self.by_entity.get_mut(&entity) {
            limits.remove(&record.key);
            if limits.is_empty() {
                self.by_entity.remove(&entity);
            }
        }
    }
}
