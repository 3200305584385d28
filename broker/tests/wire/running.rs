//! What is asked of a node while it runs: other settings, other topics, more than it can do in time.

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{
    DeleteTopicsRequest, DescribeTopicPartitionsRequest, IncrementalAlterConfigsRequest,
};

use super::*;

/// Sets (or, without a value, deletes) a setting of all brokers; the code and the words of the answer.
async fn alter(client: &mut Client, key: &str, value: Option<&str>) -> (i16, Option<String>) {
    let config = AlterableConfig::default()
        .with_name(text(key))
        .with_config_operation(i8::from(value.is_none()))
        .with_value(value.map(text));
    let resource = AlterConfigsResource::default()
        .with_resource_type(4)
        .with_resource_name(text(""))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let response = client.ask(1, &request).await;
    let answer = &response.responses[0];
    (answer.error_code, answer.error_message.as_ref().map(ToString::to_string))
}

async fn is_served(broker: &Broker) -> bool {
    let mut client = broker.client().await;
    // A connection that is closed may refuse to be written to.
    let frame =
        encode_request(0, 1, Some("wire"), &ApiVersionsRequest::default()).expect("it fits");
    client.stream.write_all(&frame).await.is_ok() && client.frame().await.is_some()
}

#[tokio::test]
async fn limits_of_connections_change_while_the_node_runs() {
    let broker = Broker::start("limits", &[]).await;
    let mut first = broker.client().await;
    first.ask(0, &ApiVersionsRequest::default()).await;
    let key = "max.connections.per.ip";
    assert_eq!(alter(&mut first, key, Some("1")).await.0, 0);
    assert!(!is_served(&broker).await, "a second connection");
    assert_eq!(alter(&mut first, key, None).await.0, 0);
    assert!(is_served(&broker).await);
    let key = "max.connections.per.ip.overrides";
    assert_eq!(alter(&mut first, key, Some("localhost:1")).await.0, 0);
    assert!(!is_served(&broker).await, "a second connection from a host by its name");
    // A host that nobody knows is set, as in Kafka, and leaves the limits as they are.
    assert_eq!(alter(&mut first, key, Some("no-such-host.invalid:7")).await.0, 0);
    assert!(!is_served(&broker).await);
    broker.stop().await;
}

#[tokio::test]
async fn settings_that_act_at_start_only_or_do_not_go_together_are_refused() {
    let broker = Broker::start("refused", &[]).await;
    let mut client = broker.client().await;
    let refused = ErrorCode::InvalidRequest.code();
    let message = "Cannot update these configs dynamically: [auto.create.topics.enable]";
    let answer = alter(&mut client, "auto.create.topics.enable", Some("false")).await;
    assert_eq!(answer, (refused, Some(message.to_owned())));
    assert_eq!(alter(&mut client, "log.retention.ms", Some("0")).await.0, refused);
    let overrides = "max.connections.per.ip.overrides";
    assert_eq!(alter(&mut client, overrides, Some("nonsense")).await.0, refused);
    broker.stop().await;
}

#[tokio::test]
async fn who_does_not_want_to_wait_for_the_controller_is_told_so_and_it_happens_all_the_same() {
    let broker = Broker::start("timeouts", &[]).await;
    let mut client = broker.client().await;
    let create = CreateTopicsRequest::default().with_topics(vec![new_topic("soon", 1, 1)]);
    let response = client.ask(7, &create.clone().with_timeout_ms(0)).await;
    assert_eq!(response.topics[0].error_code, ErrorCode::RequestTimedOut.code());
    let again = client.ask(7, &create.with_timeout_ms(10_000)).await;
    assert_eq!(again.topics[0].error_code, ErrorCode::TopicAlreadyExists.code());
    let delete = DeleteTopicsRequest::default()
        .with_topics(vec![DeleteTopicState::default().with_name(Some(topic_name("soon")))]);
    let response = client.ask(6, &delete.clone().with_timeout_ms(0)).await;
    assert_eq!(response.responses[0].error_code, ErrorCode::RequestTimedOut.code());
    let again = client.ask(6, &delete.with_timeout_ms(10_000)).await;
    assert_eq!(again.responses[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    broker.stop().await;
}

#[tokio::test]
async fn a_cursor_before_the_first_partition_is_refused() {
    let broker = Broker::start("cursor", &[]).await;
    let mut client = broker.client().await;
    let cursor = |partition: i32| {
        let cursor = Cursor::default().with_topic_name(topic_name(TOPIC));
        DescribeTopicPartitionsRequest::default()
            .with_topics(vec![TopicRequest::default().with_name(topic_name(TOPIC))])
            .with_response_partition_limit(10)
            .with_cursor(Some(cursor.with_partition_index(partition)))
    };
    let refused = client.ask(0, &cursor(-1)).await;
    assert_eq!(refused.topics[0].error_code, ErrorCode::InvalidRequest.code());
    let answered = client.ask(0, &cursor(0)).await;
    assert_eq!((answered.topics[0].error_code, answered.topics[0].partitions.len()), (0, 1));
    broker.stop().await;
}

#[tokio::test]
async fn a_client_that_names_many_unknown_topics_gets_them_all() {
    let broker = Broker::start("named", &[("num.partitions", "1")]).await;
    let mut client = broker.client().await;
    let named = (0..120).map(|number| {
        MetadataRequestTopic::default().with_name(Some(topic_name(&format!("named-{number}"))))
    });
    let request = MetadataRequest::default()
        .with_topics(Some(named.collect()))
        .with_allow_auto_topic_creation(true);
    loop {
        let response = client.ask(9, &request).await;
        assert_eq!(response.topics.len(), 120);
        let missing = response.topics.iter().filter(|topic| topic.error_code != 0);
        let codes: Vec<i16> = missing.map(|topic| topic.error_code).collect();
        assert!(codes.iter().all(|code| *code == 3), "{codes:?}");
        if codes.is_empty() {
            break;
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_being_deleted_is_there_or_unknown_and_never_a_failed_disk() {
    let broker = Broker::start("deleted", &[]).await;
    let (mut writer, mut other) = (broker.client().await, broker.client().await);
    for _ in 0..5 {
        let delete = DeleteTopicsRequest::default()
            .with_topics(vec![DeleteTopicState::default().with_name(Some(topic_name(TOPIC)))])
            .with_timeout_ms(10_000);
        other.send(6, &delete).await;
        loop {
            let records = batch(builder(0), 1, b"v");
            let code = writer.produce(records).await.error_code;
            if code == ErrorCode::UnknownTopicOrPartition.code() {
                break;
            }
            // A log that closes under a write that had begun: the client looks for the leader and finds none.
            assert!([0, ErrorCode::NotLeaderOrFollower.code()].contains(&code), "{code}");
        }
        let (_, deleted) = other.receive::<DeleteTopicsRequest>(6).await;
        assert_eq!(deleted.responses[0].error_code, 0);
        assert_eq!(other.create(TOPIC).await, 0);
    }
    broker.stop().await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "it damages what the broker keeps, behind its back")]
async fn a_start_whose_only_disk_fails_ends_and_says_which() {
    let broker = Broker::start("failed-disk", &[]).await;
    let (runtime, data) = (broker.runtime.clone(), broker.data.clone());
    broker.node.shutdown().await;
    // What no recovery can mend: where the log's first segment was, there is a directory.
    let segment = data.join(format!("{TOPIC}-0")).join("00000000000000000000.log");
    std::fs::remove_file(&segment).expect("it was there");
    std::fs::create_dir(&segment).expect("it is made");
    let listeners = "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0".to_owned();
    let config = NodeConfig::dev(
        data.to_str().expect("a path of text"),
        &[("listeners".to_owned(), listeners)],
    )
    .expect("a good configuration");
    let started = Box::pin(Node::start(runtime.clone(), config));
    let started = timeout(&runtime, Duration::from_secs(60), started).await;
    let error = started.expect("it ends").err().expect("it does not start").to_string();
    assert!(error.starts_with("no log directory works: "), "{error}");
    assert!(error.contains(data.to_str().expect("a path of text")), "{error}");
    let _ = std::fs::remove_dir_all(&data);
}
