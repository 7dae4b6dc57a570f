//! What a MySQL source is told, typed. Keys are Debezium's, so that its property files run.
//!
//! Each part of the source is given the section that is its own and knows nothing of keys.
mod build;
mod definition;
mod needless;
mod parse;
mod patterns;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

pub use definition::definition;
pub use parse::{Told, parse, validate};

/// All of it.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// How to reach the server.
    pub connection: ConnectionConfig,
    /// What is captured.
    pub filters: Filters,
    /// What records look like.
    pub records: RecordConfig,
    /// How what is there already is read.
    pub snapshot: SnapshotConfig,
    /// How changes are read.
    pub stream: StreamConfig,
}

/// How to reach a server; the sink's, too.
#[derive(Clone)]
pub struct ConnectionConfig {
    /// `database.hostname`.
    pub host: String,
    /// `database.port`.
    pub port: u16,
    /// `database.user`.
    pub user: String,
    /// `database.password`. Shown nowhere.
    pub password: String,
    /// `database.ssl.*`.
    pub tls: TlsConfig,
    /// `connect.timeout.ms`.
    pub connect_timeout: Duration,
    /// `database.query.timeout.ms`; zero: none.
    pub query_timeout: Duration,
    /// `database.initial.statements`: run on each connection.
    pub initial_statements: Vec<String>,
}

impl std::fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)
    }
}

/// `database.ssl.mode`, and what it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// How much it has to promise.
    pub mode: TlsMode,
    /// A PEM file of authorities (`database.ssl.ca`); nothing: those that are known to browsers.
    pub ca: Option<std::path::PathBuf>,
    /// PEM files of the client's own certificate and key.
    pub identity: Option<(std::path::PathBuf, std::path::PathBuf)>,
}

/// How much TLS has to promise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disabled,
    /// TLS where the server has it; else without.
    #[default]
    Preferred,
    /// TLS, whoever the server is.
    Required,
    /// TLS, and an authority that is known says who the server is.
    VerifyCa,
    /// And it has the name it is called by.
    VerifyIdentity,
}

/// An anchored pattern list: `database.include.list` and its kin. Letters' case does not matter.
#[derive(Debug, Clone)]
pub struct Patterns(pub Vec<Regex>);

impl Patterns {
    /// Whether one of them is all of `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(name))
    }
}

/// Either what is in, or what is out.
#[derive(Debug, Clone, Default)]
pub enum Selection {
    /// Everything.
    #[default]
    All,
    /// What matches.
    Include(Patterns),
    /// What does not.
    Exclude(Patterns),
}

impl Selection {
    /// Whether `name` is in.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Include(patterns) => patterns.matches(name),
            Self::Exclude(patterns) => !patterns.matches(name),
        }
    }
}

/// Which tables, columns and operations are captured.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// `database.include.list`, `database.exclude.list`: by name.
    pub databases: Selection,
    /// `table.include.list`, `table.exclude.list`: by `database.table`.
    pub tables: Selection,
    /// `column.include.list`, `column.exclude.list`: by `database.table.column`.
    pub columns: Selection,
    /// `skipped.operations`.
    pub skipped: SkippedOperations,
    /// `signal.data.collection`: it is read for signals whatever the other filters say.
    pub signal_table: Option<String>,
}

/// `skipped.operations`: which of `c`, `u`, `d`, `t` make no record. Debezium skips truncations by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkippedOperations {
    /// `c`.
    pub creates: bool,
    /// `u`.
    pub updates: bool,
    /// `d`.
    pub deletes: bool,
    /// `t`.
    pub truncates: bool,
}

impl Default for SkippedOperations {
    fn default() -> Self {
        Self {
            creates: false,
            updates: false,
            deletes: false,
            truncates: true,
        }
    }
}

/// What records look like.
#[derive(Debug, Clone)]
pub struct RecordConfig {
    /// The connector's name.
    pub connector: Arc<str>,
    /// `topic.prefix`: the logical name of the server.
    pub prefix: Arc<str>,
    /// `topic.delimiter`.
    pub delimiter: String,
    /// `topic.heartbeat.prefix`.
    pub heartbeat_prefix: String,
    /// `topic.transaction`: behind the prefix.
    pub transaction_topic: String,
    /// `tombstones.on.delete`.
    pub tombstones: bool,
    /// `decimal.handling.mode`.
    pub decimals: DecimalMode,
    /// `time.precision.mode`.
    pub times: TimeMode,
    /// `bigint.unsigned.handling.mode`.
    pub unsigned_bigint: UnsignedBigintMode,
    /// `binary.handling.mode`.
    pub binary: BinaryMode,
    /// `schema.name.adjustment.mode`.
    pub schema_names: NameAdjustment,
    /// `field.name.adjustment.mode`.
    pub field_names: NameAdjustment,
    /// `column.truncate.to.N.chars`, `column.mask.with.N.chars`, `column.mask.hash…`: the first that matches a column rules.
    pub masks: Vec<(Patterns, Mask)>,
    /// `message.key.columns`: by `database.table`, the names of columns.
    pub keys: Vec<(Regex, Vec<String>)>,
    /// `column.propagate.source.type`: by `database.table.column`.
    pub propagate_column_types: Option<Patterns>,
    /// `datatype.propagate.source.type`: by `database.table.TYPE`.
    pub propagate_types: Option<Patterns>,
    /// `include.query`.
    pub include_query: bool,
    /// `include.schema.comments`.
    pub comments: bool,
    /// `provide.transaction.metadata`.
    pub transactions: bool,
    /// `include.schema.changes`.
    pub schema_changes: bool,
    /// `unavailable.value.placeholder`.
    pub placeholder: Arc<str>,
    /// `enable.time.adjuster`: years of two digits are of 1970 to 2069.
    pub adjust_years: bool,
    /// `inconsistent.schema.handling.mode` and `event.processing.failure.handling.mode` know `fail`, `warn` and `skip`.
    pub failures: FailureMode,
}

/// `decimal.handling.mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DecimalMode {
    /// `org.apache.kafka.connect.data.Decimal`.
    #[default]
    Precise,
    /// `FLOAT64`.
    Double,
    /// `STRING`.
    String,
}

/// `time.precision.mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TimeMode {
    /// Milliseconds or microseconds by the column's digits; TIME always microseconds.
    #[default]
    AdaptiveTimeMicroseconds,
    /// Kafka Connect's own types: milliseconds.
    Connect,
    /// ISO 8601 text.
    IsoString,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

/// `bigint.unsigned.handling.mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnsignedBigintMode {
    /// `INT64`.
    #[default]
    Long,
    /// Decimal.
    Precise,
}

/// `binary.handling.mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BinaryMode {
    /// `BYTES`.
    #[default]
    Bytes,
    /// Text.
    Base64,
    /// Text for URLs.
    Base64UrlSafe,
    /// Text.
    Hex,
}

/// How names become those that Avro takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NameAdjustment {
    /// As they are.
    #[default]
    None,
    /// `_` for what Avro does not take.
    Avro,
    /// `_uXXXX`, which can be undone.
    AvroUnicode,
}

/// What becomes of a column's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mask {
    /// No more characters than these.
    Truncate(usize),
    /// So many asterisks.
    Asterisks(usize),
    /// A hash, in hex, no longer than the column. `v2` hashes the salt and the UTF-8 of the value, version 1 what Java made of them.
    Hash {
        /// `MD5`, `SHA-256` and so on, as Java names it.
        algorithm: String,
        /// The salt.
        salt: String,
        /// Version 2.
        v2: bool,
    },
}

/// What is done about an event that cannot be handled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailureMode {
    /// The connector stops, and says where.
    #[default]
    Fail,
    /// It is logged.
    Warn,
    /// It is passed over.
    Skip,
}

/// How what is there already is read.
#[derive(Debug, Clone)]
pub struct SnapshotConfig {
    /// `snapshot.mode`.
    pub mode: SnapshotMode,
    /// `snapshot.include.collection.list`: by `database.table`.
    pub tables: Selection,
    /// `snapshot.max.threads`: connections that read.
    pub readers: usize,
    /// `incremental.snapshot.chunk.size`: rows.
    pub chunk_rows: usize,
    /// The most bytes of a chunk.
    pub chunk_bytes: usize,
    /// `snapshot.delay.ms`.
    pub delay: Duration,
    /// `snapshot.lock.timeout.ms`: how long to wait for the lock on a table without a primary key.
    pub lock_timeout: Duration,
    /// `snapshot.select.statement.overrides`: by `database.table`.
    pub overrides: Vec<(String, String)>,
}

/// `snapshot.mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SnapshotMode {
    /// At each start.
    Always,
    /// When there is no offset.
    #[default]
    Initial,
    /// When there is no offset; then it ends.
    InitialOnly,
    /// Never; changes from now on (`schema_only`, too).
    NoData,
    /// Never; changes from the beginning of the logs that there are.
    Never,
    /// When there is no offset, or the server has no longer what is behind it.
    WhenNeeded,
    /// As `no_data`, with an offset: what tables are is read anew (`schema_only_recovery`, too).
    Recovery,
}

/// How changes are read.
#[derive(Debug, Clone)]
pub struct StreamConfig {
    /// `database.server.id`: the replica's number, which no other replica of the server may have.
    pub server_id: u32,
    /// `heartbeat.interval.ms`; nothing: no heartbeats.
    pub heartbeat: Option<Duration>,
    /// `heartbeat.action.query`.
    pub heartbeat_query: Option<String>,
    /// `max.batch.size`: records at once.
    pub batch_records: usize,
    /// `max.queue.size.in.bytes`: raw events that are read ahead.
    pub queue_bytes: usize,
    /// Rows of prepared XA transactions that stay in memory; those beyond are spilled to disk.
    pub xa_bytes: usize,
    /// The most bytes of one event.
    pub event_bytes: usize,
    /// `gtid.source.includes`, `gtid.source.excludes`: whose transactions count.
    pub gtid_sources: Selection,
    /// `read.only`: nothing may be written to the server, not even to the table of signals.
    pub read_only: bool,
    /// `signal.enabled.channels` has `source`.
    pub signals: bool,
}
