//! Orders with what is known of their customers: `cargo run --release -p millstream-examples --bin orders_customers`
//!
//! It makes a broker of its own with a table of customers and a stream of orders, some of whose customers nobody knows, and prints what customers of
//! each city have ordered. Then some customers move, and more orders come: these count for the city that they live in now.
use std::time::Duration;

use millstream_broker::Broker;
use millstream_streams::{StreamsConfig, prelude::*};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

const CITIES: [&str; 4] = ["Bergen", "Lagos", "Lima", "Osaka"];
const CUSTOMERS: u64 = 50;
const ORDERS: u64 = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let broker = Broker::builder().data_dir(directory.path());
    let broker = broker.listener("127.0.0.1:0").start_blocking()?;
    let servers = broker.address().to_string();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &servers).set("group.id", "print");
    let producer: BaseProducer = client.create()?;
    for customer in 0..CUSTOMERS {
        write_customer(&producer, customer, CITIES[customer as usize % CITIES.len()])?;
    }
    write_orders(&producer, 0)?;

    let app = Streams::new("orders-customers").guarantee(ExactlyOnce);
    let customer = Schema::new(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("city", DataType::Utf8, true),
    ]);
    let order = Schema::new(vec![
        Field::new("customer", DataType::Utf8, true),
        Field::new("cents", DataType::Int64, true),
    ]);
    let customers = app.table("customers", json_schema(customer).with_key("id"), key("id"));
    let orders = app.stream("orders", json_schema(order));
    // Orders are partitioned by nothing: they go to where their customers are.
    let known = orders
        .join(&customers, on("customer", "id"))
        .named("known")
        .left();
    known.to("orders-with-customers", json());
    known
        .group_by([coalesce(vec![col("city"), lit("nobody knows")]).alias("city")])
        .aggregate(
            "per-city",
            [count_all().alias("orders"), sum(col("cents")).alias("cents")],
        )
        .to("orders-per-city", json());
    // Topics that end with the program need no copy of their state on the disk.
    let job = app.start(StreamsConfig::new(&servers).state_dir(""))?;
    job.drain(Duration::from_secs(60))?;
    print(&client, "at first")?;

    for customer in 0..CUSTOMERS / 2 {
        write_customer(&producer, customer, "Quito")?;
    }
    producer.flush(Duration::from_secs(10))?;
    job.drain(Duration::from_secs(60))?;
    write_orders(&producer, ORDERS)?;
    job.drain(Duration::from_secs(60))?;
    print(&client, "after half of them moved")?;
    job.stop(Duration::from_secs(10))?;
    Ok(broker.shutdown_blocking()?)
}

fn write_customer(
    producer: &BaseProducer,
    customer: u64,
    city: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let (id, value) = (
        format!("c{customer}"),
        format!(r#"{{"name":"Customer {customer}","city":"{city}"}}"#),
    );
    let sent = producer.send(BaseRecord::to("customers").key(&id).payload(&value));
    Ok(sent.map_err(|(error, _)| error)?)
}

/// Orders from number `first` on; every tenth is of a customer that nobody knows.
fn write_orders(producer: &BaseProducer, first: u64) -> Result<(), Box<dyn std::error::Error>> {
    for order in first..first + ORDERS {
        let customer = if order % 10 == 9 {
            CUSTOMERS + order
        } else {
            order * 7 % CUSTOMERS
        };
        let value = format!(r#"{{"customer":"c{customer}","cents":{}}}"#, 100 + order % 400);
        let sent = producer.send(BaseRecord::<(), str>::to("orders").payload(&value));
        sent.map_err(|(error, _)| error)?;
    }
    Ok(producer.flush(Duration::from_secs(10))?)
}

/// The last count of each city.
fn print(client: &ClientConfig, when: &str) -> Result<(), Box<dyn std::error::Error>> {
    let reader: BaseConsumer = client.create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("orders-per-city", 0, Offset::Beginning)?;
    reader.assign(&from)?;
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let mut cities = std::collections::BTreeMap::new();
    while let Some(record) = reader.poll(Duration::from_secs(1)).transpose()? {
        cities.insert(text(record.key()), text(record.payload()));
    }
    println!("{when}:");
    cities
        .iter()
        .for_each(|(city, orders)| println!("{city}\t{orders}"));
    Ok(())
}
