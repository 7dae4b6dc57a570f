//! Files that are renamed, copied, truncated and replaced.
use super::*;

#[test]
fn truncated_files_begin_again() {
    let mut bench = Bench::new("a.txt", &[]);
    bench.write("a.txt", "one\ntwo\n");
    assert_eq!(bench.lines(), ["one", "two"]);
    bench.write("a.txt", "3\n");
    assert_eq!(bench.lines(), ["3"]);
    bench.write("a.txt", "4\n");
    assert_eq!(bench.lines(), ["4"], "of the same size");
    bench.stop();
    bench.write("a.txt", "5\n6\n");
    assert_eq!(
        bench.lines(),
        ["5", "6"],
        "truncated and longer, while nobody looked"
    );
}

#[test]
fn renamed_files_are_read_before_their_successors() {
    let mut bench = Bench::new("app.log", &[]);
    bench.write("app.log", "1\n");
    assert_eq!(bench.lines(), ["1"]);
    bench.append("app.log", "2\n");
    bench.rename("app.log", "app.log.1");
    bench.append("app.log.1", "3\n");
    bench.write("app.log", "4\n");
    assert_eq!(bench.lines(), ["2", "3", "4"]);
    bench.append("app.log.1", "late\n");
    assert_eq!(
        bench.lines(),
        ["late"],
        "whoever writes still has the old file open"
    );
    bench.stop();
    bench.append("app.log", "5\n");
    bench.rename("app.log", "app.log.2");
    bench.write("app.log", "6\n");
    assert_eq!(bench.lines(), ["5", "6"], "renamed while nobody looked");
}

#[test]
fn chains_of_rotations_that_match_are_followed() {
    let mut bench = Bench::new("app.log*", &[]);
    let mut expected = Vec::new();
    for round in 0..6 {
        for number in (0..4).rev() {
            let from = if number == 0 {
                "app.log".to_owned()
            } else {
                format!("app.log.{number}")
            };
            if bench.path(&from).exists() {
                bench.rename(&from, &format!("app.log.{}", number + 1));
            }
        }
        for line in 0..3 {
            bench.append("app.log", &format!("{round}-{line}\n"));
            expected.push(format!("{round}-{line}"));
        }
        if round % 2 == 1 {
            assert_eq!(bench.lines(), std::mem::take(&mut expected));
        }
        if round == 3 {
            bench.stop();
        }
    }
}

#[test]
fn copies_that_rotation_makes_are_not_read_twice() {
    for pattern in ["app.log", "app.log*"] {
        let mut bench = Bench::new(pattern, &[]);
        bench.write("app.log", "1\n2\n");
        assert_eq!(bench.lines(), ["1", "2"]);
        bench.append("app.log", "3\n");
        fs::copy(bench.path("app.log"), bench.path("app.log.1")).unwrap();
        bench.write("app.log", "4\n");
        assert_eq!(
            bench.lines(),
            ["3", "4"],
            "{pattern}: what was not read is in the copy"
        );
        bench.append("app.log", "5\n");
        assert_eq!(bench.lines(), ["5"]);
        fs::copy(bench.path("app.log"), bench.path("app.log.2")).unwrap();
        assert_eq!(bench.lines(), [""; 0], "{pattern}: a copy");
        bench.append("app.log", "6\n");
        assert_eq!(bench.lines(), ["6"]);
        bench.stop();
        fs::copy(bench.path("app.log"), bench.path("app.log.3")).unwrap();
        bench.write("app.log", "a\nb\nc\nd\n");
        assert_eq!(bench.lines(), ["a", "b", "c", "d"], "{pattern}");
    }
}

#[test]
fn a_rotated_file_that_is_compressed_is_not_read_twice() {
    let mut bench = Bench::new("app.log*", &[]);
    bench.write("app.log", "1\n2\n");
    assert_eq!(bench.lines(), ["1", "2"]);
    bench.append("app.log", "3\n");
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", "4\n");
    bench.stop();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed
        .write_all(&fs::read(bench.path("app.log.1")).unwrap())
        .unwrap();
    bench.write("app.log.1.gz", packed.finish().unwrap());
    fs::remove_file(bench.path("app.log.1")).unwrap();
    assert_eq!(bench.lines(), ["3", "4"]);
}

/// What logrotate's `delaycompress` does at each rotation, between two looks.
#[test]
fn a_file_that_is_compressed_and_gets_another_number_is_not_read_twice() {
    for stopped in [false, true] {
        let mut bench = Bench::new("app.log*", &[("rotation.wait.ms", "50")]);
        bench.write("app.log", "1\n2\n");
        assert_eq!(bench.lines(), ["1", "2"]);
        bench.rename("app.log", "app.log.1");
        bench.write("app.log", "3\n");
        assert_eq!(bench.lines(), ["3"]);
        if stopped {
            bench.stop();
        }
        bench.append("app.log", "4\n");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"1\n2\n").unwrap();
        bench.write("app.log.2.gz", packed.finish().unwrap());
        fs::remove_file(bench.path("app.log.1")).unwrap();
        bench.rename("app.log", "app.log.1");
        bench.write("app.log", "5\n");
        assert_eq!(bench.lines(), ["4", "5"], "stopped: {stopped}");
        bench.append("app.log", "6\n");
        assert_eq!(bench.lines(), ["6"]);
        bench.stop();
        bench.rename("app.log.2.gz", "app.log.3.gz");
        assert_eq!(bench.lines(), [""; 0]);
    }
}

#[test]
fn deleted_and_made_anew() {
    let mut bench = Bench::new("a.txt", &[]);
    bench.write("a.txt", "same\n");
    assert_eq!(bench.lines(), ["same"]);
    bench.append("a.txt", "unread\n");
    fs::remove_file(bench.path("a.txt")).unwrap();
    bench.write("a.txt", "same\n");
    assert_eq!(bench.lines(), ["unread", "same"]);
    bench.stop();
    fs::remove_file(bench.path("a.txt")).unwrap();
    bench.write("a.txt", "same\n");
    assert_eq!(bench.lines(), ["same"], "told apart by its birth");
}

/// A kill of the worker left three files of one name: what was read of the first was truncated before it grew again, so it has to begin again, and
/// lost its turn to its successors then.
#[test]
fn rotated_files_come_in_their_order_after_a_restart() {
    let mut bench = Bench::new("app.log*", &[]);
    bench.write("app.log", "a\nb\n");
    assert_eq!(bench.lines(), ["a", "b"]);
    bench.stop();
    bench.write("app.log", "1\n");
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", "2\n");
    assert_eq!(bench.lines(), ["1", "2"]);
    bench.stop();
    bench.write("app.log", "3\n4\n5\n");
    bench.rename("app.log.1", "app.log.3");
    bench.rename("app.log", "app.log.2");
    bench.write("app.log.1", "6\n");
    bench.write("app.log", "7\n");
    assert_eq!(bench.lines(), ["3", "4", "5", "6", "7"], "rotated twice");
}

/// Files whose times say nothing, because they are the same, or the wrong ones.
#[test]
fn the_order_of_rotated_files_does_not_hang_on_their_times() {
    let at = |bench: &Bench, name: &str, seconds: u64| {
        let file = OpenOptions::new().append(true).open(bench.path(name)).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
        file.set_modified(time).unwrap();
    };
    for later in [0, 100] {
        let mut bench = Bench::new("app.log*", &[]);
        for (name, line) in [("app.log.1", "2\n"), ("app.log", "3\n"), ("app.log.2", "1\n")] {
            bench.write(name, line);
        }
        at(&bench, "app.log", 0);
        at(&bench, "app.log.1", later);
        at(&bench, "app.log.2", later);
        // Which of the others is older their births or numbers tell.
        assert_eq!(bench.lines().pop().unwrap(), "3");
    }
    // Whoever had the file open when it was renamed wrote to it last.
    let mut bench = Bench::new("app.log*", &[]);
    bench.write("app.log", "0\n");
    assert_eq!(bench.lines(), ["0"]);
    bench.stop();
    bench.append("app.log", "1\n");
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", "2\n");
    at(&bench, "app.log.1", 7);
    at(&bench, "app.log", 0);
    assert_eq!(bench.lines(), ["1", "2"]);
    bench.stop();
    // The same where the names do not tell, either.
    bench.append("app.log", "3\n");
    bench.rename("app.log", "app.log-old");
    bench.write("app.log", "4\n");
    at(&bench, "app.log-old", 7);
    at(&bench, "app.log", 0);
    assert_eq!(bench.lines(), ["3", "4"]);
}

#[test]
fn truncated_renamed_and_compressed_between_two_looks() {
    for round in 0..20 {
        let mut bench = Bench::new("app.log*", &[]);
        bench.write("app.log", "one\n");
        assert_eq!(bench.lines(), ["one"]);
        bench.write("app.log", "");
        bench.append("app.log", "two two\n");
        bench.rename("app.log", "app.log.1");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"two two\n").unwrap();
        bench.write("app.log.1.gz", packed.finish().unwrap());
        fs::remove_file(bench.path("app.log.1")).unwrap();
        assert_eq!(bench.lines(), ["two two"], "{round}");
    }
}

/// Files are looked for once then, and one that was renamed before its turn was passed over.
#[test]
fn a_file_that_is_renamed_before_its_turn_is_looked_for() {
    let mut bench = Bench::new("*", &[("read.mode", "once"), ("max.open.files", "1")]);
    bench.write("a.txt", "1\n2\n");
    bench.write("b.log", "3\n");
    bench.write("c.log", "lost\n");
    assert_eq!(bench.poll(1, 1000).unwrap().0.len(), 1);
    bench.rename("b.log", "b.log.1");
    bench.write("b.log", "4\n");
    fs::remove_file(bench.path("c.log")).unwrap();
    assert_eq!(bench.lines(), ["2", "3", "4"]);
    assert!(bench.poll(1, 0).unwrap().1);
}
