//! Columns of tables that are written to.

/// A column as it is in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub name: String,
    pub kind: Kind,
    /// Its type as the server writes it.
    pub declared: String,
    pub nullable: bool,
    /// Whether it gets a value where none is given.
    pub filled: bool,
    /// Whether the server makes its values, so that none may be given.
    pub generated: bool,
}

/// What values a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number of so many bits.
    Integer {
        bits: u32,
        unsigned: bool,
    },
    /// Digits, of which `scale` are behind the point.
    Decimal {
        precision: u32,
        scale: u32,
        unsigned: bool,
    },
    Float,
    Double,
    /// So many bits.
    Bit(u32),
    Date,
    /// A wall clock's time, with so many digits of a second's fraction.
    DateTime(u8),
    /// An instant.
    Timestamp(u8),
    Time(u8),
    Year,
    /// Characters; so many of them, or so many bytes.
    Text {
        chars: Option<u64>,
        bytes: u64,
        charset: Charset,
    },
    /// So many bytes.
    Binary(u64),
    Enum(Vec<String>),
    Set(Vec<String>),
    Json,
    Geometry,
    /// So many numbers of 32 bits.
    Vector(u32),
    /// What is written as text: MariaDB's UUID and INET6, and whatever else there may be.
    Other,
}

/// How many bytes a character takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    /// As many as in UTF-8.
    Utf8,
    /// One.
    Single,
    /// It depends.
    Other,
}

impl Charset {
    fn named(name: Option<&str>) -> Self {
        match name {
            Some(name) if name.starts_with("utf8") => Self::Utf8,
            Some(
                "ascii" | "armscii8" | "cp1250" | "cp1251" | "cp1256" | "cp1257" | "cp850" | "cp852"
                | "cp866" | "dec8" | "geostd8" | "greek" | "hebrew" | "hp8" | "keybcs2" | "koi8r" | "koi8u"
                | "latin1" | "latin2" | "latin5" | "latin7" | "macce" | "macroman" | "swe7" | "tis620",
            ) => Self::Single,
            _ => Self::Other,
        }
    }
}

/// What `information_schema.columns` says of a column's values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Described<'a> {
    /// `column_type`.
    pub declared: &'a str,
    /// `character_set_name`.
    pub charset: Option<&'a str>,
    /// `character_maximum_length`.
    pub chars: Option<u64>,
    /// `character_octet_length`.
    pub bytes: Option<u64>,
}

impl Kind {
    /// Whether values are the same only if their texts are.
    pub fn is_exact(&self) -> bool {
        matches!(
            self,
            Self::Integer { .. } | Self::Bit(_) | Self::Date | Self::Year
        )
    }

    /// Whether values are characters that a collation compares.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Enum(_))
    }

    /// What a column of this description holds.
    pub fn read(described: Described<'_>) -> Self {
        let declared = described.declared.trim();
        let (name, rest) = match declared.find(|char: char| !char.is_ascii_alphanumeric() && char != '_') {
            Some(end) => declared.split_at(end),
            None => (declared, ""),
        };
        let unsigned = rest.to_ascii_lowercase().contains("unsigned");
        let arguments = arguments(rest);
        let number = |index: usize, default: u32| {
            let argument: Option<&String> = arguments.get(index);
            argument
                .and_then(|argument| argument.trim().parse().ok())
                .unwrap_or(default)
        };
        let integer = |bits| Self::Integer { bits, unsigned };
        let digits = number(0, 0).min(6) as u8;
        match name.to_ascii_lowercase().as_str() {
            "tinyint" | "bool" | "boolean" => integer(8),
            "smallint" => integer(16),
            "mediumint" => integer(24),
            "int" | "integer" => integer(32),
            "bigint" => integer(64),
            "decimal" | "numeric" | "dec" | "fixed" => Self::Decimal {
                precision: number(0, 10),
                scale: number(1, 0),
                unsigned,
            },
            "float" => Self::Float,
            "double" | "real" => Self::Double,
            "bit" => Self::Bit(number(0, 1)),
            "date" => Self::Date,
            "datetime" => Self::DateTime(digits),
            "timestamp" => Self::Timestamp(digits),
            "time" => Self::Time(digits),
            "year" => Self::Year,
            "enum" => Self::Enum(labels(rest)),
            "set" => Self::Set(labels(rest)),
            "json" => Self::Json,
            "vector" => Self::Vector(number(0, 2048)),
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geomcollection" | "geometrycollection" => Self::Geometry,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
                Self::Binary(described.bytes.unwrap_or(u64::MAX))
            }
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Self::Text {
                chars: described
                    .chars
                    .filter(|_| name.to_ascii_lowercase().ends_with("char")),
                bytes: described.bytes.unwrap_or(u64::MAX),
                charset: Charset::named(described.charset),
            },
            _ => Self::Other,
        }
    }
}

/// What is between the brackets behind a type's name, at commas. Labels may have commas, but these are read otherwise.
fn arguments(rest: &str) -> Vec<String> {
    let inner = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    inner.map_or_else(Vec::new, |(inner, _)| {
        inner.split(',').map(str::to_owned).collect()
    })
}

/// The labels of an ENUM or SET: `('a','it''s')`.
fn labels(rest: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let mut chars = rest.chars().peekable();
    while let Some(char) = chars.next() {
        if char == ')' {
            break;
        }
        if char != '\'' {
            continue;
        }
        let mut label = String::new();
        while let Some(char) = chars.next() {
            match char {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    label.push('\'');
                }
                '\'' => break,
                other => label.push(other),
            }
        }
        labels.push(label);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(declared: &str) -> Kind {
        Kind::read(Described {
            declared,
            charset: Some("latin1"),
            chars: Some(10),
            bytes: Some(10),
        })
    }

    #[test]
    fn types_are_read_as_servers_write_them() {
        let integer = |bits, unsigned| Kind::Integer { bits, unsigned };
        assert_eq!(kind("tinyint(1)"), integer(8, false));
        assert_eq!(kind("mediumint unsigned zerofill"), integer(24, true));
        assert_eq!(kind("bigint(20) unsigned"), integer(64, true));
        let decimal = |precision, scale, unsigned| Kind::Decimal {
            precision,
            scale,
            unsigned,
        };
        assert_eq!(kind("decimal(65,30) unsigned"), decimal(65, 30, true));
        assert_eq!(kind("decimal(10,0)"), decimal(10, 0, false));
        assert_eq!(kind("bit(64)"), Kind::Bit(64));
        assert_eq!(kind("datetime(6)"), Kind::DateTime(6));
        assert_eq!(kind("datetime"), Kind::DateTime(0));
        assert_eq!(kind("datetime /* mariadb-5.3 */"), Kind::DateTime(0));
        assert_eq!(kind("timestamp(3)"), Kind::Timestamp(3));
        assert_eq!(kind("year(4)"), Kind::Year);
        assert_eq!(kind("float(7,4) unsigned"), Kind::Float);
        assert_eq!(kind("vector(3)"), Kind::Vector(3));
        assert_eq!(kind("uuid"), Kind::Other);
        assert_eq!(kind("geomcollection"), Kind::Geometry);
        assert_eq!(kind("varbinary(10)"), Kind::Binary(10));
        let text = |chars| Kind::Text {
            chars,
            bytes: 10,
            charset: Charset::Single,
        };
        assert_eq!(kind("varchar(10)"), text(Some(10)));
        assert_eq!(kind("tinytext"), text(None));
        assert_eq!(kind("longtext /*M!100301 COMPRESSED*/"), text(None));
    }

    #[test]
    fn labels_have_what_their_authors_gave_them() {
        let all = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(
            kind("enum('a','it''s','x,y',')','','ä')"),
            Kind::Enum(all(&["a", "it's", "x,y", ")", "", "ä"]))
        );
        assert_eq!(kind(r"set('a\b','c')"), Kind::Set(all(&[r"a\b", "c"])));
    }
}
