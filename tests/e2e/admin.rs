//! Administration as a user types it. Where Kafka has a script for it, expectations are what Kafka 4.2's script printed.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use millstream_tests::cluster::Cluster;
use millstream_tests::program::{self, SpawnTied, command};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);

/// The cells of a table, a row at a time.
fn cells(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| line.split_whitespace().collect())
        .collect()
}

/// The columns of a line that Kafka printed.
fn columns(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// A cluster with topic `a` of two partitions, three records in the first.
fn with_records() -> Cluster {
    let cluster = Cluster::start();
    cluster.line("topics --create --topic a --partitions 2 --config retention.ms=100000000");
    cluster.run(&["produce", "--topic", "a", "--partition", "0"], "1\n2\n3\n");
    cluster
}

#[test]
fn topics_are_described_in_kafkas_columns() {
    let cluster = with_records();
    let described = cluster.line("topics --describe --topic a");
    let lines: Vec<_> = described.lines().collect();
    let first: Vec<_> = lines[0].split('\t').collect();
    assert_eq!(first[0], "Topic: a");
    let id = first[1].strip_prefix("TopicId: ").unwrap();
    assert!(
        id.len() == 22
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
        "{id}"
    );
    assert_eq!(first[2..4], ["PartitionCount: 2", "ReplicationFactor: 1"]);
    assert!(first[4].starts_with("Configs: ") && first[4].contains("retention.ms=100000000"));
    // One replica has no eligible leaders besides it: the columns are there and empty, as Kafka 4 prints them.
    assert_eq!(
        lines[1..],
        [
            "\tTopic: a\tPartition: 0\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: ",
            "\tTopic: a\tPartition: 1\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: ",
        ]
    );
    cluster.line("topics --create --topic plain");
    let overridden = cluster.line("topics --describe --topics-with-overrides --exclude-internal");
    assert_eq!(overridden.lines().collect::<Vec<_>>(), lines[..1]);
    assert_eq!(cluster.line("topics --list --topic pl.*|b"), "plain\n");
}

#[test]
fn topics_grow_and_what_is_not_there_may_be_accepted() {
    let cluster = with_records();
    assert_eq!(cluster.line("topics --alter --topic a --partitions 4"), "");
    assert!(
        cluster
            .line("topics --describe --topic a")
            .contains("PartitionCount: 4")
    );
    let refused = cluster.line_fails("topics --alter --topic a --partitions 4");
    assert!(refused.contains("a topic only grows"), "{refused}");
    let missing = cluster.line_fails("topics --alter --topic gone --partitions 4");
    assert!(missing.contains("gone does not exist"), "{missing}");
    assert_eq!(
        cluster.line("topics --alter --topic gone --partitions 4 --if-exists"),
        ""
    );
    assert_eq!(cluster.line("topics --describe --topic gone --if-exists"), "");
    cluster.line("topics --create --topic b");
    cluster.line("topics --delete --topic a|b");
    assert_eq!(cluster.line("topics --list --exclude-internal"), "");
}

#[test]
fn offsets_are_printed_as_kafka_get_offsets_does() {
    let cluster = with_records();
    assert_eq!(cluster.line("offsets --topic a"), "a:0:3\na:1:0\n");
    assert_eq!(cluster.line("get-offsets --topic a --time -1"), "a:0:3\na:1:0\n");
    assert_eq!(
        cluster.line("offsets --topic a --time earliest"),
        "a:0:0\na:1:0\n"
    );
    // What has no such offset is left out.
    assert_eq!(cluster.line("offsets --topic a --time 1"), "a:0:0\n");
    assert_eq!(cluster.line("offsets --topic a --time 9999999999999"), "");
    assert_eq!(cluster.line("offsets --topic-partitions a:0-1,b"), "a:0:3\n");
    let none = cluster.line_fails("offsets --topic gone");
    assert!(none.contains("topics list"), "{none}");
}

#[test]
fn offsets_of_groups_are_reset_exported_and_read_back() {
    let cluster = with_records();
    let rows = cluster.line("groups --reset-offsets --group g --topic a --to-latest --execute");
    assert_eq!(
        cells(&rows),
        [
            columns("GROUP           TOPIC           PARTITION  NEW-OFFSET"),
            columns("g a 0 3"),
            columns("g a 1 0"),
        ]
    );
    let exported =
        cluster.line("groups --reset-offsets --group g --all-topics --shift-by -2 --export --dry-run");
    assert_eq!(exported, "a,0,1\na,1,0\n");
    let file = cluster.file("offsets.csv", &exported);
    cluster.line(&format!(
        "groups --reset-offsets --group other --from-file {file} --execute"
    ));
    let described = cluster.line("groups --describe --group other");
    assert_eq!(
        cells(&described),
        [
            columns(
                "GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     \
                 HOST            CLIENT-ID"
            ),
            columns("other a 0 1 3 2 - - -"),
            columns("other a 1 0 0 0 - - -"),
        ]
    );
    let new_offset = |to: &str| {
        let rows = cluster.line(&format!(
            "groups --reset-offsets --group g --topic a:0 --dry-run {to}"
        ));
        cells(&rows)[1][3].to_owned()
    };
    assert_eq!(new_offset("--to-datetime 2020-01-01T00:00:00.000"), "0");
    assert_eq!(new_offset("--to-datetime 2999-01-01T00:00:00.000Z"), "3");
    assert_eq!(new_offset("--by-duration PT1H"), "0");
    assert_eq!(new_offset("--to-current"), "3");
    assert_eq!(new_offset("--to-offset 99"), "3");
    let wrong = cluster.line_fails("groups --reset-offsets --group g --topic a --by-duration 1h --execute");
    assert!(wrong.contains("P1DT2H3M4S"), "{wrong}");
}

#[test]
fn offsets_and_groups_are_deleted() {
    let cluster = with_records();
    for group in ["g", "h"] {
        cluster.line(&format!(
            "groups --reset-offsets --group {group} --topic a --to-latest --execute"
        ));
    }
    let deleted = cluster.line("groups --delete-offsets --group g --topic a:0");
    let mut lines = deleted.lines();
    assert_eq!(
        lines.next(),
        Some("Request succeeded for deleting offsets from group g.")
    );
    let rows = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(
        cells(&rows),
        [
            columns("TOPIC           PARTITION  STATUS         "),
            columns("a 0 Successful")
        ]
    );
    assert_eq!(
        cluster.line("groups --delete --group g --group h"),
        "Deletion of requested consumer groups ('g', 'h') was successful.\n"
    );
    let gone = cluster.line_fails("groups --delete --group g");
    assert!(
        gone.contains("Group 'g' could not be deleted due to:") && gone.contains("groups --list"),
        "{gone}"
    );
    let gone = cluster.line_fails("groups --describe --group g");
    assert!(gone.contains("g does not exist"), "{gone}");
}

#[test]
fn an_open_transaction_is_found_and_aborted() {
    let cluster = with_records();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.broker.address())
        .set("transactional.id", "payments-1")
        .create()
        .unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    let record = BaseRecord::<(), _>::to("a").partition(1).payload("one");
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(LIMIT).unwrap();

    let address = cluster.broker.address();
    let in_kafkas_order = ["transactions", "--bootstrap-server", address, "list"];
    let listed = program::output_of(&mut command(&in_kafkas_order), b"");
    assert_eq!(
        cells(&listed)[0],
        columns("TransactionalId\tCoordinator\tProducerId\tTransactionState\t")
    );
    assert_eq!(cells(&listed)[1][0], "payments-1");
    assert_eq!(cells(&listed)[1][3], "Ongoing");

    let producers = cluster.line("transactions describe-producers --topic a --partition 1 --json");
    let producers: Value = serde_json::from_str(&producers).unwrap();
    assert_eq!(producers[0]["CurrentTransactionStartOffset"], 0);
    // It is open, but its coordinator knows it: it does not hang.
    let hanging = cluster.line("transactions find-hanging --topic a --max-transaction-timeout 0");
    assert_eq!(
        cells(&hanging),
        [columns(
            "Topic\tPartition\tProducerId\tProducerEpoch\tCoordinatorEpoch\tStartOffset\tLastTimestamp\tDuration(min)\t"
        )]
    );
    cluster.line("transactions abort --topic a --partition 1 --start-offset 0");
    let after = cluster.line("transactions describe-producers --topic a --partition 1");
    assert_eq!(cells(&after)[1].last(), Some(&"None"));
    let none = cluster.line_fails("transactions abort --topic a --partition 1 --start-offset 7");
    assert!(
        none.contains("Could not find any open transactions starting at offset 7 on partition a-1"),
        "{none}"
    );
}

#[test]
fn settings_are_described_as_text_and_json() {
    let cluster = with_records();
    let text = cluster.line("configs --describe --topic a");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("Dynamic configs for topic a are:"));
    let own = lines.next().unwrap();
    assert!(
        own.starts_with(
            "  retention.ms=100000000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=100000000"
        ),
        "{own}"
    );
    let json: Value = serde_json::from_str(&cluster.line("configs --describe --topic a --json")).unwrap();
    assert_eq!(json["resource"], "topic a");
    assert_eq!(json["configs"][0]["name"], "retention.ms");
    assert_eq!(json["configs"][0]["value"], "100000000");
    assert_eq!(json["configs"][0]["source"], "DYNAMIC_TOPIC_CONFIG");
}

#[test]
fn settings_are_altered() {
    let cluster = with_records();
    assert_eq!(
        cluster.line(
            "configs --alter --topic a --add-config retention.ms=5000000,cleanup.policy=[compact,delete]"
        ),
        "Completed updating config for topic a.\n"
    );
    let text = cluster.line("configs --describe --entity-type topics --entity-name a");
    assert!(
        text.starts_with(
            "Dynamic configs for topic a are:\n  cleanup.policy=compact,delete sensitive=false \
             synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, "
        ),
        "{text}"
    );
    let file = cluster.file("settings", "retention.ms=7000000\n");
    cluster.line(&format!("configs --alter --topic a --add-config-file {file}"));
    cluster.line("configs --alter --topic a --delete-config cleanup.policy");
    let text = cluster.line("configs --describe --entity-type topics");
    assert!(
        text.contains("Dynamic configs for topic a are:\n  retention.ms=7000000 "),
        "{text}"
    );
    cluster
        .line("configs --alter --entity-type brokers --entity-name 1 --add-config log.retention.ms=77777777");
    let text = cluster.line("configs --describe --entity-type brokers");
    assert!(
        text.starts_with("Dynamic configs for broker 1 are:\n  log.retention.ms=77777777 "),
        "{text}"
    );
    assert!(
        text.contains("Default configs for brokers in the cluster are:\n"),
        "{text}"
    );
    let wrong = cluster.line_fails("configs --alter --topic a --add-config retention.ms=soon");
    assert!(
        wrong.contains("retention.ms") && wrong.contains("soon"),
        "{wrong}"
    );
    let nobody = cluster.line_fails("configs --alter --entity-type topics --add-config retention.ms=1");
    assert!(nobody.contains("--entity-name"), "{nobody}");
}

#[test]
fn beginnings_of_partitions_are_cut_off() {
    let cluster = with_records();
    let file = cluster.file(
        "offsets.json",
        r#"{"partitions": [{"topic": "a", "partition": 0, "offset": 2}, {"topic": "a", "partition": 1, "offset": -1}], "version": 1}"#,
    );
    assert_eq!(
        cluster.line(&format!("delete-records --offset-json-file {file}")),
        "Executing records delete operation\nRecords delete operation completed:\npartition: a-0\tlow_watermark: 2\n\
         partition: a-1\tlow_watermark: 0\n"
    );
    assert_eq!(cluster.line("offsets --topic a --time -2"), "a:0:2\na:1:0\n");
    let file = cluster.file(
        "twice.json",
        r#"{"partitions": [{"topic": "a", "partition": 0, "offset": 2}, {"topic": "a", "partition": 0, "offset": 1}]}"#,
    );
    let twice = cluster.line_fails(&format!("delete-records --offset-json-file {file}"));
    assert!(twice.contains("a-0 stands there twice"), "{twice}");
}

#[test]
fn log_directories_are_printed_as_kafka_log_dirs_does() {
    let cluster = with_records();
    let said = cluster.line("log-dirs --describe --topic-list a");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "Querying brokers for log directories information",
            "Received log directory information from brokers 1"
        ]
    );
    let json: Value = serde_json::from_str(lines[2]).unwrap();
    let first = &json["brokers"][0]["logDirs"][0];
    assert_eq!(first["partitions"][0]["partition"], "a-0");
    assert!(first["partitions"][0]["size"].as_i64().unwrap() > 0);
    assert_eq!(first["partitions"][1]["isFuture"], false);
    assert_eq!(first["error"], Value::Null);
    let missing = cluster.line_fails("log-dirs --describe --broker-list 1,7");
    assert!(
        missing.contains("The given brokers do not exist from --broker-list: 7. Current existent brokers: 1"),
        "{missing}"
    );
}

#[test]
fn a_broker_logs_json_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = command(&[
        "broker",
        "--listener",
        "127.0.0.1:0",
        "--log-format",
        "json",
        "--log",
        "debug",
    ])
    .arg("--data-dir")
    .arg(directory.path())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn_tied()
    .unwrap();
    let mut ready = [0; 10];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(log.lines().count() > 0, "nothing was logged");
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "target", "message"] {
            assert!(event[field].is_string(), "{line}");
        }
    }
}
