//! A converter that passes on.
use bytes::Bytes;
use bytestring::ByteString;
use millstream_connect::config::{ConfigDef, ConfigMap};
use millstream_connect::plugin::{
    Converter, ConverterPlugin, Encoded, HeaderConverter, HeaderConverterPlugin, Plugin, PluginError,
};
use millstream_connect::record::{Datum, Schema, Value};

/// Texts as they are; "bad" is not read, "later" never yet, and nothing but text is written.
pub struct Plain;

impl Plugin for Plain {
    fn class(&self) -> &'static str {
        "test.PlainConverter"
    }
    fn config_def(&self) -> ConfigDef {
        ConfigDef::new()
    }
}

impl ConverterPlugin for Plain {
    fn new_converter(&self, _config: &ConfigMap, _is_key: bool) -> Result<Box<dyn Converter>, PluginError> {
        Ok(Box::new(PlainConverter))
    }
}

impl HeaderConverterPlugin for Plain {
    fn new_header_converter(&self, _config: &ConfigMap) -> Result<Box<dyn HeaderConverter>, PluginError> {
        Ok(Box::new(PlainConverter))
    }
}

struct PlainConverter;

impl Converter for PlainConverter {
    fn encode(&mut self, _topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<Encoded, PluginError> {
        match &datum.value {
            Value::Null => Ok(Encoded::Null),
            Value::String(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(Encoded::Bytes)
            }
            other => Err(PluginError::bad_record(format!(
                "a {} is no text",
                other.kind_name()
            ))),
        }
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        let Some(bytes) = bytes else {
            return Ok(Datum::NULL);
        };
        if &**bytes == b"bad" {
            return Err(PluginError::bad_record("bad is bad"));
        }
        if &**bytes == b"later" {
            return Err(PluginError::retriable("not yet"));
        }
        let text = ByteString::try_from(bytes.clone())
            .map_err(|error| PluginError::bad_record(error.to_string()))?;
        Ok(Datum::new(Schema::optional_string(), Value::String(text)))
    }
}

impl HeaderConverter for PlainConverter {
    fn encode(
        &mut self,
        topic: &str,
        _name: &str,
        datum: &Datum,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, PluginError> {
        Converter::encode(self, topic, datum, out)
    }

    fn decode(&mut self, topic: &str, _name: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        Converter::decode(self, topic, bytes)
    }
}
