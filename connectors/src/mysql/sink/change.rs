//! What a record asks for: a row to write, a key to delete, a table to empty, or nothing.
//!
//! Records are changes as Debezium's sources tell them, or rows by themselves (after `ExtractNewRecordState`, or of any other source), with
//! schemas or without.
use std::borrow::Cow;

use millstream_connect::record::{Datum, Record, Schema, SchemaKind, SchemaRef, Struct, Value};

use super::config::{KeyMode, SinkConfig};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// The row is to be there.
    Write,
    /// The row with the key is not to be there.
    Delete,
    /// No row is to be there.
    Truncate,
}

/// Fields with values.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fields<'a> {
    Struct(&'a Struct),
    /// Without a schema.
    Map(&'a [(Value, Value)]),
}

impl<'a> Fields<'a> {
    /// What is within a value, if anything is.
    pub fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::Struct(fields) => Some(Self::Struct(fields)),
            Value::Map(fields) => Some(Self::Map(fields)),
            _ => None,
        }
    }

    /// The value of a field, if there is such a field.
    pub fn get(self, name: &str) -> Option<&'a Value> {
        match self {
            Self::Struct(fields) => fields.get(name),
            Self::Map(fields) => fields
                .iter()
                .find(|(its, _)| its.as_str() == Some(name))
                .map(|(_, value)| value),
        }
    }

    /// The value of the field at a place, as [`Self::names`] has them.
    #[inline]
    pub fn at(self, place: usize) -> Option<&'a Value> {
        match self {
            Self::Struct(fields) => fields.values().get(place),
            Self::Map(fields) => fields.get(place).map(|(_, value)| value),
        }
    }

    /// Their names, in their order, with schemas where there are any.
    pub fn names(self) -> Vec<(&'a str, Option<&'a SchemaRef>)> {
        match self {
            Self::Struct(fields) => fields
                .schema()
                .fields()
                .iter()
                .map(|field| (&*field.name, Some(&field.schema)))
                .collect(),
            Self::Map(fields) => fields
                .iter()
                .map(|(name, _)| (name.as_str().unwrap_or_default(), None))
                .collect(),
        }
    }
}

/// What a record asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    pub action: Action,
    /// The row; of a deletion the row that was there, if that is told.
    pub row: Option<Fields<'a>>,
    /// Whether it says that the row is there already, so that fields it does not have are not known.
    pub updates: bool,
    /// The block that says where a change comes from.
    source: Option<Fields<'a>>,
}

/// What of a record's value is looked for, in a change of Debezium.
struct Envelope<'a> {
    operation: &'a str,
    before: Option<Fields<'a>>,
    after: Option<Fields<'a>>,
    source: Option<Fields<'a>>,
}

/// Names of schemas of records that tell of something else than rows.
const OTHER_RECORDS: [&str; 5] = [
    "SchemaChangeValue",
    "io.debezium.connector.common.Heartbeat",
    "io.debezium.connector.common.TransactionMetadataValue",
    "io.debezium.connector.mysql.SchemaChangeValue",
    "io.debezium.connector.mariadb.SchemaChangeValue",
];

impl<'a> Change<'a> {
    /// What a record asks for; nothing when that is to be passed over.
    ///
    /// # Errors
    /// When it is neither a row nor a change.
    pub fn read(record: &'a Record, config: &SinkConfig) -> Result<Option<Self>, String> {
        let Datum { schema, value } = &record.value;
        if value.is_null() {
            return Ok(tombstone(&record.key, config));
        }
        if is_of_something_else(schema.as_deref()) {
            return Ok(None);
        }
        let Some(fields) = Fields::of(value) else {
            return Err(format!(
                "its value is of type {}, where a row is a struct or a map; a transform such as HoistField$Value makes it one",
                value.kind_name()
            ));
        };
        match envelope(fields, schema.as_deref()) {
            Some(envelope) => of_envelope(&envelope, config),
            None => Ok(Some(Self {
                action: Action::Write,
                row: Some(fields),
                updates: false,
                source: None,
            })),
        }
    }

    /// A field of the source block, as text.
    pub fn source(&self, field: &str) -> Option<Cow<'a, str>> {
        match self.source?.get(field)? {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Int32(number) => Some(Cow::Owned(number.to_string())),
            Value::Int64(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }
}

/// A record without a value.
fn tombstone<'a>(key: &Datum, config: &SinkConfig) -> Option<Change<'a>> {
    // A key elsewhere than in the key is not there.
    let deletes = config.deletes && matches!(config.key, KeyMode::RecordKey(_)) && !key.is_null();
    deletes.then_some(Change {
        action: Action::Delete,
        row: None,
        updates: false,
        source: None,
    })
}

fn is_of_something_else(schema: Option<&Schema>) -> bool {
    let name = schema.and_then(|schema| schema.name.as_deref());
    name.is_some_and(|name| OTHER_RECORDS.contains(&name) || name.ends_with(".SchemaChangeValue"))
}

fn envelope<'a>(fields: Fields<'a>, schema: Option<&Schema>) -> Option<Envelope<'a>> {
    let named = schema
        .and_then(|schema| schema.name.as_deref())
        .is_some_and(|name| name.ends_with(".Envelope"));
    // A row may have a column `op`; none has all of these, and rows within.
    let is_change = named || {
        let row_at = |name: &str| match fields {
            Fields::Struct(fields) => fields
                .schema()
                .field(name)
                .is_some_and(|field| matches!(field.schema.kind, SchemaKind::Struct(_))),
            Fields::Map(_) => matches!(fields.get(name), Some(Value::Map(_) | Value::Null)),
        };
        fields.get("op").is_some_and(|op| op.as_str().is_some())
            && (row_at("before") || row_at("after"))
            && (fields.get("source").is_some() || (row_at("before") && row_at("after")))
    };
    if !is_change {
        return None;
    }
    let part = |name: &str| fields.get(name).and_then(Fields::of);
    Some(Envelope {
        operation: fields.get("op")?.as_str()?,
        before: part("before"),
        after: part("after"),
        source: part("source"),
    })
}

fn of_envelope<'a>(envelope: &Envelope<'a>, config: &SinkConfig) -> Result<Option<Change<'a>>, String> {
    let source = envelope.source;
    let change = |action, row| {
        Some(Change {
            action,
            row,
            updates: envelope.operation == "u",
            source,
        })
    };
    match envelope.operation {
        "c" | "r" | "u" => match envelope.after {
            Some(row) => Ok(change(Action::Write, Some(row))),
            None => Err(format!(
                "it is a change ({}) without the row that is there after it",
                envelope.operation
            )),
        },
        "d" if config.deletes => Ok(change(Action::Delete, envelope.before)),
        "t" if config.truncates => Ok(change(Action::Truncate, None)),
        // Messages of logs, and whatever else there may be, say nothing of rows.
        _ => Ok(None),
    }
}
