//! Tables that are joined and looked up.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_streams::{StreamsConfig, StreamsHandle, prelude::*};
use serde_json::json as json_of;

use crate::client::{Cluster, PATIENCE};

const PARTITIONS: i32 = 3;
const CUSTOMERS: usize = 40;

type Records = Vec<(String, Option<String>)>;

/// Orders with the names of their customers.
fn buyers(cluster: &Cluster) -> Streams {
    let app = Streams::new(cluster.name("app")).guarantee(ExactlyOnce);
    let columns = ["customer", "n"].map(|name| Field::new(name, DataType::Utf8, true));
    let orders = json_schema(Schema::new(columns.to_vec())).with_key("order");
    let order = cast(col("order"), DataType::Utf8View).alias("order");
    let orders = app.table(cluster.name("orders"), orders, [order]);
    let customers = app.table(cluster.name("customers"), text("name").with_key("id"), key("id"));
    orders
        .join_by("buyers", &customers, [col("customer")])
        .select([col("order"), col("n"), col("name")])
        .to(cluster.name("out"), json());
    app
}

/// What is written: orders, some deleted again, whose customers are known but for a few, and may have other names later.
fn records() -> (Records, Records) {
    let order = |number: usize| {
        let value = json_of!({"customer": format!("c{}", number * 7 % 45), "n": number.to_string()});
        (
            format!("o{}", number % 300),
            (number % 11 != 10).then(|| value.to_string()),
        )
    };
    let customer = |number: usize| {
        let name = (number % 13 != 12).then(|| format!("Name {number}"));
        (format!("c{}", number % CUSTOMERS), name)
    };
    ((0..900).map(order).collect(), (0..100).map(customer).collect())
}

/// The rows that a table has after its records.
fn last(records: &Records) -> BTreeMap<&str, &str> {
    let mut last = BTreeMap::new();
    for (key, value) in records {
        match value {
            Some(value) => drop(last.insert(key.as_str(), value.as_str())),
            None => drop(last.remove(key.as_str())),
        }
    }
    last
}

fn expected(orders: &Records, customers: &Records) -> BTreeMap<String, String> {
    let (orders, names) = (last(orders), last(customers));
    let rows = orders.into_iter().filter_map(|(order, value)| {
        let value: serde_json::Value = serde_json::from_str(value).unwrap();
        let name = names.get(value["customer"].as_str().unwrap())?;
        let row = format!(r#"{{"n":{},"name":"{name}"}}"#, value["n"]);
        Some((order.to_owned(), row))
    });
    rows.collect()
}

fn await_that(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} never holds");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs the job until it has read so many records, and stops it: its only epoch ends then.
fn read_and_stop(cluster: &Cluster, config: StreamsConfig, records: u64) {
    let job: StreamsHandle = buyers(cluster).start(config).unwrap();
    await_that("everything is read", || job.metrics().records_in >= records);
    job.stop(PATIENCE).unwrap();
}

#[test]
fn a_process_that_ends_between_a_question_and_its_answer_loses_neither() {
    let cluster = Cluster::new("foreign");
    for topic in ["orders", "customers"] {
        cluster.create_topic(topic, PARTITIONS);
    }
    cluster.create_topic("out", PARTITIONS);
    let (orders, customers) = records();
    let half = |records: &Records| {
        (
            records[..records.len() / 2].to_vec(),
            records[records.len() / 2..].to_vec(),
        )
    };
    let (first_orders, more_orders) = half(&orders);
    let (first_customers, more_customers) = half(&customers);
    cluster.write_keyed("orders", &first_orders);
    cluster.write_keyed("customers", &first_customers);
    let seldom = || cluster.config().set("commit.interval.ms", "60000").unwrap();
    let filled = |topic: &str| (0..PARTITIONS).any(|partition| cluster.ends(topic, partition) > 0);
    let (asked, answered) = (
        "app-buyers-subscriptions-repartition",
        "app-buyers-answers-repartition",
    );

    // It asks, and is gone.
    read_and_stop(
        &cluster,
        seldom(),
        (first_orders.len() + first_customers.len()) as u64,
    );
    assert!(filled(asked) && !filled(answered) && !filled("out"));
    // The next answers, and is gone.
    let questions = (0..PARTITIONS)
        .map(|partition| cluster.ends(asked, partition))
        .max()
        .unwrap();
    assert!(questions > 0);
    read_and_stop(&cluster, seldom(), 1);
    // What it has read of them follows from when it was told to stop; the next ones go on wherever it is.
    let often = || cluster.config().set("commit.interval.ms", "50").unwrap();
    let job = buyers(&cluster).start(often()).unwrap();
    job.drain(PATIENCE).unwrap();
    assert_eq!(cluster.kept("out"), expected(&first_orders, &first_customers));

    cluster.write_keyed("customers", &more_customers);
    job.stop(PATIENCE).unwrap();
    cluster.write_keyed("orders", &more_orders);
    let (one, two) = (
        buyers(&cluster).start(often().threads(2)).unwrap(),
        buyers(&cluster).start(often()).unwrap(),
    );
    one.drain(PATIENCE).unwrap();
    one.stop(PATIENCE).unwrap();
    two.drain(PATIENCE).unwrap();
    assert_eq!(cluster.kept("out"), expected(&orders, &customers));
    two.stop(PATIENCE).unwrap();
}

#[test]
fn rows_are_looked_up_when_their_tables_were_read() {
    let cluster = Cluster::new("first");
    for topic in ["asks", "names"] {
        cluster.create_topic(topic, PARTITIONS);
    }
    cluster.create_topic("out", 1);
    let keyed = |count: usize, value: &str| -> Records {
        (0..count)
            .map(|number| (format!("k{number}"), Some(format!("{value} {number}"))))
            .collect()
    };
    let names = keyed(5_000, "Name");
    cluster.write_keyed("names", &names);
    // Marks of a transaction behind the last records, which no reader sees.
    cluster.begin_transaction("names").end(false);
    cluster.write_keyed("asks", &keyed(500, "Who is"));
    let app = Streams::new(cluster.name("app")).guarantee(ExactlyOnce);
    let table = app.table(cluster.name("names"), text("name").with_key("id"), key("id"));
    app.stream(cluster.name("asks"), text("ask").with_key("who"))
        .join(&table, on("who", "id"))
        .left()
        .select([col("name")])
        .to(cluster.name("out"), json());
    // Small fetches, so that both are read piece by piece.
    let config = cluster.config().set("commit.interval.ms", "20").unwrap();
    let config = config.set("max.partition.fetch.bytes", "4096").unwrap();
    let job = app.start(config).unwrap();
    job.drain(PATIENCE).unwrap();
    let mut found = cluster.texts("out");
    found.sort();
    let mut expected: Vec<String> = (0..500)
        .map(|number| format!(r#"{{"name":"Name {number}"}}"#))
        .collect();
    expected.sort();
    assert_eq!(found, expected);
    job.stop(PATIENCE).unwrap();
}

#[test]
fn a_global_table_is_there_at_the_start_and_follows_its_topic() {
    let cluster = Cluster::new("global");
    cluster.create_topic("rates", 3);
    cluster.create_topic("orders", 2);
    cluster.create_topic("out", 1);
    let rate = |currency: usize, rate: &str| (format!("c{currency}"), Some(rate.to_owned()));
    cluster.write_keyed(
        "rates",
        &(0..50).map(|currency| rate(currency, "1")).collect::<Records>(),
    );
    let order = |number: usize| format!("c{}", number % 50);
    let orders: Vec<String> = (0..100).map(order).collect();
    cluster.write("orders", 2, orders.iter().map(String::as_str));
    let app = Streams::new(cluster.name("app")).guarantee(ExactlyOnce);
    let rates = app.global_table(
        cluster.name("rates"),
        text("rate").with_key("currency"),
        key("currency"),
    );
    app.stream(cluster.name("orders"), text("money"))
        .join(&rates, on("money", "currency"))
        .select([col("money"), col("rate")])
        .to(cluster.name("out"), json());
    let job = app.start(cluster.config()).unwrap();
    job.drain(PATIENCE).unwrap();
    let texts = cluster.texts("out");
    assert_eq!(texts.len(), 100, "the table was there before the first order");
    assert!(texts.iter().all(|text| text.contains(r#""rate":"1""#)));

    cluster.write_keyed("rates", &[rate(7, "2"), ("c8".to_owned(), None)]);
    await_that("the new rate", || {
        cluster.write("orders", 2, ["c7"]);
        job.drain(PATIENCE).unwrap();
        cluster
            .texts("out")
            .contains(&r#"{"money":"c7","rate":"2"}"#.to_owned())
    });
    await_that("the deletion", || {
        let before = cluster.texts("out").len();
        cluster.write("orders", 2, ["c8"]);
        job.drain(PATIENCE).unwrap();
        cluster.texts("out").len() == before
    });
    job.stop(PATIENCE).unwrap();

    // A topic that is not there is said, not waited for.
    let missing = Streams::new(cluster.name("other"));
    let rates = missing.global_table(
        cluster.name("nowhere"),
        text("rate").with_key("currency"),
        key("currency"),
    );
    let orders = missing.stream(cluster.name("orders"), text("money"));
    orders
        .join(&rates, on("money", "currency"))
        .to(cluster.name("out"), json());
    let error = missing.start(cluster.config()).unwrap_err().to_string();
    assert!(error.contains(&cluster.name("nowhere")), "{error}");
}

/// Partitions that a global table's topic was given later were never read.
#[test]
fn a_global_table_has_the_rows_of_new_partitions() {
    let cluster = Cluster::new("grown");
    for topic in ["rates", "orders", "out"] {
        cluster.create_topic(topic, 1);
    }
    let app = Streams::new(cluster.name("app")).guarantee(ExactlyOnce);
    let rates = app.global_table(cluster.name("rates"), text("rate"), key("rate"));
    app.stream(cluster.name("orders"), text("money"))
        .join(&rates, on("money", "rate"))
        .select([col("money")])
        .to(cluster.name("out"), json());
    let job = app.start(cluster.config()).unwrap();
    cluster.grow_topic("rates", 3);
    cluster.write_to("rates", 2, &["new".to_owned()]);
    await_that("the new partition is read", || {
        cluster.write("orders", 1, ["new"]);
        job.drain(PATIENCE).unwrap();
        !cluster.texts("out").is_empty()
    });
    job.stop(PATIENCE).unwrap();
}

/// A function that panics ended the thread of a global table, and the job went on with the table as it was.
#[test]
fn a_panic_in_a_global_tables_thread_ends_the_job() {
    use millstream_streams::udf::{Volatility, create_udf};
    let cluster = Cluster::new("panic");
    for topic in ["rates", "orders", "out"] {
        cluster.create_topic(topic, 1);
    }
    let fragile = create_udf(
        "fragile",
        vec![DataType::Utf8View],
        DataType::Utf8View,
        Volatility::Volatile,
        std::sync::Arc::new(|values: &[_]| match format!("{values:?}").contains("bad") {
            true => panic!("what a rate"),
            false => Ok(values[0].clone()),
        }),
    );
    let start = || {
        let app = Streams::new(cluster.name("app")).guarantee(ExactlyOnce);
        let at = fragile.call(vec![col("rate")]).alias("at");
        let rates = app.global_table(cluster.name("rates"), text("rate"), [at]);
        app.stream(cluster.name("orders"), text("money"))
            .join(&rates, on("money", "at"))
            .select([col("money")])
            .to(cluster.name("out"), json());
        app.start(cluster.config())
    };
    let job = start().unwrap();
    cluster.write("rates", 1, ["bad"]);
    await_that("the job ends", || job.check().is_err());
    let error = job.stop(PATIENCE).unwrap_err().to_string();
    assert!(
        error.contains("what a rate") && error.contains("stream-global-"),
        "{error}"
    );
    // Nor does it start.
    let error = start().unwrap_err().to_string();
    assert!(error.contains("what a rate"), "{error}");
}

/// Rows of an aggregate are kept for those that look them up: who came later found none of them, and was not told.
#[test]
fn a_lookup_that_comes_when_its_table_has_rows_is_refused() {
    let start = |cluster: &Cluster, asks: bool| {
        let app = Streams::new(cluster.name("app")).guarantee(ExactlyOnce);
        let stock = app.table(cluster.name("stock"), text("place").with_key("item"), key("item"));
        let most = stock
            .group_by([col("place")])
            .aggregate("most", [max(col("item")).alias("item")]);
        most.to(cluster.name("out"), json());
        if asks {
            app.stream(cluster.name("asks"), text("ask"))
                .join(&most, on("ask", "place"))
                .named("asked")
                .to(cluster.name("answers"), json());
        }
        app.start(cluster.config())
    };
    for has_rows in [false, true] {
        let cluster = Cluster::new("later");
        for topic in ["stock", "asks", "out", "answers"] {
            cluster.create_topic(topic, 1);
        }
        if has_rows {
            cluster.write_keyed("stock", &[("tea".to_owned(), Some("here".to_owned()))]);
        }
        let job = start(&cluster, false).unwrap();
        job.drain(PATIENCE).unwrap();
        job.stop(PATIENCE).unwrap();
        if has_rows {
            let error = start(&cluster, true).unwrap_err().to_string();
            for part in [
                "most-rows-changelog is new",
                "most-changelog",
                "reset the application",
            ] {
                assert!(error.contains(part), "{error}");
            }
            // What it was, it still is.
            start(&cluster, false).unwrap().stop(PATIENCE).unwrap();
        } else {
            start(&cluster, true).unwrap().stop(PATIENCE).unwrap();
        }
    }
}

/// Steps that a job may be given later.
#[derive(Clone, Copy, PartialEq)]
enum Added {
    Nothing,
    Counts,
    /// Behind what holds changes back.
    CalmCounts,
}

fn stock(cluster: &Cluster, added: Added) -> Streams {
    let app = Streams::new(cluster.name("app")).guarantee(ExactlyOnce);
    let item = cast(col("item"), DataType::Utf8View).alias("item");
    let stock = app.stream(cluster.name("stock"), text("place").with_key("item"));
    let stock = stock.to_table("stock", [item]);
    stock.to(cluster.name("out"), json());
    let table = match added {
        Added::Nothing => return app,
        Added::Counts => stock,
        Added::CalmCounts => stock.suppress("calm", until(Duration::from_secs(60))),
    };
    let counts = table.group_by([col("place")]);
    counts
        .aggregate("places", [count_all().alias("n")])
        .to(cluster.name("counts"), json());
    app
}

fn stock_topics(cluster: &Cluster) {
    for topic in ["stock", "out", "counts"] {
        cluster.create_topic(topic, 1);
    }
}

fn counts_of(cluster: &Cluster, job: &StreamsHandle) -> Vec<String> {
    job.drain(PATIENCE).unwrap();
    cluster.kept("counts").into_values().collect()
}

fn in_stock(item: &str, place: &str) -> Records {
    vec![(item.to_owned(), Some(place.to_owned()))]
}

/// An aggregate that came behind a `suppress` was not refused: it took back rows that it had never been told of.
#[test]
fn an_aggregate_that_comes_when_its_table_has_rows_is_refused() {
    let cluster = Cluster::new("counted");
    stock_topics(&cluster);
    cluster.write_keyed("stock", &in_stock("tea", "here"));
    let job = stock(&cluster, Added::Nothing).start(cluster.config()).unwrap();
    job.drain(PATIENCE).unwrap();
    job.stop(PATIENCE).unwrap();
    for added in [Added::Counts, Added::CalmCounts] {
        let refused = stock(&cluster, added)
            .start(cluster.config())
            .unwrap_err()
            .to_string();
        for part in [
            "app-places-changelog is new",
            "app-stock-changelog",
            "millstream streams reset",
        ] {
            assert!(refused.contains(part), "{refused}");
        }
        for topic in [
            "app-places-changelog",
            "app-places-repartition",
            "app-calm-changelog",
        ] {
            assert!(!cluster.has_topic(topic), "{topic} was made");
        }
    }
    // What it was, it still is.
    stock(&cluster, Added::Nothing)
        .start(cluster.config())
        .unwrap()
        .stop(PATIENCE)
        .unwrap();

    // Reset, it begins with all of them, and goes on.
    await_that("the job is reset", || {
        cluster.reset("app", &["app-stock-changelog", "app-stock-repartition"])
    });
    await_that("its topics are gone", || {
        !cluster.has_topic("app-stock-changelog")
    });
    let state = tempfile::tempdir().unwrap();
    let config = || cluster.config().state_dir(state.path());
    let job = stock(&cluster, Added::Counts).start(config()).unwrap();
    assert_eq!(counts_of(&cluster, &job), [r#"{"n":1}"#]);
    job.stop(PATIENCE).unwrap();
    cluster.write_keyed("stock", &in_stock("salt", "here"));
    let job = stock(&cluster, Added::Counts).start(config()).unwrap();
    assert_eq!(counts_of(&cluster, &job), [r#"{"n":2}"#]);
    job.stop(PATIENCE).unwrap();
}

/// A first start that ended with its topics, or in its first transaction, kept the job from being given an aggregate.
#[test]
fn an_aggregate_may_come_when_its_table_has_no_rows() {
    for is_aborted in [false, true] {
        let cluster = Cluster::new("uncounted");
        stock_topics(&cluster);
        cluster.create_topic("app-stock-changelog", 1);
        if is_aborted {
            // A record that a busy machine did not deliver is none.
            await_that("something was aborted", || {
                let begun = cluster.transaction("app-stock-changelog", b"key", b"value");
                begun.end(false);
                cluster.ends("app-stock-changelog", 0) > 0
            });
        }
        cluster.write_keyed("stock", &in_stock("tea", "here"));
        let job = stock(&cluster, Added::Counts).start(cluster.config()).unwrap();
        assert_eq!(counts_of(&cluster, &job), [r#"{"n":1}"#]);
        job.stop(PATIENCE).unwrap();
    }
}
