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

/// The same, for a controller that finds an empty log: in a transaction, as Kafka does it.
pub(super) fn bootstrap_transaction() -> Vec<MetadataRecord> {
    let name = Some("Bootstrap records".to_owned());
    let mut records = vec![MetadataRecord::from(BeginTransactionRecord { name })];
    records.extend(bootstrap_records());
    records.push(EndTransactionRecord {}.into());
    records
}
