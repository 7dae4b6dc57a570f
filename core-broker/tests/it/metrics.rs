//! The endpoint for metrics and health, as a scraper and a probe see it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest};
use millstream_broker::log::Disk;
use millstream_broker::{Broker, BrokerHandle};

use crate::client::*;

fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Status line and body.
fn get(address: SocketAddr, path: &str) -> (String, String) {
    let answer = exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    assert_eq!(length.unwrap(), body.len().to_string());
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

fn start_with_metrics(builder: millstream_broker::BrokerBuilder) -> (tempfile::TempDir, BrokerHandle) {
    let dir = tempfile::tempdir().unwrap();
    let broker = builder
        .config(config())
        .data_dir(dir.path())
        .listener("127.0.0.1:0")
        .metrics_listener("127.0.0.1:0")
        .start_blocking()
        .unwrap();
    (dir, broker)
}

#[test]
fn a_scrape_tells_what_happened() {
    let (_dir, broker) = start_with_metrics(Broker::builder());
    let mut client = Client::connect(broker.address());
    client.touch("t");
    for _ in 0..3 {
        assert_eq!(client.append("t", &["a", "b"]).error_code, 0);
    }
    let fetched = client.call(11, &fetch("t", 0, 0)).responses.remove(0);
    let records = fetched.partitions[0].records.as_ref().unwrap().len();
    let beyond = client.call(11, &fetch("t", 0, 99)).responses.remove(0);
    assert_ne!(beyond.partitions[0].error_code, 0);
    assert_ne!(client.append("nowhere", &["a"]).error_code, 0);
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(2);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("g \"1\"")))
        .with_topics(vec![topic]);
    let committed = client.call(8, &commit);
    assert_eq!(committed.topics[0].partitions[0].error_code, 0);

    let address = broker.metrics_address().unwrap();
    let (status, text) = get(address, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "millstream_requests_total{api=\"Produce\"} 4".to_owned(),
        "millstream_request_errors_total{api=\"Produce\"} 0".to_owned(),
        "millstream_request_duration_seconds_bucket{api=\"Produce\",le=\"+Inf\"} 4".to_owned(),
        "millstream_request_duration_seconds_count{api=\"Produce\"} 4".to_owned(),
        "millstream_partition_errors_total{api=\"Produce\"} 1".to_owned(),
        "millstream_partition_errors_total{api=\"Fetch\"} 1".to_owned(),
        "millstream_connections_open 1".to_owned(),
        "millstream_connections_total 1".to_owned(),
        "millstream_topic_records_in_total{topic=\"t\"} 6".to_owned(),
        format!("millstream_topic_bytes_in_total{{topic=\"t\"}} {records}"),
        format!("millstream_topic_bytes_out_total{{topic=\"t\"}} {records}"),
        format!("millstream_partition_size_bytes{{topic=\"t\",partition=\"0\"}} {records}"),
        "millstream_partition_start_offset{topic=\"t\",partition=\"0\"} 0".to_owned(),
        "millstream_partition_end_offset{topic=\"t\",partition=\"0\"} 6".to_owned(),
        "millstream_group_lag{group=\"g \\\"1\\\"\",topic=\"t\",partition=\"0\"} 4".to_owned(),
        "millstream_groups{state=\"Empty\"} 1".to_owned(),
        "millstream_partitions_omitted 0".to_owned(),
        "millstream_data_dir_failed 0".to_owned(),
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
    let number = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name}")).trim().parse().unwrap()
    };
    assert!(number("millstream_log_sync_duration_seconds_count") >= 3.0);
    assert!(number("millstream_disk_free_bytes") > 0.0);
    assert_eq!(number("millstream_transactions_open"), 0.0);
    assert!(number("millstream_request_bytes_total{api=\"Produce\"}") > 200.0);
    assert_eq!(
        text.matches("Heartbeat").count(),
        0,
        "an API nobody used has no series"
    );
    well_formed(&text);

    // A request that cannot be understood ends its connection, and is counted.
    client
        .stream
        .write_all(&[0, 0, 0, 9, 0, 1, 0, 11, 0, 0, 0, 7, 0])
        .unwrap();
    assert_eq!(client.receive_frame(), None);
    let (_, text) = get(address, "/metrics");
    let line = "millstream_request_errors_total{api=\"Fetch\"} 1";
    assert!(text.lines().any(|found| found == line), "{text}");
    broker.shutdown_blocking().unwrap();
    assert!(
        TcpStream::connect(address).is_err(),
        "the endpoint goes with the broker"
    );
}

/// Each family has help and type before its samples, comes once, and each sample has a number.
fn well_formed(text: &str) {
    let mut families = std::collections::HashSet::new();
    let mut current = "";
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            current = help.split(' ').next().unwrap();
            assert!(families.insert(current), "{current} comes twice");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert_eq!(kind.split(' ').next().unwrap(), current);
        } else {
            assert!(line.starts_with(current), "{line} belongs to {current}");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(families.len() > 25);
}

#[test]
fn probes_and_what_else_is_asked() {
    let (_dir, broker) = start_with_metrics(Broker::builder());
    let address = broker.metrics_address().unwrap();
    let ok = "HTTP/1.1 200 OK".to_owned();
    assert_eq!(get(address, "/healthz"), (ok.clone(), "ok\n".to_owned()));
    assert_eq!(get(address, "/readyz?full"), (ok, "ready\n".to_owned()));
    assert_eq!(get(address, "/").0, "HTTP/1.1 404 Not Found");
    let head = exchange(address, "HEAD /healthz HTTP/1.0\r\n\r\n");
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let post = exchange(address, "POST /metrics HTTP/1.1\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    let garbage = exchange(address, "\u{1}\u{2}\r\n\r\n");
    assert!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    let mut stream = TcpStream::connect(address).unwrap();
    // What is too long is refused; the broker may have closed before all of it was sent.
    let _ = stream.write_all(&vec![b'x'; 9_000]);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 431") || answer.is_empty());
    // Connections that say nothing do not keep others out for long, nor for good.
    let silent: Vec<_> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(get(address, "/healthz").1, "ok\n");
    drop(silent);
}

/// A disk that loses what it was to sync.
#[derive(Debug, Default)]
struct Dying(AtomicBool);

impl Disk for Dying {
    fn sync_data(&self, file: &File) -> io::Result<()> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(io::Error::other("bad sector")),
            false => file.sync_data(),
        }
    }
}

#[test]
fn a_failed_disk_makes_it_unready_but_not_dead() {
    let disk = Arc::new(Dying::default());
    let (_dir, broker) = start_with_metrics(Broker::builder().disk(disk.clone()));
    let mut client = Client::connect(broker.address());
    client.touch("t");
    disk.0.store(true, Ordering::SeqCst);
    assert_ne!(client.append("t", &["a"]).error_code, 0);
    let address = broker.metrics_address().unwrap();
    let (status, reason) = get(address, "/readyz");
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert!(reason.contains("bad sector"), "{reason}");
    assert_eq!(get(address, "/healthz").0, "HTTP/1.1 200 OK");
    let (_, text) = get(address, "/metrics");
    assert!(text.contains("\nmillstream_data_dir_failed 1\n"), "{text}");
}

#[test]
fn nothing_is_served_unless_asked_for_and_mistakes_are_named() {
    let (_dir, broker) = start();
    assert_eq!(broker.metrics_address(), None);
    let taken = broker.address().to_string();
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config
        .apply_properties(&format!("metrics.listener={taken}"), "f")
        .unwrap();
    let start = Broker::builder().data_dir(dir.path()).listener("127.0.0.1:0");
    let error = start
        .config(config)
        .start_blocking()
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&taken) && error.contains("metrics.listener"),
        "{error}"
    );
    let start = Broker::builder().data_dir(dir.path()).listener("127.0.0.1:0");
    let error = start
        .metrics_listener("9644")
        .start_blocking()
        .map(drop)
        .unwrap_err();
    assert!(error.to_string().contains("host:port"), "{error}");
}
