//! What goes wrong with disks.
use super::*;

#[test]
fn errors_of_disks_are_errors() {
    let mut full = Bench::new(Arc::new(RealDisk), &[("file", "/dev/full")]);
    full.start(&[partition(0)]).unwrap();
    let error = full.put(vec![line(0, 0)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(error.to_string().contains("make room"), "{error}");
    assert_eq!(full.flush(&[(0, 1)]).unwrap(), [], "nothing is durable");
    let mut missing = Bench::new(Arc::new(RealDisk), &[("file", "/nowhere/at/all.txt")]);
    assert!(missing.start(&[partition(0)]).is_err());
    for (kind, remedy) in [
        (io::ErrorKind::ReadOnlyFilesystem, "mount"),
        (io::ErrorKind::CrossesDevices, "one file system"),
    ] {
        let disk = SimulatedDisk::default();
        disk.kill();
        disk.crash_after(0, kind);
        let error = Bench::new(Arc::new(disk), ROLLING)
            .start(&[partition(0)])
            .unwrap_err();
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

/// Two partitions whose records a transform sends to one topic have files of the same names, perhaps in two tasks at once.
#[test]
fn a_file_is_never_replaced_by_another() {
    let simulated = SimulatedDisk::default();
    simulated.kill();
    for disk in [Arc::new(RealDisk) as Arc<dyn Disk>, Arc::new(simulated)] {
        let folder = tempfile::tempdir().unwrap();
        let keys = [
            ("directory", folder.path().to_str().unwrap()),
            ("roll.records", "2"),
        ];
        let named = |topic: &str, offset: i64| {
            let mut record = line(0, offset);
            record.origin.as_mut().unwrap().topic = Arc::from(topic);
            record
        };
        for topic in ["a", "b", "c"] {
            let mut bench = Bench::new(Arc::clone(&disk), &keys);
            let partition = TopicPartition {
                topic: Arc::from(topic),
                partition: 0,
            };
            bench.start(&[partition]).unwrap();
            bench
                .put((0..2).map(|offset| named(topic, offset)).collect())
                .unwrap();
        }
        for name in [
            "t+0+0000000000-0000000001.txt",
            "t+0+0000000000-0000000001.1.txt",
            "t+0+0000000000-0000000001.2.txt",
        ] {
            assert!(disk.exists(&folder.path().join(name)).unwrap(), "{name}");
        }
    }
}
