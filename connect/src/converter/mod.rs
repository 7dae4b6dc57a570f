//! Converters: between data and the bytes of keys, values and headers.
//!
//! Kafka Connect's own, by their class names and with their keys, so that property files carry over and what one of the two writes the
//! other reads. What is written is byte for byte what Java writes; `golden` holds cases that Java made. Text and bytes that are read share
//! the buffer they came in.
//!
//! Owns: what bytes mean. Does not own: when records are converted, and what happens with those that cannot be
//! ([`worker`](crate::worker)).
mod avro;
mod boolean;
mod byte_array;
mod json;
mod names;
mod number;
mod problem;
mod protobuf;
mod registry;
mod schema_cache;
mod simple_header;
mod string;
mod text;
mod unique_keys;

#[cfg(test)]
mod golden;

use bytes::Bytes;

use crate::config::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};
use crate::plugin::{Converter, Encoded, HeaderConverter, PluginError, Registry};
use crate::record::Datum;

/// Adds all of Kafka Connect's.
pub(crate) fn register(registry: Registry) -> Registry {
    let registry = registry
        .with_converter(avro::AvroConverterPlugin)
        .with_converter(boolean::BooleanConverterPlugin)
        .with_converter(byte_array::ByteArrayConverterPlugin)
        .with_converter(json::JsonConverterPlugin)
        .with_converter(protobuf::ProtobufConverterPlugin)
        .with_converter(string::StringConverterPlugin)
        .with_header_converter(boolean::BooleanConverterPlugin)
        .with_header_converter(byte_array::ByteArrayConverterPlugin)
        .with_header_converter(json::JsonConverterPlugin)
        .with_header_converter(simple_header::SimpleHeaderConverterPlugin)
        .with_header_converter(string::StringConverterPlugin);
    let numbers = number::ALL.into_iter();
    numbers.fold(registry, |registry, plugin| {
        registry.with_converter(plugin).with_header_converter(plugin)
    })
}

/// What a converter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Key,
    Value,
    Header,
}

/// The key that says what a converter is for. The runtime knows it from where the converter stands.
pub(crate) const CONVERTER_TYPE: &str = "converter.type";

impl Role {
    fn of(is_key: bool) -> Self {
        if is_key { Self::Key } else { Self::Value }
    }

    /// The configuration with the role in it, as the declarations want it.
    fn within(self, config: &ConfigMap) -> ConfigMap {
        let name = match self {
            Self::Key => "key",
            Self::Value => "value",
            Self::Header => "header",
        };
        let mut config = config.clone();
        config.insert(CONVERTER_TYPE.to_owned(), name.to_owned());
        config
    }
}

/// The keys that all converters have.
fn converter_keys() -> ConfigDef {
    ConfigDef::new().with(
        ConfigKey::required(
            CONVERTER_TYPE,
            ConfigType::String,
            Importance::Low,
            "How this converter will be used.",
        )
        .one_of(&["key", "value", "header"]),
    )
}

/// A converter that treats headers as it treats values.
struct ForHeaders<C>(C);

impl<C: Converter> HeaderConverter for ForHeaders<C> {
    fn encode(
        &mut self,
        topic: &str,
        _name: &str,
        datum: &Datum,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, PluginError> {
        self.0.encode(topic, datum, out)
    }

    fn decode(&mut self, topic: &str, _name: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        self.0.decode(topic, bytes)
    }
}

/// An error for a value that `converter` cannot write.
fn not_for(converter: &str, expected: &str, found: &str) -> PluginError {
    PluginError::bad_record(format!(
        "{converter} writes {expected}, not {found}: choose another converter, or transform the record"
    ))
}
