//! First rows: what changes at each rank, in tables and in windows, and what is refused.
use std::time::Duration;

use serde_json::Value;

use crate::prelude::*;
use crate::{PlanError, StreamsError, TestDriver, TestRecord};

fn bids(app: &Streams) -> Stream {
    let schema = Schema::new(vec![
        Field::new("auction", DataType::Utf8, true),
        Field::new("price", DataType::Int64, true),
        Field::new("by", DataType::Utf8, true),
    ]);
    app.stream("bids", json_schema(schema))
}

fn highest() -> [SortExpr; 1] {
    [col("price").sort(false, false)]
}

fn bid(driver: &mut TestDriver, auction: &str, price: i64, by: &str, at: i64) {
    let text = format!(r#"{{"auction":"{auction}","price":{price},"by":"{by}"}}"#);
    driver.pipe("bids", TestRecord::new(text).at(at)).unwrap();
}

/// The records of a topic, each as `rank:by`, or `rank` of one that is deleted.
fn read(driver: &mut TestDriver, topic: &str) -> Vec<String> {
    let records = driver.read(topic);
    let shown = records.iter().map(|record| {
        let key: Value = serde_json::from_str(record.as_text().0).unwrap();
        let rank = key.as_array().unwrap().last().unwrap().clone();
        match &record.value {
            None => rank.to_string(),
            Some(value) => {
                let row: Value = serde_json::from_slice(value).unwrap();
                format!("{rank}:{}", row["by"].as_str().unwrap())
            }
        }
    });
    shown.collect()
}

fn app_of(top: impl Fn(crate::GroupedStream)) -> Streams {
    let app = Streams::new("t");
    top(bids(&app).group_by([col("auction")]));
    app
}

#[test]
fn only_ranks_that_change_are_written() {
    let app = app_of(|bids| {
        bids.top("best", 3, highest()).to("best-bids", json());
    });
    let mut driver = TestDriver::new(&app).unwrap();
    let mut epoch = |bids: &[(i64, &str)]| {
        for (price, by) in bids {
            bid(&mut driver, "vase", *price, by, 0);
        }
        driver.commit().unwrap();
        driver.restart().unwrap();
        read(&mut driver, "best-bids")
    };
    assert_eq!(epoch(&[(10, "ann"), (30, "bob")]), ["1:bob", "2:ann"]);
    assert_eq!(epoch(&[(5, "cid")]), ["3:cid"]);
    assert_eq!(
        epoch(&[(5, "dan"), (1, "eve")]),
        [""; 0],
        "the first of equals stays"
    );
    assert_eq!(epoch(&[(20, "fay")]), ["2:fay", "3:ann"]);
}

#[test]
fn ties_come_and_go() {
    let app = app_of(|bids| {
        let best = bids.top("best", 1, highest()).with_ties();
        best.to("best-bids", json());
        // Whoever takes the changes of a table learns of those that go.
        let by = best.group_by([col("auction")]);
        by.aggregate("how-many", [count_all().alias("by")])
            .to("how-many", json());
    });
    let mut driver = TestDriver::new(&app).unwrap();
    for (price, by) in [(10, "ann"), (10, "bob"), (9, "cid")] {
        bid(&mut driver, "vase", price, by, 0);
    }
    driver.commit().unwrap();
    assert_eq!(read(&mut driver, "best-bids"), ["1:ann", "2:bob"]);
    bid(&mut driver, "vase", 11, "dan", 0);
    driver.commit().unwrap();
    let mut found = read(&mut driver, "best-bids");
    found.sort();
    assert_eq!(found, ["1:dan", "2"]);
    let counts = driver.read("how-many");
    let counts: Vec<&str> = counts.iter().map(|record| record.as_text().1).collect();
    assert_eq!(counts, [r#"{"by":2}"#, r#"{"by":1}"#]);
}

#[test]
fn windows_that_close_give_their_first_rows_once() {
    let app = app_of(|bids| {
        let best = bids
            .window(tumbling(Duration::from_millis(100)))
            .emit(OnWindowClose)
            .top("best", 2, highest());
        best.to("best-bids", json());
        best.late().to("late", json());
    });
    let mut driver = TestDriver::new(&app).unwrap();
    for (price, by, at) in [(1, "ann", 10), (3, "bob", 20), (2, "cid", 99), (9, "dan", 100)] {
        bid(&mut driver, "vase", price, by, at);
        driver.commit().unwrap();
    }
    driver.restart().unwrap();
    bid(&mut driver, "vase", 50, "eve", 30);
    bid(&mut driver, "vase", 50, "fay", 1_000);
    driver.commit().unwrap();
    assert_eq!(read(&mut driver, "best-bids"), ["1:bob", "2:cid", "1:dan"]);
    let late = driver.read("late");
    assert_eq!(late.len(), 1);
    assert!(late[0].as_text().1.contains("eve"));
}

#[test]
fn windows_that_are_written_at_each_change_give_all_ranks() {
    let app = app_of(|bids| {
        let windows = bids.window(tumbling(Duration::from_millis(100)));
        windows.top("best", 2, highest()).to("best-bids", json());
    });
    let mut driver = TestDriver::new(&app).unwrap();
    for (price, by) in [(1, "ann"), (3, "bob")] {
        bid(&mut driver, "vase", price, by, 10);
        driver.commit().unwrap();
    }
    assert_eq!(read(&mut driver, "best-bids"), ["1:ann", "1:bob", "2:ann"]);
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |top: fn(crate::GroupedStream)| match app_of(top).build().unwrap_err() {
        StreamsError::Plan(error) => error,
        other => panic!("{other}"),
    };
    let error = refused(|bids| {
        let windows = bids.window(tumbling(Duration::from_secs(1)));
        windows
            .top("best", 1, highest())
            .with_ties()
            .to("best-bids", json());
    });
    assert!(matches!(error, PlanError::TiesOnUpdate { .. }), "{error}");
    let error = refused(|bids| {
        bids.top("best", 0, highest()).to("best-bids", json());
    });
    assert!(
        matches!(error, PlanError::Nothing { what: "ranks", .. }),
        "{error}"
    );
    let error = refused(|bids| {
        bids.top("best", 1, []).to("best-bids", json());
    });
    assert!(
        matches!(error, PlanError::Nothing { what: "order", .. }),
        "{error}"
    );
    let error = refused(|bids| {
        let nowhere = col("prize").sort(false, false);
        bids.top("best", 1, [nowhere]).to("best-bids", json());
    });
    assert!(matches!(error, PlanError::UnknownColumn { .. }), "{error}");
    let error = refused(|bids| {
        let list = split_words(col("by")).sort(false, false);
        bids.top("best", 1, [list]).to("best-bids", json());
    });
    assert!(matches!(error, PlanError::NoOrder { .. }), "{error}");
    let app = Streams::new("t");
    bids(&app)
        .with_column("rank", col("price"))
        .group_by([col("auction")])
        .top("best", 1, highest())
        .to("best-bids", json());
    let error = app.build().unwrap_err().to_string();
    assert!(error.contains("two columns are named \"rank\""), "{error}");
}

/// The rows were read as what they were not, and ranked by it.
#[test]
fn a_log_of_other_types_is_refused() {
    let app = |scale: i8| {
        let schema = Schema::new(vec![
            Field::new("auction", DataType::Utf8, true),
            Field::new("price", DataType::Decimal128(12, scale), true),
        ]);
        let app = Streams::new("t");
        let bids = app.stream("bids", json_schema(schema));
        bids.group_by([col("auction")])
            .top("best", 3, [col("price").sort(false, false)])
            .to("best-bids", json());
        bids.group_by([col("auction")])
            .aggregate("most", [max(col("price")).alias("most")])
            .to("most-bids", json());
        app
    };
    let mut driver = TestDriver::new(&app(2)).unwrap();
    let bid = r#"{"auction":"vase","price":12.34}"#;
    driver.pipe("bids", TestRecord::new(bid)).unwrap();
    driver.commit().unwrap();
    driver.replace(&app(2)).unwrap();
    let error = driver.replace(&app(4)).unwrap_err().to_string();
    assert!(
        error.contains("Decimal128(12, 2)") && error.contains("Decimal128(12, 4)"),
        "{error}"
    );
    assert!(error.contains("reset the application"), "{error}");
}
