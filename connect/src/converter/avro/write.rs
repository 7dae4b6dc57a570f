//! Writes Avro's binary data.
use std::sync::Arc;

use bytes::BufMut;

use super::config::Options;
use super::from_connect::{is_anything, is_text_key};
use super::names::{is_union, scrubbed};
use super::schema::{Kind, NodeId, Nodes};
use super::to_connect::branch_name;
use crate::converter::problem::Problem;
use crate::converter::schema_cache::Alike;
use crate::record::{Schema, SchemaKind, SchemaRef, Value, logical};

/// How values of a Connect schema are written as an Avro schema says.
#[derive(Debug)]
pub(super) struct Write {
    schema: SchemaRef,
    alike: Alike,
    /// Which branch of a union null is and which the value, if it is one.
    branches: Option<Branches>,
    form: Form,
    /// Whether null stands for the default.
    replaces_null: bool,
}

#[derive(Debug)]
struct Branches {
    null: Option<usize>,
    value: usize,
}

#[derive(Debug)]
enum Form {
    /// As the schema's kind says.
    Plain,
    Fixed(usize),
    Enum(Vec<String>),
    Array(Box<Write>),
    Map(Box<Write>),
    Pairs(Box<(Write, Write)>),
    /// For each field of the record, in its order, which field of the struct it is; none is always null, which is the branch beside it.
    Record(Vec<(Result<usize, usize>, Option<Write>)>),
    /// For each field of the struct the branch it is.
    Union(Vec<(usize, Write)>, Option<usize>),
}

type Done = Result<(), Problem>;

impl Write {
    /// Prepares writing values of `schema` as `id`.
    pub(super) fn new(
        schema: &SchemaRef,
        nodes: &Nodes,
        id: NodeId,
        options: Options,
    ) -> Result<Self, Problem> {
        let mut branches = None;
        let mut target = id;
        if let Kind::Union(all) = &nodes.get(id).kind
            && !is_union(schema)
        {
            let null = all
                .iter()
                .position(|branch| matches!(nodes.get(*branch).kind, Kind::Null));
            let value = all
                .iter()
                .position(|branch| fits(schema, nodes, *branch, options));
            let value = value.ok_or_else(|| mismatch(schema, "union without a branch for it"))?;
            branches = Some(Branches { null, value });
            target = all[value];
        }
        let inner = |schema: &SchemaRef, id: NodeId| Self::new(schema, nodes, id, options);
        let node = nodes.get(target);
        let form = match (&schema.kind, &node.kind) {
            (SchemaKind::Int8 | SchemaKind::Int16 | SchemaKind::Int32, Kind::Int)
            | (SchemaKind::Int64, Kind::Long)
            | (SchemaKind::Float32, Kind::Float)
            | (SchemaKind::Float64, Kind::Double)
            | (SchemaKind::Boolean, Kind::Boolean)
            | (SchemaKind::String, Kind::String)
            | (SchemaKind::Bytes, Kind::Bytes) => Form::Plain,
            (SchemaKind::String, Kind::Enum(symbols)) => {
                Form::Enum(symbols.iter().map(|symbol| symbol.to_string()).collect())
            }
            (SchemaKind::Bytes, Kind::Fixed(size)) => Form::Fixed(*size),
            (SchemaKind::Array(element), Kind::Array(id)) => Form::Array(Box::new(inner(element, *id)?)),
            (SchemaKind::Map(key, element), Kind::Map(id)) if is_text_key(key, options) => {
                Form::Map(Box::new(inner(element, *id)?))
            }
            (SchemaKind::Map(key, element), Kind::Array(id)) => match &nodes.get(*id).kind {
                Kind::Record(fields) if fields.len() == 2 => {
                    let key = inner(key, fields[0].schema)?;
                    Form::Pairs(Box::new((key, inner(element, fields[1].schema)?)))
                }
                _ => return Err(mismatch(schema, "array of something else than entries")),
            },
            (SchemaKind::Struct(_), Kind::Record(_)) => Self::record(schema, nodes, target, options)?,
            (SchemaKind::Struct(_), Kind::Union(all)) => Self::union(schema, nodes, all, options)?,
            (_, other) => return Err(mismatch(schema, other.name())),
        };
        Ok(Self {
            schema: Arc::clone(schema),
            alike: Alike::default(),
            branches,
            form,
            replaces_null: false,
        })
    }

    fn record(schema: &SchemaRef, nodes: &Nodes, id: NodeId, options: Options) -> Result<Form, Problem> {
        let Kind::Record(fields) = &nodes.get(id).kind else {
            return Err(mismatch(schema, nodes.get(id).kind.name()));
        };
        let field = |field: &super::schema::AvroField| {
            let name = |its: &crate::record::Field| *scrubbed(&its.name, options.scrub_names) == *field.name;
            if let Some(place) = schema.fields().iter().position(name) {
                let its = &schema.fields()[place].schema;
                let write = Self::new(its, nodes, field.schema, options);
                let mut write = write.map_err(|problem| problem.within(format_args!(".{}", field.name)))?;
                write.replaces_null = !options.ignore_default;
                return Ok((Ok(place), Some(write)));
            }
            let null = match &nodes.get(field.schema).kind {
                Kind::Union(all) => all
                    .iter()
                    .position(|branch| matches!(nodes.get(*branch).kind, Kind::Null)),
                _ => None,
            };
            let null = null.ok_or_else(|| {
                Problem::new(format!(
                    "the struct has no field {}, which the latest schema demands",
                    field.name
                ))
            })?;
            Ok((Err(null), None))
        };
        Ok(Form::Record(fields.iter().map(field).collect::<Result<_, _>>()?))
    }

    fn union(schema: &SchemaRef, nodes: &Nodes, all: &[NodeId], options: Options) -> Result<Form, Problem> {
        let null = all
            .iter()
            .position(|branch| matches!(nodes.get(*branch).kind, Kind::Null));
        let field = |field: &crate::record::Field| {
            let named = |branch: &NodeId| branch_name(nodes.get(*branch), options) == *field.name;
            let branch = all.iter().position(named);
            let branch =
                branch.ok_or_else(|| Problem::new(format!("the union has no branch {}", field.name)))?;
            Ok((branch, Self::new(&field.schema, nodes, all[branch], options)?))
        };
        Ok(Form::Union(
            schema.fields().iter().map(field).collect::<Result<_, _>>()?,
            null,
        ))
    }

    /// Writes a value.
    pub(super) fn value(&self, value: &Value, out: &mut Vec<u8>) -> Done {
        let value = match (value, &self.schema.default) {
            (Value::Null, Some(default)) if self.replaces_null => default,
            _ => value,
        };
        if value.is_null() {
            return self.null(out);
        }
        if let Some(branches) = &self.branches {
            write_long(branches.value as i64, out);
        }
        match (&self.form, value) {
            (Form::Plain, value) => return self.plain(value, out),
            (Form::Fixed(size), value) => return self.fixed(*size, value, out),
            (Form::Enum(symbols), Value::String(text)) => {
                let place = symbols.iter().position(|symbol| **symbol == **text);
                let place = place.ok_or_else(|| Problem::new(format!("the enum has no symbol {text:?}")))?;
                write_long(place as i64, out);
            }
            (Form::Array(element), Value::Array(values)) => {
                return write_block(values, out, |value, out| element.value(value, out));
            }
            (Form::Map(element), Value::Map(entries)) => {
                return write_block(entries, out, |(key, value), out| {
                    let Value::String(key) = key else {
                        return Err(Problem::new(format!(
                            "a key is of type {} and not a text",
                            key.kind_name()
                        )));
                    };
                    write_bytes(key.as_bytes(), out);
                    element.value(value, out)
                });
            }
            (Form::Pairs(both), Value::Map(entries)) => {
                return write_block(entries, out, |(key, value), out| {
                    both.0.value(key, out)?;
                    both.1.value(value, out)
                });
            }
            (Form::Record(fields), Value::Struct(its)) => {
                self.check_struct(its.schema())?;
                for (place, write) in fields {
                    match (place, write) {
                        (Ok(place), Some(write)) => {
                            write.value(&its.values()[*place], out).map_err(|problem| {
                                let name = &self.schema.fields()[*place].name;
                                problem.within(format_args!(".{name}"))
                            })?
                        }
                        (Err(null), _) | (Ok(null), None) => write_long(*null as i64, out),
                    }
                }
            }
            (Form::Union(branches, null), Value::Struct(its)) => {
                self.check_struct(its.schema())?;
                let given = its.values().iter().position(|value| !value.is_null());
                match (given, null) {
                    (Some(place), _) => {
                        let (branch, write) = &branches[place];
                        write_long(*branch as i64, out);
                        return write.value(&its.values()[place], out);
                    }
                    (None, Some(null)) => write_long(*null as i64, out),
                    (None, None) => return Err(Problem::new("no branch of the union is given")),
                }
            }
            (_, other) => return Err(self.wrong(other)),
        }
        Ok(())
    }

    fn check_struct(&self, its: &SchemaRef) -> Done {
        match self.alike.has(&self.schema, its) {
            true => Ok(()),
            false => Err(Problem::new("the struct has another schema than is said of it")),
        }
    }

    fn null(&self, out: &mut Vec<u8>) -> Done {
        let null = match (&self.branches, &self.form) {
            (Some(Branches { null, .. }), _) | (None, Form::Union(_, null)) => *null,
            _ => None,
        };
        match null.filter(|_| self.schema.optional) {
            Some(null) => {
                write_long(null as i64, out);
                Ok(())
            }
            None => Err(Problem::new("the value is null, but its schema is not optional")),
        }
    }

    fn plain(&self, value: &Value, out: &mut Vec<u8>) -> Done {
        let name = self.schema.name.as_deref();
        match (&self.schema.kind, value) {
            (SchemaKind::Int32, Value::Date(days)) if name == Some(logical::DATE) => {
                write_long((*days).into(), out)
            }
            (SchemaKind::Int32, Value::Time(ms)) if name == Some(logical::TIME) => match ms {
                0..=86_400_000 => write_long((*ms).into(), out),
                _ => return Err(Problem::new(format!("{ms} ms are no time of a day"))),
            },
            (SchemaKind::Int64, Value::Timestamp(ms)) if name == Some(logical::TIMESTAMP) => {
                write_long(*ms, out)
            }
            (SchemaKind::Bytes, Value::Decimal(_)) => write_bytes(&self.unscaled(value)?, out),
            (_, other) if is_logical(&self.schema) => return Err(self.wrong(other)),
            (SchemaKind::Int8, Value::Int8(number)) => write_long((*number).into(), out),
            (SchemaKind::Int16, Value::Int16(number)) => write_long((*number).into(), out),
            (SchemaKind::Int32, Value::Int32(number)) => write_long((*number).into(), out),
            (SchemaKind::Int64, Value::Int64(number)) => write_long(*number, out),
            (SchemaKind::Float32, Value::Float32(number)) => out.put_f32_le(*number),
            (SchemaKind::Float64, Value::Float64(number)) => out.put_f64_le(*number),
            (SchemaKind::Boolean, Value::Boolean(value)) => out.push(u8::from(*value)),
            (SchemaKind::String, Value::String(text)) => write_bytes(text.as_bytes(), out),
            (SchemaKind::Bytes, Value::Bytes(bytes)) => write_bytes(bytes, out),
            (_, other) => return Err(self.wrong(other)),
        }
        Ok(())
    }

    /// The bytes of a decimal with the schema's scale.
    fn unscaled(&self, value: &Value) -> Result<Vec<u8>, Problem> {
        let Value::Decimal(decimal) = value else {
            return Err(self.wrong(value));
        };
        let (unscaled, its) = decimal.as_bigint_and_scale();
        match self.schema.decimal_scale() {
            Some(scale) if i64::from(scale) == its => Ok(unscaled.to_signed_bytes_be()),
            Some(scale) => Err(Problem::new(format!(
                "a decimal has the scale {its} where its schema says {scale}"
            ))),
            None => Err(self.wrong(value)),
        }
    }

    fn fixed(&self, size: usize, value: &Value, out: &mut Vec<u8>) -> Done {
        let (bytes, fill) = match value {
            Value::Bytes(bytes) if !is_logical(&self.schema) => (bytes.to_vec(), None),
            value => {
                let bytes = self.unscaled(value)?;
                let fill = if bytes[0] >= 0x80 { 0xff } else { 0 };
                (bytes, Some(fill))
            }
        };
        let missing = size.checked_sub(bytes.len());
        match (missing, fill) {
            (Some(0), _) => {}
            (Some(missing), Some(fill)) => out.resize(out.len() + missing, fill),
            _ => {
                let length = bytes.len();
                return Err(Problem::new(format!(
                    "the value has {length} bytes where the schema says {size}"
                )));
            }
        }
        out.extend_from_slice(&bytes);
        Ok(())
    }

    fn wrong(&self, value: &Value) -> Problem {
        let (kind, found) = (self.schema.kind_name(), value.kind_name());
        let kind = self.schema.name.as_deref().unwrap_or(kind);
        Problem::new(format!(
            "the schema says {kind}, but the value is of type {found}"
        ))
    }
}

fn is_logical(schema: &Schema) -> bool {
    let name = schema.name.as_deref();
    matches!(
        name,
        Some(logical::DECIMAL | logical::DATE | logical::TIME | logical::TIMESTAMP)
    )
}

fn mismatch(schema: &Schema, found: &str) -> Problem {
    let kind = schema.kind_name();
    Problem::new(format!(
        "the data are of type {kind}, but the registry's schema is a {found}"
    ))
}

/// Whether a branch of a union is for values of `schema`.
fn fits(schema: &SchemaRef, nodes: &Nodes, id: NodeId, options: Options) -> bool {
    let node = nodes.get(id);
    match (&schema.kind, &node.kind) {
        (SchemaKind::Struct(_), Kind::Record(_)) => match &schema.name {
            Some(name) => {
                let (namespace, simple) = super::names::split(name, options.scrub_names);
                let full =
                    namespace.map_or_else(|| simple.clone(), |namespace| format!("{namespace}.{simple}"));
                node.name.as_deref() == Some(&full)
            }
            None => true,
        },
        (SchemaKind::Map(key, _), Kind::Map(_)) => is_text_key(key, options),
        (SchemaKind::Map(key, _), Kind::Array(_)) => !is_text_key(key, options),
        (kind, branch) => matches!(
            (kind, branch),
            (SchemaKind::Array(_), Kind::Array(_))
                | (
                    SchemaKind::Int8 | SchemaKind::Int16 | SchemaKind::Int32,
                    Kind::Int
                )
                | (SchemaKind::Int64, Kind::Long)
                | (SchemaKind::Float32, Kind::Float)
                | (SchemaKind::Float64, Kind::Double)
                | (SchemaKind::Boolean, Kind::Boolean)
                | (SchemaKind::String, Kind::String | Kind::Enum(_))
                | (SchemaKind::Bytes, Kind::Bytes | Kind::Fixed(_))
        ),
    }
}

/// Writes a number, the smaller the shorter.
pub(super) fn write_long(number: i64, out: &mut Vec<u8>) {
    let mut bits = ((number << 1) ^ (number >> 63)) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

fn write_block<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>) -> Done) -> Done {
    if !items.is_empty() {
        write_long(items.len() as i64, out);
        for (place, item) in items.iter().enumerate() {
            write(item, out).map_err(|problem| problem.within(format_args!("[{place}]")))?;
        }
    }
    out.push(0);
    Ok(())
}

/// Writes a value without a schema: a record with a field for each type.
pub(super) fn write_anything(value: &Value, out: &mut Vec<u8>) -> Done {
    let place = match value {
        Value::Null => None,
        Value::Boolean(_) => Some(0),
        Value::Float64(_) => Some(2),
        Value::Float32(_) => Some(3),
        Value::Int8(_) | Value::Int16(_) | Value::Int32(_) => Some(4),
        Value::Int64(_) => Some(5),
        Value::String(_) => Some(6),
        Value::Array(_) => Some(7),
        Value::Map(_) => Some(8),
        other => {
            let kind = other.kind_name();
            return Err(Problem::new(format!(
                "a value of type {kind} has to have a schema to be written"
            )));
        }
    };
    for field in 0..9 {
        if place != Some(field) {
            out.push(0);
            continue;
        }
        write_long(1, out);
        match value {
            Value::Boolean(value) => out.push(u8::from(*value)),
            Value::Float64(number) => out.put_f64_le(*number),
            Value::Float32(number) => out.put_f32_le(*number),
            Value::Int8(number) => write_long((*number).into(), out),
            Value::Int16(number) => write_long((*number).into(), out),
            Value::Int32(number) => write_long((*number).into(), out),
            Value::Int64(number) => write_long(*number, out),
            Value::String(text) => write_bytes(text.as_bytes(), out),
            Value::Array(values) => write_block(values, out, write_anything)?,
            Value::Map(entries) => write_block(entries, out, |(key, value), out| {
                write_anything(key, out)?;
                write_anything(value, out)
            })?,
            _ => {}
        }
    }
    Ok(())
}

/// Whether the schema is that of values without a schema.
pub(super) fn writes_anything(nodes: &Nodes, id: NodeId) -> bool {
    is_anything(nodes.get(id).name.as_deref())
}
