//! Reads messages, by a plan that is made once for a message and its Connect schema.
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::logical::Logical;
use super::wire::{Input, Scalar, WireType, unzigzag};
use crate::converter::problem::Problem;
use crate::converter::unique_keys::keep_last;
use crate::record::{SchemaRef, Struct, Value};

type Done = Result<(), Problem>;

/// Fields with smaller numbers are found without a search.
const DIRECT: usize = 64;

/// How the fields of a message are read into the values of a struct.
#[derive(Debug)]
pub(super) struct ReadMessage {
    /// In the order of their numbers.
    fields: Vec<ReadField>,
    /// For each small number the place of its field, and one more.
    direct: [u16; DIRECT],
    /// What fields are that are not given.
    initial: Vec<Value>,
    /// How many values these are, with those inside.
    initial_count: usize,
    /// The places of values that have to be given, and the names of their fields.
    required: Vec<(usize, Arc<str>)>,
}

/// How a field is read.
#[derive(Debug)]
pub(super) struct ReadField {
    pub(super) number: u32,
    pub(super) name: Arc<str>,
    pub(super) slot: Slot,
    pub(super) read: Read,
}

/// Where the value of a field is kept.
#[derive(Debug)]
pub(super) enum Slot {
    /// In the struct.
    One(usize),
    /// In an array in the struct.
    Array(usize),
    /// In a map in the struct; the field is its entry.
    Map(usize),
    /// In the struct, where others of the oneof are null then.
    Flat(usize, Vec<usize>),
    /// In a struct of this schema in the struct, alone.
    Member(usize, usize, SchemaRef),
}

/// The integers of Connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Integer {
    Int8,
    Int16,
    Int32,
    Int64,
}

/// How a value is read.
#[derive(Debug, Clone)]
pub(super) enum Read {
    Integer(Scalar, Integer),
    Float,
    Double,
    Boolean,
    String,
    Bytes,
    Enum(Arc<ReadEnum>),
    /// The first field of a message.
    Wrapped(Box<Read>),
    Logical(Logical),
    Message(Arc<ReadMessage>, SchemaRef),
    /// A message of a key and a value.
    Entry(Box<(Read, Read)>),
}

/// How the numbers of an enum are read.
#[derive(Debug)]
pub(super) struct ReadEnum {
    pub(super) name: String,
    /// By number, in its order.
    pub(super) values: Vec<(i32, ByteString)>,
    /// The value of fields that are not given.
    pub(super) first: i32,
    pub(super) as_numbers: bool,
    /// Whether there are values that it does not name.
    pub(super) is_open: bool,
}

impl ReadEnum {
    pub(super) fn value(&self, number: i32) -> Option<Value> {
        let found = self.values.binary_search_by_key(&number, |(its, _)| *its);
        Some(match found {
            Err(_) if !self.is_open => return None,
            _ if self.as_numbers => Value::Int32(number),
            Ok(place) => Value::String(self.values[place].1.clone()),
            Err(_) => Value::from(format!("UNKNOWN_ENUM_VALUE_{}_{number}", self.name)),
        })
    }
}

impl ReadMessage {
    /// With the places of values that have to be given.
    pub(super) fn new(
        mut fields: Vec<ReadField>,
        initial: Vec<Value>,
        required: Vec<(usize, Arc<str>)>,
    ) -> Self {
        fields.sort_by_key(|field| field.number);
        let mut direct = [0; DIRECT];
        for (place, field) in fields.iter().enumerate() {
            if let (Some(entry), Ok(place)) =
                (direct.get_mut(field.number as usize), u16::try_from(place + 1))
            {
                *entry = place;
            }
        }
        Self {
            initial_count: initial.iter().map(count).sum(),
            fields,
            direct,
            initial,
            required,
        }
    }

    /// How many values a message without fields is read as.
    pub(super) fn initial_count(&self) -> usize {
        self.initial_count
    }

    fn field(&self, number: u32) -> Option<&ReadField> {
        match self.direct.get(number as usize) {
            Some(place) if self.fields.len() < usize::from(u16::MAX) => usize::from(*place)
                .checked_sub(1)
                .map(|place| &self.fields[place]),
            _ => {
                let place = self.fields.binary_search_by_key(&number, |field| field.number);
                place.ok().map(|place| &self.fields[place])
            }
        }
    }

    /// The struct that a message without fields is read as.
    pub(super) fn empty(&self, schema: &SchemaRef) -> Value {
        Value::Struct(Struct::new(Arc::clone(schema), self.initial.clone()))
    }

    /// The struct for the message that `input` is.
    pub(super) fn read(&self, schema: &SchemaRef, input: &mut Input<'_>) -> Result<Value, Problem> {
        input.count(self.initial_count)?;
        let values = self.merge(self.initial.clone(), input)?;
        Ok(Value::Struct(Struct::new(Arc::clone(schema), values)))
    }

    /// Reads the fields in `input` into values that are there.
    fn merge(&self, mut values: Vec<Value>, input: &mut Input<'_>) -> Result<Vec<Value>, Problem> {
        while !input.is_empty() {
            let (number, kind) = input.tag()?;
            match self.field(number) {
                Some(field) => field
                    .read_into(kind, &mut values, input)
                    .map_err(|problem| problem.within(format_args!(".{}", field.name)))?,
                None => input.skip(number, kind)?,
            }
        }
        for field in &self.fields {
            if let Slot::Map(place) = field.slot
                && let Value::Map(entries) = &mut values[place]
                && entries.len() > 1
            {
                *entries = keep_last(std::mem::take(entries));
            }
        }
        match self.required.iter().find(|(place, _)| values[*place].is_null()) {
            Some((_, name)) => {
                Err(Problem::new("the field is required, but not given").within(format_args!(".{name}")))
            }
            None => Ok(values),
        }
    }
}

/// How many values it is, with those inside.
fn count(value: &Value) -> usize {
    match value {
        Value::Struct(its) => its.values().iter().map(count).fold(1, usize::saturating_add),
        _ => 1,
    }
}

impl ReadField {
    fn read_into(&self, kind: WireType, values: &mut [Value], input: &mut Input<'_>) -> Done {
        let expected = self.read.wire_type();
        if kind != expected {
            return match (&self.slot, kind) {
                (Slot::Array(place), WireType::Length) if expected != WireType::Length => {
                    self.read_packed(&mut values[*place], input)
                }
                // As a field that nobody knows.
                _ => input.skip(self.number, kind),
            };
        }
        match &self.slot {
            Slot::One(place) => self.read.value_over(&mut values[*place], input),
            Slot::Array(place) => {
                if let (Some(value), Value::Array(array)) = (self.read.value(input)?, &mut values[*place]) {
                    input.count(1)?;
                    array.push(value);
                }
                Ok(())
            }
            Slot::Map(place) => {
                if let (Read::Entry(both), Value::Map(entries)) = (&self.read, &mut values[*place]) {
                    input.count(2)?;
                    entries.push(input.sized(|input| entry(both, input))?);
                }
                Ok(())
            }
            Slot::Flat(place, others) => {
                let mut value = std::mem::take(&mut values[*place]);
                self.read.value_over(&mut value, input)?;
                if !value.is_null() {
                    others.iter().for_each(|other| values[*other] = Value::Null);
                    values[*place] = value;
                }
                Ok(())
            }
            Slot::Member(place, member, schema) => {
                let mut value = match &values[*place] {
                    Value::Struct(union) => union.values()[*member].clone(),
                    _ => Value::Null,
                };
                self.read.value_over(&mut value, input)?;
                if !value.is_null() {
                    input.count(schema.fields().len())?;
                    let mut members = vec![Value::Null; schema.fields().len()];
                    members[*member] = value;
                    values[*place] = Value::Struct(Struct::new(Arc::clone(schema), members));
                }
                Ok(())
            }
        }
    }

    fn read_packed(&self, array: &mut Value, input: &mut Input<'_>) -> Done {
        let Value::Array(array) = array else {
            return input.skip(self.number, WireType::Length);
        };
        input.sized(|input| {
            while !input.is_empty() {
                input.count(1)?;
                array.extend(self.read.value(input)?);
            }
            Ok(())
        })
    }
}

fn entry((key, value): &(Read, Read), input: &mut Input<'_>) -> Result<(Value, Value), Problem> {
    let (mut its_key, mut its_value) = (key.absent(), value.absent());
    while !input.is_empty() {
        let (number, kind) = input.tag()?;
        match number {
            1 if kind == key.wire_type() => key.value_over(&mut its_key, input)?,
            2 if kind == value.wire_type() => {
                input.count(value.absent_count())?;
                value.value_over(&mut its_value, input)?;
            }
            _ => input.skip(number, kind)?,
        }
    }
    Ok((its_key, its_value))
}

impl Read {
    fn wire_type(&self) -> WireType {
        match self {
            Self::Integer(scalar, _) => scalar.wire_type(),
            Self::Float => WireType::Fixed32,
            Self::Double => WireType::Fixed64,
            Self::Boolean | Self::Enum(_) => WireType::Varint,
            _ => WireType::Length,
        }
    }

    /// The value of a field that is not given, if it has one.
    pub(super) fn absent(&self) -> Value {
        match self {
            Self::Integer(_, integer) => integer.value(0),
            Self::Float => Value::Float32(0.0),
            Self::Double => Value::Float64(0.0),
            Self::Boolean => Value::Boolean(false),
            Self::String => Value::String(ByteString::new()),
            Self::Bytes => Value::Bytes(Bytes::new()),
            Self::Enum(its) => its.value(its.first).unwrap_or_default(),
            Self::Wrapped(inner) => inner.absent(),
            Self::Logical(logical) => logical.empty(),
            Self::Message(message, schema) => message.empty(schema),
            Self::Entry(_) => Value::Null,
        }
    }

    /// How many values that is.
    pub(super) fn absent_count(&self) -> usize {
        match self {
            Self::Message(message, _) => message.initial_count().saturating_add(1),
            _ => 1,
        }
    }

    /// Reads a value in the place of another one. Messages that are given several times are one.
    fn value_over(&self, value: &mut Value, input: &mut Input<'_>) -> Done {
        if let (Self::Message(message, schema), Value::Struct(_)) = (self, &*value)
            && let Value::Struct(its) = std::mem::take(value)
        {
            let values = input.sized(|input| message.merge(its.into_values(), input))?;
            *value = Value::Struct(Struct::new(Arc::clone(schema), values));
            return Ok(());
        }
        if let Some(read) = self.value(input)? {
            *value = read;
        }
        Ok(())
    }

    /// The next value, if it is one that its type has.
    #[inline]
    fn value(&self, input: &mut Input<'_>) -> Result<Option<Value>, Problem> {
        Ok(Some(match self {
            Self::Integer(scalar, integer) => integer.value(read_integer(*scalar, input)?),
            Self::Float => Value::Float32(f32::from_le_bytes(input.fixed32()?)),
            Self::Double => Value::Float64(f64::from_le_bytes(input.fixed64()?)),
            Self::Boolean => Value::Boolean(input.varint()? != 0),
            Self::String => Value::String(input.text()?),
            Self::Bytes => Value::Bytes(input.bytes()?),
            Self::Enum(its) => return Ok(its.value(input.varint()? as i32)),
            Self::Wrapped(inner) => input.sized(|input| inner.wrapped(input))?,
            Self::Logical(logical) => input.sized(|input| logical.read(input))?,
            Self::Message(message, schema) => input.sized(|input| message.read(schema, input))?,
            Self::Entry(both) => {
                input.sized(|input| entry(both, input))?;
                return Ok(None);
            }
        }))
    }

    /// The value in the wrapper that `input` is.
    pub(super) fn wrapped(&self, input: &mut Input<'_>) -> Result<Value, Problem> {
        let mut value = self.absent();
        while !input.is_empty() {
            let (number, kind) = input.tag()?;
            match number {
                1 if kind == self.wire_type() => self.value_over(&mut value, input)?,
                _ => input.skip(number, kind)?,
            }
        }
        Ok(value)
    }
}

impl Integer {
    pub(super) fn value(self, number: i64) -> Value {
        match self {
            Self::Int8 => Value::Int8(number as i8),
            Self::Int16 => Value::Int16(number as i16),
            Self::Int32 => Value::Int32(number as i32),
            Self::Int64 => Value::Int64(number),
        }
    }
}

#[inline]
fn read_integer(scalar: Scalar, input: &mut Input<'_>) -> Result<i64, Problem> {
    Ok(match scalar {
        Scalar::Fixed32 => u32::from_le_bytes(input.fixed32()?).into(),
        Scalar::Sfixed32 => i32::from_le_bytes(input.fixed32()?).into(),
        Scalar::Fixed64 | Scalar::Sfixed64 => i64::from_le_bytes(input.fixed64()?),
        // Numbers of 32 bits may have more in front, which do not count.
        Scalar::Uint32 => i64::from(input.varint()? as u32),
        Scalar::Sint32 => unzigzag(u64::from(input.varint()? as u32)),
        Scalar::Int32 => i64::from(input.varint()? as i32),
        Scalar::Sint64 => unzigzag(input.varint()?),
        _ => input.varint()? as i64,
    })
}
