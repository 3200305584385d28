//! What nodes of the metadata quorum ask one another, answered by a lone voter: as the KIPs say, not measured.

use kafka_protocol::messages::fetch_snapshot_request::{PartitionSnapshot, TopicSnapshot};
use kafka_protocol::messages::{
    BeginQuorumEpochRequest, BrokerId, EndQuorumEpochRequest, FetchSnapshotRequest, VoteRequest,
    begin_quorum_epoch_request, end_quorum_epoch_request, vote_request,
};

use super::*;

const METADATA: &str = "__cluster_metadata";

fn vote(cluster: Option<&str>, topic: &str, epoch: i32, version: i16) -> VoteRequest {
    let mut partition = vote_request::PartitionData::default()
        .with_replica_id(BrokerId(2))
        .with_replica_epoch(epoch)
        .with_last_offset_epoch(epoch - 1);
    partition.pre_vote = version >= 2;
    let topic = vote_request::TopicData::default()
        .with_topic_name(topic_name(topic))
        .with_partitions(vec![partition]);
    let mut request = VoteRequest::default()
        .with_cluster_id(cluster.map(|id| StrBytes::from_string(id.to_owned())))
        .with_topics(vec![topic]);
    if version >= 1 {
        request.voter_id = BrokerId(1);
    }
    request
}

#[tokio::test]
async fn a_vote_is_refused_as_kafka_does() {
    let broker = Broker::start("vote", &[]).await;
    let cluster = broker.node.cluster_id().to_string();
    let mut controller = broker.client_of("CONTROLLER").await;
    for version in 0..=2 {
        let foreign = controller.ask(version, &vote(Some("other"), METADATA, 1, version)).await;
        assert_eq!(foreign.error_code, ErrorCode::InconsistentClusterId.code());
        assert!(foreign.topics.is_empty());
        let odd = controller.ask(version, &vote(Some(&cluster), TOPIC, 1, version)).await;
        assert_eq!(odd.error_code, ErrorCode::InvalidRequest.code());
        // The lone voter leads epoch 1, for which nobody else can have a vote.
        let told = controller.ask(version, &vote(Some(&cluster), METADATA, 1, version)).await;
        let partition = &told.topics[0].partitions[0];
        assert_eq!((told.error_code, partition.error_code), (0, 0));
        assert!(!partition.vote_granted);
        assert_eq!((partition.leader_id.0, partition.leader_epoch), (1, 1));
        assert_eq!(told.node_endpoints.len(), usize::from(version >= 1));
        let past = controller.ask(version, &vote(None, METADATA, 0, version)).await;
        assert_ne!(past.topics.first().map_or(past.error_code, |t| t.partitions[0].error_code), 0);
    }
    broker.stop().await;
}

#[tokio::test]
async fn news_of_leaders_of_the_past_is_fenced() {
    let broker = Broker::start("epochs", &[]).await;
    let mut controller = broker.client_of("CONTROLLER").await;
    for version in 0..=1 {
        let partition = begin_quorum_epoch_request::PartitionData::default()
            .with_leader_id(BrokerId(2))
            .with_leader_epoch(0);
        let topic = begin_quorum_epoch_request::TopicData::default()
            .with_topic_name(topic_name(METADATA))
            .with_partitions(vec![partition]);
        let begin = BeginQuorumEpochRequest::default().with_topics(vec![topic]);
        let told = controller.ask(version, &begin).await;
        let partition = &told.topics[0].partitions[0];
        assert_eq!(partition.error_code, ErrorCode::FencedLeaderEpoch.code());
        assert_eq!((partition.leader_id.0, partition.leader_epoch), (1, 1));
        assert_eq!(told.node_endpoints.len(), usize::from(version >= 1));

        let partition = end_quorum_epoch_request::PartitionData::default()
            .with_leader_id(BrokerId(2))
            .with_leader_epoch(0);
        let topic = end_quorum_epoch_request::TopicData::default()
            .with_topic_name(topic_name(METADATA))
            .with_partitions(vec![partition]);
        let end = EndQuorumEpochRequest::default().with_topics(vec![topic]);
        let told = controller.ask(version, &end).await;
        let partition = &told.topics[0].partitions[0];
        assert_eq!(partition.error_code, ErrorCode::FencedLeaderEpoch.code());
        assert_eq!((partition.leader_id.0, partition.leader_epoch), (1, 1));
        let foreign = end.with_cluster_id(Some(StrBytes::from_static_str("other")));
        let told = controller.ask(version, &foreign).await;
        assert_eq!(told.error_code, ErrorCode::InconsistentClusterId.code());
    }
    broker.stop().await;
}

fn fetch(id: Uuid, epoch: i32, version: i16) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(epoch)
        .with_last_fetched_epoch(0)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic_id(id).with_partitions(vec![partition]);
    let mut request = FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![topic]);
    if version >= 15 {
        request.replica_state.replica_id = BrokerId(7);
    } else {
        request.replica_id = BrokerId(7);
    }
    request
}

#[tokio::test]
async fn an_observer_is_told_the_epoch_and_then_given_the_log() {
    let broker = Broker::start("observer", &[]).await;
    let mut controller = broker.client_of("CONTROLLER").await;
    let metadata = Uuid::from_u128(1);
    for version in 13..=18 {
        let told = controller.ask(version, &fetch(metadata, 0, version)).await;
        let partition = &told.responses[0].partitions[0];
        assert_eq!(partition.error_code, ErrorCode::FencedLeaderEpoch.code());
        let leader = &partition.current_leader;
        assert_eq!((leader.leader_id.0, leader.leader_epoch), (1, 1));
        assert_eq!(told.node_endpoints.len(), usize::from(version >= 16));

        let told = controller.ask(version, &fetch(metadata, 1, version)).await;
        let partition = &told.responses[0].partitions[0];
        assert_eq!(partition.error_code, 0);
        assert!(partition.high_watermark > 0);
        assert!(partition.records.as_ref().is_some_and(|records| records.len() > 100));

        let future = controller.ask(version, &fetch(metadata, 9, version)).await;
        let code = future.responses[0].partitions[0].error_code;
        assert_eq!(code, ErrorCode::UnknownLeaderEpoch.code());
        let odd = controller.ask(version, &fetch(Uuid::from_u128(2), 1, version)).await;
        assert_eq!(odd.error_code, ErrorCode::InvalidRequest.code());
        let foreign =
            fetch(metadata, 1, version).with_cluster_id(Some(StrBytes::from_static_str("other")));
        let foreign = controller.ask(version, &foreign).await;
        assert_eq!(foreign.error_code, ErrorCode::InconsistentClusterId.code());
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_is_not_there_is_not_found() {
    let broker = Broker::start("snapshots", &[]).await;
    let mut controller = broker.client_of("CONTROLLER").await;
    let request = |topic: &str, offset: i64, position: i64| {
        let mut partition =
            PartitionSnapshot::default().with_current_leader_epoch(1).with_position(position);
        partition.snapshot_id.end_offset = offset;
        let topic =
            TopicSnapshot::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        FetchSnapshotRequest::default()
            .with_replica_id(BrokerId(7))
            .with_max_bytes(64)
            .with_topics(vec![topic])
    };
    for version in 0..=1 {
        for (topic, offset, position, expected) in [
            (METADATA, 5, 0, ErrorCode::SnapshotNotFound),
            (TOPIC, 0, 0, ErrorCode::UnknownTopicOrPartition),
            (METADATA, 0, 1 << 40, ErrorCode::PositionOutOfRange),
            (METADATA, 0, -1, ErrorCode::PositionOutOfRange),
            // What the directory was formatted with: no follower asks for it, but it is there.
            (METADATA, 0, 0, ErrorCode::None),
        ] {
            let told = controller.ask(version, &request(topic, offset, position)).await;
            let partition = &told.topics[0].partitions[0];
            let code = ErrorCode::from_code(partition.error_code);
            assert_eq!(code, Some(expected), "{topic} {offset} {position}");
            let has_bytes = !partition.unaligned_records.is_empty();
            assert_eq!(has_bytes, expected == ErrorCode::None);
            assert!(partition.unaligned_records.len() <= 64);
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn the_listener_for_clients_does_not_know_the_quorum() {
    let broker = Broker::start("no-quorum", &[]).await;
    let mut client = broker.client().await;
    client.send(2, &vote(None, METADATA, 1, 2)).await;
    assert!(client.frame().await.is_none(), "it hangs up");
    broker.stop().await;
}
