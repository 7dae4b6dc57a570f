//! Reads Avro's binary data.
use std::sync::Arc;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use bytes::{Buf, Bytes};
use bytestring::ByteString;

use crate::converter::problem::Problem;
use crate::converter::unique_keys::keep_last;
use crate::record::{SchemaRef, Struct, Value};

/// How deep values without a schema may be nested.
const DEPTH_MAX: usize = 200;

/// How data of a schema are read.
#[derive(Debug, Clone)]
pub(super) enum Read {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Bytes,
    String,
    /// So many bytes.
    Fixed(usize),
    Enum(Arc<[ByteString]>),
    /// With this scale; so many bytes, or as many as are said.
    Decimal(i64, Option<usize>),
    Date,
    Time,
    Timestamp,
    Array(Box<Read>),
    Map(Box<Read>),
    /// An array of keys and values.
    Pairs(Box<(Read, Read)>),
    Record(Option<SchemaRef>, Vec<Read>),
    /// A union that is read as one of its branches; none is null.
    Branches(Vec<Option<Read>>),
    /// A union that is read as a struct: for each branch its field.
    Union(Option<SchemaRef>, Vec<Option<(usize, Read)>>),
    /// A value without a schema.
    Anything,
}

type Decoded = Result<Value, Problem>;

impl Read {
    /// The same, making structs of `schema`.
    pub(super) fn of_schema(self, schema: SchemaRef) -> Self {
        match self {
            Self::Record(_, fields) => Self::Record(Some(schema), fields),
            Self::Union(_, branches) => Self::Union(Some(schema), branches),
            Self::Branches(branches) => {
                let branches = branches.into_iter();
                let inner = |read: Read| read.of_schema(Arc::clone(&schema));
                Self::Branches(branches.map(|branch| branch.map(inner)).collect())
            }
            other => other,
        }
    }

    /// The value that `input` begins with.
    pub(super) fn value(&self, input: &mut Bytes) -> Decoded {
        Ok(match self {
            Self::Boolean => Value::Boolean(byte(input)? != 0),
            Self::Int8 => Value::Int8(int(input)? as i8),
            Self::Int16 => Value::Int16(int(input)? as i16),
            Self::Int32 => Value::Int32(int(input)?),
            Self::Int64 => Value::Int64(long(input)?),
            Self::Float32 => Value::Float32(input.try_get_f32_le().map_err(|_| ended())?),
            Self::Float64 => Value::Float64(input.try_get_f64_le().map_err(|_| ended())?),
            Self::Bytes => Value::Bytes(sized(input)?),
            Self::String => Value::String(text(input)?),
            Self::Fixed(size) => Value::Bytes(take(input, *size)?),
            Self::Enum(symbols) => {
                let place = usize::try_from(int(input)?).ok();
                let symbol = place.and_then(|place| symbols.get(place));
                Value::String(
                    symbol
                        .ok_or_else(|| Problem::new("an enum has no such symbol"))?
                        .clone(),
                )
            }
            Self::Decimal(scale, size) => {
                let bytes = match size {
                    Some(size) => take(input, *size)?,
                    None => sized(input)?,
                };
                if bytes.is_empty() {
                    return Err(Problem::new("a decimal has no bytes"));
                }
                let unscaled = BigInt::from_signed_bytes_be(&bytes);
                Value::Decimal(Box::new(BigDecimal::new(unscaled, *scale)))
            }
            Self::Date => Value::Date(int(input)?),
            Self::Time => match int(input)? {
                ms @ 0..=86_400_000 => Value::Time(ms),
                ms => return Err(Problem::new(format!("{ms} ms are no time of a day"))),
            },
            Self::Timestamp => Value::Timestamp(long(input)?),
            Self::Array(element) => Value::Array(blocks(input, |input| element.value(input))?),
            Self::Map(element) => Value::Map(keep_last(blocks(input, |input| {
                Ok((Value::String(text(input)?), element.value(input)?))
            })?)),
            Self::Pairs(both) => Value::Map(keep_last(blocks(input, |input| {
                Ok((both.0.value(input)?, both.1.value(input)?))
            })?)),
            Self::Record(schema, fields) => record(schema.as_ref(), fields, input)?,
            Self::Branches(branches) => match branch(branches, input)? {
                Some(read) => read.value(input)?,
                None => Value::Null,
            },
            Self::Union(schema, branches) => match (branch(branches, input)?, schema) {
                (Some((place, read)), Some(schema)) => {
                    let mut values = vec![Value::Null; schema.fields().len()];
                    values[*place] = read.value(input)?;
                    Value::Struct(Struct::new(Arc::clone(schema), values))
                }
                _ => Value::Null,
            },
            Self::Anything => anything(input, 0)?,
        })
    }
}

fn record(schema: Option<&SchemaRef>, fields: &[Read], input: &mut Bytes) -> Decoded {
    let schema = schema.expect("records were given their schemas");
    let mut values = Vec::with_capacity(fields.len());
    for (read, field) in fields.iter().zip(schema.fields()) {
        let value = read.value(input);
        values.push(value.map_err(|problem| problem.within(format_args!(".{}", field.name)))?);
    }
    Ok(Value::Struct(Struct::new(Arc::clone(schema), values)))
}

fn branch<'a, T>(branches: &'a [Option<T>], input: &mut Bytes) -> Result<Option<&'a T>, Problem> {
    let place = usize::try_from(long(input)?).ok();
    let branch = place.and_then(|place| branches.get(place));
    let branch = branch.ok_or_else(|| Problem::new("a union has no such branch"))?;
    Ok(branch.as_ref())
}

fn ended() -> Problem {
    Problem::new("the data end too early for their schema")
}

fn byte(input: &mut Bytes) -> Result<u8, Problem> {
    input.try_get_u8().map_err(|_| ended())
}

fn int(input: &mut Bytes) -> Result<i32, Problem> {
    i32::try_from(long(input)?).map_err(|_| Problem::new("an int has more than 32 bits"))
}

fn long(input: &mut Bytes) -> Result<i64, Problem> {
    let mut bits = 0_u64;
    for (place, byte) in input.iter().take(10).enumerate() {
        bits |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            input.advance(place + 1);
            return Ok((bits >> 1) as i64 ^ -((bits & 1) as i64));
        }
    }
    Err(match input.len() {
        ..10 => ended(),
        _ => Problem::new("a number has more than 64 bits"),
    })
}

fn take(input: &mut Bytes, size: usize) -> Result<Bytes, Problem> {
    match size <= input.len() {
        true => Ok(input.split_to(size)),
        false => Err(ended()),
    }
}

fn sized(input: &mut Bytes) -> Result<Bytes, Problem> {
    let size = long(input)?;
    take(
        input,
        usize::try_from(size).map_err(|_| Problem::new("a length is negative"))?,
    )
}

fn text(input: &mut Bytes) -> Result<ByteString, Problem> {
    ByteString::try_from(sized(input)?).map_err(|_| Problem::new("a string is not UTF-8"))
}

/// Items in blocks. No block may say that it has more items than there are bytes left.
fn blocks<T>(
    input: &mut Bytes,
    mut item: impl FnMut(&mut Bytes) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let mut items = Vec::new();
    loop {
        let mut count = long(input)?;
        if count < 0 {
            // The size of the block in bytes follows.
            long(input)?;
            count = count.checked_neg().ok_or_else(ended)?;
        }
        let count = usize::try_from(count).map_err(|_| ended())?;
        if count == 0 {
            return Ok(items);
        }
        if count > input.len() {
            return Err(ended());
        }
        for _ in 0..count {
            let place = items.len();
            items.push(item(input).map_err(|problem| problem.within(format_args!("[{place}]")))?);
        }
    }
}

/// A record with a field for each type, of which at most one is given.
fn anything(input: &mut Bytes, depth: usize) -> Decoded {
    if depth > DEPTH_MAX {
        return Err(Problem::new(format!("it is nested more than {DEPTH_MAX} deep")));
    }
    let mut found = Value::Null;
    for field in 0..9 {
        match long(input)? {
            0 => continue,
            1 => {}
            _ => return Err(Problem::new("a union has no such branch")),
        }
        let value = match field {
            0 => Read::Boolean.value(input)?,
            1 => Read::Bytes.value(input)?,
            2 => Read::Float64.value(input)?,
            3 => Read::Float32.value(input)?,
            4 => Read::Int32.value(input)?,
            5 => Read::Int64.value(input)?,
            6 => Read::String.value(input)?,
            7 => Value::Array(blocks(input, |input| anything(input, depth + 1))?),
            _ => Value::Map(keep_last(blocks(input, |input| {
                Ok((anything(input, depth + 1)?, anything(input, depth + 1)?))
            })?)),
        };
        if found.is_null() {
            found = value;
        }
    }
    Ok(found)
}
