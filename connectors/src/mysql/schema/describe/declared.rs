//! Types as servers write them, and how values of them stand in logs.
use std::iter::Peekable;
use std::str::Chars;

use crate::mysql::binlog::{Collation, Column, ColumnType};
use crate::mysql::client::server::Flavour;

/// The collation of bytes.
const BINARY: Collation = 63;

/// utf8mb4_general_ci, the collation in which labels come from servers.
const UTF8: Collation = 45;

/// A row of `information_schema.columns`, as far as it says how values stand in logs.
#[derive(Debug, Clone)]
pub(in crate::mysql::schema) struct Declared<'a> {
    /// `DATA_TYPE`.
    pub data_type: &'a str,
    /// `COLUMN_TYPE`.
    pub column_type: &'a str,
    /// `CHARACTER_OCTET_LENGTH`.
    pub octets: Option<u64>,
    /// `CHARACTER_SET_NAME`.
    pub charset: Option<&'a str>,
    /// The number of `COLLATION_NAME`.
    pub collation: Option<Collation>,
    pub nullable: bool,
    pub visible: bool,
    pub flavour: Flavour,
}

impl Declared<'_> {
    /// How its values stand in logs; nothing for a type that is not known.
    pub(in crate::mysql::schema) fn column(&self, name: &str) -> Option<Column> {
        let labels = match self.data_type {
            "enum" | "set" => labels(arguments(self.column_type)?)?,
            _ => Vec::new(),
        };
        let column_type = self.log_type(labels.len())?;
        let mut column = Column::new(column_type);
        column.name = Some(name.to_owned());
        column.nullable = self.nullable;
        column.visible = self.visible;
        column.unsigned = column_type.is_numeric().then(|| self.is_unsigned());
        column.collation = self.collation_in_log(column_type, &labels);
        column.labels = labels.into_iter().map(String::into_bytes).collect();
        column.geometry_type = match column_type {
            ColumnType::Geometry { .. } => Some(geometry(self.data_type)?),
            _ => None,
        };
        column.vector_dimensions = match column_type {
            ColumnType::Vector { .. } => Some(self.number(0)?),
            _ => None,
        };
        Some(column)
    }

    fn log_type(&self, labels: usize) -> Option<ColumnType> {
        if let Some(old) = self.old_time() {
            return Some(old);
        }
        let compressed = self.column_type.contains("COMPRESSED");
        Some(match self.data_type {
            "tinyint" => ColumnType::Tiny,
            "smallint" => ColumnType::Short,
            "mediumint" => ColumnType::Int24,
            "int" | "integer" => ColumnType::Long,
            "bigint" => ColumnType::LongLong,
            "float" => ColumnType::Float,
            "double" | "real" => ColumnType::Double,
            "decimal" | "numeric" => ColumnType::Decimal {
                precision: self.small(0)?,
                scale: self.small(1).unwrap_or(0),
            },
            "bit" => ColumnType::Bit {
                bits: u16::from(self.small(0).unwrap_or(1)),
            },
            "year" => ColumnType::Year,
            "date" => ColumnType::Date,
            "time" => ColumnType::Time {
                fraction: self.small(0).unwrap_or(0),
            },
            "datetime" => ColumnType::DateTime {
                fraction: self.small(0).unwrap_or(0),
            },
            "timestamp" => ColumnType::Timestamp {
                fraction: self.small(0).unwrap_or(0),
            },
            "char" | "binary" => ColumnType::Char {
                length_max: self.octets()?,
            },
            // One byte stands before each value, and says how it is compressed.
            "varchar" | "varbinary" if compressed => ColumnType::CompressedVarchar {
                length_max: self.octets()?.checked_add(1)?,
            },
            "varchar" | "varbinary" => ColumnType::Varchar {
                length_max: self.octets()?,
            },
            "enum" => ColumnType::Enum {
                bytes: if labels < 256 { 1 } else { 2 },
            },
            "set" => ColumnType::Set {
                bytes: match labels.div_ceil(8) {
                    bytes @ 0..=4 => bytes.max(1) as u8,
                    _ => 8,
                },
            },
            "json" => ColumnType::Json { length_bytes: 4 },
            "vector" if self.flavour == Flavour::MySql => ColumnType::Vector { length_bytes: 4 },
            "vector" => ColumnType::Varchar {
                length_max: u16::try_from(self.number(0)?.checked_mul(4)?).ok()?,
            },
            "uuid" | "inet6" => ColumnType::Char { length_max: 16 },
            "inet4" => ColumnType::Char { length_max: 4 },
            other if geometry(other).is_some() => ColumnType::Geometry { length_bytes: 4 },
            other => {
                let length_bytes = blob_length(other)?;
                match compressed {
                    true => ColumnType::CompressedBlob { length_bytes },
                    false => ColumnType::Blob { length_bytes },
                }
            }
        })
    }

    /// Columns from before MySQL 5.6.4, and those that MariaDB made with `mysql56_temporal_format=OFF`.
    fn old_time(&self) -> Option<ColumnType> {
        let old = ["mariadb-5.3", "5.5 binary format"];
        if !old.iter().any(|old| self.column_type.contains(old)) {
            return None;
        }
        match self.data_type {
            "time" => Some(ColumnType::OldTime),
            "datetime" => Some(ColumnType::OldDateTime),
            "timestamp" => Some(ColumnType::OldTimestamp),
            _ => None,
        }
    }

    fn is_unsigned(&self) -> bool {
        let behind = self.column_type.rsplit(')').next().unwrap_or_default();
        behind.contains("unsigned") || behind.contains("zerofill")
    }

    fn collation_in_log(&self, column_type: ColumnType, labels: &[String]) -> Collation {
        if column_type.has_labels() {
            let same = match self.charset {
                Some("utf8" | "utf8mb3" | "utf8mb4") => true,
                Some("ucs2" | "utf16" | "utf16le" | "utf32" | "swe7") | None => false,
                Some(_) => labels.iter().all(|label| label.is_ascii()),
            };
            return match self.collation {
                Some(collation) if same => collation,
                _ => UTF8,
            };
        }
        match column_type {
            // Kinds of BLOB.
            ColumnType::Vector { .. } => BINARY,
            ColumnType::Geometry { .. } if self.flavour == Flavour::MariaDb => BINARY,
            // A collation without a number here is none that could be read.
            _ if column_type.is_character() && self.charset.is_some() => self.collation.unwrap_or(0),
            _ if column_type.is_character() => BINARY,
            _ => 0,
        }
    }

    fn octets(&self) -> Option<u16> {
        self.octets.and_then(|octets| u16::try_from(octets).ok())
    }

    fn number(&self, index: usize) -> Option<u64> {
        let argument = arguments(self.column_type)?.split(',').nth(index)?;
        argument.trim().parse().ok()
    }

    fn small(&self, index: usize) -> Option<u8> {
        self.number(index).and_then(|number| u8::try_from(number).ok())
    }
}

fn blob_length(data_type: &str) -> Option<u8> {
    match data_type {
        "tinyblob" | "tinytext" => Some(1),
        "blob" | "text" => Some(2),
        "mediumblob" | "mediumtext" => Some(3),
        "longblob" | "longtext" => Some(4),
        _ => None,
    }
}

fn geometry(data_type: &str) -> Option<u64> {
    Some(match data_type {
        "geometry" => 0,
        "point" => 1,
        "linestring" => 2,
        "polygon" => 3,
        "multipoint" => 4,
        "multilinestring" => 5,
        "multipolygon" => 6,
        "geomcollection" | "geometrycollection" => 7,
        _ => return None,
    })
}

/// What is between the first parenthesis and the last.
fn arguments(column_type: &str) -> Option<&str> {
    let open = column_type.find('(')?;
    let close = column_type.rfind(')')?;
    column_type.get(open + 1..close)
}

/// The labels of ENUM and SET.
fn labels(list: &str) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    let mut chars = list.chars().peekable();
    loop {
        labels.push(quoted(&mut chars)?);
        match chars.next() {
            None => return Some(labels),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// A text between quotes. Quotes within are doubled; some characters stand behind a backslash.
pub(super) fn quoted(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    if chars.next()? != '\'' {
        return None;
    }
    let mut text = String::new();
    loop {
        match chars.next()? {
            '\'' if chars.peek() == Some(&'\'') => {
                chars.next();
                text.push('\'');
            }
            '\'' => return Some(text),
            '\\' => text.push(match chars.next()? {
                '0' => '\0',
                'n' => '\n',
                'r' => '\r',
                other => other,
            }),
            char => text.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared<'a>(data_type: &'a str, column_type: &'a str) -> Declared<'a> {
        Declared {
            data_type,
            column_type,
            octets: None,
            charset: Some("latin1"),
            collation: Some(8),
            nullable: true,
            visible: true,
            flavour: Flavour::MySql,
        }
    }

    #[test]
    fn labels_are_read_as_servers_write_them() {
        let table: [(&str, Option<Vec<&str>>); 6] = [
            ("'a','b'", Some(vec!["a", "b"])),
            (r"'it''s','(x)','a,b'", Some(vec!["it's", "(x)", "a,b"])),
            (
                r"'back\\slash','line\nend',''",
                Some(vec!["back\\slash", "line\nend", ""]),
            ),
            ("'open", None),
            ("a", None),
            ("'a';'b'", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|labels| labels.into_iter().map(str::to_owned).collect());
            assert_eq!(labels(text), expected, "{text}");
        }
    }

    #[test]
    fn labels_that_are_no_ascii_are_utf8_and_say_so() {
        let ascii = declared("enum", "enum('a')").column("x").unwrap();
        assert_eq!(ascii.collation, 8);
        let other = declared("enum", "enum('ü')").column("x").unwrap();
        assert_eq!((other.collation, &other.labels[0][..]), (UTF8, "ü".as_bytes()));
    }

    #[test]
    fn types_that_are_not_known_are_none() {
        assert!(declared("xmltype", "xmltype").column("x").is_none());
        assert!(declared("decimal", "decimal").column("x").is_none());
    }
}
