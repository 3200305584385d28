use std::collections::BTreeMap;

use super::deciding::{Deciding, Random, Refusal, Request};
use super::features::MIN_INSYNC_REPLICAS;
use super::topics::{check_record_count, occurrences};
use crate::config::{self, DynamicSettings, GroupConfig, Kind, Settings, TopicConfig, Update};
use crate::metadata::{ConfigResource, ConfigResourceType, config_record};
use crate::model::{ErrorCode, NodeId};
use crate::protocol::internal_records::metadata::{ClearElrRecord, MetadataRecord};
use crate::state_machine::Decision;

/// How long a value may be in a record.
const VALUE_BYTES_MAX: usize = 32_767;

/// Changes single settings of things. Source: KIP-339.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncrementalAlterConfigs {
    /// What is to change, in the order asked.
    pub resources: Vec<(ConfigResource, Vec<ConfigChange>)>,
    /// True when nothing is to change, only to be judged.
    pub is_validate_only: bool,
}

/// One setting to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The setting.
    pub name: String,
    /// How it changes.
    pub operation: ConfigOperation,
    /// The value, where the operation takes one.
    pub value: Option<String>,
}

/// How a setting changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// It gets this value.
    Set,
    /// It gets its default.
    Delete,
    /// The value's elements are added to its own.
    Append,
    /// The value's elements are taken out of its own.
    Subtract,
}

/// Replaces all settings of things. Source: KIP-133.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfigs {
    /// What is to change, in the order asked, and all settings it is to have.
    pub resources: Vec<(ConfigResource, ConfigValues)>,
    /// True when nothing is to change, only to be judged.
    pub is_validate_only: bool,
}

/// Settings with their values; a missing value is refused.
pub type ConfigValues = Vec<(String, Option<String>)>;

/// What became of each resource, in the order asked.
pub type AlterConfigsOutcome = Vec<(ConfigResource, Result<(), Refusal>)>;

/// New values by name; `None` is the default.
type Changes = BTreeMap<String, Option<String>>;

impl Request for IncrementalAlterConfigs {
    type Outcome = AlterConfigsOutcome;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, Self::Outcome>, Refusal> {
        deciding.alter_each(&self.resources, self.is_validate_only, |resource, changes| {
            let names = changes.iter().map(|change| &change.name);
            let missing = changes
                .iter()
                .filter(|change| {
                    change.value.is_none() && change.operation != ConfigOperation::Delete
                })
                .map(|change| change.name.as_str());
            check_shape(names, missing)?;
            let current = deciding.set_entries(resource);
            changes
                .iter()
                .map(|change| Ok((change.name.clone(), change.applied_to(resource, current)?)))
                .collect()
        })
    }
}

impl Request for AlterConfigs {
    type Outcome = AlterConfigsOutcome;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, Self::Outcome>, Refusal> {
        deciding.alter_each(&self.resources, self.is_validate_only, |resource, configs| {
            let names = configs.iter().map(|(name, _)| name);
            let missing =
                configs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str());
            check_shape(names, missing)?;
            let gone = deciding.set_entries(resource).keys().map(|name| (name.clone(), None));
            Ok(gone.chain(configs.iter().cloned()).collect())
        })
    }
}

/// Refuses a setting that is there twice, or without value.
fn check_shape<'a>(
    names: impl Iterator<Item = &'a String>,
    missing: impl Iterator<Item = &'a str>,
) -> Result<(), Refusal> {
    let mut names: Vec<&String> = names.collect();
    names.sort_unstable();
    if !names.is_sorted_by(|a, b| a < b) {
        let message = "Error due to duplicate config keys";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    let missing: Vec<&str> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("Null value not supported for : {}", missing.join(", "));
    Err(Refusal::new(ErrorCode::InvalidRequest, message))
}

impl ConfigChange {
    /// The value after the change; `None` is the default.
    fn applied_to(
        &self,
        resource: &ConfigResource,
        current: &BTreeMap<String, String>,
    ) -> Result<Option<String>, Refusal> {
        let verb = match self.operation {
            ConfigOperation::Set => return Ok(self.value.clone()),
            ConfigOperation::Delete => return Ok(None),
            ConfigOperation::Append => "APPEND",
            ConfigOperation::Subtract => "SUBTRACT",
        };
        let name = self.name.as_str();
        let definition = match resource.resource_type {
            ConfigResourceType::Topic => config::topic_key(name),
            ConfigResourceType::Broker => config::node_key(name),
            ConfigResourceType::Group => config::group_key(name),
            ConfigResourceType::ClientMetrics
            | ConfigResourceType::BrokerLogger
            | ConfigResourceType::Unknown(_) => None,
        };
        let Some(definition) = definition.filter(|definition| definition.kind == Kind::List) else {
            let message = format!("Can't {verb} to key {name} because its type is not LIST.");
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        };
        let default = || definition.default_value().to_text().unwrap_or_default();
        let old = current.get(name).cloned().unwrap_or_else(default);
        let given = elements(self.value.as_deref().unwrap_or_default());
        let mut list = elements(&old);
        list.retain(|element| !element.is_empty());
        for element in given {
            match self.operation {
                ConfigOperation::Append if !list.contains(&element) => list.push(element),
                ConfigOperation::Subtract => {
                    if let Some(place) = list.iter().position(|other| *other == element) {
                        list.remove(place);
                    }
                }
                ConfigOperation::Append | ConfigOperation::Set | ConfigOperation::Delete => {}
            }
        }
        Ok(Some(list.join(",")))
    }
}

fn elements(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).collect()
}

impl Deciding<'_> {
    /// What the cluster has set for a resource.
    fn set_entries(&self, resource: &ConfigResource) -> &BTreeMap<String, String> {
        static NOTHING: BTreeMap<String, String> = BTreeMap::new();
        self.image.configurations().entries(resource).map_or(&NOTHING, |entries| &**entries)
    }

    /// Judges and records the changes that `changes_of` finds for each resource.
    fn alter_each<T>(
        &self,
        resources: &[(ConfigResource, T)],
        is_validate_only: bool,
        changes_of: impl Fn(&ConfigResource, &T) -> Result<Changes, Refusal>,
    ) -> Result<Decision<MetadataRecord, AlterConfigsOutcome>, Refusal> {
        let counts = occurrences(resources.iter().map(|(resource, _)| resource));
        let mut records = Vec::new();
        let mut outcome = Vec::new();
        for (resource, wanted) in resources {
            let result = if counts.get(resource) == Some(&1) {
                changes_of(resource, wanted)
                    .and_then(|changes| self.alter(resource, &changes, &mut records))
            } else {
                let message = "Each resource must appear at most once.";
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            };
            outcome.push((resource.clone(), result));
        }
        check_record_count(&records)?;
        if is_validate_only {
            records.clear();
        }
        Ok(Decision::new(records, outcome))
    }

    fn alter(
        &self,
        resource: &ConfigResource,
        changes: &Changes,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), Refusal> {
        let current = self.set_entries(resource);
        let mut all = current.clone();
        for (name, value) in changes {
            match value {
                Some(value) => all.insert(name.clone(), value.clone()),
                None => all.remove(name),
            };
        }
        if all.iter().any(|(name, value)| name.len().max(value.len()) > VALUE_BYTES_MAX) {
            let message = "The configuration value cannot be added because it exceeds the maximum value size of 32767 \
                           bytes.";
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        }
        self.judge(resource, &all)?;
        self.judge_minimum(resource, changes)?;
        // Brokers load again what a setting names (a key store, say), even when it names the same.
        let is_reloaded = resource.resource_type == ConfigResourceType::Broker;
        let changed = changes
            .iter()
            .filter(|(name, value)| is_reloaded || current.get(*name) != value.as_ref())
            .map(|(name, value)| config_record(resource, name, value.clone()));
        let is_minimum = changes
            .get(MIN_INSYNC_REPLICAS)
            .is_some_and(|value| current.get(MIN_INSYNC_REPLICAS) != value.as_ref());
        records.extend(changed);
        if is_minimum && self.has_eligible_leaders() {
            // Who is eligible was found with the former number.
            let topic_name = match resource.resource_type {
                ConfigResourceType::Topic => resource.name.clone(),
                ConfigResourceType::Broker
                | ConfigResourceType::BrokerLogger
                | ConfigResourceType::ClientMetrics
                | ConfigResourceType::Group
                | ConfigResourceType::Unknown(_) => String::new(),
            };
            records.push(ClearElrRecord { topic_name }.into());
        }
        Ok(())
    }

    /// Where replicas may be eligible to lead, one number holds for all brokers: it cannot be taken away, nor set for one.
    fn judge_minimum(&self, resource: &ConfigResource, changes: &Changes) -> Result<(), Refusal> {
        let Some(value) = changes.get(MIN_INSYNC_REPLICAS) else { return Ok(()) };
        if !self.has_eligible_leaders() || resource.resource_type != ConfigResourceType::Broker {
            return Ok(());
        }
        let message = match (resource.name.is_empty(), value) {
            (true, None) => {
                "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."
            }
            (false, Some(_)) => {
                "Broker-level min.insync.replicas cannot be altered while ELR is enabled."
            }
            (true, Some(_)) | (false, None) => return Ok(()),
        };
        Err(Refusal::new(ErrorCode::InvalidConfig, message))
    }

    /// Judges a resource and all settings it is going to have.
    fn judge(
        &self,
        resource: &ConfigResource,
        entries: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        let name = resource.name.as_str();
        let refuse =
            |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message.to_owned()));
        match resource.resource_type {
            ConfigResourceType::Topic => {
                if name.is_empty() {
                    return refuse("Default topic resources are not allowed.");
                }
                self.check_topic_configs(entries)?;
                if self.image.topics().by_name(name).is_some() {
                    return Ok(());
                }
                let message = format!("The topic '{name}' does not exist.");
                Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, message))
            }
            ConfigResourceType::Broker => self.judge_broker(name, entries),
            ConfigResourceType::Group => {
                if name.is_empty() {
                    return refuse("Default group resources are not allowed.");
                }
                let result = GroupConfig::validate_all(entries, &self.node_settings());
                result.map_err(|message| Refusal::new(ErrorCode::InvalidConfig, message))
            }
            ConfigResourceType::ClientMetrics => super::client_metrics::judge(name, entries),
            ConfigResourceType::BrokerLogger | ConfigResourceType::Unknown(_) => {
                refuse(&format!("Unknown resource type {}", resource.resource_type.id()))
            }
        }
    }

    fn judge_broker(&self, name: &str, entries: &BTreeMap<String, String>) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
        if !name.is_empty() {
            let Ok(id) = name.parse::<i32>() else {
                return refuse(format!("Node id must be an integer, but it is: {name}"));
            };
            if id < 0 {
                return refuse("Invalid negative broker ID.".to_owned());
            }
            let cluster = self.image.cluster();
            if cluster.broker(NodeId(id)).is_none() && cluster.controller(NodeId(id)).is_none() {
                let message = format!("No node with id {id} found.");
                return Err(Refusal::new(ErrorCode::BrokerIdNotRegistered, message));
            }
        }
        let judged = judge_node_settings(entries, !name.is_empty());
        match judged.and_then(|()| self.judge_together(name, entries)) {
            Ok(()) => Ok(()),
            Err(message) => refuse(message),
        }
    }

    /// Judges whether this node could run with what is set for it, or for all. Of other nodes' files nothing is known here.
    fn judge_together(&self, name: &str, entries: &BTreeMap<String, String>) -> Result<(), String> {
        let (own, default) = self.node_resources();
        let dynamic = if name.is_empty() {
            DynamicSettings { default: entries, broker: self.set_entries(&own) }
        } else if name == own.name {
            DynamicSettings { default: self.set_entries(&default), broker: entries }
        } else {
            return Ok(());
        };
        self.settings.config.updated(dynamic).map(drop).map_err(|error| error.to_string())
    }

    /// Judges all settings of a topic.
    pub(super) fn check_topic_configs(
        &self,
        entries: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        if entries.values().any(|value| value.len() > VALUE_BYTES_MAX) {
            let message = "The configuration value cannot be added because it exceeds the maximum value size of 32767 \
                           bytes.";
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        }
        if entries.is_empty() {
            return Ok(());
        }
        let result = TopicConfig::validate_all(entries, &self.node_settings());
        result.map_err(|message| Refusal::new(ErrorCode::InvalidConfig, message))
    }

    /// This node's settings, with what the cluster says about them.
    fn node_settings(&self) -> Settings {
        let (broker, default) = self.node_resources();
        let dynamic = DynamicSettings {
            default: self.set_entries(&default),
            broker: self.set_entries(&broker),
        };
        self.settings.config.settings().overlaid(dynamic)
    }

    fn node_resources(&self) -> (ConfigResource, ConfigResource) {
        let id = self.settings.config.node_id.to_string();
        (
            ConfigResource::new(ConfigResourceType::Broker, id),
            ConfigResource::new(ConfigResourceType::Broker, ""),
        )
    }

    /// What the cluster has set for a topic, under a name that brokers have as well.
    fn topic_setting(&self, topic: &str, name: &str) -> Option<&String> {
        let (broker, default) = self.node_resources();
        let layers = [ConfigResource::topic(topic), broker, default];
        layers.iter().find_map(|layer| self.set_entries(layer).get(name))
    }

    /// `min.insync.replicas` of a topic.
    pub(super) fn min_insync_replicas(&self, topic: &str) -> usize {
        let set = self.topic_setting(topic, MIN_INSYNC_REPLICAS);
        set.and_then(|text| text.trim().parse().ok())
            .unwrap_or(self.settings.config.topic_defaults.min_insync_replicas)
    }

    /// `unclean.leader.election.enable` of a topic.
    pub(super) fn is_unclean_election_enabled(&self, topic: &str) -> bool {
        let set = self.topic_setting(topic, "unclean.leader.election.enable");
        set.map_or(self.settings.config.topic_defaults.is_unclean_leader_election_enabled, |text| {
            text.trim().eq_ignore_ascii_case("true")
        })
    }
}

/// Judges what is set for one broker, or for all. Names nobody knows may be meant for plug-ins, and pass.
fn judge_node_settings(
    entries: &BTreeMap<String, String>,
    is_for_one_broker: bool,
) -> Result<(), String> {
    let named = |is_wrong: &dyn Fn(Update) -> bool| {
        let wrong = entries.keys().filter(|name| {
            config::node_key(name).is_some_and(|definition| is_wrong(definition.update))
        });
        let names: Vec<&str> = wrong.map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    if let Some(names) = named(&|update| update == Update::ReadOnly) {
        return Err(format!("Cannot update these configs dynamically: [{names}]"));
    }
    for (name, value) in entries {
        if let Some(definition) = config::node_key(name) {
            definition.parse(value)?;
        }
    }
    match named(&|update| update == Update::PerBroker && !is_for_one_broker) {
        None => Ok(()),
        Some(names) => Err(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: [{names}]"
        )),
    }
}
