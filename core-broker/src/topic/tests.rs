//! The registry over a real data directory, with the crashes that can happen between its steps.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::log::batch::BatchBuilder;
use crate::log::{LogOptions, Origin};

fn open(dir: &Path) -> Result<(Arc<LogDir>, TopicRegistry), TopicError> {
    let config = Arc::new(BrokerConfig::default());
    let logs = Arc::new(LogDir::open(dir, LogOptions::default(), |_| config.log_config()).unwrap());
    let registry = TopicRegistry::open(
        Arc::clone(&logs),
        Arc::new(LiveConfig::open(config, None).unwrap()),
    )?;
    Ok((logs, registry))
}

fn names(registry: &TopicRegistry) -> Vec<String> {
    registry.all().iter().map(|t| t.name.to_string()).collect()
}

fn write_record(partition: &Partition) {
    let mut batch = BatchBuilder::new();
    batch.push(1, Some(b"k"), Some(b"v"), &[]);
    partition.append(batch.build().unwrap(), Origin::Client).unwrap();
}

fn folders(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    let mut folders: Vec<String> = entries
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    folders
}

#[test]
fn topics_survive_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let overrides = Overrides::from([("max.message.bytes".to_owned(), "1000".to_owned())]);
    let id = {
        let (_logs, registry) = open(dir.path()).unwrap();
        registry.create("a", None, Overrides::new()).unwrap();
        registry.add_partitions("a", 3, false).unwrap();
        registry.create("b", Some(2), overrides.clone()).unwrap().id
    };
    let (_logs, registry) = open(dir.path()).unwrap();
    assert_eq!(names(&registry), ["a", "b"]);
    assert_eq!(registry.get("a").unwrap().partitions().len(), 3);
    let b = registry.by_id(id).unwrap();
    assert_eq!(
        (b.name.as_str(), b.partitions().len(), &b.overrides),
        ("b", 2, &overrides)
    );
    assert_eq!(b.partition(1).unwrap().config().max_message_bytes, 1000);
    assert!(b.partition(2).is_none() && b.partition(-1).is_none());
}

#[test]
fn rules_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let (_logs, registry) = open(dir.path()).unwrap();
    registry.create("a.b", Some(1), Overrides::new()).unwrap();
    let create =
        |name: &str, count, overrides| registry.create(name, count, overrides).map(drop).unwrap_err();
    assert!(matches!(
        create("a.b", None, Overrides::new()),
        TopicError::Exists(_)
    ));
    assert!(matches!(
        create("a_b", None, Overrides::new()),
        TopicError::Collides { .. }
    ));
    assert!(matches!(
        create("a/b", None, Overrides::new()),
        TopicError::Name(_)
    ));
    assert!(matches!(
        create("c", Some(0), Overrides::new()),
        TopicError::Partitions { .. }
    ));
    assert!(matches!(
        create("c", Some(10_001), Overrides::new()),
        TopicError::Partitions { .. }
    ));
    let bad = Overrides::from([("retention.ms".to_owned(), "soon".to_owned())]);
    assert!(matches!(create("c", None, bad), TopicError::Config(_)));
    let fewer = registry.add_partitions("a.b", 1, false).unwrap_err();
    assert_eq!(
        fewer.to_string(),
        "1 partitions for topic a.b: expected 2 to 10000"
    );
    registry.add_partitions("a.b", 5, true).unwrap();
    assert_eq!(registry.get("a.b").unwrap().partitions().len(), 1);
    assert!(matches!(registry.delete("nope"), Err(TopicError::Unknown(_))));
    assert_eq!(folders(dir.path()), ["a.b-0"]);
}

/// The check took the lock for reading twice: with a writer between, all stood still.
#[test]
fn checks_do_not_stand_still_when_topics_change_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (_logs, registry) = open(dir.path()).unwrap();
    // Many, so that the check takes its time.
    for number in 0..2_000 {
        registry.state.write().unwrap().insert(Arc::new(Topic {
            name: format!("other-{number}").as_str().into(),
            id: random_id(),
            internal: false,
            overrides: Overrides::new(),
            partitions: Vec::new(),
        }));
    }
    let registry = Arc::new(registry);
    let checked = Arc::new(AtomicBool::new(false));
    let writer = {
        let (registry, checked) = (Arc::clone(&registry), Arc::clone(&checked));
        move || {
            while !checked.load(Ordering::Relaxed) {
                drop(registry.state.write().unwrap());
            }
        }
    };
    std::thread::spawn(writer);
    let (done, all_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for _ in 0..200 {
            registry.check_new("t", Some(1), &Overrides::new()).unwrap();
        }
        done.send(()).unwrap();
    });
    let patience = std::time::Duration::from_secs(60);
    all_done
        .recv_timeout(patience)
        .expect("the threads wait for each other");
    checked.store(true, Ordering::Relaxed);
}

#[test]
fn a_creation_cut_short_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (logs, registry) = open(dir.path()).unwrap();
        registry.create("whole", Some(1), Overrides::new()).unwrap();
        // The crash came after the folders and before the topics file.
        for tp in [TopicPartition::new("half", 0), TopicPartition::new("whole", 1)] {
            logs.create_partition(&tp, BrokerConfig::default().log_config())
                .unwrap();
        }
    }
    let (_logs, registry) = open(dir.path()).unwrap();
    assert_eq!(names(&registry), ["whole"]);
    assert_eq!(registry.get("whole").unwrap().partitions().len(), 1);
    assert_eq!(folders(dir.path()), ["whole-0"]);
    registry.create("half", Some(1), Overrides::new()).unwrap();
}

#[test]
fn a_deletion_cut_short_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (_logs, registry) = open(dir.path()).unwrap();
        let topic = registry.create("gone", Some(2), Overrides::new()).unwrap();
        write_record(topic.partition(0).unwrap());
        registry.create("kept", Some(1), Overrides::new()).unwrap();
        // The crash came after the topics file and before the folders were removed.
        registry.store(&[], None, Some(&topic)).unwrap();
    }
    let (_logs, registry) = open(dir.path()).unwrap();
    assert_eq!(names(&registry), ["kept"]);
    assert_eq!(folders(dir.path()), ["kept-0"]);
    let text = std::fs::read_to_string(dir.path().join(file::FILE)).unwrap();
    assert!(!text.contains("deleting"), "{text}");
}

#[test]
fn deleting_and_creating_again_gives_another_id() {
    let dir = tempfile::tempdir().unwrap();
    let (_logs, registry) = open(dir.path()).unwrap();
    let first = registry.create("t", Some(1), Overrides::new()).unwrap();
    write_record(first.partition(0).unwrap());
    registry.delete("t").unwrap();
    assert!(registry.get("t").is_none() && registry.by_id(first.id).is_none());
    let second = registry.create("t", Some(1), Overrides::new()).unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(second.partition(0).unwrap().log_end_offset().0, 0);
}

#[test]
fn records_without_a_topic_are_never_removed() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (_logs, registry) = open(dir.path()).unwrap();
        write_record(
            registry
                .create("t", Some(1), Overrides::new())
                .unwrap()
                .partition(0)
                .unwrap(),
        );
    }
    std::fs::remove_file(dir.path().join(file::FILE)).unwrap();
    let refused = open(dir.path()).map(drop).unwrap_err();
    assert!(
        matches!(&refused, TopicError::Orphan(tp) if tp.to_string() == "t-0"),
        "{refused}"
    );
    assert_eq!(folders(dir.path()), ["t-0"]);
}

#[test]
fn a_damaged_topics_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(
        open(dir.path())
            .unwrap()
            .1
            .create("t", None, Overrides::new())
            .unwrap(),
    );
    std::fs::write(dir.path().join(file::FILE), "millstream-topics 1\ntop").unwrap();
    assert!(matches!(open(dir.path()).map(drop), Err(TopicError::File(_))));
}
