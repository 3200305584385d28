use super::deciding::{Deciding, Random, Refusal, Request};
use super::elections::Election;
use super::topics::check_record_count;
use crate::metadata::{PartitionRegistration, TopicImage};
use crate::model::{ErrorCode, PartitionIndex, TopicName};
use crate::protocol::internal_records::metadata::MetadataRecord;
use crate::state_machine::Decision;

/// An operator wants other leaders. Source: KIP-460.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectLeaders {
    /// Which leaders.
    pub kind: ElectionKind,
    /// Of which partitions; `None` for all.
    pub topics: Option<Vec<(TopicName, Vec<PartitionIndex>)>>,
}

/// Which leader is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionKind {
    /// The first replica of each partition.
    Preferred,
    /// Any live replica of a partition that has no leader, even if committed records are lost.
    Unclean,
}

/// What became of each partition, in the order asked; without those that needed nothing when all were asked for.
pub type ElectLeadersOutcome = Vec<(TopicName, Vec<(PartitionIndex, Result<(), Refusal>)>)>;

impl Request for ElectLeaders {
    type Outcome = ElectLeadersOutcome;
    const IS_ATOMIC: bool = false;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, Self::Outcome>, Refusal> {
        let mut records = Vec::new();
        let outcome = match &self.topics {
            None => self.elect_everywhere(deciding, &mut records),
            Some(topics) => {
                let elect = |(name, indexes): &(TopicName, Vec<PartitionIndex>)| {
                    let results = indexes.iter().map(|index| {
                        (*index, self.elect_named(deciding, name, *index, &mut records))
                    });
                    (name.clone(), results.collect())
                };
                topics.iter().map(elect).collect()
            }
        };
        check_record_count(&records)?;
        Ok(Decision::new(records, outcome))
    }
}

impl ElectLeaders {
    fn elect_everywhere(
        &self,
        deciding: &Deciding<'_>,
        records: &mut Vec<MetadataRecord>,
    ) -> ElectLeadersOutcome {
        let topics = deciding.image.topics().iter().map(|topic| {
            let results = topic.partitions.iter().filter_map(|(index, partition)| {
                let result = self.elect(deciding, topic, *index, partition, records);
                let is_news =
                    !matches!(&result, Err(no) if no.code == ErrorCode::ElectionNotNeeded);
                is_news.then_some((*index, result))
            });
            (topic.name.clone(), results.collect())
        });
        topics.collect()
    }

    fn elect_named(
        &self,
        deciding: &Deciding<'_>,
        name: &TopicName,
        index: PartitionIndex,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), Refusal> {
        let unknown = |message| Refusal::new(ErrorCode::UnknownTopicOrPartition, message);
        let topic = deciding.image.topics().by_name(name.as_str());
        let topic = topic.ok_or_else(|| unknown(format!("No such topic as {name}")))?;
        let partition = topic.partition(index);
        let partition =
            partition.ok_or_else(|| unknown(format!("No such partition as {name}-{index}")))?;
        self.elect(deciding, topic, index, partition, records)
    }

    fn elect(
        &self,
        deciding: &Deciding<'_>,
        topic: &TopicImage,
        index: PartitionIndex,
        partition: &PartitionRegistration,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), Refusal> {
        let (is_satisfied, election, unable) = match self.kind {
            ElectionKind::Preferred => (
                partition.has_preferred_leader(),
                Election::Preferred,
                ErrorCode::PreferredLeaderNotAvailable,
            ),
            ElectionKind::Unclean => (
                partition.leader.is_some(),
                Election::Unclean,
                ErrorCode::EligibleLeadersNotAvailable,
            ),
        };
        if is_satisfied {
            return Err(ErrorCode::ElectionNotNeeded.into());
        }
        let record = deciding.elected(topic, index, partition, election);
        records.push(record.ok_or(unable)?);
        Ok(())
    }
}

/// How many leaders one rebalance moves; the rest is due at once.
pub(super) const MOVES_MAX: usize = 1_000;

impl Deciding<'_> {
    /// Gives leadership back to preferred replicas that could lead and do not, to at most [`MOVES_MAX`] of them.
    pub(super) fn rebalance(&self, records: &mut Vec<MetadataRecord>) {
        for topic in self.image.topics().iter() {
            for (index, partition) in topic.partitions.iter() {
                if partition.has_preferred_leader() {
                    continue;
                }
                if records.len() >= MOVES_MAX {
                    return;
                }
                records.extend(self.elected(topic, *index, partition, Election::Preferred));
            }
        }
    }

    /// The change that an election makes, if it makes one.
    fn elected(
        &self,
        topic: &TopicImage,
        index: PartitionIndex,
        partition: &PartitionRegistration,
        election: Election,
    ) -> Option<MetadataRecord> {
        let is_active = |id| self.image.cluster().is_active(id);
        let mut change = self.partition_change(topic, partition);
        change.election = election;
        change.build(topic.id, index, self.electorate(&is_active)).map(MetadataRecord::from)
    }
}
