//! What cannot be worked on, and topics that are not there.
use std::time::{Duration, Instant};

use millstream_streams::{
    DataType, ErrorKind, Field, Guarantee, Schema, Streams, StreamsError, cast, col, dead_letter, json,
    json_schema, skip, text,
};

use crate::client::{Cluster, PATIENCE};

#[test]
fn dead_letters_are_part_of_the_transaction() {
    let cluster = Cluster::new("letters");
    for topic in ["lines", "numbers", "dead", "too-large"] {
        cluster.create_topic(topic, 1);
    }
    let app = Streams::new(cluster.name("app")).guarantee(Guarantee::ExactlyOnce);
    let amounts = json_schema(Schema::new(vec![
        Field::new("amount", DataType::Utf8, true),
        Field::new("note", DataType::Utf8, true),
    ]));
    app.stream(cluster.name("lines"), amounts)
        .with_column("amount", cast(col("amount"), DataType::Int64))
        .to(cluster.name("numbers"), json())
        .on_error(dead_letter(cluster.name("too-large")));
    let long = format!(r#"{{"amount":"7","note":"{}"}}"#, "x".repeat(3000));
    cluster.write(
        "lines",
        1,
        [
            r#"{"amount":"1"}"#,
            "nonsense",
            r#"{"amount":"one"}"#,
            long.as_str(),
        ],
    );
    let config = cluster.config().set("message.max.bytes", "2000").unwrap();
    let config = config
        .set("errors.dead.letter.queue.topic.name", &cluster.name("dead"))
        .unwrap();
    let job = app.start(config).unwrap();
    job.drain(PATIENCE).unwrap();
    assert_eq!(job.metrics().rows_dead_lettered, 3);
    assert_eq!(job.metrics().rows_skipped, 0);
    job.stop(PATIENCE).unwrap();
    let numbers = cluster.records("numbers");
    assert_eq!(numbers.len(), 1);
    assert_eq!(numbers[0].1["amount"], 1);
    let dead = cluster.texts("dead");
    assert_eq!(dead, ["nonsense", r#"{"amount":"one","note":null}"#]);
    assert!(cluster.texts("too-large")[0].starts_with(r#"{"amount":7,"note":"xxx"#));
}

#[test]
fn output_topics_are_made_by_the_broker_or_named() {
    let made = Cluster::new("made");
    made.create_topic("lines", 1);
    made.write("lines", 1, ["a"]);
    let job = made.word_count().start(made.config()).unwrap();
    job.drain(PATIENCE).unwrap();
    job.stop(PATIENCE).unwrap();
    assert_eq!(made.table("counts").0.len(), 1);

    let missing = Cluster::with("unmade", |config| config.auto_create_topics_enable = false);
    missing.create_topic("lines", 1);
    let app = Streams::new(missing.name("app"));
    let lines = app.stream(missing.name("lines"), text("line"));
    let lines = lines
        .filter(col("line").is_not_null())
        .on_error(dead_letter(missing.name("dead")));
    lines.to(missing.name("out"), json()).on_error(skip());
    let started = Instant::now();
    let error = app.start(missing.config()).unwrap_err();
    assert!(
        started.elapsed() < Duration::from_secs(9),
        "it took {:?}",
        started.elapsed()
    );
    assert!(
        matches!(error, StreamsError::MissingOutputTopics { .. }),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::FixInput);
    let text = error.to_string();
    let names = format!(
        "the job writes to {}, {}, which",
        missing.name("dead"),
        missing.name("out")
    );
    assert!(
        text.starts_with(&names) && text.contains("create them before the job starts"),
        "{text}"
    );
    missing.create_topic("dead", 1);
    missing.create_topic("out", 1);
    app.start(missing.config()).unwrap().stop(PATIENCE).unwrap();
}
