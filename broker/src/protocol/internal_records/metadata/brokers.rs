//! Records about nodes, features and the log of metadata itself.

use uuid::Uuid;

use super::level::{IBP_3_4_IV0, IBP_3_7_IV2, IBP_4_3_IV0};
use super::{Compact, Error, Reader, Tags, Versioned, Writer};
use crate::model::{BrokerEpoch, DirectoryId, NodeId, ProducerId};

structure! {
    /// One listener of a node.
    Endpoint {
        /// The listener's name.
        name: String,
        /// Where it is reached.
        host: String,
        /// Where it is reached.
        port: u16,
        /// 0 `PLAINTEXT`, 1 `SSL`, 2 `SASL_PLAINTEXT`, 3 `SASL_SSL`.
        security_protocol: i16,
    }
}

structure! {
    /// The levels of a feature that a node can work at.
    FeatureRange {
        /// The feature.
        name: String,
        /// Lowest level.
        min_supported_version: i16,
        /// Highest level.
        max_supported_version: i16,
    }
}

/// A broker started, or wrote its registration anew.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterBrokerRecord {
    /// The broker.
    pub broker_id: NodeId,
    /// True for brokers that still had `ZooKeeper`; in old logs only.
    pub is_migrating_zk_broker: bool,
    /// Made anew with each start of the process.
    pub incarnation_id: Uuid,
    /// The offset of this record, or of the one that made this registration.
    pub broker_epoch: BrokerEpoch,
    /// Its listeners.
    pub end_points: Vec<Endpoint>,
    /// What it can do.
    pub features: Vec<FeatureRange>,
    /// Its rack (`broker.rack`).
    pub rack: Option<String>,
    /// True while clients are not sent to it.
    pub fenced: bool,
    /// True while it is being shut down in order.
    pub in_controlled_shutdown: bool,
    /// Its log directories that are online.
    pub log_dirs: Vec<DirectoryId>,
    /// Its log directories that take no new partitions; `None` below level 30.
    pub cordoned_log_dirs: Option<Vec<DirectoryId>>,
}

impl Versioned for RegisterBrokerRecord {
    const MAX_VERSION: i16 = 4;

    fn version_at(&self, metadata_version: i16) -> i16 {
        match metadata_version {
            IBP_4_3_IV0.. => 4,
            IBP_3_7_IV2.. => 3,
            IBP_3_4_IV0.. => 2,
            _ => 1,
        }
    }

    fn read_version(reader: &mut Reader<'_>, version: i16) -> Result<Self, Error> {
        let mut record = Self {
            broker_id: reader.value()?,
            is_migrating_zk_broker: version >= 2 && reader.value()?,
            incarnation_id: reader.value()?,
            broker_epoch: reader.value()?,
            end_points: reader.value()?,
            features: reader.value()?,
            rack: reader.value()?,
            fenced: reader.value()?,
            in_controlled_shutdown: version >= 1 && reader.value()?,
            log_dirs: Vec::new(),
            cordoned_log_dirs: None,
        };
        reader.tags_since(version, &[3, 4], |tag, field| {
            match tag {
                0 => record.log_dirs = field.value()?,
                1 => record.cordoned_log_dirs = field.value()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(record)
    }

    fn write_version(&self, writer: &mut Writer, version: i16) {
        writer.value(&self.broker_id);
        if version >= 2 {
            writer.value(&self.is_migrating_zk_broker);
        } else {
            writer.lacks("IsMigratingZkBroker", version, self.is_migrating_zk_broker);
        }
        writer.value(&self.incarnation_id).value(&self.broker_epoch).value(&self.end_points);
        writer.value(&self.features).value(&self.rack).value(&self.fenced);
        if version >= 1 {
            writer.value(&self.in_controlled_shutdown);
        } else {
            writer.lacks("InControlledShutdown", version, self.in_controlled_shutdown);
        }
        let mut tags = Tags::new();
        if !self.log_dirs.is_empty() {
            writer.lacks("LogDirs", version, version < 3);
            tags.add(0, &self.log_dirs);
        }
        if self.cordoned_log_dirs.is_some() {
            writer.lacks("CordonedLogDirs", version, version < 4);
            tags.add(1, &self.cordoned_log_dirs);
        }
        writer.tags(tags);
    }
}

/// Something of a broker's registration changed; what is `None` or empty did not.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerRegistrationChangeRecord {
    /// The broker.
    pub broker_id: NodeId,
    /// Its registration, which must be the current one.
    pub broker_epoch: BrokerEpoch,
    /// It was fenced (true) or unfenced (false).
    pub fenced: Option<bool>,
    /// It began to shut down in order.
    pub in_controlled_shutdown: bool,
    /// Its log directories that are online now.
    pub log_dirs: Vec<DirectoryId>,
    /// Its log directories that take no new partitions now.
    pub cordoned_log_dirs: Option<Vec<DirectoryId>>,
}

impl BrokerRegistrationChangeRecord {
    /// A change of nothing, to be filled in.
    #[must_use]
    pub const fn new(broker_id: NodeId, broker_epoch: BrokerEpoch) -> Self {
        Self {
            broker_id,
            broker_epoch,
            fenced: None,
            in_controlled_shutdown: false,
            log_dirs: Vec::new(),
            cordoned_log_dirs: None,
        }
    }
}

impl Versioned for BrokerRegistrationChangeRecord {
    const MAX_VERSION: i16 = 3;

    /// The lowest version that carries the change, whatever the level: so does Kafka.
    fn version_at(&self, _metadata_version: i16) -> i16 {
        if self.cordoned_log_dirs.is_some() {
            3
        } else if !self.log_dirs.is_empty() {
            2
        } else {
            i16::from(self.in_controlled_shutdown)
        }
    }

    fn read_version(reader: &mut Reader<'_>, version: i16) -> Result<Self, Error> {
        let mut record = Self::new(reader.value()?, reader.value()?);
        reader.tags_since(version, &[0, 1, 2, 3], |tag, field| {
            match tag {
                0 => record.fenced = read_fenced(field)?,
                1 => record.in_controlled_shutdown = read_in_controlled_shutdown(field)?,
                2 => record.log_dirs = field.value()?,
                3 => record.cordoned_log_dirs = field.value()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(record)
    }

    fn write_version(&self, writer: &mut Writer, version: i16) {
        writer.value(&self.broker_id).value(&self.broker_epoch);
        let mut tags = Tags::new();
        if let Some(fenced) = self.fenced {
            tags.add(0, if fenced { &1_i8 } else { &-1_i8 });
        }
        if self.in_controlled_shutdown {
            writer.lacks("InControlledShutdown", version, version < 1);
            tags.add(1, &1_i8);
        }
        if !self.log_dirs.is_empty() {
            writer.lacks("LogDirs", version, version < 2);
            tags.add(2, &self.log_dirs);
        }
        if self.cordoned_log_dirs.is_some() {
            writer.lacks("CordonedLogDirs", version, version < 3);
            tags.add(3, &self.cordoned_log_dirs);
        }
        writer.tags(tags);
    }
}

fn read_fenced(field: &mut Reader<'_>) -> Result<Option<bool>, Error> {
    match field.value::<i8>()? {
        1 => Ok(Some(true)),
        0 => Ok(None),
        -1 => Ok(Some(false)),
        other => Err(Error::Value { field: "fencing change", value: i64::from(other) }),
    }
}

fn read_in_controlled_shutdown(field: &mut Reader<'_>) -> Result<bool, Error> {
    match field.value::<i8>()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Error::Value { field: "controlled shutdown change", value: i64::from(other) }),
    }
}

record! {
    /// A broker was removed for good.
    UnregisterBrokerRecord {
        /// The broker.
        broker_id: NodeId,
        /// The registration that ends.
        broker_epoch: BrokerEpoch,
    }
}

record! {
    /// A broker was fenced; old form of [`BrokerRegistrationChangeRecord`].
    FenceBrokerRecord {
        /// The broker.
        id: NodeId,
        /// Its registration.
        epoch: BrokerEpoch,
    }
}

record! {
    /// A broker was unfenced; old form of [`BrokerRegistrationChangeRecord`].
    UnfenceBrokerRecord {
        /// The broker.
        id: NodeId,
        /// Its registration.
        epoch: BrokerEpoch,
    }
}

record! {
    /// A controller started.
    RegisterControllerRecord {
        /// The controller.
        controller_id: NodeId,
        /// Made anew with each start of the process.
        incarnation_id: Uuid,
        /// True while a migration from `ZooKeeper` was possible; in old logs only.
        zk_migration_ready: bool,
        /// Its listeners.
        end_points: Vec<Endpoint>,
        /// What it can do.
        features: Vec<FeatureRange>,
    }
}

record! {
    /// A controller was removed for good.
    UnregisterControllerRecord {
        /// The controller.
        controller_id: NodeId,
    }
}

record! {
    /// A feature was finalized at a level.
    FeatureLevelRecord {
        /// The feature, such as `metadata.version`.
        name: String,
        /// The level; 0 switches the feature off.
        feature_level: i16,
    }
}

record! {
    /// A block of producer ids was handed out.
    ProducerIdsRecord {
        /// To this broker.
        broker_id: NodeId,
        /// In this registration.
        broker_epoch: BrokerEpoch,
        /// The first id that nobody has.
        next_producer_id: ProducerId,
    }
}

record! {
    /// Nothing.
    NoOpRecord {}
}

record! {
    /// How far a migration from `ZooKeeper` had come.
    ZkMigrationStateRecord {
        /// Kafka 3's numbers, 0 for none.
        zk_migration_state: i8,
    }
}

/// The records up to the next end or abort belong together (KIP-868).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BeginTransactionRecord {
    /// What for.
    pub name: Option<String>,
}

/// The records since the begin never happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AbortTransactionRecord {
    /// Why.
    pub reason: Option<String>,
}

record! {
    /// The records since the begin take effect.
    EndTransactionRecord {}
}

macro_rules! optional_text {
    ($name:ident, $field:ident) => {
        impl Versioned for $name {
            const MAX_VERSION: i16 = 0;

            fn version_at(&self, _metadata_version: i16) -> i16 {
                0
            }

            fn read_version(reader: &mut Reader<'_>, _version: i16) -> Result<Self, Error> {
                let mut $field = None;
                reader.tags(|tag, field| {
                    if tag == 0 {
                        $field = field.value()?;
                    }
                    Ok(())
                })?;
                Ok(Self { $field })
            }

            fn write_version(&self, writer: &mut Writer, _version: i16) {
                let mut tags = Tags::new();
                if let Some(text) = &self.$field {
                    tags.add(0, text);
                }
                writer.tags(tags);
            }
        }
    };
}

optional_text!(BeginTransactionRecord, name);
optional_text!(AbortTransactionRecord, reason);
