//! Names: of Confluent's parameters, and of messages for what has none in Connect.
use std::borrow::Cow;

use crate::converter::names;
pub(super) use crate::converter::names::{CONNECT_TYPE, DECIMAL_PRECISION, DEFAULT_NAME, is_valid};
use crate::record::{Schema, SchemaKind};

/// The number of a field.
pub(super) const TAG: &str = "io.confluent.connect.protobuf.Tag";
/// The type of a field, where Connect has fewer.
pub(super) const TYPE: &str = "io.confluent.connect.protobuf.Type";
/// The name of an enum; its values stand under this name, a point and theirs.
pub(super) const ENUM: &str = "io.confluent.connect.protobuf.Enum";
/// What the names of structs for oneofs begin with.
const UNION: &str = "io.confluent.connect.protobuf.Union";
/// A member of a oneof that is a wrapper.
pub(super) const WRAPPER: &str = "io.confluent.connect.protobuf.Wrapper";
/// The option of fields that keeps what the language has no words for.
pub(super) const FIELD_META: &str = "confluent.field_meta";

/// Whether it stands for a oneof: a struct of which one field is given.
pub(super) fn is_union(schema: &Schema) -> bool {
    let named = schema.name.as_deref().is_some_and(|name| name.starts_with(UNION));
    named && matches!(schema.kind, SchemaKind::Struct(_))
}

/// The name of the oneof, if the schema stands for one that has a name.
pub(super) fn union_name(schema: &Schema) -> Option<&str> {
    let rest = schema.name.as_deref()?.strip_prefix(UNION)?;
    rest.strip_prefix('.').filter(|name| !name.is_empty())
}

/// The name of the schema of a struct for the oneof `name`.
pub(super) fn of_union(name: &str) -> String {
    format!("{UNION}.{name}")
}

/// What stands after the last point.
pub(super) fn simple(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

/// The name of the message for the entries of the map `name`.
pub(super) fn entry_of(name: &str) -> String {
    let mut entry = match name.contains('_') {
        true => name.split('_').map(capitalized).collect(),
        false => name.to_owned(),
    };
    entry.push_str("Entry");
    entry
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first
        .into_iter()
        .chain(letters.map(|letter| letter.to_ascii_lowercase()))
        .collect()
}

/// The name of the map whose entries are of the message `entry`.
pub(super) fn of_map(entry: &str) -> String {
    let (before, last) = match entry.rsplit_once('.') {
        Some((before, last)) => (format!("{before}."), last),
        None => (String::new(), entry),
    };
    let Some(last) = last.strip_suffix("Entry") else {
        return entry.to_owned();
    };
    let mut name = before;
    for (place, letter) in last.chars().enumerate() {
        if place > 0 && letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The name as the language allows it, if that is wanted.
pub(super) fn scrubbed(name: &str, scrubs: bool) -> Cow<'_, str> {
    match scrubs {
        true => names::scrubbed(name, |first| first.is_ascii_digit() || first == b'_'),
        false => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_begin_with_what_hides_them() {
        for (name, expected) in [("good_1", "good_1"), ("_hidden", "x_hidden"), ("1st", "x1st")] {
            assert_eq!(scrubbed(name, true), expected);
            assert_eq!(scrubbed(name, false), name);
        }
    }

    #[test]
    fn maps_and_their_entries_have_names_of_each_other() {
        for (map, entry) in [
            ("my_map", "MyMapEntry"),
            ("tags", "tagsEntry"),
            ("ConnectDefault2", "ConnectDefault2Entry"),
        ] {
            assert_eq!(entry_of(map), entry);
        }
        for (entry, map) in [
            ("MyMapEntry", "my_map"),
            ("tagsEntry", "tags"),
            ("a.B.TagsEntry", "a.B.tags"),
            ("ConnectDefault2Entry", "connect_default2"),
        ] {
            assert_eq!(of_map(entry), map);
        }
    }
}
