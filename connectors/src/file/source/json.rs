//! Lines of JSON, as values without a schema, as Kafka's `JsonConverter` reads them without schemas.
//!
//! Objects are maps with texts as keys, whole numbers int64, others float64.
use std::fmt;

use millstream_connect::record::{Datum, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

struct Parsed(Value);

struct Reader;

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Parsed, E> {
        Ok(Parsed(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Parsed, E> {
        Ok(Parsed(Value::Boolean(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Parsed, E> {
        Ok(Parsed(Value::Int64(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Parsed, E> {
        let whole = i64::try_from(value).map(Value::Int64);
        Ok(Parsed(whole.unwrap_or(Value::Float64(value as f64))))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Parsed, E> {
        Ok(Parsed(Value::Float64(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Parsed, E> {
        Ok(Parsed(Value::from(value)))
    }

    fn visit_string<E>(self, value: String) -> Result<Parsed, E> {
        Ok(Parsed(Value::from(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Parsed, A::Error> {
        let mut array = Vec::new();
        while let Some(Parsed(value)) = values.next_element()? {
            array.push(value);
        }
        Ok(Parsed(Value::Array(array)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Parsed, A::Error> {
        let mut map: Vec<(Value, Value)> = Vec::new();
        while let Some((key, Parsed(value))) = entries.next_entry::<String, Parsed>()? {
            map.push((Value::from(key), value));
        }
        Ok(Parsed(Value::Map(map)))
    }
}

/// The value of a line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(line: &str) -> Result<Datum, String> {
    let parsed: Result<Parsed, _> = serde_json::from_str(line);
    parsed
        .map(|parsed| Datum::schemaless(parsed.0))
        .map_err(|error| format!("it is no JSON: {error}"))
}
