//! TABLE_MAP: what the rows behind it are rows of.
use super::cursor::{Bitmap, Cursor, utf8};
use super::metadata;
use super::value::Collation;
use super::{ColumnType, Damage};

/// Columns that a table can have.
pub(crate) const COLUMNS_MAX: usize = 4096;

/// A table as it was when the rows behind were changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMap {
    /// The number with which rows refer to it.
    pub table_id: u64,
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// The columns, in the table's order.
    pub columns: Vec<Column>,
    /// The primary key in its own order; nothing where the log does not say it (`binlog_row_metadata` is not FULL), or there is none.
    pub primary_key: Vec<KeyPart>,
    /// Whether the log says names of columns, and with them whether there is a primary key.
    pub has_names: bool,
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// How its values stand in rows.
    pub column_type: ColumnType,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether its numbers are unsigned; nothing where the log does not say it.
    pub unsigned: Option<bool>,
    /// The collation of its text, or of its labels; 0 where the log does not say it.
    pub collation: Collation,
    /// Its name, with `binlog_row_metadata=FULL`.
    pub name: Option<String>,
    /// The labels of ENUM and SET as bytes of its collation, with `binlog_row_metadata=FULL`.
    pub labels: Vec<Vec<u8>>,
    /// The kind of a geometry: 0 any, 1 point, 2 linestring, 3 polygon, 4 to 6 several of them, 7 collection.
    pub geometry_type: Option<u64>,
    /// The dimensions of a VECTOR.
    pub vector_dimensions: Option<u64>,
    /// Whether `SELECT *` shows it.
    pub visible: bool,
}

/// A column of a primary key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPart {
    /// The column's index in the table.
    pub column: usize,
    /// How many characters of it the key holds; 0 for all.
    pub prefix: u64,
}

impl Column {
    pub(crate) fn new(column_type: ColumnType) -> Self {
        Self {
            column_type,
            nullable: false,
            unsigned: None,
            collation: 0,
            name: None,
            labels: Vec::new(),
            geometry_type: None,
            vector_dimensions: None,
            visible: true,
        }
    }
}

impl TableMap {
    pub(crate) fn read(body: &[u8], id_bytes: usize, mariadb: bool) -> Result<Self, Damage> {
        let mut cursor = Cursor::new(body);
        let table_id = cursor.uint(id_bytes, "a table's id")?;
        cursor.u16("the flags of a table map")?;
        let database = name(&mut cursor, "the name of a database")?;
        let table = name(&mut cursor, "the name of a table")?;
        let count = cursor.packed_length("the number of columns")?;
        if count > COLUMNS_MAX {
            let rule = "more than a table can have";
            return Err(Damage::Invalid {
                what: "the number of columns",
                value: count as u64,
                rule,
            });
        }
        let codes = cursor.take(count, "the types of columns")?;
        let mut types = Cursor::new(cursor.packed_bytes("the metadata of columns")?);
        let columns: Result<Vec<_>, _> = codes
            .iter()
            .map(|code| ColumnType::read(*code, &mut types).map(Column::new))
            .collect();
        let mut map = Self {
            table_id,
            database,
            table,
            columns: columns?,
            primary_key: Vec::new(),
            has_names: false,
        };
        types.end("the metadata of columns")?;
        let nullable = Bitmap::take(&mut cursor, count, "which columns may be null")?;
        for (index, column) in map.columns.iter_mut().enumerate() {
            column.nullable = nullable.get(index);
        }
        metadata::read(&mut cursor, &mut map, mariadb)?;
        Ok(map)
    }
}

fn name(cursor: &mut Cursor<'_>, what: &'static str) -> Result<String, Damage> {
    let length = cursor.packed_length(what)?;
    let name = utf8(cursor.take(length, what)?, what)?.to_owned();
    match cursor.u8(what)? {
        0 => Ok(name),
        byte => Err(Damage::Invalid {
            what,
            value: u64::from(byte),
            rule: "where its end should be",
        }),
    }
}
