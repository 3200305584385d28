//! `kill -9` in rounds: whatever the broker has acknowledged is there afterwards, once and in order.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use history::checkers::Found;
use history::{Awaited, Event, Facts, Fate, Verdict};
use ottla::client::{Admin, NewTopic};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::broker::{Broker, Home};
use crate::judge::{judged, tell};
use crate::random::Random;
use crate::workload::{Pace, Shared, Target, ask_commits, client, commit, produce, read_all};
use crate::{Failure, say};

/// Rounds of `kill -9`.
#[derive(Debug, Args)]
pub(crate) struct Kill9Arguments {
    /// How often the broker is killed while it serves (and now and then while it starts)
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// Decides how long each life lasts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The broker's program; the one beside this program when it is not named
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// The broker listens here, and its controller on the next
    #[arg(long, default_value_t = 29_092)]
    port: u16,
    /// Idempotent producers
    #[arg(long, default_value_t = 4)]
    producers: u32,
    /// Partitions of the topic
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// The longest life of a broker, in milliseconds
    #[arg(long, default_value_t = 1200)]
    life_ms: u64,
    /// At the end, stop the broker and have `ottla log dump` read its whole directory
    #[arg(long)]
    tool_check: bool,
    /// Write what clients did and were told into this file, for `jepsen judge`
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Keep the directory also when all is well
    #[arg(long)]
    keep: bool,
}

/// What the rounds took.
#[derive(Debug, Default)]
struct Lives {
    starts: Vec<Duration>,
    killed_while_serving: u32,
    killed_while_starting: u32,
}

/// Segments roll and offsets are compacted within a run.
const SETTINGS: &[&str] = &[
    "auto.create.topics.enable=false",
    "offsets.topic.num.partitions=5",
    "log.segment.bytes=1048576",
    "log.index.interval.bytes=512",
];

pub(crate) async fn run(arguments: Kill9Arguments) -> Result<bool, Failure> {
    let home = Home::new(arguments.binary.clone(), arguments.port, "kill9", SETTINGS)?;
    say!("seed {}; everything is in {}", arguments.seed, home.directory().display());
    let shared = Arc::new(Shared::default());
    let mut lives = Lives::default();
    let lived = Box::pin(live(&arguments, &home, &shared, &mut lives)).await;
    for panic in home.panics()? {
        shared.noticed(Verdict::BrokerFailed, panic);
    }
    let events = std::mem::take(&mut *shared.history());
    if let Some(path) = &arguments.history {
        history::write(path, &events)?;
    }
    let (facts, anomalies) = judged(&events);
    summarize(&mut lives, &facts, &shared, &anomalies);
    lived?;
    let complaint = if arguments.tool_check { tool_check(&home).await? } else { None };
    if let Some(complaint) = &complaint {
        say!("  {complaint}");
    }
    let is_well = anomalies.is_empty() && complaint.is_none();
    if is_well && !arguments.keep {
        home.remove()?;
    }
    say!("{}", if is_well { "all is well" } else { "VIOLATED; the directory is kept" });
    Ok(is_well)
}

fn target(arguments: &Kill9Arguments, home: &Home) -> Target {
    let topic = "kill9".to_owned();
    Target { bootstrap: vec![home.endpoint()], topic, partitions: arguments.partitions }
}

/// What a producer sends: about 1500 records a second.
const PACE: Pace = Pace { records_max: 30, pause_ms_max: 20 };
/// Between two commits.
const COMMIT_PAUSE: Duration = Duration::from_millis(2);

/// Everything that happens to the broker, up to the last reading.
async fn live(
    arguments: &Kill9Arguments,
    home: &Home,
    shared: &Arc<Shared>,
    lives: &mut Lives,
) -> Result<(), Failure> {
    let (mut broker, _) = start(home, shared).await?;
    let target = &target(arguments, home);
    let admin = Admin::new(client(target));
    let topic = NewTopic::new(&*target.topic, target.partitions);
    let created = admin.create_topics(&[topic]).await;
    created
        .and_then(|outcomes| outcomes.into_iter().try_for_each(|(_, outcome)| outcome))
        .map_err(|error| Failure(format!("creating the topic: {error}")))?;

    let mut producers = JoinSet::new();
    for number in 0..arguments.producers {
        producers.spawn(produce(number, target.clone(), Arc::clone(shared), arguments.seed, PACE));
    }
    let committer = tokio::spawn(commit(target.clone(), Arc::clone(shared), COMMIT_PAUSE));
    broker = rounds(arguments, home, broker, shared, lives).await?;

    shared.finish();
    let ended = tokio::time::timeout(DRAIN_MAX, producers.join_all()).await;
    let late = |_| Failure("a producer does not get rid of its records".to_owned());
    shared.awaited(Awaited::Producer, ended.map(drop).map_err(late))?;
    committer.await.map_err(|error| Failure(error.to_string()))?;
    ask_commits(target, shared, false).await?;
    // What is read at the end has gone through a recovery.
    kill(broker, shared).await?;
    (broker, _) = start(home, shared).await?;
    ask_commits(target, shared, true).await?;
    let read = read_all(target, shared).await;
    shared.awaited(Awaited::Service, read)?;
    kill(broker, shared).await
}

/// The delivery timeout of producers, and a little.
const DRAIN_MAX: Duration = Duration::from_secs(660);

const COMPLAINTS_SHOWN: usize = 20;

async fn rounds(
    arguments: &Kill9Arguments,
    home: &Home,
    mut broker: Broker,
    shared: &Shared,
    lives: &mut Lives,
) -> Result<Broker, Failure> {
    let mut random = Random::new(arguments.seed, 0);
    let target = target(arguments, home);
    for round in 1..=arguments.rounds {
        sleep(Duration::from_millis(random.below(arguments.life_ms + 1))).await;
        kill(broker, shared).await?;
        lives.killed_while_serving += 1;
        while random.chance(25) {
            let typical = lives.starts.last().copied().unwrap_or(Duration::from_millis(100));
            let micros = u64::try_from(typical.as_micros()).unwrap_or(u64::MAX);
            let starting = home.start()?;
            sleep(Duration::from_micros(random.below(micros))).await;
            kill(starting, shared).await?;
            lives.killed_while_starting += 1;
        }
        let took;
        (broker, took) = start(home, shared).await?;
        lives.starts.push(took);
        ask_commits(&target, shared, false).await?;
        if round % 10 == 0 {
            let acknowledged = shared.acknowledged.load(Ordering::SeqCst);
            say!("round {round}: {acknowledged} records acknowledged, last start {took:?}");
        }
    }
    Ok(broker)
}

/// Starts a broker and waits until it serves; says how long that took.
async fn start(home: &Home, shared: &Shared) -> Result<(Broker, Duration), Failure> {
    let mut broker = home.start()?;
    let served = home.until_serving(&mut broker).await;
    let took = shared.awaited(Awaited::Service, served)?;
    Ok((broker, took))
}

/// Kills a broker, which must have lived until now.
async fn kill(broker: Broker, shared: &Shared) -> Result<(), Failure> {
    let killed = broker.kill().await;
    if let Err(Failure(why)) = &killed {
        shared.note(Event::BrokerEnded { why: why.clone() });
    }
    killed
}

/// What `ottla log dump` does not understand of the directory.
async fn tool_check(home: &Home) -> Result<Option<String>, Failure> {
    let output = Command::new(home.binary())
        .args(["log", "dump"])
        .arg(home.data())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((!output.status.success()).then(|| format!("log dump: {text}")))
}

fn summarize(lives: &mut Lives, facts: &Facts, shared: &Shared, anomalies: &[Found]) {
    let count = |is_wanted: fn(&Fate<Option<i64>>) -> bool| {
        facts.sends.values().filter(|sent| is_wanted(&sent.fate)).count()
    };
    lives.starts.sort_unstable();
    let middle = lives.starts.get(lives.starts.len() / 2).copied().unwrap_or_default();
    let longest = lives.starts.last().copied().unwrap_or_default();
    let read: usize = facts.read.records.values().map(Vec::len).sum();
    let commits = facts.commit_count / facts.commits.len().max(1);
    say!("killed while serving    {}", lives.killed_while_serving);
    say!("killed while starting   {}", lives.killed_while_starting);
    say!("restart p50 / max       {} ms / {} ms", middle.as_millis(), longest.as_millis());
    say!("records acknowledged    {}", facts.acknowledged_count());
    say!("  without an offset     {}", count(|fate| *fate == Fate::Acknowledged(None)));
    say!("records refused         {}", count(|fate| *fate == Fate::Failed));
    say!("records in doubt        {}", count(|fate| *fate == Fate::Unknown));
    say!("records read back       {read}");
    say!("offset commits          {commits}");
    say!("anomalies               {}", anomalies.len());
    tell(anomalies);
    for (failure, count) in shared.failures().iter().take(COMPLAINTS_SHOWN) {
        say!("  {count} times: {failure}");
    }
}
