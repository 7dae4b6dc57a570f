//! Its keys.
use std::sync::Arc;

use millstream_connect::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance, Width};
use millstream_connect::plugin::PluginError;
use millstream_connect::transform::{JavaRegex, Replacement};

use super::expand::Expansion;
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
        let placed = config.list(PLACEMENT).iter().map(|one| extra(one));
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

/// `column:placement` or `column:placement:alias`.
fn extra(text: &str) -> Result<Extra, String> {
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
    Ok(Extra {
        field: field.to_owned(),
        placement,
        alias: alias.into(),
    })
}

const REGEX: &str = "route.topic.regex";
const REPLACEMENT: &str = "route.topic.replacement";
const PLACEMENT: &str = "table.fields.additional.placement";
const MISSING: &str = "table.field.additional.missing";
const INVALID: &str = "table.op.invalid.behavior";
const NULLS: &str = "table.json.payload.null.behavior";
const NAMES: &str = "field.name.adjustment.mode";

fn one_of(values: &'static [&'static str]) -> impl Fn(&str) -> Result<(), String> + Send + Sync {
    move |text| match values.iter().any(|value| value.eq_ignore_ascii_case(text.trim())) {
        true => Ok(()),
        false => Err(format!("Value must be one of {}", values.join(", "))),
    }
}

fn regex(text: &str) -> Result<(), String> {
    let checked = JavaRegex::new(text.trim()).map(drop);
    checked.map_err(|wrong| format!("A valid regular expression is expected, but {wrong}"))
}

fn placements(text: &str) -> Result<(), String> {
    let mut parts = text.split(',').filter(|_| !text.trim().is_empty());
    parts.try_for_each(|part| extra(part.trim()).map(drop))
}

pub(super) fn keys() -> ConfigDef {
    use ConfigType::{Boolean, List, String as Text};
    use Importance::{High, Low, Medium};
    let mut places = [("Table", 0), ("Router", 0), ("Tracing", 0)];
    let mut all = ConfigDef::new();
    let mut add = |group: usize, key: ConfigKey| {
        places[group].1 += 1;
        let (name, order) = places[group];
        let display = key.name.clone();
        all = std::mem::take(&mut all).with(key.grouped(name, order, Width::Medium, &display));
    };
    let key = ConfigKey::with_default;
    add(
        0,
        key(
            "table.field.event.id",
            Text,
            "id",
            Low,
            "The column with the event's id, which becomes the header id.",
        ),
    );
    add(
        0,
        key(
            "table.field.event.key",
            Text,
            "aggregateid",
            Low,
            "The column with the key.",
        ),
    );
    add(
        0,
        key(
            "table.field.event.type",
            Text,
            "type",
            Low,
            "The column with the event's type. Nothing is done with it unless table.fields.additional.placement names it.",
        ),
    );
    add(
        0,
        key(
            "table.field.event.payload",
            Text,
            "payload",
            Low,
            "The column with the value.",
        ),
    );
    add(
        0,
        ConfigKey::optional(
            "table.field.event.timestamp",
            Text,
            Medium,
            "The column with the record's time; without it, that is when the change was read.",
        ),
    );
    add(
        0,
        ConfigKey::optional(PLACEMENT, List, High, EXTRAS).checked(placements),
    );
    add(
        0,
        key(
            MISSING,
            Text,
            "error",
            Medium,
            "What is done where such a column is missing: error, or ignore.",
        )
        .checked(one_of(&["ignore", "error"])),
    );
    add(
        0,
        ConfigKey::optional(
            "table.field.event.schema.version",
            Text,
            Medium,
            "The column with the version of the schema, where there is more than the payload.",
        ),
    );
    add(0, key(INVALID, Text, "warn", Medium, "What is done about an event that was updated: warn and error log it and pass it over, fatal fails.").checked(one_of(&["warn", "error", "fatal"])));
    add(
        0,
        key("table.expand.json.payload", Boolean, "false", Medium, EXPAND),
    );
    add(0, key(NULLS, Text, "ignore", Medium, "What becomes of a null in it: ignore leaves the field out, optional_bytes keeps it as bytes that are null.").checked(one_of(&["ignore", "optional_bytes"])));
    add(
        1,
        key(
            "route.by.field",
            Text,
            "aggregatetype",
            High,
            "The column that the topic is made of.",
        ),
    );
    add(
        1,
        key(
            REGEX,
            Text,
            "(?<routedByValue>.*)",
            Low,
            "What has to match it as a whole; otherwise it is the topic.",
        )
        .checked(regex),
    );
    add(
        1,
        key(
            REPLACEMENT,
            Text,
            "outbox.event.${routedByValue}",
            High,
            "The topic; $1 and ${name} stand for groups.",
        ),
    );
    add(
        1,
        key(
            "route.tombstone.on.empty.payload",
            Boolean,
            "false",
            High,
            "Whether an event without a payload, or with a blank one, is a tombstone.",
        ),
    );
    add(
        2,
        key(
            "tracing.span.context.field",
            Text,
            "tracingspancontext",
            High,
            TRACING,
        ),
    );
    add(
        2,
        key("tracing.operation.name", Text, "debezium-read", High, TRACING),
    );
    add(
        2,
        key("tracing.with.context.field.only", Boolean, "false", High, TRACING),
    );
    add(0, key(NAMES, Text, "none", Low, "What becomes of characters in names of expanded fields that Avro does not take: none, avro (_) or avro_unicode (_uXXXX).").checked(one_of(&["none", "avro", "avro_unicode"])));
    all
}

const EXTRAS: &str = "Further columns, as COLUMN:PLACEMENT or COLUMN:PLACEMENT:NAME. header makes a header of it; envelope puts it beside the payload, \
    so that the value is a struct; partition takes its INT as the partition.";
const EXPAND: &str = "Whether a payload that is JSON in a text becomes a struct with a schema of its own. What is no JSON object or array, or has arrays of \
    unlike things, stays a text.";
const TRACING: &str = "Taken so that property files run; spans are not traced here.";
