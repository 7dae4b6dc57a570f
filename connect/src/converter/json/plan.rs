//! How values of a schema are written: what is found out once, and not for each value.
use std::sync::{Arc, Mutex, PoisonError};

use super::encode::write_string;
use crate::converter::schema_cache::Alike;
use crate::record::{SchemaKind, SchemaRef, Value, logical};

/// A schema as who writes its values needs it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) schema: SchemaRef,
    pub(super) shape: Shape,
}

#[derive(Debug)]
pub(super) enum Shape {
    /// A logical type, whatever it is made of.
    Logical(Logical),
    /// A value that is written as it is.
    Plain,
    Array(Box<Plan>),
    /// A map with texts for keys.
    Object(Box<[Plan; 2]>),
    /// A map with other keys.
    Pairs(Box<[Plan; 2]>),
    Struct(Members),
}

/// The most bytes of a text that is kept.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// The fields of a struct.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) members: Vec<Member>,
    pub(super) alike: Alike,
    /// How values that many structs have were written: the last ones.
    kept: Mutex<Option<Kept>>,
}

/// Values that many structs have, and how they were written.
#[derive(Debug)]
struct Kept {
    values: Arc<[Value]>,
    /// The field that each struct has of its own.
    own: Option<usize>,
    text: Box<[u8]>,
    /// Where in the text the own field's value belongs.
    gap: usize,
}

impl Members {
    /// Writes again what was written of the same values the last time, and in its place the own field's; whether they are the same.
    pub(super) fn again<E>(
        &self,
        values: &Arc<[Value]>,
        own: Option<usize>,
        out: &mut Vec<u8>,
        write_own: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // They cannot have changed, nor others be where they are, while they are held here.
        let same = |kept: &&Kept| Arc::ptr_eq(&kept.values, values) && kept.own == own;
        let Some(kept) = kept.as_ref().filter(same) else {
            return Ok(false);
        };
        let (before, behind) = kept.text.split_at(kept.gap);
        out.extend_from_slice(before);
        write_own(out)?;
        out.extend_from_slice(behind);
        Ok(true)
    }

    /// Keeps what was written of such values, without what stands at `gap` for the own field.
    pub(super) fn keep(
        &self,
        values: &Arc<[Value]>,
        own: Option<usize>,
        written: &[u8],
        gap: std::ops::Range<usize>,
    ) {
        if written.len() <= KEPT_BYTES_MAX {
            let kept = Kept {
                values: Arc::clone(values),
                own,
                text: [&written[..gap.start], &written[gap.end..]].concat().into(),
                gap: gap.start,
            };
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    Decimal,
    Date,
    Time,
    Timestamp,
}

/// A field of a struct.
#[derive(Debug)]
pub(super) struct Member {
    /// The comma, if it is not the first, and its name with quotes and the colon.
    pub(super) key: Box<[u8]>,
    pub(super) plan: Plan,
}

impl Plan {
    pub(super) fn of(schema: &SchemaRef) -> Self {
        Self {
            schema: SchemaRef::clone(schema),
            shape: Shape::of(schema),
        }
    }

    /// Whether a value that is written as it is, is what the schema says.
    pub(super) fn allows(&self, value: &Value) -> bool {
        matches!(
            (&self.schema.kind, value),
            (SchemaKind::Int8, Value::Int8(_))
                | (SchemaKind::Int16, Value::Int16(_))
                | (SchemaKind::Int32, Value::Int32(_))
                | (SchemaKind::Int64, Value::Int64(_))
                | (SchemaKind::Float32, Value::Float32(_))
                | (SchemaKind::Float64, Value::Float64(_))
                | (SchemaKind::Boolean, Value::Boolean(_))
                | (SchemaKind::String, Value::String(_))
                | (SchemaKind::Bytes, Value::Bytes(_))
        )
    }
}

impl Shape {
    fn of(schema: &SchemaRef) -> Self {
        match schema.name.as_deref() {
            Some(logical::DECIMAL) => return Self::Logical(Logical::Decimal),
            Some(logical::DATE) => return Self::Logical(Logical::Date),
            Some(logical::TIME) => return Self::Logical(Logical::Time),
            Some(logical::TIMESTAMP) => return Self::Logical(Logical::Timestamp),
            _ => {}
        }
        match &schema.kind {
            SchemaKind::Array(element) => Self::Array(Box::new(Plan::of(element))),
            SchemaKind::Map(key, element) => {
                let plans = Box::new([Plan::of(key), Plan::of(element)]);
                match key.kind {
                    SchemaKind::String => Self::Object(plans),
                    _ => Self::Pairs(plans),
                }
            }
            SchemaKind::Struct(fields) => {
                let members = fields.iter().enumerate().map(|(index, field)| {
                    let mut key = Vec::with_capacity(field.name.len() + 4);
                    if index > 0 {
                        key.push(b',');
                    }
                    write_string(&field.name, &mut key);
                    key.push(b':');
                    Member {
                        key: key.into(),
                        plan: Plan::of(&field.schema),
                    }
                });
                Self::Struct(Members {
                    members: members.collect(),
                    alike: Alike::default(),
                    kept: Mutex::default(),
                })
            }
            _ => Self::Plain,
        }
    }
}
