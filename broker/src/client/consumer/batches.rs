//! From the bytes of an answer to records: what was asked for, and of transactions what was committed.

use std::collections::BTreeSet;

use kafka_protocol::messages::fetch_response::PartitionData;

use super::{ConsumerSettings, Row};
use crate::client::Error;
use crate::client::admin::IsolationLevel;
use crate::model::Offset;
use crate::record::{Batch, ControlRecordType, Record};

/// The records of an answer from the asked offset on, and where reading goes on.
pub(super) fn read_batches(
    row: &Row,
    data: PartitionData,
    settings: &ConsumerSettings,
) -> Result<(Vec<Record>, Offset), Error> {
    let mut aborted: Vec<(i64, i64)> = match settings.isolation {
        IsolationLevel::ReadUncommitted => Vec::new(),
        IsolationLevel::ReadCommitted => {
            let aborted = data.aborted_transactions.unwrap_or_default();
            aborted.into_iter().map(|txn| (txn.first_offset, txn.producer_id.0)).collect()
        }
    };
    // The latest first, so that those that have begun are taken off the end.
    aborted.sort_unstable_by(|a, b| b.cmp(a));
    let mut aborting = BTreeSet::new();
    let mut bytes = data.records.unwrap_or_default();
    let mut records = Vec::new();
    let mut next = row.offset;
    loop {
        let corrupt = |why: crate::record::Error| Error::Corrupt {
            what: row.partition.to_string(),
            offset: next.value(),
            why: why.to_string(),
        };
        let batch = match Batch::split_first(&mut bytes) {
            Ok(Some(batch)) => batch,
            // Answers end in the middle of a batch when they are full.
            Ok(None) | Err(crate::record::Error::Incomplete { .. }) => return Ok((records, next)),
            Err(error) => return Err(corrupt(error)),
        };
        batch.verify_crc().map_err(corrupt)?;
        let header = *batch.header();
        if header.last_offset() < next {
            continue;
        }
        while let Some((_, producer)) =
            aborted.pop_if(|(first, _)| *first <= header.last_offset().value())
        {
            aborting.insert(producer);
        }
        if header.is_control() {
            if is_abort(&batch) {
                aborting.remove(&header.producer_id);
            }
        } else if !(header.is_transactional() && aborting.contains(&header.producer_id)) {
            for record in batch.records(settings.decompressed_bytes_max).map_err(corrupt)? {
                let record = record.map_err(corrupt)?;
                if record.offset >= next {
                    records.push(record);
                }
            }
        }
        next = header.next_offset();
    }
}

fn is_abort(batch: &Batch) -> bool {
    // Markers are small whatever they claim.
    let record = batch.records(MARKER_BYTES_MAX).ok().and_then(|mut records| records.next()?.ok());
    let key = record.and_then(|record| record.key);
    key.is_some_and(|key| ControlRecordType::decode_key(&key) == Ok(ControlRecordType::Abort))
}

/// More than a transaction marker takes.
const MARKER_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::fetch_response::AbortedTransaction;

    use super::*;
    use crate::model::{LeaderEpoch, ProducerEpoch, ProducerId, Timestamp, TopicPartition};
    use crate::record::{Builder, Compression};

    fn row(offset: i64) -> Row {
        let partition = TopicPartition::new("a", 0);
        Row { partition, offset: Offset::new(offset), epoch: None, topic_id: None }
    }

    fn batch(base: i64, values: &[&str], producer: Option<i64>) -> Bytes {
        let mut builder = Builder::new(Offset::new(base), LeaderEpoch::ZERO, Compression::Zstd);
        if let Some(id) = producer {
            builder = builder.producer(ProducerId(id), ProducerEpoch(0), Some(0)).transactional();
        }
        for value in values {
            builder.append(Timestamp(1), None, Some(value.as_bytes()), &[]);
        }
        builder.build().unwrap()
    }

    fn marker(base: i64, producer: i64, kind: ControlRecordType) -> Bytes {
        let mut builder = Builder::new(Offset::new(base), LeaderEpoch::ZERO, Compression::None)
            .producer(ProducerId(producer), ProducerEpoch(0), None)
            .transactional()
            .control();
        builder.append(Timestamp(1), Some(&kind.encode_key()), Some(&[0; 6]), &[]);
        builder.build().unwrap()
    }

    fn data(batches: &[Bytes]) -> PartitionData {
        let mut bytes = BytesMut::new();
        for batch in batches {
            bytes.extend_from_slice(batch);
        }
        PartitionData::default().with_records(Some(bytes.freeze())).with_aborted_transactions(None)
    }

    fn values(records: &[Record]) -> Vec<String> {
        let value =
            |record: &Record| String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap();
        records.iter().map(value).collect()
    }

    #[test]
    fn reading_begins_inside_a_batch_and_goes_on_behind_it() {
        let data = data(&[batch(10, &["a", "b", "c"], None), batch(13, &["d"], None)]);
        let (records, next) = read_batches(&row(11), data, &ConsumerSettings::default()).unwrap();
        assert_eq!(values(&records), ["b", "c", "d"]);
        assert_eq!(next, Offset::new(14));
    }

    #[test]
    fn a_batch_that_is_cut_off_is_left_for_the_next_answer() {
        let second = batch(1, &["b"], None);
        let data = data(&[batch(0, &["a"], None), second.slice(..second.len() - 1)]);
        let (records, next) = read_batches(&row(0), data, &ConsumerSettings::default()).unwrap();
        assert_eq!(values(&records), ["a"]);
        assert_eq!(next, Offset::new(1));
    }

    #[test]
    fn aborted_records_are_left_out_only_for_those_who_read_committed() {
        let batches = [
            batch(0, &["aborted"], Some(7)),
            batch(1, &["other"], Some(8)),
            marker(2, 7, ControlRecordType::Abort),
            batch(3, &["committed"], Some(7)),
            marker(4, 7, ControlRecordType::Commit),
        ];
        let aborted = AbortedTransaction::default().with_producer_id(7.into()).with_first_offset(0);
        let committed = ConsumerSettings {
            isolation: IsolationLevel::ReadCommitted,
            ..ConsumerSettings::default()
        };
        let answer = data(&batches).with_aborted_transactions(Some(vec![aborted]));
        let (records, next) = read_batches(&row(0), answer.clone(), &committed).unwrap();
        assert_eq!(values(&records), ["other", "committed"]);
        assert_eq!(next, Offset::new(5));
        let (records, _) = read_batches(&row(0), answer, &ConsumerSettings::default()).unwrap();
        assert_eq!(values(&records), ["aborted", "other", "committed"]);
    }

    #[test]
    fn a_damaged_batch_is_an_error_that_says_where() {
        let mut bytes = batch(3, &["a"], None).to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        let error = read_batches(&row(3), data(&[bytes.into()]), &ConsumerSettings::default());
        assert!(error.unwrap_err().to_string().starts_with("a-0 at offset 3: checksum"));
    }
}
