//! Views of pages, counted in windows of ten seconds, with what came too late: `cargo run --release -p millstream-examples --bin page_views`
//!
//! It makes a broker of its own and five minutes of views that do not come in their order, and prints the views of each page and window,
//! and then how many came too late.
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
    let producer: BaseProducer = client.create()?;
    for view in 0..3_000_u64 {
        // A view every 100 ms, of which each comes up to 4 s late, and every hundredth half a minute.
        let late = view * 7_919 % 4_000 + if view % 100 == 99 { 30_000 } else { 0 };
        let (page, user, at) = (
            PAGES[view as usize * view as usize % 7 % 4],
            view * 31 % 50,
            60_000 + view * 100 - late,
        );
        let value = format!(r#"{{"page":"{page}","user":{user},"at":{at}}}"#);
        let sent = producer.send(BaseRecord::<(), str>::to("views").payload(&value));
        sent.map_err(|(error, _)| error)?;
    }
    producer.flush(Duration::from_secs(10))?;

    let schema = Schema::new(vec![
        Field::new("page", DataType::Utf8, true),
        Field::new("user", DataType::Int64, true),
        Field::new("at", DataType::Int64, true),
    ]);
    let app = Streams::new("page-views").guarantee(ExactlyOnce);
    let views = app.stream("views", json_schema(schema));
    let per_page = views
        .watermark(bounded(col("at"), Duration::from_secs(2)))
        .group_by([col("page")])
        .window(tumbling(Duration::from_secs(10)).grace(Duration::from_secs(3)))
        .emit(OnWindowClose)
        .aggregate(
            "per-page",
            [
                count_all().alias("views"),
                count_distinct(col("user")).alias("users"),
            ],
        );
    per_page.to("views-per-page", json());
    per_page.late().to("late-views", json());
    // Topics that end with the program need no copy of their state on the disk.
    let job = app.start(StreamsConfig::new(&servers).state_dir(""))?;
    job.drain(Duration::from_secs(60))?;
    job.stop(Duration::from_secs(10))?;

    let results = read(&client, "views-per-page")?;
    results
        .iter()
        .for_each(|(window, views)| println!("{window}\t{views}"));
    println!(
        "{} windows, {} views too late",
        results.len(),
        read(&client, "late-views")?.len()
    );
    Ok(broker.shutdown_blocking()?)
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
