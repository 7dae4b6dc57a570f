//! Orders with their customers, and payments with what is known of their regions, for as long as it runs, exactly once, on a cluster that is there
//! already: `cargo run --release -p millstream-examples --bin tables_service bootstrap.servers=localhost:9092`
//!
//! It reads JSON objects: `shop-orders` with `order`, `customer`, `amount` and `cancelled`; `shop-customers` with `id`, `name` and `closed`;
//! `shop-payments`, of which some come twice, with `payment`, `payer`, `region`, `paid` and `at`, milliseconds since 1970; `shop-rates` with `place`,
//! `rate` and `since`; and `shop-regions`, which each process has whole, with `place` and `label`. `shop-buyers` gets the orders with the names of
//! their customers, `shop-labelled` each payment once with the label of its region, `shop-priced` with the rate that its region had at its time, and
//! `shop-largest` the two largest payments of each payer. It stops when its standard input ends.
use std::error::Error;
use std::io::{Read, stdin};
use std::time::Duration;

use millstream_streams::{Format, StreamsConfig, prelude::*};

const NUMBER: DataType = DataType::Int64;
const TEXT: DataType = DataType::Utf8;

fn rows(columns: &[(&str, DataType)]) -> Format {
    let fields = columns.iter();
    let fields = fields.map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    json_schema(Schema::new(fields.collect::<Vec<_>>()))
}

fn app() -> Streams {
    let app = Streams::new("tables").guarantee(ExactlyOnce);
    let order = rows(&[
        ("order", NUMBER),
        ("customer", TEXT),
        ("amount", NUMBER),
        ("cancelled", DataType::Boolean),
    ]);
    let orders = app.stream("shop-orders", order);
    let orders = orders.to_table_deleting("orders", [col("order")], col("cancelled"));
    let customers = app.stream(
        "shop-customers",
        rows(&[("id", TEXT), ("name", TEXT), ("closed", DataType::Boolean)]),
    );
    let customers = customers.to_table_deleting("customers", [col("id")], col("closed"));
    orders
        .join_by("buyers", &customers, [col("customer")])
        .left()
        .select([col("order"), col("amount"), col("name")])
        .to("shop-buyers", json());

    // All partitions go on together, so that none is waited for in vain.
    let in_order = |column: &str| bounded(col(column), Duration::from_secs(5)).never_idle();
    let payment = rows(&[
        ("payment", NUMBER),
        ("payer", TEXT),
        ("region", TEXT),
        ("paid", NUMBER),
        ("at", NUMBER),
    ]);
    let payments = app.stream("shop-payments", payment).watermark(in_order("at"));
    let once = payments.deduplicate("once", [col("payment")], Duration::from_secs(10));
    let regions = rows(&[("place", TEXT), ("label", TEXT)]);
    let regions = app.global_table("shop-regions", regions, [col("place")]);
    once.join(&regions, on("region", "place"))
        .left()
        .select([col("payment"), col("label")])
        .to("shop-labelled", json());
    let rates = rows(&[("place", TEXT), ("rate", NUMBER), ("since", NUMBER)]);
    let rates = app.stream("shop-rates", rates).watermark(in_order("since"));
    let rates = rates.select([col("place"), col("rate")]);
    let rates = rates
        .to_table("rates", [col("place")])
        .versioned(Duration::from_secs(60));
    once.join(&rates, on("region", "place"))
        .as_of("priced")
        .left()
        .select([col("payment"), col("rate")])
        .to("shop-priced", json());
    once.select([col("payer"), col("payment"), col("paid")])
        .group_by([col("payer")])
        .top(
            "largest",
            2,
            [col("paid").sort(false, false), col("payment").sort(true, false)],
        )
        .to("shop-largest", json());
    app
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let properties = arguments.iter().map(|argument| {
        let property = argument.split_once('=');
        property.ok_or(format!("usage: tables_service KEY=VALUE…, not {argument:?}"))
    });
    let config = StreamsConfig::from_properties(properties.collect::<Result<Vec<_>, _>>()?)?;
    let mut job = app().start(config)?;
    println!("started");
    let stop = job.stopper();
    std::thread::spawn(move || {
        // What comes does not matter, only that it ends.
        let _ = stdin().read_to_end(&mut Vec::new());
        stop();
    });
    Ok(job.wait()?)
}
