//! Values of rows as they stand in events: borrowed, not converted.
use super::decimal::Decimal;
use super::temporal::{Date, DateTime, Time};

/// The number of a collation, which says the character set, too; 0 where the log does not say it.
pub type Collation = u16;

/// The collation of bytes that are no text.
pub const BINARY: Collation = 63;

/// One value of a row. What refers to bytes refers to the event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// The image does not hold this column (`binlog_row_image` is not FULL). It keeps its value in an update, and
    /// has its default in an inserted row; before a change, it may have any.
    Absent,
    /// NULL.
    Null,
    /// TINYINT to BIGINT.
    Int(i64),
    /// TINYINT UNSIGNED to BIGINT UNSIGNED.
    UInt(u64),
    /// FLOAT.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// DECIMAL.
    Decimal(Decimal<'a>),
    /// BIT(n).
    Bit(u64),
    /// YEAR; 0 is 0000.
    Year(u16),
    /// DATE; parts may be zero.
    Date(Date),
    /// TIME.
    Time(Time),
    /// DATETIME; parts may be zero.
    DateTime(DateTime),
    /// TIMESTAMP: time since 1970 in UTC; zero seconds are MySQL's zero date `0000-00-00 00:00:00`.
    Timestamp {
        /// Whole seconds.
        seconds: u32,
        /// Microseconds beside them.
        micros: u32,
        /// Digits that the column keeps behind seconds.
        fraction: u8,
    },
    /// CHAR, VARCHAR and TEXT: bytes in the character set of the collation. With collation 0 also BINARY, VARBINARY and BLOB.
    Text {
        /// The bytes as stored.
        bytes: &'a [u8],
        /// What they are.
        collation: Collation,
    },
    /// VARBINARY and BLOB.
    Bytes(&'a [u8]),
    /// BINARY(n), of which the log leaves zeros at the end out.
    Binary {
        /// What the log holds.
        bytes: &'a [u8],
        /// The bytes of the value.
        length: u16,
    },
    /// ENUM, by its label's number from 1; 0 is the empty text that an invalid label became.
    Enum(u16),
    /// SET, a bit for each label.
    Set(u64),
    /// JSON of MySQL, binary ([`crate::mysql::json`]). Empty bytes are the value that `IGNORE` made of an invalid NULL.
    Json(&'a [u8]),
    /// JSON of MySQL by what changed to the value of the image before.
    JsonDiff(&'a [u8]),
    /// GEOMETRY and its kin: four bytes SRID, then WKB.
    Geometry(&'a [u8]),
    /// VECTOR: floats of four bytes.
    Vector(&'a [u8]),
    /// VARCHAR, VARBINARY, TEXT and BLOB of MariaDB's COMPRESSED columns, as stored ([`super::mariadb::inflate`]).
    Compressed {
        /// The bytes as stored.
        bytes: &'a [u8],
        /// What the decompressed bytes are.
        collation: Collation,
    },
}
