use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::cluster::{self, ClusterArguments};
use super::context::cannot_read;
use super::failure::{FAILED, Failure};
use super::topic::key_value;
use crate::config::NodeConfig;
use crate::environment::tokio::{TokioRuntime, raise_file_limit, stop_with_parent};
use crate::environment::{Disk as _, FileExt as _, OpenMode, Runtime as _, select};
use crate::log::DirectoryError;
use crate::node::{Error, Node};

/// A broker for one person's machine.
#[derive(Debug, Args)]
pub(super) struct DevArguments {
    /// Where to keep data
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Listen for clients on this port of 127.0.0.1, 9092 without, and for controllers on the next
    #[arg(long, conflicts_with = "any_port", value_parser = clap::value_parser!(u16).range(..65_535))]
    port: Option<u16>,
    /// Listen on ports that the system chooses
    #[arg(long)]
    any_port: bool,
    /// Run a cluster of so many brokers, each a process and a controller too, on ports from --port on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=BROKERS_MAX))]
    brokers: u16,
    /// In a cluster, start a broker that died again after so many seconds
    #[arg(long, value_name = "SECONDS")]
    restart: Option<u32>,
    #[command(flatten)]
    common: CommonArguments,
}

/// More controllers than that make no cluster safer, only slower.
const BROKERS_MAX: i64 = 9;

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Kafka's server.properties
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Stop when the process that started this one ends
    #[arg(long, hide = true)]
    stop_with_parent: bool,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Debug, Args)]
struct CommonArguments {
    /// Set a configuration value; may be repeated
    #[arg(long = "override", value_name = "KEY=VALUE", value_parser = key_value)]
    overrides: Vec<(String, String)>,
    /// What to log, such as info or ottla=debug; the variable `RUST_LOG` says the same
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How to log
    #[arg(long, value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
    /// Write one line of JSON to standard output once clients are served
    #[arg(long)]
    print_ready_json: bool,
}

/// How an event is written: always one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// Runs a broker with defaults for development.
pub(super) fn dev(arguments: &DevArguments) -> Result<(), Failure> {
    if arguments.brokers > 1 {
        return dev_cluster(arguments);
    }
    if arguments.restart.is_some() {
        return Err(Failure::usage("--restart is for a cluster: say --brokers, too"));
    }
    let mut overrides = Vec::new();
    let port = if arguments.any_port { Some(0) } else { arguments.port };
    if let Some(port) = port {
        let controller = if port == 0 { 0 } else { port.saturating_add(1) };
        let listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}");
        overrides.push(("listeners".to_owned(), listeners));
        let bootstrap = format!("127.0.0.1:{controller}");
        overrides.push(("controller.quorum.bootstrap.servers".to_owned(), bootstrap));
    }
    overrides.extend(arguments.common.overrides.iter().cloned());
    let data = std::path::absolute(&arguments.data)?;
    let Some(text) = data.to_str() else {
        return Err(Failure::usage("the path of the data directory is not UTF-8"));
    };
    let config = NodeConfig::dev(text, &overrides).map_err(|error| misconfigured(&error))?;
    run(&arguments.common, "warn", async move |_| Ok(config))
}

fn dev_cluster(arguments: &DevArguments) -> Result<(), Failure> {
    let common = &arguments.common;
    let port = arguments.port.unwrap_or(9092);
    // All nodes must know the controllers' ports before any of them runs.
    if arguments.any_port || port > u16::MAX - 2 * arguments.brokers {
        return Err(Failure::usage("the ports of a cluster follow one another: say --port"));
    }
    let mut each = Vec::new();
    if let Some(filter) = &common.log {
        each.extend(["--log".to_owned(), filter.clone()]);
    }
    if common.log_format == LogFormat::Json {
        each.extend(["--log-format".to_owned(), "json".to_owned()]);
    }
    cluster::run(&ClusterArguments {
        data: arguments.data.clone(),
        brokers: arguments.brokers,
        port,
        overrides: common.overrides.clone(),
        each,
        restart: arguments.restart.map(|seconds| Duration::from_secs(seconds.into())),
        is_json: common.print_ready_json,
    })
}

/// Runs a broker from a file.
pub(super) fn serve(arguments: &ServeArguments) -> Result<(), Failure> {
    if arguments.stop_with_parent {
        stop_with_parent()?;
    }
    let path = arguments.config.clone();
    let overrides = arguments.common.overrides.clone();
    run(&arguments.common, "info", async move |runtime| {
        let text = read_text(runtime, &path).await?;
        let name = path.display().to_string();
        NodeConfig::read(Some((&name, &text)), &overrides).map_err(|error| misconfigured(&error))
    })
}

pub(super) async fn read_text(runtime: &TokioRuntime, path: &Path) -> Result<String, Failure> {
    const FILE_BYTES_MAX: u64 = 16 << 20;
    let read = async {
        let file = runtime.disk().open(path, OpenMode::Read).await?;
        file.read_all(FILE_BYTES_MAX).await
    };
    let bytes = read.await.map_err(|error| cannot_read(path, &error))?;
    // Kafka reads ISO 8859-1; what is not UTF-8 was most likely written so.
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
    })
}

pub(super) fn misconfigured(error: &crate::config::Error) -> Failure {
    use crate::config::Error;
    let advice = match error {
        Error::Syntax { .. } => "write one KEY=VALUE in a line, as Kafka's server.properties does",
        Error::UnknownKey { .. } => "correct the key, or leave it out: keys are Kafka's",
        Error::InvalidValue { .. } | Error::Conflict(_) => {
            "correct the value: keys and values mean what they mean in Kafka"
        }
        Error::Missing { .. } => "set it in the file, or with --override KEY=VALUE",
    };
    Failure::new(FAILED, error.to_string()).advise(advice)
}

/// `quiet` is what is logged when nobody says what.
fn start_logging(arguments: &CommonArguments, quiet: &str) -> Result<(), Failure> {
    let filter = match &arguments.log {
        Some(filter) => {
            EnvFilter::try_new(filter).map_err(|error| Failure::usage(format!("--log: {error}")))?
        }
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(quiet)),
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match arguments.log_format {
        LogFormat::Human => {
            subscriber.with_ansi(io::stderr().is_terminal()).with_target(false).init();
        }
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}

fn run(
    arguments: &CommonArguments,
    quiet: &str,
    config: impl AsyncFnOnce(&TokioRuntime) -> Result<NodeConfig, Failure>,
) -> Result<(), Failure> {
    start_logging(arguments, quiet)?;
    match raise_file_limit() {
        Ok(limit) => info!(limit, "files that may be open at once"),
        Err(error) => warn!(%error, "the limit of open files could not be raised"),
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = tokio.block_on(async {
        let runtime = TokioRuntime::new();
        let config = config(&runtime).await?;
        let idle = config.keys_without_effect();
        if !idle.is_empty() {
            info!(keys = idle.join(", "), "these keys are known and have no effect here");
        }
        let data = config.log_dirs.first().cloned().unwrap_or_default();
        // Stopped while it starts, it simply stops: start is recovery.
        let node = select! {
            node = Box::pin(Node::start(runtime, config)) => node.map_err(|error| not_started(&error))?,
            () = told_to_stop() => return Ok(()),
        };
        announce(&node, &data, arguments.print_ready_json)?;
        let is_halted = select! {
            () = told_to_stop() => false,
            () = node.halted() => true,
        };
        select! {
            () = node.shutdown() => {}
            // Told twice: at once, then. The next start recovers.
            () = told_to_stop() => {}
        }
        if is_halted {
            let what = "the node stopped because its disk or its metadata log failed";
            return Err(Failure::new(FAILED, what)
                .advise("the log above says which; repair it and start again"));
        }
        Ok(())
    });
    tokio.shutdown_timeout(Duration::from_millis(200));
    outcome
}

/// SIGINT or SIGTERM.
pub(super) async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

#[derive(Debug, Serialize)]
struct Ready {
    bootstrap: String,
    cluster_id: String,
    data: String,
}

fn announce(node: &Node<TokioRuntime>, data: &Path, is_json: bool) -> Result<(), Failure> {
    let clients = node.addresses().iter().find(|(name, _)| *name != "CONTROLLER");
    let bootstrap = clients.map_or_else(String::new, |(_, address)| address.to_string());
    if is_json {
        let cluster_id = node.cluster_id().to_string();
        let ready = Ready { bootstrap, cluster_id, data: data.display().to_string() };
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &ready).map_err(io::Error::from)?;
        writeln!(out)?;
        out.flush()?;
        return Ok(());
    }
    let mut out = io::stderr().lock();
    writeln!(out, "Ottla serves Kafka clients on {bootstrap}; data is in {}", data.display())?;
    writeln!(out, "  write:  echo hello | ottla produce test -b {bootstrap}")?;
    writeln!(out, "  read:   ottla consume test -b {bootstrap}")?;
    writeln!(out, "  stop:   Ctrl-C")?;
    Ok(())
}

pub(super) fn not_started(error: &Error) -> Failure {
    let advice = match error {
        Error::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
            "another program listens there: stop it, or choose with --port N, --any-port or --override listeners=..."
        }
        Error::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            "choose a port above 1023: those below belong to the system's administrator"
        }
        Error::Listen { .. } => {
            "name an address of this machine: --override listeners=PLAINTEXT://HOST:PORT,CONTROLLER://HOST:PORT"
        }
        Error::Directory(error) => directory_advice(error),
        Error::NotFormatted(_) => {
            "format it: `ottla storage format --cluster-id ID --config FILE`, with the cluster's id"
        }
        Error::NoLogDirectory(_) => {
            "nothing was deleted: mend the disk, or look into the directory with `ottla log dump`"
        }
        Error::ForeignDirectory { .. } => "choose an empty directory with --data or log.dirs",
        Error::Io(_) | Error::Quorum(_) | Error::Metadata(_) => {
            "nothing was changed: keep the directory as it is and look into it with `ottla log dump`"
        }
        Error::Unsupported(_) => "change the configuration",
        Error::Registration(_) => {
            "choose another node.id, or the cluster this directory belongs to"
        }
    };
    Failure::new(FAILED, error.to_string()).advise(advice)
}

const fn directory_advice(error: &DirectoryError) -> &'static str {
    match error {
        DirectoryError::Locked(_) => {
            "a broker runs on this directory already: use it or stop it, or choose another with --data or log.dirs"
        }
        DirectoryError::NotFormatted(_) | DirectoryError::Mismatch { .. } => {
            "choose the directory of this node and this cluster, or an empty one, with --data or log.dirs"
        }
        DirectoryError::Io { .. } => {
            "let this user read and write there, or choose another directory with --data or log.dirs"
        }
    }
}
