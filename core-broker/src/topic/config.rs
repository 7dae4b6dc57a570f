//! Settings that a topic may override: the table of Kafka's topic configs.
//!
//! Why: clients set them when they create topics and read them back, defaults included, to change them. Owns:
//! the table, validation, and the step from broker defaults and overrides to a [`LogConfig`]. Does not own:
//! where overrides are stored (see `topic::file`).
//!
//! Which ones take effect: those marked `Now` shape the log today. Those marked `Kept` are validated, stored and
//! described; `min.insync.replicas`, `replication.*` and `remote.*` mean nothing on a single node.

use std::collections::BTreeMap;

use crate::config::{BrokerConfig, CleanupPolicy, CompressionType, ConfigType, ConfigValue, Ratio};
use crate::log::{FlushMode, LogConfig, TimestampType};

/// Overrides of one topic by Kafka's names.
pub(crate) type Overrides = BTreeMap<String, String>;

/// Longest value of one override; Kafka's longest lists are throttled replicas.
const VALUE_BYTES_MAX: usize = 4096;

/// Whether a setting shapes the log already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It does.
    Now,
    /// It is validated, stored and described.
    Kept,
}

/// One topic config.
pub(crate) struct TopicKey {
    /// Kafka's name.
    pub name: &'static str,
    /// Its type as clients see it.
    pub kind: ConfigType,
    /// Whether it shapes the log.
    pub effect: Effect,
    /// The broker's key that gives the default, if there is one.
    pub broker_key: Option<&'static str>,
    /// The value of a topic without override.
    pub default: fn(&BrokerConfig) -> String,
    check: fn(&str) -> Result<(), String>,
    /// What it does.
    pub documentation: &'static str,
}

/// A setting that a topic cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicConfigError {
    /// Not a topic config of Kafka.
    #[error("unknown topic config {key:?}{}", nearest.map(|n| format!(", did you mean {n}?")).unwrap_or_default())]
    Unknown {
        /// The name given.
        key: String,
        /// The nearest that exists, if one is near.
        nearest: Option<&'static str>,
    },
    /// The value does not fit.
    #[error("invalid value {value:?} for topic config {key}: expected {expected}")]
    Value {
        /// The name.
        key: &'static str,
        /// The value given.
        value: String,
        /// What would have fitted.
        expected: String,
    },
}

fn whole<const LOW: i64, const HIGH: i64>(text: &str) -> Result<(), String> {
    match text.parse::<i64>() {
        Ok(n) if (LOW..=HIGH).contains(&n) => Ok(()),
        _ => Err(format!("an integer from {LOW} to {HIGH}")),
    }
}

fn replicas(text: &str) -> Result<(), String> {
    if text == "*" || text.is_empty() || text.split(',').all(|item| item.contains(':')) {
        return Ok(());
    }
    Err("* or partition:broker pairs separated by commas".into())
}

fn flag(text: &str) -> Result<(), String> {
    bool::read(text).map(drop)
}

const I32: i64 = i32::MAX as i64;
const I64: i64 = i64::MAX;

macro_rules! topic_keys {
    ($($name:literal $kind:ident $effect:ident $(from $broker:literal)? = $default:expr, $check:expr, $doc:literal;)*) => {
        /// Every topic config, in alphabetical order.
        pub(crate) const TOPIC_KEYS: &[TopicKey] = &[$(TopicKey {
            name: $name,
            kind: ConfigType::$kind,
            effect: Effect::$effect,
            broker_key: [$(Some($broker),)? None][0],
            default: $default,
            check: $check,
            documentation: $doc,
        },)*];
    };
}

topic_keys! {
    "cleanup.policy" List Now from "log.cleanup.policy" = |b| text(&b.log_cleanup_policy),
        |t| CleanupPolicy::read(t).map(drop), "What happens to old records: delete, compact or both.";
    "compression.gzip.level" Int Now from "compression.gzip.level" = |b| text(&b.compression_gzip_level), whole::<-1, 9>, "Level of gzip where the broker compresses.";
    "compression.lz4.level" Int Now from "compression.lz4.level" = |b| text(&b.compression_lz4_level), whole::<1, 17>, "Level of lz4 where the broker compresses.";
    "compression.type" String Now from "compression.type" = |b| text(&b.compression_type), |t| CompressionType::read(t).map(drop), "Codec that batches are stored in; producer keeps theirs.";
    "compression.zstd.level" Int Now from "compression.zstd.level" = |b| text(&b.compression_zstd_level), whole::<-131072, 22>, "Level of zstd where the broker compresses.";
    "delete.retention.ms" Long Now from "log.cleaner.delete.retention.ms" = |b| text(&b.log_cleaner_delete_retention_ms), whole::<0, I64>, "How long tombstones stay in a compacted topic.";
    "file.delete.delay.ms" Long Now from "log.segment.delete.delay.ms" = |b| text(&b.log_segment_delete_delay_ms), whole::<0, I64>, "How long a deleted file stays on disk.";
    "flush.messages" Long Now from "log.flush.interval.messages" = |b| sync_or(b, "1"), whole::<1, I64>,
        "1 acknowledges after fdatasync, anything else once the system has the bytes.";
    "flush.ms" Long Now from "log.flush.interval.ms" = |b| sync_or(b, "0"), whole::<0, I64>,
        "0 acknowledges after fdatasync, anything else once the system has the bytes.";
    "follower.replication.throttled.replicas" List Kept = |_| String::new(), replicas, "Without meaning on a single node.";
    "index.interval.bytes" Int Now from "log.index.interval.bytes" = |b| b.log_index_interval_bytes.to_string(),
        whole::<0, I32>, "Bytes of records between two index entries.";
    "leader.replication.throttled.replicas" List Kept = |_| String::new(), replicas, "Without meaning on a single node.";
    "local.retention.bytes" Long Kept = |_| "-2".into(), whole::<-2, I64>, "Without meaning: there is no remote storage.";
    "local.retention.ms" Long Kept = |_| "-2".into(), whole::<-2, I64>, "Without meaning: there is no remote storage.";
    "max.compaction.lag.ms" Long Now from "log.cleaner.max.compaction.lag.ms" = |b| text(&b.log_cleaner_max_compaction_lag_ms), whole::<1, I64>, "Longest time a record may stay uncompacted.";
    "max.message.bytes" Int Now from "message.max.bytes" = |b| b.message_max_bytes.to_string(), whole::<0, I32>,
        "Largest record batch in bytes.";
    "message.timestamp.after.max.ms" Long Now from "log.message.timestamp.after.max.ms" = |b| text(&b.log_message_timestamp_after_max_ms), whole::<0, I64>, "How far a record's time may be ahead.";
    "message.timestamp.before.max.ms" Long Now from "log.message.timestamp.before.max.ms" = |b| text(&b.log_message_timestamp_before_max_ms), whole::<0, I64>, "How far a record's time may be behind.";
    "message.timestamp.type" String Now from "log.message.timestamp.type" = |b| text(&b.log_message_timestamp_type),
        |t| TimestampType::read(t).map(drop), "CreateTime keeps the producer's time, LogAppendTime sets the broker's.";
    "min.cleanable.dirty.ratio" Double Now from "log.cleaner.min.cleanable.ratio" = |b| text(&b.log_cleaner_min_cleanable_ratio), |t| Ratio::read(t).map(drop), "Share of uncompacted bytes at which compaction starts.";
    "min.compaction.lag.ms" Long Now from "log.cleaner.min.compaction.lag.ms" = |b| text(&b.log_cleaner_min_compaction_lag_ms), whole::<0, I64>, "Shortest time a record stays uncompacted.";
    "min.insync.replicas" Int Kept = |_| "1".into(), whole::<1, I32>, "Without meaning on a single node.";
    "preallocate" Boolean Now from "log.preallocate" = |b| text(&b.log_preallocate), flag, "Whether segment files are allocated in full at once.";
    "remote.log.copy.disable" Boolean Kept = |_| "false".into(), flag, "Without meaning: there is no remote storage.";
    "remote.log.delete.on.disable" Boolean Kept = |_| "false".into(), flag, "Without meaning: there is no remote storage.";
    "remote.storage.enable" Boolean Kept = |_| "false".into(),
        |t| if t == "false" { Ok(()) } else { Err("false, there is no remote storage".into()) }, "There is no remote storage.";
    "retention.bytes" Long Now from "log.retention.bytes" = |b| b.log_retention_bytes.to_string(), whole::<-1, I64>,
        "Bytes of a partition above which old records may be deleted; -1 for no bound.";
    "retention.ms" Long Now from "log.retention.ms" = |b| b.effective_retention_ms().to_string(), whole::<-1, I64>,
        "Age after which records may be deleted; -1 for never.";
    "segment.bytes" Int Now from "log.segment.bytes" = |b| b.log_segment_bytes.to_string(), whole::<14, I32>,
        "Size at which a segment file is closed.";
    "segment.index.bytes" Int Now from "log.index.size.max.bytes" = |b| text(&b.log_index_size_max_bytes), whole::<4, I32>, "Largest size of an index file.";
    "segment.jitter.ms" Long Now from "log.roll.jitter.ms" = |b| b.effective_roll_jitter_ms().to_string(), whole::<0, I64>, "Random part of a segment's age.";
    "segment.ms" Long Now from "log.roll.ms" = |b| b.effective_roll_ms().to_string(), whole::<1, I64>,
        "Age at which a segment file is closed.";
    "unclean.leader.election.enable" Boolean Kept = |_| "false".into(), flag, "Without meaning on a single node.";
}

fn text(value: &impl ConfigValue) -> String {
    value.show().unwrap_or_default()
}

fn sync_or(broker: &BrokerConfig, sync: &str) -> String {
    match broker.effective_flush_mode() {
        FlushMode::Sync => sync.to_owned(),
        FlushMode::Os => I64.to_string(),
    }
}

/// Looks a topic config up by Kafka's name.
pub(crate) fn topic_key(name: &str) -> Option<&'static TopicKey> {
    TOPIC_KEYS
        .binary_search_by(|key| key.name.cmp(name))
        .ok()
        .map(|at| &TOPIC_KEYS[at])
}

/// Checks every override.
pub(crate) fn validate(overrides: &Overrides) -> Result<(), TopicConfigError> {
    for (name, value) in overrides {
        let Some(key) = topic_key(name) else {
            let nearest = TOPIC_KEYS
                .iter()
                .map(|k| (strsim::damerau_levenshtein(name, k.name), k.name))
                .min()
                .filter(|(distance, _)| *distance <= 1 + name.len() / 5)
                .map(|(_, name)| name);
            return Err(TopicConfigError::Unknown {
                key: name.chars().take(128).collect(),
                nearest,
            });
        };
        let fits = match value.len() {
            0..=VALUE_BYTES_MAX => (key.check)(value),
            _ => Err(format!("at most {VALUE_BYTES_MAX} bytes")),
        };
        fits.map_err(|expected| TopicConfigError::Value {
            key: key.name,
            value: value.chars().take(128).collect(),
            expected,
        })?;
    }
    Ok(())
}

/// Names of overrides that are stored but do not shape the log yet.
pub(crate) fn without_effect(overrides: &Overrides) -> Vec<&'static str> {
    let keys = overrides.keys().filter_map(|name| topic_key(name));
    keys.filter(|key| key.effect == Effect::Kept)
        .map(|key| key.name)
        .collect()
}

/// Settings of a topic's logs: its valid overrides over the broker's values.
pub(crate) fn log_config(broker: &BrokerConfig, overrides: &Overrides) -> LogConfig {
    let mut config = broker.log_config();
    for (name, value) in overrides {
        match name.as_str() {
            "cleanup.policy" => {
                if let Ok(policy) = CleanupPolicy::read(value) {
                    (config.compact, config.delete) = (policy.compact, policy.delete);
                }
            }
            "compression.gzip.level" => set(&mut config.gzip_level, i32::read(value)),
            "compression.lz4.level" => set(&mut config.lz4_level, i32::read(value)),
            "compression.type" => set(&mut config.compression, CompressionType::read(value).map(|t| t.0)),
            "compression.zstd.level" => set(&mut config.zstd_level, i32::read(value)),
            "delete.retention.ms" => set(&mut config.delete_retention_ms, i64::read(value)),
            "max.compaction.lag.ms" => set(&mut config.max_compaction_lag_ms, i64::read(value)),
            "message.timestamp.after.max.ms" => set(&mut config.timestamp_after_max_ms, i64::read(value)),
            "message.timestamp.before.max.ms" => set(&mut config.timestamp_before_max_ms, i64::read(value)),
            "min.cleanable.dirty.ratio" => set(
                &mut config.min_cleanable_ratio_ppm,
                Ratio::read(value).map(|ratio| ratio.ppm),
            ),
            "min.compaction.lag.ms" => set(&mut config.min_compaction_lag_ms, i64::read(value)),
            "index.interval.bytes" => set(&mut config.index_interval_bytes, u32::read(value)),
            "max.message.bytes" => set(&mut config.max_message_bytes, u32::read(value)),
            "message.timestamp.type" => set(&mut config.timestamp_type, TimestampType::read(value)),
            "file.delete.delay.ms" => set(&mut config.file_delete_delay_ms, i64::read(value)),
            "retention.bytes" => set(&mut config.retention_bytes, i64::read(value)),
            "retention.ms" => set(&mut config.retention_ms, i64::read(value)),
            "preallocate" => set(&mut config.preallocate, bool::read(value)),
            "segment.index.bytes" => set(&mut config.segment_index_bytes, u32::read(value)),
            "segment.jitter.ms" => set(&mut config.segment_jitter_ms, i64::read(value)),
            "segment.bytes" => set(&mut config.segment_bytes, u32::read(value)),
            "segment.ms" => set(&mut config.segment_ms, i64::read(value)),
            _ => {}
        }
    }
    let flush = (
        overrides.get("flush.messages").map(String::as_str),
        overrides.get("flush.ms").map(String::as_str),
    );
    match flush {
        (None, None) => {}
        (Some("1"), _) | (_, Some("0")) => config.flush = FlushMode::Sync,
        _ => config.flush = FlushMode::Os,
    }
    config
}

/// Overrides were validated when they came in; one that does not parse any more leaves the default.
fn set<T>(field: &mut T, value: Result<T, String>) {
    if let Ok(value) = value {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> Overrides {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn the_table_is_sorted_and_its_defaults_are_valid() {
        let broker = BrokerConfig::default();
        assert!(TOPIC_KEYS.is_sorted_by_key(|k| k.name));
        for key in TOPIC_KEYS {
            assert_eq!((key.check)(&(key.default)(&broker)), Ok(()), "{}", key.name);
            if let Some(name) = key.broker_key {
                assert!(crate::config::KEYS.iter().any(|k| k.name == name), "{name}");
            }
        }
    }

    #[test]
    fn bad_overrides_are_named() {
        let unknown = validate(&overrides(&[("retention.m", "1")])).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "unknown topic config \"retention.m\", did you mean retention.ms?"
        );
        for (key, value) in [
            ("retention.ms", "-2"),
            ("segment.bytes", "13"),
            ("cleanup.policy", "shred"),
            ("min.cleanable.dirty.ratio", "1.5"),
            ("max.message.bytes", "x"),
            ("remote.storage.enable", "true"),
            ("compression.type", "rar"),
        ] {
            assert!(validate(&overrides(&[(key, value)])).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn overrides_reach_the_log() {
        let all = overrides(&[
            ("cleanup.policy", "compact"),
            ("segment.bytes", "1000"),
            ("segment.ms", "5"),
            ("max.message.bytes", "77"),
            ("message.timestamp.type", "LogAppendTime"),
            ("flush.messages", "1000"),
        ]);
        validate(&all).unwrap();
        let config = log_config(&BrokerConfig::default(), &all);
        assert!(config.compact);
        assert_eq!(
            (config.segment_bytes, config.segment_ms, config.max_message_bytes),
            (1000, 5, 77)
        );
        assert_eq!(config.timestamp_type, TimestampType::LogAppendTime);
        assert_eq!(config.flush, FlushMode::Os);
    }
}
