//! From the committed metadata log to everybody who follows it, in order: replicas, image, coordinators, controller.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tracing::{error, info, warn};

use super::dynamic_settings::DynamicSettings;
use super::roll_call;
use crate::config::NodeConfig;
use crate::controller;
use crate::coordinator::GroupCoordinator;
use crate::environment::{Instant, Runtime, Stop, Stopper, select};
use crate::metadata::{
    CommittedBatch, MetadataChanges, MetadataImage, MetadataLoader, Published, TopicChange,
};
use crate::model::{LeaderEpoch, Offset, OffsetAndEpoch, PartitionIndex, TopicName};
use crate::raft::{self, Event, Snapshot, Subscription};
use crate::replication::{ReplicaManager, TopicKey};

/// The log of group state and offsets.
pub(super) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Reads the metadata log for this node: tells the controller, and takes snapshots when enough has come.
pub(super) struct Follower<R: Runtime> {
    runtime: R,
    quorum: raft::Handle<R>,
    controller: controller::Handle,
    subscription: Subscription<R>,
    loader: MetadataLoader,
    snapshots: SnapshotRule,
    /// By which brokers are reached.
    listener: String,
}

/// When a snapshot is due. Source: KIP-630, KIP-876.
struct SnapshotRule {
    bytes_max: usize,
    interval: Option<Duration>,
    bytes: usize,
    last: Instant,
}

/// Those who are told of each new image.
pub(super) struct Publisher<R: Runtime> {
    pub(super) image: Arc<ArcSwap<MetadataImage>>,
    pub(super) replicas: Arc<ReplicaManager<R>>,
    pub(super) groups: GroupCoordinator<R>,
    pub(super) dynamic: DynamicSettings<R>,
}

/// Why this node cannot go on following the metadata log.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    /// The quorum ended, or the log cannot be read.
    #[error(transparent)]
    Quorum(#[from] raft::Error),
    /// What is in it cannot be understood.
    #[error(transparent)]
    Load(#[from] crate::metadata::LoadError),
}

impl<R: Runtime> Follower<R> {
    pub(super) fn new(
        runtime: R,
        quorum: raft::Handle<R>,
        controller: controller::Handle,
        config: &NodeConfig,
    ) -> Self {
        let interval = config.metadata_log.max_snapshot_interval;
        let snapshots = SnapshotRule {
            bytes_max: config.metadata_log.max_bytes_between_snapshots,
            interval: Some(interval).filter(|interval| !interval.is_zero()),
            bytes: 0,
            last: runtime.now(),
        };
        let subscription = quorum.subscribe();
        Self {
            runtime,
            quorum,
            controller,
            subscription,
            loader: MetadataLoader::new(),
            snapshots,
            listener: config.inter_broker_listener_name.clone(),
        }
    }

    /// Loads everything below `end` without telling replicas, and gives the image.
    pub(super) async fn catch_up(&mut self, end: Offset) -> Result<MetadataImage, FollowError> {
        while self.subscription.position().is_none_or(|position| position < end) {
            if let Some(published) = self.next().await? {
                self.tell_controller(&published.image).await;
            }
        }
        Ok(self.loader.image().clone())
    }

    /// The next image; `None` for events that are none.
    async fn next(&mut self) -> Result<Option<Published>, FollowError> {
        let published = match self.subscription.next().await? {
            Event::Snapshot(snapshot) => {
                let time = snapshot.last_contained_log_timestamp;
                self.loader.load_snapshot(snapshot.id, time, snapshot.records)?
            }
            Event::Committed(batch) => {
                self.snapshots.bytes += batch.records.iter().map(Bytes::len).sum::<usize>();
                let batch = CommittedBatch {
                    base_offset: batch.base_offset,
                    last_offset: batch.last_offset,
                    epoch: batch.epoch,
                    append_time: batch.timestamp,
                    records: batch.records,
                };
                self.loader.load_batch(&batch)?
            }
            Event::Leader { epoch, .. } => {
                self.controller.leader(epoch).await;
                let (runtime, quorum) = (self.runtime.clone(), self.quorum.clone());
                let (controller, listener) = (self.controller.clone(), self.listener.clone());
                let calling = roll_call::call(runtime, quorum, controller, epoch, listener);
                self.runtime.spawn("roll call", calling);
                return Ok(None);
            }
            Event::Resigned { epoch } => {
                self.controller.resigned(epoch).await;
                return Ok(None);
            }
        };
        Ok(Some(published))
    }

    /// Lets the controller answer those whose records are in `image`, once this node's own followers have it: whoever
    /// created a topic finds it here.
    async fn tell_controller(&self, image: &MetadataImage) {
        let (end, is_in_transaction) = (self.loader.next_offset(), self.loader.is_in_transaction());
        self.controller.committed(image.clone(), end, is_in_transaction).await;
    }

    /// Writes a snapshot when the log since the last one is long or old enough.
    async fn snapshot_if_due(&mut self) {
        let now = self.runtime.now();
        let rule = &mut self.snapshots;
        let is_old = rule.interval.is_some_and(|interval| now.since(rule.last) >= interval);
        let is_due = rule.bytes > 0 && (rule.bytes >= rule.bytes_max || is_old);
        if !is_due || self.loader.is_in_transaction() {
            return;
        }
        (rule.bytes, rule.last) = (0, now);
        let image = self.loader.image();
        let provenance = image.provenance();
        let Some(last) = provenance.last else { return };
        let Some(level) = image.features().metadata_version() else { return };
        let records: Result<Vec<Bytes>, _> =
            image.to_records().iter().map(|record| record.encode_at(level.level())).collect();
        let records = match records {
            Ok(records) => records,
            Err(error) => {
                error!(%error, "the metadata image could not be written as a snapshot");
                return;
            }
        };
        let snapshot = Snapshot {
            id: OffsetAndEpoch { offset: last.offset.plus(1), epoch: last.epoch },
            last_contained_log_timestamp: provenance.last_append_time,
            kraft_version: 1,
            voters: None,
            records,
        };
        match self.quorum.write_snapshot(snapshot).await {
            Ok(()) => info!(offset = %last.offset, "metadata snapshot written"),
            Err(error) => {
                warn!(%error, "the metadata snapshot could not be written; the next one is tried");
            }
        }
    }
}

impl<R: Runtime> Publisher<R> {
    /// Follows until `stop`. A node that cannot follow must not serve: it pulls `halt`.
    pub(super) async fn run(self, mut follower: Follower<R>, stop: Stop, halt: Stopper) {
        loop {
            let next = select! {
                () = stop.stopped() => return,
                next = follower.next() => next,
            };
            match next {
                Ok(Some(published)) => {
                    if follower.runtime.buggify("node.slow_publish") {
                        follower.runtime.sleep(Duration::from_millis(100)).await;
                    }
                    self.publish(&published.image, &published.changes).await;
                    follower.tell_controller(&published.image).await;
                    follower.snapshot_if_due().await;
                }
                Ok(None) => {}
                Err(FollowError::Quorum(raft::Error::Stopped)) if stop.is_stopped() => return,
                Err(reason) => {
                    error!(%reason, "the metadata log cannot be followed: stopping");
                    halt.pull();
                    return;
                }
            }
        }
    }

    /// Tells everybody. The replicas come first: whoever sees a topic in the image finds its partitions here.
    pub(super) async fn publish(&self, image: &MetadataImage, changes: &MetadataChanges) {
        self.replicas.apply(image, changes).await;
        self.image.store(Arc::new(image.clone()));
        if !changes.configurations.is_empty() {
            self.replicas.refresh_settings(image);
            self.dynamic.apply(image).await;
        }
        for change in changes.topics.values() {
            self.tell_group_coordinator(change).await;
        }
        let deleted: BTreeSet<TopicName> =
            changes.deleted_topics().map(|topic| topic.name.clone()).collect();
        if !deleted.is_empty()
            && let Err(error) = self.groups.on_topics_deleted(deleted).await
        {
            error!(%error, "offsets of deleted topics could not be removed; they expire");
        }
    }

    /// True when the replica here leads in this epoch: it need not although the cluster says so, right after a start.
    fn leads(&self, change: &TopicChange, index: PartitionIndex, epoch: LeaderEpoch) -> bool {
        let Some(topic) = &change.after else { return false };
        let replica = self.replicas.partition(&TopicKey::Id(topic.id), index);
        replica.and_then(|replica| replica.leading_epoch()) == Ok(epoch)
    }

    async fn tell_group_coordinator(&self, change: &TopicChange) {
        let topic = change.after.as_ref().or(change.before.as_ref());
        if topic.is_none_or(|topic| topic.name.as_str() != OFFSETS_TOPIC) {
            return;
        }
        for index in &change.partitions {
            let registration = change.after.as_ref().and_then(|topic| topic.partition(*index));
            match registration {
                Some(registration) if self.leads(change, *index, registration.leader_epoch) => {
                    self.groups.elected(*index, registration.leader_epoch).await;
                }
                Some(registration) => {
                    self.groups.resigned(*index, Some(registration.leader_epoch)).await;
                }
                None => self.groups.resigned(*index, None).await,
            }
        }
    }
}
