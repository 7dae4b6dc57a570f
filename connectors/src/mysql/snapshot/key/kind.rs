//! How values of keys are compared, stored, and known to be the same.
use super::KeyError;
use crate::mysql::binlog::{BINARY, ColumnType, Value};
use crate::mysql::schema::Column;
use crate::mysql::{charset, text};

/// Parts of several columns do not run into each other: each has its length before it.
pub(super) const LENGTH_BYTES: usize = 4;

/// How values of a key's column are read, stored and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// Whole numbers of so many bits.
    Integer { bits: u32, unsigned: bool },
    /// What stands in SQL as it is printed: DECIMAL, YEAR.
    Number,
    /// What is a number beneath: BIT, SET, and ENUM with so many labels.
    Code { labels: usize },
    /// FLOAT and DOUBLE.
    Double,
    /// Dates and times.
    Temporal,
    /// Characters of this set.
    Text { charset: &'static str },
    /// Bytes; zeros at the end of those of a fixed length are left out in the log.
    Bytes { fixed: bool },
    /// Types of MariaDB that are so many bytes in the log: UUID, INET4, INET6.
    Fixed { bytes: usize },
}

impl KeyKind {
    pub(super) fn of(column: &Column) -> Result<Self, KeyError> {
        let log = &column.log;
        let integer = |bits| Self::Integer {
            bits,
            unsigned: log.unsigned == Some(true),
        };
        let declared = column
            .declared
            .as_deref()
            .unwrap_or_default()
            .to_ascii_lowercase();
        match &*declared {
            "uuid" | "inet6" => return Ok(Self::Fixed { bytes: 16 }),
            "inet4" => return Ok(Self::Fixed { bytes: 4 }),
            _ => {}
        }
        Ok(match log.column_type {
            ColumnType::Tiny => integer(8),
            ColumnType::Short => integer(16),
            ColumnType::Int24 => integer(24),
            ColumnType::Long => integer(32),
            ColumnType::LongLong => integer(64),
            ColumnType::Decimal { .. } | ColumnType::Year => Self::Number,
            ColumnType::Bit { .. } | ColumnType::Set { .. } => Self::Code { labels: 0 },
            ColumnType::Enum { .. } => Self::Code {
                labels: log.labels.len(),
            },
            ColumnType::Float | ColumnType::Double => Self::Double,
            ColumnType::Date
            | ColumnType::Time { .. }
            | ColumnType::DateTime { .. }
            | ColumnType::Timestamp { .. }
            | ColumnType::OldTime
            | ColumnType::OldDateTime
            | ColumnType::OldTimestamp => Self::Temporal,
            ColumnType::Char { .. } if log.collation == BINARY => Self::Bytes { fixed: true },
            ColumnType::Varchar { .. } | ColumnType::Blob { .. } if log.collation == BINARY => {
                Self::Bytes { fixed: false }
            }
            ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Blob { .. } => Self::Text {
                charset: charset::name(log.collation).ok_or(KeyError::Collation(log.collation))?,
            },
            _ => return Err(KeyError::Type),
        })
    }

    /// A letter for what decides the order.
    pub(super) fn code(self) -> char {
        match self {
            Self::Integer { .. } | Self::Number => 'n',
            Self::Code { .. } => 'c',
            Self::Double => 'd',
            Self::Temporal => 't',
            Self::Text { .. } => 's',
            Self::Bytes { .. } | Self::Fixed { .. } => 'b',
        }
    }

    /// The whole number that a value of the log is. Logs that do not say which columns are unsigned have large numbers as negative ones.
    pub(super) fn integer(self, value: &Value<'_>) -> Option<i128> {
        match (self, value) {
            (Self::Integer { bits, unsigned: true }, Value::Int(number @ ..0)) => {
                Some(i128::from(*number) + (1 << bits))
            }
            (Self::Integer { .. }, Value::Int(number)) => Some(i128::from(*number)),
            (Self::Integer { .. }, Value::UInt(number)) => Some(i128::from(*number)),
            _ => None,
        }
    }

    /// Gives the part of an identity that begins at `start` the form that is the same from a chunk and from the log, and its length.
    pub(super) fn normalize(self, start: usize, target: &mut Vec<u8>) {
        let from = start + LENGTH_BYTES;
        match self {
            Self::Integer { .. } | Self::Number | Self::Code { .. } => without_zeros_before(from, target),
            Self::Double => {
                let text = std::str::from_utf8(&target[from..]).unwrap_or_default();
                // Zero below zero is equal to zero.
                let number = text.parse::<f64>().unwrap_or(f64::NAN) + 0.0;
                target.truncate(from);
                target.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            Self::Bytes { fixed: true } | Self::Fixed { .. } => {
                let zeros = target[from..].iter().rev().take_while(|byte| **byte == 0).count();
                target.truncate(target.len() - zeros);
            }
            Self::Temporal | Self::Text { .. } | Self::Bytes { fixed: false } => {}
        }
        let length = (target.len() - from) as u32;
        target[start..from].copy_from_slice(&length.to_le_bytes());
    }

    /// How a cell is stored: numbers and times as they are, texts behind an apostrophe where they are plain, and anything else in hex.
    pub(super) fn stored(self, cell: &[u8]) -> String {
        match self {
            Self::Integer { .. } | Self::Number | Self::Code { .. } => {
                let mut digits = cell.to_vec();
                without_zeros_before(0, &mut digits);
                String::from_utf8_lossy(&digits).into_owned()
            }
            Self::Double | Self::Temporal => String::from_utf8_lossy(cell).into_owned(),
            Self::Text { .. } => match std::str::from_utf8(cell) {
                Ok(text) if !text.contains(char::is_control) => format!("'{text}"),
                _ => hex(cell),
            },
            Self::Bytes { .. } | Self::Fixed { .. } => hex(cell),
        }
    }
}

/// What ZEROFILL puts before numbers is no part of them.
fn without_zeros_before(from: usize, target: &mut Vec<u8>) {
    let from = from + usize::from(target.get(from) == Some(&b'-'));
    let zeros = target[from..].iter().take_while(|byte| **byte == b'0').count();
    let followed = target.get(from + zeros).is_some_and(u8::is_ascii_digit);
    let surplus = if followed { zeros } else { zeros.saturating_sub(1) };
    target.drain(from..from + surplus);
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    text::hex(bytes, &mut text);
    text
}

/// The bytes of a part that [`KeyKind::stored`] gave for texts and bytes; of one that is none of these, its characters.
pub(super) fn bytes_of(part: &str) -> Vec<u8> {
    if let Some(text) = part.strip_prefix('\'') {
        return text.as_bytes().to_vec();
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = part.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs
        .0
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect();
    bytes
        .filter(|_| pairs.1.is_empty())
        .unwrap_or_else(|| part.as_bytes().to_vec())
}
