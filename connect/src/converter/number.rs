//! `ShortConverter`, `IntegerConverter`, `LongConverter`, `FloatConverter` and `DoubleConverter`: numbers, big-endian.
use std::sync::Arc;

use bytes::Bytes;

use super::{ForHeaders, converter_keys, not_for};
use crate::config::{ConfigDef, ConfigMap};
use crate::plugin::{
    Converter, ConverterPlugin, Encoded, HeaderConverter, HeaderConverterPlugin, Plugin, PluginError,
};
use crate::record::{Datum, Schema, SchemaKind, SchemaRef, Value};

/// The plugins.
pub(super) const ALL: [NumberConverterPlugin; 5] = [
    NumberConverterPlugin(Number::Short),
    NumberConverterPlugin(Number::Integer),
    NumberConverterPlugin(Number::Long),
    NumberConverterPlugin(Number::Float),
    NumberConverterPlugin(Number::Double),
];

/// One of the plugins.
#[derive(Clone, Copy)]
pub(super) struct NumberConverterPlugin(Number);

#[derive(Debug, Clone, Copy)]
enum Number {
    Short,
    Integer,
    Long,
    Float,
    Double,
}

struct NumberConverter {
    number: Number,
    schema: SchemaRef,
}

impl NumberConverter {
    fn new(number: Number) -> Self {
        let kind = match number {
            Number::Short => SchemaKind::Int16,
            Number::Integer => SchemaKind::Int32,
            Number::Long => SchemaKind::Int64,
            Number::Float => SchemaKind::Float32,
            Number::Double => SchemaKind::Float64,
        };
        let schema = Arc::new(Schema::from(kind).optional());
        Self { number, schema }
    }
}

impl Plugin for NumberConverterPlugin {
    fn class(&self) -> &'static str {
        match self.0 {
            Number::Short => "org.apache.kafka.connect.converters.ShortConverter",
            Number::Integer => "org.apache.kafka.connect.converters.IntegerConverter",
            Number::Long => "org.apache.kafka.connect.converters.LongConverter",
            Number::Float => "org.apache.kafka.connect.converters.FloatConverter",
            Number::Double => "org.apache.kafka.connect.converters.DoubleConverter",
        }
    }

    fn config_def(&self) -> ConfigDef {
        converter_keys()
    }
}

impl ConverterPlugin for NumberConverterPlugin {
    fn new_converter(&self, _config: &ConfigMap, _is_key: bool) -> Result<Box<dyn Converter>, PluginError> {
        Ok(Box::new(NumberConverter::new(self.0)))
    }
}

impl HeaderConverterPlugin for NumberConverterPlugin {
    fn new_header_converter(&self, _config: &ConfigMap) -> Result<Box<dyn HeaderConverter>, PluginError> {
        Ok(Box::new(ForHeaders(NumberConverter::new(self.0))))
    }
}

impl Converter for NumberConverter {
    fn encode(&mut self, _topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<Encoded, PluginError> {
        match (self.number, &datum.value) {
            (_, Value::Null) => return Ok(Encoded::Null),
            (Number::Short, Value::Int16(value)) => out.extend_from_slice(&value.to_be_bytes()),
            (Number::Integer, Value::Int32(value)) => out.extend_from_slice(&value.to_be_bytes()),
            (Number::Long, Value::Int64(value)) => out.extend_from_slice(&value.to_be_bytes()),
            (Number::Float, Value::Float32(value)) => out.extend_from_slice(&value.to_be_bytes()),
            (Number::Double, Value::Float64(value)) => out.extend_from_slice(&value.to_be_bytes()),
            (number, other) => {
                let converter = format!("{number:?}Converter");
                return Err(not_for(&converter, self.schema.kind_name(), other.kind_name()));
            }
        }
        Ok(Encoded::Bytes)
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        let value = match bytes {
            None => Value::Null,
            Some(bytes) => read(self.number, bytes).ok_or_else(|| {
                let (number, length) = (self.number, bytes.len());
                PluginError::bad_record(format!(
                    "{number:?}Converter reads {}, whose size is not that of {length} bytes",
                    self.schema.kind_name()
                ))
            })?,
        };
        Ok(Datum::new(Arc::clone(&self.schema), value))
    }
}

fn read(number: Number, bytes: &[u8]) -> Option<Value> {
    Some(match number {
        Number::Short => Value::Int16(i16::from_be_bytes(bytes.try_into().ok()?)),
        Number::Integer => Value::Int32(i32::from_be_bytes(bytes.try_into().ok()?)),
        Number::Long => Value::Int64(i64::from_be_bytes(bytes.try_into().ok()?)),
        Number::Float => Value::Float32(f32::from_be_bytes(bytes.try_into().ok()?)),
        Number::Double => Value::Float64(f64::from_be_bytes(bytes.try_into().ok()?)),
    })
}
