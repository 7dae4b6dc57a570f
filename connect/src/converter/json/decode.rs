//! Reads values from JSON.
use std::borrow::Cow;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use bytes::Bytes;
use bytestring::ByteString;

use super::base64;
use super::tree::{Members, Node};
use crate::converter::problem::Problem;
use crate::converter::unique_keys::keep_last;
use crate::record::{Schema, SchemaKind, SchemaRef, Struct, Value, logical};

/// Reads values from the tree of one input.
pub(super) struct Decoder<'a> {
    /// The input: texts share its buffer.
    pub(super) input: &'a ByteString,
    pub(super) replace_null: bool,
}

type Decoded = Result<Value, Problem>;

impl Decoder<'_> {
    /// The value that `node` stands for.
    pub(super) fn value(&self, schema: Option<&SchemaRef>, node: &Node<'_>) -> Decoded {
        let Some(schema) = schema else {
            return Ok(self.schemaless(node));
        };
        self.of_schema(schema, node)
    }

    /// `text`, sharing the input's buffer if it is a part of it.
    fn text(&self, text: &str) -> ByteString {
        let start = (text.as_ptr() as usize).wrapping_sub(self.input.as_ptr() as usize);
        match self.input.get(start..start.wrapping_add(text.len())) {
            Some(part) if !part.is_empty() => self.input.slice_ref(part),
            _ => ByteString::from(text),
        }
    }

    fn schemaless(&self, node: &Node<'_>) -> Value {
        match node {
            Node::Missing | Node::Null => Value::Null,
            Node::Boolean(value) => Value::Boolean(*value),
            Node::Number(number) if number.is_whole() => Value::Int64(number.long()),
            Node::Number(number) => Value::Float64(number.double()),
            Node::Text(text) => Value::String(self.text(text)),
            Node::Array(nodes) => Value::Array(nodes.iter().map(|node| self.schemaless(node)).collect()),
            Node::Object(Members(members)) => {
                let entry = |(name, node): &(Cow<'_, str>, Node<'_>)| {
                    (Value::String(self.text(name)), self.schemaless(node))
                };
                Value::Map(members.iter().map(entry).collect())
            }
        }
    }

    /// The value of a schema. As in Kafka, numbers are read wherever they are, and what is of another type than a plain schema says is
    /// zero, false, or null; only inside of structs null is checked then.
    fn of_schema(&self, schema: &SchemaRef, node: &Node<'_>) -> Decoded {
        if let Node::Null = node {
            return self.null(schema);
        }
        if let Some(name) = &schema.name
            && let Some(decoded) = logical(name, schema, node)
        {
            return decoded;
        }
        let number = match node {
            Node::Number(number) => Some(*number),
            _ => None,
        };
        let long = || number.map_or(0, |number| number.long());
        Ok(match &schema.kind {
            SchemaKind::Boolean => Value::Boolean(matches!(node, Node::Boolean(true))),
            SchemaKind::Int8 => Value::Int8(long() as i8),
            SchemaKind::Int16 => Value::Int16(long() as i16),
            SchemaKind::Int32 => Value::Int32(long() as i32),
            SchemaKind::Int64 => Value::Int64(long()),
            SchemaKind::Float32 => Value::Float32(number.map_or(0.0, |number| number.float())),
            SchemaKind::Float64 => Value::Float64(number.map_or(0.0, |number| number.double())),
            SchemaKind::String => match node {
                Node::Text(text) => Value::String(self.text(text)),
                _ => Value::Null,
            },
            SchemaKind::Bytes => match node {
                Node::Text(text) => {
                    let bytes = base64::decode(text);
                    Value::Bytes(
                        bytes
                            .ok_or_else(|| Problem::new("the text is not base64"))?
                            .into(),
                    )
                }
                _ => Value::Null,
            },
            SchemaKind::Array(element) => return self.array(element, node),
            SchemaKind::Map(key, element) => return self.map(key, element, node),
            SchemaKind::Struct(_) => return self.structure(schema, node),
        })
    }

    fn null(&self, schema: &SchemaRef) -> Decoded {
        match &schema.default {
            Some(default) if self.replace_null => Ok(default.clone()),
            _ if schema.optional => Ok(Value::Null),
            _ => {
                let kind = schema.kind_name();
                Err(Problem::new(format!("null where a required {kind} is expected")))
            }
        }
    }

    fn array(&self, element: &SchemaRef, node: &Node<'_>) -> Decoded {
        let within = |index: usize| move |problem: Problem| problem.within(format_args!("[{index}]"));
        let values: Result<_, _> = match node {
            Node::Array(nodes) => nodes
                .iter()
                .enumerate()
                .map(|(index, node)| self.of_schema(element, node).map_err(within(index)))
                .collect(),
            Node::Object(Members(members)) => members
                .iter()
                .enumerate()
                .map(|(index, (_, node))| self.of_schema(element, node).map_err(within(index)))
                .collect(),
            _ => Ok(Vec::new()),
        };
        values.map(Value::Array)
    }

    fn map(&self, key: &SchemaRef, element: &SchemaRef, node: &Node<'_>) -> Decoded {
        let mut entries = Vec::new();
        match (key.kind == SchemaKind::String, node) {
            (true, Node::Object(Members(members))) => {
                for (name, node) in members {
                    let value = self.of_schema(element, node);
                    let value = value.map_err(|problem| problem.within(format_args!(".{name}")))?;
                    entries.push((Value::String(self.text(name)), value));
                }
            }
            (false, Node::Array(pairs)) => {
                for (index, pair) in pairs.iter().enumerate() {
                    let within = |problem: Problem| problem.within(format_args!("[{index}]"));
                    let Node::Array(pair) = pair else {
                        let found = pair.kind_name();
                        let what = format!("the entry of a map is {found} and not an array of two");
                        return Err(within(Problem::new(what)));
                    };
                    let [its, value] = &pair[..] else {
                        let what = format!("the entry of a map is an array of {} and not of two", pair.len());
                        return Err(within(Problem::new(what)));
                    };
                    let its = self.of_schema(key, its).map_err(within)?;
                    entries.push((its, self.of_schema(element, value).map_err(within)?));
                }
                entries = keep_last(entries);
            }
            (true, other) => {
                let found = other.kind_name();
                let what = format!("a map whose keys are texts is to be an object, but is {found}");
                return Err(Problem::new(what));
            }
            (false, other) => {
                let found = other.kind_name();
                let what =
                    format!("a map whose keys are not texts is to be an array of pairs, but is {found}");
                return Err(Problem::new(what));
            }
        }
        Ok(Value::Map(entries))
    }

    fn structure(&self, schema: &SchemaRef, node: &Node<'_>) -> Decoded {
        let Node::Object(members) = node else {
            let found = node.kind_name();
            return Err(Problem::new(format!(
                "a struct is to be an object, but is {found}"
            )));
        };
        let fields = schema.fields().iter().enumerate();
        let values: Result<Vec<Value>, Problem> = fields
            .map(|(place, field)| {
                let within = |problem: Problem| problem.within(format_args!(".{}", field.name));
                let value = match members.get(&field.name, place) {
                    Some(node) => self.of_schema(&field.schema, node),
                    None => self.null(&field.schema),
                };
                let value = value.map_err(within)?;
                check(&field.schema, &value).map_err(within)?;
                Ok(value)
            })
            .collect();
        Ok(Value::Struct(Struct::new(schema.clone(), values?)))
    }
}

/// What may still be wrong with a field's value: null inside, and names of logical types over types that they do not belong to.
fn check(schema: &Schema, value: &Value) -> Result<(), Problem> {
    let wrong = |what: String| Err(Problem::new(what));
    match (&schema.kind, value) {
        (_, Value::Null) if schema.optional => Ok(()),
        (kind, Value::Null) => {
            let kind = Schema::from(kind.clone()).kind_name();
            wrong(format!("a required {kind} is expected"))
        }
        (SchemaKind::Array(element), Value::Array(values)) => {
            values.iter().try_for_each(|value| check(element, value))
        }
        (SchemaKind::Map(key, element), Value::Map(entries)) => {
            entries.iter().try_for_each(|(its, value)| {
                check(key, its)?;
                check(element, value)
            })
        }
        _ => Ok(()),
    }
}

/// The value of a logical type; none if `name` is not one's.
fn logical(name: &str, schema: &Schema, node: &Node<'_>) -> Option<Decoded> {
    let int = match node {
        Node::Number(number) => number.as_int(),
        _ => None,
    };
    let wrong = |expected: &str| {
        let found = node.kind_name();
        Err(Problem::new(format!(
            "a {name} is to be {expected}, but is {found}"
        )))
    };
    Some(match name {
        logical::DECIMAL => decimal(schema, node),
        logical::DATE => int.map_or_else(|| wrong("an integer of 32 bits"), |days| Ok(Value::Date(days))),
        logical::TIME => match int {
            Some(ms @ 0..=86_400_000) => Ok(Value::Time(ms)),
            Some(ms) => Err(Problem::new(format!("{ms} ms are no time of a day"))),
            None => wrong("an integer of 32 bits"),
        },
        logical::TIMESTAMP => match node {
            Node::Number(number) if number.is_whole() => Ok(Value::Timestamp(number.long())),
            _ => wrong("an integer"),
        },
        _ => return None,
    })
}

fn decimal(schema: &Schema, node: &Node<'_>) -> Decoded {
    let decimal = match node {
        Node::Number(number) => number.decimal(),
        Node::Text(text) => {
            let bytes = base64::decode(text).filter(|bytes| !bytes.is_empty());
            let bytes = bytes.ok_or_else(|| Problem::new("the text of a decimal is not base64, or empty"))?;
            let Some(scale) = schema.decimal_scale() else {
                return Err(Problem::new("the schema of a decimal has no parameter scale"));
            };
            BigDecimal::new(BigInt::from_signed_bytes_be(&bytes), scale.into())
        }
        other => {
            let found = other.kind_name();
            let what = format!("a decimal is to be a number or a text in base64, but is {found}");
            return Err(Problem::new(what));
        }
    };
    Ok(Value::Decimal(Box::new(decimal)))
}

/// The text in `bytes`, which shares their buffer.
pub(super) fn text_of(bytes: &Bytes) -> Result<ByteString, Problem> {
    let text = ByteString::try_from(bytes.clone());
    text.map_err(|_| Problem::new("the bytes are not UTF-8, so they are not JSON"))
}
