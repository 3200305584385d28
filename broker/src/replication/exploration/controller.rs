//! A controller as these replicas need it: who is in sync, who leads.

use std::sync::Arc;

use super::{Image, World};
use crate::metadata::{PartitionEpoch, PartitionRegistration};
use crate::model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId};
use crate::replication::in_sync_replicas::{IsrChange, IsrState};

impl World {
    pub(super) fn commit(&mut self, change: impl FnOnce(&mut PartitionRegistration, &mut Image)) {
        let mut image = self.newest().clone();
        let mut partition = PartitionRegistration::clone(&image.partition);
        let before = partition.clone();
        change(&mut partition, &mut image);
        if partition.leader != before.leader {
            partition.leader_epoch = LeaderEpoch::new(before.leader_epoch.value() + 1);
        }
        if partition != before {
            partition.partition_epoch = PartitionEpoch(before.partition_epoch.0 + 1);
        }
        image.partition = Arc::new(partition);
        self.images.push(image);
        let partition = &self.newest().partition;
        let said = format!(
            "v{} leader={:?}/{} isr={:?}",
            partition.partition_epoch.0, partition.leader, partition.leader_epoch, partition.isr
        );
        self.note(&said);
    }

    pub(super) fn alter(
        &mut self,
        from: NodeId,
        change: &IsrChange,
    ) -> Result<IsrState, ErrorCode> {
        let newest = self.newest();
        let partition = Arc::clone(&newest.partition);
        if change.leader_epoch != partition.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if partition.leader != Some(from) {
            return Err(ErrorCode::InvalidRequest);
        }
        if change.partition_epoch != partition.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let is_eligible = |(id, epoch): &(NodeId, Option<BrokerEpoch>)| {
            newest.active(*id).is_some_and(|known| epoch.is_none_or(|told| told == known))
        };
        if !change.isr.iter().all(is_eligible) {
            return Err(ErrorCode::IneligibleReplica);
        }
        let isr: Vec<NodeId> = change.isr.iter().map(|(id, _)| *id).collect();
        self.commit(|partition, _| partition.isr = isr);
        let partition = &self.newest().partition;
        Ok(IsrState {
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            isr: partition.isr.clone(),
        })
    }

    /// A broker is out: it leaves the in-sync replicas unless it is the last of them, and somebody else of them leads.
    pub(super) fn out(&mut self, id: NodeId) {
        self.commit(|partition, image| {
            if let Some((_, is_active)) = image.brokers.get_mut(&id) {
                *is_active = false;
            }
            if partition.isr.len() > 1 {
                partition.isr.retain(|member| *member != id);
            }
            if partition.leader == Some(id) {
                partition.leader =
                    partition.isr.iter().copied().find(|member| image.active(*member).is_some());
            }
        });
    }

    /// A broker is in: it leads if nobody does and it is in sync.
    pub(super) fn unfence(&mut self, id: NodeId) {
        self.commit(|partition, image| {
            if let Some((_, is_active)) = image.brokers.get_mut(&id) {
                *is_active = true;
            }
            if partition.leader.is_none() && partition.isr.contains(&id) {
                partition.leader = Some(id);
            }
        });
    }

    /// A balancer moves the leadership to another one in sync.
    pub(super) fn elect(&mut self) {
        let place = self.dice.roll(3);
        self.commit(|partition, image| {
            let id = NodeId(1 + i32::try_from(place).expect("small"));
            if partition.isr.contains(&id) && image.active(id).is_some() {
                partition.leader = Some(id);
            }
        });
    }
}
