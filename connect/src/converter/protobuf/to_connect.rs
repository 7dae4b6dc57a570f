//! The Connect schema of a message, and the plan for reading it.
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::config::Options;
use super::files::{Enum, FieldKind, Message, MessageField, Named, Types};
use super::logical::Logical;
use super::names::{CONNECT_TYPE, DECIMAL_PRECISION, ENUM, TAG, TYPE, WRAPPER, of_map, of_union, simple};
use super::read::{Integer, Read, ReadEnum, ReadField, ReadMessage, Slot};
use super::wire::Scalar;
use super::wrappers::wrapped;
use crate::converter::problem::Problem;
use crate::record::{Field, Schema, SchemaKind, SchemaRef, Value};

/// How deep messages may be nested.
const DEPTH_MAX: usize = 100;

/// How many values a message without fields may be read as.
const INITIAL_MAX: usize = 100_000;

/// How whole values are read.
#[derive(Debug)]
pub(super) enum Root {
    Message(Arc<ReadMessage>, SchemaRef),
    /// The first field of a wrapper.
    Wrapped(Read, SchemaRef),
}

/// Makes the schema and the plan for a message. `version` is the registry's.
pub(super) fn convert(
    types: &Types,
    message: &Arc<Message>,
    version: Option<i32>,
    options: Options,
) -> Result<Root, Problem> {
    let mut converter = ToConnect {
        types,
        options,
        done: HashMap::new(),
        under_way: Vec::new(),
    };
    if options.wrapper_for_primitives
        && let Some(scalar) = wrapped(message)
    {
        let (kind, read) = plain(scalar, None);
        let mut schema = Schema::from(kind);
        schema.version = version;
        return Ok(Root::Wrapped(read, Arc::new(schema)));
    }
    let (mut schema, read) = converter.message(message)?;
    schema.version = version;
    Ok(Root::Message(read, Arc::new(schema)))
}

struct ToConnect<'a> {
    types: &'a Types,
    options: Options,
    /// Messages that were seen, with their schemas as they were there.
    done: HashMap<Arc<str>, (Schema, Arc<ReadMessage>)>,
    under_way: Vec<Arc<str>>,
}

/// A type and how it is read.
type Converted = (Schema, Read);
/// A field's type and how it is read.
type ConvertedField = (SchemaRef, Read);

impl ToConnect<'_> {
    fn message(&mut self, message: &Message) -> Result<(Schema, Arc<ReadMessage>), Problem> {
        if self.under_way.contains(&message.full) {
            return Err(Problem::new(format!(
                "the message {} holds itself, which a schema of Connect cannot; read the topic with ByteArrayConverter",
                message.full
            )));
        }
        if self.under_way.len() >= DEPTH_MAX {
            return Err(Problem::new(format!(
                "messages are nested more than {DEPTH_MAX} deep"
            )));
        }
        self.under_way.push(Arc::clone(&message.full));
        let result = self.fields(message);
        self.under_way.pop();
        result
    }

    fn fields(&mut self, message: &Message) -> Result<(Schema, Arc<ReadMessage>), Problem> {
        let mut made = Made::default();
        for (place, name) in message.oneofs.iter().enumerate() {
            let members = message.fields.iter().filter(|field| field.oneof == Some(place));
            let members: Vec<_> = members.collect();
            match self.options.flatten_unions {
                true => self.flat(message, &members, &mut made)?,
                false => self.union(message, name, place, &members, &mut made)?,
            }
        }
        for field in message.fields.iter().filter(|field| field.oneof.is_none()) {
            let inside = |problem: Problem| problem.within(format_args!(".{}", field.name));
            self.field(message, field, &mut made).map_err(inside)?;
        }
        let name = if self.options.enhanced {
            &*message.full
        } else {
            simple(&message.full)
        };
        let schema = Schema::try_struct(made.fields).map_err(|error| {
            Problem::new(format!(
                "{error}, in the message {}; generate.index.for.unions=true and flatten.unions=false tell oneofs from fields",
                message.full
            ))
        })?;
        let read = ReadMessage::new(made.reads, made.initial, made.required);
        if read.initial_count() > INITIAL_MAX {
            return Err(Problem::new(format!(
                "the message {} is read as more than {INITIAL_MAX} values even if nothing is given; \
                 set generate.struct.for.nulls=false",
                message.full
            )));
        }
        Ok((schema.named(name), Arc::new(read)))
    }

    fn field(&mut self, message: &Message, field: &MessageField, made: &mut Made) -> Result<(), Problem> {
        let place = made.initial.len();
        let (schema, read) = self.field_type(message, field, false)?;
        let is_map = matches!(read, Read::Entry(_));
        let slot = match (field.repeated, is_map) {
            (true, true) => Slot::Map(place),
            (true, false) => Slot::Array(place),
            (false, _) => Slot::One(place),
        };
        let initial = match slot {
            Slot::Map(_) => Value::Map(Vec::new()),
            Slot::Array(_) => Value::Array(Vec::new()),
            _ if field.required => {
                made.required.push((place, Arc::clone(&field.name)));
                Value::Null
            }
            _ => self.initial(field, &read),
        };
        made.add(field, schema, initial, slot, read);
        Ok(())
    }

    /// What a field is that is not given.
    fn initial(&self, field: &MessageField, read: &Read) -> Value {
        let is_message = matches!(read, Read::Message(..) | Read::Logical(_) | Read::Wrapped(_));
        let is_optional = match field.proto3_optional {
            true => true,
            false => self.options.optional_for_proto2 && field.optional,
        };
        match (is_message || is_optional) && !self.options.struct_for_nulls {
            true => Value::Null,
            false => default_of(field, read),
        }
    }

    fn flat(&mut self, message: &Message, members: &[&MessageField], made: &mut Made) -> Result<(), Problem> {
        let first = made.initial.len();
        for (member, field) in members.iter().enumerate() {
            let inside = |problem: Problem| problem.within(format_args!(".{}", field.name));
            let (schema, read) = self.field_type(message, field, true).map_err(inside)?;
            let own = first + member;
            let others = (first..first + members.len()).filter(|place| *place != own);
            let slot = Slot::Flat(own, others.collect());
            made.add(field, schema, Value::Null, slot, read);
        }
        Ok(())
    }

    fn union(
        &mut self,
        message: &Message,
        name: &str,
        number: usize,
        members: &[&MessageField],
        made: &mut Made,
    ) -> Result<(), Problem> {
        let mut fields = Vec::with_capacity(members.len());
        let mut reads = Vec::with_capacity(members.len());
        for field in members {
            let inside = |problem: Problem| problem.within(format_args!(".{}", field.name));
            let (schema, read) = self.field_type(message, field, true).map_err(inside)?;
            fields.push(Field {
                name: Arc::clone(&field.name),
                schema,
            });
            reads.push(read);
        }
        let full = match self.options.enhanced {
            true => of_union(&format!("{}.{name}", message.full)),
            false => of_union(name),
        };
        let schema = Schema::try_struct(fields).map_err(|error| Problem::new(error.to_string()))?;
        let schema = Arc::new(schema.named(full).optional());
        let place = made.initial.len();
        for (member, (field, read)) in members.iter().zip(reads).enumerate() {
            made.reads.push(ReadField {
                number: field.number,
                name: Arc::clone(&field.name),
                slot: Slot::Member(place, member, Arc::clone(&schema)),
                read,
            });
        }
        let name = match self.options.index_for_unions {
            true => format!("{name}_{number}"),
            false => name.to_owned(),
        };
        made.fields.push(Field {
            name: name.into(),
            schema,
        });
        made.initial.push(Value::Null);
        Ok(())
    }

    /// The type of a field, with all that its field says.
    fn field_type(
        &mut self,
        message: &Message,
        field: &MessageField,
        in_oneof: bool,
    ) -> Result<ConvertedField, Problem> {
        let (mut schema, mut read, named) = match &field.kind {
            FieldKind::Scalar(scalar) => {
                let (kind, read) = plain(*scalar, field.param(CONNECT_TYPE));
                (scalar_schema(kind, *scalar), read, None)
            }
            FieldKind::Named(name) => match self.types.resolve(&message.full, name)? {
                Named::Enum(its) => {
                    let (schema, read) = self.enumeration(&its, field);
                    (schema, read, None)
                }
                Named::Message(its) => {
                    let (schema, read) = self.message_type(&its, field)?;
                    (schema, read, Some(its))
                }
            },
            FieldKind::Group => {
                return Err(Problem::new(
                    "groups are not supported; read the topic with ByteArrayConverter",
                ));
            }
        };
        if field.repeated && !matches!(schema.kind, SchemaKind::Map(..)) {
            schema.optional = true;
            self.remember(named.as_deref(), &schema, &read);
            let element = Arc::new(schema);
            read = of_schema(read, &element);
            schema = Schema::from(SchemaKind::Array(element)).optional();
        }
        let is_wrapper = named.as_deref().is_some_and(|its| wrapped(its).is_some());
        if in_oneof {
            schema.optional = true;
            if self.options.wrapper_for_nullables && is_wrapper {
                set_parameter(&mut schema, WRAPPER, "true");
            }
        } else if self.options.optional_for_nullables {
            schema.optional |= field.optional;
        } else if !self.options.wrapper_for_nullables {
            schema.optional = true;
        }
        set_parameter(&mut schema, TAG, &field.number.to_string());
        if !field.repeated {
            self.remember(named.as_deref(), &schema, &read);
        }
        let schema = Arc::new(schema);
        if !field.repeated {
            read = of_schema(read, &schema);
        }
        Ok((schema, read))
    }

    /// Later fields of the same message have what was said of it here, as Confluent's converter has it.
    fn remember(&mut self, named: Option<&Message>, schema: &Schema, read: &Read) {
        if let (Some(message), Read::Message(plan, _)) = (named, read) {
            let entry = self.done.entry(Arc::clone(&message.full));
            entry.or_insert_with(|| (schema.clone(), Arc::clone(plan)));
        }
    }

    fn enumeration(&self, its: &Enum, field: &MessageField) -> Converted {
        let kind = match self.options.enums_as_ints {
            true => SchemaKind::Int32,
            false => SchemaKind::String,
        };
        let name = simple(&its.full);
        let shown = if self.options.enhanced { &*its.full } else { name };
        let mut schema = Schema::from(kind)
            .named(shown)
            .optional()
            .with_parameter(ENUM, name);
        let mut values: Vec<(i32, ByteString)> = Vec::with_capacity(its.values.len());
        for (symbol, number) in &its.values {
            set_parameter(&mut schema, &format!("{ENUM}.{symbol}"), &number.to_string());
            values.push((*number, ByteString::from(symbol.as_str())));
        }
        let first = values.first().map_or(0, |(number, _)| *number);
        // Of several names of a number the first counts; sorting keeps their order.
        values.sort_by_key(|(number, _)| *number);
        values.dedup_by_key(|(number, _)| *number);
        let read = ReadEnum {
            name: name.to_owned(),
            values,
            first,
            as_numbers: self.options.enums_as_ints,
            is_open: field.is_proto3,
        };
        (schema, Read::Enum(Arc::new(read)))
    }

    fn message_type(&mut self, message: &Arc<Message>, field: &MessageField) -> Result<Converted, Problem> {
        if let Some(logical) = Logical::of_message(&message.full) {
            let schema = logical_schema(logical, field).optional();
            return Ok((schema, Read::Logical(logical)));
        }
        let unwraps = self.options.wrapper_for_nullables || self.options.wrapper_for_primitives;
        if let Some(scalar) = wrapped(message).filter(|_| unwraps) {
            let (kind, read) = plain(scalar, None);
            return Ok((Schema::from(kind).optional(), Read::Wrapped(Box::new(read))));
        }
        if field.repeated && message.is_map_entry() {
            return self.map(message);
        }
        let (mut schema, plan) = match self.done.get(&message.full) {
            Some(done) => done.clone(),
            None => self.message(message)?,
        };
        schema.optional = true;
        let shared = Arc::new(schema.clone());
        Ok((schema, Read::Message(plan, shared)))
    }

    fn map(&mut self, entry: &Message) -> Result<Converted, Problem> {
        if self.under_way.len() >= DEPTH_MAX || self.under_way.contains(&entry.full) {
            return Err(Problem::new(format!("the map entry {} holds itself", entry.full)));
        }
        self.under_way.push(Arc::clone(&entry.full));
        let both = [0, 1].map(|place| self.field_type(entry, &entry.fields[place], false));
        self.under_way.pop();
        let [key, value] = both;
        let ((key, read_key), (value, read_value)) = (key?, value?);
        let name = of_map(if self.options.enhanced {
            &entry.full
        } else {
            simple(&entry.full)
        });
        let schema = Schema::from(SchemaKind::Map(key, value));
        let read = Read::Entry(Box::new((read_key, read_value)));
        Ok((schema.named(name).optional(), read))
    }
}

/// What is made for a message so far.
#[derive(Default)]
struct Made {
    fields: Vec<Field>,
    reads: Vec<ReadField>,
    initial: Vec<Value>,
    required: Vec<(usize, Arc<str>)>,
}

impl Made {
    fn add(&mut self, field: &MessageField, schema: SchemaRef, initial: Value, slot: Slot, read: Read) {
        self.fields.push(Field {
            name: Arc::clone(&field.name),
            schema,
        });
        self.initial.push(initial);
        self.reads.push(ReadField {
            number: field.number,
            name: Arc::clone(&field.name),
            slot,
            read,
        });
    }
}

/// The same, making structs of `schema`.
fn of_schema(read: Read, schema: &SchemaRef) -> Read {
    match read {
        Read::Message(plan, _) => Read::Message(plan, Arc::clone(schema)),
        other => other,
    }
}

fn set_parameter(schema: &mut Schema, name: &str, value: &str) {
    match schema.parameters.iter_mut().find(|(its, _)| **its == *name) {
        Some((_, its)) => *its = value.into(),
        None => schema.parameters.push((name.into(), value.into())),
    }
}

/// The kind of values of a type, and how they are read.
fn plain(scalar: Scalar, connect_type: Option<&str>) -> (SchemaKind, Read) {
    let integer = |kind, integer| (kind, Read::Integer(scalar, integer));
    match scalar {
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => match connect_type {
            Some("int8") => integer(SchemaKind::Int8, Integer::Int8),
            Some("int16") => integer(SchemaKind::Int16, Integer::Int16),
            _ => integer(SchemaKind::Int32, Integer::Int32),
        },
        Scalar::Float => (SchemaKind::Float32, Read::Float),
        Scalar::Double => (SchemaKind::Float64, Read::Double),
        Scalar::Bool => (SchemaKind::Boolean, Read::Boolean),
        Scalar::String => (SchemaKind::String, Read::String),
        Scalar::Bytes => (SchemaKind::Bytes, Read::Bytes),
        _ => integer(SchemaKind::Int64, Integer::Int64),
    }
}

fn scalar_schema(kind: SchemaKind, scalar: Scalar) -> Schema {
    let is_usual = match &kind {
        SchemaKind::Int32 => scalar == Scalar::Int32,
        SchemaKind::Int64 => scalar == Scalar::Int64,
        _ => true,
    };
    let schema = Schema::from(kind);
    match is_usual {
        true => schema,
        false => schema.with_parameter(TYPE, scalar.name()),
    }
}

fn logical_schema(logical: Logical, field: &MessageField) -> Schema {
    match logical {
        Logical::Date => Schema::date(),
        Logical::Time => Schema::time(),
        Logical::Timestamp => Schema::timestamp(),
        Logical::Decimal => {
            let number = |name: &str| field.param(name)?.parse::<i32>().ok();
            let schema = Schema::decimal(number("scale").unwrap_or(0));
            match number("precision") {
                Some(precision) => schema.with_parameter(DECIMAL_PRECISION, precision.to_string()),
                None => schema,
            }
        }
    }
}

/// The default of a field: that of proto2's schemas, or that of its type.
fn default_of(field: &MessageField, read: &Read) -> Value {
    let given = field.default.as_deref().and_then(|text| {
        Some(match read {
            Read::Integer(scalar, integer) => {
                let number = match scalar {
                    Scalar::Uint64 | Scalar::Fixed64 => text.parse::<u64>().ok()? as i64,
                    _ => text.parse().ok()?,
                };
                integer.value(number)
            }
            Read::Float => Value::Float32(text.parse().ok()?),
            Read::Double => Value::Float64(text.parse().ok()?),
            Read::Boolean => Value::Boolean(text == "true"),
            Read::String => Value::from(text),
            Read::Bytes => Value::Bytes(unescaped(text)),
            Read::Enum(its) => {
                let found = its.values.iter().find(|(_, name)| **name == *text);
                its.value(found?.0)?
            }
            _ => return None,
        })
    });
    given.unwrap_or_else(|| read.absent())
}

/// The bytes of a default, as compilers escape them.
fn unescaped(text: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b'r') => bytes.push(b'\r'),
            Some(b't') => bytes.push(b'\t'),
            Some(first @ b'0'..=b'7') => {
                let mut number = u32::from(first - b'0');
                for _ in 0..2 {
                    if let Some(digit) = rest.next_if(|byte| (b'0'..=b'7').contains(byte)) {
                        number = number * 8 + u32::from(digit - b'0');
                    }
                }
                bytes.push(number as u8);
            }
            other => bytes.extend(other),
        }
    }
    bytes.into()
}
