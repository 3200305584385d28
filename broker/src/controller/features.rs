use std::collections::BTreeMap;

use crate::metadata::{
    ConfigResource, ConfigResourceType, MetadataVersion, VersionRange, config_record,
};
use crate::protocol::internal_records::metadata::{
    BeginTransactionRecord, EndTransactionRecord, FeatureLevelRecord, MetadataRecord,
};

/// The feature that is the quorum's own: how voters are kept. Its level stands in the quorum's control records.
pub const KRAFT_VERSION: &str = "kraft.version";

/// The feature that lets replicas outside of the in-sync set lead. Source: KIP-966.
pub(super) const ELIGIBLE_LEADER_REPLICAS: &str = "eligible.leader.replicas.version";

/// The setting that says when a partition has too few replicas in sync.
pub(super) const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// The features this node can work with, as it says when it registers and in `ApiVersions`.
///
/// Features whose flows are not served (`group.version`, `transaction.version`, `share.version`, `streams.version`) are
/// absent, which is to say at level 0.
#[must_use]
pub fn supported_features() -> BTreeMap<String, VersionRange> {
    let versions = VersionRange {
        min: MetadataVersion::MINIMUM.level(),
        max: MetadataVersion::LATEST.level(),
    };
    BTreeMap::from([
        (ELIGIBLE_LEADER_REPLICAS.to_owned(), VersionRange { min: 0, max: 1 }),
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
    let version = level_in(&asked, MetadataVersion::FEATURE).and_then(MetadataVersion::from_level);
    let is_possible = |record: &MetadataRecord| {
        let MetadataRecord::FeatureLevel(feature) = record else { return true };
        if feature.name == ELIGIBLE_LEADER_REPLICAS
            && version.is_none_or(|version| !version.has_eligible_leaders())
        {
            return false;
        }
        supported.get(&feature.name).is_some_and(|range| range.contains(feature.feature_level))
    };
    let is_version = |record: &MetadataRecord| matches!(record, MetadataRecord::FeatureLevel(feature) if feature.name == MetadataVersion::FEATURE);
    let records: Vec<_> = asked.into_iter().filter(is_possible).collect();
    records.iter().any(is_version).then_some(records)
}

/// The level that these records give to a feature.
fn level_in(records: &[MetadataRecord], name: &str) -> Option<i16> {
    records.iter().rev().find_map(|record| {
        let MetadataRecord::FeatureLevel(feature) = record else { return None };
        (feature.name == name).then_some(feature.feature_level)
    })
}

/// The first records of a controller that finds an empty log: in a transaction, as Kafka does it.
///
/// Where replicas may be eligible to lead, all brokers must agree on how many are enough: `min.insync.replicas` is set for
/// the whole cluster then.
pub(super) fn bootstrap_transaction(
    bootstrap: &[MetadataRecord],
    min_insync_replicas: usize,
) -> Vec<MetadataRecord> {
    let name = Some("Bootstrap records".to_owned());
    let mut records = vec![MetadataRecord::from(BeginTransactionRecord { name })];
    records.extend_from_slice(bootstrap);
    let cluster = ConfigResource::new(ConfigResourceType::Broker, "");
    let is_set = |record: &MetadataRecord| {
        matches!(record, MetadataRecord::Config(config)
        if config.name == MIN_INSYNC_REPLICAS && config.resource_name.is_empty())
    };
    let has_eligible_leaders =
        level_in(bootstrap, ELIGIBLE_LEADER_REPLICAS).is_some_and(|level| level > 0);
    if has_eligible_leaders && !bootstrap.iter().any(is_set) {
        let value = Some(min_insync_replicas.to_string());
        records.push(config_record(&cluster, MIN_INSYNC_REPLICAS, value));
    }
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

    #[test]
    fn a_cluster_with_eligible_leaders_begins_with_one_minimum_for_all_brokers() {
        let eligible = feature(ELIGIBLE_LEADER_REPLICAS, 1);
        let asked = vec![feature("metadata.version", 23), eligible.clone()];
        assert_eq!(founding_records(asked.clone()), Some(asked.clone()));
        let too_old = vec![feature("metadata.version", 22), eligible];
        assert_eq!(founding_records(too_old), Some(vec![feature("metadata.version", 22)]));
        let cluster = ConfigResource::new(ConfigResourceType::Broker, "");
        let minimum = config_record(&cluster, MIN_INSYNC_REPLICAS, Some("2".to_owned()));
        let written = bootstrap_transaction(&asked, 2);
        assert_eq!(written.len(), 5);
        assert_eq!(written[3], minimum);
        assert_eq!(bootstrap_transaction(&bootstrap_records(), 2).len(), 3);
    }
}
