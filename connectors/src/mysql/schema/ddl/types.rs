//! Types of columns as statements name them.
use super::collations::CharsetWords;
use super::error::DdlError;
use super::reader::Reader;
use crate::mysql::client::server::Flavour;

/// Bit of `REAL_AS_FLOAT` in `sql_mode`.
const REAL_AS_FLOAT: u64 = 1;

/// What a type is, whichever of its names it is called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// Bytes of it: TINYINT to BIGINT.
    Integer(u8),
    Float,
    Double,
    Decimal,
    Bit,
    Year,
    Date,
    Time,
    DateTime,
    Timestamp,
    Char,
    Varchar,
    /// BLOB and TEXT by the bytes of their length; 0 where the number in parentheses says it.
    Text(u8),
    Enum,
    Set,
    Json,
    Geometry(&'static str),
    Vector,
    /// MariaDB's types that have one name: `uuid`, `inet4`, `inet6`.
    Own(&'static str),
}

/// A type with its numbers, and what changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataType {
    pub(super) base: Base,
    /// The numbers in parentheses.
    pub(super) arguments: Vec<u64>,
    /// The labels of ENUM and SET.
    pub(super) labels: Vec<String>,
    pub(super) unsigned: bool,
    pub(super) zerofill: bool,
    /// Of bytes, not of characters.
    pub(super) bytes: bool,
    pub(super) compressed: bool,
    /// BIGINT UNSIGNED NOT NULL AUTO_INCREMENT UNIQUE.
    pub(super) serial: bool,
    pub(super) charset: CharsetWords,
}

impl DataType {
    fn new(base: Base) -> Self {
        Self {
            base,
            arguments: Vec::new(),
            labels: Vec::new(),
            unsigned: false,
            zerofill: false,
            bytes: false,
            compressed: false,
            serial: false,
            charset: CharsetWords::default(),
        }
    }

    /// Reads a type with what belongs to it.
    pub(super) fn read(reader: &mut Reader<'_>, flavour: Flavour, sql_mode: u64) -> Result<Self, DdlError> {
        let mut own = Self::named(reader, flavour, sql_mode)?;
        if matches!(own.base, Base::Enum | Base::Set) {
            own.read_labels(reader)?;
        } else if reader.take_sign('(') {
            own.arguments.push(reader.number()?);
            while reader.take_sign(',') {
                own.arguments.push(reader.number()?);
            }
            reader.expect_sign(')')?;
        }
        own.read_changes(reader)?;
        own.settle()
    }

    fn named(reader: &mut Reader<'_>, flavour: Flavour, sql_mode: u64) -> Result<Self, DdlError> {
        let word = reader.word().ok_or_else(|| reader.unclear())?;
        let unclear = reader.unclear();
        reader.skip();
        if let Some(own) = Self::text_named(&word, reader) {
            return Ok(own);
        }
        let own = Self::new;
        Ok(match word.as_str() {
            "TINYINT" | "INT1" => own(Base::Integer(1)),
            "SMALLINT" | "INT2" => own(Base::Integer(2)),
            "MEDIUMINT" | "INT3" | "MIDDLEINT" => own(Base::Integer(3)),
            "INT" | "INTEGER" | "INT4" => own(Base::Integer(4)),
            "BIGINT" | "INT8" => own(Base::Integer(8)),
            "BOOL" | "BOOLEAN" => Self {
                arguments: vec![1],
                ..own(Base::Integer(1))
            },
            "SERIAL" => Self {
                unsigned: true,
                serial: true,
                ..own(Base::Integer(8))
            },
            "FLOAT" | "FLOAT4" => own(Base::Float),
            "REAL" if sql_mode & REAL_AS_FLOAT != 0 => own(Base::Float),
            "DOUBLE" => {
                reader.take(&["PRECISION"]);
                own(Base::Double)
            }
            "REAL" | "FLOAT8" => own(Base::Double),
            "DECIMAL" | "DEC" | "NUMERIC" | "FIXED" => own(Base::Decimal),
            "BIT" => own(Base::Bit),
            "YEAR" => own(Base::Year),
            "DATE" => own(Base::Date),
            "TIME" => own(Base::Time),
            "DATETIME" => own(Base::DateTime),
            "TIMESTAMP" => own(Base::Timestamp),
            "ENUM" => own(Base::Enum),
            "SET" => own(Base::Set),
            "JSON" if flavour == Flavour::MySql => own(Base::Json),
            "JSON" => Self {
                charset: CharsetWords {
                    collation: Some("utf8mb4_bin".to_owned()),
                    ..CharsetWords::default()
                },
                ..own(Base::Text(4))
            },
            "VECTOR" => own(Base::Vector),
            "UUID" if flavour == Flavour::MariaDb => own(Base::Own("uuid")),
            "INET4" if flavour == Flavour::MariaDb => own(Base::Own("inet4")),
            "INET6" if flavour == Flavour::MariaDb => own(Base::Own("inet6")),
            word => own(Base::Geometry(shape(word).ok_or(unclear)?)),
        })
    }

    /// Characters and bytes, whose names may be several words.
    fn text_named(word: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = |base| Self::new(base);
        let bytes = |base| Self {
            bytes: true,
            ..Self::new(base)
        };
        let national = |base| Self {
            charset: CharsetWords {
                charset: Some("utf8".to_owned()),
                ..CharsetWords::default()
            },
            ..Self::new(base)
        };
        Some(match word {
            "CHAR" | "CHARACTER" if reader.take(&["VARYING"]) => text(Base::Varchar),
            "CHAR" | "CHARACTER" => text(Base::Char),
            "VARCHAR" | "VARCHARACTER" => text(Base::Varchar),
            "NATIONAL" => match reader.take_any(&["VARCHAR", "VARCHARACTER"]) {
                true => national(Base::Varchar),
                false => {
                    if !reader.take_any(&["CHAR", "CHARACTER"]) {
                        return None;
                    }
                    national(match reader.take(&["VARYING"]) {
                        true => Base::Varchar,
                        false => Base::Char,
                    })
                }
            },
            "NCHAR" if reader.take_any(&["VARCHAR", "VARCHARACTER", "VARYING"]) => national(Base::Varchar),
            "NCHAR" => national(Base::Char),
            "NVARCHAR" => national(Base::Varchar),
            "BINARY" => bytes(Base::Char),
            "VARBINARY" => bytes(Base::Varchar),
            "LONG" if reader.take(&["VARBINARY"]) => bytes(Base::Text(3)),
            "LONG" => {
                if reader.take_any(&["CHAR", "CHARACTER"]) {
                    reader.take(&["VARYING"]);
                } else {
                    reader.take_any(&["VARCHAR", "VARCHARACTER"]);
                }
                text(Base::Text(3))
            }
            "TINYTEXT" => text(Base::Text(1)),
            "TEXT" => text(Base::Text(0)),
            "MEDIUMTEXT" => text(Base::Text(3)),
            "LONGTEXT" => text(Base::Text(4)),
            "TINYBLOB" => bytes(Base::Text(1)),
            "BLOB" => bytes(Base::Text(0)),
            "MEDIUMBLOB" => bytes(Base::Text(3)),
            "LONGBLOB" => bytes(Base::Text(4)),
            _ => return None,
        })
    }

    fn read_labels(&mut self, reader: &mut Reader<'_>) -> Result<(), DdlError> {
        reader.expect_sign('(')?;
        loop {
            // Servers take spaces off their ends.
            let label = reader.text()?;
            self.labels.push(label.trim_end_matches(' ').to_owned());
            if !reader.take_sign(',') {
                return reader.expect_sign(')');
            }
        }
    }

    /// Words behind the type that belong to it.
    fn read_changes(&mut self, reader: &mut Reader<'_>) -> Result<(), DdlError> {
        let is_text = matches!(
            self.base,
            Base::Char | Base::Varchar | Base::Text(_) | Base::Enum | Base::Set
        );
        loop {
            if reader.take(&["UNSIGNED"]) {
                self.unsigned = true;
            } else if reader.take(&["ZEROFILL"]) {
                (self.unsigned, self.zerofill) = (true, true);
            } else if reader.take(&["SIGNED"]) {
            } else if is_text && reader.take(&["COMPRESSED"]) {
                if reader.take_sign('=') {
                    reader.skip_one()?;
                }
                self.compressed = true;
            } else if !is_text || !self.read_charset(reader)? {
                return Ok(());
            }
        }
    }

    /// Words of a character set; whether there were any.
    pub(super) fn read_charset(&mut self, reader: &mut Reader<'_>) -> Result<bool, DdlError> {
        let named = |name: &str| Some(name.to_owned());
        if reader.take(&["CHARACTER", "SET"]) || reader.take(&["CHAR", "SET"]) || reader.take(&["CHARSET"]) {
            self.charset.charset = Some(reader.name_or_text()?);
        } else if reader.take(&["COLLATE"]) {
            self.charset.collation = Some(reader.name_or_text()?);
        } else if reader.take(&["ASCII"]) {
            self.charset.charset = named("latin1");
        } else if reader.take(&["UNICODE"]) {
            self.charset.charset = named("ucs2");
        } else if reader.take(&["BYTE"]) {
            self.charset.charset = named("binary");
        } else if reader.take(&["BINARY"]) {
            self.charset.binary = true;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// What other ways of saying it come to.
    fn settle(mut self) -> Result<Self, DdlError> {
        match (self.base, self.arguments.as_slice()) {
            (Base::Float, [digits]) => {
                if *digits > 24 {
                    self.base = Base::Double;
                }
                self.arguments.clear();
            }
            (Base::Decimal, [] | [0]) => self.arguments = vec![10, 0],
            (Base::Decimal, [digits]) => self.arguments = vec![*digits, 0],
            (Base::Bit | Base::Char, []) => self.arguments = vec![1],
            (Base::Varchar, []) => return Err(DdlError::Type("a VARCHAR without a length".to_owned())),
            (Base::Vector, []) => self.arguments = vec![2048],
            // Years of two digits are none any more.
            (Base::Year, _) | (Base::Text(1..), _) => self.arguments.clear(),
            _ => {}
        }
        Ok(self)
    }

    /// Bytes from its own words or those of its column: `CHARACTER SET binary`.
    pub(super) fn becomes_bytes(&mut self) {
        if matches!(self.base, Base::Char | Base::Varchar | Base::Text(_)) {
            self.bytes = true;
        }
    }
}

fn shape(word: &str) -> Option<&'static str> {
    Some(match word {
        "GEOMETRY" => "geometry",
        "POINT" => "point",
        "LINESTRING" => "linestring",
        "POLYGON" => "polygon",
        "MULTIPOINT" => "multipoint",
        "MULTILINESTRING" => "multilinestring",
        "MULTIPOLYGON" => "multipolygon",
        "GEOMETRYCOLLECTION" | "GEOMCOLLECTION" => "geometrycollection",
        _ => return None,
    })
}
