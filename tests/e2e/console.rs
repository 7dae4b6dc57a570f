//! `millstream topics | produce | consume` as a user types them.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use millstream_tests::broker::BrokerProcess;
use millstream_tests::cluster::Cluster;
use millstream_tests::program::{SpawnTied, command, millstream_output};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn topics_are_created_listed_described_and_deleted() {
    let cluster = Cluster::start();
    let created = cluster.run(
        &[
            "topics",
            "--create",
            "--topic",
            "a",
            "--partitions",
            "3",
            "--replication-factor",
            "1",
            "--config",
            "retention.ms=1000",
        ],
        "",
    );
    assert_eq!(created, "Created topic a.\n");
    cluster.run(&["topics", "create", "--topic", "b"], "");
    cluster.run(&["topics", "create", "--topic", "b", "--if-not-exists"], "");
    assert_eq!(cluster.run(&["topics", "--list"], ""), "a\nb\n");
    let described = cluster.run(&["topics", "--describe", "--topic", "a"], "");
    let mut lines = described.lines();
    let first = lines.next().unwrap();
    assert!(
        first.starts_with("Topic: a\tTopicId: ")
            && first.contains("\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: "),
        "{first}"
    );
    assert!(first.contains("retention.ms=1000"), "{first}");
    let leader = lines.next().unwrap();
    assert!(
        leader.starts_with("\tTopic: a\tPartition: 0\tLeader: "),
        "{leader}"
    );
    assert_eq!(lines.count(), 2);
    cluster.run(&["topics", "delete", "--topic", "a"], "");
    assert_eq!(cluster.run(&["topics", "--list"], ""), "b\n");
}

#[test]
fn what_is_wrong_with_a_topic_is_named() {
    let cluster = Cluster::start();
    cluster.run(&["topics", "create", "--topic", "there"], "");
    assert!(
        cluster
            .fails(&["topics", "create", "--topic", "there"])
            .contains("--if-not-exists")
    );
    assert!(
        cluster
            .fails(&["topics", "delete", "--topic", "gone"])
            .contains("gone does not exist")
    );
    assert!(
        cluster
            .fails(&["topics", "describe", "--topic", "gone"])
            .contains("gone does not exist")
    );
    assert!(
        cluster
            .fails(&["consume", "--topic", "gone"])
            .contains("gone does not exist")
    );
    assert!(
        cluster
            .fails(&["topics", "create", "--topic", "x", "--replication-factor", "3"])
            .contains("replication-factor")
    );
    assert!(
        cluster
            .fails(&["topics", "create", "--topic", "a/b"])
            .contains("a/b")
    );
    assert!(
        cluster
            .fails(&["topics", "create", "--topic", "x", "--config", "no.such.key=1"])
            .contains("no.such.key=1")
    );
    assert!(
        cluster
            .fails(&["consume", "--topic", "there", "--partition", "9"])
            .contains("no partition 9")
    );
    cluster.run(&["topics", "delete", "--topic", "gone", "--if-exists"], "");
}

#[test]
fn keys_headers_and_nulls_go_through_produce_and_consume() {
    let cluster = Cluster::start();
    cluster.run(&["topics", "create", "--topic", "pairs"], "");
    let input = "h:1,h:2\tk1\tv1\nNULL\tk2\tNULL\n";
    let parse = [
        "--property",
        "parse.key=true",
        "--property",
        "parse.headers=true",
        "--property",
        "null.marker=NULL",
    ];
    let mut produce = vec!["produce", "--topic", "pairs"];
    produce.extend(parse);
    cluster.run(&produce, input);
    let shown = cluster.run(
        &[
            "consume",
            "--topic",
            "pairs",
            "--from-beginning",
            "--max-messages",
            "2",
            "--property",
            "print.key=true",
            "--property",
            "print.headers=true",
            "--property",
            "print.partition=true",
            "--property",
            "print.offset=true",
        ],
        "",
    );
    assert_eq!(
        shown,
        "Partition:0\tOffset:0\th:1,h:2\tk1\tv1\nPartition:0\tOffset:1\tNO_HEADERS\tk2\tnull\n"
    );
    let stamped = cluster.run(
        &[
            "consume",
            "--topic",
            "pairs",
            "--partition",
            "0",
            "--offset",
            "1",
            "--max-messages",
            "1",
            "--property",
            "print.timestamp=true",
        ],
        "",
    );
    assert!(
        stamped.starts_with("CreateTime:") && stamped.ends_with("\tnull\n"),
        "{stamped}"
    );
}

#[test]
fn every_compression_and_acks_reach_the_log() {
    let cluster = Cluster::start();
    cluster.run(&["topics", "create", "--topic", "codecs"], "");
    let mut expected = String::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let line = format!("{codec} {}\n", "again ".repeat(100));
        cluster.run(
            &["produce", "--topic", "codecs", "--compression-codec", codec],
            &line,
        );
        expected.push_str(&line);
    }
    for acks in ["0", "1", "-1", "all"] {
        let line = format!("acks {acks}\n");
        cluster.run(&["produce", "--topic", "codecs", "--acks", acks, "--sync"], &line);
        expected.push_str(&line);
    }
    let shown = cluster.run(
        &[
            "consume",
            "--topic",
            "codecs",
            "--from-beginning",
            "--max-messages",
            "9",
        ],
        "",
    );
    assert_eq!(shown, expected);
}

#[test]
fn a_group_goes_on_where_it_stopped() {
    let cluster = Cluster::start();
    cluster.run(&["topics", "create", "--topic", "numbers"], "");
    cluster.run(&["produce", "--topic", "numbers"], "1\n2\n3\n4\n");
    let next = |count: &str| {
        cluster.run(
            &[
                "consume",
                "--topic",
                "numbers",
                "--group",
                "g",
                "--from-beginning",
                "--max-messages",
                count,
                "--isolation-level",
                "read_committed",
            ],
            "",
        )
    };
    assert_eq!(next("3"), "1\n2\n3\n");
    assert_eq!(next("1"), "4\n");
}

#[test]
fn ctrl_c_ends_a_consumer_cleanly_and_its_group_keeps_what_was_printed() {
    let cluster = Cluster::start();
    cluster.run(&["topics", "create", "--topic", "numbers"], "");
    cluster.run(&["produce", "--topic", "numbers"], "1\n2\n");
    let words = cluster.arguments(&[
        "consume",
        "--topic",
        "numbers",
        "--group",
        "g",
        "--from-beginning",
    ]);
    let mut child = command(&words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn_tied()
        .unwrap();
    let mut printed = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut printed).unwrap();
    assert_eq!(&printed, b"1\n2\n");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    cluster.run(&["produce", "--topic", "numbers"], "3\n");
    let words = [
        "consume",
        "--topic",
        "numbers",
        "--group",
        "g",
        "--from-beginning",
        "--max-messages",
        "1",
    ];
    assert_eq!(cluster.run(&words, ""), "3\n");
}

#[test]
fn ctrl_c_ends_a_producer_after_its_lines_are_written() {
    let cluster = Cluster::start();
    cluster.run(&["topics", "create", "--topic", "typed"], "");
    let words = cluster.arguments(&["produce", "--topic", "typed"]);
    let mut child = command(&words).stdin(Stdio::piped()).spawn_tied().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"typed by hand\n").unwrap();
    std::io::Write::flush(&mut stdin).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let words = [
        "consume",
        "--topic",
        "typed",
        "--from-beginning",
        "--max-messages",
        "1",
    ];
    assert_eq!(cluster.run(&words, ""), "typed by hand\n");
}

#[test]
fn a_broker_stops_cleanly_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(directory.path());
    assert_eq!(broker.stop(), 0);
}

#[test]
fn every_command_has_help_with_examples() {
    for words in [
        vec!["--help"],
        vec!["word-count", "--help"],
        vec!["broker", "--help"],
        vec!["topics", "--help"],
        vec!["produce", "--help"],
        vec!["consume", "--help"],
        vec!["groups", "--help"],
        vec!["configs", "--help"],
        vec!["transactions", "--help"],
        vec!["offsets", "--help"],
        vec!["delete-records", "--help"],
        vec!["log-dirs", "--help"],
        vec!["perf", "--help"],
        vec!["perf", "produce", "--help"],
        vec!["perf", "consume", "--help"],
        vec!["perf", "latency", "--help"],
    ] {
        let help = millstream_output(&words, "");
        assert!(help.contains("Examples:"), "{words:?}: {help}");
    }
}
