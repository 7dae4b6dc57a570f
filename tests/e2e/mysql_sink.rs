//! From topics to tables, with the binary: each record is a row once, whatever is killed.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use millstream_tests::cluster::Cluster;
use millstream_tests::connect_worker::{ConnectWorker, await_some};
use millstream_tests::kill_mysql::pipeline::{self, Plan};
use millstream_tests::mysql::MysqlServer;
use millstream_tests::program;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const KIND: &str = "mysql97";

/// What a statement says.
fn sql(folder: &Path, statement: &str) -> String {
    let mut command = Command::new(program::repository().join("tests/mysql/server"));
    command
        .args(["sql", KIND])
        .arg(folder)
        .args(["-N", "-e", statement]);
    program::output_of(&mut command, b"")
}

/// Records `{"id": n, "v": "it's n"}` in three partitions, the keys being the same numbers.
fn produce(cluster: &Cluster, range: std::ops::Range<usize>) {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", cluster.broker.address());
    let producer: BaseProducer = client.create().unwrap();
    for number in range {
        let key = format!("{{\"id\":{number}}}");
        let value = format!("{{\"id\":{number},\"v\":\"it's {number}\"}}");
        let record = BaseRecord::<[u8], [u8]>::to("rows")
            .key(key.as_bytes())
            .payload(value.as_bytes());
        producer
            .send(record.partition((number % 3) as i32))
            .map_err(|(error, _)| error)
            .unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

fn start(folder: &Path) -> ConnectWorker {
    ConnectWorker::start(folder, &["worker.properties", "sink.properties"])
}

#[test]
fn each_record_is_a_row_once_whatever_is_killed() {
    const COUNT: usize = 6_000;
    let (cluster, folder) = (Cluster::start(), tempfile::tempdir().unwrap());
    let data = folder.path().join("mysql");
    let mut server = MysqlServer::start(KIND, &data, &[]);
    // A row that is written twice shows.
    sql(
        &data,
        "CREATE DATABASE d; CREATE TABLE d.rows_of (n BIGINT AUTO_INCREMENT PRIMARY KEY, id INT, v TEXT)",
    );
    cluster.run(
        &["topics", "--create", "--topic", "rows", "--partitions", "3"],
        "",
    );
    let worker = format!(
        "bootstrap.servers={}\nkey.converter=org.apache.kafka.connect.json.JsonConverter\n\
         value.converter=org.apache.kafka.connect.json.JsonConverter\nkey.converter.schemas.enable=false\n\
         value.converter.schemas.enable=false\noffset.storage.file.filename=connect.offsets\noffset.flush.interval.ms=200\n\
         listeners=http://127.0.0.1:0\n",
        cluster.broker.address()
    );
    std::fs::write(folder.path().join("worker.properties"), worker).unwrap();
    let sink = format!(
        "name=sink\nconnector.class=io.debezium.connector.jdbc.JdbcSinkConnector\ntasks.max=2\ntopics=rows\n\
         connection.url=jdbc:mysql://127.0.0.1:{}/d\nconnection.username=root\ncollection.name.format=rows_of\n\
         consumer.override.max.poll.records=100\nrestart.backoff.ms=50\nrestart.backoff.max.ms=200\n\
         consumer.override.session.timeout.ms=6000\n",
        server.port()
    );
    std::fs::write(folder.path().join("sink.properties"), sink).unwrap();
    let count = || {
        sql(&data, "SELECT COUNT(*) FROM d.rows_of")
            .trim()
            .parse::<usize>()
            .unwrap()
    };
    let mut worker = start(folder.path());
    for round in 0..6 {
        let end = COUNT / 6 * (round + 1);
        produce(&cluster, COUNT / 6 * round..end);
        // Somewhere in the middle.
        await_some("no row comes", || (count() > end - COUNT / 7).then_some(()));
        match round % 3 {
            0 => {
                drop(worker);
                worker = start(folder.path());
            }
            1 => server.kill_and_restart(),
            _ => {}
        }
    }
    await_some("rows are missing", || (count() >= COUNT).then_some(()));
    worker.stop();
    let sums =
        "SELECT COUNT(*), COUNT(DISTINCT id), MIN(id), MAX(id), SUM(v = CONCAT('it''s ', id)) FROM d.rows_of";
    let expected = format!("{COUNT}\t{COUNT}\t0\t{}\t{COUNT}", COUNT - 1);
    assert_eq!(sql(&data, sums).trim(), expected);
    let offsets = sql(
        &data,
        "SELECT kafka_partition, next_offset FROM d.millstream_offsets ORDER BY 1",
    );
    assert_eq!(offsets, "0\t2000\n1\t2000\n2\t2000\n");
}

#[test]
fn a_server_s_tables_are_another_s_whatever_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        from: KIND,
        to: "mariadb",
        rounds: 5,
        // With it each is killed once.
        seed: 886,
        rows: 200,
    };
    let report = pipeline::run(folder.path(), plan);
    let kills = [
        report.source_kills,
        report.sink_kills,
        report.broker_kills,
        report.server_kills,
        report.copy_kills,
    ];
    assert_eq!(kills, [1; 5], "{report:?}");
    assert!(report.transactions > 0 && report.journal > 0, "{report:?}");
}
