//! Joins orders with their payments for as long as it runs, exactly once, on a cluster that is there already:
//! `cargo run --release -p millstream-examples --bin joins_service bootstrap.servers=localhost:9092`
//!
//! It reads the topics `orders`, JSON objects with `order`, `customer` and `at`, and `payments`, with `payment`, `of` (the order), `paid` and `paid_at`;
//! times are milliseconds since 1970. A payment belongs to its order from 5 s before it to 20 s after it. `paid-orders` gets each pair, and
//! each order that is not paid, once; `customers` has what each customer ordered and paid; `sessions` has when each was active: what of the two came
//! within 300 ms of each other, once. What comes too late goes to `late-orders` and `late-payments` as it is. It stops when its standard input ends.
use std::error::Error;
use std::io::{Read, stdin};
use std::time::Duration;

use millstream_streams::{Format, StreamsConfig, prelude::*};

fn rows(columns: &[(&str, DataType)]) -> Format {
    let fields = columns.iter();
    let fields = fields.map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    json_schema(Schema::new(fields.collect::<Vec<_>>()))
}

fn app() -> Streams {
    let order = rows(&[
        ("order", DataType::Int64),
        ("customer", DataType::Utf8),
        ("at", DataType::Int64),
    ]);
    let payment = rows(&[
        ("payment", DataType::Int64),
        ("of", DataType::Int64),
        ("paid", DataType::Int64),
        ("paid_at", DataType::Int64),
    ]);
    let app = Streams::new("joins").guarantee(ExactlyOnce);
    let out_of_order = Duration::from_secs(2);
    let orders = app
        .stream("orders", order)
        .watermark(bounded(col("at"), out_of_order));
    let payments = app
        .stream("payments", payment)
        .watermark(bounded(col("paid_at"), out_of_order));
    let window = join_window(Duration::from_secs(20)).before(Duration::from_secs(5));
    let joined = orders
        .join(&payments, on("order", "of"))
        .within("paid", window.grace(Duration::from_secs(3)))
        .left();
    joined.to("paid-orders", json());
    joined.late_left().to("late-orders", json());
    joined.late_right().to("late-payments", json());
    let by_order = joined.group_by([col("order")]).aggregate(
        "by-order",
        [
            max(col("customer")).alias("customer"),
            count(col("payment")).alias("payments"),
            sum(col("paid")).alias("paid"),
        ],
    );
    let customers = by_order.group_by([col("customer")]).aggregate(
        "by-customer",
        [
            count_all().alias("orders"),
            sum(col("payments")).alias("payments"),
            sum(col("paid")).alias("paid"),
        ],
    );
    customers.to("customers", json());
    // What a join gives is in time for the windows behind it.
    let active = joined.group_by([col("customer")]);
    active
        .window(session(Duration::from_millis(300)))
        .emit(OnWindowClose)
        .aggregate(
            "by-session",
            [count_all().alias("rows"), sum(col("paid")).alias("paid")],
        )
        .to("sessions", json());
    app
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let properties = arguments.iter().map(|argument| {
        let property = argument.split_once('=');
        property.ok_or(format!("usage: joins_service KEY=VALUE…, not {argument:?}"))
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
