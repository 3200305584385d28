//! Real processes, real faults: starts `ottla`, does to it what the world does, and judges what it says afterwards.
//!
//! - `jepsen kill9`: SIGKILL at any moment, also during recovery; nothing acknowledged is lost, doubled or moved;
//! - `jepsen hostile`: frames of every kind of nonsense; the broker neither dies, nor grows, nor stops serving;
//! - `jepsen cluster`: nodes in networks of their own, other people's clients, and every fault that this machine allows;
//! - `jepsen judge`: a history that one of them or the simulator has written, judged again;
//! - `jepsen export`: such a history as operations of `jepsen.tests.kafka`.
//!
//! Source of the method: Jepsen (histories recorded by clients, judged after the fact).

mod random;
mod judge;
mod broker;
mod workload;
mod kill9;
mod hostile;
mod cluster;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Real processes, real faults
#[derive(Debug, Parser)]
#[command(name = "jepsen")]
struct Arguments {
    #[command(subcommand)]
    test: Test,
}

#[derive(Debug, Subcommand)]
enum Test {
    /// Kill the broker again and again, and account for every record
    Kill9(kill9::Kill9Arguments),
    /// Send the broker every kind of nonsense
    Hostile(hostile::HostileArguments),
    /// Do to a cluster all that can be done to one, under clients of several families
    Cluster(cluster::ClusterArguments),
    /// Judge a history that was written before
    Judge(judge::JudgeArguments),
    /// Write such a history as operations of jepsen.tests.kafka, in EDN
    Export(judge::ExportArguments),
}

/// Why a test could not be brought to its end.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Writes a line to standard output.
macro_rules! say {
    ($($words:tt)*) => { println!($($words)*) };
}
pub(crate) use say;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|tokio| match arguments.test {
            Test::Kill9(arguments) => tokio.block_on(Box::pin(kill9::run(arguments))),
            Test::Hostile(arguments) => tokio.block_on(Box::pin(hostile::run(arguments))),
            Test::Cluster(arguments) => tokio.block_on(Box::pin(cluster::run(arguments))),
            Test::Judge(arguments) => judge::run(&arguments),
            Test::Export(arguments) => judge::export(&arguments),
        });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Failure(why)) => {
            say!("FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}
