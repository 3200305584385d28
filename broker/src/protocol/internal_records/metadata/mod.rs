//! The records of `__cluster_metadata`: what the controller decides and every node replays.
//!
//! A record's value is `frame version (1) | type | version | fields | tagged fields`, all numbers of the head as
//! unsigned varints; its key is null. [`MetadataRecord`] is one such value. Versions are chosen as Kafka's controller
//! chooses them, by the finalized `metadata.version`, so that a cluster of several implementations agrees.
//!
//! Source: KIP-631, KIP-858 (directories), KIP-966 (eligible leader replicas); `common/metadata/*.json` of Kafka.

#[macro_use]
mod fields;
mod brokers;
mod partitions;
mod access;

use bytes::Bytes;

use super::wire::{Compact, Error, Reader, Tags, Writer};

pub use access::{
    AccessControlEntryRecord, ClientQuotaRecord, DelegationTokenRecord, QuotaEntity,
    RemoveAccessControlEntryRecord, RemoveDelegationTokenRecord, RemoveUserScramCredentialRecord,
    UserScramCredentialRecord,
};
pub use brokers::{
    AbortTransactionRecord, BeginTransactionRecord, BrokerRegistrationChangeRecord,
    EndTransactionRecord, Endpoint, FeatureLevelRecord, FeatureRange, FenceBrokerRecord,
    NoOpRecord, ProducerIdsRecord, RegisterBrokerRecord, RegisterControllerRecord,
    UnfenceBrokerRecord, UnregisterBrokerRecord, UnregisterControllerRecord,
    ZkMigrationStateRecord,
};
pub use partitions::{
    ClearElrRecord, ConfigRecord, LeaderChange, LeaderRecoveryState, PartitionChangeRecord,
    PartitionRecord, RemoveTopicRecord, TopicRecord,
};

/// What a record type does beyond its encoded form: which versions it has and which is written when.
trait Versioned: Sized {
    /// Highest version that is known.
    const MAX_VERSION: i16;

    /// The version that Kafka's controller writes at a finalized `metadata.version`.
    fn version_at(&self, metadata_version: i16) -> i16;

    fn read_version(reader: &mut Reader<'_>, version: i16) -> Result<Self, Error>;

    fn write_version(&self, writer: &mut Writer, version: i16);
}

macro_rules! metadata_records {
    ($($(#[$doc:meta])* $number:literal $name:ident($record:ident)),+ $(,)?) => {
        /// One record of the cluster's metadata, by type.
        #[derive(Clone, Debug, PartialEq)]
        pub enum MetadataRecord {
            $($(#[$doc])* $name($record)),+
        }

        impl MetadataRecord {
            /// The number of the record's type.
            #[must_use]
            pub const fn record_type(&self) -> u32 {
                match self { $(Self::$name(_) => $number),+ }
            }

            /// Kafka's name of the record's type.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($record)),+ }
            }

            /// The version that Kafka's controller writes this record in, at a finalized `metadata.version`.
            #[must_use]
            pub fn version_at(&self, metadata_version: i16) -> i16 {
                match self { $(Self::$name(record) => record.version_at(metadata_version)),+ }
            }

            fn write_fields(&self, writer: &mut Writer, version: i16) {
                match self { $(Self::$name(record) => record.write_version(writer, version)),+ }
            }

            fn read_fields(reader: &mut Reader<'_>, record_type: u32, version: u32) -> Result<Self, Error> {
                match record_type {
                    $($number => {
                        let known = known_version::<$record>(record_type, version)?;
                        $record::read_version(reader, known).map(Self::$name)
                    })+
                    _ => Err(Error::UnknownType(record_type)),
                }
            }
        }

        $(impl From<$record> for MetadataRecord {
            fn from(record: $record) -> Self {
                Self::$name(record)
            }
        })+
    };
}

metadata_records! {
    /// A broker started.
    0 RegisterBroker(RegisterBrokerRecord),
    /// A broker was removed for good.
    1 UnregisterBroker(UnregisterBrokerRecord),
    /// A topic was created.
    2 Topic(TopicRecord),
    /// A partition was created.
    3 Partition(PartitionRecord),
    /// One configuration was set or removed.
    4 Config(ConfigRecord),
    /// Something of a partition changed.
    5 PartitionChange(PartitionChangeRecord),
    /// A broker was fenced; old form, read only.
    7 FenceBroker(FenceBrokerRecord),
    /// A broker was unfenced; old form, read only.
    8 UnfenceBroker(UnfenceBrokerRecord),
    /// A topic and its partitions were removed.
    9 RemoveTopic(RemoveTopicRecord),
    /// A delegation token was made or renewed.
    10 DelegationToken(DelegationTokenRecord),
    /// A SCRAM credential was set.
    11 UserScramCredential(UserScramCredentialRecord),
    /// A feature was finalized at a level.
    12 FeatureLevel(FeatureLevelRecord),
    /// A quota was set or removed.
    14 ClientQuota(ClientQuotaRecord),
    /// A block of producer ids was handed out.
    15 ProducerIds(ProducerIdsRecord),
    /// Something of a broker's registration changed.
    17 BrokerRegistrationChange(BrokerRegistrationChangeRecord),
    /// An access control entry was added.
    18 AccessControlEntry(AccessControlEntryRecord),
    /// An access control entry was removed.
    19 RemoveAccessControlEntry(RemoveAccessControlEntryRecord),
    /// Nothing; moves the high watermark and the metadata's age.
    20 NoOp(NoOpRecord),
    /// How far a migration from `ZooKeeper` had come; in old logs only.
    21 ZkMigrationState(ZkMigrationStateRecord),
    /// A SCRAM credential was removed.
    22 RemoveUserScramCredential(RemoveUserScramCredentialRecord),
    /// The records up to the next end or abort belong together.
    23 BeginTransaction(BeginTransactionRecord),
    /// The records since the begin take effect.
    24 EndTransaction(EndTransactionRecord),
    /// The records since the begin never happened.
    25 AbortTransaction(AbortTransactionRecord),
    /// A delegation token was removed.
    26 RemoveDelegationToken(RemoveDelegationTokenRecord),
    /// A controller started.
    27 RegisterController(RegisterControllerRecord),
    /// The eligible leader replicas of a topic, or of all, are forgotten.
    28 ClearElr(ClearElrRecord),
    /// A controller was removed for good.
    29 UnregisterController(UnregisterControllerRecord),
}

impl MetadataRecord {
    /// Encodes the record's value in a version, framed.
    ///
    /// # Errors
    ///
    /// When a field has a value that the version has no room for, or text is longer than 32767 bytes.
    pub fn encode(&self, version: i16) -> Result<Bytes, Error> {
        let mut writer = Writer::new();
        let number = u32::try_from(version)
            .map_err(|_| Error::Value { field: "record version", value: i64::from(version) })?;
        writer.varint(FRAME_VERSION).varint(self.record_type()).varint(number);
        self.write_fields(&mut writer, version);
        writer.finish()
    }

    /// Encodes the record's value in the version that fits a finalized `metadata.version`, framed.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_at(&self, metadata_version: i16) -> Result<Bytes, Error> {
        self.encode(self.version_at(metadata_version))
    }

    /// Decodes a framed value.
    ///
    /// # Errors
    ///
    /// When the bytes are not exactly one record of a type and version that Kafka 4.4 has.
    pub fn decode(value: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(value);
        match reader.varint()? {
            FRAME_VERSION => {}
            other => return Err(Error::FrameVersion(other)),
        }
        let record_type = reader.varint()?;
        let version = reader.varint()?;
        let record = Self::read_fields(&mut reader, record_type, version)?;
        match reader.remaining() {
            0 => Ok(record),
            left => Err(Error::Trailing(left)),
        }
    }
}

/// The only frame there has ever been.
const FRAME_VERSION: u32 = 1;

/// Levels of `metadata.version` at which records changed.
mod level {
    /// 3.4: migration from `ZooKeeper`.
    pub(super) const IBP_3_4_IV0: i16 = 8;
    /// Several log directories per broker (KIP-858).
    pub(super) const IBP_3_7_IV2: i16 = 17;
    /// Eligible leader replicas (KIP-966).
    pub(super) const IBP_4_0_IV1: i16 = 23;
    /// Cordoned log directories.
    pub(super) const IBP_4_3_IV0: i16 = 30;
}

fn known_version<T: Versioned>(record_type: u32, version: u32) -> Result<i16, Error> {
    i16::try_from(version)
        .ok()
        .filter(|known| *known <= T::MAX_VERSION)
        .ok_or(Error::UnknownVersion { record_type, version })
}

#[cfg(test)]
mod tests;
