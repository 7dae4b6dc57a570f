//! Offsets of files that are gone.
use super::*;

/// Files are forgotten at once when they are found to be gone for the second time.
const AT_ONCE: &[(&str, &str)] = &[("forget.gone.after.ms", "0"), ("rotation.wait.ms", "0")];

/// Polls until the offsets of these files are stored, and no others.
fn until(bench: &mut Bench, names: &[&str]) {
    let begin = Instant::now();
    while bench.offsets.names() != names {
        let records = bench.poll(1000, 10).unwrap().0;
        assert!(records.is_empty(), "{records:?}");
        let stored = bench.offsets.names();
        assert!(begin.elapsed() < Duration::from_secs(60), "{stored:?}");
    }
    // And it stays so.
    for _ in 0..3 {
        bench.scan();
    }
    assert_eq!(bench.offsets.names(), names);
}

/// Since when a file is gone, as it is stored.
fn gone(bench: &Bench, name: &str) -> Option<u64> {
    let stored = bench.offsets.0.lock().unwrap();
    let path = bench.path(name);
    let of_it = stored
        .iter()
        .find(|(partition, _)| partition.text("filename") == path.to_str());
    of_it.unwrap().1.number("gone_ms")
}

/// Every file that ever was had an offset for ever.
#[test]
fn offsets_of_files_that_are_gone_are_forgotten() {
    let mut bench = Bench::new("*.txt", AT_ONCE);
    for name in ["a.txt", "b.txt", "c.txt"] {
        bench.write(name, "line\n");
    }
    assert_eq!(bench.lines().len(), 3);
    fs::remove_file(bench.path("a.txt")).unwrap();
    until(&mut bench, &["b.txt", "c.txt"]);
    bench.stop();
    fs::remove_file(bench.path("b.txt")).unwrap();
    until(&mut bench, &["c.txt"]);
    bench.append("c.txt", "more\n");
    assert_eq!(bench.lines(), ["more"]);
    bench.write("a.txt", "anew\n");
    assert_eq!(bench.lines(), ["anew"]);
    assert_eq!(bench.offsets.names(), ["a.txt", "c.txt"]);
}

#[test]
fn names_that_files_had_are_forgotten() {
    let mut bench = Bench::new("app.log*", AT_ONCE);
    bench.write("app.log", "1\n");
    assert_eq!(bench.lines(), ["1"]);
    bench.rename("app.log", "app.log-20261231");
    until(&mut bench, &["app.log-20261231"]);
    bench.write("app.log", "2\n");
    assert_eq!(bench.lines(), ["2"]);
    bench.stop();
    bench.rename("app.log", "app.log-20270101");
    until(&mut bench, &["app.log-20261231", "app.log-20270101"]);
    bench.stop();
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn files_that_were_moved_away_when_they_were_done_are_forgotten() {
    let keys = [
        &[("finished.files", "delete"), ("finished.after.ms", "0")],
        AT_ONCE,
    ]
    .concat();
    let mut bench = Bench::new("*.txt", &keys);
    bench.write("a.txt", "1\n");
    assert_eq!(bench.lines(), ["1"]);
    while bench.path("a.txt").exists() {
        bench.scan();
    }
    // Its folder is empty, and might be where another was mounted.
    bench.scan();
    assert_eq!(bench.offsets.names(), ["a.txt"]);
    bench.write("b.txt", "half a line");
    until(&mut bench, &[]);
}

/// A rename that is seen late, a folder that is mounted again, a file that is moved back: nothing of that is read again.
#[test]
fn a_file_that_comes_back_in_time_is_known() {
    let mut bench = Bench::new(
        "*.txt",
        &[("forget.gone.after.ms", "3600000"), ("rotation.wait.ms", "0")],
    );
    for name in ["a.txt", "b.txt", "c.txt"] {
        bench.write(name, "line\n");
    }
    assert_eq!(bench.lines().len(), 3);
    let away = tempfile::tempdir_in(bench.folder.path().parent().unwrap()).unwrap();
    fs::rename(bench.path("a.txt"), away.path().join("a.txt")).unwrap();
    fs::rename(bench.path("b.txt"), away.path().join("b.txt")).unwrap();
    // The offsets are looked through at a start and once a minute; once files are read once.
    bench.scan();
    bench.stop();
    bench.set("read.mode", "once");
    assert_eq!(bench.lines(), [""; 0]);
    let since = gone(&bench, "a.txt").unwrap();
    assert!(gone(&bench, "b.txt").is_some() && gone(&bench, "c.txt").is_none());
    bench.stop();
    fs::rename(away.path().join("a.txt"), bench.path("a2.txt")).unwrap();
    assert_eq!(bench.lines(), [""; 0], "it is back under another name");
    assert_eq!(gone(&bench, "a2.txt"), None);
    assert!(gone(&bench, "b.txt").unwrap() >= since);
    // A day later.
    bench.stop();
    let offset = SourceOffset::new()
        .with("position", 5)
        .with("gone_ms", since - 3_600_000);
    let mut offsets = bench.offsets.0.lock().unwrap().clone();
    let path = bench.path("b.txt");
    for (partition, its) in &mut offsets {
        if partition.text("filename") == path.to_str() {
            its.0.extend(offset.0.clone());
        }
    }
    bench.offsets.store(&offsets);
    assert_eq!(bench.lines(), [""; 0]);
    assert!(!bench.offsets.names().contains(&"b.txt".to_owned()));
}

#[test]
fn nothing_is_concluded_where_no_file_is_found() {
    let keys = [&[("read.mode", "once")], AT_ONCE].concat();
    let mut bench = Bench::new("*/*.txt", &keys);
    for name in ["one/a.txt", "one/b.txt", "two/c.txt"] {
        fs::create_dir_all(bench.path(name).parent().unwrap()).unwrap();
        bench.write(name, "line\n");
    }
    assert_eq!(bench.lines().len(), 3);
    bench.stop();
    // What was mounted there is not any more.
    bench.rename("one", "kept");
    fs::create_dir(bench.path("one")).unwrap();
    let hidden = tempfile::tempdir_in(bench.folder.path().parent().unwrap()).unwrap();
    fs::rename(bench.path("kept"), hidden.path().join("kept")).unwrap();
    for _ in 0..3 {
        assert_eq!(bench.lines(), [""; 0]);
        bench.stop();
    }
    assert_eq!(bench.offsets.names(), ["a.txt", "b.txt", "c.txt"]);
    // A folder that is gone itself was removed.
    fs::remove_dir(bench.path("one")).unwrap();
    for _ in 0..3 {
        assert_eq!(bench.lines(), [""; 0]);
        bench.stop();
    }
    assert_eq!(bench.offsets.names(), ["c.txt"]);
    fs::remove_dir_all(bench.path("two")).unwrap();
    for _ in 0..3 {
        assert_eq!(bench.lines(), [""; 0]);
        bench.stop();
    }
    assert_eq!(bench.offsets.names(), ["c.txt"], "no file is found at all");
}

#[test]
fn offsets_are_kept_for_ever_where_that_is_wanted() {
    let keys = [("read.mode", "once"), ("forget.gone.after.ms", "-1")];
    let mut bench = Bench::new("*.txt", &keys);
    for name in ["a.txt", "b.txt"] {
        bench.write(name, "line\n");
    }
    assert_eq!(bench.lines().len(), 2);
    fs::remove_file(bench.path("a.txt")).unwrap();
    for _ in 0..3 {
        bench.stop();
        assert_eq!(bench.lines(), [""; 0]);
    }
    assert_eq!(bench.offsets.names(), ["a.txt", "b.txt"]);
    assert_eq!(gone(&bench, "a.txt"), None);
}
