//! Checking a connector's configuration: everything that is wrong with it at once.
//!
//! What is checked: the common keys, converters, transforms and predicates, the plugin's own keys and what the plugin itself checks, topics to
//! make, settings of clients, references to secrets. What a reference stands for is never shown, not even in an error.
//!
//! Owns: which checks there are. Does not own: the keys ([`config::connector`](crate::config::connector)) and the plugins' checks.
mod checks;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use super::{GivenConfig, HerderError};
use crate::config::providers::{ConfigProviders, is_reference};
use crate::config::secrets::Secrets;
use crate::config::{ConfigDef, ConfigKey, ConfigMap, ConfigValue, DefaultValue, connector};
use crate::plugin::{Plugin, PluginKind, Registry, SinkPlugin, SourcePlugin};
use crate::worker::WorkerConfig;

/// The declarations of a configuration's transforms and predicates: `transforms.NAME.type` and the rest.
pub type StagesDef = fn(&ConfigMap, &Registry) -> ConfigDef;

/// What validating a configuration found.
#[derive(Debug, Clone)]
pub struct Validation {
    /// `connector.class`, as it was given.
    pub class: String,
    /// The groups of keys, in their order.
    pub groups: Vec<String>,
    /// Each key with what was given. What is not declared, and yet wrong, has no declaration.
    pub entries: Vec<(Option<ConfigKey>, ConfigValue)>,
    /// What is probably not meant so: keys that nobody reads.
    pub warnings: Vec<String>,
    /// Source or sink.
    pub kind: PluginKind,
    /// The plugin's version.
    pub version: &'static str,
}

impl Validation {
    /// How many errors there are.
    pub fn error_count(&self) -> usize {
        self.entries.iter().map(|(_, value)| value.errors.len()).sum()
    }

    /// The error that creating such a connector is answered with, if anything is wrong; in Kafka's words.
    pub fn refusal(&self) -> Option<HerderError> {
        let count = self.error_count();
        if count == 0 {
            return None;
        }
        let errors = self.entries.iter().flat_map(|(_, value)| &value.errors);
        let lines: String = errors.map(|error| format!("\n{error}")).collect();
        Some(HerderError::BadRequest(format!(
            "Connector configuration is invalid and contains the following {count} error(s):{lines}\nYou can also find the above list of \
             errors at the endpoint `/connector-plugins/{{connectorType}}/config/validate`"
        )))
    }
}

/// A connector's plugin.
#[derive(Clone)]
pub(super) enum ConnectorPlugin {
    Source(Arc<dyn SourcePlugin>),
    Sink(Arc<dyn SinkPlugin>),
}

impl ConnectorPlugin {
    /// The plugin called `class`.
    pub(super) fn find(registry: &Registry, class: &str) -> Result<Self, HerderError> {
        let source = registry.source(class).map(Self::Source);
        source.or_else(|_| registry.sink(class).map(Self::Sink)).map_err(|_| {
            let sources = registry.sources().iter().map(|plugin| plugin.class());
            let sinks = registry.sinks().iter().map(|plugin| plugin.class());
            let all: Vec<&str> = sources.chain(sinks).collect();
            let end = |class: &str| {
                let simple = class.rsplit('.').next().unwrap_or_default().to_lowercase();
                simple.strip_suffix("connector").map(str::to_owned).unwrap_or(simple)
            };
            let scored = all.iter().map(|its| (strsim::damerau_levenshtein(&end(its), &end(class)), *its));
            let meant = match scored.min() {
                Some((distance, its)) if distance <= 1 + end(class).len() / 5 => format!(" (did you mean {its}?)"),
                _ => String::new(),
            };
            let all = all.join(", ");
            HerderError::BadRequest(format!(
                "Failed to find any class that implements Connector and which name matches {class}{meant}, available connectors are: {all}"
            ))
        })
    }

    fn plugin(&self) -> &dyn Plugin {
        match self {
            Self::Source(plugin) => &**plugin as &dyn Plugin,
            Self::Sink(plugin) => &**plugin as &dyn Plugin,
        }
    }

    pub(super) fn kind(&self) -> PluginKind {
        match self {
            Self::Source(_) => PluginKind::Source,
            Self::Sink(_) => PluginKind::Sink,
        }
    }

    pub(super) fn version(&self) -> &'static str {
        self.plugin().version()
    }

    fn common(&self) -> ConfigDef {
        match self {
            Self::Source(_) => connector::source_def(),
            Self::Sink(_) => connector::sink_def(),
        }
    }

    /// The plugin's own checks; a panic of it is an error like any other.
    fn validate(&self, config: &ConfigMap) -> Result<Vec<ConfigValue>, HerderError> {
        let checked = std::panic::catch_unwind(AssertUnwindSafe(|| match self {
            Self::Source(plugin) => plugin.validate(config),
            Self::Sink(plugin) => plugin.validate(config),
        }));
        let class = self.plugin().class();
        checked.map_err(|_| {
            HerderError::Internal(format!("{class} panicked while it checked the configuration"))
        })
    }
}

/// Checks configurations of connectors of one worker.
#[derive(Clone)]
pub struct Validator {
    registry: Arc<Registry>,
    worker: Arc<WorkerConfig>,
    providers: Arc<ConfigProviders>,
    stages: StagesDef,
}

impl Validator {
    /// `stages` says which keys a configuration's transforms and predicates have.
    pub fn new(
        registry: Arc<Registry>,
        worker: Arc<WorkerConfig>,
        providers: Arc<ConfigProviders>,
        stages: StagesDef,
    ) -> Self {
        Self {
            registry,
            worker,
            providers,
            stages,
        }
    }

    /// The plugins.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The configuration with values instead of references; where one cannot be resolved it stays.
    pub(super) fn resolved(&self, given: &ConfigMap) -> ConfigMap {
        let texts = given.iter().map(|(key, text)| {
            let value = self.providers.resolve_text(text);
            (key.clone(), value.unwrap_or_else(|_| text.clone()))
        });
        texts.collect()
    }

    /// Configurations of a connector's tasks as they may be shown.
    pub(super) fn shown(&self, connector: &ConfigMap, tasks: Vec<ConfigMap>) -> Vec<ConfigMap> {
        let secrets = self.providers.secrets(connector).and(&self.worker.secrets);
        tasks
            .iter()
            .map(|task| secrets.hidden_in(connector, task))
            .collect()
    }

    /// Checks a configuration. It may take long: plugins may ask other systems.
    ///
    /// # Errors
    /// When there is no such plugin, so that nothing can be checked.
    pub fn validate(&self, given: &GivenConfig) -> Result<Validation, HerderError> {
        let raw: ConfigMap = given
            .iter()
            .filter_map(|(key, text)| Some((key.clone(), text.clone()?)))
            .collect();
        let missing = || {
            let missing = "the connector's configuration has no connector.class; name a plugin that GET /connector-plugins lists";
            HerderError::BadRequest(missing.to_owned())
        };
        let class = raw
            .get("connector.class")
            .map(|class| class.trim())
            .filter(|class| !class.is_empty());
        let class = class.ok_or_else(missing)?;
        // The error names what was written.
        let plugin = ConnectorPlugin::find(&self.registry, &self.resolved_class(class))
            .or_else(|_| ConnectorPlugin::find(&self.registry, class))?;
        let resolved = self.resolved(&raw);

        let common = self.with_defaults(plugin.common(), &plugin, &resolved);
        let stages = (self.stages)(&resolved, &self.registry);
        let framework = common.and(stages);
        let mut entries: Vec<(Option<ConfigKey>, ConfigValue)> = Vec::new();
        for (key, value) in framework.keys().iter().zip(framework.validate(&resolved)) {
            entries.push((Some(key.clone()), value));
        }
        checks::sink_topics(plugin.kind(), &resolved, &mut entries);
        let own = plugin.plugin().config_def();
        for value in plugin.validate(&resolved)? {
            match entries.iter_mut().find(|(_, its)| its.name == value.name) {
                Some((_, its)) => its.errors.extend(value.errors),
                None => entries.push((own.key(&value.name).cloned(), value)),
            }
        }
        checks::converters(&self.registry, &resolved, &mut entries);
        if let ConnectorPlugin::Source(source) = &plugin {
            checks::exactly_once(&self.worker, &**source, &resolved, &mut entries);
        }
        checks::topic_creation(plugin.kind(), &resolved, &mut entries);
        checks::client_overrides(&self.worker.client_overrides, &raw, &mut entries);
        checks::nulls(given, &mut entries);
        self.unresolved(&raw, &mut entries);
        hide_secrets(&raw, &resolved, &self.providers.secrets(&raw), &mut entries);
        let warnings = checks::unknown_keys(&framework.clone().and(own), &resolved, &entries);
        let class = raw.get("connector.class").cloned().unwrap_or_default();
        Ok(Validation {
            class,
            groups: groups(&entries),
            entries,
            warnings,
            kind: plugin.kind(),
            version: plugin.version(),
        })
    }

    fn resolved_class(&self, class: &str) -> String {
        self.providers
            .resolve_text(class)
            .unwrap_or_else(|_| class.to_owned())
    }

    /// The common keys with what this worker and its plugins make of their defaults and recommendations.
    fn with_defaults(&self, def: ConfigDef, plugin: &ConnectorPlugin, given: &ConfigMap) -> ConfigDef {
        let class_of = |key: &str| {
            let worker = self.worker.given.get(key).cloned();
            worker.or_else(|| (key == "header.converter").then(|| "SimpleHeaderConverter".to_owned()))
        };
        let mut all = ConfigDef::new();
        for mut key in def.keys().iter().cloned() {
            let converter = key.name.strip_suffix(".plugin.version").map(str::to_owned);
            if key.name == "connector.plugin.version" {
                key.default = DefaultValue::Value(plugin.version().to_owned());
                key.recommended = vec![plugin.version().to_owned()];
            } else if let Some(converter) = converter {
                let class = given.get(&converter).cloned().or_else(|| class_of(&converter));
                if let Some(found) =
                    checks::converter(&self.registry, &converter, class.as_deref().unwrap_or_default())
                {
                    key.default = DefaultValue::Value(found.version.to_owned());
                    key.recommended = vec![found.version.to_owned()];
                }
            } else if key.name.ends_with(".converter") {
                if let Some(class) = class_of(&key.name) {
                    let found = checks::converter(&self.registry, &key.name, &class);
                    key.default = DefaultValue::Value(found.map_or(class, |found| found.class.to_owned()));
                }
                key.recommended = checks::converter_classes(&self.registry, &key.name);
            }
            all = all.with(key);
        }
        all
    }

    /// References that cannot be resolved are errors of their keys.
    fn unresolved(&self, raw: &ConfigMap, entries: &mut Vec<(Option<ConfigKey>, ConfigValue)>) {
        for (key, text) in raw {
            if let Err(why) = self.providers.resolve_text(text) {
                let value = checks::entry(entries, key);
                value.errors = vec![format!("{key}: {why}")];
            }
        }
    }
}

/// Shows references as they were written, in values and in errors.
fn hide_secrets(
    raw: &ConfigMap,
    resolved: &ConfigMap,
    secrets: &Secrets,
    entries: &mut [(Option<ConfigKey>, ConfigValue)],
) {
    for (key, written) in raw.iter().filter(|(_, text)| is_reference(text)) {
        let Some(secret) = resolved.get(key).filter(|secret| *secret != written) else {
            continue;
        };
        for (_, value) in entries.iter_mut() {
            let same = value.name == *key;
            if same && value.value.is_some() {
                value.value = Some(written.clone());
            }
            for error in &mut value.errors {
                // What cannot be cut out of an error for certain takes the whole error with it.
                if same && error.contains(secret.trim()) && !secret.trim().is_empty() {
                    *error = format!(
                        "Invalid value {written} for configuration {key}: what it refers to is wrong"
                    );
                }
            }
        }
    }
    for error in entries.iter_mut().flat_map(|(_, value)| &mut value.errors) {
        *error = secrets.hidden(error);
    }
}

/// Groups in the order in which keys name them.
fn groups(entries: &[(Option<ConfigKey>, ConfigValue)]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let named = entries.iter().filter_map(|(key, _)| key.as_ref()?.group.clone());
    named.filter(|group| seen.insert(group.clone())).collect()
}

#[cfg(test)]
mod tests;
