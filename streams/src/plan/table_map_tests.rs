//! Tables filtered and with other columns, against plain maps.
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::prelude::{DataType, Field, Schema};
use crate::{
    Streams, TestDriver, TestRecord, cast, col, count_all, json as json_out, json_schema, lit, max, on, skip,
    text,
};

fn stock(app: &Streams) -> crate::Table {
    let fields = ["left", "price"].map(|name| Field::new(name, DataType::Int64, true));
    let format = json_schema(Schema::new(fields.to_vec())).with_key("item");
    app.table(
        "stock",
        format,
        [cast(col("item"), DataType::Utf8View).alias("item")],
    )
}

#[test]
fn the_key_stays() {
    let refused = |make: &dyn Fn(&crate::Table) -> crate::Table| {
        let app = Streams::new("app");
        make(&stock(&app)).to("out", json_out());
        app.build().unwrap_err().to_string()
    };
    let error = refused(&|stock| stock.select([col("left")]));
    assert!(
        error.starts_with("select of to_table stock (table): the column \"item\" is of the table's key"),
        "{error}"
    );
    let error = refused(&|stock| stock.with_column("item", lit("all")));
    assert!(error.contains("has to stay as it is"), "{error}");
    let error = refused(&|stock| stock.filter(col("left")));
    assert!(
        error.contains("left is of type Int64, not a truth value"),
        "{error}"
    );
    let error = refused(&|stock| stock.select([col("item"), col("left"), col("price").alias("left")]));
    assert!(error.contains("two columns are named \"left\""), "{error}");
}

#[test]
fn a_row_that_fails_is_not_in_the_table() {
    let app = Streams::new("app");
    let ratio = lit(100_i64) / col("left");
    stock(&app)
        .with_column("ratio", ratio)
        .on_error(skip())
        .to("out", json_out());
    let mut driver = TestDriver::new(&app).unwrap();
    let mut now = Table::new();
    for (left, expected) in [(4, true), (0, false), (5, true), (0, false), (0, false)] {
        let record = TestRecord::new(json!({"left": left}).to_string()).key("nails");
        driver.pipe("stock", record).unwrap();
        driver.commit().unwrap();
        read(&mut driver, "out", &mut now);
        assert_eq!(now.contains_key("nails"), expected, "{left}");
    }
}

#[test]
fn an_aggregate_of_members_keeps_its_rows_if_somebody_looks_up() {
    let app = Streams::new("app");
    let most = stock(&app)
        .group_by([col("left")])
        .aggregate("most", [max(col("price")).alias("most")]);
    assert!(
        app_topics(&app, |_| most.to("out", json_out()))
            .iter()
            .all(|topic| !topic.contains("rows"))
    );
    let asks = json_schema(Schema::new(vec![Field::new("left", DataType::Int64, true)]));
    let asks = app.stream("asks", asks);
    asks.join(&most.filter(col("most").gt(lit(5))), on("left", "left"))
        .named("asked")
        .left()
        .to("answers", json_out());
    let topics = app.build().unwrap();
    assert!(topics.internal_topics().contains(&"app-most-rows-changelog"));
    let mut driver = TestDriver::new(&app).unwrap();
    let ask = |driver: &mut TestDriver| {
        driver.commit().unwrap();
        driver.pipe("asks", TestRecord::new(r#"{"left":1}"#)).unwrap();
        (0..2).for_each(|_| driver.commit().unwrap());
        driver.read("answers")[0].as_text().1.to_owned()
    };
    for (item, price, answer) in [
        ("a", json!({"left": 1, "price": 7}), r#"{"left":1,"most":7}"#),
        ("b", json!({"left": 1, "price": 9}), r#"{"left":1,"most":9}"#),
        ("b", json!({"left": 2, "price": 9}), r#"{"left":1,"most":7}"#),
        ("a", json!({"left": 1, "price": 3}), r#"{"left":1,"most":null}"#),
    ] {
        driver
            .pipe("stock", TestRecord::new(price.to_string()).key(item))
            .unwrap();
        assert_eq!(ask(&mut driver), answer, "{item} {price}");
    }
    // What was kept comes back.
    driver
        .pipe("stock", TestRecord::new(r#"{"left":1,"price":8}"#).key("c"))
        .unwrap();
    driver.commit().unwrap();
    driver.restart().unwrap();
    assert_eq!(ask(&mut driver), r#"{"left":1,"most":8}"#);
}

/// The internal topics with something more.
fn app_topics<T>(app: &Streams, more: impl Fn(&Streams) -> T) -> Vec<String> {
    more(app);
    let topology = app.build().unwrap();
    topology
        .internal_topics()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

/// What happens to a job.
#[derive(Debug, Clone)]
enum Move {
    Stock(u8, Option<(i64, Option<i64>)>),
    Ask(u8),
    Epoch(usize, usize),
    Aborted(usize),
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let row = proptest::option::weighted(0.8, (0..6_i64, proptest::option::weighted(0.8, 0..20_i64)));
    let next = prop_oneof![
        6 => (0..10u8, row).prop_map(|(id, row)| Move::Stock(id, row)),
        3 => (0..10u8).prop_map(Move::Ask),
        4 => (0..20usize, 1..20usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        1 => (0..20usize).prop_map(Move::Aborted),
        1 => Just(Move::Restart),
    ];
    proptest::collection::vec(next, 1..100)
}

/// A filter, columns behind it, an aggregate over these, and one that is looked up.
fn job() -> Streams {
    let app = Streams::new("app");
    let scarce = stock(&app).filter(col("left").lt(lit(3)));
    scarce.to("scarce", json_out());
    let worth = scarce.with_column("worth", col("left") * col("price")).select([
        col("left"),
        col("worth"),
        col("item").alias("name"),
    ]);
    worth.to("worth", json_out());
    worth
        .filter(col("worth").is_not_null())
        .group_by([col("left")])
        .aggregate(
            "by-left",
            [count_all().alias("n"), max(col("worth")).alias("most")],
        )
        .to("by-left", json_out());
    let asks = app.stream("asks", text("ask").with_key("who"));
    asks.join(&worth, on("who", "name"))
        .left()
        .select([
            cast(col("who"), DataType::Utf8View).alias("who"),
            col("left"),
            col("worth"),
        ])
        .to("answers", json_out());
    app
}

type Table = BTreeMap<String, Value>;

/// What a reader of a compacted topic has in the end.
fn read(driver: &mut TestDriver, topic: &str, now: &mut Table) {
    for record in driver.read(topic) {
        let key = record.as_text().0.to_owned();
        match &record.value {
            Some(value) => drop(now.insert(key, serde_json::from_slice(value).unwrap())),
            None => assert!(
                now.remove(&key).is_some(),
                "{topic}: {key} was deleted, but not there"
            ),
        }
    }
}

fn id(number: u8) -> String {
    format!("item{number}")
}

type Stock = BTreeMap<u8, (i64, Option<i64>)>;

fn expected(stock: &Stock, topic: &str) -> Table {
    let scarce = stock.iter().filter(|(_, (left, _))| *left < 3);
    let worth = |(left, price): (i64, Option<i64>)| price.map(|price| left * price);
    match topic {
        "scarce" => scarce
            .map(|(item, (left, price))| (id(*item), json!({"left": left, "price": price})))
            .collect(),
        "worth" => scarce
            .map(|(item, row)| (id(*item), json!({"left": row.0, "worth": worth(*row)})))
            .collect(),
        _ => {
            let mut groups: BTreeMap<i64, (u64, i64)> = BTreeMap::new();
            for (left, worth) in scarce.filter_map(|(_, row)| Some((row.0, worth(*row)?))) {
                let group = groups.entry(left).or_insert((0, worth));
                *group = (group.0 + 1, group.1.max(worth));
            }
            let groups = groups.into_iter();
            groups
                .map(|(left, (n, most))| (format!("[{left}]"), json!({"n": n, "most": most})))
                .collect()
        }
    }
}

fn run(moves: &[Move], limit: Option<usize>) {
    let mut driver = TestDriver::with_partitions(&job(), 3).unwrap();
    if let Some(limit) = limit {
        driver = driver.limited(limit).unwrap();
    }
    let tasks = driver.task_ids();
    let topics = ["scarce", "worth", "by-left"];
    let (mut now, mut rows) = ([(); 3].map(|()| Table::new()), Stock::new());
    let check = |driver: &mut TestDriver, now: &mut [Table; 3], rows: &Stock| {
        (0..4).for_each(|_| driver.commit().unwrap());
        for (topic, now) in topics.iter().zip(now) {
            read(driver, topic, now);
            assert_eq!(*now, expected(rows, topic), "{topic}");
        }
    };
    for next in moves {
        match next {
            Move::Stock(item, row) => {
                match row {
                    Some(row) => drop(rows.insert(*item, *row)),
                    None => drop(rows.remove(item)),
                }
                let record = match row {
                    Some((left, price)) => TestRecord::new(json!({"left": left, "price": price}).to_string()),
                    None => TestRecord::null(),
                };
                driver.pipe("stock", record.key(id(*item))).unwrap();
            }
            Move::Ask(item) => {
                check(&mut driver, &mut now, &rows);
                driver.pipe("asks", TestRecord::new("?").key(id(*item))).unwrap();
                driver.commit().unwrap();
                let answer: Value =
                    serde_json::from_slice(driver.read("answers")[0].value.as_deref().unwrap()).unwrap();
                let row = expected(&rows, "worth").remove(&id(*item));
                let row = row.unwrap_or(json!({"left": null, "worth": null}));
                assert_eq!((&answer["left"], &answer["worth"]), (&row["left"], &row["worth"]));
            }
            Move::Epoch(task, records) => driver.epoch(tasks[task % tasks.len()], *records).unwrap(),
            Move::Aborted(task) => driver.aborted_epoch(tasks[task % tasks.len()], 9).unwrap(),
            Move::Restart => driver.restart().unwrap(),
        }
    }
    check(&mut driver, &mut now, &rows);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever moves rows across a predicate: who reads what comes out has the rows for which it holds.
    #[test]
    fn tables_that_go_on_are_those_of_the_oracle(moves in moves()) {
        run(&moves, None);
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The same where most of the state is on the disk.
    #[test]
    fn tables_that_go_on_need_not_fit_in_memory(moves in moves(), limit in crate::testing::limit()) {
        run(&moves, Some(limit));
    }
}
