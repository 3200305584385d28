//! `ottla dev --brokers N`: a cluster on one machine, one process for each node, to try failover by hand.
//!
//! Each node is an ordinary `ottla serve` on a configuration file that lies beside its data, so whatever a person does to it,
//! kill it, freeze it, start it by hand, is what would happen elsewhere. This process only formats them together when they
//! are new, starts them, tells what becomes of them, and takes them along when it stops or dies.

use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::failure::{FAILED, Failure};
use super::server::{misconfigured, not_started, told_to_stop};
use crate::config::NodeConfig;
use crate::environment::tokio::{TokioRuntime, append_to};
use crate::environment::{
    Disk as _, File as _, FileExt as _, OpenMode, Runtime as _, Stop, Stopper, select, timeout,
};
use crate::model::ClusterId;
use crate::node::{InitialVoters, format_storage, random_uuid_text, storage_info};

/// How long a node has to stop in good order before it is killed.
const STOP_MAX: Duration = Duration::from_secs(5);

/// How much of a node's log is shown when it does not start.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// What the cluster is to be.
#[derive(Debug)]
pub(super) struct ClusterArguments {
    pub(super) data: PathBuf,
    pub(super) brokers: u16,
    /// The first broker's; the controllers' come after the brokers'.
    pub(super) port: u16,
    pub(super) overrides: Vec<(String, String)>,
    /// Arguments that each node is given.
    pub(super) each: Vec<String>,
    /// A node that dies is started again after so long.
    pub(super) restart: Option<Duration>,
    pub(super) is_json: bool,
}

/// One node of it.
#[derive(Clone, Debug)]
struct Member {
    id: u16,
    address: String,
    properties: PathBuf,
    log: PathBuf,
}

/// What becomes of a member.
#[derive(Debug)]
enum News {
    Ready { pid: u32 },
    Died { pid: u32, status: ExitStatus },
    Failed(io::Error),
}

/// Runs the cluster until it is told to stop.
pub(super) fn run(arguments: &ClusterArguments) -> Result<(), Failure> {
    // One thread: whoever starts a child must not end before it.
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio.block_on(async {
        let runtime = TokioRuntime::new();
        let (members, cluster_id) = prepare(&runtime, arguments).await?;
        let stopper = Stopper::new();
        let (sender, mut news) = mpsc::channel(64);
        for member in &members {
            let (member, each) = (member.clone(), arguments.each.clone());
            let keeper = Keeper {
                runtime: runtime.clone(),
                member,
                each,
                restart: arguments.restart,
                news: sender.clone(),
            };
            runtime.spawn("member", keeper.run(stopper.stop()));
        }
        drop(sender);
        let outcome = select! {
            () = told_to_stop() => Ok(()),
            outcome = watch(&runtime, arguments, &members, &cluster_id, &mut news) => outcome,
        };
        stopper.pull();
        // Each keeper ends when its node has.
        let all_gone = async { while news.recv().await.is_some() {} };
        select! {
            () = all_gone => {}
            // Told twice: at once, then.
            () = told_to_stop() => {}
        }
        outcome
    })
}

/// Tells what happens, as long as anything runs.
async fn watch(
    runtime: &TokioRuntime,
    arguments: &ClusterArguments,
    members: &[Member],
    cluster_id: &ClusterId,
    news: &mut mpsc::Receiver<(u16, News)>,
) -> Result<(), Failure> {
    let mut pids: Vec<Option<u32>> = vec![None; members.len()];
    let mut is_announced = false;
    while let Some((id, news)) = news.recv().await {
        let place = usize::from(id) - 1;
        let member = &members[place];
        match news {
            News::Ready { pid } => {
                pids[place] = Some(pid);
                if is_announced {
                    tell(&format!("broker {id} is back: pid {pid}"))?;
                } else if let Some(pids) = pids.iter().copied().collect::<Option<Vec<u32>>>() {
                    announce(arguments, members, cluster_id, &pids)?;
                    is_announced = true;
                }
            }
            News::Died { .. } | News::Failed(_) if pids[place].is_none() && !is_announced => {
                let last = last_words(runtime, &member.log).await;
                return Err(Failure::new(FAILED, format!("broker {id} did not start: {last}"))
                    .advise(format!("all it said is in {}", member.log.display())));
            }
            News::Died { pid, status } => {
                pids[place] = None;
                let how = match status.signal() {
                    Some(signal) => format!("was killed by signal {signal}"),
                    None => format!("ended with {}", status.code().unwrap_or_default()),
                };
                let next = match arguments.restart {
                    Some(after) => format!("it is started again in {} s", after.as_secs()),
                    None => format!("start it again: {}", by_hand(member)),
                };
                tell(&format!("broker {id} (pid {pid}) {how}; {next}"))?;
                if pids.iter().all(Option::is_none) && arguments.restart.is_none() {
                    return Err(Failure::new(FAILED, "no broker is left"));
                }
            }
            News::Failed(error) => tell(&format!("broker {id} cannot be run: {error}"))?,
        }
    }
    Ok(())
}

fn tell(line: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{line}")
}

fn by_hand(member: &Member) -> String {
    format!("ottla serve -c {}", member.properties.display())
}

/// The last line that a node wrote.
async fn last_words(runtime: &TokioRuntime, log: &Path) -> String {
    let read = async {
        let file = runtime.disk().open(log, OpenMode::Read).await?;
        file.read_all(LOG_BYTES_MAX).await
    };
    let bytes = read.await.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let error = text.lines().rev().find(|line| line.starts_with("error: "));
    error.or_else(|| text.lines().next_back()).unwrap_or("it said nothing").to_owned()
}

#[derive(Serialize)]
struct Ready {
    bootstrap: String,
    cluster_id: String,
    data: String,
    brokers: Vec<ReadyBroker>,
}

#[derive(Serialize)]
struct ReadyBroker {
    id: u16,
    address: String,
    pid: u32,
    properties: String,
    log: String,
}

fn announce(
    arguments: &ClusterArguments,
    members: &[Member],
    cluster_id: &ClusterId,
    pids: &[u32],
) -> Result<(), Failure> {
    let addresses: Vec<&str> = members.iter().map(|member| member.address.as_str()).collect();
    let bootstrap = addresses.join(",");
    if arguments.is_json {
        let broker = |(member, pid): (&Member, &u32)| ReadyBroker {
            id: member.id,
            address: member.address.clone(),
            pid: *pid,
            properties: member.properties.display().to_string(),
            log: member.log.display().to_string(),
        };
        let ready = Ready {
            bootstrap,
            cluster_id: cluster_id.to_string(),
            data: arguments.data.display().to_string(),
            brokers: members.iter().zip(pids).map(broker).collect(),
        };
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &ready).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(out.flush()?);
    }
    let mut out = io::stderr().lock();
    let count = members.len();
    writeln!(out, "Ottla serves Kafka clients on {bootstrap}")?;
    for (member, pid) in members.iter().zip(pids) {
        writeln!(out, "  broker {}  {}  pid {pid}", member.id, member.address)?;
    }
    let example = pids.last().copied().unwrap_or_default();
    writeln!(
        out,
        "data, configurations and logs of all {count} are in {}",
        arguments.data.display()
    )?;
    writeln!(out, "  topic:  ottla topic create test -b {bootstrap}")?;
    writeln!(out, "  look:   ottla topic describe test -b {bootstrap}")?;
    writeln!(
        out,
        "  kill:   kill -9 {example}     freeze: kill -STOP {example}, thaw: kill -CONT {example}"
    )?;
    if let Some(member) = members.last()
        && arguments.restart.is_none()
    {
        writeln!(out, "  again:  {}", by_hand(member))?;
    }
    writeln!(out, "  stop:   Ctrl-C")?;
    Ok(())
}

/// Writes the configurations, and formats the directories when there is no cluster yet.
async fn prepare(
    runtime: &TokioRuntime,
    arguments: &ClusterArguments,
) -> Result<(Vec<Member>, ClusterId), Failure> {
    let data = std::path::absolute(&arguments.data)?;
    if data.to_str().is_none() {
        return Err(Failure::usage("the path of the data directory is not UTF-8"));
    }
    let disk = runtime.disk();
    disk.create_directory(&data).await?;
    let names = disk.list(&data).await?;
    if names.iter().any(|entry| entry.name == "meta.properties") {
        let what = format!("{} holds the data of a single broker", data.display());
        return Err(Failure::new(FAILED, what).advise("choose another directory with --data"));
    }
    let next = format!("node-{}.properties", arguments.brokers + 1);
    if names.iter().any(|entry| entry.name == next.as_str()) {
        let what = format!("the cluster in {} has more brokers", data.display());
        return Err(Failure::new(FAILED, what)
            .advise("say --brokers as when it was made, or choose another directory with --data"));
    }
    let (mut members, mut configs) = (Vec::new(), Vec::new());
    for id in 1..=arguments.brokers {
        let properties = data.join(format!("node-{id}.properties"));
        let text = properties_of(arguments, id, &data);
        let name = properties.display().to_string();
        let config = NodeConfig::read(Some((&name, &text)), &[]);
        configs.push(config.map_err(|error| misconfigured(&error))?);
        let file = disk.open(&properties, OpenMode::Create).await?;
        file.set_length(0).await?;
        file.write_all_at(&[io::IoSlice::new(text.as_bytes())], 0).await?;
        members.push(Member {
            id,
            address: format!("127.0.0.1:{}", arguments.port + id - 1),
            properties,
            log: data.join(format!("node-{id}.log")),
        });
    }
    let cluster_id = format_all(runtime, &configs).await?;
    Ok((members, cluster_id))
}

/// All are new, or none: a voter that lost its disk must not vote as if it remembered.
async fn format_all(runtime: &TokioRuntime, configs: &[NodeConfig]) -> Result<ClusterId, Failure> {
    let (mut known, mut new) = (None, Vec::new());
    for config in configs {
        let found = storage_info(runtime, config).await.map_err(|error| not_started(&error))?;
        match found.into_iter().find_map(|one| one.identity) {
            Some((cluster_id, _)) => known = Some(cluster_id),
            None => new.push(config),
        }
    }
    match (known, new.first()) {
        (Some(cluster_id), None) => Ok(cluster_id),
        (Some(cluster_id), Some(config)) => {
            let path = config.log_dirs.first().map(|path| path.display().to_string());
            let path = path.unwrap_or_default();
            let advice = format!(
                "if it may forget what it voted and had: ottla storage format -t {cluster_id} -c {path}.properties; \
                 or begin anew in another directory with --data"
            );
            let what = format!("{path} is not formatted, while others of its cluster are");
            Err(Failure::new(FAILED, what).advise(advice))
        }
        (None, _) => {
            let cluster_id = ClusterId::new(random_uuid_text(runtime));
            for config in new {
                let formatted =
                    format_storage(runtime, config, &cluster_id, &InitialVoters::Unsaid, None)
                        .await;
                formatted.map_err(|error| not_started(&error))?;
            }
            Ok(cluster_id)
        }
    }
}

/// As for a single broker for development, with as many replicas as make a failure bearable.
fn properties_of(arguments: &ClusterArguments, id: u16, data: &Path) -> String {
    let controller = |id: u16| arguments.port + arguments.brokers + id - 1;
    let voters: Vec<String> =
        (1..=arguments.brokers).map(|id| format!("{id}@127.0.0.1:{}", controller(id))).collect();
    let listeners = format!(
        "PLAINTEXT://127.0.0.1:{},CONTROLLER://127.0.0.1:{}",
        arguments.port + id - 1,
        controller(id)
    );
    let replicas = arguments.brokers.min(3).to_string();
    let in_sync = if arguments.brokers < 3 { "1" } else { "2" };
    let log_dirs = data.join(format!("node-{id}")).display().to_string();
    let (node_id, voters) = (id.to_string(), voters.join(","));
    let own = [
        ("process.roles", "broker,controller"),
        ("node.id", &node_id),
        ("listeners", &listeners),
        ("advertised.listeners", &listeners),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("controller.listener.names", "CONTROLLER"),
        ("controller.quorum.voters", &voters),
        ("log.dirs", &log_dirs),
        ("default.replication.factor", &replicas),
        ("min.insync.replicas", in_sync),
        ("offsets.topic.replication.factor", &replicas),
        ("transaction.state.log.replication.factor", &replicas),
        ("transaction.state.log.min.isr", in_sync),
        ("share.coordinator.state.topic.replication.factor", &replicas),
        ("share.coordinator.state.topic.min.isr", in_sync),
        ("group.initial.rebalance.delay.ms", "0"),
    ];
    let is_own = |key: &str| !arguments.overrides.iter().any(|(other, _)| other == key);
    let mut text = "# Written by `ottla dev` whenever it starts.\n".to_owned();
    for (key, value) in own.into_iter().filter(|(key, _)| is_own(key)) {
        text += &format!("{key}={value}\n");
    }
    for (key, value) in &arguments.overrides {
        text += &format!("{key}={value}\n");
    }
    text
}

/// Keeps one member running, or tells that it does not.
struct Keeper {
    runtime: TokioRuntime,
    member: Member,
    each: Vec<String>,
    restart: Option<Duration>,
    news: mpsc::Sender<(u16, News)>,
}

impl Keeper {
    async fn run(self, stop: Stop) {
        loop {
            let (pid, mut child) = match self.start() {
                Ok(started) => started,
                Err(error) => {
                    self.tell(News::Failed(error)).await;
                    return;
                }
            };
            let status = select! {
                () = stop.stopped() => {
                    self.stop(pid, &mut child).await;
                    return;
                }
                status = self.attend(pid, &mut child) => status,
            };
            match status {
                Ok(status) => self.tell(News::Died { pid, status }).await,
                Err(error) => self.tell(News::Failed(error)).await,
            }
            let pause = async {
                match self.restart {
                    Some(after) => self.runtime.sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            select! {
                () = stop.stopped() => return,
                () = pause => {}
            }
        }
    }

    async fn tell(&self, news: News) {
        // Nobody listens once all is over.
        let _ = self.news.send((self.member.id, news)).await;
    }

    fn start(&self) -> io::Result<(u32, Child)> {
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", "--print-ready-json", "--stop-with-parent", "-c"])
            .arg(&self.member.properties)
            .args(&self.each)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(append_to(&self.member.log)?)
            // Ctrl-C is for us: nodes that are stopped all at once should hear it from one.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
        Ok((pid, child))
    }

    /// Says when it serves, and how it ends.
    async fn attend(&self, pid: u32, child: &mut Child) -> io::Result<ExitStatus> {
        if let Some(stdout) = child.stdout.take() {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).await?;
            if !line.is_empty() {
                self.tell(News::Ready { pid }).await;
            }
        }
        child.wait().await
    }

    async fn stop(&self, pid: u32, child: &mut Child) {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            // One that is gone already has stopped.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(&self.runtime, STOP_MAX, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}
