//! Walks over the batches of a segment file, header by header, with a buffer of fixed size. The file may hold anything.

use std::io;

use bytes::Bytes;

use super::producer_state::{EndMarker, ProducerBatch};
use crate::environment::{File, FileExt};
use crate::model::{Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::record::{Batch, ControlRecord, HEADER_BYTES, Header};

/// Read at a time while walking; a few batches of usual size, or the header of a large one.
const BLOCK_BYTES: usize = 16 << 10;
/// Read at a time while checking sums.
const CHECK_BYTES: usize = 256 << 10;
/// The checksum covers everything from here.
const CHECKSUMMED_FROM: u64 = 21;
/// A marker is about 80 bytes; a control batch that is much longer is none of a transaction.
const MARKER_BYTES_MAX: usize = 64 << 10;

/// A batch by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchPosition {
    pub(crate) first: Offset,
    pub(crate) last: Offset,
    pub(crate) position: u64,
    pub(crate) size: u64,
}

impl BatchPosition {
    pub(crate) fn of(header: &Header, position: u64) -> Self {
        Self {
            first: header.first_offset(),
            last: header.last_offset(),
            position,
            size: header.size_bytes() as u64,
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.position + self.size
    }
}

/// What is at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A batch whose header is sound and whose bytes are all below the end.
    Batch(Header),
    /// The end.
    End,
    /// No batch begins here, or it is cut.
    Bad(String),
}

/// Walks over `position..end` of a file.
pub(crate) struct Scanner<'a, F> {
    file: &'a F,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffered_from: u64,
    buffered: usize,
}

impl<'a, F: File> Scanner<'a, F> {
    pub(crate) fn new(file: &'a F, position: u64, end: u64) -> Self {
        Self { file, position, end, buffer: Vec::new(), buffered_from: 0, buffered: 0 }
    }

    /// Where the next batch begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Looks at the next batch and steps over it.
    pub(crate) async fn next(&mut self) -> io::Result<Found> {
        let found = self.peek().await?;
        if let Found::Batch(header) = &found {
            self.position += header.size_bytes() as u64;
        }
        Ok(found)
    }

    /// Looks at the next batch.
    pub(crate) async fn peek(&mut self) -> io::Result<Found> {
        let left = self.end.saturating_sub(self.position);
        if left == 0 {
            return Ok(Found::End);
        }
        if left < HEADER_BYTES as u64 {
            return Ok(Found::Bad(format!("{left} bytes at {} are no batch", self.position)));
        }
        let position = self.position;
        let bytes = self.bytes_at_position().await?;
        let header = match Header::decode(bytes) {
            Ok(header) => header,
            Err(error) => return Ok(Found::Bad(format!("no batch at {position}: {error}"))),
        };
        if header.size_bytes() as u64 > left {
            return Ok(Found::Bad(format!("the batch at {position} is cut off")));
        }
        Ok(Found::Batch(header))
    }

    /// At least a header's bytes at the position, unless the file ends.
    async fn bytes_at_position(&mut self) -> io::Result<&[u8]> {
        let skip = self.position.checked_sub(self.buffered_from);
        let skip = skip.and_then(|skip| usize::try_from(skip).ok()).filter(|skip| {
            skip.checked_add(HEADER_BYTES).is_some_and(|needed| needed <= self.buffered)
        });
        if let Some(skip) = skip {
            return Ok(self.buffer.get(skip..self.buffered).unwrap_or_default());
        }
        self.buffer.resize(BLOCK_BYTES, 0);
        self.buffered = 0;
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let block = self.buffer.get_mut(..left.min(BLOCK_BYTES)).unwrap_or_default();
        let read = self.file.read_full_at(block, self.position).await?;
        self.buffered = read;
        self.buffered_from = self.position;
        Ok(self.buffer.get(..read).unwrap_or_default())
    }
}

/// Compares the checksum of the batch at `position` with its bytes, piece by piece.
pub(crate) async fn has_right_checksum<F: File>(
    file: &F,
    position: u64,
    header: &Header,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    buffer.resize(CHECK_BYTES, 0);
    let end = position + header.size_bytes() as u64;
    let mut at = position + CHECKSUMMED_FROM;
    let mut crc = 0;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHECK_BYTES);
        let Some(piece) = buffer.get_mut(..length) else { return Ok(false) };
        if file.read_full_at(piece, at).await? < length {
            return Ok(false);
        }
        crc = crc32c::crc32c_append(crc, piece);
        at += length as u64;
    }
    Ok(crc == header.crc)
}

/// Writes the batch at `position` again, byte by byte as it is. When a sync has failed Linux takes the pages for written
/// although they are not on the disk, and another sync says that all is well; only pages that are written to again are
/// tried again.
pub(crate) async fn write_again<F: File>(
    file: &F,
    position: u64,
    header: &Header,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    buffer.resize(CHECK_BYTES, 0);
    let end = position + header.size_bytes() as u64;
    let mut at = position;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHECK_BYTES);
        let Some(piece) = buffer.get_mut(..length) else { return Ok(()) };
        if file.read_full_at(piece, at).await? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all_at(&[io::IoSlice::new(piece)], at).await?;
        at += length as u64;
    }
    Ok(())
}

/// What the producer state must know of the batch at `position`; `None` when it has no producer.
pub(crate) async fn producer_batch<F: File>(
    file: &F,
    position: u64,
    header: &Header,
) -> io::Result<Option<ProducerBatch>> {
    let size = header.size_bytes();
    if !header.has_producer() || !header.is_control() || size > MARKER_BYTES_MAX {
        return Ok(producer_batch_of(header, None));
    }
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, position).await?;
    let batch = Batch::parse(Bytes::from(bytes)).ok();
    Ok(producer_batch_of(header, batch.as_ref()))
}

/// As [`producer_batch`], with the batch in memory when it may be a marker. A control batch that is not the end of
/// a transaction says nothing about its producer.
pub(crate) fn producer_batch_of(header: &Header, batch: Option<&Batch>) -> Option<ProducerBatch> {
    if !header.has_producer() {
        return None;
    }
    let marker = batch.filter(|_| header.is_control()).and_then(end_marker);
    if header.is_control() && marker.is_none() {
        return None;
    }
    // A batch that compaction emptied still tells its producer's last sequence.
    Some(ProducerBatch {
        producer: ProducerId(header.producer_id),
        epoch: ProducerEpoch(header.producer_epoch),
        base_sequence: header.base_sequence,
        last_sequence: header.last_sequence(),
        first_offset: header.first_offset(),
        last_offset: header.last_offset(),
        max_timestamp: Timestamp(header.max_timestamp),
        is_transactional: header.is_transactional(),
        marker,
    })
}

fn end_marker(batch: &Batch) -> Option<EndMarker> {
    let record = batch.records(MARKER_BYTES_MAX).ok()?.next()?.ok()?;
    let control =
        ControlRecord::decode(&record.key.unwrap_or_default(), &record.value.unwrap_or_default());
    match control.ok()? {
        ControlRecord::EndTransaction(marker) => Some(EndMarker {
            is_abort: !marker.is_commit,
            coordinator_epoch: marker.coordinator_epoch,
        }),
        ControlRecord::LeaderChange(_)
        | ControlRecord::SnapshotHeader { .. }
        | ControlRecord::SnapshotFooter
        | ControlRecord::KRaftVersion(_)
        | ControlRecord::KRaftVoters(_)
        | ControlRecord::Unknown(_) => None,
    }
}
