use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use crate::model::NodeId;

use super::coordinators::{
    GroupCoordinatorConfig, OffsetsConfig, SecurityConfig, TransactionConfig,
};
use super::definitions::{self, Definition, Support};
use super::error::Error;
use super::listener::{self, HostPort, ListenerAddress, StaticVoter};
use super::sections::{
    CleanerConfig, LifecycleConfig, LogManagerConfig, MetadataLogConfig, QuorumConfig,
    ReplicationConfig, SocketConfig, TopicCreationConfig,
};
use super::settings::{DynamicSettings, Settings};
use super::topic::{TopicConfig, node_value_of_topic_key};

/// What a node is: broker, controller or both; never neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// It has partitions and serves clients.
    pub broker: bool,
    /// It may vote in the metadata quorum.
    pub controller: bool,
}

/// All settings of one node, checked to go together.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    /// `node.id`
    pub node_id: NodeId,
    /// `process.roles`
    pub roles: Roles,
    /// `broker.rack`
    pub rack: Option<String>,
    /// `listeners`: where this node listens, controllers' listeners included.
    pub listeners: Vec<ListenerAddress>,
    /// `advertised.listeners`, or else `listeners`, in both cases with the controllers' listeners of this node.
    pub advertised_listeners: Vec<ListenerAddress>,
    /// `controller.listener.names`, in upper case; the first is used to reach controllers.
    pub controller_listener_names: Vec<String>,
    /// `inter.broker.listener.name`, in upper case; empty on a node that is only a controller.
    pub inter_broker_listener_name: String,
    /// `log.dirs`, or else `log.dir`.
    pub log_dirs: Vec<PathBuf>,
    /// Sockets, connections and requests.
    pub sockets: SocketConfig,
    /// The metadata quorum.
    pub quorum: QuorumConfig,
    /// The metadata log and its snapshots.
    pub metadata_log: MetadataLogConfig,
    /// Heartbeats, sessions, elections in the background.
    pub lifecycle: LifecycleConfig,
    /// How topics come and go.
    pub topics: TopicCreationConfig,
    /// What a topic has when it sets nothing.
    pub topic_defaults: TopicConfig,
    /// All logs.
    pub logs: LogManagerConfig,
    /// Compaction.
    pub cleaner: CleanerConfig,
    /// Followers, in-sync replicas, fetching.
    pub replication: ReplicationConfig,
    /// The group coordinator.
    pub groups: GroupCoordinatorConfig,
    /// Committed offsets.
    pub offsets: OffsetsConfig,
    /// The transaction coordinator.
    pub transactions: TransactionConfig,
    /// Who may do what, and how much.
    pub security: SecurityConfig,
    settings: Settings,
}

impl NodeConfig {
    /// Reads defaults, then a file (its name and text), then overrides, and checks them.
    ///
    /// # Errors
    ///
    /// What [`Settings::read`] gives, and [`Error::Conflict`] with Kafka's kind of sentence.
    pub fn read(file: Option<(&str, &str)>, overrides: &[(String, String)]) -> Result<Self, Error> {
        Self::from_settings(Settings::read(file, overrides)?)
    }

    /// A node for one person's machine: broker and controller, on 127.0.0.1:9092 and 9093, with everything in
    /// `data_dir` and internal topics of one replica. Overrides go on top.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), when an override is wrong.
    pub fn dev(data_dir: &str, overrides: &[(String, String)]) -> Result<Self, Error> {
        let own = [
            ("process.roles", "broker,controller"),
            ("node.id", "1"),
            ("listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"),
            ("advertised.listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"),
            ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
            ("controller.listener.names", "CONTROLLER"),
            ("controller.quorum.bootstrap.servers", "127.0.0.1:9093"),
            ("log.dirs", data_dir),
            ("offsets.topic.replication.factor", "1"),
            ("transaction.state.log.replication.factor", "1"),
            ("transaction.state.log.min.isr", "1"),
            ("share.coordinator.state.topic.replication.factor", "1"),
            ("share.coordinator.state.topic.min.isr", "1"),
            ("group.initial.rebalance.delay.ms", "0"),
        ];
        // Who moves a listener means to be told of there: our own advertised ones give way.
        let is_moved = overrides.iter().any(|(key, _)| key == "listeners");
        let own = own.iter().filter(|(key, _)| !(is_moved && *key == "advertised.listeners"));
        let own = own.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let all: Vec<_> = own.chain(overrides.iter().cloned()).collect();
        Self::read(None, &all)
    }

    /// This configuration under what the cluster says now.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when the result does not go together; the node then keeps what it has.
    pub fn updated(&self, dynamic: DynamicSettings<'_>) -> Result<Self, Error> {
        Self::from_settings(self.settings.overlaid(dynamic))
    }

    /// The keys that somebody set and that have no effect here: Kafka's, but about threads, Java classes or what is absent.
    #[must_use]
    pub fn keys_without_effect(&self) -> Vec<&'static str> {
        let is_idle =
            |key: &&Definition| key.support == Support::Accepted && self.settings.is_set(key.name);
        definitions::node_keys().filter(is_idle).map(|key| key.name).collect()
    }

    /// True when somebody said under which addresses clients find this node (`advertised.listeners`).
    #[must_use]
    pub fn is_advertised(&self) -> bool {
        self.settings.is_set("advertised.listeners")
    }

    /// Value and origin of each key, to be described, and to resolve topics and groups with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    fn from_settings(settings: Settings) -> Result<Self, Error> {
        let conflict = Error::Conflict;
        let roles = roles_of(&settings).map_err(conflict)?;
        let log_dirs = log_dirs_of(&settings).map_err(conflict)?;
        let network = Network::read(&settings, roles).map_err(conflict)?;
        let node_id = NodeId(settings.int("node.id"));
        let quorum = quorum_of(&settings, roles, node_id).map_err(conflict)?;
        let config = Self {
            node_id,
            roles,
            rack: settings.text_if_set("broker.rack").map(str::to_owned),
            listeners: network.listeners,
            advertised_listeners: network.advertised,
            controller_listener_names: network.controller_names,
            inter_broker_listener_name: network.inter_broker_name,
            sockets: SocketConfig::read(&settings).map_err(conflict)?,
            quorum,
            metadata_log: MetadataLogConfig::read(
                &settings,
                log_dirs.first().map_or("", String::as_str),
            ),
            log_dirs: log_dirs.iter().map(PathBuf::from).collect(),
            lifecycle: LifecycleConfig::read(&settings),
            topics: TopicCreationConfig::read(&settings),
            topic_defaults: TopicConfig::resolve(&BTreeMap::new(), &settings),
            logs: LogManagerConfig::read(&settings),
            cleaner: CleanerConfig::read(&settings),
            replication: ReplicationConfig::read(&settings),
            groups: GroupCoordinatorConfig::read(&settings),
            offsets: OffsetsConfig::read(&settings),
            transactions: TransactionConfig::read(&settings),
            security: SecurityConfig::read(&settings),
            settings,
        };
        config.check_numbers().map_err(conflict)?;
        Ok(config)
    }

    /// Numbers that must not cross each other.
    fn check_numbers(&self) -> Result<(), String> {
        let at_most = |smaller: &str, larger: &str| {
            let (small, large) = (self.settings.number(smaller), self.settings.number(larger));
            if small <= large {
                return Ok(());
            }
            Err(format!("{smaller} ({small}) must be less than or equal to {larger} ({large})"))
        };
        at_most("replica.fetch.wait.max.ms", "replica.lag.time.max.ms")?;
        at_most("group.min.session.timeout.ms", "group.max.session.timeout.ms")?;
        for protocol in ["consumer", "share", "streams"] {
            for rest in ["session.timeout.ms", "heartbeat.interval.ms", "assignment.interval.ms"] {
                let key = format!("group.{protocol}.{rest}");
                at_most(&format!("group.{protocol}.min.{rest}"), &key)?;
                at_most(&key, &format!("group.{protocol}.max.{rest}"))?;
            }
            let (heartbeat, session) = (
                format!("group.{protocol}.heartbeat.interval.ms"),
                format!("group.{protocol}.session.timeout.ms"),
            );
            if self.settings.number(&heartbeat) >= self.settings.number(&session) {
                return Err(format!("{session} must be greater than {heartbeat}"));
            }
        }
        if self.lifecycle.heartbeat_interval.saturating_mul(2) > self.lifecycle.session_timeout {
            return Err(
                "broker.heartbeat.interval.ms must be at most half of broker.session.timeout.ms"
                    .to_owned(),
            );
        }
        if self.groups.consumer_assignors.is_empty() {
            return Err("group.consumer.assignors must contain at least one assignor".to_owned());
        }
        self.check_connections()?;
        self.check_logs()
    }

    fn check_connections(&self) -> Result<(), String> {
        let sockets = &self.sockets;
        let number = |key: &str| self.settings.number(key);
        if sockets.queued_max_request_bytes.is_some()
            && number("queued.max.request.bytes") < number("socket.request.max.bytes")
        {
            return Err(
                "queued.max.request.bytes must be larger or equal to socket.request.max.bytes"
                    .to_owned(),
            );
        }
        if number("connections.max.idle.ms") >= 0
            && sockets.failed_authentication_delay >= sockets.connections_max_idle
        {
            return Err("connection.failed.authentication.delay.ms should always be less than \
                        connections.max.idle.ms to prevent failed authentication responses from timing out"
                .to_owned());
        }
        if self.replication.socket_timeout < self.replication.fetch_wait_max {
            return Err("replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent \
                        unnecessary socket timeouts"
                .to_owned());
        }
        Ok(())
    }

    /// The keys whose units resolve to a number that none of them is checked for alone.
    fn check_logs(&self) -> Result<(), String> {
        let resolved = |key: &str| node_value_of_topic_key(key, &self.settings).as_number();
        if resolved("segment.ms") < Some(1) {
            return Err("log.roll.ms must be greater than or equal to 1".to_owned());
        }
        if resolved("segment.jitter.ms") < Some(0) {
            return Err("log.roll.jitter.ms must be greater than or equal to 0".to_owned());
        }
        if resolved("retention.ms") == Some(0) {
            return Err(
                "log.retention.ms must be unlimited (-1) or, greater than or equal to 1".to_owned()
            );
        }
        if self.cleaner.dedupe_buffer_bytes / self.cleaner.parallelism.max(1) <= 1024 * 1024 {
            return Err("log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."
                .to_owned());
        }
        let cordoned = &self.logs.cordoned_directories;
        if cordoned.iter().any(|dir| dir == "*") {
            return if cordoned.len() == 1 {
                Ok(())
            } else {
                Err("When cordoned.log.dirs is set to *, it must not contain other values"
                    .to_owned())
            };
        }
        let unknown = cordoned.iter().find(|dir| !self.log_dirs.contains(&PathBuf::from(dir)));
        match unknown {
            Some(dir) => Err(format!(
                "All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : {dir}"
            )),
            None => Ok(()),
        }
    }
}

fn roles_of(settings: &Settings) -> Result<Roles, String> {
    let roles = settings.list("process.roles");
    let has = |name: &str| roles.iter().any(|role| role == name);
    if roles.is_empty() {
        return Err("process.roles must name broker, controller or both".to_owned());
    }
    if roles.iter().collect::<BTreeSet<_>>().len() < roles.len() {
        return Err(format!("Duplicate role names found in `process.roles`: {}", roles.join(",")));
    }
    Ok(Roles { broker: has("broker"), controller: has("controller") })
}

fn log_dirs_of(settings: &Settings) -> Result<Vec<String>, String> {
    let dirs = settings.list("log.dirs");
    let dirs = if dirs.is_empty() { settings.list("log.dir") } else { dirs };
    let dirs: Vec<_> = dirs.iter().filter(|dir| !dir.is_empty()).cloned().collect();
    if dirs.is_empty() {
        return Err(
            "At least one log directory must be defined via log.dirs or log.dir.".to_owned()
        );
    }
    Ok(dirs)
}

/// Listeners, checked to go together with the node's roles.
struct Network {
    listeners: Vec<ListenerAddress>,
    advertised: Vec<ListenerAddress>,
    controller_names: Vec<String>,
    inter_broker_name: String,
}

impl Network {
    fn read(settings: &Settings, roles: Roles) -> Result<Self, String> {
        let mut protocols =
            listener::parse_protocol_map(settings.text("listener.security.protocol.map"))?;
        let controller_names: Vec<_> = settings
            .list("controller.listener.names")
            .iter()
            .map(|name| name.to_uppercase())
            .collect();
        if controller_names.is_empty() {
            return Err(
                "controller.listener.names must contain at least one value when running KRaft"
                    .to_owned(),
            );
        }
        // Kafka's convenience: a controller listener that nobody maps talks plainly, if nobody set the map.
        if !settings.is_set("listener.security.protocol.map") {
            for name in &controller_names {
                protocols.entry(name.clone()).or_insert(listener::SecurityProtocol::Plaintext);
            }
        }
        let parse = |key: &str| -> Result<Vec<_>, String> {
            settings
                .list(key)
                .iter()
                .map(|text| listener::parse_listener(text, &protocols))
                .collect()
        };
        let listeners = parse("listeners")?;
        let is_advertised_set = settings.is_set("advertised.listeners");
        let mut advertised =
            if is_advertised_set { parse("advertised.listeners")? } else { listeners.clone() };
        for listener in &listeners {
            let is_named = advertised.iter().any(|other| other.name == listener.name);
            if controller_names.contains(&listener.name) && !is_named {
                advertised.push(listener.clone());
            }
        }
        let inter_broker_name = inter_broker_name_of(settings, roles, &controller_names)?;
        let network = Self { listeners, advertised, controller_names, inter_broker_name };
        network.check_names_and_ports()?;
        network.check_roles(roles, is_advertised_set)?;
        Ok(network)
    }

    fn check_names_and_ports(&self) -> Result<(), String> {
        for (index, listener) in self.listeners.iter().enumerate() {
            for other in self.listeners.iter().skip(index + 1) {
                if listener.name == other.name {
                    return Err(format!(
                        "Each listener must have a different name, listeners: {}",
                        listener.name
                    ));
                }
                if listener.port != 0
                    && listener.port == other.port
                    && !are_ip_4_and_6(listener, other)
                {
                    return Err(format!(
                        "Each listener must have a different port, listeners: {listener},{other}"
                    ));
                }
            }
        }
        for listener in &self.advertised {
            if listener.host.as_deref() == Some("0.0.0.0") {
                return Err(
                    "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. \
                            Use a routable IP address."
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    fn check_roles(&self, roles: Roles, is_advertised_set: bool) -> Result<(), String> {
        let is_controllers =
            |listener: &&ListenerAddress| self.controller_names.contains(&listener.name);
        let own_controller_listeners = self.listeners.iter().filter(is_controllers).count();
        if roles.controller && own_controller_listeners == 0 {
            return Err("controller.listener.names must contain at least one value appearing in the 'listeners' \
                        configuration when running the KRaft controller role"
                .to_owned());
        }
        let is_listened_on =
            |name: &String| self.listeners.iter().any(|listener| listener.name == *name);
        if roles.controller && !self.controller_names.iter().all(is_listened_on) {
            return Err(
                "controller.listener.names must only contain values appearing in the 'listeners' \
                        configuration when running the KRaft controller role"
                    .to_owned(),
            );
        }
        if !roles.controller && own_controller_listeners > 0 {
            return Err(
                "controller.listener.names must not contain a value appearing in the 'listeners' \
                        configuration when running KRaft with just the broker role"
                    .to_owned(),
            );
        }
        if !roles.broker {
            let is_clean = own_controller_listeners == self.listeners.len();
            return if is_clean {
                Ok(())
            } else {
                Err("The listeners config must only contain KRaft controller listeners from \
                     controller.listener.names when process.roles=controller"
                    .to_owned())
            };
        }
        for listener in &self.advertised {
            if is_advertised_set && !self.listeners.iter().any(|own| own.name == listener.name) {
                return Err(format!(
                    "advertised.listeners listener names must be equal to or a subset of the ones defined in \
                     listeners: {} is not",
                    listener.name
                ));
            }
        }
        if !self.advertised.iter().any(|listener| listener.name == self.inter_broker_name) {
            return Err(format!(
                "inter.broker.listener.name must be a listener name defined in advertised.listeners: {}",
                self.inter_broker_name
            ));
        }
        Ok(())
    }
}

/// One port may be listened on twice: once for each version of IP.
fn are_ip_4_and_6(left: &ListenerAddress, right: &ListenerAddress) -> bool {
    let address = |listener: &ListenerAddress| listener.host.as_deref()?.parse::<IpAddr>().ok();
    matches!((address(left), address(right)), (Some(left), Some(right)) if left.is_ipv4() != right.is_ipv4())
}

fn inter_broker_name_of(
    settings: &Settings,
    roles: Roles,
    controller_names: &[String],
) -> Result<String, String> {
    let named = settings.text_if_set("inter.broker.listener.name");
    if named.is_some() && settings.is_set("security.inter.broker.protocol") {
        return Err("Only one of inter.broker.listener.name and security.inter.broker.protocol should be set."
            .to_owned());
    }
    if !roles.broker {
        return Ok(String::new());
    }
    let name =
        named.unwrap_or_else(|| settings.text("security.inter.broker.protocol")).to_uppercase();
    if controller_names.contains(&name) {
        return Err(
            "inter.broker.listener.name must not be one of controller.listener.names".to_owned()
        );
    }
    Ok(name)
}

fn quorum_of(settings: &Settings, roles: Roles, node_id: NodeId) -> Result<QuorumConfig, String> {
    let parse_voter = |text: &String| -> Result<StaticVoter, String> {
        listener::parse_voter(text).ok_or_else(|| {
            format!("Invalid configuration value {text} for controller.quorum.voters: each entry must be in the form `{{id}}@{{host}}:{{port}}`")
        })
    };
    let parse_server = |text: &String| -> Result<HostPort, String> {
        listener::parse_host_port(text)
            .ok_or_else(|| format!("Invalid url in controller.quorum.bootstrap.servers: {text}"))
    };
    let texts = |key: &str| {
        settings.list(key).iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>()
    };
    let voters =
        texts("controller.quorum.voters").iter().map(parse_voter).collect::<Result<Vec<_>, _>>()?;
    let servers = texts("controller.quorum.bootstrap.servers")
        .iter()
        .map(parse_server)
        .collect::<Result<Vec<_>, _>>()?;
    if voters.is_empty() && servers.is_empty() {
        return Err("If using process.roles, either controller.quorum.bootstrap.servers must contain the set of \
                    bootstrap controllers or controller.quorum.voters must contain a parseable set of controllers."
            .to_owned());
    }
    let ids: BTreeSet<_> = voters.iter().map(|voter| voter.id).collect();
    if ids.len() < voters.len() {
        return Err("controller.quorum.voters names a node twice".to_owned());
    }
    if !voters.is_empty() && roles.controller && !ids.contains(&node_id) {
        return Err(format!(
            "If process.roles contains the 'controller' role, the node id {node_id} must be included in the set of \
             voters controller.quorum.voters"
        ));
    }
    if !roles.controller && ids.contains(&node_id) {
        return Err(format!(
            "If process.roles contains just the 'broker' role, the node id {node_id} must not be included in the set \
             of voters controller.quorum.voters"
        ));
    }
    Ok(QuorumConfig::read(settings, voters, servers))
}

#[cfg(test)]
mod tests;
