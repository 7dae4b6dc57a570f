//! Revenue per customer and per city, counted live from what changes in one MySQL database and kept in tables of another, exactly once. All in this
//! process, broker and worker included: `cargo run --release -p millstream-examples --bin revenue examples/revenue`
//!
//! With settings in the place of the folder it is the job alone, on a cluster that is there already, beside workers that read and write the databases:
//! `cargo run --release -p millstream-examples --bin revenue bootstrap.servers=localhost:9092`
//!
//! It stops when its standard input ends. `README.md` beside it says what the databases need.
use std::error::Error;
use std::io::{Read, stdin};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use millstream_broker::{Broker, InitialTopic};
use millstream_connect::config::{connector_file::ConnectorFile, properties};
use millstream_connect::plugin::Registry;
use millstream_connect::standalone::Standalone;
use millstream_streams::{StreamsConfig, StreamsHandle, prelude::*};
use tokio::runtime::Runtime;

/// What the source writes: `topic.prefix`, database and table.
const CUSTOMERS: &str = "example.shop.customers";
const ORDERS: &str = "example.shop.orders";
/// What the sink reads, each into the table of its name.
const PER_CUSTOMER: &str = "revenue_per_customer";
const PER_CITY: &str = "revenue_per_city";

fn app() -> Streams {
    let money = DataType::Decimal128(10, 2);
    let customer = Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("city", DataType::Utf8, true),
    ]);
    let order = Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("customer", DataType::Int32, true),
        Field::new("amount", money, true),
    ]);
    let app = Streams::new("revenue").guarantee(ExactlyOnce);
    let customers = app.table(CUSTOMERS, debezium_json(customer), key("id"));
    // As orders call them.
    let customers = customers.select([col("id").alias("customer"), col("name"), col("city")]);
    let orders = app.table(ORDERS, debezium_json(order), key("id"));

    // An order that changes, goes, or is another customer's takes back what it was.
    let revenue = || [count_all().alias("orders"), sum(col("amount")).alias("revenue")];
    let by_customer = orders
        .group_by([col("customer")])
        .aggregate("by-customer", revenue());
    // A text has all of its digits, which a number of JSON need not have.
    let text = |amount| cast(amount, DataType::Utf8).alias("revenue");
    let nothing = cast(lit(0), DataType::Decimal128(20, 2));
    customers
        .join(&by_customer)
        .left()
        .select([
            col("customer"),
            col("name"),
            coalesce(vec![col("orders"), lit(0_i64)]).alias("orders"),
            text(coalesce(vec![col("revenue"), nothing])),
        ])
        .to(PER_CUSTOMER, json().object_keys());

    // A customer who moves takes all orders along.
    orders
        .join_by("buyers", &customers, [col("customer")])
        .group_by([col("city")])
        .aggregate("by-city", revenue())
        .select([col("city"), col("orders"), text(col("revenue"))])
        .to(PER_CITY, json().object_keys());
    app
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [folder] if !folder.contains('=') => all_of_it(folder),
        [] => Err("usage: revenue FOLDER, or revenue KEY=VALUE…".into()),
        settings => {
            let properties = settings.iter().map(|setting| {
                let property = setting.split_once('=');
                property.ok_or(format!("usage: revenue KEY=VALUE…, not {setting:?}"))
            });
            let config = StreamsConfig::from_properties(properties.collect::<Result<Vec<_>, _>>()?)?;
            run(app().start(config)?)
        }
    }
}

/// Broker, worker and job, by the files in `folder`.
fn all_of_it(folder: &str) -> Result<(), Box<dyn Error>> {
    std::env::set_current_dir(folder)?;
    let read = std::fs::read_to_string::<&str>;
    let mut broker = Broker::builder().data_dir("state/broker").listener("127.0.0.1:0");
    for topic in [CUSTOMERS, ORDERS, PER_CUSTOMER, PER_CITY] {
        broker = broker.create_topic(format!("{topic}:2").parse::<InitialTopic>()?);
    }
    let broker = broker.start_blocking()?;
    let servers = broker.address().to_string();

    let runtime = Runtime::new()?;
    let connect = runtime.block_on(async {
        let plugins = millstream_connectors::register(Registry::built_in());
        let connect = Standalone::builder(plugins)
            .properties(properties::parse(&read("worker.properties")?)?)
            .property("bootstrap.servers", &servers)
            .start()
            .await?;
        for file in ["source.properties", "sink.properties"] {
            let made = connect.create(ConnectorFile::parse(&read(file)?)?).await?;
            println!("{} runs", made.name);
        }
        Ok::<_, Box<dyn Error>>(connect)
    })?;
    // Where this was killed, its place is free after so long.
    let config = StreamsConfig::new(&servers).set("session.timeout.ms", "6000")?;
    let job = app().start(config.state_dir("state/job"))?;
    let stop = job.stopper();
    let connect = Arc::new(connect);
    let watched = Arc::clone(&connect);
    // Without its connectors the job has nothing to do.
    let (end, ended) = channel::<()>();
    let watch = std::thread::spawn(move || {
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_millis(200)) {
            if let Err(failed) = watched.progress() {
                stop();
                return Some(failed);
            }
        }
        None
    });
    let outcome = run(job);
    drop(end);
    if let Ok(Some(failed)) = watch.join() {
        return Err(failed.into());
    }
    outcome?;
    if let Some(connect) = Arc::into_inner(connect) {
        runtime.block_on(connect.stop())?;
    }
    Ok(broker.shutdown_blocking()?)
}

/// Until the standard input ends.
fn run(mut job: StreamsHandle) -> Result<(), Box<dyn Error>> {
    println!("the job runs");
    let stop = job.stopper();
    std::thread::spawn(move || {
        // What comes does not matter, only that it ends.
        let _ = stdin().read_to_end(&mut Vec::new());
        stop();
    });
    Ok(job.wait()?)
}
