//! A cluster of real processes, clients of several families, and faults, mixed; nothing acknowledged is lost, doubled or moved.

mod sandbox;
mod network;
mod node;
mod nemesis;
mod clients;
mod reading;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use history::{Awaited, Event, Verdict};
use ottla::client::{Admin, Endpoint, NewTopic};
use ottla::environment::tokio::TokioRuntime;
use ottla::model::TopicName;
use tokio::sync::{MutexGuard, RwLock};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::judge::{judged, tell};
use crate::random::Random;
use crate::workload::{Pace, Shared, Target, ask_commits, client, commit, ends, produce, read_all};
use crate::{Failure, say};
use clients::{Crashes, Crew, Family, Programs, Silence};
use nemesis::Nemesis;
use network::{Network, Place};
use node::{Node, Plan};
use sandbox::Abilities;

/// A cluster and mixed faults.
#[derive(Debug, Args)]
pub(crate) struct ClusterArguments {
    /// How long faults go on
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Nodes, each a broker and a controller
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=9))]
    nodes: u32,
    /// Decides which faults come, when, and for how long
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these faults, separated by commas; `none` for a run without
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = faults)]
    nemesis: Vec<Faults>,
    /// Only these foreign clients, separated by commas: java, librdkafka, franz-go, none
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        default_value = "java,librdkafka,franz-go"
    )]
    clients: Vec<String>,
    /// What each foreign producer sends in a second, about
    #[arg(long, default_value_t = 150)]
    rate: u64,
    /// Partitions of the topic
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// The broker's program; the one beside this program when it is not named
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Where foreign clients are
    #[arg(long, value_name = "DIR", default_value = "jepsen/clients")]
    programs: PathBuf,
    /// Write what clients did and were told into this file, for `jepsen judge`
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Write it as operations of `jepsen.tests.kafka` too
    #[arg(long, value_name = "FILE")]
    edn: Option<PathBuf>,
    /// All nodes on 127.0.0.1, without namespaces: no faults of links and disks
    #[arg(long)]
    loopback: bool,
    /// The first port of nodes on 127.0.0.1
    #[arg(long, default_value_t = 29_192)]
    port: u16,
    /// Keep the directory also when all is well
    #[arg(long)]
    keep: bool,
    /// This process is in namespaces of its own already
    #[arg(long, hide = true)]
    inside: bool,
}

#[derive(Clone, Copy, Debug)]
enum Faults {
    None,
    One(Nemesis),
}

fn faults(name: &str) -> Result<Faults, String> {
    if name == "none" { Ok(Faults::None) } else { Nemesis::named(name).map(Faults::One) }
}

/// A running cluster, and what may be done to it.
#[derive(Debug)]
struct Cluster {
    nodes: Vec<tokio::sync::Mutex<Node>>,
    network: Option<tokio::sync::Mutex<Network>>,
    crashes: Arc<Crashes>,
    target: Target,
    /// Where logs are.
    directory: PathBuf,
    shared: Arc<Shared>,
    /// Held for reading by every fault, for writing by one that must be alone.
    peace: RwLock<()>,
    struck: Mutex<BTreeMap<&'static str, u32>>,
}

const TOPIC: &str = "cluster";
/// What a cluster may take to serve and be in sync once it is left alone.
const HEAL_MAX: Duration = Duration::from_secs(120);
/// What producers may take to get rid of what they hold, and consumers to come to the end.
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// How many faults go on side by side.
const LANES: u64 = 2;

pub(crate) async fn run(arguments: ClusterArguments) -> Result<bool, Failure> {
    let abilities = if arguments.inside {
        Abilities::inside()
    } else {
        let why = if arguments.loopback { "--loopback was asked for" } else { sandbox::enter() };
        say!("no namespaces: {why}; all nodes are on 127.0.0.1");
        Abilities::loopback("it needs namespaces")
    };
    // Process 1 does not die of a signal that it does not wait for.
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        outcome = Box::pin(whole(&arguments, abilities)) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure("interrupted".to_owned())),
        _ = terminated.recv() => Err(Failure("terminated".to_owned())),
    }
}

async fn whole(arguments: &ClusterArguments, abilities: Abilities) -> Result<bool, Failure> {
    let directory = std::env::temp_dir().join(format!("jepsen-cluster-{}", arguments.seed));
    // A run before this one with the same seed has left it.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    say!("seed {}; logs are in {}", arguments.seed, directory.display());
    let nemeses = chosen(arguments, &abilities);
    let plan = Plan {
        binary: binary(arguments)?,
        directory: directory.clone(),
        node_count: usize::try_from(arguments.nodes).unwrap_or(3),
        moves_clocks: nemeses.contains(&Nemesis::ClockStep),
        abilities,
        port: arguments.port,
        disk_bytes: 1 << 30,
    };
    let shared = Arc::new(Shared::default());
    let cluster = Arc::new(raise(arguments, &plan, &shared).await?);
    let lived = Box::pin(live(arguments, &cluster, &nemeses)).await;
    let is_well = conclude(arguments, &cluster, lived).await?;
    if is_well && !arguments.keep {
        for node in &cluster.nodes {
            node.lock().await.unmount().await?;
        }
        std::fs::remove_dir_all(&directory)?;
    } else {
        for node in &cluster.nodes {
            node.lock().await.keep().await?;
        }
    }
    say!("{}", if is_well { "all is well" } else { "VIOLATED; the directory is kept" });
    Ok(is_well)
}

fn binary(arguments: &ClusterArguments) -> Result<PathBuf, Failure> {
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => std::env::current_exe()?.with_file_name("ottla"),
    };
    let name = binary.display().to_string();
    std::fs::canonicalize(binary)
        .map_err(|_| Failure(format!("there is no {name}: build it, or name another by --binary")))
}

/// The faults of this run; says which cannot be injected, and why.
fn chosen(arguments: &ClusterArguments, abilities: &Abilities) -> Vec<Nemesis> {
    let asked = |nemesis: &Nemesis| {
        let is_named = |one: &Faults| matches!(one, Faults::One(name) if name == nemesis);
        arguments.nemesis.is_empty() || arguments.nemesis.iter().any(is_named)
    };
    let is_possible = |nemesis: &Nemesis| match nemesis.obstacle(abilities) {
        Some(why) => {
            say!("cannot inject {}: {why}", nemesis.name());
            false
        }
        None => true,
    };
    Nemesis::ALL.iter().copied().filter(asked).filter(is_possible).collect()
}

/// Makes and starts all nodes.
async fn raise(
    arguments: &ClusterArguments,
    plan: &Plan,
    shared: &Arc<Shared>,
) -> Result<Cluster, Failure> {
    let (has_filter, has_netem) = (plan.abilities.filter.is_ok(), plan.abilities.has_netem);
    let network = if plan.has_namespaces() {
        let laid = Network::lay(plan.node_count, has_filter, has_netem).await?;
        Some(tokio::sync::Mutex::new(laid))
    } else {
        None
    };
    let mut random = Random::new(arguments.seed, 1);
    let id = URL_SAFE_NO_PAD.encode([0; 16].map(|_: u8| random.byte()));
    let mut nodes = Vec::new();
    for number in 0..plan.node_count {
        let mut node = Node::make(plan, number, &id).await?;
        node.start()?;
        nodes.push(tokio::sync::Mutex::new(node));
    }
    let bootstrap = plan.bootstrap();
    let bootstrap = bootstrap.iter().filter_map(|address| Endpoint::parse(address)).collect();
    let target = Target { bootstrap, topic: TOPIC.to_owned(), partitions: arguments.partitions };
    let (crashes, struck) = (Arc::default(), Mutex::default());
    let (shared, peace) = (Arc::clone(shared), RwLock::new(()));
    let directory = plan.directory.clone();
    Ok(Cluster { nodes, network, crashes, target, directory, shared, peace, struck })
}

/// From the first record to the last reading.
async fn live(
    arguments: &ClusterArguments,
    cluster: &Arc<Cluster>,
    nemeses: &[Nemesis],
) -> Result<(), Failure> {
    let (shared, target) = (&cluster.shared, &cluster.target);
    let admin = Admin::new(client(target));
    cluster.until_registered(&admin).await?;
    let topic = NewTopic { replication_factor: Some(3), ..NewTopic::new(TOPIC, target.partitions) };
    let created = admin.create_topics(&[topic]).await;
    created
        .and_then(|outcomes| outcomes.into_iter().try_for_each(|(_, outcome)| outcome))
        .map_err(|error| Failure(format!("creating the topic: {error}")))?;
    if !cluster.until_in_sync(HEAL_MAX).await {
        return Err(Failure("the cluster does not come to be in sync at first".to_owned()));
    }
    let crew = Arc::new(crew(arguments, cluster)?);
    let mut producers = JoinSet::new();
    let mut consumers = JoinSet::new();
    let (tell_ends, told_ends) = tokio::sync::watch::channel(None);
    for number in [OWN_PRODUCERS, OWN_PRODUCERS + 1] {
        let produce = produce(number, target.clone(), Arc::clone(shared), arguments.seed, PACE);
        producers.spawn(async move {
            produce.await;
            Ok(())
        });
    }
    for family in families(arguments, &crew.programs)? {
        producers.spawn(Arc::clone(&crew).produce(family));
        consumers.spawn(Arc::clone(&crew).consume(family, told_ends.clone()));
    }
    let own = reading::consume(target.clone(), Arc::clone(shared), told_ends);
    consumers.spawn(async move {
        own.await;
        Ok(())
    });
    let committer = commit(target.clone(), Arc::clone(shared), Duration::from_millis(20));
    let committer = tokio::spawn(committer);
    disturb(arguments, cluster, nemeses).await?;

    // From here on all is calm, and everything has to come to its end.
    let is_healed = cluster.heal().await?;
    let healed =
        is_healed.then_some(()).ok_or_else(|| Failure("replicas stay out of sync".to_owned()));
    shared.awaited(Awaited::Service, healed)?;
    say!("healed; producers end");
    shared.finish();
    let ended = all(&mut producers, "a producer does not get rid of its records").await;
    shared.awaited(Awaited::Producer, ended)?;
    committer.await.map_err(|error| Failure(error.to_string()))?;
    ask_commits(target, shared, true).await?;
    let ends = ends(target).await?;
    tell_ends.send_replace(Some(ends.into_values().collect()));
    let ended = all(&mut consumers, "a consumer does not come to the end").await;
    shared.awaited(Awaited::Service, ended)?;
    let read = read_all(target, shared).await;
    shared.awaited(Awaited::Service, read)
}

/// Own producers' numbers are behind all of others.
const OWN_PRODUCERS: u32 = 1_000_000;
/// What an own producer sends: about 150 records a second.
const PACE: Pace = Pace { records_max: 30, pause_ms_max: 200 };

async fn all(tasks: &mut JoinSet<Result<(), Failure>>, late: &str) -> Result<(), Failure> {
    let joined = async {
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| Failure(error.to_string()))??;
        }
        Ok(())
    };
    timeout(DRAIN_MAX, joined).await.unwrap_or_else(|_| Err(Failure(late.to_owned())))
}

fn crew(arguments: &ClusterArguments, cluster: &Cluster) -> Result<Crew, Failure> {
    let kafka = std::env::var_os("KAFKA_BIN").map(PathBuf::from);
    let kafka_libs = kafka.and_then(|bin| Some(bin.parent()?.join("libs")));
    let directory = std::fs::canonicalize(&arguments.programs).map_err(|error| {
        Failure(format!("--programs {}: {error}", arguments.programs.display()))
    })?;
    Ok(Crew {
        programs: Programs { directory, kafka_libs, log: cluster.directory.join("clients.log") },
        target: cluster.target.clone(),
        shared: Arc::clone(&cluster.shared),
        crashes: Arc::clone(&cluster.crashes),
        lives: AtomicU32::new(0),
        records_per_second: arguments.rate,
        seed: arguments.seed,
    })
}

/// Families that take part; those that were asked for and cannot are an error, so that nobody believes in a run without them.
fn families(arguments: &ClusterArguments, programs: &Programs) -> Result<Vec<Family>, Failure> {
    let names = || arguments.clients.iter().map(String::as_str).filter(|name| *name != "none");
    let mut families = Vec::new();
    for name in names() {
        let family = Family::ALL.iter().copied().find(|family| family.name() == name);
        let family = family.ok_or_else(|| Failure(format!("there are no clients '{name}'")))?;
        if let Some(why) = programs.obstacle(family) {
            return Err(Failure(format!("{name}: {why}, or leave it out with --clients")));
        }
        families.push(family);
    }
    Ok(families)
}

/// Faults, for as long as was asked for.
async fn disturb(
    arguments: &ClusterArguments,
    cluster: &Arc<Cluster>,
    nemeses: &[Nemesis],
) -> Result<(), Failure> {
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(arguments.minutes * 60.0);
    let mut lanes = JoinSet::new();
    for lane in (0..LANES).filter(|_| !nemeses.is_empty()) {
        let random = Random::new(arguments.seed, 10 + lane);
        let (cluster, nemeses) = (Arc::clone(cluster), nemeses.to_vec());
        lanes.spawn(async move { strike_again(&cluster, random, &nemeses, until, started).await });
    }
    let mut silence = Silence::default();
    let mut next_word = started;
    while Instant::now() < until {
        sleep(Duration::from_millis(100)).await;
        silence.look(&cluster.shared.acknowledged);
        cluster.watch()?;
        if Instant::now() >= next_word {
            next_word += Duration::from_secs(60);
            let acknowledged = cluster.shared.acknowledged.load(Ordering::SeqCst);
            say!("[{:>4}] {acknowledged} acknowledged", started.elapsed().as_secs());
            if !cluster.shared.is_over() {
                let asked = ask_commits(&cluster.target, &cluster.shared, false);
                // In the middle of faults nobody need answer.
                drop(timeout(Duration::from_secs(20), asked).await);
            }
        }
        if let Some(ended) = lanes.try_join_next() {
            ended.map_err(|error| Failure(error.to_string()))??;
        }
    }
    while let Some(ended) = lanes.join_next().await {
        ended.map_err(|error| Failure(error.to_string()))??;
    }
    say!("longest time without an acknowledgement: {:.1} s", silence.longest.as_secs_f64());
    Ok(())
}

/// One fault after the other.
async fn strike_again(
    cluster: &Cluster,
    mut random: Random,
    nemeses: &[Nemesis],
    until: Instant,
    started: Instant,
) -> Result<(), Failure> {
    while Instant::now() < until {
        sleep(Duration::from_millis(500 + random.below(6_000))).await;
        let nemesis = nemeses[random.index(nemeses.len())];
        let at = started.elapsed().as_secs_f64();
        let done = if nemesis == Nemesis::Wipe {
            let _alone = cluster.peace.write().await;
            nemesis.strike(cluster, &mut random).await?
        } else {
            let _in_company = cluster.peace.read().await;
            nemesis.strike(cluster, &mut random).await?
        };
        say!("[{at:>6.1}] {done}");
        let mut struck = cluster.struck.lock().unwrap_or_else(PoisonError::into_inner);
        *struck.entry(nemesis.name()).or_insert(0) += 1;
    }
    Ok(())
}

impl Cluster {
    /// A node, once no other fault has it.
    async fn node(&self, number: usize) -> MutexGuard<'_, Node> {
        self.nodes[number].lock().await
    }

    /// So many nodes, once no other fault has them; in the order of their numbers, so that two faults do not wait for each other.
    async fn some_nodes(&self, random: &mut Random, count: usize) -> Vec<MutexGuard<'_, Node>> {
        let mut numbers: Vec<usize> = (0..self.nodes.len()).collect();
        while numbers.len() > count {
            numbers.swap_remove(random.index(numbers.len()));
        }
        numbers.sort_unstable();
        let mut nodes = Vec::new();
        for number in numbers {
            nodes.push(self.node(number).await);
        }
        nodes
    }

    /// The links, once no other fault has them.
    async fn network(&self) -> Result<MutexGuard<'_, Network>, Failure> {
        match &self.network {
            Some(network) => Ok(network.lock().await),
            None => Err(Failure("there are no links of our own".to_owned())),
        }
    }

    /// A node, and all that it speaks with.
    fn one_and_others(&self, random: &mut Random) -> (Place, Vec<Place>) {
        let one = random.index(self.nodes.len());
        let others = (0..self.nodes.len()).filter(|other| *other != one).map(Place::Node);
        (Place::Node(one), others.chain([Place::Clients]).collect())
    }

    /// Waits until all brokers are there.
    async fn until_registered(&self, admin: &Admin<TokioRuntime>) -> Result<(), Failure> {
        let until = Instant::now() + HEAL_MAX;
        while Instant::now() < until {
            let described = admin.describe_cluster().await;
            if described.is_ok_and(|cluster| cluster.brokers.len() == self.nodes.len()) {
                return Ok(());
            }
            sleep(Duration::from_millis(200)).await;
        }
        Err(Failure("the brokers do not come to serve at first".to_owned()))
    }

    /// Waits until every replica is in sync; says whether that came in time.
    async fn until_in_sync(&self, patience: Duration) -> bool {
        let admin = Admin::new(client(&self.target));
        let name = TopicName::new(TOPIC);
        let until = Instant::now() + patience;
        while Instant::now() < until {
            let topics = timeout(Duration::from_secs(10), admin.list_topics()).await;
            if let Ok(Ok(topics)) = topics
                && topics.topics.contains_key(&name)
                && topics.topics.values().all(|topic| {
                    topic.partitions.values().all(|partition| {
                        partition.leader.is_some()
                            && partition.in_sync.len() == partition.replicas.len()
                    })
                })
            {
                return true;
            }
            sleep(Duration::from_millis(200)).await;
        }
        false
    }

    /// Starts again who has ended, though nobody told it to; that is written down.
    fn watch(&self) -> Result<(), Failure> {
        for node in &self.nodes {
            // Whoever has the node knows what he does.
            let Ok(mut node) = node.try_lock() else { continue };
            if let Some(why) = node.ended_by_itself()? {
                say!("{why}");
                self.shared.note(Event::BrokerEnded { why });
                node.start()?;
            }
        }
        Ok(())
    }

    /// Undoes whatever may be left of faults, and waits until all is in sync.
    async fn heal(&self) -> Result<bool, Failure> {
        if self.network.is_some() {
            self.network().await?.mend().await?;
        }
        for node in &self.nodes {
            node.lock().await.start()?;
        }
        let healed = self.until_in_sync(HEAL_MAX).await;
        self.watch()?;
        Ok(healed)
    }
}

/// Ends all brokers, compares their files, judges, and tells.
async fn conclude(
    arguments: &ClusterArguments,
    cluster: &Cluster,
    lived: Result<(), Failure>,
) -> Result<bool, Failure> {
    let shared = &cluster.shared;
    let mut data = Vec::new();
    for node in &cluster.nodes {
        let mut node = node.lock().await;
        if let Some(why) = node.ended_by_itself()? {
            shared.note(Event::BrokerEnded { why });
        }
        node.kill().await?;
        for panic in node.panics()? {
            shared.noticed(Verdict::BrokerFailed, panic);
        }
        data.push(node.data());
    }
    let compared =
        if lived.is_ok() { reading::compare(&cluster.target, &data, shared)? } else { 0 };
    let events = std::mem::take(&mut *shared.history());
    if let Some(path) = &arguments.history {
        history::write(path, &events)?;
    }
    if let Some(path) = &arguments.edn {
        history::edn::write(path, &events)?;
    }
    let (facts, anomalies) = judged(&events);
    let struck = cluster.struck.lock().unwrap_or_else(PoisonError::into_inner);
    let struck: Vec<String> =
        struck.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let read: usize = facts.read.records.values().map(Vec::len).sum();
    say!("faults                  {}", struck.join(", "));
    say!("records sent            {}", facts.sends.len());
    say!("  acknowledged          {}", facts.acknowledged_count());
    say!("  polled meanwhile      {}", facts.polls.len());
    say!("  read back             {read}");
    say!("commits acknowledged    {}", facts.commit_count);
    say!("bytes compared          {compared}");
    for (failure, count) in shared.failures().iter().take(COMPLAINTS_SHOWN) {
        say!("  {count} times: {failure}");
    }
    say!("anomalies               {}", anomalies.len());
    tell(&anomalies);
    if let Err(Failure(why)) = &lived {
        say!("not brought to its end: {why}");
    }
    Ok(anomalies.is_empty() && lived.is_ok())
}

const COMPLAINTS_SHOWN: usize = 20;
