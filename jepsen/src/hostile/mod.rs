//! Hostile clients: whatever they send, the broker lives on, in bounded memory, and serves everybody else.
//!
//! What a hostile client may not do here is ask in good order for a lot of work: requests that would really create more
//! than a handful of partitions are not sent, because that memory would be rightly spent.

mod batches;
mod conversation;
mod frames;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use ottla::client::{
    Admin, Client, Consumer, ConsumerSettings, Endpoint, Error, Message, NewTopic, Producer,
    ProducerSettings, Settings, Start,
};
use ottla::environment::tokio::TokioRuntime;
use ottla::model::{ErrorCode, TopicName, TopicPartition};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::broker::{Home, resident_bytes};
use crate::random::Random;
use crate::{Failure, say};
use batches::Batches;
use conversation::{Tally, converse};
use frames::{PARTITIONS, TOPIC, Target};

/// Frames of every kind of nonsense.
#[derive(Debug, Args)]
pub(crate) struct HostileArguments {
    /// How many frames to send
    #[arg(long, default_value_t = 1_000_000)]
    frames: u64,
    /// Decides what they say
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A running broker, with --pid; one of our own is started when it is not named
    #[arg(long, value_name = "HOST:PORT", requires = "pid")]
    address: Option<String>,
    /// The running broker's process
    #[arg(long, requires = "address")]
    pid: Option<u32>,
    /// Our own broker's program; the one beside this program when it is not named
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Our own broker listens here, and its controller on the next
    #[arg(long, default_value_t = 29_192)]
    port: u16,
    /// Connections at a time that talk
    #[arg(long, default_value_t = 48)]
    connections: u64,
    /// Connections that begin a frame and never end it
    #[arg(long, default_value_t = 200)]
    half_open: u32,
}

/// What the broker may grow by, whatever it is sent.
const GROWTH_MAX: u64 = 64 << 20;

/// What a bomb becomes when decompressed.
const BOMB_BYTES: usize = 256 << 20;

/// Nobody hostile knows this topic.
const PROOF_TOPIC: &str = "proof";

const SETTINGS: &[&str] = &[
    // A name in a request is not a wish for a topic.
    "auto.create.topics.enable=false",
    "offsets.topic.num.partitions=5",
    // Members of connections that are gone do not keep others waiting.
    "group.min.session.timeout.ms=50",
];

pub(crate) async fn run(arguments: HostileArguments) -> Result<bool, Failure> {
    let (Some(address), Some(pid)) = (&arguments.address, arguments.pid) else {
        let home = Home::new(arguments.binary.clone(), arguments.port, "hostile", SETTINGS)?;
        say!("everything is in {}", home.directory().display());
        let mut broker = home.start()?;
        home.until_serving(&mut broker).await?;
        let is_well = attack(&arguments, &home.endpoint(), broker.pid).await?;
        broker.kill().await?;
        let panics = home.panics()?;
        panics.iter().for_each(|line| say!("  {line}"));
        if is_well && panics.is_empty() {
            home.remove()?;
        }
        return Ok(is_well && panics.is_empty());
    };
    let endpoint = Endpoint::parse(address);
    let endpoint = endpoint.ok_or_else(|| Failure(format!("{address} is no host:port")))?;
    attack(&arguments, &endpoint, pid).await
}

async fn attack(
    arguments: &HostileArguments,
    endpoint: &Endpoint,
    pid: u32,
) -> Result<bool, Failure> {
    let client = Client::new(TokioRuntime::new(), Settings::new(vec![endpoint.clone()]));
    let topic_id = create_topics(&client).await?;
    prove(&client, "before").await?;
    let batches = Batches::new(&mut Random::new(arguments.seed, 0), BOMB_BYTES);
    let target = Arc::new(Target { topic_id, batches });
    let address = endpoint.to_string();

    let idle = resident_bytes(pid).ok_or_else(|| Failure(format!("there is no process {pid}")))?;
    let memory = Arc::new(Memory::default());
    let watcher = tokio::spawn(Arc::clone(&memory).watch(pid));
    let half_open = begin_frames(&address, arguments.half_open).await?;
    let started = Instant::now();
    let tally = Arc::new(Tally::default());
    let mut clients = JoinSet::new();
    for number in 0..arguments.connections {
        let (tally, target, address) = (Arc::clone(&tally), Arc::clone(&target), address.clone());
        let random = Random::new(arguments.seed, 1 + number);
        let frames = arguments.frames;
        clients.spawn(async move { converse(&address, &target, &tally, random, frames).await });
    }
    let progress = tokio::spawn(report(Arc::clone(&tally), Arc::clone(&memory)));
    clients.join_all().await;
    progress.abort();
    let took = started.elapsed();
    let proof = prove(&client, "after").await;
    drop(half_open);
    memory.is_over.store(true, Ordering::SeqCst);
    let _ = watcher.await;

    let is_alive = resident_bytes(pid).is_some();
    let max = memory.max.load(Ordering::SeqCst);
    summarize(&tally, took, idle, max);
    let mut complaints = tally.complaints();
    if !is_alive {
        complaints.push(format!("process {pid} is gone"));
    }
    if max > idle + GROWTH_MAX {
        complaints.push(format!("the broker grew by {} MiB", mebibytes(max.saturating_sub(idle))));
    }
    complaints.extend(proof.err().map(|Failure(why)| why));
    complaints.iter().take(20).for_each(|complaint| say!("  {complaint}"));
    say!("{}", if complaints.is_empty() { "all is well" } else { "VIOLATED" });
    Ok(complaints.is_empty())
}

/// The most memory that the broker was seen to hold.
#[derive(Debug, Default)]
struct Memory {
    max: AtomicU64,
    is_over: AtomicBool,
}

impl Memory {
    async fn watch(self: Arc<Self>, pid: u32) {
        while !self.is_over.load(Ordering::SeqCst) {
            self.max.fetch_max(resident_bytes(pid).unwrap_or(0), Ordering::SeqCst);
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn report(tally: Arc<Tally>, memory: Arc<Memory>) {
    loop {
        sleep(Duration::from_secs(10)).await;
        let frames = tally.frames.load(Ordering::Relaxed);
        let max = memory.max.load(Ordering::SeqCst);
        say!("{frames} frames, at most {} MiB", mebibytes(max));
    }
}

/// The topic for hostile clients and the one for the proof; the id of the first.
async fn create_topics(client: &Client<TokioRuntime>) -> Result<[u8; 16], Failure> {
    let failed = |error: Error| Failure(format!("creating topics: {error}"));
    let admin = Admin::new(client.clone());
    let topics = [NewTopic::new(TOPIC, PARTITIONS), NewTopic::new(PROOF_TOPIC, 1)];
    for (_, outcome) in admin.create_topics(&topics).await.map_err(failed)? {
        match outcome {
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {}
            outcome => outcome.map_err(failed)?,
        }
    }
    for topic in &topics {
        admin.wait_for_leaders(&topic.name).await.map_err(failed)?;
    }
    for (_, topic) in admin.describe_topics(&[TopicName::new(TOPIC)]).await.map_err(failed)? {
        if let Some(id) = topic.map_err(failed)?.id {
            return Ok(id.0.into_bytes());
        }
    }
    Err(Failure("the broker does not name its topics' ids".to_owned()))
}

/// An ordinary client writes and reads.
async fn prove(client: &Client<TokioRuntime>, when: &str) -> Result<(), Failure> {
    let failed = |error: Error| Failure(format!("an ordinary client {when} the attack: {error}"));
    let producer = Producer::new(client.clone(), ProducerSettings::default());
    let value = Bytes::from(when.to_owned());
    let message = Message::new(PROOF_TOPIC, None, Some(value.clone()));
    let delivered = producer.send_and_wait(message).await.map_err(failed)?;
    let offset = delivered.offset.ok_or_else(|| Failure("no offset for a record".to_owned()))?;
    let mut consumer = Consumer::new(client.clone(), ConsumerSettings::default());
    consumer.assign([(TopicPartition::new(PROOF_TOPIC, 0), Start::At(offset))]);
    let fetched = consumer.poll(Duration::from_secs(10)).await.map_err(failed)?;
    let record = fetched.and_then(|fetched| fetched.records.into_iter().next());
    match record {
        Some(record) if record.offset == offset && record.value == Some(value) => Ok(()),
        other => Err(Failure(format!("{when} the attack, instead of a record: {other:?}"))),
    }
}

/// Connections that promise a large frame and never send it all.
async fn begin_frames(address: &str, count: u32) -> Result<Vec<TcpStream>, Failure> {
    let mut streams = Vec::new();
    for number in 0..count {
        let mut stream = TcpStream::connect(address).await?;
        let mut bytes = (90_i32 << 20).to_be_bytes().to_vec();
        bytes.resize(usize::try_from(number % 100).unwrap_or(0) * 10, 0);
        stream.write_all(&bytes).await?;
        streams.push(stream);
    }
    Ok(streams)
}

fn summarize(tally: &Tally, took: Duration, idle: u64, max: u64) {
    let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
    say!("frames sent              {} in {} s", count(&tally.frames), took.as_secs());
    say!("  of them damaged        {}", count(&tally.damaged));
    say!("responses                {}", count(&tally.responses));
    say!("connections              {}", count(&tally.connections));
    say!("  refused                {}", count(&tally.refused_connections));
    say!("  closed by the broker   {}", count(&tally.closed_by_broker));
    say!("answers late             {}", count(&tally.unanswered));
    say!("members kept waiting     {}", count(&tally.kept_waiting));
    say!("memory idle / max        {} MiB / {} MiB", mebibytes(idle), mebibytes(max));
}

const fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}
