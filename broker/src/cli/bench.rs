//! Measures any Kafka broker: `produce`, `consume`, and `e2e` for the way from producer to consumer.
//!
//! With a rate, the load is *open-loop*: each record has a time at which it should be sent, whether or not the broker keeps
//! up, and its latency counts from then. A driver that waits for the broker before it sends again would leave out just
//! the records that suffer (coordinated omission). With rate 0 the broker is kept as busy as memory and requests in flight
//! allow; latency then counts from the moment a record was handed over, and says more about the queue than the broker.

mod payload;
mod report;
mod schedule;
mod produce;
mod consume;
mod end_to_end;

use std::time::Duration;

use clap::{Args, Subcommand};

use super::context::Context;
use super::failure::Failure;
use super::produce::{AcksArgument, Codec};
use super::table::OutputFormat;
use crate::client::{Acks, Admin, NewTopic, ProducerSettings, Topic};
use crate::environment::tokio::TokioRuntime;
use crate::model::{ErrorCode, TopicName};
use payload::Payload;

#[derive(Debug, Args)]
pub(super) struct BenchCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write records and measure until they are acknowledged
    Produce(Load),
    /// Read records that are there, as fast as they come
    Consume(Drain),
    /// Write and read, and measure from one end to the other
    E2e(Load),
}

#[derive(Clone, Debug, Args)]
struct Target {
    /// The topic; it is made when it does not exist
    #[arg(short, long, default_value = "ottla-bench")]
    topic: String,
    /// Partitions of the topic when it is made
    #[arg(short, long, default_value_t = 1, value_name = "COUNT")]
    partitions: i32,
    /// Replicas of the topic when it is made
    #[arg(short = 'r', long, value_name = "COUNT")]
    replicas: Option<i16>,
    /// How to write the result
    #[arg(short, long, default_value = "table")]
    output: OutputFormat,
}

#[derive(Clone, Debug, Args)]
struct Load {
    #[command(flatten)]
    target: Target,
    /// Records in all
    #[arg(short = 'n', long, value_name = "COUNT", conflicts_with = "seconds")]
    records: Option<u64>,
    /// How long to send; 10 without --records
    #[arg(short, long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Seconds at the beginning that are not measured
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    warmup: u64,
    /// Records per second over all producers; 0 for as many as possible
    #[arg(long, value_name = "PER-SECOND", default_value_t = 0)]
    rate: u64,
    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    size: usize,
    /// What values are made of
    #[arg(long, default_value = "random")]
    payload: Payload,
    /// Give records one of this many keys; 0 for none
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    keys: u64,
    /// Producers, each with connections of its own
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    producers: u32,
    /// Who must have a record: all in-sync replicas, the leader, or nobody
    #[arg(long, default_value = "all")]
    acks: AcksArgument,
    /// Write each record once over retries (with --acks all)
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    idempotent: bool,
    /// Largest batch
    #[arg(long, value_name = "BYTES", default_value_t = 16_384)]
    batch_bytes: usize,
    /// How long a batch waits for company
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 5)]
    linger_ms: u64,
    /// Requests under way to one broker
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    in_flight: usize,
    /// Memory of each producer for records not yet acknowledged
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20)]
    buffer_bytes: usize,
    /// Compress batches
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none")]
    codec: Codec,
}

#[derive(Clone, Debug, Args)]
struct Drain {
    #[command(flatten)]
    target: Target,
    /// End after this many records; without, at the end of the topic
    #[arg(short = 'n', long, value_name = "COUNT")]
    records: Option<u64>,
    /// End after this time at the latest
    #[arg(short, long, value_name = "SECONDS", default_value_t = 600)]
    seconds: u64,
    /// Most bytes of a partition in one answer
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    partition_bytes: i32,
    /// Most bytes of one answer
    #[arg(long, value_name = "BYTES", default_value_t = 50 << 20)]
    fetch_bytes: i32,
}

impl Load {
    fn producer(&self) -> ProducerSettings {
        ProducerSettings {
            acks: Acks::from(self.acks),
            is_idempotent: self.idempotent,
            compression: self.codec.into(),
            batch_bytes: self.batch_bytes,
            linger: Duration::from_millis(self.linger_ms),
            in_flight_max: self.in_flight,
            buffer_bytes: self.buffer_bytes,
            request_bytes_max: (self.batch_bytes + (64 << 10)).max(1 << 20),
            ..ProducerSettings::default()
        }
    }

    /// How many records and how long, whichever comes first.
    fn limits(&self) -> (u64, Duration) {
        match (self.records, self.seconds) {
            (Some(records), _) => (records, Duration::MAX),
            (None, seconds) => {
                (u64::MAX, Duration::from_secs(seconds.unwrap_or(10).saturating_add(self.warmup)))
            }
        }
    }
}

pub(super) async fn run(context: &mut Context, command: BenchCommand) -> Result<(), Failure> {
    match command.verb {
        Verb::Produce(load) => produce::run(context, &load).await,
        Verb::Consume(drain) => consume::run(context, &drain).await,
        Verb::E2e(load) => end_to_end::run(context, &load).await,
    }
}

/// The topic, made when it is not there.
async fn prepare(context: &Context, target: &Target) -> Result<Topic, Failure> {
    let admin: Admin<TokioRuntime> = context.admin();
    let name = TopicName::from(target.topic.as_str());
    let wanted = NewTopic {
        replication_factor: target.replicas,
        ..NewTopic::new(name.clone(), target.partitions)
    };
    for (_, outcome) in admin.create_topics(&[wanted]).await? {
        match outcome {
            Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => {
                return Err(error.into());
            }
            Ok(()) | Err(_) => {}
        }
    }
    admin.wait_for_leaders(&name).await?;
    let described = admin.describe_topics(std::slice::from_ref(&name)).await?;
    match described.into_iter().next() {
        Some((_, topic)) => Ok(topic?),
        None => Err(Failure::new(super::failure::NOT_FOUND, format!("topic {name} was not found"))),
    }
}
