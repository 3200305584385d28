//! Offset and time indexes, through the log: whatever the sizes of batches, intervals and segments, every offset and every time
//! is found, while the log grows, after a clean stop, and after the indexes were built again.

use ottla::environment::Runtime;
use ottla::environment::tokio::TokioRuntime;
use ottla::log::{OpenOptions, Origin, PartitionLog, Settings};
use ottla::model::{LeaderEpoch, Offset, Timestamp, TopicPartition};
use ottla::record::{Builder, Compression};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

type Log = Arc<PartitionLog<TokioRuntime>>;

struct Directory(PathBuf);

impl Directory {
    fn new(runtime: &TokioRuntime) -> Self {
        // A file system in memory where there is one: what is tested here is no device.
        let memory = PathBuf::from("/dev/shm");
        let home = if memory.is_dir() { memory } else { std::env::temp_dir() };
        Self(home.join(format!("ottla-index-{:016x}", runtime.random())))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn open(runtime: &TokioRuntime, at: &Directory, settings: &Settings, clean: bool) -> Log {
    let options = OpenOptions { clean, ..OpenOptions::default() };
    let partition = TopicPartition::new("t", 0);
    let opened =
        PartitionLog::open(runtime.clone(), at.0.join("t-0"), partition, settings.clone(), options);
    opened.await.expect("opened").0
}

/// A batch: how many records, how large, and the timestamp of the first.
type Plan = (i64, usize, i64);

/// Appends, and says of each batch where it begins and which timestamps it has.
async fn fill(log: &Log, plans: &[Plan]) -> Vec<(i64, Vec<i64>)> {
    let mut filled = Vec::new();
    for (count, size, time) in plans {
        let mut builder = Builder::new(Offset::ZERO, None, Compression::None);
        let times: Vec<i64> = (0..*count).map(|number| time + number).collect();
        for time in &times {
            builder.append(Timestamp(*time), None, Some(&vec![1; *size]), &[]);
        }
        let bytes = builder.build().expect("built");
        let origin = Origin::Client { produce_version: 13 };
        let done = log.append_as_leader(bytes, origin, LeaderEpoch::ZERO, Timestamp(0)).await;
        filled.push((done.expect("appended").first.value(), times));
    }
    filled
}

async fn check(log: &Log, filled: &[(i64, Vec<i64>)]) {
    let end = log.log_end_offset();
    for (base, times) in filled {
        for delta in 0..i64::try_from(times.len()).expect("few") {
            let found = log.read(Offset::new(base + delta), 1, true, end).await.expect("read");
            assert_eq!(found.base_offset, Some(Offset::new(*base)));
        }
    }
    let records = || {
        filled.iter().flat_map(|(base, times)| {
            times
                .iter()
                .enumerate()
                .map(move |(delta, time)| (base + i64::try_from(delta).expect("few"), *time))
        })
    };
    for wanted in [0, 1, 50, 99, 100, 101, 150, 199, 250] {
        let expected = records().find(|(_, time)| *time >= wanted).map(|(offset, _)| offset);
        let found = log.offset_for_timestamp(Timestamp(wanted), end).await.expect("read");
        assert_eq!(found.map(|found| found.offset.value()), expected, "at time {wanted}");
    }
    let largest = records().map(|(_, time)| time).max();
    let expected = records().find(|(_, time)| Some(*time) == largest).map(|(offset, _)| offset);
    let found = log.max_timestamp_offset().await.expect("read");
    assert_eq!(found.map(|found| found.offset.value()), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_offset_and_time_is_found(
        plans in prop::collection::vec((1..6_i64, 0..300_usize, 0..200_i64), 1..120),
        interval in 0..500_u64,
        index_bytes in 24..400_u64,
        segment_bytes in 2_000..8_000_u64,
    ) {
        let settings = Settings {
            segment_bytes,
            index_interval_bytes: interval,
            segment_index_bytes: index_bytes,
            timestamp_after_max_ms: i64::MAX,
            ..Settings::default()
        };
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
        tokio.expect("a runtime").block_on(async {
            let runtime = TokioRuntime::new();
            let at = Directory::new(&runtime);
            let log = open(&runtime, &at, &settings, false).await;
            let filled = fill(&log, &plans).await;
            check(&log, &filled).await;
            log.close().await.expect("closed");
            let log = open(&runtime, &at, &settings, true).await;
            check(&log, &filled).await;
            drop(log);
            let log = open(&runtime, &at, &settings, false).await;
            check(&log, &filled).await;
        });
    }
}
