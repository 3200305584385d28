//! `kill -9` in rounds: whatever the broker has acknowledged is there afterwards, once and in order.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use ottla::client::{Admin, NewTopic};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::broker::{Broker, Home};
use crate::checks::{Fate, Sent, Violation, judge_commits, judge_records};
use crate::random::Random;
use crate::workload::{Shared, TOPIC, ask_commits, client, commit, produce, read_all};
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
    let mut broker = home.start()?;
    home.until_serving(&mut broker).await?;
    let admin = Admin::new(client(&home.endpoint()));
    let created = admin.create_topics(&[NewTopic::new(TOPIC, arguments.partitions)]).await;
    created
        .and_then(|outcomes| outcomes.into_iter().try_for_each(|(_, outcome)| outcome))
        .map_err(|error| Failure(format!("creating the topic: {error}")))?;

    let shared = Arc::new(Shared::default());
    let mut producers = JoinSet::new();
    for number in 0..arguments.producers {
        let shared = Arc::clone(&shared);
        let work = produce(number, home.endpoint(), shared, arguments.seed);
        producers.spawn(async move { (number, work.await) });
    }
    let committer =
        tokio::spawn(commit(home.endpoint(), arguments.partitions, Arc::clone(&shared)));

    let mut lives = Lives::default();
    let mut broker = rounds(&arguments, &home, broker, &shared, &mut lives).await?;

    shared.finish();
    let mut sent: Vec<(u32, Vec<Sent>)> = producers.join_all().await;
    sent.sort_by_key(|(number, _)| *number);
    let sent: Vec<Vec<Sent>> = sent.into_iter().map(|(_, sent)| sent).collect();
    committer.await.map_err(|error| Failure(error.to_string()))?;
    ask_commits(&home.endpoint(), arguments.partitions, &shared).await?;
    // What is read at the end has gone through a recovery.
    (broker, _) = restart(&home, broker).await?;
    ask_commits(&home.endpoint(), arguments.partitions, &shared).await?;
    let seen = read_all(&home.endpoint(), arguments.partitions).await?;
    let records_read: usize = seen.values().map(Vec::len).sum();
    broker.kill().await?;

    let mut violations = judge_records(&sent, &seen);
    violations.extend(judge_commits(&shared.commits()));
    let mut complaints: Vec<String> = violations.iter().map(Violation::to_string).collect();
    complaints.extend(home.panics()?);
    if arguments.tool_check {
        complaints.extend(tool_check(&home).await?);
    }
    summarize(&mut lives, &sent, records_read, &shared, &violations);
    for complaint in complaints.iter().take(COMPLAINTS_SHOWN) {
        say!("  {complaint}");
    }
    let is_well = complaints.is_empty();
    if is_well && !arguments.keep {
        home.remove()?;
    }
    say!("{}", if is_well { "all is well" } else { "VIOLATED; the directory is kept" });
    Ok(is_well)
}

const COMPLAINTS_SHOWN: usize = 20;

async fn rounds(
    arguments: &Kill9Arguments,
    home: &Home,
    mut broker: Broker,
    shared: &Shared,
    lives: &mut Lives,
) -> Result<Broker, Failure> {
    let mut random = Random::new(arguments.seed, 0);
    for round in 1..=arguments.rounds {
        sleep(Duration::from_millis(random.below(arguments.life_ms + 1))).await;
        broker.kill().await?;
        lives.killed_while_serving += 1;
        while random.chance(25) {
            let typical = lives.starts.last().copied().unwrap_or(Duration::from_millis(100));
            let micros = u64::try_from(typical.as_micros()).unwrap_or(u64::MAX);
            let starting = home.start()?;
            sleep(Duration::from_micros(random.below(micros))).await;
            starting.kill().await?;
            lives.killed_while_starting += 1;
        }
        broker = home.start()?;
        let took = home.until_serving(&mut broker).await?;
        lives.starts.push(took);
        ask_commits(&home.endpoint(), arguments.partitions, shared).await?;
        if round % 10 == 0 {
            let acknowledged = shared.acknowledged.load(Ordering::SeqCst);
            say!("round {round}: {acknowledged} records acknowledged, last start {took:?}");
        }
    }
    Ok(broker)
}

async fn restart(home: &Home, broker: Broker) -> Result<(Broker, Duration), Failure> {
    broker.kill().await?;
    let mut broker = home.start()?;
    let took = home.until_serving(&mut broker).await?;
    Ok((broker, took))
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

fn summarize(
    lives: &mut Lives,
    sent: &[Vec<Sent>],
    records_read: usize,
    shared: &Shared,
    violations: &[Violation],
) {
    let count = |is_wanted: fn(&Fate) -> bool| {
        sent.iter().flatten().filter(|sent| is_wanted(&sent.fate)).count()
    };
    let violated = |is_wanted: fn(&Violation) -> bool| {
        violations.iter().filter(|violation| is_wanted(violation)).count()
    };
    lives.starts.sort_unstable();
    let middle = lives.starts.get(lives.starts.len() / 2).copied().unwrap_or_default();
    let longest = lives.starts.last().copied().unwrap_or_default();
    say!("killed while serving    {}", lives.killed_while_serving);
    say!("killed while starting   {}", lives.killed_while_starting);
    say!("restart p50 / max       {} ms / {} ms", middle.as_millis(), longest.as_millis());
    say!("records acknowledged    {}", count(|fate| matches!(fate, Fate::Acknowledged(_))));
    say!("  without an offset     {}", count(|fate| *fate == Fate::Acknowledged(None)));
    say!("records refused         {}", count(|fate| *fate == Fate::Refused));
    say!("records in doubt        {}", count(|fate| *fate == Fate::Unknown));
    say!("records read back       {records_read}");
    say!("lost                    {}", violated(|v| matches!(v, Violation::Lost { .. })));
    say!("duplicates              {}", violated(|v| matches!(v, Violation::Duplicate { .. })));
    say!("offset commits          {}", shared.committed.load(Ordering::SeqCst));
    say!("violations in all       {}", violations.len());
    for (failure, count) in shared.failures().iter().take(COMPLAINTS_SHOWN) {
        say!("  {count} times: {failure}");
    }
}
