use std::collections::BTreeMap;
use std::io::Write as _;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::context::Context;
use super::failure::Failure;
use super::offset_argument::OffsetArgument;
use super::table::{OutputFormat, Table, list, or_dash, write_json};
use crate::client::{
    Admin, ConfigChange, ConfigEntry, ConfigSource, IsolationLevel, NewTopic, OffsetSpec, Resource,
    Topic,
};
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
struct Describe {
    /// Names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<TopicNameArgument>,
    /// Show all configuration, not only what differs from the default
    #[arg(short, long)]
    all_configs: bool,
    /// How to write it
    #[arg(short, long, default_value = "table")]
    output: OutputFormat,
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

#[derive(Debug, Serialize)]
struct DescribedTopic {
    name: String,
    topic_id: Option<String>,
    internal: bool,
    partitions: Vec<DescribedPartition>,
    configs: Vec<DescribedConfig>,
}

#[derive(Debug, Serialize)]
struct DescribedPartition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: Option<i32>,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    offline: Vec<i32>,
    start_offset: Option<i64>,
    end_offset: Option<i64>,
}

#[derive(Debug, Serialize)]
struct DescribedConfig {
    name: String,
    value: Option<String>,
    source: &'static str,
}

async fn describe(
    context: &mut Context,
    admin: &Admin<impl Runtime>,
    arguments: &Describe,
) -> Result<(), Failure> {
    let mut described = Vec::new();
    let mut failures = Vec::new();
    for (name, topic) in admin.describe_topics(&names(&arguments.topics)).await? {
        match topic {
            Ok(topic) => {
                let configs = admin.describe_configs(&Resource::Topic(name)).await?;
                described.push(describe_one(admin, topic, configs, arguments.all_configs).await);
            }
            Err(error) => failures.push(error.into()),
        }
    }
    match arguments.output {
        OutputFormat::Json => write_json(&mut context.out, &described)?,
        OutputFormat::Table => {
            for (place, topic) in described.iter().enumerate() {
                if place > 0 {
                    writeln!(context.out)?;
                }
                write_described(&mut context.out, topic)?;
            }
        }
    }
    Failure::of_several(failures, described.len())
}

async fn describe_one(
    admin: &Admin<impl Runtime>,
    topic: Topic,
    configs: Vec<ConfigEntry>,
    is_complete: bool,
) -> DescribedTopic {
    let of = |index| TopicPartition { topic: topic.name.clone(), partition: index };
    // A partition without a leader cannot tell its offsets, and is not waited for.
    let alive = topic.partitions.iter().filter(|(_, partition)| partition.leader.is_some());
    let mut wanted = Vec::new();
    for (index, _) in alive {
        wanted.push((of(*index), OffsetSpec::Earliest));
    }
    let find = async |wanted: &[(TopicPartition, OffsetSpec)]| {
        let found = admin.list_offsets(wanted, IsolationLevel::ReadUncommitted).await;
        let known =
            found.into_iter().filter_map(|(p, outcome)| Some((p, outcome.ok()?.offset?.value())));
        known.collect::<BTreeMap<_, _>>()
    };
    let starts = find(&wanted).await;
    wanted.iter_mut().for_each(|(_, spec)| *spec = OffsetSpec::Latest);
    let ends = find(&wanted).await;
    let partitions = topic.partitions.iter().map(|(index, partition)| DescribedPartition {
        partition: index.0,
        leader: partition.leader.map(|id| id.0),
        leader_epoch: partition.leader_epoch.map(crate::model::LeaderEpoch::value),
        replicas: partition.replicas.iter().map(|id| id.0).collect(),
        isr: partition.in_sync.iter().map(|id| id.0).collect(),
        offline: partition.offline.iter().map(|id| id.0).collect(),
        start_offset: starts.get(&of(*index)).copied(),
        end_offset: ends.get(&of(*index)).copied(),
    });
    let shown = |entry: &ConfigEntry| is_complete || entry.source == ConfigSource::Topic;
    let configs = configs.into_iter().filter(shown).map(|entry| DescribedConfig {
        name: entry.name,
        value: entry.value,
        source: entry.source.name(),
    });
    DescribedTopic {
        partitions: partitions.collect(),
        name: topic.name.to_string(),
        topic_id: topic.id.map(|id| id.to_string()),
        internal: topic.is_internal,
        configs: configs.collect(),
    }
}

fn write_described(out: &mut impl std::io::Write, topic: &DescribedTopic) -> std::io::Result<()> {
    let mut head = Table::plain();
    let replicas = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
    head.row(["Topic:".to_owned(), topic.name.clone()]);
    head.row(["TopicId:".to_owned(), or_dash(topic.topic_id.as_ref())]);
    head.row(["Partitions:".to_owned(), topic.partitions.len().to_string()]);
    head.row(["Replicas:".to_owned(), replicas.to_string()]);
    head.write(out)?;
    writeln!(out)?;
    let mut table =
        Table::new(&["PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "OFFLINE", "START", "END"]);
    for partition in &topic.partitions {
        table.row([
            partition.partition.to_string(),
            partition.leader.map_or_else(|| "none".to_owned(), |id| id.to_string()),
            or_dash(partition.leader_epoch),
            list(&partition.replicas),
            list(&partition.isr),
            list(&partition.offline),
            or_dash(partition.start_offset),
            or_dash(partition.end_offset),
        ]);
    }
    table.write(out)?;
    if topic.configs.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(&["CONFIG", "VALUE", "SOURCE"]);
    for config in &topic.configs {
        table.row([config.name.clone(), or_dash(config.value.as_ref()), config.source.to_owned()]);
    }
    table.write(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_described_topic_reads_like_this() {
        let topic = DescribedTopic {
            name: "orders".to_owned(),
            topic_id: Some("AAAAAAAAAAAAAAAAAAAAAQ".to_owned()),
            internal: false,
            partitions: vec![
                DescribedPartition {
                    partition: 0,
                    leader: Some(1),
                    leader_epoch: Some(4),
                    replicas: vec![1, 2],
                    isr: vec![1],
                    offline: vec![2],
                    start_offset: Some(0),
                    end_offset: Some(1500),
                },
                DescribedPartition {
                    partition: 1,
                    leader: None,
                    leader_epoch: Some(12),
                    replicas: vec![2],
                    isr: vec![],
                    offline: vec![2],
                    start_offset: None,
                    end_offset: None,
                },
            ],
            configs: vec![DescribedConfig {
                name: "retention.ms".to_owned(),
                value: Some("1000".to_owned()),
                source: "DYNAMIC_TOPIC_CONFIG",
            }],
        };
        let mut out = Vec::new();
        write_described(&mut out, &topic).unwrap();
        let expected = "\
Topic:       orders
TopicId:     AAAAAAAAAAAAAAAAAAAAAQ
Partitions:  2
Replicas:    2

PARTITION  LEADER  EPOCH  REPLICAS  ISR  OFFLINE  START  END
0          1       4      1,2       1    2        0      1500
1          none    12     2         -    2        -      -

CONFIG        VALUE  SOURCE
retention.ms  1000   DYNAMIC_TOPIC_CONFIG
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn configuration_is_given_as_key_and_value() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("a").is_err());
        assert!(key_value("=b").is_err());
    }
}
