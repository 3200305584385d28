//! What Apache Kafka 4.4 was measured to answer is what a real node answers, over a real socket.

mod cluster;
mod controller;
mod quorum;
mod fetch_limits;
mod running;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DescribeConfigsRequest, FetchRequest, FetchResponse,
    FindCoordinatorRequest, GroupId, InitProducerIdRequest, JoinGroupRequest, ListOffsetsRequest,
    MetadataRequest, OffsetForLeaderEpochRequest, ProduceRequest, ProducerId, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use ottla::config::NodeConfig;
use ottla::environment::tokio::TokioRuntime;
use ottla::environment::{Runtime, timeout};
use ottla::model::{ErrorCode, Offset, ProducerEpoch, Timestamp};
use ottla::node::Node;
use ottla::protocol::{decode_response, encode_request};
use ottla::record::{Builder, Compression};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

const TOPIC: &str = "topic";

/// A node with a topic of one partition and a directory of its own.
struct Broker {
    runtime: TokioRuntime,
    node: Node<TokioRuntime>,
    data: PathBuf,
}

impl Broker {
    async fn start(name: &str, overrides: &[(&str, &str)]) -> Self {
        let data = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("wire-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&data);
        let runtime = TokioRuntime::new();
        let listeners = ("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0");
        let overrides: Vec<(String, String)> = std::iter::once(&listeners)
            .chain(overrides)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let config = NodeConfig::dev(data.to_str().expect("a path of text"), &overrides)
            .expect("a good configuration");
        let node = Box::pin(Node::start(runtime.clone(), config)).await.expect("the node starts");
        let broker = Self { runtime, node, data };
        broker.client().await.create(TOPIC).await;
        broker
    }

    async fn client(&self) -> Client {
        self.client_of("PLAINTEXT").await
    }

    async fn client_of(&self, listener: &str) -> Client {
        let address = self.node.addresses()[listener];
        let stream = self.runtime.connect(address).await.expect("it listens");
        Client { stream, correlation: 0 }
    }

    async fn stop(self) {
        self.node.shutdown().await;
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

struct Client {
    stream: <TokioRuntime as Runtime>::Stream,
    correlation: i32,
}

impl Client {
    async fn send<T: Request>(&mut self, version: i16, body: &T) {
        self.correlation += 1;
        let frame = encode_request(version, self.correlation, Some("wire"), body).expect("it fits");
        self.stream.write_all(&frame).await.expect("it is taken");
    }

    /// The next frame, or nothing when the broker has hung up.
    async fn frame(&mut self) -> Option<Bytes> {
        let length = self.stream.read_u32().await.ok()?;
        let mut frame = BytesMut::zeroed(usize::try_from(length).expect("it fits"));
        self.stream.read_exact(&mut frame).await.expect("whole frames");
        Some(frame.freeze())
    }

    async fn receive<T: Request>(&mut self, version: i16) -> (i32, T::Response) {
        let mut frame = self.frame().await.expect("an answer");
        decode_response::<T>(&mut frame, version).expect("a well-formed answer")
    }

    async fn ask<T: Request>(&mut self, version: i16, body: &T) -> T::Response {
        self.send(version, body).await;
        let (correlation, response) = self.receive::<T>(version).await;
        assert_eq!(correlation, self.correlation);
        response
    }

    async fn create(&mut self, name: &str) -> i16 {
        self.create_as(&[new_topic(name, 1, 1)]).await[0]
    }

    async fn create_as(&mut self, topics: &[CreatableTopic]) -> Vec<i16> {
        let request =
            CreateTopicsRequest::default().with_topics(topics.to_vec()).with_timeout_ms(10_000);
        let response = self.ask(7, &request).await;
        response.topics.iter().map(|topic| topic.error_code).collect()
    }

    async fn produce(&mut self, records: Bytes) -> PartitionProduceResponse {
        let mut response = self.ask(9, &produce(TOPIC, 0, -1, records)).await;
        response.responses.remove(0).partition_responses.remove(0)
    }

    async fn id_of(&mut self, name: &str) -> Uuid {
        let request = MetadataRequest::default().with_topics(Some(vec![
            MetadataRequestTopic::default().with_name(Some(topic_name(name))),
        ]));
        self.ask(12, &request).await.topics[0].topic_id
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn new_topic(name: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
}

fn builder(base: i64) -> Builder {
    Builder::new(Offset::new(base), None, Compression::None)
}

/// A batch of this many records, all of now.
fn batch(mut builder: Builder, count: usize, value: &[u8]) -> Bytes {
    let now = Timestamp(TokioRuntime::new().wall_clock().millis());
    for _ in 0..count {
        builder.append(now, None, Some(value), &[]);
    }
    builder.build().expect("a batch")
}

fn produce(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let partition =
        PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(topic_name(topic))
        .with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(5_000).with_topic_data(vec![topic])
}

fn fetch(topic: Uuid, session: (i32, i32), partitions: Vec<FetchPartition>) -> FetchRequest {
    let topics = if partitions.is_empty() {
        Vec::new()
    } else {
        vec![FetchTopic::default().with_topic_id(topic).with_partitions(partitions)]
    };
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(1 << 20)
        .with_session_id(session.0)
        .with_session_epoch(session.1)
        .with_topics(topics)
}

fn from(offset: i64) -> FetchPartition {
    FetchPartition::default()
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20)
        .with_current_leader_epoch(-1)
        .with_last_fetched_epoch(-1)
}

fn only(response: &FetchResponse) -> &PartitionData {
    &response.responses[0].partitions[0]
}

#[tokio::test]
async fn produce_is_refused_as_kafka_does() {
    let broker = Broker::start("produce", &[]).await;
    let mut client = broker.client().await;
    let good = || batch(builder(0), 2, b"v");
    for (topic, partition, acks, code) in [
        (TOPIC, 0, 5, ErrorCode::InvalidRequiredAcks),
        ("nowhere", 0, -1, ErrorCode::UnknownTopicOrPartition),
        (TOPIC, 9, -1, ErrorCode::UnknownTopicOrPartition),
        ("__consumer_offsets", 0, -1, ErrorCode::InvalidTopicException),
    ] {
        let response = client.ask(9, &produce(topic, partition, acks, good())).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (code.code(), -1), "{topic} {acks}");
    }
    let mut flipped = good().to_vec();
    *flipped.last_mut().expect("not empty") ^= 1;
    let two = [good(), good()].concat();
    let big = vec![b'x'; 1_100_000];
    for (what, records, code) in [
        ("control bit", batch(builder(0).control(), 1, b"v"), ErrorCode::InvalidRecord),
        ("base offset 7", batch(builder(7), 1, b"v"), ErrorCode::InvalidRecord),
        ("two batches", two.into(), ErrorCode::InvalidRecord),
        ("nothing", Bytes::new(), ErrorCode::InvalidRecord),
        ("flipped byte", flipped.into(), ErrorCode::CorruptMessage),
        ("too large", batch(builder(0), 1, &big), ErrorCode::MessageTooLarge),
    ] {
        let answer = client.produce(records).await;
        assert_eq!((answer.error_code, answer.base_offset), (code.code(), -1), "{what}");
        assert!(answer.record_errors.is_empty(), "{what}");
    }
    assert_eq!(client.produce(good()).await.base_offset, 0, "nothing of it was appended");
    let mut hung_up = broker.client().await;
    hung_up.send(9, &produce("nowhere", 0, 0, good())).await;
    assert!(hung_up.frame().await.is_none(), "acks=0 fails by closing");
    broker.stop().await;
}

#[tokio::test]
async fn idempotence_answers_as_kafka_does() {
    let broker = Broker::start("idempotence", &[]).await;
    let mut client = broker.client().await;
    let of = |epoch: i16, sequence: i32| {
        batch(
            builder(0).producer(ottla::model::ProducerId(77), ProducerEpoch(epoch), Some(sequence)),
            2,
            b"v",
        )
    };
    let first = of(0, 5);
    assert_eq!(client.produce(first.clone()).await.error_code, 0, "an unknown producer may begin");
    let again = client.produce(first).await;
    assert_eq!((again.error_code, again.base_offset), (0, 0), "the original's offset");
    assert!(again.log_append_time_ms > 0, "and the stored batch's time");
    for (epoch, sequence, code) in [(0, 20, 45), (1, 3, 45), (1, 0, 0), (0, 7, 47)] {
        let answer = client.produce(of(epoch, sequence)).await;
        assert_eq!(answer.error_code, code, "epoch {epoch} sequence {sequence}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn fetch_sessions_and_offsets_answer_as_kafka_does() {
    let broker = Broker::start("fetch", &[]).await;
    let mut client = broker.client().await;
    client.produce(batch(builder(0), 5, b"v")).await;
    let id = client.id_of(TOPIC).await;
    let full = client.ask(16, &fetch(id, (0, 0), vec![from(0)])).await;
    let session = full.session_id;
    assert_ne!(session, 0);
    let whole = only(&full).records.clone().expect("records");
    let next = client.ask(16, &fetch(id, (session, 1), vec![from(3)])).await;
    assert_eq!((next.error_code, next.session_id), (0, session));
    assert_eq!(only(&next).records.as_ref(), Some(&whole), "inside a batch: the whole batch");
    for (claim, code) in [((session, 9), 71), ((session ^ 1, 1), 70), ((session, -5), 71)] {
        let refused = client.ask(16, &fetch(id, claim, vec![])).await;
        assert_eq!((refused.error_code, refused.session_id), (code, 0), "{claim:?}");
        assert!(refused.responses.is_empty());
    }
    let ended = client.ask(16, &fetch(id, (session, -1), vec![from(0)])).await;
    assert_eq!((ended.error_code, ended.session_id), (0, 0));
    for (what, topic, partition, code) in [
        ("unknown id", Uuid::from_u128(7), from(0), 100),
        ("offset 9999", id, from(9999), 1),
        ("epoch 50", id, from(0).with_current_leader_epoch(50), 75),
        ("last epoch 7", id, from(0).with_last_fetched_epoch(7), 1),
    ] {
        let response = client.ask(16, &fetch(topic, (0, -1), vec![partition])).await;
        let answer = only(&response);
        assert_eq!(answer.error_code, code, "{what}");
        let offsets = (answer.high_watermark, answer.last_stable_offset, answer.log_start_offset);
        assert_eq!(offsets, (-1, -1, -1), "{what}");
        assert_eq!(answer.diverging_epoch.end_offset, -1, "{what}");
    }
    broker.stop().await;
}

async fn list(client: &mut Client, version: i16, timestamp: i64) -> ListOffsetsPartitionResponse {
    let partition =
        ListOffsetsPartition::default().with_timestamp(timestamp).with_current_leader_epoch(-1);
    let topic =
        ListOffsetsTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
    let mut response =
        client.ask(version, &ListOffsetsRequest::default().with_topics(vec![topic])).await;
    response.topics.remove(0).partitions.remove(0)
}

#[tokio::test]
async fn offsets_are_listed_as_kafka_does() {
    let broker = Broker::start("offsets", &[]).await;
    let mut client = broker.client().await;
    client.produce(batch(builder(0), 5, b"v")).await;
    for (version, timestamp, code, offset) in [
        (1, -1, 0, 5),
        (1, -2, 0, 0),
        (8, -4, 0, 0),
        (9, -5, 0, -1),
        (6, -3, 35, -1),
        (7, -4, 35, -1),
        (10, -6, 35, -1),
        (10, -7, 35, -1),
        (7, i64::MAX, 0, -1),
    ] {
        let found = list(&mut client, version, timestamp).await;
        assert_eq!((found.error_code, found.offset), (code, offset), "{timestamp} v{version}");
    }
    assert!(list(&mut client, 7, -3).await.timestamp > 0, "of the record with the newest time");
    for (asked, current, expected) in
        [(0, -1, (0, 0, 5)), (5, -1, (0, -1, -1)), (0, 9, (75, -1, -1))]
    {
        let partition = OffsetForLeaderPartition::default()
            .with_leader_epoch(asked)
            .with_current_leader_epoch(current);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(topic_name(TOPIC))
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        let response = client.ask(4, &request).await;
        let end = &response.topics[0].partitions[0];
        assert_eq!((end.error_code, end.leader_epoch, end.end_offset), expected);
    }
    broker.stop().await;
}

#[tokio::test]
async fn topics_and_their_settings_answer_as_kafka_does() {
    let broker = Broker::start("topics", &[("log.segment.bytes", "1048576")]).await;
    let mut client = broker.client().await;
    for (topic, code) in [
        (new_topic(TOPIC, 1, 1), 36),
        (new_topic("a", 0, 1), 37),
        (new_topic("b", 1, 9), 38),
        (new_topic("a/b", 1, 1), 17),
    ] {
        assert_eq!(client.create_as(std::slice::from_ref(&topic)).await, [code], "{topic:?}");
    }
    let twice = [new_topic("c", 1, 1), new_topic("c", 1, 1)];
    assert_eq!(client.create_as(&twice).await, [42], "one entry for the duplicate");
    for (name, first, later) in [("made", 3, 0), ("not/good", 17, 17)] {
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(true);
        let mut codes = vec![client.ask(12, &request).await.topics[0].error_code];
        let created = async {
            while codes.last() != Some(&later) {
                codes.push(client.ask(12, &request).await.topics[0].error_code);
            }
        };
        let limit = Duration::from_secs(30);
        assert!(timeout(&broker.runtime, limit, created).await.is_ok(), "{name}");
        assert_eq!((codes[0], *codes.last().expect("one at least")), (first, later), "{name}");
    }
    let described = describe_topic(&mut client, TOPIC).await;
    let named = |name: &str| {
        described.configs.iter().find(|config| &*config.name == name).expect("it is described")
    };
    let segment: Vec<i8> = named("segment.bytes").synonyms.iter().map(|one| one.source).collect();
    assert_eq!((named("segment.bytes").config_source, segment), (4, vec![4, 5]));
    assert_eq!(named("retention.ms").config_source, 5);
    assert_eq!(describe_topic(&mut client, "nowhere").await.error_code, 3);
    broker.stop().await;
}

async fn describe_topic(client: &mut Client, name: &str) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true);
    client.ask(4, &request).await.results.remove(0)
}

#[tokio::test]
async fn coordinators_answer_as_kafka_does() {
    let broker = Broker::start("coordinators", &[]).await;
    let mut client = broker.client().await;
    let find = |kind| FindCoordinatorRequest::default().with_key_type(kind);
    assert_eq!(client.ask(3, &find(9)).await.error_code, 42);
    while client.ask(3, &find(0)).await.error_code == ErrorCode::CoordinatorNotAvailable.code() {}
    let join = JoinGroupRequest::default()
        .with_group_id(GroupId(text("group")))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![
            kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol::default()
                .with_name(text("range")),
        ]);
    let mut required = client.ask(4, &join).await;
    while required.error_code == ErrorCode::CoordinatorLoadInProgress.code()
        || required.error_code == ErrorCode::NotCoordinator.code()
    {
        required = client.ask(4, &join).await;
    }
    assert_eq!(required.error_code, ErrorCode::MemberIdRequired.code());
    assert!(required.member_id.starts_with("wire-"), "client id, dash, uuid");
    let joined = client.ask(0, &join).await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    let init = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let made = client.ask(4, &init).await;
    assert_eq!((made.error_code, made.producer_epoch), (0, 0));
    let half = init.clone().with_producer_id(ProducerId(5));
    assert_eq!(client.ask(4, &half).await.error_code, 42, "half an identity");
    let empty =
        init.with_transactional_id(Some(kafka_protocol::messages::TransactionalId(text(""))));
    assert_eq!(client.ask(4, &empty).await.error_code, 42);
    broker.stop().await;
}

#[tokio::test]
async fn versions_are_negotiated_as_kafka_does() {
    let broker = Broker::start("versions", &[]).await;
    let mut client = broker.client().await;
    let named = ApiVersionsRequest::default()
        .with_client_software_name(text("wire"))
        .with_client_software_version(text("1"));
    assert_eq!(client.ask(3, &named).await.error_code, 0);
    let nameless = client.ask(3, &ApiVersionsRequest::default()).await;
    assert_eq!((nameless.error_code, nameless.api_keys.len()), (42, 0));
    let unknown = [0, 0, 0, 10, 0, 18, 0, 100, 0, 0, 0, 9, 0, 0];
    client.stream.write_all(&unknown).await.expect("it is taken");
    let mut frame = client.frame().await.expect("an answer in version 0");
    let (correlation, refused) =
        decode_response::<ApiVersionsRequest>(&mut frame, 0).expect("version 0");
    assert_eq!((correlation, refused.error_code, refused.api_keys.len()), (9, 35, 1));
    assert_eq!(client.ask(0, &named).await.error_code, 0, "and the connection goes on");
    for (what, frame) in [
        ("unknown key", &[0, 0, 0, 10, 3, 0, 0, 0, 0, 0, 0, 9, 0, 0][..]),
        ("unknown version", &[0, 0, 0, 10, 0, 3, 0, 100, 0, 0, 0, 9, 0, 0][..]),
        ("cut body", &[0, 0, 0, 10, 0, 18, 0, 3, 0, 0, 0, 9, 0, 0][..]),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n"),
        ("TLS", &[0x16, 3, 1, 2, 0, 1, 0, 1][..]),
        ("negative length", &[0xff, 0xff, 0xff, 0xff][..]),
    ] {
        let mut client = broker.client().await;
        client.stream.write_all(frame).await.expect("it is taken");
        assert!(client.frame().await.is_none(), "{what}: closed without an answer");
    }
    broker.stop().await;
}

#[tokio::test]
async fn answers_keep_their_order_while_the_first_waits() {
    let broker = Broker::start("order", &[]).await;
    let (mut reader, mut writer) = (broker.client().await, broker.client().await);
    let id = writer.id_of(TOPIC).await;
    let waiting = fetch(id, (0, -1), vec![from(0)]).with_max_wait_ms(60_000).with_min_bytes(1);
    reader.send(16, &waiting).await;
    reader.send(0, &ApiVersionsRequest::default()).await;
    assert_eq!(writer.produce(batch(builder(0), 1, b"v")).await.error_code, 0);
    let (first, fetched) = reader.receive::<FetchRequest>(16).await;
    let records = only(&fetched).records.as_ref();
    assert!(first == 1 && records.is_some_and(|records| !records.is_empty()));
    assert_eq!(reader.receive::<ApiVersionsRequest>(0).await.0, 2);
    broker.stop().await;
}

#[tokio::test]
async fn what_is_flushed_for_each_message_becomes_visible_although_its_producer_hangs_up() {
    let broker = Broker::start("strict", &[("log.flush.interval.messages", "1")]).await;
    let mut reader = broker.client().await;
    let id = reader.id_of(TOPIC).await;
    for round in 0..20 {
        let mut writer = broker.client().await;
        writer.send(9, &produce(TOPIC, 0, -1, batch(builder(0), 1, b"v"))).await;
        writer.stream.flush().await.expect("it is sent");
        if round % 2 == 0 {
            // Appended for certain: the answer to what was asked next is not waited for.
            writer.send(0, &ApiVersionsRequest::default()).await;
        }
        drop(writer);
        let waiting =
            fetch(id, (0, -1), vec![from(round)]).with_max_wait_ms(20_000).with_min_bytes(1);
        let fetched = reader.ask(16, &waiting).await;
        let records = only(&fetched).records.as_ref();
        assert!(records.is_some_and(|records| !records.is_empty()), "round {round}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn places_are_for_connections_and_not_for_listeners() {
    let broker = Broker::start("places", &[("max.connections", "1")]).await;
    let mut client = broker.client().await;
    assert_eq!(client.ask(0, &ApiVersionsRequest::default()).await.error_code, 0);
    drop(client);
    let mut next = broker.client().await;
    assert_eq!(next.ask(0, &ApiVersionsRequest::default()).await.error_code, 0);
    broker.stop().await;
}
