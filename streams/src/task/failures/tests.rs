//! Records and rows that fail, and what each policy makes of them.
use crate::prelude::*;
use crate::{TestDriver, TestRecord};

fn header<'a>(record: &'a TestRecord, name: &str) -> Option<&'a str> {
    let found = record.headers.iter().find(|(own, _)| own == name)?;
    std::str::from_utf8(found.1.as_deref()?).ok()
}

fn amounts() -> crate::Format {
    json_schema(Schema::new(vec![Field::new("amount", DataType::Utf8, true)]))
}

fn number() -> Expr {
    cast(col("amount"), DataType::Int64)
}

fn pipe(driver: &mut TestDriver, values: &[&str]) {
    for (value, at) in values.iter().zip(100..) {
        let record = TestRecord::new(*value).key("k").at(at).header("trace", "7");
        driver.pipe("in", record).unwrap();
    }
}

fn values(records: &[TestRecord]) -> Vec<&str> {
    records.iter().map(|record| record.as_text().1).collect()
}

const MIXED: [&str; 5] = [
    r#"{"amount":"1"}"#,
    r#"{"amount":"x"}"#,
    r#"{"amount":"#,
    r#"{"amount":"2"}"#,
    "\u{1}garbage",
];

#[test]
fn dead_letters_are_the_records_as_they_came_and_rows_as_json() {
    let app = Streams::new("app");
    app.stream("in", amounts())
        .on_error(dead_letter("unreadable"))
        .with_column("amount", number())
        .on_error(dead_letter("no-number"))
        .to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, &MIXED);
    driver.commit().unwrap();
    assert_eq!(
        values(&driver.read("out")),
        [r#"{"amount":1}"#, r#"{"amount":2}"#]
    );

    let dead = driver.read("unreadable");
    assert_eq!(values(&dead), [MIXED[2], MIXED[4]]);
    assert_eq!(dead[0].key.as_deref(), Some(b"k".as_slice()));
    assert_eq!(dead[0].timestamp, Some(102));
    let names: Vec<&str> = dead[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    let short: Vec<&str> = names
        .iter()
        .map(|name| name.trim_start_matches("__streams.errors."))
        .collect();
    assert_eq!(
        short,
        ["trace", "exception", "message", "topic", "partition", "offset"]
    );
    assert_eq!(
        header(&dead[0], "__streams.errors.exception"),
        Some("DeserializationError")
    );
    assert!(
        header(&dead[0], "__streams.errors.message")
            .unwrap()
            .contains("cut short")
    );
    assert_eq!(header(&dead[0], "__streams.errors.topic"), Some("in"));
    assert_eq!(header(&dead[0], "__streams.errors.partition"), Some("0"));
    assert_eq!(header(&dead[1], "__streams.errors.offset"), Some("4"));

    let dead = driver.read("no-number");
    assert_eq!(values(&dead), [r#"{"amount":"x"}"#]);
    assert_eq!((dead[0].timestamp, dead[0].key.as_deref()), (Some(101), None));
    let message = header(&dead[0], "__streams.errors.message").unwrap();
    assert!(
        message.starts_with("with_column ") && message.contains("Cannot cast string 'x'"),
        "{message}"
    );
    assert_eq!(header(&dead[0], "__streams.errors.offset"), None);
    assert_eq!(driver.rows_dropped(), (0, 3));
}

#[test]
fn the_job_fails_unless_told_and_skips_if_told() {
    let app = Streams::new("app");
    let amount = app.stream("in", amounts()).with_column("amount", number());
    amount.to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, &MIXED[..2]);
    let error = driver.commit().unwrap_err().to_string();
    assert!(
        error.contains("step \"with_column") && error.contains("Cannot cast string 'x'"),
        "{error}"
    );

    // What is said afterwards counts from the next start on.
    amount.on_error(skip());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, &MIXED[..2]);
    driver.commit().unwrap();
    assert_eq!(values(&driver.read("out")), [r#"{"amount":1}"#]);
    pipe(&mut driver, &MIXED);
    let error = driver.commit().unwrap_err().to_string();
    assert!(error.contains("offset 4 of in-0"), "{error}");
}

#[test]
fn every_step_with_an_expression_lets_only_the_bad_rows_go() {
    let app = Streams::new("app");
    let rows = app.stream("in", amounts());
    let positive = || number().gt(lit(0));
    rows.filter(positive())
        .on_error(dead_letter("dead"))
        .to("filtered", json());
    let ([big], rest) = rows.branch([number().gt(lit(9))]);
    big.on_error(skip()).to("big", json());
    rest.to("small", json());
    rows.select([number().alias("n")])
        .on_error(skip())
        .to("selected", json());
    rows.group_by([number().alias("n")])
        .aggregate("sums", [sum(number()).alias("sum"), count_all().alias("count")])
        .on_error(dead_letter("dead"))
        .to("sums", json());
    let mut driver = TestDriver::new(&app).unwrap();
    let good = |n: usize| n % 7 != 3;
    let all: Vec<String> = (0..1000)
        .map(|n| match good(n) {
            true => format!(r#"{{"amount":"{}"}}"#, n % 20),
            false => format!(r#"{{"amount":"bad {n}"}}"#),
        })
        .collect();
    pipe(&mut driver, &all.iter().map(String::as_str).collect::<Vec<_>>());
    driver.commit().unwrap();
    let count = |holds: fn(usize) -> bool| (0..1000).filter(|n| good(*n) && holds(n % 20)).count();
    assert_eq!(driver.read("filtered").len(), count(|n| n > 0));
    assert_eq!(driver.read("big").len(), count(|n| n > 9));
    assert_eq!(driver.read("small").len(), count(|n| n <= 9));
    let selected = driver.read("selected");
    assert_eq!(selected.len(), count(|_| true));
    let order: Vec<String> = (0..1000)
        .filter(|n| good(*n))
        .map(|n| format!(r#"{{"n":{}}}"#, n % 20))
        .collect();
    assert_eq!(values(&selected), order, "the order of the others stays");
    let five = (0..1000).filter(|n| good(*n) && n % 20 == 5).count();
    let sums = driver.read("sums");
    let of_five = sums.iter().find(|record| record.as_text().0 == "[5]").unwrap();
    assert_eq!(
        of_five.as_text().1,
        format!(r#"{{"sum":{},"count":{five}}}"#, 5 * five)
    );
    let bad = (0..1000).filter(|n| !good(*n)).count();
    assert_eq!(driver.read("dead").len(), 2 * bad);
    assert_eq!(driver.rows_dropped(), (2 * bad as u64, 2 * bad as u64));
}

#[test]
fn a_repartition_lets_rows_go_whose_key_fails() {
    let app = Streams::new("app");
    app.stream("in", amounts())
        .repartition("by-number", [number()])
        .on_error(dead_letter("dead"))
        .to("out", json());
    let mut driver = TestDriver::with_partitions(&app, 2).unwrap();
    pipe(
        &mut driver,
        &[r#"{"amount":"1"}"#, r#"{"amount":"x"}"#, r#"{"amount":"2"}"#],
    );
    driver.commit().unwrap();
    let mut out = driver.read("out");
    out.sort_by(|one, other| one.value.cmp(&other.value));
    assert_eq!(values(&out), [r#"{"amount":"1"}"#, r#"{"amount":"2"}"#]);
    assert_eq!(values(&driver.read("dead")), [r#"{"amount":"x"}"#]);
}

#[test]
fn what_is_too_large_is_cut_and_says_so() {
    let app = Streams::new("app");
    let lines = app.stream("in", text("line"));
    lines.to("out", json()).on_error(dead_letter("too-large"));
    let mut driver = TestDriver::new(&app).unwrap();
    let long = "x".repeat(1_000_000);
    pipe(&mut driver, &["short", &long, "also short"]);
    driver.commit().unwrap();
    assert_eq!(
        values(&driver.read("out")),
        [r#"{"line":"short"}"#, r#"{"line":"also short"}"#]
    );
    let dead = driver.read("too-large");
    assert_eq!(header(&dead[0], "__streams.errors.truncated"), Some("1000011"));
    assert_eq!(
        header(&dead[0], "__streams.errors.exception"),
        Some("RecordTooLargeError")
    );
    let kept = dead[0].value.as_ref().unwrap().len();
    assert!((990_000..1_000_000).contains(&kept), "{kept}");

    let app = Streams::new("app");
    app.stream("in", text("line")).to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    pipe(&mut driver, &[&long]);
    let error = driver.commit().unwrap_err().to_string();
    assert!(
        error.contains("step \"sink out as json\": a record for out takes 1000059 bytes"),
        "{error}"
    );
}

#[test]
fn policies_are_checked_and_described() {
    let app = Streams::new("app");
    let lines = app.stream("in", text("line")).on_error(skip());
    lines
        .filter(col("line").is_not_null())
        .on_error(fail())
        .to("out", json());
    let described = app.build().unwrap().describe();
    assert!(
        described.contains("source in as text(line)\n    on error: skip\n"),
        "{described}"
    );
    assert!(
        described.contains("line IS NOT NULL\n      on error: fail\n"),
        "{described}"
    );

    let fails = |app: &Streams| app.build().unwrap_err().to_string();
    app.stream("in", text("line"))
        .on_error(dead_letter("dead"))
        .to("more", json());
    assert!(fails(&app).contains("what cannot be read is to skip and to dead letter dead"));
    let app = Streams::new("app");
    let lines = app.stream("in", text("line"));
    lines
        .filter(col("line").is_null())
        .on_error(dead_letter("in"))
        .to("out", json());
    assert!(fails(&app).contains("reads and writes the topic \"in\""));
    let app = Streams::new("app");
    let lines = app.stream("in", text("line"));
    lines.merge(&lines).on_error(skip()).to("out", json());
    assert!(fails(&app).starts_with("merge: nothing can fail there"));
    let app = Streams::new("app");
    app.stream("in", text("line"))
        .on_error(dead_letter("a b"))
        .to("out", json());
    assert!(fails(&app).contains("dead letter topic \"a b\" is not a legal name"));
}

/// A record whose key or headers took all the room failed the job, and with it everything behind it.
#[test]
fn no_dead_letter_is_too_large_whatever_came() {
    let app = Streams::new("app");
    app.stream("in", amounts())
        .on_error(dead_letter("dead"))
        .to("out", json());
    let long = || vec![b'x'; 1_000_000];
    let records = [
        TestRecord::new("a").key(long()),
        TestRecord::new("b")
            .key("k")
            .header("small", "1")
            .header("large", long())
            .header("also small", "2"),
        TestRecord::new(long()).key(long()).header("large", long()),
        TestRecord::new(long())
            .key(vec![b'k'; 600_000])
            .header("half", vec![b'h'; 300_000]),
    ];
    let mut driver = TestDriver::new(&app).unwrap();
    for record in records {
        driver.pipe("in", record).unwrap();
    }
    driver.commit().unwrap();
    let dead = driver.read("dead");
    let sizes = |record: &TestRecord| {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(Vec::len);
        (length(&record.key), length(&record.value))
    };
    let says = |record: &TestRecord| {
        let names = ["truncated", "truncated.key", "truncated.headers"];
        let own = |name: &str| header(record, &format!("__streams.errors.{name}")).map(str::to_owned);
        names.map(own)
    };
    let said = |texts: [&str; 3]| texts.map(|text| (!text.is_empty()).then(|| text.to_owned()));
    assert_eq!(sizes(&dead[0]), (None, Some(1)));
    assert_eq!(says(&dead[0]), said(["", "1000000", ""]));
    assert_eq!(sizes(&dead[1]), (Some(1), Some(1)));
    assert_eq!(says(&dead[1]), said(["", "", "1"]));
    assert_eq!(
        (header(&dead[1], "small"), header(&dead[1], "also small")),
        (Some("1"), Some("2"))
    );
    assert!(sizes(&dead[2]).0.is_none() && sizes(&dead[2]).1 > Some(990_000));
    assert_eq!(says(&dead[2]), said(["1000000", "1000000", "1"]));
    assert_eq!(sizes(&dead[3]).0, Some(600_000));
    assert!(sizes(&dead[3]).1 > Some(90_000));
    assert_eq!(says(&dead[3]), said(["1000000", "", ""]));
    for record in &dead {
        let headers: usize = record
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len))
            .sum();
        let (key, value) = sizes(record);
        let size = key.unwrap_or(0) + value.unwrap_or(0) + headers;
        assert!(size < 1_000_000, "{size}");
        assert_eq!(
            header(record, "__streams.errors.exception"),
            Some("DeserializationError")
        );
    }
    assert_eq!(driver.rows_dropped(), (0, 4));
}
