use std::collections::BTreeMap;
use std::io::Write as _;

use clap::Args;
use serde::Serialize;

use super::{TopicNameArgument, names};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::table::{OutputFormat, Table, list, or_dash, write_json};
use crate::client::{
    Admin, ConfigEntry, ConfigSource, IsolationLevel, OffsetSpec, Resource, Topic,
};
use crate::environment::Runtime;
use crate::model::TopicPartition;

#[derive(Debug, Args)]
pub(super) struct Describe {
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

pub(super) async fn describe(
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
}
