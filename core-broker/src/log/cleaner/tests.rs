//! The rules, batch by batch.

use std::collections::HashMap;

use bytes::Bytes;

use super::filter::{Filter, Rules, Verdict};
use super::offset_map::OffsetMap;
use super::transactions::Transactions;
use crate::log::batch::{BatchBuilder, Compression, EndMarker, RecordBatch};
use crate::log::producer_state::LastBatch;

type Pair<'a> = (&'a str, Option<&'a str>);

fn at(offset: i64, bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[..8].copy_from_slice(&offset.to_be_bytes());
    bytes.into()
}

fn fill(mut builder: BatchBuilder, pairs: &[Pair<'_>]) -> BatchBuilder {
    for (index, (key, value)) in pairs.iter().enumerate() {
        let header = [(&b"h"[..], None)];
        builder.push(
            50 + index as i64,
            Some(key.as_bytes()),
            value.map(str::as_bytes),
            &header,
        );
    }
    builder
}

fn plain(pairs: &[Pair<'_>]) -> Bytes {
    fill(BatchBuilder::new(), pairs).build().unwrap()
}

fn in_transaction(producer: i64, pairs: &[Pair<'_>]) -> Bytes {
    let builder = BatchBuilder::new().producer(producer, 0, 0).transactional();
    fill(builder, pairs).build().unwrap()
}

fn marker(producer: i64, commit: bool) -> Bytes {
    let marker = EndMarker {
        commit,
        coordinator_epoch: 0,
    };
    BatchBuilder::end_marker(50, producer, 0, marker)
}

/// One pass over the batches at `now`, the whole of them dirty before `end`.
fn pass(batches: &[Bytes], end: i64, now_ms: i64, producers: &HashMap<i64, LastBatch>) -> Vec<Bytes> {
    let mut transactions = Transactions::default();
    let mut newest = OffsetMap::new(1 << 20);
    for bytes in batches {
        let batch = RecordBatch::parse(bytes).unwrap();
        transactions.on_batch(batch.header(), batch.end_marker().unwrap());
    }
    for bytes in batches {
        let batch = RecordBatch::parse(bytes).unwrap();
        let header = batch.header();
        let aborted =
            header.is_transactional() && transactions.is_aborted(header.producer_id, header.base_offset);
        if header.is_control() || aborted || header.base_offset >= end {
            continue;
        }
        for record in &batch.records(1 << 20).unwrap() {
            let record = record.unwrap();
            newest.put(record.key.unwrap(), record.offset);
        }
    }
    let mut filter = Filter::new(Rules {
        newest: &newest,
        end,
        transactions: &transactions,
        producers,
        now_ms,
        delete_retention_ms: 1000,
        decompressed_bytes_max: 1 << 20,
    });
    batches
        .iter()
        .filter_map(
            |bytes| match filter.next(&RecordBatch::parse(bytes).unwrap()).unwrap() {
                Verdict::Same => Some(bytes.clone()),
                Verdict::Changed(bytes) => Some(bytes.into()),
                Verdict::Gone => None,
            },
        )
        .collect()
}

fn records(bytes: &Bytes) -> Vec<(i64, i64, String, Option<String>)> {
    let batch = RecordBatch::parse(bytes).unwrap();
    batch.verify_crc().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let read = batch.records(1 << 20).unwrap();
    let read = read.iter().map(|record| {
        let record = record.unwrap();
        assert_eq!(record.headers.len(), 1);
        (
            record.offset,
            record.timestamp,
            text(record.key.unwrap()),
            record.value.map(text),
        )
    });
    read.collect()
}

#[test]
fn the_newest_of_each_key_stays_with_its_offset_and_codec() {
    for codec in [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let pairs = [("a", Some("1")), ("b", Some("2")), ("c", Some("3"))];
        let first = fill(BatchBuilder::new(), &pairs).build_compressed(codec);
        let batches = [
            at(10, &first),
            at(13, &plain(&[("a", Some("4")), ("c", Some("5"))])),
        ];
        let after = pass(&batches, 100, 60, &HashMap::new());
        assert_eq!(after.len(), 2);
        assert_eq!(records(&after[0]), [(11, 51, "b".into(), Some("2".into()))]);
        let header = *RecordBatch::parse(&after[0]).unwrap().header();
        assert_eq!((header.base_offset, header.last_offset()), (10, 12));
        assert_eq!(header.compression(), Ok(codec));
        assert_eq!(header.max_timestamp, 51);
        assert_eq!(after[1], batches[1]);
        assert_eq!(pass(&after, 100, 60, &HashMap::new()), after);
    }
}

#[test]
fn tombstones_go_at_their_horizon() {
    let batches = [
        at(0, &plain(&[("a", Some("1"))])),
        at(1, &plain(&[("a", None), ("b", None)])),
    ];
    let after = pass(&batches, 100, 60, &HashMap::new());
    assert_eq!(after.len(), 1);
    let header = *RecordBatch::parse(&after[0]).unwrap().header();
    assert!(header.has_delete_horizon());
    assert_eq!(header.base_timestamp, 1060);
    assert_eq!(
        records(&after[0]),
        [(1, 50, "a".into(), None), (2, 51, "b".into(), None)]
    );
    assert_eq!(pass(&after, 100, 1059, &HashMap::new()), after);
    assert!(pass(&after, 100, 1060, &HashMap::new()).is_empty());
}

#[test]
fn what_was_aborted_goes_and_its_marker_later() {
    let batches = [
        at(0, &in_transaction(7, &[("a", Some("1"))])),
        at(1, &plain(&[("b", Some("2"))])),
        at(2, &marker(7, false)),
        at(3, &in_transaction(7, &[("b", Some("3"))])),
        at(4, &marker(7, true)),
    ];
    let bases = |batches: &[Bytes]| -> Vec<i64> {
        batches
            .iter()
            .map(|b| RecordBatch::parse(b).unwrap().header().base_offset)
            .collect()
    };
    let none = HashMap::new();
    let first = pass(&batches, 100, 60, &none);
    assert_eq!(bases(&first), [2, 3, 4]);
    assert_eq!(first, batches[2..]);
    let second = pass(&first, 100, 60, &none);
    assert_eq!(bases(&second), [2, 3, 4]);
    assert!(
        RecordBatch::parse(&second[0])
            .unwrap()
            .header()
            .has_delete_horizon()
    );
    assert!(
        RecordBatch::parse(&second[0])
            .unwrap()
            .end_marker()
            .unwrap()
            .is_some()
    );
    assert_eq!(second[1..], first[1..]);
    assert_eq!(bases(&pass(&second, 100, 1059, &none)), [2, 3, 4]);
    assert_eq!(bases(&pass(&second, 100, 1060, &none)), [3, 4]);
}

#[test]
fn a_producers_last_batch_stays_without_records() {
    let last = LastBatch {
        epoch: 0,
        offset: Some(0),
    };
    let producers = HashMap::from([(7, last)]);
    let builder = BatchBuilder::new().producer(7, 0, 41);
    let batches = [
        at(
            0,
            &fill(builder, &[("a", Some("1"))]).build_compressed(Compression::Gzip),
        ),
        at(1, &plain(&[("a", Some("2"))])),
    ];
    let after = pass(&batches, 100, 60, &producers);
    assert_eq!(after.len(), 2);
    assert!(records(&after[0]).is_empty());
    let header = *RecordBatch::parse(&after[0]).unwrap().header();
    assert_eq!(
        (header.base_sequence, header.last_sequence(), header.last_offset()),
        (41, 41, 0)
    );
    assert_eq!(pass(&after, 100, 60, &producers), after);
    assert_eq!(pass(&after, 100, 60, &HashMap::new()).len(), 1);
}

#[test]
fn beyond_the_end_nothing_changes() {
    let batches = [
        at(0, &plain(&[("a", Some("1"))])),
        at(1, &plain(&[("a", Some("2"))])),
        at(2, &plain(&[("a", None)])),
        at(3, &marker(7, true)),
    ];
    assert_eq!(pass(&batches, 1, 60, &HashMap::new()), batches);
    assert_eq!(pass(&batches, 2, 60, &HashMap::new()), batches[1..]);
}

#[test]
fn the_map_is_bounded() {
    let mut map = OffsetMap::new(64 * 3);
    assert!(map.has_room(1000));
    map.put(b"a", 1);
    map.put(b"a", 2);
    assert_eq!((map.newest(b"a"), map.newest(b"b")), (Some(2), None));
    assert!(map.has_room(2) && !map.has_room(3));
}
