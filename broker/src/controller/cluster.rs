use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::deciding::{Deciding, Random, Refusal, Request, Soft};
use super::partitions::Movement;
use crate::metadata::{
    BrokerRegistration, ControllerRegistration, Endpoint, MetadataVersion, VersionRange,
    is_reserved_directory,
};
use crate::model::{BrokerEpoch, ClusterId, DirectoryId, ErrorCode, NodeId};
use crate::protocol::internal_records::metadata::{
    BrokerRegistrationChangeRecord, MetadataRecord, RegisterBrokerRecord, RegisterControllerRecord,
    UnregisterBrokerRecord,
};
use crate::state_machine::Decision;

/// A broker has started, or has changed what it said when it did. Source: KIP-631, KIP-858, KIP-966.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// The cluster it belongs to.
    pub cluster_id: ClusterId,
    /// Who it is.
    pub broker_id: NodeId,
    /// New with every start.
    pub incarnation_id: Uuid,
    /// Its advertised listeners.
    pub endpoints: Vec<Endpoint>,
    /// The features it can work with.
    pub features: BTreeMap<String, VersionRange>,
    /// Its rack.
    pub rack: Option<String>,
    /// Its log directories.
    pub directories: Vec<DirectoryId>,
    /// Its epoch before a clean shutdown; `None` when it was not clean, or was never.
    pub previous_epoch: Option<BrokerEpoch>,
    /// True for brokers that still have `ZooKeeper`.
    pub is_migrating_zk_broker: bool,
}

/// Answers with the broker's epoch.
impl Request for RegisterBroker {
    type Outcome = BrokerEpoch;
    const IS_ATOMIC: bool = false;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, BrokerEpoch>, Refusal> {
        let expected = &deciding.settings.cluster_id;
        if *expected != self.cluster_id {
            let message =
                format!("Expected cluster ID {expected}, but got cluster ID {}", self.cluster_id);
            return Err(Refusal::new(ErrorCode::InconsistentClusterId, message));
        }
        let existing = deciding.image.cluster().broker(self.broker_id);
        if let Some(existing) = existing {
            self.check_incarnation(deciding, existing)?;
        }
        if self.is_migrating_zk_broker {
            let message = "Controller does not support registering ZK brokers.";
            return Err(Refusal::new(ErrorCode::BrokerIdNotRegistered, message));
        }
        if deciding.version.has_directory_assignment() {
            self.check_directories(deciding)?;
        }
        self.check_features(deciding)?;
        let mut registration = self.registration(deciding);
        let mut records = Vec::new();
        match existing {
            // The same process again: it amends what it said and stays what it is.
            Some(existing) if existing.incarnation_id == self.incarnation_id => {
                registration.epoch = existing.epoch;
                registration.is_fenced = existing.is_fenced;
                registration.in_controlled_shutdown = existing.in_controlled_shutdown;
            }
            Some(_) | None => self.bury_predecessor(deciding, existing, &mut records),
        }
        let epoch = registration.epoch;
        records.push(RegisterBrokerRecord::from(&registration).into());
        Ok(Decision::new(records, epoch))
    }

    fn note(&self, epoch: &BrokerEpoch, soft: &mut Soft<'_>) {
        soft.heartbeats.touch((self.broker_id, *epoch), None, None, soft.now);
    }
}

impl RegisterBroker {
    /// Refuses a second broker with an id that a live one has.
    ///
    /// A new controller only assumes that brokers are alive. Where it has not heard of one it knows better if the newcomer
    /// comes from this very node or names a log directory of the other's: a directory is locked by one process, so the
    /// former one is dead. A cluster that was killed as a whole is back without waiting for the end of former sessions.
    fn check_incarnation(
        &self,
        deciding: &Deciding<'_>,
        existing: &BrokerRegistration,
    ) -> Result<(), Refusal> {
        let (id, epoch) = (self.broker_id, existing.epoch);
        let heartbeats = deciding.heartbeats;
        let holds_its_directory = existing.directories.iter().any(|d| self.directories.contains(d));
        let is_successor = !heartbeats.is_confirmed(id, epoch)
            && (id == deciding.settings.config.node_id || holds_its_directory);
        let is_alive = !existing.is_fenced && heartbeats.has_valid_session(id, epoch, deciding.now);
        if existing.incarnation_id == self.incarnation_id || is_successor || !is_alive {
            return Ok(());
        }
        let message = "Another broker is registered with that broker id. If the broker was recently restarted this \
                       should self-resolve once the heartbeat manager expires the broker's session.";
        Err(Refusal::new(ErrorCode::DuplicateBrokerRegistration, message))
    }

    fn check_directories(&self, deciding: &Deciding<'_>) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidRegistration, message));
        let mut sorted = self.directories.clone();
        sorted.sort_unstable();
        if sorted.is_empty() {
            return refuse("No directories specified in request".to_owned());
        }
        if sorted.iter().any(|directory| is_reserved_directory(*directory)) {
            return refuse("Reserved directory ID in request".to_owned());
        }
        if sorted.is_sorted_by(|a, b| a < b) {
            let owned = self.directories.iter().find_map(|directory| {
                let owner = deciding.image.cluster().owner_of(*directory)?;
                (owner != self.broker_id).then_some((owner, directory))
            });
            return match owned {
                None => Ok(()),
                Some((owner, directory)) => refuse(format!(
                    "Broker {owner} is already registered with directory {directory}"
                )),
            };
        }
        refuse("Duplicate directory ID in request".to_owned())
    }

    /// Every finalized feature must be within the broker's range, those it does not name as well.
    fn check_features(&self, deciding: &Deciding<'_>) -> Result<(), Refusal> {
        let finalized = deciding.image.features();
        for (name, range) in &self.features {
            check_feature(name, finalized.level(name), *range)?;
        }
        if !self.features.contains_key(MetadataVersion::FEATURE) {
            let message = "Request features do not contain 'metadata.version'";
            return Err(Refusal::new(ErrorCode::InvalidRegistration, message));
        }
        for (name, level) in finalized.finalized() {
            if !self.features.contains_key(name) {
                check_feature(name, *level, VersionRange { min: 0, max: 0 })?;
            }
        }
        Ok(())
    }

    fn registration(&self, deciding: &Deciding<'_>) -> BrokerRegistration {
        BrokerRegistration {
            id: self.broker_id,
            epoch: BrokerEpoch(deciding.next_offset.value()),
            incarnation_id: self.incarnation_id,
            endpoints: self.endpoints.clone(),
            supported_features: self.features.clone(),
            rack: self.rack.clone(),
            directories: if deciding.version.has_directory_assignment() {
                self.directories.clone()
            } else {
                Vec::new()
            },
            cordoned_directories: None,
            is_fenced: true,
            in_controlled_shutdown: false,
            is_migrating_zk_broker: false,
        }
    }

    /// Takes leaderships away from the incarnation before, and from the ISRs if it may have lost records.
    fn bury_predecessor(
        &self,
        deciding: &Deciding<'_>,
        existing: Option<&Arc<BrokerRegistration>>,
        records: &mut Vec<MetadataRecord>,
    ) {
        let id = self.broker_id;
        let is_clean = existing.is_some_and(|existing| self.previous_epoch == Some(existing.epoch));
        let movement = if is_clean || !deciding.has_eligible_leaders() {
            Movement { leaving: Some(id), ..Movement::default() }
        } else {
            Movement { unclean: Some(id), ..Movement::default() }
        };
        deciding.leader_and_isr_changes(
            movement,
            |partition| {
                partition.isr.contains(&id)
                    || (movement.unclean.is_some()
                        && partition.eligible_leader_replicas.contains(&id))
            },
            records,
        );
    }
}

fn check_feature(name: &str, finalized: i16, range: VersionRange) -> Result<(), Refusal> {
    if range.contains(finalized) {
        return Ok(());
    }
    let message = format!(
        "Unable to register because the broker does not support finalized version {finalized} of {name}. The broker \
         wants a version between {} and {}, inclusive.",
        range.min, range.max
    );
    Err(Refusal::new(ErrorCode::UnsupportedVersion, message))
}

/// A broker is gone for good. Source: KIP-631.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnregisterBroker(pub NodeId);

impl Request for UnregisterBroker {
    type Outcome = ();
    const IS_ATOMIC: bool = false;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, ()>, Refusal> {
        let Self(id) = *self;
        let Some(broker) = deciding.image.cluster().broker(id) else {
            let message = format!("Broker ID {id} is not currently registered");
            return Err(Refusal::new(ErrorCode::BrokerIdNotRegistered, message));
        };
        let mut records = Vec::new();
        deciding.leader_and_isr_changes(
            Movement { leaving: Some(id), ..Movement::default() },
            |partition| {
                partition.isr.contains(&id) || partition.eligible_leader_replicas.contains(&id)
            },
            &mut records,
        );
        let record = UnregisterBrokerRecord { broker_id: id, broker_epoch: broker.epoch };
        records.push(record.into());
        Ok(Decision::new(records, ()))
    }

    fn note(&self, _outcome: &(), soft: &mut Soft<'_>) {
        soft.heartbeats.forget(self.0);
    }
}

/// A controller has started. Source: KIP-919.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterController(pub ControllerRegistration);

impl Request for RegisterController {
    type Outcome = ();

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, ()>, Refusal> {
        if !deciding.version.has_controller_registration() {
            let message =
                "The current MetadataVersion is too old to support controller registrations.";
            return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
        }
        let record = RegisterControllerRecord::from(&self.0);
        Ok(Decision::new(vec![record.into()], ()))
    }
}

impl Deciding<'_> {
    /// Takes a broker out: its leaderships first, then itself.
    pub(super) fn fence(&self, broker: &BrokerRegistration, records: &mut Vec<MetadataRecord>) {
        self.leader_and_isr_changes(
            Movement { leaving: Some(broker.id), ..Movement::default() },
            |partition| partition.isr.contains(&broker.id),
            records,
        );
        let mut change = BrokerRegistrationChangeRecord::new(broker.id, broker.epoch);
        change.fenced = Some(true);
        records.push(change.into());
    }

    /// Lets a broker in, and lets it lead what nobody leads.
    pub(super) fn unfence(&self, broker: &BrokerRegistration, records: &mut Vec<MetadataRecord>) {
        let mut change = BrokerRegistrationChangeRecord::new(broker.id, broker.epoch);
        change.fenced = Some(false);
        records.push(change.into());
        self.leader_and_isr_changes(
            // One that was told to stop and did not may be seen again, but not lead.
            Movement {
                arriving: (!broker.in_controlled_shutdown).then_some(broker.id),
                ..Movement::default()
            },
            |partition| partition.leader.is_none(),
            records,
        );
    }

    /// Moves the leaderships of a broker that wants to go, and takes it out of the ISRs.
    pub(super) fn begin_controlled_shutdown(
        &self,
        broker: &BrokerRegistration,
        records: &mut Vec<MetadataRecord>,
    ) {
        if !broker.in_controlled_shutdown {
            let mut change = BrokerRegistrationChangeRecord::new(broker.id, broker.epoch);
            change.in_controlled_shutdown = true;
            records.push(change.into());
        }
        self.leader_and_isr_changes(
            Movement { leaving: Some(broker.id), ..Movement::default() },
            |partition| partition.isr.contains(&broker.id),
            records,
        );
    }
}
