//! Names, and the properties by which Connect's schemas survive in Avro's.
use std::borrow::Cow;

use crate::converter::names;
pub(super) use crate::converter::names::{CONNECT_TYPE, DECIMAL_PRECISION, DEFAULT_NAME, is_valid};
use crate::record::{Schema, SchemaKind};

pub(super) const NAMESPACE: &str = "io.confluent.connect.avro";
pub(super) const MAP_ENTRY: &str = "MapEntry";
pub(super) const ANYTHING: &str = "io.confluent.connect.avro.Anything";
pub(super) const UNION: &str = "io.confluent.connect.avro.Union";
pub(super) const ENUM: &str = "io.confluent.connect.avro.Enum";
pub(super) const ENUM_DOC: &str = "io.confluent.connect.avro.enum.doc.";
pub(super) const ENUM_DEFAULT: &str = "io.confluent.connect.avro.enum.default.";
pub(super) const RECORD_DOC: &str = "io.confluent.connect.avro.record.doc";
pub(super) const FIELD_DOC: &str = "io.confluent.connect.avro.field.doc.";
pub(super) const FIELD_DEFAULT: &str = "io.confluent.connect.avro.field.default";
pub(super) const CONNECT_NAME: &str = "connect.name";
pub(super) const CONNECT_DOC: &str = "connect.doc";
pub(super) const CONNECT_RECORD_DOC: &str = "connect.record.doc";
pub(super) const CONNECT_ENUM_DOC: &str = "connect.enum.doc";
pub(super) const CONNECT_VERSION: &str = "connect.version";
pub(super) const CONNECT_DEFAULT: &str = "connect.default";
pub(super) const CONNECT_PARAMETERS: &str = "connect.parameters";
pub(super) const CONNECT_INTERNAL_TYPE: &str = "connect.internal.type";
pub(super) const FIXED_SIZE: &str = "connect.fixed.size";
pub(super) const DECIMAL_PRECISION_DEFAULT: i64 = 64;

/// Whether it stands for a union of several types: a struct of which one field is given.
pub(super) fn is_union(schema: &Schema) -> bool {
    schema.name.as_deref() == Some(UNION) && matches!(schema.kind, SchemaKind::Struct(_))
}

/// The name of the enum that a schema of texts came from.
pub(super) fn enum_name(schema: &Schema) -> Option<&str> {
    schema
        .parameter(ENUM)
        .filter(|_| schema.kind == SchemaKind::String)
}

/// The size of the fixed that a schema of bytes came from.
pub(super) fn fixed_size(schema: &Schema) -> Option<usize> {
    let size = schema
        .parameter(FIXED_SIZE)
        .filter(|_| schema.kind == SchemaKind::Bytes && schema.name.is_some());
    size.and_then(|size| size.parse().ok())
}

/// Namespace and last part of a name.
pub(super) fn split(full: &str, scrubs: bool) -> (Option<String>, String) {
    let parts: Vec<_> = full.split('.').map(|part| scrubbed(part, scrubs)).collect();
    match parts.split_last() {
        Some((last, [])) => (None, last.to_string()),
        Some((last, before)) => (Some(before.join(".")), last.to_string()),
        None => (None, String::new()),
    }
}

/// The name as Avro allows it, if that is wanted.
pub(super) fn scrubbed(name: &str, scrubs: bool) -> Cow<'_, str> {
    match scrubs {
        true => names::scrubbed(name, |first| first.is_ascii_digit()),
        false => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_names_are_scrubbed_where_that_is_wanted() {
        assert_eq!(split("a-b.c$", false), (Some("a-b".to_owned()), "c$".to_owned()));
        assert_eq!(
            split("a-b.c.d$", true),
            (Some("a_b.c".to_owned()), "d_24".to_owned())
        );
    }
}
