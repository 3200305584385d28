//! The metadata quorum (KRaft): elects one controller and agrees on one log, `__cluster_metadata-0`.
//!
//! # The algorithm
//!
//! It is Raft with Kafka's replication in it. A **leader** is elected for an **epoch** by a majority of the **voters**; it
//! alone appends. The others **fetch** from it: a fetch at offset *n* whose last epoch matches says "I have all below *n*",
//! so the request for more is the acknowledgement of what came before. The **high watermark** is the offset a majority of
//! voters has made durable; what lies below is committed and never changes. **Observers** (brokers) fetch as well but
//! neither vote nor count.
//!
//! What differs from the paper:
//!
//! - *Pull, not push.* A leader learns that it lost its majority by the silence of fetches (check quorum, 1.5 fetch time-outs)
//!   and then resigns; a follower that cannot fetch for one fetch time-out looks for a new leader.
//! - *Divergence by epoch.* A fetch names the epoch of the last record; when the leader's part of that epoch ended
//!   earlier, it answers with the end of it and the follower truncates there (KIP-101, KIP-595).
//! - *A new leader first writes a record of its own epoch* (`LeaderChange`); only together with it older records are committed.
//! - *Pre-vote* (KIP-996): before it opens an epoch, a replica asks whether it would be elected. One that cannot reach the
//!   leader while others can disturbs nobody.
//! - *A restarted leader resigns.* It starts resigned in the epoch it led, because it may have told followers of records
//!   that its own disk lost. A single voter goes on to the next epoch at once.
//! - *A voter is a node and a directory* (KIP-853): one that lost its disk is somebody else.
//! - *Voters change one at a time*, by records of the log that count from the moment they are appended.
//! - *Snapshots* (KIP-630) are files named by end offset and epoch; the voters stand in them.
//!
//! # How it is cut
//!
//! [`Quorum`] is a machine without clock, disk or network: messages, ticks and the news of a flush go in, a list of
//! [`Ready`] comes out, which the driver carries out in that order. One role is one file (`unattached.rs`, `prospective.rs`,
//! `candidate.rs`, `follower.rs`, `leader.rs`, `resigned.rs`); `reconfiguration.rs` is how voters change. Around it, `driver.rs` and `steps.rs` carry that out with a log,
//! a disk and peers (`load.rs` reads the disk first; `network.rs` has the connections, `wire.rs` the codec's words),
//! `handle.rs` is what the rest of the node sees, `snapshots.rs` and the end of `election_state.rs` are files.
//!
//! # Invariants
//!
//! 1. One leader per epoch: a vote is durable before it is sent, and a vote given is not given to another in that epoch.
//! 2. A leader has every committed record: a vote needs a log at least as long, by epoch and then by offset.
//! 3. Two logs with the same epoch at an offset are the same up to there.
//! 4. The high watermark never goes back, and nothing below it is truncated.
//! 5. At most one change of the voters is not committed.
//!
//! Sources: KIP-595 (protocol), KIP-630 (snapshots), KIP-853 (voters), KIP-996 (pre-vote), KIP-1166 (high watermark in
//! Fetch); *In Search of an Understandable Consensus Algorithm*, Ongaro and Ousterhout, 2014.

mod voters;
mod election_state;
mod log_state;
mod ready;
mod quorum;
mod role;
mod votes;
mod unattached;
mod prospective;
mod candidate;
mod follower;
mod leader;
mod resigned;
mod reconfiguration;
mod received;
mod requests;
mod describe;
mod error;
mod batches;
mod snapshots;
mod handle;
mod wire;
mod wire_voters;
mod network;
mod load;
mod driver;
mod steps;

#[cfg(test)]
mod driver_tests;
#[cfg(test)]
mod exploration;
#[cfg(test)]
mod scenario_tests;

pub use batches::CommittedBatch;
pub use describe::{Description, ReplicaDescription};
pub use driver::{Options, start};
pub use election_state::{ElectionState, QUORUM_STATE_FILE};
pub use error::Error;
pub use handle::{Answered, Event, Handle, Subscription};
pub use log_state::LogState;
pub use quorum::{NotLeader, Quorum, Settings};
pub use ready::{
    AddVoterRequest, Answer, BeginQuorumEpochRequest, EndQuorumEpochRequest, EpochStart,
    FetchOutcome, FetchRequest, FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse,
    FetchedBatch, Message, Ready, RemoveVoterRequest, Request, RequestId, Response, Token,
    UpdateVoterRequest, VersionsRequest, VoteRequest, VoteResponse, VoterAnswer, VotersWritten,
};
pub use role::Role;
pub use snapshots::{
    METADATA_LOG, Snapshot, format, is_formatted, list_snapshots, read_bootstrap,
    snapshot_file_name, write_bootstrap,
};
pub use voters::{
    Endpoint, KRAFT_VERSIONS, ReplicaKey, Voter, VoterChange, VoterHistory, VoterSet,
};
pub use wire::{METADATA_TOPIC, METADATA_TOPIC_ID};
