//! Streams that are aggregated together, counts of different values, and states that are too large for a record.
use std::time::Duration;

use crate::prelude::*;
use crate::{PlanError, StreamsError, TestDriver, TestRecord};

fn rows(app: &Streams, topic: &str) -> Stream {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]);
    app.stream(topic, json_schema(schema))
}

fn pipe(driver: &mut TestDriver, topic: &str, key: &str, n: i64, at: i64) {
    let text = format!(r#"{{"key":"{key}","n":{n}}}"#);
    driver.pipe(topic, TestRecord::new(text).at(at)).unwrap();
}

fn read(driver: &mut TestDriver, topic: &str) -> Vec<(String, String)> {
    let records = driver.read(topic);
    let texts = records.iter().map(|record| {
        let (key, value) = record.as_text();
        (key.to_owned(), value.to_owned())
    });
    texts.collect()
}

fn error(app: &Streams) -> PlanError {
    match app.build().unwrap_err() {
        StreamsError::Plan(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn each_stream_has_its_own_aggregates_and_columns() {
    let app = Streams::new("c");
    let one = rows(&app, "one").group_by([col("key")]);
    // The same names mean other columns there.
    let two = rows(&app, "two").select([col("n").alias("key"), col("key").alias("id")]);
    let three = rows(&app, "one").group_by([upper(col("key")).alias("other")]);
    one.with([
        count_all().alias("rows"),
        sum(col("n")).filter(col("n").gt(lit(1))).alias("sum"),
    ])
    .cogroup(
        two.group_by([col("id")])
            .with([max(col("key")), count_all().alias("more")]),
    )
    .cogroup(three.with([first(col("key")).alias("named")]))
    .aggregate("all")
    .to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    for (topic, key, n) in [
        ("one", "A", 1),
        ("one", "A", 2),
        ("two", "A", 7),
        ("two", "B", 8),
        ("one", "b", 3),
    ] {
        pipe(&mut driver, topic, key, n, 0);
    }
    driver.commit().unwrap();
    let mut found = read(&mut driver, "out");
    found.sort();
    let row = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        found,
        [
            row("A", r#"{"rows":2,"sum":2,"max(key)":7,"more":1,"named":"A"}"#),
            row("B", r#"{"rows":0,"sum":null,"max(key)":8,"more":1,"named":"b"}"#),
            row("b", r#"{"rows":1,"sum":3,"max(key)":null,"more":0,"named":null}"#),
        ]
    );
}

#[test]
fn late_rows_say_of_which_stream_they_are() {
    let app = Streams::new("c");
    let one = rows(&app, "one")
        .group_by([col("key")])
        .with([count_all().alias("ones")]);
    let two = rows(&app, "two")
        .group_by([col("key")])
        .with([sum(col("n")).alias("twos")]);
    let both = one
        .cogroup(two)
        .window(tumbling(Duration::from_millis(10)))
        .emit(OnWindowClose);
    let both = both.aggregate("both");
    both.to("out", json());
    both.late().to("late", json());
    let mut driver = TestDriver::new(&app).unwrap();
    for (topic, n, at) in [
        ("one", 1, 5),
        ("two", 2, 6),
        ("one", 3, 100),
        ("two", 4, 100),
        ("two", 5, 7),
    ] {
        pipe(&mut driver, topic, "k", n, at);
        driver.commit().unwrap();
    }
    let found = read(&mut driver, "out");
    assert_eq!(found.len(), 1);
    assert!(found[0].1.ends_with(r#""ones":1,"twos":2}"#), "{found:?}");
    assert_eq!(
        read(&mut driver, "late")[0].1,
        r#"{"key":"k","$input":1,"$1.n":5}"#
    );
}

#[test]
fn streams_that_do_not_fit_are_refused() {
    let app = Streams::new("c");
    let one = rows(&app, "one")
        .group_by([col("key"), col("n")])
        .with([count_all()]);
    let two = rows(&app, "two").group_by([col("key")]).with([count_all()]);
    one.cogroup(two).aggregate("both").to("out", json());
    let refused = error(&app);
    assert!(matches!(refused, PlanError::CogroupKeys { .. }), "{refused}");

    let app = Streams::new("c");
    let one = rows(&app, "one").group_by([col("n")]).with([count_all()]);
    let two = rows(&app, "two")
        .group_by([col("key")])
        .with([count_all().alias("n")]);
    one.clone().cogroup(two).aggregate("both").to("out", json());
    let refused = error(&app);
    assert!(matches!(refused, PlanError::JoinKeys { .. }), "{refused}");

    let app = Streams::new("c");
    let rows = || rows(&app, "one").group_by([col("n")]);
    rows()
        .with([count_all().alias("x")])
        .cogroup(rows().with([count_all().alias("x")]))
        .aggregate("both")
        .to("out", json());
    let refused = error(&app);
    assert!(matches!(refused, PlanError::DuplicateColumn { .. }), "{refused}");

    let app = Streams::new("c");
    let both = self::rows(&app, "one").group_by([col("n")]).with([col("key")]);
    both.aggregate("both").to("out", json());
    let refused = error(&app);
    assert!(matches!(refused, PlanError::NotAnAggregate { .. }), "{refused}");
}

#[test]
fn different_values_are_counted_where_they_come_and_where_a_row_is_of_those_asked_for() {
    let app = Streams::new("c");
    rows(&app, "in")
        .count_distinct_of("values", [col("key")], col("n") % lit(10))
        .alias("values")
        .and_where("large", col("n").gt(lit(100)))
        .to("out", json());
    let mut driver = TestDriver::with_partitions(&app, 2).unwrap();
    let mut last = |rows: &[i64]| {
        rows.iter().for_each(|n| pipe(&mut driver, "in", "k", *n, 0));
        driver.commit().unwrap();
        driver.restart().unwrap();
        read(&mut driver, "out").pop().map(|(_, value)| value)
    };
    assert_eq!(last(&[1, 11, 2]).as_deref(), Some(r#"{"values":2,"large":0}"#));
    assert_eq!(last(&[102, 3]).as_deref(), Some(r#"{"values":3,"large":1}"#));
    assert_eq!(last(&[102, 202]).as_deref(), Some(r#"{"values":3,"large":1}"#));
}

#[test]
fn a_list_that_outgrows_its_record_is_named_with_what_helps() {
    // Bit by bit, so that none is too large before it is stored.
    for (windowed, size) in [(false, "1000000"), (true, "524288")] {
        let app = Streams::new("c");
        let lists = app.stream("in", text("text").with_key("key"));
        let lists = lists.select([cast(col("key"), DataType::Utf8).alias("key"), col("text")]);
        let lists = lists.group_by([col("key"), lit(7).alias("seven")]);
        let list = collect(col("text")).alias("list");
        match windowed {
            true => drop(
                lists
                    .window(tumbling(Duration::from_secs(1)))
                    .emit(OnWindowClose)
                    .top("lists", 1_000, [col("text").sort(true, false)])
                    .to("out", json()),
            ),
            false => drop(lists.aggregate("lists", [list]).to("out", json())),
        }
        let mut driver = TestDriver::new(&app).unwrap();
        let said = (0..5).find_map(|_| {
            let text = "x".repeat(300_000);
            driver
                .pipe("in", TestRecord::new(text.clone()).key("large").at(5))
                .unwrap();
            driver
                .pipe("in", TestRecord::new("small").key("other").at(5))
                .unwrap();
            if windowed {
                driver
                    .pipe("in", TestRecord::new(text).key("large").at(5))
                    .unwrap();
            }
            driver.commit().err()
        });
        let said = said.unwrap().to_string();
        assert!(said.contains("what there is of the key large, 7"), "{said}");
        assert!(said.contains(&format!("a record holds at most {size}")), "{said}");
        assert!(
            said.contains(".limit(n)") && said.contains("count_distinct_of"),
            "{said}"
        );
    }
}

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Spread {
    low: f64,
    high: f64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Bid {
    kind: String,
    price: f64,
}

fn bids(app: &Streams, topic: &str) -> Stream {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("kind", DataType::Utf8, true),
        Field::new("price", DataType::Float64, true),
        Field::new("text", DataType::Utf8, true),
    ]);
    app.stream(topic, json_schema(schema))
}

fn spread() -> Expr {
    fold(
        "spread",
        Spread::default,
        |spread: &mut Spread, bid: &Bid| {
            let first = spread.high == 0.0;
            spread.low = if first {
                bid.price
            } else {
                spread.low.min(bid.price)
            };
            spread.high = spread.high.max(bid.price);
        },
        |spread: &mut Spread, other: Spread| {
            spread.low = spread.low.min(other.low);
            spread.high = spread.high.max(other.high);
        },
    )
}

/// The fold was given rows of other streams, whose columns are all null, and failed on the first of them.
#[test]
fn a_fold_in_a_cogroup_is_of_its_own_rows() {
    let app = Streams::new("c");
    let bids = bids(&app, "bids");
    let sales = rows(&app, "sales");
    bids.group_by([col("key")])
        .with([spread().alias("spread")])
        .cogroup(sales.group_by([col("key")]).with([
            count_all().alias("sold"),
            sum(col("n") + lit(1_i64)).alias("parts"),
        ]))
        .aggregate("all")
        .to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, "sales", "a", 3, 0);
    for price in [5.0, 2.5] {
        let bid = format!(r#"{{"key":"a","kind":"bid","price":{price}}}"#);
        driver.pipe("bids", TestRecord::new(bid)).unwrap();
    }
    pipe(&mut driver, "sales", "a", 2, 0);
    driver.commit().unwrap();
    let found = read(&mut driver, "out");
    let expected = r#"{"spread":{"low":2.5,"high":5.0},"sold":2,"parts":7}"#;
    assert_eq!(found, [("a".to_owned(), expected.to_owned())]);
}

#[test]
fn arguments_are_asked_for_of_filtered_rows_alone() {
    let app = Streams::new("c");
    bids(&app, "in")
        .group_by([col("key")])
        .aggregate(
            "all",
            [
                spread().filter(col("kind").eq(lit("bid"))).alias("spread"),
                sum(cast(col("text"), DataType::Int64))
                    .filter(col("kind").eq(lit("number")))
                    .alias("sum"),
                count(col("text"))
                    .filter(col("kind").eq(lit("bid")))
                    .alias("texts"),
            ],
        )
        .to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    for row in [
        r#"{"key":"a","kind":"bid","price":5,"text":"five"}"#,
        r#"{"key":"a","kind":"number","text":"7"}"#,
        r#"{"key":"a","text":"nothing"}"#,
        r#"{"key":"a","kind":"bid","price":4}"#,
    ] {
        driver.pipe("in", TestRecord::new(row)).unwrap();
    }
    driver.commit().unwrap();
    let expected = r#"{"spread":{"low":4.0,"high":5.0},"sum":7,"texts":1}"#;
    assert_eq!(read(&mut driver, "out"), [("a".to_owned(), expected.to_owned())]);
}

#[test]
fn a_value_that_cannot_be_counted_is_named() {
    let app = Streams::new("c");
    let tags = DataType::new_list(DataType::Utf8, true);
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("tags", tags, true),
    ]);
    let rows = app.stream("in", json_schema(schema));
    rows.count_distinct_of("users", [col("key")], col("tags"))
        .to("out", json());
    let text = error(&app).to_string();
    assert!(
        text.starts_with("count_distinct_of users: cannot group by \"tags\" of type List"),
        "{text}"
    );
}
