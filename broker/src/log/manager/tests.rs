use super::super::fixture::{CLIENT, Directory, batch, idempotent};
use super::*;
use crate::environment::tokio::TokioRuntime;
use crate::model::{ClusterId, LeaderEpoch, NodeId};
use crate::record::Batch;

type Ours = Arc<LogManager<TokioRuntime>>;

async fn start(runtime: &TokioRuntime, home: &Directory, count: usize) -> Ours {
    let mut directories = Vec::new();
    for number in 0..count {
        let path = home.0.join(format!("d{number}"));
        let cluster = ClusterId::from("MkU3OEVBNTcwNTJENDM2Qk");
        LogDirectory::format(runtime, &path, &cluster, NodeId(1)).await.unwrap();
        directories.push(LogDirectory::open(runtime.clone(), path, None, NodeId(1)).await.unwrap());
    }
    LogManager::open(runtime.clone(), directories, 2, |_| Settings::default()).await
}

async fn fill(manager: &Ours, partition: &TopicPartition, count: i64) {
    let log = manager.get_or_create(partition, None, None, Settings::default()).await.unwrap();
    for _ in 0..count {
        let done = log.append_as_leader(batch(&[1]), CLIENT, LeaderEpoch::new(0), Timestamp(5));
        done.await.unwrap();
    }
    log.set_high_watermark(Offset::new(count));
}

fn partition(index: i32) -> TopicPartition {
    TopicPartition::new("topic", index)
}

#[tokio::test]
async fn logs_are_spread_over_directories_and_found_again() {
    let runtime = TokioRuntime::new();
    let home = Directory::new(&runtime);
    let manager = start(&runtime, &home, 2).await;
    for index in 0..4 {
        fill(&manager, &partition(index), i64::from(index) + 1).await;
    }
    let first = manager.directories()[0].id();
    let there = |manager: &Ours| manager.logs().iter().filter(|(_, id)| *id == first).count();
    assert_eq!(there(&manager), 2);
    manager.log(&partition(3)).unwrap().advance_log_start(Offset::new(2)).await.unwrap();
    manager.shutdown(Some(BrokerEpoch(9))).await;
    drop(manager);
    let manager = start(&runtime, &home, 2).await;
    assert_eq!(manager.previous_broker_epoch(), Some(BrokerEpoch(9)));
    assert_eq!(there(&manager), 2);
    let log = manager.log(&partition(3)).unwrap();
    assert_eq!(log.log_start_offset(), Offset::new(2));
    assert_eq!((log.high_watermark(), log.log_end_offset()), (Offset::new(4), Offset::new(4)));
    drop((manager, log));
    // Not stopped properly this time.
    assert_eq!(start(&runtime, &home, 2).await.previous_broker_epoch(), None);
}

#[tokio::test]
async fn a_new_log_is_soon_in_the_checkpoint_of_recovery_points() {
    let runtime = TokioRuntime::new();
    let home = Directory::new(&runtime);
    let manager = start(&runtime, &home, 1).await;
    fill(&manager, &partition(0), 3).await;
    assert!(!manager.log(&partition(0)).unwrap().has_stored_recovery_point());
    manager.checkpoint_new_recovery_points().await;
    assert!(manager.log(&partition(0)).unwrap().has_stored_recovery_point());
    drop(manager);
    let manager = start(&runtime, &home, 1).await;
    assert!(manager.log(&partition(0)).unwrap().has_stored_recovery_point());
}

#[tokio::test]
async fn what_was_recovered_is_not_recovered_again() {
    let runtime = TokioRuntime::new();
    let home = Directory::new(&runtime);
    let manager = start(&runtime, &home, 1).await;
    fill(&manager, &partition(0), 3).await;
    drop(manager);
    let manager = start(&runtime, &home, 1).await;
    assert_eq!(manager.log(&partition(0)).unwrap().recovery_point(), Offset::ZERO);
    manager.settle_recovered().await;
    drop(manager);
    let manager = start(&runtime, &home, 1).await;
    assert_eq!(manager.log(&partition(0)).unwrap().recovery_point(), Offset::new(3));
}

#[tokio::test]
async fn a_recovery_point_of_records_that_are_gone_is_not_left_in_the_checkpoint() {
    let runtime = TokioRuntime::new();
    let home = Directory::new(&runtime);
    let manager = start(&runtime, &home, 1).await;
    for index in 0..2 {
        fill(&manager, &partition(index), 5).await;
    }
    manager.settle_recovered().await;
    drop(manager);
    let file = |index: i32| home.0.join(format!("d0/topic-{index}/00000000000000000000.log"));
    let first = runtime.disk().open(&file(0), crate::environment::OpenMode::ReadWrite).await;
    crate::environment::File::set_length(&first.unwrap(), 0).await.unwrap();
    std::fs::remove_dir_all(file(1).parent().unwrap()).unwrap();
    drop(start(&runtime, &home, 1).await);
    let path = home.0.join("d0").join(RECOVERY_POINTS);
    let points = checkpoint::read_offsets(&runtime, &path).await.unwrap();
    assert_eq!(points, Offsets::from([(partition(0), Offset::ZERO)]));
}

#[tokio::test]
async fn a_log_of_another_topic_id_is_not_handed_out() {
    let runtime = TokioRuntime::new();
    let home = Directory::new(&runtime);
    let manager = start(&runtime, &home, 1).await;
    let (old, new) =
        (Some(TopicId(directory::unique(&runtime))), Some(TopicId(directory::unique(&runtime))));
    let settings = Settings::default;
    manager.get_or_create(&partition(0), old, None, settings()).await.unwrap();
    let error = manager.get_or_create(&partition(0), new, None, settings()).await.err();
    assert!(matches!(error, Some(ManagerError::OtherTopicId { .. })));
    drop(manager);
    let manager = start(&runtime, &home, 1).await;
    assert_eq!(manager.log(&partition(0)).unwrap().topic_id(), old);
    manager.delete(&[partition(0)]).await.unwrap();
    let log = manager.get_or_create(&partition(0), new, None, settings()).await.unwrap();
    assert_eq!(log.topic_id(), new);
}

#[tokio::test]
async fn a_deleted_log_takes_no_more_and_is_removed_later() {
    let runtime = TokioRuntime::new();
    let home = Directory::new(&runtime);
    let manager = start(&runtime, &home, 1).await;
    fill(&manager, &partition(0), 3).await;
    fill(&manager, &partition(1), 3).await;
    let log = manager.log(&partition(0)).unwrap();
    let slice = log.read(Offset::ZERO, 1, true, Offset::new(3)).await.unwrap().slice.unwrap();
    log.set_settings(Settings { file_delete_delay_ms: 0, ..Settings::default() });
    manager.delete(&[partition(0)]).await.unwrap();
    manager.make_stray(&[partition(1)]).await.unwrap();
    let done = log.append_as_leader(idempotent(1, 0, 1), CLIENT, LeaderEpoch::new(0), Timestamp(5));
    assert!(matches!(done.await, Err(super::super::AppendError::Closed)));
    assert!(log.path().exists());
    manager.remove_deleted().await;
    assert!(!log.path().exists());
    // What a reader holds stays readable.
    Batch::parse(slice.read().await.unwrap()).unwrap();
    drop(manager);
    assert_eq!(start(&runtime, &home, 1).await.logs().len(), 0);
}

#[tokio::test]
async fn a_failed_directory_takes_its_logs_with_it() {
    let runtime = TokioRuntime::new();
    let home = Directory::new(&runtime);
    let manager = start(&runtime, &home, 2).await;
    for index in 0..2 {
        fill(&manager, &partition(index), 1).await;
    }
    let first = manager.directories()[0].id();
    manager.directory_failed(first, "test");
    let failure = manager.next_failure().await;
    assert_eq!((failure.directory, failure.partitions), (first, vec![partition(0)]));
    assert!(manager.log(&partition(0)).is_none());
    assert!(manager.log(&partition(1)).is_some());
    let error = manager.get_or_create(&partition(0), None, Some(first), Settings::default()).await;
    assert!(matches!(error, Err(ManagerError::NoDirectory)));
    // No clean-shutdown file where something was lost.
    manager.shutdown(Some(BrokerEpoch(1))).await;
    drop(manager);
    assert_eq!(start(&runtime, &home, 2).await.previous_broker_epoch(), None);
}
