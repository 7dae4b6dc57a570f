//! What `binlog_row_metadata` adds to a table map.
use super::Damage;
use super::column::ColumnType;
use super::cursor::{Cursor, utf8};
use super::table_map::{Column, KeyPart, TableMap};
use super::value::{BINARY, Collation};

/// Labels that a column can have.
const LABELS_MAX: usize = 65_535;

pub(crate) fn read(cursor: &mut Cursor<'_>, map: &mut TableMap, mariadb: bool) -> Result<(), Damage> {
    let is_character = move |column: &Column| column.column_type.is_character();
    while !cursor.is_empty() {
        let field = cursor.u8("a field of a table map")?;
        let mut value = Cursor::new(cursor.packed_bytes("a field of a table map")?);
        let columns = &mut map.columns;
        match field {
            1 => signedness(&value, columns, mariadb),
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

/// The most significant bit first.
fn bit(bytes: &[u8], index: usize) -> bool {
    bytes
        .get(index / 8)
        .is_some_and(|byte| byte & 0x80 >> (index % 8) != 0)
}

/// MariaDB counts YEAR among the numbers.
fn signedness(value: &Cursor<'_>, columns: &mut [Column], mariadb: bool) {
    let numeric = columns.iter_mut().filter(|column| {
        column.column_type.is_numeric() || mariadb && column.column_type == ColumnType::Year
    });
    for (index, column) in numeric.enumerate() {
        column.unsigned = Some(bit(value.rest(), index));
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
