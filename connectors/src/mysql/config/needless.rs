//! Keys of Debezium that are needless here, and those of things that this source does not do.
use millstream_connect::config::{ConfigMap, ConfigType};

use ConfigType::{Boolean, Class, Int, List, Long, Password, String};

/// A key that may be given and changes nothing.
pub(super) struct Needless {
    pub key: &'static str,
    pub kind: ConfigType,
    pub default: Option<&'static str>,
    /// Why: the key's documentation, and what is logged where it is given with another value.
    pub reason: &'static str,
}

/// A key that stands for something this source does not do.
pub(super) struct Refused {
    pub key: &'static str,
    pub kind: ConfigType,
    pub default: Option<&'static str>,
    /// Values that are as good as none, in small letters.
    pub harmless: &'static [&'static str],
    /// What it is, why not, and what to do.
    pub documentation: &'static str,
}

const fn needless(
    key: &'static str,
    kind: ConfigType,
    default: Option<&'static str>,
    reason: &'static str,
) -> Needless {
    Needless {
        key,
        kind,
        default,
        reason,
    }
}

const NO_JDBC: &str = "No effect: there is no JDBC driver";
const KEPT_ALIVE: &str = "No effect: the server's heartbeats tell whether the connection lives, and it is made again when they stop";
const ROWS_STREAM: &str = "No effect: rows are streamed, whatever the size of a table";
const NO_HISTORY: &str = "No effect: the log says what tables are (binlog_row_metadata=FULL), so that no history is kept and no DDL is parsed";
const BY_RUNTIME: &str = "No effect: tasks are started again with growing pauses, and there is no limit";
const NO_WATERMARKS: &str =
    "No effect: nothing is written for incremental snapshots, and tables may change while they run";
const NO_LINEAGE: &str = "No effect: there is no integration with OpenLineage";
const ONE_STRATEGY: &str =
    "No effect: it is for snapshot.mode=configuration_based and custom, which are not supported";
const METRICS: &str = "No effect: metrics are Millstream's own";
const MADE_ONCE: &str = "No effect: schemas and names of topics are made once for each table";

#[rustfmt::skip]
pub(super) const NEEDLESS: &[Needless] = &[
    needless("binlog.buffer.size", Int, Some("0"), "No effect: rows of a transaction are told only if the log has its end"),
    needless("binlog.net.read.timeout", Long, Some("0"), "No effect: a session that waits is kept by the server for a week"),
    needless("binlog.net.write.timeout", Long, Some("0"), "No effect: a session that reads slowly is kept by the server for a week"),
    needless("connect.keep.alive", Boolean, Some("true"), KEPT_ALIVE),
    needless("connect.keep.alive.interval.ms", Long, Some("60000"), KEPT_ALIVE),
    needless("connection.validation.timeout.ms", Long, Some("60000"), "No effect: connect.timeout.ms is for validation, too"),
    needless("custom.metric.tags", List, None, METRICS),
    needless("custom.sanitize.pattern", String, None, "No effect: passwords and what references stand for are hidden wherever they would be shown"),
    needless("database.jdbc.driver", Class, None, NO_JDBC),
    needless("database.protocol", String, None, NO_JDBC),
    needless("database.server.name", String, None, "No effect: since Debezium 2 topic.prefix says it"),
    needless("database.server.id.offset", Long, Some("10000"), "No effect: connections of snapshots are no replicas and have no ids"),
    needless("database.ssl.keystore.password", Password, None, "No effect: keys are read from PEM files"),
    needless("database.ssl.truststore.password", Password, None, "No effect: certificates are read from PEM files"),
    needless("ddl.parser.type", String, None, NO_HISTORY),
    needless("errors.max.retries", Int, Some("-1"), BY_RUNTIME),
    needless("event.converting.failure.handling.mode", String, Some("warn"), "No effect: event.processing.failure.handling.mode is for all changes of which no record can be made"),
    needless("event.deserialization.failure.handling.mode", String, Some("fail"), "No effect: the task fails at what cannot be decoded, and says where; nothing of a log is passed over"),
    needless("executor.shutdown.timeout.ms", Long, Some("4000"), "No effect: task.shutdown.graceful.timeout.ms of the worker says it"),
    needless("extended.headers.enabled", Boolean, Some("true"), "No effect: records have no headers of context"),
    needless("gtid.ignore.on.recovery", Boolean, Some("false"), "No effect: where there are GTIDs they say where to go on"),
    needless("guardrail.collections.limit.action", String, Some("warn"), "No effect: any number of tables may be captured"),
    needless("guardrail.collections.max", Int, Some("0"), "No effect: any number of tables may be captured"),
    needless("inconsistent.schema.handling.mode", String, Some("fail"), NO_HISTORY),
    needless("incremental.snapshot.allow.schema.changes", Boolean, Some("false"), NO_WATERMARKS),
    needless("incremental.snapshot.watermarking.strategy", String, Some("INSERT_INSERT"), NO_WATERMARKS),
    needless("legacy.snapshot.max.threads", Boolean, Some("false"), "No effect: tables are divided into chunks, which all threads share"),
    needless("max.queue.size", Int, Some("8192"), "No effect: max.queue.size.in.bytes says how much is read ahead"),
    needless("memory.management.schemas.class", Class, None, MADE_ONCE),
    needless("memory.management.tables.class", Class, None, MADE_ONCE),
    needless("min.row.count.to.stream.results", Int, Some("1000"), ROWS_STREAM),
    needless("openlineage.integration.config.file.path", String, None, NO_LINEAGE),
    needless("openlineage.integration.dataset.kafka.bootstrap.servers", String, None, NO_LINEAGE),
    needless("openlineage.integration.enabled", Boolean, Some("false"), NO_LINEAGE),
    needless("openlineage.integration.job.description", String, None, NO_LINEAGE),
    needless("openlineage.integration.job.namespace", String, None, NO_LINEAGE),
    needless("openlineage.integration.job.owners", List, None, NO_LINEAGE),
    needless("openlineage.integration.job.tags", List, None, NO_LINEAGE),
    needless("poll.interval.ms", Long, Some("500"), "No effect: changes are told as they come"),
    needless("query.fetch.size", Int, Some("0"), ROWS_STREAM),
    needless("retriable.restart.connector.wait.ms", Long, Some("10000"), BY_RUNTIME),
    needless("schema.history.internal", Class, None, NO_HISTORY),
    needless("signal.poll.interval.ms", Long, Some("5000"), "No effect: signals come with the log"),
    needless("snapshot.fetch.size", Int, None, ROWS_STREAM),
    needless("snapshot.locking.mode", String, Some("minimal"), "No effect: snapshots lock nothing but tables without a key, for a moment"),
    needless("snapshot.max.threads.multiplier", Int, Some("1"), "No effect: incremental.snapshot.chunk.size says how large chunks are"),
    needless("snapshot.mode.configuration.based.snapshot.data", Boolean, Some("false"), ONE_STRATEGY),
    needless("snapshot.mode.configuration.based.snapshot.on.data.error", Boolean, Some("false"), ONE_STRATEGY),
    needless("snapshot.mode.configuration.based.snapshot.on.schema.error", Boolean, Some("false"), ONE_STRATEGY),
    needless("snapshot.mode.configuration.based.snapshot.schema", Boolean, Some("false"), ONE_STRATEGY),
    needless("snapshot.mode.configuration.based.start.stream", Boolean, Some("false"), ONE_STRATEGY),
    needless("snapshot.mode.custom.name", String, None, ONE_STRATEGY),
    needless("snapshot.query.mode.custom.name", String, None, ONE_STRATEGY),
    needless("snapshot.tables.order.by.row.count", String, Some("disabled"), "No effect: tables are read in the order of their names"),
    needless("statistics.metrics.enabled", Boolean, Some("true"), METRICS),
    needless("streaming.delay.ms", Long, Some("0"), "No effect: changes are told from the beginning, beside the snapshot"),
    needless("topic.cache.size", Int, Some("10000"), MADE_ONCE),
    needless("use.nongraceful.disconnect", Boolean, Some("false"), KEPT_ALIVE),
];

/// Beginnings of keys that change nothing, and why.
pub(super) const PREFIXES: &[(&str, &str)] = &[
    ("schema.history.internal.", NO_HISTORY),
    ("database.history.", NO_HISTORY),
    ("driver.", NO_JDBC),
    ("internal.", "No effect: it is for the inside of Debezium"),
    ("signal.kafka.", "No effect: signals come with the log"),
    ("signal.file", "No effect: signals come with the log"),
];

#[rustfmt::skip]
pub(super) const REFUSED: &[Refused] = &[
    Refused { key: "database.ssl.truststore", kind: String, default: None, harmless: &[],
        documentation: "A truststore of Java, which is not supported: export its certificates to a PEM file (keytool -exportcert -rfc) and set database.ssl.ca to it" },
    Refused { key: "database.ssl.keystore", kind: String, default: None, harmless: &[],
        documentation: "A keystore of Java, which is not supported: export certificate and key to PEM files (openssl pkcs12) and set database.ssl.cert and database.ssl.key to them" },
    Refused { key: "converters", kind: String, default: None, harmless: &[],
        documentation: "Custom converters, which are classes of Java and not supported: use decimal.handling.mode, time.precision.mode and binary.handling.mode, or transforms such as Cast and TimestampConverter" },
    Refused { key: "database.whitelist", kind: List, default: None, harmless: &[],
        documentation: "A name that Debezium gave up with version 2, and would pass over: use database.include.list" },
    Refused { key: "database.blacklist", kind: List, default: None, harmless: &[],
        documentation: "A name that Debezium gave up with version 2, and would pass over: use database.exclude.list" },
    Refused { key: "table.whitelist", kind: List, default: None, harmless: &[],
        documentation: "A name that Debezium gave up with version 2, and would pass over: use table.include.list" },
    Refused { key: "table.blacklist", kind: List, default: None, harmless: &[],
        documentation: "A name that Debezium gave up with version 2, and would pass over: use table.exclude.list" },
    Refused { key: "column.whitelist", kind: List, default: None, harmless: &[],
        documentation: "A name that Debezium gave up with version 2, and would pass over: use column.include.list" },
    Refused { key: "column.blacklist", kind: List, default: None, harmless: &[],
        documentation: "A name that Debezium gave up with version 2, and would pass over: use column.exclude.list" },
    Refused { key: "post.processors", kind: String, default: None, harmless: &[],
        documentation: "Post processors, which are classes of Java and not supported: use transforms" },
    Refused { key: "topic.naming.strategy", kind: Class, default: Some("io.debezium.schema.SchemaTopicNamingStrategy"),
        harmless: &["io.debezium.schema.schematopicnamingstrategy", "io.debezium.schema.defaulttopicnamingstrategy"],
        documentation: "The class that names topics. Others than Debezium's default, prefix.database.table, are not supported: use the transform RegexRouter" },
    Refused { key: "sourceinfo.struct.maker", kind: Class, default: None,
        harmless: &["io.debezium.connector.mysql.mysqlsourceinfostructmaker", "io.debezium.connector.mariadb.mariadbsourceinfostructmaker"],
        documentation: "The class that makes the block source. Others than Debezium's default are not supported: use transforms" },
    Refused { key: "transaction.metadata.factory", kind: Class, default: None, harmless: &["io.debezium.pipeline.txmetadata.defaulttransactionmetadatafactory"],
        documentation: "The class that tells of transactions. Others than Debezium's default are not supported" },
    Refused { key: "snapshot.query.mode", kind: String, default: Some("select_all"), harmless: &["select_all"],
        documentation: "How a snapshot selects. Custom classes are not supported: use snapshot.select.statement.overrides" },
    Refused { key: "notification.enabled.channels", kind: List, default: None, harmless: &["log"],
        documentation: "Where notifications go. Others than log are not supported: the connector's status and its metrics say how far it is" },
    Refused { key: "notification.sink.topic.name", kind: String, default: None, harmless: &[],
        documentation: "The topic of notifications, which are not supported: the connector's status and its metrics say how far it is" },
    Refused { key: "skip.messages.without.change", kind: Boolean, default: Some("false"), harmless: &["false"],
        documentation: "Leaving out updates that change no captured column, which is not supported" },
    Refused { key: "table.ignore.builtin", kind: Boolean, default: Some("true"), harmless: &["true"],
        documentation: "Whether tables of the server itself are left out. They always are: capturing them is not supported" },
    Refused { key: "gtid.source.filter.dml.events", kind: Boolean, default: Some("true"), harmless: &["true"],
        documentation: "Whether gtid.source.includes and excludes are for changes, too, and not just for where to begin. They always are: false is not supported, leave them away instead" },
];

/// What is wrong with given keys that stand for what is not supported.
pub(super) fn refusals(given: &ConfigMap) -> Vec<(std::string::String, std::string::String)> {
    let mut wrong = Vec::new();
    for refused in REFUSED {
        let value = given
            .get(refused.key)
            .map(|value| value.trim().to_ascii_lowercase());
        let values = value.as_deref().unwrap_or_default();
        let harmless = |value: &str| value.is_empty() || refused.harmless.contains(&value);
        if !values.split(',').all(|value| harmless(value.trim())) {
            wrong.push((refused.key.to_owned(), refused.documentation.to_owned()));
        }
    }
    wrong
}

/// What is to be said of given keys that change nothing: a line for each reason.
pub(super) fn notes(given: &ConfigMap, known: impl Fn(&str) -> bool) -> Vec<std::string::String> {
    let mut said: Vec<(&str, Vec<&str>)> = Vec::new();
    for (key, value) in given {
        let Some(reason) = reason(key, value, &known) else {
            continue;
        };
        match said.iter_mut().find(|(its, _)| *its == reason) {
            Some((_, keys)) => keys.push(key),
            None => said.push((reason, vec![key])),
        }
    }
    let line = |(reason, keys): (&str, Vec<&str>)| {
        let reason = reason.strip_prefix("No effect: ").unwrap_or(reason);
        let have = if keys.len() == 1 { "has" } else { "have" };
        format!("{} {have} no effect: {reason}", keys.join(", "))
    };
    said.into_iter().map(line).collect()
}

/// Why a key changes nothing, if it is one of those and was not given its default.
fn reason(key: &str, value: &str, known: impl Fn(&str) -> bool) -> Option<&'static str> {
    let is_default = |needless: &Needless| {
        needless
            .default
            .is_some_and(|default| default.eq_ignore_ascii_case(value.trim()))
    };
    match NEEDLESS.iter().find(|needless| needless.key == key) {
        Some(needless) if is_default(needless) => None,
        Some(needless) => Some(needless.reason),
        None if known(key) => None,
        None => {
            let mut prefixes = PREFIXES.iter();
            prefixes
                .find(|(prefix, _)| key.starts_with(prefix))
                .map(|(_, reason)| *reason)
        }
    }
}
