mod describe;

use std::collections::BTreeMap;
use std::io::Write as _;

use clap::{Args, Subcommand};
use serde::Serialize;

use self::describe::{Describe, describe};
use super::context::Context;
use super::failure::Failure;
use super::offset_argument::OffsetArgument;
use super::table::{OutputFormat, Table, or_dash, write_json};
use crate::client::{Admin, ConfigChange, IsolationLevel, NewTopic, OffsetSpec, Resource, Topic};
use crate::environment::Runtime;
use crate::model::{Offset, TopicName, TopicPartition};

#[derive(Debug, Args)]
pub(super) struct TopicCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List topics
    List(List),
    /// Create topics
    Create(Create),
    /// Describe topics: partitions, leaders, replicas, configuration
    Describe(Describe),
    /// Change the configuration of topics
    Alter(Alter),
    /// Delete topics with all their records
    Delete(Delete),
    /// Give a topic more partitions
    AddPartitions(AddPartitions),
    /// Delete records before an offset
    Trim(Trim),
}

#[derive(Debug, Args)]
struct List {
    /// Show Kafka's own topics too
    #[arg(long)]
    internal: bool,
    /// How to write it
    #[arg(short, long, default_value = "table")]
    output: OutputFormat,
}

#[derive(Debug, Args)]
struct Create {
    /// Names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<TopicNameArgument>,
    /// Partitions; the broker's default without
    #[arg(short, long, value_name = "COUNT")]
    partitions: Option<i32>,
    /// Replicas of each partition; the broker's default without
    #[arg(short, long, value_name = "COUNT")]
    replicas: Option<i16>,
    /// Configuration; may be repeated
    #[arg(short = 'c', long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
    configs: Vec<(String, String)>,
    /// Do nothing when the topic is there already
    #[arg(long)]
    if_not_exists: bool,
}

#[derive(Debug, Args)]
struct Alter {
    /// Names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<TopicNameArgument>,
    /// Set a configuration value; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Go back to the default; may be repeated
    #[arg(short, long, value_name = "KEY")]
    delete: Vec<String>,
    /// Add to a list; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    append: Vec<(String, String)>,
    /// Take away from a list; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    subtract: Vec<(String, String)>,
}

#[derive(Debug, Args)]
struct Delete {
    /// Names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<TopicNameArgument>,
}

#[derive(Debug, Args)]
struct AddPartitions {
    /// Name
    topic: TopicNameArgument,
    /// How many partitions to add
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    num: i32,
}

#[derive(Debug, Args)]
struct Trim {
    /// Name
    topic: TopicNameArgument,
    /// Delete what is before: N, end, @TIME
    #[arg(short, long, value_name = "OFFSET", allow_hyphen_values = true)]
    offset: String,
    /// Partitions, separated by commas; all without
    #[arg(short, long, value_name = "PARTITION", value_delimiter = ',')]
    partitions: Vec<i32>,
}

/// A topic's name, as clap reads it.
pub(super) type TopicNameArgument = String;

/// Reads `key=value`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "expected KEY=VALUE".to_owned())?;
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) async fn run(context: &mut Context, command: TopicCommand) -> Result<(), Failure> {
    let admin = context.admin();
    match command.verb {
        Verb::List(arguments) => list_topics(context, &admin, &arguments).await,
        Verb::Create(arguments) => create(context, &admin, &arguments).await,
        Verb::Describe(arguments) => describe(context, &admin, &arguments).await,
        Verb::Alter(arguments) => alter(context, &admin, &arguments).await,
        Verb::Delete(arguments) => delete(context, &admin, &arguments).await,
        Verb::AddPartitions(arguments) => add_partitions(context, &admin, &arguments).await,
        Verb::Trim(arguments) => trim(context, &admin, &arguments).await,
    }
}

#[derive(Debug, Serialize)]
struct ListedTopic<'a> {
    name: &'a str,
    topic_id: Option<String>,
    internal: bool,
    partitions: usize,
    replicas: usize,
}

async fn list_topics(
    context: &mut Context,
    admin: &Admin<impl Runtime>,
    arguments: &List,
) -> Result<(), Failure> {
    let cluster = admin.list_topics().await?;
    let shown = cluster.topics.values().filter(|topic| arguments.internal || !topic.is_internal);
    let topics: Vec<ListedTopic<'_>> = shown
        .map(|topic| ListedTopic {
            name: topic.name.as_str(),
            topic_id: topic.id.map(|id| id.to_string()),
            internal: topic.is_internal,
            partitions: topic.partitions.len(),
            replicas: topic.partitions.values().next().map_or(0, |p| p.replicas.len()),
        })
        .collect();
    match arguments.output {
        OutputFormat::Json => write_json(&mut context.out, &topics)?,
        OutputFormat::Table => {
            let mut table = Table::new(&["NAME", "PARTITIONS", "REPLICAS"]);
            for topic in topics {
                let counts = [topic.partitions.to_string(), topic.replicas.to_string()];
                let [partitions, replicas] = counts;
                table.row([topic.name.to_owned(), partitions, replicas]);
            }
            table.write(&mut context.out)?;
        }
    }
    Ok(())
}

fn names(topics: &[TopicNameArgument]) -> Vec<TopicName> {
    topics.iter().map(|name| TopicName::from(name.as_str())).collect()
}

/// Says what was done to each topic, and fails for those to which it was not.
pub(super) fn tell_each<K: ToString>(
    context: &mut Context,
    what: &str,
    outcomes: impl IntoIterator<Item = (K, Result<(), Failure>)>,
) -> Result<(), Failure> {
    let mut failures = Vec::new();
    let mut done = 0;
    for (name, outcome) in outcomes {
        match outcome {
            Ok(()) => {
                done += 1;
                writeln!(context.out, "{what} {}", name.to_string())?;
            }
            Err(failure) => failures.push(failure),
        }
    }
    Failure::of_several(failures, done)
}

async fn create(
    context: &mut Context,
    admin: &Admin<impl Runtime>,
    arguments: &Create,
) -> Result<(), Failure> {
    let configs: BTreeMap<String, String> = arguments.configs.iter().cloned().collect();
    let topics: Vec<NewTopic> = names(&arguments.topics)
        .into_iter()
        .map(|name| NewTopic {
            name,
            partition_count: arguments.partitions,
            replication_factor: arguments.replicas,
            configs: configs.clone(),
        })
        .collect();
    let outcomes = admin.create_topics(&topics).await?;
    for (name, _) in outcomes.iter().filter(|(_, outcome)| outcome.is_ok()) {
        // The next command should find it; who cannot wait for that has it made all the same.
        let _ = admin.wait_for_leaders(name).await;
    }
    let is_there = |outcome: &Result<(), crate::client::Error>| {
        let code = outcome.as_ref().err().and_then(crate::client::Error::code);
        arguments.if_not_exists && code == Some(crate::model::ErrorCode::TopicAlreadyExists)
    };
    let outcomes = outcomes.into_iter().filter(|(_, outcome)| !is_there(outcome));
    let outcomes = outcomes.map(|(name, outcome)| (name, outcome.map_err(Failure::from)));
    tell_each(context, "created topic", outcomes)
}

async fn delete(
    context: &mut Context,
    admin: &Admin<impl Runtime>,
    arguments: &Delete,
) -> Result<(), Failure> {
    let outcomes = admin.delete_topics(&names(&arguments.topics)).await?;
    for (name, _) in outcomes.iter().filter(|(_, outcome)| outcome.is_ok()) {
        let _ = admin.wait_until(name, |topic| topic.is_none()).await;
    }
    let outcomes =
        outcomes.into_iter().map(|(name, outcome)| (name, outcome.map_err(Failure::from)));
    tell_each(context, "deleted topic", outcomes)
}

async fn alter(
    context: &mut Context,
    admin: &Admin<impl Runtime>,
    arguments: &Alter,
) -> Result<(), Failure> {
    let pairs = |pairs: &[(String, String)], change: fn(String, String) -> ConfigChange| {
        pairs.iter().map(|(key, value)| change(key.clone(), value.clone())).collect::<Vec<_>>()
    };
    let mut changes = pairs(&arguments.set, ConfigChange::Set);
    changes.extend(arguments.delete.iter().cloned().map(ConfigChange::Delete));
    changes.extend(pairs(&arguments.append, ConfigChange::Append));
    changes.extend(pairs(&arguments.subtract, ConfigChange::Subtract));
    if changes.is_empty() {
        return Err(
            Failure::usage("nothing to change").advise("add --set KEY=VALUE or --delete KEY")
        );
    }
    let mut outcomes = Vec::new();
    for name in names(&arguments.topics) {
        let outcome = admin.alter_configs(&Resource::Topic(name.clone()), &changes).await;
        outcomes.push((name, outcome.map_err(Failure::from)));
    }
    tell_each(context, "changed topic", outcomes)
}

async fn add_partitions(
    context: &mut Context,
    admin: &Admin<impl Runtime>,
    arguments: &AddPartitions,
) -> Result<(), Failure> {
    let topic = the_topic(admin, &arguments.topic).await?;
    let count_before = topic.partitions.len();
    let count = i32::try_from(count_before).unwrap_or(i32::MAX).saturating_add(arguments.num);
    admin.create_partitions(&topic.name, count).await?;
    let has_all = |topic: &Topic| topic.partitions.len() > count_before;
    let _ = admin.wait_until(&topic.name, |topic| topic.is_some_and(has_all)).await;
    writeln!(context.out, "topic {} has {count} partitions", topic.name)?;
    Ok(())
}

/// One topic that must exist.
async fn the_topic(admin: &Admin<impl Runtime>, name: &str) -> Result<Topic, Failure> {
    let name = TopicName::from(name);
    let described = admin.describe_topics(std::slice::from_ref(&name)).await?;
    match described.into_iter().next() {
        Some((_, topic)) => Ok(topic?),
        None => Err(Failure::new(super::failure::NOT_FOUND, format!("topic {name} was not found"))),
    }
}

async fn trim(
    context: &mut Context,
    admin: &Admin<impl Runtime>,
    arguments: &Trim,
) -> Result<(), Failure> {
    let topic = the_topic(admin, &arguments.topic).await?;
    let now = context.runtime.wall_clock();
    let offset = OffsetArgument::parse(&arguments.offset, now).map_err(Failure::usage)?;
    let mut partitions: Vec<TopicPartition> = Vec::new();
    for index in topic.partitions.keys() {
        if arguments.partitions.is_empty() || arguments.partitions.contains(&index.0) {
            partitions.push(TopicPartition { topic: topic.name.clone(), partition: *index });
        }
    }
    if let Some(unknown) = arguments
        .partitions
        .iter()
        .find(|p| !topic.partitions.contains_key(&crate::model::PartitionIndex(**p)))
    {
        return Err(Failure::new(
            super::failure::NOT_FOUND,
            format!("topic {} has no partition {unknown}", topic.name),
        ));
    }
    let ends = Ends::of(admin, &partitions, IsolationLevel::ReadUncommitted).await?;
    let bases = bases(admin, &partitions, offset).await?;
    let before: Vec<(TopicPartition, Option<Offset>)> = partitions
        .into_iter()
        .map(|partition| {
            let (start, end) = ends.of_partition(&partition);
            let offset = offset.resolve(bases.get(&partition).copied().flatten(), start, end);
            (partition, Some(offset))
        })
        .collect();
    let mut table = Table::new(&["PARTITION", "NEW-START", "STATUS"]);
    let mut failures = Vec::new();
    let mut done = 0;
    for (partition, outcome) in admin.delete_records(&before).await {
        match outcome {
            Ok(start) => {
                done += 1;
                table.row([partition.to_string(), start.to_string(), "trimmed".to_owned()]);
            }
            Err(error) => {
                table.row([
                    partition.to_string(),
                    or_dash(None::<i64>),
                    error.code().map_or_else(|| "failed".to_owned(), |code| code.to_string()),
                ]);
                failures.push(Failure::from(error));
            }
        }
    }
    table.write(&mut context.out)?;
    Failure::of_several(failures, done)
}

/// First and next offsets of partitions.
#[derive(Debug, Default)]
pub(super) struct Ends(BTreeMap<TopicPartition, (Offset, Offset)>);

impl Ends {
    pub(super) async fn of(
        admin: &Admin<impl Runtime>,
        partitions: &[TopicPartition],
        isolation: IsolationLevel,
    ) -> Result<Self, Failure> {
        let starts = find(admin, partitions, OffsetSpec::Earliest, isolation).await?;
        let ends = find(admin, partitions, OffsetSpec::Latest, isolation).await?;
        let both = starts.into_iter().map(|(partition, start)| {
            let end = ends.get(&partition).copied().flatten();
            (partition, (start.unwrap_or_default(), end.unwrap_or_default()))
        });
        Ok(Self(both.collect()))
    }

    pub(super) fn of_partition(&self, partition: &TopicPartition) -> (Offset, Offset) {
        self.0.get(partition).copied().unwrap_or_default()
    }
}

/// What the leaders say to an argument, where it needs them.
pub(super) async fn bases(
    admin: &Admin<impl Runtime>,
    partitions: &[TopicPartition],
    argument: OffsetArgument,
) -> Result<BTreeMap<TopicPartition, Option<Offset>>, Failure> {
    match argument.base() {
        Some(spec) => find(admin, partitions, spec, IsolationLevel::ReadUncommitted).await,
        None => Ok(BTreeMap::new()),
    }
}

async fn find(
    admin: &Admin<impl Runtime>,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    isolation: IsolationLevel,
) -> Result<BTreeMap<TopicPartition, Option<Offset>>, Failure> {
    let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let mut found = BTreeMap::new();
    for (partition, outcome) in admin.list_offsets(&wanted, isolation).await {
        found.insert(partition, outcome?.offset);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_given_as_key_and_value() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("a").is_err());
        assert!(key_value("=b").is_err());
    }
}
