//! The Connect schema of an Avro schema, and how its data are read.
use std::sync::Arc;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use serde_json::{Map, Value as Json};

use super::config::Options;
use super::from_connect::is_anything;
use super::names::{
    CONNECT_DEFAULT, CONNECT_DOC, CONNECT_ENUM_DOC, CONNECT_INTERNAL_TYPE, CONNECT_NAME, CONNECT_PARAMETERS,
    CONNECT_RECORD_DOC, CONNECT_TYPE, CONNECT_VERSION, DECIMAL_PRECISION, DECIMAL_PRECISION_DEFAULT,
    DEFAULT_NAME, ENUM, ENUM_DEFAULT, ENUM_DOC, FIELD_DEFAULT, FIELD_DOC, FIXED_SIZE, MAP_ENTRY, NAMESPACE,
    RECORD_DOC, UNION, scrubbed,
};
use super::read::Read;
use super::schema::{AvroField, Kind, Node, NodeId, Nodes};
use crate::converter::problem::Problem;
use crate::record::{Field, Schema, SchemaKind, SchemaRef, Struct, Value, logical};

/// The schema for data of the Avro schema `root` (none if they have none), and how they are read. `version` is the registry's.
pub(super) fn convert(
    nodes: &Nodes,
    root: NodeId,
    version: Option<i32>,
    options: Options,
) -> Result<(Option<SchemaRef>, Read), Problem> {
    if is_anything(nodes.get(root).name.as_deref()) {
        return Ok((None, Read::Anything));
    }
    let mut converter = ToConnect {
        nodes,
        options,
        within: Vec::new(),
    };
    let place = Place {
        version,
        ..Place::default()
    };
    let (schema, read) = converter.schema(root, place)?;
    Ok((Some(schema), read))
}

/// What is known of a schema from where it stands.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    optional: bool,
    default: Option<&'a Json>,
    doc: Option<&'a str>,
    version: Option<i32>,
}

struct ToConnect<'a> {
    nodes: &'a Nodes,
    options: Options,
    /// The records that are being converted.
    within: Vec<NodeId>,
}

type Converted = Result<(SchemaRef, Read), Problem>;

fn set_parameter(schema: &mut Schema, name: &str, value: &str) {
    match schema.parameters.iter_mut().find(|(its, _)| **its == *name) {
        Some((_, its)) => *its = value.into(),
        None => schema.parameters.push((name.into(), value.into())),
    }
}

impl<'a> ToConnect<'a> {
    fn schema(&mut self, id: NodeId, place: Place<'_>) -> Converted {
        let node = self.nodes.get(id);
        if self.within.contains(&id) {
            let name = node.name.as_deref().unwrap_or_default();
            return Err(Problem::new(format!(
                "the schema {name} holds itself, which schemas cannot do here"
            )));
        }
        let (mut schema, read) = match &node.kind {
            Kind::Null => {
                return Err(Problem::new(
                    "a schema of type null may only be a part of a union",
                ));
            }
            Kind::Boolean => (SchemaKind::Boolean.into(), Read::Boolean),
            Kind::Int => int(node)?,
            Kind::Long if node.text("logicalType") == Some("timestamp-millis") => {
                (Schema::timestamp(), Read::Timestamp)
            }
            Kind::Long => (SchemaKind::Int64.into(), Read::Int64),
            Kind::Float => (SchemaKind::Float32.into(), Read::Float32),
            Kind::Double => (SchemaKind::Float64.into(), Read::Float64),
            Kind::String => (SchemaKind::String.into(), Read::String),
            Kind::Bytes => bytes(node, None)?,
            Kind::Fixed(size) => bytes(node, Some(*size))?,
            Kind::Enum(symbols) => (self.enumeration(node), Read::Enum(Arc::clone(symbols))),
            Kind::Array(element) => self.array(*element)?,
            Kind::Map(element) => {
                let (element, read) = self.schema(*element, Place::default())?;
                let kind = SchemaKind::Map(Schema::string(), element);
                (kind.into(), Read::Map(Box::new(read)))
            }
            Kind::Record(fields) => {
                self.within.push(id);
                let converted = self.record(node, fields);
                self.within.pop();
                converted?
            }
            Kind::Union(branches) => match self.simple_union(branches) {
                Some((only, null)) => return self.nullable(only, null, place),
                None => self.union(branches)?,
            },
        };
        self.complete(&mut schema, node, place)?;
        schema.optional |= place.optional;
        let schema = Arc::new(schema);
        Ok((Arc::clone(&schema), read.of_schema(schema)))
    }

    /// The only branch beside null, and where null is.
    fn simple_union(&self, branches: &[NodeId]) -> Option<(usize, Option<usize>)> {
        let is_null = |place: usize| matches!(self.nodes.get(branches[place]).kind, Kind::Null);
        match branches.len() {
            1 if self.options.flatten_unions && !is_null(0) => Some((branches[0], None)),
            2 if is_null(0) && !is_null(1) => Some((branches[1], Some(0))),
            2 if is_null(1) && !is_null(0) => Some((branches[0], Some(1))),
            _ => None,
        }
    }

    fn nullable(&mut self, only: NodeId, null: Option<usize>, place: Place<'_>) -> Converted {
        let inner = Place {
            optional: null.is_some(),
            doc: place.doc,
            ..Place::default()
        };
        let (schema, read) = self.schema(only, inner)?;
        let read = match null {
            Some(null) => vec![null == 0, null == 1]
                .into_iter()
                .map(|is_null| (!is_null).then(|| read.clone()))
                .collect(),
            None => vec![Some(read)],
        };
        Ok((schema, Read::Branches(read)))
    }

    fn union(&mut self, branches: &[NodeId]) -> Result<(Schema, Read), Problem> {
        let (mut fields, mut reads, mut optional) = (Vec::new(), Vec::new(), false);
        for branch in branches {
            let node = self.nodes.get(*branch);
            if matches!(node.kind, Kind::Null) {
                optional = true;
                reads.push(None);
                continue;
            }
            let name = branch_name(node, self.options);
            let inner = Place {
                optional: true,
                ..Place::default()
            };
            let (schema, read) = self.schema(*branch, inner)?;
            reads.push(Some((fields.len(), read)));
            fields.push(Field {
                name: name.into(),
                schema,
            });
        }
        let schema = Schema::try_struct(fields);
        let schema = schema
            .map_err(|error| Problem::new(format!("two branches of a union are called the same: {error}")))?;
        let mut schema = schema.named(UNION);
        schema.optional = optional;
        Ok((schema, Read::Union(None, reads)))
    }

    fn array(&mut self, element: NodeId) -> Result<(Schema, Read), Problem> {
        let node = self.nodes.get(element);
        let named = node.name.as_deref() == Some(&format!("{NAMESPACE}.{MAP_ENTRY}"));
        let (Kind::Record(fields), true) = (
            &node.kind,
            named || node.text(CONNECT_INTERNAL_TYPE) == Some(MAP_ENTRY),
        ) else {
            let (element, read) = self.schema(element, Place::default())?;
            return Ok((SchemaKind::Array(element).into(), Read::Array(Box::new(read))));
        };
        let [key, value] = &fields[..] else {
            return Err(Problem::new("the entries of a map are to have a key and a value"));
        };
        if (&*key.name, &*value.name) != ("key", "value") {
            return Err(Problem::new("the entries of a map are to have a key and a value"));
        }
        let (key, read_key) = self.schema(key.schema, Place::default())?;
        let (value, read_value) = self.schema(value.schema, Place::default())?;
        let schema = SchemaKind::Map(key, value).into();
        Ok((schema, Read::Pairs(Box::new((read_key, read_value)))))
    }

    fn record(&mut self, node: &Node, avro: &'a [AvroField]) -> Result<(Schema, Read), Problem> {
        let documented = self.options.meta_data && !self.options.discard_doc;
        let (mut fields, mut reads, mut docs) = (Vec::new(), Vec::new(), Vec::new());
        for field in avro {
            let place = Place {
                default: field.default.as_ref(),
                doc: field.doc.as_deref(),
                ..Place::default()
            };
            let (mut schema, read) = self
                .schema(field.schema, place)
                .map_err(|problem| problem.within(format_args!(".{}", field.name)))?;
            if let Some(Json::Object(parameters)) = field.properties.get(CONNECT_PARAMETERS)
                && self.options.meta_data
            {
                let its = Arc::make_mut(&mut schema);
                for (name, value) in parameters
                    .iter()
                    .filter_map(|(name, value)| Some((name, value.as_str()?)))
                {
                    set_parameter(its, name, value);
                }
            }
            reads.push(read.of_schema(Arc::clone(&schema)));
            fields.push(Field {
                name: Arc::clone(&field.name),
                schema,
            });
            docs.extend(field.doc.as_ref().map(|doc| (&field.name, doc)));
        }
        let schema = Schema::try_struct(fields);
        let mut schema = schema.map_err(|error| Problem::new(error.to_string()))?;
        if documented {
            if let Some(doc) = &node.doc {
                set_parameter(&mut schema, RECORD_DOC, doc);
            }
            for (name, doc) in docs {
                set_parameter(&mut schema, &format!("{FIELD_DOC}{name}"), doc);
            }
        }
        Ok((schema, Read::Record(None, reads)))
    }

    fn enumeration(&self, node: &Node) -> Schema {
        let mut schema = Schema::from(SchemaKind::String);
        let simple = node.simple_name().unwrap_or_default();
        if self.options.meta_data {
            let documented = match self.options.discard_doc {
                true => CONNECT_ENUM_DOC.to_owned(),
                false => format!("{ENUM_DOC}{simple}"),
            };
            if let Some(doc) = &node.doc {
                set_parameter(&mut schema, &documented, doc);
            }
            if let (Some(default), false) = (node.text("default"), self.options.discard_doc) {
                set_parameter(&mut schema, &format!("{ENUM_DEFAULT}{simple}"), default);
            }
        }
        set_parameter(&mut schema, ENUM, node.name.as_deref().unwrap_or_default());
        if let Kind::Enum(symbols) = &node.kind {
            for symbol in symbols.iter() {
                set_parameter(&mut schema, &format!("{ENUM}.{symbol}"), symbol);
            }
        }
        schema
    }

    /// Documentation, version, parameters, default and name.
    fn complete(&self, schema: &mut Schema, node: &Node, place: Place<'_>) -> Result<(), Problem> {
        let properties = &node.properties;
        let doc = node.text(CONNECT_DOC);
        if self.options.discard_doc {
            schema.doc = place.doc.or(node.doc.as_deref()).or(doc).map(Arc::from);
            if let (Some(doc), true) = (&node.doc, self.options.meta_data) {
                set_parameter(schema, CONNECT_RECORD_DOC, doc);
            }
        } else if self.options.meta_data {
            schema.doc = doc.map(Arc::from);
        }
        match properties.get(CONNECT_VERSION).map(Json::as_i64) {
            Some(Some(version)) => {
                let version = version as i32;
                if schema.version.is_some_and(|its| its != version) {
                    return Err(Problem::new(format!(
                        "{CONNECT_VERSION} {version} is not that of the logical type"
                    )));
                }
                schema.version = Some(version).filter(|version| *version >= 0);
            }
            Some(None) => return Err(Problem::new(format!("{CONNECT_VERSION} is not an integer"))),
            None => schema.version = schema.version.or(place.version),
        }
        if let (Some(parameters), true) = (properties.get(CONNECT_PARAMETERS), self.options.meta_data) {
            for (name, value) in parameters.as_object().into_iter().flat_map(Map::iter) {
                let value = value.as_str();
                let value = value
                    .ok_or_else(|| Problem::new(format!("{CONNECT_PARAMETERS} {name} is not a text")))?;
                set_parameter(schema, name, value);
            }
        }
        for (name, value) in properties.iter().filter(|(name, _)| name.starts_with("avro")) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            set_parameter(schema, name, &text);
        }
        let own_default = properties.get(CONNECT_DEFAULT);
        if place.default.is_some()
            && own_default.is_none()
            && self.options.meta_data
            && !self.options.discard_doc
        {
            set_parameter(schema, FIELD_DEFAULT, "true");
        }
        // One that does not fit is ignored, as by Confluent's converter.
        if let Some(json) = place.default.or(own_default)
            && let Some(default) = default(schema, json, self.options)
            && schema.check(&default).is_ok()
        {
            schema.default = Some(default).filter(|default| !default.is_null());
        }
        self.name(schema, node)
    }

    fn name(&self, schema: &mut Schema, node: &Node) -> Result<(), Problem> {
        let is_decimal = schema.name.as_deref() == Some(logical::DECIMAL);
        let name = match (node.properties.get(CONNECT_NAME), &node.kind) {
            (Some(Json::String(name)), _) => Some(&**name),
            (Some(other), _) => {
                return Err(Problem::new(format!("{CONNECT_NAME} is {other} and not a text")));
            }
            (None, Kind::Record(_) | Kind::Enum(_)) => node.name.as_deref(),
            (None, Kind::Fixed(_)) if !is_decimal => node.name.as_deref(),
            _ => None,
        };
        let given = format!("{NAMESPACE}.{DEFAULT_NAME}");
        let Some(name) = name.filter(|name| !name.starts_with(&given)) else {
            return Ok(());
        };
        match &schema.name {
            Some(its) if **its != *name => Err(Problem::new(format!(
                "{CONNECT_NAME} is {name}, but the logical type is {its}"
            ))),
            Some(_) => Ok(()),
            None => {
                schema.name = Some(name.into());
                Ok(())
            }
        }
    }
}

/// What the field for a branch of a union is called.
pub(super) fn branch_name(node: &Node, options: Options) -> String {
    match (&node.name, options.enhanced) {
        (Some(full), true) => full.to_string(),
        (Some(_), false) => {
            scrubbed(node.simple_name().unwrap_or_default(), options.scrub_names).into_owned()
        }
        (None, _) => node.kind.name().to_owned(),
    }
}

fn int(node: &Node) -> Result<(Schema, Read), Problem> {
    Ok(match (node.text("logicalType"), node.text(CONNECT_TYPE)) {
        (Some("date"), _) => (Schema::date(), Read::Date),
        (Some("time-millis"), _) => (Schema::time(), Read::Time),
        (Some(_), _) | (None, None) => (SchemaKind::Int32.into(), Read::Int32),
        (None, Some("int8")) => (SchemaKind::Int8.into(), Read::Int8),
        (None, Some("int16")) => (SchemaKind::Int16.into(), Read::Int16),
        (None, Some(other)) => {
            return Err(Problem::new(format!(
                "{CONNECT_TYPE} is {other}; there are int8 and int16"
            )));
        }
    })
}

fn bytes(node: &Node, size: Option<usize>) -> Result<(Schema, Read), Problem> {
    let (mut schema, read) = match node.text("logicalType") {
        Some("decimal") => {
            let number = |name: &str| node.properties.get(name).map(Json::as_i64);
            let scale = number("scale").flatten().unwrap_or(0) as i32;
            let mut schema = Schema::decimal(scale);
            match number("precision") {
                Some(None) => return Err(Problem::new("the precision of a decimal is not an integer")),
                Some(Some(precision)) if precision != DECIMAL_PRECISION_DEFAULT => {
                    set_parameter(&mut schema, DECIMAL_PRECISION, &precision.to_string());
                }
                _ => {}
            }
            (schema, Read::Decimal(scale.into(), size))
        }
        _ => (
            Schema::from(SchemaKind::Bytes),
            size.map_or(Read::Bytes, Read::Fixed),
        ),
    };
    if let Some(size) = size {
        set_parameter(&mut schema, FIXED_SIZE, &size.to_string());
    }
    Ok((schema, read))
}

/// A default; none if it does not fit.
fn default(schema: &Schema, json: &Json, options: Options) -> Option<Value> {
    let whole = || json.as_i64();
    let latin1 = |text: &str| {
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).ok())
            .collect::<Option<Vec<u8>>>()
    };
    let name = schema.name.as_deref();
    Some(match (&schema.kind, json) {
        (_, Json::Null) => Value::Null,
        (SchemaKind::Boolean, _) => Value::Boolean(json.as_bool()?),
        (SchemaKind::Int8, _) => Value::Int8(whole()? as i8),
        (SchemaKind::Int16, _) => Value::Int16(whole()? as i16),
        (SchemaKind::Int32, _) => match name {
            Some(logical::DATE) => Value::Date(whole()? as i32),
            Some(logical::TIME) => Value::Time(whole()? as i32),
            _ => Value::Int32(i32::try_from(whole()?).ok()?),
        },
        (SchemaKind::Int64, _) if name == Some(logical::TIMESTAMP) => Value::Timestamp(whole()?),
        (SchemaKind::Int64, _) => Value::Int64(whole()?),
        (SchemaKind::Float32, _) => Value::Float32(json.as_f64()? as f32),
        (SchemaKind::Float64, _) => Value::Float64(json.as_f64()?),
        (SchemaKind::String, _) => Value::from(json.as_str()?),
        (SchemaKind::Bytes, _) => {
            let bytes = latin1(json.as_str()?)?;
            match schema.decimal_scale() {
                Some(scale) => {
                    let unscaled = BigInt::from_signed_bytes_be(&bytes);
                    Value::Decimal(Box::new(BigDecimal::new(unscaled, scale.into())))
                }
                None => Value::Bytes(bytes.into()),
            }
        }
        (SchemaKind::Array(element), _) => {
            let values = json
                .as_array()?
                .iter()
                .map(|json| default(element, json, options));
            Value::Array(values.collect::<Option<_>>()?)
        }
        (SchemaKind::Map(key, element), Json::Object(entries)) if key.kind == SchemaKind::String => {
            let entry =
                |(key, json): (&String, &Json)| Some((Value::from(&**key), default(element, json, options)?));
            Value::Map(entries.iter().map(entry).collect::<Option<_>>()?)
        }
        (SchemaKind::Map(key, element), Json::Array(entries)) => {
            let entry = |json: &Json| {
                Some((
                    default(key, json.get(0)?, options)?,
                    default(element, json.get(1)?, options)?,
                ))
            };
            Value::Map(entries.iter().map(entry).collect::<Option<_>>()?)
        }
        (SchemaKind::Struct(fields), Json::Object(object)) if name != Some(UNION) => {
            let value = |field: &Field| match object.get(&*scrubbed(&field.name, options.scrub_names)) {
                Some(json) => default(&field.schema, json, options),
                None => field.schema.default.clone().or(Some(Value::Null)),
            };
            let values = fields.iter().map(value).collect::<Option<_>>()?;
            Value::Struct(Struct::new(Arc::new(schema.clone()), values))
        }
        _ => return None,
    })
}
