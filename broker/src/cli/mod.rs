//! The command line: a broker, and everything an operator asks of brokers, in one program.
//!
//! Noun, then verb. Data goes to standard output and nothing else does; whatever is for a person only goes to standard
//! error. Each file is one noun; all of them see the world through [`Context`] and speak to brokers through
//! [`client`](crate::client) only.
//!
//! Exit codes are a promise: 0 done; 1 failed; 2 wrong usage; 3 not found; 4 denied; 5 timed out or unreachable; 6 partly
//! done; 130 interrupted.

mod failure;
mod table;
mod context;
mod base64;
mod format;
mod offset_argument;
mod topic;
mod produce;
mod consume;
mod group;
mod log;
mod log_records;
mod bench;
mod server;
mod cluster;
mod storage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::client::Endpoint;
use context::{as_client, offline};
use failure::Failure;

/// A Kafka broker, and the tools for any Kafka broker, in one program.
///
/// Without a command it starts a broker on 127.0.0.1:9092 that keeps its data in ./data.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, max_term_width = 110, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    dev: server::DevArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker for development, or a cluster of them; what happens without a command, too
    Dev(server::DevArguments),
    /// Run a broker from a configuration file
    Serve(server::ServeArguments),
    /// List, create, describe, change and delete topics
    Topic(Client<topic::TopicCommand>),
    /// Write records from standard input or a file
    Produce(Client<produce::ProduceArguments>),
    /// Read records to standard output
    Consume(Client<consume::ConsumeArguments>),
    /// List, describe, move and delete consumer groups
    Group(Client<group::GroupCommand>),
    /// Look into log files, offline
    Log(log::LogArguments),
    /// Format the directories of a node, and ask whom they belong to
    Storage(storage::StorageArguments),
    /// Measure throughput and latency of any Kafka broker
    Bench(Client<bench::BenchCommand>),
}

/// What every command that speaks to brokers takes.
#[derive(Debug, Args)]
struct Client<T: Args> {
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(flatten)]
    command: T,
}

#[derive(Debug, Args)]
struct ConnectionArguments {
    /// Brokers to ask first, separated by commas
    #[arg(
        short = 'b',
        long = "bootstrap",
        visible_alias = "bootstrap-server",
        alias = "brokers",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:9092",
        value_parser = endpoint,
        global = true
    )]
    bootstrap: Vec<Endpoint>,
    /// Give up a task after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, global = true)]
    timeout: u32,
    /// What to call ourselves towards brokers
    #[arg(long, value_name = "NAME", default_value = "ottla", global = true)]
    client_id: String,
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    Endpoint::parse(text).ok_or_else(|| "expected host or host:port".to_owned())
}

/// Does what the arguments say, the program's name first, and says how it went.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output with code 0, misuse to standard error with 2.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let outcome = match cli.command {
        None => server::dev(&cli.dev),
        Some(command) => run_command(command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.code())
        }
    }
}

fn run_command(command: Command) -> Result<(), Failure> {
    match command {
        Command::Dev(arguments) => server::dev(&arguments),
        Command::Serve(arguments) => server::serve(&arguments),
        Command::Topic(it) => {
            as_client(&it.connection, async |context| topic::run(context, it.command).await)
        }
        Command::Produce(it) => {
            as_client(&it.connection, async |context| produce::run(context, it.command).await)
        }
        Command::Consume(it) => {
            as_client(&it.connection, async |context| consume::run(context, it.command).await)
        }
        Command::Group(it) => {
            as_client(&it.connection, async |context| group::run(context, it.command).await)
        }
        Command::Bench(it) => {
            as_client(&it.connection, async |context| bench::run(context, it.command).await)
        }
        Command::Log(arguments) => offline(async |context| log::run(context, arguments).await),
        Command::Storage(arguments) => {
            offline(async |context| storage::run(context, arguments).await)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_parser_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_a_broker_for_development() {
        assert!(parse("ottla").unwrap().command.is_none());
        assert!(parse("ottla --port 9192 --override num.partitions=3").unwrap().command.is_none());
    }

    #[test]
    fn what_people_type_is_understood() {
        for line in [
            "ottla serve -c server.properties --override num.partitions=3",
            "ottla topic list -b a:1,b:2",
            "ottla topic list --bootstrap-server a:1 -o json",
            "ottla topic create a b -p 3 -r 2 -c retention.ms=1000",
            "ottla topic trim a -o @-1h -p 0,1",
            "ottla produce a -k key -H h:x -p 0 -z zstd -Z --acks 0 file.txt",
            "ottla consume a b -o -3 -n 10 -e -f %v",
            "ottla consume a -g group -b a:1",
            "ottla group seek g --to -10 --dry-run",
            "ottla group reset g --to @2026-11-20T10:00Z -t a,b",
            "ottla log dump -r data/a-0",
            "ottla storage random-uuid",
            "ottla storage format -t 3Db5QLSqSZieL3rJBUUegA -c server.properties --standalone",
            "ottla storage format -t 3Db5QLSqSZieL3rJBUUegA -c f -f kraft.version=1 -f a=0 --release-version 4.1-IV0",
            "ottla storage info -c server.properties --override node.id=2",
            "ottla bench produce --rate 1000 --seconds 5 --size 100 --acks 1 -o json",
            "ottla bench e2e -n 1000 --payload json",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn misuse_is_refused() {
        for line in [
            "ottla frobnicate",
            "ottla topic",
            "ottla topic create",
            "ottla topic list -b :1",
            "ottla topic create a -c x",
            "ottla produce",
            "ottla consume a -p 0 -g group",
            "ottla bench produce -n 1 --seconds 1",
            "ottla bench produce --producers 0",
            "ottla storage format -c server.properties",
            "ottla storage format -t x -c server.properties",
            "ottla storage format -t 3Db5QLSqSZieL3rJBUUegA -c f -s -f kraft.version",
            "ottla storage format -t 3Db5QLSqSZieL3rJBUUegA -c f -s -f kraft.version=x",
            "ottla storage format -t 3Db5QLSqSZieL3rJBUUegA -c f -s --release-version 5.0",
            "ottla storage format -t 3Db5QLSqSZieL3rJBUUegA -c f -s -I 1@c:1:3Db5QLSqSZieL3rJBUUegA",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
