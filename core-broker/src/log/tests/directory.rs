//! The data directory: lock, identity, creating and deleting partitions.

use std::fs;
use std::time::{Duration, Instant};

use super::*;

fn try_open(path: &Path) -> Result<LogDir, OpenError> {
    LogDir::open(path, LogOptions::default(), |_| LogConfig::default())
}

#[test]
fn two_brokers_cannot_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let log = try_open(dir.path()).unwrap();
    let error = try_open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    log.close().unwrap();
    let again = try_open(dir.path()).unwrap();
    drop(log);
    assert!(matches!(try_open(dir.path()), Err(OpenError::Locked { .. })));
    drop(again);
    try_open(dir.path()).unwrap();
}

#[test]
fn the_identity_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = try_open(&dir.path().join("new/deep")).unwrap();
    let id = log.cluster_id().to_owned();
    assert_eq!(id.len(), 22);
    assert_eq!(log.node_id(), 1);
    log.close().unwrap();
    assert_eq!(try_open(&dir.path().join("new/deep")).unwrap().cluster_id(), id);
}

#[test]
fn foreign_directories_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("holiday.jpg"), b"x").unwrap();
    let error = try_open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotADataDir { .. }), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let kafka = "version=1\ncluster.id=abc\nnode.id=1\ndirectory.id=def\n";
    fs::write(dir.path().join("meta.properties"), kafka).unwrap();
    fs::create_dir(dir.path().join("__cluster_metadata-0")).unwrap();
    let error = try_open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotADataDir { .. }), "{error}");

    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("meta.properties"),
        kafka.replace("version=1", "version=9"),
    )
    .unwrap();
    let error = try_open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, OpenError::Version { found, expected: 1, .. } if found == "9"),
        "{error}"
    );

    let file = dir.path().join("meta.properties");
    assert!(matches!(try_open(&file), Err(OpenError::Io { .. })));
}

#[test]
fn an_empty_directory_opens_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let log = try_open(dir.path()).unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    log.close().unwrap();
    assert!(dir.path().join(".kafka_cleanshutdown").exists());
    let _log = try_open(dir.path()).unwrap();
    assert!(!dir.path().join(".kafka_cleanshutdown").exists());
}

#[test]
fn meta_files_are_replaced_and_guarded() {
    let dir = tempfile::tempdir().unwrap();
    let log = try_open(dir.path()).unwrap();
    assert_eq!(log.read_meta_file("topics.json").unwrap(), None);
    log.write_meta_file("topics.json", b"one\n").unwrap();
    log.write_meta_file("topics.json", b"two\n").unwrap();
    assert_eq!(
        log.read_meta_file("topics.json").unwrap().as_deref(),
        Some(&b"two\n"[..])
    );
    let file = dir.path().join("topics.json");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("two", "twp")).unwrap();
    let error = log.read_meta_file("topics.json").unwrap_err();
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
    for name in ["", ".", "..", "a/b", ".lock", "meta.properties", "x.tmp"] {
        assert!(
            matches!(log.write_meta_file(name, b""), Err(LogError::Name { .. })),
            "{name}"
        );
    }
}

#[test]
fn partitions_are_created_once_and_with_legal_names() {
    let dir = tempfile::tempdir().unwrap();
    let log = try_open(dir.path()).unwrap();
    let config = LogConfig::default;
    log.create_partition(&tp(), config()).unwrap();
    assert!(matches!(
        log.create_partition(&tp(), config()),
        Err(LogError::Exists { .. })
    ));
    for name in ["", "..", "a/b", "a b", &"x".repeat(250)] {
        let result = log.create_partition(&TopicPartition::new(name, 0), config());
        assert!(matches!(result, Err(LogError::Name { .. })), "{name}");
    }
    let negative = log.create_partition(&TopicPartition::new("a", -1), config());
    assert!(matches!(negative, Err(LogError::Name { .. })));
    let many = (0..20).map(|n| (TopicPartition::new("many-dashes-1", n), config()));
    assert_eq!(log.create_partitions(many).unwrap().len(), 20);
    assert_eq!(log.partitions().len(), 21);
    drop(log);
    assert_eq!(try_open(dir.path()).unwrap().partitions().len(), 21);
}

#[test]
fn deleting_wakes_waiters_and_frees_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let log = try_open(dir.path()).unwrap();
    let partition = log.create_partition(&tp(), LogConfig::default()).unwrap();
    put(&partition, batch(&[1, 2, 3]));
    let slice = partition.read(Offset(0), 1000, Offset(3), true).unwrap();
    let waiter = {
        let partition = partition.clone();
        std::thread::spawn(move || wait(&partition, Offset(100)))
    };
    std::thread::sleep(Duration::from_millis(20));
    log.delete_partition(&tp()).unwrap();
    assert!(matches!(waiter.join().unwrap(), Err(LogError::Deleted { .. })));
    assert!(matches!(
        partition.append(batch(&[1]), Origin::Client),
        Err(AppendError::Log(LogError::Deleted { .. }))
    ));
    assert!(partition.read(Offset(0), 1000, Offset(3), true).is_err());
    assert_eq!(slice.read().unwrap().len(), slice.len());
    assert!(matches!(
        log.delete_partition(&tp()),
        Err(LogError::Unknown { .. })
    ));
    assert!(log.partition(&tp()).is_none());
    let again = log.create_partition(&tp(), LogConfig::default()).unwrap();
    assert_eq!(put(&again, batch(&[1])).base_offset, Offset(0));
}

/// A partition of the same name inherited the recovery point of the deleted one, so that after a crash its
/// records seemed to be missing.
#[test]
fn a_new_partition_does_not_inherit_a_recovery_point() {
    for crash_in_between in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let log = try_open(dir.path()).unwrap();
        let partition = log.create_partition(&tp(), LogConfig::default()).unwrap();
        put(&partition, batch(&[1, 2, 3]));
        log.close().unwrap();
        let log = if crash_in_between {
            fs::rename(
                dir.path().join("orders-0"),
                dir.path().join(format!("orders-0.{:032x}-delete", 7)),
            )
            .unwrap();
            try_open(dir.path()).unwrap()
        } else {
            let log = try_open(dir.path()).unwrap();
            log.delete_partition(&tp()).unwrap();
            log
        };
        let partition = log.create_partition(&tp(), LogConfig::default()).unwrap();
        put(&partition, batch(&[1]));
        drop(log);
        let log = try_open(dir.path()).unwrap();
        assert_eq!(log.partition(&tp()).unwrap().log_end_offset(), Offset(1));
        assert!(
            fs::read_dir(dir.path()).unwrap().all(|e| !e
                .unwrap()
                .path()
                .to_string_lossy()
                .ends_with("-delete"))
        );
    }
}

/// Without room for a checkpoint deleting left the folder behind, and the old recovery point for the next of its name.
#[test]
fn a_checkpoint_that_cannot_be_written_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let log = try_open(dir.path()).unwrap();
    let partition = log.create_partition(&tp(), LogConfig::default()).unwrap();
    put(&partition, batch(&[1, 2, 3]));
    log.close().unwrap();
    let log = try_open(dir.path()).unwrap();
    let in_the_way = dir.path().join("recovery-point-offset-checkpoint.tmp");
    fs::create_dir(&in_the_way).unwrap();
    put(&log.partition(&tp()).unwrap(), batch(&[4]));
    drop(log);
    // Nor is a start refused.
    let log = try_open(dir.path()).unwrap();
    assert_eq!(log.partition(&tp()).unwrap().high_watermark(), Offset(4));
    log.delete_partition(&tp()).unwrap();
    let folders = || {
        let entries = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
        entries
            .filter(|path| path.is_dir() && *path != in_the_way)
            .count()
    };
    assert_eq!(folders(), 0);
    let refused = log.create_partition(&tp(), LogConfig::default()).unwrap_err();
    assert!(matches!(refused, LogError::Io { .. }), "{refused}");
    drop(log);
    let log = try_open(dir.path()).unwrap();
    let refused = log.create_partition(&tp(), LogConfig::default()).unwrap_err();
    assert!(matches!(refused, LogError::Io { .. }), "{refused}");
    fs::remove_dir(&in_the_way).unwrap();
    let partition = log.create_partition(&tp(), LogConfig::default()).unwrap();
    put(&partition, batch(&[1]));
    drop(log);
    let log = try_open(dir.path()).unwrap();
    assert_eq!(log.partition(&tp()).unwrap().log_end_offset(), Offset(1));
}

#[test]
fn a_deletion_that_failed_can_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = try_open(dir.path()).unwrap();
    log.create_partition(&tp(), LogConfig::default()).unwrap();
    let (folder, away) = (dir.path().join("orders-0"), dir.path().join("away"));
    fs::rename(&folder, &away).unwrap();
    let error = log.delete_partition(&tp()).unwrap_err();
    assert!(matches!(error, LogError::Io { .. }), "{error}");
    fs::rename(&away, &folder).unwrap();
    log.delete_partition(&tp()).unwrap();
    assert!(!folder.exists());
    log.create_partition(&tp(), LogConfig::default()).unwrap();
}

#[test]
fn many_partitions_write_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        open_files_max: 10,
        ..LogOptions::default()
    };
    let log = open_with(dir.path(), &LogConfig::default(), options);
    let wanted = (0..60).map(|n| (TopicPartition::new("many", n), LogConfig::default()));
    let partitions = log.create_partitions(wanted).unwrap();
    std::thread::scope(|scope| {
        for half in partitions.chunks(30) {
            scope.spawn(move || {
                for round in 0..10 {
                    for partition in half {
                        partition.append(batch(&[round]), Origin::Client).unwrap();
                    }
                }
                for partition in half {
                    wait(partition, Offset(10)).unwrap();
                }
            });
        }
    });
    for partition in &partitions {
        assert_eq!(read_all(partition, 0).len(), 10);
    }
    log.close().unwrap();
    let log = try_open(dir.path()).unwrap();
    assert!(log.partitions().iter().all(|p| p.high_watermark() == Offset(10)));
}
