//! Types as servers write them once they have them.
use super::Server;
use super::error::DdlError;
use super::types::{Base, DataType};
use crate::mysql::binlog::{BINARY, Collation};
use crate::mysql::charset;
use crate::mysql::client::server::{Flavour, Version};

/// The most bytes of a VARCHAR; servers that are not strict make TEXT of longer ones.
const VARCHAR_BYTES_MAX: u64 = 65_535;

/// What `information_schema.columns` has of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declaration {
    pub(super) data_type: &'static str,
    pub(super) column_type: String,
    pub(super) octets: Option<u64>,
    /// That of characters; nothing for bytes and all else.
    pub(super) collation: Option<Collation>,
}

impl Declaration {
    /// A type, whose column has this collation if it is one of characters.
    pub(super) fn of(
        server: &Server,
        own: &DataType,
        collation: Option<Collation>,
    ) -> Result<Self, DdlError> {
        let plain = |data_type: &'static str| Self {
            data_type,
            column_type: data_type.to_owned(),
            octets: None,
            collation: None,
        };
        let sized = |data_type: &'static str, size: String| Self {
            column_type: format!("{data_type}{size}"),
            ..plain(data_type)
        };
        let first = own.arguments.first().copied();
        Ok(match own.base {
            Base::Integer(bytes) => integer(server, own, bytes),
            Base::Float => sized("float", numbers(own) + sign(own)),
            Base::Double => sized("double", numbers(own) + sign(own)),
            Base::Decimal => sized("decimal", numbers(own) + sign(own)),
            Base::Bit => sized("bit", numbers(own)),
            Base::Year if server.has_widths() => sized("year", "(4)".to_owned()),
            Base::Year => plain("year"),
            Base::Date => plain("date"),
            Base::Time => sized("time", fraction(own)),
            Base::DateTime => sized("datetime", fraction(own)),
            Base::Timestamp => sized("timestamp", fraction(own)),
            Base::Char | Base::Varchar => characters(own, first.unwrap_or(0), collation)?,
            Base::Text(bytes) => text(own, bytes, collation)?,
            Base::Enum | Base::Set => {
                let name = if own.base == Base::Enum { "enum" } else { "set" };
                let labels: Vec<String> = own.labels.iter().map(|label| quoted(label)).collect();
                Self {
                    collation,
                    ..sized(name, format!("({})", labels.join(",")))
                }
            }
            Base::Json => plain("json"),
            Base::Geometry("geometrycollection")
                if server.flavour == Flavour::MySql && server.version >= Version::new(8, 0, 0) =>
            {
                plain("geomcollection")
            }
            Base::Geometry(name) | Base::Own(name) => plain(name),
            Base::Vector => sized("vector", numbers(own)),
        })
    }
}

fn sign(own: &DataType) -> &'static str {
    match (own.unsigned, own.zerofill) {
        (_, true) => " unsigned zerofill",
        (true, _) => " unsigned",
        _ => "",
    }
}

fn numbers(own: &DataType) -> String {
    let numbers: Vec<String> = own.arguments.iter().map(u64::to_string).collect();
    match numbers.is_empty() {
        true => String::new(),
        false => format!("({})", numbers.join(",")),
    }
}

fn fraction(own: &DataType) -> String {
    match own.arguments.first() {
        None | Some(0) => String::new(),
        Some(_) => numbers(own),
    }
}

/// The width that an integer is shown with: where it is part of the type, or fills with zeros.
pub(super) fn width(own: &DataType) -> u64 {
    let (signed, unsigned) = match own.base {
        Base::Integer(1) => (4, 3),
        Base::Integer(2) => (6, 5),
        Base::Integer(3) => (9, 8),
        Base::Integer(4) => (11, 10),
        _ => (20, 20),
    };
    match own.arguments.first() {
        None | Some(0) if own.unsigned => unsigned,
        None | Some(0) => signed,
        Some(width) => *width,
    }
}

fn integer(server: &Server, own: &DataType, bytes: u8) -> Declaration {
    let data_type = match bytes {
        1 => "tinyint",
        2 => "smallint",
        3 => "mediumint",
        4 => "int",
        _ => "bigint",
    };
    let width = width(own);
    let is_boolean = bytes == 1 && width == 1 && !own.unsigned;
    let shown = server.has_widths() || own.zerofill || is_boolean;
    let width = if shown {
        format!("({width})")
    } else {
        String::new()
    };
    Declaration {
        data_type,
        column_type: format!("{data_type}{width}{}", sign(own)),
        octets: None,
        collation: None,
    }
}

fn characters(own: &DataType, length: u64, collation: Option<Collation>) -> Result<Declaration, DdlError> {
    let is_char = own.base == Base::Char;
    let bytes_max = match (own.bytes, collation) {
        (false, Some(collation)) => u64::from(charset::bytes_max(collation)),
        _ => 1,
    };
    let octets = length.saturating_mul(bytes_max);
    let data_type = match (is_char, own.bytes) {
        (true, true) => "binary",
        (true, false) => "char",
        (false, true) => "varbinary",
        (false, false) => "varchar",
    };
    // Servers that are not strict make TEXT of what is too long.
    if is_char && length > 255 || octets > VARCHAR_BYTES_MAX {
        return Err(DdlError::Type(format!("{data_type}({length})")));
    }
    Ok(Declaration {
        data_type,
        column_type: format!("{data_type}({length}){}", compressed(own)),
        octets: Some(octets),
        collation: collation.filter(|_| !own.bytes),
    })
}

/// The bytes of the length of BLOB and TEXT that hold so many bytes.
pub(super) fn length_bytes(most: u64) -> u8 {
    match most {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        _ => 4,
    }
}

fn text(own: &DataType, bytes: u8, collation: Option<Collation>) -> Result<Declaration, DdlError> {
    let length_bytes = match (bytes, own.arguments.first()) {
        (0, None) => 2,
        // Old servers make a TEXT of it, new ones a TINYTEXT.
        (0, Some(0)) => return Err(DdlError::Type("a TEXT of no length".to_owned())),
        (0, Some(length)) => {
            let wide = collation.filter(|_| !own.bytes).map_or(1, charset::bytes_max);
            length_bytes(length.saturating_mul(u64::from(wide)))
        }
        (bytes, _) => bytes,
    };
    let data_type = match (length_bytes, own.bytes) {
        (1, true) => "tinyblob",
        (1, false) => "tinytext",
        (2, true) => "blob",
        (2, false) => "text",
        (3, true) => "mediumblob",
        (3, false) => "mediumtext",
        (_, true) => "longblob",
        (_, false) => "longtext",
    };
    Ok(Declaration {
        data_type,
        column_type: format!("{data_type}{}", compressed(own)),
        octets: None,
        collation: collation.filter(|_| !own.bytes),
    })
}

fn compressed(own: &DataType) -> &'static str {
    match own.compressed {
        true => " /*M!100301 COMPRESSED*/",
        false => "",
    }
}

/// A label as servers write it.
fn quoted(label: &str) -> String {
    let mut text = String::from("'");
    for char in label.chars() {
        match char {
            '\0' => text.push_str("\\0"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\\' => text.push_str("\\\\"),
            '\'' => text.push_str("''"),
            other => text.push(other),
        }
    }
    text.push('\'');
    text
}

/// Whether a collation is that of bytes.
pub(super) fn is_bytes(collation: Collation) -> bool {
    collation == BINARY
}
