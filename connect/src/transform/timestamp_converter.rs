//! `TimestampConverter`: times between texts, numbers, and the types that Kafka Connect has for them.
use std::mem::take;
use std::sync::Arc;

use bytestring::ByteString;

use super::date_format::{DateFormat, MILLISECONDS_PER_DAY};
use super::fields::{
    Nulls, check_nulls, exactly_one_of, put_entry, require_fields, require_map, require_struct_of,
    struct_like,
};
use super::plans::Plans;
use super::side::{Side, plugin_for_sides};
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::{Datum, Field, Record, Schema, SchemaKind, SchemaRef, Struct, Value, logical};

const PURPOSE: &str = "converting times";

plugin_for_sides!(
    TimestampConverterPlugin,
    "TimestampConverter",
    keys,
    TimestampConverter::new
);

fn keys() -> ConfigDef {
    let text = ConfigType::String;
    ConfigDef::new()
        .with(ConfigKey::with_default(
            "field",
            text,
            "",
            Importance::High,
            "The field containing the timestamp, or empty if the entire value is a timestamp",
        ))
        .with(
            ConfigKey::required(
                "target.type",
                text,
                Importance::High,
                "The desired timestamp representation: string, unix, Date, Time, or Timestamp",
            )
            .checked(exactly_one_of(&["string", "unix", "Date", "Time", "Timestamp"])),
        )
        .with(ConfigKey::with_default(
            "format",
            text,
            "",
            Importance::Medium,
            "A SimpleDateFormat-compatible format for the timestamp. Used to generate the output when type=string or used to parse \
             the input if the input is a string.",
        ))
        .with(
            ConfigKey::with_default(
                "unix.precision",
                text,
                "milliseconds",
                Importance::Low,
                "The desired Unix precision for the timestamp: seconds, milliseconds, microseconds, or nanoseconds. Used to generate \
                 the output when type=unix or used to parse the input if the input is a Long.Note: This SMT will cause precision loss \
                 during conversions from, and to, values with sub-millisecond components.",
            )
            .checked(exactly_one_of(&["nanoseconds", "microseconds", "milliseconds", "seconds"])),
        )
        .with(Nulls::key())
}

/// What stands for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Representation {
    Text,
    Unix,
    Date,
    Time,
    Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
}

struct TimestampConverter {
    side: Side,
    /// Empty: the whole key or value.
    field: ByteString,
    conversion: Conversion,
    nulls: Nulls,
    plans: Plans<Plan>,
}

struct Conversion {
    target: Representation,
    /// The target's schemas, not optional and optional.
    schemas: [SchemaRef; 2],
    format: Option<DateFormat>,
    pattern: String,
    precision: Precision,
}

struct Plan {
    schema: SchemaRef,
    /// Where the field is, and what it is; none if there is no such field.
    field: Option<(usize, Option<Representation>)>,
}

impl TimestampConverter {
    fn new(side: Side, config: &Config) -> Result<Self, PluginError> {
        Ok(Self {
            side,
            field: config.string("field").into(),
            conversion: Conversion::new(config)?,
            nulls: Nulls::of(config),
            plans: Plans::new(),
        })
    }

    fn apply_with_schema(&mut self, datum: &mut Datum, schema: &SchemaRef) -> Result<(), PluginError> {
        let value = take(&mut datum.value);
        if self.field.is_empty() {
            let from = Representation::of_schema(schema);
            datum.value = self.conversion.convert(value, from, schema)?;
            datum.schema = Some(self.conversion.schema(schema.optional));
            return Ok(());
        }
        let (field, conversion, nulls) = (&self.field, &self.conversion, self.nulls);
        let plan = self
            .plans
            .of(schema, |schema| Plan::of(schema, field, conversion, nulls))?;
        datum.value = match value {
            Value::Null => Value::Null,
            value => {
                let from = require_struct_of(value, schema, PURPOSE)?;
                Value::Struct(plan.convert(from, conversion, nulls)?)
            }
        };
        datum.schema = Some(Arc::clone(&plan.schema));
        Ok(())
    }

    fn apply_schemaless(&self, value: Value) -> Result<Value, PluginError> {
        if value.is_null() || self.field.is_empty() {
            return self.conversion.convert_schemaless(value);
        }
        let mut entries = require_map(value, PURPOSE)?;
        let found = entries
            .iter_mut()
            .find(|(key, _)| key.as_str() == Some(&*self.field));
        match found {
            Some((_, value)) => *value = self.conversion.convert_schemaless(take(value))?,
            None => put_entry(&mut entries, &self.field, Value::Null),
        }
        Ok(Value::Map(entries))
    }
}

impl Plan {
    fn of(schema: &Schema, name: &str, conversion: &Conversion, nulls: Nulls) -> Result<Self, PluginError> {
        let mut fields = require_fields(schema, PURPOSE)?.to_vec();
        let field = schema.field_index(name).map(|index| {
            let from = Representation::of_schema(&fields[index].schema);
            fields[index] = Field {
                name: Arc::clone(&fields[index].name),
                schema: conversion.schema(fields[index].schema.optional),
            };
            (index, from)
        });
        let mut updated = struct_like(schema, fields)?;
        updated.optional = schema.optional;
        let mut plan = Self {
            schema: Arc::new(updated.clone()),
            field,
        };
        if let Some(Value::Struct(default)) = &schema.default {
            let default = plan.convert(default.clone(), conversion, nulls)?;
            plan.schema = Arc::new(updated.with_default(Value::Struct(default)));
        }
        Ok(plan)
    }

    fn convert(&self, from: Struct, conversion: &Conversion, nulls: Nulls) -> Result<Struct, PluginError> {
        let (schema, mut values) = nulls.read_all(from);
        if let Some((index, from)) = self.field {
            let value = take(&mut values[index]);
            values[index] = conversion.convert(value, from, &schema.fields()[index].schema)?;
        }
        check_nulls(&self.schema, &values)?;
        Ok(Struct::new(Arc::clone(&self.schema), values))
    }
}

impl Representation {
    /// What values of a schema stand for.
    fn of_schema(schema: &Schema) -> Option<Self> {
        Some(match (schema.name.as_deref(), &schema.kind) {
            (Some(logical::TIMESTAMP), _) => Self::Timestamp,
            (Some(logical::DATE), _) => Self::Date,
            (Some(logical::TIME), _) => Self::Time,
            (_, SchemaKind::String) => Self::Text,
            (_, SchemaKind::Int64) => Self::Unix,
            _ => return None,
        })
    }

    fn of_value(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Timestamp(_) | Value::Date(_) | Value::Time(_) => Self::Timestamp,
            Value::Int64(_) => Self::Unix,
            Value::String(_) => Self::Text,
            _ => return None,
        })
    }

    fn schema(self) -> Schema {
        match self {
            Self::Text => SchemaKind::String.into(),
            Self::Unix => SchemaKind::Int64.into(),
            Self::Date => Schema::date(),
            Self::Time => Schema::time(),
            Self::Timestamp => Schema::timestamp(),
        }
    }
}

impl Conversion {
    fn new(config: &Config) -> Result<Self, PluginError> {
        let target = match config.string("target.type") {
            "string" => Representation::Text,
            "unix" => Representation::Unix,
            "Date" => Representation::Date,
            "Time" => Representation::Time,
            _ => Representation::Timestamp,
        };
        let pattern = config.string("format");
        if target == Representation::Text && pattern.is_empty() {
            return Err(PluginError::user_config(
                "format: target.type=string needs a format for the texts, such as yyyy-MM-dd",
            ));
        }
        let format = match pattern.is_empty() {
            true => None,
            false => Some(
                DateFormat::new(pattern)
                    .map_err(|error| PluginError::user_config(format!("format: {error}")))?,
            ),
        };
        let precision = match config.string("unix.precision") {
            "nanoseconds" => Precision::Nanoseconds,
            "microseconds" => Precision::Microseconds,
            "seconds" => Precision::Seconds,
            _ => Precision::Milliseconds,
        };
        Ok(Self {
            target,
            schemas: [Arc::new(target.schema()), Arc::new(target.schema().optional())],
            format,
            pattern: pattern.to_owned(),
            precision,
        })
    }

    fn schema(&self, optional: bool) -> SchemaRef {
        Arc::clone(&self.schemas[usize::from(optional)])
    }

    fn convert_schemaless(&self, value: Value) -> Result<Value, PluginError> {
        if value.is_null() {
            return Ok(value);
        }
        let from = Representation::of_value(&value).ok_or_else(|| {
            PluginError::bad_record(format!(
                "{PURPOSE}: a value of type {} is no time",
                value.kind_name()
            ))
        })?;
        let milliseconds = self.milliseconds(&value, from)?;
        self.to_target(milliseconds)
    }

    fn convert(
        &self,
        value: Value,
        from: Option<Representation>,
        schema: &Schema,
    ) -> Result<Value, PluginError> {
        let from = from.ok_or_else(|| {
            PluginError::bad_record(format!(
                "{PURPOSE}: the schema {} is not one of times",
                schema.kind_name()
            ))
        })?;
        if value.is_null() {
            return Ok(value);
        }
        let milliseconds = self.milliseconds(&value, from)?;
        self.to_target(milliseconds)
    }

    /// The time that a value stands for, since 1970.
    fn milliseconds(&self, value: &Value, from: Representation) -> Result<i64, PluginError> {
        use Representation as Is;
        match (from, value) {
            (Is::Text, Value::String(text)) => {
                let format = self.format.as_ref().ok_or_else(|| {
                    PluginError::bad_record(format!("{PURPOSE}: reading a text needs a format; set it"))
                })?;
                format.read(text).map_err(|error| {
                    PluginError::bad_record(format!(
                        "{PURPOSE}: {text} is not as {} says: {error}",
                        self.pattern
                    ))
                })
            }
            (Is::Unix, Value::Int64(number)) => Ok(match self.precision {
                Precision::Seconds => number.saturating_mul(1000),
                Precision::Milliseconds => *number,
                Precision::Microseconds => number / 1000,
                Precision::Nanoseconds => number / 1_000_000,
            }),
            (Is::Date | Is::Time | Is::Timestamp, Value::Timestamp(number)) => Ok(*number),
            (Is::Date | Is::Time | Is::Timestamp, Value::Date(days)) => {
                Ok(i64::from(*days) * MILLISECONDS_PER_DAY)
            }
            (Is::Date | Is::Time | Is::Timestamp, Value::Time(number)) => Ok(i64::from(*number)),
            (_, other) => Err(PluginError::bad_record(format!(
                "{PURPOSE}: a value of type {} is not what its schema says",
                other.kind_name()
            ))),
        }
    }

    fn to_target(&self, milliseconds: i64) -> Result<Value, PluginError> {
        Ok(match self.target {
            Representation::Text => {
                let format = self.format.as_ref().expect("checked with the configuration");
                let mut text = String::with_capacity(self.pattern.len() + 8);
                format.write(milliseconds, &mut text);
                Value::String(text.into())
            }
            Representation::Unix => Value::Int64(match self.precision {
                Precision::Seconds => milliseconds / 1000,
                Precision::Milliseconds => milliseconds,
                Precision::Microseconds => milliseconds.saturating_mul(1000),
                Precision::Nanoseconds => milliseconds.saturating_mul(1_000_000),
            }),
            Representation::Date => {
                let days = i32::try_from(milliseconds.div_euclid(MILLISECONDS_PER_DAY));
                Value::Date(days.map_err(|_| {
                    PluginError::bad_record(format!(
                        "{PURPOSE}: {milliseconds} ms is too far from 1970 for a date"
                    ))
                })?)
            }
            // A remainder of a day's milliseconds fits.
            Representation::Time => Value::Time(milliseconds.rem_euclid(MILLISECONDS_PER_DAY) as i32),
            Representation::Timestamp => Value::Timestamp(milliseconds),
        })
    }
}

impl Transform for TimestampConverter {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        let datum = self.side.of(&mut record);
        match datum.schema.clone() {
            Some(schema) => self.apply_with_schema(datum, &schema)?,
            None => datum.value = self.apply_schemaless(take(&mut datum.value))?,
        }
        Ok(Some(record))
    }
}
