//! A value with its schema, and headers.
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::{Schema, SchemaRef, Value};

/// A value and the schema that describes it, if one does (Kafka's `SchemaAndValue`).
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    /// What the value is.
    pub schema: Option<SchemaRef>,
    /// The value.
    pub value: Value,
}

impl Datum {
    /// No value, and no schema.
    pub const NULL: Self = Self {
        schema: None,
        value: Value::Null,
    };

    /// A value of a schema.
    pub fn new(schema: impl Into<Option<SchemaRef>>, value: Value) -> Self {
        Self {
            schema: schema.into(),
            value,
        }
    }

    /// A value without a schema.
    pub fn schemaless(value: Value) -> Self {
        Self { schema: None, value }
    }

    /// A text, with the schema `STRING`.
    pub fn text(text: impl Into<ByteString>) -> Self {
        Self::new(Schema::string(), Value::String(text.into()))
    }

    /// Bytes, with the schema `BYTES`.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(Schema::bytes(), Value::Bytes(bytes.into()))
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }
}

/// A header of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Its name; several headers of a record may have the same.
    pub name: Arc<str>,
    /// Its value.
    pub datum: Datum,
}

/// The headers of a record, in their order. Empty ones allocate nothing.
pub type Headers = Vec<Header>;
