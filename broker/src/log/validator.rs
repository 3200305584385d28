//! What a batch must satisfy before a leader appends it; checks, codes and words are Kafka's, in Kafka's order.
//!
//! Nothing here needs the log: it runs before the writer's turn. A batch that is fine under CreateTime and keeps its codec
//! comes out as the very bytes that came in.

use bytes::Bytes;

use super::append::{AppendError, Origin, RecordError, Refusal};
use super::settings::{CompressionType, Settings};
use crate::environment::Runtime;
use crate::model::{ErrorCode, Timestamp, TopicPartition};
use crate::record::{self, Batch, Compression, RecordSummary, TimestampType};

/// A batch that may be appended once it has its offset.
pub(crate) struct Validated {
    pub(crate) batch: Batch,
    /// What the broker set, under LogAppendTime.
    pub(crate) log_append_time: Option<Timestamp>,
}

/// What a batch is judged by.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) partition: &'a TopicPartition,
    pub(crate) settings: &'a Settings,
    pub(crate) origin: Origin,
    pub(crate) now: Timestamp,
}

/// Larger compressed batches are taken apart where they hold nobody up.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// More bad records than these are not told one by one.
const RECORD_ERRORS_MAX: usize = 1000;
/// What is compared to see whether another batch follows: offset, length, epoch and magic.
const PEEK_BYTES: usize = 17;
/// Kafka's smallest record, in its oldest format.
const SIZE_MIN: i32 = 14;

/// Judges `bytes`, and rewrites what the topic's configuration demands.
pub(crate) async fn validate<R: Runtime>(
    runtime: &R,
    judge: Judge<'_>,
    bytes: Bytes,
) -> Result<Validated, AppendError> {
    let batch = match judge.origin {
        Origin::Client { produce_version } => judge.only_batch(bytes, produce_version),
        Origin::Coordinator | Origin::Raft => Batch::parse(bytes).map_err(refusal),
    };
    let batch = batch.map_err(AppendError::Refused)?;
    judge.header(&batch).map_err(AppendError::Refused)?;
    if matches!(judge.origin, Origin::Raft) {
        return Ok(Validated { batch, log_append_time: None });
    }
    let is_heavy = batch.bytes().len() > INLINE_BYTES_MAX
        && (batch.header().compression() != Ok(Compression::None) || judge.must_recompress(&batch));
    let result = if is_heavy {
        let (partition, settings) = (judge.partition.clone(), judge.settings.clone());
        let (origin, now) = (judge.origin, judge.now);
        let work = move || {
            Judge { partition: &partition, settings: &settings, origin, now }.records(&batch)
        };
        runtime.compute(work).await
    } else {
        judge.records(&batch)
    };
    result.map_err(AppendError::Refused)
}

fn refusal(error: record::Error) -> Refusal {
    Refusal::new(error.code(), error.to_string())
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRecord, message)
}

impl Judge<'_> {
    /// The one batch that a Produce request may carry per partition.
    fn only_batch(self, mut bytes: Bytes, produce_version: i16) -> Result<Batch, Refusal> {
        let batch = match Batch::split_first(&mut bytes) {
            Ok(Some(batch)) => batch,
            Ok(None) | Err(record::Error::Incomplete { .. }) => {
                return Err(invalid(format!(
                    "Produce requests with version {produce_version} must have at least one record batch per partition"
                )));
            }
            Err(record::Error::UnsupportedMagic(_)) => {
                return Err(invalid(format!(
                    "Produce requests with version {produce_version} are only allowed to contain record batches with magic version 2"
                )));
            }
            Err(error) => return Err(refusal(error)),
        };
        if batch.header().compression() == Ok(Compression::Zstd) && produce_version < 7 {
            return Err(Refusal::new(
                ErrorCode::UnsupportedCompressionType,
                format!(
                    "Produce requests with version {produce_version} are not allowed to use ZStandard compression"
                ),
            ));
        }
        // A cut second batch is dropped, as Kafka does; a whole one is refused.
        if let Some(next) = bytes.first_chunk::<PEEK_BYTES>() {
            let length = i32::from_be_bytes([next[8], next[9], next[10], next[11]]);
            if length < SIZE_MIN {
                return Err(refusal(record::Error::InvalidLength(length)));
            }
            if usize::try_from(length).is_ok_and(|length| length + 12 <= bytes.len()) {
                return Err(invalid(format!(
                    "Produce requests with version {produce_version} are only allowed to contain exactly one record batch per partition"
                )));
            }
        }
        Ok(batch)
    }

    fn header(self, batch: &Batch) -> Result<(), Refusal> {
        let header = batch.header();
        let is_client = matches!(self.origin, Origin::Client { .. });
        if is_client && header.base_offset != 0 {
            return Err(invalid(format!(
                "The baseOffset of the record batch in the append to {} should be 0, but it is {}",
                self.partition, header.base_offset
            )));
        }
        if !matches!(self.origin, Origin::Raft) {
            self.size(batch)?;
        }
        if batch.verify_crc().is_err() {
            return Err(Refusal::new(
                ErrorCode::CorruptMessage,
                format!("Record is corrupt (stored crc = {})", header.crc),
            ));
        }
        header.compression().map_err(refusal)?;
        if is_client {
            self.client_header(batch)?;
        }
        if header.has_producer() && header.base_sequence < 0 && !header.is_control() {
            return Err(invalid(format!(
                "Invalid sequence number {} in record batch with producerId {}",
                header.base_sequence, header.producer_id
            )));
        }
        Ok(())
    }

    fn size(self, batch: &Batch) -> Result<(), Refusal> {
        let size = batch.bytes().len() as u64;
        if size > self.settings.max_message_bytes {
            return Err(Refusal::new(
                ErrorCode::MessageTooLarge,
                format!(
                    "The record batch size in the append to {} is {size} bytes which exceeds the maximum configured value of {}.",
                    self.partition, self.settings.max_message_bytes
                ),
            ));
        }
        if size > self.settings.segment_bytes {
            return Err(Refusal::new(
                ErrorCode::RecordListTooLarge,
                format!(
                    "Message batch size is {size} bytes in append to partition {}, which exceeds the maximum configured segment size of {}.",
                    self.partition, self.settings.segment_bytes
                ),
            ));
        }
        Ok(())
    }

    fn client_header(self, batch: &Batch) -> Result<(), Refusal> {
        let header = batch.header();
        let partition = self.partition;
        if header.record_count <= 0 {
            return Err(invalid(format!(
                "Invalid reported count for record batch: {} in topic partition {partition}.",
                header.record_count
            )));
        }
        if i64::from(header.last_offset_delta) + 1 != i64::from(header.record_count) {
            return Err(invalid(format!(
                "Inconsistent batch offset range [{}, {}] and count of records {} in topic partition {partition}.",
                header.base_offset,
                header.last_offset(),
                header.record_count
            )));
        }
        if header.is_control() {
            return Err(invalid(format!(
                "Clients are not allowed to write control records to topic partition {partition}."
            )));
        }
        Ok(())
    }

    fn must_recompress(self, batch: &Batch) -> bool {
        // Control batches are never compressed.
        self.target().is_some_and(|(codec, _)| batch.header().compression() != Ok(codec))
            && !batch.header().is_control()
    }

    /// The codec and level that the topic demands, if any.
    fn target(self) -> Option<(Compression, i32)> {
        match self.settings.compression_type {
            CompressionType::Producer => None,
            CompressionType::Uncompressed => Some((Compression::None, 0)),
            CompressionType::Gzip(level) => Some((Compression::Gzip, level)),
            CompressionType::Snappy => Some((Compression::Snappy, 0)),
            CompressionType::Lz4(level) => Some((Compression::Lz4, level)),
            CompressionType::Zstd(level) => Some((Compression::Zstd, level)),
        }
    }

    /// Looks at each record, then sets what the broker sets.
    fn records(self, batch: &Batch) -> Result<Validated, Refusal> {
        let limit = usize::try_from(self.settings.max_decompressed_message_bytes);
        let limit = limit.unwrap_or(usize::MAX);
        let claims_append_time = batch.header().timestamp_type() == TimestampType::LogAppendTime;
        let mut seen = Seen { largest: -1, claims_append_time, ..Seen::default() };
        batch.scan(limit, |record| self.see(&mut seen, record)).map_err(refusal)?;
        if matches!(self.origin, Origin::Client { .. }) {
            if seen.has_wrong_offsets {
                return Err(invalid(format!(
                    "Record offsets of the batch in the append to {} do not count up from its base offset",
                    self.partition
                )));
            }
            self.judge_errors(seen.errors, seen.error_count, seen.has_bad_timestamp)?;
        }
        let mut batch = batch.clone();
        let is_rewritten = self.must_recompress(&batch);
        if let Some((codec, level)) = self.target().filter(|_| is_rewritten) {
            batch = record::recompress(&batch, codec, level, limit).map_err(refusal)?;
        }
        let is_append_time = self.settings.timestamp_type == TimestampType::LogAppendTime;
        if is_append_time {
            batch = batch.with_log_append_time(self.now);
        } else if batch.header().max_timestamp != seen.largest {
            batch = batch.with_max_timestamp(Timestamp(seen.largest));
        }
        if is_rewritten {
            self.size(&batch)?;
        }
        Ok(Validated { batch, log_append_time: is_append_time.then_some(self.now) })
    }

    fn see(self, seen: &mut Seen, record: RecordSummary) {
        seen.has_wrong_offsets |= record.offset_delta != seen.count;
        let index = seen.count;
        seen.count = seen.count.saturating_add(1);
        seen.largest = seen.largest.max(record.timestamp.0);
        if self.settings.compacts && !record.has_key {
            seen.refuse(index, || {
                format!(
                    "Compacted topic cannot accept message without key in topic partition {}.",
                    self.partition
                )
            });
        } else if let Some((earliest, latest)) = self.out_of_range(record.timestamp) {
            seen.has_bad_timestamp = true;
            seen.refuse(index, || {
                format!(
                    "Timestamp {} of message with offset {} is out of range. The timestamp should be within [{earliest}, {latest}]",
                    record.timestamp, record.offset_delta
                )
            });
        } else if seen.claims_append_time {
            seen.has_bad_timestamp = true;
            seen.refuse(index, || {
                format!(
                    "Invalid timestamp type in message with offset {}. Producer should not set timestamp type to LogAppendTime.",
                    record.offset_delta
                )
            });
        }
    }

    /// The allowed range, when the timestamp is outside.
    fn out_of_range(self, timestamp: Timestamp) -> Option<(Timestamp, Timestamp)> {
        if self.settings.timestamp_type == TimestampType::LogAppendTime || timestamp.0 == -1 {
            return None;
        }
        let earliest = Timestamp(self.now.0.saturating_sub(self.settings.timestamp_before_max_ms));
        let latest = self.now.plus_millis(self.settings.timestamp_after_max_ms);
        (timestamp < earliest || timestamp > latest).then_some((earliest, latest))
    }

    fn judge_errors(
        self,
        record_errors: Vec<RecordError>,
        count: usize,
        has_bad_timestamp: bool,
    ) -> Result<(), Refusal> {
        if count == 0 {
            return Ok(());
        }
        if has_bad_timestamp {
            let message = "One or more records have been rejected due to invalid timestamp".into();
            return Err(Refusal { code: ErrorCode::InvalidTimestamp, message, record_errors });
        }
        let shown: Vec<String> = record_errors
            .iter()
            .take(3)
            .map(|error| {
                format!(
                    "RecordError(batchIndex={}, message='{}')",
                    error.batch_index, error.message
                )
            })
            .collect();
        let message = format!(
            "One or more records have been rejected due to {count} record errors in total, and only showing the first three errors at most: [{}]",
            shown.join(", ")
        );
        Err(Refusal { code: ErrorCode::InvalidRecord, message, record_errors })
    }
}

/// What was seen of the records so far.
#[derive(Default)]
struct Seen {
    count: i32,
    largest: i64,
    has_wrong_offsets: bool,
    has_bad_timestamp: bool,
    claims_append_time: bool,
    error_count: usize,
    errors: Vec<RecordError>,
}

impl Seen {
    fn refuse(&mut self, batch_index: i32, message: impl FnOnce() -> String) {
        self.error_count += 1;
        if self.errors.len() < RECORD_ERRORS_MAX {
            self.errors.push(RecordError { batch_index, message: message() });
        }
    }
}

#[cfg(test)]
mod tests;
