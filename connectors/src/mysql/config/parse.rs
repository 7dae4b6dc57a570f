//! Texts of keys as what a source is told.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millstream_connect::config::{Config, ConfigMap, ConfigValue};
use millstream_connect::plugin::Validated;

use super::needless::{notes, refusals};
use super::patterns::{compile, patterns, split};
use super::*;
use crate::mysql::client::server::Flavour;

/// What a source is told, and what is to be logged of it.
#[derive(Debug, Clone)]
pub struct Told {
    /// What it is told.
    pub config: SourceConfig,
    /// Given keys that have no effect, and why.
    pub notes: Vec<String>,
}

/// Reads a configuration.
///
/// ```
/// use millstream_connectors::mysql::client::server::Flavour;
/// use millstream_connectors::mysql::config::{SnapshotMode, parse};
///
/// let given = [
///     ("name", "inventory"),
///     ("database.hostname", "db.internal"),
///     ("database.user", "debezium"),
///     ("database.server.id", "184054"),
///     ("topic.prefix", "dbserver1"),
///     ("schema.history.internal.kafka.topic", "schema-changes"),
/// ];
/// let given = given.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
/// let told = parse(Flavour::MySql, &given).unwrap();
/// assert_eq!(told.config.snapshot.mode, SnapshotMode::Initial);
/// assert!(told.notes[0].starts_with("schema.history.internal.kafka.topic has no effect"));
/// ```
///
/// # Errors
/// Each key that is wrong, and why: all at once.
pub fn parse(flavour: Flavour, given: &ConfigMap) -> Result<Told, Vec<(String, String)>> {
    let declared = definition(flavour);
    let (texts, beyond) = read(given);
    match declared.parse(given) {
        Ok(config) if beyond.is_empty() => Ok(Told {
            config: build(&config, texts),
            notes: notes(given, |key| declared.key(key).is_some()),
        }),
        parsed => {
            let mut wrong = parsed.map_or_else(|errors| errors.0, |_| Vec::new());
            wrong.extend(beyond);
            Err(wrong)
        }
    }
}

/// What the declarations do not say, and what is wrong with it.
fn read(given: &ConfigMap) -> (Texts, Vec<(String, String)>) {
    let wrong = refusals(given);
    let mut reader = Reader { given, wrong };
    (Texts::read(&mut reader), reader.wrong)
}

/// The answer to a request for validation: all keys, with all that is wrong.
#[must_use]
pub fn validate(flavour: Flavour, given: &ConfigMap) -> Validated {
    let mut values = definition(flavour).validate(given);
    for (key, error) in read(given).1 {
        match values.iter_mut().find(|value| value.name == key) {
            Some(value) => value.errors.push(error),
            // A key whose end is a user's.
            None => values.push(ConfigValue {
                value: given.get(&key).cloned(),
                name: key,
                errors: vec![error],
                recommended: Vec::new(),
                visible: true,
            }),
        }
    }
    values
}

/// Collects what is wrong.
struct Reader<'a> {
    given: &'a ConfigMap,
    wrong: Vec<(String, String)>,
}

/// What has a syntax of its own.
struct Texts {
    name: Arc<str>,
    filters: Filters,
    snapshot_tables: Selection,
    gtid_sources: Selection,
    masks: Vec<(Patterns, Mask)>,
    keys: Vec<(Regex, Vec<String>)>,
    propagate_column_types: Option<Patterns>,
    propagate_types: Option<Patterns>,
    overrides: Vec<(String, String)>,
    mode: SnapshotMode,
    identity: Option<(PathBuf, PathBuf)>,
    signals: bool,
}

impl Texts {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            name: Arc::from(reader.text("name").unwrap_or_default()),
            filters: Filters {
                databases: reader.selection("database.include.list", "database.exclude.list"),
                tables: reader.selection("table.include.list", "table.exclude.list"),
                columns: reader.selection("column.include.list", "column.exclude.list"),
                skipped: reader.skipped(),
                signal_table: reader.signal_table(),
            },
            snapshot_tables: reader
                .patterns("snapshot.include.collection.list")
                .map_or(Selection::All, Selection::Include),
            gtid_sources: reader.selection("gtid.source.includes", "gtid.source.excludes"),
            masks: reader.masks(),
            keys: reader.keys(),
            propagate_column_types: reader.patterns("column.propagate.source.type"),
            propagate_types: reader.patterns("datatype.propagate.source.type"),
            overrides: reader.overrides(),
            mode: reader.mode(),
            identity: reader.identity(),
            signals: reader.signals(),
        }
    }
}

impl<'a> Reader<'a> {
    fn text(&self, key: &str) -> Option<&'a str> {
        self.given
            .get(key)
            .map(|text| text.trim())
            .filter(|text| !text.is_empty())
    }

    fn wrong(&mut self, key: &str, error: impl Into<String>) {
        self.wrong.push((key.to_owned(), error.into()));
    }

    /// A result, or nothing and an error that is told.
    fn checked<T>(&mut self, key: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|error| self.wrong(key, error)).ok()
    }

    fn patterns(&mut self, key: &str) -> Option<Patterns> {
        let list = self.text(key)?;
        self.checked(key, patterns(list))
    }

    fn selection(&mut self, include: &str, exclude: &str) -> Selection {
        let (included, excluded) = (self.patterns(include), self.patterns(exclude));
        if self.text(include).is_some() && self.text(exclude).is_some() {
            self.wrong(
                exclude,
                format!("{include} is given, too; only one of them may be"),
            );
        }
        match (included, excluded) {
            (Some(patterns), _) => Selection::Include(patterns),
            (None, Some(patterns)) => Selection::Exclude(patterns),
            (None, None) => Selection::All,
        }
    }

    fn skipped(&mut self) -> SkippedOperations {
        let key = "skipped.operations";
        let Some(text) = self.text(key) else {
            return SkippedOperations::default();
        };
        let mut skipped = SkippedOperations {
            creates: false,
            updates: false,
            deletes: false,
            truncates: false,
        };
        let operations: Vec<_> = text
            .split(',')
            .map(|operation| operation.trim().to_ascii_lowercase())
            .collect();
        for operation in &operations {
            match &**operation {
                "c" => skipped.creates = true,
                "u" => skipped.updates = true,
                "d" => skipped.deletes = true,
                "t" => skipped.truncates = true,
                "none" if operations.len() == 1 => {}
                "none" => self.wrong(key, "none stands alone"),
                other => self.wrong(key, format!("{other:?} is none of c, u, d, t and none")),
            }
        }
        skipped
    }

    fn signal_table(&mut self) -> Option<String> {
        let key = "signal.data.collection";
        let table = self.text(key)?;
        match table.split_once('.') {
            Some((database, name)) if !database.is_empty() && !name.is_empty() => Some(table.to_owned()),
            _ => {
                self.wrong(key, format!("{table} is not database.table"));
                None
            }
        }
    }

    fn signals(&mut self) -> bool {
        let key = "signal.enabled.channels";
        let Some(list) = self.given.get(key) else {
            return true;
        };
        let channels = list
            .split(',')
            .map(str::trim)
            .filter(|channel| !channel.is_empty());
        let mut source = false;
        for channel in channels {
            match channel.to_ascii_lowercase().as_str() {
                "source" => source = true,
                _ => self.wrong(
                    key,
                    format!(
                        "the channel {channel} is not supported; use source, the table signal.data.collection"
                    ),
                ),
            }
        }
        source
    }

    fn mode(&mut self) -> SnapshotMode {
        let key = "snapshot.mode";
        let text = self.text(key).unwrap_or("initial").to_ascii_lowercase();
        match &*text {
            "always" => SnapshotMode::Always,
            "initial" => SnapshotMode::Initial,
            "initial_only" => SnapshotMode::InitialOnly,
            "no_data" | "schema_only" => SnapshotMode::NoData,
            "never" => SnapshotMode::Never,
            "when_needed" => SnapshotMode::WhenNeeded,
            "recovery" | "schema_only_recovery" => SnapshotMode::Recovery,
            "custom" | "configuration_based" => {
                self.wrong(key, format!("{text} is not supported; choose one of {MODES}"));
                SnapshotMode::Initial
            }
            _ => {
                self.wrong(key, format!("String must be one of: {MODES}"));
                SnapshotMode::Initial
            }
        }
    }

    fn identity(&mut self) -> Option<(PathBuf, PathBuf)> {
        match (self.text("database.ssl.cert"), self.text("database.ssl.key")) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            (Some(_), None) => {
                self.wrong("database.ssl.key", "database.ssl.cert needs its key");
                None
            }
            (None, Some(_)) => {
                self.wrong("database.ssl.cert", "database.ssl.key needs its certificate");
                None
            }
        }
    }

    /// Keys whose ends are lengths or hashes, in the order of their names.
    fn masks(&mut self) -> Vec<(Patterns, Mask)> {
        let mut masks = Vec::new();
        for (key, list) in self.given {
            let mask = match mask(key) {
                None => continue,
                Some(Ok(mask)) => mask,
                Some(Err(error)) => {
                    self.wrong(key, error);
                    continue;
                }
            };
            if let Some(patterns) = self.checked(key, patterns(list)) {
                masks.push((patterns, mask));
            }
        }
        masks
    }

    /// `table:column,column;table:column`.
    fn keys(&mut self) -> Vec<(Regex, Vec<String>)> {
        let key = "message.key.columns";
        let mut keys = Vec::new();
        for part in self.text(key).unwrap_or_default().split(';') {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            let columns = part.rsplit_once(':').map(|(table, columns)| {
                let columns = columns.split(',').map(|column| column.trim().to_owned());
                (table.trim(), columns.collect::<Vec<_>>())
            });
            match columns {
                Some((table, columns))
                    if !table.is_empty() && columns.iter().all(|name| !name.is_empty()) =>
                {
                    if let Some(table) = self.checked(key, compile(table)) {
                        keys.push((table, columns));
                    }
                }
                _ => self.wrong(key, format!("{part} is not database.table:column,column")),
            }
        }
        keys
    }

    fn overrides(&mut self) -> Vec<(String, String)> {
        let key = "snapshot.select.statement.overrides";
        let mut overrides = Vec::new();
        for table in split(self.text(key).unwrap_or_default()) {
            let own = format!("{key}.{table}");
            match self.text(&own) {
                Some(statement) => overrides.push((table.to_owned(), statement.to_owned())),
                None => self.wrong(key, format!("{own} is missing, the SELECT for {table}")),
            }
        }
        overrides
    }
}

const MODES: &str = "initial, initial_only, always, no_data, when_needed, never, recovery";

/// What a key does with columns; nothing if it is no such key.
fn mask(key: &str) -> Option<Result<Mask, String>> {
    let number = |text: &str| {
        let number = text.strip_suffix(".chars")?;
        number.parse().ok()
    };
    let length = |text: &str, make: fn(usize) -> Mask| match number(text) {
        Some(length) => Ok(make(length)),
        None => Err("the key ends with a number and .chars".to_owned()),
    };
    if let Some(end) = key.strip_prefix("column.truncate.to.") {
        return Some(length(end, Mask::Truncate));
    }
    if let Some(end) = key.strip_prefix("column.mask.with.") {
        return Some(length(end, Mask::Asterisks));
    }
    let end = key.strip_prefix("column.mask.hash.")?;
    let (v2, end) = match end.strip_prefix("v2.") {
        Some(end) => (true, end),
        None => (false, end),
    };
    Some(match end.split_once(".with.salt.") {
        Some((algorithm, salt)) if !algorithm.is_empty() && !salt.is_empty() => Ok(Mask::Hash {
            algorithm: algorithm.to_owned(),
            salt: salt.to_owned(),
            v2,
        }),
        _ => Err("the key ends with the name of a hash, .with.salt. and a salt".to_owned()),
    })
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

fn build(config: &Config, texts: Texts) -> SourceConfig {
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
