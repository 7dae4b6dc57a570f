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
    // A denial that was on its way may come behind; the next look clears it.
    let deadline = Instant::now() + Duration::from_secs(30);
    while source.doubt.is_some() {
        assert!(Instant::now() < deadline, "it is still in doubt");
        let polled = source.poll(Duration::from_millis(50), 10, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(polled, Ok(Polled::Idle)));
    }
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

/// Produces records with the values `begin`…`end` to partition 0, each with its number as a header, twice.
fn produce(client: &ClientConfig, topic: &str, numbers: std::ops::Range<i64>) {
    use rdkafka::message::{Header, OwnedHeaders};
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let producer: BaseProducer = client.create().unwrap();
    for number in numbers {
        let (value, old) = (number.to_string(), format!("old {number}"));
        let header = |value| Header {
            key: "number",
            value: Some(value),
        };
        let headers = OwnedHeaders::new().insert(header(&old)).insert(header(&value));
        let record = BaseRecord::<str, str>::to(topic)
            .partition(0)
            .payload(&value)
            .timestamp(1000 + number)
            .headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// Reads the numbers up to the one before `end`, in portions of at most `portion` records.
fn read_up_to(source: &mut KafkaSource, end: i64, portion: usize) -> Vec<i64> {
    let (mut read, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while read.last() != Some(&(end - 1)) {
        assert!(Instant::now() < deadline, "{:?} is the last", read.last());
        let mut left = portion;
        let polled = source.poll(Duration::from_millis(50), usize::MAX, &mut |record| {
            let number: i64 = str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap();
            assert_eq!((record.topic, record.partition, record.key), ("numbers", 0, None));
            assert_eq!((record.offset, record.timestamp), (number, 1000 + number));
            let text = number.to_string();
            assert_eq!(
                record.headers.header("number"),
                Some(text.as_bytes()),
                "the last one counts"
            );
            assert_eq!(record.headers.header("none"), None);
            let mut headers = 0;
            record
                .headers
                .each(&mut |name, _| headers += usize::from(name == "number"));
            assert_eq!(headers, 2);
            read.push(number);
            left -= 1;
            if left == 0 || number + 1 == end {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(matches!(polled.unwrap(), Polled::Records(_) | Polled::Idle));
    }
    read
}

#[test]
fn records_come_in_order_whatever_portions_are_asked_for_and_again_after_an_assignment() {
    let (_broker, _directory, client) = broker();
    create_topic(&client, "numbers");
    produce(&client, "numbers", 0..3_000);
    let mut source = source(client.clone().set("auto.offset.reset", "earliest"), &["numbers"]);
    await_assigned(&mut source, &["numbers"]);
    assert_eq!(read_up_to(&mut source, 1_000, 7), (0..1_000).collect::<Vec<_>>());
    // The rest of the batch is there, and must not come again.
    let at = TopicPartition {
        topic: "numbers".into(),
        partition: 0,
    };
    source.assign(&[(at.clone(), StartAt::Offset(500))]).unwrap();
    assert_eq!(
        read_up_to(&mut source, 2_000, 500),
        (500..2_000).collect::<Vec<_>>()
    );
    source.unassign().unwrap();
    let polled = source.poll(Duration::from_millis(100), 10, &mut |record| {
        panic!("{}", record.offset)
    });
    assert_eq!(polled.unwrap(), Polled::Idle);
    source.assign(&[(at, StartAt::Offset(2_990))]).unwrap();
    assert_eq!(
        read_up_to(&mut source, 3_000, 3),
        (2_990..3_000).collect::<Vec<_>>()
    );
    // Whoever waits is woken up.
    let (waits, begun) = (Duration::from_secs(20), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            produce(&client, "numbers", 3_000..3_001);
        });
        let mut read = None;
        while read.is_none() && begun.elapsed() < waits {
            let polled = source.poll(waits, 10, &mut |record| {
                read = Some(record.offset);
                ControlFlow::Continue(())
            });
            polled.unwrap();
        }
        assert_eq!(read, Some(3_000));
        assert!(begun.elapsed() < waits / 2, "{:?}", begun.elapsed());
    });
}

/// Records of which nobody had heard came into no epoch, and what was made of them into the transaction of another.
#[test]
fn what_was_handed_out_is_reported_before_a_change_that_came_meanwhile() {
    let (_broker, _directory, client) = broker();
    create_topic(&client, "numbers");
    produce(&client, "numbers", 0..10);
    let mut source = source(client.clone().set("auto.offset.reset", "earliest"), &["numbers"]);
    await_assigned(&mut source, &["numbers"]);
    let notes = Arc::clone(source.consumer.client().context());
    let deadline = Instant::now() + PATIENCE;
    let polled = loop {
        assert!(Instant::now() < deadline, "no records");
        let polled = source.poll(Duration::from_millis(50), usize::MAX, &mut |_| {
            notes.note(Change::Revoked { lost: false });
            ControlFlow::Continue(())
        });
        match polled.unwrap() {
            Polled::Idle => {}
            other => break other,
        }
    };
    assert_eq!(polled, Polled::Records(1));
    let polled = source.poll(Duration::ZERO, usize::MAX, &mut |record| {
        panic!("{}", record.offset)
    });
    assert_eq!(polled.unwrap(), Polled::Revoked { lost: false });
}
