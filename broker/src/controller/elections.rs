use crate::metadata::{ClusterImage, LeaderRecoveryState, MetadataVersion, PartitionRegistration};
use crate::model::{DirectoryId, NodeId, PartitionIndex, TopicId};
use crate::protocol::internal_records::metadata::{LeaderChange, PartitionChangeRecord};

/// Whom to make leader when the one there is cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Election {
    /// One of the in-sync (or eligible) replicas.
    Online,
    /// The first replica before all others, if it is one of these.
    Preferred,
    /// As online, or else any live replica: committed records may be lost (`unclean.leader.election.enable`).
    Unclean,
}

/// What must be known of the cluster to change a partition.
#[derive(Clone, Copy)]
pub(super) struct Electorate<'a> {
    /// The finalized metadata version.
    pub(super) version: MetadataVersion,
    /// True when eligible leader replicas (KIP-966) are finalized.
    pub(super) has_eligible_leaders: bool,
    /// True for a broker that is alive, or about to be.
    pub(super) is_active: &'a dyn Fn(NodeId) -> bool,
    /// The brokers and their directories.
    pub(super) cluster: &'a ClusterImage,
}

/// A change to one partition: what is wanted, out of which [`build`](Self::build) makes the record.
pub(super) struct PartitionChange<'a> {
    pub(super) partition: &'a PartitionRegistration,
    pub(super) election: Election,
    pub(super) isr: Vec<NodeId>,
    /// The preferred leader first; those that a reassignment removes last.
    pub(super) replicas: Vec<NodeId>,
    pub(super) removing: Vec<NodeId>,
    pub(super) adding: Vec<NodeId>,
    pub(super) recovery_state: LeaderRecoveryState,
    /// `min.insync.replicas`; all replicas are always enough.
    pub(super) min_isr: usize,
    /// A replica that may have lost records.
    pub(super) unclean_shutdown: Option<NodeId>,
    /// Where one replica lies, when that is news.
    pub(super) directory: Option<(NodeId, DirectoryId)>,
}

/// Who leads after the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Elected {
    leader: Option<NodeId>,
    is_unclean: bool,
}

/// The parts of a partition that a change works on before it is written down.
struct Target {
    replicas: Vec<NodeId>,
    isr: Vec<NodeId>,
    removing: Vec<NodeId>,
    adding: Vec<NodeId>,
    eligible: Vec<NodeId>,
}

impl<'a> PartitionChange<'a> {
    /// A change that wants nothing: it elects a leader if the partition needs one.
    pub(super) fn new(
        partition: &'a PartitionRegistration,
        election: Election,
        min_isr: usize,
    ) -> Self {
        Self {
            partition,
            election,
            isr: partition.isr.clone(),
            replicas: partition.replicas.clone(),
            removing: partition.removing_replicas.clone(),
            adding: partition.adding_replicas.clone(),
            recovery_state: partition.leader_recovery_state,
            min_isr,
            unclean_shutdown: None,
            directory: None,
        }
    }

    /// The record that makes the change, or `None` when nothing changes.
    ///
    /// The leader epoch grows when the record names a leader, be it the same one.
    pub(super) fn build(
        self,
        topic: TopicId,
        index: PartitionIndex,
        electorate: Electorate<'_>,
    ) -> Option<PartitionChangeRecord> {
        let partition = self.partition;
        let mut target = self.target(electorate);
        let elected = self.elect(&target, electorate);
        let nothing = PartitionChangeRecord::new(topic, index);
        let mut record = nothing.clone();
        if elected.leader != partition.leader {
            record.leader = said(elected.leader);
            if let Some(leader) = elected.leader
                && target.eligible.contains(&leader)
            {
                target.isr = vec![leader];
                target.eligible.retain(|replica| *replica != leader);
            }
            if let Some(leader) = elected.leader
                && elected.is_unclean
            {
                record.isr = Some(vec![leader]);
                if partition.leader_recovery_state != LeaderRecoveryState::Recovering {
                    record.leader_recovery_state = Some(LeaderRecoveryState::Recovering);
                }
            }
        }
        let loses_replica = |old: &[NodeId], new: &[NodeId]| old.iter().any(|id| !new.contains(id));
        if record.leader == LeaderChange::Unchanged
            && loses_replica(&partition.replicas, &target.replicas)
        {
            record.leader = said(partition.leader);
        }
        self.write_eligible(&mut record, &mut target, electorate);
        let may_be_empty = electorate.has_eligible_leaders;
        if record.isr.is_none()
            && (!target.isr.is_empty() || may_be_empty)
            && target.isr != partition.isr
        {
            record.isr = Some(target.isr.clone());
        }
        if electorate.version.bumps_leader_epoch_on_isr_shrink()
            && record.leader == LeaderChange::Unchanged
            && record.isr.is_some()
            && loses_replica(&partition.isr, &target.isr)
        {
            record.leader = said(partition.leader);
        }
        self.write_last_known_leader(&mut record, electorate);
        self.write_assignment(&mut record, &target, electorate);
        if self.recovery_state != partition.leader_recovery_state {
            record.leader_recovery_state = Some(self.recovery_state);
        }
        if record == nothing { None } else { Some(record) }
    }

    /// What is wanted, with a reassignment completed when the wanted ISR completes it, and with the eligible leaders
    /// that follow from it.
    fn target(&self, electorate: Electorate<'_>) -> Target {
        let partition = self.partition;
        let mut target = Target {
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            removing: self.removing.clone(),
            adding: self.adding.clone(),
            eligible: partition.eligible_leader_replicas.clone(),
        };
        if !target.removing.is_empty() || !target.adding.is_empty() {
            let stays = |id: &NodeId| !self.removing.contains(id);
            let replicas: Vec<NodeId> =
                self.replicas.iter().copied().filter(|id| stays(id)).collect();
            let isr: Vec<NodeId> = self.isr.iter().copied().filter(|id| stays(id)).collect();
            let is_complete = replicas.iter().all(|id| isr.contains(id));
            if !isr.is_empty() && !replicas.is_empty() && is_complete {
                target.replicas = replicas;
                target.isr = isr;
                target.removing.clear();
                target.adding.clear();
            }
        }
        if electorate.has_eligible_leaders {
            if target.isr.len() >= self.min_isr.min(target.replicas.len()) {
                target.eligible.clear();
            } else {
                let mut eligible = target.eligible.clone();
                eligible.extend(partition.isr.iter().copied());
                eligible.sort_unstable();
                eligible.dedup();
                eligible.retain(|id| {
                    let is_elsewhere = target.isr.contains(id) || !target.replicas.contains(id);
                    !is_elsewhere && self.unclean_shutdown != Some(*id)
                });
                target.eligible = eligible;
            }
        }
        target
    }

    fn elect(&self, target: &Target, electorate: Electorate<'_>) -> Elected {
        let clean = |leader| Elected { leader, is_unclean: false };
        let can_lead = |replica: NodeId| {
            (electorate.is_active)(replica)
                && self.partition.directory(replica).is_some_and(|directory| {
                    let broker = electorate.cluster.broker(replica);
                    broker.is_some_and(|broker| broker.has_online_directory(directory))
                })
        };
        let is_clean = |replica: NodeId| {
            let is_safe = target.isr.contains(&replica)
                || (target.isr.is_empty() && target.eligible.contains(&replica));
            is_safe && can_lead(replica)
        };
        let preferred = target.replicas.first().copied();
        let preferred = preferred.filter(|_| self.election == Election::Preferred);
        if let Some(leader) = preferred.filter(|leader| is_clean(*leader)) {
            return clean(Some(leader));
        }
        if let Some(leader) = self.partition.leader.filter(|leader| is_clean(*leader)) {
            return clean(Some(leader));
        }
        if let Some(leader) = target.replicas.iter().copied().find(|id| is_clean(*id)) {
            return clean(Some(leader));
        }
        if let Some(leader) = self.last_known_leader(target, electorate).filter(|id| can_lead(*id))
        {
            return Elected { leader: Some(leader), is_unclean: true };
        }
        let unclean = match self.election {
            Election::Online | Election::Preferred => None,
            Election::Unclean => target.replicas.iter().copied().find(|id| can_lead(*id)),
        };
        Elected { leader: unclean, is_unclean: unclean.is_some() }
    }

    /// The last leader of a partition that has lost every in-sync and every eligible replica.
    fn last_known_leader(&self, target: &Target, electorate: Electorate<'_>) -> Option<NodeId> {
        if !electorate.has_eligible_leaders || !target.eligible.is_empty() || !target.isr.is_empty()
        {
            return None;
        }
        match self.partition.last_known_eligible_leader_replicas.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }

    fn write_eligible(
        &self,
        record: &mut PartitionChangeRecord,
        target: &mut Target,
        electorate: Electorate<'_>,
    ) {
        // An unclean election has set the ISR already: nobody else is known to hold everything then.
        if record.isr.is_some() || !electorate.has_eligible_leaders {
            target.eligible.clear();
        }
        if target.eligible != self.partition.eligible_leader_replicas {
            record.eligible_leader_replicas = Some(target.eligible.clone());
        }
    }

    fn write_last_known_leader(
        &self,
        record: &mut PartitionChangeRecord,
        electorate: Electorate<'_>,
    ) {
        if !electorate.has_eligible_leaders {
            return;
        }
        let partition = self.partition;
        let known = &partition.last_known_eligible_leader_replicas;
        let leader: Vec<NodeId> = partition.leader.into_iter().collect();
        let loses_everyone = record.isr.as_ref().is_some_and(Vec::is_empty);
        let will_lead = match record.leader {
            LeaderChange::Unchanged => partition.leader.is_some(),
            LeaderChange::Nobody => false,
            LeaderChange::Leader(_) => true,
        };
        if loses_everyone && !leader.is_empty() && *known != leader {
            record.last_known_elr = Some(leader);
        } else if will_lead && !known.is_empty() {
            record.last_known_elr = Some(Vec::new());
        }
    }

    fn write_assignment(
        &self,
        record: &mut PartitionChangeRecord,
        target: &Target,
        electorate: Electorate<'_>,
    ) {
        let partition = self.partition;
        if electorate.version.has_directory_assignment() {
            let directories: Vec<DirectoryId> = target
                .replicas
                .iter()
                .map(|id| {
                    let news = self.directory.filter(|(replica, _)| replica == id);
                    let known = news.map(|(_, news)| news).or_else(|| partition.directory(*id));
                    known.unwrap_or_else(|| electorate.cluster.new_directory(*id))
                })
                .collect();
            if directories != partition.directories {
                record.directories = Some(directories);
            }
        }
        if target.replicas != partition.replicas {
            record.replicas = Some(target.replicas.clone());
        }
        if target.removing != partition.removing_replicas {
            record.removing_replicas = Some(target.removing.clone());
        }
        if target.adding != partition.adding_replicas {
            record.adding_replicas = Some(target.adding.clone());
        }
    }
}

fn said(leader: Option<NodeId>) -> LeaderChange {
    leader.map_or(LeaderChange::Nobody, LeaderChange::Leader)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::{Election, Electorate, PartitionChange};
    use crate::metadata::{
        BrokerRegistration, ClusterImage, LeaderRecoveryState, MetadataDelta, MetadataImage,
        MetadataVersion, PartitionRegistration,
    };
    use crate::model::{BrokerEpoch, DirectoryId, NodeId, Offset, PartitionIndex, TopicId};
    use crate::protocol::internal_records::metadata::{
        LeaderChange, PartitionChangeRecord, RegisterBrokerRecord,
    };

    fn ids(numbers: &[i32]) -> Vec<NodeId> {
        numbers.iter().copied().map(NodeId).collect()
    }

    /// Brokers 1 to 4, each with one directory.
    fn brokers() -> MetadataImage {
        let mut delta = MetadataDelta::new(&MetadataImage::default());
        for id in 1..=4 {
            let registration = BrokerRegistration {
                id: NodeId(id),
                epoch: BrokerEpoch(1),
                incarnation_id: Uuid::nil(),
                endpoints: Vec::new(),
                supported_features: BTreeMap::new(),
                rack: None,
                directories: vec![directory(id)],
                cordoned_directories: None,
                is_fenced: false,
                in_controlled_shutdown: false,
                is_migrating_zk_broker: false,
            };
            let record = RegisterBrokerRecord::from(&registration);
            delta.replay(Offset::ZERO, &record.into()).unwrap();
        }
        delta.freeze().0
    }

    fn directory(id: i32) -> DirectoryId {
        DirectoryId(Uuid::from_u128(1_000 + u128::from(id.unsigned_abs())))
    }

    fn partition(replicas: &[i32], isr: &[i32], leader: Option<i32>) -> PartitionRegistration {
        PartitionRegistration {
            replicas: ids(replicas),
            directories: replicas.iter().copied().map(directory).collect(),
            isr: ids(isr),
            leader: leader.map(NodeId),
            ..PartitionRegistration::default()
        }
    }

    fn electorate<'a>(
        cluster: &'a ClusterImage,
        level: i16,
        has_eligible_leaders: bool,
        is_active: &'a dyn Fn(NodeId) -> bool,
    ) -> Electorate<'a> {
        let version = MetadataVersion::from_level(level).unwrap();
        Electorate { version, has_eligible_leaders, is_active, cluster }
    }

    /// What becomes of a partition whose ISR is to be `isr` while only `alive` are active.
    fn change(
        partition: &PartitionRegistration,
        isr: &[i32],
        alive: &[i32],
        eligible: bool,
    ) -> (Option<PartitionChangeRecord>, PartitionRegistration) {
        let image = brokers();
        let alive = ids(alive);
        let is_active = |id: NodeId| alive.contains(&id);
        let mut change = PartitionChange::new(partition, Election::Online, 2);
        change.isr = ids(isr);
        let electorate = electorate(image.cluster(), 33, eligible, &is_active);
        let record = change.build(TopicId::ZERO, PartitionIndex(0), electorate);
        let mut after = partition.clone();
        if let Some(record) = &record {
            after.merge(record);
        }
        (record, after)
    }

    #[test]
    fn nothing_is_written_when_nothing_changes() {
        let partition = partition(&[1, 2], &[1, 2], Some(1));
        assert_eq!(change(&partition, &[1, 2], &[1, 2], false).0, None);
        assert_eq!(change(&partition, &[1, 2], &[1, 2], true).0, None);
    }

    #[test]
    fn the_first_replica_in_sync_leads_next() {
        let (_, after) =
            change(&partition(&[1, 2, 3], &[3, 2, 1], Some(1)), &[3, 2], &[2, 3], false);
        assert_eq!((after.leader, after.isr), (Some(NodeId(2)), ids(&[3, 2])));
    }

    #[test]
    fn a_replica_whose_directory_is_offline_does_not_lead() {
        let mut partition = partition(&[1, 2, 3], &[1, 2, 3], Some(1));
        partition.directories[1] = directory(99);
        let (_, after) = change(&partition, &[2, 3], &[2, 3], false);
        assert_eq!(after.leader, Some(NodeId(3)));
    }

    #[test]
    fn a_shrunk_isr_raises_the_leader_epoch_only_at_old_metadata_versions() {
        let image = brokers();
        let partition = partition(&[1, 2], &[1, 2], Some(1));
        for (level, expected) in
            [(11, LeaderChange::Leader(NodeId(1))), (12, LeaderChange::Unchanged)]
        {
            let mut change = PartitionChange::new(&partition, Election::Online, 1);
            change.isr = ids(&[1]);
            let electorate = electorate(image.cluster(), level, false, &|_| true);
            let record = change.build(TopicId::ZERO, PartitionIndex(0), electorate).unwrap();
            assert_eq!(record.leader, expected, "level {level}");
        }
    }

    #[test]
    fn eligible_leaders_are_kept_below_the_minimum_and_lead_when_nobody_is_in_sync() {
        let (_, one_left) = change(&partition(&[1, 2, 3], &[1, 2], Some(1)), &[1], &[1, 3], true);
        assert_eq!(one_left.eligible_leader_replicas, ids(&[2]));
        let (_, nobody) = change(&one_left, &[], &[3], true);
        assert_eq!((nobody.leader, nobody.isr.as_slice()), (None, [].as_slice()));
        assert_eq!(nobody.eligible_leader_replicas, ids(&[1, 2]));
        assert_eq!(nobody.last_known_eligible_leader_replicas, ids(&[1]));
        let (_, back) = change(&nobody, &[], &[2, 3], true);
        assert_eq!((back.leader, back.isr.clone()), (Some(NodeId(2)), ids(&[2])));
        assert_eq!(back.eligible_leader_replicas, ids(&[1]));
        assert!(back.last_known_eligible_leader_replicas.is_empty());
        assert_eq!(back.leader_recovery_state, LeaderRecoveryState::Recovered);
        let (_, whole) = change(&back, &[2, 3], &[2, 3], true);
        assert!(whole.eligible_leader_replicas.is_empty());
    }

    #[test]
    fn the_last_known_leader_leads_when_no_one_else_is_left_and_must_recover() {
        let mut partition = partition(&[1, 2], &[], None);
        partition.last_known_eligible_leader_replicas = ids(&[2]);
        let (record, after) = change(&partition, &[], &[1], true);
        assert_eq!((record, after.leader), (None, None));
        let (_, after) = change(&partition, &[], &[1, 2], true);
        assert_eq!((after.leader, after.isr.clone()), (Some(NodeId(2)), ids(&[2])));
        assert_eq!(after.leader_recovery_state, LeaderRecoveryState::Recovering);
    }

    #[test]
    fn a_reassignment_ends_when_all_that_stay_are_in_sync() {
        let mut partition = partition(&[3, 4, 1, 2], &[1, 2], Some(1));
        partition.adding_replicas = ids(&[3, 4]);
        partition.removing_replicas = ids(&[1, 2]);
        let (_, half) = change(&partition, &[1, 2, 3], &[1, 2, 3, 4], false);
        assert!(half.is_reassigning());
        let (record, done) = change(&half, &[1, 2, 3, 4], &[1, 2, 3, 4], false);
        assert_eq!(record.unwrap().leader, LeaderChange::Leader(NodeId(3)));
        assert!(!done.is_reassigning());
        assert_eq!((done.replicas.clone(), done.isr.clone()), (ids(&[3, 4]), ids(&[3, 4])));
        assert_eq!(done.directories, [directory(3), directory(4)]);
        assert_eq!(done.leader_epoch.value(), 1);
    }
}
