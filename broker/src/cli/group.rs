use std::collections::BTreeMap;
use std::io::Write as _;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::context::Context;
use super::failure::Failure;
use super::offset_argument::OffsetArgument;
use super::table::{OutputFormat, Table, or_dash, write_json};
use super::topic::{Ends, bases};
use crate::client::{Admin, GroupDescription, GroupOffset, IsolationLevel};
use crate::environment::Runtime;
use crate::model::{GroupId, Offset, TopicName, TopicPartition};

#[derive(Debug, Args)]
pub(super) struct GroupCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List groups
    List(List),
    /// Describe groups: members, offsets, lag
    Describe(Describe),
    /// Move a group without members to other offsets
    #[command(alias = "reset")]
    Seek(Seek),
    /// Delete groups without members
    Delete(Delete),
    /// Forget where a group stands in topics
    OffsetDelete(OffsetDelete),
}

#[derive(Debug, Args)]
struct List {
    /// How to write it
    #[arg(short, long, default_value = "table")]
    output: OutputFormat,
}

#[derive(Debug, Args)]
struct Describe {
    /// Names
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// How to write it
    #[arg(short, long, default_value = "table")]
    output: OutputFormat,
}

#[derive(Debug, Args)]
struct Seek {
    /// Name
    group: String,
    /// Where to: start, end, N, +N, -N, @TIME
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    to: String,
    /// Topics, separated by commas; without, all that the group has committed
    #[arg(short, long, value_name = "TOPIC", value_delimiter = ',')]
    topics: Vec<String>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How to write it
    #[arg(short, long, default_value = "table")]
    output: OutputFormat,
}

#[derive(Debug, Args)]
struct Delete {
    /// Names
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
}

#[derive(Debug, Args)]
struct OffsetDelete {
    /// Name
    group: String,
    /// Topic, or topic:partition,partition; may be repeated
    #[arg(short, long = "topic", required = true, value_name = "TOPIC[:PARTITIONS]")]
    topics: Vec<String>,
}

pub(super) async fn run(context: &mut Context, command: GroupCommand) -> Result<(), Failure> {
    let admin = context.admin();
    match command.verb {
        Verb::List(arguments) => list(context, &admin, &arguments).await,
        Verb::Describe(arguments) => describe(context, &admin, &arguments).await,
        Verb::Seek(arguments) => seek(context, &admin, &arguments).await,
        Verb::Delete(arguments) => delete(context, &admin, &arguments).await,
        Verb::OffsetDelete(arguments) => offset_delete(context, &admin, &arguments).await,
    }
}

#[derive(Debug, Serialize)]
struct ListedGroup<'a> {
    group: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    protocol_type: &'a str,
    state: &'a str,
}

async fn list(
    context: &mut Context,
    admin: &Admin<impl Runtime>,
    arguments: &List,
) -> Result<(), Failure> {
    let groups = admin.list_groups().await?;
    match arguments.output {
        OutputFormat::Json => {
            let listed = groups.iter().map(|group| ListedGroup {
                group: group.id.as_str(),
                kind: &group.kind,
                protocol_type: &group.protocol_type,
                state: &group.state,
            });
            write_json(&mut context.out, &listed.collect::<Vec<_>>())?;
        }
        OutputFormat::Table => {
            let mut table = Table::new(&["GROUP", "TYPE", "PROTOCOL", "STATE"]);
            let cell = |text: &str| or_dash(Some(text).filter(|text| !text.is_empty()));
            for group in groups {
                let (kind, protocol) = (cell(&group.kind), cell(&group.protocol_type));
                table.row([group.id.to_string(), kind, protocol, cell(&group.state)]);
            }
            table.write(&mut context.out)?;
        }
    }
    Ok(())
}

#[derive(Debug, Serialize)]
struct DescribedGroup {
    group: String,
    #[serde(rename = "type")]
    kind: &'static str,
    state: String,
    assignor: String,
    members: usize,
    total_lag: i64,
    partitions: Vec<DescribedOffset>,
}

#[derive(Debug, Serialize)]
struct DescribedOffset {
    topic: String,
    partition: i32,
    current_offset: Option<i64>,
    log_end_offset: Option<i64>,
    lag: Option<i64>,
    member_id: Option<String>,
    client_id: Option<String>,
    host: Option<String>,
}

async fn describe(
    context: &mut Context,
    admin: &Admin<impl Runtime>,
    arguments: &Describe,
) -> Result<(), Failure> {
    let mut described = Vec::new();
    let mut failures = Vec::new();
    for group in &arguments.groups {
        let id = GroupId::from(group.as_str());
        match admin.describe_group(&id).await {
            Ok(description) => {
                let offsets = admin.group_offsets(&id).await?;
                described.push(with_lag(admin, description, &offsets).await);
            }
            Err(error) => failures.push(error.into()),
        }
    }
    match arguments.output {
        OutputFormat::Json => write_json(&mut context.out, &described)?,
        OutputFormat::Table => {
            for (place, group) in described.iter().enumerate() {
                if place > 0 {
                    writeln!(context.out)?;
                }
                write_described(&mut context.out, group)?;
            }
        }
    }
    Failure::of_several(failures, described.len())
}

/// Joins what members have with what is committed and where the logs end.
async fn with_lag(
    admin: &Admin<impl Runtime>,
    group: GroupDescription,
    offsets: &BTreeMap<TopicPartition, GroupOffset>,
) -> DescribedGroup {
    let owners: BTreeMap<_, _> = group
        .members
        .iter()
        .flat_map(|member| {
            member.assignment.iter().map(move |partition| (partition.clone(), member))
        })
        .collect();
    let mut partitions: Vec<TopicPartition> =
        owners.keys().chain(offsets.keys()).cloned().collect();
    partitions.sort();
    partitions.dedup();
    let wanted: Vec<_> = partitions
        .iter()
        .map(|partition| (partition.clone(), crate::client::OffsetSpec::Latest))
        .collect();
    let ends = admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
    // A topic that is gone has no end, and that is no reason not to show the rest.
    let ends: BTreeMap<_, _> = ends
        .into_iter()
        .filter_map(|(partition, end)| Some((partition, end.ok()?.offset?)))
        .collect();
    let rows = partitions.into_iter().map(|partition| {
        let current = offsets.get(&partition).map(|offset| offset.offset);
        let end = ends.get(&partition).copied();
        let owner = owners.get(&partition);
        DescribedOffset {
            topic: partition.topic.to_string(),
            partition: partition.partition.0,
            current_offset: current.map(Offset::value),
            log_end_offset: end.map(Offset::value),
            lag: current.zip(end).map(|(current, end)| end.distance_from(current).max(0)),
            member_id: owner.map(|member| member.id.to_string()),
            client_id: owner.map(|member| member.client_id.clone()),
            host: owner.map(|member| member.client_host.clone()),
        }
    });
    let rows: Vec<DescribedOffset> = rows.collect();
    DescribedGroup {
        group: group.id.to_string(),
        kind: group.kind,
        state: group.state,
        assignor: group.assignor,
        members: group.members.len(),
        total_lag: rows.iter().filter_map(|row| row.lag).sum(),
        partitions: rows,
    }
}

fn write_described(out: &mut impl std::io::Write, group: &DescribedGroup) -> std::io::Result<()> {
    let mut head = Table::plain();
    head.row(["Group:".to_owned(), group.group.clone()]);
    head.row(["Type:".to_owned(), group.kind.to_owned()]);
    head.row(["State:".to_owned(), group.state.clone()]);
    head.row([
        "Assignor:".to_owned(),
        or_dash(Some(&group.assignor).filter(|name| !name.is_empty())),
    ]);
    head.row(["Members:".to_owned(), group.members.to_string()]);
    head.row(["TotalLag:".to_owned(), group.total_lag.to_string()]);
    head.write(out)?;
    if group.partitions.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let headings = [
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "MEMBER-ID",
        "CLIENT-ID",
        "HOST",
    ];
    let mut table = Table::new(&headings);
    for row in &group.partitions {
        table.row([
            row.topic.clone(),
            row.partition.to_string(),
            or_dash(row.current_offset),
            or_dash(row.log_end_offset),
            or_dash(row.lag),
            or_dash(row.member_id.as_ref()),
            or_dash(row.client_id.as_ref()),
            or_dash(row.host.as_ref()),
        ]);
    }
    table.write(out)
}

#[derive(Debug, Serialize)]
struct Moved {
    topic: String,
    partition: i32,
    prior_offset: Option<i64>,
    new_offset: i64,
}

async fn seek(
    context: &mut Context,
    admin: &Admin<impl Runtime>,
    arguments: &Seek,
) -> Result<(), Failure> {
    let id = GroupId::from(arguments.group.as_str());
    let now = context.runtime.wall_clock();
    let to = OffsetArgument::parse(&arguments.to, now);
    let to = to.map_err(|why| Failure::usage(format!("--to: {why}")))?;
    let prior = admin.group_offsets(&id).await?;
    let partitions = partitions(admin, arguments, &prior).await?;
    let ends = Ends::of(admin, &partitions, IsolationLevel::ReadUncommitted).await?;
    let found = bases(admin, &partitions, to).await?;
    let mut moves = BTreeMap::new();
    for partition in partitions {
        let (start, end) = ends.of_partition(&partition);
        let offset = to.resolve(found.get(&partition).copied().flatten(), start, end);
        moves.insert(partition, offset);
    }
    if !arguments.dry_run {
        admin.set_group_offsets(&id, &moves).await?;
    }
    let moved: Vec<Moved> = moves
        .into_iter()
        .map(|(partition, offset)| Moved {
            prior_offset: prior.get(&partition).map(|prior| prior.offset.value()),
            topic: partition.topic.to_string(),
            partition: partition.partition.0,
            new_offset: offset.value(),
        })
        .collect();
    match arguments.output {
        OutputFormat::Json => write_json(&mut context.out, &moved)?,
        OutputFormat::Table => {
            let mut table = Table::new(&["TOPIC", "PARTITION", "PRIOR-OFFSET", "NEW-OFFSET"]);
            for row in moved {
                let (prior, new) = (or_dash(row.prior_offset), row.new_offset.to_string());
                table.row([row.topic, row.partition.to_string(), prior, new]);
            }
            table.write(&mut context.out)?;
        }
    }
    Ok(())
}

/// All partitions of the named topics, or what the group has committed.
async fn partitions(
    admin: &Admin<impl Runtime>,
    arguments: &Seek,
    committed: &BTreeMap<TopicPartition, GroupOffset>,
) -> Result<Vec<TopicPartition>, Failure> {
    if arguments.topics.is_empty() {
        if committed.is_empty() {
            let what = format!("group {} has committed no offsets", arguments.group);
            return Err(
                Failure::new(super::failure::NOT_FOUND, what).advise("name topics with --topics")
            );
        }
        return Ok(committed.keys().cloned().collect());
    }
    let names: Vec<TopicName> =
        arguments.topics.iter().map(|name| TopicName::from(name.as_str())).collect();
    let mut partitions = Vec::new();
    for (name, topic) in admin.describe_topics(&names).await? {
        let indexes = topic?.partitions.into_keys();
        partitions
            .extend(indexes.map(|partition| TopicPartition { topic: name.clone(), partition }));
    }
    Ok(partitions)
}

async fn delete(
    context: &mut Context,
    admin: &Admin<impl Runtime>,
    arguments: &Delete,
) -> Result<(), Failure> {
    let mut outcomes = Vec::new();
    for group in &arguments.groups {
        let outcome = admin.delete_group(&GroupId::from(group.as_str())).await;
        outcomes.push((group.clone(), outcome.map_err(Failure::from)));
    }
    super::topic::tell_each(context, "deleted group", outcomes)
}

async fn offset_delete(
    context: &mut Context,
    admin: &Admin<impl Runtime>,
    arguments: &OffsetDelete,
) -> Result<(), Failure> {
    let id = GroupId::from(arguments.group.as_str());
    let committed = admin.group_offsets(&id).await?;
    let mut wanted = Vec::new();
    for text in &arguments.topics {
        let (topic, indexes) = parse_topic(text).map_err(Failure::usage)?;
        match indexes {
            Some(indexes) => {
                wanted.extend(indexes.into_iter().map(|index| TopicPartition::new(topic, index)));
            }
            None => wanted.extend(committed.keys().filter(|p| p.topic.as_str() == topic).cloned()),
        }
    }
    if wanted.is_empty() {
        let what = format!("group {id} has committed nothing in these topics");
        return Err(Failure::new(super::failure::NOT_FOUND, what));
    }
    let outcomes = admin.delete_group_offsets(&id, &wanted).await?;
    let outcomes = outcomes
        .into_iter()
        .map(|(partition, outcome)| (partition, outcome.map_err(Failure::from)));
    super::topic::tell_each(context, "deleted offset of", outcomes)
}

/// Reads `topic` or `topic:0,1`.
fn parse_topic(text: &str) -> Result<(&str, Option<Vec<i32>>), String> {
    let Some((topic, partitions)) = text.split_once(':') else { return Ok((text, None)) };
    let index = |text: &str| text.parse::<i32>().map_err(|_| format!("{text:?} is no partition"));
    let indexes: Result<Vec<i32>, String> = partitions.split(',').map(index).collect();
    Ok((topic, Some(indexes?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_described_group_reads_like_this() {
        let group = DescribedGroup {
            group: "billing".to_owned(),
            kind: "classic",
            state: "Stable".to_owned(),
            assignor: "range".to_owned(),
            members: 1,
            total_lag: 10,
            partitions: vec![
                DescribedOffset {
                    topic: "orders".to_owned(),
                    partition: 0,
                    current_offset: Some(90),
                    log_end_offset: Some(100),
                    lag: Some(10),
                    member_id: Some("ottla-1".to_owned()),
                    client_id: Some("ottla".to_owned()),
                    host: Some("/127.0.0.1".to_owned()),
                },
                DescribedOffset {
                    topic: "orders".to_owned(),
                    partition: 1,
                    current_offset: None,
                    log_end_offset: Some(7),
                    lag: None,
                    member_id: None,
                    client_id: None,
                    host: None,
                },
            ],
        };
        let mut out = Vec::new();
        write_described(&mut out, &group).unwrap();
        let expected = "\
Group:     billing
Type:      classic
State:     Stable
Assignor:  range
Members:   1
TotalLag:  10

TOPIC   PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG  MEMBER-ID  CLIENT-ID  HOST
orders  0          90              100             10   ottla-1    ottla      /127.0.0.1
orders  1          -               7               -    -          -          -
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn topics_are_named_with_or_without_partitions() {
        assert_eq!(parse_topic("a"), Ok(("a", None)));
        assert_eq!(parse_topic("a:0,2"), Ok(("a", Some(vec![0, 2]))));
        assert!(parse_topic("a:x").is_err());
    }
}
