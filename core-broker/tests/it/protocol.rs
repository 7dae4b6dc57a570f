//! Peers that break the protocol, and the limits that hold them.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use bytes::Buf;
use kafka_protocol::messages::ApiVersionsRequest;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::client::*;

/// True if the broker still answers.
fn alive(address: std::net::SocketAddr) -> bool {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(text("it"))
        .with_client_software_version(text("1"));
    Client::connect(address).call(3, &request).error_code == 0
}

#[test]
fn api_versions_in_every_version_and_beyond() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    for version in 0..=4 {
        let mut request = ApiVersionsRequest::default();
        if version >= 3 {
            request = request
                .with_client_software_name(text("it"))
                .with_client_software_version(text("1.0"));
        }
        let response = client.call(version, &request);
        assert_eq!(response.error_code, 0);
        let range = |key| {
            response
                .api_keys
                .iter()
                .find(|k| k.api_key == key)
                .map(|k| (k.min_version, k.max_version))
        };
        assert_eq!(range(0), Some((0, 13)));
        assert_eq!(range(1), Some((4, 18)));
        assert_eq!(range(10), Some((0, 6)));
        assert_eq!(range(17), None);
    }
    let nameless = client.call(3, &ApiVersionsRequest::default());
    assert_eq!(nameless.error_code, 42);
    // A version from the future: answered in version 0, with the range.
    let body = b"\0\x12\0\x63\0\0\0\x09\0\x01cwhatever";
    client
        .stream
        .write_all(&(body.len() as u32).to_be_bytes())
        .unwrap();
    client.stream.write_all(body).unwrap();
    let mut frame = client.receive_frame().unwrap();
    assert_eq!((frame.get_i32(), frame.get_i16()), (9, 35));
    let count = frame.get_i32();
    assert_eq!(frame.len() as i32, count * 6);
    let mut seen = false;
    for _ in 0..count {
        seen |= (frame.get_i16(), frame.get_i16(), frame.get_i16()) == (18, 0, 4);
    }
    assert!(seen);
    // The connection goes on.
    assert_eq!(client.call(0, &ApiVersionsRequest::default()).error_code, 0);
}

#[test]
fn what_is_not_understood_closes_the_connection() {
    let (_dir, broker) = start();
    for bytes in [
        &b"\xff\xff\xff\xff"[..],
        b"\x7f\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0",
        b"\0\0\0\x04\0\x03\0\x01",
        // An API that is not offered, a version that is not, an array of two billion topics.
        b"\0\0\0\x0a\0\x11\0\0\0\0\0\x01\xff\xff",
        b"\0\0\0\x0a\0\x03\0\x63\0\0\0\x01\xff\xff",
        b"\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xff\x7f\xff\xff\xff",
    ] {
        let mut client = Client::connect(broker.address());
        client.stream.write_all(bytes).unwrap();
        assert!(client.receive_frame().is_none(), "{bytes:?}");
    }
    assert!(alive(broker.address()));
}

/// librdkafka 2.12 sends three bytes too many in its Metadata requests of version 13.
#[test]
fn bytes_behind_the_layout_of_a_request_are_ignored() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    let frame = b"\0\0\0\x11\0\x03\0\x01\0\0\0\x01\xff\xff\0\0\0\0\0\0\0";
    client.stream.write_all(frame).unwrap();
    assert!(client.receive_frame().is_some());
    assert!(alive(broker.address()));
}

#[test]
fn random_frames_do_no_harm() {
    let (_dir, broker) = start();
    let address = broker.address();
    let mut runner = TestRunner::new(Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (
        0..64i16,
        -1..20i16,
        proptest::collection::vec(any::<u8>(), 0..120),
    );
    let outcome = runner.run(&strategy, |(key, version, body)| {
        let mut client = Client::connect(address);
        let mut frame = ((body.len() + 10) as u32).to_be_bytes().to_vec();
        frame.extend(key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(7i32.to_be_bytes());
        frame.extend([0xff, 0xff]);
        frame.extend(body);
        client.stream.write_all(&frame).unwrap();
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Answered or closed; both end the stream.
        let mut rest = Vec::new();
        let _ = client.stream.read_to_end(&mut rest);
        Ok(())
    });
    outcome.unwrap();
    assert!(alive(address));
}

#[test]
fn requests_arriving_byte_by_byte_are_served() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    let frame = encode(0, 1, &ApiVersionsRequest::default());
    for byte in frame {
        client.stream.write_all(&[byte]).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(client.receive_frame().unwrap().get_i32(), 1);
}

#[test]
fn connections_are_bounded_and_idle_ones_closed() {
    let mut config = config();
    config.max_connections = 3;
    config.connections_max_idle_ms = 1_500;
    let (_dir, broker) = start_with(config);
    let begun = Instant::now();
    let mut open: Vec<Client> = (0..3).map(|_| Client::connect(broker.address())).collect();
    for client in &mut open {
        client.call(0, &ApiVersionsRequest::default());
    }
    assert!(Client::connect(broker.address()).receive_frame().is_none());
    for mut client in open {
        assert!(client.receive_frame().is_none());
    }
    assert!(begun.elapsed() >= Duration::from_millis(1_400));
    for _ in 0..100 {
        let mut client = Client::connect(broker.address());
        client.send(0, &ApiVersionsRequest::default());
        if client.receive_frame().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no connection is free again");
}

#[test]
fn requests_beyond_the_byte_budget_wait_and_then_pass() {
    let mut config = config();
    config.queued_max_request_bytes = 64 << 10;
    let (_dir, broker) = start_with(config);
    let address = broker.address();
    Client::connect(address).touch("t");
    // Half a request that holds the whole budget, and other clients that still get through.
    let large = "x".repeat(400_000);
    let whole = encode(9, 1, &produce("t", 0, -1, Some(batch(&[&large]))));
    let mut slow = Client::connect(address);
    slow.stream.write_all(&whole[..200_000]).unwrap();
    let others: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                for _ in 0..5 {
                    assert_eq!(client.append("t", &["small"]).error_code, 0);
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    slow.stream.write_all(&whole[200_000..]).unwrap();
    assert!(slow.receive_frame().is_some());
    for other in others {
        other.join().unwrap();
    }
}
