//! The types of columns as the server writes them: `decimal(10,2) unsigned`.
use crate::mysql::binlog::{BINARY, ColumnType};
use crate::mysql::charset;
use crate::mysql::schema::Column;

/// A column's type, by the words of its declaration. What Debezium takes of statements comes from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    /// Its name with all that changes it, in capitals: `INT UNSIGNED`.
    pub(super) name: String,
    /// The first number in parentheses: digits, characters, fractions of a second.
    pub(super) length: Option<i32>,
    /// The second one.
    pub(super) scale: Option<i32>,
}

impl Declared {
    /// That of a column: as the server wrote it, or else as the log lets it be known.
    pub(super) fn of(column: &Column) -> Self {
        match &column.declared {
            Some(text) => Self::parse(text, column),
            None => Self::of_log(column),
        }
    }

    fn parse(text: &str, column: &Column) -> Self {
        let (base, rest) = text.split_once('(').unwrap_or((text, ""));
        let base = base.trim().to_ascii_uppercase();
        if base == "ENUM" || base == "SET" {
            return Self::labelled(&base, column);
        }
        let (arguments, behind) = rest.rsplit_once(')').unwrap_or(("", rest));
        let mut numbers = arguments.split(',').map(|number| number.trim().parse().ok());
        let (mut name, behind) = (base, behind.to_ascii_uppercase());
        // Words behind the numbers, such as UNSIGNED; a comment of the server's (`/* mariadb-5.3 */`) is none of them.
        for word in behind
            .split_ascii_whitespace()
            .take_while(|word| !word.starts_with("/*"))
        {
            if matches!(word, "UNSIGNED" | "ZEROFILL" | "SIGNED") {
                name.push(' ');
                name.push_str(word);
            }
        }
        // Without numbers the words stand in the base: `int unsigned`.
        if let Some(at) = name.find("/*") {
            name.truncate(at);
            name.truncate(name.trim_end().len());
        }
        Self {
            name,
            length: numbers.next().flatten(),
            scale: numbers.next().flatten(),
        }
    }

    /// ENUM and SET, whose length Debezium counts by the labels: one of them, or all with commas between.
    fn labelled(base: &str, column: &Column) -> Self {
        let labels = i32::try_from(column.log.labels.len()).unwrap_or(i32::MAX);
        let length = match base {
            "SET" => labels.saturating_mul(2).saturating_sub(1).max(0),
            _ => 1,
        };
        Self {
            name: base.to_owned(),
            length: Some(length),
            scale: None,
        }
    }

    fn of_log(column: &Column) -> Self {
        let log = &column.log;
        let sign = if log.unsigned == Some(true) {
            " UNSIGNED"
        } else {
            ""
        };
        let binary = log.collation == BINARY;
        let plain = |name: &str| (name.to_owned(), None, None);
        let signed = |name: &str| (format!("{name}{sign}"), None, None);
        let sized = |name: &str, length: i32| (name.to_owned(), Some(length), None);
        let of_seconds = |name: &str, fraction: u8| {
            let length = (fraction > 0).then_some(i32::from(fraction));
            (name.to_owned(), length, None)
        };
        let characters = |bytes: u16| i32::from(bytes / charset::bytes_max(log.collation));
        let (name, length, scale) = match log.column_type {
            ColumnType::Tiny => signed("TINYINT"),
            ColumnType::Short => signed("SMALLINT"),
            ColumnType::Int24 => signed("MEDIUMINT"),
            ColumnType::Long => signed("INT"),
            ColumnType::LongLong => signed("BIGINT"),
            ColumnType::Float => signed("FLOAT"),
            ColumnType::Double => signed("DOUBLE"),
            ColumnType::Decimal { precision, scale } => (
                format!("DECIMAL{sign}"),
                Some(i32::from(precision)),
                Some(i32::from(scale)),
            ),
            ColumnType::Bit { bits } => sized("BIT", i32::from(bits)),
            ColumnType::Year => plain("YEAR"),
            ColumnType::Date => plain("DATE"),
            ColumnType::Time { fraction } => of_seconds("TIME", fraction),
            ColumnType::DateTime { fraction } => of_seconds("DATETIME", fraction),
            ColumnType::Timestamp { fraction } => of_seconds("TIMESTAMP", fraction),
            ColumnType::OldTime => plain("TIME"),
            ColumnType::OldDateTime => plain("DATETIME"),
            ColumnType::OldTimestamp => plain("TIMESTAMP"),
            ColumnType::Varchar { length_max } | ColumnType::CompressedVarchar { length_max } if binary => {
                sized("VARBINARY", i32::from(length_max))
            }
            ColumnType::Varchar { length_max } | ColumnType::CompressedVarchar { length_max } => {
                sized("VARCHAR", characters(length_max))
            }
            ColumnType::Char { length_max } if binary => sized("BINARY", i32::from(length_max)),
            ColumnType::Char { length_max } => sized("CHAR", characters(length_max)),
            ColumnType::Blob { length_bytes } | ColumnType::CompressedBlob { length_bytes } => {
                let size = ["TINY", "", "MEDIUM", "LONG"][usize::from(length_bytes.clamp(1, 4)) - 1];
                plain(&format!("{size}{}", if binary { "BLOB" } else { "TEXT" }))
            }
            ColumnType::Enum { .. } => return Self::labelled("ENUM", column),
            ColumnType::Set { .. } => return Self::labelled("SET", column),
            ColumnType::Json { .. } | ColumnType::TypedArray => plain("JSON"),
            ColumnType::Geometry { .. } => plain(shape(log.geometry_type)),
            ColumnType::Vector { .. } => {
                let dimensions = log.vector_dimensions.and_then(|count| i32::try_from(count).ok());
                ("VECTOR".to_owned(), dimensions, None)
            }
        };
        Self { name, length, scale }
    }

    /// The name without what changes it: `INT`.
    pub(super) fn base(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }

    /// The number of the type in JDBC, as Debezium's parser has it.
    pub(super) fn jdbc(&self) -> i32 {
        match self.base() {
            "TINYINT" | "SMALLINT" => 5,
            "MEDIUMINT" | "INT" | "INTEGER" | "YEAR" => 4,
            "BIGINT" => -5,
            "FLOAT" => 6,
            "DOUBLE" => 8,
            "DECIMAL" => 3,
            "BIT" => -7,
            "DATE" => 91,
            "TIME" => 92,
            "DATETIME" => 93,
            "TIMESTAMP" => 2014,
            "CHAR" | "ENUM" | "SET" => 1,
            "VARCHAR" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" => 12,
            "BINARY" => -2,
            "VARBINARY" => -3,
            "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" => 2004,
            _ => 1111,
        }
    }

    /// Whether its values are characters, to which masks apply.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.jdbc(), 1 | 12)
    }
}

/// The name of a kind of geometry.
fn shape(kind: Option<u64>) -> &'static str {
    match kind {
        Some(1) => "POINT",
        Some(2) => "LINESTRING",
        Some(3) => "POLYGON",
        Some(4) => "MULTIPOINT",
        Some(5) => "MULTILINESTRING",
        Some(6) => "MULTIPOLYGON",
        Some(7) => "GEOMCOLLECTION",
        _ => "GEOMETRY",
    }
}
