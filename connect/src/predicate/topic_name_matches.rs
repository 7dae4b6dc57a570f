//! `TopicNameMatches`: records of topics whose whole name a regular expression describes.
use std::sync::Arc;

use super::java_regex::JavaRegex;
use crate::config::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};
use crate::plugin::{Plugin, PluginError, Predicate, PredicatePlugin};
use crate::record::Record;

/// The plugin `TopicNameMatches`.
pub(crate) struct TopicNameMatchesPlugin;

impl Plugin for TopicNameMatchesPlugin {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.transforms.predicates.TopicNameMatches"
    }

    fn config_def(&self) -> ConfigDef {
        let pattern = ConfigKey::required(
            "pattern",
            ConfigType::String,
            Importance::Medium,
            "A Java regular expression for matching against the name of a record's topic.",
        );
        ConfigDef::new().with(pattern.checked(|text| match text.trim().is_empty() {
            true => Err("String must be non-empty".to_owned()),
            false => JavaRegex::check(text),
        }))
    }
}

impl PredicatePlugin for TopicNameMatchesPlugin {
    fn new_predicate(&self, config: &ConfigMap) -> Result<Box<dyn Predicate>, PluginError> {
        let config = self.config_def().parse(config)?;
        let pattern = JavaRegex::new(config.string("pattern"));
        Ok(Box::new(TopicNameMatches {
            pattern: pattern.map_err(|error| PluginError::user_config(format!("pattern: {error}")))?,
            last: None,
        }))
    }
}

struct TopicNameMatches {
    pattern: JavaRegex,
    /// The last topic, and what it was: records of one topic come in runs.
    last: Option<(Arc<str>, bool)>,
}

impl Predicate for TopicNameMatches {
    fn test(&mut self, record: &Record) -> bool {
        match &self.last {
            Some((topic, holds)) if Arc::ptr_eq(topic, &record.topic) => *holds,
            _ => {
                let holds = self.pattern.matches(&record.topic);
                self.last = Some((Arc::clone(&record.topic), holds));
                holds
            }
        }
    }
}
