use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::model::{BrokerEpoch, DirectoryId, NodeId, Offset};
use crate::protocol::internal_records::metadata::{
    self as records, BrokerRegistrationChangeRecord, FenceBrokerRecord, RegisterBrokerRecord,
    RegisterControllerRecord, UnfenceBrokerRecord, UnregisterBrokerRecord,
    UnregisterControllerRecord,
};

/// A replica whose directory nobody has recorded, in logs from before KIP-858.
pub(crate) const DIRECTORY_MIGRATING: DirectoryId = DirectoryId::ZERO;

/// A replica whose broker has not said yet in which of its directories it lies. Source: KIP-858.
pub(crate) const DIRECTORY_UNASSIGNED: DirectoryId = DirectoryId(Uuid::from_u128(1));

/// A replica in a directory that is offline.
const DIRECTORY_LOST: DirectoryId = DirectoryId(Uuid::from_u128(2));

/// Directory ids below this mean something of their own.
const RESERVED_DIRECTORIES: u128 = 100;

/// True for ids that no directory may have.
pub(crate) fn is_reserved_directory(directory: DirectoryId) -> bool {
    directory.0.as_u128() < RESERVED_DIRECTORIES
}

/// Where one listener of a node can be reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The listener's name, for example `PLAINTEXT` or `CONTROLLER`.
    pub listener_name: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Kafka's number of the security protocol: 0 plaintext, 1 TLS, 2 SASL, 3 SASL over TLS.
    pub security_protocol: i16,
}

/// The levels of a feature a node can work with, both ends included. Source: KIP-584.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionRange {
    /// The lowest level.
    pub min: i16,
    /// The highest level.
    pub max: i16,
}

impl VersionRange {
    /// True when `level` lies inside.
    #[must_use]
    pub const fn contains(self, level: i16) -> bool {
        self.min <= level && level <= self.max
    }
}

/// One broker as the controller has registered it. Source: KIP-631.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The broker.
    pub id: NodeId,
    /// The offset of the record that registered this incarnation.
    pub epoch: BrokerEpoch,
    /// New with every start of the broker's process.
    pub incarnation_id: Uuid,
    /// Its advertised listeners.
    pub endpoints: Vec<Endpoint>,
    /// The features it can work with.
    pub supported_features: BTreeMap<String, VersionRange>,
    /// Its rack (`broker.rack`).
    pub rack: Option<String>,
    /// Its log directories.
    pub directories: Vec<DirectoryId>,
    /// Those of them that take no new replicas; `None` when the broker is too old to say. Source: KIP-1066.
    pub cordoned_directories: Option<Vec<DirectoryId>>,
    /// True when it may not lead, nor be in an ISR, nor be shown to clients.
    pub is_fenced: bool,
    /// True when it has asked to be shut down and its leaderships are being moved.
    pub in_controlled_shutdown: bool,
    /// True in logs of clusters that migrated from `ZooKeeper`.
    pub is_migrating_zk_broker: bool,
}

impl BrokerRegistration {
    /// True when the broker may lead and be in sync: neither fenced nor shutting down.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        !self.is_fenced && !self.in_controlled_shutdown
    }

    /// True when a replica in `directory` can be served: the directory is online, or nobody has said yet which it is.
    #[must_use]
    pub fn has_online_directory(&self, directory: DirectoryId) -> bool {
        directory == DIRECTORY_UNASSIGNED
            || directory == DIRECTORY_MIGRATING
            || (directory != DIRECTORY_LOST
                && (self.directories.is_empty() || self.directories.contains(&directory)))
    }

    /// Where the listener with this name can be reached.
    #[must_use]
    pub fn endpoint(&self, listener_name: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.listener_name == listener_name)
    }
}

/// One controller as the active controller has registered it. Source: KIP-919.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerRegistration {
    /// The controller.
    pub id: NodeId,
    /// New with every start of the controller's process.
    pub incarnation_id: Uuid,
    /// True in logs of clusters that migrated from `ZooKeeper`.
    pub is_zk_migration_ready: bool,
    /// Its listeners.
    pub endpoints: Vec<Endpoint>,
    /// The features it can work with.
    pub supported_features: BTreeMap<String, VersionRange>,
}

/// The nodes of the cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterImage {
    brokers: BTreeMap<NodeId, Arc<BrokerRegistration>>,
    controllers: BTreeMap<NodeId, Arc<ControllerRegistration>>,
    registration_offsets: BTreeMap<NodeId, Offset>,
}

/// Where a registration was recorded is no part of what the cluster is: a snapshot does not keep it.
impl PartialEq for ClusterImage {
    fn eq(&self, other: &Self) -> bool {
        self.brokers == other.brokers && self.controllers == other.controllers
    }
}

impl Eq for ClusterImage {}

impl ClusterImage {
    /// The broker with this id, fenced or not.
    #[must_use]
    pub fn broker(&self, id: NodeId) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// All registered brokers, fenced or not, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerRegistration>> {
        self.brokers.values()
    }

    /// True when the broker is registered and neither fenced nor shutting down.
    #[must_use]
    pub fn is_active(&self, id: NodeId) -> bool {
        self.brokers.get(&id).is_some_and(|broker| broker.is_active())
    }

    /// The directory a new replica on this broker gets: its only one, or "unassigned" until the broker says.
    #[must_use]
    pub fn new_directory(&self, id: NodeId) -> DirectoryId {
        match self.brokers.get(&id).map(|broker| broker.directories.as_slice()) {
            Some([]) => DIRECTORY_MIGRATING,
            Some([only]) => *only,
            Some(_) | None => DIRECTORY_UNASSIGNED,
        }
    }

    /// The broker that has this directory.
    #[must_use]
    pub fn owner_of(&self, directory: DirectoryId) -> Option<NodeId> {
        let owner = self.brokers.values().find(|broker| broker.directories.contains(&directory));
        owner.map(|broker| broker.id)
    }

    /// The controller with this id.
    #[must_use]
    pub fn controller(&self, id: NodeId) -> Option<&Arc<ControllerRegistration>> {
        self.controllers.get(&id)
    }

    /// All registered controllers, by id.
    pub fn controllers(&self) -> impl Iterator<Item = &Arc<ControllerRegistration>> {
        self.controllers.values()
    }

    /// Where the broker's newest registration record lies: a broker that has applied that offset has seen itself.
    /// For a registration out of a snapshot, the last offset the snapshot holds.
    #[must_use]
    pub fn registration_offset(&self, id: NodeId) -> Option<Offset> {
        self.registration_offsets.get(&id).copied()
    }

    pub(super) fn differing_brokers(&self, other: &Self) -> BTreeSet<NodeId> {
        differing(&self.brokers, &other.brokers)
    }

    pub(super) fn differing_controllers(&self, other: &Self) -> BTreeSet<NodeId> {
        differing(&self.controllers, &other.controllers)
    }
}

impl ClusterImage {
    pub(super) fn register_broker(&mut self, offset: Offset, record: &RegisterBrokerRecord) {
        let registration = BrokerRegistration::from(record);
        self.registration_offsets.insert(registration.id, offset);
        self.brokers.insert(registration.id, Arc::new(registration));
    }

    pub(super) fn unregister_broker(
        &mut self,
        record: &UnregisterBrokerRecord,
    ) -> Result<(), String> {
        let id = self.registered(record.broker_id, record.broker_epoch)?.id;
        self.brokers.remove(&id);
        self.registration_offsets.remove(&id);
        Ok(())
    }

    pub(super) fn fence_broker(&mut self, record: &FenceBrokerRecord) -> Result<(), String> {
        self.registered(record.id, record.epoch)?.is_fenced = true;
        Ok(())
    }

    pub(super) fn unfence_broker(&mut self, record: &UnfenceBrokerRecord) -> Result<(), String> {
        self.registered(record.id, record.epoch)?.is_fenced = false;
        Ok(())
    }

    pub(super) fn change_broker(
        &mut self,
        record: &BrokerRegistrationChangeRecord,
    ) -> Result<(), String> {
        let broker = self.registered(record.broker_id, record.broker_epoch)?;
        broker.is_fenced = record.fenced.unwrap_or(broker.is_fenced);
        broker.in_controlled_shutdown |= record.in_controlled_shutdown;
        if !record.log_dirs.is_empty() {
            broker.directories.clone_from(&record.log_dirs);
        }
        if let Some(cordoned) = &record.cordoned_log_dirs {
            broker.cordoned_directories = Some(cordoned.clone());
        }
        Ok(())
    }

    pub(super) fn register_controller(&mut self, record: &RegisterControllerRecord) {
        let registration = ControllerRegistration::from(record);
        self.controllers.insert(registration.id, Arc::new(registration));
    }

    pub(super) fn unregister_controller(
        &mut self,
        record: &UnregisterControllerRecord,
    ) -> Result<(), String> {
        let id = record.controller_id;
        match self.controllers.remove(&id) {
            Some(_) => Ok(()),
            None => Err(format!("controller {id} is not registered")),
        }
    }

    fn registered(
        &mut self,
        id: NodeId,
        epoch: BrokerEpoch,
    ) -> Result<&mut BrokerRegistration, String> {
        let broker =
            self.brokers.get_mut(&id).ok_or_else(|| format!("broker {id} is not registered"))?;
        if broker.epoch == epoch {
            Ok(Arc::make_mut(broker))
        } else {
            Err(format!("broker {id} is registered with epoch {}, not {epoch}", broker.epoch))
        }
    }
}

impl From<&RegisterBrokerRecord> for BrokerRegistration {
    fn from(record: &RegisterBrokerRecord) -> Self {
        Self {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            endpoints: endpoints(&record.end_points),
            supported_features: features(&record.features),
            rack: record.rack.clone(),
            directories: record.log_dirs.clone(),
            cordoned_directories: record.cordoned_log_dirs.clone(),
            is_fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            is_migrating_zk_broker: record.is_migrating_zk_broker,
        }
    }
}

impl From<&BrokerRegistration> for RegisterBrokerRecord {
    fn from(broker: &BrokerRegistration) -> Self {
        Self {
            broker_id: broker.id,
            is_migrating_zk_broker: broker.is_migrating_zk_broker,
            incarnation_id: broker.incarnation_id,
            broker_epoch: broker.epoch,
            end_points: record_endpoints(&broker.endpoints),
            features: record_features(&broker.supported_features),
            rack: broker.rack.clone(),
            fenced: broker.is_fenced,
            in_controlled_shutdown: broker.in_controlled_shutdown,
            log_dirs: broker.directories.clone(),
            cordoned_log_dirs: broker.cordoned_directories.clone(),
        }
    }
}

impl From<&RegisterControllerRecord> for ControllerRegistration {
    fn from(record: &RegisterControllerRecord) -> Self {
        Self {
            id: record.controller_id,
            incarnation_id: record.incarnation_id,
            is_zk_migration_ready: record.zk_migration_ready,
            endpoints: endpoints(&record.end_points),
            supported_features: features(&record.features),
        }
    }
}

impl From<&ControllerRegistration> for RegisterControllerRecord {
    fn from(controller: &ControllerRegistration) -> Self {
        Self {
            controller_id: controller.id,
            incarnation_id: controller.incarnation_id,
            zk_migration_ready: controller.is_zk_migration_ready,
            end_points: record_endpoints(&controller.endpoints),
            features: record_features(&controller.supported_features),
        }
    }
}

fn endpoints(records: &[records::Endpoint]) -> Vec<Endpoint> {
    let endpoints = records.iter().map(|endpoint| Endpoint {
        listener_name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    });
    endpoints.collect()
}

fn record_endpoints(endpoints: &[Endpoint]) -> Vec<records::Endpoint> {
    let records = endpoints.iter().map(|endpoint| records::Endpoint {
        name: endpoint.listener_name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    });
    records.collect()
}

fn features(records: &[records::FeatureRange]) -> BTreeMap<String, VersionRange> {
    let ranges = records.iter().map(|feature| {
        let range =
            VersionRange { min: feature.min_supported_version, max: feature.max_supported_version };
        (feature.name.clone(), range)
    });
    ranges.collect()
}

fn record_features(features: &BTreeMap<String, VersionRange>) -> Vec<records::FeatureRange> {
    let records = features.iter().map(|(name, range)| records::FeatureRange {
        name: name.clone(),
        min_supported_version: range.min,
        max_supported_version: range.max,
    });
    records.collect()
}

fn differing<V: PartialEq>(
    left: &BTreeMap<NodeId, V>,
    right: &BTreeMap<NodeId, V>,
) -> BTreeSet<NodeId> {
    let ids = left.keys().chain(right.keys());
    ids.filter(|id| left.get(id) != right.get(id)).copied().collect()
}
