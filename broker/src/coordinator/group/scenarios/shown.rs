//! How scripts show what comes of their commands.

use std::fmt::Write as _;

use bytes::Bytes;
use uuid::Uuid;

use crate::coordinator::group::{
    CommittedOffset, FetchedPartition, GroupRecord, GroupReply, JoinOutcome, PartitionOutcomes,
    StoredGroup,
};
use crate::model::{ErrorCode, MemberId, TopicName};

/// `a~7` for `a-00000000-0000-0000-0000-000000000007`.
fn short(id: &MemberId) -> String {
    let text = id.as_str();
    match text.len().checked_sub(37).and_then(|at| text.split_at_checked(at)) {
        Some((name, tail)) => match Uuid::parse_str(tail.trim_start_matches('-')) {
            Ok(uuid) => format!("{name}~{}", uuid.as_u128()),
            Err(_) => text.to_owned(),
        },
        None => text.to_owned(),
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What was written.
pub(super) fn shown_record(record: &GroupRecord) -> String {
    match record {
        GroupRecord::Offset { group, topic, partition, value } => {
            format!(
                "offset {group} {topic}:{partition} {}",
                value.as_ref().map_or("deleted".into(), shown_offset)
            )
        }
        GroupRecord::Group { group, value } => {
            format!("group {group} {}", value.as_ref().map_or("deleted".into(), shown_group))
        }
    }
}

fn shown_offset(value: &CommittedOffset) -> String {
    let mut shown = value.offset.to_string();
    if let Some(epoch) = value.leader_epoch {
        write!(shown, "@{epoch}").expect("a string");
    }
    if !value.metadata.is_empty() {
        write!(shown, "!{}", value.metadata).expect("a string");
    }
    write!(shown, " at={}", value.commit_timestamp).expect("a string");
    if let Some(expires) = value.expire_timestamp {
        write!(shown, " expires={expires}").expect("a string");
    }
    shown
}

fn shown_group(value: &StoredGroup) -> String {
    let members: Vec<String> = value
        .members
        .iter()
        .map(|member| {
            let instance = member.instance_id.as_ref().map_or(String::new(), |id| format!("/{id}"));
            format!("{}{instance}={}", short(&member.member_id), text(&member.assignment))
        })
        .collect();
    format!(
        "generation={} type={:?} protocol={} leader={} since={} members=[{}]",
        value.generation,
        value.protocol_type,
        value.protocol_name.as_deref().unwrap_or("none"),
        value.leader.as_ref().map_or("none".into(), short),
        value.state_since.map_or("none".into(), |at| at.to_string()),
        members.join(" ")
    )
}

fn shown_outcomes(outcomes: &PartitionOutcomes) -> String {
    let shown = outcomes.iter().flat_map(|(topic, partitions)| {
        partitions.iter().map(move |(partition, error)| format!("{topic}:{partition}={error}"))
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn shown_fetched(topic: &TopicName, fetched: &FetchedPartition) -> String {
    let offset = fetched.offset.map_or("none".into(), |offset| offset.to_string());
    let epoch = fetched.leader_epoch.map_or(String::new(), |epoch| format!("@{epoch}"));
    let note =
        if fetched.metadata.is_empty() { String::new() } else { format!("!{}", fetched.metadata) };
    let error = if fetched.error == ErrorCode::None {
        String::new()
    } else {
        format!(" ({})", fetched.error)
    };
    format!("{topic}:{}={offset}{epoch}{note}{error}", fetched.partition)
}

/// What was answered.
pub(super) fn shown_reply(reply: &GroupReply) -> String {
    match reply {
        GroupReply::Join(JoinOutcome::MemberIdRequired(id)) => {
            format!("come again as {}", short(id))
        }
        GroupReply::Join(JoinOutcome::Joined(joined)) => {
            let members: Vec<String> =
                joined.members.iter().map(|member| short(&member.member_id)).collect();
            format!(
                "joined generation={} as={} leader={} protocol={}{}{}",
                joined.generation,
                short(&joined.member_id),
                short(&joined.leader),
                joined.protocol_name.as_deref().unwrap_or("none"),
                if members.is_empty() {
                    String::new()
                } else {
                    format!(" members=[{}]", members.join(" "))
                },
                if joined.skip_assignment { " skip-assignment" } else { "" },
            )
        }
        GroupReply::Synced(synced) => format!("assigned {:?}", text(&synced.assignment)),
        GroupReply::Left(members) => {
            let shown = members.iter().map(|(member, error)| {
                let id = member.member_id.as_ref().map_or(String::new(), short);
                let instance =
                    member.instance_id.as_ref().map_or(String::new(), |id| format!("/{id}"));
                format!("{id}{instance}={error}")
            });
            format!("left {}", shown.collect::<Vec<_>>().join(" "))
        }
        GroupReply::Partitions(outcomes) => shown_outcomes(outcomes),
        GroupReply::Fetched(topics) => {
            let shown = topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|fetched| shown_fetched(&topic.topic, fetched))
            });
            format!("fetched {}", shown.collect::<Vec<_>>().join(" "))
        }
        GroupReply::Described(None) => "no such group".into(),
        GroupReply::Described(Some(group)) => {
            let members = group.members.iter().map(|member| {
                let subscription =
                    if member.metadata.is_empty() { "" } else { " with subscription" };
                format!("{}={}{subscription}", short(&member.member_id), text(&member.assignment))
            });
            let members: Vec<String> = members.collect();
            format!(
                "{} type={:?} protocol={:?} members=[{}]",
                group.state,
                group.protocol_type,
                group.protocol_name,
                members.join(", ")
            )
        }
        GroupReply::Listed(groups) => {
            let shown = groups
                .iter()
                .map(|group| format!("{}({}, {})", group.group, group.state, group.group_type));
            format!("listed {}", shown.collect::<Vec<_>>().join(" "))
        }
        GroupReply::Done => "done".into(),
    }
}
