//! Its keys.
use millstream_connect::config::{Config, ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance, Width};
use millstream_connect::plugin::PluginError;

use super::reference::Reference;

const MODE: &str = "delete.tombstone.handling.mode";
const MODES: [&str; 5] = [
    "drop",
    "tombstone",
    "rewrite-with-tombstone",
    "rewrite",
    "delete-to-tombstone",
];
const OLD_MODE: &str = "delete.handling.mode";
const OLD_TOMBSTONES: &str = "drop.tombstones";

/// What becomes of a deleted row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletes {
    /// Nothing.
    Drop,
    /// Null, with the row's schema.
    Null,
    /// Null without a schema: a tombstone.
    Tombstone,
    /// The row as it was, and a field that says so.
    Rewrite,
}

/// What it is told.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) deletes: Deletes,
    /// Whether tombstones go on.
    pub(super) keeps_tombstones: bool,
    /// Whether a null in a rewritten row becomes its field's default.
    pub(super) replaces_nulls: bool,
    pub(super) route_by: Option<String>,
    pub(super) fields: Vec<Reference>,
    pub(super) headers: Vec<Reference>,
}

impl Options {
    pub(super) fn new(config: &Config, given: &ConfigMap) -> Result<Self, PluginError> {
        let (deletes, keeps_tombstones) = deletes(config, given);
        let references = |key: &str, prefix: &str| {
            Reference::all(config.string(prefix), &config.list(key).join(","))
                .map_err(|wrong| PluginError::user_config(format!("{key}: {wrong}")))
        };
        let route_by = config.string("route.by.field");
        Ok(Self {
            deletes,
            keeps_tombstones,
            replaces_nulls: config.boolean("replace.null.with.default"),
            route_by: (!route_by.is_empty()).then(|| route_by.to_owned()),
            fields: references("add.fields", "add.fields.prefix")?,
            headers: references("add.headers", "add.headers.prefix")?,
        })
    }

    /// Whether rows say that they are deleted, or not.
    pub(super) fn rewrites(&self) -> bool {
        self.deletes == Deletes::Rewrite
    }
}

/// What becomes of deleted rows, and whether tombstones stay. The keys that said this until Debezium 3.1 hold if today's is not given.
fn deletes(config: &Config, given: &ConfigMap) -> (Deletes, bool) {
    let old = [OLD_MODE, OLD_TOMBSTONES].iter().any(|key| config.has(key));
    if old && !given.contains_key(MODE) {
        tracing::warn!("{OLD_MODE} and {OLD_TOMBSTONES} are of an older Debezium; use {MODE} instead");
        let mode = config.optional_string(OLD_MODE).unwrap_or("drop");
        let deletes = match &*mode.to_ascii_lowercase() {
            "none" => Deletes::Null,
            "rewrite" => Deletes::Rewrite,
            _ => Deletes::Drop,
        };
        let drops_tombstones = !config.has(OLD_TOMBSTONES) || config.boolean(OLD_TOMBSTONES);
        return (deletes, !drops_tombstones);
    }
    match &*config.string(MODE).to_ascii_lowercase() {
        "drop" => (Deletes::Drop, false),
        "rewrite" => (Deletes::Rewrite, false),
        "rewrite-with-tombstone" => (Deletes::Rewrite, true),
        "delete-to-tombstone" => (Deletes::Tombstone, false),
        _ => (Deletes::Null, false),
    }
}

fn one_of(modes: &'static [&'static str]) -> impl Fn(&str) -> Result<(), String> + Send + Sync {
    move |text| match modes.iter().any(|mode| mode.eq_ignore_ascii_case(text.trim())) {
        true => Ok(()),
        false => Err(format!("Value must be one of {}", modes.join(", "))),
    }
}

fn references(text: &str) -> Result<(), String> {
    Reference::all("", text).map(drop)
}

pub(super) fn keys() -> ConfigDef {
    use ConfigType::{Boolean, List, String as Text};
    let key = |name: &str, kind: ConfigType, default: &str, width: Width, documentation: &str| {
        let importance = if name == MODE {
            Importance::Medium
        } else {
            Importance::Low
        };
        ConfigKey {
            width,
            order_in_group: 1,
            ..ConfigKey::with_default(name, kind, default, importance, documentation)
        }
    };
    let without_default = |name: &str, kind: ConfigType, documentation: &str| ConfigKey {
        width: Width::Short,
        order_in_group: 1,
        ..ConfigKey::optional(name, kind, Importance::Low, documentation)
    };
    ConfigDef::new()
        .with(key(MODE, Text, "tombstone", Width::Medium, DELETES).checked(one_of(&MODES)))
        .with(key("route.by.field", Text, "", Width::Long, ROUTE))
        .with(key("add.fields.prefix", Text, "__", Width::Short, "Stands before the name of each field that is added."))
        .with(key("add.fields", List, "", Width::Long, FIELDS).checked(references))
        .with(key("add.headers.prefix", Text, "__", Width::Short, "Stands before the name of each header that is added."))
        .with(key("add.headers", List, "", Width::Long, HEADERS).checked(references))
        .with(without_default("drop.fields.header.name", Text, DROP))
        .with(key("drop.fields.from.key", Boolean, "false", Width::Short, "Whether those fields are left out of the key, too."))
        .with(key("drop.fields.keep.schema.compatible", Boolean, "true", Width::Short, COMPATIBLE))
        .with(key("replace.null.with.default", Boolean, "true", Width::Short, NULLS))
        .with(without_default(OLD_MODE, Text, OLD_DELETES).checked(one_of(&["none", "drop", "rewrite"])))
        .with(without_default(OLD_TOMBSTONES, Boolean, "Whether tombstones end here. Older than delete.tombstone.handling.mode, which rules if it is given."))
}

const DELETES: &str = "What becomes of a deleted row. drop: nothing. tombstone: null, and the source's own tombstone ends here. \
    rewrite: the row as it was, with __deleted=true (rows that are there have false), and no tombstone. rewrite-with-tombstone: that, and the \
    tombstone. delete-to-tombstone: a tombstone, with neither value nor schema.";
const OLD_DELETES: &str = "What becomes of a deleted row: drop, none (null), or rewrite. Older than delete.tombstone.handling.mode, which rules if it is given.";
const ROUTE: &str =
    "The column of text whose value is the topic. Where it is null or blank, the topic stays.";
const FIELDS: &str = "What is added to the row out of the change, such as op, table, source.ts_ms or transaction.id: a name without a point is the \
    change's or its source's. The field is named __op, __table, __source_ts_ms; another name may stand behind a colon: source.ts_ms:CHANGED_AT.";
const HEADERS: &str =
    "What becomes a header out of the change; written as add.fields is. A tombstone has only op.";
const DROP: &str = "The header that holds a list of fields to leave out of the row.";
const COMPATIBLE: &str = "Whether only fields that may be null are left out, so that readers of the schema go on. Otherwise all of them are.";
const NULLS: &str = "Whether a null in a row that says whether it is deleted becomes its column's default.";
