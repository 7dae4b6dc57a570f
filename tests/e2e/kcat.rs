//! kcat (librdkafka) against `millstream broker`.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millstream_tests::broker::BrokerProcess;
use millstream_tests::program::{SpawnTied, millstream_output, output_of};

fn kcat(broker: &BrokerProcess, arguments: &[&str]) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-b", broker.address()]).args(arguments);
    command
}

fn create(broker: &BrokerProcess, topic: &str, partitions: &str) {
    millstream_output(
        &[
            "topics",
            "create",
            "--topic",
            topic,
            "--partitions",
            partitions,
            "--bootstrap-server",
            broker.address(),
        ],
        "",
    );
}

#[test]
fn keys_and_headers_come_back_under_every_compression() {
    let directory = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(directory.path());
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("kcat-{codec}");
        create(&broker, &topic, "1");
        let input: String = (0..2_000)
            .map(|number| format!("k{number}:v{number} {}\n", "pad".repeat(20)))
            .collect();
        let produce = [
            "-P",
            "-t",
            &topic,
            "-K:",
            "-z",
            codec,
            "-H",
            "colour=red",
            "-H",
            "colour=blue",
        ];
        output_of(&mut kcat(&broker, &produce), input.as_bytes());
        let shown = output_of(
            &mut kcat(
                &broker,
                &[
                    "-C",
                    "-q",
                    "-t",
                    &topic,
                    "-o",
                    "beginning",
                    "-e",
                    "-f",
                    "%k:%s|%h\n",
                ],
            ),
            b"",
        );
        let expected: String = input
            .lines()
            .map(|line| format!("{line}|colour=red,colour=blue\n"))
            .collect();
        assert_eq!(shown, expected, "{codec}");
    }
}

#[test]
fn offsets_timestamps_and_metadata_are_answered() {
    let directory = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(directory.path());
    create(&broker, "t", "2");
    output_of(&mut kcat(&broker, &["-P", "-t", "t", "-p", "1"]), b"a\nb\nc\n");
    let listed = output_of(&mut kcat(&broker, &["-L", "-t", "t"]), b"");
    assert!(listed.contains("topic \"t\" with 2 partitions"), "{listed}");
    let tail = output_of(
        &mut kcat(&broker, &["-C", "-q", "-t", "t", "-p", "1", "-o", "-2", "-e"]),
        b"",
    );
    assert_eq!(tail, "b\nc\n");
    let by_time = output_of(&mut kcat(&broker, &["-Q", "-t", "t:1:1"]), b"");
    assert_eq!(by_time.trim(), "t [1] offset 0");
}

#[test]
fn a_topic_is_made_by_its_first_record_unless_that_is_turned_off() {
    let directory = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(directory.path());
    output_of(&mut kcat(&broker, &["-P", "-t", "made"]), b"x\n");
    assert_eq!(
        output_of(
            &mut kcat(&broker, &["-C", "-q", "-t", "made", "-o", "beginning", "-e"]),
            b""
        ),
        "x\n"
    );
    drop(broker);
    let broker = BrokerProcess::start_at(
        directory.path(),
        "127.0.0.1:0",
        &["auto.create.topics.enable=false"],
    );
    let mut refused = kcat(
        &broker,
        &[
            "-P",
            "-t",
            "unmade",
            "-X",
            "message.timeout.ms=3000",
            "-X",
            "topic.metadata.propagation.max.ms=500",
        ],
    );
    assert!(!millstream_tests::program::run(&mut refused, b"x\n").success);
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
    assert_eq!(topics, "made\n");
}

/// A member of a group that writes what it reads to a file.
fn member(broker: &BrokerProcess, output: &std::path::Path) -> Child {
    kcat(
        broker,
        &[
            "-G",
            "three",
            "-q",
            "-u",
            "-X",
            "session.timeout.ms=6000",
            "-X",
            "heartbeat.interval.ms=500",
            "-X",
            "auto.offset.reset=earliest",
            "grouped",
        ],
    )
    .stdin(Stdio::null())
    .stdout(std::fs::File::create(output).unwrap())
    .stderr(Stdio::null())
    .spawn_tied()
    .unwrap()
}

#[test]
fn a_group_of_three_goes_on_when_one_member_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(&directory.path().join("data"));
    create(&broker, "grouped", "6");
    let files: Vec<_> = (0..3)
        .map(|number| directory.path().join(format!("member-{number}")))
        .collect();
    let mut members: Vec<_> = files.iter().map(|file| member(&broker, file)).collect();
    let read = |file: &std::path::PathBuf| -> BTreeSet<String> {
        std::fs::read_to_string(file)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    };
    let all = |files: &[std::path::PathBuf]| -> BTreeSet<String> { files.iter().flat_map(read).collect() };
    let produce = |from: u32, to: u32| -> BTreeSet<String> {
        for partition in 0..6 {
            let input: String = (from..to)
                .filter(|n| n % 6 == partition)
                .map(|n| format!("{n}\n"))
                .collect();
            output_of(
                &mut kcat(&broker, &["-P", "-t", "grouped", "-p", &partition.to_string()]),
                input.as_bytes(),
            );
        }
        (from..to).map(|number| number.to_string()).collect()
    };
    let wait = |what: &str, mut done: Box<dyn FnMut() -> bool + '_>| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < deadline, "{what} did not happen");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    // Members join one by one; records go on until each has had some.
    let mut sent = 0;
    let mut expected = BTreeSet::new();
    wait(
        "each member reading",
        Box::new(|| {
            expected.extend(produce(sent, sent + 60));
            sent += 60;
            files.iter().all(|file| !read(file).is_empty())
        }),
    );
    members[0].kill().unwrap();
    members[0].wait().unwrap();
    expected.extend(produce(sent, sent + 600));
    wait(
        "the two others reading everything",
        Box::new(|| all(&files) == expected),
    );
    for mut member in members.drain(1..) {
        member.kill().unwrap();
        member.wait().unwrap();
    }
}
