use std::collections::BTreeMap;

use crate::protocol::internal_records::metadata::FeatureLevelRecord;

/// The finalized level of `metadata.version`: which records may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataVersion(i16);

impl MetadataVersion {
    /// The feature's name.
    pub const FEATURE: &'static str = "metadata.version";
    /// 3.3-IV3: the lowest that Kafka 4 knows.
    pub const MINIMUM: Self = Self(7);
    /// 4.4-IV2: the highest that this broker knows.
    pub const LATEST: Self = Self(33);

    /// The version with this level; `None` outside of what this broker knows.
    #[must_use]
    pub const fn from_level(level: i16) -> Option<Self> {
        if level >= Self::MINIMUM.0 && level <= Self::LATEST.0 { Some(Self(level)) } else { None }
    }

    /// Its level.
    #[must_use]
    pub const fn level(self) -> i16 {
        self.0
    }

    /// True when brokers register their log directories and partitions name theirs (3.7-IV2).
    #[must_use]
    pub const fn has_directory_assignment(self) -> bool {
        self.0 >= 17
    }

    /// True when brokers say which log directories take no new replicas (4.3-IV0).
    #[must_use]
    pub const fn has_cordoned_directories(self) -> bool {
        self.0 >= 30
    }

    /// True when controllers register (3.7-IV0).
    #[must_use]
    pub const fn has_controller_registration(self) -> bool {
        self.0 >= 15
    }

    /// True when a shrunk ISR must raise the leader epoch (before 3.6-IV0; KAFKA-15021).
    #[must_use]
    pub const fn bumps_leader_epoch_on_isr_shrink(self) -> bool {
        self.0 < 12
    }
}

/// The finalized features. Source: KIP-584.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeaturesImage {
    pub(super) finalized: BTreeMap<String, i16>,
    pub(super) zk_migration_state: i8,
}

impl FeaturesImage {
    /// The finalized level of a feature; 0 when it is not finalized.
    #[must_use]
    pub fn level(&self, name: &str) -> i16 {
        self.finalized.get(name).copied().unwrap_or(0)
    }

    /// All finalized features with their levels, `metadata.version` among them; `kraft.version` is the quorum's own.
    #[must_use]
    pub const fn finalized(&self) -> &BTreeMap<String, i16> {
        &self.finalized
    }

    /// The level of `metadata.version`; `None` while it has not been read, or is one this broker does not know.
    #[must_use]
    pub fn metadata_version(&self) -> Option<MetadataVersion> {
        MetadataVersion::from_level(self.level(MetadataVersion::FEATURE))
    }

    /// How far a migration from `ZooKeeper` had come, by Kafka's number; 0 when there was none.
    #[must_use]
    pub const fn zk_migration_state(&self) -> i8 {
        self.zk_migration_state
    }

    pub(super) fn set_level(&mut self, record: &FeatureLevelRecord) {
        if record.feature_level == 0 {
            self.finalized.remove(&record.name);
        } else {
            self.finalized.insert(record.name.clone(), record.feature_level);
        }
    }
}
