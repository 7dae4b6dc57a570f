//! Counts the words of a file with a broker of its own: `cargo run --release -p millstream-examples --bin word_count FILE`
use std::time::Duration;

use millstream_broker::Broker;
use millstream_streams::{StreamsConfig, prelude::*};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: word_count FILE")?;
    let directory = tempfile::tempdir()?;
    let broker = Broker::builder().data_dir(directory.path());
    let broker = broker.listener("127.0.0.1:0").start_blocking()?;
    let servers = broker.address().to_string();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &servers).set("group.id", "print");
    let producer: BaseProducer = client.create()?;
    for line in std::fs::read_to_string(file)?.lines() {
        let sent = producer.send(BaseRecord::<(), str>::to("lines").payload(line));
        sent.map_err(|(error, _)| error)?;
    }
    producer.flush(Duration::from_secs(10))?;

    let app = Streams::new("word-count").guarantee(ExactlyOnce);
    app.stream("lines", text("line"))
        .flat_map(split_words(col("line")).alias("word"))
        .select([lower(col("word")).alias("word")])
        .group_by([col("word")])
        .aggregate("counts", [count_all().alias("count")])
        .to("word-counts", json());
    // Topics that end with the program need no copy of their state on the disk.
    let job = app.start(StreamsConfig::new(&servers).state_dir(""))?;
    job.drain(Duration::from_secs(60))?;
    job.stop(Duration::from_secs(10))?;
    let reader: BaseConsumer = client.create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("word-counts", 0, Offset::Beginning)?;
    reader.assign(&from)?;
    while let Some(record) = reader.poll(Duration::from_secs(1)).transpose()? {
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or("?");
        println!(
            "{}\t{}",
            record.key().map_or("", text),
            record.payload().map_or("", text)
        );
    }
    Ok(broker.shutdown_blocking()?)
}
