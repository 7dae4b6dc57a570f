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
