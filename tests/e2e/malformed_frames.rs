//! Bytes that are no requests: the broker closes such connections, keeps its memory, and goes on serving the others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use millstream_tests::broker::BrokerProcess;
use millstream_tests::program::millstream_output;
use millstream_tests::random::Random;

/// What the process may use more than before, whatever is thrown at it.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

fn connect(broker: &BrokerProcess) -> TcpStream {
    let stream = TcpStream::connect(broker.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Sends bytes, ends the sending side, and waits until the broker has answered or closed.
fn throw(broker: &BrokerProcess, bytes: &[u8]) {
    let mut stream = connect(broker);
    // The broker may close while we still write.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.take(1 << 20).read_to_end(&mut answer);
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = i32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// A request header of version 1: key, version, correlation id, client id.
fn header(key: i16, version: i16) -> Vec<u8> {
    let mut bytes = key.to_be_bytes().to_vec();
    bytes.extend(version.to_be_bytes());
    bytes.extend(7_i32.to_be_bytes());
    bytes.extend(3_i16.to_be_bytes());
    bytes.extend(b"bad");
    bytes
}

fn storm(broker: &mut BrokerProcess, what: &str, mut bytes: impl FnMut(usize) -> Vec<u8>, times: usize) {
    let before = broker.resident_bytes();
    for number in 0..times {
        throw(broker, &bytes(number));
        assert!(broker.is_running(), "the broker died of {what}");
    }
    let after = broker.resident_bytes();
    assert!(
        after < before + GROWTH_BYTES_MAX,
        "{what}: resident memory went from {before} to {after} bytes"
    );
}

#[test]
fn random_bytes_huge_lengths_and_truncated_requests_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let mut broker = BrokerProcess::start(directory.path());
    let mut random = Random::new(11);
    storm(
        &mut broker,
        "random bytes",
        |_| random.bytes(1 + random.clone().below(4_000) as usize),
        300,
    );
    let lengths = [
        i32::MAX,
        i32::MIN,
        -1,
        0,
        1,
        7,
        104_857_600,
        104_857_601,
        0x7fff_0000,
    ];
    storm(
        &mut broker,
        "huge lengths",
        |number| lengths[number % lengths.len()].to_be_bytes().to_vec(),
        200,
    );
    // Every API key and version with nothing, little, or random bytes behind the header.
    storm(
        &mut broker,
        "truncated requests",
        |number| {
            let mut body = header((number % 95) as i16, (number / 95 % 18) as i16);
            let length = random.below(64) as usize;
            body.extend(random.bytes(length));
            frame(&body)
        },
        95 * 18,
    );
    // Counts that claim far more than the frame holds.
    storm(
        &mut broker,
        "huge counts",
        |number| {
            let mut body = header((number % 70) as i16, (number / 70 % 13) as i16);
            body.extend([0x7f, 0xff, 0xff, 0xff].repeat(8));
            body.extend([0xff, 0xff, 0xff, 0xff, 0x07].repeat(8));
            frame(&body)
        },
        70 * 13,
    );
    let topics = millstream_output(
        &[
            "topics",
            "create",
            "--topic",
            "alive",
            "--bootstrap-server",
            broker.address(),
        ],
        "",
    );
    assert_eq!(topics, "Created topic alive.\n");
}

#[test]
fn mutated_requests_of_a_real_client_do_no_harm() {
    // A real client's bytes, taken on their way, then sent again with some of them changed.
    let directory = tempfile::tempdir().unwrap();
    let mut broker = BrokerProcess::start(directory.path());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let recorder = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        bytes[..count].to_vec()
    });
    let words = [
        "topics",
        "list",
        "--bootstrap-server",
        &address,
        "--connect-timeout-ms",
        "500",
    ];
    let _ = millstream_tests::program::run(&mut millstream_tests::program::command(&words), b"");
    let recorded = recorder.join().unwrap();
    assert!(recorded.len() > 10);
    let mut random = Random::new(12);
    storm(
        &mut broker,
        "mutated requests",
        |_| {
            let mut bytes = recorded.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.next() as u8;
            }
            bytes
        },
        500,
    );
}

#[test]
fn a_slow_sender_of_a_large_frame_costs_only_what_it_sent() {
    let directory = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(directory.path());
    let before = broker.resident_bytes();
    let streams: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = connect(&broker);
            stream.write_all(&100_000_000_i32.to_be_bytes()).unwrap();
            stream.write_all(&[0; 1000]).unwrap();
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let after = broker.resident_bytes();
    assert!(
        after < before + GROWTH_BYTES_MAX,
        "resident memory went from {before} to {after} bytes"
    );
    drop(streams);
}
