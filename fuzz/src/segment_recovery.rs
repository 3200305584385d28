//! A partition's directory in any condition: opened, judged, appended to, opened again.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ottla::environment::Runtime as _;
use ottla::log::{OpenOptions, Origin, PartitionLog, ReadError, RecoveryReport, Settings};
use ottla::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use ottla::record::{Batch, Builder, Compression, ControlRecord, EndTransactionMarker};

use crate::input::{Input, mend_batches};
use crate::world::World;

const DIRECTORY: &str = "/d/t-0";

/// Size of an entry in a producer snapshot, and where entries begin.
const SNAPSHOT_ENTRY_BYTES: usize = 46;
const SNAPSHOT_HEADER_BYTES: usize = 10;

/// The last offset at which a test still appends: behind it a log has none left.
const OFFSET_MAX: i64 = i64::MAX - 1000;

type Log = Arc<PartitionLog<World>>;

/// Judges one input: what is known of the log, and files.
///
/// # Panics
///
/// When a directory cannot be opened, its log does not take an append or gives back something else, or a second recovery
/// changes what the first has left.
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let flags = input.byte();
    let recovery_point = input.offset();
    let options = OpenOptions {
        clean: flags & 1 != 0,
        // Known or not decides what becomes of holes between segments.
        recovery_point: (flags & 32 != 0 || recovery_point > 0)
            .then(|| Offset::new(recovery_point)),
        log_start_offset: Offset::new(input.offset()),
        high_watermark: Offset::new(input.offset()),
        topic_id: None,
    };
    let world = World::new();
    world.put(PathBuf::from(DIRECTORY).join("other"), b"");
    while !input.is_empty() {
        put_file(&world, &mut input);
    }
    world.run(judge(&world, flags, options));
}

/// Puts one file of the input into the directory.
fn put_file(world: &World, input: &mut Input<'_>) {
    let (kind, base) = (input.byte(), input.offset());
    let content = input.sized();
    let named = |suffix: &str| format!("{base:020}{suffix}");
    let (name, bytes) = match kind % 16 {
        0 => (named(".log"), content.to_vec()),
        1 => {
            let mut bytes = content.to_vec();
            mend_batches(&mut bytes);
            (named(".log"), bytes)
        }
        2..=5 => (named(".log"), batches(base, Input(content))),
        6 => (named(".index"), content.to_vec()),
        7 => (named(".timeindex"), content.to_vec()),
        8 => (named(".txnindex"), content.to_vec()),
        9 => (named(".snapshot"), mended_snapshot(content)),
        10 => ("leader-epoch-checkpoint".to_owned(), content.to_vec()),
        11 => ("leader-epoch-checkpoint".to_owned(), epochs(Input(content))),
        12 => ("partition.metadata".to_owned(), content.to_vec()),
        13 => (named(".log.swap"), batches(base, Input(content))),
        14 => (named(".log.cleaned"), content.to_vec()),
        _ => (named(".index.swap"), content.to_vec()),
    };
    world.put(PathBuf::from(DIRECTORY).join(name), &bytes);
}

/// Sound batches from `base` on, nine bytes each, and then one byte that may be wrong.
fn batches(base: i64, mut input: Input<'_>) -> Vec<u8> {
    let damage = (usize::from(input.number()), input.byte());
    let mut bytes = Vec::new();
    let mut next = base;
    while !input.is_empty() && next < OFFSET_MAX {
        let first = next + i64::from(input.byte() % 16);
        let built = built_batch(first, &mut input);
        next = first + built.1;
        bytes.extend_from_slice(&built.0);
    }
    if let Some(byte) = bytes.get_mut(damage.0) {
        *byte ^= damage.1;
    }
    bytes
}

/// A batch at `first`, and how many offsets it takes.
fn built_batch(first: i64, input: &mut Input<'_>) -> (Bytes, i64) {
    let epoch = i32::from(input.byte());
    let count = i64::from(input.below(4)) + 1;
    let kind = input.byte();
    let (producer, sequence) = (ProducerId(i64::from(input.byte())), i32::from(input.byte()));
    let time = i64::from(input.number()) - 2;
    let codec = if kind & 0x80 == 0 { Compression::None } else { Compression::Snappy };
    let mut builder = Builder::new(Offset::new(first), LeaderEpoch::new(epoch), codec);
    let is_marker = kind % 8 > 5;
    if is_marker {
        builder = builder.producer(producer, ProducerEpoch(0), None).transactional().control();
        let is_commit = kind % 8 == 6;
        let marker =
            ControlRecord::EndTransaction(EndTransactionMarker { is_commit, coordinator_epoch: 0 });
        builder.append(Timestamp(time), Some(&marker.key()), Some(&marker.value()), &[]);
        return (builder.build().expect("a small batch can be built"), 1);
    }
    if kind % 8 > 1 {
        builder = builder.producer(producer, ProducerEpoch(0), Some(sequence));
    }
    if kind % 8 > 3 {
        builder = builder.transactional();
    }
    for number in 0..count {
        builder.append(Timestamp(time + number), None, Some(b"value"), &[]);
    }
    (builder.build().expect("a small batch can be built"), count)
}

/// A producer snapshot of whole entries, with the count and checksum that belong to them.
fn mended_snapshot(content: &[u8]) -> Vec<u8> {
    let Some((mode, entries)) = content.split_first() else { return Vec::new() };
    if mode % 4 == 0 {
        return entries.to_vec();
    }
    let whole = entries.len() - entries.len() % SNAPSHOT_ENTRY_BYTES;
    let count = i32::try_from(whole / SNAPSHOT_ENTRY_BYTES).expect("inputs are short");
    let mut bytes = vec![0; SNAPSHOT_HEADER_BYTES];
    bytes.extend_from_slice(&entries[..whole]);
    bytes[1] = 1;
    bytes[6..10].copy_from_slice(&count.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[6..]).to_be_bytes();
    bytes[2..6].copy_from_slice(&crc);
    bytes
}

/// A file of leader epochs as Kafka writes it, in any order.
fn epochs(mut input: Input<'_>) -> Vec<u8> {
    let mut lines = Vec::new();
    while !input.is_empty() {
        let epoch = input.byte();
        lines.push(format!("{epoch} {}\n", input.offset()));
    }
    format!("0\n{}\n{}", lines.len(), lines.concat()).into_bytes()
}

async fn open(world: &World, options: OpenOptions) -> (Log, RecoveryReport) {
    let settings = Settings {
        segment_bytes: 1000,
        index_interval_bytes: 100,
        segment_index_bytes: 240,
        file_delete_delay_ms: 0,
        retention_ms: Some(1000),
        ..Settings::default()
    };
    let partition = TopicPartition::new("t", 0);
    let opened =
        PartitionLog::open(world.clone(), PathBuf::from(DIRECTORY), partition, settings, options);
    opened.await.expect("the disk works: whatever is in the directory, the log opens")
}

async fn judge(world: &World, flags: u8, options: OpenOptions) {
    // Only what was read through is known to be sound.
    let is_checked = !options.clean && options.recovery_point.unwrap_or_default() == Offset::ZERO;
    let (log, _) = open(world, options).await;
    assert_offsets(&log);
    read_all(&log, is_checked).await;
    ask(&log).await;
    if flags & 2 != 0 {
        let (start, end) = (log.log_start_offset().value(), log.log_end_offset().value());
        let truncated = log.truncate_to(Offset::new(start + (end - start) / 2)).await;
        assert!(truncated.is_ok() || !is_checked, "a sound log can be cut: {truncated:?}");
    }
    // An end inside a hole, as in Kafka, is known only until the next start, unless a record follows.
    let is_end_stored = flags & 2 == 0 || log.log_end_offset().value() <= OFFSET_MAX;
    if log.fault().is_none() {
        use_log(world, &log, flags).await;
    }
    let before = (log.log_start_offset(), log.log_end_offset());
    drop(log);
    // As after a crash that has lost the checkpoints but for the log start.
    let unclean = OpenOptions { log_start_offset: before.0, ..OpenOptions::default() };
    recover_twice(world, unclean, (is_checked && is_end_stored).then_some(before)).await;
}

/// Appends, and then what the flags say.
async fn use_log(world: &World, log: &Log, flags: u8) {
    append(log).await;
    if flags & 4 != 0 {
        log.set_high_watermark(log.log_end_offset());
        log.delete_old_segments(world.wall_clock()).await.expect("the disk works");
        log.remove_deleted().await.expect("the disk works");
        assert_offsets(log);
    }
    if flags & 8 != 0 {
        log.close().await.expect("the disk works");
    } else if flags & 16 != 0 {
        log.flush(log.log_end_offset()).await.expect("the disk works");
    }
}

/// Recovers the log twice; the second time nothing may change, and the first neither when the log was sound and ended
/// `before`.
async fn recover_twice(world: &World, unclean: OpenOptions, before: Option<(Offset, Offset)>) {
    let (log, report) = open(world, unclean.clone()).await;
    assert_offsets(&log);
    read_all(&log, true).await;
    if let Some(before) = before {
        assert_eq!((log.log_start_offset(), log.log_end_offset()), before, "{report:?}");
        assert_unchanged(&report);
    }
    let first = (log.log_start_offset(), log.log_end_offset(), log.segments(), log.producers());
    let transactions = log.last_stable_offset();
    drop(log);
    let (log, report) = open(world, unclean).await;
    let second = (log.log_start_offset(), log.log_end_offset(), log.segments(), log.producers());
    assert_eq!(first, second, "{report:?}");
    assert_eq!(transactions, log.last_stable_offset());
    assert_unchanged(&report);
    append(&log).await;
}

fn assert_unchanged(report: &RecoveryReport) {
    assert_eq!((report.bytes_truncated, report.segments_deleted), (0, 0), "{report:?}");
}

fn assert_offsets(log: &Log) {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let high_watermark = log.high_watermark();
    assert!(start <= high_watermark && high_watermark <= end, "{start} {high_watermark} {end}");
    assert!(log.last_stable_offset() <= high_watermark);
    assert!(log.recovery_point() <= end);
    let segments = log.segments();
    assert!(!segments.is_empty(), "there is always an active segment");
    for pair in segments.windows(2) {
        assert!(pair[0].base_offset < pair[1].base_offset, "{segments:?}");
        assert!(pair[0].end_offset <= pair[1].base_offset, "{segments:?}");
    }
    assert_eq!(segments.last().map(|segment| segment.end_offset), Some(end));
}

/// Reads the log from its start to its end.
async fn read_all(log: &Log, is_checked: bool) {
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        let mut bytes = match log.read_bytes(next, 1).await {
            Ok(bytes) => bytes,
            Err(ReadError::Corrupt(_)) if !is_checked => return,
            Err(error) => panic!("offset {next} can be read: {error}"),
        };
        let Ok(Some(batch)) = Batch::split_first(&mut bytes) else {
            assert!(!is_checked || bytes.is_empty(), "a batch begins where one was found");
            // The last offsets of a log may be gone.
            return;
        };
        if is_checked {
            assert_eq!(batch.verify_crc(), Ok(()));
        }
        let after = batch.header().next_offset();
        assert!(after > next, "reading goes on from {next} to {after}");
        next = after;
    }
}

/// Asks for everything that is looked up in files.
async fn ask(log: &Log) {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    for time in [-1, 0, 100, 60_000, i64::MAX] {
        let _ = log.offset_for_timestamp(Timestamp(time), end).await;
    }
    let _ = log.max_timestamp_offset().await;
    let _ = log.aborted_transactions(start, end).await;
    for epoch in [0, 1, 100, i32::MAX] {
        let _ = log.end_offset_for_epoch(LeaderEpoch::new(epoch));
    }
    let _ = log.epoch_for_offset(start);
    assert!(log.fault().is_none(), "{:?}", log.fault());
}

/// Appends a record, and reads it back.
async fn append(log: &Log) {
    let end = log.log_end_offset();
    if end.value() > OFFSET_MAX {
        return;
    }
    let mut builder = Builder::new(Offset::ZERO, None, Compression::None);
    builder.append(Timestamp(1_700_000_000_000), None, Some(b"appended"), &[]);
    let batch = builder.build().expect("a small batch can be built");
    // Recovery cuts off what has an older epoch than what stands before it; a leader's is never older.
    let epoch = LeaderEpoch::new(i32::MAX);
    let now = Timestamp(1_700_000_000_000);
    let appended = log.append_as_leader(batch, Origin::Coordinator, epoch, now).await;
    let appended = appended.expect("the disk works and the batch is sound");
    assert_eq!((appended.first, appended.last), (end, end));
    assert_offsets(log);
    let bytes = log.read_bytes(end, 1).await.expect("it was just appended");
    let batch = Batch::parse(bytes).expect("one batch was appended");
    let record = batch.records(1000).expect("it is not compressed").next();
    let record = record.expect("it has a record").expect("which is sound");
    assert_eq!((record.offset, record.value.as_deref()), (end, Some(&b"appended"[..])));
}

/// A file of an input.
fn file(kind: u8, base: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("seeds are short").to_be_bytes();
    [&[kind, base][..], &length, content].concat()
}

/// Inputs to begin with: sound logs of one and of three segments, opened clean and unclean; damaged ones; each other kind of
/// file; a replacement by a cleaner.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let log = |count: u8, kind: u8| {
        let mut content = vec![0xff, 0xff, 0];
        for number in 0..count {
            content.extend_from_slice(&[0, 1, 1, kind, 7, number * 2, 0, 100 + number]);
        }
        content
    };
    let mut damaged = log(5, 0);
    damaged[..3].copy_from_slice(&[0, 200, 1]);
    let index = |entries: &[[u8; 8]]| entries.concat();
    let snapshot = |entries: u8| {
        let mut content = vec![1];
        for number in 0..entries {
            let mut entry = [0; SNAPSHOT_ENTRY_BYTES];
            entry[7] = number;
            entry[13] = 3;
            entry[21] = 4;
            entry[38..46].fill(0xff);
            content.extend_from_slice(&entry);
        }
        content
    };
    let mut seeds = Vec::new();
    let heads = [
        [0, 0, 0, 0],
        [1, 20, 0, 20],
        [2, 0, 0, 5],
        [1, 6, 4, 6],
        [4 + 8, 10, 0, 9],
        [32, 0, 0, 0],
    ];
    for head in heads {
        let with = |files: &[Vec<u8>]| [&head[..], &files.concat()].concat();
        seeds.push(with(&[]));
        seeds.push(with(&[file(2, 0, &log(5, 0))]));
        seeds.push(with(&[file(2, 0, &damaged)]));
        let three = [
            file(2, 0, &log(5, 2)),
            file(2, 10, &log(5, 4)),
            file(2, 20, &[&log(3, 4)[..], &[0, 1, 0, 7, 7, 0, 0, 110]].concat()),
        ];
        seeds.push(with(&three));
        let indexes = [
            file(6, 0, &index(&[[0, 0, 0, 5, 0, 0, 0, 170]])),
            file(7, 0, &[0, 0, 0, 0, 0, 0, 0, 101, 0, 0, 0, 5]),
            file(6, 10, &[]),
            file(7, 10, &[]),
            file(8, 10, &[0; 34]),
            file(9, 10, &snapshot(2)),
            file(11, 0, &[1, 0, 2, 10]),
            file(12, 0, b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAZQ"),
        ];
        seeds.push(with(&[&three[..], &indexes].concat()));
        // A hole before the last segment.
        seeds.push(with(&[file(2, 0, &log(5, 0)), file(2, 43, &log(2, 0))]));
        let swapped = [file(13, 0, &log(2, 0)), file(15, 0, &[]), file(14, 20, &[])];
        seeds.push(with(&[&three[..], &swapped].concat()));
    }
    seeds
}
