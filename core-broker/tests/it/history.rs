//! Fetches of so much that it is sent from the segment files: what arrives is what lies on the disk.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kafka_protocol::messages::{DeleteTopicsRequest, FetchRequest, FetchResponse};
use millstream_broker::BrokerHandle;
use millstream_broker::log::batch::BatchBuilder;
use rustix::fs::{Advice, fadvise};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use tempfile::TempDir;

use crate::client::*;

const PARTITIONS: i32 = 14;

/// A broker with a topic whose partitions have more and more bytes, from two hundred to over a million and a half.
fn broker_with_history() -> (TempDir, BrokerHandle) {
    let mut config = config();
    config.num_partitions = PARTITIONS;
    let (dir, broker) = start_with(config);
    let mut client = Client::connect(broker.address());
    client.touch("t");
    for partition in 0..PARTITIONS {
        let mut left = 200_usize << partition;
        let mut at = 0;
        while left > 0 {
            let size = left.min(300_000);
            left -= size;
            let value: Vec<u8> = (at..at + size)
                .map(|i| (i ^ (i >> 7)) as u8 ^ partition as u8)
                .collect();
            at += size;
            let mut builder = BatchBuilder::new();
            builder.push(1_000, None, Some(&value), &[]);
            let request = produce("t", partition, -1, Some(builder.build().unwrap()));
            assert_eq!(only_partition(client.call(9, &request)).error_code, 0);
        }
    }
    (dir, broker)
}

fn segment(dir: &Path, partition: i32) -> PathBuf {
    dir.join(format!("t-{partition}/00000000000000000000.log"))
}

/// What all partitions hold.
fn on_disk(dir: &Path) -> Vec<Vec<u8>> {
    (0..PARTITIONS)
        .map(|p| std::fs::read(segment(dir, p)).unwrap())
        .collect()
}

/// Asks for everything.
fn everything() -> FetchRequest {
    let mut request = fetch("t", 0, 0).with_max_bytes(i32::MAX);
    let asked = request.topics[0].partitions[0]
        .clone()
        .with_partition_max_bytes(i32::MAX);
    request.topics[0].partitions = (0..PARTITIONS).map(|p| asked.clone().with_partition(p)).collect();
    request
}

fn records(response: FetchResponse) -> Vec<Vec<u8>> {
    let partitions = response.responses.into_iter().flat_map(|t| t.partitions);
    partitions
        .map(|p| {
            assert_eq!(p.error_code, 0);
            p.records.unwrap_or_default().to_vec()
        })
        .collect()
}

/// A client that can be sent little at a time.
fn narrow(broker: &BrokerHandle) -> Client {
    // Set later, the window would be smaller than a packet, and the kernel send by timeouts.
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    set_socket_recv_buffer_size(&socket, 4096).unwrap();
    connect(&socket, &broker.address()).unwrap();
    Client::over(socket.into())
}

#[test]
fn large_answers_over_many_partitions_are_what_is_on_disk() {
    let (dir, broker) = broker_with_history();
    let expected = on_disk(dir.path());
    assert!(expected[0].len() < 400 && expected[13].len() > 1_600_000);
    let mut client = Client::connect(broker.address());
    for version in [4, 12, 16] {
        let mut request = everything();
        if version >= 13 {
            request.topics[0].topic_id = client
                .call(
                    12,
                    &kafka_protocol::messages::MetadataRequest::default().with_topics(None),
                )
                .topics[0]
                .topic_id;
            request.topics[0].topic = Default::default();
        }
        // Twice behind one another, and something small after them.
        client.send(version, &request);
        client.send(version, &request);
        client.send(11, &fetch("t", 0, 0));
        assert!(records(client.receive_behind::<FetchRequest>(version, 2)) == expected);
        assert!(records(client.receive_behind::<FetchRequest>(version, 1)) == expected);
        assert!(records(client.receive::<FetchRequest>(11))[0] == expected[0]);
    }
}

#[test]
fn history_that_is_not_in_memory_arrives_too() {
    let (dir, broker) = broker_with_history();
    let expected = on_disk(dir.path());
    let mut client = Client::connect(broker.address());
    let mut neighbour = Client::connect(broker.address());
    neighbour.touch("n");
    for _ in 0..5 {
        for partition in 0..PARTITIONS {
            let file = File::open(segment(dir.path(), partition)).unwrap();
            file.sync_all().unwrap();
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        }
        client.send(11, &everything());
        assert_eq!(neighbour.append("n", &["a"]).error_code, 0);
        assert!(records(client.receive::<FetchRequest>(11)) == expected);
    }
}

#[test]
fn a_slow_reader_gets_everything_and_holds_up_nobody() {
    let (dir, broker) = broker_with_history();
    let expected = on_disk(dir.path());
    let mut slow = narrow(&broker);
    for _ in 0..8 {
        slow.send(11, &everything());
    }
    // The others are served while it reads nothing.
    std::thread::sleep(Duration::from_millis(300));
    let mut other = Client::connect(broker.address());
    let begun = Instant::now();
    assert!(records(other.call(11, &everything())) == expected);
    assert!(begun.elapsed() < Duration::from_secs(5));
    for behind in (0..8).rev() {
        std::thread::sleep(Duration::from_millis(20));
        assert!(records(slow.receive_behind::<FetchRequest>(11, behind)) == expected);
    }
}

#[test]
fn readers_that_go_away_in_the_middle_leave_the_broker_as_it_was() {
    let (dir, broker) = broker_with_history();
    let expected = on_disk(dir.path());
    for round in 0..20 {
        let mut client = narrow(&broker);
        for _ in 0..10 {
            client.send(11, &everything());
        }
        let mut some = vec![0; 1000 * round];
        client.stream.read_exact(&mut some).unwrap();
        if round % 2 == 0 {
            client.stream.shutdown(Shutdown::Both).unwrap();
        }
    }
    assert!(records(Client::connect(broker.address()).call(11, &everything())) == expected);
    // No connection keeps a file open that nobody else needs.
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name("t")]);
    Client::connect(broker.address()).call(5, &delete);
    let open = || {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        let names = descriptors.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        names
            .filter(|name| name.starts_with(dir.path()) && name.to_string_lossy().ends_with("(deleted)"))
            .count()
    };
    let begun = Instant::now();
    while open() > 0 && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(open(), 0);
    broker.shutdown_blocking().unwrap();
}

#[test]
fn a_topic_that_is_deleted_while_it_is_sent_arrives_whole() {
    let (dir, broker) = broker_with_history();
    let expected = on_disk(dir.path());
    let mut slow = narrow(&broker);
    for _ in 0..10 {
        slow.send(11, &everything());
    }
    let mut first = [0; 1000];
    slow.stream.read_exact(&mut first).unwrap();
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name("t")]);
    let deleted = Client::connect(broker.address()).call(5, &delete);
    assert_eq!(deleted.responses[0].error_code, 0);
    assert!(!segment(dir.path(), 0).exists());

    // The answer under way is whole, and so is every one after it: records, or that there is no such topic.
    let mut bytes = first.to_vec();
    let length = 4 + u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    bytes.resize(length, 0);
    slow.stream.read_exact(&mut bytes[1000..]).unwrap();
    let mut at = 0;
    for partition in &expected {
        let found = bytes[at..]
            .windows(partition.len().min(100))
            .position(|w| w == &partition[..w.len()])
            .unwrap();
        at += found;
        assert!(bytes[at..at + partition.len()] == partition[..]);
        at += partition.len();
    }
    let mut gone = 0;
    for behind in (0..9).rev() {
        let response = slow.receive_behind::<FetchRequest>(11, behind);
        if response.responses[0].partitions[0].error_code == 3 {
            gone += 1;
        } else {
            assert!(records(response) == expected);
        }
    }
    assert!(gone > 0);
}

/// What is missing from a file was promised in the length of the answer: only closing keeps the client from taking the
/// next answer for it.
#[test]
fn a_segment_that_somebody_cuts_ends_the_connection() {
    let (dir, broker) = broker_with_history();
    let mut client = narrow(&broker);
    for _ in 0..10 {
        client.send(11, &everything());
    }
    let mut some = [0; 1000];
    client.stream.read_exact(&mut some).unwrap();
    for partition in 0..PARTITIONS {
        let file = File::options()
            .write(true)
            .open(segment(dir.path(), partition))
            .unwrap();
        file.set_len(50).unwrap();
    }
    let mut rest = Vec::new();
    match client.stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    let mut other = Client::connect(broker.address());
    other.touch("other");
    assert_eq!(other.append("other", &["a"]).error_code, 0);
}
