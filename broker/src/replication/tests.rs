//! One node's replicas on real files: what moves the high watermark, who is told, what is answered when something is gone.

mod following;
mod manager;
mod partition;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::partition::Partition;
use super::surroundings::Surroundings;
use super::{
    Acks, AppendFailure, FetchOptions, FollowerFetch, Limit, PartitionFetch, PartitionRead,
    TopicKey,
};
use crate::environment::tokio::{TokioFile, TokioRuntime};
use crate::log::fixture::{CLIENT, Directory, batch, open};
use crate::log::{Appended, OpenOptions, Settings};
use crate::metadata::{
    BrokerRegistration, MetadataDelta, MetadataImage, PartitionEpoch, PartitionRegistration,
};
use crate::model::{
    BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, Offset, PartitionIndex, Timestamp, TopicId,
    TopicName, TopicPartition,
};
use crate::protocol::internal_records::metadata::RegisterBrokerRecord;

/// The node these replicas are on.
const OURS: NodeId = NodeId(1);

fn topic_id(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(1_000 + number))
}

/// Counts the changes of all partitions: each registration is newer than those before it.
static CHANGES: AtomicI32 = AtomicI32::new(0);

/// A partition of `replicas`, of which the first leads in `epoch`, with these in sync.
fn registration(replicas: &[i32], isr: &[i32], epoch: i32) -> Arc<PartitionRegistration> {
    let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
    Arc::new(PartitionRegistration {
        replicas: nodes(replicas),
        directories: vec![DirectoryId(Uuid::from_u128(77)); replicas.len()],
        isr: nodes(isr),
        leader: replicas.first().copied().map(NodeId),
        leader_epoch: LeaderEpoch::new(epoch),
        partition_epoch: PartitionEpoch(CHANGES.fetch_add(1, Ordering::Relaxed)),
        ..PartitionRegistration::default()
    })
}

/// A partition of this node with a directory of its own.
struct One {
    _home: Directory,
    partition: Arc<Partition<TokioRuntime>>,
}

impl One {
    async fn start(settings: Settings, registration: Arc<PartitionRegistration>) -> Self {
        let runtime = TokioRuntime::new();
        let home = Directory::new(&runtime);
        let (log, _) = open(&runtime, &home, settings, OpenOptions::default()).await;
        let name = TopicPartition::new("t", 0);
        let surroundings = Surroundings::new(runtime, OURS, Duration::from_secs(30));
        surroundings.set_broker_epoch(BrokerEpoch(1));
        let surroundings = Arc::new(surroundings);
        let partition = Partition::new(name, topic_id(0), log, registration, surroundings);
        let partition = Arc::new(partition);
        partition.begin().await;
        Self { _home: home, partition }
    }

    async fn append(&self, acks: Acks) -> Result<Appended, AppendFailure> {
        self.append_bytes(batch(&[1, 2]), acks).await
    }

    async fn append_bytes(&self, bytes: Bytes, acks: Acks) -> Result<Appended, AppendFailure> {
        self.partition.append_as_leader(bytes, CLIENT, acks, None, Timestamp(5)).await
    }

    /// Says that these brokers live, in their first registration.
    fn brokers(&self, ids: &[i32]) {
        let mut delta = MetadataDelta::new(&MetadataImage::default());
        for id in ids {
            let registration = BrokerRegistration {
                id: NodeId(*id),
                epoch: BrokerEpoch(1),
                incarnation_id: Uuid::nil(),
                endpoints: Vec::new(),
                supported_features: BTreeMap::new(),
                rack: None,
                directories: Vec::new(),
                cordoned_directories: None,
                is_fenced: false,
                in_controlled_shutdown: false,
                is_migrating_zk_broker: false,
            };
            let record = RegisterBrokerRecord::from(&registration);
            delta.replay(Offset::ZERO, &record.into()).unwrap();
        }
        self.partition.surroundings().set_image(delta.freeze().0);
    }

    /// A fetch of the follower `id`, which has everything below `offset`.
    async fn follow(&self, id: i32, offset: i64) -> PartitionRead<TokioFile> {
        self.follow_with(id, &fetch(offset)).await
    }

    async fn follow_with(&self, id: i32, fetch: &PartitionFetch) -> PartitionRead<TokioFile> {
        let follower = FollowerFetch { id: NodeId(id), broker_epoch: None };
        let limit = Limit { bytes: 1 << 20, minimum_one_batch: true };
        self.partition.read_for_follower(follower, fetch, limit).await
    }

    fn high_watermark(&self) -> i64 {
        self.partition.log().high_watermark().value()
    }
}

fn fetch_options() -> FetchOptions {
    FetchOptions {
        fetchers_per_leader: 1,
        max_bytes: 1 << 20,
        response_max_bytes: 10 << 20,
        min_bytes: 1,
        wait_max: Duration::from_millis(500),
        backoff: Duration::from_secs(1),
        socket_timeout: Duration::from_secs(30),
        listener: "PLAINTEXT".to_owned(),
    }
}

/// A fetch of a partition from `offset`, of a client that believes nothing.
fn fetch(offset: i64) -> PartitionFetch {
    PartitionFetch {
        topic: TopicKey::Name(TopicName::from("t")),
        partition: PartitionIndex(0),
        offset,
        max_bytes: i32::MAX,
        current_leader_epoch: None,
        last_fetched_epoch: None,
        log_start_offset: -1,
    }
}

const fn at(offset: i64) -> Offset {
    Offset::new(offset)
}
