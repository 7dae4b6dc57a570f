//! Tables joined by their keys, against plain maps.
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    Streams, TestDriver, TestRecord, cast, col, count_all, json as json_out, key, max, on, prelude::DataType,
    text,
};

#[test]
fn tables_with_other_keys_cannot_be_joined() {
    let app = Streams::new("app");
    let names = app.table("names", text("name").with_key("id"), key("id"));
    let pairs = app.table("pairs", text("with").with_key("id"), [col("id"), col("with")]);
    names.join(&pairs).to("out", json_out());
    let error = app.build().unwrap_err().to_string();
    assert!(
        error.contains("whole key of the table, which is (id, with), not by (id)"),
        "{error}"
    );

    let app = Streams::new("app");
    let names = app.table("names", text("name").with_key("id"), key("id"));
    let number = cast(cast(col("key"), DataType::Utf8View), DataType::Int64).alias("id");
    let cities = app.table("cities", text("city").with_key("key"), [number]);
    names.join(&cities).to("out", json_out());
    let error = app.build().unwrap_err().to_string();
    assert!(
        error.contains("id (BinaryView) and id (Int64) are of no common type"),
        "{error}"
    );

    let app = Streams::new("app");
    let names = app.table("names", text("name").with_key("id"), key("id"));
    let cities = app.table("cities", text("name").with_key("id"), key("id"));
    names.join(&cities).to("out", json_out());
    let error = app.build().unwrap_err().to_string();
    assert!(error.contains("two columns are named \"name\""), "{error}");
}

/// What happens to a job.
#[derive(Debug, Clone)]
enum Move {
    Name(u8, Option<u8>),
    City(u8, Option<u8>),
    Word(u8),
    Epoch(usize, usize),
    Aborted(usize),
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let value = || proptest::option::weighted(0.65, 0..5u8);
    let next = prop_oneof![
        4 => (0..12u8, value()).prop_map(|(id, name)| Move::Name(id, name)),
        4 => (0..12u8, value()).prop_map(|(id, city)| Move::City(id, city)),
        3 => (0..12u8).prop_map(Move::Word),
        4 => (0..20usize, 1..20usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        1 => (0..20usize).prop_map(Move::Aborted),
        1 => Just(Move::Restart),
    ];
    proptest::collection::vec(next, 1..100)
}

/// Joins of all kinds, one over one, one with a count, an aggregate over one, and one that is looked up.
fn job() -> Streams {
    let app = Streams::new("app");
    let id = || [cast(col("id"), DataType::Utf8View).alias("id")];
    let names = app.table("names", text("name").with_key("id"), id());
    let cities = app.table("cities", text("city").with_key("id"), id());
    names.join(&cities).to("inner", json_out());
    names.join(&cities).left().to("left", json_out());
    let outer = names.join(&cities).outer();
    outer.to("outer", json_out());
    outer
        .group_by([col("city")])
        .aggregate(
            "by-city",
            [count_all().alias("n"), max(col("name")).alias("last")],
        )
        .to("by-city", json_out());
    let counts = app
        .stream("words", text("word").with_key("k"))
        .group_by([cast(col("k"), DataType::Utf8View).alias("k")])
        .aggregate("counts", [count_all().alias("n")]);
    let counted = outer.join(&counts).left();
    counted.to("counted", json_out());
    app.stream("asks", text("ask").with_key("who"))
        .join(&counted, on("who", "id"))
        .left()
        .select([
            cast(col("who"), DataType::Utf8View).alias("who"),
            col("name"),
            col("city"),
            col("n"),
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

#[derive(Default)]
struct Oracle {
    names: BTreeMap<u8, String>,
    cities: BTreeMap<u8, String>,
    counts: BTreeMap<u8, u64>,
}

fn id(number: u8) -> String {
    format!("id {number}")
}

impl Oracle {
    fn joined(&self, is_in: impl Fn(bool, bool) -> bool) -> Table {
        let ids = (0..12u8).filter(|id| is_in(self.names.contains_key(id), self.cities.contains_key(id)));
        ids.map(|key| {
            (
                id(key),
                json!({"name": self.names.get(&key), "city": self.cities.get(&key)}),
            )
        })
        .collect()
    }

    fn expected(&self, topic: &str) -> Table {
        match topic {
            "inner" => self.joined(|left, right| left && right),
            "left" => self.joined(|left, _| left),
            "outer" => self.joined(|left, right| left || right),
            "counted" => {
                let mut rows = self.joined(|left, right| left || right);
                for key in 0..12u8 {
                    if let Some(row) = rows.get_mut(&id(key)) {
                        row["n"] = json!(self.counts.get(&key));
                    }
                }
                rows
            }
            _ => {
                let mut groups: BTreeMap<Option<String>, Vec<Option<String>>> = BTreeMap::new();
                for row in self.joined(|left, right| left || right).values() {
                    let text = |name: &str| row[name].as_str().map(str::to_owned);
                    groups.entry(text("city")).or_default().push(text("name"));
                }
                let row = |names: &Vec<Option<String>>| json!({"n": names.len(), "last": names.iter().flatten().max()});
                let key = |city: &Option<String>| city.clone().unwrap_or_else(|| "[null]".to_owned());
                groups
                    .iter()
                    .map(|(city, names)| (key(city), row(names)))
                    .collect()
            }
        }
    }
}

fn play(driver: &mut TestDriver, moves: &[Move]) {
    let mut oracle = Oracle::default();
    let mut found: BTreeMap<&str, Table> = BTreeMap::new();
    let record = |key: u8, value: Option<String>| match value {
        Some(value) => TestRecord::new(value).key(id(key)),
        None => TestRecord::null().key(id(key)),
    };
    let text = |what: &str, number: Option<u8>| number.map(|number| format!("{what} {number}"));
    for next in moves {
        let tasks = driver.task_ids();
        match next {
            Move::Name(key, name) => {
                let name = text("name", *name);
                driver.pipe("names", record(*key, name.clone())).unwrap();
                oracle.names.remove(key);
                oracle.names.extend(name.map(|name| (*key, name)));
            }
            Move::City(key, city) => {
                let city = text("city", *city);
                driver.pipe("cities", record(*key, city.clone())).unwrap();
                oracle.cities.remove(key);
                oracle.cities.extend(city.map(|city| (*key, city)));
            }
            Move::Word(key) => {
                driver
                    .pipe("words", record(*key, Some("word".to_owned())))
                    .unwrap();
                *oracle.counts.entry(*key).or_default() += 1;
            }
            Move::Epoch(task, records) => driver.epoch(tasks[task % tasks.len()], *records).unwrap(),
            Move::Aborted(task) => driver.aborted_epoch(tasks[task % tasks.len()], 100).unwrap(),
            Move::Restart => driver.restart().unwrap(),
        }
    }
    (0..4).for_each(|_| driver.commit().unwrap());
    for topic in ["inner", "left", "outer", "counted", "by-city"] {
        let found = found.entry(topic).or_default();
        read(driver, topic, found);
        assert_eq!(*found, oracle.expected(topic), "{topic}");
    }
    for key in 0..12 {
        driver.pipe("asks", record(key, Some("?".to_owned()))).unwrap();
    }
    (0..3).for_each(|_| driver.commit().unwrap());
    let counted = oracle.expected("counted");
    let answers = driver.read("answers");
    assert_eq!(answers.len(), 12);
    for answer in answers {
        let answer: Value = serde_json::from_slice(answer.value.as_deref().unwrap()).unwrap();
        let nothing = json!({"name": null, "city": null, "n": null});
        let expected = counted.get(answer["who"].as_str().unwrap()).unwrap_or(&nothing);
        for column in ["name", "city", "n"] {
            assert_eq!(answer[column], expected[column], "{answer}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn joins_are_what_maps_make_of_them(moves in moves()) {
        play(&mut TestDriver::with_partitions(&job(), 3).unwrap(), &moves);
    }

    #[test]
    fn tables_that_are_joined_need_not_fit_in_memory(moves in moves(), limit in crate::testing::limit()) {
        play(&mut TestDriver::with_partitions(&job(), 3).unwrap().limited(limit).unwrap(), &moves);
    }
}
