//! What a join keeps, and what its changelog says of it.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use proptest::prelude::*;

use super::bucket_log::{BucketAt, Content, Entry, StoredRows};
use super::{
    BucketLog, Came, JoinStore, KeyExprs, Keys, Owner, OwnerNames, Pair, Share, SideLog, StateError,
};
use crate::col;
use crate::expr::CompiledExpr;
use crate::format::RecordBytes;
use crate::sink::RecordBuffer;

const LEFT: usize = 0;
const RIGHT: usize = 1;
const WIDTH: i64 = 100;
const RECORD_BYTES_MAX: RecordBytes = RecordBytes {
    piece: 2000,
    row: 3000,
};

type Record = (Vec<u8>, Option<Vec<u8>>);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8View, true),
        Field::new("n", DataType::Int64, true),
    ]))
}

fn keys() -> KeyExprs {
    KeyExprs::new(&[CompiledExpr::new(&col("k"), &schema()).unwrap()])
}

fn log(owner: Owner) -> BucketLog {
    let sides = [SideLog::new(&schema(), true), SideLog::new(&schema(), false)];
    let meaning = "join".to_owned();
    BucketLog::new("changelog".into(), 0, sides, meaning, RECORD_BYTES_MAX, owner)
}

fn store(records: &[Record], owner: Owner) -> JoinStore {
    restored(records, log(owner))
}

fn restored(records: &[Record], log: BucketLog) -> JoinStore {
    let mut store = JoinStore::new([keys(), keys()], WIDTH, log, Share::of(&Arc::default()));
    for (key, value) in records {
        store.restore(Some(key), value.as_deref()).unwrap();
    }
    store.end_restore().unwrap();
    store
}

fn records(written: Option<RecordBuffer>) -> Vec<Record> {
    let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    written.map_or(Vec::new(), |written| {
        let records = written.records();
        records
            .map(|record| (own(record.key).unwrap(), own(record.value)))
            .collect()
    })
}

/// Rows of a key, a number and a time.
struct Batch {
    batch: RecordBatch,
    times: Vec<i64>,
    keys: Keys,
}

fn some(rows: &[(&str, i64, i64)]) -> Batch {
    let names: ArrayRef = Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| row.0)));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let batch = RecordBatch::try_new(schema(), vec![names, numbers]).unwrap();
    Batch {
        keys: keys().of(&batch).unwrap(),
        times: rows.iter().map(|row| row.2).collect(),
        batch,
    }
}

impl Batch {
    fn of(&self, side: usize) -> Came<'_> {
        Came {
            side,
            batch: &self.batch,
            times: &self.times,
            keys: &self.keys,
        }
    }
}

/// Rows that came to a side and met none.
fn add(store: &mut JoinStore, side: usize, rows: &[(&str, i64, i64)]) {
    let came = some(rows);
    store.add(&came.of(side), &vec![false; rows.len()]).unwrap();
}

/// The numbers of rows of the other side that a row meets within so many milliseconds, which are marked.
fn meet(store: &mut JoinStore, side: usize, row: (&str, i64, i64), reach: i64) -> Vec<i64> {
    let came = some(&[row]);
    let came = came.of(side);
    store.ready(&came, reach, reach).unwrap();
    let (pairs, next) = store.probe(&came, (reach, reach), 0, 100);
    assert_eq!(next, 1);
    let others: Vec<_> = pairs.iter().map(Pair::other).collect();
    let numbers = match others.is_empty() {
        true => Vec::new(),
        false => {
            let columns = store.columns(1 - side, &others).unwrap();
            columns[1].as_primitive::<Int64Type>().values().to_vec()
        }
    };
    store.mark(1 - side, others.into_iter());
    numbers
}

/// The numbers of the left rows that met none, by time.
fn alone(store: &mut JoinStore) -> Vec<i64> {
    let (mut numbers, mut start) = (Vec::new(), 0);
    while let Some((places, next)) = store.unmatched(LEFT, &(start..i64::MAX)).unwrap() {
        assert!(next > start, "a span is given once");
        start = next;
        if !places.is_empty() {
            let columns = store.columns(LEFT, &places).unwrap();
            numbers.extend_from_slice(columns[1].as_primitive::<Int64Type>().values());
        }
    }
    numbers
}

fn epoch(store: &mut JoinStore) -> Vec<Record> {
    store.void_closed();
    records(store.changes().unwrap())
}

/// What a reader of the compacted topic has.
fn compacted(records: &[Record]) -> Vec<Record> {
    let last: BTreeMap<&[u8], &Record> = records.iter().map(|record| (&*record.0, record)).collect();
    let live = records
        .iter()
        .filter(|record| std::ptr::eq(last[&*record.0], *record));
    live.filter(|record| record.1.is_some()).cloned().collect()
}

#[test]
fn rows_are_found_by_key_and_time() {
    let mut store = store(&[], Owner(1));
    add(
        &mut store,
        LEFT,
        &[
            ("a", 1, 95),
            ("b", 2, 100),
            ("a", 3, 105),
            ("a", 4, 300),
            ("a", 5, 96),
        ],
    );
    assert_eq!(meet(&mut store, RIGHT, ("a", 0, 100), 5), [1, 5, 3]);
    assert_eq!(meet(&mut store, RIGHT, ("a", 0, 101), 5), [5, 3]);
    assert_eq!(meet(&mut store, RIGHT, ("a", 0, 0), 400), [1, 5, 3, 4]);
    assert_eq!(meet(&mut store, RIGHT, ("c", 0, 100), 400), [0; 0]);
    assert_eq!(
        meet(&mut store, LEFT, ("a", 0, 100), 400),
        [0; 0],
        "the other side has none"
    );
    assert_eq!(alone(&mut store), [2]);
    store.forget(LEFT, 99);
    assert_eq!(
        meet(&mut store, RIGHT, ("a", 0, 100), 5),
        [1, 5, 3],
        "the row at 99 is not over"
    );
    store.forget(LEFT, 100);
    assert_eq!(meet(&mut store, RIGHT, ("a", 0, 100), 5), [3]);
}

/// Rows that were matched in an epoch after the one that wrote them came back as unmatched.
#[test]
fn what_was_matched_later_is_restored() {
    let names = OwnerNames::default();
    let mut one = store(&[], names.next());
    add(
        &mut one,
        LEFT,
        &[("a", 1, 10), ("b", 2, 20), ("c", 3, 30), ("d", 4, 140)],
    );
    let mut log = epoch(&mut one);
    assert_eq!(meet(&mut one, RIGHT, ("b", 0, 20), 5), [2]);
    // Again, in the same epoch and later ones: it is written once.
    assert_eq!(meet(&mut one, RIGHT, ("b", 0, 21), 5), [2]);
    let marks = epoch(&mut one);
    assert_eq!(marks.len(), 1);
    log.extend(marks);
    assert_eq!(meet(&mut one, RIGHT, ("b", 0, 22), 5), [2]);
    assert!(epoch(&mut one).is_empty());

    let mut two = store(&log, names.next());
    assert_eq!(alone(&mut two), [1, 3, 4]);
    // Rows of two owners, matched by a third one.
    add(&mut two, LEFT, &[("e", 5, 50), ("f", 6, 60)]);
    log.extend(epoch(&mut two));
    let mut three = store(&log, names.next());
    assert_eq!(meet(&mut three, RIGHT, ("c", 0, 30), 5), [3]);
    assert_eq!(meet(&mut three, RIGHT, ("f", 0, 60), 5), [6]);
    log.extend(epoch(&mut three));
    let mut four = store(&log, names.next());
    assert_eq!(alone(&mut four), [1, 5, 4]);
}

#[test]
fn many_small_records_become_one() {
    let names = OwnerNames::default();
    let (mut one, mut log) = (store(&[], names.next()), Vec::new());
    let keys: Vec<String> = (0..200).map(|key| format!("k{key}")).collect();
    let mut expected: Vec<i64> = Vec::new();
    for number in 0..200_i64 {
        let time = number % 90;
        add(&mut one, LEFT, &[(&keys[number as usize], number, time)]);
        if number % 3 == 2 {
            let earlier = &keys[number as usize - 2];
            assert_eq!(meet(&mut one, RIGHT, (earlier, 0, 50), 100), [number - 2]);
        }
        log.extend(epoch(&mut one));
    }
    expected.extend((0..200).filter(|number| number % 3 != 0 || *number > 197));
    expected.sort_by_key(|number| (number % 90, *number));
    let live = compacted(&log);
    assert!(live.len() < 80, "{} records", live.len());
    for log in [&log, &live] {
        let mut two = store(log, names.next());
        assert_eq!(alone(&mut two), expected);
        // And the rows can still be matched by their numbers.
        assert_eq!(meet(&mut two, RIGHT, ("k1", 0, 0), 100), [1]);
        let log: Vec<Record> = log.iter().cloned().chain(epoch(&mut two)).collect();
        let left = alone(&mut store(&log, names.next()));
        assert_eq!(left.len(), expected.len() - 1);
        assert!(!left.contains(&1));
    }
}

#[test]
fn what_is_forgotten_is_made_void_an_epoch_later() {
    let mut one = store(&[], Owner(1));
    add(&mut one, LEFT, &[("a", 1, 10)]);
    add(&mut one, RIGHT, &[("a", 1, 10)]);
    let mut log = epoch(&mut one);
    one.void_closed();
    one.forget(LEFT, 100);
    let written = records(one.changes().unwrap());
    assert!(written.is_empty(), "if it fails, the rows are needed again");
    let void = epoch(&mut one);
    assert_eq!((void.len(), &void[0].1), (1, &None));
    log.extend(void);
    let live = compacted(&log);
    let sides: Vec<u8> = live[1..].iter().map(|(key, _)| key[1]).collect();
    assert_eq!(sides, [1], "the meaning, and the other side");
}

/// Both wrote a record with the same number: the later one was lost, or the earlier one, as it came.
#[test]
fn who_was_cut_off_overwrites_nothing_of_its_successor() {
    let names = OwnerNames::default();
    for zombie_is_last in [false, true] {
        let mut one = store(&[], names.next());
        add(&mut one, LEFT, &[("a", 1, 10)]);
        let mut log = epoch(&mut one);
        let mut two = store(&log, names.next());
        add(&mut one, LEFT, &[("b", 10, 11)]);
        meet(&mut one, RIGHT, ("a", 0, 10), 0);
        let uncommitted = epoch(&mut one);
        add(&mut two, LEFT, &[("c", 100, 12)]);
        let counted = epoch(&mut two);
        let both = match zombie_is_last {
            true => [counted, uncommitted],
            false => [uncommitted, counted],
        };
        log.extend(both.concat());
        let mut three = store(&log, names.next());
        // At least once: what was not committed may count twice, and so may the pair that the first row was in.
        assert_eq!(alone(&mut three), [10, 100]);
    }
}

/// Who was cut off put its records together, and made those void whose rows its successor had matched by their numbers: a row came alone
/// although its pair was out.
#[test]
fn who_was_cut_off_may_put_its_records_together() {
    let (names, repeating) = (OwnerNames::default(), |owner| log(owner).repeating(true));
    let mut zero = store(&[], names.next());
    add(&mut zero, LEFT, &[("a", 1, 10), ("b", 2, 11)]);
    let mut log = epoch(&mut zero);
    let mut one = restored(&log, repeating(names.next()));
    let keys: Vec<String> = (0..70).map(|key| format!("k{key}")).collect();
    for key in &keys[..64] {
        add(&mut one, LEFT, &[(key, 1000, 20)]);
        log.extend(epoch(&mut one));
    }
    let mut two = restored(&log, repeating(names.next()));
    assert_eq!(meet(&mut two, RIGHT, ("a", 0, 10), 0), [1]);
    let counted = epoch(&mut two);
    // Now there are enough for one record.
    let mut uncommitted = Vec::new();
    for key in &keys[64..] {
        add(&mut one, LEFT, &[(key, 1000, 20)]);
        uncommitted.extend(epoch(&mut one));
    }
    assert!(
        uncommitted.iter().any(|(_, value)| value.is_none()),
        "nothing was put together"
    );
    for both in [[&counted, &uncommitted], [&uncommitted, &counted]] {
        let log: Vec<Record> = log.iter().chain(both.into_iter().flatten()).cloned().collect();
        for log in [compacted(&log), log] {
            let left = alone(&mut store(&log, names.next()));
            assert!(!left.contains(&1), "{left:?}");
            assert!(left.contains(&2), "{left:?}");
        }
    }
}

/// Who took over wrote each span whole of which it had matched a row, all in one epoch, however large they were.
#[test]
fn what_is_written_again_in_an_epoch_is_bounded() {
    let (names, repeating) = (OwnerNames::default(), |owner| log(owner).repeating(true));
    let text = "x".repeat(1200);
    let row = |span: i64, n: i64| (format!("{span}.{n}{text}"), 10 * span + n, span * WIDTH + n);
    let mut one = restored(&[], repeating(names.next()));
    for (key, number, time) in (0..60).map(|place| row(place / 10, place % 10)) {
        add(&mut one, LEFT, &[(&key, number, time)]);
    }
    let mut log = epoch(&mut one);
    let mut two = restored(&log, repeating(names.next()));
    let mut written = |n: i64| {
        for (key, number, time) in (0..6).map(|span| row(span, n)) {
            assert_eq!(meet(&mut two, RIGHT, (&key, 0, time), 0), [number]);
        }
        let records = epoch(&mut two);
        let bytes: usize = records.iter().flat_map(|(_, value)| value).map(Vec::len).sum();
        log.extend(records);
        bytes
    };
    // Two at a time, until all are its own.
    for n in 0..3 {
        let bytes = written(n);
        assert!((24_000..40_000).contains(&bytes), "{bytes} bytes in epoch {n}");
    }
    let bytes = written(3);
    assert!(bytes < 2_000, "{bytes} bytes for numbers");
    let expected: Vec<i64> = (0..60).filter(|number| number % 10 > 3).collect();
    for log in [compacted(&log), log] {
        assert_eq!(alone(&mut store(&log, names.next())), expected);
    }
}

/// Spans without many rows were looked through one by one, whenever room was made or something was forgotten.
#[test]
fn many_spans_with_few_rows_are_counted_and_forgotten_as_they_are() {
    let mut one = store(&[], Owner(1));
    for span in 0..300 {
        add(
            &mut one,
            LEFT,
            &[("a", span, span * WIDTH), ("b", 1000 + span, span * WIDTH + 50)],
        );
    }
    let (rows, bytes) = one.size();
    assert_eq!(rows, 600);
    assert!(bytes > 300 * 512, "{bytes}");
    let log = epoch(&mut one);
    let mut two = store(&log, Owner(2));
    assert_eq!(two.size().0, 600);
    two.forget(LEFT, 298 * WIDTH);
    assert_eq!(two.size().0, 4);
    assert_eq!(alone(&mut two), [298, 1298, 299, 1299]);
    two.forget(LEFT, 300 * WIDTH);
    assert_eq!(two.size(), (0, 0));
}

#[test]
fn rows_that_no_record_can_take_are_refused_by_name() {
    let store = store(&[], Owner(1));
    let (fits, large) = ("x".repeat(2300), "y".repeat(4000));
    let ready = some(&[("a", 1, 1), (&fits, 2, 2), ("c", 3, 3)]);
    store.check(LEFT, &ready.batch).unwrap();
    let unready = some(&[("a", 1, 1), (&fits, 2, 2), (&large, 3, 3)]);
    for side in [LEFT, RIGHT] {
        let refused = store.check(side, &unready.batch).unwrap_err().to_string();
        assert!(
            refused.contains("the key yyyy") && refused.contains("changelog"),
            "{refused}"
        );
        assert!(refused.contains("at most 3000"), "{refused}");
    }
}

#[test]
fn large_rows_are_several_records() {
    let text = "x".repeat(700);
    let rows: Vec<(String, i64, i64)> = (0..9).map(|n| (format!("{n}{text}"), n, n)).collect();
    let rows: Vec<(&str, i64, i64)> = rows.iter().map(|(key, n, at)| (key.as_str(), *n, *at)).collect();
    let mut one = store(&[], Owner(1));
    add(&mut one, LEFT, &rows);
    let mut log = epoch(&mut one);
    assert!(log.len() > 5, "{} records", log.len());
    // Rows of each record are known by their numbers.
    for row in [0, 4, 8] {
        assert_eq!(meet(&mut one, RIGHT, rows[row], 0), [row as i64]);
    }
    log.extend(epoch(&mut one));
    assert_eq!(alone(&mut store(&log, Owner(2))), [1, 2, 3, 5, 6, 7]);
}

fn rows(matched: bool) -> StoredRows {
    let came = some(&[("a", 1, 10), ("b", 2, 20)]);
    StoredRows {
        batch: came.batch,
        times: came.times,
        matched: vec![matched; 2],
    }
}

const AT: BucketAt = BucketAt {
    side: 0,
    start: 0x0102_0304_0506_0708,
};

#[test]
fn the_encoding_is_fixed() {
    let mut log = log(Owner(0x1112_1314_1516_1718));
    log.write(AT, 5, 300, &rows(true), false).unwrap();
    log.write(AT, 6, 302, &rows(false), true).unwrap();
    let matched = [(Owner(7), vec![1, 2, 300]), (Owner(8), vec![0])];
    assert_eq!(log.write_matched(AT, 7, &matched).records, 2);
    let right = BucketAt { side: 1, start: 0 };
    log.delete(
        right,
        super::pieces::Piece {
            owner: Owner(1),
            number: 2,
        },
    );
    let written = records(log.take());
    assert_eq!(written[0], (b"\xffstore".to_vec(), Some(b"join".to_vec())));
    let owner = [0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18];
    let key = |number: u8| [&[3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, number][..], &owner].concat();
    let value = |record: usize| written[record].1.as_deref().unwrap();
    assert_eq!(written[1].0, key(5));
    assert_eq!(value(1)[..13], [0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 1, 44]);
    assert_eq!(written[2].0, key(6));
    assert_eq!(value(2)[..13], [1, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 1, 46]);
    assert_eq!(written[3].0, key(7));
    assert_eq!(value(3), [2, 0, 0, 0, 0, 0, 0, 0, 7, 3, 1, 1, 0xaa, 2]);
    assert_eq!(written[4].0, key(8));
    assert_eq!(value(4), [2, 0, 0, 0, 0, 0, 0, 0, 8, 1, 0]);
    let void: &[u8] = &[3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(written[5], (void.to_vec(), None));
    // The columns, the time, and whether it was matched.
    let Entry::Piece {
        content: Some(Content::Rows { rows, first_row, .. }),
        ..
    } = log.decode(Some(&written[1].0), Some(value(1))).unwrap()
    else {
        panic!("rows were written")
    };
    assert_eq!(
        (rows.times, rows.matched, first_row),
        (vec![10, 20], vec![true; 2], 300)
    );
    assert_eq!(rows.batch, some(&[("a", 1, 10), ("b", 2, 20)]).batch);
}

#[test]
fn another_meaning_is_refused() {
    let key = b"\xffstore";
    let mut store = store(&[], Owner(1));
    store.restore(Some(key), Some(b"join")).unwrap();
    let refused = store.restore(Some(key), Some(b"another"));
    assert!(
        matches!(refused, Err(StateError::Incompatible { .. })),
        "{refused:?}"
    );
}

#[test]
fn keys_of_other_logs_are_refused() {
    let mut log = log(Owner(1));
    log.write(AT, 5, 300, &rows(true), false).unwrap();
    let (key, value) = records(log.take()).remove(1);
    let mut store = store(&[], Owner(2));
    let mut refuse = |key: Option<&[u8]>| {
        let refused = store.restore(key, value.as_deref());
        assert!(
            matches!(refused, Err(StateError::Damaged { .. })),
            "{key:?}: {refused:?}"
        );
    };
    refuse(None);
    refuse(Some(&key[..key.len() - 1]));
    refuse(Some(&[&key[..], &[0]].concat()));
    for (place, byte) in [(0, 2), (1, 2)] {
        let mut other = key.clone();
        other[place] = byte;
        refuse(Some(&other));
    }
}

proptest! {
    /// Any changed byte behind the numbers, any impossible kind, and any cut, is an error.
    #[test]
    fn damage_is_found(place in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let mut log = log(Owner(1));
        log.write(AT, 5, 300, &rows(true), true).unwrap();
        let (key, value) = records(log.take()).remove(1);
        let value = value.unwrap();
        let fails = |value: &[u8]| {
            let refused = store(&[], Owner(2)).restore(Some(&key), Some(value));
            matches!(refused, Err(StateError::Damaged { .. }))
        };
        prop_assert!(!fails(&value));
        prop_assert!(fails(&value[..cut.index(value.len())]));
        let mut changed = value.clone();
        let at = 13 + place.index(value.len() - 13);
        changed[at] = byte;
        prop_assert_eq!(fails(&changed), changed != value);
        changed.clone_from(&value);
        changed[0] = byte;
        // As matched rows, it would be of owners that nobody knows.
        prop_assert_eq!(fails(&changed), byte > 1);
        changed.clone_from(&value);
        changed[5..9].copy_from_slice(&[0; 4]);
        prop_assert!(fails(&changed), "no pieces at all");
    }

    /// Matched rows come back as they were written, and cuts are errors.
    #[test]
    fn matched_rows_come_back(
        owners in prop::collection::btree_map(any::<u64>(), prop::collection::btree_set(any::<u32>(), 1..20), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let matched: Vec<(Owner, Vec<u32>)> = owners
            .into_iter()
            .map(|(owner, rows)| (Owner(owner), rows.into_iter().collect()))
            .collect();
        let mut log = log(Owner(1));
        let written = log.write_matched(AT, 0, &matched);
        prop_assert_eq!(written.records as usize, matched.len());
        let mut found = Vec::new();
        for (key, value) in records(log.take()).iter().skip(1) {
            let value = value.as_deref().unwrap();
            let entry = log.decode(Some(key), Some(value)).unwrap();
            if let Entry::Piece { content: Some(Content::Matched(rows)), .. } = entry {
                found.extend(rows);
            }
            // Nothing behind the kind is nothing matched.
            let cut = cut.index(value.len());
            let refused = log.decode(Some(key), Some(&value[..cut]));
            prop_assert_eq!(matches!(refused, Err(StateError::Damaged { .. })), cut != 1);
        }
        prop_assert_eq!(found, matched);
    }
}
