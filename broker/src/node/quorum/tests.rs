//! Controllers on real sockets and disks: a quorum of three, and a broker's metadata log beside it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{
    DescribeQuorumRequest, IncrementalAlterConfigsRequest, TopicName, describe_quorum_request,
    describe_quorum_response,
};
use kafka_protocol::protocol::StrBytes;

use crate::client::{Connection, ConnectionSettings, Endpoint};
use crate::config::NodeConfig;
use crate::environment::tokio::TokioRuntime;
use crate::environment::{Listener as _, Runtime, timeout};
use crate::model::{ClusterId, ErrorCode, LeaderEpoch, Offset};
use crate::node::{
    Error, InitialController, InitialVoters, Node, format_storage, random_uuid_text,
};
use crate::raft::METADATA_TOPIC;

const CLUSTER: &str = "3Db5QLSqSZieL3rJBUUegA";

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Cluster {
    runtime: TokioRuntime,
    home: PathBuf,
    ports: Vec<u16>,
    directories: Vec<String>,
    is_static: bool,
    /// Settings of all controllers.
    more: Vec<(&'static str, String)>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

impl Cluster {
    /// Three controllers with ports that were free a moment ago; nothing runs yet.
    async fn new(is_static: bool) -> Self {
        let runtime = TokioRuntime::new();
        let home = std::env::temp_dir().join(format!("ottla-quorum-{:016x}", runtime.random()));
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(runtime.listen("127.0.0.1:0".parse().unwrap()).await.unwrap());
        }
        let ports = held.iter().map(|listener| listener.local_address().port()).collect();
        let directories = (0..3).map(|_| random_uuid_text(&runtime)).collect();
        Self { runtime, home, ports, directories, is_static, more: Vec::new() }
    }

    fn config(&self, id: usize, more: &[(&str, String)]) -> NodeConfig {
        let addresses = self.ports.iter().map(|port| format!("127.0.0.1:{port}"));
        let voters = addresses.clone().enumerate().map(|(at, one)| format!("{}@{one}", at + 1));
        let quorum = if self.is_static {
            ("controller.quorum.voters", voters.collect::<Vec<_>>().join(","))
        } else {
            let servers = addresses.collect::<Vec<_>>().join(",");
            ("controller.quorum.bootstrap.servers", servers)
        };
        let mut all = vec![
            ("process.roles", "controller".to_owned()),
            ("node.id", id.to_string()),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("log.dirs", self.home.join(id.to_string()).display().to_string()),
            ("controller.quorum.election.timeout.ms", "200".to_owned()),
            ("controller.quorum.fetch.timeout.ms", "400".to_owned()),
            quorum,
        ];
        if let Some(port) = self.ports.get(id - 1) {
            all.push(("listeners", format!("CONTROLLER://127.0.0.1:{port}")));
        }
        all.extend(more.iter().cloned());
        let all: Vec<_> = all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        NodeConfig::read(None, &all).unwrap()
    }

    async fn format(&self, config: &NodeConfig) {
        let controller = |at: usize| {
            let (id, port, directory) = (at + 1, self.ports[at], &self.directories[at]);
            InitialController::parse(&format!("{id}@127.0.0.1:{port}:{directory}")).unwrap()
        };
        let voters = if self.is_static || !config.roles.controller {
            InitialVoters::Unsaid
        } else {
            InitialVoters::Controllers((0..3).map(controller).collect())
        };
        let cluster = ClusterId::from(CLUSTER);
        format_storage(&self.runtime, config, &cluster, &voters, None).await.unwrap();
    }

    async fn start(&self, id: usize) -> Node<TokioRuntime> {
        self.start_with(self.config(id, &self.more)).await
    }

    async fn start_with(&self, config: NodeConfig) -> Node<TokioRuntime> {
        let started = Box::pin(Node::start(self.runtime.clone(), config));
        let started = timeout(&self.runtime, PATIENCE, started).await;
        started.expect("a majority elects a leader").unwrap()
    }

    async fn start_all(&self) -> Vec<Node<TokioRuntime>> {
        for id in 1..=3 {
            self.format(&self.config(id, &[])).await;
        }
        futures_util::future::join_all((1..=3).map(|id| self.start(id))).await
    }

    async fn connect(&self, port: u16) -> Connection<TokioRuntime> {
        let settings = ConnectionSettings {
            client_id: Arc::from("test"),
            request_timeout: PATIENCE,
            connect_timeout: PATIENCE,
            response_bytes_max: 1 << 20,
        };
        let to = Endpoint::new("127.0.0.1", port);
        Connection::open(self.runtime.clone(), to, settings).await.unwrap()
    }

    /// Changes a configuration of the cluster at the controller on `port`.
    async fn alter(&self, port: u16, value: &str) -> ErrorCode {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let config = AlterableConfig::default()
            .with_name(text("max.connections"))
            .with_value(Some(text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(4)
            .with_resource_name(text(""))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let connection = self.connect(port).await;
        let pending = connection.start(&request, 1, PATIENCE).await.unwrap();
        let (response, _) = pending.wait().await.unwrap();
        ErrorCode::from_code(response.responses[0].error_code).unwrap()
    }

    /// Tries all controllers until one of them commits the change; says its port.
    async fn alter_somewhere(&self, value: &str) -> u16 {
        loop {
            for port in &self.ports {
                let is_open = self.runtime.connect(([127, 0, 0, 1], *port).into()).await.is_ok();
                if is_open && self.alter(*port, value).await == ErrorCode::None {
                    return *port;
                }
            }
            self.runtime.sleep(Duration::from_millis(20)).await;
        }
    }

    async fn describe(&self, port: u16) -> describe_quorum_response::PartitionData {
        let partition = describe_quorum_request::PartitionData::default();
        let topic = describe_quorum_request::TopicData::default()
            .with_topic_name(TopicName(StrBytes::from_static_str(METADATA_TOPIC)))
            .with_partitions(vec![partition]);
        let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
        let connection = self.connect(port).await;
        let pending = connection.start(&request, 2, PATIENCE).await.unwrap();
        let (response, _) = pending.wait().await.unwrap();
        assert_eq!(response.error_code, 0);
        response.topics[0].partitions[0].clone()
    }
}

async fn until(runtime: &TokioRuntime, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            runtime.sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(runtime, PATIENCE, wait).await.expect("it comes true in time");
}

/// The epochs that these nodes lead, which is at most one.
fn leading(nodes: &[Node<TokioRuntime>]) -> Vec<LeaderEpoch> {
    nodes.iter().filter_map(|node| node.quorum().leading_epoch()).collect()
}

/// The node that leads, once one does.
async fn leader_of(cluster: &Cluster, nodes: &[Node<TokioRuntime>]) -> usize {
    until(&cluster.runtime, || leading(nodes).len() == 1).await;
    nodes.iter().position(|node| node.quorum().leading_epoch().is_some()).expect("one leads")
}

async fn three_elect_and_go_on_without_the_first_leader(is_static: bool) {
    let cluster = Cluster::new(is_static).await;
    let mut nodes = Box::pin(cluster.start_all()).await;
    cluster.alter_somewhere("1001").await;
    until(&cluster.runtime, || leading(&nodes).len() == 1).await;
    let first = leading(&nodes)[0];
    let end = nodes.iter().map(|node| node.quorum().high_watermark()).max().unwrap();
    assert!(end > Offset::ZERO);
    until(&cluster.runtime, || nodes.iter().all(|node| node.quorum().high_watermark() >= end))
        .await;
    let versions: Vec<i16> = nodes.iter().map(|node| node.quorum().voters().1).collect();
    assert_eq!(versions, [i16::from(!is_static); 3]);

    let at = nodes.iter().position(|node| node.quorum().leading_epoch().is_some()).unwrap();
    nodes.remove(at).shutdown().await;
    let port = cluster.alter_somewhere("1002").await;
    assert_ne!(port, cluster.ports[at]);
    let second = leading(&nodes);
    assert_eq!(second.len(), 1, "{second:?}");
    assert!(second[0] > first, "{second:?} after {first}");

    let again = cluster.start(at + 1).await;
    let end = nodes.iter().map(|node| node.quorum().high_watermark()).max().unwrap();
    until(&cluster.runtime, || again.quorum().high_watermark() >= end).await;
    let described = cluster.describe(port).await;
    assert_eq!(described.current_voters.len(), 3);
    assert!(described.current_voters.iter().all(|voter| voter.log_end_offset > 0));
    nodes.push(again);
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_static_quorum_elects_and_goes_on_without_its_first_leader() {
    Box::pin(three_elect_and_go_on_without_the_first_leader(true)).await;
}

#[tokio::test]
async fn a_dynamic_quorum_elects_and_goes_on_without_its_first_leader() {
    Box::pin(three_elect_and_go_on_without_the_first_leader(false)).await;
}

#[tokio::test]
async fn a_voter_among_several_does_not_format_an_empty_disk_by_itself() {
    for is_static in [true, false] {
        let cluster = Cluster::new(is_static).await;
        let started = Box::pin(Node::start(cluster.runtime.clone(), cluster.config(1, &[])));
        let started = Box::pin(started).await;
        let error = started.err().expect("it does not start");
        assert!(matches!(error, Error::NotFormatted(_)), "{error}");
        assert!(error.to_string().contains("is not formatted"), "{error}");
    }
}

#[tokio::test]
async fn a_leader_that_stops_hands_over_before_anybody_misses_it() {
    let mut cluster = Cluster::new(true).await;
    cluster.more = vec![("controller.quorum.fetch.timeout.ms", "600000".to_owned())];
    let mut nodes = Box::pin(cluster.start_all()).await;
    let at = leader_of(&cluster, &nodes).await;
    nodes.remove(at).shutdown().await;
    leader_of(&cluster, &nodes).await;
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_voter_that_was_away_for_too_long_is_given_a_snapshot() {
    let mut cluster = Cluster::new(false).await;
    cluster.more = vec![
        ("metadata.log.max.record.bytes.between.snapshots", "300".to_owned()),
        ("controller.quorum.fetch.snapshot.max.bytes", "50".to_owned()),
    ];
    let mut nodes = Box::pin(cluster.start_all()).await;
    let leader = leader_of(&cluster, &nodes).await;
    let away = if leader == 2 { 1 } else { 2 };
    let gone = nodes.remove(away);
    let left_at = gone.quorum().high_watermark();
    gone.shutdown().await;
    let mut number = 2_000;
    let mut is_behind = false;
    while !is_behind {
        number += 1;
        cluster.alter_somewhere(&number.to_string()).await;
        is_behind = nodes.iter().all(|node| {
            node.quorum().latest_snapshot().is_some_and(|snapshot| snapshot.offset > left_at)
        });
    }
    let again = Box::pin(cluster.start(away + 1)).await;
    let snapshot = again.quorum().latest_snapshot().expect("it has one");
    assert!(snapshot.offset > left_at, "{snapshot:?} after {left_at}");
    let voters = again.quorum().voters();
    assert_eq!((voters.0.len(), voters.1), (3, 1), "the snapshot says who votes");
    cluster.alter_somewhere("1001").await;
    let end = nodes.iter().map(|node| node.quorum().high_watermark()).max().unwrap();
    until(&cluster.runtime, || again.quorum().high_watermark() >= end).await;
    nodes.push(again);
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_broker_alone_looks_on_and_is_let_in_by_the_active_controller() {
    let cluster = Cluster::new(false).await;
    let nodes = Box::pin(cluster.start_all()).await;
    let config = cluster.config(
        4,
        &[
            ("process.roles", "broker".to_owned()),
            ("listeners", "PLAINTEXT://127.0.0.1:0".to_owned()),
        ],
    );
    cluster.format(&config).await;
    let broker = Box::pin(cluster.start_with(config)).await;
    assert_eq!(broker.quorum().leading_epoch(), None);
    let port = cluster.alter_somewhere("1005").await;
    let described = cluster.describe(port).await;
    let observers: Vec<i32> = described.observers.iter().map(|one| one.replica_id.0).collect();
    assert_eq!(observers, [4]);
    assert!(described.observers[0].last_caught_up_timestamp > 0);
    broker.shutdown().await;
    for node in nodes {
        node.shutdown().await;
    }
}
