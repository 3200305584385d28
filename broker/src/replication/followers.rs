//! The leader's half of replication: what a follower's fetch tells, and what becomes of it.

use super::in_sync_replicas::{IsrChange, IsrState, Settled};
use super::leader::{FetchRefusal, FollowerFetch, View};
use super::{Partition, PartitionFetch, Waiter};
use crate::environment::Runtime;
use crate::metadata::MetadataImage;
use crate::model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset};

/// The epoch of a broker that may be in sync.
fn active_epoch(image: &MetadataImage, id: NodeId) -> Option<BrokerEpoch> {
    let broker = image.cluster().broker(id).filter(|broker| broker.is_active());
    broker.map(|broker| broker.epoch)
}

impl<R: Runtime> Partition<R> {
    /// A follower has everything below the offset it fetches from, which has been compared with the log.
    pub(super) fn follower_is_at(
        &self,
        follower: FollowerFetch,
        fetch: &PartitionFetch,
        offset: Offset,
    ) -> Result<(), ErrorCode> {
        let image = self.surroundings().image();
        let active = |id| active_epoch(&image, id);
        let (moved, change) = {
            let mut state = self.lock();
            let view = self.view(&active);
            let leadership = state.leadership_mut()?;
            let offset = offset.min(view.log_end);
            let log_start = Offset::from_wire(fetch.log_start_offset);
            let has_deleted = leadership.log_start_of(follower.id) < log_start;
            let counted = leadership.fetched(follower, offset, log_start, &view);
            counted.map_err(|refusal| match refusal {
                // Whoever knows the epoch and fetches has newer metadata than we have.
                FetchRefusal::NoReplica if fetch.current_leader_epoch.is_some() => {
                    ErrorCode::UnknownLeaderEpoch
                }
                FetchRefusal::NoReplica | FetchRefusal::StaleBroker => {
                    ErrorCode::NotLeaderOrFollower
                }
            })?;
            let change = leadership.expand(follower.id, &view);
            let moved = leadership.high_watermark(&view);
            if let Some(to) = moved {
                self.log().set_high_watermark(to);
            }
            (moved.is_some() || has_deleted, change)
        };
        self.ask_for(change);
        if moved {
            self.wake();
        }
        Ok(())
    }

    /// Waits until every live replica has deleted what is below `offset`, which this leader has done in `epoch`: whoever leads
    /// next does not bring it back.
    ///
    /// # Errors
    ///
    /// `NOT_LEADER_OR_FOLLOWER` when that epoch is over, `KAFKA_STORAGE_ERROR` when the disk failed.
    pub async fn deleted_everywhere(
        &self,
        offset: Offset,
        epoch: LeaderEpoch,
    ) -> Result<(), ErrorCode> {
        let waiter = Waiter::new();
        loop {
            self.register(&waiter);
            let image = self.surroundings().image();
            let is_alive = |id| image.cluster().broker(id).is_some_and(|broker| !broker.is_fenced);
            let low_watermark = {
                let state = self.lock();
                let leadership = state.leadership()?;
                if leadership.epoch() != epoch {
                    return Err(ErrorCode::NotLeaderOrFollower);
                }
                leadership.low_watermark(self.log().log_start_offset(), is_alive)
            };
            if low_watermark >= offset {
                return Ok(());
            }
            waiter.woken().await;
        }
    }

    /// True when the high watermark found by a read is news to the follower.
    pub(super) fn tells_follower(&self, id: NodeId, high_watermark: Offset) -> bool {
        self.lock().leadership().is_ok_and(|leadership| leadership.tells(id, high_watermark))
    }

    /// An answer with this high watermark goes to the follower.
    pub fn follower_told(&self, id: NodeId, high_watermark: Offset) {
        if let Ok(leadership) = self.lock().leadership_mut() {
            leadership.told(id, high_watermark);
        }
    }

    /// Asks for those to leave the in-sync replicas who have lagged for too long.
    pub(super) fn check_followers(&self) {
        let image = self.surroundings().image();
        let active = |id| active_epoch(&image, id);
        let change = {
            let mut state = self.lock();
            let view = self.view(&active);
            match state.leadership_mut() {
                Ok(leadership) if !leadership.is_alone() => leadership.shrink(&view),
                Ok(_) | Err(_) => None,
            }
        };
        if let Some(change) = &change {
            let (partition, epoch) = (self.topic_partition(), change.leader_epoch);
            tracing::info!(%partition, %epoch, wanted = ?change.isr, "in-sync replicas lag");
        }
        self.ask_for(change);
        // Those who lag and are not in sync are waited for no longer.
        self.advance_high_watermark();
    }

    fn ask_for(&self, change: Option<IsrChange>) {
        if let Some(change) = change {
            let wishes = &self.surroundings().wishes;
            wishes.add(self.topic_id(), self.topic_partition().partition, change);
        }
    }

    /// Takes the controller's answer to a change; true when it is to be asked again.
    pub(super) fn isr_answered(
        &self,
        change: &IsrChange,
        answer: &Result<IsrState, ErrorCode>,
    ) -> bool {
        let nobody = |_| None;
        let settled = {
            let mut state = self.lock();
            let view = self.view(&nobody);
            match state.leadership_mut() {
                Ok(leadership) => leadership.answered(change, answer, &view),
                Err(_) => Settled::Stale,
            }
        };
        let partition = self.topic_partition();
        match (settled, answer) {
            (Settled::Known, Ok(state)) => {
                tracing::info!(%partition, isr = ?state.isr, "in-sync replicas changed");
            }
            (settled, Ok(_)) => tracing::debug!(%partition, ?settled, "late answer"),
            (settled, Err(code)) => {
                tracing::debug!(%partition, %code, ?settled, "in-sync replicas are not changed");
            }
        }
        match settled {
            Settled::Known => {
                // Fewer replicas hold a record back, and more producers may be accepted.
                self.advance_high_watermark();
                self.wake();
                false
            }
            Settled::AskAgain => true,
            Settled::AwaitsMetadata | Settled::Stale => false,
        }
    }

    /// The in-sync follower nearest to a consumer, when it has `offset`; `None` when that is this leader. Source: KIP-392.
    pub fn nearest_replica(&self, offset: Offset, near: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        if near(self.surroundings().node) {
            return None;
        }
        self.lock().leadership().ok()?.nearest(offset, near)
    }

    /// Where the high watermark can go with followers to wait for.
    pub(super) fn view<'a>(&self, active: &'a dyn Fn(NodeId) -> Option<BrokerEpoch>) -> View<'a> {
        let surroundings = self.surroundings();
        View {
            now: surroundings.runtime.now(),
            log_end: self.log().log_end_offset(),
            own_end: self.own_end(),
            high_watermark: self.log().high_watermark(),
            min_insync_replicas: self.log().settings().min_insync_replicas,
            lag_time_max: surroundings.lag_time_max,
            active,
            own_epoch: surroundings.broker_epoch(),
        }
    }

    /// Advances the high watermark of a leader with followers; says whether it moved. For whoever holds the state's lock.
    pub(super) fn advance_over_followers(&self, leadership: &super::leader::Leadership) -> bool {
        let image = self.surroundings().image();
        let active = |id| active_epoch(&image, id);
        let moved = leadership.high_watermark(&self.view(&active));
        if let Some(to) = moved {
            self.log().set_high_watermark(to);
        }
        moved.is_some()
    }
}
