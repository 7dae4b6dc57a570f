//! What hides values, and what schemas say of a column's source.
use bytestring::ByteString;
use millstream_connect::record::{Schema, SchemaKind, Value};

use super::hash::Algorithm;
use crate::mysql::config::{Mask, RecordConfig};
use crate::mysql::record::declared::Declared;
use crate::mysql::record::{RecordError, Records};
use crate::mysql::schema::{Column, Table};

/// What becomes of a column's values.
#[derive(Debug)]
pub(super) enum Masking {
    /// No more characters, or bytes, than these.
    Truncate(usize),
    /// This, whatever the value is, NULL too.
    Fixed(ByteString),
    /// A hash of salt and value.
    Hash {
        algorithm: Algorithm,
        salt: Vec<u8>,
        v2: bool,
        /// The most characters of a hash: those of the column.
        length: Option<usize>,
    },
}

impl Masking {
    /// What becomes of the values of the column `name` (`database.table.column`); its schema is told.
    pub(super) fn alter(
        name: &str,
        table: &Table,
        column: &Column,
        declared: &Declared,
        records: &Records,
        schema: &mut Schema,
    ) -> Result<Option<Self>, RecordError> {
        let config = &records.config;
        let mut masks = config.masks.iter();
        let mask = masks.find(|(columns, _)| columns.matches(name));
        let masking = match mask {
            None => None,
            Some((_, mask)) => Self::of(mask, declared, schema)?,
        };
        // Debezium has one rule a column, of which truncations and asterisks come first and hashes last; a hash is none the less made
        // here, since what is to be hidden is to be hidden.
        if mask.is_none_or(|(_, mask)| matches!(mask, Mask::Hash { .. })) {
            propagate(name, table, column, declared, config, schema);
        }
        Ok(masking)
    }

    fn of(mask: &Mask, declared: &Declared, schema: &mut Schema) -> Result<Option<Self>, RecordError> {
        let length = declared.length.and_then(|length| usize::try_from(length).ok());
        if let Mask::Truncate(most) = mask {
            if length.is_some_and(|length| length <= *most) {
                return Ok(None);
            }
            parameter(schema, "truncateLength", most.to_string());
            let plain = schema.kind == SchemaKind::String
                || schema.kind == SchemaKind::Bytes && schema.name.is_none();
            return Ok(plain.then_some(Self::Truncate(*most)));
        }
        parameter(schema, "masked", "true".to_owned());
        if !declared.is_text() {
            return Ok(None);
        }
        match mask {
            Mask::Truncate(most) => Ok(Some(Self::Truncate(*most))),
            Mask::Asterisks(count) => Ok(Some(Self::Fixed("*".repeat(*count).into()))),
            Mask::Hash { algorithm, salt, v2 } => match Algorithm::of_name(algorithm) {
                Some(algorithm) => Ok(Some(Self::Hash {
                    algorithm,
                    salt: salt.clone().into_bytes(),
                    v2: *v2,
                    length: length.filter(|length| *length > 0),
                })),
                None => Err(RecordError::UnknownHash {
                    algorithm: algorithm.clone(),
                }),
            },
        }
    }

    /// What a value becomes.
    pub(super) fn apply(&self, value: Value) -> Value {
        match (self, value) {
            (Self::Fixed(text), _) => Value::String(text.clone()),
            (Self::Truncate(most), Value::String(text)) => Value::String(cut(text, *most)),
            (Self::Truncate(most), Value::Bytes(bytes)) => {
                Value::Bytes(bytes.slice(..bytes.len().min(*most)))
            }
            (
                Self::Hash {
                    algorithm,
                    salt,
                    v2,
                    length,
                },
                Value::String(text),
            ) => {
                let mut bytes = salt.clone();
                match v2 {
                    true => bytes.extend_from_slice(text.as_bytes()),
                    false => serialized(&text, &mut bytes),
                }
                let mut hash = algorithm.hex(&bytes);
                hash.truncate(length.unwrap_or(usize::MAX));
                Value::from(hash)
            }
            (_, value) => value,
        }
    }
}

fn parameter(schema: &mut Schema, name: &'static str, value: String) {
    schema.parameters.push((name.into(), value.into()));
}

/// No more than so many characters, as Java counts them: those beyond 16 bits are two, and are not divided.
fn cut(text: ByteString, most: usize) -> ByteString {
    if text.len() <= most {
        return text;
    }
    let mut units = 0;
    let end = text.char_indices().find(|(_, char)| {
        units += char.len_utf16();
        units > most
    });
    match end {
        None => text,
        Some((at, _)) => text.slice_ref(&text[..at]),
    }
}

/// What Java's serialization makes of a text: a head, its length, and UTF-8 in which zero and what is beyond 16 bits are written otherwise.
fn serialized(text: &str, target: &mut Vec<u8>) {
    let mut bytes = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        match unit {
            1..=0x7f => bytes.push(unit as u8),
            0 | 0x80..=0x7ff => bytes.extend([0xc0 | (unit >> 6) as u8, 0x80 | (unit & 0x3f) as u8]),
            _ => bytes.extend([
                0xe0 | (unit >> 12) as u8,
                0x80 | (unit >> 6 & 0x3f) as u8,
                0x80 | (unit & 0x3f) as u8,
            ]),
        }
    }
    target.extend([0xac, 0xed, 0, 5]);
    match u16::try_from(bytes.len()) {
        Ok(length) => {
            target.push(0x74);
            target.extend(length.to_be_bytes());
        }
        Err(_) => {
            target.push(0x7c);
            target.extend((bytes.len() as u64).to_be_bytes());
        }
    }
    target.extend(bytes);
}

/// Tells of the column's own type, where that is asked for.
fn propagate(
    name: &str,
    table: &Table,
    column: &Column,
    declared: &Declared,
    config: &RecordConfig,
    schema: &mut Schema,
) {
    let by_column = config.propagate_column_types.as_ref();
    let by_type = config.propagate_types.as_ref();
    let of_type = format!("{}.{}", table.id, declared.name);
    if !by_column.is_some_and(|columns| columns.matches(name))
        && !by_type.is_some_and(|types| types.matches(&of_type))
    {
        return;
    }
    parameter(schema, "__debezium.source.column.type", declared.name.clone());
    if let Some(length) = declared.length {
        parameter(schema, "__debezium.source.column.length", length.to_string());
    }
    if let Some(scale) = declared.scale {
        parameter(schema, "__debezium.source.column.scale", scale.to_string());
    }
    let comment = column
        .comment
        .as_ref()
        .filter(|comment| config.comments && !comment.is_empty());
    if let Some(comment) = comment {
        parameter(schema, "__debezium.source.column.comment", comment.clone());
    }
    parameter(schema, "__debezium.source.column.name", column.name.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        let cut = |text: &'static str, most| cut(ByteString::from_static(text), most).to_string();
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("äöü", 2), "äö");
        assert_eq!(cut("a😀b", 2), "a");
        assert_eq!(cut("a😀b", 3), "a😀");
        assert_eq!(cut("ä", 1), "ä");
        assert_eq!(cut("", 0), "");
    }

    /// What `ObjectOutputStream.writeObject` of OpenJDK 17 wrote.
    #[test]
    fn texts_are_serialized_as_by_java() {
        let hex = |text: &str| {
            let (mut bytes, mut digits) = (Vec::new(), String::new());
            serialized(text, &mut bytes);
            super::super::hash::hex(&bytes, &mut digits);
            digits
        };
        assert_eq!(hex(""), "aced0005740000");
        assert_eq!(hex("a\0ä€😀"), "aced000574000e61c080c3a4e282aceda0bdedb880");
        assert!(hex(&"x".repeat(65_535)).starts_with("aced000574ffff78"));
        assert!(hex(&"x".repeat(65_536)).starts_with("aced00057c000000000001000078"));
    }

    #[test]
    fn hashes_have_salt_and_no_more_characters_than_their_column() {
        let hash = |v2, length| {
            let masking = Masking::Hash {
                algorithm: Algorithm::Sha256,
                salt: b"salt".to_vec(),
                v2,
                length,
            };
            masking.apply(Value::from("text"))
        };
        // printf 'salttext' | sha256sum
        let whole = "8f40d2c1caea4f10a6375603f18ed44f186066fd94eb7c3f1d115d8dc245527d";
        assert_eq!(hash(true, None), Value::from(whole));
        assert_eq!(hash(true, Some(10)), Value::from(&whole[..10]));
        // printf 'salt\xac\xed\x00\x05t\x00\x04text' | sha256sum
        assert_eq!(hash(false, Some(8)), Value::from("852c2b11"));
    }
}
