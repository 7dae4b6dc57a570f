//! Joins of two streams on a cluster.
use std::time::{Duration, Instant};

use millstream_streams::{Format, Guarantee, Streams, StreamsError, prelude::*};

use crate::client::{Cluster, PATIENCE};

/// Orders with their payments within ten seconds of event time, once each; orders that nobody pays as well.
fn app(cluster: &Cluster, guarantee: Guarantee) -> Streams {
    let side = |topic: &str, column: &str| {
        let columns = [("id", DataType::Utf8), (column, DataType::Int64)];
        let fields = columns.map(|(name, data_type)| Field::new(name, data_type, true));
        let at = Field::new("at", DataType::Int64, true);
        (
            cluster.name(topic),
            json_schema(Schema::new([&fields[..], &[at]].concat())),
        )
    };
    let app = Streams::new(cluster.name("job")).guarantee(guarantee);
    let read = |(topic, format): (String, Format)| {
        app.stream(topic, format.with_key("key"))
            .watermark(bounded(col("at"), Duration::ZERO))
    };
    let orders = read(side("orders", "price"));
    let payments = read(side("payments", "paid")).select([col("key"), col("paid")]);
    let joined = orders
        .join(&payments, on("key", "key"))
        .within("paid", join_window(Duration::from_secs(10)));
    joined
        .left()
        .select([col("id"), col("paid")])
        .to(cluster.name("results"), json());
    app
}

fn record(id: &str, column: &str, number: i64, at: i64) -> (String, Option<String>) {
    let value = format!(r#"{{"id":"{id}","{column}":{number},"at":{at}}}"#);
    (id.to_owned(), Some(value))
}

/// The values of the results, sorted, as soon as there are so many.
fn await_results(cluster: &Cluster, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut values = cluster.texts("results");
        values.sort();
        if values.len() >= count {
            return values;
        }
        assert!(Instant::now() < deadline, "there is only {values:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Those of equal keys are in partitions of one number only if there are as many.
#[test]
fn topics_of_unequal_partition_counts_are_not_joined() {
    let cluster = Cluster::new("join-unequal");
    cluster.create_topic("orders", 3);
    cluster.create_topic("payments", 2);
    cluster.create_topic("results", 1);
    let refused = app(&cluster, Guarantee::ExactlyOnce)
        .start(cluster.config())
        .err()
        .unwrap();
    let StreamsError::UnequalPartitions {
        first_partitions,
        second_partitions,
        ..
    } = &refused
    else {
        panic!("{refused}")
    };
    assert_eq!((*first_partitions, *second_partitions), (3, 2));
    assert!(refused.to_string().contains("use repartition"), "{refused}");
}

/// What each order is paid, or nothing, in a job that is another process's after the first half.
fn pairs_come_once(guarantee: Guarantee, test: &str) {
    let cluster = Cluster::new(test);
    cluster.create_topic("orders", 2);
    cluster.create_topic("payments", 2);
    cluster.create_topic("results", 1);
    let start = || {
        let config = cluster.config().set("commit.interval.ms", "50").unwrap();
        app(&cluster, guarantee).start(config).unwrap()
    };
    let orders: Vec<String> = (0..40).map(|number| format!("o{number}")).collect();
    let orders_of = |at: i64| {
        let order = |(number, id): (i64, &String)| record(id, "price", number, at);
        (0..).zip(&orders).map(order).collect::<Vec<_>>()
    };
    let paid = |of: usize, at: i64| {
        let payments = (0..).zip(&orders).filter(|(number, _)| number % 4 == of);
        let payment = |(number, id): (usize, &String)| record(id, "paid", number as i64, at);
        payments.map(payment).collect::<Vec<_>>()
    };
    // A fourth is paid before, one by each process behind, and one not at all.
    let job = start();
    cluster.write_keyed("payments", &paid(0, 90_000));
    cluster.write_keyed("orders", &orders_of(100_000));
    cluster.write_keyed("payments", &paid(1, 100_000));
    await_results(&cluster, 20);
    job.stop(PATIENCE).unwrap();
    let job = start();
    cluster.write_keyed("payments", &paid(2, 110_000));
    await_results(&cluster, 30);
    // All partitions of both go on far enough for those that are left.
    for topic in ["orders", "payments"] {
        for partition in 0..2 {
            cluster.write_to(topic, partition, &[r#"{"id":"end","at":120001}"#.to_owned()]);
        }
    }
    // The orders without a key meet nobody.
    await_results(&cluster, 42);
    job.stop(PATIENCE).unwrap();
    let mut expected: Vec<String> = (0..)
        .zip(&orders)
        .map(|(number, id)| match number % 4 {
            3 => format!(r#"{{"id":"{id}","paid":null}}"#),
            _ => format!(r#"{{"id":"{id}","paid":{number}}}"#),
        })
        .collect();
    expected.extend(vec![r#"{"id":"end","paid":null}"#.to_owned(); 2]);
    expected.sort();
    assert_eq!(await_results(&cluster, 42), expected);
}

#[test]
fn pairs_come_once_exactly_once() {
    pairs_come_once(Guarantee::ExactlyOnce, "join-eos");
}

#[test]
fn pairs_come_once_at_least_once() {
    pairs_come_once(Guarantee::AtLeastOnce, "join-alo");
}

/// A row waits for its time in one process and is looked up by the next, among versions that both have read.
#[test]
fn rows_have_what_a_table_had_at_their_time_across_a_restart() {
    let cluster = Cluster::new("versions");
    for topic in ["prices", "sales"] {
        cluster.create_topic(topic, 2);
    }
    cluster.create_topic("results", 1);
    let rows = |column: &str| {
        let fields = [
            ("id", DataType::Utf8),
            (column, DataType::Int64),
            ("at", DataType::Int64),
        ];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        json_schema(Schema::new(fields.to_vec()))
    };
    let start = || {
        let app = Streams::new(cluster.name("job")).guarantee(Guarantee::ExactlyOnce);
        let read = |topic: &str, column: &str| {
            app.stream(cluster.name(topic), rows(column))
                .watermark(bounded(col("at"), Duration::ZERO))
        };
        let prices = read("prices", "price").select([col("id").alias("item"), col("price")]);
        let prices = prices
            .to_table("prices", [col("item")])
            .versioned(Duration::from_secs(60));
        let sold = read("sales", "sale").select([col("id"), col("sale")]);
        sold.join(&prices, on("id", "item"))
            .as_of("priced")
            .left()
            .select([col("sale"), col("price")])
            .to(cluster.name("results"), json());
        let config = cluster.config().set("commit.interval.ms", "50").unwrap();
        app.start(config).unwrap()
    };
    let write = |topic: &str, records: &[(&str, String, i64)]| {
        let column = if topic == "prices" { "price" } else { "sale" };
        for (item, number, at) in records {
            let row = format!(r#"{{"id":"{item}","{column}":{number},"at":{at}}}"#);
            // Both partitions go on.
            for partition in 0..2 {
                cluster.write_to(topic, partition, std::slice::from_ref(&row));
            }
        }
    };
    let text = |number: i64| number.to_string();
    let job = start();
    write("prices", &[("tea", text(1), 100_000), ("tea", text(2), 110_000)]);
    write(
        "sales",
        &[
            ("tea", text(10), 99_999),
            ("tea", text(11), 105_000),
            ("tea", text(12), 115_000),
        ],
    );
    // The last of them waits for prices of its time.
    await_results(&cluster, 4);
    job.stop(PATIENCE).unwrap();
    let job = start();
    write("prices", &[("tea", text(3), 114_000), ("tea", text(4), 130_000)]);
    write("sales", &[("coffee", text(13), 130_000)]);
    let results = await_results(&cluster, 6);
    job.stop(PATIENCE).unwrap();
    let expected = [
        r#"{"price":1,"sale":11}"#,
        r#"{"price":3,"sale":12}"#,
        r#"{"price":null,"sale":10}"#,
    ];
    let mut found: Vec<String> = results
        .iter()
        .map(|row| {
            let row: serde_json::Value = serde_json::from_str(row).unwrap();
            format!(r#"{{"price":{},"sale":{}}}"#, row["price"], row["sale"])
        })
        .collect();
    found.sort();
    let expected: Vec<&str> = expected.iter().flat_map(|row| [*row, *row]).collect();
    assert_eq!(found, expected);
}
