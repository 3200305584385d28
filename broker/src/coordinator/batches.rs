//! Records of a machine in and out of record batches.

use bytes::Bytes;

use super::machine::{Decoded, Machine, Position};
use crate::model::{ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp};
use crate::record::{
    Batch, Builder, Compression, ControlRecord, EndTransactionMarker, record_size_bytes, split_all,
};

/// No batch of a coordinator is believed to hold more than this when decompressed: Kafka's limit for one message set.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// An upper bound of what `key` and `value` take in a batch.
pub(super) fn size_of(key: &Bytes, value: Option<&Bytes>) -> usize {
    record_size_bytes(i64::MAX, i32::MAX, Some(key), value.map(AsRef::as_ref), &[])
}

/// One batch of records; the leader fills in offsets and epoch.
pub(super) fn build(
    entries: &[(Bytes, Option<Bytes>)],
    producer: Option<(ProducerId, ProducerEpoch)>,
    compression: Compression,
    now: Timestamp,
) -> Result<Bytes, ErrorCode> {
    let mut builder = Builder::new(Offset::ZERO, None, compression);
    if let Some((id, epoch)) = producer {
        builder = builder.producer(id, epoch, None).transactional();
    }
    for (key, value) in entries {
        builder.append(now, Some(key), value.as_deref(), &[]);
    }
    builder.build().map_err(|_| ErrorCode::RecordListTooLarge)
}

/// The marker that ends a producer's transaction.
pub(super) fn build_marker(
    (id, epoch): (ProducerId, ProducerEpoch),
    marker: EndTransactionMarker,
    now: Timestamp,
) -> Result<Bytes, ErrorCode> {
    let record = ControlRecord::EndTransaction(marker);
    let mut builder = Builder::new(Offset::ZERO, None, Compression::None)
        .producer(id, epoch, None)
        .transactional()
        .control();
    builder.append(now, Some(&record.key()), Some(&record.value()), &[]);
    builder.build().map_err(|_| ErrorCode::UnknownServerError)
}

/// Replays whole batches into `machine`; the offset after the last of them, if there was one.
///
/// A record that cannot be read is skipped and reported: a coordinator that stopped there would take all groups of
/// its partition with it.
pub(super) fn replay<M: Machine>(
    machine: &mut M,
    partition: PartitionIndex,
    mut bytes: Bytes,
) -> Result<Option<Offset>, crate::record::Error> {
    let mut next = None;
    for batch in split_all(&mut bytes)? {
        next = Some(batch.header().next_offset());
        if let Err(error) = replay_batch(machine, partition, &batch) {
            let base_offset = batch.header().base_offset;
            tracing::warn!(partition = partition.0, base_offset, %error, "batch cannot be read, the rest of it is skipped");
        }
    }
    Ok(next)
}

fn replay_batch<M: Machine>(
    machine: &mut M,
    partition: PartitionIndex,
    batch: &Batch,
) -> Result<(), crate::record::Error> {
    let header = batch.header();
    let producer = ProducerId(header.producer_id);
    for record in batch.records(DECOMPRESSED_BYTES_MAX)? {
        let record = record?;
        let Some(key) = record.key else {
            tracing::warn!(partition = partition.0, offset = %record.offset, "record without key, skipped");
            continue;
        };
        if header.is_control() {
            let control = ControlRecord::decode(&key, &record.value.unwrap_or_default())?;
            if let ControlRecord::EndTransaction(marker) = control {
                machine.end_transaction(producer, marker.is_commit);
            }
            continue;
        }
        let producer = header.is_transactional().then_some(producer);
        match M::decode(&key, record.value.as_ref()) {
            Decoded::Known(known) => {
                machine.replay(Position { offset: record.offset, producer }, &known);
            }
            Decoded::Unknown(kind) => {
                tracing::warn!(partition = partition.0, offset = %record.offset, kind, "unknown kind of record, skipped");
            }
            Decoded::Corrupt(reason) => {
                tracing::warn!(partition = partition.0, offset = %record.offset, reason, "record cannot be read, skipped");
            }
        }
    }
    Ok(())
}
