use super::leader::{Leader, Progress};
use super::log_state::LogState;
use super::voters::ReplicaKey;
use crate::environment::Instant;
use crate::model::{LeaderEpoch, NodeId, Offset, Timestamp};

/// Where the quorum stands, as its leader sees it (`DescribeQuorum`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// We.
    pub leader: NodeId,
    /// Our epoch.
    pub epoch: LeaderEpoch,
    /// What is committed; `None` until a record of this epoch is.
    pub high_watermark: Option<Offset>,
    /// How far the voters are, by ascending node id.
    pub voters: Vec<ReplicaDescription>,
    /// How far the others are.
    pub observers: Vec<ReplicaDescription>,
}

/// How far one replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaDescription {
    /// Node and directory.
    pub key: ReplicaKey,
    /// The end of its log; `None` before its first fetch.
    pub log_end_offset: Option<Offset>,
    /// When it fetched last.
    pub last_fetch: Option<Timestamp>,
    /// When it last had all that we had.
    pub last_caught_up: Option<Timestamp>,
}

/// Our own line is always up to date: we have what we have.
pub(super) fn describe(
    (now, wall_clock): (Instant, Timestamp),
    local: ReplicaKey,
    epoch: LeaderEpoch,
    leader: &Leader,
    log: &LogState,
) -> Description {
    let time = |instant: Instant| {
        let ago = i64::try_from(now.since(instant).as_millis()).unwrap_or(i64::MAX);
        wall_clock.plus_millis(ago.saturating_neg())
    };
    let line = |progress: &Progress| ReplicaDescription {
        key: progress.key,
        log_end_offset: progress.end,
        last_fetch: progress.last_fetch.map(time),
        last_caught_up: progress.last_caught_up.map(time),
    };
    let own = |progress: &Progress| {
        if progress.key.id != local.id {
            return line(progress);
        }
        ReplicaDescription {
            key: progress.key,
            log_end_offset: Some(log.end()),
            last_fetch: Some(wall_clock),
            last_caught_up: Some(wall_clock),
        }
    };
    Description {
        leader: local.id,
        epoch,
        high_watermark: leader.high_watermark,
        voters: leader.voters.values().map(own).collect(),
        observers: leader.observers.values().map(line).collect(),
    }
}
