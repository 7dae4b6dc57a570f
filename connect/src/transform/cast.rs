//! `Cast`: other types for fields, or for a whole key or value.
use std::collections::HashMap;
use std::mem::take;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytestring::ByteString;

use super::date_format::{DateFormat, MILLISECONDS_PER_DAY};
use super::fields::{
    Nulls, check_nulls, described_like, put_entry, require_map, require_struct_of, struct_like,
};
use super::number::{decimal_text, float_syntax, float_text, low_bits};
use super::plans::Plans;
use super::side::{Side, plugin_for_sides};
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::{Datum, Field, Record, Schema, SchemaKind, SchemaRef, Struct, Value};

const PURPOSE: &str = "casting types";

plugin_for_sides!(CastPlugin, "Cast", keys, Cast::new);

fn keys() -> ConfigDef {
    ConfigDef::new()
        .with(
            ConfigKey::required(
                "spec",
                ConfigType::List,
                Importance::High,
                "List of fields and the type to cast them to of the form field1:type,field2:type to cast fields of Maps or Structs. \
                 A single type to cast the entire value. Valid types are int8, int16, int32, int64, float32, float64, boolean, and \
                 string. Note that binary fields can only be cast to string.",
            )
            .checked(|text| {
                let parts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
                Spec::parse(&parts).map(drop)
            }),
        )
        .with(Nulls::key())
}

/// What can be cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Boolean,
    String,
}

/// What is cast.
enum Spec {
    Whole(Target),
    Fields(HashMap<String, Target>),
}

struct Cast {
    side: Side,
    spec: Spec,
    /// Fields with their types, for maps.
    fields: Vec<(ByteString, Target)>,
    dates: Dates,
    nulls: Nulls,
    plans: Plans<Plan>,
}

struct Plan {
    schema: SchemaRef,
    /// What each field is cast to.
    targets: Vec<Option<Target>>,
}

/// How Java writes dates when nothing says how.
struct Dates {
    date: DateFormat,
    time: DateFormat,
    timestamp: DateFormat,
}

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match &*text.trim().to_ascii_lowercase() {
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float32" => Self::Float32,
            "float64" => Self::Float64,
            "boolean" => Self::Boolean,
            "string" => Self::String,
            other => {
                return Err(format!(
                    "{other} is no type to cast to; there are int8, int16, int32, int64, float32, float64, boolean and string"
                ));
            }
        })
    }

    fn kind(self) -> SchemaKind {
        match self {
            Self::Int8 => SchemaKind::Int8,
            Self::Int16 => SchemaKind::Int16,
            Self::Int32 => SchemaKind::Int32,
            Self::Int64 => SchemaKind::Int64,
            Self::Float32 => SchemaKind::Float32,
            Self::Float64 => SchemaKind::Float64,
            Self::Boolean => SchemaKind::Boolean,
            Self::String => SchemaKind::String,
        }
    }
}

impl Spec {
    fn parse(parts: &[String]) -> Result<Self, String> {
        if parts.iter().all(|part| part.is_empty()) {
            return Err("Must specify at least one field to cast.".to_owned());
        }
        let (mut fields, mut whole) = (HashMap::new(), None);
        for part in parts {
            match part.trim_end_matches(':').split_once(':') {
                None => whole = Some(Target::parse(part.trim_end_matches(':'))?),
                Some((_, target)) if target.contains(':') => {
                    return Err(format!("Invalid cast mapping: {part}"));
                }
                Some((field, target)) => {
                    fields.insert(field.trim().to_owned(), Target::parse(target)?);
                }
            }
        }
        match whole {
            Some(_) if parts.len() > 1 => Err(
                "Cast transformations that specify a type to cast the entire value to may ONLY cast a single type."
                    .to_owned(),
            ),
            Some(target) => Ok(Self::Whole(target)),
            None => Ok(Self::Fields(fields)),
        }
    }
}

impl Cast {
    fn new(side: Side, config: &Config) -> Result<Self, PluginError> {
        let spec = Spec::parse(config.list("spec"))
            .map_err(|error| PluginError::user_config(format!("spec: {error}")))?;
        let mut fields: Vec<(ByteString, Target)> = match &spec {
            Spec::Whole(_) => Vec::new(),
            Spec::Fields(fields) => {
                let fields = fields.iter();
                fields
                    .map(|(name, target)| (ByteString::from(&**name), *target))
                    .collect()
            }
        };
        // Maps without one of the fields get it in the same place each time.
        fields.sort_by(|(name, _), (other, _)| name.cmp(other));
        Ok(Self {
            side,
            spec,
            fields,
            dates: Dates::new(),
            nulls: Nulls::of(config),
            plans: Plans::new(),
        })
    }

    fn apply_with_schema(&mut self, datum: &mut Datum, schema: &SchemaRef) -> Result<(), PluginError> {
        let (spec, dates) = (&self.spec, &self.dates);
        let plan = self.plans.of(schema, |schema| Plan::of(schema, spec, dates))?;
        let value = take(&mut datum.value);
        datum.value = match spec {
            Spec::Whole(target) => dates.cast(value, *target)?,
            Spec::Fields(_) => {
                let from = require_struct_of(value, schema, PURPOSE)?;
                let (_, mut values) = self.nulls.read_all(from);
                for ((value, target), field) in values.iter_mut().zip(&plan.targets).zip(plan.schema.fields())
                {
                    if let Some(target) = target {
                        let cast = dates.cast(take(value), *target);
                        *value = cast.map_err(|error| in_field(&field.name, &error))?;
                    }
                }
                check_nulls(&plan.schema, &values)?;
                Value::Struct(Struct::new(Arc::clone(&plan.schema), values))
            }
        };
        datum.schema = Some(Arc::clone(&plan.schema));
        Ok(())
    }

    fn apply_schemaless(&self, value: Value) -> Result<Value, PluginError> {
        if let Spec::Whole(target) = self.spec {
            return self.dates.cast_schemaless(value, target);
        }
        let mut entries = require_map(value, PURPOSE)?;
        for (name, target) in &self.fields {
            let found = entries.iter_mut().find(|(key, _)| key.as_str() == Some(&**name));
            match found {
                Some((_, value)) => {
                    let cast = self.dates.cast_schemaless(take(value), *target);
                    *value = cast.map_err(|error| in_field(name, &error))?;
                }
                None => put_entry(&mut entries, name, Value::Null),
            }
        }
        Ok(Value::Map(entries))
    }
}

fn in_field(name: &str, error: &PluginError) -> PluginError {
    PluginError::bad_record(format!("the field {name}: {error}"))
}

impl Plan {
    fn of(schema: &Schema, spec: &Spec, dates: &Dates) -> Result<Self, PluginError> {
        let casts = match spec {
            Spec::Fields(casts) => casts,
            Spec::Whole(target) => {
                let mut updated = described_like(schema, cast_schema(schema, *target, dates)?);
                updated.optional = schema.optional;
                return Ok(Self {
                    schema: Arc::new(updated),
                    targets: Vec::new(),
                });
            }
        };
        super::fields::require_fields(schema, PURPOSE)?;
        if schema.default.is_some() {
            return Err(PluginError::bad_record(format!(
                "{PURPOSE}: the schema of the struct has a default, which cannot be cast"
            )));
        }
        let (mut fields, mut targets) = (Vec::new(), Vec::new());
        for field in schema.fields() {
            let target = casts.get(&*field.name).copied();
            let schema = match target {
                Some(target) => Arc::new(cast_schema(&field.schema, target, dates)?),
                None => Arc::clone(&field.schema),
            };
            let name = Arc::clone(&field.name);
            fields.push(Field { name, schema });
            targets.push(target);
        }
        let mut updated = struct_like(schema, fields)?;
        updated.optional = schema.optional;
        Ok(Self {
            schema: Arc::new(updated),
            targets,
        })
    }
}

/// The schema of what was cast: optional as before, and with the default cast as well.
fn cast_schema(schema: &Schema, target: Target, dates: &Dates) -> Result<Schema, PluginError> {
    let mut updated = Schema::from(target.kind());
    updated.optional = schema.optional;
    if let Some(default) = &schema.default {
        updated.default = Some(dates.cast(default.clone(), target)?);
    }
    Ok(updated)
}

impl Dates {
    fn new() -> Self {
        let format = |pattern| DateFormat::new(pattern).expect("a pattern of ours");
        Self {
            date: format("yyyy-MM-dd"),
            time: format("HH:mm:ss.SSS'Z'"),
            timestamp: format("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"),
        }
    }

    /// `value` as the type `target`.
    fn cast(&self, value: Value, target: Target) -> Result<Value, PluginError> {
        if value.is_null() {
            return Ok(value);
        }
        Ok(match target {
            Target::Int8 => {
                Value::Int8(integer(&value, |text| text.parse::<i8>().ok().map(i64::from))? as i8)
            }
            Target::Int16 => {
                Value::Int16(integer(&value, |text| text.parse::<i16>().ok().map(i64::from))? as i16)
            }
            Target::Int32 => {
                Value::Int32(integer(&value, |text| text.parse::<i32>().ok().map(i64::from))? as i32)
            }
            Target::Int64 => Value::Int64(match &value {
                Value::Float32(number) => *number as i64,
                Value::Float64(number) => *number as i64,
                _ => integer(&value, |text| text.parse::<i64>().ok())?,
            }),
            Target::Float32 => Value::Float32(float32(&value)?),
            Target::Float64 => Value::Float64(float64(&value)?),
            Target::Boolean => Value::Boolean(match &value {
                Value::Float32(number) => *number as i64 != 0,
                Value::Float64(number) => *number as i64 != 0,
                Value::String(text) => text.eq_ignore_ascii_case("true"),
                _ => integer(&value, |_| None)? != 0,
            }),
            Target::String => Value::String(self.text(value)?),
        })
    }

    /// The same without a schema, where decimals and dates have no meaning to Java.
    fn cast_schemaless(&self, value: Value, target: Target) -> Result<Value, PluginError> {
        match value {
            Value::Decimal(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
                Err(impossible(&value))
            }
            value => self.cast(value, target),
        }
    }

    fn text(&self, value: Value) -> Result<ByteString, PluginError> {
        Ok(match value {
            Value::String(text) => text,
            Value::Boolean(value) => ByteString::from_static(if value { "true" } else { "false" }),
            Value::Int8(number) => number.to_string().into(),
            Value::Int16(number) => number.to_string().into(),
            Value::Int32(number) => number.to_string().into(),
            Value::Int64(number) => number.to_string().into(),
            Value::Float32(number) => float_text(&format!("{number:e}")).into(),
            Value::Float64(number) => float_text(&format!("{number:e}")).into(),
            Value::Decimal(decimal) => decimal_text(&decimal).into(),
            Value::Bytes(bytes) => STANDARD.encode(&bytes).into(),
            Value::Date(days) => self.date_text(i64::from(days) * MILLISECONDS_PER_DAY).into(),
            Value::Time(milliseconds) => self.date_text(i64::from(milliseconds)).into(),
            Value::Timestamp(milliseconds) => self.date_text(milliseconds).into(),
            other => return Err(impossible(&other)),
        })
    }

    /// How a date is written depends on its value alone (Kafka's `Values.dateFormatFor`).
    fn date_text(&self, milliseconds: i64) -> String {
        let format = match milliseconds {
            ..MILLISECONDS_PER_DAY => &self.time,
            _ if milliseconds % MILLISECONDS_PER_DAY == 0 => &self.date,
            _ => &self.timestamp,
        };
        let mut out = String::new();
        format.write(milliseconds, &mut out);
        out
    }
}

fn impossible(value: &Value) -> PluginError {
    PluginError::bad_record(format!(
        "a value of type {} cannot be cast to that type",
        value.kind_name()
    ))
}

fn out_of_range(text: &str) -> PluginError {
    PluginError::bad_record(format!("the text {text} is not a number of that type"))
}

/// An integer, whose low bits the caller takes; floats go through 32 bits, as Java's do for the small types.
fn integer(value: &Value, parse: impl Fn(&str) -> Option<i64>) -> Result<i64, PluginError> {
    Ok(match value {
        Value::Boolean(value) => i64::from(*value),
        Value::Int8(number) => i64::from(*number),
        Value::Int16(number) => i64::from(*number),
        Value::Int32(number) | Value::Date(number) | Value::Time(number) => i64::from(*number),
        Value::Int64(number) | Value::Timestamp(number) => *number,
        Value::Float32(number) => i64::from(*number as i32),
        Value::Float64(number) => i64::from(*number as i32),
        Value::Decimal(decimal) => low_bits(decimal),
        Value::String(text) => parse(text).ok_or_else(|| out_of_range(text))?,
        other => return Err(impossible(other)),
    })
}

fn float32(value: &Value) -> Result<f32, PluginError> {
    Ok(match value {
        Value::Float32(number) => *number,
        Value::Float64(number) => *number as f32,
        Value::Int64(number) | Value::Timestamp(number) => *number as f32,
        // The text is rounded once; over a double it would be twice.
        Value::Decimal(decimal) => decimal_text(decimal).parse().map_err(|_| impossible(value))?,
        Value::String(text) => {
            let number = float_syntax(text).and_then(|text| text.parse().ok());
            number.ok_or_else(|| out_of_range(text))?
        }
        other => integer(other, |_| None)? as f32,
    })
}

fn float64(value: &Value) -> Result<f64, PluginError> {
    Ok(match value {
        Value::Float32(number) => f64::from(*number),
        Value::Float64(number) => *number,
        Value::Decimal(decimal) => decimal_text(decimal).parse().map_err(|_| impossible(value))?,
        Value::String(text) => {
            let number = float_syntax(text).and_then(|text| text.parse().ok());
            number.ok_or_else(|| out_of_range(text))?
        }
        other => integer(other, |_| None)? as f64,
    })
}

impl Transform for Cast {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        let datum = self.side.of(&mut record);
        if datum.is_null() {
            return Ok(Some(record));
        }
        match datum.schema.clone() {
            Some(schema) => self.apply_with_schema(datum, &schema)?,
            None => datum.value = self.apply_schemaless(take(&mut datum.value))?,
        }
        Ok(Some(record))
    }
}
