//! `EventRouter`: a row that is inserted into a table of events becomes the event, in the topic that the row names.
mod config;
mod expand;

use std::mem::take;
use std::sync::Arc;

use millstream_connect::config::{Config, ConfigMap};
use millstream_connect::plugin::{PluginError, Transform};
use millstream_connect::record::{
    Datum, Field, Header, Record, Schema, SchemaKind, SchemaRef, Struct, Value,
};

use self::config::{Invalid, Options, Placement};
use super::envelope::{self, LastTopic, place, place_of, read, require_struct};
use super::plugin;

const PURPOSE: &str = "routing an event";

/// How many schemas of events are remembered.
const SCHEMAS_MAX: usize = 64;

plugin!(
    EventRouter,
    "io.debezium.transforms.outbox.EventRouter",
    config::keys,
    Router::new
);

struct Router {
    options: Options,
    schemas: Vec<Known>,
    /// Which one makes room next.
    oldest: usize,
    topic: LastTopic,
}

/// A schema of events with further fields, and what it was made for.
struct Known {
    row: SchemaRef,
    payload: SchemaRef,
    aggregate: String,
    version: Option<i32>,
    schema: SchemaRef,
}

/// The row of an event, and its payload, which may have been expanded.
struct Event {
    schema: SchemaRef,
    values: Vec<Value>,
    payload: Datum,
}

impl Router {
    fn new(config: &Config, _given: &ConfigMap) -> Result<Self, PluginError> {
        Ok(Self {
            options: Options::new(config)?,
            schemas: Vec::new(),
            oldest: 0,
            topic: LastTopic::default(),
        })
    }

    fn updated(&self, record: &Record) -> Result<(), PluginError> {
        let key = &record.key.value;
        match self.options.invalid {
            Invalid::Warn => tracing::warn!("an event of {} was updated, and is passed over", record.topic),
            Invalid::Error => tracing::error!("an event of {} was updated, and is passed over", record.topic),
            Invalid::Fatal => {
                return Err(PluginError::bad_record(format!(
                    "an event of {} was updated, key {key:?}; events are only inserted and deleted (table.op.invalid.behavior)",
                    record.topic
                )));
            }
        }
        Ok(())
    }

    fn event(&mut self, change: &mut [Value], schema: &Schema) -> Result<Event, PluginError> {
        let after = place(schema, "after", PURPOSE)?;
        let row = Arc::clone(&schema.fields()[after].schema);
        let values = require_struct(take(&mut change[after]), &row, "reading an event")?.into_values();
        let at = place(&row, &self.options.payload, "looking for an event's payload")?;
        let own = Datum::new(Arc::clone(&row.fields()[at].schema), read(&row, &values, at));
        let payload = match &mut self.options.expansion {
            Some(expansion) => expansion.expand(own, &self.options.payload),
            None => own,
        };
        Ok(Event {
            schema: row,
            values,
            payload,
        })
    }

    /// The time of the event's own column, or that of the change.
    fn timestamp(
        &self,
        event: &Event,
        change: &[Value],
        schema: &Schema,
    ) -> Result<Option<i64>, PluginError> {
        let of_change = || {
            let at = place_of(schema, "ts_ms", &SchemaKind::Int64, PURPOSE)?;
            match change[at] {
                Value::Int64(time) => Ok(Some(time)),
                _ => Ok(None),
            }
        };
        let Some(name) = &self.options.timestamp else {
            return of_change();
        };
        let at = place_of(
            &event.schema,
            name,
            &SchemaKind::Int64,
            "looking for an event's time",
        )?;
        let Value::Int64(time) = event.values[at] else {
            return of_change();
        };
        match event.schema.fields()[at].schema.name.as_deref() {
            Some("io.debezium.time.Timestamp") => Ok(Some(time)),
            Some("io.debezium.time.MicroTimestamp") => Ok(Some(time / 1_000)),
            Some("io.debezium.time.NanoTimestamp") => Ok(Some(time / 1_000_000)),
            other => Err(PluginError::bad_record(format!(
                "{name} is of type {} and no time of an event; give a column of DATETIME (table.field.event.timestamp)",
                other.unwrap_or("int64 without a name")
            ))),
        }
    }

    /// The schema of events that have more than their payload.
    fn schema(
        &mut self,
        event: &Event,
        aggregate: &str,
        version: Option<i32>,
    ) -> Result<SchemaRef, PluginError> {
        let payload = event
            .payload
            .schema
            .clone()
            .unwrap_or_else(Schema::optional_string);
        let same = |one: &SchemaRef, other: &SchemaRef| Arc::ptr_eq(one, other) || one == other;
        let known = self.schemas.iter().find(|known| {
            same(&known.row, &event.schema)
                && same(&known.payload, &payload)
                && known.aggregate == aggregate
                && known.version == version
        });
        if let Some(known) = known {
            return Ok(Arc::clone(&known.schema));
        }
        let mut fields = vec![Field {
            name: "payload".into(),
            schema: Arc::clone(&payload),
        }];
        for extra in &self.options.extras {
            if extra.placement == Placement::Envelope {
                match event.schema.field(&extra.field) {
                    Some(field) => fields.push(Field {
                        name: Arc::clone(&extra.alias),
                        schema: Arc::clone(&field.schema),
                    }),
                    None if self.options.ignores_missing => {}
                    None => drop(place(&event.schema, &extra.field, PURPOSE)?),
                }
            }
        }
        let mut schema = Schema::try_struct(fields)
            .map_err(|error| PluginError::bad_record(PURPOSE).caused_by(error))?
            .named(schema_name(event.schema.name.as_deref(), aggregate));
        schema.version = version;
        let schema = Arc::new(schema);
        let known = Known {
            row: Arc::clone(&event.schema),
            payload,
            aggregate: aggregate.to_owned(),
            version,
            schema: Arc::clone(&schema),
        };
        if self.schemas.len() < SCHEMAS_MAX {
            self.schemas.push(known);
        } else {
            self.schemas[self.oldest] = known;
            self.oldest = (self.oldest + 1) % SCHEMAS_MAX;
        }
        Ok(schema)
    }

    /// Further columns: headers, the partition, and the values of fields beside the payload, in their order.
    fn extras(&self, event: &Event, record: &mut Record) -> Result<Vec<Value>, PluginError> {
        let mut fields = Vec::new();
        record.partition = None;
        for extra in &self.options.extras {
            if self.options.ignores_missing && event.schema.field(&extra.field).is_none() {
                continue;
            }
            let at = place(
                &event.schema,
                &extra.field,
                "looking for a column of table.fields.additional.placement",
            )?;
            match extra.placement {
                Placement::Envelope => fields.push(read(&event.schema, &event.values, at)),
                Placement::Header => record.headers.push(Header {
                    name: Arc::clone(&extra.alias),
                    datum: column(event, at),
                }),
                Placement::Partition => {
                    place_of(
                        &event.schema,
                        &extra.field,
                        &SchemaKind::Int32,
                        "choosing a partition",
                    )?;
                    record.partition = match event.values[at] {
                        Value::Int32(partition) => Some(partition),
                        _ => None,
                    };
                }
            }
        }
        Ok(fields)
    }

    /// The value: the payload alone, or with the fields that stand beside it.
    fn value(&mut self, event: Event, aggregate: &str, fields: Vec<Value>) -> Result<Datum, PluginError> {
        let empty = match &event.payload.value {
            Value::Null => true,
            Value::String(text) => text.chars().all(|char| char <= ' '),
            _ => false,
        };
        if !self.options.has_envelope() {
            return Ok(match empty && self.options.tombstones {
                true => Datum::NULL,
                false => event.payload,
            });
        }
        let version = match &self.options.version {
            Some(name) => {
                let at = place_of(
                    &event.schema,
                    name,
                    &SchemaKind::Int32,
                    "looking for a schema's version",
                )?;
                match event.values[at] {
                    Value::Int32(version) => Some(version),
                    _ => None,
                }
            }
            None => None,
        };
        let schema = self.schema(&event, aggregate, version)?;
        if empty && self.options.tombstones {
            return Ok(Datum::NULL);
        }
        let mut values = vec![event.payload.value];
        values.extend(fields);
        Ok(Datum::new(
            Arc::clone(&schema),
            Value::Struct(Struct::new(schema, values)),
        ))
    }

    fn inserted(
        &mut self,
        mut record: Record,
        schema: &SchemaRef,
        mut change: Vec<Value>,
    ) -> Result<Record, PluginError> {
        let event = self.event(&mut change, schema)?;
        record.timestamp = self.timestamp(&event, &change, schema)?;
        let id = place(&event.schema, &self.options.id, "looking for an event's id")?;
        record.headers.push(Header {
            name: "id".into(),
            datum: column(&event, id),
        });
        let fields = self.extras(&event, &mut record)?;
        let key = place(&event.schema, &self.options.key, "looking for an event's key")?;
        record.key = column(&event, key);
        let by = &self.options.route_by;
        let at = place_of(
            &event.schema,
            by,
            &SchemaKind::String,
            "looking for an event's topic",
        )?;
        let Value::String(aggregate) = event.values[at].clone() else {
            return Err(PluginError::bad_record(format!(
                "the event has no {by}, which names its topic (route.by.field)"
            )));
        };
        record.value = self.value(event, &aggregate, fields)?;
        record.topic = self.topic.shared(&self.options.topic(&aggregate));
        Ok(record)
    }
}

/// A column with its schema.
fn column(event: &Event, at: usize) -> Datum {
    Datum::new(
        Arc::clone(&event.schema.fields()[at].schema),
        read(&event.schema, &event.values, at),
    )
}

/// `server.db.outbox.Value` of `Order` is `server.db.outbox.Order.Value`.
fn schema_name(row: Option<&str>, aggregate: &str) -> String {
    match row.map(|name| name.rsplit_once('.').ok_or(name)) {
        Some(Ok((front, last))) => format!("{front}.{aggregate}.{last}"),
        Some(Err(name)) => format!("{aggregate}.{name}"),
        None => aggregate.to_owned(),
    }
}

impl Transform for Router {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        if record.value.is_null() {
            return Ok(None);
        }
        let Some(schema) = envelope::schema(&record.value).cloned() else {
            return Ok(Some(record));
        };
        let op = place_of(&schema, "op", &SchemaKind::String, PURPOSE)?;
        let change = require_struct(take(&mut record.value.value), &schema, PURPOSE)?.into_values();
        match change[op].as_str() {
            // A table of events is emptied by deleting or truncating.
            Some("d" | "t") => Ok(None),
            Some("u") => self.updated(&record).map(|()| None),
            Some(_) => self.inserted(record, &schema, change).map(Some),
            None => Err(PluginError::bad_record(format!(
                "{PURPOSE}: the change has no op"
            ))),
        }
    }
}
