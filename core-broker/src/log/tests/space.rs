//! A disk that fills up: records are refused in time, deletions work, and everything goes on when there is room.

use std::io;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::*;

const RESERVE: u64 = 1000;

/// A disk that says how much room it has.
#[derive(Debug)]
struct Scale(AtomicU64);

impl Disk for Scale {
    fn volume(&self, _directory: &Path) -> io::Result<Volume> {
        Ok(Volume {
            total: 1 << 40,
            free: self.0.load(Ordering::SeqCst),
        })
    }
}

fn on_scale(path: &Path) -> (Arc<Scale>, LogDir) {
    let disk = Arc::new(Scale(AtomicU64::new(1 << 30)));
    let options = LogOptions {
        disk: disk.clone(),
        reserve_bytes: Some(RESERVE),
        ..LogOptions::default()
    };
    let log = open_with(path, &LogConfig::default(), options);
    (disk, log)
}

fn reserve_is_there(dir: &Path) -> bool {
    dir.join(".reserve")
        .metadata()
        .is_ok_and(|file| file.len() == RESERVE)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

#[test]
fn records_are_refused_before_the_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, log) = on_scale(dir.path());
    log.start_upkeep().unwrap();
    until("the reserve is filled", || reserve_is_there(dir.path()));
    let partition = log.create_partition(&tp(), LogConfig::default()).unwrap();
    put(&partition, sequenced(0, 0, &[1]));
    disk.0.store(RESERVE, Ordering::SeqCst);
    // What was measured before is used up at the latest now.
    log.shared_state().space.distrust();
    let refused = partition
        .append(sequenced(0, 1, &[2]), Origin::Client)
        .unwrap_err();
    assert!(matches!(refused, AppendError::DiskFull { .. }), "{refused}");
    assert!(refused.to_string().contains("log.dir.reserve.bytes"), "{refused}");
    assert_eq!(partition.log_end_offset(), Offset(1));
    assert!(
        log.create_partition(&TopicPartition::new("other", 0), LogConfig::default())
            .is_err()
    );
    // The broker's own records have a little more.
    let own = partition.append(batch(&[3]), Origin::Coordinator).unwrap();
    wait(&partition, own.last_offset.plus(1)).unwrap();
    disk.0.store(RESERVE / 2, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(120));
    partition.append(batch(&[3]), Origin::Coordinator).unwrap_err();
    // What was sent before is known, reads go on, deletions work.
    assert!(
        partition
            .append(sequenced(0, 0, &[1]), Origin::Client)
            .unwrap()
            .duplicate
    );
    assert_eq!(read_all(&partition, 0).len(), 2);
    let deleted = log.delete_records(&[(partition.clone(), Offset(1))]);
    assert_eq!(*deleted[0].as_ref().unwrap(), Offset(1));
    // By itself, and not for a single byte.
    disk.0.store(RESERVE + 200, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(120));
    partition
        .append(sequenced(0, 1, &[2]), Origin::Client)
        .unwrap_err();
    disk.0.store(1 << 30, Ordering::SeqCst);
    until("records are taken again", || {
        partition.append(sequenced(0, 1, &[2]), Origin::Client).is_ok()
    });
    wait(&partition, Offset(3)).unwrap();
    log.close().unwrap();
}

#[test]
fn the_reserve_is_used_and_filled_again() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, log) = on_scale(dir.path());
    assert!(!reserve_is_there(dir.path()));
    log.start_upkeep().unwrap();
    until("the reserve is filled", || reserve_is_there(dir.path()));
    let partition = log.create_partition(&tp(), LogConfig::default()).unwrap();
    disk.0.store(RESERVE, Ordering::SeqCst);
    assert!(log.shared_state().space.release(dir.path()));
    assert!(!log.shared_state().space.release(dir.path()));
    assert!(!dir.path().join(".reserve").exists());
    // What it freed is not for records.
    disk.0.store(2 * RESERVE, Ordering::SeqCst);
    partition.append(batch(&[1]), Origin::Client).unwrap_err();
    disk.0.store(1 << 30, Ordering::SeqCst);
    until("the reserve is filled again", || reserve_is_there(dir.path()));
    put(&partition, batch(&[1]));
    log.close().unwrap();
    assert!(reserve_is_there(dir.path()));
    let (_, log) = on_scale(dir.path());
    assert!(log.write_meta_file(".reserve", b"").is_err());
}

/// Bytes of the disk that a segment's file has, and its length.
fn room(dir: &Path, base: i64) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let file = dir.join(format!("orders-0/{base:020}.log")).metadata().unwrap();
    (file.blocks() * 512, file.len())
}

#[test]
fn a_segments_room_is_taken_at_once_and_given_back() {
    const SEGMENT: u64 = 4 << 20;
    let config = LogConfig {
        preallocate: true,
        segment_bytes: SEGMENT as u32,
        ..LogConfig::default()
    };
    let big = |n: i64| {
        let mut builder = BatchBuilder::new();
        builder.push(n, Some(b"key"), Some(&[7; 900_000]), &[]);
        builder.build().unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let (disk, log) = on_scale(dir.path());
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    assert_eq!(room(dir.path(), 0), (0, 0));
    put(&partition, big(0));
    let (taken, length) = room(dir.path(), 0);
    assert!(taken >= SEGMENT && length < SEGMENT / 4, "{taken} {length}");
    for n in 1..4 {
        put(&partition, big(n));
    }
    // The next segment gets none: too little would be left for others.
    disk.0.store(RESERVE + SEGMENT - 1, Ordering::SeqCst);
    put(&partition, big(4));
    let (kept, length) = room(dir.path(), 0);
    assert!(
        kept < length + (64 << 10) && length > SEGMENT / 2,
        "{kept} {length}"
    );
    let (taken, length) = room(dir.path(), 4);
    assert!(taken < SEGMENT && length < SEGMENT / 4, "{taken} {length}");
    let before = read_all(&partition, 0);
    log.close().unwrap();
    // A crash before the room was given back, and every segment is checked again.
    std::fs::remove_file(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    for base in [0, 4] {
        let file = dir.path().join(format!("orders-0/{base:020}.log"));
        let file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
        SystemDisk.preallocate(&file, SEGMENT).unwrap();
    }
    let log = open(dir.path(), &config);
    let partition = log.partition(&tp()).unwrap();
    assert_eq!(read_all(&partition, 0), before);
    let (kept, length) = room(dir.path(), 0);
    assert!(kept < length + (64 << 10), "{kept} {length}");
    assert!(room(dir.path(), 4).0 >= SEGMENT);
    put(&partition, big(5));
    assert_eq!(bases(&read_all(&partition, 0)), [0, 1, 2, 3, 4, 5]);
}
