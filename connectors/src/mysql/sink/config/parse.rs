//! From texts to what they mean, with all that is wrong at once.
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use millstream_connect::config::{Config, ConfigMap};

use super::definition::{ALIASES, definition};
use super::url::{Url, tls_mode};
use super::{Evolution, InsertMode, KeyMode, Placeholder, Schemaless, SinkConfig};
use crate::mysql::config::{BinaryMode, ConnectionConfig, DecimalMode, TimeMode, TlsConfig};
use crate::mysql::sink::naming::{FieldFilter, TableFormat};
use crate::mysql::sink::value::Literals;

/// Keys that are wrong, and why.
type Errors = Vec<(String, String)>;

/// The name of the class by which Confluent's sink is known.
const CONFLUENT: &str = "io.confluent.connect.jdbc.JdbcSinkConnector";

/// How long a name of a connector can be in the table of offsets.
const NAME_CHARS_MAX: usize = 191;

impl SinkConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Each key that is wrong, and why. No error repeats a password.
    pub fn parse(given: &ConfigMap) -> Result<Self, Errors> {
        let (given, mut errors) = by_own_names(given);
        let config = match definition().parse(&given) {
            Ok(config) => config,
            Err(wrong) => {
                errors.extend(wrong.0);
                return Err(errors);
            }
        };
        let mut wrong = |key: &str, error: String| errors.push((key.to_owned(), error));
        let connection = connection(&config, &mut wrong);
        let tables = tables(&config, &given, &mut wrong);
        let (include, exclude) = (
            config.list("field.include.list"),
            config.list("field.exclude.list"),
        );
        if !include.is_empty() && !exclude.is_empty() {
            wrong(
                "field.exclude.list",
                "it excludes field.include.list: give one of them".to_owned(),
            );
        }
        let key = key_mode(&config, &mut wrong);
        let (insert_mode, deletes) = modes(&config, &key, &mut wrong);
        let literals = literals(&config, &given, &mut wrong);
        let name = given.get("name").map_or("", |name| name.trim()).to_owned();
        if name.chars().count() > NAME_CHARS_MAX {
            wrong(
                "name",
                format!("the table of offsets holds names of at most {NAME_CHARS_MAX} characters"),
            );
        }
        let basic = config.string("schema.evolution").eq_ignore_ascii_case("basic");
        let or_basic = |key: &str| {
            if config.has(key) {
                config.boolean(key)
            } else {
                basic
            }
        };
        match (connection, tables, errors.is_empty()) {
            (Some((connection, database, warnings)), Some(tables), true) => Ok(Self {
                name,
                connection,
                database,
                offsets_table: config.string("offsets.table").to_owned(),
                tables,
                insert_mode,
                key,
                deletes,
                truncates: config.boolean("truncate.enabled"),
                evolution: Evolution {
                    create: or_basic("auto.create"),
                    alter: or_basic("auto.evolve"),
                },
                fields: FieldFilter::new(include, exclude),
                batch_rows: usize::try_from(config.int("batch.size")).unwrap_or(1),
                literals,
                schemaless: schemaless(&config),
                placeholder: Placeholder::new(config.string("unavailable.value.placeholder")),
                retries: config.int("flush.max.retries").unsigned_abs(),
                non_transactional: config.boolean("allow.non.transactional.tables"),
                warnings,
            }),
            _ => Err(errors),
        }
    }
}

/// The same with the sink's own names for what was given under others'.
fn by_own_names(given: &ConfigMap) -> (ConfigMap, Errors) {
    let (mut own, mut errors) = (given.clone(), Errors::new());
    for (key, alias) in ALIASES {
        let Some(value) = given.get(alias) else { continue };
        match own.get(key) {
            Some(its) if its.trim() != value.trim() => {
                errors.push((
                    alias.to_owned(),
                    format!("{key} says something else: give one of them"),
                ));
            }
            _ => {
                own.insert(key.to_owned(), value.clone());
            }
        }
    }
    (own, errors)
}

/// The connection, its database, and what of the URL has no effect.
fn connection(
    config: &Config,
    wrong: &mut impl FnMut(&str, String),
) -> Option<(ConnectionConfig, String, Vec<String>)> {
    let url = match Url::read(config.string("connection.url")) {
        Ok(url) => url,
        Err(error) => {
            wrong("connection.url", error);
            return None;
        }
    };
    let user = config.optional_string("connection.username").map(str::to_owned);
    let user = user.filter(|user| !user.is_empty()).or(url.user);
    let password = config
        .secret("connection.password")
        .map(|secret| secret.reveal().to_owned());
    let path = |key: &str| {
        let path = config.optional_string(key).filter(|path| !path.is_empty());
        path.map(PathBuf::from)
    };
    let identity = match (path("database.ssl.cert"), path("database.ssl.key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            wrong("database.ssl.key", "a certificate needs its key".to_owned());
            None
        }
        (None, Some(_)) => {
            wrong("database.ssl.cert", "a key needs its certificate".to_owned());
            None
        }
    };
    let mode = config.optional_string("database.ssl.mode").map(tls_mode);
    let mode = mode.unwrap_or(Ok(url.tls.mode)).unwrap_or_else(|error| {
        wrong("database.ssl.mode", error);
        url.tls.mode
    });
    let millis = |key: &str| Duration::from_millis(config.long(key).unsigned_abs());
    // What is said by a key comes before what the URL says.
    let connect_timeout = url.connect_timeout_ms.filter(|millis| *millis > 0);
    let query_timeout = url.socket_timeout_ms.filter(|millis| *millis > 0);
    let Some(user) = user else {
        wrong("connection.username", "who is to write is not said".to_owned());
        return None;
    };
    let Some(database) = url.database else {
        wrong(
            "connection.url",
            "it has to name a database (jdbc:mysql://host:3306/database), where tables are, and the table of offsets"
                .to_owned(),
        );
        return None;
    };
    let connection = ConnectionConfig {
        host: url.host,
        port: url.port,
        user,
        password: password.or(url.password).unwrap_or_default(),
        tls: TlsConfig {
            mode,
            ca: path("database.ssl.ca").or(url.tls.ca),
            identity,
        },
        connect_timeout: connect_timeout.map_or(millis("connect.timeout.ms"), Duration::from_millis),
        query_timeout: query_timeout.map_or(millis("database.query.timeout.ms"), Duration::from_millis),
        initial_statements: session_variables(url.session_variables.as_deref()),
    };
    Some((connection, database, url.ignored))
}

/// `a=1,b='x,y'`: as MySQL's driver reads it, commas and all.
fn session_variables(text: Option<&str>) -> Vec<String> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    text.map(|text| format!("SET SESSION {}", text.replace(';', ",")))
        .into_iter()
        .collect()
}

fn tables(config: &Config, given: &ConfigMap, wrong: &mut impl FnMut(&str, String)) -> Option<TableFormat> {
    let strategy = config.optional_string("collection.naming.strategy").unwrap_or("");
    let topics_divide = match strategy.rsplit('.').next().unwrap_or_default() {
        "" => given
            .get("connector.class")
            .is_some_and(|class| class.trim() == CONFLUENT),
        "DefaultCollectionNamingStrategy" | "DefaultTableNamingStrategy" => false,
        "PassthroughCollectionNamingStrategy" => true,
        _ => {
            wrong(
                "collection.naming.strategy",
                "classes of Java are not loaded; use collection.name.format, or a transform that renames topics (RegexRouter)"
                    .to_owned(),
            );
            false
        }
    };
    let columns = config.optional_string("column.naming.strategy").unwrap_or("");
    if !matches!(
        columns.rsplit('.').next(),
        Some("" | "DefaultColumnNamingStrategy")
    ) {
        wrong(
            "column.naming.strategy",
            "classes of Java are not loaded; use a transform that renames fields (ReplaceField)".to_owned(),
        );
    }
    let table = config.optional_string("collection.table.format").unwrap_or("");
    if !matches!(table.trim(), "" | "${table}") {
        wrong(
            "collection.table.format",
            "it is not supported: use collection.name.format with ${source.table}".to_owned(),
        );
    }
    TableFormat::read(config.string("collection.name.format"), topics_divide)
        .map_err(|error| wrong("collection.name.format", error))
        .ok()
}

fn key_mode(config: &Config, wrong: &mut impl FnMut(&str, String)) -> KeyMode {
    let fields: Vec<String> = config.list("primary.key.fields").to_vec();
    match config.string("primary.key.mode").to_ascii_lowercase().as_str() {
        "kafka" => match <[String; 3]>::try_from(fields) {
            Ok(names) => KeyMode::Kafka(names),
            Err(fields) => {
                if !fields.is_empty() {
                    wrong(
                        "primary.key.fields",
                        "with primary.key.mode=kafka they are three columns: for the topic, the partition and the offset"
                            .to_owned(),
                    );
                }
                KeyMode::Kafka(
                    ["__connect_topic", "__connect_partition", "__connect_offset"].map(str::to_owned),
                )
            }
        },
        "record_key" => KeyMode::RecordKey(fields),
        "record_value" => KeyMode::RecordValue(fields),
        "record_header" => KeyMode::RecordHeader(fields),
        _ => KeyMode::None,
    }
}

fn modes(config: &Config, key: &KeyMode, wrong: &mut impl FnMut(&str, String)) -> (InsertMode, bool) {
    let mode = match config.string("insert.mode").to_ascii_lowercase().as_str() {
        "upsert" => InsertMode::Upsert,
        "update" => InsertMode::Update,
        _ => InsertMode::Insert,
    };
    if mode != InsertMode::Insert && *key == KeyMode::None {
        wrong(
            "primary.key.mode",
            "insert.mode asks for a key: record_key, record_value, record_header or kafka".to_owned(),
        );
    }
    let deletes = config.boolean("delete.enabled");
    if deletes && matches!(key, KeyMode::None | KeyMode::Kafka(_)) {
        wrong(
            "delete.enabled",
            "it asks for primary.key.mode record_key, record_value or record_header".to_owned(),
        );
    }
    (mode, deletes)
}

fn literals(config: &Config, given: &ConfigMap, wrong: &mut impl FnMut(&str, String)) -> Literals {
    let name = config.string("use.time.zone");
    let zone = zone(name).unwrap_or_else(|| {
        wrong(
            "use.time.zone",
            "it is no zone such as UTC, +02:00 or Europe/Berlin".to_owned(),
        );
        TimeZone::UTC
    });
    Literals {
        zone,
        connect_in_zone: given.contains_key("db.timezone"),
        rounding: config.boolean("value.rounding"),
        binary: match config
            .string("binary.handling.mode")
            .to_ascii_lowercase()
            .as_str()
        {
            "base64" => BinaryMode::Base64,
            "base64-url-safe" => BinaryMode::Base64UrlSafe,
            "hex" => BinaryMode::Hex,
            _ => BinaryMode::Bytes,
        },
    }
}

/// `UTC`, `+02:00`, `GMT+2`, or a name of the time zone database.
fn zone(name: &str) -> Option<TimeZone> {
    let offset = ["UTC", "GMT"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    if matches!(offset, "" | "Z") {
        return Some(TimeZone::UTC);
    }
    let (sign, digits) = match offset.split_at_checked(1) {
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        _ => return TimeZone::get(name).ok(),
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    if !(0..=18).contains(&hours) || !(0..60).contains(&minutes) {
        return None;
    }
    let offset = jiff::tz::Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?;
    Some(TimeZone::fixed(offset))
}

fn schemaless(config: &Config) -> Schemaless {
    Schemaless {
        decimals: match config
            .string("decimal.handling.mode")
            .to_ascii_lowercase()
            .as_str()
        {
            "precise" => DecimalMode::Precise,
            "double" => DecimalMode::Double,
            _ => DecimalMode::String,
        },
        times: match config.string("time.precision.mode").to_ascii_lowercase().as_str() {
            "connect" => TimeMode::Connect,
            "isostring" => TimeMode::IsoString,
            "microseconds" => TimeMode::Microseconds,
            "nanoseconds" => TimeMode::Nanoseconds,
            _ => TimeMode::AdaptiveTimeMicroseconds,
        },
    }
}
