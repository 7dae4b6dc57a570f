//! Debezium's properties as ours.
use std::collections::BTreeMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::mysql::config::{
    BinaryMode, DecimalMode, FailureMode, Filters, Mask, NameAdjustment, Patterns, RecordConfig, Selection,
    SkippedOperations, TimeMode, UnsignedBigintMode,
};
use crate::mysql::record::{Connector, Records, fixtures};

fn pattern(text: &str) -> Regex {
    RegexBuilder::new(&format!("^(?:{text})$"))
        .case_insensitive(true)
        .build()
        .unwrap()
}

fn patterns(text: &str) -> Patterns {
    Patterns(text.split(',').map(|text| pattern(text.trim())).collect())
}

/// What a run of Debezium was told.
pub(super) fn records(properties: &BTreeMap<String, String>, connector: Connector) -> Arc<Records> {
    let (mut config, mut filters) = (fixtures::config(), Filters::default());
    // What Debezium does of itself (event.converting.failure.handling.mode).
    config.failures = FailureMode::Warn;
    for (key, value) in properties {
        if !filter(&mut filters, key, value) && !mode(&mut config, key, value) {
            other(&mut config, key, value);
        }
    }
    Records::new(config, filters, connector)
}

fn filter(filters: &mut Filters, key: &str, value: &str) -> bool {
    match key {
        "database.include.list" => filters.databases = Selection::Include(patterns(value)),
        "table.include.list" => filters.tables = Selection::Include(patterns(value)),
        "table.exclude.list" => filters.tables = Selection::Exclude(patterns(value)),
        "column.include.list" => filters.columns = Selection::Include(patterns(value)),
        "column.exclude.list" => filters.columns = Selection::Exclude(patterns(value)),
        "skipped.operations" => {
            filters.skipped = SkippedOperations {
                creates: value.contains('c'),
                updates: value.contains('u'),
                deletes: value.contains('d'),
                truncates: value.split(',').any(|letter| letter == "t"),
            }
        }
        _ => return false,
    }
    true
}

fn mode(config: &mut RecordConfig, key: &str, value: &str) -> bool {
    let names = match value {
        "avro" => NameAdjustment::Avro,
        "avro_unicode" => NameAdjustment::AvroUnicode,
        _ => NameAdjustment::None,
    };
    match (key, value) {
        ("decimal.handling.mode", "string") => config.decimals = DecimalMode::String,
        ("decimal.handling.mode", "double") => config.decimals = DecimalMode::Double,
        ("bigint.unsigned.handling.mode", "precise") => {
            config.unsigned_bigint = UnsignedBigintMode::Precise;
        }
        ("time.precision.mode", "connect") => config.times = TimeMode::Connect,
        ("time.precision.mode", "isostring") => config.times = TimeMode::IsoString,
        ("time.precision.mode", "microseconds") => config.times = TimeMode::Microseconds,
        ("time.precision.mode", "nanoseconds") => config.times = TimeMode::Nanoseconds,
        ("binary.handling.mode", "base64") => config.binary = BinaryMode::Base64,
        ("binary.handling.mode", "base64-url-safe") => config.binary = BinaryMode::Base64UrlSafe,
        ("binary.handling.mode", "hex") => config.binary = BinaryMode::Hex,
        ("schema.name.adjustment.mode", _) => config.schema_names = names,
        ("field.name.adjustment.mode", _) => config.field_names = names,
        _ => return false,
    }
    true
}

fn other(config: &mut RecordConfig, key: &str, value: &str) {
    match key {
        "topic.prefix" => config.prefix = value.into(),
        "topic.delimiter" => config.delimiter = value.to_owned(),
        "topic.transaction" => config.transaction_topic = value.to_owned(),
        "topic.heartbeat.prefix" => config.heartbeat_prefix = value.to_owned(),
        "provide.transaction.metadata" => config.transactions = value == "true",
        "include.schema.changes" => config.schema_changes = value == "true",
        "include.schema.comments" => config.comments = value == "true",
        "include.query" => config.include_query = value == "true",
        "tombstones.on.delete" => config.tombstones = value == "true",
        "column.propagate.source.type" => config.propagate_column_types = Some(patterns(value)),
        "datatype.propagate.source.type" => config.propagate_types = Some(patterns(value)),
        "message.key.columns" => {
            let keys = value.split(';').map(|part| {
                let (table, columns) = part.split_once(':').unwrap();
                let columns = columns.split(',').map(str::to_owned).collect();
                (pattern(table), columns)
            });
            config.keys = keys.collect();
        }
        _ => mask(config, key, value),
    }
}

fn mask(config: &mut RecordConfig, key: &str, value: &str) {
    let number = |text: &str| text.parse().unwrap();
    let middle = |start: &str| {
        key.strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(".chars"))
    };
    let mask = if let Some(count) = middle("column.truncate.to.") {
        Mask::Truncate(number(count))
    } else if let Some(count) = middle("column.mask.with.") {
        Mask::Asterisks(number(count))
    } else if let Some(rest) = key.strip_prefix("column.mask.hash.") {
        let v2 = rest.strip_prefix("v2.");
        let (algorithm, salt) = v2.unwrap_or(rest).split_once(".with.salt.").unwrap();
        Mask::Hash {
            algorithm: algorithm.to_owned(),
            salt: salt.to_owned(),
            v2: v2.is_some(),
        }
    } else {
        return;
    };
    config.masks.push((patterns(value), mask));
}
