//! The types of columns, with what a table map says about each.
use serde::{Deserialize, Serialize};

use super::Damage;
use super::cursor::Cursor;
use super::decimal::Decimal;

/// How a column's values stand in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnType {
    /// TINYINT.
    Tiny,
    /// SMALLINT.
    Short,
    /// MEDIUMINT.
    Int24,
    /// INT.
    Long,
    /// BIGINT.
    LongLong,
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
    /// DECIMAL.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// BIT.
    Bit {
        /// How many.
        bits: u16,
    },
    /// YEAR.
    Year,
    /// DATE.
    Date,
    /// TIME with so many digits behind seconds.
    Time {
        /// Digits behind seconds.
        fraction: u8,
    },
    /// DATETIME.
    DateTime {
        /// Digits behind seconds.
        fraction: u8,
    },
    /// TIMESTAMP.
    Timestamp {
        /// Digits behind seconds.
        fraction: u8,
    },
    /// TIME as before MySQL 5.6.4.
    OldTime,
    /// DATETIME as before MySQL 5.6.4.
    OldDateTime,
    /// TIMESTAMP as before MySQL 5.6.4.
    OldTimestamp,
    /// VARCHAR and VARBINARY.
    Varchar {
        /// The most bytes of a value.
        length_max: u16,
    },
    /// CHAR and BINARY.
    Char {
        /// The most bytes of a value; those of every value of BINARY.
        length_max: u16,
    },
    /// TEXT and BLOB of every size.
    Blob {
        /// Bytes of a value's length: 1 (TINY) to 4 (LONG).
        length_bytes: u8,
    },
    /// ENUM.
    Enum {
        /// Bytes of a value.
        bytes: u8,
    },
    /// SET.
    Set {
        /// Bytes of a value.
        bytes: u8,
    },
    /// JSON of MySQL.
    Json {
        /// Bytes of a value's length.
        length_bytes: u8,
    },
    /// GEOMETRY and its kin.
    Geometry {
        /// Bytes of a value's length.
        length_bytes: u8,
    },
    /// VECTOR.
    Vector {
        /// Bytes of a value's length.
        length_bytes: u8,
    },
    /// The hidden column of an index over a JSON array; its values are JSON.
    TypedArray,
    /// VARCHAR and VARBINARY COMPRESSED of MariaDB.
    CompressedVarchar {
        /// The most bytes of a value.
        length_max: u16,
    },
    /// TEXT and BLOB COMPRESSED of MariaDB.
    CompressedBlob {
        /// Bytes of a value's length.
        length_bytes: u8,
    },
}

const ENUM: u8 = 247;
const SET: u8 = 248;
const STRING: u8 = 254;

fn fraction(metadata: &mut Cursor<'_>) -> Result<u8, Damage> {
    match metadata.u8("the digits behind seconds")? {
        digits @ 0..=6 => Ok(digits),
        digits => {
            let rule = "more than 6";
            Err(Damage::Invalid {
                what: "the digits behind seconds",
                value: u64::from(digits),
                rule,
            })
        }
    }
}

fn bytes_of_length(metadata: &mut Cursor<'_>) -> Result<u8, Damage> {
    match metadata.u8("the bytes of a length")? {
        bytes @ 1..=4 => Ok(bytes),
        bytes => {
            let rule = "not from 1 to 4";
            Err(Damage::Invalid {
                what: "the bytes of a length",
                value: u64::from(bytes),
                rule,
            })
        }
    }
}

impl ColumnType {
    /// A type's number and what `metadata` holds of it.
    pub(crate) fn read(code: u8, metadata: &mut Cursor<'_>) -> Result<Self, Damage> {
        Ok(match code {
            1 | 244 => Self::Tiny,
            2 => Self::Short,
            3 => Self::Long,
            4 => metadata.u8("a float's size").map(|_| Self::Float)?,
            5 => metadata.u8("a double's size").map(|_| Self::Double)?,
            7 => Self::OldTimestamp,
            8 => Self::LongLong,
            9 => Self::Int24,
            10 | 14 => Self::Date,
            11 => Self::OldTime,
            12 => Self::OldDateTime,
            13 => Self::Year,
            15 | 253 => Self::Varchar {
                length_max: metadata.u16("the length of a VARCHAR")?,
            },
            16 => Self::bit(metadata)?,
            17 => Self::Timestamp {
                fraction: fraction(metadata)?,
            },
            18 => Self::DateTime {
                fraction: fraction(metadata)?,
            },
            19 => Self::Time {
                fraction: fraction(metadata)?,
            },
            20 => Self::typed_array(metadata)?,
            140 => Self::CompressedBlob {
                length_bytes: bytes_of_length(metadata)?,
            },
            141 => Self::CompressedVarchar {
                length_max: metadata.u16("the length of a VARCHAR")?,
            },
            242 => Self::Vector {
                length_bytes: bytes_of_length(metadata)?,
            },
            245 => Self::Json {
                length_bytes: bytes_of_length(metadata)?,
            },
            246 => {
                let [precision, scale] = metadata.array("precision and scale of a decimal")?;
                Decimal::length(precision, scale)?;
                Self::Decimal { precision, scale }
            }
            ENUM | SET | STRING => Self::string(metadata)?,
            249..=252 => Self::Blob {
                length_bytes: bytes_of_length(metadata)?,
            },
            255 => Self::Geometry {
                length_bytes: bytes_of_length(metadata)?,
            },
            0 => {
                return Err(Damage::Unsupported(
                    "a DECIMAL column from before MySQL 5.0; ALTER TABLE … FORCE makes it a current one",
                ));
            }
            _ => {
                let rule = "which no type of column has";
                return Err(Damage::Invalid {
                    what: "a column's type",
                    value: u64::from(code),
                    rule,
                });
            }
        })
    }

    fn bit(metadata: &mut Cursor<'_>) -> Result<Self, Damage> {
        let [odd, bytes] = metadata.array("the size of a BIT")?;
        let bits = u16::from(bytes) * 8 + u16::from(odd);
        if odd > 7 || bits == 0 || bits > 64 {
            return Err(Damage::Invalid {
                what: "the size of a BIT",
                value: u64::from(bits),
                rule: "not from 1 to 64",
            });
        }
        Ok(Self::Bit { bits })
    }

    /// CHAR, ENUM and SET are told apart here. CHAR longer than 255 bytes has two bits of its length in those of its type.
    fn string(metadata: &mut Cursor<'_>) -> Result<Self, Damage> {
        let [code, length] = metadata.array("the length of a CHAR")?;
        if matches!(code, ENUM | SET) {
            let most = if code == ENUM { 2 } else { 8 };
            if length == 0 || length > most {
                let rule = "which neither ENUM nor SET has";
                return Err(Damage::Invalid {
                    what: "the bytes of a value",
                    value: u64::from(length),
                    rule,
                });
            }
            return Ok(if code == ENUM {
                Self::Enum { bytes: length }
            } else {
                Self::Set { bytes: length }
            });
        }
        if code | 0x30 != STRING {
            let rule = "neither CHAR nor ENUM nor SET";
            return Err(Damage::Invalid {
                what: "a column's real type",
                value: u64::from(code),
                rule,
            });
        }
        Ok(Self::Char {
            length_max: u16::from((code & 0x30) ^ 0x30) << 4 | u16::from(length),
        })
    }

    fn typed_array(metadata: &mut Cursor<'_>) -> Result<Self, Damage> {
        // The elements' type, and what that has.
        match metadata.u8("the type of an array's elements")? {
            15 | 253 => metadata.take(3, "the length of an array's elements")?,
            246 | STRING | 16 => metadata.take(2, "the type of an array's elements")?,
            4 | 5 | 17..=19 | 242 | 245 | 249..=252 | 255 => {
                metadata.take(1, "the type of an array's elements")?
            }
            _ => &[],
        };
        Ok(Self::TypedArray)
    }

    /// Whether signedness is said of it.
    pub(crate) fn is_numeric(self) -> bool {
        matches!(
            self,
            Self::Tiny
                | Self::Short
                | Self::Int24
                | Self::Long
                | Self::LongLong
                | Self::Float
                | Self::Double
                | Self::Decimal { .. }
        )
    }

    /// Whether a character set is said of it, other than of the labels of ENUM and SET.
    pub(crate) fn is_character(self) -> bool {
        matches!(
            self,
            Self::Varchar { .. }
                | Self::Char { .. }
                | Self::Blob { .. }
                | Self::CompressedVarchar { .. }
                | Self::CompressedBlob { .. }
        )
    }

    pub(crate) fn has_labels(self) -> bool {
        matches!(self, Self::Enum { .. } | Self::Set { .. })
    }

    /// Whether updates may hold its changes only.
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Self::Json { .. })
    }
}
