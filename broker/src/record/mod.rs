//! Record batches: the bytes that go socket → disk → socket untouched.
//!
//! A batch, format 2, is 61 bytes of header and then records, compressed all together or not at all. Brokers look at
//! the header, at the checksum, and, in what clients produce, at the records' offsets, times and keys; they never
//! take a client's records apart to put them together again. So a [`Batch`] is a view: a slice of the frame it came
//! in, with its header decoded. Appending replaces the first 16 bytes ([`Batch::patched_prefix`]), which the checksum
//! leaves out for that purpose (KIP-98). Batches of our own (metadata, offsets, markers) come from a [`Builder`].
//!
//! This is the only reader and the only writer of batches in the program.
//!
//! # Invariants
//!
//! - Any bytes give a batch or an [`Error`], never a panic.
//! - Memory follows what was received: no count, length or size is believed before it is covered by bytes, and
//!   decompression stops at a limit its caller gives.
//! - A batch that was changed has a checksum that belongs to it; one that was not has its own, right or wrong.
//! - Headers of records keep their order and repeated keys.
//!
//! Sources: KIP-98 (format 2), KIP-82 (headers), KIP-534 (delete horizon), KIP-110 and KIP-57 (codecs).

mod error;
mod cursor;
mod varint;
mod header;
mod snappy;
mod lz4;
mod compression;
mod iterator;
mod batch;
mod builder;
mod control;

pub use batch::{Batch, recompress, split_all};
pub use builder::{Builder, HeaderSlice, record_size_bytes};
pub use compression::Compression;
pub use control::{
    ControlRecord, ControlRecordType, EndTransactionMarker, LeaderChange, QuorumVoter, Voter,
    VoterEndpoint,
};
pub use error::Error;
pub use header::{HEADER_BYTES, Header, PREFIX_BYTES, TimestampType};
pub use iterator::{Record, RecordSummary, Records};

#[cfg(test)]
mod tests;
