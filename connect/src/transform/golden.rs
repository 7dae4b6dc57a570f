//! What Java's Kafka Connect makes of the same records: `golden/transforms.jsonl`, written by `tests/peers/connect-golden`.
use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use crate::config::{ConfigMap, DefaultValue};
use crate::plugin::{Plugin, Registry};
use crate::record::{
    Datum, Field, Header, Origin, Record, Schema, SchemaKind, SchemaRef, Struct, Value, logical,
};

const PACKAGE: &str = "org.apache.kafka.connect.transforms.";

const GOLDEN: &str = include_str!("../../golden/transforms.jsonl");

fn lines() -> impl Iterator<Item = Json> {
    GOLDEN.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn schema(json: &Json) -> SchemaRef {
    let inside = |name: &str| schema(&json[name]);
    let kind = match json["type"].as_str().unwrap() {
        "int8" => SchemaKind::Int8,
        "int16" => SchemaKind::Int16,
        "int32" => SchemaKind::Int32,
        "int64" => SchemaKind::Int64,
        "float32" => SchemaKind::Float32,
        "float64" => SchemaKind::Float64,
        "boolean" => SchemaKind::Boolean,
        "string" => SchemaKind::String,
        "bytes" => SchemaKind::Bytes,
        "array" => SchemaKind::Array(inside("values")),
        "map" => SchemaKind::Map(inside("keys"), inside("values")),
        "struct" => SchemaKind::Struct(
            json["fields"]
                .as_array()
                .unwrap()
                .iter()
                .map(|field| Field {
                    name: field["name"].as_str().unwrap().into(),
                    schema: schema(&field["schema"]),
                })
                .collect(),
        ),
        other => panic!("{other}"),
    };
    let mut schema = Schema::from(kind);
    schema.optional = json["optional"].as_bool().unwrap_or(false);
    schema.name = json["name"].as_str().map(Arc::from);
    schema.version = json["version"]
        .as_i64()
        .map(|version| i32::try_from(version).unwrap());
    schema.doc = json["doc"].as_str().map(Arc::from);
    for (name, value) in json["parameters"].as_object().into_iter().flatten() {
        schema = schema.with_parameter(&**name, value.as_str().unwrap());
    }
    if let Some(default) = json.get("default") {
        let plain = Arc::new(schema.clone());
        schema.default = Some(value(default, Some(&plain)));
    }
    Arc::new(schema)
}

fn value(json: &Json, schema: Option<&SchemaRef>) -> Value {
    let Some((tag, its)) = json
        .as_object()
        .and_then(|tagged| tagged.iter().find(|(tag, _)| *tag != "schema"))
    else {
        return Value::Null;
    };
    let int = || its.as_i64().unwrap();
    let text = || its.as_str().unwrap();
    let list = || its.as_array().unwrap().iter();
    let float = || text().replace("Infinity", "inf");
    let (key, element) = match schema.map(|schema| &schema.kind) {
        Some(SchemaKind::Array(element)) => (None, Some(element)),
        Some(SchemaKind::Map(key, element)) => (Some(key), Some(element)),
        _ => (None, None),
    };
    match &**tag {
        "i8" => Value::Int8(int().try_into().unwrap()),
        "i16" => Value::Int16(int().try_into().unwrap()),
        "i32" => Value::Int32(int().try_into().unwrap()),
        "i64" => Value::Int64(int()),
        "f32" => Value::Float32(float().parse().unwrap()),
        "f64" => Value::Float64(float().parse().unwrap()),
        "bool" => Value::Boolean(its.as_bool().unwrap()),
        "str" => text().into(),
        "bytes" => Value::Bytes(STANDARD.decode(text()).unwrap().into()),
        "dec" => Value::Decimal(Box::new(text().parse().unwrap())),
        "ms" => match schema.and_then(|schema| schema.name.as_deref()) {
            Some(logical::DATE) => Value::Date(i32::try_from(int().div_euclid(86_400_000)).unwrap()),
            Some(logical::TIME) => Value::Time(int().try_into().unwrap()),
            _ => Value::Timestamp(int()),
        },
        "list" => Value::Array(list().map(|one| value(one, element)).collect()),
        "map" => Value::Map(
            list()
                .map(|one| (value(&one[0], key), value(&one[1], element)))
                .collect(),
        ),
        "struct" => {
            let own = json.get("schema").map(self::schema);
            let schema = own.or_else(|| schema.cloned()).unwrap();
            let values = list().zip(schema.fields());
            let values = values
                .map(|(one, field)| value(one, Some(&field.schema)))
                .collect();
            Value::Struct(Struct::new(schema, values))
        }
        other => panic!("{other}"),
    }
}

fn datum(json: &Json) -> Datum {
    // A list or map that Java read from a text and that is empty has elements whose schema is null. Ours has no schema then.
    let whole = json
        .get("schema")
        .filter(|schema| schema.get("values") != Some(&Json::Null));
    let schema = whole.map(schema);
    let value = json
        .get("value")
        .map_or(Value::Null, |json| value(json, schema.as_ref()));
    Datum { schema, value }
}

fn record(json: &Json) -> Record {
    let topic: Arc<str> = json["topic"].as_str().unwrap().into();
    let partition = json["partition"]
        .as_i64()
        .map(|number| i32::try_from(number).unwrap());
    Record {
        partition,
        key: datum(&json["key"]),
        value: datum(&json["value"]),
        headers: json["headers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|header| Header {
                name: header["name"].as_str().unwrap().into(),
                datum: datum(header),
            })
            .collect(),
        timestamp: json["timestamp"].as_i64(),
        origin: json["offset"].as_i64().map(|offset| Origin {
            topic: Arc::clone(&topic),
            partition: partition.unwrap(),
            offset,
        }),
        topic,
    }
}

/// A value that is the same for Java: without a schema its dates, times and timestamps are all the same, its maps have no order, and a NaN
/// is equal to itself.
fn comparable(value: &Value, schemaless: bool) -> String {
    match value {
        Value::Date(days) if schemaless => format!("Timestamp({})", i64::from(*days) * 86_400_000),
        Value::Time(milliseconds) if schemaless => format!("Timestamp({milliseconds})"),
        Value::Decimal(decimal) => format!("Decimal{:?}", decimal.as_bigint_and_exponent()),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(|value| comparable(value, schemaless)).collect();
            format!("{values:?}")
        }
        Value::Map(entries) => {
            let entries: BTreeSet<(String, String)> = entries
                .iter()
                .map(|(key, value)| (comparable(key, schemaless), comparable(value, schemaless)))
                .collect();
            format!("{entries:?}")
        }
        Value::Struct(its) => {
            let values: Vec<String> = its
                .values()
                .iter()
                .map(|value| comparable(value, false))
                .collect();
            format!("{} {values:?}", described(its.schema()))
        }
        other => format!("{other:?}"),
    }
}

/// All that a schema says; the struct that is a default has the fields' schemas of where it is.
fn described(schema: &Schema) -> String {
    let kind = match &schema.kind {
        SchemaKind::Array(element) => format!("[{}]", described(element)),
        SchemaKind::Map(key, element) => format!("{{{}: {}}}", described(key), described(element)),
        SchemaKind::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", field.name, described(&field.schema)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        _ => schema.kind_name().to_owned(),
    };
    let mut parameters = schema.parameters.clone();
    parameters.sort();
    let default = schema.default.as_ref().map(|default| match default {
        Value::Struct(its) => format!("{:?}", its.values()),
        other => comparable(other, false),
    });
    let Schema {
        optional,
        name,
        version,
        doc,
        ..
    } = schema;
    format!("{kind} {optional} {default:?} {name:?} {version:?} {doc:?} {parameters:?}")
}

fn comparable_datum(datum: &Datum) -> String {
    let schema = datum.schema.as_ref().map(|schema| described(schema));
    format!("{schema:?} = {}", comparable(&datum.value, schema.is_none()))
}

fn comparable_record(record: &Record) -> Vec<String> {
    let headers = record
        .headers
        .iter()
        .map(|header| format!("header {} {}", header.name, comparable_datum(&header.datum)));
    let Record {
        topic,
        partition,
        timestamp,
        origin,
        ..
    } = record;
    let mut all = vec![
        format!(
            "{topic} {partition:?} {timestamp:?} {:?}",
            origin.as_ref().map(|origin| origin.offset)
        ),
        format!("key {}", comparable_datum(&record.key)),
        format!("value {}", comparable_datum(&record.value)),
    ];
    all.extend(headers);
    all
}

/// What ours does: the record that comes out, a predicate's answer, or the error.
fn outcome(
    class: &str,
    config: &ConfigMap,
    record: Record,
    registry: &Registry,
) -> Result<Vec<String>, String> {
    if class.contains(".predicates.") {
        let plugin = registry.predicate(class).unwrap();
        let mut predicate = plugin.new_predicate(config).map_err(|error| error.to_string())?;
        return Ok(vec![predicate.test(&record).to_string()]);
    }
    let plugin = registry.transform(class).unwrap();
    let mut transform = plugin.new_transform(config).map_err(|error| error.to_string())?;
    let out = transform.apply(record).map_err(|error| error.to_string())?;
    Ok(out.as_ref().map(comparable_record).unwrap_or_default())
}

#[test]
fn records_come_out_as_from_java() {
    let registry = Registry::built_in();
    let reads_literals = !registry.header_converters().is_empty();
    let (mut cases, mut wrong) = (0, Vec::new());
    for line in lines().filter(|line| line.get("class").is_some()) {
        let class = &*format!("{PACKAGE}{}", line["class"].as_str().unwrap());
        let config = line["config"].as_object().unwrap().iter();
        let config: ConfigMap = config
            .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        if class.ends_with("InsertHeader") && !reads_literals {
            continue;
        }
        let ours = outcome(class, &config, record(&line["input"]), &registry);
        let javas = match (line.get("error"), line.get("holds"), &line["output"]) {
            (Some(error), _, _) => Err(error.as_str().unwrap().to_owned()),
            (None, Some(holds), _) => Ok(vec![holds.to_string()]),
            (None, None, Json::Null) => Ok(Vec::new()),
            (None, None, out) => Ok(comparable_record(&record(out))),
        };
        cases += 1;
        let same = match (&ours, &javas) {
            (Ok(ours), Ok(javas)) => ours == javas,
            (Err(_), Err(_)) => true,
            _ => false,
        };
        if !same {
            wrong.push(format!(
                "{class} {config:?}\n  of {}\n  ours  {ours:?}\n  javas {javas:?}",
                line["input"]
            ));
        }
    }
    assert!(cases > 1000, "{cases}");
    let shown = wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        wrong.is_empty(),
        "{} of {cases} cases differ:\n{shown}",
        wrong.len()
    );
}

#[test]
fn keys_are_declared_as_in_java() {
    let registry = Registry::built_in();
    let all = registry.all();
    let mut plugins = 0;
    for line in lines().filter(|line| line.get("declares").is_some()) {
        let class = &*format!("{PACKAGE}{}", line["declares"].as_str().unwrap());
        let (_, plugin): &(_, &dyn Plugin) = all.iter().find(|(_, plugin)| plugin.class() == class).unwrap();
        let keys = plugin.config_def();
        let javas = line["keys"].as_array().unwrap();
        let ours: Vec<String> = keys.keys().iter().map(|key| key.name.clone()).collect();
        let names: Vec<&str> = javas.iter().map(|key| key["name"].as_str().unwrap()).collect();
        assert_eq!(ours, names, "{class}");
        for (key, java) in keys.keys().iter().zip(javas) {
            let default = match &key.default {
                DefaultValue::Value(text) => Json::from(text.as_str()),
                DefaultValue::Required | DefaultValue::Null => Json::Null,
            };
            let ours = serde_json::json!({
                "name": key.name,
                "type": format!("{:?}", key.kind).to_uppercase(),
                "required": key.default == DefaultValue::Required,
                "default": default,
                "importance": format!("{:?}", key.importance).to_uppercase(),
                "documentation": key.documentation,
                "group": key.group,
                "order": key.order_in_group,
                "width": format!("{:?}", key.width).to_uppercase(),
                "display": key.display_name,
            });
            assert_eq!(&ours, java, "{class}");
        }
        plugins += 1;
    }
    assert_eq!(plugins, registry.transforms().len() + registry.predicates().len());
}
