//! `ProtobufConverter`: Protobuf's messages behind the id of their schema, which a schema registry keeps, and their place in it.
//!
//! Connect's schemas and Protobuf's are translated as Confluent's converter does it, so that what one writes the other reads, and schemas
//! that one registered are found by the other. What is done with a schema is prepared once: a record costs no look at it.
//!
//! Not here: `generalized.sum.type.support`, the logical type of variants (which are read as structs), groups, and messages that hold themselves,
//! which a schema of Connect cannot here. Of dates, times, timestamps and wrappers that a message gives twice the last counts.
mod agree;
mod compiled;
mod config;
mod files;
mod from_connect;
#[cfg(test)]
mod golden;
mod logical;
mod names;
mod read;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod tests;
mod to_connect;
mod wire;
mod wrappers;
mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use self::agree::Side;
use self::config::Options;
use self::files::Types;
use self::names::simple;
use self::to_connect::Root;
use self::wire::{Input, unzigzag, write_varint, zigzag};
use self::write::{Plans, WriteMessage};
use super::problem::Problem;
use super::registry::{MAGIC, Registered, RegistryConfig, SchemaRegistry};
use super::schema_cache::SchemaCache;
use crate::config::{ConfigDef, ConfigMap};
use crate::plugin::{Converter, ConverterPlugin, Encoded, ErrorKind, Latest, Plugin, PluginError};
use crate::record::{Datum, SchemaRef};

/// How deep the message of some data may stand in others.
const PLACES_MAX: i64 = 100;

/// The magic byte and the id.
const ID_BYTES: usize = 5;

/// The plugin.
pub(super) struct ProtobufConverterPlugin;

impl Plugin for ProtobufConverterPlugin {
    fn class(&self) -> &'static str {
        "io.confluent.connect.protobuf.ProtobufConverter"
    }

    fn config_def(&self) -> ConfigDef {
        config::keys()
    }
}

impl ConverterPlugin for ProtobufConverterPlugin {
    fn new_converter(&self, config: &ConfigMap, is_key: bool) -> Result<Box<dyn Converter>, PluginError> {
        Ok(Box::new(ProtobufConverter::new(config, is_key)?))
    }
}

struct ProtobufConverter {
    options: Options,
    registry: SchemaRegistry,
    schemas_max: usize,
    writers: SchemaCache<Writer>,
    readers: HashMap<ReaderKey, Arc<Root>>,
    last: Option<(ReaderKey, Arc<Root>)>,
}

/// What was prepared for a Connect schema.
struct Writer {
    text: Arc<str>,
    /// The full name of the message.
    full: String,
    types: Types,
    write: WriteMessage,
    /// What stands before the data, by topic.
    targets: Mutex<HashMap<String, Arc<[u8]>>>,
}

/// What a message is read by: the id of the schema, the place of the message in it as it is written, and, as subjects have versions, the topic.
#[derive(Clone, PartialEq, Eq, Hash)]
struct ReaderKey {
    id: i32,
    places: Bytes,
    topic: Arc<str>,
}

fn bad_record(problem: &Problem) -> PluginError {
    problem.bad_record("ProtobufConverter")
}

impl ProtobufConverter {
    fn new(config: &ConfigMap, is_key: bool) -> Result<Self, PluginError> {
        let parsed = config::keys().parse(config)?;
        config::check_supported(config)?;
        let registry = RegistryConfig::new(&parsed, is_key)?;
        let schemas_max = registry.schemas_max();
        let kept = usize::try_from(parsed.int(config::CACHE_SIZE)).unwrap_or(1);
        Ok(Self {
            options: Options::new(&parsed),
            registry: SchemaRegistry::new(registry, "PROTOBUF"),
            schemas_max,
            writers: SchemaCache::new(kept),
            readers: HashMap::new(),
            last: None,
        })
    }

    fn writer(&mut self, schema: &SchemaRef) -> Result<Arc<Writer>, PluginError> {
        let options = self.options;
        let prepared = self.writers.get(schema, || prepare_writer(schema, options));
        prepared.cloned().map_err(|problem| bad_record(&problem))
    }

    /// What stands before data of a topic.
    fn target(&mut self, topic: &str, writer: &Writer) -> Result<Arc<[u8]>, PluginError> {
        let mut targets = writer.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get(topic) {
            return Ok(Arc::clone(target));
        }
        let registered = self
            .registry
            .for_writing(topic, Some(&writer.full), &writer.text)?;
        let place = self.place(writer, &registered).map_err(|problem| {
            let id = registered.id;
            bad_record(&problem.within(format_args!("the schema with the id {id} for topic {topic} ")))
        })?;
        let target: Arc<[u8]> = head(registered.id, place).into();
        if targets.len() >= self.schemas_max {
            targets.clear();
        }
        targets.insert(topic.to_owned(), Arc::clone(&target));
        Ok(target)
    }

    /// Where the message stands in the registered schema.
    fn place(&self, writer: &Writer, registered: &Registered) -> Result<usize, Problem> {
        let name = simple(&writer.full);
        if registered.text == writer.text {
            return Ok(writer.types.root_place(name).unwrap_or(0));
        }
        let latest = Types::read(&registered.text, &registered.references)?;
        let place = latest.root_place(name);
        if !self.options.latest_strict {
            return Ok(place.unwrap_or(0));
        }
        let place = place.ok_or_else(|| {
            Problem::new(format!(
                "the latest schema of the subject has no message {name}, which the data are of; name the struct's schema as \
                 the message, or set latest.compatibility.strict=false"
            ))
        })?;
        let own = writer.types.at(&[writer.types.root_place(name).unwrap_or(0)])?;
        let own = Side {
            types: &writer.types,
            message: own,
        };
        let latest = Side {
            types: &latest,
            message: latest.at(&[place])?,
        };
        agree::check(own, latest)?;
        Ok(place)
    }

    fn reader(&mut self, topic: &str, id: i32, places: &[u8]) -> Result<Arc<Root>, PluginError> {
        if let Some((key, reader)) = &self.last
            && key.id == id
            && *key.topic == *topic
            && *key.places == *places
        {
            return Ok(Arc::clone(reader));
        }
        let key = ReaderKey {
            id,
            places: Bytes::copy_from_slice(places),
            topic: topic.into(),
        };
        let reader = match self.readers.get(&key) {
            Some(reader) => Arc::clone(reader),
            None => {
                let reader = Arc::new(self.prepare_reader(topic, id, &key.places)?);
                if self.readers.len() >= self.schemas_max {
                    self.readers.clear();
                }
                self.readers.insert(key.clone(), Arc::clone(&reader));
                reader
            }
        };
        self.last = Some((key, Arc::clone(&reader)));
        Ok(reader)
    }

    fn prepare_reader(&mut self, topic: &str, id: i32, places: &Bytes) -> Result<Root, PluginError> {
        let registered = self.registry.by_id(id)?;
        let bad =
            |problem: Problem| bad_record(&problem.within(format_args!("the schema with the id {id} ")));
        let types = Types::read(&registered.text, &registered.references).map_err(bad)?;
        let places = read_places(&mut Input::new(places, 0)).map_err(bad)?;
        let message = types.at(&places).map_err(bad)?;
        let version = self.registry.version(topic, Some(&message.full), &registered);
        let version = match version {
            Err(error) if error.kind() == ErrorKind::BadRecord => None,
            found => found?,
        };
        to_connect::convert(&types, message, version, self.options).map_err(bad)
    }
}

/// What stands before a message: the magic byte, the id of its schema, and its place on the top of it.
fn head(id: i32, place: usize) -> Vec<u8> {
    let mut head = vec![MAGIC];
    head.extend_from_slice(&id.to_be_bytes());
    match place {
        0 => head.push(0),
        place => [1, place as i64]
            .into_iter()
            .for_each(|number| write_varint(zigzag(number), &mut head)),
    }
    head
}

fn prepare_writer(schema: &SchemaRef, options: Options) -> Result<Writer, Problem> {
    let written = from_connect::write(schema, options)?;
    let types = Types::read(&written.text, &[])?;
    let place = types.root_place(simple(&written.full)).unwrap_or(0);
    let plans = Plans {
        types: &types,
        options,
    };
    let write = plans.root(schema, types.at(&[place])?)?;
    Ok(Writer {
        text: written.text.into(),
        full: written.full,
        types,
        write,
        targets: Mutex::default(),
    })
}

/// Reads where the message stands in its schema: how many numbers, and these; none stand for the first message.
fn read_places(input: &mut Input<'_>) -> Result<Vec<usize>, Problem> {
    let count = unzigzag(input.varint()?);
    if count == 0 {
        return Ok(vec![0]);
    }
    if !(1..=PLACES_MAX).contains(&count) {
        return Err(Problem::new(format!(
            "the data say that their message stands in {count} others; they were written with another converter"
        )));
    }
    (0..count)
        .map(|_| {
            let place = unzigzag(input.varint()?);
            usize::try_from(place).map_err(|_| Problem::new(format!("there is no message number {place}")))
        })
        .collect()
}

impl Converter for ProtobufConverter {
    fn encode(&mut self, topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<Encoded, PluginError> {
        if datum.is_null() {
            return Ok(Encoded::Null);
        }
        let Some(schema) = &datum.schema else {
            return Err(PluginError::bad_record(
                "ProtobufConverter writes values with schemas only, and this one has none: choose another converter, \
                 or have whatever makes the records give them schemas",
            ));
        };
        let writer = self.writer(schema)?;
        let target = self.target(topic, &writer)?;
        out.extend_from_slice(&target);
        let written = writer.write.root(&datum.value, out);
        written.map_err(|problem| bad_record(&problem))?;
        Ok(Encoded::Bytes)
    }

    fn latest(&mut self, topic: &str, record: Option<&str>) -> Result<Option<Latest>, PluginError> {
        let registered = self.registry.latest_of(topic, record)?;
        let types = Types::read(&registered.text, &registered.references);
        let types = types.map_err(|problem| bad_record(&problem))?;
        let place = match record {
            None => 0,
            Some(name) => types.root_place(simple(name)).ok_or_else(|| {
                PluginError::user_config(format!(
                    "the schema of {topic} has no message {name} that stands in no other"
                ))
            })?,
        };
        let head = head(registered.id, place);
        let schema = match &*self.reader(topic, registered.id, &head[ID_BYTES..])? {
            Root::Message(_, schema) | Root::Wrapped(_, schema) => Arc::clone(schema),
        };
        let schema = Some(schema);
        Ok(Some(Latest { schema, head }))
    }

    fn decode(&mut self, topic: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        let Some(bytes) = bytes else {
            return Ok(Datum::NULL);
        };
        let [MAGIC, a, b, c, d, _, ..] = bytes[..] else {
            return Err(PluginError::bad_record(format!(
                "ProtobufConverter reads a byte that is 0, the id of a schema in four, and the place of a message; these {} bytes do not \
                 begin so: they were written with another converter",
                bytes.len()
            )));
        };
        let mut input = Input::new(bytes, ID_BYTES);
        read_places(&mut input).map_err(|problem| bad_record(&problem))?;
        let places = &bytes[ID_BYTES..input.position()];
        let root = self.reader(topic, i32::from_be_bytes([a, b, c, d]), places)?;
        let (value, schema) = match &*root {
            Root::Message(message, schema) => (message.read(schema, &mut input), schema),
            Root::Wrapped(read, schema) => (read.wrapped(&mut input), schema),
        };
        let value = value.map_err(|problem| bad_record(&problem))?;
        Ok(Datum::new(Arc::clone(schema), value))
    }
}
