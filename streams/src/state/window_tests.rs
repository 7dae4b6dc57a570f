//! What several owners of a window wrote, one of them without knowing that it no longer is.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::{Owner, OwnerNames, Share, WindowLog, WindowStore};
use crate::aggregate::AggregateSpec;
use crate::plan::StepKind;
use crate::prelude::OnWindowClose;
use crate::sink::RecordBuffer;
use crate::source::TopicPartition;
use crate::store::{LocalStores, Slot, StoreMemory};
use crate::{Streams, col, json, sum, text};

const START: i64 = 60_000;
const KEYS: i64 = 20;
/// A batch of all keys takes some records.
const RECORD_BYTES_MAX: usize = 1000;

type Record = (Vec<u8>, Option<Vec<u8>>);

fn spec() -> Arc<AggregateSpec> {
    let app = Streams::new("w");
    app.stream("in", text("line").with_offset("k"))
        .group_by([col("k")])
        .window(crate::tumbling(std::time::Duration::from_secs(1)))
        .emit(OnWindowClose)
        .aggregate("sums", [sum(col("k")).alias("n")])
        .to("out", json());
    let topology = app.build().unwrap();
    let mut steps = topology.sub_topologies.iter().flat_map(|sub| &sub.steps);
    let spec = steps.find_map(|step| match &step.kind {
        StepKind::WindowFinal(window) => Some(Arc::clone(&window.windowed.spec)),
        _ => None,
    });
    spec.unwrap()
}

/// A delta of the first keys, each with this sum.
fn delta(spec: &AggregateSpec, keys: i64, number: i64) -> RecordBatch {
    let schema = spec.state_schema();
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(place, field)| {
            let values: Int64Array = (0..keys)
                .map(|key| Some([key, START, number, 0][place]))
                .collect();
            cast(&values, field.data_type()).unwrap()
        })
        .collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

fn store(spec: &Arc<AggregateSpec>, log: &[Record], owner: Owner) -> WindowStore {
    let to = WindowLog::new("changelog".into(), 0, spec, RECORD_BYTES_MAX, owner);
    let mut store = WindowStore::new(Arc::clone(spec), to, Share::of(&Arc::default()));
    for (key, value) in log {
        store.restore(Some(key), value.as_deref()).unwrap();
    }
    store.end_restore().unwrap();
    store
}

fn records(store: &mut WindowStore) -> Vec<Record> {
    let written: Option<RecordBuffer> = store.changes().unwrap();
    let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    written.map_or(Vec::new(), |written| {
        let records = written.records();
        records
            .map(|record| (own(record.key).unwrap(), own(record.value)))
            .collect()
    })
}

/// What an epoch writes.
fn epoch(store: &mut WindowStore, spec: &AggregateSpec, keys: i64, number: i64) -> Vec<Record> {
    store.void_closed();
    store.add(START, &delta(spec, keys, number)).unwrap();
    records(store)
}

/// The sum of each key.
fn sums(store: &mut WindowStore) -> Vec<i64> {
    let rows = store.close(START).unwrap().unwrap();
    let column = |place: usize| cast(rows.batch.column(place), &arrow::datatypes::DataType::Int64).unwrap();
    let (keys, sums) = (column(0), column(2));
    let pairs = keys
        .as_primitive::<Int64Type>()
        .values()
        .iter()
        .zip(sums.as_primitive::<Int64Type>().values());
    let by_key: BTreeMap<i64, i64> = pairs.map(|(key, sum)| (*key, *sum)).collect();
    by_key.into_values().collect()
}

/// For one key the states of all keys were put together.
#[test]
fn of_a_window_on_the_disk_only_the_rows_of_a_key_are_taken() {
    let (spec, names) = (spec(), OwnerNames::default());
    let directory = tempfile::tempdir().unwrap();
    let slot = Arc::new(Slot::take(directory.path(), "w").unwrap());
    let stores = LocalStores::open(slot, String::new(), || 0, StoreMemory::default()).unwrap();
    let at = TopicPartition {
        topic: "changelog".into(),
        partition: 0,
    };
    let local = stores.claim(&at).unwrap();
    local.restored().unwrap();
    let mut store = store(&spec, &[], names.next());
    store.attach(&local);
    // So many that all is written anew in between.
    for number in 1..=50 {
        store.void_closed();
        store
            .add(START, &delta(&spec, KEYS - number % 3, number))
            .unwrap();
        local.apply(&store.changes().unwrap().unwrap()).unwrap();
    }
    let (mut whole, rows) = store.read(START, None).unwrap();
    assert_eq!(whole.len(), KEYS as usize);
    for key in [0, 7, KEYS - 1] {
        let row = delta(&spec, KEYS, 0).slice(key as usize, 1);
        let key = &row.columns()[..spec.key_count()];
        let (mut table, its) = store.read(START, Some(key)).unwrap();
        assert_eq!(table.len(), 1);
        assert!(its >= 1 && its < rows, "{its} of {rows} rows");
        let (found, expected) = (table.states_of(key).unwrap(), whole.states_of(key).unwrap());
        assert_eq!(found, expected);
        assert_eq!(found.num_rows(), 1);
    }
    let nobody = delta(&spec, KEYS + 1, 0).slice(KEYS as usize, 1);
    let nobody = &nobody.columns()[..spec.key_count()];
    assert_eq!(store.read(START, Some(nobody)).unwrap().0.len(), 0);
}

/// Both wrote a record with the same number: the later one was lost, or the earlier one, as it came.
#[test]
fn who_was_cut_off_overwrites_nothing_of_its_successor() {
    let (spec, names) = (spec(), OwnerNames::default());
    for zombie_is_last in [false, true] {
        let mut one = store(&spec, &[], names.next());
        let mut log = epoch(&mut one, &spec, KEYS, 1);
        let mut two = store(&spec, &log, names.next());
        let (uncommitted, counted) = (
            epoch(&mut one, &spec, KEYS, 10),
            epoch(&mut two, &spec, KEYS, 100),
        );
        let both = match zombie_is_last {
            true => [counted, uncommitted],
            false => [uncommitted, counted],
        };
        log.extend(both.concat());
        // At least once: what was not committed may count twice.
        assert_eq!(sums(&mut store(&spec, &log, names.next())), [111; KEYS as usize]);
    }
}

/// Without the names of owners, as they were written before there were any.
fn unnamed(log: Vec<Record>) -> Vec<Record> {
    let cut = |(mut key, value): Record| {
        if key.len() > 13 {
            key.truncate(13);
        }
        (key, value)
    };
    log.into_iter().map(cut).collect()
}

#[test]
fn logs_without_the_names_of_owners_are_read_and_made_void() {
    let (spec, names) = (spec(), OwnerNames::default());
    let mut old = store(&spec, &[], names.next());
    let written = (0..40).flat_map(|_| epoch(&mut old, &spec, KEYS, 1));
    let mut log = unnamed(written.collect());
    let mut next = store(&spec, &log, names.next());
    log.extend(epoch(&mut next, &spec, KEYS, 1));
    let mut last = store(&spec, &log, names.next());
    assert_eq!(sums(&mut last), [41; KEYS as usize]);
    last.void_closed();
    log.extend(records(&mut last));
    assert_eq!(live(&log), 1, "only what the states mean is left");
}

fn live(log: &[Record]) -> usize {
    let latest: BTreeMap<_, _> = log.iter().cloned().collect();
    latest.values().filter(|value| value.is_some()).count()
}

/// A task may come back to a member that kept its state, while another held it.
#[test]
fn who_comes_back_writes_behind_those_in_between() {
    let (spec, names) = (spec(), OwnerNames::default());
    let mut one = store(&spec, &[], names.next());
    let mut log: Vec<Record> = (0..32).flat_map(|_| epoch(&mut one, &spec, KEYS, 1)).collect();
    let mut two = store(&spec, &log, names.next());
    one.belongs_to(names.next());
    // Both replace the window's records by all that it holds.
    let (counted, uncommitted) = (
        epoch(&mut one, &spec, KEYS, 10),
        epoch(&mut two, &spec, KEYS, 100),
    );
    log.extend([counted, uncommitted].concat());
    assert_eq!(sums(&mut store(&spec, &log, names.next())), [42; KEYS as usize]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// One is cut off in the middle of an epoch, and what it had sent, or a part of it, comes to the log at any time. Nothing that
    /// counts is lost, nothing counts more often than it was written, and nothing is left of a window that was closed.
    #[test]
    fn nothing_is_lost_whatever_a_zombie_writes(
        before in 1..70_usize, after in 1..70_usize, keys in 1..KEYS, sent in 0..40_usize, place in 0..1000_usize,
        without_names in any::<bool>(),
    ) {
        let (spec, names) = (spec(), OwnerNames::default());
        let mut one = store(&spec, &[], names.next());
        let mut log = Vec::new();
        for _ in 0..before {
            log.extend(epoch(&mut one, &spec, KEYS, 1));
        }
        if without_names {
            log = unnamed(log);
            one = store(&spec, &log, names.next());
        }
        let mut two = store(&spec, &log, names.next());
        let mut own = Vec::new();
        for _ in 0..after {
            own.extend(epoch(&mut two, &spec, KEYS, 1));
        }
        let mut zombie = epoch(&mut one, &spec, keys, 1000);
        zombie.truncate(sent);
        let place = place % (own.len() + 1);
        log.extend_from_slice(&own[..place]);
        log.extend(zombie);
        log.extend_from_slice(&own[place..]);
        let mut three = store(&spec, &log, names.next());
        for sum in sums(&mut three) {
            prop_assert!([before + after, before + after + 1000].contains(&(sum as usize)), "{sum}");
        }
        three.void_closed();
        log.extend(records(&mut three));
        prop_assert_eq!(live(&log), 1);
    }
}
