//! Kafka Streams as judge: the same topologies over the same records, there in its `TopologyTestDriver`, here in ours, must end
//! with the same tables and rows.
//!
//! The records are generated from seeds, 12 of each topology, or 300 with `FULL=1`. Here the topics have one to three partitions,
//! and epochs end and tasks are made anew wherever the seed says; Kafka Streams has one partition and commits each record. The
//! other half is tests/peers/streams-judge/Judge.java.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate;
mod judge;
mod random;
mod topologies;

use judge::{Outputs, judged};
use millstream_streams::{Streams, TestDriver, TestRecord};
use random::Random;

/// A record of a generated input.
#[derive(Debug, Clone)]
struct Input {
    topic: &'static str,
    value: String,
    at: i64,
    /// The partition here, modulo how many there are; else they take turns.
    partition: Option<i32>,
}

/// What is compared of an output topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// The last value of each key.
    Table(&'static str),
    /// The values, in their order if there is one partition.
    Rows(&'static str),
    /// The values in any order.
    Bag(&'static str),
}

impl Output {
    fn topic(self) -> &'static str {
        match self {
            Self::Table(topic) | Self::Rows(topic) | Self::Bag(topic) => topic,
        }
    }
}

/// A topology that both sides have under the same name.
struct Case {
    name: &'static str,
    outputs: &'static [Output],
    generate: fn(&mut Random) -> Vec<Input>,
    build: fn(&Streams),
    /// Whether the result does not depend on how records of different partitions interleave.
    partitioned: bool,
}

/// Runs the case with one seed, as far as possible from record by record.
fn run(case: &Case, seed: u64, inputs: &[Input]) -> (Outputs, i32) {
    let mut random = Random::new(seed ^ 0x5eed);
    let partitions = if case.partitioned {
        1 + i32::try_from(random.below(3)).unwrap()
    } else {
        1
    };
    let app = Streams::new(case.name);
    (case.build)(&app);
    let mut driver = TestDriver::with_partitions(&app, partitions).unwrap();
    let epoch = 1 + random.below(100);
    for input in inputs {
        let record = TestRecord::new(input.value.as_str()).at(input.at);
        let record = match input.partition {
            Some(partition) => record.partition(partition % partitions),
            None => record,
        };
        driver.pipe(input.topic, record).unwrap();
        if random.below(epoch) == 0 {
            driver.commit().unwrap();
            if random.below(3) == 0 {
                driver.restart().unwrap();
            }
        }
    }
    driver.commit().unwrap();
    let mut outputs = Outputs::default();
    for output in case.outputs {
        for record in driver.read(output.topic()) {
            let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
            outputs.add(output.topic(), text(record.key), text(record.value));
        }
    }
    (outputs, partitions)
}

/// Compares a case for all seeds.
fn compare(name: &str) {
    let case = topologies::CASES.iter().find(|case| case.name == name).unwrap();
    for (seed, inputs, expected) in judged(case) {
        let (found, partitions) = run(case, seed, &inputs);
        for output in case.outputs {
            let (expected, found) = (
                expected.shown(*output, partitions),
                found.shown(*output, partitions),
            );
            let same = expected.len() == found.len();
            let differ = expected
                .iter()
                .zip(&found)
                .find(|(expected, found)| expected != found);
            assert!(
                same && differ.is_none(),
                "{name}, seed {seed}, {partitions} partitions, topic {}: {} lines, Kafka Streams has {}; the first that differ are, Kafka \
                 Streams' first: {differ:#?}\nThe input was {inputs:#?}",
                output.topic(),
                found.len(),
                expected.len(),
            );
        }
    }
}

#[test]
fn words() {
    compare("words");
}

#[test]
fn aggregates() {
    compare("aggregates");
}

#[test]
fn keys_of_several_columns() {
    compare("pairs");
}

#[test]
fn filters_branches_and_merges() {
    compare("ways");
}

#[test]
fn aggregates_of_two_topics() {
    compare("merged");
}

#[test]
fn first_and_last() {
    compare("reduced");
}

#[test]
fn tumbling_windows() {
    compare("tumbling");
}

#[test]
fn hopping_windows() {
    compare("hopping");
}

#[test]
fn results_of_closed_windows() {
    compare("closed");
}

#[test]
fn sessions() {
    compare("sessions");
}

#[test]
fn results_of_closed_sessions() {
    compare("sessions-closed");
}

#[test]
fn sliding_windows() {
    compare("sliding");
}

#[test]
fn results_of_closed_sliding_windows() {
    compare("sliding-closed");
}

#[test]
fn tables_whose_changes_wait() {
    compare("suppressed");
}

#[test]
fn inner_joins_of_streams() {
    compare("join-inner");
}

#[test]
fn left_joins_of_streams() {
    compare("join-left");
}

#[test]
fn outer_joins_of_streams() {
    compare("join-outer");
}

#[test]
fn joins_by_another_tables_key() {
    compare("foreign");
}

#[test]
fn left_joins_by_another_tables_key() {
    compare("foreign-left");
}

#[test]
fn joins_of_tables() {
    ["tables-inner", "tables-left", "tables-outer"]
        .iter()
        .for_each(|name| compare(name));
}

#[test]
fn joins_that_look_further_ahead_than_back() {
    compare("join-asymmetric");
}

#[test]
fn streams_that_are_aggregated_together() {
    compare("cogroup");
}

#[test]
fn tables_with_versions() {
    compare("versioned");
}

#[test]
fn tables_with_versions_and_rows_that_find_none() {
    compare("versioned-left");
}

/// The first of what Kafka Streams does otherwise: it goes by the time of the record that is furthest, whatever side it is of. So it gives a row
/// as unmatched, and with a partner that comes later; here it comes once, as what both logs say.
#[test]
fn a_left_row_is_given_once() {
    let case = topologies::CASES
        .iter()
        .find(|case| case.name == "join-late")
        .unwrap();
    let row = |key: &str, right: Option<i64>| {
        let at = right.map_or("null".to_owned(), |right| right.to_string());
        let left = if key == "far" { 116_000 } else { 100_000 };
        format!(
            r#"{{"k":"{key}","left":{left},"left_at":{left},"left_s":null,"right":{at},"right_at":{at}}}"#
        )
    };
    let late = Some(105_000);
    let far = row("far", Some(116_000));
    for (seed, inputs, expected) in judged(case) {
        let of_kafka = [
            row("a", late),
            row("a", None),
            row("b", late),
            row("b", None),
            far.clone(),
        ];
        assert_eq!(expected.shown(case.outputs[0], 1), of_kafka);
        let (found, _) = run(case, seed, &inputs);
        // The right row of `a` is the first of its log; that of `b` is late for what comes before it.
        let ours = [row("a", late), row("b", None), far.clone()];
        assert_eq!(found.shown(case.outputs[0], 1), ours, "seed {seed}");
    }
}
