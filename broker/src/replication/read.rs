use super::divergence::{self, Comparison};
use super::leader::FollowerFetch;
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
    /// The replica the consumer does better to read from. Source: KIP-392.
    pub preferred_replica: Option<NodeId>,
    /// A follower has not been told this high watermark yet.
    pub is_news: bool,
    /// The records, in a file.
    pub records: Option<FileSlice<F>>,
}

/// How much a read may find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// At most so many bytes.
    pub bytes: u64,
    /// But the first batch whole, however large.
    pub minimum_one_batch: bool,
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
            preferred_replica: None,
            is_news: false,
            records: None,
        }
    }

    /// Bytes of records found.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.records.as_ref().map_or(0, |slice| slice.length)
    }
}

/// Which replica a consumer may read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The leader only.
    Leader,
    /// Any replica: what is committed as far as that has heard. Source: KIP-392.
    AnyReplica,
}

impl<R: Runtime> Partition<R> {
    /// Reads for a consumer.
    pub async fn read(
        &self,
        fetch: &PartitionFetch,
        limit: Limit,
        (isolation, from): (Isolation, Source),
    ) -> PartitionRead<R::File> {
        let believed = fetch.current_leader_epoch;
        let checked = match from {
            Source::Leader => self.check_epoch(believed),
            Source::AnyReplica => self.check_epoch_here(believed),
        };
        match checked {
            Ok(_) => self.read_below(fetch, limit, self.visible_end(isolation)).await,
            Err(code) => self.refused(code),
        }
    }

    /// Reads for a follower, which may have everything, and takes note of how far it is.
    pub async fn read_for_follower(
        &self,
        follower: FollowerFetch,
        fetch: &PartitionFetch,
        limit: Limit,
    ) -> PartitionRead<R::File> {
        if let Err(code) = self.check_epoch(fetch.current_leader_epoch) {
            return self.refused(code);
        }
        let mut found = self.read_below(fetch, limit, self.log().log_end_offset()).await;
        if found.error != ErrorCode::None || found.diverging.is_some() {
            return found;
        }
        // The read has found it inside the log.
        let offset = Offset::from_wire(fetch.offset).unwrap_or_default();
        if let Err(code) = self.follower_is_at(follower, fetch, offset) {
            return self.refused(code);
        }
        let high_watermark = self.log().high_watermark();
        found.high_watermark = high_watermark.value();
        found.last_stable_offset = self.log().last_stable_offset().value();
        found.is_news = self.tells_follower(follower.id, high_watermark);
        found
    }

    /// An error, with the leader where that is the answer to it. Source: KIP-951.
    fn refused(&self, code: ErrorCode) -> PartitionRead<R::File> {
        let mut refused = PartitionRead::refused(code);
        if matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch) {
            refused.current_leader = Some(self.leader_and_epoch());
        }
        refused
    }

    async fn read_below(
        &self,
        fetch: &PartitionFetch,
        limit: Limit,
        up_to: Offset,
    ) -> PartitionRead<R::File> {
        let log = self.log();
        let Some(from) = Offset::from_wire(fetch.offset) else {
            return PartitionRead::refused(ErrorCode::OffsetOutOfRange);
        };
        let mut found = PartitionRead {
            high_watermark: log.high_watermark().value(),
            last_stable_offset: log.last_stable_offset().value(),
            log_start_offset: log.log_start_offset().value(),
            ..PartitionRead::refused(ErrorCode::None)
        };
        if let Some(epoch) = fetch.last_fetched_epoch {
            match divergence::compare(epoch, from, log.end_offset_for_epoch(epoch)) {
                Comparison::Unknown => return PartitionRead::refused(ErrorCode::OffsetOutOfRange),
                Comparison::Parts(end) => {
                    found.diverging = Some(end);
                    return found;
                }
                Comparison::Agrees => {}
            }
        }
        match log.read(from, limit.bytes, limit.minimum_one_batch, up_to).await {
            Ok(fetched) => {
                found.log_start_offset = fetched.log_start_offset.value();
                // A first batch larger than what was asked for is only of use whole.
                let is_useful = limit.minimum_one_batch || !fetched.first_batch_is_cut;
                found.records = fetched.slice.filter(|_| is_useful);
                found
            }
            Err(error) => PartitionRead::refused(error.code()),
        }
    }

    /// True until this leader's high watermark has reached the start of its epoch: what clients have seen of a former leader
    /// may be above. Source: KIP-207.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        let high_watermark = self.log().high_watermark();
        self.lock().leadership().is_ok_and(|leadership| high_watermark < leadership.start())
    }

    /// The first offset a reader with this isolation may not see.
    #[must_use]
    pub fn visible_end(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.log().high_watermark(),
            Isolation::ReadCommitted => self.log().last_stable_offset(),
        }
    }

    /// The first record with at least this timestamp below `visible_end`.
    ///
    /// # Errors
    ///
    /// The log's error code.
    pub async fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        visible_end: Offset,
    ) -> Result<Option<TimestampOffset>, ErrorCode> {
        let found = self.log().offset_for_timestamp(timestamp, visible_end).await;
        found.map_err(|error| error.code())
    }
}
