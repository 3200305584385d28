use std::time::Duration;

use super::*;
use crate::config::{CompressionType, SecurityProtocol};

/// What Kafka 4.4 ships as `server.properties`, without its comments.
const SHIPPED: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
#log.flush.interval.messages=10000
#log.flush.interval.ms=1000
log.retention.hours=168
#log.retention.bytes=1073741824
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

fn read(file: &str, overrides: &[(&str, &str)]) -> Result<NodeConfig, Error> {
    let overrides: Vec<_> =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    NodeConfig::read(Some(("server.properties", file)), &overrides)
}

fn shipped(overrides: &[(&str, &str)]) -> Result<NodeConfig, Error> {
    read(SHIPPED, overrides)
}

#[test]
fn the_shipped_file_of_kafka_starts_a_node() {
    let config = shipped(&[]).unwrap();
    assert_eq!(config.node_id, NodeId(1));
    assert_eq!(config.roles, Roles { broker: true, controller: true });
    let listeners: Vec<_> = config.listeners.iter().map(ToString::to_string).collect();
    assert_eq!(listeners, ["PLAINTEXT://:9092", "CONTROLLER://:9093"]);
    let advertised: Vec<_> = config.advertised_listeners.iter().map(ToString::to_string).collect();
    assert_eq!(advertised, ["PLAINTEXT://localhost:9092", "CONTROLLER://localhost:9093"]);
    assert_eq!(config.controller_listener_names, ["CONTROLLER"]);
    assert_eq!(config.inter_broker_listener_name, "PLAINTEXT");
    assert_eq!(config.listeners[1].protocol, SecurityProtocol::Plaintext);
    assert_eq!(config.log_dirs, [PathBuf::from("/tmp/kraft-combined-logs")]);
    assert_eq!(config.metadata_log.directory, config.log_dirs[0]);
    assert_eq!(
        config.quorum.bootstrap_servers,
        [HostPort { host: "localhost".to_owned(), port: 9093 }]
    );
    assert_eq!(config.offsets.topic_replication_factor, 1);
    assert_eq!(config.transactions.topic_min_insync_replicas, 1);
    assert_eq!(config.logs.recovery_parallelism, 1);
}

#[test]
fn fields_have_kafkas_defaults() {
    let config = shipped(&[]).unwrap();
    assert_eq!(config.sockets.connections_max_idle, Duration::from_secs(600));
    assert_eq!(config.sockets.queued_max_requests, 500);
    assert_eq!(config.sockets.queued_max_request_bytes, None);
    assert_eq!(config.replication.lag_time_max, Duration::from_secs(30));
    assert_eq!(config.replication.client_fetch_max_bytes, 57_671_680);
    assert_eq!(config.offsets.retention, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(config.groups.initial_rebalance_delay, Duration::from_secs(3));
    assert_eq!(config.groups.consumer_assignors, ["uniform", "range"]);
    assert_eq!(config.lifecycle.leader_imbalance_check_interval, Duration::from_secs(300));
    let topic = config.topic_defaults;
    assert_eq!(topic.retention, Some(Duration::from_secs(7 * 24 * 3600)));
    assert_eq!(topic.segment_age, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(
        (topic.retention_bytes, topic.flush_messages, topic.flush_interval),
        (None, None, None)
    );
    assert_eq!((topic.segment_bytes, topic.max_message_bytes), (1 << 30, 1_048_588));
    assert_eq!(topic.max_decompressed_message_bytes, 2_147_483_639);
    assert_eq!(topic.message_timestamp_after_max, Some(Duration::from_secs(3600)));
    assert_eq!(topic.message_timestamp_before_max, None);
    assert_eq!(topic.compression, CompressionType::Producer);
    assert!(topic.cleanup_policy.delete && !topic.cleanup_policy.compact);
}

#[test]
fn finer_units_win_over_coarser_ones() {
    let retention =
        |overrides: &[(&str, &str)]| shipped(overrides).unwrap().topic_defaults.retention;
    let millis = |millis| Some(Duration::from_millis(millis));
    assert_eq!(retention(&[("log.retention.hours", "1")]), millis(3_600_000));
    assert_eq!(
        retention(&[("log.retention.hours", "1"), ("log.retention.minutes", "2")]),
        millis(120_000)
    );
    assert_eq!(retention(&[("log.retention.minutes", "2"), ("log.retention.ms", "3")]), millis(3));
    assert_eq!(retention(&[("log.retention.ms", "-1")]), None);
    assert_eq!(retention(&[("log.retention.hours", "-1")]), None);
    let config = shipped(&[("log.roll.ms", "5"), ("log.roll.jitter.hours", "1")]).unwrap();
    assert_eq!(config.topic_defaults.segment_age, Duration::from_millis(5));
    assert_eq!(config.topic_defaults.segment_jitter, Duration::from_secs(3600));
    let config = shipped(&[("log.dir", "/other")]).unwrap();
    assert_eq!(config.log_dirs, [PathBuf::from("/tmp/kraft-combined-logs")]);
    let config = shipped(&[("log.dirs", "/a, /b"), ("metadata.log.dir", "/c")]).unwrap();
    assert_eq!(config.log_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(config.metadata_log.directory, PathBuf::from("/c"));
}

#[test]
fn a_topic_wins_over_its_node() {
    let config =
        shipped(&[("log.cleanup.policy", "compact"), ("min.insync.replicas", "2")]).unwrap();
    let overrides: BTreeMap<_, _> =
        [("min.insync.replicas", "1"), ("retention.ms", "7"), ("segment.bytes", "wrong")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
    let topic = TopicConfig::resolve(&overrides, config.settings());
    assert!(topic.cleanup_policy.compact && !topic.cleanup_policy.delete);
    assert_eq!(topic.min_insync_replicas, 1);
    assert_eq!(topic.retention, Some(Duration::from_millis(7)));
    assert_eq!(topic.segment_bytes, 1 << 30);
    assert_eq!(config.topic_defaults.min_insync_replicas, 2);
}

#[test]
fn a_topics_settings_are_judged_together() {
    let settings = shipped(&[]).unwrap().settings().clone();
    let check = |pairs: &[(&str, &str)], expected: Result<(), &str>| {
        let overrides =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(
            TopicConfig::validate_all(&overrides, &settings),
            expected.map_err(str::to_owned)
        );
    };
    check(&[("cleanup.policy", "compact,delete"), ("internal.segment.bytes", "5")], Ok(()));
    check(&[("nope", "1")], Err("Unknown topic config name: nope"));
    check(
        &[("retention.ms", "-2")],
        Err("Invalid value -2 for configuration retention.ms: Value must be at least -1"),
    );
    check(
        &[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")],
        Err("conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"),
    );
}

#[test]
fn the_cluster_changes_what_may_change() {
    let config = shipped(&[]).unwrap();
    let broker = BTreeMap::from([("log.retention.ms".to_owned(), "9".to_owned())]);
    let updated =
        config.updated(DynamicSettings { default: &BTreeMap::new(), broker: &broker }).unwrap();
    assert_eq!(updated.topic_defaults.retention, Some(Duration::from_millis(9)));
    assert_eq!(config.updated(DynamicSettings::NONE).unwrap(), config);
}

#[test]
fn a_bare_start_needs_nothing() {
    let config = NodeConfig::dev("/tmp/data", &[]).unwrap();
    assert_eq!(config.listeners[0].to_string(), "PLAINTEXT://127.0.0.1:9092");
    assert_eq!(config.advertised_listeners, config.listeners);
    assert_eq!(config.groups.initial_rebalance_delay, Duration::ZERO);
    assert_eq!(
        (config.offsets.topic_replication_factor, config.transactions.topic_replication_factor),
        (1, 1)
    );
    let moved = "PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093";
    let moved =
        NodeConfig::dev("/tmp/data", &[("listeners".to_owned(), moved.to_owned())]).unwrap();
    assert_eq!(moved.advertised_listeners[0].port, 19092);
}

#[test]
fn settings_that_do_not_go_together_stop_the_node() {
    let check = |overrides: &[(&str, &str)], expected: &str| {
        let message = shipped(overrides).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(&[("process.roles", "")], "process.roles must name broker, controller or both");
    check(&[("process.roles", "broker,broker")], "Duplicate role names");
    check(&[("process.roles", "broker")], "just the broker role");
    check(&[("process.roles", "controller")], "only contain KRaft controller listeners");
    check(&[("listeners", "PLAINTEXT://:9092")], "at least one value appearing in the 'listeners'");
    check(&[("listeners", "PLAINTEXT://:9092,CONTROLLER://:9092")], "different port");
    check(&[("listeners", "PLAINTEXT://:1,PLAINTEXT://:2,CONTROLLER://:3")], "different name");
    check(&[("listeners", "PLAINTEXT:9092")], "Unable to parse PLAINTEXT:9092");
    check(
        &[("listeners", "OTHER://:9092,CONTROLLER://:1")],
        "No security protocol defined for listener OTHER",
    );
    check(&[("advertised.listeners", "PLAINTEXT://0.0.0.0:9092")], "nonroutable meta-address");
    check(
        &[("advertised.listeners", "SSL://localhost:9092")],
        "subset of the ones defined in listeners",
    );
    check(
        &[("inter.broker.listener.name", "CONTROLLER")],
        "must not be one of controller.listener.names",
    );
    check(
        &[("inter.broker.listener.name", "SSL")],
        "must be a listener name defined in advertised.listeners",
    );
    check(&[("security.inter.broker.protocol", "PLAINTEXT")], "Only one of");
    check(
        &[("controller.quorum.bootstrap.servers", "")],
        "either controller.quorum.bootstrap.servers",
    );
    check(&[("controller.quorum.voters", "2@host:9093")], "the node id 1 must be included");
    check(&[("controller.quorum.voters", "1@host")], "each entry must be in the form");
    check(&[("log.dirs", ""), ("log.dir", "")], "At least one log directory");
    check(&[("replica.fetch.wait.max.ms", "40000")], "replica.lag.time.max.ms");
    check(
        &[("group.consumer.session.timeout.ms", "70000")],
        "group.consumer.max.session.timeout.ms",
    );
    check(&[("broker.heartbeat.interval.ms", "5000")], "at most half");
    check(&[("group.consumer.assignors", "")], "at least one assignor");
    check(&[("max.connections.per.ip.overrides", "host")], "max.connections.per.ip.overrides");
}

#[test]
fn numbers_that_no_key_alone_forbids_stop_the_node() {
    let check = |overrides: &[(&str, &str)], expected: &str| {
        let message = shipped(overrides).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(&[("log.roll.ms", "0")], "log.roll.ms must be greater than or equal to 1");
    check(&[("log.roll.jitter.ms", "-1")], "log.roll.jitter.ms must be greater than or equal to 0");
    check(&[("log.retention.ms", "0")], "log.retention.ms must be unlimited (-1)");
    check(&[("log.cleaner.threads", "200")], "at least 1MB per cleaner thread");
    check(&[("cordoned.log.dirs", "/elsewhere")], "Missing entries : /elsewhere");
    check(&[("cordoned.log.dirs", "*,/x")], "must not contain other values");
    check(&[("queued.max.request.bytes", "5")], "larger or equal to socket.request.max.bytes");
    check(&[("connections.max.idle.ms", "50")], "less than connections.max.idle.ms");
    check(&[("replica.socket.timeout.ms", "5")], "at least replica.fetch.wait.max.ms");
    check(&[("controller.listener.names", "CONTROLLER,SSL")], "must only contain values appearing");
}

#[test]
fn one_port_may_serve_both_versions_of_ip() {
    let listeners = |text: &str| {
        let map = "PLAINTEXT:PLAINTEXT,SIX:PLAINTEXT,CONTROLLER:PLAINTEXT";
        shipped(&[("listeners", text), ("listener.security.protocol.map", map)]).is_ok()
    };
    assert!(listeners("PLAINTEXT://127.0.0.1:9092,SIX://[::1]:9092,CONTROLLER://:9093"));
    assert!(!listeners("PLAINTEXT://127.0.0.1:9092,SIX://127.0.0.2:9092,CONTROLLER://:9093"));
    assert!(!listeners("PLAINTEXT://:9092,SIX://[::1]:9092,CONTROLLER://:9093"));
}

#[test]
fn a_broker_alone_finds_its_controllers() {
    let file = "process.roles=broker\nnode.id=2\ncontroller.listener.names=CONTROLLER\n\
                controller.quorum.voters=1@c1:9093,3@c3:9093\nlisteners=PLAINTEXT://b2:9092\nlog.dirs=/d\n";
    let config = read(file, &[]).unwrap();
    assert_eq!(config.roles, Roles { broker: true, controller: false });
    assert_eq!(config.quorum.voters.len(), 2);
    assert_eq!(config.advertised_listeners, config.listeners);
    assert_eq!(config.inter_broker_listener_name, "PLAINTEXT");
    let message = read(file, &[("node.id", "3")]).unwrap_err().to_string();
    assert!(message.contains("must not be included"), "{message}");
}

#[test]
fn the_example_that_is_documented_has_per_host_limits() {
    let config =
        shipped(&[("max.connections.per.ip.overrides", "hostName:100, 127.0.0.1:200")]).unwrap();
    let expected = [("hostName".to_owned(), 100), ("127.0.0.1".to_owned(), 200)];
    assert_eq!(config.sockets.max_connections_per_ip_overrides, expected);
}
