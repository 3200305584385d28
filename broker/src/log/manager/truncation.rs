//! Cutting logs, with the checkpoints that must not say more than is left.

use super::LogManager;
use crate::environment::Runtime;
use crate::log::Fault;
#[cfg(doc)]
use crate::log::PartitionLog;
use crate::model::{LeaderEpoch, Offset, TopicPartition};

impl<R: Runtime> LogManager<R> {
    /// [`PartitionLog::truncate_to`], then the checkpoints that would say more than is true.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails.
    pub async fn truncate_to(
        &self,
        partition: &TopicPartition,
        offset: Offset,
    ) -> Result<(), Fault> {
        self.truncate(partition, offset, None).await
    }

    /// [`truncate_to`](Self::truncate_to) as a follower in `epoch`: nothing happens once the replica is in a newer one.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails.
    pub async fn truncate_as_follower(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        epoch: LeaderEpoch,
    ) -> Result<(), Fault> {
        self.truncate(partition, offset, Some(epoch)).await
    }

    async fn truncate(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        decided_in: Option<LeaderEpoch>,
    ) -> Result<(), Fault> {
        let Some(log) = self.log(partition) else { return Ok(()) };
        let (start, before) = (log.log_start_offset(), log.recovery_point());
        let truncated = log.truncate(offset, decided_in).await;
        let was_cut = truncated.inspect_err(|fault| self.log_failed(partition, fault))?;
        if was_cut && log.recovery_point() < before {
            self.checkpoint_recovery_points().await;
        }
        if log.log_start_offset() < start {
            self.checkpoint_log_starts().await;
        }
        Ok(())
    }

    /// [`PartitionLog::truncate_fully_and_start_at`], then the checkpoints of recovery points and log starts.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails.
    pub async fn truncate_fully_and_start_at(
        &self,
        partition: &TopicPartition,
        offset: Offset,
    ) -> Result<(), Fault> {
        self.start_over(partition, offset, None).await
    }

    /// [`truncate_fully_and_start_at`](Self::truncate_fully_and_start_at) as a follower in `epoch`: nothing happens once the
    /// replica is in a newer one.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the disk fails.
    pub async fn start_over_as_follower(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        epoch: LeaderEpoch,
    ) -> Result<(), Fault> {
        self.start_over(partition, offset, Some(epoch)).await
    }

    async fn start_over(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        decided_in: Option<LeaderEpoch>,
    ) -> Result<(), Fault> {
        let Some(log) = self.log(partition) else { return Ok(()) };
        let truncated = log.start_over(offset, decided_in).await;
        truncated.inspect_err(|fault| self.log_failed(partition, fault))?;
        self.checkpoint_recovery_points().await;
        self.checkpoint_log_starts().await;
        Ok(())
    }
}
