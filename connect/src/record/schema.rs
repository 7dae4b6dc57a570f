//! Schemas.
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use thiserror::Error;

use super::Value;

/// A schema that is shared. Two that are equal may be different ones; whoever keeps something by schema asks
/// [`Arc::ptr_eq`] first and compares then.
pub type SchemaRef = Arc<Schema>;

/// The names of the logical types that Kafka Connect itself has.
pub mod logical {
    /// Bytes: the unscaled number, big-endian two's complement; the parameter [`SCALE`] says where the point is.
    pub const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
    /// Int32: days since 1970.
    pub const DATE: &str = "org.apache.kafka.connect.data.Date";
    /// Int32: milliseconds since midnight.
    pub const TIME: &str = "org.apache.kafka.connect.data.Time";
    /// Int64: milliseconds since 1970.
    pub const TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";
    /// The parameter of [`DECIMAL`] that gives its scale.
    pub const SCALE: &str = "scale";
}

/// What a value is: Kafka Connect's `ConnectSchema`.
#[derive(Debug, Clone)]
pub struct Schema {
    /// What it is made of.
    pub kind: SchemaKind,
    /// Whether it may be null.
    pub optional: bool,
    /// What a null stands for.
    pub default: Option<Value>,
    /// Its name; those of [`logical`] give it another meaning.
    pub name: Option<Arc<str>>,
    /// Its version.
    pub version: Option<i32>,
    /// What it is for.
    pub doc: Option<Arc<str>>,
    /// Further properties, in their order.
    pub parameters: Vec<(Arc<str>, Arc<str>)>,
    /// Where the fields of a struct are.
    places: HashMap<Arc<str>, usize>,
}

/// What a schema is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum SchemaKind {
    /// 8 bits.
    Int8,
    /// 16 bits.
    Int16,
    /// 32 bits.
    Int32,
    /// 64 bits.
    Int64,
    /// 32 bits.
    Float32,
    /// 64 bits.
    Float64,
    /// True or false.
    Boolean,
    /// UTF-8.
    String,
    /// Any bytes.
    Bytes,
    /// Values of one schema.
    Array(SchemaRef),
    /// Keys and values, each of one schema.
    Map(SchemaRef, SchemaRef),
    /// Named fields, in their order.
    Struct(Vec<Field>),
}

/// A field of a struct. Its index is its place among the fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name, which no other field of the struct has.
    pub name: Arc<str>,
    /// What it holds.
    pub schema: SchemaRef,
}

/// A value that its schema does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// Null where it may not be.
    #[error("{path} is null, but its schema is not optional and has no default")]
    Null {
        /// Which part of the value.
        path: String,
    },
    /// Something else than the schema says.
    #[error("{path} is of type {found} where the schema says {expected}")]
    Mismatch {
        /// Which part of the value.
        path: String,
        /// What the schema says.
        expected: String,
        /// What it is.
        found: &'static str,
    },
    /// A struct with two fields of one name.
    #[error("a struct has two fields named {name}")]
    RepeatedField {
        /// The name.
        name: String,
    },
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        // Where the fields are follows from the kind.
        self.name == other.name
            && self.version == other.version
            && self.optional == other.optional
            && self.kind == other.kind
            && self.default == other.default
            && self.doc == other.doc
            && self.parameters == other.parameters
    }
}

impl From<SchemaKind> for Schema {
    /// A schema that is not optional and has nothing else.
    ///
    /// # Panics
    /// If two fields have one name; see [`Schema::try_struct`].
    fn from(kind: SchemaKind) -> Self {
        Self::try_new(kind).expect("fields with names of their own")
    }
}

impl Schema {
    fn try_new(kind: SchemaKind) -> Result<Self, SchemaError> {
        let mut places = HashMap::new();
        if let SchemaKind::Struct(fields) = &kind {
            for (index, field) in fields.iter().enumerate() {
                if places.insert(Arc::clone(&field.name), index).is_some() {
                    let name = field.name.to_string();
                    return Err(SchemaError::RepeatedField { name });
                }
            }
        }
        Ok(Self {
            kind,
            optional: false,
            default: None,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            places,
        })
    }

    /// A struct with these fields.
    ///
    /// # Errors
    /// [`SchemaError::RepeatedField`].
    pub fn try_struct(fields: Vec<Field>) -> Result<Self, SchemaError> {
        Self::try_new(SchemaKind::Struct(fields))
    }

    /// The same, but optional.
    ///
    /// ```
    /// use millstream_connect::record::{Schema, SchemaKind};
    ///
    /// let count = Schema::from(SchemaKind::Int64).optional().named("orders.Count");
    /// assert!(count.optional);
    /// ```
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The same with a default.
    #[must_use]
    pub fn with_default(mut self, default: Value) -> Self {
        self.default = Some(default);
        self
    }

    /// The same with a name.
    #[must_use]
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same with a version.
    #[must_use]
    pub fn versioned(mut self, version: i32) -> Self {
        self.version = Some(version);
        self
    }

    /// The same with a further parameter.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// `STRING`, shared by all who ask.
    pub fn string() -> SchemaRef {
        static SHARED: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(SchemaKind::String.into()));
        Arc::clone(&SHARED)
    }

    /// Optional `STRING`, shared by all who ask.
    pub fn optional_string() -> SchemaRef {
        static SHARED: LazyLock<SchemaRef> =
            LazyLock::new(|| Arc::new(Schema::from(SchemaKind::String).optional()));
        Arc::clone(&SHARED)
    }

    /// `BYTES`, shared by all who ask.
    pub fn bytes() -> SchemaRef {
        static SHARED: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(SchemaKind::Bytes.into()));
        Arc::clone(&SHARED)
    }

    /// Optional `BYTES`, shared by all who ask.
    pub fn optional_bytes() -> SchemaRef {
        static SHARED: LazyLock<SchemaRef> =
            LazyLock::new(|| Arc::new(Schema::from(SchemaKind::Bytes).optional()));
        Arc::clone(&SHARED)
    }

    /// [`logical::DECIMAL`] with `scale` digits behind the point.
    pub fn decimal(scale: i32) -> Self {
        Self::from(SchemaKind::Bytes)
            .named(logical::DECIMAL)
            .versioned(1)
            .with_parameter(logical::SCALE, scale.to_string())
    }

    /// [`logical::DATE`].
    pub fn date() -> Self {
        Self::from(SchemaKind::Int32).named(logical::DATE).versioned(1)
    }

    /// [`logical::TIME`].
    pub fn time() -> Self {
        Self::from(SchemaKind::Int32).named(logical::TIME).versioned(1)
    }

    /// [`logical::TIMESTAMP`].
    pub fn timestamp() -> Self {
        Self::from(SchemaKind::Int64)
            .named(logical::TIMESTAMP)
            .versioned(1)
    }

    /// The fields of a struct; none of anything else.
    pub fn fields(&self) -> &[Field] {
        match &self.kind {
            SchemaKind::Struct(fields) => fields,
            _ => &[],
        }
    }

    /// Where among the fields `name` is.
    pub fn field_index(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The field `name`.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.field_index(name).map(|index| &self.fields()[index])
    }

    /// A parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let of_that_name = self.parameters.iter().find(|(its, _)| **its == *name);
        of_that_name.map(|(_, value)| &**value)
    }

    /// The scale of a decimal, if it is one.
    pub fn decimal_scale(&self) -> Option<i32> {
        match self.name.as_deref() {
            Some(logical::DECIMAL) => self.parameter(logical::SCALE)?.parse().ok(),
            _ => None,
        }
    }

    /// Whether `value` is what this schema says, all the way down (Kafka's `ConnectSchema.validateValue`). A decimal, date, time or timestamp
    /// has to be given as such where the schema is named so.
    ///
    /// # Errors
    /// [`SchemaError`] with the path of what is wrong.
    pub fn check(&self, value: &Value) -> Result<(), SchemaError> {
        self.check_at(value, &mut "value".to_owned())
    }

    fn check_at(&self, value: &Value, path: &mut String) -> Result<(), SchemaError> {
        use SchemaKind as Kind;
        if value.is_null() {
            let path = path.clone();
            return match self.optional || self.default.is_some() {
                true => Ok(()),
                false => Err(SchemaError::Null { path }),
            };
        }
        let length = path.len();
        let mut inside = |schema: &Schema, value: &Value, step: &dyn std::fmt::Display| {
            use std::fmt::Write;
            let _ = write!(path, "{step}");
            let result = schema.check_at(value, path);
            path.truncate(length);
            result
        };
        match (&self.kind, value) {
            (Kind::Array(element), Value::Array(values)) => values
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| inside(element, value, &format_args!("[{index}]"))),
            (Kind::Map(key, element), Value::Map(entries)) => entries.iter().try_for_each(|(its, value)| {
                inside(key, its, &" key")?;
                inside(element, value, &"[…]")
            }),
            (Kind::Struct(fields), Value::Struct(given)) if fields.len() == given.values().len() => {
                let mut both = fields.iter().zip(given.values());
                both.try_for_each(|(field, value)| {
                    inside(&field.schema, value, &format_args!(".{}", field.name))
                })
            }
            _ if self.fits(value) => Ok(()),
            _ => Err(SchemaError::Mismatch {
                path: path.clone(),
                expected: self.kind_name().to_owned(),
                found: value.kind_name(),
            }),
        }
    }

    /// Whether a value that has no parts is what the schema says.
    fn fits(&self, value: &Value) -> bool {
        use SchemaKind as Kind;
        let plain = matches!(
            (&self.kind, value),
            (Kind::Int8, Value::Int8(_))
                | (Kind::Int16, Value::Int16(_))
                | (Kind::Int32, Value::Int32(_))
                | (Kind::Int64, Value::Int64(_))
                | (Kind::Float32, Value::Float32(_))
                | (Kind::Float64, Value::Float64(_))
                | (Kind::Boolean, Value::Boolean(_))
                | (Kind::String, Value::String(_))
                | (Kind::Bytes, Value::Bytes(_))
        );
        match (self.name.as_deref(), &self.kind) {
            (Some(logical::DECIMAL), Kind::Bytes) => matches!(value, Value::Decimal(_)),
            (Some(logical::DATE), Kind::Int32) => matches!(value, Value::Date(_)),
            (Some(logical::TIME), Kind::Int32) => matches!(value, Value::Time(_)),
            (Some(logical::TIMESTAMP), Kind::Int64) => matches!(value, Value::Timestamp(_)),
            _ => plain,
        }
    }

    /// What it is, as messages and Kafka's JSON name it.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            SchemaKind::Int8 => "int8",
            SchemaKind::Int16 => "int16",
            SchemaKind::Int32 => "int32",
            SchemaKind::Int64 => "int64",
            SchemaKind::Float32 => "float",
            SchemaKind::Float64 => "double",
            SchemaKind::Boolean => "boolean",
            SchemaKind::String => "string",
            SchemaKind::Bytes => "bytes",
            SchemaKind::Array(_) => "array",
            SchemaKind::Map(..) => "map",
            SchemaKind::Struct(_) => "struct",
        }
    }
}
