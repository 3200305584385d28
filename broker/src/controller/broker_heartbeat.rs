use std::time::Duration;

use super::deciding::{Deciding, News, Random, Refusal, Request, Soft};
use super::heartbeats::ConnectionId;
use super::partitions::Movement;
use crate::metadata::BrokerRegistration;
use crate::model::{BrokerEpoch, DirectoryId, ErrorCode, NodeId, Offset};
use crate::protocol::internal_records::metadata::{BrokerRegistrationChangeRecord, MetadataRecord};
use crate::state_machine::Decision;

/// A broker says that it is alive, how far it has read and what it wants to be. Source: KIP-631, KIP-858, KIP-1066.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerHeartbeat {
    /// Who it is.
    pub broker_id: NodeId,
    /// Its registration.
    pub broker_epoch: BrokerEpoch,
    /// The last offset of the metadata log it has applied.
    pub metadata_offset: Option<Offset>,
    /// True when it wants to be, or stay, fenced.
    pub wants_fence: bool,
    /// True when it wants to stop.
    pub wants_shutdown: bool,
    /// Its directories that are offline.
    pub offline_directories: Vec<DirectoryId>,
    /// Its directories that take no new replicas; `None` when it does not say.
    pub cordoned_directories: Option<Vec<DirectoryId>>,
    /// Over which connection it came; `None` from the broker of our own process.
    pub connection: Option<ConnectionId>,
}

/// What the broker is after its heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerStanding {
    /// True when it has applied its own registration.
    pub is_caught_up: bool,
    /// What the controller holds it for.
    pub state: BrokerState,
}

/// The states of a broker in the eyes of the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerState {
    /// It may not lead nor be seen by clients.
    Fenced,
    /// It takes part.
    Unfenced,
    /// Its leaderships are being moved.
    ControlledShutdown,
    /// It may stop now; it is fenced.
    ShutdownNow,
}

impl BrokerState {
    /// True when the broker may not lead nor be seen by clients.
    #[must_use]
    pub const fn is_fenced(self) -> bool {
        matches!(self, Self::Fenced | Self::ShutdownNow)
    }
}

impl Request for BrokerHeartbeat {
    type Outcome = BrokerStanding;
    const IS_ATOMIC: bool = false;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, BrokerStanding>, Refusal> {
        deciding.check_broker_epoch(self.broker_id, self.broker_epoch)?;
        let cluster = deciding.image.cluster();
        let broker = cluster.broker(self.broker_id).ok_or(ErrorCode::StaleBrokerEpoch)?;
        let is_caught_up = cluster
            .registration_offset(self.broker_id)
            .is_some_and(|registered| self.metadata_offset >= Some(registered));
        let current = self.current_state(deciding, broker);
        let mut next = self.next_state(deciding, current, is_caught_up);
        let is_offline = |id: &DirectoryId| self.offline_directories.contains(id);
        let loses_directories = deciding.version.has_directory_assignment()
            && broker.directories.iter().any(is_offline);
        let loses_everything = loses_directories && broker.directories.iter().all(is_offline);
        if loses_everything && !next.is_fenced() {
            // No record says that a broker has no directory left; one that has none cannot serve anyway.
            next = BrokerState::Fenced;
        } else if next == BrokerState::Unfenced && loses_directories {
            // It must not be given what lies in a directory it has just lost: it comes in with its next heartbeat.
            next = current;
        }
        let mut records = Vec::new();
        if next != current {
            match next {
                BrokerState::Fenced | BrokerState::ShutdownNow => {
                    deciding.fence(broker, &mut records);
                }
                BrokerState::Unfenced => deciding.unfence(broker, &mut records),
                BrokerState::ControlledShutdown => {
                    deciding.begin_controlled_shutdown(broker, &mut records);
                }
            }
        }
        // A broker that goes loses everything anyway; its partitions must not be changed twice out of one image.
        if loses_directories && !loses_everything && next == current {
            self.take_directories_offline(deciding, broker, &mut records);
        }
        if deciding.version.has_cordoned_directories() {
            self.cordon_directories(broker, &mut records);
        }
        Ok(Decision::new(records, BrokerStanding { is_caught_up, state: next }))
    }

    fn note(&self, standing: &BrokerStanding, soft: &mut Soft<'_>) {
        let (id, epoch) = (self.broker_id, self.broker_epoch);
        if standing.state == BrokerState::ShutdownNow {
            // Nothing more will be heard of this incarnation; the next one must not have to wait for its end.
            soft.heartbeats.forget(id);
            return;
        }
        soft.heartbeats.touch((id, epoch), self.metadata_offset, self.connection, soft.now);
        match standing.state {
            BrokerState::ControlledShutdown => {
                soft.heartbeats.begin_controlled_shutdown(id, soft.last_offset);
            }
            BrokerState::Fenced | BrokerState::ShutdownNow => {
                soft.heartbeats.end_controlled_shutdown(id);
            }
            BrokerState::Unfenced => {}
        }
    }
}

/// The connection over which a broker heartbeats is gone: the process may be, and then nobody should wait for the end of a
/// session to replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerDisconnected {
    /// Whose connection.
    pub broker_id: NodeId,
    /// Which one.
    pub connection: ConnectionId,
    /// How long the broker has to be heard over another one.
    pub grace: Duration,
}

impl News for BrokerDisconnected {
    fn heard(&self, soft: &mut Soft<'_>) {
        soft.heartbeats.lose(self.broker_id, self.connection, soft.now + self.grace);
    }
}

impl BrokerHeartbeat {
    fn current_state(&self, deciding: &Deciding<'_>, broker: &BrokerRegistration) -> BrokerState {
        let shutdown =
            deciding.heartbeats.controlled_shutdown_offset(self.broker_id, self.broker_epoch);
        if broker.is_fenced {
            BrokerState::Fenced
        } else if shutdown.is_some() {
            BrokerState::ControlledShutdown
        } else {
            BrokerState::Unfenced
        }
    }

    fn next_state(
        &self,
        deciding: &Deciding<'_>,
        current: BrokerState,
        is_caught_up: bool,
    ) -> BrokerState {
        match current {
            BrokerState::Fenced if self.wants_shutdown => BrokerState::ShutdownNow,
            BrokerState::Fenced if !self.wants_fence && is_caught_up => BrokerState::Unfenced,
            BrokerState::Fenced => BrokerState::Fenced,
            BrokerState::Unfenced if self.wants_fence && !self.wants_shutdown => {
                BrokerState::Fenced
            }
            BrokerState::Unfenced if self.wants_shutdown => {
                if !self.wants_fence && self.leads_something(deciding) {
                    BrokerState::ControlledShutdown
                } else {
                    BrokerState::ShutdownNow
                }
            }
            BrokerState::Unfenced => BrokerState::Unfenced,
            BrokerState::ControlledShutdown => {
                let may_go = !self.leads_something(deciding) && self.others_have_seen(deciding);
                if may_go { BrokerState::ShutdownNow } else { BrokerState::ControlledShutdown }
            }
            BrokerState::ShutdownNow => BrokerState::ShutdownNow,
        }
    }

    fn leads_something(&self, deciding: &Deciding<'_>) -> bool {
        let leads = Some(self.broker_id);
        let topics = deciding.image.topics();
        topics.iter().any(|topic| topic.partitions.values().any(|part| part.leader == leads))
    }

    /// True when every active broker has applied the log up to where this one's shutdown began.
    fn others_have_seen(&self, deciding: &Deciding<'_>) -> bool {
        let shutdown =
            deciding.heartbeats.controlled_shutdown_offset(self.broker_id, self.broker_epoch);
        let lowest = deciding.heartbeats.lowest_active_offset(deciding.image.cluster());
        lowest.is_none_or(|lowest| shutdown.is_none_or(|shutdown| shutdown <= lowest))
    }

    fn take_directories_offline(
        &self,
        deciding: &Deciding<'_>,
        broker: &BrokerRegistration,
        records: &mut Vec<MetadataRecord>,
    ) {
        let is_offline = |directory: &DirectoryId| self.offline_directories.contains(directory);
        let concerns = |partition: &crate::metadata::PartitionRegistration| {
            partition.directory(broker.id).is_some_and(|directory| {
                is_offline(&directory) && broker.directories.contains(&directory)
            })
        };
        let movement = Movement { leaving: Some(broker.id), ..Movement::default() };
        deciding.leader_and_isr_changes(movement, concerns, records);
        let mut change = BrokerRegistrationChangeRecord::new(broker.id, broker.epoch);
        change.log_dirs = broker.directories.iter().copied().filter(|id| !is_offline(id)).collect();
        records.push(change.into());
    }

    fn cordon_directories(&self, broker: &BrokerRegistration, records: &mut Vec<MetadataRecord>) {
        if let Some(cordoned) = &self.cordoned_directories
            && broker.cordoned_directories.as_ref() != Some(cordoned)
        {
            let mut change = BrokerRegistrationChangeRecord::new(broker.id, broker.epoch);
            change.cordoned_log_dirs = Some(cordoned.clone());
            records.push(change.into());
        }
    }
}
