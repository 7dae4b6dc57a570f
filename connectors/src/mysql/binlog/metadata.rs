//! What `binlog_row_metadata` adds to a table map.
use super::Damage;
use super::column::ColumnType;
use super::cursor::{Cursor, utf8};
use super::table_map::{Column, KeyPart, TableMap};
use super::value::{BINARY, Collation};

/// Labels that a column can have.
const LABELS_MAX: usize = 65_535;

pub(crate) fn read(cursor: &mut Cursor<'_>, map: &mut TableMap, mariadb: bool) -> Result<(), Damage> {
    // To MySQL a VECTOR is a text, to MariaDB a geometry is.
    let is_character = move |column: &Column| match column.column_type {
        ColumnType::Vector { .. } => true,
        ColumnType::Geometry { .. } => mariadb,
        kind => kind.is_character(),
    };
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

/// The most significant bit first.
fn bit(bytes: &[u8], index: usize) -> bool {
    bytes
        .get(index / 8)
        .is_some_and(|byte| byte & 0x80 >> (index % 8) != 0)
}

fn signedness(value: &Cursor<'_>, columns: &mut [Column]) {
    let numeric = columns
        .iter_mut()
        .filter(|column| column.column_type.is_numeric());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn map(hex: &str, mariadb: bool) -> TableMap {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        TableMap::read(&bytes, 6, mariadb).unwrap()
    }

    /// `(v int, k year, w int unsigned, x int)`, as servers logged it: YEAR has a bit of its own.
    #[test]
    fn years_are_numbers() {
        let mysql = "6f000000000001000168000279320004030d0303000f01016004080176016b017701780c01f0";
        let mariadb = "19000000000001000168000279320004030d0303000f01016004080176016b01770178";
        for map in [map(mysql, false), map(mariadb, true)] {
            let unsigned: Vec<_> = map.columns.iter().map(|column| column.unsigned).collect();
            assert_eq!(unsigned, [Some(false), Some(true), Some(true), Some(false)]);
        }
    }

    /// Texts between all that a server may count among them, each of its own character set.
    #[test]
    fn collations_are_those_of_their_columns() {
        let collations = |map: &TableMap, names: &[&str]| -> Vec<Collation> {
            let column = |name: &&str| {
                let mut columns = map.columns.iter();
                columns.find(|its| its.name.as_deref() == Some(*name)).unwrap()
            };
            names.iter().map(|name| column(name).collation).collect()
        };
        // latin1, an enum, a vector, utf8mb4, JSON, varbinary, bits, latin2, numbers.
        let mysql = "7100000000000100016800027934000b0ffef20ff50f100f0304030f0500f7010414000405000300050004ff070101c00307083ffc\
                     ff003f090d01020418016101650276760162016a0163026269016401690166017a0a010806030101780c02ffe0";
        let map_of_mysql = map(&mysql.replace(' ', ""), false);
        assert_eq!(
            collations(&map_of_mysql, &["a", "e", "b", "c", "d"]),
            [8, 8, 255, 63, 9]
        );
        // latin1, a geometry, utf8mb4, varbinary, latin2.
        let mariadb = "1a0000000000010001680002793300050fff0f0f0f090500041400050005001f0305083f2d3f09070100040a01610167016201\
                       630164";
        let map_of_mariadb = map(&mariadb.replace(' ', ""), true);
        assert_eq!(collations(&map_of_mariadb, &["a", "b", "c", "d"]), [8, 45, 63, 9]);
        // latin1, an enum, uuid, inet4, inet6, utf8mb4, JSON, varbinary, bits, latin2, numbers, a time, compressed latin2, utf8mb4.
        let mariadb = "1b0000000000010001680002793400100ffefefefe0ffc0f100f030403138d0f190500f701fe10fe04fe101400040500030005\
                       00040306001000ffff0101c0030a083f3f3f2d2e3f09092d0425016101650276760269340269360162016a0163026269016401\
                       690166017a0174026363016b0a01080603010178";
        let map_of_mariadb = map(&mariadb.replace(' ', ""), true);
        assert_eq!(
            collations(&map_of_mariadb, &["a", "e", "b", "c", "d", "cc", "k"]),
            [8, 8, 45, 63, 9, 9, 45]
        );
    }
}
