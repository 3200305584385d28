use super::deciding::{Deciding, Random, Refusal, Request};
use crate::metadata::{BrokerRegistration, TopicImage};
use crate::model::{BrokerEpoch, DirectoryId, ErrorCode, NodeId, PartitionIndex, TopicId};
use crate::protocol::internal_records::metadata::MetadataRecord;
use crate::state_machine::Decision;

/// A broker says in which of its directories its replicas lie. Source: KIP-858.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignReplicas {
    /// Who asks.
    pub broker_id: NodeId,
    /// Its registration.
    pub broker_epoch: BrokerEpoch,
    /// What lies where.
    pub directories: Vec<(DirectoryId, ByTopic<PartitionIndex>)>,
}

/// Something of each topic's partitions.
type ByTopic<T> = Vec<(TopicId, Vec<T>)>;

/// What became of each partition, in the order asked.
pub type AssignReplicasOutcome = Vec<(DirectoryId, ByTopic<(PartitionIndex, ErrorCode)>)>;

impl Request for AssignReplicas {
    type Outcome = AssignReplicasOutcome;
    const IS_ATOMIC: bool = false;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, Self::Outcome>, Refusal> {
        if !deciding.version.has_directory_assignment() {
            let message = "Directory assignment is not supported yet.";
            return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
        }
        deciding.check_broker_epoch(self.broker_id, self.broker_epoch)?;
        let cluster = deciding.image.cluster();
        let broker = cluster.broker(self.broker_id).ok_or(ErrorCode::StaleBrokerEpoch)?;
        let mut records = Vec::new();
        let mut outcome = Vec::new();
        for (directory, topics) in &self.directories {
            let mut results = Vec::new();
            for (id, indexes) in topics {
                let topic = deciding.image.topics().by_id(*id);
                let assign = |index: &PartitionIndex| {
                    let code = match topic {
                        None => ErrorCode::UnknownTopicId,
                        Some(topic) => {
                            assign(deciding, broker, topic, *index, *directory, &mut records)
                        }
                    };
                    (*index, code)
                };
                results.push((*id, indexes.iter().map(assign).collect()));
            }
            outcome.push((*directory, results));
        }
        Ok(Decision::new(records, outcome))
    }
}

fn assign(
    deciding: &Deciding<'_>,
    broker: &BrokerRegistration,
    topic: &TopicImage,
    index: PartitionIndex,
    directory: DirectoryId,
    records: &mut Vec<MetadataRecord>,
) -> ErrorCode {
    let Some(partition) = topic.partition(index) else {
        return ErrorCode::UnknownTopicOrPartition;
    };
    if !partition.replicas.contains(&broker.id) {
        return ErrorCode::NotLeaderOrFollower;
    }
    // What lies in a directory that is gone is assigned there and loses its replica with one record.
    let is_offline = !broker.has_online_directory(directory);
    let is_active = |id| !(is_offline && id == broker.id) && deciding.image.cluster().is_active(id);
    let mut change = deciding.partition_change(topic, partition);
    change.directory = Some((broker.id, directory));
    if is_offline {
        change.isr.retain(|id| *id != broker.id);
    }
    let built = change.build(topic.id, index, deciding.electorate(&is_active));
    records.extend(built.map(MetadataRecord::from));
    ErrorCode::None
}
