//! Its keys.
use millstream_connect::config::{ConfigDef, ConfigKey, ConfigType, Importance, Width};
use millstream_connect::transform::JavaRegex;

use super::config::Extra;

pub(super) const REGEX: &str = "route.topic.regex";
pub(super) const REPLACEMENT: &str = "route.topic.replacement";
pub(super) const PLACEMENT: &str = "table.fields.additional.placement";
pub(super) const MISSING: &str = "table.field.additional.missing";
pub(super) const INVALID: &str = "table.op.invalid.behavior";
pub(super) const NULLS: &str = "table.json.payload.null.behavior";
pub(super) const NAMES: &str = "field.name.adjustment.mode";

/// A key: its group in a form, name, type, default, weight, and what it does.
type Row = (
    &'static str,
    &'static str,
    ConfigType,
    Option<&'static str>,
    Importance,
    &'static str,
);

#[rustfmt::skip]
const ROWS: &[Row] = {
    use ConfigType::{Boolean, List, String as Text};
    use Importance::{High, Low, Medium};
    &[
        ("Table", "table.field.event.id", Text, Some("id"), Low, "The column with the event's id, which becomes the header id."),
        ("Table", "table.field.event.key", Text, Some("aggregateid"), Low, "The column with the key."),
        ("Table", "table.field.event.type", Text, Some("type"), Low, "The column with the event's type. Nothing is done with it unless table.fields.additional.placement names it."),
        ("Table", "table.field.event.payload", Text, Some("payload"), Low, "The column with the value."),
        ("Table", "table.field.event.timestamp", Text, None, Medium, "The column with the record's time; without it, that is when the change was read."),
        ("Table", PLACEMENT, List, None, High, EXTRAS),
        ("Table", MISSING, Text, Some("error"), Medium, "What is done where such a column is missing: error, or ignore."),
        ("Table", "table.field.event.schema.version", Text, None, Low, "The column with the version of the schema, where there is more than the payload."),
        ("Table", INVALID, Text, Some("warn"), Medium, "What is done about an event that was updated: warn and error log it and pass it over, fatal fails."),
        ("Table", "table.expand.json.payload", Boolean, Some("false"), Medium, EXPAND),
        ("Table", NULLS, Text, Some("ignore"), Medium, "What becomes of a null in it: ignore leaves the field out, optional_bytes keeps it as bytes that are null."),
        ("Router", "route.by.field", Text, Some("aggregatetype"), High, "The column that the topic is made of."),
        ("Router", REGEX, Text, Some("(?<routedByValue>.*)"), Low, "What has to match it as a whole; otherwise it is the topic."),
        ("Router", REPLACEMENT, Text, Some("outbox.event.${routedByValue}"), High, "The topic; $1 and ${name} stand for groups."),
        ("Router", "route.tombstone.on.empty.payload", Boolean, Some("false"), High, "Whether an event without a payload, or with a blank one, is a tombstone."),
        ("Tracing", "tracing.span.context.field", Text, Some("tracingspancontext"), High, TRACING),
        ("Tracing", "tracing.operation.name", Text, Some("debezium-read"), High, TRACING),
        ("Tracing", "tracing.with.context.field.only", Boolean, Some("false"), High, TRACING),
        ("Table", NAMES, Text, Some("none"), Low, "What becomes of characters in names of expanded fields that Avro does not take: none, avro (_) or avro_unicode (_uXXXX)."),
    ]
};

const EXTRAS: &str = "Further columns, as COLUMN:PLACEMENT or COLUMN:PLACEMENT:NAME. header makes a header of it; envelope puts it beside the payload, \
    so that the value is a struct; partition takes its INT as the partition.";
const EXPAND: &str = "Whether a payload that is JSON in a text becomes a struct with a schema of its own. What is no JSON object or array, or has arrays of \
    unlike things, stays a text.";
const TRACING: &str = "Taken so that property files run; spans are not traced here.";

pub(super) fn keys() -> ConfigDef {
    let mut all = ConfigDef::new();
    for (group, name, kind, default, importance, documentation) in ROWS {
        let key = match default {
            Some(default) => ConfigKey::with_default(name, *kind, default, *importance, documentation),
            None => ConfigKey::optional(name, *kind, *importance, documentation),
        };
        let before = all
            .keys()
            .iter()
            .filter(|key| key.group.as_deref() == Some(*group));
        let order = i32::try_from(before.count() + 1).expect("a few keys");
        all = all.with(checked(key.grouped(group, order, Width::Medium, name)));
    }
    all
}

fn checked(key: ConfigKey) -> ConfigKey {
    match key.name.as_str() {
        MISSING => key.checked(one_of(&["ignore", "error"])),
        INVALID => key.checked(one_of(&["warn", "error", "fatal"])),
        NULLS => key.checked(one_of(&["ignore", "optional_bytes"])),
        NAMES => key.checked(one_of(&["none", "avro", "avro_unicode"])),
        REGEX => key.checked(|text| {
            let checked = JavaRegex::new(text.trim()).map(drop);
            checked.map_err(|wrong| format!("A valid regular expression is expected, but {wrong}"))
        }),
        PLACEMENT => key.checked(|text| {
            let mut parts = text.split(',').filter(|_| !text.trim().is_empty());
            parts.try_for_each(|part| Extra::parse(part.trim()).map(drop))
        }),
        _ => key,
    }
}

fn one_of(values: &'static [&'static str]) -> impl Fn(&str) -> Result<(), String> + Send + Sync {
    move |text| match values.iter().any(|value| value.eq_ignore_ascii_case(text.trim())) {
        true => Ok(()),
        false => Err(format!("Value must be one of {}", values.join(", "))),
    }
}
