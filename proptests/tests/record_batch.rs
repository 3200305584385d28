//! Laws of record batches: round trips, agreement with another implementation, and hostile bytes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as foreign;
use ottla::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use ottla::record::{
    Batch, Builder, Compression, ControlRecord, Error, HEADER_BYTES, Record, RecordSummary,
    TimestampType, recompress, split_all,
};
use proptest::prelude::*;

const LIMIT: usize = 1 << 24;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

/// Counts what each thread asks for.
struct Counting;

#[expect(
    unsafe_code,
    reason = "a global allocator is unsafe by nature; this one counts and passes on"
)]
// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|sum| sum.set(sum.get().saturating_add(layout.size())));
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocated_by(work: impl FnOnce()) -> usize {
    let before = ALLOCATED.get();
    work();
    ALLOCATED.get() - before
}

/// A record before it is written.
#[derive(Clone, Debug)]
struct Draft {
    gap: u8,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn field() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 0..90))
}

fn draft() -> impl Strategy<Value = Draft> {
    let timestamp = prop_oneof![8 => 1_600_000_000_000_i64..1_700_000_000_000, 1 => any::<i64>()];
    // Few names, so that keys repeat.
    let headers = prop::collection::vec(("[ab]{0,2}", field()), 0..5);
    let gap = prop_oneof![4 => Just(0_u8), 1 => any::<u8>()];
    (gap, timestamp, field(), field(), headers).prop_map(|(gap, timestamp, key, value, headers)| {
        Draft { gap, timestamp, key, value, headers }
    })
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    prop::collection::vec(draft(), 0..30)
}

fn codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(&Compression::ALL[..])
}

fn write(builder: &mut Builder, base: i64, drafts: &[Draft]) -> Vec<Record> {
    let mut offset = Offset::new(base);
    let mut written = Vec::new();
    for draft in drafts {
        offset = offset.plus(i64::from(draft.gap));
        let timestamp = Timestamp(draft.timestamp);
        let headers: Vec<_> =
            draft.headers.iter().map(|(key, value)| (key.as_bytes(), value.as_deref())).collect();
        builder.append_at(
            offset,
            timestamp,
            draft.key.as_deref(),
            draft.value.as_deref(),
            &headers,
        );
        let bytes = |bytes: &Vec<u8>| Bytes::copy_from_slice(bytes);
        written.push(Record {
            offset,
            timestamp,
            key: draft.key.as_ref().map(bytes),
            value: draft.value.as_ref().map(bytes),
            headers: headers
                .iter()
                .map(|(key, value)| {
                    (Bytes::copy_from_slice(key), value.map(Bytes::copy_from_slice))
                })
                .collect(),
        });
        offset = offset.plus(1);
    }
    written
}

fn batch_of(
    base: i64,
    codec: Compression,
    drafts: &[Draft],
) -> Result<(Batch, Vec<Record>), Error> {
    let mut builder = Builder::new(Offset::new(base), None, codec);
    let records = write(&mut builder, base, drafts);
    let uncompressed_bytes = builder.size_bytes();
    let batch = builder.finish()?;
    assert!(
        codec != Compression::None || batch.bytes().len() == uncompressed_bytes,
        "the size is known before"
    );
    Ok((batch, records))
}

fn records_of(batch: &Batch) -> Result<Vec<Record>, Error> {
    batch.records(LIMIT)?.collect()
}

/// Asks everything that can be asked of any batch.
fn exercise(bytes: &Bytes) {
    let mut rest = bytes.clone();
    let Ok(batches) = split_all(&mut rest) else { return };
    for batch in batches {
        let _ = batch.verify_crc();
        let header = batch.header();
        let _ = (
            header.next_offset(),
            header.last_sequence(),
            header.compression(),
            header.timestamp_type(),
        );
        let _ = batch.patched_prefix(header.last_offset(), LeaderEpoch::ZERO);
        let mut seen = 0_usize;
        let scanned = batch.scan(LIMIT, |_| seen += 1);
        let read = batch.records(LIMIT).and_then(|records| records.collect::<Result<Vec<_>, _>>());
        assert_eq!(
            read.is_ok(),
            scanned.is_ok() && !has_unlikely_offset(&batch),
            "{scanned:?} {read:?}"
        );
        if scanned.is_ok() {
            assert_eq!(Ok(seen), usize::try_from(header.record_count));
        }
        for record in read.unwrap_or_default() {
            let _ = ControlRecord::decode(
                &record.key.unwrap_or_default(),
                &record.value.unwrap_or_default(),
            );
        }
    }
}

/// Reading refuses an offset that does not exist; scanning shows its delta to the validator, who refuses it.
fn has_unlikely_offset(batch: &Batch) -> bool {
    let base = batch.header().base_offset;
    let mut unlikely = false;
    let _ = batch.scan(LIMIT, |record| {
        unlikely |=
            base.checked_add(i64::from(record.offset_delta)).is_none_or(|offset| offset < 0);
    });
    unlikely
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn records_survive_the_round_trip(codec in codec(), base in 0..i64::MAX / 2, drafts in drafts()) {
        let (batch, records) = batch_of(base, codec, &drafts)?;
        prop_assert_eq!(batch.verify_crc(), Ok(()));
        prop_assert_eq!(records_of(&batch)?, records.clone());
        let header = batch.header();
        prop_assert!(header.encode() == batch.bytes()[..HEADER_BYTES]);
        prop_assert_eq!(header.first_offset(), Offset::new(base));
        if let Some(last) = records.last() {
            prop_assert_eq!(header.last_offset(), last.offset);
            prop_assert_eq!(header.max_timestamp, drafts.iter().map(|draft| draft.timestamp).max().unwrap_or(-1));
            prop_assert_eq!(header.base_timestamp, drafts[0].timestamp);
        }
        prop_assert_eq!(Batch::parse(batch.bytes().clone())?, batch);
    }

    #[test]
    fn scanning_sees_what_reading_sees(codec in codec(), drafts in drafts()) {
        let (batch, records) = batch_of(5, codec, &drafts)?;
        let (plain, _) = batch_of(5, Compression::None, &drafts)?;
        let mut seen: Vec<RecordSummary> = Vec::new();
        let size = batch.scan(LIMIT, |record| seen.push(record))?;
        prop_assert_eq!(size, plain.bytes().len() - HEADER_BYTES);
        prop_assert_eq!(size, seen.iter().map(|record| record.size_bytes).sum::<usize>());
        let short = |record: &Record| (record.offset.value() - 5, record.timestamp, record.key.is_some());
        let seen: Vec<_> =
            seen.iter().map(|record| (i64::from(record.offset_delta), record.timestamp, record.has_key)).collect();
        prop_assert_eq!(seen, records.iter().map(short).collect::<Vec<_>>());
        if codec != Compression::None && size > 0 {
            prop_assert_eq!(batch.scan(size - 1, |_| ()), Err(Error::TooLarge { limit: size - 1 }));
            prop_assert_eq!(batch.records(size - 1).err(), Some(Error::TooLarge { limit: size - 1 }));
        }
    }

    #[test]
    fn recompression_changes_nothing_but_the_codec(from in codec(), to in codec(), drafts in drafts()) {
        let mut builder = Builder::new(Offset::new(9), LeaderEpoch::new(4), from)
            .producer(ProducerId(70), ProducerEpoch(2), Some(11))
            .transactional();
        let records = write(&mut builder, 9, &drafts);
        let batch = builder.finish()?;
        let again = recompress(&batch, to, to.default_level(), LIMIT)?;
        prop_assert_eq!(again.verify_crc(), Ok(()));
        prop_assert_eq!(again.header().compression()?, to);
        prop_assert_eq!(records_of(&again)?, records);
        let back = recompress(&again, Compression::None, 0, LIMIT)?;
        let plain = recompress(&batch, Compression::None, 0, LIMIT)?;
        prop_assert_eq!(back, plain);
    }

    #[test]
    fn placing_a_batch_changes_only_offset_and_epoch(codec in codec(), drafts in drafts(), base in 0..i64::MAX / 2, epoch in 0..i32::MAX) {
        let (batch, records) = batch_of(0, codec, &drafts)?;
        let (base, epoch) = (Offset::new(base), LeaderEpoch::new(epoch));
        let mut bytes = BytesMut::from(batch.patched_prefix(base, epoch).as_slice());
        bytes.extend_from_slice(&batch.bytes()[16..]);
        let placed = Batch::parse(bytes.freeze())?;
        prop_assert_eq!(placed.verify_crc(), Ok(()));
        prop_assert_eq!(placed.header().leader_epoch, epoch.value());
        prop_assert_eq!(&placed, &batch.placed(base, epoch));
        let moved: Vec<_> = records
            .into_iter()
            .map(|record| Record { offset: base.plus(record.offset.value()), ..record })
            .collect();
        prop_assert_eq!(records_of(&placed)?, moved);
    }

    #[test]
    fn append_time_is_the_time_of_every_record(codec in codec(), drafts in drafts(), time in any::<i64>()) {
        let (batch, records) = batch_of(0, codec, &drafts)?;
        let stamped = batch.with_log_append_time(Timestamp(time));
        prop_assert_eq!(stamped.verify_crc(), Ok(()));
        prop_assert_eq!(stamped.header().timestamp_type(), TimestampType::LogAppendTime);
        prop_assert_eq!(stamped.header().max_timestamp, time);
        let restamped: Vec<_> =
            records.into_iter().map(|record| Record { timestamp: Timestamp(time), ..record }).collect();
        prop_assert_eq!(records_of(&stamped)?, restamped);
    }

    #[test]
    fn every_flipped_bit_under_the_checksum_is_found(codec in codec(), draft in draft()) {
        let (batch, _) = batch_of(0, codec, &[draft])?;
        for at in 21..batch.bytes().len() {
            for bit in 0..8 {
                let mut bytes = BytesMut::from(batch.bytes().as_ref());
                bytes[at] ^= 1 << bit;
                let is_found = match Batch::parse(bytes.freeze()) {
                    Ok(flipped) => flipped.verify_crc().is_err(),
                    Err(_) => true,
                };
                prop_assert!(is_found, "byte {} bit {}", at, bit);
            }
        }
    }

    #[test]
    fn a_cut_batch_is_incomplete(codec in codec(), drafts in drafts()) {
        let (batch, _) = batch_of(0, codec, &drafts)?;
        for cut in 1..batch.bytes().len() {
            let mut bytes = batch.bytes().slice(..cut);
            let error = Batch::split_first(&mut bytes);
            let is_incomplete = matches!(error, Err(Error::Incomplete { needed, available }) if needed > cut && available == cut);
            prop_assert!(is_incomplete, "{:?} at {}", error, cut);
            prop_assert_eq!(bytes.len(), cut);
        }
    }

    #[test]
    fn whole_batches_come_off_the_front_and_a_cut_one_stays(codec in codec(), sets in prop::collection::vec(drafts(), 1..5), cut in 1_usize..61) {
        let mut bytes = BytesMut::new();
        for drafts in &sets {
            bytes.extend_from_slice(batch_of(0, codec, drafts)?.0.bytes());
        }
        let mut bytes = bytes.freeze();
        bytes.truncate(bytes.len() - cut);
        let batches = split_all(&mut bytes)?;
        prop_assert_eq!(batches.len(), sets.len() - 1);
        prop_assert!(!bytes.is_empty());
    }

    #[test]
    fn a_changed_batch_never_panics(codec in codec(), drafts in drafts(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let (batch, _) = batch_of(3, codec, &drafts)?;
        let mut bytes = BytesMut::from(batch.bytes().as_ref());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        exercise(&bytes.freeze());
    }

    #[test]
    fn any_records_behind_a_good_header_never_panic(codec in 0_u8..8, count in prop_oneof![0..4_i32, Just(i32::MAX)], payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let (batch, _) = batch_of(0, Compression::None, &[])?;
        let mut bytes = BytesMut::from(batch.bytes().as_ref());
        bytes.extend_from_slice(&payload);
        bytes[8..12].copy_from_slice(&i32::try_from(payload.len() + 49)?.to_be_bytes());
        bytes[22] = codec;
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let bytes = bytes.freeze();
        let allocated = allocated_by(|| exercise(&bytes));
        // Buffers of the codecs are some hundred KiB, and an LZ4 frame may ask for one block of 4 MiB.
        prop_assert!(allocated < 16 << 20, "{} bytes", allocated);
    }

    #[test]
    fn any_bytes_never_panic_and_take_no_memory(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        let allocated = allocated_by(|| exercise(&bytes));
        prop_assert!(allocated < 100 << 10, "{} bytes", allocated);
    }

    #[test]
    fn claimed_counts_take_no_memory(codec in codec(), draft in draft(), count in 2_i32..) {
        let (batch, _) = batch_of(0, codec, &[draft])?;
        let mut bytes = BytesMut::from(batch.bytes().as_ref());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let batch = Batch::parse(bytes.freeze())?;
        let allocated = allocated_by(|| {
            assert_eq!(batch.scan(LIMIT, |_| ()), Err(Error::WrongRecordCount));
            assert_eq!(records_of(&batch), Err(Error::WrongRecordCount));
        });
        prop_assert!(allocated < 1 << 20, "{} bytes", allocated);
    }

    #[test]
    fn another_implementation_reads_our_batches(drafts in drafts(), base in 0..i64::MAX / 2) {
        let drafts: Vec<_> = drafts.into_iter().map(without_repeated_headers).collect();
        prop_assume!(!drafts.is_empty());
        let (batch, records) = batch_of(base, Compression::None, &drafts)?;
        let set = foreign::RecordBatchDecoder::decode(&mut batch.bytes().clone()).map_err(to_fail)?;
        prop_assert_eq!(set.records.iter().map(from_foreign).collect::<Vec<_>>(), records);
    }

    #[test]
    fn we_read_the_batches_of_another_implementation(drafts in drafts()) {
        let drafts: Vec<_> = drafts.into_iter().map(without_repeated_headers).collect();
        prop_assume!(!drafts.is_empty());
        let theirs: Vec<_> = (0..).zip(&drafts).map(|(offset, draft)| to_foreign(offset, draft)).collect();
        let mut bytes = BytesMut::new();
        let options = foreign::RecordEncodeOptions { version: 2, compression: foreign::Compression::None };
        foreign::RecordBatchEncoder::encode(&mut bytes, &theirs, &options).map_err(to_fail)?;
        let batch = Batch::parse(bytes.freeze())?;
        prop_assert_eq!(batch.verify_crc(), Ok(()));
        prop_assert_eq!(records_of(&batch)?, theirs.iter().map(from_foreign).collect::<Vec<_>>());
    }
}

fn to_fail(error: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

/// The other implementation keeps one header of each name, and overflows on far times.
fn without_repeated_headers(mut draft: Draft) -> Draft {
    let mut names = Vec::new();
    draft.headers.retain(|(name, _)| {
        let is_new = !names.contains(name);
        names.push(name.clone());
        is_new
    });
    draft.timestamp = draft.timestamp.rem_euclid(1 << 45);
    draft
}

fn to_foreign(offset: i64, draft: &Draft) -> foreign::Record {
    let bytes = |bytes: &Vec<u8>| Bytes::copy_from_slice(bytes);
    foreign::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 3,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: foreign::TimestampType::Creation,
        offset,
        sequence: i32::try_from(offset).unwrap_or(0),
        timestamp: draft.timestamp,
        key: draft.key.as_ref().map(bytes),
        value: draft.value.as_ref().map(bytes),
        headers: draft
            .headers
            .iter()
            .map(|(name, value)| (StrBytes::from_string(name.clone()), value.as_ref().map(bytes)))
            .collect(),
    }
}

fn from_foreign(record: &foreign::Record) -> Record {
    Record {
        offset: Offset::new(record.offset),
        timestamp: Timestamp(record.timestamp),
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record
            .headers
            .iter()
            .map(|(name, value)| (Bytes::copy_from_slice(name.as_bytes()), value.clone()))
            .collect(),
    }
}
