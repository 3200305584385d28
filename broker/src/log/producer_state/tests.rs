use super::*;

/// The sequence `count` after `sequence`; after the largest comes 0.
const fn sequence_plus(sequence: i32, count: i32) -> i32 {
    if sequence > i32::MAX - count { count - (i32::MAX - sequence) - 1 } else { sequence + count }
}

const CLIENT: Origin = Origin::Client { produce_version: 13 };

fn batch(epoch: i16, base_sequence: i32, count: i32, first_offset: i64) -> ProducerBatch {
    ProducerBatch {
        producer: ProducerId(7),
        epoch: ProducerEpoch(epoch),
        base_sequence,
        last_sequence: sequence_plus(base_sequence, count - 1),
        first_offset: Offset::new(first_offset),
        last_offset: Offset::new(first_offset + i64::from(count) - 1),
        max_timestamp: Timestamp(1000 + first_offset),
        is_transactional: false,
        marker: None,
    }
}

fn marker(epoch: i16, offset: i64, is_abort: bool) -> ProducerBatch {
    ProducerBatch {
        base_sequence: -1,
        last_sequence: -1,
        is_transactional: true,
        marker: Some(EndMarker { is_abort, coordinator_epoch: 3 }),
        ..batch(epoch, 0, 1, offset)
    }
}

fn transactional(epoch: i16, base_sequence: i32, count: i32, first_offset: i64) -> ProducerBatch {
    ProducerBatch { is_transactional: true, ..batch(epoch, base_sequence, count, first_offset) }
}

fn code(state: &ProducerState, batch: &ProducerBatch) -> Option<ErrorCode> {
    state.check(batch, CLIENT).err().map(|refusal| refusal.code)
}

#[test]
fn an_unknown_producer_may_begin_anywhere() {
    let state = ProducerState::default();
    assert_eq!(state.check(&batch(0, 5, 2, 0), CLIENT), Ok(None));
}

#[test]
fn sequences_must_follow_each_other_and_wrap_to_zero() {
    let mut state = ProducerState::default();
    state.append(&batch(0, i32::MAX - 1, 3, 0));
    assert_eq!(code(&state, &batch(0, 2, 1, 3)), Some(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(code(&state, &batch(0, 1, 1, 3)), None);
    state.append(&batch(0, 1, 1, 3));
    let found = state.check(&batch(0, i32::MAX - 1, 3, 9), CLIENT).unwrap().unwrap();
    assert_eq!((found.first_offset, found.last_offset), (Offset::ZERO, Offset::new(2)));
}

#[test]
fn the_last_five_batches_are_recognised() {
    let mut state = ProducerState::default();
    for number in 0..6 {
        state.append(&batch(0, number * 2, 2, i64::from(number) * 10));
    }
    assert_eq!(code(&state, &batch(0, 0, 2, 99)), Some(ErrorCode::OutOfOrderSequenceNumber));
    let found = state.check(&batch(0, 2, 2, 99), CLIENT).unwrap().unwrap();
    assert_eq!(
        found,
        Duplicate {
            first_offset: Offset::new(10),
            last_offset: Offset::new(11),
            timestamp: Timestamp(1010)
        }
    );
    // Half of a known batch is not that batch.
    assert_eq!(code(&state, &batch(0, 2, 1, 99)), Some(ErrorCode::OutOfOrderSequenceNumber));
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
    let mut state = ProducerState::default();
    state.append(&batch(1, 0, 4, 0));
    assert_eq!(code(&state, &batch(2, 3, 1, 4)), Some(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(code(&state, &batch(2, 0, 1, 4)), None);
    state.append(&batch(2, 0, 1, 4));
    assert_eq!(code(&state, &batch(1, 4, 1, 5)), Some(ErrorCode::InvalidProducerEpoch));
    // Followers take what their leader has.
    assert_eq!(state.check(&batch(2, 9, 1, 5), Origin::Raft), Ok(None));
}

#[test]
fn silent_producers_are_forgotten_unless_a_transaction_is_open() {
    let settings = Settings { producer_id_expiration_ms: 100, ..Settings::default() };
    let mut state = ProducerState::default();
    state.append(&batch(0, 0, 1, 0));
    state.expire(Timestamp(1099), &settings);
    assert_eq!(state.producers().len(), 1);
    state.expire(Timestamp(1100), &settings);
    assert_eq!(state.producers().len(), 0);
    state.append(&transactional(0, 0, 1, 0));
    state.expire(Timestamp(9999), &settings);
    assert_eq!(state.producers().len(), 1);
}

#[test]
fn a_transaction_holds_the_stable_offset_until_its_marker_is_replicated() {
    let mut state = ProducerState::default();
    assert!(state.append(&transactional(0, 0, 2, 6)).is_none());
    state.append(&transactional(0, 2, 3, 8));
    assert_eq!(state.first_unstable_offset(), Some(Offset::new(6)));
    assert_eq!(code(&state, &batch(0, 5, 1, 11)), Some(ErrorCode::InvalidTxnState));
    let ended = state.append(&marker(1, 11, true)).unwrap();
    assert_eq!(
        ended,
        EndedTransaction {
            producer: ProducerId(7),
            first_offset: Offset::new(6),
            last_offset: Offset::new(11),
            last_stable_offset: Offset::new(12),
            is_abort: true
        }
    );
    assert_eq!(state.first_unstable_offset(), Some(Offset::new(6)));
    state.high_watermark_moved(Offset::new(11));
    assert!(!state.is_stable());
    state.high_watermark_moved(Offset::new(12));
    assert_eq!(state.first_unstable_offset(), None);
    // The marker's epoch is the producer's now, with no sequence.
    assert_eq!(code(&state, &batch(0, 5, 1, 12)), Some(ErrorCode::InvalidProducerEpoch));
    assert_eq!(code(&state, &batch(1, 0, 1, 12)), None);
}

#[test]
fn a_snapshot_keeps_the_last_batch_and_the_open_transaction() {
    let mut state = ProducerState::default();
    state.append(&transactional(3, 0, 2, 6));
    state.append(&transactional(3, 2, 2, 8));
    let bytes = state.encode_snapshot();
    assert_eq!(bytes.len(), 10 + 46);
    let read = ProducerState::decode_snapshot(&bytes).unwrap();
    assert_eq!(read.first_unstable_offset(), Some(Offset::new(6)));
    assert!(read.check(&transactional(3, 2, 2, 20), CLIENT).unwrap().is_some());
    assert_eq!(code(&read, &transactional(3, 0, 2, 20)), Some(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(read.encode_snapshot(), bytes);
}

#[test]
fn a_snapshot_with_any_byte_changed_or_missing_is_refused() {
    let mut state = ProducerState::default();
    state.append(&batch(3, 0, 2, 6));
    let bytes = state.encode_snapshot();
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 0x10;
        assert_eq!(ProducerState::decode_snapshot(&broken), None, "byte {at}");
        assert_eq!(ProducerState::decode_snapshot(&bytes[..at]), None, "cut at {at}");
    }
}

#[test]
fn batches_before_a_snapshot_are_recalled_up_to_where_they_do_not_join() {
    let batches: Vec<ProducerBatch> =
        (0..8).map(|number| batch(1, number * 2, 2, i64::from(number) * 2)).collect();
    let mut state = ProducerState::default();
    for batch in &batches {
        state.append(batch);
    }
    let snapshot = ProducerState::decode_snapshot(&state.encode_snapshot()).unwrap();
    assert_eq!(code(&snapshot, &batches[4]), Some(ErrorCode::OutOfOrderSequenceNumber));

    let mut recalled = snapshot.clone();
    recalled.recall(&batches);
    assert_eq!(recalled, state);

    // Of another epoch, or with one missing in between, nothing is known.
    let mut recalled = snapshot.clone();
    recalled.recall(&[batch(0, 12, 2, 12)]);
    assert_eq!(recalled, snapshot);
    recalled.recall(&batches[..6]);
    assert_eq!(recalled, snapshot);
}
