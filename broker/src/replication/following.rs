//! The follower's half of a replica: where it is, and what it takes from its leader.

use bytes::Bytes;

use super::Partition;
use super::fetcher::Asked;
use crate::environment::Runtime;
use crate::log::{AppendError, LogManager};
use crate::model::{LeaderEpoch, Offset};

impl<R: Runtime> Partition<R> {
    /// How it asks a leader of `epoch`; `None` when it does not follow in that epoch.
    pub(super) fn position(&self, epoch: LeaderEpoch) -> Option<Asked> {
        if !self.lock().follows_in(epoch) {
            return None;
        }
        let log = self.log();
        Some(Asked {
            epoch,
            offset: log.log_end_offset(),
            last_epoch: log.latest_epoch(),
            log_start: log.log_start_offset(),
        })
    }

    /// True when nothing has changed since it asked, but for the front of the log.
    pub(super) fn is_at(&self, asked: &Asked) -> bool {
        self.position(asked.epoch)
            .is_some_and(|now| (now.offset, now.last_epoch) == (asked.offset, asked.last_epoch))
    }

    /// Appends what came from the leader for `asked`; true when it must be made durable before the next request.
    ///
    /// # Errors
    ///
    /// When it is not what a leader sends, or the disk fails. Records of an epoch that is over change nothing.
    pub(super) async fn append_fetched(
        &self,
        logs: &LogManager<R>,
        asked: &Asked,
        records: Bytes,
    ) -> Result<bool, AppendError> {
        if records.is_empty() || !self.is_at(asked) {
            return Ok(false);
        }
        let (log, epoch) = (self.log(), asked.epoch);
        let mut appended = log.append_as_follower(records.clone(), epoch).await;
        if let Err(AppendError::UnexpectedOffset { found, end }) = &appended
            && *end == log.log_start_offset()
            && let Some(first) = Offset::from_wire(*found)
        {
            // An empty log begins in the middle of the leader's first batch, where records were deleted.
            let name = self.topic_partition();
            logs.start_over_as_follower(name, first, epoch).await.map_err(AppendError::Fault)?;
            appended = log.append_as_follower(records, epoch).await;
        }
        match appended {
            Ok(appended) => Ok(appended.is_some_and(|appended| appended.must_flush)),
            Err(AppendError::EpochOver(_) | AppendError::Closed) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes over how far the leader has committed, and where its log begins; says whether this log begins later now.
    pub(super) async fn learn(
        &self,
        epoch: LeaderEpoch,
        (high_watermark, log_start): (Option<Offset>, Option<Offset>),
    ) -> bool {
        let log = self.log();
        {
            let state = self.lock();
            if !state.follows_in(epoch) {
                return false;
            }
            let known = high_watermark.map(|told| told.min(log.log_end_offset()));
            if let Some(to) = known.filter(|to| *to > log.high_watermark()) {
                log.set_high_watermark(to);
            }
        }
        let before = log.log_start_offset();
        let start = log_start.filter(|start| *start > before);
        if let Some(start) = start.filter(|start| *start <= log.high_watermark())
            && let Err(error) = log.advance_log_start(start).await
        {
            tracing::warn!(partition = %self.topic_partition(), %error, "the log start was not advanced");
        }
        // Consumers may read here too.
        self.wake();
        log.log_start_offset() > before
    }
}
