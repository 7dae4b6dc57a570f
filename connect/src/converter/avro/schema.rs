//! Avro's schemas, read from their texts.
use std::collections::HashMap;
use std::sync::Arc;

use bytestring::ByteString;
use serde_json::{Map, Value as Json};

use crate::converter::problem::Problem;

/// A schema's place among the [`Nodes`].
pub(super) type NodeId = usize;

/// Schemas with all that they are made of; named ones may be used in several places.
#[derive(Debug)]
pub(super) struct Nodes {
    all: Vec<Node>,
    names: HashMap<String, NodeId>,
}

/// A schema.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The full name of a record, an enum or a fixed.
    pub(super) name: Option<Arc<str>>,
    pub(super) doc: Option<String>,
    /// All members of the JSON object, also those that Avro does not know.
    pub(super) properties: Map<String, Json>,
}

/// What a schema is.
#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Arc<[ByteString]>),
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    Record(Vec<AvroField>),
}

/// A field of a record.
#[derive(Debug)]
pub(super) struct AvroField {
    pub(super) name: Arc<str>,
    pub(super) schema: NodeId,
    pub(super) doc: Option<String>,
    pub(super) default: Option<Json>,
    pub(super) properties: Map<String, Json>,
}

impl Kind {
    /// What Avro calls it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
            Self::Fixed(_) => "fixed",
            Self::Enum(_) => "enum",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Record(_) => "record",
        }
    }
}

impl Node {
    /// A property that is a text.
    pub(super) fn text(&self, property: &str) -> Option<&str> {
        self.properties.get(property).and_then(Json::as_str)
    }

    /// The last part of its name.
    pub(super) fn simple_name(&self) -> Option<&str> {
        self.name.as_deref()?.rsplit('.').next()
    }
}

impl Nodes {
    /// Reads `text`, and before it the texts of the schemas it refers to.
    pub(super) fn read(text: &str, references: &[Arc<str>]) -> Result<(Self, NodeId), Problem> {
        let mut nodes = Self {
            all: Vec::new(),
            names: HashMap::new(),
        };
        for reference in references {
            nodes.read_text(reference)?;
        }
        let root = nodes.read_text(text)?;
        Ok((nodes, root))
    }

    fn read_text(&mut self, text: &str) -> Result<NodeId, Problem> {
        // A plain name may stand without quotes.
        let json = match serde_json::from_str(text) {
            Ok(json) => json,
            Err(_) if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => Json::from(text),
            Err(error) => return Err(Problem::new(format!("the schema is not JSON: {error}"))),
        };
        self.add(&json, "")
    }

    pub(super) fn get(&self, id: NodeId) -> &Node {
        &self.all[id]
    }

    fn push(&mut self, kind: Kind, properties: Map<String, Json>) -> NodeId {
        self.all.push(Node {
            kind,
            name: None,
            doc: None,
            properties,
        });
        self.all.len() - 1
    }

    fn add(&mut self, json: &Json, namespace: &str) -> Result<NodeId, Problem> {
        match json {
            Json::String(name) => match primitive(name) {
                Some(kind) => Ok(self.push(kind, Map::new())),
                None => self.named(name, namespace),
            },
            Json::Array(branches) => {
                let branches = branches.iter().map(|branch| self.add(branch, namespace));
                let branches = branches.collect::<Result<_, _>>()?;
                Ok(self.push(Kind::Union(branches), Map::new()))
            }
            Json::Object(object) => self.object(object, namespace),
            other => Err(Problem::new(format!("{other} is no schema"))),
        }
    }

    fn named(&self, name: &str, namespace: &str) -> Result<NodeId, Problem> {
        let qualified = full_name(name, None, namespace);
        let found = self.names.get(&qualified).or_else(|| self.names.get(name));
        found
            .copied()
            .ok_or_else(|| Problem::new(format!("the schema uses {name} before it defines it")))
    }

    fn object(&mut self, object: &Map<String, Json>, namespace: &str) -> Result<NodeId, Problem> {
        let part = |name: &str| {
            let part = object.get(name);
            part.ok_or_else(|| Problem::new(format!("a schema has no {name}")))
        };
        let kind = match part("type")? {
            Json::String(kind) => kind,
            // {"type": {"type": …}} is the inner one.
            nested => return self.add(nested, namespace),
        };
        let kind = match kind.as_str() {
            "array" => Kind::Array(self.add(part("items")?, namespace)?),
            "map" => Kind::Map(self.add(part("values")?, namespace)?),
            "record" | "error" | "enum" | "fixed" => return self.definition(kind, object, namespace),
            name => match primitive(name) {
                Some(kind) => kind,
                None => return self.named(name, namespace),
            },
        };
        Ok(self.push(kind, object.clone()))
    }

    fn definition(
        &mut self,
        kind: &str,
        object: &Map<String, Json>,
        namespace: &str,
    ) -> Result<NodeId, Problem> {
        let text = |name: &str| object.get(name).and_then(Json::as_str);
        let Some(simple) = text("name") else {
            return Err(Problem::new(format!("a schema of type {kind} has no name")));
        };
        let name = full_name(simple, text("namespace"), namespace);
        let id = self.push(Kind::Null, object.clone());
        if self.names.insert(name.clone(), id).is_some() {
            return Err(Problem::new(format!("the schema defines {name} twice")));
        }
        self.all[id].doc = text("doc").map(str::to_owned);
        let inner = name
            .rsplit_once('.')
            .map_or("", |(namespace, _)| namespace)
            .to_owned();
        let wrong = |what: &str| Problem::new(format!("{name} has no {what}"));
        let kind = match kind {
            "enum" => {
                let symbols = object.get("symbols").and_then(Json::as_array);
                let symbols = symbols.ok_or_else(|| wrong("symbols"))?.iter();
                let symbols = symbols.map(|symbol| symbol.as_str().map(ByteString::from));
                Kind::Enum(
                    symbols
                        .collect::<Option<_>>()
                        .ok_or_else(|| wrong("symbols that are texts"))?,
                )
            }
            "fixed" => {
                let size = object
                    .get("size")
                    .and_then(Json::as_u64)
                    .and_then(|size| usize::try_from(size).ok());
                Kind::Fixed(size.ok_or_else(|| wrong("size"))?)
            }
            _ => {
                let fields = object.get("fields").and_then(Json::as_array);
                let fields = fields.ok_or_else(|| wrong("fields"))?.iter();
                Kind::Record(
                    fields
                        .map(|field| self.field(field, &inner))
                        .collect::<Result<_, _>>()?,
                )
            }
        };
        self.all[id].kind = kind;
        self.all[id].name = Some(name.into());
        Ok(id)
    }

    fn field(&mut self, field: &Json, namespace: &str) -> Result<AvroField, Problem> {
        let text = |name: &str| field.get(name).and_then(Json::as_str);
        let (Some(name), Some(schema)) = (text("name"), field.get("type")) else {
            return Err(Problem::new("a field of a record has no name or no type"));
        };
        let schema = self.add(schema, namespace);
        Ok(AvroField {
            name: name.into(),
            schema: schema.map_err(|problem| problem.within(format_args!(".{name}")))?,
            doc: text("doc").map(str::to_owned),
            default: field.get("default").cloned(),
            properties: field.as_object().cloned().unwrap_or_default(),
        })
    }
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}

fn full_name(name: &str, own: Option<&str>, enclosing: &str) -> String {
    let namespace = own.unwrap_or(enclosing);
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}
