//! The records.

use serde_json::{Map, Value, json};

use crate::Input;
use crate::random::Random;

/// Words of several scripts, with final letters, marks and letters that grow when their case changes.
const WORDS: [&str; 24] = [
    "to",
    "be",
    "or",
    "not",
    "To",
    "BE",
    "x2",
    "1984",
    "straße",
    "İstanbul",
    "ılık",
    "ΟΔΟΣ",
    "Σας",
    "люди",
    "ЛЮДИ",
    "सभी",
    "人人",
    "すべて",
    "모든",
    "أحرارًا",
    "e\u{301}te\u{301}",
    "naïve",
    "Ⅷ",
    "½",
];
const BETWEEN: [&str; 6] = [" ", "  ", ", ", "-", "_", "\u{200b}🎉"];
const STRINGS: [&str; 7] = ["", "a", "b", "abc", "Ähre", "straße", "\u{10000}"];
const KEYS: [&str; 6] = ["a", "b", "c", "", "ключ", "key with spaces"];

/// Few and many records take turns: few are easier to read when they fail.
fn count(random: &mut Random) -> i64 {
    let most = random.one_of(&[10, 100, 400]);
    1 + i64::try_from(random.below(most)).unwrap()
}

/// Lines of words.
pub(super) fn lines(random: &mut Random) -> Vec<Input> {
    let count = count(random);
    let line = |at| {
        let mut value = String::new();
        for _ in 0..random.below(8) {
            value += random.one_of(&WORDS);
            value += random.one_of(&BETWEEN);
        }
        Input {
            topic: "in",
            value,
            at,
            partition: None,
        }
    };
    (0..count).map(line).collect()
}

/// JSON objects whose members may be null or missing.
pub(super) fn rows(random: &mut Random) -> Vec<Input> {
    rows_of(random, &["in"])
}

/// The same in two topics.
pub(super) fn rows_of_two(random: &mut Random) -> Vec<Input> {
    rows_of(random, &["in", "more"])
}

/// The same with event times that go on by leaps, and back by up to half a minute; many at the edges of windows.
pub(super) fn events(random: &mut Random) -> Vec<Input> {
    // Kafka Streams has no windows that begin before 1970.
    let mut now = 1_000_000;
    let back = random.one_of(&[1, 4_000, 30_000]);
    let rows = rows(random);
    let event = |mut input: Input| {
        now += i64::try_from(random.below(3_000)).unwrap();
        let grain = random.one_of(&[1, 1_000, 5_000]);
        input.at = (now - i64::try_from(random.below(back)).unwrap()) / grain * grain;
        let mut value: Value = serde_json::from_str(&input.value).unwrap();
        value["at"] = json!(input.at);
        input.value = value.to_string();
        input
    };
    rows.into_iter().map(event).collect()
}

/// Events, and at last one that is far ahead.
pub(super) fn events_and_end(random: &mut Random) -> Vec<Input> {
    let mut rows = events(random);
    let at = 10_000_000_000_i64;
    rows.push(Input {
        topic: "in",
        value: json!({"k": "end", "at": at}).to_string(),
        at,
        partition: None,
    });
    rows
}

/// Events of which none is later than five seconds, but some by far: between them it would matter what is still open.
pub(super) fn visits(random: &mut Random) -> Vec<Input> {
    let mut now = 1_000_000;
    let rows = rows(random);
    let event = |mut input: Input| {
        now += i64::try_from(random.below(3_000)).unwrap();
        let grain = random.one_of(&[1, 500]);
        input.at = match random.below(20) {
            0 => i64::try_from(random.below(100_000)).unwrap(),
            _ => (now - i64::try_from(random.below(4_000)).unwrap()) / grain * grain,
        };
        let mut value: Value = serde_json::from_str(&input.value).unwrap();
        value["at"] = json!(input.at);
        input.value = value.to_string();
        input
    };
    rows.into_iter().map(event).collect()
}

/// Events in two topics that keep pace, none of them later than the grace of joins; then some that are far ahead, in each partition of both.
pub(super) fn sides(random: &mut Random) -> Vec<Input> {
    let mut now = 1_000_000;
    let mut rows = rows_of_two(random);
    for input in &mut rows {
        now += i64::try_from(random.below(1_500)).unwrap();
        let grain = random.one_of(&[1, 500]);
        input.at = (now - i64::try_from(random.below(4_000)).unwrap()) / grain * grain;
    }
    for topic in ["in", "more"] {
        let end = |number| Input {
            topic,
            value: json!({"k": format!("end of {topic} {number}")}).to_string(),
            at: 10_000_000_000,
            partition: Some(number),
        };
        rows.extend((0..3).map(end));
    }
    with_times(rows)
}

/// Rows of a table in the order of time, and of a stream that looks back by less than its grace; then some that are far ahead, in each partition
/// of both.
pub(super) fn versions(random: &mut Random) -> Vec<Input> {
    let mut now = 1_000_000;
    let mut rows = rows_of_two(random);
    for input in &mut rows {
        now += 1 + i64::try_from(random.below(1_500)).unwrap();
        input.at = match input.topic {
            "in" => now - i64::try_from(random.below(8_000)).unwrap(),
            _ => now,
        };
    }
    for topic in ["in", "more"] {
        let end = |number| Input {
            topic,
            // Without a key, so that they wait for nothing.
            value: json!({}).to_string(),
            at: 10_000_000_000,
            partition: Some(number),
        };
        rows.extend((0..3).map(end));
    }
    with_times(rows)
}

/// Rows whose values say when they happened.
fn with_times(mut rows: Vec<Input>) -> Vec<Input> {
    for input in &mut rows {
        let mut value: Value = serde_json::from_str(&input.value).unwrap();
        value["at"] = json!(input.at);
        input.value = value.to_string();
    }
    rows
}

/// Rows of the left side, and partners that come when its event time is beyond the window and grace: of `a` before there is any other row of the right side, of
/// `b` when that is as far.
pub(super) fn late_sides(_: &mut Random) -> Vec<Input> {
    let row = |topic, key: &str, at: i64| Input {
        topic,
        value: json!({"k": key, "n": at, "at": at}).to_string(),
        at,
        partition: None,
    };
    vec![
        row("in", "a", 100_000),
        row("in", "b", 100_000),
        row("in", "far", 116_000),
        row("more", "a", 105_000),
        row("more", "far", 116_000),
        row("more", "b", 105_000),
    ]
}

/// Rows of two tables: those of the first name a row of the second by its key. Some name none: of a foreign key that becomes null Kafka
/// Streams keeps the old result, so a row either always has one or never.
pub(super) fn tables(random: &mut Random) -> Vec<Input> {
    let few = random.one_of(&[2, 4, 12]);
    let count = count(random);
    let row = |at| {
        let (topic, key) = (random.one_of(&["in", "in", "more"]), random.below(few));
        let other = random.below(few);
        let fk = (topic == "in" && key % 5 != 4).then(|| format!("k{other}"));
        let value = json!({
            "k": format!("k{key}"),
            "fk": fk,
            "n": random.below(100),
            "s": random.one_of(&STRINGS),
            "gone": random.below(5) == 0,
        });
        Input {
            topic,
            value: value.to_string(),
            at,
            // What is said of a key is said in an order.
            partition: Some(i32::try_from(key).unwrap()),
        }
    };
    (0..count).map(row).collect()
}

fn rows_of(random: &mut Random, topics: &[&'static str]) -> Vec<Input> {
    let count = count(random);
    let row = |at| Input {
        topic: random.one_of(topics),
        value: object(random).to_string(),
        at,
        partition: None,
    };
    (0..count).map(row).collect()
}

fn object(random: &mut Random) -> Value {
    let spread = random.one_of(&[10, 1_000, 1_000_000_000_000_u64]);
    let n = i64::try_from(random.below(spread)).unwrap() - i64::try_from(spread / 2).unwrap();
    // Quarters: their sums are exact in any order.
    let x = f64::from(i32::try_from(random.below(4_000)).unwrap() - 2_000) / 4.0;
    let members = [
        ("k", json!(random.one_of(&KEYS))),
        ("n", json!(n)),
        ("x", json!(x)),
        ("s", json!(random.one_of(&STRINGS))),
    ];
    let mut object = Map::new();
    for (name, value) in members {
        match random.below(8) {
            0 => {}
            1 => drop(object.insert(name.to_owned(), Value::Null)),
            _ => drop(object.insert(name.to_owned(), value)),
        }
    }
    Value::Object(object)
}
