//! The keys of the source. They are those of Debezium's connectors for MySQL and MariaDB, and some of our own.
use millstream_connect::config::{ConfigDef, ConfigKey, ConfigType, Importance};

use super::needless::{NEEDLESS, PREFIXES, REFUSED};
use crate::mysql::client::server::Flavour;

use ConfigType::{Boolean, Int, List, Long, Password, String};
use Importance::{High, Low, Medium};

const MAX: i64 = i64::MAX;

/// All keys of a source, with the defaults of Debezium's connector for these servers.
#[must_use]
pub fn definition(flavour: Flavour) -> ConfigDef {
    let own = connection(flavour)
        .and(filters())
        .and(records())
        .and(values())
        .and(snapshot())
        .and(stream());
    let all = REFUSED
        .iter()
        .map(|refused| (refused.key, refused.kind, refused.default, refused.documentation))
        .chain(
            NEEDLESS
                .iter()
                .map(|needless| (needless.key, needless.kind, needless.default, needless.reason)),
        )
        .fold(own, |own, (key, kind, default, documentation)| {
            own.with(match default {
                Some(default) => ConfigKey::with_default(key, kind, default, Low, documentation),
                None => ConfigKey::optional(key, kind, Low, documentation),
            })
        });
    PREFIXES
        .iter()
        .fold(all, |all, (prefix, _)| all.with_prefix(prefix))
}

fn connection(flavour: Flavour) -> ConfigDef {
    let key = ConfigKey::with_default;
    let tls = match flavour {
        Flavour::MySql => "preferred",
        Flavour::MariaDb => "disable",
    };
    ConfigDef::new()
        .with(ConfigKey::required("database.hostname", String, High, "The server's host name or address").not_empty())
        .with(key("database.port", Int, "3306", High, "The server's port").between(1, 65_535))
        .with(ConfigKey::required("database.user", String, High, "The account that reads: it needs SELECT, REPLICATION SLAVE and REPLICATION CLIENT, and where XA transactions are used with MySQL 8.0 or later XA_RECOVER_ADMIN (`millstream mysql check` says exactly what)").not_empty())
        .with(ConfigKey::optional("database.password", Password, High, "Its password"))
        .with(key("database.ssl.mode", String, tls, Medium, "disabled: no TLS. preferred: TLS where the server has it. required: TLS, whoever the server is. verify_ca: TLS, and the server's certificate is from a known authority. verify_identity: and it is for the name in database.hostname. MariaDB's names are taken too: disable, trust, verify-ca, verify-full")
            .one_of(&["disabled", "preferred", "required", "verify_ca", "verify_identity", "disable", "trust", "verify-ca", "verify-full"]))
        .with(ConfigKey::optional("database.ssl.ca", String, Medium, "A PEM file with the authorities that may sign the server's certificate; by default those that browsers know"))
        .with(ConfigKey::optional("database.ssl.cert", String, Medium, "A PEM file with this client's certificate, and those between it and its authority, where the server asks for one"))
        .with(ConfigKey::optional("database.ssl.key", String, Medium, "A PEM file with the certificate's private key, not encrypted"))
        .with(key("connect.timeout.ms", Int, "30000", Medium, "How long connecting and logging in may take").between(1, i32::MAX.into()))
        .with(key("database.query.timeout.ms", Int, "600000", Low, "How long the server may take to answer a statement, and for each part of a large answer; 0: no limit").between(0, i32::MAX.into()))
        .with(ConfigKey::optional("database.initial.statements", String, Low, "Statements, with semicolons between them, that run on each new connection but that of the log. Two semicolons stand for one within a statement"))
}

fn filters() -> ConfigDef {
    let list = |name: &str, documentation: &str| ConfigKey::optional(name, List, High, documentation);
    ConfigDef::new()
        .with(list("database.include.list", "Regular expressions, with commas between them: databases that are captured. Each has to match a whole name, in any case of its letters"))
        .with(list("database.exclude.list", "Databases that are not captured; either this or database.include.list"))
        .with(list("table.include.list", "Tables that are captured, as database.table"))
        .with(list("table.exclude.list", "Tables that are not captured; either this or table.include.list"))
        .with(list("column.include.list", "Columns that records have, as database.table.column; those of keys are there in any case"))
        .with(list("column.exclude.list", "Columns that records do not have; either this or column.include.list"))
        .with(ConfigKey::with_default("skipped.operations", List, "t", Low, "Changes that make no record: c (insertions), u (updates), d (deletions), t (truncations), or none"))
        .with(ConfigKey::optional("signal.data.collection", String, Medium, "The table, as database.table, into which signals are inserted, such as those that ask for snapshots"))
}

fn records() -> ConfigDef {
    let key = ConfigKey::with_default;
    ConfigDef::new()
        .with(ConfigKey::required("topic.prefix", String, High, "The logical name of the server, with which names of topics and schemas begin. Changing it begins anew")
            .checked(topic_prefix))
        .with(key("topic.delimiter", String, ".", Low, "What is between prefix, database and table in the names of topics").not_empty())
        .with(key("topic.transaction", String, "transaction", Low, "The end of the name of the topic for beginnings and ends of transactions").not_empty())
        .with(key("topic.heartbeat.prefix", String, "__debezium-heartbeat", Low, "The beginning of the name of the topic for heartbeats").not_empty())
        .with(ConfigKey::optional("heartbeat.topics.prefix", String, Low, "An older name of topic.heartbeat.prefix"))
        .with(key("tombstones.on.delete", Boolean, "true", Medium, "Whether a record without a value follows each deletion, so that a compacted topic forgets the key"))
        .with(ConfigKey::optional("message.key.columns", String, Medium, "Columns of keys for tables that have none, or instead of theirs: database.table:column,column; and so on, with semicolons between them. Tables are regular expressions"))
        .with(key("include.schema.changes", Boolean, "true", Medium, "Whether changes of tables themselves are told in the topic that topic.prefix names"))
        .with(key("include.schema.comments", Boolean, "false", Medium, "Whether those records have the comments of tables and columns"))
        .with(key("include.query", Boolean, "false", Medium, "Whether records have the statement that made the change, which the server has to log: binlog_rows_query_log_events=ON, on MariaDB binlog_annotate_row_events=ON"))
        .with(key("provide.transaction.metadata", Boolean, "false", Low, "Whether records say their place within their transaction, and a topic tells beginnings and ends of transactions"))
        .with(key("unavailable.value.placeholder", String, "__debezium_unavailable_value", Medium, "What stands for values that the log does not have, with binlog_row_image=MINIMAL or NOBLOB"))
        .with(key("schema.name.adjustment.mode", String, "none", Low, "How names of schemas become those that Avro takes. none, avro: _ for other characters, avro_unicode: _uXXXX").one_of(&["none", "avro", "avro_unicode"]))
        .with(key("field.name.adjustment.mode", String, "none", Low, "The same for names of fields").one_of(&["none", "avro", "avro_unicode"]))
        .with(key("event.processing.failure.handling.mode", String, "fail", Medium, "What is done about a change of which no record can be made. fail: the task fails, and says where. warn: it is logged and left out. skip: it is left out").one_of(&["fail", "warn", "skip", "ignore"]))
}

fn values() -> ConfigDef {
    let key = ConfigKey::with_default;
    let list = |name: &str, documentation: &str| ConfigKey::optional(name, List, Medium, documentation);
    ConfigDef::new()
        .with(key("decimal.handling.mode", String, "precise", Medium, "precise: decimals are Connect's Decimal. string: texts. double: they may lose digits").one_of(&["precise", "double", "string"]))
        .with(key("time.precision.mode", String, "adaptive_time_microseconds", Medium, "adaptive_time_microseconds: as fine as the column. connect: Connect's types, milliseconds. microseconds, nanoseconds: all so. isostring: texts").one_of(&["adaptive_time_microseconds", "connect", "isostring", "microseconds", "nanoseconds"]))
        .with(key("bigint.unsigned.handling.mode", String, "long", Medium, "long: BIGINT UNSIGNED is int64, which is wrong beyond 2^63-1. precise: Connect's Decimal").one_of(&["long", "precise"]))
        .with(key("binary.handling.mode", String, "bytes", Low, "What BINARY, VARBINARY and BLOB become").one_of(&["bytes", "base64", "base64-url-safe", "hex"]))
        .with(key("enable.time.adjuster", Boolean, "true", Low, "Whether years below 100 are those of 1970 to 2069"))
        .with(list("column.propagate.source.type", "Columns, as database.table.column, whose schemas say type, length and scale of the column"))
        .with(list("datatype.propagate.source.type", "The same for all columns of types, as database.table.TYPE or TYPE"))
        .with_prefix("column.truncate.to.")
        .with_prefix("column.mask.with.")
        .with_prefix("column.mask.hash.")
}

fn snapshot() -> ConfigDef {
    let key = ConfigKey::with_default;
    ConfigDef::new()
        .with(key("snapshot.mode", String, "initial", High, "When what is in tables already is read. initial: when there is no offset. initial_only: so, and then the task is finished. always: at each start. no_data: never. when_needed: as initial, and when the server has no longer the logs that come next. never: never, and changes are told from the beginning of the logs. recovery: as no_data"))
        .with(ConfigKey::optional("snapshot.include.collection.list", List, Medium, "Tables, of those that are captured, which the snapshot reads, as database.table; by default all"))
        .with(key("snapshot.max.threads", Int, "1", Medium, "How many connections read").between(1, 1000))
        .with(key("incremental.snapshot.chunk.size", Int, "8192", Medium, "The most rows of a chunk, of incremental snapshots and of the first one (Debezium's default is 1024). Chunks wait in memory").between(1, 10_000_000))
        .with(key("snapshot.chunk.max.bytes", Int, "4194304", Low, "The most bytes of a chunk").between(1 << 10, 1 << 30))
        .with(key("snapshot.delay.ms", Long, "0", Low, "How long to wait before the snapshot").between(0, MAX))
        .with(key("snapshot.lock.timeout.ms", Long, "10000", Medium, "How long to wait for the lock on a table without a key, which is held for a moment, or, where its engine has no transactions, until all of it is read").between(0, MAX))
        .with(ConfigKey::optional("snapshot.select.statement.overrides", List, Low, "Tables, as database.table, for which snapshot.select.statement.overrides.database.table has the SELECT whose rows are read"))
        .with_prefix("snapshot.select.statement.overrides.")
}

fn stream() -> ConfigDef {
    let key = ConfigKey::with_default;
    ConfigDef::new()
        .with(ConfigKey::required("database.server.id", Long, High, "A number that no other replica of the server has, nor the server itself").between(1, u32::MAX.into()))
        .with(key("heartbeat.interval.ms", Int, "0", Medium, "How often a heartbeat is told when nothing else is, so that the offset moves on; 0: never").between(0, i32::MAX.into()))
        .with(ConfigKey::optional("heartbeat.action.query", String, Low, "A statement that runs on the server with each heartbeat"))
        .with(key("max.batch.size", Int, "2048", Medium, "The most records that are handed over at once").between(1, i32::MAX.into()))
        .with(key("max.queue.size.in.bytes", Long, "0", Medium, "How much of the log is read ahead; 0: 16 MiB").between(0, MAX))
        .with(key("max.event.bytes", Int, "1073741824", Low, "The most bytes of one event of the log, inflated").between(1 << 10, 1 << 30))
        .with(key("xa.memory.bytes", Long, "16777216", Low, "How much of prepared XA transactions stays in memory; what is beyond goes to a temporary file").between(0, MAX))
        .with(ConfigKey::optional("gtid.source.includes", List, High, "UUIDs of servers, regular expressions with commas between them, whose transactions are captured"))
        .with(ConfigKey::optional("gtid.source.excludes", List, Medium, "Those whose transactions are not; either this or gtid.source.includes"))
        .with(key("read.only", Boolean, "false", Low, "Nothing is written to the server, not even to the table of signals"))
        .with(key("signal.enabled.channels", List, "source", Medium, "Where signals come from: source, the table signal.data.collection; or nothing"))
}

/// Debezium's rule for prefixes.
fn topic_prefix(text: &str) -> Result<(), std::string::String> {
    let right = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
    match text.trim() {
        "" => Err("String must be non-empty".to_owned()),
        text if text.chars().all(right) => Ok(()),
        text => Err(format!(
            "{text} has other characters than letters, digits, dots, underscores and hyphens, which names of topics do not have"
        )),
    }
}
