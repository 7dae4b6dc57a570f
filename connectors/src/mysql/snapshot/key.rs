//! Keys: as expressions and literals of SQL, as the texts that are stored, and as bytes by which a row of a chunk and a row of the log
//! are known to be the same.
//!
//! Texts are compared as the bytes that the server stores, not as what a collation makes of them: the image of a row before its
//! change has the very bytes of the key that a chunk may have read.
use std::fmt::Write;

use crate::mysql::binlog::{self, BINARY, ColumnType, Value};
use crate::mysql::client::quoted;
use crate::mysql::schema::{Column, Table};
use crate::mysql::{charset, text};

/// A place in the order of a key: a text for each of its columns.
pub type Place = Vec<String>;

/// Labels of an ENUM up to which a comparison lists them, since servers do not use an index for `enum > number`.
const LISTED_LABELS_MAX: usize = 256;

/// The columns in whose order a table is read, and by which its rows are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumns {
    columns: Vec<KeyColumn>,
    /// The first of those by which rows are known; others before it are for the order alone.
    identity: usize,
}

/// A column of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyColumn {
    name: String,
    /// `table.column`, in backticks.
    quoted: String,
    kind: KeyKind,
    signature: String,
    /// How it stands in logs.
    log: binlog::Column,
}

/// How values of a key's column are read, stored and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
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

/// Why rows of a table cannot be read in the order of a column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Its character set is not known.
    #[error("its collation {0} is not known; leave the table out (snapshot.include.collection.list)")]
    Collation(u16),
    /// Values of such a column have no order.
    #[error("rows cannot be read in the order of such a column")]
    Type,
    /// There is none.
    #[error("the table has no column {0}")]
    Missing(String),
    /// NULL has no place in the order.
    #[error("it may be NULL; name a column that is NOT NULL")]
    Nullable,
}

impl KeyColumns {
    /// Those of a table: its key; nothing if it has none. With a `surrogate`, rows are read in the order of that column first.
    ///
    /// # Errors
    /// With the column's name and what is wrong with it.
    pub fn of(table: &Table, surrogate: Option<&str>) -> Result<Option<Self>, (String, KeyError)> {
        if table.key.is_empty() {
            return Ok(None);
        }
        let mut indexes = table.key.clone();
        let mut identity = 0;
        if let Some(name) = surrogate {
            let missing = || (name.to_owned(), KeyError::Missing(name.to_owned()));
            let index = table.columns.iter().position(|column| *column.name == *name);
            let index = index.ok_or_else(missing)?;
            if table.columns[index].log.nullable {
                return Err((name.to_owned(), KeyError::Nullable));
            }
            if indexes[0] != index {
                indexes.insert(0, index);
                identity = 1;
            }
        }
        let columns: Result<Vec<_>, _> = indexes
            .iter()
            .map(|index| {
                let column = &table.columns[*index];
                KeyColumn::of(&table.id.table, column).map_err(|error| (column.name.to_string(), error))
            })
            .collect();
        Ok(Some(Self {
            columns: columns?,
            identity,
        }))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// What decides the order: a place in one order means nothing in another.
    pub(super) fn signature(&self) -> String {
        let signatures: Vec<&str> = self.columns.iter().map(|column| &*column.signature).collect();
        signatures.join(",")
    }

    /// The expressions whose cells [`KeyColumns::place`] and [`KeyColumns::identity_of_cells`] take.
    pub(super) fn expressions(&self) -> String {
        let each: Vec<String> = self.columns.iter().map(KeyColumn::expression).collect();
        each.join(",")
    }

    /// The list behind `ORDER BY`.
    pub(super) fn order(&self, suffix: &str) -> String {
        let each: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("{}{suffix}", column.quoted))
            .collect();
        each.join(",")
    }

    /// The condition that a row is behind a place.
    pub(super) fn behind(&self, place: &Place) -> String {
        self.compared(place, KeyColumn::greater, false)
    }

    /// The condition that a row is not behind a place.
    pub(super) fn up_to(&self, place: &Place) -> String {
        self.compared(place, KeyColumn::less, true)
    }

    /// `a>1 OR a=1 AND (b>2 OR …)`, flat, so that an index is used for it.
    fn compared(
        &self,
        place: &Place,
        differs: impl Fn(&KeyColumn, &str) -> String,
        or_equal: bool,
    ) -> String {
        let mut alternatives = Vec::with_capacity(place.len() + 1);
        let mut equal = String::new();
        for (column, part) in self.columns.iter().zip(place) {
            alternatives.push(format!("({equal}{})", differs(column, part)));
            let _ = write!(equal, "{}={} AND ", column.quoted, column.literal(part));
        }
        if or_equal {
            alternatives.push(format!("({})", equal.trim_end_matches(" AND ")));
        }
        alternatives.join(" OR ")
    }

    /// The condition that a row has one of these identities.
    pub(super) fn among(&self, identities: &[Place]) -> String {
        let each: Vec<String> = identities
            .iter()
            .map(|identity| {
                let columns = self.columns[self.identity..].iter().zip(identity);
                let parts: Vec<String> = columns
                    .map(|(column, part)| format!("{}={}", column.quoted, column.literal(part)))
                    .collect();
                format!("({})", parts.join(" AND "))
            })
            .collect();
        each.join(" OR ")
    }

    /// The place of a row by the cells of [`KeyColumns::expressions`].
    pub(super) fn place(&self, cells: &[Option<&[u8]>]) -> Place {
        let columns = self.columns.iter().zip(cells);
        columns
            .map(|(column, cell)| column.kind.stored(cell.unwrap_or_default()))
            .collect()
    }

    /// The one number that a key of a single whole number is.
    pub(super) fn as_integer(&self, place: &Place) -> Option<i128> {
        match (&self.columns[..], &place[..]) {
            ([column], [part]) if matches!(column.kind, KeyKind::Integer { .. }) => part.parse().ok(),
            _ => None,
        }
    }

    /// Appends the bytes by which a row is known, by the cells of [`KeyColumns::expressions`].
    pub(super) fn identity_of_cells(&self, cells: &[Option<&[u8]>], target: &mut Vec<u8>) {
        for (column, cell) in self.columns.iter().zip(cells).skip(self.identity) {
            let start = target.len();
            target.extend_from_slice(&[0; LENGTH_BYTES]);
            target.extend_from_slice(cell.unwrap_or_default());
            column.kind.normalize(start, target);
        }
    }

    /// For the columns of a table of the log: where those of the row's identity are.
    pub(super) fn indexes_in(&self, table: &Table) -> Option<Vec<usize>> {
        let names = self.columns[self.identity..].iter();
        names
            .map(|key| table.columns.iter().position(|column| *column.name == *key.name))
            .collect()
    }

    /// For the columns of a table of the log: where those are that stand in the order before the row's identity.
    pub(super) fn leading_in(&self, table: &Table) -> Option<Vec<usize>> {
        let names = self.columns[..self.identity].iter();
        names
            .map(|key| table.columns.iter().position(|column| *column.name == *key.name))
            .collect()
    }

    /// Appends the bytes by which a row of the log is known; whether the image has them all.
    pub(super) fn identity_of_values<'v>(
        &self,
        value: impl Fn(usize) -> Value<'v>,
        indexes: &[usize],
        target: &mut Vec<u8>,
    ) -> bool {
        let columns = self.columns[self.identity..].iter().zip(indexes);
        columns.into_iter().all(|(column, index)| {
            let start = target.len();
            target.extend_from_slice(&[0; LENGTH_BYTES]);
            let there = column.cell(&value(*index), target);
            column.kind.normalize(start, target);
            there
        })
    }

    /// What [`KeyColumns::among`] takes for a row of the log.
    pub(super) fn stored_identity<'v>(
        &self,
        value: impl Fn(usize) -> Value<'v>,
        indexes: &[usize],
    ) -> Option<Place> {
        let columns = self.columns[self.identity..].iter().zip(indexes);
        columns
            .map(|(column, index)| {
                let mut cell = Vec::new();
                let there = column.cell(&value(*index), &mut cell);
                there.then(|| column.kind.stored(&cell))
            })
            .collect()
    }

    /// The one number that the key of a row of the log is, if it is a single whole number.
    pub(super) fn integer_of_value(&self, value: &Value<'_>) -> Option<i128> {
        match &self.columns[..] {
            [column] => column.kind.integer(value),
            _ => None,
        }
    }
}

/// Parts of several columns do not run into each other: each has its length before it.
const LENGTH_BYTES: usize = 4;

impl KeyColumn {
    fn of(table: &str, column: &Column) -> Result<Self, KeyError> {
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

    fn expression(&self) -> String {
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

    fn literal(&self, part: &str) -> String {
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

    fn greater(&self, part: &str) -> String {
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

    fn less(&self, part: &str) -> String {
        format!("{}<{}", self.quoted, self.literal(part))
    }

    /// Appends what the cell of [`KeyColumn::expression`] would be; whether the value is there.
    fn cell(&self, value: &Value<'_>, target: &mut Vec<u8>) -> bool {
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

impl KeyKind {
    fn of(column: &Column) -> Result<Self, KeyError> {
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
    fn code(self) -> char {
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
    fn integer(self, value: &Value<'_>) -> Option<i128> {
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
    fn normalize(self, start: usize, target: &mut Vec<u8>) {
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
    fn stored(self, cell: &[u8]) -> String {
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

fn print(target: &mut Vec<u8>, printed: impl FnOnce(&mut String)) {
    let mut text = String::with_capacity(24);
    printed(&mut text);
    target.extend_from_slice(text.as_bytes());
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    text::hex(bytes, &mut text);
    text
}

/// The bytes of a part that [`KeyKind::stored`] gave for texts and bytes; of one that is none of these, its characters.
fn bytes_of(part: &str) -> Vec<u8> {
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
