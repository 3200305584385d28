//! AssignReplicasToDirs: a broker says in which of its directories replicas lie. Source: KIP-858.

use kafka_protocol::messages::assign_replicas_to_dirs_request as asking;
use kafka_protocol::messages::assign_replicas_to_dirs_response::{
    DirectoryData, PartitionData, TopicData,
};
use kafka_protocol::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};

use super::active_controller::{Remote, check};
use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::wire_node;
use crate::controller::{AssignReplicas, AssignReplicasOutcome, Refusal};
use crate::environment::Runtime;
use crate::model::{BrokerEpoch, DirectoryId, ErrorCode, NodeId, PartitionIndex, TopicId};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: AssignReplicasToDirsRequest,
) -> Outcome<AssignReplicasToDirsResponse> {
    let controller = context.controller.clone();
    Outcome::Later(Box::pin(async move {
        match controller.ask(translate(&request)).await {
            Ok(outcome) => respond(&outcome),
            Err(refusal) => {
                AssignReplicasToDirsResponse::default().with_error_code(refusal.code.code())
            }
        }
    }))
}

fn translate(request: &AssignReplicasToDirsRequest) -> AssignReplicas {
    let topic = |topic: &asking::TopicData| {
        let indexes = topic.partitions.iter().map(|one| PartitionIndex(one.partition_index));
        (TopicId(topic.topic_id), indexes.collect())
    };
    let directories = request
        .directories
        .iter()
        .map(|directory| (DirectoryId(directory.id), directory.topics.iter().map(topic).collect()));
    AssignReplicas {
        broker_id: NodeId(request.broker_id.0),
        broker_epoch: BrokerEpoch(request.broker_epoch),
        directories: directories.collect(),
    }
}

fn respond(outcome: &AssignReplicasOutcome) -> AssignReplicasToDirsResponse {
    let partition = |(index, code): &(PartitionIndex, ErrorCode)| {
        PartitionData::default().with_partition_index(index.0).with_error_code(code.code())
    };
    let topic = |(id, partitions): &(TopicId, Vec<(PartitionIndex, ErrorCode)>)| {
        let partitions = partitions.iter().map(partition).collect();
        TopicData::default().with_topic_id(id.0).with_partitions(partitions)
    };
    let directories = outcome.iter().map(|(id, topics)| {
        DirectoryData::default().with_id(id.0).with_topics(topics.iter().map(topic).collect())
    });
    AssignReplicasToDirsResponse::default().with_directories(directories.collect())
}

impl Remote for AssignReplicas {
    type Wire = AssignReplicasToDirsRequest;

    fn to_wire(&self) -> AssignReplicasToDirsRequest {
        let partition =
            |index: &PartitionIndex| asking::PartitionData::default().with_partition_index(index.0);
        let topic = |(id, indexes): &(TopicId, Vec<PartitionIndex>)| {
            let partitions = indexes.iter().map(partition).collect();
            asking::TopicData::default().with_topic_id(id.0).with_partitions(partitions)
        };
        let directories = self.directories.iter().map(|(id, topics)| {
            asking::DirectoryData::default()
                .with_id(id.0)
                .with_topics(topics.iter().map(topic).collect())
        });
        AssignReplicasToDirsRequest::default()
            .with_broker_id(wire_node(self.broker_id))
            .with_broker_epoch(self.broker_epoch.0)
            .with_directories(directories.collect())
    }

    fn outcome_of(
        &self,
        response: AssignReplicasToDirsResponse,
    ) -> Result<AssignReplicasOutcome, Refusal> {
        check(response.error_code, None)?;
        let partition = |data: &PartitionData| {
            let code = ErrorCode::from_code(data.error_code);
            let code = code.unwrap_or(ErrorCode::UnknownServerError);
            (PartitionIndex(data.partition_index), code)
        };
        let topic = |topic: &TopicData| {
            (TopicId(topic.topic_id), topic.partitions.iter().map(partition).collect())
        };
        let directories = response.directories.iter().map(|directory| {
            (DirectoryId(directory.id), directory.topics.iter().map(topic).collect())
        });
        Ok(directories.collect())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn where_replicas_lie_survives_the_way() {
        let (directory, topic) = (DirectoryId(Uuid::from_u128(3)), TopicId(Uuid::from_u128(4)));
        let asked = AssignReplicas {
            broker_id: NodeId(1),
            broker_epoch: BrokerEpoch(2),
            directories: vec![(
                directory,
                vec![(topic, vec![PartitionIndex(5), PartitionIndex(6)])],
            )],
        };
        assert_eq!(translate(&asked.to_wire()), asked);
        let codes = vec![
            (PartitionIndex(5), ErrorCode::None),
            (PartitionIndex(6), ErrorCode::NotLeaderOrFollower),
        ];
        let outcome = vec![(directory, vec![(topic, codes)])];
        assert_eq!(asked.outcome_of(respond(&outcome)), Ok(outcome));
    }
}
