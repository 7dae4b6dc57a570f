//! Writes the Avro schema of a Connect schema.
//!
//! What Avro has no words for goes into properties (`connect.name` and others), in the order in which Confluent's converter writes them, so
//! that a registry finds the same text from both.
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::config::Options;
use super::names::{
    ANYTHING, CONNECT_DEFAULT, CONNECT_DOC, CONNECT_ENUM_DOC, CONNECT_INTERNAL_TYPE, CONNECT_NAME,
    CONNECT_PARAMETERS, CONNECT_RECORD_DOC, CONNECT_TYPE, CONNECT_VERSION, DECIMAL_PRECISION,
    DECIMAL_PRECISION_DEFAULT, DEFAULT_NAME, ENUM, ENUM_DEFAULT, ENUM_DOC, FIELD_DEFAULT, FIELD_DOC,
    MAP_ENTRY, NAMESPACE, RECORD_DOC, enum_name, fixed_size, is_union, is_valid, scrubbed, split,
};
use crate::converter::problem::Problem;
use crate::converter::text::{write_f32, write_f64};
use crate::record::{Field, Schema, SchemaKind, SchemaRef, Value, logical};

/// The schema of values without a schema.
pub(super) const ANYTHING_TEXT: &str = r#"{"type":"record","name":"Anything","namespace":"io.confluent.connect.avro","fields":[{"name":"boolean","type":["null","boolean"],"default":null},{"name":"bytes","type":["null","bytes"],"default":null},{"name":"double","type":["null","double"],"default":null},{"name":"float","type":["null","float"],"default":null},{"name":"int","type":["null","int"],"default":null},{"name":"long","type":["null","long"],"default":null},{"name":"string","type":["null","string"],"default":null},{"name":"array","type":["null",{"type":"array","items":"Anything"}],"default":null},{"name":"map","type":["null",{"type":"array","items":{"type":"record","name":"MapEntry","fields":[{"name":"key","type":"Anything"},{"name":"value","type":"Anything"}]}}],"default":null}]}"#;

type Written = Result<(), Problem>;

/// The text of the Avro schema for `schema`.
pub(super) fn write(schema: &Schema, options: Options) -> Result<String, Problem> {
    let mut writer = Writer {
        options,
        out: String::new(),
        defined: HashMap::new(),
        unnamed: Vec::new(),
    };
    writer.schema(schema, "", false)?;
    Ok(writer.out)
}

/// A schema without its optionality, to find it again.
fn required(schema: &Schema) -> Schema {
    let mut schema = schema.clone();
    schema.optional = false;
    schema
}

struct Writer {
    options: Options,
    out: String,
    /// What was written under a full name.
    defined: HashMap<String, Schema>,
    /// Structs without names, and the names they were given.
    unnamed: Vec<(Schema, String)>,
}

impl Writer {
    /// A member of the object that is being written.
    fn member(&mut self, name: &str, value: &Json) {
        self.out.push(',');
        self.out.push_str(&Json::from(name).to_string());
        self.out.push(':');
        write_json(value, &mut self.out);
    }

    /// Writes a schema inside of `namespace`; without its null if it `stands_in_union`.
    fn schema(&mut self, schema: &Schema, namespace: &str, stands_in_union: bool) -> Written {
        if is_union(schema) {
            return self.union(schema, namespace);
        }
        if !schema.optional || stands_in_union {
            return self.base(schema, namespace);
        }
        // A default is of the first branch. Structs come second all the same.
        let null_first = schema.default.is_none() || matches!(schema.kind, SchemaKind::Struct(_));
        self.out.push_str(if null_first { "[\"null\"," } else { "[" });
        self.base(schema, namespace)?;
        self.out.push_str(if null_first { "]" } else { ",\"null\"]" });
        Ok(())
    }

    fn union(&mut self, schema: &Schema, namespace: &str) -> Written {
        self.out.push('[');
        if schema.optional {
            self.out.push_str("\"null\"");
        }
        for field in schema.fields() {
            if !self.out.ends_with('[') {
                self.out.push(',');
            }
            self.schema(&field.schema, namespace, true)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn base(&mut self, schema: &Schema, namespace: &str) -> Written {
        let start = self.out.len();
        let plain = match &schema.kind {
            SchemaKind::Int8 | SchemaKind::Int16 | SchemaKind::Int32 => "int",
            SchemaKind::Int64 => "long",
            SchemaKind::Float32 => "float",
            SchemaKind::Float64 => "double",
            SchemaKind::Boolean => "boolean",
            SchemaKind::String if self.options.enhanced && enum_name(schema).is_some() => {
                return self.enumeration(schema, namespace);
            }
            SchemaKind::String => "string",
            SchemaKind::Bytes if fixed_size(schema).is_some() => return self.fixed(schema, namespace),
            SchemaKind::Bytes => "bytes",
            SchemaKind::Array(element) => {
                self.out.push_str("{\"type\":\"array\",\"items\":");
                self.schema(element, namespace, false)?;
                return self.properties(schema);
            }
            SchemaKind::Map(key, element) if is_text_key(key, self.options) => {
                self.out.push_str("{\"type\":\"map\",\"values\":");
                self.schema(element, namespace, false)?;
                return self.properties(schema);
            }
            SchemaKind::Map(key, element) => return self.pairs(schema, key, element, namespace),
            SchemaKind::Struct(_) => return self.record(schema, namespace),
        };
        self.out.push_str(&format!("{{\"type\":\"{plain}\""));
        let without = self.out.len();
        self.properties(schema)?;
        if self.out.len() == without + 1 {
            self.out.truncate(start);
            self.out.push_str(&format!("\"{plain}\""));
        }
        Ok(())
    }

    /// Writes a reference to `name` if it was written before, or else the beginning of its definition up to the name.
    fn define(&mut self, kind: &str, name: &str, schema: &Schema, namespace: &str) -> Result<bool, Problem> {
        let (own, simple) = split(name, self.options.scrub_names);
        let own = own.unwrap_or_default();
        let full = if own.is_empty() {
            simple.clone()
        } else {
            format!("{own}.{simple}")
        };
        if let Some(invalid) = full.split('.').find(|part| !is_valid(part)) {
            return Err(Problem::new(format!(
                "the name {name} is none in Avro, because of {invalid:?}; scrub.invalid.names=true replaces what is wrong"
            )));
        }
        if let Some(before) = self.defined.get(&full) {
            if *before != required(schema) {
                return Err(Problem::new(format!(
                    "two different schemas have the name {full}, which Avro does not allow; rename one"
                )));
            }
            let shown = if own == namespace { &simple } else { &full };
            self.out.push_str(&format!("\"{shown}\""));
            return Ok(false);
        }
        self.defined.insert(full, required(schema));
        self.out
            .push_str(&format!("{{\"type\":\"{kind}\",\"name\":\"{simple}\""));
        if own != namespace {
            self.member("namespace", &Json::from(own));
        }
        Ok(true)
    }

    fn record(&mut self, schema: &Schema, namespace: &str) -> Written {
        let name = match &schema.name {
            Some(name) => name.to_string(),
            None => self.given_name(schema),
        };
        if !self.define("record", &name, schema, namespace)? {
            return Ok(());
        }
        let doc = if self.options.discard_doc {
            CONNECT_RECORD_DOC
        } else {
            RECORD_DOC
        };
        if let Some(doc) = schema.parameter(doc) {
            self.member("doc", &Json::from(doc));
        }
        let (inner, _) = split(&name, self.options.scrub_names);
        let inner = inner.unwrap_or_default();
        self.out.push_str(",\"fields\":[");
        for (place, field) in schema.fields().iter().enumerate() {
            if place > 0 {
                self.out.push(',');
            }
            let doc = schema.parameter(&format!("{FIELD_DOC}{}", field.name));
            self.field(field, doc.filter(|_| !self.options.discard_doc), &inner)
                .map_err(|problem| problem.within(format_args!(".{}", field.name)))?;
        }
        self.out.push(']');
        self.properties(schema)
    }

    /// A name for a struct that has none: the same for equal ones.
    fn given_name(&mut self, schema: &Schema) -> String {
        let schema = required(schema);
        if let Some((_, name)) = self.unnamed.iter().find(|(its, _)| *its == schema) {
            return name.clone();
        }
        let number = match self.unnamed.len() {
            0 => String::new(),
            before => (before + 1).to_string(),
        };
        let name = format!("{NAMESPACE}.{DEFAULT_NAME}{number}");
        self.unnamed.push((schema, name.clone()));
        name
    }

    fn field(&mut self, field: &Field, doc: Option<&str>, namespace: &str) -> Written {
        let name = scrubbed(&field.name, self.options.scrub_names);
        if !is_valid(&name) {
            return Err(Problem::new(format!(
                "{name:?} is no name of a field in Avro; scrub.invalid.names=true replaces what is wrong"
            )));
        }
        self.out.push_str(&format!("{{\"name\":\"{name}\",\"type\":"));
        self.schema(&field.schema, namespace, false)?;
        let doc = if self.options.discard_doc {
            field.schema.doc.as_deref()
        } else {
            doc
        };
        if let Some(doc) = doc {
            self.member("doc", &Json::from(doc));
        }
        match &field.schema.default {
            Some(default) => {
                // Pairs are no default of a map that is an array of records.
                let pairs =
                    matches!(&field.schema.kind, SchemaKind::Map(key, _) if !is_text_key(key, self.options));
                let json = self.default(&field.schema, default, true)?;
                if !pairs || json == json!([]) {
                    self.member("default", &json);
                }
            }
            None if field.schema.optional => self.member("default", &Json::Null),
            None => {}
        }
        self.out.push('}');
        Ok(())
    }

    /// A map whose keys are not texts: an array of records.
    fn pairs(&mut self, schema: &Schema, key: &SchemaRef, element: &SchemaRef, namespace: &str) -> Written {
        self.out.push_str("{\"type\":\"array\",\"items\":");
        let unnamed = format!("{NAMESPACE}.{MAP_ENTRY}");
        let name = schema.name.as_deref().unwrap_or(&unnamed);
        // Entries are the same if their keys and values are.
        let entry = Schema::from(SchemaKind::Map(Arc::clone(key), Arc::clone(element)));
        if self.define("record", name, &entry, namespace)? {
            let (inner, _) = split(name, self.options.scrub_names);
            let inner = inner.unwrap_or_default();
            self.out.push_str(",\"fields\":[");
            for (name, schema) in [("key", key), ("value", element)] {
                if name == "value" {
                    self.out.push(',');
                }
                let field = Field {
                    name: name.into(),
                    schema: Arc::clone(schema),
                };
                self.field(&field, None, &inner)?;
            }
            self.out.push(']');
            if schema.name.is_some() {
                self.member(CONNECT_INTERNAL_TYPE, &Json::from(MAP_ENTRY));
            }
            self.out.push('}');
        }
        self.properties(schema)
    }

    fn enumeration(&mut self, schema: &Schema, namespace: &str) -> Written {
        let name = enum_name(schema).unwrap_or_default();
        if !self.define("enum", name, schema, namespace)? {
            return Ok(());
        }
        let simple = schema
            .name
            .as_deref()
            .unwrap_or(name)
            .rsplit('.')
            .next()
            .unwrap_or_default();
        let doc = match self.options.discard_doc {
            true => schema.parameter(CONNECT_ENUM_DOC),
            false => schema.parameter(&format!("{ENUM_DOC}{simple}")),
        };
        if let Some(doc) = doc {
            self.member("doc", &Json::from(doc));
        }
        let prefix = format!("{ENUM}.");
        let symbols = schema
            .parameters
            .iter()
            .filter_map(|(name, _)| name.strip_prefix(&prefix));
        self.member("symbols", &symbols.collect());
        let default = schema.parameter(&format!("{ENUM_DEFAULT}{simple}"));
        if let Some(default) = default.filter(|_| !self.options.discard_doc) {
            self.member("default", &Json::from(default));
        }
        self.properties(schema)
    }

    fn fixed(&mut self, schema: &Schema, namespace: &str) -> Written {
        let name = schema.name.as_deref().unwrap_or_default();
        if !self.define("fixed", name, schema, namespace)? {
            return Ok(());
        }
        self.member("size", &Json::from(fixed_size(schema)));
        self.properties(schema)
    }

    /// What Avro has no words for, and the end of the object.
    fn properties(&mut self, schema: &Schema) -> Written {
        let number = |name: &str| schema.parameter(name).and_then(|text| text.parse::<i64>().ok());
        let name = schema.name.as_deref();
        if (name, &schema.kind) == (Some(logical::DECIMAL), &SchemaKind::Bytes) {
            let Some(scale) = schema.decimal_scale() else {
                return Err(Problem::new("the schema of a decimal has no parameter scale"));
            };
            self.member("scale", &Json::from(scale));
            let precision = number(DECIMAL_PRECISION).unwrap_or(DECIMAL_PRECISION_DEFAULT);
            self.member("precision", &Json::from(precision));
        }
        if self.options.meta_data {
            self.meta_data(schema)?;
        }
        let logical = match (name, &schema.kind) {
            (Some(logical::DECIMAL), SchemaKind::Bytes) => Some("decimal"),
            (Some(logical::DATE), SchemaKind::Int32) => Some("date"),
            (Some(logical::TIME), SchemaKind::Int32) => Some("time-millis"),
            (Some(logical::TIMESTAMP), SchemaKind::Int64) => Some("timestamp-millis"),
            _ => None,
        };
        if let Some(logical) = logical {
            self.member("logicalType", &Json::from(logical));
        }
        for (name, value) in schema
            .parameters
            .iter()
            .filter(|(name, _)| name.starts_with("avro"))
        {
            self.member(name, &Json::from(&**value));
        }
        self.out.push('}');
        Ok(())
    }

    fn meta_data(&mut self, schema: &Schema) -> Written {
        if let Some(doc) = &schema.doc {
            self.member(CONNECT_DOC, &Json::from(&**doc));
        }
        if let Some(version) = schema.version {
            self.member(CONNECT_VERSION, &Json::from(version));
        }
        let kept = |name: &str| self.options.discard_doc || name != FIELD_DEFAULT;
        let parameters: Vec<String> = schema
            .parameters
            .iter()
            .filter(|(name, _)| kept(name))
            .map(|(name, value)| format!("{}:{}", Json::from(&**name), Json::from(&**value)))
            .collect();
        if !parameters.is_empty() {
            self.out
                .push_str(&format!(",\"{CONNECT_PARAMETERS}\":{{{}}}", parameters.join(",")));
        }
        if let Some(default) = &schema.default
            && (self.options.discard_doc || schema.parameter(FIELD_DEFAULT).is_none())
        {
            let default = self.default(schema, default, false)?;
            self.member(CONNECT_DEFAULT, &default);
        }
        if let Some(name) = &schema.name {
            self.member(CONNECT_NAME, &Json::from(&**name));
        }
        match schema.kind {
            SchemaKind::Int8 => self.member(CONNECT_TYPE, &Json::from("int8")),
            SchemaKind::Int16 => self.member(CONNECT_TYPE, &Json::from("int16")),
            _ => {}
        }
        Ok(())
    }

    /// A default as Avro writes it. Floats of fields are widened to doubles first, as Avro's library does.
    fn default(&self, schema: &Schema, value: &Value, of_field: bool) -> Result<Json, Problem> {
        let latin1 =
            |bytes: &[u8]| Json::from(bytes.iter().map(|byte| char::from(*byte)).collect::<String>());
        Ok(match (&schema.kind, value) {
            (_, Value::Null) => Json::Null,
            (_, Value::Boolean(value)) => Json::from(*value),
            (_, Value::Int8(number)) => Json::from(*number),
            (_, Value::Int16(number)) => Json::from(*number),
            (_, Value::Int32(number) | Value::Date(number) | Value::Time(number)) => Json::from(*number),
            (_, Value::Int64(number) | Value::Timestamp(number)) => Json::from(*number),
            (_, Value::Float32(number)) if of_field => Json::from(f64::from(*number)),
            (_, Value::Float32(number)) => {
                let mut text = Vec::new();
                write_f32(*number, &mut text);
                json_number(&text)
            }
            (_, Value::Float64(number)) => Json::from(*number),
            (_, Value::String(text)) => Json::from(&**text),
            (_, Value::Bytes(bytes)) => latin1(bytes),
            (_, Value::Decimal(decimal)) => latin1(&decimal.as_bigint_and_scale().0.to_signed_bytes_be()),
            (SchemaKind::Array(element), Value::Array(values)) => {
                let values = values.iter().map(|value| self.default(element, value, of_field));
                Json::Array(values.collect::<Result<_, _>>()?)
            }
            (SchemaKind::Map(key, element), Value::Map(entries)) if is_text_key(key, self.options) => {
                let entry = |(key, value): &(Value, Value)| {
                    let key = key.as_str().unwrap_or_default().to_owned();
                    Ok((key, self.default(element, value, of_field)?))
                };
                Json::Object(entries.iter().map(entry).collect::<Result<_, Problem>>()?)
            }
            (SchemaKind::Map(key, element), Value::Map(entries)) => {
                let pair = |(its, value): &(Value, Value)| {
                    Ok(json!([
                        self.default(key, its, of_field)?,
                        self.default(element, value, of_field)?
                    ]))
                };
                Json::Array(entries.iter().map(pair).collect::<Result<_, Problem>>()?)
            }
            (SchemaKind::Struct(fields), Value::Struct(its)) => {
                let mut object = Map::new();
                for (field, value) in fields.iter().zip(its.values()) {
                    let value = if value.is_null() {
                        field.schema.default.as_ref().unwrap_or(value)
                    } else {
                        value
                    };
                    let json = self.default(&field.schema, value, of_field)?;
                    if is_union(schema) {
                        return Ok(json);
                    }
                    object.insert(scrubbed(&field.name, self.options.scrub_names).into_owned(), json);
                }
                Json::Object(object)
            }
            (_, other) => {
                let (kind, found) = (schema.kind_name(), other.kind_name());
                return Err(Problem::new(format!(
                    "the default of a schema of type {kind} is of type {found}"
                )));
            }
        })
    }
}

/// Whether a map with such keys is one in Avro, too.
pub(super) fn is_text_key(key: &Schema, options: Options) -> bool {
    key.kind == SchemaKind::String && (!key.optional || options.optional_map_keys)
}

fn json_number(text: &[u8]) -> Json {
    serde_json::from_slice(text).unwrap_or(Json::Null)
}

/// Writes JSON with numbers as Java writes them.
fn write_json(json: &Json, out: &mut String) {
    match json {
        Json::Number(number) if number.is_f64() => {
            let mut text = Vec::new();
            write_f64(number.as_f64().unwrap_or_default(), &mut text);
            out.push_str(&String::from_utf8_lossy(&text));
        }
        Json::Array(values) => {
            out.push('[');
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_json(value, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Whether `name` is that of values without a schema.
pub(super) fn is_anything(name: Option<&str>) -> bool {
    name == Some(ANYTHING)
}
