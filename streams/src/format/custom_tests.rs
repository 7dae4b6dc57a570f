//! What the engine does with formats that are not its own, and with what they get wrong.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::{
    DecodedRecords, EncodeRow, EncodedRecord, OutputBatch, OutputRows, RecordDecoder, RecordEncoder,
    RecordFormat,
};
use crate::format::{Format, FormatError};
use crate::{
    ErrorKind, Streams, StreamsError, TestDriver, TestRecord, col, count_all, dead_letter, json, raw, skip,
};

/// Values are decimal numbers between spaces, each of which is a row.
#[derive(Debug, Clone, Default)]
struct Numbers {
    /// What is said when the columns are asked for.
    down: bool,
    /// The decoder says that rows are of records that it was not given.
    invents: bool,
}

impl RecordFormat for Numbers {
    fn name(&self) -> String {
        "numbers".to_owned()
    }

    fn schema(&self, topic: &str) -> Result<Option<SchemaRef>, FormatError> {
        match self.down {
            true => Err(unavailable(&format!("{topic}: no answer"))),
            false => Ok(Some(Arc::new(Schema::new(vec![Field::new(
                "n",
                DataType::Int64,
                true,
            )])))),
        }
    }

    fn decoder(&self, _: &SchemaRef) -> Box<dyn RecordDecoder> {
        Box::new(Pushed {
            records: Vec::new(),
            invents: self.invents,
        })
    }

    fn encoder(&self, rows: &OutputRows<'_>) -> Result<Box<dyn RecordEncoder>, FormatError> {
        match rows.values().collect::<Vec<_>>()[..] {
            [column] => Ok(Box::new(Digits(column))),
            _ => Err(FormatError::unwritable("numbers", "there is not one column")),
        }
    }
}

fn unavailable(reason: &str) -> FormatError {
    FormatError::Unavailable {
        format: "numbers".to_owned(),
        reason: reason.to_owned(),
    }
}

struct Pushed {
    records: Vec<String>,
    invents: bool,
}

impl RecordDecoder for Pushed {
    fn push(&mut self, record: &EncodedRecord<'_>) {
        let value = record.value.unwrap_or_default();
        self.records.push(String::from_utf8_lossy(value).into_owned());
    }

    fn take(&mut self) -> Result<DecodedRecords, FormatError> {
        let (mut decoded, mut numbers) = (DecodedRecords::default(), Vec::new());
        for (place, text) in std::mem::take(&mut self.records).into_iter().enumerate() {
            if text == "down" {
                decoded.unfit(place, unavailable("no answer"));
                continue;
            }
            match text
                .split_whitespace()
                .map(str::parse)
                .collect::<Result<Vec<i64>, _>>()
            {
                Ok(own) => {
                    decoded
                        .records
                        .extend(own.iter().map(|_| place + usize::from(self.invents)));
                    numbers.extend(own);
                }
                Err(error) => decoded.unfit(place, FormatError::unreadable("numbers", error.to_string())),
            }
        }
        decoded.columns = vec![Arc::new(Int64Array::from(numbers)) as ArrayRef];
        Ok(decoded)
    }
}

/// Writes what is not negative.
struct Digits(usize);

struct DigitRows<'a>(&'a Int64Array);

impl RecordEncoder for Digits {
    fn batch<'a>(&'a mut self, batch: &'a OutputBatch) -> Result<Box<dyn EncodeRow + 'a>, FormatError> {
        Ok(Box::new(DigitRows(
            batch.rows.column(self.0).as_primitive::<Int64Type>(),
        )))
    }
}

impl EncodeRow for DigitRows<'_> {
    fn value(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, FormatError> {
        match self.0.is_valid(row).then(|| self.0.value(row)) {
            Some(number @ ..0) => {
                out.extend_from_slice(b"half of it");
                Err(FormatError::unwritable(
                    "numbers",
                    format!("{number} is negative"),
                ))
            }
            Some(number) => {
                out.extend_from_slice(number.to_string().as_bytes());
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

fn numbers() -> Format {
    Format::custom(Arc::new(Numbers::default()))
}

fn texts(records: &[TestRecord]) -> Vec<(&str, &str)> {
    records.iter().map(TestRecord::as_text).collect()
}

#[test]
fn a_record_is_any_number_of_rows_and_keeps_what_else_it_has() {
    let app = Streams::new("numbers");
    let rows = app.stream("in", numbers().with_key("k").with_offset("o").with_timestamp("t"));
    rows.on_error(dead_letter("dead"));
    rows.select([col("n"), col("k"), col("o")])
        .to("texts", json().with_key("k"));
    rows.select([col("n"), col("k")])
        .to("out", numbers().with_key("k"))
        .on_error(dead_letter("dead"));
    let mut driver = TestDriver::new(&app).unwrap();
    for (key, value) in [("a", "1 -2"), ("b", ""), ("c", "x"), ("d", "3")] {
        driver.pipe("in", TestRecord::new(value).key(key).at(5)).unwrap();
    }
    driver.commit().unwrap();
    let out = driver.read("texts");
    assert_eq!(
        texts(&out),
        [
            ("a", r#"{"n":1,"o":0}"#),
            ("a", r#"{"n":-2,"o":0}"#),
            ("d", r#"{"n":3,"o":3}"#)
        ]
    );
    assert!(out.iter().all(|record| record.timestamp == Some(5)));
    assert_eq!(texts(&driver.read("out")), [("a", "1"), ("d", "3")]);
    let dead = driver.read("dead");
    assert_eq!(texts(&dead), [("c", "x"), ("?", r#"{"n":-2,"k":"61"}"#)]);
    let header = |name: &str| {
        let headers = dead[1].headers.iter();
        let mut found = headers.filter(|(own, _)| own.ends_with(name));
        String::from_utf8(found.next().unwrap().1.clone().unwrap()).unwrap()
    };
    assert_eq!(header("exception"), "SerializationError");
    let expected = "sink out as numbers: it cannot be written as numbers: -2 is negative";
    assert_eq!(header("message"), expected);
}

#[test]
fn keys_of_tables_are_those_of_json() {
    let app = Streams::new("numbers");
    let counts = app.stream("in", numbers()).group_by([col("n")]);
    let counts = counts.aggregate("counts", [count_all().alias("count")]);
    counts.to("arrays", numbers());
    counts.to("objects", numbers().object_keys());
    let mut driver = TestDriver::new(&app).unwrap();
    driver.pipe("in", TestRecord::new("7 7")).unwrap();
    driver.commit().unwrap();
    assert_eq!(texts(&driver.read("arrays")), [("[7]", "2")]);
    assert_eq!(texts(&driver.read("objects")), [(r#"{"n":7}"#, "2")]);

    counts.to("raw", raw().object_keys());
    let error = app.build().unwrap_err().to_string();
    assert!(error.contains("leave object_keys() out"), "{error}");
}

#[test]
fn streams_may_have_objects_for_keys() {
    let app = Streams::new("numbers");
    app.stream("in", numbers().with_offset("o"))
        .to("out", json().with_key("n").object_keys());
    let mut driver = TestDriver::new(&app).unwrap();
    driver.pipe("in", TestRecord::new("7")).unwrap();
    driver.commit().unwrap();
    assert_eq!(texts(&driver.read("out")), [(r#"{"n":7}"#, r#"{"o":0}"#)]);
}

#[test]
fn what_no_record_is_to_blame_for_follows_no_policy() {
    let app = Streams::new("numbers");
    app.stream("in", numbers()).on_error(skip()).to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    driver.pipe("in", TestRecord::new("down")).unwrap();
    let error = driver.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert!(error.to_string().ends_with("numbers: no answer"), "{error}");

    let app = Streams::new("numbers");
    let format = Numbers {
        down: true,
        ..Numbers::default()
    };
    app.stream("in", Format::custom(Arc::new(format)))
        .to("out", json());
    let error = app.build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(matches!(error, StreamsError::Plan(_)));
    assert!(error.to_string().contains("in: no answer"), "{error}");
}

#[test]
fn a_decoder_that_invents_records_fails_the_job() {
    let app = Streams::new("numbers");
    let format = Numbers {
        invents: true,
        ..Numbers::default()
    };
    app.stream("in", Format::custom(Arc::new(format)))
        .on_error(skip())
        .to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    driver.pipe("in", TestRecord::new("7")).unwrap();
    let error = driver.commit().unwrap_err().to_string();
    assert!(error.contains("rows of other records than the 1"), "{error}");
}

#[test]
fn a_format_that_cannot_write_the_rows_is_named() {
    let app = Streams::new("numbers");
    app.stream("in", numbers().with_offset("o")).to("out", numbers());
    let error = app.build().unwrap_err().to_string();
    assert!(error.contains("there is not one column"), "{error}");
}
