//! Replicas of partitions: who may append and read, what is committed, who waits for what.
//!
//! A [`Partition`] is one replica on this node: its log, its role, and those who wait for it to move. What it decides (the high
//! watermark, who is in sync) is a machine without clock or I/O: `replica_state`, `leader`, `in_sync_replicas`,
//! `divergence`, with scripts in `scenarios/` and random lives of three replicas in `exploration`. The [`ReplicaManager`]
//! holds all partitions and follows the metadata image. Nothing in here knows requests or wire structs.
//!
//! # Invariants
//!
//! - Only the leader appends, in its own epoch; the epoch's start is remembered before its first record.
//! - The high watermark never goes back while this node leads, never passes the end of the log, and under
//!   `flush.messages=1` never passes what is durable: nobody reads what a power failure could take back.
//! - Whoever waits registers first and looks afterwards, so no move is missed.
//!
//! Source: KIP-101 (epochs), KIP-227 (sessions), KIP-497 and KIP-903 (in-sync replicas), KIP-595 (diverging epochs).

mod waiters;
mod fetch_session;
mod divergence;
mod in_sync_replicas;
mod leader;
mod replica_state;
mod surroundings;
mod partition;
mod followers;
mod read;
mod following;
mod fetcher;
mod replica_manager;
mod isr_sender;
#[cfg(test)]
mod exploration;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;

pub use fetch_session::{
    Claim, FetchContext, FetchSessions, Outcome, PartitionFetch, Told, TopicKey,
};
pub use fetcher::FetchOptions;
pub use in_sync_replicas::{IsrChange, IsrState};
pub use isr_sender::{IsrChannel, PartitionIsrChange};
pub use leader::FollowerFetch;
pub use partition::{Acks, AppendFailure, Partition};
pub use read::{Isolation, Limit, PartitionRead, Source};
pub use replica_manager::{Options, ReplicaManager, SettingsOf};
pub use waiters::Waiter;
