//! The bounded part of each peer in `tests/peers`: software that is not ours, against `millstream broker`.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use millstream_tests::program;

/// Peers bring JVMs and test suites of their own: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs a peer's bounded part.
///
/// # Panics
/// With all that it printed, if anything of it failed.
fn run(peer: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let done = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/run"))
        .arg("--binary")
        .arg(program::millstream())
        .arg(peer)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn kafka_tools() {
    run("kafka-tools");
}

#[test]
fn kafka_streams() {
    run("kafka-streams");
}

#[test]
fn kafka_connect() {
    run("kafka-connect");
}

/// What Kafka Connect makes of the golden cases is still what the crate's tests compare with.
#[test]
fn kafka_connects_converters_and_transforms() {
    run("connect-golden");
}

/// What Kafka Connect's worker answers to the recorded calls is what ours answers, but for the differences that are listed.
#[test]
fn the_rest_api_is_kafka_connects() {
    run("connect-rest");
}

#[test]
fn go_kafka_connects_own_tests_pass() {
    run("go-kafka-connect");
}

#[test]
fn franz_gos_own_tests_pass() {
    run("kgo");
}

#[test]
fn kafka_pythons_own_tests_pass() {
    run("kafka-python");
}

#[test]
fn round_trips_with_kafkajs_pass() {
    run("kafkajs");
}

#[test]
fn saramas_own_tests_pass() {
    run("sarama");
}

/// What converters write with a schema registry that is not ours, Confluent's clients read, and the other way round.
#[test]
fn a_schema_registry_and_confluents_serializers_get_along_with_ours() {
    run("schema-registry");
}
