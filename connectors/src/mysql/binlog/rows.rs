//! Rows events: the values before and after each change.
use std::sync::Arc;

use bytes::Bytes;

use super::column::ColumnType;
use super::cursor::{Bitmap, Cursor};
use super::decimal::Decimal;
use super::metadata::is_binary;
use super::table_map::{Column, TableMap};
use super::temporal::{Date, DateTime, Time, read_timestamp};
use super::value::Value;
use super::{Damage, DecodeError, Place, skip};

/// Rows of so many bytes, or fewer, may be a small part of what was read at once.
const UNPINNED_BYTES: usize = 64 << 10;

/// What happened to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They are new.
    Insert,
    /// They have other values now.
    Update,
    /// They are gone.
    Delete,
}

/// The rows of one event.
#[derive(Debug)]
pub struct Rows<'a> {
    /// Their table.
    pub table: Arc<TableMap>,
    /// What happened to them.
    pub change: Change,
    /// Whether the statement ends with them.
    pub ends_statement: bool,
    partial: bool,
    before: Bitmap<'a>,
    after: Bitmap<'a>,
    /// One inserted row of nothing but defaults, which takes no byte in minimal images. Servers refuse several in one event.
    blank: bool,
    rest: Cursor<'a>,
    place: &'a Place,
    event_type: u8,
    /// What it was read from.
    source: (RowsKind, &'a Bytes),
}

/// Rows that outlive their decoder. They share its bytes.
#[derive(Clone, Debug)]
pub struct RowsBody {
    kind: RowsKind,
    ends_statement: bool,
    content: Bytes,
    table: Arc<TableMap>,
    place: Place,
    event_type: u8,
}

impl RowsBody {
    /// Copies rows that are few next to what is read at once, so that they do not keep the buffer that they came in.
    pub fn unpin(&mut self) {
        if self.content.len() <= UNPINNED_BYTES {
            self.content = Bytes::copy_from_slice(&self.content);
        }
    }

    /// Their table.
    #[must_use]
    pub fn table(&self) -> &Arc<TableMap> {
        &self.table
    }

    /// What happened to them.
    #[must_use]
    pub fn change(&self) -> Change {
        self.kind.change
    }

    /// Where their event is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.content.len()
    }

    /// The rows, from the first one on.
    #[must_use]
    pub fn rows(&self) -> Rows<'_> {
        let (table, at) = (Arc::clone(&self.table), (&self.place, self.event_type));
        Rows::read(self.kind, self.ends_statement, &self.content, table, at)
            .expect("the same bytes were read before")
    }

    /// The rows behind those that were read when [`Rows::bytes_left`] gave `left`, at least one.
    #[must_use]
    pub fn rows_behind(&self, left: usize) -> Rows<'_> {
        let mut rows = self.rows();
        rows.blank = false;
        let read = rows.rest.left().saturating_sub(left);
        rows.rest
            .take(read, "rows that were read")
            .expect("there are no fewer");
        rows
    }
}

/// The values of one changed row, by the table's columns. Reused from row to row.
#[derive(Debug, Default)]
pub struct Row<'a> {
    /// The values before an update or deletion; empty for inserted rows.
    pub before: Vec<Value<'a>>,
    /// The values after an update or insertion; empty for deleted rows.
    pub after: Vec<Value<'a>>,
}

/// What the first bytes of a rows event say.
pub(crate) struct RowsHead<'a> {
    pub(crate) table_id: u64,
    pub(crate) ends_statement: bool,
    /// The body behind the post header.
    pub(crate) body: &'a [u8],
}

/// The kinds of rows events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowsKind {
    pub(crate) change: Change,
    /// With the length of extra data in the post header.
    pub(crate) version_2: bool,
    pub(crate) partial: bool,
}

impl<'a> RowsHead<'a> {
    pub(crate) fn read(kind: RowsKind, id_bytes: usize, content: &'a [u8]) -> Result<Self, Damage> {
        let mut cursor = Cursor::new(content);
        let table_id = cursor.uint(id_bytes, "the table id of rows")?;
        let flags = cursor.u16("the flags of rows")?;
        if kind.version_2 {
            let what = "the extra data of rows";
            let length = cursor.u16(what)?;
            let rule = "less than its own size";
            let length = usize::from(length).checked_sub(2).ok_or(Damage::Invalid {
                what,
                value: u64::from(length),
                rule,
            })?;
            cursor.take(length, what)?;
        }
        Ok(Self {
            table_id,
            ends_statement: flags & 1 == 1,
            body: cursor.rest(),
        })
    }
}

impl<'a> Rows<'a> {
    pub(crate) fn read(
        kind: RowsKind,
        ends_statement: bool,
        body: &'a Bytes,
        table: Arc<TableMap>,
        at: (&'a Place, u8),
    ) -> Result<Self, Damage> {
        let mut rest = Cursor::new(body);
        let columns = rest.packed_length("the number of columns in rows")?;
        if columns != table.columns.len() {
            let rule = "not the columns of their table";
            return Err(Damage::Invalid {
                what: "the number of columns in rows",
                value: columns as u64,
                rule,
            });
        }
        let first = Bitmap::take(&mut rest, columns, "the columns of rows")?;
        let second = match kind.change {
            Change::Update => Bitmap::take(&mut rest, columns, "the columns of rows")?,
            Change::Insert | Change::Delete => first,
        };
        let blank = kind.change == Change::Insert && first.count(columns) == 0 && rest.is_empty();
        let (place, event_type) = at;
        let (change, partial) = (kind.change, kind.partial);
        Ok(Self {
            table,
            change,
            ends_statement,
            partial,
            before: first,
            after: second,
            blank,
            rest,
            place,
            event_type,
            source: (kind, body),
        })
    }

    /// All its rows, for when the decoder has gone on.
    #[must_use]
    pub fn keep(&self) -> RowsBody {
        let (kind, content) = self.source;
        RowsBody {
            kind,
            ends_statement: self.ends_statement,
            content: content.clone(),
            table: Arc::clone(&self.table),
            place: self.place.clone(),
            event_type: self.event_type,
        }
    }

    /// The bytes of rows that are not read yet.
    #[must_use]
    pub fn bytes_left(&self) -> usize {
        self.rest.left()
    }

    /// Where the event is.
    #[must_use]
    pub fn place(&self) -> &'a Place {
        self.place
    }

    /// How many rows there are from here on; it makes no values of them.
    ///
    /// # Errors
    /// With bytes that are no rows of this table.
    pub fn count(mut self) -> Result<u64, DecodeError> {
        let mut count = 0;
        while self.skip_row()? {
            count += 1;
        }
        Ok(count)
    }

    /// Passes over the next row; whether there was one.
    ///
    /// # Errors
    /// With bytes that are no row of this table.
    pub fn skip_row(&mut self) -> Result<bool, DecodeError> {
        if std::mem::take(&mut self.blank) {
            return Ok(true);
        }
        if self.rest.is_empty() {
            return Ok(false);
        }
        let before = self.rest.left();
        self.skip_images()
            .and_then(|()| self.moved_from(before))
            .map_err(|damage| damage.at(self.place.clone(), self.event_type))?;
        Ok(true)
    }

    fn skip_images(&mut self) -> Result<(), Damage> {
        let columns = &self.table.columns;
        if self.change != Change::Insert {
            skip::image(&mut self.rest, columns, self.before, None)?;
        }
        if self.change != Change::Delete {
            let differences = match self.partial {
                true => differences(&mut self.rest, columns)?,
                false => None,
            };
            skip::image(&mut self.rest, columns, self.after, differences)?;
        }
        Ok(())
    }

    /// No column and no byte: there is no telling how many such rows there are.
    fn moved_from(&self, before: usize) -> Result<(), Damage> {
        match self.rest.left() == before {
            true => Err(Damage::Surplus {
                what: "rows without columns",
                left: before,
            }),
            false => Ok(()),
        }
    }

    /// Reads the next row into `row`; whether there was one.
    ///
    /// # Errors
    /// With bytes that are no row of this table.
    pub fn read_row(&mut self, row: &mut Row<'a>) -> Result<bool, DecodeError> {
        row.before.clear();
        row.after.clear();
        if std::mem::take(&mut self.blank) {
            row.after.resize(self.table.columns.len(), Value::Absent);
            return Ok(true);
        }
        if self.rest.is_empty() {
            return Ok(false);
        }
        let before = self.rest.left();
        self.images(row)
            .and_then(|()| self.moved_from(before))
            .map_err(|damage| damage.at(self.place.clone(), self.event_type))?;
        Ok(true)
    }

    fn images(&mut self, row: &mut Row<'a>) -> Result<(), Damage> {
        let columns = &self.table.columns;
        if self.change != Change::Insert {
            image(&mut self.rest, columns, self.before, None, &mut row.before)?;
        }
        if self.change != Change::Delete {
            let differences = match self.partial {
                true => differences(&mut self.rest, columns)?,
                false => None,
            };
            image(&mut self.rest, columns, self.after, differences, &mut row.after)?;
        }
        Ok(())
    }
}

/// Which JSON columns of an image are differences, one bit for each of the table's; nothing when none is.
fn differences<'a>(rest: &mut Cursor<'a>, columns: &[Column]) -> Result<Option<Bitmap<'a>>, Damage> {
    let options = rest.packed("the options of a row")?;
    if options > 1 {
        let rule = "with an option that is not known";
        return Err(Damage::Invalid {
            what: "the options of a row",
            value: options,
            rule,
        });
    }
    if options == 0 {
        return Ok(None);
    }
    let json = columns
        .iter()
        .filter(|column| column.column_type.is_json())
        .count();
    Bitmap::take(rest, json, "which JSON is partial").map(Some)
}

fn image<'a>(
    rest: &mut Cursor<'a>,
    columns: &[Column],
    present: Bitmap<'a>,
    differences: Option<Bitmap<'a>>,
    values: &mut Vec<Value<'a>>,
) -> Result<(), Damage> {
    let nulls = Bitmap::take(rest, present.count(columns.len()), "which values are null")?;
    values.reserve(columns.len());
    let (mut held, mut json) = (0, 0);
    for (index, column) in columns.iter().enumerate() {
        let is_json = column.column_type.is_json();
        let value = if !present.get(index) {
            Value::Absent
        } else {
            held += 1;
            if nulls.get(held - 1) {
                Value::Null
            } else if is_json && differences.is_some_and(|bits| bits.get(json)) {
                let length = rest.uint(4, "the length of differences")? as usize;
                Value::JsonDiff(rest.take(length, "differences of JSON")?)
            } else {
                value(column, rest)?
            }
        };
        json += usize::from(is_json);
        values.push(value);
    }
    Ok(())
}

/// A number of so many bits, by whether it is known to be unsigned.
#[inline]
fn integer<'a>(column: &Column, bits: u32, rest: &mut Cursor<'a>) -> Result<Value<'a>, Damage> {
    let number = rest.uint((bits / 8) as usize, "an integer")?;
    if column.unsigned == Some(true) {
        return Ok(Value::UInt(number));
    }
    let unused = 64 - bits;
    Ok(Value::Int((number << unused) as i64 >> unused))
}

/// Bytes with a little-endian length before them.
#[inline]
fn sized<'a>(rest: &mut Cursor<'a>, length_bytes: u8, what: &'static str) -> Result<&'a [u8], Damage> {
    let length = rest.uint(usize::from(length_bytes), what)?;
    rest.take(length as usize, what)
}

fn text<'a>(column: &Column, bytes: &'a [u8]) -> Value<'a> {
    if is_binary(column) {
        Value::Bytes(bytes)
    } else {
        Value::Text {
            bytes,
            collation: column.collation,
        }
    }
}

/// The bytes of a VARCHAR's length are one where 255 bytes are the most.
pub(super) fn varchar_length_bytes(length_max: u16) -> u8 {
    if length_max > 255 { 2 } else { 1 }
}

#[inline]
fn value<'a>(column: &Column, rest: &mut Cursor<'a>) -> Result<Value<'a>, Damage> {
    Ok(match column.column_type {
        ColumnType::Tiny => integer(column, 8, rest)?,
        ColumnType::Short => integer(column, 16, rest)?,
        ColumnType::Int24 => integer(column, 24, rest)?,
        ColumnType::Long => integer(column, 32, rest)?,
        ColumnType::LongLong => integer(column, 64, rest)?,
        ColumnType::Float => Value::Float(f32::from_le_bytes(rest.array("a float")?)),
        ColumnType::Double => Value::Double(f64::from_le_bytes(rest.array("a double")?)),
        ColumnType::Decimal { precision, scale } => {
            let bytes = rest.take(Decimal::length(precision, scale)?, "a decimal")?;
            Value::Decimal(Decimal::new(bytes, precision, scale)?)
        }
        ColumnType::Bit { bits } => Value::Bit(rest.uint_be(usize::from(bits.div_ceil(8)), "a BIT")?),
        ColumnType::Varchar { length_max } => text(
            column,
            sized(rest, varchar_length_bytes(length_max), "a VARCHAR")?,
        ),
        ColumnType::Char { length_max } => {
            let bytes = sized(rest, varchar_length_bytes(length_max), "a CHAR")?;
            if is_binary(column) {
                Value::Binary {
                    bytes,
                    length: length_max,
                }
            } else {
                Value::Text {
                    bytes,
                    collation: column.collation,
                }
            }
        }
        ColumnType::Blob { length_bytes } => text(column, sized(rest, length_bytes, "a BLOB or TEXT")?),
        ColumnType::Enum { bytes } => Value::Enum(rest.uint(usize::from(bytes), "an ENUM")? as u16),
        ColumnType::Set { bytes } => Value::Set(rest.uint(usize::from(bytes), "a SET")?),
        ColumnType::Json { length_bytes } => Value::Json(sized(rest, length_bytes, "a JSON value")?),
        ColumnType::TypedArray => Value::Json(sized(rest, 4, "an array")?),
        ColumnType::Geometry { length_bytes } => Value::Geometry(sized(rest, length_bytes, "a geometry")?),
        ColumnType::Vector { length_bytes } => Value::Vector(sized(rest, length_bytes, "a vector")?),
        ColumnType::CompressedVarchar { length_max } => {
            let bytes = sized(rest, varchar_length_bytes(length_max), "a compressed VARCHAR")?;
            Value::Compressed {
                bytes,
                collation: column.collation,
            }
        }
        ColumnType::CompressedBlob { length_bytes } => {
            let bytes = sized(rest, length_bytes, "a compressed BLOB or TEXT")?;
            Value::Compressed {
                bytes,
                collation: column.collation,
            }
        }
        temporal => temporal_value(temporal, rest)?,
    })
}

fn temporal_value<'a>(column_type: ColumnType, rest: &mut Cursor<'a>) -> Result<Value<'a>, Damage> {
    Ok(match column_type {
        ColumnType::Date => Value::Date(Date::read(rest)?),
        ColumnType::Time { fraction } => Value::Time(Time::read(rest, fraction)?),
        ColumnType::DateTime { fraction } => Value::DateTime(DateTime::read(rest, fraction)?),
        ColumnType::Timestamp { fraction } => {
            let (seconds, micros) = read_timestamp(rest, fraction)?;
            Value::Timestamp {
                seconds,
                micros,
                fraction,
            }
        }
        ColumnType::OldTime => Value::Time(Time::read_old(rest)?),
        ColumnType::OldDateTime => Value::DateTime(DateTime::read_old(rest)?),
        ColumnType::OldTimestamp => Value::Timestamp {
            seconds: rest.u32("a timestamp")?,
            micros: 0,
            fraction: 0,
        },
        ColumnType::Year => match rest.u8("a year")? {
            0 => Value::Year(0),
            years => Value::Year(1900 + u16::from(years)),
        },
        _ => return Err(Damage::Unsupported("a column of a type without values in rows")),
    })
}
