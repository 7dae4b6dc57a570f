//! Which of Connect's types a column's values become.
use bytes::Bytes;
use bytestring::ByteString;
use millstream_connect::record::{Schema, SchemaKind, Value};

use super::number::{self, DecimalForm};
use super::temporal::{ClockForm, DayForm, MomentForm};
use crate::mysql::binlog::mariadb::FixedType;
use crate::mysql::binlog::{BINARY, Collation, ColumnType, Damage};
use crate::mysql::charset;
use crate::mysql::config::{BinaryMode, RecordConfig, UnsignedBigintMode};
use crate::mysql::record::declared::Declared;
use crate::mysql::record::schemas;
use crate::mysql::schema::Column;

/// How a column's values become Connect's.
#[derive(Debug)]
pub(super) enum Kind {
    /// Whole numbers: into how many bits, and of how many where the log does not say that they are unsigned.
    Int { into: Width, unsigned: Option<u32> },
    /// BIGINT UNSIGNED in full.
    Unsigned,
    /// FLOAT.
    Float,
    /// FLOAT(7,4), for which Debezium has FLOAT64.
    FloatAsDouble,
    /// DOUBLE.
    Double,
    /// DECIMAL.
    Decimal(DecimalForm),
    /// BIT(1).
    Boolean,
    /// More bits than one.
    Bits(u16),
    /// YEAR.
    Year,
    /// DATE.
    Date(DayForm),
    /// TIME.
    Time(ClockForm),
    /// DATETIME.
    DateTime(MomentForm),
    /// TIMESTAMP with so many digits behind seconds.
    Timestamp(u8),
    /// Characters.
    Text(Characters),
    /// ENUM.
    Enum(Vec<ByteString>),
    /// SET.
    Set(Vec<ByteString>),
    /// Bytes, of BINARY(n) n.
    Bytes { mode: BinaryMode, fixed: Option<u16> },
    /// JSON of MySQL.
    Json,
    /// A geometry of any kind.
    Geometry,
    /// A point.
    Point,
    /// Floats.
    Vector,
    /// MariaDB's types of fixed size.
    Fixed(FixedType),
}

/// Bits of whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Short,
    Int,
    Long,
}

/// What the bytes of a text are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Characters {
    pub(super) collation: Collation,
    pub(super) utf8: bool,
    /// Whether it is MariaDB's JSON.
    pub(super) json: bool,
}

impl Kind {
    pub(super) fn of(column: &Column, declared: &Declared, config: &RecordConfig) -> Result<Self, Damage> {
        let log = &column.log;
        let unsigned = log.unsigned.unwrap_or(declared.name.contains(" UNSIGNED"));
        let int = |into, unsigned: Option<u32>| Self::Int { into, unsigned };
        let bits = |bits: u32| unsigned.then_some(bits);
        Ok(match log.column_type {
            ColumnType::Tiny => int(Width::Short, bits(8)),
            ColumnType::Short if unsigned => int(Width::Int, bits(16)),
            ColumnType::Short => int(Width::Short, None),
            ColumnType::Int24 => int(Width::Int, bits(24)),
            ColumnType::Long if unsigned => int(Width::Long, bits(32)),
            ColumnType::Long => int(Width::Int, None),
            ColumnType::LongLong if unsigned && config.unsigned_bigint == UnsignedBigintMode::Precise => {
                Self::Unsigned
            }
            ColumnType::LongLong => int(Width::Long, None),
            ColumnType::Float if declared.scale.is_some() => Self::FloatAsDouble,
            ColumnType::Float => Self::Float,
            ColumnType::Double => Self::Double,
            ColumnType::Decimal { scale, .. } => Self::Decimal(DecimalForm::new(config.decimals, scale)),
            ColumnType::Bit { bits: 1 } => Self::Boolean,
            ColumnType::Bit { bits } => Self::Bits(bits.min(64)),
            ColumnType::Year => Self::Year,
            ColumnType::Date => Self::Date(DayForm::new(config.times, config.adjust_years)),
            ColumnType::Time { .. } | ColumnType::OldTime => Self::Time(ClockForm::new(config.times)),
            ColumnType::DateTime { fraction } => {
                Self::DateTime(MomentForm::new(config.times, fraction, config.adjust_years))
            }
            ColumnType::OldDateTime => Self::DateTime(MomentForm::new(config.times, 0, config.adjust_years)),
            ColumnType::Timestamp { fraction } => Self::Timestamp(fraction),
            ColumnType::OldTimestamp => Self::Timestamp(0),
            ColumnType::Enum { .. } => Self::Enum(labels(column)?),
            ColumnType::Set { .. } => Self::Set(labels(column)?),
            ColumnType::Json { .. } | ColumnType::TypedArray => Self::Json,
            ColumnType::Geometry { .. } if declared.name == "POINT" => Self::Point,
            ColumnType::Geometry { .. } => Self::Geometry,
            ColumnType::Vector { .. } => Self::Vector,
            ColumnType::Varchar { .. }
            | ColumnType::Char { .. }
            | ColumnType::Blob { .. }
            | ColumnType::CompressedVarchar { .. }
            | ColumnType::CompressedBlob { .. } => Self::of_sized(column, declared, config),
        })
    }

    /// What stands as bytes with a length in logs: MariaDB has types of its own among them.
    fn of_sized(column: &Column, declared: &Declared, config: &RecordConfig) -> Self {
        if let Some(fixed) = FixedType::of_name(&declared.name.to_ascii_lowercase()) {
            return Self::Fixed(fixed);
        }
        let collation = column.log.collation;
        if declared.name == "VECTOR" {
            return Self::Vector;
        }
        if collation != BINARY {
            let utf8 = matches!(charset::name(collation), Some("utf8mb4" | "utf8mb3"));
            let json = declared.name == "JSON";
            return Self::Text(Characters {
                collation,
                utf8,
                json,
            });
        }
        let fixed = match column.log.column_type {
            ColumnType::Char { length_max } => Some(length_max),
            _ => None,
        };
        let mode = config.binary;
        Self::Bytes { mode, fixed }
    }

    /// The schema of its values, without what the column adds.
    pub(super) fn schema(&self, declared: &Declared) -> Schema {
        let logical = |kind: SchemaKind, name: &'static str| Schema::from(kind).named(name).versioned(1);
        match self {
            Self::Int { into, .. } => match into {
                Width::Short => SchemaKind::Int16.into(),
                Width::Int => SchemaKind::Int32.into(),
                Width::Long => SchemaKind::Int64.into(),
            },
            Self::Unsigned => Schema::decimal(0).with_parameter("connect.decimal.precision", "20"),
            Self::Float => SchemaKind::Float32.into(),
            Self::FloatAsDouble | Self::Double => SchemaKind::Float64.into(),
            Self::Decimal(form) => form.schema(declared),
            Self::Boolean => SchemaKind::Boolean.into(),
            Self::Bits(bits) => {
                logical(SchemaKind::Bytes, "io.debezium.data.Bits").with_parameter("length", bits.to_string())
            }
            Self::Year => logical(SchemaKind::Int32, "io.debezium.time.Year"),
            Self::Date(form) => form.schema(),
            Self::Time(form) => form.schema(),
            Self::DateTime(form) => form.schema(),
            Self::Timestamp(_) => logical(SchemaKind::String, "io.debezium.time.ZonedTimestamp"),
            Self::Text(Characters { json: false, .. }) => SchemaKind::String.into(),
            Self::Enum(labels) => {
                logical(SchemaKind::String, "io.debezium.data.Enum").with_parameter("allowed", joined(labels))
            }
            Self::Set(labels) => logical(SchemaKind::String, "io.debezium.data.EnumSet")
                .with_parameter("allowed", joined(labels)),
            Self::Bytes { mode, .. } => match mode {
                BinaryMode::Bytes => SchemaKind::Bytes.into(),
                BinaryMode::Base64 | BinaryMode::Base64UrlSafe | BinaryMode::Hex => SchemaKind::String.into(),
            },
            Self::Json | Self::Text(_) => logical(SchemaKind::String, "io.debezium.data.Json"),
            Self::Geometry => geometry(),
            Self::Point => point(),
            Self::Vector => {
                let element = std::sync::Arc::new(Schema::from(SchemaKind::Float32));
                logical(SchemaKind::Array(element), "io.debezium.data.FloatVector")
            }
            Self::Fixed(FixedType::Uuid) => logical(SchemaKind::String, "io.debezium.data.Uuid"),
            Self::Fixed(_) => SchemaKind::String.into(),
        }
    }

    /// What stands for NULL, or for a date that is none, where there may be no null and no default is known.
    pub(super) fn fallback(&self) -> Value {
        match self {
            Self::Int { into, .. } => match into {
                Width::Short => Value::Int16(0),
                Width::Int => Value::Int32(0),
                Width::Long => Value::Int64(0),
            },
            Self::Unsigned => number::zero(0),
            Self::Float => Value::Float32(0.0),
            Self::FloatAsDouble | Self::Double => Value::Float64(0.0),
            Self::Decimal(form) => form.zero(),
            Self::Boolean => Value::Boolean(false),
            Self::Bits(_) => Value::Bytes(Bytes::new()),
            Self::Year => Value::Int32(0),
            Self::Date(form) => form.epoch(),
            Self::Time(form) => form.midnight(),
            Self::DateTime(form) => form.epoch(),
            Self::Timestamp(_) => Value::String(ByteString::from_static("1970-01-01T00:00:00Z")),
            Self::Json => Value::String(ByteString::from_static("{}")),
            Self::Bytes {
                mode: BinaryMode::Bytes,
                ..
            } => Value::Bytes(Bytes::new()),
            Self::Text(_) | Self::Enum(_) | Self::Set(_) | Self::Bytes { .. } | Self::Fixed(_) => {
                Value::String(ByteString::new())
            }
            Self::Geometry | Self::Point => Value::Null,
            Self::Vector => Value::Array(Vec::new()),
        }
    }
}

/// The labels of ENUM and SET, as text.
fn labels(column: &Column) -> Result<Vec<ByteString>, Damage> {
    let labels = column.log.labels.iter().map(|label| {
        let mut text = String::new();
        charset::decode(column.log.collation, label, &mut text)?;
        Ok(ByteString::from(text))
    });
    labels.collect()
}

/// Labels with commas between them; a comma within one has a backslash before it.
fn joined(labels: &[ByteString]) -> String {
    let labels: Vec<String> = labels.iter().map(|label| label.replace(',', "\\,")).collect();
    labels.join(",")
}

/// Debezium's geometries may be null whatever the column says.
fn geometry() -> Schema {
    let fields = vec![
        schemas::field("wkb", Schema::bytes()),
        schemas::field("srid", schemas::optional_int32()),
    ];
    let mut schema = schemas::structure(fields).named("io.debezium.data.geometry.Geometry");
    schema.doc = Some("Geometry".into());
    schema.versioned(1).optional()
}

fn point() -> Schema {
    let fields = vec![
        schemas::field("x", schemas::float64()),
        schemas::field("y", schemas::float64()),
        schemas::field("wkb", Schema::optional_bytes()),
        schemas::field("srid", schemas::optional_int32()),
    ];
    let mut schema = schemas::structure(fields).named("io.debezium.data.geometry.Point");
    schema.doc = Some("Geometry (POINT)".into());
    schema.versioned(1)
}
