use std::io::IoSlice;
use std::path::PathBuf;

use super::super::fixture::*;
use super::super::{OpenOptions, Settings, file_names};
use crate::environment::tokio::TokioRuntime;
use crate::environment::{Disk, File, FileExt, OpenMode, Runtime};
use crate::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::record::{Batch, Builder, Compression, ControlRecord, EndTransactionMarker};

/// A log of several segments, left without being closed. Says where its segments begin.
async fn filled(runtime: &TokioRuntime, directory: &Directory) -> Vec<Offset> {
    let (log, _) = open(runtime, directory, small(), OpenOptions::default()).await;
    for number in 0..40 {
        let epoch = LeaderEpoch::new(number / 10);
        let bytes = batch(&[1000 + i64::from(number), 1000]);
        log.append_as_leader(bytes, CLIENT, epoch, Timestamp(2000)).await.unwrap();
    }
    assert!(log.segments().len() > 4);
    log.flush(log.log_end_offset()).await.unwrap();
    log.segments().iter().map(|segment| segment.base_offset).collect()
}

fn path(directory: &Directory, base: Offset, suffix: &str) -> PathBuf {
    directory.log().join(file_names::at(base, suffix))
}

async fn reopen(runtime: &TokioRuntime, directory: &Directory, options: OpenOptions) -> Log {
    open(runtime, directory, small(), options).await.0
}

async fn write(runtime: &TokioRuntime, path: PathBuf, position: u64, bytes: &[u8]) {
    let file = runtime.disk().open(&path, OpenMode::Create).await.unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], position).await.unwrap();
}

fn clean() -> OpenOptions {
    OpenOptions { clean: true, ..OpenOptions::default() }
}

#[tokio::test]
async fn a_bad_batch_ends_the_log_above_the_recovery_point() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let bases = filled(&runtime, &directory).await;
    write(&runtime, path(&directory, bases[2], ".log"), 300, &[0xff; 4]).await;
    let (log, report) = open(&runtime, &directory, small(), OpenOptions::default()).await;
    assert!(log.log_end_offset() < bases[3] && log.log_end_offset() > bases[2]);
    assert_eq!(report.segments_deleted, bases.len() - 3);
    assert!(report.bytes_truncated > 0);
    assert_eq!(
        offsets(&log).await.len() * 2,
        usize::try_from(log.log_end_offset().value()).unwrap()
    );
}

#[tokio::test]
async fn what_lies_below_the_recovery_point_is_believed() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let bases = filled(&runtime, &directory).await;
    write(&runtime, path(&directory, bases[1], ".log"), 300, &[0xff; 4]).await;
    let options = OpenOptions { recovery_point: Some(Offset::new(80)), ..OpenOptions::default() };
    let (log, report) = open(&runtime, &directory, small(), options).await;
    assert_eq!((log.log_end_offset(), report.segments_recovered), (Offset::new(80), 1));
    assert_eq!(log.segments().len(), bases.len());
    // Damage to an index of it is mended; damage to the records then leaves a hole, and nothing else is given up.
    drop(log);
    runtime.disk().remove_file(&path(&directory, bases[1], ".index")).await.unwrap();
    let options = OpenOptions { recovery_point: Some(Offset::new(80)), ..OpenOptions::default() };
    let (log, report) = open(&runtime, &directory, small(), options).await;
    assert_eq!((report.indexes_rebuilt, report.segments_deleted), (1, 0));
    assert_eq!(log.log_end_offset(), Offset::new(80));
    let found = log.read(bases[2].plus(-1), 1, true, Offset::new(80)).await.unwrap();
    assert_eq!(found.base_offset, Some(bases[2]));
    assert_eq!(log.epoch_for_offset(Offset::new(79)), Some(LeaderEpoch::new(3)));
}

/// A log whose second segment has lost its tail, between two batches, so that every batch that is left is whole.
async fn with_a_hole(runtime: &TokioRuntime) -> (Directory, Vec<Offset>) {
    let directory = Directory::new(runtime);
    let bases = filled(runtime, &directory).await;
    let file = runtime.disk().open(&path(&directory, bases[1], ".log"), OpenMode::ReadWrite).await;
    let size = batch(&[1000, 1000]).len() as u64;
    file.unwrap().set_length(2 * size).await.unwrap();
    (directory, bases)
}

fn known(recovery_point: Offset) -> OpenOptions {
    OpenOptions { recovery_point: Some(recovery_point), ..OpenOptions::default() }
}

#[tokio::test]
async fn a_hole_above_the_recovery_point_ends_the_log() {
    let runtime = TokioRuntime::new();
    for inside in [false, true] {
        let (directory, bases) = with_a_hole(&runtime).await;
        let point = if inside { bases[2].plus(-1) } else { Offset::ZERO };
        let (log, report) = open(&runtime, &directory, small(), known(point)).await;
        assert_eq!(log.log_end_offset(), bases[1].plus(4));
        assert_eq!(report.segments_deleted, bases.len() - 2);
    }
}

#[tokio::test]
async fn a_hole_stays_when_all_up_to_the_segment_behind_it_was_synced() {
    let runtime = TokioRuntime::new();
    for segment in 2..4 {
        let (directory, bases) = with_a_hole(&runtime).await;
        let (log, report) = open(&runtime, &directory, small(), known(bases[segment])).await;
        assert_eq!((log.log_end_offset(), report.segments_deleted), (Offset::new(80), 0));
        let behind = log.read(bases[1].plus(4), 1, true, Offset::new(80)).await.unwrap();
        assert_eq!(behind.base_offset, Some(bases[2]));
    }
}

#[tokio::test]
async fn a_hole_stays_when_no_recovery_point_is_known() {
    let runtime = TokioRuntime::new();
    let (directory, bases) = with_a_hole(&runtime).await;
    let (log, report) = open(&runtime, &directory, small(), OpenOptions::default()).await;
    assert_eq!((log.log_end_offset(), report.segments_deleted), (Offset::new(80), 0));
    assert_eq!(report.segments_recovered, bases.len());
    // But a segment that had to be cut is the last, as in Kafka.
    drop(log);
    write(&runtime, path(&directory, bases[1], ".log"), 100, &[0xff; 4]).await;
    let (log, report) = open(&runtime, &directory, small(), OpenOptions::default()).await;
    assert!(log.log_end_offset() < bases[2]);
    assert_eq!(report.segments_deleted, bases.len() - 2);
}

#[tokio::test]
async fn a_hole_stays_where_compaction_makes_them() {
    let runtime = TokioRuntime::new();
    let (directory, _) = with_a_hole(&runtime).await;
    let compacted = Settings { compacts: true, ..small() };
    let (log, _) = open(&runtime, &directory, compacted, known(Offset::ZERO)).await;
    assert_eq!(log.log_end_offset(), Offset::new(80));
}

#[tokio::test]
async fn a_spoiled_batch_below_the_recovery_point_ends_nothing() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let bases = filled(&runtime, &directory).await;
    let last = bases[bases.len() - 1];
    // In the value of the first batch of the active segment.
    let length = batch(&[1000, 1000]).len() as u64;
    write(&runtime, path(&directory, last, ".log"), length - 4, &[0xff; 2]).await;
    let (log, _) = open(&runtime, &directory, small(), known(last.plus(2))).await;
    assert_eq!(log.log_end_offset(), Offset::new(80));
    drop(log);
    let (log, _) = open(&runtime, &directory, small(), known(last.plus(1))).await;
    assert_eq!(log.log_end_offset(), last);
}

#[tokio::test]
async fn a_segment_that_was_synced_is_not_given_up_for_one_that_reaches_into_it() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let bases = filled(&runtime, &directory).await;
    // A sound batch at the end of the second segment, with the offsets that the third begins with.
    let mut builder = Builder::new(bases[2], LeaderEpoch::new(3), Compression::None);
    builder.append(Timestamp(1), None, Some(b"twin"), &[]);
    let file = path(&directory, bases[1], ".log");
    let length = std::fs::metadata(&file).unwrap().len();
    write(&runtime, file, length, &builder.build().unwrap()).await;
    runtime.disk().remove_file(&path(&directory, bases[1], ".index")).await.unwrap();
    let (log, report) = open(&runtime, &directory, small(), known(Offset::new(80))).await;
    assert_eq!((log.log_end_offset(), report.segments_deleted), (Offset::new(80), 0));
    assert_eq!(offsets(&log).await.len(), 40);
}

#[tokio::test]
async fn epochs_that_cannot_be_read_are_learned_from_the_batches() {
    let runtime = TokioRuntime::new();
    for options in [OpenOptions::default(), clean()] {
        let directory = Directory::new(&runtime);
        filled(&runtime, &directory).await;
        let log = reopen(&runtime, &directory, OpenOptions::default()).await;
        log.close().await.unwrap();
        write(&runtime, directory.log().join("leader-epoch-checkpoint"), 0, b"rubbish").await;
        let log = reopen(&runtime, &directory, options).await;
        for epoch in 0..4 {
            let end = log.end_offset_for_epoch(LeaderEpoch::new(epoch)).unwrap();
            assert_eq!(end.offset.value(), i64::from(epoch + 1) * 20);
        }
    }
}

#[tokio::test]
async fn a_log_below_its_start_begins_anew_there() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    filled(&runtime, &directory).await;
    let options = OpenOptions { log_start_offset: Offset::new(500), ..OpenOptions::default() };
    let log = reopen(&runtime, &directory, options).await;
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset::new(500), Offset::new(500))
    );
    let epoch = LeaderEpoch::new(log.latest_epoch().map_or(1, |latest| latest.value() + 1));
    let done = log.append_as_leader(batch(&[1]), CLIENT, epoch, Timestamp(2000)).await;
    assert_eq!(done.unwrap().first, Offset::new(500));
    assert_eq!(log.segments().len(), 1);
}

#[tokio::test]
async fn half_done_replacements_are_finished_or_undone() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let bases = filled(&runtime, &directory).await;
    let log = reopen(&runtime, &directory, OpenOptions::default()).await;
    log.close().await.unwrap();
    let disk = runtime.disk();
    let copy = async |from: Offset, to: &str| {
        let file = disk.open(&path(&directory, from, ".log"), OpenMode::Read).await.unwrap();
        let bytes = file.read_all(1 << 20).await.unwrap();
        write(&runtime, directory.log().join(to), 0, &bytes).await;
    };
    // A replacement that was complete: the second segment is replaced by one that holds the same.
    copy(bases[1], &file_names::at(bases[1], ".log.swap")).await;
    // One that was not.
    copy(bases[1], &file_names::at(bases[3], ".log.cleaned")).await;
    copy(bases[1], &file_names::at(bases[3], ".log.swap")).await;
    copy(bases[1], &file_names::at(bases[4], ".log.deleted")).await;
    write(&runtime, path(&directory, Offset::new(9999), ".index"), 0, &[0; 8]).await;
    let log = reopen(&runtime, &directory, clean()).await;
    assert_eq!(log.log_end_offset(), Offset::new(80));
    assert_eq!(offsets(&log).await.len(), 40);
    let names = disk.list(&directory.log()).await.unwrap();
    for suffix in [".swap", ".cleaned", ".deleted"] {
        assert!(!names.iter().any(|entry| entry.name.ends_with(suffix)), "{suffix}");
    }
    assert!(!names.iter().any(|entry| entry.name.contains("9999")));
}

#[tokio::test]
async fn transactions_of_a_foreign_log_are_known_after_a_crash() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let (log, _) = open(&runtime, &directory, small(), OpenOptions::default()).await;
    let data = |offset: i64, producer: i64, sequence: i32| {
        let mut builder = Builder::new(Offset::new(offset), LeaderEpoch::ZERO, Compression::None)
            .producer(ProducerId(producer), ProducerEpoch(0), Some(sequence))
            .transactional();
        builder.append(Timestamp(5), None, Some(b"value"), &[]);
        builder.build().unwrap()
    };
    let marker = |offset: i64, producer: i64, is_commit: bool| {
        let record =
            ControlRecord::EndTransaction(EndTransactionMarker { is_commit, coordinator_epoch: 2 });
        let mut builder = Builder::new(Offset::new(offset), LeaderEpoch::ZERO, Compression::None)
            .producer(ProducerId(producer), ProducerEpoch(0), None)
            .transactional()
            .control();
        builder.append(Timestamp(5), Some(&record.key()), Some(&record.value()), &[]);
        builder.build().unwrap()
    };
    let all =
        [data(0, 1, 0), data(1, 2, 0), marker(2, 1, false), data(3, 3, 0), marker(4, 2, true)];
    log.append_as_follower(all.concat().into(), LeaderEpoch::ZERO).await.unwrap();
    let check = async |log: &Log| {
        log.set_high_watermark(Offset::new(5));
        assert_eq!(log.last_stable_offset(), Offset::new(3));
        let aborted = log.aborted_transactions(Offset::ZERO, Offset::new(5)).await.unwrap();
        assert_eq!(aborted.len(), 1);
        let aborted = aborted[0];
        assert_eq!(aborted.producer, ProducerId(1));
        assert_eq!(aborted.first_offset.value(), 0);
        assert_eq!((aborted.last_offset.value(), aborted.last_stable_offset.value()), (2, 1));
        let later = log.aborted_transactions(Offset::new(3), Offset::new(5)).await.unwrap();
        assert_eq!(later, []);
    };
    log.set_high_watermark(Offset::new(2));
    assert_eq!(log.last_stable_offset(), Offset::ZERO);
    check(&log).await;
    let log = reopen(&runtime, &directory, OpenOptions::default()).await;
    check(&log).await;
    log.close().await.unwrap();
    let log = reopen(&runtime, &directory, clean()).await;
    check(&log).await;
    // Without its marker, the transaction is open again.
    log.truncate_to(Offset::new(2)).await.unwrap();
    assert_eq!(log.last_stable_offset(), Offset::ZERO);
    let aborted = log.aborted_transactions(Offset::ZERO, Offset::new(5)).await.unwrap();
    assert_eq!(aborted, []);
    assert!(batches(&log).await.iter().map(Batch::header).all(|header| !header.is_control()));
}
