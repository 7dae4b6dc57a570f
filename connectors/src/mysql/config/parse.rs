//! Texts of keys as what a source is told.
use std::path::PathBuf;
use std::sync::Arc;

use millstream_connect::config::{ConfigMap, ConfigValue};
use millstream_connect::plugin::Validated;

use super::build::{Texts, build};
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
