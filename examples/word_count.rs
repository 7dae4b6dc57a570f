//! Counts the words of a file with a broker of its own: `cargo run --release -p millstream-examples --bin word_count FILE`

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_broker::Broker;
use millstream_streams::{StreamsConfig, prelude::*};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: word_count FILE")?;
    let directory = tempfile::tempdir()?;
    let broker = Broker::builder()
        .data_dir(directory.path())
        .listener("127.0.0.1:0")
        .start_blocking()?;
    let servers = broker.address().to_string();
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &servers)
        .set("group.id", "print")
        .set("auto.offset.reset", "earliest");

    let producer: BaseProducer = client.create()?;
    for line in std::fs::read_to_string(file)?.lines() {
        producer
            .send(BaseRecord::<(), str>::to("lines").payload(line))
            .map_err(|(error, _)| error)?;
    }
    producer.flush(Duration::from_secs(10))?;

    let app = Streams::new("word-count");
    app.stream("lines", text("line"))
        .flat_map(split_words(col("line")).alias("word"))
        .select([lower(col("word")).alias("word")])
        .group_by([col("word")])
        .aggregate("counts", [count_all().alias("count")])
        .to("word-counts", json());
    let job = app.start(StreamsConfig::new(&servers))?;
    job.drain(Duration::from_secs(60))?;
    job.stop(Duration::from_secs(10))?;

    let mut counts = BTreeMap::new();
    let reader: BaseConsumer = client.set("enable.partition.eof", "true").create()?;
    reader.subscribe(&["word-counts"])?;
    while let Some(Ok(record)) = reader.poll(Duration::from_secs(10)) {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        counts.insert(text(record.key()), text(record.payload()));
    }
    for (word, count) in counts {
        println!("{word}\t{count}");
    }
    Ok(broker.shutdown_blocking()?)
}
