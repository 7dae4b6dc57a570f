//! The records that connectors, converters and transforms hand on.
//!
//! Kafka Connect's data model: a record has a key and a value, each a [`Datum`] (a schema, if it has one, and a [`Value`]), headers, a
//! topic and a time. Rows rather than columns, because a CDC batch mixes tables, schemas and tombstones, and transforms change topics
//! row by row. Text and bytes are slices of shared buffers, so that what passes through unchanged is never copied; schemas are shared
//! ([`SchemaRef`]), and whoever prepares something for a schema keeps it by the schema's identity.
//!
//! Owns: the model and its rules ([`Schema::check`]). Does not own: bytes on the wire ([`converter`](crate::converter)).
mod datum;
mod schema;
mod value;

pub use datum::{Datum, Header, Headers};
pub use schema::{Field, Schema, SchemaError, SchemaKind, SchemaRef, logical};
pub(crate) use value::Common;
pub use value::{Struct, Value};

use std::sync::Arc;

/// A record on its way from a source to a topic, or from a topic to a sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The topic it goes to, or came from; transforms may change it.
    pub topic: Arc<str>,
    /// The partition it goes to (none: by its key), or came from.
    pub partition: Option<i32>,
    /// Its key.
    pub key: Datum,
    /// Its value; null with a key is a tombstone.
    pub value: Datum,
    /// Its headers, in their order; a name may come several times.
    pub headers: Headers,
    /// When it was made or appended, in milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// Where in which log it was read; only records of sinks have it, and no transform changes it (KIP-793).
    pub origin: Option<Origin>,
}

/// A place in the log of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

impl Record {
    /// A record for `topic` with a value and nothing else.
    ///
    /// ```
    /// use millstream_connect::record::{Datum, Record};
    ///
    /// let record = Record::new("lines", Datum::text("to be or not to be"));
    /// assert!(record.key.is_null());
    /// ```
    pub fn new(topic: impl Into<Arc<str>>, value: Datum) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: Datum::NULL,
            value,
            headers: Headers::new(),
            timestamp: None,
            origin: None,
        }
    }
}
