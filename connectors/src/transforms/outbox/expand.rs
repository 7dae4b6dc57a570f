//! JSON in a text, as a struct whose schema is inferred.
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;
use millstream_connect::record::{Datum, Field, Schema, SchemaKind, SchemaRef, Struct, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::mysql::config::NameAdjustment;
use crate::mysql::record::naming::{Named, adjusted};

/// How many inferred schemas are shared among the events that have them.
const SCHEMAS_MAX: usize = 64;

/// Expands payloads.
#[derive(Debug)]
pub(super) struct Expansion {
    keeps_nulls: bool,
    names: NameAdjustment,
    schemas: Vec<SchemaRef>,
    /// Which one makes room next.
    oldest: usize,
}

/// JSON whose objects keep their order.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(ByteString),
    Array(Vec<Json>),
    Object(Vec<(ByteString, Json)>),
}

impl Expansion {
    pub(super) fn new(keeps_nulls: bool, names: NameAdjustment) -> Self {
        Self {
            keeps_nulls,
            names,
            schemas: Vec::new(),
            oldest: 0,
        }
    }

    /// The struct or array that the payload is, or the payload as it is where it is none. `name` is the payload's column.
    pub(super) fn expand(&mut self, payload: Datum, name: &str) -> Datum {
        let text = match &payload.value {
            Value::Null => return payload,
            Value::String(text) => text,
            other => {
                tracing::warn!(
                    "the payload is {} and no text, and stays as it is (table.expand.json.payload)",
                    other.kind_name()
                );
                return payload;
            }
        };
        match self.expanded(text, name) {
            Ok(expanded) => expanded,
            Err(wrong) => {
                tracing::warn!("a payload stays a text: {wrong} (table.expand.json.payload)");
                payload
            }
        }
    }

    fn expanded(&mut self, text: &str, name: &str) -> Result<Datum, String> {
        if !text.starts_with(['{', '[']) {
            return Err("it begins with neither { nor [".to_owned());
        }
        let json: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let schema = self.schema(Some(name), &json)?;
        let schema = schema.ok_or("an empty array has no schema")?;
        let schema = self.shared(schema);
        let value = self.value(json, &schema)?;
        Ok(Datum::new(schema, value))
    }

    fn shared(&mut self, schema: SchemaRef) -> SchemaRef {
        if let Some(known) = self.schemas.iter().find(|known| **known == schema) {
            return Arc::clone(known);
        }
        if self.schemas.len() < SCHEMAS_MAX {
            self.schemas.push(Arc::clone(&schema));
        } else {
            self.schemas[self.oldest] = Arc::clone(&schema);
            self.oldest = (self.oldest + 1) % SCHEMAS_MAX;
        }
        schema
    }

    fn name(&self, name: &str) -> Arc<str> {
        adjusted(name, self.names, Named::Field).into()
    }

    /// The schema of `json`, whose objects are named `path`; nothing for what says no more than that it is null or empty.
    fn schema(&self, path: Option<&str>, json: &Json) -> Result<Option<SchemaRef>, String> {
        let plain = |kind: SchemaKind| Ok(Some(Arc::new(Schema::from(kind).optional())));
        match json {
            Json::Text(_) => Ok(Some(Schema::optional_string())),
            Json::Bool(_) => plain(SchemaKind::Boolean),
            Json::Int(number) if i32::try_from(*number).is_ok() => plain(SchemaKind::Int32),
            Json::Int(_) => plain(SchemaKind::Int64),
            Json::Float(_) => plain(SchemaKind::Float64),
            Json::Null if self.keeps_nulls => Ok(Some(Schema::optional_bytes())),
            Json::Null => Ok(None),
            Json::Array(elements) if elements.is_empty() => Ok(None),
            Json::Array(elements) => plain(SchemaKind::Array(self.element(path, elements)?)),
            Json::Object(entries) => {
                let (mut fields, mut seen) = (Vec::new(), HashSet::new());
                for (name, json) in entries {
                    let name = self.name(name);
                    let inside = match path {
                        Some(path) if !path.trim().is_empty() => format!("{path}.{name}"),
                        _ => name.to_string(),
                    };
                    if let Some(schema) = self.schema(Some(&inside), json)?
                        && seen.insert(Arc::clone(&name))
                    {
                        fields.push(Field { name, schema });
                    }
                }
                let mut schema = Schema::try_struct(fields)
                    .map_err(|error| error.to_string())?
                    .optional();
                schema.name = path.map(Arc::from);
                Ok(Some(Arc::new(schema)))
            }
        }
    }

    /// The one schema of an array's elements.
    fn element(&self, path: Option<&str>, elements: &[Json]) -> Result<SchemaRef, String> {
        let known = elements.iter().filter(|element| **element != Json::Null);
        let Some(first) = known.clone().next() else {
            let null = self.schema(None, &Json::Null)?;
            return null.ok_or_else(|| "an array of nothing but null has no schema".to_owned());
        };
        if let Some(other) = known.clone().find(|other| !first.is_like(other)) {
            return Err(format!(
                "an array holds unlike things, {} and {}",
                first.kind(),
                other.kind()
            ));
        }
        if !matches!(first, Json::Object(_)) {
            let schema = self.schema(None, first)?;
            return schema.ok_or_else(|| "an empty array within an array has no schema".to_owned());
        }
        let mut merged: Option<SchemaRef> = None;
        for object in known {
            let schema = self.schema(path, object)?;
            let schema = schema.ok_or("an object has no schema")?;
            merged = Some(match merged {
                Some(left) if left == schema => left,
                Some(left) => merge(&left, &schema)?,
                None => schema,
            });
        }
        merged.ok_or_else(|| "an array has no elements".to_owned())
    }

    fn value(&self, json: Json, schema: &SchemaRef) -> Result<Value, String> {
        match (json, &schema.kind) {
            (Json::Null, _) => Ok(Value::Null),
            (Json::Text(text), SchemaKind::String) => Ok(Value::String(text)),
            (Json::Bool(value), SchemaKind::Boolean) => Ok(Value::Boolean(value)),
            (Json::Float(number), SchemaKind::Float64) => Ok(Value::Float64(number)),
            (Json::Int(number), SchemaKind::Int64) if i32::try_from(number).is_err() => {
                Ok(Value::Int64(number))
            }
            (Json::Int(number), SchemaKind::Int32) => {
                let small = i32::try_from(number);
                small
                    .map(Value::Int32)
                    .map_err(|_| format!("{number} stands where smaller numbers do"))
            }
            (Json::Array(elements), SchemaKind::Array(element)) => {
                let values = elements.into_iter().map(|one| self.value(one, element));
                Ok(Value::Array(values.collect::<Result<_, _>>()?))
            }
            (Json::Object(entries), SchemaKind::Struct(_)) => {
                let mut its = Struct::empty(Arc::clone(schema));
                for (name, json) in entries {
                    let name = self.name(&name);
                    if let Some(field) = schema.field(&name) {
                        its.set(&name, self.value(json, &field.schema)?);
                    }
                }
                Ok(Value::Struct(its))
            }
            (json, _) => Err(format!(
                "{} stands where there is {} elsewhere",
                json.kind(),
                schema.kind_name()
            )),
        }
    }
}

/// All fields of both; of two of one name the first one, unless that is known from nulls alone.
fn merge(left: &Schema, right: &Schema) -> Result<SchemaRef, String> {
    let mut fields = left.fields().to_vec();
    for field in right.fields() {
        match left.field_index(&field.name) {
            None => fields.push(field.clone()),
            Some(index) if fields[index].schema.kind == SchemaKind::Bytes => {
                fields[index].schema = Arc::clone(&field.schema);
            }
            Some(_) => {}
        }
    }
    let mut schema = Schema::try_struct(fields).map_err(|error| error.to_string())?;
    schema.name.clone_from(&left.name);
    Ok(Arc::new(schema))
}

impl Json {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// Whether both may be elements of one array; numbers have to be of one size.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => {
                i32::try_from(*one).is_ok() == i32::try_from(*other).is_ok()
            }
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        // Beyond 63 bits it is a number all the same, if not as exact.
        Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(element) = elements.next_element()? {
            all.push(element);
        }
        Ok(Json::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut all: Vec<(ByteString, Json)> = Vec::new();
        let mut places: HashMap<ByteString, usize> = HashMap::new();
        while let Some((name, value)) = entries.next_entry::<String, Json>()? {
            let name = ByteString::from(name);
            // Of two of one name the later one counts, where the earlier one stood.
            match places.entry(name.clone()) {
                Entry::Occupied(place) => all[*place.get()].1 = value,
                Entry::Vacant(place) => {
                    place.insert(all.len());
                    all.push((name, value));
                }
            }
        }
        Ok(Json::Object(all))
    }
}
