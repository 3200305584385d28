use super::*;
use crate::environment::tokio::TokioFile;
use crate::model::ErrorCode;
use crate::replication::{Isolation, Limit, PartitionRead, Source};

impl One {
    async fn read(
        &self,
        fetch: &PartitionFetch,
        bytes: u64,
        minimum_one_batch: bool,
    ) -> PartitionRead<TokioFile> {
        let from = (Isolation::ReadUncommitted, Source::Leader);
        self.partition.read(fetch, Limit { bytes, minimum_one_batch }, from).await
    }
}

/// Bytes of one batch of [`One::append`].
const BATCH: u64 = 115;

/// A partition with three batches of two records, all committed.
async fn filled() -> One {
    let one = One::start(Settings::default(), registration(&[1], &[1], 3)).await;
    for _ in 0..3 {
        one.append(Acks::All).await.unwrap();
    }
    one
}

fn records<F>(read: &PartitionRead<F>) -> u64 {
    assert_eq!(read.error, ErrorCode::None);
    read.bytes()
}

#[tokio::test]
async fn a_read_keeps_to_its_limit_but_its_first_batch_may_be_whole_above_it() {
    let one = filled().await;
    let check = async |offset: i64, max_bytes: u64, minimum_one: bool, expected: u64| {
        let read = one.read(&fetch(offset), max_bytes, minimum_one).await;
        assert_eq!(records(&read), expected, "from {offset}, at most {max_bytes}");
        assert_eq!(
            (read.high_watermark, read.last_stable_offset, read.log_start_offset),
            (6, 6, 0)
        );
    };
    check(0, 1 << 20, true, 3 * BATCH).await;
    check(2, 1 << 20, true, 2 * BATCH).await;
    check(3, 1 << 20, true, 2 * BATCH).await;
    check(0, BATCH + 10, true, BATCH + 10).await;
    check(0, 10, true, BATCH).await;
    check(0, 0, true, BATCH).await;
    check(0, 10, false, 0).await;
    check(0, BATCH, false, BATCH).await;
    check(6, 1 << 20, true, 0).await;
}

#[tokio::test]
async fn what_is_not_committed_is_not_read_and_is_not_out_of_range() {
    let one = One::start(Settings::default(), registration(&[1, 2], &[1, 2], 0)).await;
    one.append(Acks::All).await.unwrap();
    for offset in [0, 1, 2] {
        let read = one.read(&fetch(offset), 1 << 20, true).await;
        assert_eq!((read.error, read.bytes(), read.high_watermark), (ErrorCode::None, 0, 0));
    }
    one.partition.update(registration(&[1, 2], &[1], 0)).await;
    let read = one.read(&fetch(0), 1 << 20, true).await;
    assert_eq!((read.bytes(), read.high_watermark), (BATCH, 2));
}

#[tokio::test]
async fn offsets_outside_of_the_log_are_refused() {
    let one = filled().await;
    one.partition.delete_records(Some(at(2))).await.unwrap();
    for offset in [-1, -5, 0, 1, 7, i64::MAX] {
        let read = one.read(&fetch(offset), 1 << 20, true).await;
        assert_eq!(read.error, ErrorCode::OffsetOutOfRange, "{offset}");
        assert_eq!((read.high_watermark, read.log_start_offset, read.bytes()), (-1, -1, 0));
    }
    let read = one.read(&fetch(2), 1 << 20, true).await;
    assert_eq!((read.error, read.log_start_offset), (ErrorCode::None, 2));
}

#[tokio::test]
async fn who_asks_the_wrong_one_is_told_who_leads() {
    let one = filled().await;
    one.partition.update(registration(&[2, 1], &[2, 1], 4)).await;
    let told = Some((Some(NodeId(2)), LeaderEpoch::new(4)));
    let check = async |believed: Option<i32>, expected: ErrorCode, leader| {
        let asked =
            PartitionFetch { current_leader_epoch: believed.map(LeaderEpoch::new), ..fetch(0) };
        let read = one.read(&asked, 1 << 20, true).await;
        assert_eq!((read.error, read.current_leader, read.bytes()), (expected, leader, 0));
    };
    check(None, ErrorCode::NotLeaderOrFollower, told).await;
    check(Some(3), ErrorCode::FencedLeaderEpoch, told).await;
    check(Some(5), ErrorCode::UnknownLeaderEpoch, None).await;
    one.partition.go_offline();
    check(None, ErrorCode::KafkaStorageError, None).await;
}

#[tokio::test]
async fn a_reader_whose_log_parted_from_ours_is_told_where() {
    let one = filled().await;
    one.partition.update(registration(&[1], &[1], 5)).await;
    one.append(Acks::All).await.unwrap();
    let check = async |offset: i64, epoch: i32, expected: Option<(i32, i64)>| {
        let epoch = Some(LeaderEpoch::new(epoch));
        let asked = PartitionFetch { last_fetched_epoch: epoch, ..fetch(offset) };
        let read = one.read(&asked, 1 << 20, true).await;
        assert_eq!(read.error, ErrorCode::None);
        let diverging = read.diverging.map(|end| (end.epoch.value(), end.offset.value()));
        assert_eq!(diverging, expected, "at {offset} of epoch {epoch:?}");
        assert_eq!(read.bytes() == 0, expected.is_some());
    };
    check(6, 3, None).await;
    check(7, 3, Some((3, 6))).await;
    check(7, 4, Some((3, 6))).await;
    check(7, 5, None).await;
    let newer = PartitionFetch { last_fetched_epoch: Some(LeaderEpoch::new(9)), ..fetch(6) };
    let read = one.read(&newer, 1 << 20, true).await;
    assert_eq!(read.error, ErrorCode::OffsetOutOfRange);
}

#[tokio::test]
async fn a_record_is_found_by_time_below_what_is_visible_only() {
    let one = One::start(Settings::default(), registration(&[1, 2], &[1], 0)).await;
    one.append_bytes(batch(&[100, 200]), Acks::All).await.unwrap();
    one.partition.update(registration(&[1, 2], &[1, 2], 0)).await;
    one.append_bytes(batch(&[300]), Acks::All).await.unwrap();
    let find = async |time: i64| {
        let found = {
            let end = one.partition.visible_end(Isolation::ReadUncommitted);
            one.partition.offset_for_timestamp(Timestamp(time), end).await.unwrap()
        };
        found.map(|found| found.offset.value())
    };
    assert_eq!(find(150).await, Some(1));
    assert_eq!(find(250).await, None);
    one.partition.update(registration(&[1, 2], &[1], 0)).await;
    assert_eq!(find(250).await, Some(2));
}
