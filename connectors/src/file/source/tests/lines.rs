//! Lines, and what else is in files.
use super::*;

#[test]
fn bytes_that_are_no_text() {
    let bad = b"good\nb\xffd\nend\n";
    let mut bench = Bench::new("a.txt", &[]);
    bench.write("a.txt", bad);
    assert_eq!(text(&bench.poll(1000, 100).unwrap().0[0]), "good");
    let error = bench.error();
    assert!(
        error.contains("byte 5") && error.contains("invalid.utf8"),
        "{error}"
    );
    for (policy, expected) in [
        ("replace", vec!["good", "b\u{fffd}d", "end"]),
        ("skip", vec!["good", "end"]),
        ("bytes", vec!["b\"good\"", "b\"b\\xffd\"", "b\"end\""]),
    ] {
        let mut bench = Bench::new("a.txt", &[("invalid.utf8", policy)]);
        bench.write("a.txt", bad);
        assert_eq!(bench.lines(), expected);
    }
    let mut wide = Bench::new("a.txt", &[]);
    wide.write("a.txt", b"\xff\xfea\0\n\0");
    assert!(wide.error().contains("UTF-16"));
    let mut nul = Bench::new("a.txt", &[]);
    nul.write("a.txt", b"a\0b\n");
    assert_eq!(nul.lines(), ["a\0b"]);
}

#[test]
fn long_lines_are_refused_or_left_out() {
    let long = "x".repeat(3_000_000);
    let file = format!("a\n{long}\r\nb\n");
    let mut bench = Bench::new("a.txt", &[("max.line.bytes", "2000000")]);
    bench.write("a.txt", &file);
    assert_eq!(text(&bench.poll(1000, 100).unwrap().0[0]), "a");
    let error = bench.error();
    assert!(
        error.contains("max.line.bytes") && error.contains("byte 2 "),
        "{error}"
    );
    let mut bench = Bench::new("a.txt", &[("max.line.bytes", "1024"), ("long.lines", "skip")]);
    bench.write("a.txt", &file);
    assert_eq!(bench.lines(), ["a", "b"]);
    bench.append("a.txt", &long);
    assert_eq!(bench.lines(), [""; 0]);
    bench.stop();
    bench.append("a.txt", "end of it\nc\n");
    assert_eq!(bench.lines(), ["c"], "within the long line when it stopped");
    let mut bench = Bench::new("a.txt", &[]);
    bench.write("a.txt", &file);
    assert_eq!(bench.lines(), ["a", &long, "b"]);
}

#[test]
fn sparse_files_are_lines_of_nul() {
    let mut bench = Bench::new("a.txt", &[("long.lines", "skip"), ("max.line.bytes", "1024")]);
    let file = fs::File::create(bench.path("a.txt")).unwrap();
    file.set_len(50 << 20).unwrap();
    bench.append("a.txt", "\nend\n");
    assert_eq!(bench.lines(), ["end"]);
}

#[test]
fn line_ends_and_characters_across_reads() {
    let mut bench = Bench::new("a.txt", &[]);
    let mut expected = Vec::new();
    let mut file = String::new();
    for number in 0..60_000 {
        let line = format!("{number} ä€😀{}", "z".repeat(number % 40));
        file.push_str(&line);
        file.push_str(["\n", "\r\n", "\r"][number % 3]);
        expected.push(line);
    }
    file.push_str("|\n");
    expected.push("|".to_owned());
    bench.write("a.txt", &file);
    assert_eq!(bench.lines(), expected);
}

#[test]
fn the_last_line_when_nothing_comes() {
    let mut bench = Bench::new("a.txt", &[("last.line.idle.ms", "30")]);
    bench.write("a.txt", "one\ntw");
    assert_eq!(bench.lines(), ["one", "tw"]);
    bench.append("a.txt", "o\n");
    assert_eq!(bench.lines(), ["o"]);
}

#[test]
fn blocks_of_lines() {
    let mut bench = Bench::new(
        "a.txt",
        &[("multiline.start", "^\\d"), ("last.line.idle.ms", "30")],
    );
    bench.write("a.txt", "1 a\n  at b\n2 c\n");
    assert_eq!(bench.lines(), ["1 a\n  at b", "2 c"]);
}

#[test]
fn batches_are_no_larger_than_asked() {
    let mut bench = Bench::new("a.txt", &[("batch.size", "7")]);
    bench.write(
        "a.txt",
        (0..20).map(|line| format!("{line}\n")).collect::<String>(),
    );
    let sizes: Vec<usize> = (0..3).map(|_| bench.poll(1000, 0).unwrap().0.len()).collect();
    assert_eq!(sizes, [7, 7, 6]);
}

/// Positions beyond what 32 bits can say, and a line that no memory holds.
#[test]
fn a_line_of_gibibytes() {
    const LENGTH: u64 = 5 << 30;
    let mut bench = Bench::new("a.txt", &[("max.line.bytes", "65536")]);
    let file = fs::File::create(bench.path("a.txt")).unwrap();
    file.set_len(LENGTH).unwrap();
    bench.append("a.txt", "\nend\n");
    let error = bench.error();
    assert!(
        error.contains("byte 0 ") && error.contains("max.line.bytes"),
        "{error}"
    );
    bench.stop();
    // Where a user who wants to pass over it sets the offset.
    let partition = crate::file::source::place::partition(&bench.path("a.txt"));
    let offset = format!("{{\"position\":{}}}", LENGTH + 1);
    bench
        .offsets
        .store(&[(partition, serde_json::from_str(&offset).unwrap())]);
    assert_eq!(bench.lines(), ["end"]);
}
