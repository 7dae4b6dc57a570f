//! What a topic's settings make of batches: codec and bounds of time.

use super::*;
use crate::log::batch::{Compression, RecordBatch};

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

#[test]
fn batches_are_stored_in_the_topics_codec() {
    for wanted in CODECS {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig {
            compression: Some(wanted),
            gzip_level: 9,
            zstd_level: 1,
            ..LogConfig::default()
        };
        let log = open(dir.path(), &config);
        let partition = log.create_partition(&tp(), config).unwrap();
        for (place, codec) in CODECS.into_iter().enumerate() {
            let mut builder = BatchBuilder::new().producer(9, 2, place as i32 * 3);
            for timestamp in [10, 30, 20] {
                builder.push(
                    timestamp,
                    Some(b"key"),
                    Some(&[7; 200]),
                    &[(b"h", None), (b"h", Some(b"x"))],
                );
            }
            let appended = put(&partition, builder.build_compressed(codec));
            assert_eq!(appended.base_offset, Offset(place as i64 * 3));
        }
        let batches = read_all(&partition, 0);
        assert_eq!(batches.len(), CODECS.len());
        for (place, bytes) in batches.iter().enumerate() {
            let batch = RecordBatch::parse(bytes).unwrap();
            let header = batch.header();
            assert_eq!(header.compression(), Ok(wanted));
            assert_eq!(
                (header.producer_id, header.producer_epoch, header.base_sequence),
                (9, 2, place as i32 * 3)
            );
            assert_eq!((header.record_count, header.max_timestamp), (3, 30));
            let records = batch.records(1 << 20).unwrap();
            for (record, timestamp) in records.iter().zip([10, 30, 20]) {
                let record = record.unwrap();
                assert_eq!((record.timestamp, record.value), (timestamp, Some(&[7; 200][..])));
                assert_eq!(record.headers.len(), 2);
            }
        }
    }
}

/// A batch may fit only as its producer compressed it.
#[test]
fn the_size_limit_holds_for_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        compression: Some(Compression::None),
        max_message_bytes: 1000,
        ..LogConfig::default()
    };
    let log = open(dir.path(), &config);
    let partition = log.create_partition(&tp(), config).unwrap();
    let mut builder = BatchBuilder::new();
    builder.push(1, None, Some(&[7; 2000]), &[]);
    let refused = partition.append(builder.build_compressed(Compression::Zstd), Origin::Client);
    assert!(
        matches!(refused, Err(AppendError::TooLarge { limit: 1000, .. })),
        "{refused:?}"
    );
    assert_eq!(partition.log_end_offset(), Offset(0));
}

#[test]
fn times_outside_the_bounds_are_refused_by_record() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        timestamp_before_max_ms: 100,
        timestamp_after_max_ms: 10,
        ..LogConfig::default()
    };
    let clock = Arc::new(ManualClock::default());
    clock.0.store(1000, Ordering::Relaxed);
    let options = LogOptions {
        clock,
        ..LogOptions::default()
    };
    let log = open_with(dir.path(), &config, options);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    put(&partition, batch(&[900, 1010, -1]));
    for (times, places) in [
        (&[900, 899, 1000][..], &[1][..]),
        (&[1011, -1], &[0]),
        (&[1011, 2, 950], &[0, 1]),
    ] {
        match partition.append(batch(times), Origin::Client) {
            Err(AppendError::TimestampOutOfRange {
                records,
                oldest,
                newest,
                ..
            }) => {
                assert_eq!((&records[..], oldest, newest), (places, 900, 1010));
            }
            other => panic!("{other:?}"),
        }
    }
    partition.set_config(LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..config
    });
    put(&partition, batch(&[5]));
}

#[test]
fn levels_of_lz4_make_batches_smaller() {
    let value: Vec<u8> = (0..3000_u32)
        .flat_map(|n| format!("{},", n * n % 977).into_bytes())
        .collect();
    let mut builder = BatchBuilder::new();
    builder.push(1, Some(b"key"), Some(&value), &[]);
    let batch = builder.build().unwrap();
    let sizes = [9, 3, 12].map(|lz4_level| {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig {
            compression: Some(Compression::Lz4),
            lz4_level,
            ..LogConfig::default()
        };
        let log = open(dir.path(), &config);
        let partition = log.create_partition(&tp(), config).unwrap();
        put(&partition, batch.clone());
        let stored = read_all(&partition, 0);
        let stored = RecordBatch::parse(&stored[0]).unwrap();
        let records = stored.records(1 << 20).unwrap();
        assert_eq!(records.iter().next().unwrap().unwrap().value, Some(&value[..]));
        stored.size()
    });
    assert!(sizes[0] > sizes[1] && sizes[1] >= sizes[2], "{sizes:?}");
}
