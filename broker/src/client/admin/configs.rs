use kafka_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_protocol::protocol::Request;

use super::Admin;
use crate::client::Error;
use crate::client::router::Lane;
use crate::client::wire::text;
use crate::environment::Runtime;
use crate::model::{GroupId, NodeId, TopicName};

/// What a configuration belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A topic.
    Topic(TopicName),
    /// A broker; `None` for what all brokers share.
    Broker(Option<NodeId>),
    /// A group.
    Group(GroupId),
}

impl Resource {
    const fn number(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) => 4,
            Self::Group(_) => 32,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Topic(name) => name.to_string(),
            Self::Broker(Some(id)) => id.to_string(),
            Self::Broker(None) => String::new(),
            Self::Group(id) => id.to_string(),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Topic(name) => format!("topic {name}"),
            Self::Broker(Some(id)) => format!("broker {id}"),
            Self::Broker(None) => "all brokers".to_owned(),
            Self::Group(id) => format!("group {id}"),
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The broker does not say.
    Unknown,
    /// Set on the topic.
    Topic,
    /// Set on the broker at run time.
    Broker,
    /// Set for all brokers at run time.
    AllBrokers,
    /// From the broker's file.
    File,
    /// Kafka's default.
    Default,
    /// A logger's level.
    Logger,
    /// Set for client metrics.
    ClientMetrics,
    /// Set on the group.
    Group,
}

impl ConfigSource {
    const fn of(number: i8) -> Self {
        match number {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::AllBrokers,
            4 => Self::File,
            5 => Self::Default,
            6 => Self::Logger,
            7 => Self::ClientMetrics,
            8 => Self::Group,
            _ => Self::Unknown,
        }
    }

    /// Kafka's name, as `kafka-configs` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Topic => "DYNAMIC_TOPIC_CONFIG",
            Self::Broker => "DYNAMIC_BROKER_CONFIG",
            Self::AllBrokers => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Self::File => "STATIC_BROKER_CONFIG",
            Self::Default => "DEFAULT_CONFIG",
            Self::Logger => "DYNAMIC_BROKER_LOGGER_CONFIG",
            Self::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
            Self::Group => "DYNAMIC_GROUP_CONFIG",
        }
    }
}

/// One configuration value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Kafka's name.
    pub name: String,
    /// The value; `None` when it is secret or empty.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// True when it cannot be changed at run time.
    pub is_read_only: bool,
    /// True when its value is secret.
    pub is_sensitive: bool,
}

/// One change of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Sets a value.
    Set(String, String),
    /// Goes back to the default.
    Delete(String),
    /// Adds to a list.
    Append(String, String),
    /// Takes away from a list.
    Subtract(String, String),
}

impl<R: Runtime> Admin<R> {
    /// The configuration of a resource, sorted by name.
    ///
    /// # Errors
    ///
    /// The broker's refusal, or that none answers in time.
    pub async fn describe_configs(&self, resource: &Resource) -> Result<Vec<ConfigEntry>, Error> {
        let wanted = DescribeConfigsResource::default()
            .with_resource_type(resource.number())
            .with_resource_name(text(&resource.name()))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![wanted]);
        let response = self.ask_for(resource, &request, 4).await?;
        let mut entries = Vec::new();
        for result in response.results {
            let what = || format!("describe the configuration of {}", resource.describe());
            Error::check(what, result.error_code, result.error_message.as_deref())?;
            entries.extend(result.configs.into_iter().map(entry_of));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Changes the configuration of a resource.
    ///
    /// # Errors
    ///
    /// The broker's refusal, or that none answers in time.
    pub async fn alter_configs(
        &self,
        resource: &Resource,
        changes: &[ConfigChange],
    ) -> Result<(), Error> {
        let change = |change: &ConfigChange| {
            let (operation, name, value) = match change {
                ConfigChange::Set(name, value) => (0, name, Some(value)),
                ConfigChange::Delete(name) => (1, name, None),
                ConfigChange::Append(name, value) => (2, name, Some(value)),
                ConfigChange::Subtract(name, value) => (3, name, Some(value)),
            };
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(operation)
                .with_value(value.map(|value| text(value)))
        };
        let wanted = AlterConfigsResource::default()
            .with_resource_type(resource.number())
            .with_resource_name(text(&resource.name()))
            .with_configs(changes.iter().map(change).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![wanted]);
        let response = self.ask_for(resource, &request, 1).await?;
        for result in response.responses {
            let what = || format!("change the configuration of {}", resource.describe());
            Error::check(what, result.error_code, result.error_message.as_deref())?;
        }
        Ok(())
    }

    /// A broker knows its own configuration best; anything else any broker knows.
    async fn ask_for<Q: Request>(
        &self,
        resource: &Resource,
        request: &Q,
        newest: i16,
    ) -> Result<Q::Response, Error> {
        let Resource::Broker(Some(id)) = resource else { return self.ask(request, newest).await };
        if !self.client.cluster().brokers.contains_key(id) {
            self.describe_cluster().await?;
        }
        let connection = self.client.node(*id, Lane::Admin).await?;
        let version = connection.version_of::<Q>(newest)?;
        connection.call(request, version).await
    }
}

fn entry_of(entry: DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        name: entry.name.to_string(),
        value: entry.value.map(|value| value.to_string()),
        source: ConfigSource::of(entry.config_source),
        is_read_only: entry.read_only,
        is_sensitive: entry.is_sensitive,
    }
}
