use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::client::{ControllerChannel, ControllerChannelSettings};
use crate::config::NodeConfig;
use crate::controller::{self, CreateTopics, MetadataLog, NewTopic, NotAppended, QuorumController};
use crate::environment::tokio::TokioRuntime;
use crate::metadata::{CommittedBatch, MetadataLoader};
use crate::model::{LeaderEpoch, Offset, PartitionIndex, Timestamp};

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

const LIMIT: Duration = Duration::from_secs(10);

/// A controller, the log it writes to, and who follows that while the test wants it.
struct World {
    runtime: TokioRuntime,
    log: Log,
    image: Arc<ArcSwap<MetadataImage>>,
    controller: controller::Handle,
    following: Stopper,
    /// Of all registrations.
    epochs: Arc<Mutex<Vec<BrokerEpoch>>>,
}

impl World {
    async fn start() -> Self {
        let runtime = TokioRuntime::new();
        let (log, image) =
            (Log::default(), Arc::new(ArcSwap::from_pointee(MetadataImage::default())));
        let settings = controller::Settings {
            cluster_id: ClusterId::from("c"),
            config: Arc::new(NodeConfig::dev("data", &[]).unwrap()),
            bootstrap: controller::bootstrap_records(),
        };
        let controller = QuorumController::start(&runtime, settings, log.clone());
        controller.leader(LeaderEpoch::new(1)).await;
        let world = Self {
            runtime,
            log,
            image,
            controller,
            following: Stopper::new(),
            epochs: Arc::default(),
        };
        let (runtime, log) = (world.runtime.clone(), world.log.clone());
        let (controller, image) = (world.controller.clone(), Arc::clone(&world.image));
        let stop = world.following.stop();
        world.runtime.spawn("follower", async move {
            while !stop.is_stopped() {
                log.follow(&controller, &image).await;
                runtime.sleep(Duration::from_millis(1)).await;
            }
        });
        world
    }

    fn lifecycle(&self, id: i32) -> Lifecycle<TokioRuntime> {
        let settings = ControllerChannelSettings::new("test");
        let channel = ControllerChannel::new(self.runtime.clone(), || None, settings);
        let local = self.controller.clone();
        let number = u128::from(id.unsigned_abs());
        Lifecycle {
            runtime: self.runtime.clone(),
            controller: ActiveController::new(self.runtime.clone(), local, || true, channel),
            image: Arc::clone(&self.image),
            identity: Identity {
                cluster_id: ClusterId::from("c"),
                node: NodeId(id),
                incarnation: Uuid::from_u128(number),
                endpoints: Vec::new(),
                rack: None,
                directories: vec![DirectoryId(Uuid::from_u128(1_000 * number))],
                previous_epoch: None,
            },
            heartbeat_interval: Duration::from_secs(2),
            offline: Box::new(Vec::new),
            registered: {
                let epochs = Arc::clone(&self.epochs);
                Box::new(move |epoch| epochs.lock().unwrap().push(epoch))
            },
        }
    }

    /// A broker that is registered, let in, and heartbeats from now on.
    async fn broker(&self, id: i32, departure: &Departure, stop: &Stopper) {
        let lifecycle = self.lifecycle(id);
        let epoch = lifecycle.register(LIMIT).await.unwrap();
        let epoch = lifecycle.until_unfenced(epoch, LIMIT).await.unwrap();
        self.runtime.spawn("heartbeats", lifecycle.run(epoch, departure.clone(), stop.stop()));
    }

    fn is_fenced(&self, id: i32) -> Option<bool> {
        self.image.load().cluster().broker(NodeId(id)).map(|broker| broker.is_fenced)
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_long_busy_following_is_not_fenced() {
    let world = World::start().await;
    let stop = Stopper::new();
    world.broker(1, &Departure::default(), &stop).await;
    world.following.pull();

    // From here on nothing is followed, as while a large topic is being opened.
    let asking = world.controller.clone();
    world.runtime.spawn("client", async move {
        let topics = vec![NewTopic { name: "large".to_owned(), ..NewTopic::default() }];
        let _ = asking.ask(CreateTopics { topics, is_validate_only: false }).await;
    });
    let before = world.log.len();
    world.runtime.sleep(Duration::from_secs(60)).await;
    assert!(world.log.len() > before, "the controller writes on");
    world.log.follow(&world.controller, &world.image).await;
    assert_eq!(world.is_fenced(1), Some(false));
    stop.pull();
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_leaves_hands_its_leaderships_over_and_stays_out() {
    let world = World::start().await;
    let (departure, stop) = (Departure::default(), Stopper::new());
    world.broker(1, &departure, &stop).await;
    world.broker(2, &Departure::default(), &stop).await;
    let assignments = vec![(PartitionIndex(0), vec![NodeId(1), NodeId(2)])];
    let topics = vec![NewTopic { name: "t".to_owned(), assignments, ..NewTopic::default() }];
    let created = world.controller.ask(CreateTopics { topics, is_validate_only: false }).await;
    assert!(created.unwrap()[0].1.is_ok());

    departure.wanted.pull();
    departure.granted.stop().stopped().await;
    let leader = || {
        let image = world.image.load_full();
        image.topics().by_name("t").unwrap().partition(PartitionIndex(0)).unwrap().leader
    };
    assert_eq!(leader(), Some(NodeId(2)));
    world.runtime.sleep(Duration::from_secs(60)).await;
    assert_eq!((world.is_fenced(1), world.is_fenced(2)), (Some(true), Some(false)));
    stop.pull();
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_the_controller_does_not_know_any_more_registers_again() {
    let world = World::start().await;
    let stop = Stopper::new();
    world.broker(1, &Departure::default(), &stop).await;
    let before = world.image.load().cluster().broker(NodeId(1)).map(|broker| broker.epoch);
    world.controller.ask(controller::UnregisterBroker(NodeId(1))).await.unwrap();
    world.runtime.sleep(Duration::from_secs(10)).await;
    let after = world.image.load().cluster().broker(NodeId(1)).map(|broker| broker.epoch);
    assert!(after > before);
    let known: Vec<_> = world.epochs.lock().unwrap().iter().copied().map(Some).collect();
    assert_eq!(known, [before, after], "replication fetches with the new one");
    assert_eq!(world.is_fenced(1), Some(false));
    stop.pull();
}
