use super::super::fixture::{CLIENT, batch};
use super::*;
use crate::environment::tokio::TokioRuntime;
use crate::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use crate::record::{Builder, Header};

const NOW: Timestamp = Timestamp(10_000_000);

async fn judge(
    bytes: Bytes,
    origin: Origin,
    settings: &Settings,
) -> Result<Validated, AppendError> {
    let partition = TopicPartition::new("t", 0);
    let judge = Judge { partition: &partition, settings, origin, now: NOW };
    validate(&TokioRuntime::new(), judge, bytes).await
}

async fn refused(bytes: Bytes, settings: &Settings) -> Refusal {
    match judge(bytes, CLIENT, settings).await {
        Err(AppendError::Refused(refusal)) => refusal,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("accepted"),
    }
}

async fn code(bytes: Bytes) -> ErrorCode {
    refused(bytes, &Settings::default()).await.code
}

/// The batch with another header, and the checksum that belongs to it.
fn with_header(bytes: &Bytes, change: impl FnOnce(&mut Header)) -> Bytes {
    let mut header = *Batch::parse(bytes.clone()).unwrap().header();
    change(&mut header);
    let mut changed = bytes.to_vec();
    changed[..61].copy_from_slice(&header.encode());
    let crc = crc32c::crc32c(&changed[21..]);
    changed[17..21].copy_from_slice(&crc.to_be_bytes());
    changed.into()
}

fn keyless(compression: Compression, timestamps: &[i64]) -> Bytes {
    let mut builder = Builder::new(Offset::ZERO, None, compression);
    for timestamp in timestamps {
        builder.append(Timestamp(*timestamp), None, Some(&[b'v'; 300]), &[]);
    }
    builder.build().unwrap()
}

#[tokio::test]
async fn a_good_batch_is_the_same_bytes() {
    for compression in Compression::ALL {
        let bytes = keyless(compression, &[5, 9, 7]);
        let judged = judge(bytes.clone(), CLIENT, &Settings::default()).await.unwrap();
        assert_eq!(judged.batch.bytes().as_ptr(), bytes.as_ptr());
        assert_eq!(judged.batch.bytes(), &bytes);
        assert_eq!(judged.log_append_time, None);
    }
}

#[tokio::test]
async fn what_kafka_refuses_is_refused_with_its_code() {
    let good = batch(&[1, 2]);
    assert_eq!(code(Bytes::new()).await, ErrorCode::InvalidRecord);
    assert_eq!(code(good.slice(..good.len() - 1)).await, ErrorCode::InvalidRecord);
    assert_eq!(code([good.clone(), good.clone()].concat().into()).await, ErrorCode::InvalidRecord);
    let cut_second = [&good[..], &good[..40]].concat().into();
    assert!(judge(cut_second, CLIENT, &Settings::default()).await.is_ok());
    let mut flipped = good.to_vec();
    flipped[70] ^= 1;
    assert_eq!(code(flipped.into()).await, ErrorCode::CorruptMessage);
    let mut old = good.to_vec();
    old[16] = 1;
    assert_eq!(code(old.into()).await, ErrorCode::InvalidRecord);
    assert_eq!(code(keyless(Compression::None, &[1; 4000])).await, ErrorCode::MessageTooLarge);
    let check = |change: fn(&mut Header)| with_header(&good, change);
    assert_eq!(code(check(|header| header.base_offset = 7)).await, ErrorCode::InvalidRecord);
    assert_eq!(code(check(|header| header.attributes |= 0x20)).await, ErrorCode::InvalidRecord);
    assert_eq!(code(check(|header| header.attributes |= 5)).await, ErrorCode::InvalidRecord);
    assert_eq!(code(check(|header| header.last_offset_delta = 5)).await, ErrorCode::InvalidRecord);
    assert_eq!(code(check(|header| header.record_count = 0)).await, ErrorCode::InvalidRecord);
    let three = check(|header| (header.record_count, header.last_offset_delta) = (3, 2));
    assert_eq!(code(three).await, ErrorCode::InvalidRecord);
    assert_eq!(code(check(|header| header.producer_id = 4)).await, ErrorCode::InvalidRecord);
    // Time of the append is not for producers to say.
    assert_eq!(code(check(|header| header.attributes |= 8)).await, ErrorCode::InvalidTimestamp);
}

#[tokio::test]
async fn offsets_inside_a_batch_count_up() {
    let mut builder = Builder::new(Offset::ZERO, None, Compression::Lz4);
    for offset in [0, 2] {
        builder.append_at(Offset::new(offset), Timestamp(1), None, None, &[]);
    }
    let bytes = with_header(&builder.build().unwrap(), |header| header.last_offset_delta = 1);
    assert_eq!(code(bytes).await, ErrorCode::InvalidRecord);
}

#[tokio::test]
async fn zstd_needs_a_produce_request_that_knows_it() {
    let bytes = keyless(Compression::Zstd, &[1]);
    let old = Origin::Client { produce_version: 6 };
    let error = judge(bytes, old, &Settings::default()).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::UnsupportedCompressionType);
}

#[tokio::test]
async fn records_out_of_time_are_named_one_by_one() {
    let late = NOW.0 + 3_600_001;
    let refusal = refused(batch(&[NOW.0, late, late]), &Settings::default()).await;
    assert_eq!(refusal.code, ErrorCode::InvalidTimestamp);
    assert_eq!(refusal.message, "One or more records have been rejected due to invalid timestamp");
    let blamed: Vec<_> = refusal.record_errors.iter().map(|error| error.batch_index).collect();
    assert_eq!(blamed, [1, 2]);
    let strict = Settings { timestamp_before_max_ms: 10, ..Settings::default() };
    assert_eq!(refused(batch(&[NOW.0 - 11]), &strict).await.code, ErrorCode::InvalidTimestamp);
    assert!(judge(batch(&[NOW.0 - 10, -1]), CLIENT, &strict).await.is_ok());
}

#[tokio::test]
async fn compacted_topics_want_keys() {
    let compacted = Settings { compacts: true, deletes: false, ..Settings::default() };
    let refusal = refused(keyless(Compression::Gzip, &[1, 2]), &compacted).await;
    assert_eq!(refusal.code, ErrorCode::InvalidRecord);
    assert_eq!(refusal.record_errors.len(), 2);
    assert!(judge(batch(&[1]), CLIENT, &compacted).await.is_ok());
}

#[tokio::test]
async fn a_small_batch_of_countless_bad_records_is_answered_briefly() {
    let mut builder = Builder::new(Offset::ZERO, None, Compression::Zstd);
    for _ in 0..200_000 {
        builder.append(Timestamp(1), None, None, &[]);
    }
    let bytes = builder.build().unwrap();
    assert!(bytes.len() < 1 << 20);
    let compacted = Settings { compacts: true, ..Settings::default() };
    let refusal = refused(bytes.clone(), &compacted).await;
    assert_eq!(refusal.record_errors.len(), RECORD_ERRORS_MAX);
    assert!(refusal.message.len() < 1000);
    let tight = Settings { max_decompressed_message_bytes: 10_000, ..Settings::default() };
    assert_eq!(refused(bytes, &tight).await.code, ErrorCode::MessageTooLarge);
}

#[tokio::test]
async fn a_topic_with_a_codec_of_its_own_compresses_anew_and_keeps_the_producer() {
    let mut builder = Builder::new(Offset::ZERO, None, Compression::Gzip).producer(
        ProducerId(3),
        ProducerEpoch(1),
        Some(7),
    );
    for number in 0..50 {
        builder.append(Timestamp(number), Some(b"key"), Some(&[b'v'; 300]), &[]);
    }
    let bytes = builder.build().unwrap();
    for (compression_type, codec) in [
        (CompressionType::Uncompressed, Compression::None),
        (CompressionType::Gzip(-1), Compression::Gzip),
        (CompressionType::Snappy, Compression::Snappy),
        (CompressionType::Lz4(9), Compression::Lz4),
        (CompressionType::Zstd(3), Compression::Zstd),
    ] {
        let settings = Settings { compression_type, ..Settings::default() };
        let batch = judge(bytes.clone(), CLIENT, &settings).await.unwrap().batch;
        batch.verify_crc().unwrap();
        assert_eq!(batch.header().compression(), Ok(codec));
        assert_eq!((batch.header().producer_id, batch.header().base_sequence), (3, 7));
        assert_eq!(batch.records(1 << 20).unwrap().count(), 50);
    }
    // What it becomes must fit, too.
    let small = Settings {
        compression_type: CompressionType::Uncompressed,
        max_message_bytes: bytes.len() as u64,
        ..Settings::default()
    };
    assert_eq!(refused(bytes, &small).await.code, ErrorCode::MessageTooLarge);
}

#[tokio::test]
async fn the_largest_timestamp_is_what_the_records_say() {
    let bytes = with_header(&batch(&[5, 9, 7]), |header| header.max_timestamp = 1234);
    let judged = judge(bytes, CLIENT, &Settings::default()).await.unwrap();
    judged.batch.verify_crc().unwrap();
    assert_eq!(judged.batch.header().max_timestamp, 9);
}

#[tokio::test]
async fn coordinators_may_write_control_batches_and_raft_anything() {
    let mut builder =
        Builder::new(Offset::new(5), LeaderEpoch::new(3), Compression::None).control();
    builder.append(Timestamp(1), Some(&[0, 0, 0, 1]), Some(&[0; 6]), &[]);
    let bytes = builder.build().unwrap();
    assert!(judge(bytes.clone(), Origin::Coordinator, &Settings::default()).await.is_ok());
    let tiny = Settings { max_message_bytes: 10, ..Settings::default() };
    let error = judge(bytes.clone(), Origin::Coordinator, &tiny).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::MessageTooLarge);
    assert!(judge(bytes, Origin::Raft, &tiny).await.is_ok());
}
