//! What of a change is added to its row, or becomes a header.
use std::sync::Arc;

use millstream_connect::plugin::PluginError;
use millstream_connect::record::{Schema, SchemaRef, Value};

use super::{PURPOSE, added};

/// A field of the change, or of a struct in it, and its new name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// The struct it is in; nothing: the change itself.
    parent: Option<String>,
    pub(super) field: String,
    pub(super) name: Arc<str>,
}

/// Where it is in changes of one schema.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: Arc<str>,
    pub(super) schema: SchemaRef,
    parent: Option<usize>,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the parent.
    Inside(usize),
    /// In the change itself; null if there is a parent that is null.
    Outside(usize),
}

/// The parts of `text`, as Java's `split` has them: none that are empty at the end, but one where there is no text.
fn split(text: &str, between: char) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split(between).collect();
    while parts.len() > 1 && parts.last() == Some(&"") {
        parts.pop();
    }
    match parts[..] {
        [""] if !text.is_empty() => Vec::new(),
        _ => parts,
    }
}

impl Reference {
    /// All of a list such as `op,source.ts_ms:at`.
    pub(super) fn all(prefix: &str, list: &str) -> Result<Vec<Self>, String> {
        match list.is_empty() {
            true => Ok(Vec::new()),
            false => list
                .split(',')
                .map(|one| Self::parse(prefix, one.trim()))
                .collect(),
        }
    }

    fn parse(prefix: &str, text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "Unexpected field name: {text}; it is FIELD or STRUCT.FIELD, with :NAME behind it for a name of its own"
            )
        };
        let (path, own) = match split(text, ':')[..] {
            [path] => (path, None),
            [path, own] => (path, Some(own)),
            _ => return Err(wrong()),
        };
        let (parent, field, plain) = match split(path, '.')[..] {
            [] => return Err(wrong()),
            [field] => (parent_of(field).map(str::to_owned), field, field.to_owned()),
            [parent, field, ..] => (Some(parent.to_owned()), field, format!("{parent}_{field}")),
        };
        Ok(Self {
            parent,
            field: field.to_owned(),
            name: format!("{prefix}{}", own.unwrap_or(&plain)).into(),
        })
    }

    /// Where it is in changes of `schema`; nothing if they do not have it.
    pub(super) fn find(&self, schema: &Schema) -> Result<Option<Found>, PluginError> {
        let found = |parent, place, field: &Schema| {
            Ok(Some(Found {
                name: Arc::clone(&self.name),
                schema: Arc::new(added(field)),
                parent,
                place,
            }))
        };
        let mut within = None;
        if let Some(name) = &self.parent {
            let refuse = |what: &str| {
                Err(PluginError::bad_record(format!(
                    "{PURPOSE}: {} is to be added, but {name} is {what} of {}",
                    self.field,
                    schema.name.as_deref().unwrap_or_default()
                )))
            };
            let Some(index) = schema.field_index(name) else {
                return refuse("no field");
            };
            let parent = &schema.fields()[index].schema;
            if !matches!(parent.kind, millstream_connect::record::SchemaKind::Struct(_)) {
                return refuse("no struct");
            }
            if let Some(inside) = parent.field_index(&self.field) {
                return found(
                    Some(index),
                    Place::Inside(inside),
                    &parent.fields()[inside].schema,
                );
            }
            within = Some(index);
        }
        match schema.field_index(&self.field) {
            Some(outside) => found(within, Place::Outside(outside), &schema.fields()[outside].schema),
            None => Ok(None),
        }
    }
}

/// The struct of a field that is given without one.
fn parent_of(field: &str) -> Option<&'static str> {
    match field {
        "id" | "data_collection_order" | "total_order" => Some("transaction"),
        "op" | "ts_ms" | "ts_us" | "ts_ns" => None,
        // MongoDB's.
        "updateDescription" => Some("updateDescription"),
        _ => Some("source"),
    }
}

impl Found {
    /// Its value in the change that has these.
    pub(super) fn value(&self, change: &[Value]) -> Result<Value, PluginError> {
        let parent = self.parent.map(|index| &change[index]);
        let value = match (parent, self.place) {
            (Some(Value::Null), _) => Value::Null,
            (None, Place::Inside(_)) => Value::Null,
            (_, Place::Outside(index)) => change[index].clone(),
            (Some(Value::Struct(its)), Place::Inside(index)) if index < its.values().len() => {
                its.values()[index].clone()
            }
            (Some(other), Place::Inside(_)) => {
                return Err(PluginError::bad_record(format!(
                    "{PURPOSE}: {} is to be added out of a struct that is another one than its schema says, or a {}",
                    self.name,
                    other.kind_name()
                )));
            }
        };
        match value {
            Value::Struct(_) => Err(PluginError::bad_record(format!(
                "{PURPOSE}: {} would be a struct; name one of its fields",
                self.name
            ))),
            value => Ok(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_java_does() {
        let read = |text: &str| {
            let one = Reference::parse("__", text)?;
            Ok::<_, String>(format!(
                "{} {} {}",
                one.parent.as_deref().unwrap_or("-"),
                one.field,
                one.name
            ))
        };
        assert_eq!(read("op").unwrap(), "- op __op");
        assert_eq!(read("table").unwrap(), "source table __table");
        assert_eq!(
            read("total_order").unwrap(),
            "transaction total_order __total_order"
        );
        assert_eq!(read("source.ts_ms:at").unwrap(), "source ts_ms __at");
        assert_eq!(read("a.b.c").unwrap(), "a b __a_b");
        assert_eq!(read("op:").unwrap(), "- op __op");
        for wrong in ["a:b:c", ".", ":"] {
            assert!(read(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
