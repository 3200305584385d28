//! What all replicas of a node share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::isr_sender::IsrWishes;
use crate::environment::Runtime;
use crate::metadata::MetadataImage;
use crate::model::{BrokerEpoch, NodeId};

/// What all replicas of a node share: the clock, the cluster as last heard of, the way to the controller.
pub(super) struct Surroundings<R: Runtime> {
    pub(super) runtime: R,
    pub(super) node: NodeId,
    /// `replica.lag.time.max.ms`
    pub(super) lag_time_max: Duration,
    pub(super) wishes: IsrWishes,
    image: ArcSwap<MetadataImage>,
    /// Our own registration; -1 before the first.
    broker_epoch: AtomicI64,
}

impl<R: Runtime> Surroundings<R> {
    pub(super) fn new(runtime: R, node: NodeId, lag_time_max: Duration) -> Self {
        Self {
            runtime,
            node,
            lag_time_max,
            wishes: IsrWishes::default(),
            image: ArcSwap::default(),
            broker_epoch: AtomicI64::new(-1),
        }
    }

    pub(super) fn image(&self) -> Arc<MetadataImage> {
        self.image.load_full()
    }

    pub(super) fn set_image(&self, image: MetadataImage) {
        // A broker that the controller had forgotten registers again while it lives.
        let own = image.cluster().broker(self.node).map(|own| own.epoch);
        if let Some(newer) = own.filter(|own| self.broker_epoch().is_some_and(|old| *own > old)) {
            self.set_broker_epoch(newer);
        }
        self.image.store(Arc::new(image));
    }

    /// True once what we have heard of the cluster has our own registration in it: it has taken away all leaderships of our
    /// former life.
    pub(super) fn may_lead(&self) -> bool {
        let image = self.image.load();
        let known = image.cluster().broker(self.node);
        self.broker_epoch().is_some_and(|own| known.is_none_or(|known| known.epoch >= own))
    }

    pub(super) fn broker_epoch(&self) -> Option<BrokerEpoch> {
        let epoch = self.broker_epoch.load(Ordering::Acquire);
        (epoch >= 0).then_some(BrokerEpoch(epoch))
    }

    pub(super) fn set_broker_epoch(&self, epoch: BrokerEpoch) {
        self.broker_epoch.store(epoch.0, Ordering::Release);
    }
}
