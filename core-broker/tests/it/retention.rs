//! DeleteRecords, retention and DescribeLogDirs.

use std::time::Duration;

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, DescribeLogDirsRequest, ListOffsetsRequest,
};
use millstream_broker::config::BrokerConfig;

use crate::client::*;

const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_TOPIC: i16 = 17;
const POLICY_VIOLATION: i16 = 44;

pub fn create_with(client: &mut Client, topic: &str, configs: &[(&str, &str)]) {
    let config = |(key, value): &(&str, &str)| {
        CreatableTopicConfig::default()
            .with_name(text(key))
            .with_value(Some(text(value)))
    };
    let topic = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(configs.iter().map(config).collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(1000);
    assert_eq!(client.call(5, &request).topics[0].error_code, 0);
}

/// The answer: first offset and error.
pub fn delete(client: &mut Client, version: i16, topic: &str, partition: i32, before: i64) -> (i64, i16) {
    let partition = DeleteRecordsPartition::default()
        .with_partition_index(partition)
        .with_offset(before);
    let topic = DeleteRecordsTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(1000);
    let response = client.call(version, &request);
    let answer = &response.topics[0].partitions[0];
    (answer.low_watermark, answer.error_code)
}

fn earliest(client: &mut Client, topic: &str) -> i64 {
    let partition = ListOffsetsPartition::default().with_timestamp(-2);
    let topic = ListOffsetsTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![topic]);
    client.call(5, &request).topics[0].partitions[0].offset
}

pub fn fetch_error(client: &mut Client, topic: &str, offset: i64) -> (i16, i64, usize) {
    let response = client.call(11, &fetch(topic, 0, offset));
    let partition = &response.responses[0].partitions[0];
    let size = partition.records.as_ref().map_or(0, bytes::Bytes::len);
    (partition.error_code, partition.log_start_offset, size)
}

#[test]
fn records_are_deleted_in_every_version() {
    let (dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    for _ in 0..5 {
        assert_eq!(client.append("t", &["a", "b"]).error_code, 0);
    }
    for (version, before) in [(0, 1), (1, 2), (2, 3)] {
        assert_eq!(delete(&mut client, version, "t", 0, before), (before, 0));
        assert_eq!(earliest(&mut client, "t"), before);
    }
    // Less than what is gone is no error.
    assert_eq!(delete(&mut client, 2, "t", 0, 1), (3, 0));
    assert_eq!(fetch_error(&mut client, "t", 2).0, OFFSET_OUT_OF_RANGE);
    let (code, log_start, size) = fetch_error(&mut client, "t", 3);
    assert_eq!((code, log_start), (0, 3));
    assert!(size > 0);
    for beyond in [11, -2] {
        assert_eq!(delete(&mut client, 2, "t", 0, beyond), (-1, OFFSET_OUT_OF_RANGE));
    }
    assert_eq!(
        delete(&mut client, 2, "t", 1, 0),
        (-1, UNKNOWN_TOPIC_OR_PARTITION)
    );
    assert_eq!(
        delete(&mut client, 2, "u", 0, 0),
        (-1, UNKNOWN_TOPIC_OR_PARTITION)
    );
    client.touch("__consumer_offsets");
    assert_eq!(
        delete(&mut client, 2, "__consumer_offsets", 0, 0),
        (-1, INVALID_TOPIC)
    );
    create_with(&mut client, "c", &[("cleanup.policy", "compact")]);
    assert_eq!(delete(&mut client, 2, "c", 0, 0), (-1, POLICY_VIOLATION));
    create_with(&mut client, "both", &[("cleanup.policy", "compact,delete")]);
    assert_eq!(delete(&mut client, 2, "both", 0, -1), (0, 0));
    assert_eq!(delete(&mut client, 2, "t", 0, -1), (10, 0));
    broker.shutdown_blocking().unwrap();
    let broker = start_in(dir.path(), config());
    let mut client = Client::connect(broker.address());
    assert_eq!(earliest(&mut client, "t"), 10);
    assert_eq!(client.append("t", &["c"]).base_offset, 10);
}

#[test]
fn old_records_are_deleted_by_themselves() {
    let (_dir, broker) = start_with(BrokerConfig {
        log_retention_check_interval_ms: 20,
        log_retention_minutes: Some(60),
        ..config()
    });
    let mut client = Client::connect(broker.address());
    // The records are of 1970.
    create_with(&mut client, "kept", &[("retention.ms", "-1")]);
    create_with(&mut client, "compacted", &[("cleanup.policy", "compact")]);
    client.touch("t");
    for topic in ["kept", "compacted", "t"] {
        assert_eq!(client.append(topic, &["a", "b"]).error_code, 0);
    }
    let mut tries = 0;
    while earliest(&mut client, "t") == 0 {
        tries += 1;
        assert!(tries < 500, "nothing was deleted");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(earliest(&mut client, "t"), 2);
    assert_eq!(earliest(&mut client, "kept"), 0);
    assert_eq!(earliest(&mut client, "compacted"), 0);
    assert_eq!(fetch_error(&mut client, "t", 0).0, OFFSET_OUT_OF_RANGE);
    assert_eq!(client.append("t", &["c"]).base_offset, 2);
}

#[test]
fn log_dirs_are_described_in_every_version() {
    let (dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("a");
    client.touch("b");
    client.append("a", &["some bytes"]);
    let one = |topic: &str, partitions: &[i32]| {
        DescribableLogDirTopic::default()
            .with_topic(name(topic))
            .with_partitions(partitions.to_vec())
    };
    for version in 1..=4 {
        let all = client.call(version, &DescribeLogDirsRequest::default().with_topics(None));
        let result = &all.results[0];
        assert_eq!((all.results.len(), result.error_code), (1, 0));
        assert_eq!(&*result.log_dir, dir.path().to_str().unwrap());
        let sizes: Vec<_> = result
            .topics
            .iter()
            .map(|t| (t.name.to_string(), t.partitions[0].partition_size))
            .collect();
        assert_eq!(sizes[1], ("b".to_owned(), 0));
        assert!(sizes[0].1 > 60, "{sizes:?}");
        if version >= 4 {
            assert!(result.usable_bytes > 0 && result.usable_bytes <= result.total_bytes);
        }
        let some = DescribeLogDirsRequest::default().with_topics(Some(vec![
            one("a", &[0, 0, 7]),
            one("a", &[0]),
            one("x", &[0]),
        ]));
        let some = client.call(version, &some);
        assert_eq!(some.results[0].topics.len(), 1);
        assert_eq!(some.results[0].topics[0].partitions.len(), 1);
        let none = client.call(
            version,
            &DescribeLogDirsRequest::default().with_topics(Some(vec![])),
        );
        assert!(none.results[0].topics.is_empty());
    }
}
