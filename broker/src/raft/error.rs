use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::quorum::NotLeader;
use crate::log::{AppendError, Fault, ReadError};

/// Why the metadata quorum could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another node leads, or this node leads another epoch than the one asked for.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// The records of one atomic append do not fit into one batch.
    #[error("{bytes} bytes of records do not fit into one batch")]
    TooLarge {
        /// What they would take.
        bytes: usize,
    },
    /// The metadata log and its snapshots do not fit together.
    #[error("the metadata log begins at {log_start}, but no snapshot can be read from there on")]
    NoSnapshot {
        /// Where the log begins.
        log_start: i64,
    },
    /// A snapshot is damaged.
    #[error("{}: {what}", path.display())]
    Snapshot {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A batch of the metadata log could not be read or written.
    #[error("metadata records: {0}")]
    Record(#[from] crate::record::Error),
    /// The metadata log did not take a batch.
    #[error("metadata log: {0}")]
    Append(#[from] AppendError),
    /// The metadata log could not be read.
    #[error("metadata log: {0}")]
    Read(String),
    /// The disk failed under the metadata log.
    #[error("metadata log: {0}")]
    Fault(#[from] Fault),
    /// The disk failed beside the metadata log.
    #[error("metadata log directory: {0}")]
    Disk(Arc<io::Error>),
    /// This node is stopping.
    #[error("the metadata quorum has stopped on this node")]
    Stopped,
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Disk(Arc::new(error))
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Read(error.to_string())
    }
}
