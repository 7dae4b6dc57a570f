//! The keys that transforms and predicates give to a connector's configuration.
//!
//! Owns: their names, groups and order, which are those of Java's REST API. Does not own: what the keys behind an alias mean.
use std::collections::HashSet;

use super::chain::{NEGATE, PREDICATE, lone_negate};
use crate::config::{ConfigDef, ConfigKey, ConfigMap, ConfigType, DefaultValue, Importance, Width};
use crate::plugin::Registry;

/// The keys that a connector's configuration gets by its transforms and predicates, for validation: `transforms.a.type` and what else
/// they declare, each alias in a group of its own (Kafka's `ConnectorConfig.enrich`). An alias whose class is missing or unknown gets its
/// `type` alone; the error comes from validating it.
pub fn config_def_for(config: &ConfigMap, registry: &Registry) -> ConfigDef {
    let class_of = |prefix: String| config.get(&format!("{prefix}type")).map(|class| class.trim());
    let transforms = Kind {
        aliases: "transforms",
        group: "Transforms",
        name: "Transformation",
        classes: registry
            .transforms()
            .iter()
            .map(|plugin| plugin.class())
            .collect(),
    };
    let mut keys = ConfigDef::new();
    for alias in listed(config, "transforms") {
        let plugin = class_of(transforms.prefix(alias)).and_then(|class| registry.transform(class).ok());
        let own = plugin.as_ref().map(|plugin| Own {
            keys: plugin
                .config_def()
                .with(condition_keys().0)
                .with(condition_keys().1),
            version: plugin.version(),
        });
        let given = |key: &str| config.contains_key(&format!("{}{key}", transforms.prefix(alias)));
        let wrong = (given(NEGATE) && !given(PREDICATE)).then(|| lone_negate(&transforms.prefix(alias)));
        let known = registry.clone();
        let validator = move |class: &str| match (&wrong, known.transform(class.trim())) {
            (Some(wrong), _) => Err(wrong.clone()),
            (None, Ok(_)) => Ok(()),
            (None, Err(error)) => Err(error.to_string()),
        };
        keys = transforms.with_alias(keys, alias, own, validator);
    }
    let predicates = Kind {
        aliases: "predicates",
        group: "Predicates",
        name: "Predicate",
        classes: registry
            .predicates()
            .iter()
            .map(|plugin| plugin.class())
            .collect(),
    };
    for alias in listed(config, "predicates") {
        let plugin = class_of(predicates.prefix(alias)).and_then(|class| registry.predicate(class).ok());
        let own = plugin.as_ref().map(|plugin| Own {
            keys: plugin.config_def(),
            version: plugin.version(),
        });
        let known = registry.clone();
        let validator = move |class: &str| match known.predicate(class.trim()) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        keys = predicates.with_alias(keys, alias, own, validator);
    }
    keys
}

/// The aliases that `key` lists, each once, whatever is wrong with them.
fn listed<'a>(config: &'a ConfigMap, key: &str) -> Vec<&'a str> {
    let aliases = config
        .get(key)
        .map_or("", |text| text.as_str())
        .split(',')
        .map(str::trim);
    let mut seen = HashSet::new();
    aliases
        .filter(|alias| !alias.is_empty() && seen.insert(*alias))
        .collect()
}

/// The keys of every transform that say which records it is for.
fn condition_keys() -> (ConfigKey, ConfigKey) {
    let predicate = ConfigKey::optional(
        PREDICATE,
        ConfigType::String,
        Importance::Medium,
        "The alias of a predicate used to determine whether to apply this transformation.",
    );
    let negate = ConfigKey::with_default(
        NEGATE,
        ConfigType::Boolean,
        "false",
        Importance::Medium,
        "Whether the configured predicate should be negated.",
    );
    (predicate, negate)
}

/// What differs between transforms and predicates in declarations.
struct Kind {
    aliases: &'static str,
    group: &'static str,
    name: &'static str,
    classes: Vec<&'static str>,
}

/// What the class of an alias declares.
struct Own {
    keys: ConfigDef,
    version: &'static str,
}

impl Kind {
    fn prefix(&self, alias: &str) -> String {
        format!("{}.{alias}.", self.aliases)
    }

    fn with_alias(
        &self,
        keys: ConfigDef,
        alias: &str,
        own: Option<Own>,
        validator: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> ConfigDef {
        let (prefix, group) = (self.prefix(alias), format!("{}: {alias}", self.group));
        let what = self.name.to_lowercase();
        let mut class = ConfigKey::required(
            &format!("{prefix}type"),
            ConfigType::Class,
            Importance::High,
            &format!("Class for the '{alias}' {what}."),
        )
        .checked(validator)
        .grouped(&group, 0, Width::Long, &format!("{} type for {alias}", self.name));
        class.recommended = self.classes.iter().map(|class| (*class).to_owned()).collect();
        let mut version = ConfigKey::optional(
            &format!("{prefix}plugin.version"),
            ConfigType::String,
            Importance::High,
            &format!("Version of the '{alias}' {what}."),
        )
        .grouped(
            &group,
            1,
            Width::Long,
            &format!("{} version for {alias}", self.name),
        );
        if let Some(own) = &own {
            version.default = DefaultValue::Value(own.version.to_owned());
        }
        let own = own.map(|own| own.keys).unwrap_or_default();
        let mut sorted: Vec<&ConfigKey> = own.keys().iter().collect();
        sorted.sort_by_key(|key| {
            let given = key.default != DefaultValue::Required;
            (key.order_in_group, given, key.importance as u8, &key.name)
        });
        let keys = keys.with(class).with(version);
        sorted.into_iter().zip(2..).fold(keys, |keys, (key, order)| {
            let name = format!("{prefix}{}", key.name);
            let (width, display_name) = (key.width, key.display_name.clone());
            let key = ConfigKey { name, ..key.clone() };
            keys.with(key.grouped(&group, order, width, &display_name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> ConfigMap {
        let lines = text
            .split_whitespace()
            .map(|line| line.split_once('=').expect("key=value"));
        lines
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn declarations_are_grouped_by_alias_as_in_java() {
        let given = config(
            "transforms=a,b,c,d transforms.a.type=Cast$Value transforms.b.type=InsertField$Key transforms.c.type=No \
             predicates=q predicates.q.type=TopicNameMatches",
        );
        let keys = config_def_for(&given, &Registry::built_in());
        let names: Vec<(&str, i32)> = keys
            .keys()
            .iter()
            .map(|key| (&*key.name, key.order_in_group))
            .collect();
        assert_eq!(
            names,
            [
                ("transforms.a.type", 0),
                ("transforms.a.plugin.version", 1),
                ("transforms.a.spec", 2),
                ("transforms.a.negate", 3),
                ("transforms.a.predicate", 4),
                ("transforms.a.replace.null.with.default", 5),
                ("transforms.b.type", 0),
                ("transforms.b.plugin.version", 1),
                ("transforms.b.negate", 2),
                ("transforms.b.offset.field", 3),
                ("transforms.b.partition.field", 4),
                ("transforms.b.predicate", 5),
                ("transforms.b.replace.null.with.default", 6),
                ("transforms.b.static.field", 7),
                ("transforms.b.static.value", 8),
                ("transforms.b.timestamp.field", 9),
                ("transforms.b.topic.field", 10),
                ("transforms.c.type", 0),
                ("transforms.c.plugin.version", 1),
                ("transforms.d.type", 0),
                ("transforms.d.plugin.version", 1),
                ("predicates.q.type", 0),
                ("predicates.q.plugin.version", 1),
                ("predicates.q.pattern", 2),
            ]
        );
        let key = keys.key("transforms.a.spec").unwrap();
        assert_eq!(key.group.as_deref(), Some("Transforms: a"));
        assert_eq!(key.display_name, "spec");
        let good = config("transforms=a transforms.a.type=Cast$Value transforms.a.spec=int8");
        assert!(config_def_for(&good, &Registry::built_in()).parse(&good).is_ok());
    }

    #[test]
    fn validation_finds_unknown_classes_and_lone_negations() {
        let given =
            config("transforms=a,b transforms.a.type=No transforms.b.type=Filter transforms.b.negate=true");
        let keys = config_def_for(&given, &Registry::built_in());
        let errors = keys.parse(&given).unwrap_err();
        assert_eq!(errors.0.len(), 2, "{errors}");
        assert_eq!(errors.0[0].0, "transforms.a.type");
        assert!(errors.0[1].1.contains("predicate to be negated"), "{errors}");
    }
}
