//! A column of a key, as SQL has it and as logs do.
use super::KeyError;
use super::kind::{KeyKind, bytes_of, hex};
use crate::mysql::binlog::{self, Value};
use crate::mysql::client::quoted;
use crate::mysql::schema::Column;
use crate::mysql::text;

/// Labels of an ENUM up to which a comparison lists them, since servers do not use an index for `enum > number`.
const LISTED_LABELS_MAX: usize = 256;

/// A column of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    /// `table.column`, in backticks.
    pub(super) quoted: String,
    pub(super) kind: KeyKind,
    pub(super) signature: String,
    /// How it stands in logs.
    log: binlog::Column,
}

impl KeyColumn {
    pub(super) fn of(table: &str, column: &Column) -> Result<Self, KeyError> {
        let kind = KeyKind::of(column)?;
        let labels = column.log.labels.concat();
        let signature = format!(
            "{} {}/{}/{:x}",
            column.name,
            kind.code(),
            column.log.collation,
            crc32fast::hash(&labels)
        );
        Ok(Self {
            name: column.name.to_string(),
            quoted: format!("{}.{}", quoted(table), quoted(&column.name)),
            kind,
            signature,
            log: column.log.clone(),
        })
    }

    pub(super) fn expression(&self) -> String {
        let name = &self.quoted;
        match self.kind {
            KeyKind::Integer { .. } | KeyKind::Number | KeyKind::Temporal | KeyKind::Bytes { .. } => {
                name.clone()
            }
            KeyKind::Code { .. } => format!("CAST({name} AS UNSIGNED)"),
            // The server prints no more than six digits of a FLOAT, and as many as were declared of a DOUBLE(m,d).
            KeyKind::Double => format!("{name}*1e0"),
            KeyKind::Text { .. } => format!("CAST({name} AS BINARY)"),
            KeyKind::Fixed { bytes } => format!("CAST({name} AS BINARY({bytes}))"),
        }
    }

    pub(super) fn literal(&self, part: &str) -> String {
        let plain = |allowed: &str| {
            part.bytes()
                .all(|byte| byte.is_ascii_digit() || allowed.contains(char::from(byte)))
        };
        match self.kind {
            KeyKind::Integer { .. } | KeyKind::Number | KeyKind::Code { .. } if plain("-.") => {
                part.to_owned()
            }
            KeyKind::Double if plain("-.eE+") && part.contains(['e', 'E']) => part.to_owned(),
            KeyKind::Double if plain("-.") => format!("{part}e0"),
            KeyKind::Temporal if plain("-.: ") => format!("'{part}'"),
            KeyKind::Text { charset } => format!("_{charset} X'{}'", hex(&bytes_of(part))),
            _ => format!("X'{}'", hex(&bytes_of(part))),
        }
    }

    pub(super) fn greater(&self, part: &str) -> String {
        match (self.kind, part.parse::<usize>()) {
            (
                KeyKind::Code {
                    labels: labels @ 1..=LISTED_LABELS_MAX,
                },
                Ok(number),
            ) => {
                let behind: Vec<String> = (number + 1..=labels).map(|label| label.to_string()).collect();
                match behind.is_empty() {
                    true => "0=1".to_owned(),
                    false => format!("{} IN ({})", self.quoted, behind.join(",")),
                }
            }
            _ => format!("{}>{}", self.quoted, self.literal(part)),
        }
    }

    pub(super) fn less(&self, part: &str) -> String {
        format!("{}<{}", self.quoted, self.literal(part))
    }

    /// Appends what the cell of [`KeyColumn::expression`] would be; whether the value is there.
    pub(super) fn cell(&self, value: &Value<'_>, target: &mut Vec<u8>) -> bool {
        if let Some(number) = self.kind.integer(value) {
            print(target, |text| {
                if number < 0 {
                    text.push('-');
                }
                text::natural(number.unsigned_abs() as u64, text);
            });
            return true;
        }
        match value {
            Value::Bit(number) | Value::Set(number) => print(target, |text| text::natural(*number, text)),
            Value::Enum(number) => print(target, |text| text::natural(u64::from(*number), text)),
            Value::Float(number) => print(target, |text| text::double(f64::from(*number), text)),
            Value::Double(number) => print(target, |text| text::double(*number, text)),
            Value::Text { bytes, .. } | Value::Bytes(bytes) | Value::Binary { bytes, .. } => {
                target.extend_from_slice(bytes);
            }
            Value::Decimal(_)
            | Value::Year(_)
            | Value::Date(_)
            | Value::Time(_)
            | Value::DateTime(_)
            | Value::Timestamp { .. } => {
                let mut text = String::new();
                if text::print(&self.log, value, 0, &mut text).is_err() {
                    return false;
                }
                target.extend_from_slice(text.as_bytes());
            }
            _ => return false,
        }
        true
    }
}

fn print(target: &mut Vec<u8>, printed: impl FnOnce(&mut String)) {
    let mut text = String::with_capacity(24);
    printed(&mut text);
    target.extend_from_slice(text.as_bytes());
}
