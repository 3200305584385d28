use super::super::fixture::*;
use super::super::{AppendError, Origin, ReadError, Settings};
use super::*;
use crate::environment::tokio::TokioRuntime;
use crate::model::ErrorCode;
use crate::record::Batch;

const CLEAN: OpenOptions = OpenOptions {
    clean: true,
    recovery_point: None,
    log_start_offset: Offset::ZERO,
    high_watermark: Offset::ZERO,
    topic_id: None,
};

fn unclean() -> OpenOptions {
    OpenOptions::default()
}

#[tokio::test]
async fn what_is_appended_is_read_with_offsets_and_epoch() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let (log, _) = open(&runtime, &directory, small(), unclean()).await;
    let first = append(&log, batch(&[1, 2, 3])).await.unwrap();
    assert_eq!((first.first.value(), first.last.value()), (0, 2));
    let second = append(&log, batch(&[4])).await.unwrap();
    assert_eq!((second.first.value(), second.log_append_time), (3, None));
    assert_eq!(offsets(&log).await, [(0, 2), (3, 3)]);
    let batch = &batches(&log).await[1];
    assert_eq!(batch.header().leader_epoch, 1);
    assert_eq!(log.end_offset_for_epoch(LeaderEpoch::new(1)).unwrap().offset, Offset::new(4));
}

#[tokio::test]
async fn a_read_begins_with_the_batch_that_contains_the_offset_and_stops_below_the_bound() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let (log, _) = open(&runtime, &directory, small(), unclean()).await;
    for _ in 0..4 {
        append(&log, batch(&[1, 2])).await.unwrap();
    }
    let one = batch(&[1, 2]).len() as u64;
    let read = |from, max, whole, up_to| {
        let log = Arc::clone(&log);
        async move {
            let found = log.read(Offset::new(from), max, whole, Offset::new(up_to)).await.unwrap();
            (found.base_offset.map(Offset::value), found.length())
        }
    };
    assert_eq!(read(3, u64::MAX, false, 8).await, (Some(2), 3 * one));
    assert_eq!(read(3, u64::MAX, false, 6).await, (Some(2), 2 * one));
    // A batch that reaches over the bound is not there yet.
    assert_eq!(read(3, u64::MAX, false, 5).await, (Some(2), one));
    assert_eq!(read(2, u64::MAX, false, 3).await, (None, 0));
    assert_eq!(read(0, 1, true, 8).await, (Some(0), one));
    assert_eq!(read(0, 10, false, 8).await, (Some(0), 10));
    assert_eq!(read(8, 10, true, 8).await, (None, 0));
    assert_eq!(read(6, 10, true, 4).await, (None, 0));
    let error = log.read(Offset::new(9), 1, true, Offset::new(9)).await.unwrap_err();
    assert!(matches!(error, ReadError::OffsetOutOfRange { .. }));
}

#[tokio::test]
async fn every_offset_is_found_in_active_and_sealed_segments() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let (log, _) = open(&runtime, &directory, small(), unclean()).await;
    for _ in 0..200 {
        append(&log, batch(&[1, 2, 3])).await.unwrap();
    }
    assert!(log.segments().len() > 10);
    for offset in 0..600 {
        let found = log.read(Offset::new(offset), 1, true, Offset::new(600)).await.unwrap();
        assert_eq!(found.base_offset, Some(Offset::new(offset - offset % 3)));
    }
    log.close().await.unwrap();
    let (log, report) = open(&runtime, &directory, small(), CLEAN).await;
    assert_eq!(
        report,
        RecoveryReport { producer_snapshot: Some(Offset::new(600)), ..RecoveryReport::default() }
    );
    for offset in 0..600 {
        let found = log.read(Offset::new(offset), 1, true, Offset::new(600)).await.unwrap();
        assert_eq!(found.base_offset, Some(Offset::new(offset - offset % 3)));
    }
}

#[tokio::test]
async fn after_a_crash_the_indexes_are_built_as_they_were() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let (log, _) = open(&runtime, &directory, small(), unclean()).await;
    for number in 0..100 {
        append(&log, batch(&[number * 7 % 50, number])).await.unwrap();
    }
    log.close().await.unwrap();
    let before = index_files(&directory);
    assert!(before.len() > 10);
    for (path, _) in &before {
        runtime.disk().remove_file(path).await.unwrap();
    }
    let (log, report) = open(&runtime, &directory, small(), unclean()).await;
    assert_eq!(report.bytes_truncated, 0);
    assert!(report.segments_recovered > 5);
    assert_eq!(offsets(&log).await.len(), 100);
    log.close().await.unwrap();
    assert_eq!(index_files(&directory), before);
}

#[expect(clippy::disallowed_methods, reason = "looks at the files from outside")]
fn index_files(directory: &Directory) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory.log()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "index" || kind == "timeindex") {
            let bytes = std::fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn a_batch_that_comes_again_is_answered_with_its_first_offsets() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let (log, _) = open(&runtime, &directory, small(), unclean()).await;
    append(&log, idempotent(7, 0, 2)).await.unwrap();
    append(&log, idempotent(7, 2, 2)).await.unwrap();
    let again = append(&log, idempotent(7, 0, 2)).await.unwrap();
    assert!(again.duplicate);
    assert_eq!((again.first.value(), again.last.value()), (0, 1));
    assert_eq!(again.log_append_time, Some(Timestamp(1001)));
    let error = append(&log, idempotent(7, 9, 1)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(log.log_end_offset(), Offset::new(4));
    // What the log knows of its producers is in the log.
    let (log, _) = open(&runtime, &directory, small(), unclean()).await;
    assert!(append(&log, idempotent(7, 2, 2)).await.unwrap().duplicate);
}

#[tokio::test]
async fn a_follower_keeps_what_its_leader_wrote_and_drops_a_cut_batch() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let (log, _) = open(&runtime, &directory, small(), unclean()).await;
    let place = |bytes, offset, epoch| {
        let batch = Batch::parse(bytes).unwrap();
        batch.placed(Offset::new(offset), LeaderEpoch::new(epoch)).into_bytes().to_vec()
    };
    let mut bytes = place(batch(&[1, 2]), 5, 3);
    bytes.extend(place(batch(&[1]), 9, 4));
    bytes.extend(&place(batch(&[1]), 10, 4)[..70]);
    let done = log.append_as_follower(bytes.into(), LeaderEpoch::new(4)).await.unwrap().unwrap();
    assert_eq!((done.first.value(), done.last.value()), (5, 9));
    assert_eq!(log.log_end_offset(), Offset::new(10));
    assert_eq!(log.epoch_for_offset(Offset::new(8)), Some(LeaderEpoch::new(3)));
    // In the hole the next batch is found.
    let found = log.read(Offset::new(7), 1, true, Offset::new(10)).await.unwrap();
    assert_eq!(found.base_offset, Some(Offset::new(9)));
    let error = log
        .append_as_follower(place(batch(&[1]), 9, 4).into(), LeaderEpoch::new(4))
        .await
        .unwrap_err();
    assert!(matches!(error, AppendError::UnexpectedOffset { found: 9, .. }));
    let newer = place(batch(&[1]), 10, 5);
    assert_eq!(log.append_as_follower(newer.into(), LeaderEpoch::new(4)).await.unwrap(), None);
    let mut broken = place(batch(&[1]), 10, 4);
    broken[65] ^= 1;
    let error = log.append_as_follower(broken.into(), LeaderEpoch::new(4)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptMessage);
}

#[tokio::test]
async fn what_was_decided_in_an_older_epoch_changes_nothing_in_a_newer_one() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let (log, _) = open(&runtime, &directory, small(), unclean()).await;
    let epoch = LeaderEpoch::new;
    let from_leader = |offset| {
        let batch = Batch::parse(batch(&[1])).unwrap();
        batch.placed(Offset::new(offset), epoch(3)).into_bytes()
    };
    log.follow_epoch(epoch(3)).await;
    log.append_as_follower(from_leader(0), epoch(3)).await.unwrap();
    // It leads, and then follows again without having written a record.
    assert_eq!(log.begin_epoch(epoch(4)).await, Offset::new(1));
    let late = log.append_as_follower(from_leader(1), epoch(3)).await.unwrap_err();
    assert!(matches!(late, AppendError::EpochOver(_)), "{late}");
    assert!(!log.truncate(Offset::ZERO, Some(epoch(3))).await.unwrap());
    log.start_over(Offset::new(9), Some(epoch(3))).await.unwrap();
    log.follow_epoch(epoch(5)).await;
    let late = log.append_as_leader(batch(&[1]), CLIENT, epoch(4), Timestamp(5)).await;
    assert!(matches!(late.unwrap_err(), AppendError::EpochOver(_)));
    assert_eq!(log.log_end_offset(), Offset::new(1));
    assert_eq!(log.latest_epoch(), Some(epoch(4)));
    // The leader tells it that epoch 4 never was: it is forgotten although no record goes with it.
    assert!(!log.truncate(Offset::new(1), Some(epoch(5))).await.unwrap());
    assert_eq!(log.latest_epoch(), Some(epoch(3)));
    assert!(log.truncate(Offset::ZERO, Some(epoch(5))).await.unwrap());
    log.start_over(Offset::new(9), Some(epoch(5))).await.unwrap();
    assert_eq!(log.log_start_offset(), Offset::new(9));
}

#[tokio::test]
async fn truncating_cuts_across_segments_and_appending_goes_on() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let (log, _) = open(&runtime, &directory, small(), unclean()).await;
    for number in 0..60 {
        append(&log, idempotent(7, number * 2, 2)).await.unwrap();
    }
    let before = log.segments().len();
    assert!(log.truncate_to(Offset::new(31)).await.unwrap());
    assert!(log.segments().len() < before);
    // The batch that holds 31 is gone whole.
    assert_eq!(log.log_end_offset(), Offset::new(30));
    assert_eq!(offsets(&log).await.len(), 15);
    assert!(append(&log, idempotent(7, 28, 2)).await.unwrap().duplicate);
    append(&log, idempotent(7, 30, 2)).await.unwrap();
    assert!(!log.truncate_to(Offset::new(32)).await.unwrap());
    log.truncate_fully_and_start_at(Offset::new(100)).await.unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset::new(100), Offset::new(100))
    );
    append(&log, batch(&[1])).await.unwrap();
    let options = OpenOptions { log_start_offset: Offset::new(100), ..unclean() };
    let (log, _) = open(&runtime, &directory, small(), options).await;
    assert_eq!(offsets(&log).await, [(100, 100)]);
}

#[tokio::test]
async fn a_roll_syncs_what_it_leaves_behind_until_a_recovery_point_is_stored() {
    let runtime = TokioRuntime::new();
    for is_stored in [false, true] {
        let directory = Directory::new(&runtime);
        let recovery_point = is_stored.then_some(Offset::ZERO);
        let options = OpenOptions { recovery_point, ..unclean() };
        let (log, _) = open(&runtime, &directory, small(), options).await;
        while log.segments().len() < 3 {
            append(&log, batch(&[1, 2])).await.unwrap();
        }
        let expected = if is_stored { Offset::ZERO } else { log.active().base() };
        assert_eq!(log.durable_end(), expected);
    }
}

#[tokio::test]
async fn many_flushes_wait_for_few_syncs_and_move_the_recovery_point() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let known = OpenOptions { recovery_point: Some(Offset::ZERO), ..unclean() };
    let (log, _) = open(&runtime, &directory, small(), known).await;
    for _ in 0..30 {
        append(&log, batch(&[1])).await.unwrap();
    }
    assert_eq!(log.unflushed_messages(), 30);
    let waiters: Vec<_> = (0..30).map(|offset| log.flush(Offset::new(offset + 1))).collect();
    for result in futures_util::future::join_all(waiters).await {
        result.unwrap();
    }
    assert_eq!(log.unflushed_messages(), 0);
    log.flush(Offset::new(30)).await.unwrap();
    while log.recovery_point() < Offset::new(30) {
        tokio::task::yield_now().await;
    }
    assert!(!log.has_unsynced_segments());
}

#[tokio::test]
async fn old_segments_go_by_size_by_time_and_by_log_start() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let (log, _) = open(&runtime, &directory, small(), unclean()).await;
    for number in 0..60 {
        append(&log, batch(&[number * 10])).await.unwrap();
    }
    let limited = Settings { retention_bytes: Some(2500), retention_ms: Some(100), ..small() };
    log.set_settings(limited);
    // Nothing above the high watermark goes.
    assert_eq!(log.delete_old_segments(Timestamp(100_000)).await.unwrap(), 0);
    log.set_high_watermark(Offset::new(60));
    log.set_settings(Settings { retention_bytes: Some(2500), ..small() });
    assert!(log.delete_old_segments(Timestamp(600)).await.unwrap() > 0);
    assert!((2500..3500).contains(&log.size_bytes()));
    let start = log.log_start_offset();
    assert!(start > Offset::ZERO);
    assert!(log.read(Offset::ZERO, 1, true, Offset::new(60)).await.is_err());
    assert!(log.advance_log_start(start.plus(15)).await.unwrap());
    assert_eq!(log.log_start_offset(), start.plus(15));
    assert!(log.segments()[0].base_offset > start);
    assert!(log.advance_log_start(Offset::new(61)).await.is_err());
    // All of it expired: the active segment is rolled first.
    log.set_settings(Settings { retention_ms: Some(100), file_delete_delay_ms: 0, ..small() });
    log.delete_old_segments(Timestamp(100_000)).await.unwrap();
    assert_eq!(log.log_start_offset(), Offset::new(60));
    assert_eq!(log.segments().len(), 1);
    log.remove_deleted().await.unwrap();
    let (log, _) = open(&runtime, &directory, small(), CLEAN).await;
    assert_eq!(log.log_end_offset(), Offset::new(60));
}

#[tokio::test]
async fn times_are_found_in_every_segment() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let (log, _) = open(&runtime, &directory, small(), unclean()).await;
    for number in 0..60 {
        append(&log, batch(&[number * 10, number * 10 + 5])).await.unwrap();
    }
    for options in [None, Some(CLEAN)] {
        let log = match options {
            None => Arc::clone(&log),
            Some(options) => {
                log.close().await.unwrap();
                open(&runtime, &directory, small(), options).await.0
            }
        };
        for time in 0..595 {
            let found =
                log.offset_for_timestamp(Timestamp(time), Offset::new(120)).await.unwrap().unwrap();
            assert_eq!(found.offset.value(), (time + 4) / 5, "time {time}");
        }
        let late = log.offset_for_timestamp(Timestamp(596), Offset::new(120)).await.unwrap();
        assert_eq!(late, None);
        let bound = log.offset_for_timestamp(Timestamp(50), Offset::new(10)).await.unwrap();
        assert_eq!(bound, None);
        let largest = log.max_timestamp_offset().await.unwrap().unwrap();
        assert_eq!((largest.offset.value(), largest.timestamp.0), (119, 595));
    }
}

#[tokio::test]
async fn log_append_time_is_set_and_covered_by_the_checksum() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let settings =
        Settings { timestamp_type: crate::record::TimestampType::LogAppendTime, ..small() };
    let (log, _) = open(&runtime, &directory, settings, unclean()).await;
    let done = append(&log, batch(&[5, 6])).await.unwrap();
    assert_eq!(done.log_append_time, Some(Timestamp(2000)));
    assert_eq!(batches(&log).await[0].header().max_timestamp, 2000);
}

#[tokio::test]
async fn raft_batches_stand_as_they_are() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    let (log, _) = open(&runtime, &directory, small(), unclean()).await;
    let large = batch(&[1; 100]);
    log.append_as_leader(large, Origin::Raft, LeaderEpoch::new(2), Timestamp(0)).await.unwrap();
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch::new(2)));
    assert_eq!(log.log_end_offset(), Offset::new(100));
}

/// A closed segment is believed without being read. Batches out of order whose headers promise times that no record has
/// once sent a search to and fro without end.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "lays damaged files down from outside")]
async fn a_search_by_time_ends_in_a_segment_whose_batches_are_out_of_order() {
    let runtime = TokioRuntime::new();
    let directory = Directory::new(&runtime);
    std::fs::create_dir_all(directory.log()).unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(directory.log().join(name), bytes).unwrap();
    let mut records = Vec::new();
    for (base, max_timestamp) in [(5_i64, 500_i64), (8, 100), (3, 500)] {
        let mut bytes = batch(&[100]).to_vec();
        bytes[..8].copy_from_slice(&base.to_be_bytes());
        bytes[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
        records.extend(bytes);
    }
    put("00000000000000000000.log", &records);
    put("00000000000000000000.index", &[]);
    put(
        "00000000000000000000.timeindex",
        &[&500_i64.to_be_bytes()[..], &8_i32.to_be_bytes()].concat(),
    );
    put("00000000000000000010.log", &[]);
    put("00000000000000000010.index", &[]);
    put("00000000000000000010.timeindex", &[]);
    let (log, _) = open(&runtime, &directory, small(), CLEAN).await;
    let found = log.offset_for_timestamp(Timestamp(200), Offset::new(10)).await;
    assert!(matches!(found, Err(ReadError::Corrupt(_))), "{found:?}");
}
