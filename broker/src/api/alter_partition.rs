//! AlterPartition: a leader asks for other in-sync replicas. Source: KIP-497, KIP-903 (epochs of brokers).

use kafka_protocol::messages::alter_partition_request::{
    BrokerState as WireBrokerState, PartitionData as WirePartition, TopicData as WireTopic,
};
use kafka_protocol::messages::alter_partition_response::{PartitionData, TopicData};
use kafka_protocol::messages::{AlterPartitionRequest, AlterPartitionResponse};

use super::active_controller::{Remote, check};
use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::{wire_leader, wire_node, wire_nodes};
use crate::controller::{
    AlterPartition, AlterPartitionOutcome, AlterPartitionState, AlteredPartition, Refusal,
};
use crate::environment::Runtime;
use crate::metadata::{LeaderRecoveryState, PartitionEpoch};
use crate::model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionIndex, TopicId};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: AlterPartitionRequest,
) -> Outcome<AlterPartitionResponse> {
    let (controller, version) = (context.controller.clone(), context.version());
    Outcome::Later(Box::pin(async move {
        let answer = match translate(&request, version) {
            Some(asked) => controller.ask(asked).await,
            None => Err(ErrorCode::InvalidRequest.into()),
        };
        match answer {
            Ok(outcome) => respond(outcome),
            Err(refusal) => AlterPartitionResponse::default().with_error_code(refusal.code.code()),
        }
    }))
}

/// `None` when an epoch or a state is none.
fn translate(request: &AlterPartitionRequest, version: i16) -> Option<AlterPartition> {
    let state = |partition: &WirePartition| {
        let isr = if version >= WITH_EPOCHS {
            let epoch_of = |epoch: i64| (epoch >= 0).then_some(BrokerEpoch(epoch));
            let members = partition.new_isr_with_epochs.iter();
            members.map(|one| (NodeId(one.broker_id.0), epoch_of(one.broker_epoch))).collect()
        } else {
            partition.new_isr.iter().map(|id| (NodeId(id.0), None)).collect()
        };
        Some(AlterPartitionState {
            partition: PartitionIndex(partition.partition_index),
            leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch)?,
            isr,
            leader_recovery_state: LeaderRecoveryState::from_number(
                partition.leader_recovery_state,
            )?,
            partition_epoch: PartitionEpoch(partition.partition_epoch),
        })
    };
    let topics = request.topics.iter().map(|topic| {
        let states: Option<Vec<_>> = topic.partitions.iter().map(state).collect();
        Some((TopicId(topic.topic_id), states?))
    });
    Some(AlterPartition {
        broker_id: NodeId(request.broker_id.0),
        broker_epoch: BrokerEpoch(request.broker_epoch),
        topics: topics.collect::<Option<_>>()?,
    })
}

/// The version from which replicas are named with the epochs they fetch with.
const WITH_EPOCHS: i16 = 3;

fn respond(outcome: AlterPartitionOutcome) -> AlterPartitionResponse {
    let partition = |(index, result): (PartitionIndex, Result<AlteredPartition, ErrorCode>)| {
        let data = PartitionData::default().with_partition_index(index.0);
        match result {
            Err(code) => data.with_error_code(code.code()),
            Ok(altered) => data
                .with_leader_id(wire_leader(altered.leader))
                .with_leader_epoch(altered.leader_epoch.value())
                .with_isr(wire_nodes(&altered.isr))
                .with_leader_recovery_state(altered.leader_recovery_state.number())
                .with_partition_epoch(altered.partition_epoch.0),
        }
    };
    let topics = outcome.into_iter().map(|(id, partitions)| {
        let partitions = partitions.into_iter().map(partition).collect();
        TopicData::default().with_topic_id(id.0).with_partitions(partitions)
    });
    AlterPartitionResponse::default().with_topics(topics.collect())
}

impl Remote for AlterPartition {
    type Wire = AlterPartitionRequest;

    fn to_wire(&self) -> AlterPartitionRequest {
        let member = |(id, epoch): &(NodeId, Option<BrokerEpoch>)| {
            WireBrokerState::default()
                .with_broker_id(wire_node(*id))
                .with_broker_epoch(epoch.map_or(-1, |epoch| epoch.0))
        };
        let partition = |state: &AlterPartitionState| {
            WirePartition::default()
                .with_partition_index(state.partition.0)
                .with_leader_epoch(state.leader_epoch.value())
                .with_new_isr_with_epochs(state.isr.iter().map(member).collect())
                .with_leader_recovery_state(state.leader_recovery_state.number())
                .with_partition_epoch(state.partition_epoch.0)
        };
        let topics = self.topics.iter().map(|(id, states)| {
            WireTopic::default()
                .with_topic_id(id.0)
                .with_partitions(states.iter().map(partition).collect())
        });
        AlterPartitionRequest::default()
            .with_broker_id(wire_node(self.broker_id))
            .with_broker_epoch(self.broker_epoch.0)
            .with_topics(topics.collect())
    }

    fn outcome_of(
        &self,
        response: AlterPartitionResponse,
    ) -> Result<AlterPartitionOutcome, Refusal> {
        check(response.error_code, None)?;
        let topics = response.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter();
            let results =
                partitions.map(|data| (PartitionIndex(data.partition_index), altered(data)));
            (TopicId(topic.topic_id), results.collect())
        });
        Ok(topics.collect())
    }
}

fn altered(data: &PartitionData) -> Result<AlteredPartition, ErrorCode> {
    match ErrorCode::from_code(data.error_code) {
        Some(ErrorCode::None) => {}
        Some(code) => return Err(code),
        None => return Err(ErrorCode::UnknownServerError),
    }
    // Nonsense from a controller: the leader asks again.
    let nonsense = ErrorCode::UnknownServerError;
    Ok(AlteredPartition {
        leader: (data.leader_id.0 >= 0).then_some(NodeId(data.leader_id.0)),
        leader_epoch: LeaderEpoch::from_wire(data.leader_epoch).ok_or(nonsense)?,
        isr: data.isr.iter().map(|id| NodeId(id.0)).collect(),
        leader_recovery_state: LeaderRecoveryState::from_number(data.leader_recovery_state)
            .ok_or(nonsense)?,
        partition_epoch: PartitionEpoch(data.partition_epoch),
    })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::BrokerId;
    use uuid::Uuid;

    use super::*;

    fn wish() -> AlterPartition {
        AlterPartition {
            broker_id: NodeId(1),
            broker_epoch: BrokerEpoch(2),
            topics: vec![(
                TopicId(Uuid::from_u128(3)),
                vec![AlterPartitionState {
                    partition: PartitionIndex(4),
                    leader_epoch: LeaderEpoch::new(5),
                    isr: vec![(NodeId(6), Some(BrokerEpoch(7))), (NodeId(8), None)],
                    leader_recovery_state: LeaderRecoveryState::Recovering,
                    partition_epoch: PartitionEpoch(9),
                }],
            )],
        }
    }

    #[test]
    fn a_leaders_wish_survives_the_way() {
        assert_eq!(translate(&wish().to_wire(), 3), Some(wish()));
        let mut old = wish().to_wire();
        old.topics[0].partitions[0].new_isr = vec![BrokerId(6)];
        let asked = translate(&old, 2).unwrap();
        assert_eq!(asked.topics[0].1[0].isr, [(NodeId(6), None)]);
    }

    #[test]
    fn what_became_of_it_survives_the_way() {
        let altered = AlteredPartition {
            leader: Some(NodeId(1)),
            leader_epoch: LeaderEpoch::new(2),
            isr: vec![NodeId(1), NodeId(3)],
            leader_recovery_state: LeaderRecoveryState::Recovered,
            partition_epoch: PartitionEpoch(4),
        };
        let nobody = AlteredPartition { leader: None, ..altered.clone() };
        let outcome: AlterPartitionOutcome = vec![(
            TopicId(Uuid::from_u128(5)),
            vec![
                (PartitionIndex(0), Ok(altered)),
                (PartitionIndex(1), Ok(nobody)),
                (PartitionIndex(2), Err(ErrorCode::FencedLeaderEpoch)),
            ],
        )];
        assert_eq!(wish().outcome_of(respond(outcome.clone())), Ok(outcome));
    }

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        let mut wire = wish().to_wire();
        wire.topics[0].partitions[0].leader_epoch = -1;
        assert_eq!(translate(&wire, 3), None);
        let mut wire = wish().to_wire();
        wire.topics[0].partitions[0].leader_recovery_state = 2;
        assert_eq!(translate(&wire, 3), None);
        let data = PartitionData::default().with_leader_epoch(-1);
        assert_eq!(altered(&data), Err(ErrorCode::UnknownServerError));
    }
}
