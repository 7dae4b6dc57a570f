//! `InsertHeader`: the same header for every record.
use std::sync::Arc;

use bytes::Bytes;

use super::side::plugin_for_records;
use crate::config::{Config, ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};
use crate::plugin::{PluginError, Registry, Transform};
use crate::record::{Datum, Header, Record};

/// What reads the literal: numbers, times, lists and maps are told from texts as in headers of records.
const READER: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";

plugin_for_records!(InsertHeaderPlugin, "InsertHeader", keys, InsertHeader::new);

fn keys() -> ConfigDef {
    let key = |name: &str, documentation: &str| {
        ConfigKey::required(name, ConfigType::String, Importance::High, documentation)
    };
    ConfigDef::new()
        .with(key("header", "The name of the header."))
        .with(key(
            "value.literal",
            "The literal value that is to be set as the header value on all records.",
        ))
}

struct InsertHeader {
    name: Arc<str>,
    datum: Datum,
}

impl InsertHeader {
    fn new(config: &Config) -> Result<Self, PluginError> {
        let name = config.string("header");
        let literal = Bytes::copy_from_slice(config.string("value.literal").as_bytes());
        let registry = crate::converter::register(Registry::new());
        let reader = registry
            .header_converter(READER)
            .map_err(|error| PluginError::fatal("reading value.literal").caused_by(error))?;
        let mut reader = reader.new_header_converter(&ConfigMap::new())?;
        Ok(Self {
            name: Arc::from(name),
            datum: reader.decode("", name, Some(&literal))?,
        })
    }
}

impl Transform for InsertHeader {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        record.headers.push(Header {
            name: Arc::clone(&self.name),
            datum: self.datum.clone(),
        });
        Ok(Some(record))
    }
}
