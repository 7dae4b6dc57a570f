//! Crashes: whatever they leave behind, the intact prefix comes back and nothing else.

use std::fs::{self, OpenOptions};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Appends the batches, checkpointing before some, and gives the bytes as they are in the log.
fn written(dir: &Path, config: &LogConfig, sizes: &[usize], reopen_at: Option<usize>) -> Vec<Bytes> {
    let mut log = open(dir, config);
    let mut partition = log.create_partition(&tp(), config.clone()).unwrap();
    let mut sequence = 0;
    for (index, size) in sizes.iter().enumerate() {
        if reopen_at == Some(index) {
            log.close().unwrap();
            log = open(dir, config);
            partition = log.partition(&tp()).unwrap();
        }
        let timestamps: Vec<_> = (0..*size).map(|n| ((index * 37 + n * 11) % 100) as i64).collect();
        put(&partition, sequenced(0, sequence, &timestamps));
        sequence += *size as i32;
    }
    let batches = read_all(&partition, 0);
    assert_eq!(batches.len(), sizes.len());
    // Not closed: the rest of the log is as a crash leaves it.
    batches
}

/// How many of the batches are still there, byte for byte, up to the first that is not.
fn intact(batches: &[Bytes], segments: &[std::path::PathBuf]) -> usize {
    let log: Vec<u8> = segments.iter().flat_map(|path| fs::read(path).unwrap()).collect();
    let mut rest = &log[..];
    let same = |batch: &&Bytes| match rest.strip_prefix(&batch[..]) {
        Some(after) => {
            rest = after;
            true
        }
        None => false,
    };
    batches.iter().take_while(same).count()
}

/// Files, in order, until `at` bytes are passed: which file, and the position in it.
fn place(root: &Path, mut at: u64) -> (usize, u64) {
    let segments = files(root, "log");
    for (index, path) in segments.iter().enumerate() {
        let len = path.metadata().unwrap().len();
        if at < len || index + 1 == segments.len() {
            return (index, at.min(len));
        }
        at -= len;
    }
    unreachable!("there is always a segment")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Cut, zeroed or flipped anywhere beyond the recovery point.
    #[test]
    fn the_intact_prefix_is_recovered(
        sizes in prop::collection::vec(1_usize..12, 1..40),
        reopen_at in prop::option::of(0_usize..40),
        at in 0.0_f64..1.0,
        damage in 0..3,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = small_segments();
        let reopen_at = reopen_at.filter(|at| *at < sizes.len());
        let batches = written(dir.path(), &config, &sizes, reopen_at);
        let safe: u64 = batches[..reopen_at.unwrap_or(0)].iter().map(|b| b.len() as u64).sum();
        let total: u64 = batches.iter().map(|b| b.len() as u64).sum();
        let at = safe + ((total - safe) as f64 * at) as u64;
        let (file, position) = place(dir.path(), at);
        let segments = files(dir.path(), "log");
        let log = OpenOptions::new().read(true).write(true).open(&segments[file]).unwrap();
        let mut bytes = fs::read(&segments[file]).unwrap();
        let mut left = &segments[..];
        match damage {
            0 => {
                log.set_len(position).unwrap();
                // What follows a cut is behind a hole.
                left = &segments[..=file];
            }
            1 => {
                bytes[position as usize..].fill(0);
                fs::write(&segments[file], &bytes).unwrap();
            }
            _ if (position as usize) < bytes.len() => {
                bytes[position as usize] ^= 0x10;
                fs::write(&segments[file], &bytes).unwrap();
                // The CRC covers neither the base offset, of which the order is checked, nor the leader epoch.
                let hit = intact(&batches, left);
                let start: u64 = batches[..hit].iter().map(|b| b.len() as u64).sum();
                prop_assume!(at - start >= 16);
            }
            _ => {}
        }
        let expected = intact(&batches, left);
        let log = open(dir.path(), &config);
        let partition = log.partition(&tp()).unwrap();
        let recovered = read_all(&partition, 0);
        prop_assert_eq!(recovered.len(), expected);
        prop_assert_eq!(&recovered[..], &batches[..expected]);
        // The producers' state is that of the prefix, too.
        let next: usize = sizes[..expected].iter().sum();
        let appended = put(&partition, sequenced(0, next as i32, &[5]));
        prop_assert!(!appended.duplicate);
        prop_assert_eq!(appended.base_offset, Offset(next as i64));
        prop_assert_eq!(read_all(&partition, 0).len(), expected + 1);
        log.close().unwrap();
        indexes_equal_rebuilt_ones(dir.path(), &config);
    }
}

/// Removes all indexes and lets them be made again.
fn indexes_equal_rebuilt_ones(root: &Path, config: &LogConfig) {
    let paths = [files(root, "index"), files(root, "timeindex")].concat();
    let written: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    for path in &paths {
        fs::remove_file(path).unwrap();
    }
    let log = open(root, config);
    put(&log.partition(&tp()).unwrap(), batch(&[1]));
    log.close().unwrap();
    for (path, before) in paths.iter().zip(written) {
        let after = fs::read(path).unwrap();
        // One more batch may have brought one more entry.
        assert!(
            after.starts_with(&before),
            "{}: {before:?} {after:?}",
            path.display()
        );
    }
}

#[test]
fn a_copy_without_close_has_everything_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let config = small_segments();
    let log = open(dir.path(), &config);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    for index in 0..50 {
        put(&partition, batch(&[index, index]));
    }
    let copy = crashed_copy(dir.path());
    let recovered = open(copy.path(), &config);
    assert_eq!(
        read_all(&recovered.partition(&tp()).unwrap(), 0),
        read_all(&partition, 0)
    );
}

#[test]
fn a_checkpoint_spares_the_scan_and_keeps_few_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let config = small_segments();
    let options = || LogOptions {
        checkpoint_interval: Duration::from_millis(1),
        ..LogOptions::default()
    };
    let log = open_with(dir.path(), &config, options());
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    for index in 0..100 {
        put(&partition, sequenced(0, index, &[i64::from(index)]));
    }
    for _ in 0..1000 {
        if partition.recovery_point() == 100 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(50));
    let copy = crashed_copy(dir.path());
    assert!(
        files(copy.path(), "snapshot").len() <= 3,
        "{:?}",
        files(copy.path(), "snapshot")
    );
    let points = fs::read_to_string(copy.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert!(points.starts_with("0\n1\norders 0 100\n#crc32c "), "{points}");
    // Damage before the recovery point is not looked for, so a scan would have cut it off.
    let first = files(copy.path(), "log")[0].clone();
    let mut bytes = fs::read(&first).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&first, bytes).unwrap();
    let recovered = open(copy.path(), &config);
    let partition = recovered.partition(&tp()).unwrap();
    assert_eq!(partition.log_end_offset(), Offset(100));
    assert!(
        partition
            .append(sequenced(0, 99, &[1]), Origin::Client)
            .unwrap()
            .duplicate
    );
}

/// What was synced may not go missing silently.
#[test]
fn loss_below_the_recovery_point_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig::default();
    let log = open(dir.path(), &config);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    put(&partition, batch(&[1, 2, 3]));
    put(&partition, batch(&[4]));
    log.close().unwrap();
    let segment = files(dir.path(), "log")[0].clone();
    let len = segment.metadata().unwrap().len();
    OpenOptions::new()
        .write(true)
        .open(&segment)
        .unwrap()
        .set_len(len - 1)
        .unwrap();
    let error = LogDir::open(dir.path(), LogOptions::default(), |_| config.clone()).unwrap_err();
    assert!(
        matches!(&error, OpenError::Corrupt { file, .. } if *file == segment),
        "{error}"
    );
    // As the message says: without the recovery point the intact part is used.
    fs::write(dir.path().join("recovery-point-offset-checkpoint"), "0\n0\n").unwrap();
    let log = open(dir.path(), &config);
    assert_eq!(log.partition(&tp()).unwrap().log_end_offset(), Offset(3));
}

/// The end of one segment was lost at a batch boundary while the next had reached the disk: offsets must
/// not have a hole.
#[test]
fn a_hole_between_segments_ends_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let config = small_segments();
    let batches = written(dir.path(), &config, &[1; 30], None);
    let first = files(dir.path(), "log")[0].clone();
    let len = first.metadata().unwrap().len();
    OpenOptions::new()
        .write(true)
        .open(&first)
        .unwrap()
        .set_len(len - batches[0].len() as u64)
        .unwrap();
    let log = open(dir.path(), &config);
    let partition = log.partition(&tp()).unwrap();
    let left = (len / batches[0].len() as u64) as i64 - 1;
    assert_eq!(partition.log_end_offset(), Offset(left));
    assert_eq!(files(dir.path(), "log").len(), 1);
}

#[test]
fn a_foreign_index_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        index_interval_bytes: 150,
        ..LogConfig::default()
    };
    let log = open(dir.path(), &config);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    for index in 0..50 {
        put(&partition, batch(&[index]));
    }
    log.close().unwrap();
    let index = files(dir.path(), "index")[0].clone();
    let right = fs::read(&index).unwrap();
    let mut wrong = right.clone();
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    fs::write(&index, &wrong).unwrap();
    let log = open(dir.path(), &config);
    let partition = log.partition(&tp()).unwrap();
    assert_eq!(read_all(&partition, 17).len(), 33);
    put(&partition, batch(&[51]));
    log.close().unwrap();
    assert!(fs::read(&index).unwrap().starts_with(&right));
}
