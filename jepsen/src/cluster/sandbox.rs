//! Where a run lives: process, network and mount namespaces of its own, so that the kernel takes away everything in them when
//! the run ends, however it ends.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Failure;

/// What makes the namespaces. The program becomes process 1 in there: with it everything dies.
const UNSHARE: &[&str] = &["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// What can be done to nodes here, with the reason where it cannot.
#[derive(Clone, Debug)]
pub(super) struct Abilities {
    /// Addresses, links and small file systems of their own.
    pub(super) namespaces: Result<(), &'static str>,
    /// Packets can be dropped.
    pub(super) filter: Result<(), &'static str>,
    /// Links can be slowed: by delay, or else by rate.
    pub(super) has_netem: bool,
    pub(super) rate: Result<(), &'static str>,
    /// The library that moves a process's clock.
    pub(super) faketime: Result<PathBuf, &'static str>,
}

/// Starts this program again in namespaces of its own; comes back only when that cannot be done, and says why.
pub(super) fn enter() -> &'static str {
    let trial = Command::new("unshare").args(UNSHARE).arg("true").stderr(Stdio::null()).status();
    match trial {
        Ok(status) if status.success() => {}
        Ok(_) => return "namespaces are not allowed here (root may)",
        Err(_) => return "there is no `unshare` here",
    }
    let Ok(program) = std::env::current_exe() else { return "this program cannot find itself" };
    let mut again = Command::new("unshare");
    again.args(UNSHARE).arg("--").arg(program).args(std::env::args_os().skip(1)).arg("--inside");
    let _never_came = again.exec();
    "`unshare` does not start"
}

impl Abilities {
    /// What there is inside of the namespaces.
    pub(super) fn inside() -> Self {
        let names = "the network's filter (`nft`) is not here: jepsen/clients/install";
        let netem = does("tc", &["qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]);
        let rate = netem || does("tc", TBF);
        does("tc", &["qdisc", "del", "dev", "lo", "root"]);
        let filter = does("nft", &["add", "table", "inet", "probe"])
            && does("nft", &["delete", "table", "inet", "probe"]);
        Self {
            namespaces: does("ip", &["link", "show"]).then_some(()).ok_or("there is no `ip` here"),
            filter: filter.then_some(()).ok_or(names),
            has_netem: netem,
            rate: rate.then_some(()).ok_or("this kernel has neither netem nor tbf (`tc`)"),
            faketime: faketime(),
        }
    }

    /// What is left without namespaces.
    pub(super) fn loopback(why: &'static str) -> Self {
        Self {
            namespaces: Err(why),
            filter: Err(why),
            has_netem: false,
            rate: Err(why),
            faketime: faketime(),
        }
    }
}

const TBF: &[&str] = &[
    "qdisc", "add", "dev", "lo", "root", "tbf", "rate", "1mbit", "burst", "16kb", "latency", "1s",
];

fn does(program: &str, words: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Where the packages of Debian and Fedora put it.
fn faketime() -> Result<PathBuf, &'static str> {
    let places =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let found = places.iter().map(|place| PathBuf::from(place).join("faketime/libfaketimeMT.so.1"));
    found.into_iter().find(|path| path.exists()).ok_or(
        "the wall clock belongs to the whole machine, and libfaketime is not here: jepsen/clients/install",
    )
}

/// Runs a command to its end.
pub(super) async fn run(words: &[&str]) -> Result<(), Failure> {
    let (program, rest) = words.split_first().ok_or_else(|| Failure("no command".to_owned()))?;
    let output = tokio::process::Command::new(program).args(rest).stdin(Stdio::null()).output();
    let output = output.await.map_err(|error| Failure(format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failure(format!("{}: {}", words.join(" "), complaint.trim())))
}
