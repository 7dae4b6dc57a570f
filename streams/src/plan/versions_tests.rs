//! Tables with versions: what a stream finds in them, what they show, and what is refused.
use std::time::Duration;

use crate::prelude::*;
use crate::{PlanError, StreamsError, TestDriver, TestRecord};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Sales with what their item cost.
fn job(history: u64, grace: u64, left: bool) -> Streams {
    let app = Streams::new("shop");
    let prices = app.table("prices", text("price").with_key("item"), key("item"));
    let prices = prices.on_error(skip()).versioned(ms(history));
    prices.to("newest", json());
    let sold = app
        .stream("sold", text("buyer").with_key("what"))
        .watermark(record_time(ms(20)));
    let priced = sold.join(&prices, on("what", "item")).as_of("priced");
    let priced = priced.grace(ms(grace));
    let priced = match left {
        true => priced.left(),
        false => priced,
    };
    priced.select([col("buyer"), col("price")]).to("out", json());
    priced.late().to("late", json());
    app
}

fn price(driver: &mut TestDriver, item: &str, price: Option<&str>, at: i64) {
    let record = price.map_or(TestRecord::null(), TestRecord::new);
    driver.pipe("prices", record.key(item).at(at)).unwrap();
}

fn sale(driver: &mut TestDriver, item: Option<&str>, buyer: &str, at: i64) {
    let record = TestRecord::new(buyer).at(at);
    let record = match item {
        Some(item) => record.key(item),
        None => record,
    };
    driver.pipe("sold", record).unwrap();
}

/// Event time goes on to `at`.
fn go_on(driver: &mut TestDriver, at: i64) {
    price(driver, "nothing", Some("0"), at);
    sale(driver, Some("nobody"), "nobody", at + 20);
    driver.commit().unwrap();
}

/// What came since the last call, by time: buyers and prices, without those that only let event time go on.
fn sales(driver: &mut TestDriver) -> Vec<(String, i64)> {
    let mut rows: Vec<(String, i64)> = driver
        .read("out")
        .iter()
        .map(|record| {
            let row: serde_json::Value = serde_json::from_str(record.as_text().1).unwrap();
            let text = |column: &str| row[column].as_str().unwrap_or("-").to_owned();
            (
                format!("{} {}", text("buyer"), text("price")),
                record.timestamp.unwrap(),
            )
        })
        .filter(|(row, _)| !row.starts_with("nobody"))
        .collect();
    rows.sort_by_key(|(row, at)| (*at, row.clone()));
    rows
}

fn expected(rows: &[(&str, i64)]) -> Vec<(String, i64)> {
    rows.iter().map(|(row, at)| ((*row).to_owned(), *at)).collect()
}

#[test]
fn a_row_has_what_was_there_at_its_time() {
    let mut driver = TestDriver::new(&job(1000, 0, true)).unwrap();
    for (has, at) in [
        (Some("1.00"), 100),
        (Some("3.00"), 300),
        (None, 400),
        (Some("5.00"), 500),
    ] {
        price(&mut driver, "tea", has, at);
        driver.commit().unwrap();
    }
    // Between two others, when both are there.
    price(&mut driver, "tea", Some("2.00"), 200);
    for at in [99, 100, 199, 200, 299, 399, 400, 499, 500] {
        sale(&mut driver, Some("tea"), &format!("b{at}"), at);
        sale(&mut driver, Some("coffee"), &format!("c{at}"), at);
        go_on(&mut driver, at);
        driver.restart().unwrap();
    }
    assert_eq!(sales(&mut driver).len(), 16, "the last two wait");
    go_on(&mut driver, 501);
    let rows = sales(&mut driver);
    assert_eq!(rows, expected(&[("b500 5.00", 500), ("c500 -", 500)]));
}

#[test]
fn what_was_there_is_found_whatever_comes_first() {
    let times = [
        ("b99 -", 99),
        ("b100 1.00", 100),
        ("b299 1.00", 299),
        ("b300 3.00", 300),
        ("b400 -", 400),
    ];
    for rows_first in [false, true] {
        let mut driver = TestDriver::new(&job(1000, 0, true)).unwrap();
        let prices = |driver: &mut TestDriver| {
            for (has, at) in [(Some("1.00"), 100), (Some("3.00"), 300), (None, 400)] {
                price(driver, "tea", has, at);
            }
        };
        if !rows_first {
            prices(&mut driver);
        }
        for (_, at) in times {
            sale(&mut driver, Some("tea"), &format!("b{at}"), at);
            driver.commit().unwrap();
        }
        if rows_first {
            prices(&mut driver);
        }
        go_on(&mut driver, 500);
        assert_eq!(sales(&mut driver), expected(&times), "rows first: {rows_first}");
    }
}

#[test]
fn rows_that_find_nothing_are_dropped_unless_they_are_kept() {
    for left in [false, true] {
        let mut driver = TestDriver::new(&job(1000, 0, left)).unwrap();
        price(&mut driver, "tea", Some("1.00"), 100);
        sale(&mut driver, Some("tea"), "Ann", 99);
        sale(&mut driver, None, "Bob", 100);
        driver.commit().unwrap();
        // Without a key there is nothing to wait for.
        let alone: &[_] = if left { &[("Bob -", 100)] } else { &[] };
        assert_eq!(sales(&mut driver), expected(alone));
        go_on(&mut driver, 500);
        let alone: &[_] = if left { &[("Ann -", 99)] } else { &[] };
        assert_eq!(sales(&mut driver), expected(alone));
    }
}

#[test]
fn late_rows_come_out_as_they_were() {
    let mut driver = TestDriver::new(&job(1000, 10, true)).unwrap();
    price(&mut driver, "tea", Some("1.00"), 100);
    sale(&mut driver, Some("tea"), "first", 200);
    // The watermark of the partition is at 180.
    sale(&mut driver, Some("tea"), "in time", 170);
    sale(&mut driver, Some("tea"), "too late", 169);
    go_on(&mut driver, 500);
    let found = [("in time 1.00", 170), ("first 1.00", 200)];
    assert_eq!(sales(&mut driver), expected(&found));
    let late = driver.read("late");
    assert_eq!(late.len(), 1, "{late:?}");
    assert!(late[0].as_text().1.contains("too late"), "{late:?}");
}

#[test]
fn an_aborted_epoch_is_as_if_it_had_not_been() {
    let mut driver = TestDriver::new(&job(1000, 0, true)).unwrap();
    price(&mut driver, "tea", Some("1.00"), 100);
    sale(&mut driver, Some("tea"), "Ann", 150);
    driver.commit().unwrap();
    price(&mut driver, "tea", Some("2.00"), 200);
    price(&mut driver, "nothing", Some("0"), 300);
    sale(&mut driver, Some("nobody"), "nobody", 300);
    for _ in 0..2 {
        for task in driver.task_ids() {
            driver.aborted_epoch(task, usize::MAX).unwrap();
        }
    }
    driver.commit().unwrap();
    assert_eq!(sales(&mut driver), expected(&[("Ann 1.00", 150)]));
    driver.restart().unwrap();
    go_on(&mut driver, 400);
    assert_eq!(sales(&mut driver), expected(&[]));
}

/// Rows that come behind later ones, and are older, do not change what the table is.
#[test]
fn the_table_is_what_is_last_in_event_time() {
    let mut driver = TestDriver::new(&job(1000, 0, true)).unwrap();
    let newest = |driver: &mut TestDriver| {
        let records = driver.read("newest");
        let shown = |record: &TestRecord| {
            let value = record.value.as_deref();
            let value = value.map(|value| String::from_utf8(value.to_vec()).unwrap());
            (value, record.timestamp.unwrap())
        };
        records.iter().map(shown).collect::<Vec<_>>()
    };
    let has = |price: &str, at| (Some(format!(r#"{{"price":"{price}"}}"#)), at);
    price(&mut driver, "tea", Some("2.00"), 200);
    price(&mut driver, "tea", Some("1.00"), 100);
    driver.commit().unwrap();
    assert_eq!(newest(&mut driver), [has("2.00", 200)]);
    price(&mut driver, "tea", None, 150);
    price(&mut driver, "tea", Some("1.90"), 199);
    driver.commit().unwrap();
    assert_eq!(newest(&mut driver), []);
    // Of two of one time, the last in the log.
    price(&mut driver, "tea", Some("2.10"), 200);
    driver.commit().unwrap();
    assert_eq!(newest(&mut driver), [has("2.10", 200)]);
    price(&mut driver, "tea", None, 300);
    driver.commit().unwrap();
    assert_eq!(newest(&mut driver), [(None, 300)]);
    price(&mut driver, "tea", Some("2.50"), 250);
    driver.commit().unwrap();
    assert_eq!(newest(&mut driver), []);
    price(&mut driver, "tea", Some("4.00"), 400);
    driver.commit().unwrap();
    assert_eq!(newest(&mut driver), [has("4.00", 400)]);
}

/// A stream that does not ask for a time gets the table as it is.
#[test]
fn others_look_up_what_is_last() {
    let app = Streams::new("shop");
    let prices = app.table("prices", text("price").with_key("item"), key("item"));
    let prices = prices.versioned(ms(1000));
    let sold = app.stream("sold", text("buyer").with_key("what"));
    let priced = sold.join(&*prices, on("what", "item"));
    priced.select([col("buyer"), col("price")]).to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    price(&mut driver, "tea", Some("2.00"), 200);
    price(&mut driver, "tea", Some("1.00"), 100);
    sale(&mut driver, Some("tea"), "Ann", 100);
    driver.commit().unwrap();
    assert_eq!(sales(&mut driver), expected(&[("Ann 2.00", 100)]));
}

/// What ended before the history began is deleted with the next change of its key.
#[test]
fn versions_are_forgotten_behind_the_history() {
    let changelog = "shop-prices-changelog";
    let mut driver = TestDriver::new(&job(100, 0, true)).unwrap();
    let mut live = std::collections::BTreeMap::new();
    let mut count = |driver: &mut TestDriver| {
        for record in driver.read(changelog) {
            match record.value {
                Some(_) => drop(live.insert(record.key, ())),
                None => assert!(live.remove(&record.key).is_some(), "it was never there"),
            }
        }
        live.len()
    };
    go_on(&mut driver, 0);
    let others = count(&mut driver);
    for at in (0..1000).step_by(50) {
        price(&mut driver, "tea", Some("1.00"), at);
        sale(&mut driver, Some("tea"), "Ann", at + 20);
        driver.commit().unwrap();
    }
    // A hundred milliseconds are three versions, one of which began before them; and an epoch's more.
    let versions = count(&mut driver) - others;
    assert!((3..=5).contains(&versions), "{versions} versions");
}

fn refusal(app: &Streams) -> String {
    match app.build() {
        Err(StreamsError::Plan(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_keep_versions_is_refused() {
    let short = refusal(&job(99, 100, true));
    assert!(
        short.contains("up to 100ms before") && short.contains("let versioned(…) keep more"),
        "{short}"
    );
    // Rows that a join has held back ask for as much more.
    let joined = |history: u64| {
        let app = Streams::new("shop");
        let prices = app.table("prices", text("price").with_key("item"), key("item"));
        let side = |topic: &str, column: &str| app.stream(topic, text(column).with_key("k"));
        let both = side("ones", "one")
            .join(&side("others", "other"), on("k", "k"))
            .within("both", join_window(ms(50)))
            .left();
        let priced = both
            .join(&prices.versioned(ms(history)), on("k", "item"))
            .as_of("priced");
        priced.grace(ms(10)).to("out", json());
        app
    };
    assert!(refusal(&joined(59)).contains("up to 60ms before"));
    assert!(joined(60).build().is_ok());
    let app = Streams::new("shop");
    let prices = app.table("prices", text("price").with_key("item"), key("item"));
    let by_price = prices
        .group_by([col("price")])
        .aggregate("n", [count_all().alias("n")]);
    by_price.versioned(ms(1000)).to("out", json());
    let refused = app.build();
    assert!(
        matches!(refused, Err(StreamsError::Plan(PlanError::NoVersions { .. }))),
        "{refused:?}"
    );
    let app = Streams::new("shop");
    let prices = app.table("prices", text("price").with_key("item"), key("item"));
    prices.versioned(Duration::from_nanos(1)).to("out", json());
    assert!(refusal(&app).contains("whole milliseconds"));
}

#[test]
fn tables_with_versions_say_what_they_are() {
    let described = job(1000, 10, true).build().unwrap().describe();
    for line in [
        "to_table prices (table, versions of 1s)\n",
        "changelog shop-prices-changelog\n",
        "left join priced on what = item as of its time grace 10ms\n",
        "changelog shop-priced-changelog\n",
        "sink late as json\n",
    ] {
        assert!(described.contains(line), "{line} is not in\n{described}");
    }
}

/// Each key that somebody asked for stayed in memory for ever.
#[test]
fn keys_that_are_only_asked_for_are_forgotten() {
    let mut driver = TestDriver::new(&job(1000, 0, true)).unwrap();
    price(&mut driver, "tea", Some("3"), 1);
    let mut most = [0, 0];
    for round in 0..24_i64 {
        for sold in 0..1000 {
            let item = format!("unknown {round} {sold}");
            sale(&mut driver, Some(&item), "ann", 10_000 * round);
        }
        go_on(&mut driver, 10_000 * (round + 1));
        let bytes: usize = driver.with_tasks(|tasks| {
            let sizes = tasks.tasks.values().map(|task| task.state_size().1);
            sizes.sum()
        });
        let most = &mut most[usize::from(round >= 12)];
        *most = bytes.max(*most);
    }
    assert!(most[1] <= most[0] + most[0] / 2, "{most:?}");
    sale(&mut driver, Some("tea"), "bob", 240_000);
    go_on(&mut driver, 250_000);
    assert!(
        sales(&mut driver)
            .iter()
            .any(|(row, _)| row.contains("bob") && row.contains('3'))
    );
}
