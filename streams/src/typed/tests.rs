//! Typed steps: what comes out, at which times, and what becomes of rows that fail.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::prelude::*;
use crate::{TestDriver, TestRecord};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Bid {
    auction: i64,
    price: f64,
    note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Cheap,
    Dear,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Place {
    row: u32,
    tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Priced {
    auction: u16,
    euros: Option<f32>,
    kind: Kind,
    place: Place,
}

fn price(bid: Bid) -> Priced {
    Priced {
        auction: bid.auction as u16,
        euros: (bid.price > 0.0).then_some(bid.price as f32),
        kind: if bid.price < 10.0 { Kind::Cheap } else { Kind::Dear },
        place: Place {
            row: 7,
            tags: bid.note.into_iter().collect(),
        },
    }
}

fn bid(auction: i64, price: f64, note: Option<&str>) -> Bid {
    Bid {
        auction,
        price,
        note: note.map(str::to_owned),
    }
}

/// A stream of bids with one column more.
fn bids(app: &Streams) -> crate::Stream {
    let schema = Schema::new(vec![
        Field::new("note", DataType::Utf8View, true),
        Field::new("auction", DataType::Int64, true),
        Field::new("more", DataType::Utf8, true),
        Field::new("price", DataType::Float64, true),
    ]);
    app.stream("bids", json_schema(schema))
}

fn pipe(driver: &mut TestDriver, bids: &[Bid]) {
    for (bid, at) in bids.iter().zip(1000..) {
        let value = serde_json::to_vec(bid).unwrap();
        driver.pipe("bids", TestRecord::new(value).at(at)).unwrap();
    }
}

fn read<T: serde::de::DeserializeOwned>(driver: &mut TestDriver, topic: &str) -> Vec<(i64, T)> {
    let records = driver.read(topic);
    let row = |record: &TestRecord| {
        let row = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        (record.timestamp.unwrap(), row)
    };
    records.iter().map(row).collect()
}

#[test]
fn structs_come_back_as_columns_at_the_times_of_their_rows() {
    let app = Streams::new("app");
    bids(&app)
        .typed::<Bid>()
        .filter(|bid| bid.auction > 1)
        .map(price)
        .to("priced", json());
    let mut driver = TestDriver::new(&app).unwrap();
    let all = [bid(1, 5.0, None), bid(2, 12.5, Some("é")), bid(3, -1.0, None)];
    pipe(&mut driver, &all);
    driver.commit().unwrap();
    let expected: Vec<_> = (1000..)
        .zip(all)
        .skip(1)
        .map(|(at, bid)| (at, price(bid)))
        .collect();
    assert_eq!(read::<Priced>(&mut driver, "priced"), expected);
}

#[test]
fn filters_and_branches_leave_the_columns_as_they_are() {
    let app = Streams::new("app");
    let typed = bids(&app).typed::<Bid>().filter(|bid| bid.price > 0.0);
    let [odd, even] = typed.branch(["odd", "even"], |bid| usize::from(bid.auction % 2 == 0));
    odd.to("odd", json());
    even.peek(|bid| assert_eq!(bid.auction % 2, 0)).to("even", json());
    let mut driver = TestDriver::new(&app).unwrap();
    for n in 0..6 {
        let value = format!(r#"{{"auction":{n},"price":{n},"more":"m{n}"}}"#);
        driver.pipe("bids", TestRecord::new(value)).unwrap();
    }
    driver.commit().unwrap();
    let values = |driver: &mut TestDriver, topic: &str| -> Vec<String> {
        let records = driver.read(topic);
        records
            .iter()
            .map(|record| record.as_text().1.to_owned())
            .collect()
    };
    let row = |n: i64| format!(r#"{{"note":null,"auction":{n},"more":"m{n}","price":{n}.0}}"#);
    assert_eq!(values(&mut driver, "odd"), [1, 3, 5].map(row));
    assert_eq!(values(&mut driver, "even"), [2, 4].map(row));
}

#[test]
fn consecutive_closures_are_one_step_and_each_sees_a_row_once() {
    let app = Streams::new("app");
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let peeked = bids(&app)
        .typed::<Bid>()
        .filter(|bid| bid.price > 0.0)
        .peek(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
    peeked
        .map(price)
        .on_error(skip())
        .map(|priced| priced.place)
        .to("places", json());
    let described = app.build().unwrap().describe();
    let step = "    filter Bid; peek Bid; map Bid → Priced; map Priced → Place\n      on error of map Bid → Priced: skip\n";
    assert!(described.contains(step), "{described}");
    // Something else hangs on the middle: from there on, the closures are another step.
    peeked
        .group_by([col("auction")])
        .aggregate("counts", [count_all().alias("n")])
        .to("counts", json());
    let described = app.build().unwrap().describe();
    assert!(
        described.contains("    filter Bid; peek Bid\n      map Bid → Priced; map Priced → Place\n"),
        "{described}"
    );
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(
        &mut driver,
        &[bid(1, 5.0, None), bid(2, 0.0, None), bid(1, 7.0, None)],
    );
    driver.commit().unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 2);
    assert_eq!(driver.read("places").len(), 2);
    assert_eq!(driver.read("counts")[0].as_text(), ("[1]", r#"{"n":2}"#));
}

#[test]
fn rows_that_fail_follow_the_policy_of_their_closure() {
    let app = Streams::new("app");
    bids(&app)
        .typed::<Bid>()
        .filter(|bid| {
            assert!(bid.auction != 13, "unlucky");
            true
        })
        .on_error(dead_letter("panicked"))
        .flat_map(|bid| {
            (0..bid.auction).map(move |n| Bid {
                auction: n,
                ..bid.clone()
            })
        })
        .try_map(|bid| {
            if bid.price < 0.0 || bid.auction == 3 {
                Err("a bad bid")
            } else {
                Ok(bid)
            }
        })
        .on_error(dead_letter("refused"))
        .to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    // Of the fourth, three would do; it goes as a whole.
    pipe(
        &mut driver,
        &[
            bid(2, 1.0, None),
            bid(13, 1.0, None),
            bid(1, -1.0, None),
            bid(4, 1.0, None),
            bid(1, 2.0, None),
        ],
    );
    driver.pipe("bids", TestRecord::new(r#"{"price":1}"#)).unwrap();
    driver.commit().unwrap();
    let out = read::<Bid>(&mut driver, "out");
    let expected = [
        (1000, bid(0, 1.0, None)),
        (1000, bid(1, 1.0, None)),
        (1004, bid(0, 2.0, None)),
    ];
    assert_eq!(out, expected);
    let message = |record: &TestRecord| {
        let header = record
            .headers
            .iter()
            .find(|(name, _)| name == "__streams.errors.message");
        String::from_utf8(header.unwrap().1.clone().unwrap()).unwrap()
    };
    let panicked = driver.read("panicked");
    assert_eq!(
        panicked[0].as_text().1,
        r#"{"note":null,"auction":13,"more":null,"price":1.0}"#
    );
    assert_eq!(panicked[0].timestamp, Some(1001));
    assert_eq!(message(&panicked[0]), "filter Bid: the closure panicked: unlucky");
    let unfit = message(&panicked[1]);
    assert!(unfit.starts_with("filter Bid: the row is no Bid: "), "{unfit}");
    let refused = driver.read("refused");
    assert_eq!(refused.len(), 2, "one letter a row");
    assert_eq!(
        message(&refused[1]),
        "try_map Bid → Bid: the closure failed: a bad bid"
    );
    assert_eq!(driver.rows_dropped(), (0, 4));

    let app = Streams::new("app");
    let [one] = bids(&app).typed::<Bid>().branch(["one"], |_| 1);
    one.to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, &[bid(1, 1.0, None)]);
    let error = driver.commit().unwrap_err().to_string();
    assert!(
        error
            .ends_with("step \"branch Bid: one\": the closure chose branch number 1 of 1; they count from 0"),
        "{error}"
    );
}

#[test]
fn a_struct_that_cannot_be_written_is_a_failure_of_its_closure() {
    fn even<S: serde::Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        match number % 2 {
            0 => serializer.serialize_i64(*number),
            _ => Err(serde::ser::Error::custom("an odd number")),
        }
    }
    #[derive(Serialize, Deserialize)]
    struct Even {
        #[serde(serialize_with = "even")]
        number: i64,
        text: String,
    }
    let app = Streams::new("app");
    let make = |bid: Bid| Even {
        number: bid.auction,
        text: bid.auction.to_string(),
    };
    bids(&app)
        .typed::<Bid>()
        .map(make)
        .on_error(dead_letter("odd"))
        .to("even", json());
    let mut driver = TestDriver::new(&app).unwrap();
    let all: Vec<Bid> = (0..5).map(|n| bid(n, 1.0, None)).collect();
    pipe(&mut driver, &all);
    driver.commit().unwrap();
    let values = |records: Vec<TestRecord>| -> Vec<String> {
        let value = |record: &TestRecord| record.as_text().1.to_owned();
        records.iter().map(value).collect()
    };
    let written = [0, 2, 4].map(|n| format!(r#"{{"number":{n},"text":"{n}"}}"#));
    assert_eq!(values(driver.read("even")), written);
    let dead = driver.read("odd");
    let message = String::from_utf8(dead[0].headers[1].1.clone().unwrap()).unwrap();
    assert!(
        message.starts_with("map Bid → Even: Even cannot be written as columns: "),
        "{message}"
    );
    assert!(message.contains("an odd number"), "{message}");
    assert_eq!(values(dead).len(), 2);
}

#[test]
fn rows_of_other_columns_are_refused_before_they_come() {
    let error = |app: &Streams| app.build().unwrap_err().to_string();
    let app = Streams::new("app");
    app.stream("lines", text("line"))
        .typed::<Bid>()
        .filter(|_| true)
        .to("out", json());
    let text = error(&app);
    assert!(text.starts_with("filter Bid: the rows are no Bid: "), "{text}");
    assert!(
        text.contains("missing field `auction`") && text.ends_with("they have the columns (line Utf8View)"),
        "{text}"
    );
    let app = Streams::new("app");
    let flags = bids(&app).with_column("note", lit(true));
    flags.typed::<Bid>().map(|bid| bid).to("out", json());
    assert!(error(&app).contains("the rows are no Bid: "), "{}", error(&app));
    let app = Streams::new("app");
    bids(&app)
        .typed::<Bid>()
        .map(|bid| BTreeMap::from([(bid.auction, bid.price)]))
        .to("out", json());
    assert!(
        error(&app).starts_with("the columns of BTreeMap<i64, f64> are not known"),
        "{}",
        error(&app)
    );
    let app = Streams::new("app");
    bids(&app).typed::<Bid>().map(|bid| bid);
    assert!(
        error(&app).contains("map Bid → Bid leads nowhere"),
        "{}",
        error(&app)
    );
}

#[test]
fn a_peek_sees_every_batch() {
    let app = Streams::new("app");
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let rows = bids(&app).peek(move |batch| {
        count.fetch_add(batch.num_rows(), Ordering::Relaxed);
    });
    rows.to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, &[bid(1, 5.0, None), bid(2, 0.0, None)]);
    driver.commit().unwrap();
    assert_eq!((seen.load(Ordering::Relaxed), driver.read("out").len()), (2, 2));

    let app = Streams::new("app");
    bids(&app)
        .peek(|_| panic!("no"))
        .on_error(skip())
        .to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, &[bid(1, 5.0, None)]);
    let error = driver.commit().unwrap_err().to_string();
    assert!(
        error.ends_with("step \"peek\": the closure panicked: no"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Typed steps are what the closures are over a vector.
    #[test]
    fn typed_steps_agree_with_iterators(
        rows in proptest::collection::vec((0..5_i64, -3..20_i32, proptest::option::of("[a-zé]{0,20}")), 0..60),
    ) {
        let all: Vec<Bid> = rows.iter().map(|(auction, price, note)| bid(*auction, f64::from(*price), note.as_deref())).collect();
        let app = Streams::new("app");
        let repeated = |bid: Bid| vec![bid.clone(); bid.auction as usize];
        let typed = bids(&app).typed::<Bid>().filter(|bid| bid.price >= 0.0).flat_map(repeated);
        let [cheap, dear] = typed.map(price).branch(["cheap", "dear"], |priced| usize::from(priced.kind == Kind::Dear));
        cheap.map(|priced| priced).to("cheap", json());
        dear.filter(|priced| !priced.place.tags.is_empty()).to("dear", json());
        let mut driver = TestDriver::new(&app).unwrap();
        pipe(&mut driver, &all);
        driver.commit().unwrap();
        let made = (1000_i64..).zip(all).filter(|(_, bid)| bid.price >= 0.0);
        let made = made.flat_map(|(at, bid)| repeated(bid).into_iter().map(move |bid| (at, price(bid))));
        let (cheap, dear): (Vec<_>, Vec<_>) = made.partition(|(_, priced)| priced.kind == Kind::Cheap);
        prop_assert_eq!(read::<Priced>(&mut driver, "cheap"), cheap);
        let tagged: Vec<_> = dear.into_iter().filter(|(_, priced)| !priced.place.tags.is_empty()).collect();
        prop_assert_eq!(read::<Priced>(&mut driver, "dear"), tagged);
    }
}

/// Closures that waited for the next one hung in the sub-topology that was: nothing hangs there once it is part of another.
#[test]
fn a_merge_between_two_closures_of_a_step() {
    let app = Streams::new("app");
    let others = app.stream("others", text("line"));
    let lines = app.stream("lines", text("line"));
    let places = lines.typed::<Line>().filter(|line| line.line != "no");
    others.merge(&lines).to("all", text("line"));
    places
        .map(|line| Place {
            row: 1,
            tags: vec![line.line],
        })
        .to("places", json());
    let mut driver = TestDriver::new(&app).unwrap();
    driver.pipe("lines", TestRecord::new("yes")).unwrap();
    driver.pipe("lines", TestRecord::new("no")).unwrap();
    driver.pipe("others", TestRecord::new("other")).unwrap();
    driver.commit().unwrap();
    assert_eq!(driver.read("all").len(), 3);
    let places = driver.read("places");
    assert_eq!(places.len(), 1);
    assert_eq!(places[0].as_text().1, r#"{"row":1,"tags":["yes"]}"#);
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    line: String,
}
