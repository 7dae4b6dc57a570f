//! Payments by card, of which terminals send some twice: the largest of each card, and the cards that paid at the most merchants, in windows of
//! ten minutes: `cargo run --release -p millstream-examples --bin card_fraud`
//!
//! It makes a broker of its own and forty minutes of payments that do not come in their order, in which somebody goes round with a stolen card,
//! and prints what it finds of each window that has closed.
use std::time::Duration;

use millstream_broker::Broker;
use millstream_streams::{StreamsConfig, prelude::*};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

/// The payment of this number: a payment a second, of which each comes up to 2.5 s late.
fn payment(number: u64) -> String {
    let stolen = (1_200..1_300).contains(&number) && number.is_multiple_of(5);
    let card = if stolen { 13 } else { number * 31 % 40 };
    let merchant = if stolen {
        number % 47
    } else {
        card * 3 + number / 40 % (2 + card % 7)
    };
    let amount = 100 + number * 7_919 % 20_000;
    let at = 600_000 + number * 1_000 - number * 7_919 % 2_500;
    format!(r#"{{"id":{number},"card":{card},"merchant":{merchant},"amount":{amount},"at":{at}}}"#)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let broker = Broker::builder().data_dir(directory.path());
    let broker = broker.listener("127.0.0.1:0").start_blocking()?;
    let servers = broker.address().to_string();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &servers).set("group.id", "print");
    let producer: BaseProducer = client.create()?;
    for number in 0..2_400 {
        // Every fortieth is sent again behind the next one.
        let again = (number % 40 == 1).then(|| number - 1);
        for payment in [Some(number), again].into_iter().flatten().map(payment) {
            let sent = producer.send(BaseRecord::<(), str>::to("payments").payload(&payment));
            sent.map_err(|(error, _)| error)?;
        }
    }
    producer.flush(Duration::from_secs(10))?;

    let columns = ["id", "card", "merchant", "amount", "at"];
    let schema = Schema::new(
        columns
            .map(|name| Field::new(name, DataType::Int64, true))
            .to_vec(),
    );
    let app = Streams::new("card-fraud").guarantee(ExactlyOnce);
    let payments = app.stream("payments", json_schema(schema));
    let payments = payments.watermark(bounded(col("at"), Duration::from_secs(3)));
    let windows = || tumbling(Duration::from_secs(600));
    let once = payments.deduplicate("once", [col("id")], Duration::from_secs(60));
    let by_card = once.group_by([col("card")]).window(windows()).emit(OnWindowClose);
    by_card
        .top("largest", 2, [col("amount").sort(false, false)])
        .to("largest-payments", json());
    by_card
        .aggregate("merchants", [count_distinct(col("merchant")).alias("merchants")])
        .results()
        .select([col("card"), col("merchants"), col("window_start").alias("since")])
        .group_by([col("since")])
        .window(windows())
        .emit(OnWindowClose)
        .top("suspects", 1, [col("merchants").sort(false, false)])
        .with_ties()
        .to("suspects", json());
    // Topics that end with the program need no copy of their state on the disk.
    let job = app.start(StreamsConfig::new(&servers).state_dir(""))?;
    job.drain(Duration::from_secs(60))?;
    job.stop(Duration::from_secs(10))?;

    for topic in ["suspects", "largest-payments"] {
        for (window, found) in read(&client, topic)? {
            println!("{topic}\t{window}\t{found}");
        }
    }
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
