//! The schema that the parts of an array or a map have in common.
use std::sync::Arc;

use bigdecimal::ToPrimitive;

use crate::record::{Datum, SchemaKind, SchemaRef, Value, logical};

/// Finds the narrowest schema that all parts can have.
#[derive(Default)]
pub(super) struct Merger {
    common: Option<SchemaRef>,
    incompatible: bool,
}

impl Merger {
    /// A further part. Nulls fit anything.
    pub(super) fn add(&mut self, datum: &Datum) {
        if datum.schema.is_none() && !datum.is_null() {
            // A part whose own parts have nothing in common.
            self.incompatible = true;
            self.common = None;
        }
        let (Some(latest), false) = (&datum.schema, self.incompatible) else {
            return;
        };
        match &self.common {
            None => self.common = Some(Arc::clone(latest)),
            Some(common) => {
                self.common = merge(common, latest);
                self.incompatible = self.common.is_none();
            }
        }
    }

    /// The schema, if there is one.
    pub(super) fn common(&self) -> Option<&SchemaRef> {
        self.common.as_ref()
    }
}

/// How wide a number is; none of anything else.
fn width(kind: &SchemaKind) -> Option<u8> {
    match kind {
        SchemaKind::Int8 => Some(0),
        SchemaKind::Int16 => Some(1),
        SchemaKind::Int32 => Some(2),
        SchemaKind::Int64 => Some(3),
        SchemaKind::Float32 => Some(4),
        SchemaKind::Float64 => Some(5),
        _ => None,
    }
}

fn merge(previous: &SchemaRef, latest: &SchemaRef) -> Option<SchemaRef> {
    match (width(&previous.kind), width(&latest.kind)) {
        (Some(first), Some(second)) if first > second => Some(Arc::clone(previous)),
        (Some(_), Some(_)) => Some(Arc::clone(latest)),
        _ if previous.kind_name() == latest.kind_name() => Some(Arc::clone(latest)),
        _ => None,
    }
}

/// `value` as `schema` says, if it can be: numbers are widened, and become times where others are times.
pub(super) fn convert(schema: &SchemaRef, value: Value) -> Option<Value> {
    let name = schema.name.as_deref();
    match (&schema.kind, name, value) {
        (_, _, Value::Null) => None,
        (_, Some(logical::DATE), Value::Date(days)) => Some(Value::Date(days)),
        (_, Some(logical::TIME), Value::Time(ms)) => Some(Value::Time(ms)),
        (_, Some(logical::TIMESTAMP), Value::Timestamp(ms)) => Some(Value::Timestamp(ms)),
        (_, _, Value::Date(_) | Value::Time(_) | Value::Timestamp(_)) => None,
        (_, Some(logical::DATE), value) => Some(Value::Date(whole(&value)? as i32)),
        (_, Some(logical::TIME), value) => {
            let ms = whole(&value)? as i32;
            (0..=86_400_000).contains(&ms).then_some(Value::Time(ms))
        }
        (_, Some(logical::TIMESTAMP), value) => Some(Value::Timestamp(whole(&value)?)),
        (SchemaKind::Int8, _, value) => Some(Value::Int8(whole(&value)? as i8)),
        (SchemaKind::Int16, _, value) => Some(Value::Int16(whole(&value)? as i16)),
        (SchemaKind::Int32, _, value) => Some(Value::Int32(whole(&value)? as i32)),
        (SchemaKind::Int64, _, value) => Some(Value::Int64(whole(&value)?)),
        (SchemaKind::Float32, _, Value::Float32(number)) => Some(Value::Float32(number)),
        (SchemaKind::Float32, _, value) => Some(Value::Float32(real(&value)? as f32)),
        (SchemaKind::Float64, _, value) => Some(Value::Float64(real(&value)?)),
        (_, _, value) => Some(value),
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Int8(number) => Some((*number).into()),
        Value::Int16(number) => Some((*number).into()),
        Value::Int32(number) => Some((*number).into()),
        Value::Int64(number) => Some(*number),
        Value::Float32(number) => Some(*number as i64),
        Value::Float64(number) => Some(*number as i64),
        _ => None,
    }
}

fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Float32(number) => Some((*number).into()),
        Value::Float64(number) => Some(*number),
        value => whole(value)?.to_f64(),
    }
}
