use std::sync::Arc;

use bytes::Bytes;

use crate::coordinator::{PartitionWriter, ReadBatches};
use crate::environment::Runtime;
use crate::log::{AppendError, Origin};
use crate::model::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicName};
use crate::replication::{Acks, AppendFailure, Partition, ReplicaManager, TopicKey};

/// Lends the partitions of an internal topic to a coordinator, which knows nothing of replication.
pub(super) struct CoordinatorWriter<R: Runtime> {
    runtime: R,
    replicas: Arc<ReplicaManager<R>>,
    topic: TopicName,
}

impl<R: Runtime> Clone for CoordinatorWriter<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            replicas: Arc::clone(&self.replicas),
            topic: self.topic.clone(),
        }
    }
}

impl<R: Runtime> CoordinatorWriter<R> {
    pub(super) fn new(runtime: R, replicas: Arc<ReplicaManager<R>>, topic: TopicName) -> Self {
        Self { runtime, replicas, topic }
    }

    fn partition(
        &self,
        index: PartitionIndex,
        epoch: LeaderEpoch,
    ) -> Result<Arc<Partition<R>>, ErrorCode> {
        let partition = self.replicas.partition(&TopicKey::Name(self.topic.clone()), index)?;
        if partition.leading_epoch()? == epoch {
            Ok(partition)
        } else {
            Err(ErrorCode::NotLeaderOrFollower)
        }
    }
}

impl<R: Runtime> PartitionWriter for CoordinatorWriter<R> {
    async fn append(
        &self,
        partition: PartitionIndex,
        epoch: LeaderEpoch,
        batch: Bytes,
    ) -> Result<(Offset, Offset), ErrorCode> {
        let replica = self.partition(partition, epoch)?;
        let now = self.runtime.wall_clock();
        let origin = Origin::Coordinator;
        match replica.append_as_leader(batch, origin, Acks::All, Some(epoch), now).await {
            Ok(appended) => Ok((appended.first, appended.last)),
            Err(failure) => {
                if let AppendFailure::Log(AppendError::Fault(fault)) = &failure {
                    self.replicas.handle_fault(replica.topic_partition(), fault);
                }
                Err(failure.code())
            }
        }
    }

    async fn committed(
        &self,
        partition: PartitionIndex,
        epoch: LeaderEpoch,
        offset: Offset,
    ) -> Result<Offset, ErrorCode> {
        let replica = self.partition(partition, epoch)?;
        if replica.is_strict() {
            self.replicas.flush(&replica, offset.plus(1)).await?;
        }
        replica.committed(offset, epoch).await?;
        // Leadership may have come and gone meanwhile, and the record with it.
        self.partition(partition, epoch)?;
        Ok(replica.log().high_watermark())
    }

    async fn read(
        &self,
        partition: PartitionIndex,
        epoch: LeaderEpoch,
        from: Offset,
        max_bytes: usize,
    ) -> Result<ReadBatches, ErrorCode> {
        let replica = self.partition(partition, epoch)?;
        let log = replica.log();
        let from = from.max(log.log_start_offset());
        let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        let batches = log.read_bytes(from, limit).await.map_err(|error| error.code())?;
        // Nobody else appends while the shard loads, so what lies beyond is seen by the next read.
        let is_end = batches.is_empty();
        if let Some(last) = Offset::from_wire(from.value() - 1).filter(|_| is_end) {
            // What a former leader could not commit may yet be lost with us: nobody is told of it before it is committed. That
            // leader may have been this node, and gone before it asked for a sync.
            if replica.is_strict() {
                self.replicas.flush(&replica, from).await?;
            }
            replica.committed(last, epoch).await?;
        }
        Ok(ReadBatches { batches, is_end })
    }
}
