//! A real broker process: started, watched, killed.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ottla::client::{Admin, Client, Endpoint, Settings};
use ottla::environment::tokio::TokioRuntime;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Failure;

/// Where a broker lives, and how to start it there.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    binary: PathBuf,
    directory: PathBuf,
    port: u16,
}

/// A broker process; killed on drop.
#[derive(Debug)]
pub(crate) struct Broker {
    child: Child,
    pub(crate) pid: u32,
    started: Instant,
}

/// The longest that a start may take.
const START_MAX: Duration = Duration::from_secs(60);

/// The longest that a broker which serves may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

impl Home {
    /// A fresh home in the folder for temporary files, with more settings as lines of a properties file.
    pub(crate) fn new(
        binary: Option<PathBuf>,
        port: u16,
        name: &str,
        settings: &[&str],
    ) -> Result<Self, Failure> {
        let binary = match binary {
            Some(binary) => binary,
            None => std::env::current_exe()?.with_file_name("ottla"),
        };
        if !binary.exists() {
            let binary = binary.display();
            return Err(Failure(format!(
                "there is no {binary}: build it, or name another by --binary"
            )));
        }
        let directory = std::env::temp_dir().join(format!("jepsen-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let home = Self { binary, directory, port };
        fs::write(home.directory.join("server.properties"), home.properties(settings))?;
        Ok(home)
    }

    fn properties(&self, settings: &[&str]) -> String {
        let (port, controller) = (self.port, self.port.saturating_add(1));
        let listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}");
        let own = [
            "process.roles=broker,controller".to_owned(),
            "node.id=1".to_owned(),
            format!("listeners={listeners}"),
            format!("advertised.listeners={listeners}"),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            "controller.listener.names=CONTROLLER".to_owned(),
            format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller}"),
            format!("log.dirs={}", self.data().display()),
            "offsets.topic.replication.factor=1".to_owned(),
            "transaction.state.log.replication.factor=1".to_owned(),
            "transaction.state.log.min.isr=1".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
        ];
        let all: Vec<&str> =
            own.iter().map(String::as_str).chain(settings.iter().copied()).collect();
        all.join("\n") + "\n"
    }

    /// Where the data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// What the broker has written to standard error, over all its lives.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("broker.log")
    }

    /// Where clients connect.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new("127.0.0.1", self.port)
    }

    /// The program.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Everything, for those who want to look.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Starts a broker; it does not serve yet.
    pub(crate) fn start(&self) -> io::Result<Broker> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let child = Command::new(&self.binary)
            .arg("serve")
            .arg("-c")
            .arg(self.directory.join("server.properties"))
            .arg("--print-ready-json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
        Ok(Broker { child, pid, started: Instant::now() })
    }

    /// Waits until the broker says that it serves and answers, and says how long that took since its start.
    pub(crate) async fn until_serving(&self, broker: &mut Broker) -> Result<Duration, Failure> {
        let mut ready = String::new();
        if let Some(stdout) = broker.child.stdout.take() {
            let mut lines = BufReader::new(stdout);
            let line = tokio::time::timeout(START_MAX, lines.read_line(&mut ready)).await;
            line.map_err(|_| Failure("the broker does not come to serve".to_owned()))??;
        }
        if ready.is_empty() {
            let status = broker.child.wait().await?;
            return Err(Failure(format!("the broker ended while it started: {status}")));
        }
        let mut settings = Settings::new(vec![self.endpoint()]);
        settings.task_timeout = ANSWER_MAX;
        let admin = Admin::new(Client::new(TokioRuntime::new(), settings));
        let answer = admin.describe_cluster().await;
        answer.map_err(|error| Failure(format!("the broker does not serve: {error}")))?;
        Ok(broker.started.elapsed())
    }

    /// Lines of the broker's log that tell of a panic.
    pub(crate) fn panics(&self) -> io::Result<Vec<String>> {
        let text = fs::read(self.log())?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect())
    }

    /// Deletes everything.
    pub(crate) fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(self.directory)
    }
}

impl Broker {
    /// SIGKILL, and waits until the process is gone.
    ///
    /// # Errors
    ///
    /// When it was gone already: nobody but us may end it.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        self.check_alive()?;
        self.child.start_kill()?;
        self.child.wait().await?;
        Ok(())
    }

    /// An error when the process has ended by itself.
    pub(crate) fn check_alive(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(Failure(format!("the broker ended by itself: {status}"))),
        }
    }
}

/// Bytes of memory that a process holds now (`VmRSS`); `None` when it has ended.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
