//! What `binlog_row_metadata` adds to a table map.
use super::Damage;
use super::column::ColumnType;
use super::cursor::{Cursor, utf8};
use super::table_map::{Column, KeyPart, TableMap};
use super::value::{BINARY, Collation};

/// Labels that a column can have.
const LABELS_MAX: usize = 65_535;

pub(crate) fn read(cursor: &mut Cursor<'_>, map: &mut TableMap, mariadb: bool) -> Result<(), Damage> {
    let is_character = |column: &Column| says_charset(column.column_type, mariadb);
    while !cursor.is_empty() {
        let field = cursor.u8("a field of a table map")?;
        let mut value = Cursor::new(cursor.packed_bytes("a field of a table map")?);
        let columns = &mut map.columns;
        match field {
            1 => signedness(&value, columns),
            2 => default_charset(&mut value, columns, is_character)?,
            3 => column_charsets(&mut value, columns, is_character)?,
            4 => {
                for column in columns.iter_mut() {
                    let name = value.packed_bytes("the name of a column")?;
                    column.name = Some(utf8(name, "the name of a column")?.to_owned());
                }
                value.end("the names of columns")?;
                map.has_names = true;
            }
            5 => labels(&mut value, columns, |kind| matches!(kind, ColumnType::Set { .. }))?,
            6 => labels(&mut value, columns, |kind| {
                matches!(kind, ColumnType::Enum { .. })
            })?,
            7 => numbers(
                &mut value,
                columns,
                |kind| matches!(kind, ColumnType::Geometry { .. }),
                |column, number| {
                    column.geometry_type = Some(number);
                },
            )?,
            8 | 9 => map.primary_key = primary_key(&mut value, columns.len(), field == 9)?,
            10 => default_charset(&mut value, columns, |column| column.column_type.has_labels())?,
            11 => column_charsets(&mut value, columns, |column| column.column_type.has_labels())?,
            12 => {
                for (index, column) in columns.iter_mut().enumerate() {
                    column.visible = bit(value.rest(), index);
                }
            }
            13 => numbers(
                &mut value,
                columns,
                |kind| matches!(kind, ColumnType::Vector { .. }),
                |column, number| {
                    column.vector_dimensions = Some(number);
                },
            )?,
            // What later servers add has its length, and is not needed to read rows.
            _ => {}
        }
    }
    Ok(())
}

/// Whether a server says a character set of such columns beside those of texts: MySQL's VECTOR and MariaDB's GEOMETRY are kinds of BLOB.
fn says_charset(column_type: ColumnType, mariadb: bool) -> bool {
    match column_type {
        ColumnType::Vector { .. } => !mariadb,
        ColumnType::Geometry { .. } => mariadb,
        _ => column_type.is_character(),
    }
}

/// The most significant bit first.
fn bit(bytes: &[u8], index: usize) -> bool {
    bytes
        .get(index / 8)
        .is_some_and(|byte| byte & 0x80 >> (index % 8) != 0)
}

/// Servers count YEAR among the numbers, but do not agree on its sign, which it does not have.
fn signedness(value: &Cursor<'_>, columns: &mut [Column]) {
    let counted = columns
        .iter_mut()
        .filter(|column| column.column_type.is_numeric() || column.column_type == ColumnType::Year);
    for (index, column) in counted.enumerate() {
        if column.column_type.is_numeric() {
            column.unsigned = Some(bit(value.rest(), index));
        }
    }
}

fn collation(value: u64) -> Result<Collation, Damage> {
    let rule = "beyond the numbers of collations";
    Collation::try_from(value).map_err(|_| Damage::Invalid {
        what: "a collation",
        value,
        rule,
    })
}

/// One collation for all, and the index among these columns with the collation of each that differs.
fn default_charset(
    value: &mut Cursor<'_>,
    columns: &mut [Column],
    applies: impl Fn(&Column) -> bool,
) -> Result<(), Damage> {
    let default = collation(value.packed("a default collation")?)?;
    let mut own: Vec<&mut Column> = columns.iter_mut().filter(|column| applies(column)).collect();
    for column in &mut own {
        column.collation = default;
    }
    while !value.is_empty() {
        let index = value.packed("the column of a collation")?;
        let collation = collation(value.packed("a collation")?)?;
        let rule = "more than there are";
        let column = usize::try_from(index).ok().and_then(|index| own.get_mut(index));
        column
            .ok_or(Damage::Invalid {
                what: "the column of a collation",
                value: index,
                rule,
            })?
            .collation = collation;
    }
    Ok(())
}

fn column_charsets(
    value: &mut Cursor<'_>,
    columns: &mut [Column],
    applies: impl Fn(&Column) -> bool,
) -> Result<(), Damage> {
    for column in columns.iter_mut().filter(|column| applies(column)) {
        column.collation = collation(value.packed("a collation")?)?;
    }
    value.end("the collations of columns")
}

fn labels(
    value: &mut Cursor<'_>,
    columns: &mut [Column],
    applies: impl Fn(ColumnType) -> bool,
) -> Result<(), Damage> {
    for column in columns.iter_mut().filter(|column| applies(column.column_type)) {
        let count = value.packed_length("the number of labels")?;
        if count > LABELS_MAX {
            let rule = "more than a column can have";
            return Err(Damage::Invalid {
                what: "the number of labels",
                value: count as u64,
                rule,
            });
        }
        // Each takes a byte at least, which bounds what damage can have reserved.
        column.labels.reserve(count.min(value.left()));
        for _ in 0..count {
            column.labels.push(value.packed_bytes("a label")?.to_vec());
        }
    }
    value.end("the labels of columns")
}

fn numbers(
    value: &mut Cursor<'_>,
    columns: &mut [Column],
    applies: impl Fn(ColumnType) -> bool,
    set: impl Fn(&mut Column, u64),
) -> Result<(), Damage> {
    for column in columns.iter_mut().filter(|column| applies(column.column_type)) {
        set(column, value.packed("a column's number")?);
    }
    value.end("the numbers of columns")
}

fn primary_key(value: &mut Cursor<'_>, columns: usize, prefixed: bool) -> Result<Vec<KeyPart>, Damage> {
    let mut key = Vec::new();
    while !value.is_empty() {
        let column = value.packed("a column of the primary key")?;
        let prefix = if prefixed {
            value.packed("a prefix of the primary key")?
        } else {
            0
        };
        if column >= columns as u64 {
            let rule = "more than there are";
            return Err(Damage::Invalid {
                what: "a column of the primary key",
                value: column,
                rule,
            });
        }
        key.push(KeyPart {
            column: column as usize,
            prefix,
        });
    }
    Ok(key)
}

/// Whether bytes of a column are no text.
pub(crate) fn is_binary(column: &Column) -> bool {
    column.collation == BINARY
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A YEAR before an INT made that one unsigned.
    #[test]
    fn a_year_counts_among_numbers() {
        // Of MySQL 9.7: a INT, y YEAR, b INT, c INT UNSIGNED, d INT.
        let body = b"s\0\0\0\0\0\x01\0\x01p\0\x02y1\0\x05\x03\r\x03\x03\x03\0\x1f\x01\x01P\x04\n\x01a\x01y\x01b\x01c\x01d\x0c\x01\xf8";
        let map = TableMap::read(body, 6, false).unwrap();
        let unsigned: Vec<_> = map.columns.iter().map(|column| column.unsigned).collect();
        assert_eq!(
            unsigned,
            [Some(false), None, Some(false), Some(true), Some(false)]
        );
    }

    /// A VECTOR between texts moved the character sets of those behind it, or made the table one that cannot be read.
    #[test]
    fn a_vector_has_a_character_set_like_texts() {
        // Of MySQL 9.7: a VARCHAR latin1, ve VECTOR(3), b VARCHAR utf8mb4, c VARBINARY, d TEXT latin2.
        let body = b"p\0\0\0\0\0\x01\0\x01p\0\x02v1\0\x05\x0f\xf2\x0f\x0f\xfc\x08\x05\0\x04\x14\0\x04\0\x02\x1f\x03\x07\x08?\xfc\xff\0?\t\r\
            \x01\x03\x04\x0b\x01a\x02ve\x01b\x01c\x01d\x0c\x01\xf8";
        let map = TableMap::read(body, 6, false).unwrap();
        let collations: Vec<_> = map.columns.iter().map(|column| column.collation).collect();
        assert_eq!(collations, [8, 63, 255, 63, 9]);
    }

    /// So did a GEOMETRY of MariaDB.
    #[test]
    fn a_geometry_of_mariadb_has_a_character_set_like_texts() {
        // Of MariaDB 10.11: a VARCHAR latin1, g GEOMETRY, b VARCHAR latin2, p POINT, c VARCHAR utf8mb4.
        let body = b"\x16\0\0\0\0\0\x01\0\x01p\0\x02q1\0\x05\x0f\xff\x0f\xff\x0f\x08\x05\0\x04\x05\0\x04\x0c\0\x1f\x03\x05\x08\x3f\x09\x3f\x2d\
            \x07\x02\0\x01\x04\x0a\x01a\x01g\x01b\x01p\x01c";
        let map = TableMap::read(body, 6, true).unwrap();
        let collations: Vec<_> = map.columns.iter().map(|column| column.collation).collect();
        assert_eq!(collations, [8, 63, 9, 63, 45]);
    }
}
