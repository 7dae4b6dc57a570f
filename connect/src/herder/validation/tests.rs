//! What validating finds beyond what the golden answers of the REST API show.
use std::sync::Arc;

use super::*;
use crate::config::{ConfigType, Importance};
use crate::herder::double::{registry, worker_config};

fn validator(more: &[(&str, &str)], stages: StagesDef) -> Validator {
    let config = worker_config(more);
    let providers = ConfigProviders::of_worker(&config.given).unwrap();
    Validator::new(registry(), config, Arc::new(providers), stages)
}

fn given(more: &[(&str, &str)]) -> GivenConfig {
    let base = [
        ("name", "c"),
        ("connector.class", "FileStreamSource"),
        ("topic", "t"),
    ];
    let all = base.iter().chain(more);
    all.map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())))
        .collect()
}

fn errors(validation: &Validation) -> Vec<String> {
    let entries = validation.entries.iter();
    entries.flat_map(|(_, value)| value.errors.clone()).collect()
}

fn one_stage(_: &ConfigMap, _: &Registry) -> ConfigDef {
    let kind = ConfigKey::required("transforms.a.type", ConfigType::Class, Importance::High, "Which.");
    ConfigDef::new().with(kind.grouped("Transforms: a", 0, crate::config::Width::Long, "Type"))
}

#[test]
fn stages_stand_between_common_keys_and_the_plugins() {
    let validation = validator(&[], one_stage)
        .validate(&given(&[("transforms", "a")]))
        .unwrap();
    assert_eq!(
        validation.groups.last().map(String::as_str),
        Some("Transforms: a")
    );
    let place = |name: &str| {
        validation
            .entries
            .iter()
            .position(|(_, value)| value.name == name)
            .unwrap()
    };
    assert!(
        place("restart.policy") < place("transforms.a.type") && place("transforms.a.type") < place("file")
    );
    assert_eq!(errors(&validation).len(), 1);
}

#[test]
fn policies_about_clients_are_kept_and_show_no_password() {
    let keys = [
        ("producer.override.sasl.jaas.config", "geheim"),
        ("producer.override.linger.ms", "5"),
    ];
    let none = [("connector.client.config.override.policy", "None")];
    let validation = validator(&none, |_, _| ConfigDef::new())
        .validate(&given(&keys))
        .unwrap();
    assert_eq!(validation.error_count(), 2);
    assert!(!format!("{validation:?}").contains("geheim"));
    let principal = [("connector.client.config.override.policy", "Principal")];
    let validation = validator(&principal, |_, _| ConfigDef::new())
        .validate(&given(&keys))
        .unwrap();
    assert_eq!(
        errors(&validation),
        [
            "The 'Principal' policy does not allow 'linger.ms' to be overridden in the connector configuration."
        ]
    );
}

#[test]
fn unknown_classes_come_with_what_was_meant() {
    let mut config = given(&[]);
    config.insert("connector.class".to_owned(), Some("FileStreamSourc".to_owned()));
    let error = validator(&[], |_, _| ConfigDef::new())
        .validate(&config)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("did you mean org.apache.kafka.connect.file.FileStreamSourceConnector?"),
        "{error}"
    );
}

#[test]
fn unknown_keys_are_warnings_and_prefixes_are_not() {
    let keys = [
        ("tasks.maxx", "1"),
        ("producer.override.linger.ms", "5"),
        ("key.converter.schemas.enable", "false"),
        ("zzzzzzzzzzzz", "1"),
    ];
    let validation = validator(&[], |_, _| ConfigDef::new())
        .validate(&given(&keys))
        .unwrap();
    assert_eq!(
        validation.warnings,
        [
            "tasks.maxx is unknown and has no effect; did you mean tasks.max?",
            "zzzzzzzzzzzz is unknown and has no effect"
        ]
    );
    assert_eq!(validation.refusal(), None);
}

/// A connector that named its own converters was refused: the converter's declaration asks for `converter.type`, which nobody writes.
#[test]
fn connectors_may_name_converters_of_their_own() {
    let validator = validator(&[], |_, _| ConfigDef::new());
    for class in ["StringConverter", "JsonConverter", "IntegerConverter"] {
        let class = registry().converter(class).unwrap().class();
        for key in ["key.converter", "value.converter"] {
            let validation = validator.validate(&given(&[(key, class)])).unwrap();
            assert_eq!(errors(&validation), Vec::<String>::new(), "{key}={class}");
        }
    }
    let bad = ("value.converter.schemas.cache.size", "many");
    let json = ("value.converter", "org.apache.kafka.connect.json.JsonConverter");
    assert_eq!(
        errors(&validator.validate(&given(&[json, bad])).unwrap()).len(),
        1
    );
}

#[test]
fn what_a_source_cannot_do_exactly_once_is_told_before_its_tasks_fail() {
    let group = [
        ("group.id", "g"),
        ("config.storage.topic", "c"),
        ("offset.storage.topic", "o"),
        ("status.storage.topic", "s"),
    ];
    let all = worker_config(&group).given.clone();
    let config = Arc::new(WorkerConfig::parse(crate::config::worker::WorkerMode::Distributed, all).unwrap());
    let providers = ConfigProviders::of_worker(&config.given).unwrap();
    let validator = Validator::new(registry(), config, Arc::new(providers), |_, _| ConfigDef::new());
    let asked = given(&[
        ("exactly.once.support", "REQUIRED"),
        ("transaction.boundary", "connector"),
    ]);
    let found = errors(&validator.validate(&asked).unwrap());
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].contains("This worker does not") && found[2].contains("transaction boundaries"),
        "{found:?}"
    );
    assert!(errors(&validator.validate(&given(&[])).unwrap()).is_empty());
}
