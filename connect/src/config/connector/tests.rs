use super::*;
use crate::config::DefaultValue;

/// Kafka Connect 4.2's own keys: `source|sink, name, type, default, importance, group, order, width, display name, dependents, …`.
const GOLDEN: &str = include_str!("../../../golden/config/connectors.tsv");

fn shown<T: std::fmt::Debug>(value: T) -> String {
    format!("{value:?}").to_uppercase()
}

fn lines(of: &str, def: &ConfigDef) -> Vec<String> {
    let keys = def.keys().iter().map(|key| {
        let default = match &key.default {
            DefaultValue::Required => "<REQUIRED>",
            DefaultValue::Null => "null",
            DefaultValue::Value(value) => value,
        };
        let group = key.group.as_deref().unwrap_or("null");
        let (kind, importance, width) = (shown(key.kind), shown(key.importance), shown(key.width));
        let (name, order, display) = (&key.name, key.order_in_group, &key.display_name);
        format!("{of}\t{name}\t{kind}\t{default}\t{importance}\t{group}\t{order}\t{width}\t{display}")
    });
    keys.collect()
}

fn golden(of: &str) -> Vec<String> {
    let its = GOLDEN
        .lines()
        .filter(|line| line.starts_with(&format!("{of}\t")) && !line.contains("\tGROUP\t"));
    its.map(|line| line.split('\t').take(9).collect::<Vec<_>>().join("\t"))
        .collect()
}

#[test]
fn the_keys_are_kafkas_and_ours_stand_behind_them() {
    for (of, def) in [("source", source_def()), ("sink", sink_def())] {
        let (ours, golden) = (lines(of, &def), golden(of));
        assert_eq!(ours[..golden.len()], golden);
        for key in &def.keys()[golden.len()..] {
            let beyond = ["restart.", "errors.deadletterqueue.", "task.stall."];
            assert!(
                beyond.iter().any(|prefix| key.name.starts_with(prefix)),
                "{key:?}"
            );
        }
    }
}

fn wrong(def: &ConfigDef, key: &str, value: &str) -> String {
    let given = ConfigMap::from([(key.to_owned(), value.to_owned())]);
    let values = def.validate(&given);
    let value = values.into_iter().find(|value| value.name == key);
    value.expect("declared").errors.join("; ")
}

#[test]
fn wrong_values_are_told_in_kafkas_words() {
    let (source, sink) = (source_def(), sink_def());
    let cases = [
        (
            "name",
            "",
            "Invalid value  for configuration name: String may not be empty",
        ),
        (
            "name",
            "a\u{1}b",
            "Invalid value a\u{1}b for configuration name: String may not contain control sequences but had the following ASCII chars: 1",
        ),
        (
            "tasks.max",
            "0",
            "Invalid value 0 for configuration tasks.max: Value must be at least 1",
        ),
        (
            "transforms",
            "a,a",
            "Invalid value [a, a] for configuration transforms: Duplicate alias provided.",
        ),
        (
            "errors.tolerance",
            "ALL",
            "Invalid value ALL for configuration errors.tolerance: String must be one of: none, all",
        ),
        (
            "exactly.once.support",
            "z",
            "Invalid value z for configuration exactly.once.support: String must be one of (case insensitive): REQUIRED, REQUESTED",
        ),
        (
            "offsets.storage.topic",
            " ",
            "Invalid value  for configuration offsets.storage.topic: String must be non-empty",
        ),
    ];
    for (key, value, expected) in cases {
        assert_eq!(wrong(&source, key, value), expected);
    }
    assert!(wrong(&sink, "topics.regex", "a[").contains("Invalid regex"));
    assert!(wrong(&sink, "topics", "a,,b").contains("empty"));
    assert!(wrong(&sink, "topics", "a,a").contains("twice"));
    for good in ["Required", "requested"] {
        assert_eq!(wrong(&source, "exactly.once.support", good), "");
    }
}

#[test]
fn groups_of_topics_inherit_from_the_default_group() {
    let mut given = ConfigMap::from([
        ("topic.creation.groups".to_owned(), "logs".to_owned()),
        ("topic.creation.default.partitions".to_owned(), "4".to_owned()),
        (
            "topic.creation.default.replication.factor".to_owned(),
            "1".to_owned(),
        ),
        ("topic.creation.logs.include".to_owned(), "log.*,trace".to_owned()),
        ("topic.creation.logs.partitions".to_owned(), "2".to_owned()),
    ]);
    let parsed = topic_creation_def(&given).parse(&given).unwrap();
    assert_eq!(parsed.int("topic.creation.logs.partitions"), 2);
    assert_eq!(parsed.int("topic.creation.logs.replication.factor"), 1);
    assert_eq!(parsed.list("topic.creation.logs.include"), ["log.*", "trace"]);
    assert_eq!(parsed.list("topic.creation.default.include"), [".*"]);
    given.remove("topic.creation.default.partitions");
    let missing = topic_creation_def(&given).parse(&given).unwrap_err().to_string();
    assert!(
        missing.starts_with("topic.creation.default.partitions: "),
        "{missing}"
    );
    given.insert("topic.creation.default.partitions".to_owned(), "0".to_owned());
    assert!(topic_creation_def(&given).parse(&given).is_err());
    assert!(topic_creation_def(&ConfigMap::new()).keys().is_empty());
}
