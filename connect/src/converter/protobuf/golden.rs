//! Messages that another implementation wrote (`connect/golden/protobuf.jsonl`, made by `tests/peers/connect-golden/protobuf.py`).
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::files::Types;
use super::from_connect;
use super::read::ReadMessage;
use super::tests::{converter, head};
use super::to_connect::{self, Root};
use super::wire::Input;
use crate::converter::golden::{hex, schema};
use crate::converter::registry::double::Double;
use crate::plugin::{Converter, Encoded};
use crate::record::{SchemaRef, Value};

const CASES: &str = include_str!("../../../golden/protobuf.jsonl");

/// A schema of the file.
struct Case {
    json: Json,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        CASES.lines().map(|line| Self {
            json: serde_json::from_str(line).unwrap(),
        })
    }

    fn text(&self) -> &str {
        self.json["proto"].as_str().unwrap()
    }

    fn references(&self) -> Vec<(&str, &str)> {
        let pairs = self.json["references"].as_array().unwrap().iter();
        pairs
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect()
    }

    fn places(&self) -> Vec<usize> {
        let places = self.json["places"].as_array().unwrap().iter();
        places.map(|place| place.as_u64().unwrap() as usize).collect()
    }

    fn messages(&self) -> impl Iterator<Item = (Bytes, &Json)> {
        let pairs = self.json["cases"].as_array().unwrap().iter();
        pairs.map(|pair| (hex(pair[0].as_str().unwrap()), &pair[1]))
    }

    fn root(&self) -> Root {
        let references: Vec<Arc<str>> = self
            .references()
            .iter()
            .map(|(_, text)| Arc::from(*text))
            .collect();
        let types = Types::read(self.text(), &references).unwrap();
        let options = converter(&Double::start(), &[]).options;
        to_connect::convert(&types, types.at(&self.places()).unwrap(), None, options).unwrap()
    }

    /// How messages that are no wrappers are read.
    fn message(&self) -> Option<(Arc<ReadMessage>, SchemaRef)> {
        match self.root() {
            Root::Message(message, schema) => Some((message, schema)),
            Root::Wrapped(..) => None,
        }
    }
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
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| (plain(key), plain(value)))
                .collect();
            if entries.iter().all(|(key, _)| key.is_string()) {
                let named = entries
                    .into_iter()
                    .map(|(key, value)| (key.as_str().unwrap().to_owned(), value));
                return Json::Object(named.collect());
            }
            entries.sort_by_key(|(key, _)| key.as_i64().unwrap_or_else(|| key.as_bool().unwrap().into()));
            entries.iter().map(|(key, value)| json!([key, value])).collect()
        }
        Value::Struct(its) => {
            let name = its.schema().name.as_deref().unwrap_or_default();
            let union = name.starts_with("io.confluent.connect.protobuf.Union");
            let fields = its.schema().fields().iter().zip(its.values());
            let given = fields.filter(|(_, value)| !union || !value.is_null());
            let object: Map<String, Json> = given
                .map(|(field, value)| (field.name.to_string(), plain(value)))
                .collect();
            Json::Object(object)
        }
    }
}

/// The same, whatever it says of a map without entries and of the order of numbers as keys.
fn tidy(json: &Json) -> Json {
    match json {
        Json::Array(values) if values.is_empty() => json!({}),
        Json::Array(values) => {
            let mut values: Vec<_> = values.iter().map(tidy).collect();
            let keyed = values
                .iter()
                .all(|pair| pair.as_array().is_some_and(|pair| pair.len() == 2));
            if keyed {
                values.sort_by_key(|pair| {
                    pair[0]
                        .as_i64()
                        .unwrap_or_else(|| pair[0].as_bool().unwrap().into())
                });
            }
            Json::Array(values)
        }
        Json::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), tidy(value)));
            Json::Object(fields.collect())
        }
        // Numbers of 64 bits without sign as keys.
        Json::Number(number) if number.is_u64() => json!(number.as_u64().unwrap() as i64),
        other => other.clone(),
    }
}

#[test]
fn messages_of_another_implementation_are_read_and_written() {
    for case in Case::all() {
        let text = case.text();
        let double = Double::start();
        let references = case.references();
        for (path, text) in &references {
            double.register_as("PROTOBUF", path, text, &[]);
        }
        let refers: Vec<_> = references.iter().map(|(path, _)| (*path, 1)).collect();
        let id = double.register_as("PROTOBUF", "t-value", text, &refers);
        let mut labelling = converter(&double, &[("optional.for.nullables", "true")]);
        let mut converter = converter(&double, &[]);
        for (data, expected) in case.messages() {
            let mut message = head(id, &case.places());
            message.extend_from_slice(&data);
            let message = Bytes::from(message);
            let datum = converter.decode("t", Some(&message));
            let datum = datum.unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(tidy(&plain(&datum.value)), tidy(expected), "{text}");
            let its = datum.schema.as_ref().unwrap();
            its.check(&datum.value).unwrap();
            assert_eq!(its.version, Some(1), "{text}");
            let mut written = Vec::new();
            let encoded = converter.encode("again", &datum, &mut written);
            assert_eq!(
                encoded.unwrap_or_else(|error| panic!("{error}\n{text}")),
                Encoded::Bytes
            );
            let written = Bytes::from(written);
            if case.json["exact"] == json!(true) {
                let skipped = written.len() - data.len();
                assert_eq!(written.slice(skipped..), data, "{text}\n{expected}");
            }
            // What is null stays null with labels for it.
            let datum = labelling.decode("t", Some(&message)).unwrap();
            let mut written = Vec::new();
            labelling.encode("labelled", &datum, &mut written).unwrap();
            let again = labelling.decode("labelled", Some(&written.into())).unwrap();
            assert_eq!(tidy(&plain(&again.value)), tidy(expected), "{text}");
        }
    }
}

#[test]
fn schemas_are_printed_as_confluent_does() {
    let options = converter(&Double::start(), &[]).options;
    for case in Case::all() {
        if case.json.get("connect").is_none_or(Json::is_null) {
            continue;
        }
        let connect = schema(&case.json["connect"]).unwrap().unwrap();
        assert_eq!(from_connect::write(&connect, options).unwrap().text, case.text());
    }
}

#[test]
fn what_is_cut_or_damaged_never_panics() {
    for case in Case::all() {
        let Some((message, schema)) = case.message() else {
            continue;
        };
        for (data, _) in case.messages().take(6) {
            let read = |data: Bytes| message.read(&schema, &mut Input::new(&data, 0));
            for length in 0..data.len() {
                let _ = read(data.slice(..length));
                for bits in [0x01, 0x80, 0xff] {
                    let mut damaged = data.to_vec();
                    damaged[length] ^= bits;
                    let _ = read(damaged.into());
                }
            }
            read(data).unwrap();
        }
    }
}
