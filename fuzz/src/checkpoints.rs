//! The small files: checkpoints of a log directory, its identity, the word a clean stop leaves, the quorum's vote, and
//! what people write into properties files.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ottla::config::{NodeConfig, read_properties};
use ottla::log::{LogDirectory, LogManager, Origin, Settings};
use ottla::model::{
    BrokerEpoch, ClusterId, LeaderEpoch, NodeId, Offset, Timestamp, TopicPartition,
};
use ottla::raft::{ElectionState, VoterSet};
use ottla::record::{Builder, Compression};

use crate::input::Input;
use crate::world::World;

const DIRECTORY: &str = "/d";

const IDENTITY: &[u8] =
    b"cluster.id=c\ndirectory.id=AAAAAAAAAAAAAAAAAAAAZQ\nnode.id=1\nversion=1\n";

/// Judges one input: which kind of file, and files.
///
/// # Panics
///
/// When a log directory does not open because of its checkpoints, or what was written is read as something else.
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    match input.below(4) {
        0 => election_state(input.0),
        1 => properties(input.0),
        _ => log_directory(input),
    }
}

fn election_state(text: &[u8]) {
    let Ok(state) = ElectionState::from_json(text) else { return };
    let again = state.to_json(1, &VoterSet::new([]));
    assert_eq!(ElectionState::from_json(again.as_bytes()).ok(), Some(state));
    let old = state.to_json(0, &VoterSet::new([]));
    assert!(ElectionState::from_json(old.as_bytes()).is_ok());
}

fn properties(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    if let Ok(properties) = read_properties("fuzz.properties", &text) {
        let lines = text.split(['\n', '\r']).count();
        assert!(properties.iter().all(|property| (1..=lines).contains(&property.line)));
    }
    let _ = NodeConfig::read(Some(("fuzz.properties", &text)), &[]);
}

fn log_directory(mut input: Input<'_>) {
    let world = World::new();
    let directory = PathBuf::from(DIRECTORY);
    world.put(directory.join("meta.properties"), IDENTITY);
    for partition in ["t-0", "u-1"] {
        world.put(directory.join(partition).join("00000000000000000000.log"), &log());
    }
    let mut is_identity_ours = true;
    while !input.is_empty() {
        let kind = input.byte();
        let name = match kind % 8 {
            0 => "recovery-point-offset-checkpoint",
            1 => "log-start-offset-checkpoint",
            2 => "replication-offset-checkpoint",
            3 => ".kafka_cleanshutdown",
            4 => "meta.properties",
            5 => "t-0/leader-epoch-checkpoint",
            6 => "u-1/partition.metadata",
            _ => "recovery-point-offset-checkpoint.tmp",
        };
        is_identity_ours &= kind % 8 != 4;
        let content = input.sized();
        if kind & 0x80 == 0 {
            world.put(directory.join(name), content);
        } else {
            world.put(directory.join(name), offsets(Input(content)).as_bytes());
        }
    }
    world.run(async {
        let opened = LogDirectory::open(world.clone(), directory.clone(), None, NodeId(1)).await;
        match opened {
            Ok(opened) => manage(&world, opened).await,
            Err(error) => assert!(!is_identity_ours, "the directory is ours: {error}"),
        }
    });
}

/// A checkpoint of offsets as Kafka writes it, of the two partitions there are.
fn offsets(mut input: Input<'_>) -> String {
    let partitions = ["t 0", "u 1"];
    let lines: String =
        (0..2).map(|at| format!("{} {}\n", partitions[at], input.offset())).collect();
    format!("0\n2\n{lines}")
}

fn log() -> Bytes {
    let mut builder = Builder::new(Offset::ZERO, LeaderEpoch::ZERO, Compression::None);
    for number in 0..5 {
        builder.append(Timestamp(1_700_000_000_000 + number), None, Some(b"value"), &[]);
    }
    builder.build().expect("a small batch can be built")
}

/// Opens all logs, changes them, stops, and opens them again.
async fn manage(world: &World, directory: Arc<LogDirectory<World>>) {
    let cluster = ClusterId::new(directory.cluster_id().as_str());
    let id = directory.id();
    let manager = open(world, directory).await;
    let logs = manager.logs();
    assert_eq!(logs.len(), 2, "every log opens, whatever the checkpoints say");
    for (log, _) in &logs {
        let batch = self::log();
        let end = log.log_end_offset();
        if end.value() < i64::MAX - 1000 {
            let epoch = LeaderEpoch::new(i32::MAX);
            let now = Timestamp(1_700_000_000_000);
            let appended = log.append_as_leader(batch, Origin::Coordinator, epoch, now).await;
            assert_eq!(appended.expect("the disk works and the batch is sound").first, end);
        }
        log.set_high_watermark(log.log_end_offset());
    }
    manager.checkpoint_log_starts().await;
    manager.checkpoint_high_watermarks().await;
    manager.shutdown(Some(BrokerEpoch(7))).await;
    let extent = |manager: &LogManager<World>| -> Vec<(TopicPartition, Offset, Offset, Offset)> {
        let extent = |log: &ottla::log::PartitionLog<World>| {
            let ends = (log.log_start_offset(), log.high_watermark(), log.log_end_offset());
            (log.topic_partition().clone(), ends.0, ends.1, ends.2)
        };
        manager.logs().iter().map(|(log, _)| extent(log)).collect()
    };
    let before = extent(&manager);
    drop((logs, manager));
    let path = PathBuf::from(DIRECTORY);
    let directory = LogDirectory::open(world.clone(), path, Some(&cluster), NodeId(1)).await;
    let directory = directory.expect("it was open before");
    assert_eq!(directory.id(), id);
    let manager = open(world, directory).await;
    assert_eq!(extent(&manager), before);
    assert_eq!(manager.previous_broker_epoch(), Some(BrokerEpoch(7)));
}

async fn open(world: &World, directory: Arc<LogDirectory<World>>) -> Arc<LogManager<World>> {
    let settings = |_: &_| Settings { segment_index_bytes: 240, ..Settings::default() };
    LogManager::open(world.clone(), vec![directory], 1, settings).await
}

/// Inputs to begin with: each file as Kafka writes it.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let file = |kind: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).expect("seeds are short").to_be_bytes();
        [&[kind][..], &length, content].concat()
    };
    let directory = |files: &[Vec<u8>]| [&[2][..], &files.concat()].concat();
    let checkpoint = b"0\n2\nt 0 3\nu 1 5\n";
    let clean = br#"{"version":0,"brokerEpoch":18}"#;
    let with = |kind: u8, text: &[u8]| [&[kind][..], text].concat();
    vec![
        with(0, br#"{"leaderId":1,"leaderEpoch":2,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAZQ","data_version":1}"#),
        with(0, br#"{"clusterId":"","leaderId":1,"leaderEpoch":2,"votedId":3,"appliedOffset":0,"currentVoters":[{"voterId":1}],"data_version":0}"#),
        with(1, b"# comment\na=b\n c : d\\\n   e\n\\u0041=\\t\nlisteners=PLAINTEXT://:9092\n"),
        with(1, b"process.roles=broker,controller\nnode.id=1\nlisteners=PLAINTEXT://h:9092,CONTROLLER://h:9093\ncontroller.listener.names=CONTROLLER\ncontroller.quorum.bootstrap.servers=h:9093\nlog.dirs=/a,/b\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.retention.hours=-1\n"),
        directory(&[]),
        directory(&[file(0, checkpoint), file(1, checkpoint), file(2, checkpoint)]),
        directory(&[file(0x80, &[3, 5]), file(0x81, &[2, 5]), file(0x82, &[4, 4]), file(3, clean)]),
        directory(&[file(3, b"{}"), file(5, b"0\n1\n0 0\n"), file(7, b"x")]),
        directory(&[file(4, b"#\ncluster.id=c\nnode.id=1\nversion=1\n")]),
        directory(&[file(4, IDENTITY), file(6, b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAZQ")]),
    ]
}
