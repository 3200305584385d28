use super::deciding::{Deciding, Random, Refusal, Request};
use super::elections::{Election, Electorate, PartitionChange};
use super::features::ELIGIBLE_LEADER_REPLICAS;
use crate::metadata::{LeaderRecoveryState, PartitionEpoch, PartitionRegistration, TopicImage};
use crate::model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionIndex, TopicId};
use crate::protocol::internal_records::metadata::{LeaderChange, MetadataRecord};
use crate::state_machine::Decision;

/// A leader asks for other in-sync replicas. Source: KIP-497, KIP-903.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterPartition {
    /// Who asks.
    pub broker_id: NodeId,
    /// Its registration.
    pub broker_epoch: BrokerEpoch,
    /// What it asks for.
    pub topics: Vec<(TopicId, Vec<AlterPartitionState>)>,
}

/// The state a leader wants for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterPartitionState {
    /// The partition.
    pub partition: PartitionIndex,
    /// The leader epoch it leads in.
    pub leader_epoch: LeaderEpoch,
    /// The in-sync replicas it wants, each with the epoch it fetches with; `None` is not checked.
    pub isr: Vec<(NodeId, Option<BrokerEpoch>)>,
    /// Whether it still recovers from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
    /// The partition epoch its wish is based on.
    pub partition_epoch: PartitionEpoch,
}

/// What became of each partition, in the order asked.
pub type AlterPartitionOutcome =
    Vec<(TopicId, Vec<(PartitionIndex, Result<AlteredPartition, ErrorCode>)>)>;

/// What its leader is told of a partition after the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredPartition {
    /// Who leads it.
    pub leader: Option<NodeId>,
    /// In which epoch.
    pub leader_epoch: LeaderEpoch,
    /// Who is in sync.
    pub isr: Vec<NodeId>,
    /// Whether the leader recovers from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
    /// What the leader's next wish is to be based on.
    pub partition_epoch: PartitionEpoch,
}

impl From<&PartitionRegistration> for AlteredPartition {
    fn from(partition: &PartitionRegistration) -> Self {
        Self {
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            isr: partition.isr.clone(),
            leader_recovery_state: partition.leader_recovery_state,
            partition_epoch: partition.partition_epoch,
        }
    }
}

impl Request for AlterPartition {
    type Outcome = AlterPartitionOutcome;
    const IS_ATOMIC: bool = false;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, Self::Outcome>, Refusal> {
        deciding.check_broker_epoch(self.broker_id, self.broker_epoch)?;
        let mut records = Vec::new();
        let mut outcome = Vec::new();
        for (id, states) in &self.topics {
            let topic = deciding.image.topics().by_id(*id);
            let results = states.iter().map(|state| {
                let result = match topic {
                    None => Err(ErrorCode::UnknownTopicId),
                    Some(topic) => self.alter(deciding, topic, state, &mut records),
                };
                (state.partition, result)
            });
            outcome.push((*id, results.collect()));
        }
        Ok(Decision::new(records, outcome))
    }
}

impl AlterPartition {
    fn alter(
        &self,
        deciding: &Deciding<'_>,
        topic: &TopicImage,
        state: &AlterPartitionState,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<AlteredPartition, ErrorCode> {
        let partition =
            topic.partition(state.partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.judge(deciding, partition, state)?;
        let mut change = deciding.partition_change(topic, partition);
        change.isr = state.isr.iter().map(|(id, _)| *id).collect();
        change.recovery_state = state.leader_recovery_state;
        let is_active = |id| deciding.image.cluster().is_active(id);
        let mut altered = PartitionRegistration::clone(partition);
        let electorate = deciding.electorate(&is_active);
        if let Some(record) = change.build(topic.id, state.partition, electorate) {
            altered.merge(&record);
            let leader = record.leader;
            records.push(record.into());
            // Only a change that completes a reassignment moves the leader. It takes effect, and yet its sender must
            // read the new metadata before it asks again.
            if leader != LeaderChange::Unchanged && leader != LeaderChange::Leader(self.broker_id) {
                return Err(ErrorCode::NewLeaderElected);
            }
        }
        Ok(AlteredPartition::from(&altered))
    }

    /// Whether the wish is up to date and makes sense, in Kafka's order of questions.
    fn judge(
        &self,
        deciding: &Deciding<'_>,
        partition: &PartitionRegistration,
        state: &AlterPartitionState,
    ) -> Result<(), ErrorCode> {
        // A leader that knows more than we do has heard of a newer controller.
        if state.leader_epoch > partition.leader_epoch
            || state.partition_epoch > partition.partition_epoch
        {
            return Err(ErrorCode::NotController);
        }
        if state.leader_epoch < partition.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if partition.leader != Some(self.broker_id) {
            return Err(ErrorCode::InvalidRequest);
        }
        if state.partition_epoch < partition.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let is_distinct = state.isr.iter().enumerate().all(|(place, (id, _))| {
            !state.isr.iter().take(place).any(|(earlier, _)| earlier == id)
        });
        let is_subset = state.isr.iter().all(|(id, _)| partition.replicas.contains(id));
        let has_leader = state.isr.iter().any(|(id, _)| *id == self.broker_id);
        let recovers = state.leader_recovery_state == LeaderRecoveryState::Recovering;
        let relapses =
            recovers && partition.leader_recovery_state == LeaderRecoveryState::Recovered;
        if !is_distinct
            || !is_subset
            || !has_leader
            || relapses
            || (recovers && state.isr.len() > 1)
        {
            return Err(ErrorCode::InvalidRequest);
        }
        let is_eligible = |(id, epoch): &(NodeId, Option<BrokerEpoch>)| {
            deciding.image.cluster().broker(*id).is_some_and(|broker| {
                broker.is_active() && epoch.is_none_or(|epoch| epoch == broker.epoch)
            })
        };
        if state.isr.iter().all(is_eligible) { Ok(()) } else { Err(ErrorCode::IneligibleReplica) }
    }
}

/// Brokers that come, go or fall with the decision being made, so that the image does not know yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Movement {
    /// Must neither lead nor stay in sync.
    pub(super) leaving: Option<NodeId>,
    /// May lead although it is still fenced.
    pub(super) arriving: Option<NodeId>,
    /// May have lost records: as `leaving`, and no eligible leader either.
    pub(super) unclean: Option<NodeId>,
}

impl Deciding<'_> {
    /// The changes to all partitions that `concerns` because of `movement`: new leaders, smaller ISRs.
    pub(super) fn leader_and_isr_changes(
        &self,
        movement: Movement,
        concerns: impl Fn(&PartitionRegistration) -> bool,
        records: &mut Vec<MetadataRecord>,
    ) {
        let falls = |id: NodeId| movement.leaving == Some(id) || movement.unclean == Some(id);
        let is_active = |id: NodeId| {
            !falls(id) && (movement.arriving == Some(id) || self.image.cluster().is_active(id))
        };
        for topic in self.image.topics().iter() {
            for (index, partition) in topic.partitions.iter() {
                if !concerns(partition) {
                    continue;
                }
                let mut change = self.partition_change(topic, partition);
                change.isr.retain(|id| !falls(*id));
                change.unclean_shutdown = movement.unclean;
                let built = change.build(topic.id, *index, self.electorate(&is_active));
                records.extend(built.map(MetadataRecord::from));
            }
        }
    }

    /// True when KIP-966 is in force.
    pub(super) fn has_eligible_leaders(&self) -> bool {
        self.image.features().level(ELIGIBLE_LEADER_REPLICAS) > 0
    }

    /// A change to one partition, with the rules that its topic is configured for.
    pub(super) fn partition_change<'p>(
        &self,
        topic: &TopicImage,
        partition: &'p PartitionRegistration,
    ) -> PartitionChange<'p> {
        let election = if self.is_unclean_election_enabled(topic.name.as_str()) {
            Election::Unclean
        } else {
            Election::Online
        };
        let min_isr = self.min_insync_replicas(topic.name.as_str());
        PartitionChange::new(partition, election, min_isr)
    }

    pub(super) fn electorate<'e>(
        &'e self,
        is_active: &'e dyn Fn(NodeId) -> bool,
    ) -> Electorate<'e> {
        Electorate {
            version: self.version,
            has_eligible_leaders: self.has_eligible_leaders(),
            is_active,
            cluster: self.image.cluster(),
        }
    }
}
