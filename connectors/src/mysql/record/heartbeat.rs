//! Signs of life.
use std::sync::Arc;

use millstream_connect::record::{Datum, Record, SchemaRef, Struct, Value};

use super::{Moment, Records, schemas};

/// Makes the records that show that a source is alive while its tables do not change (`heartbeat.interval.ms`).
#[derive(Debug)]
pub struct Heartbeats {
    topic: Arc<str>,
    key: Datum,
    value: SchemaRef,
}

impl Heartbeats {
    /// Of a source.
    #[must_use]
    pub fn new(records: &Arc<Records>) -> Self {
        let (key, value) = schemas::heartbeat(records.config.schema_names);
        let server = Struct::new(Arc::clone(&key), vec![Value::String(records.name())]);
        Self {
            topic: records.topic_of(&[&records.config.heartbeat_prefix, &records.config.prefix]),
            key: Datum::new(key, Value::Struct(server)),
            value,
        }
    }

    /// One.
    #[must_use]
    pub fn record(&self, now: Moment) -> Record {
        let value = Struct::new(Arc::clone(&self.value), vec![Value::Int64(now.millis())]);
        let value = Datum::new(Arc::clone(&self.value), Value::Struct(value));
        let mut record = Record::new(Arc::clone(&self.topic), value);
        record.key = self.key.clone();
        record.partition = Some(0);
        record
    }
}
