//! Coordinators: state machines over internal topics, one shard per partition.
//!
//! A shard is led by the broker that leads its partition. That broker replays the partition ([`runtime`]), then takes
//! requests: a machine *decides* records, they are appended, *replayed* into the machine, and the answer leaves when
//! they are committed. An append that fails leaves no trace; a lost leadership drops the machine, and the next leader
//! replays what was written. So no state needs to be taken back, and a machine is never ahead of its log.
//!
//! Answers that show stored state (`OffsetFetch`, `DescribeGroups`, `ListGroups`) are held back until everything the machine
//! had replayed when they were made is committed: nobody is shown what a failing leader could take with it. A new
//! leader replays its whole log, also what lies above the high watermark it knows, because its predecessor may have
//! acknowledged that; the same rule keeps it from being shown too early.
//!
//! Invariants: a machine gets no other input between a decision and its replay, except requests whose decisions do not
//! depend on records (commits share batches that way); answers to writes leave in the order of offsets; a coordinator
//! knows nothing of replication, it is lent a [`PartitionWriter`].
//!
//! Sources: KIP-848 (the runtime: shard, load, park), and the group protocols in [`group`].

mod timer;
mod machine;
mod batches;
mod shard;
mod runtime;
mod group;
mod group_coordinator;
#[cfg(test)]
mod tests;

pub use group::*;
pub use group_coordinator::{GroupCoordinator, partition_for_key};
pub use machine::{
    Decoded, Effects, EffectsOf, KeyValue, Machine, Position, RequestId, Then, Write,
};
pub use runtime::{PartitionWriter, ReadBatches, client_error};
pub use timer::Now;
