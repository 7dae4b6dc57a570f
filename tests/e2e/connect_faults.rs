//! Pipelines in trouble: nothing is lost without a word, and nothing comes twice.

use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_tests::cluster::Cluster;
use millstream_tests::connect_worker::{ConnectWorker, append, await_file, await_some};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rustix::process::Signal;

/// A cluster, and a folder with the files of a worker.
struct Trouble {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

impl Trouble {
    /// The worker's file has `more` in it.
    fn new(more: &str) -> Self {
        let (cluster, folder) = (Cluster::start(), tempfile::tempdir().unwrap());
        let worker = format!(
            "bootstrap.servers={}\n\
             key.converter=org.apache.kafka.connect.storage.StringConverter\n\
             value.converter=org.apache.kafka.connect.storage.StringConverter\n\
             offset.storage.file.filename=connect.offsets\n\
             offset.flush.interval.ms=200\n\
             listeners=http://127.0.0.1:0\n\
             {more}",
            cluster.broker.address()
        );
        std::fs::write(folder.path().join("worker.properties"), worker).unwrap();
        Self { cluster, folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a worker with these connectors: their names and settings.
    fn start(&self, connectors: &[(&str, &str)]) -> ConnectWorker {
        let mut files = vec!["worker.properties".to_owned()];
        for (name, settings) in connectors {
            files.push(format!("{name}.properties"));
            let text = format!("name={name}\nrestart.backoff.ms=50\nrestart.backoff.max.ms=200\n{settings}");
            std::fs::write(self.at(&format!("{name}.properties")), text).unwrap();
        }
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        ConnectWorker::start(self.folder.path(), &files)
    }

    fn create_topic(&self, topic: &str, settings: &str) {
        let mut words = vec!["topics", "--create", "--topic", topic];
        if !settings.is_empty() {
            words.extend(["--config", settings]);
        }
        self.cluster.run(&words, "");
    }

    fn set(&self, topic: &str, setting: &str) {
        self.cluster
            .line(&format!("configs --alter --topic {topic} --add-config {setting}"));
    }

    fn produce(&self, topic: &str, values: &[&[u8]]) {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.cluster.broker.address());
        let producer: BaseProducer = client.create().unwrap();
        for value in values {
            let record = BaseRecord::<[u8], [u8]>::to(topic).payload(value).partition(0);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_secs(60)).unwrap();
    }

    fn produce_lines(&self, topic: &str, lines: &str) {
        let values: Vec<&[u8]> = lines.lines().map(str::as_bytes).collect();
        self.produce(topic, &values);
    }

    /// How many records a topic of one partition has.
    fn end(&self, topic: &str) -> usize {
        let shown = self
            .cluster
            .line(&format!("offsets --topic {topic} --time latest"));
        shown.trim().rsplit(':').next().unwrap().parse().unwrap()
    }

    /// All records of a topic.
    fn values(&self, topic: &str) -> String {
        match self.end(topic) {
            0 => String::new(),
            count => self.cluster.line(&format!(
                "consume --topic {topic} --from-beginning --max-messages {count}"
            )),
        }
    }
}

fn numbered(range: std::ops::Range<usize>) -> String {
    range.map(|number| format!("line {number}\n")).collect()
}

/// How often the worker has started something again.
fn restarts(worker: &ConnectWorker) -> u64 {
    let address = worker.url().strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    let mut counts = answer
        .lines()
        .filter_map(|line| line.strip_prefix("millstream_connect_supervised_restarts_total "));
    counts.next().unwrap().trim().parse().unwrap()
}

/// The group gives a stopped worker's partitions away; all it had put and not flushed was there twice when it went on.
#[test]
fn a_worker_that_is_stopped_for_longer_than_its_session_repeats_no_line() {
    let trouble = Trouble::new("consumer.session.timeout.ms=6000\nconsumer.heartbeat.interval.ms=1000\n");
    // Nothing is flushed before the worker is stopped.
    let file = std::fs::read_to_string(trouble.at("worker.properties")).unwrap();
    let file = file.replace("interval.ms=200", "interval.ms=3600000");
    std::fs::write(trouble.at("worker.properties"), file).unwrap();
    trouble.create_topic("lines", "");
    trouble.produce_lines("lines", &numbered(0..30));
    let sinks = [
        (
            "single",
            "connector.class=FileStreamSink\ntopics=lines\nfile=out.txt\n",
        ),
        (
            "folder",
            "connector.class=FileStreamSink\ntopics=lines\ndirectory=out\nroll.records=4\n",
        ),
    ];
    let worker = trouble.start(&sinks);
    await_file(&trouble.at("out.txt"), &numbered(0..30));
    await_some("no file is finished", || {
        (folder_lines(&trouble.at("out")).lines().count() >= 28).then_some(())
    });
    worker.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(12));
    worker.signal(Signal::CONT);
    trouble.produce_lines("lines", &numbered(30..40));
    await_file(&trouble.at("out.txt"), &numbered(0..40));
    await_some("the folder does not go on", || {
        (folder_lines(&trouble.at("out")).lines().count() >= 40).then_some(())
    });
    worker.stop();
    assert_eq!(
        std::fs::read_to_string(trouble.at("out.txt")).unwrap(),
        numbered(0..40)
    );
    assert_eq!(folder_lines(&trouble.at("out")), numbered(0..40));
}

/// The lines of a folder's finished files, in the order of their offsets.
fn folder_lines(folder: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return String::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    files.sort();
    files
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

/// A dead letter that the cluster does not take is not forgotten: the task fails at its record each time it is started again.
#[test]
fn a_dead_letter_that_cannot_be_written_keeps_the_task_at_its_record() {
    let trouble = Trouble::new("");
    trouble.create_topic("rows", "");
    trouble.create_topic("dead", "max.message.bytes=100");
    let rows: Vec<String> = (0..20)
        .map(|number| match number {
            10 => "no json".to_owned(),
            _ => format!("{{\"n\":{number}}}"),
        })
        .collect();
    trouble.produce_lines("rows", &rows.join("\n"));
    let common = "connector.class=FileStreamSink\ntopics=rows\nformat=jsonl\n\
        value.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter.schemas.enable=false\n\
        errors.tolerance=all\nerrors.deadletterqueue.topic.name=dead\nerrors.deadletterqueue.topic.replication.factor=1\n\
        errors.deadletterqueue.context.headers.enable=true\nconsumer.override.max.poll.records=4\n";
    let sinks = [
        ("single", format!("{common}file=out.jsonl\n")),
        ("folder", format!("{common}directory=out\nroll.records=3\n")),
    ];
    let worker = trouble.start(&[("single", &sinks[0].1), ("folder", &sinks[1].1)]);
    for name in ["single", "folder"] {
        let trace = worker.await_failure(name);
        assert!(trace.contains("writing to the dead letters in dead"), "{trace}");
        assert!(trace.contains("max.message.bytes"), "{trace}");
    }
    // However often they are started again.
    let before = restarts(&worker);
    await_some("nothing is started again", || {
        (restarts(&worker) >= before + 6).then_some(())
    });
    let complete: String = rows[..10].iter().map(|row| format!("{row}\n")).collect();
    for name in ["single", "folder"] {
        let offsets: serde_json::Value =
            serde_json::from_str(&worker.cli(&format!("offsets {name} --output json"))).unwrap();
        let next = offsets["offsets"][0]["offset"]["kafka_offset"].as_i64();
        assert!(next <= Some(10), "{name}: {offsets}");
        worker.await_failure(name);
    }
    assert!(complete.starts_with(&folder_lines(&trouble.at("out"))));
    assert_eq!(trouble.end("dead"), 0);
    // With room for the dead letter they go on by themselves.
    trouble.set("dead", "max.message.bytes=100000");
    let others: String = rows
        .iter()
        .filter(|row| row.starts_with('{'))
        .map(|row| format!("{row}\n"))
        .collect();
    await_file(&trouble.at("out.jsonl"), &others);
    await_some("the folder does not go on", || {
        (folder_lines(&trouble.at("out")).lines().count() >= 18).then_some(())
    });
    worker.stop();
    assert_eq!(folder_lines(&trouble.at("out")), others);
    assert_eq!(trouble.values("dead"), "no json\n".repeat(2));
    assert_eq!(std::fs::read_to_string(trouble.at("out.jsonl")).unwrap(), others);
}

/// Restarts repeated everything in front of a line that is too large for its topic, without end.
#[test]
fn a_line_beyond_the_limit_of_its_topic_repeats_nothing_and_is_judged_by_the_tolerance() {
    let trouble = Trouble::new("");
    let large = format!("{}\n", "x".repeat(30_000));
    let (before, behind) = (numbered(0..4_000), numbered(4_000..6_000));
    append(&trouble.at("in.txt"), &format!("{before}{large}{behind}"));
    for topic in ["strict", "tolerant"] {
        trouble.create_topic(topic, "max.message.bytes=20000");
    }
    trouble.create_topic("dead", "");
    let strict =
        "connector.class=FileStreamSource\nfile=in.txt\ntopic=strict\nproducer.override.batch.size=10000\n";
    // Even batches of short lines are beyond the limit here.
    let tolerant = "connector.class=FileStreamSource\nfile=in.txt\ntopic=tolerant\nerrors.tolerance=all\n\
        errors.deadletterqueue.topic.name=dead\nerrors.deadletterqueue.topic.replication.factor=1\n";
    let worker = trouble.start(&[("strict", strict), ("tolerant", tolerant)]);
    let trace = worker.await_failure("strict");
    assert!(
        trace.contains("a record of 30000 bytes for strict") && trace.contains("max.message.bytes"),
        "{trace}"
    );
    await_some("the dead letter does not come", || {
        trouble.values("dead").ends_with(&large).then_some(())
    });
    await_some("the tolerant source does not come to its end", || {
        (trouble.end("tolerant") >= 6_000).then_some(())
    });
    // What no restart mends is not started again, and nothing behind the line is there.
    assert_eq!(restarts(&worker), 0);
    assert!(trouble.values("strict") == before);
    trouble.set("strict", "max.message.bytes=1000000");
    worker.cli("restart strict --include-tasks");
    await_some("the strict source does not come to its end", || {
        trouble.values("strict").ends_with(&behind).then_some(())
    });
    worker.stop();
    // Offsets are those of batches: it went on at the beginning of the one with the line.
    let strict = trouble.values("strict");
    let rest = strict.strip_prefix(&before).unwrap();
    assert!(format!("{before}{large}{behind}").ends_with(rest));
    let tolerant = trouble.values("tolerant");
    let (mut came, expected) = (tolerant.lines().collect::<Vec<_>>(), format!("{before}{behind}"));
    let mut expected: Vec<&str> = expected.lines().collect();
    came.sort_unstable();
    expected.sort_unstable();
    assert!(came == expected, "{} lines came", came.len());
    assert_eq!(trouble.values("dead"), large);
}

/// Values that end within a character, of which all together are text: each is read for itself, however the sink is given them.
#[test]
fn values_that_end_within_a_character_are_written_as_they_are_read_one_by_one() {
    let trouble = Trouble::new("");
    trouble.create_topic("cut", "");
    let values: [&[u8]; 5] = ["é".as_bytes(), b"a\xc3", b"\xa9b", b"", "ü".as_bytes()];
    trouble.produce("cut", &values);
    let common = "connector.class=FileStreamSink\ntopics=cut\n";
    let values_alone = format!("{common}file=values.txt\n");
    let records = format!(
        "{common}file=records.txt\ntransforms=h\ntransforms.h.type=org.apache.kafka.connect.transforms.InsertHeader\n\
         transforms.h.header=h\ntransforms.h.value.literal=x\n"
    );
    let worker = trouble.start(&[("values", &values_alone), ("records", &records)]);
    let expected = "é\na\u{fffd}\n\u{fffd}b\n\nü\n";
    await_file(&trouble.at("records.txt"), expected);
    await_file(&trouble.at("values.txt"), expected);
    worker.stop();
}
