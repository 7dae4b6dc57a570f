//! `ByteArrayConverter`: bytes as they are.
use bytes::Bytes;

use super::{ForHeaders, converter_keys, not_for};
use crate::config::{ConfigDef, ConfigMap};
use crate::plugin::{
    Converter, ConverterPlugin, Encoded, HeaderConverter, HeaderConverterPlugin, Plugin, PluginError,
    ReadsAsIs,
};
use crate::record::{Datum, Schema, SchemaKind, Value};

/// The plugin.
pub(super) struct ByteArrayConverterPlugin;

struct ByteArrayConverter;

impl Plugin for ByteArrayConverterPlugin {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.converters.ByteArrayConverter"
    }

    fn config_def(&self) -> ConfigDef {
        converter_keys()
    }
}

impl ConverterPlugin for ByteArrayConverterPlugin {
    fn new_converter(&self, _config: &ConfigMap, _is_key: bool) -> Result<Box<dyn Converter>, PluginError> {
        Ok(Box::new(ByteArrayConverter))
    }
}

impl HeaderConverterPlugin for ByteArrayConverterPlugin {
    fn new_header_converter(&self, _config: &ConfigMap) -> Result<Box<dyn HeaderConverter>, PluginError> {
        Ok(Box::new(ForHeaders(ByteArrayConverter)))
    }
}

impl Converter for ByteArrayConverter {
    fn encode(&mut self, _topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<Encoded, PluginError> {
        if let Some(schema) = &datum.schema
            && schema.kind != SchemaKind::Bytes
        {
            return Err(not_for("ByteArrayConverter", "bytes", schema.kind_name()));
        }
        match &datum.value {
            Value::Null => Ok(Encoded::Null),
            Value::Bytes(bytes) => {
                out.extend_from_slice(bytes);
                Ok(Encoded::Bytes)
            }
            other => Err(not_for("ByteArrayConverter", "bytes", other.kind_name())),
        }
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        let value = bytes.map_or(Value::Null, |bytes| Value::Bytes(bytes.clone()));
        Ok(Datum::new(Schema::optional_bytes(), value))
    }

    fn reads_as_is(&self) -> ReadsAsIs {
        ReadsAsIs::Bytes
    }
}
