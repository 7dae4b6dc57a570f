//! What any connector has to do, checked by the plugin API's own suite.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{SourcePlugin, conformance};
use millstream_connect::record::{Datum, Origin, Record, Value};

use http_lines::{HttpLinesSink, HttpLinesSource};
use server::Server;

fn config(keys: &[(&str, &str)]) -> ConfigMap {
    let pairs = keys
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    pairs.collect()
}

fn records(values: impl Iterator<Item = Datum>) -> Vec<Record> {
    let numbered = values.enumerate().map(|(offset, value)| Record {
        origin: Some(Origin {
            topic: "lines".into(),
            partition: 0,
            offset: i64::try_from(offset).unwrap(),
        }),
        ..Record::new("lines", value)
    });
    numbered.collect()
}

#[tokio::test]
async fn the_source_conforms() {
    conformance::declarations(&HttpLinesSource).unwrap();
    let lines: Vec<String> = (0..40).map(|number| format!("line {number} ä")).collect();
    let server = Server::start(&format!("{}\nhalf a line", lines.join("\n")));
    let url = server.url("app.log");
    let config = config(&[
        ("url", &url),
        ("topic", "lines"),
        ("poll.interval.ms", "1"),
        ("max.line.bytes", "64"),
    ]);
    conformance::source(&HttpLinesSource, &config).await.unwrap();
}

#[tokio::test]
async fn the_sink_conforms_and_posts_each_line() {
    conformance::declarations(&HttpLinesSink).unwrap();
    let server = Server::start("");
    let config = config(&[("url", &server.url("in"))]);
    let lines: Vec<String> = (0..10).map(|number| format!("line {number}\n")).collect();
    let records = records(lines.iter().map(|line| Datum::text(line.trim())));
    conformance::sink(&HttpLinesSink, &config, &records)
        .await
        .unwrap();
    assert_eq!(server.posted(), lines.concat());
}

#[tokio::test]
async fn values_that_are_no_texts_are_refused_one_by_one() {
    use millstream_connect::plugin::{SinkPlugin, SinkTaskContext, TaskId};
    let server = Server::start("");
    let mut task = HttpLinesSink.new_task();
    let id = TaskId {
        connector: "posts".to_owned(),
        task: 0,
    };
    let config = config(&[("url", &server.url("in"))]);
    task.start(&config, SinkTaskContext { task: id }).await.unwrap();
    let values = [
        Datum::text("one"),
        Datum::schemaless(Value::Int64(2)),
        Datum::NULL,
        Datum::text("four"),
    ];
    let failed = task.put(&records(values.into_iter())).await.unwrap();
    assert_eq!(server.posted(), "one\nfour\n");
    assert_eq!(failed.iter().map(|failed| failed.index).collect::<Vec<_>>(), [1]);
    assert!(
        failed[0].error.to_string().contains("int64"),
        "{}",
        failed[0].error
    );
}

#[test]
fn wrong_configurations_are_named() {
    let given = config(&[("url", "ftp://a"), ("poll.interval.ms", "0")]);
    let wrong: Vec<String> = HttpLinesSource
        .validate(&given)
        .into_iter()
        .flat_map(|value| value.errors)
        .collect();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong[0].contains("http://HOST:PORT/PATH"), "{wrong:?}");
    assert!(wrong[1].contains("topic"), "{wrong:?}");
    assert!(wrong[2].contains("at least 1"), "{wrong:?}");
}
