//! Metadata, CreateTopics, DeleteTopics, CreatePartitions, DescribeConfigs, DescribeCluster.

use std::collections::HashMap;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    DescribeConfigsRequest, MetadataRequest,
};

use crate::client::*;

fn topic(topic: &str, partitions: i32) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
}

fn create(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(1000)
}

fn with_config(creatable: CreatableTopic, key: &str, value: &str) -> CreatableTopic {
    let config = CreatableTopicConfig::default()
        .with_name(text(key))
        .with_value(Some(text(value)));
    creatable.with_configs(vec![config])
}

fn ask(topic: &str, create: bool) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
    MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(create)
}

#[test]
fn metadata_in_every_version() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("a");
    client.touch("b");
    for version in 0..=13 {
        let all = MetadataRequest::default().with_topics(if version == 0 { Some(vec![]) } else { None });
        let response = client.call(version, &all);
        assert_eq!(response.topics.len(), 2);
        assert_eq!(response.brokers[0].port, i32::from(broker.address().port()));
        assert_eq!(&*response.brokers[0].host, "127.0.0.1");
        let partition = &response.topics[0].partitions[0];
        assert_eq!(
            (
                partition.leader_id.0,
                partition.isr_nodes.len(),
                partition.error_code
            ),
            (1, 1, 0)
        );
        if version >= 2 {
            assert_eq!(response.cluster_id.as_deref(), Some(broker.cluster_id()));
        }
        let one = client.call(version, &ask("b", true));
        assert_eq!((one.topics.len(), one.topics[0].error_code), (1, 0));
        if version >= 1 {
            let none = client.call(version, &MetadataRequest::default().with_topics(Some(vec![])));
            assert!(none.topics.is_empty());
        }
        if version >= 10 {
            let id = one.topics[0].topic_id;
            let by_id = MetadataRequestTopic::default().with_name(None).with_topic_id(id);
            let request = MetadataRequest::default().with_topics(Some(vec![by_id.clone()]));
            assert_eq!(client.call(12, &request).topics[0].name, Some(name("b")));
            // As Java's clients ask.
            let request_of_java = request
                .clone()
                .with_topics(Some(vec![by_id.clone().with_name(Some(name("")))]));
            let same = client.call(version, &request_of_java).topics.remove(0);
            assert_eq!((same.error_code, same.topic_id), (0, id));
            let unknown = by_id.with_topic_id(uuid::Uuid::from_u128(5));
            let request = MetadataRequest::default().with_topics(Some(vec![unknown]));
            assert_eq!(client.call(12, &request).topics[0].error_code, 100);
        }
    }
    let operations = ask("a", false).with_include_topic_authorized_operations(true);
    assert_eq!(
        client.call(10, &operations).topics[0].topic_authorized_operations,
        0b1101_1111_1000
    );
}

#[test]
fn topics_are_created_by_asking_unless_that_is_forbidden() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    assert_eq!(client.call(4, &ask("x", false)).topics[0].error_code, 3);
    assert_eq!(client.call(4, &ask("x", true)).topics[0].partitions.len(), 1);
    assert_eq!(client.call(4, &ask("x", false)).topics[0].error_code, 0);
    assert_eq!(client.call(4, &ask("not good", true)).topics[0].error_code, 17);
    let internal = client.call(4, &ask("__consumer_offsets", true));
    assert!(internal.topics[0].is_internal);
    assert_eq!(internal.topics[0].partitions.len(), 3);

    let mut config = config();
    config.auto_create_topics_enable = false;
    let (_dir, broker) = start_with(config);
    let mut client = Client::connect(broker.address());
    assert_eq!(client.call(4, &ask("x", true)).topics[0].error_code, 3);
}

#[test]
fn creating_and_deleting_in_every_version() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    for version in 2..=7 {
        let response = client.call(version, &create(vec![topic("t", 3)]));
        assert_eq!(response.topics[0].error_code, 0, "version {version}");
        if version >= 5 {
            assert_eq!(
                (
                    response.topics[0].num_partitions,
                    response.topics[0].replication_factor
                ),
                (3, 1)
            );
            let configs = response.topics[0].configs.as_ref().unwrap();
            assert!(
                configs
                    .iter()
                    .any(|c| &*c.name == "retention.ms" && c.value.as_deref() == Some("604800000"))
            );
        }
        let again = client.call(version, &create(vec![topic("t", 3)]));
        assert_eq!(again.topics[0].error_code, 36);
        let delete = match version - 1 {
            6 => {
                let id = client.call(12, &ask("t", false)).topics[0].topic_id;
                let by_id = DeleteTopicState::default().with_name(None).with_topic_id(id);
                DeleteTopicsRequest::default().with_topics(vec![by_id])
            }
            _ => DeleteTopicsRequest::default().with_topic_names(vec![name("t")]),
        };
        let deleted = client.call(version - 1, &delete);
        assert_eq!(
            (deleted.responses[0].error_code, deleted.responses[0].name.clone()),
            (0, Some(name("t")))
        );
        let unknown = DeleteTopicsRequest::default().with_topic_names(vec![name("t")]);
        assert_eq!(client.call(1, &unknown).responses[0].error_code, 3);
    }
}

#[test]
fn creations_are_refused_with_reasons() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.call(7, &create(vec![topic("a.b", 1)]));
    let assigned = |brokers: &[i32], index| {
        let assignment = CreatableReplicaAssignment::default()
            .with_partition_index(index)
            .with_broker_ids(brokers.iter().map(|id| (*id).into()).collect());
        topic("assigned", -1)
            .with_replication_factor(-1)
            .with_assignments(vec![assignment])
    };
    for (what, topic, code) in [
        ("name", topic("a/b", 1), 17),
        ("collision", topic("a_b", 1), 17),
        ("partitions", topic("c", 0), 37),
        ("too many partitions", topic("c", 1_000_000), 37),
        ("replicas", topic("c", 1).with_replication_factor(2), 38),
        ("internal", topic("__transaction_state", 1), 17),
        ("unknown config", with_config(topic("c", 1), "retention", "1"), 40),
        ("bad config", with_config(topic("c", 1), "retention.ms", "x"), 40),
        ("foreign broker", assigned(&[2], 0), 39),
        ("hole in assignment", assigned(&[1], 1), 39),
        ("defaults", topic("d", -1).with_replication_factor(-1), 0),
        ("assignment", assigned(&[1], 0), 0),
        (
            "config",
            with_config(topic("e", 1), "cleanup.policy", "compact"),
            0,
        ),
    ] {
        let response = client.call(7, &create(vec![topic]));
        let result = &response.topics[0];
        assert_eq!(result.error_code, code, "{what}: {:?}", result.error_message);
        assert_eq!(result.error_message.is_some(), code != 0, "{what}");
    }
    let twice = client.call(7, &create(vec![topic("w", 1), topic("w", 1), topic("v", 1)]));
    assert_eq!(
        twice.topics.iter().map(|t| t.error_code).collect::<Vec<_>>(),
        [42, 0]
    );
    let dry = client.call(7, &create(vec![topic("dry", 4)]).with_validate_only(true));
    assert_eq!((dry.topics[0].error_code, dry.topics[0].num_partitions), (0, 4));
    assert_eq!(client.call(4, &ask("dry", false)).topics[0].error_code, 3);
    // A compacted topic refuses records without a key.
    let mut keyless = millstream_broker::log::batch::BatchBuilder::new();
    keyless.push(1, None, Some(b"v"), &[]);
    let refused = client.call(9, &produce("e", 0, -1, Some(keyless.build().unwrap())));
    assert_eq!(only_partition(refused).error_code, 87);

    let delete = |topic| DeleteTopicsRequest::default().with_topic_names(vec![name(topic)]);
    client.touch("__consumer_offsets");
    assert_eq!(
        client.call(5, &delete("__consumer_offsets")).responses[0].error_code,
        17
    );
    let mut config = config();
    config.delete_topic_enable = false;
    let (_dir, broker) = start_with(config);
    let mut client = Client::connect(broker.address());
    client.touch("t");
    assert_eq!(client.call(5, &delete("t")).responses[0].error_code, 73);
}

#[test]
fn partitions_are_added() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    client.append("t", &["kept"]);
    for version in 0..=3 {
        let mut to = |topic, count| {
            let topic = CreatePartitionsTopic::default()
                .with_name(name(topic))
                .with_count(count)
                .with_assignments(None);
            let request = CreatePartitionsRequest::default()
                .with_topics(vec![topic])
                .with_timeout_ms(1000);
            client.call(version, &request).results[0].error_code
        };
        let count = 2 + i32::from(version);
        assert_eq!(to("t", count), 0);
        assert_eq!(to("t", count), 37);
        assert_eq!(to("nope", 2), 3);
    }
    assert_eq!(client.call(4, &ask("t", false)).topics[0].partitions.len(), 5);
    assert_eq!(client.append("t", &["next"]).base_offset, 1);
}

#[test]
fn configs_are_described_with_defaults_sources_and_synonyms() {
    let mut config = config();
    config.log_segment_bytes = 1 << 20;
    let (_dir, broker) = start_with(config);
    let mut client = Client::connect(broker.address());
    client.call(7, &create(vec![with_config(topic("t", 1), "retention.ms", "5")]));
    for version in 1..=4 {
        let mut describe = |kind, resource: &str, keys: Option<Vec<_>>| {
            let resource = DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(resource))
                .with_configuration_keys(keys);
            let request = DescribeConfigsRequest::default()
                .with_resources(vec![resource])
                .with_include_synonyms(true)
                .with_include_documentation(version >= 3);
            client.call(version, &request).results.remove(0)
        };
        let of_topic = describe(2, "t", None);
        let by_name: HashMap<_, _> = of_topic.configs.iter().map(|c| (c.name.to_string(), c)).collect();
        assert!(by_name.len() > 25);
        let value = |key: &str| {
            (
                by_name[key].value.as_deref().unwrap().to_owned(),
                by_name[key].config_source,
            )
        };
        assert_eq!(value("retention.ms"), ("5".into(), 1));
        assert_eq!(value("segment.bytes"), ("1048576".into(), 4));
        assert_eq!(value("cleanup.policy"), ("delete".into(), 5));
        let synonyms: Vec<_> = by_name["retention.ms"]
            .synonyms
            .iter()
            .map(|s| (&*s.name, s.source))
            .collect();
        assert_eq!(synonyms, [("retention.ms", 1), ("log.retention.ms", 5)]);
        let synonyms: Vec<_> = by_name["segment.bytes"]
            .synonyms
            .iter()
            .map(|s| (&*s.name, s.source))
            .collect();
        assert_eq!(synonyms, [("log.segment.bytes", 4), ("log.segment.bytes", 5)]);
        assert_eq!(describe(2, "t", Some(vec![text("segment.ms")])).configs.len(), 1);
        let of_broker = describe(4, "1", None);
        assert!(
            of_broker
                .configs
                .iter()
                .any(|c| &*c.name == "log.segment.bytes" && c.config_source == 4)
        );
        let fixed = |name: &str| of_broker.configs.iter().any(|c| *c.name == *name && c.read_only);
        assert!(fixed("node.id") && fixed("listeners") && !fixed("log.retention.ms"));
        assert_eq!(describe(2, "nope", None).error_code, 3);
        assert_eq!(describe(4, "9", None).error_code, 42);
        assert_eq!(describe(99, "t", None).error_code, 42);
    }
}

#[test]
fn the_cluster_is_described() {
    let (_dir, broker) = start();
    let mut client = Client::connect(broker.address());
    for version in 0..=2 {
        let response = client.call(version, &DescribeClusterRequest::default());
        assert_eq!(
            (response.error_code, &*response.cluster_id),
            (0, broker.cluster_id())
        );
        assert_eq!(response.brokers[0].port, i32::from(broker.address().port()));
    }
    let quorum = DescribeClusterRequest::default().with_endpoint_type(2);
    assert_eq!(client.call(1, &quorum).error_code, 114);
}
