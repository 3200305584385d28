//! Three brokers on real sockets and disks: records are on all of them, and survive the leader.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, ProduceRequest, TopicName as WireTopicName};
use kafka_protocol::protocol::StrBytes;

use crate::client::{
    Admin, Client, Connection, ConnectionSettings, Endpoint, Message, MissingTopic, NewTopic,
    Producer, ProducerSettings, Settings,
};
use crate::config::NodeConfig;
use crate::environment::tokio::TokioRuntime;
use crate::environment::{Listener as _, Runtime, timeout};
use crate::model::{
    ClusterId, ErrorCode, NodeId, Offset, PartitionIndex, TopicName, TopicPartition,
};
use crate::node::{InitialVoters, Node, format_storage};
use crate::replication::{Partition, TopicKey};

const TOPIC: &str = "t";
const PARTITIONS: i32 = 4;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// A node with threads of its own, so that it can die.
struct Running {
    threads: tokio::runtime::Runtime,
    node: Node<TokioRuntime>,
}

struct Cluster {
    /// Whoever looks on from outside.
    outside: tokio::runtime::Runtime,
    home: PathBuf,
    ports: Vec<(u16, u16)>,
    nodes: Vec<Option<Running>>,
    more: Vec<(&'static str, &'static str)>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for at in 0..3 {
            self.kill(at);
        }
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

fn threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

impl Cluster {
    /// Three nodes, each broker and controller, that run.
    fn start(more: &[(&'static str, &'static str)]) -> Self {
        let outside = threads();
        let (home, ports) = outside.block_on(async {
            let runtime = TokioRuntime::new();
            let home = std::env::temp_dir().join(format!("ottla-three-{:016x}", runtime.random()));
            let mut held = Vec::new();
            for _ in 0..6 {
                held.push(runtime.listen("127.0.0.1:0".parse().unwrap()).await.unwrap());
            }
            let all: Vec<u16> = held.iter().map(|one| one.local_address().port()).collect();
            (home, all.chunks(2).map(|pair| (pair[0], pair[1])).collect())
        });
        let nodes = vec![None, None, None];
        let mut cluster = Self { outside, home, ports, nodes, more: more.to_vec() };
        let cluster_id = ClusterId::from("3Db5QLSqSZieL3rJBUUegA");
        for at in 0..3 {
            let config = cluster.config(at);
            let formatted = async {
                let runtime = TokioRuntime::new();
                format_storage(&runtime, &config, &cluster_id, &InitialVoters::Unsaid, None).await
            };
            cluster.outside.block_on(formatted).unwrap();
        }
        cluster.start_nodes(&[0, 1, 2]);
        cluster
    }

    fn config(&self, at: usize) -> NodeConfig {
        let voter = |(at, (port, _)): (usize, &(u16, u16))| format!("{}@127.0.0.1:{port}", at + 1);
        let voters: Vec<String> = self.ports.iter().enumerate().map(voter).collect();
        let (controller, broker) = self.ports[at];
        let listeners =
            format!("PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}");
        let id = (at + 1).to_string();
        let directory = self.home.join(&id).display().to_string();
        let all = [
            ("process.roles", "broker,controller"),
            ("node.id", &id),
            ("controller.listener.names", "CONTROLLER"),
            ("listeners", &listeners),
            ("log.dirs", &directory),
            ("controller.quorum.voters", &voters.join(",")),
            ("controller.quorum.election.timeout.ms", "300"),
            ("controller.quorum.fetch.timeout.ms", "600"),
            ("broker.heartbeat.interval.ms", "200"),
            ("broker.session.timeout.ms", "1500"),
            ("replica.lag.time.max.ms", "3000"),
            ("replica.fetch.backoff.ms", "100"),
            ("min.insync.replicas", "2"),
        ];
        let all = all.into_iter().chain(self.more.iter().copied());
        let all: Vec<_> = all.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        NodeConfig::read(None, &all).unwrap()
    }

    fn start_nodes(&mut self, places: &[usize]) {
        let starting: Vec<_> = places
            .iter()
            .map(|at| {
                let (threads, config) = (threads(), self.config(*at));
                let started = threads.spawn(async move {
                    let runtime = TokioRuntime::new();
                    let started = Box::pin(Node::start(runtime.clone(), config));
                    timeout(&runtime, PATIENCE, started).await.expect("it starts in time").unwrap()
                });
                (*at, threads, started)
            })
            .collect();
        for (at, threads, started) in starting {
            let node = self.outside.block_on(started).unwrap();
            self.nodes[at] = Some(Running { threads, node });
        }
    }

    /// The process dies; what it has written stays.
    fn kill(&mut self, at: usize) {
        if let Some(Running { threads, node }) = self.nodes[at].take() {
            threads.shutdown_timeout(Duration::from_secs(10));
            drop(node);
        }
    }

    fn client(&self) -> Client<TokioRuntime> {
        let brokers = self.ports.iter().map(|(_, port)| Endpoint::new("127.0.0.1", *port));
        Client::new(TokioRuntime::new(), Settings::new(brokers.collect()))
    }

    fn create_topic(&self) {
        self.outside.block_on(async {
            let admin = Admin::new(self.client());
            let topic =
                NewTopic { replication_factor: Some(3), ..NewTopic::new(TOPIC, PARTITIONS) };
            let made = admin.create_topics(&[topic]).await.unwrap();
            assert!(made.into_iter().all(|(_, result)| result.is_ok()));
            admin.wait_for_leaders(&TopicName::from(TOPIC)).await.unwrap();
        });
    }

    /// Writes records that all in sync must have; says how many were taken.
    fn produce(&self, numbers: std::ops::Range<i32>) {
        self.outside.block_on(async {
            let producer = Producer::new(self.client(), ProducerSettings::default());
            let mut receipts = Vec::new();
            for number in numbers {
                let value = Bytes::from(format!("value {number}"));
                let message = Message {
                    partition: Some(PartitionIndex(number % PARTITIONS)),
                    ..Message::new(TOPIC, None, Some(value))
                };
                receipts.push(producer.send(message).await.unwrap());
            }
            for receipt in receipts {
                receipt.wait().await.unwrap();
            }
        });
    }

    fn leader(&self, partition: i32) -> usize {
        let leader = self.outside.block_on(async {
            let client = self.client();
            let name = TopicName::from(TOPIC);
            client.topic(&name, MissingTopic::Leave).await.unwrap();
            client.cluster().leader(&TopicPartition::new(TOPIC, partition)).unwrap()
        });
        usize::try_from(leader.0).unwrap() - 1
    }

    fn active_controller(&self) -> usize {
        let running = self.nodes.iter().flatten().next().unwrap();
        let (leader, _) = running.node.quorum().leader_and_epoch();
        usize::try_from(leader.unwrap().0).unwrap() - 1
    }

    fn replica(
        &self,
        at: usize,
        partition: i32,
    ) -> Option<std::sync::Arc<Partition<TokioRuntime>>> {
        let replicas = self.nodes[at].as_ref()?.node.replicas();
        let key = TopicKey::Name(TopicName::from(TOPIC));
        replicas.partition(&key, PartitionIndex(partition)).ok()
    }

    /// Waits until these nodes have everything of every partition, are in sync as far as each of them knows, and know that
    /// it is committed.
    fn until_in_sync(&self, places: &[usize]) {
        let ids: BTreeSet<NodeId> =
            places.iter().map(|at| NodeId(i32::try_from(at + 1).unwrap())).collect();
        let is_one = |partition: i32| {
            let replicas: Vec<_> =
                places.iter().filter_map(|at| self.replica(*at, partition)).collect();
            let ends: BTreeSet<Offset> =
                replicas.iter().map(|replica| replica.log().log_end_offset()).collect();
            let marks: BTreeSet<Offset> =
                replicas.iter().map(|replica| replica.log().high_watermark()).collect();
            let knows = |replica: &std::sync::Arc<Partition<TokioRuntime>>| -> BTreeSet<NodeId> {
                replica.in_sync_replicas().into_iter().collect()
            };
            replicas.len() == places.len()
                && ends.len() == 1
                && ends == marks
                && replicas.iter().all(|replica| knows(replica) == ids)
        };
        self.outside.block_on(async {
            let runtime = TokioRuntime::new();
            let wait = async {
                while !(0..PARTITIONS).all(is_one) {
                    runtime.sleep(Duration::from_millis(10)).await;
                }
            };
            let waited = timeout(&runtime, PATIENCE, wait).await;
            let state = || -> Vec<_> {
                let all = places.iter().flat_map(|at| (0..PARTITIONS).map(move |of| (*at, of)));
                all.filter_map(|(at, of)| {
                    let replica = self.replica(at, of)?;
                    let (log, isr) = (replica.log(), replica.in_sync_replicas());
                    Some((at + 1, of, log.log_end_offset(), log.high_watermark(), isr))
                })
                .collect()
            };
            assert!(waited.is_ok(), "they come in sync in time: {:?}", state());
        });
    }

    /// The bytes of each partition's log on a node.
    fn bytes(&self, at: usize) -> Vec<Bytes> {
        self.outside.block_on(async {
            let mut all = Vec::new();
            for partition in 0..PARTITIONS {
                let replica = self.replica(at, partition).unwrap();
                all.push(replica.log().read_bytes(Offset::ZERO, 1 << 30).await.unwrap());
            }
            all
        })
    }

    fn count(&self, at: usize) -> i64 {
        (0..PARTITIONS).map(|of| self.replica(at, of).unwrap().log().log_end_offset().value()).sum()
    }
}

/// Asks a follower what only leaders answer, and what any replica may.
fn ask_a_follower(cluster: &Cluster) {
    let leader = cluster.leader(0);
    let (follower, id) = ((leader + 1) % 3, i32::try_from(leader + 1).unwrap());
    let (port, runtime) = (cluster.ports[follower].1, &cluster.outside);
    runtime.block_on(async {
        let settings = ConnectionSettings {
            client_id: "test".into(),
            request_timeout: PATIENCE,
            connect_timeout: PATIENCE,
            response_bytes_max: 1 << 20,
        };
        let to = Endpoint::new("127.0.0.1", port);
        let connection = Connection::open(TokioRuntime::new(), to, settings).await.unwrap();
        let fetch = async |version| {
            let partition = FetchPartition::default()
                .with_partition_max_bytes(1 << 20)
                .with_current_leader_epoch(-1);
            let topic = FetchTopic::default()
                .with_topic(WireTopicName(StrBytes::from_static_str(TOPIC)))
                .with_partitions(vec![partition]);
            let request = FetchRequest::default().with_cluster_id(None).with_topics(vec![topic]);
            let pending = connection.start(&request, version, PATIENCE).await.unwrap();
            let (response, _) = pending.wait().await.unwrap();
            response.responses[0].partitions[0].clone()
        };
        let code = |code: i16| ErrorCode::from_code(code).unwrap();
        assert_eq!(code(fetch(10).await.error_code), ErrorCode::NotLeaderOrFollower);
        let read = fetch(12).await;
        assert_eq!(code(read.error_code), ErrorCode::None, "KIP-392");
        assert!(read.high_watermark > 0 && read.records.is_some_and(|records| !records.is_empty()));

        let data = PartitionProduceData::default().with_records(Some(Bytes::new()));
        let topic = TopicProduceData::default()
            .with_name(WireTopicName(StrBytes::from_static_str(TOPIC)))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(None)
            .with_acks(-1)
            .with_topic_data(vec![topic]);
        let pending = connection.start(&request, 10, PATIENCE).await.unwrap();
        let (response, _) = pending.wait().await.unwrap();
        let refused = &response.responses[0].partition_responses[0];
        assert_eq!(code(refused.error_code), ErrorCode::NotLeaderOrFollower);
        assert_eq!(refused.current_leader.leader_id.0, id, "KIP-951");
        let endpoint = &response.node_endpoints[0];
        let leaders_port = i32::from(cluster.ports[leader].1);
        assert_eq!((endpoint.node_id.0, endpoint.port), (id, leaders_port));
    });
}

fn records_survive_their_leader(more: &[(&'static str, &'static str)]) {
    let mut cluster = Cluster::start(more);
    cluster.create_topic();
    cluster.produce(0..100);
    cluster.until_in_sync(&[0, 1, 2]);
    let before = cluster.bytes(0);
    assert_eq!((cluster.bytes(1), cluster.bytes(2)), (before.clone(), before), "byte for byte");

    ask_a_follower(&cluster);

    let first = cluster.leader(0);
    cluster.kill(first);
    let left: Vec<usize> = (0..3).filter(|at| *at != first).collect();
    cluster.produce(100..200);
    assert_ne!(cluster.leader(0), first);
    cluster.until_in_sync(&left);
    assert_eq!(cluster.count(left[0]), 200);

    cluster.start_nodes(&[first]);
    cluster.until_in_sync(&[0, 1, 2]);
    cluster.produce(200..240);
    cluster.until_in_sync(&[0, 1, 2]);
    assert_eq!(cluster.count(first), 240);
    let after = cluster.bytes(0);
    assert_eq!((cluster.bytes(1), cluster.bytes(2)), (after.clone(), after), "byte for byte");
}

#[test]
fn records_of_three_replicas_survive_their_leader_and_it_comes_back() {
    records_survive_their_leader(&[]);
}

#[test]
fn records_that_are_flushed_one_by_one_survive_their_leader_too() {
    records_survive_their_leader(&[("log.flush.interval.messages", "1")]);
}

#[test]
fn whoever_dies_leading_the_quorum_too_is_replaced_although_no_timeout_has_passed() {
    let mut cluster = Cluster::start(&[
        ("broker.session.timeout.ms", "3600000"),
        ("controller.quorum.fetch.timeout.ms", "3600000"),
    ]);
    cluster.create_topic();
    cluster.produce(0..100);
    let active = cluster.active_controller();
    assert!((0..PARTITIONS).any(|partition| cluster.leader(partition) == active));

    cluster.kill(active);
    cluster.produce(100..200);
    let left: Vec<usize> = (0..3).filter(|at| *at != active).collect();
    cluster.until_in_sync(&left);
    assert_eq!(cluster.count(left[0]), 200);
}
