//! Tests against a registry's double.
mod reading;
mod writing;

use std::sync::Arc;

use bytes::Bytes;

use super::wire::{write_varint, zigzag};
use super::{ProtobufConverter, ProtobufConverterPlugin};
use crate::config::ConfigMap;
use crate::converter::registry::double::Double;
use crate::plugin::{Converter, ConverterPlugin, Encoded, ErrorKind, PluginError};
use crate::record::{Datum, Field, Schema, SchemaKind, SchemaRef, Struct, Value};

fn config(double: &Double, more: &[(&str, &str)]) -> ConfigMap {
    let url = double.url();
    let all = [("schema.registry.url", url.as_str())];
    let all = all.iter().chain(more);
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

pub(super) fn converter(double: &Double, more: &[(&str, &str)]) -> ProtobufConverter {
    ProtobufConverter::new(&config(double, more), false).unwrap()
}

/// What stands before a message.
pub(super) fn head(id: i32, places: &[usize]) -> Vec<u8> {
    let mut head = vec![0];
    head.extend_from_slice(&id.to_be_bytes());
    match places {
        [0] => head.push(0),
        places => {
            write_varint(zigzag(places.len() as i64), &mut head);
            places
                .iter()
                .for_each(|place| write_varint(zigzag(*place as i64), &mut head));
        }
    }
    head
}

pub(super) fn field(name: &str, schema: impl Into<SchemaRef>) -> Field {
    Field {
        name: name.into(),
        schema: schema.into(),
    }
}

pub(super) fn a_struct(name: &str, fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::try_struct(fields).unwrap().named(name))
}

pub(super) fn of(schema: &SchemaRef, values: Vec<Value>) -> Datum {
    let its = Struct::new(Arc::clone(schema), values);
    Datum::new(Arc::clone(schema), Value::Struct(its))
}

pub(super) fn encode(converter: &mut ProtobufConverter, datum: &Datum) -> Result<Bytes, PluginError> {
    let mut out = Vec::new();
    assert_eq!(converter.encode("t", datum, &mut out)?, Encoded::Bytes);
    Ok(out.into())
}

/// The data of `text`'s first message, read with these keys.
pub(super) fn read(text: &str, data: &[u8], more: &[(&str, &str)]) -> Result<Datum, PluginError> {
    let double = Double::start();
    let id = double.register_as("PROTOBUF", "t-value", text, &[]);
    let mut message = head(id, &[0]);
    message.extend_from_slice(data);
    converter(&double, more).decode("t", Some(&message.into()))
}

pub(super) fn get<'a>(datum: &'a Datum, name: &str) -> &'a Value {
    match &datum.value {
        Value::Struct(its) => its.get(name).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(super) const ONEOF: &str = "syntax = \"proto3\"; package p; message M { optional int32 o = 9; oneof u { int32 a = 1; string b = 2; } \
                     enum E { ZERO = 0; ONE = 1; } E e = 3; Inner inner = 4; message Inner { int32 x = 1; string y = 2; } }";

#[test]
fn a_schema_is_registered_once_and_the_data_come_back() {
    let double = Double::start();
    let mut converter = converter(&double, &[]);
    let schema = a_struct(
        "logs.Line",
        vec![
            field("id", Arc::new(SchemaKind::Int64.into())),
            field("text", Schema::optional_string()),
        ],
    );
    for number in 0..10 {
        let bytes = encode(
            &mut converter,
            &of(&schema, vec![Value::Int64(number), Value::from("to be")]),
        )
        .unwrap();
        let again = converter.decode("t", Some(&bytes)).unwrap();
        assert_eq!(get(&again, "id"), &Value::Int64(number));
        let text = get(&again, "text").as_str().unwrap();
        assert!(
            bytes.as_ptr_range().contains(&text.as_ptr()),
            "it shares the buffer"
        );
    }
    assert_eq!(
        double.requests(),
        [
            "POST /subjects/t-value/versions?normalize=false",
            "GET /schemas/ids/1?fetchMaxId=false",
            "POST /subjects/t-value?normalize=false",
        ]
    );
    assert_eq!(
        double.text(1),
        "syntax = \"proto3\";\npackage logs;\n\nmessage Line {\n  int64 id = 1;\n  string text = 2;\n}\n"
    );
}

#[test]
fn switches_that_are_not_supported_are_refused_by_name() {
    let double = Double::start();
    for (key, value) in [
        ("generalized.sum.type.support", "true"),
        ("skip.known.types", "false"),
        ("use.schema.id", "7"),
    ] {
        let made = ProtobufConverterPlugin.new_converter(&config(&double, &[(key, value)]), true);
        let error = made.err().expect(key);
        assert_eq!(error.kind(), ErrorKind::UserConfig);
        assert!(error.to_string().contains(key), "{error}");
    }
    let harmless = [
        ("generalized.sum.type.support", "false"),
        ("skip.known.types", "TRUE"),
    ];
    ProtobufConverterPlugin
        .new_converter(&config(&double, &harmless), true)
        .unwrap();
}

#[test]
fn the_latest_schema_is_used_if_the_data_agree_with_it() {
    let double = Double::start();
    let text = "syntax = \"proto3\"; message Other {} message Line { int64 id = 1; string text = 2; int32 more = 3; }";
    let id = double.register_as("PROTOBUF", "t-value", text, &[]);
    let latest = [("auto.register.schemas", "false"), ("use.latest.version", "true")];
    let line = |name: &str, first: &str| {
        let fields = vec![
            field(first, Schema::from(SchemaKind::Int64)),
            field("text", Schema::string()),
        ];
        of(&a_struct(name, fields), vec![Value::Int64(1), Value::from("a")])
    };
    let mut strict = converter(&double, &latest);
    let bytes = encode(&mut strict, &line("Line", "id")).unwrap();
    assert_eq!(bytes[..], [&head(id, &[1])[..], b"\x08\x01\x12\x01a"].concat());
    for (wrong, what) in [
        (line("Unknown", "id"), "no message Unknown"),
        (line("Line", "more"), ".more: the data do not agree"),
    ] {
        let error = encode(&mut strict, &wrong).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    let mut lax = converter(
        &double,
        &[latest[0], latest[1], ("latest.compatibility.strict", "false")],
    );
    let bytes = encode(&mut lax, &line("Unknown", "id")).unwrap();
    assert_eq!(bytes[..6], head(id, &[0]));
}

#[test]
#[ignore = "a measurement; run it alone, with --release"]
fn measure_records() {
    const RECORDS: u32 = 3_000_000;
    let fields = vec![
        field("id", Schema::from(SchemaKind::Int64)),
        field("text", Schema::optional_string()),
    ];
    let schema = a_struct("logs.Line", fields);
    let text = Value::from("a line of fifty bytes, as in a log file or a book.");
    let datum = of(&schema, vec![Value::Int64(42), text]);
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
