//! Leaders of partitions: who may append and read, what is committed, who waits for what.
//!
//! A [`Partition`] is one replica on this node: its log, what the cluster says about it (leader, epoch, in-sync replicas),
//! and those who wait for it to move. The [`ReplicaManager`] holds all of them and follows the metadata image. Nothing in
//! here knows requests or wire structs.
//!
//! # Invariants
//!
//! - Only the leader appends, in its own epoch; the epoch's start is remembered before its first record.
//! - The high watermark never goes back while this node leads, never passes the end of the log, and under
//!   `flush.messages=1` never passes what is durable: nobody reads what a power failure could take back.
//! - Whoever waits registers first and looks afterwards, so no move is missed.
//!
//! Source: KIP-101 (epochs), KIP-227 (sessions), KIP-595 (diverging epochs).

mod waiters;
mod fetch_session;
mod partition;
mod read;
mod replica_manager;
#[cfg(test)]
mod tests;

pub use fetch_session::{
    Claim, FetchContext, FetchSessions, Outcome, PartitionFetch, Told, TopicKey,
};
pub use partition::{Acks, AppendFailure, Partition};
pub use read::{Isolation, PartitionRead};
pub use replica_manager::{ReplicaManager, SettingsOf};
pub use waiters::Waiter;
