//! Runs the cases that Kafka Connect's converters made (`connect/golden`, written by `tests/peers/connect-golden`) through ours.
use std::sync::Arc;

use bigdecimal::BigDecimal;
use bytes::Bytes;
use serde_json::Value as Json;

use crate::config::ConfigMap;
use crate::plugin::{Encoded, ErrorKind, PluginError, Registry};
use crate::record::{Datum, Field, Schema, SchemaKind, SchemaRef, Struct, Value};

const CASES: &str = include_str!("../../golden/converters.jsonl");

/// The schema in the notation of the cases; `Err` if it holds a schema that is null, which Kafka has for arrays whose elements have nothing in
/// common, and we do not.
pub(super) fn schema(json: &Json) -> Result<Option<SchemaRef>, ()> {
    if json.is_null() {
        return Ok(None);
    }
    let part = |name: &str| schema(&json[name])?.ok_or(());
    let kind = match json["type"].as_str().unwrap() {
        "boolean" => SchemaKind::Boolean,
        "int8" => SchemaKind::Int8,
        "int16" => SchemaKind::Int16,
        "int32" => SchemaKind::Int32,
        "int64" => SchemaKind::Int64,
        "float32" => SchemaKind::Float32,
        "float64" => SchemaKind::Float64,
        "bytes" => SchemaKind::Bytes,
        "string" => SchemaKind::String,
        "array" => SchemaKind::Array(part("items")?),
        "map" => SchemaKind::Map(part("keys")?, part("values")?),
        _ => {
            let fields = json["fields"].as_array().unwrap().iter();
            let field = |pair: &Json| {
                let name = Arc::from(pair[0].as_str().unwrap());
                let schema = schema(&pair[1])?.ok_or(())?;
                Ok(Field { name, schema })
            };
            SchemaKind::Struct(fields.map(field).collect::<Result<_, ()>>()?)
        }
    };
    let mut its = Schema::from(kind);
    its.optional = json["optional"].as_bool().unwrap();
    its.name = json["name"].as_str().map(Arc::from);
    its.version = json["version"].as_i64().map(|version| version as i32);
    its.doc = json["doc"].as_str().map(Arc::from);
    for pair in json["parameters"].as_array().into_iter().flatten() {
        its = its.with_parameter(pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
    }
    if let Some(default) = json.get("default") {
        its = its.with_default(value(default));
    }
    Ok(Some(Arc::new(its)))
}

/// The value in the notation of the cases. A date of which nothing says what it is becomes a timestamp.
fn value(json: &Json) -> Value {
    let Some((kind, its)) = json.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    let text = || its.as_str().unwrap();
    let parts = || its.as_array().unwrap();
    match kind.as_str() {
        "boolean" => Value::Boolean(its.as_bool().unwrap()),
        "int8" => Value::Int8(text().parse().unwrap()),
        "int16" => Value::Int16(text().parse().unwrap()),
        "int32" => Value::Int32(text().parse().unwrap()),
        "int64" => Value::Int64(text().parse().unwrap()),
        "float32" => Value::Float32(f32::from_bits(text().parse().unwrap())),
        "float64" => Value::Float64(f64::from_bits(text().parse().unwrap())),
        "string" => Value::from(text()),
        "bytes" => Value::Bytes(hex(text())),
        "decimal" => {
            let part = |index: usize| its[index].as_str().unwrap();
            let decimal = BigDecimal::new(part(0).parse().unwrap(), part(1).parse().unwrap());
            Value::Decimal(Box::new(decimal))
        }
        "date" => Value::Date(text().parse().unwrap()),
        "time" => Value::Time(text().parse().unwrap()),
        "timestamp" | "instant" => Value::Timestamp(text().parse().unwrap()),
        "array" => Value::Array(parts().iter().map(value).collect()),
        "map" => Value::Map(
            parts()
                .iter()
                .map(|pair| (value(&pair[0]), value(&pair[1])))
                .collect(),
        ),
        "struct" => {
            let schema = schema(&its[0]).unwrap().unwrap();
            let values = its[1].as_array().unwrap().iter().map(value).collect();
            Value::Struct(Struct::new(schema, values))
        }
        other => panic!("a value of type {other}"),
    }
}

pub(super) fn hex(text: &str) -> Bytes {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    pairs.iter().map(|[a, b]| digit(*a) << 4 | digit(*b)).collect()
}

/// Whether two values are the same to the bit and the scale; entries of maps in any order, as Java's have none.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Float32(a), Value::Float32(b)) => a.to_bits() == b.to_bits(),
        (Value::Float64(a), Value::Float64(b)) => a.to_bits() == b.to_bits(),
        (Value::Decimal(a), Value::Decimal(b)) => a.as_bigint_and_scale() == b.as_bigint_and_scale(),
        (Value::Date(days), Value::Timestamp(ms)) => i64::from(*days) * 86_400_000 == *ms,
        (Value::Time(of_day), Value::Timestamp(ms)) => i64::from(*of_day) == *ms,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            let has = |(key, value): &(Value, Value)| {
                b.iter().any(|(its, other)| same(key, its) && same(value, other))
            };
            a.len() == b.len() && a.iter().all(has)
        }
        (Value::Struct(a), Value::Struct(b)) => {
            let mut values = a.values().iter().zip(b.values());
            a.schema() == b.schema() && values.all(|(a, b)| same(a, b))
        }
        (a, b) => a == b,
    }
}

fn run(case: &Json) -> Result<(), String> {
    let class = case["converter"].as_str().unwrap();
    let config: ConfigMap = serde_json::from_value(case["config"].clone()).unwrap();
    let bytes = case["bytes"].as_str().map(hex);
    let direction = case["direction"].as_str().unwrap();
    let registry = Registry::built_in();
    let mut out = b"before".to_vec();
    let encoded = |result: Result<Encoded, PluginError>, out: &[u8]| {
        result.map(|encoded| match encoded {
            Encoded::Bytes => Some(Bytes::copy_from_slice(&out[b"before".len()..])),
            Encoded::Null => None,
        })
    };
    if direction.starts_with("encode") {
        let datum = Datum::new(schema(&case["schema"]).unwrap(), value(&case["value"]));
        let result = if direction == "encode" {
            let converter = registry.converter(class).unwrap().new_converter(&config, false);
            converter.and_then(|mut converter| encoded(converter.encode("topic", &datum, &mut out), &out))
        } else {
            let converter = registry
                .header_converter(class)
                .unwrap()
                .new_header_converter(&config);
            converter
                .and_then(|mut converter| encoded(converter.encode("topic", "name", &datum, &mut out), &out))
        };
        let shown = |bytes: &Option<Bytes>| {
            format!(
                "{:?}",
                bytes.as_ref().map(|bytes| bytes.escape_ascii().to_string())
            )
        };
        return match (result, case.get("error")) {
            (Ok(found), None) if found == bytes => Ok(()),
            (Ok(found), None) => Err(format!("{}\n  and not {}", shown(&found), shown(&bytes))),
            (Ok(found), Some(_)) => Err(format!("{} and no error", shown(&found))),
            (Err(error), expected) => judge(&error, expected),
        };
    }
    let result = if direction == "decode" {
        let converter = registry.converter(class).unwrap().new_converter(&config, false);
        converter.and_then(|mut converter| {
            let first = converter.decode("topic", bytes.as_ref());
            // Once more, as what was learned from the first may be used.
            let second = converter.decode("topic", bytes.as_ref());
            assert_eq!(first.as_ref().ok().map(|_| ()), second.as_ref().ok().map(|_| ()));
            second
        })
    } else {
        let converter = registry
            .header_converter(class)
            .unwrap()
            .new_header_converter(&config);
        converter.and_then(|mut converter| converter.decode("topic", "name", bytes.as_ref()))
    };
    match (result, case.get("error")) {
        (Ok(found), None) => {
            let expected = Datum::new(schema(&case["schema"]).unwrap_or(None), value(&case["value"]));
            let good = found.schema == expected.schema && same(&found.value, &expected.value);
            good.then_some(())
                .ok_or_else(|| format!("{found:?}\n  and not {expected:?}"))
        }
        (Ok(found), Some(_)) => Err(format!("{found:?} and no error")),
        (Err(error), expected) => judge(&error, expected),
    }
}

fn judge(error: &PluginError, expected: Option<&Json>) -> Result<(), String> {
    let good = matches!(error.kind(), ErrorKind::BadRecord | ErrorKind::UserConfig);
    match expected {
        Some(_) if good => Ok(()),
        _ => Err(format!("the error {error}")),
    }
}

#[test]
fn converters_do_what_java_does() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in CASES.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        count += 1;
        if let Err(what) = run(&case) {
            let input = case["bytes"]
                .as_str()
                .map(|bytes| hex(bytes).escape_ascii().to_string());
            wrong.push(format!("{line}\n  ({input:?})\n  gives {what}"));
        }
    }
    assert!(count > 3_000, "only {count} cases");
    let (number, shown) = (wrong.len(), wrong.iter().take(60).cloned().collect::<Vec<_>>());
    assert!(wrong.is_empty(), "{number} of {count}:\n{}", shown.join("\n"));
}
