//! Tables and columns that are not there yet, by the schemas of records.
use std::fmt::Write;

use millstream_connect::record::{Schema, SchemaKind, logical};

use super::column::{Column, Described, Kind};
use super::server::Server;
use super::value::{Literals, Meaning, SOURCE_TYPE, push_identifier, push_text};
use crate::mysql::schema::TableId;

/// A column that is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct New<'a> {
    pub name: &'a str,
    pub schema: &'a Schema,
    pub is_key: bool,
}

const SOURCE_LENGTH: &str = "__debezium.source.column.length";
const SOURCE_SCALE: &str = "__debezium.source.column.scale";

/// The most digits of a decimal, and of those behind the point.
const DECIMAL_DIGITS: (u32, u32) = (65, 30);

/// Writes definitions for a server.
pub(super) struct Definitions<'a> {
    pub server: Server,
    pub literals: &'a Literals,
}

impl Definitions<'_> {
    /// The statement that creates a table.
    ///
    /// # Errors
    /// When a column's type is none that tables have: which one, and why.
    pub fn create(&self, id: &TableId, columns: &[New<'_>]) -> Result<String, String> {
        let mut text = format!("CREATE TABLE IF NOT EXISTS {} (", quoted_table(id));
        for column in columns {
            let _ = write!(text, "{}, ", self.column(column, true)?);
        }
        let key: Vec<String> = columns
            .iter()
            .filter(|column| column.is_key)
            .map(|column| quoted(column.name))
            .collect();
        match key.is_empty() {
            true => text.truncate(text.len() - 2),
            false => {
                let _ = write!(text, "PRIMARY KEY ({})", key.join(", "));
            }
        }
        // Keys that differ only by case are different rows.
        let _ = write!(
            text,
            ") ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {}",
            self.server.exact_collation()
        );
        Ok(text)
    }

    /// The statement that adds columns. They may be null unless they have a default: rows that are there have no value.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn add(&self, id: &TableId, columns: &[New<'_>]) -> Result<String, String> {
        let mut text = format!("ALTER TABLE {} ", quoted_table(id));
        for (number, column) in columns.iter().enumerate() {
            let between = if number > 0 { ", " } else { "" };
            let _ = write!(text, "{between}ADD COLUMN {}", self.column(column, false)?);
        }
        Ok(text)
    }

    fn column(&self, new: &New<'_>, in_new_table: bool) -> Result<String, String> {
        let declared = self
            .declared(new.schema, new.is_key)
            .map_err(|reason| format!("the field {} has no type in a table: {reason}", new.name))?;
        let default = self.default(new.schema, &declared);
        let nullable = !new.is_key && (new.schema.optional || (!in_new_table && default.is_none()));
        let mut text = format!("{} {declared} ", quoted(new.name));
        text.push_str(if nullable { "NULL" } else { "NOT NULL" });
        if let Some(default) = default {
            let _ = write!(text, " DEFAULT {default}");
        }
        Ok(text)
    }

    /// A schema's default, as the column takes it.
    fn default(&self, schema: &Schema, declared: &str) -> Option<String> {
        let value = schema.default.as_ref().filter(|value| !value.is_null())?;
        let kind = Kind::read(Described {
            declared,
            charset: Some("utf8mb4"),
            chars: length_of(declared),
            bytes: length_of(declared),
        });
        let without = matches!(&kind, Kind::Json | Kind::Geometry | Kind::Vector(_) | Kind::Other)
            || matches!(&kind, Kind::Text { chars: None, .. })
            || declared.ends_with("blob");
        if without {
            return None;
        }
        let column = Column {
            name: String::new(),
            kind,
            declared: declared.to_owned(),
            nullable: false,
            filled: true,
            generated: false,
        };
        let mut text = Vec::new();
        let cell = Meaning::of(schema).cell(value).ok()?;
        self.literals.write(&cell, &column, &mut text).ok()?;
        // A TIMESTAMP begins behind the epoch, which is what a source says where there is no such default.
        if matches!(column.kind, Kind::Timestamp(_)) && text.as_slice() < b"'1970-01-01 00:00:01".as_slice() {
            return None;
        }
        String::from_utf8(text).ok().filter(|text| !text.starts_with('_'))
    }

    /// The type of a field: the one its column has in the source if that was told, or one that holds all its values.
    fn declared(&self, schema: &Schema, is_key: bool) -> Result<String, String> {
        if let Some(propagated) = self.propagated(schema) {
            return Ok(propagated);
        }
        if let Some(named) = self.named(schema) {
            return Ok(named);
        }
        let key_chars = self.server.key_chars_max();
        Ok(match (&schema.kind, is_key) {
            (SchemaKind::Int8, _) => "tinyint".to_owned(),
            (SchemaKind::Int16, _) => "smallint".to_owned(),
            (SchemaKind::Int32, _) => "int".to_owned(),
            (SchemaKind::Int64, _) => "bigint".to_owned(),
            (SchemaKind::Float32, _) => "float".to_owned(),
            (SchemaKind::Float64, _) => "double".to_owned(),
            (SchemaKind::Boolean, _) => "tinyint(1)".to_owned(),
            (SchemaKind::String, true) => format!("varchar({key_chars})"),
            (SchemaKind::String, false) => "longtext".to_owned(),
            (SchemaKind::Bytes, true) => "varbinary(255)".to_owned(),
            (SchemaKind::Bytes, false) => "longblob".to_owned(),
            (_, true) => return Err(format!("a key cannot be of type {}", schema.kind_name())),
            (_, false) => self.json().to_owned(),
        })
    }

    fn json(&self) -> &'static str {
        match self.server.has_json() {
            true => "json",
            false => "longtext",
        }
    }

    /// By the name of the schema.
    fn named(&self, schema: &Schema) -> Option<String> {
        let parameter = |name: &str| schema.parameter(name).and_then(|value| value.parse::<u32>().ok());
        let fixed = match schema.name.as_deref()? {
            logical::DATE | "io.debezium.time.Date" | "io.debezium.time.IsoDate" => "date",
            logical::TIME | "io.debezium.time.Time" => "time(3)",
            "io.debezium.time.MicroTime" | "io.debezium.time.NanoTime" | "io.debezium.time.IsoTime" => "time(6)",
            logical::TIMESTAMP | "io.debezium.time.Timestamp" => "datetime(3)",
            "io.debezium.time.MicroTimestamp"
            | "io.debezium.time.NanoTimestamp"
            | "io.debezium.time.IsoTimestamp"
            // A TIMESTAMP ends with the year 2038.
            | "io.debezium.time.ZonedTimestamp" => "datetime(6)",
            "io.debezium.time.Year" => "year",
            "io.debezium.data.Json" => self.json(),
            "io.debezium.data.Uuid" => "char(36)",
            "io.debezium.data.geometry.Geometry" | "io.debezium.data.geometry.Geography" => "geometry",
            "io.debezium.data.geometry.Point" => "point",
            "io.debezium.data.VariableScaleDecimal" => "decimal(65,30)",
            "io.debezium.data.FloatVector" if self.server.has_vectors() => "vector(16383)",
            "io.debezium.data.FloatVector" | "io.debezium.data.DoubleVector" => self.json(),
            logical::DECIMAL => {
                let scale = u32::try_from(schema.decimal_scale()?).unwrap_or(0).min(DECIMAL_DIGITS.1);
                let precision = parameter("connect.decimal.precision").unwrap_or(DECIMAL_DIGITS.0);
                let precision = precision.clamp(scale.max(1), DECIMAL_DIGITS.0);
                return Some(format!("decimal({precision},{scale})"));
            }
            "io.debezium.data.Bits" => {
                let length = parameter("length").filter(|length| (1..=64).contains(length))?;
                return Some(format!("bit({length})"));
            }
            "io.debezium.data.Enum" => return labelled("enum", schema),
            "io.debezium.data.EnumSet" => return labelled("set", schema),
            _ => return None,
        };
        Some(fixed.to_owned())
    }

    /// By what the source says its column is (`column.propagate.source.type`), if it is a type of MySQL.
    fn propagated(&self, schema: &Schema) -> Option<String> {
        let full = schema.parameter(SOURCE_TYPE)?.trim().to_ascii_lowercase();
        let (name, attributes) = full.split_once(' ').unwrap_or((&full, ""));
        let number = |name: &str| schema.parameter(name).and_then(|value| value.parse::<u32>().ok());
        let (length, scale) = (number(SOURCE_LENGTH), number(SOURCE_SCALE));
        let sized = |default: Option<u32>| {
            let length = length.filter(|length| *length > 0).or(default);
            length.map(|length| format!("{name}({length})"))
        };
        let unsigned = if attributes.contains("unsigned") {
            " unsigned"
        } else {
            ""
        };
        Some(match name {
            "tinyint" if length == Some(1) && unsigned.is_empty() => "tinyint(1)".to_owned(),
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => format!("{name}{unsigned}"),
            "integer" => format!("int{unsigned}"),
            "bool" | "boolean" => "tinyint(1)".to_owned(),
            "decimal" | "numeric" => {
                let precision = length.filter(|length| *length > 0).unwrap_or(10);
                format!("decimal({precision},{}){unsigned}", scale.unwrap_or(0))
            }
            "float" if schema.kind == SchemaKind::Float64 && length.is_some_and(|length| length > 24) => {
                "double".to_owned()
            }
            "float" | "double" => format!("{name}{unsigned}"),
            "bit" => sized(Some(1))?,
            "char" | "binary" => sized(Some(1))?,
            "varchar" | "varbinary" => sized(None)?,
            "datetime" | "timestamp" | "time" => sized(None).unwrap_or_else(|| name.to_owned()),
            "date" | "year" | "tinytext" | "text" | "mediumtext" | "longtext" | "tinyblob" | "blob"
            | "mediumblob" | "longblob" | "geometry" | "point" | "linestring" | "polygon" | "multipoint"
            | "multilinestring" | "multipolygon" => name.to_owned(),
            "geomcollection" | "geometrycollection" => "geometrycollection".to_owned(),
            "json" => self.json().to_owned(),
            "enum" | "set" => return labelled(name, schema),
            "vector" if self.server.has_vectors() => sized(Some(2048))?,
            _ => return None,
        })
    }
}

/// A type with labels, which Debezium joins by commas, with a backslash before commas and backslashes within.
fn labelled(name: &str, schema: &Schema) -> Option<String> {
    let allowed = schema.parameter("allowed")?;
    let (mut labels, mut label) = (Vec::new(), String::new());
    let mut chars = allowed.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' if matches!(chars.peek(), Some(',' | '\\')) => label.extend(chars.next()),
            ',' => labels.push(std::mem::take(&mut label)),
            char => label.push(char),
        }
    }
    labels.push(label);
    let mut text = format!("{name}(").into_bytes();
    for (number, label) in labels.iter().enumerate() {
        if number > 0 {
            text.push(b',');
        }
        push_text(&mut text, label);
    }
    text.push(b')');
    String::from_utf8(text).ok()
}

/// The number in brackets.
fn length_of(declared: &str) -> Option<u64> {
    let (_, rest) = declared.split_once('(')?;
    rest.split([',', ')']).next()?.parse().ok()
}

fn quoted(name: &str) -> String {
    let mut text = Vec::new();
    push_identifier(&mut text, name);
    String::from_utf8_lossy(&text).into_owned()
}

/// A table's name as statements have it.
pub(super) fn quoted_table(id: &TableId) -> String {
    format!("{}.{}", quoted(&id.database), quoted(&id.table))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use millstream_connect::record::Value;

    use super::*;
    use crate::mysql::client::server::{Flavour, Version};
    use crate::mysql::config::BinaryMode;

    #[test]
    fn timestamps_have_no_default_before_they_begin() {
        let literals = Literals {
            zone: TimeZone::UTC,
            connect_in_zone: false,
            rounding: false,
            binary: BinaryMode::Bytes,
        };
        let definitions = Definitions {
            server: Server {
                flavour: Flavour::MySql,
                version: Version::new(8, 4, 0),
                packet_bytes_max: 1 << 20,
            },
            literals: &literals,
        };
        for (default, expected) in [
            ("1970-01-01T00:00:00Z", "`at` timestamp NOT NULL"),
            (
                "1970-01-01T00:00:01Z",
                "`at` timestamp NOT NULL DEFAULT '1970-01-01 00:00:01'",
            ),
        ] {
            let schema = Schema::from(SchemaKind::String)
                .named("io.debezium.time.ZonedTimestamp")
                .with_parameter(SOURCE_TYPE, "TIMESTAMP")
                .with_default(Value::from(default));
            let new = New {
                name: "at",
                schema: &schema,
                is_key: false,
            };
            assert_eq!(definitions.column(&new, true).unwrap(), expected);
        }
    }
}
