//! Values of one schema as those of another: by the names of fields, with numbers widened.
use millstream_connect::record::{Schema, SchemaKind, SchemaRef, Struct, Value};
use std::sync::Arc;

/// Whether values of `from` are values of `to` as they are.
pub(crate) fn same(from: &Schema, to: &Schema) -> bool {
    let logical = |schema: &Schema| {
        (
            schema.name.clone().filter(|name| is_logical(name)),
            schema.decimal_scale(),
        )
    };
    if logical(from) != logical(to) {
        return false;
    }
    match (&from.kind, &to.kind) {
        (SchemaKind::Struct(from), SchemaKind::Struct(to)) => {
            from.len() == to.len()
                && from
                    .iter()
                    .zip(to)
                    .all(|(from, to)| from.name == to.name && same(&from.schema, &to.schema))
        }
        (SchemaKind::Array(from), SchemaKind::Array(to)) => same(from, to),
        (SchemaKind::Map(from, from_value), SchemaKind::Map(to, to_value)) => {
            same(from, to) && same(from_value, to_value)
        }
        (from, to) => std::mem::discriminant(from) == std::mem::discriminant(to),
    }
}

/// Whether values of schemas of this name are of another kind than the schema's.
fn is_logical(name: &str) -> bool {
    name.starts_with("org.apache.kafka.connect.data.")
}

/// `value`, which is of `from`, as one of `to`: fields by name, null where there is none, numbers widened.
///
/// # Errors
/// The field, and why it cannot be.
pub(crate) fn conform(value: Value, to: &SchemaRef) -> Result<Value, String> {
    Ok(match (value, &to.kind) {
        (Value::Null, _) => Value::Null,
        (Value::Struct(its), SchemaKind::Struct(fields)) => {
            let own = Arc::clone(its.schema());
            let mut values = its.into_values();
            let conformed = fields.iter().map(|field| {
                let place = own.field_index(&field.name);
                let value = place.and_then(|place| values.get_mut(place)).map(std::mem::take);
                let schema = &field.schema;
                let value = conform(value.unwrap_or_default(), schema)
                    .map_err(|error| format!("{}: {error}", field.name))?;
                match value.is_null() && !schema.optional && schema.default.is_none() {
                    true => Err(format!("{}: it has no value", field.name)),
                    false => Ok(value),
                }
            });
            let conformed = conformed.collect::<Result<_, String>>()?;
            Value::Struct(Struct::new(Arc::clone(to), conformed))
        }
        (Value::Array(values), SchemaKind::Array(element)) => {
            let values = values.into_iter().map(|value| conform(value, element));
            Value::Array(values.collect::<Result<_, String>>()?)
        }
        (Value::Map(entries), SchemaKind::Map(key, element)) => {
            let entries = entries
                .into_iter()
                .map(|(own, value)| Ok((conform(own, key)?, conform(value, element)?)));
            Value::Map(entries.collect::<Result<_, String>>()?)
        }
        (value, kind) => {
            match widened(&value, kind).filter(|_| !to.name.as_deref().is_some_and(is_logical)) {
                Some(widened) => widened,
                // Logical types and texts stay what they are.
                None if to.check(&value).is_ok() => value,
                None => {
                    let (actual, expected) = (value.kind_name(), to.kind_name());
                    return Err(format!(
                        "a value of type {actual} where the stream's schema says {expected}"
                    ));
                }
            }
        }
    })
}

fn widened(value: &Value, to: &SchemaKind) -> Option<Value> {
    let integer = match value {
        Value::Int8(number) => i64::from(*number),
        Value::Int16(number) => i64::from(*number),
        Value::Int32(number) => i64::from(*number),
        Value::Float32(number) if matches!(to, SchemaKind::Float64) => {
            return Some(Value::Float64(f64::from(*number)));
        }
        _ => return None,
    };
    let fits = |bits: u32| integer.unsigned_abs().leading_zeros() >= 64 - bits;
    match to {
        SchemaKind::Int16 if !matches!(value, Value::Int32(_)) => {
            i16::try_from(integer).ok().map(Value::Int16)
        }
        SchemaKind::Int32 => i32::try_from(integer).ok().map(Value::Int32),
        SchemaKind::Int64 => Some(Value::Int64(integer)),
        // As far as a float says integers exactly.
        SchemaKind::Float32 if fits(24) => Some(Value::Float32(integer as f32)),
        SchemaKind::Float64 => Some(Value::Float64(integer as f64)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_connect::record::Field;

    fn record(fields: Vec<(&str, Schema)>) -> SchemaRef {
        let fields = fields.into_iter().map(|(name, schema)| Field {
            name: Arc::from(name),
            schema: Arc::new(schema),
        });
        Arc::new(Schema::try_struct(fields.collect()).unwrap())
    }

    #[test]
    fn fields_are_found_by_name_and_numbers_widened() {
        let from = record(vec![
            ("gone", Schema::from(SchemaKind::String)),
            ("b", SchemaKind::Int32.into()),
            ("a", Schema::timestamp()),
        ]);
        let to = record(vec![
            ("a", Schema::timestamp()),
            ("b", SchemaKind::Int64.into()),
            ("c", Schema::from(SchemaKind::Float64).optional()),
        ]);
        assert!(same(&from, &from) && !same(&from, &to));
        let value = Struct::new(
            Arc::clone(&from),
            vec![Value::from("x"), Value::Int32(7), Value::Timestamp(9)],
        );
        let conformed = conform(Value::Struct(value.clone()), &to).unwrap();
        let expected = Struct::new(to, vec![Value::Timestamp(9), Value::Int64(7), Value::Null]);
        assert_eq!(conformed, Value::Struct(expected));

        let narrow = record(vec![("gone", SchemaKind::Int32.into())]);
        let error = conform(Value::Struct(value.clone()), &narrow).unwrap_err();
        assert_eq!(
            error,
            "gone: a value of type string where the stream's schema says int32"
        );
        let more = record(vec![("new", SchemaKind::Int32.into())]);
        assert_eq!(
            conform(Value::Struct(value), &more).unwrap_err(),
            "new: it has no value"
        );
    }

    #[test]
    fn plain_numbers_are_no_times() {
        let (plain, time) = (Schema::from(SchemaKind::Int64), Schema::timestamp());
        assert!(!same(&plain, &time));
        assert!(conform(Value::Int64(1), &Arc::new(time)).is_err());
        assert!(!same(&Schema::decimal(1), &Schema::decimal(2)));
    }
}
