//! Produce: every version, every way to be wrong, acknowledgements, order.

use std::io::Write;

use bytes::{Buf, BufMut, Bytes};
use kafka_protocol::messages::{InitProducerIdRequest, MetadataRequest, ProduceRequest};
use kafka_protocol::protocol::Request;
use millstream_broker::log::batch::BatchBuilder;

use crate::client::*;

#[test]
fn every_version_appends() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    let metadata = client.call(12, &MetadataRequest::default().with_topics(None));
    let id = metadata.topics[0].topic_id;
    for version in 3..=13 {
        let mut request = produce(
            "t",
            0,
            if version % 2 == 0 { 1 } else { -1 },
            Some(batch(&["a", "b"])),
        );
        if version >= 13 {
            request.topic_data[0].name = Default::default();
            request.topic_data[0].topic_id = id;
        }
        let result = only_partition(client.call(version, &request));
        assert_eq!(
            (result.error_code, result.base_offset),
            (0, 2 * i64::from(version - 3)),
            "version {version}"
        );
        assert_eq!(result.log_start_offset, if version >= 5 { 0 } else { -1 });
    }
    broker.shutdown_blocking().unwrap();
}

#[test]
fn refusals_carry_the_right_code_and_a_reason() {
    let mut config = config();
    config.message_max_bytes = 1000;
    let (_dir, broker) = start_with(config);
    let mut client = Client::connect(broker.address());
    client.touch("t");
    let mut damaged = batch(&["a"]).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let two: Bytes = [batch(&["a"]), batch(&["b"])].concat().into();
    let mut old = batch(&["a"]).to_vec();
    old[16] = 1;
    let mut control = BatchBuilder::new().control();
    control.push(1, Some(b"\0\0\0\0"), Some(b"\0\0\0\0\0\0"), &[]);
    let mut transactional = BatchBuilder::new().producer(5, 0, 0).transactional();
    transactional.push(1, None, Some(b"v"), &[]);
    let large = "x".repeat(1000);
    for (what, request, code) in [
        ("unknown topic", produce("nope", 0, -1, Some(batch(&["a"]))), 3),
        ("unknown partition", produce("t", 7, -1, Some(batch(&["a"]))), 3),
        ("negative partition", produce("t", -1, -1, Some(batch(&["a"]))), 3),
        ("acks 2", produce("t", 0, 2, Some(batch(&["a"]))), 21),
        ("null records", produce("t", 0, -1, None), 87),
        ("no records", produce("t", 0, -1, Some(Bytes::new())), 87),
        ("damaged", produce("t", 0, -1, Some(damaged.into())), 2),
        ("two batches", produce("t", 0, -1, Some(two)), 87),
        ("old format", produce("t", 0, -1, Some(old.into())), 43),
        (
            "control batch",
            produce("t", 0, -1, Some(control.build().unwrap())),
            87,
        ),
        (
            "transactional batch",
            produce("t", 0, -1, Some(transactional.build().unwrap())),
            53,
        ),
        ("too large", produce("t", 0, -1, Some(batch(&[&large]))), 10),
        (
            "garbage",
            produce("t", 0, -1, Some(Bytes::from_static(b"garbage"))),
            2,
        ),
    ] {
        let result = only_partition(client.call(9, &request));
        assert_eq!(
            (result.error_code, result.base_offset),
            (code, -1),
            "{what}: {:?}",
            result.error_message
        );
        assert!(result.error_message.is_some(), "{what}");
    }
    // Nothing of all that was stored.
    assert_eq!(client.append("t", &["a"]).base_offset, 0);
}

#[test]
fn records_outside_the_bounds_of_time_are_named() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    let mut records = BatchBuilder::new();
    for timestamp in [1_000, i64::MAX / 2, -1, i64::MAX / 4] {
        records.push(timestamp, None, Some(b"v"), &[]);
    }
    let request = produce("t", 0, -1, Some(records.build().unwrap()));
    let result = only_partition(client.call(9, &request));
    assert_eq!(result.error_code, 32, "{:?}", result.error_message);
    let places: Vec<_> = result.record_errors.iter().map(|e| e.batch_index).collect();
    assert_eq!(places, [1, 3]);
    assert_eq!(client.append("t", &["a"]).base_offset, 0);
}

#[test]
fn the_internal_topic_cannot_be_written_to() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("__consumer_offsets");
    let request = produce("__consumer_offsets", 0, -1, Some(batch(&["a"])));
    assert_eq!(only_partition(client.call(9, &request)).error_code, 17);
}

#[test]
fn without_acknowledgement_nothing_is_answered_and_errors_close() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    for _ in 0..3 {
        client.send(9, &produce("t", 0, 0, Some(batch(&["a"]))));
    }
    // The next answer is that of the next request.
    assert_eq!(client.append("t", &["b"]).base_offset, 3);
    client.send(9, &produce("nope", 0, 0, Some(batch(&["a"]))));
    assert!(client.receive_frame().is_none());
}

#[test]
fn records_sent_without_acknowledgement_before_closing_are_stored() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    for _ in 0..50 {
        client.send(9, &produce("t", 0, 0, Some(batch(&["a"]))));
    }
    drop(client);
    let mut other = Client::connect(broker.address());
    for _ in 0..200 {
        if other.call(9, &produce("t", 0, -1, Some(batch(&["z"])))).responses[0].partition_responses[0]
            .base_offset
            >= 50
        {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the records did not arrive");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    let mut bytes = Vec::new();
    for correlation_id in 0..300 {
        // Requests of another kind and refused ones in between must wait their turn, too.
        match correlation_id % 10 {
            3 => bytes.extend(encode(4, correlation_id, &fetch("t", 0, 0))),
            7 => bytes.extend(encode(
                7,
                correlation_id,
                &produce("nope", 0, -1, Some(batch(&["a"]))),
            )),
            _ => bytes.extend(encode(
                7,
                correlation_id,
                &produce("t", 0, -1, Some(batch(&["a"]))),
            )),
        }
    }
    let mut writer = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
    let mut offset = 0;
    for correlation_id in 0..300 {
        let mut frame = client.receive_frame().unwrap();
        assert_eq!(frame.get_i32(), correlation_id);
        if correlation_id % 10 == 3 {
            continue;
        }
        let response = <ProduceRequest as Request>::Response::decode_from(&mut frame, 7);
        let result = only_partition(response);
        if correlation_id % 10 == 7 {
            assert_eq!(result.error_code, 3);
        } else {
            assert_eq!((result.error_code, result.base_offset), (0, offset));
            offset += 1;
        }
    }
    sending.join().unwrap();
}

trait DecodeFrom: Sized {
    fn decode_from(frame: &mut Bytes, version: i16) -> Self;
}

impl<T: kafka_protocol::protocol::Decodable> DecodeFrom for T {
    fn decode_from(frame: &mut Bytes, version: i16) -> Self {
        T::decode(frame, version).unwrap()
    }
}

#[test]
fn versions_before_3_are_refused_in_their_own_format() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    for version in 0..3i16 {
        let mut body = Vec::new();
        body.put_i16(0);
        body.put_i16(version);
        body.put_i32(42);
        body.put_i16(-1);
        body.put_i16(-1);
        body.put_i32(1000);
        body.put_i32(1);
        body.put_slice(b"\0\x01t");
        body.put_i32(1);
        body.put_i32(0);
        body.put_i32(3);
        body.put_slice(b"old");
        client
            .stream
            .write_all(&(body.len() as u32).to_be_bytes())
            .unwrap();
        client.stream.write_all(&body).unwrap();
        let mut frame = client.receive_frame().unwrap();
        assert_eq!((frame.get_i32(), frame.get_i32()), (42, 1));
        assert_eq!(&frame.split_to(3)[..], b"\0\x01t");
        assert_eq!(
            (frame.get_i32(), frame.get_i32(), frame.get_i16(), frame.get_i64()),
            (1, 0, 43, -1)
        );
        assert_eq!(frame.len(), [0, 4, 12][version as usize]);
    }
}

#[test]
fn idempotent_retries_are_stored_once() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    let mut ids = Vec::new();
    for version in 0..=5 {
        let given = client.call(
            version,
            &InitProducerIdRequest::default().with_transactional_id(None),
        );
        assert_eq!((given.error_code, given.producer_epoch), (0, 0));
        ids.push(given.producer_id.0);
    }
    ids.dedup();
    assert_eq!(ids.len(), 6);
    let with = |epoch, sequence| {
        let mut builder = BatchBuilder::new().producer(ids[0], epoch, sequence);
        builder.push(1, None, Some(b"v"), &[]);
        produce("t", 0, -1, Some(builder.build().unwrap()))
    };
    for (request, code, offset) in [
        (with(0, 0), 0, 0),
        (with(0, 1), 0, 1),
        (with(0, 0), 0, 0),
        (with(0, 5), 45, -1),
        (with(1, 0), 0, 2),
        (with(0, 2), 47, -1),
    ] {
        let result = only_partition(client.call(8, &request));
        assert_eq!(
            (result.error_code, result.base_offset),
            (code, offset),
            "{:?}",
            result.error_message
        );
    }
}

#[test]
fn large_batches_and_many_partitions_in_one_request() {
    let mut config = config();
    config.num_partitions = 8;
    config.message_max_bytes = 8 << 20;
    let (_dir, broker) = start_with(config);
    let mut client = Client::connect(broker.address());
    client.touch("t");
    let large = "x".repeat(3 << 20);
    let mut request = produce("t", 0, -1, Some(batch(&[&large])));
    let data = request.topic_data[0].partition_data[0].clone();
    request.topic_data[0].partition_data = (0..8).map(|index| data.clone().with_index(index)).collect();
    let response = client.call(9, &request);
    assert!(
        response.responses[0]
            .partition_responses
            .iter()
            .all(|p| p.error_code == 0)
    );
    let fetched = client.call(11, &fetch("t", 5, 0));
    let records = fetched.responses[0].partitions[0].records.clone().unwrap();
    // One batch comes whole although it is over the limit of the partition; only offset and epoch were rewritten.
    assert!(records[16..] == batch(&[&large])[16..]);
}

#[test]
fn a_partition_named_twice_is_taken_once() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    let mut request = produce("t", 0, -1, Some(batch(&["a"])));
    request
        .topic_data
        .push(produce("t", 0, -1, Some(batch(&["b"]))).topic_data.remove(0));
    let response = client.call(9, &request);
    let codes = response
        .responses
        .iter()
        .map(|t| t.partition_responses[0].error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [0, 42]);

    let mut request = fetch("t", 0, 0);
    let partition = request.topics[0].partitions[0].clone();
    request.topics[0].partitions.push(partition);
    request.topics.push(request.topics[0].clone());
    let response = client.call(12, &request);
    assert_eq!(response.responses.len(), 1);
    assert_eq!(response.responses[0].partitions.len(), 1);
    assert_eq!(response.responses[0].partitions[0].high_watermark, 1);
    broker.shutdown_blocking().unwrap();
}
