//! Formats against bytes that others wrote: Avro's and Protobuf's own libraries, and Debezium.
use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;
use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{Converter, Registry};
use millstream_streams::{
    DataType, ErrorKind, Field, FormatError, Schema, Streams, StreamsError, TestDriver, TestRecord, cast,
    col, count_all, dead_letter, json, json_schema, skip, sum,
};
use serde_json::Value as Json;

use crate::converters::{Codec, Encoding, Schemas};
use crate::{SchemaFormat, avro, debezium_avro, debezium_protobuf, protobuf};

fn unhex(text: &str) -> Vec<u8> {
    let digits = (0..text.len()).step_by(2);
    digits
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Floats are compared as such: their texts differ between languages, and between their sizes.
fn alike(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => {
            let [one, other] = [one, other].map(|number| number.as_f64().unwrap());
            one == other || one as f32 == other as f32
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| alike(value, other)))
        }
        (one, other) => one == other,
    }
}

/// Reads the records with `format`: as JSON, and written with it again.
fn copied(format: impl Fn() -> SchemaFormat, records: &[Vec<u8>]) -> (Vec<Json>, Vec<Vec<u8>>) {
    let app = Streams::new("copy");
    let rows = app.stream("in", format());
    rows.to("texts", json());
    rows.to("out", format());
    let mut driver = TestDriver::new(&app).unwrap();
    for record in records {
        driver.pipe("in", TestRecord::new(record.as_slice())).unwrap();
    }
    driver.commit().unwrap();
    let texts = driver.read("texts").into_iter();
    let texts = texts.map(|record| serde_json::from_str(record.as_text().1).unwrap());
    let out = driver.read("out").into_iter();
    (texts.collect(), out.map(|record| record.value.unwrap()).collect())
}

/// Whether a schema has unions that are more than null and something, which become structs that lose their names in columns.
fn has_unions(schema: &Json) -> bool {
    match schema {
        Json::Array(parts) => {
            let is_union = parts.len() > 2 || parts.iter().any(|part| part.is_array());
            (is_union && parts.iter().all(|part| !part.is_null())) || parts.iter().any(has_unions)
        }
        Json::Object(parts) => parts.iter().any(|(name, part)| match (name.as_str(), part) {
            ("fields", Json::Array(fields)) => fields.iter().any(|field| has_unions(&field["type"])),
            ("symbols", _) => false,
            (_, part) => has_unions(part),
        }),
        _ => false,
    }
}

#[test]
fn avros_own_bytes_are_read_and_written() {
    let cases = include_str!("../../../connect/golden/avro.jsonl");
    let (mut read, mut same) = (0, 0);
    for line in cases.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let text = case["avro"].as_str().unwrap();
        let schema: Json = serde_json::from_str(text).unwrap();
        if schema["type"] != "record"
            || has_unions(&schema)
            || text.contains("logicalType")
            || text.contains("Anything")
        {
            continue;
        }
        let bytes = unhex(case["bytes"].as_str().unwrap());
        let (rows, again) = copied(|| avro().schema(text), std::slice::from_ref(&bytes));
        assert!(alike(&rows[0], &case["plain"]), "{line}\n{}", rows[0]);
        assert_eq!(again, [bytes], "{line}");
        read += 1;
        same += usize::from(text.contains("fixed"));
    }
    assert!(read >= 30 && same >= 5, "{read} cases, {same} with fixed");
}

#[test]
fn protobufs_own_bytes_are_read_and_written() {
    let cases = include_str!("../../../connect/golden/protobuf.jsonl");
    for (line, is_exact) in cases.lines().zip([true, false]) {
        let case: Json = serde_json::from_str(line).unwrap();
        let text = case["proto"].as_str().unwrap();
        let cases = case["cases"].as_array().unwrap();
        let records: Vec<Vec<u8>> = cases
            .iter()
            .map(|case| unhex(case[0].as_str().unwrap()))
            .collect();
        let (rows, again) = copied(|| protobuf().schema(text), &records);
        assert_eq!(rows.len(), cases.len());
        for (row, case) in rows.iter().zip(cases) {
            let given = case[1].as_object().unwrap();
            for (name, value) in given {
                assert!(alike(&row[name], value), "{name}: {} and not {value}", row[name]);
            }
        }
        if is_exact {
            assert_eq!(again, records);
        }
    }
}

fn registry(folder: &tempfile::TempDir) -> [(&'static str, String); 1] {
    let path = folder.path().join("schemas.jsonl");
    [("schema.registry.url", format!("file:{}", path.display()))]
}

fn converter(class: &str, keys: &[(&str, &str)]) -> Box<dyn Converter> {
    let keys = keys.iter();
    let config: ConfigMap = keys
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let registry = Registry::built_in();
    registry
        .converter(class)
        .unwrap()
        .new_converter(&config, false)
        .unwrap()
}

/// What Debezium wrote to `topic` in one of its golden cases, converted by `class` with its schemas.
fn golden(case: &str, topic: &str, class: &str, url: &str) -> Vec<Option<Vec<u8>>> {
    let path = format!(
        "{}/../../connectors/golden/debezium/{case}/records.jsonl.gz",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let mut from = converter(
        "org.apache.kafka.connect.json.JsonConverter",
        &[("schemas.enable", "true")],
    );
    let mut to = converter(class, &[("schema.registry.url", url)]);
    let mut schemas: Vec<Json> = Vec::new();
    let mut records = Vec::new();
    for line in text.lines() {
        let mut record: Json = serde_json::from_str(line).unwrap();
        // A schema stands where it comes first, and is referred to by its number among all.
        let mut resolve = |part: &mut Json| {
            if let Some(schema) = part.get_mut("schema") {
                match schema["ref"].as_u64() {
                    Some(number) => *schema = schemas[number as usize].clone(),
                    None if !schema.is_null() => schemas.push(schema.clone()),
                    None => {}
                }
            }
        };
        resolve(&mut record["key"]);
        resolve(&mut record["value"]);
        for header in record["headers"].as_array_mut().into_iter().flatten() {
            resolve(&mut header["value"]);
        }
        if record["topic"] != topic {
            continue;
        }
        records.push((!record["value"].is_null()).then(|| {
            let value = record["value"].to_string().into_bytes().into();
            let datum = from.decode(topic, Some(&value)).unwrap();
            let mut bytes = Vec::new();
            to.encode(topic, &datum, &mut bytes).unwrap();
            bytes
        }));
    }
    assert!(records.iter().any(Option::is_none));
    records
}

/// The last value of each key; none where it was deleted.
fn latest(records: Vec<TestRecord>) -> BTreeMap<String, String> {
    let mut latest = BTreeMap::new();
    for record in records {
        let (key, value) = record.as_text();
        match record.value {
            Some(_) => latest.insert(key.to_owned(), value.to_owned()),
            None => latest.remove(key),
        };
    }
    latest
}

#[test]
fn a_captured_table_is_read_from_avro_and_protobuf() {
    type Make = fn() -> SchemaFormat;
    for (format, class) in [
        (debezium_avro as Make, "io.confluent.connect.avro.AvroConverter"),
        (
            debezium_protobuf,
            "io.confluent.connect.protobuf.ProtobufConverter",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let registry = registry(&folder);
        let records = golden("mysql97-basic", "records.g.lines", class, &registry[0].1);
        let app = Streams::new("lines");
        let table = app.table(
            "records.g.lines",
            format().registry(registry.clone()),
            [col("a"), col("n")],
        );
        table.on_error(dead_letter("dead"));
        table.to("copy", json().object_keys());
        table.to("envelopes", format().registry(registry.clone()));
        table
            .group_by([col("note").is_null().alias("empty")])
            .aggregate("sums", [count_all().alias("rows"), sum(col("n")).alias("n")])
            .to("sums", json());
        let mut driver = TestDriver::new(&app).unwrap();
        for record in records {
            let record = record.map_or_else(TestRecord::null, TestRecord::new);
            driver.pipe("records.g.lines", record).unwrap();
            driver.commit().unwrap();
        }
        let copy = latest(driver.read("copy"));
        let expected = [
            (r#"{"a":"x","n":1}"#, r#"{"note":"first"}"#),
            (r#"{"a":"y","n":3}"#, r#"{"note":"same key"}"#),
            (r#"{"a":"z","n":9}"#, r#"{"note":"after"}"#),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(copy, BTreeMap::from(expected), "{class}");
        let sums = latest(driver.read("sums"));
        assert_eq!(sums["[false]"], r#"{"rows":3,"n":13}"#, "{class}");
        // The truncation.
        let dead = driver.read("dead");
        assert_eq!(dead.len(), 1, "{class}");
        let message = dead[0].headers.iter().find(|(name, _)| name.ends_with("message"));
        let message = String::from_utf8(message.unwrap().1.clone().unwrap()).unwrap();
        assert!(message.contains("skipped.operations=t"), "{message}");

        // What is written is the same table to who reads it.
        let again = Streams::new("again");
        again
            .table("envelopes", format().registry(registry), [col("a"), col("n")])
            .to("copy", json().object_keys());
        let mut reader = TestDriver::new(&again).unwrap();
        for record in driver.read("envelopes") {
            assert!(record.key.is_some());
            reader.pipe("envelopes", record).unwrap();
        }
        reader.commit().unwrap();
        assert_eq!(latest(reader.read("copy")), copy, "{class}");
    }
}

#[test]
fn records_of_other_schemas_are_read_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder);
    let row = |schema: Schema, text: &str, topic: &str| {
        let app = Streams::new("writer");
        app.stream("in", json_schema(schema))
            .to(topic, avro().registry(registry.clone()).record("shop.Order"));
        let mut driver = TestDriver::new(&app).unwrap();
        driver.pipe("in", TestRecord::new(text)).unwrap();
        driver.commit().unwrap();
        driver.read(topic).remove(0)
    };
    let field = |name, data_type| Field::new(name, data_type, true);
    let first = row(
        Schema::new(vec![field("id", DataType::Int32), field("gone", DataType::Utf8)]),
        r#"{"id": 1, "gone": "x"}"#,
        "orders",
    );
    let second = row(
        Schema::new(vec![field("item", DataType::Utf8), field("id", DataType::Int64)]),
        r#"{"id": 2, "item": "pen"}"#,
        "orders",
    );
    let wrong = row(
        Schema::new(vec![field("id", DataType::Utf8)]),
        r#"{"id": "x"}"#,
        "others",
    );
    let mut unknown = first.clone();
    unknown.value.as_mut().unwrap()[4] = 99;

    // The latest schema is the second.
    let app = Streams::new("reader");
    app.stream("orders", avro().registry(registry.clone()))
        .on_error(dead_letter("dead"))
        .to("texts", json());
    let mut driver = TestDriver::new(&app).unwrap();
    let records = [
        first,
        wrong,
        TestRecord::new("{}"),
        unknown,
        second,
        TestRecord::null(),
    ];
    for record in records {
        driver.pipe("orders", record).unwrap();
    }
    driver.commit().unwrap();
    let texts = driver.read("texts");
    let texts: Vec<&str> = texts.iter().map(|record| record.as_text().1).collect();
    assert_eq!(
        texts,
        [
            r#"{"item":null,"id":1}"#,
            r#"{"item":"pen","id":2}"#,
            r#"{"item":null,"id":null}"#
        ]
    );
    let causes = [
        "id: a value of type string where the stream's schema says int64",
        "they were written with another converter",
        "no schema with the id 99",
    ];
    let dead = driver.read("dead");
    assert_eq!(dead.len(), causes.len());
    for (letter, cause) in dead.iter().zip(causes) {
        let message = letter.headers.iter().find(|(name, _)| name.ends_with("message"));
        let message = String::from_utf8(message.unwrap().1.clone().unwrap()).unwrap();
        assert!(message.contains(cause), "{message}");
    }
}

#[test]
fn keys_of_tables_are_written_too() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder);
    let word = r#"{"type":"record","name":"Word","fields":[{"name":"word","type":"string"}]}"#;
    let app = Streams::new("counts");
    let words = app.stream("words", avro().schema(word));
    words
        .group_by([col("word")])
        .aggregate("counts", [count_all().alias("n")])
        .to("counts", avro().registry(registry.clone()).key_too());
    let mut driver = TestDriver::new(&app).unwrap();
    driver.pipe("words", TestRecord::new(b"\x04to")).unwrap();
    driver.commit().unwrap();
    let record = driver.read("counts").remove(0);
    assert_eq!(record.key.as_deref(), Some(b"\0\0\0\0\x01\x02\x04to".as_slice()));
    assert_eq!(record.value.as_deref(), Some(b"\0\0\0\0\x02\x02".as_slice()));

    let app = Streams::new("counts");
    let counts = app.stream("words", avro().schema(word));
    let table = counts
        .group_by([col("word")])
        .aggregate("counts", [count_all().alias("n")]);
    table.to("counts", avro().schema(word).key_too());
    assert!(app.build().unwrap_err().to_string().contains("registry(…)"));
}

#[test]
fn a_row_that_the_schema_does_not_allow_follows_the_policy() {
    let order = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"int"},{"name":"note","type":["null","string"]}]}"#;
    let app = Streams::new("orders");
    let orders = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    app.stream("in", json_schema(orders.clone()))
        .to("out", avro().schema(order))
        .on_error(dead_letter("dead"));
    let mut driver = TestDriver::new(&app).unwrap();
    for text in [r#"{"id":1}"#, "{}", r#"{"id":3000000000}"#, r#"{"id":2}"#] {
        driver.pipe("in", TestRecord::new(text)).unwrap();
    }
    driver.commit().unwrap();
    let out: Vec<_> = driver
        .read("out")
        .into_iter()
        .map(|record| record.value.unwrap())
        .collect();
    assert_eq!(out, [b"\x02\0", b"\x04\0"]);
    let dead = driver.read("dead");
    let mut dead: Vec<&str> = dead.iter().map(|record| record.as_text().1).collect();
    dead.sort_unstable();
    assert_eq!(dead, [r#"{"id":3000000000}"#, r#"{"id":null}"#]);

    let app = Streams::new("orders");
    app.stream("in", json_schema(orders))
        .with_column("more", cast(col("id"), DataType::Utf8))
        .to("out", avro().schema(order));
    let error = app.build().unwrap_err().to_string();
    assert!(error.contains("no field for column \"more\""), "{error}");
}

#[test]
fn what_is_missing_is_named_when_the_job_is_built() {
    let error = |format: SchemaFormat| {
        let app = Streams::new("app");
        app.stream("in", format).on_error(skip()).to("out", json());
        let error = app.build().unwrap_err();
        assert!(matches!(error, StreamsError::Plan(_)));
        assert_eq!(error.kind(), ErrorKind::FixInput);
        error.to_string()
    };
    assert!(error(avro()).contains("give it with schema(…)"));
    assert!(error(avro().schema("nonsense")).contains("avro"));
    assert!(error(avro().schema("\"int\"")).contains("no columns"));
    assert!(
        error(debezium_avro().schema(r#"{"type":"record","name":"R","fields":[]}"#)).contains("\"after\"")
    );
    assert!(error(avro().schema_file("/none/such.avsc")).contains("/none/such.avsc"));
    assert!(error(avro().registry([("schema.registry.url", "ftp://x")])).contains("ftp://x"));
    let message = protobuf()
        .schema("message A { optional int32 x = 1; }")
        .record("B");
    assert!(error(message).contains("no message B"));
    let folder = tempfile::tempdir().unwrap();
    assert!(error(avro().registry(registry(&folder))).contains("in-value"));
}

#[test]
fn a_registry_that_does_not_answer_is_nobodys_fault() {
    let keys = [("schema.registry.url".to_owned(), "http://127.0.0.1:1".to_owned())];
    let codec = Codec::new(Encoding::Avro, &Schemas::Registry(keys.into()), false);
    let mut codec = codec.unwrap().with_patience(Duration::ZERO);
    let error = codec.latest("t", None).unwrap_err();
    assert!(matches!(error, FormatError::Unavailable { .. }), "{error}");
    let error = codec.decode("t", b"\0\0\0\0\x01").unwrap_err();
    assert!(matches!(error, FormatError::Unavailable { .. }), "{error}");
}
