//! Converters, transforms and predicates.
use bytes::Bytes;

use super::{Plugin, PluginError};
use crate::config::ConfigMap;
use crate::record::{Datum, Record, SchemaRef};

/// What a converter made of a datum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoded {
    /// Null: the record has no key, or is a tombstone. Nothing was written.
    Null,
    /// The bytes that were written, perhaps none.
    Bytes,
}

/// Which bytes a converter reads as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadsAsIs {
    /// None can be relied on.
    Nothing,
    /// All that are UTF-8.
    Utf8,
    /// All.
    Bytes,
}

/// What data of a topic are, as a schema registry's latest version says it.
#[derive(Debug, Clone)]
pub struct Latest {
    /// The schema, if such data have one.
    pub schema: Option<SchemaRef>,
    /// What stands before such data.
    pub head: Vec<u8>,
}

/// Between data and the bytes of keys and values.
pub trait Converter: Send {
    /// Writes `datum`, which is of a record for `topic`, behind what is in `out`. It may block (on a schema registry).
    ///
    /// # Errors
    /// When it cannot be written; `out` may hold a part of it then.
    fn encode(&mut self, topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<Encoded, PluginError>;

    /// Reads bytes of a record of `topic`; none is what a tombstone has.
    ///
    /// # Errors
    /// When they are not what this converter reads.
    fn decode(&mut self, topic: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError>;

    /// What data of `topic` are by the latest version in a schema registry, if the converter uses one; `record` names the message, where a schema
    /// has several. It may block.
    ///
    /// # Errors
    /// If the registry does not answer or has no such schema.
    fn latest(&mut self, topic: &str, record: Option<&str>) -> Result<Option<Latest>, PluginError> {
        let _ = (topic, record);
        Ok(None)
    }

    /// Which bytes [`decode`](Self::decode) gives as they are, without fail: such values may reach a sink without being made data
    /// ([`SinkTask::put_values`](super::SinkTask::put_values)).
    fn reads_as_is(&self) -> ReadsAsIs {
        ReadsAsIs::Nothing
    }
}

/// Between data and the bytes of headers.
pub trait HeaderConverter: Send {
    /// Writes the value of the header `name` behind what is in `out`.
    ///
    /// # Errors
    /// When it cannot be written; `out` may hold a part of it then.
    fn encode(
        &mut self,
        topic: &str,
        name: &str,
        datum: &Datum,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, PluginError>;

    /// Reads the value of the header `name`.
    ///
    /// # Errors
    /// When it is not what this converter reads.
    fn decode(&mut self, topic: &str, name: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError>;
}

/// A kind of converter.
pub trait ConverterPlugin: Plugin {
    /// One for keys or for values. `config` is what stands behind `key.converter.` or `value.converter.`.
    ///
    /// # Errors
    /// When the configuration is wrong.
    fn new_converter(&self, config: &ConfigMap, is_key: bool) -> Result<Box<dyn Converter>, PluginError>;
}

/// A kind of converter for headers.
pub trait HeaderConverterPlugin: Plugin {
    /// One. `config` is what stands behind `header.converter.`.
    ///
    /// # Errors
    /// When the configuration is wrong.
    fn new_header_converter(&self, config: &ConfigMap) -> Result<Box<dyn HeaderConverter>, PluginError>;
}

/// Changes records one by one (Kafka's single message transforms).
pub trait Transform: Send {
    /// The record as it goes on, or none if it ends here.
    ///
    /// # Errors
    /// When it makes no sense of the record.
    fn apply(&mut self, record: Record) -> Result<Option<Record>, PluginError>;
}

/// A kind of transform.
pub trait TransformPlugin: Plugin {
    /// One. `config` is what stands behind `transforms.NAME.`.
    ///
    /// # Errors
    /// When the configuration is wrong.
    fn new_transform(&self, config: &ConfigMap) -> Result<Box<dyn Transform>, PluginError>;
}

/// Says which records a transform is for.
pub trait Predicate: Send {
    /// Whether it holds for the record.
    fn test(&mut self, record: &Record) -> bool;
}

/// A kind of predicate.
pub trait PredicatePlugin: Plugin {
    /// One. `config` is what stands behind `predicates.NAME.`.
    ///
    /// # Errors
    /// When the configuration is wrong.
    fn new_predicate(&self, config: &ConfigMap) -> Result<Box<dyn Predicate>, PluginError>;
}
