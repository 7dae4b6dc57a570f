//! The sink's keys.
use millstream_connect::config::{ConfigDef, ConfigKey, ConfigType, Importance};

use ConfigType::{Boolean, Int, List, Long, Password, String};
use Importance::{High, Low, Medium};

/// A key and its name elsewhere.
pub(super) const ALIASES: [(&str, &str); 11] = [
    ("connection.username", "connection.user"),
    ("primary.key.mode", "pk.mode"),
    ("primary.key.fields", "pk.fields"),
    ("collection.name.format", "table.name.format"),
    ("collection.naming.strategy", "table.naming.strategy"),
    ("field.include.list", "fields.whitelist"),
    ("use.time.zone", "database.time_zone"),
    ("use.time.zone", "db.timezone"),
    ("quote.identifiers", "quote.sql.identifiers"),
    ("flush.max.retries", "max.retries"),
    ("flush.retry.delay.ms", "retry.backoff.ms"),
];

/// Keys of other sinks that may stay where they are, and why they have no effect.
const WITHOUT_EFFECT: [(&str, &str); 18] = [
    ("connection.provider", "a task has one connection"),
    ("connection.pool.min_size", "a task has one connection"),
    ("connection.pool.max_size", "a task has one connection"),
    ("connection.pool.acquire_increment", "a task has one connection"),
    ("connection.pool.timeout", "a task has one connection"),
    (
        "connection.restart.on.errors",
        "connections that are lost are always made anew, and nothing is written twice",
    ),
    (
        "connection.attempts",
        "a task that cannot connect is started again",
    ),
    (
        "connection.backoff.ms",
        "a task that cannot connect is started again, with growing pauses",
    ),
    ("dialect.name", "the server says whether it is MySQL or MariaDB"),
    ("dialect.postgres.postgis.schema", "it is another database's"),
    (
        "dialect.postgres.unnest.insert.enabled",
        "it is another database's",
    ),
    ("dialect.sqlserver.identity.insert", "it is another database's"),
    ("dialect.starrocks.catalog.name", "it is another database's"),
    (
        "use.reduction.buffer",
        "of several changes of a row in a batch the last is written wherever that leads to the same rows",
    ),
    (
        "keyed.message.batch.mode",
        "of several changes of a row in a batch the last is written wherever that leads to the same rows",
    ),
    ("trim.sensitive.log", "values are not logged"),
    ("table.types", "tables are written to, and nothing else"),
    ("cloud.events.schema.name.pattern", "CloudEvents are not read"),
];

/// The keys' declarations.
pub(in crate::mysql::sink) fn definition() -> ConfigDef {
    let mut all = connection().and(rows()).and(tables()).and(values());
    for (key, alias) in ALIASES {
        let kind = all.key(key).map_or(String, |key| key.kind);
        // What is good is said once, by the key itself.
        let kind = if kind == Boolean { String } else { kind };
        all = all.with(ConfigKey::optional(
            alias,
            kind,
            Low,
            &format!("Another name of {key}"),
        ));
    }
    for (key, reason) in WITHOUT_EFFECT {
        all = all.with(ConfigKey::optional(
            key,
            String,
            Low,
            &format!("Accepted, without effect: {reason}"),
        ));
    }
    all
}

fn connection() -> ConfigDef {
    let key = ConfigKey::with_default;
    ConfigDef::new()
        .with(ConfigKey::required("connection.url", String, High, "Where to write: jdbc:mysql://host:3306/database, jdbc:mariadb://…, or mysql://…. Of its properties sslMode (and useSSL, requireSSL, verifyServerCertificate), sessionVariables, connectTimeout, socketTimeout, user and password count"))
        .with(ConfigKey::optional("connection.username", String, High, "Who writes. It needs SELECT, INSERT, UPDATE and DELETE on the tables, CREATE for the table of offsets, and CREATE and ALTER for schema.evolution=basic"))
        .with(ConfigKey::optional("connection.password", Password, High, "Its password"))
        .with(ConfigKey::optional("database.ssl.mode", String, Medium, "disabled, preferred (TLS where the server has it), required, verify_ca, or verify_identity; by default what connection.url says, or preferred"))
        .with(ConfigKey::optional("database.ssl.ca", String, Medium, "A PEM file of the authorities that may sign the server's certificate; by default those that are known to browsers"))
        .with(ConfigKey::optional("database.ssl.cert", String, Low, "A PEM file of the client's own certificate, if the server asks for one"))
        .with(ConfigKey::optional("database.ssl.key", String, Low, "A PEM file of its key"))
        .with(key("connect.timeout.ms", Long, "30000", Low, "How long connecting may take").between(1, 86_400_000))
        .with(key("database.query.timeout.ms", Long, "600000", Low, "How long a statement may take; 0: for ever").between(0, i64::MAX))
        .with(key("offsets.table", String, "millstream_offsets", Low, "The table in connection.url's database in which the offsets of what was written are kept, in the same transactions as the rows. It is created when it is not there").not_empty())
        .with(key("flush.max.retries", Int, "10", Medium, "How often a batch is tried again after deadlocks, timeouts of locks, lost connections, and rows whose foreign keys are not there yet").between(0, 1_000_000))
        .with(ConfigKey::optional("flush.retry.delay.ms", Long, Low, "Accepted, without effect: pauses between tries grow by themselves"))
}

fn rows() -> ConfigDef {
    let key = ConfigKey::with_default;
    ConfigDef::new()
        .with(key("insert.mode", String, "insert", High, "insert: rows are new. upsert: rows with the key of another replace its columns. update: only rows that are there are changed").one_of(&["insert", "upsert", "update"]))
        .with(key("delete.enabled", Boolean, "false", Medium, "Whether deletions and tombstones delete rows; primary.key.mode says by which key"))
        .with(key("truncate.enabled", Boolean, "false", Medium, "Whether a truncation deletes all rows of a table (DELETE, within the transaction)"))
        .with(key("primary.key.mode", String, "none", High, "Where the key of rows is: none, kafka (topic, partition and offset), record_key, record_value, record_header").one_of(&["none", "kafka", "record_key", "record_value", "record_header"]))
        .with(ConfigKey::optional("primary.key.fields", List, Medium, "Which fields of it; by default all. With kafka the names of the three columns; of a key that is no struct, the column's name"))
        .with(ConfigKey::optional("field.include.list", List, Medium, "Fields that are written, as FIELD or TOPIC:FIELD; by default all. Those of the key always are"))
        .with(ConfigKey::optional("field.exclude.list", List, Medium, "Fields that are not written, likewise; not together with field.include.list"))
        .with(key("batch.size", Int, "1000", Medium, "The most rows of a statement. A transaction has what the worker reads at once, at most consumer.override.max.poll.records").between(1, 100_000))
}

fn tables() -> ConfigDef {
    let key = ConfigKey::with_default;
    ConfigDef::new()
        .with(key("collection.name.format", String, "${topic}", Medium, "A table's name, with ${topic} and ${source.FIELD} (of a change's source block: db, table). A dot divides database and table, such as in ${source.db}.${source.table}; a topic's own dots become _. With fields of the source tombstones, which have none, are passed over: the deletion before one is written"))
        .with(ConfigKey::optional("collection.naming.strategy", String, Low, "io.debezium.sink.naming.DefaultCollectionNamingStrategy, or with a topic's dots as they are PassthroughCollectionNamingStrategy, as which Confluent's class begins"))
        .with(ConfigKey::optional("column.naming.strategy", String, Low, "Columns have the names of fields: io.debezium.sink.naming.DefaultColumnNamingStrategy"))
        .with(ConfigKey::optional("collection.table.format", String, Low, "Not supported: use collection.name.format with ${source.table}"))
        .with(key("schema.evolution", String, "none", High, "none: tables and columns are there. basic: tables are created, and columns are added, as the schemas of records say. validate-only: as none; a table is looked at when its first record comes").one_of(&["none", "basic", "validate-only"]))
        .with(ConfigKey::optional("auto.create", Boolean, Medium, "Whether tables are created; by default as schema.evolution says"))
        .with(ConfigKey::optional("auto.evolve", Boolean, Medium, "Whether columns are added; by default as schema.evolution says"))
        .with(key("allow.non.transactional.tables", Boolean, "false", Low, "Whether tables that are not InnoDB's are written to. What a crash leaves in them may be written twice"))
        .with(ConfigKey::optional("quote.identifiers", String, Low, "Accepted, without effect: names are always quoted, which changes nothing in MySQL but that all names are possible"))
}

fn values() -> ConfigDef {
    let key = ConfigKey::with_default;
    ConfigDef::new()
        .with(key("use.time.zone", String, "UTC", Medium, "Where the clocks of DATETIME columns are, for values that are instants (io.debezium.time.ZonedTimestamp, texts with an offset; given as db.timezone also Kafka Connect's Timestamp). TIMESTAMP columns hold instants in any case"))
        .with(key("value.rounding", Boolean, "false", Medium, "Whether decimals and fractions of seconds are rounded to a column's digits; otherwise records that have more are refused"))
        .with(key("unavailable.value.placeholder", String, "__debezium_unavailable_value", Low, "The value that stands for one that the source does not know: such a column stays as it is"))
        .with(key("binary.handling.mode", String, "bytes", Low, "What texts are that go to columns of bytes: bytes (their UTF-8; without a schema base64), base64, base64-url-safe, hex; as the source's key of this name says").one_of(&["bytes", "base64", "base64-url-safe", "hex"]))
        .with(key("decimal.handling.mode", String, "string", Low, "For records without a schema, as the source's key of this name says: what texts are that go to columns of decimals. string, double: their digits. precise: base64 of the unscaled number").one_of(&["precise", "double", "string"]))
        .with(key("time.precision.mode", String, "adaptive_time_microseconds", Low, "For records without a schema, as the source's key of this name says: what numbers are that go to columns of times").one_of(&["adaptive_time_microseconds", "adaptive", "connect", "isostring", "microseconds", "nanoseconds"]))
}
