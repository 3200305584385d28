//! Records that controllers and group coordinators store, and what a member of a group says of itself.

use bytes::Bytes;
use ottla::coordinator::{Decoded, GroupMachine, GroupSettings, Machine as _, Now, Position};
use ottla::environment::Instant;
use ottla::metadata::{CommittedBatch, MetadataLoader};
use ottla::model::{LeaderEpoch, Offset, Timestamp};
use ottla::protocol::internal_records::consumer_protocol::{
    decode_assignment, decode_subscription, subscribed_topics,
};
use ottla::protocol::internal_records::groups::GroupMetadataValue;
use ottla::protocol::internal_records::keys::GroupRecordKey;
use ottla::protocol::internal_records::metadata::MetadataRecord;
use ottla::protocol::internal_records::offsets::OffsetCommitValue;
use ottla::record::ControlRecord;

use crate::input::Input;

/// Judges one input: which kind of records, and records.
///
/// # Panics
///
/// When what was decoded cannot be encoded, or is decoded to something else then; when replay does not bear it.
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    match input.below(4) {
        0 => metadata(input),
        1 => groups(input),
        2 => {
            let bytes = Bytes::copy_from_slice(input.0);
            let _ = subscribed_topics(&bytes);
            let _ = decode_subscription(&bytes);
            let _ = decode_assignment(&bytes);
        }
        _ => control(input),
    }
}

/// A log of metadata records: each for itself, then all of them into images.
fn metadata(mut input: Input<'_>) {
    let mut loader = MetadataLoader::new();
    let mut all = Vec::new();
    while !input.is_empty() {
        let value = input.sized();
        if let Ok(record) = MetadataRecord::decode(value) {
            let version = version(value);
            let encoded = record.encode(version).expect("what was decoded can be encoded");
            let again = MetadataRecord::decode(&encoded).expect("it was just encoded");
            // Bytes rather than values: a quota may be NaN.
            assert_eq!(again.encode(version), Ok(encoded));
        }
        let record = Bytes::copy_from_slice(value);
        let offset = loader.next_offset();
        let batch = CommittedBatch {
            base_offset: offset,
            last_offset: offset,
            epoch: LeaderEpoch::ZERO,
            append_time: Timestamp(0),
            records: vec![record.clone()],
        };
        // What does not fit is refused and leaves the loader as it was.
        if loader.load_batch(&batch).is_ok() {
            all.push(record);
        }
    }
    reload(&loader, &all);
}

/// The version of a record that was decoded: the third varint, which may be longer than it needs to be.
fn version(value: &[u8]) -> i16 {
    let mut numbers = value.split_inclusive(|byte| byte & 0x80 == 0);
    let bits = numbers.nth(2).unwrap_or_default().first().map_or(0, |byte| byte & 0x7f);
    i16::from(bits)
}

/// The image must survive being said as a snapshot, and the log being loaded in one piece.
fn reload(loader: &MetadataLoader, all: &[Bytes]) {
    if loader.is_in_transaction() {
        return;
    }
    let end = loader.next_offset();
    if let Some(last) = Offset::from_wire(end.value() - 1) {
        let batch = CommittedBatch {
            base_offset: Offset::ZERO,
            last_offset: last,
            epoch: LeaderEpoch::ZERO,
            append_time: Timestamp(0),
            records: all.to_vec(),
        };
        let whole = MetadataLoader::new().load_batch(&batch).expect("each record was accepted");
        // As text: a quota may be NaN.
        let told = |records| format!("{records:?}");
        assert_eq!(told(whole.image.to_records()), told(loader.image().to_records()));
    }
}

/// A log of a group coordinator: keys and values.
fn groups(mut input: Input<'_>) {
    let mut machine = GroupMachine::new(GroupSettings::default());
    let mut offset = Offset::ZERO;
    while !input.is_empty() {
        let has_value = input.below(4) > 0;
        let key = Bytes::copy_from_slice(input.sized());
        let value = has_value.then(|| Bytes::copy_from_slice(input.sized()));
        if let Some(value) = &value {
            let _ = GroupRecordKey::decode(&key);
            if let Ok(decoded) = OffsetCommitValue::decode(value) {
                let encoded = decoded.encode().expect("what was decoded can be encoded");
                assert_eq!(OffsetCommitValue::decode(&encoded).as_ref(), Ok(&decoded));
            }
            if let Ok(decoded) = GroupMetadataValue::decode(value) {
                let encoded = decoded.encode().expect("what was decoded can be encoded");
                assert_eq!(GroupMetadataValue::decode(&encoded).as_ref(), Ok(&decoded));
            }
        }
        if let Decoded::Known(record) = GroupMachine::decode(&key, value.as_ref()) {
            let (key, value) = GroupMachine::encode(&record).expect("it was decoded");
            assert_eq!(GroupMachine::decode(&key, value.as_ref()), Decoded::Known(record.clone()));
            machine.replay(Position { offset, producer: None }, &record);
            offset = offset.plus(1);
        }
    }
    let mut now = Now { instant: Instant(0), wall: Timestamp(1_700_000_000_000) };
    let _ = machine.loaded(now);
    machine.assert_invariants();
    for _ in 0..100 {
        let Some(deadline) = machine.next_deadline() else { break };
        now.instant = now.instant.max(deadline);
        let _ = machine.tick(now);
        machine.assert_invariants();
    }
}

fn control(mut input: Input<'_>) {
    let key = input.bytes(4);
    if let Ok(record) = ControlRecord::decode(key, input.0) {
        let again = ControlRecord::decode(&record.key(), &record.value());
        if !matches!(record, ControlRecord::Unknown(_)) {
            assert_eq!(again, Ok(record));
        }
    }
}

/// A record behind its length.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("seeds are short").to_be_bytes();
    [&length[..], bytes].concat()
}

/// Inputs to begin with: a record of each type and version whose fields are zeros, and small logs.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for kind in 0..32 {
        for version in 0..4 {
            for length in 0..80 {
                let value = [&[1, kind, version][..], &vec![0; length]].concat();
                if MetadataRecord::decode(&value).is_ok() {
                    seeds.push([&[0][..], &sized(&value)].concat());
                }
            }
        }
    }
    // A topic with a partition.
    let topic = [&[1, 2, 0, 2, b't'][..], &[7; 16], &[0]].concat();
    let partition = {
        let ids = [0, 0, 0, 1];
        let replicas = [&[2][..], &ids].concat();
        let sets = [&replicas[..], &replicas, &[1, 1]].concat();
        [&[1, 3, 0, 0, 0, 0, 0][..], &[7; 16], &sets, &ids, &[0; 8], &[0]].concat()
    };
    seeds.push([&[0][..], &sized(&topic), &sized(&partition)].concat());
    let offset_key = b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x00";
    let offset_value = b"\x00\x03\0\0\0\0\0\0\0\x09\0\0\0\x01\x00\x01m\0\0\x01\0\0\0\0\0";
    let group_key = b"\x00\x02\x00\x01g";
    let group_value = [
        &b"\x00\x03\x00\x08consumer\0\0\0\x01\x00\x05range\x00\x01m\0\0\0\0\0\0\0\x01\0\0\0\x01"[..],
        b"\x00\x01m\xff\xff\x00\x01c\x00\x01h\0\0\x10\0\0\0\x10\0\0\0\0\0\0\0\0\0",
    ]
    .concat();
    seeds.push([&[1, 1][..], &sized(offset_key), &sized(offset_value)].concat());
    seeds.push([&[1, 1][..], &sized(group_key), &sized(&group_value)].concat());
    seeds.push(
        [
            &[1, 1][..],
            &sized(group_key),
            &sized(&group_value),
            &[1],
            &sized(offset_key),
            &sized(offset_value),
            &[0],
            &sized(group_key),
        ]
        .concat(),
    );
    seeds.push(b"\x02\x00\x00\0\0\0\x02\x00\x01a\x00\x02bb\xff\xff\xff\xff".to_vec());
    seeds.push(
        b"\x02\x00\x00\0\0\0\x01\x00\x01a\0\0\0\x02\0\0\0\x00\0\0\0\x01\xff\xff\xff\xff".to_vec(),
    );
    for kind in 0..8 {
        seeds.push([&[3, 0, 0, 0, kind][..], &[0; 24]].concat());
    }
    seeds
}
