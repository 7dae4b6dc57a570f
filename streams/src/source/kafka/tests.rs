//! One group member on a broker in the process.
use millstream_broker::config::BrokerConfig;
use millstream_broker::{Broker, BrokerHandle};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use tempfile::TempDir;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn broker() -> (BrokerHandle, TempDir, ClientConfig) {
    let directory = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        group_initial_rebalance_delay_ms: 0,
        ..BrokerConfig::default()
    };
    let builder = Broker::builder()
        .data_dir(directory.path())
        .listener("127.0.0.1:0")
        .config(config);
    let broker = builder.start_blocking().unwrap();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", broker.address().to_string());
    (broker, directory, client)
}

fn source(client: &ClientConfig, topics: &[&str]) -> KafkaSource {
    let mut client = client.clone();
    client
        .set("group.id", "group")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "500");
    let topics = topics.iter().map(|topic| Arc::from(*topic)).collect();
    KafkaSource::new(&client, topics, Arc::default(), Arc::default()).unwrap()
}

fn admin(client: &ClientConfig) -> AdminClient<DefaultClientContext> {
    client.create().unwrap()
}

fn create_topic(client: &ClientConfig, topic: &str) {
    let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    let (admin, options) = (admin(client), AdminOptions::new());
    let created = crate::runtime::block_on(admin.create_topics([&topic], &options));
    created.unwrap().pop().unwrap().unwrap();
}

/// Polls until the assignment holds `expected`.
fn await_assigned(source: &mut KafkaSource, expected: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "{expected:?} are not assigned");
        match source.poll(Duration::from_millis(50), 10, &mut |_| ControlFlow::Continue(())) {
            Ok(Polled::Assigned(partitions)) => {
                let starts: Vec<_> = partitions
                    .iter()
                    .map(|at| (at.clone(), StartAt::Committed))
                    .collect();
                source.assign(&starts).unwrap();
                let mut topics: Vec<&str> = partitions.iter().map(|at| &*at.topic).collect();
                topics.sort_unstable();
                if topics == expected {
                    return;
                }
            }
            Ok(Polled::Revoked { .. }) => source.unassign().unwrap(),
            other => drop(other.unwrap()),
        }
    }
}

/// A broker whose metadata is stale looks like this to a job that has just created its topics.
#[test]
fn a_topic_that_shows_late_is_waited_for() {
    let (_broker, _directory, client) = broker();
    create_topic(&client, "early");
    let mut source = source(&client, &["early", "late"]);
    await_assigned(&mut source, &["early"]);
    create_topic(&client, "late");
    await_assigned(&mut source, &["early", "late"]);
    assert!(source.doubt.is_none());
}

#[test]
fn a_topic_that_is_deleted_or_stays_away_is_named() {
    let (_broker, _directory, client) = broker();
    create_topic(&client, "early");
    let mut source = source(&client, &["early", "late"]);
    await_assigned(&mut source, &["early"]);
    let doubt = source.doubt.as_mut().unwrap();
    (doubt.since, doubt.look_at) = (doubt.since - DOUBT_MAX, doubt.since);
    let error = source.look_for_topics().unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot read: the cluster has no topic late; \
         a topic of the job is missing or was deleted: create it and restart"
    );

    create_topic(&client, "late");
    await_assigned(&mut source, &["early", "late"]);
    let (admin, options) = (admin(&client), AdminOptions::new());
    let deleted = crate::runtime::block_on(admin.delete_topics(&["late"], &options));
    deleted.unwrap().pop().unwrap().unwrap();
    let deadline = Instant::now() + DOUBT_MAX / 2;
    let error = loop {
        assert!(Instant::now() < deadline, "nobody misses the topic");
        match source.poll(Duration::from_millis(50), 10, &mut |_| ControlFlow::Continue(())) {
            Ok(Polled::Revoked { .. }) => source.unassign().unwrap(),
            Ok(_) => {}
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("no topic late"), "{error}");
}

#[test]
fn a_commit_by_a_client_that_failed_is_not_tried_again() {
    let error = KafkaError::ConsumerCommit(RDKafkaErrorCode::Fatal);
    let fatal = || Some((RDKafkaErrorCode::FencedInstanceId, "fenced".to_owned()));
    assert_eq!(
        commit_error(&error, fatal).unwrap().to_string(),
        "offsets cannot be committed: fenced; \
         another program uses the same group.instance.id: give each process its own"
    );
    assert!(commit_error(&error, || None).is_some());
    let passing = KafkaError::ConsumerCommit(RDKafkaErrorCode::RequestTimedOut);
    assert!(commit_error(&passing, || None).is_none());
}
