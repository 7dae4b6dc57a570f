//! What it is told.
use std::sync::Arc;

use millstream_connect::config::Config;
use millstream_connect::plugin::PluginError;
use millstream_connect::transform::{JavaRegex, Replacement};

use super::expand::Expansion;
use super::keys::{INVALID, MISSING, NAMES, NULLS, PLACEMENT, REGEX, REPLACEMENT};
use crate::mysql::config::NameAdjustment;

/// What is done about an event that was updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invalid {
    Warn,
    Error,
    Fatal,
}

/// Where a further column goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    Header,
    Envelope,
    Partition,
}

/// A further column.
#[derive(Debug, Clone)]
pub(super) struct Extra {
    pub(super) field: String,
    pub(super) placement: Placement,
    pub(super) alias: Arc<str>,
}

/// What it is told.
pub(super) struct Options {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) payload: String,
    pub(super) timestamp: Option<String>,
    pub(super) version: Option<String>,
    pub(super) route_by: String,
    pub(super) extras: Vec<Extra>,
    pub(super) ignores_missing: bool,
    pub(super) invalid: Invalid,
    pub(super) tombstones: bool,
    pub(super) expansion: Option<Expansion>,
    regex: JavaRegex,
    replacement: Replacement,
}

impl Extra {
    /// `column:placement` or `column:placement:name`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').map(str::trim).collect();
        let (field, placement, alias) = match parts[..] {
            [field, placement] => (field, placement, field),
            [field, placement, alias] => (field, placement, alias),
            _ => {
                return Err(format!(
                    "A comma-separated list of valid String pairs or trios is expected but got: {text}"
                ));
            }
        };
        let placement = match &*placement.to_ascii_lowercase() {
            "header" => Placement::Header,
            "envelope" => Placement::Envelope,
            "partition" => Placement::Partition,
            _ => {
                return Err(format!(
                    "{text}: a column is placed into header, envelope or partition"
                ));
            }
        };
        Ok(Self {
            field: field.to_owned(),
            placement,
            alias: alias.into(),
        })
    }
}

impl Options {
    pub(super) fn new(config: &Config) -> Result<Self, PluginError> {
        let wrong = |key: &str, error| PluginError::user_config(format!("{key}: {error}"));
        let text = |key: &str| config.string(key).to_owned();
        let optional = |key: &str| {
            config
                .optional_string(key)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let regex = JavaRegex::new(config.string(REGEX)).map_err(|error| wrong(REGEX, error))?;
        let replacement = Replacement::new(config.string(REPLACEMENT), &regex);
        let placed = config.list(PLACEMENT).iter().map(|one| Extra::parse(one));
        let extras = placed.collect::<Result<Vec<_>, _>>();
        let expands = config.boolean("table.expand.json.payload");
        let keeps_nulls = config.string(NULLS).eq_ignore_ascii_case("optional_bytes");
        let names = match &*config.string(NAMES).to_ascii_lowercase() {
            "avro" => NameAdjustment::Avro,
            "avro_unicode" => NameAdjustment::AvroUnicode,
            _ => NameAdjustment::None,
        };
        Ok(Self {
            id: text("table.field.event.id"),
            key: text("table.field.event.key"),
            payload: text("table.field.event.payload"),
            timestamp: optional("table.field.event.timestamp"),
            version: optional("table.field.event.schema.version"),
            route_by: text("route.by.field"),
            extras: extras.map_err(|error| wrong(PLACEMENT, error))?,
            ignores_missing: config.string(MISSING).eq_ignore_ascii_case("ignore"),
            invalid: match &*config.string(INVALID).to_ascii_lowercase() {
                "error" => Invalid::Error,
                "fatal" => Invalid::Fatal,
                _ => Invalid::Warn,
            },
            tombstones: config.boolean("route.tombstone.on.empty.payload"),
            expansion: expands.then(|| Expansion::new(keeps_nulls, names)),
            replacement: replacement.map_err(|error| wrong(REPLACEMENT, error))?,
            regex,
        })
    }

    /// Whether something stands beside the payload.
    pub(super) fn has_envelope(&self) -> bool {
        self.extras
            .iter()
            .any(|extra| extra.placement == Placement::Envelope)
    }

    /// The topic of events of `aggregate`.
    pub(super) fn topic(&self, aggregate: &str) -> String {
        match self.regex.matches(aggregate) {
            true => self.regex.replace_first(aggregate, &self.replacement),
            false => aggregate.to_owned(),
        }
    }
}
