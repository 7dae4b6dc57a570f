//! `MaskField`: values that nobody is to see become zero, empty, or a given text.
use std::mem::take;
use std::sync::Arc;

use bigdecimal::{BigDecimal, Zero};
use bytestring::ByteString;

use super::fields::{Nulls, check_nulls, distinct, put_entry, require_map, require_struct, some_names};
use super::number::{decimal_text, low_bits, parse_decimal};
use super::plans::Plans;
use super::side::{Side, plugin_for_sides};
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::{Record, Struct, Value};

const PURPOSE: &str = "masking fields";

plugin_for_sides!(MaskFieldPlugin, "MaskField", keys, MaskField::new);

fn keys() -> ConfigDef {
    ConfigDef::new()
        .with(
            ConfigKey::required(
                "fields",
                ConfigType::List,
                Importance::High,
                "Names of fields to mask.",
            )
            .checked(some_names),
        )
        .with(
            ConfigKey::optional(
                "replacement",
                ConfigType::String,
                Importance::Low,
                "Custom value replacement, that will be applied to all 'fields' values (numeric or non-empty string values only).",
            )
            .not_empty(),
        )
        .with(Nulls::key())
}

struct MaskField {
    side: Side,
    names: Vec<ByteString>,
    replacement: Option<Replacement>,
    nulls: Nulls,
    /// Where in structs the fields are.
    plans: Plans<Vec<usize>>,
}

/// What stands for masked values, as the types they may have.
struct Replacement {
    text: ByteString,
    number: Option<Number>,
}

struct Number {
    decimal: BigDecimal,
    integer: i64,
    double: f64,
}

impl MaskField {
    fn new(side: Side, config: &Config) -> Result<Self, PluginError> {
        let fields = config.list("fields");
        let replacement = config.optional_string("replacement");
        Ok(Self {
            side,
            names: distinct(fields),
            replacement: replacement.map(Replacement::new),
            nulls: Nulls::of(config),
            plans: Plans::new(),
        })
    }
}

/// What stands for `value`.
fn masked(value: &Value, replacement: Option<&Replacement>) -> Result<Value, PluginError> {
    match replacement {
        _ if value.is_null() => Ok(Value::Null),
        None => zero(value),
        Some(replacement) => replacement.of(value),
    }
}

/// The zero of a type.
fn zero(value: &Value) -> Result<Value, PluginError> {
    Ok(match value {
        Value::Boolean(_) => Value::Boolean(false),
        Value::Int8(_) => Value::Int8(0),
        Value::Int16(_) => Value::Int16(0),
        Value::Int32(_) => Value::Int32(0),
        Value::Int64(_) => Value::Int64(0),
        Value::Float32(_) => Value::Float32(0.0),
        Value::Float64(_) => Value::Float64(0.0),
        Value::String(_) => Value::String(ByteString::new()),
        Value::Decimal(_) => Value::Decimal(Box::new(BigDecimal::zero())),
        Value::Date(_) => Value::Date(0),
        Value::Time(_) => Value::Time(0),
        Value::Timestamp(_) => Value::Timestamp(0),
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Map(_) => Value::Map(Vec::new()),
        Value::Null | Value::Bytes(_) | Value::Struct(_) => {
            return Err(PluginError::bad_record(format!(
                "{PURPOSE}: a value of type {} cannot be masked; leave its field out with ReplaceField",
                value.kind_name()
            )));
        }
    })
}

impl Replacement {
    fn new(text: &str) -> Self {
        let number = parse_decimal(text).map(|decimal| Number {
            integer: low_bits(&decimal),
            double: decimal_text(&decimal).parse().unwrap_or(f64::NAN),
            decimal,
        });
        Self {
            text: text.into(),
            number,
        }
    }

    fn of(&self, value: &Value) -> Result<Value, PluginError> {
        let number = || {
            self.number.as_ref().ok_or_else(|| {
                PluginError::bad_record(format!(
                    "{PURPOSE}: the replacement {} is no number, but the field is of type {}",
                    self.text,
                    value.kind_name()
                ))
            })
        };
        // Integers keep their low bits, as Java's casts do.
        Ok(match value {
            Value::String(_) => Value::String(self.text.clone()),
            Value::Int8(_) => Value::Int8(number()?.integer as i8),
            Value::Int16(_) => Value::Int16(number()?.integer as i16),
            Value::Int32(_) => Value::Int32(number()?.integer as i32),
            Value::Int64(_) => Value::Int64(number()?.integer),
            Value::Float32(_) => Value::Float32(number()?.double as f32),
            Value::Float64(_) => Value::Float64(number()?.double),
            Value::Decimal(_) => Value::Decimal(Box::new(number()?.decimal.clone())),
            other => {
                return Err(PluginError::bad_record(format!(
                    "{PURPOSE}: a value of type {} cannot be masked with a replacement",
                    other.kind_name()
                )));
            }
        })
    }
}

impl Transform for MaskField {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        let datum = self.side.of(&mut record);
        let value = take(&mut datum.value);
        let replacement = self.replacement.as_ref();
        if datum.schema.is_none() {
            let mut entries = require_map(value, PURPOSE)?;
            for name in &self.names {
                let found = entries.iter_mut().find(|(key, _)| key.as_str() == Some(&**name));
                match found {
                    Some((_, value)) => *value = masked(value, replacement)?,
                    None => put_entry(&mut entries, name, Value::Null),
                }
            }
            datum.value = Value::Map(entries);
            return Ok(Some(record));
        }
        let from = require_struct(value, PURPOSE)?;
        let names = &self.names;
        let fields = self.plans.of(from.schema(), |schema| {
            let fields = names.iter().filter_map(|name| schema.field_index(name));
            Ok::<_, PluginError>(fields.collect())
        })?;
        let (schema, mut values) = self.nulls.read_all(from);
        for index in fields {
            values[*index] = masked(&values[*index], replacement)?;
        }
        check_nulls(&schema, &values)?;
        datum.value = Value::Struct(Struct::new(Arc::clone(&schema), values));
        Ok(Some(record))
    }
}
