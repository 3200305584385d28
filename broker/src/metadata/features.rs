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

    /// The version of this name: a step on the way to a release, as `4.0-IV1`, or a release, as `4.0` or `4.0.2`, which means
    /// its last step. `None` for one that this broker does not know.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let (release, step) = match name.split_once("-IV") {
            Some((release, step)) => (release.to_owned(), Some(step.parse::<u8>().ok()?)),
            None => (name.split('.').take(2).collect::<Vec<_>>().join("."), None),
        };
        let place = RELEASES.iter().position(|(known, _)| *known == release)?;
        let (_, first) = RELEASES[place];
        let end = RELEASES.get(place + 1).map_or(Self::LATEST.0 + 1, |(_, next)| *next);
        let level = step.map_or(end - 1, |step| first + i16::from(step));
        if level < end { Self::from_level(level) } else { None }
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

    /// True when partitions can name eligible leaders (4.0-IV1).
    #[must_use]
    pub const fn has_eligible_leaders(self) -> bool {
        self.0 >= 23
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

/// Kafka's releases, with the level of each one's first step (IV0).
const RELEASES: [(&str, i16); 12] = [
    ("3.3", 4),
    ("3.4", 8),
    ("3.5", 9),
    ("3.6", 12),
    ("3.7", 15),
    ("3.8", 20),
    ("3.9", 21),
    ("4.0", 22),
    ("4.1", 26),
    ("4.2", 28),
    ("4.3", 30),
    ("4.4", 31),
];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_called_as_in_kafka() {
        let check = |name: &str, level: Option<i16>| {
            assert_eq!(
                MetadataVersion::from_name(name).map(MetadataVersion::level),
                level,
                "{name}"
            );
        };
        check("3.3-IV3", Some(7));
        check("3.3", Some(7));
        check("3.3-IV2", None);
        check("3.6-IV2", Some(14));
        check("3.6-IV3", None);
        check("3.6.1", Some(14));
        check("4.0-IV1", Some(23));
        check("4.4", Some(33));
        check("4.4-IV3", None);
        check("4.5", None);
        check("4", None);
        check("4.0-IV", None);
        check("", None);
    }
}
