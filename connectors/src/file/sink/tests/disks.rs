//! What goes wrong with disks.
use std::path::Path;
use std::process::Command;

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

/// A file system of its own, which is full soon.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    /// None where mounting is not allowed.
    fn mount(kib: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={kib}k");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        mount.ok()?.status.success().then_some(Self(folder))
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).output();
        assert!(unmounted.unwrap().status.success());
    }
}

/// All files below a folder, by their names below it.
fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let below = files_below(&path).into_iter();
            files.extend(
                below.map(|(below, content)| (Path::new(path.file_name().unwrap()).join(below), content)),
            );
        } else {
            files.push((path.file_name().unwrap().into(), std::fs::read(&path).unwrap()));
        }
    }
    files
}

/// The injected errors come where the test says; those of a real file system also in the middle of a write, and for the manifest.
#[test]
fn a_disk_that_is_really_full_loses_and_repeats_nothing() {
    const RECORDS: i64 = 300;
    for (target, end) in [("file", "lines.txt"), ("directory", "")] {
        let Some(disk) = TinyDisk::mount(1024) else {
            println!("not run: mounting is not allowed here");
            return;
        };
        let filler = disk.0.path().join(".filler");
        std::fs::write(&filler, vec![1; 900 << 10]).unwrap();
        let target_path = disk.0.path().join(end);
        let keys = [(target, target_path.to_str().unwrap()), ("roll.records", "50")];
        let keys = if target == "file" { &keys[..1] } else { &keys[..] };
        let mut bench = Bench::new(Arc::new(RealDisk), keys);
        let (mut failures, mut next) = (0, 0);
        while next < RECORDS {
            let mut run = || -> Result<(), PluginError> {
                let known = bench.start(&[partition(0)])?;
                next = known.first().map_or(0, |known| known.next);
                while next < RECORDS {
                    let text = |offset| Datum::text(format!("0:{offset:0>1000}"));
                    let records = (next..next + 10).map(|offset| record("t", 0, offset, text(offset)));
                    assert!(bench.put(records.collect())?.is_empty());
                    next += 10;
                    bench.flush(&[(0, next)])?;
                }
                bench.close(false)
            };
            if let Err(error) = run() {
                next = 0;
                failures += 1;
                assert_eq!(error.kind(), ErrorKind::Disconnected);
                assert!(error.to_string().contains("make room"), "{error}");
                assert!(failures < 100, "{error}");
                if failures == 3 {
                    std::fs::remove_file(&filler).unwrap();
                }
            }
            bench.stop();
        }
        assert!(failures >= 3, "the disk was full");
        let found = lines_of(&files_below(disk.0.path()));
        assert_eq!(found, BTreeMap::from([(0, (0..RECORDS).collect())]), "{target}");
    }
}
