//! Asks Kafka Streams, once for all cases and seeds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::random::Random;
use crate::topologies::CASES;
use crate::{Case, Input, Output};

/// The records of each output topic, in their order.
#[derive(Debug, Default, Clone)]
pub(super) struct Outputs(BTreeMap<String, Vec<(Value, Value)>>);

impl Outputs {
    pub(super) fn add(&mut self, topic: &str, key: Option<String>, value: Option<String>) {
        let records = self.0.entry(topic.to_owned()).or_default();
        records.push((read(key), read(value)));
    }

    /// What is to be equal, a line each.
    pub(super) fn shown(&self, output: Output, partitions: i32) -> Vec<String> {
        let records = self.0.get(output.topic()).map_or(&[][..], Vec::as_slice);
        if let Output::Table(_) = output {
            let mut table = BTreeMap::new();
            for (key, value) in records {
                match value {
                    Value::Null => table.remove(&key.to_string()),
                    _ => table.insert(key.to_string(), value),
                };
            }
            return table
                .iter()
                .map(|(key, value)| format!("{key} {value}"))
                .collect();
        }
        let mut rows: Vec<String> = records.iter().map(|(_, value)| value.to_string()).collect();
        if partitions > 1 || matches!(output, Output::Bag(_)) {
            rows.sort();
        }
        rows
    }
}

/// JSON arrays and objects as such, so that neither spaces nor the order of members matter; other text as it is.
fn read(text: Option<String>) -> Value {
    let Some(text) = text else { return Value::Null };
    match serde_json::from_str(&text) {
        Ok(value @ (Value::Array(_) | Value::Object(_))) => value,
        _ => Value::String(text),
    }
}

fn seeds() -> u64 {
    match std::env::var("FULL").as_deref() {
        Ok("1") => 300,
        _ => 12,
    }
}

/// The case's inputs by seed, with what Kafka Streams made of them.
pub(super) fn judged(case: &Case) -> Vec<(u64, Vec<Input>, Outputs)> {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(ask).path();
    let seeds = 1..=seeds();
    let of_seed = |seed| {
        (
            seed,
            inputs(case, seed),
            outputs(&file(folder, case, seed, "out")),
        )
    };
    seeds.map(of_seed).collect()
}

fn inputs(case: &Case, seed: u64) -> Vec<Input> {
    (case.generate)(&mut Random::new(seed))
}

fn file(folder: &Path, case: &Case, seed: u64, kind: &str) -> PathBuf {
    folder.join(format!("{}.{seed}.{kind}", case.name))
}

/// Writes all inputs and has Kafka Streams write its outputs beside them.
fn ask() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for case in CASES {
        for seed in 1..=seeds() {
            let lines = inputs(case, seed)
                .into_iter()
                .map(|Input { topic, value, at, .. }| {
                    json!({"topic": topic, "key": null, "value": value, "at": at}).to_string() + "\n"
                });
            fs::write(file(folder.path(), case, seed, "in"), lines.collect::<String>()).unwrap();
        }
    }
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers/streams-judge");
    run(Command::new(peer.join("needs")));
    let mut judge = Command::new(peer.join("judge"));
    judge.arg(folder.path());
    run(judge);
    folder
}

/// Runs a script of the peer.
///
/// # Panics
/// With what it printed, if it fails.
fn run(mut script: Command) {
    let cache = std::env::var_os("MILLSTREAM_TEST_CACHE").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap()).join(".cache/millstream-tests"),
        PathBuf::from,
    );
    let done = script.env("CACHE", cache).output().unwrap();
    assert!(
        done.status.success(),
        "{script:?} failed: {}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

fn outputs(path: &Path) -> Outputs {
    let mut outputs = Outputs::default();
    for line in fs::read_to_string(path).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let text = |member: &str| record[member].as_str().map(str::to_owned);
        outputs.add(record["topic"].as_str().unwrap(), text("key"), text("value"));
    }
    outputs
}
