//! The schemas that no table decides.
use std::sync::{Arc, LazyLock};

use millstream_connect::record::{Field, Schema, SchemaKind, SchemaRef, Value};

use super::naming::{Named, adjusted};
use crate::mysql::config::NameAdjustment;

/// A schema that is one of a kind, made when first asked for.
macro_rules! shared {
    ($($(#[$doc:meta])* $name:ident = $schema:expr;)*) => {
        $($(#[$doc])* pub(super) fn $name() -> SchemaRef {
            static SHARED: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new($schema));
            Arc::clone(&SHARED)
        })*
    };
}

shared! {
    int32 = SchemaKind::Int32.into();
    int64 = SchemaKind::Int64.into();
    float64 = SchemaKind::Float64.into();
    optional_boolean = Schema::from(SchemaKind::Boolean).optional();
    optional_int32 = Schema::from(SchemaKind::Int32).optional();
    optional_int64 = Schema::from(SchemaKind::Int64).optional();
    optional_strings = Schema::from(SchemaKind::Array(Schema::string())).optional();
    /// Where a record stands in its transaction.
    transaction_block = structure(vec![
        field("id", Schema::string()),
        field("total_order", int64()),
        field("data_collection_order", int64()),
    ])
    .named("event.block")
    .versioned(1)
    .optional();
    /// How many records of a table a transaction has.
    event_collection = structure(vec![field("data_collection", Schema::string()), field("event_count", int64())])
        .named("event.collection")
        .versioned(1)
        .optional();
}

/// A field of a struct.
pub(super) fn field(name: impl Into<Arc<str>>, schema: SchemaRef) -> Field {
    let name = name.into();
    Field { name, schema }
}

/// A struct whose fields have names of their own.
pub(super) fn structure(fields: Vec<Field>) -> Schema {
    Schema::from(SchemaKind::Struct(fields))
}

fn name(name: &str, mode: NameAdjustment) -> String {
    adjusted(name, mode, Named::Schema)
}

/// Whether a row is of a snapshot.
fn snapshot() -> SchemaRef {
    let allowed = "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental";
    let schema = Schema::from(SchemaKind::String)
        .named("io.debezium.data.Enum")
        .versioned(1)
        .with_parameter("allowed", allowed)
        .with_default(Value::from("false"))
        .optional();
    Arc::new(schema)
}

/// The block `source`.
pub(super) fn source(connector: &str) -> SchemaRef {
    let fields = vec![
        field("version", Schema::string()),
        field("connector", Schema::string()),
        field("name", Schema::string()),
        field("ts_ms", int64()),
        field("snapshot", snapshot()),
        field("db", Schema::string()),
        field("sequence", Schema::optional_string()),
        field("ts_us", optional_int64()),
        field("ts_ns", optional_int64()),
        field("table", Schema::optional_string()),
        field("server_id", int64()),
        field("gtid", Schema::optional_string()),
        field("file", Schema::string()),
        field("pos", int64()),
        field("row", int32()),
        field("thread", optional_int64()),
        field("query", Schema::optional_string()),
    ];
    let name = format!("io.debezium.connector.{connector}.Source");
    Arc::new(structure(fields).named(name).versioned(1))
}

/// The envelope around a table's rows.
pub(super) fn envelope(
    topic: &str,
    before: &SchemaRef,
    after: &SchemaRef,
    source: &SchemaRef,
    mode: NameAdjustment,
) -> SchemaRef {
    let fields = vec![
        field("before", Arc::clone(before)),
        field("after", Arc::clone(after)),
        field("source", Arc::clone(source)),
        field("transaction", transaction_block()),
        field("op", Schema::string()),
        field("ts_ms", optional_int64()),
        field("ts_us", optional_int64()),
        field("ts_ns", optional_int64()),
    ];
    let name = name(&format!("{topic}.Envelope"), mode);
    Arc::new(structure(fields).named(name).versioned(2))
}

/// Key and value of the records that tell where transactions begin and end.
pub(super) fn transaction(mode: NameAdjustment) -> (SchemaRef, SchemaRef) {
    let key = structure(vec![field("id", Schema::string())])
        .named(name("io.debezium.connector.common.TransactionMetadataKey", mode))
        .versioned(1);
    let collections = Schema::from(SchemaKind::Array(event_collection())).optional();
    let value = structure(vec![
        field("status", Schema::string()),
        field("id", Schema::string()),
        field("event_count", optional_int64()),
        field("data_collections", Arc::new(collections)),
        field("ts_ms", int64()),
    ])
    .named(name(
        "io.debezium.connector.common.TransactionMetadataValue",
        mode,
    ))
    .versioned(1);
    (Arc::new(key), Arc::new(value))
}

/// Key and value of heartbeats.
pub(super) fn heartbeat(mode: NameAdjustment) -> (SchemaRef, SchemaRef) {
    let key = structure(vec![field("serverName", Schema::string())])
        .named(name("io.debezium.connector.common.ServerNameKey", mode))
        .versioned(1);
    let value = structure(vec![field("ts_ms", int64())])
        .named(name("io.debezium.connector.common.Heartbeat", mode))
        .versioned(1);
    (Arc::new(key), Arc::new(value))
}

/// The schemas of changes of tables, from the whole to its parts.
#[derive(Debug)]
pub(super) struct SchemaChangeSchemas {
    pub(super) key: SchemaRef,
    pub(super) value: SchemaRef,
    pub(super) change: SchemaRef,
    pub(super) table: SchemaRef,
    pub(super) column: SchemaRef,
}

/// Those of a connector.
pub(super) fn schema_change(
    connector: &str,
    source: &SchemaRef,
    mode: NameAdjustment,
) -> SchemaChangeSchemas {
    let shared = |schema: Schema, its: &str| Arc::new(schema.named(name(its, mode)).versioned(1));
    let column = shared(structure(column_fields()), "io.debezium.connector.schema.Column");
    let columns = Schema::from(SchemaKind::Array(Arc::clone(&column)));
    let table = structure(vec![
        field("defaultCharsetName", Schema::optional_string()),
        field("primaryKeyColumnNames", optional_strings()),
        field("columns", Arc::new(columns)),
        field("comment", Schema::optional_string()),
    ])
    .optional();
    let table = shared(table, "io.debezium.connector.schema.Table");
    let change = structure(vec![
        field("type", Schema::string()),
        field("id", Schema::string()),
        field("table", Arc::clone(&table)),
    ]);
    let change = shared(change, "io.debezium.connector.schema.Change");
    let key = structure(vec![field("databaseName", Schema::string())]);
    let changes = Schema::from(SchemaKind::Array(Arc::clone(&change)));
    let value = structure(vec![
        field("source", Arc::clone(source)),
        field("ts_ms", int64()),
        field("databaseName", Schema::optional_string()),
        field("schemaName", Schema::optional_string()),
        field("ddl", Schema::optional_string()),
        field("tableChanges", Arc::new(changes)),
    ]);
    SchemaChangeSchemas {
        key: shared(key, &format!("io.debezium.connector.{connector}.SchemaChangeKey")),
        value: shared(
            value,
            &format!("io.debezium.connector.{connector}.SchemaChangeValue"),
        ),
        change,
        table,
        column,
    }
}

fn column_fields() -> Vec<Field> {
    vec![
        field("name", Schema::string()),
        field("jdbcType", int32()),
        field("nativeType", optional_int32()),
        field("typeName", Schema::string()),
        field("typeExpression", Schema::optional_string()),
        field("charsetName", Schema::optional_string()),
        field("length", optional_int32()),
        field("scale", optional_int32()),
        field("position", int32()),
        field("optional", optional_boolean()),
        field("autoIncremented", optional_boolean()),
        field("generated", optional_boolean()),
        field("comment", Schema::optional_string()),
        field("defaultValueExpression", Schema::optional_string()),
        field("enumValues", optional_strings()),
    ]
}
