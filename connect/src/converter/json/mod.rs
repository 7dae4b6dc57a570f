//! `JsonConverter`: values as JSON, with their schemas around them or without.
//!
//! With `schemas.enable` each message is `{"schema":…,"payload":…}`. The text of a schema is written once and copied from then on; a schema
//! is read once and found again by its text, so that all records of a schema share it.
mod base64;
mod config;
mod decode;
mod encode;
mod number;
mod plan;
mod schema;
mod tree;

use std::collections::HashMap;
use std::convert::Infallible;

use bytes::Bytes;
use bytestring::ByteString;

use self::config::JsonConfig;
use self::decode::{Decoder, text_of};
use self::encode::Encoder;
use self::plan::Plan;
use self::tree::{Malformed, Node, Reader};
use super::problem::Problem;
use super::schema_cache::SchemaCache;
use super::{ForHeaders, Role};
use crate::config::{ConfigDef, ConfigMap};
use crate::plugin::{
    Converter, ConverterPlugin, Encoded, HeaderConverter, HeaderConverterPlugin, Plugin, PluginError,
};
use crate::record::{Datum, SchemaRef};

/// The plugin.
pub(super) struct JsonConverterPlugin;

/// How decimals are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DecimalFormat {
    /// Their bytes, which need the schema's scale.
    Base64,
    /// As numbers.
    Numeric,
}

impl Plugin for JsonConverterPlugin {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.json.JsonConverter"
    }

    fn config_def(&self) -> ConfigDef {
        config::keys()
    }
}

impl ConverterPlugin for JsonConverterPlugin {
    fn new_converter(&self, config: &ConfigMap, is_key: bool) -> Result<Box<dyn Converter>, PluginError> {
        Ok(Box::new(JsonConverter::new(config, Role::of(is_key))?))
    }
}

impl HeaderConverterPlugin for JsonConverterPlugin {
    fn new_header_converter(&self, config: &ConfigMap) -> Result<Box<dyn HeaderConverter>, PluginError> {
        Ok(Box::new(ForHeaders(JsonConverter::new(config, Role::Header)?)))
    }
}

const SCHEMA_FIRST: &str = "{\"schema\":";
const PAYLOAD_NEXT: &str = ",\"payload\":";

/// How many texts of schemas are compared with a message, before it is read as a whole.
const RECENT_MAX: usize = 8;

struct JsonConverter {
    encoder: Encoder,
    envelope: bool,
    /// What is said to be the schema of all messages that are read.
    given: Option<SchemaRef>,
    /// What stands before the payload.
    beginnings: SchemaCache<Vec<u8>>,
    plans: SchemaCache<Plan>,
    schemas: ReadSchemas,
}

/// Schemas that were read, by their texts.
struct ReadSchemas {
    limit: usize,
    /// The last used first.
    recent: Vec<(ByteString, Option<SchemaRef>)>,
    all: HashMap<ByteString, Option<SchemaRef>>,
}

impl JsonConverter {
    fn new(config: &ConfigMap, role: Role) -> Result<Self, PluginError> {
        let config = JsonConfig::new(config, role)?;
        let encoder = Encoder {
            decimals: config.decimals,
            replace_null: config.replace_null,
        };
        let given = match config.schema_content {
            Some(text) => read_given(&text, config.replace_null).map_err(|problem| {
                PluginError::user_config(format!(
                    "schema.content is to be the JSON of a schema, such as {{\"type\":\"string\"}}: {problem}"
                ))
            })?,
            None => None,
        };
        Ok(Self {
            encoder,
            envelope: config.envelope,
            given: given.filter(|_| config.envelope),
            beginnings: SchemaCache::new(config.schemas_kept),
            plans: SchemaCache::new(config.schemas_kept),
            schemas: ReadSchemas {
                limit: config.schemas_kept,
                recent: Vec::new(),
                all: HashMap::new(),
            },
        })
    }
}

fn read_given(text: &str, replace_null: bool) -> Result<Option<SchemaRef>, Problem> {
    let input = ByteString::from(text);
    let decoder = Decoder {
        input: &input,
        replace_null,
    };
    schema::read(&decoder, &tree::read(text).map_err(malformed)?)
}

fn malformed(wrong: Malformed) -> Problem {
    let Malformed { what, at } = wrong;
    Problem::new(format!("malformed JSON at byte {at}: {what}"))
}

fn beginning(encoder: Encoder, schema: &SchemaRef) -> Result<Vec<u8>, Problem> {
    let mut text = SCHEMA_FIRST.as_bytes().to_vec();
    encoder.schema(schema, None, &mut text)?;
    text.extend_from_slice(PAYLOAD_NEXT.as_bytes());
    Ok(text)
}

impl Converter for JsonConverter {
    fn encode(&mut self, _topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<Encoded, PluginError> {
        if datum.schema.is_none() && datum.is_null() {
            return Ok(Encoded::Null);
        }
        let encoder = self.encoder;
        if self.envelope {
            match &datum.schema {
                None => {
                    out.extend_from_slice(SCHEMA_FIRST.as_bytes());
                    out.extend_from_slice(b"null");
                    out.extend_from_slice(PAYLOAD_NEXT.as_bytes());
                }
                Some(schema) => {
                    let text = self.beginnings.get(schema, || beginning(encoder, schema));
                    out.extend_from_slice(text.map_err(|problem| problem.bad_record("JsonConverter"))?);
                }
            }
        }
        let plan = match &datum.schema {
            Some(schema) => {
                let plan = self.plans.get(schema, || Ok::<_, Infallible>(Plan::of(schema)));
                Some(&**plan.unwrap_or_else(|never| match never {}))
            }
            None => None,
        };
        encoder
            .value(plan, &datum.value, out)
            .map_err(|problem| problem.bad_record("JsonConverter"))?;
        if self.envelope {
            out.push(b'}');
        }
        Ok(Encoded::Bytes)
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        let Some(bytes) = bytes else {
            return Ok(Datum::NULL);
        };
        let decoded = text_of(bytes).and_then(|input| {
            let decoder = Decoder {
                input: &input,
                replace_null: self.encoder.replace_null,
            };
            if !self.envelope || self.given.is_some() {
                let node = tree::read(&input).map_err(malformed)?;
                let value = decoder.value(self.given.as_ref(), &node)?;
                return Ok(Datum::new(self.given.clone(), value));
            }
            self.schemas.decode(&decoder)
        });
        decoded.map_err(|problem| problem.bad_record("JsonConverter"))
    }
}

impl ReadSchemas {
    /// Reads a message that is an envelope.
    fn decode(&mut self, decoder: &Decoder<'_>) -> Result<Datum, Problem> {
        if let Some((schema, payload)) = self.shortcut(decoder.input) {
            let value = decoder.value(schema.as_ref(), &payload);
            let value = value.map_err(|problem| problem.within("payload"))?;
            return Ok(Datum::new(schema, value));
        }
        let (text, node, payload) = envelope(decoder.input)?;
        let schema = match self.all.get(text) {
            Some(schema) => schema.clone(),
            None => schema::read(decoder, &node).map_err(|problem| problem.within("schema"))?,
        };
        self.keep(text, schema.clone());
        let value = decoder.value(schema.as_ref(), &payload);
        Ok(Datum::new(
            schema,
            value.map_err(|problem| problem.within("payload"))?,
        ))
    }

    /// The schema and the payload of a message that begins as one of the last did; none if it has to be read as a whole.
    fn shortcut<'a>(&mut self, input: &'a str) -> Option<(Option<SchemaRef>, Node<'a>)> {
        let rest = input.strip_prefix(SCHEMA_FIRST)?;
        let begins = |(text, _): &(ByteString, _)| {
            let behind = rest.strip_prefix(&**text);
            behind.is_some_and(|behind| behind.starts_with(PAYLOAD_NEXT))
        };
        let place = self.recent.iter().position(begins)?;
        self.recent[..=place].rotate_right(1);
        let (text, schema) = &self.recent[0];
        let start = SCHEMA_FIRST.len() + text.len() + PAYLOAD_NEXT.len();
        let mut reader = Reader::new(input, start);
        let payload = reader.value(1).ok()?;
        reader.takes(b'}').then(|| (schema.clone(), payload))
    }

    fn keep(&mut self, text: &str, schema: Option<SchemaRef>) {
        let text = ByteString::from(text);
        if self.all.len() >= self.limit && !self.all.contains_key(&text) {
            self.all.clear();
        }
        self.all.insert(text.clone(), schema.clone());
        self.recent.retain(|(its, _)| *its != text);
        self.recent.truncate(RECENT_MAX - 1);
        self.recent.insert(0, (text, schema));
    }
}

/// The text of the schema, the schema and the payload of a message.
fn envelope(input: &str) -> Result<(&str, Node<'_>, Node<'_>), Problem> {
    let no_envelope = || {
        Problem::new(
            "with schemas.enable a message is an object with the members \"schema\" and \"payload\" and no others; \
             set schemas.enable=false for JSON without schemas",
        )
    };
    let mut reader = Reader::new(input, 0);
    if !reader.takes(b'{') {
        tree::read(input).map_err(malformed)?;
        return Err(no_envelope());
    }
    let (mut schema, mut payload, mut others) = (None, None, false);
    let read = reader.members(1, |name, node, text| match &*name {
        "schema" => schema = Some((text, node)),
        "payload" => payload = Some(node),
        _ => others = true,
    });
    read.map_err(malformed)?;
    match (schema, payload) {
        (Some((text, schema)), Some(payload)) if !others => Ok((text, schema, payload)),
        _ => Err(no_envelope()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Field, Schema, SchemaKind, Struct, Value};
    use std::sync::Arc;

    fn converter() -> JsonConverter {
        JsonConverter::new(&ConfigMap::new(), Role::Value).unwrap()
    }

    #[test]
    fn texts_share_the_buffer_they_came_in() {
        let bytes = Bytes::from_static(br#"{"schema":{"type":"string","optional":false},"payload":"to be"}"#);
        let mut converter = converter();
        for _ in 0..2 {
            let datum = converter.decode("lines", Some(&bytes)).unwrap();
            let Value::String(text) = datum.value else {
                panic!()
            };
            assert_eq!(text, "to be");
            assert!(bytes.as_ptr_range().contains(&text.as_ptr()));
        }
    }

    #[test]
    fn records_of_a_schema_share_it() {
        let mut converter = converter();
        let mut decode = |text: &'static str| {
            let datum = converter.decode("t", Some(&Bytes::from_static(text.as_bytes())));
            datum.unwrap().schema.unwrap()
        };
        let first = decode(r#"{"schema":{"type":"int32"},"payload":1}"#);
        let other = decode(r#"{"schema":{"type":"int64"},"payload":1}"#);
        let again = decode(r#"{"schema":{"type":"int32"},"payload":2}"#);
        let turned = decode(r#"{ "payload": 3, "schema": {"type":"int32"} }"#);
        assert!(Arc::ptr_eq(&first, &again) && Arc::ptr_eq(&first, &turned));
        assert_ne!(first, other);
    }

    #[test]
    fn what_structs_share_is_written_as_what_they_own() {
        let names = ["server", "file", "row", "nothing"];
        let field = |name: &str, schema| Field {
            name: name.into(),
            schema,
        };
        let schemas = [
            Schema::string(),
            Schema::string(),
            Schema::from(SchemaKind::Int32).into(),
            Arc::new(Schema::from(SchemaKind::String).optional()),
        ];
        let fields = names
            .iter()
            .zip(schemas)
            .map(|(name, schema)| field(name, schema));
        let inner = Arc::new(Schema::from(SchemaKind::Struct(fields.collect())));
        let outer = field("source", Arc::clone(&inner));
        let outer = Arc::new(Schema::from(SchemaKind::Struct(vec![outer])));
        let values = |file: &str, row| {
            let texts = [Value::from("db \"1\""), Value::from(file)];
            let all = texts.into_iter().chain([Value::Int32(row), Value::Null]);
            all.collect::<Vec<_>>()
        };
        let mut converter = converter();
        let mut written = |its: Struct| {
            let value = Value::Struct(Struct::new(Arc::clone(&outer), vec![Value::Struct(its)]));
            let mut out = Vec::new();
            let datum = Datum::new(Arc::clone(&outer), value);
            converter.encode("t", &datum, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let schema = || Arc::clone(&inner);
        for file in ["log.1", "log.2"] {
            let base: Arc<[Value]> = values(file, 0).into();
            for row in [0, 7, 1_000_000] {
                let own = written(Struct::new(schema(), values(file, row)));
                for _ in 0..2 {
                    let varied = Struct::varied(schema(), Arc::clone(&base), 2, Value::Int32(row));
                    assert_eq!(written(varied), own);
                    let shared = Struct::shared(schema(), values(file, row).into());
                    assert_eq!(written(shared), own);
                }
                let whole = written(Struct::shared(schema(), Arc::clone(&base)));
                assert_eq!(whole, written(Struct::new(schema(), values(file, 0))));
            }
            // Another field, and a value that the schema does not allow.
            let other = Struct::varied(schema(), Arc::clone(&base), 1, Value::from("log.3"));
            assert_eq!(written(other), written(Struct::new(schema(), values("log.3", 0))));
        }
        let base: Arc<[Value]> = values("log", 0).into();
        let mut wrong = |row| {
            let its = Struct::varied(schema(), Arc::clone(&base), 2, row);
            let datum = Datum::new(schema(), Value::Struct(its));
            converter.encode("t", &datum, &mut Vec::new())
        };
        wrong(Value::Int32(1)).unwrap();
        let error = wrong(Value::from("one")).unwrap_err().to_string();
        assert!(error.contains(".row"), "{error}");
    }

    #[test]
    fn texts_of_schemas_are_kept_up_to_a_limit() {
        let config = ConfigMap::from([("schemas.cache.size".to_owned(), "10".to_owned())]);
        let mut converter = JsonConverter::new(&config, Role::Value).unwrap();
        for number in 0..100 {
            let text = format!(r#"{{"schema":{{"type":"int32","name":"{number}"}},"payload":{number}}}"#);
            converter.decode("t", Some(&Bytes::from(text))).unwrap();
            assert!(converter.schemas.all.len() <= 10 && converter.schemas.recent.len() <= RECENT_MAX);
        }
    }

    #[test]
    fn errors_name_the_place() {
        let text = r#"{"schema":{"type":"struct","fields":[{"field":"a","type":"array","items":{"type":"int8"}}]},"payload":{"a":[1,null]}}"#;
        let mut converter = converter();
        for _ in 0..2 {
            let error = converter.decode("t", Some(&Bytes::from(text))).unwrap_err();
            assert_eq!(
                error.to_string(),
                "JsonConverter: at payload.a[1]: null where a required int8 is expected"
            );
        }
    }

    #[test]
    #[ignore = "a measurement; run it alone, with --release"]
    fn measure_lines_of_50_bytes() {
        const LINES: u32 = 5_000_000;
        let line = Datum::new(
            Schema::string(),
            Value::from("a line of fifty bytes, as in a log file or a book."),
        );
        let (mut converter, mut out) = (converter(), Vec::new());
        let start = std::time::Instant::now();
        for _ in 0..LINES {
            out.clear();
            converter
                .encode("lines", std::hint::black_box(&line), &mut out)
                .unwrap();
        }
        println!("encode: {} ns a line", (start.elapsed() / LINES).as_nanos());
        let bytes = Bytes::from(out);
        let start = std::time::Instant::now();
        for _ in 0..LINES {
            std::hint::black_box(converter.decode("lines", Some(&bytes)).unwrap());
        }
        println!("decode: {} ns a line", (start.elapsed() / LINES).as_nanos());
    }
}
