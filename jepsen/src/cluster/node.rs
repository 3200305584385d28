//! One node: its directory, its process.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::network::Place;
use super::sandbox::{Abilities, run};
use crate::Failure;

/// What all nodes of a run have in common.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) binary: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) node_count: usize,
    pub(super) abilities: Abilities,
    /// The first port of nodes that share an address.
    pub(super) port: u16,
    /// Whether clocks can be moved: costs a library in every process.
    pub(super) moves_clocks: bool,
    /// How much a node's file system holds, in bytes.
    pub(super) disk_bytes: u64,
}

impl Plan {
    pub(super) fn has_namespaces(&self) -> bool {
        self.abilities.namespaces.is_ok()
    }

    /// Where clients, and where controllers find a node.
    fn addresses(&self, node: usize) -> (String, String) {
        if self.has_namespaces() {
            let host = Place::Node(node).address();
            return (format!("{host}:9092"), format!("{host}:9093"));
        }
        let first = usize::from(self.port) + 2 * node;
        (format!("127.0.0.1:{first}"), format!("127.0.0.1:{}", first + 1))
    }

    /// Where clients find the nodes.
    pub(super) fn bootstrap(&self) -> Vec<String> {
        (0..self.node_count).map(|node| self.addresses(node).0).collect()
    }

    fn properties(&self, node: usize, home: &Path) -> String {
        let (clients, controllers) = self.addresses(node);
        let listeners = format!("PLAINTEXT://{clients},CONTROLLER://{controllers}");
        let voter = |node| format!("{}@{}", node + 1, self.addresses(node).1);
        let voters: Vec<String> = (0..self.node_count).map(voter).collect();
        let own = [
            format!("node.id={}", node + 1),
            format!("listeners={listeners}"),
            format!("advertised.listeners={listeners}"),
            format!("controller.quorum.voters={}", voters.join(",")),
            format!("log.dirs={}", home.join("data").display()),
            format!("metadata.log.dir={}", home.join("metadata").display()),
        ];
        own.join("\n") + "\n" + SETTINGS
    }
}

/// Sessions end within a run's faults, and segments roll.
const SETTINGS: &str = "process.roles=broker,controller
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=4000
log.segment.bytes=4194304
log.index.interval.bytes=512
";

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) number: usize,
    plan: Plan,
    home: PathBuf,
    child: Option<Child>,
    is_paused: bool,
}

/// The longest that an orderly end may take.
const STOP_MAX: Duration = Duration::from_secs(30);

impl Node {
    /// Makes a node's directory and formats it.
    pub(super) async fn make(plan: &Plan, number: usize, cluster: &str) -> Result<Self, Failure> {
        let home = plan.directory.join(format!("node{}", number + 1));
        fs::create_dir_all(&home)?;
        let node = Self { number, plan: plan.clone(), home, child: None, is_paused: false };
        if plan.has_namespaces() {
            let size = format!("size={}", plan.disk_bytes);
            let home = node.home.display().to_string();
            run(&["mount", "-t", "tmpfs", "-o", &size, "jepsen", &home]).await?;
        }
        fs::write(node.file("properties"), plan.properties(number, &node.home))?;
        node.set_clock(0)?;
        let (binary, file) = (plan.binary.display().to_string(), node.file("properties"));
        let file = file.display().to_string();
        run(&[&binary, "storage", "format", "-t", cluster, "-c", &file]).await?;
        Ok(node)
    }

    /// A file beside the node's directory, not on its disk.
    fn file(&self, what: &str) -> PathBuf {
        self.plan.directory.join(format!("node{}.{what}", self.number + 1))
    }

    /// Where its partitions are.
    pub(super) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// What it has written to standard error, over all its lives.
    pub(super) fn log(&self) -> PathBuf {
        self.file("log")
    }

    /// Starts the process, if there is none.
    pub(super) fn start(&mut self) -> Result<(), Failure> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut words = if self.plan.has_namespaces() {
            Place::Node(self.number).prefix()
        } else {
            // Without a process namespace to end with us, it dies with the thread that started it.
            ["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned).to_vec()
        };
        words.push(self.plan.binary.display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("serve").arg("-c").arg(self.file("properties"));
        if let (true, Ok(library)) = (self.plan.moves_clocks, &self.plan.abilities.faketime) {
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", self.file("clock"));
            command.env("FAKETIME_CACHE_DURATION", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            command.env("FAKETIME_DONT_RESET", "1");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(log));
        self.child = Some(command.kill_on_drop(true).spawn()?);
        self.is_paused = false;
        Ok(())
    }

    /// SIGKILL; nothing when there is no process.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        if let Some(mut child) = self.child.take() {
            child.start_kill()?;
            child.wait().await?;
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL when that takes too long. Says whether it ended in order.
    pub(super) async fn stop(&mut self) -> Result<bool, Failure> {
        self.signal(Signal::TERM)?;
        let Some(child) = &mut self.child else { return Ok(true) };
        let is_orderly = tokio::time::timeout(STOP_MAX, child.wait()).await.is_ok();
        self.kill().await?;
        Ok(is_orderly)
    }

    /// SIGSTOP.
    pub(super) fn pause(&mut self) -> Result<(), Failure> {
        self.is_paused = true;
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub(super) fn go_on(&mut self) -> Result<(), Failure> {
        self.is_paused = false;
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let id = self.child.as_ref().and_then(Child::id);
        let id = id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        match id.map(|id| kill_process(id, signal)) {
            Some(Err(error)) => Err(io::Error::from(error).into()),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// What it said last, when the process has ended though nobody ended it.
    pub(super) fn ended_by_itself(&mut self) -> Result<Option<String>, Failure> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let Some(status) = child.try_wait()? else { return Ok(None) };
        self.child = None;
        let log = fs::read(self.log())?;
        let log = String::from_utf8_lossy(&log);
        let mut last: Vec<&str> = log.lines().rev().take(LAST_LINES).collect();
        last.reverse();
        let number = self.number + 1;
        Ok(Some(format!("node {number} ended by itself, {status}: {}", last.join(" | "))))
    }

    /// Moves the node's clock to so many seconds from the machine's.
    pub(super) fn set_clock(&self, seconds: i64) -> Result<(), Failure> {
        Ok(fs::write(self.file("clock"), format!("{seconds:+}\n"))?)
    }

    /// Its file system holds what it has, and about so many bytes more.
    pub(super) async fn leave_room(&self, bytes: u64) -> Result<(), Failure> {
        let mut room = bytes;
        loop {
            let stat = rustix::fs::statvfs(&self.home).map_err(io::Error::from)?;
            let used = stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_frsize;
            match self.resize(used + room).await {
                // It has grown meanwhile.
                Err(_) if room < ROOM_MAX => room += ROOM_STEP,
                outcome => return outcome,
            }
        }
    }

    /// Its file system is as large as at first.
    pub(super) async fn make_room(&self) -> Result<(), Failure> {
        self.resize(self.plan.disk_bytes).await
    }

    async fn resize(&self, bytes: u64) -> Result<(), Failure> {
        let (size, home) = (format!("remount,size={bytes}"), self.home.display().to_string());
        run(&["mount", "-o", &size, &home]).await
    }

    /// All partitions are gone; the metadata log, on another disk, stays.
    pub(super) fn wipe(&self) -> Result<(), Failure> {
        Ok(fs::remove_dir_all(self.data())?)
    }

    /// How many bytes of partitions it has.
    pub(super) fn held_bytes(&self) -> Result<u64, Failure> {
        let mut bytes = 0;
        for partition in fs::read_dir(self.data())? {
            let partition = partition?.path();
            if !partition.is_dir() {
                continue;
            }
            for file in fs::read_dir(partition)? {
                let file = file?;
                if file.path().extension().is_some_and(|end| end == "log") {
                    bytes += file.metadata()?.len();
                }
            }
        }
        Ok(bytes)
    }

    /// Lines of its log that tell of a panic.
    pub(super) fn panics(&self) -> Result<Vec<String>, Failure> {
        let text = fs::read(self.log())?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect())
    }

    /// Gives its file system back.
    pub(super) async fn unmount(&self) -> Result<(), Failure> {
        if !self.plan.has_namespaces() {
            return Ok(());
        }
        let home = self.home.display().to_string();
        run(&["umount", &home]).await
    }

    /// Copies its disk, which goes with the namespaces, to where it stays.
    pub(super) async fn keep(&self) -> Result<(), Failure> {
        if !self.plan.has_namespaces() {
            return Ok(());
        }
        let (from, to) = (self.home.display().to_string(), self.file("kept").display().to_string());
        run(&["cp", "-r", &from, &to]).await
    }
}

const LAST_LINES: usize = 3;
/// What a node may write while somebody looks how much it has, and when that is no explanation any more.
const ROOM_STEP: u64 = 256 << 10;
const ROOM_MAX: u64 = 16 << 20;
