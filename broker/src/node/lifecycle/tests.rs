use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::config::NodeConfig;
use crate::controller::{CreateTopics, MetadataLog, NewTopic, NotAppended, QuorumController};
use crate::environment::Stopper;
use crate::environment::tokio::TokioRuntime;
use crate::metadata::{CommittedBatch, MetadataLoader};
use crate::model::{LeaderEpoch, Offset, Timestamp};

/// A metadata log in memory, and who follows it when the test says so.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<(Vec<Bytes>, MetadataLoader)>>);

impl MetadataLog for Log {
    async fn append(
        &self,
        _: LeaderEpoch,
        records: Vec<Bytes>,
        _: bool,
    ) -> Result<Offset, NotAppended> {
        let mut log = self.0.lock().unwrap();
        log.0.extend(records);
        Ok(Offset::new(i64::try_from(log.0.len()).unwrap() - 1))
    }
}

impl Log {
    fn len(&self) -> usize {
        self.0.lock().unwrap().0.len()
    }

    /// Follows everything written so far, and tells the controller.
    async fn follow(&self, controller: &controller::Handle, image: &ArcSwap<MetadataImage>) {
        let (newest, end) = {
            let mut log = self.0.lock().unwrap();
            let base_offset = log.1.next_offset();
            let records = log.0[usize::try_from(base_offset.value()).unwrap()..].to_vec();
            if records.is_empty() {
                return;
            }
            let last_offset = base_offset.plus(i64::try_from(records.len()).unwrap() - 1);
            let epoch = LeaderEpoch::new(1);
            let append_time = Timestamp(0);
            let batch = CommittedBatch { base_offset, last_offset, epoch, append_time, records };
            let newest = log.1.load_batch(&batch).unwrap().image;
            (newest, log.1.next_offset())
        };
        image.store(Arc::new(newest.clone()));
        controller.committed(newest, end, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_long_busy_following_is_not_fenced() {
    let runtime = TokioRuntime::new();
    let (log, image) = (Log::default(), Arc::new(ArcSwap::from_pointee(MetadataImage::default())));
    let settings = controller::Settings {
        cluster_id: ClusterId::from("c"),
        config: Arc::new(NodeConfig::dev("data", &[]).unwrap()),
    };
    let controller = QuorumController::start(&runtime, settings, log.clone());
    controller.leader(LeaderEpoch::new(1)).await;
    let lifecycle = Lifecycle {
        runtime: runtime.clone(),
        controller: controller.clone(),
        image: Arc::clone(&image),
        identity: Identity {
            cluster_id: ClusterId::from("c"),
            node: NodeId(1),
            incarnation: Uuid::from_u128(1),
            endpoints: Vec::new(),
            rack: None,
            directories: vec![DirectoryId(Uuid::from_u128(1_000))],
            previous_epoch: None,
        },
        heartbeat_interval: Duration::from_secs(2),
    };
    let starting = Stopper::new();
    let following = {
        let (runtime, log) = (runtime.clone(), log.clone());
        let (controller, image) = (controller.clone(), Arc::clone(&image));
        let stop = starting.stop();
        async move {
            while !stop.is_stopped() {
                log.follow(&controller, &image).await;
                runtime.sleep(Duration::from_millis(1)).await;
            }
        }
    };
    runtime.spawn("follower", following);
    let epoch = lifecycle.register(Duration::from_secs(10)).await.unwrap();
    lifecycle.until_unfenced(epoch).await.unwrap();
    starting.pull();

    // From here on nothing is followed, as while a large topic is being opened.
    let asking = controller.clone();
    runtime.spawn("client", async move {
        let topics = vec![NewTopic { name: "large".to_owned(), ..NewTopic::default() }];
        let _ = asking.ask(CreateTopics { topics, is_validate_only: false }).await;
    });
    let stop = Stopper::new();
    runtime.spawn("heartbeats", lifecycle.run(epoch, stop.stop()));
    let before = log.len();
    runtime.sleep(Duration::from_secs(60)).await;
    assert!(log.len() > before, "the controller writes on");
    log.follow(&controller, &image).await;
    let is_fenced = image.load().cluster().broker(NodeId(1)).map(|own| own.is_fenced);
    assert_eq!(is_fenced, Some(false));
    stop.pull();
}
