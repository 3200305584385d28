//! The driver on a real disk, and on files that Apache Kafka wrote.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use uuid::Uuid;

use super::voters::Voter;
use super::{
    Endpoint, Error, Event, Handle, METADATA_LOG, Options, ReplicaKey, Settings, Snapshot,
    Subscription, VoterSet, format, is_formatted, list_snapshots, read_bootstrap, start,
};
use crate::environment::tokio::TokioRuntime;
use crate::environment::{Disk, File, FileExt, OpenMode, Runtime, Stopper};
use crate::model::{
    ClusterId, DirectoryId, LeaderEpoch, NodeId, Offset, OffsetAndEpoch, Timestamp,
};

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Node {
    handle: Handle<TokioRuntime>,
    stopper: Stopper,
}

const KAFKAS_DIRECTORY: u128 = 0x6baa_4343_5e6f_0df9_39b7_d3b3_02ad_d0cc;

fn voters(ids: &[i32]) -> VoterSet {
    VoterSet::new(ids.iter().map(|id| Voter {
        key: key(*id),
        endpoints: vec![Endpoint {
            name: "CONTROLLER".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 9093,
        }],
        kraft_version_min: 0,
        kraft_version_max: 1,
    }))
}

fn key(id: i32) -> ReplicaKey {
    ReplicaKey::new(NodeId(id), DirectoryId(Uuid::from_u128(KAFKAS_DIRECTORY)))
}

fn options(directory: &Directory) -> Options {
    Options {
        log_directory: directory.0.clone(),
        settings: Settings::new(ClusterId::from("driven"), key(1)),
        static_voters: None,
        segment_bytes: 1 << 20,
        segment_ms: 7 * 24 * 60 * 60 * 1000,
        bootstrap: Vec::new(),
        listener_name: "CONTROLLER".to_owned(),
        fetch_bytes_max: 1 << 20,
        snapshot_bytes_max: 1 << 20,
    }
}

fn directory(runtime: &TokioRuntime) -> Directory {
    Directory(std::env::temp_dir().join(format!("ottla-raft-{:016x}", runtime.random())))
}

async fn formatted(runtime: &TokioRuntime, ids: &[i32], records: &[&str]) -> Directory {
    let directory = directory(runtime);
    let records = records.iter().map(|text| Bytes::from((*text).to_owned())).collect();
    runtime.disk().create_directory(&directory.0).await.unwrap();
    format(runtime.disk(), &directory.0, voters(ids), records, Timestamp(1)).await.unwrap();
    directory
}

async fn open(runtime: &TokioRuntime, options: Options) -> Result<Node, Error> {
    let stopper = Stopper::new();
    let handle = start(runtime.clone(), options, stopper.stop()).await?;
    Ok(Node { handle, stopper })
}

impl Node {
    /// Stops, and waits until the last has been written.
    async fn stop(self) {
        self.stopper.pull();
        let ended = self.handle.committed(Offset::new(i64::MAX)).await;
        assert!(matches!(ended, Err(Error::Stopped)), "{ended:?}");
    }

    async fn append(&self, texts: &[&str]) -> Result<OffsetAndEpoch, Error> {
        let (_, epoch) = self.handle.leader_and_epoch();
        let records = texts.iter().map(|text| Bytes::from((*text).to_owned())).collect();
        let last = self.handle.append(epoch, records, true).await?;
        self.handle.committed(last.offset).await?;
        Ok(last)
    }
}

fn text(records: &[Bytes]) -> String {
    let texts: Vec<_> = records.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    texts.join(" ")
}

/// Reads events up to and including the news that this node leads.
async fn until_leader(subscription: &mut Subscription<TokioRuntime>) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        told.push(match subscription.next().await.unwrap() {
            Event::Snapshot(snapshot) => {
                format!("snapshot {} {}", snapshot.id.offset, text(&snapshot.records))
            }
            Event::Committed(batch) => {
                let (first, last) = (batch.base_offset, batch.last_offset);
                format!("{first}-{last}@{} {}", batch.epoch, text(&batch.records))
            }
            Event::Resigned { epoch } => format!("resigned {epoch}"),
            Event::Leader { epoch, start } => {
                told.push(format!("leader {epoch} from {start}"));
                return told;
            }
        });
    }
}

#[tokio::test]
async fn a_stop_in_good_order_cuts_the_indexes_to_what_is_in_them() {
    let runtime = TokioRuntime::new();
    let directory = formatted(&runtime, &[1], &["boot"]).await;
    let length = async |name: &str| {
        let path = directory.0.join(METADATA_LOG).join(format!("00000000000000000000.{name}"));
        runtime.disk().open(&path, OpenMode::Read).await.unwrap().length().await.unwrap()
    };
    let node = open(&runtime, options(&directory)).await.unwrap();
    node.append(&["a"]).await.unwrap();
    assert!(length("timeindex").await > 1 << 20, "made at full length, as Kafka does");
    node.stop().await;
    assert_eq!((length("index").await, length("timeindex").await), (0, 12));
}

#[tokio::test]
async fn what_was_committed_is_replayed_after_a_restart_in_the_next_epoch() {
    let runtime = TokioRuntime::new();
    let directory = formatted(&runtime, &[1], &["boot"]).await;
    let node = open(&runtime, options(&directory)).await.unwrap();
    assert_eq!(node.handle.leader_and_epoch(), (Some(NodeId(1)), LeaderEpoch::new(1)));
    assert_eq!(node.handle.high_watermark(), Offset::new(3));
    let mut subscription = node.handle.subscribe();
    let told = until_leader(&mut subscription).await;
    assert_eq!(told, ["snapshot 0 boot", "0-2@1 ", "leader 1 from 0"]);

    let last = node.append(&["a", "b"]).await.unwrap();
    assert_eq!(last, OffsetAndEpoch { offset: Offset::new(4), epoch: LeaderEpoch::new(1) });
    node.append(&["c"]).await.unwrap();
    let Event::Committed(batch) = subscription.next().await.unwrap() else { panic!("no batch") };
    assert_eq!((batch.base_offset, text(&batch.records)), (Offset::new(3), "a b".to_owned()));
    node.stop().await;

    let node = open(&runtime, options(&directory)).await.unwrap();
    let told = until_leader(&mut node.handle.subscribe()).await;
    let expected =
        ["snapshot 0 boot", "0-2@1 ", "3-4@1 a b", "5-5@1 c", "6-6@2 ", "leader 2 from 6"];
    assert_eq!(told, expected);
    node.stop().await;
}

#[tokio::test]
async fn concurrent_appends_are_all_committed_in_the_order_of_their_offsets() {
    let runtime = TokioRuntime::new();
    let directory = formatted(&runtime, &[1], &[]).await;
    let node = open(&runtime, options(&directory)).await.unwrap();
    let texts: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let appends = texts.iter().map(|text| {
        let record = Bytes::from(text.clone());
        let handle = &node.handle;
        async move { handle.append(LeaderEpoch::new(1), vec![record], false).await.unwrap() }
    });
    let places = futures_util::future::join_all(appends).await;
    node.handle.committed(Offset::new(102)).await.unwrap();
    let mut subscription = node.handle.subscribe();
    let mut node_log = Vec::new();
    while subscription.position() < Some(Offset::new(103)) {
        if let Event::Committed(batch) = subscription.next().await.unwrap() {
            node_log.extend(batch.records);
        }
    }
    let mut by_offset: Vec<_> = places.into_iter().zip(texts).collect();
    by_offset.sort();
    let expected: Vec<String> = by_offset.into_iter().map(|(_, text)| text).collect();
    let found: Vec<_> = node_log.iter().map(|bytes| text(std::slice::from_ref(bytes))).collect();
    assert_eq!(found, expected);
    node.stop().await;
}

#[tokio::test]
async fn an_append_for_another_epoch_or_too_large_is_refused() {
    let runtime = TokioRuntime::new();
    let directory = formatted(&runtime, &[1], &[]).await;
    let node = open(&runtime, options(&directory)).await.unwrap();
    let append = |epoch, bytes, is_atomic| {
        let records = vec![Bytes::from(vec![0; bytes]); 2];
        node.handle.append(LeaderEpoch::new(epoch), records, is_atomic)
    };
    assert!(matches!(append(2, 1, true).await, Err(Error::NotLeader(_))));
    assert!(matches!(append(1, 5 << 20, true).await, Err(Error::TooLarge { .. })));
    assert!(matches!(append(1, 9 << 20, false).await, Err(Error::TooLarge { .. })));
    let last = append(1, 5 << 20, false).await.unwrap();
    assert_eq!(last.offset, Offset::new(4));
    node.handle.committed(last.offset).await.unwrap();
    node.stop().await;
}

#[tokio::test]
async fn a_static_quorum_needs_no_format() {
    let runtime = TokioRuntime::new();
    let directory = directory(&runtime);
    runtime.disk().create_directory(&directory.0).await.unwrap();
    let options = Options { static_voters: Some(voters(&[1])), ..options(&directory) };
    let node = open(&runtime, options.clone()).await.unwrap();
    let told = until_leader(&mut node.handle.subscribe()).await;
    assert_eq!(told, ["0-0@1 ", "leader 1 from 0"]);
    assert_eq!(node.handle.voters().1, 0);
    node.stop().await;
    let node = open(&runtime, options).await.unwrap();
    assert_eq!(node.handle.leader_and_epoch().1, LeaderEpoch::new(2));
    node.stop().await;
}

#[tokio::test]
async fn a_snapshot_replaces_what_lies_before_it() {
    let runtime = TokioRuntime::new();
    let directory = formatted(&runtime, &[1], &["boot"]).await;
    let small = Options { segment_bytes: 200, ..options(&directory) };
    let node = open(&runtime, small.clone()).await.unwrap();
    let mut behind = node.handle.subscribe();
    for number in 0..10 {
        node.append(&[&number.to_string()]).await.unwrap();
    }
    let id = OffsetAndEpoch { offset: Offset::new(10), epoch: LeaderEpoch::new(1) };
    let snapshot = Snapshot {
        id,
        last_contained_log_timestamp: Timestamp(5),
        kraft_version: 0,
        voters: None,
        records: vec![Bytes::from_static(b"boot..6")],
    };
    node.handle.write_snapshot(snapshot).await.unwrap();
    let metadata = directory.0.join(METADATA_LOG);
    assert_eq!(list_snapshots(runtime.disk(), &metadata).await.unwrap(), [id]);
    let expected =
        ["snapshot 10 boot..6", "10-10@1 7", "11-11@1 8", "12-12@1 9", "leader 1 from 0"];
    assert_eq!(until_leader(&mut behind).await, expected);
    node.stop().await;

    let node = open(&runtime, small).await.unwrap();
    assert_eq!(node.handle.latest_snapshot(), Some(id));
    assert_eq!(node.handle.voters(), (voters(&[1]), 1));
    let told = until_leader(&mut node.handle.subscribe()).await;
    assert_eq!(told[..4], expected[..4]);
    assert_eq!(told[4..], ["13-13@2 ", "leader 2 from 13"]);
    node.stop().await;
}

#[tokio::test]
async fn resigning_is_told_before_the_next_epoch() {
    let runtime = TokioRuntime::new();
    let directory = formatted(&runtime, &[1], &[]).await;
    let mut options = options(&directory);
    options.settings.election_timeout = std::time::Duration::from_millis(5);
    let node = open(&runtime, options).await.unwrap();
    let mut subscription = node.handle.subscribe();
    until_leader(&mut subscription).await;
    node.handle.resign().await.unwrap();
    let told = until_leader(&mut subscription).await;
    assert_eq!(told.first().unwrap(), "resigned 1");
    assert_eq!(told.last().unwrap(), "leader 3 from 3");
    node.stop().await;
}

#[tokio::test]
async fn the_quorum_is_described_by_its_leader() {
    let runtime = TokioRuntime::new();
    let directory = formatted(&runtime, &[1], &[]).await;
    let node = open(&runtime, options(&directory)).await.unwrap();
    let description = node.handle.describe().await.unwrap().unwrap();
    assert_eq!(description.high_watermark, Some(Offset::new(3)));
    assert_eq!(description.voters.len(), 1);
    assert_eq!(description.voters[0].key, key(1));
    assert_eq!(description.voters[0].log_end_offset, Some(Offset::new(3)));
    node.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_was_damaged_or_cut_is_an_error() {
    let runtime = TokioRuntime::new();
    let directory = formatted(&runtime, &[1], &["boot"]).await;
    let metadata = directory.0.join(METADATA_LOG);
    let path = metadata.join("00000000000000000000-0000000000.checkpoint");
    let file = runtime.disk().open(&path, OpenMode::ReadWrite).await.unwrap();
    let bytes = file.read_all(1 << 20).await.unwrap();
    let mut is_covered = vec![true; bytes.len()];
    let mut start = 0;
    while start < bytes.len() {
        // Offset and epoch stand outside the checksum.
        is_covered[start..start + 8].fill(false);
        is_covered[start + 12..start + 16].fill(false);
        let length = u32::from_be_bytes(bytes[start + 8..start + 12].try_into().unwrap());
        start += 12 + usize::try_from(length).unwrap();
    }
    for (position, byte) in bytes.iter().enumerate().filter(|(position, _)| is_covered[*position]) {
        for written in [!byte, *byte] {
            let at = u64::try_from(position).unwrap();
            file.write_all_at(&[std::io::IoSlice::new(&[written])], at).await.unwrap();
            let found = Snapshot::read(runtime.disk(), &metadata, OffsetAndEpoch::default()).await;
            assert_eq!(found.is_ok(), written == *byte, "byte {position}");
        }
    }
    file.set_length(bytes.len() as u64 - 1).await.unwrap();
    let found = Snapshot::read(runtime.disk(), &metadata, OffsetAndEpoch::default()).await;
    assert!(matches!(found, Err(Error::Snapshot { .. })));
}

/// Puts a file that Apache Kafka wrote into place.
async fn put(runtime: &TokioRuntime, path: &Path, bytes: &[u8]) {
    let file = runtime.disk().open(path, OpenMode::CreateNew).await.unwrap();
    file.write_all_at(&[std::io::IoSlice::new(bytes)], 0).await.unwrap();
}

#[tokio::test]
async fn formatting_that_a_power_loss_interrupted_is_done_again() {
    let runtime = TokioRuntime::new();
    let directory = directory(&runtime);
    let metadata = directory.0.join(METADATA_LOG);
    runtime.disk().create_directory(&metadata).await.unwrap();
    let part = metadata.join("00000000000000000000-0000000000.checkpoint.part");
    put(&runtime, &part, &b"half a snapshot, longer than the whole one will be".repeat(99)).await;
    assert!(!is_formatted(runtime.disk(), &directory.0).await.unwrap());
    format(runtime.disk(), &directory.0, voters(&[1]), Vec::new(), Timestamp(1)).await.unwrap();
    let node = open(&runtime, options(&directory)).await.unwrap();
    node.stop().await;
    assert!(is_formatted(runtime.disk(), &directory.0).await.unwrap());
}

#[tokio::test]
async fn the_directory_of_apache_kafka_is_opened_and_carried_on() {
    let runtime = TokioRuntime::new();
    let directory = directory(&runtime);
    let metadata = directory.0.join(METADATA_LOG);
    runtime.disk().create_directory(&metadata).await.unwrap();
    put(
        &runtime,
        &metadata.join("00000000000000000000-0000000000.checkpoint"),
        include_bytes!("fixtures/00000000000000000000-0000000000.checkpoint"),
    )
    .await;
    let log = include_bytes!("fixtures/00000000000000000000.log");
    put(&runtime, &metadata.join("00000000000000000000.log"), log).await;
    let state = include_bytes!("fixtures/quorum-state");
    put(&runtime, &metadata.join("quorum-state"), state).await;
    let bootstrap = include_bytes!("fixtures/bootstrap.checkpoint");
    put(&runtime, &directory.0.join("bootstrap.checkpoint"), bootstrap).await;
    assert!(is_formatted(runtime.disk(), &directory.0).await.unwrap());

    let records = read_bootstrap(runtime.disk(), &directory.0).await.unwrap().unwrap();
    assert_eq!(records.len(), 6);
    let node = open(&runtime, options(&directory)).await.unwrap();
    assert_eq!(node.handle.leader_and_epoch(), (Some(NodeId(1)), LeaderEpoch::new(2)));
    let mut subscription = node.handle.subscribe();
    let mut found = Vec::new();
    loop {
        match subscription.next().await.unwrap() {
            Event::Snapshot(snapshot) => assert!(snapshot.voters.is_some()),
            Event::Committed(batch) => {
                found.push((batch.base_offset.value(), batch.epoch.value(), batch.records.len()));
            }
            Event::Resigned { .. } => panic!("nobody resigned"),
            Event::Leader { .. } => break,
        }
    }
    let expected =
        [(0, 1, 0), (3, 1, 9), (12, 1, 1), (13, 1, 1), (14, 1, 2), (16, 1, 2), (18, 2, 0)];
    assert_eq!(found, expected);
    let (voters, kraft_version) = node.handle.voters();
    assert_eq!((voters.len(), kraft_version), (1, 1));
    assert_eq!(voters.endpoints(NodeId(1))[0].port, 28_501);
    node.stop().await;
}
