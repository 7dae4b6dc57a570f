//! Data that another implementation of Avro wrote (`connect/golden/avro.jsonl`, made by `tests/peers/connect-golden/avro.py`).
use std::sync::Arc;

use bytes::{Buf, Bytes};
use serde_json::{Map, Value as Json, json};

use super::schema::Nodes;
use super::{AvroConverter, AvroConverterPlugin, from_connect, to_connect};
use crate::config::ConfigMap;
use crate::converter::golden::{hex, schema};
use crate::converter::registry::double::Double;
use crate::plugin::{Converter, ConverterPlugin, Encoded};
use crate::record::{Datum, Field, Schema, SchemaKind, Struct, Value};

const CASES: &str = include_str!("../../../golden/avro.jsonl");

fn config(double: &Double, more: &[(&str, &str)]) -> ConfigMap {
    let url = double.url();
    let all = [("schema.registry.url", url.as_str())];
    let all = all.iter().chain(more);
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn converter(double: &Double, more: &[(&str, &str)]) -> AvroConverter {
    AvroConverter::new(&config(double, more), false).unwrap()
}

/// The value as plain JSON, as the cases have it.
fn plain(value: &Value) -> Json {
    let hexed = |bytes: &[u8]| Json::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => json!(value),
        Value::Int8(number) => json!(number),
        Value::Int16(number) => json!(number),
        Value::Int32(number) | Value::Date(number) | Value::Time(number) => json!(number),
        Value::Int64(number) | Value::Timestamp(number) => json!(number),
        Value::Float32(number) => json!(f64::from(*number)),
        Value::Float64(number) => json!(number),
        Value::String(text) => json!(&**text),
        Value::Bytes(bytes) => hexed(bytes),
        Value::Decimal(decimal) => hexed(&decimal.as_bigint_and_scale().0.to_signed_bytes_be()),
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Map(entries) if entries.iter().all(|(key, _)| matches!(key, Value::String(_))) => {
            let entry = |(key, value): &(Value, Value)| (key.as_str().unwrap().to_owned(), plain(value));
            Json::Object(entries.iter().map(entry).collect())
        }
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| json!([plain(key), plain(value)]))
            .collect(),
        Value::Struct(its) => {
            let union = its.schema().name.as_deref() == Some("io.confluent.connect.avro.Union");
            let fields = its.schema().fields().iter().zip(its.values());
            let given = fields.filter(|(_, value)| !union || !value.is_null());
            let object: Map<String, Json> = given
                .map(|(field, value)| (field.name.to_string(), plain(value)))
                .collect();
            Json::Object(object)
        }
    }
}

#[test]
fn data_of_another_implementation_are_read_and_written() {
    for line in CASES.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let text = case["avro"].as_str().unwrap();
        let bytes = hex(case["bytes"].as_str().unwrap());
        let top_bytes = text.starts_with("\"bytes\"") || text.starts_with("{\"type\":\"bytes\"");
        let double = Double::start();
        let id = double.register("t-value", text);
        let mut message = vec![0];
        message.extend_from_slice(&id.to_be_bytes());
        // Bytes alone stand without their length, which is one byte here.
        message.extend_from_slice(if top_bytes { &bytes[1..] } else { &bytes });
        let message = Bytes::from(message);
        let latest = [("auto.register.schemas", "false"), ("use.latest.version", "true")];
        let mut converter = converter(&double, &latest);
        let datum = converter
            .decode("t", Some(&message))
            .unwrap_or_else(|error| panic!("{error}\n{line}"));
        let mut expected = case["plain"].clone();
        if text.contains("\"fixed\"") && text.contains("decimal") {
            expected = json!("ff01"); // without its filling
        }
        assert_eq!(plain(&datum.value), expected, "{line}");
        if let Some(schema) = &datum.schema {
            schema.check(&datum.value).unwrap();
        }
        let mut written = Vec::new();
        let encoded = converter.encode("t", &datum, &mut written);
        match encoded.unwrap_or_else(|error| panic!("{error}\n{line}")) {
            Encoded::Bytes => assert_eq!(written, message, "{line}"),
            Encoded::Null => assert!(datum.is_null()),
        }
        if case.get("connect").is_some() {
            let expected = schema(&case["connect"]).unwrap();
            let mut found = datum.schema.clone();
            let own_version = expected.as_ref().is_some_and(|schema| schema.version.is_some());
            if !own_version
                && !text.starts_with('[')
                && let Some(found) = &mut found
            {
                // It is the registry's.
                assert_eq!(Arc::make_mut(found).version.take(), Some(1), "{line}");
            }
            assert_eq!(found, expected, "{line}");
            if case.get("written").is_some() {
                let written = from_connect::write(&expected.unwrap(), converter.options);
                assert_eq!(written.unwrap(), text);
            }
        }
    }
}

#[test]
fn schemas_survive_the_way_to_avro_and_back() {
    let double = Double::start();
    let options = converter(&double, &[]).options;
    for line in CASES.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let (nodes, root) = Nodes::read(case["avro"].as_str().unwrap(), &[]).unwrap();
        let (Some(schema), _) = to_connect::convert(&nodes, root, None, options).unwrap() else {
            continue;
        };
        let through = |schema: &Schema| {
            let text = from_connect::write(schema, options).unwrap();
            let (nodes, root) = Nodes::read(&text, &[]).unwrap();
            to_connect::convert(&nodes, root, None, options)
                .unwrap()
                .0
                .unwrap()
        };
        // Defaults that are null become explicit the first time.
        let once = through(&schema);
        assert_eq!(through(&once), once, "{line}");
    }
}

#[test]
fn what_is_cut_or_damaged_is_refused() {
    let options = converter(&Double::start(), &[]).options;
    for line in CASES.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let (nodes, root) = Nodes::read(case["avro"].as_str().unwrap(), &[]).unwrap();
        let (_, read) = to_connect::convert(&nodes, root, None, options).unwrap();
        let bytes = hex(case["bytes"].as_str().unwrap());
        for length in 0..bytes.len() {
            assert!(read.value(&mut bytes.slice(..length)).is_err(), "{line}");
            let mut damaged = bytes.to_vec();
            damaged[length] ^= 0xff;
            let _ = read.value(&mut Bytes::from(damaged));
        }
        let mut all = bytes.clone();
        read.value(&mut all).unwrap();
        assert!(!all.has_remaining());
    }
}

fn line_schema() -> Arc<Schema> {
    let field = |name: &str, schema| Field {
        name: name.into(),
        schema,
    };
    let fields = vec![
        field("id", Arc::new(SchemaKind::Int64.into())),
        field("text", Schema::optional_string()),
    ];
    Arc::new(Schema::try_struct(fields).unwrap().named("logs.Line"))
}

#[test]
fn a_schema_is_registered_once_and_the_data_come_back() {
    let double = Double::start();
    let mut converter = AvroConverterPlugin
        .new_converter(&config(&double, &[]), false)
        .unwrap();
    let schema = line_schema();
    for number in 0..10 {
        let text = Value::from("to be");
        let its = Struct::new(Arc::clone(&schema), vec![Value::Int64(number), text]);
        let datum = Datum::new(Arc::clone(&schema), Value::Struct(its));
        let mut out = Vec::new();
        assert_eq!(
            converter.encode("lines", &datum, &mut out).unwrap(),
            Encoded::Bytes
        );
        let bytes = Bytes::from(out);
        let again = converter.decode("lines", Some(&bytes)).unwrap();
        let Value::Struct(its) = &again.value else {
            panic!()
        };
        assert_eq!(its.values()[0], Value::Int64(number));
        let text = its.values()[1].as_str().unwrap();
        assert!(
            bytes.as_ptr_range().contains(&text.as_ptr()),
            "it shares the buffer"
        );
        assert_eq!(again.schema.unwrap().version, Some(1));
    }
    assert_eq!(
        double.requests().len(),
        3,
        "registering, by id, version: {:?}",
        double.requests()
    );
    assert_eq!(
        double.text(1),
        r#"{"type":"record","name":"Line","namespace":"logs","fields":[{"name":"id","type":"long"},{"name":"text","type":["null","string"],"default":null}],"connect.name":"logs.Line"}"#
    );
    assert_eq!(
        converter.encode("lines", &Datum::NULL, &mut Vec::new()).unwrap(),
        Encoded::Null
    );
    assert!(converter.decode("lines", None).unwrap().is_null());
}

#[test]
fn errors_say_what_is_wrong() {
    let double = Double::start();
    let mut converter = converter(&double, &[]);
    let mut error = |datum: &Datum| {
        converter
            .encode("t", datum, &mut Vec::new())
            .unwrap_err()
            .to_string()
    };
    let schema = line_schema();
    let its = Struct::empty(Arc::clone(&schema));
    let null = error(&Datum::new(Arc::clone(&schema), Value::Struct(its)));
    assert_eq!(
        null,
        "AvroConverter: at .id: the value is null, but its schema is not optional"
    );
    let other = error(&Datum::new(Schema::string(), Value::Int8(1)));
    assert_eq!(
        other,
        "AvroConverter: the schema says string, but the value is of type int8"
    );
    let schemaless = error(&Datum::schemaless(Value::Bytes(Bytes::new())));
    assert!(schemaless.contains("has to have a schema"), "{schemaless}");
    let fields = vec![Field {
        name: "with space".into(),
        schema: Schema::string(),
    }];
    let invalid = Arc::new(Schema::try_struct(fields).unwrap());
    let its = Struct::new(Arc::clone(&invalid), vec![Value::from("x")]);
    let datum = Datum::new(invalid, Value::Struct(its));
    let message = error(&datum);
    assert!(message.contains("scrub.invalid.names=true"), "{message}");
    let mut scrubbing = self::converter(&double, &[("scrub.invalid.names", "true")]);
    scrubbing.encode("t", &datum, &mut Vec::new()).unwrap();
    let mut decode = |bytes: &'static [u8]| {
        scrubbing
            .decode("t", Some(&Bytes::from_static(bytes)))
            .unwrap_err()
            .to_string()
    };
    assert!(decode(b"{}").contains("another converter"));
    assert!(decode(&[0, 0, 0, 0, 99, 1]).contains("Schema 99 not found"));
}

#[test]
fn recursive_schemas_are_refused() {
    let double = Double::start();
    let text = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let id = double.register("t-value", text);
    let mut message = vec![0];
    message.extend_from_slice(&id.to_be_bytes());
    message.push(0);
    let error = converter(&double, &[])
        .decode("t", Some(&message.into()))
        .unwrap_err();
    assert!(error.to_string().contains("holds itself"), "{error}");
}

#[test]
fn references_of_schemas_are_resolved() {
    let double = Double::start();
    double.register(
        "inner",
        r#"{"type":"record","name":"I","namespace":"a","fields":[{"name":"n","type":"int"}]}"#,
    );
    let text = r#"{"type":"record","name":"O","namespace":"a","fields":[{"name":"i","type":"a.I"}]}"#;
    let id = double.register_with("t-value", text, &[("inner", 1)]);
    let mut message = vec![0];
    message.extend_from_slice(&id.to_be_bytes());
    message.push(14);
    let datum = converter(&double, &[])
        .decode("t", Some(&message.into()))
        .unwrap();
    assert_eq!(plain(&datum.value), json!({"i": {"n": 7}}));
}

/// What the schema is written as with an option, and what it is when read again with it.
fn through(schema: &Schema, option: (&str, &str)) -> (String, Schema) {
    let options = converter(&Double::start(), &[option]).options;
    let text = from_connect::write(schema, options).unwrap();
    let (nodes, root) = Nodes::read(&text, &[]).unwrap();
    let (again, _) = to_connect::convert(&nodes, root, None, options).unwrap();
    (text, Arc::unwrap_or_clone(again.unwrap()))
}

#[test]
fn options_change_what_is_kept() {
    let number = Schema::from(SchemaKind::Int16).named("a.B").versioned(3);
    let (text, again) = through(&number, ("connect.meta.data", "false"));
    assert_eq!((text.as_str(), again), ("\"int\"", SchemaKind::Int32.into()));

    let symbols = ["X", "Y"].map(|symbol| (format!("io.confluent.connect.avro.Enum.{symbol}"), symbol));
    let mut either = Schema::from(SchemaKind::String)
        .named("a.E")
        .with_parameter("io.confluent.connect.avro.Enum", "a.E");
    for (name, symbol) in symbols {
        either = either.with_parameter(name, symbol);
    }
    let (text, again) = through(&either, ("enhanced.avro.schema.support", "true"));
    assert!(
        text.starts_with(
            r#"{"type":"enum","name":"E","namespace":"a","symbols":["X","Y"],"connect.parameters":"#
        ),
        "{text}"
    );
    assert_eq!(again, either);
    assert!(
        through(&either, ("enhanced.avro.schema.support", "false"))
            .0
            .starts_with(r#"{"type":"string""#)
    );

    let mut text_field = Schema::from(SchemaKind::String);
    text_field.doc = Some("what it says".into());
    let field = Field {
        name: "text".into(),
        schema: Arc::new(text_field),
    };
    let line = Schema::try_struct(vec![field]).unwrap().named("L");
    let (text, again) = through(&line, ("discard.type.doc.default", "true"));
    assert!(text.contains(r#""doc":"what it says""#), "{text}");
    assert_eq!(again, line);

    let key = Schema::optional_string();
    let map = Schema::from(SchemaKind::Map(key, Schema::string()));
    assert!(
        through(&map, ("allow.optional.map.keys", "true"))
            .0
            .contains(r#""type":"map""#)
    );
    assert_eq!(through(&map, ("allow.optional.map.keys", "false")).1, map);
}

#[test]
fn null_stands_for_the_default_unless_it_is_not_to() {
    let number = Schema::from(SchemaKind::Int32)
        .optional()
        .with_default(Value::Int32(5));
    let field = Field {
        name: "n".into(),
        schema: Arc::new(number),
    };
    let schema = Arc::new(Schema::try_struct(vec![field]).unwrap());
    let datum = Datum::new(Arc::clone(&schema), Value::Struct(Struct::empty(schema)));
    for (ignore, expected) in [("false", &[0, 10][..]), ("true", &[2])] {
        let mut converter = converter(&Double::start(), &[("ignore.default.for.nullables", ignore)]);
        let mut out = Vec::new();
        converter.encode("t", &datum, &mut out).unwrap();
        assert_eq!(&out[5..], expected);
    }
}

#[test]
fn deep_schemas_are_prepared_quickly() {
    let mut schema: Schema = SchemaKind::Int8.into();
    for _ in 0..30 {
        schema = Schema::from(SchemaKind::Array(Arc::new(schema))).optional();
    }
    let datum = Datum::new(Arc::new(schema), Value::Array(Vec::new()));
    converter(&Double::start(), &[])
        .encode("t", &datum, &mut Vec::new())
        .unwrap();
}

#[test]
fn two_structs_of_one_name_are_refused() {
    let of = |kind: SchemaKind| {
        let field = Field {
            name: "n".into(),
            schema: Arc::new(kind.into()),
        };
        Arc::new(Schema::try_struct(vec![field]).unwrap().named("a.Same"))
    };
    let field = |name: &str, schema| Field {
        name: name.into(),
        schema,
    };
    let fields = vec![
        field("x", of(SchemaKind::Int8)),
        field("y", of(SchemaKind::Int16)),
    ];
    let options = converter(&Double::start(), &[]).options;
    let error = from_connect::write(&Schema::try_struct(fields).unwrap(), options).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("two different schemas have the name a.Same"),
        "{error}"
    );
}

#[test]
#[ignore = "a measurement; run it alone, with --release"]
fn measure_records() {
    const RECORDS: u32 = 3_000_000;
    let schema = line_schema();
    let text = Value::from("a line of fifty bytes, as in a log file or a book.");
    let its = Struct::new(Arc::clone(&schema), vec![Value::Int64(42), text]);
    let datum = Datum::new(schema, Value::Struct(its));
    let double = Double::start();
    let (mut converter, mut out) = (converter(&double, &[]), Vec::new());
    let start = std::time::Instant::now();
    for _ in 0..RECORDS {
        out.clear();
        converter
            .encode("lines", std::hint::black_box(&datum), &mut out)
            .unwrap();
    }
    println!("encode: {} ns a record", (start.elapsed() / RECORDS).as_nanos());
    let bytes = Bytes::from(out);
    let start = std::time::Instant::now();
    for _ in 0..RECORDS {
        std::hint::black_box(converter.decode("lines", Some(&bytes)).unwrap());
    }
    println!("decode: {} ns a record", (start.elapsed() / RECORDS).as_nanos());
}
