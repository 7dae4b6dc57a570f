use std::collections::BTreeSet;

use serde_json::Value;

use super::differences::{self, Ours};
use super::{Heard, ask, served};

/// What Kafka Connect's standalone worker answered; recorded by `tests/peers/connect-golden/rest/record.py`.
const GOLDEN: &str = include_str!("../../../golden/rest/calls.json");

/// What runs differ in, replaced as in the recording.
fn clean(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let fields = object.into_iter().filter(|(key, _)| key != "documentation");
            let fields = fields.map(|(key, value)| match key.as_str() {
                "trace" if value.is_string() => (key, "TRACE".into()),
                "last_modified" if !value.is_null() => (key, 0.into()),
                "commit" => (key, "COMMIT".into()),
                _ => (key, clean(value)),
            });
            Value::Object(fields.collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(clean).collect()),
        other => other,
    }
}

/// What is a key of ours alone, for a request of this path.
fn is_ours(name: &str, path: &str) -> bool {
    let prefixes = ["restart.", "task.stall."];
    let dead_letters = path.contains("Source") && name.starts_with("errors.deadletterqueue");
    dead_letters || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Without what is ours alone: further keys in validations, Java's names of task classes, numbers of tasks.
fn shared(mut value: Value, path: &str, without: &[String]) -> Value {
    if let Some(configs) = value.get_mut("configs").and_then(Value::as_array_mut) {
        configs.retain(|entry| {
            let name = entry["value"]["name"].as_str().unwrap_or_default();
            !is_ours(name, path) && !without.iter().any(|key| key == name)
        });
    }
    if path.starts_with("/connector-plugins/")
        && let Some(keys) = value.as_array_mut()
    {
        keys.retain(|key| !is_ours(key["name"].as_str().unwrap_or_default(), path));
    }
    if let Some(groups) = value.get_mut("groups").and_then(Value::as_array_mut) {
        groups.retain(|group| group != "Restarts");
    }
    if !without.is_empty()
        && let Some(object) = value.as_object_mut()
    {
        object.remove("error_count");
    }
    if path.ends_with("/tasks") || path.ends_with("/tasks/") {
        for task in value.as_array_mut().into_iter().flatten() {
            if let Some(config) = task["config"].as_object_mut() {
                config.remove("task.class");
                config.remove("task.id");
                config.remove("connector.class");
            }
        }
    }
    if path
        .split('?')
        .next()
        .is_some_and(|path| path.trim_end_matches('/') == "/connectors")
        && let Some(names) = value.as_array_mut()
    {
        names.sort_by_key(ToString::to_string);
    }
    value
}

fn parsed(heard: &Heard) -> Value {
    match heard.text.is_empty() {
        true => Value::Null,
        false => serde_json::from_str(&heard.text).unwrap_or_else(|_| heard.text.clone().into()),
    }
}

fn same_keys(ours: &Value, golden: &Value) -> bool {
    let keys = |value: &Value| -> BTreeSet<String> {
        let object = value.as_object();
        object
            .map(|object| object.keys().cloned().collect())
            .unwrap_or_default()
    };
    keys(ours) == keys(golden)
}

/// What is wrong with our answer to a recorded call.
fn wrong(call: &Value, heard: &Heard) -> Option<String> {
    let text = |key: &str| call[key].as_str().unwrap_or_default();
    let path = text("path");
    let difference = differences::of(text("method"), path, text("body"));
    let (status, golden) = (call["status"].as_u64(), clean(call["answer"].clone()));
    let ours = clean(parsed(heard));
    let expected = match difference.map(|difference| &difference.ours) {
        Some(Ours::Status(status)) => {
            let same = heard.status == *status;
            return (!same).then(|| format!("status {} is not {status}: {}", heard.status, heard.text));
        }
        other => other,
    };
    if Some(u64::from(heard.status)) != status {
        return Some(format!(
            "status {} is not {status:?}: {}",
            heard.status, heard.text
        ));
    }
    for name in ["content-type", "location"] {
        let recorded = call["answered"][name]
            .as_str()
            .map(|value| value.replace("BASE", "http://base"));
        if recorded.is_some() && heard.header(name) != recorded.as_deref() {
            return Some(format!("{name} {:?} is not {recorded:?}", heard.header(name)));
        }
    }
    if expected == Some(&Ours::Text) {
        let same = same_keys(&ours, &golden) && ours["error_code"] == golden["error_code"];
        return (!same).then(|| format!("{ours} is another kind of answer than {golden}"));
    }
    let without = match expected {
        Some(Ours::Keys(keys)) => keys.as_slice(),
        _ => &[],
    };
    let (ours, golden) = (shared(ours, path, without), shared(golden, path, without));
    if ours == golden {
        return None;
    }
    Some(first_difference(&ours, &golden, "answer"))
}

/// Where two answers part.
fn first_difference(ours: &Value, golden: &Value, place: &str) -> String {
    match (ours, golden) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            let mut fields = a.iter().zip(b).filter(|((_, a), (_, b))| a != b);
            let found = fields
                .next()
                .map(|((key, a), (_, b))| first_difference(a, b, &format!("{place}.{key}")));
            found.unwrap_or_default()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut fields = a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b);
            let found = fields.next();
            let found = found.map(|(index, (a, b))| first_difference(a, b, &format!("{place}[{index}]")));
            found.unwrap_or_default()
        }
        _ => format!("{place}: ours {ours}\n      golden {golden}"),
    }
}

#[tokio::test]
async fn answers_are_those_of_kafka_connect() {
    let calls: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    let served = served(&[]).await;
    served.herder.ready();
    let mut all = Vec::new();
    for call in &calls {
        let text = |key: &str| call[key].as_str();
        if let Some(name) = text("settle") {
            let tasks: Vec<&str> = call["tasks"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            served.settle(name, text("connector").unwrap(), &tasks).await;
            continue;
        }
        let headers: Vec<(&str, &str)> = call["headers"]
            .as_object()
            .map(|headers| {
                headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                    .collect()
            })
            .unwrap_or_default();
        let (method, path) = (text("method").unwrap(), text("path").unwrap());
        let heard = ask(served.address, method, path, &headers, text("body")).await;
        if let Some(wrong) = wrong(call, &heard) {
            all.push(format!(
                "{method} {path} {}\n    {wrong}",
                text("body").unwrap_or_default()
            ));
        }
    }
    assert!(calls.len() > 250, "{}", calls.len());
    assert!(all.is_empty(), "{} differ:\n{}", all.len(), all.join("\n"));
}

#[test]
fn every_difference_is_met_and_has_a_reason() {
    let calls: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    for difference in differences::ALL.iter() {
        assert!(!difference.why.is_empty());
        let met = calls.iter().any(|call| {
            let text = |key: &str| call[key].as_str().unwrap_or_default();
            let found = differences::of(text("method"), text("path"), text("body"));
            found.is_some_and(|found| std::ptr::eq(found, difference))
        });
        assert!(
            met,
            "{} {} {}",
            difference.method, difference.path, difference.body
        );
    }
}
