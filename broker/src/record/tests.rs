use bytes::Bytes;

use super::*;
use crate::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

const LIMIT: usize = 1 << 20;

/// One batch of three records as Kafka's Java library writes it, by codec.
const WRITTEN_BY_JAVA: [(Compression, &str); 5] = [
    (
        Compression::None,
        concat!(
            "000000000000000a0000007600000004028c11ceba00100000000200000000000003e800000000000003ed00000000000000",
            "4d0003000000050000000366000000066b65794676616c75652076616c75652076616c75652076616c75652076616c756520",
            "76616c756504026802310268010e0013020102780010000a04046b320100",
        ),
    ),
    (
        Compression::Gzip,
        concat!(
            "000000000000000a0000006f0000000402e432f0a600110000000200000000000003e800000000000003ed00000000000000",
            "4d000300000005000000031f8b08000000000000ff4b63606060cb4ead742b4bcc294d55c04bb230653019326530f2310833",
            "31325530083070b1b0641b31320000c9b8126b45000000",
        ),
    ),
    (
        Compression::Snappy,
        concat!(
            "000000000000000a00000073000000040201be4d8800120000000200000000000003e800000000000003ed00000000000000",
            "4d0003000000050000000382534e415050590000000001000000010000002e453866000000066b65794676616c7565207206",
            "006004026802310268010e0013020102780010000a04046b320100",
        ),
    ),
    (
        Compression::Lz4,
        concat!(
            "000000000000000a0000006f0000000402d471016a00130000000200000000000003e800000000000003ed00000000000000",
            "4d0003000000050000000304224d186040822f000000ff0066000000066b65794676616c75652006000af00a040268023102",
            "68010e0013020102780010000a04046b32010000000000",
        ),
    ),
    (
        Compression::Zstd,
        concat!(
            "000000000000000a0000006c000000040256ed819400140000000200000000000003e800000000000003ed00000000000000",
            "4d0003000000050000000328b52ffd00587c0100840266000000066b65794676616c75652004026802310268010e00130201",
            "02780010000a04046b3201000100b94b1d010000",
        ),
    ),
];

fn bytes_of(hex: &str) -> Bytes {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn three_records() -> Vec<Record> {
    let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let record = |offset, timestamp, key, value| Record {
        offset: Offset::new(offset),
        timestamp: Timestamp(timestamp),
        key,
        value,
        headers: vec![],
    };
    let name = Bytes::from_static(b"h");
    let headers = vec![(name.clone(), text("1")), (name, None)];
    vec![
        Record {
            headers,
            ..record(10, 1000, text("key"), text("value value value value value value"))
        },
        record(11, 990, None, text("x")),
        record(12, 1005, text("k2"), None),
    ]
}

fn batch_like_javas(codec: Compression) -> Batch {
    let mut builder = Builder::new(Offset::new(10), LeaderEpoch::new(4), codec)
        .producer(ProducerId(77), ProducerEpoch(3), Some(5))
        .transactional();
    for record in three_records() {
        let headers: Vec<_> =
            record.headers.iter().map(|(key, value)| (key.as_ref(), value.as_deref())).collect();
        builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    builder.finish().unwrap()
}

fn records_of(batch: &Batch) -> Result<Vec<Record>, Error> {
    batch.records(LIMIT)?.collect()
}

#[test]
fn batches_of_javas_library_are_read_in_every_codec() {
    for (codec, hex) in WRITTEN_BY_JAVA {
        let batch = Batch::parse(bytes_of(hex)).unwrap();
        assert_eq!(batch.verify_crc(), Ok(()));
        assert_eq!(records_of(&batch), Ok(three_records()), "{codec}");
        let header = batch.header();
        assert_eq!(header.compression(), Ok(codec));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (77, 3, 5));
        assert_eq!((header.leader_epoch, header.record_count, header.max_timestamp), (4, 3, 1005));
        assert_eq!(header.next_offset(), Offset::new(13));
        assert_eq!(header.last_sequence(), 7);
        assert!(header.is_transactional() && header.has_producer());
        assert!(!header.is_control() && !header.has_delete_horizon());
        assert_eq!(batch.scan(LIMIT, |_| ()), Ok(69));
    }
}

#[test]
fn a_batch_of_ours_has_the_bytes_of_javas() {
    // The other codecs may choose other matches for the same data.
    let (_, hex) = WRITTEN_BY_JAVA[0];
    assert_eq!(batch_like_javas(Compression::None).bytes(), &bytes_of(hex));
}

#[test]
fn sequences_go_on_from_the_largest_with_zero() {
    let check = |base_sequence, last_offset_delta, expected| {
        let header = Header {
            base_sequence,
            last_offset_delta,
            ..*batch_like_javas(Compression::None).header()
        };
        assert_eq!(header.last_sequence(), expected);
    };
    check(0, 0, 0);
    check(5, 2, 7);
    check(i32::MAX, 0, i32::MAX);
    check(i32::MAX, 1, 0);
    check(i32::MAX - 1, 4, 2);
    check(-1, 4, -1);
}

#[test]
fn impossible_headers_are_refused() {
    let good = *batch_like_javas(Compression::None).header();
    let check = |header: Header, expected| assert_eq!(Header::decode(&header.encode()), expected);
    check(good, Ok(good));
    check(Header { magic: 1, ..good }, Err(Error::UnsupportedMagic(1)));
    check(Header { batch_length: 48, ..good }, Err(Error::InvalidLength(48)));
    check(Header { batch_length: -1, ..good }, Err(Error::InvalidLength(-1)));
    check(Header { base_offset: -1, ..good }, Err(Error::InvalidHeader));
    check(Header { base_offset: i64::MAX - 2, ..good }, Err(Error::InvalidHeader));
    check(Header { last_offset_delta: -1, ..good }, Err(Error::InvalidHeader));
    check(Header { record_count: -1, ..good }, Err(Error::InvalidHeader));
    let short = Header::decode(&good.encode()[..60]);
    assert_eq!(short, Err(Error::Incomplete { needed: 61, available: 60 }));
}

#[test]
fn an_older_format_is_named_before_its_length_is_judged() {
    let mut message = vec![0; 40];
    message[11] = 28;
    message[16] = 1;
    assert_eq!(Batch::parse(Bytes::from(message)), Err(Error::UnsupportedMagic(1)));
}

#[test]
fn what_compaction_leaves_keeps_offsets_producer_and_times() {
    for codec in Compression::ALL {
        let original = batch_like_javas(codec);
        let mut builder =
            Builder::rewriting(original.header()).unwrap().delete_horizon(Timestamp(5000));
        let kept = three_records().remove(1);
        builder.append_at(kept.offset, kept.timestamp, None, kept.value.as_deref(), &[]);
        let cleaned = builder.finish().unwrap();
        assert_eq!(records_of(&cleaned), Ok(vec![kept]));
        let (before, after) = (original.header(), cleaned.header());
        assert_eq!(
            (after.first_offset(), after.last_offset()),
            (before.first_offset(), before.last_offset())
        );
        assert_eq!(
            (after.producer_id, after.base_sequence),
            (before.producer_id, before.base_sequence)
        );
        assert_eq!(after.last_sequence(), before.last_sequence());
        assert!(after.has_delete_horizon() && after.is_transactional());
        assert_eq!((after.base_timestamp, after.max_timestamp), (5000, 990));
        assert_eq!(cleaned.verify_crc(), Ok(()));
    }
}

#[test]
fn a_batch_may_be_empty_and_still_account_for_its_offsets() {
    for codec in Compression::ALL {
        let original = batch_like_javas(codec);
        let emptied = Builder::rewriting(original.header()).unwrap().finish().unwrap();
        assert_eq!(emptied.bytes().len(), HEADER_BYTES);
        assert_eq!(emptied.header().last_offset(), Offset::new(12));
        assert_eq!(emptied.header().max_timestamp, 1005);
        assert_eq!(emptied.header().last_sequence(), 7);
        assert_eq!(records_of(&emptied), Ok(vec![]));
        assert_eq!(emptied.scan(LIMIT, |_| ()), Ok(0));
        assert_eq!(emptied.verify_crc(), Ok(()));
    }
}

#[test]
fn a_marker_is_a_control_batch_of_its_producer() {
    let marker = ControlRecord::EndTransaction(EndTransactionMarker {
        is_commit: false,
        coordinator_epoch: 2,
    });
    let mut builder = Builder::new(Offset::ZERO, None, Compression::None)
        .producer(ProducerId(1), ProducerEpoch(0), None)
        .transactional()
        .control();
    builder.append(Timestamp(7), Some(&marker.key()), Some(&marker.value()), &[]);
    let batch = builder.finish().unwrap();
    assert_eq!((batch.header().attributes, batch.header().base_sequence), (0x0030, -1));
    let record = records_of(&batch).unwrap().remove(0);
    assert_eq!(ControlRecord::decode(&record.key.unwrap(), &record.value.unwrap()), Ok(marker));
}

#[test]
fn more_bytes_or_records_than_declared_are_refused() {
    let batch = batch_like_javas(Compression::Lz4);
    for record_count in [0, 2, 4] {
        let header = Header { record_count, ..*batch.header() };
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(&batch.payload());
        let wrong = Batch::parse(Bytes::from(bytes)).unwrap();
        assert_eq!(wrong.scan(LIMIT, |_| ()), Err(Error::WrongRecordCount));
        assert_eq!(records_of(&wrong), Err(Error::WrongRecordCount));
    }
    let mut two = batch.bytes().to_vec();
    two.push(0);
    assert_eq!(Batch::parse(Bytes::from(two)), Err(Error::TrailingBytes(1)));
}

#[test]
fn the_size_of_a_record_is_known_before_it_is_written() {
    let mut builder = Builder::new(Offset::ZERO, None, Compression::None);
    let headers: [HeaderSlice<'_>; 2] = [(b"name", Some(b"value")), (b"name", None)];
    builder.append(Timestamp(10), None, Some(b"first"), &[]);
    let before = builder.size_bytes();
    builder.append(Timestamp(2010), Some(b"key"), Some(&[7; 500]), &headers);
    let size = record_size_bytes(2000, 1, Some(b"key"), Some(&[7; 500]), &headers);
    assert_eq!(builder.size_bytes(), before + size);
}
