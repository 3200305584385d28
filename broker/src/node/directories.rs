//! Tells the controller in which log directory each replica lies. Source: KIP-858.
//!
//! With several directories a replica lies nowhere known until its broker says so, and until then the loss of a directory would
//! not move its leadership. With one the controller knows, until that one is replaced: then what was in the old one is in a
//! directory that nobody has any more, and could never lead again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::debug;

use crate::api::ActiveController;
use crate::controller::AssignReplicas;
use crate::environment::{Runtime, Stop, select};
use crate::metadata::MetadataImage;
use crate::model::{DirectoryId, NodeId, PartitionIndex, TopicId};
use crate::replication::ReplicaManager;

/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(500);

/// How many partitions one request names.
const ASSIGNMENTS_MAX: usize = 2_000;

/// How long one request is tried; what it did not bring about is asked again.
const ASK_MAX: Duration = Duration::from_secs(10);

/// What the controller has to be told, and of what.
pub(super) struct Assignments<R: Runtime> {
    pub(super) runtime: R,
    pub(super) node: NodeId,
    pub(super) controller: ActiveController<R>,
    pub(super) image: Arc<ArcSwap<MetadataImage>>,
    pub(super) replicas: Arc<ReplicaManager<R>>,
}

impl<R: Runtime> Assignments<R> {
    /// Tells until `stop`.
    pub(super) fn start(self, stop: Stop) {
        let runtime = self.runtime.clone();
        runtime.spawn("directory assignments", self.run(stop));
    }

    async fn run(self, stop: Stop) {
        let mut settled = None;
        loop {
            select! {
                () = stop.stopped() => return,
                () = self.runtime.sleep(INTERVAL) => {}
            }
            let image = self.image.load_full();
            let provenance = image.provenance();
            if settled == Some(provenance) {
                continue;
            }
            let Some(request) = self.request(&image) else {
                settled = Some(provenance);
                continue;
            };
            if let Err(refusal) = self.controller.ask(&request, ASK_MAX).await {
                debug!(%refusal, "directories of replicas are not told yet");
            }
        }
    }

    /// Where replicas lie of which the image says otherwise; `None` when it is right about all.
    fn request(&self, image: &MetadataImage) -> Option<AssignReplicas> {
        let mut wrong: BTreeMap<DirectoryId, BTreeMap<TopicId, Vec<PartitionIndex>>> =
            BTreeMap::new();
        let mut count = 0;
        for (log, directory) in self.replicas.logs().logs() {
            let (of, id) = (log.topic_partition(), log.topic_id());
            let known = id.and_then(|id| image.topics().partition(id, of.partition));
            let told = known.and_then(|partition| partition.directory(self.node));
            let (Some(id), Some(told)) = (id, told) else { continue };
            if told == directory || count == ASSIGNMENTS_MAX {
                continue;
            }
            count += 1;
            wrong.entry(directory).or_default().entry(id).or_default().push(of.partition);
        }
        let broker_epoch = self.replicas.broker_epoch()?;
        let directories = wrong.into_iter().map(|(id, topics)| (id, topics.into_iter().collect()));
        (count > 0).then(|| AssignReplicas {
            broker_id: self.node,
            broker_epoch,
            directories: directories.collect(),
        })
    }
}
