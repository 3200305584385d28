//! Record batches as producers and leaders send them: taken apart, changed, validated, appended, read back.

use std::path::PathBuf;

use bytes::Bytes;
use ottla::log::{AppendError, OpenOptions, Origin, PartitionLog, Settings};
use ottla::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use ottla::record::{
    Batch, Builder, Compression, Error, HeaderSlice, Record, recompress, split_all,
};

use crate::input::{Input, mend_batches};
use crate::world::World;

/// How much is decompressed at most: enough to be a small multiple of any input.
const LIMIT_BYTES: usize = 1 << 20;

/// Judges one input: what to do with it, and batches.
///
/// # Panics
///
/// When two readers of a batch disagree, or a changed batch is not what it was.
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let is_mended = input.below(2) == 1;
    let codec = Compression::ALL[usize::from(input.below(5))];
    let mut bytes = input.0.to_vec();
    if is_mended {
        mend_batches(&mut bytes);
    }
    let bytes = Bytes::from(bytes);
    let mut rest = bytes.clone();
    let mut count = 0;
    while let Ok(Some(batch)) = Batch::split_first(&mut rest) {
        count += 1;
        one(&batch, codec);
    }
    if let Ok(all) = split_all(&mut bytes.clone()) {
        assert_eq!(all.len(), count);
    }
    append(&bytes);
}

fn one(batch: &Batch, codec: Compression) {
    assert_eq!(batch.header().encode()[..], batch.bytes()[..61]);
    let is_whole = batch.verify_crc().is_ok();
    let placed = batch.placed(Offset::new(5), LeaderEpoch::new(3));
    assert_eq!(placed.verify_crc().is_ok(), is_whole, "the checksum does not cover the place");
    for changed in [
        batch.with_log_append_time(Timestamp(9)),
        batch.with_max_timestamp(Timestamp(9)),
        batch.with_producer(ProducerId(1), ProducerEpoch(2), 3),
    ] {
        assert_eq!(changed.verify_crc(), Ok(()));
        assert_eq!(changed.payload(), batch.payload());
    }
    let mut summaries = Vec::new();
    let size = batch.scan(LIMIT_BYTES, |record| summaries.push(record));
    let Ok(records) = read(batch) else {
        // Only measuring does not judge the offsets.
        let base = batch.header().base_offset;
        let is_outside = |delta| base.checked_add(delta).is_none_or(|offset| offset < 0);
        let is_outside = summaries.iter().any(|record| is_outside(i64::from(record.offset_delta)));
        assert!(size.is_err() || is_outside, "both readers refuse");
        return;
    };
    let size = size.expect("both readers accept");
    assert_eq!(summaries.len(), records.len());
    assert_eq!(summaries.iter().map(|record| record.size_bytes).sum::<usize>(), size);
    for (record, summary) in records.iter().zip(&summaries) {
        assert_eq!(record.key.is_some(), summary.has_key);
        assert_eq!(record.timestamp, summary.timestamp);
    }
    let again = recompress(batch, codec, codec.default_level(), LIMIT_BYTES);
    let again = again.expect("what was read can be compressed");
    assert_eq!(again.verify_crc(), Ok(()));
    assert_eq!(read(&again).as_ref(), Ok(&records));
    rewrite(batch, &records);
}

fn read(batch: &Batch) -> Result<Vec<Record>, Error> {
    batch.records(LIMIT_BYTES)?.collect()
}

/// As a cleaner does that keeps every record.
fn rewrite(batch: &Batch, records: &[Record]) {
    let base = batch.header().first_offset();
    let range = base.value()..=batch.header().last_offset().value();
    let is_in_order = records.iter().all(|record| range.contains(&record.offset.value()))
        && records.is_sorted_by(|left, right| left.offset < right.offset);
    if !is_in_order {
        return;
    }
    let mut builder = Builder::rewriting(batch.header()).expect("the codec is known");
    for record in records {
        let headers: Vec<HeaderSlice<'_>> =
            record.headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append_at(record.offset, record.timestamp, key, value, &headers);
    }
    let again = builder.finish().expect("a batch that was read fits a batch");
    assert_eq!(again.header().first_offset(), base);
    assert_eq!(again.header().last_offset(), batch.header().last_offset());
    assert_eq!(read(&again).as_deref(), Ok(records));
}

/// Whatever comes, a log takes it whole or refuses it and stays as it was.
fn append(bytes: &Bytes) {
    let world = World::new();
    world.run(async {
        let settings = Settings {
            max_decompressed_message_bytes: 1 << 20,
            segment_index_bytes: 240,
            ..Settings::default()
        };
        let partition = TopicPartition::new("t", 0);
        let (log, _) = PartitionLog::open(
            world.clone(),
            PathBuf::from("/d/t-0"),
            partition,
            settings,
            OpenOptions::default(),
        )
        .await
        .expect("an empty directory can be opened");
        let now = Timestamp(1_700_000_000_000);
        for origin in [
            Origin::Client { produce_version: 13 },
            Origin::Coordinator,
            Origin::Client { produce_version: 3 },
        ] {
            let before = log.log_end_offset();
            let epoch = LeaderEpoch::new(1);
            match log.append_as_leader(bytes.clone(), origin, epoch, now).await {
                Ok(appended) if !appended.duplicate => {
                    assert_eq!(appended.first, before);
                    assert_eq!(log.log_end_offset(), appended.last.plus(1));
                    let found = log.read_bytes(before, 1).await.expect("it was just appended");
                    let found = Batch::parse(found).expect("one batch was appended");
                    assert_eq!(found.verify_crc(), Ok(()));
                    assert_eq!(found.header().last_offset(), appended.last);
                }
                Ok(_) => assert_eq!(log.log_end_offset(), before),
                Err(AppendError::Refused(_)) => assert_eq!(log.log_end_offset(), before),
                Err(error) => panic!("the disk works and the log is open: {error}"),
            }
        }
        match log.append_as_follower(bytes.clone(), LeaderEpoch::new(i32::MAX)).await {
            Ok(_) | Err(AppendError::Corrupt(_) | AppendError::UnexpectedOffset { .. }) => {}
            Err(error) => panic!("the disk works and the log is open: {error}"),
        }
        let _ = log.offset_for_timestamp(Timestamp(0), log.log_end_offset()).await;
        log.close().await.expect("the disk works");
    });
}

fn batch(codec: Compression, records: i64) -> Vec<u8> {
    let mut builder = Builder::new(Offset::ZERO, None, codec);
    for number in 0..records {
        let headers: [HeaderSlice<'_>; 1] = [(b"h", None)];
        let time = Timestamp(1_700_000_000_000 + number);
        builder.append(time, Some(b"key"), Some(b"value-value-value"), &headers);
    }
    builder.build().expect("a small batch can be built").to_vec()
}

/// Inputs to begin with: batches in every codec, several, one of an idempotent producer, one that is compressed well.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for codec in Compression::ALL {
        for is_mended in [0, 1] {
            seeds.push([&[is_mended, codec.id()][..], &batch(codec, 3)].concat());
        }
        let mut large = Builder::new(Offset::ZERO, None, codec);
        large.append(Timestamp(1), None, Some(&[0; 20_000]), &[]);
        let large = large.build().expect("a small batch can be built");
        if codec != Compression::None {
            seeds.push([&[1, 0][..], &large].concat());
        }
    }
    seeds.push([&[1, 1][..], &batch(Compression::None, 1), &batch(Compression::Gzip, 2)].concat());
    let mut idempotent = Builder::new(Offset::ZERO, None, Compression::None)
        .producer(ProducerId(7), ProducerEpoch(0), Some(0))
        .transactional();
    idempotent.append(Timestamp(1), None, Some(b"v"), &[]);
    let idempotent = idempotent.build().expect("a small batch can be built");
    seeds.push([&[1, 2][..], &idempotent].concat());
    seeds
}
