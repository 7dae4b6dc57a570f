//! The keys of workers: those of `connect-standalone.properties` and `connect-distributed.properties`, as Kafka Connect 4.2 has them.
//!
//! Owns: the declarations, and which keys nobody knows. Does not own: what a worker makes of them
//! ([`WorkerConfig`](crate::worker::WorkerConfig)).
mod rows;

use super::connector::stall_action;
use super::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};
use ConfigType::{Class, Int, List, Long, Short, String as Text};
use Importance::{High, Low, Medium};
use rows::{DISTRIBUTED, Row, SHARED};

/// Which kind of worker a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerMode {
    /// One process, which keeps connectors in memory and source offsets in a file.
    Standalone,
    /// A group of processes, which keep everything in topics.
    Distributed,
}

/// Keys that begin so belong to clients, converters, providers, topics and the like, and are theirs to check.
const PREFIXES: &[&str] = &[
    "producer.",
    "consumer.",
    "admin.",
    "key.converter.",
    "value.converter.",
    "header.converter.",
    "config.providers.",
    "listeners.https.",
    "admin.listeners.https.",
    "metrics.context.",
    "offset.storage.",
    "config.storage.",
    "status.storage.",
    "ssl.",
    "sasl.",
    "security.",
];

fn declared(rows: &[Row]) -> ConfigDef {
    rows.iter().fold(
        ConfigDef::new(),
        |def, &(name, kind, default, importance, documentation)| {
            let key = match default {
                Some(default) => ConfigKey::with_default(name, kind, default, importance, documentation),
                None => ConfigKey::optional(name, kind, importance, documentation),
            };
            def.with(match (kind, name) {
                (Int | Long, "send.buffer.bytes" | "receive.buffer.bytes") => key.between(-1, i64::MAX),
                (Int | Long, _) => key.between(0, i64::MAX),
                _ => key,
            })
        },
    )
}

/// The keys of a worker.
///
/// ```
/// use millstream_connect::config::worker::{WorkerMode, worker_def};
///
/// let keys = worker_def(WorkerMode::Standalone);
/// assert!(keys.key("offset.storage.file.filename").is_some());
/// assert_eq!(keys.suggest("offset.flush.intervall.ms"), Some("offset.flush.interval.ms"));
/// ```
pub fn worker_def(mode: WorkerMode) -> ConfigDef {
    let required =
        |name, kind, documentation| ConfigKey::required(name, kind, High, documentation).not_empty();
    let policies = "Which producer.override.*, consumer.override.* and admin.override.* keys connectors may have: All, None, Principal \
        (who they are: SASL and security.protocol), Allowlist.";
    let shared = ConfigDef::new()
        .with(
            required(
                "bootstrap.servers",
                List,
                "Brokers to begin with: HOST:PORT, separated by commas.",
            )
            .checked(addresses),
        )
        .with(required(
            "key.converter",
            Class,
            "Between keys and their bytes, for connectors that do not say it themselves.",
        ))
        .with(required(
            "value.converter",
            Class,
            "Between values and their bytes, for connectors that do not say it themselves.",
        ))
        .and(declared(SHARED))
        .with(stall_action(Some("report")))
        .with(
            ConfigKey::with_default(
                "connector.client.config.override.policy",
                Text,
                "All",
                Medium,
                policies,
            )
            .checked(override_policy),
        );
    match mode {
        WorkerMode::Standalone => shared
            .with(required(
                "offset.storage.file.filename",
                Text,
                "The file that source offsets are kept in.",
            ))
            .with(exactly_once()),
        WorkerMode::Distributed => distributed(shared),
    }
}

/// Beyond Kafka's, standalone workers have it, too: offsets are in a topic then.
fn exactly_once() -> ConfigKey {
    let documentation = "Whether sources can deliver exactly once: disabled, preparing (the first step of enabling it in a running \
        group), enabled.";
    ConfigKey::with_default(
        "exactly.once.source.support",
        Text,
        "disabled",
        High,
        documentation,
    )
    .checked(|value| {
        let known = ["disabled", "preparing", "enabled"];
        match known.iter().any(|word| word.eq_ignore_ascii_case(value.trim())) {
            true => Ok(()),
            false => Err("String must be one of (case insensitive): DISABLED, ENABLED, PREPARING".to_owned()),
        }
    })
}

fn distributed(shared: ConfigDef) -> ConfigDef {
    let required = |name, documentation| ConfigKey::required(name, Text, High, documentation).not_empty();
    shared
        .with(required("group.id", "The name that workers of one group share."))
        .and(declared(DISTRIBUTED))
        .with(exactly_once())
        .and(storage(
            "offset",
            "The compacted topic that source offsets are kept in.",
            Some("25"),
        ))
        .and(storage(
            "config",
            "The compacted topic of one partition that connectors are kept in.",
            None,
        ))
        .and(storage(
            "status",
            "The compacted topic that states are kept in.",
            Some("5"),
        ))
        .with(
            ConfigKey::with_default(
                "scheduled.rebalance.max.delay.ms",
                Int,
                "300000",
                Low,
                "How long tasks of a worker that left wait for it to come back before others take them.",
            )
            .between(0, i64::from(i32::MAX)),
        )
}

/// The keys of a topic that a group of workers keeps something in; one without `partitions` has one.
fn storage(which: &str, documentation: &str, partitions: Option<&str>) -> ConfigDef {
    let number = |what: &str, kind, default, documentation| {
        let name = format!("{which}.storage.{what}");
        ConfigKey::with_default(&name, kind, default, Low, documentation).checked(positive_or_default)
    };
    let topic = ConfigKey::required(&format!("{which}.storage.topic"), Text, High, documentation).not_empty();
    let def = ConfigDef::new().with(topic);
    let text = "Partitions of that topic when it is made; -1 is the broker's default.";
    let def = match partitions {
        Some(default) => def.with(number("partitions", Int, default, text)),
        None => def,
    };
    let text = "Replicas of that topic when it is made; -1 is the broker's default.";
    def.with(number("replication.factor", Short, "3", text))
}

/// Whether these may be addresses: a name, and perhaps a port.
fn addresses(value: &str) -> Result<(), String> {
    let wrong = |address: &str| {
        let address = address.trim();
        let port = match address.rsplit_once(':') {
            Some((_, rest)) if !rest.ends_with(']') => rest.parse::<u16>().is_ok(),
            _ => true,
        };
        address.is_empty() || address.contains(char::is_whitespace) || !port
    };
    match value.split(',').find(|address| wrong(address)) {
        None => Ok(()),
        Some(address) => Err(format!(
            "{address:?} is no address of a broker; give HOST:PORT,HOST:PORT,…"
        )),
    }
}

fn positive_or_default(value: &str) -> Result<(), String> {
    match value.trim().parse::<i64>() {
        Ok(number) if number == 0 || number < -1 => {
            Err("give a positive number, or -1 for the broker's default".to_owned())
        }
        _ => Ok(()),
    }
}

fn override_policy(value: &str) -> Result<(), String> {
    match super::overrides::OverridePolicy::parse(value) {
        Some(_) => Ok(()),
        None => Err("give All, None, Principal or Allowlist".to_owned()),
    }
}

/// A line for each key that no worker has, with the one that was probably meant.
pub fn warnings(mode: WorkerMode, given: &ConfigMap) -> Vec<String> {
    let def = worker_def(mode);
    let other = worker_def(match mode {
        WorkerMode::Standalone => WorkerMode::Distributed,
        WorkerMode::Distributed => WorkerMode::Standalone,
    });
    let unknown = given.keys().filter(|key| {
        let prefixed = PREFIXES.iter().any(|prefix| key.starts_with(prefix));
        def.key(key).is_none() && !prefixed && *key != super::overrides::ALLOWLIST
    });
    unknown
        .map(|key| match (def.suggest(key), other.key(key)) {
            (_, Some(_)) => format!("{key} is not for this kind of worker, and has no effect"),
            (Some(meant), None) => format!("{key} is unknown and has no effect; did you mean {meant}?"),
            (None, None) => format!("{key} is unknown and has no effect"),
        })
        .collect()
}
