//! Reading, by offset and by time. Readers wait for no writer: they see the segment list and the committed sizes.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::scan::BatchPosition;
use super::segment::{Lookup, Segment};
use super::time_index::Largest;
use super::transaction_index::{self, AbortedTransaction};
use super::{Fault, PartitionLog, TimestampOffset, file_names};
use crate::environment::{File, FileExt, Runtime, is_out_of_files};
use crate::model::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use crate::record::{self, Batch};

/// Bytes of a file that are ready to be sent. The file stays readable even after its segment was deleted.
#[derive(Clone, Debug)]
pub struct FileSlice<F> {
    /// The `.log` file.
    pub file: F,
    /// Where the bytes begin.
    pub position: u64,
    /// How many there are; never 0.
    pub length: u64,
}

impl<F: File> FileSlice<F> {
    /// Reads the bytes into memory.
    ///
    /// # Errors
    ///
    /// As [`File::read_at`]; `UnexpectedEof` when the log was cut meanwhile.
    pub async fn read(&self) -> io::Result<Bytes> {
        let mut buffer = vec![0; usize::try_from(self.length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut buffer, self.position).await?;
        Ok(Bytes::from(buffer))
    }
}

/// What a read found: bytes of one segment, beginning with the batch that contains the asked offset (or the next one after
/// a hole). The last batch may be cut, as the protocol allows.
#[derive(Clone, Debug)]
pub struct Fetched<F> {
    /// The bytes; `None` when there is nothing below the bound yet.
    pub slice: Option<FileSlice<F>>,
    /// Base offset of the first batch, which may be below the asked one.
    pub base_offset: Option<Offset>,
    /// True when the first batch is larger than what was asked for and was not returned whole.
    pub first_batch_is_cut: bool,
    /// The log start offset at that moment.
    pub log_start_offset: Offset,
    /// The log end offset at that moment.
    pub log_end_offset: Offset,
}

impl<F> Fetched<F> {
    /// Number of bytes found.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.slice.as_ref().map_or(0, |slice| slice.length)
    }
}

/// Why nothing was read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is below the log start or above the log end.
    #[error("offset {offset} is not in {start}..={end}")]
    OffsetOutOfRange {
        /// What was asked.
        offset: Offset,
        /// The log start offset.
        start: Offset,
        /// The log end offset.
        end: Offset,
    },
    /// What is on disk is not what was written.
    #[error("corrupt segment: {0}")]
    Corrupt(String),
    /// The disk failed: the log directory must go offline.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl ReadError {
    /// The code a reader is answered with.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Corrupt(_) | Self::Fault(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl<R: Runtime> PartitionLog<R> {
    /// Finds bytes from the batch that contains `from` on, of batches that lie wholly below `up_to`.
    ///
    /// At most `max_bytes`, but the first batch whole when `minimum_one_batch`. Never waits for a writer. At the tail of the log
    /// nothing is read from the disk to find the place.
    ///
    /// # Errors
    ///
    /// [`ReadError::OffsetOutOfRange`] when `from` is below the log start or above the log end.
    pub async fn read(
        &self,
        from: Offset,
        max_bytes: u64,
        minimum_one_batch: bool,
        up_to: Offset,
    ) -> Result<Fetched<R::File>, ReadError> {
        let log_end_offset = self.log_end_offset();
        let log_start_offset = self.log_start_offset();
        self.check_range(from, log_start_offset, log_end_offset)?;
        let up_to = up_to.min(log_end_offset);
        let nothing = Fetched {
            slice: None,
            base_offset: None,
            first_batch_is_cut: false,
            log_start_offset,
            log_end_offset,
        };
        if from >= up_to {
            return Ok(nothing);
        }
        let Some((segment, batch)) = self.first_batch(from, up_to).await? else {
            return Ok(nothing);
        };
        let bound = self.position_of(&segment, up_to).await?;
        if batch.end() > bound {
            return Ok(nothing);
        }
        let at_least = if minimum_one_batch { batch.size } else { 0 };
        let length = max_bytes.max(at_least).min(bound - batch.position);
        let slice = FileSlice { file: segment.file().clone(), position: batch.position, length };
        Ok(Fetched {
            slice: Some(slice).filter(|slice| slice.length > 0),
            base_offset: Some(batch.first),
            first_batch_is_cut: length < batch.size,
            ..nothing
        })
    }

    /// Reads whole batches from the one that contains `from` up to the log end: at least one when there is any, at most
    /// `max_bytes` otherwise. Empty at the log end.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub async fn read_bytes(&self, from: Offset, max_bytes: u64) -> Result<Bytes, ReadError> {
        let fetched = self.read(from, max_bytes, true, self.log_end_offset()).await?;
        let Some(slice) = fetched.slice else { return Ok(Bytes::new()) };
        let bytes = slice.read().await.map_err(|error| self.read_failed(error))?;
        let mut rest = bytes.clone();
        record::split_all(&mut rest).map_err(|error| ReadError::Corrupt(error.to_string()))?;
        Ok(bytes.slice(..bytes.len() - rest.len()))
    }

    fn check_range(&self, offset: Offset, start: Offset, end: Offset) -> Result<(), ReadError> {
        if offset < start || offset > end {
            return Err(ReadError::OffsetOutOfRange { offset, start, end });
        }
        Ok(())
    }

    /// The first batch that ends at or above `from`, holes and ends of segments skipped.
    async fn first_batch(
        &self,
        from: Offset,
        up_to: Offset,
    ) -> Result<Option<(Arc<Segment<R>>, BatchPosition)>, ReadError> {
        let segments = self.segments.load_full();
        let first = segments.partition_point(|segment| segment.base() <= from).saturating_sub(1);
        for segment in segments.iter().skip(first).take_while(|segment| segment.base() < up_to) {
            let found = segment.find(from).await.map_err(|error| self.read_failed(error))?;
            match found {
                Lookup::Batch(batch) => return Ok(Some((Arc::clone(segment), batch))),
                Lookup::End => {}
                Lookup::Bad(what) => return Err(ReadError::Corrupt(what)),
            }
        }
        Ok(None)
    }

    /// Where the batches that lie wholly below `offset` end.
    async fn position_of(&self, segment: &Segment<R>, offset: Offset) -> Result<u64, ReadError> {
        let (size, end) = segment.extent();
        if offset >= end {
            return Ok(size);
        }
        match segment.find(offset).await.map_err(|error| self.read_failed(error))? {
            Lookup::Batch(batch) => Ok(batch.position),
            Lookup::End => Ok(size),
            Lookup::Bad(what) => Err(ReadError::Corrupt(what)),
        }
    }

    fn read_failed(&self, error: io::Error) -> ReadError {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            // Cut under the reader: what it wanted is gone.
            return ReadError::Corrupt("the file ends before the batch does".into());
        }
        if is_out_of_files(&error) {
            return ReadError::Fault(self.out_of_files("read", &self.path(), error));
        }
        ReadError::Fault(self.failed("read", &self.path(), error))
    }

    /// The first record with at least this timestamp, below `bound`.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub async fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        bound: Offset,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let segments = self.segments.load_full();
        let mut from = self.log_start_offset();
        for segment in segments.iter() {
            let largest = segment.largest().await.map_err(|error| self.read_failed(error))?;
            if largest.is_none_or(|largest| largest.timestamp < timestamp) {
                continue;
            }
            loop {
                let found = segment.find_timestamp(timestamp, from).await;
                let batch = match found.map_err(|error| self.read_failed(error))? {
                    // A segment that was closed is believed without being read: going on behind such a batch would be
                    // going back, again and again.
                    Lookup::Batch(batch) if batch.last < from => {
                        let what =
                            format!("the batch that ends at {} stands behind {from}", batch.last);
                        return Err(ReadError::Corrupt(what));
                    }
                    Lookup::Batch(batch) if batch.first < bound => batch,
                    Lookup::Batch(_) => return Ok(None),
                    Lookup::End => break,
                    Lookup::Bad(what) => return Err(ReadError::Corrupt(what)),
                };
                let wanted = |time: Timestamp, offset| time >= timestamp && offset >= from;
                if let Some(record) = self.first_record(segment, &batch, wanted).await? {
                    return Ok(Some(record).filter(|record| record.offset < bound));
                }
                // The header promised more than the records keep: compaction took the record away.
                from = batch.last.plus(1);
            }
        }
        Ok(None)
    }

    /// The record with the largest timestamp (the first of them).
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub async fn max_timestamp_offset(&self) -> Result<Option<TimestampOffset>, ReadError> {
        let segments = self.segments.load_full();
        let mut best: Option<(Largest, &Arc<Segment<R>>)> = None;
        for segment in segments.iter() {
            let largest = segment.largest().await.map_err(|error| self.read_failed(error))?;
            let Some(largest) = largest else { continue };
            if best.is_none_or(|(best, _)| largest.timestamp > best.timestamp) {
                best = Some((largest, segment));
            }
        }
        let Some((largest, segment)) = best else { return Ok(None) };
        match segment.find(largest.offset).await.map_err(|error| self.read_failed(error))? {
            Lookup::Batch(batch) => {
                let wanted = |time: Timestamp, _| time >= largest.timestamp;
                self.first_record(segment, &batch, wanted).await
            }
            Lookup::End => Ok(None),
            Lookup::Bad(what) => Err(ReadError::Corrupt(what)),
        }
    }

    /// The first record of a batch that is wanted.
    async fn first_record(
        &self,
        segment: &Segment<R>,
        place: &BatchPosition,
        wanted: impl Fn(Timestamp, Offset) -> bool,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let file = segment.file().clone();
        let slice = FileSlice { file, position: place.position, length: place.size };
        let bytes = slice.read().await.map_err(|error| self.read_failed(error))?;
        let corrupt = |error: record::Error| ReadError::Corrupt(error.to_string());
        let batch = Batch::parse(bytes).map_err(corrupt)?;
        let limit = usize::try_from(self.settings().max_decompressed_message_bytes);
        let mut found = None;
        let see = |record: record::RecordSummary| {
            let offset = batch.header().first_offset().plus(i64::from(record.offset_delta));
            if found.is_none() && wanted(record.timestamp, offset) {
                found = Some(TimestampOffset {
                    timestamp: record.timestamp,
                    offset,
                    leader_epoch: LeaderEpoch::from_wire(batch.header().leader_epoch),
                });
            }
        };
        batch.scan(limit.unwrap_or(usize::MAX), see).map_err(corrupt)?;
        Ok(found)
    }

    /// Aborted transactions that have records in `from..up_to`, for readers of committed records.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub async fn aborted_transactions(
        &self,
        from: Offset,
        up_to: Offset,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let segments = self.segments.load_full();
        let first = segments.partition_point(|segment| segment.base() <= from).saturating_sub(1);
        let mut found = Vec::new();
        for segment in segments.iter().skip(first) {
            let path = segment.path(file_names::TRANSACTION_INDEX);
            let entries = transaction_index::read(self.runtime.disk(), &path).await;
            for entry in entries.map_err(|error| self.read_failed(error))? {
                if entry.last_offset >= from && entry.first_offset < up_to {
                    found.push(entry);
                }
                // Later markers end transactions that began at or above this.
                if entry.last_stable_offset >= up_to {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}
