//! DescribeTopicPartitions: pages, cursors, unknown names.

use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use millstream_broker::config::BrokerConfig;

use crate::client::*;

fn ask(names: &[&str], limit: i32) -> DescribeTopicPartitionsRequest {
    let topics = names.iter().map(|n| TopicRequest::default().with_name(name(n)));
    DescribeTopicPartitionsRequest::default()
        .with_response_partition_limit(limit)
        .with_topics(topics.collect())
}

fn at(topic: &str, partition: i32) -> Option<Cursor> {
    let cursor = Cursor::default().with_topic_name(name(topic));
    Some(cursor.with_partition_index(partition))
}

/// Name, error and partitions of each topic, then the cursor.
type Page = (Vec<(String, i16, Vec<i32>)>, Option<(String, i32)>);

fn page(response: &DescribeTopicPartitionsResponse) -> Page {
    let topics = response.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|p| {
            assert_eq!((p.error_code, *p.leader_id, p.leader_epoch), (0, 1, 0));
            assert_eq!((p.replica_nodes.len(), p.isr_nodes.len()), (1, 1));
            assert_eq!(p.eligible_leader_replicas, Some(vec![]));
            p.partition_index
        });
        let name = topic.name.as_ref().map_or(String::new(), |n| n.to_string());
        (name, topic.error_code, partitions.collect())
    });
    let cursor = response.next_cursor.as_ref();
    (
        topics.collect(),
        cursor.map(|c| (c.topic_name.to_string(), c.partition_index)),
    )
}

#[test]
fn pages_go_by_name_and_partition() {
    let (_dir, broker) = start_with(BrokerConfig {
        num_partitions: 3,
        max_request_partition_size_limit: 4,
        ..config()
    });
    let mut client = Client::connect(broker.address());
    for topic in ["b", "a", "c"] {
        client.touch(topic);
    }
    let mut call = |request: &DescribeTopicPartitionsRequest| page(&client.call(0, request));
    let topic = |name: &str, code, partitions: &[i32]| (name.to_owned(), code, partitions.to_vec());
    let next = |name: &str, partition| Some((name.to_owned(), partition));

    let all = [0, 1, 2];
    assert_eq!(
        call(&ask(&[], 2000)),
        (vec![topic("a", 0, &all), topic("b", 0, &[0])], next("b", 1))
    );
    assert_eq!(
        call(&ask(&[], 2000).with_cursor(at("b", 1))),
        (vec![topic("b", 0, &[1, 2]), topic("c", 0, &[0, 1])], next("c", 2))
    );
    assert_eq!(
        call(&ask(&[], 2000).with_cursor(at("c", 2))),
        (vec![topic("c", 0, &[2])], None)
    );
    // A page that ends with a topic; a limit below 1 counts as 1; a topic of the cursor that is gone.
    assert_eq!(call(&ask(&[], 3)), (vec![topic("a", 0, &all)], next("b", 0)));
    assert_eq!(call(&ask(&[], -7)), (vec![topic("a", 0, &[0])], next("a", 1)));
    assert_eq!(
        call(&ask(&[], 4).with_cursor(at("bb", 2))),
        (vec![topic("c", 0, &all)], None)
    );
    assert_eq!(
        call(&ask(&[], 4).with_cursor(at("c", 9))),
        (vec![topic("c", 0, &[])], None)
    );
    // By name, in order, each once.
    assert_eq!(
        call(&ask(&["zz", "c", "/", "c"], 4)),
        (
            vec![topic("/", 17, &[]), topic("c", 0, &all), topic("zz", 3, &[])],
            None
        )
    );
    assert_eq!(
        call(&ask(&["a", "c"], 4).with_cursor(at("c", 1))),
        (vec![topic("c", 0, &[1, 2])], None)
    );
    // Cursors that cannot be.
    for request in [
        ask(&["a"], 4).with_cursor(at("b", 0)),
        ask(&["a"], 4).with_cursor(at("a", -1)),
    ] {
        assert_eq!(call(&request), (vec![topic("a", 42, &[])], None));
    }
}
