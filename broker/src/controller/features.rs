use std::collections::BTreeMap;

use crate::metadata::{MetadataVersion, VersionRange};
use crate::protocol::internal_records::metadata::{
    BeginTransactionRecord, EndTransactionRecord, FeatureLevelRecord, MetadataRecord,
};

/// The feature that is the quorum's own: how voters are kept. Its level stands in the quorum's control records.
pub const KRAFT_VERSION: &str = "kraft.version";

/// The features this node can work with, as it says when it registers and in `ApiVersions`.
///
/// Features whose flows are not served (`group.version`, `transaction.version`, `share.version`, `streams.version`,
/// `eligible.leader.replicas.version`) are absent, which is to say at level 0.
#[must_use]
pub fn supported_features() -> BTreeMap<String, VersionRange> {
    let versions = VersionRange {
        min: MetadataVersion::MINIMUM.level(),
        max: MetadataVersion::LATEST.level(),
    };
    BTreeMap::from([
        (KRAFT_VERSION.to_owned(), VersionRange { min: 0, max: 1 }),
        (MetadataVersion::FEATURE.to_owned(), versions),
    ])
}

/// The records a new cluster begins with.
#[must_use]
pub fn bootstrap_records() -> Vec<MetadataRecord> {
    let record = FeatureLevelRecord {
        name: MetadataVersion::FEATURE.to_owned(),
        feature_level: MetadataVersion::LATEST.level(),
    };
    vec![record.into()]
}

/// The level to write at before the log says any.
pub(super) const FIRST_VERSION: MetadataVersion = MetadataVersion::LATEST;

/// What a cluster may begin with of what `bootstrap.checkpoint` says: features at levels that this program has not are left
/// out, as its APIs are. `None` when the metadata version is one of them.
#[must_use]
pub fn founding_records(asked: Vec<MetadataRecord>) -> Option<Vec<MetadataRecord>> {
    let supported = supported_features();
    let is_possible = |record: &MetadataRecord| {
        let MetadataRecord::FeatureLevel(feature) = record else { return true };
        supported.get(&feature.name).is_some_and(|range| range.contains(feature.feature_level))
    };
    let is_version = |record: &MetadataRecord| matches!(record, MetadataRecord::FeatureLevel(feature) if feature.name == MetadataVersion::FEATURE);
    let records: Vec<_> = asked.into_iter().filter(is_possible).collect();
    records.iter().any(is_version).then_some(records)
}

/// The first records of a controller that finds an empty log: in a transaction, as Kafka does it.
pub(super) fn bootstrap_transaction(bootstrap: &[MetadataRecord]) -> Vec<MetadataRecord> {
    let name = Some("Bootstrap records".to_owned());
    let mut records = vec![MetadataRecord::from(BeginTransactionRecord { name })];
    records.extend_from_slice(bootstrap);
    records.push(EndTransactionRecord {}.into());
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(name: &str, feature_level: i16) -> MetadataRecord {
        FeatureLevelRecord { name: name.to_owned(), feature_level }.into()
    }

    #[test]
    fn a_cluster_begins_with_what_was_asked_for_as_far_as_that_can_be_had() {
        let (version, kraft) = (feature("metadata.version", 21), feature("kraft.version", 1));
        let asked = vec![version.clone(), feature("group.version", 1), kraft.clone()];
        assert_eq!(founding_records(asked), Some(vec![version, kraft]));
        assert_eq!(founding_records(vec![feature("metadata.version", 999)]), None);
        assert_eq!(founding_records(Vec::new()), None);
        assert_eq!(founding_records(bootstrap_records()), Some(bootstrap_records()));
    }
}
