//! Connectors run by `millstream connect`.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use millstream_tests::broker::{BrokerProcess, free_address};
use millstream_tests::cluster::Cluster;
use millstream_tests::connect_worker::{ConnectWorker, append, await_file};
use millstream_tests::kill_connect::{self, Plan, group};
use millstream_tests::program;

/// `config/connect-standalone.properties`, `connect-file-source.properties` and `connect-file-sink.properties` of Apache Kafka 4.2
/// without their comments; only addresses and paths are this test's.
const WORKER: &str = "bootstrap.servers=localhost:9092\n\
    key.converter=org.apache.kafka.connect.json.JsonConverter\n\
    value.converter=org.apache.kafka.connect.json.JsonConverter\n\
    key.converter.schemas.enable=true\n\
    value.converter.schemas.enable=true\n\
    offset.storage.file.filename=/tmp/connect.offsets\n\
    offset.flush.interval.ms=10000\n\
    #plugin.path=/usr/local/share/java,/usr/local/share/kafka/plugins,/opt/connectors,\n\
    plugin.path=libs/connect-file-4.2.0.jar\n";
const SOURCE: &str = "name=local-file-source\nconnector.class=FileStreamSource\ntasks.max=1\nfile=test.txt\ntopic=connect-test\n";
const SINK: &str = "name=local-file-sink\nconnector.class=FileStreamSink\ntasks.max=1\nfile=test.sink.txt\ntopics=connect-test\n";

fn write_properties(directory: &Path, bootstrap: &str) {
    let offsets = directory.join("connect.offsets").display().to_string();
    let worker = WORKER
        .replace("localhost:9092", bootstrap)
        .replace("/tmp/connect.offsets", &offsets);
    let worker = format!("{worker}listeners=http://127.0.0.1:0\n");
    for (name, text) in [
        ("connect-standalone", &*worker),
        ("connect-file-source", SOURCE),
        ("connect-file-sink", SINK),
    ] {
        std::fs::write(directory.join(format!("{name}.properties")), text).unwrap();
    }
}

const FILES: [&str; 3] = [
    "connect-standalone.properties",
    "connect-file-source.properties",
    "connect-file-sink.properties",
];

/// The example of Kafka's documentation: "Use Kafka Connect to import/export data".
#[test]
fn the_example_of_kafkas_documentation_runs() {
    let cluster = Cluster::start();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    write_properties(directory.path(), cluster.broker.address());
    std::fs::write(at("test.txt"), "foo\nbar\n").unwrap();
    let worker = ConnectWorker::start(directory.path(), &FILES);
    await_file(&at("test.sink.txt"), "foo\nbar\n");
    let shown = cluster.line("consume --topic connect-test --from-beginning --max-messages 2");
    assert_eq!(
        shown,
        "{\"schema\":{\"type\":\"string\",\"optional\":false},\"payload\":\"foo\"}\n\
         {\"schema\":{\"type\":\"string\",\"optional\":false},\"payload\":\"bar\"}\n"
    );
    append(&at("test.txt"), "Another line\n");
    await_file(&at("test.sink.txt"), "foo\nbar\nAnother line\n");

    let listed = worker.cli("list");
    assert!(
        listed.contains("local-file-source") && listed.contains("local-file-sink"),
        "{listed}"
    );
    let status = worker.cli("status local-file-source");
    assert_eq!(status.matches("RUNNING").count(), 2, "{status}");
    // A slip that nobody reads is told where files are checked, not in the worker's log alone.
    std::fs::write(at("slip.properties"), SOURCE.replace("file=", "fil=")).unwrap();
    let words = ["connect", "validate", "slip.properties", "--url", worker.url()];
    let checked = program::run(program::command(&words).current_dir(directory.path()), b"");
    assert!(
        checked.success && checked.stdout == "local-file-source is good\n",
        "{checked:?}"
    );
    assert_eq!(
        checked.stderr,
        "millstream: local-file-source: warning: fil is unknown and has no effect; did you mean file?\n"
    );
    worker.cli("pause local-file-source");
    append(&at("test.txt"), "while it is paused\n");
    std::thread::sleep(Duration::from_millis(500));
    await_file(&at("test.sink.txt"), "foo\nbar\nAnother line\n");
    worker.cli("resume local-file-source");
    await_file(
        &at("test.sink.txt"),
        "foo\nbar\nAnother line\nwhile it is paused\n",
    );
    worker.stop();

    // The next one goes on where this one stopped.
    append(&at("test.txt"), "after a restart\n");
    let worker = ConnectWorker::start(directory.path(), &FILES);
    await_file(
        &at("test.sink.txt"),
        "foo\nbar\nAnother line\nwhile it is paused\nafter a restart\n",
    );
    worker.stop();
}

/// The pipeline of the README; only addresses are this test's.
#[test]
fn the_pipeline_of_the_readme_runs() {
    let readme = std::fs::read_to_string(program::repository().join("README.md")).unwrap();
    let section = readme.split_once("## A file pipeline").unwrap().1;
    let blocks = |language: &str| -> Vec<String> {
        let fence = format!("```{language}\n");
        let parts = section.split(&fence).skip(1);
        parts
            .map(|part| part.split_once("```").unwrap().0.to_owned())
            .collect()
    };
    let directory = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(&directory.path().join("broker"));
    let files = ["worker.properties", "source.properties", "sink.properties"];
    for (name, text) in files.iter().zip(blocks("properties")) {
        let text = text
            .replace("127.0.0.1:9092", broker.address())
            .replace("127.0.0.1:8083", &free_address());
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let commands = blocks("console");
    let commands: Vec<&str> = commands[0].lines().collect();
    assert_eq!(
        commands[0],
        format!("millstream connect standalone {}", files.join(" "))
    );
    std::fs::write(directory.path().join("in.txt"), "to be\nor not\n").unwrap();
    let worker = ConnectWorker::start(directory.path(), &files);
    await_file(&directory.path().join("out.txt"), "to be\nor not\n");
    let shown = worker.cli(commands[1].strip_prefix("millstream connect ").unwrap());
    assert!(shown.contains("RUNNING"), "{shown}");
    worker.stop();
}

#[test]
fn a_worker_without_a_broker_says_so_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    write_properties(directory.path(), &free_address());
    let finished = program::run(
        program::command(&["connect", "standalone"])
            .args(FILES)
            .current_dir(directory.path()),
        b"",
    );
    assert!(!finished.success);
    assert!(
        finished.stderr.contains("bootstrap.servers"),
        "{}",
        finished.stderr
    );
}

/// A bounded slice of `kill-connect group`.
#[test]
fn each_line_comes_once_whichever_of_two_workers_dies() {
    let directory = tempfile::tempdir().unwrap();
    let report = group::run(directory.path(), 6, 11);
    assert_eq!(report.rounds, 6);
    assert!(report.worker_kills >= 6 && report.lines > 0, "{report:?}");
}

#[test]
fn each_line_comes_once_whatever_dies() {
    let directory = tempfile::tempdir().unwrap();
    let plan = Plan {
        rounds: 12,
        seed: 7,
        bootstrap: None,
    };
    let report = kill_connect::run(directory.path(), &plan);
    assert_eq!(report.worker_kills, 12);
    assert!(report.lines > 0);
}

/// The level of a logger of Kafka Connect's reaches the log, and what a task logs says whose it is.
#[test]
fn levels_that_are_set_while_it_runs_reach_the_log() {
    let cluster = Cluster::start();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    write_properties(directory.path(), cluster.broker.address());
    std::fs::write(at("test.txt"), "foo\n").unwrap();
    let log = std::fs::File::create(at("log")).unwrap();
    let worker = ConnectWorker::start_with(
        directory.path(),
        &["--log-format", "json", FILES[0], FILES[1], FILES[2]],
        Stdio::from(log),
    );
    await_file(&at("test.sink.txt"), "foo\n");
    let lines = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(at("log")).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.collect()
    };
    let of_the_task = |line: &serde_json::Value| {
        line["level"] == "DEBUG"
            && line["context"]["connector"] == "local-file-source"
            && line["context"]["task"] == 0
    };
    assert!(!lines().iter().any(of_the_task));
    let body = "{\"level\":\"DEBUG\"}";
    let address = worker.url().strip_prefix("http://").unwrap();
    let request = format!(
        "PUT /admin/loggers/org.apache.kafka.connect.runtime.WorkerSourceTask HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    append(&at("test.txt"), "bar\n");
    await_file(&at("test.sink.txt"), "foo\nbar\n");
    let until = Instant::now() + Duration::from_secs(60);
    while !lines().iter().any(of_the_task) {
        assert!(Instant::now() < until, "{:?}", lines());
        std::thread::sleep(Duration::from_millis(20));
    }
    worker.stop();
}

/// A hundred connectors in one worker.
#[test]
fn a_hundred_connectors_run_in_one_worker() {
    let directory = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(&directory.path().join("broker"));
    write_properties(directory.path(), broker.address());
    let create = [
        "topics",
        "--create",
        "--topic",
        "connect-test",
        "--bootstrap-server",
        broker.address(),
    ];
    program::millstream_output(&create, "");
    let mut files = vec![FILES[0].to_owned()];
    for number in 0..100 {
        std::fs::write(
            directory.path().join(format!("{number}.txt")),
            format!("line {number}\n"),
        )
        .unwrap();
        let name = format!("{number}.properties");
        let source = SOURCE
            .replace("local-file-source", &format!("source-{number}"))
            .replace("test.txt", &format!("{number}.txt"));
        std::fs::write(directory.path().join(&name), source).unwrap();
        files.push(name);
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let worker = ConnectWorker::start(directory.path(), &files);
    let consume = [
        "consume",
        "--topic",
        "connect-test",
        "--from-beginning",
        "--max-messages",
        "100",
        "--bootstrap-server",
        broker.address(),
    ];
    let shown = program::millstream_output(&consume, "");
    let lines: std::collections::BTreeSet<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 100);
    let kilobytes = worker.resident_kilobytes();
    // 95 MB at present: less than one for each connector with its client and its threads. With huge pages it would be eight times as much.
    assert!(kilobytes < 200 * 1024, "{kilobytes} kB");
    worker.stop();
}
