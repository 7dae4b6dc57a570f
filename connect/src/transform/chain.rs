//! The transforms of a connector, one behind the other.
//!
//! `transforms=a,b` names the stages; `transforms.a.type` and what else stands behind `transforms.a.` makes each of them;
//! `transforms.a.predicate` and `transforms.a.negate` say for which records it is, by one of `predicates`.
//!
//! Owns: the order, and which records skip a stage. Does not own: what happens to a record that a stage fails on, and how keys are declared
//! ([`config_def_for`](super::config_def_for)).
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::config::{ConfigErrors, ConfigMap};
use crate::plugin::{Plugin, PluginError, Predicate, Registry, Transform};
use crate::record::Record;

/// The key of a stage that names a predicate.
pub(super) const PREDICATE: &str = "predicate";
/// The key of a stage that turns its predicate round.
pub(super) const NEGATE: &str = "negate";

/// The transforms of a connector.
pub struct TransformChain {
    stages: Vec<Stage>,
}

/// A stage of a chain: which transform it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageName {
    /// Its alias in the configuration.
    pub alias: Arc<str>,
    /// The class of its transform.
    pub class: &'static str,
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transforms.{} ({})", self.alias, self.class)
    }
}

struct Stage {
    name: StageName,
    transform: Box<dyn Transform>,
    condition: Option<Condition>,
}

struct Condition {
    predicate: Box<dyn Predicate>,
    negate: bool,
}

impl TransformChain {
    /// The chain that a connector's configuration describes.
    ///
    /// # Errors
    /// When it is wrong: all that is wrong with one stage, each with its key.
    pub fn new(config: &ConfigMap, registry: &Registry) -> Result<Self, PluginError> {
        let aliases = aliases(config, "transforms")?;
        let stages = aliases.iter().map(|alias| stage(alias, config, registry));
        Ok(Self {
            stages: stages.collect::<Result<_, _>>()?,
        })
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// The record as it comes out, or none if a stage drops it.
    ///
    /// # Errors
    /// What a stage failed with, and which one it was.
    pub fn apply(&mut self, mut record: Record) -> Result<Option<Record>, (PluginError, StageName)> {
        for stage in &mut self.stages {
            if let Some(condition) = &mut stage.condition
                && condition.predicate.test(&record) == condition.negate
            {
                continue;
            }
            match stage.transform.apply(record) {
                Ok(Some(changed)) => record = changed,
                Ok(None) => return Ok(None),
                Err(error) => return Err((error, stage.name.clone())),
            }
        }
        Ok(Some(record))
    }
}

/// The aliases that `key` lists.
fn aliases<'a>(config: &'a ConfigMap, key: &str) -> Result<Vec<&'a str>, PluginError> {
    let text = config.get(key).map_or("", |text| text.trim());
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let aliases: Vec<&str> = text.split(',').map(str::trim).collect();
    let mut seen = HashSet::new();
    for alias in &aliases {
        if alias.is_empty() || !seen.insert(*alias) {
            return Err(PluginError::user_config(format!(
                "{key}: {text} names an alias twice, or an empty one; each needs a name of its own"
            )));
        }
    }
    Ok(aliases)
}

/// What stands behind `prefix`.
fn behind(config: &ConfigMap, prefix: &str) -> ConfigMap {
    let from = config.range(prefix.to_owned()..);
    let these = from.map_while(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())));
    these.collect()
}

fn stage(alias: &str, config: &ConfigMap, registry: &Registry) -> Result<Stage, PluginError> {
    let prefix = format!("transforms.{alias}.");
    let mut own = behind(config, &prefix);
    let negate = negate(&prefix, &own)?;
    let predicate = own.remove(PREDICATE);
    own.remove(NEGATE);
    let class = class(&prefix, &own)?;
    let plugin = registry
        .transform(class)
        .map_err(|error| PluginError::user_config(format!("{prefix}type: {error}")))?;
    check(&prefix, &*plugin, &own)?;
    let transform = plugin.new_transform(&own);
    let condition = match predicate {
        None => None,
        Some(predicate) => Some(Condition {
            predicate: new_predicate(&prefix, predicate.trim(), config, registry)?,
            negate,
        }),
    };
    Ok(Stage {
        name: StageName {
            alias: Arc::from(alias),
            class: plugin.class(),
        },
        transform: transform.map_err(|error| within(&prefix, &error))?,
        condition,
    })
}

fn negate(prefix: &str, own: &ConfigMap) -> Result<bool, PluginError> {
    let Some(text) = own.get(NEGATE) else {
        return Ok(false);
    };
    if !own.contains_key(PREDICATE) {
        return Err(PluginError::user_config(format!(
            "{prefix}{NEGATE}: {}",
            lone_negate(prefix)
        )));
    }
    match &*text.trim().to_ascii_lowercase() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(PluginError::user_config(format!(
            "{prefix}{NEGATE}: Invalid value {text} for configuration {prefix}{NEGATE}: Expected value to be either true or false"
        ))),
    }
}

/// What is wrong with a stage that has `negate` without `predicate`.
pub(super) fn lone_negate(prefix: &str) -> String {
    format!(
        "Config '{prefix}{NEGATE}' was provided but there is no config '{prefix}{PREDICATE}' defining a predicate to be negated."
    )
}

fn class<'a>(prefix: &str, own: &'a ConfigMap) -> Result<&'a str, PluginError> {
    let class = own.get("type").map(|class| class.trim());
    class.ok_or_else(|| {
        PluginError::user_config(format!(
            "{prefix}type: missing required configuration which has no default value"
        ))
    })
}

fn new_predicate(
    stage: &str,
    alias: &str,
    config: &ConfigMap,
    registry: &Registry,
) -> Result<Box<dyn Predicate>, PluginError> {
    if !aliases(config, "predicates")?.contains(&alias) {
        return Err(PluginError::user_config(format!(
            "{stage}{PREDICATE}: there is no predicate {alias}; name it in predicates, and its class in predicates.{alias}.type"
        )));
    }
    let prefix = format!("predicates.{alias}.");
    let own = behind(config, &prefix);
    let plugin = registry
        .predicate(class(&prefix, &own)?)
        .map_err(|error| PluginError::user_config(format!("{prefix}type: {error}")))?;
    check(&prefix, &*plugin, &own)?;
    plugin
        .new_predicate(&own)
        .map_err(|error| within(&prefix, &error))
}

/// Checks the declared keys of a plugin, so that errors name the keys as the user wrote them.
fn check<P: Plugin + ?Sized>(prefix: &str, plugin: &P, own: &ConfigMap) -> Result<(), PluginError> {
    plugin.config_def().parse(own).map(drop).map_err(|errors| {
        let named = errors
            .0
            .into_iter()
            .map(|(key, error)| (format!("{prefix}{key}"), error));
        ConfigErrors(named.collect()).into()
    })
}

fn within(prefix: &str, error: &PluginError) -> PluginError {
    let stage = prefix.trim_end_matches('.');
    PluginError::new(error.kind(), format!("{stage}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Datum, Value};

    fn config(text: &str) -> ConfigMap {
        let lines = text
            .split_whitespace()
            .map(|line| line.split_once('=').expect("key=value"));
        lines
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn chain(text: &str) -> Result<TransformChain, PluginError> {
        TransformChain::new(&config(text), &Registry::built_in())
    }

    const HOIST_OTHERS: &str = "transforms=hoist,drop \
        transforms.hoist.type=org.apache.kafka.connect.transforms.HoistField$Value transforms.hoist.field=line \
        transforms.hoist.predicate=other transforms.hoist.negate=true \
        transforms.drop.type=Filter transforms.drop.predicate=gone \
        predicates=other,gone predicates.other.type=TopicNameMatches predicates.other.pattern=raw-.* \
        predicates.gone.type=RecordIsTombstone";

    #[test]
    fn stages_follow_each_other_and_are_skipped_by_predicates() {
        let mut chain = chain(HOIST_OTHERS).unwrap();
        let line = |topic: &str, value: Value| Record::new(topic, Datum::schemaless(value));
        let out = chain.apply(line("lines", "a".into())).unwrap().unwrap();
        assert_eq!(out.value.value, Value::Map(vec![("line".into(), "a".into())]));
        let out = chain.apply(line("raw-lines", "a".into())).unwrap().unwrap();
        assert_eq!(out.value.value, "a".into());
        assert_eq!(chain.apply(line("raw-lines", Value::Null)).unwrap(), None);
    }

    #[test]
    fn errors_of_records_name_the_stage() {
        let mut chain =
            chain("transforms=x transforms.x.type=ExtractField$Value transforms.x.field=f").unwrap();
        let (error, stage) = chain.apply(Record::new("t", Datum::text("no map"))).unwrap_err();
        assert_eq!(error.kind(), crate::plugin::ErrorKind::BadRecord);
        assert_eq!(
            stage.to_string(),
            "transforms.x (org.apache.kafka.connect.transforms.ExtractField$Value)"
        );
    }

    #[test]
    fn errors_of_configurations_name_alias_and_key() {
        let cases = [
            ("transforms=x", "transforms.x.type: missing required"),
            (
                "transforms=x,x transforms.x.type=Filter",
                "transforms: x,x names an alias twice",
            ),
            (
                "transforms=x transforms.x.type=Filtre",
                "transforms.x.type: Failed to find any class",
            ),
            (
                "transforms=x transforms.x.type=ExtractField$Key",
                "transforms.x.field: missing required",
            ),
            (
                "transforms=x transforms.x.type=Filter transforms.x.negate=true",
                "no config 'transforms.x.predicate'",
            ),
            (
                "transforms=x transforms.x.type=Filter transforms.x.predicate=p",
                "transforms.x.predicate: there is no predicate p",
            ),
            (
                "transforms=x transforms.x.type=Filter transforms.x.predicate=p predicates=p",
                "predicates.p.type: missing",
            ),
            (
                "transforms=x transforms.x.type=Filter transforms.x.predicate=p predicates=p predicates.p.type=TopicNameMatches \
                 predicates.p.pattern=(?=a)",
                "predicates.p.pattern: Invalid value (?=a) for configuration pattern: Invalid regex: (?=a) has a look-ahead",
            ),
            (
                "transforms=x transforms.x.type=RegexRouter transforms.x.regex=a transforms.x.replacement=$1",
                "transforms.x: replacement: the regular expression has no group 1",
            ),
        ];
        for (text, expected) in cases {
            let error = chain(text)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
