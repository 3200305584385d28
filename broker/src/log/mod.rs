//! One partition's log on disk, byte-compatible with Kafka, and all logs of a node.
//!
//! A [`PartitionLog`] is a directory `<topic>-<partition>` with segments: a `.log` file of record batches back to back,
//! named by its base offset, with a sparse `.index` (offset to position) and `.timeindex` (timestamp to offset) beside it.
//! Producer state (`.snapshot`), aborted transactions (`.txnindex`) and leader epochs (`leader-epoch-checkpoint`) can all
//! be rebuilt from the `.log` files: those are the truth.
//!
//! # How it works
//!
//! One writer at a time appends: it validates, assigns offsets by patching 16 bytes of the header (the CRC does not cover
//! them), writes once, and then publishes the segment's committed size and the log end offset as atomics. Readers take no
//! lock that a writer holds across I/O: they look at the segment list, translate an offset to a position and get a
//! [`FileSlice`], which the connection sends with `sendfile`.
//!
//! Durability is asked for, not assumed: [`PartitionLog::flush`] is one `fdatasync` shared by all who wait. Without it,
//! safety comes from replication, as in Kafka.
//!
//! # Crash-only
//!
//!Start is recovery: it finishes half-done renames, cuts the log at the first bad batch from the recovery point
//! on, and rebuilds what is derived. Whatever the disk lost of unflushed bytes, what remains is a prefix of the log.
//!
//! # Invariants
//!
//! - `log start offset <= high watermark <= log end offset`; the recovery point never passes what was synced.
//! - Bytes below a segment's committed size never change (but for truncation, which only cuts).
//! - A failed append leaves the log as it was; a failed sync leaves it faulty for good.
//! - Everything below the recovery point is on the platter with its index files and directory entries.
//!
//! Source: Kafka's `UnifiedLog`, `LogLoader`, `LogValidator`, `ProducerStateManager`; KIP-98, KIP-101, KIP-279, KIP-858.

mod settings;
mod file_names;
mod checkpoint;
mod partition_metadata;
mod leader_epochs;
mod index;
mod offset_index;
mod time_index;
mod transaction_index;
mod producer_state;
mod scan;
mod segment;
mod validator;
mod partition_log;
mod append;
mod read;
mod flush;
mod truncation;
mod retention;
mod recovery;
mod directory;
mod manager;
pub mod inspect;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
pub(crate) use leader_epochs::LeaderEpochs;

pub use append::{AppendError, Appended, Origin, RecordError, Refusal};
pub(crate) use directory::META_PROPERTIES;
pub use directory::{DirectoryError, LogDirectory};
pub use manager::{DirectoryFailure, LogManager, ManagerError};
pub use partition_log::{
    Fault, OpenOptions, PartitionLog, RecoveryReport, SegmentInfo, TimestampOffset,
};
pub use producer_state::ActiveProducer;
pub use read::{Fetched, FileSlice, ReadError};
pub use settings::{CompressionType, Ratio, Settings};
pub use transaction_index::AbortedTransaction;

pub use crate::record::TimestampType;
