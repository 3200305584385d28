use futures_util::FutureExt as _;

use super::*;
use crate::model::ErrorCode;
use crate::replication::Waiter;

/// The epoch most of these lead in.
const EPOCH: LeaderEpoch = LeaderEpoch::ZERO;

fn strict() -> Settings {
    Settings { flush_messages: Some(1), ..Settings::default() }
}

#[tokio::test]
async fn a_leader_that_is_alone_commits_what_it_appends() {
    let one = One::start(Settings::default(), registration(&[1], &[1], 0)).await;
    assert_eq!(one.high_watermark(), 0);
    let appended = one.append(Acks::All).await.unwrap();
    assert_eq!((appended.first, appended.last, one.high_watermark()), (at(0), at(1), 2));
    assert_eq!(one.partition.committed(at(1), EPOCH).now_or_never(), Some(Ok(())));
    assert!(one.partition.committed(at(2), EPOCH).now_or_never().is_none());
}

#[tokio::test]
async fn under_a_flush_of_every_message_only_what_is_durable_is_committed() {
    let one = One::start(strict(), registration(&[1], &[1], 0)).await;
    assert!(one.append(Acks::All).await.unwrap().must_flush);
    assert_eq!(one.high_watermark(), 0);
    let mut committed = Box::pin(one.partition.committed(at(1), EPOCH));
    assert!(committed.as_mut().now_or_never().is_none());
    one.partition.flush(at(2)).await.unwrap();
    assert_eq!(one.high_watermark(), 2);
    assert_eq!(committed.await, Ok(()));
}

#[tokio::test]
async fn what_others_in_sync_may_lack_is_committed_once_they_are_out() {
    let one = One::start(Settings::default(), registration(&[1, 2], &[1, 2], 0)).await;
    one.append(Acks::All).await.unwrap();
    assert_eq!(one.high_watermark(), 0);
    let waiter = Waiter::new();
    one.partition.register(&waiter);
    assert!(waiter.woken().now_or_never().is_none());
    let mut committed = Box::pin(one.partition.committed(at(1), EPOCH));
    assert!(committed.as_mut().now_or_never().is_none());
    one.partition.update(registration(&[1, 2], &[1], 0)).await;
    assert_eq!(one.high_watermark(), 2);
    assert_eq!(committed.await, Ok(()));
    assert!(waiter.woken().now_or_never().is_some());
}

#[tokio::test]
async fn a_write_that_wants_all_is_refused_when_too_few_are_in_sync() {
    let settings = Settings { min_insync_replicas: 2, ..Settings::default() };
    let one = One::start(settings.clone(), registration(&[1, 2], &[1], 0)).await;
    let refused = one.append(Acks::All).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotEnoughReplicas);
    assert!(one.append(Acks::Fewer).await.is_ok(), "who wants less gets it");
    // A topic of one replica cannot have two in sync, and need not.
    let single = One::start(settings, registration(&[1], &[1], 0)).await;
    assert!(single.append(Acks::All).await.is_ok());
}

#[tokio::test]
async fn a_write_learns_that_those_in_sync_became_too_few_after_it() {
    let settings = Settings { min_insync_replicas: 2, ..Settings::default() };
    let one = One::start(settings, registration(&[1, 2], &[1, 2], 0)).await;
    let last = one.append(Acks::All).await.unwrap().last;
    let mut acknowledged = Box::pin(one.partition.acknowledged(last, EPOCH));
    assert!(acknowledged.as_mut().now_or_never().is_none());
    // The follower gets it, and is out before anybody looks.
    assert_eq!(one.follow(2, 2).await.error, ErrorCode::None);
    assert_eq!(one.high_watermark(), 2);
    one.partition.update(registration(&[1, 2], &[1], 0)).await;
    assert_eq!(acknowledged.await, Err(ErrorCode::NotEnoughReplicasAfterAppend));
}

#[tokio::test]
async fn nothing_is_committed_while_too_few_are_in_sync() {
    let settings = Settings { min_insync_replicas: 2, ..Settings::default() };
    let one = One::start(settings, registration(&[1, 2], &[1, 2], 0)).await;
    let last = one.append(Acks::All).await.unwrap().last;
    let mut acknowledged = Box::pin(one.partition.acknowledged(last, EPOCH));
    one.partition.update(registration(&[1, 2], &[1], 0)).await;
    assert!(acknowledged.as_mut().now_or_never().is_none());
    assert_eq!(one.high_watermark(), 0);
}

#[tokio::test]
async fn what_is_there_after_another_leader_is_no_commit_of_ours() {
    let one = One::start(Settings::default(), registration(&[1, 2], &[1, 2], 0)).await;
    one.append(Acks::All).await.unwrap();
    let mut committed = Box::pin(one.partition.committed(at(1), EPOCH));
    assert!(committed.as_mut().now_or_never().is_none());
    one.partition.update(registration(&[2, 1], &[2, 1], 1)).await;
    one.partition.update(registration(&[1, 2], &[1], 2)).await;
    assert_eq!(one.high_watermark(), 2, "whatever it is, it is committed");
    assert!(!one.partition.is_committed(at(1), EPOCH));
    assert_eq!(committed.await, Err(ErrorCode::NotLeaderOrFollower));
}

#[tokio::test]
async fn a_follower_gets_what_is_not_committed_and_its_next_fetch_commits_it() {
    let one = One::start(Settings::default(), registration(&[1, 2, 3], &[1, 2], 0)).await;
    one.append(Acks::All).await.unwrap();
    let waiter = Waiter::new();
    one.partition.register(&waiter);
    let read = one.follow(2, 0).await;
    assert!(read.bytes() > 0);
    assert_eq!((read.high_watermark, read.is_news), (0, true));
    one.partition.follower_told(NodeId(2), at(0));
    let read = one.follow(2, 2).await;
    assert_eq!((read.bytes(), read.high_watermark, read.is_news), (0, 2, true));
    assert!(waiter.woken().now_or_never().is_some());
    one.partition.follower_told(NodeId(2), at(2));
    assert!(!one.follow(2, 2).await.is_news, "it has been told");
    // Nothing is learned from fetches that parted from this log, lie outside of it, or are of nobody.
    let parted = PartitionFetch { last_fetched_epoch: Some(EPOCH), ..fetch(9) };
    assert!(one.follow_with(2, &parted).await.diverging.is_some());
    assert_eq!(one.follow(2, 9).await.error, ErrorCode::OffsetOutOfRange);
    assert_eq!(one.follow(7, 2).await.error, ErrorCode::NotLeaderOrFollower);
    let newer = PartitionFetch { current_leader_epoch: Some(EPOCH), ..fetch(2) };
    assert_eq!(one.follow_with(7, &newer).await.error, ErrorCode::UnknownLeaderEpoch);
    one.append(Acks::All).await.unwrap();
    assert_eq!(one.high_watermark(), 2);
}

#[tokio::test]
async fn who_waits_for_a_commit_is_told_when_it_cannot_come() {
    let check = async |happens: &dyn Fn(&Partition<TokioRuntime>), expected: ErrorCode| {
        let one = One::start(Settings::default(), registration(&[1, 2], &[1, 2], 0)).await;
        one.append(Acks::All).await.unwrap();
        let mut committed = Box::pin(one.partition.committed(at(1), EPOCH));
        assert!(committed.as_mut().now_or_never().is_none());
        happens(&one.partition);
        assert_eq!(committed.await, Err(expected));
    };
    check(&Partition::go_offline, ErrorCode::KafkaStorageError).await;
    check(&Partition::mark_deleted, ErrorCode::UnknownTopicOrPartition).await;

    let one = One::start(Settings::default(), registration(&[1, 2], &[1, 2], 0)).await;
    one.append(Acks::All).await.unwrap();
    let mut committed = Box::pin(one.partition.committed(at(1), EPOCH));
    assert!(committed.as_mut().now_or_never().is_none());
    one.partition.update(registration(&[2, 1], &[2], 1)).await;
    assert_eq!(committed.await, Err(ErrorCode::NotLeaderOrFollower));
}

#[tokio::test]
async fn only_the_leader_of_the_expected_epoch_appends() {
    let one = One::start(Settings::default(), registration(&[1], &[1], 3)).await;
    let append = async |epoch| {
        let epoch = Some(LeaderEpoch::new(epoch));
        let bytes = batch(&[1]);
        let done = one.partition.append_as_leader(bytes, CLIENT, Acks::All, epoch, Timestamp(5));
        done.await.map(|appended| appended.first).map_err(|failure| failure.code())
    };
    assert_eq!(append(3).await, Ok(at(0)));
    assert_eq!(append(2).await, Err(ErrorCode::NotLeaderOrFollower));
    one.partition.update(registration(&[2, 1], &[2, 1], 4)).await;
    assert_eq!(append(4).await, Err(ErrorCode::NotLeaderOrFollower));
    assert_eq!(one.partition.log().log_end_offset(), at(1));
}

#[tokio::test]
async fn a_new_epoch_begins_where_the_log_ends_and_nothing_of_the_old_one_follows() {
    let one = One::start(Settings::default(), registration(&[1], &[1], 3)).await;
    let log = Arc::clone(one.partition.log());
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch::new(3)), "before any record");
    one.append(Acks::All).await.unwrap();
    one.partition.update(registration(&[1], &[1], 5)).await;
    let end = log.end_offset_for_epoch(LeaderEpoch::new(3)).unwrap();
    assert_eq!((end.epoch.value(), end.offset), (3, at(2)));
    // One that was decided under the old epoch, and was slow.
    let late = log.append_as_leader(batch(&[1]), CLIENT, LeaderEpoch::new(3), Timestamp(5)).await;
    assert_eq!(late.unwrap_err().code(), ErrorCode::NotLeaderOrFollower);
    one.append(Acks::All).await.unwrap();
    let end = log.end_offset_for_epoch(LeaderEpoch::new(5)).unwrap();
    assert_eq!((end.epoch.value(), end.offset), (5, at(4)));
}

#[tokio::test]
async fn an_epoch_that_the_client_believes_in_is_judged_before_leadership() {
    let one = One::start(Settings::default(), registration(&[1], &[1], 3)).await;
    let check = |believed: Option<i32>, expected: Result<i32, ErrorCode>| {
        let judged = one.partition.check_epoch(believed.map(LeaderEpoch::new));
        assert_eq!(judged.map(LeaderEpoch::value), expected, "{believed:?}");
    };
    check(None, Ok(3));
    check(Some(3), Ok(3));
    check(Some(2), Err(ErrorCode::FencedLeaderEpoch));
    check(Some(4), Err(ErrorCode::UnknownLeaderEpoch));
    one.partition.update(registration(&[2, 1], &[2, 1], 4)).await;
    check(None, Err(ErrorCode::NotLeaderOrFollower));
    check(Some(3), Err(ErrorCode::FencedLeaderEpoch));
    check(Some(4), Err(ErrorCode::NotLeaderOrFollower));
    one.partition.go_offline();
    check(Some(3), Err(ErrorCode::KafkaStorageError));
    one.partition.mark_deleted();
    check(Some(3), Err(ErrorCode::UnknownTopicOrPartition));
}

#[tokio::test]
async fn records_are_deleted_when_every_live_replica_has_deleted_them() {
    let one = One::start(Settings::default(), registration(&[1, 2], &[1, 2], 0)).await;
    one.brokers(&[1, 2]);
    one.append(Acks::All).await.unwrap();
    one.follow(2, 2).await;
    let (start, epoch) = one.partition.delete_records(Some(at(2))).await.unwrap();
    let mut everywhere = Box::pin(one.partition.deleted_everywhere(start, epoch));
    assert!(everywhere.as_mut().now_or_never().is_none());
    one.follow_with(2, &PartitionFetch { log_start_offset: 1, ..fetch(2) }).await;
    assert!(everywhere.as_mut().now_or_never().is_none());
    one.follow_with(2, &PartitionFetch { log_start_offset: 2, ..fetch(2) }).await;
    assert_eq!(everywhere.await, Ok(()));
    // One that is dead is not waited for, and nothing is promised over the end of the leadership.
    one.append(Acks::All).await.unwrap();
    one.follow(2, 4).await;
    let (start, epoch) = one.partition.delete_records(Some(at(4))).await.unwrap();
    one.brokers(&[1]);
    assert_eq!(one.partition.deleted_everywhere(start, epoch).await, Ok(()));
    one.partition.update(registration(&[1, 2], &[1, 2], 1)).await;
    let over = one.partition.deleted_everywhere(start, epoch).await;
    assert_eq!(over, Err(ErrorCode::NotLeaderOrFollower));
}

#[tokio::test]
async fn records_are_deleted_up_to_the_high_watermark_and_not_beyond() {
    let one = One::start(strict(), registration(&[1], &[1], 0)).await;
    for _ in 0..3 {
        one.append(Acks::All).await.unwrap();
    }
    one.partition.flush(at(6)).await.unwrap();
    one.append(Acks::All).await.unwrap();
    let delete = async |offset: Option<i64>| {
        let deleted = one.partition.delete_records(offset.map(at)).await;
        deleted.map(|(start, _)| start.value())
    };
    assert_eq!(delete(Some(2)).await, Ok(2));
    assert_eq!(delete(Some(7)).await, Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(delete(Some(1)).await, Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(delete(None).await, Ok(6));
    one.partition.go_offline();
    assert_eq!(delete(None).await, Err(ErrorCode::KafkaStorageError));
}
