//! Three nodes, each broker and controller, over real sockets: what clients ask any of them happens, whoever decides it.

use std::collections::BTreeSet;

use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_topics_request::CreatableReplicaAssignment;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, DescribeClusterRequest, ElectLeadersRequest,
    IncrementalAlterConfigsRequest, ListPartitionReassignmentsRequest, MetadataResponse,
};
use ottla::model::ClusterId;
use ottla::node::{InitialController, InitialVoters, format_storage, random_uuid_text};

use super::*;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node with threads of its own, which end when it is killed.
struct Member {
    threads: tokio::runtime::Runtime,
    node: Node<TokioRuntime>,
}

impl Member {
    /// Ends without a word to anybody.
    fn kill(self) {
        self.threads.shutdown_background();
        drop(self.node);
    }

    async fn client(&self) -> Client {
        let address = self.node.addresses()["PLAINTEXT"];
        let stream = TokioRuntime::new().connect(address).await.expect("it listens");
        Client { stream, correlation: 0 }
    }
}

struct Cluster {
    home: PathBuf,
    ports: Vec<(u16, u16)>,
    members: Vec<Option<Member>>,
    session_ms: u64,
    /// The metadata log lies in a directory of its own.
    is_metadata_apart: bool,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in self.members.drain(..).flatten() {
            member.kill();
        }
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

impl Cluster {
    async fn start(name: &str) -> Self {
        Self::start_with(name, 1_500).await
    }

    /// With sessions of this length, and heartbeats fifteen times as often.
    async fn start_with(name: &str, session_ms: u64) -> Self {
        Self::start_as(name, session_ms, false).await
    }

    async fn start_as(name: &str, session_ms: u64, is_metadata_apart: bool) -> Self {
        let runtime = TokioRuntime::new();
        let home = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("cluster-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&home);
        let mut held = Vec::new();
        for _ in 0..6 {
            let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
            held.push(runtime.listen(any).await.expect("a free port"));
        }
        let ports: Vec<u16> = held
            .iter()
            .map(|held| ottla::environment::Listener::local_address(held).port())
            .collect();
        drop(held);
        let ports = ports.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let mut cluster = Self { home, ports, members: Vec::new(), session_ms, is_metadata_apart };
        let voters: Vec<InitialController> = (0..3)
            .map(|at| {
                let (port, directory) = (cluster.ports[at].1, random_uuid_text(&runtime));
                let text = format!("{}@127.0.0.1:{port}:{directory}", at + 1);
                InitialController::parse(&text).expect("a controller")
            })
            .collect();
        let id = ClusterId::from("3Db5QLSqSZieL3rJBUUegA");
        for at in 0..3 {
            let voters = InitialVoters::Controllers(voters.clone());
            let formatted = format_storage(&runtime, &cluster.config(at), &id, &voters, None).await;
            formatted.expect("an empty directory is formatted");
        }
        let started = (0..3).map(|at| {
            let config = cluster.config(at);
            async move { start(config).await.expect("it starts") }
        });
        let members = timeout(&runtime, PATIENCE, futures_util::future::join_all(started)).await;
        cluster.members =
            members.expect("a majority elects a leader").into_iter().map(Some).collect();
        cluster
    }

    fn config(&self, at: usize) -> NodeConfig {
        let (client, controller) = self.ports[at];
        let servers: Vec<String> =
            self.ports.iter().map(|(_, port)| format!("127.0.0.1:{port}")).collect();
        let home = self.home.join(at.to_string());
        let all = [
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", (at + 1).to_string()),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            (
                "listeners",
                format!("PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}"),
            ),
            ("controller.quorum.bootstrap.servers", servers.join(",")),
            ("log.dirs", home.display().to_string()),
            ("metadata.log.dir", self.metadata(at).display().to_string()),
            ("controller.quorum.election.timeout.ms", "200".to_owned()),
            ("controller.quorum.fetch.timeout.ms", "400".to_owned()),
            ("broker.heartbeat.interval.ms", (self.session_ms / 15).to_string()),
            ("broker.session.timeout.ms", self.session_ms.to_string()),
        ];
        let all: Vec<_> = all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        NodeConfig::read(None, &all).expect("a good configuration")
    }

    fn metadata(&self, at: usize) -> PathBuf {
        let apart = if self.is_metadata_apart { "-metadata" } else { "" };
        self.home.join(format!("{at}{apart}"))
    }

    async fn restart(&mut self, at: usize) {
        let again = async {
            loop {
                match start(self.config(at)).await {
                    Ok(member) => return member,
                    // The threads of its former life may not have ended yet.
                    Err(_) => TokioRuntime::new().sleep(Duration::from_millis(50)).await,
                }
            }
        };
        let again = timeout(&TokioRuntime::new(), PATIENCE, again).await;
        self.members[at] = Some(again.expect("it starts again"));
    }

    fn leader(&self) -> Option<usize> {
        let leads = |member: &Option<Member>| {
            member.as_ref().is_some_and(|one| one.node.quorum().leading_epoch().is_some())
        };
        self.members.iter().position(leads)
    }

    async fn client(&self, at: usize) -> Client {
        self.members[at].as_ref().expect("it runs").client().await
    }

    /// What a broker says of the cluster, once it says what is expected.
    async fn until(
        &self,
        at: usize,
        is_so: impl Fn(&MetadataResponse) -> bool,
    ) -> MetadataResponse {
        let mut client = self.client(at).await;
        let request = MetadataRequest::default().with_topics(None);
        let looking = async {
            loop {
                let response = client.ask(12, &request).await;
                if is_so(&response) {
                    return response;
                }
                TokioRuntime::new().sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(&TokioRuntime::new(), PATIENCE, looking).await.expect("it comes true in time")
    }
}

async fn start(config: NodeConfig) -> Result<Member, ottla::node::Error> {
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("threads");
    let started =
        threads.spawn(async move { Box::pin(Node::start(TokioRuntime::new(), config)).await });
    match started.await.expect("it does not panic") {
        Ok(node) => Ok(Member { threads, node }),
        Err(error) => {
            threads.shutdown_background();
            Err(error)
        }
    }
}

fn brokers(response: &MetadataResponse) -> BTreeSet<i32> {
    response.brokers.iter().map(|broker| broker.node_id.0).collect()
}

fn topics(response: &MetadataResponse) -> BTreeSet<String> {
    let names = response.topics.iter().filter_map(|topic| topic.name.as_ref());
    names.map(|name| name.to_string()).collect()
}

#[tokio::test]
async fn whatever_broker_is_asked_the_active_controller_decides() {
    let cluster = Cluster::start("any").await;
    for at in 0..3 {
        let mut client = cluster.client(at).await;
        assert_eq!(client.create(&format!("by-{at}")).await, 0);
        // Who creates a topic finds it where it asked, as long as that is the controller's node; else soon.
        let known = cluster.until(at, |response| topics(response).len() > at).await;
        assert_eq!(brokers(&known), BTreeSet::from([1, 2, 3]));
        assert_eq!(client.create(&format!("by-{at}")).await, ErrorCode::TopicAlreadyExists.code());
    }
    let expected: BTreeSet<String> = (0..3).map(|at| format!("by-{at}")).collect();
    let mut ids = BTreeSet::new();
    for at in 0..3 {
        let known = cluster.until(at, |response| topics(response) == expected).await;
        for topic in &known.topics {
            assert!((1..=3).contains(&topic.partitions[0].leader_id.0), "{topic:?}");
            assert!(topic.partitions[0].offline_replicas.is_empty());
        }
        let mut client = cluster.client(at).await;
        let described = client.ask(2, &DescribeClusterRequest::default()).await;
        assert_eq!(described.brokers.len(), 3);
        assert!((1..=3).contains(&described.controller_id.0));
        let anybody = InitProducerIdRequest::default().with_transactional_id(None);
        let producer = client.ask(4, &anybody).await;
        assert_eq!(producer.error_code, 0);
        assert!(ids.insert(producer.producer_id.0), "an id for each");
        let config = AlterableConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("1000")));
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(&format!("by-{at}")))
            .with_configs(vec![config]);
        let alter = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        assert_eq!(client.ask(1, &alter).await.responses[0].error_code, 0);
    }
}

#[tokio::test]
async fn without_the_first_controller_another_decides_and_the_dead_broker_comes_back() {
    let mut cluster = Cluster::start("failover").await;
    let dead = cluster.leader().expect("somebody leads");
    let (one, other) = ((dead + 1) % 3, (dead + 2) % 3);
    let id = i32::try_from(dead + 1).expect("a small number");
    let mut client = cluster.client(one).await;
    let assigned = CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(id)]);
    let on_the_dead = new_topic("dead", -1, -1).with_assignments(vec![assigned]);
    assert_eq!(client.create_as(&[on_the_dead]).await, [0]);
    cluster.members[dead].take().expect("it runs").kill();

    // Asked while nobody leads: the broker keeps the request until somebody does.
    let mut client = cluster.client(one).await;
    assert_eq!(client.create("after").await, 0);
    let rest: BTreeSet<i32> = (1..=3).filter(|other| *other != id).collect();
    for at in [one, other] {
        let known = cluster.until(at, |response| brokers(response) == rest).await;
        assert!(rest.contains(&known.controller_id.0));
        let on_the_dead = &known.topics.iter().find(|topic| topic.name == Some(topic_name("dead")));
        let partition = &on_the_dead.expect("it is there").partitions[0];
        assert_eq!(partition.error_code, ErrorCode::LeaderNotAvailable.code());
        assert_eq!(
            (partition.leader_id, &partition.replica_nodes),
            (BrokerId(-1), &vec![BrokerId(id)])
        );
        assert_eq!(partition.offline_replicas, [BrokerId(id)]);
    }

    cluster.restart(dead).await;
    for at in 0..3 {
        let everybody = BTreeSet::from([1, 2, 3]);
        cluster.until(at, |known| brokers(known) == everybody && topics(known).len() == 2).await;
    }
    let mut client = cluster.client(dead).await;
    assert_eq!(client.create("at-last").await, 0);
}

#[tokio::test]
async fn a_broker_that_dies_is_noticed_by_its_connection_and_not_only_by_its_session() {
    let mut cluster = Cluster::start_with("disconnected", 10 * 60_000).await;
    let leader = cluster.leader().expect("somebody leads");
    let dead = (leader + 1) % 3;
    let id = i32::try_from(dead + 1).expect("a small number");
    cluster.members[dead].take().expect("it runs").kill();
    let rest: BTreeSet<i32> = (1..=3).filter(|other| *other != id).collect();
    cluster.until(leader, |response| brokers(response) == rest).await;
    // Who lives is not taken for dead.
    TokioRuntime::new().sleep(Duration::from_secs(1)).await;
    cluster.until((leader + 2) % 3, |response| brokers(response) == rest).await;
    // Nor does its successor wait for the end of a session.
    cluster.restart(dead).await;
    cluster.until(leader, |response| brokers(response).len() == 3).await;
}

/// Where a partition is, by ids of brokers.
fn replicas_of(response: &MetadataResponse, name: &str) -> (i32, Vec<i32>, BTreeSet<i32>) {
    let named = |topic: &&MetadataResponseTopic| topic.name == Some(topic_name(name));
    let partition = &response.topics.iter().find(named).expect("it is there").partitions[0];
    let replicas = partition.replica_nodes.iter().map(|id| id.0).collect();
    (partition.leader_id.0, replicas, partition.isr_nodes.iter().map(|id| id.0).collect())
}

#[tokio::test]
async fn a_replica_whose_only_directory_was_replaced_may_lead_again() {
    let mut cluster = Cluster::start_as("replaced", 1_500, true).await;
    let mut client = cluster.client(0).await;
    let both =
        CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(1), BrokerId(2)]);
    let topic = new_topic(TOPIC, -1, -1).with_assignments(vec![both]);
    assert_eq!(client.create_as(&[topic]).await, [0]);
    cluster.until(0, |known| topics(known).contains(TOPIC)).await;
    let produced = client.produce(batch(builder(0), 3, b"stays")).await;
    assert_eq!((produced.error_code, produced.base_offset), (0, 0));

    cluster.members[0].take().expect("it runs").kill();
    cluster.until(1, |known| replicas_of(known, TOPIC).0 == 2).await;
    let replaced = cluster.home.join("0");
    while replaced.exists() {
        // The threads of its former life may still write there.
        let _ = std::fs::remove_dir_all(&replaced);
    }
    cluster.restart(0).await;
    let in_sync = BTreeSet::from([1, 2]);
    cluster.until(1, |known| replicas_of(known, TOPIC).2 == in_sync).await;
    cluster.members[1].take().expect("it runs").kill();
    cluster.until(2, |known| replicas_of(known, TOPIC).0 == 1).await;
}

#[tokio::test]
async fn a_partition_moves_to_another_broker_with_its_records_and_its_leadership_back() {
    let cluster = Cluster::start("moving").await;
    let mut client = cluster.client(0).await;
    let on = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
    let assigned = CreatableReplicaAssignment::default().with_broker_ids(on(&[1, 2]));
    let moving = new_topic(TOPIC, -1, -1).with_assignments(vec![assigned]);
    assert_eq!(client.create_as(&[moving]).await, [0]);
    let everybody = |ids: &[i32]| ids.iter().copied().collect::<BTreeSet<_>>();
    cluster.until(0, |known| topics(known).contains(TOPIC)).await;
    let produced = client.produce(batch(builder(0), 3, b"moves")).await;
    assert_eq!((produced.error_code, produced.base_offset), (0, 0));

    for wanted in [vec![3, 2], vec![3], vec![1, 2, 3]] {
        let partition = ReassignablePartition::default().with_replicas(Some(on(&wanted)));
        let topic = ReassignableTopic::default()
            .with_name(topic_name(TOPIC))
            .with_partitions(vec![partition]);
        let request = AlterPartitionReassignmentsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(10_000);
        // Asked of whichever broker.
        let mut client = cluster.client(wanted.len() - 1).await;
        let answer = client.ask(1, &request).await;
        assert_eq!(answer.responses[0].partitions[0].error_code, 0);
        let is_there = |known: &MetadataResponse| {
            let (_, replicas, isr) = replicas_of(known, TOPIC);
            replicas == wanted && isr == everybody(&wanted)
        };
        cluster.until(0, is_there).await;
        let list = ListPartitionReassignmentsRequest::default().with_topics(None);
        assert!(client.ask(0, &list).await.topics.is_empty());
    }
    // Broker 1 is preferred again and has everything, but has not been asked to lead.
    let known = cluster.until(0, |known| replicas_of(known, TOPIC).0 == 3).await;
    let id = known.topics.iter().find(|one| one.name == Some(topic_name(TOPIC))).expect("there");
    let elect = ElectLeadersRequest::default().with_topic_partitions(None).with_timeout_ms(10_000);
    assert_eq!(client.ask(2, &elect).await.error_code, 0);
    cluster.until(0, |known| replicas_of(known, TOPIC).0 == 1).await;
    let fetched = client.ask(13, &fetch(id.topic_id, (0, -1), vec![from(0)])).await;
    let records = only(&fetched).records.clone().expect("records");
    assert!(records.windows(5).filter(|window| window == b"moves").count() == 3);
    assert_eq!(only(&fetched).high_watermark, 3);
}

#[tokio::test]
async fn a_broker_that_stops_in_good_order_is_gone_at_once() {
    let mut cluster = Cluster::start("departure").await;
    let leader = cluster.leader().expect("somebody leads");
    let (leaving, staying) = ((leader + 1) % 3, (leader + 2) % 3);
    let member = cluster.members[leaving].take().expect("it runs");
    let Member { threads, node } = member;
    threads.spawn(node.shutdown()).await.expect("it stops");
    threads.shutdown_background();
    let id = BrokerId(i32::try_from(leaving + 1).expect("a small number"));
    let mut client = cluster.client(staying).await;
    let known = client.ask(12, &MetadataRequest::default().with_topics(None)).await;
    assert!(known.brokers.iter().all(|broker| broker.node_id != id), "it said so itself");
}
