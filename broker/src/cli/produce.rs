use std::collections::VecDeque;
use std::io::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use clap::{Args, ValueEnum};

use super::context::{Context, Input};
use super::failure::{FAILED, Failure, PARTLY};
use super::format::Format;
use crate::client::{Acks, Error, Message, Producer, ProducerSettings, Receipt};
use crate::environment::tokio::TokioRuntime;
use crate::model::{PartitionIndex, TopicName};
use crate::record::Compression;

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Args)]
pub(super) struct ProduceArguments {
    /// Where to write
    topic: String,
    /// Read from a file instead of standard input
    file: Option<PathBuf>,
    /// How to read records, such as '%k:%v\n'
    #[arg(short, long, value_name = "FORMAT", default_value = r"%v\n")]
    format: String,
    /// The key of all records
    #[arg(short, long)]
    key: Option<String>,
    /// A header of all records; may be repeated
    #[arg(short = 'H', long = "header", value_name = "KEY:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The partition of all records; without, keys decide, or chance
    #[arg(short, long)]
    partition: Option<i32>,
    /// Compress batches
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none")]
    compression: Codec,
    /// Write records with an empty value as tombstones
    #[arg(short = 'Z', long)]
    tombstone: bool,
    /// Who must have a record: all in-sync replicas, the leader, or nobody
    #[arg(long, default_value = "all")]
    acks: AcksArgument,
    /// Write each record once over retries (with --acks all)
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    idempotent: bool,
    /// Print where each record went: topic, partition, offset
    #[arg(long)]
    receipts: bool,
    /// Say nothing about how many records were written
    #[arg(short, long)]
    quiet: bool,
}

/// A codec, as it is written on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Gzip => Self::Gzip,
            Codec::Snappy => Self::Snappy,
            Codec::Lz4 => Self::Lz4,
            Codec::Zstd => Self::Zstd,
        }
    }
}

/// Acknowledgements, as they are written on the command line; Kafka's numbers are taken too.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum AcksArgument {
    #[value(alias = "-1")]
    All,
    #[value(alias = "1")]
    Leader,
    #[value(alias = "0")]
    None,
}

impl From<AcksArgument> for Acks {
    fn from(acks: AcksArgument) -> Self {
        match acks {
            AcksArgument::All => Self::All,
            AcksArgument::Leader => Self::Leader,
            AcksArgument::None => Self::None,
        }
    }
}

/// Reads `key:value` or `key=value`.
fn header(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once([':', '=']).ok_or_else(|| "expected KEY:VALUE".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) async fn run(context: &mut Context, arguments: ProduceArguments) -> Result<(), Failure> {
    let format = Format::parse(&arguments.format).and_then(|format| {
        format.check_input()?;
        Ok(format)
    });
    let format =
        format.map_err(|why| Failure::usage(format!("--format {:?}: {why}", arguments.format)))?;
    let input = context.input(arguments.file.as_deref()).await?;
    let settings = ProducerSettings {
        acks: arguments.acks.into(),
        is_idempotent: arguments.idempotent,
        compression: arguments.compression.into(),
        delivery_timeout: context.settings().task_timeout,
        ..ProducerSettings::default()
    };
    let producer = Producer::new(context.client(), settings);
    let mut writer =
        Writer { producer, under_way: VecDeque::new(), written: 0, failures: Vec::new() };
    let read = write_all(context, &mut writer, &arguments, &format, input).await;
    writer.settle(context, 0, arguments.receipts).await?;
    read?;
    writer.report(&arguments)
}

async fn write_all(
    context: &mut Context,
    writer: &mut Writer,
    arguments: &ProduceArguments,
    format: &Format,
    mut input: Input,
) -> Result<(), Failure> {
    let template = template(arguments);
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let chunk = input.next().await?;
        let is_end = chunk.is_empty();
        buffer.extend_from_slice(&chunk);
        let mut position = 0;
        while let Some(rest) = buffer.get(position..).filter(|rest| !rest.is_empty()) {
            let parsed = format.read(rest, is_end).map_err(|why| Failure::new(FAILED, why));
            let Some((parsed, length)) = parsed? else { break };
            position += length;
            let mut message = template.clone();
            parsed.apply(&mut message);
            if arguments.tombstone {
                message.value = message.value.filter(|value| !value.is_empty());
            }
            writer.send(message).await?;
            writer.settle(context, UNDER_WAY_MAX, arguments.receipts).await?;
        }
        if is_end {
            return Ok(());
        }
        buffer.drain(..position);
    }
}

/// What all records have in common.
fn template(arguments: &ProduceArguments) -> Message {
    let bytes = |text: &String| Bytes::from(text.clone());
    let headers = arguments.headers.iter().map(|(key, value)| (bytes(key), Some(bytes(value))));
    Message {
        topic: TopicName::from(arguments.topic.as_str()),
        partition: arguments.partition.map(PartitionIndex),
        key: arguments.key.as_ref().map(bytes),
        // A format without %v writes empty values.
        value: Some(Bytes::new()),
        headers: headers.collect(),
        timestamp: None,
    }
}

/// Receipts are looked at once this many are open: memory stays small however long the input is.
const UNDER_WAY_MAX: usize = 100_000;

struct Writer {
    producer: Producer<TokioRuntime>,
    under_way: VecDeque<Receipt>,
    written: u64,
    failures: Vec<Error>,
}

impl Writer {
    async fn send(&mut self, message: Message) -> Result<(), Failure> {
        self.under_way.push_back(self.producer.send(message).await?);
        Ok(())
    }

    /// Waits until no more than `most` records are under way.
    async fn settle(
        &mut self,
        context: &mut Context,
        most: usize,
        must_print: bool,
    ) -> Result<(), Failure> {
        if most == 0 {
            self.producer.flush().await;
        }
        while self.under_way.len() > most {
            let Some(receipt) = self.under_way.pop_front() else { break };
            match receipt.wait().await {
                Ok(delivered) => {
                    self.written += 1;
                    if must_print {
                        let offset = super::table::or_dash(delivered.offset);
                        let partition = &delivered.partition;
                        writeln!(
                            context.out,
                            "{} {} {offset}",
                            partition.topic, partition.partition
                        )?;
                    }
                }
                Err(error) => self.failures.push(error),
            }
        }
        Ok(())
    }

    fn report(self, arguments: &ProduceArguments) -> Result<(), Failure> {
        let failed = self.failures.len();
        let Some(first) = self.failures.into_iter().next() else {
            if !arguments.quiet {
                let records = if self.written == 1 { "record" } else { "records" };
                let mut out = std::io::stderr().lock();
                writeln!(out, "{} {records} written to {}", self.written, arguments.topic)?;
            }
            return Ok(());
        };
        let is_unknown = first.is_outcome_unknown();
        let advice = first.advice();
        let code = if self.written > 0 { PARTLY } else { Failure::from(first.clone()).code() };
        let doubt = if is_unknown { " (some may be written nevertheless)" } else { "" };
        let what = format!(
            "{failed} of {} records were not written{doubt}: {first}",
            self.written + failed as u64
        );
        Err(Failure::new(code, what).advise(advice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_given_as_key_and_value() {
        assert_eq!(header("a:b:c"), Ok(("a".to_owned(), "b:c".to_owned())));
        assert_eq!(header("a=b"), Ok(("a".to_owned(), "b".to_owned())));
        assert!(header("a").is_err());
    }
}
