//! The program as people use it: a broker for development, and every kind of command against it.

mod program;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use program::OTTLA;

/// A broker with a directory of its own; both are gone afterwards.
struct Broker {
    process: Child,
    address: String,
    data: PathBuf,
}

impl Broker {
    fn start(name: &str) -> Self {
        let data = program::directory(name);
        let mut process = Command::new(OTTLA)
            .args(["--any-port", "--print-ready-json", "--log", "warn", "--data"])
            .arg(&data)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("it has an output"))
            .read_line(&mut line)
            .expect("it says it is ready");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("one line of JSON");
        let address = ready["bootstrap"].as_str().expect("an address").to_owned();
        Self { process, address, data }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        program::run(arguments, &["-b", &self.address], input)
    }

    fn ok(&self, arguments: &[&str], input: &str) -> String {
        program::ok(arguments, &["-b", &self.address], input)
    }

    fn check(&self, arguments: &[&str], input: &str, expected: &str) {
        assert_eq!(self.ok(arguments, input), expected, "{arguments:?}");
    }

    fn check_code(&self, arguments: &[&str], code: i32) {
        let output = self.run(arguments, "");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(
            output.stdout.is_empty() || code == 6,
            "data only on standard output: {arguments:?}"
        );
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

#[test]
fn topics_records_and_groups_from_the_first_command_to_the_last() {
    let broker = Broker::start("commands");
    broker.check(&["topic", "list"], "", "NAME  PARTITIONS  REPLICAS\n");
    broker.check(
        &["topic", "create", "orders", "-p", "2", "-c", "retention.ms=1000000"],
        "",
        "created topic orders\n",
    );
    broker.check(&["topic", "list"], "", "NAME    PARTITIONS  REPLICAS\norders  2           1\n");

    let receipts = broker.ok(
        &["produce", "orders", "-p", "1", "-f", "%k=%v\\n", "-H", "h:x", "--receipts"],
        "a=1\nb=2\nc=\n",
    );
    assert_eq!(receipts, "orders 1 0\norders 1 1\norders 1 2\n");
    broker.check(
        &["consume", "orders", "-e", "-f", "%t-%p@%o %k=%v %h\\n"],
        "",
        "orders-1@0 a=1 h=x\norders-1@1 b=2 h=x\norders-1@2 c= h=x\n",
    );
    broker.check(&["consume", "orders", "-e", "-o", "-1", "-f", "%k\\n"], "", "c\n");
    broker.check(&["consume", "orders", "-n", "1", "-o", "+1", "-f", "%k\\n"], "", "b\n");
    let json = broker.ok(&["consume", "orders", "-n", "1"], "");
    let record: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((record["key"].as_str(), record["value"].as_str()), (Some("a"), Some("1")));

    broker.check(&["consume", "orders", "-g", "readers", "-n", "2", "-f", "%k\\n"], "", "a\nb\n");
    broker.check(&["consume", "orders", "-g", "readers", "-e", "-f", "%k\\n"], "", "c\n");
    broker.check(
        &["group", "list"],
        "",
        "GROUP    TYPE     PROTOCOL  STATE\nreaders  classic  consumer  Empty\n",
    );
    let moved = "TOPIC   PARTITION  PRIOR-OFFSET  NEW-OFFSET\norders  1          3             1\n";
    broker.check(&["group", "seek", "readers", "--to", "1"], "", moved);
    let described = broker.ok(&["group", "describe", "readers", "-o", "json"], "");
    let described: serde_json::Value = serde_json::from_str(&described).expect("JSON");
    assert_eq!(described[0]["total_lag"], 2);
    broker.check(
        &["group", "offset-delete", "readers", "-t", "orders:1"],
        "",
        "deleted offset of orders-1\n",
    );
    broker.check(&["group", "delete", "readers"], "", "deleted group readers\n");

    broker.check(
        &["topic", "trim", "orders", "-o", "2", "-p", "1"],
        "",
        "PARTITION  NEW-START  STATUS\norders-1   2          trimmed\n",
    );
    broker.check(&["consume", "orders", "-e", "-f", "%k\\n"], "", "c\n");
    broker.check(
        &["topic", "alter", "orders", "-d", "retention.ms", "-s", "max.message.bytes=2000"],
        "",
        "changed topic orders\n",
    );
    broker.check(
        &["topic", "add-partitions", "orders", "-n", "1"],
        "",
        "topic orders has 3 partitions\n",
    );
    let described = broker.ok(&["topic", "describe", "orders"], "");
    assert!(described.contains("Partitions:  3\n"), "{described}");
    assert!(described.contains("max.message.bytes  2000   DYNAMIC_TOPIC_CONFIG\n"), "{described}");
    assert!(!described.contains("retention.ms"), "{described}");
    broker.check(&["topic", "delete", "orders"], "", "deleted topic orders\n");
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let broker = Broker::start("codes");
    broker.ok(&["topic", "create", "there"], "");
    broker.check_code(&["topic", "create", "there"], 1);
    broker.check_code(&["topic", "describe", "missing"], 3);
    broker.check_code(&["topic", "delete", "missing"], 3);
    broker.check_code(&["topic", "delete", "missing", "there"], 6);
    broker.check_code(&["consume", "missing", "-e"], 3);
    broker.check_code(&["consume", "missing", "-g", "readers", "-n", "1"], 3);
    broker.check_code(&["group", "describe", "missing"], 3);
    broker.check_code(&["consume", "there", "-o", "yesterday"], 2);
    let unreachable =
        Command::new(OTTLA).args(["topic", "list", "-b", "127.0.0.1:1", "--timeout", "1"]).output();
    assert_eq!(unreachable.expect("it ends").status.code(), Some(5));
}

#[test]
fn a_group_with_members_is_moved_once_they_are_gone() {
    let broker = Broker::start("members");
    broker.ok(&["produce", "events"], "first\nsecond\n");
    let mut member = Command::new(OTTLA)
        .args(["consume", "events", "-g", "readers", "-f", "%v\\n", "-b", &broker.address])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the member starts");
    let mut line = String::new();
    let mut output = BufReader::new(member.stdout.take().expect("it has an output"));
    output.read_line(&mut line).expect("it reads");
    assert_eq!(line, "first\n");
    let refused = broker.run(&["group", "seek", "readers", "-t", "events", "--to", "start"], "");
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("UNKNOWN_MEMBER_ID") && stderr.contains("stop them first"), "{stderr}");
    member.kill().and_then(|()| member.wait()).expect("it ends");
}

#[test]
fn a_broker_that_cannot_start_says_why_and_what_to_do() {
    let broker = Broker::start("refusals");
    let check = |arguments: &[&str], what: &str, advice: &str| {
        let output = Command::new(OTTLA).args(arguments).output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {stderr}");
        assert!(stderr.contains(what) && stderr.contains(advice), "{arguments:?}: {stderr}");
    };
    let data = broker.data.to_str().expect("text");
    let (_, port) = broker.address.split_once(':').expect("a port");
    let other = format!("{data}-other");
    check(&["--data", data, "--any-port"], &format!("{data} is locked"), "runs on this directory");
    check(&["--data", &other, "--port", port], &format!("127.0.0.1:{port}"), "--port N");
    let _ = std::fs::remove_dir_all(&other);
    check(&["--data", OTTLA, "--any-port"], &format!("cannot use {OTTLA}"), "--data");
    check(&["--data", "src"], "src is not empty", "--data");
    check(&["--port", "65535"], "65535 is not in 0..65535", "--port");
    check(&["--override", "num.partition=1"], "--override: unknown key", "num.partitions?");
    check(&["--override", "num.partitions=x"], "num.partitions: Not a number", "correct the value");
}

#[test]
fn what_the_broker_wrote_can_be_looked_into() {
    let broker = Broker::start("dump");
    broker.ok(&["produce", "events", "-z", "zstd"], "first\nsecond\n");
    let dump = |path: &Path| {
        let output =
            Command::new(OTTLA).args(["log", "dump", "-r"]).arg(path).output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let events = dump(&broker.data.join("events-0"));
    assert!(events.contains("count: 2 "), "{events}");
    assert!(events.contains("compresscodec: zstd"), "{events}");
    assert!(events.contains("payload: second\n"), "{events}");
    let metadata = dump(&broker.data.join("__cluster_metadata-0"));
    assert!(metadata.contains("control: LeaderChange"), "{metadata}");
    assert!(metadata.contains("TopicName(\"events\")"), "{metadata}");
}

#[test]
fn a_measurement_counts_every_record() {
    let broker = Broker::start("bench");
    for bench in ["produce", "e2e"] {
        let output = broker.ok(
            &["bench", bench, "-n", "500", "--rate", "5000", "--size", "100", "-o", "json"],
            "",
        );
        let result: serde_json::Value = serde_json::from_str(&output).expect("JSON");
        assert_eq!((&result["records"], &result["errors"]), (&500.into(), &0.into()), "{bench}");
        assert!(result["latency_ms"]["p50"].as_f64().expect("a number") > 0.0);
    }
    let output = broker.ok(&["bench", "consume", "-o", "json"], "");
    let result: serde_json::Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(result["records"], 1000);
}
