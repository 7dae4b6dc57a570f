//! The README's commands do what it says.

use std::process::Command;

use millstream_tests::broker::{BrokerProcess, free_address};
use millstream_tests::program::{self, millstream, output_of, repository};

/// The fenced blocks of `language`, in order.
fn blocks(language: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let mut blocks = Vec::new();
    let mut current: Option<String> = None;
    for line in readme.lines() {
        match (&mut current, line) {
            (None, line) if line == format!("```{language}") => current = Some(String::new()),
            (Some(_), "```") => blocks.extend(current.take()),
            (Some(block), line) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

#[test]
fn the_first_command_counts_words() {
    let commands = blocks("sh");
    let first = commands[0].trim();
    let arguments = first
        .strip_prefix("./millstream ")
        .unwrap_or_else(|| panic!("the first block is {first:?}"));
    let mut command = Command::new(millstream());
    let shown = output_of(command.args(arguments.split(' ')), b"");
    assert!(
        shown
            .lines()
            .any(|line| line.split_whitespace().eq(["the", "345"])),
        "{shown}"
    );
    assert_eq!(commands[1].trim(), "./test");
}

/// Runs a block against a broker of this test, as a shell would.
fn run_against_a_broker(script: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    // The port of the README may be taken on this machine.
    let address = free_address();
    let _broker = BrokerProcess::start_at(&directory.path().join("data"), &address, &[]);
    let script = script.replace("127.0.0.1:9092", &address);
    let path = format!(
        "{}:{}",
        millstream().parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    program::output_of(
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .env("PATH", path)
            .current_dir(directory.path()),
        b"",
    )
}

/// The first block of the shell that begins like this.
fn block_that_begins(with: &str) -> String {
    blocks("sh")
        .into_iter()
        .find(|block| block.starts_with(with))
        .unwrap()
}

#[test]
fn the_broker_section_works_word_for_word() {
    let start = block_that_begins("millstream broker ");
    assert!(
        start.contains("--data-dir ./data --listener 127.0.0.1:9092"),
        "{start}"
    );
    let shown = run_against_a_broker(&block_that_begins("millstream topics "));
    assert!(shown.contains("Created topic pairs."), "{shown}");
    assert!(shown.contains("a\t1\n") && shown.contains("b\t2\n"), "{shown}");
    assert!(shown.contains("PartitionCount: 2"), "{shown}");
}

#[test]
fn measuring_and_administration_work_word_for_word() {
    let shown = run_against_a_broker(&block_that_begins("millstream perf "));
    assert!(shown.contains("100000 records sent, "), "{shown}");
    assert!(shown.contains(", 100000, "), "{shown}");
    assert!(shown.contains("Percentiles: 50th = "), "{shown}");
    // One record went ahead of the 5000 to see that all stands.
    assert!(shown.contains("load:0:105001\n"), "{shown}");
}

#[test]
fn the_stream_job_of_the_readme_is_the_example() {
    let example = std::fs::read_to_string(repository().join("examples/word_count.rs")).unwrap();
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    let job = blocks("rust");
    let steps = job[0].split_once("app.stream").unwrap().1;
    assert!(
        squeeze(&example).contains(&squeeze(steps)),
        "README and examples/word_count.rs differ"
    );
    assert!(example.lines().count() < 50);

    let example = std::fs::read_to_string(repository().join("examples/page_views.rs")).unwrap();
    assert!(
        squeeze(&example).contains(&squeeze(&job[1])),
        "README and examples/page_views.rs differ"
    );
    let example = std::fs::read_to_string(repository().join("examples/card_fraud.rs")).unwrap();
    assert!(
        squeeze(&example).contains(&squeeze(&job[2])),
        "README and examples/card_fraud.rs differ"
    );
    let example = std::fs::read_to_string(repository().join("examples/orders_customers.rs")).unwrap();
    assert!(
        squeeze(&example).contains(&squeeze(&job[3])),
        "README and examples/orders_customers.rs differ"
    );
    let example = std::fs::read_to_string(repository().join("examples/revenue/main.rs")).unwrap();
    assert!(
        squeeze(&example).contains(&squeeze(&job[4])),
        "README and examples/revenue/main.rs differ"
    );
}
