//! Parsed values as what a source is told.
use std::path::PathBuf;

use millstream_connect::config::Config;

use super::*;

/// What has a syntax of its own.
pub(super) struct Texts {
    pub name: Arc<str>,
    pub filters: Filters,
    pub snapshot_tables: Selection,
    pub gtid_sources: Selection,
    pub masks: Vec<(Patterns, Mask)>,
    pub keys: Vec<(Regex, Vec<String>)>,
    pub propagate_column_types: Option<Patterns>,
    pub propagate_types: Option<Patterns>,
    pub overrides: Vec<(String, String)>,
    pub mode: SnapshotMode,
    pub identity: Option<(PathBuf, PathBuf)>,
    pub signals: bool,
}

fn millis(config: &Config, key: &str) -> Duration {
    Duration::from_millis(u64::try_from(config.long(key)).unwrap_or_default())
}

fn size(config: &Config, key: &str) -> usize {
    usize::try_from(config.long(key)).unwrap_or_default()
}

fn lower(config: &Config, key: &str) -> String {
    config.string(key).to_ascii_lowercase()
}

/// All of it.
pub(super) fn build(config: &Config, texts: Texts) -> SourceConfig {
    let queue = size(config, "max.queue.size.in.bytes");
    SourceConfig {
        connection: connection(config, texts.identity),
        snapshot: SnapshotConfig {
            mode: texts.mode,
            tables: texts.snapshot_tables,
            readers: size(config, "snapshot.max.threads"),
            chunk_rows: size(config, "incremental.snapshot.chunk.size"),
            chunk_bytes: size(config, "snapshot.chunk.max.bytes"),
            delay: millis(config, "snapshot.delay.ms"),
            lock_timeout: millis(config, "snapshot.lock.timeout.ms"),
            overrides: texts.overrides,
        },
        stream: StreamConfig {
            server_id: u32::try_from(config.long("database.server.id")).unwrap_or_default(),
            heartbeat: Some(millis(config, "heartbeat.interval.ms")).filter(|interval| !interval.is_zero()),
            heartbeat_query: optional(config, "heartbeat.action.query"),
            batch_records: size(config, "max.batch.size"),
            queue_bytes: if queue == 0 { QUEUE_BYTES } else { queue },
            xa_bytes: size(config, "xa.memory.bytes"),
            event_bytes: size(config, "max.event.bytes"),
            gtid_sources: texts.gtid_sources,
            read_only: config.boolean("read.only"),
            signals: texts.signals,
        },
        filters: texts.filters,
        records: RecordConfig {
            connector: texts.name,
            masks: texts.masks,
            keys: texts.keys,
            propagate_column_types: texts.propagate_column_types,
            propagate_types: texts.propagate_types,
            ..records(config)
        },
    }
}

/// What is read ahead where nothing is said.
const QUEUE_BYTES: usize = 16 << 20;

fn optional(config: &Config, key: &str) -> Option<String> {
    let text = config.optional_string(key);
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn connection(config: &Config, identity: Option<(PathBuf, PathBuf)>) -> ConnectionConfig {
    let password = config.secret("database.password");
    ConnectionConfig {
        host: config.string("database.hostname").to_owned(),
        port: u16::try_from(config.int("database.port")).unwrap_or_default(),
        user: config.string("database.user").to_owned(),
        password: password.map_or_else(String::new, |password| password.reveal().to_owned()),
        tls: TlsConfig {
            mode: match &*lower(config, "database.ssl.mode") {
                "disabled" | "disable" => TlsMode::Disabled,
                "required" | "trust" => TlsMode::Required,
                "verify_ca" | "verify-ca" => TlsMode::VerifyCa,
                "verify_identity" | "verify-full" => TlsMode::VerifyIdentity,
                _ => TlsMode::Preferred,
            },
            ca: optional(config, "database.ssl.ca").map(PathBuf::from),
            identity,
        },
        connect_timeout: millis(config, "connect.timeout.ms"),
        query_timeout: millis(config, "database.query.timeout.ms"),
        initial_statements: statements(
            config
                .optional_string("database.initial.statements")
                .unwrap_or_default(),
        ),
    }
}

/// What is between single semicolons; two stand for one.
fn statements(text: &str) -> Vec<String> {
    text.replace(";;", "\0")
        .split(';')
        .map(|statement| statement.replace('\0', ";").trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect()
}

fn records(config: &Config) -> RecordConfig {
    let heartbeat = optional(config, "heartbeat.topics.prefix");
    RecordConfig {
        connector: Arc::from(""),
        prefix: Arc::from(config.string("topic.prefix")),
        delimiter: config.string("topic.delimiter").to_owned(),
        heartbeat_prefix: heartbeat.unwrap_or_else(|| config.string("topic.heartbeat.prefix").to_owned()),
        transaction_topic: config.string("topic.transaction").to_owned(),
        tombstones: config.boolean("tombstones.on.delete"),
        decimals: match &*lower(config, "decimal.handling.mode") {
            "double" => DecimalMode::Double,
            "string" => DecimalMode::String,
            _ => DecimalMode::Precise,
        },
        times: match &*lower(config, "time.precision.mode") {
            "connect" => TimeMode::Connect,
            "isostring" => TimeMode::IsoString,
            "microseconds" => TimeMode::Microseconds,
            "nanoseconds" => TimeMode::Nanoseconds,
            _ => TimeMode::AdaptiveTimeMicroseconds,
        },
        unsigned_bigint: match &*lower(config, "bigint.unsigned.handling.mode") {
            "precise" => UnsignedBigintMode::Precise,
            _ => UnsignedBigintMode::Long,
        },
        binary: match &*lower(config, "binary.handling.mode") {
            "base64" => BinaryMode::Base64,
            "base64-url-safe" => BinaryMode::Base64UrlSafe,
            "hex" => BinaryMode::Hex,
            _ => BinaryMode::Bytes,
        },
        schema_names: adjustment(config, "schema.name.adjustment.mode"),
        field_names: adjustment(config, "field.name.adjustment.mode"),
        masks: Vec::new(),
        keys: Vec::new(),
        propagate_column_types: None,
        propagate_types: None,
        include_query: config.boolean("include.query"),
        comments: config.boolean("include.schema.comments"),
        transactions: config.boolean("provide.transaction.metadata"),
        schema_changes: config.boolean("include.schema.changes"),
        placeholder: Arc::from(config.string("unavailable.value.placeholder")),
        adjust_years: config.boolean("enable.time.adjuster"),
        failures: match &*lower(config, "event.processing.failure.handling.mode") {
            "warn" => FailureMode::Warn,
            "skip" | "ignore" => FailureMode::Skip,
            _ => FailureMode::Fail,
        },
    }
}

fn adjustment(config: &Config, key: &str) -> NameAdjustment {
    match &*lower(config, key) {
        "avro" => NameAdjustment::Avro,
        "avro_unicode" => NameAdjustment::AvroUnicode,
        _ => NameAdjustment::None,
    }
}
