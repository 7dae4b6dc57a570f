//! Which files are read, and what becomes of them.
use super::*;

#[test]
fn a_file_grows_and_is_read_on_after_a_restart() {
    let mut bench = Bench::new("a.txt", &[]);
    assert_eq!(bench.lines(), [""; 0], "a file that is not there is waited for");
    bench.write("a.txt", "one\ntwo\r\nthr");
    let records = bench.drain().unwrap();
    assert_eq!(records.iter().map(text).collect::<Vec<_>>(), ["one", "two"]);
    assert!(records[0].key.is_null() && records[0].key.schema.is_none());
    bench.append("a.txt", "ee\r");
    assert_eq!(bench.lines(), [""; 0], "a line feed may follow");
    bench.stop();
    bench.append("a.txt", "\nfour\n\nfive");
    assert_eq!(bench.lines(), ["three", "four", ""]);
    let stored = bench.offsets.0.lock().unwrap().clone();
    let name = bench.path("a.txt").to_str().unwrap().to_owned();
    assert_eq!(
        stored[0].0.0.get("filename").unwrap(),
        &serde_json::Value::from(name)
    );
    assert_eq!(stored[0].1.0.get("position").unwrap(), 22);
}

#[test]
fn once_is_finished_with_the_last_line() {
    let mut bench = Bench::new("*.txt", &[("read.mode", "once")]);
    bench.write("a.txt", "\u{feff}one\ntwo");
    bench.write("b.txt", "");
    bench.write("c.log", "not meant\n");
    assert_eq!(bench.lines(), ["one", "two"]);
    assert!(bench.poll(1000, 0).unwrap().1);
    bench.stop();
    bench.append("a.txt", "\nthree");
    assert_eq!(
        bench.lines(),
        ["", "three"],
        "the line feed came behind the last line"
    );
    let mut missing = Bench::new("missing", &[("read.mode", "once")]);
    assert!(
        missing
            .start()
            .unwrap_err()
            .to_string()
            .contains("does not exist")
    );
}

#[test]
fn one_file_that_cannot_be_read() {
    let mut bench = Bench::new("a.txt", &[]);
    bench.write("a.txt", "one\n");
    assert_eq!(bench.lines(), ["one"]);
    fs::set_permissions(bench.path("a.txt"), fs::Permissions::from_mode(0o000)).unwrap();
    bench.append("a.txt", "two\n");
    assert_eq!(bench.lines(), ["two"], "it is open");
}

#[test]
fn finished_files_go_when_they_are_stored() {
    let mut bench = Bench::new("*.txt", &[("read.mode", "once"), ("finished.files", "delete")]);
    bench.write("a.txt", "one\n");
    bench.write("b.txt", "two\n");
    assert_eq!(bench.lines(), ["one", "two"]);
    assert!(!bench.path("a.txt").exists() && !bench.path("b.txt").exists());
    let done = tempfile::tempdir().unwrap();
    let target = done.path().join("done");
    let keys = [
        ("finished.files", "move"),
        ("finished.directory", target.to_str().unwrap()),
        ("finished.after.ms", "0"),
    ];
    let mut bench = Bench::new("*.txt", &keys);
    bench.write("a.txt", "one\n");
    assert_eq!(bench.lines(), ["one"]);
    bench.write("a.txt", "two\n");
    assert_eq!(bench.lines(), ["two"]);
    assert!(target.join("a.txt").exists() && target.join("a.txt.1").exists());
}

#[test]
fn offsets_of_kafkas_connector_are_taken_over() {
    let mut bench = Bench::new("a.txt", &[]);
    bench.write("a.txt", "one\ntwo\n");
    let partition = crate::file::source::place::partition(&bench.path("a.txt"));
    let offset: SourceOffset = serde_json::from_str("{\"position\":4}").unwrap();
    bench.offsets.store(&[(partition.clone(), offset.clone())]);
    assert!(
        FileSource
            .alter_offsets(&bench.config, &[(partition.clone(), Some(offset))])
            .is_ok()
    );
    assert_eq!(bench.lines(), ["two"]);
    let wrong: SourceOffset = serde_json::from_str("{\"position\":-4}").unwrap();
    assert!(
        FileSource
            .alter_offsets(&bench.config, &[(partition, Some(wrong))])
            .is_err()
    );
}

#[test]
fn compressed_files_have_several_parts_and_grow() {
    let gzip = |text: &str| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    };
    let zstandard = |text: &str| {
        let mut packed = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        packed.include_checksum(true).unwrap();
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    };
    for is_gzip in [true, false] {
        let pack = |text: &str| if is_gzip { gzip(text) } else { zstandard(text) };
        let mut bench = Bench::new("a.packed", &[]);
        let half: String = (0..40_000).map(|line| format!("{line} is a line\n")).collect();
        let whole = [pack(&half), pack("un"), pack("broken\n")].concat();
        bench.write("a.packed", &whole[..whole.len() / 3]);
        let mut lines = bench.lines();
        assert!(!lines.is_empty(), "what is there of it can be read");
        bench.stop();
        bench.write("a.packed", &whole);
        lines.extend(bench.lines());
        assert_eq!(lines.len(), 40_001);
        assert_eq!(lines[39_999..], ["39999 is a line", "unbroken"]);
        let mut longer = whole.clone();
        longer.extend(pack("more\n"));
        bench.write("a.packed", &longer);
        assert_eq!(bench.lines(), ["more"]);
        longer.extend_from_slice(&pack(&half)[..]);
        let damaged = whole.len() / 2;
        longer[damaged] ^= 0x55;
        let mut other = Bench::new("a.packed", &[]);
        other.write("a.packed", &longer);
        assert!(other.error().contains("damaged"));
    }
}

fn packed(is_gzip: bool, text: &str) -> Vec<u8> {
    if is_gzip {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    } else {
        zstd::stream::encode_all(text.as_bytes(), 1).unwrap()
    }
}

/// A first frame, and a second that is cut after each of `cuts` of its parts of a tenth.
fn cut_frames(is_gzip: bool) -> Vec<Vec<u8>> {
    let second: String = (0..400).map(|line| format!("second {}\n", line * 7919)).collect();
    let (first, second) = (packed(is_gzip, "one\ntwo\n"), packed(is_gzip, &second));
    let mut cuts: Vec<usize> = (1..10).map(|tenth| second.len() * tenth / 10).collect();
    cuts.extend([2, 3, 5, second.len() - 1]);
    let alone = cuts.iter().map(|cut| second[..*cut].to_vec());
    let behind = cuts.iter().map(|cut| [&first, &second[..*cut]].concat());
    alone.chain(behind).collect()
}

#[test]
fn a_cut_compressed_file_is_an_error_when_files_are_read_once() {
    for is_gzip in [true, false] {
        for cut in cut_frames(is_gzip) {
            for keys in [&[][..], &[("format", "csv"), ("invalid.rows", "skip")]] {
                let once = [("read.mode", "once"), ("finished.files", "delete")];
                let mut bench = Bench::new("*.packed", &[&once, keys].concat());
                bench.write("a.packed", &cut);
                let (mut lines, mut error) = (Vec::new(), None);
                while error.is_none() {
                    match bench.poll(1000, 1000) {
                        Ok((records, finished)) => {
                            assert!(!finished, "{} bytes", cut.len());
                            lines.extend(records.iter().map(text));
                        }
                        Err(failed) => error = Some(failed.to_string()),
                    }
                }
                let error = error.unwrap();
                assert!(
                    error.contains("a.packed is cut") && error.contains("restore"),
                    "{error}"
                );
                if keys.is_empty() {
                    assert!(lines.iter().all(|line| is_whole(line)), "{lines:?}");
                }
                assert!(bench.path("a.packed").exists());
            }
        }
    }
}

fn is_whole(line: &str) -> bool {
    let number = line
        .strip_prefix("second ")
        .and_then(|number| number.parse().ok());
    let known: Option<usize> = number;
    ["one", "two"].contains(&line) || known.is_some_and(|number| number % 7919 == 0)
}

#[test]
fn a_cut_compressed_file_is_waited_for() {
    for is_gzip in [true, false] {
        let all: Vec<String> = (0..400).map(|line| format!("line {line}")).collect();
        let whole = packed(is_gzip, &(all.join("\n") + "\n"));
        for cut in [0, 1, 2, whole.len() / 2, whole.len() - 1] {
            let keys = [
                ("finished.files", "delete"),
                ("last.line.idle.ms", "20"),
                ("last.line", "emit"),
                ("finished.after.ms", "0"),
            ];
            let mut bench = Bench::new("*.packed", &keys);
            bench.write("a.packed", &whole[..cut]);
            let mut lines = match cut {
                // A single byte is no magic yet.
                1 => Vec::new(),
                _ => bench.lines(),
            };
            assert!(all.starts_with(&lines), "{cut}: {lines:?}");
            assert!(cut == 0 || bench.path("a.packed").exists());
            bench.write("a.packed", &whole);
            lines.extend(bench.lines());
            assert_eq!(lines, all, "{cut}");
            while bench.path("a.packed").exists() {
                bench.scan();
            }
        }
    }
}

#[test]
fn many_files_with_few_open() {
    let mut bench = Bench::new("**/*.txt", &[("max.open.files", "8"), ("read.mode", "once")]);
    for number in 0..2000 {
        let folder = bench.path(&format!("{}", number % 10));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}.txt")), format!("{number}\n")).unwrap();
    }
    let mut lines = bench.lines();
    lines.sort_by_key(|line| line.parse::<u32>().unwrap());
    assert_eq!(
        lines,
        (0..2000).map(|number| number.to_string()).collect::<Vec<_>>()
    );
    bench.stop();
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn tasks_share_files_but_not_rotations() {
    use std::collections::BTreeSet;
    let folder = tempfile::tempdir().unwrap();
    for number in 0..20 {
        for end in ["log", "log.1", "log.2.gz"] {
            fs::write(
                folder.path().join(format!("{number}.{end}")),
                format!("{number}\n"),
            )
            .unwrap();
        }
    }
    let mut connector = FileSource.new_connector();
    let pattern = folder.path().join("*");
    let config = ConfigMap::from([
        ("file".to_owned(), pattern.to_str().unwrap().to_owned()),
        ("topic".to_owned(), "lines".to_owned()),
        ("read.mode".to_owned(), "once".to_owned()),
    ]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let context = millstream_connect::plugin::ConnectorContext {
        name: "files".to_owned(),
        request_task_reconfiguration: Arc::new(|| {}),
    };
    runtime.block_on(connector.start(&config, context)).unwrap();
    let configs = connector.task_configs(3).unwrap();
    assert_eq!(configs.len(), 3);
    let mut seen = Vec::new();
    for (number, config) in (0..).zip(&configs) {
        let mut task = FileSource.new_task();
        let id = TaskId {
            connector: "files".to_owned(),
            task: number,
        };
        let offsets = Arc::new(Offsets::default());
        runtime
            .block_on(task.start(config, SourceTaskContext { task: id, offsets }))
            .unwrap();
        let budget = Budget {
            records: 1000,
            bytes: 1 << 20,
            wait: Duration::ZERO,
        };
        let batch = runtime.block_on(task.poll(budget)).unwrap();
        let lines: BTreeSet<String> = batch.records.iter().map(text).collect();
        assert_eq!(batch.records.len(), 3 * lines.len(), "all rotations of a file");
        seen.extend(lines);
    }
    assert_eq!(seen.len(), 20);
}

#[test]
fn names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let mut bench = Bench::new(
        "*.txt",
        &[("finished.files", "delete"), ("finished.after.ms", "0")],
    );
    let path = bench
        .folder
        .path()
        .join(std::ffi::OsStr::from_bytes(b"n\xff.txt"));
    append(&path, "one\n");
    let name = format!("{}/n\\xFF.txt", bench.folder.path().display());
    let batch = bench.poll(1000, 100).unwrap().0;
    assert_eq!(text(&batch[0]), "one");
    assert_eq!(
        bench.offsets.0.lock().unwrap()[0].0.0.get("filename").unwrap(),
        &serde_json::Value::from(name)
    );
    assert_eq!(bench.lines(), [""; 0], "not again");
    assert!(!path.exists());
    append(&path, "two\n");
    assert_eq!(bench.lines(), ["two"]);
}

#[test]
fn a_file_is_waited_for_where_there_is_no_folder_yet() {
    let mut bench = Bench::new("logs/app-*.log", &[]);
    assert_eq!(bench.lines(), [""; 0]);
    fs::create_dir(bench.path("logs")).unwrap();
    bench.write("logs/app-1.log", "one\n");
    assert_eq!(bench.lines(), ["one"]);
}

#[test]
fn finished_files_move_to_another_device() {
    use std::os::unix::fs::MetadataExt;
    let other = Path::new("/dev/shm");
    let mut bench = Bench::new("*.txt", &[]);
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    if device(other).is_none() || device(other) == device(bench.folder.path()) {
        // There is only one here; then a move is a rename.
        return;
    }
    let done = tempfile::tempdir_in(other).unwrap();
    for (key, value) in [
        ("finished.files", "move"),
        ("finished.directory", done.path().to_str().unwrap()),
        ("finished.after.ms", "0"),
    ] {
        bench.config.insert(key.to_owned(), value.to_owned());
    }
    bench.write("a.txt", "one\n");
    fs::write(done.path().join("a.txt"), "of before\n").unwrap();
    assert_eq!(bench.lines(), ["one"]);
    assert!(!bench.path("a.txt").exists());
    let names = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(fs::read_to_string(done.path().join("a.txt.1")).unwrap(), "one\n");
    assert_eq!(names(done.path()), 2, "no parts are left");
}

#[test]
fn renamed_and_made_anew_between_two_polls() {
    let mut bench = Bench::new("app.log*", &[]);
    bench.write("app.log", "1\n");
    assert_eq!(bench.lines(), ["1"]);
    for round in 0..5 {
        bench.append("app.log", &format!("{round} last\n"));
        bench.rename("app.log", &format!("app.log.{round}"));
        bench.write("app.log", format!("{round} first\n"));
    }
    let mut lines = bench.lines();
    lines.sort();
    let mut expected: Vec<String> = (0..5)
        .flat_map(|round| [format!("{round} first"), format!("{round} last")])
        .collect();
    expected.sort();
    assert_eq!(lines, expected);
}

/// What people who wait are shown: bytes on the disk, of packed files, too, and of those that were done before.
#[test]
fn progress_counts_bytes_of_all_files() {
    let mut bench = Bench::new("*.txt*", &[("read.mode", "once")]);
    bench.write("a.txt", "one\ntwo\nthree\n");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    packed
        .write_all("packed line\n".repeat(300_000).as_bytes())
        .unwrap();
    let packed = packed.finish().unwrap();
    bench.write("b.txt.gz", &packed);
    let all = 14 + packed.len() as u64;
    let (records, _) = bench.poll(2, 1000).unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(bench.progress(), (8, all, 0));
    bench.stop();
    let (mut before, mut steps) = (8, 0);
    loop {
        let (_, finished) = bench.poll(1000, 1000).unwrap();
        let (done, total, earlier) = bench.progress();
        assert_eq!((total, earlier), (all, 8));
        assert!(before <= done, "{done} after {before}");
        steps += usize::from(before < done && done < all);
        before = done;
        if finished {
            break;
        }
    }
    assert_eq!(before, all);
    assert!(steps > 3, "a packed file shows where it is: {steps} steps");
}
