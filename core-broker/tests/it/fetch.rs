//! Fetch, ListOffsets, OffsetForLeaderEpoch.

use std::time::{Duration, Instant};

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{ListOffsetsRequest, MetadataRequest, OffsetForLeaderEpochRequest};
use millstream_broker::log::batch::{BatchBuilder, DECOMPRESSED_BYTES_MAX, RecordBatches};

use crate::client::*;

fn values(records: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    for batch in RecordBatches::new(records) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        for record in batch.records(DECOMPRESSED_BYTES_MAX).unwrap().iter() {
            values.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
        }
    }
    values
}

#[test]
fn every_version_reads_what_was_written() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    client.append("t", &["a", "b"]);
    client.append("t", &["c"]);
    let id = client
        .call(12, &MetadataRequest::default().with_topics(None))
        .topics[0]
        .topic_id;
    for version in 4..=18 {
        for isolation in [0, 1] {
            let mut request = fetch("t", 0, 1).with_isolation_level(isolation);
            if version >= 13 {
                request.topics[0].topic = Default::default();
                request.topics[0].topic_id = id;
            }
            let response = client.call(version, &request);
            let topic = &response.responses[0];
            if version >= 13 {
                assert_eq!(topic.topic_id, id);
            } else {
                assert_eq!(topic.topic, name("t"));
            }
            let partition = &topic.partitions[0];
            assert_eq!(
                (
                    partition.error_code,
                    partition.high_watermark,
                    partition.last_stable_offset
                ),
                (0, 3, 3)
            );
            assert_eq!(
                partition.aborted_transactions.as_ref().map(Vec::len),
                (isolation == 1).then_some(0)
            );
            // An offset inside a batch gives the whole batch.
            assert_eq!(
                values(partition.records.as_ref().unwrap()),
                ["a", "b", "c"],
                "version {version}"
            );
            assert_eq!(response.session_id, 0);
        }
    }
}

#[test]
fn the_ends_of_the_log() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    client.append("t", &["a", "b"]);
    for (topic, partition, offset, code) in [
        ("t", 0, 2, 0),
        ("t", 0, 3, 1),
        ("t", 0, -1, 1),
        ("t", 9, 0, 3),
        ("nope", 0, 0, 3),
    ] {
        let response = client.call(11, &fetch(topic, partition, offset));
        let result = &response.responses[0].partitions[0];
        assert_eq!(result.error_code, code, "{topic}-{partition} at {offset}");
        assert!(result.records.as_ref().is_none_or(|r| r.is_empty()));
    }
    let mut unknown_id = fetch("", 0, 0);
    unknown_id.topics[0].topic_id = uuid::Uuid::from_u128(77);
    assert_eq!(
        client.call(13, &unknown_id).responses[0].partitions[0].error_code,
        100
    );
    for (epoch, code) in [(-1, 0), (0, 0), (1, 75)] {
        let mut request = fetch("t", 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        assert_eq!(
            client.call(11, &request).responses[0].partitions[0].error_code,
            code
        );
    }
    let session = fetch("t", 0, 0).with_session_id(5).with_session_epoch(1);
    assert_eq!(client.call(11, &session).error_code, 70);
}

#[test]
fn limits_cut_at_batches_but_the_first_comes_whole() {
    let mut config = config();
    config.num_partitions = 3;
    let (_dir, broker) = start_with(config);
    let mut client = Client::connect(broker.address());
    client.touch("t");
    for partition in 0..3 {
        for _ in 0..3 {
            client.call(9, &produce("t", partition, -1, Some(batch(&["0123456789"]))));
        }
    }
    let one = batch(&["0123456789"]).len();
    let ask = |partition_max, max| {
        let mut request = fetch("t", 0, 0).with_max_bytes(max);
        let asked = request.topics[0].partitions[0]
            .clone()
            .with_partition_max_bytes(partition_max);
        request.topics[0].partitions = (0..3).map(|p| asked.clone().with_partition(p)).collect();
        request
    };
    let sizes = |response: kafka_protocol::messages::FetchResponse| -> Vec<usize> {
        response.responses[0]
            .partitions
            .iter()
            .map(|p| p.records.as_ref().map_or(0, |r| r.len()) / one)
            .collect()
    };
    assert_eq!(sizes(client.call(11, &ask(1, 1 << 20))), [1, 0, 0]);
    assert_eq!(sizes(client.call(11, &ask(1 << 20, 1))), [1, 0, 0]);
    assert_eq!(sizes(client.call(11, &ask(0, 0))), [1, 0, 0]);
    assert_eq!(sizes(client.call(11, &ask(2 * one as i32, 1 << 20))), [2, 2, 2]);
    assert_eq!(sizes(client.call(11, &ask(1 << 20, 4 * one as i32))), [3, 1, 0]);
    assert_eq!(sizes(client.call(11, &ask(1 << 20, 1 << 20))), [3, 3, 3]);
}

#[test]
fn a_long_poll_waits_for_records_for_bytes_and_for_time() {
    let (_dir, broker) = start();
    let address = broker.address();
    let mut client = Client::connect(address);
    client.touch("t");
    let begun = Instant::now();
    let empty = client.call(11, &fetch("t", 0, 0).with_max_wait_ms(300));
    assert!(begun.elapsed() >= Duration::from_millis(290));
    assert_eq!(empty.responses[0].partitions[0].error_code, 0);

    let begun = Instant::now();
    client.send(11, &fetch("t", 0, 0).with_max_wait_ms(15_000));
    std::thread::sleep(Duration::from_millis(100));
    Client::connect(address).append("t", &["a"]);
    let woken = client.receive::<kafka_protocol::messages::FetchRequest>(11);
    assert_eq!(
        values(woken.responses[0].partitions[0].records.as_ref().unwrap()),
        ["a"]
    );
    assert!(begun.elapsed() < Duration::from_secs(10));

    // One record is there, but fewer bytes than asked for.
    let begun = Instant::now();
    let few = client.call(
        11,
        &fetch("t", 0, 0).with_max_wait_ms(300).with_min_bytes(100_000),
    );
    assert!(begun.elapsed() >= Duration::from_millis(290));
    assert_eq!(
        values(few.responses[0].partitions[0].records.as_ref().unwrap()),
        ["a"]
    );

    // Whole batches never add up to the minimum exactly: what leaves some behind is not waited for.
    let large = "x".repeat(600);
    client.append("t", &[&large]);
    client.append("t", &[&large]);
    let mut request = fetch("t", 0, 0).with_max_wait_ms(15_000).with_min_bytes(1000);
    request.topics[0].partitions[0].partition_max_bytes = 1000;
    let begun = Instant::now();
    let cut = client.call(11, &request);
    assert!(begun.elapsed() < Duration::from_secs(10));
    let records = cut.responses[0].partitions[0].records.as_ref().unwrap();
    assert!((600..1000).contains(&records.len()), "{}", records.len());

    // An error is told at once.
    let begun = Instant::now();
    client.call(11, &fetch("t", 0, 99).with_max_wait_ms(15_000));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_long_poll_over_many_partitions_wakes_by_any_and_by_deletion() {
    let mut config = config();
    config.num_partitions = 4;
    let (_dir, broker) = start_with(config);
    let address = broker.address();
    let mut client = Client::connect(address);
    client.touch("t");
    let mut request = fetch("t", 0, 0).with_max_wait_ms(15_000);
    let asked = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = (0..4).map(|p| asked.clone().with_partition(p)).collect();
    let begun = Instant::now();
    client.send(11, &request);
    std::thread::sleep(Duration::from_millis(100));
    Client::connect(address).call(9, &produce("t", 3, -1, Some(batch(&["a"]))));
    let woken = client.receive::<kafka_protocol::messages::FetchRequest>(11);
    assert_eq!(
        values(woken.responses[0].partitions[3].records.as_ref().unwrap()),
        ["a"]
    );

    client.send(11, &fetch("t", 0, 0).with_max_wait_ms(15_000));
    std::thread::sleep(Duration::from_millis(100));
    let delete = kafka_protocol::messages::DeleteTopicsRequest::default().with_topic_names(vec![name("t")]);
    assert_eq!(
        Client::connect(address).call(5, &delete).responses[0].error_code,
        0
    );
    let gone = client.receive::<kafka_protocol::messages::FetchRequest>(11);
    assert_eq!(gone.responses[0].partitions[0].error_code, 3);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn offsets_by_time_in_every_version() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    for timestamp in [100, 300, 200] {
        let mut builder = BatchBuilder::new();
        builder.push(timestamp, None, Some(b"v"), &[]);
        client.call(9, &produce("t", 0, -1, Some(builder.build().unwrap())));
    }
    let mut ask = |version, timestamp| {
        let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default()
            .with_name(name("t"))
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_topics(vec![topic]);
        let response = client.call(version, &request);
        let result = &response.topics[0].partitions[0];
        (result.error_code, result.offset, result.timestamp)
    };
    for version in 1..=10 {
        assert_eq!(ask(version, -1), (0, 3, -1));
        assert_eq!(ask(version, -2), (0, 0, -1));
        assert_eq!(ask(version, 0), (0, 0, 100));
        assert_eq!(ask(version, 150), (0, 1, 300));
        assert_eq!(ask(version, 301), (0, -1, -1));
    }
    assert_eq!(ask(7, -3), (0, 1, 300));
    assert_eq!(ask(8, -4), (0, 0, -1));
    assert_eq!(ask(9, -5), (0, -1, -1));
    assert_eq!(ask(9, -77).0, 42);
    let mut unknown = ListOffsetsRequest::default();
    unknown.topics = vec![
        ListOffsetsTopic::default()
            .with_name(name("x"))
            .with_partitions(vec![ListOffsetsPartition::default()]),
    ];
    assert_eq!(client.call(7, &unknown).topics[0].partitions[0].error_code, 3);
}

#[test]
fn epochs_end_at_the_high_watermark() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    client.append("t", &["a", "b"]);
    for version in 2..=4 {
        let mut ask = |current, epoch| {
            let partition = OffsetForLeaderPartition::default()
                .with_partition(0)
                .with_current_leader_epoch(current)
                .with_leader_epoch(epoch);
            let topic = OffsetForLeaderTopic::default()
                .with_topic(name("t"))
                .with_partitions(vec![partition]);
            let response = client.call(
                version,
                &OffsetForLeaderEpochRequest::default().with_topics(vec![topic]),
            );
            let result = &response.topics[0].partitions[0];
            (result.error_code, result.leader_epoch, result.end_offset)
        };
        assert_eq!(ask(-1, 0), (0, 0, 2));
        assert_eq!(ask(0, 0), (0, 0, 2));
        assert_eq!(ask(0, 4), (0, -1, -1));
        assert_eq!(ask(3, 0), (75, -1, -1));
    }
}
