//! Topics that a source writes to (KIP-158: `topic.creation.*`).
use std::collections::HashSet;
use std::sync::Arc;

use rdkafka::ClientConfig;
use regex::Regex;

use crate::cluster::topics::{TopicSpec, check_name, ensure};
use crate::config::ConfigMap;
use crate::plugin::PluginError;
use crate::worker::control::Control;

/// What stands before the keys.
const PREFIX: &str = "topic.creation.";
/// Topics remembered; beyond them they are asked for again.
const KNOWN_MAX: usize = 10_000;

/// Makes topics as the connector says, before anything is written to them.
pub(in crate::worker) struct TopicCreation {
    admin: ClientConfig,
    /// The first whose patterns match says how; without any, the cluster makes topics as it likes.
    groups: Vec<Group>,
    known: HashSet<Arc<str>>,
}

struct Group {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
    spec: TopicSpec,
}

impl TopicCreation {
    /// As `connector` says, if `enabled` (the worker's `topic.creation.enable`).
    ///
    /// # Errors
    /// When a value is wrong.
    pub(in crate::worker) fn new(
        enabled: bool,
        connector: &ConfigMap,
        admin: ClientConfig,
    ) -> Result<Self, PluginError> {
        let mut groups = Vec::new();
        if enabled && connector.contains_key("topic.creation.default.replication.factor") {
            let named = connector.get("topic.creation.groups").map_or("", String::as_str);
            let named = named
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty() && *name != "default");
            for name in named.chain(["default"]) {
                groups.push(Group::new(name, connector)?);
            }
        }
        let known = HashSet::new();
        Ok(Self { admin, groups, known })
    }

    /// Sees to it that the topic is there; says whether it is the first time that it is named.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn ensure(&mut self, topic: &Arc<str>, control: &Control) -> Result<bool, PluginError> {
        if self.known.contains(topic) {
            return Ok(false);
        }
        check_name(topic).map_err(PluginError::user_config)?;
        if let Some(group) = self.groups.iter().find(|group| group.matches(topic)) {
            let spec = TopicSpec {
                name: topic.to_string(),
                ..group.spec.clone()
            };
            if control.wait_for(ensure(&self.admin, &spec))? {
                tracing::info!(topic = &**topic, "made the topic");
            }
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(Arc::clone(topic));
        Ok(true)
    }
}

impl Group {
    fn new(name: &str, connector: &ConfigMap) -> Result<Self, PluginError> {
        let under = format!("{PREFIX}{name}.");
        // What a group does not say, the default says.
        let of = |key: &str| {
            let own = connector.get(&format!("{under}{key}"));
            own.or_else(|| connector.get(&format!("{PREFIX}default.{key}")))
        };
        let number = |key: &str| match of(key).map(|text| text.trim().parse()) {
            None => Ok(-1),
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => Err(PluginError::user_config(format!("{under}{key}: not a number"))),
        };
        let patterns = |key: &str| {
            let text = connector.get(&format!("{under}{key}")).map_or("", String::as_str);
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            let compiled = parts.map(|part| {
                Regex::new(&format!("^(?:{part})$"))
                    .map_err(|error| PluginError::user_config(format!("{under}{key}: {error}")))
            });
            compiled.collect::<Result<Vec<_>, _>>()
        };
        let meant = ["include", "exclude", "partitions", "replication.factor"];
        let settings = connector.iter().filter_map(|(key, value)| {
            let bare = key.strip_prefix(&under)?;
            (!meant.contains(&bare)).then(|| (bare.to_owned(), value.clone()))
        });
        let default = name == "default";
        Ok(Self {
            include: if default {
                vec![Regex::new("^.*$").expect("a good pattern")]
            } else {
                patterns("include")?
            },
            exclude: if default { Vec::new() } else { patterns("exclude")? },
            spec: TopicSpec {
                name: String::new(),
                partitions: number("partitions")?,
                replication: number("replication.factor")?,
                settings: settings.collect(),
            },
        })
    }

    fn matches(&self, topic: &str) -> bool {
        let any = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(topic));
        any(&self.include) && !any(&self.exclude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_say_how_topics_are_made() {
        let config: ConfigMap = [
            ("topic.creation.default.replication.factor", "1"),
            ("topic.creation.default.partitions", "5"),
            ("topic.creation.groups", "logs, keyed"),
            ("topic.creation.logs.include", "log.*,trace"),
            ("topic.creation.logs.exclude", "log-old"),
            ("topic.creation.logs.retention.ms", "1000"),
            ("topic.creation.keyed.include", ".*keyed"),
            ("topic.creation.keyed.partitions", "2"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let creation = TopicCreation::new(true, &config, ClientConfig::new()).unwrap();
        let of = |topic: &str| {
            let group = creation.groups.iter().find(|group| group.matches(topic)).unwrap();
            (
                group.spec.partitions,
                group.spec.replication,
                group.spec.settings.len(),
            )
        };
        assert_eq!(of("log-new"), (5, 1, 1));
        assert_eq!(of("log-old"), (5, 1, 0));
        assert_eq!(of("logkeyed"), (5, 1, 1));
        assert_eq!(of("a-keyed"), (2, 1, 0));
        assert!(
            TopicCreation::new(false, &config, ClientConfig::new())
                .unwrap()
                .groups
                .is_empty()
        );
    }
}
