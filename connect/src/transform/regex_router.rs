//! `RegexRouter`: another topic by a regular expression.
use std::collections::HashMap;
use std::sync::Arc;

use super::side::plugin_for_records;
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::predicate::java_regex::{JavaRegex, Replacement};
use crate::record::Record;

/// How many topics are remembered with where their records go.
const TOPICS: usize = 1024;

plugin_for_records!(RegexRouterPlugin, "RegexRouter", keys, RegexRouter::new);

fn keys() -> ConfigDef {
    ConfigDef::new()
        .with(
            ConfigKey::required(
                "regex",
                ConfigType::String,
                Importance::High,
                "Regular expression to use for matching.",
            )
            .checked(JavaRegex::check),
        )
        .with(ConfigKey::required(
            "replacement",
            ConfigType::String,
            Importance::High,
            "Replacement string.",
        ))
}

struct RegexRouter {
    regex: JavaRegex,
    replacement: Replacement,
    routes: HashMap<Arc<str>, Arc<str>>,
    /// The last route: records of one topic come in runs.
    last: Option<(Arc<str>, Arc<str>)>,
}

impl RegexRouter {
    fn new(config: &Config) -> Result<Self, PluginError> {
        let wrong = |key: &str, error| PluginError::user_config(format!("{key}: {error}"));
        let regex = JavaRegex::new(config.string("regex")).map_err(|error| wrong("regex", error))?;
        let replacement = Replacement::new(config.string("replacement"), &regex);
        Ok(Self {
            replacement: replacement.map_err(|error| wrong("replacement", error))?,
            regex,
            routes: HashMap::new(),
            last: None,
        })
    }

    fn route(&mut self, topic: &Arc<str>) -> Arc<str> {
        if let Some(to) = self.routes.get(topic) {
            return Arc::clone(to);
        }
        let to = match self.regex.matches(topic) {
            true => Arc::from(self.regex.replace_first(topic, &self.replacement)),
            false => Arc::clone(topic),
        };
        if self.routes.len() >= TOPICS {
            self.routes.clear();
        }
        self.routes.insert(Arc::clone(topic), Arc::clone(&to));
        to
    }
}

impl Transform for RegexRouter {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        let to = match &self.last {
            Some((from, to)) if Arc::ptr_eq(from, &record.topic) => Arc::clone(to),
            _ => {
                let to = self.route(&record.topic);
                self.last = Some((Arc::clone(&record.topic), Arc::clone(&to)));
                to
            }
        };
        record.topic = to;
        Ok(Some(record))
    }
}
