//! What `DescribeConfigs` tells of a node, a topic or a group. Source: KIP-226, KIP-569.

use std::collections::BTreeMap;

use super::definitions::{self, Definition, Kind, Update, Visibility};
use super::group::{self, node_synonym_of_group_key};
use super::settings::{DynamicSettings, Settings, prefixed_key};
use super::topic::{self, node_synonym_of_topic_key};
use super::value::Value;

/// The layer a value comes from, as the protocol numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The topic.
    Topic,
    /// The cluster, for one broker.
    DynamicBroker,
    /// The cluster, for all brokers.
    DynamicDefaultBroker,
    /// The node's file, or an override beside it.
    StaticBroker,
    /// Nobody.
    Default,
    /// The client metrics subscription.
    ClientMetrics,
    /// The group.
    Group,
}

impl ConfigSource {
    /// The number on the wire.
    #[must_use]
    pub const fn id(self) -> i8 {
        match self {
            Self::Topic => 1,
            Self::DynamicBroker => 2,
            Self::DynamicDefaultBroker => 3,
            Self::StaticBroker => 4,
            Self::Default => 5,
            Self::ClientMetrics => 7,
            Self::Group => 8,
        }
    }
}

/// One place where a value of a key, or of a key that stands in for it, is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The key there.
    pub name: String,
    /// The value there; `None` when it must not be shown.
    pub value: Option<String>,
    /// Which place.
    pub source: ConfigSource,
}

/// One key, its value, and where that comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConfig {
    /// The key.
    pub name: String,
    /// The value; `None` for null, and when it must not be shown.
    pub value: Option<String>,
    /// The layer that gives the value.
    pub source: ConfigSource,
    /// True when it cannot change while the node runs.
    pub is_read_only: bool,
    /// True when the value must not be shown.
    pub is_sensitive: bool,
    /// The layers, the winning one first.
    pub synonyms: Vec<Synonym>,
    /// The type.
    pub kind: Kind,
    /// What the key means.
    pub doc: &'static str,
}

/// A node's own layers: what it was started with, and what the cluster says.
#[derive(Clone, Copy, Debug)]
pub struct NodeLayers<'a> {
    /// Defaults, file and overrides.
    pub settings: &'a Settings,
    /// What the cluster says.
    pub dynamic: DynamicSettings<'a>,
}

impl NodeLayers<'_> {
    /// Every key of the node, in order of name.
    #[must_use]
    pub fn describe_node(&self) -> Vec<DescribedConfig> {
        let effective = self.settings.overlaid(self.dynamic);
        let shown = definitions::node_keys()
            .filter(|key| key.visibility == Visibility::Shown || effective.is_set(key.name));
        let mut described: Vec<_> = shown
            .map(|key| {
                let synonyms =
                    self.synonyms(key.name, synonyms_of_node_key(key.name), key.is_sensitive());
                described(key.name, key, effective.value(key.name), key.update, synonyms)
            })
            .collect();
        for (name, value) in self.settings.prefixed() {
            let Some(key) = prefixed_key(name) else { continue };
            let synonyms = self.synonyms(name, &[name, key.name], key.is_sensitive());
            described.push(self::described(name, key, value, key.update, synonyms));
        }
        described.sort_by(|left, right| left.name.cmp(&right.name));
        described
    }

    /// The keys that the cluster sets for all brokers.
    #[must_use]
    pub fn describe_cluster_default(&self) -> Vec<DescribedConfig> {
        let set = self
            .dynamic
            .default
            .iter()
            .filter_map(|(name, text)| Some((definitions::node_key(name)?, text)));
        set.map(|(key, text)| {
            let mut synonyms =
                self.synonyms(key.name, synonyms_of_node_key(key.name), key.is_sensitive());
            synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
            described(key.name, key, &Value::Text(text.clone()), key.update, synonyms)
        })
        .collect()
    }

    /// Every key of a topic with these settings of its own, in order of name.
    #[must_use]
    pub fn describe_topic(&self, overrides: &BTreeMap<String, String>) -> Vec<DescribedConfig> {
        let effective = self.settings.overlaid(self.dynamic);
        let values = topic::Values { overrides, node: &effective };
        let shown = definitions::topic_keys()
            .filter(|key| key.visibility == Visibility::Shown || overrides.contains_key(key.name));
        shown
            .map(|key| {
                let value = values.value(key.name);
                let synonym = node_synonym_of_topic_key(key.name);
                let synonyms =
                    self.resource_synonyms(key, &value, synonym, overrides, ConfigSource::Topic);
                described(key.name, key, &value, Update::ClusterWide, synonyms)
            })
            .collect()
    }

    /// Every key of a group with these settings of its own, in order of name.
    #[must_use]
    pub fn describe_group(&self, overrides: &BTreeMap<String, String>) -> Vec<DescribedConfig> {
        let effective = self.settings.overlaid(self.dynamic);
        definitions::group_keys()
            .map(|key| {
                let value = group::value_of(key.name, overrides, &effective);
                let synonym = node_synonym_of_group_key(key.name);
                let synonyms = self.resource_synonyms(
                    key,
                    &value,
                    synonym.as_deref(),
                    overrides,
                    ConfigSource::Group,
                );
                described(key.name, key, &value, Update::ClusterWide, synonyms)
            })
            .collect()
    }

    /// The layers of a key of a topic or group: its own, then those of the node's key that stands in for it.
    fn resource_synonyms(
        &self,
        key: &Definition,
        value: &Value,
        node_key: Option<&str>,
        overrides: &BTreeMap<String, String>,
        source: ConfigSource,
    ) -> Vec<Synonym> {
        let mut synonyms = Vec::new();
        if overrides.contains_key(key.name) {
            synonyms.push(Synonym { name: key.name.to_owned(), value: value.to_text(), source });
        }
        if let Some(node_key) = node_key {
            synonyms.extend(self.synonyms(
                node_key,
                synonyms_of_node_key(node_key),
                key.is_sensitive(),
            ));
        }
        synonyms
    }

    /// The layers of a node's key. Kafka leaves out what stands before the first mention of the key itself, also when
    /// it decides: a retention in hours is not shown as the source of one in milliseconds.
    fn synonyms(&self, name: &str, names: &[&str], is_sensitive: bool) -> Vec<Synonym> {
        let mut synonyms = Vec::new();
        let mut add = |name: &str, value: String, source: ConfigSource| {
            let value = Some(value).filter(|_| !is_sensitive);
            synonyms.push(Synonym { name: name.to_owned(), value, source });
        };
        for (layer, source) in [
            (self.dynamic.broker, ConfigSource::DynamicBroker),
            (self.dynamic.default, ConfigSource::DynamicDefaultBroker),
        ] {
            for name in names {
                if let Some(text) = layer.get(*name) {
                    add(name, text.clone(), source);
                }
            }
        }
        for name in names {
            if let Some(text) = self.settings.static_text(name) {
                add(name, text.to_owned(), ConfigSource::StaticBroker);
            }
        }
        for name in names {
            let default = definitions::node_key(name).and_then(|key| key.default_value().to_text());
            if let Some(text) = default {
                add(name, text, ConfigSource::Default);
            }
        }
        let before = synonyms.iter().take_while(|synonym| synonym.name != name).count();
        synonyms.drain(..before);
        synonyms
    }
}

/// The keys of a node that stand in for each other, the winning one first.
fn synonyms_of_node_key(name: &str) -> &'static [&'static str] {
    match name {
        "log.roll.ms" | "log.roll.hours" => &["log.roll.ms", "log.roll.hours"],
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => {
            &["log.roll.jitter.ms", "log.roll.jitter.hours"]
        }
        "log.flush.interval.ms" => &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
            &["log.retention.ms", "log.retention.minutes", "log.retention.hours"]
        }
        _ => definitions::node_key(name).map_or(&[], |key| std::slice::from_ref(&key.name)),
    }
}

fn described(
    name: &str,
    key: &Definition,
    value: &Value,
    update: Update,
    synonyms: Vec<Synonym>,
) -> DescribedConfig {
    let is_sensitive = key.is_sensitive();
    DescribedConfig {
        name: name.to_owned(),
        value: value.to_text().filter(|_| !is_sensitive),
        source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
        is_read_only: update == Update::ReadOnly,
        is_sensitive,
        synonyms,
        kind: key.kind,
        doc: key.doc,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn settings(overrides: &[(&str, &str)]) -> Settings {
        let base =
            [("node.id", "1"), ("process.roles", "broker"), ("controller.listener.names", "C")];
        let all = base.iter().chain(overrides);
        let all: Vec<_> =
            all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::read(None, &all).unwrap()
    }

    fn find<'a>(described: &'a [DescribedConfig], name: &str) -> &'a DescribedConfig {
        described.iter().find(|config| config.name == name).unwrap()
    }

    fn short(config: &DescribedConfig) -> (Option<&str>, i8, Vec<(&str, i8)>) {
        let synonyms =
            config.synonyms.iter().map(|synonym| (synonym.name.as_str(), synonym.source.id()));
        (config.value.as_deref(), config.source.id(), synonyms.collect())
    }

    #[test]
    fn a_topic_is_described_as_kafka_describes_it() {
        let settings = settings(&[("log.segment.bytes", "2000000"), ("log.retention.hours", "24")]);
        let layers = NodeLayers { settings: &settings, dynamic: DynamicSettings::NONE };
        let described = layers.describe_topic(&map(&[("max.message.bytes", "5")]));
        let check = |name: &str, value: &str, source: i8, synonyms: &[(&str, i8)]| {
            assert_eq!(short(find(&described, name)), (Some(value), source, synonyms.to_vec()));
        };
        check("segment.bytes", "2000000", 4, &[("log.segment.bytes", 4), ("log.segment.bytes", 5)]);
        check("max.message.bytes", "5", 1, &[("max.message.bytes", 1), ("message.max.bytes", 5)]);
        check("cleanup.policy", "delete", 5, &[("log.cleanup.policy", 5)]);
        // The hours decide, and Kafka does not say so.
        check("retention.ms", "86400000", 5, &[]);
        check("remote.storage.enable", "false", 5, &[]);
        assert!(described.iter().all(|config| config.name != "internal.segment.bytes"));
        assert_eq!(described.len(), definitions::topic_keys().count() - 1);
    }

    #[test]
    fn dynamic_layers_stand_before_static_ones() {
        let settings = settings(&[("log.retention.ms", "1000"), ("ssl.key.password", "secret")]);
        let default = map(&[("log.retention.ms", "2000")]);
        let broker = map(&[("log.retention.ms", "3000")]);
        let layers = NodeLayers {
            settings: &settings,
            dynamic: DynamicSettings { default: &default, broker: &broker },
        };
        let described = layers.describe_node();
        let retention = find(&described, "log.retention.ms");
        let expected = vec![
            ("log.retention.ms", 2),
            ("log.retention.ms", 3),
            ("log.retention.ms", 4),
            ("log.retention.hours", 5),
        ];
        assert_eq!(short(retention), (Some("3000"), 2, expected));
        assert!(!retention.is_read_only);
        let password = find(&described, "ssl.key.password");
        assert_eq!((password.value.as_deref(), password.is_sensitive), (None, true));
        assert_eq!(password.synonyms[0].value, None);
        assert!(find(&described, "node.id").is_read_only);
        let topic = layers.describe_topic(&map(&[]));
        assert_eq!(find(&topic, "retention.ms").value.as_deref(), Some("3000"));
        let cluster = layers.describe_cluster_default();
        assert_eq!(short(&cluster[0]), (Some("2000"), 3, vec![("log.retention.ms", 3)]));
    }

    #[test]
    fn a_group_is_described_over_its_node() {
        let settings = settings(&[("group.consumer.session.timeout.ms", "50000")]);
        let layers = NodeLayers { settings: &settings, dynamic: DynamicSettings::NONE };
        let described = layers.describe_group(&map(&[("consumer.heartbeat.interval.ms", "6000")]));
        let session = short(find(&described, "consumer.session.timeout.ms"));
        let name = "group.consumer.session.timeout.ms";
        assert_eq!(session, (Some("50000"), 4, vec![(name, 4), (name, 5)]));
        assert_eq!(find(&described, "consumer.heartbeat.interval.ms").source, ConfigSource::Group);
        assert_eq!(find(&described, "share.auto.offset.reset").value.as_deref(), Some("latest"));
    }
}
