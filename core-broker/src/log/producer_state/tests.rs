use proptest::prelude::*;

use super::*;

fn header(epoch: i16, first: i32, count: i32) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        length: 49,
        partition_leader_epoch: 0,
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: 9,
        producer_epoch: epoch,
        base_sequence: first,
        record_count: count,
    }
}

fn append(states: &mut ProducerStates, epoch: i16, first: i32, count: i32, offset: i64) {
    let header = BatchHeader {
        base_offset: offset,
        ..header(epoch, first, count)
    };
    assert_eq!(states.check(&header), Ok(None), "epoch {epoch}, first {first}");
    states.update(&header, None, 0);
}

/// Seven batches of ten at epoch 3: sequences 100 to 169, offsets from 1000.
fn known() -> ProducerStates {
    let mut states = ProducerStates::default();
    for index in 0..7 {
        append(&mut states, 3, 100 + index * 10, 10, 1000 + i64::from(index) * 10);
    }
    states
}

/// After 2^31 records in a row every sequence had been seen, so that a gap passed for a duplicate.
#[test]
fn a_gap_is_no_duplicate_however_much_there_was() {
    let mut states = ProducerStates::default();
    let batches = 5;
    let count = i32::MAX / 2;
    for index in 0..batches {
        let first = i64::from(count) * index;
        append(
            &mut states,
            3,
            first.rem_euclid(1 << 31) as i32,
            count,
            i64::from(count) * index,
        );
    }
    let next = (i64::from(count) * batches).rem_euclid(1 << 31) as i32;
    for (gap, expected) in [
        (1, SequenceError::OutOfOrder { expected: next }),
        (1000, SequenceError::OutOfOrder { expected: next }),
        (-1000, SequenceError::Duplicate),
    ] {
        let result = states.check(&header(3, sequence_plus(next, gap), 10));
        assert_eq!(result, Err(expected), "{gap}");
    }
}

#[test]
fn sequences() {
    enum Expect {
        New,
        Known(i64),
        Error(SequenceError),
    }
    use Expect::*;
    let out_of_order = |expected| Error(SequenceError::OutOfOrder { expected });
    let cases = [
        ("the next", 3, 170, 10, New),
        ("the next, of another size", 3, 170, 1, New),
        ("the last again", 3, 160, 10, Known(1060)),
        ("the fifth last again", 3, 120, 10, Known(1020)),
        (
            "the sixth last again",
            3,
            110,
            10,
            Error(SequenceError::Duplicate),
        ),
        ("part of one again", 3, 161, 5, Error(SequenceError::Duplicate)),
        ("one and more", 3, 160, 11, out_of_order(170)),
        ("before the first ever seen", 3, 90, 10, out_of_order(170)),
        ("a gap of one", 3, 171, 10, out_of_order(170)),
        ("zero in the same epoch", 3, 0, 10, out_of_order(170)),
        ("a new epoch from zero", 4, 0, 10, New),
        ("a much newer epoch", 40, 0, 10, New),
        ("a new epoch not from zero", 4, 170, 10, out_of_order(0)),
        (
            "an old epoch",
            2,
            170,
            10,
            Error(SequenceError::OldEpoch { current: 3 }),
        ),
        (
            "an old epoch's duplicate",
            2,
            160,
            10,
            Error(SequenceError::OldEpoch { current: 3 }),
        ),
    ];
    let states = known();
    for (name, epoch, first, count, expected) in cases {
        let found = states.check(&header(epoch, first, count));
        match expected {
            New => assert_eq!(found, Ok(None), "{name}"),
            Known(offset) => assert_eq!(found.unwrap().unwrap().base_offset, offset, "{name}"),
            Error(error) => assert_eq!(found, Err(error), "{name}"),
        }
    }
}

#[test]
fn an_unknown_producer_may_start_anywhere() {
    let mut states = ProducerStates::default();
    append(&mut states, 5, 12345, 3, 0);
    append(&mut states, 5, 12348, 3, 3);
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(sequence_plus(i32::MAX, 1), 0);
    assert_eq!(sequence_plus(i32::MAX - 2, 5), 2);
    let mut states = ProducerStates::default();
    append(&mut states, 0, i32::MAX - 4, 3, 0);
    append(&mut states, 0, i32::MAX - 1, 5, 3);
    append(&mut states, 0, 3, 1, 8);
    let known = states.check(&header(0, i32::MAX - 1, 5)).unwrap().unwrap();
    assert_eq!((known.base_offset, known.last_offset), (3, 7));
    assert_eq!(
        states.check(&header(0, i32::MAX, 2)),
        Err(SequenceError::Duplicate)
    );
    assert_eq!(
        states.check(&header(0, 5, 2)),
        Err(SequenceError::OutOfOrder { expected: 4 })
    );
}

/// A marker of the coordinator raises the epoch without a sequence.
#[test]
fn control_batches_fence() {
    let mut states = known();
    let marker = BatchHeader {
        attributes: 1 << 5,
        base_sequence: -1,
        ..header(4, 0, 1)
    };
    assert_eq!(states.check(&marker), Ok(None));
    states.update(&marker, None, 0);
    assert_eq!(
        states.check(&header(3, 170, 1)),
        Err(SequenceError::OldEpoch { current: 4 })
    );
    assert_eq!(states.check(&header(4, 0, 1)), Ok(None));
}

#[test]
fn idle_producers_are_forgotten() {
    let mut states = known();
    states.expire(SWEEP_INTERVAL_MS, SWEEP_INTERVAL_MS + 1);
    assert!(states.check(&header(2, 0, 1)).is_err());
    states.expire(2 * SWEEP_INTERVAL_MS, SWEEP_INTERVAL_MS + 1);
    assert_eq!(states.check(&header(2, 0, 1)), Ok(None));
}

#[test]
fn the_number_of_producers_is_bounded() {
    let mut states = ProducerStates::default();
    for id in 0..=PRODUCERS_MAX as i64 {
        let header = BatchHeader {
            producer_id: id,
            ..header(0, 0, 1)
        };
        states.update(&header, None, id);
    }
    states.expire(0, i64::MAX);
    assert_eq!(
        states.producers.len(),
        PRODUCERS_MAX + 1 - (PRODUCERS_MAX + 1) / 10
    );
    assert!(!states.producers.contains_key(&0) && states.producers.contains_key(&(PRODUCERS_MAX as i64)));
}

proptest! {
    #[test]
    fn snapshots_round_trip_and_notice_damage(batches in prop::collection::vec((0_i64..5, 0_i16..3, 1_i32..9), 0..30), at: usize) {
        let mut states = ProducerStates::default();
        for (index, (producer_id, epoch, count)) in batches.into_iter().enumerate() {
            let header = BatchHeader { producer_id, base_offset: index as i64 * 10, ..header(epoch, 0, count) };
            states.update(&header, None, index as i64);
        }
        let mut bytes = states.encode();
        prop_assert_eq!(ProducerStates::decode(&bytes), Some(states));
        let at = at % bytes.len();
        bytes[at] ^= 0x40;
        prop_assert_eq!(ProducerStates::decode(&bytes), None);
        prop_assert_eq!(ProducerStates::decode(&bytes[..at]), None);
    }
}
