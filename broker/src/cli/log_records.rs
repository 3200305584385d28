use std::fmt::Write as _;
use std::path::Path;

use crate::protocol::internal_records::groups::GroupMetadataValue;
use crate::protocol::internal_records::keys::GroupRecordKey;
use crate::protocol::internal_records::metadata::MetadataRecord;
use crate::protocol::internal_records::offsets::OffsetCommitValue;
use crate::record::{Batch, ControlRecord, Record, TimestampType};

/// What the records of a log mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoder {
    Bytes,
    Metadata,
    Groups,
}

impl Decoder {
    /// By the name of the directory, and for snapshots by their own.
    pub(super) fn of(path: &Path) -> Self {
        let directory = std::path::absolute(path).ok();
        let directory = directory.as_deref().unwrap_or(path).parent().and_then(Path::file_name);
        let directory = directory.and_then(|name| name.to_str()).unwrap_or_default();
        let is_snapshot = path.extension().is_some_and(|extension| extension == "checkpoint");
        if is_snapshot || directory.starts_with("__cluster_metadata-") {
            Self::Metadata
        } else if directory.starts_with("__consumer_offsets-") {
            Self::Groups
        } else {
            Self::Bytes
        }
    }
}

/// One line about a batch, in the words of Kafka's own tool.
pub(super) fn show_batch(batch: &Batch, position: u64) -> String {
    let header = batch.header();
    let compression = header
        .compression()
        .map_or_else(|error| error.to_string(), |codec| codec.name().to_owned());
    let time = match header.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    let is_valid = batch.verify_crc().is_ok();
    format!(
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} \
         producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} position: {position} \
         {time}: {} size: {} magic: {} compresscodec: {compression} crc: {} isvalid: {is_valid}",
        header.base_offset,
        header.last_offset(),
        header.record_count,
        header.base_sequence,
        header.last_sequence(),
        header.producer_id,
        header.producer_epoch,
        header.leader_epoch,
        header.is_transactional(),
        header.is_control(),
        header.max_timestamp,
        header.size_bytes(),
        header.magic,
        header.crc,
    )
}

/// One line about a record.
pub(super) fn show_record(record: &Record, batch: &Batch, decoder: Decoder) -> String {
    let size = |field: Option<&bytes::Bytes>| {
        field.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
    };
    let mut line = format!(
        "offset: {} timestamp: {} keySize: {} valueSize: {}",
        record.offset,
        record.timestamp,
        size(record.key.as_ref()),
        size(record.value.as_ref())
    );
    if !record.headers.is_empty() {
        let headers = record
            .headers
            .iter()
            .map(|(key, value)| format!("{}:{}", show(Some(key)), show(value.as_deref())));
        let _ = write!(line, " headers: [{}]", headers.collect::<Vec<_>>().join(","));
    }
    let content = if batch.header().is_control() {
        show_control(record)
    } else {
        match decoder {
            Decoder::Bytes => None,
            Decoder::Metadata => show_metadata(record),
            Decoder::Groups => show_group(record),
        }
    };
    let content = content.unwrap_or_else(|| {
        format!("key: {} payload: {}", show(record.key.as_deref()), show(record.value.as_deref()))
    });
    line.push(' ');
    line.push_str(&content);
    line
}

/// Text as it is, other bytes escaped.
fn show(bytes: Option<&[u8]>) -> String {
    match bytes.map(std::str::from_utf8) {
        None => "null".to_owned(),
        Some(Ok(text)) => text.escape_debug().to_string(),
        Some(Err(_)) => bytes.unwrap_or_default().escape_ascii().to_string(),
    }
}

fn show_control(record: &Record) -> Option<String> {
    let (key, value) = (record.key.as_deref()?, record.value.as_deref().unwrap_or_default());
    let control = ControlRecord::decode(key, value).ok()?;
    Some(format!("control: {control:?}"))
}

fn show_metadata(record: &Record) -> Option<String> {
    let record = MetadataRecord::decode(record.value.as_deref()?).ok()?;
    Some(format!("metadata: {record:?}"))
}

fn show_group(record: &Record) -> Option<String> {
    let key = GroupRecordKey::decode(record.key.as_deref()?).ok()?;
    let value = match (&key, record.value.as_deref()) {
        (_, None) => "null".to_owned(),
        (GroupRecordKey::OffsetCommit(_), Some(value)) => {
            format!("{:?}", OffsetCommitValue::decode(value).ok()?)
        }
        (GroupRecordKey::GroupMetadata(_), Some(value)) => {
            format!("{:?}", GroupMetadataValue::decode(value).ok()?)
        }
        (_, Some(value)) => show(Some(value)),
    };
    Some(format!("key: {key:?} value: {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
    use crate::record::{Builder, Compression};

    #[test]
    fn a_batch_and_its_records_read_like_this() {
        let mut builder = Builder::new(Offset::new(10), LeaderEpoch::new(3), Compression::None)
            .producer(ProducerId(7), ProducerEpoch(1), Some(5));
        builder.append(Timestamp(1000), Some(b"k"), Some(b"line\n"), &[(b"h".as_slice(), None)]);
        builder.append(Timestamp(1001), None, Some(&[0xff, b'a']), &[]);
        let batch = builder.finish().unwrap();
        let line = show_batch(&batch, 42);
        let crc = batch.header().crc;
        let expected = format!(
            "baseOffset: 10 lastOffset: 11 count: 2 baseSequence: 5 lastSequence: 6 producerId: 7 producerEpoch: 1 \
             partitionLeaderEpoch: 3 isTransactional: false isControl: false position: 42 CreateTime: 1001 \
             size: {} magic: 2 compresscodec: none crc: {crc} isvalid: true",
            batch.bytes().len()
        );
        assert_eq!(line, expected);
        let records: Vec<Record> = batch.records(1000).unwrap().map(Result::unwrap).collect();
        let shown = |record| show_record(record, &batch, Decoder::Bytes);
        assert_eq!(
            shown(&records[0]),
            "offset: 10 timestamp: 1000 keySize: 1 valueSize: 5 headers: [h:null] key: k payload: line\\n"
        );
        assert_eq!(
            shown(&records[1]),
            "offset: 11 timestamp: 1001 keySize: -1 valueSize: 2 key: null payload: \\xffa"
        );
    }

    #[test]
    fn the_directory_says_what_records_mean() {
        let check =
            |path: &str, decoder| assert_eq!(Decoder::of(Path::new(path)), decoder, "{path}");
        check("/x/__cluster_metadata-0/00000000000000000000.log", Decoder::Metadata);
        check(
            "/x/__cluster_metadata-0/00000000000000000004-0000000001.checkpoint",
            Decoder::Metadata,
        );
        check("/x/__consumer_offsets-12/00000000000000000000.log", Decoder::Groups);
        check("/x/orders-0/00000000000000000000.log", Decoder::Bytes);
    }
}
