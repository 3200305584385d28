//! Names of what a cluster can do wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Lists every verdict once: its name, what it means.
macro_rules! verdicts {
    ($($(#[doc = $doc:literal])+ $verdict:ident = $name:literal,)+) => {
        /// What a cluster did wrong. The names are those of the checker library `jepsen.tests.kafka` where it has one, so that
        /// verdicts can be compared word for word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Verdict {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $verdict,)+
        }

        impl Verdict {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$verdict),+];

            /// Whether it ends what can be said of a run: something did not happen in time, or a broker ended by itself.
            #[must_use]
            pub const fn is_of_time(self) -> bool {
                matches!(self, Self::Stuck | Self::StuckProducer | Self::StuckGroup | Self::BrokerFailed)
            }

            /// Whether a request that comes once more, late, does this without anybody's fault.
            #[must_use]
            pub const fn may_be_a_late_request(self) -> bool {
                matches!(
                    self,
                    Self::LostCommit | Self::LostConfig | Self::LostTopic | Self::RisenTopic | Self::LostGrowth
                )
            }

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$verdict => $name),+ }
            }
        }
    };
}

verdicts! {
    /// An acknowledged record is not there, though something behind it is.
    LostWrite = "lost-write",
    /// An acknowledged record is not there, and nothing behind it either.
    Unseen = "unseen",
    /// A record that was certainly refused was read.
    AbortedRead = "G1a",
    /// One offset stands for two records.
    InconsistentOffsets = "inconsistent-offsets",
    /// An offset is left out.
    Hole = "hole",
    /// A record that was read once is behind the end now.
    UnseenAgain = "unseen-again",
    /// Bytes that nobody sent to that partition.
    ForeignRecord = "foreign-record",
    /// A reader left records out between two polls.
    PollSkip = "poll-skip",
    /// A reader went back between two polls.
    NonmonotonicPoll = "nonmonotonic-poll",
    /// Records are left out within one poll.
    InternalPollSkip = "int-poll-skip",
    /// Offsets go back within one poll.
    InternalNonmonotonicPoll = "int-nonmonotonic-poll",
    /// Who looks for a time is led past the record that has it, or before it.
    TimeSkip = "time-skip",
    /// A partition begins before where its records were deleted.
    LogStartBack = "log-start-back",
    /// A partition begins later than anybody asked for.
    LogStartAhead = "log-start-ahead",
    /// A reader was given damaged bytes.
    Corrupt = "corrupt",
    /// One record of an idempotent producer is there twice.
    Duplicate = "duplicate",
    /// Two records of one producer stand in another order than they were sent in.
    NonmonotonicSend = "nonmonotonic-send",
    /// A group's offset is less than what was acknowledged.
    LostCommit = "lost-commit",
    /// A group's offset is more than anybody tried.
    ForeignCommit = "foreign-commit",
    /// A partition under `retention.bytes` holds less than its limit, though records were taken from it.
    RetentionTooMuch = "retention-too-much",
    /// A producer whose epoch is over has written.
    ZombieWrite = "zombie-write",
    /// A member of a generation that is over has committed.
    ZombieCommit = "zombie-commit",
    /// A batch was taken whose sequence does not follow that of the one before.
    SequenceGap = "sequence-gap",
    /// A batch that was acknowledged is sent again, and not recognised.
    UnknownRetry = "unknown-retry",
    /// Answers on one connection came in another order than the requests.
    ResponseOrder = "response-order",
    /// A topic that was made is gone.
    LostTopic = "lost-topic",
    /// A topic that was deleted is there.
    RisenTopic = "risen-topic",
    /// A topic has another number of partitions than was acknowledged.
    LostGrowth = "lost-growth",
    /// A topic has another configuration than was acknowledged.
    LostConfig = "lost-config",
    /// A partition, or the metadata quorum, has had two leaders in one epoch.
    TwoLeaders = "two-leaders",
    /// A replica leads that lacks what was committed.
    IncompleteLeader = "incomplete-leader",
    /// A broker took back what it took for committed, or takes for committed what it has not.
    HighWatermark = "high-watermark",
    /// A leader takes for committed what a replica has not that is said to be in sync.
    NotInSync = "not-in-sync",
    /// A leader has committed records while too few replicas were in sync.
    BelowMinimum = "below-minimum",
    /// Two replicas hold different batches at one committed offset.
    LogsDiffer = "logs-differ",
    /// Two brokers that have heard the same believe different things of the cluster.
    ImagesDiffer = "images-differ",
    /// The cluster does not serve in time.
    Stuck = "stuck",
    /// A producer does not get rid of its records in time.
    StuckProducer = "stuck-producer",
    /// A group that is left alone does not come to rest in time.
    StuckGroup = "stuck-group",
    /// A broker ended by itself, without a reason.
    BrokerFailed = "broker-failed",
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
