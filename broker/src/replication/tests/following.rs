//! A follower's replica with a real log: what it takes from a leader, and what it refuses.

use super::*;
use crate::log::AppendError;
use crate::model::ErrorCode;
use crate::record::Batch;

/// A replica of this node that follows node 2 in `epoch`, beside what a leader needs.
struct Follower {
    _home: Directory,
    logs: Arc<crate::log::LogManager<TokioRuntime>>,
    partition: Arc<Partition<TokioRuntime>>,
}

impl Follower {
    async fn start(epoch: i32) -> Self {
        let runtime = TokioRuntime::new();
        let home = Directory::new(&runtime);
        let path = home.0.join("d");
        let cluster = crate::model::ClusterId::from("MkU3OEVBNTcwNTJENDM2Qk");
        crate::log::LogDirectory::format(&runtime, &path, &cluster, OURS).await.unwrap();
        let directory =
            crate::log::LogDirectory::open(runtime.clone(), path, None, OURS).await.unwrap();
        let none = |_: &TopicName| Settings::default();
        let logs = crate::log::LogManager::open(runtime.clone(), vec![directory], 1, none).await;
        let name = TopicPartition::new("t", 0);
        let log =
            logs.get_or_create(&name, Some(topic_id(0)), None, Settings::default()).await.unwrap();
        let surroundings = Surroundings::new(runtime, OURS, Duration::from_secs(30));
        surroundings.set_broker_epoch(BrokerEpoch(1));
        let led_by_two = registration(&[2, 1], &[2, 1], epoch);
        let surroundings = Arc::new(surroundings);
        let partition = Partition::new(name, topic_id(0), log, led_by_two, surroundings);
        partition.begin().await;
        Self { _home: home, logs, partition: Arc::new(partition) }
    }

    fn asked(&self, epoch: i32) -> crate::replication::fetcher::Asked {
        self.partition.position(LeaderEpoch::new(epoch)).expect("it follows in that epoch")
    }

    async fn take(&self, epoch: i32, records: Vec<u8>) -> Result<bool, AppendError> {
        let asked = self.asked(epoch);
        self.partition.append_fetched(&self.logs, &asked, records.into()).await
    }

    fn ends(&self) -> (i64, i64, i64) {
        let log = self.partition.log();
        let (start, mark, end) =
            (log.log_start_offset(), log.high_watermark(), log.log_end_offset());
        (start.value(), mark.value(), end.value())
    }
}

/// A batch of two records as a leader of `epoch` has it at `offset`.
fn stored(offset: i64, epoch: i32) -> Vec<u8> {
    let batch = Batch::parse(batch(&[1, 2])).unwrap();
    batch.placed(at(offset), LeaderEpoch::new(epoch)).into_bytes().to_vec()
}

#[tokio::test]
async fn a_follower_takes_over_bytes_high_watermark_and_log_start() {
    let follower = Follower::start(3).await;
    let bytes = [stored(0, 2), stored(2, 3)].concat();
    assert!(!follower.take(3, bytes.clone()).await.unwrap());
    assert_eq!(follower.partition.log().read_bytes(at(0), 1 << 20).await.unwrap(), bytes);
    assert_eq!(follower.asked(3).last_epoch, Some(LeaderEpoch::new(3)));
    let waiter = crate::replication::Waiter::new();
    follower.partition.register(&waiter);
    // The leader has committed more than we have.
    follower.partition.learn(LeaderEpoch::new(3), (Some(at(9)), Some(at(2)))).await;
    assert_eq!(follower.ends(), (2, 4, 4));
    waiter.woken().await;
    // Neither goes back, and nothing is learned in an epoch that is over.
    follower.partition.learn(LeaderEpoch::new(3), (Some(at(1)), Some(at(0)))).await;
    follower.take(3, stored(4, 3)).await.unwrap();
    follower.partition.learn(LeaderEpoch::new(2), (Some(at(6)), None)).await;
    assert_eq!(follower.ends(), (2, 4, 6));
}

#[tokio::test]
async fn what_no_leader_sends_is_refused() {
    let follower = Follower::start(3).await;
    follower.take(3, stored(0, 3)).await.unwrap();
    let mut rotten = stored(2, 3);
    rotten[70] ^= 1;
    assert_eq!(follower.take(3, rotten).await.unwrap_err().code(), ErrorCode::CorruptMessage);
    let below = follower.take(3, stored(0, 3)).await.unwrap_err();
    assert!(matches!(below, AppendError::UnexpectedOffset { found: 0, .. }), "{below}");
    let twice = [stored(2, 3), stored(2, 3)].concat();
    assert!(follower.take(3, twice).await.is_err());
    // Of an epoch that has not been, and what is no batch at all, nothing is kept.
    assert!(!follower.take(3, stored(2, 9)).await.unwrap());
    assert!(follower.take(3, vec![0xff; 200]).await.is_err());
    assert!(!follower.take(3, stored(2, 3)[..80].to_vec()).await.unwrap());
    assert_eq!(follower.ends(), (0, 0, 2));
}

#[tokio::test]
async fn an_answer_of_a_former_leader_changes_nothing() {
    let follower = Follower::start(3).await;
    follower.take(3, stored(0, 3)).await.unwrap();
    let (asked, late) = (follower.asked(3), Bytes::from(stored(2, 3)));
    follower.partition.update(registration(&[3, 1, 2], &[3, 1, 2], 4)).await;
    assert!(follower.partition.position(LeaderEpoch::new(3)).is_none());
    let appended = follower.partition.append_fetched(&follower.logs, &asked, late.clone()).await;
    assert!(!appended.unwrap());
    // It leads itself meanwhile, and what was under way arrives at the log.
    follower.partition.update(registration(&[1, 2], &[1, 2], 5)).await;
    let log = follower.partition.log();
    assert!(log.append_as_follower(late, LeaderEpoch::new(3)).await.is_err());
    let name = follower.partition.topic_partition();
    follower.logs.truncate_as_follower(name, at(0), LeaderEpoch::new(3)).await.unwrap();
    assert_eq!(follower.ends(), (0, 0, 2));
}

#[tokio::test]
async fn an_empty_log_may_begin_inside_of_the_leaders_first_batch() {
    let follower = Follower::start(3).await;
    let name = follower.partition.topic_partition();
    follower.logs.start_over_as_follower(name, at(7), LeaderEpoch::new(3)).await.unwrap();
    follower.take(3, stored(6, 3)).await.unwrap();
    follower.partition.learn(LeaderEpoch::new(3), (Some(at(8)), Some(at(7)))).await;
    assert_eq!(follower.ends(), (7, 8, 8));
}
