use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{error, warn};

use super::fetcher::{FetchOptions, Fetchers, Following, Key};
use super::replica_state::Entry;
use super::surroundings::Surroundings;
use super::{Partition, TopicKey};
use crate::environment::{Runtime, Stop, select};
use crate::log::{Fault, LogManager, ManagerError, PartitionLog, Settings};
use crate::metadata::{MetadataChanges, MetadataImage, PartitionRegistration, TopicImage};
use crate::model::{
    BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId, TopicName,
    TopicPartition,
};

/// What an image and the node's configuration say about a topic's logs.
pub trait SettingsOf: Send + Sync + 'static {
    /// The settings of one topic.
    fn settings_of(&self, image: &MetadataImage, topic: &str) -> Settings;
}

/// How a node replicates.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node.
    pub node: NodeId,
    /// A follower that has not caught up for so long is not in sync (`replica.lag.time.max.ms`).
    pub lag_time_max: Duration,
    /// How followers fetch.
    pub fetch: FetchOptions,
}

/// All partitions with a replica on this node.
pub struct ReplicaManager<R: Runtime> {
    surroundings: Arc<Surroundings<R>>,
    logs: Arc<LogManager<R>>,
    fetchers: Fetchers<R>,
    settings: Box<dyn SettingsOf>,
    hosted: ArcSwap<Hosted<R>>,
    /// Topics with a replica that could not be opened because no file descriptor was left: tried again with the next
    /// change of metadata.
    unopened: Mutex<BTreeSet<TopicId>>,
}

/// Immutable; replaced as a whole when topics come or go.
struct Hosted<R: Runtime> {
    /// What was followed: a topic that is not here is not there either, whatever newer images say.
    image: MetadataImage,
    by_name: BTreeMap<TopicName, Arc<HostedTopic<R>>>,
    by_id: BTreeMap<TopicId, Arc<HostedTopic<R>>>,
}

struct HostedTopic<R: Runtime> {
    name: TopicName,
    id: TopicId,
    partitions: BTreeMap<PartitionIndex, Arc<Partition<R>>>,
}

impl<R: Runtime> ReplicaManager<R> {
    /// Hosts nothing until the first image is [applied](Self::apply).
    pub fn new(
        runtime: R,
        options: Options,
        logs: Arc<LogManager<R>>,
        settings: Box<dyn SettingsOf>,
    ) -> Self {
        let hosted = Hosted {
            image: MetadataImage::default(),
            by_name: BTreeMap::new(),
            by_id: BTreeMap::new(),
        };
        let hosted = ArcSwap::from_pointee(hosted);
        let surroundings = Surroundings::new(runtime, options.node, options.lag_time_max);
        let surroundings = Arc::new(surroundings);
        let fetchers = Fetchers::new(Arc::clone(&surroundings), Arc::clone(&logs), options.fetch);
        Self { surroundings, logs, fetchers, settings, hosted, unopened: Mutex::default() }
    }

    pub(super) fn surroundings(&self) -> &Surroundings<R> {
        &self.surroundings
    }

    /// Our own registration, once the controller has taken it: leaders and followers name it.
    pub fn registered(&self, epoch: BrokerEpoch) {
        self.surroundings.set_broker_epoch(epoch);
        self.fetchers.wake();
    }

    /// Our own registration, as far as it is known.
    #[must_use]
    pub fn broker_epoch(&self) -> Option<BrokerEpoch> {
        self.surroundings.broker_epoch()
    }

    /// Ends following: before the logs are closed.
    pub fn stop_fetching(&self) {
        self.fetchers.stop();
    }

    /// Looks, until `stop`, for followers that lag.
    pub async fn watch_followers(self: Arc<Self>, stop: Stop) {
        let interval = self.surroundings.lag_time_max / 2;
        loop {
            select! {
                () = stop.stopped() => return,
                () = self.surroundings.runtime.sleep(interval) => {}
            }
            for partition in self.partitions() {
                partition.check_followers();
                self.flush_what_nobody_waits_for(partition);
            }
        }
    }

    /// Who appended may have given up waiting before it asked for a sync. Until there is one this replica vouches for less than
    /// it has, and readers wait for the next record to bring it.
    fn flush_what_nobody_waits_for(self: &Arc<Self>, partition: Arc<Partition<R>>) {
        if !partition.is_strict() || partition.log().unflushed_messages() == 0 {
            return;
        }
        let this = Arc::clone(self);
        self.surroundings.runtime.spawn("forgotten flush", async move {
            // A fault has been told to who looks after disks.
            let _ = this.flush(&partition, partition.log().log_end_offset()).await;
        });
    }

    /// The logs below.
    #[must_use]
    pub const fn logs(&self) -> &Arc<LogManager<R>> {
        &self.logs
    }

    /// The partition on this node.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION` or `UNKNOWN_TOPIC_ID` when the cluster has no such partition,
    /// `NOT_LEADER_OR_FOLLOWER` when others have it, `KAFKA_STORAGE_ERROR` when its directory is offline.
    pub fn partition(
        &self,
        topic: &TopicKey,
        index: PartitionIndex,
    ) -> Result<Arc<Partition<R>>, ErrorCode> {
        let hosted = self.hosted.load();
        let found = match topic {
            TopicKey::Name(name) => hosted.by_name.get(name),
            TopicKey::Id(id) => hosted.by_id.get(id),
        };
        if let Some(partition) = found.and_then(|topic| topic.partitions.get(&index)) {
            return Ok(Arc::clone(partition));
        }
        let image = &hosted.image;
        let known = match topic {
            TopicKey::Name(name) => image.topics().by_name(name.as_str()),
            TopicKey::Id(id) => image.topics().by_id(*id),
        };
        match (known.map(|known| known.partition(index)), topic) {
            (None, TopicKey::Id(_)) => Err(ErrorCode::UnknownTopicId),
            (None, TopicKey::Name(_)) | (Some(None), _) => Err(ErrorCode::UnknownTopicOrPartition),
            (Some(Some(registration)), _)
                if registration.replicas.contains(&self.surroundings.node) =>
            {
                Err(ErrorCode::KafkaStorageError)
            }
            (Some(Some(_)), _) => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// Who leads a partition, as far as this node has heard, wherever its replicas are.
    #[must_use]
    pub fn leader_of(
        &self,
        topic: &TopicKey,
        index: PartitionIndex,
    ) -> Option<(Option<NodeId>, LeaderEpoch)> {
        if let Ok(replica) = self.partition(topic, index) {
            return Some(replica.leader_and_epoch());
        }
        let hosted = self.hosted.load();
        let topics = hosted.image.topics();
        let known = match topic {
            TopicKey::Name(name) => topics.by_name(name.as_str()),
            TopicKey::Id(id) => topics.by_id(*id),
        };
        let registration = known?.partition(index)?;
        Some((registration.leader, registration.leader_epoch))
    }

    /// All partitions on this node, by name and index.
    #[must_use]
    pub fn partitions(&self) -> Vec<Arc<Partition<R>>> {
        let hosted = self.hosted.load();
        hosted.by_name.values().flat_map(|topic| topic.partitions.values().cloned()).collect()
    }

    /// Follows the cluster: makes, changes and deletes replicas.
    pub async fn apply(&self, image: &MetadataImage, changes: &MetadataChanges) {
        self.surroundings.set_image(image.clone());
        if changes.topics.is_empty() && self.lock_unopened().is_empty() {
            return;
        }
        let current = self.hosted.load_full();
        let unopened = std::mem::take(&mut *self.lock_unopened());
        let mut by_name = current.by_name.clone();
        let mut by_id = current.by_id.clone();
        // Deletions first: a topic made anew has the name, and so the directories, of the one that goes.
        let (gone, rest): (Vec<_>, Vec<_>) =
            changes.topics.iter().partition(|(_, change)| change.after.is_none());
        for (id, change) in gone.into_iter().chain(rest) {
            let before = by_id.remove(id);
            if let Some(before) = &before {
                by_name.remove(&before.name);
            }
            match &change.after {
                None => self.drop_topic(before.as_deref()).await,
                Some(topic) => {
                    let hosted = Arc::new(self.follow_topic(image, topic, before.as_deref()).await);
                    if !hosted.partitions.is_empty() {
                        by_name.insert(hosted.name.clone(), Arc::clone(&hosted));
                        by_id.insert(hosted.id, hosted);
                    }
                }
            }
        }
        for id in unopened.into_iter().filter(|id| !changes.topics.contains_key(id)) {
            let Some(topic) = image.topics().by_id(id) else { continue };
            let before = by_id.remove(&id);
            let hosted = Arc::new(self.follow_topic(image, topic, before.as_deref()).await);
            if !hosted.partitions.is_empty() {
                by_name.insert(hosted.name.clone(), Arc::clone(&hosted));
                by_id.insert(id, hosted);
            }
        }
        self.hosted.store(Arc::new(Hosted { image: image.clone(), by_name, by_id }));
    }

    fn lock_unopened(&self) -> MutexGuard<'_, BTreeSet<TopicId>> {
        self.unopened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives every log the settings that hold now: after a change of configuration.
    pub fn refresh_settings(&self, image: &MetadataImage) {
        for topic in self.hosted.load().by_name.values() {
            let settings = self.settings.settings_of(image, topic.name.as_str());
            for partition in topic.partitions.values() {
                if *partition.log().settings() != settings {
                    partition.log().set_settings(settings.clone());
                }
            }
        }
    }

    /// Sets aside, once at start, logs whose topic the cluster does not know any more: they are kept for people.
    pub async fn set_strays_aside(&self, image: &MetadataImage) {
        let is_stray = |log: &PartitionLog<R>| {
            let partition = log.topic_partition();
            let known = image.topics().by_name(partition.topic.as_str());
            known.is_none_or(|topic| {
                let found = topic.partition(partition.partition);
                found.is_none_or(|found| !found.replicas.contains(&self.surroundings.node))
                    || log.topic_id().is_some_and(|id| id != topic.id)
            })
        };
        let logs = self.logs.logs();
        let strays = logs.iter().filter(|(log, _)| is_stray(log));
        let strays: Vec<TopicPartition> =
            strays.map(|(log, _)| log.topic_partition().clone()).collect();
        if strays.is_empty() {
            return;
        }
        warn!(partitions = strays.len(), first = %strays[0], "set aside: the cluster has no such partitions here");
        if let Err(fault) = self.logs.make_stray(&strays).await {
            error!(%fault, "could not set logs aside");
        }
    }

    /// The disk failed under a partition: its whole directory goes offline.
    pub fn handle_fault(&self, partition: &TopicPartition, fault: &Fault) {
        self.logs.log_failed(partition, fault);
        if fault.is_out_of_files() {
            return;
        }
        self.take_offline(std::slice::from_ref(partition));
    }

    /// Makes everything of a partition below `up_to` durable; a disk that fails takes its directory offline.
    ///
    /// # Errors
    ///
    /// `KAFKA_STORAGE_ERROR` when the disk failed.
    pub async fn flush(&self, replica: &Partition<R>, up_to: Offset) -> Result<(), ErrorCode> {
        replica.flush(up_to).await.map_err(|fault| {
            self.handle_fault(replica.topic_partition(), &fault);
            ErrorCode::KafkaStorageError
        })
    }

    /// These partitions' directory is offline: they serve nobody until the next start.
    pub fn take_offline(&self, partitions: &[TopicPartition]) {
        for partition in partitions {
            let key = TopicKey::Name(partition.topic.clone());
            if let Ok(replica) = self.partition(&key, partition.partition) {
                replica.go_offline();
            }
        }
    }

    async fn drop_topic(&self, topic: Option<&HostedTopic<R>>) {
        self.drop_partitions(topic.into_iter().flat_map(|topic| topic.partitions.values())).await;
    }

    async fn drop_partitions(&self, partitions: impl Iterator<Item = &Arc<Partition<R>>> + Send) {
        let (mut names, mut unfollowed) = (Vec::new(), Vec::new());
        for partition in partitions {
            partition.mark_deleted();
            names.push(partition.topic_partition().clone());
            unfollowed.push((partition.key(), None));
        }
        self.fetchers.follow(unfollowed);
        if !names.is_empty()
            && let Err(fault) = self.logs.delete(&names).await
        {
            error!(%fault, "logs could not be deleted");
        }
    }

    async fn follow_topic(
        &self,
        image: &MetadataImage,
        topic: &TopicImage,
        before: Option<&HostedTopic<R>>,
    ) -> HostedTopic<R> {
        let mut partitions = BTreeMap::new();
        let mut followed = Vec::new();
        for (index, registration) in topic.partitions.iter() {
            let existing = before.and_then(|before| before.partitions.get(index));
            if !registration.replicas.contains(&self.surroundings.node) {
                self.drop_partitions(existing.into_iter()).await;
                continue;
            }
            let (replica, role) = if let Some(existing) = existing {
                (Arc::clone(existing), existing.update(Arc::clone(registration)).await)
            } else if let Some(made) = self.make(image, topic, *index, registration).await {
                made
            } else {
                continue;
            };
            followed.extend(self.following_of(&replica, registration, role));
            partitions.insert(*index, replica);
        }
        // All at once: a fetcher asks for all of them with its next request.
        self.fetchers.follow(followed);
        HostedTopic { name: topic.name.clone(), id: topic.id, partitions }
    }

    /// Whom a replica fetches from after it has taken a role; `None` when that has not changed.
    fn following_of(
        &self,
        replica: &Arc<Partition<R>>,
        registration: &PartitionRegistration,
        entry: Entry,
    ) -> Option<(Key, Option<Following<R>>)> {
        match entry {
            Entry::Stay => None,
            Entry::Lead(_) => Some((replica.key(), None)),
            Entry::Follow(epoch) => {
                let others = registration.leader.filter(|id| *id != self.surroundings.node);
                let partition = Arc::clone(replica);
                let following = others.map(|leader| Following { partition, leader, epoch });
                Some((replica.key(), following))
            }
        }
    }

    async fn make(
        &self,
        image: &MetadataImage,
        topic: &TopicImage,
        index: PartitionIndex,
        registration: &Arc<PartitionRegistration>,
    ) -> Option<(Arc<Partition<R>>, Entry)> {
        let topic_partition = TopicPartition { topic: topic.name.clone(), partition: index };
        let settings = self.settings.settings_of(image, topic.name.as_str());
        let opened =
            self.logs.get_or_create(&topic_partition, Some(topic.id), None, settings.clone()).await;
        let opened = match opened {
            Err(ManagerError::OtherTopicId { found, .. }) => {
                warn!(partition = %topic_partition, %found, expected = %topic.id, "set aside a log of another topic of this name");
                match self.logs.make_stray(std::slice::from_ref(&topic_partition)).await {
                    Ok(()) => {
                        self.logs
                            .get_or_create(&topic_partition, Some(topic.id), None, settings)
                            .await
                    }
                    Err(fault) => Err(fault.into()),
                }
            }
            other => other,
        };
        match opened {
            Ok(log) => {
                let registration = Arc::clone(registration);
                let surroundings = Arc::clone(&self.surroundings);
                let made =
                    Partition::new(topic_partition, topic.id, log, registration, surroundings);
                let role = made.begin().await;
                let log = Arc::clone(made.log());
                if log.settings().flush_messages == Some(1) && log.unflushed_messages() > 0 {
                    // What a crash has left in the page cache is not to be seen before it is durable, and nobody else
                    // would see to that before the next record.
                    let flushed = made.flush(log.log_end_offset()).await;
                    if let Err(fault) = flushed {
                        self.handle_fault(made.topic_partition(), &fault);
                    }
                }
                Some((Arc::new(made), role))
            }
            Err(failure) => {
                if matches!(&failure, ManagerError::Fault(fault) if fault.is_out_of_files()) {
                    self.lock_unopened().insert(topic.id);
                }
                error!(partition = %topic_partition, %failure, "a replica could not be opened");
                None
            }
        }
    }
}
