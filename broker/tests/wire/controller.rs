//! What brokers ask of the controller's listener, and what they hand on to it.

use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::broker_registration_request::Feature;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AlterPartitionReassignmentsRequest, BrokerHeartbeatRequest,
    BrokerId, BrokerRegistrationRequest, ControllerRegistrationRequest, DescribeQuorumRequest,
    ElectLeadersRequest, EnvelopeRequest, EnvelopeResponse, ListPartitionReassignmentsRequest,
    UnregisterBrokerRequest,
};
use ottla::model::{NodeId, PartitionIndex, TopicId};
use ottla::protocol::ApiKey;

use super::*;

/// User:ANONYMOUS, as Kafka writes it.
const PRINCIPAL: &[u8] = b"\0\0\x05User\x0aANONYMOUS\0\0";

/// A client's request with its header, without the length of the frame.
fn inside<T: Request>(version: i16, correlation: i32, request: &T) -> Bytes {
    let frame = encode_request(version, correlation, Some("client"), request).expect("it fits");
    frame.freeze().slice(4..)
}

fn envelope(data: Bytes) -> EnvelopeRequest {
    EnvelopeRequest::default()
        .with_request_data(data)
        .with_request_principal(Some(Bytes::from_static(PRINCIPAL)))
        .with_client_host_address(Bytes::from_static(&[10, 0, 0, 1]))
}

async fn error_of(controller: &mut Client, envelope: EnvelopeRequest) -> Option<ErrorCode> {
    let EnvelopeResponse { error_code, response_data, .. } = controller.ask(0, &envelope).await;
    assert_eq!(response_data.is_none(), error_code != 0);
    ErrorCode::from_code(error_code)
}

fn create(name: &str) -> CreateTopicsRequest {
    CreateTopicsRequest::default().with_topics(vec![new_topic(name, 1, 1)]).with_timeout_ms(10_000)
}

#[tokio::test]
async fn a_clients_request_in_an_envelope_is_answered_as_if_the_client_had_come() {
    let broker = Broker::start("envelope", &[]).await;
    let mut controller = broker.client_of("CONTROLLER").await;
    for (version, correlation) in [(2, 7), (7, 8)] {
        let data = inside(version, correlation, &create(&format!("t{version}")));
        let response = controller.ask(0, &envelope(data)).await;
        assert_eq!(response.error_code, 0);
        let mut data = response.response_data.expect("an answer");
        let (id, created) = decode_response::<CreateTopicsRequest>(&mut data, version)
            .expect("an answer to what was inside");
        assert_eq!((id, created.topics[0].error_code), (correlation, 0));
        assert!(data.is_empty());
    }
    let mut client = broker.client().await;
    assert_eq!(client.create("t2").await, ErrorCode::TopicAlreadyExists.code());
    // One that waits on the quorum, and not on the controller's queue.
    let data = inside(2, 9, &DescribeQuorumRequest::default());
    assert_eq!(controller.ask(0, &envelope(data)).await.error_code, 0);
    broker.stop().await;
}

#[tokio::test]
async fn an_envelope_that_lies_is_refused_and_the_next_one_answered() {
    let broker = Broker::start("hostile-envelope", &[]).await;
    let mut controller = broker.client_of("CONTROLLER").await;
    let good = envelope(inside(7, 1, &create("good")));
    let broken = good.clone().with_request_principal(Some(Bytes::from_static(b"\0\0\x7f")));
    let failure = Some(ErrorCode::PrincipalDeserializationFailure);
    assert_eq!(error_of(&mut controller, broken).await, failure);
    let nobody = good.clone().with_request_principal(None);
    assert_eq!(error_of(&mut controller, nobody).await, failure);
    let nowhere = good.clone().with_client_host_address(Bytes::from_static(b"12345"));
    assert_eq!(error_of(&mut controller, nowhere).await, Some(ErrorCode::InvalidRequest));
    // What brokers do not hand on: an envelope in an envelope, what brokers answer themselves.
    for data in [
        inside(0, 1, &good),
        inside(0, 1, &MetadataRequest::default()),
        inside(1, 1, &BrokerHeartbeatRequest::default()),
    ] {
        let refused = error_of(&mut controller, envelope(data)).await;
        assert_eq!(refused, Some(ErrorCode::InvalidRequest));
    }
    // Cut off anywhere, in a version that is none, of an API that is none.
    let whole = inside(7, 1, &create("cut"));
    for end in 0..whole.len() {
        let refused = error_of(&mut controller, envelope(whole.slice(..end))).await;
        assert_eq!(refused, Some(ErrorCode::UnsupportedVersion), "{end} bytes");
    }
    for (place, byte) in [(1, 99), (3, 77)] {
        let mut data = whole.to_vec();
        data[place] = byte;
        let refused = error_of(&mut controller, envelope(data.into())).await;
        assert_eq!(refused, Some(ErrorCode::UnsupportedVersion));
    }
    assert_eq!(error_of(&mut controller, good).await, Some(ErrorCode::None));
    broker.stop().await;
}

#[tokio::test]
async fn only_the_controllers_listener_takes_what_brokers_ask() {
    let broker = Broker::start("listeners", &[]).await;
    for key in [ApiKey::Envelope, ApiKey::BrokerRegistration, ApiKey::AlterPartition] {
        let mut client = broker.client().await;
        let mut frame = BytesMut::from(&[0, 0, 0, 11][..]);
        frame.extend_from_slice(&(key as i16).to_be_bytes());
        frame.extend_from_slice(&[0, 2, 0, 0, 0, 1, 0xff, 0xff, 0]);
        client.stream.write_all(&frame).await.expect("it is taken");
        assert_eq!(client.frame().await, None, "{key:?}");
    }
    broker.stop().await;
}

fn registration(id: i32, cluster: &str) -> BrokerRegistrationRequest {
    let feature =
        |name, max| Feature::default().with_name(text(name)).with_max_supported_version(max);
    BrokerRegistrationRequest::default()
        .with_broker_id(BrokerId(id))
        .with_cluster_id(text(cluster))
        .with_incarnation_id(Uuid::from_u128(1))
        .with_features(vec![
            feature("metadata.version", 33).with_min_supported_version(7),
            feature("kraft.version", 1),
        ])
        .with_log_dirs(vec![Uuid::from_u128(5_000)])
        .with_rack(None)
}

#[tokio::test]
async fn a_broker_of_another_node_registers_is_unfenced_and_leaves() {
    let broker = Broker::start("registration", &[]).await;
    let mut controller = broker.client_of("CONTROLLER").await;
    let cluster = broker.node.cluster_id().to_string();
    let refused = controller.ask(4, &registration(7, "another")).await;
    assert_eq!(
        (refused.error_code, refused.broker_epoch),
        (ErrorCode::InconsistentClusterId.code(), -1)
    );
    let registered = controller.ask(4, &registration(7, &cluster)).await;
    assert_eq!(registered.error_code, 0);
    let epoch = registered.broker_epoch;
    let beat = BrokerHeartbeatRequest::default()
        .with_broker_id(BrokerId(7))
        .with_broker_epoch(epoch)
        .with_current_metadata_offset(epoch - 1);
    let behind = controller.ask(1, &beat).await;
    assert_eq!((behind.error_code, behind.is_caught_up, behind.is_fenced), (0, false, true));
    let unfenced = controller.ask(1, &beat.clone().with_current_metadata_offset(epoch)).await;
    assert_eq!((unfenced.is_caught_up, unfenced.is_fenced), (true, false));
    let stale = controller.ask(1, &beat.clone().with_broker_epoch(epoch - 1)).await;
    assert_eq!(stale.error_code, ErrorCode::StaleBrokerEpoch.code());

    let ids = AllocateProducerIdsRequest::default().with_broker_id(BrokerId(7));
    let allocated = controller.ask(0, &ids.clone().with_broker_epoch(epoch)).await;
    assert_eq!((allocated.error_code, allocated.producer_id_len), (0, 1_000));
    let next = controller.ask(0, &ids.with_broker_epoch(epoch)).await;
    assert_eq!(next.producer_id_start.0, allocated.producer_id_start.0 + 1_000);

    let leaving = beat.with_current_metadata_offset(epoch).with_want_shut_down(true);
    assert!(controller.ask(1, &leaving).await.should_shut_down, "it leads nothing");
    let gone = UnregisterBrokerRequest::default().with_broker_id(BrokerId(7));
    // Asked of the broker, who hands it to the controller of its own process.
    let mut client = broker.client().await;
    assert_eq!(client.ask(0, &gone).await.error_code, 0);
    let again = client.ask(0, &gone).await;
    assert_eq!(again.error_code, ErrorCode::BrokerIdNotRegistered.code());
    broker.stop().await;
}

#[tokio::test]
async fn a_controller_that_registers_is_described() {
    let broker = Broker::start("controller-registration", &[]).await;
    let mut controller = broker.client_of("CONTROLLER").await;
    let request = ControllerRegistrationRequest::default().with_controller_id(9);
    assert_eq!(controller.ask(0, &request).await.error_code, 0);
    let quorum = controller.ask(2, &describe_quorum()).await;
    assert!(quorum.nodes.iter().any(|node| node.node_id == BrokerId(9)));
    broker.stop().await;
}

#[tokio::test]
async fn leaders_and_replicas_are_moved_where_there_is_nowhere_to_go_as_kafka_does() {
    let broker = Broker::start("moving", &[]).await;
    let mut client = broker.client().await;
    let elect = |kind, partitions: Option<Vec<i32>>| {
        let named = |partitions| {
            vec![
                TopicPartitions::default()
                    .with_topic(topic_name(TOPIC))
                    .with_partitions(partitions),
            ]
        };
        ElectLeadersRequest::default()
            .with_election_type(kind)
            .with_topic_partitions(partitions.map(named))
            .with_timeout_ms(10_000)
    };
    let elected = client.ask(2, &elect(0, Some(vec![0, 7]))).await;
    let results = &elected.replica_election_results[0].partition_result;
    let codes: Vec<i16> = results.iter().map(|result| result.error_code).collect();
    assert_eq!(
        codes,
        [ErrorCode::ElectionNotNeeded.code(), ErrorCode::UnknownTopicOrPartition.code()]
    );
    let everywhere = client.ask(2, &elect(1, None)).await;
    assert!(everywhere.replica_election_results.iter().all(|one| one.partition_result.is_empty()));
    let unknown = client.ask(2, &elect(2, Some(vec![0]))).await;
    assert_eq!(unknown.error_code, ErrorCode::InvalidRequest.code());

    let own = client.ask(0, &MetadataRequest::default()).await.brokers[0].node_id;
    let list = ListPartitionReassignmentsRequest::default().with_topics(None);
    for (replicas, expected) in [
        (Some(vec![own]), ErrorCode::None),
        (Some(vec![BrokerId(99)]), ErrorCode::InvalidReplicaAssignment),
        (None, ErrorCode::NoReassignmentInProgress),
    ] {
        let partition = ReassignablePartition::default().with_replicas(replicas);
        let topic = ReassignableTopic::default()
            .with_name(topic_name(TOPIC))
            .with_partitions(vec![partition]);
        let request = AlterPartitionReassignmentsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(10_000);
        let answer = client.ask(1, &request).await;
        assert_eq!(answer.responses[0].partitions[0].error_code, expected.code());
        let listed = client.ask(0, &list).await;
        assert_eq!((listed.error_code, listed.topics.len()), (0, 0));
    }
    broker.stop().await;
}

fn describe_quorum() -> DescribeQuorumRequest {
    use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
    let topic = TopicData::default()
        .with_topic_name(topic_name("__cluster_metadata"))
        .with_partitions(vec![PartitionData::default()]);
    DescribeQuorumRequest::default().with_topics(vec![topic])
}

#[tokio::test]
async fn a_broker_with_two_directories_says_where_replicas_lie() {
    let data =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("wire-dirs-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&data);
    let both = format!("{},{}", data.join("a").display(), data.join("b").display());
    let broker = Broker::start("directories", &[("log.dirs", &both)]).await;
    let mut client = broker.client().await;
    assert_eq!(client.create_as(&[new_topic("spread", 4, 1)]).await, [0]);
    let id = TopicId(client.id_of("spread").await);
    let told = async {
        loop {
            let image = broker.node.image();
            let topic = image.topics().by_id(id).expect("it is there");
            let lies = |index: i32| {
                let partition = topic.partition(PartitionIndex(index)).expect("it is there");
                partition.directory(NodeId(1)).expect("a replica")
            };
            let places: std::collections::BTreeSet<_> = (0..4).map(lies).collect();
            // Two, and neither of them "nobody knows".
            if places.len() == 2 && places.iter().all(|place| place.0.as_u128() > 100) {
                return;
            }
            broker.runtime.sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(&broker.runtime, Duration::from_secs(30), told).await.expect("it is told in time");
    broker.stop().await;
    let _ = std::fs::remove_dir_all(&data);
}
