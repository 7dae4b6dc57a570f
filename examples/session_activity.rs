//! When users were active: their clicks, in sessions that end when none follows for ten seconds, with what came too late:
//! `cargo run --release -p millstream-examples --bin session_activity`
//!
//! It makes a broker of its own and five minutes of clicks that do not come in their order, and prints each user's sessions with the milliseconds at
//! which they begin and end, and then how many clicks came too late.
use std::time::Duration;

use millstream_broker::Broker;
use millstream_streams::{StreamsConfig, prelude::*};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

const PAGES: [&str; 4] = ["home", "search", "product", "basket"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let broker = Broker::builder().data_dir(directory.path());
    let broker = broker.listener("127.0.0.1:0").start_blocking()?;
    let servers = broker.address().to_string();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &servers).set("group.id", "print");
    send_clicks(&client.create()?)?;

    let schema = Schema::new(vec![
        Field::new("user", DataType::Int64, true),
        Field::new("page", DataType::Utf8, true),
        Field::new("at", DataType::Int64, true),
    ]);
    let app = Streams::new("session-activity").guarantee(ExactlyOnce);
    let clicks = app.stream("clicks", json_schema(schema));
    let activity = clicks
        .watermark(bounded(col("at"), Duration::from_secs(4)))
        .group_by([col("user")])
        .window(session(Duration::from_secs(10)).grace(Duration::from_secs(3)))
        .emit(OnWindowClose)
        .aggregate(
            "activity",
            [
                count_all().alias("clicks"),
                count_distinct(col("page")).alias("pages"),
            ],
        );
    let millis = |name| cast(col(name), DataType::Int64);
    let text = |number| cast(number, DataType::Utf8);
    // The end of a window is behind its last click.
    let last = text(millis("window_end") - lit(1_i64));
    let when = vec![
        text(col("user")),
        lit(" from "),
        text(millis("window_start")),
        lit(" to "),
        last,
    ];
    activity
        .results()
        .select([concat(when).alias("when"), col("clicks"), col("pages")])
        .to("activity", json().with_key("when"));
    activity.late().to("late-clicks", json());
    // Topics that end with the program need no copy of their state on the disk.
    let job = app.start(StreamsConfig::new(&servers).state_dir(""))?;
    job.drain(Duration::from_secs(60))?;
    job.stop(Duration::from_secs(10))?;

    let sessions = read(&client, "activity")?;
    sessions
        .iter()
        .for_each(|(when, activity)| println!("{when}\t{activity}"));
    let late = read(&client, "late-clicks")?.len();
    println!("{} sessions, {late} clicks too late", sessions.len());
    Ok(broker.shutdown_blocking()?)
}

/// Clicks of users who are active for a quarter of a minute, and then away for half of one.
fn send_clicks(producer: &BaseProducer) -> Result<(), Box<dyn std::error::Error>> {
    for click in 0..3_000_u64 {
        let user = click * 31 % 20;
        if !(click / 150 + user).is_multiple_of(3) {
            continue;
        }
        // Each comes up to 4 s late, and every hundredth is much later.
        let late = click * 7_919 % 4_000 + if click % 100 == 99 { 100_000 } else { 0 };
        let (page, at) = (
            PAGES[click as usize * click as usize % 7 % 4],
            200_000 + click * 100 - late,
        );
        let value = format!(r#"{{"user":{user},"page":"{page}","at":{at}}}"#);
        let sent = producer.send(BaseRecord::<(), str>::to("clicks").payload(&value));
        sent.map_err(|(error, _)| error)?;
    }
    Ok(producer.flush(Duration::from_secs(10))?)
}

/// The records of a topic.
fn read(client: &ClientConfig, topic: &str) -> Result<Vec<(String, String)>, Box<dyn std::error::Error>> {
    let reader: BaseConsumer = client.create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning)?;
    reader.assign(&from)?;
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let mut records = Vec::new();
    while let Some(record) = reader.poll(Duration::from_secs(1)).transpose()? {
        records.push((text(record.key()), text(record.payload())));
    }
    Ok(records)
}
