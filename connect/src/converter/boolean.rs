//! `BooleanConverter`: a byte that is 0 or 1.
use std::sync::Arc;

use bytes::Bytes;

use super::{ForHeaders, converter_keys, not_for};
use crate::config::{ConfigDef, ConfigMap};
use crate::plugin::{
    Converter, ConverterPlugin, Encoded, HeaderConverter, HeaderConverterPlugin, Plugin, PluginError,
};
use crate::record::{Datum, Schema, SchemaKind, SchemaRef, Value};

/// The plugin.
pub(super) struct BooleanConverterPlugin;

struct BooleanConverter {
    schema: SchemaRef,
}

impl BooleanConverter {
    fn new() -> Self {
        let schema = Arc::new(Schema::from(SchemaKind::Boolean).optional());
        Self { schema }
    }
}

impl Plugin for BooleanConverterPlugin {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.converters.BooleanConverter"
    }

    fn config_def(&self) -> ConfigDef {
        converter_keys()
    }
}

impl ConverterPlugin for BooleanConverterPlugin {
    fn new_converter(&self, _config: &ConfigMap, _is_key: bool) -> Result<Box<dyn Converter>, PluginError> {
        Ok(Box::new(BooleanConverter::new()))
    }
}

impl HeaderConverterPlugin for BooleanConverterPlugin {
    fn new_header_converter(&self, _config: &ConfigMap) -> Result<Box<dyn HeaderConverter>, PluginError> {
        Ok(Box::new(ForHeaders(BooleanConverter::new())))
    }
}

impl Converter for BooleanConverter {
    fn encode(&mut self, _topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<Encoded, PluginError> {
        if let Some(schema) = &datum.schema
            && schema.kind != SchemaKind::Boolean
        {
            return Err(not_for("BooleanConverter", "booleans", schema.kind_name()));
        }
        match &datum.value {
            Value::Null => Ok(Encoded::Null),
            Value::Boolean(value) => {
                out.push(u8::from(*value));
                Ok(Encoded::Bytes)
            }
            other => Err(not_for("BooleanConverter", "booleans", other.kind_name())),
        }
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        let value = match bytes.map(|bytes| &bytes[..]) {
            None => Value::Null,
            Some([0]) => Value::Boolean(false),
            Some([1]) => Value::Boolean(true),
            Some([other]) => {
                return Err(PluginError::bad_record(format!(
                    "BooleanConverter reads a byte that is 0 or 1, not {other}"
                )));
            }
            Some(other) => {
                return Err(PluginError::bad_record(format!(
                    "BooleanConverter reads 1 byte, not {}",
                    other.len()
                )));
            }
        };
        Ok(Datum::new(Arc::clone(&self.schema), value))
    }
}
