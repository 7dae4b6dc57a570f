//! Finding batches by offset and by time, against a scan of everything.

use proptest::prelude::*;

use super::*;
use crate::log::batch::HEADER_BYTES;
use crate::log::segment::HeaderScan;

#[test]
fn reads_whole_batches_within_limits() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig::default();
    let log = open(dir.path(), &config);
    let partition = log.create_partition(&tp(), config).unwrap();
    let size = batch(&[0, 0]).len();
    for _ in 0..4 {
        put(&partition, batch(&[0, 0]));
    }
    let read = |offset, max_bytes, limit, at_least_one| {
        partition
            .read(Offset(offset), max_bytes, Offset(limit), at_least_one)
            .unwrap()
            .len()
    };
    assert_eq!(read(0, usize::MAX, 8, true), 4 * size);
    assert_eq!(read(0, 2 * size, 8, true), 2 * size);
    assert_eq!(read(0, 2 * size - 1, 8, true), size);
    assert_eq!(read(0, size - 1, 8, false), 0);
    assert_eq!(read(0, 0, 8, true), size);
    assert_eq!(read(1, usize::MAX, 8, true), 4 * size);
    assert_eq!(read(2, usize::MAX, 8, true), 3 * size);
    assert_eq!(read(2, usize::MAX, 4, true), size);
    // A batch that reaches over the limit is not given.
    assert_eq!(read(2, usize::MAX, 5, true), size);
    assert_eq!(read(2, usize::MAX, 3, true), 0);
    assert_eq!(read(8, usize::MAX, 8, true), 0);
    assert_eq!(read(0, usize::MAX, 1 << 40, true), 4 * size);
    for offset in [-1, 9] {
        let error = partition.read(Offset(offset), 1, Offset(8), true).unwrap_err();
        assert!(
            matches!(
                error,
                ReadError::OutOfRange {
                    log_end: Offset(8),
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_slice_knows_where_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let config = small_segments();
    let log = open(dir.path(), &config);
    let partition = log.create_partition(&tp(), config).unwrap();
    let size = batch(&[0, 0]).len();
    for _ in 0..40 {
        put(&partition, batch(&[0, 0]));
    }
    for start in (0..80).step_by(2) {
        for (max_bytes, limit) in [(0, 80), (3 * size, 80), (usize::MAX, 80), (usize::MAX, 33)] {
            let slice = partition
                .read(Offset(start), max_bytes, Offset(limit), true)
                .unwrap();
            let bytes = slice.read().unwrap();
            let end = RecordBatches::new(&bytes)
                .last()
                .map(|b| b.unwrap().header().next_offset());
            // A batch that reaches over the limit is left out, but not what is below the limit.
            let end = end.map_or(0, |end| if end == 32 && limit == 33 { 33 } else { end });
            assert_eq!(slice.end_offset(), Offset(end), "{start} {max_bytes} {limit}");
        }
    }
}

/// Where batches are large, finding their boundaries takes no byte of their records.
#[test]
fn boundaries_of_large_batches_are_found_by_their_headers() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), &LogConfig::default());
    let partition = log.create_partition(&tp(), LogConfig::default()).unwrap();
    let batch = batch(&[0; 200]);
    for _ in 0..20 {
        put(&partition, batch.clone());
    }
    let file = Arc::new(std::fs::File::open(&files(dir.path(), "log")[0]).unwrap());
    let mut scan = HeaderScan::new(file, 0, 20 * batch.len() as u64);
    for position in (0..20).map(|i| i * batch.len() as u64) {
        assert_eq!(scan.next().unwrap().unwrap().0, position);
        assert_eq!(scan.read_ahead_bytes(), HEADER_BYTES);
    }
    assert!(scan.next().unwrap().is_none());
}

#[test]
fn records_without_timestamps_have_none() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), &LogConfig::default());
    let partition = log.create_partition(&tp(), LogConfig::default()).unwrap();
    assert_eq!(partition.max_timestamp().unwrap(), None);
    put(&partition, batch(&[-1, -1]));
    assert_eq!(partition.max_timestamp().unwrap(), None);
    assert_eq!(partition.offset_for_timestamp(Timestamp(0)).unwrap(), None);
    assert_eq!(
        partition.offset_for_timestamp(Timestamp(-1)).unwrap(),
        Some((Offset(0), Timestamp(-1)))
    );
}

/// Every record's timestamp, by offset.
fn timestamps(batches: &[Bytes]) -> Vec<i64> {
    let mut found = Vec::new();
    for bytes in batches {
        for batch in RecordBatches::new(bytes) {
            let records = batch.unwrap().records(1 << 20).unwrap();
            found.extend(records.iter().map(|record| record.unwrap().timestamp));
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn searches_agree_with_a_scan(
        batches in prop::collection::vec(prop::collection::vec(-1_i64..60, 1..8), 1..60),
        drift in 0_i64..3,
        how in 0..3,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig { flush: FlushMode::Os, ..small_segments() };
        let mut log = open(dir.path(), &config);
        let mut partition = log.create_partition(&tp(), config.clone()).unwrap();
        for (index, batch_timestamps) in batches.iter().enumerate() {
            let later = index as i64 * drift * 10;
            let batch_timestamps: Vec<_> = batch_timestamps.iter().map(|t| if *t < 0 { -1 } else { t + later }).collect();
            put(&partition, batch(&batch_timestamps));
        }
        let copy = crashed_copy(dir.path());
        match how {
            1 => {
                log.close().unwrap();
                log = open(dir.path(), &config);
                partition = log.partition(&tp()).unwrap();
            }
            2 => {
                log.close().unwrap();
                log = open(copy.path(), &config);
                partition = log.partition(&tp()).unwrap();
            }
            _ => {}
        }
        let all = read_all(&partition, 0);
        let times = timestamps(&all);
        prop_assert_eq!(times.len() as i64, partition.high_watermark().0);
        let oracle = |wanted: i64| {
            times.iter().position(|t| *t >= wanted).map(|at| (Offset(at as i64), Timestamp(times[at])))
        };
        let greatest = *times.iter().max().unwrap();
        for wanted in -2..=greatest + 1 {
            prop_assert_eq!(partition.offset_for_timestamp(Timestamp(wanted)).unwrap(), oracle(wanted), "{}", wanted);
        }
        let expected = if greatest < 0 { None } else { oracle(greatest) };
        prop_assert_eq!(partition.max_timestamp().unwrap(), expected);
        // Any offset finds its batch.
        let bases = bases(&all);
        for offset in 0..times.len() as i64 {
            let bytes = partition.read(Offset(offset), 0, Offset(i64::MAX), true).unwrap().read().unwrap();
            let holder = bases.iter().rposition(|base| *base <= offset).unwrap();
            prop_assert_eq!(&bytes, &all[holder]);
        }
        drop(log);
    }
}
