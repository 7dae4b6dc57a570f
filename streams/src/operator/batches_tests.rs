//! What lookups and joins of tables give comes in batches, bounded by rows and by bytes: of large rows all came at once.
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::portion::{OUTPUT_BYTES_MAX, OUTPUT_ROWS_MAX};
use crate::rows::row_bytes;
use crate::{Stream, Streams, TestDriver, TestRecord, col, json, key, on, text};

const ROWS: usize = 20;

/// The rows and the bytes of each batch that came.
#[derive(Clone, Default)]
struct Batches(Arc<Mutex<Vec<(usize, usize)>>>);

impl Batches {
    /// Notes those of a stream, which goes on to `out`.
    fn of(stream: &Stream) -> Self {
        let batches = Self::default();
        let noted = batches.clone();
        let noting = stream.peek(move |batch| {
            let bytes = row_bytes(batch).iter().sum();
            let mut noted = noted.0.lock().unwrap_or_else(PoisonError::into_inner);
            noted.push((batch.num_rows(), bytes));
        });
        noting.to("out", json());
        batches
    }

    /// Checks those since the last call, and what has come out: rows with each of the texts, as often as is said.
    fn check(&self, driver: &mut TestDriver, texts: &[String], each: usize) {
        let batches = std::mem::take(&mut *self.0.lock().unwrap());
        for &(rows, bytes) in &batches {
            let fits = bytes <= OUTPUT_BYTES_MAX + OUTPUT_BYTES_MAX / 2;
            assert!(rows <= OUTPUT_ROWS_MAX && (rows <= 1 || fits), "{batches:?}");
        }
        let rows: usize = batches.iter().map(|(rows, _)| rows).sum();
        assert_eq!(rows, texts.len() * each, "{batches:?}");
        let records = driver.read("out");
        for part in texts {
            let found = records.iter().filter(|record| record.as_text().1.contains(part));
            assert_eq!(found.count(), each, "{part}");
        }
    }
}

/// Texts of so many bytes or a few more, none of which is in another one.
fn texts(bytes: usize) -> Vec<String> {
    let text = |number| format!("<{number}>{}", "x".repeat(bytes));
    (0..ROWS).map(text).collect()
}

fn pipe(driver: &mut TestDriver, topic: &str, key: usize, value: &str) {
    let record = TestRecord::new(value.to_owned()).key(format!("k{key}"));
    driver.pipe(topic, record).unwrap();
}

#[test]
fn rows_that_are_looked_up_come_in_batches() {
    for left in [false, true] {
        let app = Streams::new("app");
        let users = app.table("users", text("name").with_key("id"), key("id"));
        let visits = app.stream("visits", text("page").with_key("user"));
        let joined = visits.join(&users, on("user", "id"));
        let joined = if left { joined.left() } else { joined };
        let batches = Batches::of(&joined);
        let mut driver = TestDriver::new(&app).unwrap();
        // One large row for many, many large rows, and small ones.
        pipe(&mut driver, "users", 0, &texts(400)[0]);
        (0..ROWS).for_each(|_| pipe(&mut driver, "visits", 0, "home"));
        driver.commit().unwrap();
        batches.check(&mut driver, &texts(400)[..1], ROWS);
        for bytes in [400, 3] {
            for (number, name) in texts(bytes).iter().enumerate() {
                pipe(&mut driver, "users", number, name);
                pipe(&mut driver, "visits", number, "home");
            }
            // Somebody whom the table does not have.
            if !left {
                pipe(&mut driver, "visits", 1000, "home");
            }
            driver.commit().unwrap();
            batches.check(&mut driver, &texts(bytes), 1);
        }
    }
}

#[test]
fn joins_of_tables_come_in_batches() {
    let app = Streams::new("app");
    let names = app.table("names", text("name").with_key("id"), key("id"));
    let cities = app.table("cities", text("city").with_key("id"), key("id"));
    let batches = Batches::of(&names.join(&cities).changes());
    let mut driver = TestDriver::new(&app).unwrap();
    let (large, small) = (texts(400), texts(3));
    for (number, city) in large.iter().enumerate() {
        pipe(&mut driver, "names", number, "somebody");
        pipe(&mut driver, "cities", number, city);
    }
    driver.commit().unwrap();
    batches.check(&mut driver, &large, 1);
    // What did not change is looked up.
    for (number, name) in small.iter().enumerate() {
        pipe(&mut driver, "names", number, name);
    }
    driver.commit().unwrap();
    batches.check(&mut driver, &large, 1);
    for number in 0..ROWS {
        pipe(&mut driver, "cities", number, "here");
    }
    driver.commit().unwrap();
    batches.check(&mut driver, &small, 1);
}

#[test]
fn joins_by_other_tables_keys_come_in_batches() {
    let app = Streams::new("app");
    let orders = app.table("orders", text("customer").with_key("order"), key("order"));
    let customers = app.table("customers", text("name").with_key("id"), key("id"));
    let joined = orders.join_by("buyers", &customers, [col("customer")]);
    let batches = Batches::of(&joined.changes());
    let mut driver = TestDriver::new(&app).unwrap();
    let commit = |driver: &mut TestDriver| (0..3).for_each(|_| driver.commit().unwrap());
    let (large, small) = (texts(400), texts(3));
    // All ask for one; then each for its own.
    pipe(&mut driver, "customers", 0, &large[0]);
    (0..ROWS).for_each(|number| pipe(&mut driver, "orders", number, "k0"));
    commit(&mut driver);
    batches.check(&mut driver, &large[..1], ROWS);
    for texts in [&large, &small] {
        for (number, name) in texts.iter().enumerate() {
            pipe(&mut driver, "customers", number, name);
            pipe(&mut driver, "orders", number, &format!("k{number}"));
        }
        commit(&mut driver);
        let come: BTreeSet<String> = driver
            .read("out")
            .iter()
            .map(|record| record.as_text().1.to_owned())
            .collect();
        for name in texts {
            assert!(come.iter().any(|row| row.contains(name)), "{name}");
        }
        let noted = std::mem::take(&mut *batches.0.lock().unwrap());
        assert!(noted.iter().all(|(rows, bytes)| {
            *rows <= OUTPUT_ROWS_MAX && (*rows <= 1 || *bytes <= OUTPUT_BYTES_MAX + OUTPUT_BYTES_MAX / 2)
        }));
    }
}
