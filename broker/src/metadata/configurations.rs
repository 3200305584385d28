use std::collections::BTreeMap;
use std::sync::Arc;

use super::OrderedMap;
use crate::config::DynamicSettings;
use crate::model::NodeId;

/// The kinds of things that have configuration, with Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigResourceType {
    /// A topic (2).
    Topic,
    /// A broker, or all brokers when the name is empty (4).
    Broker,
    /// A broker's log levels (8).
    BrokerLogger,
    /// A client metrics subscription (16). Source: KIP-714.
    ClientMetrics,
    /// A group (32). Source: KIP-848.
    Group,
    /// Any other number, kept as it came.
    Unknown(i8),
}

impl ConfigResourceType {
    /// The type with this number.
    #[must_use]
    pub const fn from_id(id: i8) -> Self {
        match id {
            2 => Self::Topic,
            4 => Self::Broker,
            8 => Self::BrokerLogger,
            16 => Self::ClientMetrics,
            32 => Self::Group,
            other => Self::Unknown(other),
        }
    }

    /// Its number.
    #[must_use]
    pub const fn id(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
            Self::Unknown(id) => id,
        }
    }

    /// Kafka's name of it, as its messages write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Topic => "TOPIC",
            Self::Broker => "BROKER",
            Self::BrokerLogger => "BROKER_LOGGER",
            Self::ClientMetrics => "CLIENT_METRICS",
            Self::Group => "GROUP",
            Self::Unknown(_) => "UNKNOWN",
        }
    }
}

/// One thing that has configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// What it is.
    pub resource_type: ConfigResourceType,
    /// Its name; for brokers the id in decimal, or empty for the default of all brokers.
    pub name: String,
}

impl ConfigResource {
    /// Puts the two together.
    #[must_use]
    pub fn new(resource_type: ConfigResourceType, name: impl Into<String>) -> Self {
        Self { resource_type, name: name.into() }
    }

    /// The configuration of a topic.
    #[must_use]
    pub fn topic(name: impl Into<String>) -> Self {
        Self::new(ConfigResourceType::Topic, name)
    }
}

/// Values by configuration name.
pub type ConfigEntries = Arc<BTreeMap<String, String>>;

/// All configuration that was set at run time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigurationsImage {
    by_resource: OrderedMap<ConfigResource, ConfigEntries>,
}

impl ConfigurationsImage {
    /// What was set for `resource`; `None` when nothing was.
    #[must_use]
    pub fn entries(&self, resource: &ConfigResource) -> Option<&ConfigEntries> {
        self.by_resource.get(resource)
    }

    /// What was set for this topic; `None` when nothing was.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&ConfigEntries> {
        self.entries(&ConfigResource::topic(name))
    }

    /// What the cluster says about the keys of one node: for all brokers, and for this one.
    #[must_use]
    pub fn of_node(&self, node: NodeId) -> DynamicSettings<'_> {
        let broker =
            |name: String| self.entries(&ConfigResource::new(ConfigResourceType::Broker, name));
        let nothing = DynamicSettings::NONE;
        DynamicSettings {
            default: broker(String::new()).map_or(nothing.default, |entries| entries),
            broker: broker(node.to_string()).map_or(nothing.broker, |entries| entries),
        }
    }

    /// One value.
    #[must_use]
    pub fn value(&self, resource: &ConfigResource, name: &str) -> Option<&str> {
        self.entries(resource)?.get(name).map(String::as_str)
    }

    /// Everything that was set, by resource.
    pub fn iter(&self) -> impl Iterator<Item = (&ConfigResource, &ConfigEntries)> {
        self.by_resource.iter()
    }

    /// Tells of every resource whose configuration differs from the one in `other`.
    pub(super) fn for_each_difference<'a>(
        &'a self,
        other: &'a Self,
        mut tell: impl FnMut(&'a ConfigResource),
    ) {
        self.by_resource.for_each_difference(&other.by_resource, |resource, _, _| tell(resource));
    }

    pub(super) fn set(&mut self, resource: ConfigResource, name: &str, value: Option<&str>) {
        match value {
            Some(value) => {
                let value = value.to_owned();
                if let Some(entries) = self.by_resource.get_mut(&resource) {
                    Arc::make_mut(entries).insert(name.to_owned(), value);
                } else {
                    let entries = BTreeMap::from([(name.to_owned(), value)]);
                    self.by_resource.insert(resource, Arc::new(entries));
                }
            }
            None => {
                let Some(entries) = self.by_resource.get_mut(&resource) else { return };
                let entries = Arc::make_mut(entries);
                entries.remove(name);
                if entries.is_empty() {
                    self.by_resource.remove(&resource);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, resource: &ConfigResource) {
        self.by_resource.remove(resource);
    }
}
