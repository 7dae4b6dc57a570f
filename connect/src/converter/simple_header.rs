//! `SimpleHeaderConverter`: headers as texts, read back as the narrowest type they can stand for.
use bytes::Bytes;

use super::string::Encoding;
use super::text::{parse, write_values};
use crate::config::{ConfigDef, ConfigMap};
use crate::plugin::{Encoded, HeaderConverter, HeaderConverterPlugin, Plugin, PluginError};
use crate::record::Datum;

/// The plugin.
pub(super) struct SimpleHeaderConverterPlugin;

struct SimpleHeaderConverter;

impl Plugin for SimpleHeaderConverterPlugin {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.storage.SimpleHeaderConverter"
    }

    fn config_def(&self) -> ConfigDef {
        ConfigDef::new()
    }
}

impl HeaderConverterPlugin for SimpleHeaderConverterPlugin {
    fn new_header_converter(&self, _config: &ConfigMap) -> Result<Box<dyn HeaderConverter>, PluginError> {
        Ok(Box::new(SimpleHeaderConverter))
    }
}

impl HeaderConverter for SimpleHeaderConverter {
    fn encode(
        &mut self,
        _topic: &str,
        _name: &str,
        datum: &Datum,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, PluginError> {
        if datum.is_null() {
            return Ok(Encoded::Null);
        }
        write_values(&datum.value, out);
        Ok(Encoded::Bytes)
    }

    fn decode(&mut self, _topic: &str, _name: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        let Some(bytes) = bytes else {
            return Ok(Datum::NULL);
        };
        let text = Encoding::Utf8.decode(bytes);
        // What is nested too deeply to be read stays what it is, as in Java when its stack is used up.
        Ok(parse(&text).unwrap_or_else(|| Datum::bytes(bytes.clone())))
    }
}
