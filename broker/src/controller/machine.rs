use std::time::Duration;

use super::Settings;
use super::deciding::{Deciding, Random, Refusal, Request, Soft};
use super::features::bootstrap_transaction;
use super::heartbeats::Heartbeats;
use super::leader_elections::MOVES_MAX;
use crate::metadata::{MetadataDelta, MetadataImage, MetadataVersion, Provenance};
use crate::model::{LeaderEpoch, NodeId, Offset, OffsetAndEpoch, Timestamp};
use crate::protocol::internal_records::metadata::{
    AbortTransactionRecord, MetadataRecord, NoOpRecord,
};
use crate::state_machine::Decision;

/// The controller without its queue: what is committed, and while this node is active, what is decided.
///
/// Invariant: while active, the working image is the committed one with all records replayed that were appended since.
#[derive(Debug)]
pub(super) struct Machine {
    settings: Settings,
    committed: MetadataImage,
    /// The first offset not known to be committed.
    committed_end: Offset,
    is_in_transaction: bool,
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    epoch: LeaderEpoch,
    /// The newest image, uncommitted records included.
    working: MetadataImage,
    /// Where the next record is going to lie, as far as we know.
    next_offset: Offset,
    heartbeats: Heartbeats,
    last_append: Duration,
    last_rebalance: Duration,
}

/// What time has made due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// This broker was not heard of for a session time-out.
    Fence(NodeId),
    /// Leaderships may have to go back to preferred replicas.
    Rebalance,
    /// Nothing was written for so long that a sign of life is due.
    NoOp,
}

impl Machine {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            committed: MetadataImage::default(),
            committed_end: Offset::ZERO,
            is_in_transaction: false,
            active: None,
        }
    }

    /// The epoch this node decides in; `None` while it is no active controller.
    pub(super) fn epoch(&self) -> Option<LeaderEpoch> {
        self.active.as_ref().map(|active| active.epoch)
    }

    /// The newest image: with what is not committed yet while active.
    pub(super) fn image(&self) -> &MetadataImage {
        self.active.as_ref().map_or(&self.committed, |active| &active.working)
    }

    /// The first offset not known to be committed.
    pub(super) const fn committed_end(&self) -> Offset {
        self.committed_end
    }

    /// The last offset that was written, as far as we know.
    pub(super) fn last_written(&self) -> Option<Offset> {
        let end = self.active.as_ref().map_or(self.committed_end, |active| active.next_offset);
        Offset::from_wire(end.value() - 1)
    }

    /// Learns that everything below `end` is committed and adds up to `image`.
    pub(super) fn commit(&mut self, image: MetadataImage, end: Offset, is_in_transaction: bool) {
        assert!(end >= self.committed_end, "what is committed stays committed");
        self.committed = image;
        self.committed_end = end;
        self.is_in_transaction = is_in_transaction;
        // Records of the quorum's own lie between ours.
        if let Some(active) = &mut self.active {
            active.next_offset = active.next_offset.max(end);
        }
    }

    /// Becomes the active controller. Everything before this epoch has been committed to us.
    pub(super) fn activate(&mut self, epoch: LeaderEpoch, now: Duration) {
        self.active = Some(Active {
            epoch,
            working: self.committed.clone(),
            next_offset: self.committed_end,
            heartbeats: Heartbeats::new(
                self.settings.config.lifecycle.session_timeout,
                &self.committed,
                now,
            ),
            last_append: now,
            last_rebalance: now,
        });
    }

    /// The records a new active controller begins with: it ends what its predecessor left open, and founds the cluster.
    pub(super) fn first_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        if self.is_in_transaction {
            let reason = Some("Controller failover".to_owned());
            records.push(AbortTransactionRecord { reason }.into());
        }
        if self.committed.features().level(MetadataVersion::FEATURE) == 0 {
            let minimum = self.settings.config.topic_defaults.min_insync_replicas;
            records.extend(bootstrap_transaction(&self.settings.bootstrap, minimum));
        }
        records
    }

    /// Stops being active: what was not committed may never be, so only the committed image counts.
    pub(super) fn resign(&mut self) {
        self.active = None;
    }

    /// The level to write records at.
    pub(super) fn metadata_version(&self) -> Option<MetadataVersion> {
        self.image().features().metadata_version()
    }

    /// Decides. `None` when this node is not the active controller, or not yet able to be.
    pub(super) fn decide<Q: Request>(
        &self,
        request: &Q,
        now: Duration,
        random: &mut Random<'_>,
    ) -> Option<Result<Decision<MetadataRecord, Q::Outcome>, Refusal>> {
        let deciding = self.deciding(now)?;
        Some(request.decide(&deciding, random))
    }

    fn deciding(&self, now: Duration) -> Option<Deciding<'_>> {
        let active = self.active.as_ref()?;
        Some(Deciding {
            image: &active.working,
            version: active.working.features().metadata_version()?,
            settings: &self.settings,
            heartbeats: &active.heartbeats,
            next_offset: active.next_offset,
            now,
        })
    }

    /// Replays what was decided and is now in the log, `last` being the offset of its last record.
    ///
    /// # Panics
    ///
    /// When a record of our own does not fit, or lies before another one: we decided wrongly.
    pub(super) fn appended(&mut self, records: &[MetadataRecord], last: Offset, now: Duration) {
        let Some(active) = &mut self.active else { return };
        let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
        let base = last.value() - count + 1;
        assert!(base >= active.next_offset.value(), "the log does not go back under its leader");
        let mut delta = MetadataDelta::new(&active.working);
        for (offset, record) in (base..).map(Offset::new).zip(records) {
            delta.replay(offset, record).expect("the controller writes only what fits its image");
        }
        delta.set_provenance(Provenance {
            last: Some(OffsetAndEpoch { offset: last, epoch: active.epoch }),
            last_append_time: Timestamp(-1),
        });
        active.working = delta.freeze().0;
        active.next_offset = last.plus(1);
        active.last_append = now;
    }

    /// Notes who was heard of, once the records that follow from it are appended.
    pub(super) fn note<Q: Request>(&mut self, request: &Q, outcome: &Q::Outcome, now: Duration) {
        let last_offset = self.last_written().unwrap_or(Offset::ZERO);
        if let Some(active) = &mut self.active {
            let heartbeats = &mut active.heartbeats;
            request.note(outcome, &mut Soft { heartbeats, now, last_offset });
        }
    }

    /// What time has made due, one thing at a time: fencing one broker may bear on the next.
    pub(super) fn due(&self, now: Duration) -> Option<Due> {
        let active = self.deciding_controller()?;
        let stale = active.heartbeats.find_stale_broker(active.working.cluster(), now);
        let is_idle = self.idle_interval().is_some_and(|idle| active.last_append + idle <= now);
        let is_rebalance_due =
            self.rebalance_interval().is_some_and(|pause| active.last_rebalance + pause <= now);
        let rebalance = is_rebalance_due.then_some(Due::Rebalance);
        stale.map(Due::Fence).or(rebalance).or_else(|| is_idle.then_some(Due::NoOp))
    }

    /// When something may next be due; `None` when only events can make it so.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let active = self.deciding_controller()?;
        let session = active.heartbeats.next_deadline(active.working.cluster());
        let idle = self.idle_interval().map(|idle| active.last_append + idle);
        let rebalance = self.rebalance_interval().map(|pause| active.last_rebalance + pause);
        session.into_iter().chain(idle).chain(rebalance).min()
    }

    /// What is active, if it can decide: not at a metadata version that this program does not know.
    fn deciding_controller(&self) -> Option<&Active> {
        self.active.as_ref().filter(|active| active.working.features().metadata_version().is_some())
    }

    /// `metadata.max.idle.interval.ms`; `None` for never.
    fn idle_interval(&self) -> Option<Duration> {
        let interval = self.settings.config.metadata_log.max_idle_interval;
        (!interval.is_zero()).then_some(interval)
    }

    /// `leader.imbalance.check.interval.seconds`; `None` when leaderships stay where they are.
    fn rebalance_interval(&self) -> Option<Duration> {
        let lifecycle = &self.settings.config.lifecycle;
        let interval = lifecycle.leader_imbalance_check_interval;
        lifecycle.is_auto_leader_rebalance_enabled.then_some(interval)
    }

    /// The records for what is due.
    pub(super) fn records_for(&self, due: Due, now: Duration) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        match due {
            Due::NoOp => records.push(NoOpRecord {}.into()),
            Due::Rebalance => {
                if let Some(deciding) = self.deciding(now) {
                    deciding.rebalance(&mut records);
                }
            }
            Due::Fence(id) => {
                if let Some(deciding) = self.deciding(now)
                    && let Some(broker) = deciding.image.cluster().broker(id)
                {
                    deciding.fence(broker, &mut records);
                }
            }
        }
        records
    }

    /// Notes that what was due is done, with so many records.
    pub(super) fn done(&mut self, due: Due, record_count: usize, now: Duration) {
        let Some(active) = &mut self.active else { return };
        match due {
            Due::Fence(id) => active.heartbeats.forget(id),
            // The rest is due at once.
            Due::Rebalance if record_count >= MOVES_MAX => {}
            Due::Rebalance => active.last_rebalance = now,
            Due::NoOp => {}
        }
    }
}
