//! Values.
use std::fmt;
use std::sync::{Arc, OnceLock};

use bigdecimal::BigDecimal;
use bytes::Bytes;
use bytestring::ByteString;

use super::SchemaRef;

/// A value as Kafka Connect knows it. Which Java class stands for it there is given in parentheses.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// None (`null`).
    #[default]
    Null,
    /// (`Boolean`)
    Boolean(bool),
    /// (`Byte`)
    Int8(i8),
    /// (`Short`)
    Int16(i16),
    /// (`Integer`)
    Int32(i32),
    /// (`Long`)
    Int64(i64),
    /// (`Float`)
    Float32(f32),
    /// (`Double`)
    Float64(f64),
    /// A text that shares its buffer (`String`).
    String(ByteString),
    /// Bytes that share their buffer (`byte[]`, `ByteBuffer`).
    Bytes(Bytes),
    /// The logical type [`DECIMAL`](super::logical::DECIMAL) over bytes (`BigDecimal`); its scale is the schema's.
    Decimal(Box<BigDecimal>),
    /// The logical type [`DATE`](super::logical::DATE) over int32: days since 1970 (`java.util.Date` at midnight UTC).
    Date(i32),
    /// The logical type [`TIME`](super::logical::TIME) over int32: milliseconds since midnight (`java.util.Date`).
    Time(i32),
    /// The logical type [`TIMESTAMP`](super::logical::TIMESTAMP) over int64: milliseconds since 1970 UTC (`java.util.Date`).
    Timestamp(i64),
    /// (`List`)
    Array(Vec<Value>),
    /// Keys and values in their order (`Map`). Without a schema keys are texts.
    Map(Vec<(Value, Value)>),
    /// (`Struct`)
    Struct(Struct),
}

/// The values of a struct's fields, in the order of its schema's.
#[derive(Clone)]
pub struct Struct {
    schema: SchemaRef,
    values: Values,
}

#[derive(Clone)]
enum Values {
    Own(Vec<Value>),
    /// Many structs have them.
    Shared(Arc<[Value]>),
    /// Many structs have them, but for one.
    Varied(Box<Varied>),
}

#[derive(Clone)]
struct Varied {
    base: Arc<[Value]>,
    field: usize,
    value: Value,
    /// All of them, once somebody asks.
    whole: OnceLock<Box<[Value]>>,
}

impl Varied {
    fn whole(&self) -> &[Value] {
        self.whole.get_or_init(|| {
            let mut values: Box<[Value]> = self.base.as_ref().into();
            values[self.field] = self.value.clone();
            values
        })
    }
}

/// What a struct has in common with others.
pub(crate) enum Common<'a> {
    /// Nothing that is known.
    Nothing,
    /// All values.
    All(&'a Arc<[Value]>),
    /// All values but that of a field, which has this one.
    But(&'a Arc<[Value]>, usize, &'a Value),
}

impl fmt::Debug for Struct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Struct")
            .field("schema", &self.schema)
            .field("values", &self.values())
            .finish()
    }
}

impl PartialEq for Struct {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema && self.values() == other.values()
    }
}

impl Struct {
    /// A struct of `schema` whose fields have `values`, one for each.
    ///
    /// # Panics
    /// If there are more or fewer values than fields, which is a programmer's mistake.
    pub fn new(schema: SchemaRef, values: Vec<Value>) -> Self {
        assert_eq!(schema.fields().len(), values.len(), "a value for each field");
        let values = Values::Own(values);
        Self { schema, values }
    }

    /// The same with values that many structs have: cloning it copies none, and a converter may write them once for all of them.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use millstream_connect::record::{Field, Schema, SchemaKind, Struct, Value};
    ///
    /// let field = Field { name: "server".into(), schema: Schema::string() };
    /// let schema = Arc::new(Schema::from(SchemaKind::Struct(vec![field])));
    /// let values = vec![Value::from("db1")];
    /// let shared = Struct::shared(Arc::clone(&schema), values.clone().into());
    /// assert_eq!(shared, Struct::new(schema, values));
    /// ```
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn shared(schema: SchemaRef, values: Arc<[Value]>) -> Self {
        assert_eq!(schema.fields().len(), values.len(), "a value for each field");
        let values = Values::Shared(values);
        Self { schema, values }
    }

    /// The same, but that the field at `field` has another value, which is this struct's own.
    ///
    /// # Panics
    /// As [`Self::new`], and without such a field.
    pub fn varied(schema: SchemaRef, base: Arc<[Value]>, field: usize, value: Value) -> Self {
        assert_eq!(schema.fields().len(), base.len(), "a value for each field");
        assert!(field < base.len(), "a field of the schema");
        let varied = Varied {
            base,
            field,
            value,
            whole: OnceLock::new(),
        };
        let values = Values::Varied(Box::new(varied));
        Self { schema, values }
    }

    /// A struct of `schema` whose fields are all null.
    pub fn empty(schema: SchemaRef) -> Self {
        let values = Values::Own(vec![Value::Null; schema.fields().len()]);
        Self { schema, values }
    }

    /// Its schema, which has fields.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The values, in the order of the schema's fields.
    pub fn values(&self) -> &[Value] {
        match &self.values {
            Values::Own(values) => values,
            Values::Shared(values) => values,
            Values::Varied(varied) => varied.whole(),
        }
    }

    /// The values, as far as other structs have them, too.
    pub(crate) fn common(&self) -> Common<'_> {
        match &self.values {
            Values::Own(_) => Common::Nothing,
            Values::Shared(values) => Common::All(values),
            Values::Varied(varied) => Common::But(&varied.base, varied.field, &varied.value),
        }
    }

    /// The values, taken out.
    pub fn into_values(self) -> Vec<Value> {
        match self.values {
            Values::Own(values) => values,
            Values::Shared(values) => values.to_vec(),
            Values::Varied(varied) => varied.whole().to_vec(),
        }
    }

    /// The value of the field `name`, if the schema has it. A field that is null and has a default is null here.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.schema.field_index(name).map(|index| &self.values()[index])
    }

    /// Sets the field `name`; false if the schema has no such field.
    pub fn set(&mut self, name: &str, value: Value) -> bool {
        let Some(index) = self.schema.field_index(name) else {
            return false;
        };
        if !matches!(self.values, Values::Own(_)) {
            self.values = Values::Own(self.values().to_vec());
        }
        if let Values::Own(values) = &mut self.values {
            values[index] = value;
        }
        true
    }
}

impl Value {
    /// Whether there is none.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, as messages name it.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Int8(_) => "int8",
            Self::Int16(_) => "int16",
            Self::Int32(_) => "int32",
            Self::Int64(_) => "int64",
            Self::Float32(_) => "float32",
            Self::Float64(_) => "float64",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Decimal(_) => "decimal",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::Timestamp(_) => "timestamp",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Struct(_) => "struct",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(ByteString::from(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(ByteString::from(text))
    }
}
