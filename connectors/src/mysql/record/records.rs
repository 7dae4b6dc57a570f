//! What all records of a source share.
use std::sync::Arc;

use bytestring::ByteString;
use millstream_connect::record::{SchemaRef, Struct, Value};

use super::naming::{Named, adjusted, topic};
use super::{Origin, schemas};
use crate::mysql::config::{Filters, RecordConfig};
use crate::mysql::schema::TableId;

/// Whose connector's records these are: Debezium has one for each, and its name stands in schemas and in `source`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Connector {
    /// `mysql`.
    #[default]
    MySql,
    /// `mariadb`.
    MariaDb,
}

impl Connector {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
        }
    }
}

/// What all records of a source share: settings, names, and the schemas that no table decides. It is made once.
#[derive(Debug)]
pub struct Records {
    pub(super) config: RecordConfig,
    pub(super) filters: Filters,
    pub(super) connector: Connector,
    /// `topic.prefix`, as values have it.
    name: ByteString,
    source: SchemaRef,
}

/// Which field of the block `source` is the row's number.
pub(super) const ROW_FIELD: usize = 14;

impl Records {
    /// Of a source that is told this.
    #[must_use]
    pub fn new(config: RecordConfig, filters: Filters, connector: Connector) -> Arc<Self> {
        Arc::new(Self {
            name: ByteString::from(&*config.prefix),
            source: schemas::source(connector.name()),
            config,
            filters,
            connector,
        })
    }

    /// The topic of a table.
    #[must_use]
    pub fn topic(&self, table: &TableId) -> String {
        let parts = [&*self.config.prefix, &*table.database, &*table.table];
        topic(&parts, &self.config.delimiter)
    }

    /// The topic of heartbeats, of transactions, of changes of tables.
    pub(super) fn topic_of(&self, parts: &[&str]) -> Arc<str> {
        Arc::from(parts.join(&self.config.delimiter))
    }

    /// `topic.prefix`.
    pub(super) fn name(&self) -> ByteString {
        self.name.clone()
    }

    /// The name of a schema, as `schema.name.adjustment.mode` has it.
    pub(super) fn schema_name(&self, name: &str) -> String {
        adjusted(name, self.config.schema_names, Named::Schema)
    }

    /// The name of a field, as `field.name.adjustment.mode` has it.
    pub(super) fn field_name(&self, name: &str) -> String {
        adjusted(name, self.config.field_names, Named::Field)
    }

    /// The schema of [`Self::source`].
    pub(super) fn source_schema(&self) -> &SchemaRef {
        &self.source
    }

    /// The block `source` of a record of such a table.
    pub(super) fn source(&self, origin: &Origin, database: &ByteString, table: Option<&ByteString>) -> Value {
        let values = self.source_values(origin, database, table);
        Value::Struct(Struct::new(Arc::clone(&self.source), values.into()))
    }

    /// The values of the block `source` of many records of a table.
    pub(super) fn shared_source(
        &self,
        origin: &Origin,
        database: &ByteString,
        table: &ByteString,
    ) -> Arc<[Value]> {
        Arc::new(self.source_values(origin, database, Some(table)))
    }

    fn source_values(
        &self,
        origin: &Origin,
        database: &ByteString,
        table: Option<&ByteString>,
    ) -> [Value; 17] {
        let text = |text: Option<&ByteString>| text.map_or(Value::Null, |text| Value::String(text.clone()));
        let query = origin.query.as_ref().filter(|_| self.config.include_query);
        [
            Value::String(ByteString::from_static(env!("CARGO_PKG_VERSION"))),
            Value::String(ByteString::from_static(self.connector.name())),
            Value::String(self.name.clone()),
            Value::Int64(origin.moment.millis()),
            origin.snapshot.value(),
            Value::String(database.clone()),
            Value::Null,
            Value::Int64(origin.moment.micros()),
            Value::Int64(origin.moment.nanos()),
            text(table),
            Value::Int64(i64::from(origin.server_id)),
            text(origin.gtid.as_ref()),
            Value::String(origin.file.clone()),
            Value::Int64(i64::try_from(origin.position).unwrap_or(i64::MAX)),
            Value::Int32(i32::try_from(origin.row).unwrap_or(i32::MAX)),
            origin
                .thread
                .map_or(Value::Null, |thread| Value::Int64(i64::from(thread))),
            text(query),
        ]
    }
}
