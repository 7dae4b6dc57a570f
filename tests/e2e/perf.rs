//! `millstream perf` as a user types it. The lines are compared with what Kafka 4.2's tools printed, numbers aside.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use millstream_tests::cluster::Cluster;
use millstream_tests::program::{SpawnTied, command};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A line with every number replaced, so that lines with other numbers are equal.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for letter in line.chars() {
        let part_of_number = letter.is_ascii_digit() || (letter == '.' && shape.ends_with('#'));
        if !part_of_number {
            shape.push(letter);
        } else if !shape.ends_with('#') {
            shape.push('#');
        }
    }
    shape
}

fn with_topic() -> Cluster {
    let cluster = Cluster::start();
    cluster.line("topics --create --topic load --partitions 2");
    cluster
}

#[test]
fn producing_prints_what_kafka_producer_perf_test_prints() {
    let cluster = with_topic();
    let said = cluster.line(
        "perf produce --topic load --num-records 20000 --record-size 100 --throughput 10000 --warmup-records 5000 \
         --reporting-interval 1000 --producer-props linger.ms=1 buffer.memory=33554432",
    );
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[0],
        "Warmup first 5000 records. Steady state results will print after the complete test summary."
    );
    let progress =
        "25001 records sent, 5000.2 records/sec (0.48 MB/sec), 1.2 ms avg latency, 184.0 ms max latency.";
    assert_eq!(shape(lines[1]), shape(progress));
    let all = "200000 records sent, 39541.320680 records/sec (3.77 MB/sec), 836.74 ms avg latency, 1546.00 ms max latency, \
               946 ms 50th, 1474 ms 95th, 1530 ms 99th, 1543 ms 99.9th.";
    let steady = "150000 steady state records sent, 40794.125646 records/sec (3.89 MB/sec), 803.55 ms avg latency, 1546.00 ms \
                  max latency, 873 ms 50th, 1487 ms 95th, 1533 ms 99th, 1544 ms 99.9th.";
    let last = &lines[lines.len() - 2..];
    assert_eq!([shape(last[0]), shape(last[1])], [shape(all), shape(steady)]);
    assert!(last[0].starts_with("20000 records sent, ") && last[1].starts_with("15000 steady state "));
    let ends = cluster.line("offsets --topic load");
    let written: u64 = ends
        .lines()
        .map(|line| line.rsplit(':').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(written, 20_000);
}

#[test]
fn producing_in_transactions_and_from_a_file() {
    let cluster = with_topic();
    let file = cluster.file("payloads", "alpha\nbeta\n");
    let said = cluster.line(&format!(
        "perf produce --topic load --num-records 3000 --throughput -1 --payload-file {file} --transactional-id perf \
         --transaction-duration-ms 5 --json"
    ));
    let result: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(result["records_sent"], 3_000);
    assert!(result["latency_ms"]["p99.9"].as_f64().unwrap() > 0.0, "{said}");
    let listed = cluster.line("transactions list");
    assert!(
        listed.contains("perf ") && listed.contains("CompleteCommit"),
        "{listed}"
    );
    let read = cluster.line(
        "consume --topic load --from-beginning --max-messages 3000 --isolation-level read_committed --timeout-ms 20000",
    );
    assert!(read.lines().all(|line| line == "alpha" || line == "beta"));
    assert_eq!(read.lines().count(), 3_000);
}

#[test]
fn consuming_prints_what_kafka_consumer_perf_test_prints() {
    let cluster = with_topic();
    cluster.line("perf produce --topic load --num-records 20000 --record-size 100 --throughput -1");
    let said = cluster.line("perf consume --topic load --messages 20000");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[0],
        "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, \
         fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
    );
    let kafkas = "2026-11-21 06:34:41:750, 2026-11-21 06:34:43:567, 19.1155, 10.5204, 200441, 110314.2543, 1106, 711, 26.8854, \
                  281914.2053";
    assert_eq!(shape(lines[1]), shape(kafkas));
    let cells: Vec<_> = lines[1].split(", ").collect();
    assert_eq!((cells[2], cells[4]), ("1.9073", "20000"));

    let said = cluster
        .line("perf consume --topic load --num-records 20000 --show-detailed-stats --reporting-interval 10");
    let mut lines = said.lines();
    assert_eq!(
        lines.next(),
        Some(
            "time, threadId, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, \
             fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
        )
    );
    let kafkas = "2026-11-21 06:34:45:435, 0, 0.0001, 0.0001, 1, 1.3661, 679, 53, 0.0018, 18.8679";
    assert!(lines.all(|line| shape(line) == shape(kafkas)), "{said}");

    let said = cluster.line("perf consume --topic load --num-records 30000 --timeout 2000 --json");
    let result: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(result["records_consumed"], 20_000);
}

#[test]
fn latency_is_measured_one_by_one_and_at_a_rate() {
    let cluster = with_topic();
    let said =
        cluster.line("perf latency --topic load --num-records 1001 --producer-acks all --record-size 100");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(shape(lines[0]), shape("0\t77.127077"));
    assert_eq!(shape(lines[1]), shape("1000\t4.591863999999999"));
    assert_eq!(shape(lines[2]), shape("Avg latency: 3.3336 ms"));
    // Kafka's percentiles are whole milliseconds; ours have decimals.
    assert_eq!(
        shape(lines[3]),
        shape("Percentiles: 50th = 1, 99th = 24, 99.9th = 77")
    );

    let said = cluster
        .line("perf latency --topic load --num-records 5000 --record-size 100 --throughput 5000 --json");
    let result: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(result["records_measured"], 5_000);
    assert_eq!(result["records_missing"], 0);
    let rate = result["records_per_second"].as_f64().unwrap();
    assert!(rate > 1_000.0 && rate < 5_500.0, "{said}");
    let at = |name: &str| result["latency_ms"][name].as_f64().unwrap();
    assert!(
        0.0 < at("p50") && at("p50") <= at("p99") && at("p99.9") <= at("max"),
        "{said}"
    );
    let small =
        cluster.line_fails("perf latency --topic load --num-records 1 --record-size 8 --throughput 1");
    assert!(small.contains("give 24 or more"), "{small}");
}

#[test]
fn ctrl_c_prints_the_result_so_far() {
    let cluster = with_topic();
    let words = "perf produce --topic load --num-records 100000000 --record-size 100 --throughput 1000 --reporting-interval 200";
    let words: Vec<_> = words.split_whitespace().collect();
    let mut child = command(&cluster.arguments(&words))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn_tied()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().ends_with("ms max latency."));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let last = lines.last().unwrap().unwrap();
    assert!(last.ends_with("ms 99.9th."), "{last}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
