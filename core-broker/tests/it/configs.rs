//! AlterConfigs and IncrementalAlterConfigs: what is changed takes effect, is described, and outlives the broker.

use kafka_protocol::messages::alter_configs_request as all;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use std::sync::Arc;

use millstream_broker::Broker;
use millstream_broker::ids::Timestamp;
use millstream_broker::log::Clock;
use millstream_broker::log::batch::BatchBuilder;

use crate::client::{Client, batch, config, name, only_partition, produce, start, start_in, text};

pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const UNKNOWN_TOPIC: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;

fn resource(kind: i8, name: &str, changes: &[(i8, &str, Option<&str>)]) -> AlterConfigsResource {
    let configs = changes.iter().map(|(operation, name, value)| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    });
    AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect())
}

pub fn alter(
    client: &mut Client,
    kind: i8,
    name: &str,
    changes: &[(i8, &str, Option<&str>)],
) -> (i16, String) {
    let request =
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource(kind, name, changes)]);
    let response = client.call(1, &request).responses.remove(0);
    assert_eq!((response.resource_type, &*response.resource_name), (kind, name));
    (
        response.error_code,
        response.error_message.map_or(String::new(), |m| m.to_string()),
    )
}

fn described(client: &mut Client, kind: i8, name: &str) -> Vec<DescribeConfigsResourceResult> {
    let asked = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![asked])
        .with_include_synonyms(true);
    let mut result = client.call(4, &request).results.remove(0);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    std::mem::take(&mut result.configs)
}

/// Value, source and the sources of all synonyms.
pub fn value(client: &mut Client, kind: i8, name: &str, key: &str) -> Option<(String, i8, Vec<i8>)> {
    let configs = described(client, kind, name);
    let found = configs.iter().find(|c| *c.name == *key)?;
    let sources = found.synonyms.iter().map(|s| s.source).collect();
    Some((
        found.value.as_ref().map_or(String::new(), |v| v.to_string()),
        found.config_source,
        sources,
    ))
}

fn expect(client: &mut Client, kind: i8, name: &str, key: &str, expected: (&str, i8, &[i8])) {
    let (text, source, synonyms) = expected;
    assert_eq!(
        value(client, kind, name, key),
        Some((text.to_owned(), source, synonyms.to_vec())),
        "{key}"
    );
}

#[test]
fn a_topics_configs_take_effect_at_once_and_outlive_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_in(dir.path(), config());
    let mut client = Client::connect(broker.address());
    client.touch("t");
    let large = "x".repeat(1000);
    let append = |client: &mut Client| {
        let records = Some(batch(&[large.as_str()]));
        only_partition(client.call(9, &produce("t", 0, -1, records))).error_code
    };
    assert_eq!(append(&mut client), 0);
    let changes = [
        (SET, "max.message.bytes", Some("500")),
        (APPEND, "cleanup.policy", Some("compact")),
    ];
    assert_eq!(alter(&mut client, TOPIC, "t", &changes), (0, String::new()));
    assert_eq!(append(&mut client), MESSAGE_TOO_LARGE);
    expect(&mut client, TOPIC, "t", "max.message.bytes", ("500", 1, &[1, 5]));
    expect(
        &mut client,
        TOPIC,
        "t",
        "cleanup.policy",
        ("delete,compact", 1, &[1, 5]),
    );
    broker.shutdown_blocking().unwrap();

    let broker = start_in(dir.path(), config());
    let mut client = Client::connect(broker.address());
    assert_eq!(append(&mut client), MESSAGE_TOO_LARGE);
    let changes = [
        (DELETE, "max.message.bytes", None),
        (SUBTRACT, "cleanup.policy", Some("compact")),
    ];
    assert_eq!(alter(&mut client, TOPIC, "t", &changes).0, 0);
    assert_eq!(append(&mut client), 0);
    expect(&mut client, TOPIC, "t", "max.message.bytes", ("1048588", 5, &[5]));
    expect(&mut client, TOPIC, "t", "cleanup.policy", ("delete", 1, &[1, 5]));
    broker.shutdown_blocking().unwrap();
}

#[test]
fn the_older_request_replaces_all_overrides() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    assert_eq!(
        alter(&mut client, TOPIC, "t", &[(SET, "retention.ms", Some("77"))]).0,
        0
    );
    for version in 0..=2 {
        let value_of = format!("{}", 600 + version);
        let set = all::AlterableConfig::default()
            .with_name(text("max.message.bytes"))
            .with_value(Some(text(&value_of)));
        let asked = all::AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text("t"))
            .with_configs(vec![set]);
        let request = AlterConfigsRequest::default().with_resources(vec![asked.clone()]);
        let only_checked = request.clone().with_validate_only(true);
        assert_eq!(client.call(version, &only_checked).responses[0].error_code, 0);
        let before = value(&mut client, TOPIC, "t", "max.message.bytes").unwrap().0;
        assert_ne!(before, value_of);
        assert_eq!(client.call(version, &request).responses[0].error_code, 0);
        expect(
            &mut client,
            TOPIC,
            "t",
            "max.message.bytes",
            (&value_of, 1, &[1, 5]),
        );
        expect(&mut client, TOPIC, "t", "retention.ms", ("604800000", 5, &[5]));
        let doubled = AlterConfigsRequest::default().with_resources(vec![asked.clone(), asked]);
        let codes: Vec<i16> = client
            .call(version, &doubled)
            .responses
            .iter()
            .map(|r| r.error_code)
            .collect();
        assert_eq!(codes, [INVALID_REQUEST, INVALID_REQUEST]);
    }
}

#[test]
fn the_brokers_configs_change_on_two_levels_and_reach_topics_without_override() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_in(dir.path(), config());
    let mut client = Client::connect(broker.address());
    client.touch("plain");
    client.touch("own");
    assert_eq!(
        alter(&mut client, TOPIC, "own", &[(SET, "retention.ms", Some("1"))]).0,
        0
    );
    assert_eq!(
        alter(
            &mut client,
            BROKER,
            "",
            &[(SET, "log.retention.ms", Some("1000"))]
        )
        .0,
        0
    );
    expect(&mut client, TOPIC, "plain", "retention.ms", ("1000", 3, &[3, 5]));
    expect(&mut client, TOPIC, "own", "retention.ms", ("1", 1, &[1, 3, 5]));
    assert_eq!(
        alter(
            &mut client,
            BROKER,
            "1",
            &[(SET, "log.retention.ms", Some("2000"))]
        )
        .0,
        0
    );
    expect(
        &mut client,
        TOPIC,
        "plain",
        "retention.ms",
        ("2000", 2, &[2, 3, 5]),
    );
    expect(&mut client, BROKER, "1", "log.retention.ms", ("2000", 2, &[2, 3]));
    expect(&mut client, BROKER, "", "log.retention.ms", ("1000", 3, &[3]));
    assert_eq!(described(&mut client, BROKER, "").len(), 1);
    let size = [(SET, "message.max.bytes", Some("300"))];
    assert_eq!(alter(&mut client, BROKER, "1", &size).0, 0);
    broker.shutdown_blocking().unwrap();

    let broker = start_in(dir.path(), config());
    let mut client = Client::connect(broker.address());
    expect(
        &mut client,
        TOPIC,
        "plain",
        "retention.ms",
        ("2000", 2, &[2, 3, 5]),
    );
    let records = || Some(batch(&["x".repeat(400).as_str()]));
    let code =
        |client: &mut Client| only_partition(client.call(9, &produce("plain", 0, -1, records()))).error_code;
    assert_eq!(code(&mut client), MESSAGE_TOO_LARGE);
    let back = [
        (DELETE, "message.max.bytes", None),
        (DELETE, "log.retention.ms", None),
    ];
    assert_eq!(alter(&mut client, BROKER, "1", &back).0, 0);
    assert_eq!(code(&mut client), 0);
    expect(&mut client, TOPIC, "plain", "retention.ms", ("1000", 3, &[3, 5]));
    broker.shutdown_blocking().unwrap();
}

#[test]
fn what_cannot_be_altered_is_named_and_nothing_changes() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    let before = described(&mut client, TOPIC, "t");
    for (kind, name, changes, code, says) in [
        (
            TOPIC,
            "none",
            &[(SET, "retention.ms", Some("1"))][..],
            UNKNOWN_TOPIC,
            "none",
        ),
        (
            TOPIC,
            "t",
            &[(SET, "retention.m", Some("1"))],
            INVALID_CONFIG,
            "did you mean retention.ms?",
        ),
        (
            TOPIC,
            "t",
            &[(SET, "retention.ms", Some("x"))],
            INVALID_CONFIG,
            "retention.ms",
        ),
        (
            TOPIC,
            "t",
            &[(SET, "retention.ms", None)],
            INVALID_REQUEST,
            "no value",
        ),
        (
            TOPIC,
            "t",
            &[(7, "retention.ms", Some("1"))],
            INVALID_REQUEST,
            "operation 7",
        ),
        (
            TOPIC,
            "t",
            &[(APPEND, "retention.ms", Some("1"))],
            INVALID_CONFIG,
            "not a list",
        ),
        (
            TOPIC,
            "t",
            &[(SUBTRACT, "cleanup.policy", Some("delete"))],
            INVALID_CONFIG,
            "cleanup.policy",
        ),
        (
            TOPIC,
            "t",
            &[(SET, "retention.ms", Some("1")), (DELETE, "retention.ms", None)],
            INVALID_REQUEST,
            "twice",
        ),
        (
            TOPIC,
            "t",
            &[
                (SET, "retention.ms", Some("1")),
                (SET, "segment.bytes", Some("0")),
            ],
            INVALID_CONFIG,
            "segment.bytes",
        ),
        (
            BROKER,
            "1",
            &[(SET, "node.id", Some("2"))],
            INVALID_REQUEST,
            "Set(node.id)",
        ),
        (
            BROKER,
            "1",
            &[
                (SET, "log.retention.minutes", Some("2")),
                (SET, "log.roll.hours", Some("2")),
            ],
            INVALID_REQUEST,
            "Set(log.retention.minutes, log.roll.hours)",
        ),
        (
            BROKER,
            "2",
            &[(SET, "log.retention.ms", Some("2"))],
            INVALID_REQUEST,
            "this is broker 1",
        ),
        (
            BROKER,
            "",
            &[(SET, "log.retention.ms", Some("-5"))],
            INVALID_CONFIG,
            "log.retention.ms",
        ),
        (
            BROKER,
            "",
            &[(SET, "no.such.key", Some("1"))],
            INVALID_CONFIG,
            "no.such.key",
        ),
        (
            8,
            "1",
            &[(SET, "root", Some("DEBUG"))],
            INVALID_REQUEST,
            "BROKER_LOGGER",
        ),
        (
            16,
            "c",
            &[(SET, "interval.ms", Some("1"))],
            INVALID_REQUEST,
            "CLIENT_METRICS",
        ),
        (
            32,
            "g",
            &[(SET, "share.auto.offset.reset", Some("earliest"))],
            INVALID_REQUEST,
            "GROUP",
        ),
        (
            TOPIC,
            "",
            &[(SET, "retention.ms", Some("1"))],
            INVALID_REQUEST,
            "broker's defaults",
        ),
    ] {
        let (refused, message) = alter(&mut client, kind, name, changes);
        assert_eq!(refused, code, "{name} {changes:?}: {message}");
        assert!(message.contains(says), "{message}");
    }
    assert_eq!(described(&mut client, TOPIC, "t"), before);
    assert!(described(&mut client, BROKER, "").is_empty());
}

#[test]
fn a_resource_that_stands_twice_is_refused_every_time_and_others_are_changed() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    client.touch("u");
    let set = |kind, name, value| resource(kind, name, &[(SET, "max.message.bytes", Some(value))]);
    let resources = vec![set(TOPIC, "t", "1"), set(TOPIC, "u", "2"), set(TOPIC, "t", "3")];
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
    for version in 0..=1 {
        let responses = client.call(version, &request).responses;
        let codes: Vec<_> = responses.iter().map(|r| r.error_code).collect();
        assert_eq!(codes, [INVALID_REQUEST, 0, INVALID_REQUEST]);
        expect(&mut client, TOPIC, "t", "max.message.bytes", ("1048588", 5, &[5]));
        expect(&mut client, TOPIC, "u", "max.message.bytes", ("2", 1, &[1, 5]));
    }
}

#[test]
fn the_bound_on_connections_changes_at_once_and_open_ones_stay() {
    let (_dir, broker) = start();
    let mut first = Client::connect(broker.address());
    let change = [(SET, "max.connections", Some("1"))];
    assert_eq!(alter(&mut first, BROKER, "", &change).0, 0);
    assert!(Client::connect(broker.address()).receive_frame().is_none());
    let back = [(DELETE, "max.connections", None)];
    assert_eq!(alter(&mut first, BROKER, "", &back).0, 0);
    Client::connect(broker.address()).touch("t");
    expect(
        &mut first,
        BROKER,
        "1",
        "max.connections",
        ("2147483647", 5, &[5]),
    );
}

#[test]
fn a_damaged_file_of_alterations_stops_the_start_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_in(dir.path(), config());
    let mut client = Client::connect(broker.address());
    let change = [(SET, "log.retention.ms", Some("5"))];
    assert_eq!(alter(&mut client, BROKER, "1", &change).0, 0);
    broker.shutdown_blocking().unwrap();
    let file = dir.path().join("broker-configs");
    let whole = std::fs::read_to_string(&file).unwrap();
    let begin = || {
        Broker::builder()
            .data_dir(dir.path())
            .listener("127.0.0.1:0")
            .start_blocking()
    };
    for damaged in [
        "",
        &whole[..whole.len() - 4],
        &whole.replace("node log", "nude log"),
        &whole.replace("ms 5", "ms x"),
        &whole.replace("log.retention.ms", "log.retention.msx"),
    ] {
        std::fs::write(&file, damaged).unwrap();
        let error = begin().unwrap_err().to_string();
        assert!(
            error.contains("broker-configs") && error.contains("remove it"),
            "{damaged:?}: {error}"
        );
    }
    std::fs::remove_file(&file).unwrap();
    let broker = begin().unwrap();
    let mut client = Client::connect(broker.address());
    assert!(described(&mut client, BROKER, "").is_empty());
    expect(&mut client, BROKER, "1", "log.retention.ms", ("", 5, &[]));
}

#[test]
fn an_idle_producer_is_forgotten_after_the_time_that_is_set() {
    use kafka_protocol::messages::describe_producers_request::TopicRequest;
    use kafka_protocol::messages::{DescribeProducersRequest, InitProducerIdRequest};

    #[derive(Debug)]
    struct Moved(std::sync::atomic::AtomicI64);
    impl Clock for Moved {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(std::sync::atomic::Ordering::Relaxed))
        }
    }
    const HOUR: i64 = 3_600_000;
    let clock = Arc::new(Moved((1_700_000_000_000).into()));
    let dir = tempfile::tempdir().unwrap();
    let begin = || {
        Broker::builder()
            .data_dir(dir.path())
            .listener("127.0.0.1:0")
            .config(config())
            .clock(Arc::clone(&clock) as _)
            .start_blocking()
            .unwrap()
    };
    let pass = |ms| clock.0.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    let known = |client: &mut Client| {
        let asked = TopicRequest::default()
            .with_name(name("t"))
            .with_partition_indexes(vec![0]);
        let request = DescribeProducersRequest::default().with_topics(vec![asked]);
        let response = client.call(0, &request);
        response.topics[0].partitions[0].active_producers.len()
    };
    let append_idempotent = |client: &mut Client| {
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        let id = client.call(4, &request).producer_id;
        let mut builder = BatchBuilder::new().producer(id.0, 0, 0);
        builder.push(1_000, None, Some(b"v"), &[]);
        let records = Some(builder.build().unwrap());
        let answer = only_partition(client.call(9, &produce("t", 0, -1, records)));
        assert_eq!(answer.error_code, 0);
    };

    let broker = begin();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    append_idempotent(&mut client);
    pass(2 * HOUR);
    client.append("t", &["plain"]);
    assert_eq!(known(&mut client), 1);
    let longer = (48 * HOUR).to_string();
    let change = [(SET, "producer.id.expiration.ms", Some(longer.as_str()))];
    assert_eq!(alter(&mut client, BROKER, "", &change).0, 0);
    pass(40 * HOUR);
    drop(broker);

    // Longer than the default, and recovery does not know it yet.
    let broker = begin();
    let mut client = Client::connect(broker.address());
    pass(HOUR);
    client.append("t", &["plain"]);
    assert_eq!(known(&mut client), 1);
    let change = [(SET, "producer.id.expiration.ms", Some("3600000"))];
    assert_eq!(alter(&mut client, BROKER, "1", &change).0, 0);
    pass(HOUR);
    client.append("t", &["plain"]);
    assert_eq!(known(&mut client), 0);
    broker.shutdown_blocking().unwrap();
}
