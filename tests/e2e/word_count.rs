//! `millstream word-count` against counts made by other programs.

use std::path::Path;

use millstream_tests::count::{self, Printed, printed};
use millstream_tests::program::{self, command, millstream_output};
use millstream_tests::{broker::BrokerProcess, corpus};

const ALL: &str = "100000000";

fn count(arguments: &[&str], input: &str) -> Printed {
    let mut all = vec!["word-count", "--output", "json", "--top", ALL];
    all.extend(arguments);
    printed(&millstream_output(&all, input))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_licence_text_is_counted_as_coreutils_count_it() {
    let licence = corpus::licence("GPL-3");
    let ours = count(&[text(&licence)], "");
    let expected = count::by_coreutils(&licence);
    assert_eq!(ours.counts, expected);
    assert_eq!(
        ours.json["words"].as_u64().unwrap(),
        expected.values().sum::<u64>()
    );
    assert_eq!(ours.json["distinct"].as_u64().unwrap(), expected.len() as u64);
    let lines = std::fs::read_to_string(&licence).unwrap().lines().count() as u64;
    assert_eq!(ours.json["lines"].as_u64().unwrap(), lines);
    let mut by_frequency: Vec<_> = expected
        .iter()
        .map(|(word, count)| (std::cmp::Reverse(*count), word))
        .collect();
    by_frequency.sort();
    assert!(by_frequency.into_iter().map(|(_, word)| word).eq(&ours.order));
}

#[test]
fn text_in_many_scripts_is_counted_as_python_counts_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scripts.txt");
    std::fs::write(&path, corpus::MANY_SCRIPTS).unwrap();
    assert_eq!(count(&[text(&path)], "").counts, count::by_python(&path));
}

#[test]
fn invalid_utf8_is_counted_lossily_and_said_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("binary");
    let mut bytes = millstream_tests::random::Random::new(7).bytes(200_000);
    bytes.extend(b"\xffword\xe4word\n\xff\xff ok \xe2\x82");
    std::fs::write(&path, &bytes).unwrap();
    let mut arguments = command(&[
        "word-count",
        "--output",
        "json",
        "--top",
        ALL,
        text(&path),
        text(&path),
    ]);
    let finished = program::run(&mut arguments, b"");
    assert!(finished.success, "{}", finished.stderr);
    assert_eq!(
        finished.stderr.matches("is not UTF-8").count(),
        1,
        "{}",
        finished.stderr
    );
    let twice = printed(&finished.stdout).counts;
    let once = count::by_python(&path);
    assert_eq!(
        twice,
        once.into_iter().map(|(word, count)| (word, 2 * count)).collect()
    );
}

#[test]
fn nothing_gives_zeros() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    for (arguments, input) in [(vec![text(&empty)], ""), (vec![], ""), (vec!["-"], "")] {
        let ours = count(&arguments, input);
        assert!(ours.counts.is_empty());
        assert_eq!(
            (ours.json["words"].as_u64(), ours.json["lines"].as_u64()),
            (Some(0), Some(0))
        );
    }
}

#[test]
fn standard_input_and_several_files_are_counted_together() {
    let ours = count(&[], "Da, da; DA\nnein");
    assert_eq!(ours.counts, [("da".to_owned(), 3), ("nein".to_owned(), 1)].into());
    let licence = corpus::licence("BSD");
    let both = count(&[text(&licence), "-"], "zzz");
    let mut expected = count::by_coreutils(&licence);
    expected.insert("zzz".into(), 1);
    assert_eq!(both.counts, expected);
}

#[test]
fn a_line_longer_than_a_record_is_counted_right() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("one-line");
    std::fs::write(&path, "größe wächst、".repeat(200_000)).unwrap();
    let ours = count(&[text(&path)], "");
    assert_eq!(ours.counts, count::by_python(&path));
    assert_eq!(ours.json["lines"].as_u64(), Some(1));
}

#[test]
fn a_hundred_megabytes_are_counted_as_coreutils_count_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large");
    corpus::licences_repeated(&path, 100_000_000);
    let ours = count(&[text(&path), "--threads", "2"], "");
    assert_eq!(ours.counts, count::by_coreutils(&path));
}

#[test]
fn the_table_shows_the_most_frequent_words_and_the_totals() {
    let shown = millstream_output(&["word-count", "--top", "1"], "b a b");
    assert!(shown.contains("word") && shown.contains("count"), "{shown}");
    assert!(
        shown.lines().any(|line| line.split_whitespace().eq(["b", "2"])),
        "{shown}"
    );
    assert!(
        !shown.lines().any(|line| line.split_whitespace().eq(["a", "1"])),
        "{shown}"
    );
    assert!(shown.contains("3 words, 2 distinct, in 1 lines"), "{shown}");
    assert!(shown.contains("words/s"), "{shown}");
}

#[test]
fn the_counts_stay_in_a_topic_of_the_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let data = text(directory.path());
    for (id, input) in [("first", "x y x"), ("second", "x")] {
        let shown = millstream_output(&["word-count", "--data-dir", data, "--application-id", id], input);
        assert!(shown.contains(&format!("{id}-counts")), "{shown}");
    }
    let broker = BrokerProcess::start(directory.path());
    let read = |topic: &str| {
        let shown = millstream_output(
            &[
                "consume",
                "--topic",
                topic,
                "--from-beginning",
                "--timeout-ms",
                "1000",
                "--property",
                "print.key=true",
                "--bootstrap-server",
                broker.address(),
            ],
            "",
        );
        let mut lines: Vec<_> = shown.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(read("first-counts"), ["x\t{\"count\":2}", "y\t{\"count\":1}"]);
    assert_eq!(read("second-counts"), ["x\t{\"count\":1}"]);
    let topics = millstream_output(
        &[
            "topics",
            "list",
            "--bootstrap-server",
            broker.address(),
            "--exclude-internal",
        ],
        "",
    );
    assert_eq!(topics, "first-counts\nsecond-counts\n");
}

#[test]
fn a_running_broker_can_be_used_and_a_taken_application_id_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(directory.path());
    let arguments = [
        "word-count",
        "--bootstrap-server",
        broker.address(),
        "--application-id",
        "wc",
        "--output",
        "json",
    ];
    assert_eq!(
        printed(&millstream_output(&arguments, "a b a")).counts,
        [("a".into(), 2), ("b".into(), 1)].into()
    );
    let again = program::run(&mut command(&arguments), b"c");
    assert!(!again.success);
    assert!(
        again.stderr.contains("wc-counts exists already"),
        "{}",
        again.stderr
    );
}

#[test]
fn the_example_counts_what_the_command_counts() {
    let directory = tempfile::tempdir().unwrap();
    let licence = corpus::licence("Apache-2.0");
    let mut example = std::process::Command::new(program::example("word_count"));
    let shown = program::output_of(example.arg(&licence).current_dir(directory.path()), b"");
    let counts: count::Counts = shown
        .lines()
        .map(|line| {
            let (word, count) = line.split_once('\t').unwrap();
            let value: serde_json::Value = serde_json::from_str(count).unwrap();
            (word.to_owned(), value["count"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(counts, count::by_coreutils(&licence));
}
