use super::{Partition, PartitionFetch};
use crate::environment::Runtime;
use crate::log::FileSlice;
use crate::log::TimestampOffset;
use crate::model::{ErrorCode, LeaderEpoch, NodeId, Offset, OffsetAndEpoch, Timestamp};

/// What a consumer may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Everything committed: below the high watermark.
    ReadUncommitted,
    /// And no open transaction: below the last stable offset.
    ReadCommitted,
}

/// What a fetch of one partition found.
#[derive(Clone, Debug)]
pub struct PartitionRead<F> {
    /// `None`, or why there is nothing.
    pub error: ErrorCode,
    /// -1 with an error.
    pub high_watermark: i64,
    /// -1 with an error.
    pub last_stable_offset: i64,
    /// -1 with an error.
    pub log_start_offset: i64,
    /// Where the client's log leaves ours.
    pub diverging: Option<OffsetAndEpoch>,
    /// The leader and its epoch, told along with errors about leadership.
    pub current_leader: Option<(Option<NodeId>, LeaderEpoch)>,
    /// The records, in a file.
    pub records: Option<FileSlice<F>>,
}

impl<F> PartitionRead<F> {
    /// A read that found only an error.
    #[must_use]
    pub const fn refused(error: ErrorCode) -> Self {
        Self {
            error,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging: None,
            current_leader: None,
            records: None,
        }
    }

    /// Bytes of records found.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.records.as_ref().map_or(0, |slice| slice.length)
    }
}

impl<R: Runtime> Partition<R> {
    /// Reads as the leader, for a consumer.
    pub async fn read(
        &self,
        fetch: &PartitionFetch,
        max_bytes: u64,
        minimum_one_batch: bool,
        isolation: Isolation,
    ) -> PartitionRead<R::File> {
        if let Err(code) = self.check_epoch(fetch.current_leader_epoch) {
            let mut refused = PartitionRead::refused(code);
            if matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch) {
                refused.current_leader = Some(self.leader_and_epoch());
            }
            return refused;
        }
        let log = self.log();
        let Some(from) = Offset::from_wire(fetch.offset) else {
            return PartitionRead::refused(ErrorCode::OffsetOutOfRange);
        };
        let mut found = PartitionRead {
            error: ErrorCode::None,
            high_watermark: log.high_watermark().value(),
            last_stable_offset: log.last_stable_offset().value(),
            log_start_offset: log.log_start_offset().value(),
            diverging: None,
            current_leader: None,
            records: None,
        };
        if let Some(epoch) = fetch.last_fetched_epoch {
            match log.end_offset_for_epoch(epoch) {
                None => return PartitionRead::refused(ErrorCode::OffsetOutOfRange),
                Some(end) if end.epoch < epoch || end.offset < from => {
                    found.diverging = Some(end);
                    return found;
                }
                Some(_) => {}
            }
        }
        let up_to = self.visible_end(isolation);
        match log.read(from, max_bytes, minimum_one_batch, up_to).await {
            Ok(fetched) => {
                found.log_start_offset = fetched.log_start_offset.value();
                // A first batch larger than what was asked for is only of use whole.
                found.records =
                    fetched.slice.filter(|_| minimum_one_batch || !fetched.first_batch_is_cut);
                found
            }
            Err(error) => PartitionRead::refused(error.code()),
        }
    }

    /// The first offset a reader with this isolation may not see.
    #[must_use]
    pub fn visible_end(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.log().high_watermark(),
            Isolation::ReadCommitted => self.log().last_stable_offset(),
        }
    }

    /// The first visible record with at least this timestamp.
    ///
    /// # Errors
    ///
    /// The log's error code.
    pub async fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        isolation: Isolation,
    ) -> Result<Option<TimestampOffset>, ErrorCode> {
        self.log()
            .offset_for_timestamp(timestamp, self.visible_end(isolation))
            .await
            .map_err(|error| error.code())
    }
}
