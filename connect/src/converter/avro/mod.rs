//! `AvroConverter`: Avro's binary data behind the id of their schema, which a schema registry keeps.
//!
//! Connect's schemas and Avro's are translated as Confluent's converter does it, so that what one writes the other reads, and schemas
//! that one registered are found by the other. What is done with a schema is prepared once: a record costs no look at it.
//!
//! Not here: `generalized.sum.type.support`, and schemas that hold themselves, which a schema cannot do here.
mod config;
mod from_connect;
#[cfg(test)]
mod golden;
mod names;
mod read;
mod schema;
mod to_connect;
mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};

use self::config::Options;
use self::from_connect::ANYTHING_TEXT;
use self::read::Read;
use self::schema::{Kind, Nodes};
use self::write::Write;
use super::problem::Problem;
use super::registry::{MAGIC, Registered, RegistryConfig, SchemaRegistry};
use super::schema_cache::SchemaCache;
use crate::config::{ConfigDef, ConfigMap};
use crate::plugin::{Converter, ConverterPlugin, Encoded, ErrorKind, Latest, Plugin, PluginError};
use crate::record::{Datum, SchemaRef, Value};

/// The plugin.
pub(super) struct AvroConverterPlugin;

impl Plugin for AvroConverterPlugin {
    fn class(&self) -> &'static str {
        "io.confluent.connect.avro.AvroConverter"
    }

    fn config_def(&self) -> ConfigDef {
        config::keys()
    }
}

impl ConverterPlugin for AvroConverterPlugin {
    fn new_converter(&self, config: &ConfigMap, is_key: bool) -> Result<Box<dyn Converter>, PluginError> {
        Ok(Box::new(AvroConverter::new(config, is_key)?))
    }
}

struct AvroConverter {
    options: Options,
    registry: SchemaRegistry,
    schemas_max: usize,
    writers: SchemaCache<Writer>,
    /// For values without a schema.
    anything: Option<Arc<Writer>>,
    /// By the ids of schemas and, as subjects have versions, by topic.
    readers: HashMap<(i32, Arc<str>), Arc<Reader>>,
    last: Option<(i32, Arc<str>, Arc<Reader>)>,
}

/// What was prepared for a Connect schema.
struct Writer {
    text: Arc<str>,
    /// The full name of a record.
    name: Option<Arc<str>>,
    /// By topic.
    targets: Mutex<HashMap<String, Arc<Target>>>,
}

/// How data of a topic are written.
struct Target {
    id: i32,
    form: TargetForm,
}

enum TargetForm {
    /// Bytes alone stand behind the id without their length.
    Bytes(Write),
    Anything,
    Schema(Write),
}

struct Reader {
    schema: Option<SchemaRef>,
    read: Read,
    /// Bytes alone stand behind the id without their length.
    is_bytes: bool,
}

fn bad_record(problem: &Problem) -> PluginError {
    problem.bad_record("AvroConverter")
}

impl AvroConverter {
    fn new(config: &ConfigMap, is_key: bool) -> Result<Self, PluginError> {
        let parsed = config::keys().parse(config)?;
        let sum_types = config.get("generalized.sum.type.support");
        if sum_types.is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
            return Err(PluginError::user_config(
                "generalized.sum.type.support=true is not supported by this AvroConverter; leave it out",
            ));
        }
        let registry = RegistryConfig::new(&parsed, is_key)?;
        let schemas_max = registry.schemas_max();
        let kept = usize::try_from(parsed.int(config::CACHE_SIZE)).unwrap_or(1);
        Ok(Self {
            options: Options::new(&parsed),
            registry: SchemaRegistry::new(registry, "AVRO"),
            schemas_max,
            writers: SchemaCache::new(kept),
            anything: None,
            readers: HashMap::new(),
            last: None,
        })
    }

    fn writer(&mut self, schema: Option<&SchemaRef>) -> Result<Arc<Writer>, PluginError> {
        let options = self.options;
        let prepare = |schema: Option<&SchemaRef>| {
            let text: Arc<str> = match schema {
                Some(schema) => from_connect::write(schema, options)
                    .map_err(|problem| bad_record(&problem))?
                    .into(),
                None => ANYTHING_TEXT.into(),
            };
            let (nodes, root) = Nodes::read(&text, &[]).map_err(|problem| bad_record(&problem))?;
            let name = nodes.get(root).name.clone();
            Ok(Writer {
                text,
                name,
                targets: Mutex::default(),
            })
        };
        match schema {
            Some(schema) => self.writers.get(schema, || prepare(Some(schema))).cloned(),
            None => {
                let writer = match self.anything.take() {
                    Some(writer) => writer,
                    None => Arc::new(prepare(None)?),
                };
                self.anything = Some(Arc::clone(&writer));
                Ok(writer)
            }
        }
    }

    fn target(&mut self, topic: &str, schema: Option<&SchemaRef>) -> Result<Arc<Target>, PluginError> {
        let writer = self.writer(schema)?;
        let mut targets = writer.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get(topic) {
            return Ok(Arc::clone(target));
        }
        let registered = self
            .registry
            .for_writing(topic, writer.name.as_deref(), &writer.text)?;
        let target = Arc::new(self.prepare_target(schema, &registered)?);
        if targets.len() >= self.schemas_max {
            targets.clear();
        }
        targets.insert(topic.to_owned(), Arc::clone(&target));
        Ok(target)
    }

    fn prepare_target(
        &self,
        schema: Option<&SchemaRef>,
        registered: &Registered,
    ) -> Result<Target, PluginError> {
        let prepared = Nodes::read(&registered.text, &registered.references).and_then(|(nodes, root)| {
            Ok(match schema {
                None if write::writes_anything(&nodes, root) => TargetForm::Anything,
                None => {
                    return Err(Problem::new(
                        "data without a schema are not what the registry's latest schema is for",
                    ));
                }
                Some(schema) => {
                    let write = Write::new(schema, &nodes, root, self.options)?;
                    match nodes.get(root).kind {
                        Kind::Bytes => TargetForm::Bytes(write),
                        _ => TargetForm::Schema(write),
                    }
                }
            })
        });
        let form = prepared.map_err(|problem| bad_record(&problem))?;
        let id = registered.id;
        Ok(Target { id, form })
    }

    fn reader(&mut self, topic: &str, id: i32) -> Result<Arc<Reader>, PluginError> {
        if let Some((last, of, reader)) = &self.last
            && (*last, &**of) == (id, topic)
        {
            return Ok(Arc::clone(reader));
        }
        let key = (id, Arc::from(topic));
        let reader = match self.readers.get(&key) {
            Some(reader) => Arc::clone(reader),
            None => {
                let reader = Arc::new(self.prepare_reader(topic, id)?);
                if self.readers.len() >= self.schemas_max {
                    self.readers.clear();
                }
                self.readers.insert(key.clone(), Arc::clone(&reader));
                reader
            }
        };
        self.last = Some((id, key.1, Arc::clone(&reader)));
        Ok(reader)
    }

    fn prepare_reader(&mut self, topic: &str, id: i32) -> Result<Reader, PluginError> {
        let registered = self.registry.by_id(id)?;
        let read = Nodes::read(&registered.text, &registered.references);
        let (nodes, root) = read.map_err(|problem| bad_record(&problem))?;
        let name = nodes.get(root).name.clone();
        // Only records can be looked up where subjects are named by them.
        let version = match self.registry.version(topic, name.as_deref(), &registered) {
            Err(error) if error.kind() == ErrorKind::BadRecord => None,
            found => found?,
        };
        let converted = to_connect::convert(&nodes, root, version, self.options);
        let (schema, read) = converted
            .map_err(|problem| bad_record(&problem.within(format_args!("the schema with the id {id}"))))?;
        Ok(Reader {
            schema,
            read,
            is_bytes: matches!(nodes.get(root).kind, Kind::Bytes),
        })
    }
}

impl Converter for AvroConverter {
    fn encode(&mut self, topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<Encoded, PluginError> {
        if datum.is_null() {
            return match &datum.schema {
                Some(schema) if !schema.optional => Err(PluginError::bad_record(
                    "AvroConverter: the value is null, but its schema is not optional",
                )),
                _ => Ok(Encoded::Null),
            };
        }
        let target = self.target(topic, datum.schema.as_ref())?;
        out.push(MAGIC);
        out.extend_from_slice(&target.id.to_be_bytes());
        let start = out.len();
        let written = match &target.form {
            TargetForm::Schema(write) => write.value(&datum.value, out),
            TargetForm::Anything => write::write_anything(&datum.value, out),
            TargetForm::Bytes(write) => write.value(&datum.value, out).map(|()| {
                let length = out[start..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
                out.drain(start..start + length);
            }),
        };
        written.map_err(|problem| bad_record(&problem))?;
        Ok(Encoded::Bytes)
    }

    fn latest(&mut self, topic: &str, record: Option<&str>) -> Result<Option<Latest>, PluginError> {
        let id = self.registry.latest_of(topic, record)?.id;
        let mut head = vec![MAGIC];
        head.extend_from_slice(&id.to_be_bytes());
        let schema = self.reader(topic, id)?.schema.clone();
        Ok(Some(Latest { schema, head }))
    }

    fn decode(&mut self, topic: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        let Some(bytes) = bytes else {
            return Ok(Datum::NULL);
        };
        let [MAGIC, a, b, c, d, ..] = bytes[..] else {
            return Err(PluginError::bad_record(format!(
                "AvroConverter reads a byte that is 0 and the id of a schema in four; these {} bytes do not begin so: \
                 they were written with another converter",
                bytes.len()
            )));
        };
        let reader = self.reader(topic, i32::from_be_bytes([a, b, c, d]))?;
        let mut rest = bytes.clone();
        rest.advance(5);
        let value = match &reader.read {
            Read::Bytes if reader.is_bytes => Ok(Value::Bytes(rest)),
            Read::Decimal(scale, None) if reader.is_bytes => {
                Read::Decimal(*scale, Some(rest.len())).value(&mut rest)
            }
            read => read.value(&mut rest),
        };
        let value = value.map_err(|problem| bad_record(&problem))?;
        Ok(Datum::new(reader.schema.clone(), value))
    }
}
