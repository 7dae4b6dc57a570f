//! Checks beyond what each key's declaration says.
use crate::config::overrides::OverridePolicy;
use crate::config::{ConfigDef, ConfigKey, ConfigMap, ConfigValue, connector};
use crate::converter::CONVERTER_TYPE;
use crate::herder::GivenConfig;
use crate::plugin::{ExactlyOnceSupport, Plugin, PluginKind, Registry, SourcePlugin};
use crate::worker::WorkerConfig;

/// Keys and what was found about them.
pub(super) type Entries = Vec<(Option<ConfigKey>, ConfigValue)>;

/// The entry of a key, made if there is none.
pub(super) fn entry<'a>(entries: &'a mut Entries, name: &str) -> &'a mut ConfigValue {
    let at = entries.iter().position(|(_, value)| value.name == name);
    let at = at.unwrap_or_else(|| {
        entries.push((
            None,
            ConfigValue {
                name: name.to_owned(),
                value: None,
                errors: Vec::new(),
                recommended: Vec::new(),
                visible: true,
            },
        ));
        entries.len() - 1
    });
    &mut entries[at].1
}

/// What is known of a converter.
pub(super) struct FoundConverter {
    pub class: &'static str,
    pub version: &'static str,
    def: ConfigDef,
}

/// The converter called `class`, for `key.converter`, `value.converter` or `header.converter`.
pub(super) fn converter(registry: &Registry, key: &str, class: &str) -> Option<FoundConverter> {
    let found = |plugin: &dyn Plugin| FoundConverter {
        class: plugin.class(),
        version: plugin.version(),
        def: plugin.config_def(),
    };
    match key {
        "header.converter" => {
            let plugin = registry.header_converter(class).ok()?;
            Some(found(&*plugin as &dyn Plugin))
        }
        _ => {
            let plugin = registry.converter(class).ok()?;
            Some(found(&*plugin as &dyn Plugin))
        }
    }
}

/// The classes that a converter's key may name.
pub(super) fn converter_classes(registry: &Registry, key: &str) -> Vec<String> {
    let mut classes: Vec<String> = match key {
        "header.converter" => {
            let all = registry.header_converters().iter();
            all.map(|plugin| plugin.class().to_owned()).collect()
        }
        _ => {
            let all = registry.converters().iter();
            all.map(|plugin| plugin.class().to_owned()).collect()
        }
    };
    classes.sort();
    classes
}

/// Converters that the connector names: they have to exist, and their keys to be good.
pub(super) fn converters(registry: &Registry, given: &ConfigMap, entries: &mut Entries) {
    for key in ["key.converter", "value.converter", "header.converter"] {
        let Some(class) = given.get(key) else {
            continue;
        };
        let Some(found) = converter(registry, key, class.trim()) else {
            let value = entry(entries, key);
            value.value = None;
            value.errors = vec![format!(
                "Invalid value {class} for configuration {key}: Class {class} could not be found."
            )];
            let version = entry(entries, &format!("{key}.plugin.version"));
            version.visible = false;
            continue;
        };
        let prefix = format!("{key}.");
        let own = given
            .iter()
            .filter_map(|(name, text)| Some((name.strip_prefix(&prefix)?, text)));
        let mut own: ConfigMap = own.map(|(name, text)| (name.to_owned(), text.clone())).collect();
        // What it converts is told by the runtime.
        let what = key.strip_suffix(".converter").unwrap_or(key);
        own.insert(CONVERTER_TYPE.to_owned(), what.to_owned());
        for (declared, mut value) in found.def.keys().iter().zip(found.def.validate(&own)) {
            if value.name == CONVERTER_TYPE {
                value.recommended.clear();
            }
            value.name = format!("{prefix}{}", value.name);
            let key = ConfigKey {
                name: value.name.clone(),
                ..declared.clone()
            };
            entries.push((Some(key), value));
        }
    }
}

/// A sink reads the topics it names or those of a pattern, and not its own dead letters.
pub(super) fn sink_topics(kind: PluginKind, given: &ConfigMap, entries: &mut Entries) {
    if kind != PluginKind::Sink {
        return;
    }
    let text = |key: &str| given.get(key).map_or("", |text| text.trim());
    let (topics, pattern) = (text("topics"), text("topics.regex"));
    let wrong = match (topics.is_empty(), pattern.is_empty()) {
        (true, true) => Some("Must configure one of topics or topics.regex"),
        (false, false) => Some("topics and topics.regex are mutually exclusive options, but both are set."),
        _ => None,
    };
    if let Some(wrong) = wrong {
        entry(entries, "topics").errors.push(wrong.to_owned());
        entry(entries, "topics.regex").errors.push(wrong.to_owned());
    }
    let dead = text("errors.deadletterqueue.topic.name");
    if dead.is_empty() {
        return;
    }
    let listed: Vec<&str> = topics
        .split(',')
        .map(str::trim)
        .filter(|topic| !topic.is_empty())
        .collect();
    if listed.contains(&dead) {
        let all = listed.join(", ");
        entry(entries, "topics").errors.push(format!(
            "The DLQ topic '{dead}' may not be included in the list of topics ('topics=[{all}]') consumed by the connector"
        ));
    }
    let whole = regex::Regex::new(&format!("^(?:{pattern})$"));
    if !pattern.is_empty() && whole.is_ok_and(|whole| whole.is_match(dead)) {
        entry(entries, "topics.regex").errors.push(format!(
            "The DLQ topic '{dead}' may not be matched by the regex for the topics ('topics.regex={pattern}') consumed by the connector"
        ));
    }
}

/// What a source is asked for and cannot do, in Java's words; its tasks would fail. As in Java, distributed workers tell it.
pub(super) fn exactly_once(
    worker: &WorkerConfig,
    source: &dyn SourcePlugin,
    given: &ConfigMap,
    entries: &mut Entries,
) {
    let is = |key: &str, word: &str| {
        let text = given.get(key).map_or("", |text| text.trim());
        text.eq_ignore_ascii_case(word)
    };
    if worker.group_id.is_none() {
        return;
    }
    if is("exactly.once.support", "required") {
        let errors = &mut entry(entries, "exactly.once.support").errors;
        if !worker.exactly_once_source {
            errors.push("This worker does not have exactly-once source support enabled.".to_owned());
        }
        if source.exactly_once(given) != ExactlyOnceSupport::Supported {
            let why =
                "The connector does not support exactly-once semantics with the provided configuration.";
            errors.push(why.to_owned());
        }
    }
    if is("transaction.boundary", "connector") && !source.defines_transaction_boundaries(given) {
        let why = "The connector does not support connector-defined transaction boundaries with the given configuration. Please \
                   reconfigure it to use a different transaction boundary definition.";
        entry(entries, "transaction.boundary").errors.push(why.to_owned());
    }
}

/// What is wrong with the topics that a source makes; Kafka tells it only when tasks start.
pub(super) fn topic_creation(kind: PluginKind, given: &ConfigMap, entries: &mut Entries) {
    if kind != PluginKind::Source {
        return;
    }
    let def = connector::topic_creation_def(given);
    // Only groups without defaults is a slip that Kafka lets pass here, and the tasks then fail.
    for (key, value) in def.keys().iter().zip(def.validate(given)) {
        if !value.errors.is_empty() {
            // In no group, so that forms do not change with what is wrong.
            let key = ConfigKey {
                group: None,
                ..key.clone()
            };
            entries.push((Some(key), value));
        }
    }
}

/// Settings of clients that the worker does not let connectors change.
pub(super) fn client_overrides(policy: &OverridePolicy, given: &ConfigMap, entries: &mut Entries) {
    let name = match policy {
        OverridePolicy::All => return,
        OverridePolicy::None => "None",
        OverridePolicy::Principal => "Principal",
        OverridePolicy::Allowlist(_) => "Allowlist",
    };
    for (key, text) in given {
        let prefixes = ["producer.override.", "consumer.override.", "admin.override."];
        let setting = prefixes.iter().find_map(|prefix| key.strip_prefix(prefix));
        if let Some(setting) = setting.filter(|setting| !policy.allows(setting)) {
            let hidden = setting.contains("password") || setting.contains("jaas");
            let value = entry(entries, key);
            value.value = Some(if hidden {
                "[hidden]".to_owned()
            } else {
                text.clone()
            });
            value.errors.push(format!(
                "The '{name}' policy does not allow '{setting}' to be overridden in the connector configuration."
            ));
        }
    }
}

/// Keys whose values are null.
pub(super) fn nulls(given: &GivenConfig, entries: &mut Entries) {
    for (key, _) in given.iter().filter(|(_, text)| text.is_none()) {
        let value = entry(entries, key);
        value.value = None;
        value
            .errors
            .push("Null value can not be supplied as the configuration value.".to_owned());
    }
}

/// Keys that nobody reads, with the ones that were probably meant.
pub(super) fn unknown_keys(def: &ConfigDef, given: &ConfigMap, entries: &Entries) -> Vec<String> {
    const PREFIXES: [&str; 8] = [
        "producer.override.",
        "consumer.override.",
        "admin.override.",
        "key.converter.",
        "value.converter.",
        "header.converter.",
        "transforms.",
        "predicates.",
    ];
    let known = |key: &str| {
        entries
            .iter()
            .any(|(declared, value)| declared.is_some() && value.name == key)
            || def.knows(key)
            || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
            || key.starts_with("topic.creation.")
    };
    let unknown = given.keys().filter(|key| !known(key));
    unknown
        .map(|key| match def.suggest(key) {
            Some(meant) => format!("{key} is unknown and has no effect; did you mean {meant}?"),
            None => format!("{key} is unknown and has no effect"),
        })
        .collect()
}
