//! Whether data of one schema can be read with another: what `latest.compatibility.strict` asks.
//!
//! Confluent's converter writes with the schema that it made, also where the latest of the subject is used; so fields have to agree by number
//! and by type. Fields that the latest does not have are passed over by readers.
use super::files::{FieldKind, Message, MessageField, Named, Types};
use super::wire::Scalar;
use crate::converter::problem::Problem;

/// How deep messages are compared.
const DEPTH_MAX: usize = 100;

/// A message with the types that its fields name.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) types: &'a Types,
    pub(super) message: &'a Message,
}

/// Checks that what is written as `own` can be read as `latest`.
pub(super) fn check(own: Side<'_>, latest: Side<'_>) -> Result<(), Problem> {
    check_at(own, latest, 0)
}

fn check_at(own: Side<'_>, latest: Side<'_>, depth: usize) -> Result<(), Problem> {
    if depth > DEPTH_MAX {
        return Ok(());
    }
    for field in &own.message.fields {
        let inside = |problem: Problem| problem.within(format_args!(".{}", field.name));
        if let Some(same) = latest.message.field(&field.name)
            && same.number != field.number
        {
            return Err(inside(differs(&format!(
                "the number {} there, and {} here",
                same.number, field.number
            ))));
        }
        let other = latest
            .message
            .fields
            .iter()
            .find(|other| other.number == field.number);
        if let Some(other) = other {
            check_field(own, field, latest, other, depth).map_err(inside)?;
        }
    }
    let missing = latest
        .message
        .fields
        .iter()
        .find(|field| field.required && !own.message.fields.iter().any(|its| its.number == field.number));
    match missing {
        Some(field) => {
            Err(differs("required there, and is not given here").within(format_args!(".{}", field.name)))
        }
        None => Ok(()),
    }
}

fn differs(how: &str) -> Problem {
    Problem::new(format!(
        "the data do not agree with the latest schema of the subject: the field has {how}. Give the field the parameter \
         io.confluent.connect.protobuf.Tag with its number, change the schema, or set latest.compatibility.strict=false"
    ))
}

fn check_field(
    own: Side<'_>,
    field: &MessageField,
    latest: Side<'_>,
    other: &MessageField,
    depth: usize,
) -> Result<(), Problem> {
    if field.repeated != other.repeated {
        return Err(differs("another label"));
    }
    let named = |side: Side<'_>, field: &MessageField| match &field.kind {
        FieldKind::Named(name) => side.types.resolve(&side.message.full, name).map(Some),
        _ => Ok(None),
    };
    match (named(own, field)?, named(latest, other)?) {
        (Some(Named::Message(one)), Some(Named::Message(two))) => {
            let one = Side {
                types: own.types,
                message: &one,
            };
            let two = Side {
                types: latest.types,
                message: &two,
            };
            check_at(one, two, depth + 1)
        }
        (Some(Named::Message(_)), _) | (_, Some(Named::Message(_))) => Err(differs("another type")),
        _ if family(&field.kind) == family(&other.kind) => Ok(()),
        _ => Err(differs("another type")),
    }
}

/// Types of one family are written alike.
fn family(kind: &FieldKind) -> u8 {
    match kind {
        FieldKind::Group => 0,
        FieldKind::Named(_) => 1,
        FieldKind::Scalar(scalar) => match scalar {
            Scalar::Int32 | Scalar::Int64 | Scalar::Uint32 | Scalar::Uint64 | Scalar::Bool => 1,
            Scalar::Sint32 | Scalar::Sint64 => 2,
            Scalar::String | Scalar::Bytes => 3,
            Scalar::Fixed32 | Scalar::Sfixed32 => 4,
            Scalar::Fixed64 | Scalar::Sfixed64 => 5,
            Scalar::Float => 6,
            Scalar::Double => 7,
        },
    }
}
