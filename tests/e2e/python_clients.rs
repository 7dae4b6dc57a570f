//! kafka-python and confluent-kafka against `millstream broker`; the scripts in `tests/python` do the checking.

use std::process::Command;

use millstream_tests::broker::BrokerProcess;
use millstream_tests::program::{output_of, python, repository};

fn run(script: &str) {
    let directory = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(directory.path());
    let path = repository().join("tests/python").join(script);
    let shown = output_of(Command::new(python()).arg(path).arg(broker.address()), b"");
    assert!(shown.trim_end().ends_with("ok"), "{script} printed {shown:?}");
}

#[test]
fn kafka_python_produces_consumes_and_administers() {
    run("kafka_python.py");
}

#[test]
fn confluent_kafka_produces_consumes_and_administers() {
    run("confluent.py");
}

#[test]
fn a_kafka_python_group_of_three_survives_the_death_of_one() {
    run("kafka_python_group.py");
}
