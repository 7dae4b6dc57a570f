//! Writes messages, by a plan that is made once for a Connect schema and the message it became.
use std::collections::HashMap;
use std::sync::Arc;

use super::config::Options;
use super::files::{Enum, FieldKind, Message, MessageField, Named, Types};
use super::logical::Logical;
use super::names::{ENUM, is_union, scrubbed};
use super::wire::{Scalar, WireType, write_sized, write_varint, zigzag};
use super::wrappers::wrapped;
use crate::converter::problem::Problem;
use crate::converter::schema_cache::Alike;
use crate::record::{SchemaKind, SchemaRef, Value};

type Done = Result<(), Problem>;

/// How a struct, or another whole value, is written.
#[derive(Debug)]
pub(super) struct WriteMessage {
    schema: SchemaRef,
    alike: Alike,
    /// In the order of their numbers.
    fields: Vec<WriteField>,
    /// The fields that are oneofs.
    unions: Vec<usize>,
    replaces_null: bool,
}

#[derive(Debug)]
struct WriteField {
    /// Of the value in the struct.
    place: usize,
    /// Of the value in the struct for a oneof.
    member: Option<usize>,
    name: Arc<str>,
    form: Form,
    /// Whether it is also written if it has the default of its type.
    presence: bool,
    /// What stands for null.
    default: Option<Value>,
    tag: Vec<u8>,
}

/// How a value is written.
#[derive(Debug)]
enum Form {
    Scalar(Scalar),
    /// By their names.
    Enum(HashMap<String, i32>),
    /// By their numbers.
    EnumNumber(Arc<Enum>),
    /// In the first field of a message.
    Wrapped(Scalar),
    Logical(Logical),
    Message(WriteMessage),
    Array(Box<Form>),
    /// Elements one behind the other, with the length of all.
    Packed(Box<Form>),
    Map(Box<WriteEntry>),
}

/// How an entry of a map is written: as a message of two fields.
#[derive(Debug)]
struct WriteEntry {
    key: WriteField,
    value: WriteField,
}

/// What plans are made with.
#[derive(Clone, Copy)]
pub(super) struct Plans<'a> {
    pub(super) types: &'a Types,
    pub(super) options: Options,
}

impl Plans<'_> {
    /// The plan for a whole value.
    pub(super) fn root(self, schema: &SchemaRef, message: &Message) -> Result<WriteMessage, Problem> {
        if matches!(schema.kind, SchemaKind::Struct(_)) {
            return self.message(schema, message);
        }
        // A wrapper: a message whose only field is the value itself.
        let field = message
            .field("value")
            .ok_or_else(|| not_found("value", message))?;
        Ok(WriteMessage {
            schema: Arc::clone(schema),
            alike: Alike::default(),
            fields: vec![self.field(0, None, schema, field, message)?.1],
            unions: Vec::new(),
            replaces_null: false,
        })
    }

    fn message(self, schema: &SchemaRef, message: &Message) -> Result<WriteMessage, Problem> {
        let mut fields = Vec::with_capacity(schema.fields().len());
        let mut unions = Vec::new();
        for (place, its) in schema.fields().iter().enumerate() {
            let inside = |problem: Problem| problem.within(format_args!(".{}", its.name));
            let mut add = |member: Option<usize>, its: &crate::record::Field| {
                let name = scrubbed(&its.name, self.options.scrub_names);
                let field = message.field(&name).ok_or_else(|| not_found(&name, message))?;
                fields.push(self.field(place, member, &its.schema, field, message)?);
                Ok(())
            };
            if is_union(&its.schema) {
                unions.push(place);
                for (member, its) in its.schema.fields().iter().enumerate() {
                    add(Some(member), its).map_err(inside)?;
                }
            } else {
                add(None, its).map_err(inside)?;
            }
        }
        fields.sort_by_key(|(number, _)| *number);
        Ok(WriteMessage {
            schema: Arc::clone(schema),
            alike: Alike::default(),
            fields: fields.into_iter().map(|(_, field)| field).collect(),
            unions,
            replaces_null: !self.options.ignore_default,
        })
    }

    fn field(
        self,
        place: usize,
        member: Option<usize>,
        schema: &SchemaRef,
        field: &MessageField,
        message: &Message,
    ) -> Result<(u32, WriteField), Problem> {
        let form = self.form(schema, field, message)?;
        let wire_type = match &form {
            Form::Scalar(scalar) => scalar.wire_type(),
            Form::Array(element) => element.wire_type(),
            form => form.wire_type(),
        };
        let mut tag = Vec::new();
        write_varint(u64::from(field.number) << 3 | wire_type as u64, &mut tag);
        let write = WriteField {
            place,
            member,
            name: Arc::clone(&field.name),
            presence: !field.is_proto3 || field.proto3_optional || field.oneof.is_some(),
            default: schema.default.clone().filter(|_| !self.options.ignore_default),
            form,
            tag,
        };
        Ok((field.number, write))
    }

    fn form(self, schema: &SchemaRef, field: &MessageField, message: &Message) -> Result<Form, Problem> {
        match &schema.kind {
            SchemaKind::Array(element) if field.repeated => {
                let form = Box::new(self.single(element, field, message)?);
                Ok(match form.wire_type() {
                    WireType::Length => Form::Array(form),
                    _ if field.is_proto3 => Form::Packed(form),
                    _ => Form::Array(form),
                })
            }
            SchemaKind::Map(key, value) if field.repeated => {
                let entry = self.named(field, message)?;
                let Named::Message(entry) = entry else {
                    return Err(mismatch(schema, field));
                };
                let part = |name: &str, schema: &SchemaRef| {
                    let field = entry.field(name).ok_or_else(|| not_found(name, &entry))?;
                    let (_, write) = self
                        .field(0, None, schema, field, &entry)
                        .map_err(|problem| problem.within(format_args!(" {name}")))?;
                    Ok(write)
                };
                let (key, value) = (part("key", key)?, part("value", value)?);
                Ok(Form::Map(Box::new(WriteEntry { key, value })))
            }
            _ if field.repeated => Err(mismatch(schema, field)),
            _ => self.single(schema, field, message),
        }
    }

    fn named(self, field: &MessageField, message: &Message) -> Result<Named, Problem> {
        match &field.kind {
            FieldKind::Named(name) => self.types.resolve(&message.full, name),
            FieldKind::Scalar(scalar) => Err(Problem::new(format!("a {} is no message", scalar.name()))),
            FieldKind::Group => Err(Problem::new("groups are not supported")),
        }
    }

    /// The form of a value that is not repeated.
    fn single(self, schema: &SchemaRef, field: &MessageField, message: &Message) -> Result<Form, Problem> {
        if let FieldKind::Scalar(scalar) = field.kind {
            return match fits(schema, scalar) {
                true => Ok(Form::Scalar(scalar)),
                false => Err(mismatch(schema, field)),
            };
        }
        let its = match self.named(field, message)? {
            Named::Message(its) => its,
            Named::Enum(its) => return self.enumeration(schema, its, field),
        };
        if let Some(logical) = Logical::of_message(&its.full) {
            return Ok(Form::Logical(logical));
        }
        if matches!(schema.kind, SchemaKind::Struct(_)) {
            return self.message(schema, &its).map(Form::Message);
        }
        match wrapped(&its) {
            Some(scalar) if fits(schema, scalar) => Ok(Form::Wrapped(scalar)),
            _ => Err(mismatch(schema, field)),
        }
    }

    fn enumeration(self, schema: &SchemaRef, its: Arc<Enum>, field: &MessageField) -> Result<Form, Problem> {
        match &schema.kind {
            SchemaKind::Int8 | SchemaKind::Int16 | SchemaKind::Int32 => Ok(Form::EnumNumber(its)),
            SchemaKind::String => {
                let mut numbers = HashMap::new();
                for (name, number) in &schema.parameters {
                    let name = name.strip_prefix(ENUM).and_then(|rest| rest.strip_prefix('.'));
                    if let (Some(name), Ok(number)) = (name, number.parse()) {
                        numbers.insert(name.to_owned(), number);
                    }
                }
                Ok(Form::Enum(numbers))
            }
            _ => Err(mismatch(schema, field)),
        }
    }
}

fn fits(schema: &SchemaRef, scalar: Scalar) -> bool {
    match &schema.kind {
        SchemaKind::Int8 | SchemaKind::Int16 | SchemaKind::Int32 => scalar.integer_bits() == Some(32),
        SchemaKind::Int64 => match scalar.integer_bits() {
            Some(64) => true,
            _ => matches!(scalar, Scalar::Uint32 | Scalar::Fixed32),
        },
        SchemaKind::Float32 => scalar == Scalar::Float,
        SchemaKind::Float64 => scalar == Scalar::Double,
        SchemaKind::Boolean => scalar == Scalar::Bool,
        SchemaKind::String => scalar == Scalar::String,
        SchemaKind::Bytes => scalar == Scalar::Bytes,
        _ => false,
    }
}

fn not_found(name: &str, message: &Message) -> Problem {
    Problem::new(format!(
        "the message {} has no field {name}: two structs with that name have different fields; rename one",
        message.full
    ))
}

fn mismatch(schema: &SchemaRef, field: &MessageField) -> Problem {
    let kind = match &field.kind {
        FieldKind::Scalar(scalar) => scalar.name(),
        FieldKind::Named(name) => name,
        FieldKind::Group => "group",
    };
    let repeated = if field.repeated { "repeated " } else { "" };
    Problem::new(format!(
        "a value of type {} cannot be written as {repeated}{kind}",
        schema.kind_name()
    ))
}

impl WriteMessage {
    /// Writes the fields of a whole value.
    pub(super) fn root(&self, value: &Value, out: &mut Vec<u8>) -> Done {
        match value {
            Value::Struct(_) => self.fields_of(value, out),
            value => match self.fields.first() {
                Some(field) if !matches!(self.schema.kind, SchemaKind::Struct(_)) => field.write(value, out),
                _ => Err(wrong(value)),
            },
        }
    }

    fn fields_of(&self, value: &Value, out: &mut Vec<u8>) -> Done {
        let Value::Struct(its) = value else {
            return Err(wrong(value));
        };
        if !self.alike.has(&self.schema, its.schema()) {
            return Err(Problem::new("the struct has another schema than is said of it"));
        }
        let values = its.values();
        for field in &self.fields {
            let written = match (&values[field.place], field.member) {
                (value, None) => field.write(value, out),
                (Value::Struct(union), Some(member)) => match self.member(union) {
                    Some(given) if given == member => field.write(&union.values()[member], out),
                    _ => Ok(()),
                },
                (Value::Null, Some(_)) => Ok(()),
                (other, Some(_)) => Err(wrong(other)),
            };
            written.map_err(|problem| problem.within(format_args!(".{}", field.name)))?;
        }
        for place in &self.unions {
            if let Value::Struct(union) = &values[*place]
                && self.member(union).is_none()
            {
                let name = &self.schema.fields()[*place].name;
                return Err(Problem::new("no member of the oneof is given").within(format_args!(".{name}")));
            }
        }
        Ok(())
    }

    /// The member of a oneof that is given.
    fn member(&self, union: &crate::record::Struct) -> Option<usize> {
        let mut both = union.values().iter().zip(union.schema().fields());
        both.position(|(value, field)| {
            !value.is_null() || (self.replaces_null && field.schema.default.is_some())
        })
    }
}

impl WriteField {
    fn write(&self, value: &Value, out: &mut Vec<u8>) -> Done {
        let value = match (value, &self.default) {
            (Value::Null, Some(default)) => default,
            (Value::Null, None) => return Ok(()),
            (value, _) => value,
        };
        match (&self.form, value) {
            (Form::Array(element), Value::Array(values)) => {
                for (place, value) in values.iter().enumerate() {
                    out.extend_from_slice(&self.tag);
                    let written = element.write(value, out);
                    written.map_err(|problem| problem.within(format_args!("[{place}]")))?;
                }
                Ok(())
            }
            (Form::Packed(_), Value::Array(values)) if values.is_empty() => Ok(()),
            (Form::Map(entry), Value::Map(entries)) => {
                for (key, value) in entries {
                    out.extend_from_slice(&self.tag);
                    write_sized(out, |out| {
                        entry
                            .key
                            .write(key, out)
                            .map_err(|problem| problem.within(" key"))?;
                        entry
                            .value
                            .write(value, out)
                            .map_err(|problem| problem.within("[…]"))
                    })?;
                }
                Ok(())
            }
            (form, value) => {
                let start = out.len();
                out.extend_from_slice(&self.tag);
                form.write(value, out)?;
                let value_start = start + self.tag.len();
                // What is not written is read as the default.
                if !self.presence && form.is_default(&out[value_start..]) {
                    out.truncate(start);
                }
                Ok(())
            }
        }
    }
}

impl Form {
    fn wire_type(&self) -> WireType {
        match self {
            Self::Scalar(scalar) => scalar.wire_type(),
            Self::Enum(_) | Self::EnumNumber(_) => WireType::Varint,
            _ => WireType::Length,
        }
    }

    /// Whether bytes that it wrote are those of the default of its type: zeros.
    fn is_default(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Scalar(_) | Self::Enum(_) | Self::EnumNumber(_) => bytes.iter().all(|byte| *byte == 0),
            _ => false,
        }
    }

    fn write(&self, value: &Value, out: &mut Vec<u8>) -> Done {
        match self {
            Self::Scalar(scalar) => write_scalar(*scalar, value, out)?,
            Self::Wrapped(scalar) => write_sized(out, |out| {
                write_varint(1 << 3 | scalar.wire_type() as u64, out);
                let start = out.len();
                write_scalar(*scalar, value, out)?;
                if out[start..].iter().all(|byte| *byte == 0) {
                    out.truncate(start - 1);
                }
                Ok(())
            })?,
            Self::Enum(numbers) => match value {
                Value::String(name) => {
                    let number = numbers.get(&**name);
                    let number =
                        number.ok_or_else(|| Problem::new(format!("the enum has no value {name:?}")))?;
                    write_varint(i64::from(*number) as u64, out);
                }
                other => return Err(wrong(other)),
            },
            Self::EnumNumber(its) => {
                let number = integer(value).ok_or_else(|| wrong(value))?;
                if !its.values.iter().any(|(_, known)| i64::from(*known) == number) {
                    return Err(Problem::new(format!(
                        "the enum {} has no value {number}",
                        its.full
                    )));
                }
                write_varint(number as u64, out);
            }
            Self::Logical(logical) => write_sized(out, |out| {
                logical.write(value, out).unwrap_or_else(|| Err(wrong(value)))
            })?,
            Self::Message(message) => write_sized(out, |out| message.fields_of(value, out))?,
            Self::Packed(element) => match value {
                Value::Array(values) => write_sized(out, |out| {
                    for (place, value) in values.iter().enumerate() {
                        let written = element.write(value, out);
                        written.map_err(|problem| problem.within(format_args!("[{place}]")))?;
                    }
                    Ok(())
                })?,
                other => return Err(wrong(other)),
            },
            Self::Array(_) | Self::Map(_) => return Err(wrong(value)),
        }
        Ok(())
    }
}

fn integer(value: &Value) -> Option<i64> {
    Some(match value {
        Value::Int8(number) => (*number).into(),
        Value::Int16(number) => (*number).into(),
        Value::Int32(number) => (*number).into(),
        Value::Int64(number) => *number,
        _ => return None,
    })
}

fn write_scalar(scalar: Scalar, value: &Value, out: &mut Vec<u8>) -> Done {
    match (scalar, value) {
        (Scalar::Bool, Value::Boolean(value)) => out.push((*value).into()),
        (Scalar::Float, Value::Float32(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Scalar::Double, Value::Float64(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Scalar::String, Value::String(text)) => write_bytes(text.as_bytes(), out),
        (Scalar::Bytes, Value::Bytes(bytes)) => write_bytes(bytes, out),
        (scalar, value) => {
            let number = integer(value).ok_or_else(|| wrong(value))?;
            match scalar {
                Scalar::Int32 | Scalar::Int64 | Scalar::Uint64 => write_varint(number as u64, out),
                Scalar::Uint32 => write_varint((number as u32).into(), out),
                Scalar::Sint32 | Scalar::Sint64 => write_varint(zigzag(number), out),
                Scalar::Fixed32 | Scalar::Sfixed32 => out.extend_from_slice(&(number as u32).to_le_bytes()),
                Scalar::Fixed64 | Scalar::Sfixed64 => out.extend_from_slice(&number.to_le_bytes()),
                _ => return Err(wrong(value)),
            }
        }
    }
    Ok(())
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn wrong(value: &Value) -> Problem {
    Problem::new(match value {
        Value::Null => "null cannot be written here: Protobuf has no null in arrays".to_owned(),
        value => format!(
            "a value of type {} is not what the schema says",
            value.kind_name()
        ),
    })
}
