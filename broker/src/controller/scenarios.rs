//! Runs the scripts in `scenarios/` and compares what happens with what they say.
//!
//! A line that begins in the first column is a command, or a comment; the indented lines after it are what came of it.
//! How they are read and compared is in `scenario.rs`.

mod shown;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use self::shown::{refused, state_of};
use super::machine::{Due, Machine};
use super::{
    AllocateProducerIds, AlterConfigs, AlterPartition, AlterPartitionState, AlterReassignments,
    AssignReplicas, BrokerDisconnected, BrokerHeartbeat, BrokerMissing, BrokerSilent, ConfigChange,
    ConfigOperation, ConnectionId, CreatePartitions, CreateTopics, DeleteTopics, ElectLeaders,
    ElectionKind, GrownTopic, IncrementalAlterConfigs, ListReassignments, NewTopic, Refusal,
    RegisterBroker, Request, Settings, TopicReference, UnheardBrokers, UnregisterBroker,
    supported_features,
};
use crate::config::NodeConfig;
use crate::metadata::{
    CommittedBatch, ConfigResource, ConfigResourceType, Endpoint, LeaderRecoveryState,
    MetadataImage, MetadataLoader, PartitionEpoch,
};
use crate::model::{
    BrokerEpoch, ClusterId, DirectoryId, LeaderEpoch, NodeId, Offset, PartitionIndex, Timestamp,
    TopicId, TopicName,
};
use crate::protocol::internal_records::metadata::{FeatureLevelRecord, MetadataRecord};
use crate::scenario::{self, Words, list, nodes, parse};
use crate::state_machine::Decision;

const LEVEL: i16 = 33;

/// A controller on a log in memory, and what a script says to it.
pub(super) struct World {
    machine: Machine,
    /// Everything appended.
    log: Vec<MetadataRecord>,
    committed: usize,
    now: Duration,
    random: u64,
    output: String,
    /// Names of topics, deleted ones too.
    names: BTreeMap<TopicId, String>,
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self::founded(super::bootstrap_records());
        world.output.clear();
        world
    }

    /// A cluster that begins with these records.
    fn founded(bootstrap: Vec<MetadataRecord>) -> Self {
        let settings = Settings {
            cluster_id: ClusterId::from("cluster"),
            config: Arc::new(NodeConfig::dev("data", &[]).expect("a node to try with")),
            bootstrap,
        };
        let mut world = Self {
            machine: Machine::new(settings),
            log: Vec::new(),
            committed: 0,
            now: Duration::from_secs(100),
            random: 1,
            output: String::new(),
            names: BTreeMap::new(),
        };
        world.lead(1);
        world.commit();
        world
    }

    /// Everything anew, with features.
    fn found(&mut self, words: &Words<'_>) {
        let mut bootstrap = super::bootstrap_records();
        bootstrap.extend(words.named.iter().map(|(name, level)| {
            FeatureLevelRecord { name: (*name).to_owned(), feature_level: parse(level) }.into()
        }));
        *self = Self::founded(bootstrap);
    }

    pub(super) fn image(&self) -> &MetadataImage {
        self.machine.image()
    }

    pub(super) fn output(&self) -> &str {
        &self.output
    }

    fn say(&mut self, text: impl AsRef<str>) {
        writeln!(self.output, "  {}", text.as_ref()).expect("a string takes everything");
    }

    fn lead(&mut self, epoch: i32) {
        self.machine.activate(LeaderEpoch::new(epoch), self.now);
        let records = self.machine.first_records();
        self.append(&records);
    }

    fn append(&mut self, records: &[MetadataRecord]) {
        if records.is_empty() {
            return;
        }
        self.log.extend(records.iter().cloned());
        let last = Offset::new(i64::try_from(self.log.len()).expect("a short log") - 1);
        self.machine.appended(records, last, self.now);
        for (place, record) in (self.log.len() - records.len()..).zip(records) {
            let text = self.record(record);
            self.say(format!("@{place} {text}"));
        }
        let loaded = load(&self.log);
        assert!(
            self.machine.image().says_the_same_as(loaded.image()),
            "the log loads to what the controller works with"
        );
    }

    fn commit(&mut self) {
        self.committed = self.log.len();
        let loader = load(&self.log);
        self.machine.commit(
            loader.image().clone(),
            loader.next_offset(),
            loader.is_in_transaction(),
        );
    }

    fn ask<Q: Request>(&mut self, request: &Q) -> Option<Q::Outcome> {
        let mut state = self.random;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 16
        };
        let decided = self.machine.decide(request, self.now, &mut random);
        self.random = state;
        match decided {
            None => self.say("NOT_CONTROLLER"),
            Some(Err(refusal)) => self.say(refused(&refusal)),
            Some(Ok(Decision { records, response })) => {
                self.append(&records);
                self.machine.note(request, &response, self.now);
                return Some(response);
            }
        }
        None
    }

    pub(super) fn run(&mut self, line: &str) {
        let words = Words::new(line);
        match words.word(0) {
            "found" => self.found(&words),
            "register" => self.register(&words),
            "heartbeat" => self.heartbeat(&words),
            "unregister" => drop(self.ask(&UnregisterBroker(words.node(1)))),
            "create" => self.create(&words),
            "grow" => self.grow(&words),
            "delete" => self.delete(&words),
            "alter" => self.alter(&words),
            "replace" => self.replace(&words),
            "isr" => self.isr(&words),
            "disconnect" => drop(self.ask(&BrokerDisconnected {
                broker_id: words.node(1),
                connection: ConnectionId(words.needed("over")),
                grace: Duration::from_millis(words.needed("grace")),
            })),
            "missing" => {
                let id = words.node(1);
                let epoch = self.machine.image().cluster().broker(id).map(|broker| broker.epoch);
                self.ask(&BrokerMissing {
                    broker_id: id,
                    broker_epoch: epoch.expect("a broker"),
                    grace: Duration::from_millis(words.needed("grace")),
                });
            }
            "silent" => drop(self.ask(&BrokerSilent {
                broker_id: words.node(1),
                silence: Duration::from_millis(words.needed("for")),
            })),
            "unheard" => {
                let unheard = self.ask(&UnheardBrokers).unwrap_or_default();
                self.say(list(&unheard.iter().map(|broker| broker.id).collect::<Vec<_>>()));
            }
            "assign" => self.assign(&words),
            "reassign" => self.reassign(&words),
            "reassignments" => self.reassignments(),
            "elect" => self.elect(&words),
            "advance-awake" => self.advance_awake(&words),
            "producer-ids" => self.producer_ids(&words),
            "advance" => self.advance(&words),
            "commit" => self.commit(),
            "lead" => self.lead(words.parsed(1)),
            "resign" => {
                self.machine.resign();
                self.log.truncate(self.committed);
            }
            "brokers" => self.brokers(),
            "topics" => self.topics(),
            "configs" => self.configs(),
            other => panic!("no command {other}"),
        }
    }

    fn register(&mut self, words: &Words<'_>) {
        let id = words.node(1);
        let directory_count = words.number::<u128>("directories").unwrap_or(1);
        let base = u128::from(id.0.unsigned_abs()) * 1_000;
        let directories = match words.get("directory") {
            Some(number) => vec![DirectoryId(Uuid::from_u128(parse(number)))],
            None => (0..directory_count).map(|n| DirectoryId(Uuid::from_u128(base + n))).collect(),
        };
        let mut features = supported_features();
        if let Some(max) = words.number::<i16>("max_version") {
            features.get_mut("metadata.version").expect("always there").max = max;
        }
        if let Some(name) = words.get("without") {
            features.remove(name);
        }
        let request = RegisterBroker {
            cluster_id: ClusterId::from(words.get("cluster").unwrap_or("cluster")),
            broker_id: id,
            incarnation_id: Uuid::from_u128(words.number("incarnation").unwrap_or(1)),
            endpoints: vec![Endpoint {
                listener_name: "PLAINTEXT".to_owned(),
                host: "host".to_owned(),
                port: 9092,
                security_protocol: 0,
            }],
            features,
            rack: words.get("rack").map(str::to_owned),
            directories,
            previous_epoch: if words.has("clean") {
                self.image().cluster().broker(id).map(|broker| broker.epoch)
            } else {
                words.number("previous").map(BrokerEpoch)
            },
            is_migrating_zk_broker: words.has("zk"),
        };
        if let Some(epoch) = self.ask(&request) {
            self.say(format!("epoch {epoch}"));
        }
    }

    fn heartbeat(&mut self, words: &Words<'_>) {
        let id = words.node(1);
        let epoch = self.machine.image().cluster().broker(id).map_or(0, |broker| broker.epoch.0);
        let newest = i64::try_from(self.log.len()).expect("a short log") - 1;
        let request = BrokerHeartbeat {
            broker_id: id,
            broker_epoch: BrokerEpoch(words.number("epoch").unwrap_or(epoch)),
            metadata_offset: Offset::from_wire(words.number("at").unwrap_or(newest)),
            wants_fence: words.has("fence"),
            wants_shutdown: words.has("shutdown"),
            offline_directories: words
                .number("offline")
                .map(|number| DirectoryId(Uuid::from_u128(number)))
                .into_iter()
                .collect(),
            cordoned_directories: None,
            connection: words.number("over").map(ConnectionId),
        };
        if let Some(standing) = self.ask(&request) {
            let caught_up = if standing.is_caught_up { "" } else { ", not caught up" };
            self.say(format!("{:?}{caught_up}", standing.state));
        }
    }

    fn create(&mut self, words: &Words<'_>) {
        let configs = words.named.iter().filter(|(key, _)| key.contains('.'));
        let assignments = words.get("assign").map_or_else(Vec::new, |text| {
            (0..).map(PartitionIndex).zip(text.split('/').map(nodes)).collect()
        });
        let topics = words.plain[1..].iter().filter(|word| **word != "validate");
        let topics = topics.map(|name| NewTopic {
            name: name.replace("EMPTY", "").replace('~', " ").replace("LONG", &"x".repeat(250)),
            partition_count: words.number("partitions"),
            replication_factor: words.number("replicas"),
            assignments: assignments.clone(),
            configs: configs
                .clone()
                .map(|(key, value)| {
                    ((*key).to_owned(), (*value != "NULL").then(|| (*value).to_owned()))
                })
                .collect(),
        });
        let request =
            CreateTopics { topics: topics.collect(), is_validate_only: words.has("validate") };
        for (name, result) in self.ask(&request).unwrap_or_default() {
            match result {
                Ok(created) => self.say(format!(
                    "{name}: {} partition(s) of {} replica(s)",
                    created.partition_count, created.replication_factor
                )),
                Err(refusal) => self.say(refused(&refusal)),
            }
        }
    }

    fn grow(&mut self, words: &Words<'_>) {
        let request = CreatePartitions {
            topics: vec![GrownTopic {
                name: words.word(1).to_owned(),
                partition_count: words.needed("to"),
                assignments: words.get("assign").map(|text| text.split('/').map(nodes).collect()),
            }],
            is_validate_only: words.has("validate"),
        };
        for (name, result) in self.ask(&request).unwrap_or_default() {
            self.say_result(&name, result);
        }
    }

    fn delete(&mut self, words: &Words<'_>) {
        let references = words.plain[1..].iter().map(|name| match name.strip_prefix('#') {
            None => TopicReference::Name((*name).to_owned()),
            Some(name) => {
                let known = self.names.iter().find(|(_, other)| *other == name);
                TopicReference::Id(known.map_or(TopicId::ZERO, |(id, _)| *id))
            }
        });
        let request = DeleteTopics { topics: references.collect() };
        for (reference, result) in self.ask(&request).unwrap_or_default() {
            let name = match reference {
                TopicReference::Name(name) => name,
                TopicReference::Id(_) => "(id)".to_owned(),
            };
            self.say_result(&name, result.map(drop));
        }
    }

    fn alter(&mut self, words: &Words<'_>) {
        let resource = resource_of(words);
        let mut changes = Vec::new();
        for (key, value) in &words.named {
            let (operation, name) = match (key.strip_prefix('+'), key.strip_prefix('-')) {
                (Some(name), _) => (ConfigOperation::Append, name),
                (None, Some(name)) => (ConfigOperation::Subtract, name),
                (None, None) => (ConfigOperation::Set, *key),
            };
            let value = (*value != "NULL").then(|| value.replace("LONG", &"x".repeat(40_000)));
            changes.push(ConfigChange { name: name.to_owned(), operation, value });
        }
        for name in words.plain.iter().filter_map(|word| word.strip_prefix('!')) {
            let operation = ConfigOperation::Delete;
            changes.push(ConfigChange { name: name.to_owned(), operation, value: None });
        }
        let mut resources = vec![(resource.clone(), changes)];
        if words.has("twice") {
            resources.push((resource, Vec::new()));
        }
        let is_validate_only = words.has("validate");
        let request = IncrementalAlterConfigs { resources, is_validate_only };
        for (resource, result) in self.ask(&request).unwrap_or_default() {
            self.say_result(
                &format!("{} {}", resource.resource_type.name(), resource.name),
                result,
            );
        }
    }

    fn replace(&mut self, words: &Words<'_>) {
        let values = words.named.iter();
        let values = values.map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
        let request = AlterConfigs {
            resources: vec![(resource_of(words), values.collect())],
            is_validate_only: words.has("validate"),
        };
        for (resource, result) in self.ask(&request).unwrap_or_default() {
            self.say_result(
                &format!("{} {}", resource.resource_type.name(), resource.name),
                result,
            );
        }
    }

    fn isr(&mut self, words: &Words<'_>) {
        let topic = self.machine.image().topics().by_name(words.word(1)).cloned();
        let index = PartitionIndex(words.parsed(2));
        let Some(topic) = topic else { return self.say("no such topic") };
        let current = topic.partition(index).map(|partition| (**partition).clone());
        let current = current.unwrap_or_default();
        let leader = words.number("by").map(NodeId).or(current.leader).unwrap_or(NodeId(-1));
        let epoch = |id: NodeId| self.machine.image().cluster().broker(id).map(|b| b.epoch);
        let wanted = nodes(&words.needed::<String>("to"));
        let stale = words.number("stale").map(NodeId);
        let request = AlterPartition {
            broker_id: leader,
            broker_epoch: epoch(leader).unwrap_or(BrokerEpoch(0)),
            topics: vec![(
                topic.id,
                vec![AlterPartitionState {
                    partition: index,
                    leader_epoch: LeaderEpoch::new(
                        words.number("leader_epoch").unwrap_or(current.leader_epoch.value()),
                    ),
                    isr: wanted
                        .into_iter()
                        .map(|id| {
                            (id, if stale == Some(id) { Some(BrokerEpoch(0)) } else { epoch(id) })
                        })
                        .collect(),
                    leader_recovery_state: if words.has("recovering") {
                        LeaderRecoveryState::Recovering
                    } else {
                        LeaderRecoveryState::Recovered
                    },
                    partition_epoch: PartitionEpoch(
                        words.number("partition_epoch").unwrap_or(current.partition_epoch.0),
                    ),
                }],
            )],
        };
        for (_, partitions) in self.ask(&request).unwrap_or_default() {
            for (index, result) in partitions {
                match result {
                    Ok(altered) => self.say(format!(
                        "{index}: leader={}/{} isr={} v{}",
                        altered.leader.map_or("none".to_owned(), |id| id.to_string()),
                        altered.leader_epoch,
                        list(&altered.isr),
                        altered.partition_epoch.0
                    )),
                    Err(code) => self.say(format!("{index}: {code}")),
                }
            }
        }
    }

    fn assign(&mut self, words: &Words<'_>) {
        let id = words.node(1);
        let epoch = self.machine.image().cluster().broker(id).map_or(0, |broker| broker.epoch.0);
        let topic = self.machine.image().topics().by_name(words.word(2)).map(|topic| topic.id);
        let indexes = words.plain[3..].iter().filter_map(|index| index.parse().ok());
        let partitions = indexes.map(PartitionIndex).collect();
        let directory = DirectoryId(Uuid::from_u128(words.needed("to")));
        let request = AssignReplicas {
            broker_id: id,
            broker_epoch: BrokerEpoch(words.number("epoch").unwrap_or(epoch)),
            directories: vec![(directory, vec![(topic.unwrap_or(TopicId::ZERO), partitions)])],
        };
        for (_, topics) in self.ask(&request).unwrap_or_default() {
            for (index, code) in topics.into_iter().flat_map(|(_, partitions)| partitions) {
                self.say(format!("{index}: {code}"));
            }
        }
    }

    fn producer_ids(&mut self, words: &Words<'_>) {
        let id = words.node(1);
        let epoch = self.machine.image().cluster().broker(id).map_or(0, |broker| broker.epoch.0);
        let broker_epoch = BrokerEpoch(words.number("epoch").unwrap_or(epoch));
        if let Some(block) = self.ask(&AllocateProducerIds { broker_id: id, broker_epoch }) {
            self.say(format!("{} from {}", block.length, block.first));
        }
    }

    /// Lets time pass, in steps that end where something is due.
    fn advance(&mut self, words: &Words<'_>) {
        let millis: u64 = words.parsed(1);
        let end = self.now + Duration::from_millis(millis);
        while let Some(next) = self.machine.next_deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            let Some(due) = self.machine.due(self.now) else { break };
            let records = self.machine.records_for(due, self.now);
            let length = self.output.len();
            self.append(&records);
            if due == Due::NoOp {
                // Twice a second; nothing to look at.
                self.output.truncate(length);
            }
            self.machine.done(due, records.len(), self.now);
        }
        self.now = end;
    }

    /// Lets time pass while the brokers that are in heartbeat, each second.
    fn advance_awake(&mut self, words: &Words<'_>) {
        let seconds: u64 = words.parsed(1);
        for _ in 0..seconds {
            self.advance(&Words::new("advance 1000"));
            let brokers = self.machine.image().cluster().brokers();
            let awake: Vec<NodeId> =
                brokers.filter(|broker| !broker.is_fenced).map(|broker| broker.id).collect();
            let length = self.output.len();
            for id in awake {
                self.heartbeat(&Words::new(&format!("heartbeat {id}")));
            }
            self.output.truncate(length);
        }
    }

    fn reassign(&mut self, words: &Words<'_>) {
        let index = PartitionIndex(words.parsed(2));
        let replicas = words.get("to").map(nodes);
        let request = AlterReassignments {
            topics: vec![(TopicName::from(words.word(1)), vec![(index, replicas)])],
            may_change_replication_factor: !words.has("same-factor"),
        };
        for (_, partitions) in self.ask(&request).unwrap_or_default() {
            for (index, result) in partitions {
                self.say_result(&index.to_string(), result);
            }
        }
    }

    fn reassignments(&mut self) {
        for (topic, moves) in self.ask(&ListReassignments { topics: None }).unwrap_or_default() {
            for one in moves {
                let (replicas, adding) = (list(&one.replicas), list(&one.adding));
                let removing = list(&one.removing);
                let partition = one.partition;
                self.say(format!(
                    "{topic}-{partition} replicas={replicas} adding={adding} removing={removing}"
                ));
            }
        }
    }

    fn elect(&mut self, words: &Words<'_>) {
        let kind = match words.word(1) {
            "preferred" => ElectionKind::Preferred,
            "unclean" => ElectionKind::Unclean,
            other => panic!("no election {other}"),
        };
        let topics = words.plain.get(2).map(|name| {
            let indexes = words.plain[3..].iter().filter_map(|index| index.parse().ok());
            vec![(TopicName::from(*name), indexes.map(PartitionIndex).collect())]
        });
        for (topic, partitions) in self.ask(&ElectLeaders { kind, topics }).unwrap_or_default() {
            for (index, result) in partitions {
                self.say_result(&format!("{topic}-{index}"), result);
            }
        }
    }

    fn brokers(&mut self) {
        let brokers: Vec<String> = self
            .machine
            .image()
            .cluster()
            .brokers()
            .map(|broker| {
                let fenced = if broker.is_fenced { " fenced" } else { "" };
                let leaving = if broker.in_controlled_shutdown { " leaving" } else { "" };
                format!("{} epoch={}{fenced}{leaving}", broker.id, broker.epoch)
            })
            .collect();
        brokers.iter().for_each(|line| self.say(line));
    }

    fn topics(&mut self) {
        let topics: Vec<_> = self.machine.image().topics().iter().map(Arc::clone).collect();
        for topic in topics {
            for (index, partition) in topic.partitions.iter() {
                self.say(format!("{}-{index} {}", topic.name, state_of(partition)));
            }
        }
    }

    fn configs(&mut self) {
        let image = self.machine.image().clone();
        for (resource, entries) in image.configurations().iter() {
            for (name, value) in entries.iter() {
                let kind = resource.resource_type.name();
                self.say(format!("{kind} {} {name}={value}", resource.name));
            }
        }
    }

    fn say_result(&mut self, name: &str, result: Result<(), Refusal>) {
        match result {
            Ok(()) => self.say(format!("{name}: ok")),
            Err(refusal) => {
                let text = refused(&refusal);
                self.say(format!("{name}: {text}"));
            }
        }
    }
}

fn resource_of(words: &Words<'_>) -> ConfigResource {
    let resource_type = match words.word(1) {
        "topic" => ConfigResourceType::Topic,
        "broker" => ConfigResourceType::Broker,
        "group" => ConfigResourceType::Group,
        "client-metrics" => ConfigResourceType::ClientMetrics,
        "logger" => ConfigResourceType::BrokerLogger,
        other => panic!("no resource type {other}"),
    };
    let name = words.plain.get(2).filter(|name| **name != "ALL").copied().unwrap_or_default();
    ConfigResource::new(resource_type, name)
}

/// Loads a log, through its bytes, and then its image through the bytes of a snapshot.
fn load(log: &[MetadataRecord]) -> MetadataLoader {
    let encode = |records: &[MetadataRecord]| -> Vec<Bytes> {
        records.iter().map(|record| record.encode_at(LEVEL).expect("a record")).collect()
    };
    let mut loader = MetadataLoader::new();
    if log.is_empty() {
        return loader;
    }
    let batch = CommittedBatch {
        base_offset: Offset::ZERO,
        last_offset: Offset::new(i64::try_from(log.len()).expect("a short log") - 1),
        epoch: LeaderEpoch::new(1),
        append_time: Timestamp(0),
        records: encode(log),
    };
    let image: MetadataImage = loader.load_batch(&batch).expect("our own log").image;
    let mut from_snapshot = MetadataLoader::new();
    let end =
        crate::model::OffsetAndEpoch { offset: loader.next_offset(), epoch: LeaderEpoch::new(1) };
    let records = encode(&image.to_records());
    let again =
        from_snapshot.load_snapshot(end, Timestamp(0), records).expect("our own snapshot").image;
    assert!(again.says_the_same_as(&image), "a snapshot is the image");
    loader
}

#[test]
fn scenarios_come_out_as_written() {
    scenario::check_all("src/controller/scenarios", |scenario| {
        let mut world = World::new();
        scenario.with_indented_output(|line| {
            world.run(line);
            std::mem::take(&mut world.output)
        })
    });
}
