//! Records of each format, and those that are none.
use super::super::{json_schema, raw, text};
use super::*;
use crate::task::HeaderLookup;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};

struct Headers(Vec<(&'static str, Option<&'static [u8]>)>);

impl HeaderLookup for Headers {
    fn header(&self, _: &str) -> Option<&[u8]> {
        None
    }

    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.iter().for_each(|(name, value)| each(name, *value));
    }
}

fn decoder(format: &Format) -> RowDecoder {
    let format = InputFormat::new(format, "t").unwrap().unwrap();
    format.check().unwrap();
    RowDecoder::new(&format)
}

fn push(decoder: &mut RowDecoder, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
    decoder.push(&InputRecord {
        topic: "t",
        partition: 3,
        offset,
        timestamp: if offset == 2 { NO_TIME } else { 1000 + offset },
        key,
        value,
        headers: &Headers(vec![("a", Some(b"1")), ("a", None)]),
    });
}

#[test]
fn text_is_lossy_utf8_and_null_stays_null() {
    let mut decoder = decoder(&text("line"));
    assert!(decoder.take().unwrap().rows.is_none());
    for (offset, value) in (0..).zip([Some(b"plain".as_slice()), None, Some(b"a\xffb"), Some(b"")]) {
        push(&mut decoder, offset, Some(b"key"), value);
    }
    assert_eq!((decoder.rows(), decoder.bytes()), (4, 20));
    let rows = decoder.take().unwrap().rows.unwrap();
    assert_eq!(rows.times(), [1000, 1001, NO_TIME, 1003]);
    let lines: Vec<Option<&str>> = rows.batch["line"].as_string_view().iter().collect();
    assert_eq!(lines, [Some("plain"), None, Some("a\u{fffd}b"), Some("")]);
    assert!(decoder.take().unwrap().rows.is_none());
}

#[test]
fn raw_keeps_key_and_value() {
    let mut decoder = decoder(&raw());
    push(&mut decoder, 0, None, Some(b"\xff"));
    push(&mut decoder, 1, Some(b"k"), None);
    let batch = decoder.take().unwrap().rows.unwrap().batch;
    assert!(batch["key"].is_null(0) && batch["value"].is_null(1));
    assert_eq!(batch["value"].as_binary_view().value(0), b"\xff");
    assert_eq!(batch["key"].as_binary_view().value(1), b"k");
}

#[test]
fn what_else_a_record_has_becomes_columns() {
    let format = text("line").with_key("k").with_timestamp("at");
    let format = format.with_headers("h").with_partition("p").with_offset("o");
    let mut decoder = decoder(&format);
    push(&mut decoder, 1, Some(b"key"), Some(b"x"));
    push(&mut decoder, 2, None, Some(b"y"));
    let batch = decoder.take().unwrap().rows.unwrap().batch;
    assert_eq!(
        batch["k"].as_binary_view().iter().collect::<Vec<_>>(),
        [Some(b"key".as_slice()), None]
    );
    let times: Vec<_> = batch["at"]
        .as_primitive::<TimestampMillisecondType>()
        .iter()
        .collect();
    assert_eq!(times, [Some(1001), None]);
    assert_eq!(batch["p"].as_primitive::<Int32Type>().values(), &[3, 3]);
    assert_eq!(batch["o"].as_primitive::<Int64Type>().values(), &[1, 2]);
    let headers = batch["h"].as_list::<i32>().value(1);
    let headers = headers.as_struct();
    assert_eq!(
        headers.column(0).as_string::<i32>().iter().collect::<Vec<_>>(),
        [Some("a"), Some("a")]
    );
    assert_eq!(
        headers.column(1).as_binary_view().iter().collect::<Vec<_>>(),
        [Some(b"1".as_slice()), None]
    );
}

fn bids() -> Format {
    json_schema(Schema::new(vec![
        Field::new("auction", DataType::Int64, true),
        Field::new("price", DataType::Float64, true),
    ]))
}

#[test]
fn json_members_become_columns() {
    let mut decoder = decoder(&bids());
    let values = [
        r#"{"auction": 1, "price": 2.5, "more": [{}]}"#,
        r#" {"price":1} "#,
        "{}",
    ];
    for (offset, value) in (0..).zip(values) {
        push(&mut decoder, offset, None, Some(value.as_bytes()));
    }
    push(&mut decoder, 3, None, None);
    let batch = decoder.take().unwrap().rows.unwrap().batch;
    let auctions: Vec<_> = batch["auction"].as_primitive::<Int64Type>().iter().collect();
    assert_eq!(auctions, [Some(1), None, None, None]);
    let prices: Vec<_> = batch["price"].as_primitive::<Float64Type>().iter().collect();
    assert_eq!(prices, [Some(2.5), Some(1.0), None, None]);
}

#[test]
fn the_record_that_is_no_json_is_named() {
    for (bad, expected) in [
        (r#"{"auction": "x"}"#, "auction"),
        (r#"{"auction": 1"#, "cut short"),
        (r#"{"auction": 1}{"auction": 2}"#, "not one object"),
        ("", "not one object"),
        ("  ", "not one object"),
        ("[1]", "expected"),
        ("nonsense", "Encountered unexpected"),
    ] {
        let mut decoder = decoder(&bids().with_offset("o"));
        decoder.keep_originals();
        for (offset, value) in [(5, "{}"), (6, bad), (7, r#"{"auction": 3}"#), (8, bad)] {
            push(&mut decoder, offset, Some(b"k"), Some(value.as_bytes()));
        }
        let decoded = decoder.take().unwrap();
        let places: Vec<_> = decoded
            .undecodable
            .iter()
            .map(|unfit| (unfit.place, unfit.offset))
            .collect();
        assert_eq!(places, [(1, 6), (3, 8)], "{bad}");
        let cause = decoded.undecodable[0].cause.to_string();
        assert!(cause.contains(expected), "{bad}: {cause}");
        // The others go on, and the record is at hand as it came.
        let rows = decoded.rows.unwrap();
        let auctions: Vec<_> = rows.batch["auction"].as_primitive::<Int64Type>().iter().collect();
        assert_eq!(auctions, [None, Some(3)]);
        assert_eq!(rows.times(), [1005, 1007]);
        let offsets = rows.batch["o"].as_primitive::<Int64Type>().values();
        assert_eq!(offsets, &[5, 7]);
        let originals = decoded.originals.unwrap();
        let original = originals.get(1);
        assert_eq!(
            (original.key, original.value),
            (Some(b"k".as_slice()), Some(bad.as_bytes()))
        );
        assert_eq!((original.time, original.headers.len()), (1006, 2));
        assert!(decoder.take().unwrap().rows.is_none());
    }
}

#[test]
fn values_that_are_json_only_together_are_refused() {
    let mut decoder = decoder(&bids());
    for (offset, value) in (0..).zip(["{} {}", "", "{\"auction\":", "1}", "{}"]) {
        push(&mut decoder, offset, None, Some(value.as_bytes()));
    }
    let decoded = decoder.take().unwrap();
    assert_eq!(decoded.undecodable.len(), 4);
    assert_eq!(decoded.rows.unwrap().len(), 1);
    assert!(decoded.originals.is_none());
}
