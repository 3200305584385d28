//! How scripts show what comes of their commands.

use std::fmt::Write as _;

use super::World;
use crate::controller::Refusal;
use crate::metadata::{ConfigResourceType, LeaderRecoveryState, PartitionRegistration};
use crate::model::{NodeId, TopicId};
use crate::protocol::internal_records::metadata::{
    LeaderChange, MetadataRecord, PartitionChangeRecord,
};
use crate::scenario::list;

impl World {
    fn name_of(&self, id: TopicId) -> &str {
        self.names.get(&id).map_or("?", String::as_str)
    }

    /// A record, as far as scripts are about it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "scripts show what they are about")]
    pub(super) fn record(&mut self, record: &MetadataRecord) -> String {
        if let MetadataRecord::Topic(topic) = record {
            self.names.insert(topic.topic_id, topic.name.to_string());
            return format!("Topic {}", topic.name);
        }
        let name = record.name().trim_end_matches("Record");
        let rest = match record {
            MetadataRecord::RegisterBroker(record) => {
                let fenced = if record.fenced { "fenced" } else { "unfenced" };
                format!("{} epoch={} {fenced}", record.broker_id, record.broker_epoch)
            }
            MetadataRecord::BrokerRegistrationChange(record) => {
                let mut text = format!("{} epoch={}", record.broker_id, record.broker_epoch);
                if let Some(fenced) = record.fenced {
                    text += if fenced { " fenced" } else { " unfenced" };
                }
                if record.in_controlled_shutdown {
                    text += " leaving";
                }
                if !record.log_dirs.is_empty() {
                    write!(text, " directories={}", record.log_dirs.len()).expect("a string");
                }
                text
            }
            MetadataRecord::UnregisterBroker(record) => record.broker_id.to_string(),
            MetadataRecord::Partition(record) => {
                let partition = PartitionRegistration::from(record);
                let name = self.name_of(record.topic_id);
                format!("{name}-{} {}", record.partition_id, state_of(&partition))
            }
            MetadataRecord::PartitionChange(record) => {
                let mut text = format!("{}-{}", self.name_of(record.topic_id), record.partition_id);
                if let Some(isr) = &record.isr {
                    write!(text, " isr={}", list(isr)).expect("a string");
                }
                match record.leader {
                    LeaderChange::Unchanged => {}
                    LeaderChange::Nobody => text += " leader=none",
                    LeaderChange::Leader(id) => write!(text, " leader={id}").expect("a string"),
                }
                if let Some(state) = record.leader_recovery_state {
                    write!(text, " {state:?}").expect("a string");
                }
                if let Some(eligible) = &record.eligible_leader_replicas {
                    write!(text, " eligible={}", list(eligible)).expect("a string");
                }
                if let Some(known) = &record.last_known_elr {
                    write!(text, " last_known={}", list(known)).expect("a string");
                }
                text += &assignment_of(record);
                text
            }
            MetadataRecord::ClearElr(record) => record.topic_name.clone(),
            MetadataRecord::RemoveTopic(record) => self.name_of(record.topic_id).to_owned(),
            MetadataRecord::Config(record) => {
                let resource = ConfigResourceType::from_id(record.resource_type).name();
                let value = record.value.as_deref().unwrap_or("(default)");
                format!("{resource} {} {}={value}", record.resource_name, record.name)
            }
            MetadataRecord::ProducerIds(record) => format!("next={}", record.next_producer_id),
            MetadataRecord::FeatureLevel(record) => {
                format!("{}={}", record.name, record.feature_level)
            }
            _ => String::new(),
        };
        format!("{name} {rest}").trim_end().to_owned()
    }
}

/// What a change says of where replicas are.
fn assignment_of(record: &PartitionChangeRecord) -> String {
    let mut text = String::new();
    for (what, ids) in [
        ("replicas", &record.replicas),
        ("adding", &record.adding_replicas),
        ("removing", &record.removing_replicas),
    ] {
        if let Some(ids) = ids {
            write!(text, " {what}={}", list(ids)).expect("a string");
        }
    }
    if let Some(directories) = &record.directories {
        let ids = directories.iter().map(|id| id.0.as_u128().to_string());
        let ids = ids.collect::<Vec<_>>().join(",");
        write!(text, " directories={ids}").expect("a string");
    }
    text
}

/// Why something was refused.
pub(super) fn refused(refusal: &Refusal) -> String {
    match &refusal.message {
        None => refusal.code.to_string(),
        Some(message) => {
            format!("{} {}", refusal.code, message.replace(&"x".repeat(250), "LONG"))
        }
    }
}

/// What is known of a partition.
pub(super) fn state_of(partition: &PartitionRegistration) -> String {
    let leader = partition.leader.map_or("none".to_owned(), |id| id.to_string());
    let recovering = match partition.leader_recovery_state {
        LeaderRecoveryState::Recovered => "",
        LeaderRecoveryState::Recovering => " recovering",
    };
    let named = |name: &str, ids: &[NodeId]| match ids {
        [] => String::new(),
        ids => format!(" {name}={}", list(ids)),
    };
    format!(
        "leader={leader}/{} replicas={} isr={} v{}{recovering}{}{}",
        partition.leader_epoch,
        list(&partition.replicas),
        list(&partition.isr),
        partition.partition_epoch.0,
        named("eligible", &partition.eligible_leader_replicas),
        named("last_known", &partition.last_known_eligible_leader_replicas),
    )
}
