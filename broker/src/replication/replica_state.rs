//! One replica in the eyes of its node: what the cluster says of the partition, and the role that follows from it.

use std::sync::Arc;

use super::leader::Leadership;
use crate::environment::Instant;
use crate::metadata::PartitionRegistration;
use crate::model::{ErrorCode, LeaderEpoch, NodeId, Offset};

/// What the log must be told before, or after, the role is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It begins to lead in this epoch: the log begins it first, so that nobody else's late records follow.
    Lead(LeaderEpoch),
    /// It follows in this epoch: it stops leading first, and the log refuses its own late records from then on.
    Follow(LeaderEpoch),
    /// The role stays.
    Stay,
}

/// One replica's role, and the metadata it follows from.
///
/// Invariant: a leadership is of the registration's epoch, and names this node as the leader.
#[derive(Debug)]
pub(super) struct ReplicaState {
    node: NodeId,
    registration: Arc<PartitionRegistration>,
    role: Role,
    pub(super) is_offline: bool,
    pub(super) is_deleted: bool,
}

#[derive(Debug)]
enum Role {
    /// Nothing yet.
    New,
    Leader(Leadership),
    Follower(LeaderEpoch),
}

impl ReplicaState {
    pub(super) const fn new(node: NodeId, registration: Arc<PartitionRegistration>) -> Self {
        Self { node, registration, role: Role::New, is_offline: false, is_deleted: false }
    }

    pub(super) const fn registration(&self) -> &Arc<PartitionRegistration> {
        &self.registration
    }

    /// What `registration` makes of this replica.
    ///
    /// It does not lead unless `may_lead`: metadata from before this process was registered may say that it does, but
    /// those who followed may have records that a power failure has taken from it, in the same epoch.
    pub(super) fn entry(&self, registration: &PartitionRegistration, may_lead: bool) -> Entry {
        let epoch = registration.leader_epoch;
        let leads = may_lead && registration.leader == Some(self.node);
        match &self.role {
            Role::Leader(leadership) if leads && leadership.epoch() == epoch => Entry::Stay,
            Role::Follower(following) if !leads && *following == epoch => Entry::Stay,
            Role::New | Role::Leader(_) | Role::Follower(_) if leads => Entry::Lead(epoch),
            Role::New | Role::Leader(_) | Role::Follower(_) => Entry::Follow(epoch),
        }
    }

    /// Leads from `start`, where the log ended when it began the epoch.
    pub(super) fn lead(
        &mut self,
        registration: Arc<PartitionRegistration>,
        start: Offset,
        now: Instant,
    ) {
        self.role = Role::Leader(Leadership::new(self.node, &registration, start, now));
        self.take(registration);
    }

    /// Follows whoever leads, be it nobody.
    pub(super) fn follow(&mut self, registration: Arc<PartitionRegistration>) {
        self.role = Role::Follower(registration.leader_epoch);
        self.take(registration);
    }

    /// Goes on in its role.
    pub(super) fn stay(&mut self, registration: Arc<PartitionRegistration>) {
        if let Role::Leader(leadership) = &mut self.role {
            leadership.learn(&registration);
        }
        self.take(registration);
    }

    fn take(&mut self, registration: Arc<PartitionRegistration>) {
        self.registration = registration;
        if let Role::Leader(leadership) = &self.role {
            assert_eq!(leadership.epoch(), self.registration.leader_epoch, "a leader's epoch");
            assert_eq!(self.registration.leader, Some(self.node), "a leader's registration");
        }
    }

    /// Why nothing can be asked of this replica at all.
    pub(super) const fn check_here(&self) -> Result<(), ErrorCode> {
        if self.is_deleted {
            Err(ErrorCode::UnknownTopicOrPartition)
        } else if self.is_offline {
            Err(ErrorCode::KafkaStorageError)
        } else {
            Ok(())
        }
    }

    /// The leadership, or why there is none.
    pub(super) fn leadership(&self) -> Result<&Leadership, ErrorCode> {
        self.check_here()?;
        match &self.role {
            Role::Leader(leadership) => Ok(leadership),
            Role::New | Role::Follower(_) => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// The leadership, to be changed.
    pub(super) fn leadership_mut(&mut self) -> Result<&mut Leadership, ErrorCode> {
        self.check_here()?;
        match &mut self.role {
            Role::Leader(leadership) => Ok(leadership),
            Role::New | Role::Follower(_) => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// True when it follows a leader of `epoch`.
    pub(super) fn follows_in(&self, epoch: LeaderEpoch) -> bool {
        self.check_here().is_ok() && matches!(self.role, Role::Follower(own) if own == epoch)
    }
}
