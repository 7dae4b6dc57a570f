//! Columns as records have them: schema, conversion, what stands for NULL, mask.
//!
//! * `kind`: which of Connect's types a column's values become, and their schema.
//! * `log`, `text`: values of a log and cells of a `SELECT`, which become the same. What a cell says is read as a log would say it, so that
//!   there is one conversion.
//! * `temporal`, `number`: what they become.
//! * `default`: defaults of schemas, from what the server says of them.
//! * `mask`, `hash`, `md5`: what hides values.
mod default;
mod hash;
mod kind;
mod log;
mod mask;
mod md5;
mod number;
mod temporal;
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use bytestring::ByteString;
use millstream_connect::record::{Schema, SchemaRef, Value};

use self::kind::Kind;
use self::mask::Masking;
use super::declared::Declared;
use super::{RecordError, Records};
use crate::mysql::binlog::{self, Damage};
use crate::mysql::config::FailureMode;
use crate::mysql::schema::Table;

/// A column, compiled.
#[derive(Debug)]
pub(super) struct Mapped {
    /// Which of the table's columns it is.
    pub(super) index: usize,
    /// The column's name.
    pub(super) name: Arc<str>,
    /// The name of its field.
    pub(super) field: Arc<str>,
    pub(super) schema: SchemaRef,
    kind: Kind,
    /// What NULL is, and a date that is none.
    null: Value,
    /// What an inserted row has that does not say it; nothing where that is not known.
    implied: Option<Value>,
    /// What stands for a value that is not known; nothing where the type has no such value.
    placeholder: Option<Value>,
    mask: Option<Masking>,
    /// Whether a value that cannot be told is NULL, and whether that was said: once is enough for a column.
    forgives: bool,
    warned: AtomicBool,
}

/// What a column is compiled for: keys are never masked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Key,
    Value,
}

impl Mapped {
    /// The column `index` of a table.
    pub(super) fn new(
        table: &Table,
        index: usize,
        role: Role,
        records: &Records,
    ) -> Result<Self, RecordError> {
        let column = &table.columns[index];
        let declared = Declared::of(column);
        let name = format!("{}.{}", table.id, column.name);
        let kind = Kind::of(column, &declared, &records.config)
            .map_err(|damage| RecordError::of_column(name.clone(), "its description".to_owned(), damage))?;
        let mut schema = kind.schema(&declared);
        let mask = match role {
            Role::Key => None,
            Role::Value => Masking::alter(&name, table, column, &declared, records, &mut schema)?,
        };
        let default = default::of(column, &declared, &kind);
        if column.log.nullable {
            schema = schema.optional();
        }
        if let Some(comment) = column.comment.as_deref().filter(|_| records.config.comments) {
            schema.doc = Some(comment.into());
        }
        if let Some(default) = &default {
            schema = schema.with_default(default.clone());
        }
        let optional = schema.optional;
        let fallback = || default.clone().unwrap_or_else(|| kind.fallback());
        let null = match optional && column.log.nullable {
            true => Value::Null,
            false => fallback(),
        };
        let null = masked(mask.as_ref(), null);
        Ok(Self {
            index,
            name: Arc::clone(&column.name),
            field: records.field_name(&column.name).into(),
            implied: default
                .map(|default| masked(mask.as_ref(), default))
                .or_else(|| (column.declared.is_some() && column.log.nullable).then(|| null.clone())),
            placeholder: placeholder(&kind, &schema, &records.config.placeholder),
            schema: Arc::new(schema),
            null,
            kind,
            mask,
            // A key that is another row's would be worse than none.
            forgives: role == Role::Value && records.config.failures != FailureMode::Fail,
            warned: AtomicBool::new(false),
        })
    }

    /// A value of a log, which the image holds. Of differences of JSON the document before is asked.
    #[inline]
    pub(super) fn of_log(&self, value: &binlog::Value<'_>) -> Result<Value, Damage> {
        if matches!(value, binlog::Value::Null) {
            return Ok(self.null.clone());
        }
        self.finished(self.kind.of_log(value, &self.schema))
    }

    /// JSON as it is after differences.
    pub(super) fn patched(&self, document: &[u8], differences: &[u8]) -> Result<Value, Damage> {
        let mut text = String::new();
        let patched = crate::mysql::json::patched(document, differences, &mut text);
        self.finished(patched.map(|()| Some(Value::from(text))))
    }

    /// A cell of a `SELECT`.
    pub(super) fn of_cell(&self, cell: Option<&[u8]>) -> Result<Value, Damage> {
        match cell {
            Some(cell) => self.finished(self.kind.of_text(cell, &self.schema)),
            None => Ok(self.null.clone()),
        }
    }

    /// What stands for a value that is not known.
    pub(super) fn placeholder(&self) -> Option<&Value> {
        self.placeholder.as_ref()
    }

    /// What an inserted row has that does not say it.
    pub(super) fn implied(&self) -> Option<&Value> {
        self.implied.as_ref()
    }

    #[inline]
    fn finished(&self, value: Result<Option<Value>, Damage>) -> Result<Value, Damage> {
        match (value, &self.mask) {
            (Ok(Some(value)), None) => Ok(value),
            (Ok(Some(value)), Some(mask)) => Ok(mask.apply(value)),
            (Ok(None), _) => Ok(self.null.clone()),
            (Err(damage), _) => self.forgiven(damage),
        }
    }

    #[cold]
    fn forgiven(&self, damage: Damage) -> Result<Value, Damage> {
        if !self.forgives {
            return Err(damage);
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "column {}: {damage}; such values are NULL, or the default where NULL may not be",
                self.name
            );
        }
        Ok(self.null.clone())
    }
}

fn masked(mask: Option<&Masking>, value: Value) -> Value {
    match mask {
        Some(mask) => mask.apply(value),
        None => value,
    }
}

/// Texts and bytes of any content have one; numbers, times and labels have none that could not be a value.
fn placeholder(kind: &Kind, schema: &Schema, placeholder: &str) -> Option<Value> {
    match kind {
        Kind::Text(_) | Kind::Json => Some(Value::from(placeholder)),
        Kind::Bytes { .. } if schema.kind == millstream_connect::record::SchemaKind::Bytes => {
            Some(Value::Bytes(Bytes::copy_from_slice(placeholder.as_bytes())))
        }
        Kind::Bytes { .. } => Some(Value::String(ByteString::from(placeholder))),
        _ => None,
    }
}
